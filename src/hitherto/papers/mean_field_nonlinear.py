"""Nonlinear mean-field networks: thresholds, coherent states, and finite networks whose units are drawn one by one.

What theory gives by integrals over single units is held against linear response, the trapezoid rule over all times at
once, Hamiltonian Monte Carlo, and networks of drawn units that the exact law of hidden activity weights.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, root

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import CRITICAL_SIGNAL, FREE_ENERGY, HIDDEN_KERNEL, Estimate
from hitherto.papers.depth_networks import exact
from hitherto.papers.mean_field_networks import (
    OURS,
    PHI,
    chain_of,
    evidence,
    kernel_estimate,
    log_law,
    upright,
)
from hitherto.theory.mean_field import Problem, preactivation_covariance, shift_back
from hitherto.theory.mean_field_coherent import NonlinearCoherentState, coherent_states
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.training.posterior import sample_posterior
from hitherto.training.posterior_chains import Sampling

Kernel = Float[np.ndarray, "time time"]
GRID, REACH = 241, 9.0  # nodes of quadratures in one dimension, in deviations
SMALL = 1e-4  # correlations that are put in to see what comes out


def odd(case: Case) -> str | None:
    """What the theory of chains of nonlinear units covers."""
    return None if case.activation in ("erf", "tanh") else f"{case.activation} is not erf or tanh"


# ---------------------------------------------------------------- the threshold by linear response


def moments_of_time(problem: Problem, covariance: float, pull: float) -> tuple[float, float]:
    """<phi^2> and <h^2> / sigma^2 - 1 / sigma of N(0, sigma) exp(pull phi^2 / 2)."""
    h = np.sqrt(covariance) * np.linspace(-REACH, REACH, GRID)
    phi = PHI[problem.activation](h)
    density = np.exp(-(h**2) / (2 * covariance) + pull * (phi**2 - 1) / 2)
    density /= density.sum()
    return float(density @ phi**2), float(density @ h**2 / covariance**2 - 1 / covariance)


def incoherent_fields(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """sigma and c~ of every time where each pull is what the next time gains, by a root finder."""

    def both(pulls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        covariance, found, sigmas = problem.input_variance * problem.kernel[0, 0], [], []
        for pull in pulls:
            sigmas.append(covariance)
            found.append(moments_of_time(problem, covariance, pull))
            covariance = problem.recurrent_variance * found[-1][0]
        read = problem.readout_variance * found[-1][0] + problem.noise
        gained = [problem.recurrent_variance * gain for _, gain in found[1:]]
        return np.array(sigmas), np.append(gained, problem.readout_variance * np.sum(problem.labels**2) / read**2)

    pulls = root(lambda pulls: both(pulls)[1] - pulls, np.zeros(problem.times), tol=1e-12).x
    return both(pulls)[0], pulls


def response_of_pair(problem: Problem, sigmas: np.ndarray, pulls: np.ndarray) -> Float[np.ndarray, "out into"]:
    """How <phi phi'> and G between two times answer to C~ and Sigma between them."""
    z = np.linspace(-REACH, REACH, GRID)
    h, other = np.sqrt(sigmas)[:, None] * z
    phi, also = PHI[problem.activation](h), PHI[problem.activation](other)
    still = np.add.outer(pulls[0] * (phi**2 - 1), pulls[1] * (also**2 - 1)) / 2

    def moments(pull: float, covariance: float) -> np.ndarray:
        sigma = np.array([[sigmas[0], covariance], [covariance, sigmas[1]]])
        inverse = np.linalg.inv(sigma)
        gauss = np.add.outer(inverse[0, 0] * h**2, inverse[1, 1] * other**2) / 2 + inverse[0, 1] * np.outer(h, other)
        density = np.exp(still + pull * np.outer(phi, also) - gauss)
        density /= density.sum()
        one, two = density.sum(1) @ h**2, density.sum(0) @ other**2
        spread = np.array([[one, h @ density @ other], [h @ density @ other, two]])
        return np.array([phi @ density @ also, (inverse @ (spread - sigma) @ inverse)[0, 1]])

    return np.stack([moments(SMALL, 0.0), moments(0.0, SMALL)], axis=1) / SMALL


