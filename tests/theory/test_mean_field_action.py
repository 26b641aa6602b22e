"""The action of linear networks against brute force, its slopes against differences, its predictions against more."""

import numpy as np
import pytest
from mean_field_cases import VECTORS, chain, every_kind, linear_case
from scipy.linalg import expm

from hitherto.theory.mean_field import Problem, preactivation_covariance
from hitherto.theory.mean_field_action import Action, action
from hitherto.theory.mean_field_descent import descend
from hitherto.theory.mean_field_prediction import at_test_points, predict, slopes
from hitherto.theory.mean_field_prior import label_covariance, prior_kernel
from hitherto.theory.mean_field_solver import mirrored


def brute_action(problem, kernel):
    """F as it is written."""
    sigma, covariance = preactivation_covariance(problem, kernel), label_covariance(problem, kernel)
    parts = np.trace(np.linalg.solve(sigma, kernel)) - np.linalg.slogdet(kernel)[1] + np.linalg.slogdet(sigma)[1]
    return (parts - len(kernel) + np.sum(problem.labels * np.linalg.solve(covariance, problem.labels))) / 2


def near_prior(problem, seed=0):
    rng = np.random.default_rng(seed)
    tilt = np.eye(problem.size) + 0.2 * rng.normal(size=(problem.size, problem.size))
    return tilt @ prior_kernel(problem)[0] @ tilt.T


def lowest(problem):
    """The only minimum of problems with inputs at every time, as far as 50 starts know."""
    landing = descend(Action(problem).at(prior_kernel(problem)[0]))
    assert landing.is_minimum
    return landing


@pytest.mark.parametrize("problem", every_kind())
def test_action_is_what_is_written(problem):
    kernel = near_prior(problem)
    assert action(problem, kernel) == pytest.approx(brute_action(problem, kernel), rel=1e-10)


def test_several_outputs_add_up():
    problem = every_kind()[0]
    both = problem.with_(labels=np.hstack([problem.labels, 2 * problem.labels[::-1]]))
    kernel = near_prior(problem)
    assert action(both, kernel) == pytest.approx(brute_action(both, kernel), rel=1e-10)


@pytest.mark.parametrize("problem", every_kind())
def test_slopes_are_those_of_differences(problem):
    rng = np.random.default_rng(1)
    whole = Action(problem)
    factor = np.eye(whole.modes) + 0.2 * rng.normal(size=(whole.modes, whole.modes))
    direction = rng.normal(size=factor.shape)
    direction += direction.T
    point = whole.of(factor)

    def at(length):
        return whole.of(factor @ expm(length * direction / 2))

    step = 1e-4
    rise = (at(step).value - at(-step).value) / (2 * step)
    assert np.sum(point.gradient * direction) / 2 == pytest.approx(rise, rel=1e-5)
    bend = (at(step).value + at(-step).value - 2 * point.value) / step**2
    assert np.sum(direction * point.curvature(direction)) == pytest.approx(bend, rel=1e-4)


