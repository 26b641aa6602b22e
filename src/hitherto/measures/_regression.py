"""How much of many targets an affine readout of the states explains, freed of the bias of finite samples."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.measures._statistics import jackknife_error

BLOCK = 256  # targets held at once
GROUP_OF_LAGS, QUIET_LAGS = 25, 10
RESIDUAL_SAMPLES = 8000
LEAST_POWER = 0.01
RIDGE = 1e-12  # keeps a direction that lives in one sequence alone from breaking the fit without it

Term = tuple[tuple[int, int], ...]  # (lag, channel) of every factor of a product; repeated for higher powers
Series = Float[np.ndarray, "power channel sequence reach_and_time"]


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal coordinates of the numerical range of the states, and what leaving out one sequence needs.

    Attributes:
        units: u, with sum u u^T = samples x identity and mean zero over all sequences.
        variances: variance of the raw states along each coordinate, from principal axis to principal axis.
        shrinkage: what noise on the states leaves of each coordinate's share; 1 without noise.
        leverage: sum over coordinates of shrinkage u^2.
        sums, grams: sum of u and of u u^T within each sequence.
        renewal: leverage of the states without each sequence once they are orthonormal again, over what it was.
        roots: inverse Cholesky factor of the Gram matrix of u, centred, without each sequence.
        bound: state variables that vary.
        condition: ratio of the extreme singular values kept.
    """

    units: Float[np.ndarray, "sequence time rank"]
    variances: Float[np.ndarray, " rank"]
    shrinkage: Float[np.ndarray, " rank"]
    leverage: Float[np.ndarray, "sequence time"]
    sums: Float[np.ndarray, "sequence rank"]
    grams: Float[np.ndarray, "sequence rank rank"]
    renewal: Float[np.ndarray, " sequence"]
    roots: Float[np.ndarray, "sequence rank rank"]
    bound: int
    condition: float

    @property
    def rank(self) -> int:
        return self.units.shape[2]

    @property
    def sequences(self) -> int:
        return self.units.shape[0]

    @property
    def samples(self) -> int:
        return self.units.shape[0] * self.units.shape[1]

    @property
    def rest(self) -> int:
        """Samples left without one sequence."""
        return self.samples - self.units.shape[1]

    def lags_in(self, series: "Series") -> int:
        """How many lags, from 0, a series is long enough for."""
        return series.shape[-1] - self.units.shape[1] + 1

    def with_noise(self, level: float) -> "Basis":
        """The same states with noise of `level` times their mean variance added to each."""
        shrinkage = self.variances / (self.variances + level * self.variances.sum() / self.bound)
        return _prepared(self.units, self.variances, shrinkage, self.bound, self.condition)


@dataclass(frozen=True, eq=False)
class Fits:
    """R^2 of many targets, term by term in the order of their largest lag.

    Attributes:
        terms: which products.
        raw: R^2 as fitted.
        capacity: R^2 less what a target without any relation to the states would get on average.
        null_excess: E[|u|^2 z^2] / rank: how much more than rank / samples such a target gets.
        without: capacity without each sequence.
        interaction: what each pair of sequences adds to the sum of all terms.
    """

    terms: tuple[Term, ...]
    raw: Float[np.ndarray, " term"]
    capacity: Float[np.ndarray, " term"]
    null_excess: Float[np.ndarray, " term"]
    without: Float[np.ndarray, "sequence term"]
    interaction: Float[np.ndarray, "sequence other"]

    @property
    def lags(self) -> int:
        """Lags covered, from 0."""
        return self.terms[-1][0][0] + 1

    def by_lag(self) -> tuple[Float[np.ndarray, " lag"], Float[np.ndarray, "sequence lag"]]:
        """Capacity of all terms with the same largest lag, with all sequences and without each."""
        starts = np.searchsorted([term[0][0] for term in self.terms], np.arange(self.lags))
        return np.add.reduceat(self.capacity, starts), np.add.reduceat(self.without, starts, axis=1)

    def quiet(self) -> bool:
        """Whether the last ten lags are all within two standard errors of nothing."""
        value, without = self.by_lag()
        return self.lags >= QUIET_LAGS and bool((value < 2 * jackknife_error(without))[-QUIET_LAGS:].all())


def basis_of(states: Float[np.ndarray, "sequence time state"], precision: Any) -> Basis:
    """Orthonormal basis of centred states, each scaled to variance 1, cut where rounding begins.

    Singular values below eps sqrt(samples) times the largest are dropped, eps of the precision in which the
    states were computed. The triangular factor is made sequence by sequence, so covariances, which would
    square the condition, are never solved with.

    Raises:
        ValueError: if no state varies, or as many directions vary as there are samples.
    """
    eps = float(np.finfo(precision).eps)
    states, deviations = _standardised(states.astype(np.float64), eps)
    samples = states.shape[0] * states.shape[1]
    factors = np.linalg.qr(states, mode="r")
    _, sizes, axes = np.linalg.svd(np.linalg.qr(factors.reshape(-1, factors.shape[-1]), mode="r"))
    rank = int((sizes > eps * np.sqrt(samples) * sizes[0]).sum())
    if samples < rank + 2:
        raise ValueError(
            f"capacities need more samples than directions of the state: got {samples} samples "
            f"({states.shape[0]} sequences of {states.shape[1]} steps) of {states.shape[2]} state variables that "
            f"vary; give at least {20 * states.shape[2]} samples"
        )
    units = states @ (axes[:rank].T * (np.sqrt(samples) / sizes[:rank]))
    units, variances = _principal(units, states, deviations)
    condition = float(sizes[0] / sizes[rank - 1])
    return _prepared(units, variances, np.ones(rank), states.shape[2], condition)


