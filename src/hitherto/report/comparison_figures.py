"""Figures of a comparison: differences at a glance, numbers along a series, curves of all models on common axes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hitherto.core.difference import Difference
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.drawing import GRID, INK, SERIES, SETTINGS, SIZE, SOFT, Scene, band, has_interval, line
from hitherto.report.figure import PANELS, Panel, figure
from hitherto.report.reading import find, find_all, reading
from hitherto.report.verdict import capitalised

FARTHEST = 12.0  # standard errors: what lies beyond is drawn at the edge
SHORT = 24  # characters of a name in a figure
ROW, MARGIN = 0.34, 0.75  # inches
ALONG = Quantity("along_models", "a number of each model", "", ("model",))
HOW_TO_READ = {
    "state-gradient": "How strongly an input k steps back still moves the state of a usual sequence, as a share of the "
    "model's own peak; bands are 95% intervals.",
    "context": "How much the output changes when everything older than the last k inputs is replaced by other inputs; "
    "below the dashed 1% line older inputs no longer matter. Bands are 95% intervals, dots mean none.",
    "linear-memory": "How well each past input can be read from the state by a linear readout, with 95% intervals.",
}


@dataclass(frozen=True)
class Drawing:
    """A figure with what it shows, the finding as its title ("" where nothing is real), and how it is read."""

    id: str
    name: str
    title: str
    figure: Figure
    how_to_read: str


def at_a_glance(main: Sequence[tuple[str, Difference]]) -> list[Drawing]:
    """Main differences in units of their standard errors, those that are real in colour; nothing without tests."""
    tested = [(name, d) for name, d in main if d.p is not None]
    if not tested:
        return []
    with mpl.rc_context(SETTINGS):
        drawn = Figure(figsize=(SIZE[0], MARGIN + ROW * len(tested)), layout="constrained")
        axes = drawn.add_subplot()
        for height, (name, difference) in enumerate(tested):
            _bar(axes, height, f"{name}{f' ({difference.part})' * bool(difference.part)}", difference)
        _glance_axes(axes, len(tested), tested[0][1])
    real = sum(d.real for _, d in tested)
    return [
        Drawing(
            id="differences",
            name="Main differences",
            title=f"{real} of {len(tested)} main differences {'is' if real == 1 else 'are'} real",
            figure=drawn,
            how_to_read="Each bar is a difference with its 95% interval, in units of its standard error: how sure it "
            "is, not how large. Blue ones are real among all tests together; the pale area is where chance alone "
            f"easily reaches. Beyond {FARTHEST:.0f} an arrow stands for all that is farther.",
        )
    ]


def series(
    main: Iterable[tuple[Quantity, float | None, str, str]], models: Mapping[str, Sequence[Estimate]]
) -> list[Drawing]:
    """Each main number along the models, with its 95% intervals, where two or more models have it.

    Args:
        main: quantity, coordinate along its axis, name, and what is real of it.
    """
    found = []
    for quantity, coordinate, name, title in main:
        numbers = [_at(estimates, quantity, coordinate) for estimates in models.values()]
        if sum(bool(np.isfinite(n[0])) for n in numbers) > 1:
            unit = f" ({quantity.unit})" if quantity.unit and quantity.unit not in name else ""
            drawn = _along(np.array(numbers).T, list(models), f"{capitalised(name.removeprefix('the '))}{unit}")
            how = "One point for each model, in the order given, with its 95% interval; open points have none."
            found.append(Drawing(f"series-{quantity.name}", capitalised(name), title, drawn, how))
    return found


def overlays(
    models: Mapping[str, Sequence[Estimate]], provenance: Mapping[str, object], titles: Mapping[str, str]
) -> list[Drawing]:
    """The figures of a profile with the curves of all models, as far as there are colours.

    Args:
        titles: what is real, by the id of a figure.
    """
    shown = _spread(list(models))
    whole = [e.quantity for e in models[shown[0]] if e.part == "" and all(find(models[n], e.quantity) for n in shown)]
    named = [
        replace(e, part=_short(name) + (f", {e.part}" if e.part else ""))
        for name in shown
        for e in models[name]
        if not e.part or e.quantity not in whole
    ]
    scene = Scene(named, provenance)
    return [
        Drawing(
            panel.id,
            panel.name,
            titles.get(panel.id, ""),
            figure(panel, scene, titled=False),
            HOW_TO_READ.get(panel.id, panel.how_to_read) + _left_out(len(shown), len(models)),
        )
        for panel in PANELS
        if _in_several(panel, [models[name] for name in shown])
    ]


def _bar(axes: Axes, height: int, name: str, difference: Difference) -> None:
    """One difference over its standard error, on the scale of its test."""
    error = difference.standard_error
    value, low, high = (
        float(np.clip(end / error, -FARTHEST, FARTHEST)) for end in (difference.value, difference.low, difference.high)
    )
    colour = SERIES[0] if difference.real else SOFT
    axes.plot([low, high], [height, height], color=colour, linewidth=2)
    mark = "o" if abs(value) < FARTHEST else ">" if value > 0 else "<"
    axes.plot([value], [height], mark, color=colour, markersize=6)
    axes.text(-FARTHEST, height - 0.2, name, color=INK if difference.real else SOFT, va="bottom")


def _glance_axes(axes: Axes, count: int, sample: Difference) -> None:
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.axvspan(-2, 2, color=GRID, alpha=0.5, linewidth=0)
    axes.set_xlim(-1.05 * FARTHEST, 1.05 * FARTHEST)
    axes.set_ylim(count - 0.5, -0.85)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{_short(sample.second)} − {_short(sample.first)} (standard errors)")


def _at(estimates: Sequence[Estimate], quantity: Quantity, coordinate: float | None) -> tuple[float, float, float]:
    """Value and ends of the interval for the whole model, or else its last part; NaN for what is missing."""
    every = find_all(estimates, quantity)
    estimate = find(every, quantity) or (every[-1] if every else None)
    at: tuple[()] | int = ()
    if estimate is not None and coordinate is not None:
        (places,) = np.nonzero(np.asarray(estimate.axes[quantity.axes[0]]) == coordinate)
        estimate, at = (estimate, int(places[0])) if places.size else (None, ())
    number = reading(estimate, at)
    return number.value, number.low, number.high


def _along(numbers: np.ndarray, names: Sequence[str], label: str) -> Figure:
    """Value, low and high of each model, from left to right."""
    value, low, high = numbers
    places = np.arange(len(names), dtype=float)
    estimate = Estimate(ALONG, value, None, low, high, {"model": places})
    with mpl.rc_context(SETTINGS):
        drawn = Figure(figsize=SIZE, layout="constrained")
        axes = drawn.add_subplot()
        line(axes, places, np.where(np.isfinite(value), value, np.nan), has_interval(estimate), SERIES[0], "")
        band(axes, places, estimate, SERIES[0], 1.0)
        axes.set_xticks(places, [_short(name) for name in names])
        if sum(len(_short(name)) for name in names) > 40:
            axes.tick_params(axis="x", rotation=30)
        axes.margins(x=0.06, y=0.12)
        axes.set_ylabel(label)
    return drawn


def _in_several(panel: Panel, models: Sequence[Sequence[Estimate]]) -> bool:
    """Whether two or more models have something to draw, and it is not all zero."""
    found = [[e for need in panel.needs for e in find_all(estimates, need)] for estimates in models]
    return sum(map(bool, found)) > 1 and any(np.any(e.value) for estimates in found for e in estimates)


def _spread(names: Sequence[str]) -> list[str]:
    """All, or as many as there are colours, from the first to the last."""
    chosen = np.linspace(0, len(names) - 1, min(len(names), len(SERIES))).round().astype(int)
    return [names[i] for i in chosen]


def _left_out(shown: int, count: int) -> str:
    return f" {shown} of {count} models are drawn." if shown < count else ""


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f"{name[: SHORT - 1]}…"
