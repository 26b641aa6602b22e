"""Weights of trained mean-field networks: noisy gradient descent draws them, and learning leaves marks in spectra."""

from functools import cache

import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    EIGENVALUE_OUTLIERS,
    MEAN_OUTPUT,
    SINGULAR_VALUE_OUTLIERS,
    Estimate,
    Quantity,
)
from hitherto.papers.mean_field_chains import ground
from hitherto.papers.mean_field_networks import (
    OURS,
    STATED,
    chain_of,
    curve,
    output_estimate,
)
from hitherto.theory.mean_field_prior import prior_kernel
from hitherto.theory.mean_field_weights import Outliers, outliers
from hitherto.theory.mean_field_width import kernel_moments
from hitherto.training.posterior import sample_posterior
from hitherto.training.posterior_chains import Sampling
from hitherto.training.posterior_draws import draw_weights
from hitherto.training.posterior_weights import Weights, langevin_settings

# ---------------------------------------------------------------- training by Langevin dynamics


def answers_and_slopes(
    weights: list[np.ndarray], label: float
) -> tuple[Float[np.ndarray, " chain"], tuple[np.ndarray, ...]]:
    """f = a W V / N of every chain, and the slopes of (y - f)^2 / 2 by V, W and a."""
    entering, recurrent, readout = weights
    hidden, back = recurrent @ entering, readout.transpose(0, 2, 1)
    answer = readout @ hidden / recurrent.shape[1]
    missed = (answer - label) / recurrent.shape[1]
    slopes = (recurrent.transpose(0, 2, 1) @ back, back @ entering.transpose(0, 2, 1), hidden.transpose(0, 2, 1))
    return answer[:, 0, 0], tuple(missed * slope for slope in slopes)


def langevin_answer(case: Case) -> Estimate:
    """E f of Langevin dynamics on (y - f)^2 / 2 + sum lambda theta^2 / 2; two times, one feature."""
    problem, rng = chain_of(case), np.random.default_rng(case.seed)
    n, label, settings = problem.width, float(problem.labels[0, 0]), langevin_settings(problem, 1)
    decays = [settings[name] for name in ("lambda_V", "lambda_W", "lambda_a")]
    shaken = np.sqrt(2 * case.rate * settings["temperature"])
    weights = [rng.normal(size=(case.chains, *shape)) for shape in ((n, 1), (n, n), (1, n))]
    kept = []
    for step in range(case.steps):
        answer, slopes = answers_and_slopes(weights, label)
        for weight, slope, decay in zip(weights, slopes, decays, strict=True):
            weight -= case.rate * (slope + decay * weight) - shaken * rng.normal(size=weight.shape)
        if step >= case.steps // 3:
            kept.append(answer)
    by_chain = np.mean(kept, 0)
    return output_estimate(by_chain.mean(keepdims=True), by_chain.std(ddof=1) / np.sqrt(len(by_chain)))


def law_answer(case: Case) -> Estimate:
    """E f at the label, by the law of the kernel."""
    found = kernel_moments(chain_of(case), case.kernels, case.seed)
    return output_estimate(found.outputs[-1:, 0], found.outputs_error[-1:, 0])


LANGEVIN = Claim(
    id="mean_field.langevin",
    says="Noisy gradient descent draws networks from the posterior if each kind of weight has the right decay.",
    source=STATED,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=lambda case: None if case.times == 2 else "the dynamics is written out for two times",
    predict=law_answer,
    measure=langevin_answer,
    smallest=Case(times=2, signal=2.0, noise=0.5, width=3, kernels=20_000, chains=1000, steps=1500, rate=0.04, seed=0),
    larger=(
        Case(times=2, signal=2.0, noise=0.5, width=10, kernels=100_000, chains=2000, steps=10_000, rate=0.02, seed=1),
    ),
    rtol=0.02,
)

# ---------------------------------------------------------------- spectra of weights


def hidden_states(case: Case) -> Float[np.ndarray, "network unit time"]:
    """Of trained linear networks: by Hamiltonian Monte Carlo, or independent units with the kernel of the theory."""
    problem = chain_of(case)
    if case.sampled:
        return sample_posterior(problem, Sampling(draws=100, warm_up=300, chains=case.networks, seed=case.seed)).last
    rng = np.random.default_rng(case.seed)
    deviation = np.sqrt(np.diag(prior_kernel(problem)[0]))
    factor = deviation[:, None] * np.linalg.cholesky(ground(case).kernel)
    return rng.normal(size=(case.networks, problem.width, problem.size)) @ factor.T


@cache
def weights_of(case: Case) -> tuple[Weights, ...]:
    """Weights of trained networks, by their law given hidden states."""
    hidden = hidden_states(case)
    return tuple(draw_weights(chain_of(case), one, case.seed + k) for k, one in enumerate(hidden))


def largest_eigenvalue(case: Case) -> Estimate:
    """The largest modulus of the W that makes the last time."""
    values = [np.abs(np.linalg.eigvals(weights.recurrent[-1])).max() for weights in weights_of(case)]
    return _over_networks(EIGENVALUE_OUTLIERS, values)


def largest_singular_value(case: Case) -> Estimate:
    """The largest of the W that makes the last time."""
    values = [np.linalg.norm(weights.recurrent[-1], 2) for weights in weights_of(case)]
    return _over_networks(SINGULAR_VALUE_OUTLIERS, values)


def _over_networks(quantity: Quantity, values: list[float]) -> Estimate:
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return curve(quantity, np.array([np.mean(values)]), error, first=1)


def spectrum(case: Case) -> Outliers:
    """Of the last W, by theory."""
    problem = chain_of(case)
    deviation = np.sqrt(np.diag(prior_kernel(problem)[0]))
    return outliers(problem, ground(case).kernel * np.outer(deviation, deviation))[-1]


STRONG = dict(times=3, signal=200.0, noise=0.5, shared=True, width=300, networks=24, sampled=False, seed=0)
SAMPLED = STRONG | dict(sampled=True, width=400, networks=8)
EIGENVALUE = Claim(
    id="mean_field.eigenvalue_outlier",
    says="Coherence puts an eigenvalue of W outside of its bulk, at a place that the kernel tells.",
    source=STATED,
    quantity=EIGENVALUE_OUTLIERS,
    relation="==",
    hypotheses=lambda case: None if len(spectrum(case).visible_eigenvalues) == 1 else "no eigenvalue leaves the bulk",
    predict=lambda case: curve(EIGENVALUE_OUTLIERS, np.abs(spectrum(case).visible_eigenvalues), first=1),
    measure=largest_eigenvalue,
    smallest=Case(**STRONG),
    larger=(Case(**SAMPLED), Case(**SAMPLED | dict(signal=60.0, width=1000))),
    rtol=0.01,
)
SINGULAR = Claim(
    id="mean_field.singular_outlier",
    says="Learning puts singular values outside of their bulk, in feedforward networks too.",
    source=OURS,
    quantity=SINGULAR_VALUE_OUTLIERS,
    relation="==",
    hypotheses=lambda case: None if len(spectrum(case).singular_values) == 1 else "not one value leaves the bulk",
    predict=lambda case: curve(SINGULAR_VALUE_OUTLIERS, spectrum(case).singular_values, first=1),
    measure=largest_singular_value,
    smallest=Case(**STRONG),
    larger=(Case(**SAMPLED), Case(**SAMPLED | dict(shared=False)), Case(**STRONG | dict(shared=False))),
    rtol=0.01,
)
CLAIMS = (LANGEVIN, EIGENVALUE, SINGULAR)
