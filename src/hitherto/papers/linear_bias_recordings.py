"""Real recordings for wide linear RNNs: what the packages ship, and files of the user's own."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.names import known
from hitherto.core.quantity import Estimate
from hitherto.papers.linear_bias_networks import Response, drawn, equations_of, r2_of, train_network
from hitherto.papers.linear_bias_training import rate_for
from hitherto.tasks.forecast import Forecast
from hitherto.tasks.spikes import GrasshopperSpikes
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_equations import NormalEquations, finite
from hitherto.theory.linear_bias_training import descent, limit, training_modes

MEMORY = 64  # bins of the grasshopper's regressions; 32 years of sunspots
BEFORE, AFTER = 6, 6  # bins around the present that are read of a recorded file
FOLDS = 10  # of a recorded file
LEARNING, ASIDE, TEST = range(3)  # what a bin is for


class Regression(NamedTuple):
    """Rows x[t], x[t-1], ... of all inputs, and targets."""

    rows: Float[np.ndarray, "row weight"]
    targets: Float[np.ndarray, "row output"]
    inputs: int

    @property
    def equations(self) -> NormalEquations:
        """What training knows of it."""
        return equations_of(*self)

    @property
    def variance(self) -> float:
        """Of the targets, all channels together."""
        return float(self.targets.var(axis=0).sum())


class Recording(NamedTuple):
    """Spike counts and what is decoded from them, bin by bin."""

    spikes: Float[np.ndarray, "bin neuron"]
    outputs: Float[np.ndarray, "bin output"]


def neural_recording(path: Path | str) -> Recording:
    """Reads `spikes` (bins, neurons) and `outputs` (bins, channels) from an .npz file of plain numbers.

    The recordings that are distributed for neural decoding are pickles, which can run code when they are opened. They
    are never opened here: convert them where you trust them, by `numpy.savez("s1.npz", spikes=..., outputs=...)`.

    Raises:
        ValueError: for another kind of file, arrays of objects, missing names, other shapes, NaN or infinities.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(
            f"a recording was asked for from {path.name}, which is no .npz file; pickles can run code and are never "
            "opened, nor are .mat files: convert it where you trust it, by numpy.savez(name, spikes=..., outputs=...)"
        )
    with np.load(path, allow_pickle=False) as file:
        for name in Recording._fields:
            known(name, file.files, f"array of {path.name}")
        try:
            spikes, outputs = (np.asarray(file[name], float) for name in Recording._fields)
        except ValueError as error:
            raise ValueError(f"{path.name} holds objects, not numbers ({error}); save float arrays") from error
    if spikes.ndim != 2 or outputs.ndim != 2 or len(spikes) != len(outputs):
        raise ValueError(
            f"a recording holds spikes (bins, neurons) and outputs (bins, channels), found {spikes.shape} and "
            f"{outputs.shape} in {path.name}; save both with one row a bin"
        )
    return Recording(finite("spikes", spikes), finite("outputs", outputs))


def decoding(
    recording: Recording, fold: int = FOLDS - 1, before: int = BEFORE, after: int = AFTER
) -> tuple[Regression, Regression]:
    """To learn from and to test on: outputs from the bins around them, lag 0 being the latest that is read.

    A tenth of the bins is the test, the tenth before it stands aside (those who choose settings do it there), and the
    other eight are to learn from. A window that reaches into another part is left out. Inputs are standardised and
    outputs centred by the bins to learn from; silent neurons stay at 0.
    """
    parts = np.full(len(recording.spikes), LEARNING)
    tenths = np.array_split(np.arange(len(parts)), FOLDS)
    parts[tenths[fold - 1]], parts[tenths[fold]] = ASIDE, TEST
    learning = parts == LEARNING
    spikes = recording.spikes - recording.spikes[learning].mean(axis=0)
    spread = recording.spikes[learning].std(axis=0)
    spikes = np.divide(spikes, spread, out=np.zeros_like(spikes), where=spread > 0)
    windows = np.lib.stride_tricks.sliding_window_view(spikes, before + 1 + after, axis=0)[:, :, ::-1]
    rows = windows.transpose(0, 2, 1).reshape(len(windows), -1)
    targets = (recording.outputs - recording.outputs[learning].mean(axis=0))[before : len(spikes) - after]
    read = np.lib.stride_tricks.sliding_window_view(parts, before + 1 + after)
    whole = [(read == part).all(axis=1) for part in (LEARNING, TEST)]
    return tuple(Regression(rows[part], targets[part], spikes.shape[1]) for part in whole)  # type: ignore[return-value]


