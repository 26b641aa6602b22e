"""What one theory says, as the page shows it, and how its numbers are written."""

import math
from dataclasses import dataclass

from hitherto.explorer.drawing import Figure
from hitherto.report.reading import SUPERSCRIPTS, digits


@dataclass(frozen=True)
class Fact:
    """A number with what it rests on.

    Attributes:
        id: within its panel.
        value: as written.
        source: theorem, equation or derivation, as the function says that gave it.
        note: under what condition it holds; "" where it always does.
    """

    id: str
    name: str
    value: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """A theory's answer.

    Attributes:
        stem: of the theory's files.
        title, paper: its name, and what it is taken from.
        facts: the first is the one to remember.
        decision: what that means for a decision, in a sentence.
        figure: None where there is nothing to draw.
        command: how to ask the same on the command line.
    """

    stem: str
    title: str
    paper: str
    facts: tuple[Fact, ...]
    decision: str
    figure: Figure
    command: str


OURS = "our derivation"


def short(number: float | int) -> str:
    """Three digits: "0.951", "1,230", "2.1×10⁹"; ∞ where there is no end."""
    if number == 0 or math.isinf(number):
        return "∞" if number else "0"
    return f"{number:,}" if isinstance(number, int) and number < 10**7 else digits(float(number), 3)


def percent(share: float) -> str:
    """A share: "73.5%"; what nobody would miss is told as such."""
    return f"{100 * share:.3g}%" if share >= 1e-4 else "below 0.01%"


def power_of_ten(log10: float) -> str:
    """A number by its decimal logarithm, whole where it is short: "144", "1.10×10¹²"."""
    if log10 < 6:
        return f"{round(10**log10):,}"
    exponent = math.floor(log10)
    return f"{10 ** (log10 - exponent):.2f}×10{str(exponent).translate(SUPERSCRIPTS)}"


def as_of(model: str, told: str) -> str:
    """A sentence about another network than the one that is set, said to be one."""
    return f"As far as {model} stands for this network: {told[0].lower()}{told[1:]}"
