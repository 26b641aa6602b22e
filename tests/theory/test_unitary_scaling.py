"""Scalings of the units: exact vectors, convexity, refusals with certificates, singular values at 1, pruning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unitary_cases import CASES, drawn_network, outputs, parts

from hitherto.theory.unitary import dilate, states_needed
from hitherto.theory.unitary_network import Inputs, Network, ball, box, scaled_matrix
from hitherto.theory.unitary_pruning import prune, unread_units
from hitherto.theory.unitary_scaling import certified_norm, copies_for, rescale
from hitherto.theory.unitary_unit_norm import UNIT, to_unit_norm

SEEDS = st.integers(0, 2**32 - 1)


def case(name) -> tuple[np.ndarray, dict]:
    return np.array(CASES[name]["inputs"]["W"], float), CASES[name]["expected"]


def radius(w) -> float:
    return float(np.abs(np.linalg.eigvals(w)).max())


def spectral_norm(w, scale) -> float:
    return float(np.linalg.norm(scaled_matrix(w, scale), 2))


@pytest.mark.parametrize("name", ["O6_rebalance", "O8_nilpotent_not_scalable", "O9_expansive_rotation"])
def test_least_norms(name):
    w, expected = case(name)
    found = rescale(w)
    assert found.norm == pytest.approx(expected["min_scaled_norm"], abs=1e-10)
    assert found.infimum == found.norm == spectral_norm(w, found.scale)
    assert found.attained
    assert found.proven == pytest.approx(found.norm, rel=1e-8)
    if "optimal_d2_over_d1" in expected:
        assert found.scale[1] / found.scale[0] == pytest.approx(expected["optimal_d2_over_d1"], abs=1e-8)
        assert radius(np.abs(w)) == pytest.approx(expected["spectral_radius_absW"])
    else:
        assert found.proven >= 1
        assert certified_norm(w, found.certificate) >= 1


def test_an_infimum_that_is_not_attained():
    w, expected = case("O7_triangular")
    found = rescale(w)
    assert found.infimum == pytest.approx(expected["infimum_scaled_norm"], abs=1e-12)
    assert not found.attained
    assert found.norm < 1
    ratio = found.scale[1] / found.scale[0]
    assert ratio < 0.038
    assert spectral_norm(w, np.array([1.0, 0.03801])) > 1 > spectral_norm(w, np.array([1.0, 0.03799]))


def test_long_chains_of_parts():
    """Every part drives the one before it and itself, and the links are far larger than the parts."""
    w = np.diag(np.full(6, 0.8)) + 50 * np.eye(6, k=1)
    found = rescale(w)
    assert found.norm < 1
    assert found.infimum == pytest.approx(0.8)
    assert (np.diff(found.scale) < 0).all()
    assert rescale(w.T).norm < 1
    assert rescale(np.triu(w, 1)).norm < 1
    assert rescale(np.zeros((3, 3))).norm == 0
    rng = np.random.default_rng(3)
    long = np.triu(0.3 * rng.normal(size=(128, 128)), 1) + 0.8 * np.eye(128)
    assert rescale(long).norm < 1 < np.linalg.norm(long, 2)


def test_a_vector_refuses():
    w, _ = case("O8_nilpotent_not_scalable")
    v = np.array([1.0, 1.0])
    assert certified_norm(w, np.outer(v, v)) == pytest.approx(1.2)
    with pytest.raises(ValueError, match="positive semidefinite"):
        certified_norm(w, np.diag([1.0, -1.0]))


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=40)
def test_log_norm_is_convex(seed, width):
    rng = np.random.default_rng(seed)
    w, a, b = rng.normal(size=(width, width)), rng.normal(size=width), rng.normal(size=width)
    share = rng.random()
    between = np.log(spectral_norm(w, np.exp(share * a + (1 - share) * b)))
    ends = share * np.log(spectral_norm(w, np.exp(a))) + (1 - share) * np.log(spectral_norm(w, np.exp(b)))
    assert between <= ends + 1e-12


@given(SEEDS, st.integers(1, 7), st.floats(0.2, 1.0))
@settings(max_examples=40)
def test_nothing_is_below_what_is_proven(seed, width, density):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(width, width)) * (rng.random((width, width)) < density)
    found = rescale(w)
    assert found.proven <= found.infimum * (1 + 1e-9) <= found.norm * (1 + 2e-9)
    assert found.norm == pytest.approx(spectral_norm(w, found.scale), rel=1e-9, abs=1e-300)
    assert found.infimum <= radius(np.abs(w)) * (1 + 1e-6)
    assert found.infimum <= np.linalg.norm(w, 2) * (1 + 1e-12)
    assert found.infimum >= radius(w) * (1 - 1e-6)
    for scale in np.exp(rng.normal(size=(20, width))):
        assert spectral_norm(w, scale) >= found.proven * (1 - 1e-9)
    if found.infimum < 1:
        assert found.norm < 1


@given(SEEDS, st.integers(2, 6))
@settings(max_examples=15)
def test_rescaling_does_not_depend_on_the_units(seed, width):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(width, width))
    other = scaled_matrix(w, np.exp(rng.normal(size=width)))
    assert rescale(other).infimum == pytest.approx(rescale(w).infimum, rel=1e-3)


def test_certificates_come_with_the_optimum():
    """At the optimum the slopes are balanced, which is a certificate: refusals are proven to within a percent."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        w = rng.normal(size=(8, 8))
        w /= rescale(w).infimum
        assert rescale(w).proven > 0.99
        assert rescale(1.02 * w).proven >= 1


