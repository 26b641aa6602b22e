"""Extra units parked where the activation is flat, or nearly flat: exact twins without a bound, and near ones.

If phi -> c at -inf, give the extra units the initial state c and the bias

    b2 = z - |W21| (limit + e) - |W22| 1 d - W22 c 1,   and the first n units b - W12 c 1,

where |phi - c| <= d from z down and limit bounds |h|: then all extra states stay within d of c. With d = 0, for an
activation constant on a half-line, the map is the same. With d = e (1 - L r) / (L sqrt k), for slopes up to L, r = |W|,
L r < 1 and k extra units, the first n states stay within e of what they were. -b2 grows as log(1 / e) only.

Our derivation. In double precision a logistic twin looks exact from a bias of -40 on, and is not.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hitherto.theory.unitary import Dilation
from hitherto.theory.unitary_activations import Activation
from hitherto.theory.unitary_bounds import farthest, norm, norm_above
from hitherto.theory.unitary_network import Inputs, Network


@dataclass(frozen=True, eq=False)
class Parking:
    """Where extra units are kept.

    Attributes:
        bias: b2, of the extra units.
        shift: to be added to the bias of the first n units.
        start: c, the initial state of the extra units.
        spread: d, how far extra states may be from c; 0 for an exact twin.
    """

    bias: Float[np.ndarray, " extra"]
    shift: Float[np.ndarray, " state"]
    start: float
    spread: float


def parked_bias(
    dilation: Dilation, phi: Activation, state_limit: Float[np.ndarray, " state"], epsilon: float = 0.0
) -> Parking:
    """The biases of the module's formula.

    Args:
        dilation: of the recurrent matrix.
        phi: with a limit at -inf.
        state_limit: a bound on |h[k]|, k = -1, 0, ..., unit by unit (`state_limit`).
        epsilon: e, how far in the Euclidean norm states may go astray; 0 for an exact twin.
    Raises:
        ValueError: if phi has no limit, or is not constant on a half-line and epsilon is 0, or L |W| >= 1 and it is
            not.
    """
    if phi.rest is None or phi.level is None:
        raise ValueError(f"extra units of {phi.name} cannot be parked: it has no limit at -inf; see `verdict`")
    spread = _spread(dilation, phi, epsilon)
    level = phi.level(spread) if len(dilation.among_extra) else 0.0
    if not np.isfinite(level):
        raise ValueError(
            f"an exact twin was asked for, but {phi.name} is constant on no half-line, and the bias that it would take "
            "is infinite; give an epsilon above 0 for a near one"
        )
    among = dilation.among_extra
    reached = np.abs(dilation.into_extra) @ (state_limit + epsilon) + np.abs(among).sum(1) * spread
    return Parking(level - reached - phi.rest * among.sum(1), -phi.rest * dilation.into_states.sum(1), phi.rest, spread)


def state_limit(
    network: Network, phi: Activation, inputs: Inputs | None = None, horizon: int | None = None
) -> Float[np.ndarray, " state"]:
    """A bound on |h[k]| for k = -1..T-1, unit by unit: max(max |phi|, |h[-1]|), which needs no bound on the inputs.

    For an unbounded phi it is the largest r_k with r_k = L |W| r_(k-1) + L (|F| M + |b|) + sqrt(n) |phi(0)|, the same
    for all units.

    Args:
        network: of units phi.
        inputs: where x[k] comes from; needed if phi is unbounded.
        horizon: T, steps; None for ever, when an unbounded phi needs L |W| < 1.
    Raises:
        ValueError: if phi is unbounded and there are no inputs, or nothing bounds the states.
    """
    start = np.abs(network.initial)
    if np.isfinite(phi.limit):
        return np.maximum(start, phi.limit)
    if inputs is None:
        raise ValueError(
            f"nothing bounds the states of {phi.name} units without one on the inputs; give input_bound= or input_box="
        )
    push = phi.lipschitz * (norm(network.weight_ih) * inputs.radius + float(np.linalg.norm(network.bias)))
    push += float(np.sqrt(network.states) * np.abs(phi.apply(np.zeros(1)))[0])
    rate = phi.lipschitz * norm_above(network)
    radius = farthest(rate, float(np.linalg.norm(start)), push, horizon)
    if not np.isfinite(radius):
        raise ValueError(
            f"the states of {phi.name} units were to be bounded for ever with slopes times norm {rate:.9g}, which must "
            "be below 1; give a horizon in steps, or rescale the network"
        )
    return np.maximum(start, radius)


def _spread(dilation: Dilation, phi: Activation, epsilon: float) -> float:
    """d = e (1 - L r) / (L sqrt k)."""
    extra = len(dilation.among_extra)
    if phi.flat or not extra:
        return 0.0
    rate = phi.lipschitz * norm(dilation.corner)
    if rate >= 1:
        raise ValueError(
            f"a near twin of {phi.name} units needs slopes times norm below 1, got {rate:.9g}; errors would grow"
        )
    return epsilon * (1 - rate) / (phi.lipschitz * np.sqrt(extra))
