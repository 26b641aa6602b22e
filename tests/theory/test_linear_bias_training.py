"""Training in closed form, against exact vectors, explicit steps, and a network of finite width."""

import math
import re

import numpy as np
import pytest
from linear_bias_networks import array, cases, impulse_response, number, stacked, weight_gradients

from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_delays import delay_r2, delay_steps, learning_cost, white_rate
from hitherto.theory.linear_bias_equations import NormalEquations, normal_equations
from hitherto.theory.linear_bias_kernels import Leaky, lag_kernel
from hitherto.theory.linear_bias_training import (
    critical_rate,
    descent,
    flow,
    heavy_ball,
    limit,
    movement_bound,
    ridge,
    training_modes,
)

SHAPES = [  # sequences, length, lags, inputs, outputs, nu_W, last_output
    (6, 9, 9, 1, 1, 0.3, False),
    (5, 12, 7, 2, 3, 0.9, False),
    (2, 5, 5, 3, 2, 0.5, True),
    (1, 6, 6, 1, 1, 1.3, True),
    (1, 1, 1, 1, 1, 0.5, False),
]


def design(inputs: np.ndarray, lags: int) -> np.ndarray:
    sequences, length, channels = inputs.shape
    rows = np.zeros((sequences, length, lags, channels))
    for j in range(lags):
        rows[:, j:, j] = inputs[:, : length - j]
    return rows.reshape(sequences, length, -1)


def problem(shape, seed=0):
    sequences, length, lags, inputs, outputs, nu_W, last = shape
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(sequences, length, inputs)), rng.normal(size=(sequences, length, outputs))
    weights = lag_weights(Gaussian(nu_W), lags)
    start = rng.normal(size=(lags, outputs, inputs)) * np.sqrt(weights)[:, None, None]
    return normal_equations(x, y, lags, last_output=last), weights, start, x, y


def explicit(equations, prior, start, rate, steps, momentum=0.0):
    """Steps one by one, and the sum of the moves, whose small entries keep their digits."""
    prior = np.diag(prior) if prior.ndim == 1 else prior
    prior = np.kron(prior, np.eye(equations.inputs))
    before = now = stacked(start)
    moved, step = np.zeros_like(now), np.zeros_like(now)
    for _ in range(steps):
        step = rate * prior @ (equations.moment - equations.hessian @ now) + momentum * step
        moved += step
        now = before + moved
    return now, moved


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal_equations_are_those_of_the_design(shape):
    equations, _, _, x, y = problem(shape)
    rows = design(x, shape[2])
    rows, targets = (rows[:, -1:], y[:, -1:]) if shape[-1] else (rows, y)
    rows, targets = rows.reshape(-1, rows.shape[-1]), targets.reshape(-1, y.shape[2])
    np.testing.assert_allclose(equations.hessian, rows.T @ rows / len(rows), atol=1e-14)
    np.testing.assert_allclose(equations.moment, rows.T @ targets / len(rows), atol=1e-14)
    assert equations.power == pytest.approx(np.square(targets).sum() / len(rows), rel=1e-14)


@pytest.mark.parametrize("case", cases("gradient_descent"), ids=lambda case: case["nu_W"])
def test_descent_is_exact(case):
    equations = normal_equations(array(case["inputs"]), array(case["targets"]))
    start = array(case["L0"]).reshape(case["T"], equations.inputs, -1).transpose(0, 2, 1)
    weights = lag_weights(Gaussian(case["nu_W"], case["nu_F"], case["nu_C"]), case["T"])
    modes, rate = training_modes(equations, weights, start), number(case["eta"])
    for steps, truth in zip((1, 2, 3, 1000), [*case["steps_1_2_3"], case["step_1000"]], strict=True):
        np.testing.assert_allclose(stacked(modes.response(descent(modes, rate, steps))), truth, atol=1e-12)
    np.testing.assert_allclose(stacked(modes.response(limit(modes))), case["limit"], atol=1e-12)
    assert modes.eigenvalues[0] == pytest.approx(case["lambda_max"], rel=1e-13)
    assert modes.loss(descent(modes, rate, 0)) == pytest.approx(case["loss_start"], rel=1e-14)
    assert modes.loss(descent(modes, rate, 3)) == pytest.approx(case["loss_step_3"], rel=1e-13)


