"""What an adviser is asked, and the one form in which it gives numbers."""

import math
from dataclasses import dataclass

from hitherto.core.names import known

FAMILIES = ("rnn", "lstm", "gru", "lru", "2rnn")
COSTS = ("dense", "effective")
NEVER = ("learning steps", "cost of the lag")  # numbers that are infinite where nothing is learned


@dataclass(frozen=True)
class Request:
    """The memory that is wanted.

    Attributes:
        lag: steps between the oldest input that an answer needs and the answer.
        channels: numbers a step that must be kept.
        rank: states that the answers need; None for all that comes within the lag, channels (lag + 1).
        parameters: budget; None for what one dense layer with a quarter more units than it needs takes.
        families: recurrences to try.
        cost: `dense` counts all weights, `effective` those of linear RNNs without changes of basis that alter nothing.
        steps: updates of a training.
        nonlinear: whether answers are more than sums of functions of single inputs.

    Raises:
        ValueError: for numbers that are not whole or too small, unknown names, or no family.
    """

    lag: int
    channels: int = 1
    rank: int | None = None
    parameters: int | None = None
    families: tuple[str, ...] = FAMILIES
    cost: str = "dense"
    steps: int = 2000
    nonlinear: bool = False

    def __post_init__(self) -> None:
        for name in ("lag", "channels", "rank", "parameters", "steps"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"advice was asked for with {name}={value!r}; give a whole number from 1 on")
        if not self.families:
            raise ValueError(f"advice was asked for about no family; give some of {', '.join(FAMILIES)}")
        for family in self.families:
            known(family, FAMILIES, "family")
        known(self.cost, COSTS, "cost")

    @property
    def states(self) -> int:
        """States that a model must have: those of a delay line, or the rank."""
        return self.channels * (self.lag + 1) if self.rank is None else self.rank

    @property
    def width(self) -> int:
        """Units of one linear layer with a quarter to spare."""
        return -(-5 * max(self.states, self.channels) // 4)

    @property
    def budget(self) -> int:
        """Parameters that may be used."""
        return self.width**2 + 2 * self.width * self.channels if self.parameters is None else self.parameters

    @property
    def length(self) -> int:
        """Steps of a sequence of the matching task: half of them are asked, and exact thresholds show."""
        return 2 * self.lag + 2


@dataclass(frozen=True)
class Number:
    """One number of the advice.

    Attributes:
        name: in words.
        value: None where nothing is known.
        unit: "" for pure numbers.
        source: the theory it follows from, or the measurement.
        condition: under which it holds; or why there is none.
    """

    name: str
    value: float | int | None
    unit: str
    source: str
    condition: str = ""

    def __str__(self) -> str:
        """The value as printed: "–" where it is not known, and words for what is without end."""
        value = self.value
        if value is None:
            return "–"
        if value == math.inf:
            return "never" if self.name in NEVER else "∞"
        if abs(value) >= 1e6 and not isinstance(value, int):
            return f"{value:.1e}"
        return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
