"""From records to curves: which charts an experiment needs, and what each of them holds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE

from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.store import Record
from hitherto.report.drawing import MARKED, SERIES
from hitherto.report.results import (
    TELLING,
    Answer,
    Kind,
    Results,
    as_float,
    as_floats,
    brief,
    in_order,
    label,
    outcome_of,
    place,
    split,
    words,
)
from hitherto.report.verdict import capitalised

NORMAL_95 = 1.96  # standard errors
MOST_PANELS = 12
COMPLEX = "real part", "imaginary part"  # parts that are drawn together
LARGEST = 1e250  # what lies above has no place: the arithmetic of axes would overflow
BOUNDS = {">=": ("at least", CARETUPBASE), "<=": ("at most", CARETDOWNBASE)}
POINTS = Quantity("points", "of a figure", "", ("x",))
Points = tuple[Float[np.ndarray, " places"], Float[np.ndarray, " places"]]


@dataclass(frozen=True)
class Curve:
    """Theory and measurement along one axis.

    Attributes:
        name: of the curve in the key; "" where there is only one.
        relation: of what is measured to the theory.
        theory: places and values of the line; all NaN where there is none.
        measured: points with their 95% intervals, over the axis "x".
        outcomes: of each point.
        mean: places and means of the points.
    """

    name: str
    relation: str
    theory: Points
    measured: Estimate
    outcomes: tuple[str, ...]
    mean: Points

    @property
    def x(self) -> Float[np.ndarray, " points"]:
        """Places of the points."""
        return self.measured.axes["x"]

    @property
    def dense(self) -> bool:
        """Whether it is drawn as a line, since there are too many points to mark each."""
        return len(self.x) > 2 * MARKED and len(self.x) == len(self.mean[0])

    @property
    def averaged(self) -> bool:
        """Whether points that share a place differ."""
        return any(len(np.unique(self.measured.value[self.x == place])) > 1 for place in self.mean[0])

    @property
    def predicted(self) -> bool:
        """Whether there is a line."""
        return not np.isnan(self.theory[1]).all()

    @property
    def bound(self) -> str:
        """The relation where it leaves a side open and there is a line."""
        return self.relation if self.relation in BOUNDS and self.predicted else ""


@dataclass(frozen=True)
class Frame:
    """The axes of a quantity.

    Attributes:
        kind: what is along y.
        names: along x, where it holds no numbers.
    """

    kind: Kind
    x_label: str
    names: tuple[str, ...]
    log_y: bool

    def held(self, y: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """NaN where the axis has no place."""
        floor = 1 / LARGEST if self.log_y else -LARGEST
        return np.where((y >= floor) & (y <= LARGEST), y, np.nan)


@dataclass(frozen=True)
class Chart:
    """One figure: a quantity at some cases.

    Attributes:
        name: what is drawn.
        title: the verdict.
        x: every place of the charts of this quantity, which share their axes.
        y: ends of the vertical axis.
        how_to_read: sentences.
    """

    name: str
    title: str
    curves: tuple[Curve, ...]
    frame: Frame
    x: Float[np.ndarray, " places"]
    y: tuple[float, float]
    how_to_read: str

    @property
    def kinds(self) -> tuple[Kind]:
        """What is along y."""
        return (self.frame.kind,)


def kind_of(estimate: Mapping[str, Any]) -> Kind:
    """What an estimate is of: quantity, part and unit."""
    return estimate["quantity"], estimate.get("part", ""), estimate.get("unit", "")


def y_label(kind: Kind) -> str:
    """Quantity and unit for the vertical axis."""
    name, part, unit = kind
    return f"{words(name)}{', ' * bool(part)}{part}{f' ({unit})' * bool(unit)}"


def by_quantity(records: Iterable[Record]) -> dict[Kind, list[Answer]]:
    """What was measured, by quantity."""
    found: dict[Kind, list[Answer]] = {}
    for record in records:
        for estimate in record.measured:
            found.setdefault(kind_of(estimate), []).append((record, estimate))
    return found


def charts_of(results: Results) -> list[Chart]:
    """All that can be drawn along one axis, in the order of the page."""
    made = {0: _over_grid, 1: _over_own_axis}
    return [
        chart
        for kind, answers in by_quantity(results.records).items()
        for axes, alike in _divided(answers, lambda answer: len(answer[1]["axes"])).items()
        if axes in made and kind[1] not in COMPLEX
        for group in _comparable(alike, results.plot["by"])
        for chart in made[axes](results, kind, group)
    ]


def _divided(answers: Iterable[Answer], key: Callable[[Answer], Any]) -> dict[Any, list[Answer]]:
    """Answers by a key, in the order in which the keys appear."""
    found: dict[Any, list[Answer]] = {}
    for answer in answers:
        found.setdefault(key(answer), []).append(answer)
    return found


def _by_names(
    answers: Sequence[Answer], names: Sequence[str], told: Callable[[Mapping[str, Any], Sequence[str]], str] = place
) -> dict[str, list[Answer]]:
    return _divided(answers, lambda answer: told(answer[0].coordinates, names))


def _ordered(answers: Sequence[Answer], names: Sequence[str]) -> list[Answer]:
    """By the values of these coordinates, so that curves are named in their order."""
    orders = {name: in_order(record.coordinates.get(name) for record, _ in answers) for name in names}
    return sorted(answers, key=lambda a: [orders[name].index(label(a[0].coordinates.get(name))) for name in names])


def _comparable(answers: Sequence[Answer], by: Sequence[str]) -> list[list[Answer]]:
    """All together where each curve answers one question, otherwise question by question."""
    if all(len({record.ask for record, _ in curve}) == 1 for curve in _by_names(answers, by).values()):
        return [list(answers)]
    return list(_divided(answers, lambda answer: answer[0].ask).values())


def _over_grid(results: Results, kind: Kind, answers: Sequence[Answer]) -> list[Chart]:
    """Single numbers along a coordinate of the grid: a chart where there are colours for all, else several."""
    along = _along_grid(results, answers)
    answers = [answer for answer in answers if along in answer[0].coordinates]
    varying, _ = split(record.coordinates for record, _ in answers)
    by = [name for name in results.plot["by"] if name in varying and name != along]
    answers = _ordered(answers, by)
    names, places = _places([record.coordinates[along] for record, _ in answers])
    depth = next(d for d in range(len(by) + 1) if _most_curves(answers, by, d) <= len(SERIES))
    drawn = {
        panel: (
            inside,
            [
                _grid_curve(name, group, along, places, results)
                for name, group in _by_names(inside, by[depth:], brief).items()
            ],
        )
        for panel, inside in _by_names(answers, by[:depth]).items()
    }
    over = [words(name) for name in varying if name not in (*by, along)]
    label = (along == results.plot["x"] and results.plot["x_label"]) or words(along)
    return _made(results, drawn, Frame(kind, label, names, bool(results.plot["log_y"])), over)


def _along_grid(results: Results, answers: Sequence[Answer]) -> str:
    """The coordinate along x; where x is an axis of other values, the first by which curves would differ."""
    held = {name for record, _ in answers for name in record.coordinates}
    return next((name for name in (results.plot["x"], *results.plot["by"]) if name in held), results.plot["x"])


def _most_curves(answers: Sequence[Answer], by: Sequence[str], depth: int) -> int:
    """Curves in the fullest chart, if the first `depth` coordinates tell charts apart."""
    panels = _by_names(answers, by[:depth]).values()
    return max((len(_by_names(inside, by[depth:])) for inside in panels), default=0)


def _over_own_axis(results: Results, kind: Kind, answers: Sequence[Answer]) -> list[Chart]:
    """Curves of single cases, as many as there are colours; a chart for each panel that `by` tells apart."""
    (axis,) = answers[0][1]["axes"]
    varying, _ = split(record.coordinates for record, _ in answers)
    by = [name for name in results.plot["by"] if name in varying]
    rest = [name for name in varying if name not in by] if by else []
    alike = [a for a in answers if a[0].outcome == "fails" or _at(a, rest) == _at(answers[0], rest)]
    depth = next(d for d in range(len(by) + 1) if _most_curves(alike, by, d) <= len(SERIES))
    drawn = {}
    for panel, inside in _by_names(alike, by[:depth]).items():
        chosen = _chosen(inside)
        names, _ = split(record.coordinates for record, _ in chosen)
        curves = [_own_curve(brief(r.coordinates, names), r, e, results.relation(r.ask)) for r, e in chosen]
        every = [answer for answer in answers if _at(answer, by[:depth]) == panel]
        count = f"{len(chosen)} of {len(every):,} cases" if len(chosen) < len(every) else ""
        drawn[", ".join(filter(None, (panel, count)))] = (every, curves)
    label = results.plot["x_label"] if results.plot["x"] == axis else words(axis)
    return _made(results, drawn, Frame(kind, label, (), bool(results.plot["log_y"])), [])


def _at(answer: Answer, names: Sequence[str]) -> str:
    return place(answer[0].coordinates, names)


def _chosen(answers: Sequence[Answer]) -> list[Answer]:
    """Those that fail first, then evenly spread ones; in their order."""
    failing = [i for i, (record, _) in enumerate(answers) if record.outcome == "fails"][: len(SERIES)]
    others = [i for i in range(len(answers)) if i not in failing]
    room = min(len(SERIES) - len(failing), len(others))
    spread = [others[i] for i in np.linspace(0, len(others) - 1, room).round().astype(int)]
    return [answers[i] for i in sorted(failing + spread)]


def _grid_curve(
    name: str, answers: Sequence[Answer], along: str, place: Callable[[Any], float], results: Results
) -> Curve:
    answers = sorted(answers, key=lambda answer: place(answer[0].coordinates[along]))
    x = np.array([place(record.coordinates[along]) for record, _ in answers])
    value, low, high = np.stack([_with_ends(estimate) for _, estimate in answers], axis=1)
    predicted = [r.predicted["value"] if r.predicted and not r.predicted["axes"] else None for r, _ in answers]
    return Curve(
        name=name,
        relation=results.relation(answers[0][0].ask),
        theory=_means(x, as_floats(predicted)),
        measured=Estimate(POINTS, value, None, low, high, {"x": x}),
        outcomes=tuple(record.outcome for record, _ in answers),
        mean=_means(x, value),
    )


def _own_curve(name: str, record: Record, estimate: Mapping[str, Any], relation: str) -> Curve:
    (along,) = estimate["axes"].values()
    x = _along(along)
    value, low, high = _with_ends(estimate)
    predicted = record.predicted or {"value": None, "axes": {}}
    own = [_along(places) for places in predicted["axes"].values()] or [x]
    return Curve(
        name=f"{name}{', ' * bool(name)}{record.outcome}" if record.outcome in TELLING else name,
        relation=relation,
        theory=(own[0], np.broadcast_to(as_floats(predicted["value"]), own[0].shape)),
        measured=Estimate(POINTS, value, None, low, high, {"x": x}),
        outcomes=(record.outcome,) * len(x),
        mean=(x, value),
    )


def _places(values: Sequence[Any]) -> tuple[tuple[str, ...], Callable[[Any], float]]:
    """Where coordinates stand: numbers at themselves, others side by side under their names."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return (), as_float
    names = tuple(dict.fromkeys(map(label, values)))
    return names, lambda value: float(names.index(label(value)))


