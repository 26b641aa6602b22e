"""What mean-field theory makes of kernels, of schedules of labels, of depth and of real pictures; all settings ours."""

import numpy as np
from jaxtyping import Bool, Float

from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import (
    CRITICAL_SIGNAL,
    HELD_OUT_ERROR,
    HELD_OUT_ERRORS,
    HIDDEN_KERNEL,
    RECALL_ACCURACY,
    RIDGE,
    TIME_CORRELATION,
    Estimate,
)
from hitherto.papers import mean_field_sampled
from hitherto.papers.mean_field_networks import curve, square
from hitherto.papers.mean_field_sampled import HIDDEN, NETWORKS, sampled
from hitherto.tasks.digits import Digits
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_atlas import landmarks
from hitherto.theory.mean_field_endpoint import endpoint_of_inputs
from hitherto.theory.mean_field_schedule import schedule_errors
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_stability import spinodal_signal
from hitherto.theory.mean_field_transition import cross_time_correlation
from hitherto.training.posterior import averaged

# ---------------------------------------------------------------- kernels of both architectures

THEORY, SAMPLED = "theory", "sampled"
LABELS = np.array([1.0, -1.0, 2.0, -2.0]) / 10**0.5  # of four orthogonal patterns, of length 1


def represented(network: str, how: str, factor: float, width: int, draws: int, seed: int) -> Case:
    """Four patterns over four times, kappa = 0.1; |y|^2 so many times that of the transition without noise."""
    about = dict(shared=NETWORKS[network], factor=factor, how=how)
    return Case(**about, **(dict(width=width, by=HIDDEN, draws=draws, seed=seed) if how == SAMPLED else {}))


def representation(case: Case) -> tuple[Estimate, Estimate]:
    """C, in the mirror image in which neighbouring times correlate positively; and how much times correlate."""
    labels = LABELS[:, None] * np.sqrt(case.factor * spinodal_signal(4))
    problem = Problem.pulse(labels, (3,), 4, noise=0.1, shared=case.shared)
    if case.how == THEORY:
        kernel, error = oriented(solve(problem).best.kernel, problem), 0.0
    else:
        pairs = sampled(problem.with_(width=case.width), case).pairs
        found = averaged(oriented(whole(pairs, problem.size), problem))
        kernel, error = found.value, found.error
    between = Estimate(TIME_CORRELATION, cross_time_correlation(kernel, 4), source="its kernel")
    return square(HIDDEN_KERNEL, kernel, error), between


def whole(pairs: Float[np.ndarray, "chain draw pair"], size: int) -> Float[np.ndarray, "chain draw entry entry"]:
    """C of every draw, from its entries on and above the diagonal."""
    place = np.zeros((size, size), int)
    place[np.triu_indices(size)] = np.arange(pairs.shape[-1])
    return pairs[..., np.maximum(place, place.T)]


def oriented(
    kernels: Float[np.ndarray, "*draw entry entry"], problem: Problem
) -> Float[np.ndarray, "*draw entry entry"]:
    """Each kernel or its mirror image: the one in which the labelled direction of the first two times agrees."""
    first, second = slice(0, problem.patterns), slice(problem.patterns, 2 * problem.patterns)
    agrees = LABELS @ kernels[..., first, second] @ LABELS >= 0
    signs = (-1.0) ** np.add.outer(problem.time_of, problem.time_of)
    return np.where(agrees[..., None, None], kernels, signs * kernels)


KERNELS = Experiment(
    id="mean_field.kernels",
    says="Weak labels give both networks the same kernels, strong ones tie times of the recurrent one",
    asks=(
        Measurement(
            id="mean_field.representation", says="Kernels, and how much times correlate", measure=representation
        ),
    ),
    case=represented,
    grid=dict(
        network=tuple(NETWORKS), how=(THEORY, SAMPLED), factor=(0.5, 4.0), width=(128,), draws=(1000,), seed=(0,)
    ),
    sizes=dict(
        ci=dict(how=(THEORY,)),
        paper={},
        cluster=dict(factor=(0.5, 0.8, 1.2, 2.0, 4.0, 8.0), width=(2048,), draws=(5000,)),
    ),
    plot=Plot(x="factor", by=("network", "how"), x_label="signal over that of the transition"),
)

# ---------------------------------------------------------------- which times to label

AMPLITUDE, TIMES, PERIOD = 3.0, 8, 8


def scheduled(network: str, phases: int, labels: int) -> Case | None:
    """A sine over eight times, or also a cosine as a second pattern; kappa = 0.05; all schedules of so many labels.

    A feedforward network answers 0 whatever the schedule, which is asked at both ends alone.
    """
    if not NETWORKS[network] and labels not in (1, TIMES - 1):
        return None
    return Case(shared=NETWORKS[network], phases=phases, labels=labels)


