"""The memory prior of wide linear RNNs against exact numbers, quadrature, sampling and explicit iteration."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, special

from hitherto import (
    GRU,
    RNN,
    Deep,
    DiagonalStateSpace,
    Model,
    StateSpace,
    WideLinearRNN,
    build,
    kernel_drift,
    memory_prior,
    response_kernel,
    states_and_outputs,
    tangent_kernel,
)
from hitherto import lag_kernel as measured_kernel
from hitherto.core.model import precision
from hitherto.theory import linear_bias as prior
from hitherto.theory import linear_bias_delays as delays
from hitherto.theory import linear_bias_design as designs
from hitherto.theory import linear_bias_equations as equations_
from hitherto.theory import linear_bias_evidence as evidences
from hitherto.theory import linear_bias_kernels as kernels
from hitherto.theory import linear_bias_modes as modes_
from hitherto.theory import linear_bias_nonlinear as nonlinear
from hitherto.theory import linear_bias_products as products
from hitherto.theory import linear_bias_summary as summaries
from hitherto.theory import linear_bias_training as training
from hitherto.theory import linear_bias_width as widths
from hitherto.theory.linear_bias import Gaussian, lag_weights, log_lag_weight

pytestmark = pytest.mark.slow

DIGITS = 700  # enough for 1 beside 1e-300


@pytest.fixture(autouse=True)
def many_digits():
    kept, flint.ctx.dps = flint.ctx.dps, DIGITS
    yield
    flint.ctx.dps = kept


def big(number) -> flint.arb:
    number = Fraction(number)
    return flint.arb(flint.fmpq(number.numerator, number.denominator))


def exact_weight(a, c, nu, lag) -> Fraction:
    a, c, nu = Fraction(a), Fraction(c), Fraction(nu)
    return a * nu**lag + (c * lag * nu ** (lag - 1) if lag else 0)


def log_weight(a, c, nu, lag) -> float:
    return float((big(nu).log() * (lag - 1) + (big(a) * big(nu) + big(c) * lag).log()) if lag else big(a).log())


def terms(nu_F, nu_C) -> tuple:
    return Fraction(nu_F) + Fraction(nu_C), Fraction(nu_F) * Fraction(nu_C)


# ---------------------------------------------------------------------------------------------------------------
# the lag weights at their extremes

EXTREMES = [
    Fraction(50),
    Fraction("1.5"),
    Fraction("0.3"),
    Fraction(1, 10**300),
    1 - Fraction("1e-12"),
    1 + Fraction("1e-12"),
    1 - Fraction("1e-15"),
    Fraction(1),
]


@pytest.mark.parametrize("nu", EXTREMES, ids=float)
@pytest.mark.parametrize(("nu_F", "nu_C"), [("1", "1"), ("0.001", "70"), ("1e-200", "1e200"), ("3", "0")])
def test_log_weights_keep_their_digits_at_any_lag(nu, nu_F, nu_C):
    start = Gaussian(nu, nu_F, nu_C)
    for lag in (0, 1, 2, 77, 10**5, 10**7, 10**12):
        expected = log_weight(*terms(nu_F, nu_C), nu, lag)
        # where two large logarithms cancel it is they that are rounded
        size = max(abs(expected), float(abs(big(nu).log()) * lag), 1)
        assert log_lag_weight(start, lag) == pytest.approx(expected, rel=0, abs=1e-14 * size)


@pytest.mark.slow
def test_ten_million_lags_at_once():
    nu = 1 - Fraction("1e-12")
    found = lag_weights(Gaussian(nu), 10**7 + 1, log=True)
    for lag in (0, 1, 10**6, 10**7):
        assert found[lag] == pytest.approx(log_weight(2, 1, nu, lag), rel=1e-15)


@pytest.mark.parametrize("nu", ["1e-300", "0.01", "0.3", "0.999999999999", "1", "1.7", "50"])
@pytest.mark.parametrize(("nu_F", "nu_C"), [("1", "1"), ("0.25", "7"), ("0", "3"), ("2", "0")])
def test_weights_are_the_formula_in_fractions(nu, nu_F, nu_C):
    start = Gaussian(nu, nu_F, nu_C)
    expected = [float(exact_weight(*terms(nu_F, nu_C), nu, lag)) for lag in range(60)]
    np.testing.assert_allclose(lag_weights(start, 60), expected, rtol=4e-14, atol=5e-324)


def test_weights_below_the_least_float_are_zero_and_their_logarithms_are_not():
    start = Gaussian("1e-160")
    assert lag_weights(start, 6)[3:].tolist() == [pytest.approx(3e-320, rel=1e-3), 0, 0]
    found = lag_weights(start, 6, log=True)
    np.testing.assert_allclose(found, [log_weight(2, 1, "1e-160", lag) for lag in range(6)], rtol=1e-14)


def test_weights_above_the_largest_float_are_refused_and_their_logarithms_are_not():
    assert np.isfinite(lag_weights(Gaussian(50), 180)).all()
    with pytest.raises(ValueError, match="log"):
        lag_weights(Gaussian(50), 300)
    assert lag_weights(Gaussian(50), 300, log=True)[-1] == pytest.approx(log_weight(2, 1, 50, 299), rel=1e-15)


def test_no_memory_and_no_weights():
    np.testing.assert_array_equal(lag_weights(Gaussian(0, 2, 3), 5), [5, 6, 0, 0, 0])
    np.testing.assert_array_equal(lag_weights(Gaussian(0, 2, 3), 3, log=True), [math.log(5), math.log(6), -math.inf])
    np.testing.assert_array_equal(lag_weights(Gaussian("0.5", 0, 0), 3), 0)
    np.testing.assert_array_equal(lag_weights(Gaussian("0.5", 0, 0), 3, log=True), -math.inf)
    np.testing.assert_array_equal(lag_weights(Gaussian(0, 0, 3), 3), [3, 0, 0])


def test_a_decimal_string_is_that_decimal():
    assert Gaussian("0.999999999999").gap == 1e-12
    assert float(Gaussian("0.999999999999").gap) != 1 - 0.999999999999
    assert Gaussian(0.1).nu == Fraction(0.1)
    assert Gaussian(np.float32(0.1)).nu == Fraction(float(np.float32(0.1)))


def test_lags_between_whole_ones():
    start = Gaussian(Fraction(7, 10), Fraction(1, 2), 3)
    half = 2.5
    expected = math.log(3.5 * 0.7**half + 1.5 * half * 0.7 ** (half - 1))
    assert log_lag_weight(start, half) == pytest.approx(expected, rel=1e-14)
    lags = np.array([[0, 0.5], [1, 1e7]])
    assert log_lag_weight(start, lags).shape == (2, 2)


# parametrisations and learning rates


@pytest.mark.parametrize("rates", [(1, 1, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0), (Fraction(1, 3), 2, 5)])
@pytest.mark.parametrize("nu", ["0", "0.6", "1.2"])
def test_parts_of_the_parametrisations(nu, rates):
    nu_W, nu_F, nu_C = Fraction(nu), Fraction("0.7"), Fraction("2.5")
    s_W, s_F, s_C = (Fraction(rate) for rate in rates)
    c = nu_F * nu_C
    lags = range(9)
    power = lambda j: nu_W**j  # noqa: E731
    recurrent = lambda j: j * c * nu_W ** (j - 1) if j else 0  # noqa: E731
    rows = dict(
        entries=[s_C * nu_F * power(j) + s_F * nu_C * power(j) + s_W * recurrent(j) for j in lags],
        multipliers=[(s_C + s_F) * c * power(j) + s_W * nu_W * recurrent(j) for j in lags],
        standard=[s_C * nu_F * power(j) + s_W * recurrent(j) for j in lags],
        framework=[s_C * nu_F * power(j) + s_F * nu_C * power(j) + s_W * recurrent(j) for j in lags],
    )
    for name, expected in rows.items():
        found = lag_weights(Gaussian(nu_W, nu_F, nu_C, name, rates), len(lags))
        np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-14)
    with_parts = [np.eye(3, dtype=int)[i] * rates[i] for i in range(3)]
    parts = [
        lag_weights(Gaussian(nu_W, nu_F, nu_C, "entries", tuple(map(int, p))), 9)
        for p in with_parts
        if all(float(r).is_integer() for r in rates)
    ]
    if parts:
        np.testing.assert_allclose(sum(parts), lag_weights(Gaussian(nu_W, nu_F, nu_C, "entries", rates), 9))


def test_framework_defaults():
    torch_like = lag_weights(Gaussian(Fraction(1, 3), Fraction(1, 3), Fraction(1, 3), "framework"), 21)
    assert torch_like[0] / torch_like[5] == pytest.approx(69, abs=0.5)
    assert torch_like[0] / torch_like[10] == pytest.approx(9.8e3, rel=0.01)
    assert torch_like[0] / torch_like[20] == pytest.approx(3.2e8, rel=0.02)
    np.testing.assert_allclose(lag_weights(Gaussian(1, 2, 2, "framework"), 9), 4 + 4 * np.arange(9))
    nu = Fraction(1, 3)
    bias = lag_weights(Gaussian(nu, 2 * nu, nu, "framework", (1, 2, 1)), 8)
    expected = [(2 * nu + 2 * nu) * nu**j + (j * nu * 2 * nu * nu ** (j - 1) if j else 0) for j in range(8)]
    np.testing.assert_allclose(bias, np.array(expected, float), rtol=1e-14)
    np.testing.assert_array_equal(prior.initial_variances(Gaussian("0.5", 1, 1, "framework"), 4), 0)


@pytest.mark.slow
def test_the_initial_function_by_sampling():
    rng, width, draws = np.random.default_rng(0), 150, 300
    start = Gaussian("0.8", 2, "0.5")
    found = np.zeros((draws, 4))
    for draw in found:
        A = rng.normal(0, math.sqrt(0.8 / width), (width, width))
        state, C = rng.normal(0, math.sqrt(2), width), rng.normal(0, math.sqrt(0.5), width)
        for lag in range(4):
            draw[lag] = C @ state / math.sqrt(width)
            state = A @ state
    squares = found**2
    error = squares.std(axis=0) / math.sqrt(draws)
    assert (abs(squares.mean(axis=0) - prior.initial_variances(start, 4)) < 4.5 * error).all()
    np.testing.assert_allclose(prior.initial_variances(start, 4), 0.8 ** np.arange(4), rtol=1e-14)


def test_the_weights_are_the_impulse_response_of_a_filter_of_second_order():
    nu, a, c = 0.83, 1.9, 0.7 * 1.2
    found = np.zeros(40)
    for j in range(40):
        found[j] = (j == 0) * a + (j == 1) * (c - a * nu)
        found[j] += 2 * nu * found[j - 1] * (j > 0) - nu**2 * found[j - 2] * (j > 1)
    np.testing.assert_allclose(lag_weights(Gaussian(nu, 0.7, 1.2), 40), found, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------------
# sums, peaks, levels

NEAR = ["0", "1e-9", "0.2", "0.5", "0.9", "0.999", "0.999999999999", "0.999999999999999999"]


@pytest.mark.parametrize("nu", NEAR)
@pytest.mark.parametrize(("nu_F", "nu_C"), [("1", "1"), ("0.01", "30"), ("4", "0")])
def test_sums_over_all_lags_keep_their_digits(nu, nu_F, nu_C):
    a, c = terms(nu_F, nu_C)
    nu = Fraction(nu)
    e, q = 1 - nu, nu**2
    total = a / e + c / e**2
    mean = (a * nu / e**2 + c * (1 + nu) / e**3) / total
    squares = a**2 / (1 - q) + 2 * a * c * nu / (1 - q) ** 2 + c**2 * (1 + q) / (1 - q) ** 3
    start = Gaussian(nu, nu_F, nu_C)
    found = summaries.summary(start)
    assert found.total == pytest.approx(float(total), rel=1e-14)
    assert found.mean_lag == pytest.approx(float(mean), rel=1e-14)
    assert found.effective_lags == pytest.approx(float(total**2 / squares), rel=1e-14)


def test_sums_in_closed_form_are_sums():
    start, weights = Gaussian("0.8", 2, "0.3"), lag_weights(Gaussian("0.8", 2, "0.3"), 400)
    found = summaries.summary(start)
    assert found.total == pytest.approx(weights.sum(), rel=1e-13)
    assert found.mean_lag == pytest.approx((np.arange(400) * weights).sum() / weights.sum(), rel=1e-13)
    assert found.effective_lags == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-13)
    for lag in (0, 1, 5, 40):
        assert summaries.tail_sum(start, lag) == pytest.approx(weights[lag:].sum(), rel=1e-12)


@pytest.mark.parametrize(("nu", "lag"), [("0.999999999", 10**7), ("0.999999999999", 10**13), ("0.3", 600), ("0.5", 0)])
def test_tails_far_out(nu, lag):
    e, power = big(1 - Fraction(nu)), (big(nu).log() * lag).exp()
    expected = 2 * power / e + lag * power / big(nu) / e + power / e**2
    assert summaries.tail_sum(Gaussian(nu), lag) == pytest.approx(float(expected), rel=1e-12)


def test_peaks_in_fractions_by_brute_force():
    for numerator, (nu_F, nu_C) in itertools.product(range(20), [(1, 1), (2, 5), (Fraction(1, 3), 2), (0, 1)]):
        nu = Fraction(numerator, 20)
        a, c = terms(nu_F, nu_C)
        values = [exact_weight(a, c, nu, lag) for lag in range(60)]
        assert summaries.peak_lag(Gaussian(nu, nu_F, nu_C)) == values.index(max(values))
    assert summaries.peak_lag(Gaussian(Fraction(1, 2))) == 0  # a tie with lag 1
    assert summaries.peak_lag(Gaussian("0.9")) == 8
    assert summaries.peak_lag(Gaussian("0.99")) == 98
    assert summaries.peak_lag(Gaussian(1 - Fraction(1, 10**18))) == 10**18 - 2


def test_the_real_peak():
    for nu in (Fraction("0.6"), Fraction("0.999999999999")):
        expected = float(-1 / big(nu).log() - 3 * big(nu) / 2)
        assert summaries.peak(Gaussian(nu, 1, 2)) == pytest.approx(expected, rel=1e-14)
    assert summaries.peak(Gaussian("0.6", 0, 2)) == -math.inf
    assert summaries.peak(Gaussian(1)) == math.inf


@pytest.mark.parametrize("nu", ["1e-5", "0.3", "0.5", "0.9", "0.999999", "0.999999999999", "0.9999999999999999999"])
@pytest.mark.parametrize(("nu_F", "nu_C"), [("1", "1"), ("1e-3", "50"), ("1e-12", "1"), ("2", "0")])
def test_level_crossings_are_the_last(nu, nu_F, nu_C):
    start = Gaussian(nu, nu_F, nu_C)
    top = max(0.0, summaries.peak(start))
    highest = log_lag_weight(start, top)
    for drop in (1e-3, 0.7, 30.0, 1e5):
        lag = summaries.level_crossing(start, highest - drop)
        assert lag > top
        l = float(big(nu).log())  # noqa: E741
        slope = (
            l + 1 / (lag + float(terms(nu_F, nu_C)[0]) * float(nu) / float(terms(nu_F, nu_C)[1])) if nu_C != "0" else l
        )
        # the level is hit as well as the rounding of the lag lets it
        assert log_lag_weight(start, lag) == pytest.approx(
            highest - drop, abs=1e-12 * max(1, drop, abs(highest)) + 1e-13 * abs(slope * lag)
        )
        below = log_lag_weight(start, lag * np.array([1 + 1e-6, 1.1, 3]))
        assert (below < highest - drop).all()


def test_whole_level_lags_by_brute_force():
    for nu, share in itertools.product(("0.3", "0.5", "0.8", "0.95"), ("0.5", "0.1", "0.001")):
        values = [exact_weight(2, 1, nu, lag) for lag in range(500)]
        for level in (Fraction(share) * values[0], Fraction(share) * max(values)):
            last = max(lag for lag, value in enumerate(values) if value >= level)
            assert summaries.level_lag(Gaussian(nu), float(big(level).log())) == last
    found = summaries.summary(Gaussian(Fraction(1, 2)))
    assert (found.half_level_lag, found.half_level) == (3, pytest.approx(3, rel=1e-13))
    found = summaries.summary(Gaussian("0.9"), level=0.25)
    values = [exact_weight(2, 1, "0.9", lag) for lag in range(500)]
    assert found.horizon == max(lag for lag, value in enumerate(values) if value >= max(values) / 4)
    assert (found.total, found.mean_lag) == (pytest.approx(120), pytest.approx(52 / 3))
    assert (found.peak_lag, found.half_level_lag) == (8, 35)


def test_levels_without_an_answer():
    assert summaries.level_crossing(Gaussian("0.5"), math.log(3)) is None
    assert summaries.level_lag(Gaussian("0.5"), math.log(3)) is None
    assert summaries.level_crossing(Gaussian(1), 0.0) == math.inf
    assert summaries.level_lag(Gaussian("1.2"), 0.0) is None
    assert summaries.level_crossing(Gaussian(0, 2, 3), math.log(5.5)) == 1
    assert summaries.level_lag(Gaussian(0, 2, 3), math.log(6.5)) is None
    assert summaries.level_lag(Gaussian(0, 2, 1), math.log(2.5)) == 0


def test_constant_and_growing_priors():
    flat = summaries.summary(Gaussian(1, 2, 0))
    assert (flat.total, flat.mean_lag, flat.half_level, flat.horizon) == (math.inf, math.inf, math.inf, None)
    assert flat.effective_lags == math.inf
    growing = summaries.summary(Gaussian(2))
    weights = lag_weights(Gaussian(2), 900)
    weights /= weights.max()
    assert growing.effective_lags == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=0.01)
    assert summaries.effective_lags(Gaussian(2)) == pytest.approx(3)
    assert growing.peak_lag is None
    assert any("1" in caution for caution in growing.cautions)
    with pytest.raises(ValueError, match="nu"):
        summaries.summary(Gaussian("0.5", 0, 0))
    for level in (0, 1.5, math.nan):
        with pytest.raises(ValueError, match="level"):
            summaries.summary(Gaussian("0.5"), level=level)


def test_cautions():
    assert not prior.cautions(Gaussian("0.9"), lag=10, width=400)
    assert len(prior.cautions(Gaussian("0.9"), lag=30, width=400)) == 1
    assert prior.cautions(Gaussian(1))
    assert prior.cautions(Gaussian(np.float32(1 - 2**-23)))
    assert prior.cautions(Gaussian("0.5", parametrisation="framework"))


# ---------------------------------------------------------------------------------------------------------------
# finite width


def hermite_mean(function, size: int, nodes: int = 7):
    """E of a polynomial of independent normal entries of a (size, size) matrix, exactly."""
    points, weights = special.roots_hermitenorm(nodes)
    weights = weights / weights.sum()
    grid = np.array(list(itertools.product(range(nodes), repeat=size * size)))
    return function(points[grid].reshape(-1, size, size)) @ weights[grid].prod(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("lag", range(7))
def test_mean_factor_of_real_entries_by_quadrature(lag):
    assert widths.mean_factor(lag, 1) == pytest.approx(special.factorial2(2 * lag - 1) if lag else 1, rel=1e-14)

    def square(matrices):
        powers = np.broadcast_to(np.eye(2), matrices.shape)
        for _ in range(lag):
            powers = powers @ matrices / math.sqrt(2)
        return (powers**2).sum(axis=(1, 2)) / 2

    assert widths.mean_factor(lag, 2) == pytest.approx(hermite_mean(square, 2), rel=1e-11)


def test_mean_factor_of_complex_entries_in_fractions():
    for lag, width in itertools.product((0, 1, 2, 5, 9, 10, 11, 40), (1, 2, 3, 10, 41, 1000)):
        up = math.prod(width + i for i in range(lag + 2))
        down = math.prod(width - i for i in range(lag + 2))
        expected = Fraction(up - down, (lag + 1) * (lag + 2) * width ** (lag + 1))
        assert widths.mean_factor(lag, width, "complex") == pytest.approx(float(expected), rel=1e-13)
    assert widths.mean_factor(3, 8) == 1.1640625
    assert widths.mean_factor(3, 8, "complex") == 1.078125
    x = 1.3
    found = widths.mean_factor(round(x * 1000), 10**6, "complex")
    assert found == pytest.approx(math.sinh(x**2 / 2) / (x**2 / 2), rel=5e-3)
    assert widths.mean_factor(4000, 3, "complex") == math.inf
    assert widths.mean_factor(10, 10**15, "complex") == pytest.approx(1, abs=1e-15)


def test_the_leading_factor():
    assert widths.leading_factor(5, 100) == pytest.approx(1 + 625 / 120000)
    assert widths.mean_factor(6, 10**4) - 1 == pytest.approx(118 / 10**8, rel=1e-3)
    assert widths.trust_horizon(2500) == 50
    with pytest.raises(ValueError, match="lag"):
        widths.mean_factor(7, 50)


# ---------------------------------------------------------------------------------------------------------------
# every other start, by sampled modes, quadrature and fractions

LAGS = 6
STARTS = [
    Gaussian("0.7", 2, "0.5"),
    kernels.Orthogonal("0.8", 1, 3),
    kernels.Leaky("0.6", "0.3", 2, "0.5"),
    kernels.Leaky("-0.6", "0.3", 2, "0.5"),
    kernels.Leaky(1),
    kernels.Ring(0.2, 0.9, 2, 0.5),
    kernels.RealModes(0.1, 0.9, 2, 0.5),
    kernels.LRU(0.2, 0.9, 2, 0.5),
    kernels.StepSizes(0.01, 2, 2, 0.5),
    kernels.Stacked(("0.5", "0.9", "0.2"), 2, "0.5", 3),
]


@pytest.mark.parametrize("start", STARTS, ids=repr)
def test_kernels_are_symmetric_positive_and_scale(start):
    kernel = kernels.lag_kernel(start, LAGS)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-14)
    assert np.linalg.eigvalsh(kernel)[0] > -1e-13 * kernel.max()
    np.testing.assert_allclose(kernels.kernel_diagonal(start, LAGS), np.diagonal(kernel), rtol=1e-12)
    np.testing.assert_allclose(kernels.lag_kernel(start, 2), kernel[:2, :2], rtol=1e-13, atol=1e-15)
    shares = kernels.correlation(kernel)
    assert (abs(shares) <= 1 + 1e-12).all()
    np.testing.assert_allclose(np.diagonal(shares), 1)
    # a is linear and c bilinear in nu_F and nu_C
    doubled = replace(start, nu_F=2 * Fraction(start.nu_F), nu_C=2 * Fraction(start.nu_C))
    swapped = replace(start, nu_F=start.nu_C, nu_C=start.nu_F)
    np.testing.assert_allclose(kernels.lag_kernel(swapped, LAGS), kernel, rtol=1e-13)
    frozen = replace(start, nu_F=Fraction(start.nu_F) + Fraction(start.nu_C), nu_C=0)  # c = 0, a as before
    c_part = kernel - kernels.lag_kernel(frozen, LAGS)
    np.testing.assert_allclose(
        kernels.lag_kernel(doubled, LAGS), 2 * kernel + 2 * c_part, rtol=1e-12, atol=1e-13 * kernel.max()
    )


def sampled(rng, count, radii, a_phase=True):
    """c, b and lam of a ring, and the kernels of their modes."""
    circle = lambda variance: math.sqrt(variance / 2) * (rng.normal(size=count) + 1j * rng.normal(size=count))  # noqa: E731
    phases = rng.uniform(0, 2 * math.pi, count)
    return circle(0.5), circle(2.0), radii * np.exp(1j * phases), phases


def mean_and_error(gradients):
    """E of products of gradients, [lag parameter draw], and the standard error."""
    each = np.einsum("jpd,lpd->jld", gradients, gradients)
    return each.mean(axis=-1), each.std(axis=-1) / math.sqrt(each.shape[-1])


@pytest.mark.slow
def test_a_ring_by_sampling():
    rng, count = np.random.default_rng(1), 60_000
    c, b, lam, _ = sampled(rng, count, np.sqrt(rng.uniform(0.2, 0.9, count)))
    powers = [lam**j for j in range(LAGS)]
    complex_gradients = [[p * b, c * p, j * c * lam ** max(j - 1, 0) * b] for j, p in enumerate(powers)]
    # d Re(z x) / d (Re x, Im x) = (Re z, -Im z)
    gradients = np.array([[part for z in row for part in (z.real, -z.imag)] for row in complex_gradients])
    mean, error = mean_and_error(gradients)
    assert (abs(mean - kernels.lag_kernel(kernels.Ring(0.2, 0.9, 2, 0.5), LAGS)) < 5 * error).all()


@pytest.mark.slow
def test_the_linear_recurrent_unit_by_sampling_and_differences():
    rng, count = np.random.default_rng(2), 60_000
    c, b, lam, phases = sampled(rng, count, np.sqrt(rng.uniform(0.2, 0.9, count)))
    start = np.array([np.log(-np.log(abs(lam))), np.log(phases), np.log(1 - abs(lam) ** 2) / 2])
    start = np.concatenate([start, [c.real, c.imag, b.real, b.imag]])

    def response(parameters):
        nu, theta, gain, cr, ci, br, bi = parameters
        lam = np.exp(-np.exp(nu) + 1j * np.exp(theta))
        return np.array([(np.exp(gain) * (cr + 1j * ci) * lam**j * (br + 1j * bi)).real for j in range(LAGS)])

    steps = 1e-5 * np.eye(7)[:, :, None]
    gradients = np.array([(response(start + step) - response(start - step)) / 2e-5 for step in steps])
    mean, error = mean_and_error(gradients.transpose(1, 0, 2))
    assert (abs(mean - kernels.lag_kernel(kernels.LRU(0.2, 0.9, 2, 0.5), LAGS)) < 5 * error).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.5, 0.5), (0.81, 0.998), (0.3, 0.3 + 1e-13), (0.0, 0.01)])
def test_the_linear_recurrent_unit_by_quadrature(low, high):
    a, c, lags = 2.5, 1.0, 5

    def radial(power, logs):
        def one(u):
            return (1 - u) * u**power * (math.log(u) ** 2 / 4 if logs else 1)

        return (
            one(low) if high - low < 1e-9 else integrate.quad(one, low, high, epsabs=0, epsrel=1e-12)[0] / (high - low)
        )

    expected = np.zeros((lags, lags))
    for j, l in itertools.product(range(lags), repeat=2):  # noqa: E741
        power = (j + l) / 2
        if j != l:
            expected[j, l] = radial(power, False) * c / 2 * j * l * 2 / (j - l) ** 2
            continue
        turning = 1 + j * j * 4 * math.pi**2 / 3
        expected[j, l] = radial(power, False) * (a + c / 2 * turning) + c / 2 * j * j * radial(power, True)
    found = kernels.lag_kernel(kernels.LRU(low, high, 2, 0.5), lags)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_the_unit_disc_of_the_linear_recurrent_unit_far_out():
    lags = 1500
    found = kernels.kernel_diagonal(kernels.LRU(0, 1, 3, 0), lags)
    j = np.arange(lags)
    np.testing.assert_allclose(found, 3 / ((j + 1) * (j + 2)), rtol=1e-10)


@pytest.mark.parametrize(
    ("low", "high"), [("0", "1"), ("0.5", "0.5"), ("1", "1"), ("0.999", "1"), ("0.25", "0.2500000000001")]
)
def test_a_ring_in_fractions(low, high):
    u0, u1 = Fraction(float(low)), Fraction(float(high))
    a, c = terms(2, "0.5")

    def mean(k):
        return u1**k if u0 == u1 else (u1 ** (k + 1) - u0 ** (k + 1)) / ((k + 1) * (u1 - u0))

    expected = [float(a * mean(j) + (c * j * j * mean(j - 1) if j else 0)) for j in range(300)]
    found = kernels.kernel_diagonal(kernels.Ring(float(low), float(high), 2, "0.5"), 300)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-320)


def test_a_ring_of_a_thin_width_is_its_circle():
    thin = kernels.kernel_diagonal(kernels.Ring(0.9, float(np.nextafter(0.9, 1))), 400)
    np.testing.assert_allclose(thin, kernels.kernel_diagonal(kernels.Ring(0.9, 0.9), 400), rtol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.5, 0.5), (0.5, 0.5 + 1e-13), (0.25, 1.5)])
def test_real_modes_in_fractions(low, high):
    u0, u1 = Fraction(low), Fraction(high)
    a, c = terms(2, "0.5")

    def mean(k):
        return u1**k if u0 == u1 else (u1 ** (k + 1) - u0 ** (k + 1)) / ((k + 1) * (u1 - u0))

    expected = [
        [float(a * mean(j + l) + (c * j * l * mean(j + l - 2) if j * l else 0)) for l in range(30)]  # noqa: E741
        for j in range(30)
    ]
    found = kernels.lag_kernel(kernels.RealModes(low, high, 2, "0.5"), 30)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-320)


@pytest.mark.parametrize(("lags", "of_hilbert", "of_all"), [(10, 6, 7), (100, 9, 9), (600, None, None)])
def test_ranks_of_real_modes(lags, of_hilbert, of_all):
    hilbert = kernels.lag_kernel(kernels.RealModes(0, 1, 1, 0), lags)
    np.testing.assert_allclose(hilbert, 1 / (np.add.outer(np.arange(lags), np.arange(lags)) + 1), rtol=1e-13)
    if of_hilbert:
        assert kernels.numerical_rank(hilbert) == of_hilbert
        assert kernels.numerical_rank(kernels.lag_kernel(kernels.RealModes(), lags)) == of_all


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.1), (1e-9, 50.0), (0.3, 0.3), (0.3, 0.3 + 1e-12), (1e-12, 1e-11)])
def test_step_sizes_by_quadrature(low, high):
    a, c, lags = 2.5, 1.0, 8

    def mean(function):
        if high / low < 1 + 1e-9:
            return function(low)
        inner = lambda s: function(math.exp(s))  # noqa: E731
        ends = (math.log(low), math.log(high))
        return integrate.quad(inner, *ends, epsabs=0, epsrel=1e-12, limit=200)[0] / (ends[1] - ends[0])

    expected = [
        [mean(lambda d: (a + c * j * l * d * d) * math.exp(-(j + l) * d)) for l in range(lags)]  # noqa: B023, E741
        for j in range(lags)
    ]
    found = kernels.lag_kernel(kernels.StepSizes(low, high, 2, "0.5"), lags)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_step_sizes_far_out():
    low, high, lags = 1e-5, 0.1, 1500
    j = np.arange(1, lags)
    expected = (special.exp1(2 * j * low) - special.exp1(2 * j * high)) / math.log(high / low)
    found = kernels.kernel_diagonal(kernels.StepSizes(low, high, 1, 0), lags)
    np.testing.assert_allclose(found[1:], expected, rtol=1e-8)
    assert found[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("leak", "gain"), [("0.6", "0.3"), ("-0.6", "0.3"), ("0", "0.7"), ("0.9", "0"), ("1", "0"), ("0.5", "2")]
)
def test_leaky_in_fractions(leak, gain):
    a, g, lags = Fraction(leak), Fraction(gain), 6
    nu_a, nu_c = terms(2, "0.5")
    G = [
        [
            sum(math.comb(j, k) * math.comb(l, k) * a ** (j + l - 2 * k) * g ** (2 * k) for k in range(min(j, l) + 1))
            for l in range(lags)  # noqa: E741
        ]
        for j in range(lags)
    ]
    expected = [
        [
            nu_a * G[j][l] + nu_c * sum(G[k][m] * G[j - 1 - k][l - 1 - m] for k in range(j) for m in range(l))
            for l in range(lags)  # noqa: E741
        ]
        for j in range(lags)
    ]
    found = kernels.lag_kernel(kernels.Leaky(leak, gain, 2, "0.5"), lags)
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-13, atol=1e-15)


def test_leaky_is_a_limit_of_others():
    np.testing.assert_allclose(
        kernels.lag_kernel(kernels.Leaky(0, "0.8", 2, 3), 12),
        np.diag(lag_weights(Gaussian("0.64", 2, 3), 12)),
        atol=1e-14,
    )
    j = np.arange(40)
    identity = 2.0 + np.outer(j, j)
    np.testing.assert_allclose(kernels.lag_kernel(kernels.Leaky(1), 40), identity, rtol=1e-12)
    assert kernels.numerical_rank(kernels.lag_kernel(kernels.Leaky("0.9"), 40)) == 2
    nearly = kernels.lag_kernel(kernels.Leaky("0.9", "1e-9"), 10)
    np.testing.assert_allclose(nearly, kernels.lag_kernel(kernels.Leaky("0.9"), 10), rtol=1e-12)
    assert kernels.lag_kernel(kernels.Leaky("0.9"), 5)[3, 4] == pytest.approx(8.0424738, rel=1e-12)


@pytest.mark.slow
def test_leaky_by_sampling():
    rng, width, lags, draws = np.random.default_rng(3), 200, 5, 12
    found = []
    for _ in range(draws):
        A = 0.6 * np.eye(width) + 0.3 * rng.normal(size=(width, width)) / math.sqrt(width)
        F, C = rng.normal(0, math.sqrt(2), width), rng.normal(0, math.sqrt(0.5), width)
        found.append(finite_kernel(A, F, C, lags))
    found = np.array(found)
    error = found.std(axis=0) / math.sqrt(draws)
    expected = kernels.lag_kernel(kernels.Leaky("0.6", "0.3", 2, "0.5"), lags)
    assert (abs(found.mean(axis=0) - expected) < 5 * error + 0.01 * expected).all()


def finite_kernel(A, F, C, lags):
    """Theta of one channel at 1/sqrt(n) scaling, by the Jacobian."""
    width = len(A)
    P, Q = [C / math.sqrt(width)], [F]
    for _ in range(lags):
        P.append(P[-1] @ A)
        Q.append(A @ Q[-1])
    rows = []
    for j in range(lags):
        by_W = sum((np.outer(P[k], Q[j - 1 - k]) for k in range(j)), np.zeros((width, width))) / math.sqrt(width)
        rows.append(np.concatenate([Q[j] / math.sqrt(width), P[j], by_W.ravel()]))
    return np.array(rows) @ np.array(rows).T


def test_orthogonal_matrices_have_gaussian_weights():
    rng, width, draws = np.random.default_rng(4), 120, 12
    found = []
    for _ in range(draws):
        Q = linalg.qr(rng.normal(size=(width, width)))[0] * np.sign(rng.normal(size=width))
        found.append(finite_kernel(0.9 * Q, rng.normal(size=width), rng.normal(0, math.sqrt(3), width), 4))
    error = np.std(found, axis=0) / math.sqrt(draws)
    expected = kernels.lag_kernel(kernels.Orthogonal("0.9", 1, 3), 4)
    np.testing.assert_allclose(expected, np.diag(lag_weights(Gaussian("0.81", 1, 3), 4)), rtol=1e-14)
    assert (abs(np.mean(found, axis=0) - expected) < 5 * error + 0.02).all()
    np.testing.assert_allclose(
        kernels.kernel_diagonal(kernels.Orthogonal(1), 10**6)[-1], 10**6 + 1, rtol=1e-12
    )  # no blow-up


def compositions(total, parts):
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


@pytest.mark.parametrize(
    ("nus", "nu_B"),
    [(("0.5",), "2"), (("0.5", "0.5"), "2"), (("0.5", "0.9", "0.2"), "3"), (("0.8", "0.8", "0.8", "0.8"), "0.5"),
     (("0", "0.5"), "1"), (("0", "0"), "1"), (("0.5", "0.7"), "0"), (("0.5", "0.7", "0.1"), "0"), (("1", "1.1"), "1"),
     (("0.5", "0.500000000001"), "1")],
)  # fmt: skip
def test_stacks_by_their_paths(nus, nu_B):
    """Every path through the layers, with each of its matrices taken out once."""
    layers, lags, nu_F, nu_C = len(nus), 7, Fraction("0.5"), Fraction(3)
    nu, between = [Fraction(n) for n in nus], Fraction(nu_B)
    expected = np.zeros(lags)
    for j in range(lags):
        for path in compositions(j, layers):
            travelled = math.prod(n**k for n, k in zip(nu, path, strict=True))
            ends = between ** (layers - 1) * (nu_F + nu_C) * travelled
            joints = (layers - 1) * between ** (layers - 2) * nu_F * nu_C * travelled if layers > 1 else 0
            turns = sum(
                k * math.prod(m ** (p - (i == l)) for i, (m, p) in enumerate(zip(nu, path, strict=True)))
                for l, k in enumerate(path)  # noqa: E741
                if k
            )
            expected[j] += float(ends + joints + between ** (layers - 1) * nu_F * nu_C * turns)
    start = kernels.Stacked(nus, nu_B, nu_F, nu_C)
    np.testing.assert_allclose(kernels.kernel_diagonal(start, lags), expected, rtol=1e-12)


def test_equal_layers_in_closed_form_at_long_lags():
    layers, nu, a, c = 3, Fraction("0.99"), 2, 1
    found = kernels.kernel_diagonal(kernels.Stacked(("0.99",) * 3), 3000)
    for j in (1, 50, 700, 2999):
        expected = math.comb(j + 2, 2) * nu**j * (a + 2 * c) + layers * c * math.comb(j + 2, 3) * nu ** (j - 1)
        assert found[j] == pytest.approx(float(expected), rel=1e-10)
    one = kernels.Stacked(("0.7",), 5, 2, "0.1")
    np.testing.assert_allclose(kernels.kernel_diagonal(one, 50), lag_weights(Gaussian("0.7", 2, "0.1"), 50), rtol=1e-13)


@pytest.mark.slow
def test_two_layers_by_sampling():
    width, lags, draws = 64, 4, 60
    expected = kernels.lag_kernel(kernels.Stacked(("0.5", "0.8"), 1), lags)

    def response(weights):
        A1, A2, B, F, C = weights
        scale = math.sqrt(width)
        first, second, answers = F, B @ F / scale, []
        for _ in range(lags):
            answers.append(C @ second / scale)
            first = A1 @ first / scale
            second = A2 @ second / scale + B @ first / scale
        return jnp.stack(answers)

    def kernel(key):
        keys = jax.random.split(key, 5)
        shapes = [(width, width)] * 3 + [(width,)] * 2
        sizes = np.sqrt([0.5, 0.8, 1, 1, 1])
        weights = [s * jax.random.normal(k, shape) for k, shape, s in zip(keys, shapes, sizes, strict=True)]
        jacobian = jnp.concatenate([g.reshape(lags, -1) for g in jax.jacrev(response)(weights)], axis=1)
        return jacobian @ jacobian.T

    with precision(np.float64):
        found = np.asarray(jax.lax.map(kernel, jax.random.split(jax.random.key(0), draws)))
    error = found.std(axis=0) / math.sqrt(draws)
    assert (abs(found.mean(axis=0) - expected) < 5 * error + 0.02).all()


# any other diagonal layer


def test_modes_agree_with_the_starts_they_are():
    lags, a = 5, dict(nu_F=2, nu_C=Fraction(1, 2))
    (u, phase), weights = modes_.uniform_nodes([(0.2, 0.9), (0, 2 * math.pi)], [30, 40])
    lam = modes_.polar(np.sqrt(u), phase)
    ring = modes_.Modes(lam, weights, np.ones(lam.size), np.array([np.ones(lam.size), 1j * np.ones(lam.size)]), **a)
    np.testing.assert_allclose(
        kernels.lag_kernel(ring, lags), kernels.lag_kernel(kernels.Ring(0.2, 0.9, **a), lags), atol=1e-10
    )
    gains = np.sqrt(1 - u)
    moved = np.array([lam * np.log(np.sqrt(u)), lam * 1j * phase, 0 * lam])
    lru = modes_.Modes(lam, weights, gains, moved, np.array([0 * gains, 0 * gains, gains]), **a)
    np.testing.assert_allclose(
        kernels.lag_kernel(lru, lags), kernels.lag_kernel(kernels.LRU(0.2, 0.9, **a), lags), atol=1e-9
    )
    (values,), weights = modes_.uniform_nodes([(0.1, 0.8)], [20])
    real = modes_.Modes(values, weights, np.ones(20), np.ones((1, 20)), **a)
    np.testing.assert_allclose(
        kernels.lag_kernel(real, lags), kernels.lag_kernel(kernels.RealModes(0.1, 0.8, **a), lags), rtol=1e-12
    )
    steps = modes_.Modes(np.exp(-np.exp(values)), weights, np.ones(20), -np.exp(values - np.exp(values))[None], **a)
    sizes = kernels.StepSizes(math.exp(0.1), math.exp(0.8), **a)
    np.testing.assert_allclose(kernels.lag_kernel(steps, lags), kernels.lag_kernel(sizes, lags), rtol=1e-10)


@pytest.mark.slow
def test_modes_of_a_layer_of_ones_own_by_sampling():
    """S4D-like: lam = exp(dt (-1/2 + i w)), log dt and w trained, gain dt."""
    rng, count, lags = np.random.default_rng(5), 60_000, 4
    (log_dt, w), weights = modes_.uniform_nodes([(-3, -0.5), (0, 3)], [20, 20])

    def mode(log_dt, w):
        dt = np.exp(log_dt)
        return np.exp(dt * (-0.5 + 1j * w)), dt

    lam, gain = mode(log_dt, w)
    motions = np.array([lam * gain * (-0.5 + 1j * w), lam * 1j * gain])
    start = modes_.Modes(lam, weights, gain, motions, np.array([gain, 0 * gain]), nu_F=2, nu_C=0.5)
    drawn = np.array([rng.uniform(-3, -0.5, count), rng.uniform(0, 3, count)])
    c, b, _, _ = sampled(rng, count, np.ones(count))
    parameters = np.concatenate([drawn, [c.real, c.imag, b.real, b.imag]])

    def response(parameters):
        lam, gain = mode(*parameters[:2])
        cr, ci, br, bi = parameters[2:]
        return np.array([(gain * (cr + 1j * ci) * lam**j * (br + 1j * bi)).real for j in range(lags)])

    steps = 1e-5 * np.eye(6)[:, :, None]
    gradients = np.array([(response(parameters + s) - response(parameters - s)) / 2e-5 for s in steps])
    mean, error = mean_and_error(gradients.transpose(1, 0, 2))
    assert (abs(mean - kernels.lag_kernel(start, lags)) < 5 * error).all()


# ---------------------------------------------------------------------------------------------------------------
# white inputs and delays


def test_costs_are_their_formula():
    logs = lag_weights(Gaussian("0.6"), 30, log=True)
    share = (30 - np.arange(30)) / 30
    ease = np.exp(logs) * share
    np.testing.assert_allclose(delays.learning_cost(logs), ease.max() / ease, rtol=1e-12)
    np.testing.assert_allclose(delays.learning_cost(logs, last_output=True), np.exp(logs.max() - logs), rtol=1e-12)
    np.testing.assert_allclose(delays.learning_cost(logs, log=True), np.log(ease.max() / ease), atol=1e-12)
    assert delays.learning_cost(logs)[15] == pytest.approx(335.0401849595, abs=1e-9)
    assert delays.delay_r2(335.0401849595, 0.5, 200) == pytest.approx(0.449753648537, abs=1e-10)
    assert delays.white_rate(logs, 0.5, variance=4) == pytest.approx(0.5 / (4 * ease.max()))
    np.testing.assert_array_equal(delays.learning_cost(np.array([-math.inf, 3.0])), [math.inf, 1])
    np.testing.assert_array_equal(delays.learning_cost(np.array([2.0])), [1])
    far = lag_weights(Gaussian("1e-3"), 400, log=True)
    assert delays.learning_cost(far)[-1] == math.inf
    assert np.isfinite(delays.learning_cost(far, log=True)).all()
    growing = lag_weights(Gaussian(50), 400, log=True)
    assert delays.learning_cost(growing, log=True).min() == pytest.approx(0, abs=1e-12)


def test_delays_are_learnt_as_by_iteration():
    for cost, fraction, steps in itertools.product((1.0, 1.7, 40.0), (0.1, 1.0, 1.9), (0, 1, 7)):
        missing = 1.0
        for _ in range(steps):
            missing -= fraction / cost * missing
        assert delays.delay_r2(cost, fraction, steps) == pytest.approx(1 - missing**2, abs=1e-14)
        needed = delays.delay_steps(cost, fraction, 0.01)
        if abs(1 - fraction / cost) > 0:
            assert abs(1 - fraction / cost) ** needed == pytest.approx(0.01, rel=1e-10)
        else:
            assert needed == 0
    assert delays.delay_r2(1e25, 0.5, 100) == pytest.approx(1e-23, rel=1e-12)
    assert delays.delay_steps(1e25, 0.5, 0.01) == pytest.approx(math.log(100) * 2e25, rel=1e-12)
    assert (delays.delay_r2(math.inf, 0.5, 10), delays.delay_steps(math.inf, 0.5)) == (0, math.inf)
    assert delays.delay_r2(np.array([[1.0, 2.0]]), 0.5, 3).shape == (1, 2)
    assert delays.delay_r2(1e6, 0.5, 10**15) == pytest.approx(1)


def test_a_delay_of_white_inputs_is_learnt_by_the_whole_machinery():
    """Population H and b of white inputs through the general closed form."""
    length, lag, fraction, steps = 20, 9, 0.5, 150
    share = (length - np.arange(length)) / length
    moment = np.zeros((length, 1))
    moment[lag] = share[lag]
    data = equations_.NormalEquations(np.diag(share), moment, share[lag], 1)
    weights = lag_weights(Gaussian("0.7"), length)
    found = training.training_modes(data, weights)
    logs = lag_weights(Gaussian("0.7"), length, log=True)
    trained = training.descent(found, delays.white_rate(logs, fraction), steps)
    expected = delays.delay_r2(float(delays.learning_cost(logs)[lag]), fraction, steps)
    loss = found.loss(trained)
    assert 1 - loss / found.start_loss == pytest.approx(expected, rel=1e-11)
    assert (1 - found.response(trained)[lag, 0, 0]) ** 2 == pytest.approx(1 - expected, rel=1e-11)


# ---------------------------------------------------------------------------------------------------------------
# normal equations and training in closed form


def problem(rng, sequences, length, inputs, outputs):
    x = rng.normal(size=(sequences, length, inputs))
    y = rng.normal(size=(sequences, length, outputs))
    return x, y


def design_matrix(x, lags):
    """Row (i, t), column (lag, input)."""
    sequences, length, inputs = x.shape
    found = np.zeros((sequences, length, lags, inputs))
    for t, j in itertools.product(range(length), range(lags)):
        if j <= t:
            found[:, t, j] = x[:, t - j]
    return found.reshape(sequences * length, lags * inputs)


SIZES = [(1, 1, 1, 1, 1), (1, 2, 1, 1, 2), (3, 7, 2, 3, 7), (2, 6, 3, 1, 4), (5, 5, 1, 2, 1)]


@pytest.mark.parametrize(("sequences", "length", "inputs", "outputs", "lags"), SIZES)
def test_normal_equations_are_those_of_the_design_matrix(sequences, length, inputs, outputs, lags):
    rng = np.random.default_rng(6)
    x, y = problem(rng, sequences, length, inputs, outputs)
    phi, targets = design_matrix(x, lags), y.reshape(-1, outputs)
    for last in (False, True):
        rows = np.arange(sequences) * length + length - 1 if last else np.arange(sequences * length)
        found = equations_.normal_equations(x, y, lags, last_output=last)
        np.testing.assert_allclose(found.hessian, phi[rows].T @ phi[rows] / len(rows), atol=1e-13)
        np.testing.assert_allclose(found.moment, phi[rows].T @ targets[rows] / len(rows), atol=1e-13)
        assert found.power == pytest.approx((targets[rows] ** 2).sum() / len(rows))
        assert (found.lags, found.inputs) == (lags, inputs)
    whole = equations_.normal_equations(x, y)
    assert whole.lags == length


def dense_kernel(rng, lags):
    root = rng.normal(size=(lags, lags))
    return root @ root.T


def stacked(response):
    """(lag, output, input) as (lag input) x output."""
    return response.transpose(0, 2, 1).reshape(-1, response.shape[1])


def unstacked(L, inputs):
    return L.reshape(-1, inputs, L.shape[1]).transpose(0, 2, 1)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize(("sequences", "length", "inputs", "outputs", "lags"), SIZES)
def test_closed_forms_are_iterations(sequences, length, inputs, outputs, lags, coupled):
    rng = np.random.default_rng(7)
    x, y = problem(rng, sequences, length, inputs, outputs)
    data = equations_.normal_equations(x, y, lags)
    weights = (
        dense_kernel(rng, lags) if coupled else np.append(rng.uniform(0.01, 3, lags)[1:], 0.0 if lags > 2 else 1.0)
    )
    theta = np.kron(weights if coupled else np.diag(weights), np.eye(inputs))
    start = rng.normal(size=(lags, outputs, inputs))
    modes = training.training_modes(data, weights, start)
    phi, targets, M = design_matrix(x, lags), y.reshape(-1, outputs), sequences * length

    def loss(L):
        return ((targets - phi @ L) ** 2).sum() / (2 * M)

    top = modes.eigenvalues[0]
    assert training.critical_rate(modes) == pytest.approx(2 / top)
    assert modes.start_loss == pytest.approx(loss(stacked(start)))
    for share in (0.3, 1.0, 1.7):
        L, rate = stacked(start), share / top
        velocity, heavy = np.zeros_like(L), L.copy()
        for _ in range(23):
            L = L - rate * theta @ (data.hessian @ L - data.moment)
            velocity = 0.6 * velocity - rate * theta @ (data.hessian @ heavy - data.moment)
            heavy = heavy + velocity
        filtered = training.descent(modes, rate, 23)
        np.testing.assert_allclose(modes.response(filtered), unstacked(L, inputs), rtol=1e-9, atol=1e-9)
        assert modes.loss(filtered) == pytest.approx(loss(L), rel=1e-9)
        np.testing.assert_allclose(
            modes.response(training.heavy_ball(modes, rate, 23, 0.6)), unstacked(heavy, inputs), rtol=1e-9, atol=1e-9
        )
    np.testing.assert_array_equal(modes.response(training.descent(modes, 0.1 / top, 0)), start)
    # gradient flow by the exponential of its matrix
    time = 3 / top
    generator = -theta @ data.hessian
    size = len(generator)
    block = linalg.expm(time * np.block([[generator, np.eye(size)], [np.zeros((size, 2 * size))]]))
    flowed = block[:size, :size] @ stacked(start) + block[:size, size:] @ theta @ data.moment
    np.testing.assert_allclose(modes.response(training.flow(modes, time)), unstacked(flowed, inputs), atol=1e-9)
    # the penalised minimum
    penalised = np.linalg.solve(np.eye(size) + time * theta @ data.hessian, stacked(start) + time * theta @ data.moment)
    np.testing.assert_allclose(modes.response(training.ridge(modes, time)), unstacked(penalised, inputs), atol=1e-9)
    # training to the end
    final = modes.response(training.limit(modes))
    gradient = theta @ (data.hessian @ stacked(final) - data.moment)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_the_limit_is_the_nearest_minimum():
    """Fewer rows than weights: the least |L - L(0)|^2 / rho among the exact fits."""
    rng = np.random.default_rng(8)
    x, y = problem(rng, 1, 6, 3, 1)
    weights = lag_weights(Gaussian("0.4"), 6)
    start = rng.normal(size=(6, 1, 3))
    modes = training.training_modes(equations_.normal_equations(x, y), weights, start)
    phi, D = design_matrix(x, 6), np.diag(np.repeat(weights, 3))
    residual = y.reshape(-1, 1) - phi @ stacked(start)
    expected = stacked(start) + D @ phi.T @ np.linalg.solve(phi @ D @ phi.T, residual)
    found = modes.response(training.limit(modes))
    np.testing.assert_allclose(stacked(found), expected, rtol=1e-7, atol=1e-9)
    assert modes.loss(training.limit(modes)) == pytest.approx(0, abs=1e-12)
    late = modes.response(training.flow(modes, 1e6))
    np.testing.assert_allclose(late, found, rtol=1e-5, atol=1e-7)


def test_lags_of_any_speed_are_learnt_in_the_end():
    rng = np.random.default_rng(32)
    x, y = problem(rng, 3, 9, 1, 1)
    phi = design_matrix(x, 9)
    modes = training.training_modes(equations_.normal_equations(x, y), lag_weights(Gaussian("1e-9"), 9))
    found = stacked(modes.response(training.limit(modes)))
    np.testing.assert_allclose(found, np.linalg.lstsq(phi, y.reshape(-1, 1))[0], rtol=1e-8)


def test_very_many_and_very_small_steps():
    rng = np.random.default_rng(9)
    x, y = problem(rng, 2, 9, 1, 1)
    modes = training.training_modes(equations_.normal_equations(x, y), lag_weights(Gaussian("0.5"), 9))
    lam, top = modes.eigenvalues, modes.eigenvalues[0]
    for share, steps in ((1e-12, 10**12), (1e-9, 3), (0.9, 10**15), (1.999, 10**6), (1.5, 10**9 + 1)):
        found = training.descent(modes, share / top, steps)
        expected = []
        for value in lam:
            base, l = 1 - big(share / top) * big(value), big(value)  # noqa: E741
            size = (abs(base).log() * steps).exp() if float(abs(base)) else flint.arb(0)
            sign = -1 if float(base) < 0 and steps % 2 else 1
            expected.append(float((1 - sign * size) / l))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(training.flow(modes, 1e-300), 1e-300, rtol=1e-14)
    np.testing.assert_allclose(training.flow(modes, math.log(2) / top)[0], 0.5 / top, rtol=1e-13)
    np.testing.assert_array_equal(training.flow(modes, 0), 0)
    with pytest.raises(ValueError, match=str(training.critical_rate(modes))[:4]):
        training.descent(modes, 2 / top, 3)
    with pytest.raises(ValueError, match="rate"):
        training.heavy_ball(modes, 2 * 1.5 / top, 3, 0.5)
    assert training.critical_rate(modes, 0.5) == pytest.approx(3 / top)


def test_gradient_descent_of_the_specification():
    """H and b that single out the limit [[1, 0], [-2, 1], [6, -1]] need no data of their own: permuting outputs."""
    rng = np.random.default_rng(10)
    x, y = problem(rng, 4, 5, 2, 3)
    order = [2, 0, 1]
    weights = lag_weights(Gaussian("0.8"), 5)
    plain = training.training_modes(equations_.normal_equations(x, y), weights)
    turned = training.training_modes(equations_.normal_equations(x, y[..., order]), weights)
    filtered = training.descent(plain, 0.5 / plain.eigenvalues[0], 11)
    np.testing.assert_allclose(plain.response(filtered)[:, order], turned.response(filtered), atol=1e-12)


def test_silent_data_and_frozen_lags():
    x, y = np.zeros((2, 4, 1)), np.ones((2, 4, 1))
    data = equations_.normal_equations(x, y)
    modes = training.training_modes(data, np.ones(4))
    assert training.critical_rate(modes) == math.inf
    np.testing.assert_array_equal(modes.response(training.descent(modes, 5.0, 10)), 0)
    rng = np.random.default_rng(11)
    data = equations_.normal_equations(*problem(rng, 2, 4, 1, 1))
    start = np.ones((4, 1, 1))
    modes = training.training_modes(data, np.zeros(4), start)
    np.testing.assert_allclose(modes.response(training.limit(modes)), start)
    modes = training.training_modes(data, np.array([1.0, 0, 1, 0]), start)
    np.testing.assert_allclose(modes.response(training.limit(modes))[[1, 3]], 1, atol=1e-14)


def test_kernel_side_eigenvalues():
    rng = np.random.default_rng(12)
    x, y = problem(rng, 2, 6, 2, 1)
    weights = lag_weights(Gaussian("0.7"), 6)
    modes = training.training_modes(equations_.normal_equations(x, y), weights)
    phi = design_matrix(x, 6)
    kernel = phi @ np.diag(np.repeat(weights, 2)) @ phi.T / 12
    found = np.sort(np.linalg.eigvalsh(kernel))[::-1]
    np.testing.assert_allclose(modes.eigenvalues, found[: len(modes.eigenvalues)], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 1.0, 1.9])
def test_no_lag_moves_further_than_its_bound(share):
    rng, closest = np.random.default_rng(13), 0.0
    for _ in range(40):
        sequences, length, inputs, outputs = rng.integers(1, 4, 4)
        x, y = problem(rng, sequences, length, inputs, outputs)
        data = equations_.normal_equations(x, y)
        weights = lag_weights(Gaussian(float(rng.uniform(0, 1.5))), int(length))
        modes = training.training_modes(data, weights)
        phi, M = design_matrix(x, length), sequences * length
        lam = modes.eigenvalues[modes.eigenvalues > 1e-10 * modes.eigenvalues[0]]
        rate = share / lam[0]
        for steps in (1, 4, 50, 3000):
            moved = np.linalg.norm(modes.response(training.descent(modes, rate, steps)), axis=(1, 2))
            bound = training.movement_bound(data, weights, rate, steps, modes.start_loss)
            norms = [np.linalg.norm(phi[:, j * inputs : (j + 1) * inputs], 2) for j in range(length)]
            factor = (2 if share > 1 else 1) / lam[-1]
            expected = weights * norms * np.linalg.norm(y) / M * min(steps * rate, factor)
            np.testing.assert_allclose(bound, expected, rtol=1e-6)
            assert (moved <= bound * (1 + 1e-9)).all()
            closest = max(closest, (moved / np.maximum(bound, 1e-300)).max())
    assert closest > 0.5


# ---------------------------------------------------------------------------------------------------------------
# evidence


@pytest.mark.slow
@pytest.mark.parametrize(("sequences", "length", "inputs", "outputs", "lags"), [(3, 8, 1, 1, 4), (1, 6, 2, 2, 6)])
def test_evidence_is_the_likelihood_of_a_gaussian(sequences, length, inputs, outputs, lags):
    rng = np.random.default_rng(14)
    x, _ = problem(rng, sequences, length, inputs, outputs)
    weights = lag_weights(Gaussian("0.6"), lags)
    phi = design_matrix(x, lags)
    truth = rng.normal(size=(lags * inputs, outputs)) * np.sqrt(np.repeat(weights, inputs))[:, None]
    y = (phi @ truth + 0.5 * rng.normal(size=(len(phi), outputs))).reshape(sequences, length, outputs)
    rows = sequences * length
    found = evidences.evidence(equations_.normal_equations(x, y, lags), weights, rows)
    K = phi @ np.diag(np.repeat(weights, inputs)) @ phi.T

    def likelihood(noise, tau):
        covariance = noise * np.eye(rows) + tau * K
        Y = y.reshape(rows, outputs)
        _sign, logdet = np.linalg.slogdet(2 * math.pi * covariance)
        return -0.5 * (outputs * logdet + (Y * np.linalg.solve(covariance, Y)).sum())

    best = likelihood(found.noise, found.time / rows * found.noise)
    assert found.log_likelihood == pytest.approx(best, rel=1e-9)
    for noise, tau in itertools.product(
        found.noise * np.array([0.97, 1.0, 1.03]), found.time / rows * found.noise * np.array([0.9, 1, 1.1])
    ):
        assert likelihood(noise, tau) <= best + 1e-6
    grid = [likelihood(n, t) for n in np.logspace(-3, 2, 30) for t in np.logspace(-4, 3, 30)]
    assert found.log_likelihood >= max(grid) - 1e-9


# ---------------------------------------------------------------------------------------------------------------
# inverse design

PRESENT = [Gaussian("0.9"), Gaussian("0.9", "0.01", 30), Gaussian("0.5", 3, "1e-3"), Gaussian("0.9", 2, 0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("present", "wanted"), [*((present, 17.5) for present in PRESENT), (PRESENT[0], 3), (PRESENT[1], 1e12)], ids=str
)
def test_designs_for_a_mean_lag(present, wanted):
    found = designs.design(designs.MeanLag(wanted), present)
    assert summaries.mean_lag(found.initialisation) == pytest.approx(wanted, rel=1e-11)
    assert replace(found.initialisation, nu_W=present.nu_W) == present
    check_alternatives(found, lambda weights: weights @ np.arange(len(weights)) / weights.sum(), wanted)


def check_alternatives(found, functional, wanted):
    for other in found.alternatives:
        assert (other.initialisation is None) == bool(other.obstacle)
        if other.initialisation is None or wanted > 100:
            continue
        weights = kernels.kernel_diagonal(other.initialisation, 6000)
        assert functional(weights) == pytest.approx(wanted, rel=1e-6), other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("present", "wanted"),
    [*((present, 10) for present in PRESENT), *zip(PRESENT, (2.5, 2, 10**6, 10**12), strict=True)],
    ids=str,
)
def test_designs_for_a_half_life(present, wanted):
    found = designs.design(designs.HalfLife(wanted), present)
    gap = log_lag_weight(found.initialisation, wanted) - log_lag_weight(found.initialisation, 0) + math.log(2)
    assert gap == pytest.approx(0, abs=1e-11)

    def half(weights):
        lag = np.flatnonzero(weights >= weights[0] / 2)[-1]
        slope = math.log(weights[lag + 1] / weights[lag])
        return lag + math.log(weights[0] / 2 / weights[lag]) / slope

    if wanted == 10:
        for other in found.alternatives:
            if other.initialisation is not None:
                weights = kernels.kernel_diagonal(other.initialisation, 2000)
                assert half(weights) == pytest.approx(wanted, abs=0.02), other


@pytest.mark.parametrize(
    ("lag", "gap"), [(10, 0.237845895503), (100, 0.0456338297001), (1000, 0.00689279116704), (10**6, 1.381543094e-5)]
)
def test_half_lives_of_the_specification(lag, gap):
    found = designs.design(designs.HalfLife(lag), Gaussian("0.5")).initialisation
    assert float(found.gap) == pytest.approx(gap, rel=1e-9)


def test_no_recurrent_learning_has_a_geometric_half_life():
    found = designs.design(designs.HalfLife(7), Gaussian("0.9", 2, 0)).initialisation
    assert float(found.nu) == pytest.approx(2 ** (-1 / 7), rel=1e-14)
    frozen = Gaussian("0.9", 1, 1, "entries", (0, 1, 1))
    assert float(designs.design(designs.HalfLife(7), frozen).initialisation.nu) == pytest.approx(2 ** (-1 / 7))


@pytest.mark.slow
@pytest.mark.parametrize("last_output", [False, True])
@pytest.mark.parametrize(
    ("lag", "ratio", "length"), [(0, 3, 20), (10, 5, 100), (50, 1.0, 60), (99, 100, 100), (1, 1.5, 2)]
)
def test_designs_for_a_cost_are_the_least(lag, ratio, length, last_output):
    target = designs.AtMost(lag, ratio, length, last_output)

    def cost(start):
        if isinstance(start, Gaussian):
            logs = lag_weights(start, length, log=True)
        else:
            with np.errstate(divide="ignore"):
                logs = np.log(kernels.kernel_diagonal(start, length))
        return delays.learning_cost(logs, last_output=last_output)[lag]

    found = designs.design(target, Gaussian("0.9"))
    assert cost(found.initialisation) <= ratio * (1 + 1e-9)
    nu = found.initialisation.nu
    if nu > Fraction(1, 10**6):
        assert cost(replace(found.initialisation, nu_W=nu * (1 - Fraction(1, 10**6)))) > ratio * (1 - 1e-9)
    for other in found.alternatives:
        if other.initialisation is not None:
            assert cost(other.initialisation) <= ratio * (1 + 1e-6), other


@pytest.mark.slow
def test_least_cost_by_a_scan():
    """The cost of a lag falls as nu_W grows until it is met: no smaller nu_W on a fine grid meets it."""
    found = float(designs.design(designs.AtMost(12, 3, 40), Gaussian("0.5")).initialisation.nu)
    costs = [
        (nu, delays.learning_cost(lag_weights(Gaussian(nu), 40, log=True))[12]) for nu in np.linspace(0.01, 1.5, 1500)
    ]
    assert min(nu for nu, cost in costs if cost <= 3) == pytest.approx(found, abs=1e-3)


def test_unreachable_targets_say_what_is_within_reach():
    with pytest.raises(ValueError, match=r"0\.33"):
        designs.design(designs.MeanLag(0.2), Gaussian("0.9"))
    edge = designs.design(designs.MeanLag(1 / 3 + 1e-9), Gaussian("0.9")).initialisation
    assert float(edge.nu) == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError, match="longer ones are within reach"):
        designs.design(designs.HalfLife(1), Gaussian("0.9", 4, 4))
    reachable = designs.design(designs.HalfLife(1), Gaussian("0.9", 4, "0.1")).initialisation
    a, c = terms(4, "0.1")
    assert float(reachable.nu) == pytest.approx(float((a / 2 - c) / a), rel=1e-11)
    for target in (designs.HalfLife(0.5), designs.HalfLife(math.nan), designs.MeanLag(-1), designs.MeanLag(math.inf)):
        with pytest.raises(ValueError, match="give a finite one"):
            designs.design(target, Gaussian("0.9"))
    for target in (designs.AtMost(40, 3, 40), designs.AtMost(3, 0.9, 40), designs.AtMost(3, 2, 0)):
        with pytest.raises(ValueError, match="give"):
            designs.design(target, Gaussian("0.9"))
    with pytest.raises(ValueError, match="nu_F"):
        designs.design(designs.MeanLag(3), Gaussian("0.9", 0, 0))
    with pytest.raises(ValueError, match="rho_0 is 0"):
        designs.design(designs.HalfLife(5), Gaussian("0.9", 1, 1, "entries", (1, 0, 0)))
    with pytest.raises(ValueError, match="nu_F"):  # F is frozen, and 0 for the others
        designs.design(designs.AtMost(3, 2, 10), Gaussian("0.9", 0, 1, "entries", (1, 0, 1)))


@pytest.mark.slow
def test_designs_warn():
    assert designs.design(designs.HalfLife(100), Gaussian("0.9"), width=400).cautions
    assert not designs.design(designs.HalfLife(10), Gaussian("0.9"), width=400).cautions
    above = designs.design(designs.AtMost(39, 1.0, 40, last_output=True), Gaussian("0.9"))
    assert above.initialisation.nu >= Fraction(9, 10)
    beyond = designs.design(designs.AtMost(39, 1.0, 40), Gaussian("0.9"))
    assert beyond.initialisation.nu > 1
    assert beyond.cautions


# ---------------------------------------------------------------------------------------------------------------
# fast products


def dense_product(weights, x, others):
    found = np.zeros((len(x), len(others)))
    for t, s in itertools.product(range(len(x)), range(len(others))):
        found[t, s] = sum(weights[j] * (x[t - j] @ others[s - j]) for j in range(min(t, s) + 1))
    return found


@pytest.mark.parametrize(("length", "other"), [(1, 1), (2, 2), (7, 7), (1, 5), (6, 2), (33, 17)])
@pytest.mark.parametrize("nu", ["0", "0.7", "1", "3"])
def test_kernel_products_are_those_of_the_dense_kernel(length, other, nu):
    rng = np.random.default_rng(15)
    x, others = rng.normal(size=(length, 2)), rng.normal(size=(other, 2))
    start = Gaussian(nu, 2, "0.5")
    weights = lag_weights(start, max(length, other))
    K = dense_product(weights, x, others)
    scale = dense_product(weights, abs(x), abs(others))
    assert (abs(products.kernel_matrix(start, x, others) - K) <= 1e-12 * scale).all()
    for columns in (1, 3):
        v = rng.normal(size=(other, columns))
        found = products.kernel_product(weights, x, others, v)
        assert found.shape == (length, columns)
        np.testing.assert_array_less(abs(found - K @ v), 1e-11 * (scale @ abs(v)) + 1e-300)
    with pytest.raises(ValueError, match="weight"):
        products.kernel_product(weights[: min(length, other) - 1], x, others, np.ones((other, 1)))


def test_products_that_grow_keep_every_component():
    rng, length = np.random.default_rng(16), 60
    for nu in (8, 50):
        x = rng.integers(1, 4, (length, 1)).astype(float)
        v = rng.integers(1, 4, (length, 1)).astype(float)
        exact = [[0] * length for _ in range(length)]
        w = [exact_weight(2, 1, nu, j) for j in range(length)]
        u = [sum(int(v[s, 0]) * int(x[s - j, 0]) for s in range(j, length)) for j in range(length)]
        expected = [float(sum(w[j] * u[j] * int(x[t - j, 0]) for j in range(t + 1))) for t in range(length)]
        found = products.kernel_product(lag_weights(Gaussian(nu), length), x, x, v)
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-10)
        for t, s in ((0, 0), (5, 9), (59, 59), (59, 0)):
            exact = sum(w[j] * int(x[t - j, 0]) * int(x[s - j, 0]) for j in range(min(t, s) + 1))
            assert products.kernel_matrix(Gaussian(nu), x, x)[t, s] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(
    ("length", "inputs", "outputs", "lags"),
    [(1, 1, 1, 1), (2, 1, 3, 2), (9, 2, 1, 9), (16, 3, 2, 16), (5, 1, 1, 12), (12, 1, 2, 4)],
)
@pytest.mark.parametrize("growth", [1, 4])
def test_forward_pass_and_its_transpose(length, inputs, outputs, lags, growth):
    rng = np.random.default_rng(17)
    response = rng.normal(size=(lags, outputs, inputs)) * float(growth) ** np.arange(lags)[:, None, None]
    x, errors = rng.normal(size=(length, inputs)), rng.normal(size=(length, outputs))
    expected = np.array([sum(response[j] @ x[t - j] for j in range(min(t + 1, lags))) for t in range(length)])
    found = products.respond(response, x, growth)
    sizes = np.array([sum(abs(response[j]) @ abs(x[t - j]) for j in range(min(t + 1, lags))) for t in range(length)])
    assert (abs(found - expected) <= 1e-11 * sizes).all()
    gradient = products.correlate(x, errors)
    brute = np.zeros((length, outputs, inputs))
    for j in range(length):
        brute[j] = sum(np.outer(errors[s], x[s - j]) for s in range(j, length))
    np.testing.assert_allclose(gradient, brute, atol=1e-12)


def test_products_beyond_the_growth_of_the_response():
    rng = np.random.default_rng(30)
    weights = lag_weights(Gaussian(50), 40)
    x, v = rng.uniform(1, 2, (700, 1)), rng.uniform(1, 2, (40, 1))
    others = rng.uniform(1, 2, (40, 1))
    found = products.kernel_product(weights, x, others, v)[:, 0]
    u = np.array([(v[j:, 0] * others[: 40 - j, 0]).sum() for j in range(40)])
    expected = [sum(weights[j] * u[j] * x[t - j, 0] for j in range(min(t + 1, 40))) for t in range(700)]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    back = products.kernel_product(weights, others, x, rng.uniform(1, 2, (700, 1)))
    assert np.isfinite(back).all()


def test_products_where_only_W_is_trained():
    start = Gaussian(8, 1, 1, "entries", (1, 0, 0))
    weights = lag_weights(start, 50)
    assert weights[0] == 0
    ones = np.ones((50, 1))
    expected = [float(sum(exact_weight(0, 1, 8, j) * (50 - j) for j in range(t + 1))) for t in range(50)]
    np.testing.assert_allclose(products.kernel_product(weights, ones, ones, ones)[1:, 0], expected[1:], rtol=1e-11)
    np.testing.assert_allclose(products.kernel_matrix(start, ones, ones) @ ones[:, 0], expected, rtol=1e-12)


def test_last_outputs_align_at_their_ends():
    rng = np.random.default_rng(18)
    left = [rng.normal(size=(t, 2)) for t in (1, 4, 9)]
    right = [rng.normal(size=(t, 2)) for t in (3, 7)]
    weights = lag_weights(Gaussian("0.8"), 9)
    found = products.last_output_gram(weights, left, right)
    expected = [
        [sum(weights[j] * (x[-1 - j] @ y[-1 - j]) for j in range(min(len(x), len(y)))) for y in right] for x in left
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(products.last_output_gram(weights[:7], left, right), expected, atol=1e-12)
    with pytest.raises(ValueError, match="weight"):
        products.last_output_gram(weights[:6], left, right)
    with pytest.raises(ValueError, match="no sequences"):
        products.last_output_gram(weights, [], right)


# ---------------------------------------------------------------------------------------------------------------
# recurrent kernels


def moments(activation, a, b, c):
    """V and V' of one pair."""
    if activation == "linear":
        return c, 1.0
    if activation == "erf":
        root = math.sqrt(1 + 2 * a + 2 * b + 4 * max(0.0, a * b - c * c))
        return 2 / math.pi * math.asin(
            max(-1, min(1, 2 * c / math.sqrt((1 + 2 * a) * (1 + 2 * b))))
        ), 4 / math.pi / root
    if a * b == 0:
        return 0.0, 0.0
    angle = math.acos(max(-1.0, min(1.0, c / math.sqrt(a * b))))
    size = math.sqrt(a * b)
    return size * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / (2 * math.pi), (math.pi - angle) / (
        2 * math.pi
    )


