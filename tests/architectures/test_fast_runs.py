"""`run`, which is arranged for speed, is the scan of `step`, which is the definition; derivatives too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import thinned

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Hidden, HiddenAndCell, Recurrence, build

LAYERS = (
    RNN(3, 4),
    RNN(3, 1, activation="relu"),
    RNN(3, 4, 2, bias=False, clip=0.4, output_activation="sigmoid"),
    RNN(3, 4, output_activation="relu", activation="linear"),
    RNN(3, 4, 2, parametrisation="ntk", variance=1.3),
    RNN(3, 4, 2, parametrisation="mean_field"),
    LSTM(3, 4),
    LSTM(3, 1, 2, bias=False),
    LSTM(3, 4, 2, projection=2, peephole=True, clip=0.7),
    LSTM(3, 4, coupled=True, gate_activation="hard_sigmoid(0.2,0.5)", cell_activation="softsign"),
    GRU(3, 4),
    GRU(3, 4, 2, clip=0.5, bias=False),
    GRU(3, 1, reset="before"),
    GRU(3, 4, 2, reset="before", bias=False, clip=0.5),
)
X = np.random.default_rng(0).standard_normal((2, 5, 3))


def random_weights(layer, seed=1):
    """Every weight normal, with a random start of the state among them."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(w.shape) for name, w in build(layer).weights.items()}
    visible = rng.standard_normal(layer.visible_size)
    cell = {"initial_c": rng.standard_normal(layer.width)} if isinstance(layer, LSTM) else {}
    return weights | {"initial_h": visible} | cell


def by_run(layer, weights, x):
    return layer.run(weights, layer.start(weights), x)


def by_steps(layer, weights, x):
    return Recurrence.run(layer, weights, layer.start(weights), x)


def double(tree):
    return jax.tree.map(jnp.asarray, tree)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class TestRun:
    @pytest.mark.parametrize("layer", thinned(LAYERS, 2), ids=str)
    def test_states_and_outputs(self, layer):
        weights = double(random_weights(layer))
        for length in (5, 1, 0):
            fast, slow = (f(layer, weights, jnp.asarray(X[0, :length])) for f in (by_run, by_steps))
            assert fast[1].shape == (length, layer.output_size)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13), fast, slow)

    @pytest.mark.parametrize("layer", thinned(LAYERS, 3), ids=str)
    def test_derivatives(self, layer):
        """Of a number made of the outputs of a batch: gradient, slope and curvature along a direction."""
        weights = double(random_weights(layer))
        fast, slow = (jax.jit(derivatives, static_argnums=(0, 1))(run, layer, weights) for run in (by_run, by_steps))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), fast, slow)
        change = sum(jnp.vdot(g, wave(w)) for g, w in zip(*map(jax.tree.leaves, (fast[0], weights)), strict=True))
        np.testing.assert_allclose(change, fast[1], rtol=1e-9, atol=1e-11)
        if layer.clip is None and "hard" not in str(layer) and layer.activation != "relu":  # those have kinks
            f = jax.jit(along, static_argnums=(0, 1))
            difference = (f(by_run, layer, weights, 1e-5) - f(by_run, layer, weights, -1e-5)) / 2e-5
            np.testing.assert_allclose(fast[1], difference, rtol=1e-6, atol=1e-8)


def wave(w):
    return jnp.cos(jnp.arange(w.size, dtype=w.dtype)).reshape(w.shape)


def along(run, layer, weights, t):
    """A number made of the outputs of a batch, `t` along a direction from the weights."""
    moved = jax.tree.map(lambda w: w + t * wave(w), weights)
    return jnp.sin(jax.vmap(lambda x: run(layer, moved, x)[1])(jnp.asarray(X))).sum()


def derivatives(run, layer, weights):
    """Reverse mode, forward mode, and forward over reverse."""
    gradient = jax.grad(lambda w: along(run, layer, w, 0.0))
    curvature = jax.jvp(gradient, (weights,), (jax.tree.map(wave, weights),))[1]
    return gradient(weights), jax.jacfwd(lambda t: along(run, layer, weights, t))(0.0), curvature


def test_reverse_over_forward():
    layer, weights = LSTM(3, 4), double(random_weights(LSTM(3, 4)))
    f = lambda t: along(by_run, layer, weights, t)  # noqa: E731
    over, under = (jax.jit(kind)(0.0) for kind in (jax.jacrev(jax.jacfwd(f)), jax.jacfwd(jax.jacrev(f))))
    np.testing.assert_allclose(over, under, rtol=1e-9, atol=1e-11)


def test_output_activation_leaves_the_state_alone():
    """h[t] = U x + W h[t-1] with un-activated h; y = V relu(h)."""
    layer = RNN(3, 4, 2, activation="linear", bias=False, output_activation="relu")
    weights = {k: w for k, w in random_weights(layer).items() if k != "initial_h"}
    states, outputs = by_run(layer, double(weights), jnp.asarray(X[0]))
    h = np.zeros(4)
    for t, x in enumerate(X[0]):
        h = weights["weight_ih"] @ x + weights["weight_hh"] @ h
        np.testing.assert_allclose(states.h[t], h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(outputs[t], weights["readout"] @ np.maximum(h, 0), rtol=0, atol=1e-12)
    assert (states.h < 0).any()


def test_a_start_that_is_given_is_used():
    layer, weights = LSTM(3, 4), double(random_weights(LSTM(3, 4)))
    start = HiddenAndCell(jnp.ones(4), -jnp.ones(4))
    fast, slow = layer.run(weights, start, jnp.asarray(X[0])), Recurrence.run(layer, weights, start, jnp.asarray(X[0]))
    np.testing.assert_allclose(fast[1], slow[1], rtol=0, atol=1e-13)
    assert isinstance(RNN(3, 4).start(weights), Hidden)
