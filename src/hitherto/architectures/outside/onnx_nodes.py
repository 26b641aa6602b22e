"""One RNN, GRU or LSTM node of an ONNX graph as a model in PyTorch's form.

Inputs by position: X (time, batch, input), W (directions, gates H, input), R (directions, gates H, H), B
(directions, 2 gates H) = [bias_ih, bias_hh], sequence_lens, initial_h (directions, batch, H), and for LSTM
initial_c and the peepholes P (directions, 3 H) in the order i, o, f. With `layout` 1 the batch comes first in
X and in the initial states. Source: the ONNX operator specification, operator sets 7 to 22.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float, Shaped

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.arrays import in_memory
from hitherto.architectures.outside.onnx_graph import OWN_DOMAINS, NotConstant, OnnxGraph, Scope, resolve
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional
from hitherto.core.model import Model, Recurrence

# op: where PyTorch's gates r, z, n or i, f, g, o stand in the file (z, r, h and i, o, f, c)
GATE_BLOCKS = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
_PEEPHOLE_BLOCKS = (0, 2, 1)
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_NO_START = np.zeros((1, 1, 1), np.float32)
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}

# ONNX name in lower case: our name, and its parameters with their defaults; None where runtimes disagree.
_ACTIVATIONS: dict[str, tuple[str, dict[str, float | None]]] = {
    "relu": ("relu", {}),
    "tanh": ("tanh", {}),
    "sigmoid": ("sigmoid", {}),
    "softsign": ("softsign", {}),
    "softplus": ("softplus", {}),
    "leakyrelu": ("leaky_relu", {"alpha": 0.01}),
    "thresholdedrelu": ("thresholded_relu", {"alpha": 1.0}),
    "elu": ("elu", {"alpha": 1.0}),
    "affine": ("affine", {"alpha": None, "beta": 0.0}),
    "scaledtanh": ("scaled_tanh", {"alpha": None, "beta": None}),
    "hardsigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
}


@dataclass(frozen=True, eq=False)
class Node:
    """A recurrent node, and where it stands."""

    graph: OnnxGraph
    scope: Scope
    proto: onnx.NodeProto

    @property
    def name(self) -> str:
        return self.scope.display[id(self.proto)]

    @property
    def op(self) -> str:
        return self.proto.op_type

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The attributes of the node."""
        return self.graph.attributes(self.scope, self.proto)

    @property
    def directions(self) -> int:
        """1, or 2 for a bidirectional node."""
        direction = self.settings.get("direction", "forward")
        if direction not in _DIRECTIONS:
            raise ValueError(f"{self.name} has direction {direction!r}; there are {', '.join(_DIRECTIONS)}")
        return _DIRECTIONS[direction]

    @property
    def batch_first(self) -> bool:
        """Whether the batch is the first axis of X, Y and the initial states."""
        return bool(self.settings.get("layout", 0))

    def source(self, role: str) -> str:
        """The name that feeds the input called `role`, "" where it is absent."""
        position = _INPUTS.index(role)
        return self.proto.input[position] if position < len(self.proto.input) else ""

    def model(self) -> tuple[Model, tuple[str, ...]]:
        """The node's model and what had to be assumed.

        Raises:
            ValueError: if weights are missing, computed at run time, not finite or of shapes that do not fit,
                or if a setting is unknown.
        """
        weights = _weights(self)
        starts, assumptions = _starts(self, weights["R"].shape[2])
        weights |= starts
        parts = [
            (_layer(self, weights, names), _mapped(self.op, {role: w[d] for role, w in weights.items()}))
            for d, names in enumerate(_activations(self))
        ]
        model = _directed(parts, self.settings.get("direction", "forward"))
        return model, (*assumptions, *_lengths(self), *_widened(self))


def recurrent_nodes(graph: OnnxGraph) -> list[Node]:
    """All RNN, GRU and LSTM nodes: of the main graph, its branches and loops, and the functions it calls."""
    return [
        Node(graph, scope, node)
        for scope in graph.scopes
        for node in scope.nodes
        if node.op_type in GATE_BLOCKS and node.domain in OWN_DOMAINS
    ]


