"""What arguments about orthogonal twins need to know of an activation, by name, as a table.

Extra units are parked where an activation is flat, or nearly: phi(z) -> c for z -> -inf. What a reading of the slopes
needs are the least and the largest of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from hitherto.core.names import known

INF = float("inf")
Values = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Activation:
    """phi and its slopes.

    Attributes:
        name: as it was asked for.
        apply, slope: phi and its derivative, on arrays; at a kink the slope from the left. For `group_sort`, which is
            not pointwise, the derivative is a matrix.
        lipschitz: L, the largest size of a slope.
        least_slope: the least size of a slope.
        rest: c, the limit at -inf; None if there is none.
        level: (d) -> z with |phi - c| <= d from z down; for d = 0 it is -inf unless phi is constant from z down.
        limit: largest |phi|, infinite where it is unbounded.
        smooth: phi has a slope everywhere, and it is 0 nowhere, or at one point for GELU and SiLU.
        identifiable: shifted and scaled copies are linearly independent (tanh, logistic), so that equal maps have equal
            units.
        homogeneous: phi(d z) = d phi(z) for d > 0.
        dead_zone: phi = 0 for |z| up to this.
    """

    name: str
    apply: Callable[[Values], Values]
    slope: Callable[[Values], Values]
    lipschitz: float
    least_slope: float = 0.0
    rest: float | None = None
    level: Callable[[float], float] | None = None
    limit: float = INF
    smooth: bool = False
    identifiable: bool = False
    homogeneous: bool = False
    dead_zone: float = 0.0

    def jacobian(self, z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, "unit unit"]:
        """The derivative of phi at z as a matrix."""
        slope = self.slope(z)
        return slope if slope.ndim == 2 else np.diag(slope)

    @property
    def flat(self) -> bool:
        """Whether phi is constant on a half-line."""
        return self.level is not None and self.level(0.0) > -INF


def activation(name: str) -> Activation:
    """Facts on the activation `name`, with its parameters in the name as in `leaky_relu(0.2)`.

    `hard_sigmoid(s,b)` is min(max(s z + b, 0), 1), with (0.2, 0.5) by default and (1/6, 0.5) in other libraries.

    Raises:
        ValueError: if there is no such activation here, or its parameters do not fit.
    """
    match = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", name.replace(" ", ""))
    defaults, make = _FAMILIES[known(match[1] if match else name, _FAMILIES, "activation with known facts")]
    given = tuple(float(value) for value in match[2].split(",")) if match[2] else defaults
    if len(given) != len(defaults) or min(given, default=1) <= 0:
        raise ValueError(f"{match[1]} takes {len(defaults)} positive parameters, {name!r} gives {given}")
    return Activation(name, **make(*given))


def _constant_below(edge: float) -> Callable[[float], float]:
    return lambda d: edge


def _relu() -> dict:
    return dict(
        apply=lambda z: np.maximum(z, 0),
        slope=lambda z: np.where(z > 0, 1.0, 0.0),
        lipschitz=1.0,
        rest=0.0,
        level=lambda d: d,
        homogeneous=True,
    )


def _leaky_relu(slope: float) -> dict:
    return dict(
        apply=lambda z: np.where(z < 0, slope * z, z),
        slope=lambda z: np.where(z > 0, 1.0, slope),
        lipschitz=max(1.0, slope),
        least_slope=min(1.0, slope),
        homogeneous=True,
    )


def _linear() -> dict:
    return dict(apply=lambda z: z, slope=np.ones_like, lipschitz=1.0, least_slope=1.0, homogeneous=True)


def _abs() -> dict:
    return dict(apply=np.abs, slope=np.sign, lipschitz=1.0, least_slope=1.0, homogeneous=True)


def _group_sort() -> dict:
    return dict(apply=lambda z: _exchanges(z) @ z, slope=_exchanges, lipschitz=1.0, least_slope=1.0)


def _exchanges(z: Float[np.ndarray, " unit"]) -> Float[np.ndarray, "unit unit"]:
    """The permutation that puts the larger of units 1 and 2, 3 and 4, ... first."""
    order = np.arange(len(z))
    first = np.arange(0, len(z) - 1, 2)
    first = first[z[first] < z[first + 1]]
    order[first], order[first + 1] = first + 1, first
    return np.eye(len(z))[order]


def _clipped(slope: float, offset: float, low: float, high: float) -> dict:
    return dict(
        apply=lambda z: np.clip(slope * z + offset, low, high),
        slope=lambda z: np.where((slope * z + offset > low) & (slope * z + offset <= high), slope, 0.0),
        lipschitz=slope,
        rest=low,
        level=_constant_below((low - offset) / slope),
        limit=max(-low, high),
    )


def _soft_shrink(edge: float) -> dict:
    return dict(
        apply=lambda z: np.sign(z) * np.maximum(np.abs(z) - edge, 0),
        slope=lambda z: np.where(np.abs(z) > edge, 1.0, 0.0),
        lipschitz=1.0,
        dead_zone=edge,
    )


def _sigmoid() -> dict:
    return dict(
        apply=expit,
        slope=lambda z: expit(z) * expit(-z),
        lipschitz=0.25,
        rest=0.0,
        level=lambda d: _log(d) - float(np.log1p(-d)),
        limit=1.0,
        smooth=True,
        identifiable=True,
    )


def _tanh() -> dict:
    return dict(
        apply=np.tanh,
        slope=lambda z: np.cosh(np.minimum(np.abs(z), 350)) ** -2.0,
        lipschitz=1.0,
        rest=-1.0,
        level=lambda d: (_log(d) - float(np.log(2 - d))) / 2,  # -artanh(1 - d) without cancellation
        limit=1.0,
        smooth=True,
        identifiable=True,
    )


def _softplus() -> dict:
    return dict(
        apply=lambda z: np.logaddexp(z, 0),
        slope=expit,
        lipschitz=1.0,
        rest=0.0,
        level=lambda d: _log(float(np.expm1(d))),
        smooth=True,
    )


def _elu(scale: float) -> dict:
    return dict(
        apply=lambda z: np.where(z > 0, z, scale * np.expm1(np.minimum(z, 0))),
        slope=lambda z: np.where(z > 0, 1.0, scale * np.exp(np.minimum(z, 0))),
        lipschitz=max(1.0, scale),
        rest=-scale,
        level=lambda d: _log(d / scale),
        smooth=True,
    )


def _gelu() -> dict:
    return dict(
        apply=lambda z: z * ndtr(z),
        slope=lambda z: ndtr(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
        lipschitz=1.128905,  # at z = sqrt 2
        rest=0.0,
        level=lambda d: _left_branch(lambda z: z * ndtr(z), -0.7517915, d),
        smooth=True,
    )


def _silu() -> dict:
    return dict(
        apply=lambda z: z * expit(z),
        slope=lambda z: expit(z) * (1 + z * expit(-z)),
        lipschitz=1.09984,  # at z = 2.3994
        rest=0.0,
        level=lambda d: _left_branch(lambda z: z * expit(z), -1.2784645, d),
        smooth=True,
    )


def _left_branch(phi: Callable[[float], float], lowest: float, d: float) -> float:
    """z below the minimum with |phi(z)| = d; the minimum itself where |phi| never gets to d left of it."""
    if d == 0:
        return -INF
    if abs(phi(lowest)) <= d:
        return lowest
    farthest = 2.0 * lowest
    while abs(phi(farthest)) > d:
        farthest *= 2
    return float(brentq(lambda z: phi(z) + d, farthest, lowest, xtol=1e-12, rtol=1e-15)) - 1e-11


def _log(d: float) -> float:
    return float(np.log(d)) if d > 0 else -INF


# name: default parameters, then parameters -> facts
_FAMILIES: dict[str, tuple[tuple[float, ...], Callable[..., dict]]] = {
    "relu": ((), _relu),
    "leaky_relu": ((0.01,), _leaky_relu),
    "linear": ((), _linear),
    "abs": ((), _abs),
    "group_sort": ((), _group_sort),
    "hard_tanh": ((), lambda: _clipped(1.0, 0.0, -1.0, 1.0)),
    "relu6": ((), lambda: _clipped(1.0, 0.0, 0.0, 6.0)),
    "hard_sigmoid": ((0.2, 0.5), lambda s, b: _clipped(s, b, 0.0, 1.0)),
    "soft_shrink": ((0.5,), _soft_shrink),
    "sigmoid": ((), _sigmoid),
    "tanh": ((), _tanh),
    "softplus": ((), _softplus),
    "elu": ((1.0,), _elu),
    "gelu": ((), _gelu),
    "silu": ((), _silu),
}
