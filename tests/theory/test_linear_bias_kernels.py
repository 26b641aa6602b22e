"""Lag kernels of all starts, against exact vectors, sums of positive terms, quadrature and wide samples."""

import math
import re
from math import comb

import numpy as np
import pytest
from linear_bias_networks import cases, finite_kernel, number
from scipy.integrate import quad

from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    Orthogonal,
    RealModes,
    Ring,
    Stacked,
    StepSizes,
    correlation,
    kernel_diagonal,
    lag_kernel,
    numerical_rank,
)
from hitherto.theory.linear_bias_modes import Modes, polar, uniform_nodes
from hitherto.theory.linear_bias_moments import mean_step_power

KERNELS = cases("lag_kernels")
STARTS = [
    Gaussian(0.8, 0.6, 1.3),
    Orthogonal(0.9, 0.6, 1.3),
    Leaky(0.5, 0.3, 0.6, 1.3),
    Leaky(-0.5, 0.3, 0.6, 1.3),
    Leaky(1),
    Ring(0.2, 0.9, 0.6, 1.3),
    RealModes(0.2, 0.9, 0.6, 1.3),
    LRU(0.2, 0.9, 0.6, 1.3),
    StepSizes(0.01, 1, 0.6, 1.3),
    Stacked((0.3, 0.7, 0.5), 0.8, 0.6, 1.3),
]


def variances(case):
    return case["nu_F"], case["nu_C"]


def test_dense_starts_are_exact():
    case = KERNELS["identity"]
    np.testing.assert_allclose(lag_kernel(Leaky(case["a"], 0, *variances(case)), 5), case["theta"], rtol=1e-12)
    case = KERNELS["leaky"]
    start = Leaky(case["a"], math.sqrt(number(case["g_squared"])), *variances(case))
    np.testing.assert_allclose(lag_kernel(start, 5), case["theta"], rtol=1e-12)


def test_modes_are_exact():
    case = KERNELS["ring"]
    start = Ring(number(case["r2_min"]), number(case["r2_max"]), *variances(case))
    np.testing.assert_allclose(kernel_diagonal(start, 6), case["rho"], rtol=1e-12)
    case = KERNELS["real_uniform"]
    np.testing.assert_allclose(lag_kernel(RealModes(0, 1, *variances(case)), 5), case["theta"], rtol=1e-12)
    for case in KERNELS["lru"]:
        found = lag_kernel(LRU(case["r2_min"], case["r2_max"], *variances(case)), case["lag"] + 1)
        assert found[-1, -1] == pytest.approx(case["theta_diag"], rel=1e-12)
    for case in KERNELS["s4d_modulus"]:
        found = mean_step_power(case["dt_min"], case["dt_max"], case["lag"] + 1)
        assert found[-1] == pytest.approx(case["mean"], rel=1e-12)


@pytest.mark.parametrize("case", KERNELS["deep"], ids=lambda case: f"{len(case['nus'])} layers")
def test_stacks_are_exact(case):
    start = Stacked(tuple(case["nus"]), case["nu_B"], *variances(case))
    np.testing.assert_allclose(kernel_diagonal(start, case["T"]), case["rho"], rtol=1e-12)


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_kernels_are_symmetric_and_nonnegative(start):
    kernel = lag_kernel(start, 12)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-14)
    eigenvalues = np.linalg.eigvalsh(kernel)
    assert eigenvalues[0] > -1e-13 * eigenvalues[-1]
    np.testing.assert_allclose(kernel_diagonal(start, 12), np.diagonal(kernel), rtol=1e-14)
    np.testing.assert_allclose(lag_kernel(start, 5), kernel[:5, :5], rtol=1e-14)
    np.testing.assert_allclose(lag_kernel(start, 1), kernel[:1, :1], rtol=1e-14)
    assert np.abs(correlation(kernel)).max() < 1 + 1e-12


@pytest.mark.parametrize(("leak", "gain"), [(0.5, 0.3), (-0.5, 0.3), (-0.2, 0), (0, 0.8), (0.9, 0.4)])
def test_leaky_is_the_sum_over_paths(leak, gain):
    lags, nu_F, nu_C = 7, 0.6, 1.3
    powers = np.array([[comb(j, k) * leak ** max(j - k, 0) * gain**k for k in range(lags)] for j in range(lags)])
    gram = powers @ powers.T
    truth = (nu_F + nu_C) * gram
    for j in range(lags):
        for other in range(lags):
            paths = [gram[k, m] * gram[j - 1 - k, other - 1 - m] for k in range(j) for m in range(other)]
            truth[j, other] += nu_F * nu_C * sum(paths)
    np.testing.assert_allclose(lag_kernel(Leaky(leak, gain, nu_F, nu_C), lags), truth, rtol=1e-13, atol=1e-300)


