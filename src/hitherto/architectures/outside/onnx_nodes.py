"""One RNN, GRU or LSTM node of an ONNX graph as a model in PyTorch's form.

Inputs by position: X (time, batch, input), W (directions, gates H, input), R (directions, gates H, H), B
(directions, 2 gates H) = [bias_ih, bias_hh], sequence_lens, initial_h (directions, batch, H), and for LSTM
initial_c and the peepholes P (directions, 3 H) in the order i, o, f. With `layout` 1 the batch comes first in
X and in the initial states. Source: the ONNX operator specification, operator sets 7 to 22.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}

# ONNX name in lower case: our name, default alpha and beta where it takes them
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "relu": ("relu", None, None),
    "tanh": ("tanh", None, None),
    "sigmoid": ("sigmoid", None, None),
    "softsign": ("softsign", None, None),
    "softplus": ("softplus", None, None),
    "leakyrelu": ("leaky_relu", 0.01, None),
    "thresholdedrelu": ("thresholded_relu", 1.0, None),
    "elu": ("elu", 1.0, None),
    "affine": ("affine", 1.0, 0.0),
    "scaledtanh": ("scaled_tanh", 1.0, 1.0),
    "hardsigmoid": ("hard_sigmoid", 0.2, 0.5),
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

    def source(self, role: str) -> str:
        """The name that feeds the input called `role`, "" where it is absent."""
        position = _INPUTS.index(role)
        return self.proto.input[position] if position < len(self.proto.input) else ""

    def model(self) -> tuple[Model, tuple[str, ...]]:
        """The node's model and what had to be assumed.

        Raises:
            ValueError: if weights are missing, computed at run time, not finite or of shapes that do not fit, or
                if a setting is unknown.
        """
        settings = self.graph.attributes(self.scope, self.proto)
        directions = _directions(self.name, settings)
        weights = _weights(self, directions, settings.get("hidden_size"))
        starts, assumptions = _starts(self, weights, settings.get("layout", 0))
        weights |= starts
        parts = [
            (_layer(self, settings, weights, names), _mapped(self.op, {k: w[d] for k, w in weights.items()}))
            for d, names in enumerate(_activations(self, settings, directions))
        ]
        return _directed(parts, settings.get("direction", "forward")), (
            *assumptions,
            *_lengths(self),
            *_widened(self),
        )


def recurrent_nodes(graph: OnnxGraph) -> list[Node]:
    """All RNN, GRU and LSTM nodes, in the main graph, its branches and loop bodies, and the functions it calls."""
    return [
        Node(graph, scope, node)
        for scope in graph.scopes
        for node in scope.nodes
        if node.op_type in GATE_BLOCKS and node.domain in OWN_DOMAINS
    ]


def _directions(name: str, settings: dict[str, Any]) -> int:
    direction = settings.get("direction", "forward")
    if direction not in _DIRECTIONS:
        raise ValueError(f"{name} has direction {direction!r}; there are {', '.join(_DIRECTIONS)}")
    return _DIRECTIONS[direction]


def _weights(node: Node, directions: int, hidden: int | None) -> dict[str, np.ndarray]:
    recurrent = _constant(node, "R")
    width = recurrent.shape[-1] if hidden is None and recurrent.ndim else hidden
    rows = len(GATE_BLOCKS[node.op]) * (width or 0)
    expected = {"W": (directions, rows, None), "R": (directions, rows, width)}
    expected |= {"B": (directions, 2 * rows), "P": (directions, 3 * (width or 0))}
    weights = {role: _constant(node, role) for role in expected if role in "WR" or node.source(role)}
    for role, array in weights.items():
        fits = array.ndim == len(expected[role]) and all(
            n == m or m is None for n, m in zip(array.shape, expected[role], strict=True)
        )
        if not fits or 0 in array.shape:
            raise ValueError(
                f"{node.name} has {role} of shape {array.shape}; with hidden_size {hidden}, {directions} direction(s) "
                f"and R of shape {recurrent.shape} it should be {_shown(expected[role])}: the export is inconsistent"
            )
    return weights


def _shown(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("inputs" if n is None else str(n) for n in shape) + ")"


def _constant(node: Node, role: str) -> Float[np.ndarray, "..."]:
    try:
        array = node.graph.value(node.scope, node.source(role))
    except NotConstant as error:
        raise ValueError(
            f"the weights of {node.name} are computed at run time: {role} comes from {error}. Only stored weights can "
            "be read: export with constant folding, or save the layer's own weights"
        ) from None
    return in_memory(node.name, {role: array}).read(role)


def _starts(
    node: Node, weights: dict[str, np.ndarray], layout: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    directions, _, width = weights["R"].shape
    starts, assumptions = {}, []
    for role in ("initial_h", "initial_c"):
        stored = _start(node, role, width) if node.source(role) else np.zeros(1, np.float32)
        if stored is None:
            assumptions.append(f"{role} is given at run time, assumed zeros")
            continue
        values = _by_direction(node, role, stored, (directions, width), layout)
        if values.any():
            starts[role] = values[:, 0]
        if (values != values[:, :1]).any():
            assumptions.append(
                f"{role} differs between the sequences of a batch: the first is taken"
            )
    return starts, assumptions


def _start(node: Node, role: str, width: int) -> np.ndarray | None:
    """Stored start values, before they are repeated over a batch; None where they are given at run time."""
    try:
        scope, name, maker = resolve(node.scope, node.source(role))
    except NotConstant as error:
        if error.width not in (None, width):
            raise ValueError(_inconsistent_start(node, role, f"last size {error.width}", width)) from None
        return None
    op = getattr(maker, "op_type", "")
    if op == "ConstantOfShape":
        return node.graph.attributes(scope, maker).get("value", np.zeros(1, np.float32))
    try:
        stored = node.graph.value(scope, maker.input[0] if op == "Expand" else name)
    except NotConstant:
        return None
    return in_memory(node.name, {role: stored}).read(role)


def _by_direction(
    node: Node, role: str, stored: np.ndarray, sizes: tuple[int, int], layout: int
) -> Float[np.ndarray, "direction batch width"]:
    shape = (1,) * (3 - stored.ndim) + stored.shape
    values = stored.reshape(shape).swapaxes(0, 1) if layout and len(shape) == 3 else stored.reshape(shape)
    fits = (
        values.ndim == 3
        and values.size
        and all(n in (1, m) for n, m in zip(values.shape[::2], sizes, strict=True))
    )
    if not fits:
        raise ValueError(_inconsistent_start(node, role, f"shape {stored.shape}", sizes[1]))
    return np.broadcast_to(values, (sizes[0], values.shape[1], sizes[1]))


def _inconsistent_start(node: Node, role: str, found: str, width: int) -> str:
    return (
        f"{node.name} has {role} of {found}, but hidden_size {width}: the export is inconsistent, as for an LSTM with a "
        "projection. Save the layer's own weights instead"
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


def _activations(node: Node, settings: dict[str, Any], directions: int) -> list[tuple[str, ...]]:
    """Our names of the activations f, g, h of each direction; alpha and beta are used up from left to right."""
    usual = _DEFAULT_ACTIVATIONS[node.op]
    names = settings.get("activations") or usual * directions
    if len(names) != len(usual) * directions:
        raise ValueError(
            f"{node.name} has {len(names)} activations {list(names)}; {node.op} with {directions} direction(s) takes "
            f"{len(usual) * directions}"
        )
    alphas, betas = (iter(settings.get(f"activation_{greek}", ())) for greek in ("alpha", "beta"))
    ours = [_activation(node.name, name, alphas, betas) for name in names]
    return [tuple(ours[d * len(usual) : (d + 1) * len(usual)]) for d in range(directions)]


def _activation(node: str, name: str, alphas: Iterator[float], betas: Iterator[float]) -> str:
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(
            f"{node} has the activation {name!r}, which ONNX does not define for recurrent nodes"
        )
    ours, alpha, beta = _ACTIVATIONS[name.lower()]
    taken = [
        next(given, default) for given, default in ((alphas, alpha), (betas, beta)) if default is not None
    ]
    return f"{ours}({','.join(repr(float(v)) for v in taken)})" if taken else ours


def _layer(
    node: Node, settings: dict[str, Any], weights: dict[str, np.ndarray], names: tuple[str, ...]
) -> Recurrence:
    clip = settings.get("clip")
    if clip is not None and not clip > 0:
        raise ValueError(
            f"{node.name} has clip {clip}; it limits pre-activations to [-clip, clip] and is positive"
        )
    common = dict(
        input_size=weights["W"].shape[2], width=weights["R"].shape[2], bias="B" in weights, clip=clip
    )
    if node.op == "RNN":
        return RNN(activation=names[0], **common)
    if node.op == "GRU":
        reset = "after" if settings.get("linear_before_reset", 0) else "before"
        return GRU(reset=reset, gate_activation=names[0], activation=names[1], **common)
    return LSTM(
        peephole="P" in weights,
        coupled=bool(settings.get("input_forget", 0)),
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
