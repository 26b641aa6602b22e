"""Coherent chains of any length and their landmarks: exact vectors, closed forms, and the free energy itself."""

import numpy as np
import pytest
from conftest import oracle
from test_mean_field_chain import free_energy

from hitherto.theory.mean_field_atlas import landmarks, strong_signal_ratios, tricritical_noise
from hitherto.theory.mean_field_branch import Coherent, coherent_branch, recurrent_chain
from hitherto.theory.mean_field_chain import CoherentOfThree, correlation, feedforward_chain

TABLE = oracle("mean_field")["C_transition_table"]
NAMES = dict(
    r_star="critical_gain",
    Lam_spinodal="spinodal",
    Lam_fold="fold",
    Lam_maxwell="maxwell",
    rho_maxwell="maxwell_correlation",
    rho_fold="fold_correlation",
    cT_broken="variance",
    r_sym="gain",
    outlier_maxwell="outlier",
)
BARRIERS = {5: 3.3e-6, 6: 7.2e-5, 8: 2.9e-4, 10: 4.4e-4, 12: 5.1e-4}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row["T"]))
def test_landmarks_are_the_oracles(row):
    found = landmarks(row["T"])
    for name, ours in NAMES.items():
        if name in row:
            assert getattr(found, ours) == pytest.approx(row[name], rel=1e-6), name
    assert found.continuous == ("Lam_fold" not in row)
    if row["T"] in BARRIERS:
        assert found.barrier == pytest.approx(BARRIERS[row["T"]], rel=0.02)


def test_the_solved_branch_of_three_times_is_the_closed_form():
    solved, exact = Coherent(3), CoherentOfThree()
    solved.reach(np.log(1e6))
    for parameter in (-4.0, -1.0, 0.5, 3.0):
        ours, theirs = solved.state(parameter), exact.state(parameter)
        np.testing.assert_allclose(ours.kernel, theirs.kernel, rtol=1e-11)
        assert ours.signal == pytest.approx(theirs.signal, rel=1e-11)
        assert ours.noiseless == pytest.approx(theirs.noiseless, rel=1e-11)


@pytest.mark.parametrize(("times", "parameter"), [(4, 0.0), (5, -2.5), (6, -3.0), (8, -1.0)])
def test_states_have_no_slope_in_any_direction(times, parameter):
    state = coherent_branch(times).state(parameter)
    labels = np.array([[np.sqrt(state.signal)]])
    assert free_energy(state.kernel, labels, 0) == pytest.approx(state.noiseless, rel=1e-10)
    factor, rng, step = np.linalg.cholesky(state.kernel), np.random.default_rng(0), 1e-5
    for _ in range(5):
        along = rng.normal(size=(times, times))
        moved = [factor @ (np.eye(times) + sign * step * (along + along.T)) @ factor.T for sign in (1, -1)]
        slope = (free_energy(moved[0], labels, 0) - free_energy(moved[1], labels, 0)) / (2 * step)
        assert slope == pytest.approx(0, abs=1e-7)


def test_interpolated_curves_are_the_solved_ones():
    branch = coherent_branch(6)
    grid = branch.grid(0.5, 3.0)
    variances, signals = branch.logs(grid)
    for k in (5, 50, -20):
        exact = branch.logs(grid[[k]])
        assert [variances[k], signals[k]] == pytest.approx([exact[0][0], exact[1][0]], abs=1e-4)


def test_noise_makes_the_signal_jump_across_the_maxwell_point():
    states = recurrent_chain(6, 1.15, 0.5)
    assert [state.coherent for state in states] == [True, False, True]
    assert [state.stable for state in states] == [True, True, False]
    assert [state.signal for state in states[:2]] == pytest.approx([0.9146, 0.8912], abs=1e-4)
    assert [state.free_energy for state in states[:2]] == pytest.approx([0.2136748, 0.2137027], abs=1e-7)
    assert states[0].signal > landmarks(6).maxwell > states[1].signal


def test_the_transition_turns_first_order():
    assert [tricritical_noise(times) for times in (2, 3, 4, 5, 8)] == pytest.approx(
        [np.inf, 56 / 3, 81 / 16, 0, 0], rel=1e-6
    )
    for noise, jumps in ((0.95 * 56 / 3, False), (1.05 * 56 / 3, True)):
        threshold = (8 + noise) ** 2 / 8
        below = [recurrent_chain(3, share * threshold, noise)[0].coherent for share in (0.99999, 1.001)]
        assert below == [jumps, True]


@pytest.mark.parametrize("times", [3, 4, 6])
def test_strong_signals_are_cheaper_for_one_matrix(times):
    def off(signal):
        recurrent, feedforward = recurrent_chain(times, signal)[0], feedforward_chain(times, signal)[0]
        found = recurrent.variance / feedforward.variance, recurrent.free_energy / feedforward.free_energy
        return np.abs(np.divide(found, strong_signal_ratios(times)) - 1)

    uses = times - 1
    assert strong_signal_ratios(times)[0] == pytest.approx(uses ** (uses / (uses + 2)))
    assert np.all(off(1e16) < 0.02)
    assert np.all(off(1e16) < off(1e8) / 5)


def test_the_approach_to_the_strong_signal_law():
    ratio = recurrent_chain(3, 1e8)[0].variance / feedforward_chain(3, 1e8)[0].variance
    assert ratio == pytest.approx(1.4086, abs=5e-5)


def test_the_coherent_state_begins_as_its_expansion():
    state = recurrent_chain(3, 8.0001)[0]
    assert state.order == pytest.approx(np.sqrt(0.0001 / 56), rel=1e-4)
    assert float(correlation(np.log(state.order / (1 - state.order)))) == pytest.approx(state.order)


def test_networks_that_use_a_matrix_once_are_feedforward():
    for times in (1, 2):
        recurrent, feedforward = recurrent_chain(times, 30, 2), feedforward_chain(times, 30, 2)
        assert [state.free_energy for state in recurrent] == [state.free_energy for state in feedforward]
        with pytest.raises(ValueError, match="take 3 or more"):
            landmarks(times)
