"""Sampled networks of finite width beside the mean-field theory: transitions, spectra, nonlinear units, sequences.

The paper's own settings are not known; all settings are ours.
"""

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Claim, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import (
    HELD_OUT_ERROR,
    LARGEST_SINGULAR_VALUE,
    LAST_VARIANCE,
    MEAN_OUTPUT,
    SPECTRAL_RADIUS,
    TIME_CORRELATION,
    WEIGHT_EIGENVALUES,
    WEIGHT_SINGULAR_VALUES,
    Estimate,
    Quantity,
)
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import LANDED, OURS, STATED, chain, chain_of, curve, output_estimate, sine
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_coherent import coherent_states
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.theory.mean_field_prior import prior_kernel
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_weights import Outliers, outliers
from hitherto.theory.mean_field_width import kernel_moments
from hitherto.training.posterior import Posterior, sample_posterior
from hitherto.training.posterior_chains import Sampling
from hitherto.training.posterior_draws import draw_weights
from hitherto.training.posterior_weights import sample_weights

INFINITE = "infinite"  # width
NETWORKS = {"RNN": True, "DNN": False}  # whether one W serves all times
HIDDEN, WEIGHTS = "hidden activity", "weights"  # what is sampled
CHAINS, WARM_UP = 8, 300
LAW_DRAWS = 100_000

Matrix = Float[np.ndarray, "unit unit"]
Kernel = Float[np.ndarray, "entry entry"]


def sampled(problem: Problem, case: Case) -> Posterior:
    """Trained networks of the problem's width."""
    sampling = Sampling(case.draws, WARM_UP, CHAINS, case.seed)
    return (sample_weights if case.by == WEIGHTS else sample_posterior)(problem, sampling)


# ---------------------------------------------------------------- what is told of a kernel


class Told(NamedTuple):
    """Of a chain: correlations of neighbouring times, and C of the last time over that of the prior."""

    correlations: tuple[Estimate, ...]
    variance: Estimate


def told(kernel: Kernel, error: Kernel, prior: float, source: str) -> Told:
    """From means of |C| between times, with their standard errors."""
    sizes, pairs = np.diag(kernel), range(len(kernel) - 1)
    shares = error / np.where(kernel == 0, 1.0, np.abs(kernel))
    found = []
    for t in pairs:
        value = float(np.abs(kernel[t, t + 1]) / np.sqrt(sizes[t] * sizes[t + 1]))
        of_sizes = np.hypot(shares[t, t], shares[t + 1, t + 1]) / 2
        spread = float(np.hypot(error[t, t + 1] / np.sqrt(sizes[t] * sizes[t + 1]), value * of_sizes))
        found.append(Estimate(TIME_CORRELATION, value, spread, part=f"times {t + 1} and {t + 2}", source=source))
    last = Estimate(LAST_VARIANCE, float(sizes[-1] / prior), float(error[-1, -1] / prior), source=source)
    return Told(tuple(found), last)


# ---------------------------------------------------------------- the transition


def crossed(signal: float, width: int | str, by: str, draws: int, seed: int) -> Case | None:
    """Three times, kappa = 0.1: times correlate from a signal of 8.201 on. Weights are sampled up to 64 units."""
    if by == WEIGHTS and (width == INFINITE or width > 64):
        return None
    return Case(times=3, signal=signal, noise=0.1, width=width, by=by, draws=draws, seed=seed)


@cache
def foretold(case: Case) -> Told:
    """By the exact law of the kernel at this width; without end, the state of lowest free energy."""
    if case.width == INFINITE:
        kernel = recurrent_chain(case.times, case.signal, case.noise)[0].kernel
        return told(kernel, np.zeros_like(kernel), 1.0, "our derivation")
    law = kernel_moments(chain_of(case), LAW_DRAWS)
    return told(law.magnitude, law.magnitude_error, 1.0, "weighted draws of the kernel")


@lru_cache(maxsize=8)
def met(case: Case) -> Told:
    """By sampled networks; without end, the lowest minimum over all kernels."""
    if case.width == INFINITE:
        kernel = solve(chain_of(case, width=None)).best.kernel
        return told(kernel, np.full_like(kernel, LANDED), 1.0, "minimisation over kernels")
    kernel = sampled(chain_of(case), case).kernel
    return told(kernel.value, kernel.error, 1.0, "Hamiltonian Monte Carlo")


