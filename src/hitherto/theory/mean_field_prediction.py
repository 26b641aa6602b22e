"""What a mean-field kernel predicts: outputs at all entries, at new patterns and later times, and slopes of the action.

Patterns without labels, and times after the last label, carry no tilt: given the other entries they are what the prior
makes of them.

Source: our derivation.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from hitherto.theory.mean_field import Problem, preactivation_covariance, refuse_kernel, shift
from hitherto.theory.mean_field_action import Action, dense, framed, frames
from hitherto.theory.mean_field_prior import Kernel, label_covariance, label_weights, prior_kernel

FIELDS = ("recurrent_variance", "input_variance", "bias_variance", "readout_variance", "noise")


@dataclass(frozen=True, eq=False)
class Prediction:
    """Outputs of a wide trained network, given its kernel.

    Attributes:
        mean: f.
        variance: N times the variance of an output over networks of that kernel. The kernel itself varies from network
            to network, which adds as much again in order of N and is not counted.
    """

    mean: Float[np.ndarray, "entry output"]
    variance: Float[np.ndarray, " entry"]


@dataclass(frozen=True, eq=False)
class TestPoints:
    """Kernels and outputs at patterns that are not learned from, at all times.

    Attributes:
        across: C between test entries and entries of the problem.
        among: C among test entries.
        prediction: outputs at test entries.
    """

    __test__ = False  # not a class of tests, whatever its name

    across: Float[np.ndarray, "test entry"]
    among: Float[np.ndarray, "test test"]
    prediction: Prediction


def predict(problem: Problem, kernel: Kernel) -> Prediction:
    """f = s_a^2 C_mS Q^-1 y at every entry m, and N var f = s_a^2 C_mm - s_a^4 C_mS Q^-1 C_Sm.

    Holds for any activation. On labelled entries y - f = kappa Q^-1 y.

    Raises:
        ValueError: for no kernel of the problem; without noise, if the kernel ties labels to each other.
    """
    refuse_kernel(problem, kernel)
    columns = problem.readout_variance * (problem.readouts * kernel)[:, problem.index]
    mean = columns @ label_weights(problem, kernel)
    learned = cho_solve(cho_factor(label_covariance(problem, kernel)), columns.T)
    variance = problem.readout_variance * np.diag(kernel) - np.sum(columns.T * learned, 0)
    return Prediction(mean, np.maximum(variance, 0.0))


def at_test_points(
    problem: Problem,
    kernel: Kernel,
    cross: Float[np.ndarray, "test entry"],
    among: Float[np.ndarray, "test test"],
) -> TestPoints:
    """The linear network at patterns it did not learn from, given its kernel over those of the problem.

    S_*m = g^2 S(mask * C_*m) + g_v^2 mask_V * X_*m;  C_*m = S_*m Sigma^-1 C;
    C_** = S_** + S_*m Sigma^-1 (C - Sigma) Sigma^-1 S_m*, time by time.

    Args:
        kernel: C over the entries of `problem`, such as a minimum's.
        cross, among: x . x / D between test entries and those of the problem, and among test entries; test entries are
            time-major too, at as many times.
    Raises:
        ValueError: unless the network is linear, or if there is not a whole number of test patterns.

    Cost: T (M + M_test)^2 M.
    """
    if len(cross) % problem.times:
        raise ValueError(
            f"cross has {len(cross)} test entries for {problem.times} times; give times * test patterns, time-major"
        )
    fresh = len(cross) // problem.times
    old = _places(problem.times, problem.patterns, fresh, 0)
    new = _places(problem.times, fresh, problem.patterns, problem.patterns)
    order = np.argsort(np.concatenate([old, new]))
    inputs = np.block([[problem.kernel, cross.T], [cross, among]])[np.ix_(order, order)]
    labelled = tuple(map(int, old[problem.index]))
    both = problem.with_(kernel=inputs, labelled=labelled)
    full = continued(both, old, kernel)
    told = predict(both, full)
    return TestPoints(full[np.ix_(new, old)], full[np.ix_(new, new)], Prediction(told.mean[new], told.variance[new]))


def continued(
    problem: Problem, kept: Int[np.ndarray, " kept"], kernel: Float[np.ndarray, "kept kept"]
) -> Float[np.ndarray, "entry entry"]:
    """The kernel over all entries, given that over `kept` ones, where all others carry no tilt.

    With every kept entry the same pattern must be kept at all earlier times.

    Raises:
        ValueError: unless the network is linear.
    """
    rows = np.ix_(kept, kept)
    full = np.zeros(problem.kernel.shape)
    full[rows] = kernel
    covariance = preactivation_covariance(problem, full)[rows]
    inverse = _pseudo_inverse(covariance, prior_kernel(problem)[0][rows])
    learned = inverse @ (kernel - covariance) @ inverse
    for _ in range(problem.times):  # an entry needs those one step earlier
        made = preactivation_covariance(problem, full)
        full = made + made[:, kept] @ learned @ made[kept]
        full[rows] = kernel
    return (full + full.T) / 2


def slopes(problem: Problem, kernel: Kernel) -> dict[str, float]:
    """dF / d(g^2, g_v^2, s_b^2, s_a^2, kappa) of the lowest action, by the fields' names.

    At a minimum C does not move F, so that only Sigma and Q count: dF = -tr(G dSigma) / 2 - u^T dQ u / 2 with
    G = Sigma^-1 C Sigma^-1 - Sigma^-1 and u = Q^-1 y. Where a variance is 0 and its growth opens new directions, the
    slope within the old ones.

    Raises:
        ValueError: as for `Action`.
    """
    action = Action(problem)
    surplus, weights = action.at(kernel).surplus, label_weights(problem, kernel)
    rows = np.ix_(problem.index, problem.index)
    without = problem.with_(recurrent_variance=0, bias_variance=0, input_variance=0)
    drives = (without.with_(input_variance=1).drive, without.with_(bias_variance=1).drive)
    sigmas = (shift(problem.mask * kernel, problem.patterns), *drives)
    labels = (problem.readouts[rows] * kernel[rows], np.eye(len(weights)))
    values = [-np.sum(surplus * framed(action.inverse, sigma)) / 2 for sigma in sigmas]
    values += [-np.sum(weights * (read @ weights)) / 2 for read in labels]
    return dict(zip(FIELDS, map(float, values), strict=True))


def _places(times: int, patterns: int, others: int, offset: int) -> np.ndarray:
    """Entries of `patterns` patterns, from `offset` on, among those and `others`."""
    return np.add.outer(np.arange(times) * (patterns + others), offset + np.arange(patterns)).ravel()


def _pseudo_inverse(covariance: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Of a covariance with the range of the prior."""
    _, inverse = frames(prior)
    factor = np.linalg.cholesky(framed(inverse, covariance))
    half = solve_triangular(factor, dense(inverse), lower=True)
    return half.T @ half
