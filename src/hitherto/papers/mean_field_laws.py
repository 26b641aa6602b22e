"""Mean-field networks in general: the exact law of hidden activity, saddle points, predictions, test patterns."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    HIDDEN_KERNEL,
    LOG_EVIDENCE,
    MEAN_OUTPUT,
    OUTPUT_VARIANCE,
    Estimate,
)
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import (
    LANDED,
    OURS,
    PHI,
    RETOLD,
    Weighted,
    chain_of,
    curve,
    drawn_networks,
    drawn_problem,
    evidence,
    kernel_estimate,
    minimum,
    output_estimate,
    trained,
    weighted,
)
from hitherto.theory.mean_field import preactivation_covariance, shift_back
from hitherto.theory.mean_field_prediction import TestPoints, at_test_points, predict
from hitherto.theory.mean_field_solver import solve
from hitherto.training.posterior import collapsed

# ---------------------------------------------------------------- the exact law of hidden activity


@cache
def by_weights(case: Case) -> tuple[Weighted, Weighted, Estimate]:
    """Kernel, outputs and evidence over weights of the prior."""
    problem = chain_of(case)
    return trained(problem, drawn_networks(problem, case.draws, case.seed))


@cache
def by_law(case: Case) -> tuple[Weighted, Estimate]:
    """Kernel and evidence over hidden activity, drawn time by time and weighted by the law."""
    problem = chain_of(case)
    white = np.random.default_rng(case.seed + 1).normal(size=(case.draws, problem.width, problem.times))
    hidden, volume = np.zeros_like(white), np.zeros(len(white))
    for time in range(problem.times):  # rows of the factor of Sigma, one after the other
        phi = PHI[problem.activation](hidden)
        kernels = phi.transpose(0, 2, 1) @ phi / problem.width
        sigma = np.array(jax.vmap(collapsed(problem, False).covariance)(jnp.asarray(kernels)))
        factor = np.linalg.cholesky(sigma[:, : time + 1, : time + 1])[:, time]
        hidden[:, :, time] = np.einsum("nut,nt->nu", white[:, :, : time + 1], factor)
        volume += problem.width * np.log(factor[:, time])
    reference = -np.sum(white**2 + np.log(2 * np.pi), (1, 2)) / 2
    density = jax.vmap(collapsed(problem, False).density)(jnp.asarray(hidden.transpose(0, 2, 1)))
    log_weights = np.asarray(density) + volume - reference
    phi = PHI[problem.activation](hidden)
    return weighted(phi.transpose(0, 2, 1) @ phi / problem.width, log_weights), evidence(log_weights)


SMALL = dict(times=2, signal=1.5, noise=0.5, shared=True, activation="tanh", width=2, draws=40_000, seed=0)
SMALLER_LATER = tuple(
    Case(**SMALL | dict(times=3, shared=shared, activation=phi, draws=1_000_000, seed=1))
    for shared, phi in ((True, "tanh"), (False, "tanh"), (True, "erf"))
)
EVIDENCE = Claim(
    id="mean_field.evidence",
    says="The exact law of hidden activity, weights integrated out, gives the probability of labels at any width.",
    source=OURS,
    quantity=LOG_EVIDENCE,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: by_law(case)[1],
    measure=lambda case: by_weights(case)[2],
    smallest=Case(**SMALL),
    larger=SMALLER_LATER,
)
COLLAPSED = Claim(
    id="mean_field.collapsed_law",
    says="The exact law of hidden activity gives the mean kernels of trained networks of any width, here of two units.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(*by_law(case)[0]),
    measure=lambda case: kernel_estimate(*by_weights(case)[0]),
    smallest=Case(**SMALL),
    larger=SMALLER_LATER,
)

# ---------------------------------------------------------------- saddle points


@cache
def solved(case: Case) -> Float[np.ndarray, "entry entry"]:
    """C of the lowest minimum."""
    return solve(drawn_problem(case)).best.kernel


def one_step(case: Case) -> Estimate:
    """<h h^T> of a single unit in the field that the kernel makes: N(0, Sigma(C)) exp(h^T C~ h / 2)."""
    problem = drawn_problem(case)
    kernel = solved(case)
    sigma = preactivation_covariance(problem, kernel)
    inverse, rows = np.linalg.inv(sigma), np.ix_(problem.index, problem.index)
    read = problem.readout_variance * problem.readouts[rows]
    weights = np.linalg.solve(read * kernel[rows] + problem.noise * np.eye(len(rows[0])), problem.labels)
    lacking = inverse @ (kernel - sigma) @ inverse
    field = problem.recurrent_variance * problem.mask * shift_back(lacking, problem.patterns)
    field[rows] += read * (weights @ weights.T)
    return kernel_estimate(np.linalg.inv(inverse - field), LANDED)


DRAWN = dict(patterns=2, times=3, features=3, size=1.5, noise=0.2, shared=True, seed=0)
SADDLE = Claim(
    id="mean_field.saddle",
    says="A single unit in the field of its kernel reproduces it; recurrent and feedforward fields differ by a mask.",
    source=RETOLD,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(solved(case)),
    measure=one_step,
    smallest=Case(**DRAWN),
    larger=(
        Case(**DRAWN | dict(shared=False, shared_inputs=False)),
        Case(**DRAWN | dict(shared_readout=False, bias_variance=0.3, seed=1)),
        Case(**DRAWN | dict(patterns=4, times=4, features=6, size=3.0, seed=2)),
    ),
    rtol=1e-7,
)

# ---------------------------------------------------------------- predictions


@cache
def drawn_readouts(case: Case) -> tuple[Float[np.ndarray, "entry entry"], np.ndarray, np.ndarray]:
    """A kernel of drawn units, with mean and N times variance of f by Bayesian regression of their readouts."""
    problem = drawn_problem(case)
    phi = np.random.default_rng(case.seed + 1).normal(size=(case.width, problem.size))
    reads = np.eye(problem.times) if not problem.shared_readout else np.ones((problem.times, 1))
    features = (reads[problem.time_of][:, :, None] * phi.T[:, None]).reshape(problem.size, -1) / case.width
    seen = features[problem.index]
    precision = case.width / problem.noise * seen.T @ seen + np.eye(features.shape[1]) / problem.readout_variance
    mean = features @ np.linalg.solve(precision, seen.T @ problem.labels[:, 0]) * case.width / problem.noise
    variance = case.width * np.sum(features * np.linalg.solve(precision, features.T).T, 1)
    return phi.T @ phi / case.width, mean, variance


def slope_in_labels(case: Case) -> Estimate:
    """y - kappa dF / dy, each label moved by itself, F the lowest over all kernels."""
    problem, step = drawn_problem(case), 1e-4

    def lowest(label: int, change: float) -> float:
        labels = problem.labels.copy()
        labels[label] += change
        return minimum(problem.with_(labels=labels), 1).value

    slopes = [(lowest(k, step) - lowest(k, -step)) / (2 * step) for k in range(len(problem.labels))]
    return output_estimate(problem.labels[:, 0] - problem.noise * np.array(slopes), 1e-6)


def fitted(case: Case) -> Estimate:
    """f on labelled entries."""
    problem = drawn_problem(case)
    return output_estimate(predict(problem, solved(case)).mean[problem.index, 0])


READ = dict(patterns=2, times=3, features=3, size=1.0, noise=0.2, width=30, seed=0)
PREDICTOR = Claim(
    id="mean_field.predictor",
    says="Given the kernel, the mean output is kernel regression, f = s_a^2 C (s_a^2 C + kappa)^-1 y.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: output_estimate(predict(drawn_problem(case), drawn_readouts(case)[0]).mean[:, 0]),
    measure=lambda case: output_estimate(drawn_readouts(case)[1], 1e-9),
    smallest=Case(**READ),
    larger=(Case(**READ | dict(shared_readout=False)), Case(**READ | dict(patterns=10, width=200))),
)
VARIANCE = Claim(
    id="mean_field.output_variance",
    says="Given the kernel, N times the variance of an output is s_a^2 C - s_a^4 C (s_a^2 C + kappa)^-1 C.",
    source=OURS,
    quantity=OUTPUT_VARIANCE,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: curve(OUTPUT_VARIANCE, predict(drawn_problem(case), drawn_readouts(case)[0]).variance),
    measure=lambda case: curve(OUTPUT_VARIANCE, drawn_readouts(case)[2], 1e-9),
    smallest=Case(**READ),
    larger=PREDICTOR.larger,
)
RESIDUAL = Claim(
    id="mean_field.residual",
    says="What is left of a label is the noise times the slope of the free energy in it, y - f = kappa dF/dy.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=anywhere,
    predict=fitted,
    measure=slope_in_labels,
    smallest=Case(**DRAWN | dict(patterns=1)),
    larger=(Case(**DRAWN), Case(**DRAWN | dict(shared=False, shared_readout=False, seed=1))),
)

# ---------------------------------------------------------------- test patterns


@cache
def at_fresh(case: Case) -> TestPoints:
    """The fresh patterns by theory, from the kernel of the others."""
    full, known = drawn_problem(case), _places(case)
    fresh = np.setdiff1d(np.arange(full.size), known)
    small = full.with_(
        kernel=full.kernel[np.ix_(known, known)], labelled=tuple(map(int, np.searchsorted(known, full.index)))
    )
    kernel = solve(small).best.kernel
    return at_test_points(small, kernel, full.kernel[np.ix_(fresh, known)], full.kernel[np.ix_(fresh, fresh)])


@cache
def carried(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and outputs of the fresh patterns, learned with as patterns without labels."""
    problem = drawn_problem(case)
    kernel, fresh = minimum(problem).kernel, np.setdiff1d(np.arange(problem.size), _places(case))
    return kernel[np.ix_(fresh, fresh)], predict(problem, kernel).mean[fresh, 0]


