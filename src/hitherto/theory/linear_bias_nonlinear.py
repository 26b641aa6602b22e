"""The kernels of wide recurrent networks with shared weights, linear or not, and what each lag adds to them.

    h[t] = phi(g[t]),  g[t] = s_w W h[t-1] / sqrt(n) + s_u U x[t] / sqrt(m) + s_b b,  y = s_v v h[T-1] / sqrt(n),

all parameters standard normal and trained, h = 0 before the first step, only the last output. With S the covariance of
g for two sequences, S_ts = s_u^2 <x[t], x'[s]> / m + s_b^2 + s_w^2 V(S_(t-1)(s-1)), and Th_ts = S_ts + s_w^2 V' Th, the
NNGP kernel is s_v^2 V and the tangent kernel s_v^2 (V + V' Th) at the last steps. Only the diagonal of pairs that end
together is needed. V(a, b, c) = E phi phi' for covariances a, c, b, and V' = dV / dc.

The recurrence is that of Alemohammad et al. (2020), arXiv 2006.10246, derived here anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

from hitherto.core.names import known
from hitherto.theory.linear_bias import exact
from hitherto.theory.linear_bias_equations import finite

Moments = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Recurrent:
    """A wide recurrent network: its activation, `linear`, `erf` or `relu`, and s_w, s_u, s_b, s_v."""

    activation: str
    sigma_w: float | int = 1
    sigma_u: float | int = 1
    sigma_b: float | int = 0
    sigma_v: float | int = 1

    def __post_init__(self) -> None:
        known(self.activation, MOMENTS, "activation with a kernel in closed form")
        for name in ("sigma_w", "sigma_u", "sigma_b", "sigma_v"):
            exact(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class RecurrentKernels:
    """Between all sequences of two batches: the initial function's covariance, and the tangent kernel of training."""

    nngp: Float[np.ndarray, "sequence other"]
    ntk: Float[np.ndarray, "sequence other"]


@dataclass(frozen=True, eq=False)
class _Course:
    """S, Th and the three derivatives of V along the diagonals; `started` where a pair has a state before the step."""

    covariance: Float[np.ndarray, "time sequence other"]
    tangent: Float[np.ndarray, "time sequence other"]
    moments: tuple[Float[np.ndarray, "time sequence other"], ...]
    present: Bool[np.ndarray, "time sequence other"]


def recurrent_kernels(
    network: Recurrent,
    inputs: Sequence[Real[np.ndarray, "_ _"]],
    others: Sequence[Real[np.ndarray, "_ _"]] | None = None,
) -> RecurrentKernels:
    """NNGP and tangent kernel of the last output, for sequences of any lengths.

    Args:
        network: phi and the sizes.
        inputs, others: two batches of sequences, each [time input]; None for the same.
    Raises:
        ValueError: for no sequence, an empty one, other channels, or numbers that are not finite.

    Cost: pairs times the longest length; 200 sequences of 100 steps take about a second.
    """
    course = _course(network, inputs, inputs if others is None else others)
    value, slope, _ = (moment[-1] for moment in course.moments)
    scale = float(network.sigma_v) ** 2
    return RecurrentKernels(scale * value, scale * (value + slope * course.tangent[-1]))


def lag_sensitivity(
    network: Recurrent,
    inputs: Sequence[Real[np.ndarray, "_ _"]],
    others: Sequence[Real[np.ndarray, "_ _"]] | None = None,
) -> Float[np.ndarray, "sequence other lag"]:
    """d tangent kernel / d (<x[T-1-j], x'[T'-1-j]> / m) for lags j = 0, 1, ..., the norms held fixed.

    For the linear network it is the memory prior s_v^2 s_u^2 s_w^2j (2 + j), whatever the inputs; for the others the
    prior that these inputs meet. For ReLU it is infinite where two sequences are the same, whose kernel has a kink.

    Args:
        network, inputs, others: as for `recurrent_kernels`.
    Returns:
        0 at lags before either sequence began.
    Raises:
        ValueError: as for `recurrent_kernels`.

    Cost: as `recurrent_kernels`, by one pass back.
    """
    course = _course(network, inputs, inputs if others is None else others)
    recurrent = float(network.sigma_w) ** 2
    _, slope, bend = (moment[-1] for moment in course.moments)
    scale = float(network.sigma_v) ** 2
    by_covariance, by_tangent = scale * (slope + _product(bend, course.tangent[-1])), scale * slope
    found = []
    for t in range(len(course.covariance) - 1, -1, -1):
        by_covariance = np.where(course.present[t], by_covariance + by_tangent, 0.0)
        by_tangent = np.where(course.present[t], by_tangent, 0.0)
        found.append(by_covariance)
        if t:
            _, slope, bend = (moment[t - 1] for moment in course.moments)
            moved = _product(slope, by_covariance) + _product(by_tangent, _product(bend, course.tangent[t - 1]))
            by_covariance, by_tangent = recurrent * moved, recurrent * slope * by_tangent
    return float(network.sigma_u) ** 2 * np.stack(found, axis=-1)


