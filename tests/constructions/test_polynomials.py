"""Second-order constructions, run in exact fractions and in float64, against the polynomials that they stand for."""

import json
from fractions import Fraction
from math import prod
from pathlib import Path

import numpy as np
import pytest
from exact import exact_outputs, exact_states
from hypothesis import given, settings
from hypothesis import strategies as st

import hitherto
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.constructions.polynomials import (
    cumulative_product_network,
    horner_network,
    ladder_network,
    parity_network,
    unary_stack,
    window_product_network,
)
from hitherto.core.model import states_and_outputs
from hitherto.theory.depth_degree import polynomial_degree

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
halves = st.integers(-6, 6).map(lambda k: Fraction(k, 2))
thirds = st.fractions(-3, 3, max_denominator=7)
few = settings(max_examples=30)


def columns(numbers):
    return [[number] for number in numbers]


def first_channel(outputs):
    return [output[0] for output in outputs]


def in_float64(model, inputs):
    return states_and_outputs(model, np.array(columns(inputs), float))[1][:, 0].tolist()


class TestLadder:
    @pytest.mark.parametrize("case", TRUTH["ladder"], ids=str)
    def test_the_exact_vectors(self, case):
        depth, lag = case["L"], case["lag"]
        model = ladder_network(depth, lag)
        layers = getattr(model.architecture, "layers", (model.architecture,))
        assert isinstance(layers[0], RNN)
        assert len(layers) == depth
        assert {layer.width for layer in layers} == {case["width"]}
        assert {layer.cp_rank for layer in layers[1:]} <= {case["cp_rank"]}
        assert case["exponent"] == polynomial_degree(depth, lag=lag)
        x = [Fraction(k, 3) for k in (2, -1, 4, 5, -2, 1, 7)]
        delayed = [0] * lag + x[:-lag]
        assert first_channel(exact_outputs(model, columns(x))) == [one ** case["exponent"] for one in delayed]

    def test_every_unit_holds_the_power_of_its_lag(self):
        x = [Fraction(k) for k in (3, -2, 5, 2)]
        *_, (*_, top) = exact_states(ladder_network(3, 3), columns(x))
        assert top.tolist() == [x[-1 - lag] ** polynomial_degree(3, lag=lag) for lag in range(4)]

    def test_the_same_in_float64(self):
        x = [1, -2, 3, 2, -1, 0, 3]
        assert in_float64(ladder_network(3, 2), x) == [0, 0, *(one**6 for one in x[:-2])]

    @pytest.mark.parametrize("sizes", [(0, 1), (2, 0), (2, -1)])
    def test_impossible_sizes_are_refused(self, sizes):
        with pytest.raises(ValueError, match="give a whole number from 1 on"):
            ladder_network(*sizes)


class TestHorner:
    @few
    @given(st.lists(halves, min_size=3, max_size=10), st.lists(thirds, min_size=1, max_size=12))
    def test_any_polynomial_in_the_input_some_steps_back(self, coefficients, x):
        lag = len(coefficients) - 2
        delayed = ([Fraction(0)] * lag + x)[: len(x)]
        expected = [sum(c * one**power for power, c in enumerate(coefficients)) for one in delayed]
        assert first_channel(exact_outputs(horner_network(coefficients), columns(x))) == expected

    @pytest.mark.parametrize("lag", [1, 8])
    def test_sizes(self, lag):
        register, layer = horner_network([1] * (lag + 2)).architecture.layers
        assert register == RNN(1, lag + 1, activation="linear", bias=False)
        assert layer == SecondOrderRNN(lag + 1, lag + 1, 1, cp_rank=lag)

    def test_the_same_in_float64(self):
        x = [2, -1, 3, 0, 1, -2]
        expected = [5, 5, *(5 - 0.5 * one + 2 * one**3 for one in x[:-2])]
        assert in_float64(horner_network([5, Fraction(-1, 2), 0, 2]), x) == expected

    def test_coefficients_are_rounded_once(self):
        top = horner_network([Fraction(1, 3), 10**17 + 1, 0.1]).weights[1]
        assert top["bias"].tolist() == [1e17, 1 / 3]
        assert top["weight_ih"].tolist() == [[0.1, 0], [0, 0]]

    @pytest.mark.parametrize("coefficients", [[], [1], [1, 2]])
    def test_too_few_coefficients_are_refused(self, coefficients):
        with pytest.raises(ValueError, match=f"asked for with {len(coefficients)} coefficients; give at least 3"):
            horner_network(coefficients)

    @pytest.mark.parametrize("wrong", [float("nan"), -float("inf"), 10**400, Fraction(10**400, 3)])
    def test_what_float64_does_not_hold_is_refused(self, wrong):
        with pytest.raises(ValueError, match=r"the coefficient .* was given; give numbers that are finite"):
            horner_network([1, wrong, 2])


