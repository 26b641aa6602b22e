"""What wide linear RNNs learn first: kernels of all starts beside drawn networks, convergence, summaries, design."""

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from hitherto.architectures.rnn import RNN
from hitherto.core.claim import Case, Claim
from hitherto.core.model import build, precision
from hitherto.core.quantity import (
    HALF_LEVEL,
    LAG_KERNEL,
    LEARNING_COST,
    MEAN_FACTOR,
    MEMORY_PRIOR,
    PRIOR_MEAN_LAG,
    PRIOR_PEAK,
    PRIOR_TOTAL,
    RESPONSE_VARIANCE,
    TANGENT_KERNEL,
    WIDTH_EXPONENT,
    Estimate,
    Quantity,
)
from hitherto.measures import tangent_kernel as measure
from hitherto.papers.depth_networks import along, exact
from hitherto.papers.linear_bias_networks import (
    MODES,
    OURS,
    Dense,
    Diagonal,
    Network,
    drawn,
    drawn_modes,
    mode_slopes,
    recurrent_weights,
)
from hitherto.theory.linear_bias import Gaussian, initial_variances, lag_weights
from hitherto.theory.linear_bias_design import AtMost, HalfLife, MeanLag, Target, design
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    Orthogonal,
    RealModes,
    Ring,
    Stacked,
    StepSizes,
    lag_kernel,
)
from hitherto.theory.linear_bias_nonlinear import Recurrent, recurrent_kernels
from hitherto.theory.linear_bias_summary import mean_lag, summary, tail_sum
from hitherto.theory.linear_bias_width import mean_factor


def anywhere(case: Case) -> None:
    """Without hypotheses beyond what the case itself says."""


