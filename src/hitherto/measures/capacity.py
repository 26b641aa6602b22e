"""What a linear readout of the state can tell of past inputs and of products of past inputs.

Both measures take states and inputs as arrays, so it does not matter how the states were made.
"""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from hitherto.core.quantity import (
    LINEAR_MEMORY,
    LINEAR_MEMORY_CAPACITY,
    LINEAR_MEMORY_CAPACITY_NOISY,
    LINEAR_SHARE,
    PROCESSING_CAPACITY,
    PROCESSING_CAPACITY_FOUND,
    Estimate,
    Quantity,
)
from hitherto.measures._regression import Basis, Fits, Series, basis_of, correlations, sweep
from hitherto.measures._statistics import FEWEST_SEQUENCES, TOO_FEW, interval, jackknife_error
from hitherto.measures._targets import (
    PROJECTED_DIRECTIONS,
    Predictor,
    legendre,
    predictor_of,
    refuse_another_law,
    refuse_coloured,
    whitened,
)

SAMPLES_PER_DIRECTION = 20
FEWEST_COLOURED_SEQUENCES = 16
NOISE = 1e-6  # of the mean state variance: 60 dB
FEWEST_LAGS, FEWEST_TARGETS, MOST_TARGETS = 50, 512, 2560
VARIABLES = {1: 2560, 2: 100, 3: 30}  # factors to choose from, by degree; about 5000 products of degree 2 and 3 each
SAMPLED = {1: 2560, 2: 50, 3: 20}  # with more channels than products can cover, of which they are but a sample
FEWEST_PRODUCT_LAGS = 10
FAMILY_ERROR = 0.05
STRONGEST = 10

States = Float[np.ndarray, "sequence time state"]
Inputs = Float[np.ndarray, "sequences lead_and_time input"]
LaterStates = Float[np.ndarray, "sequence later state"]
Chosen = dict[int, np.ndarray]  # by degree

SOURCE = "Dambre, Verstraeten, Schrauwen, Massar (2012); chance correction and intervals: our derivation"
ASSUMPTIONS = (
    "the states have forgotten their start",
    "linear readability: a nonlinear readout may recover more, and a trained readout may use less",
    "a state variable of any amplitude counts in full; linear_memory_capacity_noisy leaves out tiny ones",
)


