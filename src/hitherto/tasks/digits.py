"""Pictures read one pixel a step, row after row or in a fixed random order."""

import abc
import gzip
import struct
from dataclasses import dataclass
from functools import cache
from math import log, prod
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from hitherto.core.names import known
from hitherto.core.task import Demand, Sequences
from hitherto.tasks._checks import at_least
from hitherto.tasks._data import PARTS, RealData, choose, data_file

PERMUTATION_SEED = 92916  # of the published experiments with permuted pixels
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
LARGEST = 2**28  # pixels in a file
DIGITS_TO_LEARN = 1437

Pictures = tuple[UInt8[np.ndarray, "_ _"], UInt8[np.ndarray, " _"]]  # (picture, pixel) and (picture)


class Pixels(RealData):
    """Class of a picture among ten, asked at its last pixel; inputs from 0 to 1.

    The first `validation` of the pictures to learn from are for validation, the others for training.
    """

    permuted: bool
    part: str
    validation: int
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        known(self.part, PARTS, "part")
        at_least(0, "0 keeps all pictures for training", validation=self.validation)

    @property
    @abc.abstractmethod
    def brightest(self) -> int:
        """Value of a full pixel."""

    @property
    @abc.abstractmethod
    def pictures(self) -> tuple[Pictures, Pictures]:
        """Pixels and classes: to learn from, and to test on."""

    @property
    def part_pictures(self) -> Pictures:
        """Pixels and classes of the part, pixels in the order of the data."""
        learning, test = self.pictures
        rows = {"train": slice(self.validation, None), "validation": slice(self.validation), "test": slice(None)}
        pixels, classes = test if self.part == "test" else learning
        return pixels[rows[self.part]], classes[rows[self.part]]

    @property
    def size(self) -> int:
        """Pictures of the part."""
        return len(self.part_pictures[1])

    @property
    def length(self) -> int:
        """Pixels of a picture."""
        return self.pictures[0][0].shape[1]

    @property
    def order(self) -> Int[np.ndarray, " pixel"]:
        """Which pixel comes at each step: 0, 1, ..., or `RandomState(92916).permutation(length)`."""
        if not self.permuted:
            return np.arange(self.length)
        return np.random.RandomState(PERMUTATION_SEED).permutation(self.length)

    @property
    def input_size(self) -> int:
        """One pixel a step."""
        return 1

    @property
    def output_size(self) -> int:
        """Classes."""
        return 10

    @property
    def demand(self) -> Demand:
        """Not known for pictures; at most all pixels."""
        return Demand(lag=self.length - 1, reason="pictures; every pixel may matter and the last one is asked")

    @property
    def references(self) -> dict[str, float]:
        """`chance` guesses among ten; `frequencies` knows the share of each class in the part: their entropy."""
        shares = np.unique(self.part_pictures[1], return_counts=True)[1] / max(self.size, 1)
        return {"chance": log(10), "frequencies": float(-(shares * np.log(shares)).sum())}

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` different pictures of the part."""
        pixels, classes = self.part_pictures
        chosen = choose(count, self.size, self.part, seed)
        inputs = pixels[chosen][:, self.order] / self.brightest
        targets, asked = np.zeros(inputs.shape, int), np.zeros(inputs.shape, bool)
        targets[:, -1], asked[:, -1] = classes[chosen], True
        return Sequences(inputs[..., None], targets, asked)


@dataclass(frozen=True)
class Digits(Pixels):
    """Handwritten digits of 8 x 8 pixels, 64 steps: 1,437 to learn from, then 360 to test on, in the order of the data.

    They ship with scikit-learn (1,797 pictures, 16 grey levels and black).
    """

    permuted: bool = False
    part: str = "train"
    validation: int = 180

    @property
    def brightest(self) -> int:
        """Value of a full pixel."""
        return 16

    @property
    def pictures(self) -> tuple[Pictures, Pictures]:
        """The pictures to learn from, and those of the test."""
        return _digits()


@dataclass(frozen=True)
class FashionMNIST(Pixels):
    """Pictures of clothes, 28 x 28 pixels, 784 steps: 60,000 to learn from, 10,000 to test on.

    They ship with the Debian package dataset-fashion-mnist.

    Attributes:
        validation: 4,992 as in the published experiments.
        folder: where the four files lie. Any folder of gzipped IDX files with the same names will do, such as MNIST's.
    """

    permuted: bool = False
    part: str = "train"
    validation: int = 4992
    folder: str = DEBIAN_FOLDER

    @property
    def brightest(self) -> int:
        """Value of a full pixel."""
        return 255

    @property
    def pictures(self) -> tuple[Pictures, Pictures]:
        """The pictures to learn from, and those of the test."""
        return _idx_pictures(self.folder, "train"), _idx_pictures(self.folder, "t10k")


@cache
def _digits() -> tuple[Pictures, Pictures]:
    table = np.loadtxt(data_file("scikit-learn", "sklearn/datasets/data/digits.csv.gz"), delimiter=",", dtype=np.uint8)
    learning, test = table[:DIGITS_TO_LEARN], table[DIGITS_TO_LEARN:]
    return (learning[:, :-1], learning[:, -1]), (test[:, :-1], test[:, -1])


@cache
def _idx_pictures(folder: str, name: str) -> Pictures:
    pixels = read_idx(Path(folder) / f"{name}-images-idx3-ubyte.gz")
    classes = read_idx(Path(folder) / f"{name}-labels-idx1-ubyte.gz")
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1] or classes.max(initial=0) > 9:
        raise ValueError(
            f"{folder} holds pictures of shape {pixels.shape} and labels of shape {classes.shape} up to "
            f"{classes.max(initial=0)}; give files (picture, row, column) and (picture) with labels 0 to 9"
        )
    return pixels.reshape(len(pixels), -1), classes


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """A gzipped IDX file of bytes: 0, 0, 8, number of axes, their sizes as 32-bit big-endian integers, the values.

    Raises:
        FileNotFoundError: if it is not there, with what to install.
        ValueError: if it is not such a file, or is larger than 2^28 values; no more than that is unpacked.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: apt-get install dataset-fashion-mnist, or give the folder of the files as `folder`"
        )
    try:
        with gzip.open(path) as file:
            magic = file.read(4)
            shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3])) if magic[:3] == b"\0\0\x08" else ()
            size = prod(shape) if shape else 0
            data = file.read(size + 1) if size <= LARGEST else b""
    except (OSError, EOFError, struct.error, IndexError) as error:
        raise ValueError(f"{path} is not a gzipped IDX file ({error}); get the original file again") from error
    if not shape or len(data) != size:
        raise ValueError(f"{path} is not an IDX file of bytes: sizes {shape}, {len(data)} values; get the file again")
    return np.frombuffer(data, np.uint8).reshape(shape)
