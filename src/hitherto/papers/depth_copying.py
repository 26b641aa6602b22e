"""What linear stacks can copy, and the memory curves of their states: theorems as claims."""

from itertools import product

import jax.numpy as jnp
import numpy as np

from hitherto.architectures.outside.live import adapt
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.copying import copy_network
from hitherto.core.claim import Case, Claim
from hitherto.core.model import Model, build
from hitherto.core.quantity import (
    COPY_BLOCK_RANK,
    COPY_REACH,
    FISHER_MEMORY,
    FUNCTION_GAP,
    LINEAR_MEMORY,
    NUMERATOR_DEGREE,
    PARAMETERS,
    RECALL_ACCURACY,
    RESPONSE_DIMENSION,
    STATE_ORDER,
    TASK_LOSS,
    Estimate,
)
from hitherto.core.task import Sequences
from hitherto.inputs import one_hot
from hitherto.measures.jacobian_rank import copy_block_rank, response_dimension
from hitherto.measures.linear_response import copy_reach, hankel_rank, markov_parameters
from hitherto.measures.linear_system import is_linear, linear_system
from hitherto.measures.memory_curve import fisher_memory_curve, linear_memory_curve, noisy_memory_curve
from hitherto.measures.polynomial_degree import exact_outputs
from hitherto.measures.recall_accuracy import recall_accuracy
from hitherto.measures.task_loss import parameters, task_loss
from hitherto.measures.transfer_function import numerator
from hitherto.papers.depth_networks import OURS, along, exact, linear_stack, sizes, stacked, whole_numbers
from hitherto.tasks.delay import DelayedCopy
from hitherto.theory import depth as theory
from hitherto.theory import depth_memory as memory_theory
from hitherto.theory.depth_planner import plan_copy

# ---------------------------------------------------------------- copying


def of_widths(widths: tuple[int, ...], channels: int, **settings: object) -> Case:
    """A linear stack of these widths, with as many outputs as channels."""
    below = (channels, *widths)
    layers = [
        RNN(below[k], n, channels if k == len(widths) - 1 else None, activation="linear", bias=False)
        for k, n in enumerate(widths)
    ]
    return Case(stacked(layers), widths=widths, channels=channels, **settings)


def wide_enough(case: Case) -> str | None:
    """No layer is narrower than the signal."""
    return None if min(case.widths) >= case.channels else "a width is below the channels, so nothing passes"


def built_to_copy(case: Case, late: bool = False) -> Estimate:
    """How far the network of 0/1 weights copies, from its own outputs."""
    model = copy_network(case.widths, case.channels, theory.copy_reach(case.widths, case.channels) or 0)
    return copy_reach(with_late_links(model) if late else model, read="output")


def with_late_links(model: Model) -> Model:
    """The same weights, with every layer above the first reading the one below a step later."""
    layers = model.weights if isinstance(model.weights, tuple) else (model.weights,)

    def step(state: tuple, x: jnp.ndarray) -> tuple:
        entering = (x, *state[:-1])
        after = tuple(
            jnp.asarray(w["weight_hh"]) @ h + jnp.asarray(w["weight_ih"]) @ u
            for w, h, u in zip(layers, state, entering, strict=True)
        )
        return after, jnp.asarray(layers[-1]["readout"]) @ after[-1]

    return adapt(step, tuple(np.zeros(len(w["weight_hh"])) for w in layers), model.architecture.input_size)


COPY_LAW = Claim(
    id="depth.copy_law",
    says="L linear layers of n units copy d channels over floor(L (n - d) / d) steps: weights of 0 and 1 do it.",
    source=OURS,
    quantity=COPY_REACH,
    relation="==",
    hypotheses=wide_enough,
    predict=lambda case: exact(COPY_REACH, theory.copy_reach(case.widths, case.channels) or 0),
    measure=built_to_copy,
    smallest=of_widths((4, 3, 5), 2),
    larger=(of_widths((25, 25), 5), of_widths((10,) * 8, 5), of_widths((9,), 1), of_widths((3,) * 4, 3)),
)
LATE_LINKS = Claim(
    id="depth.late_links",
    says="Layers that read the one below a step later copy L - 1 steps further.",
    source=OURS,
    quantity=COPY_REACH,
    relation="==",
    hypotheses=wide_enough,
    predict=lambda case: exact(COPY_REACH, theory.copy_reach(case.widths, case.channels, delayed_links=True) or 0),
    measure=lambda case: built_to_copy(case, late=True),
    smallest=of_widths((3, 4, 4), 2),
    larger=(of_widths((2,) * 6, 1),),
)


