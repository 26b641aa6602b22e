"""Architectures made of architectures: stacks, both directions, backward reading."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.core.model import Architecture, Recurrence, State, Weights


@dataclass(frozen=True)
class Deep(Recurrence):
    """A stack: each layer reads the outputs of the one below at the same step; y is the top layer's.

    Weights and states are tuples, one entry a layer, lowest first.
    """

    layers: tuple[Architecture, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a stack needs at least one layer, got none")
        for number, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"layer {number} gives {below.output_size} channels, layer {number + 1} takes {above.input_size}"
                )

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """Channels of x."""
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.layers[-1].output_size

    @property
    def causal(self) -> bool:
        """Whether it needs no later inputs."""
        return all(layer.causal for layer in self.layers)

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        keys = jax.random.split(key, len(self.layers))
        return tuple(layer.init(k, dtype) for layer, k in zip(self.layers, keys, strict=True))

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return tuple(layer.start(w) for layer, w in zip(self.layers, weights, strict=True))

    def prepare(self, weights: Weights) -> Weights:
        """What `step` takes, layer by layer."""
        return tuple(layer.prepare(w) for layer, w in self._with(weights))  # type: ignore[attr-defined]

    def project(self, weights: Weights) -> Weights:
        """The nearest weights that every layer allows."""
        return tuple(layer.project(w) for layer, w in self._with(weights))

    def _with(self, weights: Weights) -> Iterator[tuple[Architecture, Weights]]:
        return zip(self.layers, weights, strict=True)

    def step(self, prepared: Weights, state: State, x: Float[Array, " input"]) -> tuple[State, Array]:
        """(state before, x) -> (state after, y)."""
        after = []
        for (layer, w), s in zip(self._with(prepared), state, strict=True):
            s, x = layer.step(w, s, x)  # type: ignore[attr-defined]  # only causal stacks are stepped
            after.append(s)
        return tuple(after), x

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """Layer after layer, each by its own fastest way through the whole sequence."""
        states = []
        for (layer, w), s in zip(self._with(weights), state, strict=True):
            s, inputs = layer.run(w, s, inputs)
            states.append(s)
        return tuple(states), inputs


@dataclass(frozen=True)
class Backward(Architecture):
    """A layer that reads the sequence from its last step to its first.

    Attributes:
        order: `"input"`: the output at a step stands at that step (ONNX `reverse`); `"reading"`: outputs come
            in the order they were made, last step first (Keras `go_backwards`). States always stand at their step.
    """

    layer: Recurrence
    order: Literal["input", "reading"] = "input"

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """Channels of x."""
        return self.layer.input_size

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.layer.output_size

    @property
    def causal(self) -> bool:
        """Whether it needs no later inputs."""
        return False

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        return self.layer.init(key, dtype)

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return self.layer.start(weights)

    def project(self, weights: Weights) -> Weights:
        """The nearest weights that the layer allows."""
        return self.layer.project(weights)

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """States and outputs of a whole sequence."""
        states, outputs = self.layer.run(weights, state, inputs[::-1])
        outputs = outputs if self.order == "reading" else outputs[::-1]
        return jax.tree.map(lambda s: s[::-1], states), outputs


MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda f, b: jnp.concatenate([f, b], -1),
    "sum": jnp.add,
    "mul": jnp.multiply,
    "ave": lambda f, b: (f + b) / 2,
}


@dataclass(frozen=True)
class Bidirectional(Architecture):
    """Two layers over the same inputs, one forward and one backward, outputs merged step by step.

    Weights and states are pairs (forward, backward). `merge` is `concat` as in PyTorch and ONNX, or Keras's
    `sum`, `mul`, `ave`.
    """

    forward: Recurrence
    backward: Recurrence
    merge: Literal["concat", "sum", "mul", "ave"] = "concat"

    def __post_init__(self) -> None:
        if self.forward.input_size != self.backward.input_size:
            raise ValueError(
                f"both directions read the same inputs, but forward takes {self.forward.input_size} channels "
                f"and backward {self.backward.input_size}"
            )

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """Channels of x."""
        return self.forward.input_size

    @property
    def output_size(self) -> int:
        """Channels of y."""
        both = self.forward.output_size + self.backward.output_size
        return both if self.merge == "concat" else self.forward.output_size

    @property
    def causal(self) -> bool:
        """Whether it needs no later inputs."""
        return False

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_f, key_b = jax.random.split(key)
        return self.forward.init(key_f, dtype), self.backward.init(key_b, dtype)

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return self.forward.start(weights[0]), self.backward.start(weights[1])

    def project(self, weights: Weights) -> Weights:
        """The nearest weights that both layers allow."""
        return self.forward.project(weights[0]), self.backward.project(weights[1])

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """States and outputs of a whole sequence."""
        ahead, y_ahead = self.forward.run(weights[0], state[0], inputs)
        back, y_back = Backward(self.backward).run(weights[1], state[1], inputs)
        return (ahead, back), MERGES[self.merge](y_ahead, y_back)


@dataclass(frozen=True)
class StepFunction(Recurrence):
    """Any `function(state, x) -> (state, output)`: the adapter through which anything can be measured.

    The only weight is `start`, the tree of arrays that is the first state. Made by `hitherto.adapt`.
    """

    function: Callable[[State, Array], tuple[State, Array]] = field(compare=True)
    input_size: int = 1
    channels: int = 1

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.channels

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        raise ValueError("a step function brings its own weights and cannot be initialised; use hitherto.adapt")

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return weights["start"]

    def step(self, weights: Weights, state: State, x: Float[Array, " input"]) -> tuple[State, Array]:
        """(state before, x) -> (state after, y)."""
        return self.function(state, x)
