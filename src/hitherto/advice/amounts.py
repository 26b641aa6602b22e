"""What sums, squares and products of numbers add to a prediction of numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from hitherto.advice.gains import FOLDS, Fit, Rows, Runs, chance_of, least_squares

CLIP = 5.0  # standard deviations
DEGREES = (2, 3, 8)  # of the products that are tried
BINS, BINNED_LAGS, BINNED_CHANNELS, BINNED_ROWS = 6, 64, 2, 5000

Series = Float[np.ndarray, "sequence time channel"]
Answers = Float[np.ndarray, "sequence time answer"]


def numbers_of(name: str, given: np.ndarray) -> Series:
    """Numbers as sequences of channels.

    Raises:
        ValueError: for anything but finite real numbers (time), (time, channel) or (sequence, time, channel).
    """
    found = np.asarray(given)
    if found.dtype.kind not in "iufb" or not 1 <= found.ndim <= 3 or 0 in found.shape[1:]:
        raise ValueError(
            f"{name} must be real numbers (time), (time, channel) or (sequence, time, channel), got "
            f"{found.dtype} of shape {found.shape}; symbols are whole numbers and want symbols=True (--symbols)"
        )
    found = found.astype(float)
    found = found[None, :, None] if found.ndim == 1 else found[None] if found.ndim == 2 else found
    if not np.isfinite(found).all():
        raise ValueError(f"{name} hold NaN or infinities; fill or cut them")
    return found


def standard(series: Series) -> Series:
    """Mean 0 and variance 1 by channel, without far outliers."""
    deviation = series.std((0, 1))
    if not (deviation > 0).any():
        raise ValueError("a memory demand was asked for, and the series is constant; give one that varies")
    return np.clip((series - series.mean((0, 1))) / np.where(deviation > 0, deviation, 1), -CLIP, CLIP)


@dataclass(frozen=True)
class _Kind:
    """Products of columns, by their oldest lag, and how many there are up to each lag."""

    name: str
    terms: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]


def by_products(columns: Rows, runs: Runs, channels: int, most: int) -> list[Fit]:
    """R^2 by oldest lag, of sums first, and of each kind of products that `most` columns have room for."""
    variance = runs[:, 0].var(0).sum()
    reach = columns.shape[1] // channels - 1

    def loss(answers: np.ndarray, errors: np.ndarray) -> np.ndarray:
        return np.square(errors).mean(0).reshape(-1, runs.shape[2]).sum(1) / variance

    return [
        least_squares(kind.name, _features(kind, columns), kind.ends, runs, reach, loss)
        for kind in _kinds(reach, channels, most)
    ]


def untried(fits: list[Fit], channels: int, most: int) -> tuple[str, ...]:
    """A sentence on the kinds that are left out, if any are."""
    tried = {fit.gain.name for fit in fits}
    missing = [name for name in ("squares", *map(_products_of, DEGREES)) if name not in tried]
    told = f"Not tried: {', '.join(missing)}. {channels:,} channels have more than the {most:,} that can be fitted."
    return (told,) if missing else ()


def _features(kind: _Kind, columns: Rows) -> Float[np.ndarray, "row feature"]:
    return np.stack([columns[:, list(term)].prod(1) for term in kind.terms], 1)


def _kinds(reach: int, channels: int, most: int) -> Iterator[_Kind]:
    """What is tried, each kind as far back as `most` columns go, or not at all."""
    single = [(column,) for column in range((reach + 1) * channels)]
    yield _kind("linear", single, channels)
    if 2 * len(single) <= most:
        yield _kind("squares", [*single, *((column, column) for (column,) in single)], channels)
    for degree in DEGREES:
        inputs = _affordable(degree, most, len(single), channels)
        terms = [term for size in range(1, degree + 1) for term in combinations(range(inputs), size)]
        if terms:
            yield _kind(_products_of(degree), [*terms, *((c, c) for c in range(inputs))], channels)


def _products_of(degree: int) -> str:
    return f"products of {degree}"


def _kind(name: str, terms: list[tuple[int, ...]], channels: int) -> _Kind:
    lags = sorted(max(term) // channels for term in terms)
    ends = np.searchsorted(lags, np.arange(lags[-1] + 1), side="right")
    return _Kind(name, tuple(sorted(terms, key=lambda term: (max(term) // channels, term))), tuple(ends.tolist()))


def _affordable(degree: int, most: int, columns: int, channels: int) -> int:
    """The largest number of inputs, whole lags of all channels, whose products and squares are not too many."""
    inputs = 0
    while inputs + channels <= columns and _products(inputs + channels, degree) <= most:
        inputs += channels
    return inputs


def _products(inputs: int, degree: int) -> int:
    return inputs + sum(math.comb(inputs, size) for size in range(1, degree + 1))


def information(
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
    return whole[:, 0], error, chance_of(whole[:, 1:].max(0))


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
