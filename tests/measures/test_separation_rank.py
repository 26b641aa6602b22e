"""Exact separation ranks against the oracle's vectors, given weights, other cells, and bad input."""

import json
import warnings
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import thinned

import hitherto
from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, Powers
from hitherto.architectures.gated import LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import Model, build
from hitherto.measures._residues import Prime
from hitherto.measures.separation_rank import partition_rank, start_end_rank
from hitherto.theory.start_end import generic_rank

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
RANKS = TRUTH["generic_ranks"]
BIG = 10**6  # random integer weights up to this size are generic enough


def label(row: dict) -> str:
    return " ".join(f"{name}{value}" for name, value in row.items() if name not in ("rank", "cuts"))


def circuit(depth: int, width: int | list[int], input_size: int) -> ArithmeticCircuit | Deep:
    """A stack with one output."""
    widths = [width] * depth if isinstance(width, int) else width
    sizes = [input_size, *widths]
    layers = [ArithmeticCircuit(sizes[k], sizes[k + 1], 1 if k == depth - 1 else None) for k in range(depth)]
    return layers[0] if depth == 1 else Deep(tuple(layers))


def model_of(weights_ih, weights_hh, readout, initial=None) -> Model:
    """A circuit with given numbers, exact as they are."""
    layers = [{"weight_ih": np.array(u), "weight_hh": np.array(w)} for u, w in zip(weights_ih, weights_hh, strict=True)]
    layers[-1]["readout"] = np.atleast_2d(readout)
    for layer, h in zip(layers, initial or [None] * len(layers), strict=True):
        layer |= {} if h is None else {"initial_h": np.array(h)}
    made = circuit(len(layers), [len(u) for u in weights_ih], len(weights_ih[0][0]))
    return Model(made, layers[0] if len(layers) == 1 else tuple(layers))


def random_model(depth, widths, input_size, recurrent, seed=0, initial=None) -> Model:
    """Random integer weights, the recurrent ones made by `recurrent(rng, width, layer)`."""
    rng = np.random.default_rng(seed)
    sizes = [input_size, *widths]
    weights_ih = [rng.integers(-BIG, BIG, (sizes[k + 1], sizes[k])) for k in range(depth)]
    weights_hh = [recurrent(rng, widths[k], k) for k in range(depth)]
    return model_of(weights_ih, weights_hh, rng.integers(-BIG, BIG, widths[-1]), initial)


