"""Second-order layers against exact vectors, exact rationals, slow loops and finite differences."""

import json
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures import second_order
from hitherto.architectures.as_json import from_json
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import PIECE, SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, Recurrence, build, precision, states_and_outputs, visible

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
FORMS = (
    SecondOrderRNN(3, 4),
    SecondOrderRNN(3, 4, 2, first_order=False, activation="tanh", output_activation="sigmoid"),
    SecondOrderRNN(1, 1, 1, bias=False, activation="leaky_relu(0.1)"),
    SecondOrderRNN(3, 4, cp_rank=5),
    SecondOrderRNN(3, 4, 2, cp_rank=2, activation="tanh", output_activation="leaky_relu(0.1)"),
    SecondOrderRNN(3, 4, cp_rank=3, first_order=False, bias=False),
    SecondOrderRNN(1, 1, cp_rank=1),
    SecondOrderRNN(3, 4, 2, tt_ranks=(2, 5), activation="tanh"),
)
SETTINGS = {"2rnn": {}, "cprnn": {}, "birnn": {"first_order": False, "bias": False}}  # by name in the oracles
LONG = 2 * PIECE + 3
NONLINEAR = {
    "linear": lambda a: a,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "leaky_relu(0.1)": lambda a: np.where(a < 0, 0.1 * a, a),
}
every_form = pytest.mark.parametrize("layer", FORMS, ids=str)


def inputs(layer, length, seed=0):
    return np.random.default_rng(seed).standard_normal((length, layer.input_size))


def started(layer):
    """A model whose first state is not zero, so that every term acts at every step."""
    draw = np.random.default_rng(2)
    bound = 0.8 / np.sqrt(layer.width)
    shapes = layer.shapes() | {"initial_h": (layer.width,)}
    return Model(layer, {name: draw.uniform(-bound, bound, shape) for name, shape in shapes.items()})


def full(entry):
    """A 2RNN of the oracles, h_top and all: one layer of exact integers."""
    tensor = np.array(entry["A"], float)
    weights = {
        "tensor": tensor,
        "weight_hh": np.array(entry["W"], float),
        "weight_ih": np.array(entry["U"], float),
        "bias": np.array(entry["b"], float),
    }
    return Model(SecondOrderRNN(tensor.shape[2], tensor.shape[0]), weights)


def stacked(models):
    return Model(Deep(tuple(m.architecture for m in models)), tuple(m.weights for m in models))


def slow_states(layer, weights, xs, h):
    """The recurrence by its definition, sum by sum, in whatever numbers the weights hold."""
    tensor, states = slow_tensor(layer, weights), []
    for x in xs:
        new = []
        for i in range(layer.width):
            total = weights["bias"][i] if layer.bias else 0
            total += sum(tensor[i, j, m] * h[j] * x[m] for j in range(layer.width) for m in range(layer.input_size))
            if layer.first_order:
                total += sum(weights["weight_hh"][i, j] * h[j] for j in range(layer.width))
                total += sum(weights["weight_ih"][i, m] * x[m] for m in range(layer.input_size))
            new.append(total)
        h = new if layer.activation == "linear" else NONLINEAR[layer.activation](np.array(new, float))
        states.append(h)
    return np.array(states)


def slow_tensor(layer, weights):
    """The tensor by its definition, entry by entry."""
    if layer.cp_rank is not None:
        out, hidden, entering = (weights[f"factor_{role}"] for role in ("out", "hidden", "input"))
        return np.array([[[sum(o * g * e) for e in entering] for g in hidden] for o in out])
    if layer.tt_ranks is not None:
        hidden, entering, out = (weights[f"train_{role}"] for role in ("hidden", "input", "out"))
        seen = range(layer.input_size)
        return np.array([[[h @ entering[:, m] @ o for m in seen] for h in hidden] for o in out.T])
    return weights["tensor"]


