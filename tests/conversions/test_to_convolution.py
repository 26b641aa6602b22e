"""Convolutions that learn as wide linear networks do: the same function, the same steps, the same refusals."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hitherto
from hitherto.architectures.convolution import Convolution
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.conversions.to_convolution import to_convolution
from hitherto.core.model import Model, build, precision, states_and_outputs
from hitherto.measures.linear_response import markov_parameters
from hitherto.measures.tangent_kernel import memory_prior
from hitherto.theory.linear_bias import lag_weights

PLAIN = RNN(1, 16, 1, "linear", bias=False, parametrisation="ntk", variance=0.5)
WIDE = RNN(2, 400, 2, "linear", bias=False, parametrisation="ntk_unit", variance=0.6, readout_variance=2.0)


def fresh(layer=PLAIN, seed=0):
    return build(layer, seed, np.float64)


@pytest.mark.parametrize("kind", ["ntk", "ntk_unit", "standard"])
def test_the_same_function_up_to_the_last_lag(kind):
    model = fresh(replace(WIDE, parametrisation=kind, width=20))
    found, told = to_convolution(model, 7)
    np.testing.assert_allclose(markov_parameters(found, 7), markov_parameters(model, 7), rtol=0, atol=1e-12)
    x = np.random.default_rng(0).standard_normal((7, 2))
    np.testing.assert_allclose(states_and_outputs(found, x)[1], states_and_outputs(model, x)[1], atol=1e-11)
    assert found.architecture == Convolution(2, 2, tuple(told.rho))
    assert found.dtype == np.float64
    assert told.lags == 7


@pytest.mark.parametrize("kind", ["ntk", "ntk_unit", "standard"])
def test_rho_is_what_moves_the_network(kind):
    """Its own kernel: the same at lag 0, where no matrix is multiplied, and near at later lags."""
    model = fresh(replace(WIDE, parametrisation=kind))
    told = to_convolution(model, 8).certificate
    own = memory_prior(model, 8).value
    assert told.rho[0] == pytest.approx(own[0], rel=1e-12)
    np.testing.assert_allclose(told.rho, own, rtol=0.2)
    np.testing.assert_array_equal(told.rho, lag_weights(told.initialisation, 8))


def test_rho_is_what_moves_the_convolution():
    found, told = to_convolution(fresh(), 6)
    kernel = hitherto.response_kernel(found, 6)[..., 0, 0, 0, 0]
    np.testing.assert_allclose(kernel, np.diag(told.rho), rtol=1e-12, atol=1e-12)


def test_the_tail_is_the_sum_over_all_later_lags():
    model = fresh(replace(WIDE, width=12, variance=0.3))
    energy = np.square(markov_parameters(model, 3000)).sum((1, 2))
    for lags in (1, 4, 20):
        told = to_convolution(model, lags).certificate
        assert told.tail == pytest.approx(energy[lags:].sum(), rel=1e-10)
        assert told.lost == pytest.approx(energy[lags:].sum() / energy.sum(), rel=1e-10)


def test_memory_that_ends_has_no_tail_and_one_that_stays_an_infinite_one():
    model = fresh()
    shift = np.diag(np.ones(15), -1) * 4.0  # units over sqrt(16): a delay line
    line = Model(model.architecture, model.weights | {"weight_hh": shift})
    assert to_convolution(line, 16).certificate.tail == 0
    assert to_convolution(line, 15).certificate.tail > 0
    for growth in (1.0, 1.1):
        turning = Model(model.architecture, model.weights | {"weight_hh": 4 * growth * np.eye(16)})
        told = to_convolution(turning, 3).certificate
        assert (told.tail, told.lost) == (np.inf, 1.0)


def test_cautions_name_what_breaks_the_limit():
    assert to_convolution(fresh(), 4).certificate.cautions == ()
    assert to_convolution(fresh(), 4).certificate.horizon == 4
    long = to_convolution(fresh(), 30).certificate.cautions
    assert any("beyond sqrt(width)" in caution for caution in long)
    [first] = to_convolution(fresh(replace(PLAIN, parametrisation="standard")), 4).certificate.cautions
    assert "first step" in first
    coupled = to_convolution(fresh(replace(PLAIN, initialisation="identity")), 4).certificate
    assert coupled.coupling == pytest.approx(1)
    assert any("coupled" in caution for caution in coupled.cautions)


# ---------------------------------------------------------------- training

STEPS, LENGTH, RATE = 10, 6, 0.2
X = np.random.default_rng(1).standard_normal((8, LENGTH))
LAGGED = np.stack([np.pad(X, ((0, 0), (j, 0)))[:, :LENGTH] for j in range(LENGTH)], -1).reshape(-1, LENGTH)
TARGET = LAGGED @ np.array([0.8, 0.0, 1.0, -0.5, 0.0, 0.0])


@partial(jax.jit, static_argnums=0)
def responses(architecture, weights):
    """L before every step of gradient descent and after the last, (step, lag), on squared errors over all steps of X;
    of a linear model the outputs are the lagged inputs times L, its outputs after an impulse."""

    def response(weights):
        return architecture.run(weights, architecture.start(weights), jnp.eye(LENGTH, 1))[1][:, 0]

    def loss(weights):
        return ((LAGGED @ response(weights) - TARGET) ** 2).mean() / 2

    def step(weights, _):
        after = jax.tree.map(lambda w, slope: w - RATE * slope, weights, jax.grad(loss)(weights))
        return after, response(after)

    return jnp.concatenate([response(weights)[None], jax.lax.scan(step, weights, length=STEPS)[1]])


def difference(model, other):
    """Largest |L - L'| after any step of training, over how far the first went."""
    with precision(np.float64):
        one, two = (np.asarray(responses(m.architecture, m.weights)) for m in (model, other))
    np.testing.assert_allclose(one[0], two[0], atol=1e-12)
    return np.linalg.norm(one - two, axis=1).max() / np.linalg.norm(one[-1] - one[0])


