"""Arithmetic circuits and features against exact vectors, exact rationals, slow loops and finite differences."""

import json
from fractions import Fraction
from functools import partial
from math import comb
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.arithmetic_circuit import (
    ArithmeticCircuit,
    CircuitState,
    FeatureFunction,
    OneHot,
    Powers,
    Templates,
)
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, Recurrence, build, precision, states_and_outputs, visible

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
CIRCUITS = (ArithmeticCircuit(3, 4), ArithmeticCircuit(3, 4, 2), ArithmeticCircuit(1, 1, 1))
every_circuit = pytest.mark.parametrize("layer", CIRCUITS, ids=str)
both_starts = pytest.mark.parametrize("begun", [False, True], ids=["ones", "initial_h"])


def shapes(layer, begun):
    n, m = layer.width, layer.input_size
    found = {"weight_hh": (n, n), "weight_ih": (n, m)}
    found |= {} if layer.readout_size is None else {"readout": (layer.readout_size, n)}
    return found | ({"initial_h": (n,)} if begun else {})


def drawn(layer, begun=False, seed=0):
    draw = np.random.default_rng(seed)
    return Model(layer, {name: draw.standard_normal(shape) for name, shape in shapes(layer, begun).items()})


def stack(depth, width, input_size, begun=False):
    """A random deep circuit with one output."""
    sizes = [input_size] + [width] * (depth - 1)
    layers = [ArithmeticCircuit(m, width, 1 if k == depth else None) for k, m in enumerate(sizes, 1)]
    return Model(Deep(tuple(layers)), tuple(drawn(layer, begun, k).weights for k, layer in enumerate(layers)))


def explicit(name):
    """A circuit of the oracles with the readout on top."""
    weights = TRUTH[name]["weights"]
    layers = []
    for k, (entering, recurrent) in enumerate(zip(weights["WI"], weights["WH"], strict=True)):
        layer = {"weight_ih": np.array(entering, float), "weight_hh": np.array(recurrent, float)}
        layers.append(layer | ({"initial_h": np.array(weights["h0"][k], float)} if "h0" in weights else {}))
    layers[-1]["readout"] = np.array([weights["WO"]], float)
    architectures = [ArithmeticCircuit(w["weight_ih"].shape[1], len(w["weight_ih"])) for w in layers[:-1]]
    top = layers[-1]["weight_ih"]
    return Model(Deep((*architectures, ArithmeticCircuit(top.shape[1], len(top), 1))), tuple(layers))


def slow_states(weights, xs):
    """The recurrence by its definition, sum by sum, in whatever numbers the weights hold."""
    recurrent, entering = weights["weight_hh"], weights["weight_ih"]
    h, states = weights.get("initial_h"), []
    for x in xs:
        new = []
        for i in range(len(recurrent)):
            factor = 1 if h is None else sum(recurrent[i, j] * h[j] for j in range(len(h)))
            new.append(factor * sum(entering[i, m] * x[m] for m in range(len(x))))
        h = new
        states.append(h)
    return np.array(states)


class TestExplicitNets:
    @pytest.mark.parametrize(
        ("weights", "case"),
        [
            ("explicit_net_A", "explicit_net_A"),
            ("explicit_net_A", "explicit_net_B_continuous_inputs"),
            ("explicit_net_C_L1_with_h0", "explicit_net_C_L1_with_h0"),
        ],
    )
    def test_outputs(self, weights, case):
        model, case = explicit(weights), TRUTH[case]
        for start, row in zip(case["starts"], case["outputs"], strict=True):
            for end, value in zip(case["ends"], row, strict=True):
                _, outputs = states_and_outputs(model, np.array(start + end, float))
                assert outputs[-1].tolist() == [float(value)]

    def test_start_states(self):
        model, case = explicit("explicit_net_A"), TRUTH["explicit_net_A"]
        for start, layers in zip(case["starts"], case["start_states_layer1_layer2"], strict=True):
            states, _ = states_and_outputs(model, np.array(start, float))
            assert [h[-1].tolist() for h in visible(states)] == layers

    def test_states_continue_where_they_were_cut(self):
        model, case = explicit("explicit_net_A"), TRUTH["explicit_net_A"]
        states, _ = states_and_outputs(model, np.array(case["starts"][1], float))
        last = jax.tree.map(lambda s: s[-1], states)
        _, outputs = states_and_outputs(model, np.array(case["ends"][2], float), last)
        assert outputs[-1].tolist() == [case["outputs"][1][2]]


