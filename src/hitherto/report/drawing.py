"""Marks, scales and colours that the figures share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.reading import duration, find_all, reading

INK, SOFT, GRID = "#1c2127", "#5c6672", "#dce1e7"
SERIES = ("#0a6db5", "#c4510c", "#0f8767", "#8a58ae", "#94700a", "#4b6d8e")
COLOURS: Mapping[str, str] = {INK: "ink", SOFT: "soft", GRID: "grid"} | {
    colour: f"series-{i + 1}" for i, colour in enumerate(SERIES)
}
SIZE = (4.3, 2.9)  # inches: readable on a phone
FLOOR = 1e-4  # of the peak: what lies lower is no memory anybody uses
MOST_BARS = 8
MARKED = 24  # points: up to here each one is marked
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # names of layers are not formulas
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "lines.markersize": 3.5,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.labelcolor": "linecolor",
    "legend.handlelength": 1.2,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Scene:
    """What a panel may draw: all estimates and the settings they were made under."""

    estimates: Sequence[Estimate]
    provenance: Mapping[str, Any]

    def of(self, quantity: Quantity) -> Iterator[tuple[str, Estimate]]:
        """A colour and an estimate for every part that has the quantity, as far as there are colours."""
        return zip(SERIES, find_all(self.estimates, quantity), strict=False)

    def name(self, estimate: Estimate, whole: str = "whole model") -> str:
        """The part of an estimate where several have its quantity; "" where there is nothing to tell apart."""
        return (estimate.part or whole) if self.count(estimate.quantity) > 1 else ""

    def count(self, quantity: Quantity) -> int:
        """How many parts have the quantity."""
        return len(find_all(self.estimates, quantity))


def curve(axes: Axes, estimate: Estimate, colour: str, label: str, relative: bool = False) -> Estimate:
    """A positive curve by lag with its band; `relative` to its peak where units differ between models."""
    lags, value = np.asarray(estimate.axes["lag"], float), np.asarray(estimate.value, float)
    scale = peak(value) if relative else 1.0
    line(axes, lags, positive(value) / scale, has_interval(estimate), colour, label)
    band(axes, lags, estimate, colour, scale)
    gone(axes, lags[value == 0], colour, "0")
    return estimate


def lag_axes(axes: Axes, scene: Scene, drawn: Sequence[Estimate]) -> None:
    """Lag from the left, share on a logarithmic axis; both end where nothing worth a look follows."""
    last = 0.0
    for estimate in drawn:
        value = np.asarray(estimate.value, float)
        last = max(last, last_above(np.asarray(estimate.axes["lag"], float), value / peak(value), FLOOR))
    lag_scale(axes, scene, last)
    axes.set_yscale("log")
    top = max(1.0, float(axes.dataLim.y1))
    axes.set_ylim(FLOOR, 2 * top)
    axes.yaxis.set_major_locator(FixedLocator([10.0**e for e in range(-4, 1 + math.ceil(math.log10(top)))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))


def lag_scale(axes: Axes, scene: Scene, last: float) -> None:
    """Lag 0 and then a logarithmic axis: near lags readable, old ones in sight."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(-0.1, max(1.15 * last, 1.5))
    axes.xaxis.set_major_locator(FixedLocator([0, 1, *(m * 10**e for e in range(1, 6) for m in (1,))]))
    axes.xaxis.set_minor_locator(FixedLocator([m * 10**e for e in range(6) for m in (2, 5)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if last < 300 else ""))
    axes.tick_params(axis="x", which="minor", labelcolor=SOFT, size=0)
    seconds = scene.provenance.get("step_seconds")
    axes.set_xlabel(f"lag (steps of {duration(seconds)} back)" if seconds else "lag (steps back)")


def line(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    sure: np.ndarray,
    colour: str,
    label: str,
) -> None:
    """Solid where there is an interval, dotted where there is none, with marks where points are few."""
    mark = "o" if len(x) <= MARKED else ""
    if not sure.all():
        axes.plot(x, y, color=colour, linestyle=(0, (1, 1.4)), marker=mark, markerfacecolor="none", label=label)
        label = ""
    if sure.any():
        axes.plot(x, np.where(sure, y, np.nan), color=colour, marker=mark, label=label)


def band(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    estimate: Estimate,
    colour: str,
    scale: float,
    order: np.ndarray | slice = slice(None),
) -> None:
    """A 95% band around a curve, nothing where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return
    low, high = (np.asarray(end, float)[order] / scale for end in (estimate.low, estimate.high))
    shown = np.isfinite(low) & np.isfinite(high) & (high > 0)
    tiny = FLOOR * 1e-6  # a lower end of 0 or less has no place on a logarithmic axis
    axes.fill_between(
        x, np.maximum(low, tiny), np.maximum(high, tiny), where=shown, color=colour, alpha=0.2, linewidth=0
    )


def points(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    estimate: Estimate,
    chosen: np.ndarray,
    colour: str,
    label: str,
) -> None:
    """Points with error bars, or a line with its band where there are too many for bars."""
    value = np.asarray(estimate.value, float)
    if len(x) > 2 * MARKED:
        line(axes, x, value[chosen], has_interval(estimate)[chosen], colour, label)
        if estimate.low is not None and estimate.high is not None:
            low, high = np.asarray(estimate.low)[chosen], np.asarray(estimate.high)[chosen]
            axes.fill_between(x, low, high, where=np.isfinite(low + high), color=colour, alpha=0.2, linewidth=0)
        return
    axes.plot(x, value[chosen], "o", color=colour, label=label)
    whiskers(axes, x, estimate, colour, chosen)


def bars(axes: Axes, x: Float[np.ndarray, " points"], estimate: Estimate, width: float, **look: Any) -> None:
    """Bars as high as the values; none for what is negative or no number."""
    value = np.nan_to_num(np.asarray(estimate.value, float), posinf=0, neginf=0)
    axes.bar(x, np.clip(value, 0, None), 0.92 * width, **look)


def whiskers(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    estimate: Estimate,
    colour: str,
    chosen: np.ndarray | slice = slice(None),
) -> None:
    """95% error bars at points, nothing where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return
    low, high = np.asarray(estimate.low, float)[chosen], np.asarray(estimate.high, float)[chosen]
    shown = np.isfinite(low) & np.isfinite(high)
    axes.vlines(x[shown], low[shown], high[shown], color=colour, linewidth=1.2)


def gone(axes: Axes, x: Float[np.ndarray, " points"], colour: str, name: str = "−∞") -> None:
    """Marks at the bottom for values that no axis holds: exact zeros on a logarithmic one, and -inf."""
    if not x.size:
        return
    edge = axes.get_xaxis_transform()
    if x.size <= 2 * MARKED:
        axes.plot(x, np.full(x.shape, 0.03), "v", color=colour, transform=edge)
    else:
        axes.plot([x[0], x[-1]], [0.03, 0.03], color=colour, linewidth=3, transform=edge)
    said = f"exactly {name} at {'this point' if x.size == 1 else f'these {x.size:,} points'}"
    side = "right" if x[0] > np.mean(axes.get_xlim()) else "left"
    axes.text(x[-1] if side == "right" else x[0], 0.06, said, color=colour, transform=edge, ha=side, va="bottom")


def mark(axes: Axes, scene: Scene, quantity: Quantity, level: float, name: str, start: float = 0.0) -> None:
    """A dot where a curve crosses a level for good, with its number."""
    found = find_all(scene.estimates, quantity)
    if not found or found[0].statistics.get("censored") or not math.isfinite(reading(found[0]).value):
        return
    crossing = reading(found[0])
    point = (start + crossing.value, level)
    axes.plot(*point, "o", color=INK, markersize=4.5, zorder=5)
    across = axes.transAxes.inverted().transform(axes.transData.transform(point))[0]
    place = dict(xytext=(6, 5), ha="left") if across < 0.7 else dict(xytext=(-6, -13), ha="right")
    axes.annotate(f"{name} {crossing.centre}", point, textcoords="offset points", clip_on=True, **place)


def upright(axes: Axes, x: float, colour: str, text: str) -> None:
    """A dashed vertical line with its label at the top, on the side where there is room."""
    axes.axvline(x, color=colour, linewidth=1, linestyle=(0, (4, 3)))
    across = axes.transAxes.inverted().transform(axes.transData.transform((x, 1.0)))[0]
    place = dict(xytext=(5, 0), ha="left") if across < 0.7 else dict(xytext=(-5, 0), ha="right")
    axes.annotate(text, (x, 0.97), xycoords=("data", "axes fraction"), textcoords="offset points", va="top", **place)


def log_percent(axes: Axes, shown: Sequence[Estimate], floor: float) -> None:
    """A logarithmic vertical axis in percent, down to the smallest value shown or the floor."""
    axes.set_yscale("log")
    axes.set_ylim(max(floor, 0.5 * min(1.0, positive_range(shown)[0])), 1.5)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))