def gap(width, seed):
    model = fresh(replace(PLAIN, width=width), seed)
    return difference(model, to_convolution(model, LENGTH).model)


@pytest.mark.slow
def test_training_is_the_same_up_to_the_root_of_the_width():
    gaps = {width: [gap(width, seed) for seed in range(draws)] for width, draws in {64: 12, 256: 8, 1024: 2}.items()}
    assert all(max(found) < 3 / np.sqrt(width) for width, found in gaps.items())
    slope = np.polyfit(np.log([*gaps]), np.log([np.mean(found) for found in gaps.values()]), 1)[0]
    assert -0.75 < slope < -0.3


def test_other_weights_are_not_the_same():
    """The taps without their weights, and at a rate of the mean weight: the equality is no triviality."""
    model = fresh(replace(PLAIN, width=256))
    found, told = to_convolution(model, LENGTH)
    for weight in (1.0, float(told.rho.mean())):
        level = Convolution(1, 1, (weight,) * LENGTH)
        taps = found.weights["taps"] * np.sqrt(told.rho / weight)[:, None, None]
        assert difference(model, Model(level, {"taps": taps})) > 3 * gap(256, 0)


# ---------------------------------------------------------------- refusals


def biased(name, shape):
    model = fresh()
    return Model(model.architecture, model.weights | {name: np.ones(shape)})


@pytest.mark.parametrize(
    ("model", "lags", "said"),
    [
        (fresh(), 0, "lags=0; give a whole number"),
        (fresh(), True, "lags=True"),
        (fresh(replace(PLAIN, activation="tanh")), 3, "tanh is not linear; give activation='linear'"),
        (fresh(replace(PLAIN, output_activation="relu")), 3, "relu is not linear"),
        (fresh(replace(PLAIN, clip=1.0)), 3, "clip=1.0"),
        (fresh(replace(PLAIN, norm_limit=1.0)), 3, "norm_limit"),
        (fresh(replace(PLAIN, readout_size=None)), 3, "no readout"),
        (fresh(replace(PLAIN, bias=True)), 3, "further input that is always 1"),
        (biased("readout_bias", 1), 3, "further input that is always 1"),
        (biased("initial_h", 16), 3, "leave initial_h out"),
        (biased("weight_ih", (2, 1)), 3, "weight_ih"),
        (fresh(replace(PLAIN, parametrisation="mean_field")), 3, "leaves the kernel regime"),
        (build(Deep((replace(PLAIN, readout_size=None), replace(PLAIN, input_size=16)))), 3, "one dense linear layer"),
        (fresh(replace(PLAIN, variance=0.0)), 3, "weight of lag 2 is 0 in float64.*at most 2 lags"),
        (fresh(replace(PLAIN, variance=1e-3)), 300, r"weight of lag 1\d\d is 0"),
        (fresh(replace(PLAIN, input_variance=0.0, readout_variance=0.0)), 3, "learns no lag"),
    ],
)
def test_refusals(model, lags, said):
    with pytest.raises(ValueError, match=said):
        to_convolution(model, lags)


def test_the_last_lag_that_is_named_can_be_had():
    assert to_convolution(fresh(replace(PLAIN, variance=0.0)), 2).certificate.lags == 2
