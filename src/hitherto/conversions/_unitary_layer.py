"""One layer made orthogonal: the route that its activation allows, the extra biases, and why they suffice.

The order is that of the theory: prune, rescale, dilate, bound what the extra units receive. What comes out is a network
with the same map and an orthogonal recurrent matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Inexact

from hitherto.theory.unitary import Dilation, completed, dilate, power_dilation, states_needed, truncated
from hitherto.theory.unitary_activations import Activation, activation
from hitherto.theory.unitary_bounds import (
    ExtraBias,
    data_bound,
    extra_bias,
    modulus_bound,
    norm_bound,
    positive_part_bound,
)
from hitherto.theory.unitary_intervals import interval_bound
from hitherto.theory.unitary_network import EPS, Inputs, Network, scaled_matrix
from hitherto.theory.unitary_parking import parked_bias, state_limit
from hitherto.theory.unitary_positive import bound_free, bound_free_scale
from hitherto.theory.unitary_pruning import Pruning, prune
from hitherto.theory.unitary_scaling import Scaling, copies_for, rescale
from hitherto.theory.unitary_twin import duplicated_network, orthogonal_copies
from hitherto.theory.unitary_unit_norm import UNIT, to_unit_norm
from hitherto.theory.unitary_verdict import MOST_COPIES, Verdict, verdict

AFFORDABLE = 25  # units times steps for which mixed-integer programs take seconds
NEAR = 1e-6  # the epsilon of which a refusal tells the bias

Sequences = Float[np.ndarray, "sequence time input"]


@dataclass(frozen=True)
class LayerCertificate:
    """Why the twin of a layer is one.

    Attributes:
        outcome: `exact` for all inputs; `exact on bounded inputs`; `exact on this data`; `epsilon`: states within that
            distance; `truncated`: nothing is proven, see what was measured.
        reason: the argument, with its numbers.
        before, states: n and N.
        fewest, fewest_holds: a lower bound on N, and what it assumes; None where none is known.
        norm, scaled_norm: |W| before, and once units were rescaled or copied.
        pruned: units that went because they never fire, matter or move.
        bounds: the largest bound on what any extra unit receives, by the name of the bound, where it is finite.
        used: the bounds that were smallest for some unit.
        residual: largest entry of |W_u^T W_u - I|.
        rounding: by how much singular values of the corner were rounded up to 1.
    """

    outcome: str
    reason: str
    before: int
    states: int
    fewest: int | None
    fewest_holds: str
    norm: float
    scaled_norm: float
    pruned: int
    bounds: dict[str, float]
    used: tuple[str, ...]
    residual: float
    rounding: float


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is asked of the conversion of a layer.

    Attributes:
        inputs: where x[k] comes from; None for anywhere.
        data: sequences to be exact on instead.
        margin: share by which the states of other sequences may go beyond those of the data.
        horizon: T, steps; None for ever.
        epsilon: how far states may go astray; 0 for an exact twin.
        states: `dilation`, `minimal`, or the number of states that can be afforded.
        eps: unit of rounding of the arithmetic in which the twin is to run.
    """

    inputs: Inputs | None
    data: Sequences | None
    margin: float
    horizon: int | None
    epsilon: float
    states: str | int
    eps: float


class Twin(NamedTuple):
    """A network with an orthogonal recurrent matrix, and why it has the same map."""

    network: Network
    certificate: LayerCertificate


def twin(network: Network, name: str, wanted: Wanted) -> Twin:
    """The orthogonal twin of a layer of real units.

    Raises:
        ValueError: if there is none, or none is known, with the theorem or the numbers that decide.
    """
    network, clipped = _within_one(network, wanted.eps)
    found = _twin(network, activation(name), wanted)
    return found._replace(certificate=replace(found.certificate, rounding=max(clipped, found.certificate.rounding)))


def _twin(network: Network, phi: Activation, wanted: Wanted) -> Twin:
    if phi.homogeneous and phi.flat:
        return _relu(network, wanted)
    copies = orthogonal_copies(network.weight_hh)
    if copies is not None and (phi.name != "group_sort" or copies.max() == 1):
        found = duplicated_network(network, copies)
        return _certified(network, found, "exact", f"W^T M W = M for the copies {copies.tolist()} of the units")
    if phi.name == "linear" and wanted.horizon is not None and network.norm <= 1 + network.states * EPS:
        return _delayed(network, wanted.horizon)
    if phi.dead_zone:
        return _within_dead_zone(network, phi, wanted)
    if phi.rest is not None and (phi.flat or wanted.epsilon):
        return _parked(network, phi, wanted)
    raise _refusal(network, phi, wanted)


