"""Automata against exact values, brute-force Hankel ranks and the networks that they stand for, all in fractions."""

import json
from fractions import Fraction
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pytest
from flint import fmpq, fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from hitherto.architectures.gated import GRU
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.conversions.automaton import WeightedAutomaton, from_automaton, to_automaton
from hitherto.core.model import Model, states_and_outputs

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
every_case = pytest.mark.parametrize("case", TRUTH["wfa"], ids=lambda case: case["name"])
WORDS = [word for length in range(5) for word in product(range(2), repeat=length)]
PARITY = WeightedAutomaton((1,), (((1,),), ((-1,),)), (1,))
few = settings(max_examples=40)
numbers = st.integers(-2, 2) | st.fractions(-2, 2, max_denominator=4)


@st.composite
def parts(draw, entries=numbers):
    """Of automata of up to three states; entries are often 0 or alike, so that states are often superfluous."""
    n = draw(st.integers(1, 3))
    row = st.tuples(*[entries] * n)
    return draw(row), draw(st.tuples(*[st.tuples(*[row] * n)] * 2)), draw(row)


def word_of(text):
    return ["ab".index(letter) for letter in text]


def network(case):
    """The oracle's layer with its readout and constant."""
    layer = {name: np.array(case["layer"][letter], float) for name, letter in NAMES.items()}
    weights = layer | {"readout": np.array(case["V"], float), "readout_bias": np.array(case["c"], float)}
    return Model(SecondOrderRNN(2, len(layer["bias"]), 1), weights)


NAMES = {"tensor": "A", "weight_hh": "W", "weight_ih": "U", "bias": "b"}
MINIMAL = {"parity": 1, "count_b": 2}


def by_definition(automaton, word):
    """start M_a M_b ... end, sum by sum."""
    row = automaton.start
    for letter in word:
        columns = zip(*automaton.transitions[letter], strict=True)
        row = [sum(r * m for r, m in zip(row, column, strict=True)) for column in columns]
    return sum(r * e for r, e in zip(row, automaton.end, strict=True))


def hankel_rank(automaton):
    """Rank of value(u v) over all words shorter than the number of states, which decide it."""
    words = [word for length in range(automaton.states) for word in product(range(2), repeat=length)]
    entries = [Fraction(by_definition(automaton, u + v)) for u in words for v in words]
    return fmpq_mat(len(words), len(words), [fmpq(e.numerator, e.denominator) for e in entries]).rank()


class TestExactVectors:
    @every_case
    def test_values(self, case):
        automaton = to_automaton(network(case))
        assert automaton.states == 2
        for smaller in (automaton, automaton.minimised()):
            assert [smaller.value(word_of(word)) for word in case["words"]] == case["values"]

    @every_case
    def test_the_smallest_automaton(self, case):
        assert to_automaton(network(case)).minimised().states == MINIMAL[case["name"]]
        assert case.get("minimal_wfa_states", MINIMAL[case["name"]]) == MINIMAL[case["name"]]

    def test_parity_gives_the_network_of_the_oracle(self):
        (case,) = (case for case in TRUTH["wfa"] if case["name"] == "parity")
        found, expected = from_automaton(PARITY).weights, network(case).weights
        assert all(np.array_equal(found[name], expected[name]) for name in found)
        assert to_automaton(network(case)).minimised() == PARITY

    @every_case
    def test_there_and_back(self, case):
        again = to_automaton(from_automaton(to_automaton(network(case))))
        assert [again.value(word_of(word)) for word in case["words"]] == case["values"]


