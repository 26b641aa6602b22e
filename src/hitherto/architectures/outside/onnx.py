"""Trained recurrent models in ONNX files, read from the graph without running it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.found import Found, Reading
from hitherto.architectures.outside.names import read_named
from hitherto.architectures.outside.plan import joined, once
from hitherto.core.model import Model


def read_onnx(path: Path | str, reading: Reading) -> list[Found]:
    """The recurrent models of an ONNX file, in the order of the graph.

    RNN, GRU and LSTM nodes are found anywhere: in the main graph, in branches and loop bodies, in functions.
    Their weights are initializers, or worked out backwards from them. Nodes that read one another are one
    stack. The same weights reached twice are one model with aliases. A file without such nodes, where the
    exporter wrote the cell out, is read by the names of its tensors.

    Args:
        path: of the file; weights stored in files beside it are read from the same folder only.
        reading: `max_bytes` limits all arrays together; the rest is used only where names decide.
    Raises:
        ValueError: if the file is damaged or holds no readable recurrent layer, with what it holds.
        ImportError: if the onnx package is not installed.
    """
    try:
        from hitherto.architectures.outside import onnx_chains, onnx_graph, onnx_nodes
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ImportError('ONNX files need the onnx package: pip install "hitherto[onnx]"') from error
    path = Path(path)
    graph = onnx_graph.OnnxGraph(onnx_graph.parsed(path), path.parent, reading.max_bytes)
    layers = {node: Found(node.name, *node.model()) for node in onnx_nodes.recurrent_nodes(graph)}
    if not layers:
        return _read_by_name(graph.arrays(path.name), graph.operators(), reading)
    return _distinct(joined(" + ".join(layer.name for layer in run), run) for run in onnx_chains.chains(layers))


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Each model once; the names of its repetitions become aliases, their assumptions are joined."""
    kept: dict[Any, Found] = {}
    for one in found:
        key = (one.model.architecture, _digest(one.model))
        kept[key] = _merged(kept[key], one) if key in kept else one
    return list(kept.values())


def _merged(first: Found, again: Found) -> Found:
    assumptions = once(first.assumptions + again.assumptions)
    return replace(first, aliases=(*first.aliases, again.name, *again.aliases), assumptions=assumptions)


def _digest(model: Model) -> str:
    hashed = sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.weights):
        hashed.update(f"{path}{leaf.shape}{leaf.dtype}".encode())
        hashed.update(np.ascontiguousarray(leaf))
    return hashed.hexdigest()


def _read_by_name(arrays: Arrays, operators: Sequence[str], reading: Reading) -> list[Found]:
    try:
        found = read_named(arrays, reading)
    except ValueError as error:
        raise ValueError(
            f"{arrays.source} has no RNN, GRU or LSTM node, only the operators "
            f"{', '.join(operators) or '(none)'}; reading its tensors by name gave: {error}"
        ) from error
    line = "read by name: the graph has no RNN, GRU or LSTM node"
    return _distinct(replace(one, assumptions=(line, *one.assumptions)) for one in found)