def sweep(
    basis: Basis, series: Series, degree: int, most: int, *, fewest: int | None = None, white: bool = True
) -> Fits:
    """Fit all products of `degree` factors, lag after lag, until ten lags in a row hold nothing.

    Args:
        series: `series[p - 1, c]` is the polynomial of degree p of channel c, orthonormal under the input
            law; along time its end is aligned with the end of the states.
        most: lags 0 to `most - 1` are tried.
        fewest: lags tried in any case; None for all.
        white: whether the inputs are independent in time; else the bias is taken from the spread over
            sequences.
    """
    parts: list[Fits] = []
    for terms in _groups(degree, series.shape[1], most):
        parts += [_explain(basis, series, terms[i : i + BLOCK], white) for i in range(0, len(terms), BLOCK)]
        parts = [_joined(parts)]
        if fewest is not None and parts[0].lags >= fewest and parts[0].quiet():
            break
    return parts[0]


def correlations(basis: Basis, series: Series, lags: int) -> Float[np.ndarray, "lag channel rank"]:
    """Mean of u[t] x[c, t - k] over all samples."""
    steps = basis.units.shape[1]
    first = series.shape[3] - steps
    windows = [series[0, :, :, first - lag : first - lag + steps] for lag in range(lags)]
    return np.stack([np.tensordot(w, basis.units, ((1, 2), (0, 1))) for w in windows]) / basis.samples


def terms_at(lag: int, degree: int, channels: int) -> Iterator[Term]:
    """All products of `degree` factors x[c, t - k] whose largest lag is `lag`."""
    newest = [(lag, c) for c in range(channels)]
    others = [(k, c) for k in reversed(range(lag)) for c in range(channels)]
    for count in range(1, degree + 1):
        for first in combinations_with_replacement(newest, count):
            for second in combinations_with_replacement(others, degree - count):
                yield first + second


