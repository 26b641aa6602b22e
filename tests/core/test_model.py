"""Models run the same with and without jit, alone and in batches, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.convolution import Convolution
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import build, states_and_outputs, visible

ARCHITECTURES = (
    RNN(3, 4),
    RNN(3, 4, 2, "relu", bias=False),
    RNN(3, 4, activation="leaky_relu(0.1)", clip=1.0),
    LSTM(3, 4),
    LSTM(3, 4, 2, projection=2, peephole=True),
    LSTM(3, 4, coupled=True, clip=0.5, gate_activation="hard_sigmoid(0.2,0.5)"),
    GRU(3, 4),
    GRU(3, 4, reset="before", bias=False),
    Convolution(3, 2, (1.0, 0.5, 0.25)),
    Deep((LSTM(3, 4), GRU(4, 2), RNN(2, 5))),
    Bidirectional(LSTM(3, 4), LSTM(3, 4)),
    Bidirectional(GRU(3, 2), GRU(3, 2), merge="sum"),
    Deep((Bidirectional(GRU(3, 2), RNN(3, 4)), LSTM(6, 3), Backward(RNN(3, 2), order="reading"))),
)
X = np.random.default_rng(0).standard_normal((3, 7, 3)).astype(np.float32)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: type(a).__name__)
class TestArchitecture:
    def test_hash_and_equality(self, architecture):
        assert hash(architecture) == hash(architecture)
        assert architecture != RNN(1, 1)

    def test_outputs_have_the_declared_size(self, architecture):
        _, outputs = states_and_outputs(build(architecture), X[0])
        assert outputs.shape == (7, architecture.output_size)
        assert outputs.dtype == np.float32

    def test_without_jit_and_in_batches_it_is_the_same(self, architecture):
        model = build(architecture)
        alone = np.stack([states_and_outputs(model, x)[1] for x in X])
        batch = jax.jit(jax.vmap(lambda x: states_and_outputs(model, x)[1]))(X)
        np.testing.assert_allclose(batch, alone, atol=1e-6)
        with jax.disable_jit():
            np.testing.assert_allclose(states_and_outputs(model, X[0])[1], alone[0], atol=1e-6)

    def test_float64_is_not_lost_outside_the_switch(self, architecture):
        model = build(architecture, 0, np.float64)
        states, outputs = states_and_outputs(model, X[0])
        assert {leaf.dtype for leaf in jax.tree.leaves((states, outputs))} == {np.dtype(np.float64)}
        narrow = states_and_outputs(model.astype(np.float32), X[0])[1]
        np.testing.assert_allclose(outputs, narrow, atol=1e-5)

    def test_gradients_are_finite(self, architecture):
        model = build(architecture)

        def loss(weights):
            start = architecture.start(weights)
            return (architecture.run(weights, start, jnp.asarray(X[0]))[1] ** 2).sum()

        assert all(np.isfinite(g).all() for g in jax.tree.leaves(jax.grad(loss)(model.weights)))


def test_a_run_can_be_split_at_any_step():
    model = build(Deep((LSTM(3, 4), GRU(4, 2))))
    states, whole = states_and_outputs(model, X[0])
    middle = jax.tree.map(lambda s: s[3], states)
    _, rest = states_and_outputs(model, X[0, 4:], middle)
    np.testing.assert_allclose(rest, whole[4:], atol=1e-6)


def test_visible_is_h_and_everything_where_nothing_is_called_h():
    states, _ = states_and_outputs(build(LSTM(3, 4)), X[0])
    assert [h.shape for h in visible(states)] == [(7, 4)]
    assert len(visible((np.zeros(2), np.zeros(3)))) == 2


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="takes 3 input channels, the inputs have 5"):
        states_and_outputs(build(RNN(3, 4)), np.zeros((7, 5)))


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="layer 0 gives 4 channels, layer 1 takes 5"):
        Deep((RNN(3, 4), RNN(5, 2)))
