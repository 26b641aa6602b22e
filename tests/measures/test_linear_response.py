"""Markov parameters, state orders, copy reaches and transfer functions of linear stacks."""

from fractions import Fraction

import jax
import numpy as np
import pytest
from linear_stacks import (
    TRUTH,
    collapsed,
    covariance,
    delay_line,
    in_other_coordinates,
    of_oracle,
    powers,
    random_stack,
    stack,
    with_identity_layer,
)

from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import DiagonalStateSpace, StateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model
from hitherto.measures.linear_response import copy_reach, hankel_rank, hankel_singular_values, markov_parameters
from hitherto.measures.transfer_function import denominator, numerator

NETS = TRUTH["linear_nets"]
COPY = TRUTH["copy_construction"][0]
# unimodular changes of coordinates and their inverses, in whole numbers
SHEAR = np.array([[1, 2], [0, 1]]), np.array([[1, -2], [0, 1]])
TURN = np.array([[2, 1], [1, 1]]), np.array([[1, -1], [-1, 2]])
WIDE = [case for case in NETS if case["widths"] == [2, 2]]


def named(case):
    return f"{case['widths']} d={case['d']}"


def as_fractions(model, divisor):
    split = np.vectorize(lambda value: Fraction(int(value), divisor), otypes=[object])
    return Model(model.architecture, jax.tree.map(split, model.weights))


@pytest.mark.parametrize("case", NETS, ids=named)
def test_nets_of_the_oracle(case):
    model = of_oracle(case)
    np.testing.assert_array_equal(markov_parameters(model, len(case["markov"])), case["markov"])
    rank = hankel_rank(model)
    assert (rank.value, rank.cannot_tell, rank.standard_error) == (case["hankel_rank"], "", 0.0)
    assert isinstance(rank.value, int)
    if "numerator_low_to_high" in case:
        assert list(numerator(model)) == case["numerator_low_to_high"]
        assert list(denominator(model)) == case["denominator_low_to_high"]


