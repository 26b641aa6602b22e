"""The expected loss of copying over all white inputs, without any noise: a linear network asked by impulses."""

from dataclasses import dataclass

import numpy as np

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks.delay import DelayedCopy


@dataclass(frozen=True)
class PopulationCopy(Task):
    """The loss of `DelayedCopy` in the mean over all inputs, for linear networks without biases that start from zero.

    Inputs are an impulse in each channel in turn, targets the same impulse `delay` steps later, and the error of step
    j counts (length - max(j, delay)) / (length - delay): as often as that lag occurs. All are scaled so that the loss
    of silence is 1. It can be followed to 1e-30, since nothing is sampled; for other networks the number means nothing.

    Attributes:
        delay, channels, length: as of `DelayedCopy`. Sequences of at least 2 delay + 1 steps show the exact threshold.

    Source: our derivation; the same number as `theory.depth.population_copy_loss`.
    """

    delay: int = 8
    channels: int = 1
    length: int = 32

    def __post_init__(self) -> None:
        DelayedCopy(self.delay, self.channels, self.length)  # refuses what it refuses

    @property
    def input_size(self) -> int:
        """Channels."""
        return self.channels

    @property
    def output_size(self) -> int:
        """Channels."""
        return self.channels

    @property
    def demand(self) -> Demand:
        """That of `DelayedCopy`."""
        return DelayedCopy(self.delay, self.channels, self.length).demand

    @property
    def references(self) -> dict[str, float]:
        """Those of `DelayedCopy`."""
        return DelayedCopy(self.delay, self.channels, self.length).references

    def sample(self, count: int, seed: int) -> Sequences:
        """Impulses in the channels 0, 1, .. in turn; the seed changes nothing.

        Raises:
            ValueError: if some channels would be asked more often than others.
        """
        if count % self.channels:
            raise ValueError(
                f"{count} impulses were asked of {self.channels} channels, which must all count alike; give a multiple "
                f"of {self.channels} for batch, sequences and validation"
            )
        lags = np.arange(self.length)
        counts = (self.length - np.maximum(lags, self.delay)) / (self.length - self.delay)
        impulses = np.tile(np.eye(self.channels), (count // self.channels, 1)) * np.sqrt(self.channels * counts.sum())
        inputs, targets = np.zeros((2, count, self.length, self.channels))
        inputs[:, 0], targets[:, self.delay] = impulses, impulses
        return Sequences(inputs, targets, np.tile(counts, (count, 1)))
