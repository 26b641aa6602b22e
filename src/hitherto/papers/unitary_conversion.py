"""Contractive ReLU networks inside orthogonal ones: the twin, its states, and the bias that silences extra units."""

from itertools import product
from math import inf

import numpy as np
from scipy.linalg import block_diag

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import EXTRA_DRIVE, EXTRA_STATES, FUNCTION_GAP, TWIN_STATES, Estimate
from hitherto.core.source import Source
from hitherto.papers.depth_networks import exact
from hitherto.papers.unitary_networks import (
    CUBE,
    OURS,
    PAPER,
    ROUNDED,
    UNITS,
    Numbers,
    Parts,
    around,
    drawn,
    largest,
    norm_below_1,
    outputs,
    parts_of,
    rational,
    rational_rotation,
    residual,
    rotation,
    signals,
    states,
    twin_gap,
    twin_states,
    unbounded,
)
from hitherto.theory.unitary import Dilation, completed, dilate, states_needed, truncated
from hitherto.theory.unitary_bounds import (
    extra_bias,
    farthest,
    norm,
    norm_bound,
    positive_part_bound,
    state_set,
)
from hitherto.theory.unitary_exact import as_fractions, dilate_exactly
from hitherto.theory.unitary_intervals import interval_bound
from hitherto.theory.unitary_network import Inputs, Network
from hitherto.theory.unitary_positive import bound_free
from hitherto.theory.unitary_supremum import Supremum, exact_bound

NO_GAP = {
    "quantity": FUNCTION_GAP,
    "relation": "==",
    "source": OURS,
    "predict": lambda case: exact(FUNCTION_GAP, 0.0),
}

# ---------------------------------------------------------------- the twin


def with_values(*values: str, length: int = 30, seed: int = 0) -> Case:
    """A network of fractions with these singular values of W."""
    return Case(values=values, length=length, seed=seed)


def exact_twin(own: Parts, seed: int, horizon: int | None) -> Parts:
    """The dilation in fractions, by one of the many W21 and W12, with a bias that is enough over the horizon."""
    rng, n = np.random.default_rng(seed), len(own.weight_hh)
    weight_hh = dilate_exactly(own.weight_hh)
    turns = [block_diag(np.eye(n, dtype=int), rational_rotation(len(weight_hh) - n, rng)) for _ in range(2)]
    weight_hh = turns[0] @ weight_hh @ turns[1]
    bias = extra_bias(own.network, weight_hh[n:, :n].astype(float), CUBE, horizon)
    signs = np.concatenate([np.ones(n), bias.signs]).astype(int)
    return around(own, weight_hh * signs * signs[:, None], as_fractions(bias.bias))


def gap_in_fractions(case: Case, horizon: int | None = None) -> Estimate:
    """Between a network and its twin, both in fractions and the twin orthogonal without any rounding."""
    own = rational(case.values, case.seed)
    return twin_gap(own, exact_twin(own, case.seed, horizon), signals(case.length, case.seed), rounded=0.0)


def contractive(case: Case) -> str | None:
    """Singular values below 1."""
    return "the norm is 1, so nothing bounds the states for ever" if "1" in case.values else None


TWIN = Claim(
    id="unitary.twin",
    says="A contractive ReLU network has an orthogonal twin with the same outputs, in every digit, for ever.",
    **NO_GAP | {"source": Source(PAPER, "Theorem 1 (statement read, proof ours)")},
    hypotheses=contractive,
    measure=gap_in_fractions,
    smallest=with_values("3/5", "5/13", seed=1),
    larger=(with_values("4/5"), with_values("0", "12/13", "3/5", seed=1), with_values("3/5", "3/5", seed=2)),
)
HORIZON = Claim(
    id="unitary.horizon",
    says="A network of norm 1 has a twin over any given number of steps.",
    **NO_GAP,
    hypotheses=lambda case: None if contractive(case) else "the norm is below 1, and no horizon is needed",
    measure=lambda case: gap_in_fractions(case, case.length),
    smallest=with_values("1", "3/5", seed=1),
    larger=(with_values("1", "5/13", "3/5", seed=2), with_values("1", "0", length=60, seed=4)),
)


