"""Losses and scores against plain sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, states_and_outputs
from hitherto.core.task import Sequences
from hitherto.training._losses import batch_loss, scores

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(7, 5, 2)).astype(np.float32)
MASK = RNG.random((7, 5)) < 0.5
ARCHITECTURE = RNN(2, 3, 3)
WEIGHTS = ARCHITECTURE.init(jax.random.key(0))
OUTPUTS = np.stack([states_and_outputs(Model(ARCHITECTURE, WEIGHTS), x)[1] for x in INPUTS])


def test_squared_loss_ignores_what_is_not_asked():
    targets = np.where(MASK[..., None], RNG.normal(size=(7, 5, 3)), np.nan).astype(np.float32)
    batch = Sequences(INPUTS, targets, MASK)
    loss, gradients = jax.value_and_grad(lambda w: batch_loss(ARCHITECTURE, "squared", w, batch))(WEIGHTS)
    np.testing.assert_allclose(loss, ((OUTPUTS - targets)[MASK] ** 2).mean(), rtol=1e-5)
    assert all(jnp.isfinite(g).all() for g in gradients.values())


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_scores_of_classes(at_once):
    targets = RNG.integers(3, size=(7, 5))
    found = scores(ARCHITECTURE, "cross_entropy", WEIGHTS, Sequences(INPUTS, targets, MASK), at_once)
    logs = OUTPUTS - np.log(np.exp(OUTPUTS).sum(-1, keepdims=True))
    right = OUTPUTS.argmax(-1) == targets
    np.testing.assert_allclose(found.loss, -np.take_along_axis(logs, targets[..., None], -1)[MASK].mean(), rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, right[MASK].mean(), rtol=1e-6)
    np.testing.assert_allclose(found.sequence_accuracy, (right | ~MASK).all(1).mean(), rtol=1e-6)


def test_a_batch_without_asked_steps_has_loss_zero():
    batch = Sequences(INPUTS, np.zeros((7, 5), int), np.zeros_like(MASK))
    assert batch_loss(ARCHITECTURE, "cross_entropy", WEIGHTS, batch) == 0
