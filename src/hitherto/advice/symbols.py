"""What contexts of symbols, and sums over single symbols, add to a prediction of symbols."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy

from hitherto.advice.gains import (
    FEWEST_SHUFFLES,
    FOLDS,
    Fit,
    Loss,
    ago,
    chance_of,
    fit_of,
    lagged,
    least_squares,
    places,
    shuffled,
)

ALPHABET = 256  # different symbols, at most
MOST_SYMBOLS = 200_000  # steps
LONGEST_CONTEXT = 16  # symbols
SELDOM = 0.01  # of the rows: where fewer have a context that comes again, longer ones are not tried
SHARPENING = 0.005  # of a gain: back-off to the same answer makes it surer with every symbol
BACK_OFF = (
    5  # times Witten and Bell's, whose long contexts cost: 4 to 8 gain most on texts of 20,000 to 100,000 letters
)
REST = 0.003  # of each predicted share is the symbol's own: sums may give shares of 0 and below

Codes = Int[np.ndarray, "sequence time"]


def codes_of(name: str, given: np.ndarray) -> Codes:
    """Symbols as 0, 1, ..., without those that do not occur.

    Raises:
        ValueError: for anything but 2 to 256 different whole numbers from 0 on, as (time) or (sequence, time).
    """
    found = np.asarray(given)
    if found.dtype.kind not in "iub" or found.ndim not in (1, 2):
        raise ValueError(
            f"{name} must be symbols, whole numbers of shape (time) or (sequence, time), got {found.dtype} of shape "
            f"{found.shape}; number them by np.unique(list(text), return_inverse=True)[1]"
        )
    if found.size and found.min() < 0:
        raise ValueError(
            f"{name} must be symbols 0, 1, ..., got {found.min()}; cut what marks padding, or number them anew by "
            f"np.unique(codes, return_inverse=True)[1]"
        )
    seen, codes = np.unique(found, return_inverse=True)
    if len(seen) > ALPHABET:
        raise ValueError(
            f"{name} must be of {ALPHABET} different symbols or fewer, got {len(seen):,}; give one code to all rare "
            f"ones, or the bytes in place of tokens; measured amounts are no symbols"
        )
    if len(seen) == 1:
        raise ValueError("a memory demand was asked for, and there is a single symbol; give a stream that varies")
    return np.atleast_2d(codes.reshape(found.shape))


def numbered(codes: Codes) -> Codes:
    """The symbols that occur as 0, 1, ..."""
    return np.unique(codes, return_inverse=True)[1].reshape(codes.shape)


def by_contexts(x: Codes, y: Codes, lags: int, rng: np.random.Generator) -> Fit:
    """Gains of an n-gram model with the back-off of Witten and Bell, by its oldest lag.

    P_k(y | c) = (n(c, y) + 5 d(c) P_(k-1)(y | c')) / (n(c) + 5 d(c)), where the context c of k symbols came n(c) times
    and before d(c) different symbols, c' is c without its oldest symbol, and P_0 backs off to equal shares.
    """
    lags = min(lags, LONGEST_CONTEXT - 1)
    answers = ago(y, 0, lags)
    contexts = list(_contexts(x, lags))
    shares = np.bincount(answers) / len(answers)
    entropy = max(-xlogy(shares, shares).sum(), np.finfo(float).tiny)
    runs = [_surprises(contexts, answers[order], lags) for order in places(len(answers), 1, lags, rng)]
    return fit_of("contexts", np.stack(runs, 2) / entropy, SHARPENING)


def _contexts(x: Codes, lags: int) -> Iterator[tuple[Int[np.ndarray, " again"], Int[np.ndarray, " again"]]]:
    """By oldest lag, the rows whose context comes again, and the numbers of their contexts."""
    size = int(x.max()) + 1
    rows = np.arange(x.shape[0] * (x.shape[1] - lags))
    numbers = np.zeros(len(rows), int)
    least = SELDOM * len(rows)
    for lag in range(lags + 1):
        _, numbers, counts = np.unique(
            numbers * size + ago(x, lag, lags)[rows], return_inverse=True, return_counts=True
        )
        again = counts[numbers] > 1
        rows, numbers = rows[again], (np.cumsum(counts > 1) - 1)[numbers[again]]
        if lag and len(rows) < least:
            return
        yield rows, numbers


def _surprises(
    contexts: list[tuple[np.ndarray, np.ndarray]], answers: Int[np.ndarray, " row"], gap: int
) -> Float[np.ndarray, "block lag"]:
    """Mean -ln P of each block under counts of what is not within `gap` rows of it, by context."""
    rows, blocks = np.arange(len(answers)), np.array_split(np.arange(len(answers)), FOLDS)
    equal = np.full(len(answers), 1 / (answers.max() + 1))
    told = _told(rows, np.zeros(len(answers), int), answers, equal, blocks, gap)
    found = []
    for rows, numbers in contexts:
        told[rows] = _told(rows, numbers, answers[rows], told[rows], blocks, gap)
        found.append([-np.log(told[block]).mean() for block in blocks])
    return np.array(found).T


def _told(
    rows: Int[np.ndarray, " again"],
    numbers: Int[np.ndarray, " again"],
    answers: Int[np.ndarray, " again"],
    shorter: Float[np.ndarray, " again"],
    blocks: list[np.ndarray],
    gap: int,
) -> Float[np.ndarray, " again"]:
    """The share that contexts give to what came, from counts of the other blocks and the shares of shorter contexts."""
    alphabet = int(answers.max()) + 1
    pairs, pair, total = np.unique(numbers * alphabet + answers, return_inverse=True, return_counts=True)
    owner, contexts = pairs // alphabet, int(numbers.max()) + 1
    every, found = np.bincount(numbers, minlength=contexts), shorter.copy()
    for block in blocks:
        start, near, end, far = np.searchsorted(rows, [block[0], block[0] - gap, block[-1] + 1, block[-1] + gap + 1])
        counts = total - np.bincount(pair[near:far], minlength=len(pairs))
        times = every - np.bincount(numbers[near:far], minlength=contexts)
        different = np.bincount(owner[counts > 0], minlength=contexts)
        here = numbers[start:end]
        weight = BACK_OFF * different[here]
        told = counts[pair[start:end]] + weight * shorter[start:end]
        np.divide(told, times[here] + weight, out=found[start:end], where=weight > 0)
    return found


def by_sums(x: Codes, y: Codes, lags: int, rng: np.random.Generator) -> Fit:
    """Gains of shares that are sums over single symbols, by least squares, in shares of the entropy."""
    answers, shares = indicators(y, lags)
    columns = int(x.max())
    ends = tuple(range(columns, columns * (lags + 1) + 1, columns))
    return least_squares("linear", columns_of(x, lags), ends, shuffled(answers, lags, rng), lags, _surprise(shares))


def columns_of(x: Codes, lags: int) -> Float[np.ndarray, "row column"]:
    """Indicators of all symbols but the commonest, which the others give, lag by lag; mean 0 and variance 1."""
    commonest = np.bincount(x.ravel()).argmax()
    found = np.delete(np.eye(x.max() + 1), commonest, 1)[x]
    return lagged((found - found.mean((0, 1))) / found.std((0, 1)), lags)


def indicators(y: Codes, lags: int) -> tuple[Float[np.ndarray, "row symbol"], Float[np.ndarray, " symbol"]]:
    """Indicators of the answers less their shares, and the shares."""
    found = np.eye(y.max() + 1)[ago(y, 0, lags)]
    shares = found.mean(0)
    return found - shares, shares


def _surprise(shares: Float[np.ndarray, " symbol"]) -> Loss:
    """Mean -ln P by run over the entropy, of predicted shares cut at 0."""
    entropy = -xlogy(shares, shares).sum()

    def loss(answers: np.ndarray, errors: np.ndarray) -> np.ndarray:
        shape = len(answers), -1, len(shares)
        told = np.maximum((answers - errors).reshape(shape) + shares, 0)
        came = answers.reshape(shape).argmax(2)  # indicators less shares: the largest is the symbol that came
        hit = np.take_along_axis(told, came[:, :, None], 2)[:, :, 0] / told.sum(2)
        return -np.log((1 - REST) * hit + REST * shares[came]).mean(0) / entropy

    return loss


def information(
    x: Codes, y: Codes, lags: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " lag"], Float[np.ndarray, " lag"], float]:
    """Mutual information by lag in nats, its error by jackknife over blocks, and what chance gives at any lag."""
    answers = ago(y, 0, lags)
    shape = int(x.max()) + 1, int(y.max()) + 1
    runs = [answers[order] for order in places(len(answers), 1, lags, rng)[: FEWEST_SHUFFLES + 1]]
    block = np.arange(len(answers)) * FOLDS // len(answers)
    found = []
    for lag in range(lags + 1):
        given = ago(x, lag, lags)
        counts = _counts((block, given, answers), (FOLDS, *shape))
        whole = counts.sum(0)
        shuffled = [_counts((given, run), shape) for run in runs[1:]]
        found.append(np.array([_shared(table) for table in [whole, *(whole - counts), *shuffled]]))
    every = np.array(found)
    error = np.sqrt((FOLDS - 1) * every[:, 1 : FOLDS + 1].var(1))
    return every[:, 0], error, chance_of(every[:, FOLDS + 1 :].max(0))


def _counts(codes: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> Int[np.ndarray, "..."]:
    return np.bincount(np.ravel_multi_index(codes, shape), minlength=math.prod(shape)).reshape(shape)


def _shared(table: Int[np.ndarray, "given answer"]) -> float:
    """Mutual information of a table of counts, less the bias of as many cells as are filled (Miller and Madow)."""
    parts = table.sum(1), table.sum(0), table.ravel()
    count = int(parts[0].sum())
    given, answer, joint = (-xlogy(part, part / count).sum() / count for part in parts)
    cells = [int((part > 0).sum()) for part in parts]
    return float(given + answer - joint + (cells[0] + cells[1] - cells[2] - 1) / (2 * count))
