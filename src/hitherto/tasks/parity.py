"""The sign of all inputs so far."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least


@dataclass(frozen=True)
class Parity(Task):
    """y[t] = x[1] x[2] ... x[t] for signs x = +1 or -1, a real number asked at every step.

    `StateTracking("C2")` asks the same with one-hot inputs and classes.

    Attributes:
        length: steps.
    """

    length: int = 16

    def __post_init__(self) -> None:
        at_least(1, "there must be something to multiply", length=self.length)

    @property
    def input_size(self) -> int:
        """One sign."""
        return 1

    @property
    def output_size(self) -> int:
        """One sign."""
        return 1

    @property
    def demand(self) -> Demand:
        """One sign, for ever."""
        return Demand(
            lag=self.length - 1,
            bits=1.0 if self.length > 1 else 0.0,
            rank=1,
            reason="every input turns every later answer; the sign of the first half multiplies all answers after it",
        )

    @property
    def references(self) -> dict[str, float]:
        """Expected losses: all but `perfect` know the first answer at most, which is the first input."""
        guessed = 1 - 1 / self.length
        return {"mean": 1.0, "memoryless": guessed, "linear": guessed, "perfect": 0.0}

    def sequences(self, signs: Float[np.ndarray, "sequence time"]) -> Sequences:
        """The sequences for given signs.

        Raises:
            ValueError: if an input is neither +1 nor -1.
        """
        if not (np.abs(signs) == 1).all():
            found = signs[np.abs(signs) != 1].flat[0]
            raise ValueError(f"parity is asked of +1 and -1, found {found}; map other symbols to signs first")
        return Sequences(signs[..., None], signs.cumprod(1)[..., None], np.ones(signs.shape, bool))

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences of uniform signs."""
        return self.sequences(1.0 - 2 * np.random.default_rng(seed).integers(2, size=(count, self.length)))