def _weights(node: Node) -> dict[str, np.ndarray]:
    roles = [role for role in "RWBP" if role in "RW" or node.source(role)]
    weights = {role: _constant(node, role) for role in roles}
    width = node.settings.get("hidden_size", weights["R"].shape[-1] if weights["R"].ndim else 0)
    rows, directions = len(GATE_BLOCKS[node.op]) * width, node.directions
    inputs = weights["W"].shape[-1] if weights["W"].ndim else 0
    expected = {"R": (directions, rows, width), "W": (directions, rows, inputs)}
    expected |= {"B": (directions, 2 * rows), "P": (directions, 3 * width)}
    for role, array in weights.items():
        if array.shape != expected[role] or array.size == 0:
            raise ValueError(
                f"{node.name} has {role} of shape {array.shape}; with hidden_size {width}, {directions} "
                f"direction(s) and {inputs} inputs it should be {expected[role]}: the export is inconsistent"
            )
    return weights


def _constant(node: Node, role: str) -> Float[np.ndarray, "..."]:
    try:
        array = node.graph.value(node.scope, node.source(role))
    except NotConstant as error:
        raise ValueError(
            f"the weights of {node.name} are computed at run time: {role} comes from {error}. Only stored "
            "weights can be read: export with constant folding, or save the layer's own weights"
        ) from None
    return in_memory(node.name, {role: array}).read(role)


