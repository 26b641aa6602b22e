"""Training of a wide linear RNN in closed form: gradient descent on the impulse response, preconditioned by its kernel.

With the loss |Y - Phi L|^2 / (2 M), H = Phi^T Phi / M and b = Phi^T Y / M, gradient descent on the weights of the
network is, in the wide limit,

    L <- L - rate Theta (H L - b),

where Theta = R R^T acts on the lags (diag(rho) for Gaussian entries) and Phi is the causal design matrix of the inputs,
row t holding x[t], x[t-1], ... In the eigenbasis V of R^T H R every mode moves by itself, and training is a filter
phi(lam): L = L(0) + R V phi(lam) V^T R^T (b - H L(0)). Adam and other non-linear optimisers are not of this form.
Every formula is our derivation; the paper has the equivalence.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import lapack

from hitherto.theory.linear_bias import exact, refuse_sizes
from hitherto.theory.linear_bias_equations import NormalEquations, finite

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class TrainingModes:
    """The eigenbasis of R^T H R, in which training is a filter.

    Attributes:
        eigenvalues: lam, largest first, 0 for modes that the data do not move.
        directions: R V, how each mode moves the impulse response.
        force: V^T R^T (b - H L(0)).
        start: L(0).
        start_loss: the loss there.
    """

    eigenvalues: Float[np.ndarray, " mode"]
    directions: Float[np.ndarray, "weight mode"]
    force: Float[np.ndarray, "mode output"]
    start: Float[np.ndarray, "lag output input"]
    start_loss: float

    def response(self, filtered: Float[np.ndarray, " mode"]) -> Float[np.ndarray, "lag output input"]:
        """The impulse response after training with phi."""
        lags, outputs, inputs = self.start.shape
        moved = self.directions @ (filtered[:, None] * self.force)
        return self.start + moved.reshape(lags, inputs, outputs).transpose(0, 2, 1)

    def loss(self, filtered: Float[np.ndarray, " mode"]) -> float:
        """The training loss there: loss(0) - sum |force|^2 phi (1 - lam phi / 2)."""
        gain = filtered * (1 - self.eigenvalues * filtered / 2)
        return float(self.start_loss - (gain @ np.square(self.force)).sum())


def training_modes(
    equations: NormalEquations,
    prior: Float[np.ndarray, " lag"] | Float[np.ndarray, "lag lag"],
    start: Float[np.ndarray, "lag output input"] | None = None,
) -> TrainingModes:
    """Diagonalises training, once for all rates and steps.

    Args:
        prior: rho by lag, or the lag kernel Theta; ones for a plain convolution.
        start: L(0); None for 0. A convolution with the same L(0) follows the same path.
    Raises:
        ValueError: for a prior or start of other lags, or a prior that is not finite or has a negative eigenvalue.

    Cost: (lags * inputs)^3.
    """
    refuse_lags(equations, prior)
    if prior.ndim == 2 and not np.count_nonzero(prior - np.diag(np.diagonal(prior))):
        return training_modes(equations, np.diagonal(prior), start)
    outputs = equations.moment.shape[1]
    if start is None:
        start = np.zeros((equations.lags, outputs, equations.inputs))
    if start.shape != (equations.lags, outputs, equations.inputs):
        raise ValueError(
            f"training starts from an impulse response of shape {(equations.lags, outputs, equations.inputs)}, got "
            f"{start.shape}; give lags, outputs and inputs in that order"
        )
    stacked = start.transpose(0, 2, 1).reshape(-1, outputs)
    residual = equations.moment - equations.hessian @ stacked
    root = np.kron(_square_root(prior), np.eye(equations.inputs))
    eigenvalues, vectors = _graded_eigenbasis(_square_root(equations.hessian).T @ root)
    directions = root @ vectors
    force = directions.T @ residual
    still = slice(_rank(equations, prior, eigenvalues), None)
    eigenvalues[still], force[still] = 0.0, 0.0  # and not their rounding, which long training would add up
    loss = (equations.power - (stacked * (equations.moment + residual)).sum()) / 2
    return TrainingModes(eigenvalues, directions, force, start, float(loss))


def critical_rate(modes: TrainingModes, momentum: float | int = 0) -> float:
    """2 (1 + momentum) / lam_max: training diverges from this rate on; inf for data that are 0."""
    largest = float(modes.eigenvalues.max(initial=0.0))
    return 2 * (1 + momentum) / largest if largest else math.inf


def descent(modes: TrainingModes, rate: float | int, steps: int) -> Float[np.ndarray, " mode"]:
    """phi = (1 - (1 - rate lam)^k) / lam: k steps of gradient descent, in closed form; k rate where lam = 0.

    Raises:
        ValueError: for a rate that is not below `critical_rate`, or steps below 0.
    """
    _refuse_rate(modes, rate, steps)
    step = rate * modes.eigenvalues
    with np.errstate(divide="ignore"):
        powers = np.where(step < 1, 1.0, (-1.0) ** steps) * np.exp(steps * np.log(np.abs(1 - step))) if steps else 1.0
        small = -np.expm1(steps * np.log1p(-np.minimum(step, 0.5)))
    return _over(np.where(step < 0.5, small, 1 - powers), modes.eigenvalues, steps * rate)


def flow(modes: TrainingModes, time: float | int) -> Float[np.ndarray, " mode"]:
    """phi = (1 - e^(-time lam)) / lam: gradient flow, the limit of many small steps with time = rate k.

    Raises:
        ValueError: for a time below 0.
    """
    exact("time", time)
    return _over(-np.expm1(-time * modes.eigenvalues), modes.eigenvalues, time)


def ridge(modes: TrainingModes, time: float | int) -> Float[np.ndarray, " mode"]:
    """phi = 1 / (lam + 1 / time): the minimum with the penalty |R^-1 (L - L(0))|^2 / (2 time), nearly stopping at it.

    Raises:
        ValueError: for a time below 0.
    """
    exact("time", time)
    return time / (time * modes.eigenvalues + 1)


def limit(modes: TrainingModes) -> Float[np.ndarray, " mode"]:
    """phi = 1 / lam, 0 where lam is 0: the minimum with the least |R^-1 (L - L(0))|."""
    return _over(np.ones_like(modes.eigenvalues), modes.eigenvalues, 0)


def heavy_ball(
    modes: TrainingModes, rate: float | int, steps: int, momentum: float | int
) -> Float[np.ndarray, " mode"]:
    """phi of L(k+1) = L(k) - rate Theta dLoss/dL + momentum (L(k) - L(k-1)), by iteration.

    Raises:
        ValueError: for a momentum outside [0, 1), and as for `descent`.

    Cost: steps times modes.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum={momentum} was asked for; give one in [0, 1)")
    _refuse_rate(modes, rate, steps, momentum)
    before = now = np.zeros_like(modes.eigenvalues)
    for _ in range(steps):
        before, now = now, now + rate * (1 - modes.eigenvalues * now) + momentum * (now - before)
    return now


