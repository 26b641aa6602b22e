"""The law of one hidden variable under a pull: q(h) ~ N(h; 0, sigma) e^(c~ phi(h)^2 / 2), phi erf or tanh.

Source: our derivation.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf

LEAST, MOST = 401, 100_001  # points
PHI = {"erf": erf, "tanh": np.tanh}
NEGLIGIBLE = 200.0  # -2 ln of what the density may fall to, over its largest


@dataclass(frozen=True)
class Law:
    """Moments of one time's q.

    Attributes:
        variance, passed, gained: c = <phi^2>, b = <h phi> / sigma and d = <h^2> / sigma^2 - 1 / sigma.
        log_norm: ln Z.
        variance_slopes, gained_slopes: of ln c and ln d, by ln sigma and by ln c~.
    """

    variance: float
    passed: float
    gained: float
    log_norm: float
    variance_slopes: tuple[float, float]
    gained_slopes: tuple[float, float]


def tilted_law(name: str, covariance: float | int, pull: float | int) -> Law:
    """By the trapezoid rule over half the line, from 401 points on and 10 a unit of h: exact to rounding."""
    first, last = _range(name, covariance, pull)
    z = np.linspace(first, last, int(np.clip(10 * np.sqrt(covariance) * (last - first), LEAST, MOST)))
    h = np.sqrt(covariance) * z
    value, slope, bend = activate(name, h)
    squared, moving = value**2, value * slope * h
    exponent = (pull * squared - z**2) / 2
    top = exponent.max()
    density = np.exp(exponent - top)
    density[0] /= 2
    total = density.sum()
    density /= total
    variance, spread = density @ squared, density @ h**2
    gained = spread / covariance**2 - 1 / covariance
    if gained * covariance < 0.1:  # by parts, where the difference would lose digits
        gained = pull * (density @ (slope**2 + value * bend) + pull * (density @ (slope * value) ** 2))
    around = pull / 2 * (squared - variance)
    by_covariance = pull / 2 * (moving - density @ moving)
    rate = covariance**2 * gained if pull else 1.0
    return Law(
        variance=float(variance),
        passed=float(density @ (h * value) / covariance),
        gained=float(gained),
        log_norm=float(top + np.log(2 * total * (z[1] - z[0]) / np.sqrt(2 * np.pi))),
        variance_slopes=(
            float((density @ moving + density @ (squared * by_covariance)) / variance),
            float(density @ (squared * around) / variance),
        ),
        gained_slopes=(
            float(density @ (h**2 * by_covariance) / rate - 1),
            float(density @ (h**2 * around) / rate),
        ),
    )


def _range(name: str, covariance: float | int, pull: float | int) -> tuple[float, float]:
    """h / sqrt(sigma) between which q is above e^-100 of its largest: phi^2 is below 1 and below 4 h^2 / pi.

    phi^2 is concave in h^2, so that q rises to one peak on the half line and falls from there.
    """
    share = 4 / np.pi * pull * covariance
    further = min(pull, NEGLIGIBLE * share / (1 - share)) if share < 1 else pull
    reach = float(np.sqrt(NEGLIGIBLE + further))
    if further < NEGLIGIBLE:
        return 0.0, reach

    def depth(z: float) -> float:
        return z**2 - pull * float(PHI[name](np.sqrt(covariance) * z)) ** 2

    close = {"bounds": (-5, np.log(reach)), "method": "bounded", "options": {"xatol": 1e-9}}
    peak = float(np.exp(minimize_scalar(lambda x: depth(np.exp(x)), **close).x))
    level = depth(peak) + NEGLIGIBLE
    first = 0.0 if level > 0 else brentq(lambda z: depth(z) - level, 0, peak)
    return float(first), float(brentq(lambda z: depth(z) - level, peak, reach + 1))


def activate(name: str, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(h) of erf or tanh, and its first two derivatives."""
    value = PHI[name](h)
    if name == "tanh":
        return value, 1 - value**2, -2 * value * (1 - value**2)
    slope = 2 / np.sqrt(np.pi) * np.exp(-(h**2))
    return value, slope, -2 * h * slope