class TestHomogeneity:
    """Scaling by 2 is exact in floats, so y must be multiplied by exactly 2^degree."""

    LENGTHS = (1, 2, 3, 4)
    sizes = pytest.mark.parametrize(("depth", "length"), [(d, t) for d in (1, 2, 3) for t in (1, 2, 3, 4)])

    @staticmethod
    def degree(model, inputs, scaled_model, scaled_inputs, start=None, scaled_start=None):
        y = states_and_outputs(model, inputs, start)[1][-1, 0]
        scaled = states_and_outputs(scaled_model, scaled_inputs, scaled_start)[1][-1, 0]
        assert y != 0
        power = np.log2(scaled / y)
        assert power == round(power)
        return round(power)

    def scaled(self, model, layer, name):
        weights = [dict(w) for w in model.weights]
        weights[layer][name] = 2 * weights[layer][name]
        return Model(model.architecture, tuple(weights))

    @sizes
    def test_in_each_input(self, depth, length):
        model, x = stack(depth, 3, 2), np.random.default_rng(9).standard_normal((length, 2))
        for k in range(1, length + 1):  # k = 1 is the last
            doubled = x.copy()
            doubled[-k] *= 2
            assert self.degree(model, x, model, doubled) == multichoose(k, depth - 1)

    @sizes
    @both_starts
    def test_in_each_weight(self, depth, length, begun):
        model, x = stack(depth, 3, 2, begun), np.random.default_rng(9).standard_normal((length, 2))
        acting = length if begun else length - 1
        for layer in range(depth):
            above = depth - layer
            assert self.degree(model, x, self.scaled(model, layer, "weight_ih"), x) == multichoose(length, above)
            assert self.degree(model, x, self.scaled(model, layer, "weight_hh"), x) == multichoose(acting, above)
        assert self.degree(model, x, self.scaled(model, depth - 1, "readout"), x) == 1

    @pytest.mark.parametrize("case", TRUTH["degrees"], ids=lambda c: f"L{c['L']}T{c['T']}")
    def test_tabulated_degrees(self, case):
        depth, length = case["L"], case["T"]
        model, x = stack(depth, 2, 2), np.random.default_rng(8).standard_normal((length, 2))
        for t, degree in enumerate(case["x_degree"]):
            doubled = x.copy()
            doubled[t] *= 2
            assert self.degree(model, x, model, doubled) == degree
        for name, degrees in (("weight_ih", case["WI_degree"]), ("weight_hh", case["WH_degree"])):
            assert [self.degree(model, x, self.scaled(model, layer, name), x) for layer in range(depth)] == degrees

    @pytest.mark.parametrize("case", TRUTH["state_degrees"], ids=lambda c: f"L{c['L']}E{c['E']}")
    def test_in_the_state_at_the_cut(self, case):
        depth, end = case["L"], case["E"]
        model, x = stack(depth, 2, 2), np.random.default_rng(8).standard_normal((2 + end, 2))
        states, _ = states_and_outputs(model, x[:2])
        cut = [jax.tree.map(lambda s: s[-1], s) for s in states]
        for layer, degree in enumerate(case["deg_per_layer"]):
            doubled = [s._replace(h=2 * s.h) if k == layer else s for k, s in enumerate(cut)]
            assert self.degree(model, x[2:], model, x[2:], tuple(cut), tuple(doubled)) == degree


def multichoose(n, k):
    return comb(n + k - 1, k) if n else int(k == 0)