def zeros(case: Case) -> Estimate:
    """Degree of the numerator of det G for random whole weights."""
    return exact(NUMERATOR_DEGREE, len(numerator(whole_numbers(case.architecture, case.seed))) - 1)


ZEROS = Claim(
    id="depth.zeros",
    says="det G has sum (n_l - d) zeros to place at most, and copying over k steps takes k d of them at z = 0.",
    source=OURS,
    quantity=NUMERATOR_DEGREE,
    relation="==",
    hypotheses=wide_enough,
    predict=lambda case: exact(NUMERATOR_DEGREE, sum(case.widths) - len(case.widths) * case.channels),
    measure=zeros,
    smallest=of_widths((4, 3), 2, seed=1),
    larger=(of_widths((5, 5, 5), 1, seed=0), of_widths((6, 4, 5), 3, seed=0), of_widths((3, 3), 3, seed=0)),
)


def copy_excluded(case: Case) -> str | None:
    """The total shift that copying needs, k d (T - k), exceeds what the layers can make."""
    later = case.length - case.delay
    shift = sum(n * case.length - case.channels * later for n in case.widths)
    return None if case.delay * case.channels * later > shift else "the sequence is too short to exclude copying"


NONLINEAR = Claim(
    id="depth.nonlinear_copy_law",
    says="No activation copies further: the Jacobian that would have to be the identity is singular at all weights.",
    source=OURS,
    quantity=COPY_BLOCK_RANK,
    relation="<=",
    hypotheses=copy_excluded,
    predict=lambda case: exact(COPY_BLOCK_RANK, case.channels * (case.length - case.delay) - 1),
    measure=lambda case: copy_block_rank(
        build(case.architecture, case.seed, np.float64), case.delay, case.length, case.seed
    ),
    smallest=Case(RNN(1, 2, 1), widths=(2,), channels=1, delay=2, length=7, seed=0),
    larger=(
        Case(Deep((RNN(1, 1), RNN(1, 1, 1))), widths=(1, 1), channels=1, delay=1, length=4, seed=0),
        Case(Deep((RNN(1, 2), RNN(2, 1, 1))), widths=(2, 1), channels=1, delay=2, length=9, seed=0),
        Case(RNN(1, 2, 1, activation="softplus"), widths=(2,), channels=1, delay=2, length=8, seed=1),
    ),
)

SPREAD = (1.0, -1.0, 2.0, -2.0)  # eigenvalues over epsilon; their sum of 0 makes the error of fourth order


def nearly(epsilon: float, length: int = 16) -> Case:
    """Two layers of two units with eigenvalues near 0, all read, over a delay of three steps."""
    return Case(epsilon=epsilon, delay=3, length=length)


def loss_when_all_are_read(case: Case) -> Estimate:
    """Least loss over all readouts of all states, by weighted least squares."""
    first, second = (case.epsilon * np.diag(SPREAD[k : k + 2]) for k in (0, 2))
    ones = np.ones((2, 1))
    weights = (
        {"weight_hh": first, "weight_ih": ones},
        {"weight_hh": second, "weight_ih": np.array([[1.0, 0.5], [0.3, 1.0]])},
    )
    stack = Model(Deep((linear(1, 2), linear(2, 2))), weights)
    system = linear_system(stack)
    responses = [system.B]
    for _ in range(case.length - 1):
        responses.append(system.A @ responses[-1])
    scale = np.sqrt(theory.copy_loss_weights(case.delay, case.length))
    rows, wanted = np.hstack(responses).T * scale[:, None], (np.arange(case.length) == case.delay) * scale
    readout = np.linalg.lstsq(rows / np.linalg.norm(rows, axis=0), wanted, rcond=1e-15)[0]
    return exact(TASK_LOSS, float(np.square(rows / np.linalg.norm(rows, axis=0) @ readout - wanted).sum()))