def averaged(quantity: Quantity, values: np.ndarray) -> Estimate:
    """The mean over the first axis, and its error; other axes are counted from 0."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    axes = {name: np.arange(size) for name, size in zip(quantity.axes, values.shape[1:], strict=True)}
    if not axes:
        return Estimate(quantity, float(values.mean()), float(error), source="a mean over draws")
    return Estimate(quantity, values.mean(axis=0), error, axes=axes, source="a mean over draws")


# ---------------------------------------------------------------- kernels of all starts


def channel_mean(kernel: np.ndarray) -> np.ndarray:
    """Mean of Theta[j, l, a, a, p, p] over channels."""
    return np.einsum("jlaapp->jl", kernel) / (kernel.shape[2] * kernel.shape[4])


def network_kernel(network: Network, lags: int) -> np.ndarray:
    """Of one channel, from the gradients of every lag by all weights."""
    states = network.states(lags)
    slopes = np.array([network.gradients(states, pull[:, None, None]).weights for pull in np.eye(lags)])
    return slopes @ slopes.T


def dense_kernel(start: Dense, case: Case, seed: int) -> np.ndarray:
    """Of a drawn network: by the measure for one layer, by all gradients for a stack."""
    if isinstance(start, Stacked):
        return network_kernel(drawn(start, case.width, seed), case.lags)
    return channel_mean(measure.lag_kernel(drawn(start, case.width, seed, channels=2).model, case.lags))


def modal_kernels(start: Diagonal, case: Case) -> np.ndarray:
    """Of each drawn mode, as if all were like it."""
    with precision(np.float64):
        slopes = np.asarray(mode_slopes(type(start), case.lags)(drawn_modes(start, case.width, case.seed))[1])
    return slopes @ slopes.transpose(0, 2, 1)


def drawn_kernel(case: Case) -> Estimate:
    """The mean over drawn networks, or over modes, which are independent."""
    if type(case.start) in MODES:
        return averaged(LAG_KERNEL, modal_kernels(case.start, case))
    seeds = range(case.seed, case.seed + case.draws)
    return averaged(LAG_KERNEL, np.array([dense_kernel(case.start, case, seed) for seed in seeds]))


def limit_kernel(case: Case) -> Estimate:
    """Theta of infinitely many units."""
    kernel, lags = lag_kernel(case.start, case.lags), np.arange(case.lags)
    return Estimate(LAG_KERNEL, kernel, np.zeros_like(kernel), axes={"lag": lags, "other_lag": lags}, source="theory")


ROWS: dict[str, tuple[str, Dense | Diagonal]] = {
    "gaussian": ("Gaussian weights learn each lag by itself, at rates a nu^j + c j nu^(j-1).", Gaussian(0.7, 0.6, 1.3)),
    "orthogonal": ("Orthogonal weights of gain g learn as Gaussian ones of nu = g^2.", Orthogonal(0.9, 0.6, 1.3)),
    "identity": ("A multiple of the identity learns a^j and j a^(j-1) alone.", Leaky(0.8, 0, 0.6, 1.3)),
    "leaky": ("The identity with Gaussian noise learns neighbouring lags together.", Leaky(-0.5, 0.4, 0.6, 1.3)),
    "ring": ("Complex modes of all phases learn each lag by itself, long ones faster.", Ring(0.4, 0.9, 0.6, 1.3)),
    "real_modes": ("Real modes have a Hilbert matrix for kernel.", RealModes(0.1, 0.95, 0.6, 1.3)),
    "lru": ("Linear recurrent units, their gains and phases trained, have this kernel.", LRU(0.3, 0.95, 0.6, 1.3)),
    "step_sizes": ("Log-uniform step sizes have a memory that is flat in log j.", StepSizes(0.01, 1, 0.6, 1.3)),
    "stacked": ("Linear layers shift the prior to later lags.", Stacked((0.3, 0.5), 0.8, 0.6, 1.3)),
}


def kernel_claim(name: str, says: str, start: Dense | Diagonal) -> Claim:
    """Mean kernels of networks are those of the limit, but for terms of 1 / width."""
    width, draws = (20_000, 1) if type(start) in MODES else (120 if isinstance(start, Stacked) else 300, 24)
    return Claim(
        id=f"linear_bias.kernel_{name}",
        says=says,
        source=OURS,
        quantity=LAG_KERNEL,
        relation="==",
        hypotheses=anywhere,
        predict=limit_kernel,
        measure=drawn_kernel,
        smallest=Case(start=start, width=width, lags=5, draws=draws, seed=0),
        larger=(Case(start=start, width=4 * width, lags=8, draws=draws, seed=100),),
        rtol=0.01,
    )


KERNELS = tuple(kernel_claim(name, says, start) for name, (says, start) in ROWS.items())

# ---------------------------------------------------------------- parts and parametrisations

ALL = measure.TRAINED
VARIANCES = dict(variance=0.7, input_variance=0.6, readout_variance=1.3)
STARTED = (0.7, 0.6, 1.3)


def layer(**settings: object) -> RNN:
    """One linear layer of 300 units and one channel."""
    return RNN(1, 300, 1, "linear", bias=False, **settings)  # type: ignore[arg-type]


def by_part(trained: str, rates: tuple[int, int, int]) -> Case:
    """One of the three matrices trained alone."""
    start = Gaussian(*STARTED, learning_rates=rates)
    return Case(layer(parametrisation="ntk", **VARIANCES), start=start, trained=(trained,), scale=1.0)


PRIORS: dict[str, tuple[str, Case]] = {
    "part_W": ("W learns lag j at the rate j nu_C nu_F nu_W^(j-1).", by_part("weight_hh", (1, 0, 0))),
    "part_F": ("F learns lag j at the rate nu_C nu_W^j.", by_part("weight_ih", (0, 1, 0))),
    "part_C": ("C learns lag j at the rate nu_F nu_W^j, as a reservoir does.", by_part("readout", (0, 0, 1))),
    "multipliers": (
        "With variances before the weights each part counts times its variance: nu_C nu_F nu_W^j (2 + j).",
        Case(
            layer(parametrisation="ntk_unit", **VARIANCES),
            start=Gaussian(*STARTED, "multipliers"),
            trained=ALL,
            scale=1.0,
        ),
    ),
    "standard": (
        "With variances over n in W and C the prior grows as n, and F hardly learns.",
        Case(layer(**VARIANCES), start=Gaussian(*STARTED, "standard"), trained=ALL, scale=1 / 300),
    ),
    "pytorch": (
        "The usual uniform start has nu_W = nu_F = nu_C = 1/3 at the first step.",
        Case(
            layer(initialisation="pytorch"),
            start=Gaussian("1/3", "1/3", "1/3", "framework"),
            trained=ALL,
            scale=1.0,
        ),
    ),
    "keras": (
        "An orthogonal W with Glorot-uniform F and C has the prior 4 + 4 j at the first step.",
        Case(layer(initialisation="keras"), start=Gaussian(1, 2, 2, "framework"), trained=ALL, scale=1.0),
    ),
}


def drawn_prior(case: Case) -> Estimate:
    """Of fresh layers, times the scale at which they are compared."""
    fresh = (build(case.architecture, seed, np.float64) for seed in range(case.seed, case.seed + case.draws))
    priors = [measure.memory_prior(model, case.lags, case.trained).value for model in fresh]
    return averaged(MEMORY_PRIOR, np.array(priors) * case.scale)


def prior_claim(name: str, says: str, case: Case) -> Claim:
    """Mean priors of fresh layers are those of the limit, but for terms of 1 / width."""
    return Claim(
        id=f"linear_bias.{name}",
        says=says,
        source=OURS,
        quantity=MEMORY_PRIOR,
        relation="==",
        hypotheses=anywhere,
        predict=lambda case: along(MEMORY_PRIOR, lag_weights(case.start, case.lags)),
        measure=drawn_prior,
        smallest=Case(case.architecture, **dict(case.settings), lags=5, draws=10, seed=0),
        rtol=0.02,
    )


FRESH = tuple(prior_claim(name, says, case) for name, (says, case) in PRIORS.items())

# ---------------------------------------------------------------- convergence and finite width


def kernel_errors(case: Case) -> Estimate:
    """Slope of log |Theta_n - Theta|_F / |Theta|_F between the ends of the widths, for two channels each way."""
    eye, logs = np.eye(2), []
    limit = np.einsum("jl,ab,pq->jlabpq", np.diag(lag_weights(case.start, case.lags)), eye, eye)
    for width in case.widths:
        kernels = (
            measure.lag_kernel(drawn(case.start, width, seed, channels=2).model, case.lags)
            for seed in range(case.draws)
        )
        logs.append([np.log(np.linalg.norm(kernel - limit)) for kernel in kernels])
    return slope(np.array(logs), case.widths)


def slope(logs: np.ndarray, widths: tuple[int, ...]) -> Estimate:
    """By least squares over (width, draw), draw by draw: what a draw has of its data is the same at all widths."""
    places = np.log(widths) - np.mean(np.log(widths))
    return averaged(WIDTH_EXPONENT, places @ logs / (places @ places))


CONVERGENCE = Claim(
    id="linear_bias.kernel_convergence",
    says="The kernel of n units differs from its limit by a random part of order 1 / sqrt(n).",
    source=OURS,
    quantity=WIDTH_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(WIDTH_EXPONENT, -0.5),
    measure=kernel_errors,
    smallest=Case(start=Gaussian(0.5), widths=(75, 150, 300), lags=8, draws=12),
    larger=(Case(start=Gaussian(0.9), widths=(250, 500, 1000, 2000), lags=8, draws=20),),
    rtol=0.05,
)


def response_variances(case: Case) -> Estimate:
    """Mean squares over all channels, by draw."""
    found = [drawn(case.start, case.width, seed, channels=4).response(case.lags) for seed in range(case.draws)]
    return averaged(RESPONSE_VARIANCE, np.square(found).mean(axis=(2, 3)))


START = Claim(
    id="linear_bias.initial_variance",
    says="Before training the entries of L_j have variance nu_C nu_F nu_W^j.",
    source=OURS,
    quantity=RESPONSE_VARIANCE,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: along(RESPONSE_VARIANCE, initial_variances(case.start, case.lags)),
    measure=response_variances,
    smallest=Case(start=Gaussian(0.7, 0.6, 1.3), width=200, lags=6, draws=60),
    larger=(Case(start=Gaussian(1, 2, 1), width=800, lags=10, draws=200),),
    rtol=0.01,
)


def mean_powers(case: Case) -> Estimate:
    """|A^k|_F^2 / n over draws of matrices of variance 1 / n."""
    rng, n = np.random.default_rng(case.seed), case.width
    shape = (case.draws, n, n)
    matrices = rng.normal(size=shape) / np.sqrt(n)
    if case.entries == "complex":
        matrices = (matrices + 1j * rng.normal(size=shape) / np.sqrt(n)) / np.sqrt(2)
    powers, found = np.tile(np.eye(n), (case.draws, 1, 1)), []
    for _ in range(case.lags):
        found.append(np.square(np.abs(powers)).sum((1, 2)) / n)
        powers = matrices @ powers
    return averaged(MEAN_FACTOR, np.stack(found, axis=1))


FINITE = Claim(
    id="linear_bias.mean_factor",
    says="Powers of a random matrix grow beyond the limit by an exact factor, 1 + k^4 / 12 n^2 to leading order.",
    source=OURS,
    quantity=MEAN_FACTOR,
    relation="==",
    hypotheses=lambda case: None if case.entries == "complex" or case.lags <= 7 else "known up to lag 6",
    predict=lambda case: along(
        MEAN_FACTOR, np.array([mean_factor(k, case.width, case.entries) for k in range(case.lags)])
    ),
    measure=mean_powers,
    smallest=Case(width=8, entries="real", lags=7, draws=20_000, seed=0),
    larger=(Case(width=8, entries="complex", lags=10, draws=20_000, seed=0),),
)


def orthogonal_growth(case: Case) -> Estimate:
    """|A^k f|^2 / |f|^2 of a drawn orthogonal W of gain 1."""
    rng = np.random.default_rng(case.seed)
    (weights,) = recurrent_weights(Orthogonal(), case.width, rng)
    state, found = rng.normal(size=case.width), []
    for _ in range(case.lags):
        found.append(float(state @ state))
        state = weights @ state / np.sqrt(case.width)
    return along(MEAN_FACTOR, np.array(found) / found[0])


NO_BLOW_UP = Claim(
    id="linear_bias.orthogonal_growth",
    says="An orthogonal W keeps the weights of the limit at any lag, far beyond sqrt(n).",
    source=OURS,
    quantity=MEAN_FACTOR,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: along(MEAN_FACTOR, np.ones(case.lags)),
    measure=orthogonal_growth,
    smallest=Case(width=25, lags=400, seed=0),
    larger=(Case(width=400, lags=4000, seed=1),),
    rtol=1e-10,
)

# ---------------------------------------------------------------- summaries and design


def recursion(start: Gaussian, lags: int = 200_000) -> np.ndarray:
    """rho as the impulse response of the filter (a + (c - a nu) z) / (1 - nu z)^2."""
    nu, nu_F, nu_C = (float(v) for v in (start.nu, start.nu_F, start.nu_C))
    impulse = np.zeros(lags)
    impulse[0] = 1
    a, c = nu_C + nu_F, nu_C * nu_F
    return lfilter([a, c - a * nu], [1, -2 * nu, nu**2], impulse)


def recursive_mean(weights: np.ndarray) -> float:
    """sum j rho_j / sum rho_j."""
    return float(np.arange(len(weights)) @ weights / weights.sum())


def last_above_half(weights: np.ndarray) -> float:
    """The real lag where the weights last fall to half the first, between whole ones by their logarithm."""
    last = int(np.flatnonzero(weights > weights[0] / 2).max())
    high, low = np.log(weights[last : last + 2])
    return float(last + (high - np.log(weights[0] / 2)) / (high - low))


Reading = Callable[[np.ndarray], float]
SUMMARIES: dict[str, tuple[str, Quantity, Reading, Callable[[Gaussian], float | int | None]]] = {
    "total": ("The weights sum to a / e + c / e^2.", PRIOR_TOTAL, np.sum, lambda start: tail_sum(start, 0)),
    "mean_lag": ("Their mean lag tends to 2 / e.", PRIOR_MEAN_LAG, recursive_mean, mean_lag),
    "peak": (
        "They rise first wherever nu_W (1/e - a/c) > 0.",
        PRIOR_PEAK,
        np.argmax,
        lambda start: summary(start).peak_lag,
    ),
    "half_level": (
        "They last exceed half the first at a lag that Lambert's function tells.",
        HALF_LEVEL,
        lambda weights: np.flatnonzero(weights >= weights[0] / 2 * (1 - 1e-12)).max(),
        lambda start: summary(start).half_level_lag,
    ),
}


def summary_claim(name: str) -> Claim:
    """What sums and searches over 200,000 lags find is the closed form."""
    says, quantity, reading, closed_form = SUMMARIES[name]
    return Claim(
        id=f"linear_bias.prior_{name}",
        says=says,
        source=OURS,
        quantity=quantity,
        relation="==",
        hypotheses=lambda case: None if case.start.nu < 1 else "the weights do not fall",
        predict=lambda case: exact(quantity, closed_form(case.start)),  # type: ignore[arg-type]
        measure=lambda case: exact(quantity, float(reading(recursion(case.start)))),
        smallest=Case(start=Gaussian(0.9)),
        larger=(Case(start=Gaussian(0.999, 0.6, 1.3)), Case(start=Gaussian(0.5)), Case(start=Gaussian(0.3, 2, 0.1))),
        rtol=1e-9,
    )


SUMMED = tuple(map(summary_claim, SUMMARIES))


def white_cost(weights: np.ndarray, target: AtMost) -> float:
    """max_j rho_j c_j / (rho_d c_d), c_j = (T - j) / T."""
    speeds = weights[: target.length] * (1 - np.arange(target.length) / target.length)
    return float(speeds.max() / speeds[target.lag])


def designed(case: Case) -> np.ndarray:
    """The weights of what the design advises."""
    return recursion(design(case.target, case.start).initialisation)


DESIGNS: dict[str, tuple[Quantity, Target, Callable[[Target], float], Callable[[np.ndarray, Target], float]]] = {
    "mean_lag": (PRIOR_MEAN_LAG, MeanLag(20), lambda target: target.lag, lambda w, _: recursive_mean(w)),
    "half_life": (HALF_LEVEL, HalfLife(10), lambda target: target.lag, lambda w, _: last_above_half(w)),
    "cost": (LEARNING_COST, AtMost(15, 20, 40), lambda target: target.ratio, white_cost),
}


def design_claim(name: str) -> Claim:
    """A designed nu_W has the memory that was asked for."""
    quantity, target, wanted, reading = DESIGNS[name]
    return Claim(
        id=f"linear_bias.design_{name}",
        says=f"A nu_W can be found whose prior has a given {name.replace('_', ' ')}.",
        source=OURS,
        quantity=quantity,
        relation="==",
        hypotheses=anywhere,
        predict=lambda case: exact(quantity, wanted(case.target)),
        measure=lambda case: exact(quantity, reading(designed(case), case.target)),
        smallest=Case(target=target, start=Gaussian(0.5)),
        larger=(Case(target=target, start=Gaussian(0.5, 0.6, 1.3)),),
        rtol=1e-9,
    )


DESIGNED = tuple(map(design_claim, DESIGNS))

# ---------------------------------------------------------------- networks that are not linear


def sequences(case: Case) -> np.ndarray:
    """Three sequences of one channel, of which two are near each other."""
    rng = np.random.default_rng(case.seed)
    first, second, noise = rng.normal(size=(3, case.length, 1))
    return np.stack([first, second, first + 0.3 * noise])


def limit_tangent_kernel(case: Case) -> Estimate:
    """By the recursion over diagonals."""
    network = Recurrent(case.activation, sigma_w=case.sigma_w, sigma_u=case.sigma_u)
    kernel, places = recurrent_kernels(network, list(sequences(case))).ntk, np.arange(3)
    axes = {"sequence": places, "other": places}
    return Estimate(TANGENT_KERNEL, kernel, np.zeros_like(kernel), axes=axes, source="theory")


def drawn_tangent_kernel(case: Case) -> Estimate:
    """Mean over fresh networks whose weights stand behind their deviations."""
    network = RNN(
        1,
        case.width,
        1,
        case.activation,
        bias=False,
        parametrisation="ntk_unit",
        variance=case.sigma_w**2,
        input_variance=case.sigma_u**2,
    )
    fresh = (build(network, seed, np.float64) for seed in range(case.draws))
    return averaged(TANGENT_KERNEL, np.array([measure.tangent_kernel(model, sequences(case)) for model in fresh]))


NONLINEAR = Claim(
    id="linear_bias.recurrent_tangent_kernel",
    says="Wide ReLU networks with shared weights have the tangent kernel of a recursion over the steps.",
    source=OURS,
    quantity=TANGENT_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=limit_tangent_kernel,
    measure=drawn_tangent_kernel,
    smallest=Case(activation="relu", sigma_w=1.2, sigma_u=0.8, width=800, length=4, draws=3, seed=0),
    larger=(
        Case(activation="linear", sigma_w=0.8, sigma_u=1.1, width=600, length=6, draws=20, seed=1),
        Case(activation="relu", sigma_w=1.4, sigma_u=0.5, width=1500, length=6, draws=20, seed=2),
    ),
    rtol=0.02,
)

CLAIMS = (*KERNELS, *FRESH, CONVERGENCE, START, FINITE, NO_BLOW_UP, *SUMMED, *DESIGNED, NONLINEAR)