def pair(network, x, y, inner=None):
    """NNGP and NTK of one pair of sequences, by the full table of steps."""
    kind, su, sb, sw, sv = network.activation, network.sigma_u, network.sigma_b, network.sigma_w, network.sigma_v
    m = x.shape[1]

    def table(p, q, products=None):
        S, Th, _slopes = np.zeros((len(p), len(q))), np.zeros((len(p), len(q))), {}
        own_p = [norm(p, t) for t in range(len(p))]
        own_q = [norm(q, t) for t in range(len(q))]
        for t, s in itertools.product(range(len(p)), range(len(q))):
            given = None if products is None else products.get((t, s))
            S[t, s] = su**2 * (p[t] @ q[s] / m if given is None else given) + sb**2
            Th[t, s] = S[t, s]
            if t and s:
                V, slope = moments(kind, own_p[t - 1], own_q[s - 1], S[t - 1, s - 1])
                S[t, s] += sw**2 * V
                Th[t, s] = S[t, s] + sw**2 * slope * Th[t - 1, s - 1]
        V, slope = moments(kind, own_p[-1], own_q[-1], S[-1, -1])
        return sv**2 * V, sv**2 * (V + slope * Th[-1, -1])

    def norm(p, t):
        value = 0.0
        for step in range(t + 1):
            V = moments(kind, value, value, value)[0] if step else 0.0
            value = su**2 * (p[step] @ p[step]) / m + sb**2 + sw**2 * V
        return value

    return table(x, y, inner)


