"""An input `delay` steps ago, itself or a function of it."""

import abc
from dataclasses import dataclass
from math import exp, gamma, isfinite, pi, prod, sqrt

import numpy as np
from jaxtyping import Float

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least, seen_within


class _Delayed(Task):
    """What all tasks on delayed real inputs share; inputs are independent standard normal numbers.

    Steps before `delay` have target 0 and are not asked.
    """

    delay: int
    channels: int
    length: int

    def __post_init__(self) -> None:
        seen_within(self.delay, self.length)
        at_least(1, "there must be something to remember", channels=self.channels)

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
        """Numbers of the first half that the second asks for, and one more rank for what it has itself."""
        half = self.length // 2
        held = max(min(self.length, half + self.delay) - max(half, self.delay), 0)
        return Demand(
            lag=self.delay,
            rank=self.channels * held + (self.length - self.delay > half),
            reason="the answer needs the input `delay` steps ago; the rank counts the functions of the first half that "
            "the second asks for, and the constant where an answer lies in the second half alone",
        )

    @property
    def references(self) -> dict[str, float]:
        """Expected losses: `mean` answers 0 or the mean, `memoryless` knows the present input, `linear` all inputs."""
        variance, unexplained = self.variances
        forgetful = variance if self.delay else 0.0
        return {"mean": variance, "memoryless": forgetful, "linear": unexplained, "perfect": 0.0}

    @property
    @abc.abstractmethod
    def variances(self) -> tuple[float, float]:
        """Variance of the target, and what the best affine function of all inputs leaves of it."""

    @abc.abstractmethod
    def answers(
        self, inputs: Float[np.ndarray, "sequence time channel"]
    ) -> Float[np.ndarray, "sequence asked channel"]:
        """Targets of steps delay, delay + 1, ..."""

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences of fresh noise."""
        inputs = np.random.default_rng(seed).standard_normal((count, self.length, self.channels))
        targets = np.zeros(inputs.shape)
        targets[:, self.delay :] = self.answers(inputs)
        asked = np.arange(self.length) >= self.delay
        return Sequences(inputs, targets, np.tile(asked, (count, 1)))


@dataclass(frozen=True)
class DelayedCopy(_Delayed):
    """y[t] = x[t - delay] for t >= delay; x standard normal.

    Exactly solved by a linear network of layer widths n_l with sum (n_l - channels) >= delay * channels.
    """

    delay: int = 8
    channels: int = 1
    length: int = 32

    @property
    def variances(self) -> tuple[float, float]:
        """1, and 0 after the best affine function."""
        return 1.0, 0.0

    def answers(
        self, inputs: Float[np.ndarray, "sequence time channel"]
    ) -> Float[np.ndarray, "sequence asked channel"]:
        """The inputs themselves."""
        return inputs[:, : self.length - self.delay]


@dataclass(frozen=True)
class DelayedSine(_Delayed):
    """y[t] = sin(frequency x[t - delay]) for t >= delay; x standard normal."""

    delay: int = 2
    channels: int = 1
    length: int = 10
    frequency: float = 1.0

    def __post_init__(self) -> None:
        _Delayed.__post_init__(self)
        if not isfinite(self.frequency) or self.frequency == 0:
            raise ValueError(f"the frequency must be a finite number other than 0, found {self.frequency}; try 1.0")

    @property
    def variances(self) -> tuple[float, float]:
        """(1 - e^(-2 w^2)) / 2, and w^2 e^(-w^2) less, with w the frequency."""
        square = self.frequency**2
        variance = (1 - exp(-2 * square)) / 2
        return variance, variance - square * exp(-square)

    def answers(
        self, inputs: Float[np.ndarray, "sequence time channel"]
    ) -> Float[np.ndarray, "sequence asked channel"]:
        """The sine of each."""
        return np.sin(self.frequency * inputs[:, : self.length - self.delay])


@dataclass(frozen=True)
class DelayedPower(_Delayed):
    """y[t] = x[t - delay]^power for t >= delay; x standard normal."""

    delay: int = 2
    channels: int = 1
    length: int = 10
    power: int = 2

    def __post_init__(self) -> None:
        _Delayed.__post_init__(self)
        at_least(1, "power 0 is a constant", power=self.power)

    @property
    def variances(self) -> tuple[float, float]:
        """E x^2m - (E x^m)^2, and (E x^(m+1))^2 less, with m the power."""
        variance = normal_moment(2 * self.power) - normal_moment(self.power) ** 2
        return float(variance), float(variance - normal_moment(self.power + 1) ** 2)

    def answers(
        self, inputs: Float[np.ndarray, "sequence time channel"]
    ) -> Float[np.ndarray, "sequence asked channel"]:
        """The power of each."""
        return inputs[:, : self.length - self.delay] ** self.power


@dataclass(frozen=True)
class WindowProduct(_Delayed):
    """y[t] = x[t - delay] ... x[t] as a signed geometric mean: sign and |product|^(1 / (delay + 1)), for t >= delay."""

    delay: int = 2
    channels: int = 1
    length: int = 10

    @property
    def variances(self) -> tuple[float, float]:
        """(2^(1/n) Gamma(1/n + 1/2) / sqrt(pi))^n with n = delay + 1; affine functions explain none if n > 1."""
        factors = self.delay + 1
        variance = (2 ** (1 / factors) * gamma(1 / factors + 0.5) / sqrt(pi)) ** factors
        return variance, variance if self.delay else 0.0

    def answers(
        self, inputs: Float[np.ndarray, "sequence time channel"]
    ) -> Float[np.ndarray, "sequence asked channel"]:
        """The product of signed roots over each window."""
        roots = np.sign(inputs) * np.abs(inputs) ** (1 / (self.delay + 1))
        return np.lib.stride_tricks.sliding_window_view(roots, self.delay + 1, axis=1).prod(axis=-1)


def normal_moment(order: int) -> int:
    """E x^order for standard normal x: 0 for odd orders, else (order - 1)(order - 3) ... 1."""
    return 0 if order % 2 else prod(range(1, order, 2))