def states_of_exact_twin(case: Case) -> Estimate:
    """Counted in a twin whose outputs are the same."""
    own = rational(case.values, case.seed)
    return twin_states(own, exact_twin(own, case.seed, case.length), signals(case.length, case.seed))


STATES = Claim(
    id="unitary.states",
    says="The twin takes n + rank(I - W^T W) states: a direction that W keeps in full needs no extra one.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(
        TWIN_STATES, states_needed(rational(case.values, case.seed).weight_hh.astype(float)).upper
    ),
    measure=states_of_exact_twin,
    smallest=with_values("1", "3/5", seed=1),
    larger=(with_values("0", "0", seed=1), with_values("1", "1"), with_values("1", "5/13", "3/5", length=10, seed=1)),
)


def in_floats(own: Network, inputs: Inputs = CUBE, horizon: int | None = None) -> Parts:
    """The twin in double precision, with W in its corner to the last bit."""
    dilation = dilate(own.weight_hh)
    bias = extra_bias(own, dilation.into_extra, inputs, horizon)
    return around(parts_of(own), dilation.flipped(bias.signs).weight_hh, bias.bias)


def extra_states_in_floats(case: Case) -> Estimate:
    """Over a long run in double precision."""
    twin = in_floats(drawn(case))
    return exact(EXTRA_STATES, largest(states(twin, signals(case.length, case.seed), UNITS["relu"])[:, case.width :]))


SILENT = Claim(
    id="unitary.silent_units",
    says="In double precision too the extra units stay at 0 to the last bit, as near as W may be to norm 1.",
    source=OURS,
    quantity=EXTRA_STATES,
    relation="==",
    hypotheses=norm_below_1,
    predict=lambda case: exact(EXTRA_STATES, 0.0),
    measure=extra_states_in_floats,
    smallest=Case(width=16, norm=0.95, length=1000, seed=0),
    larger=(
        Case(width=64, norm=0.9, length=1000, seed=1),
        Case(width=8, norm=1 - 1e-9, length=1000, seed=2),
        Case(width=256, norm=0.99, length=300, seed=3),
    ),
)

# ---------------------------------------------------------------- the extra bias

SILENCED = -100.0  # a bias with which an extra unit never fires here
BOUNDS = ("exact", "interval", "positive part", "norm")


def supremum(own: Network, length: int) -> tuple[Dilation, Supremum]:
    """The dilation, and the most that its first extra unit receives over so many steps."""
    dilation = dilate(own.weight_hh)
    return dilation, exact_bound(own, dilation.into_extra[:1], CUBE, length)


def drives(values: list[float]) -> Estimate:
    """One for each bound."""
    return Estimate(EXTRA_DRIVE, np.array(values), np.zeros(len(values)), axes={"bound": np.array(BOUNDS)})


def bounded_drive(case: Case) -> Estimate:
    """What the bounds say of the first extra unit."""
    own = drawn(case)
    dilation, most = supremum(own, case.length)
    cheap = (interval_bound, positive_part_bound, norm_bound)
    found = (bound(own, dilation.into_extra[:1], CUBE, case.length)[0] for bound in cheap)
    return drives([most.bounds[0], *found])


def met_drive(case: Case) -> Estimate:
    """The most that was met in runs: with the maximising inputs, and with 20,000 others, often at corners."""
    own = drawn(case)
    dilation, most = supremum(own, case.length)
    drawn_inputs = np.random.default_rng(case.seed).uniform(-2, 2, (20_000, case.length - 1, 2)).clip(-1, 1)
    tried = [most.maximisers[0][None], drawn_inputs]
    return drives([max(farthest_drive(own, dilation.into_extra[0], x) for x in tried)] * len(BOUNDS))