def assert_run_is_a_scan_of_step(model, x):
    layer = model.architecture
    with precision(np.float64):
        first, x = layer.start(model.weights), jnp.asarray(x)
        ran = jax.jit(layer.run)(model.weights, first, x)
        scanned = jax.jit(partial(Recurrence.run, layer))(model.weights, first, x)
    for got, truth in zip(jax.tree.leaves(ran), jax.tree.leaves(scanned), strict=True):
        assert got.shape == truth.shape
        np.testing.assert_allclose(got, truth, rtol=1e-11, atol=1e-13)


class TestExactVectors:
    @pytest.mark.parametrize("case", TRUTH["two_rnn_eval"], ids=lambda c: f"L{c['L']}n{c['n']}d{c['d']}")
    def test_stacks_of_full_layers(self, case):
        model = stacked([full(entry) for entry in case["layers"]])
        _, outputs = states_and_outputs(model, np.array(case["x"], float))
        assert outputs.tolist() == case["h_top"]

    def test_a_cp_layer(self):
        (case,) = TRUTH["cp_eval"]
        letters = {"factor_out": "C", "factor_hidden": "A", "factor_input": "B"}
        weights = {name: np.array(case["factors"][letter], float) for name, letter in letters.items()}
        weights |= {
            name: np.array(case[k], float) for name, k in (("weight_hh", "W"), ("weight_ih", "U"), ("bias", "b"))
        }
        model = Model(SecondOrderRNN(case["d"], case["n"], cp_rank=case["R"]), weights)
        states, _ = states_and_outputs(model, np.array(case["x"], float))
        assert states.h.tolist() == case["h"]

    @pytest.mark.parametrize("case", TRUTH["wfa"], ids=lambda c: c["name"])
    def test_automata(self, case):
        model = full(case["layer"])
        for word, value in zip(case["words"], case["values"], strict=True):
            x = np.array([[letter == "a", letter == "b"] for letter in word], float).reshape(-1, 2)
            states, _ = states_and_outputs(model, x)
            last = states.h[-1] if word else np.zeros(model.architecture.width)
            assert (np.array(case["V"]) @ last + case["c"]).tolist() == [value]

    @pytest.mark.parametrize("case", [c for c in TRUTH["param_counts"] if c["model"] in SETTINGS], ids=str)
    def test_parameter_counts(self, case):
        n, outputs, seen = case["n"], case["o"], case.get("emb", case.get("d"))
        layer = partial(SecondOrderRNN, cp_rank=case.get("R"), **SETTINGS[case["model"]])
        between = (layer(n, n),) * (case["L"] - 2)
        stack = Deep((layer(seen, n), *between, layer(n, n, outputs)))
        count = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(stack.init, jax.random.key(0))))
        assert count + outputs + case.get("vocab", 0) * case.get("emb", 0) == case["count"]  # our readouts have no bias


@pytest.mark.parametrize("form", [{}, {"cp_rank": 1}, {"cp_rank": 3}, {"tt_ranks": (2, 3)}], ids=str)
@pytest.mark.parametrize("first_order", [True, False])
def test_linear_layers_give_the_exact_rationals(form, first_order):
    layer = SecondOrderRNN(2, 3, first_order=first_order, **form)
    draw = np.random.default_rng(3)
    eighths = {name: draw.integers(-8, 9, shape) for name, shape in (layer.shapes() | {"initial_h": (3,)}).items()}
    x = draw.integers(-8, 9, (3, 2))
    as_fraction = np.vectorize(lambda k: Fraction(int(k), 8), otypes=[object])
    exact = {name: as_fraction(k) for name, k in eighths.items()}
    truth = slow_states(layer, exact, as_fraction(x), exact["initial_h"])
    states, _ = states_and_outputs(Model(layer, {name: k / 8 for name, k in eighths.items()}), x / 8)
    assert [[Fraction(v) for v in row] for row in states.h.tolist()] == truth.tolist()


