"""Trained networks beside the theory of unitary twins: slowly varying systems, and permuted pictures.

The published settings are those of the paper's poster and scripts; where they are replaced, a docstring says by what.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hitherto.architectures.gated import LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.model import Architecture, Model, build
from hitherto.core.quantity import EXPLAINED_POWER, EXPLAINED_POWER_LAST, Estimate, Quantity
from hitherto.core.task import Sequences
from hitherto.measures.recall_accuracy import recall_accuracy
from hitherto.measures.task_loss import task_loss
from hitherto.papers.unitary_demonstrations import converted_teacher
from hitherto.tasks.digits import Digits, FashionMNIST
from hitherto.tasks.teacher import SlowTeacher
from hitherto.training.fit import fit, sweep
from hitherto.training.settings import Training

# ---------------------------------------------------------------- networks

FRAMEWORK = "keras"  # W orthogonal, input and readout weights Glorot-uniform, biases 0, as the scripts have them
LEARNERS: dict[str, Callable[[int, int, int], Architecture]] = {  # inputs, width, outputs -> network
    "RNN": lambda inputs, width, outputs: RNN(inputs, width, outputs, "relu", initialisation=FRAMEWORK),
    "contractive RNN": lambda inputs, width, outputs: RNN(
        inputs, width, outputs, "relu", initialisation=FRAMEWORK, norm_limit=1.0
    ),
    "URNN": lambda inputs, width, outputs: UnitaryRNN(inputs, width, outputs, "projection"),
    "URNN by exponentials": lambda inputs, width, outputs: UnitaryRNN(inputs, width, outputs, "exponential"),
    "LSTM": lambda inputs, width, outputs: LSTM(inputs, width, outputs, initialisation=FRAMEWORK),
}


def started(architecture: Architecture) -> Callable[[int], Model]:
    """seed -> fresh model; a URNN starts from the weights of the RNN of this seed, as far as it has the same."""
    if not isinstance(architecture, UnitaryRNN):
        return lambda seed: build(architecture, seed)
    size = architecture.input_size, architecture.width, architecture.readout_size

    def start(seed: int) -> Model:
        own, other = build(architecture, seed).weights, build(LEARNERS["RNN"](*size), seed).weights  # type: ignore[arg-type]
        return Model(architecture, own | {name: other[name] for name in own.keys() & other.keys()})

    return start


# ---------------------------------------------------------------- slowly varying systems

CONVERTED = "converted teacher"
TRAIN, TEST, BATCH = 700, 300, 10
TEACHERS = {  # the poster divides by |A|^2, the script does not
    "normalised, 20 dB": dict(normalised=True, snr_db=20.0),
    "script, 20 dB": dict(normalised=False, snr_db=20.0),
    "normalised, 15 dB": dict(normalised=True, snr_db=15.0),
    "script, 15 dB": dict(normalised=False, snr_db=15.0),
}
SETTINGS = {"ours": dict(schedule="cosine", clip=1.0), "published": {}}


def slow(
    learner: str,
    width: int,
    teachers: str,
    length: int,
    epsilon: float,
    settings: str,
    epochs: int,
    starts: int,
    teacher: int,
) -> Case | None:
    """A network that learns from a slow teacher, or the teacher itself as a URNN of twice its states.

    Ours: the best epoch and start are chosen on 300 sequences that are not those of the test; where settings are "ours"
    there are several starts, the rate falls along a cosine, and gradients are clipped. LSTMs are left out at 15 dB, as
    in the paper's figure.
    """
    task = SlowTeacher(epsilon=epsilon, length=length, teacher=teacher, **TEACHERS[teachers])
    if learner == CONVERTED:
        return Case(task=task, learner=learner, seed=teacher) if width == 2 * task.width else None
    if learner == "LSTM" and task.snr_db < 20:
        return None
    epoch = TRAIN // BATCH
    training = Training(
        learning_rate=0.01,
        steps=epochs * epoch,
        batch=BATCH,
        sequences=TRAIN,
        data_seed=teacher,
        validation=TEST,
        validate_every=epoch,
        **SETTINGS[settings],
    )
    network = LEARNERS[learner](task.input_size, width, task.output_size)
    return Case(network, task=task, learner=learner, training=training, starts=starts, seed=teacher)


def explained(case: Case) -> tuple[Estimate, ...]:
    """On fresh sequences: with the weights of the best start and epoch, and with the last of this start."""
    test = case.task.sample(TEST, seed=10**6 + case.seed)
    if case.learner == CONVERTED:
        return (converted(case.task, test),)
    seeds = tuple(range(case.seed * case.starts, (case.seed + 1) * case.starts))
    found = sweep(started(case.architecture), case.task, case.training, seeds)
    chosen = min(found, key=lambda one: one.best_scores["loss"])
    each = [explained_power(one.best, test, EXPLAINED_POWER).value for one in found]
    about = dict(starts=each, statuses=[one.status for one in found], best_step=chosen.best_step)
    return (
        explained_power(chosen.best, test, EXPLAINED_POWER, **about, **optimum(case.task)),
        explained_power(chosen.last, test, EXPLAINED_POWER_LAST),
    )


def explained_power(model: Model, sequences: Sequences, quantity: Quantity, **statistics: object) -> Estimate:
    """1 - loss / mean square of the targets, whose own mean is not taken away."""
    loss, power = task_loss(model, sequences), float(np.square(sequences.targets).mean())
    return Estimate(
        quantity,
        1 - loss.value / power,
        standard_error=loss.standard_error / power,  # type: ignore[operator]
        statistics=statistics,
        source="a mean over sequences",
    )


def optimum(task: SlowTeacher) -> dict[str, float]:
    """1 / (1 + 10^(-snr / 10)), which the teacher itself explains."""
    return {"optimum": 1 - task.references["perfect"] / task.references["zero"]}


def converted(task: SlowTeacher, test: Sequences) -> Estimate:
    """The teacher's unitary twin, exact for all inputs up to the largest of the test."""
    twin, certificate = converted_teacher(task, float(np.linalg.norm(test.inputs, axis=2).max()))
    about = dict(states=certificate.states, outcome=certificate.outcome, gap=certificate.gap)
    return explained_power(twin, test, EXPLAINED_POWER, **about, **optimum(task))


