"""Stacks with skips and the untied twin, against plain loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, Untied
from hitherto.core.model import Model, build, states_and_outputs

X = np.random.default_rng(0).standard_normal((3, 6, 3))


def slow_rnn(weights, inputs):
    """One sequence through a tanh RNN with a readout, unit by unit and step by step."""
    h, outputs = np.zeros(len(weights["weight_hh"])), []
    for x in inputs:
        a = [
            sum(w * v for w, v in zip(row, x, strict=True)) + sum(w * v for w, v in zip(back, h, strict=True)) + b + c
            for row, back, b, c in zip(
                *(weights[k] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), strict=True
            )
        ]
        h = np.tanh(a)
        outputs.append(weights["readout"] @ h if "readout" in weights else h)
    return np.array(outputs)


def random_weights(architecture, seed=0):
    """Every weight normal, biases and initial values too."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda w: 0.5 * rng.standard_normal(w.shape), build(architecture, 0, np.float64).weights)


def outputs_of(architecture, weights, inputs):
    return np.asarray(states_and_outputs(Model(architecture, weights), inputs)[1])


class TestSkips:
    def test_residual_adds_the_input_where_sizes_agree(self):
        deep = Deep((RNN(3, 4, 3), RNN(3, 5), RNN(5, 5)), skip="residual")
        weights = random_weights(deep)
        below = X[0] + slow_rnn(weights[0], X[0])
        middle = slow_rnn(weights[1], below)  # 3 channels in, 5 out: nothing to add
        np.testing.assert_allclose(
            outputs_of(deep, weights, X[0]), middle + slow_rnn(weights[2], middle), rtol=0, atol=1e-12
        )

    def test_input_is_read_beside_the_layer_below(self):
        deep = Deep((RNN(3, 4), RNN(7, 2), RNN(5, 4, 1)), skip="input")
        weights = random_weights(deep)
        signal = slow_rnn(weights[0], X[0])
        for w in weights[1:]:
            signal = slow_rnn(w, np.concatenate([signal, X[0]], 1))
        np.testing.assert_allclose(outputs_of(deep, weights, X[0]), signal, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("deep", [
        Deep((RNN(3, 3), GRU(3, 3)), skip="residual"),
        Deep((LSTM(3, 2), RNN(5, 2, 2)), skip="input"),
        Deep((RNN(3, 1), RNN(1, 1))),
    ], ids=str)  # fmt: skip
    def test_steps_make_the_run(self, deep):
        weights = random_weights(deep)
        with jax.enable_x64(True):
            prepared, state, outputs = deep.prepare(weights), deep.start(weights), []
            for x in X[0]:
                state, y = deep.step(prepared, state, jnp.asarray(x))
                outputs.append(np.asarray(y))
        np.testing.assert_allclose(outputs_of(deep, weights, X[0]), outputs, rtol=0, atol=1e-12)

    def test_none_is_the_plain_stack(self):
        deep = Deep((RNN(3, 4), RNN(4, 2)))
        weights = random_weights(deep)
        expected = slow_rnn(weights[1], slow_rnn(weights[0], X[0]))
        np.testing.assert_allclose(outputs_of(deep, weights, X[0]), expected, rtol=0, atol=1e-12)

    def test_bad_stacks_are_refused(self):
        with pytest.raises(ValueError, match=r"there is no skip 'residuel'; .*residual"):
            Deep((RNN(3, 4),), skip="residuel")
        with pytest.raises(ValueError, match=r"gives 7 channels with the 3 .*takes 4; give layer 1 input_size=7"):
            Deep((RNN(3, 4), RNN(4, 4)), skip="input")
        with pytest.raises(ValueError, match="at least one layer, but it was asked with none; give"):
            Deep(())


UNTIED = (
    Untied(RNN(3, 4, 2), 6),
    Untied(RNN(3, 4, 2), 6, share="ends"),
    Untied(LSTM(3, 2), 6),
    Untied(Deep((RNN(3, 1, 3), GRU(3, 2)), skip="residual"), 6, share="ends"),
    Deep((Untied(RNN(3, 4), 6), RNN(4, 1))),
)


def stacked(architecture, weights):
    """The weights of an untied architecture whose steps all have the same."""
    own = architecture._own(weights)
    return jax.tree.map(lambda o, w: np.stack([w] * architecture.length) if o else w, own, weights)


class TestUntied:
    @pytest.mark.parametrize("share", ["none", "ends"])
    @pytest.mark.parametrize(
        "base", [RNN(3, 4, 2, variance=2.0, parametrisation="ntk"), LSTM(3, 2), GRU(3, 4)], ids=str
    )
    def test_equal_weights_at_all_steps_make_the_base(self, base, share):
        untied, weights = Untied(base, 6, share), random_weights(base)
        expected = outputs_of(base, weights, X[0])
        np.testing.assert_allclose(outputs_of(untied, stacked(untied, weights), X[0]), expected, rtol=0, atol=1e-12)

    def test_each_step_has_its_own(self):
        untied = Untied(RNN(3, 4, 2), 6)
        weights = random_weights(untied)
        h = np.zeros(4)
        for t, x in enumerate(X[0]):
            w = {name: value[t] for name, value in weights.items()}
            h = np.tanh(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])
            y = outputs_of(untied, weights, X[0, : t + 1])[-1]  # a shorter sequence uses the first weights
            np.testing.assert_allclose(y, w["readout"] @ h, rtol=0, atol=1e-12)

    def test_shared_ends_have_no_time_axis(self):
        weights = build(Untied(RNN(3, 4, 2), 6, share="ends")).weights
        shapes = {name: w.shape for name, w in weights.items()}
        assert shapes == dict(weight_ih=(4, 3), weight_hh=(6, 4, 4), bias_ih=(6, 4), bias_hh=(6, 4), readout=(2, 4))

    def test_steps_are_drawn_independently(self):
        weight = np.asarray(build(Untied(RNN(3, 40), 2)).weights["weight_hh"])
        assert abs((weight[0] * weight[1]).mean() * 40) < 4 / 40  # 1600 products of variance 1 / 40^2
        assert abs((weight**2).mean() * 40 - 1) < 4 * np.sqrt(2 / 3200)

    def test_the_start_is_one(self):
        untied, weights = Untied(RNN(3, 4), 6), random_weights(RNN(3, 4))
        weights = stacked(untied, weights) | {"initial_h": np.full(4, 0.3)}
        after = states_and_outputs(Model(untied, weights), X[0, :1])[0]
        expected = np.tanh(
            weights["weight_ih"][0] @ X[0, 0] + weights["bias_ih"][0] + weights["weight_hh"][0] @ np.full(4, 0.3)
            + weights["bias_hh"][0]
        )  # fmt: skip
        np.testing.assert_allclose(after.h[0], expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(untied.project(weights)["initial_h"], np.full(4, 0.3))

    def test_longer_sequences_are_refused(self):
        model = build(Untied(RNN(3, 4), 2))
        with pytest.raises(ValueError, match=r"of 2 steps was given a sequence of 3, .*; shorten .*length=3"):
            states_and_outputs(model, X[0, :3].astype(np.float32))

    def test_bad_settings_are_refused(self):
        with pytest.raises(ValueError, match=r"length=0, but it needs at least one step"):
            Untied(RNN(3, 4), 0)
        with pytest.raises(ValueError, match=r"there is no share 'end'; .*ends"):
            Untied(RNN(3, 4), 2, share="end")


@pytest.mark.parametrize("architecture", [*UNTIED, Deep((RNN(3, 3), RNN(3, 3)), "residual")], ids=str)
class TestEvery:
    def test_jit_batches_and_precision(self, architecture):
        weights = random_weights(architecture)
        narrow = jax.tree.map(lambda w: w.astype(np.float32), weights)
        alone = np.stack([outputs_of(architecture, weights, x) for x in X])
        run = lambda x: architecture.run(narrow, architecture.start(narrow), x)[1]  # noqa: E731
        batch = jax.jit(jax.vmap(run))(jnp.asarray(X, jnp.float32))
        np.testing.assert_allclose(batch, alone, rtol=0, atol=1e-5)
        with jax.disable_jit():
            np.testing.assert_allclose(run(jnp.asarray(X[0], jnp.float32)), alone[0], rtol=0, atol=1e-5)

    def test_short_sequences(self, architecture):
        weights = random_weights(architecture)
        whole = outputs_of(architecture, weights, X[0])
        np.testing.assert_allclose(outputs_of(architecture, weights, X[0, :1]), whole[:1], rtol=0, atol=1e-12)
        assert outputs_of(architecture, weights, X[0, :0]).shape == (0, architecture.output_size)

    def test_gradients(self, architecture):
        weights = random_weights(architecture)
        with jax.enable_x64(True):
            x, weights = jnp.asarray(X[0]), jax.tree.map(jnp.asarray, weights)

            def loss(weights, x):
                return (architecture.run(weights, architecture.start(weights), x)[1] ** 2).sum()

            direction = jax.tree.map(
                lambda w: jnp.cos(jnp.arange(w.size, dtype=w.dtype)).reshape(w.shape), (weights, x)
            )
            gradient = jax.grad(loss, (0, 1))(weights, x)
            slope = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
            moved = [jax.tree.map(lambda w, d, e=e: w + e * d, (weights, x), direction) for e in (1e-5, -1e-5)]
            np.testing.assert_allclose(slope, (loss(*moved[0]) - loss(*moved[1])) / 2e-5, rtol=1e-6)


def test_both_directions_pass_settings_through():
    both = Bidirectional(RNN(3, 4, 2, parametrisation="ntk"), RNN(3, 4, 2, output_activation="relu"))
    weights = random_weights(both)
    ahead = outputs_of(both.forward, weights[0], X[0])
    back = outputs_of(Backward(both.backward), weights[1], X[0])
    np.testing.assert_allclose(outputs_of(both, weights, X[0]), np.concatenate([ahead, back], 1), rtol=0, atol=1e-12)