def _course(network: Recurrent, inputs: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> _Course:
    """The recursion from the first step of the longest sequence on, all pairs at once."""
    length = max((len(x) for x in (*inputs, *others)), default=0)
    channels = {np.shape(x)[1] for x in (*inputs, *others)}
    if len(channels) > 1 or 0 in channels:
        raise ValueError(f"kernels were asked for of {sorted(channels)} channels; give sequences of one number of them")
    left, right = _padded("inputs", inputs, length), _padded("others", others, length)
    own = [_variances(network, x, began) for x, began in (left, right)]
    shape = (length, len(inputs), len(others))
    covariance, tangent = np.zeros(shape), np.zeros(shape)
    moments = tuple(np.zeros(shape) for _ in range(3))
    present = left[1].T[:, :, None] & right[1].T[:, None, :]
    for t in range(length):
        product = np.einsum("im,jm->ij", left[0][:, t], right[0][:, t])
        covariance[t] = np.where(present[t], _drive(network, product, left[0].shape[2]), 0.0)
        tangent[t] = covariance[t]
        if t:
            _add_state(network, covariance[t], tangent[t], [moment[t - 1] for moment in moments], tangent[t - 1])
        found = MOMENTS[network.activation](own[0][:, t, None], own[1][None, :, t], covariance[t])
        for moment, new in zip(moments, found, strict=True):
            moment[t] = np.where(present[t], new, 0.0)
    return _Course(covariance, tangent, moments, present)


def _add_state(network: Recurrent, covariance, tangent, moments, before: np.ndarray) -> None:
    """What the state before the step adds, in place: s_w^2 V to S, and s_w^2 (V + V' Th) to Th; 0 before the start."""
    recurrent = float(network.sigma_w) ** 2
    covariance += recurrent * moments[0]
    tangent += recurrent * (moments[0] + moments[1] * before)


def _variances(network: Recurrent, x: np.ndarray, began: np.ndarray) -> np.ndarray:
    """S of each sequence with itself; the same sums in the same order as for pairs, so that equals stay equal."""
    found = np.zeros(x.shape[:2])
    state = np.zeros(len(x))
    for t in range(x.shape[1]):
        squares = _drive(network, np.einsum("im,im->i", x[:, t], x[:, t]), x.shape[2])
        found[:, t] = np.where(began[:, t], squares, 0.0) + float(network.sigma_w) ** 2 * state
        state = np.where(began[:, t], MOMENTS[network.activation](*[found[:, t]] * 3)[0], 0.0)
    return found


def _drive(network: Recurrent, products: np.ndarray, channels: int) -> np.ndarray:
    return float(network.sigma_u) ** 2 * products / channels + float(network.sigma_b) ** 2


def _padded(name: str, sequences: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences that end together, and where each has begun."""
    if not len(sequences) or not min(map(len, sequences)):
        raise ValueError(f"{name} need at least one sequence of at least one step; leave out those without a step")
    padded = np.zeros((len(sequences), length, np.shape(sequences[0])[1]))
    began = np.zeros((len(sequences), length), bool)
    for row, told, sequence in zip(padded, began, sequences, strict=True):
        row[length - len(sequence) :] = finite(name, np.asarray(sequence))
        told[length - len(sequence) :] = True
    return padded, began


def _product(factor: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A product in which 0 times inf is 0."""
    return np.where((factor == 0) | (other == 0), 0.0, factor * np.where(factor == 0, 0.0, other))


def _linear(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return c, np.ones_like(c), np.zeros_like(c)


def _erf(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = np.sqrt((1 + 2 * a) * (1 + 2 * b))
    rest = np.sqrt(1 + 2 * a + 2 * b + 4 * np.maximum(a * b - c * c, 0))
    value = (2 / np.pi) * np.arcsin(np.clip(2 * c / size, -1, 1))
    return value, (4 / np.pi) / rest, (16 / np.pi) * c / rest**3


def _relu(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = np.sqrt(a * b)
    moves = size > 0
    cosine = np.clip(np.divide(c, size, out=np.zeros_like(c), where=moves), -1, 1)
    angle = np.where(moves, np.arccos(cosine), np.pi)
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    value = np.where(moves, size * (sine + (np.pi - angle) * cosine) / (2 * np.pi), 0.0)
    with np.errstate(divide="ignore"):
        bend = np.divide(1.0, 2 * np.pi * size * sine, out=np.zeros_like(c), where=moves)
    return value, (np.pi - angle) / (2 * np.pi), bend


MOMENTS: dict[str, Moments] = {"linear": _linear, "erf": _erf, "relu": _relu}
