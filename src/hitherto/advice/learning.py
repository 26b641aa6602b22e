"""How fast a candidate learns the lag, by theory where there is one, else by the gradients of a draw."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.advice.candidates import Candidate
from hitherto.advice.draws import Draw
from hitherto.advice.request import Number, Request
from hitherto.theory.depth import copy_loss_floor, copy_loss_weights
from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    Orthogonal,
    Stacked,
    kernel_diagonal,
    lag_kernel,
)
from hitherto.theory.linear_bias_width import trust_horizon

LINEAR_BIAS, DRAWN = "theory: linear_bias", "measured on a draw"
LEARNED = 0.1  # of the target's variance is left
LARGEST_KERNEL = 200  # lags of a kernel that is not diagonal; longer memories are scaled down to it
NOTHING = 1e-28  # of the fastest speed: below it a draw has rounding errors only
LONGEST_TRAINING = 10**12
FADED = 0.1  # of its amplitude: what a mode keeps of an input that it can no longer tell


@dataclass(frozen=True)
class Course:
    """Gradient descent on the impulse response, mode by mode.

    Attributes:
        shares: rate times speed of each mode, the fastest being 1.
        errors: squared error of each mode before training.
    """

    shares: Float[np.ndarray, " mode"]
    errors: Float[np.ndarray, " mode"]

    def loss(self, steps: float | int) -> float:
        """sum of errors (1 - share)^(2 steps)."""
        with np.errstate(divide="ignore", under="ignore"):
            return float(self.errors @ np.exp(2 * steps * np.log1p(-np.minimum(self.shares, 1.0))))

    def steps(self, goal: float = LEARNED) -> float | int:
        """Fewest steps until the loss is below the goal; inf where it never is."""
        if self.loss(LONGEST_TRAINING) > goal:
            return math.inf
        low, high = 0, LONGEST_TRAINING
        while high - low > 1:
            middle = math.isqrt(max(low, 1) * high) if high > 4 * max(low, 1) else (low + high) // 2
            low, high = (low, middle) if self.loss(middle) <= goal else (middle, high)
        return high


def law(candidate: Candidate) -> Any:
    """The initialisation of `theory.linear_bias_kernels` that a candidate's start is; None where there is none."""
    start, ends = candidate.start, (candidate.start.entering / candidate.channels, candidate.start.readout)
    if not candidate.linear:
        return None
    if candidate.depth > 1:
        return Stacked((start.high,) * candidate.depth, 1, *ends)
    return {
        "orthogonal": lambda: Orthogonal(math.sqrt(start.high), *ends),
        "gaussian": lambda: Gaussian(start.high, *ends),
        "ring": lambda: Orthogonal(math.sqrt(start.high), *ends),  # all of the matrix is trained, not its modes alone
        "identity": lambda: Leaky(1.0, 0, *ends),
        "modes": lambda: LRU(start.low, start.high, *ends),
    }[start.law]()


def learning(candidate: Candidate, request: Request, drawn: Draw | None) -> tuple[Number, ...]:
    """Cost of the lag against the quickest one, steps of gradient descent, and the recall after those that there are.

    Args:
        drawn: for candidates without a law.
    """
    if drawn is not None:
        return _measured(request, drawn)
    told = _conditions(candidate, request)
    small, lag = scaled(law(candidate), request.lag)
    cost, course = _course(small, lag, candidate.channels)
    if request.rank is None:
        floor = copy_loss_floor(candidate.states, candidate.channels, request.lag, request.length)
        recall, why = max(0.0, 1 - max(course.loss(request.steps), floor)), told
    else:
        recall, why = None, "not covered: it is that of a delay, and fewer states are asked"
    return (
        Number("cost of the lag", cost, "times the quickest lag", LINEAR_BIAS, told),
        Number("learning steps", course.steps(), "steps", LINEAR_BIAS, told),
        Number("predicted recall", recall, "R^2", f"{LINEAR_BIAS} and depth", why),
    )


def doubt(candidate: Candidate, request: Request) -> str:
    """Why the limit of great width does not speak of a network of this width at this lag; "" where it does.

    Random matrices leave it beyond sqrt(width) lags, orthogonal ones never. Modes drawn from a wide ring leave it where
    those that have not faded at the lag are too few to hold it.
    """
    start, horizon = candidate.start, trust_horizon(candidate.width)
    if (start.law == "gaussian" or candidate.depth > 1) and request.lag > horizon:
        return f"not to be trusted: lag {request.lag:,} is beyond sqrt(width) = {horizon:.0f}"
    if start.law == "modes" and (alive := _alive(candidate, request.lag)) < request.states:
        return f"not to be trusted: {alive:,.0f} states are expected to live at lag {request.lag:,}"
    return ""


