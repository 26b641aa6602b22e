"""Many patterns under a pulse, with inputs of any kernel: minimised over outputs, each a problem of a few patterns.

In the eigenbasis of the inputs, X = U s U^T, outputs at the labelled times are f = U s^(1/2) w, and what they cost the
kernel, R, depends on w^T w alone: as much as orthogonal patterns cost that a network without noise must answer by w.
These lie in the span of the columns of w, one for each labelled time and output:

    F = min over w of R(w^T w) + |y - U s^(1/2) w|^2 / (2 kappa).

Source: our derivation, checked against minimisation over all entries.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import Action, Point
from hitherto.theory.mean_field_descent import ESCAPES, FLAT, Landing, least_curvature, leave, settle, steepness
from hitherto.theory.mean_field_prior import Kernel, prior_kernel

MANY = 60  # modes from which this is quicker than minimising over all entries
RANK = 1e-13  # eigenvalues of the inputs up to this share of the largest, times P, are 0
OUTER = 1e-6  # largest slope in w, by its root curvature, at rest: an error of F of 1e-12 a direction

Outputs = Float[np.ndarray, "direction column"]


def is_of_many_patterns(problem: Problem) -> bool:
    """Whether minimising over outputs is right, and quicker than over all entries."""
    if not (problem.is_pulse and problem.noise * problem.recurrent_variance * problem.readout_variance > 0):
        return False
    steps = len(np.unique(problem.time_of[problem.index]))
    directions = np.linalg.matrix_rank(problem.kernel[: problem.patterns, : problem.patterns], hermitian=True)
    complete = len(problem.labelled) == steps * problem.patterns
    fewer = steps * problem.labels.shape[1] < directions
    return bool(complete and fewer and directions * problem.times > MANY)


class Patterns:
    """The outer problem.

    Attributes:
        problem: one that `is_of_many_patterns`.
        root: U s^(1/2), of as many columns as the inputs have directions.
        labels: U^T y, a column for each labelled time and output.
        count: patterns of the inner problem.
    """

    def __init__(self, problem: Problem) -> None:
        patterns = problem.patterns
        values, vectors = np.linalg.eigh(problem.kernel[:patterns, :patterns])
        kept = values > RANK * patterns * values.max(initial=0)
        self.problem, self.values = problem, values[kept]
        self.root = vectors[:, kept] * np.sqrt(self.values)
        self.steps = np.unique(problem.time_of[problem.index])
        by_time = problem.labels[np.argsort(problem.index)].reshape(len(self.steps), -1, problem.labels.shape[1])
        columns = by_time.transpose(1, 0, 2).reshape(by_time.shape[1], -1)
        self.labels = vectors[:, kept].T @ columns
        self.unseen = np.sum(columns**2) - np.sum(self.labels**2)
        self.count = self.labels.shape[1]

    def action(self) -> Action:
        """The inner problem at the outputs of the lazy network."""
        return self._inner(self._ridge(prior_variances(self.problem)[self.steps]))[0]

    def descend(self, start: Point) -> Landing:
        """The minimum below a start, which is a point of the inner problem."""
        variances = np.diag(start.kernel).reshape(-1, self.count).mean(1)[self.steps]
        outputs, point = self._ridge(variances), start
        for _ in range(ESCAPES):  # more than once where the inner problem left its branch, or is at a saddle
            outputs, point, slope = self._settle(outputs, point, variances)
            curvature, direction = least_curvature(point)
            resting = slope < OUTER * np.sqrt(1 + abs(point.value))
            if curvature < -FLAT:
                point = leave(point, direction)
            elif resting:
                break
        kernel = self._lifted(point.kernel, _polar(outputs)[0])
        return Landing(kernel, self._value(point, outputs), steepness(point) if resting else slope, curvature)

    def _settle(self, outputs: Outputs, point: Point, variances: np.ndarray) -> tuple[Outputs, Point, float]:
        """Outputs and inner point at rest, with the slope that is left; variances set the scale of each direction."""
        stiffness = self.values[:, None] / self.problem.noise + 1 / self._by_column(variances)
        scale = np.sqrt(stiffness)

        def cost(scaled: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal point
            here = scaled.reshape(scale.shape) / scale
            action, basis = self._inner(here)
            point = settle(action.of(point.factor))
            missed = np.sqrt(self.values)[:, None] * here - self.labels
            slope = basis @ self._weights(point) + np.sqrt(self.values)[:, None] * missed / self.problem.noise
            return self._value(point, here), (slope / scale).ravel()

        options = dict(maxiter=1000, maxfun=1000, maxcor=30, ftol=0, gtol=OUTER / 100)
        found = minimize(cost, (outputs * scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        slope = cost(found.x)[1]
        return found.x.reshape(scale.shape) / scale, point, float(np.abs(slope).max())

    def _value(self, point: Point, outputs: Outputs) -> float:
        missed = np.sum((np.sqrt(self.values)[:, None] * outputs - self.labels) ** 2) + self.unseen
        return float(point.value + missed / (2 * self.problem.noise))

    def _inner(self, outputs: Outputs) -> tuple[Action, np.ndarray]:
        """The inner problem, with the basis its patterns are in."""
        basis, labels = _polar(outputs)
        readouts, shape = self.problem.labels.shape[1], (self.count, len(self.steps), -1)
        given = labels.reshape(shape).transpose(1, 0, 2).reshape(-1, readouts)
        kernel = np.zeros(2 * [self.problem.times * self.count])
        kernel[: self.count, : self.count] = np.eye(self.count)
        labelled = np.add.outer(self.steps * self.count, np.arange(self.count)).ravel()
        problem = self.problem.with_(kernel=kernel, labelled=tuple(map(int, labelled)), labels=given, noise=0)
        return Action(problem), basis

    def _weights(self, point: Point) -> np.ndarray:
        """dR / d labels of the inner problem, a column for each labelled time and output."""
        shape = (len(self.steps), self.count, -1)
        return point.weights.reshape(shape).transpose(1, 0, 2).reshape(self.count, -1)

    def _lifted(self, kernel: Float[np.ndarray, "inner inner"], basis: np.ndarray) -> Kernel:
        prior = prior_kernel(self.problem)[0]
        turned = np.kron(np.eye(self.problem.times), self.root @ basis)
        inner = np.kron(np.diag(prior_variances(self.problem)), np.eye(self.count))
        return prior + turned @ (kernel - inner) @ turned.T

    def _ridge(self, variances: np.ndarray) -> Outputs:
        """Outputs of a network whose kernel at the labelled times is the prior's but for its size."""
        ridge = self.problem.noise / self._by_column(variances)
        return np.sqrt(self.values)[:, None] * self.labels / (self.values[:, None] + ridge)

    def _by_column(self, variances: np.ndarray) -> np.ndarray:
        return self.problem.readout_variance * np.repeat(variances, self.labels.shape[1] // len(self.steps))


def prior_variances(problem: Problem) -> Float[np.ndarray, " time"]:
    """c0 of each time under a pulse, of a pattern with x . x / D = 1: g_v^2 g^(2 t)."""
    return problem.input_variance * float(problem.recurrent_variance) ** np.arange(problem.times)


def _polar(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """(B, B^T w), the second smooth in w: w = U S V^T gives B = U V^T."""
    left, values, right = np.linalg.svd(outputs, full_matrices=False)
    return left @ right, (right.T * values) @ right
