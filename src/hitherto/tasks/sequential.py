"""Targets on chosen time steps after a pulse: what a network fills in where it was not taught."""

from dataclasses import dataclass, field, replace
from math import log2, pi

import numpy as np
from jaxtyping import Float

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least

Targets = tuple[tuple[float, ...], ...]


def sinusoids(length: int = 8, patterns: int = 1, amplitude: float = 3.0, period: float = 8.0) -> Targets:
    """amplitude sin(2 pi (t + 1/2) / period) for t = 0, ..., length - 1; the second pattern is the cosine.

    Raises:
        ValueError: if there are not one or two patterns, or `period` is not positive.
    """
    at_least(1, "there must be something to say", length=length, patterns=patterns)
    if patterns > 2 or period <= 0:
        raise ValueError(
            f"a sine and a cosine of positive period make two patterns, found {patterns} of period {period}; give "
            "other targets as tuples, one a pattern"
        )
    angles = 2 * pi * (np.arange(length) + 0.5) / period
    waves = amplitude * np.stack([np.sin(angles), np.cos(angles)])[:patterns]
    return tuple(map(tuple, waves.tolist()))


@dataclass(frozen=True)
class SequentialTargets(Task):
    """y[t] = targets[pattern, t], asked at the steps `asked`; x[0] = sqrt(P) e_pattern for P patterns, then nothing.

    Inputs are pulses with x . x / P = 1, orthogonal between patterns. Nothing is random: `sample` gives pattern 0, 1,
    ... in turn, whatever the seed. `held_out` is the same task at all other steps.

    Attributes:
        targets: a tuple of numbers for each pattern, all of one length; `sinusoids` makes some.
        asked: the supervised steps, 0 the first. If they are all of one parity, a network can fit them and its mirror
            image (W -> -W) alike, which leaves the steps of the other parity open in sign.
    """

    targets: Targets = field(default_factory=sinusoids)
    asked: tuple[int, ...] = (0, 1, 2, 4, 5, 7)

    def __post_init__(self) -> None:
        at_least(1, "there must be something to say", patterns=len(self.targets))
        if len(set(map(len, self.targets))) != 1 or not self.targets[0]:
            raise ValueError(
                f"patterns must have the same number of steps, found {[len(p) for p in self.targets]}; give each a "
                "target at every step and choose the steps by `asked`"
            )
        outside = [t for t in self.asked if not 0 <= t < self.length]
        if outside or not self.asked or len(set(self.asked)) < len(self.asked):
            raise ValueError(
                f"asked steps must be different numbers from 0 to {self.length - 1}, at least one, found {self.asked}; "
                f"{'steps ' + str(outside) + ' are outside the sequence' if outside else 'name each step once'}"
            )

    @property
    def length(self) -> int:
        """Steps of a sequence."""
        return len(self.targets[0])

    @property
    def input_size(self) -> int:
        """One channel a pattern."""
        return len(self.targets)

    @property
    def output_size(self) -> int:
        """One real channel."""
        return 1

    @property
    def held_out(self) -> "SequentialTargets":
        """The same targets, asked at the steps that this task does not ask.

        Raises:
            ValueError: if it asks them all.
        """
        return replace(self, asked=tuple(t for t in range(self.length) if t not in self.asked))

    @property
    def demand(self) -> Demand:
        """Which pattern it was, and how long ago."""
        late = [t for t in self.asked if t >= self.length // 2]
        return Demand(
            lag=max(self.asked),
            bits=log2(len(self.targets)),
            rank=int(np.linalg.matrix_rank(np.array(self.targets)[:, late])) if late else 0,
            reason="the pulse alone tells the patterns apart; the rank is that of the asked targets of the second half",
        )

    @property
    def references(self) -> dict[str, float]:
        """`zero` answers 0, as a network of untied weights does at steps it was not taught."""
        return {"zero": float((np.array(self.targets)[:, self.asked] ** 2).mean()), "perfect": 0.0}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences, patterns in turn; the seed changes nothing."""
        patterns = np.arange(count) % len(self.targets)
        inputs = np.zeros((count, self.length, self.input_size))
        inputs[np.arange(count), 0, patterns] = np.sqrt(self.input_size)
        targets: Float[np.ndarray, "sequence time"] = np.array(self.targets, float)[patterns]
        return Sequences(inputs, targets[..., None], np.tile(np.isin(np.arange(self.length), self.asked), (count, 1)))
