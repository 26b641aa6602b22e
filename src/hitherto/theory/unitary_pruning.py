"""Units of a ReLU network that can go before anything else is asked: those that never fire, matter or move."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from hitherto.theory.unitary_intervals import interval_bound
from hitherto.theory.unitary_network import Inputs, Network


@dataclass(frozen=True, eq=False)
class Pruning:
    """Which units stay, and what the constant ones leave behind.

    Attributes:
        kept: numbers of the units that stay; none is a valid answer, and then y = 0.
        bias: of the units that stay.
        off, unread, constant: numbers of those that go, by reason.
    """

    kept: Integer[np.ndarray, " kept"]
    bias: Float[np.ndarray, " kept"]
    off: tuple[int, ...]
    unread: tuple[int, ...]
    constant: tuple[int, ...]


def prune(network: Network, inputs: Inputs | None = None, horizon: int | None = None) -> Pruning:
    """Drop units of a ReLU network that leave the outputs as they are, until nothing changes.

    Off: the interval bound on the preactivation is at most 0 at every step, and h[-1] of the unit reaches nobody.
    Unread: no path from the unit to the output. Constant: rows of W and F are 0, so h = relu(b) at every step, which is
    folded into the biases of the others if the readout does not see it and h[-1] is relu(b) as well.

    Args:
        network: of ReLU units.
        inputs: where x[k] comes from; None for anywhere, when no unit that sees x counts as off.
        horizon: steps; None for ever.
    Raises:
        ValueError: as for `interval_bound`.

    Cost: that of `interval_bound` for each round.
    Source: our derivation.
    """
    kept, bias = np.arange(network.states), network.bias.copy()
    gone: dict[str, list[int]] = dict(off=[], unread=[], constant=[])
    while len(kept):
        part = Network(network.weight_hh, network.weight_ih, bias, network.readout, network.initial).part(kept)
        reasons = _reasons(part, inputs, horizon)
        leaving = np.any(list(reasons.values()), axis=0)
        if not leaving.any():
            break
        folded = reasons["constant"]
        bias[kept] += part.weight_hh[:, folded] @ np.maximum(part.bias[folded], 0)
        for name, which in reasons.items():
            gone[name] += kept[which].tolist()
        kept = kept[~leaving]
    return Pruning(kept, bias[kept], **{name: tuple(sorted(units)) for name, units in gone.items()})


def unread_units(
    weight_hh: Shaped[np.ndarray, "state state"], readout: Shaped[np.ndarray, "output state"]
) -> Bool[np.ndarray, " state"]:
    """Whether no path leads from a unit to the output, for units of any activation."""
    read = (readout != 0).any(0)
    linked = weight_hh != 0
    while True:
        reached = read | linked[read].any(0)
        if (reached == read).all():
            return ~read
        read = reached


def _reasons(network: Network, inputs: Inputs | None, horizon: int | None) -> dict[str, Bool[np.ndarray, " state"]]:
    """Which units go now, each for one reason."""
    unread = unread_units(network.weight_hh, network.readout)
    still = ~network.weight_hh.any(1) & ~network.weight_ih.any(1) & ~network.readout.any(0)
    constant = still & (network.initial == np.maximum(network.bias, 0)) & ~unread
    off = _off(network, inputs, horizon) & ~unread & ~constant
    return dict(off=off, unread=unread, constant=constant)


def _off(network: Network, inputs: Inputs | None, horizon: int | None) -> Bool[np.ndarray, " state"]:
    """Whether a unit stays at 0 from h[0] on and its h[-1] reaches nobody."""
    silent_start = (network.weight_hh * network.initial == 0).all(0)
    if inputs is None:
        return np.zeros(network.states, bool)
    most = interval_bound(network, network.weight_hh, inputs, horizon)
    most = most + inputs.range(network.weight_ih)[1] + network.bias
    return silent_start & (most <= 0)
