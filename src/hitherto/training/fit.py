"""Training: the only optimiser loop."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from hitherto.core.model import Architecture, Model, Weights, build, precision
from hitherto.core.task import Sequences, Task
from hitherto.training._course import Course, Job, Store, train
from hitherto.training._loop import DIVERGED, RUNNING, STOPPED, Program, Run, compiled
from hitherto.training._losses import Scores
from hitherto.training._optimiser import factors_of
from hitherto.training.batches import on_device, validation_set
from hitherto.training.progress import Show
from hitherto.training.settings import METRICS, Training, check_positive, check_whole

Start = Architecture | Model | Callable[[int], Model]
_STATUS = {RUNNING: "finished", STOPPED: "stopped", DIVERGED: "diverged"}


@dataclass(frozen=True, eq=False)
class Fit:
    """One trained model and how it came about.

    Attributes:
        seed, learning_rate: of this run.
        status: `finished` all steps; `stopped` early for lack of improvement; `diverged` where a training loss, a
            gradient or a validation loss was not finite.
        steps: updates made. A diverged run met what was not finite after these.
        best, best_step: the weights of lowest validation loss, and after how many updates they were reached.
        last: the weights after the last update.
        train_loss: loss of the batch of each step, before its update. A diverged run's may have one entry more than
            updates, the loss that is not finite.
        evaluated_at: after how many updates the scores were taken.
        scores: on the validation set: `loss`, and the metrics asked for.
    """

    seed: int
    learning_rate: float
    status: Literal["finished", "stopped", "diverged"]
    steps: int
    best: Model
    best_step: int
    last: Model
    train_loss: Float[np.ndarray, " step"]
    evaluated_at: Int[np.ndarray, " evaluation"]
    scores: Mapping[str, Float[np.ndarray, " evaluation"]]

    @property
    def best_scores(self) -> dict[str, float]:
        """The scores of the best weights."""
        at = int(np.searchsorted(self.evaluated_at, self.best_step))
        return {name: float(curve[at]) for name, curve in self.scores.items()}


def fit(
    start: Start,
    task: Task,
    training: Training,
    seed: int = 0,
    *,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    progress: Show | None = None,
) -> Fit:
    """Train one model: `sweep` with one seed, at the learning rate of `training`."""
    options: dict[str, Any] = dict(checkpoint=checkpoint, checkpoint_every=checkpoint_every, progress=progress)
    return sweep(start, task, training, (seed,), **options)[0]


def sweep(
    start: Start,
    task: Task,
    training: Training,
    seeds: Sequence[int] = (0,),
    learning_rates: Sequence[float] | None = None,
    *,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    progress: Show | None = None,
) -> tuple[Fit, ...]:
    """Train one model for each seed and learning rate, all at once in one compiled program.

    The loss is the task's, mean over asked steps. A step is: the gradient of a batch, clipping, the optimiser, the
    learning-rate factors, `architecture.project`. A run that diverges or stops early keeps its weights from then on
    and does not disturb the others; training ends when all runs have ended.

    Args:
        start: an architecture, whose weights are drawn as `build(architecture, seed)` draws them; a model, with whose
            weights all runs start; or seed -> model, such as `copy_start` and `orthogonal_start` give.
        seeds: of the weights and of the training data: `batches.batch_seed` for fresh batches, `batches.order` for a
            fixed training set. That set and the validation set are the same for all runs.
        learning_rates: in place of the one in `training`.
        checkpoint: a file that keeps the state after each validation, every `checkpoint_every` steps if given, and at
            the end. If it is there, training goes on from it and gives, to the last bit, what it would have given
            without the interruption; a finished training is only read.
        progress: called about every 32 steps; `progress.shown` makes one that draws a bar.
    Returns:
        A result for each seed and learning rate, seeds outermost; weights as NumPy arrays.
    Raises:
        ValueError: if the sizes of model and task differ; seeds or rates are missing, repeated or impossible; a metric
            or a learning-rate factor does not apply; the checkpoint is damaged, newer, or of another training.

    Cost: all runs are computed side by side until the last has ended, so memory and time of a step grow with them.
    """
    rates = (training.learning_rate,) if learning_rates is None else tuple(learning_rates)
    _check_runs(seeds, rates)
    if checkpoint_every is not None:
        check_whole("checkpoint_every", checkpoint_every, 1)
    runs = tuple((seed, rate) for seed in seeds for rate in rates)
    with precision(training.dtype):
        job = _job(start, task, training, runs)
        every = checkpoint_every or training.steps
        store = None if checkpoint is None else Store(Path(checkpoint), _identity(job), every)
        course = store.resumed(job) if store else job.beginning()
        train(job, course, store, progress)
    return _results(job, course)


def _job(start: Start, task: Task, training: Training, runs: tuple[tuple[int, float], ...]) -> Job:
    models = [_started(start, seed, training.dtype) for seed, _ in runs]
    architecture = _shared(models)
    held_out = validation_set(task, training)
    _check_task(architecture, task, training, held_out)
    weights = _stacked([model.weights for model in models])
    factors_of(training, weights)  # refuses names that no weight has
    program = Program(architecture, task.loss, compiled(training))
    return Job(program, training, task, runs, weights, on_device(held_out, training.dtype))


def _started(start: Start, seed: int, dtype: str) -> Model:
    if isinstance(start, Architecture):
        model = build(start, seed, dtype)
    else:
        model = start if isinstance(start, Model) else start(seed)
    return Model(model.architecture, jax.tree.map(lambda w: np.asarray(w, _kind(w, dtype)), model.weights))


def _shared(models: list[Model]) -> Architecture:
    """The architecture of all runs."""
    first, *others = [model.architecture for model in models]
    for other in others:
        if other != first:
            raise ValueError(f"all runs of a sweep share one architecture, got {first} and {other}; sweep each alone")
    return first


def _kind(weight: Any, dtype: str) -> np.dtype:
    """`dtype`, or its complex twin for complex weights; whole numbers stay."""
    if not eqx.is_inexact_array(weight):
        return weight.dtype
    return np.result_type(dtype, np.complex64) if np.iscomplexobj(weight) else np.dtype(dtype)


def _stacked(trees: list[Weights]) -> Weights:
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees)


def _identity(job: Job) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued."""
    digest = hashlib.sha256(b"".join(np.asarray(w).tobytes() for w in jax.tree.leaves(job.weights)))
    made_of = dict(architecture=repr(job.program.architecture), task=repr(job.task), weights=digest.hexdigest())
    return made_of | asdict(job.training) | dict(learning_rate=[rate for _, rate in job.runs], seed=job.seeds)


