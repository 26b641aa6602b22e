"""One pattern, one label at the end, nonlinear recurrent networks beyond the threshold: times correlate.

The law of h over all T times is q(h) ~ N(h; 0, Sigma(C)) e^(phi^T C~ phi / 2) with C = <phi phi^T>,
C~ = g^2 S^T(G), and s_a^2 y^2 / (s_a^2 C_TT + kappa)^2 at the end, G = A^-T (<z z^T> - 1) A^-1, h = A z, Sigma = A A^T.
Moments are taken by Gauss-Hermite quadrature in the T coordinates z, and the branch is followed from just beyond the
threshold of `mean_field_nonlinear` in y^2: jumps leave the cone of kernels.

Source: our derivation, checked against sampled networks of 120 units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular
from scipy.optimize import root

from hitherto.theory.mean_field import Problem, preactivation_covariance, shift_back
from hitherto.theory.mean_field_endpoint import labelled_time
from hitherto.theory.mean_field_law import activate
from hitherto.theory.mean_field_nonlinear import threshold

BEYOND = 1.05  # y^2 over y*^2 where the branch is entered
SHORTEST = 1.002  # ratio of y^2 from one solved state to the next
SCOUT = 20  # nodes in each coordinate with which the branch is followed before it is refined
CHUNK = 2**17  # nodes held at once
MOST = 10**8  # nodes

Kernel = Float[np.ndarray, "time time"]


@dataclass(frozen=True, eq=False)
class NonlinearCoherentState:
    """A coherent state; that with the signs of all odd lags changed is its mirror image.

    Attributes:
        label_square: y^2.
        kernel, tilt: C and C~.
        crossed, states: <phi h^T> and <h h^T>, for `mean_field_weights.outliers_of_moments`.
        free_energy: F a unit.
        residual: how far the equations are from being met, in units of C.
    """

    label_square: float
    kernel: Kernel
    tilt: Kernel
    crossed: Kernel
    states: Kernel
    free_energy: float
    residual: float


def coherent_states(
    problem: Problem, label_squares: Sequence[float | int], *, nodes: int = 40
) -> tuple[NonlinearCoherentState, ...]:
    """The coherent branch at each y^2, of a problem with one pattern and its label at the last time.

    Args:
        problem: its labels play no part.
        label_squares: y^2, from 1.05 times the threshold on, rising.
        nodes: of the quadrature in each of the T coordinates, even; 40 give F to 1e-6 for T = 3, 64 to 1e-8.
    Raises:
        ValueError: for problems that `mean_field_nonlinear` does not take; below the threshold; for labels before the
            last time; for odd or too many nodes.
        ArithmeticError: if the branch is lost.

    Cost: nodes^T / 2 evaluations of phi, some 50 times a state: about a second a state for T = 3.
    Source: our derivation.
    """
    start = threshold(problem)
    if start is None:
        raise ValueError(
            "the incoherent state stays stable here, so no coherent branch leaves it; change the variances"
        )
    _refuse(problem, label_squares, start.label_square, nodes)
    coarse, fine = Quadrature(problem, min(nodes, SCOUT)), Quadrature(problem, nodes)
    reached, found = BEYOND * start.label_square, []
    unknown = coarse.solved(_entry(start.variances, start.pulls), reached)
    for wanted in map(float, label_squares):
        unknown, reached = coarse.followed(unknown, reached, wanted), wanted
        found.append(fine.state(fine.solved(unknown, wanted), wanted))
    return tuple(found)


@dataclass(frozen=True)
class Moments:
    """Of q: <z z^T>, <phi phi^T>, <phi z^T> and ln Z."""

    white: Kernel
    kernel: Kernel
    crossed: Kernel
    log_norm: float


@dataclass(frozen=True, eq=False)
class Quadrature:
    """The equations of one problem, for unknowns: the upper triangles of C and of C~ without the last time."""

    problem: Problem
    nodes: int

    def followed(self, unknown: np.ndarray, reached: float, wanted: float) -> np.ndarray:
        """The unknowns at y^2 wanted, from those reached; a way too long is halved."""
        if wanted == reached:
            return unknown
        try:
            return self.solved(unknown, wanted)
        except ArithmeticError:
            between = float(np.sqrt(reached * wanted))
            if between < reached * SHORTEST:
                raise
            return self.followed(self.followed(unknown, reached, between), between, wanted)

    def solved(self, unknown: np.ndarray, label_square: float) -> np.ndarray:
        """Unknowns that meet the equations, from near ones, unless they are those of the incoherent state."""
        try:
            answer = root(self.residual, unknown, args=(label_square,), tol=1e-12)
        except np.linalg.LinAlgError:
            answer = None
        if answer is None or np.abs(answer.fun).max() > 1e-8 or abs(answer.x[1]) < abs(unknown[1]) / 2:
            raise ArithmeticError(f"the coherent branch was lost on the way to y^2 = {label_square:.4g}")
        return answer.x

    def residual(self, unknown: np.ndarray, label_square: float) -> np.ndarray:
        """What the equations leave."""
        kernel, tilt = self.unpacked(unknown, label_square)
        factor, moments = self.moments(kernel, tilt)
        excess = moments.white - np.eye(len(kernel))
        gained = solve_triangular(factor, solve_triangular(factor, excess, trans=1, lower=True).T, trans=1, lower=True)
        pulled = self.problem.recurrent_variance * shift_back(gained, 1)
        return np.concatenate([_upper(kernel - moments.kernel), _upper((tilt - pulled)[:-1, :-1])])

    def state(self, unknown: np.ndarray, label_square: float) -> NonlinearCoherentState:
        kernel, tilt = self.unpacked(unknown, label_square)
        factor, moments = self.moments(kernel, tilt)
        fit = label_square / (self.problem.readout_variance * kernel[-1, -1] + self.problem.noise)
        return NonlinearCoherentState(
            label_square=label_square,
            kernel=kernel,
            tilt=tilt,
            crossed=moments.crossed @ factor.T,
            states=factor @ moments.white @ factor.T,
            free_energy=float((tilt * kernel).sum() / 2 - moments.log_norm + fit / 2),
            residual=float(np.abs(self.residual(unknown, label_square)).max()),
        )

    def unpacked(self, unknown: np.ndarray, label_square: float) -> tuple[Kernel, Kernel]:
        """C and C~."""
        times = self.problem.times
        split = times * (times + 1) // 2
        kernel, tilt = _full(unknown[:split], times), np.zeros((times, times))
        tilt[:-1, :-1] = _full(unknown[split:], times - 1)
        scale = self.problem.readout_variance
        tilt[-1, -1] = scale * label_square / (scale * kernel[-1, -1] + self.problem.noise) ** 2
        return kernel, tilt

    def moments(self, kernel: Kernel, tilt: Kernel) -> tuple[Kernel, Moments]:
        """The factor of Sigma, and the moments of q, chunk by chunk."""
        factor = np.linalg.cholesky(preactivation_covariance(self.problem, kernel))
        sums, top = 0.0, -np.inf
        for z, log_weights in _chunks(self.problem.times, self.nodes):
            value = activate(self.problem.activation, z @ factor.T)[0]
            exponent = log_weights + ((value @ tilt) * value).sum(1) / 2
            higher = max(top, float(exponent.max()))
            weights = np.exp(exponent - higher)
            both = np.hstack([z, value])
            sums = sums * np.exp(top - higher) + np.append(weights.sum(), (both.T * weights) @ both)
            top = higher
        times = self.problem.times
        means = (sums[1:] / sums[0]).reshape(2 * times, 2 * times)
        log_norm = float(np.log(sums[0]) + top)
        return factor, Moments(means[:times, :times], means[times:, times:], means[times:, :times], log_norm)


def _chunks(times: int, nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Nodes of the standard normal law in all coordinates and ln of their weights; z[0] > 0 stands for -z as well."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    logs = np.log(weights / np.sqrt(2 * np.pi))
    rest = np.stack(np.meshgrid(*[points] * (times - 1), indexing="ij"), -1).reshape(-1, times - 1)
    log_rest = sum(np.meshgrid(*[logs] * (times - 1), indexing="ij")).ravel()
    half = points > 0
    for first in np.array_split(np.flatnonzero(half), max(1, nodes * len(rest) // (2 * CHUNK))):
        z = np.column_stack([np.repeat(points[first], len(rest)), np.tile(rest, (len(first), 1))])
        yield z, np.log(2) + np.repeat(logs[first], len(rest)) + np.tile(log_rest, len(first))


def _entry(variances: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """The incoherent state with a breath of correlation, 0.15^lag."""
    times = np.arange(len(pulls))
    correlation = 0.15 ** np.abs(np.subtract.outer(times, times))
    kernel = correlation * np.sqrt(np.outer(variances, variances))
    return np.concatenate([_upper(kernel), _upper(np.diag(pulls[:-1]))])


def _upper(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix))]


def _full(entries: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((size, size))
    out[np.triu_indices(size)] = entries
    return out + np.triu(out, 1).T


def _refuse(problem: Problem, label_squares: Sequence[float | int], least: float, nodes: int) -> None:
    if labelled_time(problem) != problem.times - 1:
        raise ValueError("the coherent branch is solved up to the label; leave out the times after it")
    squares = list(label_squares)
    if squares != sorted(squares) or (squares and squares[0] < BEYOND * least * (1 - 1e-9)):
        raise ValueError(
            f"the branch is followed upwards from {BEYOND} times the threshold {least:.6g}, got y^2 = {squares}; "
            "sort them, and give none below"
        )
    if nodes < 2 or nodes % 2 or nodes**problem.times > MOST:
        raise ValueError(
            f"{nodes} nodes for each of {problem.times} times are {nodes**problem.times:.1e}; give an even number with "
            f"at most {MOST:.0e} in all, or sample the trained network"
        )
