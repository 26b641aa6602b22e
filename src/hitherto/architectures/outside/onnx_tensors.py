"""ONNX tensors as NumPy arrays, with every declared size checked before anything is allocated."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx

# Bytes of one element in `raw_data`; types that are not here (strings, complex, 8 bits and less) are refused.
ELEMENT_BYTES = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.BFLOAT16: 2,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.INT16: 2,
    onnx.TensorProto.UINT16: 2,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.UINT32: 4,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.UINT64: 8,
    onnx.TensorProto.BOOL: 1,
}
_HIGHEST_RANK = 8


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes the tensor takes by its declared dimensions.

    Raises:
        ValueError: if its type is not numeric, a dimension is negative or the rank is above 8.
    """
    if tensor.data_type not in ELEMENT_BYTES:
        kind = {number: name for name, number in onnx.TensorProto.DataType.items()}.get(tensor.data_type, "unknown")
        raise ValueError(f"tensor {tensor.name!r} has elements of type {kind}; only plain numbers are read")
    if len(tensor.dims) > _HIGHEST_RANK or min(tensor.dims, default=0) < 0:
        raise ValueError(
            f"tensor {tensor.name!r} declares the shape {list(tensor.dims)[:12]}; "
            f"a shape has at most {_HIGHEST_RANK} dimensions, none of them negative: the file is damaged"
        )
    return math.prod(tensor.dims) * ELEMENT_BYTES[tensor.data_type]


def tensor_array(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """The tensor's values; data kept outside the file are read only from files below `folder`.

    Raises:
        ValueError: if data and declared dimensions disagree, or external data lie elsewhere.
    """
    needed = tensor_bytes(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _with_raw_data(tensor, _external_data(tensor, folder, needed))
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
    else:
        stored = getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))
        held = len(stored) * ELEMENT_BYTES[tensor.data_type]
    if held != needed:
        raise ValueError(
            f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {needed} bytes, the file holds "
            f"{held}: the file is damaged"
        )
    return onnx.numpy_helper.to_array(tensor)


def _with_raw_data(tensor: onnx.TensorProto, data: bytes) -> np.ndarray:
    whole = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=data)
    return onnx.numpy_helper.to_array(whole)


def _external_data(tensor: onnx.TensorProto, folder: Path, needed: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(folder, entries.get("location", ""), tensor.name)
    offset, size = _integer(entries, "offset", 0, tensor), path.stat().st_size
    length = _integer(entries, "length", size - offset, tensor)
    if length != needed or offset + length > size:
        raise ValueError(
            f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {needed} bytes, but the file names "
            f"bytes {offset} to {offset + length} of {path.name} ({size} bytes): fetch both files again"
        )
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(folder: Path, location: str, name: str) -> Path:
    relative = Path(location)
    try:
        root, path = folder.resolve(), (folder / location).resolve()
        there = path.is_file()
    except (OSError, RuntimeError) as error:  # names too long, links in a circle
        raise ValueError(f"tensor {name!r} is kept in {location[:80]!r}, which is no path ({error})") from error
    leaves = relative.is_absolute() or ".." in relative.parts or "\\" in location
    if not location or leaves or not path.is_relative_to(root):
        raise ValueError(
            f"tensor {name!r} is kept in {location!r}, which leaves the folder of the model; "
            "only files beside the model are read"
        )
    if not there:
        raise ValueError(f"tensor {name!r} is kept in {location!r}, which is not there; put it beside the model")
    return path


def _integer(entries: dict[str, Any], key: str, default: int, tensor: onnx.TensorProto) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"tensor {tensor.name!r} has {key} {text!r} in its data file, not a whole number >= 0")
    return int(text)
