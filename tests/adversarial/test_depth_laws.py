"""Hostile use of the laws of depth: our own slow arithmetic, exhaustive searches, edges and bad input.

The truth is made here, in Python's integers and fractions: networks step by step as their formulas are written,
multivariate polynomials as dictionaries, sums and searches by brute force, ranks over the rationals by FLINT.
"""

import math
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import product
from operator import add

import flint
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import solve_discrete_lyapunov

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.constructions import copying, polynomials, starts
from hitherto.conversions import second_order as forms
from hitherto.conversions.automaton import WeightedAutomaton, from_automaton, to_automaton
from hitherto.core.model import Model, build, states_and_outputs
from hitherto.measures.jacobian_rank import copy_block_rank, response_dimension
from hitherto.measures.polynomial_degree import exact_outputs, log2_growth
from hitherto.measures.polynomial_degree import polynomial_degree as measured_degree
from hitherto.measures.task_loss import parameters, sign_accuracy, task_loss
from hitherto.tasks.parity import Parity
from hitherto.tasks.population import PopulationCopy
from hitherto.theory import depth as law
from hitherto.theory.depth_degree import (
    geometric_mean_moment,
    layers_for_degree,
    linear_floor,
    polynomial_degree,
    power_floor,
    sine_floor,
    start_end_bound,
)
from hitherto.theory.depth_memory import delay_line_fisher, filter_obstacle, memory_curve, top_memory_curve
from hitherto.theory.depth_planner import CopyPlan, parameter_count, plan_copy

pytestmark = pytest.mark.slow

few = settings(max_examples=12, derandomize=True)
PRIME = 2**61 - 1


# ---------------------------------------------------------------- the slow arithmetic


def exact(value) -> int | Fraction:
    """The number that a float is; whole numbers as int, which is faster."""
    whole = Fraction(getattr(value, "item", lambda: value)())
    return whole.numerator if whole.denominator == 1 else whole


def fractions(array) -> list:
    """The numbers of an array as nested lists."""
    return [fractions(row) for row in array] if np.ndim(array) else exact(array)


def times(matrix: list, vector: list) -> list:
    return [sum((a * v for a, v in zip(row, vector, strict=True)), 0) for row in matrix]


def plus(*vectors: list) -> list:
    return [sum(entries[1:], entries[0]) for entries in zip(*vectors, strict=True)]


def tensor_of(w: dict, n: int, m: int) -> list:
    """tensor[i][j][k] of any form, from the definition."""
    w = {name: fractions(value) for name, value in w.items()}
    if "tensor" in w:
        return w["tensor"]
    every = product(range(n), range(n), range(m))
    if "factor_out" in w:
        terms = list(zip(*w["factor_out"], strict=True)), list(zip(*w["factor_hidden"], strict=True))
        inputs = list(zip(*w["factor_input"], strict=True))
        flat = [sum(o[i] * h[j] * e[k] for o, h, e in zip(*terms, inputs, strict=True)) for i, j, k in every]
    else:
        ranks = range(len(w["train_input"])), range(len(w["train_out"]))
        hidden, middle, out = w["train_hidden"], w["train_input"], w["train_out"]
        flat = [sum(hidden[j][a] * middle[a][k][b] * out[b][i] for a, b in product(*ranks)) for i, j, k in every]
    return [[flat[(i * n + j) * m : (i * n + j) * m + m] for j in range(n)] for i in range(n)]


def layer_step(architecture, w: dict):
    """(h, x) -> (h', y) of a layer, for anything that adds and multiplies."""
    n, m = architecture.width, architecture.input_size
    f = {name: fractions(value) for name, value in w.items()}
    if isinstance(architecture, MultiplicativeIntegrationRNN):

        def new(h, x):
            r, e = times(f["weight_hh"], h), times(f["weight_ih"], x)
            return [
                f["gain"][i] * r[i] * e[i] + f["gain_hh"][i] * r[i] + f["gain_ih"][i] * e[i] + f["bias"][i]
                for i in range(n)
            ]

    else:
        second = isinstance(architecture, SecondOrderRNN)
        a = (
            tensor_of({k: v for k, v in w.items() if "tensor" in k or "factor" in k or "train" in k}, n, m)
            if second
            else 0
        )

        def new(h, x):
            total = [0 * x[0]] * n
            if a:
                total = [
                    sum((h[j] * x[k] * c for j, row in enumerate(a[i]) for k, c in enumerate(row) if c), 0)
                    for i in range(n)
                ]
            for name, vector in (("weight_hh", h), ("weight_ih", x)):
                total = plus(total, times(f[name], vector)) if name in f else total
            for name in ("bias", "bias_ih", "bias_hh"):
                total = plus(total, f[name]) if name in f else total
            return total

    def step(h, x):
        h = new(h, x)
        y = times(f["readout"], h) if "readout" in f else h
        return h, plus(y, f["readout_bias"]) if "readout_bias" in f else y

    return step, f.get("initial_h", [0] * n)


def slow(model: Model, inputs: list) -> tuple[list, list]:
    """(states of each layer, outputs) at every step, by the formulas as they are written."""
    deep = isinstance(model.architecture, Deep)
    layers = model.architecture.layers if deep else (model.architecture,)
    weights = model.weights if deep else (model.weights,)
    steps, hs = zip(*(layer_step(a, w) for a, w in zip(layers, weights, strict=True)), strict=True)
    states, outputs, hs = [], [], list(hs)
    for x in inputs:
        below = list(x)
        for layer, step in enumerate(steps):
            hs[layer], above = step(hs[layer], below)
            residual = deep and model.architecture.skip == "residual" and len(above) == len(below)
            below = plus(above, below) if residual else above
        states.append(list(hs))
        outputs.append(below)
    return states, outputs


def responses(model: Model, lags: int) -> list:
    """Markov parameters g_j[output][input] of a linear network without biases, by impulses."""
    d = model.architecture.input_size
    runs = [slow(model, [[int(c == i and t == 0) for i in range(d)] for t in range(lags)])[1] for c in range(d)]
    return [[[runs[c][j][o] for c in range(d)] for o in range(len(runs[0][j]))] for j in range(lags)]


class Poly:
    """A polynomial in `count` unknowns: {exponents: coefficient}."""

    count = 0

    def __init__(self, terms):
        self.terms = {e: c for e, c in terms.items() if c}

    @staticmethod
    def unknown(index: int, count: int) -> "Poly":
        return Poly({tuple(int(i == index) for i in range(count)): 1})

    def _other(self, other) -> "Poly":
        return other if isinstance(other, Poly) else Poly({(0,) * Poly.count: other})

    def __add__(self, other):
        total = defaultdict(int, self.terms)
        for e, c in self._other(other).terms.items():
            total[e] += c
        return Poly(total)

    def __mul__(self, other):
        if not isinstance(other, Poly):
            return Poly({e: c * other for e, c in self.terms.items()})
        total = defaultdict(int)
        for (e, c), (f, b) in product(self.terms.items(), other.terms.items()):
            total[tuple(map(add, e, f))] += c * b
        return Poly(total)

    __radd__, __rmul__ = __add__, __mul__

    def degree(self, unknowns) -> float:
        return max((sum(e[u] for u in unknowns) for e in self.terms), default=-math.inf)


