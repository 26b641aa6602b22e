"""What wide linear RNNs become in training: a scaled convolution, whose lags move as far as theory lets them."""

import math

import numpy as np

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    HELD_OUT_R2,
    KERNEL_DRIFT,
    RESPONSE_MOVEMENT,
    TASK_LOSS,
    TRAINED_RESPONSE,
    TRAINING_GAP,
    WIDTH_EXPONENT,
    Estimate,
)
from hitherto.measures.tangent_kernel import RICH, lag_kernel
from hitherto.papers.depth_networks import along, exact
from hitherto.papers.linear_bias_kernels import anywhere, averaged, slope
from hitherto.papers.linear_bias_networks import (
    OURS,
    Course,
    Network,
    drawn,
    framework_start,
    loss_of,
    r2_of,
    train_convolution,
    train_network,
)
from hitherto.tasks.delay import DelayedCopy
from hitherto.tasks.teacher import LinearTeacher, random_response
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_delays import delay_r2, learning_cost, white_rate
from hitherto.theory.linear_bias_equations import NormalEquations, normal_equations
from hitherto.theory.linear_bias_kernels import Leaky
from hitherto.theory.linear_bias_training import (
    critical_rate,
    descent,
    movement_bound,
    training_modes,
)

# ---------------------------------------------------------------- data and rates

HELD_OUT, LATER = 1000, 10**6  # sequences, and what is added to their seeds


def teacher_data(case: Case, seed: int, held_out: bool = False) -> NormalEquations:
    """Answers of a random linear network of four units to white inputs, 20 dB above noise."""
    response = random_response(case.length, seed, variance=0.3, input_size=case.channels, output_size=case.channels)
    task = LinearTeacher.from_response(response, length=case.length, snr_db=20.0)
    found = task.sample(HELD_OUT, seed + LATER) if held_out else task.sample(case.sequences, seed)
    return normal_equations(found.inputs, found.targets)


def delay_data(delay: int, length: int, sequences: int, seed: int, noise: float = 0.0) -> NormalEquations:
    """White inputs and themselves `delay` steps later, plus noise of this deviation."""
    found = DelayedCopy(delay, 1, length).sample(sequences, seed)
    heard = noise * np.random.default_rng(seed + LATER).normal(size=found.targets.shape)
    return normal_equations(found.inputs, found.targets + heard)


def rate_for(equations: NormalEquations, prior: np.ndarray, share: float) -> float:
    """`share` / lam_max, of which 2 is where training diverges."""
    return share / 2 * critical_rate(training_modes(equations, prior))


# ---------------------------------------------------------------- the same as a convolution


def both_courses(case: Case, width: int, seed: int) -> tuple[NormalEquations, Course, Course]:
    """A network and the scaled convolution that starts from the same response, on the same data and at one rate."""
    equations, weights = teacher_data(case, seed), lag_weights(case.start, case.length)
    network, rate = drawn(case.start, width, seed, case.channels), rate_for(equations, weights, case.share)
    momentum = dict(case.settings).get("momentum", 0.0)
    by_network = train_network(network, equations, rate, case.steps, momentum=momentum)
    start = network.response(case.length)
    return equations, by_network, train_convolution(weights, start, equations, rate, case.steps, momentum)


def loss_gap(case: Case, width: int, seed: int) -> float:
    """The largest difference of both losses over that at the start."""
    equations, *courses = both_courses(case, width, seed)
    first, second = (course.losses(equations) for course in courses)
    return float(np.abs(first - second).max() / second[0])


def gap_of_network(case: Case) -> Estimate:
    """Of one network."""
    return exact(TRAINING_GAP, loss_gap(case, case.width, case.seed))


def response_gap(case: Case, width: int, seed: int) -> float:
    """|L - L'|_F after the last step, which scatters less than a difference of losses."""
    _, *courses = both_courses(case, width, seed)
    first, second = (course.responses[-1] for course in courses)
    return float(np.linalg.norm(first - second))


