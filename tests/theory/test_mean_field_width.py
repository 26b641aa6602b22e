"""Linear networks of finite width: the law of the kernel against vectors, exact moments and simulated networks."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import oracle

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_width import (
    correlation_fluctuations,
    kernel_moments,
    log_density_of_kernel,
    one_hidden_layer,
    prior_moments,
)

ORACLE = oracle("mean_field")
UPPER = np.triu_indices(3)


def endpoint(case, **changes):
    """The problem of a vector with one label at the last of three times."""
    return Problem.pulse(np.array([[case["y2"] ** 0.5]]), (2,), 3, noise=case["kappa"], width=case["N"], **changes)


@pytest.mark.parametrize("case", ORACLE["I_finiteN_hidden1"], ids=lambda c: f"N={c['N']}, y={c['y']}")
def test_one_hidden_layer_is_an_integral(case):
    variances = {"readout_variance": case["sa2"], "input_variance": case["gv2"]}
    problem = Problem.pulse(np.array([[case["y"]]]), (0,), 1, noise=case["kappa"], width=case["N"], **variances)
    mean, share = one_hidden_layer(problem)
    assert mean == pytest.approx(case["E_c"], abs=1e-8)
    assert share * case["y"] == pytest.approx(case["E_f"], abs=1e-8)


@pytest.mark.parametrize("case", ORACLE["J_finiteN_T3_mcmc"], ids=lambda c: f"N={c['N']}, y2={c['y2']:.3g}")
def test_sampled_kernels_have_the_moments_of_the_vectors(case):
    found = kernel_moments(endpoint(case), 30_000)
    size = np.array([name.startswith("|") for name in case["names"][:6]])
    mean, error = (
        np.where(size, of_size[UPPER], of_value[UPPER])
        for of_size, of_value in ((found.magnitude, found.kernel), (found.magnitude_error, found.kernel_error))
    )
    y = case["y2"] ** 0.5
    mean, error = np.append(mean, found.outputs[2] / y), np.append(error, found.outputs_error[2] / y)
    assert found.effective > 0.3
    assert (np.abs(mean - case["mean"]) < 5 * np.hypot(error, case["se"])).all()


def test_kernels_at_one_time_agree_with_the_integral():
    problem = Problem.pulse(np.array([[1.5]]), (0,), 1, noise=0.3, width=4)
    found, (mean, share) = kernel_moments(problem, 20_000), one_hidden_layer(problem)
    assert abs(found.kernel[0, 0] - mean) < 5 * found.kernel_error[0, 0]
    assert abs(found.outputs[0, 0] - 1.5 * share) < 5 * found.outputs_error[0, 0]


@pytest.mark.parametrize("case", ORACLE["J_prior_moments"], ids=lambda c: f"N={c['N']}")
def test_prior_moments_are_exact(case):
    found = prior_moments(case["N"], 1, 1)
    assert found["C33"] == pytest.approx(case["E_C33_over_v2g4"], rel=1e-14)
    assert found["C12_squared"] == pytest.approx(case["E_C12sq_over_v4g2"], rel=1e-14)


def test_prior_moments_are_those_of_drawn_weights():
    rng, width, g2, v2 = np.random.default_rng(0), 5, 1.3, 0.7
    w = rng.standard_normal((200_000, width, width)) * (g2 / width) ** 0.5
    first = rng.standard_normal((200_000, width)) * v2**0.5
    second = np.einsum("dij,dj->di", w, first)
    third = np.einsum("dij,dj->di", w, second)
    found = prior_moments(width, g2, v2)
    values = {"C33": (third**2).mean(1), "C12_squared": (first * second).mean(1) ** 2}
    for name, value in values.items():
        assert abs(value.mean() - found[name]) < 5 * value.std() / len(value) ** 0.5


def test_without_a_signal_kernels_have_the_prior_moments():
    problem = Problem.pulse(np.array([[0.0]]), (2,), 3, noise=1e6, width=6)
    found, exact = kernel_moments(problem, 30_000), prior_moments(6, 1, 1)
    assert abs(found.kernel[2, 2] - exact["C33"]) < 5 * found.kernel_error[2, 2]


def test_the_density_is_mirror_symmetric_and_keeps_to_positive_kernels():
    problem = endpoint(ORACLE["J_finiteN_T3_mcmc"][0])
    kernel = np.array([[1.6, 0.5, 0.3], [0.5, 2.8, 1.2], [0.3, 1.2, 4.9]])
    turn = np.diag([1.0, -1, 1])
    assert log_density_of_kernel(problem, kernel) == pytest.approx(
        log_density_of_kernel(problem, turn @ kernel @ turn), rel=1e-12
    )
    assert log_density_of_kernel(problem, kernel - 2 * np.eye(3)) == -np.inf


def test_the_density_counts_outputs():
    """Two outputs with the same label are one label larger by the root of two, but for the term of order 1."""
    kernel = np.array([[1.6, 0.5], [0.5, 2.8]])
    single = Problem.pulse(np.array([[2**0.5]]), (1,), 2, width=5)
    twofold = single.with_(labels=np.ones((1, 2)))
    gap = log_density_of_kernel(single, kernel) - log_density_of_kernel(twofold, kernel)
    assert gap == pytest.approx(0.5 * np.log(2.8 + 0.1), rel=1e-12)


def test_fluctuations_are_those_of_untrained_networks_at_gain_1():
    rng, width = np.random.default_rng(1), 100
    h = [rng.standard_normal((2000, width))]
    w = rng.standard_normal((2000, width, width)) / width**0.5
    for _ in range(2):
        h.append(np.einsum("dij,dj->di", w, h[-1]))
    one = [np.sum(a * b, 1) / width for a, b in pairwise(h)]
    rho = np.stack(one, 1)
    drawn = rho[:, :, None] * rho[:, None]
    error = drawn.std(0) / len(rho) ** 0.5
    wanted = correlation_fluctuations(1, 2, width)
    assert np.allclose(wanted * width, [[1, 1], [1, 2]])
    assert (np.abs(drawn.mean(0) - wanted) < 5 * error + 3 * wanted / width).all()


def test_fluctuations_grow_toward_the_transition():
    assert np.diagonal(correlation_fluctuations(1.5, 2, 1)) == pytest.approx([4 / 3, 4])
    with pytest.raises(ValueError, match="stable below 2"):
        correlation_fluctuations(2.0, 2, 100)


def test_what_has_no_such_law_is_refused():
    with pytest.raises(ValueError, match="holds for linear networks"):
        kernel_moments(endpoint(ORACLE["J_finiteN_T3_mcmc"][0], activation="tanh"))
    with pytest.raises(ValueError, match="from width 3 on"):
        kernel_moments(endpoint(ORACLE["J_finiteN_T3_mcmc"][0]).with_(width=2))
    with pytest.raises(ValueError, match="at most 6 entries"):
        kernel_moments(Problem.pulse(np.ones((1, 1)), (6,), 7, width=9))
    with pytest.raises(ValueError, match="give 1"):
        one_hidden_layer(endpoint(ORACLE["J_finiteN_T3_mcmc"][0]))
