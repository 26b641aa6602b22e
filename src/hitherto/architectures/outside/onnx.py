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
from hitherto.architectures.outside.plan import once
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model


def read_onnx(path: Path | str, reading: Reading = Reading()) -> list[Found]:  # noqa: B008
    """The recurrent models of an ONNX file, in the order of the graph.

    RNN, GRU and LSTM nodes are found anywhere: in the main graph, in branches and loop bodies, in functions. Their
    weights are initializers, or worked out backwards from them. Nodes that read one another are one stack. The
    same weights reached twice are one model with aliases. A file without such nodes, where the exporter wrote the
    cell out, is read by the names of its tensors.

    Args:
        path: of the file; weights stored in files beside it are read from the same folder only.
        reading: `max_bytes` limits all arrays together; the rest is used only where names decide.
    Raises:
        ValueError: if the file is damaged or holds no readable recurrent layer; the message says what was found.
        ImportError: if the onnx package is not installed.
    """
    try:
        from hitherto.architectures.outside import onnx_chains, onnx_graph, onnx_nodes
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ImportError(
            'reading ONNX files needs the onnx package: pip install "hitherto[onnx]"'
        ) from error
    path = Path(path)
    graph = onnx_graph.OnnxGraph(onnx_graph.parsed(path), path.parent, reading.max_bytes)
    nodes = onnx_nodes.recurrent_nodes(graph)
    if not nodes:
        return _read_by_name(graph.arrays(path.name), graph.operators(), reading)
    layers = {id(node): Found(node.name, *node.model()) for node in nodes}
    return _distinct(_stack([layers[id(node)] for node in run]) for run in onnx_chains.chains(nodes))


def _stack(layers: Sequence[Found]) -> Found:
    if len(layers) == 1:
        return layers[0]
    architecture = Deep(tuple(layer.model.architecture for layer in layers))
    weights = tuple(layer.model.weights for layer in layers)
    assumptions = once(line for layer in layers for line in layer.assumptions)
    return Found(
        " + ".join(layer.name for layer in layers), Model(architecture, weights), assumptions, tuple(layers)
    )


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Each model once; the names of its repetitions become aliases, their assumptions are joined."""
    first: dict[Any, Found] = {}
    for one in found:
        key = (one.model.architecture, _digest(one.model))
        same = first.get(key)
        first[key] = (
            one
            if same is None
            else replace(
                same, aliases=(*same.aliases, one.name), assumptions=once(same.assumptions + one.assumptions)
            )
        )
    return list(first.values())


def _digest(model: Model) -> str:
    hashed = sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.weights):
        hashed.update(f"{path}{leaf.shape}{leaf.dtype}".encode())
        hashed.update(np.ascontiguousarray(leaf))
    return hashed.hexdigest()


def _read_by_name(arrays: Arrays, operators: Iterable[str], reading: Reading) -> list[Found]:
    try:
        found = read_named(arrays, reading)
    except ValueError as error:
        raise ValueError(
            f"{arrays.source} has no RNN, GRU or LSTM node, only the operators {', '.join(operators) or '(none)'}; "
            f"reading its tensors by name gave: {error}"
        ) from error
    line = "read by name: the graph has no RNN, GRU or LSTM node"
    return _distinct(replace(one, assumptions=(line, *one.assumptions)) for one in found)