NETWORKS = [
    nonlinear.Recurrent("linear", 0.9, 1.3, 0.0, 0.7),
    nonlinear.Recurrent("linear", 1.2, 1.3, 0.4, 0.7),
    nonlinear.Recurrent("erf", 1.5, 0.8, 0.3, 1.1),
    nonlinear.Recurrent("relu", 1.4, 0.8, 0.3, 1.1),
    nonlinear.Recurrent("relu", 1.4, 0.8, 0, 1.1),
    nonlinear.Recurrent("erf", 0, 0.8, 0, 1),
]


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_recurrent_kernels_pair_by_pair(network):
    rng = np.random.default_rng(19)
    left = [rng.normal(size=(t, 2)) for t in (1, 3, 6, 3)]
    left[3] = np.zeros((3, 2))  # silence
    right = [left[1], -left[1], rng.normal(size=(8, 2)), 1e6 * left[2], 1e-6 * left[2], left[3]]
    found = nonlinear.recurrent_kernels(network, left, right)
    expected = np.array([[pair(network, x, y) for y in right] for x in left])
    np.testing.assert_allclose(found.nngp, expected[..., 0], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found.ntk, expected[..., 1], rtol=1e-9, atol=1e-13)
    own = nonlinear.recurrent_kernels(network, left)
    np.testing.assert_allclose(own.ntk, own.ntk.T, rtol=1e-12, atol=1e-14)
    assert np.linalg.eigvalsh(own.ntk)[0] > -1e-10 * own.ntk.max()
    one = nonlinear.recurrent_kernels(network, left[2:3], right[2:3])
    np.testing.assert_allclose(one.ntk, found.ntk[2:3, 2:3], rtol=1e-12)