def test_markov_parameters_are_those_of_the_collapsed_system():
    model = random_stack(0, 3, 4, 2, 2)
    a, b, _, _ = collapsed(model)
    wanted = model.weights[-1]["readout"] @ powers(a, b, 30)[:, -4:]
    np.testing.assert_allclose(markov_parameters(model, 30), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", WIDE, ids=named)
def test_coordinates_do_not_matter(case):
    model = of_oracle(case)
    changed = in_other_coordinates(model, [SHEAR, TURN])
    np.testing.assert_array_equal(markov_parameters(changed, 8), markov_parameters(model, 8))
    assert hankel_rank(changed).value == case["hankel_rank"]
    assert denominator(changed) == denominator(model)
    assert numerator(changed) == numerator(model)


@pytest.mark.parametrize("case", WIDE, ids=named)
def test_an_identity_layer_changes_nothing(case):
    model = of_oracle(case)
    longer = with_identity_layer(model)
    np.testing.assert_array_equal(markov_parameters(longer, 8), markov_parameters(model, 8))
    assert hankel_rank(longer).value == case["hankel_rank"]
    assert (numerator(longer), denominator(longer)) == (numerator(model), denominator(model))


def test_one_layer_in_a_stack_is_that_layer():
    model = of_oracle(NETS[0])
    plain = Model(model.architecture.layers[0], model.weights[0])
    np.testing.assert_array_equal(markov_parameters(plain, 7), NETS[0]["markov"])
    assert hankel_rank(plain).value == 2
    assert list(numerator(plain)) == NETS[0]["numerator_low_to_high"]


def test_biases_and_the_first_state_do_not_enter():
    model = random_stack(0, 1, 3)
    there = {"bias_ih": np.full(3, 1e9), "bias_hh": np.ones(3), "initial_h": np.full(3, 1e9)}
    biased = Model(RNN(1, 3, 1, activation="linear"), model.weights[0] | there)
    np.testing.assert_allclose(markov_parameters(biased, 5), markov_parameters(model, 5), rtol=1e-12)


def test_growth_beyond_float64_is_told():
    model = stack([[[2.0]]], [[[1.0]]], [[1.0]])
    assert markov_parameters(model, 1024)[-1] == 2.0**1023
    with pytest.raises(
        ValueError, match="exceed float64 at lag 1024, as the spectral radius is 2; ask for at most 1024"
    ):
        markov_parameters(model, 1100)


@pytest.mark.parametrize("lags", [0, -1, True])
def test_lags_that_are_none_are_refused(lags):
    with pytest.raises(ValueError, match=f"lags={lags}; give a whole number from 1 on"):
        markov_parameters(delay_line(2), lags)


def test_fractions_are_taken_as_they_are():
    model = as_fractions(of_oracle(NETS[3]), 3)
    assert hankel_rank(model).value == NETS[3]["hankel_rank"]
    # W / 3 and three links of a third: z becomes z / 3 and all is divided by 27
    scaled = [Fraction(c, 27 * 3**k) for k, c in enumerate(NETS[3]["numerator_low_to_high"])]
    assert list(numerator(model)) == scaled
    assert list(denominator(model)) == [Fraction(c, 3**k) for k, c in enumerate(NETS[3]["denominator_low_to_high"])]


def test_a_prime_that_divides_a_denominator_is_replaced():
    model = of_oracle(NETS[0])
    first = hankel_rank(model).statistics["primes"]
    other = as_fractions(model, first[0])
    found = hankel_rank(other)
    assert found.value == 2
    assert first[0] not in found.statistics["primes"]
    assert found.statistics["primes"][0] == first[1]


def test_states_that_inputs_or_outputs_do_not_see_do_not_count():
    w, u, v = np.diag([1, 2, 3, 4]), [[1], [1], [0], [0]], [[1, 0, 1, 0]]
    assert hankel_rank(stack([w], [u], v)).value == 1
    assert list(denominator(stack([w], [u], v))) == [1, -10, 35, -50, 24]  # not reduced
    assert list(numerator(stack([w], [u], v))) == [1, -9, 26, -24]


def test_the_same_modes_in_every_channel_count_apart():
    doubled = stack([2 * np.eye(3, dtype=int)], [np.eye(3, dtype=int)], np.eye(3, dtype=int))
    assert hankel_rank(doubled).value == 3


def test_floats_out_of_training_leave_the_rank_open():
    exact = random_stack(0, 1, 3)
    grid = Model(exact.architecture, jax.tree.map(lambda w: np.round(w * 2**20) / 2**20, exact.weights))
    assert hankel_rank(grid).cannot_tell == ""
    assert "hankel_singular_values" in hankel_rank(exact).cannot_tell
    narrow = jax.tree.map(lambda w: w.astype(np.float32), exact.weights)
    assert hankel_rank(Model(exact.architecture, narrow)).cannot_tell


def test_other_linear_families_have_exact_ranks():
    names = {"log_decay": [-1.0, 0.5], "log_phase": [0.0, 1.0], "weight_ih": [[1.0], [2], [3], [1]]}
    modes = {name: np.array(w) for name, w in (names | {"readout": [[1.0, 1, 2, 1]]}).items()}
    rank = hankel_rank(Model(DiagonalStateSpace(1, 2, 1, normalise=False), modes))
    assert rank.value == 4
    assert rank.cannot_tell  # its multipliers are exponentials, rounded
    direct = {"weight_hh": [[1, 2], [3, 4]], "weight_ih": [[1], [0]], "readout": [[1, 1]], "direct": [[7]]}
    skip = Model(StateSpace(1, 2, 1, direct=True), {name: np.array(w) for name, w in direct.items()})
    assert (hankel_rank(skip).value, hankel_rank(skip).cannot_tell) == (2, "")
    assert list(numerator(skip)) == [8, -36, -14]  # 7 (1 - 5 z - 2 z^2) + 1 - z
    residual = Deep((RNN(1, 1, activation="linear", bias=False),) * 2, skip="residual")
    weights = tuple({"weight_hh": np.array([[k]]), "weight_ih": np.array([[1]])} for k in (2, 3))
    model = Model(residual, weights)
    # (1 + 1 / (1 - 2 z)) (1 + 1 / (1 - 3 z))
    assert (list(numerator(model)), list(denominator(model))) == ([4, -10, 6], [1, -5, 6])


def test_the_numerator_of_several_channels_has_the_zeros_that_a_stack_owns():
    model = of_oracle(next(case for case in NETS if case["widths"] == [3, 2] and case["d"] == 2))
    top, below = numerator(model), denominator(model)
    assert len(top) - 1 <= (3 - 2) + (2 - 2)
    z = 1e-2
    g = sum(block * z**k for k, block in enumerate(markov_parameters(model, 60)))
    ratio = sum(float(c) * z**k for k, c in enumerate(top)) / sum(float(c) * z**k for k, c in enumerate(below))
    assert np.linalg.det(g) == pytest.approx(ratio, rel=1e-9)


def test_a_numerator_needs_as_many_outputs_as_inputs():
    with pytest.raises(ValueError, match="2 outputs for 1 inputs"):
        numerator(stack([np.eye(2)], [np.ones((2, 1))], np.eye(2)))


def test_exact_answers_need_linear_models_with_finite_weights():
    with pytest.raises(ValueError, match="its step uses `tanh`"):
        hankel_rank(Model(RNN(1, 2, bias=False), delay_line(2).weights[0]))
    with pytest.raises(ValueError, match="hold inf"):
        denominator(stack([[[np.inf]]], [[[1.0]]], [[1.0]]))


def test_hankel_singular_values_are_those_of_a_long_hankel_matrix():
    model = random_stack(3, 2, 3, 2, 2, 0.7)
    g = markov_parameters(model, 240)
    hankel = np.block([[g[i + j] for j in range(120)] for i in range(120)])
    found = hankel_singular_values(model)
    np.testing.assert_allclose(found.value, np.linalg.svd(hankel, compute_uv=False)[:6], rtol=1e-8)
    assert found.statistics["gap_index"] == 6


def test_hankel_singular_values_of_a_delay_line_are_one():
    found = hankel_singular_values(delay_line(5))
    np.testing.assert_allclose(found.value, 1, atol=1e-14)
    assert found.statistics["gap_index"] == 5


def test_a_gap_shows_the_states_that_count():
    model, rng = random_stack(0, 1, 6), np.random.default_rng(1)
    own = model.weights[0]
    w = np.block([[own["weight_hh"], np.zeros((6, 3))], [np.zeros((3, 6)), np.diag([0.5, 0.3, 0.2])]])
    turn = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    u, v = turn @ np.vstack([own["weight_ih"], np.ones((3, 1))]), np.hstack([own["readout"], np.zeros((1, 3))]) @ turn.T
    wasteful = stack([turn @ w @ turn.T], [u], v)
    found = hankel_singular_values(wasteful)
    np.testing.assert_allclose(found.value[:6], hankel_singular_values(model).value, rtol=1e-9)
    assert found.statistics["gap_index"] == 6
    assert found.value[6:].max() < found.statistics["noise_floor"] < 1e-12
    assert hankel_rank(wasteful).value == 9  # rounding fills it
    assert hankel_rank(wasteful).cannot_tell


def test_small_singular_values_keep_their_digits():
    weak = 1e-13
    model = stack([np.diag([0.5, 0.25])], [[[1.0], [weak]]], [[1.0, 1.0]])
    product = 1 / (1 - 0.125) ** 2  # |P_12|^2 beside P_11 P_22 of both Gramians, which differ by the factor weak
    small = weak * (1 / 0.75 / 0.9375 - product) / (1 / 0.75)
    assert hankel_singular_values(model).value[1] == pytest.approx(small, rel=1e-10)


def test_a_growing_model_has_no_hankel_singular_values():
    with pytest.raises(ValueError, match=r"spectral radius is 1\.5 and must be below 1.*`hankel_rank`"):
        hankel_singular_values(stack([[[1.5]]], [[[1.0]]], [[1.0]]))


def test_a_model_that_ignores_its_input_has_no_order():
    nothing = stack([np.eye(2) / 2], [np.zeros((2, 1))], np.ones((1, 2)))
    assert hankel_rank(nothing).value == 0
    assert not hankel_singular_values(nothing).value.any()
    assert hankel_singular_values(nothing).statistics["gap_index"] == 0
    assert [copy_reach(nothing, read).value for read in ("all", "top", "output")] == [-1, -1, -1]


def test_the_copy_construction_copies():
    model = of_oracle(COPY)
    np.testing.assert_array_equal(markov_parameters(model, len(COPY["markov"])), COPY["markov"])
    assert [copy_reach(model, read).value for read in ("all", "top", "output")] == [1, 1, 1]


def test_copy_reach_of_delay_lines():
    line = delay_line(5)
    assert [copy_reach(line, read, 0).value for read in ("all", "top", "output")] == [4, 4, 4]
    # two layers of two and three cells: the upper one begins where the lower one ends
    split = stack([np.diag([1], -1), np.diag([1, 1], -1)], [[[1], [0]], [[0, 1], [0, 0], [0, 0]]], [[0, 0, 1]])
    assert copy_reach(split, "output").value == 3
    sooner = stack([*(w["weight_hh"] for w in split.weights)], [w["weight_ih"] for w in split.weights], [[1, 0, 0]])
    assert [copy_reach(sooner, read).value for read in ("all", "top", "output")] == [3, 3, 1]


def test_a_larger_tolerance_reaches_further_when_all_layers_are_read():
    nearly = stack([[[0.01]], [[0.02]]], [[[1.0]], [[1.0]]], [[1.0]])
    assert copy_reach(nearly, "all", 1e-3).value == 1
    assert copy_reach(nearly, "top", 1e-3).value == 0
    assert copy_reach(nearly, "all", 1e-9).value == -1


def test_one_channel_that_is_lost_ends_the_reach():
    model = stack([np.zeros((2, 2))], [[[1, 1], [1, 1]]])
    assert copy_reach(model).value == -1
    assert copy_reach(model).statistics["left"] == pytest.approx(0.5)
    assert copy_reach(model, tolerance=0.6).value == 0


def test_what_the_output_misses_is_its_error():
    model = random_stack(5, 2, 3, 2, 2, 0.6)
    a, b, _, _ = collapsed(model)
    readout = np.hstack([np.zeros((2, 3)), model.weights[-1]["readout"]])
    energy = np.diag(readout @ covariance(a, b) @ readout.T)
    wanted = (energy + 1 - 2 * np.diag(readout @ b)).max()
    assert copy_reach(model, "output").statistics["left"] == pytest.approx(wanted, rel=1e-9)


def test_a_skip_copies_the_present_input():
    layer = StateSpace(1, 1, 1, direct=True)
    weights = {"weight_hh": [[0.5]], "weight_ih": [[1.0]], "readout": [[0.0]], "direct": [[1.0]]}
    model = Model(layer, {name: np.array(w) for name, w in weights.items()})
    assert copy_reach(model, "output").value == 0
    shown = Model(layer, model.weights | {"readout": np.array([[1.0]])})
    assert copy_reach(shown, "output").statistics["left"] == pytest.approx(4 / 3)


def test_reaches_that_cannot_be_asked_are_refused():
    line = delay_line(3)
    with pytest.raises(ValueError, match="no reading 'bottom'"):
        copy_reach(line, "bottom")
    with pytest.raises(ValueError, match="tolerance=1; give a share from 0 to below 1"):
        copy_reach(line, tolerance=1)
    with pytest.raises(ValueError, match="3 outputs for 1 inputs"):
        copy_reach(stack([np.zeros((3, 3))], [np.ones((3, 1))]), "output")
    with pytest.raises(ValueError, match="spectral radius is 1 and must be below 1"):
        copy_reach(stack([[[1.0]]], [[[1.0]]]))
