"""The adding problem: two marked numbers of a long list, added."""

from dataclasses import dataclass

import numpy as np

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least


@dataclass(frozen=True)
class AddingProblem(Task):
    """y = sum of the two marked values, asked at the last step.

    Channel 0 holds values uniform on [0, 1); channel 1 is 1 at one uniform place of the first half (length // 2 steps)
    and at one of the second, else 0.

    Source: Hochreiter and Schmidhuber (1997); one mark a half as in Arjovsky, Shah and Bengio (2016).
    """

    length: int = 100

    def __post_init__(self) -> None:
        at_least(2, "two values must be marked", length=self.length)

    @property
    def input_size(self) -> int:
        """Value and mark."""
        return 2

    @property
    def output_size(self) -> int:
        """The sum."""
        return 1

    @property
    def demand(self) -> Demand:
        """One real number."""
        return Demand(
            lag=self.length - 1,
            rank=2,
            reason="the first step may be marked; the answer is a function of the first half plus one of the second",
        )

    @property
    def references(self) -> dict[str, float]:
        """Expected losses.

        `mean` answers 1; `memoryless` sees the last step, marked once in as many times as the second half has steps;
        `second_value` knows the later of the two values.
        """
        second_half = self.length - self.length // 2
        memoryless = 1 / 6 - 1 / 12 / second_half
        return {"mean": 1 / 6, "memoryless": memoryless, "second_value": 1 / 12, "perfect": 0.0}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` lists with fresh values and marks."""
        rng = np.random.default_rng(seed)
        half = self.length // 2
        values = rng.random((count, self.length))
        marked = np.stack([rng.integers(half, size=count), rng.integers(half, self.length, size=count)], axis=1)
        marks = np.zeros(values.shape)
        np.put_along_axis(marks, marked, 1.0, axis=1)
        targets, asked = np.zeros((count, self.length, 1)), np.zeros(values.shape, bool)
        targets[:, -1, 0], asked[:, -1] = (values * marks).sum(axis=1), True
        return Sequences(np.stack([values, marks], axis=-1), targets, asked)
