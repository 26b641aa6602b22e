"""Copying memory: hold a word through a silence, then say it."""

from dataclasses import dataclass
from math import log, log2

import numpy as np
from jaxtyping import Int

from hitherto.core.task import Demand, Sequences, Task
from hitherto.inputs import one_hot
from hitherto.tasks._checks import at_least


@dataclass(frozen=True)
class CopyingMemory(Task):
    """Input: `word` symbols, `delay` blanks, a start marker, word - 1 blanks. Target: word + delay blanks, the word.

    Length 2 word + delay. Inputs are one-hot over the symbols, then blank (index `alphabet`), then the marker (index
    alphabet + 1); targets are classes of the same numbering, asked at every step.

    Attributes:
        word: symbols to remember, drawn independently and uniformly.
        alphabet: different symbols, at least 2.
        delay: blanks between the word and the marker.

    Source: Hochreiter and Schmidhuber (1997); in this form Arjovsky, Shah and Bengio (2016).
    """

    word: int = 10
    alphabet: int = 8
    delay: int = 20
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        at_least(1, "there must be something to copy", word=self.word)
        at_least(2, "one symbol carries no information", alphabet=self.alphabet)
        at_least(0, "0 asks for the word at once", delay=self.delay)

    @property
    def length(self) -> int:
        """Steps of a sequence."""
        return 2 * self.word + self.delay

    @property
    def input_size(self) -> int:
        """Symbols, blank, marker."""
        return self.alphabet + 2

    @property
    def output_size(self) -> int:
        """Classes: as many as inputs; the marker is never the answer."""
        return self.alphabet + 2

    @property
    def demand(self) -> Demand:
        """All symbols at once, each for word + delay steps."""
        return Demand(
            lag=self.word + self.delay,
            bits=self.word * log2(self.alphabet),
            rank=self.word * (self.alphabet - 1) + 1,
            reason="each symbol is asked word + delay steps after it came; the whole word must be held between",
        )

    @property
    def references(self) -> dict[str, float]:
        """`memoryless` knows the time but not the word: word ln(alphabet) / length."""
        return {"memoryless": self.word * log(self.alphabet) / self.length, "perfect": 0.0}

    @property
    def memoryless_accuracy(self) -> float:
        """Share of right answers of the memoryless strategy: (word + delay + word / alphabet) / length."""
        return (self.word + self.delay + self.word / self.alphabet) / self.length

    def sequences(self, words: Int[np.ndarray, "sequence word"]) -> Sequences:
        """The sequences for given words."""
        inputs = np.full((len(words), self.length), self.alphabet)
        targets = inputs.copy()
        inputs[:, : self.word] = targets[:, -self.word :] = words
        inputs[:, -self.word] = self.alphabet + 1
        return Sequences(one_hot(inputs, self.input_size), targets, np.ones(inputs.shape, bool))

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences with random words."""
        return self.sequences(np.random.default_rng(seed).integers(self.alphabet, size=(count, self.word)))