EXACT = dict(source=OURS, relation="==", hypotheses=anywhere, rtol=1e-6)
CROSSING = crossed(4.0, 64, HIDDEN, 250, 0)
FIRST_PAIR = Claim(
    id="mean_field.sampled_first_pair",
    says="Sampled networks correlate their first two times as the exact law of the kernel says at their width.",
    quantity=TIME_CORRELATION,
    predict=lambda case: foretold(case).correlations[0],
    measure=lambda case: met(case).correlations[0],
    smallest=CROSSING,
    **EXACT,
)
SECOND_PAIR = Claim(
    id="mean_field.sampled_second_pair",
    says="So they do with the next two.",
    quantity=TIME_CORRELATION,
    predict=lambda case: foretold(case).correlations[1],
    measure=lambda case: met(case).correlations[1],
    smallest=CROSSING,
    **EXACT,
)
AT_THE_END = Claim(
    id="mean_field.sampled_variance",
    says="And their last time varies as it says.",
    quantity=LAST_VARIANCE,
    predict=lambda case: foretold(case).variance,
    measure=lambda case: met(case).variance,
    smallest=CROSSING,
    **EXACT,
)
TRANSITION = Experiment(
    id="mean_field.transition",
    says="Three times begin to correlate at a signal of 8.2, sharply when wide, smoothly at finite width",
    asks=(FIRST_PAIR, SECOND_PAIR, AT_THE_END),
    case=crossed,
    grid=dict(
        signal=(2.0, 4.0, 6.0, 7.5, 9.0, 11.0, 15.0, 20.0, 30.0, 50.0),
        width=(INFINITE, 32, 64, 128, 512),
        by=(HIDDEN,),
        draws=(1000,),
        seed=(0,),
    ),
    sizes=dict(
        ci=dict(signal=(4.0, 8.0, 20.0), width=(INFINITE, 64), draws=(250,)),
        paper=dict(width=(INFINITE, 32, 128, 512), draws=(500,)),
        cluster=dict(
            signal=tuple(map(float, range(1, 51))),
            width=(INFINITE, 32, 64, 128, 512, 2048, 16384),
            by=(HIDDEN, WEIGHTS),
            draws=(10_000,),
            seed=tuple(range(4)),
        ),
    ),
    plot=Plot(x="signal", by=("width", "by"), x_label="signal |y|² / (s_a² c0)"),
)
BY_WEIGHTS = Experiment(
    id="mean_field.transition_of_weights",
    says="Networks whose weights are sampled cross the transition as the law of their kernel says",
    asks=(FIRST_PAIR, SECOND_PAIR, AT_THE_END),
    case=crossed,
    grid=dict(signal=(2.0, 6.0, 10.0, 20.0, 50.0), width=(64,), by=(WEIGHTS,), draws=(1000,), seed=(0,)),
    sizes=dict(ci=dict(signal=(4.0,), width=(32,), draws=(250,)), paper={}, cluster=dict(draws=(10_000,))),
    plot=Plot(x="signal", by=("width",), x_label="signal |y|² / (s_a² c0)"),
)

# ---------------------------------------------------------------- spectra

SETTLED = 250  # draws before the networks whose weights are drawn
EDGE = 0.3  # over sqrt(N): about how far a finite width moves the edges of spectra
KEPT = 400  # units of networks of which all eigenvalues are told


def trained(network: str, signal: float, width: int, seed: int) -> Case:
    """Three times, kappa = 0.1; the W that makes the last time."""
    shared = NETWORKS[network]
    about = dict(times=3, signal=signal, noise=0.1, shared=shared, width=width)
    return Case(**about, by=HIDDEN, draws=SETTLED, seed=seed)


@lru_cache(maxsize=8)
def recurrent_weights(case: Case) -> tuple[Matrix, ...]:
    """W of trained networks, one of each chain."""
    problem = chain_of(case)
    last = sampled(problem, case).last
    return tuple(draw_weights(problem, hidden, seed).recurrent[-1] for seed, hidden in enumerate(last))


def edge(quantity: Quantity, value: float, width: int) -> Estimate:
    """Of a spectrum as the width grows, with what a finite one leaves open."""
    return Estimate(quantity, value, EDGE / np.sqrt(width), source="our derivation")


