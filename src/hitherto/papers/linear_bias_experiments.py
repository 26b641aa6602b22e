"""Trained networks beside the theory of wide linear RNNs: convolutions, delays, starts, widths. Our settings."""

from collections.abc import Callable

import numpy as np

from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import LAG_ERROR, LOSS_CURVE, Estimate
from hitherto.measures.tangent_kernel import memory_prior
from hitherto.papers.depth_networks import along
from hitherto.papers.linear_bias_networks import (
    MODES,
    Course,
    Dense,
    Diagonal,
    Network,
    Response,
    drawn,
    r2_of,
    train_convolution,
    train_modes,
    train_network,
)
from hitherto.papers.linear_bias_training import (
    EQUIVALENCE,
    HELD_OUT,
    LATER,
    delay_data,
    rate_for,
    teacher_data,
)
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_equations import NormalEquations
from hitherto.theory.linear_bias_kernels import Leaky, Orthogonal, Ring, Stacked, kernel_diagonal, lag_kernel
from hitherto.theory.linear_bias_training import descent, training_modes

# ---------------------------------------------------------------- the same as a convolution

Learn = Callable[[Network, NormalEquations, np.ndarray, float, int], Course]  # of weights rho, rate and steps


def as_convolution(
    network: Network, equations: NormalEquations, weights: np.ndarray, rate: float, steps: int
) -> Course:
    """From the response of the network."""
    return train_convolution(weights, network.response(equations.lags), equations, rate, steps)


STUDENTS: dict[str, Learn] = {
    "RNN": lambda network, equations, _, rate, steps: train_network(network, equations, rate, steps),
    "scaled convolution": as_convolution,
    "convolution": lambda network, equations, weights, rate, steps: as_convolution(
        network, equations, np.ones_like(weights), rate, steps
    ),
}


def taught(student: str, width: int, sequences: int, steps: int, seed: int) -> Case:
    """A teacher of four units over ten steps, 20 dB; all students start from one response and learn at one rate."""
    return Case(
        student=student,
        start=Gaussian(0.3),
        width=width,
        length=10,
        channels=1,
        sequences=sequences,
        share=0.1,
        steps=steps,
        seed=seed,
    )


def lesson(case: Case) -> tuple[Estimate, ...]:
    """The training loss at every step, and R^2 on fresh sequences."""
    equations, test = (teacher_data(case, case.seed, held_out) for held_out in (False, True))
    weights, network = lag_weights(case.start, case.length), drawn(case.start, case.width, case.seed)
    rate = rate_for(equations, weights, case.share)
    course = STUDENTS[case.student](network, equations, weights, rate, case.steps)
    losses = course.losses(equations)
    return along(LOSS_CURVE, losses / losses[0]), r2_of(test, course.responses[-1], test.power)


LESSON = Measurement(
    id="linear_bias.lesson", says="Training loss at each step, and R^2 on sequences held out", measure=lesson
)
TEACHER = Experiment(
    id="linear_bias.same_curves",
    says="A linear RNN learns from a teacher as the scaled convolution does, not as the plain one",
    asks=(EQUIVALENCE, LESSON),
    case=taught,
    grid=dict(student=tuple(STUDENTS), width=(100, 400), sequences=(50,), steps=(400,), seed=(0, 1, 2)),
    sizes=dict(
        ci=dict(width=(64,), steps=(60,), seed=(0,)),
        paper=dict(width=(100, 400, 1600), seed=(0, 1)),
        cluster=dict(width=(100, 400, 1600, 6400), sequences=(20, 50, 200), seed=tuple(range(20))),
    ),
    plot=Plot(x="step", by=("width", "student"), x_label="steps of gradient descent", log_y=True),
)

# ---------------------------------------------------------------- delays

DELAYS = dict(length=30, sequences=200, noise=0.1, share=0.5)
AS_CONVOLUTION, AS_RNN = "scaled convolution", "RNN"


def delayed(student: str, nu_W: float, delay: int, width: int, steps: int, seed: int) -> Case | None:
    """White inputs of 30 steps, to be answered d steps later; the width is the RNN's."""
    if student == AS_CONVOLUTION and width != WIDTHS[0]:
        return None
    return Case(student=student, start=Gaussian(nu_W), delay=delay, width=width, steps=steps, seed=seed, **DELAYS)


WIDTHS = (100, 400, 800)


def delay_parts(case: Case) -> tuple[NormalEquations, NormalEquations]:
    """To learn from, with noise, and to test on, without."""
    train = delay_data(case.delay, case.length, case.sequences, case.seed, case.noise)
    return train, delay_data(case.delay, case.length, HELD_OUT, case.seed + LATER)


def recalled(case: Case) -> Estimate:
    """R^2 on fresh sequences without noise; networks answer less their initial function."""
    train, test = delay_parts(case)
    weights = lag_weights(case.start, case.length)
    rate = rate_for(train, weights, case.share)
    if case.student == AS_RNN:
        network = drawn(case.start, case.width, case.seed)
        course = train_network(network, train, rate, case.steps, centred=True)
    else:
        course = train_convolution(weights, np.zeros((case.length, 1, 1)), train, rate, case.steps)
    return r2_of(test, course.responses[-1], test.power)


