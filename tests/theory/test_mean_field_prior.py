"""Kernels of untrained networks and their first change: oracles, sampled networks, and the limit of small labels."""

import numpy as np
import pytest
from mean_field_cases import VECTORS, linear_case
from scipy.special import erf

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_prior import activation_kernel, first_order, prior_kernel

NAMES = {"lin": "identity", "erf": "erf", "relu": "relu"}


def prior_problem(case):
    given = VECTORS["G_prior"]
    settings = dict(
        shared=case["shared"],
        activation=NAMES[case["phi"]],
        recurrent_variance=case["g2"],
        input_variance=case["gv2"],
        shared_inputs=case.get("shared_V", True),
    )
    if "X" in case:
        return Problem.pulse(np.ones((2, 1)), (len(case["C"]) // 2 - 1,), len(case["C"]) // 2, **settings)
    inputs = np.array(given["x_TPD"], float).transpose(1, 0, 2)
    return Problem.sequences(inputs, np.ones(inputs.shape[:2]), **settings)


@pytest.mark.parametrize("case", VECTORS["G_prior"]["cases"], ids=lambda c: f"{c['phi']}-{c['shared']}")
def test_prior_is_that_of_the_oracle(case):
    kernel, covariance = prior_kernel(prior_problem(case))
    np.testing.assert_allclose(kernel, case["C"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(covariance, case["Sigma"], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("variance", [0.3, 1.0, 9.0])
def test_tanh_is_that_of_a_finer_rule(variance):
    covariance = variance * np.array([[1.0, 0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 0.0]])
    nodes = np.linspace(-12, 12, 2401)
    weights = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    factor = np.linalg.cholesky(covariance[:2, :2])
    second = np.tanh(np.add.outer(factor[1, 0] * nodes, factor[1, 1] * nodes))
    wanted = (weights * np.tanh(factor[0, 0] * nodes)) @ second @ weights
    kernel = activation_kernel(covariance, "tanh")
    np.testing.assert_allclose(kernel[0, 1], wanted, rtol=1e-12)
    np.testing.assert_allclose(kernel[0, 0], weights @ np.tanh(factor[0, 0] * nodes) ** 2, rtol=1e-12)
    assert kernel[1, 0] == kernel[0, 1]
    assert not kernel[2].any()


@pytest.mark.parametrize("activation", ["identity", "erf", "tanh", "relu"])
def test_a_wide_random_network_has_the_kernel_of_the_prior(activation):
    rng = np.random.default_rng(0)
    inputs, width = rng.normal(size=(2, 3, 4)), 3000
    problem = Problem.sequences(
        inputs, np.ones((2, 3)), activation=activation, recurrent_variance=1.3, bias_variance=0.4
    )
    act = {"identity": lambda h: h, "erf": erf, "tanh": np.tanh, "relu": lambda h: np.maximum(h, 0)}[activation]
    recurrent = rng.normal(size=(width, width)) * np.sqrt(1.3 / width)
    entering, bias = rng.normal(size=(width, 4)) / 2, rng.normal(size=(width, 1)) * np.sqrt(0.4)
    state, states = np.zeros((width, 2)), []
    for x in inputs.transpose(1, 2, 0):
        state = act(recurrent @ state + entering @ x + bias)
        states.append(state)
    measured = np.hstack(states).T @ np.hstack(states) / width
    kernel, _ = prior_kernel(problem)
    scale = np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
    assert np.abs((measured - kernel) / scale).max() < 6 / np.sqrt(width)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_equal_times_do_not_depend_on_sharing(activation):
    inputs = np.random.default_rng(1).normal(size=(2, 4, 3))
    shared, own = (
        prior_kernel(Problem.sequences(inputs, np.ones((2, 4)), activation=activation, shared=shared))[0]
        for shared in (True, False)
    )
    for time in range(4):
        block = slice(2 * time, 2 * time + 2)
        np.testing.assert_allclose(shared[block, block], own[block, block], rtol=1e-13)
    assert np.abs(shared - own).max() > 1e-3


def first_order_problem(scale):
    return linear_case(VECTORS["D_linear"][2], scale)


def test_first_change_is_that_of_the_oracle():
    problem = first_order_problem(1e-2)
    np.testing.assert_allclose(prior_kernel(problem)[0], VECTORS["F_lazy"]["C0"], atol=1e-12)
    np.testing.assert_allclose(first_order(problem), VECTORS["F_lazy"]["dC"], rtol=1e-9, atol=1e-14)


def test_first_change_is_of_second_order_in_the_labels():
    np.testing.assert_allclose(first_order(first_order_problem(3.0)), 9 * first_order(first_order_problem(1.0)))


def test_nonlinear_networks_and_tied_labels_are_refused():
    with pytest.raises(ValueError, match="linear networks"):
        first_order(Problem.pulse(np.ones((1, 1)), (1,), 2, activation="erf"))
    twice = np.ones((2, 3))
    with pytest.raises(ValueError, match="tied to each other"):
        first_order(Problem.pulse(np.ones((2, 1)), (1,), 2, inputs=twice, noise=0))
    with pytest.raises(ValueError, match="tied to each other"):
        first_order(Problem.pulse(np.ones((1, 1)), (1,), 2, recurrent_variance=0, noise=0))
