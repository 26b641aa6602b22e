"""Spectra of trained weights: exact vectors, and random matrices drawn with the predicted hidden states."""

import numpy as np
import pytest
from mean_field_cases import VECTORS, chain, linear_case

from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import feedforward_chain
from hitherto.theory.mean_field_coherent import coherent_states
from hitherto.theory.mean_field_weights import outliers, outliers_of_moments, outliers_of_states


@pytest.mark.parametrize("case", VECTORS["D_linear"][:2], ids=["recurrent", "feedforward"])
def test_eigenvalues_of_a_sequence_are_the_oracles(case):
    found = outliers(linear_case(case), np.array(case["C"]))
    if case["outliers"] is None:
        assert len(found) == 5
        assert not any(len(each.visible_eigenvalues) for each in found)
        return
    pairs = [(value.real, abs(value.imag)) for value in found[0].eigenvalues[:2]]
    np.testing.assert_allclose(pairs, case["outliers"], atol=1e-7)


@pytest.mark.parametrize("row", VECTORS["B_rnn_T3"])
def test_the_outlier_of_three_times_is_the_oracles(row):
    state = recurrent_chain(3, row["Lambda"])[0]
    (found,) = outliers(chain(3, row["Lambda"]), state.kernel)
    assert abs(found.eigenvalues[0]) == pytest.approx(row["lambda_out"], abs=1e-8)
    assert len(found.visible_eigenvalues) == row.get("eig_outlier_visible", False)


@pytest.mark.parametrize(("signal", "value"), [(641.9753086, 2.944), (50, 2.312), (12, 2.06)])
def test_singular_values_of_three_times(signal, value):
    (found,) = outliers(chain(3, signal), recurrent_chain(3, signal)[0].kernel)
    assert found.singular_values == pytest.approx([value], abs=1e-3)


def test_the_outlier_at_the_maxwell_point_is_the_oracles():
    for row in VECTORS["C_transition_table"][2:5]:
        states = recurrent_chain(row["T"], row["Lam_maxwell"])
        kernel = next(state.kernel for state in states if state.coherent and state.stable)
        (found,) = outliers(chain(row["T"], row["Lam_maxwell"]), kernel)
        assert abs(found.eigenvalues[0]) == pytest.approx(row["outlier_maxwell"], rel=1e-6)


def test_feedforward_layers_have_singular_values_alone():
    problem = chain(4, 300.0, shared=False, recurrent_variance=2.0, input_variance=3.0)
    state = feedforward_chain(4, problem.groups["signal"])[0]
    scales = np.sqrt(3.0 * 2.0 ** np.arange(4))
    found = outliers(problem, state.kernel * np.outer(scales, scales))
    assert [each.times for each in found] == [(1,), (2,), (3,)]
    for each in found:
        assert len(each.visible_eigenvalues) == 0
        assert each.learned**2 == pytest.approx([2.0 * state.order])
        assert each.radius == pytest.approx(np.sqrt(2))


def test_units_of_the_weights_scale_the_spectrum():
    kernel = recurrent_chain(3, 60.0)[0].kernel
    (unit,) = outliers(chain(3, 60.0), kernel)
    scales = np.sqrt(0.5 * 1.7 ** np.arange(3))
    (scaled,) = outliers(chain(3, 60.0, recurrent_variance=1.7, input_variance=0.5), kernel * np.outer(scales, scales))
    np.testing.assert_allclose(scaled.eigenvalues, np.sqrt(1.7) * unit.eigenvalues, atol=1e-9)
    np.testing.assert_allclose(scaled.singular_values, np.sqrt(1.7) * unit.singular_values)