def linear(below: int, width: int) -> RNN:
    """A linear layer that shows its state."""
    return RNN(below, width, activation="linear", bias=False)


def loss_of_the_pole_part(case: Case) -> Estimate:
    """Loss of z^3 / q(z), q with the given roots: what the numerator of highest degree leaves."""
    series = np.zeros(case.length - case.delay)
    series[0] = 1
    for pole in SPREAD:
        for lag in range(1, len(series)):
            series[lag] += case.epsilon * pole * series[lag - 1]
    weights = theory.copy_loss_weights(case.delay, case.length)[case.delay + 1 :]
    return exact(TASK_LOSS, float(weights @ series[1:] ** 2))


ALL_READ = Claim(
    id="depth.all_layers_read",
    says="Read in all layers, a stack comes as near as one likes to a delay of all its units but one.",
    source=OURS,
    quantity=TASK_LOSS,
    relation="<=",
    hypotheses=lambda case: None,
    predict=loss_of_the_pole_part,
    measure=loss_when_all_are_read,
    smallest=nearly(0.01),
    larger=(nearly(0.1), nearly(0.03), nearly(0.01, 32)),
    rtol=1e-6,
)


def tokens_copied(case: Case) -> Estimate:
    """Share of symbols that a network of delay + 1 units names rightly, each coded as one number."""
    line = copy_network((case.delay + 1,), 1, case.delay).weights
    codes = np.arange(case.symbols, dtype=float)[None]
    weights = {
        "weight_hh": line["weight_hh"],
        "weight_ih": line["weight_ih"] @ codes,
        "readout": 2 * codes.T @ line["readout"],
        "readout_bias": -(codes[0] ** 2),
    }
    layer = RNN(case.symbols, case.delay + 1, case.symbols, activation="linear", bias=False)
    words = np.random.default_rng(case.seed).integers(case.symbols, size=(50, 4 * case.delay))
    late = np.roll(words, case.delay, axis=1)
    asked = np.tile(np.arange(4 * case.delay) >= case.delay, (50, 1))
    return recall_accuracy(Model(layer, weights), Sequences(one_hot(words, case.symbols), late, asked))


TOKENS = Claim(
    id="depth.tokens",
    says="Symbols that are told by the largest output are one channel: delay + 1 units copy any alphabet.",
    source=OURS,
    quantity=RECALL_ACCURACY,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(RECALL_ACCURACY, 1.0),
    measure=tokens_copied,
    smallest=Case(symbols=27, delay=6, seed=0),
    larger=(Case(symbols=107, delay=8, seed=0),),
)


def filter_stack(roots: tuple[int, ...]) -> Model:
    """Layers of two units, each of which multiplies the transfer function by 1 - r z."""
    shift, first = np.eye(2, k=-1), np.array([[1.0], [0.0]])
    rows = [np.array([[1.0, -float(root)]]) for root in roots]
    entering = [np.eye(1), *rows[:-1]]
    weights = [{"weight_hh": shift, "weight_ih": first @ row} for row in entering]
    weights[-1]["readout"] = rows[-1]
    return Model(linear_stack(len(roots), 2, 1), tuple(weights) if len(roots) > 1 else weights[0])


def filter_gap(case: Case) -> Estimate:
    """Largest difference between the answer to an impulse and the coefficients of the product."""
    impulse = np.zeros((len(case.roots) + 3, 1))
    impulse[0] = 1
    wanted = np.concatenate([np.poly(case.roots), np.zeros(2)])
    return exact(FUNCTION_GAP, float(np.abs(exact_outputs(filter_stack(case.roots), impulse)[:, 0] - wanted).max()))


