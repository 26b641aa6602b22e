"""One self-contained page about the memory of a recurrent model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.drawing import Scene
from hitherto.report.figure import Panel, figure, panels
from hitherto.report.reading import duration, parts
from hitherto.report.svg import svg
from hitherto.report.table import Row, rows
from hitherto.report.verdict import capitalised

LABELS = (
    ("file", "File"),
    ("sha256", "SHA-256"),
    ("initial", "Before training"),
    ("layer", "Layer"),
    ("architecture", "Architecture"),
    ("parameters", "Parameters"),
    ("weights_precision", "Weights in"),
    ("state_size", "State size"),
    ("input_law", "Inputs"),
    ("sequences", "Sequences"),
    ("steps", "Steps each"),
    ("burn_in", "Burn-in steps"),
    ("step_seconds", "Seconds a step"),
    ("precision", "Precision"),
    ("seed", "Seed"),
    ("versions", "Versions"),
    ("date", "Date"),
    ("seconds", "Run time"),
    ("command", "Command"),
)
LIMITS: tuple[tuple[Quantity, str], ...] = (
    (
        q.STATE_JACOBIAN_TYPICAL,
        "Gradients are about infinitely small changes: a saturated unit may keep a bit and show none, and "
        "a large gradient at some lag need not be readable from the state.",
    ),
    (
        q.LYAPUNOV_SPECTRUM,
        "Negative Lyapunov exponents are about nearby states: several far states may still coexist. They "
        "say nothing about what is stored or readable.",
    ),
    (
        q.LINEAR_MEMORY_CAPACITY,
        "Capacities say what a linear readout could read, not what the trained readout uses; a direction "
        "of tiny amplitude counts in full, unless noise is added.",
    ),
    (
        q.PROCESSING_CAPACITY,
        "Capacity that was not found may be of a higher degree, older than the lags tested, or not driven "
        "by the input; these three cannot be told apart.",
    ),
    (
        q.CONTEXT_REPLACED,
        "The effective context says how old an input may be to matter, not which inputs matter; 1% is of "
        "the output's own deviation, however small that is.",
    ),
    (
        q.PARTICIPATION_RATIO,
        "The dimension counts variance: a few loud units can hide many quiet ones.",
    ),
    (
        q.GATE_TIMES,
        "Gate times are of the direct path alone; recurrent weights lengthen or shorten it.",
    ),
    (
        q.MEMORY_PRIOR,
        "The memory prior says which lags plain gradient descent would move first, not which are remembered. Networks "
        "that start as frameworks start them are not lazy: their prior changes as they learn.",
    ),
    (
        q.TEMPORAL_COHERENCE,
        "Whether recurrent weights are lazy or coherent is told from weights and states, without labels: what the "
        "labels asked for, and whether more of them would change it, it does not say. Weights that did not start "
        "random may look learned.",
    ),
    (
        q.SPECTRAL_RADIUS,
        "Facts about the weights know nothing of inputs, depth or readout.",
    ),
)
RANGE = re.compile(r"(\([^()]{1,40} to [^()]{1,40}\)|\([\d.,]+ (?:µs|ms|s|min|h|d)\))")
ALWAYS = "Other inputs, or the same at another scale, may give other numbers: the inputs are part of each result."


@dataclass(frozen=True)
class Shown:
    """A figure as the page shows it."""

    id: str
    title: Markup
    name: str
    svg: Markup
    how_to_read: str


def page(estimates: Sequence[Estimate], provenance: Mapping[str, Any], sentences: Sequence[str]) -> str:
    """The report as one HTML text without outside references, the same for the same arguments.

    Args:
        estimates: all that was measured.
        provenance: settings under the keys of `LABELS`, with `assumptions` and `findings` as lists of
            sentences; all may be missing. Its texts are not trusted.
        sentences: of `verdict`; the first is the headline.
    """
    scene = Scene(estimates, provenance)
    assumed = dict.fromkeys((*provenance.get("assumptions", ()), *(a for e in estimates for a in e.assumptions)))
    return template("page").render(
        name=provenance.get("file") or provenance.get("layer") or "Recurrent model",
        subtitle=provenance.get("architecture", ""),
        headline=[ranged(f"{capitalised(clause)}.") for clause in sentences[0].rstrip(".").split("; ")]
        if sentences
        else [],
        sentences=[(ranged(s), "annot tell" in s) for s in sentences[1:]],
        findings=tuple(map(capitalised, provenance.get("findings", ()))),
        figures=[_shown(panel, scene) for panel in panels(estimates)],
        tables=[(part, _grouped(rows([e for e in estimates if e.part == part]))) for part in parts(estimates)],
        facts=[(label, fact(key, provenance[key])) for key, label in LABELS if provenance.get(key) is not None],
        assumptions=tuple(map(capitalised, assumed)),
        limits=_limits(estimates),
    )


def template(name: str) -> Any:
    """A page's template; all that is put into one is escaped."""
    loader = PackageLoader("hitherto.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(f"{name}.html.jinja")


def _shown(panel: Panel, scene: Scene) -> Shown:
    drawn = svg(figure(panel, scene, titled=False), panel.id)
    return Shown(panel.id, ranged(panel.title(scene)), panel.name, Markup(drawn), panel.how_to_read)


def ranged(text: str) -> Markup:
    """Escaped, with intervals set back: the number first, its doubt beside it."""
    return Markup(RANGE.sub(r'<span class="range">\1</span>', str(escape(text))))


def _grouped(every: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Rows of one quantity together, with the first to stand for them."""
    groups = (list(group) for _, group in groupby(every, key=lambda row: row.name))
    return [(group[0], group) for group in groups]


def _limits(estimates: Sequence[Estimate]) -> list[str]:
    present = {e.quantity.name for e in estimates}
    return [ALWAYS, *(text for quantity, text in LIMITS if quantity.name in present)]


def fact(key: str, value: Any) -> str:
    """A setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    if key == "seconds":
        return duration(value)
    return f"{value:,}" if isinstance(value, int) and key != "seed" else str(value)