def schedules(case: Case) -> tuple[Estimate, ...]:
    """Errors of all schedules, lowest first, their mean and their median."""
    angles = 2 * np.pi * (np.arange(TIMES) + 0.5) / PERIOD
    targets = AMPLITUDE * np.stack([np.sin(angles), np.cos(angles)])[None, : case.phases]
    errors = np.array(list(schedule_errors(targets, case.labels, noise=0.05, shared=case.shared).values()))
    told = (("mean over schedules", errors.mean()), ("median over schedules", np.median(errors)))
    numbers = (Estimate(HELD_OUT_ERROR, float(value), part=part, source="our derivation") for part, value in told)
    return *numbers, curve(HELD_OUT_ERRORS, errors, first=1)


SCHEDULES = Experiment(
    id="mean_field.schedules",
    says="A recurrent network continues a sine from few well-placed labels, a feedforward one never",
    asks=(Measurement(id="mean_field.schedule_errors", says="Errors at times without labels", measure=schedules),),
    case=scheduled,
    grid=dict(network=tuple(NETWORKS), phases=(1, 2), labels=(1, 2, 3, 4, 5, 6, 7)),
    sizes=dict(ci=dict(phases=(1,), labels=(7,)), paper={}, cluster={}),
    plot=Plot(x="labels", by=("network", "phases"), x_label="labelled times of eight"),
)

# ---------------------------------------------------------------- depth


def depth(times: int) -> Case:
    """A chain without noise."""
    return Case(times=times)


def atlas(case: Case) -> tuple[Estimate, ...]:
    """Fold, Maxwell point and spinodal."""
    found = landmarks(case.times)
    named = {"fold": found.fold, "Maxwell point": found.maxwell, "spinodal": found.spinodal}
    return tuple(Estimate(CRITICAL_SIGNAL, value, part=part, source="our derivation") for part, value in named.items())


ATLAS = Experiment(
    id="mean_field.depth_atlas",
    says="Deep chains turn coherent at weak signals, and from five times on by a jump",
    asks=(Measurement(id="mean_field.landmarks", says="Where chains turn coherent", measure=atlas),),
    case=depth,
    grid=dict(times=tuple(range(3, 21))),
    sizes=dict(ci=dict(times=(3, 4, 5, 6)), paper={}, cluster=dict(times=tuple(range(3, 31)))),
    plot=Plot(x="times", x_label="times", log_y=True),
)

# ---------------------------------------------------------------- pictures

Sides = tuple[Float[np.ndarray, "_ pixel"], Bool[np.ndarray, " _"]]


def pictured(network: str, amplitude: float, pictures: int, times: int) -> Case:
    """Handwritten digits as a pulse, even ones labelled +amplitude and odd ones -amplitude at the end; kappa = 1."""
    return Case(shared=NETWORKS[network], amplitude=amplitude, pictures=pictures, times=times)


def standardised() -> tuple[Sides, Sides]:
    """Pixels less the mean picture to learn from, of mean square 1; and which digits are even."""
    learnt = Digits().pictures[0][0]
    mean, size = learnt.mean(0), np.sqrt(learnt.var(0).mean())
    first, second = (((x - mean) / size, classes % 2 == 0) for x, classes in Digits().pictures)
    return first, second


def classified(case: Case) -> tuple[Estimate, ...]:
    """The ridge the network sets itself, and the share of test pictures on the right side."""
    (inputs, even), (fresh, wanted) = standardised()
    inputs, labels = inputs[: case.pictures], case.amplitude * np.where(even[: case.pictures], 1.0, -1.0)
    found = endpoint_of_inputs(inputs, labels, case.times, noise=1.0, shared=case.shared)
    right = (found.predict(fresh @ inputs.T / inputs.shape[1]) > 0) == wanted
    share = float(right.mean())
    spread = float(np.sqrt(share * (1 - share) / len(right)))
    return (
        Estimate(RIDGE, found.ridge, statistics={"coherent": found.ground.coherent}, source="our derivation"),
        Estimate(RECALL_ACCURACY, share, spread, source="a mean over pictures"),
    )


PICTURES = Experiment(
    id="mean_field.digits",
    says="A coherent recurrent network has a smaller ridge than a feedforward one, and is right as often",
    asks=(Measurement(id="mean_field.classified", says="Ridges, and digits told even from odd", measure=classified),),
    case=pictured,
    grid=dict(
        network=tuple(NETWORKS),
        amplitude=(0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0),
        pictures=(60, 1437),
        times=(4,),
    ),
    sizes=dict(ci=dict(amplitude=(0.03, 1.0), pictures=(60,)), paper={}, cluster=dict(times=(3, 4, 6, 8))),
    plot=Plot(x="amplitude", by=("pictures", "network", "times"), x_label="size of the labels"),
)

EXPERIMENTS = (KERNELS, *mean_field_sampled.EXPERIMENTS, SCHEDULES, ATLAS, PICTURES)
