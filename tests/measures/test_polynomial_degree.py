"""Degrees, growth and exact values of given polynomial models, against exact vectors."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, build
from hitherto.measures.polynomial_degree import exact_outputs, log2_growth, polynomial_degree

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())


def stack(depth: int, width: int = 1, channels: int = 1, **settings) -> Architecture:
    sizes = [channels, *[width] * depth]
    layers = [SecondOrderRNN(sizes[k], width, 1 if k == depth - 1 else None, **settings) for k in range(depth)]
    return Deep(tuple(layers))


def degrees(model: Model, steps: int, lagged: bool = False) -> list[list[float]]:
    """By layer; the readout's last."""
    return [list(found.value) for found in polynomial_degree(model, steps, lagged=lagged)]


@pytest.mark.parametrize(
    "settings", [dict(cp_rank=1), dict(width=2), dict(width=2, channels=2, cp_rank=2), dict(width=3, cp_rank=4)]
)
def test_every_layer_reaches_the_degrees_of_the_oracle(settings):
    model, steps = build(stack(4, **settings), 1, np.float64), 6
    total, lagged = degrees(model, steps), degrees(model, steps, lagged=True)
    for row in TRUTH["degree_total"]:
        if row["L"] <= 4 and row["t"] <= steps:
            assert total[row["L"] - 1][row["t"] - 1] == row["degree"]
    for row in TRUTH["degree_in_one_input"]:
        if row["L"] <= 4 and row["lag"] < steps:
            assert lagged[row["L"] - 1][row["lag"]] == row["degree"]
    assert total[-1] == total[-2]


def test_deep_and_long():
    assert degrees(build(stack(1), 0), 64)[0][-1] == 64
    assert degrees(build(stack(3, cp_rank=1), 0), 10)[2][-1] == 220
    assert degrees(build(stack(2, cp_rank=1), 0), 9, lagged=True)[1][8] == 9


def test_variants():
    silent = build(stack(2, first_order=False, bias=False), 0)
    assert degrees(silent, 3) == [[-np.inf] * 3] * 3
    linear = build(Deep((RNN(1, 2, activation="linear"), RNN(2, 2, 1, activation="linear"))), 0)
    assert degrees(linear, 4) == [[1.0] * 4] * 3
    squared = Deep(tuple(RNN(1, 1, activation="linear", output_activation="square") for _ in range(3)))
    assert degrees(build(squared, 0), 3)[-1] == [8.0] * 3
    model = build(stack(2, width=2), 3)
    without_inputs = Model(
        model.architecture, tuple(layer | {"weight_ih": 0 * layer["weight_ih"]} for layer in model.weights)
    )
    assert degrees(without_inputs, 5)[1] == [0, 1, 3, 6, 10]


def test_other_polynomial_cells():
    integrated = MultiplicativeIntegrationRNN(2, 3, 1, activation="linear")
    assert degrees(build(integrated, 0), 5)[0] == [1, 2, 3, 4, 5]
    assert degrees(build(ArithmeticCircuit(2, 3, 1), 0), 4)[-1] == [1, 2, 3, 4]


def test_growth():
    for row in TRUTH["unary_growth"]:
        layers = [{"factor_out": np.ones((1, 1)), "factor_hidden": np.ones((1, 1)), "factor_input": np.ones((1, 1))}]
        layers = [one | {"initial_h": np.ones(1)} for one in layers * row["L"]]
        layers[-1] |= {"readout": np.ones((1, 1))}
        model = Model(stack(row["L"], cp_rank=1, first_order=False, bias=False), tuple(layers))
        found = log2_growth(model, 2, row["t"])
        assert found.value[-1] == pytest.approx(row["log2_value"], rel=1e-15)
        assert found.standard_error.max() < 1e-15
    halved = Model(
        RNN(1, 1, activation="linear", bias=False), dict(weight_hh=np.ones((1, 1)) / 2, weight_ih=np.ones((1, 1)))
    )
    np.testing.assert_allclose(log2_growth(halved, 1.0, 3).value, np.log2([1, 1.5, 1.75]))
    assert list(log2_growth(halved, 0.0, 2).value) == [-np.inf, -np.inf]


@pytest.mark.parametrize("row", TRUTH["two_rnn_eval"], ids=lambda row: f"{row['L']} {row['n']} {row['d']}")
def test_values_are_exact(row):
    names = dict(A="tensor", W="weight_hh", U="weight_ih", b="bias")
    weights = [{names[key]: np.array(value, float) for key, value in layer.items()} for layer in row["layers"]]
    layers = [SecondOrderRNN(w["weight_ih"].shape[1], row["n"]) for w in weights]
    found = exact_outputs(Model(Deep(tuple(layers)), tuple(weights)), np.array(row["x"]))
    assert found.tolist() == row["h_top"]
    assert isinstance(found[0, 0], Fraction)


@pytest.mark.parametrize(
    ("model", "steps", "told"),
    [
        (lambda: build(RNN(1, 2, 1), 0), 3, "tanh"),
        (lambda: build(stack(2), 0), 0, "at least 1"),
        (lambda: build(stack(4), 0), 60, "closed form"),
        (
            lambda: Model(
                stack(1), ({"bias": np.array([np.nan])} | build(stack(1), 0).weights[0] | {"bias": np.array([np.nan])},)
            ),
            2,
            "finite",
        ),
    ],
)
def test_refusals(model, steps, told):
    with pytest.raises(ValueError, match=told):
        polynomial_degree(model(), steps)
