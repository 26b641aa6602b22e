"""Architectures, models, and the one scan that runs them.

An architecture is a description without arrays; with weights it is a `Model`. Everything takes one
sequence at a time: use `jax.vmap` for batches.
"""

import abc
import dataclasses
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

State = PyTree
Weights = PyTree
SHOWN = 4  # numbers of a long setting in the name of an architecture


class Hidden(NamedTuple):
    """State of a cell that carries its hidden vector alone."""

    h: Any


class HiddenAndCell(NamedTuple):
    """State of an LSTM: the visible h and the cell c behind it."""

    h: Any
    c: Any


class Architecture(abc.ABC):
    """What a model is before it has weights: sizes and settings, no arrays.

    Subclasses are frozen dataclasses, so architectures compare, hash, and pass through `jax.jit` as
    static values. `input_size` is the number of channels that enter at each step.
    """

    input_size: int

    def __str__(self) -> str:
        """The settings that differ from their defaults."""
        return _brief(self)

    @property
    @abc.abstractmethod
    def output_size(self) -> int:
        """Channels that leave at each step."""

    @property
    def causal(self) -> bool:
        """Whether the output at a step depends on this and earlier inputs only."""
        return True

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh random weights, each family with the law its docstring names."""

    @abc.abstractmethod
    def start(self, weights: Weights) -> State:
        """The state before the first input: `initial_h` (and `initial_c`) among the weights, else zeros."""

    @abc.abstractmethod
    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """States after every step and outputs of every step, both with a leading time axis."""

    def project(self, weights: Weights) -> Weights:
        """The nearest weights that the family allows, for training that leaves its constraint; the same for most."""
        return weights


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        long = len(value) > SHOWN and not isinstance(value[0], Architecture)
        return f"({', '.join(map(_brief, value[:SHOWN] if long else value))}{f', .. {len(value)}' if long else ''})"
    if not isinstance(value, Architecture):
        return str(value)
    given = [(f.name, getattr(value, f.name), f.default) for f in dataclasses.fields(value)]  # type: ignore[arg-type]
    told = ", ".join(f"{name}={_brief(now)}" for name, now, usual in given if now != usual)
    return f"{type(value).__name__}({told})"


def check_sizes(architecture: Architecture, *names: str) -> None:
    """Refuse sizes below 1; a size that is None is not asked for.

    Raises:
        ValueError: if the field of one of the names is below 1.
    """
    for name in names:
        size = getattr(architecture, name)
        if size is not None and size < 1:
            raise ValueError(f"a {type(architecture).__name__} was asked for with {name}={size}; give at least 1")


class Recurrence(Architecture):
    """An architecture that goes forward one step at a time, with a state of fixed size."""

    def prepare(self, weights: Weights) -> Weights:
        """What `step` takes, made of the weights once a sequence: the same, unless they are a parametrisation."""
        return weights

    @abc.abstractmethod
    def step(self, prepared: Weights, state: State, x: Float[Array, " input"]) -> tuple[State, Array]:
        """One step with prepared weights: (state before, input) -> (state after, output)."""

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """One `lax.scan` of `step` over time."""
        prepared = self.prepare(weights)

        def body(state, x):
            state, y = self.step(prepared, state, x)
            return state, (state, y)

        return jax.lax.scan(body, state, inputs)[1]


class Model(eqx.Module):
    """An architecture with its weights: the one class for all families.

    `weights` is a tree of arrays. Arrays read from files stay NumPy arrays, so that float64 survives
    until it is used; `states_and_outputs` computes in the precision of the weights.
    """

    architecture: Architecture = eqx.field(static=True)
    weights: Weights

    @property
    def dtype(self) -> np.dtype:
        """The widest precision among the weights."""
        leaves = jax.tree.leaves(self.weights)
        return np.result_type(*(leaf.dtype for leaf in leaves)) if leaves else np.dtype(np.float32)

    def astype(self, dtype: Any) -> "Model":
        """The same model with every weight in `dtype`, as NumPy arrays."""
        return Model(self.architecture, jax.tree.map(lambda w: np.asarray(w, dtype), self.weights))


def build(architecture: Architecture, key: PRNGKeyArray | int = 0, dtype: Any = jnp.float32) -> Model:
    """A model with fresh random weights; `key` is a JAX key or an integer seed."""
    with precision(np.dtype(dtype)):
        key = jax.random.key(key) if isinstance(key, int) else key
        return Model(architecture, architecture.init(key, dtype))


def states_and_outputs(
    model: Model, inputs: Float[Array | np.ndarray, "time input"], start: State | None = None
) -> tuple[State, Array | np.ndarray]:
    """Run a model over one sequence: states s_1..s_T and outputs y_1..y_T.

    Args:
        inputs: one sequence x_1..x_T, `architecture.input_size` channels wide.
        start: the state s_0; the architecture's own start if not given.
    Returns:
        The tree of states and the outputs (time, output), in the precision of the weights; float64 as NumPy
        arrays, unless JAX's own float64 switch is on.
    Raises:
        ValueError: if the inputs have another number of channels.
    """
    if inputs.shape[-1] != model.architecture.input_size:
        raise ValueError(
            f"the model takes {model.architecture.input_size} input channels, the inputs have "
            f"{inputs.shape[-1]} (shape {tuple(inputs.shape)}); give an array (time, {model.architecture.input_size})"
        )
    with precision(model.dtype):
        state = model.architecture.start(model.weights) if start is None else start
        ran = _run(model.architecture, model.weights, state, jnp.asarray(inputs, model.dtype))
    return _handed_over(ran) if np.dtype(model.dtype) == np.float64 else ran


@partial(jax.jit, static_argnums=0)
def _run(architecture: Architecture, weights: Weights, state: State, inputs: Array) -> tuple[State, Array]:
    return architecture.run(weights, state, inputs)


def visible(state: State) -> list[Any]:
    """The parts of a state that the outside sees: every `h` in it, or all of it where nothing is called h."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    seen = [leaf for path, leaf in leaves if path and getattr(path[-1], "name", None) == "h"]
    return seen or [leaf for _, leaf in leaves]


def precision(dtype: Any) -> AbstractContextManager:
    """A context in which JAX can hold `dtype`: float64 is switched on here, at the edge, and never globally."""
    wide = np.dtype(dtype) in (np.dtype(np.float64), np.dtype(np.complex128))
    return jax.enable_x64(True) if wide else nullcontext()


def _handed_over(tree: PyTree) -> PyTree:
    # A float64 JAX array is truncated by the first operation outside the switch, so callers get NumPy there.
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))
    return tree if traced or jax.config.jax_enable_x64 else jax.tree.map(np.asarray, tree)
