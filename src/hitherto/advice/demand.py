"""The memory that data ask for: what longer contexts add to a prediction, against the same data shuffled in blocks.

Contexts of every length are fitted at once. With columns ordered by their oldest lag, a context is a leading block of
them, the Cholesky factor R^T R of the Gram matrix of all holds the factors of every leading block, and the columns of
X R^-1 are the same for all contexts that have them: the prediction of a longer one adds terms to that of a shorter one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

from hitherto.advice.request import Request
from hitherto.core.quantity import plain

FOLDS, SHUFFLES = 10, 39
STUDENT = 2.262  # 97.5% of Student's t with nine degrees of freedom
SHARE = 0.95  # of what can be gained at all
LEAST_GAIN = 0.01  # of R^2: less is no demand, however significant
RIDGE = 1e-6  # of the mean square of the columns
COLUMNS, ROWS_A_COLUMN = 500, 8  # of a fit, at most, and rows for each at least
FEWEST_ROWS, MOST_ROWS = 200, 20_000
CLIP = 5.0  # standard deviations
LONGEST = 256  # lags
DEGREES = (2, 3, 8)  # of the products that are tried
BINS, BINNED_LAGS, BINNED_CHANNELS, BINNED_ROWS = 6, 64, 2, 5000
HANKEL_DRAWS, RESOLVED = 20, 0.01  # of the largest singular value

Series = Float[np.ndarray, "sequence time channel"]
Answers = Float[np.ndarray, "sequence time answer"]
Runs = Float[np.ndarray, "row run answer"]


@dataclass(frozen=True)
class Interval:
    """A whole number with the ends of its interval."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Gain:
    """R^2 on held-out blocks by context.

    Attributes:
        name: `linear`, `squares`, or `products of n`.
        value, standard_error: for the lags 0..0, 0..1, ..., over blocks.
        chance: 95% of the shuffled runs gain no more at any context.
    """

    name: str
    value: Float[np.ndarray, " lag"]
    standard_error: Float[np.ndarray, " lag"]
    chance: float