def quiet(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return start_end_rank(*arguments, **settings)


@pytest.mark.parametrize("row", thinned([r for r in RANKS if r["rank"] <= 1000], 3), ids=label)
def test_generic_ranks(row):
    inputs = "continuous" if row["version"] == "continuous" else row["Z"]
    found = start_end_rank(circuit(row["L"], row["R"], row["M"]), row["S"], row["E"], inputs=inputs)
    assert isinstance(found.value, int)
    assert found.value == row["rank"]
    assert not found.cannot_tell


@pytest.mark.parametrize("row", [r for r in RANKS if r["version"] == "continuous" and r["rank"] <= 1000], ids=label)
def test_a_reached_bound_is_a_proof(row):
    sizes = (row["L"], row["R"], row["M"])
    bound = generic_rank(*sizes, row["S"], row["E"]).upper_bound
    found = start_end_rank(circuit(*sizes), row["S"], row["E"], bound=bound)
    assert found.value == row["rank"]
    assert found.statistics["status"] == "certified"
    assert found.statistics["error_probability"] == 0
    assert len(found.statistics["primes"]) == 1


@pytest.mark.parametrize("row", TRUTH["closed_form_exceptions_continuous"], ids=label)
def test_exceptions_of_the_closed_form(row):
    assert start_end_rank(circuit(row["L"], row["R"], row["M"]), row["S"], row["E"]).value == row["rank"]


@pytest.mark.parametrize("row", thinned(TRUTH["cut_profiles"], 2), ids=label)
def test_cut_profiles(row):
    made = circuit(row["L"], row["R"], row["M"])
    for inputs, ranks in (("continuous", row["rank_continuous"]), ("one-hot", row["rank_onehot"])):
        found = [start_end_rank(made, cut, row["T"] - cut, inputs=inputs).value for cut in row["cuts"]]
        assert found == ranks


def of_rank(rank):
    return lambda rng, width, layer: (
        rng.integers(-BIG, BIG, (width, rank[layer])).astype(object)
        @ rng.integers(-BIG, BIG, (rank[layer], width)).astype(object)
    )


@pytest.mark.parametrize("row", TRUTH["widths_and_rank_deficient_WH"], ids=label)
def test_widths_and_deficient_recurrences(row):
    model = random_model(len(row["widths"]), row["widths"], row["M"], of_rank(row["rank_WH"]))
    assert start_end_rank(model, row["S"], row["E"]).value == row["rank_continuous"]


STRUCTURES = {
    "WH_diagonal_random": lambda rng, width, _: np.diag(rng.integers(1, BIG, width)),
    "WH_identity": lambda rng, width, _: np.eye(width, dtype=int),
    "WH_rank_one": lambda rng, width, _: of_rank([1] * 9)(rng, width, 0),
    "WH_cyclic_permutation": lambda rng, width, _: np.roll(np.eye(width, dtype=int), 1, axis=0),
    "h0_zero": lambda rng, width, _: rng.integers(-BIG, BIG, (width, width)),
}


@pytest.mark.parametrize("row", thinned(TRUTH["structured_weights"], 3), ids=label)
def test_structured_weights(row):
    depth, width = row["L"], row["R"]
    zeros = [[0] * width] * depth if row["structure"] == "h0_zero" else None
    model = random_model(depth, [width] * depth, row["M"], STRUCTURES[row["structure"]], initial=zeros)
    for inputs, rank in (("continuous", row["rank_continuous"]), ("one-hot", row["rank_onehot"])):
        assert quiet(model, row["S"], row["E"], inputs=inputs).value == rank


def test_explicit_networks_over_the_integers():
    """The grid of the oracle is all pairs of one-hot symbols: the whole matrix is there, and its rank given."""
    case = TRUTH["explicit_net_A"]
    weights = case["weights"]
    model = model_of(weights["WI"], weights["WH"], weights["WO"])
    found = start_end_rank(model, 2, 2, inputs="one-hot")
    assert found.value == case["rank_over_Q"]
    assert found.statistics["degree"] == 0  # nothing but the prime was drawn
    assert outputs_of(model, case) == case["outputs"]
    for word, states in zip(case["starts"], case["start_states_layer1_layer2"], strict=True):
        after = hitherto.states_and_outputs(model.astype(float), np.array(word, float))[0]
        assert [layer.h[-1].tolist() for layer in after] == states


def outputs_of(model: Model, case: dict) -> list[list[int]]:
    """Y in floats, which hold these integers exactly."""
    words = [[np.array(s + e, float) for e in case["ends"]] for s in case["starts"]]
    run = lambda word: int(hitherto.states_and_outputs(model.astype(float), word)[1][-1, 0])  # noqa: E731
    return [[run(word) for word in row] for row in words]


def test_explicit_network_with_continuous_inputs():
    case, weights = TRUTH["explicit_net_B_continuous_inputs"], TRUTH["explicit_net_A"]["weights"]
    model = model_of(weights["WI"], weights["WH"], weights["WO"])
    assert start_end_rank(model, 2, 2).value == case["rank_over_Q"]
    assert outputs_of(model, case | {"ends": case.get("ends", case["starts"])}) == [
        [int(value) for value in row] for row in case["outputs"]
    ]


def test_explicit_network_with_an_initial_state():
    case = TRUTH["explicit_net_C_L1_with_h0"]
    weights = case["weights"]
    model = model_of(weights["WI"], weights["WH"], weights["WO"], weights["h0"])
    assert start_end_rank(model, 2, 2, inputs="one-hot").value == case["rank_over_Q"]
    assert outputs_of(model, case) == case["outputs"]


def test_floats_are_exact():
    case = TRUTH["float_weight_circuit_exact"]
    weights = case["weights"]
    model = model_of(weights["WI"], weights["WH"], weights["WO"])
    assert [start_end_rank(model, case["S"], end).value for end in case["E"]] == case["rank_continuous"]


@pytest.mark.parametrize("row", TRUTH["partition_ranks"], ids=label)
def test_any_set_of_times(row):
    inputs = row.get("version", "one-hot")
    made = circuit(row["L"], row["R"], row["M"])
    assert partition_rank(made, row["T"], row["A"], inputs=inputs).value == row["rank"]


def test_the_first_steps_are_one_set_of_times():
    made = circuit(2, 2, 2)
    assert partition_rank(made, 6, {1, 2, 3}).value == start_end_rank(made, 3, 3).value == 8


# ---------------------------------------------------------------- other cells


def integers(rng, *shape):
    return rng.integers(-BIG, BIG, shape).astype(float)


def cell(row):
    """A stack of the oracle's cells with random integer weights, as a step function."""
    rng, width, depth = np.random.default_rng(4), row["R"], row["L"]
    sizes = [row["M"], *[width] * depth]
    made = [LAYERS[row["cell"]](rng, sizes[k], width) for k in range(depth)]
    readout = integers(rng, width)

    def step(state, x):
        after = []
        for layer, h in zip(made, state, strict=True):
            h, x = layer(h, x)
            after.append(h)
        return tuple(after), (readout @ x)[None]

    start = integers(rng, width) if row["cell"] == "second_order" else np.zeros(width)
    return hitherto.adapt(step, (start,) * depth, row["M"])


def linear(rng, size, width):
    w, u, b = integers(rng, width, width), integers(rng, width, size), integers(rng, width)
    return lambda h, x: 2 * (w @ h + u @ x + b,)


def second_order(rng, size, width):
    a = integers(rng, width, width, size)
    return lambda h, x: 2 * (jnp.einsum("kij,i,j->k", a, h, x),)


def multiplicative_integration(rng, size, width):
    w, u, a = integers(rng, width, width), integers(rng, width, size), integers(rng, 4, width)
    return lambda h, x: 2 * (a[0] * (w @ h) * (u @ x) + a[1] * (w @ h) + a[2] * (u @ x) + a[3],)


def selective(rng, size, width):
    a, c, b, d = (
        integers(rng, width, size),
        integers(rng, width),
        integers(rng, width, size),
        integers(rng, width, width),
    )

    def step(h, x):
        h = (a @ x + c) * h + b @ x
        return h, d @ h

    return step


def square(rng, size, width):
    w, u, b = integers(rng, width, width), integers(rng, width, size), integers(rng, width)
    return lambda h, x: 2 * ((w @ h + u @ x + b) ** 2,)


LAYERS = {"linear": linear, "second_order": second_order, "mi": multiplicative_integration} | {
    "selective": selective,
    "square": square,
}


@pytest.mark.parametrize("row", thinned(TRUTH["other_cells"], 5), ids=label)
def test_other_cells(row):
    assert start_end_rank(cell(row), row["S"], row["E"]).value == row["rank"]


class TestArchitectures:
    def test_a_second_order_layer_keeps_its_width(self):
        assert start_end_rank(SecondOrderRNN(2, 3, 1, first_order=False, bias=False), 3, 3, output=0).value == 0

    def test_a_second_order_layer_with_a_start(self):
        layer = SecondOrderRNN(2, 3, 1, first_order=False, bias=False)
        model = Model(layer, build(layer).weights | {"initial_h": np.ones(3)})
        assert start_end_rank(model, 3, 3).value == 3
        assert start_end_rank(model, 3, 3, weights="random").value == 3

    def test_linear_layers_interact_in_no_way(self):
        for layer in (RNN(2, 4, activation="linear", readout_size=1), StateSpace(2, 4, 1)):
            assert start_end_rank(build(layer), 4, 4).value == 2

    @pytest.mark.slow
    def test_weights_that_are_prepared_in_floats(self):
        """The orthogonal matrix is no polynomial of its parameters; what comes of them is taken as it is."""
        layer = UnitaryRNN(2, 4, 1, activation="linear")
        assert start_end_rank(build(layer), 4, 4).value == 2
        with pytest.raises(ValueError, match="no exact separation rank"):
            start_end_rank(layer, 4, 4)

    def test_features_on_a_curve(self):
        made = Deep((Powers(2), ArithmeticCircuit(3, 3), ArithmeticCircuit(3, 3, 1)))
        assert start_end_rank(made, 2, 2).value == 15


class TestOutputs:
    def test_each_one_and_all_together(self):
        layer = ArithmeticCircuit(2, 3, 2)
        each = start_end_rank(layer, 3, 3)
        assert each.value.tolist() == [3, 3]
        assert start_end_rank(layer, 3, 3, output=1).value == 3
        assert start_end_rank(layer, 3, 3, output="joint").value == 3

    def test_jointly_more_than_each(self):
        """Two units of one layer without readout: each is one product at the last step, together they are two."""
        layer = ArithmeticCircuit(2, 2)
        assert start_end_rank(layer, 2, 1).value.tolist() == [1, 1]
        assert start_end_rank(layer, 2, 1, output="joint").value == 2


class TestWhatIsKnown:
    def test_too_few_samples_say_at_least(self):
        found = start_end_rank(circuit(2, 3, 2), 4, 4, most_samples=20)
        assert found.value == 20
        assert found.statistics["status"] == ">= 20"
        assert "20 starts and 20 ends do not decide it" in found.cannot_tell

    def test_a_whole_grid_of_full_rank_is_a_proof(self):
        found = start_end_rank(circuit(2, 2, 2), 3, 3, inputs="one-hot")
        assert (found.value, found.statistics["status"]) == (8, "certified")

    def test_part_of_a_grid_is_a_lower_bound(self):
        found = start_end_rank(circuit(1, 2, 2), 6, 6, inputs="one-hot", most_samples=40)
        assert found.statistics["status"] == ">= 2"

    def test_the_error_probability_is_told(self):
        found = start_end_rank(circuit(2, 3, 2), 4, 4)
        bound = (42 + 1) * found.statistics["degree"]
        first, second = found.statistics["primes"]
        assert found.statistics["error_probability"] == pytest.approx(bound**2 / first / second, rel=1e-12)
        assert found.statistics["status"] == "exact with error probability <= 4e-11"

    def test_seeds_agree(self):
        assert {start_end_rank(circuit(2, 2, 2), 3, 3, seed=seed).value for seed in range(5)} == {8}

    def test_a_wrong_bound_is_noticed(self):
        with pytest.raises(ValueError, match="at least 42, so 41 is no upper bound"):
            start_end_rank(circuit(2, 3, 2), 4, 4, bound=41)

    def test_a_zero_function_is_told(self):
        model = random_model(1, [3], 2, STRUCTURES["h0_zero"], initial=[[0, 0, 0]])
        with pytest.warns(UserWarning, match="makes the output zero for all inputs"):
            found = start_end_rank(model, 2, 2)
        assert (found.value, found.statistics["status"]) == (0, "zero function")

    def test_primes_that_divide_denominators_are_not_used(self, monkeypatch):
        """Denominators of all primes of the range but a few cannot be had: one prime drawn first is made unusable."""
        model = random_model(1, [3], 2, STRUCTURES["h0_zero"])
        prime = start_end_rank(model, 2, 2).statistics["primes"][0]
        exact = np.vectorize(lambda v: Fraction(int(v), prime), otypes=[object])
        found = start_end_rank(Model(model.architecture, {n: exact(w) for n, w in model.weights.items()}), 2, 2)
        assert found.value == 3
        assert prime not in found.statistics["primes"]


def complex_model() -> Model:
    model = random_model(1, [2], 2, STRUCTURES["h0_zero"])
    return Model(model.architecture, {name: w * 1j for name, w in model.weights.items()})


class TestBadInput:
    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (lambda: start_end_rank(circuit(1, 2, 2), 0, 3), "asked for with start=0; give"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, -1), "asked for with end=-1; give"),
            (lambda: partition_rank(circuit(1, 2, 2), 3, {1, 2, 3}), "do not part the steps 1..3"),
            (lambda: start_end_rank(LSTM(2, 3), 2, 2, output=0), "no exact separation rank: its step uses `logistic`"),
            (lambda: start_end_rank(RNN(2, 3), 2, 2, output=0), "uses `tanh`.*separation_spectrum"),
            (lambda: start_end_rank(RNN(2, 3, activation="relu"), 2, 2, output=0), "uses `max`"),
            (lambda: start_end_rank(Bidirectional(RNN(2, 3), RNN(2, 3)), 2, 2), "forward in time"),
            (lambda: start_end_rank(complex_model(), 2, 2), "are complex"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, inputs="onehot"), "no kind of inputs 'onehot'"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, inputs=0), "inputs=0; give"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, inputs=np.ones((3, 5))), r"give rows of 2 features"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, output=1), "output 1 was asked for, there are 0..0"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, output="all"), "no choice of outputs 'all'.*joint"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, weights="given"), "but it has none"),
            (lambda: start_end_rank(circuit(1, 2, 2), 2, 2, weights="rand"), "no choice of weights 'rand'"),
        ],
    )
    def test_what_makes_no_sense(self, call, says):
        with pytest.raises(ValueError, match=says):
            call()

    @pytest.mark.parametrize("wrong", [4, 2**29 + 1, 2**31 - 1, 536870909])
    def test_primes_that_do_not_fit(self, wrong):
        """Composite, or outside the range in which no sum can overflow."""
        with pytest.raises(ValueError, match=f"a prime between 2\\^29 and 2\\^30, got {wrong}; give one"):
            Prime.of(wrong)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_weights_that_are_no_numbers(self, wrong):
        model = random_model(2, [2, 2], 2, STRUCTURES["h0_zero"]).astype(float)
        model.weights[1]["weight_hh"][1, 0] = wrong
        with pytest.raises(ValueError, match=rf"weights\[1\]\['weight_hh'\] hold {wrong} at \(1, 0\); exact"):
            start_end_rank(model, 2, 2)