def _along(places: Sequence[Any]) -> Float[np.ndarray, " points"]:
    numbers = as_floats(list(places))
    return numbers if np.isfinite(numbers).all() else np.arange(float(len(numbers)))


def _means(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> Points:
    """Mean of all values at each place, from left to right."""
    at = np.unique(x)
    with np.errstate(all="ignore"):
        return at, np.array([y[x == place].mean() for place in at])


def _with_ends(estimate: Mapping[str, Any]) -> Float[np.ndarray, "3 ..."]:
    """Value and the ends of its 95% interval; NaN where there is none."""
    value = as_floats(estimate["value"])
    with np.errstate(all="ignore"):
        half = NORMAL_95 * as_floats(estimate["standard_error"])
        low, high = (
            value + sign * half if estimate[end] is None else as_floats(estimate[end])
            for sign, end in ((-1, "low"), (1, "high"))
        )
    return np.stack(np.broadcast_arrays(value, low, high))


def _made(
    results: Results, drawn: Mapping[str, tuple[Sequence[Answer], Sequence[Curve]]], frame: Frame, over: Sequence[str]
) -> list[Chart]:
    """A chart for each panel, all with the same axes; none where no value has a place."""
    curves = [curve for _, inside in drawn.values() for curve in inside]
    x = np.unique([place for c in curves for place in (*c.x, *c.theory[0]) if abs(place) <= LARGEST])
    ends = [end for c in curves for end in (c.theory[1], c.measured.value, c.measured.low, c.measured.high)]
    y = frame.held(np.concatenate([*ends, []]))
    if not x.size or np.isnan(y).all():
        return []
    return [
        Chart(
            name=" · ".join(filter(None, (y_label(frame.kind), panel, _only_ask(results, answers)))),
            title=capitalised(outcome_of([record for record, _ in answers])),
            curves=tuple(inside),
            frame=frame,
            x=x,
            y=limits(y, frame.log_y),
            how_to_read=_how_to_read(answers, inside, frame, over, len(drawn) - MOST_PANELS),
        )
        for panel, (answers, inside) in list(drawn.items())[:MOST_PANELS]
    ]


def _only_ask(results: Results, answers: Sequence[Answer]) -> str:
    asks = {record.ask for record, _ in answers}
    return asks.pop() if len(asks) == 1 < len(results.asks) else ""


def _how_to_read(
    answers: Sequence[Answer], curves: Sequence[Curve], frame: Frame, over: Sequence[str], more: int
) -> str:
    meaning = answers[0][1].get("meaning")
    drawn = [y for c in curves for y in (c.measured.value, c.theory[1][: c.predicted * len(c.theory[1])])]
    lost = np.concatenate([y[np.isnan(frame.held(y))] for y in drawn])
    values = f"value{'s' * (lost.size > 1)}{' of 0' * (lost.size > 0 and not lost.any())}"
    has = "have" if lost.size > 1 else "has"
    sentences = (
        capitalised(f"{words(frame.kind[0])}: {meaning}.") if meaning else "",
        f"{'Theory and long' if curves[0].predicted else 'Long'} dashes are means over {' and '.join(over)}."
        if any(c.averaged for c in curves)
        else "",
        f"{lost.size:,} {values} {has} no place on these axes." if lost.size else "",
        f"{more:,} more charts like this are left out." if more > 0 else "",
    )
    return " ".join(filter(None, sentences))


def limits(y: Float[np.ndarray, " values"], log: bool) -> tuple[float, float]:
    """Ends of an axis with some room."""
    low, high = float(np.nanmin(y)), float(np.nanmax(y))
    if log:
        room = 10 ** max(0.04 * (math.log10(high) - math.log10(low)), 0.12)
        return low / room, high * room
    room = 0.07 * (high - low) or 0.3 * abs(high) or 1.0
    return low - room, high + room
