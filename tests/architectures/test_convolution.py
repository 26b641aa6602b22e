"""The weighted convolution: fast runs are the scan of its step, and it is linear with the response it was given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.convolution import Convolution
from hitherto.core.model import Model, Recurrence, build, states_and_outputs
from hitherto.measures.linear_response import markov_parameters
from hitherto.measures.linear_system import is_linear, linear_system
from hitherto.measures.tangent_kernel import response_kernel

LAYERS = (Convolution(2, 3, (2.0, 1.0, 0.0, 0.25)), Convolution(1, 1, (4.0,)), Convolution(1, 2, (1.0,) * 9))


def weights_of(layer, seed=0):
    """Random taps, and inputs from before the first."""
    rng = np.random.default_rng(seed)
    shape = (layer.lags, layer.output_size, layer.input_size)
    return {"taps": rng.standard_normal(shape), "initial_h": rng.standard_normal(layer.lags * layer.input_size)}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_run_is_the_scan_of_step(layer):
    with jax.enable_x64(True):
        weights = jax.tree.map(jnp.asarray, weights_of(layer))
        for length in (0, 1, 6):
            x = jnp.asarray(np.random.default_rng(1).standard_normal((length, layer.input_size)))
            fast, slow = (run(layer, weights, layer.start(weights), x) for run in (Convolution.run, Recurrence.run))
            assert fast[1].shape == (length, layer.output_size)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13), fast, slow)


def test_outputs_are_the_sum_over_lags():
    layer, rng = LAYERS[0], np.random.default_rng(2)
    taps, x = rng.standard_normal((4, 3, 2)), rng.standard_normal((7, 2))
    scale = np.sqrt([2.0, 1.0, 0.0, 0.25])
    expected = [sum(scale[j] * taps[j] @ x[t - j] for j in range(min(t + 1, 4))) for t in range(7)]
    np.testing.assert_allclose(states_and_outputs(Model(layer, {"taps": taps}), x)[1], expected, atol=1e-13)


def test_a_run_can_be_split():
    layer = LAYERS[0]
    model = Model(layer, weights_of(layer))
    x = np.random.default_rng(3).standard_normal((9, 2))
    states, outputs = states_and_outputs(model, x)
    for cut in (1, 3, 6):
        later = states_and_outputs(model, x[cut:], jax.tree.map(lambda s, last=cut - 1: s[last], states))[1]
        np.testing.assert_allclose(later, outputs[cut:], atol=1e-13)


def test_it_is_linear_and_forgets_all_beyond_its_lags():
    layer = LAYERS[0]
    model = Model(layer, {"taps": weights_of(layer)["taps"]})
    assert is_linear(model)
    found = markov_parameters(model, 6)
    np.testing.assert_array_equal(found[:4], np.sqrt([2.0, 1.0, 0.0, 0.25])[:, None, None] * model.weights["taps"])
    assert not found[4:].any()
    assert linear_system(model).radius == 0


def test_every_lag_moves_at_its_weight():
    kernel = response_kernel(Model(LAYERS[0], {"taps": weights_of(LAYERS[0])["taps"]}), 5)
    flat = kernel.transpose(0, 2, 4, 1, 3, 5).reshape(30, 30)
    np.testing.assert_allclose(flat, np.diag(np.repeat([2.0, 1.0, 0.0, 0.25, 0.0], 6)), atol=1e-14)


def test_fresh_outputs_have_variance_one():
    model = build(Convolution(3, 2000, (2.0, 1.0, 0.5)), 0, np.float64)
    response = np.asarray(markov_parameters(model, 3))
    assert np.square(response).sum((0, 2)).mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("weights", [(), (1.0, -0.1), (0.0, 0.0), (np.inf,), (np.nan, 1.0), (1e308, 1e308)])
def test_impossible_lag_weights(weights):
    with pytest.raises(ValueError, match=rf"with {len(weights)} lag weights"):
        Convolution(1, 1, weights)


def test_impossible_sizes():
    with pytest.raises(ValueError, match="readout_size=0"):
        Convolution(1, 0, (1.0,))


def test_long_settings_are_cut_in_names():
    assert str(LAYERS[2]) == "Convolution(input_size=1, readout_size=2, lag_weights=(1.0, 1.0, 1.0, 1.0, .. 9))"
