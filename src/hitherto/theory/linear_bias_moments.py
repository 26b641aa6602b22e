"""Means of powers of modes over the distributions they start from, without cancellation at either end.

What `theory.linear_bias_kernels` builds its kernels of: u = |lam|^2 or lam uniform, or step sizes dt log-uniform.
Every formula is our derivation.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import exp1

from hitherto.theory.linear_bias import refuse_sizes

NODES, CUT = 64, 45.0  # of Gauss-Legendre, where an exponential has fallen to e^-45: exact to rounding


def mean_step_power(low: float | int, high: float | int, lags: int) -> Float[np.ndarray, " lag"]:
    """E e^(-k dt), dt log-uniform on [low, high]: (E1(k low) - E1(k high)) / log(high / low), 1 at lag 0.

    Raises:
        ValueError: unless 0 < low <= high, or for no lag.
    """
    refuse_sizes(lags=lags)
    refuse_range("dt", low, high, above_zero=True)
    k = np.arange(lags)
    if high < 2 * low:  # where the difference of two nearly equal integrals would lose digits
        return mean_over_steps(low, high, k, -1)
    later = (exp1(k[1:] * low) - exp1(k[1:] * high)) / math.log(high / low)
    return np.append(1.0, later)


def mean_power(low: float, high: float, count: int) -> Float[np.ndarray, " power"]:
    """Means of u^k, u uniform on [low, high], k < count: high^k (1 - (low/high)^(k+1)) / ((k+1) (1 - low/high))."""
    k, share = np.arange(count), (high - low) / high
    powers = np.power(high, k)
    if share == 0:
        return powers
    with np.errstate(divide="ignore"):
        return powers * -np.expm1((k + 1) * np.log1p(-share)) / ((k + 1) * share)


def mean_over_radii(
    low: float, high: float, powers: Float[np.ndarray, " power"], factor: Callable[[np.ndarray], np.ndarray]
) -> Float[np.ndarray, " power"]:
    """Means of u^p factor(-log u), u uniform on [low, high], high <= 1, by quadrature over s = -log u."""
    start = -math.log(high)
    share = (high - low) / high
    span = -math.log1p(-share) if share < 1 else math.inf
    if span == 0:
        return high**powers * factor(np.array(start))
    nodes, weights = _gauss(np.minimum(span, CUT / (powers + 1)))
    integrand = factor(start + nodes) * np.exp(-powers[:, None] * (start + nodes) - nodes)
    return (weights * integrand).sum(1) / -np.expm1(-span)


def mean_over_steps(low: float, high: float, lags: Shaped[np.ndarray, " lag"], power: int) -> Float[np.ndarray, " lag"]:
    """Means of dt^(power + 1) e^(-k dt), dt log-uniform on [low, high], by quadrature over dt."""
    if low == high:
        return low ** (power + 1) * np.exp(-lags * low)
    with np.errstate(divide="ignore"):
        nodes, weights = _gauss(np.minimum(high - low, CUT / lags))
    steps = low + nodes
    integrand = steps**power * np.exp(-lags[:, None] * steps)
    return (weights * integrand).sum(1) / math.log1p((high - low) / low)


def _gauss(spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, span], a row for each span."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return spans[:, None] * (nodes + 1) / 2, spans[:, None] * weights / 2


def refuse_range(name: str, low: float | int, high: float | int, above_zero: bool = False) -> tuple[float, float]:
    """The ends of a range, in order.

    Raises:
        ValueError: naming what it is a range of.
    """
    if not low >= 0 or not low <= high < math.inf or high == 0 or (above_zero and low == 0):
        raise ValueError(
            f"{name} needs {'0 <' if above_zero else '0 <='} low <= high, high above 0 and finite, got low={low} and "
            f"high={high}; give the ends in that order"
        )
    return float(low), float(high)
