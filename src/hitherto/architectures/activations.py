"""Activations by name, with their parameters in the name: `tanh`, `leaky_relu(0.01)`, `hard_sigmoid(0.2,0.5)`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import pi

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hitherto.core.names import known


@dataclass(frozen=True)
class Activation:
    """A pointwise function and what contraction arguments need to know of it.

    Attributes:
        name: the name it was asked by, parameters included.
        apply: the function.
        slope: the largest absolute slope, `inf` where it has a jump or the slope has no bound.
        low, high: the range of its values; infinite where it is unbounded.
    """

    name: str
    apply: Callable[[Array], Array]
    slope: float
    low: float
    high: float

    def __call__(self, a: Array) -> Array:
        return self.apply(a)


_INF = float("inf")

# name: default parameters, then parameters -> (function, largest slope, lowest value, highest value)
_FAMILIES: dict[str, tuple[tuple[float, ...], Callable[..., tuple]]] = {
    "linear": ((), lambda: (lambda a: a, 1.0, -_INF, _INF)),
    "tanh": ((), lambda: (jnp.tanh, 1.0, -1.0, 1.0)),
    "erf": ((), lambda: (jax.scipy.special.erf, 2 / pi**0.5, -1.0, 1.0)),
    "sigmoid": ((), lambda: (jax.nn.sigmoid, 0.25, 0.0, 1.0)),
    "relu": ((), lambda: (jax.nn.relu, 1.0, 0.0, _INF)),
    "relu6": ((), lambda: (jax.nn.relu6, 1.0, 0.0, 6.0)),
    "hard_tanh": ((), lambda: (lambda a: jnp.clip(a, -1, 1), 1.0, -1.0, 1.0)),
    "hard_sigmoid": ((0.2, 0.5), lambda s, b: (lambda a: jnp.clip(s * a + b, 0, 1), abs(s), 0.0, 1.0)),
    "leaky_relu": ((0.01,), lambda s: (lambda a: jnp.where(a < 0, s * a, a), max(1.0, abs(s)), -_INF, _INF)),
    "elu": ((1.0,), lambda s: (lambda a: jax.nn.elu(a, s), max(1.0, abs(s)), -s, _INF)),
    "softsign": ((), lambda: (jax.nn.soft_sign, 1.0, -1.0, 1.0)),
    "softplus": ((), lambda: (jax.nn.softplus, 1.0, 0.0, _INF)),
    "silu": ((), lambda: (jax.nn.silu, 1.0999, -0.2785, _INF)),
    "gelu": ((), lambda: (lambda a: jax.nn.gelu(a, approximate=False), 1.1290, -0.17, _INF)),
    "abs": ((), lambda: (jnp.abs, 1.0, 0.0, _INF)),
    "soft_shrink": ((0.5,), lambda s: (lambda a: a - jnp.clip(a, -s, s), 1.0, -_INF, _INF)),
    "exponential": ((), lambda: (jnp.exp, _INF, 0.0, _INF)),
    "affine": ((1.0, 0.0), lambda s, b: (lambda a: s * a + b, abs(s), -_INF, _INF)),
    "scaled_tanh": ((1.0, 1.0), lambda s, b: (lambda a: s * jnp.tanh(b * a), abs(s * b), -abs(s), abs(s))),
    "square": ((), lambda: (jnp.square, _INF, 0.0, _INF)),
    "thresholded_relu": ((1.0,), lambda s: (lambda a: jnp.where(a >= s, a, 0.0), _INF, -_INF, _INF)),
}


@cache
def activation(name: str) -> Activation:
    """The activation called `name`, for example `tanh` or `leaky_relu(0.2)`.

    Raises:
        ValueError: if there is no such activation, or the parameters are not numbers of the right count.
    """
    match = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", name.replace(" ", ""))
    defaults, make = _FAMILIES[known(match[1] if match else name, _FAMILIES, "activation")]
    given = tuple(float(v) for v in match[2].split(",")) if match[2] else defaults
    if len(given) != len(defaults):
        raise ValueError(f"{match[1]} takes {len(defaults)} parameters, {name!r} gives {len(given)}")
    return Activation(name, *make(*given))
