"""Losses of a model on sequences of a task."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from hitherto.core.model import Architecture, Weights
from hitherto.core.task import Sequences


class Scores(NamedTuple):
    """Means over asked steps; `sequence_accuracy` over sequences. The accuracies are 0 for a squared loss."""

    loss: Any
    accuracy: Any
    sequence_accuracy: Any


class Sums(NamedTuple):
    """Sums over the steps that are asked for in one sequence; `whole` is 1 if all of them are right."""

    asked: Any
    loss: Any
    right: Any
    whole: Any


def sums(architecture: Architecture, loss: str, weights: Weights, sequence: Sequences) -> Sums:
    """What one sequence (without the leading axis) adds to the scores."""
    inputs, targets, mask = sequence
    outputs = architecture.run(weights, architecture.start(weights), inputs)[1]
    if loss == "squared":
        # Masked before it is squared: where(mask, error**2, 0) has NaN gradients if an unasked target is NaN.
        errors = jnp.mean(jnp.where(mask[:, None] != 0, outputs - targets, 0) ** 2, -1) * mask.astype(outputs.dtype)
        right = jnp.zeros_like(mask)
    else:
        errors = jnp.where(mask, optax.softmax_cross_entropy_with_integer_labels(outputs, targets), 0)
        right = mask & (jnp.argmax(outputs, -1) == targets)
    return Sums(mask.sum(), errors.sum(), right.sum(), jnp.all(right == mask))


def batch_loss(architecture: Architecture, loss: str, weights: Weights, batch: Sequences) -> Array:
    """The mean over asked steps of all sequences."""
    found = jax.vmap(lambda sequence: sums(architecture, loss, weights, sequence))(batch)
    return found.loss.sum() / jnp.maximum(found.asked.sum(), 1)


def scores(architecture: Architecture, loss: str, weights: Weights, held_out: Sequences, at_once: int) -> Scores:
    """Scores of a whole set, `at_once` sequences at a time."""
    found = jax.lax.map(lambda s: sums(architecture, loss, weights, s), held_out, batch_size=at_once)
    asked = jnp.maximum(found.asked.sum(), 1)
    dtype = found.loss.dtype
    return Scores(found.loss.sum() / asked, (found.right.sum() / asked).astype(dtype), found.whole.mean(dtype=dtype))
