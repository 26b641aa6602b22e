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
LINEAR_READOUT = "linear readability: a nonlinear readout may recover more, and a trained readout may use less"
ANY_AMPLITUDE = "a state variable of any amplitude counts in full; linear_memory_capacity_noisy does not count tiny ones"
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
    orthonormal basis and e the residual, for white inputs; by the spread of sum u e over sequences for coloured
    ones. Not clipped, so a lag without memory scatters around 0.

    Args:
        states: after each step, s[t] with x[t] already in it. The whole state, or the part whose memory is asked.
        inputs: ending at the same step as the states; `lead` more steps in front, if there are any, serve the first
            states' lags. Discrete inputs as one-hot vectors. With less lead than the lags need, the first states
            are dropped.
        white: inputs are independent over time. If not, the targets are the innovations of an autoregression fitted
            to the inputs (order by AIC, at most 20), and the curve for the inputs themselves, which counts what
            they tell of each other, is in `statistics["free_memory"]`.
        state_precision: the precision the states were computed in, if it is not their dtype.
        part: which part of the model this is, for the reader.
        max_lag: lags 0 to `max_lag` exactly. By default at least 50 lags, until ten in a row are within two standard
            errors of nothing, at most the lead or a quarter of the steps.
    Returns:
        `LINEAR_MEMORY` by lag, `LINEAR_MEMORY_CAPACITY`, and `LINEAR_MEMORY_CAPACITY_NOISY`, which is the one to
        compare models by: the first two depend on the precision of the states. 95% intervals by jackknife over
        sequences; `cannot_tell` below 8 sequences (16 for coloured inputs) or 20 samples per direction of the state.
    Raises:
        ValueError: for shapes that do not fit, constant inputs or states, fewer samples than state directions,
            coloured inputs that are called white or are predictable without error.

    Beyond 64 input directions only the 32 of largest variance are followed, and the capacity is a floor.
    Cost: samples x rank x (state + 3 lags x channels) products; memory two copies of the states.
    Does not tell: what the readout of the trained model uses, or memory that is not linear.
    """
    _check_shapes(states, inputs)
    targets, told = _linear_targets(inputs, white)
    states, series = _aligned(states, targets, max_lag)
    basis = basis_of(states, state_precision or states.dtype)
    most = series.shape[-1] - states.shape[1] + 1
    fewest = None if max_lag is not None else FEWEST_LAGS
    fits = sweep(basis, series[:1], 1, most, fewest=fewest, white=white)
    noisy = sweep(basis.with_noise(NOISE), series[:1], 1, fits.lags, fewest=None, white=white)
    doubt = _doubt(basis, white)
    shared = dict(part=part, cannot_tell=doubt, source=SOURCE, assumptions=_assumptions(told))
    statistics = _facts(basis) | told | dict(lags=fits.lags)
    if not white:
        free = sweep(basis, series[1:], 1, fits.lags, fewest=None, white=False)
        statistics["free_memory"] = free.by_lag()[0]
    return (
        _by_lag(fits, statistics, shared),
        _summed(LINEAR_MEMORY_CAPACITY, fits, statistics | _totals(basis, fits), shared),
        _summed(LINEAR_MEMORY_CAPACITY_NOISY, noisy, statistics | dict(noise=NOISE), shared),
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

    p_1 = 3^(1/2) x, p_2 = 5^(1/2) (3 x^2 - 1) / 2, p_3 = 7^(1/2) (5 x^3 - 3 x) / 2 are orthonormal for x uniform on
    [-1, 1], to which [low, high] is mapped; the products are orthonormal too, so that the sum over all of them is at
    most the rank of the state covariance, with equality for a state that forgets its start and has no other source.
    R^2 is corrected for chance as in `linear_memory`.

    Args:
        states, inputs, state_precision, part, max_lag: as for `linear_memory`; `max_lag` bounds the lags of all
            degrees.
        low, high: ends of the uniform law of the inputs, the same for all channels.
    Returns:
        `PROCESSING_CAPACITY` for degrees 1, 2, 3: the estimate, with jackknife intervals over sequences.
        `PROCESSING_CAPACITY_FOUND`: the part in products that are significant, all tests together at 5%; a floor,
        whose interval takes the choice of products as fixed. `LINEAR_SHARE`: degree 1 over all three.
        `statistics["strongest"]` lists the ten strongest products; `lags`, `channels` and `terms`, by degree, what
        was tried: at most 5000 lags of channels, products of the 100 newest inputs for degree 2 and of 30 for
        degree 3. With many channels an evenly spaced few enter products, ten lags of each.
    Raises:
        ValueError: for shapes that do not fit, states that are constant or too many, inputs that are not
            independent and uniform on [low, high]. For other laws the products are not orthonormal and capacities
            not defined: drive the model with white noise.

    Cost: samples x rank x terms x 2.5 products for about 10 000 terms; never samples x terms of memory.
    Does not tell: whether what is missing up to the rank is of higher degree, older, or not driven by the inputs.
    """
    _check_shapes(states, inputs)
    _refuse_another_law(inputs, low, high)
    states, inputs = _aligned(states, np.moveaxis(inputs.astype(np.float64), -1, 0)[None], max_lag)
    basis = basis_of(states, state_precision or states.dtype)
    scaled = (2 * inputs[0] - low - high) / (high - low)
    reach = inputs.shape[-1] - states.shape[1] + 1
    channels = {degree: _channels(degree, len(scaled)) for degree in VARIABLES}
    fits = {d: _products(basis, scaled[channels[d]], d, reach, max_lag is None) for d in VARIABLES}
    doubt = _doubt(basis, True)
    statistics = _facts(basis) | dict(
        lags=[f.lags for f in fits.values()],
        channels=[len(c) for c in channels.values()],
        terms=[len(f.terms) for f in fits.values()],
        raw_totals=[float(f.raw.sum()) for f in fits.values()],
        strongest=_strongest(fits, channels),
    )
    law = f"inputs independent over time and channels, uniform on [{low:.4g}, {high:.4g}]"
    shared = dict(part=part, source=SOURCE, assumptions=(law, FORGETS, LINEAR_READOUT, ANY_AMPLITUDE))
    whole = _by_degree(PROCESSING_CAPACITY, fits, {d: slice(None) for d in fits}, shared | dict(cannot_tell=doubt))
    found = _by_degree(PROCESSING_CAPACITY_FOUND, fits, _significant(basis, fits), shared | dict(cannot_tell=doubt))
    doubt = doubt or _share_doubt(basis, whole.value.sum(), channels)
    share = _share(fits, shared | dict(cannot_tell=doubt))
    return tuple(_with_statistics(e, statistics) for e in (whole, found, share))