def largest_of(case: Case, quantity: Quantity, size: str) -> Estimate:
    """Mean over networks of a norm of W."""
    found = np.array([spectrum(w)[size].max() for w in recurrent_weights(case)])
    return Estimate(quantity, float(found.mean()), float(found.std(ddof=1) / len(found) ** 0.5), source="drawn weights")


def spectrum(w: Matrix) -> dict[str, np.ndarray]:
    """Moduli of eigenvalues, and singular values."""
    return {"moduli": np.abs(np.linalg.eigvals(w)), "singular": np.linalg.svd(w, compute_uv=False)}


def predicted_radius(case: Case) -> Estimate:
    """Of the eigenvalue that training gives W, or of the bulk."""
    found = wide_spectrum(case)
    return edge(SPECTRAL_RADIUS, max(found.radius, *np.abs(found.visible_eigenvalues), 0.0), case.width)


def predicted_largest(case: Case) -> Estimate:
    """The singular value that training gives W, or the end of the bulk."""
    found = wide_spectrum(case)
    return edge(LARGEST_SINGULAR_VALUE, max(2 * found.radius, *found.singular_values, 0.0), case.width)


def wide_spectrum(case: Case) -> Outliers:
    """Of the last W, as the width grows."""
    problem = chain_of(case, width=None)
    return outliers(problem, solve(problem).best.kernel)[-1]


def whole_spectrum(case: Case) -> tuple[Estimate, ...]:
    """All eigenvalues and singular values of one network, of up to 400 units."""
    if case.width > KEPT:
        return (largest_of(case, LARGEST_SINGULAR_VALUE, "singular"),)
    w = recurrent_weights(case)[0]
    values = np.linalg.eigvals(w)
    values = values[np.argsort(-np.abs(values))]
    parts = {"real part": values.real, "imaginary part": values.imag}
    index = {"index": np.arange(1, len(w) + 1)}
    eigenvalues = (
        Estimate(WEIGHT_EIGENVALUES, value, axes=index, part=part, source="drawn weights")
        for part, value in parts.items()
    )
    singular = np.linalg.svd(w, compute_uv=False)
    return *eigenvalues, Estimate(WEIGHT_SINGULAR_VALUES, singular, axes=index, source="drawn weights")


RADIUS = Claim(
    id="mean_field.sampled_radius",
    says="Coherent networks have an eigenvalue outside of the bulk where theory has one, feedforward ones none.",
    source=STATED,
    quantity=SPECTRAL_RADIUS,
    relation="==",
    hypotheses=anywhere,
    predict=predicted_radius,
    measure=lambda case: largest_of(case, SPECTRAL_RADIUS, "moduli"),
    smallest=trained("RNN", 60.0, 100, 0),
)
SINGULAR = Claim(
    id="mean_field.sampled_singular_value",
    says="The largest singular value of W is where theory has it.",
    source=OURS,
    quantity=LARGEST_SINGULAR_VALUE,
    relation="==",
    hypotheses=anywhere,
    predict=predicted_largest,
    measure=lambda case: largest_of(case, LARGEST_SINGULAR_VALUE, "singular"),
    smallest=trained("RNN", 60.0, 100, 0),
)
SPECTRUM = Experiment(
    id="mean_field.spectrum",
    says="Strong signals give W of a recurrent network an eigenvalue, and W of any a singular value",
    asks=(
        RADIUS,
        SINGULAR,
        Measurement(id="mean_field.whole_spectrum", says="All eigenvalues and singular values", measure=whole_spectrum),
    ),
    case=trained,
    grid=dict(network=tuple(NETWORKS), signal=(2.0, 12.0, 30.0, 60.0), width=(100, 400), seed=(0,)),
    sizes=dict(
        ci=dict(network=("RNN",), signal=(12.0, 60.0), width=(64,)),
        paper={},
        cluster=dict(signal=(2.0, 6.0, 12.0, 20.0, 30.0, 45.0, 60.0), width=(100, 400, 2048), seed=tuple(range(10))),
    ),
    plot=Plot(x="signal", by=("network", "width"), x_label="signal |y|² / (s_a² c0)"),
)

# ---------------------------------------------------------------- nonlinear units