def test_the_linear_recurrent_kernel_is_the_memory_prior():
    rng = np.random.default_rng(20)
    network = nonlinear.Recurrent("linear", 0.9, 1.3, 0, 0.7)
    x = [rng.normal(size=(t, 3)) for t in (4, 7)]
    start = Gaussian(Fraction(0.9) ** 2, Fraction(1.3) ** 2 / 3, Fraction(0.7) ** 2, "multipliers")
    weights = lag_weights(start, 7)
    found = nonlinear.recurrent_kernels(network, x)
    np.testing.assert_allclose(found.ntk, products.last_output_gram(weights, x, x), rtol=1e-12)
    np.testing.assert_allclose(
        found.nngp,
        products.last_output_gram(
            prior.initial_variances(Gaussian(Fraction(0.9) ** 2, Fraction(1.3) ** 2 / 3, Fraction(0.7) ** 2), 7), x, x
        ),
        rtol=1e-12,
    )
    sensitivity = nonlinear.lag_sensitivity(network, x)
    np.testing.assert_allclose(sensitivity[1, 1], 3 * weights, rtol=1e-12)
    np.testing.assert_array_equal(sensitivity[0, 1, 4:], 0)


@pytest.mark.parametrize("network", NETWORKS[1:4], ids=repr)
def test_sensitivity_to_lags_by_differences(network):
    rng = np.random.default_rng(21)
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(6, 2))
    found = nonlinear.lag_sensitivity(network, [x], [y])[0, 0]
    for lag in range(4):
        t, s = 3 - lag, 5 - lag
        middle, step = x[t] @ y[s] / 2, 1e-5
        up, down = (pair(network, x, y, {(t, s): middle + d})[1] for d in (step, -step))
        assert found[lag] == pytest.approx((up - down) / (2 * step), rel=1e-6)
    np.testing.assert_array_equal(found[4:], 0)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_recurrent_kernels_by_sampled_networks(activation):
    rng = np.random.default_rng(22)
    width, draws = 96, 200
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    network = nonlinear.Recurrent(activation, 1.3, 0.9, 0.4, 0.8)
    phi = jax.scipy.special.erf if activation == "erf" else jax.nn.relu

    def state(weights, inputs):
        W, U, b = weights
        h = jnp.zeros(width)
        for now in inputs:
            h = phi(1.3 * W @ h / math.sqrt(width) + 0.9 * U @ now / math.sqrt(2) + 0.4 * b)
        return h

    def one(key):
        keys = jax.random.split(key, 4)
        weights = [jax.random.normal(k, s) for k, s in zip(keys, [(width, width), (width, 2), (width,)], strict=False)]
        v = jax.random.normal(keys[3], (width,))
        output = lambda weights, inputs: 0.8 * v @ state(weights, inputs) / math.sqrt(width)  # noqa: E731
        nngp = 0.64 * state(weights, x) @ state(weights, y) / width
        left, right = jax.grad(output)(weights, x), jax.grad(output)(weights, y)
        return nngp, nngp + sum((p * q).sum() for p, q in zip(left, right, strict=True))

    with precision(np.float64):
        sampled = np.array(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), draws)))
    found = nonlinear.recurrent_kernels(network, [x], [y])
    error = sampled.std(axis=1) / math.sqrt(draws)
    # the mean over draws still misses the limit by order 1 / width
    assert abs(sampled[0].mean() - found.nngp[0, 0]) < 4 * error[0] + 3 / width * abs(found.nngp[0, 0])
    assert abs(sampled[1].mean() - found.ntk[0, 0]) < 4 * error[1] + 3 / width * abs(found.ntk[0, 0])


