"""Checkpoints of a training: one safetensors file with its settings as JSON, written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, PyTree

from hitherto import files

FORMAT = 1
_ENTRY = "hitherto_training"
_START_ANEW = "delete it to start anew, or restore it from a copy"
_OTHER_VERSIONS = f"it was written by other versions of hitherto or Optax, {_START_ANEW}"
Arrays = dict[str, np.ndarray]


def packed(tree: PyTree) -> Arrays:
    """The leaves of a tree by their paths; complex numbers as a last axis of two parts, random keys as their words."""
    return {_name(path): _stored(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def unpacked(like: PyTree, arrays: Arrays, source: Path) -> PyTree:
    """The tree that `packed` took apart, on the device.

    Raises:
        ValueError: if an array is of another shape or type than in `like`.
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: _restored(_name(path), leaf, arrays, source), like)


def save(path: Path, identity: Mapping[str, Any], arrays: Arrays) -> None:
    """Write arrays (each with at least one axis) and what they belong to.

    Raises:
        ValueError: if the file cannot be written.
    """
    stored = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    note = {"format": FORMAT, "identity": identity, "sha256": _digest(stored)}
    files.write(path, safetensors.numpy.save(stored, {_ENTRY: json.dumps(note)}))


def load(path: Path, identity: Mapping[str, Any], names: set[str]) -> Arrays:
    """The arrays of a checkpoint, which should have these names.

    Raises:
        ValueError: if the file is damaged, no checkpoint, of a newer format, or belongs to another training; the
            message names what differs.
    """
    note, arrays = _read(path)
    if note["format"] > FORMAT:
        raise ValueError(
            f"the checkpoint {path} has format {note['format']}, this version reads up to {FORMAT}; update hitherto, "
            "or give another file"
        )
    _check_same(path, json.loads(json.dumps(identity)), note["identity"])
    if _digest(arrays) != note.get("sha256"):
        raise ValueError(
            f"the checkpoint {path} is damaged: its arrays do not give the checksum written with them; {_START_ANEW}"
        )
    if different := names ^ arrays.keys():
        raise ValueError(
            f"the checkpoint {path} lacks or has too much: {', '.join(sorted(different))}; {_OTHER_VERSIONS}"
        )
    return arrays


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        note = json.loads(metadata.get(_ENTRY, "{}"))
    except (OSError, ValueError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"the checkpoint {path} is damaged or no safetensors file ({error}); {_START_ANEW}") from error
    whole = isinstance(note, dict) and type(note.get("format")) is int
    if not whole or (note["format"] <= FORMAT and not isinstance(note.get("identity"), dict)):
        raise ValueError(
            f"{path} is no checkpoint of a training, its metadata has no whole {_ENTRY!r}; give another file"
        )
    return note, arrays


def _check_same(path: Path, asked: dict[str, Any], written: dict[str, Any]) -> None:
    names = [name for name in asked | written if asked.get(name) != written.get(name)]
    if names:
        differing = "; ".join(f"{n} was {written.get(n)!r:.200}, now {asked.get(n)!r:.200}" for n in names)
        raise ValueError(
            f"the checkpoint {path} is of another training: {differing}. Ask for the same, or give another file"
        )


def _name(path: tuple) -> str:
    return f"run/{jax.tree_util.keystr(path, simple=True, separator='/')}"


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: Array) -> np.ndarray:
    # safetensors has no complex128, and keys are no numbers
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return np.stack([array.real, array.imag], -1) if np.iscomplexobj(array) else array


def _restored(name: str, like: Array, arrays: Arrays, source: Path) -> Array:
    wanted, found = _stored(like), arrays[name]
    if (wanted.shape, wanted.dtype) != (found.shape, found.dtype):
        raise ValueError(
            f"the checkpoint {source} should hold {name} as {wanted.dtype} {wanted.shape}, it has {found.dtype} "
            f"{found.shape}; {_OTHER_VERSIONS}"
        )
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(found))
    return jnp.asarray(found.view(like.dtype)[..., 0] if jnp.iscomplexobj(like) else found)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
