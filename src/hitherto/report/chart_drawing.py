"""Charts drawn: theory as lines, measurement as points with error bars."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from hitherto.report.charts import BOUNDS, Chart, Curve, Frame, limits, y_label
from hitherto.report.drawing import INK, SERIES, SETTINGS, SIZE, SOFT, points, whiskers
from hitherto.report.reading import SUPERSCRIPTS
from hitherto.report.results import TELLING, signed

SHORT = 28  # characters of a name in a figure
LOOKS = {
    "fails": dict(marker="X", markersize=7),
    "refuted": dict(marker="D", markersize=5),
    "cannot tell": dict(marker="o", markerfacecolor="none", markersize=6),
}


def drawn(chart: Chart, titled: bool) -> Figure:
    """A chart as a figure, with its title inside where it stands alone."""
    handles = _key(chart)
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    columns = 3 if longest <= 16 else 2 if longest <= 26 else 1
    with mpl.rc_context(SETTINGS):
        height = SIZE[1] + 0.17 * math.ceil(len(handles) / columns)
        drawn = Figure(figsize=(SIZE[0], height), layout="constrained")
        axes = drawn.add_subplot()
        _x_axis(axes, chart)
        _y_axis(axes, chart)
        for colour, curve in zip(SERIES, chart.curves, strict=False):
            _theory(axes, curve, colour, chart.frame)
            _measured(axes, curve, colour, chart.frame)
        _allowed(axes, chart)
        if handles:
            drawn.legend(handles=handles, loc="outside lower left", ncols=columns, columnspacing=1.4)
        if titled:
            axes.set_title(textwrap.fill(textwrap.shorten(chart.title, 200, placeholder=" …"), 52))
    return drawn


def _theory(axes: Axes, curve: Curve, colour: str, frame: Frame) -> None:
    """A line; small hats on it point to the allowed side, dashes tell it from a measured line."""
    _, hat = BOUNDS.get(curve.relation, ("", "_" if len(curve.theory[0]) == 1 else ""))
    if curve.dense:
        look = dict(color=INK, linestyle=(0, (4, 3)), linewidth=1, zorder=4)
    else:
        look = dict(color=colour, linewidth=1.4, marker=hat, markersize=6)
    axes.plot(curve.theory[0], frame.held(curve.theory[1]), **look)


def _measured(axes: Axes, curve: Curve, colour: str, frame: Frame) -> None:
    """Points with error bars, or a line with its band where there are many; crosses fail, rings cannot tell."""
    x, held = curve.x, frame.held(curve.measured.value)
    shown = replace(curve.measured, value=held)
    plain = np.array([outcome not in TELLING for outcome in curve.outcomes], bool)
    if curve.dense:
        points(axes, x[plain], shown, plain, colour, "")
    else:
        axes.plot(x[plain], held[plain], "o", color=colour)
        whiskers(axes, x, shown, colour)
    for outcome, look in LOOKS.items():
        chosen = np.array([found == outcome for found in curve.outcomes], bool)
        axes.plot(x[chosen], held[chosen], linestyle="", color=colour, zorder=4, **look)
    if curve.averaged:
        axes.plot(curve.mean[0], frame.held(curve.mean[1]), "_", color=colour, markersize=13, markeredgewidth=1.6)
    if not curve.predicted and not curve.dense:
        axes.plot(curve.mean[0], frame.held(curve.mean[1]), color=colour, linewidth=0.9)


def _allowed(axes: Axes, chart: Chart) -> None:
    """A light area on the allowed side where only one line has one."""
    bounded = [(colour, c) for colour, c in zip(SERIES, chart.curves, strict=False) if c.bound]
    if len(bounded) != 1:
        return
    colour, curve = bounded[0]
    edge = chart.y[1] if curve.bound == ">=" else chart.y[0]
    axes.fill_between(curve.theory[0], chart.frame.held(curve.theory[1]), edge, color=colour, alpha=0.09, linewidth=0)


def _key(chart: Chart) -> list[Line2D]:
    """Names in the colours of their curves, then what the marks mean."""
    named = [
        Line2D([], [], color=colour, linewidth=2.4, label=_short(curve.name))
        for colour, curve in zip(SERIES, chart.curves, strict=False)
        if len(chart.curves) > 1
    ]
    ruled = {c.relation for c in chart.curves if c.predicted}
    dense = any(c.dense for c in chart.curves)
    theory = [
        _sample(f"theory{': ' * bool(words)}{words}", marker=hat, linestyle="--" if dense else "-")
        for words, hat in (BOUNDS.get(relation, ("", "")) for relation in sorted(ruled))
    ]
    outcomes = {outcome for c in chart.curves for outcome in c.outcomes}
    look = dict(linestyle="-") if dense else dict(linestyle="", marker="o")
    measured = [_sample("measured, 95%", **look)] if ruled or outcomes & set(LOOKS) else []
    telling = [_sample(o, linestyle="", **LOOKS[o]) for o in TELLING if o in outcomes]
    mean = [_sample("mean", linestyle="", marker="_", markersize=11)] if any(c.averaged for c in chart.curves) else []
    return [*named, *theory, *measured, *telling, *mean]


def _sample(label: str, **look: Any) -> Line2D:
    return Line2D([], [], color=SOFT, label=label, **look)


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f"{name[: SHORT - 1]}…"


def _x_axis(axes: Axes, chart: Chart) -> None:
    x, names = chart.x, chart.frame.names
    log = not names and bool(x[0] > 0) and _evenness(np.log(x)) > 1.5 * _evenness(x)
    axes.set_xlabel(chart.frame.x_label)
    axes.set_xscale("log" if log else "linear")
    axes.set_xlim(*limits(x, log))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    if names:
        _name_ticks(axes, names)
    elif _roomy(np.log(x) if log else x):
        axes.xaxis.set_major_locator(FixedLocator(x))
    else:
        axes.xaxis.set_major_locator(_log_ticks(x[0], x[-1]) if log else _plain_ticks(whole=bool(np.all(x % 1 == 0))))


def _name_ticks(axes: Axes, names: Sequence[str]) -> None:
    step = math.ceil(len(names) / 16)
    axes.set_xticks(range(0, len(names), step), [_short(name) for name in names[::step]])
    if sum(map(len, names[::step])) > 40:
        axes.tick_params(axis="x", rotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def _roomy(x: Float[np.ndarray, " places"]) -> bool:
    """Whether every place can have its own number."""
    return len(x) <= 10 and _evenness(x) >= 0.09


def _evenness(x: Float[np.ndarray, " places"]) -> float:
    """The smallest gap as a share of all; 1 for a single place."""
    return float(np.diff(x).min() / (x[-1] - x[0])) if len(x) > 1 else 1.0


def _y_axis(axes: Axes, chart: Chart) -> None:
    low, high = chart.y
    axes.set_ylabel(textwrap.shorten(y_label(chart.frame.kind), 40, placeholder=" …"))
    axes.set_yscale("log" if chart.frame.log_y else "linear")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(_log_ticks(low, high) if chart.frame.log_y else _plain_ticks())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))


def _plain_ticks(whole: bool = False) -> Locator:
    return MaxNLocator(6, steps=(1, 2, 2.5, 5, 10), integer=whole)


def _log_ticks(low: float, high: float) -> Locator:
    """Powers of ten, with what lies between them on a short axis."""
    first, last = math.log10(low), math.log10(high)
    if last - first < 1:
        return _plain_ticks()
    if last - first < 3:
        return LogLocator(subs=(1, 2, 5))
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if last - first <= 6 * step)
    return FixedLocator([10.0 ** (step * i) for i in range(math.ceil(first / step), math.floor(last / step) + 1)])


def _tick(value: float, _: int | None = None) -> str:
    """A number as the label of a tick: "1,000", "0.25", "3×10⁷"."""
    text = f"{value:,.10g}"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return signed(text)
    mantissa, exponent = f"{value:.9e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    mantissa = mantissa.rstrip("0").rstrip(".")
    return power if mantissa == "1" else signed(f"{mantissa}×{power}")
