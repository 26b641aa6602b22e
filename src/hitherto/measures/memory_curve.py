"""Memory curves of linear stacks, exactly: nothing is sampled, and no covariance is inverted.

The state is s[t] = sum over k of A^k B x[t-k]. How much of x[t-k] a linear readout recovers depends on which states it
reads: those of all layers, or of the top one alone. Depth moves the top layer's curve to older lags and leaves its
total at the width of that layer; all layers together reach the number of all units.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.core.model import Model
from hitherto.core.names import known
from hitherto.core.quantity import (
    FISHER_MEMORY,
    LINEAR_MEMORY,
    LINEAR_MEMORY_CAPACITY,
    NOISY_MEMORY,
    Estimate,
    Quantity,
)
from hitherto.measures._all_pass import (
    HIDING,
    Part,
    reached,
    reading,
    refuse_vanishing,
    scale_of,
    shares,
    shares_from_zero,
    whole,
    within_float64,
)
from hitherto.measures.linear_system import LinearSystem, linear_system

PARTS = {"all": "all layers", "top": "top layer"}
FEWEST_LAGS, MOST_NUMBERS = 16, 2**26  # the latter are filters times lags
COMPLETE, SMALL = 1e-12, 1e-9  # shares of a total: what may be missing of a curve, and of a sum
FAINT = 2.0**-100  # of a signal: its square is beyond rounding beside 1
WHITE = "inputs independent over time and channels, of variance 1"
SOURCE = "orthonormal filters of the states; our derivation"

Curve = Float[np.ndarray, " lag"]


def linear_memory_curve(
    model: Model, read: str = "all", lags: int | None = None, horizon: int | None = None
) -> tuple[Estimate, Estimate]:
    """R^2 of the best linear readout of x[t-k] from the state: tr (A^k B)^T C^+ A^k B for k = 0, 1, ...

    C = sum over j of A^j B B^T A^jT is the covariance of the state; of one layer its rows and its block are taken. With
    one input channel and all layers read, the eigenvalues alone count: input weights and links drop out.

    Args:
        model: a linear recurrence, see `is_linear`; biases do not matter.
        read: the states of `all` layers or of the `top` one.
        lags: how many to return; by default as many as hold all but 1e-12 of the total, or all within the horizon.
        horizon: steps since the zero state; by default there was no start, and the spectral radius must be below 1.
    Returns:
        `LINEAR_MEMORY`, summed over input channels, and its sum `LINEAR_MEMORY_CAPACITY`. Without a start all lags
        together give `statistics["rank"]`, the number of independent states that inputs reach.
    Raises:
        ValueError: if the model is not linear, the spectral radius is not below 1, or an argument is not as above.

    Cost: state^3 + state x lags x channels^2 products; memory of the curve, with the top layer state x lags. A layer of
    1,000 units takes a second and has its total right to 1e-11; solving with C loses 40% of it at 100 units.
    Does not tell what the model's own readout uses, nor what noise leaves of it. States that inputs reach by less than
    1e-12 of the weights count as not reached.
    Source: our derivation; Jaeger (2001) for the quantity, Gonon et al. (2020), arXiv 2004.11234, for its total.
    """
    system = _asked(model, read, lags=lags, horizon=horizon)
    with within_float64("linear memory"):
        part = reached(whole(system, read))
        if horizon is None:
            curve_of, total, began = _curve_of(part, system), float(part.rank), "inputs without beginning"
            curve = _long_enough(curve_of, lags, system, lambda found: total - found.sum())
        else:
            everything = shares_from_zero(part, system.radius, horizon).sum(1)
            curve, total, began = everything[:lags], float(everything.sum()), f"the zero state {horizon} steps ago"
    older = total - float(curve.sum())
    short = f"{older:.4g} of {total:.6g} lies at lags beyond {len(curve) - 1}" if older > SMALL * total else ""
    if horizon is not None and part.seen is not None and horizon * np.log(max(1.0, system.radius)) > HIDING:
        short = f"within {horizon} steps the state grows so much that rounding hides the top layer's smaller numbers"
    fields = {"part": PARTS[read], "assumptions": (WHITE, began), "source": SOURCE}
    fields["statistics"] = {"rank": part.rank, "older": older}
    return (
        _by_lag(LINEAR_MEMORY, curve, fields),
        Estimate(LINEAR_MEMORY_CAPACITY, float(curve.sum()), 0.0, cannot_tell=short, **fields),
    )


def noisy_memory_curve(model: Model, noise: float | int, read: str = "all", lags: int | None = None) -> Estimate:
    """R^2 of the best linear readout of x[t-k] from noisy states: tr (A^k B)^T (noise C_n + C)^-1 A^k B.

    C is as in `linear_memory_curve`; C_n = sum over j of A^j G G^T A^jT is the covariance by noise of variance 1 on
    every unit at every step. Noise on a layer reaches those above at the same step: G = `LinearSystem.spread`.

    Args:
        noise: variance of the noise on each unit, that of the inputs being 1; above 0.
        model, read, lags: as for `linear_memory_curve`.
    Returns:
        `NOISY_MEMORY`, summed over input channels; its sum over the lags is `statistics["total"]`. For noise -> 0 it
        goes to `linear_memory_curve`.
    Raises:
        ValueError: as for `linear_memory_curve`, or if the noise is not above 0.

    Cost: state^3 + state^2 x lags products; memory state x lags.
    Source: White, Lee and Sompolinsky (2004) for one channel and layer; the noise as further inputs is our derivation.
    """
    system = _noisy(model, noise, read, lags)
    with within_float64("noisy memory"):
        curve = _disturbed(system, system.B, noise**0.5 * system.spread, read, lags)
    return _with_noise(NOISY_MEMORY, curve, read, noise)


def fisher_memory_curve(model: Model, noise: float | int, read: str = "all", lags: int | None = None) -> Estimate:
    """Fisher information of noisy states on x[t-k]: tr (A^k B)^T (noise C_n)^-1 A^k B, with C_n as for noisy memory.

    It asks how far one input stands out of the noise, not out of the other inputs. A delay line of n units with gain 1
    and noise 1 has 1 / (k + 1) at lag k < n.

    Args:
        model, noise, read, lags: as for `noisy_memory_curve`.
    Returns:
        `FISHER_MEMORY`, summed over input channels; its sum over the lags is `statistics["total"]`.
    Raises:
        ValueError: as for `noisy_memory_curve`.

    Cost: as for `noisy_memory_curve`, whose limit for a faint signal it is: no covariance is inverted.
    Source: Ganguli, Huh and Sompolinsky (2008) for one channel and layer; stacks and the limit are our derivation.
    """
    system = _noisy(model, noise, read, lags)
    with within_float64("Fisher memory"):
        faint = FAINT * scale_of(system.spread) / scale_of(system.B)
        curve = _disturbed(system, faint * system.B, system.spread, read, lags)
        information = curve / FAINT**2 * np.square(FAINT / np.float64(faint) / noise**0.5)
    return _with_noise(FISHER_MEMORY, information, read, noise)


def _asked(model: Model, read: str, **whole_numbers: int | None) -> LinearSystem:
    known(read, PARTS, "reading of the states")
    for name, number in whole_numbers.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ValueError(f"a memory curve was asked for with {name}={number!r}; give a whole number from 1 on")
    system = linear_system(model)
    refuse_vanishing(system.A)
    return system


def _noisy(model: Model, noise: float | int, read: str, lags: int | None) -> LinearSystem:
    if not 0 < noise < np.inf:
        raise ValueError(
            f"noise of variance {noise} was asked for; give one above 0, or take `linear_memory_curve` for states "
            "without noise"
        )
    return _asked(model, read, lags=lags)


def _disturbed(
    system: LinearSystem,
    signal: Float[np.ndarray, "state input"],
    noise: Float[np.ndarray, "state state"],
    read: str,
    lags: int | None,
) -> Curve:
    """R^2 of a signal beside noise that drives the states as well; only their proportion matters."""
    driving = np.hstack([signal, noise])
    part = whole(system, read)._replace(B=driving / scale_of(driving))
    return _long_enough(_curve_of(part, system), lags, system, _second_half)


def _curve_of(part: Part, system: LinearSystem) -> Callable[[int], Curve]:
    """How many lags -> R^2 of the inputs of the system, which may be driven by more."""
    filters, channels = reading(part), system.B.shape[1]
    return lambda lags: shares(filters, channels, lags).sum(1)


def _long_enough(
    curve_of: Callable[[int], Curve], lags: int | None, system: LinearSystem, missing: Callable[[Curve], float]
) -> Curve:
    """The curve at so many lags, or at as many as it takes until next to nothing is missing."""
    count = lags or max(FEWEST_LAGS, 2 * len(system.A))  # delays can hold everything back for as many lags as states
    curve = curve_of(count)
    while lags is None and missing(curve) > COMPLETE * curve.sum() and 2 * count * len(system.A) <= MOST_NUMBERS:
        count *= 2
        curve = curve_of(count)
    return curve


def _second_half(curve: Curve) -> float:
    return float(curve[len(curve) // 2 :].sum())


def _with_noise(quantity: Quantity, curve: Curve, read: str, noise: float | int) -> Estimate:
    added = f"independent noise of variance {noise:.6g} on every unit at every step"
    fields = {"part": PARTS[read], "assumptions": (WHITE, added), "source": SOURCE}
    return _by_lag(quantity, curve, fields | {"statistics": {"total": float(curve.sum()), "noise": noise}})


def _by_lag(quantity: Quantity, curve: Curve, fields: dict[str, Any]) -> Estimate:
    return Estimate(quantity, curve, np.zeros(len(curve)), axes={"lag": np.arange(len(curve))}, **fields)