@both_starts
def test_the_exact_rationals(begun):
    layer = ArithmeticCircuit(2, 3)
    draw = np.random.default_rng(3)
    quarters = {name: draw.integers(-8, 9, shape) for name, shape in shapes(layer, begun).items()}
    x = draw.integers(-8, 9, (4, 2))
    as_fraction = np.vectorize(lambda k: Fraction(int(k), 4), otypes=[object])
    truth = slow_states({name: as_fraction(k) for name, k in quarters.items()}, as_fraction(x))
    states, _ = states_and_outputs(Model(layer, {name: k / 4 for name, k in quarters.items()}), x / 4)
    assert [[Fraction(v) for v in row] for row in states.h.tolist()] == truth.tolist()


@every_circuit
@both_starts
class TestRun:
    LENGTH = 9

    def inputs(self, layer, length=LENGTH, seed=1):
        return np.random.default_rng(seed).standard_normal((length, layer.input_size))

    def test_slow_evaluation(self, layer, begun):
        model, x = drawn(layer, begun), self.inputs(layer)
        truth = slow_states(model.weights, x)
        states, outputs = states_and_outputs(model, x)
        expected = truth if layer.readout_size is None else truth @ model.weights["readout"].T
        assert {leaf.dtype for leaf in jax.tree.leaves((states, outputs))} == {np.dtype(np.float64)}
        np.testing.assert_allclose(states.h, truth, rtol=1e-11)
        np.testing.assert_allclose(outputs, expected, rtol=1e-11)
        assert states.begun.tolist() == [1.0] * self.LENGTH

    @pytest.mark.parametrize("length", [0, 1, LENGTH])
    def test_run_is_a_scan_of_step(self, layer, begun, length):
        model, x = drawn(layer, begun), self.inputs(layer, length)
        with precision(np.float64):
            first, x = layer.start(model.weights), jnp.asarray(x)
            ran = jax.jit(layer.run)(model.weights, first, x)
            scanned = jax.jit(partial(Recurrence.run, layer))(model.weights, first, x)
        for got, truth in zip(jax.tree.leaves(ran), jax.tree.leaves(scanned), strict=True):
            assert got.shape == truth.shape
            np.testing.assert_allclose(got, truth, rtol=1e-12)

    def test_gradients_are_the_finite_differences(self, layer, begun):
        at = (drawn(layer, begun).weights, self.inputs(layer))
        draw = np.random.default_rng(5)
        along = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape), at)

        def loss(weights, x):
            return jnp.mean(jnp.tanh(layer.run(weights, layer.start(weights), x)[1]))

        with precision(np.float64):
            everything = jax.jit(lambda at: (*jax.jvp(loss, at, along), jax.grad(loss, (0, 1))(*at)))
            _, forward, backward = everything(at)
            ahead, behind = (everything(jax.tree.map(lambda a, v, e=e: a + e * v, at, along)) for e in (1e-6, -1e-6))
        slope = float(ahead[0] - behind[0]) / 2e-6
        products = jax.tree.map(lambda g, v: np.sum(np.asarray(g) * v), backward, along)
        assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert float(forward) == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_a_batch_is_a_loop(self, layer, begun):
        model = drawn(layer, begun)
        batch = np.stack([self.inputs(layer, seed=seed) for seed in range(3)])
        alone = np.stack([states_and_outputs(model, x)[1] for x in batch])
        with precision(np.float64):
            together = jax.jit(jax.vmap(lambda x: states_and_outputs(model, x)[1]))(batch)
        np.testing.assert_allclose(together, alone, rtol=1e-11)

    def test_float32_is_near_float64(self, layer, begun):
        model, x = drawn(layer, begun), self.inputs(layer)
        narrow = states_and_outputs(model.astype(np.float32), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {np.dtype(np.float32)}
        wide = states_and_outputs(model, x)[1]
        np.testing.assert_allclose(narrow[1], wide, rtol=1e-3, atol=1e-5 * np.abs(wide).max())


def test_without_jit():
    model, x = drawn(CIRCUITS[1]), np.ones((3, 3))
    with precision(np.float64), jax.disable_jit():
        _, outputs = model.architecture.run(model.weights, model.architecture.start(model.weights), jnp.asarray(x))
    np.testing.assert_allclose(outputs, states_and_outputs(model, x)[1], rtol=1e-12)


def test_the_first_step_has_no_recurrent_factor_unless_there_is_an_initial_h():
    free, given = drawn(ArithmeticCircuit(2, 3)), drawn(ArithmeticCircuit(2, 3), begun=True)
    x = np.array([[0.5, -2.0]])
    entering = given.weights["weight_ih"] @ x[0]
    np.testing.assert_allclose(states_and_outputs(free, x)[1][0], free.weights["weight_ih"] @ x[0], rtol=1e-14)
    factor = given.weights["weight_hh"] @ given.weights["initial_h"]
    np.testing.assert_allclose(states_and_outputs(given, x)[1][0], factor * entering, rtol=1e-14)


def test_an_initial_h_of_zeros_gives_the_zero_function():
    model = drawn(ArithmeticCircuit(2, 3, 2), begun=True)
    zero = Model(model.architecture, model.weights | {"initial_h": np.zeros(3)})
    assert not states_and_outputs(zero, np.ones((4, 2)))[1].any()


def test_visible_is_h_alone():
    states, _ = states_and_outputs(stack(2, 3, 2), np.ones((4, 2)))
    assert all(isinstance(state, CircuitState) for state in states)
    assert [h.shape for h in visible(states)] == [(4, 3), (4, 3)]


def test_fresh_weights_follow_their_law():
    weights = build(ArithmeticCircuit(50, 60, 40, variance=0.5, input_variance=2.0)).weights
    for name, variance in (("weight_hh", 0.5 / 60), ("weight_ih", 2 / 50), ("readout", 1 / 60)):
        # the variance of that many normal numbers scatters by sqrt(2 / count)
        assert np.var(weights[name]) == pytest.approx(variance, rel=4 * np.sqrt(2 / weights[name].size))


@pytest.mark.parametrize("input_size", [4, 32])
def test_fresh_sizes_go_down_at_the_rate_of_the_docstring(input_size):
    width, length, ends = 32, 24, []
    layer = ArithmeticCircuit(input_size, width)
    for seed in range(120):
        draw = np.random.default_rng(seed)
        weights = {
            "weight_hh": draw.standard_normal((width, width)) / np.sqrt(width),
            "weight_ih": draw.standard_normal((width, input_size)) / np.sqrt(input_size),
        }
        h = states_and_outputs(Model(layer, weights), draw.standard_normal((length, input_size)))[0].h[-1]
        ends.append(np.log(np.mean(h**2)) / 2)
    rate = 2 / width + 1 / (2 * input_size)
    error = np.std(ends) / np.sqrt(len(ends))
    assert np.mean(ends) == pytest.approx(
        -rate * length, abs=4 * error, rel=0.2
    )  # the rate is leading order in 1 / size


class TestFeatures:
    def test_one_hot(self):
        states, outputs = states_and_outputs(build(OneHot(3)), np.array([[2.0], [0.0]], np.float32))
        assert states == ()
        assert outputs.tolist() == [[0, 0, 1], [1, 0, 0]]

    @pytest.mark.parametrize("wrong", [-1, 3, 1.5, np.nan])
    @pytest.mark.parametrize("kind", [OneHot(3), Templates(3, 2)], ids=str)
    def test_what_is_no_index_gives_nan(self, kind, wrong):
        _, outputs = states_and_outputs(build(kind), np.array([[wrong], [1]], np.float32))
        assert np.isnan(outputs[0]).all()
        assert np.isfinite(outputs[1]).all()

    def test_templates(self):
        rows = np.arange(6.0).reshape(3, 2) / 7
        _, outputs = states_and_outputs(Model(Templates(3, 2), {"templates": rows}), np.array([[2.0], [0.0], [2.0]]))
        assert outputs.tolist() == rows[[2, 0, 2]].tolist()

    def test_fresh_templates_are_standard_normal(self):
        rows = build(Templates(60, 50)).weights["templates"]
        assert np.var(rows) == pytest.approx(1, rel=4 * np.sqrt(2 / rows.size))

    def test_gradients_of_templates_count_the_visits(self):
        layer, x = Templates(3, 2), jnp.array([[2.0], [0.0], [2.0]])
        total = jax.grad(lambda w: layer.run(w, (), x)[1].sum())({"templates": jnp.ones((3, 2))})
        assert total["templates"].tolist() == [[1, 1], [0, 0], [2, 2]]

    def test_powers(self):
        layer, x = Powers(3), jnp.array([[2.0], [-3.0], [0.0]])
        assert layer.run({}, (), x)[1].tolist() == [[1, 2, 4, 8], [1, -3, 9, -27], [1, 0, 0, 0]]
        slopes = jax.grad(lambda x: layer.run({}, (), x)[1].sum())(x)
        assert slopes.ravel().tolist() == [1 + 4 + 12, 1 - 6 + 27, 1]

    def test_any_function(self):
        layer = FeatureFunction(jnp.sin, 2, 2)
        x = np.random.default_rng(0).standard_normal((4, 2))
        np.testing.assert_allclose(states_and_outputs(Model(layer, {}), x.astype(np.float32))[1], np.sin(x), rtol=1e-5)

    @pytest.mark.parametrize(
        "kind", [OneHot(3), Templates(3, 4), Powers(2), FeatureFunction(jnp.cos, 1, 1)], ids=lambda k: type(k).__name__
    )
    def test_first_in_a_stack(self, kind):
        architecture = Deep((kind, ArithmeticCircuit(kind.output_size, 5, 2)))
        model = build(architecture)
        x = np.random.default_rng(0).integers(0, 3, (3, 6, 1)).astype(np.float32)
        alone = np.stack([states_and_outputs(model, one)[1] for one in x])
        np.testing.assert_allclose(jax.vmap(lambda one: states_and_outputs(model, one)[1])(x), alone, rtol=1e-5)
        start = architecture.start(model.weights)
        scanned = Recurrence.run(architecture, model.weights, start, jnp.asarray(x[0]))
        assert jax.tree.structure(scanned[0]) == jax.tree.structure(states_and_outputs(model, x[0])[0])
        np.testing.assert_allclose(scanned[1], alone[0], rtol=1e-5)
        slopes = jax.jit(jax.grad(lambda w: architecture.run(w, start, jnp.asarray(x[0]))[1].sum()))(model.weights)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
        assert hash(architecture) == hash(architecture)

    @pytest.mark.parametrize(
        "kind", [OneHot(3), Templates(3, 4), Powers(2), FeatureFunction(jnp.cos, 1, 1)], ids=lambda k: type(k).__name__
    )
    def test_no_steps(self, kind):
        assert states_and_outputs(build(kind), np.zeros((0, 1), np.float32))[1].shape == (0, kind.output_size)

    def test_a_function_of_another_shape_is_refused(self):
        layer = FeatureFunction(lambda x: x[0], 2, 2)
        with pytest.raises(ValueError, match=r"declared with size=2, it gives shape \(\); declare"):
            layer.run({}, (), jnp.ones((3, 2)))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ArithmeticCircuit, {"input_size": 2, "width": 3}),
        (ArithmeticCircuit, {"input_size": 2, "width": 3, "readout_size": 2}),
        (OneHot, {"symbols": 3}),
        (Templates, {"symbols": 3, "size": 2}),
        (Powers, {"degree": 2}),
        (FeatureFunction, {"input_size": 2, "size": 2}),
    ],
)
@pytest.mark.parametrize("size", [0, -3])
def test_impossible_sizes_are_refused(kind, settings, size):
    given = {"function": jnp.sin} if kind is FeatureFunction else {}
    for field in settings:
        with pytest.raises(ValueError, match=f"{kind.__name__} was asked for with {field}={size}; give at least 1"):
            kind(**(given | settings | {field: size}))


def test_features_must_fit_the_circuit():
    with pytest.raises(ValueError, match="gives 3 channels, layer 1 takes 4"):
        Deep((OneHot(3), ArithmeticCircuit(4, 2)))


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="takes 3 input channels, the inputs have 2"):
        states_and_outputs(drawn(CIRCUITS[0]), np.zeros((5, 2)))


def test_circuits_mix_with_other_layers():
    model = build(Deep((ArithmeticCircuit(2, 3), RNN(3, 4))))
    assert states_and_outputs(model, np.ones((5, 2), np.float32))[1].shape == (5, 4)
