"""Recurrent cells as Flax and Haiku lay them out, recognised by names and shapes."""

import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.cells import KINDS, Shapes, blocks
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.plan import Plan, Read, called
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Recurrence, Weights

_FLAX = re.compile(r"(?P<prefix>|.*[./])(?P<gate>[ih][ifgorzn]|if_|dense_[ih]|[ih])[./](?P<part>kernel|bias)")
_HAIKU_LINEAR = re.compile(
    r"(?P<prefix>(?:.*/)?(?:lstm|vanilla_rnn)(?:_\d+)?)(?P<gate>/linear|/linear_1)[./](?P<part>w|b)"
)
_HAIKU_GRU = re.compile(r"(?P<prefix>|.*[./])(?P<gate>)(?P<part>w_i|w_h|b)")

Parts = Mapping[str, Mapping[str, str]]  # gate -> kernel, bias, ... -> name of the tensor


def jax_plans(shapes: Shapes, reading: Reading) -> list[Plan]:
    """The cells of Flax (linen and nnx) and Haiku among the tensors; none where the names are not theirs.

    Raises:
        ValueError: if the names are those of a cell and the shapes are not, or for a minimal gated unit.
    """
    plans = [_flax(prefix, parts, shapes, reading) for prefix, parts in _by_prefix(_FLAX, shapes).items()]
    plans += [_haiku_linear(prefix, parts, shapes) for prefix, parts in _by_prefix(_HAIKU_LINEAR, shapes).items()]
    plans += [_haiku_gru(prefix, parts[""], shapes) for prefix, parts in _by_prefix(_HAIKU_GRU, shapes).items()]
    return [plan for plan in plans if plan]


def _by_prefix(pattern: re.Pattern[str], shapes: Shapes) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in shapes:
        if match := pattern.fullmatch(name):
            found.setdefault(match["prefix"], {}).setdefault(match["gate"].strip("_"), {})[match["part"]] = name
    return found


# Flax


