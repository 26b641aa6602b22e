"""What the claims about mean-field networks share: the paper, problems, descents over whole kernels, drawn networks.

Theory is held against three things that know nothing of it: descents over all entries of the kernel, finite networks
whose weights are drawn from the prior and weighted by how well they fit, and finite networks whose units are drawn one
by one and weighted by the exact law of hidden activity.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import erf, logsumexp

from hitherto.core.claim import Case
from hitherto.core.quantity import (
    FREE_ENERGY,
    HIDDEN_KERNEL,
    LOG_EVIDENCE,
    MEAN_OUTPUT,
    SIGNAL_EXPONENT,
    Estimate,
    Quantity,
)
from hitherto.core.source import Paper, Source
from hitherto.theory.mean_field import Problem, shift
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_descent import Landing, descend

PAPER = Paper(
    key="bauer2026unified",
    title="A unified theory of feature learning in RNNs and DNNs",
    authors=("J. P. Bauer", "K. Fischer", "M. Helias", "A. Palmigiano"),
    year=2026,
    arxiv="2602.15593",
    venue="accepted at ICML 2026",
)
STATED = Source(PAPER, "abstract (the numbers are our derivation)")
RETOLD = Source(PAPER, "as reading notes have it (the numbers are our derivation)")
OURS = Source(PAPER, "our derivation beside it")

PHI: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda h: h,
    "erf": erf,
    "tanh": np.tanh,
    "relu": lambda h: np.maximum(h, 0.0),
}
SPREAD = 0.4  # of random starts
LANDED = 1e-7  # of kernel entries, what a descent leaves open
Kernels = Float[np.ndarray, "network entry entry"]
CHAIN = ("times", "signal", "noise", "variances", "shared", "activation", "width")
DRAWN = ("noise", "shared", "shared_inputs", "shared_readout", "bias_variance", "activation", "width")

# ---------------------------------------------------------------- problems


def chain(
    times: int,
    signal: float,
    noise: float = 0.0,
    variances: tuple[float, float, float] = (1.0, 1.0, 1.0),
    **settings: object,
) -> Problem:
    """One pattern as a pulse, one label at the end.

    Signal is |y|^2 and noise kappa, both over s_a^2 c0; variances are g^2, g_v^2 and s_a^2.
    """
    recurrent, entering, readout = variances
    scale = readout * entering * recurrent ** (times - 1)
    given = dict(recurrent_variance=recurrent, input_variance=entering, readout_variance=readout, noise=noise * scale)
    return Problem.pulse(np.array([[np.sqrt(signal * scale)]]), (times - 1,), times, **given, **settings)


def chain_of(case: Case, **changes: object) -> Problem:
    """The chain of a case."""
    return chain(**_named(case, CHAIN) | changes)


def drawn_problem(case: Case, **changes: object) -> Problem:
    """Inputs at every time and labels of deviation `case.size`, both drawn.

    The first entry has no label, and fresh patterns, after the others, have none.
    """
    rng, fresh = np.random.default_rng(case.seed), dict(case.settings).get("fresh", 0)
    inputs = rng.normal(size=(case.patterns + fresh, case.times, case.features))
    labels = case.size * rng.normal(size=inputs.shape[:2])
    labels[0, 0] = np.nan
    labels[case.patterns :] = np.nan
    given = dict(recurrent_variance=0.8, input_variance=1.3, readout_variance=0.7)
    return Problem.sequences(inputs, labels, **given | _named(case, DRAWN) | changes)


def sequence(case: Case, **changes: object) -> Problem:
    """A pulse whose answer is a sine of period 8, labelled at `case.steps`."""
    target = sine(case.amplitude, case.times)
    return Problem.pulse(target[None, list(case.steps)], case.steps, case.times, noise=case.noise, **changes)


def sine(amplitude: float, times: int) -> Float[np.ndarray, " time"]:
    """amplitude sin(2 pi (t + 1/2) / 8)."""
    return amplitude * np.sin(2 * np.pi * (np.arange(times) + 0.5) / 8)


def _named(case: Case, names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in case.settings if name in names}


# ---------------------------------------------------------------- descents over whole kernels


def minimum(problem: Problem, starts: int = 3, seed: int = 0) -> Landing:
    """The lowest minimum of F over all entries of the kernel, nothing reduced, from the prior and random starts."""
    action, rng = Action(problem), np.random.default_rng(seed)
    prior = np.linalg.cholesky(action.prior)
    mixings = [np.eye(len(prior)) + SPREAD * rng.normal(size=prior.shape) * bool(k) for k in range(starts)]
    landings = [descend(action.of(prior @ mixing)) for mixing in mixings]
    return min((landing for landing in landings if landing.is_minimum), key=lambda landing: landing.value)


def minimum_from(problem: Problem, kernel: Float[np.ndarray, "entry entry"]) -> Landing:
    """The minimum below a kernel."""
    return descend(Action(problem).at(kernel))


def upright(kernel: Float[np.ndarray, "*stack time time"]) -> Float[np.ndarray, "*stack time time"]:
    """Of the two mirror images, the one in which the first two times correlate positively."""
    signs = (-1.0) ** np.arange(kernel.shape[-1])
    turned = kernel[..., :1, 1:2] < 0
    return np.where(turned, signs[:, None] * kernel * signs, kernel)


# ---------------------------------------------------------------- estimates


def curve(quantity: Quantity, values: np.ndarray, error: float | np.ndarray = 0.0, first: int = 0) -> Estimate:
    """Along the one axis of its quantity; an error also tells what numerical work leaves open."""
    values = np.asarray(values, float)
    axes = {quantity.axes[0]: np.arange(len(values)) + first}
    return Estimate(quantity, values, np.broadcast_to(error, values.shape) * 1.0, axes=axes, source="its claim")


def square(quantity: Quantity, values: np.ndarray, error: float | np.ndarray = 0.0) -> Estimate:
    """Along the two axes of its quantity."""
    axes = {name: np.arange(size) for name, size in zip(quantity.axes, values.shape, strict=True)}
    return Estimate(quantity, values, np.broadcast_to(error, values.shape) * 1.0, axes=axes, source="its claim")


def kernel_estimate(kernel: Float[np.ndarray, "entry entry"], error: float | np.ndarray = 0.0) -> Estimate:
    """C."""
    return square(HIDDEN_KERNEL, kernel, error)


def output_estimate(outputs: np.ndarray, error: float | np.ndarray = 0.0) -> Estimate:
    """f at entries, of the first output."""
    return curve(MEAN_OUTPUT, outputs, error)


def slope(changes: Sequence[float], sizes: Sequence[float]) -> Estimate:
    """d ln change / d ln size between two sizes."""
    value = np.log(changes[1] / changes[0]) / np.log(sizes[1] / sizes[0])
    return Estimate(SIGNAL_EXPONENT, float(value), standard_error=0.0, source="its claim")


def energy(value: float) -> Estimate:
    """F."""
    return Estimate(FREE_ENERGY, float(value), standard_error=0.0, source="its claim")


# ---------------------------------------------------------------- networks with drawn weights


class Networks(NamedTuple):
    """phi(h) (network, unit, entry) and f (network, entry) of the first output."""

    states: np.ndarray
    outputs: np.ndarray

    @property
    def kernels(self) -> Kernels:
        """C."""
        return self.states.transpose(0, 2, 1) @ self.states / self.states.shape[1]


class Weighted(NamedTuple):
    """A mean over weighted draws, and its standard error."""

    mean: np.ndarray
    error: np.ndarray


def drawn_networks(problem: Problem, count: int, seed: int, turned: bool = False) -> Networks:
    """Networks of the problem's width with weights from the prior; W, V and b for all times or one each.

    The same seed gives the same weights, all W with the other sign where they are `turned`.
    """
    rng, width = np.random.default_rng(seed), problem.width
    values, vectors = np.linalg.eigh(problem.kernel)
    kept = values > 1e-12 * values[-1]
    features = (vectors[:, kept] * np.sqrt(values[kept])).reshape(problem.times, problem.patterns, -1)
    shared = problem.times_sharing.all()

    def normal(variance: float, *shape: int) -> np.ndarray:
        return np.sqrt(variance) * rng.normal(size=(count, *shape))

    states: list[np.ndarray] = []
    for time, x in enumerate(features):
        if time == 0 or not problem.shared_inputs:
            entering = normal(problem.input_variance, width, features.shape[-1])
        if time == 0 or not shared:
            bias = normal(problem.bias_variance, width, 1)
        if time == 1 or (time and not shared):
            recurrent = (-1) ** turned * normal(problem.recurrent_variance / width, width, width)
        before = recurrent @ states[-1] if time else 0.0
        states.append(PHI[problem.activation](before + entering @ x.T + bias))
    phi = np.concatenate(states, axis=2)
    return Networks(phi, np.einsum("nu,nue->ne", normal(problem.readout_variance, width), phi) / width)


def trained(problem: Problem, networks: Networks) -> tuple[Weighted, Weighted, Estimate]:
    """Posterior means of C and of f over drawn networks, and ln p(y), by the likelihood of the labels under each."""
    log_weights = log_likelihood(problem, networks.outputs)
    kernel, outputs = (weighted(values, log_weights) for values in (networks.kernels, networks.outputs))
    return kernel, outputs, evidence(log_weights)


def log_likelihood(problem: Problem, outputs: Float[np.ndarray, "network entry"]) -> Float[np.ndarray, " network"]:
    """ln of the density of the labels, of variance kappa / N around the outputs."""
    variance = problem.noise / problem.width
    missed = np.sum((outputs[:, problem.index] - problem.labels[:, 0]) ** 2, 1)
    return -missed / (2 * variance) - len(problem.index) / 2 * np.log(2 * np.pi * variance)


def weighted(values: Float[np.ndarray, "draw *rest"], log_weights: Float[np.ndarray, " draw"]) -> Weighted:
    """sum w v / sum w and its standard error."""
    weights = np.exp(log_weights - logsumexp(log_weights))
    mean = np.tensordot(weights, values, 1)
    return Weighted(mean, np.sqrt(np.tensordot(weights**2, (values - mean) ** 2, 1)))


def evidence(log_weights: Float[np.ndarray, " draw"]) -> Estimate:
    """ln of the mean weight."""
    weights = np.exp(log_weights - log_weights.max())
    error = weights.std() / weights.mean() / np.sqrt(len(weights))
    value = float(log_weights.max() + np.log(weights.mean()))
    return Estimate(LOG_EVIDENCE, value, standard_error=float(error), source="weighted draws")


# ---------------------------------------------------------------- networks by the law of their hidden activity


def log_law(problem: Problem, hidden: Float[np.ndarray, "network unit entry"]) -> Float[np.ndarray, " network"]:
    """log p(H, y) of networks, W, V and a integrated out; one output."""
    phi = PHI[problem.activation](hidden)
    return log_law_of(problem, *(z.transpose(0, 2, 1) @ z / hidden.shape[1] for z in (phi, hidden)))


def log_law_of(problem: Problem, kernels: Kernels, moments: Kernels) -> Float[np.ndarray, " network"]:
    """The same from phi^T phi / N and H^T H / N."""
    width, rows = problem.width, np.ix_(problem.index, problem.index)
    sigma = problem.recurrent_variance * shift(problem.mask * kernels, problem.patterns) + problem.drive
    q = problem.readout_variance * problem.readouts[rows] * kernels[:, *rows] + problem.noise * np.eye(len(rows[0]))
    labels = np.broadcast_to(problem.labels, (len(q), *problem.labels.shape))
    explained = np.trace(np.linalg.solve(sigma, moments), axis1=1, axis2=2)
    misfit = np.sum(labels * np.linalg.solve(q, labels), (1, 2))
    of_hidden = np.linalg.slogdet(2 * np.pi * sigma)[1]
    return -width / 2 * (of_hidden + explained + misfit) - np.linalg.slogdet(2 * np.pi * q / width)[1] / 2


def drawn_kernels(
    problem: Problem, around: Float[np.ndarray, "entry entry"], draws: int, seed: int
) -> tuple[Kernels, Float[np.ndarray, " network"]]:
    """Kernels of linear networks and ln of their weights by the exact law: Wishart draws of a quarter of the units."""
    rng, width, size = np.random.default_rng(seed), problem.width, problem.size
    units = width / 4
    factor = np.tril(rng.normal(size=(draws, size, size)), -1)
    for entry in range(size):
        factor[:, entry, entry] = np.sqrt(rng.chisquare(units - entry, draws))
    factor = np.linalg.cholesky(around) @ factor / np.sqrt(units)
    kernels = factor @ factor.transpose(0, 2, 1)
    volume = (width - units) / 2 * np.linalg.slogdet(kernels)[1]
    proposed = -units / 2 * np.trace(np.linalg.solve(around, kernels), axis1=1, axis2=2)
    return kernels, log_law_of(problem, kernels, kernels) + volume - proposed
