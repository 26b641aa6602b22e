"""Mean-field networks of finite width: exact laws and moments, and how the limit is reached."""

from functools import cache

import numpy as np

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    CORRELATION_FLUCTUATIONS,
    HIDDEN_KERNEL,
    KERNEL_MOMENTS,
    MEAN_OUTPUT,
    WIDTH_EXPONENT,
    Estimate,
)
from hitherto.papers.depth_networks import exact
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_chains import ground
from hitherto.papers.mean_field_networks import (
    OURS,
    STATED,
    Weighted,
    chain_of,
    curve,
    drawn_kernels,
    drawn_networks,
    kernel_estimate,
    log_likelihood,
    output_estimate,
    sequence,
    square,
    weighted,
)
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_stability import lag_hessian
from hitherto.theory.mean_field_width import kernel_moments, one_hidden_layer, prior_moments
from hitherto.training.posterior import sample_posterior
from hitherto.training.posterior_chains import Sampling

# ---------------------------------------------------------------- exact laws and moments


@cache
def weighed(case: Case) -> tuple[Weighted, Weighted]:
    """|C| and f, over weights of the prior."""
    problem = chain_of(case)
    networks = drawn_networks(problem, case.draws, case.seed)
    log_weights = log_likelihood(problem, networks.outputs)
    return weighted(np.abs(networks.kernels), log_weights), weighted(networks.outputs, log_weights)


def law_of_kernel(case: Case) -> Estimate:
    """E |C| by the law of C alone."""
    found = kernel_moments(chain_of(case), case.kernels, case.seed)
    return kernel_estimate(found.magnitude, found.magnitude_error)


def drawn_moments(case: Case) -> Estimate:
    """Of the last kernel entry, and of the square of that between the first two times, of drawn networks."""
    kernels = drawn_networks(chain_of(case), case.draws, case.seed).kernels
    values = np.stack([kernels[:, -1, -1], kernels[:, 0, 1] ** 2], axis=1)
    return curve(KERNEL_MOMENTS, values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values)))


def predicted_moments(case: Case) -> Estimate:
    """The two of the theory."""
    found = prior_moments(case.width, *case.variances[:2])
    return curve(KERNEL_MOMENTS, np.array([found["C33"], found["C12_squared"]]))


def answer_of_layer(case: Case) -> Estimate:
    """E f of the one-dimensional integral."""
    problem = chain_of(case)
    return output_estimate(one_hidden_layer(problem)[1] * problem.labels[:, 0])


def fixed_noise(case: Case) -> Estimate:
    """E f / y with noise of a variance that does not fall with N, at two widths."""
    answers = [one_hidden_layer(chain_of(case, width=width, noise=case.variance * width))[1] for width in case.widths]
    return exact(WIDTH_EXPONENT, float(np.log(answers[1] / answers[0]) / np.log(case.widths[1] / case.widths[0])))


FEW = dict(times=3, signal=2.0, noise=0.5, width=4, draws=100_000, kernels=20_000, seed=0)
LAW = Claim(
    id="mean_field.kernel_law",
    says="The kernel of linear networks has a law of its own at every width, without weights or hidden activity.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=lambda case: None if case.width >= case.times else "the kernel is singular: fewer units than entries",
    predict=law_of_kernel,
    measure=lambda case: kernel_estimate(*weighed(case)[0]),
    smallest=Case(**FEW),
    larger=(
        Case(**FEW | dict(draws=400_000, kernels=100_000, seed=1)),
        Case(**FEW | dict(draws=400_000), shared=False),
    ),
)
LAYER = Claim(
    id="mean_field.one_hidden_layer",
    says="With one hidden layer the answers of networks of any width are a one-dimensional integral.",
    source=OURS,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=lambda case: None if case.times == 1 else "there is more than one layer",
    predict=answer_of_layer,
    measure=lambda case: output_estimate(*weighed(case)[1]),
    smallest=Case(**FEW | dict(times=1, width=2)),
    larger=tuple(Case(**FEW | dict(times=1, width=width, draws=1_000_000)) for width in (1, 2, 5, 10)),
)
MOMENTS = Claim(
    id="mean_field.prior_moments",
    says="Before training, using W twice adds 2 / N^2 to the kernel, and correlates times by chance, by 1 / sqrt(N).",
    source=OURS,
    quantity=KERNEL_MOMENTS,
    relation="==",
    hypotheses=lambda case: None if case.times == 3 else "the moments are those of three times",
    predict=predicted_moments,
    measure=drawn_moments,
    smallest=Case(times=3, signal=1.0, variances=(1.3, 0.7, 1.0), width=3, draws=200_000, seed=0),
    larger=tuple(
        Case(times=3, signal=1.0, variances=(1.3, 0.7, 1.0), width=width, draws=400_000, seed=1) for width in (2, 5, 10)
    ),
)
FIXED_NOISE = Claim(
    id="mean_field.fixed_noise",
    says="With a readout over N the noise must fall as 1 / N: at fixed noise the answer to the labels falls as 1 / N.",
    source=OURS,
    quantity=WIDTH_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(WIDTH_EXPONENT, -1.0),
    measure=fixed_noise,
    smallest=Case(times=1, signal=1.0, variance=0.5, widths=(1000, 4000)),
    rtol=0.01,
)