def true_degrees(model: Model, steps: int) -> tuple[list, list]:
    """(total degree at step t, degree in x[t-j] with one input before) for each layer and then the output."""
    d = model.architecture.input_size
    Poly.count = count = d * (steps + 1)
    unknowns = [[Poly.unknown(t * d + c, count) for c in range(d)] for t in range(steps + 1)]
    states, outputs = slow(model, unknowns)
    vectors = [[*(layer for layer in s), y] for s, y in zip(states, outputs, strict=True)]

    def degree(vector, ts):
        return max(
            (v if isinstance(v, Poly) else unknowns[0][0] * 0 + v).degree([t * d + c for t in ts for c in range(d)])
            for v in vector
        )

    parts = range(len(vectors[0]))
    total = [[degree(vectors[t][p], range(count // d)) for t in range(steps)] for p in parts]
    lagged = [[degree(vectors[j + 1][p], [1]) for j in range(steps)] for p in parts]
    return total, lagged


def rank(rows: list) -> int:
    table = flint.fmpq_mat(
        len(rows), len(rows[0]), [flint.fmpq(Fraction(v).numerator, Fraction(v).denominator) for r in rows for v in r]
    )
    return table.rank()


def linear(d: int, n: int, o: int | None = None, bias: bool = False, **k) -> RNN:
    return RNN(d, n, o, activation="linear", bias=bias, **k)


def stack_of(widths, d: int, o: int) -> Deep:
    sizes = [d, *widths]
    last = len(widths) - 1
    return Deep(tuple(linear(sizes[i], n, o if i == last else None) for i, n in enumerate(widths)))


def with_weights(architecture, draw, dtype=np.float64) -> Model:
    """The architecture with weights draw(shape); without the compilation that `build` takes."""
    shapes = jax.eval_shape(architecture.init, jax.random.key(0))
    return Model(architecture, jax.tree.map(lambda w: np.asarray(draw(w.shape), dtype), shapes))


def with_integers(architecture, seed: int, values=(-2, -1, 0, 1, 2)) -> Model:
    """The architecture with weights from a few small numbers."""
    rng = np.random.default_rng(seed)
    return with_weights(architecture, lambda shape: rng.choice(values, shape))


def generic(architecture, seed: int, dtype=np.float64) -> Model:
    """The architecture with normal weights."""
    rng = np.random.default_rng(seed)
    return with_weights(architecture, rng.standard_normal, dtype)


@contextmanager
def no_hang(seconds: int = 60) -> Iterator[None]:
    """Ends a call that would never answer."""

    def stop(*_):
        pytest.fail(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- the table of the specification


def test_table_copy_reach():
    cases = [([25, 25], 5, 8), ([24, 24], 5, 7), ([10] * 8, 5, 8), ([9] * 8, 5, 6), ([3, 3], 2, 1), ([3], 2, 0)]
    for widths, d, reach in [*cases, ([2] * 10, 2, 0), ([1] * 5, 2, None)]:
        assert law.copy_reach(widths, d) == reach


def test_table_plans():
    plan = plan_copy(5, 8)
    assert (plan.depth, plan.width, plan.parameters, plan.shallow_parameters) == (8, 10, 1600, 2475)
    plan = plan_copy(5, parameters=2475)
    assert (plan.delay, plan.parameters) == (12, 2400)
    assert plan_copy(1, 100, biases=2, readout_bias=True).parameters == 1198


def test_table_counts_degrees_dimensions():
    assert parameter_count("rnn", 2, 25, 5, 5, biases=2, readout_bias=True) == 2230
    assert parameter_count("cprnn", 4, 64, 5, 5, ranks=(8,), readout_bias=True) == 35245
    assert polynomial_degree(3, step=10) == 220
    assert (polynomial_degree(2, lag=8), polynomial_degree(3, lag=2)) == (9, 6)
    assert law.effective_dimension(2, 3, 2, 2) == 20


def test_table_floors():
    assert sine_floor(1.0, 1) == pytest.approx(0.0644529172102513, rel=1e-12)
    assert sine_floor(1.0, 3) == pytest.approx(0.003139677015010944, rel=1e-12)
    assert law.copy_loss_floor(20, 5, 8, 16) == pytest.approx(0.5, rel=1e-12)


def test_table_memory():
    assert memory_curve([0.5], 20) == pytest.approx(0.75 * 4.0 ** -np.arange(20), rel=1e-12)
    assert top_memory_curve(0.5, 1 / 3, 1)[0] == pytest.approx(10 / 21, rel=1e-9)
    assert memory_curve([0.5, 1 / 3], 1)[0] == pytest.approx(0.972222222222, rel=1e-9)
    assert delay_line_fisher(5).sum() == pytest.approx(137 / 60, rel=1e-10)


def test_table_memory_of_a_hundred_units_is_a_hundred():
    w = np.random.default_rng(3).normal(size=(100, 100))
    w *= 0.9 / np.abs(np.linalg.eigvals(w)).max()
    assert memory_curve(np.linalg.eigvals(w), 1500).sum() == pytest.approx(100, abs=1e-8)


# ---------------------------------------------------------------- T1, T3: what can be copied


@few
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
def test_reach_is_the_last_feasible_delay(widths, d, late):
    shift = len(widths) - 1 if late else 0
    feasible = [
        k for k in range(80) if min(widths) >= d and sum(n - d for n in widths) >= (k - shift) * d and k >= shift
    ]
    assert law.copy_reach(widths, d, delayed_links=late) == max(feasible, default=None)
    found = [k for k in range(80) if law.copy_feasible(widths, d, k, delayed_links=late)]
    assert found == feasible
    assert all((law.copy_obstacle(widths, d, k, delayed_links=late) is None) == (k in feasible) for k in range(80))


@few
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(1, 3), st.data())
def test_copy_networks_of_mixed_widths_copy_and_one_step_more_is_refused(spare, d, data):
    widths = [d + s for s in spare]
    reach = sum(spare) // d
    delay = data.draw(st.integers(0, reach))
    model = copying.copy_network(widths, d, delay)
    xs = [[1 + 7 * t + 100 * c for c in range(d)] for t in range(reach + 5)]
    assert slow(model, xs)[1] == [[0] * d if t < delay else xs[t - delay] for t in range(len(xs))]
    assert all(np.isin(w, (0, 1)).all() for w in jax.tree.leaves(model.weights))
    layers = model.architecture.layers if isinstance(model.architecture, Deep) else (model.architecture,)
    assert [a.width for a in layers] == widths
    with pytest.raises(ValueError, match=rf"needed {(reach + 1) * d}, available {sum(spare)}.*at most {reach}"):
        copying.copy_network(widths, d, reach + 1)


def test_a_width_below_the_channels_is_infeasible_and_no_crash():
    assert law.copy_reach([9, 1, 9], 2) is None
    assert "layer 2 has 1 units for 2 channels" in law.copy_obstacle([9, 1, 9], 2, 0)
    with pytest.raises(ValueError, match=r"cannot even pass.*at least 2 units"):
        copying.copy_network([9, 1, 9], 2, 0)


def test_copying_in_numbers_far_beyond_floats():
    huge = 10**40
    assert law.copy_reach([huge + 1] * 3, 1) == 3 * huge
    assert law.copy_obstacle([huge + 1], 1, huge + 1) == f"spare units needed {huge + 1}, available {huge}"
    assert law.copy_reach([3] * 10**4, 2) == 5 * 10**3


def test_layers_as_wide_as_the_signal_add_nothing_but_late_links():
    assert [law.copy_reach([4] * depth, 4) for depth in (1, 3, 50)] == [0, 0, 0]
    assert [law.copy_reach([4] * depth, 4, delayed_links=True) for depth in (1, 3, 50)] == [0, 2, 49]


def test_too_many_entries_are_refused_with_their_number():
    with pytest.raises(ValueError, match=r"1,000,002,000,000 entries.*narrower"):
        copying.copy_network([10**6], 1, 10)


@pytest.mark.parametrize(("widths", "d", "k"), [((3, 3), 2, 1), ((5,), 2, 1), ((2, 4, 3), 2, 1)])
def test_the_loss_of_a_copy_network_is_zero_by_law_and_by_task(widths, d, k):
    model = copying.copy_network(widths, d, k)
    g = np.array(responses(model, 9), float)
    assert law.population_copy_loss(g, k, 9) == 0
    task = PopulationCopy(k, d, 9)
    assert task_loss(model, task.sample(d, 0)).value == 0


# ---------------------------------------------------------------- T7, T8: losses


def slow_loss(g: list, k: int, length: int, means=None) -> Fraction:
    """Mean over t and channels of E (y[t] - x[t-k])^2, from the coefficients of every input in y[t]."""
    d = len(g[0])
    total = Fraction(0)
    for t in range(k + 1, length + 1):
        for j in range(t):
            total += sum((g[j][a][b] - (j == k and a == b)) ** 2 for a in range(d) for b in range(d))
        total += sum(Fraction(m) ** 2 for m in means[t - 1]) if means else 0
    return total / (d * (length - k))


@few
@given(st.integers(0, 4), st.integers(1, 4), st.integers(1, 2), st.integers(0, 99))
def test_population_loss_and_floor_against_every_coefficient(k, more, d, seed):
    length = k + more
    rng = np.random.default_rng(seed)
    g = rng.integers(-8, 9, (length + 2, d, d)) / 8
    means = rng.integers(-4, 5, (length, d)) / 4
    exact = slow_loss(fractions(g), k, length, fractions(means))
    assert law.population_copy_loss(g, k, length, means) == pytest.approx(float(exact), rel=1e-12)
    weights = law.copy_loss_weights(k, length)
    assert weights == pytest.approx([sum(j < t for t in range(k + 1, length + 1)) / more for j in range(length)])


@few
@given(st.integers(0, 6), st.integers(1, 8), st.integers(1, 3), st.integers(0, 9))
def test_no_network_is_below_the_floor(k, more, d, seed):
    length = k + more
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 5, rng.integers(1, 4))
    model = with_integers(stack_of(widths.tolist(), d, d), seed, (-1, -0.5, 0, 0.5, 1))
    loss = slow_loss(responses(model, length), k, length)
    assert loss >= Fraction(law.copy_loss_floor(int(widths.sum()), d, k, length)) - Fraction(1, 10**12)
    assert law.copy_loss_floor(law.closure_width(d, k, length), d, k, length) == 0
    assert law.copy_loss_floor(law.closure_width(d, k, length) - 1, d, k, length) == pytest.approx(
        1 / (d * min(k + 1, more))
    )


def test_the_closure_width_comes_near_to_zero_and_the_law_says_so():
    k, length = 4, 7
    r, eps = length - k, Fraction(1, 10**6)
    assert law.closure_width(1, k, length) == r
    scale = (-eps) ** (k // r)
    g = [scale * (-1 / eps) ** (j // r) if j % r == k % r else Fraction(0) for j in range(length)]
    assert slow_loss([[[v]] for v in g], k, length) < Fraction(1, 10**9)
    assert law.population_copy_loss(np.array(g, float).reshape(-1, 1, 1), k, length) < 1e-9


def test_a_floor_for_more_states_than_floats_can_count_is_zero():
    assert law.copy_loss_floor(10**400, 5, 8, 16) == 0


def test_silence_has_loss_one_and_the_wrong_delay_two():
    silent = np.zeros((12, 3, 3))
    late = silent.copy()
    late[5] = np.eye(3)
    assert law.population_copy_loss(silent, 4, 12) == 1
    assert law.population_copy_loss(late, 4, 12) == pytest.approx(1 + 7 / 8)
    assert task_loss(copying.copy_network([4], 2, 1), PopulationCopy(0, 2, 6).sample(2, 5)).value == pytest.approx(
        1 + 5 / 6
    )


def test_population_task_and_law_agree_on_random_networks_without_biases():
    model = with_integers(stack_of([3, 4], 2, 2), 8, (-0.5, 0, 0.5, 0.25))
    length, k = 7, 2
    exact = float(slow_loss(responses(model, length), k, length))
    measured = task_loss(model, PopulationCopy(k, 2, length).sample(4, 1))
    assert measured.value == pytest.approx(exact, rel=1e-12)


# ---------------------------------------------------------------- T5, T6: dimensions and plans


def cheapest(d: int, k: int, cost, states: int = 1) -> tuple:
    """(cost, L, n) of the cheapest stack by exhaustive search; of equal ones the shallowest."""
    found = []
    for depth in range(1, max(1, k * d) + 1):
        n = d
        while depth * (states * n - d) < k * d:
            n += 1
        found.append((cost(depth, n), depth, n))
    return min(found)


@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_plans_equal_exhaustive_search(d, biases):
    def cost(depth, n):
        return n * d + n * n + (depth - 1) * 2 * n * n + d * n + biases * depth * n

    for k in range(13):
        plan = plan_copy(d, k, biases=biases)
        assert (plan.parameters, plan.depth, plan.width) == cheapest(d, k, cost)
        assert (plan.shallow_width, plan.shallow_parameters) == (d * (k + 1), cost(1, d * (k + 1)))
        assert plan.reach == plan.depth * (plan.width - d) // d >= k == plan.delay
        assert plan.attained


TIES = {
    "size": lambda L, n: L * n,
    "coarse": lambda L, n: (L + n) // 3,
    "largest": lambda L, n: max(L, n),
    "same": lambda L, n: 7,
    "depth": lambda L, n: L,
    "width": lambda L, n: n,
    "fraction": lambda L, n: L * 0.25 + n * 0.5,
}


@pytest.mark.parametrize("name", TIES)
def test_of_equal_costs_the_shallowest_is_planned(name):
    for d, k in product((1, 2, 4), range(8)):
        plan = plan_copy(d, k, cost=TIES[name])
        assert (plan.parameters, plan.depth, plan.width) == cheapest(d, k, TIES[name])


@pytest.mark.parametrize(("d", "biases", "readout"), [(1, 0, False), (1, 2, True), (2, 0, False), (3, 1, True)])
def test_budgets_buy_the_longest_delay_and_then_the_cheapest_net(d, biases, readout):
    def cost(depth, n):
        return n * d + n * n + (depth - 1) * 2 * n * n + d * n + biases * depth * n + d * readout

    plans = [cheapest(d, k, cost) for k in range(24)]
    edges = [best[0] + step for best in plans[:-1] for step in (-1, 0)]
    for budget in [1, *edges[::2], *edges[1::6]]:
        plan = plan_copy(d, parameters=budget, biases=biases, readout_bias=readout)
        delay = max((k for k, best in enumerate(plans) if best[0] <= budget), default=None)
        assert plan.delay == delay
        assert (plan.parameters, plan.depth, plan.width) == plans[delay or 0]


def test_a_budget_below_the_smallest_net_is_answered_with_that_net():
    plan = plan_copy(5, parameters=74)
    assert (plan.delay, plan.depth, plan.width, plan.parameters) == (None, 1, 5, 75)
    assert plan_copy(5, parameters=75).delay == 0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_effective_plans_are_shallow_and_cost_two_d_squared_a_step(d):
    for k in range(8):
        plan = plan_copy(d, k, cost="effective")
        assert (plan.depth, plan.parameters) == (1, 2 * d * d * (k + 1))
        assert plan_copy(d, parameters=2 * d * d * (k + 2) - 1, cost="effective").delay == k


def test_deep_is_cheaper_from_delay_four_on_and_eight_k_d_squared_is_nearly_best():
    for d, k in product(range(1, 11), range(3, 41)):
        plan = plan_copy(d, k)
        assert 8 * k * d * d / 1.011 <= plan.parameters <= 8 * k * d * d
        assert k < 4 or plan.parameters < plan.shallow_parameters
    assert [plan_copy(5, k).depth for k in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("family", ["lstm", "gru", "2rnn", "mirnn", "cprnn", "tt2rnn"])
def test_plans_of_other_cells_equal_exhaustive_search(family):
    ranks = {"cprnn": (3,), "tt2rnn": (2, 2)}.get(family, ())
    for d, k in product((1, 2, 3), range(6)):

        def cost(depth, n, d=d):
            return parameter_count(family, depth, n, d, d, ranks=ranks)

        plan = plan_copy(d, k, family=family, ranks=ranks)
        best = cheapest(d, k, cost, states=2 if family == "lstm" else 1)
        assert (plan.parameters, plan.depth, plan.width) == best
        assert plan.attained == (family not in ("lstm", "gru"))


def test_plans_of_a_million_are_not_beaten_by_their_neighbours():
    million = 10**6
    for d, k in [(1, million), (million, 1), (million, million), (7, 10**12)]:
        with no_hang():
            plan = plan_copy(d, k)
        near = {plan.depth + step for step in range(-50, 51)} | {k * d // c for c in range(1, 60)}
        for depth in (one for one in near if 1 <= one <= k * d):
            n = d - (-k * d // depth)
            assert plan.parameters <= parameter_count("rnn", depth, n, d, d)
    with no_hang():
        assert plan_copy(1, parameters=8 * 10**6).delay == million


@pytest.mark.parametrize("question", ["delay", "budget"])
def test_plans_of_a_million_take_as_many_evaluations_as_documented(question):
    d = k = 10**6
    most = 20_000 if question == "delay" else 200_000
    calls = []

    def cost(depth, n):
        calls.append(1)
        if len(calls) > most:
            pytest.fail(f"more than {most:,} evaluations")
        return 2 * depth * n * n

    assert (
        plan_copy(d, k, cost=cost) if question == "delay" else plan_copy(d, parameters=8 * 10**18, cost=cost)
    ).delay == k


FAMILIES = {
    "rnn": (lambda d, n, o: RNN(d, n, o, activation="linear", bias=True), dict(biases=2)),
    "cprnn": (lambda d, n, o: SecondOrderRNN(d, n, o, cp_rank=3), dict(ranks=(3,))),
    "2rnn": (lambda d, n, o: SecondOrderRNN(d, n, o), {}),
    "birnn": (lambda d, n, o: SecondOrderRNN(d, n, o, first_order=False, bias=False), {}),
    "tt2rnn": (lambda d, n, o: SecondOrderRNN(d, n, o, tt_ranks=(2, 3)), dict(ranks=(2, 3))),
    "mirnn": (lambda d, n, o: MultiplicativeIntegrationRNN(d, n, o, activation="linear"), {}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_built_stacks(family):
    make, settings_ = FAMILIES[family]
    for depth, n, d, o in [(1, 4, 3, 2), (3, 2, 5, 1)]:
        sizes = [d] + [n] * (depth - 1)
        layers = tuple(make(m, n, o if i == depth - 1 else None) for i, m in enumerate(sizes))
        architecture = layers[0] if depth == 1 else Deep(layers)
        assert parameters(architecture).value == parameter_count(family, depth, n, d, o, **settings_)


def test_rank_zero_is_a_plain_network_in_counts_and_symbols_add_an_embedding():
    plain = parameter_count("rnn", 3, 7, 4, 2, biases=1)
    assert parameter_count("cprnn", 3, 7, 4, 2, ranks=(0,)) == plain
    assert parameter_count("rnn", 2, 256, 107, 107, biases=2, readout_bias=True, symbols=107) == 263_972
    assert parameter_count("cprnn", 4, 128, 107, 107, ranks=(8,), readout_bias=True, symbols=107) == 166_268


def test_rank_zero_is_a_plain_network():
    """Section 9: R = 0 -> plain RNN."""
    assert SecondOrderRNN(2, 3, 1, cp_rank=0).cp_rank == 0


@pytest.mark.parametrize("sizes", [(1, 2, 1, 1), (2, 2, 1, 2)], ids=str)
def test_response_dimension_is_the_law(sizes):
    depth, n, d, o = sizes
    measured = response_dimension(stack_of([n] * depth, d, o))
    assert measured.value == law.effective_dimension(*sizes) == depth * (n * (d + o) - d * o) + d * o
    assert measured.cannot_tell == ""


def test_biases_are_no_part_of_the_markov_parameters():
    """g_j = V W^j U does not depend on biases: 4 numbers for n = 2, d = o = 1, with or without."""
    assert response_dimension(linear(1, 2, 1, bias=True)).value == law.effective_dimension(1, 2, 1, 1) == 4


def test_response_dimension_of_a_nonlinear_cell_is_refused():
    with pytest.raises(ValueError, match="linear"):
        response_dimension(RNN(1, 2, 1))


@pytest.mark.parametrize(
    ("model", "full"),
    [
        (copying.copy_network([3, 3], 2, 1), True),
        (generic(RNN(2, 3, 2), 4), False),  # 2 (T - k) = 10 > 3 T - 2 (T - k) = 8: T2
        (generic(linear(2, 4, 2), 4), True),
    ],
    ids=["copy network", "tanh, one unit short", "linear, wide enough"],
)
def test_the_block_of_a_copying_network_has_full_rank(model, full):
    measured = copy_block_rank(model, 1, 6)
    assert (measured.value == 10) == full


# ---------------------------------------------------------------- T9: degrees


def degree_by_recursion(depth: int, steps: int) -> int:
    below = [1] * steps
    for _ in range(depth):
        below = [sum(below[: t + 1]) for t in range(steps)]
    return below[-1]


def test_the_degree_follows_its_recursion():
    for depth, step in product(range(1, 7), range(1, 9)):
        assert polynomial_degree(depth, step=step) == degree_by_recursion(depth, step)
        assert polynomial_degree(depth, step=step, cell="bilinear", start="nonzero") == degree_by_recursion(depth, step)
        assert polynomial_degree(depth, step=step, cell="no-input", start="nonzero") == degree_by_recursion(depth, step)
        shorter = degree_by_recursion(depth, step - 1) if step > 1 else 0
        assert polynomial_degree(depth, step=step, cell="no-input") == shorter
        assert polynomial_degree(depth, step=step, cell="bilinear") is None
        assert polynomial_degree(depth, step=step, cell="linear") == 1
        assert polynomial_degree(depth, step=step, cell="linear", activation_degree=3) == 3**depth


def test_degrees_in_huge_numbers_are_exact_or_refused_at_once():
    far = 10**300
    with no_hang():
        assert polynomial_degree(3, step=far) == far * (far + 1) * (far + 2) // 6
        assert polynomial_degree(far, step=2) == far + 1
        assert polynomial_degree(far, lag=0) == 1
        with pytest.raises(ValueError, match="1,000,000 bits"):
            polynomial_degree(10**6, step=10**6)
        with pytest.raises(ValueError, match="1,000,000 bits"):
            polynomial_degree(10**9, step=3, cell="linear", activation_degree=2)


def test_fewest_layers_by_brute_force():
    for degree, lag in product(range(1, 60), range(5)):
        depths = [one for one in range(1, 61) if math.comb(lag + one - 1, one - 1) >= degree]
        assert layers_for_degree(degree, lag) == (depths[0] if depths else None)
    with no_hang():
        assert layers_for_degree(10**30, 1) == 10**30
        assert layers_for_degree(10**3000, 100) > 1


def dead(model: Model, layer: int, name: str) -> Model:
    """The model with one kind of weight of one layer set to 0."""
    weights = [dict(w) for w in model.weights]
    weights[layer][name] = np.zeros_like(weights[layer][name])
    return Model(model.architecture, tuple(weights))


MIXED = {
    "second on second": Deep((SecondOrderRNN(1, 2), SecondOrderRNN(2, 1, 1))),
    "second on linear": Deep((linear(1, 2), SecondOrderRNN(2, 2, 1, cp_rank=1))),
    "linear on second": Deep((SecondOrderRNN(1, 1, tt_ranks=(1, 1)), linear(1, 2, 1, bias=True))),
    "three": Deep((SecondOrderRNN(1, 1), linear(1, 1), SecondOrderRNN(1, 1, 1, bias=False))),
    "two channels": Deep((SecondOrderRNN(2, 1, bias=False), SecondOrderRNN(1, 2, 1))),
    "multiplicative": Deep((MultiplicativeIntegrationRNN(1, 2, activation="linear"), linear(2, 1))),
    "residual": Deep((SecondOrderRNN(1, 1), SecondOrderRNN(1, 1)), skip="residual"),
}


@pytest.mark.parametrize("name", MIXED)
def test_degrees_of_special_weights_are_those_of_the_polynomials_written_out(name):
    lowered = 0
    for seed in range(5):
        model = with_integers(MIXED[name], seed, (-1, 0, 0, 1))
        total, lagged = true_degrees(model, 3)
        measured = measured_degree(model, 3)
        assert [e.value.tolist() for e in measured] == total
        assert [e.value.tolist() for e in measured_degree(model, 3, lagged=True)] == lagged
        depth = len(MIXED[name].layers)
        assert all(e.value[t] <= polynomial_degree(depth, step=t + 1) for e in measured for t in range(3))
        lowered += total[-1][-1] < polynomial_degree(depth, step=3)
    assert lowered  # the weights are special indeed


def test_degrees_of_dead_layers_and_zero_models():
    model = with_integers(Deep((SecondOrderRNN(1, 2), SecondOrderRNN(2, 2, 1))), 1, (1, 2, 3))
    for layer, name in [(0, "tensor"), (1, "tensor"), (1, "weight_ih"), (1, "readout"), (0, "weight_ih")]:
        total, lagged = true_degrees(dead(model, layer, name), 3)
        assert [e.value.tolist() for e in measured_degree(dead(model, layer, name), 3)] == total
        assert [e.value.tolist() for e in measured_degree(dead(model, layer, name), 3, lagged=True)] == lagged
    empty = Model(model.architecture, jax.tree.map(np.zeros_like, model.weights))
    assert len(measured_degree(empty, 4)) == 3
    assert all((e.value == -np.inf).all() for e in measured_degree(empty, 4))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_generic_networks_attain_the_degree_at_any_width_and_form(depth):
    for width, form in [(1, {}), (2, dict(cp_rank=1)), (2, dict(tt_ranks=(1, 1)))]:
        above = (SecondOrderRNN(width, width, **form),) * (depth - 1)
        model = generic(Deep((SecondOrderRNN(1, width, **form), *above)), 1, np.float32)
        total, lagged = measured_degree(model, 6), measured_degree(model, 6, lagged=True)
        for layer in range(depth):
            assert total[layer].value.tolist() == [polynomial_degree(layer + 1, step=t) for t in range(1, 7)]
            assert lagged[layer].value.tolist() == [polynomial_degree(layer + 1, lag=j) for j in range(6)]


def test_without_input_terms_the_first_input_never_enters():
    model = generic(Deep((SecondOrderRNN(1, 2), SecondOrderRNN(2, 2), SecondOrderRNN(2, 1))), 2)
    weights = tuple(
        {**w, "weight_ih": np.zeros_like(w["weight_ih"]), "bias": np.ones(len(w["bias"]))} for w in model.weights
    )
    found = measured_degree(Model(model.architecture, weights), 5)[-1].value
    assert found.tolist() == [polynomial_degree(3, step=t, cell="no-input") for t in range(1, 6)]


def test_squares_passed_upward_give_powers_of_two():
    layers = (linear(1, 2, output_activation="square"), linear(2, 2, 1, output_activation="square"))
    found = measured_degree(generic(Deep(layers), 0), 3)[-1].value
    assert found.tolist() == [polynomial_degree(2, step=t, cell="linear", activation_degree=2) for t in (1, 2, 3)]


def test_degrees_above_the_cap_are_refused_and_sent_to_the_closed_form():
    model = generic(Deep((SecondOrderRNN(1, 1),) * 6), 0)
    with pytest.raises(ValueError, match=r"100,000.*closed form"):
        measured_degree(model, 60)


def test_the_degree_is_no_victim_of_weights_that_cancel_modulo_the_prime():
    """y = (2^61 - 1) x is not zero, though it is modulo 2^61 - 1."""
    weights = {
        "weight_hh": np.zeros((2, 2)),
        "weight_ih": np.array([[2.0**61], [1.0]]),
        "readout": np.array([[1.0, -1.0]]),
    }
    assert measured_degree(Model(linear(1, 2, 1), weights), 1)[-1].value.tolist() == [1]


@pytest.mark.parametrize("steps", [0, -1])
def test_degrees_over_no_step_are_refused(steps):
    with pytest.raises(ValueError, match=f"{steps} steps; give at least 1"):
        measured_degree(polynomials.parity_network(), steps)


def test_models_that_are_no_polynomials_are_refused_by_the_guilty_operation():
    for model, guilty in [(RNN(1, 2), "tanh"), (RNN(1, 2, activation="relu"), "max"), (GRU(1, 2), "logistic")]:
        for ask in (
            lambda m: measured_degree(m, 3),
            lambda m: log2_growth(m, 2, 3),
            lambda m: exact_outputs(m, np.ones((3, 1))),
        ):
            with pytest.raises(ValueError, match=f"`{guilty}`.*polynomial cell"):
                ask(generic(model, 0))


def test_models_without_a_step_are_refused_and_do_not_crash():
    model = generic(Bidirectional(SecondOrderRNN(1, 2), SecondOrderRNN(1, 2)), 0)
    with pytest.raises(ValueError, match="Bidirectional"):
        measured_degree(model, 3)


def test_weights_that_are_not_finite_are_refused_by_name():
    model = generic(Deep((SecondOrderRNN(1, 2), SecondOrderRNN(2, 2))), 0)
    broken = Model(model.architecture, (model.weights[0], {**model.weights[1], "bias": np.array([0, np.inf])}))
    for ask in (
        lambda: measured_degree(broken, 2),
        lambda: log2_growth(broken, 1, 2),
        lambda: exact_outputs(broken, np.ones((1, 1))),
    ):
        with pytest.raises(ValueError, match=r"\[1\]\['bias'\].*inf"):
            ask()


# ---------------------------------------------------------------- T10, T12, T13: constructions


INTEGERS = [3, -2, 5, 1, -7, 2, 0, 4, -1, 6]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_ladders_give_the_power_of_the_law(depth):
    for lag in (1, 2, 3):
        model = polynomials.ladder_network(depth, lag)
        power = math.comb(lag + depth - 1, depth - 1)
        wanted = [[INTEGERS[t - lag] ** power if t >= lag else 0] for t in range(10)]
        assert slow(model, [[x] for x in INTEGERS])[1] == wanted
        assert exact_outputs(model, np.array(INTEGERS)[:, None]).tolist() == wanted
        layers = model.architecture.layers if depth > 1 else (model.architecture,)
        assert {a.width for a in layers} == {lag + 1}
        assert [a.cp_rank for a in layers[1:]] == [lag] * (depth - 1)


COEFFICIENTS = {
    "plain": [1, 2, 3],
    "negative": [-5, 3, -2, 7],
    "zero": [0, 0, 0, 0],
    "leading zeros": [2, -1, 0, 0, 0, 0],
    "constant": [4, 0, 0],
    "huge": [10**300, -(10**300), 10**15 + 1, 2**53 + 1],
    "tiny and huge": [1e-300, 1e300, -1e-17, 5e-324],
    "fractions": [Fraction(1, 3), Fraction(-7, 10), Fraction(22, 7), 1, Fraction(1, 10**20)],
    "far": [*range(-4, 6)],
}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_horner_networks_give_every_polynomial_of_rounded_coefficients(name):
    given_ = COEFFICIENTS[name]
    rounded = [Fraction(float(c)) for c in given_]
    lag = len(given_) - 2
    wanted = [
        [sum(c * Fraction(INTEGERS[t - lag]) ** i for i, c in enumerate(rounded)) if t >= lag else rounded[0]]
        for t in range(10)
    ]
    model = polynomials.horner_network(given_)
    assert slow(model, [[x] for x in INTEGERS])[1] == wanted
    assert exact_outputs(model, np.array(INTEGERS)[:, None]).tolist() == wanted
    assert [a.width for a in model.architecture.layers] == [lag + 1] * 2
    assert model.architecture.layers[1].cp_rank == lag


def test_horner_networks_refuse_too_few_and_infinite_coefficients():
    for bad, told in [
        ([], "0 coefficients"),
        ([1, 2], "2 coefficients"),
        ([1, 2, math.nan], "nan"),
        ([0, 0, 10**400], "finite"),
    ]:
        with pytest.raises(ValueError, match=told):
            polynomials.horner_network(bad)


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_window_products(delay):
    model = polynomials.window_product_network(delay)
    xs = [*INTEGERS, 3, -1]
    wanted = [[math.prod(xs[t - delay : t + 1]) if t >= delay else 0] for t in range(12)]
    assert slow(model, [[x] for x in xs])[1] == wanted
    assert states_and_outputs(model, np.array(xs, float)[:, None])[1].tolist() == wanted


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_cumulative_products_by_channel(channels):
    model = polynomials.cumulative_product_network(channels)
    xs = np.random.default_rng(channels).integers(-3, 4, (7, channels))
    xs[xs == 0] = 2
    wanted = np.cumprod(xs, 0).tolist()
    assert slow(model, xs.tolist())[1] == wanted
    halves = exact_outputs(model, xs / 2)
    assert halves.tolist() == [[Fraction(v, 2 ** (t + 1)) for v in row] for t, row in enumerate(wanted)]


def test_parity_is_exact_over_five_thousand_steps():
    signs = np.random.default_rng(0).choice([-1.0, 1.0], 5000)
    outputs = states_and_outputs(polynomials.parity_network(), signs[:, None])[1][:, 0]
    assert np.array_equal(outputs, np.cumprod(signs))


def test_unary_stacks_reach_two_to_the_degree():
    for depth in (1, 2, 3, 5):
        model = polynomials.unary_stack(depth)
        wanted = [degree_by_recursion(depth, t) for t in range(1, 9)]
        outputs = exact_outputs(model, np.full((8, 1), -2))
        assert outputs[:, 0].tolist() == [(-2) ** e for e in wanted]
        growth = log2_growth(model, 2, 8)
        assert growth.value.tolist() == wanted


def test_powers_of_two_are_exact_in_floats_up_to_their_end():
    outputs = states_and_outputs(polynomials.unary_stack(3), np.full((18, 1), 2.0))[1][:, 0]
    exponents = [math.comb(t + 2, 3) for t in range(1, 19)]
    assert outputs[:17].tolist() == [2.0**e for e in exponents[:17]]
    assert exponents[17] == 1140
    assert outputs[17] == np.inf


@pytest.mark.parametrize(
    "make", [polynomials.window_product_network, polynomials.cumulative_product_network, polynomials.unary_stack]
)
@pytest.mark.parametrize("size", [0, -1])
def test_constructions_of_no_size_are_refused(make, size):
    with pytest.raises(ValueError, match=f"got {size}; give a whole number from 1 on"):
        make(size)


def test_ladders_of_no_size_are_refused_by_name():
    for depth, lag, name in [(0, 1, "depth"), (2, 0, "lag"), (-1, 3, "depth")]:
        with pytest.raises(ValueError, match=f"{name} >= 1"):
            polynomials.ladder_network(depth, lag)


# ---------------------------------------------------------------- exact values and growth


EXACT = [
    SecondOrderRNN(2, 2, 1),
    SecondOrderRNN(2, 2, 2, cp_rank=2, bias=False),
    SecondOrderRNN(2, 3, 1, tt_ranks=(2, 1)),
    MultiplicativeIntegrationRNN(2, 2, 1, activation="linear"),
    Deep((linear(2, 2, bias=True), SecondOrderRNN(2, 2, 1, cp_rank=1))),
]


@pytest.mark.parametrize("architecture", EXACT, ids=str)
def test_exact_outputs_are_those_of_the_formulas(architecture):
    model = generic(architecture, 3, np.float32)
    inputs = [[Fraction(1, 3), Fraction(-2)], [Fraction(10**30), Fraction(1, 7)], [Fraction(0), Fraction(5, 2)]]
    found = exact_outputs(model, np.array(inputs, object))
    assert found.tolist() == slow(model, inputs)[1]
    assert all(isinstance(v, Fraction) for v in found.ravel())


def test_exact_outputs_refuse_other_channels_with_both_numbers():
    model = generic(linear(2, 2, 1), 0)
    with pytest.raises(ValueError, match=r"2 input channels.* 1|1.*2 input channels|takes 2"):
        exact_outputs(model, np.ones((3, 1)))


def test_exact_outputs_of_no_step_keep_their_axes():
    assert exact_outputs(polynomials.parity_network(), np.zeros((0, 1))).shape == (0, 1)


def test_exact_outputs_begin_at_the_start_of_the_model():
    model = Model(
        SecondOrderRNN(1, 1, first_order=False, bias=False),
        {"tensor": np.full((1, 1, 1), 0.5), "initial_h": np.array([3.0])},
    )
    assert exact_outputs(model, np.full((3, 1), 7)).ravel().tolist() == [Fraction(3 * 7**t, 2**t) for t in (1, 2, 3)]


def log2_of(value: Fraction) -> float:
    if not value:
        return -math.inf
    shift = abs(value.numerator).bit_length() - value.denominator.bit_length()
    return math.log2(abs(value) / Fraction(2) ** shift) + shift


@pytest.mark.parametrize("seed", range(3))
def test_growth_is_the_logarithm_of_the_exact_largest_channel(seed):
    model = with_integers(Deep((SecondOrderRNN(1, 2), SecondOrderRNN(2, 2, 2))), seed, (1, 2, -3))
    exact = exact_outputs(model, np.full((7, 1), 3))
    assert exact.tolist() == slow(model, [[3]] * 7)[1]
    found = log2_growth(model, 3, 7)
    wanted = [max(map(log2_of, row)) for row in exact.tolist()]
    assert found.value == pytest.approx(wanted, rel=1e-14)
    assert max(wanted) > 64


def test_growth_far_beyond_floats():
    found = log2_growth(polynomials.unary_stack(5), 3, 60).value[-1]
    assert found == pytest.approx(math.comb(64, 5) * math.log2(3), rel=1e-14)
    small = log2_growth(polynomials.unary_stack(2), 0.5, 300).value[-1]
    assert small == -300 * 301 / 2


@pytest.mark.parametrize("level", [1e-300, 2.0**-100, 2.0**-200])
def test_growth_of_what_cancels_is_right_or_said_to_be_unknown(level):
    """y = (x^t - 1) + 1 is x^t: no zero, and no certain -inf."""
    found = log2_growth(polynomials.parity_network(), level, 3)
    wanted = [t * math.log2(level) for t in (1, 2, 3)]
    assert found.cannot_tell or found.value == pytest.approx(wanted, rel=1e-12)


def test_growth_of_zero_is_minus_infinity():
    assert log2_growth(polynomials.unary_stack(2), 0, 3).value.tolist() == [-np.inf] * 3


@pytest.mark.parametrize("level", [math.nan, math.inf])
def test_growth_from_no_number_is_refused(level):
    with pytest.raises(ValueError, match=f"level.*{level}.*finite"):
        log2_growth(polynomials.unary_stack(1), level, 3)


def test_growth_from_a_whole_level_beyond_floats():
    found = log2_growth(polynomials.unary_stack(1), 10**400, 2).value
    assert found == pytest.approx([400 * math.log2(10), 800 * math.log2(10)])


# ---------------------------------------------------------------- T11, T12: floors


def best_error(power: int, degree: int) -> Fraction:
    """E x^2m less its projection on polynomials of degree D, by the moments of x ~ N(0, 1)."""

    def moment(m):
        return Fraction(math.prod(range(m - 1, 0, -2))) if m % 2 == 0 else Fraction(0)

    if degree >= power:
        return Fraction(0)
    entries = [flint.fmpq(int(moment(i + j))) for i in range(degree + 1) for j in range(degree + 1)]
    cross = flint.fmpq_mat(degree + 1, 1, [flint.fmpq(int(moment(i + power))) for i in range(degree + 1)])
    best = flint.fmpq_mat(degree + 1, degree + 1, entries).solve(cross)
    explained = sum((best[i, 0] * cross[i, 0] for i in range(degree + 1)), flint.fmpq(0))
    return moment(2 * power) - Fraction(int(explained.p), int(explained.q))


def test_floors_of_powers_are_the_best_polynomial_errors():
    for power, degree in product(range(1, 9), range(10)):
        assert power_floor(power, degree) == best_error(power, degree)
    assert power_floor(30, 7) == best_error(30, 7)


def test_a_power_within_the_degree_has_floor_zero_however_high_it_is():
    with no_hang():
        assert power_floor(10**9, 10**9) == 0


def test_a_floor_of_too_many_digits_is_refused_with_what_helps():
    with pytest.raises(ValueError, match=r"1,000,000 bits.*power"):
        power_floor(10**6, 3)


def sine_by_fractions(frequency: Fraction, degree: int) -> float:
    """exp(-w^2) sum w^2m / m! over odd m > D, with 1000 bits."""
    with flint.ctx.workprec(1000):
        square = flint.arb(frequency.numerator) ** 2 / flint.arb(frequency.denominator) ** 2
        terms = int(4 * frequency**2 + 200 + degree)
        total, term = flint.arb(0), flint.arb(1)
        for m in range(1, terms):
            term = term * square / m
            total += term if m % 2 and m > degree else 0
        return float(total * (-square).exp())


@pytest.mark.parametrize("frequency", [1, -2, 0.1, 7.5, 20])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 9, 40, 401])
def test_floors_of_sines_are_their_series(frequency, degree):
    wanted = sine_by_fractions(Fraction(frequency), degree)
    tolerance = 1e-14 * max(1.0, frequency**2 * math.log(2 + frequency**2))
    assert sine_floor(frequency, degree) == pytest.approx(wanted, rel=max(tolerance, 1e-12), abs=1e-300)


def test_a_sine_is_at_most_its_variance_and_nothing_without_frequency():
    assert sine_floor(0, 5) == 0
    for w in (0.3, 1.0, 3.0):
        assert sine_floor(w, 0) == pytest.approx((1 - math.exp(-2 * w * w)) / 2, rel=1e-12)
    assert sine_floor(1.0, 10**400) == 0


@pytest.mark.parametrize("frequency", [math.nan, math.inf, 10_001, -1e300])
def test_sines_of_no_frequency_are_refused(frequency):
    with pytest.raises(ValueError, match=r"frequency=.*10,000"):
        sine_floor(frequency, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_geometric_means_by_quadrature(count):
    # E prod |x|^(2/t) over t independent inputs
    one = quad(lambda x: x ** (2 / count) * math.exp(-x * x / 2) * math.sqrt(2 / math.pi), 0, math.inf)[0]
    assert geometric_mean_moment(count) == pytest.approx(one**count, rel=1e-8)


def test_geometric_means_tend_to_their_limit():
    limit = math.exp(-np.euler_gamma - math.log(2))
    assert geometric_mean_moment(10**7) == pytest.approx(limit, rel=1e-6)
    assert geometric_mean_moment(10**6) > limit


def least_squares(target: dict, moments: dict, length: int, power) -> Fraction:
    """min over g of the mean over t of E (y[t] - sum g_j x[t-j])^2 for white inputs."""
    total = sum(power(t) for t in range(1, length + 1))
    for j in range(length):
        cross = sum(target.get((t, t - j), 0) for t in range(j + 1, length + 1))
        total -= Fraction(cross) ** 2 / moments["square"] / (length - j)
    return total / length


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_linear_floors_by_least_squares(length):
    alone = {(1, 1): 1}  # later products are uncorrelated with each of their factors
    floor = least_squares(alone, {"square": 1}, length, lambda t: 1)
    assert linear_floor("parity", length) == pytest.approx(float(floor), abs=1e-15)
    assert linear_floor("cumulative-product", length) == pytest.approx(float(floor), abs=1e-15)
    means = {(t, s): Fraction(1, t) for t in range(1, length + 1) for s in range(1, t + 1)}
    floor = least_squares(means, {"square": 1}, length, lambda t: Fraction(1, t))
    assert linear_floor("running-mean", length) == pytest.approx(float(floor), abs=1e-15)
    sums = {(t, s): 1 for t in range(1, length + 1) for s in range(1, t + 1)}
    assert linear_floor("running-sum", length) == least_squares(sums, {"square": 1}, length, lambda t: t) == 0
    geometric = least_squares(alone, {"square": 1}, length, lambda t: Fraction(geometric_mean_moment(t)))
    assert linear_floor("geometric-mean", length) == pytest.approx(float(geometric), abs=1e-12)


def test_parity_floor_over_all_signs():
    length = 4
    rows, targets = [], []
    for signs in product((-1, 1), repeat=length):
        for t in range(1, length + 1):
            rows.append([signs[t - 1 - j] if j < t else 0 for j in range(length)])
            targets.append(math.prod(signs[:t]))
    residual = np.linalg.lstsq(np.array(rows, float), np.array(targets, float), rcond=None)[1]
    assert linear_floor("parity", length) == pytest.approx(residual[0] / len(rows), rel=1e-12)


def test_floors_of_the_specification():
    assert linear_floor("parity", 16) == pytest.approx(0.99609375, abs=1e-15)
    assert linear_floor("geometric-mean", 16) == pytest.approx(0.42650, abs=5e-6)
    assert linear_floor("running-mean", 16) == pytest.approx(0.0776852, abs=5e-8)
    assert linear_floor("lagged-geometric-mean", 16, 8) == geometric_mean_moment(9)
    assert linear_floor("lagged-geometric-mean", 16, 0) == 0


def test_floors_refuse_what_has_no_meaning():
    for arguments, told in [
        (("parity", 16, 3), "lag=3"),
        (("lagged-geometric-mean", 16), "lag=None"),
        (("lagged-geometric-mean", 16, 16), "at least 17"),
        (("cumulative", 16), "there is parity"),
        (("parity", 0), "length"),
    ]:
        with pytest.raises(ValueError, match=told):
            linear_floor(*arguments)


# ---------------------------------------------------------------- T4: filters


def multiplied(*factors) -> list:
    total = [Fraction(1)]
    for factor in factors:
        longer = [Fraction(0)] * (len(total) + len(factor) - 1)
        for (i, a), (j, b) in product(enumerate(total), enumerate(factor)):
            longer[i + j] += a * b
        total = longer
    return total


@few
@given(st.integers(0, 999))
def test_filters_of_built_stacks_are_never_obstructed(seed):
    """N = (numerator by the responses times q), q = prod det (I - z W_l), with W_l block triangular."""
    rng = np.random.default_rng(seed)
    depth, width = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    denominator, weights = [Fraction(1)], []
    for layer in range(depth):
        w = np.triu(rng.integers(-2, 3, (width, width))).astype(float)
        if width > 1 and rng.random() < 0.6:  # a pair of complex eigenvalues
            w[:2, :2] = [[1, -2], [1, 1]]
            denominator = multiplied(denominator, [1, -2, 3], *([1, -Fraction(w[i, i])] for i in range(2, width)))
        else:
            denominator = multiplied(denominator, *([1, -Fraction(w[i, i])] for i in range(width)))
        n_in = width if layer else 1
        weights.append({"weight_hh": w, "weight_ih": rng.integers(-2, 3, (width, n_in)).astype(float)})
    weights[-1]["readout"] = rng.integers(-2, 3, (1, width)).astype(float)
    model = Model(stack_of([width] * depth, 1, 1), tuple(weights))
    g = [r[0][0] for r in responses(model, 2 * depth * width + 2)]
    numerator = multiplied(denominator, g)[: len(g)]
    assert not any(numerator[depth * (width - 1) + 1 :])  # T4
    assert filter_obstacle(numerator, denominator, depth, width) is None
    common = [Fraction(3, 2), 1, 5]
    assert filter_obstacle(multiplied(numerator, common), multiplied(denominator, common), depth, width) is None


FILTERS = [
    ([1], [1], 1, 1, True),
    ([0, 1], [1], 1, 1, False),
    ([0, 0, 0, 0, 1], [1], 2, 3, True),
    ([0, 0, 0, 0, 0, 1], [1], 2, 3, False),
    ([0, 1, 0], [1, 0, 0], 1, 2, True),
    ([1], [1, 0, 1], 5, 1, False),  # a pair of complex roots does not fit one unit
    ([1], [1, 0, 1], 1, 2, True),
    ([1], [1, 0, 2, 0, 1], 1, 3, False),
    ([1], [1, 0, 2, 0, 1], 2, 3, True),
    ([1], multiplied([1, 0, 1], [1, 0, 2], [1, 0, 3]), 2, 3, False),  # 3 pairs, 2 layers of one pair each
    ([1], multiplied([1, 0, 1], [1, 0, 2], [1, 0, 3]), 3, 2, True),
    ([1], multiplied([1, 1], [1, 2], [1, 3]), 3, 1, True),  # real roots fit anywhere
    ([1], multiplied([1, 1], [1, 1], [1, 1]), 2, 1, False),
    ([0, 1], [0, 1], 1, 1, True),
    ([1], [0, 1], 3, 3, False),  # answers before it is asked
    ([0], [1, 0, 1], 1, 1, True),  # the zero filter
    ([1, 0, 1], multiplied([1, 0, 1], [1, 1]), 1, 1, True),  # the pair cancels
    ([1], [1, Fraction(-2000001, 10**6), Fraction(1000001, 10**6)], 2, 1, True),  # roots 1 and 1 - 1e-6
    ([1], [1, -2, 1 + Fraction(1, 10**40)], 2, 1, False),  # a pair that floats cannot see
]


@pytest.mark.parametrize(("numerator", "denominator", "depth", "width", "possible"), FILTERS)
def test_filters_by_hand(numerator, denominator, depth, width, possible):
    numerator, denominator = [tuple(map(Fraction, c)) for c in (numerator, denominator)]
    told = filter_obstacle(numerator, denominator, depth, width)
    assert (told is None) == possible
    assert told is None or any(c.isdigit() for c in told)


def test_deep_contains_shallow_up_to_its_free_taps():
    for depth, width in product(range(1, 5), range(1, 5)):
        taps = depth * (width - 1) + 1
        assert filter_obstacle([1] * taps, [1], depth, width) is None
        assert filter_obstacle([1] * (taps + 1), [1], depth, width) is not None


def test_filters_refuse_what_is_none():
    for n, q, told in [([1], [0, 0], "denominator 0"), ([], [1], "numerator"), ([1], [], "denominator")]:
        with pytest.raises(ValueError, match=told):
            filter_obstacle(n, q, 1, 1)


# ---------------------------------------------------------------- T16, M3, M4: memory curves


def curve_by_covariance(w: np.ndarray, u: np.ndarray, lags: int) -> np.ndarray:
    states = np.stack([np.linalg.matrix_power(w, k) @ u for k in range(lags)])
    covariance = solve_discrete_lyapunov(w, np.outer(u, u))
    return np.einsum("ki,ki->k", states, np.linalg.solve(covariance, states.T).T)


STABLE = {
    "real": np.array([[0.5, 0.3, 0.0], [0, -0.4, 1.0], [0, 0, 0.8]]),
    "complex": np.array([[0.5, -0.6, 0.2], [0.6, 0.5, 1.0], [0, 0, -0.3]]),
    "repeated": np.array([[0.6, 1.0, 0.0], [0, 0.6, 1.0], [0, 0, 0.6]]),
    "nilpotent": np.array([[0.0, 0.0, 0.0], [1, 0, 0], [0, 1, 0]]),
}


@pytest.mark.parametrize("name", STABLE)
def test_memory_curves_by_the_covariance(name):
    w = STABLE[name]
    u = np.array([1.0, 0.0, 0.0]) if name == "nilpotent" else np.array([1.0, -0.5, 2.0])
    eigenvalues = np.zeros(3) if name == "nilpotent" else np.linalg.eigvals(w)
    eigenvalues = np.full(3, 0.6) if name == "repeated" else eigenvalues
    assert memory_curve(eigenvalues, 12) == pytest.approx(curve_by_covariance(w, u, 12), abs=1e-9)


def test_memory_does_not_depend_on_the_order_of_the_eigenvalues():
    values = [0.9, -0.5 + 0.3j, -0.5 - 0.3j, 0.0, 0.9]
    curve = memory_curve(values, 400)
    assert memory_curve(values[::-1], 400) == pytest.approx(curve, abs=1e-12)
    assert curve.sum() == pytest.approx(5, abs=1e-9)
    assert (curve <= 1 + 1e-12).all()


def test_memory_of_a_stack_is_that_of_its_collapse():
    w1, w2 = 0.7, -0.4
    collapsed = np.array([[w1, 0], [2.5 * w1, w2]])  # u_2 = 2.5
    assert memory_curve([w1, w2], 10) == pytest.approx(
        curve_by_covariance(collapsed, np.array([1, 2.5]), 10), abs=1e-12
    )


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.25), (0.9, 0.9), (0.5, -0.5), (0.0, 0.3), (-0.99, 0.99)])
def test_top_memory_is_the_normalised_response(first, second):
    g = [1.0]
    for k in range(1, 6000):
        g.append(second * g[-1] + first**k)
    square = math.fsum(v * v for v in g)
    assert top_memory_curve(first, second, 8) == pytest.approx([v * v / square for v in g[:8]], rel=1e-9, abs=1e-15)


def test_fisher_of_a_delay_line_from_its_definition():
    units, noise = 6, 0.25
    shift = np.diag(np.ones(units - 1), -1)
    powers = [np.linalg.matrix_power(shift, k) for k in range(units)]
    covariance = noise * sum(p @ p.T for p in powers)
    signal_ = np.eye(units)[0]
    wanted = [(p @ signal_) @ np.linalg.solve(covariance, p @ signal_) for p in powers]
    assert delay_line_fisher(units, noise) == pytest.approx(wanted, rel=1e-12)


def test_whole_eigenvalues_are_numbers_too():
    assert memory_curve([0, 0, 0], 5).tolist() == [1, 1, 1, 0, 0]


def test_unstable_memory_is_refused_with_the_eigenvalue():
    for values in ([0.5, 1.0], [-2.0], [0.6 + 0.8j], [math.nan]):
        with pytest.raises(ValueError, match="modulus below 1, got"):
            memory_curve(values, 3)
    with pytest.raises(ValueError, match=r"size below 1, got 1.0 and 0.5"):
        top_memory_curve(1.0, 0.5, 3)
    for noise in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="noise above 0"):
            delay_line_fisher(3, noise)


# ---------------------------------------------------------------- T15: automata


WORDS = [w for n in range(5) for w in product(range(2), repeat=n)]


def automaton(seed: int, states: int, letters: int = 2, numbers=None) -> WeightedAutomaton:
    rng = np.random.default_rng(seed)
    numbers = numbers or [Fraction(p, q) for p in (-2, -1, 0, 1, 3) for q in (1, 2, 4)]
    row = lambda: tuple(numbers[i] for i in rng.integers(len(numbers), size=states))  # noqa: E731
    return WeightedAutomaton(row(), tuple(tuple(row() for _ in range(states)) for _ in range(letters)), row())


def value_of(a: WeightedAutomaton, word) -> Fraction:
    row = list(a.start)
    for letter in word:
        row = [
            sum((row[i] * a.transitions[letter][i][j] for i in range(len(row))), Fraction(0)) for j in range(len(row))
        ]
    return sum((r * e for r, e in zip(row, a.end, strict=True)), Fraction(0))


def hankel_rank(a: WeightedAutomaton, letters: int, length: int) -> int:
    words = [w for n in range(length) for w in product(range(letters), repeat=n)]
    return rank([[value_of(a, u + v) for v in words] for u in words])


def one_hot(word, letters: int = 2) -> list:
    return [[int(letter == c) for c in range(letters)] for letter in word]


def redundant(a: WeightedAutomaton, seed: int) -> WeightedAutomaton:
    """The same function with two more states, one never reached and one never read, in another basis."""
    n, rng = a.states, np.random.default_rng(seed)
    size = n + 2
    mats = []
    for m in a.transitions:
        big = [[Fraction(int(v)) for v in rng.integers(-2, 3, size)] for _ in range(size)]
        for i, j in product(range(size), repeat=2):
            if i < n:
                big[i][j] = m[i][j] if j < n else (Fraction(0) if j == n else big[i][j])
            elif i == n + 1:  # never read: it leads to itself alone
                big[i][j] = big[i][j] if j == n + 1 else Fraction(0)
        for i in range(n):
            big[i][n] = Fraction(0)  # never reached
        mats.append(big)
    start = [*a.start, Fraction(0), Fraction(1)]
    end = [*a.end, Fraction(1), Fraction(0)]
    # change of basis by a unipotent matrix P: start P, P^-1 M P, P^-1 end with P = I + e_0 e_last
    last = size - 1
    start[last] += start[0]
    for m in mats:
        for i in range(size):
            m[i][last] += m[i][0]
        for j in range(size):
            m[0][j] -= m[last][j]
    end[0] -= end[last]
    return WeightedAutomaton(tuple(start), tuple(tuple(map(tuple, m)) for m in mats), tuple(end))


@pytest.mark.parametrize("states", [1, 2, 3])
def test_automata_to_networks_and_back(states):
    for seed in range(3):
        given_ = automaton(seed, states)
        model = from_automaton(given_)
        assert (model.architecture.width, model.architecture.input_size) == (states, 2)
        back = to_automaton(model)
        assert back.states == states + 1
        for word in WORDS:
            truth = value_of(given_, word)
            assert given_.value(word) == back.value(word) == truth
            if word:
                assert slow(model, one_hot(word))[1][-1] == [truth]
        assert back.minimised().states == given_.minimised().states


@pytest.mark.parametrize("seed", range(6))
def test_minimal_states_are_the_rank_of_the_word_hankel_matrix(seed):
    given_ = automaton(seed, 3, numbers=[Fraction(0), Fraction(0), Fraction(1), Fraction(-1, 2)])
    minimal = given_.minimised()
    assert minimal.states == hankel_rank(given_, 2, 4)
    assert [minimal.value(w) for w in WORDS] == [value_of(given_, w) for w in WORDS]
    assert minimal.minimised().states == minimal.states


@pytest.mark.parametrize("seed", range(4))
def test_redundant_states_are_found(seed):
    given_ = automaton(seed, 2)
    bigger = redundant(redundant(given_, seed), seed + 1)
    assert bigger.states == 6
    assert [value_of(bigger, w) for w in WORDS] == [value_of(given_, w) for w in WORDS]
    assert bigger.minimised().states == given_.minimised().states == hankel_rank(given_, 2, 3)
    assert [bigger.minimised().value(w) for w in WORDS] == [value_of(given_, w) for w in WORDS]


@pytest.mark.parametrize("seed", range(3))
def test_reversed_automata_read_from_the_end(seed):
    given_ = automaton(seed, 3)
    assert [given_.reversed().value(w[::-1]) for w in WORDS] == [value_of(given_, w) for w in WORDS]


def test_automata_of_one_letter_are_sequences():
    fibonacci = WeightedAutomaton((0, 1), (((1, 1), (1, 0)),), (1, 0))
    wanted = [0, 1, 1, 2, 3, 5, 8, 13]
    assert [fibonacci.value([0] * n) for n in range(8)] == wanted
    model = from_automaton(fibonacci)
    assert [y[0] for y in slow(model, [[1]] * 7)[1]] == wanted[1:]
    assert to_automaton(model).minimised().states == 2
    assert fibonacci.value([0] * 400).numerator.bit_length() > 270


def test_the_empty_word_is_start_times_end():
    given_ = automaton(5, 3)
    assert given_.value([]) == value_of(given_, ())
    assert to_automaton(from_automaton(given_)).value([]) == value_of(given_, ())


def test_zero_functions_keep_no_state():
    cancelling = WeightedAutomaton((1, 1), (((2, 0), (0, 2)),), (1, -1))
    for zero in (WeightedAutomaton((0, 0), (((1, 2), (3, 4)),), (1, 1)), cancelling):
        minimal = zero.minimised()
        assert minimal.states == 0
        assert minimal.value([0, 0]) == 0


def test_an_automaton_without_states_is_refused_by_what_it_lacks():
    nothing = WeightedAutomaton((0,), (((1,),),), (1,)).minimised()
    with pytest.raises(ValueError, match="state"):
        from_automaton(nothing)


def test_parity_has_one_state_and_counting_two():
    parity = WeightedAutomaton((1,), (((1,),), ((-1,),)), (1,))
    back = to_automaton(from_automaton(parity))
    assert (back.states, back.minimised().states) == (2, 1)
    assert [back.value(w) for w in ([1], [0, 1], [1, 0], [1, 0, 1])] == [-1, -1, -1, 1]
    counter = Model(
        linear(2, 1, 1), {"weight_hh": np.eye(1), "weight_ih": np.array([[0.0, 1.0]]), "readout": np.eye(1)}
    )
    counted = to_automaton(counter)
    assert (counted.states, counted.minimised().states) == (2, 2)
    assert [counted.value(w) for w in WORDS] == [sum(w) for w in WORDS]


@pytest.mark.parametrize(
    "architecture",
    [
        SecondOrderRNN(2, 2, 2),
        SecondOrderRNN(2, 2, cp_rank=1),
        SecondOrderRNN(2, 2, 2, tt_ranks=(1, 2), bias=False),
        SecondOrderRNN(2, 2, 2, first_order=False),
        linear(2, 2, 2, bias=True),
        linear(2, 2),
    ],
    ids=str,
)
def test_every_linear_layer_is_its_automaton_from_any_start(architecture):
    model = generic(architecture, 7, np.float32)
    rng = np.random.default_rng(0)
    extra = {"initial_h": rng.normal(size=2).astype(np.float32)}
    extra |= {"readout_bias": rng.normal(size=2).astype(np.float32)} if architecture.readout_size else {}
    model = Model(architecture, {**model.weights, **extra})
    for output in (0, 1):
        found = to_automaton(model, output)
        for word in ((0,), (1, 0), (1, 1, 0, 1)):
            assert found.value(word) == slow(model, one_hot(word))[1][-1][output]


def test_stacks_and_nonlinear_layers_are_refused_as_automata():
    stack = Deep((SecondOrderRNN(2, 2), SecondOrderRNN(2, 2, 1)))
    with pytest.raises(ValueError, match=r"stack of 2.*give one layer"):
        to_automaton(generic(stack, 0))
    for layer in (
        RNN(2, 2, 1),
        GRU(2, 2),
        SecondOrderRNN(2, 2, 1, output_activation="tanh"),
        linear(2, 2, 1, clip=1.0),
    ):
        with pytest.raises(ValueError, match=type(layer).__name__):
            to_automaton(generic(layer, 0))
    for output in (1, -1):
        with pytest.raises(ValueError, match=rf"output {output} was asked.*0\.\.0"):
            to_automaton(generic(SecondOrderRNN(2, 2, 1), 0), output)


def test_automata_that_disagree_in_size_are_refused():
    for parts in [((1,), (), (1,)), ((1, 2), (((1,),),), (1,)), ((1,), (((1, 2),),), (1,)), ((1,), (((1,),),), (1, 2))]:
        with pytest.raises(ValueError, match="entries at the start"):
            WeightedAutomaton(*parts)
    for word in ([2], [0, -1]):
        with pytest.raises(ValueError, match=r"alphabet is 0\.\.1"):
            automaton(0, 2).value(word)
    with pytest.raises(ValueError, match="beyond float64"):
        from_automaton(WeightedAutomaton((10**400,), (((1,),),), (1,)))


# ---------------------------------------------------------------- forms of second order


def layer_of(tensor, dtype=np.float64) -> Model:
    tensor = np.asarray(tensor, dtype)
    n, m = tensor.shape[0], tensor.shape[2]
    rng = np.random.default_rng(1)
    whole = {
        k: rng.integers(-3, 4, s).astype(dtype)
        for k, s in [("weight_hh", (n, n)), ("weight_ih", (n, m)), ("bias", (n,)), ("readout", (2, n))]
    }
    return Model(SecondOrderRNN(m, n, 2), {"tensor": tensor, **whole, "initial_h": np.arange(n).astype(dtype)})


def fewest_fibres(tensor: np.ndarray) -> int:
    return max(1, min(int((tensor != 0).any(axis).sum()) for axis in range(3)))


def unfolding_ranks(tensor: np.ndarray) -> tuple[int, int]:
    """Ranks of hidden | input, out and of hidden, input | out; at least 1."""
    n, _, m = tensor.shape
    train = np.transpose(tensor, (1, 2, 0))
    return max(1, rank(train.reshape(n, m * n).tolist())), max(1, rank(train.reshape(n * m, n).tolist()))


def sparse(shape, entries) -> np.ndarray:
    tensor = np.zeros(shape)
    for index, value in entries.items():
        tensor[index] = value
    return tensor


RNG = np.random.default_rng(11)
OUTER = np.einsum("i,j,k->ijk", [1, 2, -1], [3, 0, 1], [2, -5])
TENSORS = {
    "zero": np.zeros((3, 3, 2)),
    "single number": np.full((1, 1, 1), -3.0),
    "one unit": RNG.integers(-3, 4, (1, 1, 4)),
    "one input": RNG.integers(-3, 4, (3, 3, 1)),
    "dense": RNG.integers(-3, 4, (3, 3, 2)),
    "wide input": RNG.integers(-3, 4, (2, 2, 5)),
    "rank one": OUTER,
    "one entry": sparse((3, 3, 2), {(2, 0, 1): 5}),
    "dead input": sparse((2, 2, 3), {(0, 0, 0): 1, (1, 0, 0): 2, (1, 1, 2): -4}),
    "diagonal": sparse((3, 3, 3), {(i, i, i): i + 1 for i in range(3)}),
    "one hidden": sparse((3, 3, 3), {(i, 1, k): 1 + i + 3 * k for i in range(3) for k in range(3)}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_forms_keep_the_function(name):
    tensor = np.asarray(TENSORS[name], float)
    model = layer_of(tensor)
    cp, tt = forms.full_to_cp(model), forms.full_to_tt(model)
    assert cp.architecture.cp_rank == fewest_fibres(tensor)
    assert tt.architecture.tt_ranks == unfolding_ranks(tensor)
    assert np.array_equal(forms.cp_to_full(cp).weights["tensor"], tensor)
    assert forms.tt_to_full(tt).weights["tensor"] == pytest.approx(tensor, abs=1e-13)
    again = forms.cp_to_tt(cp)
    assert again.architecture.tt_ranks == (cp.architecture.cp_rank,) * 2
    assert np.array_equal(forms.tt_to_full(again).weights["tensor"], tensor)
    m = tensor.shape[2]
    xs = [[(-1) ** t * (t + c) for c in range(m)] for t in range(3)]
    truth = slow(model, xs)[1]
    assert slow(cp, xs)[1] == truth
    assert slow(again, xs)[1] == truth
    for one in (cp, tt, again):
        assert {
            k: v.tolist() for k, v in one.weights.items() if k in ("bias", "readout", "initial_h", "weight_hh")
        } == {k: model.weights[k].tolist() for k in ("bias", "readout", "initial_h", "weight_hh")}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
@pytest.mark.parametrize("name", ["dense", "rank one"])
def test_trains_of_any_scale_keep_the_tensor(name, scale):
    tensor = np.asarray(TENSORS[name], float)
    model = forms.full_to_tt(layer_of(tensor * scale))
    assert forms.tt_to_full(model).weights["tensor"] / scale == pytest.approx(tensor, rel=1e-12, abs=1e-12)
    assert model.architecture.tt_ranks == unfolding_ranks(tensor)


def test_trains_of_single_precision_find_the_rank_below_their_rounding():
    rng = np.random.default_rng(5)
    tensor = np.einsum("i,j,k->ijk", rng.normal(size=4), rng.normal(size=4), rng.normal(size=3))
    model = forms.full_to_tt(layer_of(tensor, np.float32))
    assert model.architecture.tt_ranks == (1, 1)
    assert {w.dtype for w in model.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.3, 0.7, 0.99])
def test_trains_within_a_tolerance(tolerance):
    tensor = np.random.default_rng(2).normal(size=(4, 4, 3))
    exact = forms.full_to_tt(layer_of(tensor)).architecture.tt_ranks
    model = forms.full_to_tt(layer_of(tensor), tolerance)
    error = np.linalg.norm(forms.tt_to_full(model).weights["tensor"] - tensor) / np.linalg.norm(tensor)
    assert error <= tolerance
    assert all(a <= b for a, b in zip(model.architecture.tt_ranks, exact, strict=True))


def test_conversions_refuse_other_forms_and_tolerances():
    full = layer_of(TENSORS["dense"])
    plain = generic(RNN(2, 2, 1), 0)
    for convert in (forms.cp_to_full, forms.tt_to_full, forms.cp_to_tt, forms.multiplicative_to_cp):
        with pytest.raises(ValueError, match=f"{convert.__name__} takes .*found SecondOrderRNN"):
            convert(full)
        with pytest.raises(ValueError, match="found RNN"):
            convert(plain)
    for tolerance in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="tolerance="):
            forms.full_to_tt(full, tolerance)
    with pytest.raises(ValueError, match="not finite"):
        forms.full_to_tt(layer_of(np.full((2, 2, 2), np.nan)))


def test_stacks_convert_their_layers_of_the_form_and_keep_the_others():
    stack = Deep((linear(2, 2), SecondOrderRNN(2, 2), SecondOrderRNN(2, 3, cp_rank=1), SecondOrderRNN(3, 2, 1)))
    model = with_integers(stack, 4)
    cp = forms.full_to_cp(model)
    assert [getattr(a, "cp_rank", None) is not None for a in cp.architecture.layers] == [False, True, True, True]
    xs = [[1, -2], [0, 3], [2, 2]]
    assert slow(cp, xs)[1] == slow(model, xs)[1]
    assert slow(forms.cp_to_full(cp), xs)[1] == slow(model, xs)[1]


def test_multiplicative_integration_is_a_cp_form():
    model = with_integers(Deep((MultiplicativeIntegrationRNN(2, 3, activation="linear"), linear(3, 2, 1))), 6)
    model.weights[0]["initial_h"] = np.array([1.0, -2.0, 3.0])
    found = forms.multiplicative_to_cp(model)
    assert found.architecture.layers[0].cp_rank == 3
    xs = [[1, -2], [3, 1], [0, 1]]
    assert slow(found, xs)[1] == slow(model, xs)[1]
    curved = generic(MultiplicativeIntegrationRNN(2, 3, 1), 6)
    inputs = np.array(xs, float)
    assert states_and_outputs(forms.multiplicative_to_cp(curved), inputs)[1] == pytest.approx(
        states_and_outputs(curved, inputs)[1], abs=1e-12
    )


# ---------------------------------------------------------------- T17: start and end


def bilinear_rank(depth: int, n: int, d: int, half: int, seed: int) -> int:
    """Rank modulo 2^61 - 1 of y(uv) of a random stack without affine terms from random starts."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.integers(1, 10**6, shape).tolist()  # noqa: E731
    tensors = [draw(n, n, d if layer == 0 else n) for layer in range(depth)]
    start, readout = [draw(n) for _ in range(depth)], draw(n)

    def run(word):
        hs = start
        for letter in word:
            below, new = [int(c == letter) for c in range(d)], []
            for a, h in zip(tensors, hs, strict=True):
                below = [
                    sum(a[i][j][k] * h[j] * b for j in range(n) for k, b in enumerate(below) if b) % PRIME
                    for i in range(n)
                ]
                new.append(below)
            hs = new
        return sum(v * b for v, b in zip(readout, below, strict=True)) % PRIME

    words = list(product(range(d), repeat=half))
    return flint.nmod_mat(len(words), len(words), [run(u + v) for u in words for v in words], PRIME).rank()


@pytest.mark.parametrize(
    ("depth", "n", "d", "half", "seen"),
    [(2, 2, 2, 3, 8), (2, 2, 2, 4, 10), (1, 3, 2, 1, 2), (1, 3, 2, 4, 3), (2, 1, 2, 3, 1), (3, 2, 2, 2, 4)],
)
def test_start_end_bounds_are_attained_in_small_cases(depth, n, d, half, seen):
    assert start_end_bound(depth, n, d, half) == seen == bilinear_rank(depth, n, d, half, 1)


def test_start_end_bounds_of_two_layers():
    for n, d, half in product(range(1, 5), range(1, 4), range(1, 5)):
        assert start_end_bound(2, n, d, half) == min(d**half, n * math.comb(n + half - 1, half))
        assert start_end_bound(1, n, d, half) == min(n, d**half)


def test_start_end_bounds_of_very_deep_stacks_answer_at_once():
    """No more than M^S = 32, which a few layers reach."""
    with no_hang():
        assert start_end_bound(10**5, 10, 2, 5) == 32


# ---------------------------------------------------------------- starts and tasks


def same(one: Model, other: Model) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one.weights), jax.tree.leaves(other.weights), strict=True)
    )


@pytest.mark.parametrize("widths", [(3, 5, 4), (6,)])
def test_copy_starts_copy_without_noise_and_follow_their_seed(widths):
    architecture = stack_of(widths, 2, 2)
    architecture = architecture.layers[0] if len(widths) == 1 else architecture
    reach = sum(n - 2 for n in widths) // 2
    exact = starts.copy_start(architecture, reach)
    xs = [[t + 1, -t] for t in range(8)]
    assert slow(exact(3), xs)[1] == [[0, 0] if t < reach else xs[t - reach] for t in range(8)]
    assert same(exact(0), exact(99))
    noisy = starts.copy_start(architecture, reach, 0.1)
    assert same(noisy(5), noisy(5))
    assert not same(noisy(5), noisy(6))
    with pytest.raises(ValueError, match=rf"at most {reach}"):
        starts.copy_start(architecture, reach + 1)(0)


def test_the_noise_of_copy_starts_has_its_deviation_on_every_weight():
    architecture = Deep((linear(3, 30, bias=True), linear(30, 20, 3, bias=True)))
    clean, noisy = starts.copy_start(architecture, 10)(0), starts.copy_start(architecture, 10, 0.25)(1)
    differences = jax.tree.map(lambda a, b: a - b, noisy.weights, clean.weights)
    everything = np.concatenate([d.ravel() for d in jax.tree.leaves(differences)]) / 0.25
    assert everything.std() == pytest.approx(1, abs=5 / math.sqrt(2 * everything.size))
    assert abs(everything.mean()) < 5 / math.sqrt(everything.size)
    assert all((d != 0).all() for d in jax.tree.leaves(differences))
    assert all(not clean.weights[i][b].any() for i in (0, 1) for b in ("bias_ih", "bias_hh"))


@pytest.mark.parametrize(
    "architecture",
    [
        RNN(2, 6, 2),
        linear(2, 6),
        linear(2, 6, 3),
        linear(2, 6, 2, clip=1.0),
        linear(2, 6, 2, output_activation="tanh"),
        linear(2, 6, 2, parametrisation="ntk"),
        Deep((linear(2, 2), linear(2, 2, 2)), skip="residual"),
        Deep((linear(2, 3, 2), linear(2, 4, 2))),
        SecondOrderRNN(2, 6, 2),
    ],
    ids=str,
)
def test_copy_starts_refuse_what_cannot_copy_so(architecture):
    with pytest.raises(ValueError, match=r"start was asked for.*; give "):
        starts.copy_start(architecture, 0)(0)


@pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf])
def test_copy_starts_refuse_no_deviation(noise):
    with pytest.raises(ValueError, match=f"noise={noise}"):
        starts.copy_start(linear(1, 3, 1), 1, noise)(0)


def test_orthogonal_starts_have_their_singular_values():
    architecture = Deep((RNN(2, 3), RNN(3, 4, 2)))
    model = starts.orthogonal_start(architecture)(4)
    for w in model.weights:
        n = len(w["weight_hh"])
        assert w["weight_hh"] @ w["weight_hh"].T == pytest.approx(0.81 * np.eye(n), abs=1e-12)
    for w in model.weights[1:]:
        assert np.linalg.svd(w["weight_ih"])[1] == pytest.approx(np.full(3, 0.7), abs=1e-12)
    fresh = build(architecture, 4, np.float64)
    assert np.array_equal(model.weights[0]["weight_ih"], fresh.weights[0]["weight_ih"])
    assert np.array_equal(model.weights[1]["readout"], fresh.weights[1]["readout"])
    assert same(model, starts.orthogonal_start(architecture)(4))
    assert not same(model, starts.orthogonal_start(architecture)(5))


def test_orthogonal_matrices_have_both_signs_of_the_determinant():
    make = starts.orthogonal_start(linear(1, 2, 1), 1.0)
    signs = {round(float(np.linalg.det(make(seed).weights["weight_hh"]))) for seed in range(20)}
    assert signs == {-1, 1}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_orthogonal_starts_refuse_singular_values_that_are_no_numbers(value):
    with pytest.raises(ValueError, match=str(value)):
        starts.orthogonal_start(stack_of([2, 2], 1, 1), value)(0)


@few
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 50))
def test_parity_targets_are_the_products_so_far(length, count, seed):
    found = Parity(length).sample(count, seed)
    assert found.inputs.shape == found.targets.shape == (count, length, 1)
    assert np.isin(found.inputs, (-1, 1)).all()
    assert np.array_equal(found.targets, np.cumprod(found.inputs, 1))
    assert found.mask.all()
    assert np.array_equal(found.inputs, Parity(length).sample(count, seed).inputs)
    given_ = Parity(length).sequences(found.inputs[..., 0])
    assert np.array_equal(given_.targets, found.targets)


def test_parity_refuses_other_symbols_and_the_network_solves_it():
    for bad in (0.0, 2.0, math.nan):
        with pytest.raises(ValueError, match=rf"\+1 and -1, found {bad}"):
            Parity(3).sequences(np.array([[1.0, bad, -1.0]]))
    sequences = {n: Parity(n).sample(20, 0) for n in (1, 7, 40)}
    found = sign_accuracy(polynomials.parity_network(), sequences)
    assert found.value.tolist() == [1, 1, 1]
    assert list(found.axes["length"]) == [1, 7, 40]
    assert task_loss(polynomials.parity_network(), sequences[40]).value == 0


def test_accuracy_over_no_length_is_refused():
    with pytest.raises(ValueError, match=r"length|sequences"):
        sign_accuracy(polynomials.parity_network(), {})


def test_a_loss_of_other_channels_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="channels"):
        task_loss(generic(linear(2, 3, 1), 0), Parity(4).sample(2, 0))


def test_losses_are_means_over_asked_steps_and_channels():
    model = copying.copy_network([1], 1, 0)
    given_ = Parity(4).sequences(np.array([[1.0, -1, -1, 1], [-1, -1, -1, -1]]))
    errors = (given_.inputs - given_.targets)[..., 0] ** 2
    mask = np.array([[True, True, False, True], [False, False, True, True]])
    assert task_loss(model, given_._replace(mask=mask)).value == pytest.approx(errors[mask].mean())
    with pytest.raises(ValueError, match="mask"):
        task_loss(model, given_._replace(mask=np.zeros((2, 4), bool)))


def test_one_sequence_has_no_standard_error():
    """It is over sequences: 0 would say that the loss is known exactly."""
    found = task_loss(generic(SecondOrderRNN(1, 2, 1), 0), Parity(8).sample(1, 1)).standard_error
    assert found is None or not math.isfinite(found)


def test_population_impulses_carry_the_weights_of_the_law():
    for k, d, length in [(0, 1, 1), (2, 3, 3), (3, 2, 9)]:
        found = PopulationCopy(k, d, length).sample(2 * d, 0)
        assert found.inputs.shape == (2 * d, length, d)
        assert found.mask / found.mask[0, 0] == pytest.approx(np.tile(law.copy_loss_weights(k, length), (2 * d, 1)))
        assert np.array_equal(found.targets[:, k:], found.inputs[:, : length - k])
        assert not found.targets[:, :k].any()


def test_population_tasks_refuse_delays_that_ask_nothing_and_uneven_channels():
    with pytest.raises(ValueError, match="at least 3"):
        PopulationCopy(2, 1, 2)
    with pytest.raises(ValueError, match="multiple of 2"):
        PopulationCopy(2, 2, 6).sample(3, 0)


# ---------------------------------------------------------------- bad sizes, by their message


BAD = """
import math
from hitherto.theory import depth as d, depth_degree as g, depth_memory as m, depth_planner as p
calls = [
    ("widths", lambda v: d.copy_reach([3, v], 2)), ("channels", lambda v: d.copy_reach([3], v)),
    ("delay", lambda v: d.copy_feasible([3], 2, v)), ("depth", lambda v: d.effective_dimension(v, 3, 2, 2)),
    ("width", lambda v: d.effective_dimension(2, v, 2, 2)), ("delay", lambda v: d.copy_loss_weights(v, 9)),
    ("length", lambda v: d.copy_loss_weights(1, v)), ("channels", lambda v: d.closure_width(v, 1, 9)),
    ("states", lambda v: d.copy_loss_floor(v, 1, 1, 9)), ("depth", lambda v: g.polynomial_degree(v, step=1)),
    ("step", lambda v: g.polynomial_degree(1, step=v)), ("lag", lambda v: g.polynomial_degree(1, lag=v)),
    ("degree", lambda v: g.layers_for_degree(v, 1)), ("lag", lambda v: g.layers_for_degree(1, v)),
    ("degree", lambda v: g.sine_floor(1.0, v)), ("power", lambda v: g.power_floor(v, 1)),
    ("count", lambda v: g.geometric_mean_moment(v)), ("length", lambda v: g.linear_floor("parity", v)),
    ("depth", lambda v: g.start_end_bound(v, 1, 1, 1)), ("half", lambda v: g.start_end_bound(1, 1, 1, v)),
    ("lags", lambda v: m.memory_curve([0.5], v)), ("lags", lambda v: m.top_memory_curve(0.5, 0.5, v)),
    ("units", lambda v: m.delay_line_fisher(v)), ("width", lambda v: m.filter_obstacle([1], [1], 1, v)),
    ("depth", lambda v: p.parameter_count("rnn", v, 1, 1, 1)),
    ("biases", lambda v: p.parameter_count("rnn", 1, 1, 1, 1, biases=v)),
    ("channels", lambda v: p.plan_copy(v, 1)), ("delay", lambda v: p.plan_copy(1, v)),
]
for name, call in calls:
    for value in (-1, 1.5, math.nan, "2", -(10**30)):
        try:
            call(value)
        except ValueError as refusal:
            if name not in str(refusal) or "got" not in str(refusal) or "give" not in str(refusal):
                print(name, repr(value), "told", refusal)
        except Exception as crash:
            print(name, repr(value), type(crash).__name__, crash)
        else:
            print(name, repr(value), "was taken")
"""


def test_sizes_that_are_no_whole_numbers_are_refused_by_name():
    """In a process of its own, where annotations are not checked."""
    run = subprocess.run([sys.executable, "-c", BAD], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == ""


def test_delays_not_below_the_length_are_refused_with_the_length_they_need():
    g = np.zeros((5, 1, 1))
    for ask in (
        lambda: law.copy_loss_weights(5, 5),
        lambda: law.population_copy_loss(g, 5, 5),
        lambda: law.closure_width(1, 5, 5),
        lambda: law.copy_loss_floor(1, 1, 5, 5),
    ):
        with pytest.raises(ValueError, match=r"delay=5.*length=5.*at least 6"):
            ask()
    with pytest.raises(ValueError, match="delay"):
        copy_block_rank(copying.copy_network([2], 1, 1), 5, 5)


def test_losses_of_shapes_that_do_not_fit_are_refused():
    g = np.zeros((5, 2, 2))
    for bad, length in [(g, 6), (np.zeros((5, 2, 3)), 5), (np.zeros((5, 3, 2)), 5)]:
        with pytest.raises(ValueError, match="square Markov parameters, got the shape"):
            law.population_copy_loss(bad, 2, length)
    with pytest.raises(ValueError, match="nan"):
        law.population_copy_loss(g + np.nan, 2, 5)
    with pytest.raises(ValueError, match="mean_outputs"):
        law.population_copy_loss(g, 2, 5, np.zeros((4, 2)))


def test_plans_refuse_what_they_cannot_answer():
    for arguments, told in [
        (dict(), "delay=None, parameters=None"),
        (dict(delay=1, parameters=9), "delay=1, parameters=9"),
        (dict(parameters=0), "above 0"),
        (dict(parameters=math.nan), "above 0"),
        (dict(parameters=math.inf), "budget of inf"),
        (dict(parameters=9, cost=lambda L, n: 1), "pays for"),
        (dict(delay=1, family="birnn"), "copies nothing"),
        (dict(delay=1, family="s4"), "there is rnn"),
        (dict(delay=1, cost="cheap"), "there is dense, effective"),
        (dict(delay=1, cost="effective", biases=1), "biases=1"),
        (dict(delay=1, family="cprnn"), "1 ranks"),
        (dict(delay=1, family="lstm", biases=2), "its own biases"),
    ]:
        with pytest.raises(ValueError, match=told):
            plan_copy(2, **arguments)


def test_a_plan_with_a_cost_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="nan"):
        plan_copy(5, 8, cost=lambda depth, width: math.nan)


def test_degrees_refuse_questions_without_meaning():
    for arguments, told in [
        (dict(), "give one"),
        (dict(step=1, lag=1), "give one"),
        (dict(step=2, cell="cprnn"), "there is affine"),
        (dict(step=2, start="warm"), "there is zero, nonzero"),
        (dict(step=2, activation_degree=2), "affine cells.*cell='linear'"),
    ]:
        with pytest.raises(ValueError, match=told):
            polynomial_degree(3, **arguments)
    with pytest.raises(ValueError, match="width of at least 3"):
        law.effective_dimension(2, 2, 1, 3)


def test_a_plan_is_a_plain_value():
    assert plan_copy(2, 3) == CopyPlan(2, 3, 2, 5, 95, 3, 8, 96, True)