class TestMinimised:
    @few
    @given(parts())
    def test_the_same_function_with_as_many_states_as_the_hankel_rank(self, parts):
        automaton = WeightedAutomaton(*parts)
        smallest = automaton.minimised()
        assert smallest.states == hankel_rank(automaton)
        for word in WORDS:
            assert smallest.value(word) == automaton.value(word) == by_definition(automaton, word)

    @few
    @given(parts())
    def test_once_is_enough(self, parts):
        smallest = WeightedAutomaton(*parts).minimised()
        assert smallest.minimised().states == smallest.states

    def test_states_beside_each_other_that_do_the_same_are_one(self):
        twice = WeightedAutomaton((1, 1), (((1, 0), (0, 1)), ((-1, 0), (0, -1))), (Fraction(1, 2), Fraction(1, 2)))
        assert twice.minimised().states == 1
        assert twice.minimised().value((0, 1, 1)) == 1

    def test_the_zero_function_keeps_no_state(self):
        nothing = WeightedAutomaton((1, 0), (((1, 0), (0, 1)),), (0, 1)).minimised()
        assert nothing == WeightedAutomaton((), ((),), ())
        assert nothing.value((0, 0)) == 0
        with pytest.raises(ValueError, match="automaton without states"):
            from_automaton(nothing)

    def test_a_long_chain(self):
        n = 12
        shift = tuple(tuple(int(j == i + 1) for j in range(n)) for i in range(n))
        chain = WeightedAutomaton((1, *[0] * (n - 1)), (shift,), (*[0] * (n - 1), 1))
        assert chain.minimised().states == n
        assert [chain.value([0] * length) for length in (n - 2, n - 1, n)] == [0, 1, 0]


@few
@given(parts(), st.lists(st.integers(0, 1), max_size=5))
def test_reversed(parts, word):
    automaton = WeightedAutomaton(*parts)
    assert automaton.reversed().value(word) == automaton.value(word[::-1])


@few
@given(parts(st.integers(-8, 8).map(lambda k: Fraction(k, 4))))
def test_the_network_of_an_automaton_is_an_automaton_of_one_more_state(parts):
    automaton = WeightedAutomaton(*parts)
    model = from_automaton(automaton)
    assert (model.architecture.width, model.dtype) == (automaton.states, np.float64)
    assert "initial_h" not in model.weights
    again = to_automaton(model)
    assert again.states == automaton.states + 1
    assert all(again.value(word) == automaton.value(word) for word in WORDS)


def test_the_network_runs_to_the_values():
    automaton = WeightedAutomaton((1, 2), (((1, -1), (0, 2)), ((0, 1), (1, 1))), (3, -1))
    word = (0, 1, 1, 0, 1, 0)
    _, y = states_and_outputs(from_automaton(automaton), np.eye(2)[list(word)])
    assert y[:, 0].tolist() == [automaton.value(word[: k + 1]) for k in range(len(word))]


def test_a_product_of_three_letters():
    factors = Fraction(1, 3), Fraction(-2), Fraction(5, 7)
    automaton = WeightedAutomaton((1,), tuple(((factor,),) for factor in factors), (1,))
    word = (2, 0, 0, 1, 2)
    assert automaton.value(word) == prod(factors[letter] for letter in word)


class TestLayers:
    FORMS = (
        SecondOrderRNN(3, 2, 2),
        SecondOrderRNN(3, 2),
        SecondOrderRNN(3, 2, 1, first_order=False, bias=False),
        SecondOrderRNN(3, 2, 1, cp_rank=2),
        SecondOrderRNN(3, 2, 1, tt_ranks=(2, 1)),
        RNN(3, 2, 1, activation="linear"),
        RNN(3, 2, activation="linear", bias=False),
    )

    @pytest.mark.parametrize("layer", FORMS, ids=str)
    def test_every_output_is_the_value_of_the_word_so_far(self, layer):
        word = (1, 0, 2, 2, 1, 0)
        model = whole(layer)
        start, y = model.weights["initial_h"], states_and_outputs(model, np.eye(3)[list(word)])[1]
        first = model.weights["readout"] @ start if "readout" in model.weights else start
        first = first + model.weights.get("readout_bias", 0)
        for output in range(layer.output_size):
            automaton = to_automaton(model, output)
            assert automaton.states == 3
            assert automaton.value(()) == first[output]
            assert [automaton.value(word[: k + 1]) for k in range(len(word))] == y[:, output].tolist()

    def test_float32_weights_are_taken_as_they_are(self):
        weights = {"weight_ih": np.array([[0.1]], np.float32), "weight_hh": np.zeros((1, 1), np.float32)}
        automaton = to_automaton(Model(RNN(1, 1, activation="linear", bias=False), weights))
        assert automaton.value((0,)) == Fraction(float(np.float32(0.1))) != Fraction(1, 10)