def _starts(node: Node, width: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Start values that are not zero by role, (directions, width) each, and what had to be assumed."""
    starts, assumptions = {}, []
    for role in ("initial_h", "initial_c"):
        values = _start(node, role, width) if node.source(role) else _NO_START
        if values is None:
            assumptions.append(f"{role} is given at run time, assumed zeros")
            continue
        if values.any():
            starts[role] = values[:, 0]
        if (values != values[:, :1]).any():
            assumptions.append(f"{role} differs between the sequences of a batch: the first is taken")
    return starts, assumptions


def _start(node: Node, role: str, width: int) -> Float[np.ndarray, "directions batch width"] | None:
    """Stored start values, before they are repeated over a batch; None where they are given at run time."""
    try:
        scope, name, maker = resolve(node.scope, node.source(role))
    except NotConstant as error:
        if error.width not in (None, width):
            raise ValueError(_inconsistent_start(node, role, f"last size {error.width}", width)) from None
        return None
    op = getattr(maker, "op_type", "")
    if op == "ConstantOfShape":
        stored = node.graph.attributes(scope, maker).get("value", _NO_START)
        return _by_direction(node, role, stored, width)
    try:
        stored = node.graph.value(scope, maker.input[0] if op == "Expand" and maker.input else name)
    except NotConstant:
        return None
    return _by_direction(node, role, stored, width)


def _by_direction(node: Node, role: str, stored: np.ndarray, width: int) -> Float[np.ndarray, "directions batch width"]:
    stored = in_memory(node.name, {role: stored}).read(role)
    values = stored.reshape((1,) * (3 - stored.ndim) + stored.shape)
    if values.ndim == 3 and node.batch_first:
        values = values.swapaxes(0, 1)
    sizes = (1, node.directions), (1, width)
    if values.ndim != 3 or values.size == 0 or values.shape[0] not in sizes[0] or values.shape[2] not in sizes[1]:
        raise ValueError(_inconsistent_start(node, role, f"shape {stored.shape}", width))
    return np.broadcast_to(values, (node.directions, values.shape[1], width))


def _inconsistent_start(node: Node, role: str, found: str, width: int) -> str:
    return (
        f"{node.name} has {role} of {found}, but hidden_size {width}: the export is inconsistent, as for an "
        "LSTM with a projection. Save the layer's own weights instead"
    )


def _lengths(node: Node) -> Iterator[str]:
    if not node.source("sequence_lens"):
        return
    try:
        lengths = node.graph.value(node.scope, node.source("sequence_lens")).ravel().tolist()
        yield f"sequence_lens is fixed to {lengths}: inputs are read to their end, cut them before"
    except NotConstant:
        yield "sequence_lens is given at run time: inputs are read to their end"


def _widened(node: Node) -> Iterator[str]:
    roles = [role for role in "WRBP" if node.source(role)]
    stored = {str(node.graph.value(node.scope, node.source(role)).dtype) for role in roles}
    yield from (f"{kind} weights widened to float32" for kind in sorted(stored - {"float32", "float64"}))


def _activations(node: Node) -> list[tuple[str, ...]]:
    """Our names of the activations f, g, h of each direction; alpha and beta are used up in order."""
    usual, directions = _DEFAULT_ACTIVATIONS[node.op], node.directions
    names = node.settings.get("activations") or usual * directions
    if len(names) != len(usual) * directions:
        raise ValueError(
            f"{node.name} has {len(names)} activations {list(names)}; {node.op} with {directions} "
            f"direction(s) takes {len(usual) * directions}"
        )
    given = {greek: iter(node.settings.get(f"activation_{greek}", ())) for greek in ("alpha", "beta")}
    ours = [_activation(node.name, name, given) for name in names]
    return [tuple(ours[d * len(usual) : (d + 1) * len(usual)]) for d in range(directions)]


def _activation(node: str, name: str, given: dict[str, Iterator[float]]) -> str:
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(
            f"{node} has the activation {name!r}, which ONNX does not define for recurrent nodes; "
            f"there are {', '.join(_ACTIVATIONS)}"
        )
    ours, defaults = _ACTIVATIONS[name.lower()]
    taken = {greek: next(given[greek], default) for greek, default in defaults.items()}
    for greek, value in taken.items():
        if value is None:
            raise ValueError(f"{node} has the activation {name}, which needs activation_{greek}; export it with one")
    return f"{ours}({','.join(repr(float(v)) for v in taken.values())})" if taken else ours


def _layer(node: Node, weights: dict[str, np.ndarray], names: tuple[str, ...]) -> Recurrence:
    clip = node.settings.get("clip")
    if clip is not None and not clip > 0:
        raise ValueError(f"{node.name} has clip {clip}; pre-activations are limited by a positive number")
    sizes = {"input_size": weights["W"].shape[2], "width": weights["R"].shape[2]}
    common = {**sizes, "bias": "B" in weights, "clip": clip}
    if node.op == "RNN":
        return RNN(activation=names[0], **common)
    if node.op == "GRU":
        reset = "after" if node.settings.get("linear_before_reset", 0) else "before"
        return GRU(reset=reset, gate_activation=names[0], activation=names[1], **common)
    return LSTM(
        peephole="P" in weights,
        coupled=bool(node.settings.get("input_forget", 0)),
        gate_activation=names[0],
        activation=names[1],
        cell_activation=names[2],
        **common,
    )


def _mapped(op: str, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of one direction under PyTorch's names, gate blocks in PyTorch's order."""
    blocks = list(GATE_BLOCKS[op])
    mapped = {"weight_ih": _reordered(stored["W"], blocks), "weight_hh": _reordered(stored["R"], blocks)}
    if "B" in stored:
        bias_ih, bias_hh = np.split(stored["B"], 2)
        mapped |= {"bias_ih": _reordered(bias_ih, blocks), "bias_hh": _reordered(bias_hh, blocks)}
    if "P" in stored:
        mapped["peepholes"] = stored["P"].reshape(3, -1)[list(_PEEPHOLE_BLOCKS)]
    return mapped | {role: np.array(w) for role, w in stored.items() if role.startswith("initial")}


def _reordered(rows: Shaped[np.ndarray, "rows ..."], blocks: list[int]) -> Shaped[np.ndarray, "rows ..."]:
    return rows.reshape(len(blocks), -1, *rows.shape[1:])[blocks].reshape(rows.shape)


def _directed(parts: list[tuple[Recurrence, dict[str, np.ndarray]]], direction: str) -> Model:
    (layer, weights), *others = parts
    if others:
        backward, weights_backward = others[0]
        return Model(Bidirectional(layer, backward), (weights, weights_backward))
    return Model(Backward(layer) if direction == "reverse" else layer, weights)