# ---------------------------------------------------------------- how the limit is reached


def mean_of_widths(case: Case) -> Estimate:
    """E C of linear networks of two widths on one side of the mirror, continued to 1 / N = 0."""
    found = []
    for width in case.widths:
        kernels, log_weights = drawn_kernels(chain_of(case, width=width), ground(case).kernel, case.draws, case.seed)
        found.append(weighted(kernels, log_weights))
    return kernel_estimate(*_continued(found, case.widths))


def outputs_of_widths(case: Case) -> Estimate:
    """E f along a sequence, of networks of two widths, continued to 1 / N = 0; or sampled, of one width."""
    if case.sampled:
        found = sample_posterior(sequence(case, width=case.widths[0]), Sampling(case.draws, chains=8, seed=case.seed))
        return output_estimate(found.outputs.value[:, 0], found.outputs.error[:, 0])
    moments = [kernel_moments(sequence(case, width=width), case.draws, case.seed) for width in case.widths]
    found = [Weighted(one.outputs[:, 0], one.outputs_error[:, 0]) for one in moments]
    return output_estimate(*_continued(found, case.widths))


def _continued(found: list[Weighted], widths: tuple[int, int]) -> Weighted:
    few, many = widths
    mean = (many * found[1].mean - few * found[0].mean) / (many - few)
    return Weighted(mean, np.hypot(many * found[1].error, few * found[0].error) / (many - few))


def fluctuations(case: Case) -> Estimate:
    """N <rho rho^T> at a lag, of networks of a large width."""
    problem = chain_of(case)
    kernels, log_weights = drawn_kernels(problem, ground(case).kernel, case.draws, case.seed)
    deviations = np.sqrt(np.diagonal(kernels, axis1=1, axis2=2))
    rho = np.diagonal(kernels, case.lag, 1, 2) / (deviations[:, : -case.lag] * deviations[:, case.lag :])
    return square(CORRELATION_FLUCTUATIONS, *weighted(case.width * rho[:, :, None] * rho[:, None], log_weights))


def predicted_fluctuations(case: Case) -> Estimate:
    """The inverse of the second derivative of F."""
    return square(CORRELATION_FLUCTUATIONS, np.linalg.inv(lag_hessian(ground(case).order, case.times - case.lag)))


BELOW = dict(times=3, signal=2.0, noise=0.1, shared=True, draws=200_000, seed=0)
LIMIT = Claim(
    id="mean_field.width_limit",
    says="Mean kernels of trained networks tend to the theory's, with a difference of order 1 / N.",
    source=STATED,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(ground(case).kernel),
    measure=mean_of_widths,
    smallest=Case(**BELOW | dict(signal=60.0), widths=(200, 400)),
    larger=(
        Case(**BELOW | dict(signal=60.0, draws=1_000_000), widths=(200, 400)),
        Case(**BELOW | dict(shared=False, signal=20.0, draws=1_000_000), widths=(100, 200)),
    ),
    rtol=1e-3,
)
FLUCTUATIONS = Claim(
    id="mean_field.fluctuations",
    says="Correlations between times fluctuate by M_n^-1 / N, which diverges at the transition and tells where it is.",
    source=OURS,
    quantity=CORRELATION_FLUCTUATIONS,
    relation="==",
    hypotheses=lambda case: "the state is coherent" if ground(case).coherent else None,
    predict=predicted_fluctuations,
    measure=fluctuations,
    smallest=Case(**BELOW, lag=1, width=2000),
    larger=(
        Case(**BELOW | dict(signal=0.0, draws=1_000_000), lag=1, width=2000),
        Case(**BELOW | dict(signal=2.0, draws=1_000_000), lag=1, width=5000),
        Case(**BELOW | dict(times=4, signal=1.0, draws=1_000_000), lag=2, width=5000),
    ),
    rtol=0.01,
)
BETWEEN = dict(times=4, steps=(0, 1, 3), amplitude=2.0, noise=0.2, seed=0)
SAMPLED_SEQUENCE = Claim(
    id="mean_field.finite_interpolation",
    says="Finite recurrent networks fill in the steps without labels as the theory does, up to order 1 / N.",
    source=STATED,
    quantity=MEAN_OUTPUT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: output_estimate(solve(sequence(case)).best.prediction.mean[:, 0]),
    measure=outputs_of_widths,
    smallest=Case(**BETWEEN, widths=(100, 200), draws=10_000, sampled=False),
    larger=(
        Case(**BETWEEN, widths=(200, 400), draws=400_000, sampled=False),
        Case(**BETWEEN | dict(times=6, steps=(0, 1, 3, 5)), widths=(400,), draws=1000, sampled=True),
    ),
    rtol=2e-3,
)

CLAIMS = (LAW, LAYER, MOMENTS, FIXED_NOISE, LIMIT, FLUCTUATIONS, SAMPLED_SEQUENCE)