def positive_range(shown: Sequence[Estimate]) -> tuple[float, float]:
    """Smallest and largest value that a logarithmic axis can hold; 1 and 1 where there is none."""
    values = np.concatenate([np.ravel(np.asarray(e.value, float)) for e in shown] or [np.ones(1)])
    held = values[np.isfinite(values) & (values > 0)]
    return (float(held.min()), float(held.max())) if held.size else (1.0, 1.0)


def key(axes: Axes) -> None:
    """Names in the colours of their lines, where there is more than one to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        axes.legend(handles, labels)


def has_interval(estimate: Estimate) -> np.ndarray:
    """Where an estimate has an interval, or is exact."""
    if estimate.low is None or estimate.high is None:
        exact = 0 if estimate.standard_error is None else np.asarray(estimate.standard_error)
        return np.broadcast_to((estimate.standard_error is not None) & (exact == 0), np.shape(estimate.value))
    return np.isfinite(np.asarray(estimate.low, float)) & np.isfinite(np.asarray(estimate.high, float))


def positive(value: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """NaN where a logarithmic axis has no place."""
    return np.where(np.isfinite(value) & (value > 0), value, np.nan)


def peak(value: Float[np.ndarray, " points"]) -> float:
    """The largest finite value; 1 where there is none above zero."""
    peak = float(np.max(value, initial=0.0, where=np.isfinite(value)))
    return peak if peak > 0 else 1.0


def last_above(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], level: float) -> float:
    """Last x at which a curve is above a level; a short stretch where it never is."""
    above = np.flatnonzero(np.nan_to_num(y, nan=0.0) > level)
    return float(x[above[-1]]) if above.size else float(x[min(10, len(x) - 1)])


def percent_tick(value: float, _: int | None = None) -> str:
    """A share as the label of a tick."""
    return f"{100 * value:.10g}%"
