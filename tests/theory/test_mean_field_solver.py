"""The lowest minimum of the action: oracles, closed forms at many starts, and symmetries."""

import numpy as np
import pytest
from mean_field_cases import VECTORS, chain, every_kind, linear_case

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_descent import descend
from hitherto.theory.mean_field_prior import prior_kernel
from hitherto.theory.mean_field_solver import Solution, mirrored, rich_gain, solve


def upper(kernel):
    return kernel[np.triu_indices(len(kernel))]


@pytest.mark.parametrize("case", VECTORS["D_linear"], ids=lambda c: f"{c['case']}-{c['shared']}-{c.get('shared_V')}")
def test_general_problems_of_the_oracle(case):
    solution = solve(linear_case(case), random_starts=1)
    best = solution.best
    assert best.action == pytest.approx(case["F"], rel=1e-9)
    np.testing.assert_allclose(best.kernel, case["C"], atol=1e-8)
    np.testing.assert_allclose(solution.mean[:, 0], case["f"], atol=1e-8)
    assert solution.lost == 0
    assert best.mirror is None
    assert solution.notes == ()


@pytest.mark.parametrize("case", VECTORS["A_dnn_chain"][1::4], ids=lambda c: f"{c['T']}-{c['Lambda']}")
def test_feedforward_chains_of_the_oracle(case):
    best = solve(chain(case["T"], case["Lambda"], shared=False), random_starts=0).best
    assert best.action == pytest.approx(case["F"], rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(best.kernel, np.diag(case["r"] ** np.arange(1, case["T"] + 1)), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", VECTORS["B_rnn_T3"][1:], ids=lambda c: str(c["Lambda"]))
def test_recurrent_chains_of_the_oracle(case):
    best = solve(chain(3, case["Lambda"]), random_starts=0).best
    assert best.action == pytest.approx(case["F_rnn"], rel=1e-9)
    near = 1e-6 if abs(case["Lambda"] - 8) < 0.1 else 1e-8
    if case["Lambda"] != 8:  # there the curvature vanishes, and values tell the kernel to a few digits alone
        np.testing.assert_allclose(np.abs(upper(best.kernel)), np.abs(case["C_rnn_upper"]), rtol=near, atol=near)
    assert (best.mirror is not None) == (case["phase"] != "symmetric" and case["Lambda"] > 8)


@pytest.mark.parametrize("case", VECTORS["N_coexistence_large_kappa"], ids=lambda c: f"{c['kappa']}-{c['shared']}")
def test_rich_states_behind_lazy_ones(case):
    problem = chain(case["T"], case["y2"], noise=case["kappa"], shared=case["shared"])
    ground = case["stationary_points"][case["ground_state"]]
    best = solve(problem, random_starts=0).best
    assert best.action == pytest.approx(ground["F"], rel=1e-8)
    assert best.kernel[-1, -1] == pytest.approx(ground["c_T"], rel=1e-7)


def test_a_lazy_start_alone_misses_it():
    problem = chain(3, 1e5, noise=1000)
    solution = solve(problem, random_starts=0)
    assert solution.best.action == pytest.approx(21.86, abs=0.005)
    lazy = descend(Action(problem).at(prior_kernel(problem)[0]))
    assert lazy.is_minimum
    assert lazy.value == pytest.approx(49.94, abs=0.005)
    assert any(state.action == pytest.approx(lazy.value) for state in solution.minima[1:])


def test_coherent_minima_of_a_deep_chain():
    solution = solve(chain(6, 50 * 1.25**6 / 4), random_starts=2)
    found = [state.action for state in solution.minima]
    np.testing.assert_allclose(found[:3], [0.788, 1.049, 1.057], atol=6e-4)
    assert solution.gap == pytest.approx(found[1] - found[0])


def test_random_starts_find_the_same_lowest_action():
    problem = chain(4, 20.0, noise=0.3)
    wanted = solve(problem, random_starts=0).best.action
    rng, whole, found = np.random.default_rng(5), Action(problem), []
    for _ in range(50):
        landing = descend(whole.of(np.eye(4) + 0.4 * rng.normal(size=(4, 4))))
        assert landing.is_minimum
        assert landing.steepness < 1e-10
        found.append(landing.value)
    assert min(found) == pytest.approx(wanted, rel=1e-11)
    assert np.mean(np.isclose(found, wanted, rtol=1e-9)) > 0.5


def test_conjugate_gradients_agree_with_all_curvatures(monkeypatch):
    problem = every_kind()[0]
    start = Action(problem).at(prior_kernel(problem)[0])
    dense = descend(start)
    monkeypatch.setattr("hitherto.theory.mean_field_descent.DENSE", 0)
    sparse = descend(start)
    assert sparse.is_minimum
    assert sparse.value == pytest.approx(dense.value, rel=1e-12)
    assert sparse.least_curvature == pytest.approx(dense.least_curvature, rel=1e-3)
    coherent = descend(Action(chain(3, 30.0)).of(np.eye(3)))  # from a saddle
    assert coherent.is_minimum
    assert coherent.value == pytest.approx(solve(chain(3, 30.0), random_starts=0).best.action, rel=1e-11)


def test_scales_do_not_matter():
    plain = solve(chain(3, 12.0, noise=0.7), random_starts=0)
    scaled = chain(
        3,
        12.0 * 5 * 0.3 * 1e-4,
        noise=0.7 * 5 * 0.3 * 1e-4,
        readout_variance=5.0,
        input_variance=0.3,
        recurrent_variance=1e-2,
    )
    other = solve(scaled, random_starts=0)
    assert other.best.action == pytest.approx(plain.best.action, rel=1e-11)
    scale = np.sqrt(np.diag(prior_kernel(scaled)[0]))
    ours = np.abs(other.best.kernel) / np.outer(scale, scale)
    np.testing.assert_allclose(ours, np.abs(plain.best.kernel), rtol=1e-7)


def test_sharing_has_no_effect_up_to_the_second_time():
    inputs = np.random.default_rng(1).normal(size=(3, 2, 4))
    labels = np.random.default_rng(2).normal(size=(3, 2))
    one, other = (solve(Problem.sequences(inputs, labels, shared=shared), random_starts=0) for shared in (True, False))
    assert one.best.action == pytest.approx(other.best.action, rel=1e-12)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-9)
    assert "W is used at most once" in one.notes[0]


def test_below_the_transition_recurrence_is_not_seen():
    one, other = (solve(chain(4, 2.0, shared=shared, noise=0.1), random_starts=1) for shared in (True, False))
    assert one.best.action == pytest.approx(other.best.action, rel=1e-12)
    np.testing.assert_allclose(one.best.kernel, other.best.kernel, atol=1e-8)
    assert one.best.mirror is None


@pytest.mark.parametrize("signal", [1.0, 30.0])
def test_sharing_never_costs_at_the_end(signal):
    one, other = (solve(chain(4, signal, shared=shared), random_starts=0).best.action for shared in (True, False))
    assert one <= other + 1e-12
    assert (one < other - 0.05) == (signal == 30.0)


def test_noise_without_end_leaves_the_prior():
    problem = every_kind()[0].with_(noise=1e9)
    np.testing.assert_allclose(solve(problem, random_starts=0).best.kernel, prior_kernel(problem)[0], atol=1e-6)


def test_no_recurrence_under_a_pulse_leaves_exact_zeros():
    solution = solve(Problem.pulse(np.array([[2.0, 1.0]]), (0, 2), 4, recurrent_variance=0, noise=0.1))
    kernel = solution.best.kernel
    assert kernel[0, 0] > 1
    assert not kernel[1:].any()
    assert not solution.mean[1:].any()
    dark = solve(chain(3, 2.0, noise=0.1, input_variance=0))
    assert not dark.best.kernel.any()
    assert dark.best.action == pytest.approx(2.0 / 0.2)


def test_mirror_images_are_averaged():
    solution = solve(chain(3, 20.0, noise=0.05), random_starts=0)
    best = solution.best
    np.testing.assert_allclose(best.mirror, mirrored(solution.problem, best.kernel))
    assert abs(best.prediction.mean[1, 0]) > 0.1
    np.testing.assert_allclose(solution.mean[1], 0, atol=1e-9)
    np.testing.assert_allclose(solution.mean[[0, 2]], best.prediction.mean[[0, 2]])
    assert "one parity" in solution.notes[0]


def test_the_least_curvature_vanishes_at_the_transition():
    below, at = (solve(chain(3, signal), random_starts=0).best.least_curvature for signal in (7.0, 8.0))
    assert below > 0.005
    assert abs(at) < 1e-7


def test_gains_of_rich_states():
    assert rich_gain(chain(3, 1e5, noise=1000)) == pytest.approx(16.278, rel=0.01)
    assert rich_gain(chain(3, 8.0)) == pytest.approx(2, rel=0.01)
    assert rich_gain(chain(3, 0.0)) == 1


def test_what_is_not_a_minimum_is_never_told():
    problem = chain(3, 4.0)
    empty = Solution(problem, (), "not solved", 5, 5, ())
    with pytest.raises(ValueError, match="5 of 5 descents"):
        _ = empty.best
    with pytest.raises(ValueError, match="'not solved'"):
        _ = empty.mean


def test_unfinished_descents_are_told(monkeypatch):
    monkeypatch.setattr("hitherto.theory.mean_field_descent.NEWTON", 0)
    solution = solve(chain(3, 20.0), random_starts=0)
    assert solution.status == "not solved"
    assert solution.minima == ()
    assert solution.lost == solution.starts


def test_refusals():
    with pytest.raises(ValueError, match="linear networks"):
        solve(chain(3, 1.0, activation="erf"))
    with pytest.raises(ValueError, match="noise is 0"):
        solve(chain(3, 1.0, recurrent_variance=0))
    with pytest.raises(ValueError, match="noise is 0"):
        solve(chain(3, 1.0, readout_variance=0))


def test_too_many_entries_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr("hitherto.theory.mean_field_solver.LARGEST", 5)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 2))
    with pytest.raises(ValueError, match="6 entries would be solved for at once, and 5 are the most"):
        solve(Problem.sequences(inputs, np.ones((2, 3))))


@pytest.mark.parametrize("noise", [1e-2, 1e-6])
def test_labels_out_of_reach_are_left_at_any_noise(noise):
    """One input cannot have two labels: their mean is learned at half the noise, and the rest is paid for."""
    twice = Problem.pulse(np.array([[1.0], [2.0]]), (2,), 3, noise=noise, inputs=np.ones((2, 1)))
    best = solve(twice, random_starts=1).best
    mean = solve(Problem.pulse(np.array([[1.5]]), (2,), 3, noise=noise / 2), random_starts=1).best
    assert best.action == pytest.approx(mean.action + 0.5 / (2 * noise), rel=1e-11)
    np.testing.assert_allclose(best.prediction.mean[4:, 0], 2 * [mean.prediction.mean[2, 0]], rtol=1e-6)
