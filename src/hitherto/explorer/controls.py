"""What can be set on the page, and how a query is read: what does not fit is replaced, and said."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hitherto.core.names import known


@dataclass(frozen=True)
class Settings:
    """A network that has not been built, and how far back it is to look; defaults are those of the page.

    Attributes:
        depth, width: layers, and units of each.
        recurrence: of `RECURRENCES`.
        initialisation: of `INITIALISATIONS`.
        kept: nu, the share of the squared state that fresh recurrent weights keep a step, at the most or on average.
        lag: steps between the input that matters and the answer.
        alphabet: symbols, or channels, of an input.
    """

    depth: int = 2
    width: int = 32
    recurrence: str = "linear"
    initialisation: str = "orthogonal"
    kept: float = 0.95
    lag: int = 12
    alphabet: int = 4


@dataclass(frozen=True)
class Range:
    """A number between two ends, whole where `step` is 1."""

    name: str
    label: str
    hint: str
    low: float | int
    high: float | int
    step: float | int = 1

    def read(self, text: str) -> float | int:
        """The number that is written.

        Raises:
            ValueError: for no number, or one beyond the ends, with the range.
        """
        try:
            number = int(text) if self.step == 1 else float(text)
        except ValueError:
            kind = "whole number" if self.step == 1 else "number"
            raise ValueError(f"{text[:40]!r} is no {kind}; give one from {self.low} to {self.high}") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{text[:40]} is beyond what is shown here; give a number from {self.low} to {self.high}")
        return number

    def nearest(self, text: str, default: float | int) -> float | int:
        """The end that a number is beyond, or the default for what is none."""
        try:
            number = float(text)
        except ValueError:
            return default
        if math.isnan(number) or self.low <= number <= self.high:
            return default
        return self.low if number < self.low else self.high


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    name: str
    label: str
    hint: str
    options: Mapping[str, str]

    def read(self, text: str) -> str:
        """The name that is written.

        Raises:
            ValueError: for any other, with those that there are.
        """
        return known(text[:40], self.options, self.name)

    def nearest(self, text: str, default: str) -> str:
        """The default: of names none is near enough to be guessed."""
        return default


RECURRENCES = {
    "linear": "linear",
    "relu": "ReLU",
    "tanh": "tanh",
    "2rnn": "second-order",
    "circuit": "arithmetic circuit",
    "lstm": "LSTM",
    "gru": "GRU",
}
INITIALISATIONS = {
    "orthogonal": "orthogonal",
    "gaussian": "Gaussian",
    "identity": "scaled identity",
    "modes": "modes of LRU",
    "real-modes": "real modes",
}
CONTROLS: tuple[Range | Choice, ...] = (
    Range("depth", "Depth", "layers", 1, 8),
    Range("width", "Width", "units a layer", 1, 512),
    Choice("recurrence", "Recurrence", "", RECURRENCES),
    Choice("initialisation", "Initialisation", "", INITIALISATIONS),
    Range("kept", "Kept (ν)", "of the square, a step", 0.1, 1.2, 0.001),
    Range("lag", "Lag", "steps back", 1, 100),
    Range("alphabet", "Alphabet", "symbols, or channels", 1, 32),
)


def read(query: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Settings of a query, and a sentence for everything in it that was not taken as it is written."""
    values: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
    complaints = []
    for control in CONTROLS:
        if control.name not in query:
            continue
        text = query[control.name].strip()
        try:
            values[control.name] = control.read(text)
        except ValueError as error:
            values[control.name] = control.nearest(text, values[control.name])
            complaints.append(f"{control.label}: {error}. Shown is {values[control.name]}.")
    return Settings(**values), tuple(complaints)
