"""Linear networks with many patterns, and with labels at several times: ridges, reductions, unlabelled times."""

from functools import cache

import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    FREE_ENERGY,
    HELD_OUT_ERROR,
    HIDDEN_KERNEL,
    LEADING_ANGLE,
    MEAN_OUTPUT,
    TEMPORAL_COHERENCE,
    Estimate,
)
from hitherto.papers.depth_networks import exact
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import (
    LANDED,
    OURS,
    RETOLD,
    SPREAD,
    STATED,
    curve,
    drawn_networks,
    energy,
    kernel_estimate,
    minimum,
    minimum_from,
    output_estimate,
    sequence,
    sine,
)
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_descent import Landing
from hitherto.theory.mean_field_endpoint import Endpoint, endpoint
from hitherto.theory.mean_field_patterns import Patterns
from hitherto.theory.mean_field_prediction import predict
from hitherto.theory.mean_field_prior import prior_kernel
from hitherto.theory.mean_field_schedule import schedule_error
from hitherto.theory.mean_field_solver import mirrored, solve
from hitherto.theory.mean_field_weights import outliers

# ---------------------------------------------------------------- many patterns, one labelled time


def pulsed(case: Case) -> Problem:
    """Patterns of drawn inputs, or orthogonal ones, as a pulse; drawn labels at the steps of the case, of some rank."""
    rng = np.random.default_rng(case.seed)
    inputs = rng.normal(size=(case.patterns, case.features)) if case.features else None
    rank = min(case.patterns, case.rank)
    labels = rng.normal(size=(case.patterns, rank)) @ rng.normal(size=(rank, len(case.steps)))
    return Problem.pulse(
        case.size * labels, case.steps, case.times, inputs=inputs, noise=case.noise, shared=case.shared
    )


@cache
def whole(case: Case) -> Landing:
    """The lowest minimum over all entries of all patterns."""
    return minimum(pulsed(case), case.starts, case.seed)


@cache
def ridge(case: Case) -> Endpoint:
    """By ridge regression."""
    return endpoint(pulsed(case))


def outputs_of(case: Case) -> Float[np.ndarray, " label"]:
    """f on labelled entries, from the whole kernel."""
    problem = pulsed(case)
    return predict(problem, whole(case).kernel).mean[problem.index, 0]


def block_of(case: Case) -> Estimate:
    """The kernel among patterns at the labelled time, from the whole one."""
    index = pulsed(case).index
    return kernel_estimate(whole(case).kernel[np.ix_(index, index)], LANDED)


def ridge_kernel(case: Case) -> Estimate:
    """The same by ridge regression."""
    inputs = pulsed(case).kernel[: case.patterns, : case.patterns]
    return kernel_estimate(ridge(case).last_kernel(inputs))


def direction_of(case: Case, shared: bool) -> Float[np.ndarray, " label"]:
    """f over |f|, from the whole kernel."""
    problem = pulsed(case).with_(shared=shared)
    outputs = predict(problem, minimum(problem, case.starts, case.seed).kernel).mean[problem.index, 0]
    return outputs / np.linalg.norm(outputs)


def last_time_alone(case: Case) -> str | None:
    """The hypothesis of the ridge."""
    return None if case.steps == (case.times - 1,) else "labels are given at other times than the last"


PATTERNS = dict(patterns=3, features=2, rank=1, steps=(2,), times=3, size=3.0, noise=0.2, starts=4, seed=0)
RIDGE = Claim(
    id="mean_field.adaptive_ridge",
    says="Labels at the end are fitted by ridge regression on the inputs, with a ridge that the network sets itself.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=last_time_alone,
    predict=lambda case: output_estimate(ridge(case).fitted),
    measure=lambda case: output_estimate(outputs_of(case), LANDED),
    smallest=Case(**PATTERNS, shared=True),
    larger=(
        Case(**PATTERNS, shared=False),
        Case(**PATTERNS | dict(patterns=4, features=6, seed=1), shared=True),
        Case(**PATTERNS | dict(times=4, steps=(3,), seed=2), shared=True),
    ),
    rtol=1e-7,
)
RIDGE_KERNEL = Claim(
    id="mean_field.ridge_kernel",
    says="From labels at the end, the kernel at that time learns nothing but a multiple of f f^T.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=last_time_alone,
    predict=ridge_kernel,
    measure=block_of,
    smallest=RIDGE.smallest,
    larger=RIDGE.larger,
    rtol=1e-7,
)
SAME_MODE = Claim(
    id="mean_field.same_mode",
    says="Recurrent and feedforward networks answer orthogonal patterns in one direction, and differ in scale alone.",
    source=RETOLD,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=lambda case: last_time_alone(case) or (None if case.features == 0 else "inputs are not orthogonal"),
    predict=lambda case: output_estimate(direction_of(case, shared=False)),
    measure=lambda case: output_estimate(direction_of(case, shared=True), LANDED),
    smallest=Case(**PATTERNS | dict(features=0), shared=True),
    larger=(Case(**PATTERNS | dict(features=0, patterns=4, seed=1), shared=True),),
    rtol=1e-7,
)
LABELLED_TWICE = PATTERNS | dict(patterns=4, features=0, rank=4, steps=(0, 2), size=1.5)
REDUCTION = Claim(
    id="mean_field.reduction",
    says="Orthogonal patterns need no more of them solved for than the labels have independent directions.",
    source=OURS,
    quantity=FREE_ENERGY,
    relation="==",
    hypotheses=lambda case: None if case.features == 0 else "inputs are not orthogonal",
    predict=lambda case: energy(solve(pulsed(case)).best.action),
    measure=lambda case: energy(whole(case).value),
    smallest=Case(**LABELLED_TWICE, shared=True),
    larger=(Case(**LABELLED_TWICE | dict(patterns=6), shared=True), Case(**LABELLED_TWICE, shared=False)),
    rtol=1e-9,
)


