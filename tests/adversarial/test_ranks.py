"""Hostile use of start-end ranks: exact rationals by a slow way of our own, traps, symmetries and bad input.

The truth is made here: sequences run one by one in Python's integers and fractions by the recurrence as it is
written, and ranks over the rationals by FLINT. Matrices over all inputs of a grid are the whole truth; over continuous
inputs the sequences are random integers, more of them than the rank can be.
"""

import json
import math
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import combinations, pairwise, permutations, product
from pathlib import Path

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hitherto
from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, FeatureFunction, Powers, Templates
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, Untied
from hitherto.core.model import Model, build
from hitherto.core.quantity import Estimate
from hitherto.measures import separation_rank
from hitherto.measures.separation_rank import start_end_rank
from hitherto.theory import start_end as theory
from hitherto.theory.start_end import generic_rank

pytestmark = pytest.mark.slow  # four minutes; tests/measures/test_separation_rank.py has a case of each kind

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
FAR = 1000  # continuous inputs are integers up to this size
PRIMES = (2, 3, 5, 7, 65537, 8388593, 16777213, 33554393, 536870909, 998244353, 10**9 + 7, 2**31 - 1, 2**61 - 1)
MANY_PRIMES = math.prod(PRIMES)
REFUSED = (ValueError, TypeError)  # the run-time check of annotations gives a TypeError before the library is asked
few = settings(deadline=None, max_examples=5, suppress_health_check=list(HealthCheck))


# ---------------------------------------------------------------- the slow evaluation


def exact(array) -> np.ndarray:
    """The same numbers as Python's integers and fractions."""
    # a list of large integers would become an array of floats
    array = np.array(array, object) if isinstance(array, list) else np.asarray(array)
    numbers = [v if isinstance(v, int | Fraction) else Fraction(v) for v in array.ravel().tolist()]
    held = np.empty(len(numbers), object)
    held[:] = numbers
    return held.reshape(array.shape)


def rank(matrix: np.ndarray) -> int:
    """Rank over the rationals; rows are first multiplied by their common denominator."""
    rows = [[v * math.lcm(*(w.denominator for w in row)) for v in row] for row in matrix.tolist()]
    return flint.fmpz_mat([[int(v) for v in row] for row in rows]).rank()


def circuit(layers):
    """(step, first state) of a stack: h[t] = (weight_hh h[t-1]) * (weight_ih x[t]), no first factor at t = 1."""
    layers = [{name: exact(w) for name, w in layer.items()} for layer in layers]

    def step(state, x):
        after = []
        for w, h in zip(layers, state, strict=True):
            x = (1 if h is None else w["weight_hh"] @ h) * (w["weight_ih"] @ x)
            after.append(x)
        return after, layers[-1]["readout"] @ x if "readout" in layers[-1] else x

    return step, [layer.get("initial_h") for layer in layers]


def last_output(cell, sequence):
    step, state = cell
    for x in sequence:
        state, y = step(state, x)
    return y


def table(cell, starts, ends, times=None) -> np.ndarray:
    """y at the end for every start and every end, (starts, ends, output); the starts stand at the 1-based `times`."""
    length = len(starts[0]) + len(ends[0])
    times = range(1, len(starts[0]) + 1) if times is None else times
    own = [t in set(times) for t in range(1, length + 1)]

    def merged(start, end):
        start, end = iter(start), iter(end)
        return [next(start if is_own else end) for is_own in own]

    return np.array([[last_output(cell, merged(a, b)) for b in ends] for a in starts], object)


def grid(templates, steps):
    """Every sequence of so many steps over the templates."""
    return [[templates[i] for i in word] for word in product(range(len(templates)), repeat=steps)]


def far(count, steps, input_size, seed=0):
    """Random integer sequences."""
    drawn = np.random.default_rng(seed).integers(-FAR, FAR + 1, (count, steps, input_size))
    return [list(exact(sequence)) for sequence in drawn]


def grid_table(cell, start, end, templates, times=None):
    templates = list(exact(templates))
    return table(cell, grid(templates, start), grid(templates, end), times)


def far_table(cell, start, end, input_size, count, times=None):
    return table(cell, far(count, start, input_size, 1), far(count, end, input_size, 2), times)


def each(outputs):
    """The rank of each output."""
    return [rank(outputs[:, :, c]) for c in range(outputs.shape[2])]


def joint(outputs):
    """The rank with columns (end, output)."""
    return rank(outputs.reshape(len(outputs), -1))


def multichoose(n, k):
    return math.comb(n + k - 1, k) if n else int(k == 0)


def degree(depth, steps_to_end):
    return multichoose(steps_to_end, depth - 1)


def site_counts(depth, m, steps, templates=None):
    counts = [multichoose(m, degree(depth, k)) for k in steps]
    return math.prod(counts if templates is None else [min(templates, c) for c in counts])


def product_bounds(widths, input_size, start, end, templates=None):
    """A_start, A_end and B of the specification."""
    depth = len(widths)
    m = min(input_size, widths[0], templates or input_size)
    early, late = range(end + 1, start + end + 1), range(1, end + 1)
    states = [multichoose(w, multichoose(end, depth - layer)) for layer, w in enumerate(widths, 1)]
    return site_counts(depth, m, early, templates), site_counts(depth, m, late, templates), math.prod(states)


def pairs_with_disjoint_support(width, a, b):
    """N(a, b) = sum over j of C(R, j) C(a - 1, j - 1) mc(R - j, b)."""
    return sum(math.comb(width, j) * math.comb(a - 1, j - 1) * multichoose(width - j, b) for j in range(1, width))


def refined_states(depth, width, input_size, end):
    """B' of the specification for equal widths, B where there is none."""
    m = min(input_size, width)
    if depth == 1:
        return width
    if depth == 2:
        return width * (multichoose(width, end) - multichoose(width - m, end))
    crude = product_bounds((width,) * depth, input_size, 1, end)[2]
    if depth > 3 or input_size < width:
        return crude
    return crude - width * pairs_with_disjoint_support(width, multichoose(end, 2), end)


# ---------------------------------------------------------------- models and what is asked of them


def drawn(widths, input_size, outputs=1, begun=False, seed=0, entries=9):
    """Integer weights of a stack, zeros among them; `initial_h` is positive."""
    draw = np.random.default_rng(seed)
    layers = [
        {"weight_ih": draw.integers(-entries, entries + 1, (width, below))}
        | {"weight_hh": draw.integers(-entries, entries + 1, (width, width))}
        | ({"initial_h": draw.integers(1, entries + 1, width)} if begun else {})
        for below, width in pairwise((input_size, *widths))
    ]
    if outputs is not None:
        layers[-1]["readout"] = draw.integers(1, entries + 1, (outputs, widths[-1]))
    return tuple(layers)


def typical(widths, input_size, begun=False, seed=0):
    """Weights without zeros or other accidents: positive integers of four digits."""
    layers = drawn(widths, input_size, 1, begun, seed, entries=9999)
    return tuple({name: np.abs(w) + 1 for name, w in layer.items()} for layer in layers)


def described(layers):
    """The architecture of weights of a stack."""
    sizes = [(np.shape(w["weight_ih"]), len(w["readout"]) if "readout" in w else None) for w in layers]
    made = [ArithmeticCircuit(below, width, out) for (width, below), out in sizes]
    return made[0] if len(made) == 1 else Deep(tuple(made))


def modelled(layers, cast=lambda w: np.asarray(w, float)):
    """A model with every weight passed through `cast`."""
    layers = tuple({name: cast(w) for name, w in layer.items()} for layer in layers)
    return Model(described(layers), layers[0] if len(layers) == 1 else layers)


def stack(depth, width, input_size, outputs=1):
    """A circuit without weights, widths equal or one a layer."""
    widths = width if isinstance(width, tuple) else (width,) * depth
    sizes = list(pairwise((input_size, *widths)))
    layers = [ArithmeticCircuit(m, w, outputs if k == depth else None) for k, (m, w) in enumerate(sizes, 1)]
    return layers[0] if depth == 1 else Deep(tuple(layers))


def decided(estimate: Estimate):
    """The value, for an estimate that claims to know it."""
    assert not estimate.statistics["status"].startswith(">="), estimate
    assert not estimate.cannot_tell
    return np.asarray(estimate.value).tolist()


def measured(model, start, end, *args, **kwargs):
    return decided(start_end_rank(model, start, end, *args, **kwargs))


def partition(model, length, times, **kwargs):
    return decided(separation_rank.partition_rank(model, length, times, **kwargs))


def halves(w):
    return np.asarray(w, float) / 2


def sevenths(w):
    return exact([Fraction(int(v), 7) for v in np.ravel(w)]).reshape(np.shape(w))


CASTS = {
    "float64": lambda w: np.asarray(w, np.float64),
    "float32": lambda w: np.asarray(w, np.float32),
    "float16": lambda w: np.asarray(w, np.float16),
    "jax": lambda w: jnp.asarray(w, jnp.float32),
    "halves": halves,
    "int64": np.asarray,
    "int8": lambda w: np.asarray(w, np.int8),
    "Python integers": exact,
    "sevenths": sevenths,
}


class TestTheSlowEvaluation:
    """Our own truth, held to the exact vectors before anything is held to it."""

    @staticmethod
    def layers(weights):
        found = [{"weight_ih": i, "weight_hh": h} for i, h in zip(weights["WI"], weights["WH"], strict=True)]
        found = [w | ({"initial_h": weights["h0"][k]} if "h0" in weights else {}) for k, w in enumerate(found)]
        found[-1]["readout"] = [weights["WO"]]
        return found

    @pytest.mark.parametrize(
        ("weights", "case"),
        [
            ("explicit_net_A", "explicit_net_A"),
            ("explicit_net_A", "explicit_net_B_continuous_inputs"),
            ("explicit_net_C_L1_with_h0", "explicit_net_C_L1_with_h0"),
        ],
    )
    def test_explicit_nets(self, weights, case):
        cell, case = circuit(self.layers(TRUTH[weights]["weights"])), TRUTH[case]
        outputs = table(cell, *([list(exact(s)) for s in case[side]] for side in ("starts", "ends")))
        assert outputs[:, :, 0].tolist() == [[int(v) for v in row] for row in case["outputs"]]
        assert joint(outputs) == case["rank_over_Q"]

    @pytest.mark.parametrize("row", [r for r in TRUTH["generic_ranks"] if r["rank"] <= 18], ids=str)
    def test_generic_ranks(self, row):
        widths, m, s, e = (row["R"],) * row["L"], row["M"], row["S"], row["E"]
        cell = circuit(typical(widths, m))
        if row["version"] == "continuous":
            assert joint(far_table(cell, s, e, m, row["rank"] + 2)) == row["rank"]
        elif row["Z"] ** max(s, e) <= 36:
            templates = np.eye(m, dtype=int) if row["Z"] == m else far(1, row["Z"], m)[0]
            assert joint(grid_table(cell, s, e, templates)) == row["rank"]

    def test_the_bounds(self):
        for row in TRUTH["generic_ranks"]:
            widths = (row["R"],) * row["L"]
            counts = product_bounds(widths, row["M"], row["S"], row["E"], row["Z"])
            assert list(counts) == [row["A_start"], row["A_end"], row["B"]]
            refined = refined_states(row["L"], row["R"], row["M"], row["E"])
            assert refined == (row["B"] if row["B_refined"] is None else row["B_refined"])


# ---------------------------------------------------------------- measured: given weights