NODES = 24  # of the quadrature in each of three coordinates: kernels to 1e-4
OPEN = 1.5  # over N: about how far a finite width moves kernels, as a share of them
FAR = 0.05  # mean square correlation up to which fluctuations are those of the quadratic theory


def excited(activation: str, factor: float, width: int, draws: int, seed: int) -> Case:
    """Three times, kappa = 0.1, y^2 so many times the threshold."""
    return Case(activation=activation, factor=factor, width=width, by=HIDDEN, draws=draws, seed=seed)


def excited_chain(case: Case, width: int | None = None) -> Problem:
    """The problem of a case."""
    return chain(3, case.factor * critical_square(case.activation), 0.1, activation=case.activation, width=width)


@cache
def critical_square(activation: str) -> float:
    """y*^2."""
    state = threshold(chain(3, 1.0, 0.1, activation=activation))
    assert state is not None
    return state.label_square


@cache
def wide_kernel(activation: str, factor: float) -> Kernel:
    """C of the coherent state as the width grows."""
    problem = excited_chain(Case(activation=activation, factor=factor))
    return coherent_states(problem, [float(problem.labels[0, 0] ** 2)], nodes=NODES)[0].kernel


@cache
def fluctuations(activation: str, factor: float) -> float:
    """N <rho^2> of the last two times in the incoherent state."""
    problem = excited_chain(Case(activation=activation, factor=factor))
    return float(np.linalg.inv(incoherent_states(problem)[0].lag_hessian(1))[-1, -1])


def away_from_threshold(case: Case) -> str | None:
    """Where theory says what networks of the width do."""
    if 1 <= case.factor < 1.05:
        return "at the threshold networks of every width fluctuate between both states"
    if case.factor < 1 and fluctuations(case.activation, case.factor) / case.width > FAR:
        return f"{case.width} units fluctuate more than the quadratic theory covers so near the threshold"
    return None


def by_theory(case: Case) -> Told:
    """Below the threshold correlations are Gaussian of variance M^-1 / N, beyond it they are those of wide networks."""
    problem = excited_chain(case)
    prior = float(prior_kernel(problem)[0][-1, -1])
    if case.factor >= 1:
        kernel = wide_kernel(case.activation, case.factor)
    else:
        kernel = np.diag(incoherent_states(problem)[0].variances)
        typical = np.sqrt(2 / np.pi * fluctuations(case.activation, case.factor) / case.width)
        kernel[-1, -2] = kernel[-2, -1] = typical * np.sqrt(kernel[-1, -1] * kernel[-2, -2])
    return told(kernel, OPEN / case.width * np.abs(kernel), prior, "our derivation")


@lru_cache(maxsize=8)
def by_sampling(case: Case) -> Told:
    """Of networks of the width."""
    problem = excited_chain(case, case.width)
    kernel = sampled(problem, case).kernel
    return told(kernel.value, kernel.error, float(prior_kernel(problem)[0][-1, -1]), "Hamiltonian Monte Carlo")


NONLINEAR_PAIR = Claim(
    id="mean_field.nonlinear_pair",
    says="Networks of erf or tanh correlate their last two times from the threshold on, and as theory has it.",
    source=OURS,
    quantity=TIME_CORRELATION,
    relation="==",
    hypotheses=away_from_threshold,
    predict=lambda case: by_theory(case).correlations[-1],
    measure=lambda case: by_sampling(case).correlations[-1],
    smallest=excited("erf", 2.0, 60, 250, 0),
)
NONLINEAR_VARIANCE = Claim(
    id="mean_field.nonlinear_variance",
    says="Their last time varies as theory has it.",
    source=OURS,
    quantity=LAST_VARIANCE,
    relation="==",
    hypotheses=away_from_threshold,
    predict=lambda case: by_theory(case).variance,
    measure=lambda case: by_sampling(case).variance,
    smallest=excited("erf", 2.0, 60, 250, 0),
)
NONLINEAR = Experiment(
    id="mean_field.nonlinear",
    says="Networks of erf and tanh turn coherent at their thresholds too",
    asks=(NONLINEAR_PAIR, NONLINEAR_VARIANCE),
    case=excited,
    grid=dict(
        activation=("erf", "tanh"),
        factor=(0.25, 0.5, 0.75, 1.25, 1.5, 2.0, 3.0),
        width=(60, 500, 3000),
        draws=(1000,),
        seed=(0,),
    ),
    sizes=dict(
        ci=dict(activation=("erf",), factor=(2.0,), width=(60,), draws=(250,)),
        paper=dict(draws=(250,)),
        cluster=dict(factor=(0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0), draws=(10_000,), seed=(0, 1, 2)),
    ),
    plot=Plot(x="factor", by=("activation", "width"), x_label="y² over that of the threshold"),
)