# ---------------------------------------------------------------------------------------------------------------
# the estimator


def explicit_descent(x, y, theta, rate_share, steps, lags):
    """Gradient descent on the taps of a convolution, unit by unit of the largest stable rate."""
    phi, outputs = design_matrix(x, lags), y.shape[-1]
    Y, M = y.reshape(-1, outputs), x.shape[0] * x.shape[1]
    big_theta = np.kron(theta, np.eye(x.shape[-1]))
    root = linalg.sqrtm(big_theta).real
    top = np.linalg.eigvalsh(root @ phi.T @ phi @ root / M)[-1]
    L, losses = np.zeros((phi.shape[1], outputs)), []
    for _ in range(steps):
        L = L + rate_share / top * big_theta @ phi.T @ (Y - phi @ L) / M
        losses.append(((Y - phi @ L) ** 2).sum() / (2 * M))
    return unstacked(L, x.shape[-1]), losses


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(23)
    x = rng.normal(size=(4, 12, 2))
    y = np.cumsum(x, axis=1)[..., :1] * 0.3 + 0.1 * rng.normal(size=(4, 12, 1))
    return x, y


@pytest.mark.parametrize(
    "start",
    [Gaussian("0.6"), kernels.Leaky("0.7", "0.2"), kernels.Orthogonal("0.9"), kernels.Ring(0.5, 0.9), None],
    ids=repr,
)
def test_the_estimator_follows_explicit_descent(data, start):
    x, y = data
    theta = np.eye(9) if start is None else kernels.lag_kernel(start, 9)
    model = WideLinearRNN(start, lags=9, method="descent", steps=40, rate=0.8).fit(x, y)
    expected, losses = explicit_descent(x, y, theta, 0.8, 40, 9)
    np.testing.assert_allclose(model.impulse_response_, expected, atol=1e-10)
    assert model.training_loss_ == pytest.approx(losses[-1], rel=1e-9)
    answers = np.array([products.respond(expected, one) for one in x])
    np.testing.assert_allclose(model.predict(x), answers, atol=1e-10)
    assert model.score(x, y) == pytest.approx(1 - ((y - answers) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-9)


def test_the_estimator_flows_and_stops_early(data):
    x, y = data
    model = WideLinearRNN(Gaussian("0.6"), method="flow", time=3.0).fit(x, y)
    expected, losses = explicit_descent(x, y, np.diag(lag_weights(Gaussian("0.6"), 12)), 0.001, 3000, 12)
    np.testing.assert_allclose(model.impulse_response_, expected, atol=2e-3)
    curve = model.learning_curve([0.0, 0.5, 1.0, 3.0, 50.0])
    np.testing.assert_allclose(curve[1:4], [losses[499], losses[999], losses[2999]], rtol=1e-3)
    assert curve[0] == pytest.approx((y**2).mean() / 2)
    assert (np.diff(curve) < 0).all()
    for time, loss in zip([0.5, 50.0], curve[[1, 4]], strict=True):
        again = WideLinearRNN(Gaussian("0.6"), method="flow", time=time).fit(x, y)
        assert again.training_loss_ == pytest.approx(loss, rel=1e-10)
    assert curve[3] == pytest.approx(model.training_loss_, rel=1e-12)


def test_ridge_and_the_end_of_training(data):
    x, y = data
    phi, weights = design_matrix(x, 12), lag_weights(Gaussian("0.6"), 12)
    D = np.repeat(weights, 2)
    H, b = phi.T @ phi / 48, phi.T @ y.reshape(-1, 1) / 48
    top = np.linalg.eigvalsh(np.sqrt(D)[:, None] * H * np.sqrt(D))[-1]
    ridge = WideLinearRNN(Gaussian("0.6"), method="ridge", time=20).fit(x, y)
    expected = np.linalg.solve(H + np.diag(1 / D) * top / 20, b)
    np.testing.assert_allclose(stacked(ridge.impulse_response_), expected, atol=1e-10)
    limit = WideLinearRNN(Gaussian("0.6"), method="limit").fit(x, y)
    np.testing.assert_allclose(stacked(limit.impulse_response_), np.linalg.lstsq(phi, y.reshape(-1, 1))[0], atol=1e-6)
    best = WideLinearRNN(Gaussian("0.6"), method="evidence").fit(x, y)
    found = evidences.evidence(equations_.normal_equations(x, y), weights, 48)
    modes = training.training_modes(equations_.normal_equations(x, y), weights)
    np.testing.assert_allclose(best.impulse_response_, modes.response(training.ridge(modes, found.time)), atol=1e-8)


def test_forms_of_inputs_and_outputs(data):
    x, y = data
    whole = WideLinearRNN(Gaussian("0.6"), lags=5).fit(x[:1], y[:1])
    single = WideLinearRNN(Gaussian("0.6"), lags=5).fit(x[0], y[0])
    flat = WideLinearRNN(Gaussian("0.6"), lags=5).fit(x[0], y[0, :, 0])
    for model in (single, flat):
        np.testing.assert_allclose(model.impulse_response_, whole.impulse_response_, atol=1e-13)
    assert whole.predict(x[:1]).shape == (1, 12, 1)
    assert single.predict(x[0]).shape == (12, 1)
    assert flat.predict(x[0]).shape == (12,)
    assert flat.predict(x).shape == (4, 12)
    np.testing.assert_array_equal(flat.predict(x)[0], flat.predict(x[0]))
    assert flat.score(x[0], y[0, :, 0]) == pytest.approx(whole.score(x[:1], y[:1]))
    scalar = WideLinearRNN(Gaussian("0.6"), lags=5).fit(x[0, :, 0], y[0, :, 0])
    assert scalar.predict(x[0, :, 0]).shape == (12,)
    assert scalar.predict(x[0, :3, 0]).shape == (3,)
    longer = np.concatenate([x[0, :, 0]] * 3)
    np.testing.assert_allclose(scalar.predict(longer)[:12], scalar.predict(x[0, :, 0]), atol=1e-13)
    np.testing.assert_allclose(scalar.predict(x[0, :1, 0]), scalar.impulse_response_[0, 0] * x[0, 0, 0])
    integers = np.arange(8.0)
    assert WideLinearRNN(Gaussian("0.6"), lags=1, method="limit").fit(integers, 3 * integers).impulse_response_[
        0, 0, 0
    ] == pytest.approx(3)


def test_scikit_learn_conventions(data):
    x, y = data
    model = WideLinearRNN(Gaussian("0.6"), lags=4, method="ridge", time=5)
    settings = dict(initialisation=Gaussian("0.6"), lags=4, method="ridge", time=5, steps=100, rate=1.0)
    assert model.get_params() == settings
    assert not hasattr(model, "impulse_response_")
    assert model.fit(x, y) is model
    assert model.get_params() == settings
    first = model.impulse_response_.copy()
    np.testing.assert_array_equal(model.fit(x, y).impulse_response_, first)
    model.fit(x[:, ::-1], y)
    assert not np.allclose(model.impulse_response_, first)
    assert model.set_params(lags=2, time=1.0) is model
    assert model.fit(x, y).impulse_response_.shape == (2, 1, 2)
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(nonsense=1)
    with pytest.raises((ValueError, AttributeError), match="fit"):
        WideLinearRNN().predict(x)
    base = pytest.importorskip("sklearn.base")
    copy = base.clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "impulse_response_")


