"""Chains in closed form: exact vectors, brute force over all kernels, and finite differences."""

import numpy as np
import pytest
from conftest import oracle
from scipy.optimize import minimize

from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import CoherentOfThree, Incoherent, coexistence_noise, feedforward_chain, gain
from hitherto.theory.mean_field_stability import critical_gain, crossed_determinant, lag_hessian, spinodal_signal

ORACLE = oracle("mean_field")
UPPER = np.triu_indices(3)


def free_energy(kernel, labels, noise, shared=True):
    """F from its definition: patterns by pulse, orthogonal, labels (pattern, output) at the last time, time-major."""
    patterns = len(labels)
    sigma = np.eye(len(kernel))
    sigma[patterns:, patterns:] = kernel[:-patterns, :-patterns]
    if not shared:
        times = np.arange(len(kernel)) // patterns
        sigma *= np.equal.outer(times, times)
    covariance = kernel[-patterns:, -patterns:] + noise * np.eye(patterns)
    logs = np.linalg.slogdet(sigma)[1] - np.linalg.slogdet(kernel)[1]
    fit = np.trace(labels.T @ np.linalg.solve(covariance, labels))
    return (np.trace(np.linalg.solve(sigma, kernel)) + logs - len(kernel) + fit) / 2


def lowest(times, signal, noise, shared, starts):
    """The least F over kernels, from many starts."""
    rows = np.tril_indices(times)
    labels = np.array([[np.sqrt(signal)]])

    def cost(entries):
        factor = np.zeros((times, times))
        factor[rows] = entries
        factor[np.diag_indices(times)] = np.exp(factor.diagonal())
        return free_energy(factor @ factor.T, labels, noise, shared)

    rng = np.random.default_rng(times)
    bounds = [(-6, 6) if row == column else (-30, 30) for row, column in zip(*rows, strict=True)]
    return min(minimize(cost, rng.normal(0, 1, len(bounds)), bounds=bounds, tol=1e-13).fun for _ in range(starts))


@pytest.mark.parametrize("row", ORACLE["A_dnn_chain"])
def test_feedforward_chain_is_the_oracles(row):
    state = feedforward_chain(row["T"], row["Lambda"])[0]
    found = [state.order, state.variance, state.free_energy]
    np.testing.assert_allclose(found, [row["r"], row["cT_over_c0"], row["F"]], rtol=1e-9, atol=1e-13)
    assert state.stable
    assert not state.coherent
    assert gain(row["T"], row["Lambda"]) == pytest.approx(row["r"], rel=1e-9)


@pytest.mark.parametrize("row", ORACLE["B_rnn_T3"])
def test_recurrent_chain_of_three_is_the_oracles(row):
    state = recurrent_chain(3, row["Lambda"])[0]
    assert state.coherent == (row["phase"] == "coherent")
    np.testing.assert_allclose(state.kernel[UPPER], np.abs(row["C_rnn_upper"]), rtol=1e-8)
    assert state.free_energy == pytest.approx(row["F_rnn"], rel=1e-9)
    assert feedforward_chain(3, row["Lambda"])[0].free_energy == pytest.approx(row["F_dnn"], rel=1e-9)
    if state.coherent:
        assert 2 / (1 + state.order**2) == pytest.approx(row["m"], rel=1e-8)


@pytest.mark.parametrize("row", ORACLE["N_coexistence_large_kappa"])
def test_all_states_at_large_noise_are_the_oracles(row):
    solve = recurrent_chain if row["shared"] else feedforward_chain
    states = solve(row["T"], row["y2"], row["kappa"])
    # the oracle leaves out incoherent states that one W makes unstable
    listed = [s for s in states if s.coherent or not row["shared"] or s.order <= critical_gain(row["T"])]
    wanted = row["stationary_points"]
    by_variance = sorted(listed, key=lambda state: state.variance)
    found = [(s.variance, s.signal, s.free_energy) for s in by_variance]
    np.testing.assert_allclose(found, [(w["c_T"], w["Lambda"], w["F"]) for w in wanted], rtol=1e-7)
    assert by_variance.index(states[0]) == row["ground_state"]
    assert states[0].stable


def test_the_saddle_between_two_states_is_told_apart():
    states = feedforward_chain(3, 1e5, 1000)
    assert [state.stable for state in states] == [True, True, False]
    np.testing.assert_allclose([s.order for s in states], [16.278, 1.1527, 2.480], atol=5e-4)
    np.testing.assert_allclose([s.free_energy for s in states[:2]], [28.14, 49.94], rtol=1e-3)
    assert recurrent_chain(3, 1e5, 1000)[0].free_energy == pytest.approx(21.86, abs=5e-3)