def states_on(network: Network, name: str, data: Sequences) -> Float[np.ndarray, "sequence time state"]:
    """h[0], h[1], ... of every sequence."""
    apply = activation(name).apply
    driven = data @ network.weight_ih.T + network.bias
    h = np.broadcast_to(network.initial, (len(data), network.states))
    for k in range(data.shape[1]):
        h = driven[:, k] = apply(h @ network.weight_hh.T + driven[:, k])
    return driven


def _within_one(network: Network, eps: float) -> tuple[Network, float]:
    """Singular values above 1 by the rounding of a short format put to 1, and the largest change of one."""
    excess = network.norm - 1
    if not network.states * EPS < excess <= network.states * eps:
        return network, 0.0
    left, values, right = np.linalg.svd(network.weight_hh)
    return replace(network, weight_hh=(left * np.minimum(values, 1)) @ right), excess


# ---------------------------------------------------------------- ReLU


def _relu(network: Network, wanted: Wanted) -> Twin:
    pruning = prune(network, wanted.inputs, wanted.horizon)
    if not len(pruning.kept):
        reason = "no unit fires or reaches an output, so y = 0"
        return _certified(network, _silent(network), _bounded(pruning), reason, pruned=network.states)
    kept = network
    if len(pruning.kept) < network.states:
        kept = replace(network.part(pruning.kept), bias=pruning.bias)
    scaled, scale = _contractive(kept, wanted)
    pruned = network.states - kept.states
    without = wanted.inputs is None and wanted.data is None
    if without or not _lasting(scaled, wanted):
        try:
            dilation, scale, bias = _without_bound(kept, scale, wanted)
        except ValueError:
            if without:
                raise
        else:
            reason = "I - W^T W has a nonnegative factor, so extra units never receive anything positive"
            found = _extended(kept.scaled(scale), dilation, bias)
            return _certified(network, found, _bounded(pruning), reason, kept=kept, scale=scale, pruned=pruned)
    unit, dilation = _dilated(scaled, wanted)
    rows = dilation.into_extra / unit
    bias = _on_data(scaled, rows, wanted) if wanted.inputs is None else _on_set(scaled, rows, wanted)
    outcome = "exact on this data" if wanted.inputs is None else "exact on bounded inputs"
    if isinstance(wanted.states, int) and dilation.rounding > (kept.states + 8) * EPS:
        outcome = "truncated"
    elif not len(rows):
        outcome = _bounded(pruning)
    found = _extended(scaled.scaled(unit), dilation.flipped(bias.signs), bias.bias)
    bounds = {} if wanted.inputs is None else _all_bounds(scaled, rows * bias.signs[:, None], wanted)
    return _certified(
        network,
        found,
        outcome,
        f"{len(rows)} extra units that never fire hold what leaks" if len(rows) else "W is orthogonal",
        kept=kept,
        scale=scale * unit,
        pruned=pruned,
        bounds=bounds | {name: float(bias.bounds.max()) for name in set(bias.routes)},
        used=tuple(sorted(set(bias.routes))),
        rounding=dilation.rounding,
    )


def _bounded(pruning: Pruning) -> str:
    """The outcome where the extra units ask for no bound: units that a bound keeps off may have gone."""
    return "exact on bounded inputs" if pruning.off else "exact"


def _lasting(network: Network, wanted: Wanted) -> bool:
    """Whether bounds on the states last as long as is asked."""
    slack = network.states * EPS
    return network.norm < 1 - slack or _bounded_at_one(network, wanted)


def _silent(network: Network) -> Network:
    """One unit that is always 0."""
    nothing = np.zeros(1)
    return Network(
        np.eye(1), np.zeros((1, network.inputs)), nothing, np.zeros((len(network.readout), 1)), nothing.copy()
    )


def _contractive(network: Network, wanted: Wanted) -> tuple[Network, Float[np.ndarray, " state"]]:
    """The network with units rescaled if its norm is above 1, and the scale.

    Raises:
        ValueError: if no scaling brings it to 1.
    """
    slack = network.states * EPS
    if network.norm < 1 - slack or (network.norm <= 1 + slack and _bounded_at_one(network, wanted)):
        return network, np.ones(network.states)
    best = rescale(network.weight_hh)
    if best.norm <= 1 + network.states * EPS:
        return network.scaled(best.scale), best.scale
    raise NoTwin(network, best, verdict(network, "relu", wanted.inputs, wanted.horizon))


