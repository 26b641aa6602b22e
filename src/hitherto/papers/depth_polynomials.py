"""Degrees, growth, automata and separation ranks of second-order stacks: theorems as claims."""

from itertools import product
from math import comb, exp, factorial, log2

import numpy as np
from flint import fmpq, fmpq_mat
from numpy.polynomial import hermite_e

from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.polynomials import (
    cumulative_product_network,
    horner_network,
    ladder_network,
    unary_stack,
    window_product_network,
)
from hitherto.conversions.automaton import from_automaton, to_automaton
from hitherto.core.claim import Case, Claim
from hitherto.core.model import Model, build, states_and_outputs
from hitherto.core.quantity import (
    FUNCTION_GAP,
    INPUT_DEGREE,
    LOG2_GROWTH,
    POLYNOMIAL_DEGREE,
    START_END_RANK,
    TASK_LOSS,
    WORD_HANKEL_RANK,
    Estimate,
)
from hitherto.core.task import Sequences
from hitherto.measures.polynomial_degree import exact_outputs, log2_growth, polynomial_degree
from hitherto.measures.separation_rank import start_end_rank
from hitherto.measures.task_loss import filter_loss, task_loss
from hitherto.papers.depth_networks import OURS, along, exact, sizes, stacked, whole_numbers
from hitherto.tasks.delay import DelayedSine, WindowProduct
from hitherto.tasks.parity import Parity
from hitherto.theory import depth_degree as degree_theory

# ---------------------------------------------------------------- degrees

TERMS = {  # terms of a layer: those that are kept, and whether the state starts away from zero
    "affine": dict(cell="affine", start="zero"),
    "no-input": dict(cell="no-input", start="zero"),
    "bilinear": dict(cell="bilinear", start="zero"),
    "bilinear from a start": dict(cell="bilinear", start="nonzero"),
    "linear": dict(cell="linear", start="zero"),
    "linear with squares": dict(cell="linear", start="zero", activation_degree=2),
}


def polynomial(terms: str, depth: int, steps: int, width: int = 1, channels: int = 1, rank: int | None = 1) -> Case:
    """A stack whose layers have these terms."""
    square = "square" if terms == "linear with squares" else "linear"
    bare = terms.startswith("bilinear")
    layers = [
        RNN(below, width, activation="linear", output_activation=square)
        if terms.startswith("linear")
        else SecondOrderRNN(below, width, cp_rank=rank, first_order=not bare, bias=not bare)
        for below, _ in sizes(depth, width, channels, 1)
    ]
    return Case(Deep(tuple(layers)), terms=terms, depth=depth, steps=steps, seed=0)


def with_terms(case: Case) -> Model:
    """Random weights, without the input's own term or with a start where the case says so."""
    layers = build(case.architecture, case.seed, np.float64).weights
    if case.terms == "no-input":
        layers = tuple(layer | {"weight_ih": 0 * layer["weight_ih"]} for layer in layers)
    if case.terms == "bilinear from a start":
        start = lambda architecture: {"initial_h": np.ones(architecture.width)}  # noqa: E731
        layers = tuple(w | start(a) for w, a in zip(layers, case.architecture.layers, strict=True))  # type: ignore[union-attr]
    return Model(case.architecture, layers)


def predicted_degrees(case: Case, by: str) -> Estimate:
    """Of the top layer, by step from 1 on or by lag from 0 on."""
    quantity, first = (POLYNOMIAL_DEGREE, 1) if by == "step" else (INPUT_DEGREE, 0)
    found = [
        degree_theory.polynomial_degree(case.depth, **{by: at}, **TERMS[case.terms])  # type: ignore[arg-type]
        for at in range(first, case.steps + first)
    ]
    return along(quantity, np.array([-np.inf if degree is None else float(degree) for degree in found]), first)


DEGREE = Claim(
    id="depth.degree",
    says="L second-order layers compute polynomials of degree C(t+L-1, L) in the inputs, whatever their width.",
    source=OURS,
    quantity=POLYNOMIAL_DEGREE,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: predicted_degrees(case, "step"),
    measure=lambda case: polynomial_degree(with_terms(case), case.steps)[-1],
    smallest=polynomial("affine", 2, 5),
    larger=(
        *(polynomial(terms, depth, 5) for terms in TERMS for depth in (1, 2, 3)),
        polynomial("affine", 3, 6, width=2, channels=2, rank=2),
        polynomial("affine", 2, 6, width=2, rank=None),
    ),
)
LAGGED_DEGREE = Claim(
    id="depth.degree_in_one_input",
    says="The degree in the one input j steps back is C(j+L-1, L-1): no depth squares the present input.",
    source=OURS,
    quantity=INPUT_DEGREE,
    relation="==",
    hypotheses=lambda case: (
        None if case.terms in ("affine", "linear", "linear with squares") else "an input may be lost"
    ),
    predict=lambda case: predicted_degrees(case, "lag"),
    measure=lambda case: polynomial_degree(with_terms(case), case.steps, lagged=True)[-1],
    smallest=polynomial("affine", 3, 4),
    larger=(polynomial("affine", 2, 9), polynomial("affine", 4, 4, width=2, channels=2, rank=2)),
)


