"""Error bars when everything inside a sequence is correlated: the sequence is the unit of error."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

FEWEST_SEQUENCES = 8
TOO_FEW = f"fewer than {FEWEST_SEQUENCES} sequences give no interval"

Samples = Float[np.ndarray, "sequence *axes"]
Pairs = Float[np.ndarray, "sequence sequence *axes"]
Values = Float[np.ndarray, "*axes"]


def student(sequences: int) -> float:
    """Half-width of a 95% interval in standard errors, for means over `sequences`."""
    return float(stats.t.ppf(0.975, sequences - 1)) if sequences > 1 else float("nan")


def mean_and_error(samples: Samples) -> tuple[Values, Values]:
    """Mean over sequences and its standard error sd / sqrt(B); the error is NaN for one sequence."""
    mean = samples.mean(0)
    if len(samples) < 2:
        return mean, np.full_like(mean, np.nan)
    with np.errstate(invalid="ignore"):  # a column of -inf has mean -inf and no spread
        return mean, samples.std(0, ddof=1) / np.sqrt(len(samples))


def leave_one_out(samples: Samples) -> Float[np.ndarray, "left_out *axes"]:
    """The mean over all sequences but one, for each one, -inf where another is -inf; nothing for one sequence."""
    if len(samples) < 2:
        return samples[:0]
    infinite = np.isneginf(samples)
    finite = np.where(infinite, 0.0, samples)
    rest = (finite.sum(0) - finite) / (len(samples) - 1)
    return np.where(infinite.sum(0) > infinite, -np.inf, rest)


def jackknife_error(without: Samples, interaction: Pairs | None = None) -> Any:
    """Standard error from values computed without each sequence, se^2 = (B-1)/B sum (v_i - mean v)^2.

    Args:
        without: the value without each sequence.
        interaction: what each pair of sequences adds to the value. The jackknife counts the variance of that
            part, sum over pairs of its square, twice; with it given, once. Source: Efron and Stein (1981).
    """
    count = len(without)
    if count < 2:
        return np.full(without.shape[1:], np.nan)
    square = (count - 1) / count * ((without - without.mean(0)) ** 2).sum(0)
    if interaction is not None:
        pairs = interaction[np.triu_indices(count, 1)]
        # Residuals of a fit add up to zero, which shifts all pairs alike.
        twice = ((pairs - pairs.mean(0)) ** 2).sum(0)
        square = np.maximum(square - twice, twice / 2)  # the floor keeps the noise of a difference from reaching 0
    return np.sqrt(square)


def interval(value: Any, error: Any, sequences: int, without: Samples | None = None) -> dict[str, Any]:
    """Fields `standard_error`, `low`, `high` and `without` of an Estimate; no interval below eight sequences."""
    fields = dict(standard_error=error if sequences > 1 else None, without=without)
    if sequences < FEWEST_SEQUENCES:
        return fields
    half = student(sequences) * np.asarray(error)
    return fields | dict(low=value - half, high=value + half)


def log_interval(log_value: Values, log_error: Values, sequences: int) -> dict[str, Any]:
    """The same for exp(log_value), with the interval made on the log scale."""
    error = np.where(np.isfinite(log_error), log_error, 0.0)
    with np.errstate(over="ignore"):  # beyond 1e308 the value is inf; estimates keep its logarithm beside
        value = np.exp(log_value)
        fields: dict[str, Any] = dict(value=value)
        if sequences > 1:
            fields["standard_error"] = np.where(np.isfinite(value), value, 0.0) * error
        if sequences >= FEWEST_SEQUENCES:
            half = student(sequences) * error
            fields |= dict(low=np.exp(log_value - half), high=np.exp(log_value + half))
    return fields


def effective_sequences(samples: Samples) -> Values:
    """(sum q)^2 / sum q^2: how many sequences really carry a mean of positive, heavy-tailed values."""
    scaled = samples / np.maximum(samples.max(0), np.finfo(float).tiny)
    return scaled.sum(0) ** 2 / np.maximum((scaled**2).sum(0), np.finfo(float).tiny)


def logmeanexp(logs: Samples) -> Values:
    """ln of the mean over sequences of exp(logs), for values that spread over hundreds of decades."""
    top = logs.max(0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return safe + np.log(np.exp(logs - safe).mean(0))


def crossing(log_curve: Float[np.ndarray, " lags"], log_level: float, start: int = 0) -> float | None:
    """Where a curve goes below a level for good, at or after lag `start`; None if it is above at the last lag.

    Linear interpolation of the logarithm between the last lag above and the next; a fall to exactly zero counts
    as a step at that next lag.
    """
    above = np.flatnonzero(log_curve > log_level)
    above = above[above >= start]
    if len(above) == 0:
        return float(start)
    last = int(above[-1])
    if last == len(log_curve) - 1:
        return None
    high, low = log_curve[last], log_curve[last + 1]
    return last + (float((high - log_level) / (high - low)) if np.isfinite(low) else 1.0)
