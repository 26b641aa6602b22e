"""Recurrent layers recognised by the names and shapes of their tensors, and read without their framework.

Everything is brought into PyTorch's form: `weight_ih` (gates width, input) and `weight_hh` (gates width,
visible), blocks in the order i, f, g, o of an LSTM and r, z, n of a GRU.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from hitherto.architectures.outside import torch_names
from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.cells import Fields, Shapes, Writer, cell_plan, check_gates
from hitherto.architectures.outside.found import Found, Reading
from hitherto.architectures.outside.jax_cells import jax_plans
from hitherto.architectures.outside.plan import Plan, both_directions, called, chained, stacked
from hitherto.architectures.wrappers import Bidirectional

_SEPARATOR = "[._/-]"
_S = f"{_SEPARATOR}?"
_WHERE = rf"(?:{_S}l(?P<layer>\d+)|{_S}(?P<number>\d+))?(?P<reverse>{_S}reverse)?"
_FIELD = re.compile(
    rf"(?P<prefix>|.*?{_SEPARATOR})"
    rf"(?P<field>(?:weight|w|kernel){_S}(?:ih|hh|hr|i2h|h2h|ci|cf|co)|(?:bias|b){_S}(?:ih|hh|i2h|h2h)|w{_S}[ifo]{_S}diag)"
    + _WHERE,
    re.IGNORECASE,
)
_SINGLE_BIAS = re.compile(rf"(?P<prefix>|.*?{_SEPARATOR})(?P<field>bias_n|bias|b){_WHERE}", re.IGNORECASE)
_KERAS = re.compile(rf"(?P<prefix>|.*?{_SEPARATOR})(?P<field>recurrent_kernel|kernel|bias|w|u|b)(?::0)?", re.IGNORECASE)

_REPARAMETRISED = re.compile(
    r".*parametrizations\.weight_(ih|hh|hr)\w*\.original\d*|(.*[._/-])?weight_(ih|hh|hr)\w*_(g|v|raw|orig|mask)"
)
_COMBINED = re.compile(r"(.*[/.])?(basic_)?(lstm|gru|rnn)_cell(_\d+)?[/.]((gates|candidate)[/.])?(kernel|weights)(:0)?")
_INSIDE_A_CELL = re.compile(r"((layer|batch|group)_?)?norm|ln|bn|attn|attention|peepholes?|gamma|beta")


def read_named(arrays: Arrays, reading: Reading) -> list[Found]:
    """The recurrent models among named arrays, in the order of the source.

    A file written by `hitherto.save` says its architecture; every shape is held against it.

    Raises:
        ValueError: if there is no recurrent layer, or one that is inconsistent or not supported.
    """
    if torch_names.ARCHITECTURE in arrays.metadata:
        return [torch_names.read_saved(arrays)]
    return [plan.carry_out(arrays) for plan in find_layers(arrays.shapes, reading)]


def find_layers(shapes: Shapes, reading: Reading) -> list[Plan]:
    """The recurrent models that names and shapes show, with numbered layers chained; no array is read.

    Raises:
        ValueError: as `read_named`.
    """
    plans = single_layers(shapes, reading)
    if not plans:
        shown = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:8])
        raise ValueError(
            f"{len(shapes)} tensors, no recurrent layer: {shown}{', ...' if len(shapes) > 8 else ''}; "
            "recurrent layers "
            "are known by names such as weight_ih_l0 and weight_hh_l0, w_ih and w_hh, kernel and "
            "recurrent_kernel"
        )
    return chain(plans, shapes)


def single_layers(shapes: Shapes, reading: Reading) -> list[Plan]:
    """The recurrent modules that names and shapes show, each by itself; none is no error."""
    check_gates(reading)
    _refuse_unreadable(shapes)
    groups = _torch_like(shapes) | _keras_like(shapes)
    plans = [_module(key, parts, shapes, reading) for key, parts in groups.items()] + jax_plans(shapes, reading)
    prefixes = [key.prefix for key in groups] + [_prefix(plan) for plan in plans[len(groups) :]]
    others = _others(plans, shapes)
    for prefix in prefixes:
        _refuse_beside(prefix, others)
    return plans


def chain(plans: Sequence[Plan], shapes: Shapes) -> list[Plan]:
    """The plans, numbered ones with fitting widths as stacks, unless other tensors stand between them."""
    return chained(plans, _others(plans, shapes))


def _others(plans: Iterable[Plan], shapes: Shapes) -> list[str]:
    used = {tensor for plan in plans for tensor in plan.tensors}
    return [name for name in shapes if name not in used]


# Names into groups


class _Key(NamedTuple):
    """What the tensors of one module share: prefix with its separator, number after the field, writer."""

    prefix: str
    number: str
    layered: bool
    writer: Writer

    @property
    def name(self) -> str:
        return "_".join(part for part in (self.prefix.rstrip("._/-"), self.number) if part)


class _Part(NamedTuple):
    layer: int
    reverse: bool


Groups = dict[_Key, dict[_Part, dict[str, str]]]


def _torch_like(shapes: Shapes) -> Groups:
    groups: Groups = {}
    for name in shapes:
        if match := _FIELD.fullmatch(name):
            key, part = _place(match)
            _put(groups.setdefault(key, {}).setdefault(part, {}), _role(match["field"]), name)
    groups = {key: parts for key, parts in groups.items() if any(_weighs(fields) for fields in parts.values())}
    for name in shapes:
        if match := _SINGLE_BIAS.fullmatch(name):
            key, part = _place(match)
            fields = groups.get(key, {}).get(part, {})
            if fields and not fields.keys() & {"bias_ih", "bias_hh"}:
                _put(fields, "bias_n" if match["field"].lower() == "bias_n" else "bias", name)
    return groups


def _place(match: re.Match[str]) -> tuple[_Key, _Part]:
    layered = match["layer"] is not None
    key = _Key(match["prefix"], match["number"] or "", layered, "PyTorch")
    return key, _Part(int(match["layer"] or 0), match["reverse"] is not None)


def _role(field: str) -> str:
    text = re.sub(_SEPARATOR, "", field.lower()).replace("2", "")
    if text.endswith("diag"):
        return f"weight_c{text[1]}"
    return f"{'bias' if text.startswith('b') else 'weight'}_{text[-2:]}"


def _weighs(fields: Fields) -> bool:
    return bool(fields.keys() & {"weight_ih", "weight_hh"})


def _put(fields: dict[str, str], role: str, name: str) -> None:
    if role in fields:
        raise ValueError(f"{fields[role]} and {name} both look like {role} of one layer; rename one of them")
    fields[role] = name


def _keras_like(shapes: Shapes) -> Groups:
    found: dict[str, dict[str, str]] = {}
    for name in shapes:
        if match := _KERAS.fullmatch(name):
            found.setdefault(match["prefix"], {})[match["field"].lower()] = name
    groups: Groups = {}
    for prefix, names in found.items():
        pair = next((p for p in (("kernel", "recurrent_kernel"), ("w", "u")) if names.keys() >= set(p)), None)
        if pair and (pair[0] == "kernel" or _fits(shapes[names["w"]], shapes[names["u"]])):
            fields = {"weight_ih": names[pair[0]], "weight_hh": names[pair[1]]}
            bias = names.get("bias", names.get("b"))
            groups[_Key(prefix, "", False, "Keras")] = {_Part(0, False): fields | ({"bias": bias} if bias else {})}
    return groups


def _fits(ih: tuple[int, ...], hh: tuple[int, ...]) -> bool:
    """Whether matrices with the plain names W and U can be a cell at all."""
    if len(ih) != 2 or len(hh) != 2 or not min(hh):
        return False
    return max(hh) % min(hh) == 0 and (ih[1] == hh[1] or ih[0] == hh[0])


# Refusals


def _refuse_unreadable(shapes: Shapes) -> None:
    for name, shape in shapes.items():
        if _REPARAMETRISED.fullmatch(name):
            raise ValueError(
                f"{name}: the weight is stored in parts (weight normalisation or another parametrization), "
                "the effective weight is not in the file; bake the parametrization before saving "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )
        combined = _COMBINED.fullmatch(name)
        if combined and re.sub(r"(kernel|weights)(:0)?$", r"recurrent_kernel\2", name) not in shapes:
            raise ValueError(
                f"{name} {shape} is a combined kernel of TensorFlow 1, with the order i, j, f, o and a "
                "forget bias that is not in the file; it is not supported: save the layer again with Keras"
            )


def _prefix(plan: Plan) -> str:
    """The name with the separator that follows it in the tensors."""
    return plan.tensors[0][: len(plan.name) + 1] if plan.name else ""


def _refuse_beside(prefix: str, others: Iterable[str]) -> None:
    """Refuse parameters of something we do not compute beside a cell; without prefix, modules alone count."""
    for name in others:
        path = re.split(r"[./]", name.removeprefix(prefix)) if name.startswith(prefix) else []
        words = re.split(r"[_\-\d]+", "_".join(path).lower()) if prefix or len(path) <= 2 else []
        if any(_INSIDE_A_CELL.fullmatch(word) for word in words):
            raise ValueError(
                f"{name} stands beside the cell {called(prefix.rstrip('._/-'))}: normalisation, attention "
                "or peephole "
                "parameters change what a cell computes, and such cells are not supported; if it belongs to "
                "another layer, save the recurrent layer alone"
            )


# Modules: layers and directions


def _module(key: _Key, parts: Mapping[_Part, Fields], shapes: Shapes, reading: Reading) -> Plan:
    count = max(part.layer for part in parts) + 1
    numbers = {part.layer for part in parts}
    missing = next((k for k in range(count) if k not in numbers), None)
    if missing is not None:
        raise ValueError(
            f"{called(key.name)}: layer {missing} is missing, there is a layer {count - 1}; save all layers"
        )
    both = {part.layer for part in parts if part.reverse}
    if both and len(parts) != 2 * count:
        raise ValueError(
            f"{called(key.name)}: not all of its {count} layers have both directions, layers "
            f"{sorted(both)} have a backward one; save both directions of all layers"
        )
    layers = [_layer(key, k, bool(both), parts, shapes, reading) for k in range(count)]
    _check_alike(key.name, layers)
    return stacked(key.name, layers)


def _layer(key: _Key, number: int, both: bool, parts: Mapping[_Part, Fields], shapes: Shapes, reading: Reading) -> Plan:
    name = f"{key.name}.l{number}".lstrip(".")
    directions = [
        cell_plan(name, parts[_Part(number, reverse)], shapes, reading, key.writer)
        for reverse in ((False, True) if both else (False,))
    ]
    return both_directions(name, *directions) if both else directions[0]


def _check_alike(name: str, layers: Sequence[Plan]) -> None:
    architectures = [layer.architecture for layer in layers]
    cells = [c for a in architectures for c in ((a.forward, a.backward) if isinstance(a, Bidirectional) else (a,))]
    kinds = {replace(cell, input_size=1) for cell in cells}  # type: ignore[type-var]
    if len(kinds) > 1:
        raise ValueError(
            f"{called(name)}: layers of one module need the same kind, units, projection and bias, "
            f"found {', '.join(map(str, kinds))}; check that no tensor is missing"
        )
    for k, (below, above) in enumerate(pairwise(architectures)):
        if below.output_size != above.input_size:
            raise ValueError(
                f"{called(name)}: layer {k} gives {below.output_size} channels, layer {k + 1} takes "
                f"{above.input_size}; check that the two are of one module"
            )
