"""Forecasts of measured series: laser intensity, electricity demand, sunspots."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hitherto.core.names import known
from hitherto.tasks._checks import at_least
from hitherto.tasks._data import Recording, data_file


def _laser() -> np.ndarray:
    return np.load(data_file("reservoirpy", "reservoirpy/datasets/santafe_laser.npy"), allow_pickle=False)[:, 0]


def _electricity() -> np.ndarray:
    # The numbers stand in a Python file, which is parsed and not run: importing it would need pandas.
    tree = ast.parse(Path(data_file("pmdarima", "pmdarima/datasets/taylor.py")).read_text("utf-8"))
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
    return np.array(ast.literal_eval(max(lists, key=lambda node: len(node.elts))))


def _sunspots() -> np.ndarray:
    path = data_file("statsmodels", "statsmodels/datasets/sunspots/sunspots.csv")
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)


# name: reader, first step that belongs to the test part
SERIES: dict[str, tuple[Callable[[], np.ndarray], int]] = {
    "laser": (_laser, 8074),
    "electricity": (_electricity, 3225),
    "sunspots": (_sunspots, 150),
}


@dataclass(frozen=True)
class Forecast(Recording):
    """y[t] = x[t + horizon] of a measured series, standardised by mean and deviation of its steps before the test part.

    A step belongs to the part in which its target lies: the test part begins at the step named below, the last
    `validation` share of what is before it is for validation, the rest for training.

    Attributes:
        series_name: "laser", intensity of a chaotic far-infrared laser, 10,093 steps, test from 8,074 (Santa Fe
            competition, set A; ships with reservoirpy); "electricity", half-hourly demand in England and Wales, 4,032
            steps, test from 3,225 (Taylor 2003; ships with pmdarima); "sunspots", yearly numbers from 1700, 309 steps,
            test from 150 (ships with statsmodels).
        horizon: steps ahead.
        length, memory: steps of a window, of which those from step `memory` on are asked.
        part, validation: which part; share of the training steps that is kept for validation.
    """

    series_name: str = "laser"
    horizon: int = 1
    length: int = 128
    memory: int = 32
    part: str = "train"
    validation: float = 0.1

    def __post_init__(self) -> None:
        known(self.series_name, SERIES, "series")
        at_least(1, "0 steps ahead is the present", horizon=self.horizon)
        if self.horizon >= (test_from := SERIES[self.series_name][1]):
            raise ValueError(
                f"{self.horizon} steps ahead leave nothing to learn from: the test of {self.series_name} begins at "
                f"step {test_from}; take a smaller horizon"
            )
        Recording.__post_init__(self)

    @property
    def series(self) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
        """The series, and itself `horizon` steps later (0 where it has ended, never asked)."""
        values = _standardised(self.series_name)
        later = np.zeros(values.shape)
        later[: len(values) - self.horizon] = values[self.horizon :]
        return values, later

    @property
    def steps(self) -> tuple[range, range]:
        """Full windows with a target, by where the target lies."""
        first, last = self.memory - 1, len(_standardised(self.series_name)) - self.horizon
        test = max(SERIES[self.series_name][1] - self.horizon, first)
        return range(first, test), range(test, last)

    @property
    def references(self) -> dict[str, float]:
        """`mean` answers the mean of the part, `persistence` the present value; over all steps of the part once."""
        present, later = (values[self.asked_steps] for values in self.series)
        return {"mean": float(later.var()), "persistence": float(((later - present) ** 2).mean())}


@cache
def _standardised(name: str) -> Float[np.ndarray, " time"]:
    read, test_from = SERIES[name]
    values = read().astype(float)
    return (values - values[:test_from].mean()) / values[:test_from].std()
