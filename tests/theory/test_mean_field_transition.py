"""The verdict on a problem: phases and thresholds against ground states found otherwise, and refusals with reasons."""

import numpy as np
import pytest
from mean_field_cases import chain, every_kind

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_atlas import landmarks
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_endpoint import endpoint
from hitherto.theory.mean_field_nonlinear import threshold
from hitherto.theory.mean_field_stability import lag_hessian
from hitherto.theory.mean_field_transition import cross_time_correlation, crossover, transition

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(("times", "edge"), [(3, 8), (4, 2.53125), (5, 1.39619315649), (6, 0.899582087678)])
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_without_noise_the_threshold_is_in_the_table(times, edge, share):
    found = transition(chain(times, share * edge))
    assert found.phase == ("coherent" if share > 1 else "incoherent")
    assert found.label_factor == pytest.approx(1 / np.sqrt(share), rel=1e-8)
    assert found.stability_factor**2 * share * edge == pytest.approx(landmarks(times).spinodal)
    assert found.order == ("continuous" if times < 5 else "first order")
    assert found.signal == pytest.approx(share * edge)
    assert not found.local
    assert found.reason == ""
    assert found.landmarks.maxwell == pytest.approx(edge, rel=1e-8)


@pytest.mark.parametrize(
    ("times", "noise", "order"), [(3, 18, "continuous"), (3, 25, "first order"), (4, 8, "first order")]
)
def test_noise_can_turn_the_transition_first_order(times, noise, order):
    found = transition(chain(times, 1.0, noise=float(noise)))
    assert found.order == order
    sides = [recurrent_chain(times, (found.label_factor * s) ** 2, noise)[0].coherent for s in (1 - 1e-4, 1 + 1e-4)]
    assert sides == [False, True]


@pytest.mark.parametrize("times", [3, 6])
def test_many_patterns_turn_where_their_ground_state_does(times):
    inputs, labels = RNG.normal(size=(12, 5)), RNG.normal(size=(12, 1))
    problem = Problem.pulse(labels, (times - 1,), times, inputs=inputs, noise=0.4, input_variance=0.6)
    found = transition(problem)
    for side, coherent in ((1 - 1e-4, False), (1 + 1e-4, True)):
        moved = problem.with_(labels=found.label_factor * side * labels)
        assert endpoint(moved).ground.coherent == coherent
        assert transition(moved).phase == ("coherent" if coherent else "incoherent")


def test_the_susceptibility_is_that_of_the_incoherent_state():
    found = transition(chain(3, 1.5**3 * 0.5))
    np.testing.assert_allclose(found.susceptibility.diagonal(), [4 / 3, 4], rtol=1e-9)
    np.testing.assert_allclose(found.susceptibility, np.linalg.inv(lag_hessian(1.5, 2)), rtol=1e-9)
    assert found.gain == pytest.approx(1.5)
    assert transition(chain(3, 20.0)).susceptibility is None


def test_nonlinear_thresholds_are_local():
    problem = chain(3, 1.0, activation="erf", noise=0.1)
    found = transition(problem)
    edge = threshold(problem).label_square
    assert found.local
    assert found.label_factor == pytest.approx(np.sqrt(edge))
    assert found.phase == "incoherent"
    assert transition(problem.with_(labels=np.array([[1.01 * np.sqrt(edge)]]))).phase == "coherent"
    assert transition(chain(4, 1.0, activation="erf", recurrent_variance=30, input_variance=30)).label_factor == np.inf


@pytest.mark.parametrize(
    "problem", [chain(2, 5.0), chain(5, 5.0, shared=False), Problem.pulse(np.ones((1, 1)), (1,), 6)]
)
def test_networks_that_use_no_matrix_twice(problem):
    found = transition(problem)
    assert "no weight sharing in effect" in found.reason
    assert found.phase == "incoherent"
    assert found.label_factor == np.inf


def test_nothing_learned_is_never_coherent():
    found = transition(chain(4, 0.0, noise=0.1))
    assert (found.phase, found.label_factor, found.order) == ("incoherent", np.inf, "")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (chain(3, 1.0, activation="relu", noise=0.1), "relu is not odd"),
        (chain(3, 1.0, bias_variance=0.2, noise=0.1), "inputs or biases after the first time"),
        (Problem.pulse(np.array([[1.0, 2, -1]]), (0, 2, 4), 5), "several times"),
        (chain(4, 1.0, shared=np.kron(np.eye(2), np.ones((2, 2))) > 0, noise=0.1), "only some times share W"),
        (chain(4, 1.0, shared=np.kron(np.eye(2), np.ones((2, 2))) > 0, activation="erf"), "only some times share"),
        (every_kind()[0], "inputs or biases after the first time"),
    ],
)
def test_no_sharp_threshold_without_the_symmetry(problem, reason):
    found = transition(problem, factors=(0.5, 2))
    assert found.phase == "crossover"
    assert reason in found.reason
    assert found.landmarks is None
    assert (found.crossover is not None) == (problem.activation == "identity")


def test_the_crossover_is_that_of_the_ground_state():
    problem = chain(3, 1.0)
    curve = crossover(problem, (1, 2, 4))
    states = [recurrent_chain(3, factor**2)[0].kernel for factor in (1, 2, 4)]
    np.testing.assert_allclose(curve.correlations, [cross_time_correlation(np.abs(k), 3) for k in states], atol=1e-6)
    rho = 0.4
    assert cross_time_correlation(np.array([[4.0, 2 * rho], [2 * rho, 1]]), 2) == pytest.approx(rho)


def test_labels_of_one_parity_warn():
    assert "one parity" in transition(chain(3, 1.0)).warning
    mixed = Problem.pulse(np.array([[1.0, 2]]), (1, 2), 3)
    assert transition(mixed, factors=(1,)).warning == ""
