"""The simple (Elman) recurrent layer, linear or with any named activation."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures._cell import AbstractCell, read_out
from hitherto.architectures.activations import activation
from hitherto.architectures.initialisation import check_layer, fresh, scaled
from hitherto.core.model import Hidden, Weights


@dataclass(frozen=True)
class RNN(AbstractCell):
    """h[t] = activation(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh), y[t] = readout output_activation(h[t]).

    Weights: `weight_ih` (width, input), `weight_hh` (width, width), with `bias` also `bias_ih` and
    `bias_hh` (width); `readout` (readout_size, width) unless `readout_size` is None, when y = output_activation(h);
    optionally `initial_h` (width), and `readout_bias` (readout_size), added to y. Names and shapes are PyTorch's.

    Attributes:
        clip: pre-activations are limited to [-clip, clip] if given (ONNX `clip`).
        variance: fresh entries of weight_hh have mean square `variance / width`.
        output_activation: applied to what is passed upward alone; the state keeps h.
        initialisation: the law of fresh weights, see `initialisation`; by default normal entries, those of weight_ih
            with variance `input_variance / input_size`, those of the readout with `readout_variance / width`, and
            biases at 0.
        parametrisation: `standard`: the weights are used as they are stored. `ntk`: h[t] takes weight_hh / sqrt(width),
            y takes readout / sqrt(width), and stored entries have variances `variance`, `input_variance`,
            `readout_variance`; `ntk_unit`: all stored entries have variance 1 and the deviations are multiplied on.
            `mean_field`: y takes readout / width, stored with variance `readout_variance`, the rest as in `standard`.
        norm_limit: training clips the singular values of the stored weight_hh to it after every step, if given; with 1
            and an activation of slopes up to 1 the network stays contractive. Fresh weights may lie above.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    activation: str = "tanh"
    bias: bool = True
    clip: float | None = None
    variance: float = 1.0
    output_activation: str = "linear"
    initialisation: str = "gaussian"
    parametrisation: str = "standard"
    input_variance: float = 1.0
    readout_variance: float = 1.0
    norm_limit: float | None = None
    gates: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_layer(self)
        if self.norm_limit is not None and not 0 < self.norm_limit < inf:
            raise ValueError(f"norm_limit={self.norm_limit} was asked for; give a number above 0, or None for no limit")

    @property
    def visible_size(self) -> int:
        """Width of h."""
        return self.width

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        return fresh(self, key, dtype)

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        return Hidden(initial(weights, "initial_h", self.width))

    def prepare(self, weights: Weights) -> Weights:
        """The weights times what the parametrisation multiplies them by."""
        return weights if self.parametrisation == "standard" else scaled(self, weights)

    def project(self, weights: Weights) -> Weights:
        """`weight_hh` with singular values up to `norm_limit`, the nearest such matrix in the Frobenius norm."""
        if self.norm_limit is None:
            return weights
        left, values, right = jnp.linalg.svd(weights["weight_hh"])
        return weights | {"weight_hh": (left * jnp.minimum(values, self.norm_limit)) @ right}

    @property
    def nonlinearities(self) -> dict[str, str]:
        """Activation by gate; the hidden vector is the only one."""
        return {"hidden": self.activation}

    def preactivations(
        self, weights: Weights, state: Hidden, x: Float[Array, " input"]
    ) -> dict[str, Float[Array, " width"]]:
        """What enters the activation, with prepared weights."""
        return {"hidden": limited(affine(weights, "ih", x) + affine(weights, "hh", state.h), self.clip)}

    def advance(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> Hidden:
        """The next state, with prepared weights."""
        return Hidden(activation(self.activation)(self.preactivations(prepared, state, x)["hidden"]))

    def output(self, prepared: Weights, h: Float[Array, "*time width"]) -> Float[Array, "*time output"]:
        """What h gives, at one step or at all of them: readout output_activation(h)."""
        return read_out(prepared, activation(self.output_activation)(h))


def initial(weights: Weights, name: str, width: int) -> Array:
    """The start value `name` among the weights, or zeros of their precision."""
    return jnp.asarray(weights[name]) if name in weights else jnp.zeros(width, weights["weight_hh"].dtype)


def affine(weights: Weights, role: str, x: Array) -> Array:
    """weight_role x + bias_role, without the bias where there is none."""
    product = x @ weights[f"weight_{role}"].T  # this way round a batch of x stays in rows
    return product + weights[f"bias_{role}"] if f"bias_{role}" in weights else product


def limited(a: Array, clip: float | None) -> Array:
    """Pre-activations within [-clip, clip]."""
    return a if clip is None else jnp.clip(a, -clip, clip)