def test_curvature_is_symmetric_and_takes_stacks():
    rng = np.random.default_rng(2)
    point = Action(every_kind()[2]).at(near_prior(every_kind()[2]))
    pair = rng.normal(size=(2, 6, 6))
    pair += np.swapaxes(pair, 1, 2)
    turned = point.curvature(pair)
    assert np.sum(pair[0] * turned[1]) == pytest.approx(np.sum(pair[1] * turned[0]))
    np.testing.assert_allclose(point.curvature(pair[0]), turned[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", VECTORS["D_linear"], ids=lambda c: f"{c['case']}-{c['shared']}-{c.get('shared_V')}")
def test_minima_of_the_oracle(case):
    problem = linear_case(case)
    point = Action(problem).at(np.array(case["C"]))
    assert point.value == pytest.approx(case["F"], rel=1e-9)
    assert np.abs(point.gradient).max() < 1e-8
    np.testing.assert_allclose(predict(problem, np.array(case["C"])).mean[:, 0], case["f"], atol=1e-9)
    if "prior" in case:
        np.testing.assert_allclose(prior_kernel(problem)[0], case["prior"], atol=1e-10)


def test_variances_are_those_of_the_conditioned_gaussian():
    problem = every_kind()[0]
    kernel = near_prior(problem)
    joint = problem.readout_variance * kernel
    seen = problem.index
    gain = joint[:, seen] @ np.linalg.inv(joint[np.ix_(seen, seen)] + problem.noise * np.eye(len(seen)))
    told = predict(problem, kernel)
    np.testing.assert_allclose(told.mean, gain @ problem.labels, rtol=1e-10)
    np.testing.assert_allclose(told.variance, np.diag(joint - gain @ joint[seen]), rtol=1e-9)


def test_kernels_out_of_reach_are_refused():
    singular = Problem.pulse(np.ones((2, 1)), (1,), 2, inputs=np.ones((2, 1)))
    with pytest.raises(ValueError, match="no network of the prior"):
        action(singular, np.eye(4))
    with pytest.raises(ValueError, match="not positive definite"):
        action(chain(2, 1.0), np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="linear networks"):
        action(chain(2, 1.0, activation="tanh"), np.eye(2))


def test_singular_inputs_are_the_same_problem_with_fewer_patterns():
    single = Problem.pulse(np.array([[1.5]]), (2,), 3, noise=0.2)
    twice = Problem.pulse(np.full((2, 1), 1.5), (2,), 3, inputs=np.ones((2, 1)), noise=0.4)
    assert Action(twice).modes == 3
    kernel = near_prior(single)
    assert action(twice, np.kron(kernel, np.ones((2, 2)))) == pytest.approx(action(single, kernel), rel=1e-12)


@pytest.mark.parametrize("problem", every_kind())
def test_new_patterns_are_those_carried_along_without_labels(problem):
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(9, 20))  # inputs of 3 patterns, of which the last has no labels
    inputs = raw @ raw.T / 20
    old, new = np.array([0, 1, 3, 4, 6, 7]), np.array([2, 5, 8])
    own = problem.with_(kernel=inputs[np.ix_(old, old)])
    best = lowest(own)
    points = at_test_points(own, best.kernel, inputs[np.ix_(new, old)], inputs[np.ix_(new, new)])
    carried = own.with_(kernel=inputs, labelled=tuple(map(int, old[own.index])))
    full = np.zeros((9, 9))
    full[np.ix_(old, old)], full[np.ix_(new, old)] = best.kernel, points.across
    full[np.ix_(old, new)], full[np.ix_(new, new)] = points.across.T, points.among
    point = Action(carried).at(full)
    assert np.abs(point.gradient).max() < 1e-8
    assert point.value == pytest.approx(best.value, rel=1e-10)
    told = predict(carried, full)
    np.testing.assert_allclose(points.prediction.mean, told.mean[new], rtol=1e-9)
    np.testing.assert_allclose(points.prediction.variance, told.variance[new], rtol=1e-8)


def test_half_a_test_pattern_is_refused():
    with pytest.raises(ValueError, match="2 test entries for 3 times"):
        at_test_points(chain(3, 1.0, noise=1), np.eye(3), np.zeros((2, 3)), np.eye(2))


@pytest.mark.parametrize("name", ["recurrent_variance", "input_variance", "bias_variance", "readout_variance", "noise"])
def test_slopes_of_the_lowest_action(name):
    problem, step = every_kind()[3], 1e-4
    here = slopes(problem, lowest(problem).kernel)[name]
    up, down = (lowest(problem.with_(**{name: getattr(problem, name) + change})).value for change in (step, -step))
    assert here == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_mirror_images_have_the_same_action():
    problem = Problem.pulse(np.array([[1.0, -2.0]]), (1, 3), 5, noise=0.3)
    kernel = near_prior(problem)
    assert action(problem, mirrored(problem, kernel)) == pytest.approx(action(problem, kernel), rel=1e-12)
    both = Problem.pulse(np.array([[1.0, -2.0]]), (1, 2), 5, noise=0.3)
    assert abs(action(both, mirrored(both, kernel)) - action(both, kernel)) > 1e-3