def test_families_meet():
    weights = lag_weights(Gaussian("0.49", 0.6, 1.3), 40)
    for start in (Orthogonal("0.7", 0.6, 1.3), Leaky(0, "0.7", 0.6, 1.3), Stacked(("0.49",), 1, 0.6, 1.3)):
        np.testing.assert_allclose(lag_kernel(start, 40), np.diag(weights), rtol=1e-13)
    assert numerical_rank(lag_kernel(Leaky(0.9), 50), 1e-12) == 2
    j = np.arange(40)
    thin = 1.9 * 0.8**j + 0.78 * j**2 * 0.8 ** (j - 1.0)
    np.testing.assert_allclose(kernel_diagonal(Ring(0.8, 0.8, 0.6, 1.3), 40), thin, rtol=1e-13)


@pytest.mark.parametrize("nu_B", [0, 0.7])
def test_equal_layers_have_binomial_weights(nu_B):
    j, nu, a, c = np.arange(30), 0.9, 1.9, 0.78
    for layers in (2, 3, 4):
        start = kernel_diagonal(Stacked((nu,) * layers, nu_B, 0.6, 1.3), 30)
        paths = np.array([comb(k + layers - 1, layers - 1) for k in j])
        moved = np.array([comb(k + layers - 1, layers) for k in j])
        truth = nu_B ** (layers - 1) * (a * paths * nu**j + layers * c * moved * nu ** (j - 1.0))
        truth += (layers - 1) * nu_B ** (layers - 2) * c * paths * nu**j
        np.testing.assert_allclose(start, truth, rtol=1e-12)


@pytest.mark.parametrize("family", [Ring, LRU, RealModes, StepSizes])
@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-9, 1e-4])
def test_narrow_ranges_tend_to_a_point(family, apart):
    point, near = (lag_kernel(family(0.7, 0.7 * (1 + width)), 60) for width in (0.0, apart))
    np.testing.assert_allclose(near, point, rtol=60 * apart + 1e-13, atol=1e-300)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.3, 0.9), (0.999, 1.0), (0.0, 1e-3)])
def test_lru_radii_by_adaptive_quadrature(low, high):
    kernel = lag_kernel(LRU(low, high), 9)

    def mean(f):
        return quad(f, low, high, epsabs=0, epsrel=1e-12)[0] / (high - low)

    diagonal = mean(lambda u: (1 - u) * u**8 * (2 + (1 + 64 * (math.log(u) ** 2 / 4 + 4 * math.pi**2 / 3)) / 2))
    assert kernel[8, 8] == pytest.approx(diagonal, rel=1e-10)
    assert kernel[8, 5] == pytest.approx(mean(lambda u: (1 - u) * u**6.5) * 40 / 9, rel=1e-10)


def test_lru_of_the_whole_disc():
    j = np.arange(50)
    fixed = np.diagonal(lag_kernel(LRU(0, 1, 1, 0), 50))
    np.testing.assert_allclose(fixed, 1 / ((j + 1) * (j + 2)), rtol=1e-12)


def test_real_modes_hold_few_lags():
    readin_alone = [numerical_rank(lag_kernel(RealModes(0, 1, 1, 0), lags)) for lags in (10, 100, 1000)]
    assert readin_alone == [6, 9, 13]
    assert [numerical_rank(lag_kernel(RealModes(), lags)) for lags in (10, 100, 1000)] == [7, 9, 10]
    assert numerical_rank(lag_kernel(Ring(0.5, 1), 100)) == 100


def test_any_diagonal_layer_by_quadrature():
    (u, phase), weights = uniform_nodes([(0.16, 0.9), (0, 2 * math.pi)], [20, 50])
    lam, one = polar(np.sqrt(u), phase), np.ones_like(u)
    ring = Modes(lam, weights, one, np.stack([one, 1j * one]), None, 0.6, 1.3)
    np.testing.assert_allclose(lag_kernel(ring, 6), lag_kernel(Ring(0.16, 0.9, 0.6, 1.3), 6), atol=1e-12)
    gain, still = np.sqrt(1 - u), 0 * lam
    motions = np.stack([np.log(np.abs(lam)) * lam, 1j * phase * lam, still])
    lru = Modes(lam, weights, gain, motions, np.stack([still, still, gain + still]), 0.6, 1.3)
    np.testing.assert_allclose(lag_kernel(lru, 6), lag_kernel(LRU(0.16, 0.9, 0.6, 1.3), 6), atol=1e-12)
    (log_step,), weights = uniform_nodes([(math.log(0.01), 0)], [60])
    lam, one = np.exp(-np.exp(log_step)), np.ones_like(log_step)
    steps = Modes(lam, weights, one, (-np.exp(log_step) * lam)[None], None, 0.6, 1.3)
    np.testing.assert_allclose(lag_kernel(steps, 20), lag_kernel(StepSizes(0.01, 1, 0.6, 1.3), 20), rtol=1e-12)


