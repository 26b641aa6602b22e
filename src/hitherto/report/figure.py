"""Figures from estimates: every one small, with its finding as title, its axes named, and its doubt drawn.

A curve is solid where it has a 95% interval and dotted where it has none; exact zeros and -inf have marks of
their own at the edge of the axes, since no logarithmic axis can hold them.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.drawing import (
    FLOOR,
    GRID,
    INK,
    MOST_BARS,
    SERIES,
    SETTINGS,
    SIZE,
    SOFT,
    Scene,
    band,
    bars,
    curve,
    gone,
    has_interval,
    key,
    lag_axes,
    lag_scale,
    last_above,
    line,
    log_percent,
    mark,
    peak,
    points,
    positive,
    positive_range,
    upright,
    whiskers,
)
from hitherto.report.reading import find, find_all, reading
from hitherto.report.verdict import CHANGE, capitalised, told


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
        mark(axes, scene, q.GRADIENT_HALF_LIFE, 0.5, "half-life", peak)
        mark(axes, scene, q.GRADIENT_HORIZON, 0.01, "horizon")


def output_gradient(axes: Axes, scene: Scene) -> None:
    """|dy[t]/dx[t-k]| by lag, as a share of its peak."""
    _gradients(axes, scene, q.OUTPUT_JACOBIAN_TYPICAL, q.OUTPUT_JACOBIAN_RMS)


def context(axes: Axes, scene: Scene) -> None:
    """Change of the output when all older than the last k inputs is replaced, zeroed or shuffled."""
    kinds = ((q.CONTEXT_REPLACED, "replaced"), (q.CONTEXT_ZEROED, "zeroed"), (q.CONTEXT_SHUFFLED, "shuffled"))
    many, drawn = scene.count(q.CONTEXT_REPLACED) > 1, []
    for place, (quantity, name) in enumerate(kinds[:1] if many else kinds):
        for colour, estimate in scene.of(quantity):
            label = scene.name(estimate) if many else name
            drawn.append(curve(axes, estimate, colour if many else SERIES[place], label))
    axes.axhline(CHANGE, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylabel("change of the output / its deviation")
    lag_axes(axes, scene, drawn)
    key(axes)


def cuts(axes: Axes, scene: Scene) -> None:
    """Interaction share by the number of steps after the cut."""
    shown = [estimate for _, estimate in scene.of(q.INTERACTION_PROFILE)]
    for colour, estimate in scene.of(q.INTERACTION_PROFILE):
        after = _after_cut(estimate)
        line(axes, after, positive(estimate.value), has_interval(estimate), colour, scene.name(estimate))
        band(axes, after, estimate, colour, 1.0)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.85, 1.2 * max(float(_after_cut(estimate).max()) for estimate in shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.set_xlabel("steps after the cut")
    axes.set_ylabel("share of the output from interaction")
    log_percent(axes, shown, FLOOR)
    key(axes)


def _after_cut(estimate: Estimate) -> np.ndarray:
    cut = np.asarray(estimate.axes["cut"], float)
    return estimate.statistics.get("length", cut.max() + 1) - cut


def exponents(axes: Axes, scene: Scene) -> None:
    """The Lyapunov spectrum with error bars; exponents of -inf as marks at the bottom."""
    axes.axhline(0, color=SOFT, linewidth=1)
    for colour, estimate in scene.of(q.LYAPUNOV_SPECTRUM):
        place, value = np.asarray(estimate.axes["index"], float), np.asarray(estimate.value, float)
        finite = np.isfinite(value)
        points(axes, place[finite], estimate, finite, colour, scene.name(estimate))
        gone(axes, place[value == -np.inf], colour)
    axes.set_xlabel("exponent, largest first")
    axes.set_ylabel("Lyapunov exponent (per step)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.15 * (high - low), high)  # room for what is at the bottom
    key(axes)


def leaks(axes: Axes, scene: Scene) -> None:
    """Share of the energy lost a step, by direction."""
    for colour, estimate in scene.of(q.LEAK_SPECTRUM):
        place, value = np.asarray(estimate.axes["direction"], float), np.asarray(estimate.value, float)
        points(axes, place, estimate, np.ones(len(value), bool), colour, scene.name(estimate))
    axes.axhline(0, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlabel("direction, most leaking first")
    axes.set_ylabel("share of |h|² lost per step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    key(axes)


def learning_speeds(axes: Axes, scene: Scene) -> None:
    """Memory priors as shares of their peaks, dashed beside them those of wide networks of the same variances."""
    drawn = []
    for colour, estimate in scene.of(q.MEMORY_PRIOR):
        drawn.append(curve(axes, estimate, colour, scene.name(estimate, "these weights") or "these weights", True))
        wide = find(scene.estimates, q.WIDE_MEMORY_PRIOR, estimate.part)
        if wide is not None:
            shares = positive(np.asarray(wide.value, float)) / peak(np.asarray(estimate.value, float))
            lags, label = np.asarray(wide.axes["lag"], float), "" if len(drawn) > 1 else "wide, of the same variances"
            axes.plot(lags, shares, color=colour, linewidth=1.2, linestyle=(0, (4, 2)), label=label)
    horizons = find_all(scene.estimates, q.TRUST_HORIZON)
    axes.set_ylabel("speed of learning, share of its peak")
    lag_axes(axes, scene, drawn)
    if horizons and float(horizons[0].value) < axes.get_xlim()[1]:
        upright(axes, float(horizons[0].value), SOFT, "√width")
    key(axes)


def recurrent_spectrum(axes: Axes, scene: Scene) -> None:
    """Eigenvalues of W in the plane, the disc of its bulk, and as rings those that its states let expect."""
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.array([np.cos(angle), np.sin(angle)])
    for colour, estimate in scene.of(q.RECURRENT_EIGENVALUES):
        name = scene.name(estimate)
        axes.plot(*estimate.value, ".", color=colour, markersize=3, label=name or "eigenvalues of W")
        bulk = find(scene.estimates, q.WEIGHT_BULK, estimate.part)
        if bulk is not None:
            look = dict(color=colour if name else SOFT, linewidth=1, label="" if name else "bulk")
            axes.plot(*(float(bulk.value) * circle), **look)
        expected = find(scene.estimates, q.EXPECTED_EIGENVALUES, estimate.part)
        if expected is not None and np.size(expected.value):
            look = dict(color=colour if name else SERIES[1], markersize=9, fillstyle="none")
            axes.plot(*expected.value, "o", **look, label="" if name else "expected")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("real part")
    axes.set_ylabel("imaginary part")
    key(axes)


def time_kernel(axes: Axes, scene: Scene) -> None:
    """Cosines between states of different times, of the last part: the fuller the colour, the more alike."""
    estimate = find_all(scene.estimates, q.TIME_KERNEL)[-1]
    size = np.sqrt(np.outer(np.diagonal(estimate.value), np.diagonal(estimate.value)))
    cosines = estimate.value / np.where(size > 0, size, 1.0)
    for sign, colour in ((1, SERIES[0]), (-1, SERIES[1])):
        shades = LinearSegmentedColormap.from_list("", [to_rgba(colour, 0.0), to_rgba(colour, 1.0)])
        shown = np.ma.masked_less_equal(sign * cosines, 0)
        axes.pcolormesh(*estimate.axes.values(), shown, cmap=shades, vmin=0, vmax=1, shading="nearest")
    axes.grid(visible=False)
    axes.invert_yaxis()
    name = scene.name(estimate)
    axes.set_xlabel("time (steps)")
    axes.set_ylabel(f"time, {name}" if name else "time (steps)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def linear_memory(axes: Axes, scene: Scene) -> None:
    """R^2 of the best readout of each past input."""
    many, last = scene.count(q.LINEAR_MEMORY) > 1, 0.0
    for colour, estimate in scene.of(q.LINEAR_MEMORY):
        lags, value = np.asarray(estimate.axes["lag"], float), np.clip(estimate.value, 0, None)
        line(axes, lags, value, has_interval(estimate), colour, scene.name(estimate))
        band(axes, lags, estimate, colour, 1.0)
        axes.fill_between(lags, 0, value, color=colour, alpha=0 if many else 0.12, linewidth=0)
        last = max(last, last_above(lags, value, 0.005))
    lag_scale(axes, scene, last)
    axes.set_ylim(0)
    axes.set_ylabel("R² of the best linear readout")
    key(axes)


def degrees(axes: Axes, scene: Scene) -> None:
    """Capacity by degree: the estimate as a pale bar with its interval, the part found for certain solid."""
    count = scene.count(q.PROCESSING_CAPACITY)
    many, width = count > 1, 0.7 / max(count, 1)
    for place, (colour, estimate) in enumerate(scene.of(q.PROCESSING_CAPACITY)):
        x = np.asarray(estimate.axes["degree"], float) + (place - (count - 1) / 2) * width
        bars(axes, x, estimate, width, color=colour, alpha=0.3, label=scene.name(estimate) or "estimate")
        whiskers(axes, x, estimate, colour)
        found = find(scene.estimates, q.PROCESSING_CAPACITY_FOUND, estimate.part)
        if found is not None:
            label = "" if many else "in significant terms"
            bars(axes, x[: np.size(found.value)], found, width, color=colour, label=label)
        axes.set_xticks(np.asarray(estimate.axes["degree"], float))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda d, _: f"{d:.0f} (linear)" if d == 1 else f"{d:.0f}"))
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("degree of the function of past inputs")
    axes.set_ylabel("capacity (functions)")
    axes.set_ylim(0, 1.3 * max(axes.get_ylim()[1], 0.1))  # room for the key
    axes.legend(loc="upper left", labelcolor=INK)


def spectrum(axes: Axes, scene: Scene) -> None:
    """Shares of the state's variance by principal component, on a logarithmic axis."""
    many = scene.count(q.STATE_SPECTRUM) > 1
    for colour, estimate in scene.of(q.STATE_SPECTRUM):
        x, value = np.asarray(estimate.axes["component"], float), np.asarray(estimate.value, float)
        line(axes, x, positive(value), has_interval(estimate), colour, scene.name(estimate, "hidden state"))
        band(axes, x, estimate, colour, 1.0)
        gone(axes, x[value <= 0], colour, "0")
        ratio = reading(find(scene.estimates, q.PARTICIPATION_RATIO, estimate.part))
        if math.isfinite(ratio.value):
            upright(axes, ratio.value, colour, "" if many else f"acts as {ratio.centre}")
    log_percent(axes, [e for _, e in scene.of(q.STATE_SPECTRUM)], 1e-6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("principal component of the state")
    axes.set_ylabel("share of the variance")
    key(axes)


def gates(axes: Axes, scene: Scene) -> None:
    """Hold times of the gates, units sorted, on a logarithmic axis; longer than the data is marked so."""
    many = scene.count(q.GATE_TIMES) > 1
    for colour, estimate in scene.of(q.GATE_TIMES):
        value = np.asarray(estimate.value, float)
        order = np.argsort(value)
        x = 100 * (np.arange(len(order)) + 0.5) / max(len(order), 1)
        finite = np.where(np.isfinite(value), value, np.nan)[order]
        line(axes, x, positive(finite), has_interval(estimate)[order], colour, scene.name(estimate))
        band(axes, x, estimate, colour, 1.0, order)
    if not many:
        _quantiles(axes, scene)
    low, high = positive_range([e for _, e in scene.of(q.GATE_TIMES)])
    axes.set_yscale("log")
    axes.set_ylim(low / 1.3, 1.3 * high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _beyond_the_data(axes, scene)
    axes.set_xlim(0, 100)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}%"))
    axes.set_xlabel("units, sorted")
    axes.set_ylabel("hold time of the gate (steps)")
    key(axes)


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
        "what a usual sequence sees, the root mean square is ruled by rare ones; bands are 95% intervals, "
        "dots mean none.",
    ),
    Panel(
        "output-gradient",
        "Gradient of the output by lag",
        (q.OUTPUT_JACOBIAN_TYPICAL, q.OUTPUT_JACOBIAN_RMS),
        (),
        output_gradient,
        "The same for the output: what falls faster here than in the figure of the state is remembered but not used.",
    ),
    Panel(
        "context",
        "Effective context of the output",
        (q.CONTEXT_REPLACED, q.CONTEXT_ZEROED, q.CONTEXT_SHUFFLED),
        (q.CONTEXT_REPLACED,),
        context,
        "How much the output changes when everything older than the last k inputs is replaced by other "
        "inputs; where the curve with its band stays under the dashed 1% line, older inputs no longer "
        "matter.",
    ),
    Panel(
        "cuts",
        "Interaction of before and after a cut",
        (q.INTERACTION_PROFILE,),
        (q.INTERACTION_PROFILE,),
        cuts,
        "Starts and ends of the inputs are recombined: the share of the output that no sum of a function of the start "
        "and one of the end explains, by how long the end is; at 0 the model only adds what it knows of both.",
    ),
    Panel(
        "exponents",
        "Lyapunov spectrum",
        (q.LYAPUNOV_SPECTRUM,),
        (q.LYAPUNOV_SPECTRUM,),
        exponents,
        "Each point is one direction of the state: below zero its differences fade, above zero they grow, "
        "and −∞ means gone within finitely many steps; bars are 95% intervals.",
    ),
    Panel(
        "leaks",
        "Leaks of the recurrent weights",
        (q.LEAK_SPECTRUM,),
        (),
        leaks,
        "What a step of the recurrent weights alone loses of each direction of the state: at 0 it is kept whole, at 1 "
        "it is gone, below 0 it grows.",
    ),
    Panel(
        "memory-prior",
        "Speed of learning by lag",
        (q.MEMORY_PRIOR,),
        (q.KERNEL_DRIFT, q.HALF_LEVEL),
        learning_speeds,
        "How fast plain gradient descent would begin to move the answer to each past input, with these weights and, "
        "if the layer is not linear, its slopes at the mean state; dashed: wide networks of the same variances, to be "
        "trusted up to √width. Whether training was lazy shows only beside the weights before it: give them as "
        "--initial FILE, or initial= in Python.",
    ),
    Panel(
        "recurrent-spectrum",
        "Eigenvalues of the recurrent weights",
        (q.RECURRENT_EIGENVALUES,),
        (q.EIGENVALUE_OUTLIERS,),
        recurrent_spectrum,
        "Random weights would fill the circle; a point well outside of it was learned. Rings are where theory puts "
        "such points from the states of these inputs alone: a point without a ring serves other inputs.",
    ),
    Panel(
        "time-kernel",
        "Likeness of states at different times",
        (q.TIME_KERNEL,),
        (q.TEMPORAL_COHERENCE,),
        time_kernel,
        "Cosines between a pattern's states at two times, mean over patterns: full blue is 1, none is 0, orange lies "
        "below 0. Inputs that are alike make states alike too, so the verdict compares with random recurrent weights "
        "on the same inputs.",
    ),
    Panel(
        "linear-memory",
        "Linear memory by lag",
        (q.LINEAR_MEMORY,),
        (q.LINEAR_MEMORY_CAPACITY,),
        linear_memory,
        "How well each past input can be read from the state by a linear readout, 1 being perfectly for "
        "one input channel; the area is the linear memory capacity.",
    ),
    Panel(
        "degrees",
        "Processing capacity by degree",
        (q.PROCESSING_CAPACITY,),
        (q.LINEAR_SHARE,),
        degrees,
        "How many independent functions of past inputs the state holds, by their degree: pale bars are "
        "estimates with 95% intervals, solid bars the part in terms that are significant one by one.",
    ),
    Panel(
        "spectrum",
        "Variance of the state by component",
        (q.STATE_SPECTRUM,),
        (q.PARTICIPATION_RATIO,),
        spectrum,
        "How the variance of the state spreads over its principal directions: the steeper the fall, the "
        "fewer dimensions the units use together.",
    ),
    Panel(
        "gates",
        "Hold times of the gates",
        (q.GATE_TIMES,),
        (q.GATE_TIME_QUANTILES,),
        gates,
        "How long each unit's gate alone would hold its content, units sorted from short to long; "
        "recurrent weights lengthen or shorten it.",
    ),
    Panel(
        "units",
        "Units that hardly work",
        tuple(quantity for quantity, _ in UNIT_KINDS),
        (q.IDLE_UNITS, q.STUCK_UNITS, q.DEAD_UNITS),
        units,
        "Idle units hardly move and stuck ones sit at one end of their range; switching units sit at both "
        "ends in turn and work as bits.",
    ),
)