def linear_memory(
    states: States,
    inputs: Inputs,
    *,
    white: bool = True,
    state_precision: Any = None,
    part: str = "",
    max_lag: int | None = None,
) -> tuple[Estimate, Estimate, Estimate]:
    """Linear memory by lag, MC(k) = sum over whitened channels of R^2(x[t-k] | affine in s[t]), and its sum.

    R^2 is corrected for what pure chance explains: by mean(|u|^2 e^2) / (samples mean z^2), u the state in an
    orthonormal basis and e the residual, for white inputs; by the spread of sum u e over sequences for
    coloured ones. It is not clipped, so a lag without memory scatters around 0.

    Args:
        states: after each step, s[t] with x[t] already in it; the whole state, or the part that is asked
            about.
        inputs: ending at the same step as the states; `lead` more steps in front, if there are any, serve the
            first states' lags. Discrete inputs as one-hot vectors. With less lead than the lags need, the
            first states are dropped.
        white: inputs are independent over time. If not, the targets are the innovations of an autoregression
            fitted to the inputs (order by AIC, at most 20), and the curve for the inputs themselves, which
            counts what they tell of each other, is in `statistics["free_memory"]`.
        state_precision: the precision the states were computed in, if it is not their dtype.
        part: which part of the model this is, for the reader.
        max_lag: lags 0 to `max_lag` exactly. By default at least 50 lags (512 targets with many channels),
            until ten lags in a row are within two standard errors of nothing, at most the lead or a quarter
            of the steps.
    Returns:
        `LINEAR_MEMORY` by lag, `LINEAR_MEMORY_CAPACITY` and `LINEAR_MEMORY_CAPACITY_NOISY`. The last is the
        one to compare models by: the others depend on the precision of the states. 95% intervals by jackknife
        over sequences; `cannot_tell` below 8 sequences (16 for coloured inputs) or 20 samples per direction
        of the state.
    Raises:
        ValueError: for shapes that do not fit, constant inputs or states, fewer samples than state
            directions, coloured inputs that are called white or are predictable without error.

    Of coloured inputs with more than 64 directions only the 32 of largest variance are followed, of white ones 256,
    and an assumption says so: the capacity is then a floor. Not more than 2560 lags of directions are tried, ten lags
    at least; what may lie beyond is in `statistics["tail_at_most"]`.
    Cost: samples x rank x (state + 3 lags x channels) products; memory: two copies of the states.
    Does not tell: what the readout of the trained model uses, or memory that is not linear.
    """
    _refuse_shapes(states, inputs)
    _refuse_single(states, white)
    channels = inputs.shape[-1]
    inputs = whitened(inputs.astype(np.float64), white)
    if white:
        refuse_coloured(inputs)
    predictor = predictor_of(inputs, white)
    states, series = _aligned(states, predictor.innovations(inputs), max_lag)
    raw = _series(inputs, series.shape[-1] + predictor.order)
    basis = basis_of(states, state_precision or states.dtype)
    fits = _linear_fits(basis, series, max_lag is None, white)
    with_noise = basis.with_noise(NOISE)
    noisy = sweep(with_noise, series, 1, fits.lags, white=white)
    seen = correlations(basis, raw, fits.lags + predictor.order)
    curve, without = _refitted(basis, fits, predictor, seen)
    noisy_curve, noisy_without = _refitted(with_noise, noisy, predictor, seen)
    told = _facts(basis) | {"lags": fits.lags, "directions": series.shape[1]}
    if not white:
        free = sweep(basis, raw, 1, fits.lags, white=False).by_lag()[0]
        told |= {"free_memory": free, "predictor_order": predictor.order}
    totals = told | {"raw_total": float(fits.raw.sum()), "tail_at_most": basis.rank - float(curve.sum())}
    law = "independent over time" if white else "freed of their past by a linear autoregression"
    fields = {"part": part, "cannot_tell": _doubt(basis, white), "source": SOURCE}
    followed = inputs.shape[-1]
    projected = followed == PROJECTED_DIRECTIONS[white] and followed < channels - 1  # one-hot inputs lose one
    some = (f"only the {followed} of {channels} input directions with the largest variance are followed",)
    fields["assumptions"] = (f"inputs {law}", *ASSUMPTIONS, *(some if projected else ()))
    by_lag = fields | {"axes": {"lag": np.arange(fits.lags)}, "statistics": told}
    total, noisy_total = float(curve.sum()), float(noisy_curve.sum())
    whole, noise = fields | {"statistics": totals}, fields | {"statistics": told | {"noise": NOISE}}
    return (
        _estimate(LINEAR_MEMORY, curve, without, by_lag),
        _estimate(LINEAR_MEMORY_CAPACITY, total, without.sum(1), whole, fits.interaction),
        _estimate(LINEAR_MEMORY_CAPACITY_NOISY, noisy_total, noisy_without.sum(1), noise, noisy.interaction),
    )


