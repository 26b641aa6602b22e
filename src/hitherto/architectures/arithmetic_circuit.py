"""Recurrent arithmetic circuits (RAC), and the representation functions that turn symbols and numbers into features."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.rnn import read_out
from hitherto.core.model import Recurrence, Weights, check_sizes


class CircuitState(NamedTuple):
    """State of an arithmetic circuit: the visible h, and `begun`, 0 before the first input and 1 from there on."""

    h: Any
    begun: Any


@dataclass(frozen=True)
class ArithmeticCircuit(Recurrence):
    """h[t] = (weight_hh h[t-1]) * (weight_ih x[t]), elementwise *,  y[t] = readout h[t]; deep ones by `Deep`.

    At t = 1 the recurrent factor is left out, h[1] = weight_ih x[1], unless `initial_h` is among the weights: then
    weight_hh acts at t = 1 too. An `initial_h` of zeros makes h and y zero for ever.

    Weights: `weight_ih` (width, input), `weight_hh` (width, width); `readout` (readout_size, width) unless
    `readout_size` is None, when y = h; optionally `initial_h` (width). There is no bias.

    Attributes:
        variance: fresh entries of weight_hh are normal with variance `variance / width`, those of the readout with
            variance 1 / width.
        input_variance: fresh entries of weight_ih are normal with variance `input_variance / input_size`. For one-hot
            inputs, whose mean square is 1 / input_size, take input_variance = input_size.

    With both variances 1 and independent normal inputs of mean square 1, the mean of |h|^2 stays what it is, and the
    typical |h| in one layer goes down as exp(-t (2 / width + 1 / (2 input_size))). Stacks leave the range of numbers
    much sooner, whatever the variances, for their degree grows as t^L: two layers of width 64 are at exp(-50 +- 40)
    after 32 steps.

    Raises:
        ValueError: if a size is below 1.

    Homogeneous in every weight and in each input: in a stack of L layers the last output has degree
    C(k + L - 2, L - 1) in the input k steps from the end, k = 1 the last.
    Source: Levine, Sharir, Ziv, Shashua (2017), arXiv 1710.09431.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    variance: float = 1.0
    input_variance: float = 1.0

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "width", "readout_size")

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.width if self.readout_size is None else self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        laws = {
            "weight_hh": ((self.width, self.width), self.variance),
            "weight_ih": ((self.width, self.input_size), self.input_variance),
        }
        if self.readout_size is not None:
            laws["readout"] = ((self.readout_size, self.width), 1.0)
        return {
            name: jax.random.normal(k, shape, dtype) * (variance / shape[1]) ** 0.5
            for k, (name, (shape, variance)) in zip(jax.random.split(key, len(laws)), laws.items(), strict=True)
        }

    def start(self, weights: Weights) -> CircuitState:
        """The state before the first input."""
        dtype = jnp.asarray(weights["weight_hh"]).dtype
        if "initial_h" in weights:
            return CircuitState(jnp.asarray(weights["initial_h"]), jnp.ones((), dtype))
        return CircuitState(jnp.zeros(self.width, dtype), jnp.zeros((), dtype))

    def step(self, prepared: Weights, state: CircuitState, x: Float[Array, " input"]) -> tuple[CircuitState, Array]:
        """(state before, x) -> (state after, y)."""
        h = _recurrent_factor(prepared, state) * (prepared["weight_ih"] @ x)
        return CircuitState(h, jnp.ones_like(state.begun)), read_out(prepared, h)

    def run(
        self, weights: Weights, state: CircuitState, inputs: Float[Array, "time input"]
    ) -> tuple[CircuitState, Array]:
        """States and outputs of a whole sequence; the input factors are one matmul, the scan has one more a step."""

        def body(factor, entering):
            h = factor * entering
            return weights["weight_hh"] @ h, h

        h = jax.lax.scan(body, _recurrent_factor(weights, state), inputs @ weights["weight_ih"].T)[1]
        begun = jnp.ones(len(inputs), state.begun.dtype)
        return CircuitState(h, begun), read_out(weights, h)


def _recurrent_factor(weights: Weights, state: CircuitState) -> Float[Array, " width"]:
    return jnp.where(state.begun > 0, weights["weight_hh"] @ state.h, 1)