def _panel(axes: Axes, panel: Panel, scene: Scene, titled: bool) -> None:
    panel.draw(axes, scene)
    for text in axes.texts:
        text.set_in_layout(False)  # a label at a far point must not squeeze the axes
    count = max(scene.count(need) for need in panel.needs)
    if count > len(SERIES):
        some = f"{len(SERIES)} of {count} parts drawn"
        axes.text(1, 1, some, color=SOFT, transform=axes.transAxes, ha="right", va="bottom")
    if titled:
        axes.set_title(textwrap.fill(panel.title(scene), 48))


def _short(text: str) -> str:
    """A sentence without what explains it, fit for a title."""
    kept = text.split(" (largest")[0].split("; ")[0]
    if kept.startswith("cannot tell"):
        kept = kept.split(": ")[0].split(" because ")[0]
    return capitalised(kept)


def _gradients(axes: Axes, scene: Scene, typical: Quantity, rms: Quantity) -> None:
    """Typical and rms of a single part in two colours; of several parts the typical curves alone."""
    drawn = []
    if max(scene.count(typical), scene.count(rms)) > 1:
        shown = typical if scene.count(typical) else rms
        drawn = [curve(axes, e, colour, scene.name(e), True) for colour, e in scene.of(shown)]
    else:
        for colour, quantity, label in zip(SERIES, (typical, rms), ("typical", "root mean square"), strict=False):
            drawn += [curve(axes, e, colour, label, True) for _, e in scene.of(quantity)]
    for level in (0.5, 0.01):
        axes.axhline(level, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylabel("gradient, share of its peak")
    lag_axes(axes, scene, drawn)
    key(axes)


def _beyond_the_data(axes: Axes, scene: Scene) -> None:
    """A shade over hold times longer than the run, which it cannot tell from forever."""
    lengths = [e.statistics.get("steps") for q_ in (q.GATE_TIME_QUANTILES, q.GATE_TIMES) for _, e in scene.of(q_)]
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
        rows += [(f"{name}, {e.part}" if many and e.part else name, e, colour) for e in found if e.value or not many]
    return rows[:MOST_BARS]