def movement_bound(
    equations: NormalEquations,
    weights: Float[np.ndarray, " lag"],
    rate: float | int,
    steps: int,
    start_loss: float | int,
) -> Float[np.ndarray, " lag"]:
    """How far lag j can move: |L_j(k) - L_j(0)| <= rho_j s_j |r_0| / M min(k rate, 1 / lam_min+), in Frobenius norm.

    s_j is the spectral norm of Phi's columns for lag j, r_0 the residual at the start, lam_min+ the least non-zero
    eigenvalue of R^T H R; for rate lam_max in (1, 2) 2 / lam_min+ takes its place. The constants cannot be improved in
    general.

    Args:
        weights: rho, of a diagonal kernel.
        rate, steps: of gradient descent.
        start_loss: |r_0|^2 / (2 M), as in `TrainingModes`.
    Raises:
        ValueError: as for `descent` and `training_modes`.

    Source: our derivation; the paper bounds the movement by a geometric sequence in j too.
    """
    modes = training_modes(equations, weights)
    _refuse_rate(modes, rate, steps)
    exact("start_loss", start_loss)
    blocks = equations.hessian.reshape(equations.lags, equations.inputs, equations.lags, equations.inputs)
    norms = np.array([np.linalg.norm(blocks[j, :, j], 2) for j in range(equations.lags)])
    time = min(rate * steps, _time_to_settle(modes, rate))
    return weights * np.sqrt(2 * norms * start_loss) * time