@pytest.mark.slow
def test_more_lags_than_an_eigenbasis_can_hold():
    rng, lags = np.random.default_rng(24), 2100
    x, y = rng.normal(size=(1, lags, 1)), rng.normal(size=(1, lags, 1))
    start = Gaussian("0.999")
    model = WideLinearRNN(start, method="descent", steps=4, rate=0.5).fit(x, y)
    assert model.modes_ is None
    weights = lag_weights(start, lags)
    phi = linalg.toeplitz(x[0, :, 0], np.zeros(lags))
    one = WideLinearRNN(start, method="descent", steps=1, rate=0.5).fit(x, y).impulse_response_[:, 0, 0]
    unit = np.median(0.5 * weights * (phi.T @ y[0, :, 0]) / lags / one)
    top = np.linalg.norm(phi * np.sqrt(weights), 2) ** 2 / lags
    assert 0.99 < unit / top < 1.06  # the unit of the rate is estimated
    L = np.zeros(lags)
    for _ in range(4):
        L += 0.5 / unit * weights * (phi.T @ (y[0, :, 0] - phi @ L)) / lags
    np.testing.assert_allclose(model.impulse_response_[:, 0, 0], L, rtol=0, atol=1e-10 * abs(L).max())
    np.testing.assert_allclose(model.predict(x)[0, :, 0], phi @ model.impulse_response_[:, 0, 0], atol=1e-9)
    assert model.training_loss_ == pytest.approx(
        ((y[0, :, 0] - phi @ model.impulse_response_[:, 0, 0]) ** 2).mean() / 2
    )
    with pytest.raises(ValueError, match="limit"):
        WideLinearRNN(start, method="limit").fit(x, y)
    with pytest.raises(ValueError, match="lags"):
        model.learning_curve([1.0])


