"""The course of a sweep on the host: blocks of steps, validations, checkpoints, progress."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hitherto import files
from hitherto.core.model import Weights
from hitherto.core.task import Sequences, Task
from hitherto.training import _checkpoint
from hitherto.training._loop import RUNNING, Program, Run, advance, begin, evaluate
from hitherto.training.batches import Batches
from hitherto.training.progress import Progress, Show
from hitherto.training.settings import Training


@dataclass
class Course:
    """Where a sweep stands.

    Attributes:
        step: updates made, the same for all runs that go on.
        runs: weights, optimiser memories and states of all runs.
        losses: pieces (step, run) of the training loss, in order.
        scores: the scores (score, run) of each validation.
    """

    step: int
    runs: Run
    losses: list[np.ndarray] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)

    @property
    def running(self) -> int:
        """Runs that go on."""
        return int((np.asarray(self.runs.status) == RUNNING).sum())

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """`losses` (step, run) and `scores` (validation, score, run)."""
        return dict(losses=np.concatenate(self.losses), scores=np.stack(self.scores))


@dataclass(frozen=True, eq=False)
class Job:
    """What a sweep computes; `runs` are pairs of seed and learning rate, each with its start in `weights`."""

    program: Program
    training: Training
    task: Task
    runs: tuple[tuple[int, float], ...]
    weights: Weights
    held_out: Sequences

    @property
    def seeds(self) -> list[int]:
        """Of all runs."""
        return [seed for seed, _ in self.runs]

    @property
    def rates(self) -> Float[Array, " run"]:
        """Of all runs."""
        return jnp.asarray([rate for _, rate in self.runs], self.training.dtype)

    def beginning(self) -> Course:
        """Before the first step, validated once."""
        course = Course(0, begin(self.program, self.weights, self.rates))
        course.losses.append(np.zeros((0, len(self.runs)), self.training.dtype))
        self.validate(course)
        return course

    def validate(self, course: Course) -> None:
        """Append the scores at this step."""
        course.runs, found = evaluate(self.program, course.runs, self.held_out)
        course.scores.append(np.stack([np.asarray(score) for score in found]))


@dataclass(frozen=True)
class Store:
    """The checkpoint of a sweep, written at validations and every `every` steps."""

    path: Path
    identity: dict[str, Any]
    every: int

    def __post_init__(self) -> None:
        files.check_writable(self.path)

    def resumed(self, job: Job) -> Course:
        """Where the checkpoint stands; the beginning if there is none."""
        if not self.path.exists():
            return job.beginning()
        like = begin(job.program, job.weights, job.rates)
        arrays = _checkpoint.load(self.path, self.identity, {*_checkpoint.packed(like), "losses", "scores"})
        runs = _checkpoint.unpacked(like, arrays, self.path)
        return Course(len(arrays["losses"]), runs, [arrays["losses"]], list(arrays["scores"]))

    def keep(self, course: Course) -> None:
        """Write where the sweep stands."""
        _checkpoint.save(self.path, self.identity, _checkpoint.packed(course.runs) | course.curves)


def train(job: Job, course: Course, store: Store | None, show: Show | None) -> None:
    """Take the course to its end."""
    training = job.training
    if course.step == training.steps or not course.running:
        return
    batches = Batches(job.task, training, job.seeds, sum(leaf[0].nbytes for leaf in job.held_out))
    block, rates, report = batches.block(course.step // batches.steps), job.rates, _Report(show, training.steps)
    while course.step < training.steps and course.running:
        end = _next_stop(course.step, training.steps, (batches.steps, training.validate_every, store and store.every))
        first = course.step % batches.steps
        last = first + end - course.step
        course.runs, losses = advance(job.program, course.runs, rates, block, jnp.int32(first), jnp.int32(last))
        if end % batches.steps == 0 and end < training.steps:  # made while the device is at work
            block = batches.block(end // batches.steps)
        course.losses.append(np.asarray(losses)[first:last])
        course.step = end
        _at_stop(job, course, store)
        report(course)


def _next_stop(step: int, steps: int, periods: tuple[int | None, ...]) -> int:
    """The first step after `step` at which something is due."""
    return min(steps, *(step - step % period + period for period in periods if period))


def _at_stop(job: Job, course: Course, store: Store | None) -> None:
    training = job.training
    due = course.step % training.validate_every == 0 or course.step == training.steps
    if due and course.running:
        job.validate(course)
    if store and (due or course.step % store.every == 0 or not course.running):
        store.keep(course)


class _Report:
    """Tells `show` how far a course is; the clock starts after the first piece, which includes compiling."""

    def __init__(self, show: Show | None, steps: int) -> None:
        self.show, self.steps = show, steps
        self.since: tuple[int, float] | None = None

    def __call__(self, course: Course) -> None:
        if self.show is None:
            return
        step, began = self.since = self.since or (course.step, time.perf_counter())
        seconds = time.perf_counter() - began
        losses = course.losses[-1][-1]
        known = losses[~np.isnan(losses)]
        self.show(
            Progress(
                step=course.step,
                steps=self.steps,
                running=course.running,
                runs=len(losses),
                loss=float(np.median(known)) if known.size else float("nan"),
                rate=(course.step - step) / seconds if course.step > step else 0.0,
            )
        )
