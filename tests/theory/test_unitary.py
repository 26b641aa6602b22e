"""Dilations against exact vectors, orthogonality to rounding, exact fractions, and what a matrix leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unitary_cases import CASES, exact_network, fractions, network, outputs, parts, rotation, twin

from hitherto.theory.unitary import completed, defects, dilate, leak_spectrum, power_dilation, states_needed, truncated
from hitherto.theory.unitary_bounds import extra_bias
from hitherto.theory.unitary_exact import as_fractions, dilate_exactly
from hitherto.theory.unitary_network import Network, ball, box

DILATED = ["O1_scalar", "O2_rational_n2", "O3_one_unit_sv", "O4_orthogonal", "O5_zero"]
EXACT_OUTPUTS = ["O1_scalar", "O2_rational_n2", "O3_one_unit_sv"]
SEEDS = st.integers(0, 2**32 - 1)


def matrix(rng, gaps) -> np.ndarray:
    """Singular values 1 - gaps between random rotations."""
    return rotation(rng, len(gaps)) * (1 - gaps) @ rotation(rng, len(gaps))


@pytest.mark.parametrize("name", DILATED)
def test_exact_dilation(name):
    expected, w = CASES[name]["expected"], fractions(CASES[name]["inputs"]["W"])
    found, n = dilate_exactly(w), len(w)
    assert len(found) == expected["N"]
    assert (found.T @ found == np.eye(len(found), dtype=int)).all()
    assert (found[:n, :n] == w).all()
    below = found[n:, :n]
    assert (below.T @ below == np.eye(n, dtype=int) - w.T @ w).all()
    if "W21_gram" in expected:
        assert (below.T @ below == fractions(expected["W21_gram"])).all()


@pytest.mark.parametrize("name", EXACT_OUTPUTS)
def test_exact_outputs(name):
    own, case = exact_network(name), CASES[name]
    x, y = fractions(case["inputs"]["x"]), fractions(case["expected"]["y"])
    within = box(*(np.array([side(column) for column in x.T], float) for side in (min, max)))
    found = dilate_exactly(own[0])
    n = len(own[0])
    bias = extra_bias(network(name), found[n:, :n].astype(float), within, len(x))
    signs = np.concatenate([np.ones(n), bias.signs]).astype(int)
    orthogonal = found * signs * signs[:, None]
    larger = twin(own, orthogonal, as_fractions(bias.bias))
    assert (outputs(own, x) == y).all()
    assert (outputs(larger, x) == y).all()
    assert not outputs((*larger[:3], np.eye(len(found), dtype=int)[n:], larger[4]), x).any()


@pytest.mark.parametrize("name", DILATED)
def test_dilation_in_floats(name):
    w = fractions(CASES[name]["inputs"]["W"]).astype(float)
    found, expected = dilate(w), CASES[name]["expected"]
    assert len(found.weight_hh) == expected["N"] == states_needed(w).upper
    assert found.residual < 1e-15
    assert (found.corner == w).all()
    np.testing.assert_allclose(found.into_extra.T @ found.into_extra, np.eye(len(w)) - w.T @ w, atol=1e-15)


def test_states_needed():
    zero = states_needed(np.zeros((2, 2)))
    assert (zero.lower, zero.upper) == (CASES["O5_zero"]["expected"]["lower_bound_N"], 4)
    assert zero.lower_holds.startswith("rigorous")
    turned = rotation(np.random.default_rng(0), 5)
    assert states_needed(turned).lower == states_needed(turned).upper == 5
    assert states_needed(0.7 * np.eye(5)).lower == 10
    assert states_needed(0.7 * turned).lower == 6
    jordan = np.array([[0.5, 0.2, 0], [0, 0.5, 0], [0, 0, 0.5]])
    assert states_needed(jordan).lower == 5


@pytest.mark.parametrize("width", [1, 4, 32, 256])
@pytest.mark.parametrize("gap", [1e-2, 1e-6, 1e-10, 1e-14, 0.0, None])
def test_orthogonality(width, gap):
    rng = np.random.default_rng(width)
    gaps = 10 ** rng.uniform(-16, -1, width) if gap is None else np.full(width, gap)
    w = matrix(rng, gaps)
    found = dilate(w)
    assert found.residual <= 5e-15
    assert np.linalg.norm(found.weight_hh.T @ found.weight_hh - np.eye(len(found.weight_hh)), 2) <= 5e-15 * width**0.5
    assert np.abs(found.corner - w).max() <= found.rounding <= (width + 8) * np.finfo(float).eps
    if gap is not None and gap >= 1e-10:
        assert len(found.into_extra) == width
        assert (found.corner == w).all()


def test_rank_is_told_from_the_gaps():
    rng = np.random.default_rng(3)
    w = matrix(rng, np.array([0.5, 1e-3, 1e-7, 1e-11, 0.0, 0.0]))
    assert len(defects(w).sizes) == 4
    assert len(dilate(w, tolerance=1e-8).weight_hh) == 9
    np.testing.assert_allclose(defects(w).sizes[1:] ** 2, [2e-3, 2e-7, 2e-11], rtol=2e-3)


def test_complex_dilation():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(5, 5)) + 1j * rng.normal(size=(5, 5))
    w *= 0.9 / np.linalg.norm(w, 2)
    found = dilate(w)
    assert found.residual < 2e-15
    assert (found.corner == w).all()


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=30)
def test_flips_keep_what_matters(seed, width):
    rng = np.random.default_rng(seed)
    w = matrix(rng, rng.random(width))
    found = dilate(w)
    flipped = found.flipped(np.sign(rng.normal(size=width)))
    assert flipped.residual <= found.residual + 1e-16
    assert (flipped.corner == w).all()
    assert (np.abs(flipped.weight_hh) == np.abs(found.weight_hh)).all()


@pytest.mark.parametrize("extra", range(5))
def test_truncated(extra):
    rng = np.random.default_rng(1)
    w = matrix(rng, np.array([0.4, 0.3, 0.2, 0.1]))
    found = truncated(w, extra)
    orthogonal = completed(found.corner, (found.directions * found.sizes).T)
    assert len(orthogonal.weight_hh) == 4 + extra
    assert orthogonal.residual < 1e-15
    assert found.rounding == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0][extra], abs=1e-14)
    assert np.linalg.norm(found.corner - w, 2) == pytest.approx(found.rounding, abs=1e-14)


@given(SEEDS, st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=20)
def test_power_dilation(seed, width, horizon):
    rng = np.random.default_rng(seed)
    w = matrix(rng, np.where(rng.random(width) < 0.3, 0, rng.random(width)))
    found = power_dilation(w, horizon)
    assert found.residual < 5e-15
    assert len(found.weight_hh) == width + horizon * (len(dilate(w).weight_hh) - width)
    for power in range(1, horizon + 1):
        both = np.linalg.matrix_power(found.weight_hh, power)[:width, :width], np.linalg.matrix_power(w, power)
        np.testing.assert_allclose(*both, atol=1e-14)


def test_a_linear_network_over_few_steps():
    name, horizon = "O2_rational_n2", 6
    own = parts(network(name))
    x = fractions(CASES[name]["inputs"]["x"]).astype(float)[:horizon]
    larger = twin(own, power_dilation(own[0], horizon).weight_hh, 0.0)
    np.testing.assert_allclose(outputs(larger, x, np.asarray), outputs(own, x, np.asarray), atol=1e-14)


def test_leaks():
    w = fractions(CASES["O3_one_unit_sv"]["inputs"]["W"]).astype(float)
    found = leak_spectrum(w)
    np.testing.assert_allclose(found.leaks, [1 - 0.36, 0], atol=1e-14)
    assert found.half_lives[0] == pytest.approx(np.log(2) / -np.log(0.6))
    assert leak_spectrum(np.diag([1.0, 0.0])).half_lives.tolist() == [0.0, np.inf]
    np.testing.assert_allclose(0.8 ** leak_spectrum(np.array([[0.8]])).half_lives, [0.5])


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=20)
def test_leaks_are_the_energy_lost(seed, width):
    rng = np.random.default_rng(seed)
    w = matrix(rng, rng.random(width))
    assert leak_spectrum(w).leaks.sum() == pytest.approx(width - (w**2).sum(), abs=1e-12)


@pytest.mark.parametrize("rows", [[["1/2"]], [["2"]], [["1/2", "1/3"], ["1/5", "1/7"]]])
def test_irrational_or_expansive_is_refused(rows):
    with pytest.raises(ValueError, match=r"rational|at most 1"):
        dilate_exactly(fractions(rows))


def test_bad_input():
    for shape in [(2, 3), (0, 0)]:
        with pytest.raises(ValueError, match=r"square matrix with at least one row, got the shape \(\d, \d\)"):
            dilate(np.zeros(shape))
    with pytest.raises(ValueError, match=r"weight_hh holds nan at \(0, 1\)"):
        dilate(np.array([[0.1, np.nan], [0, 0]]))
    with pytest.raises(ValueError, match=r"one of norm 1\.5"):
        dilate(np.array([[1.5]]))
    with pytest.raises(ValueError, match="horizon of at least 1"):
        power_dilation(np.eye(2), 0)
    with pytest.raises(ValueError, match="5 extra states"):
        truncated(np.eye(4), 5)
    with pytest.raises(ValueError, match=r"weight_ih of the shape \(3, 1\)"):
        Network(np.eye(2), np.ones((3, 1)), np.zeros(2), np.ones((1, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"readout of the shape \(2, 1\)"):
        Network(np.eye(2), np.ones((2, 1)), np.zeros(2), np.ones((2, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="bias holds inf at"):
        Network(np.eye(2), np.ones((2, 1)), np.array([0, np.inf]), np.ones((1, 2)), np.zeros(2))
    for radius in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="a bound on the inputs was asked for"):
            ball(2, radius)
    with pytest.raises(ValueError, match="low <= high"):
        box(np.ones(2), np.zeros(2))
