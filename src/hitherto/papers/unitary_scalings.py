"""ReLU units of other sizes: the least norm of W, expansive networks with a twin, twins of fewer states, pruning."""

import numpy as np
from scipy.optimize import differential_evolution

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import LEAST_SCALED_NORM, SCALED_NORM, TWIN_STATES, Estimate
from hitherto.papers.depth_networks import along, exact
from hitherto.papers.unitary_conversion import NO_GAP
from hitherto.papers.unitary_networks import (
    CUBE,
    OURS,
    Numbers,
    Parts,
    around,
    drawn,
    map_gap,
    parts_of,
    signals,
    twin_states,
)
from hitherto.theory.unitary import dilate
from hitherto.theory.unitary_bounds import extra_bias
from hitherto.theory.unitary_network import Network, scaled_matrix
from hitherto.theory.unitary_pruning import Pruning, prune
from hitherto.theory.unitary_scaling import rescale
from hitherto.theory.unitary_unit_norm import UNIT, to_unit_norm

WIDEST = 8.0  # of log d, where searches look

# ---------------------------------------------------------------- the least norm


def scaled_norm(weight_hh: Numbers, scale: Numbers) -> float:
    """|D^-1 W D|."""
    return float(np.linalg.norm(scaled_matrix(weight_hh, scale), 2))