def loop_determinant(problem: Problem) -> float:
    """det(1 - loop), the loop from correlations of neighbouring times to what they make; 0 where they grow."""
    sigmas, pulls = incoherent_fields(problem)
    g2, pairs = problem.recurrent_variance, problem.times - 1
    loop = np.zeros((2, pairs, 2, pairs))
    for p in range(pairs):
        of_pull, of_covariance = response_of_pair(problem, sigmas[p : p + 2], pulls[p : p + 2]).T
        if p + 1 < pairs:  # C~ is g^2 G of the next pair
            loop[:, p, 1, p + 1] += g2 * of_pull
        if p > 0:  # Sigma is g^2 C of the pair before
            loop[:, p, 0, p - 1] += g2 * of_covariance
    return float(np.linalg.det(np.eye(2 * pairs) - loop.reshape(2 * pairs, 2 * pairs)))


def growing_from(case: Case) -> Estimate:
    """The least signal at which correlations reproduce themselves."""
    found = brentq(lambda log: loop_determinant(chain_of(case, signal=float(np.exp(log)))), *np.log(case.between))
    return exact(CRITICAL_SIGNAL, float(np.exp(found)))


THRESHOLD = Claim(
    id="mean_field.nonlinear_threshold",
    says="Networks of erf or tanh units turn coherent at a signal that integrals over single units give.",
    source=OURS,
    quantity=CRITICAL_SIGNAL,
    relation="==",
    hypotheses=odd,
    predict=lambda case: exact(CRITICAL_SIGNAL, threshold(chain_of(case, signal=1.0)).label_square),
    measure=growing_from,
    smallest=Case(times=3, noise=0.1, activation="erf", between=(1.0, 6.0)),
    larger=(
        Case(times=3, noise=0.1, activation="tanh", between=(0.5, 4.0)),
        Case(times=4, noise=0.1, activation="erf", between=(0.3, 2.0)),
        Case(times=6, noise=0.1, activation="tanh", between=(0.1, 0.4)),
    ),
    rtol=1e-6,
)

# ---------------------------------------------------------------- coherent states


@cache
def coherent(case: Case) -> NonlinearCoherentState:
    """The coherent state at a multiple of the threshold."""
    problem = chain_of(case, signal=1.0)
    return coherent_states(problem, [case.over * threshold(problem).label_square], nodes=case.nodes)[0]


def coherent_problem(case: Case, **changes: object) -> Problem:
    """With the label of that state."""
    return chain_of(case, signal=coherent(case).label_square, **changes)


def reproduced(case: Case) -> Estimate:
    """<phi phi^T> of one unit in the field of the kernel."""
    problem, state = coherent_problem(case), coherent(case)
    sigma = preactivation_covariance(problem, state.kernel)
    inverse = np.linalg.inv(sigma)
    field = problem.recurrent_variance * shift_back(inverse @ (state.states - sigma) @ inverse, 1)
    read = problem.readout_variance * state.kernel[-1, -1] + problem.noise
    field[-1, -1] += problem.readout_variance * state.label_square / read**2
    phi, gauss = nodes_of_unit(problem, sigma)
    density = gauss * np.exp(np.sum((phi @ field) * phi, 1) / 2)
    return kernel_estimate((phi.T * density) @ phi / density.sum())


