"""Complete positivity and dilations without a bound: exact vectors, known matrices, and huge inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unitary_cases import CASES, drawn_network, fractions, outputs, parts, rotation, states, twin

from hitherto.theory.unitary_network import Network, scaled_matrix
from hitherto.theory.unitary_positive import bound_free, bound_free_scale, completely_positive, dominant_factor

SEEDS = st.integers(0, 2**32 - 1)


def test_exact_vectors():
    case = CASES["O11_bound_free"]
    w, gram = (fractions(values).astype(float) for values in (case["inputs"]["W"], case["expected"]["gram"]))
    np.testing.assert_allclose(np.eye(2) - w.T @ w, gram, atol=1e-15)
    assert completely_positive(gram).answer == "yes"
    assert 2 + dominant_factor(gram).shape[1] == case["expected"]["N_diagonally_dominant_construction"]
    dilation = bound_free(w)
    assert len(dilation.weight_hh) == case["expected"]["N_minimum"]
    assert (dilation.into_extra <= 0).all()
    assert dilation.residual < 1e-15
    assert (dilation.corner == w).all()


def test_not_without_a_bound():
    w = np.array(CASES["O12_not_bound_free"]["inputs"]["W"])
    assert completely_positive(np.eye(2) - w.T @ w).answer == "no"
    assert bound_free(w) is None


@pytest.mark.parametrize("name", ["O1_scalar", "O5_zero", "O4_orthogonal"])
def test_where_the_bias_is_0(name):
    w = fractions(CASES[name]["inputs"]["W"]).astype(float)
    assert len(bound_free(w).weight_hh) == CASES[name]["expected"]["N"]


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=30)
def test_factors_are_found(seed, width):
    rng = np.random.default_rng(seed)
    b = np.maximum(rng.normal(size=(width, width + 1)), 0)
    found = completely_positive(b @ b.T)
    assert found.answer in ("yes", "not found" if width > 4 else "yes")
    if found.factor is not None:
        assert (found.factor >= 0).all()
        np.testing.assert_allclose(found.factor @ found.factor.T, b @ b.T, atol=1e-12)


@given(SEEDS, st.integers(2, 8))
@settings(max_examples=30)
def test_dominant_after_scaling(seed, width):
    rng = np.random.default_rng(seed)
    g = rng.random((width, width))
    g = (g + g.T) / 2
    np.fill_diagonal(g, g.sum(1) - np.diag(g) + rng.random(width) + 0.01)
    scale = np.exp(rng.normal(size=width))
    g = g * scale * scale[:, None] / (g * scale * scale[:, None]).max()
    found = completely_positive(g)
    assert found.answer == "yes"
    np.testing.assert_allclose(found.factor @ found.factor.T, g, atol=1e-12)


def test_necessary_conditions():
    assert completely_positive(np.array([[1.0, 2], [2, 1]])).answer == "no"
    assert completely_positive(np.array([[1.0, -0.1], [-0.1, 1]])).answer == "no"
    assert completely_positive(np.zeros((3, 3))).factor.shape == (3, 0)
    assert completely_positive(np.ones((2, 2))).factor.shape == (2, 1)


def test_a_nonnegative_matrix_that_is_not_completely_positive():
    """Positive semidefinite and nonnegative of five rows, yet no sum of nonnegative squares; nothing is claimed."""
    g = np.array([[1.0, 1, 0, 0, 1], [1, 2, 1, 0, 0], [0, 1, 2, 1, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 3]])
    assert np.linalg.eigvalsh(g)[0] > -1e-12
    found = completely_positive(g)
    assert (found.answer, found.factor) == ("not found", None)
    assert completely_positive(np.eye(13) + 0.2 * np.ones((13, 13))).answer == "not found"


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=30)
def test_diagonal_matrices_qualify(seed, width):
    rng = np.random.default_rng(seed)
    w = np.diag(rng.uniform(-1, 1, width))
    dilation = bound_free(w)
    assert len(dilation.weight_hh) == 2 * width
    assert dilation.residual < 2e-15


@given(SEEDS, st.integers(2, 4))
@settings(max_examples=30)
def test_huge_inputs_make_no_difference(seed, width):
    rng = np.random.default_rng(seed)
    own = drawn_network(rng, width)
    own = Network(-np.abs(own.weight_hh) * (1 - 2 * np.eye(width)), *parts(own)[1:])
    own = Network(0.6 * own.weight_hh / np.linalg.norm(own.weight_hh, 2), *parts(own)[1:])
    scale = bound_free_scale(own.weight_hh)
    if scale is None:
        return
    scaled = own.scaled(scale)
    dilation = bound_free(scaled.weight_hh)
    start = dilation.into_extra @ scaled.initial
    bias = np.where(start > 0, -start - 1e-12 * np.abs(scaled.initial).sum(), 0)
    x = 1e6 * rng.normal(size=(60, 2))
    larger = twin(parts(scaled), dilation.weight_hh, bias)
    assert not states(larger, x)[:, width:].any()
    np.testing.assert_allclose(outputs(larger, x), outputs(parts(scaled), x), rtol=1e-12, atol=1e-6)


def test_scales_that_make_it_so():
    """|w_12| is large: I - W^T W has a negative entry, and D^-1 W D has not."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        w = -np.abs(rng.normal(size=(3, 3))) * (1 - 2 * np.eye(3))
        w *= 0.7 / np.linalg.norm(w, 2)
        scale = bound_free_scale(w)
        if bound_free(w) is None and scale is not None:
            dilation = bound_free(scaled_matrix(w, scale))
            assert (dilation.into_extra <= 0).all()
            assert dilation.residual < 1e-11
            found += 1
    assert found > 5


def test_bad_input():
    with pytest.raises(ValueError, match="not symmetric"):
        completely_positive(np.array([[1.0, 2], [0, 1]]))
    with pytest.raises(ValueError, match="square matrix"):
        completely_positive(np.ones((1, 2)))
    with pytest.raises(ValueError, match="is complex"):
        bound_free(rotation(np.random.default_rng(0), 2) * 1j)
