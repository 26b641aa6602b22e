"""The page, and what is redrawn of it: all predictions for one state of the controls."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hitherto.explorer import depth, linear_bias, mean_field, start_end, unitary
from hitherto.explorer.controls import CONTROLS, Range, Settings, read
from hitherto.explorer.drawing import svg
from hitherto.explorer.panel import Panel

THEORIES: Mapping[str, Callable[[Settings], Panel]] = {
    "depth": depth.panel,
    "start_end": start_end.panel,
    "unitary": unitary.panel,
    "linear_bias": linear_bias.panel,
    "mean_field": mean_field.panel,
}
ENVIRONMENT = Environment(
    loader=PackageLoader("hitherto.explorer", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Refused:
    """A theory that does not speak of these settings, and why."""

    stem: str
    reason: str


def page(query: Mapping[str, str]) -> str:
    """The whole page, as the controls of a query leave it."""
    settings, complaints = read(query)
    controls = [(control, isinstance(control, Range)) for control in CONTROLS]
    values = asdict(settings)
    return _render("page", controls=controls, values=values, answers=Markup(answers(settings, complaints)))


def redrawn(query: Mapping[str, str]) -> str:
    """The part of the page that a control changes."""
    return answers(*read(query))


@lru_cache(maxsize=256)
def answers(settings: Settings, complaints: tuple[str, ...]) -> str:
    """Complaints, the first number of every theory, and all panels.

    Cost: 7 ms, 30 at the largest sizes; nothing for a state that was shown before.
    """
    panels = [_answer(stem, settings) for stem in THEORIES]
    return _render("answers", panels=panels, complaints=complaints)


def _answer(stem: str, settings: Settings) -> dict[str, Any]:
    """A panel with its drawing, or the reason why the theory gives none."""
    try:
        panel = THEORIES[stem](settings)
    except ValueError as error:
        return dict(refused=Refused(stem, str(error)))
    return dict(refused=None, panel=panel, svg=svg(panel.figure))


def _render(name: str, **parts: Any) -> str:
    return ENVIRONMENT.get_template(f"{name}.html.jinja").render(**parts)
