"""Models from objects that are loaded already, and the adapter that makes any step function a model."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from hitherto.architectures.outside import names
from hitherto.architectures.outside.arrays import Arrays, from_state_dict, in_memory
from hitherto.architectures.outside.found import Found, Reading
from hitherto.architectures.outside.plan import Plan
from hitherto.architectures.wrappers import StepFunction
from hitherto.core.model import Model, State, precision

_EXACT_CELLS = (eqx.nn.LSTMCell, eqx.nn.GRUCell)


def from_object(obj: Any, reading: Reading | None = None) -> list[Found]:
    """The recurrent models in an object that is loaded already.

    Args:
        obj: a PyTorch module, an Equinox or Flax nnx module, or a dict of arrays, nested or flat (parameters
            of Flax and Haiku, state dicts). No framework is imported: an object of one means it is loaded.
        reading: what the object does not say; modules of PyTorch and cells of Equinox say everything.
    Raises:
        ValueError: if there is no recurrent layer in it, or one that is not supported.
    """
    reading = reading or Reading()
    arrays, exact = _opened(obj)
    plans = []
    for prefix, activation in exact.items():
        own = {name: shape for name, shape in arrays.shapes.items() if name.startswith(prefix)}
        plans += [_certain(plan) for plan in names.single_layers(own, Reading(activation=activation))]
    rest = {name: shape for name, shape in arrays.shapes.items() if not name.startswith(tuple(exact))}
    plans += names.single_layers(rest, reading)
    plans = names.chain(plans, arrays.shapes) if plans else names.find_layers(arrays.shapes, reading)
    return [plan.carry_out(arrays) for plan in plans]


def _certain(plan: Plan) -> Plan:
    return replace(plan, assumptions=(), members=tuple(_certain(member) for member in plan.members))


def _opened(obj: Any) -> tuple[Arrays, dict[str, str | None]]:
    """The arrays of an object, and the prefixes of layers known for certain, with their activation."""
    kind = type(obj).__name__
    torch, nnx = sys.modules.get("torch"), sys.modules.get("flax.nnx")
    if torch and isinstance(obj, torch.nn.Module):
        return from_state_dict(kind, obj.state_dict()), _torch_layers(obj)
    if nnx and isinstance(obj, nnx.Module):
        obj = nnx.to_pure_dict(nnx.state(obj, nnx.Param))
    leaves = {name: leaf for name, leaf in _named_leaves(obj) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")}
    if not leaves:
        raise ValueError(
            f"a {kind} object holds no arrays that can be read; give a torch, Equinox or Flax nnx module, "
            "its parameters as a dict of arrays, or wrap any step function with hitherto.adapt"
        )
    tensors = torch and any(isinstance(leaf, torch.Tensor) for leaf in leaves.values())
    cells = _named_leaves(obj, lambda node: isinstance(node, _EXACT_CELLS))
    exact = {f"{name}." if name else "": None for name, cell in cells if isinstance(cell, _EXACT_CELLS)}
    return (from_state_dict if tensors else in_memory)(kind, leaves), exact


def _torch_layers(module: Any) -> dict[str, str | None]:
    # Subclasses and parametrized layers are classes from elsewhere: they may compute something else.
    return {
        f"{path}." if path else "": getattr(layer, "nonlinearity", None)
        for path, layer in module.named_modules()
        if type(layer).__module__ == "torch.nn.modules.rnn"
    }


def _named_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return [(".".join(jax.tree_util.keystr((key,), simple=True) for key in path), leaf) for path, leaf in leaves]


def adapt(step: Callable[[State, Array], tuple[State, Array]], start: State, input_size: int) -> Model:
    """Any step function as a model that can be measured.

    Args:
        step: (state, x) -> (state, y), x (input_size,) and y (channels,), written with JAX operations.
        start: the first state, a tree of arrays; its precision is the model's.
        input_size: channels that enter at each step.
    Raises:
        ValueError: if `step` does not return a pair, y is not one-dimensional, or the state changes its form.
    """
    start = jax.tree.map(np.asarray, start)
    leaves = jax.tree.leaves(start)
    if not leaves or not any(np.issubdtype(leaf.dtype, np.floating) for leaf in leaves):
        raise ValueError("start holds no floating point array, so there is no state to measure; give the first state")
    dtype = np.result_type(*(leaf.dtype for leaf in leaves))
    with precision(dtype):
        made = jax.eval_shape(step, start, jax.ShapeDtypeStruct((input_size,), dtype))
    if not isinstance(made, tuple) or len(made) != 2:
        raise ValueError(f"step returns a {type(made).__name__}, expected the pair (state, y); return both")
    state, y = made
    before, after = _form(start), _form(state)
    if before != after:
        raise ValueError(
            f"step changes the form of the state from {before} to {after}; keep structure, shapes and types"
        )
    if getattr(y, "ndim", None) != 1:
        raise ValueError(f"step returns y as {_form(y)}, expected one axis (channels,); return jnp.atleast_1d(y)")
    return Model(StepFunction(step, input_size, y.shape[0]), {"start": start})


def _form(tree: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree))
