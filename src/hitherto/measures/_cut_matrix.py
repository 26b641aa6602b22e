"""From outputs over starts and ends to estimates: singular values, what they say, and a two-way jackknife."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from hitherto.core.quantity import (
    CUT_EFFECTIVE_RANK,
    CUT_ENTROPY,
    CUT_PARTICIPATION_RATIO,
    CUT_SPECTRUM,
    CUT_STABLE_RANK,
    DISTANCE_FROM_SEPARABLE,
    INTERACTION_SHARE,
    Estimate,
    Quantity,
)
from hitherto.measures import _statistics as st

GROUPS, FEWEST_EFFECTIVE, MOST_BIAS, UNFOLLOWED = 10, 15, 0.25, 1e-4
ROUNDING = 1e-12  # an interaction share below this is rounding
SCALARS = (
    CUT_ENTROPY,
    CUT_EFFECTIVE_RANK,
    CUT_PARTICIPATION_RATIO,
    CUT_STABLE_RANK,
    DISTANCE_FROM_SEPARABLE,
    INTERACTION_SHARE,
)
RANKS = (CUT_EFFECTIVE_RANK, CUT_PARTICIPATION_RATIO, CUT_STABLE_RANK)
SHARES = (DISTANCE_FROM_SEPARABLE, INTERACTION_SHARE)
ZERO = "zero function: every output is 0 (or below 1e-308), so that there are no shares to speak of"
TOO_FEW = f"fewer than {st.FEWEST_SEQUENCES} independent starts or ends give no interval"
SOURCE = "singular values of the outputs over starts and ends; two-way jackknife over groups, our derivation"

Outputs = Float[np.ndarray, "start end output"]
Matrix = Float[np.ndarray, "row column"]
Squares = Float[np.ndarray, " component"]
Numbers = Float[np.ndarray, " number"]  # the scalars in their order, then the spectrum
Replicates = Float[np.ndarray, "_ _"]  # of squares or numbers, without each group of starts, or of ends
Labels = Int[np.ndarray, " sample"]  # samples with one label depend on each other


class _Sample(NamedTuple):
    """What all estimates of one matrix share."""

    about: dict[str, Any]
    groups: int
    doubt: str
    crowded: str  # doubt about ranks alone
    part: str


def spectrum_of(
    outputs: Outputs, start_of: Int[np.ndarray, " start"], end_of: Int[np.ndarray, " end"], part: str
) -> tuple[Estimate, ...]:
    """All quantities, the spectrum first. Starts, or ends, with one label depend on each other."""
    about: dict[str, Any] = dict(zip(("starts", "ends", "outputs"), outputs.shape, strict=True))
    scale = np.abs(outputs).max()
    if scale == 0:
        return _zero_function(about, part)
    outputs = outputs / scale  # squares neither overflow nor underflow
    groups = _grouped(start_of), _grouped(end_of)
    numbers, deviation, bias = _jackknifed(outputs, *groups)
    weights = (outputs**2).sum(-1)
    about |= dict(effective_starts=_effective(weights.sum(1)), effective_ends=_effective(weights.sum(0)))
    fewest = min(int(g.max()) + 1 for g in groups)
    count = len(SCALARS)
    scalars = list(zip(SCALARS, numbers[:count], deviation[:count], bias[:count], strict=True))
    sample = _Sample(about, fewest, _doubt(about, fewest), _crowded(*scalars[1][1:]), part)
    spectrum = (scale * a[count:] for a in (numbers, deviation, bias))
    return _spectrum(*spectrum, sample), *(_scalar(*row, sample) for row in scalars)


def _zero_function(about: dict[str, Any], part: str) -> tuple[Estimate, ...]:
    size = min(about["starts"], about["ends"] * about["outputs"])
    fields = dict(part=part, statistics=about, source=SOURCE)
    spectrum = Estimate(CUT_SPECTRUM, np.zeros(size), np.zeros(size), axes=_components(size), **fields)
    return spectrum, *(Estimate(quantity, 0.0, cannot_tell=ZERO, **fields) for quantity in SCALARS)


def _components(count: int) -> dict[str, np.ndarray]:
    return {"component": np.arange(1, count + 1)}


def _spectrum(value: Numbers, deviation: Numbers, bias: Numbers, sample: _Sample) -> Estimate:
    error = np.hypot(deviation, bias)
    half = st.student(sample.groups) * error
    bars = {} if sample.doubt else dict(low=np.maximum(value - half, 0.0), high=value + half)
    fields = dict(cannot_tell=sample.doubt, statistics=sample.about, part=sample.part, source=SOURCE)
    return Estimate(CUT_SPECTRUM, value, error, **bars, axes=_components(len(value)), **fields)


def _scalar(quantity: Quantity, value: float, deviation: float, bias: float, sample: _Sample) -> Estimate:
    about, error = sample.about | dict(deviation=deviation, bias=bias), np.hypot(deviation, bias)
    if quantity == INTERACTION_SHARE:
        about["additive"] = bool(value <= ROUNDING)
    doubt = sample.doubt or (sample.crowded if quantity in RANKS else "")
    bars = {} if doubt else _interval(quantity, value, st.student(sample.groups) * error)
    return Estimate(
        quantity, value, error, **bars, cannot_tell=doubt, statistics=about, part=sample.part, source=SOURCE
    )


def _interval(quantity: Quantity, value: float, half: float) -> dict[str, float]:
    """Ends within what is possible; those of ranks on the log scale, as they spread over decades."""
    if quantity in RANKS:
        return dict(low=max(1.0, value * np.exp(-half / value)), high=value * np.exp(half / value))
    return dict(low=max(0.0, value - half), high=min(1.0 if quantity in SHARES else np.inf, value + half))


def _crowded(rank: float, deviation: float, bias: float) -> str:
    """Why the sample is too small for ranks: a bias that is too large is itself too uncertain to be an error bar."""
    if abs(bias) <= max(MOST_BIAS * rank, deviation):
        return ""
    return f"too few starts and ends for an effective rank of {rank:.2g}, whose bias is about {bias:.2g}"


def _effective(weights: Float[np.ndarray, " sample"]) -> float:
    return float(st.effective_sequences(weights[:, None])[0])


def _doubt(about: dict[str, Any], groups: int) -> str:
    if groups < st.FEWEST_SEQUENCES:
        return TOO_FEW
    for side in ("starts", "ends"):
        effective = about[f"effective_{side}"]
        if effective < min(FEWEST_EFFECTIVE, about[side] / 4):
            return f"only {effective:.1f} {side} carry the mean square of the output"
    return ""


# Singular values and their jackknife


def _jackknifed(
    outputs: Outputs, starts: Int[np.ndarray, " start"], ends: Int[np.ndarray, " end"]
) -> tuple[Numbers, Numbers, Numbers]:
    """Numbers, deviations and biases; NaN for those of components that are not followed."""
    squares, (by_start, by_end) = _spectra(_matrix(outputs), starts, np.repeat(ends, outputs.shape[2]))
    interaction, energy = _interaction(outputs), (outputs**2).sum(-1)
    share = np.array((interaction**2).sum() / energy.sum())
    shares_by_start = _shares_without(interaction, energy.sum(1), starts)
    shares_by_end = _shares_without(interaction.swapaxes(0, 1), energy.sum(0), ends)
    size = np.array(energy.size)
    ways = [
        _numbers(by_start, shares_by_start, size - np.bincount(starts) * len(ends)),
        _numbers(by_end, shares_by_end, size - np.bincount(ends) * len(starts)),
    ]
    numbers, followed = _numbers(squares, share, size), by_start.shape[1]
    deviation, bias = np.full((2, len(numbers)), np.nan)
    known = len(SCALARS) + followed
    deviation[:known], bias[:known] = _deviation_and_bias(_numbers(squares[:followed], share, size), ways)
    return numbers, deviation, bias


def _matrix(outputs: Outputs) -> Matrix:
    """Starts in rows, pairs (end, output) in columns."""
    return outputs.reshape(len(outputs), -1)


def _spectra(
    matrix: Matrix, rows: Int[np.ndarray, " row"], columns: Int[np.ndarray, " column"]
) -> tuple[Squares, list[Replicates]]:
    """Squared singular values, largest first; and the leading ones without each group of rows, and of columns.

    Only components that carry the others' mean square but for 1e-4 are followed, so that most replicates are small;
    in these, distances below 1e-7 come out as 0: good enough for error bars.
    """
    if len(matrix) > matrix.shape[1]:
        squares, ways = _spectra(matrix.T, columns, rows)
        return squares, ways[::-1]
    vectors, values, _ = np.linalg.svd(np.linalg.qr(matrix.T, mode="r").T)  # the long side goes before the SVD
    squares = values**2
    rest = squares[::-1].cumsum()[::-1]
    followed = 1 + int((rest[1:] > max(UNFOLLOWED * rest[1], np.finfo(float).eps * rest[0])).sum())
    leading, values = vectors[:, :followed], values[:followed]
    return squares, [_downdated(values, leading * values, rows), _downdated(values, matrix.T @ leading, columns)]


def _downdated(values: Squares, parts: Float[np.ndarray, "sample component"], groups: Labels) -> Replicates:
    """Squared singular values without each group, whose part of the Gram matrix is taken away."""
    grams = (np.diag(values**2) - parts[~keep].T @ parts[~keep] for keep in _kept(groups))
    found = np.array([np.linalg.eigvalsh(gram)[::-1] for gram in grams])
    found[found < np.finfo(float).eps * found.shape[1] * values[0] ** 2] = 0.0
    found[:, 0] = np.maximum(found[:, 0], np.finfo(float).tiny)  # nothing left counts as one product
    return found


def _numbers(
    squares: Float[np.ndarray, "*group component"], share: Float[np.ndarray, "*group"], pairs: Int[np.ndarray, "*group"]
) -> Float[np.ndarray, "*group number"]:
    """Entropy, three ranks, distance, interaction share, and the spectrum."""
    q = squares / squares.sum(-1, keepdims=True)
    entropy = special.entr(q).sum(-1)
    ranks = np.exp(entropy), 1 / (q**2).sum(-1), 1 / q[..., 0]
    distance = np.sqrt(q[..., 1:].sum(-1))  # not 1 - q[0], which leaves 1e-8 instead of 0 for one product
    scalars = np.stack([entropy, *ranks, distance, share], -1)
    return np.concatenate([scalars, np.sqrt(squares / pairs[..., None])], -1)


def _interaction(outputs: Outputs) -> Outputs:
    """What is left without row means and column means."""
    centred = outputs - outputs.mean(0)
    return centred - centred.mean(1, keepdims=True)


def _grouped(labels: Labels) -> Labels:
    """Up to 10 groups of neighbours, numbered from 0, which divide no label."""
    names, place = np.unique(labels, return_inverse=True)
    return place * min(GROUPS, len(names)) // len(names)


def _kept(groups: Labels) -> Iterator[Bool[np.ndarray, " sample"]]:
    """For each group, which samples are left without it."""
    return (groups != group for group in range(groups.max() + 1))


def _shares_without(
    interaction: Outputs, energy: Float[np.ndarray, " start"], groups: Int[np.ndarray, " start"]
) -> Float[np.ndarray, " group"]:
    """Interaction shares without each group of starts: its rows go, and the column means of the others with them."""
    own, shares = (interaction**2).sum((1, 2)), []
    for keep in _kept(groups):
        means = (interaction[~keep].sum(0) ** 2).sum() / keep.sum()  # the columns of an interaction add up to 0
        left = max(energy[keep].sum(), np.finfo(float).tiny)
        shares.append(min(max(0.0, own[keep].sum() - means), left) / left)
    return np.array(shares)


def _deviation_and_bias(numbers: Numbers, ways: list[Replicates]) -> tuple[Numbers, Numbers]:
    """Both jackknife estimates, summed over the two ways."""
    variance, bias = np.zeros((2, len(numbers)))
    for without in ways:
        variance += st.jackknife_error(without) ** 2
        bias += (len(without) - 1) * (without.mean(0) - numbers)
    return np.sqrt(variance), bias


def effective_rank(outputs: Outputs) -> float:
    """exp(entropy) from the Gram matrix of the shorter side: good enough to see whether it settles."""
    scale = np.abs(outputs).max()
    if scale == 0:
        return 0.0
    matrix = _matrix(outputs) / scale
    short = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    values = np.linalg.eigvalsh(short @ short.T).clip(0)
    return float(np.exp(special.entr(values / values.sum()).sum()))


def checked_outputs(outputs: np.ndarray) -> Outputs:
    """Outputs in float64 with all three axes.

    Raises:
        ValueError: with another number of axes, fewer than 2 starts or ends, or entries that are not finite.
    """
    if outputs.ndim not in (2, 3) or min(outputs.shape[:2]) < 2 or outputs.size == 0:
        raise ValueError(
            f"a spectrum needs outputs (starts, ends) or (starts, ends, output) with at least 2 starts and 2 ends; got "
            f"shape {outputs.shape}"
        )
    refuse_not_finite("outputs", outputs, ("start", "end", "output"))
    outputs = outputs.astype(np.float64)
    return outputs if outputs.ndim == 3 else outputs[..., None]


def refuse_not_finite(name: str, data: np.ndarray, axes: tuple[str, ...]) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: telling the first such entry by its place along the named axes.
    """
    bad = np.argwhere(~np.isfinite(data))
    if len(bad):
        raise ValueError(
            f"{name} hold {len(bad)} NaN or infinite values, the first at ({', '.join(axes[: data.ndim])}) = "
            f"{tuple(bad[0].tolist())}; remove or fill them first"
        )