class NoTwin(ValueError):
    """A ReLU layer that no scaling of its units makes contractive.

    Attributes:
        norm: |W|.
        scaling: the best scaling that was found, with the matrix that proves how low none can come.
        verdict: whether that makes a twin impossible.
    """

    def __init__(self, network: Network, scaling: Scaling, found: Verdict) -> None:
        proven = f" (a certificate proves {scaling.proven:.6g})" if scaling.proven >= 1 else ""
        why = f": {found.reason}" if found.outcome == "impossible" else ""
        super().__init__(
            f"an orthogonal twin was asked for, but the norm of weight_hh is {network.norm:.6g}, and "
            f"{scaling.infimum:.6g} at best once units are rescaled{proven}; it is {found.outcome}{why}. Scale the "
            "recurrent weights, or train with a norm below 1"
        )
        self.norm, self.scaling, self.verdict = network.norm, scaling, found


def _bounded_at_one(network: Network, wanted: Wanted) -> bool:
    """Whether a norm of 1 is no hindrance: no bound that lasts for ever is needed, or there are no extra units."""
    return wanted.inputs is None or wanted.horizon is not None or not len(_extra(dilate(network.weight_hh)))


def _without_bound(
    network: Network, scale: Float[np.ndarray, " state"], wanted: Wanted
) -> tuple[Dilation, Float[np.ndarray, " state"], Float[np.ndarray, " extra"]]:
    """The dilation of fewest states that needs no bound on the inputs."""
    other = bound_free_scale(network.weight_hh)
    scales = [np.ones(network.states), scale] + ([] if other is None else [other])
    each = [(d, scaled_matrix(network.weight_hh, d)) for d in scales]
    found = [(d, free) for d, w in each if np.linalg.norm(w, 2) <= 1 + len(w) * EPS and (free := _free(w)) is not None]
    if not found:
        raise ValueError(
            "an orthogonal twin for all inputs was asked for, but no nonnegative factor of I - W^T W was found, which "
            "that takes; give input_bound= or input_box=, or data= for a twin that is exact on data"
        )
    d, dilation = min(found, key=lambda one: len(one[1].weight_hh))
    received = dilation.into_extra @ (network.initial / d)
    margin = 64 * network.states * wanted.eps * np.abs(dilation.into_extra) @ np.abs(network.initial / d)
    return dilation, d, np.where(received > 0, -received - margin, 0.0)


def _free(weight_hh: Float[np.ndarray, "state state"]) -> Dilation | None:
    """The dilation that needs no bound, also where there are no extra units."""
    dilation = dilate(weight_hh)
    return bound_free(weight_hh) if len(_extra(dilation)) else dilation


def _dilated(network: Network, wanted: Wanted) -> tuple[Float[np.ndarray, " state"], Dilation]:
    """A further scale, and the dilation after it."""
    one = np.ones(network.states)
    if isinstance(wanted.states, int):
        if wanted.states < network.states:
            raise ValueError(
                f"{wanted.states} states were asked for, but a layer has {network.states} that fire and reach an "
                "output; give at least as many"
            )
        whole = dilate(network.weight_hh)
        if len(whole.weight_hh) <= wanted.states:
            return one, whole
        cut = truncated(network.weight_hh, wanted.states - network.states)
        return one, completed(cut.corner, (cut.directions * cut.sizes).T, cut.rounding)
    if wanted.states == "minimal" and network.norm < 1:
        unit = to_unit_norm(network.weight_hh).scale
        return unit, dilate(scaled_matrix(network.weight_hh, unit), UNIT)
    return one, dilate(network.weight_hh)


def _on_set(network: Network, rows: Float[np.ndarray, "extra state"], wanted: Wanted) -> ExtraBias:
    """Biases for all inputs of the set, with a margin for the arithmetic in which the twin is to run."""
    exact = wanted.horizon is not None and network.states * wanted.horizon <= AFFORDABLE
    found = extra_bias(network, rows, _given(wanted), wanted.horizon, exact=exact)
    margins = found.margins * (wanted.eps / EPS)
    return replace(found, bias=-(found.bounds + margins), margins=margins)