@pytest.mark.parametrize(("times", "noise"), [(2, 62.58), (3, 39.43), (4, 32.77), (5, 29.64), (8, 25.82), (10, 24.74)])
def test_coexistence_begins_where_a_second_root_does(times, noise):
    assert coexistence_noise(times) == pytest.approx(noise, abs=0.01)
    exact = coexistence_noise(times)
    r = 1 + np.geomspace(1e-3, 1e2, 200_001)

    def signals(factor):
        return (r - 1) * (r**times + factor * exact) ** 2 / r**times

    assert np.all(np.diff(signals(1 - 1e-6)) > 0)
    assert np.any(np.diff(signals(1 + 1e-6)) < 0)
    turning = signals(1.2)[:-1][np.diff(signals(1.2)) < 0]
    assert len(feedforward_chain(times, turning[len(turning) // 2], 1.2 * exact)) == 3


def test_one_layer_never_coexists():
    assert coexistence_noise(1) == np.inf


@pytest.mark.parametrize(
    ("signal", "noise", "shared"), [(4, 0, True), (20, 0, True), (136, 25, True), (300, 25, False)]
)
def test_no_kernel_of_three_times_is_lower(signal, noise, shared):
    ground = (recurrent_chain if shared else feedforward_chain)(3, signal, noise)[0]
    assert lowest(3, signal, noise, shared, 12) == pytest.approx(ground.free_energy, abs=1e-7)
    direct = free_energy(ground.kernel, np.array([[np.sqrt(signal)]]), noise, shared)
    assert direct == pytest.approx(ground.free_energy, rel=1e-10)


def second_derivatives(function, size, step=1e-3):
    unit = step * np.eye(size)
    return np.array(
        [
            [(function(a + b) - function(a - b) - function(b - a) + function(-a - b)) / (4 * step**2) for b in unit]
            for a in unit
        ]
    )


@pytest.mark.parametrize(("times", "lag"), [(3, 1), (4, 1), (4, 2), (5, 3)])
def test_lag_hessian_is_the_second_derivative(times, lag):
    state = feedforward_chain(times, 3.0, 0.5)[0]
    deviations = np.sqrt(state.kernel.diagonal())

    def energy(correlations):
        kernel = state.kernel + np.diag(correlations, lag) + np.diag(correlations, -lag)
        kernel = np.where(np.eye(times, dtype=bool), state.kernel, kernel * np.outer(deviations, deviations))
        return free_energy(kernel, np.array([[np.sqrt(3.0)]]), 0.5)

    found = second_derivatives(energy, times - lag)
    np.testing.assert_allclose(found, lag_hessian(state.order, times - lag), atol=2e-4)


@pytest.mark.parametrize("times", [3, 4])
def test_two_directions_of_labels_turn_as_the_determinant_says(times):
    signals = [3.0, 0.4]
    gains = [feedforward_chain(times, signal, 0.5)[0].order for signal in signals]
    variances = np.array([[r**t for r in gains] for t in range(1, times + 1)]).ravel()
    labels = np.diag(np.sqrt(signals))

    def energy(correlations):
        kernel = np.diag(variances)
        for t, rho in enumerate(correlations):
            first, second = 2 * t, 2 * t + 3  # direction 0 at t, direction 1 at t + 1
            kernel[first, second] = kernel[second, first] = rho * np.sqrt(variances[first] * variances[second])
        return free_energy(kernel, labels, 0.5)

    found = np.linalg.det(second_derivatives(energy, times - 1))
    assert found == pytest.approx(crossed_determinant(*gains, times - 1), abs=2e-3)


@pytest.mark.parametrize("row", ORACLE["M_stability_min_eig"])
def test_stability_matrix_is_the_oracles(row):
    hessian = lag_hessian(row["r"], row["n"])
    assert np.linalg.eigvalsh(hessian)[0] == pytest.approx(row["min_eig"], abs=1e-10)
    assert np.linalg.det(hessian) == pytest.approx(row["det"], rel=1e-9, abs=1e-9)
    assert crossed_determinant(row["r"], row["r"], row["n"]) == pytest.approx(row["det"], rel=1e-9, abs=1e-9)


def test_first_instability_is_at_lag_one():
    for times in range(3, 12):
        least = [np.linalg.eigvalsh(lag_hessian(critical_gain(times), times - k))[0] for k in range(1, times)]
        assert least[0] == pytest.approx(0, abs=1e-12)
        assert min(least[1:]) > 1e-3
    assert crossed_determinant(1.5, 3, 2) == pytest.approx(0, abs=1e-12)
    assert [spinodal_signal(times) for times in (3, 4)] == [8, 2.53125]
    assert critical_gain(2) == np.inf


def test_nothing_to_learn_leaves_the_prior():
    for states in (feedforward_chain(4, 0, 2.0), recurrent_chain(4, 0)):
        assert len(states) == 1
        np.testing.assert_array_equal(states[0].kernel, np.eye(4))
        assert states[0].free_energy == 0
        assert states[0].signal == 0


def test_curves_and_their_states_agree():
    for curve, parameters in ((Incoherent(4), [-2.0, 1.0]), (CoherentOfThree(), [-1.0, 2.0])):
        variances, signals = curve.logs(np.array(parameters))
        states = [curve.state(parameter) for parameter in parameters]
        np.testing.assert_allclose(np.exp(variances), [state.variance for state in states])
        np.testing.assert_allclose(np.exp(signals), [state.signal for state in states])


@pytest.mark.parametrize("wrong", [(0, 1, 0), (3, -1, 0), (3, 1, -1), (3, np.nan, 0), (3, np.inf, 0)])
def test_impossible_chains_are_refused(wrong):
    with pytest.raises(ValueError, match="a chain has 1 time or more"):
        feedforward_chain(*wrong)
    with pytest.raises(ValueError, match="a chain has 1 time or more"):
        recurrent_chain(*wrong)


WEAK = [(3, 1e-10, 0.1), (5, 1e-30, 0.0), (3, 1.0, 1e5), (4, 1e99, 1e98)]


@pytest.mark.parametrize(("times", "signal", "noise"), WEAK)
def test_weak_signals_have_one_state(times, signal, noise):
    (state,) = feedforward_chain(times, signal, noise)
    weak = signal / (1 + noise) / (1 + noise)
    assert state.signal == pytest.approx(weak, rel=1e-5)
    assert state.free_energy == pytest.approx(signal / (1 + noise) / 2, rel=1e-5)
