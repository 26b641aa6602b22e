"""What no orthogonal network does, in numbers that show it: ranks, answers to small changes, eigenvalues, growth.

That maps differ is never read off their outputs. Answers g_k = dy[t]/dx[t-k] come from running a network twice, once
with a tiny change of one input: in fractions, or in 60 digits.
"""

from fractions import Fraction
from itertools import product

import jax
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from hitherto.architectures.activations import activation as model_activation
from hitherto.architectures.rnn import RNN
from hitherto.core.claim import Case, Claim
from hitherto.core.model import Model
from hitherto.core.quantity import (
    LATE_RESPONSE,
    ORTHOGONALITY_DEFECT,
    RESPONSE_NORM,
    RESPONSE_RANK,
    TWIN_STATES,
    VISIBLE_MODULI,
    ZERO_MODES,
    Estimate,
)
from hitherto.core.source import Source
from hitherto.measures.linear_response import hankel_rank
from hitherto.papers.depth_networks import along, exact
from hitherto.papers.unitary_networks import (
    OURS,
    PAPER,
    UNITS,
    Numbers,
    Parts,
    drawn,
    norm_below_1,
    outputs,
    parts_of,
    rotation,
    signals,
    states,
    states_in_floats,
)
from hitherto.theory.unitary import states_needed
from hitherto.theory.unitary_activations import activation
from hitherto.theory.unitary_exact import as_fractions
from hitherto.theory.unitary_limits import finite_witness, fixed_point, impulse_response, visible_modes
from hitherto.theory.unitary_network import Network, scaled_matrix

RANK = 1e-9  # singular values below this share of the largest are rounding
CHANGE = Fraction(1, 10**30)  # of an input

# ---------------------------------------------------------------- numbers of states


def orthogonal_answer(case: Case, rng: np.random.Generator) -> int:
    """The rank of C W F in an orthogonal network whose units that are on give C F = I, C chosen to make it small."""
    n, on = case.width, rng.integers(case.width, case.states + 1)
    masked = rotation(case.states, rng)[:on, :on]
    entering = rng.normal(size=(on, n))
    hidden = (masked @ entering)[:, : on - n]
    wanted = np.hstack([np.eye(n), np.zeros((n, hidden.shape[1]))])
    readout = wanted @ np.linalg.pinv(np.hstack([entering, hidden]))
    return int(np.linalg.matrix_rank(readout @ masked @ entering, tol=RANK))


def least_answer(case: Case) -> Estimate:
    """The least rank among drawn networks, each with its own units on and the readout that hides most."""
    rng = np.random.default_rng(case.seed)
    return exact(RESPONSE_RANK, min(orthogonal_answer(case, rng) for _ in range(case.draws)))


DOUBLE = Claim(
    id="unitary.twice_the_states",
    says="y = relu(x) needs 2 n states: with N of them the inputs show a step later in 2 n - N directions or more.",
    source=Source(PAPER, "Theorem 2 (statement read, example and proof ours)"),
    quantity=RESPONSE_RANK,
    relation="==",
    hypotheses=lambda case: None if case.width <= case.states <= 2 * case.width else "it is about n to 2 n states",
    predict=lambda case: exact(RESPONSE_RANK, states_needed(np.zeros((case.width, case.width))).lower - case.states),
    measure=least_answer,
    smallest=Case(width=3, states=5, draws=100, seed=0),
    larger=(
        Case(width=1, states=1, draws=100, seed=1),
        Case(width=4, states=8, draws=500, seed=2),
        Case(width=6, states=8, draws=500, seed=3),
    ),
)


def with_eigenvalues(case: Case) -> Numbers:
    """T diag(eigenvalues) T^-1."""
    n = len(case.eigenvalues)
    t = np.eye(n) + 0.1 * np.random.default_rng(case.seed).normal(size=(n, n))
    return t @ np.diag(case.eigenvalues) @ np.linalg.inv(t)