TAPS = Claim(
    id="depth.filter_taps",
    says="L layers of n units are filters of L (n - 1) + 1 taps: two units a layer place any L real zeros.",
    source=OURS,
    quantity=FUNCTION_GAP,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=filter_gap,
    smallest=Case(roots=(2, -3, 1)),
    larger=(Case(roots=(1,)), Case(roots=(1, 1, -2, 5, 3, -1))),
)
STATES = Claim(
    id="depth.state_order",
    says="Almost all stacks need all their states: the filter has L n poles, and none cancels.",
    source=OURS,
    quantity=STATE_ORDER,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(STATE_ORDER, sum(case.widths)),
    measure=lambda case: hankel_rank(whole_numbers(case.architecture, case.seed)),
    smallest=of_widths((3, 2, 4), 1, seed=0),
    larger=(of_widths((10,) * 4, 2, seed=0), of_widths((2, 2), 2, seed=0)),
)
DIMENSION = Claim(
    id="depth.effective_dimension",
    says="The responses of L layers of n units form a family of L (n (d + o) - d o) + d o dimensions.",
    source=OURS,
    quantity=RESPONSE_DIMENSION,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(
        RESPONSE_DIMENSION,
        theory.effective_dimension(len(case.widths), case.widths[0], case.channels, case.channels),
    ),
    measure=lambda case: response_dimension(case.architecture, case.seed),
    smallest=of_widths((3, 3), 2, seed=0),
    larger=(of_widths((2,) * 3, 1, seed=0), of_widths((4, 4), 2, seed=0)),
)


def smallest_that_copies(case: Case) -> Estimate:
    """Parameters of the smallest stack of equal widths that can be built, by trying all."""
    depths, widths = range(1, case.delay * case.channels + 2), range(1, case.channels * (case.delay + 1) + 1)
    built = (linear_stack(*size, case.channels) for size in product(depths, widths) if builds(*size, case))
    return min((parameters(stack) for stack in built), key=lambda found: found.value)


def builds(depth: int, width: int, case: Case) -> bool:
    """Whether the copy network of this size exists."""
    try:
        copy_network((width,) * depth, case.channels, case.delay)
    except ValueError:
        return False
    return True


PLAN = Claim(
    id="depth.planner",
    says="The plan has the fewest parameters of all stacks of equal widths that copy.",
    source=OURS,
    quantity=PARAMETERS,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(PARAMETERS, plan_copy(case.channels, case.delay).parameters),
    measure=smallest_that_copies,
    smallest=Case(channels=2, delay=2),
    larger=(Case(channels=1, delay=6), Case(channels=3, delay=3)),
)
EXPECTED_LOSS = Claim(
    id="depth.expected_copy_loss",
    says="The expected loss of copying follows from the Markov parameters, without any data.",
    source=OURS,
    quantity=TASK_LOSS,
    relation="==",
    hypotheses=lambda case: None if is_linear(case.architecture) else "it is about linear networks",
    predict=lambda case: exact(
        TASK_LOSS,
        theory.population_copy_loss(
            markov_parameters(build(case.architecture, case.seed, np.float64), case.length), case.delay, case.length
        ),
    ),
    measure=lambda case: task_loss(
        build(case.architecture, case.seed, np.float64),
        DelayedCopy(case.delay, case.channels, case.length).sample(20_000, case.seed),
    ),
    smallest=of_widths((4, 3), 2, delay=2, length=8, seed=0),
    larger=(of_widths((6,), 1, delay=5, length=32, seed=0),),
)


def ring(case: Case) -> Model:
    """G(z) = -e / (1 + z^k / e): a ring of k units, whose echo falls past the end of 2 k steps."""
    k = case.delay
    weights = {
        "weight_hh": np.eye(k, k=-1) - np.eye(k, k=k - 1) / case.epsilon,
        "weight_ih": np.eye(k)[:, :1],
        "readout": -case.epsilon * np.eye(k)[:1],
    }
    return Model(RNN(1, k, 1, activation="linear", bias=False), weights)


CLOSURE = Claim(
    id="depth.closure",
    says="Over 2 k steps k units come as near to a delay of k as one likes, with a loss of e^2, though none attain it.",
    source=OURS,
    quantity=TASK_LOSS,
    relation="==",
    hypotheses=lambda case: None if case.delay > 1 else "a ring needs two units",
    predict=lambda case: exact(TASK_LOSS, case.epsilon**2),
    measure=lambda case: exact(
        TASK_LOSS,
        theory.population_copy_loss(markov_parameters(ring(case), 2 * case.delay), case.delay, 2 * case.delay),
    ),
    smallest=Case(delay=4, epsilon=1e-3),
    larger=(Case(delay=8, epsilon=1e-2), Case(delay=2, epsilon=1e-6)),
    rtol=1e-9,
)

