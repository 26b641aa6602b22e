"""The memory prior of wide linear RNNs, against exact vectors, exact fractions and fifty digits."""

import decimal
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_bias_networks import TRUTH, array, cases, finite_kernel
from scipy.signal import lfilter

from hitherto.theory.linear_bias import Gaussian, cautions, initial_variances, lag_weights, log_lag_weight
from hitherto.theory.linear_bias_summary import (
    effective_lags,
    level_crossing,
    level_lag,
    mean_lag,
    peak,
    peak_lag,
    summary,
    tail_sum,
)
from hitherto.theory.linear_bias_width import leading_factor, mean_factor, trust_horizon

VARIANCE = st.fractions(Fraction(1, 20), 5, max_denominator=20)


def exact_weights(start: Gaussian, lags: int) -> list[Fraction]:
    nu, (a, c) = Fraction(start.nu_W), start.terms
    return [a * nu**j + (c * j * nu ** (j - 1) if j else 0) for j in range(lags)]


def fifty_digits(start: Gaussian, lag: int) -> float:
    with decimal.localcontext(decimal.Context(prec=50, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)):
        nu, a, c = (decimal.Decimal(x.numerator) / x.denominator for x in (Fraction(start.nu_W), *start.terms))
        return float((a * nu**lag + c * lag * nu ** (lag - 1)).ln())


@pytest.mark.parametrize("case", cases("rho"), ids=lambda case: case["nu_W"])
def test_weights_are_exact(case):
    start = Gaussian(case["nu_W"], case["nu_F"], case["nu_C"])
    assert [str(w) for w in exact_weights(start, case["T"])] == case["rho_exact"]
    np.testing.assert_allclose(lag_weights(start, case["T"]), case["rho"], rtol=1e-14)


@pytest.mark.parametrize("case", cases("log_rho"), ids=lambda case: f"{case['nu_W']} at {case['lag']}")
def test_log_weights(case):
    start = Gaussian(case["nu_W"], case["nu_F"], case["nu_C"])
    slack = 1e-12 * max(1, abs(case["log_rho"]))
    assert abs(log_lag_weight(start, case["lag"]) - case["log_rho"]) < slack
    if "one_minus_nu_W" in case:
        by_gap = Gaussian.from_gap(case["one_minus_nu_W"], case["nu_F"], case["nu_C"])
        assert abs(log_lag_weight(by_gap, case["lag"]) - case["log_rho"]) < slack


@pytest.mark.parametrize("lag", [1, 10**3, 10**7])
@pytest.mark.parametrize(
    "nu_W", ["50", "1e-300", "0.3", 1 - Fraction("1e-12"), 1 + Fraction("1e-12"), 1 - Fraction("1e-7")]
)
def test_log_weights_at_extremes(nu_W, lag):
    start = Gaussian(nu_W, "0.7", "1.3")
    truth = fifty_digits(start, lag)
    assert abs(log_lag_weight(start, lag) - truth) < 1e-12 * max(1, abs(truth))


def test_weights_keep_the_digits_of_the_gap():
    start = Gaussian.from_gap("1e-7")
    at = [10**5, 10**6 - 1]
    truth = [math.exp(fifty_digits(start, j)) for j in at]
    np.testing.assert_allclose(lag_weights(start, 10**6)[at], truth, rtol=1e-13)


def test_weights_underflow_to_zero_and_logs_go_on():
    start = Gaussian(0.3)
    weights = lag_weights(start, 5000)
    assert weights[-1] == 0
    assert weights[0] == 2
    np.testing.assert_allclose(np.exp(lag_weights(start, 5000, log=True)[:500]), weights[:500], rtol=1e-12)
    assert lag_weights(start, 5000, log=True)[-1] == pytest.approx(fifty_digits(start, 4999), rel=1e-13)


@given(VARIANCE, VARIANCE, st.fractions(0, 2, max_denominator=50))
@settings(max_examples=30)
def test_weights_are_the_impulse_response_of_a_filter(nu_F, nu_C, nu_W):
    start = Gaussian(nu_W, nu_F, nu_C)
    a, c, nu = map(float, (*start.terms, nu_W))
    impulse = np.eye(1, 30)[0]
    np.testing.assert_allclose(
        lag_weights(start, 30), lfilter([a, c - a * nu], [1, -2 * nu, nu * nu], impulse), rtol=1e-9
    )


