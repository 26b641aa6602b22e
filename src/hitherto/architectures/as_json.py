"""Architectures as JSON text, and back: every field by name, wrappers with their layers inside."""

import json
import math
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from hitherto.architectures.activations import activation
from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, OneHot, Powers, Templates
from hitherto.architectures.convolution import Convolution
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
from hitherto.architectures.unitary import MODRELU, UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, Untied
from hitherto.core.model import Architecture

_KINDS: dict[str, type[Architecture]] = {
    kind.__name__: kind
    for kind in (
        *(RNN, LSTM, GRU, UnitaryRNN, SecondOrderRNN, ArithmeticCircuit, OneHot, Templates, Powers),
        *(MultiplicativeIntegrationRNN, SelectiveStateSpace),
        *(StateSpace, DiagonalStateSpace, SampledStateSpace, Convolution),
        *(Deep, Bidirectional, Backward, Untied),
    )
}
MAX_SIZE = 2**24  # units or channels


def to_json(architecture: Architecture) -> str:
    """The architecture as a JSON object `{"kind": "LSTM", "input_size": 3, ...}`, nested for wrappers.

    Raises:
        ValueError: if it holds a kind that code alone describes, such as a step function.
    """
    return json.dumps(_plain(architecture))


def from_json(text: str) -> Architecture:
    """The architecture that `to_json` wrote; fields that are left out take their defaults.

    Raises:
        ValueError: if the text is not such an object: unknown kind or field, wrong type, impossible value.
    """
    try:
        return _architecture(json.loads(text))
    except RecursionError as error:
        raise ValueError("the architecture is nested too deeply; layers within wrappers are expected") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"the architecture is not JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if not isinstance(value, Architecture):
        return value
    if not is_dataclass(value) or type(value) is not _KINDS.get(type(value).__name__):
        raise ValueError(
            f"{type(value).__name__} cannot be written as JSON, only {', '.join(_KINDS)} can; keep the "
            "code that makes it"
        )
    return {"kind": type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}


def _architecture(value: Any) -> Architecture:
    if not isinstance(value, dict) or value.get("kind") not in tuple(_KINDS):
        raise ValueError(f"an architecture is an object whose kind is one of {', '.join(_KINDS)}, found {value!r:.80}")
    kind = _KINDS[value["kind"]]
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    given = {name: entry for name, entry in value.items() if name != "kind"}
    if unknown := given.keys() - known:
        raise ValueError(
            f"{kind.__name__} has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    settings = {name: _value(f"{kind.__name__}.{name}", hints[name], entry) for name, entry in given.items()}
    try:
        return kind(**settings)
    except TypeError as error:
        raise ValueError(f"{kind.__name__} lacks a field: {error}") from error


def _value(name: str, hint: Any, value: Any) -> Any:
    """A JSON value as the type that a field is annotated with."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is types.UnionType:
        return None if value is None else _value(name, choices[0], value)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(name, choices[0], v) for v in value)
    if isinstance(hint, type) and issubclass(hint, Architecture):
        inner = _architecture(value)
        if isinstance(inner, hint):
            return inner
    elif _fits(name, hint, choices, value):
        return float(value) if hint is float else value
    raise ValueError(f"{name} cannot be {value!r:.80}; expected {getattr(hint, '__name__', hint)}")


def _fits(name: str, hint: Any, choices: tuple[Any, ...], value: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return value in choices
    if hint is int:
        return type(value) is int and 1 <= value <= MAX_SIZE
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value) and value >= 0
    if name.endswith("activation") and isinstance(value, str) and value != MODRELU:
        activation(value)
    return type(value) is hint
