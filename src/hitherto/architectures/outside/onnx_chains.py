"""Recurrent nodes of an ONNX graph that read one another directly, found by following their tensors' axes."""

from collections.abc import Sequence

from hitherto.architectures.outside.onnx_graph import LONGEST_CHAIN, OWN_DOMAINS, NotConstant
from hitherto.architectures.outside.onnx_nodes import Node

Axes = tuple[str, ...]

_PASSING = ("Identity", "Cast", "Dropout", "Squeeze", "Transpose", "Reshape")


def chains(nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes as runs, lowest first, in which each reads all outputs of the one before at the same steps.

    Between two nodes only operators stand that keep every value at its step, and the lower one feeds no other
    recurrent node.
    """
    found = [(_below(node, nodes), node) for node in nodes]
    below = {id(upper): lower for lower, upper in found if lower is not None}
    fed = [id(lower) for lower in below.values()]
    above = {id(lower): upper for lower, upper in found if lower is not None and fed.count(id(lower)) == 1}
    continued = {id(upper) for upper in above.values()}
    return [_upwards(node, above) for node in nodes if id(node) not in continued]


def _upwards(node: Node, above: dict[int, Node]) -> list[Node]:
    run = [node]
    while id(run[-1]) in above:
        run.append(above[id(run[-1])])
    return run


def _below(node: Node, nodes: Sequence[Node]) -> Node | None:
    """The node of the same scope whose outputs `node` reads, if they arrive with their axes in place."""
    makers, name, steps = node.scope.makers, node.source("X"), []
    while name in makers and len(steps) < LONGEST_CHAIN:
        maker = makers[name]
        lower = next((n for n in nodes if n.proto is maker and name == maker.output[0]), None)
        if lower is not None:
            return lower if _arriving(lower, steps[::-1]) == _expected(node) else None
        if maker.op_type not in _PASSING or maker.domain not in OWN_DOMAINS or name != maker.output[0]:
            return None
        steps, name = [*steps, maker], maker.input[0]
    return None


def _expected(node: Node) -> Axes:
    batch_first = node.graph.attributes(node.scope, node.proto).get("layout", 0)
    return ("batch", "time", "width") if batch_first else ("time", "batch", "width")


def _arriving(lower: Node, steps: list) -> Axes | None:
    axes: Axes | None = ("batch", "time", "direction", "width")
    settings = lower.graph.attributes(lower.scope, lower.proto)
    if not settings.get("layout", 0):
        axes = ("time", "direction", "batch", "width")
    directions = 2 if settings.get("direction") == "bidirectional" else 1
    for step in steps:
        try:
            axes = _moved(lower, step, axes, directions)
        except NotConstant:
            return None
    return axes


def _moved(lower: Node, step, axes: Axes | None, directions: int) -> Axes | None:
    """The axes after one operator; None where they can no longer be told."""
    settings = lower.graph.attributes(lower.scope, step)
    if axes is None or step.op_type in ("Identity", "Cast", "Dropout"):
        return axes
    if step.op_type == "Transpose":
        perm = settings.get("perm", range(len(axes))[::-1])
        return tuple(axes[k] for k in perm) if sorted(perm) == list(range(len(axes))) else None
    target = settings.get("axes", settings.get("shape"))
    if len(step.input) > 1:
        target = lower.graph.value(lower.scope, step.input[1]).ravel().tolist()
    if target is None or "direction" not in axes:
        return None
    if step.op_type == "Squeeze":
        there = axes.index("direction")
        return _without_direction(axes) if target in ([there], [there - len(axes)]) else None
    merges = directions == 1 or axes[-2:] == ("direction", "width")
    return _without_direction(axes) if merges and len(target) == 3 else None


def _without_direction(axes: Axes) -> Axes:
    return tuple(axis for axis in axes if axis != "direction")