def _alive(candidate: Candidate, lag: int) -> float:
    """Expected states of modes with |lambda|^lag above `FADED`."""
    low, high = candidate.start.low, candidate.start.high
    return candidate.states * min(1.0, max(0.0, high - FADED ** (2 / lag)) / (high - low))


@lru_cache(maxsize=64)
def response_variances(initialisation: Any, lags: int) -> Float[np.ndarray, " lag"]:
    """Variance of a fresh L_j: that of a readout entry times what readouts alone give, E |d L_j / d C|^2.

    A complex entry has half of its nu_C in each of its two parts.
    """
    alone = kernel_diagonal(replace(initialisation, nu_C=0, nu_F=1), lags)
    entry = float(initialisation.nu_C) / (2 if isinstance(initialisation, LRU) else 1)
    return entry * float(initialisation.nu_F) * alone


def _conditions(candidate: Candidate, request: Request) -> str:
    told = ["gradient descent at the largest stable rate, great width, white inputs"]
    if candidate.depth > 1:
        told.append("layers of Gaussian entries")
    told.append(doubt(candidate, request))
    if request.rank is not None:
        told.append("of the lag alone, as in a delay")
    if candidate.start.law == "ring":
        told.append("as for orthogonal matrices, whose lags are less coupled where width is finite")
    if candidate.start.law == "modes" and request.lag > LARGEST_KERNEL:
        told.append(f"computed at lag {LARGEST_KERNEL} with modes as long to scale")
    return "; ".join(filter(None, told))


def scaled(initialisation: Any, lag: int) -> tuple[Any, int]:
    """Modes near the unit circle look the same on every scale, which keeps their kernels small."""
    if lag <= LARGEST_KERNEL or not isinstance(initialisation, LRU | Leaky):
        return initialisation, lag
    if isinstance(initialisation, Leaky):  # at 1 its kernel has rank 2 at every length
        return initialisation, LARGEST_KERNEL
    power = lag / LARGEST_KERNEL
    return replace(initialisation, low=initialisation.low**power, high=initialisation.high**power), LARGEST_KERNEL


@lru_cache(maxsize=64)
def _course(initialisation: Any, lag: int, channels: int) -> tuple[float, Course]:
    """Cost of the lag, and the modes of the matching task: an answer k steps late, over 2 k + 2 steps."""
    length = 2 * lag + 2
    counted = copy_loss_weights(lag, length)
    noise = channels * counted * response_variances(initialisation, length)
    if isinstance(initialisation, LRU | Leaky):
        return _coupled(lag_kernel(initialisation, length), counted, noise, lag)
    speeds = kernel_diagonal(initialisation, length) * counted
    errors = noise + (np.arange(length) == lag)
    return float(speeds.max() / speeds[lag]), Course(speeds / speeds.max(), errors)


def _coupled(
    kernel: Float[np.ndarray, "lag lag"], counted: Float[np.ndarray, " lag"], noise: Float[np.ndarray, " lag"], lag: int
) -> tuple[float, Course]:
    """As for diagonal kernels, along the eigenvectors of D^(1/2) Theta D^(1/2)."""
    root = np.sqrt(counted)
    speeds, modes = np.linalg.eigh(root[:, None] * kernel * root)
    own = np.diagonal(kernel) * counted
    errors = np.square(modes[lag]) * counted[lag] + np.square(modes).T @ noise
    speeds = np.where(speeds > speeds[-1] * len(speeds) * np.finfo(float).eps, speeds, 0.0)
    return float(own.max() / own[lag]), Course(speeds / speeds[-1], errors)


def _measured(request: Request, drawn: Draw) -> tuple[Number, ...]:
    """From the gradients of a draw: couplings between lags and what else must be unlearned are left out."""
    told = "gradients of one draw at up to 32 units; a lower bound on the cost, no theorem"
    names = (("cost of the lag", "times the quickest lag"), ("learning steps", "steps"), ("predicted recall", "R^2"))
    if request.lag > drawn.reach:
        beyond = f"not measured: the draw was followed for {drawn.reach} steps"
        return tuple(Number(name, None, unit, DRAWN, beyond) for name, unit in names)
    length = request.length
    asked = drawn.lags < length
    counted = copy_loss_weights(request.lag, length)[drawn.lags[asked]]
    speeds = drawn.speeds[asked] * counted
    own = float(speeds[drawn.lags[asked] == request.lag][0])
    learns = own > NOTHING * float(speeds.max())
    course = Course(np.array([own / speeds.max() if learns else 0.0]), np.ones(1))
    values = (float(speeds.max()) / own if learns else math.inf, course.steps(), 1 - course.loss(request.steps))
    return tuple(Number(name, v, unit, DRAWN, told) for (name, unit), v in zip(names, values, strict=True))
