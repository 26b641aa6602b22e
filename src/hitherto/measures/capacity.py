"""What a linear readout of the state can tell of past inputs and of products of past inputs.

Both measures take states and inputs as arrays, so it does not matter how the states were made.
"""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats

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
from hitherto.measures._regression import Basis, Fits, Series, basis_of, sweep
from hitherto.measures._statistics import FEWEST_SEQUENCES, TOO_FEW, interval, jackknife_error

SAMPLES_PER_DIRECTION = 20
FEWEST_COLOURED_SEQUENCES = 16
NOISE = 1e-6  # of the mean state variance: 60 dB
FEWEST_LAGS = 50
MOST_DIRECTIONS, PROJECTED_DIRECTIONS = 64, 32
LONGEST_PREDICTOR = 20
MOST_TERMS = 5000
VARIABLES = {1: MOST_TERMS, 2: 100, 3: 30}  # factors to choose from, by degree; about 5000 products each
FEWEST_PRODUCT_LAGS = 10
FAMILY_ERROR = 0.05
STRONGEST = 10
CHANCE = 6.0  # standard errors that no accident reaches

States = Float[np.ndarray, "sequence time state"]
Inputs = Float[np.ndarray, "sequence lead_and_time input"]

SOURCE = "Dambre, Verstraeten, Schrauwen, Massar (2012); correction for finite samples and intervals: our derivation"
LINEAR_READOUT = (
    "linear readability: a nonlinear readout may recover more, and a trained readout may use less"
)
ANY_AMPLITUDE = (
    "a state variable of any amplitude counts in full; linear_memory_capacity_noisy does not count tiny ones"
)
FORGETS = "the states have forgotten their start"


