"""One recurrent cell from named tensors: its kind, how its blocks lie, and its weights in PyTorch's form."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.plan import Plan, Read, called
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Recurrence, Weights

Shapes = Mapping[str, tuple[int, ...]]
Fields = Mapping[str, str]  # role, such as weight_hh -> name of the tensor
Writer = Literal["PyTorch", "Keras"]

KINDS = {1: "RNN", 3: "GRU", 4: "LSTM"}
ORDERS = {"RNN": "-", "GRU": "rzn", "LSTM": "ifgo"}
_WRITTEN = {"PyTorch": ORDERS, "Keras": ORDERS | {"GRU": "zrn"}}
_PEEPHOLES = ("weight_ci", "weight_cf", "weight_co")


class Layout(NamedTuple):
    """How the arrays of a cell lie.

    Attributes:
        turned: the matrices are (in, out) and not (out, in).
        order: letters of the gate blocks, as they lie.
    """

    kind: str
    input_size: int
    width: int
    projection: int | None
    turned: bool
    order: str

    @property
    def rows(self) -> int:
        """Rows of the upright matrices: all gate blocks together."""
        return len(self.order) * self.width


def cell_plan(name: str, fields: Fields, shapes: Shapes, reading: Reading, writer: Writer = "PyTorch") -> Plan:
    """The plan of one direction of one layer.

    Args:
        fields: `weight_ih`, `weight_hh`, and where they exist `weight_hr`, `bias_ih`, `bias_hh`; `bias` for a
            single bias and `bias_n` (Equinox); `weight_ci`, `weight_cf`, `weight_co` (peepholes).
        writer: whose block order and orientation the names suggest.
    Raises:
        ValueError: if the shapes are not those of an RNN, GRU or LSTM.
    """
    layout = _layout(name, fields, shapes, reading, writer)
    _check_vectors(name, fields, shapes, layout)
    architecture, assumed = _architecture(fields, shapes, layout, reading, writer)
    said = (*_orientation_said(fields, shapes, writer), *_order_said(layout, reading, writer), *assumed)
    return Plan(name, architecture, tuple(fields.values()), partial(_weights, fields=fields, layout=layout), said)


# Sizes, orientation, kind


def _layout(name: str, fields: Fields, shapes: Shapes, reading: Reading, writer: Writer) -> Layout:
    for role in ("weight_ih", "weight_hh"):
        if role not in fields:
            raise ValueError(f"{called(name)} has {', '.join(fields.values())} but no {role}; save it whole")
        _check_rank(fields[role], shapes[fields[role]])
    ih, hh = (shapes[fields[role]] for role in ("weight_ih", "weight_hh"))
    turned = _is_turned(ih, hh, writer)
    (rows, input_size), (recurrent_rows, visible) = (ih[::-1], hh[::-1]) if turned else (ih, hh)
    if rows != recurrent_rows:
        raise ValueError(
            f"{fields['weight_ih']} has {rows} rows, {fields['weight_hh']} has {recurrent_rows} (shapes "
            f"{ih}, {hh}); "
            "the two belong to the same gates and need as many rows: check that they are of one layer"
        )
    width, projection = _width(fields, shapes, turned, visible)
    kind = _kind(fields["weight_hh"], rows, width, projection)
    return Layout(kind, input_size, width, projection, turned, _order(fields, hh, kind, turned, reading, writer))


def _check_rank(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) == 2 and min(shape) > 0:
        return
    reason = {1: "a layer with one recurrent weight a unit (IndRNN, SRU, QRNN)", 2: "empty"}.get(
        len(shape), "a convolutional recurrence (ConvLSTM)"
    )
    raise ValueError(f"{name} has the shape {shape}: {reason} is not supported; only RNN, GRU and LSTM layers are read")


def _is_turned(ih: tuple[int, ...], hh: tuple[int, ...], writer: Writer) -> bool:
    upright, sideways = ih[0] == hh[0], ih[1] == hh[1]
    if upright and sideways:
        return hh[0] < hh[1] or (hh[0] == hh[1] and writer == "Keras")
    return sideways and hh[1] % hh[0] == 0


def _width(fields: Fields, shapes: Shapes, turned: bool, visible: int) -> tuple[int, int | None]:
    if "weight_hr" not in fields:
        return visible, None
    name, shape = fields["weight_hr"], shapes[fields["weight_hr"]]
    projection, width = shape[::-1] if turned and len(shape) == 2 else (*shape, 0, 0)[:2]
    if len(shape) != 2 or projection != visible or not 0 < projection < width:
        raise ValueError(
            f"{name} has the shape {shape}, but {fields['weight_hh']} {shapes[fields['weight_hh']]} needs "
            f"a projection to {visible} from more units than that; check that the two are of one layer"
        )
    return width, projection


def _kind(name: str, rows: int, width: int, projection: int | None) -> str:
    if rows % width:
        raise ValueError(
            f"{name}: {rows} rows are not a multiple of {width}, the units; an RNN has 1, a GRU 3 and an "
            "LSTM 4 times as many rows as units"
        )
    gates = rows // width
    if gates not in KINDS:
        hint = " (a minimal gated unit has 2, and is not supported)" if gates == 2 else ""
        raise ValueError(f"{name}: {gates} gate blocks of {width} rows: not an RNN, GRU or LSTM{hint}")
    if projection is not None and gates != 4:
        raise ValueError(f"{name}: {gates} gate blocks and a projection; only an LSTM has both: check weight_hr")
    return KINDS[gates]


# Order of the gate blocks


def check_gates(reading: Reading) -> None:
    """Refuse an order of gate blocks that is none of an LSTM's or GRU's."""
    if reading.gates and not any(_asked(reading.gates, kind) for kind in ("LSTM", "GRU")):
        raise ValueError(
            f"gates {reading.gates!r} is no order of gate blocks; give the letters i, f, g (or c), o of an "
            "LSTM or r, z, n (or h) of a GRU, each once, such as ifgo or zrn"
        )


def _asked(gates: str, kind: str) -> str | None:
    """The order that the user gave, in our letters, if it is one for this kind."""
    letters = gates.lower().replace("c", "g") if kind == "LSTM" else gates.lower().replace("h", "n")
    return letters if sorted(letters) == sorted(ORDERS[kind]) else None


def _order(fields: Fields, hh: tuple[int, ...], kind: str, turned: bool, reading: Reading, writer: Writer) -> str:
    asked = _asked(reading.gates, kind) if reading.gates else None
    if turned and writer == "PyTorch" and kind != "RNN" and not asked:
        raise ValueError(
            f"{fields['weight_hh']} is a {kind} stored (in, out) with shape {hh}; PyTorch stores (out, "
            "in), so the order "
            f"of its gate blocks is not known: give it with --gates, such as {ORDERS[kind]}"
        )
    return asked or _WRITTEN[writer][kind]


def _order_said(layout: Layout, reading: Reading, writer: Writer) -> tuple[str, ...]:
    if layout.kind == "RNN":
        return ()
    if reading.gates and _asked(reading.gates, layout.kind):
        return (f"gate order {', '.join(layout.order)} as given",)
    return (f"gate order assumed {', '.join(layout.order)} ({writer})",)


def _orientation_said(fields: Fields, shapes: Shapes, writer: Writer) -> tuple[str, ...]:
    ih, hh = (shapes[fields[role]] for role in ("weight_ih", "weight_hh"))
    named = writer == "Keras" or "weight" in fields["weight_ih"].lower()
    return () if named or not ih == hh == hh[::-1] else ("matrices assumed (out, in)",)


# Vectors


def _check_vectors(name: str, fields: Fields, shapes: Shapes, layout: Layout) -> None:
    expected = dict.fromkeys(("bias_ih", "bias_hh", "bias"), (layout.rows,))
    expected |= dict.fromkeys((*_PEEPHOLES, "bias_n"), (layout.width,))
    for role in fields.keys() & expected.keys():
        shape = shapes[fields[role]]
        pair = role == "bias" and layout.kind == "GRU" and shape == (2, layout.rows)
        if shape != expected[role] and not pair:
            raise ValueError(
                f"{fields[role]} has the shape {shape}, expected {expected[role]} beside "
                f"{fields['weight_hh']} {shapes[fields['weight_hh']]}; check that the two are of one layer"
            )
    peepholes = [role for role in _PEEPHOLES if role in fields]
    if peepholes and (layout.kind != "LSTM" or len(peepholes) < 3):
        raise ValueError(f"{called(name)}: peepholes {', '.join(peepholes)} on a {layout.kind}; an LSTM has all three")
    if "bias_n" in fields and layout.kind != "GRU":
        raise ValueError(f"{fields['bias_n']} stands beside a {layout.kind}; only a GRU has a bias_n")


# Architecture and weights


def _architecture(
    fields: Fields, shapes: Shapes, layout: Layout, reading: Reading, writer: Writer
) -> tuple[Recurrence, tuple[str, ...]]:
    sizes = {"input_size": layout.input_size, "width": layout.width}
    bias = any(role.startswith("bias") for role in fields)
    activation, gate = reading.activation or "tanh", reading.recurrent_activation or "sigmoid"
    if layout.kind == "RNN":
        said = f"activation {activation} as given" if reading.activation else "activation assumed tanh"
        return RNN(**sizes, bias=bias, activation=activation), (said,)
    if layout.kind == "LSTM":
        lstm = LSTM(
            **sizes,
            bias=bias,
            projection=layout.projection,
            peephole="weight_ci" in fields,
            gate_activation=gate,
            activation=activation,
            cell_activation=activation,
        )
        return lstm, _activations_said(reading)
    reset, said = _reset(fields, shapes, reading, writer)
    gru = GRU(**sizes, bias=bias, reset=reset, gate_activation=gate, activation=activation)
    return gru, (*said, *_activations_said(reading))


def _activations_said(reading: Reading) -> tuple[str, ...]:
    given = {"activation": reading.activation, "recurrent activation": reading.recurrent_activation}
    return tuple(f"{what} {name} as given" for what, name in given.items() if name)


def _reset(
    fields: Fields, shapes: Shapes, reading: Reading, writer: Writer
) -> tuple[Literal["after", "before"], tuple[str, ...]]:
    if reading.reset:
        return reading.reset, (f"reset convention {reading.reset} as given",)
    if "bias_n" in fields:  # Equinox, whose single bias is exact with its own bias_n
        return "after", ()
    if writer == "Keras" and "bias" in fields:  # (2, 3 width) is written with reset_after, (3 width) without
        return ("after" if len(shapes[fields["bias"]]) == 2 else "before"), ()
    single = len(fields.keys() & {"bias", "bias_ih", "bias_hh"}) == 1
    lone = ("recurrent bias of the candidate taken as zero: the source has one bias",) if single else ()
    return "after", (f"reset convention assumed after ({writer})", *lone)


def _weights(read: Read, fields: Fields, layout: Layout) -> Weights:
    found = {role: read(name) for role, name in fields.items()}
    weights = {role: found[role] for role in ("weight_ih", "weight_hh", "weight_hr") if role in found}
    if layout.turned:
        weights = {role: matrix.T for role, matrix in weights.items()}
    weights |= _biases(found, layout)
    rows = blocks(layout.order, ORDERS[layout.kind], layout.width)
    weights = {role: w if role == "weight_hr" else w[rows] for role, w in weights.items()}
    if "weight_ci" in found:
        weights["peepholes"] = np.stack([found[role] for role in _PEEPHOLES])
    return weights


def _biases(found: Mapping[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    single = found.get("bias")
    if single is not None and single.ndim == 2:
        return {"bias_ih": single[0], "bias_hh": single[1]}
    both = {"bias_ih": found.get("bias_ih", single), "bias_hh": found.get("bias_hh")}
    if "bias_n" in found:
        past = {letter: np.zeros_like(found["bias_n"]) for letter in layout.order} | {"n": found["bias_n"]}
        both["bias_hh"] = np.concatenate([past[letter] for letter in layout.order])
    present = next((bias for bias in both.values() if bias is not None), None)
    return {} if present is None else {r: np.zeros_like(present) if b is None else b for r, b in both.items()}


def blocks(have: str, want: str, width: int) -> np.ndarray:
    """For each row of blocks in the order `want`, where it lies in the order `have`."""
    return np.concatenate([np.arange(width) + have.index(letter) * width for letter in want])
