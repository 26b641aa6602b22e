"""Layers whose input multiplies the state, against slow loops, exact rationals, finite differences and older layers."""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hitherto
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, Recurrence, build, precision, states_and_outputs, visible

LAYERS = (
    MultiplicativeIntegrationRNN(3, 4),
    MultiplicativeIntegrationRNN(3, 4, 2, activation="linear"),
    MultiplicativeIntegrationRNN(1, 1, 1, activation="square"),
    SelectiveStateSpace(3, 4, 2),
    SelectiveStateSpace(1, 1),
)
POLYNOMIAL = [layer for layer in LAYERS if getattr(layer, "activation", "linear") != "tanh"]
NONLINEAR = {"linear": lambda a: a, "square": lambda a: a * a, "tanh": np.tanh}
LENGTH = 9
SHORT = hitherto.Settings(sequences=8, steps=60)
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=str)


def inputs(layer, length=LENGTH, seed=1):
    return np.random.default_rng(seed).standard_normal((length, layer.input_size))


def shapes(layer):
    """Of every weight, a first state among them."""
    n, m = layer.width, layer.input_size
    found = {"weight_ih": (n, m), "initial_h": (n,)}
    if isinstance(layer, SelectiveStateSpace):
        found |= {"weight_gate": (n, m), "bias_gate": (n,)}
    else:
        found |= {"weight_hh": (n, n)} | dict.fromkeys(("gain", "gain_hh", "gain_ih", "bias"), (n,))
    return found if layer.readout_size is None else found | {"readout": (layer.readout_size, n)}


def drawn(layer):
    """A model in which no weight and no entry of the first state is special."""
    draw = np.random.default_rng(2)
    return Model(layer, {name: draw.uniform(-0.7, 0.7, shape) for name, shape in shapes(layer).items()})


def fresh(layer):
    """A model as `build` makes it, compiled as a whole."""
    return Model(layer, jax.jit(layer.init)(jax.random.key(0))).astype(np.float32)


def slow_states(layer, weights, xs):
    """The recurrence by its definition, entry by entry, in whatever numbers the weights hold."""
    following = _gated if isinstance(layer, SelectiveStateSpace) else _integrated
    h, states = weights["initial_h"], []
    for x in xs:
        h = np.array([following(layer, weights, h, x, i) for i in range(layer.width)])
        states.append(h)
    return np.array(states)


def _dot(row, vector):
    return sum(a * b for a, b in zip(row, vector, strict=True))


def _gated(layer, weights, h, x, i):
    gate = _dot(weights["weight_gate"][i], x) + weights["bias_gate"][i]
    return gate * h[i] + _dot(weights["weight_ih"][i], x)


def _integrated(layer, weights, h, x, i):
    recurrent, entering = _dot(weights["weight_hh"][i], h), _dot(weights["weight_ih"][i], x)
    both, first, second = (weights[name][i] for name in ("gain", "gain_hh", "gain_ih"))
    total = both * recurrent * entering + first * recurrent + second * entering + weights["bias"][i]
    return NONLINEAR[layer.activation](total)


@pytest.mark.parametrize("layer", POLYNOMIAL, ids=str)
def test_the_exact_rationals(layer):
    draw = np.random.default_rng(3)
    halves = {name: draw.integers(-2, 3, shape) for name, shape in shapes(layer).items()}
    x = draw.integers(-2, 3, (2, layer.input_size))
    as_fraction = np.vectorize(lambda k: Fraction(int(k), 2), otypes=[object])
    truth = slow_states(layer, {name: as_fraction(k) for name, k in halves.items()}, as_fraction(x))
    states, _ = states_and_outputs(Model(layer, {name: k / 2 for name, k in halves.items()}), x / 2)
    assert truth[-1].any()
    assert [[Fraction(v) for v in row] for row in states.h.tolist()] == truth.tolist()