def test_descent_with_a_lag_kernel_is_exact():
    case = cases("lag_kernel_descent")
    equations = normal_equations(array(case["x"])[None, :, None], array(case["y"])[None, :, None])
    modes = training_modes(equations, lag_kernel(Leaky(case["a"]), 3))
    for steps, truth in zip((1, 2), case["steps_1_2"], strict=True):
        found = modes.response(descent(modes, number(case["eta"]), steps))
        np.testing.assert_allclose(found.ravel(), truth, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("share", [0.1, 0.7, 1.0, 1.9])
def test_closed_form_is_iteration_and_within_the_bound(shape, share):
    equations, weights, start, *_ = problem(shape)
    modes = training_modes(equations, weights, start)
    rate = share / modes.eigenvalues[0]
    for steps in (0, 1, 137):
        now, moved = explicit(equations, weights, start, rate, steps)
        np.testing.assert_allclose(stacked(modes.response(descent(modes, rate, steps))), now, atol=2e-13)
        moved = np.linalg.norm(moved.reshape(shape[2], -1), axis=1)
        assert (moved <= movement_bound(equations, weights, rate, steps, modes.start_loss) * (1 + 1e-9)).all()


def test_bound_cannot_be_improved():
    equations, weights, start, *_ = problem((1, 1, 1, 1, 1, 0.5, False))
    modes = training_modes(equations, weights, start)
    rate = 1e-3 / modes.eigenvalues[0]
    moved = np.abs(modes.response(descent(modes, rate, 1)) - start).ravel()
    np.testing.assert_allclose(moved, movement_bound(equations, weights, rate, 1, modes.start_loss), rtol=1e-9)


def test_long_lags_keep_their_digits():
    """Weights down to 1e-30: each lag's movement is exact relative to itself, not to the first lag's."""
    equations, weights, start, *_ = problem((20, 60, 60, 1, 1, 0.3, False))
    modes = training_modes(equations, weights)
    rate = 0.1 / modes.eigenvalues[0]
    _, moved = explicit(equations, weights, np.zeros_like(start), rate, 100)
    np.testing.assert_allclose(stacked(modes.response(descent(modes, rate, 100))), moved, rtol=1e-6)


def test_loss_is_that_of_the_data():
    equations, weights, start, x, y = problem(SHAPES[1])
    modes = training_modes(equations, weights, start)
    after = descent(modes, critical_rate(modes) / 3, 40)
    misses = y - design(x, 7) @ stacked(modes.response(after))
    assert modes.loss(after) == pytest.approx(np.square(misses).sum() / (2 * 60), rel=1e-13)


def test_momentum_is_iteration():
    equations, weights, start, *_ = problem(SHAPES[1])
    modes = training_modes(equations, weights, start)
    rate = 2.5 / modes.eigenvalues[0]
    now, _ = explicit(equations, weights, start, rate, 50, momentum=0.8)
    np.testing.assert_allclose(stacked(modes.response(heavy_ball(modes, rate, 50, 0.8))), now, atol=1e-12)
    np.testing.assert_allclose(heavy_ball(modes, rate / 3, 50, 0), descent(modes, rate / 3, 50), rtol=1e-12)


def test_flow_and_ridge():
    equations, weights, start, *_ = problem(SHAPES[0])
    modes = training_modes(equations, weights, start)
    np.testing.assert_allclose(flow(modes, 3.0), descent(modes, 3e-6, 10**6), rtol=1e-5)
    np.testing.assert_allclose(flow(modes, 1e15), limit(modes), rtol=1e-6)
    zero = training_modes(equations, weights)
    solved = np.linalg.solve(equations.hessian + np.diag(1 / weights) / 7, equations.moment)
    np.testing.assert_allclose(stacked(zero.response(ridge(zero, 7))), solved, atol=1e-12)


def test_limit_is_the_nearest_minimum():
    equations, weights, start, *_ = problem((1, 6, 6, 2, 1, 0.9, True))
    modes = training_modes(equations, weights, start)
    found = stacked(modes.response(limit(modes)) - start)
    scales = np.sqrt(np.repeat(weights, 2))
    gap = equations.moment - equations.hessian @ stacked(start)
    np.testing.assert_allclose(equations.hessian @ found, gap, atol=1e-12)
    nearest = scales[:, None] * np.linalg.lstsq(equations.hessian * scales, gap, rcond=1e-10)[0]
    np.testing.assert_allclose(found, nearest, atol=1e-12)


def test_lags_without_weight_stay():
    equations, _, start, *_ = problem(SHAPES[0])
    weights = lag_weights(Gaussian(0, 1, 2), 9)
    modes = training_modes(equations, weights, start)
    for filtered in (descent(modes, 0.1, 10**6), limit(modes), ridge(modes, 5)):
        np.testing.assert_array_equal(modes.response(filtered)[2:], start[2:])
    assert (movement_bound(equations, weights, 0.1, 10, modes.start_loss)[2:] == 0).all()


def test_permuted_outputs_commute():
    equations, weights, start, *_ = problem(SHAPES[1])
    swapped = NormalEquations(equations.hessian, equations.moment[:, ::-1], equations.power, equations.inputs)
    modes, others = training_modes(equations, weights, start), training_modes(swapped, weights, start[:, ::-1])
    rate = critical_rate(modes) / 2
    one, other = (m.response(descent(m, rate, 30)) for m in (modes, others))
    np.testing.assert_allclose(one[:, ::-1], other, atol=1e-13)


def test_one_step_of_a_finite_network_is_exact():
    case = cases("rnn_step")
    weights = [array(case[key]) for key in ("W", "F", "C")]
    equations = normal_equations(array(case["x"])[None], array(case["y"])[None])
    response = impulse_response(*weights, 3)
    pulls = (equations.hessian @ stacked(response) - equations.moment).reshape(3, 1, 1)
    gradients = weight_gradients(*weights, pulls)
    for gradient, key in zip(gradients, ("grad_W", "grad_F", "grad_C"), strict=True):
        np.testing.assert_allclose(gradient, case[key], atol=1e-12)
    moved = [w - number(case["eta"]) * g for w, g in zip(weights, gradients, strict=True)]
    np.testing.assert_allclose(impulse_response(*moved, 3), case["impulse_response_after"], atol=1e-12)
    assert training_modes(equations, np.ones(3), response).start_loss == pytest.approx(case["loss"], rel=1e-14)


def test_wide_networks_train_as_the_limit_says():
    equations, weights, _, *_ = problem((30, 6, 6, 1, 1, 0.3, False))
    rng, width = np.random.default_rng(1), 900
    network = [
        math.sqrt(0.3) * rng.normal(size=(width, width)),
        rng.normal(size=(width, 1)),
        rng.normal(size=(1, width)),
    ]
    modes = training_modes(equations, weights, impulse_response(*network, 6))
    rate = 0.2 / modes.eigenvalues[0]
    for _ in range(40):
        pulls = equations.hessian @ impulse_response(*network, 6)[:, :, 0] - equations.moment
        network = [w - rate * g for w, g in zip(network, weight_gradients(*network, pulls[:, :, None]), strict=True)]
    truth = modes.response(descent(modes, rate, 40))
    moved = np.linalg.norm(truth - modes.start)
    assert moved > 0.2
    assert np.linalg.norm(impulse_response(*network, 6) - truth) < 3 / math.sqrt(width) * moved


@pytest.mark.parametrize("case", cases("white_input"), ids=lambda case: f"delay {case['delay']}")
def test_delays_of_white_inputs(case):
    logs = lag_weights(Gaussian(case["nu_W"], case["nu_F"], case["nu_C"]), case["T"], log=True)
    cost, fraction = learning_cost(logs)[case["delay"]], case["step_fraction"]
    assert cost == pytest.approx(case["cost_ratio"], rel=1e-12)
    assert white_rate(logs, fraction, variance=case["sigma_x_squared"]) == pytest.approx(case["eta"], rel=1e-12)
    assert delay_r2(cost, fraction, case["steps"]) == pytest.approx(case["R2"], abs=1e-12)
    assert delay_steps(cost, fraction) == pytest.approx(case["steps_to_1pct"], rel=1e-12)


def test_delays_are_those_of_the_population():
    """One eigenvector a lag: the closed form of white inputs is that of training with H = s diag((T - j) / T)."""
    weights, length, variance = lag_weights(Gaussian(0.6), 8), 8, 2.5
    hessian = variance * np.diag(1 - np.arange(length) / length)
    equations = NormalEquations(hessian, hessian[:, [5]], hessian[5, 5], 1)
    modes = training_modes(equations, weights)
    rate = white_rate(np.log(weights), 1.4, variance=variance)
    reached = modes.response(descent(modes, rate, 20))[5, 0, 0]
    cost = learning_cost(np.log(weights))
    assert delay_r2(cost[5], 1.4, 20) == pytest.approx(1 - (1 - reached) ** 2, rel=1e-12)
    assert modes.loss(descent(modes, rate, 20)) == pytest.approx(hessian[5, 5] * (1 - delay_r2(cost[5], 1.4, 20)) / 2)


def test_costs_of_lags_far_away():
    logs = lag_weights(Gaussian(0.3), 5000, log=True)
    cost = learning_cost(logs, last_output=True, log=True)
    assert cost[-1] == pytest.approx(logs[0] - logs[-1], rel=1e-14)
    assert learning_cost(logs)[-1] == math.inf
    assert (delay_r2(math.inf, 1, 10), delay_steps(math.inf, 1)) == (0, math.inf)
    assert (delay_r2(1, 1, 1), delay_steps(1, 1), delay_r2(1, 1, 0)) == (1, 0, 0)
    assert delay_r2(1e12, 0.5, 10) == pytest.approx(1e-11, rel=1e-9)


EQUATIONS, WEIGHTS, START, X, Y = problem(SHAPES[0])
MODES = training_modes(EQUATIONS, WEIGHTS, START)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: normal_equations(X, Y, 10), "lags beyond 8"),
        (lambda: normal_equations(X, Y, 0), "lags needs"),
        (lambda: normal_equations(X * math.nan, Y), "inputs hold nan at (0, 0, 0)"),
        (lambda: normal_equations(X, Y + math.inf), "targets hold inf"),
        (lambda: normal_equations(X[:0], Y[:0]), "sequences needs"),
        (lambda: training_modes(EQUATIONS, WEIGHTS[:5]), "prior is over (5,) lags"),
        (lambda: training_modes(EQUATIONS, WEIGHTS, np.zeros((9, 2, 1))), "lags, outputs and inputs"),
        (lambda: training_modes(EQUATIONS, -WEIGHTS), "weights are from 0 on"),
        (lambda: training_modes(EQUATIONS, -np.eye(9) - 0.1), "no negative eigenvalue"),
        (lambda: descent(MODES, critical_rate(MODES), 3), "diverges: it must be below"),
        (lambda: descent(MODES, -0.1, 3), "rate needs"),
        (lambda: descent(MODES, 0.1, -3), "steps needs"),
        (lambda: heavy_ball(MODES, 0.1, 3, 1.0), "give one in [0, 1)"),
        (lambda: flow(MODES, -1.0), "time needs"),
        (lambda: movement_bound(EQUATIONS, WEIGHTS, 100.0, 3, 1.0), "diverges"),
        (lambda: learning_cost(np.full(4, -np.inf)), "all are 0"),
        (lambda: learning_cost(np.array([0.0, np.nan])), "NaN"),
        (lambda: white_rate(np.zeros(3), 2.0), "diverges from 2 on"),
        (lambda: white_rate(np.zeros(3), 1.0, variance=0), "give one above 0"),
        (lambda: delay_r2(0.5, 1.0, 3), "at least 1"),
        (lambda: delay_r2(2, 1.0, -3), "give 0 or more"),
        (lambda: delay_steps(2, 1.0, 1.5), "give one in (0, 1)"),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask()


def test_silent_data_never_diverge():
    equations = normal_equations(np.zeros((1, 3, 1)), np.zeros((1, 3, 1)))
    modes = training_modes(equations, np.ones(3))
    assert critical_rate(modes) == math.inf
    assert not modes.response(descent(modes, 100, 5)).any()