def states_of_similar(case: Case) -> Estimate:
    """n + q for the fewest directions q in which a matrix of norm 1, similar to W, leaks.

    P = W P W^T + B B^T with q columns of B is positive definite if q columns can reach all states, and A = P^(-1/2) W
    P^(1/2) then has I - A A^T = P^(-1/2) B B^T P^(-1/2), of rank q.
    """
    w, rng = with_eigenvalues(case), np.random.default_rng(case.seed)
    for columns in range(1, len(w) + 1):
        b = rng.normal(size=(len(w), columns))
        squares = np.linalg.eigvalsh(solve_discrete_lyapunov(w, b @ b.T))
        if squares[0] > RANK * squares[-1]:
            return exact(TWIN_STATES, len(w) + columns)
    return exact(TWIN_STATES, np.inf)


LOWER = Claim(
    id="unitary.state_bound",
    says="Where all units are on, n + g states are the least: g the largest geometric multiplicity of an eigenvalue.",
    source=OURS,
    quantity=TWIN_STATES,
    relation="==",
    hypotheses=lambda case: None if np.linalg.norm(with_eigenvalues(case), 2) < 1 else "the norm must be below 1",
    predict=lambda case: exact(TWIN_STATES, states_needed(with_eigenvalues(case)).lower),
    measure=states_of_similar,
    smallest=Case(eigenvalues=(0.5, 0.5, -0.3), seed=0),
    larger=(
        Case(eigenvalues=(0.9, 0.2, -0.6), seed=1),
        Case(eigenvalues=(0.4, 0.4, 0.4), seed=2),
        Case(eigenvalues=(0.7, 0.7, 0.7, 0.1, 0.1, -0.8), seed=3),
    ),
)

# ---------------------------------------------------------------- visible zeros


def low_rank(case: Case) -> Network:
    """W of low rank, in multiples of 1/64 that floats hold, and of norm below 1."""
    rng, n = np.random.default_rng(case.seed), case.width
    w = rng.integers(-3, 4, (n, case.rank)) @ rng.integers(-3, 4, (case.rank, n)) / 64
    return Network(w, *(rng.integers(-8, 9, shape) / 4 for shape in ((n, 1), n, (1, n), n)))


def slopes_of(name: str, preactivations: Numbers) -> Numbers:
    """phi' by differentiating the activation of models, as the fractions that the floats are."""
    return as_fractions(np.asarray(jax.vmap(jax.grad(model_activation(name)))(preactivations)))


def zero_modes(weight_hh: Numbers, weight_ih: Numbers, readout: Numbers) -> int:
    """Rank of (C A^(i+j) B) less that of (C A^(i+j+1) B), by elimination on fractions."""
    layer = RNN(weight_ih.shape[1], len(weight_hh), len(readout), activation="linear", bias=False)
    weights = {"weight_hh": weight_hh, "readout": readout}
    entering = (weight_ih, weight_hh @ weight_ih)
    now, later = (int(hankel_rank(Model(layer, weights | {"weight_ih": b})).value) for b in entering)
    return now - later


def met_zero_modes(case: Case) -> Estimate:
    """With the slopes where the network comes to rest under a constant input."""
    own, x = low_rank(case), np.full((200, 1), case.level)
    w, f, b, c, _ = parts_of(own)
    at_rest = states_in_floats(parts_of(own), x, case.units)[-1]
    slopes = slopes_of(case.units, w @ at_rest + f @ x[-1] + b)
    exactly = [as_fractions(part) for part in (w, f, c)]
    return exact(ZERO_MODES, zero_modes(slopes[:, None] * exactly[0], slopes[:, None] * exactly[1], exactly[2]))


def predicted_zero_modes(case: Case) -> Estimate:
    """From the ranks of both Hankel matrices in double precision."""
    own, phi, x = low_rank(case), activation(case.units), np.array([case.level])
    slopes = phi.jacobian(own.weight_hh @ fixed_point(own, phi, x) + own.weight_ih @ x + own.bias)
    modes = visible_modes(impulse_response(own, slopes, 2 * case.width))
    return exact(ZERO_MODES, modes.rank_now - modes.rank_next)


def contractive(case: Case) -> str | None:
    """|W| < 1."""
    return None if np.linalg.norm(low_rank(case).weight_hh, 2) < 1 else "W is not contractive"