@every_layer
class TestRun:
    def test_slow_evaluation(self, layer):
        model, x = drawn(layer), inputs(layer)
        truth = slow_states(layer, model.weights, x)
        states, outputs = states_and_outputs(model, x)
        expected = truth if layer.readout_size is None else truth @ model.weights["readout"].T
        assert (states.h.dtype, outputs.dtype) == (np.float64, np.float64)
        np.testing.assert_allclose(states.h, truth, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(outputs, expected, rtol=1e-11, atol=1e-13)

    def test_run_is_a_scan_of_step(self, layer):
        weights, lengths, ways = drawn(layer).weights, (0, 1, LENGTH), (layer.run, partial(Recurrence.run, layer))

        @jax.jit
        def at_every_length(x):
            return [[run(weights, layer.start(weights), x[:length]) for length in lengths] for run in ways]

        with precision(np.float64):
            ran, scanned = at_every_length(inputs(layer))
        assert [outputs.shape for _, outputs in ran] == [(length, layer.output_size) for length in lengths]
        for got, truth in zip(jax.tree.leaves(ran), jax.tree.leaves(scanned), strict=True):
            assert got.shape == truth.shape
            np.testing.assert_allclose(got, truth, rtol=1e-12, atol=1e-14)

    def test_gradients_are_the_finite_differences(self, layer):
        at = (drawn(layer).weights, inputs(layer))
        draw = np.random.default_rng(5)
        along = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape), at)

        def loss(weights, x):
            return jnp.mean(jnp.sin(layer.run(weights, layer.start(weights), x)[1]))

        with precision(np.float64):
            everything = jax.jit(lambda at: (*jax.jvp(loss, at, along), jax.grad(loss, (0, 1))(*at)))
            _, forward, backward = everything(at)
            ahead, behind = (everything(jax.tree.map(lambda a, v, e=e: a + e * v, at, along)) for e in (1e-6, -1e-6))
        slope = float(ahead[0] - behind[0]) / 2e-6
        products = jax.tree.map(lambda g, v: np.sum(np.asarray(g) * v), backward, along)
        assert all(np.any(leaf) for leaf in jax.tree.leaves(backward))
        assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert float(forward) == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_a_batch_is_a_loop(self, layer):
        model = drawn(layer)
        batch = np.stack([inputs(layer, seed=seed) for seed in range(3)])
        alone = np.stack([states_and_outputs(model, x)[1] for x in batch])
        with precision(np.float64):
            together = jax.jit(jax.vmap(lambda x: states_and_outputs(model, x)[1]))(batch)
        np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-13)

    def test_float32_is_near_float64(self, layer):
        model, x = drawn(layer), inputs(layer)
        narrow = states_and_outputs(model.astype(np.float32), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {np.dtype(np.float32)}
        np.testing.assert_allclose(narrow[1], states_and_outputs(model, x)[1], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_fresh_weights(self, layer, dtype):
        weights = jax.eval_shape(lambda: build(layer, dtype=dtype).weights)
        assert {name: w.shape for name, w in weights.items()} | {"initial_h": (layer.width,)} == shapes(layer)
        assert {w.dtype for w in weights.values()} == {np.dtype(dtype)}

    def test_without_initial_h_it_starts_at_zero(self, layer):
        weights = drawn(layer).weights
        given = weights.pop("initial_h")
        with precision(np.float64):
            free, first = layer.start(weights).h, layer.start(weights | {"initial_h": given}).h
        np.testing.assert_array_equal(first, given)
        np.testing.assert_array_equal(free, np.zeros(layer.width))
        assert free.dtype == np.float64

    def test_saved_and_loaded(self, layer, tmp_path):
        model, path = drawn(layer), tmp_path / "model.safetensors"
        hitherto.save(model, path)
        found = hitherto.load(path)
        assert found.architecture == layer == hitherto.from_json(hitherto.to_json(layer))
        assert found.weights.keys() == model.weights.keys()
        assert all(np.array_equal(found.weights[name], w) for name, w in model.weights.items())


@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[3]], ids=str)
def test_without_jit(layer):
    model, x = drawn(layer), inputs(layer, 3)
    with precision(np.float64), jax.disable_jit():
        _, outputs = layer.run(model.weights, layer.start(model.weights), jnp.asarray(x))
    np.testing.assert_allclose(outputs, states_and_outputs(model, x)[1], rtol=1e-12, atol=1e-14)


class TestOlderLayers:
    def test_a_gain_of_zero_leaves_the_simple_layer(self):
        layer, kept = MultiplicativeIntegrationRNN(3, 4, 2), ("weight_hh", "weight_ih", "readout", "initial_h")
        weights = drawn(layer).weights | {"gain": np.zeros(4), "gain_hh": np.ones(4), "gain_ih": np.ones(4)}
        simple = {name: weights[name] for name in kept} | {"bias_ih": weights["bias"], "bias_hh": np.zeros(4)}
        x = inputs(layer)
        additive = states_and_outputs(Model(RNN(3, 4, 2), simple), x)[1]
        np.testing.assert_allclose(states_and_outputs(Model(layer, weights), x)[1], additive, rtol=1e-12, atol=1e-14)

    def test_a_gate_without_input_leaves_the_diagonal_state_space(self):
        layer, kept = SelectiveStateSpace(3, 4, 2), ("weight_ih", "readout", "initial_h")
        weights = drawn(layer).weights | {"weight_gate": np.zeros((4, 3))}
        fixed = {name: weights[name] for name in kept} | {"multiplier": weights["bias_gate"]}
        diagonal = DiagonalStateSpace(3, 4, 2, "uniform", "plain", normalise=False, route="scan")
        x = inputs(layer)
        expected = states_and_outputs(Model(diagonal, fixed), x)[1]
        np.testing.assert_allclose(states_and_outputs(Model(layer, weights), x)[1], expected, rtol=1e-12, atol=1e-14)


