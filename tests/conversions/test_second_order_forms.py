"""Conversions between the forms of a second-order layer: the same tensor, the same outputs, the ranks as promised."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.conversions.second_order import (
    cp_to_full,
    cp_to_tt,
    full_to_cp,
    full_to_tt,
    multiplicative_to_cp,
    tt_to_full,
)
from hitherto.core.model import Model, build, states_and_outputs

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
CONVERSIONS = (cp_to_full, full_to_cp, tt_to_full, full_to_tt, cp_to_tt, multiplicative_to_cp)
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))  # width, inputs
few = settings(max_examples=40)


def drawn(layer, seed=0, dtype=np.float64):
    """A model of small whole numbers, whose tensors are exact in every form."""
    draw = np.random.default_rng(seed)
    shapes = layer.shapes() | {"initial_h": (layer.width,)}
    if layer.readout_size is not None:
        shapes |= {"readout_bias": (layer.readout_size,)}
    return Model(layer, {name: draw.integers(-2, 3, shape).astype(dtype) for name, shape in shapes.items()})


def full(tensor):
    return Model(SecondOrderRNN(tensor.shape[2], len(tensor), first_order=False, bias=False), {"tensor": tensor})


def tensor_of(model):
    """The tensor in the full form, whatever form the model has."""
    layer = model.architecture
    back = cp_to_full if layer.cp_rank else tt_to_full if layer.tt_ranks else lambda same: same
    return back(model).weights["tensor"]


def assert_sizes(model):
    """The weights have the shapes that the architecture says."""
    assert {n: w.shape for n, w in model.weights.items() if n in model.architecture.shapes()} == (
        model.architecture.shapes()
    )


def outputs(model, length=5):
    x = np.random.default_rng(1).standard_normal((length, model.architecture.input_size)) / 4
    return states_and_outputs(model, x)[1]


class TestExactVectors:
    (case,) = TRUTH["cp_eval"]

    def model(self):
        letters = {"factor_out": "C", "factor_hidden": "A", "factor_input": "B"}
        weights = {name: np.array(self.case["factors"][letter], float) for name, letter in letters.items()}
        first_order = (("weight_hh", "W"), ("weight_ih", "U"), ("bias", "b"))
        weights |= {name: np.array(self.case[letter], float) for name, letter in first_order}
        return Model(SecondOrderRNN(self.case["d"], self.case["n"], cp_rank=self.case["R"]), weights)

    def test_the_tensor(self):
        assert cp_to_full(self.model()).weights["tensor"].tolist() == self.case["A_full"]

    @pytest.mark.parametrize("form", [cp_to_full, cp_to_tt, lambda m: full_to_cp(cp_to_full(m))])
    def test_the_states(self, form):
        states, _ = states_and_outputs(form(self.model()), np.array(self.case["x"], float))
        assert states.h.tolist() == self.case["h"]

    def test_the_states_of_a_train_by_singular_values(self):
        states, _ = states_and_outputs(full_to_tt(cp_to_full(self.model())), np.array(self.case["x"], float))
        np.testing.assert_allclose(states.h, self.case["h"], rtol=1e-12)


@few
@given(sizes, st.integers(1, 5), seeds)
def test_the_forms_of_a_cp_layer_agree(size, rank, seed):
    width, inputs = size
    model = drawn(SecondOrderRNN(inputs, width, cp_rank=rank), seed)
    factors = (model.weights[f"factor_{role}"] for role in ("out", "hidden", "input"))
    tensor = np.einsum("ir,jr,mr->ijm", *factors)
    forms = cp_to_full(model), cp_to_tt(model), full_to_cp(cp_to_full(model))
    for form in forms:
        assert_sizes(form)
        np.testing.assert_array_equal(tensor_of(form), tensor)
    assert forms[1].architecture == replace(model.architecture, cp_rank=None, tt_ranks=(rank, rank))


@few
@given(sizes, seeds, st.floats(0, 1))
def test_slices_that_vanish_take_no_rank(size, seed, density):
    width, inputs = size
    draw = np.random.default_rng(seed)
    tensor = draw.standard_normal((width, width, inputs)) * (draw.random((width, width, inputs)) < density)
    model = full_to_cp(full(tensor))
    assert_sizes(model)
    np.testing.assert_array_equal(tensor_of(model), tensor)
    fibres = [int(np.count_nonzero(tensor.any(axis))) for axis in range(3)]
    assert model.architecture.cp_rank == max(1, min(fibres)) <= min(width**2, width * inputs)


@pytest.mark.parametrize(("shape", "rank"), [((3, 3, 2), 6), ((3, 3, 5), 9), ((1, 1, 4), 1)])
def test_a_tensor_without_zeros_takes_the_rank_of_its_slices(shape, rank):
    assert full_to_cp(full(np.ones(shape))).architecture.cp_rank == rank


class TestTensorTrain:
    @few
    @example((4, 3), (2, 1), 322)  # rounding of the first cut once passed for a rank
    @given(sizes, st.tuples(st.integers(1, 3), st.integers(1, 3)), seeds)
    def test_there_and_back(self, size, ranks, seed):
        width, inputs = size
        model = tt_to_full(drawn(SecondOrderRNN(inputs, width, tt_ranks=ranks), seed))
        back = full_to_tt(model)
        assert_sizes(back)
        tensor = model.weights["tensor"]
        np.testing.assert_allclose(tensor_of(back), tensor, rtol=0, atol=1e-13 * np.abs(tensor).max(initial=1))
        unfoldings = tensor.transpose(1, 0, 2).reshape(width, -1), tensor.reshape(width, -1)  # by hidden, by out
        assert back.architecture.tt_ranks == tuple(max(1, np.linalg.matrix_rank(u)) for u in unfoldings)

    @few
    @given(sizes, seeds, st.floats(0, 0.99))
    def test_the_error_is_within_the_tolerance(self, size, seed, tolerance):
        width, inputs = size
        tensor = np.random.default_rng(seed).standard_normal((width, width, inputs))
        found = full_to_tt(full(tensor), tolerance)
        exact = full_to_tt(full(tensor))
        error = np.linalg.norm(tensor_of(found) - tensor) / np.linalg.norm(tensor)
        assert error <= tolerance + 1e-14
        assert (np.array(found.architecture.tt_ranks) <= exact.architecture.tt_ranks).all()

    def test_a_tolerance_lowers_the_ranks(self):
        tensor = np.zeros((4, 4, 4))
        tensor[range(4), range(4), range(4)] = [1, 0.1, 0.01, 0.001]
        ranks = [full_to_tt(full(tensor), t).architecture.tt_ranks for t in (0, 0.002, 0.02, 0.2)]
        assert ranks == [(4, 4), (3, 3), (2, 2), (1, 1)]

    def test_float32_hides_what_is_below_its_rounding(self):
        layer = SecondOrderRNN(5, 6, tt_ranks=(2, 3))
        wide = build(layer, 0, np.float64)
        for model in (wide, wide.astype(np.float32)):
            assert full_to_tt(tt_to_full(model)).architecture.tt_ranks == (2, 3)

    def test_zero_takes_ranks_of_one(self):
        model = full_to_tt(full(np.zeros((3, 3, 2))))
        assert model.architecture.tt_ranks == (1, 1)
        assert not tensor_of(model).any()

    @pytest.mark.parametrize("tolerance", [-0.1, 1, float("nan")])
    def test_impossible_tolerances_are_refused(self, tolerance):
        with pytest.raises(ValueError, match=f"full_to_tt was asked with tolerance={tolerance}; give"):
            full_to_tt(full(np.ones((2, 2, 1))), tolerance)

    def test_entries_that_are_not_finite_are_refused(self):
        with pytest.raises(ValueError, match="not finite was to be converted; look for"):
            full_to_tt(full(np.full((2, 2, 1), np.nan)))
        with pytest.raises(ValueError, match="not finite was to be converted; look for"):
            full_to_cp(full(np.full((2, 2, 1), np.inf)))


SETTINGS = dict(readout_size=2, activation="tanh", output_activation="leaky_relu(0.1)")


@pytest.mark.parametrize("first_order", [True, False])
def test_all_forms_run_alike_and_keep_the_rest(first_order):
    layer = SecondOrderRNN(3, 4, cp_rank=2, first_order=first_order, bias=first_order, **SETTINGS)
    model = drawn(layer, seed=3)
    forms = cp_to_full(model), cp_to_tt(model), full_to_tt(cp_to_full(model)), full_to_cp(cp_to_full(model))
    kept = {"initial_h", "readout", "readout_bias"} | ({"weight_hh", "weight_ih", "bias"} if first_order else set())
    for form in forms:
        assert kept <= form.weights.keys()
        assert all(form.weights[name] is model.weights[name] for name in kept)
        assert replace(form.architecture, cp_rank=2, tt_ranks=None) == layer
        np.testing.assert_allclose(outputs(form), outputs(model), rtol=1e-11, atol=1e-13)


def test_multiplicative_integration_is_a_cp_layer():
    draw = np.random.default_rng(2)
    layer = MultiplicativeIntegrationRNN(3, 4, 2)
    sizes = {"weight_hh": (4, 4), "weight_ih": (4, 3), "readout": (2, 4), "readout_bias": (2,)}
    sizes |= dict.fromkeys(("gain", "gain_hh", "gain_ih", "bias", "initial_h"), (4,))
    model = Model(layer, {name: draw.uniform(-0.9, 0.9, shape) for name, shape in sizes.items()})
    converted = multiplicative_to_cp(model)
    assert converted.architecture == SecondOrderRNN(3, 4, 2, cp_rank=4, activation="tanh")
    assert_sizes(converted)
    assert set(converted.weights) == {*converted.architecture.shapes(), "initial_h", "readout_bias"}
    np.testing.assert_allclose(outputs(converted), outputs(model), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("convert", [cp_to_full, cp_to_tt])
def test_conversion_keeps_float32(convert):
    converted = convert(drawn(SecondOrderRNN(3, 4, cp_rank=2), dtype=np.float32))
    assert {w.dtype for w in converted.weights.values()} == {np.dtype(np.float32)}


def test_the_layers_of_a_stack_that_have_the_form_are_converted():
    layers = RNN(3, 2, activation="linear"), SecondOrderRNN(2, 3, cp_rank=2), SecondOrderRNN(3, 2, 1, cp_rank=1)
    stack = build(Deep(layers), dtype=np.float64).astype(np.float64)
    converted = cp_to_full(stack)
    assert converted.architecture == Deep((layers[0], *(replace(layer, cp_rank=None) for layer in layers[1:])))
    assert converted.weights[0] is stack.weights[0]
    np.testing.assert_allclose(outputs(converted), outputs(stack), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("convert", CONVERSIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [RNN(2, 3), Deep((RNN(2, 3), RNN(3, 3)))], ids=str)
def test_other_models_are_refused(convert, other):
    weights = ({},) * len(other.layers) if isinstance(other, Deep) else {}
    with pytest.raises(ValueError, match=rf"^{convert.__name__} takes a .*, found .*; give such a layer, or a stack"):
        convert(Model(other, weights))


@pytest.mark.parametrize(
    ("convert", "layer"),
    [
        (cp_to_full, SecondOrderRNN(2, 3)),
        (full_to_tt, SecondOrderRNN(2, 3, cp_rank=1)),
        (cp_to_tt, SecondOrderRNN(2, 3)),
    ],
)
def test_other_forms_are_refused(convert, layer):
    with pytest.raises(ValueError, match=rf"^{convert.__name__} takes a SecondOrderRNN with"):
        convert(drawn(layer))