def _places(case: Case) -> np.ndarray:
    """Entries of the patterns that are not fresh."""
    together = case.patterns + case.fresh
    return np.add.outer(np.arange(case.times) * together, np.arange(case.patterns)).ravel()


FRESH = dict(patterns=2, fresh=1, times=3, features=4, size=1.5, noise=0.2, seed=0)
TEST_KERNEL = Claim(
    id="mean_field.test_kernel",
    says="Test patterns carry no field: their kernel is that of training patterns without labels.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(at_fresh(case).among),
    measure=lambda case: kernel_estimate(carried(case)[0], LANDED),
    smallest=Case(**FRESH),
    larger=(Case(**FRESH | dict(shared=False)), Case(**FRESH | dict(patterns=3, fresh=2, features=8, seed=1))),
)
TEST_OUTPUTS = Claim(
    id="mean_field.test_outputs",
    says="Outputs at test patterns are those of training patterns without labels.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: output_estimate(at_fresh(case).prediction.mean[:, 0]),
    measure=lambda case: output_estimate(carried(case)[1], LANDED),
    smallest=Case(**FRESH),
    larger=TEST_KERNEL.larger,
)
CLAIMS = (EVIDENCE, COLLAPSED, SADDLE, PREDICTOR, VARIANCE, RESIDUAL, TEST_KERNEL, TEST_OUTPUTS)
