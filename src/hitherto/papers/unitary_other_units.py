"""Twins of networks that are not ReLU ones: copies of units, units parked where they are flat, near twins."""

from dataclasses import replace
from fractions import Fraction
from math import isqrt

import numpy as np
from scipy.optimize import brentq

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import BIAS_PER_DECADE, EXTRA_STATES, FUNCTION_GAP, TWIN_STATES, Estimate
from hitherto.core.source import Source
from hitherto.papers.depth_networks import exact
from hitherto.papers.unitary_conversion import NO_GAP
from hitherto.papers.unitary_networks import (
    CUBE,
    OURS,
    PAPER,
    Numbers,
    Parts,
    around,
    drawn,
    largest,
    map_gap,
    norm_below_1,
    parts_of,
    rational,
    rational_rotation,
    signals,
    states,
    states_in_floats,
    twin_gap,
    twin_states,
    unbounded,
)
from hitherto.theory.unitary import Dilation, dilate, power_dilation, states_needed
from hitherto.theory.unitary_activations import Activation, activation
from hitherto.theory.unitary_bounds import modulus_bound, norm_bound
from hitherto.theory.unitary_exact import as_fractions, dilate_exactly
from hitherto.theory.unitary_network import Network, scaled_matrix
from hitherto.theory.unitary_parking import Parking, parked_bias, state_limit
from hitherto.theory.unitary_scaling import copies_for
from hitherto.theory.unitary_twin import copy_matrix, duplicated, duplicated_network, orthogonal_copies

# ---------------------------------------------------------------- copies


def copied(own: Parts, copies: Numbers) -> Parts:
    """The network of fractions with so many copies of each unit."""
    q = copy_matrix(copies)
    readout = (own.readout / copies) @ q.T
    return Parts(duplicated(own.weight_hh, copies), q @ own.weight_ih, q @ own.bias, readout, q @ own.initial)


def copied_gap(case: Case) -> Estimate:
    """Between a network of fractions and the one with copies."""
    own = rational(case.values, case.seed)
    return map_gap(own, copied(own, np.array(case.copies)), signals(case.length, case.seed), case.units)


COPIES = Claim(
    id="unitary.copies",
    says="Units of any activation can be rescaled by copying them: the map stays, to the last digit.",
    **NO_GAP,
    hypotheses=lambda case: None,
    measure=copied_gap,
    smallest=Case(values=("3/5", "5/13"), copies=(1, 3), units="square", length=6, seed=0),
    larger=(
        Case(values=("3/5", "5/13"), copies=(2, 5), units="abs", length=30, seed=1),
        Case(values=("1", "0", "4/5"), copies=(1, 2, 4), units="soft_shrink(8)", length=30, seed=2),
    ),
)


def balanced_by_copies(case: Case) -> Parts:
    """A network of fractions with W^T M W = M for these copies, all squares, on the diagonal of M."""
    rng, n = np.random.default_rng(case.seed), len(case.copies)
    roots = np.array([isqrt(copies) for copies in case.copies], object)
    own = rational(("1",) * n, case.seed)
    return own._replace(weight_hh=rational_rotation(n, rng) * roots / roots[:, None])


def states_of_copies(case: Case) -> Estimate:
    """Of the orthogonal network of copies, whose outputs have 50 digits in common with the others."""
    own = balanced_by_copies(case)
    twin = copied(own, orthogonal_copies(own.weight_hh))
    return twin_states(own, twin, signals(case.length, case.seed), case.units, same=1e-50)


COPY_TWIN = Claim(
    id="unitary.copy_twin",
    says="Some expansive networks have orthogonal twins for every activation, tanh too: W^T M W = M with M copies.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(TWIN_STATES, int(orthogonal_copies(balanced_by_copies(case).weight_hh).sum())),
    measure=states_of_copies,
    smallest=Case(copies=(1, 4), units="tanh", length=20, seed=0),
    larger=(
        Case(copies=(4, 9), units="sigmoid", length=20, seed=1),
        Case(copies=(1, 4, 9), units="softplus", length=10, seed=2),
        Case(copies=(1, 4, 1), units="abs", length=20, seed=3),
    ),
)

# ---------------------------------------------------------------- parked units


