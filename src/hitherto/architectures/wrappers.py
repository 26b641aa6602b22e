"""Architectures made of architectures: stacks, fresh weights at each step, both directions, backward reading."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.core.model import Architecture, Recurrence, State, Weights
from hitherto.core.names import known

SKIPS = ("none", "residual", "input")
STARTS = ("initial_h", "initial_c")
ENDS = ("weight_ih", "readout", "readout_bias")


@dataclass(frozen=True)
class Deep(Recurrence):
    """A stack: each layer reads the outputs of the one below at the same step; y is the top layer's.

    Weights and states are tuples, one entry a layer, lowest first.

    Attributes:
        skip: `none`; `residual`: a layer whose sizes agree gives its input plus its output; `input`: every layer above
            the first reads the outputs below and then x, so it takes that many more channels.
    """

    layers: tuple[Architecture, ...]
    skip: str = "none"

    def __post_init__(self) -> None:
        known(self.skip, SKIPS, "skip")
        if not self.layers:
            raise ValueError("a stack needs at least one layer, but it was asked with none; give (layer, ...)")
        beside = self.input_size if self.skip == "input" else 0
        for number, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if (given := below.output_size + beside) != above.input_size:
                also = f" with the {beside} of the input beside them" if beside else ""
                raise ValueError(
                    f"layer {number} gives {given} channels{also}, layer {number + 1} takes {above.input_size}; "
                    f"give layer {number + 1} input_size={given}"
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
        """Fresh weights, each layer by its own law."""
        keys = jax.random.split(key, len(self.layers))
        return tuple(layer.init(k, dtype) for layer, k in zip(self.layers, keys, strict=True))

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return tuple(layer.start(w) for layer, w in self._with(weights))

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
        # only causal stacks are stepped
        return self._climb(state, x, lambda number, s, u: self.layers[number].step(prepared[number], s, u))

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """Layer after layer, each by its own fastest way through the whole sequence."""
        return self._climb(state, inputs, lambda number, s, u: self.layers[number].run(weights[number], s, u))

    def _climb(self, state: State, x: Array, through: Callable[[int, State, Array], tuple[State, Array]]) -> Any:
        """From the input to the top; `x` may be one step or all of them."""
        after, signal = [], x
        for number, (layer, s) in enumerate(zip(self.layers, state, strict=True)):
            entering = jnp.concatenate([signal, x], -1) if self.skip == "input" and number else signal
            s, y = through(number, s, entering)
            residual = self.skip == "residual" and layer.input_size == layer.output_size
            signal = signal + y if residual else y
            after.append(s)
        return tuple(after), signal


SHARES = ("none", "ends")


@dataclass(frozen=True)
class Untied(Architecture):
    """The feedforward twin of a recurrence: the same step with its own weights at each of `length` steps.

    Weights have a leading axis `length`, except those that are shared and the start of the state; a sequence shorter
    than `length` uses the first ones. States are those of `base`. With a stack as `base` all its layers are untied.

    Attributes:
        share: `none`: all weights are fresh at each step; `ends`: `weight_ih` and `readout` are shared over time, so
            that recurrent weights and biases alone are untied.

    Cost: that of one step of `base`, `prepare` included, for each step.
    """

    base: Recurrence
    length: int
    share: str = "none"

    def __post_init__(self) -> None:
        known(self.share, SHARES, "share")
        if self.length < 1:
            raise ValueError(f"Untied was asked with length={self.length}, but it needs at least one step; give one")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """Channels of x."""
        return self.base.input_size

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.base.output_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights for every step, each by the law of `base`."""
        each = [self.base.init(k, dtype) for k in jax.random.split(key, self.length)]
        return self._joined(each)

    def start(self, weights: Weights) -> State:
        """The state before the first input."""
        return self.base.start(self.at(weights, 0))

    def at(self, weights: Weights, step: int) -> Weights:
        """The weights of `base` at one step, counted from 0."""
        return jax.tree.map(lambda is_own, w: w[step] if is_own else w, self._own(weights), weights)

    def project(self, weights: Weights) -> Weights:
        """The nearest weights that `base` allows, step by step."""
        each = [self.base.project(self.at(weights, step)) for step in range(self.length)]
        return self._joined(each)

    def _joined(self, each: list[Weights]) -> Weights:
        own = self._own(each[0])
        return jax.tree.map(lambda is_own, *steps: jnp.stack(steps) if is_own else steps[0], own, *each)

    def _own(self, weights: Weights) -> Any:
        """For each leaf, whether every step has its own."""
        shared = STARTS if self.share == "none" else (*STARTS, *ENDS)
        return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) not in shared, weights)

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """States and outputs of a whole sequence.

        Raises:
            ValueError: if the sequence is longer than `length`.
        """
        if len(inputs) > self.length:
            raise ValueError(
                f"an untied network of {self.length} steps was given a sequence of {len(inputs)}, and has no weights "
                f"for the rest; shorten the sequence, or build Untied(base, length={len(inputs)})"
            )
        own, shared = eqx.partition(jax.tree.map(jnp.asarray, weights), self._own(weights))

        def body(state: State, given: tuple[Weights, Array]) -> tuple[State, tuple[State, Array]]:
            state, y = self.base.step(self.base.prepare(eqx.combine(given[0], shared)), state, given[1])
            return state, (state, y)

        return jax.lax.scan(body, state, (jax.tree.map(lambda w: w[: len(inputs)], own), inputs))[1]


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
