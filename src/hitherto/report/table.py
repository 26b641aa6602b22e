"""All numbers of a profile as rows, for the terminal and for the page."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hitherto.core.quantity import Estimate
from hitherto.report.reading import parts, reading

FEW = 4  # points: shorter curves are shown whole
SHOWN = (0, 1, 10, 100)  # of a longer curve, places from its start; its last one is shown as well
WITHOUT_ORDER = ("unit", "plane", "other_time")  # axes along which single places mean nothing
PROPER = (
    ("jacobian", "Jacobian"),
    ("lyapunov", "Lyapunov"),
    ("kaplan yorke", "Kaplan–Yorke"),
    ("henrici", "Henrici"),
    ("kreiss", "Kreiss"),
    ("half life", "half-life"),
    ("components 99", "components for 99%"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the quantity, in words.
        place: where along its axis, "lag 10"; "" for a single number.
        value, interval: as printed; the interval is "" where there is none.
        remark: why the data do not decide it; "" where they do.
    """

    name: str
    part: str
    place: str
    value: str
    interval: str
    unit: str
    meaning: str
    remark: str


def rows(estimates: Sequence[Estimate]) -> tuple[Row, ...]:
    """Single numbers as one row each, curves as a row at each of a few places."""
    return tuple(_row(e, place, index) for e in estimates for place, index in _places(e))


def table(estimates: Sequence[Estimate]) -> Table:
    """The rows as a table for a terminal of 80 to 100 columns, part by part."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("quantity", overflow="fold")
    shown.add_column("at", overflow="fold")
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("95% interval", max_width=30, overflow="fold")
    shown.add_column("unit", overflow="fold")
    names = parts(estimates)
    for part in names:
        if part or len(names) > 1:
            shown.add_row(Text(part or "whole model", style="bold"))
        _add_part(shown, rows([e for e in estimates if e.part == part]))
    return shown


def text(estimates: Sequence[Estimate], width: int = 100) -> str:
    """The table as plain text, without colours or control characters."""
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False, highlight=False)
    console.print(table(estimates))
    return console.file.getvalue()


def _add_part(shown: Table, every: Sequence[Row]) -> None:
    """Rows of one part; the name of a curve only at its first place."""
    previous = ""
    for row in every:
        name = "" if row.name == previous else row.name
        cells = (name, row.place, row.value, row.interval or row.remark, row.unit)
        shown.add_row(*map(Text, cells))  # texts come from files and are no markup
        previous = row.name


def _places(estimate: Estimate) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Where to show an estimate: words and index."""
    axes = estimate.quantity.axes
    if not axes:
        yield "", ()
        return
    if set(axes) & set(WITHOUT_ORDER):
        return
    (axis,) = axes
    coordinates = estimate.axes[axis]
    count = len(coordinates)
    chosen = range(count) if count <= FEW else sorted({i for i in SHOWN if i < count} | {count - 1})
    for i in chosen:
        yield f"{axis} {coordinates[i]:g}", (i,)


def _row(estimate: Estimate, place: str, index: tuple[int, ...]) -> Row:
    shown, quantity = reading(estimate, index), estimate.quantity
    more = "> " if estimate.statistics.get("censored") else ""
    return Row(
        name=in_words(quantity.name),
        part=estimate.part,
        place=place,
        value=f"{more}{shown.centre}",
        interval=shown.interval,
        unit=quantity.unit,
        meaning=quantity.meaning,
        remark="" if shown.interval or shown.value == -math.inf else _remark(estimate),
    )


def in_words(name: str) -> str:
    """A quantity's name as prose has it: "gradient half-life"."""
    words = name.replace("_", " ")
    for plain, proper in PROPER:
        words = words.replace(plain, proper)
    return words


def _remark(estimate: Estimate) -> str:
    """Why there is no interval."""
    if estimate.cannot_tell:
        return f"cannot tell: {estimate.cannot_tell}"
    exact = estimate.standard_error is not None and not np.any(estimate.standard_error)
    return "exact" if exact else "no interval"
