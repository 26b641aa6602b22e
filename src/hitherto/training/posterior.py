"""Sampling what networks learn, at any finite width, without their weights: the exact law of hidden activity.

With W, V and a integrated out, the law of the preactivations H of a mean-field problem (`theory.mean_field`) is

    log p(H, y) = -(N/2) [logdet 2 pi Sigma(C) + tr Sigma(C)^-1 K + y^T Q^-1 y] - (1/2) logdet(2 pi Q / N),

with kernels C = phi(H)^T phi(H) / N and K = H^T H / N, and Q = s_a^2 C_SS + kappa I. Source: our derivation.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.diagnostics import effective_sample_size, potential_scale_reduction
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from hitherto.core.model import precision
from hitherto.theory.mean_field import Problem, preactivation_covariance
from hitherto.training._error_function import erf
from hitherto.training.posterior_chains import Run, Sampling, Target, begin, hmc_block, sample
from hitherto.training.progress import Show

ACTIVATIONS = {"identity": lambda h: h, "erf": erf, "tanh": jnp.tanh, "relu": jax.nn.relu}
SINGULAR = 1e-12  # of the largest eigenvalue: what is below counts as 0

Hidden = Float[np.ndarray, "chain unit entry"]


@dataclass(frozen=True, eq=False)
class Averaged:
    """Means over draws of all chains.

    Attributes:
        value: the mean.
        error: its standard error, deviation / sqrt(effective).
        r_hat: deviation over that within chains; above 1.05 chains have not settled on the same law.
        effective: the number of independent draws with the same error, by Geyer's monotone sequence.
    """

    value: Float[np.ndarray, "..."]
    error: Float[np.ndarray, "..."]
    r_hat: Float[np.ndarray, "..."]
    effective: Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Posterior:
    """What was sampled of a problem.

    Attributes:
        problem: with its width.
        folded: whether W -> -W changes signs and no likelihood: a pulse, odd phi, labels of one parity of times. Then
            `kernel` holds means of |C| between times an odd number of steps apart, and `outputs` of |f| at times of
            the other parity; the means of C and f themselves are 0 there.
        kernel: C (entry, entry).
        outputs: f (entry, output).
        acceptance: mean over draws and chains; nan where nothing is rejected.
        seconds: warm-up and compilation included, over all sessions of a checkpoint.
        pairs: the draws of C, entries on and above the diagonal as `numpy.triu_indices` orders them.
        last: the position of every chain after its last draw: preactivations H, or whitened weights.
    """

    problem: Problem
    folded: bool
    kernel: Averaged
    outputs: Averaged
    acceptance: float
    seconds: float
    pairs: Float[np.ndarray, "chain draw pair"]
    last: Float[np.ndarray, "chain ..."]

    @property
    def settled(self) -> bool:
        """Whether every entry of the kernel has an r_hat of at most 1.05."""
        return bool((self.kernel.r_hat <= 1.05).all())


def sample_posterior(
    problem: Problem,
    sampling: Sampling | None = None,
    *,
    limit: bool = False,
    start: Hidden | None = None,
    checkpoint: Path | str | None = None,
    progress: Show | None = None,
) -> Posterior:
    """Draw hidden activity of trained networks of the problem's width by Hamiltonian Monte Carlo on log p(H, y).

    Args:
        problem: with `width`.
        sampling: how many draws and chains.
        limit: leave out logdet(2 pi Q / N), of order 1, so that kernels approach their limit of infinite width faster.
        start: preactivations to begin with, as `Posterior.last` of a neighbouring problem; None for draws from the
            prior, the second half of the chains mirrored where `folded`.
        checkpoint: a file; a run that was killed goes on from it, one that had ended returns at once, and one with
            more draws asked for adds them.
        progress: called after every 25 draws; `loss` is the squared error on the labels.
    Raises:
        ValueError: if the width is missing or so small that Sigma is singular, or the checkpoint is of other work.

    Cost: N M^2 + M^3 a gradient, about 10 gradients a draw and chain; memory chains x draws x M^2 / 2.
    Does not tell of states that no chain met: at large noise a lazy and a rich one may be far apart.
    Source: our derivation; checked against sampled weights.
    """
    sampling = sampling or Sampling()
    with precision(np.float64):
        hidden = prior_hidden(problem, sampling.chains, sampling.seed) if start is None else np.asarray(start)
        _refuse_start(problem, sampling, hidden)
        target = collapsed(problem, limit)
        frame = np.mean([preactivation_covariance(problem, _kernel(problem, h)) for h in hidden], 0)
        factor = jnp.broadcast_to(np.linalg.cholesky(frame), (len(hidden), *frame.shape))
        white = solve_triangular(factor, jnp.swapaxes(jnp.asarray(hidden), 1, 2), lower=True)
        chains = begin(target, white, factor)
        named = {"kind": "collapsed", "limit": limit, "start": _digest(start), **identity(problem)}
        run = sample(target, chains, sampling, move=hmc_block, identity=named, checkpoint=checkpoint, progress=progress)
        return summary(problem, run, jnp.swapaxes(run.chains.frame @ run.chains.position, 1, 2))


def log_density(
    problem: Problem, hidden: Float[np.ndarray, "unit entry"], limit: bool = False
) -> tuple[float, Float[np.ndarray, "unit entry"]]:
    """log p(H, y) of the module's formula, and its gradient by H; N is the number of rows of H.

    Args:
        limit: leave out the term of order 1.
    Returns:
        -inf or nan where Sigma(C) is not positive definite.
    """
    with precision(np.float64):
        value, slope = _density_and_slope(collapsed(problem, limit), jnp.asarray(hidden.T))
        return float(value), np.asarray(slope).T


class Collapsed(Target):
    """log p(H, y), with H^T = frame position: units lie along the last axis, where arithmetic is fastest."""

    framed: ClassVar[bool] = True
    reach: Array  # g^2 where a W is shared, between entries that have a next time
    drive: Array
    read: Array  # s_a^2 where a readout is shared, between all entries and labelled ones
    index: Array
    labels: Array
    noise: Array
    patterns: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    limit: bool = eqx.field(static=True)

    def log_density(self, position: Array, frame: Array) -> Array:
        return self.density(frame @ position)

    def density(self, hidden: Float[Array, "entry unit"]) -> Array:
        """log p(H, y)."""
        return _of_kernels(hidden.shape[1], self, self.kernel(hidden), hidden @ hidden.T / hidden.shape[1])

    def kernel(self, hidden: Float[Array, "entry unit"]) -> Array:
        """C."""
        phi = ACTIVATIONS[self.activation](hidden)
        return phi @ phi.T / hidden.shape[1]

    def covariance(self, kernel: Array) -> Array:
        """Sigma(C)."""
        p = self.patterns
        return self.drive + jnp.pad(self.reach * kernel[:-p, :-p], ((p, 0), (p, 0)))

    def noisy(self, kernel: Array) -> Array:
        """Q."""
        return (self.read * kernel[:, self.index])[self.index] + self.noise * jnp.eye(len(self.index))

    def seen(self, position: Array, frame: Array) -> tuple[Array, Array]:
        """C, and the mean of the outputs given it."""
        kernel = self.kernel(frame @ position)
        outputs = (self.read * kernel[:, self.index]) @ jnp.linalg.solve(self.noisy(kernel), self.labels)
        return kernel[jnp.triu_indices(len(kernel))], outputs

    def misfit(self, outputs: Array) -> Array:
        return ((outputs[..., self.index, :] - self.labels) ** 2).mean()

    def spread(self, slope: Array) -> Array:
        """The mean curvature, as the second moment of gradients: it stays the local one where units have two modes."""
        return slope @ slope.T / slope.shape[1]

    def reframed(self, position: Array, frame: Array, spread: Array) -> tuple[Array, Array]:
        factor = jnp.linalg.cholesky(spread)
        return factor.T @ position, solve_triangular(factor, frame.T, lower=True).T


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _of_kernels(units: int, target: Collapsed, kernel: Array, moments: Array) -> Array:
    """log p(H, y) from C and K."""
    return _with_slopes(units, target, kernel, moments)[0]


def _with_slopes(units: int, target: Collapsed, kernel: Array, moments: Array) -> tuple[Array, tuple[Array, Array]]:
    """log p, and its derivatives by C and by K: a third of the time that differentiating factorisations takes.

    d/dK = -(N/2) Sigma^-1 and d/dC = (1/2) (g^2 S^T(mask * N G) + s_a^2 [N Q^-1 y y^T Q^-1 - Q^-1]_SS) with
    G = Sigma^-1 K Sigma^-1 - Sigma^-1, by which d/dH has the terms of the theory's C~.
    """
    of_hidden, inverse = _inverted(target.covariance(kernel))
    of_labels, precise = _inverted(target.noisy(kernel))
    weights = precise @ target.labels
    total = -units / 2 * (of_hidden + jnp.sum(inverse * moments) + jnp.sum(weights * target.labels))
    by_labels = units / 2 * weights @ weights.T
    if not target.limit:
        count, outputs = target.labels.shape
        total = total - outputs / 2 * (of_labels - count * jnp.log(units))
        by_labels = by_labels - outputs / 2 * precise
    by_hidden = units / 2 * (inverse @ moments @ inverse - inverse)
    p, index = target.patterns, target.index
    slope = jnp.pad(target.reach * by_hidden[p:, p:], ((0, p), (0, p)))
    slope = slope.at[index[:, None], index].add(target.read[index] * by_labels)
    return total, (slope, -units / 2 * inverse)


def _backward(units: int, slopes: tuple[Array, Array], toward: Array) -> tuple[None, Array, Array]:
    return None, toward * slopes[0], toward * slopes[1]


_of_kernels.defvjp(_with_slopes, _backward)


def _inverted(matrix: Float[Array, "size size"]) -> tuple[Array, Float[Array, "size size"]]:
    """logdet(2 pi A) and A^-1."""
    factor = jnp.linalg.cholesky(matrix)
    back = solve_triangular(factor, jnp.eye(len(matrix)), lower=True)
    return 2 * jnp.log(jnp.diagonal(factor)).sum() + len(matrix) * jnp.log(2 * jnp.pi), back.T @ back


def collapsed(problem: Problem, limit: bool) -> Collapsed:
    """The target of a problem."""
    p, index = problem.patterns, problem.index
    arrays = (
        problem.recurrent_variance * problem.mask[:-p, :-p],
        problem.drive,
        problem.readout_variance * problem.readouts[:, index],
        index,
        problem.labels,
        float(problem.noise),
    )
    return Collapsed(*map(jnp.asarray, arrays), p, problem.activation, limit)


def prior_hidden(problem: Problem, chains: int, seed: int) -> Hidden:
    """Preactivations of untrained networks, exact at any width; the second half mirrored where `is_folded`.

    Times are drawn one after the other: given the earlier ones, rows of H are Gaussian with covariance Sigma(C).

    Raises:
        ValueError: if the width is missing or so small that Sigma is singular.
    Cost: N M^2 a time; no weights are drawn.
    """
    _refuse_width(problem)
    rng, half = np.random.default_rng(seed), (chains + 1) // 2
    if not is_folded(problem):
        return np.stack([_prior(problem, rng) for _ in range(chains)])
    drawn = np.stack([_prior(problem, rng) for _ in range(half)])
    return np.concatenate([drawn, drawn * (-1.0) ** problem.time_of])[:chains]


def is_folded(problem: Problem) -> bool:
    """Whether the signs of C at odd lags are free: see `Posterior.folded`."""
    one_parity = len(set(problem.time_of[problem.index] % 2)) == 1
    return problem.is_pulse and problem.is_odd and bool(problem.times_sharing.all()) and one_parity


def summary(problem: Problem, run: Run, last: Array) -> Posterior:
    """Means with errors, of what a run kept."""
    row, column = np.triu_indices(problem.size)
    time, folded = problem.time_of, is_folded(problem)
    odd = folded & ((time[row] - time[column]) % 2 == 1)
    other = folded & ((time - time[problem.index[0]]) % 2 == 1)
    kernel = averaged(np.where(odd, np.abs(run.kept.pairs), run.kept.pairs))
    outputs = averaged(np.where(other[:, None], np.abs(run.kept.outputs), run.kept.outputs))
    place = np.zeros((problem.size, problem.size), int)
    place[row, column] = place[column, row] = np.arange(len(row))
    square = Averaged(*(getattr(kernel, f.name)[place] for f in fields(Averaged)))
    rate = float(run.kept.accepted.mean())
    return Posterior(problem, folded, square, outputs, rate, run.seconds, run.kept.pairs, np.asarray(last))


def averaged(values: Float[np.ndarray, "chain draw *rest"]) -> Averaged:
    """Means over chains and draws, with errors from the autocorrelation within chains and the spread between them."""
    shape, flat = values.shape[2:], values.reshape(*values.shape[:2], -1)
    deviation = flat.std((0, 1), ddof=1)
    moves = deviation > 1e-14 * np.abs(flat).max((0, 1), initial=0.0)
    # what never moves is known; noise stands in for it, as the diagnostics divide by its variance
    flat = np.where(moves, flat, np.random.default_rng(0).standard_normal(flat.shape[:2])[..., None])
    with precision(np.float64):
        effective, r_hat = (np.asarray(found).reshape(shape) for found in _diagnosed(flat))
    error = np.where(moves, deviation, 0.0).reshape(shape) / np.sqrt(effective)
    return Averaged(values.mean((0, 1)), error, r_hat, effective)


def identity(problem: Problem) -> Mapping[str, Any]:
    """What a problem is, as plain values; arrays as digests."""
    values = {field.name: getattr(problem, field.name) for field in fields(Problem)}
    return {name: _digest(v) if isinstance(v, np.ndarray) else v for name, v in values.items()}


def _digest(array: np.ndarray | None) -> str:
    if array is None:
        return ""
    return hashlib.sha256(f"{array.dtype} {array.shape};".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _prior(problem: Problem, rng: np.random.Generator) -> Float[np.ndarray, "unit entry"]:
    white, p = rng.standard_normal((problem.width, problem.size)), problem.patterns
    hidden = np.zeros_like(white)
    for stop in range(p, problem.size + 1, p):
        covariance = preactivation_covariance(problem, _kernel(problem, hidden))[:stop, :stop]
        values = np.linalg.eigvalsh(covariance)
        if values[0] <= SINGULAR * values[-1]:
            raise ValueError(
                f"the covariance of preactivations is singular at width {problem.width}: its eigenvalues go from "
                f"{values[0]:.1e} to {values[-1]:.1e}. Patterns that depend on each other linearly, recurrent_variance "
                "= 0 and too few units do this: leave such patterns out, or give more units"
            )
        factor = np.linalg.cholesky(covariance)
        hidden[:, stop - p : stop] = white[:, :stop] @ factor[stop - p :].T
    return hidden


def _kernel(problem: Problem, hidden: Float[np.ndarray, "unit entry"]) -> Float[np.ndarray, "entry entry"]:
    with precision(np.float64):
        phi = np.asarray(ACTIVATIONS[problem.activation](jnp.asarray(hidden)))
    return phi.T @ phi / len(phi)


def _refuse_width(problem: Problem) -> None:
    if problem.width is None:
        raise ValueError("a finite network was asked for without its width; give the problem `width=`")
    after_first = problem.times_sharing[1:, 1:]
    least = problem.patterns * int(after_first.sum(1).max(initial=0))
    if problem.is_pulse and problem.width < least:
        raise ValueError(
            f"width={problem.width} was asked for; with inputs at the first time alone, a W that is used "
            f"{least // problem.patterns} times on {problem.patterns} patterns has a law of hidden activity with a "
            f"density from width {least} on. Give at least {least}, or sample the weights"
        )


def _refuse_start(problem: Problem, sampling: Sampling, hidden: Hidden) -> None:
    wanted = (sampling.chains, problem.width, problem.size)
    if hidden.shape != wanted:
        raise ValueError(f"start has the shape {hidden.shape}; give chains, width and entries {wanted}")


@jax.jit
def _diagnosed(values: Float[Array, "chain draw value"]) -> tuple[Array, Array]:
    return effective_sample_size(values), potential_scale_reduction(values)


@eqx.filter_jit
def _density_and_slope(target: Collapsed, hidden: Array) -> tuple[Array, Array]:
    return jax.value_and_grad(target.density)(hidden)