class TestGivenWeights:
    shapes = pytest.mark.parametrize(
        ("widths", "input_size", "start", "end"),
        [
            ((3,), 2, 2, 2),
            ((2,), 3, 2, 2),
            ((4,), 2, 1, 3),
            ((1,), 2, 2, 2),
            ((2, 2), 2, 3, 3),
            ((3, 2), 2, 2, 2),
            ((1, 3), 3, 2, 1),
            ((2, 1), 2, 1, 1),
            ((2, 3, 2), 2, 2, 2),
            ((2, 1, 3), 2, 2, 2),
            ((3, 3), 1, 2, 2),
        ],
        ids=str,
    )

    @shapes
    @pytest.mark.parametrize("begun", [False, True], ids=["ones", "initial_h"])
    def test_one_hot(self, widths, input_size, start, end, begun):
        layers = drawn(widths, input_size, 2, begun)
        outputs = grid_table(circuit(layers), start, end, np.eye(input_size, dtype=int))
        assert measured(modelled(layers), start, end, inputs="one-hot") == each(outputs)

    @shapes
    def test_continuous(self, widths, input_size, start, end):
        layers = drawn(widths, input_size)
        count = min(product_bounds(widths, input_size, start, end)) + 2
        truth = joint(far_table(circuit(layers), start, end, input_size, count))
        assert measured(modelled(layers), start, end) == truth

    @pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
    @pytest.mark.parametrize("begun", [False, True], ids=["ones", "initial_h"])
    def test_every_kind_of_number(self, cast, begun):
        layers = drawn((2, 3), 2, 1, begun, seed=3)
        kept = [{name: cast(w) for name, w in layer.items()} for layer in layers]
        truth = joint(grid_table(circuit(kept), 3, 2, np.eye(2, dtype=int)))
        assert truth > 1
        assert measured(modelled(layers, cast), 3, 2, inputs="one-hot") == truth

    def test_kinds_of_numbers_may_be_mixed(self):
        layers = drawn((2, 2), 2, seed=4)
        fractions = {"weight_hh": sevenths(layers[0]["weight_hh"])}
        mixed = (layers[0] | fractions, layers[1] | {"readout": np.array([[0.5, -1.25]])})
        truth = joint(grid_table(circuit(mixed), 2, 2, np.eye(2, dtype=int)))
        assert measured(Model(described(mixed), mixed), 2, 2, inputs="one-hot") == truth

    def test_every_output_one_and_joint(self):
        layers = drawn((2, 2), 3, 3, seed=5)
        layers[-1]["readout"][1] = 0
        model, outputs = modelled(layers), grid_table(circuit(layers), 3, 1, np.eye(3, dtype=int))
        estimate = start_end_rank(model, 3, 1, inputs="one-hot")
        assert estimate.quantity.name == "start_end_ranks"
        assert list(estimate.axes["output"]) == [0, 1, 2]
        assert decided(estimate) == each(outputs)
        assert each(outputs)[1] == 0
        for c, truth in enumerate(each(outputs)):
            one = start_end_rank(model, 3, 1, inputs="one-hot", output=c)
            assert (one.quantity.name, decided(one)) == ("start_end_rank", truth)
        assert measured(model, 3, 1, inputs="one-hot", output="joint") == joint(outputs) > max(each(outputs))

    def test_joint_rank_of_continuous_inputs(self):
        layers = drawn((2, 2), 2, 2, seed=6)
        outputs = far_table(circuit(layers), 3, 2, 2, 16)
        assert measured(modelled(layers), 3, 2, output="joint") == joint(outputs)
        assert measured(modelled(layers), 3, 2) == each(outputs)

    def test_without_readout_every_unit_is_an_output(self):
        layers = drawn((2, 3), 2, None, seed=7)
        outputs = grid_table(circuit(layers), 2, 2, np.eye(2, dtype=int))
        assert measured(modelled(layers), 2, 2, inputs="one-hot") == each(outputs)

    def test_one_output_is_a_python_integer(self):
        estimate = start_end_rank(modelled(drawn((2,), 2)), 2, 2)
        assert estimate.quantity.name == "start_end_rank"
        assert type(estimate.value) is int

    def test_a_stack_of_one_layer(self):
        layers = drawn((3,), 2, seed=8)
        deep = Model(Deep((described(layers),)), layers)
        assert measured(deep, 2, 2, inputs="one-hot") == measured(modelled(layers), 2, 2, inputs="one-hot")

    def test_initial_h_of_some_layers_only(self):
        for begun in (0, 1):
            layers = drawn((2, 3), 2, seed=9)
            layers[begun]["initial_h"] = np.arange(1, 3 + begun)
            truth = joint(grid_table(circuit(layers), 2, 3, np.eye(2, dtype=int)))
            assert measured(modelled(layers), 2, 3, inputs="one-hot") == truth

    @pytest.mark.parametrize("kind", [np.int64, np.float64, object])
    @pytest.mark.parametrize(
        "templates",
        [
            [[1, 2], [3, -1]],
            [[1, 0], [0, 1], [1, 1], [2, -3]],
            [[1, 2], [2, 4], [-1, -2]],
            [[1, 2], [1, 2], [0, 0]],
            [[5, 7]],
            [[0, 0]],
            [[MANY_PRIMES, 1], [1, 1], [0, 1]],
        ],
        ids=["two", "four", "on a line", "repeated", "one", "zero", "many primes"],
    )
    def test_given_templates(self, templates, kind):
        beyond = max(map(max, templates)) > 2**62
        templates = exact(templates) if kind is object or beyond else np.array(templates, kind)
        layers = drawn((2, 2), 2, seed=10)
        truth = joint(grid_table(circuit(layers), 2, 2, templates))
        assert measured(modelled(layers), 2, 2, inputs=templates) == truth

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    def test_random_templates(self, count):
        layers = drawn((2, 2), 2, seed=11)
        truth = joint(grid_table(circuit(layers), 2, 2, far(1, count, 2, 5)[0]))
        assert measured(modelled(layers), 2, 2, inputs=count) == truth

    def test_random_weights_need_no_model(self):
        architecture = stack(2, 2, 2)
        zeros = jax.tree.map(np.zeros_like, build(architecture).weights)
        for asked in (architecture, Model(architecture, zeros)):
            assert measured(asked, 3, 3, weights="random") == 8
        assert measured(architecture, 3, 3) == 8

    @pytest.mark.parametrize("end", [1, 2, 3, 4, 6, 8])
    def test_decimal_weights_read_as_floats(self, end):
        case = TRUTH["float_weight_circuit_exact"]
        layers = TestTheSlowEvaluation.layers(case["weights"])
        known = dict(zip(case["E"], case["rank_continuous"], strict=True))
        assert measured(modelled(layers), case["S"], end) == known[end]

    def test_fresh_float32_weights(self):
        model = build(stack(2, 2, 2), 3)
        truth = joint(grid_table(circuit(model.weights), 3, 3, np.eye(2, dtype=int)))
        assert measured(model, 3, 3, inputs="one-hot") == truth == 8


class TestExactness:
    """Numbers between which floating point, small primes or prejudice would not distinguish."""

    @staticmethod
    def one_layer(recurrent, cast=exact, **others):
        layer = {"weight_ih": [[1, 2], [3, -1]], "weight_hh": recurrent, "readout": [[1, 1]]} | others
        return ({name: cast(w) for name, w in layer.items()},)

    @pytest.mark.parametrize(
        ("recurrent", "cast"),
        [
            ([[1, 1], [1, 1 + MANY_PRIMES]], exact),
            ([[1, 0], [0, MANY_PRIMES]], exact),
            ([[MANY_PRIMES, 0], [0, MANY_PRIMES]], exact),
            ([[Fraction(1, MANY_PRIMES), 1], [1, 1]], exact),
            ([[2**60, 2**60], [2**60, 2**60 + 1]], np.asarray),
            ([[1, 1], [1, 1 + 2**-40]], lambda w: np.asarray(w, float)),
            ([[1, 1], [1, 1 + 2**-52]], lambda w: np.asarray(w, float)),
            ([[1e300, 1e-300], [1e-300, 1e-300]], lambda w: np.asarray(w, float)),
            ([[5e-324, 0], [0, 1.7e308]], lambda w: np.asarray(w, float)),
        ],
        ids=["1 + P", "diag(1, P)", "P", "1/P", "2^60 + 1", "1 + 2^-40", "1 + 2^-52", "1e300", "subnormal"],
    )
    def test_a_recurrence_of_rank_two(self, recurrent, cast):
        layers = self.one_layer(recurrent, cast)
        assert joint(grid_table(circuit(layers), 2, 2, np.eye(2, dtype=int))) == 2
        for inputs in ("continuous", "one-hot", 3):
            assert measured(Model(described(layers), layers[0]), 2, 2, inputs=inputs) == 2

    def test_a_recurrence_of_rank_one_next_to_them(self):
        layers = self.one_layer([[0.1, 0.2], [0.2, 0.4]], lambda w: np.asarray(w, float))
        assert measured(Model(described(layers), layers[0]), 3, 3) == 1

    def test_decimals_that_are_no_multiples_in_binary(self):
        # 3 * 0.1 is not 0.3 in binary: in exact arithmetic the rows are independent, in floats they look the same
        layers = self.one_layer([[0.1, 1.0], [0.3, 3.0]], lambda w: np.asarray(w, float))
        assert measured(Model(described(layers), layers[0]), 3, 3) == 2

    @pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "readout", "initial_h"])
    def test_every_weight_a_multiple_of_many_primes(self, name):
        layers = typical((2, 2), 2, begun=True)
        scaled = [{k: exact(w) * (MANY_PRIMES if k == name else 1) for k, w in layer.items()} for layer in layers]
        assert measured(modelled(scaled, exact), 3, 3, inputs="one-hot") == 8
        assert measured(modelled(scaled, exact), 3, 3) == 8

    @pytest.mark.parametrize("denominator", [False, True])
    def test_weights_made_of_the_primes_of_the_last_run(self, denominator):
        # whoever chooses primes must notice those that divide a weight, whatever the seed
        plain = self.one_layer([[1, 1], [1, 1]])
        used = start_end_rank(Model(described(plain), plain[0]), 2, 2).statistics["primes"]
        p = math.prod(int(q) for q in used)
        assert p > 1
        hostile = self.one_layer([[1, 1], [1, Fraction(1, p)]] if denominator else [[1, 0], [0, p]])
        assert measured(Model(described(hostile), hostile[0]), 2, 2) == 2

    def test_floats_whose_outputs_overflow(self):
        layers = [{k: np.asarray(w, float) * 2.0**500 for k, w in layer.items()} for layer in typical((2, 2), 2)]
        truth = joint(grid_table(circuit(layers), 3, 3, np.eye(2, dtype=int)))
        assert measured(Model(described(layers), tuple(layers)), 3, 3, inputs="one-hot") == truth == 8

    def test_tiny_primes_are_not_enough(self):
        # modulo 2 or 3 these weights vanish altogether
        layers = [{k: 6 * w for k, w in layer.items()} for layer in typical((2, 2), 2)]
        assert measured(modelled(layers, np.asarray), 3, 3) == 8