def parked(own: Parts, weight_hh: Numbers, phi: Activation, parking: Parking) -> Parts:
    """The twin with its extra units parked at c; what they send to the others is made up for in fractions."""
    rest, into_states = int(phi.rest), as_fractions(weight_hh[: len(own.bias), len(own.bias) :])
    return around(own.fractions, weight_hh, parking.bias - 1e-9, -rest * into_states.sum(1), rest)


def parked_gap(case: Case) -> Estimate:
    """Between a network and its twin, both in fractions, on inputs within 500 and within 1."""
    own, phi = rational(case.values, case.seed), activation(case.units)
    weight_hh = dilate_exactly(own.weight_hh)
    dilation = Dilation(weight_hh.astype(float), len(own.bias), 0.0)
    parking = parked_bias(dilation, phi, state_limit(own.network, phi))
    twin = parked(own, weight_hh, phi, parking)
    return twin_gap(own, twin, unbounded(case.length, case.seed, 500.0), case.units, rounded=0.0)


PARKED = Claim(
    id="unitary.parked_units",
    says="Bounded units that are constant on a half-line park the extra ones there: a twin whatever the inputs.",
    **NO_GAP,
    hypotheses=lambda case: None if activation(case.units).flat else "no half-line on which the units are constant",
    measure=parked_gap,
    smallest=Case(values=("3/5", "5/13"), units="hard_tanh", length=20, seed=0),
    larger=(
        Case(values=("1", "4/5"), units="relu6", length=20, seed=1),
        Case(values=("0", "12/13", "3/5"), units="hard_sigmoid(0.25,0.5)", length=20, seed=2),
    ),
)


def expansive(case: Case) -> Network:
    """The W of the case with Gaussian weights around it."""
    own = drawn(Case(width=len(case.weight_hh), norm=1.0, seed=case.seed))
    return Network(np.array(case.weight_hh), own.weight_ih, own.bias, own.readout, own.initial)


def copies_of(case: Case) -> Numbers | None:
    """Copies with which the norm is below 1."""
    return copies_for(np.array(case.weight_hh), case.most)


def states_of_copied_and_parked(case: Case) -> Estimate:
    """Of the dilation of the network of copies."""
    own, phi = expansive(case), activation(case.units)
    larger = duplicated_network(own, copies_of(case))
    dilation = dilate(larger.weight_hh)
    twin = parked(parts_of(larger), dilation.weight_hh, phi, parked_bias(dilation, phi, state_limit(larger, phi)))
    return twin_states(parts_of(own), twin, signals(case.length, case.seed), case.units)


def predicted_of_copied(case: Case) -> Estimate:
    """sum of m + rank(I - A^T A), A = M^(1/2) W M^(-1/2): copies add no extra states."""
    copies = copies_of(case)
    extra = states_needed(scaled_matrix(np.array(case.weight_hh), copies**-0.5)).upper - len(copies)
    return exact(TWIN_STATES, int(copies.sum()) + extra)


COPIED_AND_PARKED = Claim(
    id="unitary.copied_and_parked",
    says="Copies that bring the norm below 1 give expansive saturating networks a twin, and cost no extra states.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="==",
    hypotheses=lambda case: "no copies bring the norm below 1" if copies_of(case) is None else None,
    predict=predicted_of_copied,
    measure=states_of_copied_and_parked,
    smallest=Case(weight_hh=((0.5, 2.0), (0.1, -0.4)), most=20, units="hard_tanh", length=12, seed=0),
    larger=(
        Case(weight_hh=((0.3, 1.5, 0.0), (0.1, 0.2, 0.2), (0.2, 0.0, 0.5)), most=20, units="relu6", length=8, seed=1),
    ),
)


def complex_network(case: Case) -> Network:
    """Complex weights, W of the norm of the case, and modulus biases of both signs."""
    rng, n = np.random.default_rng(case.seed), case.width
    w, f, h = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in ((n, n), (n, 2), n))
    return Network(case.norm * w / np.linalg.norm(w, 2), f, 0.3 * rng.normal(size=n), np.eye(n) + 0j, h)


def extra_moduli(case: Case) -> Estimate:
    """The largest modulus of an extra state over a run of modReLU units, (|a| + b)_+ a / |a|."""
    own = complex_network(case)
    dilation = dilate(own.weight_hh)
    bias = np.r_[own.bias, -modulus_bound(own, dilation.into_extra, CUBE)]

    def modrelu(a: Numbers) -> Numbers:
        size = np.abs(a)
        return np.maximum(size + bias, 0) / np.where(size > 0, size, 1) * a

    silent = parts_of(own)._replace(bias=np.zeros(case.width))
    twin = around(silent, dilation.weight_hh, np.zeros(len(dilation.into_extra)))
    return exact(EXTRA_STATES, largest(states(twin, signals(case.length, case.seed), modrelu)[:, case.width :]))