EXPLAINED = Measurement(
    id="unitary.explained",
    says="Share of the teacher's power that a trained network, or the converted teacher, explains",
    measure=explained,
)
SLOW = Experiment(
    id="unitary.slow_systems",
    says="Slowly varying systems: a URNN learns with twice the units what an RNN does; the exact twin has it all",
    asks=(EXPLAINED,),
    case=slow,
    grid=dict(
        learner=("RNN", "URNN", "URNN by exponentials", "LSTM", CONVERTED),
        width=(2, 4, 6, 8, 12),
        teachers=("normalised, 20 dB", "script, 20 dB", "normalised, 15 dB"),
        length=(1000,),
        epsilon=(0.01,),
        settings=("ours",),
        epochs=(20,),
        starts=(3,),
        teacher=(0, 1, 2),
    ),
    sizes=dict(
        ci=dict(
            learner=("RNN", "URNN", CONVERTED),
            width=(8,),
            teachers=("script, 20 dB",),
            length=(200,),
            epsilon=(0.05,),
            epochs=(3,),
            starts=(1,),
            teacher=(0,),
        ),
        paper=dict(width=(2, 4, 8), teachers=("script, 20 dB", "normalised, 15 dB"), teacher=(0, 1)),
        cluster=dict(
            width=(2, 4, 6, 8, 10, 12, 14),
            teachers=tuple(TEACHERS),
            settings=("published",),
            epochs=(100,),
            starts=(1,),
            teacher=tuple(range(30)),
        ),
    ),
    plot=Plot(x="width", by=("teachers", "learner"), x_label="hidden units"),
    settings="the paper's teachers, learners, rate and batch; ours are 20 epochs, three starts, a falling rate, "
    "clipping, and a choice by sequences that are not those of the test; those of size cluster are the paper's",
)

# ---------------------------------------------------------------- permuted pictures

PICTURES = {  # task, pictures to learn from
    "digits": (Digits(permuted=True), 1257),
    "clothes": (FashionMNIST(permuted=True), 4000),
    "mnist": (FashionMNIST(permuted=True, folder="mnist"), 55_008),  # the four files of MNIST in that folder
}
RATES = {  # learner, learning rate
    "URNN, 1e-3": ("URNN", 1e-3),
    "contractive RNN, 1e-3": ("contractive RNN", 1e-3),
    "RNN, 1e-4": ("RNN", 1e-4),
    "RNN, 1e-3": ("RNN", 1e-3),
}


def permuted(model: str, width: int, pictures: str, epochs: int, seed: int) -> Case:
    """RMSProp as published. Ours: a fixed number of epochs and the last weights in place of early stopping, and 4,000
    pictures of clothes in place of the 55,008 digits that are learnt from at size cluster."""
    learner, rate = RATES[model]
    task, count = PICTURES[pictures]
    steps = epochs * (count // 64)
    training = Training(
        optimiser="rmsprop",
        optimiser_settings=(("decay", 0.9),),
        learning_rate=rate,
        steps=steps,
        batch=64,
        sequences=count,
        validation=64,
        validate_every=steps,
    )
    network = LEARNERS[learner](task.input_size, width, task.output_size)
    return Case(network, task=task, training=training, seed=seed)


def recalled(case: Case) -> Estimate:
    """Of the last weights, on pictures of the test."""
    found = fit(started(case.architecture), case.task, case.training, case.seed)
    test = replace(case.task, part="test")
    return recall_accuracy(found.last, test.sample(min(test.size, 1000), seed=10**6 + case.seed))


RECALL = Measurement(
    id="unitary.recall", says="Accuracy on test pictures read pixel by pixel in a fixed random order", measure=recalled
)
PERMUTED = Experiment(
    id="unitary.permuted_digits",
    says="Permuted pictures, of which orderings alone compare: at a high rate constraints keep wide networks trainable",
    asks=(RECALL,),
    case=permuted,
    grid=dict(model=tuple(RATES), width=(16, 32, 48, 64, 80, 96), pictures=("digits",), epochs=(30,), seed=(0,)),
    sizes=dict(
        ci=dict(model=("contractive RNN, 1e-3",), width=(16,), epochs=(1,)),
        paper=dict(width=(16, 64, 96), pictures=("clothes",), epochs=(20,)),
        cluster=dict(pictures=("mnist",), epochs=(100,), seed=(0, 1, 2)),
    ),
    plot=Plot(x="width", by=("pictures", "model"), x_label="hidden units"),
    settings="the paper's optimiser and rates; ours are 4,000 pictures of clothes, 20 epochs and the last weights; the "
    "paper's digits are those of size cluster",
)

EXPERIMENTS = (SLOW, PERMUTED)