def test_a_gain_that_moves_with_its_mode():
    """Real modes lam = 1 - g whose step g is trained in both places: z_j = d(g lam^j) / dg."""
    (g,), weights = uniform_nodes([(0.1, 0.6)], [30])
    kernel = lag_kernel(Modes(1 - g, weights, g, -np.ones((1, 30)), np.ones((1, 30))), 4)

    def slope(j, g):
        return (1 - g) ** j - (j * g * (1 - g) ** (j - 1) if j else 0)

    truth = quad(lambda g: 2 * g**2 * (1 - g) ** 5 + slope(2, g) * slope(3, g), 0.1, 0.6)[0] / 0.5
    assert kernel[2, 3] == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("draw", ["gaussian", "orthogonal", "leaky"])
def test_wide_networks_come_near(draw):
    rng, width = np.random.default_rng(2), 700
    square = rng.normal(size=(width, width))
    readin, readout = rng.normal(size=(width, 1)) * math.sqrt(0.6), rng.normal(size=(1, width)) * math.sqrt(1.3)
    recurrent, start = {
        "gaussian": (0.7 * square, Gaussian(0.49, 0.6, 1.3)),
        "orthogonal": (0.7 * math.sqrt(width) * np.linalg.qr(square)[0], Orthogonal(0.7, 0.6, 1.3)),
        "leaky": (0.3 * square - 0.4 * math.sqrt(width) * np.eye(width), Leaky(-0.4, 0.3, 0.6, 1.3)),
    }[draw]
    truth = lag_kernel(start, 5)
    assert np.linalg.norm(finite_kernel(recurrent, readin, readout, 5) - truth) < 4 / math.sqrt(width) * np.linalg.norm(
        truth
    )


@pytest.mark.parametrize("family", [Ring, LRU])
def test_sampled_modes_come_near(family):
    rng, modes, lags = np.random.default_rng(3), 200_000, 5
    u, phase = rng.uniform(0.3, 0.9, modes), rng.uniform(0, 2 * math.pi, modes)
    lam = np.sqrt(u) * np.exp(1j * phase)
    c, b = ((rng.normal(size=modes) + 1j * rng.normal(size=modes)) * math.sqrt(nu / 2) for nu in (1.3, 0.6))
    gain = np.ones(modes) if family is Ring else np.sqrt(1 - u)
    j = np.arange(lags)[:, None]
    response, slope = gain * lam**j, gain * j * lam ** np.maximum(j - 1, 0) * c * b
    steps = [response * b, 1j * response * b, response * c, 1j * response * c]
    steps += [slope, 1j * slope] if family is Ring else []
    steps += [] if family is Ring else [slope * lam * np.log(np.abs(lam)), slope * lam * 1j * phase, response * c * b]
    kernel = sum(step.real @ step.real.T for step in steps) / modes
    truth = lag_kernel(family(0.3, 0.9, 0.6, 1.3), lags)
    np.testing.assert_allclose(kernel, truth, atol=0.03 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: lag_kernel(Leaky(0.5), 0), "lags needs"),
        (lambda: lag_kernel(Leaky(math.nan), 3), "leak needs a finite number"),
        (lambda: lag_kernel(Leaky(0.5, -1), 3), "gain needs a number from 0 on"),
        (lambda: lag_kernel(Ring(0.5, 0.4), 3), "|lam|^2 needs 0 <= low <= high"),
        (lambda: lag_kernel(LRU(0.5, 1.1), 3), "a high of at most 1"),
        (lambda: lag_kernel(RealModes(-0.5, 0.5), 3), "lam needs 0 <= low"),
        (lambda: lag_kernel(StepSizes(0, 0.5), 3), "dt needs 0 < low"),
        (lambda: kernel_diagonal(Stacked(()), 3), "layers needs"),
        (lambda: kernel_diagonal(Stacked((0.5, -1)), 3), "nus needs"),
        (lambda: kernel_diagonal(Stacked((50,)), 300), "too large for a float"),
        (lambda: lag_kernel(Leaky(10, 10), 300), "too large for a float"),
        (lambda: kernel_diagonal(Ring(50, 60), 300), "too large for a float"),
        (lambda: lag_kernel(RealModes(50, 60), 300), "too large for a float"),
        (lambda: mean_step_power(0.1, math.inf, 3), "finite"),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask()


def test_what_is_no_start_is_refused():
    with pytest.raises(TypeError, match="no initialisation"):
        lag_kernel("gaussian", 3)