@dataclass(frozen=True, eq=False)
class MemoryDemand:
    """What data ask of a memory.

    Attributes:
        lag: oldest input that is worth having, in steps before the newest; None where no input helps. Its value has 95%
            of what can be gained; low: the shortest context that may have it; high: the shortest beyond which nothing
            more is found.
        rank: states that the linear part needs: singular values of its Hankel matrix above what noise in the filter
            alone gives; low: above twice that; high: those of a delay line. None without a linear part.
        nonlinear: whether products or squares of inputs add what no sum does.
        gains: by kind of features.
        information: mutual information of answer and input by lag, nats, of the strongest pair of channels.
        information_error: standard error, by jackknife over blocks.
        information_chance: 95% of the shuffled runs have no more at any lag.
        reach: the longest lag that was looked at.
        channels, samples: of the inputs, and steps that were used.
    """

    lag: Interval | None
    rank: Interval | None
    nonlinear: bool
    gains: tuple[Gain, ...]
    information: Float[np.ndarray, " lag"]
    information_error: Float[np.ndarray, " lag"]
    information_chance: float
    reach: int
    channels: int
    samples: int

    @property
    def sentence(self) -> str:
        """The demand in words."""
        if self.lag is None:
            return "No input helps, by these features: the data ask for no memory."
        lag, more = self.lag, " or more, the longest looked at" if self.lag.high == self.reach else ""
        parts = [
            f"inputs up to {lag.value:,} steps before the newest are worth having ({lag.low:,} to {lag.high:,}{more})"
        ]
        if self.rank is not None:
            parts.append(f"the linear part needs {self.rank.value:,} states ({self.rank.low:,} to {self.rank.high:,})")
        if self.nonlinear:
            parts.append("squares or products of inputs add to it, so that a linear model is not enough")
        text = "; ".join(parts)
        return f"{text[0].upper()}{text[1:]}."

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
    longest: int | None = None,
    seed: int = 0,
) -> MemoryDemand:
    """How far back, and how many states, a prediction of the targets needs.

    Features are the inputs of the lags 0..L, their squares, and products of up to two, three and eight of them as far
    back as there are data for. They are fitted by least squares on nine tenths of the time, less what lies next to the
    tenth on which they are scored. The null pairs the answers of each block of time with the inputs of another, which
    keeps what each series does by itself.

    Args:
        inputs: (time), (time, channel) or (sequence, time, channel); the first 20,000 steps are used.
        targets: of the same form; None for the next step of the inputs.
        longest: lag that is looked at; by default as far as there are data for, at most 256.
        seed: of the shuffles.
    Raises:
        ValueError: for shapes that do not fit, numbers that are not finite, constants, or fewer than 200 steps.

    Cost: columns^2 x steps for up to 500 columns of each of five kinds of features: seconds.
    Does not tell: memory that none of these features show, such as a parity of far inputs; nor that of a series that is
    not stationary.
    Source: our derivation; Cholesky factors of leading blocks are textbook.
    """
    x, y = _pair(inputs, targets)
    channels, samples = x.shape[2], x.shape[0] * x.shape[1]
    most = min(COLUMNS, samples // ROWS_A_COLUMN)
    reach = min(longest or LONGEST, x.shape[1] // 4, max(1, most // (2 * channels) - 1))
    lagged, answers = _lagged(_standard(x), reach), _standard(y)[:, reach:].reshape(-1, y.shape[2])
    runs = _shuffles(answers, reach, np.random.default_rng(seed))
    fits = [_fitted(kind, lagged, runs, reach) for kind in _kinds(reach, channels, most)]
    lag, nonlinear = _lag(fits)
    information, error, chance = _information(lagged, runs, channels, min(reach, BINNED_LAGS))
    return MemoryDemand(
        lag=lag,
        rank=None if lag is None or not fits[0].found else _rank(lagged, answers, channels, lag.value, seed),
        nonlinear=nonlinear,
        gains=tuple(fit.gain for fit in fits),
        information=information,
        information_error=error,
        information_chance=chance,
        reach=reach,
        channels=channels,
        samples=samples,
    )


def request_of(demand: MemoryDemand, **wishes: Any) -> Request:
    """What an adviser is to be asked for these data: their lag and, if sums of inputs are enough, their rank.

    Args:
        wishes: further fields of `Request`.
    Raises:
        ValueError: if the data ask for no memory.
    """
    if demand.lag is None or demand.lag.value < 1:
        raise ValueError(
            f"advice was asked for by data that want no recurrence. {demand.sentence} Give --lag for advice"
        )
    rank = None if demand.rank is None or demand.nonlinear else max(1, demand.rank.value)
    return Request(demand.lag.value, demand.channels, rank, nonlinear=demand.nonlinear, **wishes)


@dataclass(frozen=True)
class _Kind:
    """Products of columns, by their oldest lag, and how many there are up to each lag."""

    name: str
    terms: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Fit:
    """A gain, and what is left of the variance by block and context."""

    gain: Gain
    left: Float[np.ndarray, "block lag"]

    @property
    def best(self) -> int:
        """Context of the largest gain."""
        return int(np.argmax(self.gain.value))

    @property
    def top(self) -> float:
        """The largest gain."""
        return float(self.gain.value.max())

    @property
    def found(self) -> bool:
        """Whether there is more than chance gives, and enough to speak of."""
        return self.top > max(LEAST_GAIN, self.gain.chance)


def _pair(inputs: np.ndarray, targets: np.ndarray | None) -> tuple[Series, Answers]:
    """Sequences of inputs and of targets, as many as are used; without targets, the next step."""
    x = _sequences("inputs", inputs)
    y = x[:, 1:] if targets is None else _sequences("targets", targets)
    x = x[:, :-1] if targets is None else x
    if y.shape[:2] != x.shape[:2]:
        raise ValueError(f"targets need the sequences and steps of the inputs, got {y.shape} for {x.shape}; align them")
    length = min(x.shape[1], MOST_ROWS)
    count = max(1, MOST_ROWS // length)
    return x[:count, :length], y[:count, :length]


def _sequences(name: str, given: np.ndarray) -> Series:
    found = np.asarray(given)
    if found.dtype.kind not in "iufb" or not 1 <= found.ndim <= 3:
        raise ValueError(
            f"{name} must be real numbers (time), (time, channel) or (sequence, time, channel), got "
            f"{found.dtype} of shape {found.shape}"
        )
    found = found.astype(float)
    found = found[None, :, None] if found.ndim == 1 else found[None] if found.ndim == 2 else found
    if not np.isfinite(found).all():
        raise ValueError(f"{name} hold NaN or infinities; fill or cut them")
    if found.shape[0] * found.shape[1] < FEWEST_ROWS or found.shape[1] < 8:
        raise ValueError(f"a memory demand needs {FEWEST_ROWS} steps or more, got {name} of shape {found.shape}")
    return found


def _standard(series: Series) -> Series:
    """Mean 0 and variance 1 by channel, without far outliers."""
    deviation = series.std((0, 1))
    if not (deviation > 0).any():
        raise ValueError("a memory demand was asked for, and the series is constant; give one that varies")
    return np.clip((series - series.mean((0, 1))) / np.where(deviation > 0, deviation, 1), -CLIP, CLIP)


def _lagged(x: Series, reach: int) -> Float[np.ndarray, "row column"]:
    """Inputs of the lags 0..reach, channel by channel within a lag."""
    steps = x.shape[1] - reach
    columns = [x[:, reach - lag : reach - lag + steps] for lag in range(reach + 1)]
    return np.concatenate(columns, -1).reshape(-1, (reach + 1) * x.shape[2])


def _kinds(reach: int, channels: int, most: int) -> Iterator[_Kind]:
    """What is tried, each kind as far back as `most` columns go."""
    single = [(column,) for column in range((reach + 1) * channels)]
    yield _kind("linear", single, channels)
    yield _kind("squares", [*single, *((column, column) for (column,) in single)], channels)
    for degree in DEGREES:
        inputs = _affordable(degree, most, len(single), channels)
        terms = [term for size in range(1, degree + 1) for term in combinations(range(inputs), size)]
        yield _kind(f"products of {degree}", [*terms, *((c, c) for c in range(inputs))], channels)


def _kind(name: str, terms: list[tuple[int, ...]], channels: int) -> _Kind:
    lags = sorted(max(term) // channels for term in terms)
    ends = np.searchsorted(lags, np.arange(lags[-1] + 1), side="right")
    return _Kind(name, tuple(sorted(terms, key=lambda term: (max(term) // channels, term))), tuple(ends.tolist()))


def _affordable(degree: int, most: int, columns: int, channels: int) -> int:
    """The largest number of inputs, whole lags of all channels, whose products and squares are not too many."""
    inputs = channels
    while inputs + channels <= columns and _products(inputs + channels, degree) <= most:
        inputs += channels
    return inputs


def _products(inputs: int, degree: int) -> int:
    return inputs + sum(math.comb(inputs, size) for size in range(1, degree + 1))


def _shuffles(answers: Float[np.ndarray, "row channel"], reach: int, rng: np.random.Generator) -> Runs:
    """The answers, and runs in which blocks of them have changed places; none stays where it was."""
    blocks = max(FOLDS, min(40, len(answers) // (4 * (reach + 1))))
    size = len(answers) // blocks
    places = np.arange(len(answers))
    runs = [answers]
    for _ in range(SHUFFLES):
        order = rng.permutation(blocks)
        order = np.where(order == np.arange(blocks), (order + 1) % blocks, order)
        moved = places.copy()
        moved[: blocks * size] = (order[:, None] * size + np.arange(size)).ravel()
        runs.append(answers[moved])
    return np.stack(runs, 1)


def _fitted(kind: _Kind, lagged: Float[np.ndarray, "row column"], runs: Runs, reach: int) -> _Fit:
    """R^2 by context of one kind of features, of the data and of the shuffled runs."""
    features = np.stack([lagged[:, list(term)].prod(1) for term in kind.terms], 1)
    features -= features.mean(0)
    flat, channels = runs.reshape(len(runs), -1), runs.shape[2]
    whole = features.T @ features, features.T @ flat
    blocks = np.array_split(np.arange(len(flat)), FOLDS)
    losses = np.stack([_losses(features, flat, whole, kind.ends, block, reach) for block in blocks])
    left = losses.reshape(*losses.shape[:2], -1, channels).sum(3) / flat[:, :channels].var(0).sum()
    gains = 1 - left.mean(0)
    error = left[:, :, 0].std(0, ddof=1) / math.sqrt(FOLDS)
    chance = float(np.quantile(gains[:, 1:].max(0), 0.95))
    return _Fit(Gain(kind.name, gains[:, 0], error, chance), left[:, :, 0])


def _losses(
    features: Float[np.ndarray, "row column"],
    answers: Float[np.ndarray, "row run"],
    whole: tuple[np.ndarray, np.ndarray],
    ends: tuple[int, ...],
    block: Int[np.ndarray, " tested"],
    gap: int,
) -> Float[np.ndarray, "lag run"]:
    """Mean squared errors on a block, by context, of fits to all that is not within `gap` rows of it."""
    near = slice(max(0, block[0] - gap), block[-1] + gap + 1)
    gram, moment = whole[0] - features[near].T @ features[near], whole[1] - features[near].T @ answers[near]
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    factor = np.linalg.cholesky(gram)
    weights = solve_triangular(factor, moment, lower=True)
    tested = solve_triangular(factor, features[block].T, lower=True)
    rest, found, start = answers[block].copy(), [], 0
    for end in ends:
        rest -= tested[start:end].T @ weights[start:end]
        found.append(np.square(rest).mean(0))
        start = end
    return np.array(found)


def _lag(fits: list[_Fit]) -> tuple[Interval | None, bool]:
    """The context that is worth having, and whether squares or products are."""
    linear, *others = fits
    best = max((fit for fit in others if fit.found), key=lambda fit: fit.top, default=None)
    nonlinear = best is not None and best.top > linear.top + LEAST_GAIN and _better(best, linear)
    if best is None or not nonlinear:
        return (_interval(linear), False) if linear.found else (None, False)
    lag = _interval(best)
    high = max(lag.high, _interval(linear).high) if linear.found else lag.high
    return Interval(lag.value, lag.low, high), True


def _better(fit: _Fit, other: _Fit) -> bool:
    """Whether a fit leaves less, block by block."""
    return bool(_surely_positive(other.left[:, [other.best]] - fit.left[:, [fit.best]])[0])


def _interval(fit: _Fit) -> Interval:
    gains, most = 1 - fit.left, 1 - fit.left[:, [fit.best]]
    value = int(np.argmax(fit.gain.value >= SHARE * fit.top))
    low = int(np.argmax(~_surely_positive(SHARE * most - gains)))
    high = int(np.argmax(~_surely_positive(most - gains)))
    return Interval(value, min(low, value), max(high, value))


def _surely_positive(differences: Float[np.ndarray, "block case"]) -> Bool[np.ndarray, " case"]:
    mean, error = differences.mean(0), differences.std(0, ddof=1) / math.sqrt(FOLDS)
    return mean > STUDENT * error + np.finfo(float).eps


def _rank(
    lagged: Float[np.ndarray, "row column"],
    answers: Float[np.ndarray, "row channel"],
    channels: int,
    lag: int,
    seed: int,
) -> Interval:
    """Singular values of the Hankel matrix (g_(i+j)) of the fitted filter, against those of its noise alone."""
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
    return Interval(int((values > level).sum()), int((values > 2 * level).sum()), len(values))


def _singular(taps: Float[np.ndarray, "column output"], channels: int) -> Float[np.ndarray, " value"]:
    """Of the block Hankel matrix; taps beyond the last are 0."""
    lags, outputs = len(taps) // channels, taps.shape[1]
    padded = np.zeros((2 * lags - 1, channels, outputs))
    padded[:lags] = taps.reshape(lags, channels, outputs)
    places = np.arange(lags)[:, None] + np.arange(lags)
    blocks = padded[places].transpose(0, 3, 1, 2).reshape(lags * outputs, lags * channels)
    return np.linalg.svd(blocks, compute_uv=False)


def _information(
    lagged: Float[np.ndarray, "row column"], runs: Runs, channels: int, reach: int
) -> tuple[Float[np.ndarray, " lag"], Float[np.ndarray, " lag"], float]:
    """Mutual information by lag of the strongest pair of the first channels, its error, and what chance gives."""
    rows = min(len(lagged), BINNED_ROWS) // FOLDS * FOLDS
    answers = _bins(runs[:rows, :, :BINNED_CHANNELS].reshape(rows, -1))
    found = []
    for lag in range(reach + 1):
        for channel in range(min(channels, BINNED_CHANNELS)):
            given = _bins(lagged[:rows, [lag * channels + channel]])
            found.append(_shared(np.swapaxes(_by_block(given), 1, 2) @ _by_block(answers), runs.shape[1]))
    every = np.array(found).reshape(reach + 1, -1, *found[0].shape).max((1, 4))  # lag, left out, run
    whole, without = every[:, 0], every[:, 1:, 0]
    error = np.sqrt((FOLDS - 1) * without.var(1))
    return whole[:, 0], error, float(np.quantile(whole[:, 1:].max(0), 0.95))


def _bins(columns: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column_bin"]:
    """Which of six equally filled bins each number is in, as ones and zeros."""
    edges = np.quantile(columns, np.arange(1, BINS) / BINS, axis=0)
    places = (columns[:, :, None] > edges.T).sum(2)
    return np.eye(BINS)[places].reshape(len(columns), -1)


def _by_block(columns: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "block rest column"]:
    return columns.reshape(FOLDS, -1, columns.shape[1])


def _shared(counts: Float[np.ndarray, "block bin other"], runs: int) -> Float[np.ndarray, "left_out run channel"]:
    """Mutual information from counts by block: of all blocks first, then without each; less the bias of bins."""
    total = counts.sum(0)
    tables = np.concatenate([total[None], total - counts]).reshape(len(counts) + 1, BINS, runs, -1, BINS)
    count = tables.sum((1, 4))
    joint = tables / count[:, None, :, :, None]
    apart = joint.sum(1, keepdims=True) * joint.sum(4, keepdims=True)
    ratio = np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0)
    return (joint * np.log(ratio)).sum((1, 4)) - (BINS - 1) ** 2 / (2 * count)