class AbstractFeatures(Recurrence):
    """y[t] = features(x[t]): a representation function, without memory, put first in a `Deep`.

    The state is the empty tuple. Subclasses give `features` for one step.
    """

    @abc.abstractmethod
    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The feature vector of one input."""

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """No weights, unless the family says so."""
        return {}

    def start(self, weights: Weights) -> tuple[()]:
        """The empty state."""
        return ()

    def step(self, prepared: Weights, state: tuple[()], x: Float[Array, " input"]) -> tuple[tuple[()], Array]:
        """(the empty state, x) -> (the empty state, features)."""
        return (), self.features(prepared, x)

    def run(self, weights: Weights, state: tuple[()], inputs: Float[Array, "time input"]) -> tuple[tuple[()], Array]:
        """Features of all steps at once."""
        return (), jax.vmap(partial(self.features, weights))(inputs)


@dataclass(frozen=True)
class OneHot(AbstractFeatures):
    """y[t] = unit vector number x[t]; the one input channel holds an index 0 .. symbols - 1.

    Anything else than such an index gives NaN features, for inside compiled code there is no other way to refuse it.
    """

    symbols: int

    def __post_init__(self) -> None:
        check_sizes(self, "symbols")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """One channel, the index."""
        return 1

    @property
    def output_size(self) -> int:
        """One channel a symbol."""
        return self.symbols

    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The unit vector of one index."""
        hit = x == jnp.arange(self.symbols)
        return jnp.where(hit.any(), hit.astype(x.dtype), jnp.nan)


@dataclass(frozen=True)
class Templates(AbstractFeatures):
    """y[t] = row x[t] of the templates; the one input channel holds an index 0 .. symbols - 1.

    Weights: `templates` (symbols, size), fresh entries standard normal. Anything else than an index gives NaN.

    Cost: a product of symbols by size a step, whose gradient is one matmul a sequence.
    """

    symbols: int
    size: int

    def __post_init__(self) -> None:
        check_sizes(self, "symbols", "size")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """One channel, the index."""
        return 1

    @property
    def output_size(self) -> int:
        """Channels of a template."""
        return self.size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Standard normal templates."""
        return {"templates": jax.random.normal(key, (self.symbols, self.size), dtype)}

    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The template of one index."""
        return OneHot(self.symbols).features({}, x) @ weights["templates"]


@dataclass(frozen=True)
class Embedding(AbstractFeatures):
    """y[t] = the vectors of the symbols, weighted by x[t]: one-hot inputs become vectors of `size` channels.

    Weights: `embedding` (symbols, size), fresh entries standard normal, as PyTorch draws them.
    """

    symbols: int
    size: int

    def __post_init__(self) -> None:
        check_sizes(self, "symbols", "size")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """One channel a symbol."""
        return self.symbols

    @property
    def output_size(self) -> int:
        """Channels of a vector."""
        return self.size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Standard normal vectors."""
        return {"embedding": jax.random.normal(key, (self.symbols, self.size), dtype)}

    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The vector of one input."""
        return x @ weights["embedding"]


@dataclass(frozen=True)
class Powers(AbstractFeatures):
    """y[t] = (1, x[t], x[t]^2, .., x[t]^degree) of the one input channel."""

    degree: int

    def __post_init__(self) -> None:
        check_sizes(self, "degree")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """One channel."""
        return 1

    @property
    def output_size(self) -> int:
        """One channel a power, the constant included."""
        return self.degree + 1

    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The powers of one number."""
        return jnp.cumprod(jnp.concatenate([jnp.ones_like(x), jnp.repeat(x, self.degree)]))


@dataclass(frozen=True)
class FeatureFunction(AbstractFeatures):
    """y[t] = function(x[t]) for any JAX function of one input vector that gives `size` channels.

    It compares by the identity of the function and cannot be written as JSON.
    """

    function: Callable[[Array], Array]
    input_size: int
    size: int

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "size")

    @property
    def output_size(self) -> int:
        """Channels that the function gives."""
        return self.size

    def features(self, weights: Weights, x: Float[Array, " input"]) -> Float[Array, " feature"]:
        """The features of one input.

        Raises:
            ValueError: if the function gives another shape than it was declared with.
        """
        features = self.function(x)
        if features.shape != (self.size,):
            raise ValueError(
                f"the feature function was declared with size={self.size}, it gives shape {features.shape}; declare "
                "what it gives, one vector for one input vector"
            )
        return features
