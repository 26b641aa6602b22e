"""What trained weights look like: eigenvalues and singular values that leave the bulk of a random matrix.

Given the hidden states, W is a mean of low rank and fresh prior noise. Its eigenvalues beyond the disc of radius g are
those of K = g^2 <phi(h_-) h^T> Sigma^-1, h_- one step before; with a pulse of inputs its singular values beyond 2 g
come from theta^2, the eigenvalues of C_-^-1 <h_+ h_+^T>, at theta^2 / sqrt(theta^2 - g^2).

Source: our derivation, checked against sampled networks of 100 to 1,000 units.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from hitherto.theory.mean_field import Problem, preactivation_covariance, refuse_kernel
from hitherto.theory.mean_field_prior import refuse_nonlinear

Kernel = Float[np.ndarray, "entry entry"]


@dataclass(frozen=True, eq=False)
class Outliers:
    """The spectrum of one W, as the width grows.

    Attributes:
        times: those whose h this W makes, from 0.
        radius: g. The bulk of the eigenvalues is a disc of that radius, that of the singular values ends at 2 g.
        eigenvalues: of K, by falling modulus; those beyond g are eigenvalues of W.
        learned: theta, by falling size; None where inputs arrive after the first time.
    """

    times: tuple[int, ...]
    radius: float
    eigenvalues: Complex[np.ndarray, " eigenvalue"]
    learned: Float[np.ndarray, " value"] | None

    @property
    def visible_eigenvalues(self) -> Complex[np.ndarray, " outlier"]:
        """Eigenvalues of W outside the disc."""
        return self.eigenvalues[np.abs(self.eigenvalues) > self.radius]

    @property
    def singular_values(self) -> Float[np.ndarray, " outlier"]:
        """Singular values of W beyond 2 g: theta^2 / sqrt(theta^2 - g^2) for theta^2 > 2 g^2.

        Raises:
            ValueError: where inputs arrive after the first time.
        """
        if self.learned is None:
            raise ValueError("singular values are predicted for inputs at the first time alone; here others follow")
        square, bulk = self.learned**2, self.radius**2
        beyond = square[square > 2 * bulk]
        return beyond / np.sqrt(beyond - bulk)


def outliers(problem: Problem, kernel: Kernel) -> tuple[Outliers, ...]:
    """What leaves the bulk of each W of a linear network, from its kernel C; one entry if all times share it.

    Feedforward layers have no eigenvalues beyond the bulk, but may have singular values.

    Args:
        problem: the network.
        kernel: C, solved or measured.
    Raises:
        ValueError: for other activations; take `outliers_of_moments`.

    Cost: M^3.
    Source: our derivation.
    """
    refuse_nonlinear(problem)
    return outliers_of_moments(problem, kernel, kernel, kernel)


def outliers_of_moments(problem: Problem, kernel: Kernel, crossed: Kernel, states: Kernel) -> tuple[Outliers, ...]:
    """The same for any activation, from moments of the hidden states.

    Args:
        problem: the network.
        kernel: C = <phi(h) phi(h)^T>.
        crossed: <phi(h) h^T>, phi(h) along the rows.
        states: <h h^T>.
    Raises:
        ValueError: for no kernel of the problem.

    Cost: M^3.
    Source: our derivation.
    """
    refuse_kernel(problem, kernel)
    sharing = problem.times_sharing[1:, 1:]
    groups = sorted({tuple((np.flatnonzero(row) + 1).tolist()) for row in sharing})
    precision = np.linalg.pinv(preactivation_covariance(problem, kernel), rcond=1e-13, hermitian=True)
    return tuple(_of_group(problem, times, kernel, crossed @ precision, states) for times in groups)


def outliers_of_states(
    states: Float[np.ndarray, "pattern time unit"], made: Float[np.ndarray, "pattern time unit"], radius: float
) -> Outliers:
    """The same for one network of N units whose weights into and out of it are given, from phi(h) and W phi(h).

    With Q the N / 8 principal directions of phi(h), W = (W Q) Q^T + W_0 (1 - Q Q^T), W_0 Gaussian: K = Q^T W Q, and
    theta are the singular values of W Q. Inputs may arrive at every time, as W phi(h) is given without them. No labels
    are asked for: they act on W through the states alone.

    Args:
        states: phi(h), from the first time on.
        made: W phi(h), of each.
        radius: g.

    Cost: an SVD of `states`.
    Does not tell what W does to other states. More directions than N / 8 would not do either: of n the largest theta
    is g (1 + sqrt(n / N)) by chance, which is to stay below the sqrt(2) g of the first outlier.
    Source: our derivation.
    """
    units = states.shape[-1]
    left, values, right = np.linalg.svd(states.reshape(-1, units), full_matrices=False)
    kept = min(int(np.sum(values > 1e-8 * values[0])), max(units // 8, 1))
    turned = (left[:, :kept] / values[:kept]).T @ made.reshape(-1, units)
    eigenvalues = _by_modulus(np.linalg.eigvals(right[:kept] @ turned.T))
    times = tuple(range(1, states.shape[1] + 1))
    return Outliers(times, radius, eigenvalues, np.linalg.svd(turned, compute_uv=False))


def _of_group(problem: Problem, times: tuple[int, ...], kernel: Kernel, per_state: Kernel, states: Kernel) -> Outliers:
    """One W: K has a row for each entry it makes, that of phi(h) a step before, and columns that count are the same."""
    made = np.flatnonzero(np.isin(problem.time_of, times))
    before = made - problem.patterns
    eigenvalues = _by_modulus(np.linalg.eigvals(problem.recurrent_variance * per_state[np.ix_(before, made)]))
    radius = float(np.sqrt(problem.recurrent_variance))
    if not problem.is_pulse:
        return Outliers(times, radius, eigenvalues, None)
    inverse = np.linalg.pinv(kernel[np.ix_(before, before)], rcond=1e-13, hermitian=True)
    squares = np.linalg.eigvals(inverse @ states[np.ix_(made, made)]).real
    return Outliers(times, radius, eigenvalues, np.sqrt(np.clip(np.sort(squares)[::-1], 0, None)))


def _by_modulus(eigenvalues: np.ndarray) -> Complex[np.ndarray, " eigenvalue"]:
    return eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")].astype(complex)
