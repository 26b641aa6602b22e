"""Brings docstrings into the form that the reference reads: sections apart, `Cost:` and its like in bold."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(?=(?:Args|Attributes|Returns|Raises|Cost|Does not tell|Source):)", re.MULTILINE)
LABEL = re.compile(r"^(Weights|Cost|Does not tell|Source):", re.MULTILINE)
SHARED = re.compile(r"^( +)(\w+(?:, \w+)+):(.*(?:\n\1 +.*)*)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """The text with a blank line before each section, labels in bold, and an entry for each of several names."""
    return LABEL.sub(r"**\1:**", SECTION.sub("\n", SHARED.sub(_entries, text)))


def _entries(shared: re.Match[str]) -> str:
    indent, names, meaning = shared.groups()
    return "\n".join(f"{indent}{name}:{meaning}" for name in names.split(", "))
