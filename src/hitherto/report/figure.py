"""Figures from estimates: every one small, with its finding as title, its axes named, and its doubt drawn.

A curve is solid where it has a 95% interval and dotted where it has none; exact zeros and -inf have marks of
their own at the edge of the axes, since no logarithmic axis can hold them.
"""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.reading import duration, find, find_all, reading
from hitherto.report.verdict import CHANGE, told

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

    def count(self, quantity: Quantity) -> int:
        """How many parts have the quantity."""
        return len(find_all(self.estimates, quantity))


@dataclass(frozen=True)
class Panel:
    """One figure: what it needs, how it is drawn and how it is read.

    Attributes:
        id: for links and file names.
        name: what it shows; its title where no sentence is decided.
        needs: drawn when there is an estimate of one of these.
        says: quantities whose sentence is the title; the first that says something is used.
        draw: draws a scene into axes.
        how_to_read: one sentence.
    """

    id: str
    name: str
    needs: tuple[Quantity, ...]
    says: tuple[Quantity, ...]
    draw: Callable[[Axes, Scene], None]
    how_to_read: str

    def title(self, scene: Scene) -> str:
        """The finding in one short sentence."""
        sentences = (told(quantity, scene.estimates, scene.provenance) for quantity in self.says)
        return next((_short(text) for text in sentences if text), self.name)


