"""Recurrent nodes of an ONNX graph that read one another directly, found by following the axes of tensors."""

from collections.abc import Iterator, Mapping, Sequence

import onnx

from hitherto.architectures.outside.found import Found
from hitherto.architectures.outside.onnx_graph import LONGEST_CHAIN, OWN_DOMAINS, NotConstant
from hitherto.architectures.outside.onnx_nodes import Node

Axes = tuple[str, ...]

_UNTOUCHED = ("Identity", "Cast", "Dropout")
_PASSING = (*_UNTOUCHED, "Squeeze", "Transpose", "Reshape")


def chains(layers: Mapping[Node, Found]) -> list[list[Found]]:
    """The layers as runs, lowest first, in which each reads all outputs of the one before, step by step.

    Between two of them stand only operators that leave every value at its step, and the lower one feeds no
    other recurrent node.

    Raises:
        ValueError: if nodes feed one another in a circle.
    """
    below = dict(_pairs(layers))
    feeding = list(below.values())
    above = {lower: upper for upper, lower in below.items() if feeding.count(lower) == 1}
    continued = set(above.values())
    runs = [_upwards(node, above) for node in layers if node not in continued]
    if sum(map(len, runs)) < len(layers):
        raise ValueError("recurrent nodes feed one another in a circle: the file is damaged, export it again")
    return [[layers[node] for node in run] for run in runs]


def _upwards(node: Node, above: Mapping[Node, Node]) -> list[Node]:
    run = [node]
    while run[-1] in above:
        run.append(above[run[-1]])
    return run


def _pairs(layers: Mapping[Node, Found]) -> Iterator[tuple[Node, Node]]:
    """Each node that reads another one, and that other one."""
    places = {(id(node.scope), id(node.proto)): node for node in layers}
    for node in layers:
        source, steps = _origin(node, places)
        lower = places.get((id(node.scope), id(source)))
        if lower is None or _arriving(lower, steps) != _expected(node):
            continue
        if layers[lower].model.architecture.output_size == layers[node].model.architecture.input_size:
            yield node, lower


def _origin(node: Node, places: Mapping) -> tuple[onnx.NodeProto | None, list[onnx.NodeProto]]:
    """The first node below that does more than pass values on, and the passing ones from there upwards."""
    makers, name, steps = node.scope.makers, node.source("X"), []
    while name in makers and len(steps) < LONGEST_CHAIN:
        maker = makers[name]
        first_output = name == maker.output[0]
        if (id(node.scope), id(maker)) in places:
            return (maker if first_output else None), steps[::-1]
        if not first_output or maker.op_type not in _PASSING or maker.domain not in OWN_DOMAINS:
            break
        steps.append(maker)
        name = maker.input[0] if maker.input else ""
    return None, []


def _expected(node: Node) -> Axes:
    return ("batch", "time", "width") if node.batch_first else ("time", "batch", "width")


def _arriving(lower: Node, steps: Sequence[onnx.NodeProto]) -> Axes:
    """The axes of the lower node's outputs after all steps; none where they cannot be told."""
    axes: Axes = ("time", "direction", "batch", "width")
    if lower.batch_first:
        axes = ("batch", "time", "direction", "width")
    for step in steps:
        if step.op_type not in _UNTOUCHED:
            axes = _moved(lower, step, axes)
    return axes


def _moved(lower: Node, step: onnx.NodeProto, axes: Axes) -> Axes:
    settings = lower.graph.attributes(lower.scope, step)
    if step.op_type == "Transpose":
        order = settings.get("perm", range(len(axes))[::-1])
        return tuple(axes[k] for k in order) if sorted(order) == list(range(len(axes))) else ()
    if "direction" not in axes:
        return ()
    merged = tuple(axis for axis in axes if axis != "direction")
    target = _target(lower, step, settings)
    if step.op_type == "Squeeze":
        there = axes.index("direction")
        return merged if target in ([there], [there - len(axes)]) else ()
    keeps_order = lower.directions == 1 or axes[-2:] == ("direction", "width")
    return merged if keeps_order and len(target) == 3 else ()


def _target(lower: Node, step: onnx.NodeProto, settings: Mapping) -> list[int]:
    if len(step.input) < 2:
        return list(settings.get("axes", ()))
    try:
        return lower.graph.value(lower.scope, step.input[1]).ravel().tolist()
    except NotConstant:
        return []
