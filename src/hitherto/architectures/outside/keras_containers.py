"""The files that Keras writes, opened without trust: HDF5 in two layouts, and .keras archives around it."""

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jax.numpy as jnp
import numpy as np

from hitherto.architectures.outside.arrays import MAX_RANK, MAX_RATIO, MAX_TENSORS, Arrays, in_memory, sniff

MAX_TEXT = 16 * 2**20  # bytes of a config
MAX_DEPTH = 32  # of groups in groups
MAX_CELLS = 1000

_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
_ROLES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
_CELL = re.compile(r"(?P<cell>(?:.*/)?cell(?:/cells/(?P<kind>[^/]+?)(?:_\d+)?)?)/vars/(?P<number>\d+)")
_KERAS_1 = re.compile(r".*_(U|[WUb]_[icfozrh])(:0)?")


class StoredCell(NamedTuple):
    """Where a file keeps one recurrent cell.

    Attributes:
        path: in the file; by its parts, the layer and the direction are known.
        fields: `kernel`, `recurrent_kernel` and perhaps `bias` -> name of the array.
        kind: the class of a cell in a stack, in snake case, where the layout tells it; else "".
    """

    path: tuple[str, ...]
    fields: Mapping[str, str]
    kind: str = ""


@dataclass(frozen=True, eq=False)
class Contents:
    """What a Keras file holds of interest.

    Attributes:
        arrays: those of the recurrent cells, no others.
        cells: in the order of the file; of cells with numbered names, in the order of the numbers.
        layer_names: of all layers in order, recurrent or not, in the legacy layout, where groups are named by
            layer; empty in the layout of Keras 3, where they are named by class and number.
        labels: the names that layers were given in the layout of Keras 3, by group.
        config: of the whole model, None where only weights were saved.
        version: `keras_version`, None where it was not saved.
    """

    arrays: Arrays
    cells: tuple[StoredCell, ...]
    layer_names: tuple[str, ...]
    labels: Mapping[str, str]
    config: Mapping[str, Any] | None
    version: str | None

    @property
    def numbered(self) -> bool:
        """Whether groups are named by class and number."""
        return not self.layer_names


def keras_contents(path: Path, max_bytes: int) -> Contents:
    """Open a .keras, .weights.h5 or legacy .h5 file and read the arrays of its recurrent cells.

    Raises:
        ValueError: if the file is none of these, is damaged, reaches outside itself, or claims to be larger
            than it can be.
    """
    kind = sniff(path)
    if kind == "keras":
        return _archive(path, max_bytes)
    if kind != "hdf5":
        raise ValueError(f"{path.name} was to be read as a Keras file, but it looks like {kind}; read it as that")
    return _hdf5(path.name, path, path.stat().st_size, max_bytes)


# The .keras archive


def _archive(path: Path, max_bytes: int) -> Contents:
    with _damage_told(path.name), zipfile.ZipFile(path) as archive:
        metadata = _json(path.name, _member(path.name, archive, "metadata.json", MAX_TEXT))
        config = _json(path.name, _member(path.name, archive, "config.json", MAX_TEXT))
        weights = _member(path.name, archive, "model.weights.h5", max_bytes)
    where = f"{path.name}: model.weights.h5"
    stored = _hdf5(where, io.BytesIO(weights), len(weights), max_bytes)
    return replace(stored, config=config, version=str(metadata.get("keras_version", "")) or None)


