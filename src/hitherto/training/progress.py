"""How far a training is, and a bar that shows it."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step, steps: updates made, and the most there will be.
        running, runs: runs that still go on, of all.
        loss: training loss at the last step, the median over the runs that went on.
        rate: steps per second, all runs together counted once; 0 until it is known.
    """

    step: int
    steps: int
    running: int
    runs: int
    loss: float
    rate: float

    @property
    def seconds_left(self) -> float:
        """Until the last step at the present rate; infinite until the rate is known."""
        return (self.steps - self.step) / self.rate if self.rate else math.inf

    def __str__(self) -> str:
        """`step 320 of 1000, loss 0.0123, 410 steps/s, 2 s left`, with the runs if there are several."""
        runs = f"{self.running} of {self.runs} runs, " if self.runs > 1 else ""
        speed = f", {self.rate:.3g} steps/s, {self.seconds_left:.0f} s left" if self.rate else ""
        return f"step {self.step} of {self.steps}, {runs}loss {self.loss:.4g}{speed}"


Show = Callable[[Progress], None]


@contextmanager
def shown(every: float = 10.0) -> Iterator[Show]:
    """A `progress` for `fit`: a bar on a terminal, else a plain line each `every` seconds, both on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines(every)


@contextmanager
def _bar(console: Any) -> Iterator[Show]:
    from rich import progress as rich

    columns = (rich.BarColumn(), rich.TextColumn("{task.description}"))
    with rich.Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda p: bar.update(task, completed=p.step, total=p.steps, description=str(p))


def _lines(every: float) -> Show:
    from time import monotonic

    due = monotonic()

    def show(progress: Progress) -> None:
        nonlocal due
        if monotonic() >= due or progress.step == progress.steps:
            due = monotonic() + every
            print(f"hitherto: {progress}", file=sys.stderr, flush=True)

    return show
