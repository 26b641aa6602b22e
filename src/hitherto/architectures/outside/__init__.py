"""Trained models from outside: PyTorch, ONNX, Keras and JAX files and objects, read without their frameworks."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from hitherto.architectures.outside import arrays, names
from hitherto.architectures.outside.found import Found, Reading
from hitherto.core.model import Model


def load(
    source: str | Path | Any,
    layer: str | None = None,
    *,
    activation: str | None = None,
    recurrent_activation: str | None = None,
    gates: str | None = None,
    reset: Literal["after", "before"] | None = None,
    max_bytes: int = arrays.MAX_BYTES,
) -> Model:
    """The recurrent model in a file or in a live object.

    Args:
        source: a `.safetensors`, `.npz`, `.onnx`, `.h5`, `.weights.h5`, `.keras` or `.pt` file, told apart by
            content; or a `torch.nn` module, an Equinox or Flax cell, a mapping of named arrays.
        layer: which one, by name, where there are several that do not chain, or one layer of a stack.
        activation, recurrent_activation, gates, reset, max_bytes: see `Reading`.
    Returns:
        The model, its weights as NumPy arrays in the precision of the source.
    Raises:
        ValueError: if there is no such file, no recurrent layer in it, several and no `layer`, or anything else that
            keeps it from being read; the message says what was found and what to do.
        ImportError: if a package that the file needs is not installed.
    """
    reading = Reading(activation, recurrent_activation, gates, reset, max_bytes)
    return choose(find(source, reading), layer, _called(source)).model


def find(source: str | Path | Any, reading: Reading = Reading()) -> list[Found]:  # noqa: B008
    """All recurrent models in a file or object, stacks that chain as one; see `load`."""
    if not isinstance(source, str | Path):
        from hitherto.architectures.outside.live import from_object

        return from_object(source, reading)
    path, kind = Path(source), arrays.sniff(source)
    if kind == "onnx":
        from hitherto.architectures.outside.onnx import read_onnx

        return read_onnx(path, reading)
    if kind in ("keras", "hdf5"):
        from hitherto.architectures.outside.keras import read_keras

        return read_keras(path, reading)
    openers = {"safetensors": arrays.read_safetensors, "npz": arrays.read_npz, "torch": arrays.read_torch}
    return names.read_named(openers[kind](path, reading.max_bytes), reading)


def choose(found: list[Found], layer: str | None, source: str) -> Found:
    """The one model that was meant.

    Raises:
        ValueError: if `layer` names none or several, or is missing where the models found do not chain.
    """
    if layer is None and len(found) == 1:
        return found[0]
    names = [name for f in found for one in (f, *f.members) for name in (one.name, *one.aliases) if name]
    if layer is None:
        listed = ", ".join(described(f) for f in found)
        raise ValueError(
            f"{source} holds {len(found)} recurrent layers that do not chain: {listed}; choose one with "
            f'layer="{found[0].name}" (--layer on the command line)'
        )
    chosen = [one for f in found for one in (f, *f.members) if layer in (one.name, *one.aliases)]
    if not chosen:
        raise ValueError(f"{source} has no recurrent layer {layer!r}; it has {', '.join(names)}")
    return chosen[0]


def described(found: Found) -> str:
    """One model in a line: `left (GRU 4->4)`."""
    architecture = found.model.architecture
    layers = getattr(architecture, "layers", (architecture,))
    kinds = dict.fromkeys(type(getattr(layer, "forward", layer)).__name__ for layer in layers)
    many = f"{len(layers)} layers, " if len(layers) > 1 else ""
    size = f"{architecture.input_size}->{architecture.output_size}"
    return f"{found.name or 'unnamed'} ({many}{' and '.join(kinds)} {size})"


def with_initial_state(model: Model, state: dict[str, np.ndarray]) -> Model:
    """A single-layer model that starts from `initial_h` (and `initial_c`) instead of zeros.

    Raises:
        ValueError: for a stack, another name, or a shape that does not fit.
    """
    start = model.architecture.start(model.weights)
    wanted = {f"initial_{name}": value for name, value in getattr(start, "_asdict", dict)().items()}
    shapes = {name: np.shape(value) for name, value in wanted.items()}
    given = {name: np.shape(value) for name, value in state.items()}
    if not wanted or any(shapes.get(name) != shape for name, shape in given.items()):
        raise ValueError(f"the initial state must be {shapes or 'of a single layer'}, got {given}")
    added = {name: np.asarray(value, model.dtype) for name, value in state.items()}
    return Model(model.architecture, model.weights | added)


def _called(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else type(source).__name__


__all__ = ["Found", "Reading", "choose", "described", "find", "load", "with_initial_state"]