def processing_capacity(
    states: States,
    inputs: Inputs,
    *,
    low: float,
    high: float,
    state_precision: Any = None,
    part: str = "",
    max_lag: int | None = None,
) -> tuple[Estimate, Estimate, Estimate]:
    """Information processing capacity: sum of R^2(z | affine in s[t]) over z = prod_j p_dj(x[c_j, t - k_j]).

    p_1 = 3^(1/2) x, p_2 = 5^(1/2) (3 x^2 - 1) / 2, p_3 = 7^(1/2) (5 x^3 - 3 x) / 2 are orthonormal for x
    uniform on [-1, 1], to which [low, high] is mapped; the products are orthonormal too, so the sum over all
    of them is at most the rank of the state covariance, with equality for a state that forgets its start and
    that nothing else drives. R^2 is corrected for chance as in `linear_memory`.

    Args:
        states, inputs, state_precision, part: as for `linear_memory`.
        low, high: ends of the uniform law of the inputs, the same for all channels.
        max_lag: lags 0 to `max_lag` for all degrees, as far as the number of products allows. By default as
            for `linear_memory`; a degree is given up early when ten lags in a row add nothing.
    Returns:
        `PROCESSING_CAPACITY` for degrees 1, 2, 3: the estimate, with jackknife intervals over sequences.
        `PROCESSING_CAPACITY_FOUND`: the part in products that are significant, all tests together at 5%; a
        floor, whose interval takes the choice of products as fixed. `LINEAR_SHARE`: degree 1 over all three.
        `statistics["strongest"]` lists the ten strongest products; `lags`, `channels` and `terms`, by degree,
        what was tried: at most 2560 inputs, products of 100 inputs for degree 2 and of 30 for degree 3; with
        more than ten channels of 50 and 20, five and two evenly spaced channels with ten lags each.
    Raises:
        ValueError: for shapes that do not fit, states that are constant or too many, inputs that are not
            independent and uniform on [low, high]: for other laws the products are not orthonormal.

    Cost: 2.5 samples x rank x terms products for about 10 000 terms; never memory of samples x terms.
    Does not tell: whether what is missing up to the rank is of higher degree, older, or not driven by the
    inputs.
    """
    _refuse_shapes(states, inputs)
    scaled = (2 * inputs.astype(np.float64) - low - high) / (high - low)
    refuse_another_law(scaled)
    states, series = _aligned(states, scaled, max_lag)
    basis = basis_of(states, state_precision or states.dtype)
    factors = VARIABLES if series.shape[1] * FEWEST_PRODUCT_LAGS <= VARIABLES[2] else SAMPLED
    channels = {degree: _channels(series.shape[1], most) for degree, most in factors.items()}
    fits = {d: _products(basis, series[0, channels[d]], d, most, max_lag is None) for d, most in factors.items()}
    law = f"inputs independent over time and channels, uniform on [{low:.4g}, {high:.4g}]"
    doubt = _doubt(basis, white=True)
    shared = {
        "part": part,
        "source": SOURCE,
        "assumptions": (law, *ASSUMPTIONS),
        "statistics": _facts(basis) | _coverage(fits, channels),
    }
    by_degree = shared | {"axes": {"degree": np.array(list(fits))}, "cannot_tell": doubt}
    value, without = _degree_totals(fits, {d: np.ones(len(f.terms), bool) for d, f in fits.items()})
    share = shared | {"cannot_tell": doubt or _share_doubt(basis, value, channels)}
    pairs = np.stack([f.interaction for f in fits.values()], -1)
    linear = float(value[0] / value.sum())
    steepness = (np.eye(len(value))[0] - linear) / value.sum()  # of the share, by degree
    return (
        _estimate(PROCESSING_CAPACITY, value, without, by_degree, pairs),
        _estimate(PROCESSING_CAPACITY_FOUND, *_degree_totals(fits, _significant(basis, fits)), by_degree),
        _estimate(LINEAR_SHARE, linear, without[:, 0] / without.sum(1), share, pairs @ steepness),
    )


def _estimate(
    quantity: Quantity, value: Any, without: np.ndarray, fields: dict[str, Any], pairs: np.ndarray | None = None
) -> Estimate:
    count, entries = len(without), np.size(value)
    pairs = None if pairs is None else pairs.reshape(count, count, entries)
    error = jackknife_error(without.reshape(count, entries), pairs)
    bounds = interval(value, error if np.ndim(value) else float(error[0]), len(without), without)
    if fields["cannot_tell"]:
        bounds = {"standard_error": bounds["standard_error"], "without": without}
    return Estimate(quantity, value, **bounds, **fields)