class TestTraps:
    def test_zero_on_the_grid_yet_not_zero(self):
        swap = np.array([[0, 1], [1, 0]])
        layers = (
            {"weight_ih": np.eye(2, dtype=int), "weight_hh": swap},
            {"weight_ih": np.eye(2, dtype=int), "weight_hh": np.eye(2, dtype=int), "readout": np.ones((1, 2), int)},
        )
        # y = x1[0] x1[1] (x2[0] + x2[1])
        model = modelled(layers)
        on_grid = start_end_rank(model, 1, 1, inputs="one-hot")
        assert (on_grid.value, on_grid.statistics["status"]) == (0, "zero function")
        assert measured(model, 1, 1) == measured(model, 1, 1, inputs=3) == 1
        assert measured(model, 1, 1, inputs=np.array([[1, 0], [0, 1], [1, 1]])) == 1

    @pytest.mark.parametrize("layer", [0, 1])
    @pytest.mark.parametrize("inputs", ["continuous", "one-hot", 3])
    def test_an_initial_h_of_zeros_warns_and_is_the_zero_function(self, layer, inputs):
        layers = drawn((2, 2), 2, begun=True)
        layers[layer]["initial_h"][:] = 0
        with pytest.warns(Warning, match=r"initial_h|zero"):
            estimate = start_end_rank(modelled(layers), 2, 2, inputs=inputs)
        assert (estimate.value, estimate.statistics["status"]) == (0, "zero function")
        assert not any(isinstance(v, float) and math.isnan(v) for v in estimate.to_dict().values())

    @pytest.mark.parametrize("row", [r for r in TRUTH["structured_weights"] if r["structure"] == "h0_zero"], ids=str)
    def test_an_initial_h_of_zeros_in_every_layer(self, row):
        layers = drawn((row["R"],) * row["L"], row["M"], begun=True)
        for layer in layers:
            layer["initial_h"][:] = 0
        with pytest.warns(Warning, match=r"initial_h|zero"):
            assert start_end_rank(modelled(layers), row["S"], row["E"]).value == 0

    @pytest.mark.filterwarnings("ignore")
    def test_an_initial_h_in_the_kernel_of_the_recurrence(self):
        layers = drawn((2, 2), 2, begun=True)
        layers[1]["weight_hh"] = np.array([[1, -1], [2, -2]])
        layers[1]["initial_h"] = np.array([3, 3])
        estimate = start_end_rank(modelled(layers), 2, 2)
        assert (estimate.value, estimate.statistics["status"]) == (0, "zero function")

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "readout"])
    def test_weights_of_zeros(self, name):
        layers = drawn((2, 2), 2)
        layers[-1][name][:] = 0
        estimate = start_end_rank(modelled(layers), 2, 2)
        assert (estimate.value, estimate.statistics["status"]) == (0, "zero function")

    @pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "readout"])
    @pytest.mark.parametrize("depth", [1, 2])
    def test_zero_columns(self, name, depth):
        layers = drawn((3,) * depth, 3, seed=15)
        layers[-1][name][:, 0] = 0
        model, cell = modelled(layers), circuit(layers)
        assert measured(model, 2, 2, inputs="one-hot") == joint(grid_table(cell, 2, 2, np.eye(3, dtype=int)))
        assert measured(model, 2, 2) == joint(far_table(cell, 2, 2, 3, 20))

    def test_an_input_that_is_never_read(self):
        layers = drawn((3, 3), 3, seed=16)
        layers[0]["weight_ih"][:, 1] = 0
        narrow = ({**layers[0], "weight_ih": layers[0]["weight_ih"][:, [0, 2]]}, layers[1])
        assert measured(modelled(layers), 3, 2) == measured(modelled(narrow), 3, 2)

    def test_repeated_layers(self):
        layers = [w for _ in range(3) for w in drawn((2,), 2, None, seed=17)]
        layers[-1] = layers[-1] | {"readout": np.array([[1, 2]])}
        cell = circuit(layers)
        assert measured(modelled(layers), 2, 2, inputs="one-hot") == joint(grid_table(cell, 2, 2, np.eye(2, dtype=int)))
        assert measured(modelled(layers), 2, 2) == joint(far_table(cell, 2, 2, 2, 12))

    def test_repeated_units(self):
        layers = drawn((3,), 2, seed=18)
        layers[0]["weight_ih"][:] = layers[0]["weight_ih"][0]
        layers[0]["weight_hh"][:] = layers[0]["weight_hh"][0]
        assert measured(modelled(layers), 3, 3) == 1

    @pytest.mark.parametrize("row", [r for r in TRUTH["structured_weights"] if "h0" not in r["structure"]], ids=str)
    def test_structured_recurrences(self, row):
        layers, draw = typical((row["R"],) * row["L"], row["M"], seed=19), np.random.default_rng(20)
        n = row["R"]
        made = {
            "WH_diagonal_random": lambda: np.diag(draw.integers(1, 100, n)),
            "WH_identity": lambda: np.eye(n, dtype=int),
            "WH_rank_one": lambda: np.outer(draw.integers(1, 100, n), draw.integers(1, 100, n)),
            "WH_cyclic_permutation": lambda: np.roll(np.eye(n, dtype=int), 1, 0),
        }
        for layer in layers:
            layer["weight_hh"] = made[row["structure"]]()
        model = modelled(layers)
        assert measured(model, row["S"], row["E"]) == row["rank_continuous"]
        assert measured(model, row["S"], row["E"], inputs="one-hot") == row["rank_onehot"]

    @pytest.mark.parametrize("row", TRUTH["widths_and_rank_deficient_WH"], ids=str)
    def test_widths_and_recurrences_of_low_rank(self, row):
        layers, draw = typical(row["widths"], row["M"], seed=21), np.random.default_rng(22)
        for layer, width, r in zip(layers, row["widths"], row["rank_WH"], strict=True):
            layer["weight_hh"] = draw.integers(-99, 100, (width, r)) @ draw.integers(-99, 100, (r, width))
        assert measured(modelled(layers), row["S"], row["E"]) == row["rank_continuous"]

    @pytest.mark.parametrize(
        ("architecture", "start", "end", "inputs", "known"),
        [
            (stack(1, 3, 2), 60, 60, "continuous", 3),
            (stack(1, 3, 2), 70, 70, "one-hot", 3),
            (stack(1, 3, 5), 1, 30, "one-hot", 3),
            (stack(1, 3, 2), 30, 30, 7, 3),
            (stack(2, 2, 2), 4, 20, "continuous", 42),
            (stack(2, 2, 3), 12, 12, "one-hot", 26),
            (stack(2, 2, 2), 30, 3, "one-hot", 8),
            (stack(2, 2, 2), 1, 1, 40, 2),
            (stack(2, 3, 3), 1, 4, "continuous", 21),
            (stack(2, 3, 3), 4, 1, "continuous", 3),
            (stack(2, (5, 1), 2), 4, 4, "continuous", 54),
            (stack(2, (1, 4), 3), 3, 3, "continuous", 1),
            (stack(2, 2, 5), 3, 3, "one-hot", 8),
            (stack(3, 5, 6), 2, 2, "one-hot", 30),
            (stack(4, 3, 4), 2, 2, "one-hot", 12),
            (stack(2, 3, 3), 3, 3, 2, 8),
            (stack(2, 3, 2), 2, 4, "continuous", 39),
            (stack(3, 2, 2), 2, 3, "continuous", 44),
            (stack(3, 2, 2), 2, 3, 6, 36),
            (stack(3, 2, 2), 2, 3, 7, 44),
            (stack(1, 1, 1), 1, 1, "one-hot", 1),
        ],
        ids=str,
    )
    def test_random_weights(self, architecture, start, end, inputs, known):
        # parts of a grid decide no rank, they bound it from below; the value stands nevertheless
        assert start_end_rank(architecture, start, end, inputs=inputs).value == known

    def test_profiles_of_the_cut(self):
        for row in TRUTH["cut_profiles"][:3]:
            architecture, length = stack(row["L"], row["R"], row["M"]), row["T"]
            for name, inputs in (("rank_continuous", "continuous"), ("rank_onehot", "one-hot")):
                found = [measured(architecture, s, length - s, inputs=inputs) for s in row["cuts"]]
                assert found == row[name]


class TestVerdicts:
    def test_a_bound_that_is_reached_certifies(self):
        bound = generic_rank(2, 2, 2, 3, 3).upper_bound
        for asked in (stack(2, 2, 2), modelled(drawn((2, 2), 2))):
            estimate = start_end_rank(asked, 3, 3, bound=bound)
            assert (estimate.value, estimate.statistics["status"]) == (8, "certified")
            assert estimate.statistics["error_probability"] == 0
            assert estimate.statistics["bound"] == 8

    def test_a_loose_bound_does_not(self):
        estimate = start_end_rank(stack(2, 2, 2), 3, 3, bound=9)
        assert decided(estimate) == 8
        assert "certified" not in estimate.statistics["status"]
        assert 0 < estimate.statistics["error_probability"] <= 1e-6

    @pytest.mark.parametrize("inputs", ["continuous", "one-hot", 3])
    @pytest.mark.parametrize(("depth", "bound"), [(1, 1), (1, 2), (2, 1), (2, 7)])
    def test_a_bound_below_the_rank_is_an_error(self, inputs, depth, bound):
        asked = stack(1, 3, 2) if depth == 1 else stack(2, 2, 2)
        with pytest.raises(ValueError, match="bound"):
            start_end_rank(asked, 3, 3, inputs=inputs, bound=bound)

    def test_a_bound_below_the_rank_of_a_sampled_grid_is_an_error(self):
        with pytest.raises(ValueError, match="bound"):
            start_end_rank(stack(2, 2, 3), 12, 12, inputs="one-hot", bound=25)

    def test_a_bound_below_the_joint_rank_is_an_error(self):
        with pytest.raises(ValueError, match="bound"):
            start_end_rank(stack(1, 3, 3, outputs=3), 2, 1, output="joint", bound=2)

    def test_a_bound_that_holds_for_some_outputs_only(self):
        layers = drawn((2, 2), 2, 2)
        layers[-1]["readout"][:] = [[0, 0], [1, 2]]
        with pytest.raises(ValueError, match="bound"):
            start_end_rank(modelled(layers), 3, 3, bound=7)

    @pytest.mark.parametrize("asked", [stack(2, 3, 2), modelled(typical((3, 3), 2))], ids=["random", "given"])
    def test_too_few_samples_say_at_least(self, asked):
        estimate = start_end_rank(asked, 4, 4, most_samples=10)
        assert estimate.value <= 10
        assert estimate.statistics["status"] == f">= {estimate.value}"
        assert max(estimate.statistics["samples"]) <= 10
        assert estimate.cannot_tell

    def test_too_few_samples_of_a_grid_say_at_least(self):
        estimate = start_end_rank(stack(2, 2, 3), 12, 12, inputs="one-hot", most_samples=20)
        assert estimate.value <= 20
        assert estimate.statistics["status"] == f">= {estimate.value}"

    def test_a_large_bound_does_not_certify_too_few_samples(self):
        estimate = start_end_rank(stack(2, 3, 2), 4, 4, bound=42, most_samples=10)
        assert estimate.statistics["status"].startswith(">=")

    @pytest.mark.parametrize("asked", [stack(2, 2, 3), modelled(typical((2, 2), 3))], ids=["random", "given"])
    def test_a_grid_beyond_the_budget_is_sampled(self, asked):
        estimate = start_end_rank(asked, 9, 12, inputs="one-hot", most_samples=300)
        assert (estimate.value, estimate.statistics["status"]) == (26, ">= 26")
        assert max(estimate.statistics["samples"]) <= 300

    def test_a_grid_of_astronomic_size_is_sampled(self):
        assert start_end_rank(stack(2, 2, 3), 70, 4, inputs="one-hot", most_samples=100).value == 10
        assert start_end_rank(stack(2, 2, 3), 20, 4, inputs=50, most_samples=100).value == 10

    def test_what_the_statistics_hold(self):
        random_weights = stack(2, 2, 2)
        for asked in (random_weights, modelled(drawn((2, 2), 2))):
            told = start_end_rank(asked, 3, 3).statistics
            assert {"status", "error_probability", "primes", "samples", "degree", "bound"} <= set(told)
            assert len({int(p) for p in told["primes"]}) >= (1 if asked is random_weights else 2)
            assert all(flint.fmpz(int(p)).is_prime() for p in told["primes"])
            assert min(told["samples"]) > 8

    def test_the_degree_is_not_understated(self):
        # an understated degree would understate the probability of an error
        for depth in (1, 2, 3):
            asked, inputs = stack(depth, 2, 2), multichoose(5, depth)
            assert start_end_rank(asked, 3, 2).statistics["degree"] >= theory.total_degree(depth, 5)
            given_weights = modelled(drawn((2,) * depth, 2))
            assert start_end_rank(given_weights, 3, 2).statistics["degree"] >= inputs

    def test_seeds(self):
        layers = drawn((2, 3), 2, seed=23)
        first, again = (start_end_rank(modelled(layers), 3, 3, seed=5) for _ in range(2))
        assert first.value == again.value
        assert list(first.statistics["primes"]) == list(again.statistics["primes"])
        other = start_end_rank(modelled(layers), 3, 3, seed=6)
        assert other.value == first.value
        assert list(other.statistics["primes"]) != list(first.statistics["primes"])

    def test_nothing_is_left_switched_on(self):
        before = jax.config.jax_enable_x64
        start_end_rank(modelled(drawn((2,), 2)), 2, 2)
        assert jax.config.jax_enable_x64 == before
        assert jnp.ones(1).dtype == jnp.float32

    def test_the_weights_are_left_as_they_are(self):
        layers = drawn((2, 2), 2)
        model = modelled(layers, np.asarray)
        start_end_rank(model, 2, 2)
        for kept, layer in zip(model.weights, layers, strict=True):
            assert all(np.array_equal(kept[name], w) and kept[name].dtype == w.dtype for name, w in layer.items())

    def test_estimates_become_json(self):
        for estimate in (start_end_rank(stack(2, 2, 2), 2, 2), start_end_rank(stack(1, 2, 2, outputs=2), 2, 2)):
            assert json.loads(json.dumps(estimate.to_dict()))["quantity"] == estimate.quantity.name


