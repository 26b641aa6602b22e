"""Whether a network has an orthogonal twin, from its numbers alone: which theorem says so, or says that there is none.

It never rests on comparing outputs, which agree to the last bit where the maps do not. An `impossible` is about all
horizons: over finitely many steps a twin of many states may exist.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from hitherto.theory.unitary import dilate
from hitherto.theory.unitary_activations import Activation, activation
from hitherto.theory.unitary_bounds import norm, norm_above, norm_bound
from hitherto.theory.unitary_limits import VisibleModes, fixed_point, impulse_response, visible_modes
from hitherto.theory.unitary_network import EPS, Inputs, Network, refuse_complex, scaled_matrix
from hitherto.theory.unitary_positive import bound_free, bound_free_scale
from hitherto.theory.unitary_pruning import unread_units
from hitherto.theory.unitary_scaling import copies_for, rescale
from hitherto.theory.unitary_twin import identifiable, invariant_weights, orthogonal_copies

Outcome = Literal["exact", "exact on bounded inputs", "epsilon", "impossible", "undecided"]
MOST_COPIES = 8  # of units, on average
POINTS = 4  # constant inputs at which slopes are read
FINITE = "the horizon is finite, and refusals are about all horizons"
LARGEST = 5_000_000  # coefficients of a linear program
INSIDE = 1e-6  # least margin of a preactivation from its kink


@dataclass(frozen=True)
class Verdict:
    """What orthogonal twins a network has.

    Attributes:
        outcome: `exact` for all inputs; `exact on bounded inputs`, those asked for; `epsilon`: as near as one likes, by
            the biases of `parked_bias`; `impossible`: none of any size; or `undecided`.
        theorem: what it rests on; `generic` where a proof leaves out exceptional cases.
        reason: in words, with the numbers that decided.
        states: N of the twin, where there is one.
    """

    outcome: Outcome
    theorem: str
    reason: str
    states: int | None = None


@dataclass(frozen=True, eq=False)
class _Question:
    network: Network
    phi: Activation
    inputs: Inputs | None
    horizon: int | None
    exact: bool

    @property
    def norm(self) -> float:
        """|W|, and 1 where it is 1 up to rounding."""
        found = self.network.norm
        return 1.0 if abs(found - 1) <= self.network.states * EPS else found

    def points(self) -> Iterator[Float[np.ndarray, " input"]]:
        """A few constant inputs off the middle of the set, always the same, none of them special."""
        drawn = np.random.default_rng(0).uniform(-1, 1, (POINTS, self.network.inputs))
        if self.inputs is None:
            return iter(drawn)
        low, high, radius = self.inputs.low, self.inputs.high, self.inputs.radius
        side = np.minimum((high - low) / 2, radius / np.sqrt(self.network.inputs))
        return (x for x in (low + high) / 2 + side * drawn if np.linalg.norm(x) <= radius)

    def modes(self, slopes: Float[np.ndarray, "state state"]) -> VisibleModes:
        """Those that show with these slopes."""
        return visible_modes(impulse_response(self.network, slopes, 2 * self.network.states))

    def states(self, weight_hh: Float[np.ndarray, "state state"]) -> int:
        """n + k."""
        return len(dilate(weight_hh).weight_hh)


def verdict(
    network: Network, name: str, inputs: Inputs | None = None, horizon: int | None = None, *, exact: bool = False
) -> Verdict:
    """Whether an orthogonal network has the same map, in the order: copies, dilation, parking, refusals.

    Args:
        network: units that reach no output are left aside; `prune` a ReLU network first.
        name: of the activation (`activation`), or `modrelu`, whose network may be complex.
        inputs: where x[k] comes from; None for anywhere.
        horizon: T, steps; None for ever.
        exact: only equal maps count, so `epsilon` is no answer.
    Raises:
        ValueError: for an activation without known facts, or complex weights with a real one.

    Cost: that of `rescale`, and a linear program or two.
    Source: Theorems 1 and 3 of the paper; all further theorems are our derivation.
    """
    kept = np.flatnonzero(~unread_units(network.weight_hh, network.readout))
    if not len(kept):
        return Verdict("exact", "pruning", "no unit reaches an output, so y = 0", 0)
    network = network.part(kept)
    if name == "modrelu":
        return _modrelu(network, inputs, horizon)
    phi = activation(name)
    refuse_complex(weight_hh=network.weight_hh, weight_ih=network.weight_ih, bias=network.bias, readout=network.readout)
    question = _Question(network, phi, inputs, horizon, exact)
    copies = orthogonal_copies(network.weight_hh)
    if copies is not None and (name != "group_sort" or copies.max() == 1):
        return Verdict(
            "exact", "copies", f"W^T M W = M for the copies {copies.tolist()} of the units", int(copies.sum())
        )
    return _family(question)(question)


def _family(question: _Question) -> Callable[[_Question], Verdict]:
    """What decides for this activation."""
    phi = question.phi
    if phi.smooth:
        return _smooth
    if phi.flat:
        return _relu if phi.homogeneous else _saturating
    return _soft_shrink if phi.dead_zone else _leaky


def _relu(question: _Question) -> Verdict:
    network, best = question.network, rescale(question.network.weight_hh)
    scaled = scaled_matrix(network.weight_hh, best.scale)
    if best.norm > 1 + network.states * EPS:
        return _expansive(question, best.infimum, best.proven)
    free = _free(network.weight_hh, scaled)
    if free is not None:
        return Verdict("exact", "complete positivity", "extra units never receive anything positive", free)
    if question.inputs is None:
        return Verdict("undecided", "dilation", "the extra bias needs a bound on the inputs")
    contractive = best.norm < 1
    if not contractive and question.horizon is None:
        return Verdict("undecided", "dilation", "the norm is 1 at best, so the extra bias needs a horizon")
    reason = f"the norm is {question.norm:.6g}, and {best.norm:.6g} once units are rescaled"
    return Verdict("exact on bounded inputs", "dilation", reason, question.states(scaled))


def _free(weight_hh: Float[np.ndarray, "state state"], scaled: Float[np.ndarray, "state state"]) -> int | None:
    """N of a dilation that needs no bound."""
    scale = bound_free_scale(weight_hh)
    tried = [weight_hh, scaled] + ([] if scale is None else [scaled_matrix(weight_hh, scale)])
    found = [bound_free(w) for w in tried if np.linalg.norm(w, 2) <= 1]
    return min((len(one.weight_hh) for one in found if one is not None), default=None)


def _expansive(question: _Question, infimum: float, proven: float) -> Verdict:
    """A ReLU network that no scaling makes contractive."""
    if question.horizon is None and _steered(question.network, question.inputs):
        modes = question.modes(np.eye(question.network.states))
        if modes.above(1.0):
            reason = f"at a fixed point with all units on, answers grow as {modes.radius:.6g}^k"
            return Verdict("impossible", "growth", reason)
    told = f"no scaling that was found brings the norm below {infimum:.6g}"
    certified = f", and none can below {proven:.6g}, by a certificate" if proven >= 1 else ""
    return Verdict("undecided", "dilation", told + certified)


def _saturating(question: _Question) -> Verdict:
    """Units constant on a half-line and bounded."""
    name, w = question.phi.name, question.network.weight_hh
    if question.norm <= 1:
        reason = f"{name} is constant below {question.phi.level(0.0):.6g}, where extra units are parked"
        return Verdict("exact", "parking", reason, question.states(w))
    copies = copies_for(w, MOST_COPIES * len(w))
    if copies is not None:
        scaled = scaled_matrix(w, copies**-0.5)
        states = int(copies.sum()) + question.states(scaled) - len(w)
        return Verdict("exact", "copies and parking", f"norm below 1 with the copies {copies.tolist()}", states)
    refused = _refused(question)
    return refused or Verdict(
        "undecided", "parking", f"the norm is {question.norm:.6g}, and no copies bring it below 1"
    )


def _soft_shrink(question: _Question) -> Verdict:
    network, inputs = question.network, question.inputs
    if question.norm >= 1 or inputs is None:
        return Verdict("undecided", "dead zone", "a norm below 1 and a bound on the inputs are needed")
    dilation = dilate(network.weight_hh)
    most = float(norm_bound(network, dilation.into_extra, inputs, question.horizon).max(initial=0))
    if most <= question.phi.dead_zone:
        reason = f"extra units stay within {most:.6g} of 0, in the dead zone"
        return Verdict("exact on bounded inputs", "dead zone", reason, len(dilation.weight_hh))
    return Verdict("undecided", "dead zone", f"extra units may reach {most:.6g}, beyond the dead zone")


def _leaky(question: _Question) -> Verdict:
    """Units whose slopes are bounded away from 0: leaky ReLU, linear, abs, group_sort."""
    phi, network = question.phi, question.network
    if phi.name == "linear" and question.horizon is not None and question.norm <= 1:
        extra = question.states(network.weight_hh) - network.states
        states = network.states + question.horizon * extra
        return Verdict("exact", "power dilation", f"over {question.horizon} steps what leaks is delayed", states)
    refused = _refused(question)
    if refused is None and phi.least_slope < 1 and question.horizon is None and _negative(question):
        modes = question.modes(phi.least_slope * np.eye(network.states))
        if modes.below(phi.least_slope):
            refused = _floor(question, modes, "with all units negative")
    told = "no fixed point was found whose eigenvalues decide" if question.horizon is None else FINITE
    return refused or Verdict("undecided", "slope floor (generic)", told)


def _smooth(question: _Question) -> Verdict:
    """Units with a slope other than 0 everywhere."""
    equal = _equal(question)
    near = None if question.exact else _near(question)
    if near is None:
        return equal
    return Verdict(
        "epsilon", "parking", f"extra units parked far down; an equal map is {equal.outcome}: {equal.reason}", near
    )


def _equal(question: _Question) -> Verdict:
    """Whether smooth units other than copies have an equal twin; what is rigorous is asked first."""
    if question.horizon is not None:
        return Verdict("undecided", "zero mode", f"no refusal applies, and {FINITE}")
    if refused := _refused(question):
        return refused
    unknown = identifiable(question.network) if question.phi.identifiable else f"{question.phi.name} units may combine"
    if unknown is None and invariant_weights(question.network.weight_hh) is not None:
        unknown = "copies in ratios that were not found could make W orthogonal"
    if unknown is None:
        return Verdict("impossible", "identifiability (generic)", "no copies of the units make W orthogonal")
    return Verdict("undecided", "zero mode", f"no refusal applies, and {unknown}")


def _near(question: _Question) -> int | None:
    """N of an epsilon twin, if slopes times norm are below 1 and the states are bounded."""
    phi, w = question.phi, question.network.weight_hh
    if question.inputs is None and not np.isfinite(phi.limit):
        return None
    if question.norm <= 1:
        return question.states(w) if phi.lipschitz * norm(w) < 1 else None
    copies = copies_for(w, MOST_COPIES * len(w))
    if copies is None:
        return None
    scaled = scaled_matrix(w, copies**-0.5)
    return int(copies.sum()) + question.states(scaled) - len(w) if phi.lipschitz * norm(scaled) < 1 else None


def _refused(question: _Question) -> Verdict | None:
    """What the slopes say at the fixed points that a few constant inputs lead to; nothing over a finite horizon."""
    if question.horizon is not None:
        return None
    refusals = (_refused_at(question, x) for x in question.points())
    return next((refusal for refusal in refusals if refusal is not None), None)


def _refused_at(question: _Question, x: Float[np.ndarray, " input"]) -> Verdict | None:
    network, phi = question.network, question.phi
    point = network.initial if phi.name == "linear" else fixed_point(network, phi, x)  # of slope 1 everywhere
    if point is None:
        return None
    z = network.weight_hh @ point + network.weight_ih @ x + network.bias
    off = INSIDE * (-1.0) ** np.arange(len(z))
    if np.abs(phi.jacobian(z + off) - phi.jacobian(z - off)).max() > 1e-3:
        return None  # at a kink
    modes = question.modes(phi.jacobian(z))
    if phi.smooth and modes.zero_mode:
        reason = f"an eigenvalue 0 shows at a fixed point: ranks {modes.rank_now} and {modes.rank_next}"
        return Verdict("impossible", "zero mode", reason)
    if modes.below(phi.least_slope):
        return _floor(question, modes, "at a fixed point")
    if modes.above(phi.lipschitz):
        reason = f"an eigenvalue {modes.radius:.6g} shows at a fixed point, above the largest slope {phi.lipschitz:.6g}"
        return Verdict("impossible", "slope ceiling", reason)
    return None


def _floor(question: _Question, modes: VisibleModes, where: str) -> Verdict:
    reason = (
        f"{where} all that shows is within {modes.radius:.6g}, below the least slope {question.phi.least_slope:.6g}"
    )
    return Verdict("impossible", "slope floor (generic)", reason)


def _modrelu(network: Network, inputs: Inputs | None, horizon: int | None) -> Verdict:
    size = network.norm
    if size > 1 + network.states * EPS:
        return Verdict("undecided", "dilation", f"the norm is {size:.6g}")
    dilation = dilate(network.weight_hh)
    if len(dilation.among_extra) == 0:
        return Verdict("exact", "dilation", "W is unitary", network.states)
    if inputs is None or (horizon is None and norm_above(network) >= 1):
        return Verdict("undecided", "dilation", "a bound on the inputs is needed, and a horizon where the norm is 1")
    return Verdict("exact on bounded inputs", "dilation", f"the norm is {size:.6g}", len(dilation.weight_hh))


def _region(network: Network, inputs: Inputs | None) -> list[tuple[float | None, float | None]]:
    """Bounds on the entries of one x: those of the box, within the largest cube of the ball."""
    if inputs is None:
        return [(None, None)] * network.inputs
    side = max(inputs.radius / np.sqrt(network.inputs), 0.0)
    if np.linalg.norm(np.maximum(np.abs(inputs.low), np.abs(inputs.high))) <= inputs.radius:
        side = np.inf
    return [(max(a, -side), min(b, side)) for a, b in zip(inputs.low, inputs.high, strict=True)]


def _negative(question: _Question) -> bool:
    """Whether a constant input leads to a fixed point with all preactivations negative: z = (I - a W)^-1 (F x + b)."""
    network, slope = question.network, question.phi.least_slope
    if rescale(network.weight_hh).norm >= 1:
        return False  # the fixed point need not be reached
    inverse = np.linalg.inv(np.eye(network.states) - slope * network.weight_hh)
    rows = np.hstack([inverse @ network.weight_ih, np.ones((network.states, 1))])
    found = linprog(
        np.r_[np.zeros(network.inputs), -1.0],
        rows,
        -inverse @ network.bias,
        bounds=[*_region(network, question.inputs), (None, 1.0)],
    )
    return found.status == 0 and -found.fun > INSIDE


def _steered(network: Network, inputs: Inputs | None) -> bool:
    """Whether n inputs lead from h[-1] to a fixed point of some constant input, with all ReLU units on at all steps.

    Unknown are the n inputs, the constant one and the least preactivation, which is maximised. Programs of more than
    `LARGEST` coefficients are not tried.
    """
    n, m = network.states, network.inputs
    if n * n * (n + 1) * m > LARGEST:
        return False
    reach, start = [np.zeros((n, (n + 1) * m))], network.initial
    offsets = []
    for step in range(n):
        moved = network.weight_hh @ reach[-1]
        moved[:, step * m : (step + 1) * m] += network.weight_ih
        start = network.weight_hh @ start + network.bias
        reach.append(moved)
        offsets.append(start)
    still = np.eye(n) - network.weight_hh
    arrival = still @ reach[-1]
    arrival[:, n * m :] -= network.weight_ih
    rows = np.hstack([-np.concatenate(reach[1:]), np.ones((n * n, 1))])
    found = linprog(
        np.r_[np.zeros((n + 1) * m), -1.0],
        rows,
        np.concatenate(offsets),
        np.hstack([arrival, np.zeros((n, 1))]),
        network.bias - still @ offsets[-1],
        bounds=[*_region(network, inputs) * (n + 1), (None, 1.0)],
    )
    return found.status == 0 and -found.fun > INSIDE