def radius(weight_hh: Numbers) -> float:
    """The largest modulus of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(weight_hh)).max())


def segments(case: Case) -> list[tuple[Numbers, Numbers, Numbers]]:
    """Drawn matrices, each with the ends of a segment of log d."""
    rng, n = np.random.default_rng(case.seed), case.width
    return [(rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=n)) for _ in range(case.draws)]


CONVEX = Claim(
    id="unitary.convex_norm",
    says="log |D^-1 W D| is convex in log d: halfway the norm is at most the geometric mean of the ends.",
    source=OURS,
    quantity=SCALED_NORM,
    relation="<=",
    hypotheses=lambda case: None,
    predict=lambda case: along(
        SCALED_NORM,
        np.sqrt([scaled_norm(w, np.exp(a)) * scaled_norm(w, np.exp(b)) for w, a, b in segments(case)]),
    ),
    measure=lambda case: along(
        SCALED_NORM, np.array([scaled_norm(w, np.exp((a + b) / 2)) for w, a, b in segments(case)])
    ),
    smallest=Case(width=4, draws=200, seed=0),
    larger=(Case(width=2, draws=2000, seed=1), Case(width=12, draws=2000, seed=2)),
)


def perron_norm(weight_hh: Numbers) -> float:
    """|D^-1 W D| for d = sqrt(v / u), the Perron vectors of |W| by its powers."""
    powers = [np.linalg.matrix_power(side / radius(side), 1000) for side in (np.abs(weight_hh), np.abs(weight_hh).T)]
    right, left = (power.sum(1) for power in powers)
    return scaled_norm(weight_hh, np.sqrt(right / left))


PERRON = Claim(
    id="unitary.perron_scaling",
    says="Scaled by the Perron vectors of |W|, W has at most the norm rho(|W|).",
    source=OURS,
    quantity=SCALED_NORM,
    relation="<=",
    hypotheses=lambda case: None,
    predict=lambda case: along(SCALED_NORM, np.array([radius(np.abs(w)) for w, _, _ in segments(case)])),
    measure=lambda case: along(SCALED_NORM, np.array([perron_norm(w) for w, _, _ in segments(case)])),
    smallest=Case(width=3, draws=100, seed=0),
    larger=(Case(width=2, draws=300, seed=1), Case(width=16, draws=300, seed=2)),
    rtol=1e-9,
)


def matrix_of(case: Case) -> Numbers:
    """The W that the case gives or draws."""
    given = dict(case.settings).get("weight_hh")
    return drawn(case).weight_hh if given is None else np.array(given)


def least_norm(case: Case) -> Estimate:
    """By a search that knows of norms alone, neither of slopes nor of convexity."""
    w = matrix_of(case)
    found = differential_evolution(
        lambda t: scaled_norm(w, np.exp(np.r_[0.0, t])),
        [(-WIDEST, WIDEST)] * (len(w) - 1),
        seed=0,
        tol=1e-12,
        maxiter=3000,
        polish=False,
    )
    return exact(LEAST_SCALED_NORM, float(found.fun))


LEAST_NORM = Claim(
    id="unitary.least_norm",
    says="The best scaling of the units is found: no search over scalings finds a smaller norm of D^-1 W D.",
    source=OURS,
    quantity=LEAST_SCALED_NORM,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(LEAST_SCALED_NORM, rescale(matrix_of(case)).infimum),
    measure=least_norm,
    smallest=Case(weight_hh=((0.5, 2.0), (0.1, -0.4))),
    larger=(
        Case(weight_hh=((0.6, 0.6), (-0.6, -0.6))),
        Case(weight_hh=((0.0, -1.1), (1.1, 0.0))),
        Case(width=3, norm=1.5, seed=0),
        Case(width=5, norm=1.5, seed=1),
    ),
    rtol=1e-3,  # of norms that stand in for the largest singular value where it is a multiple one: n^(1 / 2048)
)
CERTIFICATE = Claim(
    id="unitary.certificate",
    says="A positive semidefinite Z proves a norm that no scaling falls below, and it is the least one within 1%.",
    source=OURS,
    quantity=LEAST_SCALED_NORM,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(LEAST_SCALED_NORM, rescale(matrix_of(case)).proven),
    measure=least_norm,
    smallest=Case(weight_hh=((0.6, 0.6), (-0.6, -0.6))),
    larger=(Case(width=3, norm=1.5, seed=0), Case(width=5, norm=1.5, seed=1)),
    rtol=1e-2,
)
RADIUS = Claim(
    id="unitary.norm_floor",
    says="No scaling brings the norm below the spectral radius of W.",
    source=OURS,
    quantity=LEAST_SCALED_NORM,
    relation=">=",
    hypotheses=lambda case: None,
    predict=lambda case: exact(LEAST_SCALED_NORM, radius(matrix_of(case))),
    measure=least_norm,
    smallest=Case(weight_hh=((0.5, 2.0), (0.1, -0.4))),
    larger=(Case(weight_hh=((0.0, -1.1), (1.1, 0.0))), Case(width=3, norm=1.5, seed=0)),
    rtol=1e-9,
)


def falling(case: Case) -> Estimate:
    """The norm when each unit is a billion times smaller than those that it drives."""
    w = np.array(case.weight_hh)
    return exact(LEAST_SCALED_NORM, scaled_norm(w, 1e-9 ** np.arange(len(w), dtype=float)))


REDUCIBLE = Claim(
    id="unitary.chain_of_units",
    says="Where units drive each other in one direction only, links can be scaled away: what is left is the largest "
    "|W_ii|, as near as one likes.",
    source=OURS,
    quantity=LEAST_SCALED_NORM,
    relation="==",
    hypotheses=lambda case: "units drive each other both ways" if np.tril(case.weight_hh, -1).any() else None,
    predict=lambda case: exact(LEAST_SCALED_NORM, rescale(np.array(case.weight_hh)).infimum),
    measure=falling,
    smallest=Case(weight_hh=((0.9, 5.0), (0.0, 0.9))),
    larger=(Case(weight_hh=((0.3, 50.0, -2.0), (0.0, -0.7, 9.0), (0.0, 0.0, 0.5))),),
    rtol=1e-6,
)

# ---------------------------------------------------------------- twins of rescaled networks


def unbalanced(case: Case) -> Network:
    """A contractive network with units of very different sizes, so that W is expansive."""
    own = drawn(case)
    return own.scaled(np.exp(2 * np.random.default_rng(case.seed).normal(size=case.width)))


def states_once_rescaled(case: Case) -> Estimate:
    """Of the twin of the network that the best scaling makes contractive."""
    own = unbalanced(case)
    better = own.scaled(rescale(own.weight_hh).scale)
    dilation = dilate(better.weight_hh)
    bias = extra_bias(better, dilation.into_extra, CUBE)
    twin = around(parts_of(better), dilation.flipped(bias.signs).weight_hh, bias.bias)
    return twin_states(parts_of(own), twin, signals(case.length, case.seed))


def only_once_rescaled(case: Case) -> str | None:
    """Expansive, and contractive for some scaling."""
    w = unbalanced(case).weight_hh
    if np.linalg.norm(w, 2) < 1:
        return "W is contractive as it is"
    return None if rescale(w).norm < 1 else "no scaling makes W contractive"


RESCUED = Claim(
    id="unitary.rescued",
    says="An expansive ReLU network that some scaling of its units makes contractive has a twin of 2 n states at most.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="<=",
    hypotheses=only_once_rescaled,
    predict=lambda case: exact(TWIN_STATES, 2 * case.width),
    measure=states_once_rescaled,
    smallest=Case(width=3, norm=0.9, length=20, seed=0),
    larger=(Case(width=2, norm=0.99, length=20, seed=1), Case(width=6, norm=0.8, length=12, seed=2)),
)


def states_at_unit_norm(case: Case) -> Estimate:
    """Of the twin of the network rescaled to norm 1, its bias taken from the network before, so for ever."""
    own = drawn(case)
    found = to_unit_norm(own.weight_hh)
    at_unit_norm = own.scaled(found.scale)
    dilation = dilate(at_unit_norm.weight_hh, UNIT)
    bias = extra_bias(own, dilation.into_extra / found.scale, CUBE)
    twin = around(parts_of(at_unit_norm), dilation.flipped(bias.signs).weight_hh, bias.bias)
    return twin_states(parts_of(own), twin, signals(case.length, case.seed))


def most_unit_values(width: int) -> int:
    """The largest j with j (j + 1) / 2 <= n - 1."""
    return int((np.sqrt(8 * width - 7) - 1) / 2)


COUPLED = {
    "source": OURS,
    "quantity": TWIN_STATES,
    "hypotheses": lambda case: None if case.width > 1 and case.norm < 1 else "two units and a norm below 1 are needed",
    "measure": states_at_unit_norm,
}
FEWER = Claim(
    id="unitary.fewer_states",
    says="If any unit drives another, 2 n - 1 states are enough: some scaling makes a singular value 1.",
    **COUPLED,
    relation="<=",
    predict=lambda case: exact(TWIN_STATES, 2 * case.width - 1),
    smallest=Case(width=2, norm=0.7, length=20, seed=0),
    larger=(Case(width=3, norm=0.5, length=20, seed=1), Case(width=8, norm=0.9, length=8, seed=2)),
)
FEWEST = Claim(
    id="unitary.scaling_limit",
    says="Scalings save j states at most with j (j + 1) / 2 <= n - 1: so many equations for so many ratios of sizes.",
    **COUPLED,
    relation=">=",
    predict=lambda case: exact(TWIN_STATES, 2 * case.width - most_unit_values(case.width)),
    smallest=Case(width=4, norm=0.8, length=12, seed=0),
    larger=(Case(width=2, norm=0.7, length=20, seed=0), Case(width=7, norm=0.8, length=8, seed=1)),
)

# ---------------------------------------------------------------- pruning


def sparse(case: Case) -> Network:
    """Few weights, so that some units never fire, are not read, or hear nobody; multiples of 1/8."""
    rng, n = np.random.default_rng(case.seed), case.width
    shapes = ((n, n), (n, 2), (2, n))
    w, f, c = (rng.integers(-8, 9, shape) / 8 * (rng.random(shape) < case.density) for shape in shapes)
    b, deaf = rng.integers(-8, 9, n) / 8, ~w.any(1) & ~f.any(1)
    return Network(w, f, b, c, np.where(deaf, np.maximum(b, 0), 0))


def pruned_gap(case: Case) -> Estimate:
    """Between a network and what is left of it."""
    own = sparse(case)
    found = pruned(case)
    left = own.part(found.kept)
    smaller = Parts(left.weight_hh, left.weight_ih, found.bias, left.readout, left.initial)
    return map_gap(parts_of(own), smaller, signals(case.length, case.seed))


def pruned(case: Case) -> Pruning:
    """What goes and stays."""
    return prune(sparse(case), CUBE, case.length)


def something_goes(case: Case) -> str | None:
    """Some units go and some stay."""
    return None if 0 < len(pruned(case).kept) < case.width else "all units go, or none"


PRUNED = Claim(
    id="unitary.pruned",
    says="Units that never fire, are not read, or hear nobody can go first; their constants pass into other biases.",
    **NO_GAP,
    hypotheses=something_goes,
    measure=pruned_gap,
    smallest=Case(width=12, density=0.2, length=20, seed=0),
    larger=tuple(Case(width=12, density=0.2, length=20, seed=seed) for seed in (24, 27, 30)),
)

CLAIMS = (CONVEX, PERRON, LEAST_NORM, CERTIFICATE, RADIUS, REDUCIBLE, RESCUED, FEWER, FEWEST, PRUNED)