ZERO_MODE = Claim(
    id="unitary.zero_mode",
    says="A contractive network of smooth units shows an eigenvalue 0 where W has not full rank, as y = phi(x) does.",
    source=Source(PAPER, "Theorem 3 (statement read, example and proof ours)"),
    quantity=ZERO_MODES,
    relation="==",
    hypotheses=contractive,
    predict=predicted_zero_modes,
    measure=met_zero_modes,
    smallest=Case(width=2, rank=1, units="sigmoid", level=0.25, seed=0),
    larger=(
        Case(width=3, rank=0, units="tanh", level=0.5, seed=1),
        Case(width=3, rank=2, units="sigmoid", level=-1.0, seed=2),
        Case(width=3, rank=3, units="softplus", level=0.5, seed=2),
    ),
)


def most_zero_modes(case: Case) -> Estimate:
    """The most that drawn orthogonal networks show, at drawn points."""
    rng = np.random.default_rng(case.seed)
    return exact(ZERO_MODES, max(zero_modes_of_orthogonal(case, rng) for _ in range(case.draws)))


def zero_modes_of_orthogonal(case: Case, rng: np.random.Generator) -> int:
    """Of one of them."""
    slopes = slopes_of(case.units, rng.normal(size=case.width))[:, None]
    w, f, c = rotation(case.width, rng), rng.normal(size=(case.width, 1)), rng.normal(size=(1, case.width))
    return zero_modes(slopes * as_fractions(w), slopes * as_fractions(f), as_fractions(c))


NO_ZERO_MODE = Claim(
    id="unitary.no_zero_mode",
    says="Orthogonal networks of smooth units never show an eigenvalue 0, whatever their size: they have other maps.",
    source=Source(PAPER, "Theorem 3 (statement read, proof ours)"),
    quantity=ZERO_MODES,
    relation="==",
    hypotheses=lambda case: None if activation(case.units).smooth else "slopes must not be 0",
    predict=lambda case: exact(ZERO_MODES, 0),
    measure=most_zero_modes,
    smallest=Case(width=4, units="sigmoid", draws=5, seed=0),
    larger=(Case(width=12, units="tanh", draws=10, seed=1), Case(width=6, units="elu", draws=10, seed=2)),
)

# ---------------------------------------------------------------- answers to small changes


def at_rest(weight_hh: Numbers, units: str, preactivations: Numbers, rng: np.random.Generator) -> Parts:
    """A network of one input and output that stands at these preactivations while the input is 0."""
    n, apply = len(weight_hh), activation(units).apply
    state = apply(preactivations)
    entering, readout = (part / np.linalg.norm(part) for part in rng.normal(size=(2, n)))
    return Parts(weight_hh, entering[:, None], preactivations - weight_hh @ state, readout[None], state)


def answers(own: Parts, units: str, lags: int) -> Numbers:
    """g_0, g_1, ... in fractions."""
    still = as_fractions(np.zeros((lags, 1)))
    moved = still.copy()
    moved[0] = CHANGE
    return (outputs(own, moved, units) - outputs(own, still, units))[:, 0] / CHANGE


def moduli(found: Numbers) -> Estimate:
    """Of the roots of the recurrence that the answers follow, of half as many terms as there are answers."""
    from flint import fmpq, fmpq_mat

    q = [fmpq(*answer.as_integer_ratio()) for answer in found]
    terms = len(q) // 2
    rows = fmpq_mat([q[i : i + terms] for i in range(terms)])
    solved = rows.solve(fmpq_mat([[-q[i + terms]] for i in range(terms)]))
    coefficients = [float(Fraction(int(c.p), int(c.q))) for c in solved.entries()]
    return along(VISIBLE_MODULI, np.sort(np.abs(np.roots([1.0, *coefficients[::-1]])))[::-1])


def shown_by_orthogonal(case: Case) -> Estimate:
    """Moduli that a drawn orthogonal network shows at a drawn point."""
    rng = np.random.default_rng(case.seed)
    own = at_rest(rotation(case.width, rng), case.units, rng.normal(size=case.width), rng)
    return moduli(answers(own, case.units, 2 * case.width))


