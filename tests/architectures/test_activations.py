"""Every activation against NumPy, and against the slope and the range that it states of itself."""

from math import erf

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.activations import _FAMILIES, activation
from hitherto.core.model import precision

TRUTH = {
    "linear": lambda a: a,
    "tanh": np.tanh,
    "erf": np.vectorize(erf),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "relu6": lambda a: np.clip(a, 0, 6),
    "hard_tanh": lambda a: np.clip(a, -1, 1),
    "hard_sigmoid": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "leaky_relu(0.2)": lambda a: np.where(a < 0, 0.2 * a, a),
    "elu(1.5)": lambda a: np.where(a < 0, 1.5 * np.expm1(a), a),
    "softsign": lambda a: a / (1 + np.abs(a)),
    "abs": np.abs,
    "soft_shrink": lambda a: np.sign(a) * np.maximum(np.abs(a) - 0.5, 0),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "gelu": lambda a: a * (1 + np.vectorize(erf)(a / np.sqrt(2))) / 2,
    "exponential": np.exp,
    "affine(2,-1)": lambda a: 2 * a - 1,
    "scaled_tanh(1.5,0.5)": lambda a: 1.5 * np.tanh(0.5 * a),
    "square": lambda a: a**2,
    "thresholded_relu": lambda a: np.where(a >= 1, a, 0),
}
GRID = np.linspace(-8, 8, 3201)  # ends at no kink but those of whole numbers, where both sides are on the grid


def test_every_family_has_a_row():
    assert {name.split("(")[0] for name in TRUTH} == set(_FAMILIES)


@pytest.mark.parametrize("name", TRUTH)
def test_values_lie_in_the_range(name):
    stated = activation(name)
    with precision(np.float64):
        values = np.asarray(stated(jnp.asarray(GRID)))
    np.testing.assert_allclose(values, TRUTH[name](GRID), rtol=1e-12, atol=1e-14)
    assert stated.low <= values.min()
    assert values.max() <= stated.high


@pytest.mark.parametrize("name", TRUTH)
def test_no_slope_exceeds_the_largest(name):
    stated = activation(name)
    with precision(np.float64):
        steepest = float(jnp.abs(jax.vmap(jax.grad(stated.apply))(jnp.asarray(GRID))).max())
    assert steepest <= stated.slope * (1 + 1e-12)
    assert steepest >= 0.999 * stated.slope or stated.slope == np.inf
