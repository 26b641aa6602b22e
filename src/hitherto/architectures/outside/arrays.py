"""Array files from outside, opened without trust: every size is checked before an array is read."""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

Kind = Literal["safetensors", "npz", "torch", "keras", "hdf5", "onnx"]

MAX_BYTES = 4 * 2**30
MAX_HEADER = 100_000_000
MAX_TENSORS = 100_000
MAX_RANK = 8
MAX_RATIO = 1000

HOW_TO_SAVE = "save the weights with `safetensors.torch.save_file(model.state_dict(), path)` and read that file"


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of a file or an object: names, shapes and types are known, values are read on request.

    Attributes:
        source: what messages call it, a file name or a type.
        shapes: by name, in the order of the source.
        dtypes: by name, as NumPy spells them (`float32`, `bfloat16`, ...).
        fetch: the values of one array by name; use `read`, which checks them.
        metadata: strings that came with the arrays.
    """

    source: str
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    fetch: Callable[[str], np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def read(self, name: str) -> np.ndarray:
        """The values of one array; float16 and bfloat16 are widened to float32, which is exact.

        Raises:
            ValueError: if the array does not hold floating point numbers, or not all of them are finite.
        """
        if self.dtypes[name] not in ("float16", "bfloat16", "float32", "float64"):
            raise ValueError(
                f"{self.source}: {name} holds {self.dtypes[name]} values; weights are read as float16, "
                "bfloat16, float32 or float64: save the model unquantised"
            )
        values = np.asarray(self.fetch(name))
        wide = values.astype(np.result_type(np.float32, values.dtype.newbyteorder("=")), copy=False)
        bad = int(np.sum(~np.isfinite(wide)))
        if bad:
            raise ValueError(
                f"{self.source}: {name} holds NaN or infinite values ({bad} of {wide.size}); a model with "
                "such weights has no memory to measure: save it before training diverged"
            )
        return wide


def in_memory(source: str, arrays: Mapping[str, Any]) -> Arrays:
    """Arrays that are loaded already, under the same checks."""
    shapes = {name: tuple(np.shape(a)) for name, a in arrays.items()}
    dtypes = {name: np.dtype(a.dtype).name for name, a in arrays.items()}
    return Arrays(source, shapes, dtypes, lambda name: np.asarray(arrays[name]))


# What a file is, from its first bytes

_SUFFIXES: dict[str, Kind] = {
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".pt": "torch",
    ".pth": "torch",
    ".keras": "keras",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".onnx": "onnx",
}
_CONTENTS = {
    "npz": "a zip archive",
    "torch": "a zip archive",
    "keras": "a zip archive",
    "hdf5": "an HDF5 file",
}
_CONTENTS |= {"safetensors": "a safetensors file", "onnx": "something else"}


def sniff(path: Path | str) -> Kind:
    """What kind of model file this is, by its content; the suffix decides where content has no mark.

    Raises:
        ValueError: if there is no such file, it is a folder or empty, suffix and content disagree, or the
            content is a kind that is never read (pickles, TorchScript).
    """
    path = Path(path)
    content, said = _content(_first_bytes(path)), _SUFFIXES.get(path.suffix.lower())
    if content == "a pickle":
        if said == "torch":
            return said  # how PyTorch saved before 1.6; still read with weights_only
        raise ValueError(
            f"{path.name} holds a pickle (it starts with 0x80), and unpickling can run any code, so it is "
            f"never done: {HOW_TO_SAVE}; NumPy arrays with `numpy.savez(path, **arrays)`"
        )
    damaged = said == "safetensors" and content == "something else"  # its reader says what is wrong with it
    if said and content != _CONTENTS[said] and not damaged:
        raise ValueError(
            f"{path.name}: the suffix says {said}, the first bytes say {content}; give the file its right "
            "suffix, or save it again"
        )
    if content == "a zip archive":
        return _zip_kind(path, said)
    return said or next(kind for kind, mark in _CONTENTS.items() if mark == content)  # type: ignore[return-value]


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise ValueError(f"there is no file {path}; check the path")
    if not path.is_file():
        raise ValueError(f"{path} is a folder, not a model file; give the path of the file inside it")
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except OSError as error:
        raise ValueError(f"{path} cannot be opened ({error.strerror}); check its permissions") from error
    if not first:
        raise ValueError(f"{path.name} is empty (0 bytes); save or download it again")
    return first


def _content(first: bytes) -> str:
    braces = first[8:9] == b"{"
    # The length of a safetensors header may begin with any byte, also with the mark of a pickle.
    if braces and first[4:8] == bytes(4):
        return "a safetensors file"
    if first.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file"
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "a zip archive"
    if first[0] == 0x80:
        return "a pickle"
    return "a safetensors file" if braces else "something else"


def _zip_kind(path: Path, said: Kind | None) -> Kind:
    names = {Path(member.filename).name: member.filename for member in _zip_members(path)}
    if "constants.pkl" in names:
        raise ValueError(f"{path.name} is a TorchScript archive, which holds code and pickles: {HOW_TO_SAVE}")
    found: Kind | None = None
    if "data.pkl" in names:
        found = "torch"
    elif "model.weights.h5" in names:
        found = "keras"
    elif names and all(name.endswith(".npy") for name in names):
        found = "npz"
    if found is None or (said and said != found):
        raise ValueError(
            f"{path.name}: the suffix says {said or 'nothing'}, the zip archive holds "
            f"{found or 'no known model'} ({', '.join(sorted(names)[:5])}); give a .npz, .keras or .pt file"
        )
    return found


def _expect(path: Path, kind: Kind) -> None:
    found = sniff(path)
    if found != kind:
        raise ValueError(f"{path.name} was to be read as {kind}, but it looks like {found}; read it as that")


def _check_total(path: Path, total: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise ValueError(
            f"{path.name}: its arrays take {total} bytes, more than the limit of {max_bytes}; raise "
            "--max-bytes if the file is trusted"
        )


# safetensors

_BITS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8)
_BITS |= dict.fromkeys(("I16", "U16", "F16", "BF16"), 16) | dict.fromkeys(("I32", "U32", "F32"), 32)
_BITS |= dict.fromkeys(("I64", "U64", "F64", "C64"), 64) | {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_FLOATS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
}


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: Path | str, max_bytes: int = MAX_BYTES) -> Arrays:
    """Open a safetensors file: 8 bytes of header length, a JSON header, then the arrays without gaps.

    Raises:
        ValueError: if any of this does not hold, with the reason.
    """
    path = Path(path)
    _expect(path, "safetensors")
    start, header = _header(path)
    size = path.stat().st_size - start
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{path.name}: __metadata__ in the header is not a table of strings; save the file again")
    if len(header) > MAX_TENSORS:
        raise ValueError(f"{path.name}: {len(header)} tensors, more than {MAX_TENSORS}; save the recurrent part alone")
    entries = {name: _entry(path, name, entry) for name, entry in header.items()}
    _check_tiling(path, entries, size)
    _check_total(path, size, max_bytes)

    def fetch(name: str) -> np.ndarray:
        entry = entries[name]
        with path.open("rb") as file:
            file.seek(start + entry.begin)
            return np.fromfile(file, np.uint8, entry.end - entry.begin).view(_FLOATS[entry.dtype]).reshape(entry.shape)

    dtypes = {name: _FLOATS[e.dtype].name if e.dtype in _FLOATS else e.dtype for name, e in entries.items()}
    return Arrays(path.name, {name: e.shape for name, e in entries.items()}, dtypes, fetch, metadata)


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8:
            raise ValueError(f"{path.name}: {size} bytes, shorter than the 8 bytes that begin a safetensors file")
        if length > MAX_HEADER:
            raise ValueError(f"{path.name}: header length {length} is above the limit of 100 MB; save the file again")
        if length > size - 8:
            raise ValueError(
                f"{path.name}: header length {length} is larger than the file ({size} bytes); it is cut "
                "short or damaged: get it again"
            )
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: the header is not UTF-8 ({error.reason}); get the file again") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name}: the header is not JSON ({error}); get the file again") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(header, dict) or not text.startswith(b"{"):
        raise ValueError(f"{path.name}: the header is not an object that begins with {{; get the file again")
    return 8 + length, header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate tensor name or key {twice!r} in the header; save the file again")
    return seen


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _entry(path: Path, name: str, entry: Any) -> _Entry:
    where = f"{path.name}: {name}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where} needs dtype, shape and data_offsets in the header, found {entry!r:.80}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{where} has the unknown dtype {dtype!r:.40}; save it as F32 or F64")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_whole, shape)):
        raise ValueError(f"{where} has the shape {shape!r:.80}; expected at most {MAX_RANK} whole numbers")
    if any(n < 0 for n in shape):
        raise ValueError(f"{where} has a negative dimension in its shape {shape}; save the file again")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise ValueError(f"{where} has data_offsets {offsets!r:.80}; expected two whole numbers")
    begin, end = offsets
    if not 0 <= begin <= end:
        raise ValueError(f"{where}: its offset begins after its end or below 0 ({begin}, {end}); save the file again")
    return _Entry(dtype, tuple(shape), begin, end)


def _check_tiling(path: Path, entries: Mapping[str, _Entry], size: int) -> None:
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            how = "tensors overlap" if entry.begin < at else "there is a hole between tensors"
            raise ValueError(f"{path.name}: {how}: {name} begins at {entry.begin}, expected {at}; save the file again")
        bits = math.prod(entry.shape) * _BITS[entry.dtype]
        if bits >= 2**63:
            raise ValueError(f"{path.name}: the shape product of {name} {entry.shape} overflows 64 bits; refused")
        if bits != 8 * (entry.end - entry.begin):
            raise ValueError(
                f"{path.name}: shape and byte range of {name} disagree: {entry.dtype} {entry.shape} takes "
                f"{bits / 8:g} bytes, the range has {entry.end - entry.begin}; save the file again"
            )
        at = entry.end
    if at != size:
        what = "the data are shorter than the last offset" if at > size else "there are bytes after the last tensor"
        raise ValueError(f"{path.name}: {what}: {size} bytes of data, expected {at}; get the file again")


# npz


def read_npz(path: Path | str, max_bytes: int = MAX_BYTES) -> Arrays:
    """Open a NumPy archive; nothing is unpickled or put on disk, arrays without axes are left out.

    Raises:
        ValueError: if a member is encrypted, packed too densely, holds objects, or is not as long as its
            header says.
    """
    path = Path(path)
    _expect(path, "npz")
    members = _zip_members(path)
    _check_total(path, sum(m.file_size for m in members), max_bytes)
    headers = {m.filename.removesuffix(".npy"): _npy_header(path, m) for m in members}
    arrays = {name: header for name, header in headers.items() if header[0]}

    def fetch(name: str) -> np.ndarray:
        with _damage_told(path, name), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    shapes = {name: shape for name, (shape, _) in arrays.items()}
    return Arrays(path.name, shapes, {name: dtype.name for name, (_, dtype) in arrays.items()}, fetch)


def _zip_members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path.name}: the zip archive cannot be opened ({error}); get the file again") from error
    if len(members) > MAX_TENSORS:
        raise ValueError(f"{path.name}: {len(members)} members, more than {MAX_TENSORS}; save the recurrent part alone")
    names = [m.filename for m in members]
    for member in members:
        _check_member(path, member)
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: the zip archive holds two members of one name; save the file again")
    return members


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    where = f"{path.name}: member {member.filename}"
    if member.flag_bits & 1:
        raise ValueError(f"{where} is encrypted; save it without a password")
    if member.filename.startswith(("/", "\\")) or ".." in Path(member.filename).parts:
        raise ValueError(f"{where} points outside the archive; refused")
    if member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise ValueError(
            f"{where} would grow from {member.compress_size} to {member.file_size} bytes, more than "
            f"{MAX_RATIO} times; save it uncompressed (np.savez) if it is genuine"
        )


def _npy_header(path: Path, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype]:
    where = f"{path.name}: {member.filename}"
    with _damage_told(path, member.filename), zipfile.ZipFile(path) as archive, archive.open(member) as file:
        shape, dtype = _read_npy_header(file)
        held = member.file_size - file.tell()
    if dtype.hasobject or dtype.names:
        raise ValueError(
            f"{where} is an object array or a table: it would need unpickling, which can run any code; "
            "save plain arrays of numbers"
        )
    if len(shape) > MAX_RANK or any(n < 0 for n in shape):
        raise ValueError(f"{where} has the shape {shape}; expected at most {MAX_RANK} sizes, none negative")
    if math.prod(shape) * dtype.itemsize != held:
        raise ValueError(
            f"{where}: its header asks for {math.prod(shape) * dtype.itemsize} bytes (shape {shape}), the "
            f"member holds {held}; get the file again"
        )
    return tuple(shape), dtype


def _read_npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"npy version {version} is not 1.0 or 2.0")
    shape, _, dtype = readers[version](file)
    return shape, dtype


@contextmanager
def _damage_told(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path.name}: {name} cannot be read ({error}); get the file again") from error


# PyTorch


def read_torch(path: Path | str, max_bytes: int = MAX_BYTES) -> Arrays:
    """The state dict in a `.pt` or `.pth` file, through `torch.load(weights_only=True)` alone.

    Raises:
        ValueError: if PyTorch is not installed, or the file holds more than tensors in plain containers.
    """
    path = Path(path)
    _expect(path, "torch")
    total = sum(m.file_size for m in _zip_members(path)) if zipfile.is_zipfile(path) else path.stat().st_size
    _check_total(path, total, max_bytes)
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path.name} is a PyTorch file, and PyTorch is not installed: where it is, {HOW_TO_SAVE}"
        ) from error
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # unpickling foreign bytes fails in any way
        raise ValueError(
            f"{path.name} is not a plain state dict ({str(error).splitlines()[0]:.120}), and whole pickled "
            f"modules are never loaded: {HOW_TO_SAVE}"
        ) from error
    return from_state_dict(path.name, _state_dict(path, loaded))


def from_state_dict(source: str, tensors: Mapping[str, Any]) -> Arrays:
    """The dense tensors of a PyTorch state dict, converted when they are read."""
    names = [name for name, value in tensors.items() if _is_tensor(value)]
    shapes = {n: tuple(tensors[n].shape) for n in names}
    dtypes = {n: str(tensors[n].dtype).removeprefix("torch.") for n in names}

    def fetch(name: str) -> np.ndarray:
        tensor = tensors[name].detach().cpu()
        return (tensor.float() if dtypes[name] == "bfloat16" else tensor).numpy()

    return Arrays(source, shapes, dtypes, fetch)


WRAPPED = ("state_dict", "model_state_dict", "model_state", "model")  # what training scripts call the weights


def _state_dict(path: Path, loaded: Any) -> Mapping[str, Any]:
    """The weights of a checkpoint, which may hold the state of an optimiser and counters beside them."""
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path.name} holds a {type(loaded).__name__}, not a state dict: {HOW_TO_SAVE}")
    inner = {key: part for key, part in loaded.items() if isinstance(part, Mapping) and _holds_tensors(part)}
    named = [key for key in WRAPPED if key in inner]
    if named:
        return inner[named[0]]
    if _holds_tensors(loaded):
        return loaded
    if len(inner) == 1:
        return next(iter(inner.values()))
    raise ValueError(
        f"{path.name} was asked for weights, but holds {', '.join(map(str, loaded)) or 'nothing'}, of which "
        f"{', '.join(map(str, inner)) or 'none'} hold tensors: {HOW_TO_SAVE}"
    )


def _holds_tensors(part: Mapping[str, Any]) -> bool:
    return any(map(_is_tensor, part.values()))


def _is_tensor(value: Any) -> bool:
    """Told without importing PyTorch; its dtypes and devices are none."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "numpy")