MODRELU = Claim(
    id="unitary.modulus_units",
    says="Complex networks of modReLU units have unitary twins: a modulus bias keeps the extra units at 0.",
    source=OURS,
    quantity=EXTRA_STATES,
    relation="==",
    hypotheses=norm_below_1,
    predict=lambda case: exact(EXTRA_STATES, 0.0),
    measure=extra_moduli,
    smallest=Case(width=3, norm=0.9, length=300, seed=0),
    larger=(Case(width=24, norm=0.99, length=1000, seed=1),),
)


def from_afar(case: Case) -> Parts:
    """Weak inputs, and a first state far beyond the dead zone."""
    own = rational(case.values, case.seed)
    return own._replace(weight_ih=own.weight_ih / 8, bias=own.bias / 8, initial=own.initial * 16)


def within_dead_zone(case: Case) -> str | None:
    """Extra units receive no more than the dead zone."""
    own = from_afar(case).network
    most = norm_bound(own, dilate(own.weight_hh).into_extra, CUBE).max()
    zone = activation(case.units).dead_zone
    return None if most <= zone else f"extra units may receive {most:.3g}, beyond the dead zone of {zone:.3g}"


def dead_zone_gap(case: Case) -> Estimate:
    """Between a network and its twin without a bias, both in fractions."""
    own = from_afar(case)
    weight_hh = dilate_exactly(own.weight_hh)
    silent = np.zeros(len(weight_hh) - len(own.bias), int)
    return twin_gap(own, around(own, weight_hh, silent), signals(case.length, case.seed), case.units, rounded=0.0)


SOFT_SHRINK = Claim(
    id="unitary.dead_zone",
    says="Soft-shrink units have a twin where what the extra ones receive stays within the dead zone.",
    **NO_GAP,
    hypotheses=within_dead_zone,
    measure=dead_zone_gap,
    smallest=Case(values=("12/13",), units="soft_shrink(8)", length=20, seed=0),
    larger=(Case(values=("15/17", "12/13"), units="soft_shrink(8)", length=20, seed=1),),
)


def delayed_gap(case: Case) -> Estimate:
    """Between a linear network and one whose leaks wait in delay lines."""
    own = drawn(case)
    weight_hh = power_dilation(own.weight_hh, case.length).weight_hh
    twin = around(parts_of(own), weight_hh, np.zeros(len(weight_hh) - case.width))
    return twin_gap(parts_of(own), twin, signals(case.length, case.seed), "linear")


POWERS = Claim(
    id="unitary.power_dilation",
    says="Over T steps linear networks have twins of n + T k states, in which what leaks does not come back before.",
    **NO_GAP,
    hypotheses=norm_below_1,
    measure=delayed_gap,
    smallest=Case(width=2, norm=0.9, length=8, seed=0),
    larger=(Case(width=3, norm=0.7, length=20, seed=1),),
)

# ---------------------------------------------------------------- near twins


def near_gap(case: Case) -> Estimate:
    """The largest error of a state, in digits enough for it to show."""
    own, phi = drawn(case), activation(case.units)
    own = Network(own.weight_hh, own.weight_ih, own.bias, np.eye(case.width), own.initial)
    dilation = dilate(own.weight_hh)
    parking = parked_bias(dilation, phi, state_limit(own, phi, CUBE), case.epsilon)
    twin = parked(parts_of(own), dilation.weight_hh, phi, parking)
    return twin_gap(parts_of(own), twin, signals(case.length, case.seed), case.units)


def slopes_below_1(case: Case) -> str | None:
    """L |W| < 1 for slopes up to L."""
    rate = activation(case.units).lipschitz * case.norm
    return None if rate < 1 else f"slopes times norm are {rate:.4g} and must be below 1"


