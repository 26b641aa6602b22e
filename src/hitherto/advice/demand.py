"""The memory that data ask for: what longer contexts add to a prediction, against the same data shuffled in blocks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.advice import amounts
from hitherto.advice import symbols as streams
from hitherto.advice.gains import RIDGE, Gain, Interval, ago, chosen, lag_of, lagged, shuffled
from hitherto.advice.request import Request
from hitherto.core.quantity import plain

COLUMNS, ROWS_A_COLUMN = 500, 8  # of a fit, at most, and rows for each at least
FEWEST_ROWS, MOST_ROWS = 200, 20_000
LONGEST = 256  # lags
FEW_VALUES = 128  # whole numbers of no more values may be symbols
HANKEL_DRAWS, RESOLVED = 20, 0.01  # of the largest singular value
ONE_EACH = "Advice is for a channel a symbol; an embedding in fewer numbers wants fewer states."
NO_SUMS = (
    "Not tried: sums over single symbols, of which there are too many for so few steps. Whether a linear model is "
    "enough is not known."
)
KINDS = {"linear": "sums", "contexts": "contexts of symbols"}  # the others are called what they are


@dataclass(frozen=True, eq=False)
class MemoryDemand:
    """What data ask of a memory.

    Attributes:
        lag: oldest input that is worth having, in steps before the newest; None where no input helps. Its value has 95%
            of what can be gained; low: the shortest context that may have it; high: the shortest beyond which nothing
            more is found.
        kind: name of the gain that the lag is read from; None without a lag.
        rank: states that the linear part needs: singular values of its Hankel matrix above what noise in the filter
            alone gives; low: above twice that; high: those of a delay line. None without a linear
            part, or where noise hides it.
        nonlinear: whether products or squares of numbers, or contexts of symbols, add what no sum does.
        gains: by kind of features; the linear one is first, where it was tried.
        information: mutual information of answer and input by lag, nats, of the strongest pair of channels.
        information_error: standard error, by jackknife over blocks.
        information_chance: 95% of the shuffled runs have no more at any lag.
        reach: the longest lag that was looked at for gains.
        channels, samples: of the inputs, and steps that were used; of symbols, how many there are.
        symbols: whether the inputs were taken as symbols: gains are then shares of the entropy of the answers.
        notes: sentences on what was not tried, and on what the numbers may be.
    """

    lag: Interval | None
    kind: str | None
    rank: Interval | None
    nonlinear: bool
    gains: tuple[Gain, ...]
    information: Float[np.ndarray, " lag"]
    information_error: Float[np.ndarray, " lag"]
    information_chance: float
    reach: int
    channels: int
    samples: int
    symbols: bool = False
    notes: tuple[str, ...] = ()

    @property
    def wanted(self) -> int:
        """The lag that advice is for, 0 for none: the high end where the newest input has 95%, and others much more."""
        return 0 if self.lag is None else self._gain.wanted(self.lag)

    @property
    def told(self) -> int | None:
        """The longest lag at which an input surely has information on the answer by itself; None where none has."""
        above = np.flatnonzero(self.information - 2 * self.information_error > self.information_chance)
        return int(above[-1]) if len(above) else None

    @property
    def sentence(self) -> str:
        """The demand in words."""
        if self.lag is None:
            return "No input helps, by these features: the data ask for no memory."
        parts = [self._worth]
        if self._gain.improves(self.lag):
            left = 1 - self._gain.value[self.lag.value]
            parts.append(
                f"older ones bring what is left of the {'entropy' if self.symbols else 'variance'} from {left:.2g} to "
                f"{self._gain.least:.2g}"
            )
        if self.nonlinear:
            more = (
                "contexts of symbols add to what sums give"
                if self.symbols
                else "squares or products of inputs add to it"
            )
            parts.append(f"{more}, so that a linear model is not enough")
        elif self.rank is not None:
            parts.append(
                f"the linear part needs {_count(self.rank.value, 'state')} ({self.rank.low:,} to {self.rank.high:,})"
            )
        if self.symbols and self.told is not None:
            last = ", the longest looked at" if self.told == len(self.information) - 1 else ""
            parts.append(
                f"a symbol tells of answers up to {self.told:,} steps later{last}, but others may tell the same"
            )
        return f"{'; '.join(parts)}."

    @property
    def _gain(self) -> Gain:
        return next(gain for gain in self.gains if gain.name == self.kind)

    @property
    def _worth(self) -> str:
        """Which inputs are worth having, and whether more could not be looked at."""
        lag, last, one = self.lag, self._gain.last, "symbol" if self.symbols else "input"
        assert lag is not None
        more = f", or more: {KINDS.get(self._gain.name, self._gain.name)} were looked at up to lag {last:,}"
        ends = f"({lag.low:,} to {lag.high:,}{more if lag.high >= last else ''})"
        if lag.value == 0:
            return f"The newest {one} alone has 95% of what can be gained {ends}"
        return f"{one.capitalize()}s up to {_count(lag.value, 'step')} before the newest are worth having {ends}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        parts = ("lag", "rank", "gains")
        found = {name: value for name, value in vars(self).items() if name not in parts}
        ends = {name: part and vars(part) for name, part in (("lag", self.lag), ("rank", self.rank))}
        return plain(found) | ends | dict(gains=[plain(vars(gain)) for gain in self.gains], sentence=self.sentence)


def memory_demand(
    inputs: np.ndarray,
    targets: np.ndarray | None = None,
    *,
    symbols: bool = False,
    longest: int | None = None,
    seed: int = 0,
) -> MemoryDemand:
    """How far back, and how many states, a prediction of the targets needs.

    Numbers: features are the inputs of the lags 0..L, their squares, and products of up to two, three and eight of them
    as far back as there are data for. They are fitted by least squares on nine tenths of the time, less what lies next
    to the tenth on which they are scored, by R^2.

    Symbols: features are contexts, the last 1 to 16 symbols together, by counts with five times the back-off of Witten
    and Bell; and sums over single symbols by least squares, as many lags as there are columns for, on the first 20,000
    steps. Both are scored by 1 - H_k / H: H is the entropy of the answers, and H_k what the lags 0..k leave of it.

    The null pairs the answers of each block of time with the inputs of another, which keeps what each series does by
    itself.

    Args:
        inputs: numbers (time), (time, channel) or (sequence, time, channel), of which the first 20,000 steps are used;
            or symbols (time) or (sequence, time), of which the first 200,000 are.
        targets: of the same form; None for the next step of the inputs.
        symbols: whether whole numbers name symbols, as characters or tokens do. They are amounts by default, since
            counts, prices and 16-bit sound are whole numbers as well, and no array tells them from names.
        longest: lag that is looked at; by default as far as there are data for, at most 256.
        seed: of the shuffles.
    Raises:
        ValueError: for shapes that do not fit, numbers that are not finite, constants, fewer than 200 steps, more
            channels than fit in 500 columns and an eighth of the steps at two lags, or what is no symbol.

    Cost: columns^2 x steps for up to 500 columns of each of five kinds of features: seconds. Symbols: a sort of the
    steps for each length of context and each of 20 to 40 runs: 100,000 characters of text take some fifteen seconds.
    Does not tell: memory that none of these features show, such as a parity of far inputs, or contexts too long to come
    again in so many symbols; nor that of a series that is not stationary.
    Source: our derivation; Cholesky factors of leading blocks, Witten-Bell back-off and the correction of Miller and
    Madow are textbook.
    """
    longest = LONGEST if longest is None else longest
    if longest < 1:
        raise ValueError(f"a memory demand was asked for with longest={longest}; give a lag from 1 on")
    if symbols:
        return _of_symbols(*_pair(inputs, targets, streams.codes_of, streams.MOST_SYMBOLS), longest, seed)
    x, y = _pair(inputs, targets, amounts.numbers_of, MOST_ROWS)
    return _of_numbers(x, y, longest, seed, tuple(_doubts(np.asarray(inputs).dtype.kind, x)))


def request_of(demand: MemoryDemand, **wishes: Any) -> Request:
    """What an adviser is to be asked for these data: their lag and, if sums of inputs are enough, their rank.

    Args:
        wishes: further fields of `Request`.
    Raises:
        ValueError: if the data ask for no memory.
    """
    if not demand.wanted:
        raise ValueError(
            f"advice was asked for by data that want no recurrence. {' '.join([demand.sentence, *demand.notes])} Give "
            f"--lag for advice"
        )
    rank = None if demand.rank is None or demand.nonlinear else max(1, demand.rank.value)
    return Request(demand.wanted, demand.channels, rank, nonlinear=demand.nonlinear, **wishes)


def _pair(
    inputs: np.ndarray, targets: np.ndarray | None, read: Callable[[str, np.ndarray], np.ndarray], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of inputs and of targets, as many as are used; without targets, the next step."""
    x = _long(read("inputs", inputs))
    y = x[:, 1:] if targets is None else _long(read("targets", targets))
    x = x[:, :-1] if targets is None else x
    if y.shape[:2] != x.shape[:2]:
        raise ValueError(f"targets need the sequences and steps of the inputs, got {y.shape} for {x.shape}; align them")
    return _first(x, most), _first(y, most)


