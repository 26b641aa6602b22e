"""Tasks: sequences with a known memory demand. Plain arrays in and out, no trainer."""

import abc
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num


class Sequences(NamedTuple):
    """A batch of a task.

    `targets` are real channels (sequence, time, output) for loss `squared`, classes (sequence, time) as integers for
    loss `cross_entropy`; `mask` says which steps are asked for, or with loss `squared` how much each of them counts.
    """

    inputs: Float[np.ndarray, "sequence time input"]
    targets: Num[np.ndarray, "sequence time *output"]
    mask: Bool[np.ndarray, "sequence time"] | Float[np.ndarray, "sequence time"]

    def take(self, index: slice | np.ndarray) -> "Sequences":
        """The sequences that a slice or an array of indices picks."""
        return Sequences(self.inputs[index], self.targets[index], self.mask[index])


@dataclass(frozen=True)
class Demand:
    """What a task asks of a memory.

    Attributes:
        lag: steps between the oldest input that the answer needs and the answer.
        bits: information that must be held at the worst moment; None where it is not a matter of bits.
        rank: exact start-end separation rank of the target across the middle, or None where not known.
        reason: how they follow from the definition of the task.
    """

    lag: int
    bits: float | None = None
    rank: int | None = None
    reason: str = ""


class Task(abc.ABC):
    """Sequences by the batch, with what they demand and the answers that simple strategies reach.

    Subclasses are frozen dataclasses, so tasks compare, hash and can be part of a `Case`.

    Attributes:
        loss: `squared` (mean over asked steps and channels of (y - target)^2) or `cross_entropy` (mean over asked
            steps, nats, of logits y against classes).
    """

    loss: Literal["squared", "cross_entropy"] = "squared"

    @property
    @abc.abstractmethod
    def input_size(self) -> int:
        """Channels of the inputs."""

    @property
    @abc.abstractmethod
    def output_size(self) -> int:
        """Channels of the targets, or classes."""

    @property
    @abc.abstractmethod
    def demand(self) -> Demand:
        """What must be remembered."""

    @property
    @abc.abstractmethod
    def references(self) -> dict[str, float]:
        """Loss that named strategies reach, for example `{"memoryless": 0.366, "perfect": 0.0}`; expected values."""

    @abc.abstractmethod
    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences, the same for the same seed; disjoint seeds are independent."""
