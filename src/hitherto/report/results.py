"""What stands in a store, and how it is said in words."""

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.core.store import Record, Store

TELLING = ("fails", "refuted", "cannot tell")  # outcomes that come first where not all can be shown
Kind = tuple[str, str, str]  # quantity, part, unit
Answer = tuple[Record, Mapping[str, Any]]  # a record and one of its measured estimates


@dataclass(frozen=True)
class Results:
    """What stands in a store, read once.

    Attributes:
        plot: how to draw it: `x`, `by`, `x_label`, `log_y`.
        asks: what is known of each question; of one that only records name, nothing.
        records: question by question.
        planned: `size` and `cases` of the last run, finished or not.
        settings: whose they are.
    """

    name: str
    says: str
    plot: Mapping[str, Any]
    asks: Mapping[str, Mapping[str, Any]]
    records: Sequence[Record]
    planned: Mapping[str, Any]
    settings: str

    def relation(self, ask: str) -> str:
        """ "==", "<=", ">=", or "" for a measurement."""
        return self.asks[ask].get("relation", "")


def results_of(store: Store, only: Container[str] | None = None) -> Results:
    """Read a store once; `only` the records with these ids, if given."""
    about, records = store.about(), store.records(only)
    known = about.get("asks", {})
    asks = known | {record.ask: {} for record in records if record.ask not in known}
    order = {ask: place for place, ask in enumerate(asks)}
    return Results(
        name=store.name,
        says=about.get("says") or store.name,
        plot={"x": "", "by": (), "x_label": "", "log_y": False} | about.get("plot", {}),
        asks=asks,
        records=sorted(records, key=lambda record: order[record.ask]),
        planned=about.get("planned", {}),
        settings=about.get("settings", ""),
    )


def outcome_of(records: Sequence[Record], named: bool = False, reason: bool = False) -> str:
    """ "2 of 5 cases fail, first: n 3; 3 hold"; the first `named` with its question, and with the `reason`."""
    if not records:
        return "no finished case yet"
    count = Counter(r.outcome for r in records)
    checked = len(records) - count["measured"]
    clauses = []
    for outcome, verb in (("fails", "fail"), ("refuted", "refute")):
        if not count[outcome]:
            continue
        first = next(r for r in records if r.outcome == outcome)
        where = f"{first.ask} at {_where(first)}" if named else _where(first)
        why = f" ({first.reason})" if reason and first.reason else ""
        clauses.append(f"{_of(count[outcome], checked, verb)}, first: {where}{why}")
    if clauses and count["holds"]:
        clauses.append(f"{count['holds']:,} {plural('holds', count['holds'])}")
    elif checked and not clauses:
        clauses.append(_of(count["holds"], checked, "hold"))
    clauses += [f"{count[o]:,} {o}" for o in ("cannot tell", "not covered") if count[o]]
    if count["measured"]:
        clauses.append(f"{count['measured']:,} case{'s' * (count['measured'] > 1)} measured")
    return "; ".join(clauses)


def _of(some: int, count: int, verb: str) -> str:
    """ "1 of 5 cases fails"."""
    return f"{some:,} of {count:,} case{'s' * (count > 1)} {verb}{'s' * (some == 1)}"


def _where(record: Record) -> str:
    return place(record.coordinates, record.coordinates) or "its only case"


def place(coordinates: Mapping[str, Any], names: Iterable[str]) -> str:
    """ "width 3, seed 0"."""
    return ", ".join(f"{words(name)} {label(coordinates[name])}" for name in names if name in coordinates)


def brief(coordinates: Mapping[str, Any], names: Iterable[str]) -> str:
    """ "DNN, width 3": words speak for themselves."""
    told = {name: coordinates[name] for name in names if name in coordinates}
    return ", ".join(value if isinstance(value, str) else place(told, (name,)) for name, value in told.items())


def plural(outcome: str, count: int) -> str:
    """An outcome as the verb of so many cases."""
    return outcome.removesuffix("s") if outcome in ("holds", "fails") and count > 1 else outcome


def split(points: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Coordinates that vary, and those that do not."""
    every = list(points)
    names = dict.fromkeys(name for point in every for name in point)
    varies = {name: len({label(point.get(name)) for point in every}) > 1 for name in names}
    return [n for n in names if varies[n]], [n for n in names if not varies[n]]


def in_order(values: Iterable[Any]) -> list[str]:
    """Labels of the different values: numbers by their size, then all else as it came."""
    labels = {label(value): value for value in values}
    return sorted(labels, key=lambda name: _size(labels[name]))


def _size(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.inf


def signed(text: str) -> str:
    """With a true minus sign."""
    return f"−{text[1:]}" if text.startswith("-") else text


def label(value: Any) -> str:
    """A coordinate: numbers and texts as they are, a dataclass by its last name and its fields."""
    if isinstance(value, Mapping):
        kind = str(value.get("kind", "")).rsplit(".", 1)[-1]
        fields = ", ".join(f"{name}={label(v)}" for name, v in value.items() if name != "kind")
        return str(value.get("value")) if kind == "Fraction" else f"{kind}({fields})"
    if isinstance(value, list):
        return f"({', '.join(map(label, value))})"
    return f"{value:.12g}" if isinstance(value, float) else "none" if value is None else str(value)


def words(name: str) -> str:
    """A name without its underscores."""
    return name.replace("_", " ")


def as_floats(value: Any) -> Float[np.ndarray, "..."]:
    """Plain JSON values, nested or not, as floats."""
    return np.array([as_floats(v) for v in value]) if isinstance(value, list) else np.array(as_float(value))


def as_float(value: Any) -> float:
    """A number of a record; NaN for None, infinite where it is too large."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:
        return math.nan