# ---------------------------------------------------------------- measured: properties


@st.composite
def given_circuits(draw, entries=2, outputs=1, largest=3):
    """Integer weights of one or two layers, many of them zeros."""
    widths = draw(st.lists(st.integers(1, largest), min_size=1, max_size=2))
    return drawn(
        tuple(widths),
        draw(st.integers(1, largest)),
        outputs,
        draw(st.booleans()),
        draw(st.integers(0, 10**6)),
        entries,
    )


def input_size_of(layers):
    return np.shape(layers[0]["weight_ih"])[1]


def widths_of(layers):
    return tuple(len(layer["weight_ih"]) for layer in layers)


short = st.integers(1, 2)


@pytest.mark.filterwarnings("ignore")  # sparse draws may be the zero function, of which a warning may tell
class TestProperties:
    @few
    @given(given_circuits(outputs=2), st.integers(1, 3), st.integers(1, 3))
    def test_one_hot_is_the_rank_of_the_whole_grid(self, layers, start, end):
        outputs = grid_table(circuit(layers), start, end, np.eye(input_size_of(layers), dtype=int))
        assert measured(modelled(layers), start, end, inputs="one-hot") == each(outputs)
        assert measured(modelled(layers), start, end, inputs="one-hot", output="joint") == joint(outputs)

    @few
    @given(given_circuits(), short, short)
    def test_continuous_is_the_rank_over_many_integers(self, layers, start, end):
        m = input_size_of(layers)
        count = min(product_bounds(widths_of(layers), m, start, end)) + 2
        assert measured(modelled(layers), start, end) == joint(far_table(circuit(layers), start, end, m, count))

    @few
    @given(given_circuits(), short, st.integers(1, 3))
    def test_order_of_the_versions_and_the_product_bounds(self, layers, start, end):
        model, m = modelled(layers), input_size_of(layers)
        found = [measured(model, start, end, inputs=inputs) for inputs in ("one-hot", m, m + 1, "continuous")]
        assert found == sorted(found)
        assert found[-1] <= min(product_bounds(widths_of(layers), m, start, end))
        assert found[2] <= min(product_bounds(widths_of(layers), m, start, end, m + 1))
        assert found[0] <= min(product_bounds(widths_of(layers), m, start, end, m))

    @few
    @given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), short, short)
    def test_the_prediction_of_random_weights(self, depth, width, input_size, start, end):
        for inputs in ("one-hot", input_size + 1, "continuous"):
            predicted = generic_rank(depth, width, input_size, start, end, inputs)
            found = measured(stack(depth, width, input_size), start, end, inputs=inputs)
            assert found <= predicted.value <= predicted.upper_bound
            assert found == predicted.value or not predicted.exact

    @few
    @given(given_circuits(entries=5), short, short, st.integers(0, 10**6))
    def test_an_invertible_change_of_features(self, layers, start, end, seed):
        m, draw = input_size_of(layers), np.random.default_rng(seed)
        change = np.tril(draw.integers(-3, 4, (m, m)), -1) + np.diag(draw.integers(1, 4, m))
        changed = ({**layers[0], "weight_ih": layers[0]["weight_ih"] @ change @ np.triu(change.T)}, *layers[1:])
        assert measured(modelled(changed), start, end) == measured(modelled(layers), start, end)

    @few
    @given(given_circuits(outputs=3), st.permutations(range(3)), short, short)
    def test_permuted_outputs(self, layers, order, start, end):
        permuted = (*layers[:-1], {**layers[-1], "readout": layers[-1]["readout"][list(order)]})
        plain, other = (measured(modelled(w), start, end) for w in (layers, permuted))
        assert other == [plain[c] for c in order]
        together = [measured(modelled(w), start, end, output="joint") for w in (layers, permuted)]
        assert together[0] == together[1]
        assert max(plain) <= together[0] <= sum(plain)

    @few
    @given(given_circuits(outputs=2, entries=5), short, short)
    def test_mixed_outputs_have_the_same_joint_rank(self, layers, start, end):
        mixed = (*layers[:-1], {**layers[-1], "readout": np.array([[2, 1], [1, 1]]) @ layers[-1]["readout"]})
        plain, other = (measured(modelled(w), start, end, output="joint") for w in (layers, mixed))
        assert plain == other

    @few
    @given(given_circuits(), st.fractions().filter(bool), short, short)
    def test_scaled_weights(self, layers, scale, start, end):
        scaled = [{name: exact(w) * scale for name, w in layer.items()} for layer in layers]
        assert measured(modelled(scaled, exact), start, end) == measured(modelled(layers), start, end)

    @few
    @given(given_circuits(), st.integers(0, 10**6), short, short)
    def test_hidden_units_in_other_units_and_another_order(self, layers, seed, start, end):
        draw, below, turned = np.random.default_rng(seed), np.eye(input_size_of(layers), dtype=object), []
        for layer in layers:
            n = len(layer["weight_hh"])
            order, scale = draw.permutation(n), [Fraction(int(a), int(b)) for a, b in draw.integers(1, 9, (n, 2))]
            to = np.diag(exact(scale))[order]
            back = np.diag(exact([1 / v for v in scale]))[:, order]
            entry = exact(layer["weight_ih"]) @ below
            # h' = D P h, with (P a) * (P b) = P (a * b): the scale stays with one of the two factors
            new = {"weight_ih": to @ entry, "weight_hh": exact(layer["weight_hh"])[order] @ back}
            new |= {k: to @ exact(layer[k]) for k in ("initial_h",) if k in layer}
            new |= {k: exact(layer[k]) @ back for k in ("readout",) if k in layer}
            turned, below = [*turned, new], back
        for inputs in ("one-hot", "continuous"):
            ranks = [measured(modelled(w, exact), start, end, inputs=inputs) for w in (layers, turned)]
            assert ranks[0] == ranks[1]

    @few
    @given(given_circuits(), short, short)
    def test_an_added_unused_unit(self, layers, start, end):
        def grown(name, w, above):
            extra = [(0, 0) if name == "readout" else (0, 1)] + [(0, 1)] * (np.ndim(w) - 1)
            extra = extra if above or name != "weight_ih" else [extra[0], (0, 0)]
            return np.pad(w, extra)

        wider = [{name: grown(name, w, k) for name, w in layer.items()} for k, layer in enumerate(layers)]
        for k, layer in enumerate(wider):
            layer["weight_ih"][-1] = 1 + k  # it hears, and is heard by itself alone
            layer["weight_hh"][-1, -1] = 2
        assert measured(modelled(wider), start, end) == measured(modelled(layers), start, end)

    @few
    @given(given_circuits(), st.integers(2, 4), st.data())
    def test_partitions(self, layers, length, data):
        times = data.draw(st.sets(st.integers(1, length), min_size=1, max_size=length - 1))
        model, m = modelled(layers), input_size_of(layers)
        outputs = grid_table(circuit(layers), len(times), length - len(times), np.eye(m, dtype=int), times)
        assert partition(model, length, tuple(times), inputs="one-hot") == joint(outputs)
        rest = tuple(t for t in range(1, length + 1) if t not in times)
        assert partition(model, length, rest) == partition(model, length, tuple(sorted(times, reverse=True)))

    @settings(few, max_examples=2)
    @given(given_circuits(outputs=2), short, short)
    def test_the_partition_into_start_and_end(self, layers, start, end):
        model, times = modelled(layers), tuple(range(1, start + 1))
        for settings_ in ({}, {"inputs": "one-hot"}, {"inputs": 3}, {"output": 1}):
            whole = measured(model, start, end, **settings_)
            assert partition(model, start + end, times, **settings_) == whole
        together = partition(model, start + end, times, output="joint")
        assert together == measured(model, start, end, output="joint")


class TestPartitions:
    @pytest.mark.parametrize("row", TRUTH["partition_ranks"], ids=str)
    def test_of_random_weights(self, row):
        inputs = row.get("version", "one-hot")
        assert partition(stack(row["L"], row["R"], row["M"]), row["T"], row["A"], inputs=inputs) == row["rank"]

    def test_of_one_layer_by_the_theory(self):
        for width, input_size in product((1, 2, 3), (1, 2)):
            cell = circuit(typical((width,), input_size, seed=width))
            for count in (1, 2, 3):
                for times in combinations(range(1, 5), count):
                    outputs = grid_table(cell, count, 4 - count, np.eye(input_size, dtype=int), times)
                    assert theory.partition_rank(width, input_size, 4, times) == joint(outputs), (width, times)

    def test_bounds_of_deep_ones(self):
        for depth, times in product((2, 3), ((1, 3), (2, 4), (1, 4), (2,), (2, 3, 4))):
            found = partition(stack(depth, 2, 2), 4, times)
            assert found <= theory.partition_bound(depth, 2, 2, 4, times)
        assert theory.partition_bound(2, 2, 2, 4, (1, 3)) == 8
        assert theory.partition_bound(2, 3, 3, 4, (1, 3)) == 30

    def test_a_given_bound(self):
        estimate = separation_rank.partition_rank(stack(1, 2, 2), 4, (1, 3), inputs="one-hot", bound=4)
        assert (estimate.value, estimate.statistics["status"]) == (4, "certified")
        with pytest.raises(ValueError, match="bound"):
            separation_rank.partition_rank(stack(1, 2, 2), 4, (1, 3), bound=3)

    @pytest.mark.parametrize("times", [(), (1, 2, 3, 4), (0, 1), (-1,), (5,), (1, 5)])
    def test_times_that_part_nothing(self, times):
        with pytest.raises(ValueError, match=r"time"):
            separation_rank.partition_rank(stack(1, 2, 2), 4, times)
        with pytest.raises(ValueError, match=r"time"):
            theory.partition_rank(2, 2, 4, times)
        with pytest.raises(ValueError, match=r"time"):
            theory.partition_bound(2, 2, 2, 4, times)