def gaps_by_width(case: Case) -> Estimate:
    """Of as many networks at each width, as a power of the width."""
    gaps = [[response_gap(case, width, seed) for seed in range(case.draws)] for width in case.widths]
    return slope(np.log(gaps), case.widths)


TAUGHT = dict(start=Gaussian(0.3), length=10, channels=1, sequences=50, share=0.1)
MANY = TAUGHT | dict(channels=3)  # which scatter less
EQUIVALENCE = Claim(
    id="linear_bias.equivalence",
    says="A linear RNN of n units and the scaled convolution have the same loss at every step within 3 / sqrt(n).",
    source=OURS,
    quantity=TRAINING_GAP,
    relation="<=",
    hypotheses=lambda case: None if dict(case.settings).get("student", "RNN") == "RNN" else "it is about RNNs",
    predict=lambda case: exact(TRAINING_GAP, 3 / math.sqrt(case.width)),
    measure=gap_of_network,
    smallest=Case(**TAUGHT, width=256, steps=100, seed=0),
    larger=tuple(Case(**TAUGHT, width=width, steps=400, seed=1) for width in (100, 400, 1600)),
)
EQUIVALENCE_RATE = Claim(
    id="linear_bias.equivalence_rate",
    says="Their difference falls as 1 / sqrt(n).",
    source=OURS,
    quantity=WIDTH_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(WIDTH_EXPONENT, -0.5),
    measure=gaps_by_width,
    smallest=Case(**MANY, widths=(32, 128), steps=60, draws=16),
    larger=(Case(**MANY, widths=(100, 400), steps=200, draws=24),),
    rtol=0.05,
)

HEAVY_BALL = Claim(
    id="linear_bias.heavy_ball",
    says="Momentum keeps the equivalence: with it too the difference falls as 1 / sqrt(n).",
    source=OURS,
    quantity=WIDTH_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(WIDTH_EXPONENT, -0.5),
    measure=gaps_by_width,
    smallest=Case(**MANY, momentum=0.8, widths=(64, 256), steps=60, draws=16),
    larger=(Case(**MANY, momentum=0.8, widths=(100, 400), steps=200, draws=24),),
    rtol=0.05,
)

# ---------------------------------------------------------------- lazy or not


def drift(before: Network, after: Network, lags: int) -> float:
    """|Theta_after - Theta_before| / |Theta_before|."""
    first, last = (lag_kernel(network.model, lags) for network in (before, after))
    return float(np.linalg.norm(last - first) / np.linalg.norm(first))


def drifts_by_width(case: Case) -> Estimate:
    """Drift over a training, as a power of the width."""
    drifts = [[taught_drift(case, width, seed) for seed in range(case.draws)] for width in case.widths]
    return slope(np.log(drifts), case.widths)


def taught_drift(case: Case, width: int, seed: int) -> float:
    """Of one network in the scaling of the paper."""
    equations, network = teacher_data(case, seed), drawn(case.start, width, seed, case.channels)
    rate = rate_for(equations, lag_weights(case.start, case.length), case.share)
    trained = train_network(network, equations, rate, case.steps, centred=True).network
    return drift(network, trained or network, case.length)


LAZY = Claim(
    id="linear_bias.lazy",
    says="Training moves the kernel by O(1 / n): in the scaling of the paper wide networks are lazy.",
    source=OURS,
    quantity=WIDTH_EXPONENT,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: exact(WIDTH_EXPONENT, -1.0),
    measure=drifts_by_width,
    smallest=Case(**MANY, widths=(64, 192), steps=60, draws=8),
    larger=(Case(**MANY, widths=(100, 400), steps=200, draws=12),),
    rtol=0.05,
)


def framework_drift(case: Case) -> Estimate:
    """Of a network in the scaling of frameworks that learns a delay."""
    equations = delay_data(case.delay, case.length, case.sequences, case.seed)
    network = framework_start(case.width, case.seed)
    kernel = lag_kernel(network.model, case.length)[:, :, 0, 0, 0, 0]
    trained = train_network(network, equations, rate_for(equations, kernel, case.share), case.steps).network
    return exact(KERNEL_DRIFT, drift(network, trained or network, case.length))


