"""Values over two axes of their own, such as kernels: one figure a quantity, a panel a case, one scale for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hitherto.report.charts import by_quantity, y_label
from hitherto.report.drawing import SETTINGS, SIZE
from hitherto.report.results import Answer, Kind, Results, as_floats, outcome_of, place, split, words
from hitherto.report.verdict import capitalised

MOST_PANELS, ACROSS = 12, 2  # readable on a phone
LARGEST = 64  # entries along an axis


@dataclass(frozen=True)
class Map:
    """One figure.

    Attributes:
        kinds: what the colours tell.
        title: the verdict.
        axes: names of both, down and across.
        panels: values by the case.
        left_out: cases for which there is no room.
    """

    kinds: tuple[Kind]
    title: str
    axes: tuple[str, str]
    panels: Mapping[str, Float[np.ndarray, "row column"]]
    left_out: int

    @property
    def name(self) -> str:
        """What is drawn."""
        return y_label(self.kinds[0])

    @property
    def how_to_read(self) -> str:
        """Sentences."""
        more = f" {self.left_out:,} more cases are left out." if self.left_out else ""
        return f"Each panel is one case; colours are the same in all of them.{more}"


def maps_of(results: Results) -> list[Map]:
    """All values with two axes that are small enough to be seen."""
    found = []
    for kind, answers in by_quantity(results.records).items():
        square = [answer for answer in answers if len(answer[1]["axes"]) == 2 and _small(answer[1])]
        if square:
            found.append(_map(kind, square))
    return found


def _small(estimate: Mapping[str, Any]) -> bool:
    return all(1 < len(places) <= LARGEST for places in estimate["axes"].values())


def _map(kind: Kind, answers: Sequence[Answer]) -> Map:
    varying, _ = split(record.coordinates for record, _ in answers)
    down, across = answers[0][1]["axes"]
    return Map(
        kinds=(kind,),
        title=capitalised(outcome_of([record for record, _ in answers])),
        axes=(words(down), words(across)),
        panels={place(r.coordinates, varying): as_floats(e["value"]) for r, e in answers[:MOST_PANELS]},
        left_out=max(0, len(answers) - MOST_PANELS),
    )


def drawn_map(chart: Map, titled: bool) -> Figure:
    """A map as a figure: red above zero, blue below."""
    rows = math.ceil(len(chart.panels) / ACROSS)
    columns = min(len(chart.panels), ACROSS)
    top = max((np.nanmax(np.abs(values)) for values in chart.panels.values()), default=1.0)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(SIZE[0], 0.6 + 2.1 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (name, values) in zip(panels, chart.panels.items(), strict=False):
            image = axes.pcolormesh(values, cmap="RdBu_r", vmin=-top, vmax=top)
            _square(axes, name)
        for axes in panels[len(chart.panels) :]:
            axes.set_visible(False)
        bar = figure.colorbar(image, ax=list(panels), shrink=0.4)
        bar.outline.set_visible(False)
        bar.set_label(chart.name)
        figure.supylabel(chart.axes[0], fontsize=9)
        figure.supxlabel(chart.axes[1], fontsize=9)
        if titled:
            figure.suptitle(chart.title, fontsize=9.5, fontweight="bold")
    return figure


def _square(axes: Axes, name: str) -> None:
    """Rows from the top, the case above, in lines that fit."""
    axes.set_ylim(*sorted(axes.get_ylim(), reverse=True))
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_title("\n".join(name.split(", ")), fontsize=8, fontweight="normal", pad=3)
