"""Shapes of learning-rate schedules, by name."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

# Share of the learning rate when the share `p` of the steps is done, falling from 1 to `final`.
SHAPES: dict[str, Callable[[Array, float], Array]] = {
    "constant": lambda p, final: jnp.ones_like(p),
    "linear": lambda p, final: 1 + (final - 1) * p,
    "cosine": lambda p, final: final + (1 - final) * (1 + jnp.cos(jnp.pi * p)) / 2,
    "exponential": lambda p, final: final**p,
}