# ---------------------------------------------------------------- memory curves


def of_radius(width: int, depth: int, radius: float, seed: int = 0) -> Case:
    """Linear layers over one channel, read in all layers."""
    layers = [RNN(below, width, activation="linear", bias=False) for below, _ in sizes(depth, width, 1, 1)]
    return Case(stacked(layers), radius=radius, lags=12, seed=seed)


def scaled(case: Case) -> Model:
    """Random weights, every recurrent matrix of the same spectral radius."""
    model = build(case.architecture, case.seed, np.float64)
    layers = model.weights if isinstance(model.weights, tuple) else (model.weights,)
    done = [
        w | {"weight_hh": case.radius * w["weight_hh"] / np.abs(np.linalg.eigvals(w["weight_hh"])).max()}
        for w in layers
    ]
    return Model(case.architecture, tuple(done) if isinstance(model.weights, tuple) else done[0])


def predicted_curve(case: Case) -> Estimate:
    """From the eigenvalues alone."""
    weights = scaled(case).weights
    layers = weights if isinstance(weights, tuple) else (weights,)
    eigenvalues = np.concatenate([np.linalg.eigvals(layer["weight_hh"]).astype(complex) for layer in layers])
    return along(LINEAR_MEMORY, memory_theory.memory_curve(eigenvalues, case.lags))


def covariance_curve(case: Case) -> Estimate:
    """From the covariance of the states, with next to no noise."""
    found = noisy_memory_curve(scaled(case), 1e-13, lags=case.lags)
    return along(LINEAR_MEMORY, np.asarray(found.value))


MEMORY = Claim(
    id="depth.memory_curve",
    says="Read in all layers, the linear memory of every lag depends on the eigenvalues alone.",
    source=OURS,
    quantity=LINEAR_MEMORY,
    relation="==",
    hypotheses=lambda case: None if case.radius < 1 else "old inputs must be forgotten",
    predict=predicted_curve,
    measure=covariance_curve,
    smallest=of_radius(2, 2, 0.8),
    larger=(of_radius(3, 1, 0.9), of_radius(1, 3, 0.7)),
    rtol=1e-5,
)
TOP_MEMORY = Claim(
    id="depth.top_memory_curve",
    says="Read in the top layer alone, two layers of one unit have a total of 1, at older lags.",
    source=OURS,
    quantity=LINEAR_MEMORY,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: along(LINEAR_MEMORY, memory_theory.top_memory_curve(case.first, case.second, case.lags)),
    measure=lambda case: linear_memory_curve(two_units(case.first, case.second), read="top", lags=case.lags)[0],
    smallest=Case(first=0.5, second=1 / 3, lags=8),
    larger=(Case(first=-0.9, second=0.8, lags=20),),
    rtol=1e-9,
)


def two_units(first: float, second: float) -> Model:
    """One above the other, with links of 1."""
    one = np.ones((1, 1))
    weights = tuple({"weight_hh": w * one, "weight_ih": one} for w in (first, second))
    return Model(Deep((linear(1, 1), linear(1, 1))), weights)


FISHER = Claim(
    id="depth.fisher_delay_line",
    says="In a delay line with noise on every unit the signal of lag k has met k + 1 units of it.",
    source=OURS,
    quantity=FISHER_MEMORY,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: along(FISHER_MEMORY, memory_theory.delay_line_fisher(case.units, case.noise)),
    measure=lambda case: fisher_memory_curve(
        copy_network((case.units,), 1, case.units - 1), case.noise, lags=case.units
    ),
    smallest=Case(units=5, noise=1.0),
    larger=(Case(units=40, noise=0.1),),
    rtol=1e-9,
)

CLAIMS = (
    COPY_LAW,
    LATE_LINKS,
    ZEROS,
    NONLINEAR,
    ALL_READ,
    TOKENS,
    TAPS,
    STATES,
    DIMENSION,
    PLAN,
    EXPECTED_LOSS,
    CLOSURE,
    MEMORY,
    TOP_MEMORY,
    FISHER,
)
