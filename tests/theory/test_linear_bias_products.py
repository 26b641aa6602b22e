"""Fast products with the kernel, against exact whole numbers and plain sums."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_bias_networks import array, cases

from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_equations import normal_equations
from hitherto.theory.linear_bias_products import correlate, kernel_matrix, kernel_product, last_output_gram, respond


def plain(weights, inputs, others):
    """K_ts = sum over j up to min(t, s)."""
    kernel = np.zeros((len(inputs), len(others)))
    for t in range(len(inputs)):
        for s in range(len(others)):
            kernel[t, s] = sum(weights[j] * inputs[t - j] @ others[s - j] for j in range(min(t, s) + 1))
    return kernel


@pytest.mark.parametrize("case", cases("data_kernel"), ids=lambda case: case["nu_W"])
def test_products_are_exact(case):
    start = Gaussian(case["nu_W"], case["nu_F"], case["nu_C"])
    x, other, weights = array(case["x"]), array(case["x_prime"]), lag_weights(start, 5)
    largest = np.abs(case["K"]).max()
    np.testing.assert_allclose(kernel_matrix(start, x, other), case["K"], atol=1e-12 * largest)
    product = kernel_product(weights, x, other, array(case["v"])[:, None])[:, 0]
    np.testing.assert_allclose(product, case["K_times_v"], atol=1e-12 * np.abs(case["K_times_v"]).max())
    assert last_output_gram(weights, [x], [other])[0, 0] == pytest.approx(case["last_output"], rel=1e-12)


def test_every_output_keeps_its_digits():
    case = cases("wide_dynamic_range")
    x, v = array(case["x"])[:, None], array(case["v"])[:, None]
    weights = lag_weights(Gaussian(case["nu_W"], case["nu_F"], case["nu_C"]), len(x))
    truth = array([int(entry) for entry in case["K_times_v_exact"]])
    np.testing.assert_allclose(kernel_product(weights, x, x, v)[:, 0], truth, rtol=1e-12)


@pytest.mark.parametrize(("nu_W", "steps"), [(4, 64), (50, 100), (1, 200), (0.3, 200)])
def test_long_products_are_those_of_the_matrix(nu_W, steps):
    rng = np.random.default_rng(0)
    x, v, start = rng.normal(size=(steps, 1)), rng.normal(size=(steps, 1)), Gaussian(nu_W)
    kernel = kernel_matrix(start, x, x)
    found = kernel_product(lag_weights(start, steps), x, x, v)
    assert (np.abs(found - kernel @ v) < 1e-13 * (np.abs(kernel) @ np.abs(v))).all()


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=25)
def test_matrix_product_and_gram_are_plain_sums(steps, others, channels, seed):
    rng = np.random.default_rng(seed)
    x, other, v = rng.normal(size=(steps, channels)), rng.normal(size=(others, channels)), rng.normal(size=(others, 2))
    start = Gaussian(0.8, 0.5, 2)
    weights = lag_weights(start, 7)
    truth = plain(weights, x, other)
    np.testing.assert_allclose(kernel_matrix(start, x, other), truth, atol=1e-13)
    np.testing.assert_allclose(kernel_product(weights, x, other, v), truth @ v, atol=1e-12)
    np.testing.assert_allclose(last_output_gram(weights, [x, other], [other])[0, 0], truth[-1, -1], atol=1e-13)


def test_gram_of_unequal_lengths():
    rng = np.random.default_rng(1)
    left, right = ([rng.normal(size=(steps, 2)) for steps in lengths] for lengths in ((3, 6, 4), (5, 2)))
    weights = lag_weights(Gaussian(0.9), 5)
    truth = [[plain(weights, x, y)[-1, -1] for y in right] for x in left]
    np.testing.assert_allclose(last_output_gram(weights, left, right), truth, rtol=1e-12)


def test_respond_and_correlate_are_transposes_and_give_the_gradient():
    rng = np.random.default_rng(2)
    x, response = rng.normal(size=(9, 2)), rng.normal(size=(9, 3, 2))
    outputs = respond(response, x)
    truth = [sum(response[j] @ x[t - j] for j in range(t + 1)) for t in range(9)]
    np.testing.assert_allclose(outputs, truth, atol=1e-13)
    np.testing.assert_allclose(respond(response[:4], x)[:4], truth[:4], atol=1e-13)
    errors = rng.normal(size=(9, 3))
    assert (outputs * errors).sum() == pytest.approx((correlate(x, errors) * response).sum(), rel=1e-12)
    equations = normal_equations(x[None], errors[None])
    np.testing.assert_allclose(correlate(x, errors).transpose(0, 2, 1).reshape(18, 3) / 9, equations.moment, atol=1e-14)
    gradient = (equations.hessian @ response.transpose(0, 2, 1).reshape(18, 3)).reshape(9, 2, 3).transpose(0, 2, 1)
    np.testing.assert_allclose(correlate(x, outputs) / 9, gradient, atol=1e-13)


def test_a_growing_response_keeps_its_first_outputs():
    response, x = 8.0 ** np.arange(40)[:, None, None], np.ones((40, 1))
    truth = array([(8 ** (t + 1) - 1) // 7 for t in range(40)])
    np.testing.assert_allclose(respond(response, x, 8)[:, 0], truth, rtol=1e-13)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda x, w: kernel_product(w[:2], x, x, x), "as many lag weights, got 2"),
        (lambda x, w: kernel_product(w, x * np.nan, x, x), "inputs hold nan"),
        (lambda x, w: last_output_gram(w, [], [x]), "no sequences"),
        (lambda x, w: last_output_gram(w[:2], [x], [x]), "as many lag weights"),
        (lambda x, w: respond(x[:, None], x * np.inf), "inputs hold"),
        (lambda x, w: kernel_matrix(Gaussian(1e200), x, x), "the kernel's entries hold"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask(np.ones((3, 1)), lag_weights(Gaussian(0.5), 3))
