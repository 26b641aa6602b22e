"""Complex values that come in two parts, such as eigenvalues: one figure a quantity, a panel a case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from hitherto.report.charts import COMPLEX, LARGEST, by_quantity, y_label
from hitherto.report.drawing import SERIES, SETTINGS, SIZE, SOFT
from hitherto.report.results import Answer, Kind, Results, as_floats, outcome_of, place, split
from hitherto.report.verdict import capitalised

MOST_PANELS, ACROSS = 16, 2  # readable on a phone


@dataclass(frozen=True)
class Plane:
    """One figure.

    Attributes:
        kinds: both parts, the real one first.
        title: the verdict.
        panels: real and imaginary parts by the case.
        left_out: cases for which there is no room.
    """

    kinds: tuple[Kind, Kind]
    title: str
    panels: Mapping[str, Float[np.ndarray, "2 values"]]
    left_out: int

    @property
    def name(self) -> str:
        """What is drawn."""
        quantity, _, unit = self.kinds[0]
        return y_label((quantity, "", unit))

    @property
    def how_to_read(self) -> str:
        """Sentences."""
        more = f" {self.left_out:,} more cases are left out." if self.left_out else ""
        return f"Each panel is one case in the complex plane, each point one value; the circle has radius 1.{more}"


def planes_of(results: Results) -> list[Plane]:
    """All values that were measured in both parts."""
    found = by_quantity(results.records)
    pairs = [((name, part, unit), (name, COMPLEX[1], unit)) for name, part, unit in found if part == COMPLEX[0]]
    return [plane for real, imaginary in pairs if (plane := _plane(found, real, imaginary))]


def _plane(found: Mapping[Kind, Sequence[Answer]], real: Kind, imaginary: Kind) -> Plane | None:
    """None where no case has as many values of one part as of the other."""
    others = {id(record): np.ravel(as_floats(e["value"])) for record, e in found.get(imaginary, ())}
    every = [(record, np.ravel(as_floats(e["value"])), others.get(id(record))) for record, e in found[real]]
    both = [(record, np.stack([x, y])) for record, x, y in every if y is not None and x.shape == y.shape]
    if not both:
        return None
    varying, _ = split(record.coordinates for record, _ in both)
    return Plane(
        kinds=(real, imaginary),
        title=capitalised(outcome_of([record for record, _ in both])),
        panels={
            place(record.coordinates, varying): values[:, (np.abs(values) <= LARGEST).all(0)]
            for record, values in both[:MOST_PANELS]
        },
        left_out=max(0, len(both) - MOST_PANELS),
    )


def drawn_plane(chart: Plane, titled: bool) -> Figure:
    """Points around a circle of radius 1."""
    rows, columns = math.ceil(len(chart.panels) / ACROSS), min(len(chart.panels), ACROSS)
    width, height = np.ptp([[-1, 1], [-1, 1], *np.concatenate([v.T for v in chart.panels.values()])], axis=0)
    lines = 1 + max(name.count(", ") for name in chart.panels)
    row = 0.2 + 0.15 * lines + (SIZE[0] - 0.8) / columns * min(height / width, 1.2)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(SIZE[0], 0.6 + row * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (name, values) in zip(panels, chart.panels.items(), strict=False):
            axes.add_patch(Circle((0, 0), 1, fill=False, color=SOFT, linewidth=1))
            axes.plot(*values, ".", color=SERIES[0], markersize=2)
            axes.set_aspect("equal")
            axes.set_title("\n".join(name.split(", ")), fontsize=8, fontweight="normal", pad=3)
        for axes in panels[len(chart.panels) :]:
            axes.set_visible(False)
        figure.supylabel("imaginary part", fontsize=9)
        figure.supxlabel("real part", fontsize=9)
        if titled:
            figure.suptitle(chart.title, fontsize=9.5, fontweight="bold")
    return figure
