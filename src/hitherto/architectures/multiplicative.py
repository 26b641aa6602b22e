"""Layers whose input multiplies the state: multiplicative integration, and a diagonal recurrence gated by the input."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.activations import activation
from hitherto.architectures.rnn import read_out
from hitherto.core.model import Hidden, Recurrence, Weights, check_sizes


class AbstractMultiplicative(Recurrence):
    """h[t] = advance(h[t-1], factor of x[t], summand of x[t]),  y[t] = readout h[t].

    Subclasses say how an input makes the factor and the summand, and how a state advances by them.
    """

    width: int
    readout_size: int | None

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.width if self.readout_size is None else self.readout_size

    @abc.abstractmethod
    def _from_inputs(
        self, weights: Weights, x: Float[Array, "*time input"]
    ) -> tuple[Float[Array, "*time width"], Float[Array, "*time width"]]:
        """Factor and summand, of one step or of all."""

    @abc.abstractmethod
    def _advance(
        self, weights: Weights, h: Float[Array, " width"], factor: Float[Array, " width"], added: Float[Array, " width"]
    ) -> Float[Array, " width"]:
        """The next h."""

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        if "initial_h" in weights:
            return Hidden(jnp.asarray(weights["initial_h"]))
        return Hidden(jnp.zeros(self.width, weights["weight_ih"].dtype))

    def step(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        h = self._advance(prepared, state.h, *self._from_inputs(prepared, x))
        return Hidden(h), read_out(prepared, h)

    def run(self, weights: Weights, state: Hidden, inputs: Float[Array, "time input"]) -> tuple[Hidden, Array]:
        """States and outputs of a whole sequence; what the inputs and the readout multiply stands outside the scan."""

        def body(h, parts):
            h = self._advance(weights, h, *parts)
            return h, h

        h = jax.lax.scan(body, jnp.asarray(state.h), self._from_inputs(weights, inputs))[1]
        return Hidden(h), read_out(weights, h)


@dataclass(frozen=True)
class MultiplicativeIntegrationRNN(AbstractMultiplicative):
    """h[t] = activation(gain * r[t] * e[t] + gain_hh * r[t] + gain_ih * e[t] + bias),  y[t] = readout h[t],
    where r[t] = weight_hh h[t-1], e[t] = weight_ih x[t] and * is elementwise.

    Weights: `weight_hh` (width, width), `weight_ih` (width, input); `gain`, `gain_hh`, `gain_ih`, freshly 1, and
    `bias`, freshly 0 (width); `readout` (readout_size, width) unless `readout_size` is None, when y = h; optionally
    `initial_h` (width), else h[0] = 0, and `readout_bias` (readout_size), added to y.

    Attributes:
        activation: applied to the new state; `linear` makes h affine in each input.
        variance: fresh entries of weight_hh are normal with variance `variance / width`, those of the readout with
            variance 1 / width.
        input_variance: fresh entries of weight_ih are normal with variance `input_variance / input_size`.

    With `linear`, and independent inputs with uncorrelated channels of mean 0 and mean square 1, the mean of h_i^2 over
    inputs and the units of a wide fresh layer tends to input_variance / (1 - g) if g = variance (1 + input_variance) is
    below 1, and grows as g^t if it is above, as with the default variances.

    Raises:
        ValueError: if a size is below 1 or the activation is unknown.

    Cost of a step: width (width + input_size) products, as of an RNN.
    Source: Wu et al. (2016), arXiv 1606.06630; their alpha, beta_1, beta_2 are gain, gain_hh, gain_ih. The mean square
    is our derivation.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    activation: str = "tanh"
    variance: float = 1.0
    input_variance: float = 1.0

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "width", "readout_size")
        activation(self.activation)

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_hh, key_ih, key_out = jax.random.split(key, 3)
        weights = {
            "weight_hh": _normal(key_hh, (self.width, self.width), self.variance, dtype),
            "weight_ih": _normal(key_ih, (self.width, self.input_size), self.input_variance, dtype),
            "bias": jnp.zeros(self.width, dtype),
        }
        weights |= {name: jnp.ones(self.width, dtype) for name in ("gain", "gain_hh", "gain_ih")}
        return weights | _readout(self, key_out, dtype)

    def _from_inputs(
        self, weights: Weights, x: Float[Array, "*time input"]
    ) -> tuple[Float[Array, "*time width"], Float[Array, "*time width"]]:
        """What multiplies r[t], and what is added to that."""
        entering = x @ weights["weight_ih"].T
        return weights["gain"] * entering + weights["gain_hh"], weights["gain_ih"] * entering + weights["bias"]

    def _advance(
        self, weights: Weights, h: Float[Array, " width"], factor: Float[Array, " width"], added: Float[Array, " width"]
    ) -> Float[Array, " width"]:
        return activation(self.activation)(factor * (weights["weight_hh"] @ h) + added)