FRAMEWORKS = Claim(
    id="linear_bias.framework_drift",
    says="In the scaling of frameworks the kernel moves as a whole whatever the width: such training is not lazy.",
    source=OURS,
    quantity=KERNEL_DRIFT,
    relation=">=",
    hypotheses=anywhere,
    predict=lambda case: exact(KERNEL_DRIFT, RICH),
    measure=framework_drift,
    smallest=Case(width=200, delay=1, length=10, sequences=50, share=0.1, steps=800, seed=0),
    larger=tuple(Case(width=w, delay=3, length=10, sequences=50, share=0.1, steps=800, seed=1) for w in (200, 800)),
)

# ---------------------------------------------------------------- closed forms


def problem(case: Case) -> tuple[NormalEquations, np.ndarray, np.ndarray]:
    """Random data of two channels, weights, and a response to start from."""
    rng = np.random.default_rng(case.seed)
    inputs, targets = rng.normal(size=(2, case.sequences, case.length, 2))
    weights = lag_weights(case.start, case.length)
    start = 0.3 * rng.normal(size=(case.length, 2, 2)) * np.sqrt(weights)[:, None, None]
    return normal_equations(inputs, targets), weights, start


def iterated(case: Case) -> np.ndarray:
    """L before every step and after the last, step by step."""
    equations, weights, start = problem(case)
    return train_convolution(weights, start, equations, rate_for(equations, weights, case.share), case.steps).responses


def response_estimate(response: np.ndarray) -> Estimate:
    """L as an answer without error."""
    axes = {name: np.arange(size) for name, size in zip(TRAINED_RESPONSE.axes, response.shape, strict=True)}
    return Estimate(TRAINED_RESPONSE, response, np.zeros(response.shape), axes=axes, source="gradient descent")


def closed_response(case: Case) -> Estimate:
    """L(k) by the eigenbasis of training."""
    equations, weights, start = problem(case)
    modes = training_modes(equations, weights, start)
    return response_estimate(modes.response(descent(modes, rate_for(equations, weights, case.share), case.steps)))


def bounds(case: Case) -> Estimate:
    """How far each lag can move."""
    equations, weights, start = problem(case)
    rate, loss = rate_for(equations, weights, case.share), loss_of(equations, start)
    return along(RESPONSE_MOVEMENT, movement_bound(equations, weights, rate, case.steps, loss))


def movements(case: Case) -> Estimate:
    """How far each lag has moved."""
    responses = iterated(case)
    return along(RESPONSE_MOVEMENT, np.linalg.norm(responses[-1] - responses[0], axis=(1, 2)))


SMALL = dict(start=Gaussian(0.4, 0.6, 1.3), length=8, sequences=12, seed=0)
CLOSED_FORM = Claim(
    id="linear_bias.closed_form",
    says="After k steps of gradient descent the response is a filter of its modes, without iteration.",
    source=OURS,
    quantity=TRAINED_RESPONSE,
    relation="==",
    hypotheses=anywhere,
    predict=closed_response,
    measure=lambda case: response_estimate(iterated(case)[-1]),
    smallest=Case(**SMALL, share=0.7, steps=137),
    larger=(Case(**SMALL, share=1.9, steps=1000), Case(**SMALL, share=0.01, steps=3)),
    rtol=1e-9,
)
BOUND = Claim(
    id="linear_bias.movement_bound",
    says="In the limit of great width lag j moves no further than rho_j times the time and the pull of the data.",
    source=OURS,
    quantity=RESPONSE_MOVEMENT,
    relation="<=",
    hypotheses=anywhere,
    predict=bounds,
    measure=movements,
    smallest=Case(**SMALL, share=0.9, steps=20),
    larger=tuple(Case(**SMALL, share=share, steps=steps) for share in (0.01, 1.0, 1.9) for steps in (1, 100, 3000)),
)

