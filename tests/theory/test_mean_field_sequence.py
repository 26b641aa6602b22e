"""Labels over time: reductions against solving for everything, aliasing, and which schedules work."""

import numpy as np
import pytest

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_descent import descend
from hitherto.theory.mean_field_patterns import Patterns, is_of_many_patterns
from hitherto.theory.mean_field_prediction import predict
from hitherto.theory.mean_field_prior import prior_kernel
from hitherto.theory.mean_field_schedule import next_step, schedule_error, schedule_errors
from hitherto.theory.mean_field_sequence import aliasing, reduction
from hitherto.theory.mean_field_solver import solve

SINE = 3 * np.sin(2 * np.pi * (np.arange(8) + 0.5) / 8)


def stationary(problem, kernel):
    """Whether the action over all entries, unreduced, has no slope there, and its value."""
    point = Action(problem).at(kernel)
    return np.abs(point.gradient).max() < 1e-8, point.value


@pytest.mark.parametrize("shared", [True, False])
def test_orthogonal_patterns_are_rotated_into_few(shared):
    rng = np.random.default_rng(0)
    problem = Problem.pulse(2 * rng.normal(size=(5, 2)), (1, 2), 3, noise=0.3, shared=shared, input_variance=0.7)
    assert reduction(problem).problem.patterns == 2
    best = solve(problem, random_starts=1).best
    assert stationary(problem, best.kernel) == (True, pytest.approx(best.action, rel=1e-10))


def test_labels_in_one_direction_need_one_pattern():
    direction = np.array([[0.6], [0.0], [0.8]])
    problem = Problem.pulse(direction * np.array([1.5, -2.0, 1.0]), (0, 1, 3), 4, noise=0.2)
    assert reduction(problem).problem.patterns == 1
    solution = solve(problem, random_starts=0)
    single = solve(Problem.pulse(np.array([[1.5, -2.0, 1.0]]), (0, 1, 3), 4, noise=0.2), random_starts=0)
    np.testing.assert_allclose(solution.mean.reshape(4, 3), np.outer(single.mean, direction), atol=1e-8)
    np.testing.assert_allclose(solution.best.action, single.best.action, rtol=1e-11)


def test_labels_in_any_order_and_several_outputs():
    rng = np.random.default_rng(1)
    plain = Problem.pulse(rng.normal(size=(4, 2)), (0, 2), 3, noise=0.3)
    order = rng.permutation(8)
    mixed = plain.with_(labelled=tuple(np.array(plain.labelled)[order].tolist()), labels=plain.labels[order])
    np.testing.assert_allclose(solve(mixed, random_starts=0).mean, solve(plain, random_starts=0).mean, atol=1e-8)
    twofold = plain.with_(labels=np.hstack([plain.labels, plain.labels]) / np.sqrt(2))
    assert reduction(twofold).problem.patterns == 2
    assert solve(twofold, random_starts=0).best.action == pytest.approx(solve(plain, random_starts=0).best.action)


@pytest.mark.parametrize("shared", [True, False])
def test_patterns_without_labels_and_later_times_change_nothing(shared):
    rng = np.random.default_rng(2)
    inputs, labels = rng.normal(size=(3, 4, 5)), np.full((3, 4), np.nan)
    labels[:2, :2] = rng.normal(size=(2, 2))
    problem = Problem.sequences(inputs, labels, noise=0.2, shared=shared, bias_variance=0.2)
    assert reduction(problem).problem.size == 4
    best = solve(problem, random_starts=0).best
    own = solve(Problem.sequences(inputs[:2, :2], labels[:2, :2], noise=0.2, shared=shared, bias_variance=0.2)).best
    assert best.action == pytest.approx(own.action, rel=1e-11)
    np.testing.assert_allclose(best.kernel[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])], own.kernel, atol=1e-9)
    assert stationary(problem, best.kernel) == (True, pytest.approx(best.action, rel=1e-10))
    whole = descend(Action(problem).at(prior_kernel(problem)[0]))
    np.testing.assert_allclose(whole.kernel, best.kernel, atol=1e-7)


def test_groups_of_times_are_cut_with_the_times():
    groups = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    problem = Problem.pulse(np.array([[2.0, 1.0]]), (1, 2), 4, shared=groups)
    best = solve(problem, random_starts=0).best
    assert stationary(problem, best.kernel) == (True, pytest.approx(best.action, rel=1e-10))


def test_other_problems_are_left_as_they_are():
    rng = np.random.default_rng(3)
    inputs = Problem.sequences(rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2)))
    missing = Problem(np.diag([1.0, 1, 0, 0]), 2, (0, 1, 2), rng.normal(size=(3, 1)))  # one pattern has one label less
    for problem in (inputs, missing):
        assert reduction(problem).problem is problem


@pytest.mark.parametrize(
    ("steps", "outputs", "settings"),
    [
        ((0, 2), 1, {}),
        ((2,), 2, dict(shared=False)),
        ((3,), 1, dict(input_variance=0.6, recurrent_variance=1.7, readout_variance=1.3)),  # leaves a saddle
    ],
)
def test_many_patterns_are_minimised_over_outputs(steps, outputs, settings, monkeypatch):
    rng = np.random.default_rng(4)
    inputs, labels = rng.normal(size=(5, 4)), 3 * rng.normal(size=(5, len(steps)))
    problem = Problem.pulse(labels, steps, 4, inputs=inputs, noise=0.2, **settings)
    problem = problem.with_(labels=np.hstack([problem.labels, problem.labels[::-1]])[:, :outputs])
    assert not is_of_many_patterns(problem)
    monkeypatch.setattr("hitherto.theory.mean_field_patterns.MANY", 0)
    assert is_of_many_patterns(problem)
    patterns = Patterns(problem)
    prior = patterns.action()
    outer = patterns.descend(prior.of(np.linalg.cholesky(prior.prior)))
    whole = descend(Action(problem).at(prior_kernel(problem)[0]))
    assert outer.is_minimum
    assert outer.value == pytest.approx(whole.value, rel=1e-11)
    np.testing.assert_allclose(np.abs(outer.kernel), np.abs(whole.kernel), atol=1e-6)