NEAR = Claim(
    id="unitary.near_twin",
    says="Smooth units have orthogonal twins of 2 n states that err by as little as one likes.",
    source=OURS,
    quantity=FUNCTION_GAP,
    relation="<=",
    hypotheses=slopes_below_1,
    predict=lambda case: exact(FUNCTION_GAP, case.epsilon),
    measure=near_gap,
    smallest=Case(width=3, norm=0.9, units="tanh", epsilon=1e-30, length=20, seed=0),
    larger=tuple(
        Case(width=3, norm=0.85, units=units, epsilon=epsilon, length=30, seed=1)
        for units, epsilon in (
            ("tanh", 1e-2),
            ("sigmoid", 1e-20),
            ("softplus", 1e-5),
            ("elu", 1e-9),
            ("gelu", 1e-6),
            ("silu", 1e-6),
        )
    ),
)
ONE = np.ones((1, 1))
SCALAR = Parts(np.array([[Fraction(3, 5)]]), ONE, np.zeros(1), ONE, np.zeros(1)).fractions
ONE_INPUT = np.array([[1.0], [-0.5], [0.25], [0.0]])


def scalar_twin(units: str, bias: float) -> Parts:
    """Of y = h, h = phi(3 h / 5 + x), with this bias."""
    phi, weight_hh = activation(units), dilate_exactly(SCALAR.weight_hh)
    rest = int(phi.rest)
    return around(SCALAR, weight_hh, np.array([bias]), -rest * weight_hh[:1, 1:].sum(1), rest)


def bias_for(units: str, error: float) -> float:
    """The bias that makes the error so large."""

    def excess(bias: float) -> float:
        return float(np.log(map_gap(SCALAR, scalar_twin(units, bias), ONE_INPUT, units).value / error))

    return brentq(excess, -60, -5)


def fall_of_bias(case: Case) -> Estimate:
    """From an error to a tenth of it."""
    return exact(BIAS_PER_DECADE, bias_for(case.units, case.error) - bias_for(case.units, case.error / 10))


def fall_of_level(case: Case) -> Estimate:
    """Of the level below which phi is so near to its limit."""
    level = activation(case.units).level
    return exact(BIAS_PER_DECADE, level(case.error) - level(case.error / 10))


BIAS_GROWTH = Claim(
    id="unitary.bias_of_near_twins",
    says="The bias of near twins falls as the logarithm of the error: by ln 10 a decade, by half of that for tanh.",
    source=OURS,
    quantity=BIAS_PER_DECADE,
    relation="==",
    hypotheses=lambda case: None,
    predict=fall_of_level,
    measure=fall_of_bias,
    smallest=Case(units="sigmoid", error=1e-12),
    larger=(Case(units="tanh", error=1e-12), Case(units="softplus", error=1e-9), Case(units="elu", error=1e-9)),
    rtol=1e-6,
)


def hidden_gap(case: Case) -> Estimate:
    """In 60 digits, with what double precision sees of it among the statistics."""
    twin = scalar_twin(case.units, case.bias)
    seen = [states_in_floats(one, ONE_INPUT, case.units)[:, 0] for one in (SCALAR, twin)]
    found = map_gap(SCALAR, twin, ONE_INPUT, case.units)
    return replace(found, statistics={"in_double_precision": largest(seen[0] - seen[1])})


def least_gap(case: Case) -> Estimate:
    """4/5 phi(bias) times the least slope that phi can have here: the first thing that the extra unit says."""
    phi = activation(case.units)
    said, slope = phi.apply(np.array([case.bias]))[0] - phi.rest, phi.slope(np.array([-1.6]))[0]
    return exact(FUNCTION_GAP, float(0.8 * said * slope))


NOT_EXACT = Claim(
    id="unitary.never_exact",
    says="Smooth extra units are never silent: at a bias of -40 outputs agree in double precision, but not the maps.",
    source=Source(PAPER, "Theorem 3, in numbers (ours)"),
    quantity=FUNCTION_GAP,
    relation=">=",
    hypotheses=lambda case: None,
    predict=least_gap,
    measure=hidden_gap,
    smallest=Case(units="sigmoid", bias=-40.0),
    larger=(Case(units="sigmoid", bias=-80.0), Case(units="softplus", bias=-40.0), Case(units="sigmoid", bias=-5.0)),
)

CLAIMS = (
    COPIES,
    COPY_TWIN,
    PARKED,
    COPIED_AND_PARKED,
    MODRELU,
    SOFT_SHRINK,
    POWERS,
    NEAR,
    BIAS_GROWTH,
    NOT_EXACT,
)
