"""The action of linear mean-field networks: what a kernel costs, its slopes, and what it predicts.

A kernel C of a network of N units has probability exp(-N F(C)), with Sigma(C) as in `mean_field` and Q as in
`mean_field_prior`,

    F(C) = [tr(Sigma^-1 C) - log det C + log det Sigma - M + sum over outputs of y^T Q^-1 y] / 2.

Everything is done in modes, C = R Z R^T, in which the prior has variances 1 whatever the scales of the weights, and
from which directions that no network has (singular inputs, g = 0) are left out.

Source: our derivation.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from hitherto.theory.mean_field import Problem, refuse_kernel, shift, shift_back
from hitherto.theory.mean_field_prior import (
    Kernel,
    label_covariance,
    prior_kernel,
    refuse_nonlinear,
    refuse_tied_labels,
)

SINGULAR = 1e-13  # eigenvalues of the prior's correlations up to this share of the largest, times M, are 0
Modes = Float[np.ndarray, "*stack mode mode"]


class Action:
    """F of one problem, in modes: C = R Z R^T.

    Attributes:
        problem: what is learned.
        prior: Z of the prior; its diagonal is 1.
        root, inverse: R and its pseudo-inverse; where R is diagonal, as a vector.
        labels: y, without what no network of the prior meets.
        missed: |what none meets|^2 / kappa, which no kernel changes.
    Raises:
        ValueError: unless the network is linear, or without noise if the prior ties labels to each other.
    """

    def __init__(self, problem: Problem) -> None:
        refuse_nonlinear(problem)
        kernel, _ = prior_kernel(problem)
        refuse_tied_labels(problem, label_covariance(problem, kernel))
        self.problem = problem
        self.root, self.inverse = frames(kernel)
        self.prior = framed(self.inverse, kernel)
        self.seen = np.sqrt(problem.readout_variance) * dense(self.root)[problem.index]
        self.readouts = problem.readouts[np.ix_(problem.index, problem.index)]
        missed = self._out_of_reach()
        self.labels = problem.labels - missed
        self.missed = float(np.sum(missed**2) / problem.noise) if missed.any() else 0.0

    @property
    def modes(self) -> int:
        """Directions in which a network of the prior varies: the rank of its kernel."""
        return len(self.prior)

    def _out_of_reach(self) -> Float[np.ndarray, "label output"]:
        """The part of the labels along which no kernel has variance: rounding would drown slopes in it."""
        covariance = self.readouts * (self.seen @ self.seen.T)
        deviation = np.sqrt(np.diag(covariance))
        scale = np.where(deviation > 0, deviation, 1.0)
        values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        silent = values <= SINGULAR * len(values) * values[-1]
        if self.problem.noise == 0 or not silent.any():
            return np.zeros(self.problem.labels.shape)
        basis = np.linalg.qr(vectors[:, silent] / scale[:, None])[0]
        return basis @ (basis.T @ self.problem.labels)

    def at(self, kernel: Kernel) -> "Point":
        """The point of a kernel.

        Raises:
            ValueError: if the kernel is not positive on the modes, or reaches out of them.
        """
        refuse_kernel(self.problem, kernel)
        modes = framed(self.inverse, kernel)
        if not np.allclose(framed(self.root, modes), kernel, rtol=1e-6, atol=1e-9 * np.abs(kernel).max()):
            raise ValueError("the kernel has variance where no network of the prior has any; give one within its range")
        try:
            return self.of(np.linalg.cholesky(modes))
        except np.linalg.LinAlgError:
            raise ValueError("the kernel is not positive definite; give the kernel of a network") from None

    def of(self, factor: Float[np.ndarray, "mode mode"]) -> "Point":
        """The point Z = A A^T."""
        return Point(self, factor)

    def passed_on(self, change: Modes) -> Modes:
        """The change of Sigma by a change of Z: g^2 R^-1 S(mask * R change R^T) R^-T."""
        moved = shift(self.problem.mask * framed(self.root, change), self.problem.patterns)
        return self.problem.recurrent_variance * framed(self.inverse, moved)

    def traced_back(self, slope: Modes) -> Modes:
        """The adjoint of `passed_on`."""
        moved = shift_back(framed(self.inverse.T, slope), self.problem.patterns)
        return self.problem.recurrent_variance * framed(self.root.T, self.problem.mask * moved)

    def read(self, change: Modes) -> Float[np.ndarray, "*stack label label"]:
        """The change of Q by a change of Z."""
        return self.readouts * (self.seen @ change @ self.seen.T)

    def pulled(self, slope: Float[np.ndarray, "*stack label label"]) -> Modes:
        """The adjoint of `read`."""
        return self.seen.T @ (self.readouts * slope) @ self.seen


@dataclass(frozen=True, eq=False)
class Point:
    """F and its slopes at Z = A A^T, along Z = A e^S A^T for symmetric S.

    Attributes:
        action: whose point.
        factor: A; Z itself is never inverted, so that it may be nearly singular.
    Raises:
        numpy.linalg.LinAlgError: by `value`, if Sigma or Q is not positive definite to rounding.
    """

    action: Action
    factor: Float[np.ndarray, "mode mode"]

    @cached_property
    def kernel(self) -> Kernel:
        """C over all entries."""
        return framed(self.action.root, self.factor @ self.factor.T)

    @cached_property
    def value(self) -> float:
        """F."""
        sigma, weights = self._sigma, self.weights
        apart = 2 * np.log(np.diag(sigma)).sum() - 2 * np.linalg.slogdet(self.factor)[1]
        misfit = np.sum(self.action.labels * weights) + self.action.missed
        return float(np.sum(self._white**2) + apart - len(sigma) + misfit) / 2

    @cached_property
    def gradient(self) -> Float[np.ndarray, "mode mode"]:
        """G = 2 A^T (dF / dZ) A, so that dF = tr(G S) / 2; 0 where F is stationary."""
        tilt = self.action.traced_back(self.surplus) + self.action.pulled(self.weights @ self.weights.T)
        slope = self._white.T @ self._white - np.eye(self.action.modes) - self.factor.T @ tilt @ self.factor
        return (slope + slope.T) / 2

    def curvature(self, direction: Modes) -> Modes:
        """H S, tr(S H S) the second derivative of F at S = 0; any number of directions S at once, stacked."""
        action, moved = self.action, self.factor @ direction @ self.factor.T
        sigma = action.passed_on(moved)
        spread = self._precision @ sigma @ self._between
        surplus = self._precision @ (moved + sigma) @ self._precision - spread - _turned(spread)
        weights = -(self._label_precision @ action.read(moved) @ self.weights) @ self.weights.T
        tilt = action.traced_back(surplus) + action.pulled(weights + _turned(weights))
        change = self.factor.T @ (-self._precision @ sigma @ self._precision - tilt) @ self.factor + direction
        bent = self.gradient @ direction / 2
        return (change + bent + _turned(bent)) / 2

    @cached_property
    def _sigma(self) -> np.ndarray:
        """The Cholesky factor of Sigma, which is Z at the prior."""
        prior = self.action.prior
        return np.linalg.cholesky(prior + self.action.passed_on(self.factor @ self.factor.T - prior))

    @cached_property
    def _white(self) -> np.ndarray:
        return solve_triangular(self._sigma, self.factor, lower=True)

    @cached_property
    def _precision(self) -> np.ndarray:
        half = solve_triangular(self._sigma, np.eye(len(self._sigma)), lower=True)
        return half.T @ half

    @cached_property
    def _between(self) -> np.ndarray:
        """Sigma^-1 Z Sigma^-1."""
        half = solve_triangular(self._sigma, self._white, lower=True, trans=1)
        return half @ half.T

    @property
    def surplus(self) -> Float[np.ndarray, "mode mode"]:
        """Sigma^-1 Z Sigma^-1 - Sigma^-1: what Sigma lacks."""
        return self._between - self._precision

    @cached_property
    def _label_factor(self) -> tuple[np.ndarray, bool]:
        covariance = self.action.read(self.factor @ self.factor.T)
        return cho_factor(covariance + self.action.problem.noise * np.eye(len(covariance)), lower=True)

    @cached_property
    def weights(self) -> Float[np.ndarray, "label output"]:
        """u = Q^-1 y of the labels within reach; u is the slope of F in y."""
        return cho_solve(self._label_factor, self.action.labels)

    @cached_property
    def _label_precision(self) -> np.ndarray:
        return cho_solve(self._label_factor, np.eye(len(self.action.readouts)))


def action(problem: Problem, kernel: Kernel) -> float:
    """F(C); its lowest minimum is the kernel of wide trained networks.

    Raises:
        ValueError: unless the network is linear and the kernel one that it can have.

    Cost: M^3.
    """
    return Action(problem).at(kernel).value


def frames(kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """(R, its pseudo-inverse): the deviations of the entries, or a root of the kernel if that is singular."""
    deviation = np.sqrt(np.diag(kernel))
    used = np.flatnonzero(deviation)
    values, vectors = np.linalg.eigh(kernel[np.ix_(used, used)] / np.outer(deviation[used], deviation[used]))
    kept = values > SINGULAR * len(values) * values.max(initial=0)
    if len(used) == len(kernel) and kept.all():
        return deviation, 1 / deviation
    values, vectors = values[kept], vectors[:, kept]
    root, inverse = np.zeros((len(kernel), len(values))), np.zeros((len(values), len(kernel)))
    root[used] = deviation[used, None] * vectors * np.sqrt(values)
    inverse[:, used] = (vectors / np.sqrt(values)).T / deviation[used]
    return root, inverse


def framed(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """R Z R^T, where a vector is a diagonal R."""
    return frame[:, None] * matrix * frame if frame.ndim == 1 else frame @ matrix @ frame.T


def dense(frame: np.ndarray) -> np.ndarray:
    """R as a matrix."""
    return np.diag(frame) if frame.ndim == 1 else frame


def _turned(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, -1, -2)