def test_the_map_is_the_same():
    rng = np.random.default_rng(0)
    own = drawn_network(rng, 4, norm=3.0)
    x = rng.normal(size=(12, 2))
    scaled = own.scaled(np.exp(rng.normal(size=4)))
    np.testing.assert_allclose(outputs(parts(scaled), x), outputs(parts(own), x), rtol=1e-10, atol=1e-10)


def test_one_singular_value_at_1():
    w, expected = case("O10_reduce_to_2n_minus_1")
    found = to_unit_norm(w)
    ratio = found.scale[1] / found.scale[0]
    assert found.states == expected["N_reduced"] == states_needed(w).lower
    ends = [expected["d2_over_d1_upper"], expected["d2_over_d1_lower"]]
    assert min(abs(ratio - end) / end for end in ends) < 1e-10
    assert ratio == pytest.approx(ends[0], rel=1e-10)
    assert len(dilate(scaled_matrix(w, found.scale), UNIT).weight_hh) == 3
    assert len(dilate(w).weight_hh) == expected["N_plain"]


@pytest.mark.parametrize(("width", "ones"), [(2, 1), (3, 1), (4, 2), (8, 2), (16, 2)])
def test_several_singular_values_at_1(width, ones):
    own = drawn_network(np.random.default_rng(width), width)
    found = to_unit_norm(own.weight_hh)
    scaled = scaled_matrix(own.weight_hh, found.scale)
    values = np.linalg.svd(scaled, compute_uv=False)
    assert found.ones >= ones
    assert found.states == 2 * width - found.ones
    assert np.abs(values[: found.ones] - 1).max() < UNIT
    assert values[found.ones] < 1 - 1e-6
    dilation = dilate(scaled, UNIT)
    assert len(dilation.weight_hh) == found.states
    assert dilation.residual < 5e-15


def test_diagonal_matrices_have_no_better_scale():
    found = to_unit_norm(np.diag([0.5, 0.3]))
    assert (found.ones, found.states) == (0, 4)
    assert to_unit_norm(np.array([[0.5, 0.2], [0, 0.3]])).states == 3
    with pytest.raises(ValueError, match="starts from a norm below 1, got 1"):
        to_unit_norm(np.eye(2))


def test_copies_in_place_of_scales():
    w = np.array([[0.5, 2.0], [0.1, -0.4]])
    copies = copies_for(w, 20)
    assert copies.tolist() == [1, 6]
    assert spectral_norm(w, copies**-0.5) < 1
    assert copies_for(2 * w, 20) is None
    assert copies_for(np.array([[0.4, 30.0], [1e-4, 0.4]]), 8) is None


def layered(weight_hh, weight_ih, bias, readout, initial) -> Network:
    return Network(*(np.array(values, float) for values in (weight_hh, weight_ih, bias, readout, initial)))


def test_pruning_reasons():
    """Unit 0 stays; 1 is always off; 2 is not read; 3 is constant and drives 0; 4 reads 3 alone, so constant next."""
    own = layered(
        [
            [0.5, 1, 0, 0.5, 1],
            [-1, 0, 0, 0, 0],
            [1, 1, 0.3, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 2, 0],
        ],
        [[1], [1], [1], [0], [0]],
        [0.1, -3, 0, 2, -1],
        [[1, 1, 0, 0, 0]],
        [0.2, 0, 1, 2, 3],
    )
    inputs = box(np.array([-1.0]), np.array([1.0]))
    found = prune(own, inputs)
    assert (found.kept.tolist(), found.off, found.unread, found.constant) == ([0], (1,), (2,), (3, 4))
    np.testing.assert_allclose(found.bias, [0.1 + 0.5 * 2 + 3])
    assert prune(own).off == ()
    moved = layered(own.weight_hh, own.weight_ih, own.bias, own.readout, [0.2, 0.1, 1, 2, 0.5])
    assert prune(moved, inputs).kept.tolist() == [0, 1, 4]


def test_pruned_to_nothing():
    own = layered([[0.5, 1], [0, 0.2]], [[1], [0]], [-5, 1], [[1, 0]], [0, 1])
    assert prune(own, ball(1, 1.0)).kept.tolist() == []


@given(SEEDS, st.integers(1, 6), st.booleans())
@settings(max_examples=60)
def test_pruning_keeps_the_map(seed, width, bounded):
    rng = np.random.default_rng(seed)

    def sparse(*shape):
        return rng.normal(size=shape) * (rng.random(shape) < 0.4)

    own = Network(sparse(width, width), sparse(width, 2), rng.normal(size=width), sparse(1, width), np.zeros(width))
    silent = (np.abs(own.weight_hh).sum(1) + np.abs(own.weight_ih).sum(1)) == 0
    own = Network(*parts(own)[:4], np.where(silent, np.maximum(own.bias, 0), sparse(width)))
    inputs: Inputs | None = ball(2, 1.0) if bounded else None
    found = prune(own, inputs, 9)
    w, f, _, c, h = parts(own.part(found.kept)) if len(found.kept) else (np.zeros((0, 0)),) * 5
    x = rng.uniform(-0.7, 0.7, (9, 2))
    whole = outputs(parts(own), x)
    small = outputs((w, f, found.bias, c, h), x) if len(found.kept) else np.zeros_like(whole)
    np.testing.assert_allclose(small, whole, rtol=1e-9, atol=1e-9)
    gone = [*found.off, *found.unread, *found.constant]
    assert sorted([*gone, *found.kept.tolist()]) == list(range(width))


def test_unread_units_may_feed_each_other():
    w = np.array([[0.5, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    assert unread_units(w, np.array([[1.0, 0, 0]])).tolist() == [False, True, True]
    assert unread_units(w, np.array([[0, 0, 1.0]])).tolist() == [True, False, False]


def test_bad_input():
    with pytest.raises(ValueError, match="square matrix"):
        rescale(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="is complex"):
        rescale(np.eye(2) * 1j)