def _long(found: np.ndarray) -> np.ndarray:
    if found.shape[0] * found.shape[1] >= FEWEST_ROWS and found.shape[1] >= 8:
        return found
    raise ValueError(
        f"a memory demand needs {FEWEST_ROWS} steps or more, and 8 a sequence, got {found.shape[0]:,} x "
        f"{found.shape[1]:,}; give a longer series"
    )


def _first(found: np.ndarray, most: int) -> np.ndarray:
    """As many steps as are used."""
    length = min(found.shape[1], most)
    return found[: max(1, most // length), :length]


def _columns(samples: int) -> int:
    """How many may be fitted."""
    return min(COLUMNS, samples // ROWS_A_COLUMN)


def _of_numbers(
    x: amounts.Series, y: amounts.Answers, longest: int, seed: int, doubts: tuple[str, ...]
) -> MemoryDemand:
    channels, samples = x.shape[2], x.shape[0] * x.shape[1]
    most = _columns(samples)
    if 2 * channels > most:
        raise ValueError(
            f"a memory demand was asked for of {channels:,} channels over {samples:,} steps, and two lags of them are "
            f"more than the {most:,} columns that can be fitted; give {most // 2:,} channels or fewer, or of one-hot "
            f"symbols the codes with symbols=True (--symbols)"
        )
    # Squares double the columns: where not even two lags of them fit, sums go back further without.
    reach = min(longest, x.shape[1] // 4, most // (2 * channels if 4 * channels <= most else channels) - 1)
    columns, answers = lagged(amounts.standard(x), reach), ago(amounts.standard(y), 0, reach)
    runs = shuffled(answers, reach, np.random.default_rng(seed))
    fits = amounts.by_products(columns, runs, channels, most)
    decisive = chosen(fits[0], fits[1:])
    lag = decisive and lag_of(decisive, fits[0])
    information, error, chance = amounts.information(columns, runs, channels, min(reach, amounts.BINNED_LAGS))
    return MemoryDemand(
        lag=lag,
        kind=decisive and decisive.gain.name,
        rank=_rank(columns, answers, channels, decisive.gain.wanted(lag), seed) if lag and fits[0].found else None,
        nonlinear=decisive not in (None, fits[0]),
        gains=tuple(fit.gain for fit in fits),
        information=information,
        information_error=error,
        information_chance=chance,
        reach=reach,
        channels=channels,
        samples=samples,
        notes=(*amounts.untried(fits, channels, most), *doubts),
    )


def _doubts(kind: str, x: amounts.Series) -> Iterator[str]:
    """Whether numbers may be symbols."""
    values = np.unique(x)
    if x.shape[2] > 1 and set(values) == {0, 1} and (x.sum(2) == 1).all():
        yield "The inputs are one-hot. Their codes with symbols=True (--symbols) are judged by contexts as well."
    elif kind in "iu" and x.shape[2] == 1 and len(values) <= FEW_VALUES:
        yield (
            f"Whole numbers of {len(values)} values were taken as amounts. If they name symbols, characters or tokens, "
            f"ask with symbols=True (--symbols)."
        )


def _of_symbols(x: streams.Codes, y: streams.Codes, longest: int, seed: int) -> MemoryDemand:
    rng, farthest = np.random.default_rng(seed), min(longest, x.shape[1] // 4)
    contexts = streams.by_contexts(x, y, farthest, rng)
    early = streams.numbered(_first(x, MOST_ROWS)), streams.numbered(_first(y, MOST_ROWS))
    reach = _lags_of_sums(*early, farthest)
    linear = streams.by_sums(*early, reach, rng) if reach else None
    decisive, nonlinear = contexts if contexts.found else None, False
    if linear is not None:  # kinds are compared on the same steps
        alike = contexts if x.size <= MOST_ROWS else streams.by_contexts(*early, farthest, rng)
        best = chosen(linear, [alike])
        decisive, nonlinear = linear if best is linear else decisive, best is alike and contexts.found
    lag = decisive and lag_of(decisive, linear)
    rank = None
    if lag and linear is not None and linear.found:
        columns, answers = streams.columns_of(early[0], reach), streams.indicators(early[1], reach)[0]
        rank = _rank(columns, answers, int(early[0].max()), decisive.gain.wanted(lag), seed)
    fits = [fit for fit in (linear, contexts) if fit is not None]
    information, error, chance = streams.information(x, y, farthest, rng)
    return MemoryDemand(
        lag=lag,
        kind=decisive and decisive.gain.name,
        rank=rank,
        nonlinear=nonlinear,
        gains=tuple(fit.gain for fit in fits),
        information=information,
        information_error=error,
        information_chance=chance,
        reach=max(fit.gain.last for fit in fits),
        channels=int(x.max()) + 1,
        samples=x.size,
        symbols=True,
        notes=(NO_SUMS,) * (linear is None) + (ONE_EACH,) * (lag is not None),
    )


def _lags_of_sums(x: streams.Codes, y: streams.Codes, farthest: int) -> int:
    """How far back all symbols but one, which the others give, have columns; 0 where there is nothing to fit."""
    others = int(x.max())
    return max(0, min(farthest, _columns(x.size) // others - 1)) if others and y.max() else 0


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _rank(
    lagged: Float[np.ndarray, "row column"],
    answers: Float[np.ndarray, "row channel"],
    channels: int,
    lag: int,
    seed: int,
) -> Interval | None:
    """Singular values of the Hankel matrix (g_(i+j)) of the filter above those of its noise alone, if any are."""
    columns = lagged[:, : (lag + 1) * channels]
    gram = columns.T @ columns
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    taps = np.linalg.solve(gram, columns.T @ answers)
    noise = np.square(answers - columns @ taps).mean(0)
    errors = np.sqrt(np.diagonal(np.linalg.inv(gram))[:, None] * noise)
    rng = np.random.default_rng(seed)
    draws = [_singular(rng.standard_normal(taps.shape) * errors, channels)[0] for _ in range(HANKEL_DRAWS)]
    values = _singular(taps, channels)
    level = max(float(np.quantile(draws, 0.95)), RESOLVED * values[0])
    found = int((values > level).sum())
    return Interval(found, int((values > 2 * level).sum()), len(values)) if found else None


def _singular(taps: Float[np.ndarray, "column output"], channels: int) -> Float[np.ndarray, " value"]:
    """Of the block Hankel matrix; taps beyond the last are 0."""
    lags, outputs = len(taps) // channels, taps.shape[1]
    padded = np.zeros((2 * lags - 1, channels, outputs))
    padded[:lags] = taps.reshape(lags, channels, outputs)
    places = np.arange(lags)[:, None] + np.arange(lags)
    blocks = padded[places].transpose(0, 3, 1, 2).reshape(lags * outputs, lags * channels)
    return np.linalg.svd(blocks, compute_uv=False)
