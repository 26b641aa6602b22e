"""The optimiser that the settings of a training describe."""

from fnmatch import fnmatch
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from hitherto.core.model import Weights
from hitherto.core.names import known
from hitherto.training import _optax
from hitherto.training._schedules import SHAPES
from hitherto.training.settings import Training


def rate_factor(training: Training, step: Array) -> Array:
    """Share of the learning rate at a step, counted from 0: warm-up first, then the schedule's shape."""
    step = jnp.asarray(step, training.dtype)
    after = max(training.steps - 1 - training.warmup, 1)
    shape = SHAPES[training.schedule](jnp.clip((step - training.warmup) / after, 0, 1), training.final_factor)
    return shape * jnp.minimum(1, (step + 1) / max(training.warmup, 1))


def optimiser(training: Training, rate: Array, factors: PyTree) -> optax.GradientTransformationExtraArgs:
    """Clip, update by the named rule, scale by the factors of the weights (a number a weight, None where untrained)."""
    rule = _optax.made(
        training.optimiser,
        rate if training.steady else lambda step: rate * rate_factor(training, step),
        dict(training.optimiser_settings),
        training.weight_decay,
    )
    clipped = optax.identity() if training.clip is None else optax.clip_by_global_norm(training.clip)
    scaled = optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))
    return optax.chain(clipped, rule, scaled)


def factors_of(training: Training, weights: Weights) -> PyTree:
    """The learning-rate factor of each weight; None where it is frozen or not made of real or complex numbers.

    Raises:
        ValueError: if a name among the factors is of no weight, or nothing is left to train.
    """
    named = jax.tree_util.tree_flatten_with_path(weights)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in named[0]]
    for pattern, _ in training.learning_rate_factors:
        if not any(_matches(name, pattern) for name in names):
            known(pattern, names, "weight")
    factors = [
        _factor(training, name) if eqx.is_inexact_array(w) else 0.0
        for name, (_, w) in zip(names, named[0], strict=True)
    ]
    if not any(factors):
        raise ValueError(f"every weight is frozen ({', '.join(names)}), so nothing can be trained; free one of them")
    return jax.tree.unflatten(named[1], [factor or None for factor in factors])


def _factor(training: Training, name: str) -> float:
    return next((f for p, f in reversed(training.learning_rate_factors) if _matches(name, p)), 1.0)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or fnmatch(name, f"*/{pattern}")


def divided(weights: Weights, factors: PyTree) -> tuple[Any, Any]:
    """The weights that are trained and those that stay, each with None where the other has its weights."""
    return eqx.partition(weights, jax.tree.map(lambda f: f is not None, factors, is_leaf=lambda f: f is None))