FLOOR = Claim(
    id="unitary.slope_floor",
    says="All that an orthogonal network shows has at least the modulus of the least slope.",
    source=OURS,
    quantity=VISIBLE_MODULI,
    relation=">=",
    hypotheses=lambda case: None,
    predict=lambda case: along(VISIBLE_MODULI, np.full(case.width, activation(case.units).least_slope)),
    measure=shown_by_orthogonal,
    smallest=Case(width=4, units="leaky_relu(0.25)", seed=0),
    larger=(
        Case(width=5, units="abs", seed=1),
        Case(width=4, units="linear", seed=2),
        Case(width=6, units="group_sort", seed=3),
    ),
    rtol=1e-9,
)
CEILING = Claim(
    id="unitary.slope_ceiling",
    says="All that an orthogonal network shows has at most the modulus of the largest slope: 1/4 for the logistic one.",
    source=OURS,
    quantity=VISIBLE_MODULI,
    relation="<=",
    hypotheses=lambda case: None,
    predict=lambda case: along(VISIBLE_MODULI, np.full(case.width, activation(case.units).lipschitz)),
    measure=shown_by_orthogonal,
    smallest=Case(width=3, units="sigmoid", seed=0),
    larger=(Case(width=4, units="tanh", seed=1), Case(width=5, units="softplus", seed=2)),
    rtol=1e-9,
)


def shown(case: Case) -> Estimate:
    """Moduli that a drawn network shows where all units are on one side of the kink."""
    return moduli(answers(one_sided(case), case.units, 2 * case.width))


def one_sided(case: Case) -> Parts:
    """A network at rest with all preactivations of the sign of the case."""
    rng = np.random.default_rng(case.seed)
    return at_rest(drawn(case).weight_hh, case.units, case.sign * (1 + rng.random(case.width)), rng)


LEAKY = Claim(
    id="unitary.leaky_units",
    says="With all units negative, contractive leaky ReLU networks show less than the slope: no orthogonal one does.",
    source=OURS,
    quantity=VISIBLE_MODULI,
    relation="<=",
    hypotheses=lambda case: None if case.norm < 1 and case.sign < 0 else "a norm below 1 and negative units are needed",
    predict=lambda case: along(VISIBLE_MODULI, np.full(case.width, case.norm * activation(case.units).least_slope)),
    measure=shown,
    smallest=Case(width=2, norm=0.9, units="leaky_relu(0.25)", sign=-1, seed=0),
    larger=(Case(width=4, norm=0.99, units="leaky_relu(0.25)", sign=-1, seed=1),),
    rtol=1e-9,
)


def predicted_moduli(case: Case) -> Estimate:
    """Of the minimal realisation of C W^k F."""
    own = one_sided(case).network
    return along(VISIBLE_MODULI, np.abs(visible_modes(impulse_response(own, np.eye(case.width), 2 * case.width)).poles))


GROWTH = Claim(
    id="unitary.growth",
    says="With all units on, the eigenvalues of W show, those above 1 too: answers then grow beyond any |C| |F|.",
    source=OURS,
    quantity=VISIBLE_MODULI,
    relation="==",
    hypotheses=lambda case: None if case.sign > 0 else "all units must be on",
    predict=predicted_moduli,
    measure=shown,
    smallest=Case(width=3, norm=2.0, units="relu", sign=1, seed=0),
    larger=(Case(width=5, norm=3.0, units="relu", sign=1, seed=1),),
    rtol=1e-6,
)


def met_answers(case: Case) -> Estimate:
    """The largest |dy[t]/dx[0]| at each t, over drawn orthogonal ReLU networks and their runs."""
    rng = np.random.default_rng(case.seed)
    return along(RESPONSE_NORM, np.max([answers_by_lag(case, rng) for _ in range(case.draws)], axis=0))


def answers_by_lag(case: Case, rng: np.random.Generator) -> Numbers:
    """Of one of them, with |F| = |C| = 1: the products of W and of the units that are on."""
    n = case.width
    w, f, c = rotation(n, rng), rng.normal(size=(n, 2)), rng.normal(size=(2, n))
    own = Parts(w, f / np.linalg.norm(f, 2), 0.3 * rng.normal(size=n), c / np.linalg.norm(c, 2), rng.normal(size=n))
    reached, found = own.weight_ih, []
    for state in states(own, signals(case.length, case.seed), UNITS["relu"]):
        reached = (state > 0)[:, None] * reached
        found.append(np.linalg.norm(own.readout @ reached, 2))
        reached = own.weight_hh @ reached
    return np.array(found)