def farthest_drive(own: Network, row: Numbers, inputs: Numbers) -> float:
    """Largest row h[k] of all runs, from h[-1] on; inputs are (run, time, input)."""
    h = np.repeat(own.initial[None], len(inputs), 0)
    met = [h @ row]
    for x in np.moveaxis(inputs, 1, 0):
        h = np.maximum(h @ own.weight_hh.T + x @ own.weight_ih.T + own.bias, 0)
        met.append(h @ row)
    return float(np.max(met))


BIAS_BOUNDS = Claim(
    id="unitary.bias_bounds",
    says="No input drives an extra unit beyond the exact supremum, and that lies below all cheaper bounds.",
    source=OURS,
    quantity=EXTRA_DRIVE,
    relation="<=",
    hypotheses=lambda case: None,
    predict=bounded_drive,
    measure=met_drive,
    smallest=Case(width=2, norm=0.9, length=4, seed=0),
    larger=(Case(width=3, norm=0.8, length=5, seed=1), Case(width=4, norm=1.0, length=4, seed=3)),
    rtol=1e-9,
)


def switchable(case: Case) -> Network:
    """A network whose states are read as they are, and all of whose units one corner of the cube switches on."""
    own = drawn(case)
    return Network(own.weight_hh, 4 * np.eye(2), own.bias, np.eye(2), own.initial)


def fired(case: Case) -> Estimate:
    """The gap of the outputs once the first extra unit has met its maximiser, for all corners as what follows."""
    own = switchable(case)
    dilation, most = supremum(own, case.length)
    twin = around(parts_of(own), dilation.weight_hh, np.array([case.slack - most.bounds[0], SILENCED]))
    followed = (np.vstack([most.maximisers[0], corner, corner]) for corner in product((-1.0, 1.0), repeat=2))
    return max((twin_gap(parts_of(own), twin, x) for x in followed), key=lambda gap: gap.value)


def fires(case: Case) -> Estimate:
    """slack |W12| for the first extra unit: it has the state `slack` at the maximiser, and shows a step later."""
    dilation = dilate(switchable(case).weight_hh)
    return exact(FUNCTION_GAP, case.slack * float(np.abs(dilation.into_states[:, 0]).max()))


SHARP_BIAS = Claim(
    id="unitary.sharp_bias",
    says="A bias above minus the exact supremum, by however little, changes the outputs a step past the maximiser.",
    source=OURS,
    quantity=FUNCTION_GAP,
    relation="==",
    hypotheses=lambda case: None if case.width == 2 else "one corner must switch all units on: two of them",
    predict=fires,
    measure=fired,
    smallest=Case(width=2, norm=0.9, length=4, slack=1e-3, seed=0),
    larger=(
        Case(width=2, norm=0.6, length=5, slack=1e-3, seed=1),
        Case(width=2, norm=0.95, length=3, slack=1e-2, seed=4),
    ),
    rtol=2e-3,  # of the mixed-integer program: 1e-6 of the supremum
)


def nonpositive_beside(case: Case) -> Network:
    """W with entries above 0 on its diagonal and none elsewhere."""
    own = drawn(case)
    w = np.abs(own.weight_hh) * (2 * np.eye(case.width) - 1) + np.eye(case.width)
    return Network(case.norm * w / np.linalg.norm(w, 2), own.weight_ih, own.bias, own.readout, own.initial)


def free(case: Case) -> Dilation | None:
    """The dilation that needs no bound on the inputs."""
    return bound_free(nonpositive_beside(case).weight_hh)


def gap_without_bound(case: Case) -> Estimate:
    """With a bias for the first state alone, on inputs up to a million."""
    dilation, exactly = free(case), parts_of(nonpositive_beside(case)).fractions
    first = np.maximum(as_fractions(dilation.into_extra) @ exactly.initial, 0)
    return twin_gap(exactly, around(exactly, dilation.weight_hh, -first), unbounded(case.length, case.seed, 1e6))