@pytest.mark.parametrize("parametrisation", ["entries", "multipliers", "standard", "framework"])
def test_parts_add_up(parametrisation):
    parts = [
        lag_weights(Gaussian(0.8, 0.5, 3, parametrisation, rates), 20) for rates in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    np.testing.assert_allclose(sum(parts), lag_weights(Gaussian(0.8, 0.5, 3, parametrisation), 20), rtol=1e-14)
    mixed = lag_weights(Gaussian(0.8, 0.5, 3, parametrisation, (2, 0.5, 0)), 20)
    np.testing.assert_allclose(mixed, 2 * parts[0] + 0.5 * parts[1], rtol=1e-14)


def test_parametrisations():
    j, nu = np.arange(9), 0.6
    np.testing.assert_allclose(lag_weights(Gaussian(nu, 2, 3, "multipliers"), 9), 6 * nu**j * (2 + j), rtol=1e-14)
    standard = 2 * nu**j + j * 6 * nu ** np.maximum(j - 1.0, 0)
    np.testing.assert_allclose(lag_weights(Gaussian(nu, 2, 3, "standard"), 9), standard, rtol=1e-14)
    assert np.array_equal(lag_weights(Gaussian(1, 2, 2, "framework"), 9), 4 + 4 * j)
    torch = lag_weights(Gaussian("1/3", "1/3", "1/3", "framework"), 21)
    np.testing.assert_allclose(torch[0] / torch[[5, 10, 20]], [69, 9.8e3, 3.2e8], rtol=0.02)


def test_two_trained_hidden_biases_are_a_channel_of_their_own():
    third, j = 1 / 3, np.arange(8)
    bias = lag_weights(Gaussian("1/3", "2/3", "1/3", learning_rates=(1, 2, 1)), 8)
    truth = 2 * third * third**j + 2 * third * third**j + j * third * 2 * third * third ** np.maximum(j - 1.0, 0)
    np.testing.assert_allclose(bias, truth, rtol=1e-14)


def test_initial_variances():
    np.testing.assert_allclose(initial_variances(Gaussian(0.5, 2, 3), 4), 6 * 0.5 ** np.arange(4), rtol=1e-15)
    assert not initial_variances(Gaussian(0.5, parametrisation="framework"), 4).any()


@pytest.mark.parametrize("case", cases("summary"), ids=lambda case: case["nu_W"])
def test_summary(case):
    found = summary(Gaussian(case["nu_W"], case["nu_F"], case["nu_C"]))
    for field, key in (
        ("total", "sum"),
        ("mean_lag", "mean_lag"),
        ("effective_lags", "effective_lags"),
        ("peak", "peak_continuous"),
        ("half_level", "half_level_continuous"),
    ):
        assert getattr(found, field) == pytest.approx(case[key], rel=1e-12)
    assert (found.peak_lag, found.half_level_lag) == (case["argmax"], case["half_level_lag"])


@given(VARIANCE, VARIANCE, st.fractions(0, Fraction(9, 10), max_denominator=20), st.fractions(0, 3, max_denominator=3))
@settings(max_examples=25)
def test_summary_is_that_of_the_exact_weights(nu_F, nu_C, nu_W, rate):
    start = Gaussian(nu_W, nu_F, nu_C, learning_rates=(rate, 1, 1))
    weights = exact_weights(start, 1000)
    found, top = summary(start, level=0.25), max(weights)
    assert found.peak_lag == weights.index(top)
    assert found.half_level_lag == max(j for j, w in enumerate(weights) if w >= weights[0] / 2)
    assert found.horizon == max(j for j, w in enumerate(weights) if w >= top / 4)
    floats = array(weights)
    assert found.total == pytest.approx(floats.sum(), rel=1e-12)
    assert found.mean_lag == pytest.approx(floats @ np.arange(1000) / floats.sum(), rel=1e-12)
    assert found.effective_lags == pytest.approx(floats.sum() ** 2 / (floats @ floats), rel=1e-12)
    assert tail_sum(start, 17) == pytest.approx(floats[17:].sum(), rel=1e-11, abs=1e-300)


def test_summary_near_one():
    found = summary(Gaussian.from_gap("1e-12"))
    assert found.total == pytest.approx(2e12 + 1e24, rel=1e-14)
    assert found.mean_lag == pytest.approx(2e12 - 3, rel=1e-14)
    assert found.peak == pytest.approx(1e12 - 2.5, rel=1e-13)
    assert found.peak_lag == 10**12 - 2
    start = Gaussian.from_gap("1e-12")
    assert log_lag_weight(start, found.half_level) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "start", [Gaussian("0.9", "1e-400"), Gaussian(0.5, 1e-300, 1e300), Gaussian("1e-320")], ids=str
)
def test_summary_of_extreme_variances(start):
    found, weights = summary(start), lag_weights(start, 400)
    assert found.mean_lag == pytest.approx(weights @ np.arange(400) / weights.sum(), rel=1e-12)
    assert (found.peak_lag, found.half_level_lag) == (0, np.flatnonzero(weights >= weights[0] / 2).max())