def _standardised(states: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    high, low = states.max((0, 1)), states.min((0, 1))
    varies = high - low > 8 * eps * np.maximum(high, -low)
    if not varies.any():
        raise ValueError(
            f"capacities need states that vary; all {states.shape[2]} state variables are constant. "
            "Check that the inputs reach the model"
        )
    states = states[:, :, varies] - states[:, :, varies].mean((0, 1))
    deviations = np.sqrt(np.einsum("stn,stn->n", states, states) / (states.shape[0] * states.shape[1]))
    states /= deviations
    return states, deviations


def _principal(units: np.ndarray, states: np.ndarray, deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # One more orthonormalisation repairs what division by small singular values lost; then turn to the
    # principal axes of the raw states, along which added noise acts coordinate by coordinate.
    samples, rank = units.shape[0] * units.shape[1], units.shape[2]
    flat = units.reshape(samples, rank)
    root = np.linalg.inv(np.linalg.cholesky(flat.T @ flat / samples))
    loadings = root @ (flat.T @ states.reshape(samples, -1) / samples) * deviations
    turn, sizes, _ = np.linalg.svd(loadings, full_matrices=False)
    return units @ (root.T @ turn), sizes**2


def _prepared(units: np.ndarray, variances: np.ndarray, shrinkage: np.ndarray, bound: int, condition: float) -> Basis:
    sequences, steps, rank = units.shape
    samples, rest = sequences * steps, (sequences - 1) * steps
    sums, grams = units.sum(1), units.swapaxes(1, 2) @ units
    ridge = np.diag(rest * (1 / shrinkage - 1) + RIDGE * samples)
    without = samples * np.eye(rank) - grams - sums[:, :, None] * sums[:, None, :] / max(rest, 1) + ridge
    leverage = np.square(units) @ shrinkage
    remaining = leverage.sum() - leverage.sum(1)
    return Basis(
        units=units,
        variances=variances,
        shrinkage=shrinkage,
        leverage=leverage,
        renewal=rest * shrinkage.sum() / np.maximum(remaining, LEAST_POWER * leverage.sum()),
        sums=sums,
        grams=grams,
        roots=np.linalg.inv(np.linalg.cholesky(without)) if rest else without,
        bound=bound,
        condition=condition,
    )


def _groups(degree: int, channels: int, most: int) -> Iterator[tuple[Term, ...]]:
    group: list[Term] = []
    started = 0
    for lag in range(most):
        group += terms_at(lag, degree, channels)
        if len(group) >= BLOCK or lag + 1 - started >= GROUP_OF_LAGS or lag + 1 == most:
            yield tuple(group)
            group, started = [], lag + 1


def _targets(series: Series, terms: tuple[Term, ...], steps: int) -> Float[np.ndarray, "sequence term time"]:
    reach = series.shape[3] - steps
    z = np.empty((series.shape[2], len(terms), steps))
    for column, term in enumerate(terms):
        factors = (
            series[power - 1, channel, :, reach - lag : reach - lag + steps]
            for (lag, channel), power in Counter(term).items()
        )
        z[:, column] = next(factors)
        for factor in factors:
            z[:, column] *= factor
    return z


def _explain(basis: Basis, series: Series, terms: tuple[Term, ...], white: bool) -> Fits:
    z = _targets(series, terms, basis.units.shape[1])
    z -= z.mean((0, 2))[:, None]
    cross = z @ basis.units
    weights = np.stack([np.ones_like(basis.leverage), basis.leverage], -1)
    power, weighted = np.moveaxis(np.stack([np.square(a) @ w for a, w in zip(z, weights, strict=True)]), -1, 0)
    b, total = cross.sum(0) / basis.samples, power.sum(0)
    raw = basis.samples * (b**2 @ basis.shrinkage) / total
    unexplained = 1 - basis.samples * (b**2).sum(1) / total
    chance = _chance_white(basis, z, b, unexplained, weighted) if white else _chance_coloured(basis, cross, b)
    return Fits(
        terms=terms,
        raw=raw,
        capacity=raw - chance.sum(0) / (basis.samples * total),
        null_excess=weighted.sum(0) / (basis.shrinkage.sum() * total),
        without=_without(basis, cross, z.sum(2), power, chance),
        interaction=_interaction(basis, cross, b, raw, total),
    )


def _chance_white(basis: Basis, z: np.ndarray, b: np.ndarray, unexplained: np.ndarray, weighted: np.ndarray):
    # sum of |u|^2 e^2 within each sequence. The part that is proportional to z^2 is known for every step;
    # what is left is small and taken from every few steps, which saves a second product as dear as the fit
    # itself.
    stride = max(1, basis.samples // RESIDUAL_SAMPLES)
    left = np.empty_like(weighted)
    for i, (seen, units) in enumerate(zip(z[:, :, ::stride], basis.units[:, ::stride], strict=True)):
        excess = np.square(seen - b @ units.T) - unexplained[:, None] * np.square(seen)
        left[i] = stride * (excess @ basis.leverage[i, ::stride])
    return unexplained * weighted + left


def _chance_coloured(basis: Basis, cross: np.ndarray, b: np.ndarray) -> np.ndarray:
    # |sum of u e|^2 within each sequence: whatever the colour, sequences are independent.
    count = basis.sequences
    return count / (count - 1) * (np.square(cross - b @ basis.grams) @ basis.shrinkage)


def _without(basis: Basis, cross: np.ndarray, sums: np.ndarray, power: np.ndarray, chance: np.ndarray) -> np.ndarray:
    # One sequence at a time, so that temporaries stay in the cache.
    if basis.sequences < 2:
        return np.empty((0, cross.shape[1]))
    whole, shifts = cross.sum(0), basis.sums / basis.rest
    explained = np.empty_like(power)
    for i, root in enumerate(basis.roots):
        c = (whole - cross[i] - np.outer(sums[i], shifts[i])) @ root.T
        explained[i] = np.einsum("kn,kn->k", c, c)
    # The floor is for a target that hardly varies outside one sequence, such as a token that occurs once.
    total = np.maximum(power.sum(0) - power - sums**2 / basis.rest, LEAST_POWER * power.sum(0))
    return (explained - basis.renewal[:, None] * (chance.sum(0) - chance) / basis.rest) / total


def _interaction(basis: Basis, cross: np.ndarray, b: np.ndarray, raw: np.ndarray, total: np.ndarray) -> np.ndarray:
    # What a pair of sequences adds to the sum of R^2, 2 r_i . r_j / (samples sum z^2) with r the sum of u e within
    # each. Where b is no more than chance, b times the mean Gram matrix does.
    if basis.sequences < 2:
        return np.empty((0, 0))
    left = cross - b * (basis.samples / basis.sequences)
    told = raw > 2 * basis.shrinkage.sum() / basis.samples
    left[:, told] = cross[:, told] - b[told] @ basis.grams
    left *= np.sqrt(2 * basis.shrinkage / (basis.samples * total[:, None]))
    flat = left.reshape(basis.sequences, -1)
    return flat @ flat.T


def _joined(parts: list[Fits]) -> Fits:
    return Fits(
        terms=sum((p.terms for p in parts), ()),
        raw=np.concatenate([p.raw for p in parts]),
        capacity=np.concatenate([p.capacity for p in parts]),
        null_excess=np.concatenate([p.null_excess for p in parts]),
        without=np.concatenate([p.without for p in parts], axis=1),
        interaction=np.sum([p.interaction for p in parts], axis=0),
    )