# ---------------------------------------------------------------- measured: other polynomial cells


def linear(w):
    return lambda h, x: w["W"] @ h + w["U"] @ x + w["b"]


def second_order(w):
    return lambda h, x: (w["A"] @ x) @ h


def multiplicative_integration(w):
    def step(h, x):
        a, b = w["W"] @ h, w["U"] @ x
        return w["a1"] * a * b + w["a2"] * a + w["a3"] * b + w["a4"]

    return step


def selective(w):
    return lambda h, x: (w["U"] @ x + w["b"]) * h + w["B"] @ x


def square(w):
    return lambda h, x: (w["W"] @ h + w["U"] @ x + w["b"]) ** 2


CELLS = {
    "linear": linear,
    "second_order": second_order,
    "mi": multiplicative_integration,
    "selective": selective,
    "square": square,
}


def cell_weights(name, width, input_size, seed):
    """Integers for every letter that a cell may use, and its first state."""
    draw = np.random.default_rng(seed)
    n, m = width, input_size
    shapes = {"W": (n, n), "U": (n, m), "b": n, "A": (n, n, m), "B": (n, m), "C": (n, n)}
    shapes |= dict.fromkeys(("a1", "a2", "a3", "a4"), n) | {"readout": (1, n)}
    weights = {letter: draw.integers(1, 100, shape) for letter, shape in shapes.items()}
    start = draw.integers(1, 10, n) if name == "second_order" else np.zeros(n, int)
    return weights, start


def cell_stack(name, depth, width, input_size, as_numbers, seed=0):
    """(step, first state) of a stack of one of the cells, its weights passed through `as_numbers`."""
    sizes = [input_size] + [width] * (depth - 1)
    made = [cell_weights(name, width, m, seed + k) for k, m in enumerate(sizes)]
    weights = [{letter: as_numbers(v) for letter, v in w.items()} for w, _ in made]
    layers = [CELLS[name](w) for w in weights]

    def step(state, x):
        after = []
        for layer, w, h in zip(layers, weights, state, strict=True):
            h = layer(h, x)
            after.append(h)
            x = w["C"] @ h if name == "selective" else h
        return tuple(after), weights[-1]["readout"] @ h

    return step, tuple(as_numbers(start) for _, start in made)


# the product f * u of two vectors of three numbers, written as plain array code ...
PLAIN = {
    "einsum": lambda f, u: jnp.einsum("i,i->i", f, u),
    "nested jit": lambda f, u: jax.jit(jnp.multiply)(f, u),
    "vmap": lambda f, u: jax.vmap(jnp.multiply)(f, u),
    "stop_gradient": lambda f, u: jax.lax.stop_gradient(f * u),
    "reshape and transpose": lambda f, u: (f * u).reshape(3, 1).T.reshape(3),
    "slices": lambda f, u: jnp.concatenate([f[:1] * u[:1], f[1:] * u[1:]]),
    "stack": lambda f, u: jnp.stack([f[i] * u[i] for i in range(3)]),
    "prod": lambda f, u: jnp.prod(jnp.stack([f, u]), axis=0),
    "sum and difference": lambda f, u: (f + u) ** 2 / 4 - (f - u) ** 2 / 4,
    "where on a constant": lambda f, u: jnp.where(np.array([True, True, False]), f * u, u * f),
}
# ... and in ways that need more than sums and products to be followed
DEVIOUS = {
    "checkpoint": lambda f, u: jax.checkpoint(jnp.multiply)(f, u),
    "diagonal of a matrix": lambda f, u: jnp.diag(jnp.outer(f, u)),
    "reversed twice": lambda f, u: (f[::-1] * u[::-1])[::-1],
    "rolled": lambda f, u: jnp.roll(jnp.roll(f, 1) * jnp.roll(u, 1), -1),
    "gather": lambda f, u: jnp.take(f, jnp.array([0, 1, 2])) * u,
    "scatter": lambda f, u: jnp.zeros(3).at[jnp.arange(3)].add(f * u),
    "scan": lambda f, u: jax.lax.scan(lambda c, ab: (c, ab[0] * ab[1]), 0, (f, u))[1],
    "loop": lambda f, u: jax.lax.fori_loop(0, 2, lambda i, c: c + f * u / 2, jnp.zeros(3)),
    "while": lambda f, u: jax.lax.while_loop(
        lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] + f * u / 2), (0, jnp.zeros(3))
    )[1],
    "cumulative sum": lambda f, u: jnp.diff(jnp.cumsum(f * u), prepend=0),
    "maximum of equals": lambda f, u: jnp.maximum(f * u, f * u),
    "square root of a square": lambda f, u: jnp.sqrt((f * u) ** 2),
    "division": lambda f, u: f * u**2 / u,
    "clip": lambda f, u: jnp.clip(f * u, -1e30, 1e30),
    "condition": lambda f, u: jax.lax.cond(f[0] > 0, lambda: f * u, lambda: f * u),
    "comparison": lambda f, u: jnp.where(f > 0, f * u, f * u),
    "exponential of a logarithm": lambda f, u: f * jnp.exp(jnp.log(u)),
    "a float as exponent": lambda f, u: f ** jnp.float64(1.0) * u,
    "float32 and back": lambda f, u: (f * u).astype(jnp.float32).astype(f.dtype),
    "rounding": lambda f, u: jnp.round(f * u),
}


def as_floats(v):
    return np.asarray(v, float)


CELL_ROWS = [row for row in TRUTH["other_cells"] if row["L"] == 1 or row["rank"] <= 18]


REFUSAL = "refused"


def refused_or(ask):
    """What is found, or REFUSAL where the question is declined in words."""
    try:
        return ask()
    except ValueError as refusal:
        return REFUSAL if len(str(refusal).split()) > 5 else refusal


class TestOtherCells:
    @pytest.mark.parametrize("row", CELL_ROWS, ids=lambda r: f"{r['cell']}-L{r['L']}R{r['R']}E{r['E']}")
    def test_known_ranks(self, row):
        step, start = cell_stack(row["cell"], row["L"], row["R"], row["M"], as_floats)
        assert measured(hitherto.adapt(step, start, row["M"]), row["S"], row["E"]) == row["rank"]

    @pytest.mark.parametrize("name", CELLS)
    def test_on_grids_of_given_templates(self, name):
        for depth, templates in ((1, [[1, 0], [0, 1], [2, 3]]), (2, [[1, 0], [0, 1]])):
            model = hitherto.adapt(*cell_stack(name, depth, 2, 2, as_floats), 2)
            truth = joint(grid_table(cell_stack(name, depth, 2, 2, exact), 2, 2, templates))
            assert measured(model, 2, 2, inputs=np.array(templates, float)) == truth

    @pytest.mark.parametrize("name", sorted(CELLS.keys() - {"square"}))
    def test_bounds_of_the_theory(self, name):
        cell = {"second_order": "second-order", "mi": "multiplicative-integration"}.get(name, name)
        for row in TRUTH["other_cells"]:
            if row["cell"] == name:
                assert row["rank"] <= theory.cell_bound(cell, row["L"], row["R"], row["E"])
        bounds = {
            "linear": (2, 2),
            "second_order": (3, 3 * multichoose(3, 4)),
            "mi": (4, 4 * math.comb(7, 4)),
            "selective": (4, 4 * math.comb(7, 4)),
        }
        assert tuple(theory.cell_bound(cell, depth, 3, 4) for depth in (1, 2)) == bounds[name]

    def test_a_circuit_as_a_step_function(self):
        weights = drawn((3,), 2, seed=24)[0]
        wide = {name: np.asarray(w, float) for name, w in weights.items()}

        def step(factor, x):
            h = factor * (wide["weight_ih"] @ x)
            return wide["weight_hh"] @ h, wide["readout"] @ h

        model = hitherto.adapt(step, np.ones(3), 2)
        assert measured(model, 3, 3) == measured(modelled((weights,)), 3, 3) == 3
        assert measured(model, 2, 2, inputs="one-hot") == measured(modelled((weights,)), 2, 2, inputs="one-hot")

    def test_constants_keep_their_precision(self):
        recurrent = np.array([[1, 1], [1, 1 + 2**-40]])
        entering = np.array([[1.0, 2.0], [3.0, -1.0]])

        def step(factor, x):
            h = factor * (entering @ x)
            return recurrent @ h, h[:1] + h[1:]

        assert measured(hitherto.adapt(step, np.ones(2), 2), 3, 3) == 2

    def test_states_of_several_leaves(self):
        entering = np.array([[1.0, 2.0], [3.0, -1.0]])

        def step(state, x):
            u = entering @ x
            slow = state["slow"] + state["fast"][0] * u
            return {"fast": state["fast"] * u, "slow": slow}, jnp.concatenate([slow, state["fast"]])

        def slowly(state, x):
            u = exact(entering) @ x
            slow = state["slow"] + state["fast"][0] * u
            return {"fast": state["fast"] * u, "slow": slow}, np.concatenate([slow, state["fast"]])

        model = hitherto.adapt(step, {"fast": np.ones(2), "slow": np.zeros(2)}, 2)
        first = {"fast": exact([1, 1]), "slow": exact([0, 0])}
        assert measured(model, 2, 2, inputs="one-hot") == each(grid_table((slowly, first), 2, 2, np.eye(2, dtype=int)))

    @staticmethod
    def written(how):
        """A circuit of three units with its product written as `how`."""
        w = {name: as_floats(v) for name, v in drawn((3,), 2, seed=25)[0].items()}

        def step(factor, x):
            h = how(factor, w["weight_ih"] @ x)
            return w["weight_hh"] @ h, w["readout"] @ h

        return hitherto.adapt(step, np.ones(3), 2)

    @pytest.mark.parametrize("how", PLAIN.values(), ids=PLAIN)
    def test_the_same_cell_in_other_words(self, how):
        assert measured(self.written(how), 3, 3) == 3

    @pytest.mark.parametrize("how", DEVIOUS.values(), ids=DEVIOUS)
    def test_what_cannot_be_followed_is_refused_and_never_wrong(self, how):
        assert refused_or(lambda: measured(self.written(how), 3, 3)) in (REFUSAL, 3)

    def test_features_of_one_number(self):
        # 15 where free features of this size would give 18
        layers = (Powers(2), ArithmeticCircuit(3, 3), ArithmeticCircuit(3, 3, 1))
        assert measured(Deep(layers), 2, 2) == 15
        weights = typical((3, 3), 3, seed=26)
        model = Model(Deep(layers), ({}, *({k: np.asarray(v, float) for k, v in w.items()} for w in weights)))
        assert measured(model, 2, 2) == 15
        assert generic_rank(2, 3, 3, 2, 2, powers=2).value == 15
        assert generic_rank(2, 3, 3, 2, 2).value == 18

    def test_features_that_lose_nothing(self):
        layers = (Powers(1), ArithmeticCircuit(2, 2), ArithmeticCircuit(2, 2, 1))
        assert measured(Deep(layers), 3, 3) == generic_rank(2, 2, 2, 3, 3, powers=1).value == 8

    def test_feature_functions(self):
        product_features = FeatureFunction(lambda x: jnp.stack([x[0], x[1], x[0] * x[1]]), 2, 3)
        assert measured(Deep((product_features, ArithmeticCircuit(3, 3, 1))), 2, 2) == 3
        with pytest.raises(ValueError, match=r"(?i)sin|polynomial"):
            start_end_rank(Deep((FeatureFunction(jnp.sin, 2, 2), ArithmeticCircuit(2, 3, 1))), 2, 2)

    def test_symbols_are_refused_or_right(self):
        layers = drawn((3,), 2, seed=27)
        truth = joint(grid_table(circuit(layers), 2, 2, [[1, 0], [2, 1], [0, 3]]))
        weights = ({"templates": np.array([[1.0, 0], [2, 1], [0, 3]])}, modelled(layers).weights)
        model = Model(Deep((Templates(3, 2), described(layers))), weights)
        asked = np.array([[0.0], [1], [2]])
        assert refused_or(lambda: measured(model, 2, 2, inputs=asked)) in (REFUSAL, truth)

    def test_linear_families_have_rank_two(self):
        families = [
            RNN(2, 3, 1, activation="linear"),
            RNN(2, 3, 1, activation="linear", bias=False),
            StateSpace(2, 3, 1),
            StateSpace(2, 3, 1, direct=True),
            SecondOrderRNN(2, 3, 1, first_order=True, bias=False, cp_rank=1),
            Deep((RNN(2, 3, activation="linear"), StateSpace(3, 2, 1))),
        ]
        draw = np.random.default_rng(28)
        for family in families:
            fill = lambda leaf: draw.integers(1, 10, np.shape(leaf)) / 4  # noqa: E731
            weights = jax.tree.map(fill, build(family).weights)
            if isinstance(family, SecondOrderRNN):
                weights["factor_out"][:] = 0  # what is left is linear
            assert measured(Model(family, weights), 3, 3) == 2, family

    @pytest.mark.parametrize(
        "family",
        [
            DiagonalStateSpace(2, 2, 1),
            DiagonalStateSpace(2, 2, 1, initialisation="uniform", parametrisation="plain", normalise=False),
            SampledStateSpace(2, 2, 1),
            RNN(2, 2, 1, activation="linear", parametrisation="ntk"),
        ],
        ids=str,
    )
    def test_linear_families_of_irrational_weights_are_refused_or_right(self, family):
        assert refused_or(lambda: measured(build(family, 1), 2, 2)) in (REFUSAL, 2)

    def test_second_order_layers(self):
        layer = SecondOrderRNN(2, 3, 1, first_order=False, bias=False)
        draw = np.random.default_rng(29)
        weights = {name: draw.integers(-9, 10, shape) / 2 for name, shape in layer.shapes().items()}
        weights["initial_h"] = np.array([1.0, 2.0, 3.0])
        assert measured(Model(layer, weights), 3, 3) == 3
        assert measured(SecondOrderRNN(2, 3, 1), 3, 3) == 4  # with first order and bias: one more
        assert measured(SecondOrderRNN(2, 3, 1, cp_rank=9), 3, 3) == 4

    @pytest.mark.parametrize("skip", ["none", "residual", "input"])
    def test_stacks_with_skips(self, skip):
        entering = 4 if skip == "input" else 2
        layers = [drawn((2,), 2, None, seed=30)[0], drawn((2,), entering, None, seed=31)[0]]
        architectures = [described([w]) for w in layers]
        weights = tuple({name: np.asarray(w, float) for name, w in layer.items()} for layer in layers)
        model = Model(Deep(tuple(architectures), skip=skip), weights)
        parts = [circuit([w])[0] for w in layers]

        def step(state, x):
            after, signal = [], x
            for k, (part, h) in enumerate(zip(parts, state, strict=True)):
                seen = np.concatenate([signal, x]) if k and skip == "input" else signal
                (new,), y = part([h], seen)
                signal = signal + y if skip == "residual" else y
                after.append(new)
            return after, signal

        assert measured(model, 2, 2, inputs="one-hot") == each(
            grid_table((step, [None, None]), 2, 2, np.eye(2, dtype=int))
        )

    def test_a_circuit_above_a_linear_layer(self):
        top = drawn((2,), 2, seed=32)[0]
        draw = np.random.default_rng(33)
        below = {"weight_ih": (2, 2), "weight_hh": (2, 2), "bias_ih": 2, "bias_hh": 2}
        below = {name: draw.integers(-5, 6, shape) for name, shape in below.items()}
        weights = tuple({name: np.asarray(w, float) for name, w in layer.items()} for layer in (below, top))
        model = Model(Deep((RNN(2, 2, activation="linear"), ArithmeticCircuit(2, 2, 1))), weights)
        w, part = {name: exact(v) for name, v in below.items()}, circuit([top])[0]

        def step(state, x):
            h = w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ state[0] + w["bias_hh"]
            (new,), y = part([state[1]], h)
            return [h, new], y

        first = [exact([0, 0]), None]
        assert measured(model, 2, 2, inputs="one-hot") == joint(grid_table((step, first), 2, 2, np.eye(2, dtype=int)))
        assert measured(model, 3, 2) == joint(far_table((step, first), 3, 2, 2, 12))