def over_outputs(case: Case) -> Estimate:
    """The lowest F over outputs at the labelled times, each set of which costs a problem of a few patterns."""
    patterns, rng = Patterns(pulsed(case)), np.random.default_rng(case.seed)
    action = patterns.action()
    prior = np.linalg.cholesky(action.prior)
    starts = [prior @ (np.eye(len(prior)) + SPREAD * rng.normal(size=prior.shape)) for _ in range(case.starts)]
    return energy(min(patterns.descend(action.of(start)).value for start in starts))


OUTPUTS = Claim(
    id="mean_field.outputs_first",
    says="For any inputs F is the lowest over outputs, which cost what one orthogonal pattern a labelled time does.",
    source=OURS,
    quantity=FREE_ENERGY,
    relation="==",
    hypotheses=lambda case: (
        None if len(case.steps) < case.patterns else "it is about fewer labelled times than patterns"
    ),
    predict=over_outputs,
    measure=lambda case: energy(whole(case).value),
    smallest=Case(**LABELLED_TWICE | dict(features=5), shared=True),
    larger=(
        Case(**LABELLED_TWICE | dict(patterns=6, features=4), shared=True),
        Case(**LABELLED_TWICE | dict(features=5), shared=False),
    ),
    rtol=1e-8,
)

# ---------------------------------------------------------------- times without labels


def unlabelled_outputs(case: Case) -> Estimate:
    """f at times without labels, averaged with that of the mirror image where the labels allow both."""
    problem = sequence(case, shared=case.shared)
    found = [predict(problem, kernel).mean[:, 0] for kernel in descended(case)]
    return output_estimate(np.mean(found, 0)[_left(case)], 1e-6)


@cache
def descended(case: Case) -> tuple[Float[np.ndarray, "entry entry"], ...]:
    """Kernels of the minima below a drawn start and its mirror image."""
    problem = sequence(case, shared=case.shared)
    prior = prior_kernel(problem)[0]
    mixing = np.eye(len(prior)) + 0.4 * np.random.default_rng(case.seed).normal(size=prior.shape)
    factor = np.linalg.cholesky(prior) @ mixing
    start = factor @ factor.T
    return tuple(minimum_from(problem, kernel).kernel for kernel in (start, mirrored(problem, start)))


def _left(case: Case) -> np.ndarray:
    return np.setdiff1d(np.arange(case.times), case.steps)


def held_out_error(case: Case) -> Estimate:
    """Of the recurrent network, from its lowest minimum."""
    kernel, target = minimum(sequence(case), case.starts).kernel, sine(case.amplitude, case.times)
    missed = (predict(sequence(case), kernel).mean[:, 0] - target)[_left(case)]
    return exact(HELD_OUT_ERROR, float(np.mean(missed**2) / np.mean(target[_left(case)] ** 2)))


def feedforward_error(case: Case) -> Estimate:
    """Of the feedforward network."""
    target = sine(case.amplitude, case.times)[None, None]
    return exact(HELD_OUT_ERROR, schedule_error(target, case.steps, noise=case.noise, shared=False))


def one_parity(case: Case) -> str | None:
    """All labelled steps even, or all odd."""
    return None if len({step % 2 for step in case.steps}) == 1 else "labels are at even and at odd times"


def learned_angle(case: Case) -> Estimate:
    """Of the largest eigenvalue that training gives W."""
    problem = sequence(case)
    (found,) = outliers(problem, solve(problem).best.kernel)
    return exact(LEADING_ANGLE, float(abs(np.angle(found.eigenvalues[0]))))