def _member(source: str, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise ValueError(
            f"{source} has no member {name}, only {', '.join(archive.namelist()[:5])}; a .keras file has "
            "metadata.json, config.json and model.weights.h5: save the model again"
        )
    declared = archive.getinfo(name).file_size
    if declared > limit:
        raise ValueError(
            f"{source}: {name} takes {declared} bytes, more than the limit of {limit}; raise --max-bytes if "
            "the file is trusted"
        )
    with archive.open(name) as file:
        data = file.read(declared + 1)
    if len(data) != declared:
        raise ValueError(f"{source}: {name} holds {len(data)} bytes, {declared} are declared; get the file again")
    return data


def _json(source: str, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: the config is not JSON ({error}); save the model again") from error
    if not isinstance(value, dict):
        raise ValueError(f"{source}: the config is {type(value).__name__}, not a JSON object; save the model again")
    return value


@contextmanager
def _damage_told(source: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{source} cannot be read ({error}); it is cut short or damaged: get it again") from error


# HDF5


def _hdf5(source: str, file: Path | io.BytesIO, size: int, max_bytes: int) -> Contents:
    with _damage_told(source), h5py.File(file, "r", locking=False) as root:
        datasets, labels = _inventory(source, root)
        group = root["model_weights"] if isinstance(root.get("model_weights"), h5py.Group) else root
        layers = _list(source, group, "layer_names")
        cells = _legacy_cells(source, group, layers) if layers else _numbered_cells(source, datasets)
        arrays = _read(source, datasets, [name for cell in cells for name in cell.fields.values()], size, max_bytes)
        config = _text(source, root, "model_config")
        version = _text(source, group, "keras_version") or _text(source, root, "keras_version")
    config = _json(source, config) if config is not None else None
    return Contents(arrays, cells, tuple(layers), labels, config, version)


def _inventory(source: str, root: h5py.File) -> tuple[dict[str, h5py.Dataset], dict[str, str]]:
    """All arrays by path, and the names that layers were given, by the group of the layer."""
    datasets: dict[str, h5py.Dataset] = {}
    labels: dict[str, str] = {}
    for number, (path, item) in enumerate(_walk(source, root)):
        if number > MAX_TENSORS:
            raise ValueError(f"{source}: more than {MAX_TENSORS} groups and arrays; save the recurrent part alone")
        if isinstance(item, h5py.Dataset):
            datasets[path] = item
        elif path.endswith("/vars"):
            labels[path.removesuffix("/vars")] = _text(source, item, "name") or ""
    return datasets, labels


def _walk(source: str, group: h5py.Group, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Everything below a group that is reached by hard links; any other link is refused."""
    if depth > MAX_DEPTH:
        raise ValueError(
            f"{source}: groups are nested deeper than {MAX_DEPTH} at {prefix[:80]}; no Keras file is: refused"
        )
    for name in group:
        link = group.get(name, getlink=True)
        path = f"{prefix}{name}"
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{source}: {path} is {_link_said(link)}; Keras writes no links, and none is followed: "
                "save the model again"
            )
        item = group[name]
        yield path, item
        if isinstance(item, h5py.Group):
            yield from _walk(source, item, f"{path}/", depth + 1)


def _link_said(link: h5py.ExternalLink | h5py.SoftLink | None) -> str:
    if isinstance(link, h5py.ExternalLink):
        return f"an external link to {link.path} in the file {link.filename}"
    return f"a soft link to {link.path}" if link else "a damaged link"


def _numbered_cells(source: str, datasets: Mapping[str, h5py.Dataset]) -> tuple[StoredCell, ...]:
    fields: dict[str, dict[str, str]] = {}
    kinds: dict[str, str] = {}
    for path in datasets:
        if match := _CELL.fullmatch(path):
            role = _ROLES.get(match["number"], match["number"])
            fields.setdefault(match["cell"], {})[role] = path
            kinds[match["cell"]] = match["kind"] or ""
    _check_cells(source, fields, datasets)
    return tuple(
        StoredCell(tuple(cell.split("/")), fields[cell], kinds[cell]) for cell in sorted(fields, key=by_number)
    )


def _legacy_cells(source: str, group: h5py.Group, layers: Sequence[str]) -> tuple[StoredCell, ...]:
    top = group.name.strip("/")
    places: dict[tuple[str, ...], dict[str, str]] = {}
    for layer, weight in _legacy_weights(source, group, layers):
        parent, _, last = weight.rpartition("/")
        name = "/".join(part for part in (top, layer, weight) if part)
        places.setdefault((layer, *parent.split("/")), {})[last.removesuffix(":0")] = name
    cells = {path: roles for path, roles in places.items() if "recurrent_kernel" in roles}
    by_path = {"/".join((top, *path)).strip("/"): roles for path, roles in cells.items()}
    _check_cells(source, by_path, [name for roles in places.values() for name in roles.values()])
    return tuple(StoredCell(path, roles) for path, roles in cells.items())


def _legacy_weights(source: str, group: h5py.Group, layers: Sequence[str]) -> Iterator[tuple[str, str]]:
    for layer in layers:
        if layer not in group:
            raise ValueError(f"{source}: layer_names lists {layer}, and there is no such group; save the model again")
        for weight in _list(source, group[layer], "weight_names"):
            if _KERAS_1.fullmatch(weight):
                raise ValueError(f"{source}: {layer} holds {weight}, as Keras 1 wrote it; re-save with Keras 2")
            yield layer, weight


def _check_cells(source: str, cells: Mapping[str, Mapping[str, str]], names: Iterable[str]) -> None:
    """Refuse cells that lack a matrix, or that have further arrays, such as those of a normalisation."""
    if len(cells) > MAX_CELLS:
        raise ValueError(f"{source}: {len(cells)} recurrent cells, more than {MAX_CELLS}; save fewer in a file")
    for cell, roles in cells.items():
        further = [name for role, name in roles.items() if role not in _ROLES.values()]
        missing = [role for role in ("kernel", "recurrent_kernel") if role not in roles]
        if missing or further:
            raise _no_plain_cell(source, cell, f"no {missing[0]}" if missing else f"{further[0]} beside it")
    for name in names:
        around = (cell for cell in accumulate(name.split("/"), "{}/{}".format) if cell in cells)
        owner = next(around, None)
        if owner and name not in cells[owner].values() and "seed_generator" not in name:
            raise _no_plain_cell(source, owner, f"{name} beside it")


def _no_plain_cell(source: str, cell: str, has: str) -> ValueError:
    return ValueError(
        f"{source}: the recurrent cell {cell} has {has}; only cells of kernel, recurrent_kernel and bias are "
        "read: layer-normalised, convolutional and own cells are not supported"
    )


def by_number(name: str) -> list[Any]:
    """A key that sorts names by the numbers in them: `lstm`, `lstm_2`, `lstm_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(?<=_)(\d+)", name)]


# Arrays


def _read(source: str, datasets: Mapping[str, h5py.Dataset], names: Sequence[str], size: int, max_bytes: int) -> Arrays:
    missing = [name for name in names if name not in datasets]
    if missing:
        raise ValueError(f"{source}: {missing[0]} is listed in weight_names, and not stored; save the model again")
    total = sum(_checked_bytes(source, name, datasets[name], size) for name in names)
    if total > max_bytes:
        raise ValueError(
            f"{source}: its recurrent arrays take {total} bytes, more than the limit of {max_bytes}; raise "
            "--max-bytes if the file is trusted"
        )
    return in_memory(source, {name: _values(datasets[name]) for name in names})


def _values(dataset: h5py.Dataset) -> np.ndarray:
    values = dataset[()]
    halves = values.dtype.kind == "V" and values.dtype.itemsize == 2 and dataset.attrs.get("dtype") == "bfloat16"
    return values.view(jnp.bfloat16) if halves else values


def _checked_bytes(source: str, name: str, dataset: h5py.Dataset, size: int) -> int:
    """Bytes that the array takes, once it is sure that the file itself holds it in a form we read."""
    where, shape = f"{source}: {name}", dataset.shape
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{where} takes its values from other files; they are never opened: save the model again")
    if shape is None or len(shape) > MAX_RANK:
        raise ValueError(f"{where} has the shape {shape}; expected at most {MAX_RANK} sizes")
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(k) for k in range(settings.get_nfilters())]
    if any(code not in _FILTERS for code, *_ in filters):
        codes = ", ".join(str(code) for code, *_ in filters)
        raise ValueError(
            f"{where} is packed by the HDF5 filters {codes}; only gzip is read: save it with gzip or plain"
        )
    declared = dataset.dtype.itemsize * max(math.prod(shape), math.prod(dataset.chunks or ()))
    if declared > size * (MAX_RATIO if filters else 1):
        raise ValueError(
            f"{where} declares {declared} bytes (shape {shape}), the file has {size}; it is damaged or made "
            "to exhaust memory: refused"
        )
    if math.prod(shape) and not dataset.id.get_storage_size():
        raise ValueError(f"{where} of shape {shape} has no stored values; save the model again")
    return declared


# Attributes


def _attribute(source: str, group: h5py.Group, name: str) -> Any:
    stored = group.attrs.get_id(name)
    if math.prod(stored.shape) * stored.dtype.itemsize > MAX_TEXT:
        raise ValueError(
            f"{source}: the attribute {name} takes more than {MAX_TEXT} bytes; no Keras file does: refused"
        )
    return group.attrs[name]


def _text(source: str, group: h5py.Group, name: str) -> str | None:
    if name not in group.attrs:
        return None
    value = _attribute(source, group, name)
    if not isinstance(value, str | bytes) or len(value) > MAX_TEXT:
        raise ValueError(
            f"{source}: the attribute {name} is not a text of at most {MAX_TEXT} bytes; save the model again"
        )
    return _decoded(value)


def _list(source: str, group: h5py.Group, name: str) -> list[str]:
    """A list of texts in one attribute, or in several that are numbered from 0; empty if there is none."""
    parts = (
        [name] if name in group.attrs else list(takewhile(group.attrs.__contains__, (f"{name}{k}" for k in count())))
    )
    return [_decoded(value) for part in parts for value in np.ravel(_attribute(source, group, part))]


def _decoded(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