def gap(model: Model, target: object, inputs: np.ndarray) -> Estimate:
    """Largest difference from a function of all inputs, in fractions."""
    found, wanted = exact_outputs(model, inputs), target(inputs.astype(object))  # type: ignore[operator]
    return exact(FUNCTION_GAP, float(np.abs(found - wanted).max()))


def delayed(values: np.ndarray, lag: int) -> np.ndarray:
    """What the inputs were `lag` steps before, 0 before the first."""
    return np.concatenate([0 * values[:lag], values[: len(values) - lag]])


def signs_or_numbers(case: Case, length: int = 12) -> np.ndarray:
    """Small whole inputs."""
    return np.random.default_rng(case.seed).integers(-2, 3, size=(length, 1))


NO_GAP = {"quantity": FUNCTION_GAP, "relation": "==", "hypotheses": lambda case: None, "source": OURS}
LADDER = Claim(
    id="depth.ladder",
    says="Some weights give x^C(j+L-1, L-1) of j steps ago exactly, with j + 1 units a layer.",
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=lambda case: gap(
        ladder_network(case.depth, case.lag),
        lambda x: delayed(x, case.lag) ** comb(case.lag + case.depth - 1, case.depth - 1),
        signs_or_numbers(case),
    ),
    smallest=Case(depth=3, lag=2, seed=0),
    larger=tuple(Case(depth=depth, lag=lag, seed=0) for depth in (1, 2, 4) for lag in (1, 3)),
    **NO_GAP,  # type: ignore[arg-type]
)
HORNER = Claim(
    id="depth.horner",
    says="Two layers of p + 1 units give every polynomial of degree p + 1 in the input p steps back.",
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=lambda case: gap(
        horner_network(case.coefficients),
        lambda x: sum(c * delayed(x, len(case.coefficients) - 2) ** k for k, c in enumerate(case.coefficients)),
        signs_or_numbers(case),
    ),
    smallest=Case(coefficients=(3, -1, 4, 1), seed=0),
    larger=(Case(coefficients=(2, 7, 1, 8, 2, 8, -1, 0, 5, 3), seed=0),),
    **NO_GAP,  # type: ignore[arg-type]
)