BOUNDED = Claim(
    id="unitary.bounded_answers",
    says="No orthogonal ReLU network answers an old input by more than |C| |F|, however long ago it came.",
    source=OURS,
    quantity=RESPONSE_NORM,
    relation="<=",
    hypotheses=lambda case: None,
    predict=lambda case: along(RESPONSE_NORM, np.ones(case.length)),
    measure=met_answers,
    smallest=Case(width=5, length=100, draws=50, seed=0),
    larger=(Case(width=20, length=1000, draws=100, seed=1),),
    rtol=1e-9,
)


def standing(case: Case) -> list[Parts]:
    """Drawn orthogonal networks at rest."""
    rng, n = np.random.default_rng(case.seed), case.width
    return [at_rest(rotation(n, rng), case.units, rng.normal(size=n), rng) for _ in range(case.draws)]


def witnessed(case: Case) -> Estimate:
    """The least late answer that slopes and the first answer allow."""
    phi, found = activation(case.units), []
    for own in standing(case):
        slopes = phi.slope(own.weight_hh @ own.initial + own.bias)
        first = own.readout[0] @ (slopes * own.weight_ih[:, 0])
        found.append(finite_witness(slopes, float(first)))
    return along(LATE_RESPONSE, np.array(found))


def late_answers(case: Case) -> Estimate:
    """The largest answer to an input of 1 to N steps ago."""
    found = (answers(own, case.units, case.width + 1)[1:] for own in standing(case))
    return along(LATE_RESPONSE, np.array([float(abs(late).max()) for late in found]))


WITNESS = Claim(
    id="unitary.finite_witness",
    says="N orthogonal smooth units answer some input of 1 to N steps ago by no less than slopes tell; y = phi(x) not.",
    source=OURS,
    quantity=LATE_RESPONSE,
    relation=">=",
    hypotheses=lambda case: None if activation(case.units).smooth else "slopes must not be 0",
    predict=witnessed,
    measure=late_answers,
    smallest=Case(width=3, units="sigmoid", draws=30, seed=0),
    larger=(Case(width=1, units="tanh", draws=30, seed=1), Case(width=5, units="softplus", draws=50, seed=2)),
    rtol=1e-9,
)

# ---------------------------------------------------------------- copies of units


def least_defect(case: Case) -> Estimate:
    """How near M^(1/2) W M^(-1/2) comes to an orthogonal matrix, over all M of so many copies of each unit at most."""
    w, every = drawn(case).weight_hh, product(range(1, case.most + 1), repeat=case.width)
    values = (np.linalg.svd(scaled_matrix(w, np.array(m) ** -0.5), compute_uv=False) for m in every)
    return exact(ORTHOGONALITY_DEFECT, float(min(np.abs(one - 1).max() for one in values)))


IDENTIFIABLE = Claim(
    id="unitary.identifiability",
    says="Twins of tanh and logistic networks are copies of their units, and no copies make a contractive W "
    "orthogonal: a singular value stays below 1 by 1 - |det W|^(1/n).",
    source=OURS,
    quantity=ORTHOGONALITY_DEFECT,
    relation=">=",
    hypotheses=norm_below_1,
    predict=lambda case: exact(
        ORTHOGONALITY_DEFECT, 1 - float(abs(np.linalg.det(drawn(case).weight_hh))) ** (1 / case.width)
    ),
    measure=least_defect,
    smallest=Case(width=2, norm=0.99, most=20, seed=0),
    larger=(Case(width=3, norm=0.95, most=12, seed=1), Case(width=2, norm=0.999, most=100, seed=2)),
    rtol=1e-9,
)

CLAIMS = (
    DOUBLE,
    LOWER,
    ZERO_MODE,
    NO_ZERO_MODE,
    FLOOR,
    CEILING,
    LEAKY,
    GROWTH,
    BOUNDED,
    WITNESS,
    IDENTIFIABLE,
)
