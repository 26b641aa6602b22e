"""From the memory that is wanted to an initialisation that has it, and what else could be changed instead.

All answers come from one search in one number at a time: nu_W, or the learning rate of W, or the nu_W of a deeper stack
or of other recurrent matrices. Symbols as in `theory.linear_bias`; our derivation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from hitherto.theory.linear_bias import Gaussian, cautions, log_lag_weight, refuse_sizes
from hitherto.theory.linear_bias_kernels import Orthogonal, Ring, Stacked
from hitherto.theory.linear_bias_summary import mean_lag, refuse_silent

RANGE = 300.0  # of logarithms searched, so that squares and products stay in the range of floats
NEAREST = 1e-100  # |log nu_W| below 1 that is searched where nu_W = 1 has no answer
NEAR_ONE = 1e-3  # |log nu_W| below which a float would lose digits of 1 - nu_W that matter
CLOSE = 1e-12  # a target this close to the end of what can be reached is reached
DEPTHS = (2, 3, 4)


@dataclass(frozen=True)
class MeanLag:
    """The mean of the lags under rho, over all lags."""

    lag: float | int


@dataclass(frozen=True)
class HalfLife:
    """rho has fallen to rho_0 / 2 at this lag, from 1 on, whole or not."""

    lag: float | int


@dataclass(frozen=True)
class AtMost:
    """Lag `lag` costs at most `ratio` times the cheapest, over sequences of `length` steps of white inputs.

    Costs as in `theory.linear_bias_delays`. The least nu_W that does it is chosen; it may be above 1.
    """

    lag: int
    ratio: float | int
    length: int
    last_output: bool = False


Target = MeanLag | HalfLife | AtMost


@dataclass(frozen=True)
class Alternative:
    """One thing to change.

    Attributes:
        change: what, in words.
        initialisation: what comes of it; None where it cannot reach the target.
        obstacle: why not, "" where it can.
    """

    change: str
    initialisation: Gaussian | Orthogonal | Ring | Stacked | None
    obstacle: str = ""


@dataclass(frozen=True)
class Design:
    """How to have the memory that is wanted.

    Attributes:
        initialisation: with another nu_W.
        alternatives: other single changes.
        cautions: where the wide limit says less than it seems to.
    """

    initialisation: Gaussian
    alternatives: tuple[Alternative, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class _Shape:
    """What a target is read off: an initialisation, its log weights at any lags, and its mean lag."""

    initialisation: Gaussian | Orthogonal | Ring | Stacked
    log_weight: Callable[[np.ndarray], np.ndarray]
    mean_lag: Callable[[], float]


Family = Callable[[float], _Shape]


def design(target: Target, present: Gaussian, *, width: int | None = None) -> Design:
    """The nu_W that meets a target with all else as it is, and the alternatives.

    Mean lag m: reached from c / (a + c) on, the value at nu_W = 0. Half-life J: every J from 2 on; J = 1 if c <= a / 2.
    Cost: every lag and ratio, since rho_j c_j is log-concave: where earlier lags are not too cheap, later ones are not.

    Args:
        target: `MeanLag`, `HalfLife` or `AtMost`.
        present: the initialisation to change; its nu_W is kept where its learning rate of W is changed.
        width: n, for a caution where the target is beyond sqrt(n).
    Returns:
        nu_W as a float, or as a fraction where 1 - nu_W would lose digits; gains and radii are always floats.
    Raises:
        ValueError: if no nu_W reaches the target, with what is within reach, or for a target outside its range.

    Cost: some hundred evaluations of a target, which take `length` steps each for a cost.
    """
    _refuse_target(target)
    refuse_silent(present)
    if isinstance(target, HalfLife) and not present.terms[0]:
        raise ValueError(
            f"{target} is of the weight of lag 0, and rho_0 is 0 where W alone is trained; give a mean lag"
        )
    refuse_sizes(**({} if width is None else {"width": width}))
    main = _alternative("nu_W", partial(_gaussian, present), target)
    if main.initialisation is None:
        raise ValueError(f"{target} was asked for by nu_W alone: {main.obstacle}; change nu_F, nu_C or the target")
    return Design(main.initialisation, _alternatives(present, target), cautions(main.initialisation, target.lag, width))


def _alternatives(present: Gaussian, target: Target) -> tuple[Alternative, ...]:
    rates = f"the learning rate of W, at nu_W = {float(present.nu):g}"
    by_rate = _alternative(rates, partial(_by_rate, present), target, whole_line=True)
    if present.parametrisation != "entries" or set(present.learning_rates) != {1}:
        return (by_rate,)  # kernels of other starts are known for equal rates of the entries alone
    others = [("an orthogonal recurrent matrix", _orthogonal), ("complex modes on a ring", _ring)]
    others += [(f"{layers} layers", partial(_stacked, layers)) for layers in DEPTHS]
    return (by_rate, *(_alternative(name, partial(family, present), target) for name, family in others))


def _alternative(change: str, family: Family, target: Target, *, whole_line: bool = False) -> Alternative:
    """The least parameter of a family that meets the target, by bisection: all targets rise with it."""
    low, high = -RANGE, RANGE if whole_line or isinstance(target, AtMost) else -NEAREST

    def excess(parameter: float) -> float:
        return _excess(target, family(parameter))

    least, most = excess(low), excess(high)
    if most < -CLOSE or (least > CLOSE and not isinstance(target, AtMost)):
        return Alternative(change, None, _reach(target, family(low), family(high), below=least > CLOSE))
    found = family(low if least >= 0 else _least(lambda parameter: excess(parameter) >= 0, low, high))
    if obstacle := _later_obstacle(target, found):
        return Alternative(change, None, obstacle)
    return Alternative(change, found.initialisation)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least float for which a condition holds that then stays true, to the last digit even where it is near 0."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _excess(target: Target, shape: _Shape) -> float:
    """How far beyond the target, on a logarithmic scale."""
    if isinstance(target, MeanLag):
        return _log(shape.mean_lag()) - _log(target.lag)
    if isinstance(target, HalfLife):
        now, start = shape.log_weight(np.array([float(target.lag), 0.0]))
        return max(float(now - start) + math.log(2), -1e300)
    return math.log(target.ratio) - _log_cost(target, shape, np.arange(target.lag + 1))


def _log_cost(target: AtMost, shape: _Shape, lags: np.ndarray) -> float:
    """Of the lag, against the cheapest of `lags`."""
    counted = np.zeros(len(lags)) if target.last_output else np.log1p(-lags / target.length)
    speeds = shape.log_weight(lags.astype(float)) + counted
    own = speeds[target.lag]
    return min(float(speeds.max() - own), 1e300) if own > -math.inf else 1e300


def _later_obstacle(target: Target, shape: _Shape) -> str:
    """Why a cost is not met although no earlier lag is too cheap; later ones become so as the parameter rises."""
    if not isinstance(target, AtMost):
        return ""
    cost = _log_cost(target, shape, np.arange(target.length))
    if cost <= math.log(target.ratio) + CLOSE:
        return ""
    return f"where earlier lags are dear enough, a later one is cheaper by a factor of {math.exp(min(cost, RANGE)):.4g}"


def _reach(target: Target, low: _Shape, high: _Shape, *, below: bool) -> str:
    if isinstance(target, MeanLag):
        return f"within reach are mean lags from {low.mean_lag():.6g} to {high.mean_lag():.6g}"
    if isinstance(target, HalfLife):
        above = "the weights are above half the first at this lag already; longer ones are within reach"
        return above if below else "they fall below half before it"
    return f"its cost stays above {math.exp(min(_log_cost(target, high, np.arange(target.lag + 1)), RANGE)):.6g}"


def _gaussian(present: Gaussian, log_nu: float) -> _Shape:
    exactly = abs(log_nu) < NEAR_ONE
    return _shape(replace(present, nu_W=1 + Fraction(math.expm1(log_nu)) if exactly else math.exp(log_nu)))


def _by_rate(present: Gaussian, log_rate: float) -> _Shape:
    return _shape(replace(present, learning_rates=(math.exp(log_rate), *present.learning_rates[1:])))


def _shape(initialisation: Gaussian) -> _Shape:
    return _Shape(initialisation, partial(log_lag_weight, initialisation), partial(mean_lag, initialisation))


def _orthogonal(present: Gaussian, log_nu: float) -> _Shape:
    start = Orthogonal(math.exp(log_nu / 2), present.nu_F, present.nu_C)
    return replace(_gaussian(present, log_nu), initialisation=start)


def _ring(present: Gaussian, log_nu: float) -> _Shape:
    """All modes of |lam|^2 = u: rho_j = a u^j + c j^2 u^(j-1)."""
    a, c = map(float, present.terms)
    u, e = math.exp(log_nu), -math.expm1(log_nu)

    def mean() -> float:
        return math.inf if e <= 0 else (a * u * e**2 + c * (1 + 4 * u + u * u)) / (a * e**2 + c * (1 + u)) / e

    def log_weight(lags: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.logaddexp(np.log(a) + lags * log_nu, np.log(c) + 2 * np.log(lags) + (lags - 1) * log_nu)

    return _Shape(Ring(u, u, present.nu_F, present.nu_C), log_weight, mean)


def _stacked(layers: int, present: Gaussian, log_nu: float) -> _Shape:
    """Equal layers, nu_B = 1: rho_j = C(j+L-1, L-1) (a' nu^j + c j nu^(j-1)) with a' = a + (L-1) c."""
    a, c = map(float, present.terms)
    a += (layers - 1) * c
    nu, e = math.exp(log_nu), -math.expm1(log_nu)

    def mean() -> float:
        return math.inf if e <= 0 else layers * (a * nu * e + c * (1 + layers * nu)) / (a * e + layers * c) / e

    def log_weight(lags: np.ndarray) -> np.ndarray:
        paths = sum(np.log1p(lags / above) for above in range(1, layers))
        with np.errstate(divide="ignore"):
            return paths + np.logaddexp(np.log(a) + lags * log_nu, np.log(c) + np.log(lags) + (lags - 1) * log_nu)

    return _Shape(Stacked((nu,) * layers, 1, present.nu_F, present.nu_C), log_weight, mean)


def _log(number: float | int) -> float:
    """The logarithm, within what a search can bracket."""
    return max(-1e300, min(math.log(number), 1e300)) if number > 0 else -1e300


def _refuse_target(target: Target) -> None:
    least = 1 if isinstance(target, HalfLife) else 0
    if not least <= target.lag < math.inf:
        raise ValueError(f"{target} asks for lag {target.lag}; give a finite one from {least} on")
    if not isinstance(target, AtMost):
        return
    refuse_sizes(0, lag=target.lag)
    refuse_sizes(length=target.length)
    if target.lag >= target.length:
        raise ValueError(
            f"{target} asks for a lag beyond {target.length - 1}, the longest there is; give a longer length"
        )
    if not 1 <= target.ratio < math.inf:
        raise ValueError(f"{target} asks for a cost of {target.ratio} times the cheapest; give 1 or more")