SINE = dict(times=6, steps=(0, 1, 3, 5), amplitude=2.0, noise=0.2, starts=4, seed=0)
SILENT = Claim(
    id="mean_field.silent_steps",
    says="Feedforward networks answer 0 at every time without labels.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=lambda case: "it is about feedforward networks" if case.shared else None,
    predict=lambda case: output_estimate(np.zeros(len(_left(case)))),
    measure=unlabelled_outputs,
    smallest=Case(**SINE, shared=False),
    larger=(Case(**SINE | dict(times=8, steps=(0, 1, 2, 4, 5, 7)), shared=False),),
)
INTERPOLATION = Claim(
    id="mean_field.interpolation",
    says="A recurrent network fills in the steps of a sine that have no label, better than a feedforward network's 0.",
    source=STATED,
    quantity=HELD_OUT_ERROR,
    relation="<=",
    hypotheses=anywhere,
    predict=feedforward_error,
    measure=held_out_error,
    smallest=Case(**SINE),
    larger=(Case(**SINE | dict(times=8, steps=(0, 1, 2, 4, 5, 7), amplitude=3.0, noise=0.05)),),
)
ALIASING = Claim(
    id="mean_field.aliasing",
    says="Labels at times of one parity leave the sign of the others open: states come in pairs whose answers cancel.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=one_parity,
    predict=lambda case: output_estimate(np.zeros(len(_left(case)))),
    measure=unlabelled_outputs,
    smallest=Case(**SINE | dict(times=5, steps=(0, 2, 4), amplitude=3.0), shared=True),
    larger=(Case(**SINE | dict(times=8, steps=(1, 3, 5, 7), amplitude=3.0), shared=True),),
)
PERIOD = Claim(
    id="mean_field.period",
    says="Labels along a sine of period p give W a pair of eigenvalues that turn by 2 pi / p a step.",
    source=OURS,
    quantity=LEADING_ANGLE,
    relation="==",
    hypotheses=lambda case: None if len(case.steps) == case.times else "some steps have no label",
    predict=lambda case: exact(LEADING_ANGLE, np.pi / 4),
    measure=learned_angle,
    smallest=Case(**SINE | dict(times=8, steps=tuple(range(8)), amplitude=3.0, noise=0.05)),
    larger=(Case(**SINE | dict(times=10, steps=tuple(range(10)), amplitude=3.0, noise=0.05)),),
    rtol=0.01,
)

# ---------------------------------------------------------------- no symmetry, no transition


def untrained_coherence(case: Case) -> Estimate:
    """Of drawn networks: root mean square correlations of states by lag."""
    problem = crossing(case)
    networks = drawn_networks(problem, case.networks, case.seed)
    values = np.array([_coherence(kernel) for kernel in networks.kernels])
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    return curve(TEMPORAL_COHERENCE, values.mean(0), error, first=1)


def crossing(case: Case) -> Problem:
    """One pattern, with inputs after the first time where the case asks for them."""
    inputs = np.ones((1, case.times, 1)) * np.where(np.arange(case.times)[:, None] > 0, case.later, 1.0)
    labels = np.full((1, case.times), np.nan)
    labels[0, -1] = 1.0
    given = dict(activation=case.activation, bias_variance=case.bias, width=case.width)
    return Problem.sequences(inputs, labels, **given)


def _coherence(kernel: Float[np.ndarray, "time time"]) -> Float[np.ndarray, " lag"]:
    deviation = np.sqrt(np.diag(kernel))
    correlations = kernel / np.outer(deviation, deviation)
    return np.array([np.sqrt(np.mean(np.diagonal(correlations, lag) ** 2)) for lag in range(1, len(kernel))])


UNBROKEN = dict(times=4, later=0.0, bias=0.0, width=300, networks=30, seed=0)
CROSSOVER = Claim(
    id="mean_field.crossover",
    says="Activations that are not odd, biases and later inputs correlate times from the start: nothing sharp is left.",
    source=OURS,
    quantity=TEMPORAL_COHERENCE,
    relation="==",
    hypotheses=lambda case: (
        None if case.activation == "relu" or case.bias or case.later else "the activation is odd and inputs come first"
    ),
    predict=lambda case: curve(TEMPORAL_COHERENCE, _coherence(prior_kernel(crossing(case))[0]), first=1),
    measure=untrained_coherence,
    smallest=Case(**UNBROKEN, activation="relu"),
    larger=(
        Case(**UNBROKEN | dict(bias=0.3, width=1000), activation="tanh"),
        Case(**UNBROKEN | dict(later=0.7, width=1000), activation="erf"),
        Case(**UNBROKEN | dict(width=1000), activation="relu"),
    ),
)
CLAIMS = (
    RIDGE,
    RIDGE_KERNEL,
    SAME_MODE,
    REDUCTION,
    OUTPUTS,
    SILENT,
    INTERPOLATION,
    ALIASING,
    PERIOD,
    CROSSOVER,
)