# ---------------------------------------------------------------- delays


def white_delay(case: Case) -> Estimate:
    """By the cost of its lag, for white inputs without end."""
    cost = learning_cost(lag_weights(case.start, case.length, log=True))[case.delay]
    return exact(HELD_OUT_R2, float(delay_r2(float(cost), case.share, case.steps)))


def learnt_delay(case: Case) -> Estimate:
    """Of convolutions trained on many sequences, on as many fresh ones."""
    return averaged(HELD_OUT_R2, np.array([one_delay(case, seed) for seed in range(case.draws)]))


def one_delay(case: Case, seed: int) -> float:
    """One training at the rate that the variance of the inputs tells."""
    weights = lag_weights(case.start, case.length)
    train, test = (delay_data(case.delay, case.length, case.sequences, s) for s in (seed, seed + LATER))
    rate = white_rate(lag_weights(case.start, case.length, log=True), case.share)
    start = np.zeros((case.length, 1, 1))
    learnt = train_convolution(weights, start, train, rate, case.steps).responses[-1]
    return float(r2_of(test, learnt, test.power).value)


DELAY = Claim(
    id="linear_bias.delay",
    says="White inputs: after k steps a delay is recalled with R^2 = 1 - (1 - rate rho_d c_d)^(2 k).",
    source=OURS,
    quantity=HELD_OUT_R2,
    relation="==",
    hypotheses=anywhere,
    predict=white_delay,
    measure=learnt_delay,
    smallest=Case(start=Gaussian(0.6), length=30, delay=15, sequences=500, share=0.5, steps=200, draws=6),
    larger=tuple(
        Case(start=Gaussian(nu), length=30, delay=delay, sequences=2000, share=0.5, steps=200, draws=6)
        for nu, delay in ((0.3, 5), (0.3, 10), (0.6, 10), (0.6, 20), (0.9, 20))
    ),
    rtol=0.02,
)


def rank_two_floor(case: Case) -> Estimate:
    """The least loss of any sum of a^j and j a^(j-1)."""
    equations, j = delay_data(case.delay, case.length, case.sequences, case.seed), np.arange(case.length)
    leak = float(case.start.leak)
    basis = np.stack([leak**j, j * leak ** np.maximum(j - 1, 0)], axis=1)
    hessian, moment = basis.T @ equations.hessian @ basis, basis.T @ equations.moment
    best = basis @ np.linalg.solve(hessian, moment)
    return exact(TASK_LOSS, 2 * loss_of(equations, best[:, None]) / equations.power)


def identity_loss(case: Case) -> Estimate:
    """Of a network that starts from the identity, as a share of the power of the targets."""
    equations = delay_data(case.delay, case.length, case.sequences, case.seed)
    network = drawn(case.start, case.width, case.seed)
    kernel = lag_kernel(network.model, case.length)[:, :, 0, 0, 0, 0]
    course = train_network(network, equations, rate_for(equations, kernel, 0.9), case.steps, centred=True)
    return exact(TASK_LOSS, 2 * loss_of(equations, course.responses[-1]) / equations.power)


PLATEAU = Claim(
    id="linear_bias.identity_plateau",
    says="Wide networks that start from the identity stop at the best sum of a^j and j a^(j-1).",
    source=OURS,
    quantity=TASK_LOSS,
    relation="==",
    hypotheses=anywhere,
    predict=rank_two_floor,
    measure=identity_loss,
    smallest=Case(start=Leaky(1), width=400, delay=5, length=10, sequences=50, steps=200, seed=0),
    larger=(Case(start=Leaky(1), width=1600, delay=5, length=10, sequences=50, steps=400, seed=1),),
    rtol=0.01,
)

CLAIMS = (EQUIVALENCE, EQUIVALENCE_RATE, HEAVY_BALL, LAZY, FRAMEWORKS, CLOSED_FORM, BOUND, DELAY, PLATEAU)