def mean_squares(model, length, sequences):
    """Mean of the last h_i^2 over normal inputs, with its standard error."""
    x = np.random.default_rng(0).standard_normal((sequences, length, model.architecture.input_size))
    run = jax.jit(jax.vmap(lambda x: model.architecture.run(model.weights, model.architecture.start(model.weights), x)))
    squares = np.asarray(run(x.astype(np.float32))[0].h[:, -1], float) ** 2
    return squares.mean(0), squares.std(0) / np.sqrt(sequences)


class TestFreshWeights:
    def test_they_follow_their_laws(self):
        integration = fresh(MultiplicativeIntegrationRNN(50, 60, 40, variance=0.5, input_variance=2.0)).weights
        selective = fresh(SelectiveStateSpace(50, 60, 40, decay=0.5, gate_variance=0.2)).weights
        laws = (
            (integration["weight_hh"], 0.5 / 60),
            (integration["weight_ih"], 2 / 50),
            (integration["readout"], 1 / 60),
            (selective["weight_gate"], 0.2 / 50),
            (selective["weight_ih"], 0.55 / 50),
            (selective["readout"], 1 / 60),
        )
        for weight, variance in laws:
            # the variance of that many normal numbers scatters by sqrt(2 / count), that of uniform ones by less
            assert np.var(weight) == pytest.approx(variance, rel=4 * np.sqrt(2 / weight.size))
        assert np.abs(selective["weight_gate"]).max() <= np.sqrt(3 * 0.2 / 50)
        assert all((integration[name] == 1).all() for name in ("gain", "gain_hh", "gain_ih"))
        assert not integration["bias"].any()
        assert (selective["bias_gate"] == 0.5).all()

    def test_selective_states_have_the_size_of_the_docstring(self):
        model = fresh(SelectiveStateSpace(4, 40))
        gate, bias, entering = (model.weights[n] for n in ("weight_gate", "bias_gate", "weight_ih"))
        truth = (entering**2).sum(1) / (1 - bias**2 - (gate**2).sum(1))
        found, error = mean_squares(model, 80, 4000)
        assert (np.abs(found - truth) < 5 * error).all()

    def test_linear_integration_has_the_size_of_the_docstring(self):
        model = fresh(MultiplicativeIntegrationRNN(200, 300, activation="linear", variance=0.4))
        found, _ = mean_squares(model, 40, 200)
        assert found.mean() == pytest.approx(1 / (1 - 0.8), rel=0.1)  # the formula is the limit of wide layers


def test_stacks_show_every_h():
    layers = MultiplicativeIntegrationRNN(2, 3), SelectiveStateSpace(3, 4, 1)
    stack = Model(Deep(layers), tuple(drawn(layer).weights for layer in layers))
    states, outputs = states_and_outputs(stack, np.ones((5, 2)))
    assert [h.shape for h in visible(states)] == [(5, 3), (5, 4)]
    assert outputs.shape == (5, 1)


@pytest.mark.slow
def test_a_profile_runs():
    found = hitherto.profile(fresh(SelectiveStateSpace(2, 3)), settings=SHORT)
    names = {estimate.quantity.name for estimate in found.estimates}
    assert names >= {"gradient_half_life", "lyapunov_spectrum", "linear_memory_capacity", "idle_units"}
    assert found.verdict


def test_a_measure_runs():
    found = hitherto.measure("lyapunov_spectrum", fresh(MultiplicativeIntegrationRNN(2, 3)), settings=SHORT)
    assert np.isfinite(found.value).all()


@pytest.mark.parametrize("kind", [MultiplicativeIntegrationRNN, SelectiveStateSpace])
@pytest.mark.parametrize("field", ["input_size", "width", "readout_size"])
@pytest.mark.parametrize("size", [0, -3])
def test_impossible_sizes_are_refused(kind, field, size):
    with pytest.raises(ValueError, match=f"{kind.__name__} was asked for with {field}={size}; give at least 1"):
        kind(**({"input_size": 2, "width": 3} | {field: size}))


def test_unknown_activations_are_refused_with_the_near_ones():
    with pytest.raises(ValueError, match=r"'tanhh'.*\btanh\b"):
        MultiplicativeIntegrationRNN(2, 3, activation="tanhh")


@pytest.mark.parametrize(
    ("decay", "gate_variance"), [(1.0, 0.0), (0.9, 0.07), (-0.5, 0.01), (0.5, -0.01), (np.nan, 0.01), (0.5, np.inf)]
)
def test_gates_that_let_states_grow_are_refused(decay, gate_variance):
    with pytest.raises(ValueError, match=r"decay=.* and gate_variance=.* is .*; give two numbers from 0 on"):
        SelectiveStateSpace(2, 3, decay=float(decay), gate_variance=float(gate_variance))


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="takes 3 input channels, the inputs have 2"):
        states_and_outputs(drawn(LAYERS[0]), np.zeros((5, 2)))