def figures(estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> list[tuple[str, Figure, str]]:
    """Every figure that the estimates allow: id, figure with its finding as title, how to read it."""
    scene = Scene(estimates, provenance)
    return [(p.id, figure(p, scene), p.how_to_read) for p in panels(estimates)]


def panels(estimates: Sequence[Estimate]) -> tuple[Panel, ...]:
    """The panels that have something to draw, in the order of the page."""
    return tuple(p for p in PANELS if any(find_all(estimates, need) for need in p.needs))


def figure(panel: Panel, scene: Scene, titled: bool = True) -> Figure:
    """One panel as a figure."""
    with mpl.rc_context(SETTINGS):
        drawn = Figure(figsize=SIZE, layout="constrained")
        _panel(drawn.add_subplot(), panel, scene, titled)
    return drawn


def summary(estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> Figure:
    """All panels in one figure, two in a row."""
    scene, shown = Scene(estimates, provenance), panels(estimates)
    rows = max(math.ceil(len(shown) / 2), 1)
    with mpl.rc_context(SETTINGS):
        drawn = Figure(figsize=(2 * SIZE[0], rows * SIZE[1]), layout="constrained")
        drawn.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
        for place, panel in enumerate(shown):
            _panel(drawn.add_subplot(rows, 2, place + 1), panel, scene, titled=True)
    return drawn


def state_gradient(axes: Axes, scene: Scene) -> None:
    """|dh[t]/dx[t-k]| by lag, as a share of its peak."""
    _gradients(axes, scene, q.STATE_JACOBIAN_TYPICAL, q.STATE_JACOBIAN_RMS)
    typical = find_all(scene.estimates, q.STATE_JACOBIAN_TYPICAL)
    if len(typical) == 1:
        peak = float(typical[0].axes["lag"][int(np.argmax(typical[0].value))])
        _mark(axes, scene, q.GRADIENT_HALF_LIFE, 0.5, "half-life", peak)
        _mark(axes, scene, q.GRADIENT_HORIZON, 0.01, "horizon")


def output_gradient(axes: Axes, scene: Scene) -> None:
    """|dy[t]/dx[t-k]| by lag, as a share of its peak."""
    _gradients(axes, scene, q.OUTPUT_JACOBIAN_TYPICAL, q.OUTPUT_JACOBIAN_RMS)


def context(axes: Axes, scene: Scene) -> None:
    """Change of the output when all older than the last k inputs is replaced, zeroed or shuffled."""
    kinds = ((q.CONTEXT_REPLACED, "replaced"), (q.CONTEXT_ZEROED, "zeroed"), (q.CONTEXT_SHUFFLED, "shuffled"))
    many, drawn = scene.count(q.CONTEXT_REPLACED) > 1, []
    for place, (quantity, name) in enumerate(kinds[:1] if many else kinds):
        for colour, estimate in scene.of(quantity):
            label = estimate.part or "whole model" if many else name
            drawn.append(_curve(axes, estimate, colour if many else SERIES[place], label))
    axes.axhline(CHANGE, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylabel("change of the output / its deviation")
    _lag_axes(axes, scene, drawn)
    _key(axes)


def exponents(axes: Axes, scene: Scene) -> None:
    """The Lyapunov spectrum with error bars; exponents of -inf as marks at the bottom."""
    many = scene.count(q.LYAPUNOV_SPECTRUM) > 1
    axes.axhline(0, color=SOFT, linewidth=1)
    for colour, estimate in scene.of(q.LYAPUNOV_SPECTRUM):
        place, value = np.asarray(estimate.axes["index"], float), np.asarray(estimate.value, float)
        finite = np.isfinite(value)
        _points(axes, place[finite], estimate, finite, colour, estimate.part if many else "")
        _gone(axes, place[value == -np.inf], colour)
    axes.set_xlabel("exponent, largest first")
    axes.set_ylabel("Lyapunov exponent (per step)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.15 * (high - low), high)  # room for what is at the bottom
    _key(axes)


def linear_memory(axes: Axes, scene: Scene) -> None:
    """R^2 of the best readout of each past input."""
    many, last = scene.count(q.LINEAR_MEMORY) > 1, 0.0
    for colour, estimate in scene.of(q.LINEAR_MEMORY):
        lags, value = np.asarray(estimate.axes["lag"], float), np.clip(estimate.value, 0, None)
        _line(axes, lags, value, _has_interval(estimate), colour, estimate.part if many else "")
        _band(axes, lags, estimate, colour, 1.0)
        axes.fill_between(lags, 0, value, color=colour, alpha=0 if many else 0.12, linewidth=0)
        last = max(last, _last_above(lags, value, 0.005))
    _lag_scale(axes, scene, last)
    axes.set_ylim(0)
    axes.set_ylabel("R² of the best linear readout")
    _key(axes)


def degrees(axes: Axes, scene: Scene) -> None:
    """Capacity by degree: the estimate as a pale bar with its interval, the part found for certain solid."""
    count = scene.count(q.PROCESSING_CAPACITY)
    width = 0.7 / max(count, 1)
    for place, (colour, estimate) in enumerate(scene.of(q.PROCESSING_CAPACITY)):
        x = np.asarray(estimate.axes["degree"], float) + (place - (count - 1) / 2) * width
        value = np.clip(estimate.value, 0, None)
        axes.bar(
            x, value, width * 0.92, color=colour, alpha=0.3, label=estimate.part if count > 1 else "estimate"
        )
        _whiskers(axes, x, estimate, colour)
        found = find(scene.estimates, q.PROCESSING_CAPACITY_FOUND, estimate.part)
        if found is not None:
            x = x[: np.size(found.value)]
            axes.bar(
                x, found.value, width * 0.92, color=colour, label="" if count > 1 else "in significant terms"
            )
        axes.set_xticks(np.asarray(estimate.axes["degree"], float))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda d, _: f"{d:.0f} (linear)" if d == 1 else f"{d:.0f}"))
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("degree of the function of past inputs")
    axes.set_ylabel("capacity (functions)")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the key
    axes.legend(loc="upper left", labelcolor=INK)


def spectrum(axes: Axes, scene: Scene) -> None:
    """Shares of the state's variance by principal component, on a logarithmic axis."""
    many = scene.count(q.STATE_SPECTRUM) > 1
    for colour, estimate in scene.of(q.STATE_SPECTRUM):
        x, value = np.asarray(estimate.axes["component"], float), np.asarray(estimate.value, float)
        _line(axes, x, _positive(value), _has_interval(estimate), colour, estimate.part if many else "")
        _band(axes, x, estimate, colour, 1.0)
        _gone(axes, x[value <= 0], colour, "0")
        ratio = reading(find(scene.estimates, q.PARTICIPATION_RATIO, estimate.part))
        if math.isfinite(ratio.value):
            _upright(axes, ratio.value, colour, "" if many else f"acts as {ratio.centre}")
    _log_percent(axes, [e for _, e in scene.of(q.STATE_SPECTRUM)], 1e-6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("principal component of the state")
    axes.set_ylabel("share of the variance")
    _key(axes)


def gates(axes: Axes, scene: Scene) -> None:
    """Hold times of the gates, units sorted, on a logarithmic axis; longer than the data is marked so."""
    many = scene.count(q.GATE_TIMES) > 1
    for colour, estimate in scene.of(q.GATE_TIMES):
        value = np.asarray(estimate.value, float)
        order = np.argsort(value)
        x = 100 * (np.arange(len(order)) + 0.5) / max(len(order), 1)
        finite = np.where(np.isfinite(value), value, np.nan)[order]
        _line(
            axes, x, _positive(finite), _has_interval(estimate)[order], colour, estimate.part if many else ""
        )
        _band(axes, x, estimate, colour, 1.0, order)
    if not many:
        _quantiles(axes, scene)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _beyond_the_data(axes, scene)
    axes.set_xlim(0, 100)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}%"))
    axes.set_xlabel("units, sorted")
    axes.set_ylabel("hold time of the gate (steps)")
    _key(axes)


def units(axes: Axes, scene: Scene) -> None:
    """Units that are idle, stuck, switching or dead, as shares of all units."""
    rows = _unit_rows(scene)
    for height, (name, estimate, colour) in enumerate(rows):
        size, count = estimate.statistics.get("units") or 1, reading(estimate)
        axes.barh(height, 100, 0.36, color=GRID, alpha=0.6)
        axes.barh(height, 100 * count.value / size, 0.36, color=colour)
        if count.decided:
            axes.plot([100 * count.low / size, 100 * count.high / size], [height] * 2, color=INK, linewidth=1)
        axes.text(0, height - 0.24, f"{name}: {count} of {size:,}", va="bottom", ha="left")
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.8)
    axes.set_xlim(0, 100)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}%"))
    axes.set_xlabel("share of the units")