def whole(layer):
    """A model of small whole numbers that starts anywhere."""
    draw = np.random.default_rng(0)
    if isinstance(layer, RNN):
        shapes = {"weight_hh": (2, 2), "weight_ih": (2, 3)} | ({"bias_ih": (2,), "bias_hh": (2,)} if layer.bias else {})
        shapes |= {} if layer.readout_size is None else {"readout": (layer.readout_size, 2)}
    else:
        shapes = layer.shapes()
    shapes |= {"initial_h": (2,)} | ({"readout_bias": (layer.readout_size,)} if layer.readout_size else {})
    return Model(layer, {name: draw.integers(-3, 4, shape).astype(float) for name, shape in shapes.items()})


class TestRefusals:
    def test_stacks_with_the_reason(self):
        stack = Deep((SecondOrderRNN(2, 3), SecondOrderRNN(3, 3)))
        with pytest.raises(ValueError, match=r"a stack of 2, .* reach 2\^\(t \(t \+ 1\) / 2\) .*; give one layer"):
            to_automaton(Model(stack, ({}, {})))

    @pytest.mark.parametrize(
        "layer",
        [
            SecondOrderRNN(2, 3, activation="tanh"),
            SecondOrderRNN(2, 3, output_activation="relu"),
            RNN(2, 3),
            RNN(2, 3, activation="linear", clip=1.0),
            RNN(2, 3, 1, activation="linear", parametrisation="ntk"),
            GRU(2, 3),
        ],
        ids=str,
    )
    def test_other_layers(self, layer):
        with pytest.raises(ValueError, match=r"takes a SecondOrderRNN or RNN without .*; give such a layer"):
            to_automaton(Model(layer, {}))

    @pytest.mark.parametrize("output", [-1, 2])
    def test_channels_that_are_not_there(self, output):
        with pytest.raises(ValueError, match=rf"output {output} was asked for, there are 0\.\.1"):
            to_automaton(whole(SecondOrderRNN(3, 2, 2)), output)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_numbers_that_are_not_finite(self, wrong):
        model = whole(SecondOrderRNN(3, 2, 1))
        with pytest.raises(ValueError, match="given a bias that is not finite"):
            to_automaton(Model(model.architecture, model.weights | {"bias": np.array([1.0, wrong])}))

    def test_numbers_beyond_float64(self):
        with pytest.raises(ValueError, match="beyond float64 was given to from_automaton; scale"):
            from_automaton(WeightedAutomaton((10**400,), (((1,),),), (1,)))

    @pytest.mark.parametrize("letter", [-1, 2])
    def test_letters_outside_the_alphabet(self, letter):
        with pytest.raises(ValueError, match=rf"letters \[{letter}\] was given; the alphabet is 0\.\.1"):
            PARITY.value((0, letter))

    @pytest.mark.parametrize(
        ("start", "transitions", "end"),
        [((1,), (), (1,)), ((1, 2), (((1,),),), (1, 2)), ((1,), (((1, 2),),), (1,)), ((1,), (((1,),),), (1, 2))],
    )
    def test_sizes_that_disagree(self, start, transitions, end):
        with pytest.raises(ValueError, match=r"an automaton was asked for with . entries at the start.*; give as many"):
            WeightedAutomaton(start, transitions, end)
