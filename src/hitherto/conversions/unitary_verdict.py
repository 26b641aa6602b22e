"""Whether the layers of a model have orthogonal twins, without making any: which theorem says so, or says no."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.conversions._unitary_signal import Bound, Signal, leaving, network_of, refuse_layer, refuse_weights
from hitherto.conversions.to_unitary import modrelu_network, refuse_horizon
from hitherto.core.model import Architecture, Model, Weights, precision
from hitherto.theory.unitary_bounds import norm
from hitherto.theory.unitary_verdict import Verdict, verdict


class LayerVerdict(NamedTuple):
    """The verdict on one layer: `name` as in a profile, its kind, and |W|, None for a layer of another kind."""

    name: str
    kind: str
    norm: float | None
    verdict: Verdict


@dataclass(frozen=True)
class _Asked:
    horizon: int | None
    exact: bool


def unitary_verdict(
    model: Model,
    input_bound: float | int | None = None,
    input_box: tuple[Bound, Bound] | None = None,
    horizon: int | None = None,
    *,
    exact: bool = False,
) -> tuple[LayerVerdict, ...]:
    """Layer by layer: exact, exact on bounded inputs, epsilon, impossible or undecided, with the theorem behind it.

    It rests on theorems about the weights and never on comparing outputs, which agree in float64 where maps differ.

    Args:
        model: any; layers with gates are answered as undecided.
        input_bound, input_box, horizon: as for `to_unitary`; a layer above is judged on what the layers below can give.
        exact: only equal maps count, and none that are as near as one likes.
    Raises:
        ValueError: for bounds that cannot be, or weights that are not finite.

    Cost: that of `theory.unitary_verdict.verdict` for each layer.
    """
    refuse_horizon(horizon)
    signal = Signal.of(model.architecture.input_size, input_bound, input_box, None)
    found: list[LayerVerdict] = []
    with precision(np.float64):
        _judge(model.architecture, model.weights, signal, _Asked(horizon, exact), "", found)
    return tuple(found)


def _judge(
    architecture: Architecture, weights: Weights, signal: Signal, asked: _Asked, name: str, found: list[LayerVerdict]
) -> Signal:
    """Add the verdicts of a piece; return what leaves it."""
    match architecture:
        case RNN() | UnitaryRNN():
            return _layer(architecture, weights, signal, asked, name, found)
        case Backward():
            return _judge(architecture.layer, weights, signal, asked, f"{name} backward".strip(), found)
        case Bidirectional():
            both = zip((architecture.forward, architecture.backward), weights, ("forward", "backward"), strict=True)
            ahead, back = (_judge(one, own, signal, asked, f"{name} {way}".strip(), found) for one, own, way in both)
            return ahead.merged(back, architecture.merge)
        case Deep():
            return _stack(architecture, weights, signal, asked, name, found)
    gated = Verdict("undecided", "none", "no argument is known for this kind of layer: products in gates leave no room")
    found.append(LayerVerdict(name, type(architecture).__name__, None, gated))
    return Signal(None, None)


def _stack(
    stack: Deep, weights: Weights, signal: Signal, asked: _Asked, name: str, found: list[LayerVerdict]
) -> Signal:
    first = signal
    for number, (layer, own) in enumerate(zip(stack.layers, weights, strict=True)):
        entering = signal.merged(first, "concat") if stack.skip == "input" and number else signal
        after = _judge(layer, own, entering, asked, f"{name} layer {number}".strip(), found)
        residual = stack.skip == "residual" and layer.input_size == layer.output_size
        signal = signal.merged(after, "sum") if residual else after
    return signal


def _layer(
    layer: RNN | UnitaryRNN, weights: Weights, signal: Signal, asked: _Asked, name: str, found: list[LayerVerdict]
) -> Signal:
    refuse_weights(layer, weights)
    modrelu = layer.activation == "modrelu"
    if modrelu:
        network = modrelu_network(layer, weights)  # type: ignore[arg-type]
    else:
        refuse_layer(layer)
        network, offset = network_of(layer, weights)
    answer = verdict(network, layer.activation, signal.inputs, asked.horizon, exact=asked.exact)
    found.append(LayerVerdict(name, f"{type(layer).__name__} of {layer.activation}", norm(network.weight_hh), answer))
    return Signal(None, None) if modrelu else leaving(layer, network, offset, signal, asked.horizon)
