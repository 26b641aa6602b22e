"""Mean-field networks at weak labels, in other units, and without the mask: what feature learning adds, and to whom."""

import numpy as np
from scipy.optimize import minimize

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    FREE_ENERGY,
    HIDDEN_KERNEL,
    SIGNAL_EXPONENT,
    Estimate,
)
from hitherto.core.source import Source
from hitherto.papers.depth_networks import exact
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import (
    OURS,
    PAPER,
    chain_of,
    drawn_networks,
    drawn_problem,
    energy,
    kernel_estimate,
    minimum,
    slope,
)
from hitherto.theory.mean_field_nonlinear import incoherent_states
from hitherto.theory.mean_field_prior import first_order, prior_kernel

# ---------------------------------------------------------------- networks that hardly learn


def drawn_kernel(case: Case) -> Estimate:
    """The mean kernel of networks before training, with its standard error."""
    kernels = drawn_networks(drawn_problem(case), case.networks, case.seed).kernels
    return kernel_estimate(kernels.mean(0), kernels.std(0, ddof=1) / np.sqrt(len(kernels)))


def last_block(case: Case, kernel: np.ndarray) -> np.ndarray:
    """Among patterns at the last time."""
    return kernel[-case.patterns :, -case.patterns :]


def drawn_last(case: Case) -> Estimate:
    """Of feedforward networks."""
    kernels = drawn_networks(drawn_problem(case, shared=False), case.networks, case.seed).kernels
    kernels = np.array([last_block(case, kernel) for kernel in kernels])
    return kernel_estimate(kernels.mean(0), kernels.std(0, ddof=1) / np.sqrt(len(kernels)))


UNTRAINED = dict(
    patterns=2, times=3, features=3, size=0.0, activation="erf", bias_variance=0.2, width=600, networks=40, seed=0
)
NONLINEARITIES = tuple(
    Case(**UNTRAINED | dict(activation=phi, width=1000, seed=1)) for phi in ("identity", "relu", "tanh", "erf")
)
LAZY = Claim(
    id="mean_field.lazy_limit",
    says="At weak labels kernels are those of wide random networks, made time by time from the inputs.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(prior_kernel(drawn_problem(case))[0]),
    measure=drawn_kernel,
    smallest=Case(**UNTRAINED),
    larger=NONLINEARITIES,
)
LAZY_ENDPOINT = Claim(
    id="mean_field.lazy_endpoint",
    says="Before learning, a readout at one time sees the same kernel in recurrent and feedforward networks.",
    source=Source(PAPER, "known before it (Segadlo et al. 2022); our derivation"),
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(last_block(case, prior_kernel(drawn_problem(case))[0])),
    measure=drawn_last,
    smallest=Case(**UNTRAINED | dict(width=200)),
    larger=NONLINEARITIES,
)


def remainder(case: Case) -> Estimate:
    """Of C - C0 - dC, as labels grow."""
    problem, found = drawn_problem(case), []
    for size in case.sizes:
        smaller = problem.with_(labels=size * problem.labels)
        change = minimum(smaller, 1).kernel - prior_kernel(smaller)[0]
        found.append(float(np.abs(change - first_order(smaller)).max()))
    return slope(found, case.sizes)


def learned_by_richness(case: Case) -> Estimate:
    """|C - C0| for f = a . phi / (gamma N), noise kappa / gamma^2: readout variance and noise over gamma^2."""
    problem, found = drawn_problem(case), []
    for gamma in case.sizes:
        richer = problem.with_(readout_variance=problem.readout_variance / gamma**2, noise=problem.noise / gamma**2)
        found.append(float(np.abs(minimum(richer, 1).kernel - prior_kernel(richer)[0]).max()))
    return slope(found, case.sizes)


WEAK = dict(patterns=2, times=3, features=3, size=1.0, noise=0.2, seed=0)
FIRST_ORDER = Claim(
    id="mean_field.first_order",
    says="What weak labels change in the kernel is second order in them and known in closed form, up to fourth order.",
    source=OURS,
    quantity=SIGNAL_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(SIGNAL_EXPONENT, 4.0),
    measure=remainder,
    smallest=Case(**WEAK, sizes=(0.02, 0.04)),
    larger=(Case(**WEAK, shared=False, sizes=(0.02, 0.04)), Case(**WEAK, bias_variance=0.3, sizes=(0.02, 0.04))),
    rtol=0.02,
)
RICHNESS = Claim(
    id="mean_field.richness",
    says="Dividing the output by gamma as gamma falls makes learning lazy: kernels change by gamma^2.",
    source=OURS,
    quantity=SIGNAL_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(SIGNAL_EXPONENT, 2.0),
    measure=learned_by_richness,
    smallest=Case(**WEAK, sizes=(0.02, 0.04)),
    larger=(Case(**WEAK, shared=False, sizes=(0.02, 0.04)),),
    rtol=0.02,
)
# ---------------------------------------------------------------- a bound for nonlinear networks


def gaussian_energy(case: Case) -> Estimate:
    """The lowest F over Gaussian laws of single units, each time independent of the others; erf."""
    problem = chain_of(case)
    square = float(problem.labels[0, 0] ** 2)

    def cost(logs: np.ndarray) -> float:
        covariance = np.exp(logs)
        kernel = 2 / np.pi * np.arcsin(2 * covariance / (1 + 2 * covariance))
        sigma = np.append(problem.input_variance, problem.recurrent_variance * kernel[:-1])
        ratio = covariance / sigma
        read = problem.readout_variance * kernel[-1] + problem.noise
        return float(np.sum(ratio - 1 - np.log(ratio)) / 2 + square / read / 2)

    return energy(minimize(cost, np.zeros(problem.times), method="BFGS", options=dict(gtol=1e-9)).fun)


ERF = dict(times=3, noise=0.1, shared=False, activation="erf")
BOUND = Claim(
    id="mean_field.gaussian_bound",
    says="Units held to Gaussian laws have a free energy above the true one; for linear units it is the true one.",
    source=OURS,
    quantity=FREE_ENERGY,
    relation=">=",
    hypotheses=lambda case: None if case.activation == "erf" else "the bound is written out for erf",
    predict=lambda case: energy(incoherent_states(chain_of(case))[0].free_energy),
    measure=gaussian_energy,
    smallest=Case(**ERF, signal=3.39),
    larger=tuple(Case(**ERF | dict(times=times), signal=signal) for times in (2, 3, 5) for signal in (0.2, 1.0, 10.0)),
)
CLAIMS = (LAZY, LAZY_ENDPOINT, FIRST_ORDER, RICHNESS, BOUND)
