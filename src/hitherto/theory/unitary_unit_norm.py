"""Fewer extra states: units rescaled so that singular values of D^-1 W D become exactly 1, which need no extra state.

A W of norm below 1 with any entry off its diagonal has such a D: t -> |e^(-t v) W e^(t v)| grows without bound along
nearly every direction v, so it passes 1. Several singular values at 1 belong to extreme points of the convex set
{p > 0, sum p = 1, P - W^T P W positive semidefinite}, where P = D^-2; j of them are j (j + 1) / 2 equations for n - 1
unknowns.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Inexact

from hitherto.theory.unitary_network import EPS, refuse_complex, scaled_matrix, square

UNIT = 1e-13  # singular values this near to 1 count as 1: the tolerance to pass to `dilate`
STEEPEST = 1e5  # weight of the linear function against the barrier
NEAR = 1e-3  # singular values this near to 1 after that are polished to 1
WORST = 1e6  # scalings of a larger max d / min d are not taken


@dataclass(frozen=True, eq=False)
class UnitNorm:
    """A scaling of norm 1.

    Attributes:
        scale: d, the diagonal of D; all ones where no scaling helps.
        ones: singular values of D^-1 W D at 1, to within `UNIT`.
        states: N = 2 n - ones, of the dilation of D^-1 W D.
    """

    scale: Float[np.ndarray, " state"]
    ones: int
    states: int


def to_unit_norm(weight_hh: Inexact[np.ndarray, "row column"], directions: int = 20, seed: int = 0) -> UnitNorm:
    """D with as many singular values of D^-1 W D at 1 as random search finds, the rest below: N = 2 n - their number.

    One is found by bisection along random directions; several by minimising random linear functions of p over the
    convex set above, and Gauss-Newton steps on the block of W^T P W - P that must vanish. More may exist than are
    found. Take D of the smallest max d / min d among those with the most. Bound the extra bias on the network as it was
    before (`theory.unitary_bounds`), whose norm is below 1.

    Args:
        weight_hh: W, real, of norm below 1: `rescale` it first.
        directions: random directions, and random functions.
        seed: of the random numbers.
    Raises:
        ValueError: if W is not square, finite and real, or its norm is 1 or above.

    Cost: `directions` times some hundred decompositions, n^3 each.
    Source: our derivation.
    """
    refuse_complex(weight_hh=weight_hh)
    w = square(weight_hh)
    norm = np.linalg.norm(w, 2)
    if norm >= 1:
        raise ValueError(f"scaling to norm 1 starts from a norm below 1, got {norm:.9g}; call `rescale` first")
    rng, n = np.random.default_rng(seed), len(w)
    if not (w - np.diag(np.diag(w))).any():  # scaling leaves a diagonal matrix as it is
        return UnitNorm(np.ones(n), 0, 2 * n)
    found = [np.zeros(n)] + [_through_one(w, rng.normal(size=n)) for _ in range(directions)]
    if n > 3:  # two singular values at 1 are three equations
        found += [_extreme(w, rng.normal(size=n)) for _ in range(directions)]
    found = [t for t in found if t is not None and np.ptp(t) < np.log(WORST)]
    best = max(found, key=lambda t: (_ones(w, t), -np.ptp(t)))
    return UnitNorm(np.exp(best - best.mean()), _ones(w, best), 2 * n - _ones(w, best))


def _values(w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"]) -> Float[np.ndarray, " state"]:
    return np.linalg.svd(scaled_matrix(w, np.exp(t)), compute_uv=False)


def _ones(w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"]) -> int:
    """Singular values at 1, if none is above."""
    values = _values(w, t)
    return int((values > 1 - UNIT).sum()) if values[0] <= 1 + len(w) * EPS else -1


def _through_one(
    w: Float[np.ndarray, "state state"], direction: Float[np.ndarray, " state"]
) -> Float[np.ndarray, " state"] | None:
    """The last t along a direction with norm at most 1; None if the norm stays below 1 as far as one may go."""
    farthest = np.log(WORST) / np.ptp(direction)
    if _values(w, farthest * direction)[0] <= 1:
        return None
    inside, outside = 0.0, farthest
    while inside < (middle := (inside + outside) / 2) < outside:
        inside, outside = (middle, outside) if _values(w, middle * direction)[0] <= 1 else (inside, middle)
    return inside * direction


def _extreme(
    w: Float[np.ndarray, "state state"], cost: Float[np.ndarray, " state"]
) -> Float[np.ndarray, " state"] | None:
    """t of the p that minimises cost p over the convex set, polished; None where it fails."""
    n = len(w)
    p, weight = np.full(n, 1 / n), 1.0
    while weight < STEEPEST:
        weight *= 8
        try:
            p = _centred(w, p, weight * cost)
        except np.linalg.LinAlgError:
            return None  # the minimum is at infinite scales
    t = -np.log(p) / 2
    return _polished(w, t, int((_values(w, t) > 1 - NEAR).sum()))


def _centred(
    w: Float[np.ndarray, "state state"], p: Float[np.ndarray, " state"], cost: Float[np.ndarray, " state"]
) -> Float[np.ndarray, " state"]:
    """Newton steps for the minimum of cost p - log det(P - W^T P W) - sum log p over sum p = 1, with step control.

    With X = (P - W^T P W)^-1 the slope is cost_i - X_ii + (W X W^T)_ii - 1 / p_i, and the curvature, entry by entry,
    X^2 - (X W^T)^2 - (W X)^2 + (W X W^T)^2, and 1 / p^2 on the diagonal.
    """
    for _ in range(50):
        inverse = np.linalg.inv(np.diag(p) - w.T @ (p[:, None] * w))
        crossed, carried = inverse @ w.T, w @ inverse @ w.T
        slope = cost - np.diag(inverse) + np.diag(carried) - 1 / p
        curvature = inverse**2 - crossed**2 - crossed.T**2 + carried**2 + np.diag(p**-2.0)
        along = np.linalg.solve(curvature, np.stack([slope, np.ones(len(p))], 1))
        step = along[:, 1] * (along[:, 0].sum() / along[:, 1].sum()) - along[:, 0]
        decrement = np.sqrt(max(-slope @ step, 0.0))
        p = p + step / (1 + decrement)  # the damped step of self-concordant functions stays inside
        if decrement < 1e-6:
            break
    return p


def _polished(
    w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"], ones: int
) -> Float[np.ndarray, " state"] | None:
    """Gauss-Newton: the smallest relative change q of P with u_k, v_k of the largest singular values s_k near 1 meeting

    v_k^T Q v_l - s_k s_l u_k^T Q u_l = (s_k^2 - 1) [k = l], so that their block of P - W^T P W vanishes.
    """
    upper = np.triu_indices(ones)
    for _ in range(12):
        left, values, right = np.linalg.svd(scaled_matrix(w, np.exp(t)))
        if np.abs(1 - values[:ones]).max(initial=0) < 4 * EPS:
            break
        v, u = right[:ones], values[:ones, None] * left.T[:ones]
        equations = v[upper[0]] * v[upper[1]] - u[upper[0]] * u[upper[1]]
        wanted = np.where(upper[0] == upper[1], values[upper[0]] ** 2 - 1, 0)
        change = np.linalg.lstsq(equations, wanted, rcond=None)[0]
        if not (change > -1).all():
            return None
        t = t - np.log1p(change) / 2
    return t