def _facts(basis: Basis) -> dict[str, Any]:
    return {
        "rank": basis.rank,
        "bound": basis.bound,
        "samples": basis.samples,
        "sequences": basis.sequences,
        "condition": basis.condition,
    }


def _doubt(basis: Basis, white: bool) -> str:
    needed = SAMPLES_PER_DIRECTION * basis.rank
    if basis.samples < needed:
        return f"{basis.samples} samples for {basis.rank} directions of the state, {needed} are needed"
    if basis.sequences < FEWEST_SEQUENCES:
        return TOO_FEW
    if not white and basis.sequences < FEWEST_COLOURED_SEQUENCES:
        return f"inputs that depend on their past need {FEWEST_COLOURED_SEQUENCES} sequences or more"
    return ""


def _refuse_shapes(states: States, inputs: Inputs) -> None:
    if len(states) != len(inputs) or inputs.shape[1] < states.shape[1]:
        raise ValueError(
            "capacities need states and inputs of the same sequences, inputs at least as long: got states "
            f"{states.shape} and inputs {inputs.shape}; give (sequence, time, state) and "
            "(sequence, lead + time, input)"
        )
    for name, array in {"states": states, "inputs": inputs}.items():
        if not np.isfinite(array).all():
            raise ValueError(f"capacities need finite {name}, found NaN or infinity; rescale or shorten the run")


def _refuse_single(states: States, white: bool) -> None:
    if not white and len(states) < 2:
        raise ValueError(
            "inputs that depend on their past need several sequences to tell memory from chance, got 1; "
            f"cut it into {FEWEST_COLOURED_SEQUENCES} blocks or more"
        )