# ---------------------------------------------------------------- measured: bad input


NOT_POLYNOMIAL = {
    "tanh": RNN(2, 3, 1),
    "max": RNN(2, 3, 1, activation="relu"),
    "sigmoid": LSTM(2, 3, 1),
    "tanh of a GRU": GRU(2, 3, 1),
    "relu of a unitary": UnitaryRNN(2, 3, 1),
    "clip": RNN(2, 3, 1, activation="linear", clip=1.0),
    "relu above": Deep((ArithmeticCircuit(2, 3), RNN(3, 2, 1, activation="relu"))),
    "relu6": SecondOrderRNN(2, 3, 1, activation="relu6"),
    "exp": RNN(2, 3, 1, activation="linear", output_activation="exponential"),
}


class TestRefusals:
    MODEL = modelled(drawn((3, 2), 2))

    @pytest.mark.parametrize("family", NOT_POLYNOMIAL.values(), ids=NOT_POLYNOMIAL)
    def test_what_is_not_polynomial(self, family):
        why = r"(?i)polynomial|tanh|logistic|sigmoid|max|relu|clamp|clip|exp|sqrt|select"
        with pytest.raises(ValueError, match=why):
            start_end_rank(build(family, 1), 2, 2)

    @pytest.mark.parametrize(
        ("name", "cell"),
        [
            ("abs", lambda h, x: jnp.abs(h + x)),
            ("max", lambda h, x: jnp.maximum(h, x)),
            ("sort", lambda h, x: jnp.sort(h * x)),
            ("floor", lambda h, x: jnp.floor(h * x)),
            ("sign", lambda h, x: jnp.sign(h) * x),
            ("where", lambda h, x: jnp.where(h > x, h, x)),
            ("sqrt", lambda h, x: jnp.sqrt(h) * x),
            ("pow", lambda h, x: x**h),
            ("root", lambda h, x: (h + x) ** 0.5),
            ("argmax", lambda h, x: x * jnp.argmax(h)),
            ("int", lambda h, x: (h + x).astype(int).astype(h.dtype)),
            ("cond", lambda h, x: jax.lax.cond(h[0] > 0, lambda: h, lambda: x)),
            ("softmax", lambda h, x: jax.nn.softmax(h + x)),
            ("remainder", lambda h, x: (h + x) % 2),
            ("solve", lambda h, x: jnp.linalg.solve(jnp.outer(h, x) + jnp.eye(2), x) + jnp.abs(h)),
        ],
    )
    def test_step_functions_that_are_not_polynomial(self, name, cell):
        model = hitherto.adapt(lambda h, x: (cell(h, x), cell(h, x)[:1]), np.ones(2), 2)
        with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
            start_end_rank(model, 2, 2)

    @pytest.mark.parametrize(
        "family",
        [
            Bidirectional(ArithmeticCircuit(2, 2), ArithmeticCircuit(2, 2)),
            Backward(ArithmeticCircuit(2, 2, 1)),
            Deep((Bidirectional(ArithmeticCircuit(2, 2), ArithmeticCircuit(2, 2)), ArithmeticCircuit(4, 2, 1))),
        ],
        ids=str,
    )
    def test_what_reads_ahead(self, family):
        for asked in (family, build(family)):
            with pytest.raises(ValueError, match=r"(?i)causal|backward|bidirectional|later|ahead|step"):
                start_end_rank(asked, 2, 2)
            with pytest.raises(ValueError, match=r"(?i)causal|backward|bidirectional|later|ahead|step"):
                separation_rank.partition_rank(asked, 4, (1, 3))

    def test_untied_weights(self):
        for family in (Untied(ArithmeticCircuit(2, 2, 1), 4), Deep((Untied(ArithmeticCircuit(2, 2), 4), RNN(2, 1)))):
            with pytest.raises(ValueError, match=r"(?i)untied|step"):
                start_end_rank(build(family), 2, 2)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize(("layer", "name", "at"), [(0, "weight_hh", (1, 0)), (1, "weight_ih", (1, 2))])
    def test_weights_that_are_no_numbers(self, bad, layer, name, at):
        layers = [{k: np.asarray(w, float) for k, w in weights.items()} for weights in drawn((3, 2), 2)]
        layers[layer][name][at] = bad
        layers[layer][name][-1, -1] = bad  # the first entry is told, not the last
        model = Model(described(layers), tuple(layers))
        for inputs in ("continuous", "one-hot"):
            with pytest.raises(ValueError, match=rf"(?s){name}.*{at[0]}\D{{1,4}}{at[1]}"):
                start_end_rank(model, 2, 2, inputs=inputs)

    def test_constants_of_a_step_function_that_are_no_numbers(self):
        hole = np.array([1.0, np.nan])
        model = hitherto.adapt(lambda h, x: (h * x * hole, h[:1]), np.ones(2), 2)
        with pytest.raises(ValueError, match=r"(?i)nan|finite"):
            start_end_rank(model, 2, 2)

    @pytest.mark.parametrize(
        ("layer", "name", "shape", "right"),
        [
            (0, "weight_hh", (2, 3), (3, 3)),
            (1, "weight_ih", (2, 2), (2, 3)),
            (1, "readout", (1, 3), (1, 2)),
            (0, "initial_h", (2,), (3,)),
        ],
    )
    def test_weights_of_another_shape(self, layer, name, shape, right):
        layers = [{k: np.asarray(w, float) for k, w in weights.items()} for weights in drawn((3, 2), 2)]
        layers[layer][name] = np.ones(shape)
        told = rf"(?=.*{name})(?=.*\({str(shape)[1:-1]}\))(?=.*\({str(right)[1:-1]}\))(?=.*\b{layer}\b)"
        with pytest.raises(ValueError, match=r"(?s)" + told):
            start_end_rank(Model(self.MODEL.architecture, tuple(layers)), 2, 2)

    def test_complex_weights(self):
        layers = drawn((3, 2), 2)
        with pytest.raises(ValueError, match=r"(?i)complex"):
            start_end_rank(modelled(layers, lambda w: np.asarray(w, complex)), 2, 2)

    @pytest.mark.parametrize("wrong", [0, -1, True])
    def test_steps_that_cannot_be(self, wrong):
        for start, end in ((wrong, 2), (2, wrong)):
            with pytest.raises(ValueError, match=r"start|end|step"):
                start_end_rank(self.MODEL, start, end)
        with pytest.raises(ValueError, match=r"length|time"):
            separation_rank.partition_rank(self.MODEL, wrong, (1,))

    @pytest.mark.parametrize("wrong", [2.0, 1.5, "2", None])
    def test_steps_that_are_no_integers(self, wrong):
        for start, end in ((wrong, 2), (2, wrong)):
            with pytest.raises(REFUSED):
                start_end_rank(self.MODEL, start, end)

    @pytest.mark.parametrize(
        "wrong",
        [
            "onehot",
            "grid",
            "",
            0,
            -2,
            True,
            np.ones((2, 3)),
            np.ones((0, 2)),
            np.ones(2),
            np.array([[1, np.nan]]),
            np.array([[1, np.inf]]),
        ],
        ids=str,
    )
    def test_inputs_that_cannot_be(self, wrong):
        with pytest.raises(REFUSED if isinstance(wrong, np.ndarray) and wrong.ndim != 2 else ValueError):
            start_end_rank(self.MODEL, 2, 2, inputs=wrong)

    def test_complex_templates(self):
        with pytest.raises(REFUSED):
            start_end_rank(self.MODEL, 2, 2, inputs=np.array([[1j, 0], [0, 1]]))

    def test_unknown_names_are_told_the_known_ones(self):
        with pytest.raises(ValueError, match="one-hot"):
            start_end_rank(self.MODEL, 2, 2, inputs="one_hot")
        with pytest.raises(ValueError, match="random"):
            start_end_rank(self.MODEL, 2, 2, weights="fresh")
        with pytest.raises(ValueError, match="joint"):
            start_end_rank(self.MODEL, 2, 2, output="together")

    @pytest.mark.parametrize("wrong", [1, 7, True])
    def test_outputs_that_are_not_there(self, wrong):
        with pytest.raises(ValueError, match="output"):
            start_end_rank(self.MODEL, 2, 2, output=wrong)

    @pytest.mark.parametrize("name", ["bound", "most_samples"])
    @pytest.mark.parametrize("wrong", [-1, True, "many", 2.5])
    def test_numbers_that_cannot_be(self, name, wrong):
        with pytest.raises(ValueError if isinstance(wrong, int) else REFUSED):
            start_end_rank(self.MODEL, 2, 2, **{name: wrong})

    def test_no_samples(self):
        with pytest.raises(ValueError, match="most_samples"):
            start_end_rank(self.MODEL, 2, 2, most_samples=0)

    @pytest.mark.parametrize("wrong", ["model.npz", None, 3, [1, 2]])
    def test_what_is_no_model(self, wrong):
        with pytest.raises(REFUSED):
            start_end_rank(wrong, 2, 2)