@every_form
class TestForms:
    def test_slow_evaluation(self, layer):
        model = started(layer)
        x = inputs(layer, LONG)
        truth = slow_states(layer, model.weights, x, model.weights["initial_h"])
        left = NONLINEAR[layer.output_activation](truth)
        states, outputs = states_and_outputs(model, x)
        expected = left if layer.readout_size is None else left @ model.weights["readout"].T
        assert (states.h.dtype, outputs.dtype) == (np.float64, np.float64)
        np.testing.assert_allclose(states.h, truth, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(outputs, expected, rtol=1e-11, atol=1e-13)

    def test_run_is_a_scan_of_step(self, layer):
        assert_run_is_a_scan_of_step(started(layer), inputs(layer, LONG))

    def test_gradients_are_the_finite_differences(self, layer):
        model = started(layer)
        at = (model.weights, inputs(layer, LONG) / 2)
        draw = np.random.default_rng(5)
        along = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape), at)

        def loss(weights, x):
            states, outputs = layer.run(weights, layer.start(weights), x)
            return jnp.mean(outputs**2) + jnp.mean(jnp.cos(states.h))

        with precision(np.float64):
            everything = jax.jit(lambda at: (*jax.jvp(loss, at, along), jax.grad(loss, (0, 1))(*at)))
            _, forward, backward = everything(at)
            ahead, behind = (everything(jax.tree.map(lambda a, v, e=e: a + e * v, at, along)) for e in (1e-6, -1e-6))
        slope = float(ahead[0] - behind[0]) / 2e-6
        products = jax.tree.map(lambda g, v: np.sum(np.asarray(g) * v), backward, along)
        assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        assert float(forward) == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_a_batch_is_a_loop(self, layer):
        model = started(layer)
        batch = np.stack([inputs(layer, LONG, seed) for seed in range(3)])
        alone = np.stack([states_and_outputs(model, x)[1] for x in batch])
        with precision(np.float64):
            together = jax.jit(jax.vmap(lambda x: states_and_outputs(model, x)[1]))(batch)
        np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-13)

    def test_float32_is_near_float64(self, layer):
        model, x = started(layer), inputs(layer, LONG)
        narrow = states_and_outputs(model.astype(np.float32), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {np.dtype(np.float32)}
        np.testing.assert_allclose(narrow[1], states_and_outputs(model, x)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [FORMS[0], FORMS[3]], ids=str)
class TestEdges:
    @pytest.mark.parametrize("length", [0, 1])
    def test_the_shortest_sequences(self, layer, length):
        assert_run_is_a_scan_of_step(started(layer), inputs(layer, length))

    def test_without_jit(self, layer):
        model, x = started(layer), inputs(layer, PIECE + 1)
        with precision(np.float64), jax.disable_jit():
            _, outputs = layer.run(model.weights, layer.start(model.weights), jnp.asarray(x))
        np.testing.assert_allclose(outputs, states_and_outputs(model, x)[1], rtol=1e-11, atol=1e-13)

    def test_without_initial_h_it_starts_at_zero(self, layer):
        weights = started(layer).weights
        free = {name: weight for name, weight in weights.items() if name != "initial_h"}
        zeroed = weights | {"initial_h": np.zeros(layer.width)}
        x = inputs(layer, 3)
        np.testing.assert_array_equal(*(states_and_outputs(Model(layer, w), x)[1] for w in (free, zeroed)))


@pytest.mark.parametrize("length", [PIECE, PIECE + 1, 2 * PIECE])
def test_pieces_fit_together_at_their_ends(length):
    assert_run_is_a_scan_of_step(started(FORMS[0]), inputs(FORMS[0], length))


@pytest.mark.slow
def test_making_matrices_again_changes_no_gradient(monkeypatch):
    def gradient():
        layer = SecondOrderRNN(2, 5, activation="tanh")
        with precision(np.float64):
            x = jnp.asarray(inputs(layer, LONG))
            return jax.grad(lambda w: (layer.run(w, layer.start(w), x)[1] ** 2).sum())(started(layer).weights)

    kept = gradient()
    made = []
    monkeypatch.setattr(second_order, "KEPT", 0)
    monkeypatch.setattr(second_order.jax, "checkpoint", lambda f, again=jax.checkpoint: made.append(f) or again(f))
    again = gradient()
    assert len(made) == 1
    for name in kept:
        np.testing.assert_allclose(again[name], kept[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "layer",
    [
        SecondOrderRNN(30, 40, 20, variance=0.5),
        SecondOrderRNN(30, 40, cp_rank=50),
        SecondOrderRNN(30, 40, tt_ranks=(9, 8)),
    ],
    ids=str,
)
def test_fresh_weights_follow_their_law(layer):
    for name, weight in build(layer).weights.items():
        fan_in = 40 * 30 if name == "tensor" else 40
        assert np.abs(weight).max() <= np.sqrt(3 * layer.variance / fan_in)
        # the variance of that many uniform numbers scatters by 0.9 of 1 / sqrt(their count)
        assert np.var(weight) == pytest.approx(layer.variance / fan_in, rel=4 / np.sqrt(weight.size))


def test_the_output_activation_leaves_the_recurrence_alone():
    x, model = inputs(FORMS[0], 5), started(FORMS[0])
    bent = Model(replace(FORMS[0], output_activation="relu"), model.weights)
    np.testing.assert_array_equal(states_and_outputs(bent, x)[0].h, states_and_outputs(model, x)[0].h)


def test_a_stack_runs_and_shows_every_h():
    stack = Deep((SecondOrderRNN(2, 3, output_activation="tanh"), SecondOrderRNN(3, 4, 2, cp_rank=2)))
    states, outputs = states_and_outputs(build(stack), np.ones((5, 2), np.float32))
    assert [h.shape for h in visible(states)] == [(5, 3), (5, 4)]
    assert outputs.shape == (5, 2)


@pytest.mark.parametrize("field", ["input_size", "width", "readout_size"])
@pytest.mark.parametrize("size", [0, -3])
def test_impossible_sizes_are_refused(field, size):
    with pytest.raises(ValueError, match=f"SecondOrderRNN was asked for with {field}={size}; give at least 1"):
        SecondOrderRNN(**({"input_size": 2, "width": 3} | {field: size}))


def test_rank_0_is_a_plain_network():
    with pytest.raises(ValueError, match="cp_rank=-1; give"):
        SecondOrderRNN(2, 3, cp_rank=-1)
    layer = SecondOrderRNN(2, 3, 1, cp_rank=0)
    model, inputs = build(layer, 0), np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    w = model.weights
    plain = {"weight_hh": w["weight_hh"], "weight_ih": w["weight_ih"], "readout": w["readout"]}
    plain |= {"bias_ih": w["bias"], "bias_hh": 0 * w["bias"]}
    twin = Model(RNN(2, 3, 1, activation="linear"), plain)
    np.testing.assert_allclose(states_and_outputs(model, inputs)[1], states_and_outputs(twin, inputs)[1], rtol=1e-5)


@pytest.mark.parametrize("ranks", [(0, 2), (2, -1)])
def test_impossible_ranks_of_a_train_are_refused(ranks):
    with pytest.raises(ValueError, match=r"was asked for with tt_ranks=\(.*\); give two numbers from 1 on"):
        SecondOrderRNN(2, 3, tt_ranks=ranks)


def test_one_rank_does_not_make_a_train():
    with pytest.raises(ValueError, match="tt_ranks"):
        from_json('{"kind": "SecondOrderRNN", "input_size": 2, "width": 3, "tt_ranks": [2]}')


def test_two_forms_at_once_are_refused():
    with pytest.raises(ValueError, match=r"with cp_rank=2 and tt_ranks=\(2, 2\), .*; give one of them"):
        SecondOrderRNN(2, 3, cp_rank=2, tt_ranks=(2, 2))


@pytest.mark.parametrize("field", ["activation", "output_activation"])
def test_unknown_activations_are_refused_with_the_near_ones(field):
    with pytest.raises(ValueError, match=r"'?tanhh'?.*\btanh\b"):
        SecondOrderRNN(2, 3, **{field: "tanhh"})


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="takes 3 input channels, the inputs have 2"):
        states_and_outputs(build(SecondOrderRNN(3, 4)), np.zeros((5, 2), np.float32))