def test_many_patterns_are_solved_through_their_outputs(monkeypatch):
    inputs = np.random.default_rng(5).normal(size=(4, 6))
    monkeypatch.setattr("hitherto.theory.mean_field_solver.TURNS", (0,))
    problem = Problem.pulse(inputs[:, :1] * 2, (2,), 3, inputs=inputs, noise=1.0)
    wanted = solve(problem, random_starts=0)
    monkeypatch.setattr("hitherto.theory.mean_field_patterns.MANY", 0)
    found = solve(problem, random_starts=0)
    assert found.best.action == pytest.approx(wanted.best.action, rel=1e-11)
    np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-6)


def test_incomplete_labels_and_labels_without_noise_take_all_entries(monkeypatch):
    monkeypatch.setattr("hitherto.theory.mean_field_patterns.MANY", 0)
    inputs = np.random.default_rng(6).normal(size=(3, 4))
    complete = Problem.pulse(np.ones((3, 1)), (2,), 3, inputs=inputs)
    assert is_of_many_patterns(complete)
    missing = Problem(complete.kernel, 3, complete.labelled[1:], complete.labels[1:])
    for problem in (missing, complete.with_(noise=0), complete.with_(bias_variance=0.1)):
        assert not is_of_many_patterns(problem)


def test_feedforward_networks_answer_nothing_between_labels():
    solution = solve(Problem.pulse(np.array([[2.0, 3.0]]), (0, 3), 5, shared=False), random_starts=1)
    np.testing.assert_allclose(solution.mean[[1, 2, 4]], 0, atol=1e-9)
    assert np.abs(solution.mean[[0, 3]]).min() > 1


def test_recurrent_networks_continue_a_sine():
    steps = (0, 1, 2, 4, 5, 7)
    held_out = [3, 6]
    problem = Problem.pulse(SINE[None, list(steps)], steps, 8, noise=0.05)
    found = solve(problem, random_starts=1).mean[held_out, 0]
    assert np.mean((found - SINE[held_out]) ** 2) == pytest.approx(2e-4, rel=0.1)
    assert np.mean(SINE[held_out] ** 2) == pytest.approx(4.5)  # what a feedforward network misses


def labelled_at(*steps, times=8, **settings):
    return Problem.pulse(np.ones((1, len(steps))), steps, times, **settings)


def test_aliasing():
    assert "one parity" in aliasing(labelled_at(1, 3, 7))
    assert "one parity" in aliasing(labelled_at(2))
    assert "3 steps apart" in aliasing(labelled_at(1, 4))
    assert aliasing(labelled_at(1, 4, 6)) == ""
    assert aliasing(labelled_at(0, 1)) == ""
    assert aliasing(labelled_at(2, bias_variance=0.1)) == ""
    assert aliasing(labelled_at(2, activation="relu")) == ""
    assert aliasing(labelled_at(2, shared=False)) == ""
    assert aliasing(labelled_at(1)) == ""  # W is used once
    assert aliasing(labelled_at(0, times=1)) == ""


def test_the_predictor_meets_labels_up_to_the_noise():
    problem = Problem.pulse(SINE[None, [0, 2, 3]], (0, 2, 3), 4, noise=1e-6)
    best = solve(problem, random_starts=0).best
    np.testing.assert_allclose(predict(problem, best.kernel).mean[[0, 2, 3], 0], SINE[[0, 2, 3]], rtol=1e-4)


def test_schedules_are_ranked_and_the_next_step_is_the_best():
    targets = SINE[None, None, 1:4]
    errors = schedule_errors(targets, 2, noise=0.05)
    assert set(errors) == {(0, 1), (0, 2), (1, 2)}
    assert list(errors.values()) == sorted(errors.values())
    assert errors[(0, 2)] == pytest.approx(1, abs=1e-8)  # of one parity: 0 at the other
    assert next_step(targets, (0,), noise=0.05) == min((1, 2), key=lambda step: errors[(0, step)])


def test_errors_are_averaged_over_the_family():
    family = np.array([[[2.0, 1.0]], [[1.0, 3.0]]])
    each = [schedule_error(one[None], (0,), noise=0.05, bias_variance=0.5) for one in family]
    assert abs(each[0] - each[1]) > 0.1
    assert schedule_error(family, (0,), noise=0.05, bias_variance=0.5) == pytest.approx(np.mean(each))


def test_an_unshared_network_errs_by_one():
    assert schedule_error(SINE[None, None, :3], (0, 1), noise=0.05, shared=False) == pytest.approx(1, abs=1e-9)


def test_refusals():
    with pytest.raises(ValueError, match="0 of 3 times have no label"):
        schedule_error(SINE[None, None, :3], (0, 1, 2))
    with pytest.raises(ValueError, match="1 of 3 are without a label"):
        next_step(SINE[None, None, :3], (0, 1))
