"""Mean-field networks of finite width: the exact law of the kernel of linear ones, and the moments that have a formula.

With N units, N >= M, the kernel C of a linear network has the density

    log p(C) = (N - M - 1)/2 logdet C - (N/2) [logdet Sigma(C) + tr Sigma(C)^-1 C + y^T Q^-1 y] - (1/2) logdet Q

but for a constant; Q = s_a^2 C_SS + kappa I. It has M (M + 1) / 2 dimensions however wide the network is.
Source: our derivation.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_stability import lag_hessian

LARGEST = 6  # entries of a kernel that is sampled: 21 dimensions
WALKERS, WALKS = 400, 800  # of the walk that shows where the law lies
REFITS, REFITTED = 2, 20_000  # of the proposal, to draws of its own
FREEDOM = 8.0  # of the Student law that proposes
BLOCK = 20_000  # kernels handled at once
NODES = 20_001  # of the integral over ln c

Kernel = Float[np.ndarray, "entry entry"]
Kernels = Float[np.ndarray, "draw entry entry"]
Points = Float[np.ndarray, "draw coordinate"]


@dataclass(frozen=True, eq=False)
class KernelMoments:
    """Posterior means of a linear network of N units, from weighted independent draws of its kernel.

    Attributes:
        kernel, magnitude: E C and E |C|, the second for entries whose sign is free.
        outputs: E f at all entries.
        kernel_error, magnitude_error, outputs_error: standard errors.
        effective: share of the draws that counts, (sum w)^2 / (draws sum w^2); below 0.05 trust nothing.
    """

    kernel: Kernel
    magnitude: Kernel
    outputs: Float[np.ndarray, "entry output"]
    kernel_error: Kernel
    magnitude_error: Kernel
    outputs_error: Float[np.ndarray, "entry output"]
    effective: float


def log_density_of_kernel(problem: Problem, kernel: Kernel) -> float:
    """log p(C) of the module's formula, up to a constant; -inf where C is not positive definite.

    Args:
        problem: linear, with a width of at least its number of entries.
    Raises:
        ValueError: for other problems.
    """
    _refuse(problem)
    return float(_log_density(problem, kernel[None])[0])


def kernel_moments(problem: Problem, draws: int = 100_000, seed: int = 0) -> KernelMoments:
    """Posterior means of C and f of a linear network of N units, by importance sampling of the law of C.

    A walk of many walkers finds where the law lies, in logarithmic Cholesky coordinates of C. Draws are of a Student
    law with the moments of the walkers, with its mirror image where signs are free, and are weighted.

    Args:
        problem: linear, of at most 6 entries, with a width of at least as many.
        draws: weighted ones.
    Returns:
        Means with errors; `effective` tells whether the proposal fits.
    Raises:
        ValueError: for other problems.

    Cost: M^3 a draw; 100,000 draws of 3 entries and the walk take about 2 s.
    Source: our derivation; checked against sampled weights.
    """
    _refuse(problem)
    if problem.size > LARGEST:
        raise ValueError(
            f"the law of a kernel of {problem.size} entries has {problem.size * (problem.size + 1) // 2} dimensions; "
            f"give at most {LARGEST} entries, or sample hidden activity with hitherto.training.posterior"
        )
    rng = np.random.default_rng(seed)
    proposal = _fitted(_walked(problem, rng), _signs(problem))
    for _ in range(REFITS):
        points, weights = _weighted(problem, proposal, REFITTED, rng)
        proposal = _fitted(points[rng.choice(REFITTED, REFITTED, p=weights)], proposal.signs)
    points, weights = _weighted(problem, proposal, draws, rng)
    kernels = _kernels(points, problem.size)
    kept = (kernels, np.abs(kernels), _outputs(problem, kernels))
    means = [np.tensordot(weights, values, 1) for values in kept]
    errors = [
        np.sqrt(np.tensordot(weights**2, (values - mean) ** 2, 1)) for values, mean in zip(kept, means, strict=True)
    ]
    return KernelMoments(*means, *errors, float(1 / (draws * np.sum(weights**2))))


def one_hidden_layer(problem: Problem) -> tuple[float, float]:
    """E c and E f / y of a linear network with one time and one pattern, whose kernel is a number c; an integral.

        p(c) = c^(N/2 - 1) e^(-N c / (2 v)) q^(-K/2) e^(-N |y|^2 / (2 q)) / Z,  q = s_a^2 c + kappa, v = g_v^2 x.x / D,

    with K outputs; E f / y = E s_a^2 c / q. The trapezoid rule in ln c is exact to rounding and keeps the tails, which
    adaptive rules lose at few units.

    Args:
        problem: linear, with a width, one time and one pattern.
    Raises:
        ValueError: for other problems.
    """
    _refuse(problem)
    if problem.size != 1:
        raise ValueError(f"a kernel that is one number was asked of a problem with {problem.size} entries; give 1")
    variance, squared = float(problem.drive[0, 0]), float(np.sum(problem.labels**2))
    largest = variance + np.sqrt(variance * squared / max(problem.readout_variance, 1e-300))
    # the law falls as c^(N/2) below and as exp(-N c / 2 v) above: both ends are below 1e-30 of it
    grid = np.linspace(np.log(variance) - 140 / problem.width - 5, np.log(largest + variance) + 6, NODES)
    c = np.exp(grid)
    q = problem.readout_variance * c + problem.noise
    log_p = problem.width / 2 * (grid - c / variance - squared / q) - problem.labels.shape[1] / 2 * np.log(q)
    p = np.exp(log_p - logsumexp(log_p))
    return float(p @ c), float(p @ (problem.readout_variance * c / q))


def prior_moments(width: int, recurrent_variance: float | int, input_variance: float | int) -> dict[str, float]:
    """Exact prior moments of a linear recurrent network of N units with a pulse of x.x / D = 1.

    Returns:
        `C33`, E C between the third time and itself, g_v^2 g^4 (1 + 2 / N^2), as W is used twice; `C12_squared`,
        E C^2 between the first two times, g_v^4 g^2 (1 + 2 / N) / N.
    Raises:
        ValueError: for no unit, or a variance below 0.
    """
    if width < 1 or not all(0 <= variance < np.inf for variance in (recurrent_variance, input_variance)):
        raise ValueError(
            f"prior moments were asked for width={width}, recurrent_variance={recurrent_variance}, "
            f"input_variance={input_variance}; give 1 unit or more, and finite variances of 0 or more"
        )
    g2, v2 = recurrent_variance, input_variance
    return {"C33": v2 * g2**2 * (1 + 2 / width**2), "C12_squared": v2**2 * g2 * (1 + 2 / width) / width}


def correlation_fluctuations(gain: float | int, pairs: int, width: int) -> Float[np.ndarray, "pair pair"]:
    """<rho rho^T> = M_n^-1 / N, of the n = T - k correlations at lag k of a chain of T times in its incoherent state.

    Measured over an ensemble of trained networks it locates the transition from below: M_n^-1 diverges there.

    Args:
        gain: r = c_t / (g^2 c_(t-1)), 1 at the prior.
        pairs: n.
        width: N; terms of order 1 / N^2 are left out.
    Raises:
        ValueError: from r = n / (n - 1) on, where the state is unstable.
    """
    if gain * (pairs - 1) >= pairs:
        raise ValueError(
            f"{pairs} correlations at gain={gain} have no small fluctuations: the incoherent state is stable below "
            f"{pairs / (pairs - 1):.6g}; give a smaller gain, or use kernel_moments"
        )
    return np.linalg.inv(lag_hessian(gain, pairs)) / width


@dataclass(frozen=True, eq=False)
class _Student:
    """A Student law; with signs, half of it and half of its mirror image."""

    mean: Float[np.ndarray, " coordinate"]
    factor: Float[np.ndarray, "coordinate coordinate"]
    signs: Float[np.ndarray, " coordinate"]

    def drawn(self, count: int, rng: np.random.Generator) -> Points:
        """Independent draws."""
        normal = rng.standard_normal((count, len(self.mean)))
        points = self.mean + normal @ self.factor.T / np.sqrt(rng.chisquare(FREEDOM, (count, 1)) / FREEDOM)
        return np.where(rng.random((count, 1)) < 0.5, points, points * self.signs)

    def log_density(self, points: Points) -> Float[np.ndarray, " draw"]:
        """Of each point, up to a constant."""
        return np.logaddexp(self._one(points), self._one(points * self.signs))

    def _one(self, points: Points) -> Float[np.ndarray, " draw"]:
        white = solve_triangular(self.factor, (points - self.mean).T, lower=True)
        return -(FREEDOM + len(white)) / 2 * np.log1p((white**2).sum(0) / FREEDOM)


def _weighted(
    problem: Problem, proposal: _Student, draws: int, rng: np.random.Generator
) -> tuple[Points, Float[np.ndarray, " draw"]]:
    """Draws of the proposal, with weights that add up to 1."""
    points = proposal.drawn(draws, rng)
    log_weights = _log_target(problem, points) - proposal.log_density(points)
    return points, np.exp(log_weights - logsumexp(log_weights))


def _fitted(points: Points, signs: Float[np.ndarray, " coordinate"]) -> _Student:
    """With the moments of the points, each first put on the side of its main direction among what the mirror turns."""
    turned = points[:, signs < 0]
    if turned.size:
        main = np.linalg.eigh(turned.T @ turned)[1][:, -1]
        points = np.where((turned @ main < 0)[:, None], points * signs, points)
    return _Student(points.mean(0), np.linalg.cholesky(np.cov(points.T).reshape(2 * signs.shape)), signs)


def _walked(problem: Problem, rng: np.random.Generator) -> Points:
    """Walkers that follow the law, each moved along differences between others (differential evolution)."""
    points = _starts(problem, rng)
    density = _log_target(problem, points)
    halves = np.arange(WALKERS) < WALKERS // 2
    stride = 2.38 / np.sqrt(2 * points.shape[1])
    kept = []
    for walk in range(WALKS):
        moving = halves if walk % 2 else ~halves
        one, other = (rng.choice(np.flatnonzero(~moving), moving.sum()) for _ in range(2))
        scale = 1.0 if walk % 10 < 2 else stride  # now and then from one mode to another
        tried = points[moving] + scale * (points[one] - points[other]) + 1e-6 * rng.standard_normal(points[one].shape)
        found = _log_target(problem, tried)
        taken = np.log(rng.random(len(found))) < found - density[moving]
        points[moving] = np.where(taken[:, None], tried, points[moving])
        density[moving] = np.where(taken, found, density[moving])
        if walk >= WALKS // 2 and walk % 20 == 0:
            kept.append(points.copy())
    return np.concatenate(kept)


def _starts(problem: Problem, rng: np.random.Generator) -> Points:
    """Walkers around the prior and around what labels at the end would make of it."""
    size = problem.size
    rows, columns = np.tril_indices(size)
    prior = np.ones(size)
    for entry in range(size):  # prior variances, time after time
        before = entry - problem.patterns
        prior[entry] = problem.drive[entry, entry] + (problem.recurrent_variance * prior[before] if before >= 0 else 0)
    level = 0.5 * np.log(prior[rows])
    points = 0.3 * rng.standard_normal((WALKERS, len(rows)))
    grown = np.abs(rng.standard_normal((WALKERS, 1)))
    diagonal = rows == columns
    points[:, diagonal] += level[diagonal] + 0.3 * grown
    points[:, ~diagonal] *= np.exp(level[~diagonal]) * (1 + grown)
    return points


def _log_target(problem: Problem, points: Points) -> Float[np.ndarray, " draw"]:
    """log p(C) and the volume of the coordinates: dC = 2^M prod A_tt^(M - t + 2) d(ln A_tt, A_ts), t from 1."""
    size = problem.size
    logs = points[:, _diagonal(size)]
    volume = logs @ np.arange(size + 1, 1, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = _log_density(problem, _kernels(points, size), logs) + volume
    return np.where(np.isfinite(total), total, -np.inf)


def _log_density(
    problem: Problem, kernels: Kernels, logs: Float[np.ndarray, "draw entry"] | None = None
) -> Float[np.ndarray, " draw"]:
    """log p(C); `logs` of the diagonal of Cholesky factors where they are known."""
    blocks = range(0, len(kernels), BLOCK)
    return np.concatenate(
        [_of_block(problem, kernels[b : b + BLOCK], None if logs is None else logs[b : b + BLOCK]) for b in blocks]
    )


def _of_block(
    problem: Problem, kernels: Kernels, logs: Float[np.ndarray, "draw entry"] | None
) -> Float[np.ndarray, " draw"]:
    width, size = problem.width, problem.size
    assert width is not None
    volume = _logdet(kernels) if logs is None else 2 * logs.sum(1)
    covariance, q = _covariances(problem, kernels), _noisy(problem, kernels)
    of_covariance, of_labels = _logdet(covariance), _logdet(q)
    sound = np.isfinite(volume) & np.isfinite(of_covariance) & np.isfinite(of_labels)
    safe = np.where(sound[:, None, None], covariance, np.eye(size))
    explained = np.trace(np.linalg.solve(safe, kernels), axis1=1, axis2=2)
    safe = np.where(sound[:, None, None], q, np.eye(q.shape[-1]))
    misfit = np.sum(problem.labels * np.linalg.solve(safe, problem.labels), (1, 2))
    total = (width - size - 1) / 2 * volume - width / 2 * (of_covariance + explained + misfit)
    return np.where(sound, total - problem.labels.shape[1] / 2 * of_labels, -np.inf)


def _covariances(problem: Problem, kernels: Kernels) -> Kernels:
    """Sigma(C) of many kernels."""
    p = problem.patterns
    found = np.broadcast_to(problem.drive, kernels.shape).copy()
    found[:, p:, p:] += problem.recurrent_variance * (problem.mask * kernels)[:, :-p, :-p]
    return found


def _noisy(problem: Problem, kernels: Kernels) -> Float[np.ndarray, "draw label other"]:
    """Q of many kernels."""
    pick = np.ix_(problem.index, problem.index)
    read = problem.readout_variance * problem.readouts[pick] * kernels[:, *pick]
    return read + problem.noise * np.eye(len(problem.index))


def _outputs(problem: Problem, kernels: Kernels) -> Float[np.ndarray, "draw entry output"]:
    """f = s_a^2 C_S Q^-1 y of many kernels."""
    read = problem.readout_variance * (problem.readouts * kernels)[:, :, problem.index]
    return read @ np.linalg.solve(_noisy(problem, kernels), problem.labels)


def _logdet(matrices: Float[np.ndarray, "draw size size"]) -> Float[np.ndarray, " draw"]:
    """ln det, nan where a matrix is not positive definite."""
    values = np.linalg.eigvalsh(np.nan_to_num(matrices, nan=-1.0, posinf=-1.0, neginf=-1.0))
    positive = values[:, 0] > 0
    return np.where(positive, np.log(np.where(positive[:, None], values, 1.0)).sum(1), np.nan)


def _kernels(points: Points, size: int) -> Kernels:
    """C = A A^T; coordinates are the entries of A by rows, logarithms on its diagonal."""
    factor = np.zeros((len(points), size, size))
    factor[:, *np.tril_indices(size)] = np.where(_diagonal(size), np.exp(np.minimum(points, 50.0)), points)
    return factor @ factor.transpose(0, 2, 1)


def _diagonal(size: int) -> Bool[np.ndarray, " coordinate"]:
    rows, columns = np.tril_indices(size)
    return rows == columns


def _signs(problem: Problem) -> Float[np.ndarray, " coordinate"]:
    """What W -> -W does to the coordinates; nothing where it changes the likelihood."""
    time = problem.time_of
    rows, columns = np.tril_indices(problem.size)
    one_parity = len(set(time[problem.index] % 2)) == 1
    free = problem.is_pulse and one_parity and bool(problem.times_sharing.all())
    return np.where(free & ((time[rows] - time[columns]) % 2 == 1), -1.0, 1.0)


def _refuse(problem: Problem) -> None:
    if problem.activation != "identity":
        raise ValueError(
            f"the law of the kernel alone holds for linear networks, the problem has {problem.activation}; sample its "
            "hidden activity with hitherto.training.posterior"
        )
    if problem.width is None or problem.width < problem.size:
        raise ValueError(
            f"width={problem.width} was given; the kernel of {problem.size} entries has a density from width "
            f"{problem.size} on. Give the problem at least that width"
        )