@cache
def regressions(source: str, horizon: int, fold: int) -> tuple[Regression, Regression]:
    """To learn from and to test on; the horizon is a delay in ms, or years ahead, and 0 for a file."""
    if source.endswith(".npz"):
        return decoding(neural_recording(source), fold)
    return tuple(map(_whole, _parts(source, horizon)))  # type: ignore[return-value]


def _parts(source: str, horizon: int) -> list[GrasshopperSpikes] | list[Forecast]:
    if known(source, SOURCES, "recording") == "sunspots":
        about = dict(horizon=horizon, length=32, memory=32, validation=0.0)
        return [Forecast("sunspots", part=part, **about) for part in ("train", "test")]  # type: ignore[arg-type]
    about = dict(recording=int(source[-1]), delay=horizon, length=MEMORY, memory=MEMORY, validation=0.0)
    return [GrasshopperSpikes(part=part, **about) for part in ("train", "test")]  # type: ignore[arg-type]


def _whole(task: GrasshopperSpikes | Forecast) -> Regression:
    """All windows of a part, each asked at its last step."""
    found = task.sample(task.size, seed=0)
    return Regression(found.inputs[:, ::-1, 0], found.targets[:, -1], 1)


SOURCES = ("grasshopper 1", "grasshopper 2", "sunspots")
LEARNERS: dict[str, Gaussian | None] = {  # the start, None for a plain convolution
    "nu_W = 0.3": Gaussian(0.3),
    "nu_W = 0.6": Gaussian(0.6),
    "nu_W = 0.9": Gaussian(0.9),
    "convolution": None,
}
LEAST_SQUARES, TRAINED = "least squares", "RNN, nu_W = 0.6"


def learnt(learner: str, equations: NormalEquations, steps: int, width: int, seed: int) -> Response:
    """The response after gradient descent from 0 at the rate 1 / lam_max, in closed form but for the RNN."""
    start = Gaussian(0.6) if learner == TRAINED else LEARNERS.get(learner)
    prior = lag_weights(start, equations.lags) if start else np.ones(equations.lags)
    if learner == TRAINED:
        network = drawn(Gaussian(0.6), width, seed, equations.inputs)
        rate = rate_for(equations, prior, 1.0)
        return train_network(network, equations, rate, steps, centred=True).responses[-1]
    modes = training_modes(equations, prior)
    filtered = limit(modes) if learner == LEAST_SQUARES else descent(modes, rate_for(equations, prior, 1.0), steps)
    return modes.response(filtered)


def decoded(case: Case) -> Estimate:
    """On the part that is held out."""
    train, test = regressions(case.source, case.horizon, case.fold)
    response = learnt(case.learner, train.equations, case.steps, case.width, case.seed)
    return r2_of(test.equations, response, test.variance)


def recorded(learner: str, source: str, horizon: int, steps: int, width: int, seed: int, fold: int) -> Case | None:
    """One learner on one recording; width and seed matter to the RNN alone, steps not to least squares, folds to files.

    The spikes of the grasshopper and the sunspots have one split, that of their vectors.
    """
    forecast, whole_file = source == "sunspots", source.endswith(".npz")
    if (forecast and horizon not in (1, 5)) or (whole_file and horizon) or (learner != TRAINED and seed):
        return None
    if fold != FOLDS - 1 and not whole_file:
        return None
    if (learner == TRAINED or not forecast) and steps != STEPS[1]:
        return None
    return Case(learner=learner, source=source, horizon=horizon, steps=steps, width=width, seed=seed, fold=fold)


STEPS = (10, 100, 1000, 10_000)
REAL = Experiment(
    id="linear_bias.recordings",
    says="Spikes and sunspots: a short memory prior misses what lies far back, and helps where data are few",
    asks=(Measurement(id="linear_bias.decoded", says="R^2 on the part of a recording held out", measure=decoded),),
    case=recorded,
    grid=dict(
        learner=(*LEARNERS, LEAST_SQUARES, TRAINED),
        source=SOURCES,
        horizon=(0, 1, 5, 6, 10, 15, 20, 30),
        steps=STEPS,
        width=(400,),
        seed=(0, 1, 2),
        fold=tuple(range(FOLDS)),
    ),
    sizes=dict(
        ci=dict(learner=("nu_W = 0.3", "convolution"), source=("sunspots",), horizon=(1,), steps=(100,), seed=(0,)),
        paper=dict(width=(400,)),
        cluster=dict(source=(*SOURCES, "s1.npz"), width=(400, 1600), seed=tuple(range(10))),
    ),
    plot=Plot(x="horizon", by=("source", "steps", "learner"), x_label="delay (ms), or years ahead"),
)
EXPERIMENTS = (REAL,)