def _aligned(states: States, targets: Inputs, max_lag: int | None) -> tuple[LaterStates, Series]:
    """States and targets, with as many targets before the first state as there are lags to ask for."""
    sequences, steps, _ = states.shape
    lead = targets.shape[1] - steps
    reach = min(max(lead, steps // 4), sequences * steps // targets.shape[2]) if max_lag is None else max_lag
    dropped = max(0, reach - lead)
    if 2 * dropped > steps:
        raise ValueError(
            f"lag {reach} needs inputs from before the states, and {max(lead, 0)} such steps are given with {steps} "
            f"states; ask for max_lag <= {max(lead + steps // 2, 0)} or give longer sequences"
        )
    return states[:, dropped:], _series(targets, steps - dropped + reach)


def _series(inputs: Inputs, length: int) -> Series:
    """The last `length` steps, time last, as polynomials of the first degree."""
    return np.ascontiguousarray(np.moveaxis(inputs[:, -length:], -1, 0))[None]


def _linear_fits(basis: Basis, series: Series, may_stop: bool, white: bool) -> Fits:
    if not may_stop:
        return sweep(basis, series, 1, basis.lags_in(series), white=white)
    directions = series.shape[1]
    fewest = max(FEWEST_PRODUCT_LAGS, min(FEWEST_LAGS, FEWEST_TARGETS // directions))
    most = min(basis.lags_in(series), max(FEWEST_PRODUCT_LAGS, MOST_TARGETS // directions))
    return sweep(basis, series, 1, most, fewest=fewest, white=white)


def _refitted(
    basis: Basis, fits: Fits, predictor: Predictor, seen: Float[np.ndarray, "longer input rank"]
) -> tuple[Float[np.ndarray, " lag"], Float[np.ndarray, "left_out lag"]]:
    """Memory by lag, and without each sequence when whitening and predictor, too, are fitted without it.

    `seen` are the correlations of the basis with the inputs at `fits.lags + predictor.order` lags.
    """
    value, without = fits.by_lag()
    lagged = [seen[k : k + fits.lags] for k in range(1, predictor.order + 1)]
    rest = seen[: fits.lags] - sum(a.T @ s for a, s in zip(predictor.coefficients, lagged, strict=True))
    rest = predictor.whitening.T @ rest
    towards = (rest * basis.shrinkage).swapaxes(1, 2)
    # To first order: memory is the trace of rest rest^T, whitened by the inverse of its correlation matrix.
    moved = -_inner(predictor.correlations_without - np.eye(rest.shape[1]), rest @ towards)
    for k, s in enumerate(lagged):
        shift = predictor.coefficients_without[:, k] - predictor.coefficients[k]
        moved -= 2 * _inner(shift, s @ towards @ predictor.whitening.T)
    return value, without + moved


def _inner(a: Float[np.ndarray, "left_out row column"], b: Float[np.ndarray, "lag row column"]) -> np.ndarray:
    """Inner products of all pairs of matrices."""
    return a.reshape(len(a), b[0].size) @ b.reshape(len(b), -1).T


def _channels(channels: int, factors: int) -> np.ndarray:
    """Channels that enter products of `factors` inputs: all, or as many as leave ten lags for each, evenly spaced."""
    count = min(channels, factors // FEWEST_PRODUCT_LAGS)
    return np.linspace(0, channels - 1, count).round().astype(int)


def _products(
    basis: Basis, scaled: Float[np.ndarray, "channel sequence time"], degree: int, factors: int, may_stop: bool
) -> Fits:
    powers = np.stack([legendre(scaled, power) for power in range(1, degree + 1)])
    most = min(basis.lags_in(powers), factors // len(scaled))
    return sweep(basis, powers, degree, most, fewest=min(FEWEST_LAGS, most // 2) if may_stop else None)


def _degree_totals(
    fits: dict[int, Fits], chosen: Chosen
) -> tuple[Float[np.ndarray, " degree"], Float[np.ndarray, "sequence degree"]]:
    value = np.array([f.capacity[chosen[d]].sum() for d, f in fits.items()])
    return value, np.stack([f.without[:, chosen[d]].sum(1) for d, f in fits.items()], 1)


def _significant(basis: Basis, fits: dict[int, Fits]) -> Chosen:
    """Which R^2 exceed the chi-square level that in 95% of runs no product without relation reaches."""
    tests = sum(len(f.terms) for f in fits.values())
    level = stats.chi2.isf(FAMILY_ERROR / tests, basis.rank) / basis.samples
    return {d: f.raw > np.maximum(1, f.null_excess) * level for d, f in fits.items()}


def _coverage(fits: dict[int, Fits], channels: Chosen) -> dict[str, Any]:
    return {
        "lags": [f.lags for f in fits.values()],
        "channels": [len(c) for c in channels.values()],
        "terms": [len(f.terms) for f in fits.values()],
        "raw_totals": [float(f.raw.sum()) for f in fits.values()],
        "strongest": _strongest(fits, channels),
    }


def _strongest(fits: dict[int, Fits], channels: Chosen) -> list[dict[str, Any]]:
    terms = [(float(r2), d, t) for d, f in fits.items() for r2, t in zip(f.capacity, f.terms, strict=True)]
    return [_described(r2, Counter(term), channels[d]) for r2, d, term in sorted(terms)[: -STRONGEST - 1 : -1]]


def _described(r2: float, powers: Counter, channels: np.ndarray) -> dict[str, Any]:
    return {
        "lags": [lag for lag, _ in powers],
        "channels": [int(channels[c]) for _, c in powers],
        "degrees": list(powers.values()),
        "r2": r2,
    }


def _share_doubt(basis: Basis, value: Float[np.ndarray, " degree"], channels: Chosen) -> str:
    linear, square, cube = (len(c) for c in channels.values())
    if cube < linear:
        return f"products were tried of {square} (degree 2) and {cube} (degree 3) of {linear} channels only"
    if value.sum() < 0.5 * basis.rank:
        return "most capacity lies beyond degree 3 or the lags tested, or is not driven by the input"
    return ""
