"""Figures as SVG that lives inside a page: text stays text, colours follow the page's theme."""

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from hitherto.report.drawing import COLOURS, SETTINGS

NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
DROPPED = (
    re.compile(r"^.*?(?=<svg )", re.DOTALL),  # declaration and document type
    re.compile(r"<metadata>.*?</metadata>", re.DOTALL),
    re.compile(r"<style type.*?</style>", re.DOTALL),  # would hold for the whole page
    re.compile(r' xmlns(:xlink)?="[^"]*"'),
    re.compile(r"; font-family: [^;\"]*"),
)
IDENTIFIER = re.compile(r' id="([^"]*)"')
REFERENCE = re.compile(r'(?:xlink:href="#|url\(#)([^")]*)')


def svg(figure: Figure, id: str) -> str:
    """A figure as an `<svg>` element without outside references, the same text for the same figure.

    Args:
        figure: drawn in the colours of `hitherto.report.drawing`; each becomes a CSS variable of its name.
        id: starts every identifier inside, so that several figures can share a page.
    """
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": id}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    text = buffer.getvalue()
    for pattern in DROPPED:
        text = pattern.sub("", text)
    return _themed(_with_own_identifiers(text, id)).strip()


def _with_own_identifiers(text: str, prefix: str) -> str:
    """Identifiers that are referred to get a prefix, all others go."""
    used = set(REFERENCE.findall(text))
    text = IDENTIFIER.sub(lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    return text.replace('xlink:href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")


def _themed(text: str) -> str:
    for colour, name in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text