BOUND_FREE = Claim(
    id="unitary.bound_free",
    says="If I - W^T W = B B^T with B >= 0, extra units are silent with no bias, whatever the inputs.",
    **NO_GAP,
    hypotheses=lambda case: "no such B is found" if free(case) is None else None,
    measure=gap_without_bound,
    smallest=Case(width=2, norm=0.8, length=30, seed=0),
    larger=(Case(width=3, norm=0.7, length=30, seed=1), Case(width=4, norm=0.6, length=20, seed=2)),
)

# ---------------------------------------------------------------- fewer extra states, and stacks


def truncated_gap(case: Case) -> Estimate:
    """Between a network and the twin of so few extra states."""
    own = drawn(case)
    found = truncated(own.weight_hh, case.extra)
    near = Network(found.corner, own.weight_ih, own.bias, own.readout, own.initial)
    dilation = completed(found.corner, (found.directions * found.sizes).T)
    bias = extra_bias(near, dilation.into_extra, CUBE, case.length)
    twin = around(parts_of(own), dilation.flipped(bias.signs).weight_hh, bias.bias)
    return twin_gap(parts_of(own), twin, signals(case.length, case.seed))


def truncation_bound(case: Case) -> Estimate:
    """|C| T d R: the error of the states grows by at most d R a step, d the change of W and R a bound on the states."""
    own = drawn(case)
    most = max(state_set(own, CUBE, case.length).radius, float(np.linalg.norm(own.initial)))
    change = truncated(own.weight_hh, case.extra).rounding
    return exact(FUNCTION_GAP, norm(own.readout) * farthest(1.0, 0.0, change * most, case.length))


TRUNCATED = Claim(
    id="unitary.truncated",
    says="With fewer extra states the largest singular values are rounded to 1, and outputs err by at most |C| T d R.",
    source=OURS,
    quantity=FUNCTION_GAP,
    relation="<=",
    hypotheses=norm_below_1,
    predict=truncation_bound,
    measure=truncated_gap,
    smallest=Case(width=4, norm=0.99, extra=3, length=20, seed=0),
    larger=(Case(width=4, norm=0.999, extra=2, length=20, seed=1), Case(width=5, norm=0.9, extra=0, length=15, seed=2)),
)


def layers_of(case: Case) -> list[Network]:
    """Layers of these widths, which show their states."""
    rng, below, found = np.random.default_rng(case.seed), 2, []
    for width in case.widths:
        w = rotation(width, rng) * rng.uniform(0.2, 0.9, width) @ rotation(width, rng)
        rest = rng.normal(size=(width, below)) / 2, 0.3 * rng.normal(size=width), np.eye(width), np.zeros(width)
        found.append(Network(w, *rest))
        below = width
    return found


def states_of_stacked_twin(case: Case) -> Estimate:
    """All states of a stack of twins, each bounded by what the layer below can send it."""
    signal = larger = signals(case.length, case.seed)
    inputs, found = CUBE, 0
    for own in layers_of(case):
        twin = in_floats(own, inputs)
        signal, larger = outputs(parts_of(own), signal, "relu"), outputs(twin, larger, "relu")
        inputs, found = state_set(own, inputs), found + len(twin.weight_hh)
        if residual(twin.weight_hh) > ROUNDED or largest(larger - signal) > 0:
            return exact(TWIN_STATES, inf)
    return exact(TWIN_STATES, found)


STACK = Claim(
    id="unitary.stack",
    says="A stack has a twin layer by layer, of sum (n + k) states; bounds on the states below bound the inputs above.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(TWIN_STATES, sum(states_needed(own.weight_hh).upper for own in layers_of(case))),
    measure=states_of_stacked_twin,
    smallest=Case(widths=(2, 3), length=12, seed=0),
    larger=(Case(widths=(4, 3, 5), length=12, seed=1),),
)

CLAIMS = (TWIN, HORIZON, STATES, SILENT, BIAS_BOUNDS, SHARP_BIAS, BOUND_FREE, TRUNCATED, STACK)