def sine_by_horner(case: Case) -> Estimate:
    """Loss of the Hermite expansion of the sine up to degree p + 1, on sequences."""
    w, lag = case.frequency, case.delay
    terms = [0.0 if m % 2 == 0 else exp(-(w**2) / 2) * w**m * (-1) ** (m // 2) / factorial(m) for m in range(lag + 2)]
    model = horner_network([*map(float, hermite_e.herme2poly(terms)), 0.0][: lag + 2])
    return task_loss(model, DelayedSine(lag, 1, lag + 8, w).sample(100_000, case.seed))


HERMITE = Claim(
    id="depth.sine_attained",
    says="Two layers attain the floor of their degree on a delayed sine.",
    source=OURS,
    quantity=TASK_LOSS,
    relation="==",
    hypotheses=lambda case: None if case.delay % 2 == 0 else "its last Hermite term is zero",
    predict=lambda case: exact(TASK_LOSS, degree_theory.sine_floor(case.frequency, case.delay + 1)),
    measure=sine_by_horner,
    smallest=Case(delay=2, frequency=1.0, seed=0),
    larger=(Case(delay=2, frequency=0.5, seed=0),),
)
PRODUCT = Claim(
    id="depth.products",
    says="One second-order unit holds the product of all inputs so far, and the parity of signs, over any length.",
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=lambda case: gap(
        cumulative_product_network(), lambda x: np.cumprod(x, axis=0), 1 - 2 * (signs_or_numbers(case, case.length) > 0)
    ),
    smallest=Case(length=40, seed=0),
    larger=(Case(length=400, seed=0),),
    **NO_GAP,  # type: ignore[arg-type]
)
WINDOW = Claim(
    id="depth.window_products",
    says="One second-order layer of k + 1 units holds the product of the last k + 1 inputs.",
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=lambda case: gap(
        window_product_network(case.delay),
        lambda x: np.prod([delayed(x, k) for k in range(case.delay + 1)], axis=0),
        signs_or_numbers(case),
    ),
    smallest=Case(delay=3, seed=0),
    larger=(Case(delay=1, seed=0), Case(delay=6, seed=0)),
    **NO_GAP,  # type: ignore[arg-type]
)


def best_filter(case: Case) -> Estimate:
    """What the best time-invariant linear filter leaves of a target, on sequences."""
    rng = np.random.default_rng(case.seed)
    if case.target == "lagged-geometric-mean":
        return filter_loss(WindowProduct(case.lag, 1, case.length).sample(20_000, case.seed))
    inputs = rng.standard_normal((20_000, case.length, 1))
    steps = np.arange(1, case.length + 1)[:, None]
    signs, sizes_ = np.cumprod(np.sign(inputs), 1), np.exp(np.cumsum(np.log(np.abs(inputs)), 1) / steps)
    targets = {"geometric-mean": signs * sizes_, "running-mean": np.cumsum(inputs, 1) / steps}
    if case.target == "parity":
        return filter_loss(Parity(case.length).sample(20_000, case.seed))
    return filter_loss(Sequences(inputs, targets[case.target], np.ones(inputs.shape[:2], bool)))


LINEAR_FLOOR = Claim(
    id="depth.linear_floors",
    says="Linear networks of any depth and width leave these shares of parity, products and means.",
    source=OURS,
    quantity=TASK_LOSS,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(TASK_LOSS, degree_theory.linear_floor(case.target, case.length, case.lag)),
    measure=best_filter,
    smallest=Case(target="parity", length=8, lag=None, seed=0),
    larger=(
        Case(target="geometric-mean", length=16, lag=None, seed=0),
        Case(target="running-mean", length=16, lag=None, seed=0),
        Case(target="lagged-geometric-mean", length=10, lag=2, seed=0),
    ),
)

# ---------------------------------------------------------------- growth, automata, separation


def lipschitz_bound(case: Case) -> Estimate:
    """log2 of the largest |y| that slopes of at most 1 allow, from the norms of the weights, for an input of 2."""
    model = build(case.architecture, case.seed, np.float64)
    norms = [{name: np.linalg.norm(w, 2) for name, w in layer.items()} for layer in model.weights]
    sizes_, logs = [0.0] * len(norms), []
    for _ in range(case.steps):
        below = 2.0
        for k, norm in enumerate(norms):
            sizes_[k] = below = norm["weight_hh"] * sizes_[k] + norm["weight_ih"] * below
        logs.append(log2(norms[-1]["readout"] * below))
    return along(LOG2_GROWTH, np.array(logs), 1)


def grown(case: Case) -> Estimate:
    """log2 |y[t]| on the input 2, by running the network."""
    model = build(case.architecture, case.seed, np.float64)
    outputs = np.abs(states_and_outputs(model, np.full((case.steps, 1), 2.0))[1]).max(1)
    return along(LOG2_GROWTH, np.log2(np.maximum(outputs, 1e-300)), 1)


def activated(activation: str, depth: int, steps: int) -> Case:
    """Linear recurrences with an activation between the layers."""
    layers = [
        RNN(below, 4, out, activation="linear", output_activation=activation, bias=False)
        for below, out in sizes(depth, 4, 1, 1)
    ]
    return Case(stacked(layers), steps=steps, seed=0)


LIPSCHITZ = Claim(
    id="depth.layerwise_activations",
    says="With activations of bounded slope the state grows like C^t at any depth, so that none follows a product.",
    source=OURS,
    quantity=LOG2_GROWTH,
    relation="<=",
    hypotheses=lambda case: None,
    predict=lipschitz_bound,
    measure=grown,
    smallest=activated("relu", 2, 8),
    larger=(activated("tanh", 3, 20), activated("leaky_relu(0.1)", 4, 20)),
)
UNARY = Claim(
    id="depth.growth",
    says="L layers of one multiplying unit grow like 2^C(t+L-1, L), which L - 1 layers of any width cannot.",
    source=OURS,
    quantity=LOG2_GROWTH,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: along(
        LOG2_GROWTH,
        np.array([degree_theory.polynomial_degree(case.depth, step=t) for t in range(1, case.steps + 1)], float),
        1,
    ),
    measure=lambda case: log2_growth(unary_stack(case.depth), 2, case.steps),
    smallest=Case(depth=2, steps=10),
    larger=(Case(depth=3, steps=20), Case(depth=4, steps=12)),
    rtol=1e-12,
)


def hankel_of_one_letter(case: Case) -> Estimate:
    """Rank of y(1^(i+j)) over i, j below a size."""
    outputs = exact_outputs(unary_stack(case.depth), np.full((2 * case.size - 1, 1), 2))[:, 0]
    rows = [[fmpq(int(outputs[i + j])) for j in range(case.size)] for i in range(case.size)]
    return exact(WORD_HANKEL_RANK, int(fmpq_mat(rows).rank()))


NOT_AN_AUTOMATON = Claim(
    id="depth.no_automaton",
    says="Two layers of one unit are no weighted automaton: over one letter their Hankel matrix has full rank.",
    source=OURS,
    quantity=WORD_HANKEL_RANK,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(WORD_HANKEL_RANK, case.size if case.depth > 1 else 1),
    measure=hankel_of_one_letter,
    smallest=Case(depth=2, size=8),
    larger=(Case(depth=1, size=8), Case(depth=3, size=5)),
)


def letters(case: Case) -> Model:
    """One second-order layer over one-hot letters, small whole weights."""
    layer = SecondOrderRNN(case.symbols, case.width, 1)
    return whole_numbers(layer, case.seed)


def rank_over_words(case: Case) -> Estimate:
    """Rank of y(prefix suffix) over all words up to a length, from the network's own outputs."""
    model = letters(case)
    words = [word for n in range(case.longest + 1) for word in product(range(case.symbols), repeat=n)]
    rows = [[value_of(model, prefix + suffix, case.symbols) for suffix in words] for prefix in words]
    return exact(WORD_HANKEL_RANK, int(fmpq_mat(rows).rank()))


def value_of(model: Model, word: tuple[int, ...], symbols: int) -> fmpq:
    """The output after the last letter; 0 for the empty word, as the readout of the zero state."""
    if not word:
        return fmpq(0)
    value = exact_outputs(model, np.eye(symbols)[list(word)])[-1, 0]
    return fmpq(value.numerator, value.denominator)


AUTOMATON = Claim(
    id="depth.automaton",
    says="One second-order layer is a weighted automaton, whose least number of states is the rank over words.",
    source=OURS,
    quantity=WORD_HANKEL_RANK,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(WORD_HANKEL_RANK, to_automaton(letters(case)).minimised().states),
    measure=rank_over_words,
    smallest=Case(symbols=2, width=2, longest=2, seed=0),
    larger=(Case(symbols=3, width=2, longest=2, seed=1),),
)


def round_trip_gap(case: Case) -> Estimate:
    """Largest difference between a network and the one made of its least automaton, over one long word."""
    model = letters(case)
    twin = from_automaton(to_automaton(model).minimised())
    word = np.random.default_rng(case.seed).integers(case.symbols, size=case.longest)
    return gap(twin, lambda inputs: exact_outputs(model, inputs), np.eye(case.symbols)[word])


ROUND_TRIP = Claim(
    id="depth.automaton_round_trip",
    says="And back: the automaton, with as few states as can be, is a second-order layer that starts from zero.",
    predict=lambda case: exact(FUNCTION_GAP, 0.0),
    measure=round_trip_gap,
    smallest=Case(symbols=2, width=2, longest=6, seed=0),
    larger=(Case(symbols=3, width=3, longest=8, seed=2),),
    **NO_GAP,  # type: ignore[arg-type]
)


def bilinear(depth: int, width: int, symbols: int, half: int) -> Case:
    """Second-order layers without other terms, with one output."""
    layers = [
        SecondOrderRNN(below, width, out, first_order=False, bias=False)
        for below, out in sizes(depth, width, symbols, 1)
    ]
    return Case(stacked(layers), depth=depth, width=width, symbols=symbols, half=half, seed=0)


def separated(case: Case) -> Estimate:
    """Rank with random weights and a random state before the first input."""
    fresh = build(case.architecture, case.seed, np.float64).weights
    layers = fresh if isinstance(fresh, tuple) else (fresh,)
    started = tuple(layer | {"initial_h": np.ones(case.width)} for layer in layers)
    model = Model(case.architecture, started if isinstance(fresh, tuple) else started[0])
    return start_end_rank(model, case.half, case.half, weights="random", inputs="one-hot", seed=case.seed)


SEPARATION = Claim(
    id="depth.start_end_rank",
    says="Start and end of 2 S symbols are bound in at most prod C(n+D_i-1, D_i) ways, D_i = C(S+i-1, i).",
    source=OURS,
    quantity=START_END_RANK,
    relation="==",
    hypotheses=lambda case: None,
    predict=lambda case: exact(
        START_END_RANK, degree_theory.start_end_bound(case.depth, case.width, case.symbols, case.half)
    ),
    measure=separated,
    smallest=bilinear(2, 2, 2, 3),
    larger=(bilinear(1, 3, 2, 4), bilinear(2, 2, 2, 4), bilinear(2, 2, 3, 4), bilinear(2, 3, 2, 4)),
)

CLAIMS = (
    DEGREE,
    LAGGED_DEGREE,
    LADDER,
    HORNER,
    HERMITE,
    PRODUCT,
    WINDOW,
    LINEAR_FLOOR,
    LIPSCHITZ,
    UNARY,
    NOT_AN_AUTOMATON,
    AUTOMATON,
    ROUND_TRIP,
    SEPARATION,
)