UNIT_KINDS = (
    (q.IDLE_UNITS, "idle"),
    (q.STUCK_UNITS, "stuck at one end"),
    (q.SWITCHING_UNITS, "switching between both ends"),
    (q.DEAD_UNITS, "dead"),
)
PANELS: tuple[Panel, ...] = (
    Panel(
        "state-gradient",
        "Gradient of the state by lag",
        (q.STATE_JACOBIAN_TYPICAL, q.STATE_JACOBIAN_RMS),
        (q.GRADIENT_HALF_LIFE, q.GRADIENT_HORIZON),
        state_gradient,
        "How strongly an input k steps back still moves the state, as a share of the peak: typical is "
        "what a usual "
        "sequence sees, the root mean square is ruled by rare ones; bands are 95% intervals, dots mean none.",
    ),
    Panel(
        "output-gradient",
        "Gradient of the output by lag",
        (q.OUTPUT_JACOBIAN_TYPICAL, q.OUTPUT_JACOBIAN_RMS),
        (),
        output_gradient,
        "The same for the output: what falls faster here than in the figure of the state is remembered "
        "but not used.",
    ),
    Panel(
        "context",
        "Effective context of the output",
        (q.CONTEXT_REPLACED, q.CONTEXT_ZEROED, q.CONTEXT_SHUFFLED),
        (q.CONTEXT_REPLACED,),
        context,
        "How much the output changes when everything older than the last k inputs is replaced by other "
        "inputs; where "
        "the curve with its band stays under the dashed 1% line, older inputs no longer matter.",
    ),
    Panel(
        "exponents",
        "Lyapunov spectrum",
        (q.LYAPUNOV_SPECTRUM,),
        (q.LYAPUNOV_SPECTRUM,),
        exponents,
        "Each point is one direction of the state: below zero its differences fade, above zero they "
        "grow, and −∞ "
        "means gone within finitely many steps; bars are 95% intervals.",
    ),
    Panel(
        "linear-memory",
        "Linear memory by lag",
        (q.LINEAR_MEMORY,),
        (q.LINEAR_MEMORY_CAPACITY,),
        linear_memory,
        "How well each past input can be read from the state by a linear readout, 1 being perfectly for "
        "one input "
        "channel; the area is the linear memory capacity.",
    ),
    Panel(
        "degrees",
        "Processing capacity by degree",
        (q.PROCESSING_CAPACITY,),
        (q.LINEAR_SHARE,),
        degrees,
        "How many independent functions of past inputs the state holds, by their degree: pale bars are "
        "estimates with "
        "95% intervals, solid bars the part in terms that are significant one by one.",
    ),
    Panel(
        "spectrum",
        "Variance of the state by component",
        (q.STATE_SPECTRUM,),
        (q.PARTICIPATION_RATIO,),
        spectrum,
        "How the variance of the state spreads over its principal directions: the steeper the fall, the "
        "fewer "
        "dimensions the units use together.",
    ),
    Panel(
        "gates",
        "Hold times of the gates",
        (q.GATE_TIMES,),
        (q.GATE_TIME_QUANTILES,),
        gates,
        "How long each unit's gate alone would hold its content, units sorted from short to long; "
        "recurrent weights "
        "lengthen or shorten it.",
    ),
    Panel(
        "units",
        "Units that hardly work",
        tuple(quantity for quantity, _ in UNIT_KINDS),
        (q.IDLE_UNITS, q.STUCK_UNITS, q.DEAD_UNITS),
        units,
        "Idle units hardly move and stuck ones sit at one end of their range; switching units sit at "
        "both ends in "
        "turn and work as bits.",
    ),
)