@few
@given(st.integers(1, 6), st.lists(thirds, min_size=1, max_size=10))
def test_window_products(delay, x):
    model = window_product_network(delay)
    assert (model.architecture.width, model.architecture.cp_rank) == (delay + 1, delay)
    padded = [0] * delay + x
    expected = [prod(padded[step : step + delay + 1]) for step in range(len(x))]
    assert first_channel(exact_outputs(model, columns(x))) == expected


@few
@given(st.integers(1, 3).flatmap(lambda d: st.lists(st.tuples(*[thirds] * d), min_size=1, max_size=9)))
def test_cumulative_products(x):
    channels = len(x[0])
    model = cumulative_product_network(channels)
    assert (model.architecture.width, model.architecture.cp_rank) == (channels, channels)
    assert "initial_h" not in model.weights
    outputs = exact_outputs(model, x)
    assert outputs == [[prod(column[: step + 1]) for column in zip(*x, strict=True)] for step in range(len(x))]


def test_products_in_float64():
    x = [3, -2, 5, 1, -1, 2]
    assert in_float64(window_product_network(2), x) == [0, 0, *(prod(x[k : k + 3]) for k in range(4))]
    assert in_float64(cumulative_product_network(), x) == [prod(x[: k + 1]) for k in range(6)]


@pytest.mark.parametrize(("word", "sign"), [("b", -1), ("ab", -1), ("bb", 1), ("bab", 1)])
def test_the_parity_of_words(word, sign):
    x = [{"a": 1, "b": -1}[letter] for letter in word]
    assert exact_outputs(parity_network(), columns(x))[-1] == [sign]


def test_parity_is_exact_at_any_length():
    signs = np.random.default_rng(0).choice([-1, 1], 5000)
    assert in_float64(parity_network(), signs) == np.cumprod(signs).tolist()


class TestUnaryStack:
    @pytest.mark.parametrize("case", TRUTH["unary_growth"], ids=str)
    def test_the_exact_vectors(self, case):
        (*_, top) = exact_states(unary_stack(case["L"]), [[2]] * case["t"])[-1]
        assert top.tolist() == [2 ** case["log2_value"]]

    def test_the_same_in_float64(self):
        assert in_float64(unary_stack(3), [2] * 17) == [2.0 ** polynomial_degree(3, step=t) for t in range(1, 18)]

    def test_one_layer_is_the_product(self):
        x = [Fraction(2), Fraction(-1, 3), Fraction(5)]
        assert [states[0].tolist() for states in exact_states(unary_stack(1), columns(x))] == [
            [prod(x[: k + 1])] for k in range(3)
        ]


@pytest.mark.parametrize("make", [window_product_network, cumulative_product_network, unary_stack])
@pytest.mark.parametrize("size", [0, -2])
def test_impossible_sizes_are_refused(make, size):
    with pytest.raises(ValueError, match=r"give a whole number from 1 on"):
        make(size)


@pytest.mark.parametrize(
    "model",
    [horner_network([1, 2, 3]), cumulative_product_network(2), unary_stack(2)],
    ids=["horner", "cumulative product", "unary"],
)
def test_saved_and_loaded(model, tmp_path):
    hitherto.save(model, tmp_path / "model.safetensors")
    found = hitherto.load(tmp_path / "model.safetensors")
    assert found.architecture == model.architecture
    layers = (m.weights if isinstance(m.weights, tuple) else (m.weights,) for m in (found, model))
    for read, written in zip(*layers, strict=True):
        assert read.keys() == written.keys()
        assert all(np.array_equal(read[name], w) for name, w in written.items())
