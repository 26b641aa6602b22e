"""A recurrent model recognised by names and shapes, before any of its arrays is read."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.found import Found
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import Architecture, Model, Weights

Read = Callable[[str], np.ndarray]

BETWEEN = "layers between recurrent layers cannot be seen in this file"


@dataclass(frozen=True, eq=False)
class Plan:
    """What a model will be, and how its weights are made from the arrays of the source.

    Attributes:
        name: what `--layer` takes.
        tensors: names of the arrays it is made of.
        weights: from a function that reads an array by name.
        members: the layers of a stack; the stack's own `weights` are then theirs.
    """

    name: str
    architecture: Architecture
    tensors: tuple[str, ...]
    weights: Callable[[Read], Weights]
    assumptions: tuple[str, ...] = ()
    members: tuple["Plan", ...] = ()

    def carry_out(self, arrays: Arrays) -> Found:
        """Read the arrays and build the model."""
        members = tuple(member.carry_out(arrays) for member in self.members)
        weights = tuple(m.model.weights for m in members) if members else self.weights(arrays.read)
        assumptions = (*self.assumptions, *widened(arrays, self.tensors), "initial state assumed zeros")
        return Found(self.name, Model(self.architecture, weights), assumptions, members)


def widened(arrays: Arrays, tensors: Iterable[str]) -> tuple[str, ...]:
    """One line for each half precision among the tensors."""
    kinds = dict.fromkeys(arrays.dtypes[t] for t in tensors if arrays.dtypes[t] in ("float16", "bfloat16"))
    return tuple(f"{kind} weights widened to float32" for kind in kinds)


def called(name: str) -> str:
    """What messages call a layer."""
    return name or "the model"


def once(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines in order, each once."""
    return tuple(dict.fromkeys(lines))


def both_directions(name: str, forward: Plan, backward: Plan) -> Plan:
    """Two plans for the same inputs as one bidirectional layer."""
    return Plan(
        name,
        Bidirectional(forward.architecture, backward.architecture),  # type: ignore[arg-type]
        forward.tensors + backward.tensors,
        lambda read: (forward.weights(read), backward.weights(read)),
        once(forward.assumptions + backward.assumptions),
    )


def stacked(name: str, members: Sequence[Plan], *assumptions: str) -> Plan:
    """Layers that read one another, lowest first, as one plan; a single layer stays itself."""
    if len(members) == 1:
        return replace(members[0], name=name)
    return Plan(
        name,
        Deep(tuple(m.architecture for m in members)),
        tuple(t for m in members for t in m.tensors),
        lambda read: tuple(m.weights(read) for m in members),
        once((*(line for m in members for line in m.assumptions), *assumptions)),
        tuple(members),
    )


def joined(name: str, found: Sequence[Found], *lines: str) -> Found:
    """Layers that read one another, lowest first, as one stack; a single layer as it is."""
    if len(found) == 1:
        return replace(found[0], assumptions=once((*found[0].assumptions, *lines)))
    architecture = Deep(tuple(one.model.architecture for one in found))
    weights = tuple(one.model.weights for one in found)
    assumptions = once((*(line for one in found for line in one.assumptions), *lines))
    return Found(name, Model(architecture, weights), assumptions, tuple(found))


def chained(plans: Sequence[Plan], others: Iterable[str]) -> list[Plan]:
    """Plans whose names differ in one integer, with consecutive numbers and fitting widths, made stacks.

    Args:
        others: names of the tensors that belong to no plan. One under a numbered prefix shows that something
            sits between the layers, and keeps them apart.
    Returns:
        The plans and stacks, in the order in which their first layers came.
    """
    others = tuple(others)
    left = {plan.name: plan for plan in plans}
    if len(left) < len(plans):
        return list(plans)
    for run in _numbered(tuple(left)):
        if all(name in left for name in run.names) and _chains(run, [left[n] for n in run.names], others):
            stack = _stack(run, [left[n] for n in run.names])
            merged = {name: stack if name in run.names else plan for name, plan in left.items()}
            left = {plan.name: plan for plan in merged.values()}
    return list(left.values())


class _Run(NamedTuple):
    """Names that are `before`, an integer, `after`, sorted by the integer."""

    before: str
    after: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]


def _numbered(names: Sequence[str]) -> list[_Run]:
    """Runs of names that agree but for one integer; those that differ furthest right come first."""
    groups: dict[tuple[int, str, str], dict[int, str]] = {}
    for name in names:
        for digits in re.finditer(r"\d+", name):
            key = (digits.start(), name[: digits.start()], name[digits.end() :])
            groups.setdefault(key, {})[int(digits[0])] = name
    runs = [(key, dict(sorted(group.items()))) for key, group in groups.items() if len(group) > 1]
    runs.sort(key=lambda run: -run[0][0])
    return [_Run(before, after, tuple(group), tuple(group.values())) for (_, before, after), group in runs]


def _chains(run: _Run, members: Sequence[Plan], others: Sequence[str]) -> bool:
    roots = "|".join(re.escape(name.removesuffix(run.after)) for name in run.names)
    between = any(re.match(rf"({roots})(\D|$)", other) for other in others)
    consecutive = all(b == a + 1 for a, b in pairwise(run.numbers))
    return (
        consecutive
        and not between
        and all(below.architecture.output_size == above.architecture.input_size for below, above in pairwise(members))
    )


def _stack(run: _Run, members: Sequence[Plan]) -> Plan:
    name = f"{run.before}*{run.after}" if run.after else run.before.rstrip("._/-")
    layers = [layer for member in members for layer in member.members or (member,)]
    return stacked(name, layers, f"{', '.join(run.names)} chained by number and width (assumed); {BETWEEN}")
