"""The law of one hidden variable under a pull: q(h) ~ N(h; 0, sigma) e^(c~ phi(h)^2 / 2), phi erf or tanh.

Source: our derivation.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf


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
    """By the trapezoid rule over half the line, 400 points or 2 a unit of h / sqrt(sigma): exact to rounding."""
    reach = _reach(covariance, pull)
    z = np.linspace(0, reach, max(401, int(2 * reach)))
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
        log_norm=float(top + np.log(2 * total * z[1] / np.sqrt(2 * np.pi))),
        variance_slopes=(
            float((density @ moving + density @ (squared * by_covariance)) / variance),
            float(density @ (squared * around) / variance),
        ),
        gained_slopes=(
            float(density @ (h**2 * by_covariance) / rate - 1),
            float(density @ (h**2 * around) / rate),
        ),
    )


def _reach(covariance: float | int, pull: float | int) -> float:
    """h / sqrt(sigma) up to which q is above e^-100: phi^2 is below 1 and below 4 h^2 / pi."""
    share = 4 / np.pi * pull * covariance
    return float(np.sqrt(200 + (min(pull, 200 * share / (1 - share)) if share < 1 else pull)))


def activate(name: str, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(h) of erf or tanh, and its first two derivatives."""
    if name == "tanh":
        value = np.tanh(h)
        return value, 1 - value**2, -2 * value * (1 - value**2)
    slope = 2 / np.sqrt(np.pi) * np.exp(-(h**2))
    return erf(h), slope, -2 * h * slope
