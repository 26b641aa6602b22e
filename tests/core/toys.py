"""Claims and experiments that take milliseconds, for tests of the engine."""

import math
import os
import signal
import time
from pathlib import Path

import numpy as np

from hitherto.core.claim import Case, Claim, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Paper, Source

SQUARE = Quantity("square", "n^2")
SPREAD = Quantity("spread", "n over a lag", "", ("lag",))
PAPER = Paper("euclid", "Elements", ("Euclid of Alexandria",), -300)


def case(n: int, seed: int = 0) -> Case:
    """A number."""
    return Case(None, n=n, seed=seed)


def covered(case: Case) -> str | None:
    """Numbers up to a thousand."""
    return None if case.n <= 1000 else f"{case.n} is above 1000"


def square(case: Case) -> Estimate:
    """n^2 as a product."""
    return Estimate(SQUARE, case.n * case.n, standard_error=0.0)


def odd_sum(case: Case) -> Estimate:
    """n^2 as a sum of odd numbers."""
    return Estimate(SQUARE, sum(range(1, 2 * case.n, 2)), standard_error=0.0)


def slow_sum(case: Case) -> Estimate:
    """The same, and a while of honest work."""
    end = time.process_time() + 0.02
    while time.process_time() < end:
        math.sqrt(case.n)
    return odd_sum(case)


def fragile_sum(case: Case) -> Estimate:
    """Raises for 13."""
    if case.n == 13:
        raise ArithmeticError("thirteen is not served")
    return odd_sum(case)


def deadly_sum(case: Case) -> Estimate:
    """Kills its process for 7, once: a file remembers."""
    mark = Path(os.environ["TOY_MARK"])
    if case.n == 7 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return odd_sum(case)


def spread(case: Case) -> tuple[Estimate, ...]:
    """A curve and a number from the same work."""
    lags = np.arange(case.n)
    return Estimate(SPREAD, lags / 2, axes={"lag": lags}), odd_sum(case)


def claim(name: str, measure) -> Claim:
    """A claim that the measured square is n^2."""
    return Claim(
        id=f"toy.{name}",
        says="Odd numbers add up to squares.",
        source=Source(PAPER, "VII"),
        quantity=SQUARE,
        relation="==",
        hypotheses=covered,
        predict=square,
        measure=measure,
        smallest=case(3),
    )


SQUARES = claim("squares", odd_sum)
SPREADS = Measurement("toy.spread", "a curve", spread)


def experiment(*asks, n=range(1, 6), id: str = "toy.squares", **changes) -> Experiment:
    """A grid of numbers."""
    grid = dict(n=tuple(n), seed=(0,))
    sizes = dict(ci={}, paper=dict(n=(9,)))
    return Experiment(id, "squares", asks or (SQUARES,), case, grid | changes, sizes, Plot("n"))