@pytest.mark.slow
def test_data_choose_their_memory():
    rng = np.random.default_rng(25)
    x = rng.normal(size=600)
    short = np.convolve(x, 0.3 ** np.arange(20))[:600] + 0.2 * rng.normal(size=600)
    long = np.convolve(x, 0.9 ** np.arange(60))[:600] + 0.2 * rng.normal(size=600)
    model = WideLinearRNN(Gaussian("0.5"), lags=40)
    for by in ("likelihood", "held-out"):
        found = [float(model.choose_memory(x, y, by=by).initialisation.nu) for y in (short, long)]
        assert found[0] < found[1]
        assert found[1] > 0.6
    chosen = model.choose_memory(x, long)
    assert chosen is not model
    assert model.initialisation == Gaussian("0.5")
    assert not hasattr(model, "impulse_response_")
    best = evidences.evidence(
        equations_.normal_equations(x[None, :, None], long[None, :, None], 40),
        lag_weights(chosen.initialisation, 40),
        600,
    ).log_likelihood
    for nu in np.linspace(0.05, 1.1, 22):
        other = evidences.evidence(
            equations_.normal_equations(x[None, :, None], long[None, :, None], 40), lag_weights(Gaussian(nu), 40), 600
        )
        assert other.log_likelihood <= best + 0.05


# ---------------------------------------------------------------------------------------------------------------
# kernels of models as they stand


def impulse(model, lags):
    """L_j by running the model: one impulse in each channel, the answer to silence taken away."""
    inputs = model.architecture.input_size
    quiet = jnp.zeros((lags, inputs))
    pulses = jnp.eye(inputs)[:, None, :] * (jnp.arange(lags) == 0)[None, :, None]

    def answers(weights):
        run = lambda x: states_and_outputs(Model(model.architecture, weights), x)[1]  # noqa: E731
        return jnp.moveaxis(jax.vmap(run)(pulses) - run(quiet), 0, -1)  # lag output input

    return answers


def by_jacobian(model, lags, names=None):
    weights = model.weights
    with precision(np.float64):
        jacobian = jax.jit(jax.jacrev(impulse(model, lags)))(jax.tree.map(jnp.asarray, weights))
    flat = jacobian if names is None else {name: jacobian[name] for name in names}
    rows = [np.asarray(leaf).reshape(*np.asarray(leaf).shape[:3], -1) for leaf in jax.tree.leaves(flat)]
    J = np.concatenate(rows, axis=-1)
    return np.einsum("japz,lbqz->jlabpq", J, J)


@pytest.mark.slow
@pytest.mark.parametrize("parametrisation", ["standard", "ntk", "ntk_unit", "mean_field"])
def test_the_lag_kernel_of_a_layer_by_its_jacobian(parametrisation):
    layer = RNN(
        2,
        3,
        2,
        "linear",
        bias=False,
        parametrisation=parametrisation,
        variance=1.7,
        input_variance=0.6,
        readout_variance=2.5,
    )
    model = build(layer, 1, np.float64)
    np.testing.assert_allclose(measured_kernel(model, 5), by_jacobian(model, 5), rtol=1e-10, atol=1e-13)
    if parametrisation != "ntk":
        return
    for names in (("readout",), ("weight_ih",), ("weight_hh",), ("weight_ih", "weight_hh")):
        found = measured_kernel(model, 4, names)
        np.testing.assert_allclose(found, by_jacobian(model, 4, names), rtol=1e-10, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "width", "outputs", "lags"), [(1, 1, 1, 1), (3, 1, 1, 6), (2, 5, 3, 4)])
def test_lag_kernels_of_odd_sizes(inputs, width, outputs, lags):
    model = build(RNN(inputs, width, outputs, "linear", bias=True, parametrisation="ntk"), 2, np.float64)
    found = measured_kernel(model, lags)
    assert found.shape == (lags, lags, outputs, outputs, inputs, inputs)
    names = ("readout", "weight_ih", "weight_hh")
    np.testing.assert_allclose(found, by_jacobian(model, lags, names), rtol=1e-10, atol=1e-13)
    matrix = found.transpose(0, 2, 4, 1, 3, 5).reshape(lags * outputs * inputs, -1)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * matrix.max()
    np.testing.assert_allclose(response_kernel(model, lags), by_jacobian(model, lags), rtol=1e-9, atol=1e-12)
    rho = memory_prior(model, lags)
    np.testing.assert_allclose(
        rho.value,
        [np.mean([found[j, j, a, a, p, p] for a in range(outputs) for p in range(inputs)]) for j in range(lags)],
    )
    assert rho.statistics["effective_lags"] == pytest.approx(rho.value.sum() ** 2 / (rho.value**2).sum())
    diagonal = sum((found[j, j, a, a, p, p]) ** 2 for j in range(lags) for a in range(outputs) for p in range(inputs))
    assert rho.statistics["correlation"] == pytest.approx(1 - diagonal / (found**2).sum(), abs=1e-12)


def one_unit(w, f, c, **options):
    weights = dict(weight_hh=np.array([[w]]), weight_ih=np.array([[f]]), readout=np.array([[c]]))
    return Model(RNN(1, 1, 1, "linear", bias=False, **options), {k: v.astype(float) for k, v in weights.items()})


@pytest.mark.parametrize("w", [3.0, 0.0, -2.0, 1e-30])
def test_the_kernel_of_one_unit(w):
    f, c = 2.0, 5.0
    kernel = measured_kernel(one_unit(w, f, c), 4)[..., 0, 0, 0, 0]
    for j, l in itertools.product(range(4), repeat=2):  # noqa: E741
        expected = (f**2 + c**2) * w ** (j + l) + (c**2 * f**2 * j * l * w ** (j + l - 2) if j * l else 0)
        assert kernel[j, l] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_kernels_of_growing_and_decaying_units_keep_every_lag():
    """Neighbours of very different sizes: a transform in two dimensions leaves rounding of the largest."""
    for w in (0.05, 8.0):
        kernel = measured_kernel(one_unit(w, 1.0, 1.0), 40)[..., 0, 0, 0, 0]
        j = np.arange(40)
        powers = w ** np.add.outer(j, j).astype(float)
        expected = 2 * powers + np.outer(j, j) * powers / w**2
        np.testing.assert_allclose(kernel, expected, rtol=1e-9)


def test_measured_priors_of_random_layers_fall_as_they_do():
    rng = np.random.default_rng(31)
    A, lags = rng.normal(0, math.sqrt(0.3 / 30), (30, 30)), 90
    B, C = rng.normal(size=(30, 1)), rng.normal(size=(1, 30)) / math.sqrt(30)
    model = Model(RNN(1, 30, 1, "linear", bias=False), dict(weight_hh=A, weight_ih=B, readout=C))
    P, Q = [C[0]], [B[:, 0]]
    for _ in range(lags):
        P.append(P[-1] @ A)
        Q.append(A @ Q[-1])
    expected = []
    for j in range(lags):
        by_W = sum((np.outer(P[k], Q[j - 1 - k]) for k in range(j)), np.zeros((30, 30)))
        expected.append(Q[j] @ Q[j] + P[j] @ P[j] + (by_W**2).sum())
    np.testing.assert_allclose(memory_prior(model, lags).value, expected, rtol=1e-9)


def test_a_kernel_too_large_for_a_float():
    with pytest.raises(ValueError, match="too large for a float"):
        measured_kernel(one_unit(50.0, 1.0, 1.0), 200)
    assert measured_kernel(one_unit(50.0, 1.0, 1.0), 80)[79, 79].item() == pytest.approx(
        float(2 * Fraction(50) ** 158 + 79**2 * Fraction(50) ** 156), rel=1e-11
    )
    falling = memory_prior(one_unit(1e-3, 1.0, 1.0), 200).value
    assert falling[40] == pytest.approx(
        float(exact_weight(2, 0, "1e-6", 40) + 1600 * Fraction("1e-3") ** 78), rel=1e-11
    )
    assert falling[150] == 0