RECALLED = Measurement(id="linear_bias.recalled", says="R^2 of a delay after training", measure=recalled)
DELAY = Experiment(
    id="linear_bias.delays",
    says="The variance of W decides which delays a number of steps reaches; networks follow, and scatter at the edge",
    asks=(RECALLED,),
    case=delayed,
    grid=dict(
        student=(AS_CONVOLUTION, AS_RNN),
        nu_W=(0.3, 0.6, 0.9),
        delay=(2, 5, 10, 15, 20, 25),
        width=WIDTHS[:2],
        steps=(200,),
        seed=(0, 1, 2),
    ),
    sizes=dict(
        ci=dict(nu_W=(0.6,), delay=(2, 15), width=(100,), steps=(50,), seed=(0,)),
        paper=dict(width=WIDTHS[:2]),
        cluster=dict(width=WIDTHS, steps=(200, 2000), seed=tuple(range(10))),
    ),
    plot=Plot(x="delay", by=("nu_W", "student", "width"), x_label="delay (steps)"),
)

# ---------------------------------------------------------------- starts

STARTS: dict[str, Dense | Diagonal] = {
    "Gaussian": Gaussian(0.6),
    "orthogonal": Orthogonal(0.6**0.5),
    "identity": Leaky(1),
    "leaky": Leaky(0.5, 0.4),
    "ring": Ring(0.3, 0.8),
    "2 layers": Stacked((0.6, 0.6)),
    "3 layers": Stacked((0.6, 0.6, 0.6)),
    "4 layers": Stacked((0.6, 0.6, 0.6, 0.6)),
}
IN_THEORY, IN_TRAINING = "theory", "trained"


def started(how: str, start: str, delay: int, width: int, steps: int, seed: int) -> Case:
    """The same delays, at half the rate of the kernel's largest eigenvalue."""
    return Case(how=how, start=STARTS[start], delay=delay, width=width, steps=steps, seed=seed, **DELAYS)


def answered(case: Case) -> Estimate:
    """R^2 by the kernel in closed form, or by a network, on the same data."""
    train, test = delay_parts(case)
    kernel = lag_kernel(case.start, case.length)
    rate = rate_for(train, kernel, case.share)
    if case.how == IN_TRAINING:
        return r2_of(test, trained_response(case, train, rate), test.power)
    modes = training_modes(train, kernel)
    return r2_of(test, modes.response(descent(modes, rate, case.steps)), test.power)


def trained_response(case: Case, equations: NormalEquations, rate: float) -> Response:
    """Of a dense or diagonal network, less its initial function."""
    if type(case.start) in MODES:
        return train_modes(case.start, case.width, case.seed, equations, rate, case.steps).responses[-1]
    network = drawn(case.start, case.width, case.seed)
    return train_network(network, equations, rate, case.steps, centred=True).responses[-1]


ANSWERED = Measurement(
    id="linear_bias.answered", says="R^2 of a delay, by theory and by a trained network", measure=answered
)
COMPARED = Experiment(
    id="linear_bias.starts",
    says="Which start reaches which delay in 200 steps: the identity stops at two modes, depth and modes reach further",
    asks=(ANSWERED,),
    case=started,
    grid=dict(
        how=(IN_THEORY, IN_TRAINING),
        start=tuple(STARTS),
        delay=(2, 6, 10, 14, 18),
        width=(256,),
        steps=(200,),
        seed=(0,),
    ),
    sizes=dict(
        ci=dict(start=("Gaussian", "identity", "ring", "2 layers"), delay=(6,), width=(64,), steps=(50,)),
        paper=dict(width=(512,), delay=(6, 12, 18, 24)),
        cluster=dict(delay=tuple(range(0, 29, 2)), width=(512, 2048), seed=tuple(range(10))),
    ),
    plot=Plot(x="delay", by=("start", "how"), x_label="delay (steps)"),
)

# ---------------------------------------------------------------- widths


def sampled(start: str, width: int, reach: float, draws: int) -> Case:
    """A lag at so many square roots of the width; both starts have the limit rho_j = 2 + j."""
    lag = round(reach * width**0.5)
    return Case(start={"Gaussian": Gaussian(1), "orthogonal": Orthogonal(1)}[start], width=width, lag=lag, draws=draws)


def lag_error(case: Case) -> Estimate:
    """Over drawn networks, by the measure of each."""
    limit = kernel_diagonal(case.start, case.lag + 1)[-1]
    lags = case.lag + 1
    found = [memory_prior(drawn(case.start, case.width, seed).model, lags).value[-1] for seed in range(case.draws)]
    squares = np.square(np.array(found) / limit - 1)
    error = float(np.sqrt(squares.mean()))
    spread = float(squares.std(ddof=1) / np.sqrt(case.draws) / (2 * error))
    return Estimate(LAG_ERROR, error, spread, source="a mean over drawn networks")


SWEEP = Experiment(
    id="linear_bias.widths",
    says="Gaussian networks leave the wide limit at lags of about sqrt(n); orthogonal ones stay near it",
    asks=(
        Measurement(
            id="linear_bias.error_at_lag", says="How far a lag is learnt otherwise than in the limit", measure=lag_error
        ),
    ),
    case=sampled,
    grid=dict(start=("Gaussian", "orthogonal"), width=(64, 256), reach=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0), draws=(20,)),
    sizes=dict(
        ci=dict(width=(36, 64), reach=(0.5, 2.0), draws=(8,)),
        paper=dict(width=(64, 256, 1024)),
        cluster=dict(width=(64, 256, 1024, 4096), draws=(200,)),
    ),
    plot=Plot(x="reach", by=("start", "width"), x_label="lag / sqrt(width)", log_y=True),
)

EXPERIMENTS = (TEACHER, DELAY, COMPARED, SWEEP)
