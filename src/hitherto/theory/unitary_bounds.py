"""How negative the bias of the extra units must be: bounds on what the states of a network can tell them.

An extra unit i of a dilation stays at 0 under ReLU for k = 0..T-1 if its bias is at most -B_i, where

    B_i = sup over k and admissible inputs of (W21 h[k-1])_i;

any larger bias lets it fire on the maximising inputs, which shows in the outputs from step k + 1 on. The states that
count are h[-1], which may have negative entries, and h[0], ..., h[T-2], which have none. Where units were rescaled to
norm 1, bound W21 D^-1 on the network as it was before, whose norm is below 1.

Every formula is our derivation; `norm_bound` is the paper's style of bound.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Inexact

from hitherto.theory.unitary_intervals import boxes, interval_bound, refuse_horizon
from hitherto.theory.unitary_network import EPS, Inputs, Network, refuse_complex
from hitherto.theory.unitary_supremum import exact_bound

SOLVER = 1e-6  # tolerance of mixed-integer programs, relative to max(1, bound)


@dataclass(frozen=True, eq=False)
class ExtraBias:
    """The bias of extra units, and where it comes from.

    Attributes:
        bias: -(bounds + margins).
        bounds: the smallest of the bounds at hand, by unit.
        margins: for rounding, 64 n eps R sum over j of |W21_ij| with |h| <= R; more where a solver had the last word.
        signs: -1 for units to be negated first (`Dilation.flipped`), which makes their bound smaller.
        routes: which bound it is, by unit: `norm`, `positive part`, `interval` or `exact`.
    """

    bias: Float[np.ndarray, " extra"]
    bounds: Float[np.ndarray, " extra"]
    margins: Float[np.ndarray, " extra"]
    signs: Float[np.ndarray, " extra"]
    routes: tuple[str, ...]


def norm_bound(
    network: Network, rows: Float[np.ndarray, "row state"], inputs: Inputs, horizon: int | None = None
) -> Float[np.ndarray, " row"]:
    """|row| R with R = max(|h[-1]|, (|F| M + |b|) / (1 - |W|)), or what as many steps can reach where that is less.

    Args:
        network, rows, inputs: as for `interval_bound`; of the inputs the radius M counts.
        horizon: T, steps; None for ever, when the bound is infinite unless |W| < 1.
    Raises:
        ValueError: for a horizon below 1.
    """
    push = norm(network.weight_ih) * inputs.radius + float(np.linalg.norm(network.bias))
    return np.linalg.norm(rows, axis=1) * _radius(network, push, horizon)


def positive_part_bound(
    network: Network, rows: Float[np.ndarray, "row state"], inputs: Inputs, horizon: int | None = None
) -> Float[np.ndarray, " row"]:
    """max(row h[-1], R+ |row+|): later states are nonnegative, so only the positive part of a row counts.

    R+ = max(r |h[-1]| + q, q / (1 - r)) with r = |W| and q the smaller of |F| M + |b+| and |max(F x + b)+|; over T
    steps with r = 1 it is |h[-1]| + (T - 1) q.

    Args:
        network, rows, inputs, horizon: as for `norm_bound`.
    Raises:
        ValueError: for complex weights, or a horizon below 1.
    """
    refuse_complex(weight_hh=network.weight_hh, weight_ih=network.weight_ih, bias=network.bias, initial=network.initial)
    refuse_horizon(horizon)
    later = _farthest(network, _push(network, inputs), None if horizon is None else horizon - 1)
    sizes = np.linalg.norm(np.maximum(rows, 0), axis=1)
    return np.maximum(rows @ network.initial, np.multiply(later, sizes, out=np.zeros(len(rows)), where=sizes > 0))


def modulus_bound(
    network: Network, rows: Inexact[np.ndarray, "row state"], inputs: Inputs, horizon: int | None = None
) -> Float[np.ndarray, " row"]:
    """|row| R with R = max(|h[-1]|, (|F| M + |b+|) / (1 - |W|)), for modReLU units (|a| + b)+ a / |a|.

    A modulus bias of at most minus this keeps an extra unit at 0. Weights and states may be complex.

    Args:
        network: `bias` holds the modulus biases, real, of any sign.
        rows, inputs, horizon: as for `norm_bound`.
    Raises:
        ValueError: for a horizon below 1.
    """
    push = norm(network.weight_ih) * inputs.radius + float(np.linalg.norm(np.maximum(network.bias.real, 0)))
    return np.linalg.norm(rows, axis=1) * _radius(network, push, horizon)


def data_bound(
    rows: Float[np.ndarray, "row state"], states: Float[np.ndarray, "time state"], margin: float = 0.1
) -> Float[np.ndarray, " row"]:
    """Largest row h over given states, and a margin times its size: for twins that are equivalent on this data.

    Args:
        rows: as for `norm_bound`.
        states: h[-1] and all later ones of all sequences of the data set.
        margin: share by which unseen states may go further.
    """
    most = (states @ rows.T).max(0)
    return most + margin * np.abs(most)


def state_set(network: Network, inputs: Inputs, horizon: int | None = None) -> Inputs:
    """What h[0], ..., h[T-1] of a ReLU network can be: the inputs of the next layer of a stack.

    Args:
        network, inputs, horizon: as for `positive_part_bound`.
    Raises:
        ValueError: as for `positive_part_bound`, and if nothing bounds the states.

    Cost: as for `interval_bound`.
    """
    refuse_horizon(horizon)
    after = list(boxes(network, inputs, None if horizon is None else horizon + 1))[1:]
    low, high = np.min([box[0] for box in after], 0), np.max([box[1] for box in after], 0)
    radius = min(_farthest(network, _push(network, inputs), horizon), float(np.linalg.norm(high)))
    if not np.isfinite(radius):
        raise _no_bound(network)
    return Inputs(low, np.minimum(high, radius), radius)


def extra_bias(
    network: Network,
    rows: Float[np.ndarray, "extra state"],
    inputs: Inputs,
    horizon: int | None = None,
    *,
    exact: bool = False,
) -> ExtraBias:
    """-(the smallest bound + margin) for every row of W21, its sign chosen so that the bound is small.

    Args:
        network, rows, inputs, horizon: as for `interval_bound`, with the rows of W21, or of W21 D^-1 for the network
            before it was rescaled.
        exact: ask `exact_bound` as well, which needs a horizon.
    Raises:
        ValueError: as for `interval_bound`; if every bound is infinite; or for `exact` without a horizon.

    Cost: as for `interval_bound`, or `exact_bound` with twice the rows.
    """
    if exact and horizon is None:
        raise ValueError("an exact bound was asked for over an infinite horizon; give a horizon in steps")
    both = np.vstack([rows, -rows])
    found = {
        "norm": norm_bound(network, both, inputs, horizon),
        "positive part": positive_part_bound(network, both, inputs, horizon),
        "interval": interval_bound(network, both, inputs, horizon),
    }
    if exact:
        found["exact"] = exact_bound(network, both, inputs, horizon).bounds
    table, names = np.stack(list(found.values())), np.array(list(found))
    if not np.isfinite(table.min(0)).all():
        raise _no_bound(network)
    least = table.min(0).reshape(2, -1)
    side, unit = least.argmin(0), np.arange(len(rows))
    bounds, routes = least[side, unit], names[table.argmin(0).reshape(2, -1)[side, unit]]
    margins = _rounding(network, rows, inputs, horizon) + (routes == "exact") * SOLVER * np.maximum(1, np.abs(bounds))
    return ExtraBias(-(bounds + margins), bounds, margins, 1.0 - 2.0 * side, tuple(routes.tolist()))


def _rounding(
    network: Network, rows: Float[np.ndarray, "extra state"], inputs: Inputs, horizon: int | None
) -> Float[np.ndarray, " extra"]:
    """64 n eps R sum over j of |row_j|."""
    if not len(rows):
        return np.zeros(0)
    reach = max(state_set(network, inputs, horizon).radius, float(np.linalg.norm(network.initial)))
    return 64 * network.states * EPS * reach * np.abs(rows).sum(1)


def _radius(network: Network, push: float, horizon: int | None) -> float:
    """A bound on |h[-1]|, ..., |h[T-2]|."""
    refuse_horizon(horizon)
    later = _farthest(network, push, None if horizon is None else horizon - 1)
    return max(float(np.linalg.norm(network.initial)), later)


def farthest(rate: float, start: float, push: float, updates: int | None) -> float:
    """Largest of r_1, ..., r_updates with r_0 = start and r_j = rate r_(j-1) + push; 0 without updates.

    The r_j are monotone, so the first or the last is the largest.

    Args:
        rate, start, push: at least 0.
        updates: None for ever, when it is infinite unless rate < 1.
    """
    first = rate * start + push
    if updates is None:
        return max(first, push / (1 - rate)) if rate < 1 else np.inf
    if updates == 0:
        return 0.0
    with np.errstate(divide="ignore", over="ignore"):
        exponent = updates * np.log(rate)
        summed = np.expm1(exponent) / (rate - 1) if rate != 1 else updates
        return float(max(first, np.exp(exponent) * start + push * summed))


def norm(matrix: Inexact[np.ndarray, "row column"]) -> float:
    """The spectral norm, rounded outwards."""
    return float(np.linalg.norm(matrix, 2)) * (1 + max(matrix.shape) * EPS) if matrix.size else 0.0


def norm_above(network: Network) -> float:
    """|W|, rounded outwards."""
    return network.norm * (1 + network.states * EPS)


def _farthest(network: Network, push: float, updates: int | None) -> float:
    """A bound on |h[0]|, ..., |h[updates - 1]|."""
    return farthest(norm_above(network), float(np.linalg.norm(network.initial)), push, updates)


def _push(network: Network, inputs: Inputs) -> float:
    """A bound on |(F x + b)+|."""
    by_norms = norm(network.weight_ih) * inputs.radius + np.linalg.norm(np.maximum(network.bias, 0))
    by_rows = np.linalg.norm(np.maximum(inputs.range(network.weight_ih)[1] + network.bias, 0))
    return float(min(by_norms, by_rows))


def _no_bound(network: Network) -> ValueError:
    return ValueError(
        f"a bound on the states was asked for over an infinite horizon with a recurrent norm of "
        f"{norm_above(network):.9g}, which bounds nothing; give a horizon in steps, or a network whose norm is "
        "below 1, such as the one before it was rescaled to norm 1"
    )