def _on_data(network: Network, rows: Float[np.ndarray, "extra state"], wanted: Wanted) -> ExtraBias:
    """Biases for the states of the data, and some way beyond."""
    states = states_on(network, "relu", wanted.data).reshape(-1, network.states)  # type: ignore[arg-type]
    met = np.vstack([network.initial, states])
    both = np.stack([data_bound(rows, met, wanted.margin), data_bound(-rows, met, wanted.margin)])
    side, unit = both.argmin(0), np.arange(len(rows))
    reach = np.linalg.norm(met, axis=1).max()
    margins = 64 * network.states * wanted.eps * reach * np.abs(rows).sum(1)
    bounds = both[side, unit]
    return ExtraBias(-(bounds + margins), bounds, margins, 1.0 - 2.0 * side, ("data",) * len(rows))


def _all_bounds(network: Network, rows: Float[np.ndarray, "extra state"], wanted: Wanted) -> dict[str, float]:
    """The largest of each kind of bound."""
    kinds: dict[str, Callable] = {"norm": norm_bound, "positive part": positive_part_bound, "interval": interval_bound}
    found = {name: bound(network, rows, _given(wanted), wanted.horizon) for name, bound in kinds.items()}
    return {name: float(bound.max()) for name, bound in found.items() if len(rows) and np.isfinite(bound).all()}


# ---------------------------------------------------------------- other activations


def _parked(network: Network, phi: Activation, wanted: Wanted) -> Twin:
    """Extra units where phi is constant, or nearly."""
    copied, copies = network, np.ones(network.states, int)
    if network.norm > 1 + network.states * EPS:
        found = copies_for(network.weight_hh, MOST_COPIES * network.states)
        if found is None:
            raise _refusal(network, phi, wanted)
        copied, copies = duplicated_network(network, found), found
    dilation = dilate(copied.weight_hh)
    limit = state_limit(copied, phi, wanted.inputs, wanted.horizon)
    if not phi.flat and phi.lipschitz * network.scaled(copies**-0.5).norm >= 1:
        raise _refusal(network, phi, wanted)
    parking = parked_bias(dilation, phi, limit, 0.0 if phi.flat else wanted.epsilon)
    sums = np.abs(dilation.into_extra) @ limit + np.abs(dilation.among_extra).sum(1) * abs(parking.start)
    low = parking.bias - (64 * copied.states * wanted.eps * sums if phi.flat else 0.0)
    moved = replace(copied, bias=copied.bias + parking.shift)
    outcome = "exact" if phi.flat else "epsilon"
    if not len(_extra(dilation)):
        outcome, reason = "exact", "W is orthogonal" + (" once units are copied" if copied is not network else "")
    elif phi.flat:
        reason = f"{phi.name} is constant below {phi.level(0.0):.6g}, where {len(low)} extra units are parked"  # type: ignore[misc]
    else:
        reason = f"{len(low)} extra units are parked at a bias of {low.min():.6g} or more"
    return _certified(
        network,
        _extended(moved, dilation, low, parking.start),
        outcome,
        reason,
        scale=copies**-0.5,
        bounds={"parking": float(-low.min(initial=0.0))},
        used=("parking",),
        rounding=dilation.rounding,
    )


def _within_dead_zone(network: Network, phi: Activation, wanted: Wanted) -> Twin:
    """Extra units that stay in the dead zone around 0."""
    if wanted.inputs is None or network.norm >= 1:
        raise _refusal(network, phi, wanted)
    dilation = dilate(network.weight_hh)
    bound = norm_bound(network, dilation.into_extra, wanted.inputs, wanted.horizon) * (1 + 64 * wanted.eps)
    most = float(bound.max(initial=0.0))
    if most > phi.dead_zone:
        raise _refusal(network, phi, wanted)
    found = _extended(network, dilation, np.zeros(len(bound)))
    reason = f"extra units stay within {most:.6g} of 0, in the dead zone of {phi.dead_zone:.6g}"
    return _certified(network, found, "exact on bounded inputs", reason, bounds={"norm": most}, used=("norm",))


def _delayed(network: Network, horizon: int) -> Twin:
    """What leaks from a linear network waits in delay lines until the horizon is over."""
    dilation = power_dilation(network.weight_hh, horizon)
    found = _extended(network, dilation, np.zeros(len(_extra(dilation))))
    reason = f"over {horizon} steps what leaks from a linear network is delayed, and does not come back"
    return _certified(network, found, "exact", reason, rounding=dilation.rounding)


