"""Models saved under PyTorch's names, with their architecture beside them, and read back exactly."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from hitherto.architectures.arithmetic_circuit import FeatureFunction
from hitherto.architectures.as_json import from_json, to_json
from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.found import Found
from hitherto.architectures.outside.plan import widened
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, StepFunction, Untied
from hitherto.core.model import Architecture, Model, Weights
from hitherto.files import write

ARCHITECTURE = "hitherto"  # the key in the metadata of a file
SUFFIX = re.compile(r"(_l\d+|_reverse)+$")


def to_torch_names(model: Model) -> dict[str, np.ndarray]:
    """The weights of a model under PyTorch's names: `weight_ih_l0`, `weight_hh_l0_reverse`, ...

    The arrays are PyTorch's own for RNN, LSTM and GRU layers, stacks and both directions. What PyTorch does
    not have takes names of the same form: `readout_l0`, `peepholes_l0`, `initial_h_l0`, `tensor_l0`, ... Weights
    stand as they are trained; of a layer with a parametrisation of its own, PyTorch would want the prepared ones.

    Raises:
        ValueError: if the model holds a step function, whose weights have no names.
    """
    return {name: np.asarray(w) for name, w in _named(model.architecture, model.weights).items()}


def save(model: Model, path: Path | str) -> None:
    """Write a model as safetensors, under PyTorch's names and with its architecture in the metadata.

    Raises:
        ValueError: if the model holds a step function, or the file cannot be written; it is complete or not there.
    """
    metadata = {"format": "pt", ARCHITECTURE: to_json(model.architecture)}
    arrays = {name: np.ascontiguousarray(w) for name, w in to_torch_names(model).items()}
    write(path, safetensors.numpy.save(arrays, metadata))


def read_saved(arrays: Arrays) -> Found:
    """The model in a file that `save` wrote.

    Raises:
        ValueError: if the metadata holds no architecture, or an array is missing, extra or of another shape.
    """
    try:
        architecture = from_json(arrays.metadata[ARCHITECTURE])
    except ValueError as error:
        raise ValueError(f"{arrays.source}: {error} (metadata entry {ARCHITECTURE!r})") from error
    if len(jax.tree.leaves(_suffixes(architecture))) > len(arrays.shapes):
        raise ValueError(
            f"{arrays.source}: {len(arrays.shapes)} arrays are too few for the architecture in the "
            "metadata; save the model again"
        )
    expected = _expected(architecture, arrays)
    _check_shapes(arrays, expected)
    weights = jax.tree.map(
        lambda suffix: {n.removesuffix(suffix): arrays.read(n) for n in expected if _cell_of(n) == suffix},
        _suffixes(architecture),
    )
    return _found(architecture, weights, widened(arrays, expected))


def _expected(architecture: Architecture, arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays that the architecture needs, and of those beside them that are there."""
    cells = jax.eval_shape(lambda: architecture.init(jax.random.key(0)))
    optional = _named(architecture, _starts(architecture, cells)) | _named(architecture, _readout_biases(cells))
    present = {name: leaf for name, leaf in optional.items() if name in arrays.shapes}
    return {name: leaf.shape for name, leaf in (_named(architecture, cells) | present).items()}


def _check_shapes(arrays: Arrays, expected: Mapping[str, tuple[int, ...]]) -> None:
    for name in {**expected, **arrays.shapes}:
        wanted, found = expected.get(name, "nothing"), arrays.shapes.get(name, "nothing")
        if wanted != found:
            raise ValueError(
                f"{arrays.source}: {name} should be {wanted} by the architecture in the metadata, found "
                f"{found}; save the model again"
            )


def _found(architecture: Architecture, weights: Weights, said: tuple[str, ...]) -> Found:
    layers = zip(architecture.layers, weights, strict=True) if isinstance(architecture, Deep) else ()
    members = tuple(Found(f"l{k}", Model(layer, w), said) for k, (layer, w) in enumerate(layers))
    return Found("", Model(architecture, weights), said, members)


def _starts(architecture: Architecture, cells: Weights) -> Any:
    """The start values that cells may have among their weights, in the tree of the weights."""
    state = jax.eval_shape(architecture.start, cells)
    return jax.tree.map(
        lambda s: {f"initial_{field}": leaf for field, leaf in s._asdict().items()} if s else {},
        state,
        is_leaf=_is_cell_state,
    )


def _readout_biases(cells: Weights) -> Any:
    """The biases that readouts may have, in the tree of the weights."""

    def of_cell(weights: Weights) -> Weights:
        if "readout" not in weights:
            return {}
        readout = weights["readout"]
        return {"readout_bias": jax.ShapeDtypeStruct(readout.shape[:-1], readout.dtype)}

    return jax.tree.map(of_cell, cells, is_leaf=lambda tree: isinstance(tree, dict))


def _is_cell_state(tree: Any) -> bool:
    return tree == () or hasattr(tree, "_asdict")


def _named(architecture: Architecture, cells: Any) -> dict[str, Any]:
    """The leaves of a tree of weights by their names in a file."""
    suffixes = jax.tree.leaves(_suffixes(architecture))
    parts = jax.tree.leaves(cells, is_leaf=lambda tree: isinstance(tree, dict))
    return {f"{role}{suffix}": w for suffix, part in zip(suffixes, parts, strict=True) for role, w in part.items()}


def _cell_of(name: str) -> str:
    """The suffix that says to which cell an array belongs."""
    return SUFFIX.search(name)[0]  # type: ignore[index]


def _suffixes(architecture: Architecture, stem: str = "") -> Any:
    """What ends the names of each cell, in the tree of the weights: `_l0`, `_l1_reverse`, ..."""
    own = stem or "_l0"
    match architecture:
        case Deep():
            return tuple(_suffixes(layer, f"{stem}_l{k}") for k, layer in enumerate(architecture.layers))
        case Bidirectional():
            return _suffixes(architecture.forward, own), _suffixes(architecture.backward, f"{own}_reverse")
        case Backward():
            return _suffixes(architecture.layer, f"{own}_reverse")
        case Untied():
            return _suffixes(architecture.base, stem)
        case StepFunction() | FeatureFunction():
            raise ValueError(
                f"{type(architecture).__name__} is code and cannot be saved; keep the code that makes it, and save the "
                "layers around it"
            )
    return own