# ---------------------------------------------------------------- theory


SMALL = [
    (depth, width, input_size, start, end, count)
    for depth, width, input_size in product((1, 2, 3), (1, 2, 3, 4), (1, 2, 3))
    for start, end in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 3), (4, 2))
    for count in (input_size, input_size + 1, 2 * input_size)
    if count ** max(start, end) <= 27
]


class TestGenericRank:
    @pytest.mark.parametrize("part", range(6))
    def test_small_grids_by_brute_force(self, part):
        chosen = np.random.default_rng(34).permutation(len(SMALL))[part:240:6]
        for depth, width, input_size, start, end, count in (SMALL[i] for i in chosen):
            cell = circuit(typical((width,) * depth, input_size, seed=35))
            templates = np.eye(input_size, dtype=int) if count == input_size else far(1, count, input_size)[0]
            truth = joint(grid_table(cell, start, end, templates))
            predicted = generic_rank(depth, width, input_size, start, end, count)
            case = (depth, width, input_size, start, end, count, predicted)
            assert truth <= predicted.value <= predicted.upper_bound, case
            assert truth == predicted.value or not predicted.exact, case

    def test_one_hot_is_the_grid_of_as_many_templates(self):
        for depth, width, input_size, start, end in product((1, 2, 3, 4), (1, 2, 4), (1, 2, 5), (1, 3), (1, 4)):
            one_hot = generic_rank(depth, width, input_size, start, end, "one-hot")
            assert one_hot.value == generic_rank(depth, width, input_size, start, end, input_size).value

    def test_the_counts(self):
        sizes = product((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 5), (1, 2, 3, 6), (None, 1, 2, 3, 7))
        for depth, width, input_size, start, end, count in sizes:
            found = generic_rank(depth, width, input_size, start, end, count or "continuous")
            counts = product_bounds((width,) * depth, input_size, start, end, count)
            assert (found.start_count, found.end_count, found.state_count) == counts
            assert found.end_count_refined <= found.end_count
            assert found.value <= found.upper_bound <= min(counts)
            free = depth > 3 or (depth == 3 and min(input_size, count or input_size) < width)
            assert (found.state_count_refined is None) == free
            if not free:
                known = refined_states(depth, width, min(input_size, count or input_size), end)
                assert found.state_count_refined == known

    @pytest.mark.parametrize(
        ("depth", "width", "known"), [(3, 2, 52), (4, 2, 106), (5, 2, 188), (3, 3, 759), (4, 3, 2844)]
    )
    def test_three_end_steps(self, depth, width, known):
        found = generic_rank(depth, width, width, 6, 3)
        assert found.end_count_refined == known
        assert found.value == known

    @pytest.mark.parametrize(
        ("case", "known"),
        [
            ((2, 4, 4, 4, 12), 1820),
            ((2, 8, 8, 4, 4), 2640),
            ((3, 2, 2, 5, 14), 3176),
            ((3, 3, 3, 4, 4), 2844),
            ((3, 4, 4, 3, 3), 5920),
            ((2, 2, 2, 4, 200), 402),
            ((2, 3, 3, 4, 30), 1488),
            ((2, 5, 2, 3, 5), 504),
            ((1, 5, 2, 2, 2), 4),
            ((2, (1, 4), 3, 4, 4), 1),
            ((3, (2, 3, 2), 2, 4, 3), 52),
            ((2, 3, 3, 7, 7, 2), 105),
            ((3, 2, 2, 3, 3, "one-hot"), 8),
            ((3, 5, 6, 2, 2, "one-hot"), 30),
            ((4, 3, 4, 2, 2, "one-hot"), 12),
            ((2, 2, 2, 4, 4, 10**6), 10),
        ],
        ids=str,
    )
    def test_confirmed_numbers(self, case, known):
        found = generic_rank(*case)
        assert found.value == known

    @pytest.mark.parametrize(
        ("case", "true"),
        [
            ((2, 3, 2, 2, 4), 39),
            ((2, 4, 3, 2, 5), 214),
            ((3, 2, 2, 2, 4), 80),
            ((3, 2, 2, 2, 3), 44),
            ((3, 2, 2, 2, 3, 7), 44),
            ((3, 2, 2, 2, 3, 9), 44),
            ((4, 2, 2, 4, 4), 2038),
            ((2, (5, 1), 2, 4, 4), 54),
        ],
        ids=str,
    )
    def test_where_the_formula_is_a_bound_it_says_so(self, case, true):
        found = generic_rank(*case)
        assert not found.exact
        assert true <= found.value <= found.upper_bound
        assert found.value > true

    def test_widths(self):
        for widths, input_size in (((2, 3), 2), ((3, 2), 3), ((1, 2), 2), ((2, 1), 2), ((2, 1, 3), 2), ((3, 1), 1)):
            cell = circuit(typical(widths, input_size, seed=36))
            found = generic_rank(len(widths), widths, input_size, 2, 2)
            true = joint(far_table(cell, 2, 2, input_size, min(product_bounds(widths, input_size, 2, 2)) + 1))
            assert true <= found.value <= found.upper_bound
            assert true == found.value or not found.exact
            assert found.upper_bound <= min(product_bounds(widths, input_size, 2, 2))

    def test_equal_widths_are_one_width(self):
        for depth, end in product((1, 2, 3, 4), (1, 2, 3, 5)):
            one, many = (generic_rank(depth, width, 3, 3, end) for width in (3, (3,) * depth))
            assert (one.value, one.upper_bound, one.exact) == (many.value, many.upper_bound, many.exact)

    @pytest.mark.parametrize("row", TRUTH["widths_and_rank_deficient_WH"], ids=str)
    def test_recurrences_of_low_rank(self, row):
        widths, ranks = tuple(row["widths"]), tuple(row["rank_WH"])
        found = generic_rank(len(widths), widths, row["M"], row["S"], row["E"], recurrence_ranks=ranks)
        assert row["rank_continuous"] <= found.value <= found.upper_bound <= row["upper_bound_B_with_rank_WH"]
        assert found.value == row["rank_continuous"] or not found.exact

    def test_low_ranks_leave_the_refinement_its_widths(self):
        # the width in front of B' may not be lowered together with the one in B
        for ranks in product((1, 2, 3), repeat=2):
            layers, draw = typical((3, 3), 2, seed=37), np.random.default_rng(38)
            for layer, r in zip(layers, ranks, strict=True):
                layer["weight_hh"] = draw.integers(-99, 100, (3, r)) @ draw.integers(-99, 100, (r, 3))
            found = generic_rank(2, 3, 2, 4, 4, recurrence_ranks=ranks)
            lowered = multichoose(ranks[0], 4) * ranks[1]
            true = joint(far_table(circuit(layers), 4, 4, 2, min(lowered, 42) + 2))
            assert true <= found.value <= found.upper_bound <= lowered

    def test_a_thousand_digits(self):
        width, steps = 200, 300
        known = width * math.comb(width + steps - 1, steps)
        found = generic_rank(2, width, width, steps, steps)
        assert (found.value, found.exact) == (known, True)
        assert type(found.value) is int
        assert len(str(found.value)) > 140
        assert found.log10 == pytest.approx(math.log10(known), rel=1e-12)

    def test_162_digits(self):
        # widths are sought until the exact answer has 162 digits
        width = next(w for w in range(50, 400) if len(str(w * math.comb(w + 299, 300))) == 162)
        found = generic_rank(2, width, width, 300, 300)
        assert str(found.value) == str(width * math.comb(width + 299, 300))
        assert 161 <= found.log10 < 162

    def test_numbers_too_long_to_print(self):
        known = refined_states(3, 50, 50, 300)
        found = generic_rank(3, 50, 50, 300, 300)
        assert found.value == known
        assert found.log10 == pytest.approx(math.log10(known), rel=1e-12)
        assert len(found.why) < 1000
        longer = generic_rank(2, 64, 64, 1500, 1500)
        assert longer.end_count > 10**4300
        assert repr(longer)  # Python refuses to write integers of more than 4300 digits

    def test_one_sentence_and_a_source(self):
        for case in ((1, 3, 2, 2, 2), (2, 3, 3, 2, 2), (3, 2, 2, 2, 4), (4, 2, 2, 4, 4), (2, 3, 3, 3, 3, "one-hot")):
            found = generic_rank(*case)
            assert len(found.why.split()) > 3
            assert str(found.source)
            assert type(found.value) is type(found.upper_bound) is int
            assert type(found.exact) is bool
            with pytest.raises(FrozenInstanceError):
                found.value = 0

    @given(
        st.integers(1, 3),
        st.integers(1, 6),
        st.integers(1, 6),
        st.integers(1, 8),
        st.integers(1, 8),
        st.sampled_from(["continuous", "one-hot", 3]),
    )
    @settings(deadline=None, max_examples=150)
    def test_more_is_not_less(self, depth, width, input_size, start, end, inputs):
        """The true generic rank grows with every size, so exact answers must."""
        here = generic_rank(depth, width, input_size, start, end, inputs)
        neighbours = (
            (depth, width + 1, input_size, start, end, inputs),
            (depth, width, input_size + 1, start, end, inputs),
            (depth, width, input_size, start + 1, end, inputs),
            (depth, width, input_size, start, end + 1, inputs),
        )
        for neighbour in neighbours:
            there = generic_rank(*neighbour)
            assert here.value <= there.value or not (here.exact and there.exact), (here, neighbour, there)

    @given(
        st.integers(1, 4),
        *(st.integers(1, 5),) * 2,
        *(st.integers(1, 6),) * 2,
        st.integers(0, 9),
    )
    @settings(deadline=None, max_examples=150)
    def test_order_of_the_versions(self, depth, width, input_size, start, end, more):
        found = [
            generic_rank(depth, width, input_size, start, end, inputs)
            for inputs in ("one-hot", input_size + more, input_size + more + 1, "continuous")
        ]
        assert [f.upper_bound for f in found] == sorted(f.upper_bound for f in found)
        assert [f.value for f in found] == sorted(f.value for f in found)

    def test_many_templates_are_continuous(self):
        for depth, width, input_size, start, end in (
            (1, 3, 2, 3, 3),
            (2, 3, 3, 2, 2),
            (2, 4, 2, 4, 4),
            (3, 2, 2, 3, 3),
        ):
            enough = max(multichoose(min(width, input_size), degree(depth, k)) for k in range(1, start + end + 1))
            full, free = (generic_rank(depth, width, input_size, start, end, z) for z in (enough, "continuous"))
            assert full.value == free.value

    @pytest.mark.parametrize("place", range(5))
    @pytest.mark.parametrize("wrong", [0, -1, True, False])
    def test_sizes_that_cannot_be(self, place, wrong):
        case = [2, 3, 3, 2, 2]
        case[place] = wrong
        with pytest.raises(ValueError, match=("depth", "width", "input_size", "start", "end")[place]) as refused:
            generic_rank(*case)
        assert len(str(refused.value)) > 20

    @pytest.mark.parametrize("place", range(5))
    @pytest.mark.parametrize("wrong", [2.0, "2", None, 1.5])
    def test_sizes_that_are_no_integers(self, place, wrong):
        case = [2, 3, 3, 2, 2]
        case[place] = wrong
        with pytest.raises(REFUSED):
            generic_rank(*case)

    @pytest.mark.parametrize("widths", [(3,), (3, 3, 3), (), (3, 0), (3, -1), (3, True)])
    def test_widths_that_do_not_fit(self, widths):
        with pytest.raises(ValueError, match=r"width|depth"):
            generic_rank(2, widths, 3, 2, 2)

    @pytest.mark.parametrize("ranks", [(3,), (3, 3, 3), (4, 3), (3, -1), (True, 3)])
    def test_ranks_that_do_not_fit(self, ranks):
        with pytest.raises(ValueError, match="rank"):
            generic_rank(2, 3, 3, 2, 2, recurrence_ranks=ranks)

    @pytest.mark.parametrize("inputs", ["onehot", "grid", "", 0, -3, True])
    def test_inputs_that_cannot_be(self, inputs):
        with pytest.raises(ValueError, match=r"inputs|one-hot|template"):
            generic_rank(2, 3, 3, 2, 2, inputs)

    @pytest.mark.parametrize("powers", [0, -1, 1, 3, True])
    def test_powers_that_do_not_fit(self, powers):
        with pytest.raises(ValueError, match="power"):
            generic_rank(2, 3, 3, 2, 2, powers=powers)


