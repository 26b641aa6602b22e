"""Ridge regression that networks with labels at one time amount to: exact vectors, and the solver for all entries."""

import numpy as np
import pytest
from conftest import oracle

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_endpoint import endpoint, endpoint_of_inputs, why_not_endpoint
from hitherto.theory.mean_field_solver import solve

CASES = oracle("mean_field")["E_adaptive_ridge"]
RNG = np.random.default_rng(3)
INPUTS, LABELS = RNG.normal(size=(6, 3)), RNG.normal(size=6)


def settings(case):
    return dict(
        recurrent_variance=case["g2"],
        input_variance=case["gv2"],
        readout_variance=case["sa2"],
        noise=case["kappa"],
        shared=case["shared"],
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("by_inputs", [True, False])
def test_adaptive_ridge_is_the_oracles(case, by_inputs):
    inputs, labels, times = np.array(case["x"]), np.array(case["y"]), case["T"]
    if by_inputs:
        found = endpoint_of_inputs(inputs, labels, times, **settings(case))
    else:
        found = endpoint(Problem.pulse(labels[:, None], (times - 1,), times, inputs=inputs, **settings(case)))
    np.testing.assert_allclose(
        [found.variance, found.ridge, found.ground.signal], [case["c_T"], case["ridge"], case["Lambda"]], rtol=1e-8
    )
    np.testing.assert_allclose(found.fitted, case["f"], rtol=1e-8)


@pytest.mark.parametrize(
    ("times", "scale", "shared"), [(1, 1, True), (3, 0.5, True), (3, 4, True), (3, 4, False), (5, 2, True)]
)
def test_the_solver_for_all_entries_agrees(times, scale, shared):
    inputs, labels = INPUTS[:2], scale * LABELS[:2]
    given = dict(shared=shared, recurrent_variance=1.2, readout_variance=0.8, noise=0.3)
    problem = Problem.pulse(labels[:, None], (times - 1,), times, inputs=inputs, **given)
    found, best = endpoint(problem), solve(problem).best
    assert found.ground.free_energy == pytest.approx(best.action, abs=1e-9)
    np.testing.assert_allclose(found.fitted, best.prediction.mean[-2:, 0], atol=1e-6)
    last = found.last_kernel(problem.kernel[:2, :2])
    np.testing.assert_allclose(last, best.kernel[-2:, -2:], atol=1e-5 * np.abs(last).max())


@pytest.mark.parametrize("features", [3, 9])
def test_predictions_are_those_of_ridge_regression(features):
    inputs, new = RNG.normal(size=(6, features)), RNG.normal(size=(4, features))
    found = endpoint_of_inputs(inputs, LABELS, 4, noise=0.2)
    weights = np.linalg.solve(inputs.T @ inputs / features + found.ridge * np.eye(features), inputs.T @ LABELS)
    np.testing.assert_allclose(found.predict(new @ inputs.T / features), new @ weights / features, rtol=1e-9)
    np.testing.assert_allclose(found.fitted, inputs @ weights / features, rtol=1e-9)


def test_one_pattern_is_the_chain():
    problem = Problem.pulse(np.array([[3.0]]), (4,), 5, noise=4.0, recurrent_variance=1.5, readout_variance=0.7)
    states = recurrent_chain(5, problem.groups["signal"], problem.groups["noise"])
    found = endpoint(problem).states
    assert [state.free_energy for state in found] == pytest.approx([state.free_energy for state in states], rel=1e-9)


def test_times_after_the_label_and_patterns_without_one_change_nothing():
    short = Problem.pulse(LABELS[:4, None], (2,), 3, inputs=INPUTS[:4])
    entries = tuple(2 * 6 + pattern for pattern in range(4))
    whole = Problem.pulse(LABELS[:, None], (2,), 3, inputs=INPUTS)
    long = np.zeros((30, 30))
    long[:18, :18] = whole.kernel
    longer = whole.with_(kernel=long, times=5, labelled=entries, labels=LABELS[:4, None])
    np.testing.assert_allclose(endpoint(longer).fitted, endpoint(short).fitted, rtol=1e-10)


def test_labels_that_no_input_explains_teach_nothing():
    inputs = np.array([[1.0, 0], [0, 1], [1, 1]])
    found = endpoint_of_inputs(inputs, np.array([1.0, 1, -1]), 3, noise=0.5)
    assert found.variance == 1
    assert found.ground.free_energy == pytest.approx(3 / (2 * 0.5))
    np.testing.assert_allclose(found.fitted, 0, atol=1e-12)


def test_without_noise_labels_are_met():
    found = endpoint_of_inputs(INPUTS, INPUTS @ np.array([1.0, -2, 0.5]), 3, noise=0)
    np.testing.assert_allclose(found.fitted, INPUTS @ np.array([1.0, -2, 0.5]), rtol=1e-10)
    assert found.ridge == 0
    with pytest.raises(ValueError, match="outside the range of the inputs"):
        endpoint_of_inputs(INPUTS, LABELS, 3, noise=0)


def test_many_patterns_of_few_features_are_quick():
    inputs = RNG.normal(size=(3000, 20))
    labels = np.sign(inputs[:, 0] + RNG.normal(size=3000))
    found = endpoint_of_inputs(inputs, labels, 4, noise=0.1)
    ridge = np.linalg.solve(inputs.T @ inputs + 20 * found.ridge * np.eye(20), inputs.T @ labels)
    np.testing.assert_allclose(found.fitted, inputs @ ridge, atol=1e-9)
    scaled = found.ridge * found.variance / 0.1
    assert scaled == pytest.approx(1)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Problem.pulse(LABELS[:, None], (2,), 3, activation="tanh"), "tanh"),
        (Problem.pulse(LABELS[:, None], (2,), 3, bias_variance=0.1), "after the first time"),
        (Problem.pulse(LABELS.reshape(3, 2), (1, 2), 3), "several times"),
        (Problem.pulse(LABELS[:, None], (2,), 3, recurrent_variance=0), "variance of 0"),
        (Problem.pulse(LABELS[:, None], (3,), 4, shared=np.kron(np.eye(2), np.ones((2, 2))) > 0), "only some times"),
        (Problem.pulse(LABELS[:2, None], (2,), 3).with_(labels=np.ones((2, 2))), "2 outputs"),
    ],
)
def test_other_problems_are_refused(problem, reason):
    assert reason in why_not_endpoint(problem)
    with pytest.raises(ValueError, match=reason):
        endpoint(problem)


def test_numbers_must_be_finite():
    with pytest.raises(ValueError, match="must be finite"):
        endpoint_of_inputs(INPUTS, np.append(LABELS[:5], np.nan), 3)