def test_drawn_weights_have_the_predicted_spectrum():
    width, rng = 500, np.random.default_rng(1)
    kernel = recurrent_chain(3, 641.9753)[0].kernel
    directions = np.linalg.qr(rng.normal(size=(width, 3)))[0]
    hidden = np.sqrt(width) * directions @ np.linalg.cholesky(kernel).T
    before, after = hidden[:, :2], hidden[:, 1:]
    pseudo = np.linalg.pinv(before)
    weights = after @ pseudo + rng.normal(size=(width, width)) / np.sqrt(width) @ (np.eye(width) - before @ pseudo)
    (found,) = outliers(chain(3, 641.9753), kernel)
    values = np.linalg.eigvals(weights)
    assert np.abs(values).max() == pytest.approx(abs(found.visible_eigenvalues[0]), abs=0.03)
    assert np.sum(np.abs(values) > 1.1) == len(found.visible_eigenvalues)
    singular = np.linalg.svd(weights, compute_uv=False)
    assert singular[0] == pytest.approx(found.singular_values[0], abs=0.03)
    assert singular[1] < 2.05


def test_a_nonlinear_network_has_the_measured_outliers():
    problem = chain(3, 1.0, activation="erf", noise=0.1)
    (state,) = coherent_states(problem, [6.7802], nodes=24)
    (found,) = outliers_of_moments(problem, state.kernel, state.crossed, state.states)
    assert found.eigenvalues[0].real == pytest.approx(1.446, abs=1e-3)
    assert found.singular_values == pytest.approx([2.200], abs=1e-3)
    with pytest.raises(ValueError, match="linear"):
        outliers(problem, state.kernel)


def test_later_inputs_leave_singular_values_open():
    case = VECTORS["D_linear"][2]
    (found,) = outliers(linear_case(case), np.array(case["C"]))
    with pytest.raises(ValueError, match="first time alone"):
        found.singular_values  # noqa: B018


def drawn(width, kernel, seed):
    """States of the kernel with the W that makes each from the one before, and is Gaussian beside."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(width, len(kernel))))[0]
    hidden = np.sqrt(width) * directions @ np.linalg.cholesky(kernel).T
    before, pseudo = hidden[:, :-1], np.linalg.pinv(hidden[:, :-1])
    fresh = rng.normal(size=(width, width)) / np.sqrt(width)
    return before.T[None], hidden[:, 1:] @ pseudo + fresh @ (np.eye(width) - before @ pseudo)


def test_the_states_of_one_network_tell_what_its_kernel_tells():
    kernel = recurrent_chain(3, 641.9753)[0].kernel
    (of_kernel,) = outliers(chain(3, 641.9753), kernel)
    states, w = drawn(64, kernel, 0)
    found = outliers_of_states(states, states @ w.T, 1.0)
    assert found.times == (1, 2)
    np.testing.assert_allclose(found.eigenvalues, of_kernel.eigenvalues, atol=1e-9)
    np.testing.assert_allclose(found.singular_values, of_kernel.singular_values, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_states_of_random_weights_let_no_outlier_expect(seed):
    rng = np.random.default_rng(seed)
    w = 1.3 * rng.normal(size=(200, 200)) / 200**0.5
    states = rng.normal(size=(20, 30, 200))
    found = outliers_of_states(states, states @ w.T, 1.3)
    assert len(found.eigenvalues) == 25
    assert len(found.visible_eigenvalues) == 0
    assert len(found.singular_values) == 0


def test_principal_directions_show_what_many_states_share():
    """A direction that W keeps, and that all states have a part of, stands at its eigenvalue and singular value."""
    rng = np.random.default_rng(0)
    kept = np.linalg.qr(rng.normal(size=(200, 1)))[0][:, 0]
    w = rng.normal(size=(200, 200)) / 200**0.5 @ (np.eye(200) - np.outer(kept, kept)) + 1.8 * np.outer(kept, kept)
    states = rng.normal(size=(20, 30, 200)) + 15 * rng.normal(size=(20, 30, 1)) * kept
    found = outliers_of_states(states, states @ w.T, 1.0)
    assert found.visible_eigenvalues == pytest.approx([np.max(np.linalg.eigvals(w).real)], abs=0.05)
    assert found.singular_values == pytest.approx([np.linalg.norm(w, 2)], abs=0.1)


def test_states_that_vanish_tell_nothing():
    found = outliers_of_states(np.zeros((1, 3, 16)), np.zeros((1, 3, 16)), 1.0)
    assert len(found.eigenvalues) == len(found.singular_values) == 0