def test_a_nilpotent_layer():
    rng = np.random.default_rng(26)
    weights = dict(weight_hh=np.eye(4, k=1), weight_ih=rng.normal(size=(4, 1)), readout=rng.normal(size=(2, 4)))
    model = Model(RNN(1, 4, 2, "linear", bias=False), weights)
    found = measured_kernel(model, 10)
    np.testing.assert_allclose(found, by_jacobian(model, 10), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found[8:], 0)
    assert found[7].any()


@pytest.mark.slow
def test_wide_layers_reach_the_theory():
    layer = RNN(
        1, 1500, 1, "linear", bias=False, parametrisation="ntk", variance=0.5, input_variance=2.0, readout_variance=0.7
    )
    found = memory_prior(build(layer, 3, np.float64), 6).value
    np.testing.assert_allclose(found, lag_weights(Gaussian("0.5", 2, "0.7"), 6), rtol=0.2)


@pytest.mark.slow
def test_response_kernels_of_other_layers():
    for layer in (
        Deep((RNN(1, 2, 2, "linear"), StateSpace(2, 2, 1, direct=True))),
        DiagonalStateSpace(1, 3, 1),
        DiagonalStateSpace(1, 3, 1, "uniform", "plain", normalise=False),
    ):
        model = build(layer, 4, np.float64)
        np.testing.assert_allclose(response_kernel(model, 4), by_jacobian(model, 4), rtol=1e-8, atol=1e-11)
    with pytest.raises(ValueError, match="linear"):
        response_kernel(build(RNN(1, 2, 1, "tanh"), 0, np.float64), 3)
    with pytest.raises(ValueError, match="linear"):
        measured_kernel(build(RNN(1, 2, 1, "tanh"), 0, np.float64), 3)
    with pytest.raises(ValueError, match="lags"):
        measured_kernel(build(RNN(1, 2, 1, "linear"), 0, np.float64), 0)
    with pytest.raises(ValueError, match="nonsense"):
        measured_kernel(build(RNN(1, 2, 1, "linear"), 0, np.float64), 3, ("nonsense",))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [RNN(2, 3, 2, "tanh"), GRU(1, 2, 1)], ids=["rnn", "gru"])
@pytest.mark.parametrize("last", [True, False])
def test_tangent_kernels_by_the_jacobian(layer, last):
    rng = np.random.default_rng(27)
    model = build(layer, 5, np.float64)
    x = rng.normal(size=(3, 4, layer.input_size))

    def outputs(weights):
        all_of = jnp.stack([states_and_outputs(Model(layer, weights), one)[1] for one in jnp.asarray(x)])
        return (all_of[:, -1] if last else all_of).reshape(-1)

    with precision(np.float64):
        jacobian = jax.jit(jax.jacrev(outputs))(jax.tree.map(jnp.asarray, model.weights))
    J = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
    found = tangent_kernel(model, x, last)
    np.testing.assert_allclose(found, J @ J.T, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="shape"):
        tangent_kernel(model, rng.normal(size=(3, 4, layer.input_size + 1)))


@pytest.mark.slow
def test_drift():
    rng = np.random.default_rng(28)
    layer = RNN(1, 3, 1, "linear", bias=False)
    before = build(layer, 6, np.float64)
    after = Model(layer, {name: 1.5 * np.asarray(w) for name, w in before.weights.items()})
    x = rng.normal(size=(3, 5, 1))
    assert kernel_drift(before, before, x).value == pytest.approx(0, abs=1e-14)
    K, moved = tangent_kernel(before, x), tangent_kernel(after, x)
    expected = np.linalg.norm(moved - K) / np.linalg.norm(K)
    assert kernel_drift(before, after, x).value == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match="one architecture"):
        kernel_drift(before, build(RNN(1, 4, 1, "linear", bias=False), 0, np.float64), x)
    with pytest.raises(ValueError, match="finite numbers"):
        kernel_drift(before, after, np.full((1, 3, 1), math.nan))


@pytest.mark.slow
def test_a_small_step_moves_the_response_by_the_kernel():
    """d L / d rate of gradient descent on the weights is -Theta dLoss/dL."""
    rng = np.random.default_rng(29)
    layer = RNN(1, 4, 1, "linear", bias=False, parametrisation="ntk")
    model = build(layer, 7, np.float64)
    x, y = problem(rng, 3, 5, 1, 1)
    data = equations_.normal_equations(x, y)

    def loss(weights):
        runs = jnp.stack([states_and_outputs(Model(layer, weights), one)[1] for one in jnp.asarray(x)])
        return ((runs - y) ** 2).sum() / (2 * 15)

    with precision(np.float64):
        weights = jax.tree.map(jnp.asarray, model.weights)
        gradient = jax.grad(loss)(weights)
        response = impulse(model, 5)
        moves = jax.jvp(response, (weights,), (jax.tree.map(jnp.negative, gradient),))[1]
        start = np.asarray(response(weights))
    theta = measured_kernel(model, 5)[..., 0, 0, 0, 0]
    expected = -theta @ (data.hessian @ stacked(start) - data.moment)
    np.testing.assert_allclose(stacked(np.asarray(moves)), expected, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------
# bad input, as users meet it: without the type checks of the test suite

BAD = {
    "Gaussian(-0.1)": "nu_W",
    "Gaussian('-1')": "nu_W",
    "Gaussian(0.5, -1)": "nu_F",
    "Gaussian(0.5, 1, float('nan'))": "nu_C",
    "Gaussian(float('inf'))": "nu_W",
    "Gaussian('much')": "nu_W",
    "Gaussian('1/0')": "nu_W",
    "Gaussian(0.5, learning_rates=(1, 1))": "learning_rates",
    "Gaussian(0.5, learning_rates=(1, -1, 1))": "learning",
    "Gaussian(0.5, parametrisation='ntk')": "parametrisation",
    "Gaussian(None)": "nu_W",
    "lag_weights(Gaussian(0.5), 0)": "lags",
    "lag_weights(Gaussian(0.5), -3)": "lags",
    "lag_weights(Gaussian(0.5), 2.5)": "lags",
    "lag_weights(Gaussian(0.5), float('nan'))": "lags",
    "log_lag_weight(Gaussian(0.5), -1)": "lag",
    "log_lag_weight(Gaussian(0.5), float('nan'))": "lag",
    "s.tail_sum(Gaussian(0.5), 2.5)": "lag",
    "s.tail_sum(Gaussian(0.5), -1)": "lag",
    "w.mean_factor(3, 0)": "width",
    "w.mean_factor(-1, 5)": "lag",
    "w.mean_factor(2.5, 5)": "lag",
    "w.mean_factor(2, 5, 'quaternion')": "entries",
    "w.trust_horizon(0)": "width",
    "k.kernel_diagonal(k.Ring(0, 0), 4)": "high",
    "k.kernel_diagonal(k.Ring(0.9, 0.2), 4)": "low=0.9",
    "k.kernel_diagonal(k.Ring(-0.1, 0.2), 4)": "",
    "k.kernel_diagonal(k.Ring(0.1, float('nan')), 4)": "",
    "k.kernel_diagonal(k.LRU(0.1, 1.2), 4)": "",
    "k.kernel_diagonal(k.RealModes(-0.1, 1.0), 4)": "",
    "k.kernel_diagonal(k.StepSizes(0, 1.0), 4)": "",
    "k.kernel_diagonal(k.Stacked(()), 4)": "",
    "k.kernel_diagonal(k.Stacked((0.5, -1)), 4)": "nu",
    "k.kernel_diagonal(k.Stacked((0.5, 0.5), -1), 4)": "nu_B",
    "k.kernel_diagonal(k.Orthogonal(-1), 4)": "gain",
    "k.kernel_diagonal(k.Orthogonal(float('nan')), 4)": "gain",
    "k.kernel_diagonal(k.Leaky(float('inf')), 4)": "leak",
    "k.lag_kernel(k.Leaky(0.5), 0)": "lags",
    "k.lag_kernel(k.Ring(0, 1, -1), 3)": "nu_F",
    "d.learning_cost(np.array([-np.inf, -np.inf]))": "",
    "d.learning_cost(np.array([0.0, np.nan]))": "",
    "d.delay_r2(0.5, 0.5, 10)": "cost",
    "d.delay_r2(2.0, 2.0, 10)": "diverges",
    "d.delay_r2(2.0, 0.5, -1)": "steps",
    "d.delay_steps(2.0, 0.5, 1.5)": "a share of 1.5",
    "d.white_rate(np.zeros(3), 0.5, variance=0)": "variance",
    "t.training_modes(equations, np.ones(3))": "lag",
    "t.training_modes(equations, -np.ones(4))": "",
    "t.training_modes(equations, np.full(4, np.nan))": "",
    "t.training_modes(equations, np.array(-np.eye(4)))": "",
    "t.training_modes(equations, np.ones(4), np.zeros((4, 2, 1)))": "start",
    "t.descent(modes, 1e9, 3)": "rate",
    "t.descent(modes, float('nan'), 3)": "rate",
    "t.descent(modes, 1e-3, -1)": "steps",
    "t.flow(modes, -1.0)": "time",
    "t.flow(modes, float('nan'))": "time",
    "t.ridge(modes, -1.0)": "time",
    "t.heavy_ball(modes, 1e-3, 3, 1.0)": "momentum",
    "q.normal_equations(x[:, :3], y)": "steps",
    "q.normal_equations(x, y[:, :1])": "steps",
    "q.normal_equations(x, y[:1])": "sequences",
    "q.normal_equations(x * np.nan, y)": "",
    "q.normal_equations(x, y / 0)": "",
    "q.normal_equations(x, y, 5)": "lags",
    "q.normal_equations(x, y, 0)": "lags",
    "q.normal_equations(x[:0], y[:0])": "",
    "p.kernel_matrix(Gaussian(0.5), x[0], np.ones((3, 2)))": "channels",
    "p.last_output_gram(np.ones(4), [x[0]], [np.ones((3, 2))])": "channels",
    "p.kernel_product(np.ones(4), x[0], x[0] * np.nan, x[0])": "",
    "p.kernel_product(np.ones(4), x[0], x[0], np.ones((3, 1)))": "steps",
    "p.kernel_product(np.ones(4), x[0], np.ones((4, 2)), x[0])": "channels",
    "p.respond(np.ones((4, 1, 2)), x[0])": "channels",
    "p.correlate(x[0], np.ones((3, 1)))": "steps",
    "n.recurrent_kernels(n.Recurrent('tanh'), [x[0]])": "tanh",
    "n.recurrent_kernels(n.Recurrent('erf', -1), [x[0]])": "sigma_w",
    "n.recurrent_kernels(n.Recurrent('erf'), [])": "",
    "n.recurrent_kernels(n.Recurrent('erf'), [x[0][:0]])": "",
    "n.recurrent_kernels(n.Recurrent('erf'), [x[0]], [np.ones((2, 3))])": "",
    "n.recurrent_kernels(n.Recurrent('erf'), [x[0] * np.inf])": "",
    "WideLinearRNN(method='magic').fit(x, y)": "method",
    "WideLinearRNN(time=-1.0).fit(x, y)": "time",
    "WideLinearRNN(lags=9).fit(x, y)": "lags",
    "WideLinearRNN(lags=0).fit(x, y)": "lags",
    "WideLinearRNN(method='descent', rate=2.0).fit(x, y)": "rate",
    "WideLinearRNN(method='descent', steps=-1).fit(x, y)": "steps",
    "WideLinearRNN('gaussian').fit(x, y)": "TypeError: 'gaussian' is no initialisation",
    "WideLinearRNN().fit(x, y[:, :3])": "steps",
    "WideLinearRNN(lags=2500, method='descent').fit(x, y)": "lags=2500",
    "WideLinearRNN(k.Ring(0.1, 0.9)).fit(np.ones((1, 2100, 1)), np.ones((1, 2100, 1)))": "diagonalised",
    "WideLinearRNN().fit(x * np.nan, y)": "",
    "WideLinearRNN().fit(x, y).predict(np.ones((2, 4, 3)))": "channels",
    "WideLinearRNN().fit(x, y).predict(x * np.inf)": "",
    "WideLinearRNN().fit(x, y).learning_curve([-1.0])": "time",
    "WideLinearRNN(k.Ring(0, 1)).choose_memory(x, y)": "Gaussian",
    "WideLinearRNN().choose_memory(x, y, by='magic')": "magic",
}

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("error")
import numpy as np
np.seterr(all="ignore")
from hitherto import WideLinearRNN
from hitherto.theory.linear_bias import *
from hitherto.theory.linear_bias import Gaussian, lag_weights, log_lag_weight
from hitherto.theory import (linear_bias_delays as d, linear_bias_equations as q, linear_bias_kernels as k,
    linear_bias_nonlinear as n, linear_bias_products as p, linear_bias_summary as s, linear_bias_training as t,
    linear_bias_width as w)
x, y = np.arange(8.0).reshape(2, 4, 1), np.ones((2, 4, 1))
equations = q.normal_equations(x, y)
modes = t.training_modes(equations, np.ones(4))
told = {}
for call in json.load(sys.stdin):
    try:
        told[call] = ["nothing", repr(eval(call))[:80]]
    except Exception as error:
        told[call] = [type(error).__name__, str(error)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def refusals():
    import json

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(BAD)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("call", BAD)
def test_bad_input_is_refused_by_name(refusals, call):
    kind, message = refusals[call]
    assert kind == ("TypeError" if BAD[call].startswith("TypeError") else "ValueError"), (kind, message)
    assert BAD[call] in f"{kind}: {message}"
    assert "; " in message or "and the data over" in message, message  # and what to do
