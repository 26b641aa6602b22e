"""The simple (Elman) recurrent layer, linear or with any named activation."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.activations import activation
from hitherto.core.model import Hidden, Recurrence, Weights


@dataclass(frozen=True)
class RNN(Recurrence):
    """h[t] = activation(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh),  y[t] = readout h[t].

    Weights: `weight_ih` (width, input), `weight_hh` (width, width), with `bias` also `bias_ih` and
    `bias_hh` (width); `readout` (readout_size, width) unless `readout_size` is None, when y = h as in
    PyTorch; optionally `initial_h` (width). Names and shapes are PyTorch's.

    Attributes:
        variance: fresh entries of weight_hh are normal with variance `variance / width`, those of weight_ih
            with variance 1 / input_size, those of the readout with variance 1 / width; biases start at 0.
        clip: pre-activations are limited to [-clip, clip] if given (ONNX `clip`).
    """

    input_size: int
    width: int
    readout_size: int | None = None
    activation: str = "tanh"
    bias: bool = True
    clip: float | None = None
    variance: float = 1.0

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.width if self.readout_size is None else self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        return gate_weights(self, 1, self.width, key, dtype, self.variance)

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        return Hidden(initial(weights, "initial_h", self.width))

    @property
    def nonlinearities(self) -> dict[str, str]:
        """Activation by gate; the hidden vector is the only one."""
        return {"hidden": self.activation}

    def preactivations(
        self, weights: Weights, state: Hidden, x: Float[Array, " input"]
    ) -> dict[str, Float[Array, " width"]]:
        """What enters the activation."""
        return {"hidden": limited(affine(weights, "ih", x) + affine(weights, "hh", state.h), self.clip)}

    def step(self, weights: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        h = activation(self.activation)(self.preactivations(weights, state, x)["hidden"])
        return Hidden(h), read_out(weights, h)


def gate_weights(
    layer: Any, gates: int, visible: int, key: PRNGKeyArray, dtype: Any, variance: float
) -> dict[str, Array]:
    """Normal weights of a layer with `gates` stacked blocks; recurrent entries have variance `variance / width`."""
    keys = jax.random.split(key, 3)
    rows = gates * layer.width
    weights = {
        "weight_ih": jax.random.normal(keys[0], (rows, layer.input_size), dtype) / jnp.sqrt(layer.input_size),
        "weight_hh": jax.random.normal(keys[1], (rows, visible), dtype) * jnp.sqrt(variance / visible),
    }
    if layer.bias:
        weights |= {"bias_ih": jnp.zeros(rows, dtype), "bias_hh": jnp.zeros(rows, dtype)}
    if layer.readout_size is not None:
        weights["readout"] = jax.random.normal(keys[2], (layer.readout_size, visible), dtype) / jnp.sqrt(visible)
    return jax.tree.map(lambda w: w.astype(dtype), weights)


def initial(weights: Weights, name: str, width: int) -> Array:
    """The start value `name` among the weights, or zeros of their precision."""
    return jnp.asarray(weights[name]) if name in weights else jnp.zeros(width, weights["weight_hh"].dtype)


def affine(weights: Weights, role: str, x: Array) -> Array:
    """weight_role x + bias_role, without the bias where there is none."""
    product = weights[f"weight_{role}"] @ x
    return product + weights[f"bias_{role}"] if f"bias_{role}" in weights else product


def limited(a: Array, clip: float | None) -> Array:
    """Pre-activations within [-clip, clip]."""
    return a if clip is None else jnp.clip(a, -clip, clip)


def read_out(weights: Weights, h: Array) -> Array:
    """The output that h gives: readout h, or h itself."""
    return weights["readout"] @ h if "readout" in weights else h
