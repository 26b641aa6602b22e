"""One self-contained page about experiments, from their records alone."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from hitherto.core.store import Record, Store
from hitherto.report.chart_drawing import drawn
from hitherto.report.charts import Chart, by_quantity, charts_of, kind_of, y_label
from hitherto.report.maps import Map, drawn_map, maps_of
from hitherto.report.page import template
from hitherto.report.planes import Plane, drawn_plane, planes_of
from hitherto.report.reading import duration
from hitherto.report.results import (
    TELLING,
    Kind,
    Results,
    as_float,
    as_floats,
    in_order,
    label,
    outcome_of,
    place,
    plural,
    results_of,
    signed,
    split,
    words,
)
from hitherto.report.svg import svg
from hitherto.report.verdict import capitalised

LONGEST = 200  # rows of a table
SHORT_TABLE = 12  # rows: such tables are shown without being asked for
MOST_VALUES = 8  # of a coordinate that are named one by one
FULL = 10**20  # whole numbers below are printed in full
MARKS = {"holds": "✓", "fails": "✗", "refuted": "✗", "cannot tell": "?", "measured": "•", "not covered": "–"}
RELATIONS = {"==": "=", "<=": "≤", ">=": "≥"}
Drawable = Chart | Plane | Map


class Row(NamedTuple):
    """One case as printed."""

    outcome: str
    mark: str
    reason: str
    coordinates: list[str]
    measured: list[str]
    predicted: str
    time: str


def experiments_page(stores: Sequence[Store]) -> str:
    """A report on every store as one HTML text without outside references, the same for the same records.

    Texts in the records are not trusted. JAX is not needed.

    Raises:
        ValueError: if a store cannot be read, or was written by a newer version.
    """
    every = [results_of(store) for store in stores]
    text = template("experiments").render(
        headline=f"{capitalised(outcome_of([r for results in every for r in results.records], named=True))}.",
        title=every[0].name if len(every) == 1 else f"{len(every)} experiments",
        experiments=[section(results, f"experiment-{i + 1}") for i, results in enumerate(every)],
    )
    return text.encode(errors="replace").decode()  # half a character in a record is no text


def experiment_figures(store: Store) -> list[tuple[str, Figure, str]]:
    """Every figure of an experiment: id, figure with its verdict as title, how to read it.

    One for each quantity; where it has more curves than colours, one for each value of the first coordinate that
    tells curves apart. Lines are theory, points are measured, with 95% intervals.

    Raises:
        ValueError: as for `experiments_page`.
    """
    return [
        (f"figure-{i + 1}", _figure(chart, titled=True), chart.how_to_read)
        for i, chart in enumerate(all_charts(results_of(store)))
    ]


def all_charts(results: Results) -> list[Drawable]:
    """Every figure that the results allow, in the order of the page."""
    return [*charts_of(results), *planes_of(results), *maps_of(results)]


def _figure(chart: Drawable, titled: bool) -> Figure:
    match chart:
        case Chart():
            return drawn(chart, titled)
        case Plane():
            return drawn_plane(chart, titled)
        case Map():
            return drawn_map(chart, titled)


def section(results: Results, id: str) -> dict[str, Any]:
    """One experiment as the template of sections takes it."""
    charts = all_charts(results)
    return dict(
        id=id,
        name=results.name,
        says=results.says,
        settings=capitalised(results.settings),
        verdict=f"{capitalised(outcome_of(results.records, named=len(results.asks) > 1, reason=True))}.",
        brief=f"{outcome_of(results.records)}.",
        mixed=_mixed(results),
        figures=[
            dict(
                id=f"{id}-figure-{i + 1}",
                title=chart.title,
                name=chart.name,
                kind=type(chart).__name__.lower(),
                svg=Markup(svg(_figure(chart, titled=False), f"{id}-figure-{i + 1}")),
                how_to_read=chart.how_to_read,
            )
            for i, chart in enumerate(charts)
        ],
        undrawn=_undrawn(results, charts),
        tables=[_table(results, ask) for ask in results.asks],
        facts=_facts(results),
    )


def _mixed(results: Results) -> list[str]:
    """Says where the like cases of one question come from different code, or all from different versions.

    Code counts what a case is made of: cases of other kinds, say of LSTM and RNN, have other code in one version.
    """
    said = []
    for ask in results.asks:
        codes: dict[frozenset[str], Counter[str]] = {}
        for record in results.records:
            if record.ask == ask:
                codes.setdefault(frozenset(_kinds(record.case)), Counter())[record.code] += 1
        several = max(codes.values(), key=len, default=Counter())
        if len(several) > 1:
            parts = ", ".join(f"{count:,} from {code}" for code, count in several.items())
            said.append(f"The cases of {ask} come from {len(several)} versions of its code: {parts}.")
    versions = Counter(_versions(r) for r in results.records)
    if len(versions) > 1:
        parts = "; ".join(f"{count:,} with {name}" for name, count in versions.items())
        said.append(f"The cases were computed with {len(versions)} sets of versions: {parts}.")
    return said


def _kinds(value: Any) -> Iterator[str]:
    """What a canonical case is made of."""
    if isinstance(value, Mapping):
        yield str(value.get("kind", ""))
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _kinds(part)


def _facts(results: Results) -> list[tuple[str, str]]:
    """Where the numbers come from."""
    if not results.records:
        return []
    days = sorted(r.finished[:16].replace("T", " ") for r in results.records)
    codes = {ask: dict.fromkeys(r.code for r in results.records if r.ask == ask) for ask in results.asks}
    return [
        ("Cases", f"{len(results.records):,}{_planned(results)}"),
        ("Grid", "; ".join(f"{words(name)} {_spanned(results, name)}" for name in results.records[0].coordinates)),
        ("Work", f"{duration(sum(r.seconds for r in results.records))} in all"),
        ("Finished", f"{' to '.join(dict.fromkeys((days[0], days[-1])))} UTC"),
        ("Versions", "; ".join(dict.fromkeys(map(_versions, results.records)))),
        *((f"Code of {ask}", ", ".join(digests)) for ask, digests in codes.items() if digests),
    ]


def _spanned(results: Results, name: str) -> str:
    """Values of a coordinate: all of few, the ends of many numbers."""
    values = {label(r.coordinates[name]): r.coordinates[name] for r in results.records if name in r.coordinates}
    if len(values) <= MOST_VALUES:
        return ", ".join(in_order(values.values()))
    if all(isinstance(value, int | float) for value in values.values()):
        return f"{label(min(values.values()))} to {label(max(values.values()))}, {len(values):,} values"
    return f"{len(values):,} values"


def _planned(results: Results) -> str:
    return ", the last run planned {cases:,} at size {size}".format(**results.planned) if results.planned else ""


def _versions(record: Record) -> str:
    return ", ".join(f"{name} {version}" for name, version in record.versions.items())


def _undrawn(results: Results, charts: Sequence[Drawable]) -> str:
    drawn = {kind for chart in charts for kind in chart.kinds}
    missing = [y_label(kind) for kind in by_quantity(results.records) if kind not in drawn]
    return f"Not drawn, for want of one axis to draw along or of a finite value: {', '.join(missing)}." * bool(missing)


def _table(results: Results, ask: str) -> dict[str, Any]:
    """All cases of a question: those that fail first where there are too many to show."""
    about, records = results.asks[ask], [r for r in results.records if r.ask == ask]
    varying, fixed = split(r.coordinates for r in records)
    kinds = list(by_quantity(records))
    shown = sorted(records, key=_urgency) if len(records) > LONGEST else records
    left_out = Counter(r.outcome for r in shown[LONGEST:])
    telling = [r for r in records if r.outcome in TELLING][:SHORT_TABLE]
    return dict(
        ask=ask,
        says=about.get("says") or ask,
        source=about.get("source") or "a measurement without theory",
        verdict=f"{capitalised(outcome_of(records, reason=True))}.",
        brief=f"{capitalised(outcome_of(records))}.",
        open=len(records) <= SHORT_TABLE,
        fixed=place(records[0].coordinates, fixed) if records else "",
        coordinates=[words(name) for name in varying],
        measured=["measured"] if len(kinds) == 1 else [y_label(kind) for kind in kinds],
        relation=RELATIONS.get(about.get("relation", ""), ""),
        rows=[_row(r, varying, kinds) for r in shown[:LONGEST]],
        telling=[_row(r, varying, kinds) for r in telling] if len(records) > SHORT_TABLE else [],
        count=len(records),
        left_out=", ".join(f"{left_out[o]:,} {plural(o, left_out[o])}" for o in MARKS if left_out[o]),
    )


def _urgency(record: Record) -> int:
    return TELLING.index(record.outcome) if record.outcome in TELLING else len(TELLING)


def _row(record: Record, varying: Sequence[str], kinds: Sequence[Kind]) -> Row:
    found = {kind_of(e): e for e in record.measured}
    return Row(
        record.outcome,
        MARKS.get(record.outcome, "?"),
        record.reason,
        [label(record.coordinates.get(name)) for name in varying],
        [told(found.get(kind)) for kind in kinds],
        told(record.predicted),
        duration(record.seconds),
    )


def told(estimate: Mapping[str, Any] | None) -> str:
    """A value with its standard error, or the range of many."""
    if estimate is None:
        return ""
    value = estimate["value"]
    if not isinstance(value, list):
        return _number(value, as_float(estimate.get("standard_error")))
    values = np.ravel(as_floats(value))
    held = values[np.isfinite(values)]
    spanned = f", {signed(f'{held.min():.3g}')} to {signed(f'{held.max():.3g}')}" if held.size else ""
    return f"{values.size:,} values{spanned}"


def _number(value: Any, error: float = math.nan) -> str:
    """Whole numbers in full up to 20 digits, others with six, or as far as two of their standard error."""
    if isinstance(value, int):
        return signed(f"{value:,}" if abs(value) < FULL else f"{Decimal(value):.3e}")
    number = as_float(value)
    if not math.isfinite(number):
        return "not a number" if math.isnan(number) else "∞" if number > 0 else "−∞"
    if not 0 < error < math.inf:
        return signed(f"{number:.6g}")
    decimals = 1 - math.floor(math.log10(error))
    if decimals > 9 or max(abs(number), error) >= 1e9:
        return f"{signed(f'{number:.6g}')} ± {error:.2g}"
    shown = (f"{round(v, decimals):,.{max(decimals, 0)}f}" for v in (number, error))
    return " ± ".join(map(signed, shown))
