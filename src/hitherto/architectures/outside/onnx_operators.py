"""The few ONNX operators that exporters put between stored weights and a recurrent node, on NumPy arrays.

Each takes its inputs (None where an optional one is absent), its attributes and the number of its outputs,
and returns all outputs in order. `output_elements` says beforehand how large those get.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx

Inputs = Sequence[np.ndarray | None]
Attributes = Mapping[str, Any]
Operator = Callable[[Inputs, Attributes, int], Sequence[np.ndarray]]


def output_elements(op: str, inputs: Inputs, attributes: Attributes) -> int:
    """Elements of all outputs together, in Python integers and without computing them; an upper bound."""
    if op == "ConstantOfShape":
        return math.prod(_integers(inputs[0]))
    if op == "Gather":
        data, indices = inputs
        return data.size // max(1, data.shape[attributes.get("axis", 0)]) * indices.size
    if op == "Expand":
        return _broadcast_elements(inputs[0].shape, _integers(inputs[1]))
    if op in ARITHMETIC:
        return _broadcast_elements(inputs[0].shape, inputs[1].shape)
    return sum(x.size for x in inputs if x is not None)


def _broadcast_elements(*shapes: Sequence[int]) -> int:
    return math.prod(max(sizes) for sizes in zip_longest(*(reversed(s) for s in shapes), fillvalue=1))


def _integers(x: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in x.ravel())


def _given(inputs: Inputs, attributes: Attributes, position: int, name: str) -> tuple[int, ...] | None:
    # Older operator sets hold axes, starts, ... as attributes, newer ones as inputs.
    if len(inputs) > position and inputs[position] is not None:
        return _integers(inputs[position])
    return tuple(attributes[name]) if name in attributes else None


def _identity(inputs, attributes, outputs):
    return (inputs[0],)


def _cast(inputs, attributes, outputs):
    return (inputs[0].astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])),)


def _slice(inputs, attributes, outputs):
    starts = _given(inputs, attributes, 1, "starts")
    ends = _given(inputs, attributes, 2, "ends")
    axes = _given(inputs, attributes, 3, "axes") or range(len(starts))
    steps = _given(inputs, attributes, 4, "steps") or (1,) * len(starts)
    cut = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return (inputs[0][tuple(cut)],)


def _concat(inputs, attributes, outputs):
    return (np.concatenate(inputs, attributes["axis"]),)


def _unsqueeze(inputs, attributes, outputs):
    return (np.expand_dims(inputs[0], _given(inputs, attributes, 1, "axes")),)


def _squeeze(inputs, attributes, outputs):
    return (np.squeeze(inputs[0], _given(inputs, attributes, 1, "axes")),)


def _transpose(inputs, attributes, outputs):
    return (np.transpose(inputs[0], attributes.get("perm")),)


def _reshape(inputs, attributes, outputs):
    shape = _given(inputs, attributes, 1, "shape")
    if not attributes.get("allowzero", 0):
        shape = tuple(inputs[0].shape[k] if size == 0 else size for k, size in enumerate(shape))
    return (inputs[0].reshape(shape),)


def _split(inputs, attributes, outputs):
    data, axis = inputs[0], attributes.get("axis", 0)
    equal = (-(-data.shape[axis] // outputs),) * outputs
    sizes = _given(inputs, attributes, 1, "split") or equal
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def _gather(inputs, attributes, outputs):
    return (np.take(inputs[0], inputs[1], attributes.get("axis", 0)),)


def _constant_of_shape(inputs, attributes, outputs):
    value = attributes.get("value", np.zeros(1, np.float32))
    return (np.full(_integers(inputs[0]), value.item(), value.dtype),)


def _expand(inputs, attributes, outputs):
    shape = np.broadcast_shapes(inputs[0].shape, _integers(inputs[1]))
    return (np.broadcast_to(inputs[0], shape),)


def _shape(inputs, attributes, outputs):
    return (np.array(inputs[0].shape[attributes.get("start", 0) : attributes.get("end")], np.int64),)


def _divide(a, b):
    return a / b if np.issubdtype(a.dtype, np.floating) else np.trunc(a / b).astype(a.dtype)


def _dequantize(inputs, attributes, outputs):
    stored, scale, zero = (*inputs, None)[:3]
    if attributes.get("block_size", 0):
        raise ValueError("scales by blocks cannot be read; scales by tensor or by axis can")
    along = [1] * stored.ndim
    if scale.ndim:
        along[attributes.get("axis", 1)] = -1
    shifted = stored.astype(np.int64) - (0 if zero is None else zero.astype(np.int64).reshape(along))
    return (shifted.astype(scale.dtype) * scale.reshape(along),)


def _constant(inputs, attributes, outputs):
    kinds = {"value": None, "value_float": np.float32, "value_floats": np.float32}
    kinds |= {"value_int": np.int64, "value_ints": np.int64}
    name = next((name for name in kinds if name in attributes), None)
    if name is None:
        raise ValueError(f"a constant with the attributes {sorted(attributes)} holds no plain numbers")
    return (np.asarray(attributes[name], kinds[name]),)


def _pointwise(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Operator:
    return lambda inputs, attributes, outputs: (np.asarray(function(*inputs)),)


ARITHMETIC: dict[str, Operator] = {
    "Add": _pointwise(np.add),
    "Sub": _pointwise(np.subtract),
    "Mul": _pointwise(np.multiply),
    "Div": _pointwise(_divide),
}
OPERATORS: dict[str, Operator] = {
    "Constant": _constant,
    "Identity": _identity,
    "Cast": _cast,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Split": _split,
    "Gather": _gather,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Shape": _shape,
    "DequantizeLinear": _dequantize,
    **ARITHMETIC,
}
