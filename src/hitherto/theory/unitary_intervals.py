"""Boxes that hold the states of a ReLU network step by step, and what linear functions of the states reach in them.

From low = high = h[-1], with W+ and W- the positive and negative parts of W:

    high <- relu(W+ high - W- low + max(F x + b)),    low <- relu(W+ low - W- high + min(F x + b)).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from hitherto.theory.unitary_network import Inputs, Network, refuse_complex

POWERS = 30  # steps of the power iteration
Box = tuple[Float[np.ndarray, " state"], Float[np.ndarray, " state"]]
LONGEST = 2_000  # steps that are followed one by one; the rest is bounded as one
HUGE = 1e100  # states beyond which boxes no longer help
SETTLED = 1e-12  # a rest below this, relative to the states, ends the steps


def interval_bound(
    network: Network, rows: Float[np.ndarray, "row state"], inputs: Inputs, horizon: int | None = None
) -> Float[np.ndarray, " row"]:
    """Largest rows+ high - rows- low over the boxes of h[-1], ..., h[T-2]: an upper bound on rows h[k-1], k < T.

    Args:
        network: of ReLU units.
        rows: what is to be bounded, a row each.
        inputs: where x[k] comes from.
        horizon: T, steps; None for ever, when the bound is infinite unless the spectral radius of |W| is below 1.
    Raises:
        ValueError: for complex weights, or a horizon below 1.

    Cost: T n^2 for up to 2,000 steps, less where the boxes settle.
    Source: our derivation.
    """
    return np.max([greatest(rows, *box) for box in boxes(network, inputs, horizon)], axis=0)


def boxes(network: Network, inputs: Inputs, horizon: int | None = None) -> Iterator[Box]:
    """(low, high) of h[-1], h[0], ..., h[T-2]; where they settle the last one holds for all steps that follow.

    With e = |change in the last step|, all later states lie within the sum of |W|^j e, j >= 1, which is
    (I - |W|)^-1 |W| e where the spectral radius of |W| is below 1.

    Args:
        network, inputs, horizon: as for `interval_bound`.
    Raises:
        ValueError: as for `interval_bound`.
    """
    refuse_complex(weight_hh=network.weight_hh, weight_ih=network.weight_ih, bias=network.bias, initial=network.initial)
    refuse_horizon(horizon)
    low = high = network.initial.astype(np.float64)
    later, rest = _summed_powers(np.abs(network.weight_hh)), np.full(network.states, np.inf)
    drive = _drive(network, inputs)
    yield low, high
    for _ in range(min(horizon or LONGEST, LONGEST) - 1):
        if (horizon is None and later is None) or (high > HUGE).any():
            break
        before, (low, high) = (low, high), _next(network.weight_hh, drive, low, high)
        yield low, high
        if later is not None:
            rest = later @ np.maximum(np.abs(low - before[0]), np.abs(high - before[1]))
        if (rest <= SETTLED * (1 + high)).all():
            break
    else:
        if horizon is not None and horizon <= LONGEST:
            return
    yield np.maximum(low - rest, 0), high + rest


def greatest(
    rows: Float[np.ndarray, "row state"], low: Float[np.ndarray, " state"], high: Float[np.ndarray, " state"]
) -> Float[np.ndarray, " row"]:
    """rows+ high - rows- low, the largest value of rows h over low <= h <= high; infinite where that is not known."""
    with np.errstate(over="ignore", invalid="ignore"):
        terms = np.where(rows > 0, rows * high, np.where(rows < 0, rows * low, 0))
        return np.nan_to_num(terms.sum(1), nan=np.inf, posinf=np.inf)


def preactivation_range(
    network: Network, inputs: Inputs, low: Float[np.ndarray, " state"], high: Float[np.ndarray, " state"]
) -> Box:
    """Least and greatest W h + F x + b over a box of states."""
    return _entering(network.weight_hh, _drive(network, inputs), low, high)


def refuse_horizon(horizon: int | None) -> None:
    """Refuse what is no number of steps.

    Raises:
        ValueError: for a horizon below 1.
    """
    if horizon is not None and horizon < 1:
        raise ValueError(f"a bound was asked for over {horizon} steps; give a horizon of at least 1, or None for ever")


def _drive(network: Network, inputs: Inputs) -> Box:
    """Least and greatest F x + b."""
    least, most = inputs.range(network.weight_ih)
    return network.bias + least, network.bias + most


def _entering(
    w: Float[np.ndarray, "state state"], drive: Box, low: Float[np.ndarray, " state"], high: Float[np.ndarray, " state"]
) -> Box:
    return drive[0] - greatest(-w, low, high), drive[1] + greatest(w, low, high)


def _next(
    w: Float[np.ndarray, "state state"], drive: Box, low: Float[np.ndarray, " state"], high: Float[np.ndarray, " state"]
) -> Box:
    least, most = _entering(w, drive, low, high)
    return np.maximum(least, 0), np.maximum(most, 0)


def _summed_powers(size: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state state"] | None:
    """|W| + |W|^2 + ... = (I - |W|)^-1 |W|; None if the sum diverges.

    Most matrices are told by the bounds of Collatz and Wielandt: for x > 0 the spectral radius lies between the least
    and the largest ratio of |W| x to x.
    """
    x = np.ones(len(size))
    for _ in range(POWERS):
        after = size @ x
        if (after >= x).all():
            return None
        if (after < x).all():
            break
        x = after + np.finfo(float).tiny + 1e-3 * after.max()
    else:
        if np.abs(np.linalg.eigvals(size)).max() >= 1:
            return None
    return np.linalg.solve(np.eye(len(size)) - size, size)