def nodes_of_unit(problem: Problem, sigma: Kernel) -> tuple[Float[np.ndarray, "node time"], Float[np.ndarray, " node"]]:
    """phi of a unit and weights of N(0, Sigma), for the trapezoid rule in three dimensions."""
    z = np.stack(np.meshgrid(*3 * [np.linspace(-7, 7, 47)], indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.exp(-np.sum(z**2, 1) / 2)
    return PHI[problem.activation](z @ np.linalg.cholesky(sigma).T), weights / weights.sum()


def sampled_kernel(case: Case) -> Estimate:
    """E C of wide networks by Hamiltonian Monte Carlo over hidden activity, and its error."""
    problem = coherent_problem(case, width=case.width)
    sampling = Sampling(draws=case.draws, warm_up=150, chains=case.chains, seed=case.seed)
    found = sample_posterior(problem, sampling, limit=True).kernel
    return kernel_estimate(upright(found.value), found.error)


BEYOND = dict(times=3, noise=0.1, activation="erf", over=2.0, nodes=40)
NONLINEAR_SADDLE = Claim(
    id="mean_field.nonlinear_saddle",
    says="In a coherent nonlinear network too, a single unit in the field of the kernel reproduces it.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=lambda case: odd(case) or (None if case.times == 3 else "the quadrature is for three times"),
    predict=lambda case: kernel_estimate(coherent(case).kernel),
    measure=reproduced,
    smallest=Case(**BEYOND),
    larger=(Case(**BEYOND | dict(over=1.2, nodes=64)), Case(**BEYOND | dict(activation="tanh", nodes=64))),
    rtol=1e-4,
)
NONLINEAR_COHERENT = Claim(
    id="mean_field.nonlinear_coherent",
    says="Coherent kernels of nonlinear networks are those of sampled networks, up to order 1 / N.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=odd,
    predict=lambda case: kernel_estimate(coherent(case).kernel),
    measure=sampled_kernel,
    smallest=Case(**BEYOND, width=300, draws=200, chains=4, seed=0),
    larger=(
        Case(**BEYOND, width=2000, draws=500, chains=8, seed=1),
        Case(**BEYOND | dict(activation="tanh", nodes=64), width=2000, draws=500, chains=8, seed=2),
    ),
    rtol=5e-3,
)

# ---------------------------------------------------------------- the rate of probabilities


def drawn_units(
    problem: Problem, covariance: float, pull: float, count: int, rng: np.random.Generator
) -> Float[np.ndarray, " unit"]:
    """h of single units, exactly from N(0, sigma) exp(pull phi^2 / 2), by rejection; phi is within 1."""
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        h = np.sqrt(covariance) * rng.normal(size=count)
        kept.append(h[np.log(rng.random(count)) < pull * (PHI[problem.activation](h) ** 2 - 1) / 2])
    return np.concatenate(kept)[:count]


def log_evidence(case: Case, width: int) -> Estimate:
    """ln p(y), from networks of drawn units, weighted by the exact law of hidden activity."""
    problem, rng = chain_of(case, width=width), np.random.default_rng(case.seed + width)
    fields = list(zip(*incoherent_fields(problem), strict=True))
    hidden = np.stack([drawn_units(problem, *field, case.draws * width, rng) for field in fields], axis=1)
    exponent = np.zeros(len(hidden))
    for h, (covariance, pull) in zip(hidden.T, fields, strict=True):
        norm = _log_norm(problem, covariance, pull) + np.log(2 * np.pi * covariance) / 2
        exponent += (pull * PHI[problem.activation](h) ** 2 - h**2 / covariance) / 2 - norm
    networks = hidden.reshape(case.draws, width, case.times)
    return evidence(log_law(problem, networks) - exponent.reshape(case.draws, width).sum(1))


def rate_of_evidence(case: Case) -> Estimate:
    """-ln p(y) + ln(N) / 2 grows by F for each unit: from networks of two widths."""
    few, many = (log_evidence(case, width) for width in case.widths)
    units = case.widths[1] - case.widths[0]
    value = (few.value - many.value + np.log(case.widths[1] / case.widths[0]) / 2) / units
    error = np.hypot(few.standard_error, many.standard_error) / units
    return Estimate(FREE_ENERGY, float(value), float(error), source="weighted draws")


def _log_norm(problem: Problem, covariance: float, pull: float) -> float:
    z, spacing = np.linspace(-REACH, REACH, GRID, retstep=True)
    phi = PHI[problem.activation](np.sqrt(covariance) * z)
    return float(np.log(np.exp((pull * phi**2 - z**2) / 2).sum() * spacing / np.sqrt(2 * np.pi)))


RATE = Claim(
    id="mean_field.rate_function",
    says="The probability of labels falls as exp(-N F), F the lowest over laws of a single unit.",
    source=OURS,
    quantity=FREE_ENERGY,
    relation="==",
    hypotheses=odd,
    predict=lambda case: Estimate(FREE_ENERGY, incoherent_states(chain_of(case))[0].free_energy, 0.0),
    measure=rate_of_evidence,
    smallest=Case(times=3, signal=1.0, noise=0.1, activation="erf", shared=False, widths=(50, 100), draws=4000, seed=0),
    larger=(
        Case(times=3, signal=1.0, noise=0.1, activation="erf", shared=True, widths=(100, 200), draws=10_000, seed=1),
        Case(times=4, signal=2.0, noise=0.1, activation="tanh", shared=False, widths=(100, 200), draws=10_000, seed=2),
    ),
    rtol=2e-3,
)
CLAIMS = (THRESHOLD, NONLINEAR_SADDLE, NONLINEAR_COHERENT, RATE)