def _panel(axes: Axes, panel: Panel, scene: Scene, titled: bool) -> None:
    panel.draw(axes, scene)
    count = max(scene.count(need) for need in panel.needs)
    if count > len(SERIES):
        some = f"{len(SERIES)} of {count} parts drawn"
        axes.text(1, 1, some, color=SOFT, transform=axes.transAxes, ha="right", va="bottom")
    if titled:
        axes.set_title(textwrap.fill(panel.title(scene), 52))


def _short(text: str) -> str:
    """A sentence without what explains it, fit for a title."""
    kept = text.split(" (largest")[0].split("; ")[0]
    if kept.startswith("cannot tell"):
        kept = kept.split(": ")[0].split(" because ")[0]
    return kept[0].upper() + kept[1:]


def _gradients(axes: Axes, scene: Scene, typical: Quantity, rms: Quantity) -> None:
    """Typical and rms of a single part in two colours; of several parts the typical curves alone."""
    drawn = []
    if max(scene.count(typical), scene.count(rms)) > 1:
        shown = typical if scene.count(typical) else rms
        drawn = [_curve(axes, e, colour, e.part or "whole model", True) for colour, e in scene.of(shown)]
    else:
        for colour, quantity, label in zip(
            SERIES, (typical, rms), ("typical", "root mean square"), strict=False
        ):
            drawn += [_curve(axes, e, colour, label, True) for _, e in scene.of(quantity)]
    for level in (0.5, 0.01):
        axes.axhline(level, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylabel("gradient, share of its peak")
    _lag_axes(axes, scene, drawn)
    _key(axes)


def _curve(axes: Axes, estimate: Estimate, colour: str, label: str, relative: bool = False) -> Estimate:
    """A positive curve by lag with its band; `relative` to its peak where units differ between models."""
    lags, value = np.asarray(estimate.axes["lag"], float), np.asarray(estimate.value, float)
    scale = _peak(value) if relative else 1.0
    _line(axes, lags, _positive(value) / scale, _has_interval(estimate), colour, label)
    _band(axes, lags, estimate, colour, scale)
    _gone(axes, lags[value == 0], colour, "0")
    return estimate


def _lag_axes(axes: Axes, scene: Scene, drawn: Sequence[Estimate]) -> None:
    """Lag from the left, share on a logarithmic axis; both end where nothing worth a look follows."""
    last = 0.0
    for estimate in drawn:
        value = np.asarray(estimate.value, float)
        last = max(last, _last_above(np.asarray(estimate.axes["lag"], float), value / _peak(value), FLOOR))
    _lag_scale(axes, scene, last)
    axes.set_yscale("log")
    top = max(
        [1.0, *(float(np.max(line.get_ydata(), initial=0, where=_finite(line))) for line in axes.lines)]
    )
    axes.set_ylim(FLOOR, 2 * top)
    axes.yaxis.set_major_locator(FixedLocator([10.0**e for e in range(-4, 1 + math.ceil(math.log10(top)))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))


def _finite(line: mpl.lines.Line2D) -> np.ndarray:
    return np.isfinite(np.asarray(line.get_ydata(), float))


def _lag_scale(axes: Axes, scene: Scene, last: float) -> None:
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


def _line(
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
        axes.plot(
            x, y, color=colour, linestyle=(0, (1, 1.4)), marker=mark, markerfacecolor="none", label=label
        )
        label = ""
    if sure.any():
        axes.plot(x, np.where(sure, y, np.nan), color=colour, marker=mark, label=label)


def _band(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    estimate: Estimate,
    colour: str,
    scale: float,
    order: np.ndarray | slice = slice(None),
) -> None:
    if estimate.low is None or estimate.high is None:
        return
    low, high = (np.asarray(end, float)[order] / scale for end in (estimate.low, estimate.high))
    shown = np.isfinite(low) & np.isfinite(high) & (high > 0)
    tiny = FLOOR * 1e-6  # a lower end of 0 or less has no place on a logarithmic axis
    axes.fill_between(
        x, np.maximum(low, tiny), np.maximum(high, tiny), where=shown, color=colour, alpha=0.2, linewidth=0
    )


def _points(
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
        _line(axes, x, value[chosen], _has_interval(estimate)[chosen], colour, label)
        if estimate.low is not None and estimate.high is not None:
            low, high = np.asarray(estimate.low)[chosen], np.asarray(estimate.high)[chosen]
            axes.fill_between(
                x, low, high, where=np.isfinite(low + high), color=colour, alpha=0.2, linewidth=0
            )
        return
    axes.plot(x, value[chosen], "o", color=colour, label=label)
    _whiskers(axes, x, estimate, colour, chosen)


def _whiskers(
    axes: Axes,
    x: Float[np.ndarray, " points"],
    estimate: Estimate,
    colour: str,
    chosen: np.ndarray | slice = slice(None),
) -> None:
    if estimate.low is None or estimate.high is None:
        return
    low, high = np.asarray(estimate.low, float)[chosen], np.asarray(estimate.high, float)[chosen]
    shown = np.isfinite(low) & np.isfinite(high)
    axes.vlines(x[shown], low[shown], high[shown], color=colour, linewidth=1.2)


def _gone(axes: Axes, x: Float[np.ndarray, " points"], colour: str, name: str = "−∞") -> None:
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
    axes.text(
        x[-1] if side == "right" else x[0], 0.06, said, color=colour, transform=edge, ha=side, va="bottom"
    )


def _mark(axes: Axes, scene: Scene, quantity: Quantity, level: float, name: str, start: float = 0.0) -> None:
    """A dot where a curve crosses a level for good, with its number."""
    found = find_all(scene.estimates, quantity)
    if not found or found[0].statistics.get("censored") or not math.isfinite(reading(found[0]).value):
        return
    crossing = reading(found[0])
    axes.plot([start + crossing.value], [level], "o", color=INK, markersize=4.5, zorder=5)
    axes.annotate(
        f"{name} {crossing.centre}",
        (start + crossing.value, level),
        (6, 5),
        textcoords="offset points",
        clip_on=True,
    )


def _upright(axes: Axes, x: float, colour: str, text: str) -> None:
    axes.axvline(x, color=colour, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        text, (x, 0.97), (5, 0), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
    )


def _log_percent(axes: Axes, shown: Sequence[Estimate], floor: float) -> None:
    positive = np.concatenate(
        [np.asarray(e.value, float)[np.asarray(e.value) > 0] for e in shown] or [np.ones(1)]
    )
    axes.set_yscale("log")
    axes.set_ylim(max(floor, 0.5 * float(positive.min(initial=1.0))), 1.5)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))


def _beyond_the_data(axes: Axes, scene: Scene) -> None:
    """A shade over hold times longer than the run, which it cannot tell from forever."""
    lengths = [
        e.statistics.get("steps") for q_ in (q.GATE_TIME_QUANTILES, q.GATE_TIMES) for _, e in scene.of(q_)
    ]
    length = next((s for s in lengths if s), None)
    low, high = axes.get_ylim()
    if length is None or high < length:
        return
    axes.set_ylim(low, min(high, 30 * length))
    axes.axhspan(length, min(high, 30 * length), color=GRID, alpha=0.7, linewidth=0)
    axes.text(
        0.02,
        length * 1.1,
        f"longer than the data ({length:,} steps)",
        color=SOFT,
        transform=axes.get_yaxis_transform(),
    )


def _quantiles(axes: Axes, scene: Scene) -> None:
    """Dots with numbers at the quantiles of the hold times."""
    for _, estimate in scene.of(q.GATE_TIME_QUANTILES):
        for place, level in enumerate(estimate.axes["quantile"]):
            hold = reading(estimate, place)
            if not 0 < hold.value < math.inf:
                continue
            axes.plot([100 * level], [hold.value], "o", color=INK, markersize=4.5, zorder=5)
            axes.annotate(
                hold.centre,
                (100 * level, hold.value),
                (-3, 6),
                textcoords="offset points",
                ha="right",
                clip_on=True,
            )


def _unit_rows(scene: Scene) -> list[tuple[str, Estimate, str]]:
    """Name, estimate and colour of each bar; of several parts only those with something to show."""
    rows = []
    for colour, (quantity, name) in zip(SERIES, UNIT_KINDS, strict=False):
        found = find_all(scene.estimates, quantity)
        many = len(found) > 1
        rows += [(f"{name}, {e.part}" if many else name, e, colour) for e in found if e.value or not many]
    return rows[:MOST_BARS]


def _key(axes: Axes) -> None:
    """Names in the colours of their lines, where there is more than one to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        axes.legend(handles, labels)


def _has_interval(estimate: Estimate) -> np.ndarray:
    if estimate.low is None or estimate.high is None:
        exact = 0 if estimate.standard_error is None else np.asarray(estimate.standard_error)
        return np.broadcast_to((estimate.standard_error is not None) & (exact == 0), np.shape(estimate.value))
    return np.isfinite(np.asarray(estimate.low, float)) & np.isfinite(np.asarray(estimate.high, float))


def _positive(value: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """NaN where a logarithmic axis has no place."""
    return np.where(np.isfinite(value) & (value > 0), value, np.nan)


def _peak(value: Float[np.ndarray, " points"]) -> float:
    """The largest finite value; 1 where there is none above zero."""
    peak = float(np.max(value, initial=0.0, where=np.isfinite(value)))
    return peak if peak > 0 else 1.0


def _last_above(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], level: float) -> float:
    above = np.flatnonzero(np.nan_to_num(y, nan=0.0) > level)
    return float(x[above[-1]]) if above.size else float(x[min(10, len(x) - 1)])


def _percent_tick(value: float, _: int | None = None) -> str:
    return f"{100 * value:.10g}%"