def test_an_exact_hit_counts():
    found = summary(Gaussian(0.5))
    assert found.half_level_lag == 3
    assert (found.peak_lag, summary(Gaussian("0.5", 2, 3)).peak_lag) == (0, 1)
    assert summary(Gaussian(0, 2, 3)).half_level_lag == 1
    assert (summary(Gaussian(0, 2, 3)).peak, summary(Gaussian(0, 2, 3)).peak_lag) == (-math.inf, 1)


def test_peak_moves_with_nu():
    assert [peak_lag(Gaussian(nu)) for nu in ("0.5", "0.9", "0.99")] == [0, 8, 98]
    assert peak(Gaussian(0.9, 1, 0)) == -math.inf
    assert peak_lag(Gaussian(0.9, 1, 0)) == 0


@pytest.mark.parametrize("nu_W", [1, 1.2])
def test_weights_that_do_not_fall_have_infinite_sums(nu_W):
    found = summary(Gaussian(nu_W))
    assert (found.total, found.mean_lag, found.half_level, found.peak) == (math.inf,) * 4
    assert (found.peak_lag, found.half_level_lag, found.horizon) == (None,) * 3
    assert "unstable" in found.cautions[0]
    assert tail_sum(Gaussian(nu_W, 0, 0), 0) == 0
    weights = lag_weights(Gaussian(1.2), 1500)
    assert effective_lags(Gaussian(1.2)) == pytest.approx(weights.sum() ** 2 / (weights @ weights), rel=1e-2)
    assert effective_lags(Gaussian(1)) == math.inf
    assert mean_lag(Gaussian(1, 1, 0)) == math.inf


def test_levels_that_are_not_crossed():
    assert level_crossing(Gaussian(0.9, 1, 0), 1.0) is None
    assert level_lag(Gaussian(0.9, 1, 0), 1.0) is None
    assert level_crossing(Gaussian(1, 1, 0), -1.0) == math.inf
    assert level_crossing(Gaussian(1, 1, 0), 1.0) is None
    assert level_crossing(Gaussian(0.9, 1, 0), math.log(0.9**7)) == pytest.approx(7, rel=1e-14)


@pytest.mark.parametrize("case", cases("finite_width_expectation"), ids=lambda case: f"{case['k']} of {case['n']}")
def test_mean_factors(case):
    for entries in ("real", "complex"):
        assert mean_factor(case["k"], case["n"], entries) == pytest.approx(case[entries], rel=1e-12)


def test_complex_factor_is_the_quotient_of_products():
    for lag, width in ((0, 1), (3, 1), (7, 5), (30, 100), (12, 10**6)):
        products = [math.prod(Fraction(width + sign * i, width) for i in range(lag + 2)) for sign in (1, -1)]
        truth = (products[0] - products[1]) * width / ((lag + 1) * (lag + 2))
        assert mean_factor(lag, width, "complex") == pytest.approx(float(truth), rel=1e-12)


def test_factors_leave_one_at_the_trust_horizon():
    width, x = 10**8, 1.2
    lag = round(x * trust_horizon(width))
    assert mean_factor(lag, width, "complex") == pytest.approx(math.sinh(x**2 / 2) / (x**2 / 2), rel=1e-3)
    assert leading_factor(6, 1000) == pytest.approx(mean_factor(6, 1000), rel=1e-4)


