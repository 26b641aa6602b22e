"""Down the action of a linear mean-field network to a minimum, from one start, along Z = A e^S A^T.

First gradients with Barzilai-Borwein steps, then Newton steps in which negative curvatures count by their size, so that
they leave saddles; where one is reached all the same, it is left along its most negative curvature.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, eigsh

from hitherto.theory.mean_field_action import Point
from hitherto.theory.mean_field_prior import Kernel

STATIONARY = 1e-10  # largest entry of the gradient at what is called stationary
NEAR, ROUNDS = 3e-2, 400  # where gradient steps hand over to Newton steps, and their greatest number
NEWTON, CONJUGATE, ESCAPES = 60, 200, 6  # greatest numbers of Newton steps, of products in one, of saddles left
DENSE = 300  # unknowns up to which all curvatures are computed
FLAT = 1e-7  # curvatures from -FLAT on are not negative
REACH, MEMORY, ENOUGH = (
    1.0,
    8,
    1e-4,
)  # longest step; values a step may not exceed all of; share of the slope it must win


@dataclass(frozen=True, eq=False)
class Landing:
    """Where a descent ended.

    Attributes:
        kernel, value: C and F there.
        steepness: the largest entry of the gradient G.
        least_curvature: the smallest eigenvalue of the second derivative of F, along orthonormal symmetric S.
    """

    kernel: Kernel
    value: float
    steepness: float
    least_curvature: float

    @property
    def is_minimum(self) -> bool:
        """Whether the gradient vanishes, to `STATIONARY`, and no curvature is negative."""
        return self.steepness < STATIONARY and self.least_curvature >= -FLAT


def descend(start: Point) -> Landing:
    """The minimum below a start.

    Cost: some 10^2 gradients of M^3, then Newton steps: M^5 and M^6 for up to `DENSE` unknowns M (M + 1) / 2, some 10^2
    gradients each above.
    """
    point = start
    for _ in range(ESCAPES):
        point = settle(point)
        curvature, direction = least_curvature(point)
        if curvature >= -FLAT or steepness(point) >= STATIONARY:
            break
        point = leave(point, direction)
    return Landing(point.kernel, point.value, steepness(point), curvature)


def settle(start: Point) -> Point:
    """The stationary point below a start, a minimum or a saddle."""
    return _polished(_approached(start))


def steepness(point: Point) -> float:
    """The largest entry of G."""
    return float(np.abs(point.gradient).max(initial=0))


def _approached(point: Point) -> Point:
    """Gradient steps, the length of each by the change of the gradient over the last."""
    length, values = 0.5, [point.value]
    for _ in range(ROUNDS):
        if steepness(point) < NEAR:
            return point
        slope = point.gradient
        length, after = _stepped(point, -slope, length, max(values[-MEMORY:]))
        if after is None:
            return point
        step, turn = -length * slope, after.gradient - slope
        along = np.sum(step * turn)
        length = np.sum(step * step) / along if along > 0 else 2 * length
        values.append(after.value)
        point = after
    return point


def _polished(point: Point) -> Point:
    """Newton steps until the gradient vanishes, or rounding lets it shrink no further."""
    for _ in range(NEWTON):
        before = steepness(point)
        if before < STATIONARY / 10:
            return point
        rounding = 1e-13 * point.action.modes * (1 + abs(point.value))
        _, after = _stepped(point, _newton_step(point), 1.0, point.value + rounding)
        if after is None or (before < STATIONARY and steepness(after) > before / 2):
            return point
        point = after
    return point


def _newton_step(point: Point) -> np.ndarray:
    """-|H|^-1 G / 2; for many unknowns, what conjugate gradients find of it."""
    if _unknowns(point) > DENSE:
        return _conjugate_step(point)
    basis, hessian = _basis(point.action.modes), _hessian(point)
    slope = np.tensordot(basis, point.gradient / 2, 2)
    try:
        return np.tensordot(-cho_solve(cho_factor(hessian), slope), basis, 1)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(hessian)
        return np.tensordot(-vectors @ (vectors.T @ slope / np.maximum(np.abs(values), 1e-12)), basis, 1)


def _conjugate_step(point: Point) -> np.ndarray:
    """Conjugate gradients on H S = -G / 2, as far as curvatures are positive."""
    step = np.zeros_like(point.gradient)
    rest = direction = -point.gradient / 2
    left = start = np.sum(rest * rest)
    for _ in range(CONJUGATE):
        turned = point.curvature(direction)
        bend = np.sum(direction * turned)
        if bend <= 0:
            return step if step.any() else direction
        step = step + left / bend * direction
        rest = rest - left / bend * turned
        after = np.sum(rest * rest)
        if after <= start * min(1e-4, start):
            return step
        direction, left = rest + after / left * direction, after
    return step


def least_curvature(point: Point) -> tuple[float, np.ndarray]:
    """The smallest eigenvalue of H with its direction."""
    if not _unknowns(point):
        return np.inf, point.gradient
    if _unknowns(point) <= DENSE:
        values, vectors = np.linalg.eigh(_hessian(point))
        return float(values[0]), np.tensordot(vectors[:, 0], _basis(point.action.modes), 1)
    size = point.action.modes
    product = LinearOperator(
        2 * [_unknowns(point)], lambda v: _packed(point.curvature(_unpacked(v, size))), dtype=float
    )
    start = np.random.default_rng(0).normal(size=_unknowns(point))
    values, vectors = eigsh(product, k=1, which="SA", tol=1e-4, v0=start, ncv=40, maxiter=200)
    return float(values[0]), _unpacked(vectors[:, 0], size)


def _unknowns(point: Point) -> int:
    return point.action.modes * (point.action.modes + 1) // 2


def _hessian(point: Point) -> np.ndarray:
    basis = _basis(point.action.modes)
    flat = basis.reshape(len(basis), -1)
    hessian = point.curvature(basis).reshape(flat.shape) @ flat.T
    return (hessian + hessian.T) / 2


@lru_cache(8)
def _basis(size: int) -> np.ndarray:
    """Orthonormal symmetric matrices, stacked."""
    return np.stack([_unpacked(one, size) for one in np.eye(size * (size + 1) // 2)])


def _packed(matrix: np.ndarray) -> np.ndarray:
    """The upper triangle of a symmetric matrix, off the diagonal times sqrt(2), so that lengths stay."""
    rows, columns = np.triu_indices(len(matrix))
    return matrix[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


def _unpacked(vector: np.ndarray, size: int) -> np.ndarray:
    rows, columns = np.triu_indices(size)
    upper = np.zeros((size, size))
    upper[rows, columns] = vector / np.where(rows == columns, 2, np.sqrt(2))
    return upper + upper.T


def _stepped(point: Point, direction: np.ndarray, length: float, highest: float) -> tuple[float, Point | None]:
    """The longest of `length`, `length` / 2, ... that wins enough against the value `highest`; None if none does."""
    spread = np.linalg.eigh(direction)
    slope = np.sum(point.gradient * direction) / 2
    length = min(length, REACH / max(np.abs(spread[0]).max(), 1e-300))
    for _ in range(40):
        after = _moved(point, spread, length)
        if _value(after) <= highest + ENOUGH * length * slope:
            return length, after
        length /= 2
    return length, None


def _moved(point: Point, spread: tuple[np.ndarray, np.ndarray], length: float) -> Point:
    """Z = A e^S A^T for S = length * direction, given the eigenvalues and eigenvectors of the direction."""
    values, vectors = spread
    return point.action.of(point.factor @ (vectors * np.exp(length * values / 2)) @ vectors.T)


def _value(point: Point) -> float:
    try:
        return point.value
    except np.linalg.LinAlgError:
        return np.inf


def leave(point: Point, direction: np.ndarray) -> Point:
    """Down from a saddle along a direction of negative curvature, as far as it goes down."""
    spread, length = np.linalg.eigh(direction), 0.05
    while length < 2 and _value(_moved(point, spread, 2 * length)) < _value(_moved(point, spread, length)):
        length *= 2
    return _moved(point, spread, length)