CALLS = {
    "shallow_rank": (3, 2, 2, 2),
    "paper_lower_bound": (2, 3, 2, 2),
    "conjecture": (2, 3, 2, 2),
    "input_degree": (2, 3),
    "weight_degrees": (2, 3),
    "state_degrees": (2, 3),
    "total_degree": (2, 3),
    "saturation_length": (2, 3, 2),
}


class TestOtherFormulas:
    def test_shallow_rank(self):
        for width, input_size, start, end in product((1, 2, 3, 5), (1, 2, 3), (1, 2, 3), (1, 2, 3)):
            m = min(width, input_size)
            known = min(width, m**start, m**end)
            assert theory.shallow_rank(width, input_size, start, end) == known
            assert generic_rank(1, width, input_size, start, end).value == known
            if max(start, end) <= 2:
                cell = circuit(typical((width,), input_size, seed=39))
                assert joint(grid_table(cell, start, end, np.eye(input_size, dtype=int))) == known

    def test_the_papers_bounds(self):
        for width, input_size, half in product((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 5)):
            m = min(width, input_size)
            assert theory.paper_lower_bound(1, width, input_size, half) == min(width, input_size**half)
            assert theory.paper_lower_bound(2, width, input_size, half) == multichoose(m, half)
            assert multichoose(m, half) <= generic_rank(2, width, input_size, half, half, "one-hot").value
        with pytest.raises(ValueError, match="depth"):
            theory.paper_lower_bound(3, 2, 2, 2)

    def test_the_conjecture_and_where_it_fails(self):
        for depth, width, input_size, half in product((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 6), (1, 2, 3)):
            m = min(width, input_size)
            known = min(multichoose(m, multichoose(half, depth - 1)), input_size**half)
            if depth > 1:
                assert theory.conjecture(depth, width, input_size, half) == known
        assert theory.conjecture(3, 5, 6, 2) == 35 > generic_rank(3, 5, 6, 2, 2, "one-hot").value
        assert theory.conjecture(4, 3, 4, 2) == 15 > generic_rank(4, 3, 4, 2, 2, "one-hot").value

    def test_degrees(self):
        for depth, length in product((1, 2, 3, 4), (1, 2, 5)):
            inputs = [multichoose(k, depth - 1) for k in range(1, length + 1)]
            assert [theory.input_degree(depth, k) for k in range(1, length + 1)] == inputs
            layers = range(1, depth + 1)
            entering = [multichoose(length, depth - layer + 1) for layer in layers]
            recurrent = [multichoose(length - 1, depth - layer + 1) for layer in layers]
            found = theory.weight_degrees(depth, length)
            assert (list(found["input"]), list(found["recurrent"])) == (entering, recurrent)
            known = [multichoose(length, depth - layer) for layer in layers]
            assert list(theory.state_degrees(depth, length)) == known
            assert theory.total_degree(depth, length) == 1 + sum(entering + recurrent) + sum(inputs)

    def test_degrees_with_a_first_state(self):
        entering = theory.weight_degrees(2, 3, h0="ones")
        assert entering == theory.weight_degrees(2, 3)
        with pytest.raises(ValueError, match="ones"):
            theory.weight_degrees(2, 3, h0="zeros")

    def test_saturation_by_search(self):
        for depth, width, input_size in product((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)):
            found = theory.saturation_length(depth, width, input_size)
            if width == 1 or input_size == 1:
                assert found is None
                continue
            saturated = (
                end
                for end in range(1, 200)
                if refined_states(depth, width, input_size, end)
                < product_bounds((width,) * depth, input_size, 1, end, input_size)[1]
            )
            assert found == next(saturated), (depth, width, input_size)

    def test_saturation_in_the_terms_of_generic_rank(self):
        for depth, width, input_size in ((1, 4, 2), (2, 2, 2), (2, 8, 4), (3, 2, 2), (3, 3, 3)):
            found = theory.saturation_length(depth, width, input_size)
            terms = [generic_rank(depth, width, input_size, 1, end, "one-hot") for end in range(1, found + 1)]
            below = [(t.state_count_refined or t.state_count) < t.end_count for t in terms]
            assert below == [False] * (found - 1) + [True]

    @pytest.mark.parametrize(
        ("case", "known"), [((1, 4, 2), 3), ((2, 2, 2), 4), ((2, 8, 4), 8), ((3, 2, 2), 11), ((3, 3, 3), 13)]
    )
    def test_known_saturation(self, case, known):
        assert theory.saturation_length(*case) == known

    def test_structures(self):
        names = {"diagonal": "WH_diagonal_random", "rank-one": "WH_rank_one", "permutation": "WH_cyclic_permutation"}
        for name, listed in names.items():
            for row in (r for r in TRUTH["structured_weights"] if r["structure"] == listed):
                found = theory.structured_rank(name, row["L"], row["R"], row["M"], row["S"], row["E"])
                assert row["rank_continuous"] <= found.upper_bound
                assert row["rank_continuous"] == found.value or not found.exact
        for case in ((1, 4, 2, 2, 3), (1, 2, 3, 1, 4), (2, 3, 3, 2, 2), (2, 2, 2, 5, 3), (2, 2, 3, 1, 4)):
            self.diagonal(*case)

    @staticmethod
    def diagonal(depth, width, input_size, start, end):
        layers = typical((width,) * depth, input_size, seed=40)
        for layer in layers:
            layer["weight_hh"] = np.diag(np.arange(2, width + 2))
        true = joint(far_table(circuit(layers), start, end, input_size, 25))
        found = theory.structured_rank("diagonal", depth, width, input_size, start, end)
        assert true <= found.upper_bound
        assert true == found.value or not found.exact

    @pytest.mark.parametrize(
        "wrong", ["identity ", "Diagonal", "toeplitz", ""], ids=["a blank", "capital", "unknown", "empty"]
    )
    def test_unknown_names(self, wrong):
        with pytest.raises(ValueError, match="diagonal"):
            theory.structured_rank(wrong, 1, 3, 2, 2, 2)
        with pytest.raises(ValueError, match="linear"):
            theory.cell_bound(wrong, 1, 3, 2)

    @pytest.mark.parametrize("wrong", [0, -1, True])
    @pytest.mark.parametrize(("name", "place"), [(n, k) for n, case in CALLS.items() for k in range(len(case))])
    def test_sizes_that_cannot_be(self, name, place, wrong):
        case = list(CALLS[name])
        case[place] = wrong
        with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
            getattr(theory, name)(*case)

    @pytest.mark.parametrize("wrong", [0, -1, True])
    def test_sizes_that_cannot_be_after_a_name(self, wrong):
        for place in range(5):
            case = [2, 3, 3, 2, 2]
            case[place] = wrong
            with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
                theory.structured_rank("diagonal", *case)
        for place in range(3):
            case = [2, 3, 2]
            case[place] = wrong
            with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
                theory.cell_bound("selective", *case)

    @pytest.mark.parametrize("wrong", [2.0, "2", None])
    @pytest.mark.parametrize("name", CALLS)
    def test_sizes_that_are_no_integers(self, name, wrong):
        with pytest.raises(REFUSED):
            getattr(theory, name)(wrong, *CALLS[name][1:])

    def test_partitions_are_symmetric(self):
        for width, input_size, length in product((1, 2, 3), (1, 2, 3), (2, 5, 6)):
            for times in permutations(range(1, length + 1), 2):
                rest = tuple(sorted(set(range(1, length + 1)) - set(times)))
                if rest:
                    one, other = (theory.partition_rank(width, input_size, length, a) for a in (times, rest))
                    assert one == other

    def test_the_largest_partition_alternates(self):
        for width, input_size in ((2, 2), (3, 2), (2, 3), (5, 2)):
            alternating = theory.partition_rank(width, input_size, 6, (1, 3, 5))
            assert alternating == min(width, input_size) ** 3
            every = (theory.partition_rank(width, input_size, 6, a) for a in combinations(range(1, 7), 3))
            assert max(every) == alternating

    def test_long_partitions(self):
        # by dynamic programming: 2^200 labellings are not tried
        odd = tuple(range(1, 200, 2))
        assert theory.partition_rank(3, 2, 200, odd) == 2**100
        halves_ = tuple(range(1, 101))
        assert theory.partition_rank(3, 2, 200, halves_) == 3

    def test_partition_bounds_hold_for_the_start_and_the_end(self):
        for depth, width, input_size in product((2, 3), (2, 3), (1, 2, 3)):
            sides = [site_counts(depth, min(width, input_size), steps) for steps in (range(1, 3), range(3, 6))]
            assert theory.partition_bound(depth, width, input_size, 5, (1, 2, 3)) <= min(sides)