def linear_memory(
    states: States,
    inputs: Inputs,
    *,
    white: bool = True,
    state_precision: Any = None,
    part: str = "",
    max_lag: int | None = None,
) -> tuple[Estimate, Estimate, Estimate]:
    """Linear memory by lag, MC(k) = sum over whitened channels of R^2(x[t-k] | affine in s[t]), and its sum over k.

    R^2 is corrected for what pure chance explains: by mean(|u|^2 e^2) / (samples mean z^2), u the state in an
    orthonormal basis and e the residual, for white inputs; by the spread of sum u e over sequences for
    coloured ones. Not clipped, so a lag without memory scatters around 0.

    Args:
        states: after each step, s[t] with x[t] already in it. The whole state, or the part whose memory is
            asked.
        inputs: ending at the same step as the states; `lead` more steps in front, if there are any, serve the
            first states' lags. Discrete inputs as one-hot vectors. With less lead than the lags need, the
            first states are dropped.
        white: inputs are independent over time. If not, the targets are the innovations of an autoregression
            fitted to the inputs (order by AIC, at most 20), and the curve for the inputs themselves, which
            counts what they tell of each other, is in `statistics["free_memory"]`.
        state_precision: the precision the states were computed in, if it is not their dtype.
        part: which part of the model this is, for the reader.
        max_lag: lags 0 to `max_lag` exactly. By default at least 50 lags, until ten in a row are within two
            standard errors of nothing, at most the lead or a quarter of the steps.
    Returns:
        `LINEAR_MEMORY` by lag, `LINEAR_MEMORY_CAPACITY`, and `LINEAR_MEMORY_CAPACITY_NOISY`, which is the one
        to
        compare models by: the first two depend on the precision of the states. 95% intervals by jackknife
        over sequences; `cannot_tell` below 8 sequences (16 for coloured inputs) or 20 samples per direction
        of the state.
    Raises:
        ValueError: for shapes that do not fit, constant inputs or states, fewer samples than state
            directions, coloured inputs that are called white or are predictable without error.

    Beyond 64 input directions only the 32 of largest variance are followed, and the capacity is a floor.
    Cost: samples x rank x (state + 3 lags x channels) products; memory two copies of the states.
    Does not tell: what the readout of the trained model uses, or memory that is not linear.
    """
    _refuse_shapes(states, inputs)
    inputs = _whitened(inputs.astype(np.float64), PROJECTED_DIRECTIONS)
    if white:
        _refuse_coloured(inputs)
    targets, order = (inputs, 0) if white else _innovations(inputs)
    states, series = _aligned(states, targets, max_lag)
    basis = basis_of(states, state_precision or states.dtype)
    lags, fewest = _lags(states, series), (None if max_lag is not None else FEWEST_LAGS)
    fits = sweep(basis, series, 1, lags, fewest=fewest, white=white)
    noisy = sweep(basis.with_noise(NOISE), series, 1, fits.lags, fewest=None, white=white)
    statistics = _facts(basis) | {"lags": fits.lags, "directions": len(series[0]), "predictor_order": order}
    if not white:
        raw = _series(inputs)[..., -series.shape[-1] :]
        statistics["free_memory"] = sweep(basis, raw, 1, fits.lags, fewest=None, white=False).by_lag()[0]
    shared = {
        "part": part,
        "cannot_tell": _doubt(basis, white),
        "assumptions": _assumptions(white),
        "source": SOURCE,
    }
    curve, without = fits.by_lag()
    shown = {"axes": {"lag": np.arange(fits.lags)}, "statistics": statistics}
    totals = {"raw_total": float(fits.raw.sum()), "tail_at_most": basis.rank - float(curve.sum())}
    return (
        _estimate(LINEAR_MEMORY, curve, without, shared | shown),
        _total(LINEAR_MEMORY_CAPACITY, fits, shared | {"statistics": statistics | totals}),
        _total(LINEAR_MEMORY_CAPACITY_NOISY, noisy, shared | {"statistics": statistics | {"noise": NOISE}}),
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
    """Information processing capacity by degree: sum of R^2(z | affine in s[t]) over z = prod_j p_dj(x[c_j, t - k_j]).

    p_1 = 3^(1/2) x, p_2 = 5^(1/2) (3 x^2 - 1) / 2, p_3 = 7^(1/2) (5 x^3 - 3 x) / 2 are orthonormal for x
    uniform on [-1, 1], to which [low, high] is mapped; the products are orthonormal too, so that the sum over
    all of them is at most the rank of the state covariance, with equality for a state that forgets its start
    and has no other source. R^2 is corrected for chance as in `linear_memory`.

    Args:
        states, inputs, state_precision, part, max_lag: as for `linear_memory`; `max_lag` bounds the lags of
            all degrees.
        low, high: ends of the uniform law of the inputs, the same for all channels.
    Returns:
        `PROCESSING_CAPACITY` for degrees 1, 2, 3: the estimate, with jackknife intervals over sequences.
        `PROCESSING_CAPACITY_FOUND`: the part in products that are significant, all tests together at 5%; a
        floor,
        whose interval takes the choice of products as fixed. `LINEAR_SHARE`: degree 1 over all three.
        `statistics["strongest"]` lists the ten strongest products; `lags`, `channels` and `terms`, by degree,
        what
        was tried: at most 5000 lags of channels, products of the 100 newest inputs for degree 2 and of 30 for
        degree 3. With many channels an evenly spaced few enter products, ten lags of each.
    Raises:
        ValueError: for shapes that do not fit, states that are constant or too many, inputs that are not
            independent and uniform on [low, high]. For other laws the products are not orthonormal and
            capacities
            not defined: drive the model with white noise.

    Cost: samples x rank x terms x 2.5 products for about 10 000 terms; never samples x terms of memory.
    Does not tell: whether what is missing up to the rank is of higher degree, older, or not driven by the
        inputs.
    """
    _refuse_shapes(states, inputs)
    scaled = (2 * inputs.astype(np.float64) - low - high) / (high - low)
    _refuse_another_law(scaled, low, high)
    states, series = _aligned(states, scaled, max_lag)
    basis = basis_of(states, state_precision or states.dtype)
    channels = {degree: _channels(degree, series.shape[1]) for degree in VARIABLES}
    fits = {
        degree: _products(basis, series[0, chosen], degree, _lags(states, series), max_lag is None)
        for degree, chosen in channels.items()
    }
    law = f"inputs independent over time and channels, uniform on [{low:.4g}, {high:.4g}]"
    shared = {
        "part": part,
        "source": SOURCE,
        "assumptions": (law, FORGETS, LINEAR_READOUT, ANY_AMPLITUDE),
        "cannot_tell": _doubt(basis, white=True),
        "statistics": _facts(basis) | _coverage(fits, channels),
    }
    significant = _significant(basis, fits)
    by_degree = shared | {"axes": {"degree": np.array(list(fits))}}
    value, without = _degree_totals(fits)
    return (
        _estimate(PROCESSING_CAPACITY, value, without, by_degree),
        _estimate(PROCESSING_CAPACITY_FOUND, *_degree_totals(fits, significant), by_degree),
        _estimate(
            LINEAR_SHARE,
            float(value[0] / value.sum()),
            without[:, 0] / without.sum(1),
            shared | {"cannot_tell": shared["cannot_tell"] or _share_doubt(basis, value, channels)},
        ),
    )


def _estimate(quantity: Quantity, value: Any, without: np.ndarray, fields: dict[str, Any]) -> Estimate:
    bounds = interval(value, jackknife_error(without), len(without))
    if fields["cannot_tell"]:
        bounds = {"standard_error": bounds["standard_error"]}
    return Estimate(quantity, value, **bounds, **fields)


def _total(quantity: Quantity, fits: Fits, fields: dict[str, Any]) -> Estimate:
    return _estimate(quantity, float(fits.capacity.sum()), fits.without.sum(1), fields)


def _facts(basis: Basis) -> dict[str, Any]:
    return {
        "rank": basis.rank,
        "bound": basis.bound,
        "samples": basis.samples,
        "sequences": basis.sequences,
        "condition": basis.condition,
    }


def _assumptions(white: bool) -> tuple[str, ...]:
    law = (
        "inputs independent over time"
        if white
        else "targets are the innovations of an autoregression fitted to the inputs; free_memory is of the inputs"
    )
    return law, FORGETS, LINEAR_READOUT, ANY_AMPLITUDE


def _doubt(basis: Basis, white: bool) -> str:
    needed = SAMPLES_PER_DIRECTION * basis.rank
    if basis.samples < needed:
        return f"{basis.samples} samples are too few for {basis.rank} directions of the state: {needed} are needed"
    if basis.sequences < FEWEST_SEQUENCES:
        return TOO_FEW
    if not white and basis.sequences < FEWEST_COLOURED_SEQUENCES:
        return (
            f"fewer than {FEWEST_COLOURED_SEQUENCES} sequences of inputs that depend on each other over time"
        )
    return ""


# Inputs as targets


def _series(inputs: Inputs) -> Series:
    return np.ascontiguousarray(np.moveaxis(inputs, -1, 0))[None]


def _aligned(states: States, targets: Inputs, max_lag: int | None) -> tuple[States, Series]:
    """States and targets, with as many targets before the first state as there are lags to ask for."""
    sequences, steps, _ = states.shape
    lead = targets.shape[1] - steps
    reach = (
        max_lag if max_lag is not None else min(max(lead, steps // 4), sequences * steps // targets.shape[2])
    )
    dropped = max(0, reach - lead)
    if 2 * dropped > steps:
        raise ValueError(
            f"lag {reach} needs inputs from before the states: {max(lead, 0)} such steps and {steps} states are "
            f"given; ask for max_lag <= {max(lead + steps // 2, 0)} or give longer sequences"
        )
    return states[:, dropped:], _series(targets[:, lead + dropped - reach :])


def _lags(states: States, series: Series) -> int:
    return series.shape[-1] - states.shape[1] + 1


def _whitened(x: Inputs, most: int | None = None, floor: float = 0.0) -> Inputs:
    """Centred, uncorrelated channels of variance 1, on the directions whose variance is above rounding and `floor`."""
    x = x - x.mean((0, 1))
    flat = x.reshape(-1, x.shape[-1])
    variances, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    kept = variances > max(floor, 1e-13 * variances[-1])
    if not kept.any() or variances[-1] <= 0:
        raise ValueError(
            "linear memory needs inputs with something to remember; these are "
            + ("predictable from their own past without error" if floor else "constant")
            + ". Drive the model with white noise instead"
        )
    kept &= np.arange(len(kept)) >= len(kept) - (most if most and len(kept) > MOST_DIRECTIONS else len(kept))
    return x @ (axes[:, kept] / np.sqrt(variances[kept]))[:, ::-1]


def _innovations(x: Inputs) -> tuple[Inputs, int]:
    """What an autoregression of order chosen by AIC cannot predict of x[t], whitened; and the order.

    One Cholesky factor of the Gram matrix of (x[t-1], ..., x[t-P], x[t]) holds the residuals of every order.
    """
    sequences, steps, channels = x.shape
    longest = max(1, min(LONGEST_PREDICTOR, steps // 4, sequences * steps // (20 * channels)))
    samples = sequences * (steps - longest)
    lagged = [np.concatenate([s[longest - k : steps - k] for k in [*range(1, longest + 1), 0]], 1) for s in x]
    gram = sum(a.T @ a for a in lagged)
    past = channels * longest
    factor = np.linalg.cholesky(gram + 1e-10 * samples * np.eye(len(gram)))
    shares = factor[past:, :past].reshape(channels, longest, channels)
    explained = np.cumsum(np.einsum("ika,jka->kij", shares, shares), 0)
    residual = gram[past:, past:] - np.concatenate([np.zeros((1, channels, channels)), explained])
    spread = np.linalg.slogdet(residual / samples + 1e-9 * np.eye(channels))[1]
    order = int(np.argmin(samples * spread + 2 * channels**2 * np.arange(longest + 1)))
    used = order * channels
    weights = np.linalg.solve(factor[:used, :used].T, factor[past:, :used].T)
    predicted = np.zeros_like(x[:, order:])
    for k in range(1, order + 1):
        predicted += x[:, order - k : steps - k] @ weights[(k - 1) * channels : k * channels]
    return _whitened(x[:, order:] - predicted, floor=1e-8), order


# Products


def _channels(degree: int, channels: int) -> np.ndarray:
    """Channels that enter products of a degree: all, or as many as leave ten lags for each, evenly spaced."""
    count = min(channels, VARIABLES[degree] // FEWEST_PRODUCT_LAGS)
    return np.linspace(0, channels - 1, count).round().astype(int)


def _legendre(x: Float[np.ndarray, "..."], degree: int) -> Float[np.ndarray, "..."]:
    """Legendre polynomial with mean square 1 for x uniform on [-1, 1]."""
    return np.sqrt(2 * degree + 1) * special.eval_legendre(degree, x)


def _products(
    basis: Basis, scaled: Float[np.ndarray, "channel sequence time"], degree: int, lags: int, may_stop: bool
) -> Fits:
    powers = np.stack([_legendre(scaled, power) for power in range(1, degree + 1)])
    most = min(lags, VARIABLES[degree] // len(scaled))
    return sweep(basis, powers, degree, most, fewest=min(FEWEST_LAGS, most // 2) if may_stop else None)


def _degree_totals(
    fits: dict[int, Fits], chosen: dict[int, np.ndarray] | None = None
) -> tuple[Float[np.ndarray, " degree"], Float[np.ndarray, "sequence degree"]]:
    masks = chosen or {degree: np.ones(len(f.terms), bool) for degree, f in fits.items()}
    value = np.array([f.capacity[masks[d]].sum() for d, f in fits.items()])
    return value, np.stack([f.without[:, masks[d]].sum(1) for d, f in fits.items()], 1)


def _significant(basis: Basis, fits: dict[int, Fits]) -> dict[int, np.ndarray]:
    """Which R^2 exceed the chi-square level that no product without relation reaches in 95% of runs."""
    tests = sum(len(f.terms) for f in fits.values())
    level = stats.chi2.isf(FAMILY_ERROR / tests, basis.rank) / basis.samples
    return {d: f.raw > np.maximum(1, f.null_excess) * level for d, f in fits.items()}


def _coverage(fits: dict[int, Fits], channels: dict[int, np.ndarray]) -> dict[str, Any]:
    return {
        "lags": [f.lags for f in fits.values()],
        "channels": [len(c) for c in channels.values()],
        "terms": [len(f.terms) for f in fits.values()],
        "raw_totals": [float(f.raw.sum()) for f in fits.values()],
        "strongest": _strongest(fits, channels),
    }


def _strongest(fits: dict[int, Fits], channels: dict[int, np.ndarray]) -> list[dict[str, Any]]:
    terms = [
        (float(r2), d, term) for d, f in fits.items() for r2, term in zip(f.capacity, f.terms, strict=True)
    ]
    top = sorted(terms, reverse=True)[:STRONGEST]
    return [_described(r2, Counter(term), channels[degree]) for r2, degree, term in top]


def _described(r2: float, powers: Counter, channels: np.ndarray) -> dict[str, Any]:
    return {
        "lags": [lag for lag, _ in powers],
        "channels": [int(channels[c]) for _, c in powers],
        "degrees": list(powers.values()),
        "r2": r2,
    }


def _share_doubt(basis: Basis, value: Float[np.ndarray, " degree"], channels: dict[int, np.ndarray]) -> str:
    if len(channels[3]) < len(channels[1]):
        return f"products of {len(channels[2])} and {len(channels[3])} of {len(channels[1])} channels only were tried"
    if value.sum() < 0.5 * basis.rank:
        return "most capacity lies beyond degree 3 or the lags tested, or is not driven by the input"
    return ""


# Refusals


def _refuse_shapes(states: States, inputs: Inputs) -> None:
    if len(states) != len(inputs) or inputs.shape[1] < states.shape[1]:
        raise ValueError(
            f"states and inputs must be of the same sequences, inputs at least as long: got states {states.shape} "
            f"and inputs {inputs.shape}; give (sequence, time, state) and (sequence, lead + time, input)"
        )
    for name, array in {"states": states, "inputs": inputs}.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f"capacities need finite {name}; found NaN or infinity. Shorten or rescale the run"
            )


def _refuse_coloured(whitened: Inputs) -> None:
    # Each sequence gives one lag-1 product; a t test over sequences stands the heavy tails of rare tokens.
    sequences, _, channels = whitened.shape
    if sequences < FEWEST_SEQUENCES:
        return
    products = (whitened[:, 1:] * whitened[:, :-1]).mean(1)
    limit = stats.t.isf(1e-7 / channels, sequences - 1)
    value, variance = products.mean(0), products.var(0, ddof=1)
    if (value**2 > limit**2 * variance / sequences).any():
        raise ValueError(
            f"white=True needs inputs that are independent over time; neighbouring steps correlate by "
            f"{value[np.argmax(np.abs(value))]:.3f}. Pass white=False, or drive the model with white noise"
        )


def _refuse_another_law(scaled: Inputs, low: float, high: float) -> None:
    polynomials = np.concatenate([_legendre(scaled, power) for power in range(1, 5)], -1)
    x = polynomials[:, :, : scaled.shape[-1]]
    neighbours = (x[:, 1:] * x[:, :-1]).mean((0, 1))
    mixed = np.einsum("stc,std->cd", x, x) / (len(x) * x.shape[1])
    means = np.concatenate([polynomials.mean((0, 1)), neighbours, mixed[np.triu_indices(len(mixed), 1)]])
    off = np.abs(means).max() * np.sqrt(x.shape[0] * x.shape[1])
    if np.abs(scaled).max() > 1 + 1e-6 or off > CHANCE:
        raise ValueError(
            f"processing capacity needs inputs that are independent and uniform on [{low:.4g}, {high:.4g}]; these "
            f"reach from {scaled.min() * (high - low) / 2 + (low + high) / 2:.4g} to "
            f"{scaled.max() * (high - low) / 2 + (low + high) / 2:.4g} and a moment is {off:.1f} standard errors off. "
            "Drive the model with white noise of that law, or use linear_memory"
        )