def modrelu_twin(network: Network, wanted: Wanted) -> Twin:
    """The unitary twin of a layer of modReLU units, whose `bias` holds the modulus biases.

    Raises:
        ValueError: if the norm is above 1, or nothing bounds the inputs.
    """
    network, clipped = _within_one(network, wanted.eps)
    if network.norm > 1 + network.states * EPS:
        raise ValueError(
            f"a unitary twin of modReLU units was asked for, but the norm of weight_hh is {network.norm:.6g}, and "
            "they cannot be rescaled; scale the recurrent weights below 1"
        )
    dilation = dilate(network.weight_hh)
    rows = dilation.into_extra
    if len(rows) and (wanted.inputs is None or isinstance(wanted.states, int)):
        raise ValueError("a unitary twin of modReLU units needs a bound on the inputs; give input_bound= or input_box=")
    bounds = modulus_bound(network, rows, wanted.inputs, wanted.horizon) if len(rows) else np.zeros(0)  # type: ignore[arg-type]
    if not np.isfinite(bounds).all():
        raise ValueError("a recurrent norm of 1 bounds no states for ever; give horizon=, in steps")
    bias = -bounds * (1 + 64 * network.states * wanted.eps)
    outcome = "exact on bounded inputs" if len(rows) else "exact"
    reason = f"{len(rows)} extra units never exceed their modulus bias" if len(rows) else "W is unitary"
    named = {"norm": float(bounds.max())} if len(rows) else {}
    return _certified(
        network,
        _extended(network, dilation, bias),
        outcome,
        reason,
        bounds=named,
        used=tuple(named),
        rounding=max(clipped, dilation.rounding),
    )


# ---------------------------------------------------------------- putting together


def _given(wanted: Wanted) -> Inputs:
    if wanted.inputs is None:
        raise ValueError("a bound on the inputs is needed here; give input_bound= or input_box=")
    return wanted.inputs


def _extra(dilation: Dilation) -> Inexact[np.ndarray, "extra extra"]:
    return dilation.among_extra


def _extended(
    network: Network, dilation: Dilation, bias: Float[np.ndarray, " extra"], start: float | int = 0.0
) -> Network:
    """(W_u, [F; 0], [b; b2], [C, 0], [h[-1]; start])."""
    extra = len(bias)
    return Network(
        dilation.weight_hh,
        np.vstack([network.weight_ih, np.zeros((extra, network.inputs))]),
        np.concatenate([network.bias, bias]),
        np.hstack([network.readout, np.zeros((len(network.readout), extra))]),
        np.concatenate([network.initial, np.full(extra, float(start))]),
    )


def _certified(
    before: Network,
    after: Network,
    outcome: str,
    reason: str,
    *,
    kept: Network | None = None,
    scale: Float[np.ndarray, " state"] | None = None,
    pruned: int = 0,
    bounds: dict[str, float] | None = None,
    used: tuple[str, ...] = (),
    rounding: float = 0.0,
) -> Twin:
    """The twin with its certificate."""
    network = before if kept is None else kept
    scaled = network if scale is None or (scale == 1).all() else network.scaled(scale)
    gram = after.weight_hh.conj().T @ after.weight_hh
    count = None if kept is None else states_needed(scaled.weight_hh)  # a bound that holds for ReLU
    certificate = LayerCertificate(
        outcome=outcome,
        reason=reason,
        before=before.states,
        states=after.states,
        fewest=count and count.lower,
        fewest_holds=count.lower_holds if count else "",
        norm=before.norm,
        scaled_norm=scaled.norm,
        pruned=pruned,
        bounds=bounds or {},
        used=used,
        residual=float(np.abs(gram - np.eye(len(gram))).max()),
        rounding=rounding,
    )
    return Twin(after, certificate)


def _refusal(network: Network, phi: Activation, wanted: Wanted) -> ValueError:
    """Why there is no twin, or none known, and what could be had instead."""
    found = verdict(network, phi.name, wanted.inputs, wanted.horizon, exact=not wanted.epsilon)
    near = _near(network, phi, wanted) if phi.smooth and not wanted.epsilon else ""
    return ValueError(
        f"an orthogonal twin of {phi.name} units was asked for; it is {found.outcome} ({found.theorem}): "
        f"{found.reason}.{near}"
    )


def _near(network: Network, phi: Activation, wanted: Wanted) -> str:
    """What a near twin would take."""
    try:
        found = _parked(network, phi, replace(wanted, epsilon=NEAR))
    except ValueError:
        return ""
    most = found.certificate.bounds["parking"]
    return (
        f' A near one exists: mode="epsilon" with epsilon={NEAR:g} takes {found.network.states} states and biases down '
        f"to {-most:.4g}, which fall only as log(1 / epsilon)"
    )
