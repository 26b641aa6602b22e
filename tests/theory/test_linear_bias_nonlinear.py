"""Recurrent kernels with shared weights, against exact vectors, differences and a sampled network."""

import math
import re

import numpy as np
import pytest
from linear_bias_networks import array, cases
from scipy.special import erf

from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_nonlinear import Recurrent, lag_sensitivity, recurrent_kernels
from hitherto.theory.linear_bias_products import last_output_gram

ACTIVATIONS = ["linear", "erf", "relu"]


def drawn(lengths, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, channels)) for length in lengths]


@pytest.mark.parametrize("case", cases("rntk"), ids=lambda case: f"{case['phi']} {len(case['x_prime'])}")
def test_kernels_are_exact(case):
    network = Recurrent(case["phi"], *(case[f"sigma_{name}"] for name in "wubv"))
    found = recurrent_kernels(network, [array(case["x"])], [array(case["x_prime"])])
    assert found.nngp[0, 0] == pytest.approx(case["nngp"], abs=1e-12)
    assert found.ntk[0, 0] == pytest.approx(case["ntk"], abs=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_batches_are_pairs(activation):
    network, left, right = Recurrent(activation, 1.3, 0.8, 0.3, 0.9), drawn((3, 5, 1, 4)), drawn((4, 2), seed=1)
    found = recurrent_kernels(network, left, right)
    for i, x in enumerate(left):
        for k, y in enumerate(right):
            pair = recurrent_kernels(network, [x], [y])
            assert pair.ntk[0, 0] == pytest.approx(found.ntk[i, k], rel=1e-13)
            assert pair.nngp[0, 0] == pytest.approx(found.nngp[i, k], rel=1e-13)
    own = recurrent_kernels(network, left)
    np.testing.assert_allclose(own.ntk, own.ntk.T, rtol=1e-14)
    assert np.linalg.eigvalsh(own.ntk)[0] > 0
    assert np.linalg.eigvalsh(own.nngp)[0] > -1e-14


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_copies_are_equal_to_the_last_digit(activation):
    network, x = Recurrent(activation, 1.3, 0.8, 0.3, 0.9), drawn((6,), channels=7)
    twice = recurrent_kernels(network, x * 3, [x[0].copy()])
    assert len(set(twice.ntk.ravel())) == 1
    assert twice.ntk[0, 0] == recurrent_kernels(network, x).ntk[0, 0]


def test_linear_network_is_the_memory_prior():
    network, xs = Recurrent("linear", 0.9, 0.8, 0, 1.1), drawn((3, 6, 4))
    prior = lag_weights(Gaussian(0.9**2, 0.8**2, 1.1**2, "multipliers"), 6)
    found = recurrent_kernels(network, xs)
    np.testing.assert_allclose(found.ntk, last_output_gram(prior / 2, xs, xs), rtol=1e-13)
    sensitivity = lag_sensitivity(network, xs)
    np.testing.assert_allclose(sensitivity[1, 1], prior, rtol=1e-13)
    np.testing.assert_allclose(sensitivity[0, 2], np.where(np.arange(6) < 3, prior, 0), rtol=1e-13)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_sensitivity_is_the_slope_of_the_kernel(activation):
    """One step of x' turned within its sphere, into a channel of its own: norms stay, one inner product moves."""
    network = Recurrent(activation, 1.3, 0.8, 0.3, 0.9)
    x, y = np.c_[drawn((3,))[0], np.ones(3)], np.c_[drawn((4,), seed=1)[0], np.zeros(4)]
    found = lag_sensitivity(network, [x], [y])[0, 0]

    def turned(lag, angle):
        moved = y.copy()
        step = y[-1 - lag]
        moved[-1 - lag] = math.cos(angle) * step + math.sin(angle) * np.linalg.norm(step) * np.eye(3)[2]
        return recurrent_kernels(network, [x], [moved]).ntk[0, 0], x[-1 - lag] @ moved[-1 - lag] / 3

    for lag in range(3):
        above, below = turned(lag, 1e-5), turned(lag, -1e-5)
        assert found[lag] == pytest.approx((above[0] - below[0]) / (above[1] - below[1]), rel=1e-8)
    assert found[3] == 0


def test_relu_has_a_kink_at_copies():
    x = drawn((3,))
    assert np.isinf(lag_sensitivity(Recurrent("relu"), x)[0, 0]).all()
    assert np.isfinite(lag_sensitivity(Recurrent("erf"), x)).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_silence_has_no_kernel(activation):
    network, silent = Recurrent(activation), [np.zeros((4, 2))]
    found = recurrent_kernels(network, silent, drawn((5,)))
    assert (found.nngp[0, 0], found.ntk[0, 0]) == (0, 0)
    assert np.isfinite(lag_sensitivity(network, silent, drawn((5,)))).all()


@pytest.mark.parametrize(("activation", "phi"), [("erf", erf), ("relu", lambda g: np.maximum(g, 0))])
def test_initial_functions_have_the_covariance(activation, phi):
    rng, width, draws = np.random.default_rng(4), 60, 1500
    xs = drawn((3, 2), seed=5)
    answers = np.zeros((draws, 2))
    for answer in answers:
        recurrent, readin, bias, readout = (
            rng.normal(size=size) for size in ((width, width), (width, 2), width, width)
        )
        for k, x in enumerate(xs):
            state = np.zeros(width)
            for step in x:
                state = phi(
                    1.2 * recurrent @ state / math.sqrt(width) + 0.8 * readin @ step / math.sqrt(2) + 0.3 * bias
                )
            answer[k] = 0.9 * readout @ state / math.sqrt(width)
    truth = recurrent_kernels(Recurrent(activation, 1.2, 0.8, 0.3, 0.9), xs).nngp
    products = answers[:, :, None] * answers[:, None, :]
    slack = 4 * products.std(0) / math.sqrt(draws) + 3 / width * np.abs(truth).max()
    assert (np.abs(products.mean(0) - truth) < slack).all()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: Recurrent("tanh"), "no activation with a kernel in closed form 'tanh'"),
        (lambda: Recurrent("erf", -1), "sigma_w needs a number from 0 on"),
        (lambda: Recurrent("erf", sigma_b=math.nan), "sigma_b needs a finite number"),
        (lambda: recurrent_kernels(Recurrent("erf"), []), "at least one sequence"),
        (lambda: recurrent_kernels(Recurrent("erf"), [np.zeros((0, 2))]), "at least one step"),
        (lambda: recurrent_kernels(Recurrent("erf"), drawn((3,)), drawn((3,), channels=4)), "of [2, 4] channels"),
        (lambda: recurrent_kernels(Recurrent("erf"), [np.full((3, 1), np.nan)]), "inputs hold nan"),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask()