@dataclass(frozen=True)
class SelectiveStateSpace(AbstractMultiplicative):
    """h[t] = (weight_gate x[t] + bias_gate) * h[t-1] + weight_ih x[t], elementwise *,  y[t] = readout h[t].

    A state space whose diagonal transition, the gate, is affine in the input, so that h is affine in each input.
    Nothing holds a trained gate below 1.

    Weights: `weight_gate` and `weight_ih` (width, input), `bias_gate` (width); `readout` (readout_size, width) unless
    `readout_size` is None, when y = h; optionally `initial_h` (width), else h[0] = 0.

    Attributes:
        decay: of fresh gates where the input is 0: every entry of bias_gate.
        gate_variance: fresh entries of weight_gate are uniform on (-b, b) with b^2 / 3 = gate_variance / input_size.
            Those of weight_ih are normal with variance (1 - decay^2 - gate_variance) / input_size, those of the
            readout with variance 1 / width.

    For independent inputs with uncorrelated channels of mean 0 and mean square 1, the mean of h_i^2 tends to
    |weight_ih_i|^2 / (1 - bias_gate_i^2 - |weight_gate_i|^2), with row i of each; about 1 for fresh weights, and finite
    for all of them, since |weight_gate_i|^2 is below 3 gate_variance.

    Raises:
        ValueError: if a size is below 1, decay or gate_variance is negative, or decay^2 + 3 gate_variance is not
            below 1.

    Cost of a step: 2 width input_size products, and width more for the state.
    Source: recurrences gated by the input alone are Martin and Cundy's (2018), arXiv 1709.04057, selective state
    spaces Gu and Dao's (2023), arXiv 2312.00752; this polynomial form and its law are ours.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    decay: float = 0.9
    gate_variance: float = 0.01

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "width", "readout_size")
        largest = self.decay**2 + 3 * self.gate_variance
        if not (min(self.decay, self.gate_variance) >= 0 and largest < 1):
            raise ValueError(
                f"a SelectiveStateSpace was asked for with decay={self.decay} and gate_variance={self.gate_variance}, "
                f"so decay^2 + 3 gate_variance is {largest:.4g}; give two numbers from 0 on that keep it below 1"
            )

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_gate, key_ih, key_out = jax.random.split(key, 3)
        shape = self.width, self.input_size
        bound = (3 * self.gate_variance / self.input_size) ** 0.5
        weights = {
            "weight_gate": jax.random.uniform(key_gate, shape, dtype, -bound, bound),
            "bias_gate": jnp.full(self.width, self.decay, dtype),
            "weight_ih": _normal(key_ih, shape, 1 - self.decay**2 - self.gate_variance, dtype),
        }
        return weights | _readout(self, key_out, dtype)

    def _from_inputs(
        self, weights: Weights, x: Float[Array, "*time input"]
    ) -> tuple[Float[Array, "*time width"], Float[Array, "*time width"]]:
        """The gate, and what enters."""
        return x @ weights["weight_gate"].T + weights["bias_gate"], x @ weights["weight_ih"].T

    def _advance(
        self, weights: Weights, h: Float[Array, " width"], factor: Float[Array, " width"], added: Float[Array, " width"]
    ) -> Float[Array, " width"]:
        return factor * h + added


def _normal(key: PRNGKeyArray, shape: tuple[int, int], variance: float, dtype: Any) -> Float[Array, "row column"]:
    """Normal entries of variance `variance / columns`."""
    return jax.random.normal(key, shape, dtype) * (variance / shape[1]) ** 0.5


def _readout(layer: AbstractMultiplicative, key: PRNGKeyArray, dtype: Any) -> Weights:
    """A fresh readout, where the layer has one."""
    if layer.readout_size is None:
        return {}
    return {"readout": _normal(key, (layer.readout_size, layer.width), 1.0, dtype)}
