"""Start-end similarity: how much of the word in the first half comes again in the second."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import comb, log, log2

import numpy as np
from jaxtyping import Int

from hitherto.core.task import Demand, Sequences, Task
from hitherto.inputs import one_hot
from hitherto.tasks._checks import at_least


@dataclass(frozen=True)
class StartEndSimilarity(Task):
    """Label = round((classes - 1) matches / word), asked at the last step; halves are rounded to even.

    A random word a stands in the first half, a word b in the second at the same random offset, blanks elsewhere
    (index `alphabet`; there is none where the words fill the halves). b equals a at k random places, k =
    round(c word / (classes - 1)) with c uniform in 0, ..., classes - 1, and differs at all others. Offsets are uniform
    in 0, ..., length / 2 - word - 1, as in the published experiments.

    Attributes:
        length: steps, even.
        word: symbols of each word, at most length / 2.
        alphabet: different symbols, at least 2.
        classes: grades of similarity, from 2 to word + 1.

    Source: Levine, Sharir, Ziv and Shashua (2017).
    """

    length: int = 80
    word: int = 30
    alphabet: int = 32
    classes: int = 3
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        at_least(2, "one symbol carries no information", alphabet=self.alphabet)
        at_least(2, "one class needs no memory", classes=self.classes)
        at_least(self.classes - 1, "shorter words leave a class empty", word=self.word)
        if self.length % 2:
            raise ValueError(f"a start and an end need an even length, found {self.length}; take {self.length + 1}")
        if 2 * self.word > self.length:
            raise ValueError(
                f"words of {self.word} must fit into each half, found length {self.length}; give a length of at least "
                f"{2 * self.word}"
            )

    @property
    def padded(self) -> bool:
        """Whether blanks surround the words."""
        return 2 * self.word < self.length

    @property
    def input_size(self) -> int:
        """Symbols, and the blank where there is one."""
        return self.alphabet + self.padded

    @property
    def output_size(self) -> int:
        """Classes."""
        return self.classes

    @property
    def labels(self) -> tuple[int, ...]:
        """Label for 0, 1, ..., word matches."""
        return tuple(round(Fraction((self.classes - 1) * k, self.word)) for k in range(self.word + 1))

    @property
    def overlaps(self) -> tuple[int, ...]:
        """Numbers of matches, each as likely as the others."""
        return tuple(round(Fraction(c * self.word, self.classes - 1)) for c in range(self.classes))

    @property
    def demand(self) -> Demand:
        """The whole first word, until the second is there."""
        return Demand(
            lag=self.length - 1,
            bits=self.word * log2(self.alphabet),
            rank=None if self.padded else self._rank(),
            reason="every first word answers some second word differently from any other; the rank counts the "
            "eigenspaces of the Hamming scheme on which a label is not zero, for words that fill the halves",
        )

    def _rank(self) -> int:
        places, others = self.word, self.alphabet - 1
        # Label indicators depend on the Hamming distance alone, so all share the eigenspaces of its scheme.
        return sum(comb(places, j) * others**j for j in range(places + 1) if any(self._eigenvalues(j)))

    def _eigenvalues(self, space: int) -> list[int]:
        values = [0] * self.classes
        for matches, label in enumerate(self.labels):
            values[label] += krawtchouk(self.word, self.alphabet, self.word - matches, space)
        return values

    @property
    def references(self) -> dict[str, float]:
        """`chance` knows how often each label comes: the entropy of the labels."""
        shares = [n / self.classes for n in Counter(self.labels[k] for k in self.overlaps).values()]
        return {"chance": -sum(p * log(p) for p in shares), "perfect": 0.0}

    def sequences(
        self,
        first: Int[np.ndarray, "sequence word"],
        second: Int[np.ndarray, "sequence word"],
        offset: Int[np.ndarray, " sequence"],
    ) -> Sequences:
        """The sequences for given words and offsets, labels counted from the words."""
        tokens = np.full((len(first), self.length), self.alphabet)
        places = offset[:, None] + np.arange(self.word)
        np.put_along_axis(tokens, places, first, axis=1)
        np.put_along_axis(tokens, places + self.length // 2, second, axis=1)
        targets = np.zeros(tokens.shape, int)
        targets[:, -1] = np.array(self.labels)[(first == second).sum(axis=1)]
        asked = np.zeros(tokens.shape, bool)
        asked[:, -1] = True
        return Sequences(one_hot(tokens, self.input_size), targets, asked)

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` pairs of words, each number of matches as likely."""
        rng = np.random.default_rng(seed)
        first = rng.integers(self.alphabet, size=(count, self.word))
        matches = rng.choice(self.overlaps, size=(count, 1))
        equal = rng.permuted(np.tile(np.arange(self.word), (count, 1)), axis=1) < matches
        other = (first + rng.integers(1, self.alphabet, size=first.shape)) % self.alphabet
        offset = rng.integers(max(self.length // 2 - self.word, 1), size=count)
        return self.sequences(first, np.where(equal, first, other), offset)


def krawtchouk(places: int, symbols: int, distance: int, space: int) -> int:
    """Eigenvalue, on eigenspace `space`, of "words differ at `distance` of `places`": Krawtchouk polynomial, exact.

    sum over s of (-1)^s (symbols - 1)^(distance - s) C(space, s) C(places - space, distance - s).
    """
    return sum(
        (-1) ** s * (symbols - 1) ** (distance - s) * comb(space, s) * comb(places - space, distance - s)
        for s in range(distance + 1)
    )
