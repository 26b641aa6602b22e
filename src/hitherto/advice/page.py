"""Advice as one self-contained page with its Pareto figure."""

import math
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hitherto.advice.adviser import Advice, Option
from hitherto.advice.demand import MemoryDemand
from hitherto.report.drawing import INK, SERIES, SETTINGS, SIZE, SOFT
from hitherto.report.page import template
from hitherto.report.svg import svg

TALL = (SIZE[0] * 1.5, SIZE[1] * 1.3)
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
    return template("advice").render(
        sentence=advice.sentence,
        changes=advice.changes,
        demand=demand and demand.sentence,
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
GAINS = "R² on blocks held out, by the oldest lag that is used; dashes are what shuffled data reach in 5% of runs."


def pareto_figure(advice: Advice) -> Figure:
    """Learning steps against parameters, with the front."""

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for option in advice.options:
            _mark(axes, option)
        front = advice.pareto
        line = [o.candidate.parameters for o in front], [_height(o) for o in front]
        axes.plot(*line, color=INK, linewidth=1, zorder=1)
        axes.axvline(advice.request.budget, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("parameters (dashed: budget)")
        axes.set_ylabel("steps of gradient descent to learn the lag")
        axes.legend(*_unique(axes), loc="best")

    return _drawn(draw)


def gain_figure(demand: MemoryDemand) -> Figure:
    """Gain by context, for each kind of features."""

    def draw(axes: Axes) -> None:
        for colour, gain in zip(SERIES, demand.gains, strict=False):
            lags = np.arange(len(gain.value))
            axes.plot(lags, gain.value, color=colour, label=gain.name)
            low, high = gain.value - 2 * gain.standard_error, gain.value + 2 * gain.standard_error
            axes.fill_between(lags, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.axhline(max(gain.chance for gain in demand.gains), color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xscale("symlog", linthresh=1)
        axes.set_ylim(-0.1, 1.05)
        axes.set_xlabel("oldest lag in the context (steps back)")
        axes.set_ylabel("R² on blocks held out")
        axes.legend(loc="best")

    return _drawn(draw)


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
    axes.plot(option.candidate.parameters, height, label=family, alpha=0.4 if option.obstacles else 1, **look)
    if option.obstacles:
        axes.plot(option.candidate.parameters, height, marker="x", color=SOFT, markersize=7)


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