# ---------------------------------------------------------------- sequences

TIMES, LABELLED, AMPLITUDE = 6, (0, 1, 3, 5), 2.0
HELD_OUT = tuple(t for t in range(TIMES) if t not in LABELLED)


def asked(activation: str, network: str, width: int, draws: int, seed: int) -> Case:
    """A sine of amplitude 2 and period 8 over six times, labelled at four, kappa = 0.05."""
    return Case(activation=activation, shared=NETWORKS[network], width=width, by=HIDDEN, draws=draws, seed=seed)


def asked_problem(case: Case, width: int | None = None) -> Problem:
    """The problem of a case."""
    labels = sine(AMPLITUDE, TIMES)[None, list(LABELLED)]
    given = dict(activation=case.activation, shared=case.shared, width=width)
    return Problem.pulse(labels, LABELLED, TIMES, noise=0.05, **given)


@lru_cache(maxsize=8)
def answers(case: Case) -> Estimate:
    """f at all times."""
    found = sampled(asked_problem(case, case.width), case).outputs
    return output_estimate(found.value[:, 0], found.error[:, 0])


def answered(case: Case) -> tuple[Estimate, ...]:
    """f at all times, and its error at those without labels."""
    found, truth = answers(case), sine(AMPLITUDE, TIMES)[list(HELD_OUT)]
    missed = found.value[list(HELD_OUT)] - truth
    slope = 2 * missed * found.standard_error[list(HELD_OUT)]
    power = float(np.sum(truth**2))
    value, error = float(np.sum(missed**2)) / power, float(np.linalg.norm(slope)) / power
    return found, Estimate(HELD_OUT_ERROR, value, error, source="sampled networks")


def held_out(found: np.ndarray, error: np.ndarray) -> Estimate:
    """f at times without labels."""
    return curve(MEAN_OUTPUT, found[list(HELD_OUT)], error[list(HELD_OUT)])


def wide_answers(case: Case) -> Estimate:
    """f at times without labels, as the width grows; 0 of a feedforward network, by symmetry."""
    if not case.shared:
        return held_out(np.zeros(TIMES), np.zeros(TIMES))
    mean = solve(asked_problem(case)).mean[:, 0]
    return held_out(mean, OPEN / case.width * (1 + np.abs(mean)))


def sampled_answers(case: Case) -> Estimate:
    """f at times without labels, of sampled networks."""
    found = answers(case)
    return held_out(found.value, found.standard_error)


CONTINUED = Claim(
    id="mean_field.sampled_sequence",
    says="Times without labels are answered by 0 in feedforward networks, and continued by linear recurrent ones.",
    source=STATED,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=lambda case: (
        "nonlinear recurrent networks with labels at several times have no closed solution"
        if case.shared and case.activation != "identity"
        else None
    ),
    predict=wide_answers,
    measure=sampled_answers,
    smallest=asked("identity", "RNN", 100, 250, 0),
)
SEQUENCE = Experiment(
    id="mean_field.nonlinear_sequence",
    says="Recurrent networks, nonlinear ones too, continue a sine where feedforward ones say 0",
    asks=(CONTINUED, Measurement(id="mean_field.answers", says="Outputs at all times", measure=answered)),
    case=asked,
    grid=dict(activation=("identity", "erf", "tanh"), network=tuple(NETWORKS), width=(500,), draws=(1000,), seed=(0,)),
    sizes=dict(
        ci=dict(activation=("tanh",), network=("RNN",), width=(100,), draws=(250,)),
        paper={},
        cluster=dict(width=(100, 500, 2048), draws=(10_000,), seed=(0, 1, 2)),
    ),
    plot=Plot(x="entry", by=("activation", "network"), x_label="time"),
)

EXPERIMENTS = (TRANSITION, BY_WEIGHTS, SPECTRUM, NONLINEAR, SEQUENCE)