def _results(job: Job, course: Course) -> tuple[Fit, ...]:
    ends, curves = jax.tree.map(np.asarray, course.runs._replace(memory=None)), course.curves
    return tuple(
        _result(job, number, jax.tree.map(lambda leaf, number=number: leaf[number], ends), curves)
        for number in range(len(job.runs))
    )


def _result(job: Job, number: int, end: Run, curves: dict[str, np.ndarray]) -> Fit:
    steps, every = job.training.steps, job.training.validate_every
    at = np.array([*range(0, steps, every), steps])[: len(curves["scores"])]
    known = at <= end.steps
    seed, rate = job.runs[number]
    return Fit(
        seed=seed,
        learning_rate=rate,
        status=_STATUS[int(end.status)],
        steps=int(end.steps),
        best=Model(job.program.architecture, end.best),
        best_step=int(end.best_step),
        last=Model(job.program.architecture, end.weights),
        train_loss=curves["losses"][: end.recorded, number],
        evaluated_at=at[known],
        scores=_named(job, Scores(*curves["scores"][known, :, number].T)),
    )


def _named(job: Job, scores: Scores) -> dict[str, np.ndarray]:
    """The scores that are wanted, by name."""
    known = scores._asdict()
    if "explained" in job.training.metrics:
        known["explained"] = 1 - scores.loss / _variance(job.held_out)
    always = ("loss", "accuracy") if job.task.loss == "cross_entropy" else ("loss",)
    return {name: known[name] for name in dict.fromkeys((*always, *job.training.metrics))}


def _variance(held_out: Sequences) -> float:
    """Of the targets at asked steps, mean over channels."""
    return float(np.asarray(held_out.targets)[np.asarray(held_out.mask) != 0].var(0).mean())


def _check_runs(seeds: Sequence[int], rates: Sequence[float]) -> None:
    for name, values in (("seed", seeds), ("learning rate", rates)):
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"a sweep needs at least one {name} and each once, got {list(values)}; give different ones"
            )
    for seed in seeds:
        check_whole("seed", seed, 0)
    for rate in rates:
        check_positive("learning_rate", rate)


def _check_task(architecture: Architecture, task: Task, training: Training, held_out: Sequences) -> None:
    for end, own, wanted in (
        ("input", architecture.input_size, task.input_size),
        ("output", architecture.output_size, task.output_size),
    ):
        if own != wanted:
            raise ValueError(
                f"the task has {wanted} {end} channels, {architecture} has {own}; give it {end}s of {wanted} channels"
            )
    for metric in training.metrics:
        if METRICS[metric] != task.loss:
            raise ValueError(
                f"{metric} is a metric of {METRICS[metric]} tasks, this one's loss is {task.loss}; leave it out"
            )
    _check_sequences(task, held_out)


def _check_sequences(task: Task, held_out: Sequences) -> None:
    inputs, targets, mask = held_out
    wanted = mask.shape if task.loss == "cross_entropy" else (*mask.shape, task.output_size)
    if inputs.shape != (*mask.shape, task.input_size) or targets.shape != wanted:
        raise ValueError(
            f"for a mask {mask.shape} and loss {task.loss} the task should give inputs "
            f"{(*mask.shape, task.input_size)} and targets {wanted}, got {inputs.shape} and {targets.shape}; correct "
            "its `sample`"
        )
    classes = targets[mask] if task.loss == "cross_entropy" else np.zeros(1)
    if not mask.any() or classes.min() < 0 or classes.max() >= max(task.output_size, 1):
        raise ValueError(
            f"the task should ask for steps, with classes 0 to {task.output_size - 1}, got {int(mask.sum())} asked "
            f"steps and classes {np.unique(classes)[:10]}; correct its `sample`"
        )
