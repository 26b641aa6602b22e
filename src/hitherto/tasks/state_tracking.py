"""Products in a finite group: the state after every step is the product of all inputs so far."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from math import log, log2

import numpy as np
from jaxtyping import Int

from hitherto.core.task import Demand, Sequences, Task
from hitherto.inputs import one_hot
from hitherto.tasks._checks import at_least

LARGEST_CYCLIC = 512
GROUPS = ("S3", "S4", "S5", "A4", "A5", *(f"C{order}" for order in range(2, LARGEST_CYCLIC + 1)))


@dataclass(frozen=True)
class StateTracking(Task):
    """y[t] = g[1] g[2] ... g[t] in a finite group; inputs are uniform elements, one-hot, answers classes at every step.

    Elements are numbered as in `elements`, the identity first; in a product of permutations the right one acts first.

    Attributes:
        group: "C2" is parity, "C3" counting modulo 3, ... (cyclic); "S3", "S4", "S5" all permutations, "A4", "A5" the
            even ones. A5 is the smallest group whose word problem is NC1-complete (Barrington 1989).
        length: steps.
    """

    group: str = "C2"
    length: int = 16
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(
                f"there is no group {self.group!r}; there are C2, C3, ... C{LARGEST_CYCLIC}, S3, S4, S5, A4 and A5"
            )
        at_least(1, "there must be something to multiply", length=self.length)

    @property
    def order(self) -> int:
        """Elements of the group."""
        return len(elements(self.group))

    @property
    def input_size(self) -> int:
        """Elements of the group."""
        return self.order

    @property
    def output_size(self) -> int:
        """Elements of the group."""
        return self.order

    @property
    def demand(self) -> Demand:
        """One group element, for ever."""
        return Demand(
            lag=self.length - 1,
            bits=log2(self.order) if self.length > 1 else 0.0,
            rank=self.order if self.length > 1 else 1,
            reason="every input changes every later answer; the product so far, and no less, decides them all, and "
            "answers to it are a permutation matrix",
        )

    @property
    def references(self) -> dict[str, float]:
        """`chance` guesses among all elements; `memoryless` knows time and input, so the first answer alone."""
        chance = log(self.order)
        return {"chance": chance, "memoryless": chance * (self.length - 1) / self.length, "perfect": 0.0}

    def sequences(self, factors: Int[np.ndarray, "sequence time"]) -> Sequences:
        """The sequences for given numbers of elements."""
        table, products = multiplication_table(self.group), factors.copy()
        for t in range(1, factors.shape[1]):
            products[:, t] = table[products[:, t - 1], factors[:, t]]
        return Sequences(one_hot(factors, self.order), products, np.ones(factors.shape, bool))

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences of uniform elements."""
        return self.sequences(np.random.default_rng(seed).integers(self.order, size=(count, self.length)))


@cache
def elements(group: str) -> tuple[tuple[int, ...], ...]:
    """The elements as permutations of 0, 1, ...: shifts by 0, 1, ... for C; in lexicographic order for S and A."""
    degree = int(group[1:])
    if group[0] == "C":
        return tuple(tuple((place + shift) % degree for place in range(degree)) for shift in range(degree))
    return tuple(p for p in permutations(range(degree)) if group[0] == "S" or _even(p))


def _even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in combinations(permutation, 2)) % 2 == 0


@cache
def multiplication_table(group: str) -> Int[np.ndarray, "order order"]:
    """Number of the product by the numbers of its factors: row times column."""
    if group[0] == "C":
        return np.add.outer(shifts := np.arange(int(group[1:])), shifts) % len(shifts)
    number = {element: i for i, element in enumerate(elements(group))}
    return np.array([[number[tuple(a[place] for place in b)] for b in number] for a in number])
