"""Models beside each other: rows, and one self-contained page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from markupsafe import Markup

from hitherto.core import quantity as q
from hitherto.core.difference import OF_PEAK, Difference
from hitherto.core.quantity import Quantity
from hitherto.report.comparison_figures import Drawing, at_a_glance, overlays, series
from hitherto.report.comparison_verdict import (
    SUBJECTS,
    Models,
    about,
    ends,
    key,
    status,
    title,
    value_of,
    written,
)
from hitherto.report.page import LABELS, LIMITS, fact, ranged, template
from hitherto.report.reading import listed, parts
from hitherto.report.svg import svg
from hitherto.report.table import in_words
from hitherto.report.verdict import capitalised

SHARED_LIMITS = (
    "Other inputs, or the same at another scale, may show other differences: the inputs are part of each result.",
    "A difference in memory says nothing of which model is better at its task.",
    "Errors are of differences sequence by sequence where both models keep them; where they do not (root mean square "
    "gradients, cuts, saved profiles), both errors are added as if the runs were independent, and small differences "
    "can be missed.",
    "Gradients are compared as shares of their peak, since their units are those of each model's own state.",
)


PANEL_SUBJECTS = {
    "state-gradient": q.GRADIENT_HALF_LIFE,
    "context": q.EFFECTIVE_CONTEXT,
    "exponents": q.LYAPUNOV_SPECTRUM,
    "linear-memory": q.LINEAR_MEMORY_CAPACITY_NOISY,
    "degrees": q.LINEAR_SHARE,
    "spectrum": q.PARTICIPATION_RATIO,
    "gates": q.GATE_TIME_QUANTILES,
}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        values: one for each model, as printed, with whether it differs for certain from the first.
        difference, interval: of the last model to the first.
        status: real, alone, open, exact, equal or cannot tell.
        remark: why it is not decided.
    """

    name: str
    part: str
    place: str
    values: tuple[tuple[str, bool], ...]
    difference: str
    interval: str
    status: str
    remark: str
    unit: str
    meaning: str


STATUSES = (
    ("real", "holds among all tests together"),
    ("alone", "its own 95% interval leaves out no difference, which one in 20 does by chance; the correction does not"),
    ("open", "its interval holds no difference"),
    ("exact", "no chance is in either number"),
    ("equal", "the same number exactly"),
    ("cannot tell", "not tested"),
)


def comparison_rows(models: Models, differences: Sequence[Difference]) -> tuple[Row, ...]:
    """All numbers of the last model beside the first's, with those of the models between."""
    _, last = ends(models)
    real = {(key(d), d.second) for d in differences if d.real}
    mine = [d for d in differences if d.second == last]
    order = parts([e for estimates in models.values() for e in estimates])
    return tuple(_row(d, models, real) for part in order for d in mine if d.part == part)


def comparison_page(
    models: Models,
    differences: Sequence[Difference],
    provenances: Sequence[Mapping[str, Any]],
    sentences: Sequence[str],
    findings: Sequence[str] = (),
) -> str:
    """The comparison as one HTML text without outside references, the same for the same arguments.

    Args:
        models, differences: as for `comparison_verdict`.
        provenances: of each profile, as for `page`; their texts are not trusted.
        sentences: of `comparison_verdict`; the first is the headline.
        findings: what was noticed on the way.
    """
    rows = comparison_rows(models, differences)
    assumed = dict.fromkeys(a for estimates in models.values() for e in estimates for a in e.assumptions)
    return template("comparison").render(
        names=list(models),
        title=listed(list(models)),
        subtitle=_subtitle(models, provenances),
        headline=[ranged(f"{capitalised(clause)}.") for clause in sentences[0].rstrip(".").split("; ")],
        sentences=[(ranged(s), "annot tell" in s) for s in sentences[1:]],
        findings=tuple(map(capitalised, findings)),
        figures=[_shown(drawing) for drawing in _drawings(models, differences, provenances[0])],
        tables=[(part, _grouped(group)) for part, group in groupby(rows, key=lambda row: row.part)],
        statuses=[(name, what) for name, what in STATUSES if any(row.status == name for row in rows)],
        facts=[
            (label, _facts(key, provenances))
            for key, label in LABELS
            if any(p.get(key) is not None for p in provenances)
        ],
        assumptions=tuple(map(capitalised, assumed)),
        limits=[*SHARED_LIMITS, *(text for quantity, text in LIMITS if quantity in {d.quantity for d in differences})],
    )


def _row(found: Difference, models: Models, real: set[tuple[tuple[Quantity, str, float | None], str]]) -> Row:
    value, interval = written(found)
    return Row(
        name=in_words(found.quantity.name),
        part=found.part,
        place=found.place,
        values=tuple(
            (value_of(models, name, found, lambda r: r.centre).replace("more than", ">"), (key(found), name) in real)
            for name in models
        ),
        difference=value,
        interval=interval,
        status=status(found),
        remark=found.cannot_tell,
        unit="of its peak" if found.quantity in OF_PEAK else found.quantity.unit,
        meaning=found.quantity.meaning,
    )


def _grouped(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows of one quantity together; a remark is made once where it is the same for several."""
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row.name))
    return [
        [replace(row, remark="") if i and row.remark == group[i - 1].remark else row for i, row in enumerate(group)]
        for group in groups
    ]


def _drawings(models: Models, differences: Sequence[Difference], provenance: Mapping[str, Any]) -> list[Drawing]:
    """The differences at a glance, the series where there is one, then curves of all models."""
    _, last = ends(models)
    titles = {s.quantity: title(s, differences, last) for s in SUBJECTS}
    main = [
        (capitalised(s.name.removeprefix("the ")), d)
        for s in SUBJECTS
        for d in differences
        if about(s, d) and d.second == last
    ]
    along = [(s.quantity, s.coordinate, s.name, titles[s.quantity]) for s in SUBJECTS] if len(models) > 2 else []
    panels = {id: titles[quantity] for id, quantity in PANEL_SUBJECTS.items()}
    return [*at_a_glance(main), *series(along, models), *overlays(models, provenance, panels)]


def _shown(drawing: Drawing) -> dict[str, Any]:
    return dict(
        id=drawing.id,
        title=drawing.title or drawing.name,
        name=drawing.name,
        svg=Markup(svg(drawing.figure, drawing.id)),
        how_to_read=drawing.how_to_read,
    )


def _subtitle(models: Models, provenances: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each model's architecture, once if they share it."""
    kinds = [str(p.get("architecture", "")) for p in provenances]
    if len(set(kinds)) == 1:
        return [kinds[0]] if kinds[0] else []
    return [f"{name}: {kind}" for name, kind in zip(models, kinds, strict=True)]


def _facts(key: str, provenances: Sequence[Mapping[str, Any]]) -> list[str]:
    """A setting of every model, once if they share it."""
    given = [fact(key, p[key]) if p.get(key) is not None else "unknown" for p in provenances]
    return given[:1] if len(set(given)) == 1 else given
