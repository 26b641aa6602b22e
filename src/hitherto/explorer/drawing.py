"""Lines on two axes as SVG, in a millisecond: a page that answers every move cannot wait for a plotting library.

Colours and strokes are classes of the page's style, so that light and dark follow it and no style is written inline.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from hitherto.report.reading import SUPERSCRIPTS

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 40
DECADES = 12  # below its top that a logarithmic axis shows


@dataclass(frozen=True, eq=False)
class Line:
    """A curve; points that are no numbers, or below a logarithmic axis, are left out."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Figure:
    """What is drawn.

    Attributes:
        about: in a sentence, for those who do not see it.
        lines: up to six.
        place: the x that is set, marked by a dot on the first line and an upright.
        level: a height with its name, dashed; None for none.
    """

    about: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    place: float | int
    level: tuple[float | int, str] | None = None
    log: bool = False


@dataclass(frozen=True)
class Axes:
    """From numbers to places on the paper."""

    x: tuple[float | int, float | int]
    y: tuple[float | int, float | int]
    log: bool

    def across(self, x: float | int) -> float:
        low, high = self.x
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - low) / (high - low)

    def down(self, y: float | int) -> float:
        low, high = (math.log10(end) for end in self.y) if self.log else self.y
        share = ((math.log10(y) if self.log else y) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def holds(self, y: float | int) -> bool:
        """Whether it is a number between the ends; NaN is between none."""
        return self.y[0] <= y <= self.y[1]


def svg(figure: Figure) -> Markup:
    """The figure as an `<svg>` element."""
    axes = _axes(figure)
    drawn = [f'<path class="line s{number}" d="{_path(line, axes)}"/>' for number, line in enumerate(figure.lines, 1)]
    parts = [*_grid(axes), _names(figure), *drawn, *_references(figure, axes), *_dot(figure, axes)]
    label = escape(figure.about)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>')


def _axes(figure: Figure) -> Axes:
    x = np.concatenate([line.x for line in figure.lines])
    y = np.concatenate([line.y for line in figure.lines] + [[figure.level[0]] if figure.level else []])
    shown = y[np.isfinite(y) & ((y > 0) | (not figure.log))]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (1.0, 1.0)
    across = (float(x.min()), max(float(x.max()), float(x.min()) + 1))
    if figure.log:
        return Axes(across, (max(low, high * 10.0**-DECADES) / 1.5, high * 1.5), True)
    return Axes(across, (min(low, 0.0), (high if high > 0 else 1.0) * 1.05), False)


def _path(line: Line, axes: Axes) -> str:
    """Moves where points were left out, lines elsewhere."""
    steps, broken = [], True
    for x, y in zip(line.x.tolist(), line.y.tolist(), strict=True):
        if not axes.holds(y):
            broken = True
            continue
        steps.append(f"{'M' if broken else 'L'}{axes.across(x):.1f} {axes.down(y):.1f}")
        broken = False
    return "".join(steps)


def _grid(axes: Axes) -> list[str]:
    parts = []
    for y in log_ticks(*axes.y) if axes.log else ticks(*axes.y):
        at = axes.down(y)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick(y)}</text>')
    for x in ticks(*axes.x, whole=True):
        parts.append(f'<text x="{axes.across(x):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick(x)}</text>')
    return parts


def _names(figure: Figure) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    return f'<text class="name" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(figure.x_label)}</text>'


def _references(figure: Figure, axes: Axes) -> list[str]:
    across = axes.across(figure.place)
    parts = [f'<path class="place" d="M{across:.1f} {TOP}V{HEIGHT - BOTTOM}"/>']
    if figure.level is None:
        return parts
    height, name = figure.level
    at = axes.down(height)
    parts.append(f'<path class="level" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
    above = at - 5 if at > TOP + 16 else at + 14
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{above:.1f}" text-anchor="end">{escape(name)}</text>')
    return parts


def _dot(figure: Figure, axes: Axes) -> list[str]:
    first = figure.lines[0]
    here = np.flatnonzero(first.x == figure.place)
    if not len(here) or not axes.holds(y := float(first.y[here[0]])):
        return []
    return [f'<circle class="s1" cx="{axes.across(figure.place):.1f}" cy="{axes.down(y):.1f}" r="4.5"/>']


def ticks(low: float | int, high: float | int, whole: bool = False) -> list[float | int]:
    """Round numbers between two ends, some five of them."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float | int, high: float | int) -> Sequence[float | int]:
    """Powers of ten, some five of them; round numbers where there are fewer than two."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    if last - first < 1:
        return [tick for tick in ticks(low, high) if tick > 0]
    step = max(1, round((last - first) / 5))
    return [10.0**e for e in range(first, last + 1, step)]


def tick(value: float | int) -> str:
    """A number as the label of a tick."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.6g}".replace("-", "−")
    exponent = round(math.log10(abs(value)))
    return f"10{str(exponent).translate(SUPERSCRIPTS)}" if math.isclose(abs(value), 10.0**exponent) else f"{value:.0e}"
