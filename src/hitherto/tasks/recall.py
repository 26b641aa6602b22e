"""Multi-query associative recall: which value came with this key?"""

from dataclasses import dataclass
from math import comb, log, log2

import numpy as np

from hitherto.core.task import Demand, Sequences, Task
from hitherto.inputs import one_hot
from hitherto.tasks._checks import at_least


@dataclass(frozen=True)
class AssociativeRecall(Task):
    """Input: key, value, key, value, ...; later some of the keys again, between blanks. Target: their values.

    Keys of a sequence differ, values are independent and uniform. After the pairs, `queries` different keys among them
    stand at uniformly chosen steps, each asked where it stands; other steps are blank, so nothing overwrites a pair.
    Inputs are one-hot: keys, then values, then blank; answers are classes 0, ..., values - 1.

    Attributes:
        pairs: pairs shown.
        queries: keys asked, at most `pairs`.
        keys, values: different keys and values there are.
        length: steps, at least 2 pairs + queries.

    Source: after Arora et al. (2023), whose queries prefer short gaps; here their places are uniform.
    """

    pairs: int = 4
    queries: int = 4
    keys: int = 8
    values: int = 8
    length: int = 16
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        at_least(1, "there must be something to recall", pairs=self.pairs, queries=self.queries)
        at_least(2, "one value needs no memory", values=self.values)
        at_least(self.pairs, "the keys of a sequence differ: one for each pair", keys=self.keys)
        if self.queries > self.pairs:
            raise ValueError(f"each key is asked once: {self.queries} queries need as many pairs, found {self.pairs}")
        at_least(2 * self.pairs + self.queries, "pairs take two steps each and queries one", length=self.length)

    @property
    def input_size(self) -> int:
        """Keys, values, blank."""
        return self.keys + self.values + 1

    @property
    def output_size(self) -> int:
        """Values."""
        return self.values

    @property
    def demand(self) -> Demand:
        """The values of all keys shown."""
        complete = self.pairs == self.keys and self.length // 2 == 2 * self.pairs
        return Demand(
            lag=self.length - 1,
            bits=self.pairs * log2(self.values),
            rank=self.keys * (self.values - 1) + 1 if complete else None,
            reason="any key may be asked last, so all values are held; bits are exact where every key is shown and a "
            "lower bound else, the rank is known where every key is shown and the pairs fill the first half",
        )

    @property
    def references(self) -> dict[str, float]:
        """`chance` guesses among all values; `values_without_keys` among those shown, as often as each was shown.

        The latter loses ln p - (V / p) E[c ln c] for p pairs, V values and c ~ binomial(p, 1 / V).
        """
        share = 1 / self.values
        chances = (comb(self.pairs, c) * share**c * (1 - share) ** (self.pairs - c) for c in range(self.pairs + 1))
        spread = sum(chance * c * log(c) for c, chance in enumerate(chances) if c)
        unkeyed = log(self.pairs) - self.values / self.pairs * spread
        return {"chance": log(self.values), "values_without_keys": unkeyed, "perfect": 0.0}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences with fresh pairs and queries."""
        rng = np.random.default_rng(seed)
        keys = _different(rng, count, self.keys, self.pairs)
        values = rng.integers(self.values, size=keys.shape)
        asked = _different(rng, count, self.pairs, self.queries)
        steps = 2 * self.pairs + _different(rng, count, self.length - 2 * self.pairs, self.queries)

        tokens, targets = np.full((count, self.length), self.keys + self.values), np.zeros((count, self.length), int)
        tokens[:, 0 : 2 * self.pairs : 2] = keys
        tokens[:, 1 : 2 * self.pairs : 2] = self.keys + values
        np.put_along_axis(tokens, steps, np.take_along_axis(keys, asked, axis=1), axis=1)
        np.put_along_axis(targets, steps, np.take_along_axis(values, asked, axis=1), axis=1)
        mask = np.zeros(tokens.shape, bool)
        np.put_along_axis(mask, steps, True, axis=1)
        return Sequences(one_hot(tokens, self.input_size), targets, mask)


def _different(rng: np.random.Generator, count: int, among: int, taken: int) -> np.ndarray:
    """`count` rows of `taken` different numbers below `among`, in random order."""
    return rng.permuted(np.tile(np.arange(among), (count, 1)), axis=1)[:, :taken]
