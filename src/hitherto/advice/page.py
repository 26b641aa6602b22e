"""Advice as one self-contained page with its Pareto figure."""

import math
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hitherto.advice.adviser import Advice, Option
from hitherto.advice.demand import MemoryDemand
from hitherto.report.drawing import INK, SERIES, SETTINGS, SIZE, SOFT, Scene, lag_scale
from hitherto.report.page import template
from hitherto.report.svg import svg

TALL = (SIZE[0] * 1.5, SIZE[1] * 1.3)
DASHES = (0, (4, 3))
LEAST = 1e-4  # that is drawn
MARKS = {"rnn": "o", "lru": "D", "lstm": "s", "gru": "^", "2rnn": "P"}


def advice_page(advice: Advice, demand: MemoryDemand | None = None, trained: tuple[dict[str, str], ...] = ()) -> str:
    """One HTML text without outside references, the same for the same arguments.

    Args:
        demand: of the data that asked for the advice, if it was that.
        trained: rows of a verification as they are printed, by column; none if nothing was trained.

    Cost: a figure or two, half a second.
    """
    figures = [_figure("pareto", "Learning cost against size", pareto_figure(advice), PARETO)]
    if demand is not None:
        figures.append(_figure("demand", "What longer contexts add", gain_figure(demand), GAINS))
        figures.append(_figure("information", "What one lag tells", information_figure(demand), INFORMATION))
    return template("advice").render(
        sentence=advice.sentence,
        changes=advice.changes,
        demand=demand and " ".join([demand.sentence, *demand.notes]),
        figures=figures,
        options=[(option, option is advice.best, list(option.numbers.values())) for option in advice.options],
        trained=trained,
        request=_request(advice),
    )


PARETO = (
    "Each mark is an option; to the left is smaller, below learns faster. Filled: predicted by theory for plain "
    "gradient descent. Hollow: a lower bound from a small draw, or a prediction beyond the widths it holds for. "
    "Crossed out: cannot do it, or not within the budget. The line joins what no other option beats in both."
)
GAINS = (
    "What is left on blocks held out, by the oldest lag that is used: of the variance of numbers, of the entropy of "
    "symbols; bands are two standard errors. A kind ends where no more of it can be fitted. Dashes: 5% of shuffled "
    "data leave less."
)
INFORMATION = (
    "Mutual information of the answer and the input at one lag alone; bands are two standard errors. What lies between "
    "may tell the same, so that this is no need of memory. Dashes: 5% of shuffled data have more at some lag."
)


def pareto_figure(advice: Advice) -> Figure:
    """Learning steps against parameters, with the front."""

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for option in advice.options:
            _mark(axes, option)
        front = advice.pareto
        line = [o.price for o in front], [_height(o) for o in front]
        axes.plot(*line, color=INK, linewidth=1, zorder=1)
        axes.axvline(advice.request.budget, color=SOFT, linewidth=1, linestyle=DASHES)
        axes.set_xlabel(f"{'effective ' * (advice.request.cost == 'effective')}parameters (dashed: budget)")
        axes.set_ylabel("steps of gradient descent to learn the lag")
        axes.legend(*_unique(axes), loc="best")
        for axis in (axes.xaxis, axes.yaxis):
            _plain_ticks(axis)

    return _drawn(draw)


def gain_figure(demand: MemoryDemand) -> Figure:
    """What is left by context, for each kind of features."""

    def draw(axes: Axes) -> None:
        for colour, gain in zip(SERIES, demand.gains, strict=False):
            _curve(axes, 1 - gain.value, gain.standard_error, colour, gain.name)
        chance = 1 - max(0.0, *(gain.chance for gain in demand.gains))
        _lags_and_logs(axes, demand.reach, chance, 0.8 * min(gain.least for gain in demand.gains), 1.3)
        axes.set_xlabel("oldest lag in the context (steps back)")
        axes.set_ylabel(f"left of the {'entropy' if demand.symbols else 'variance'}")
        axes.legend(loc="best")

    return _drawn(draw)


def information_figure(demand: MemoryDemand) -> Figure:
    """Mutual information by lag."""

    def draw(axes: Axes) -> None:
        found, chance = demand.information, demand.information_chance
        _curve(axes, found, demand.information_error, SERIES[0], "")
        _lags_and_logs(axes, len(found) - 1, chance, max(chance, 0) / 3, 2 * max(found.max(), chance))
        axes.set_ylabel("mutual information (nats)")

    return _drawn(draw)


def _curve(axes: Axes, value: np.ndarray, error: np.ndarray, colour: str, label: str) -> None:
    lags, low, high = np.arange(len(value)), value - 2 * error, value + 2 * error
    axes.plot(lags, np.maximum(value, LEAST), color=colour, label=label)
    axes.fill_between(lags, np.maximum(low, LEAST), np.maximum(high, LEAST), color=colour, alpha=0.2, linewidth=0)


def _lags_and_logs(axes: Axes, last: int, chance: float, low: float, high: float) -> None:
    """Lags to the right, a logarithmic axis upwards, and what chance gives."""
    if chance > LEAST:
        axes.axhline(chance, color=SOFT, linewidth=1, linestyle=DASHES)
    lag_scale(axes, Scene((), {}), float(last))
    axes.set_yscale("log")
    axes.set_ylim(max(low, LEAST), max(high, 2 * LEAST))
    _plain_ticks(axes.yaxis)


def _plain_ticks(axis: Axis) -> None:
    """Numbers without powers on a logarithmic axis, and those between powers of ten on a short one."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _figure(id: str, title: str, drawn: Figure, how_to_read: str) -> dict[str, str | Markup]:
    return dict(id=id, title=title, svg=Markup(svg(drawn, id)), how_to_read=how_to_read)


def _drawn(draw: Callable[[Axes], None]) -> Figure:
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=TALL, layout="constrained")
        draw(figure.add_subplot())
    return figure


def _mark(axes: Axes, option: Option) -> None:
    height = _height(option)
    if not math.isfinite(height):
        return
    family = option.candidate.family
    colour = SERIES[list(MARKS).index(family)]
    face = colour if option.trusted else "none"
    look = dict(marker=MARKS[family], color=colour, markerfacecolor=face, markersize=7, linestyle="")
    axes.plot(option.price, height, label=family, alpha=0.4 if option.obstacles else 1, **look)
    if option.obstacles:
        axes.plot(option.price, height, marker="x", color=SOFT, markersize=7)


def _height(option: Option) -> float:
    return option["learning steps"]


def _unique(axes: Axes) -> tuple[list, list]:
    """One entry a family."""
    found = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)


def _request(advice: Advice) -> list[tuple[str, str]]:
    told = [
        ("Lag", f"{advice.request.lag:,} steps"),
        ("Channels", f"{advice.request.channels:,}"),
        ("States needed", f"{advice.request.states:,}"),
        ("Budget", f"{advice.request.budget:,} ({advice.request.cost})"),
        ("Families", ", ".join(advice.request.families)),
        ("Training", f"{advice.request.steps:,} steps"),
    ]
    return [*told, ("Answers", "more than sums of functions of single inputs")] if advice.request.nonlinear else told