def test_real_factors_are_those_of_samples():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 8, 8)) / math.sqrt(8)
    squares = np.square(draws @ draws @ draws).sum((1, 2)) / 8
    assert abs(squares.mean() - mean_factor(3, 8)) < 4 * squares.std() / math.sqrt(len(draws))


def test_slow_kernel_is_the_oracle_and_tends_to_the_weights():
    for case in cases("finite_width"):
        kernel = finite_kernel(*(array(case[key]) for key in ("W", "F", "C")), case["T"])
        truth = array(case["lag_kernel"])
        np.testing.assert_allclose(kernel, truth, atol=1e-12 * np.abs(truth).max())
    rng, width = np.random.default_rng(1), 1000
    drawn = [
        math.sqrt(nu) * rng.normal(size=size)
        for nu, size in ((0.3, (width, width)), (0.5, (width, 2)), (2, (1, width)))
    ]
    truth = np.diag(np.repeat(lag_weights(Gaussian(0.3, 0.5, 2), 4), 2))
    assert np.linalg.norm(finite_kernel(*drawn, 4) - truth) < 3 / math.sqrt(width) * np.linalg.norm(truth)


def test_one_unit_has_whole_numbers():
    kernel = finite_kernel(array([[3]]), array([[2]]), array([[5]]), 2)
    assert (kernel[0, 0], kernel[1, 1]) == (29, 361)


def test_cautions():
    assert not cautions(Gaussian(0.9), lag=10, width=100)
    assert "sqrt(width) = 10" in cautions(Gaussian(0.9), lag=11, width=100)[0]
    assert "float32" in cautions(Gaussian(np.float32(1) - np.float32(1e-7)))[0]
    assert "first step" in cautions(Gaussian(0.9, parametrisation="framework"))[0]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: Gaussian(-0.1), "nu_W needs a number from 0 on"),
        (lambda: Gaussian(math.nan), "nu_W needs a finite number"),
        (lambda: Gaussian(0.5, math.inf), "nu_F needs a finite number"),
        (lambda: Gaussian("nine"), "nu_W needs a finite number, got 'nine'"),
        (lambda: Gaussian(0.5, "1e200", "1e200"), "too large for a float; scale"),
        (lambda: Gaussian(0.5, learning_rates=(1, -1, 1)), "learning_rates needs"),
        (lambda: Gaussian(0.5, learning_rates=(1, 1)), "three numbers"),
        (lambda: Gaussian(0.5, parametrisation="ntk"), "no parametrisation 'ntk'"),
        (lambda: lag_weights(Gaussian(0.5), 0), "lags needs a whole number"),
        (lambda: lag_weights(Gaussian(50), 1000), "ask `lag_weights` for log=True"),
        (lambda: log_lag_weight(Gaussian(0.5), -1), "from 0 on"),
        (lambda: log_lag_weight(Gaussian(0.5), np.array([1.0, math.nan])), "from 0 on"),
        (lambda: summary(Gaussian(0.5, 0, 0)), "learns no lag"),
        (lambda: summary(Gaussian(0.5), level=0.0), "level 0"),
        (lambda: mean_lag(Gaussian(0.5, learning_rates=(0, 0, 0))), "learns no lag"),
        (lambda: tail_sum(Gaussian(0.5), -1), "lag needs"),
        (lambda: mean_factor(7, 10), "known up to lag 6"),
        (lambda: mean_factor(2, 0), "width needs"),
        (lambda: mean_factor(2, 5, "quaternion"), "kind of entries"),
        (lambda: trust_horizon(0), "width needs"),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask()


def test_all_blocks_are_known():
    here = {"rho", "log_rho", "summary", "finite_width_expectation", "finite_width"}
    elsewhere = {"data_kernel", "gradient_descent", "lag_kernels", "rntk", "inverse_design", "white_input", "rnn_step"}
    elsewhere |= {"wide_dynamic_range", "lag_kernel_descent"}
    later = {"real_data"}
    assert {key for key in TRUTH if not key.startswith("_")} == here | elsewhere | later