class _Dense(NamedTuple):
    """Kernels (in, out) side by side, each with its bias or None."""

    kernels: tuple[str, ...]
    biases: tuple[str | None, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return (*self.kernels, *(bias for bias in self.biases if bias))

    def shape(self, shapes: Shapes) -> tuple[int, ...] | None:
        """(in, out) of all kernels together, None where they do not fit side by side."""
        first = shapes[self.kernels[0]]
        fitting = len(first) == 2 and all(shapes[kernel] == first for kernel in self.kernels)
        fitting = fitting and all(bias is None or shapes[bias] == first[1:] for bias in self.biases)
        return (first[0], len(self.kernels) * first[1]) if fitting else None

    def weight(self, read: Read) -> np.ndarray:
        return np.concatenate([read(kernel).T for kernel in self.kernels])

    def bias(self, read: Read) -> np.ndarray:
        pairs = zip(self.kernels, self.biases, strict=True)
        return np.concatenate([read(b) if b else np.zeros_like(read(k)[0]) for k, b in pairs])


def _flax(prefix: str, parts: Parts, shapes: Shapes, reading: Reading) -> Plan | None:
    name = called(prefix.rstrip("./"))
    gates = {gate for gate, tensors in parts.items() if "kernel" in tensors}
    if gates == {"if", "in", "hf", "hn"}:
        raise ValueError(f"{name} is a minimal gated unit (Flax MGUCell), which is not supported; see RNN, GRU, LSTM")
    sides = _sides(gates)
    if sides is None:
        return None
    below, past = (
        _Dense(tuple(parts[g]["kernel"] for g in side), tuple(parts[g].get("bias") for g in side)) for side in sides
    )
    sizes = _sizes(below.shape(shapes), past.shape(shapes))
    if sizes is None:
        if sides == (["i"], ["h"]):  # names too plain to mean a recurrent cell by themselves
            return None
        shown = ", ".join(f"{t} {shapes[t]}" for t in (*below.tensors, *past.tensors))
        raise ValueError(f"{name} has the names of a Flax cell but not its shapes ({shown}); 1, 3 or 4 gate blocks fit")
    bias = any((*below.biases, *past.biases))
    architecture, said = _flax_architecture(*sizes, bias, reading)
    weights = partial(_flax_weights, below=below, past=past, bias=bias)
    return Plan(prefix.rstrip("./"), architecture, below.tensors + past.tensors, weights, said)


def _sides(gates: set[str]) -> tuple[list[str], list[str]] | None:
    """The input side and the recurrent side, each in our order of blocks; None where this is no cell."""
    separate = ([[side + gate for gate in order] for side in "ih"] for order in ("ifgo", "rzn"))
    for below, past in ((["dense_i"], ["dense_h"]), *separate, (["i"], ["h"])):
        if gates >= {*below, *past}:
            return below, past
    return None


def _sizes(below: tuple[int, ...] | None, past: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    """Gate blocks, inputs and units."""
    if below is None or past is None or below[1] != past[1] or not min(below + past) or past[1] % past[0]:
        return None
    gates = past[1] // past[0]
    return (gates, below[0], past[0]) if gates in KINDS else None


def _flax_architecture(
    gates: int, inputs: int, width: int, bias: bool, reading: Reading
) -> tuple[Recurrence, tuple[str, ...]]:
    activation = reading.activation or "tanh"
    if KINDS[gates] == "LSTM":
        return LSTM(inputs, width, bias=bias), ("gates and activations as in Flax, by the names",)
    if KINDS[gates] == "GRU":
        return GRU(inputs, width, bias=bias), ("gates, reset after and activations as in Flax, by the names",)
    said = f"activation {activation} as given" if reading.activation else "activation assumed tanh"
    return RNN(inputs, width, bias=bias, activation=activation), (said,)


def _flax_weights(read: Read, below: _Dense, past: _Dense, bias: bool) -> Weights:
    weights = {"weight_ih": below.weight(read), "weight_hh": past.weight(read)}
    return weights | ({"bias_ih": below.bias(read), "bias_hh": past.bias(read)} if bias else {})


# Haiku


def _haiku_linear(prefix: str, parts: Parts, shapes: Shapes) -> Plan | None:
    tensors = tuple(name for linear in parts.values() for name in linear.values())
    linear, second = parts.get("/linear", {}), parts.get("/linear_1", {})
    if "w" not in linear or any(len(shapes[name]) != (2 if name.endswith("w") else 1) for name in tensors):
        return None
    rows, columns = shapes[linear["w"]]
    if "w" in second and shapes[second["w"]] == (columns, columns):
        rnn = RNN(rows, columns, bias="b" in linear, activation="relu")
        return Plan(
            prefix,
            rnn,
            tensors,
            partial(_vanilla, linear=linear, second=second),
            ("activation relu (Haiku)",),
        )
    width = columns // 4
    if "w" in second or columns % 4 or not 0 < width < rows:
        return None
    lstm = LSTM(rows - width, width, bias="b" in linear)
    return Plan(prefix, lstm, tensors, partial(_haiku_lstm, linear=linear, width=width), (_HAIKU_LSTM,))


_HAIKU_LSTM = "gate order i, g, f, o and 1 added to the forget bias, as in Haiku"
_HAIKU_RESET = "gate order z, r, n and reset before, as in Haiku"


def _vanilla(read: Read, linear: Mapping[str, str], second: Mapping[str, str]) -> Weights:
    weights = {"weight_ih": read(linear["w"]).T, "weight_hh": read(second["w"]).T}
    return weights | ({"bias_ih": read(linear["b"]), "bias_hh": read(second["b"])} if "b" in linear else {})


def _haiku_lstm(read: Read, linear: Mapping[str, str], width: int) -> Weights:
    rows = blocks("igfo", "ifgo", width)
    weight = read(linear["w"]).T[rows]
    weights = {"weight_ih": weight[:, :-width], "weight_hh": weight[:, -width:]}
    if "b" not in linear:
        return weights
    bias = read(linear["b"])[rows]
    forget = np.repeat(np.array([0, 1, 0, 0], bias.dtype), width)
    return weights | {"bias_ih": bias + forget, "bias_hh": np.zeros_like(bias)}


def _haiku_gru(prefix: str, tensors: Mapping[str, str], shapes: Shapes) -> Plan | None:
    if not tensors.keys() >= {"w_i", "w_h"}:
        return None
    below, past = shapes[tensors["w_i"]], shapes[tensors["w_h"]]
    width = past[0] if past else 0
    bias = shapes[tensors["b"]] == (3 * width,) if "b" in tensors else False
    if len(below) != 2 or past != (width, 3 * width) or below[1] != 3 * width or not width:
        return None
    gru = GRU(below[0], width, bias=bias, reset="before")
    weights = partial(_haiku_gru_weights, tensors=tensors, width=width, bias=bias)
    used = tuple(tensors[role] for role in ("w_i", "w_h", "b") if role != "b" or bias)
    return Plan(prefix.rstrip("./"), gru, used, weights, (_HAIKU_RESET,))


def _haiku_gru_weights(read: Read, tensors: Mapping[str, str], width: int, bias: bool) -> Weights:
    rows = blocks("zrn", "rzn", width)
    # Haiku's z weighs the new value and ours the old one: sigmoid(-a) = 1 - sigmoid(a).
    signs = np.repeat([1, -1, 1], width)
    weights = {ours: read(tensors[theirs]).T[rows] for ours, theirs in (("weight_ih", "w_i"), ("weight_hh", "w_h"))}
    if bias:
        weights |= {"bias_ih": read(tensors["b"])[rows]}
        weights |= {"bias_hh": np.zeros_like(weights["bias_ih"])}
    return {role: (signs.astype(w.dtype) * w.T).T for role, w in weights.items()}