def refuse_lags(equations: NormalEquations, prior: np.ndarray) -> None:
    """Refuse a prior that does not fit the data.

    Raises:
        ValueError: if it has other lags, or is not finite and from 0 on.
    """
    if set(prior.shape) != {equations.lags}:
        raise ValueError(
            f"the prior is over {prior.shape} lags and the data over {equations.lags}; give as many to both"
        )
    finite("prior", prior)
    if prior.ndim == 1 and prior.min() < 0:
        raise ValueError(f"a lag weight is {prior.min()}, and weights are from 0 on; give those of `lag_weights`")


def _square_root(matrix: np.ndarray) -> np.ndarray:
    """R with R R^T = matrix, or the diagonal matrix of a vector."""
    if matrix.ndim == 1:
        return np.diag(np.sqrt(matrix))
    eigenvalues, vectors = np.linalg.eigh(matrix)
    if eigenvalues[0] < -1e-9 * abs(eigenvalues[-1]):
        raise ValueError(f"a lag kernel has no negative eigenvalue, got {eigenvalues[0]:.3g}; give one of `lag_kernel`")
    return vectors * np.sqrt(np.maximum(eigenvalues, 0))


def _graded_eigenbasis(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and -vectors of factor^T factor, largest first.

    By one-sided Jacobi, which keeps the digits of tiny columns: lag weights span hundreds of powers of ten, and an
    ordinary eigensolver is exact only relative to the largest.
    """
    values, _, vectors, scale, _, failed = lapack.dgejsv(factor, joba=0, jobu=3, jobv=0, jobr=0)
    if failed:
        raise np.linalg.LinAlgError("the eigenbasis of training was not found; look for numbers of extreme size")
    return np.square(values * (scale[1] / scale[0])), vectors


def _rank(equations: NormalEquations, prior: np.ndarray, eigenvalues: np.ndarray) -> int:
    """How many eigenvalues are not 0: of weights of any size, the rank of the correlations of what they move."""
    if prior.ndim == 2:
        return int((eigenvalues > eigenvalues.max(initial=0.0) * len(eigenvalues) * EPS).sum())
    sizes = np.sqrt(np.diagonal(equations.hessian))
    moved = (sizes > 0) & np.repeat(prior > 0, equations.inputs)
    correlations = equations.hessian[np.ix_(moved, moved)] / np.outer(sizes[moved], sizes[moved])
    return int(np.linalg.matrix_rank(correlations, hermitian=True)) if moved.any() else 0


def _time_to_settle(modes: TrainingModes, rate: float | int) -> float:
    """1 / lam_min+, or 2 / lam_min+ above rate lam_max = 1."""
    moving = modes.eigenvalues[modes.eigenvalues > 0]
    factor = 1 if rate * modes.eigenvalues[0] <= 1 else 2
    return factor / float(moving[-1]) if len(moving) else math.inf


def _over(numerator: np.ndarray, eigenvalues: np.ndarray, at_zero: float | int) -> np.ndarray:
    return np.divide(numerator, eigenvalues, out=np.full_like(eigenvalues, at_zero), where=eigenvalues > 0)


def _refuse_rate(modes: TrainingModes, rate: float | int, steps: int, momentum: float | int = 0) -> None:
    refuse_sizes(0, steps=steps)
    exact("rate", rate)
    critical = critical_rate(modes, momentum)
    if rate >= critical:
        raise ValueError(
            f"rate={rate} diverges: it must be below 2 (1 + momentum) / lam_max = {critical:.6g}; lower it"
        )
