"""Answers of a teacher: any linear filter, and the slowly varying ReLU network."""

from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least

Response = tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True)
class LinearTeacher(Task):
    """y[t] = sum over j of L[j] x[t - j] + noise; x white standard normal, x = 0 before the start.

    Noise is white normal with variance E y^2 * 10^(-snr_db / 10), E y^2 the expected mean over steps and outputs.

    Attributes:
        response: L as nested tuples (lag, output, input), lag 0 first; `from_response` takes an array.
        length: steps, all asked.
        snr_db: signal to noise in decibels; None for no noise.
    """

    response: Response
    length: int = 32
    snr_db: float | None = None

    def __post_init__(self) -> None:
        at_least(1, "there must be something to answer", length=self.length)
        try:
            found = np.array(self.response, float)
        except ValueError as error:
            raise ValueError(
                f"an impulse response holds one matrix (output, input) for each lag, all of one shape ({error}); pass "
                "an array to `from_response`"
            ) from error
        if found.ndim != 3 or not found.size or not np.isfinite(found).all():
            raise ValueError(
                f"an impulse response holds finite numbers (lag, output, input), found shape {found.shape}; pass an "
                "array without NaN to `from_response`"
            )
        if self.snr_db is not None and not isfinite(self.snr_db):
            raise ValueError(f"snr_db must be finite, found {self.snr_db}; None is no noise")

    @classmethod
    def from_response(
        cls, response: Float[np.ndarray, "lag *channels"], length: int = 32, snr_db: float | None = None
    ) -> "LinearTeacher":
        """The teacher with an impulse response (lag, output, input), or (lag) for one channel.

        `numpy.eye(delay + 1)[delay]` is the pure delay y[t] = x[t - delay].
        """
        if response.ndim not in (1, 3):
            raise ValueError(f"an impulse response is (lag, output, input) or (lag), found shape {response.shape}")
        rows = response.reshape(len(response), -1, 1) if response.ndim == 1 else response
        return cls(tuple(tuple(map(tuple, matrix)) for matrix in rows.tolist()), length, snr_db)

    @property
    def impulse_response(self) -> Float[np.ndarray, "lag output input"]:
        """The response as an array."""
        return np.array(self.response, float)

    @property
    def input_size(self) -> int:
        """Channels of x."""
        return len(self.response[0][0])

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return len(self.response[0])

    @property
    def demand(self) -> Demand:
        """Lags up to the last that is not zero; the rank at NumPy's default tolerance."""
        lags = np.flatnonzero(self.impulse_response[: self.length].any(axis=(1, 2)))
        return Demand(
            lag=int(lags.max(initial=0)),
            rank=self._rank(),
            reason="the answer needs every lag with a response; the rank is that of the Hankel matrix of the response "
            "over the middle, and one more where answers use the second half itself",
        )

    def _rank(self) -> int:
        half, response = self.length // 2, self.impulse_response
        reach = min(len(response) - 1, half)
        ahead = min(len(response) - 1, self.length - half)
        own = bool(response[: self.length - half].any())
        if not min(reach, ahead):
            return int(own)
        padded = np.concatenate([response[1:], np.zeros((reach + ahead, *response.shape[1:]))])
        blocks = [[padded[after + before] for before in range(reach)] for after in range(ahead)]
        return int(np.linalg.matrix_rank(np.block(blocks))) + own

    @property
    def noise_variance(self) -> float:
        """Variance of the noise on each output."""
        return 0.0 if self.snr_db is None else float(self._energies().sum() * 10 ** (-self.snr_db / 10))

    def _energies(self) -> Float[np.ndarray, " lag"]:
        """Expected square of the part of y that each lag makes, mean over steps and outputs."""
        response = self.impulse_response[: self.length]
        shares = 1 - np.arange(len(response)) / self.length
        return shares * (response**2).sum(axis=(1, 2)) / self.output_size

    def loss_with_lags(self, lags: int) -> float:
        """Expected loss of the best filter of x[t], ..., x[t - lags + 1]: the energy of later lags, and noise."""
        at_least(0, "0 sees nothing", lags=lags)
        return float(self._energies()[lags:].sum()) + self.noise_variance

    @property
    def references(self) -> dict[str, float]:
        """`mean` answers 0, `memoryless` the best of the present input, `perfect` knows the response."""
        return {
            "mean": self.loss_with_lags(0),
            "memoryless": self.loss_with_lags(1),
            "perfect": self.noise_variance,
        }

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences of fresh inputs and noise."""
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal((count, self.length, self.input_size))
        targets = rng.standard_normal((count, self.length, self.output_size)) * np.sqrt(self.noise_variance)
        for lag, matrix in enumerate(self.impulse_response[: self.length]):
            targets[:, lag:] += inputs[:, : self.length - lag] @ matrix.T
        return Sequences(inputs, targets, np.ones(inputs.shape[:2], bool))


def random_response(
    lags: int, seed: int, width: int = 4, variance: float = 0.3, input_size: int = 1, output_size: int = 1
) -> Float[np.ndarray, "lags output input"]:
    """Impulse response of a random linear network: L[j] = C A^j F / sqrt(width).

    Entries of F and C are standard normal, those of A normal with variance `variance / width`.
    """
    at_least(1, "lag 0 is the present input", lags=lags, width=width, input_size=input_size, output_size=output_size)
    rng = np.random.default_rng(seed)
    weight_hh = rng.standard_normal((width, width)) * np.sqrt(variance / width)
    state, readout = rng.standard_normal((width, input_size)), rng.standard_normal((output_size, width))
    response = np.empty((lags, output_size, input_size))
    for lag in range(lags):
        response[lag] = readout @ state / np.sqrt(width)
        state = weight_hh @ state
    return response


class TeacherWeights(NamedTuple):
    """h[t] = relu(weight_hh h[t-1] + weight_ih x[t] + bias), h[-1] = 0; y[t] = readout h[t] + readout_bias."""

    weight_hh: Float[np.ndarray, "width width"]
    weight_ih: Float[np.ndarray, "width input"]
    bias: Float[np.ndarray, " width"]
    readout: Float[np.ndarray, "output width"]
    readout_bias: Float[np.ndarray, " output"]

    def states(self, inputs: Float[np.ndarray, "sequence time input"]) -> Float[np.ndarray, "sequence time width"]:
        """States after every step."""
        driven = inputs @ self.weight_ih.T + self.bias
        h = np.zeros((len(inputs), len(self.bias)))
        for t in range(inputs.shape[1]):
            h = driven[:, t] = np.maximum(h @ self.weight_hh.T + driven[:, t], 0)
        return driven

    def outputs(self, inputs: Float[np.ndarray, "sequence time input"]) -> Float[np.ndarray, "sequence time output"]:
        """Answers without noise."""
        return self.states(inputs) @ self.readout.T + self.readout_bias


@dataclass(frozen=True)
class SlowTeacher(Task):
    """Noisy answers of a random ReLU network that forgets slowly: W = I - epsilon A^T A / |A|^2.

    A, the input weights, the readout and the biases before calibration have independent standard normal entries; |A|
    is the largest singular value, so the singular values of W lie in [1 - epsilon, 1] and the lowest is 1 - epsilon.
    Biases are calibrated on 100 sequences by 100 steps b <- b - 0.1 (share of steps with h > 0.001 - 0.6), unit by
    unit. Inputs are white standard normal; white noise of variance (mean square of y on the calibration sequences)
    * 10^(-snr_db / 10) is added to every output.

    Attributes:
        width, inputs, outputs: sizes of the teacher; it is contractive, so a network with orthogonal weights of twice
            its width can be its equal.
        epsilon: rate of forgetting; memory lasts about 1 / epsilon steps.
        normalised: False leaves out the division by |A|^2, as the published script does.
        readout_bias: a standard normal output bias, as in the published script.
        snr_db: signal to noise in decibels.
        length: steps, all asked.
        teacher: seed of the teacher and its calibration.

    Cost: the teacher is made once for each setting, 100 passes over 100 sequences (1 to 4 seconds at length 1000).
    Source: Emami, Sahraee-Ardakan, Pandit, Rangan and Fletcher (2019).
    """

    width: int = 4
    inputs: int = 2
    outputs: int = 2
    epsilon: float = 0.01
    normalised: bool = True
    readout_bias: bool = False
    snr_db: float = 20.0
    length: int = 1000
    teacher: int = 0

    def __post_init__(self) -> None:
        at_least(1, "every size is at least 1", width=self.width, inputs=self.inputs, outputs=self.outputs)
        at_least(1, "there must be something to answer", length=self.length)
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"epsilon must be at least 0 and below 1, found {self.epsilon}; 0.01 forgets slowly")
        if not isfinite(self.snr_db):
            raise ValueError(f"snr_db must be finite, found {self.snr_db}; 100 is next to no noise")

    @property
    def input_size(self) -> int:
        """Channels of x."""
        return self.inputs

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.outputs

    @property
    def demand(self) -> Demand:
        """Every earlier input, less and less."""
        return Demand(
            lag=self.length - 1,
            reason=f"inputs fade as (1 - epsilon)^lag: over about {1 / (self.epsilon or 1):.0f} steps",
        )

    @property
    def weights(self) -> TeacherWeights:
        """The calibrated teacher."""
        return _calibrated(self)[0]

    @property
    def noise_variance(self) -> float:
        """Variance of the noise on each output."""
        return _calibrated(self)[1] * 10 ** (-self.snr_db / 10)

    @property
    def references(self) -> dict[str, float]:
        """`zero` answers 0, with the mean square on the calibration sequences; `perfect` is the teacher itself.

        The best R^2 = 1 - perfect / zero = 1 / (1 + 10^(-snr_db / 10)).
        """
        return {"zero": _calibrated(self)[1] + self.noise_variance, "perfect": self.noise_variance}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` sequences of fresh inputs and noise."""
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal((count, self.length, self.inputs))
        targets = self.weights.outputs(inputs)
        targets += rng.standard_normal(targets.shape) * np.sqrt(self.noise_variance)
        return Sequences(inputs, targets, np.ones(inputs.shape[:2], bool))


@cache
def _calibrated(task: SlowTeacher) -> tuple[TeacherWeights, float]:
    """The teacher of a task, and the mean square of its answers."""
    rng = np.random.default_rng([task.teacher, 1])  # not the stream that `sample` draws from
    weights = _drawn(task, rng)
    inputs = rng.standard_normal((100, task.length, task.inputs))
    for _ in range(100):
        on = (weights.states(inputs) > 1e-3).mean(axis=(0, 1))
        weights = weights._replace(bias=weights.bias - 0.1 * (on - 0.6))
    return weights, float((weights.outputs(inputs) ** 2).mean())


def _drawn(task: SlowTeacher, rng: np.random.Generator) -> TeacherWeights:
    mixing = rng.standard_normal((task.width, task.width))
    scale = np.linalg.norm(mixing, 2) ** 2 if task.normalised else 1.0
    return TeacherWeights(
        weight_hh=np.eye(task.width) - task.epsilon * mixing.T @ mixing / scale,
        weight_ih=rng.standard_normal((task.width, task.inputs)),
        bias=rng.standard_normal(task.width),
        readout=rng.standard_normal((task.outputs, task.width)),
        readout_bias=rng.standard_normal(task.outputs) * task.readout_bias,
    )
