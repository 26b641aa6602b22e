"""Small tasks for the tests of training."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hitherto.core.task import Demand, Sequences, Task


class Small(Task):
    """What these tasks share: demand and references are not asked for here."""

    @property
    def demand(self):
        return Demand(lag=1)

    @property
    def references(self):
        return {}


@dataclass(frozen=True)
class Copying(Small):
    """`symbols` ways, `items` of them shown, then `delay` blanks, then a cue at which the items are to be said."""

    delay: int = 5
    items: int = 3
    symbols: int = 4
    loss: Literal["squared", "cross_entropy"] = "cross_entropy"

    @property
    def input_size(self):
        return self.symbols + 2

    @property
    def output_size(self):
        return self.symbols

    def sample(self, count, seed):
        shown = np.random.default_rng(seed).integers(self.symbols, size=(count, self.items))
        length = 2 * self.items + self.delay
        read = np.full((count, length), self.symbols)
        read[:, : self.items] = shown
        read[:, self.items + self.delay - 1] = self.symbols + 1
        targets = np.zeros((count, length), int)
        targets[:, -self.items :] = shown
        mask = np.zeros((count, length), bool)
        mask[:, -self.items :] = True
        return Sequences(np.eye(self.input_size, dtype=np.float32)[read], targets, mask)


@dataclass(frozen=True)
class Parity(Small):
    """Whether the bits were odd in number, asked at the last of `length` steps; or at each."""

    length: int = 16
    at_each: bool = False
    loss: Literal["squared", "cross_entropy"] = "cross_entropy"

    @property
    def input_size(self):
        return 2

    @property
    def output_size(self):
        return 2

    def sample(self, count, seed):
        bits = np.random.default_rng(seed).integers(2, size=(count, self.length))
        mask = np.full(bits.shape, self.at_each)
        mask[:, -1] = True
        return Sequences(np.eye(2, dtype=np.float32)[bits], bits.cumsum(1) % 2, mask)


@dataclass(frozen=True)
class Delayed(Small):
    """The input `lag` steps ago, as a real number; unasked targets are NaN."""

    lag: int = 1
    length: int = 6
    loss: Literal["squared", "cross_entropy"] = "squared"

    @property
    def input_size(self):
        return 1

    @property
    def output_size(self):
        return 1

    def sample(self, count, seed):
        inputs = np.random.default_rng(seed).normal(size=(count, self.length, 1))
        targets = np.full_like(inputs, np.nan)
        targets[:, self.lag :] = inputs[:, : self.length - self.lag]
        return Sequences(inputs, targets, ~np.isnan(targets[..., 0]))
