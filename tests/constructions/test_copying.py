"""Copy networks against exact matrices, and run exactly: every delay that the law allows, none that it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions import copying
from hitherto.constructions.copying import copy_network
from hitherto.core.model import states_and_outputs
from hitherto.theory.depth import copy_obstacle, copy_reach

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
CASES = TRUTH["copy_feasibility"]
stacks = st.integers(1, 4).flatmap(
    lambda channels: st.tuples(st.lists(st.integers(channels, channels + 7), min_size=1, max_size=6), st.just(channels))
)


def label(case):
    return f"{case['widths'][:8]}d{case['d']}k{case['k']}"


def parts(model):
    return model.weights if isinstance(model.weights, tuple) else (model.weights,)


def whole(matrix):
    """The matrix in whole numbers, which must be all 0 or 1."""
    assert matrix.dtype == np.float64
    assert set(np.unique(matrix)) <= {0, 1}
    return matrix.astype(int)


def impulse_responses(model, lags):
    """Outputs, and the sum over units and lags of all states, for an impulse in every channel; in whole numbers."""
    layers = [{name: whole(w) for name, w in weights.items()} for weights in parts(model)]
    channels = model.architecture.input_size
    states = [np.zeros((len(layer["weight_hh"]), channels), int) for layer in layers]
    outputs, seen = [], [0] * len(layers)
    for step in range(lags):
        signal = np.eye(channels, dtype=int) * (step == 0)
        for number, layer in enumerate(layers):
            signal = states[number] = layer["weight_hh"] @ states[number] + layer["weight_ih"] @ signal
            seen[number] = seen[number] + signal.sum(1)
        outputs.append(layers[-1]["readout"] @ signal)
    return np.array(outputs), seen


def assert_copies(model, widths, channels, delay):
    lags = sum(widths) + 1  # all registers are empty by then, so later outputs are 0 too
    outputs, seen = impulse_responses(model, lags)
    expected = np.zeros((lags, channels, channels), int)
    expected[delay] = np.eye(channels)
    np.testing.assert_array_equal(outputs, expected)
    return seen


class TestExactVectors:
    def test_the_matrices(self):
        (case,) = TRUTH["copy_construction"]
        model = copy_network(case["widths"], case["d"], case["k"])
        assert [w["weight_hh"].tolist() for w in model.weights] == case["W"]
        assert [w["weight_ih"].tolist() for w in model.weights] == case["U"]
        assert model.weights[-1]["readout"].tolist() == case["V"]
        assert model.architecture == Deep(
            (RNN(2, 3, activation="linear", bias=False), RNN(3, 3, 2, activation="linear", bias=False))
        )
        assert impulse_responses(model, len(case["markov"]))[0].tolist() == case["markov"]

    @pytest.mark.parametrize("case", [c for c in CASES if c["feasible"]], ids=label)
    def test_every_feasible_case_copies(self, case):
        model = copy_network(case["widths"], case["d"], case["k"])
        assert [len(w["weight_hh"]) for w in parts(model)] == case["widths"]
        assert_copies(model, case["widths"], case["d"], case["k"])

    @pytest.mark.parametrize("case", [c for c in CASES if not c["feasible"]], ids=label)
    def test_every_infeasible_case_is_refused_with_its_obstacle(self, case):
        with pytest.raises(ValueError, match="is infeasible: ") as refusal:
            copy_network(case["widths"], case["d"], case["k"])
        assert copy_obstacle(case["widths"], case["d"], case["k"]) in str(refusal.value)


@given(stacks)
def test_it_copies_at_the_reach_and_not_beyond(stack):
    widths, channels = stack
    reach = copy_reach(widths, channels)
    seen = assert_copies(copy_network(widths, channels, reach), widths, channels, reach)
    used = [np.count_nonzero(units) for units in seen]
    assert sum(used) == channels * (reach + len(widths))  # as many cells as the delays and the ways through need
    with pytest.raises(ValueError, match=rf"needed {(reach + 1) * channels}, available .* a delay of at most {reach}$"):
        copy_network(widths, channels, reach + 1)


@given(stacks, st.integers(0, 5))
def test_shorter_delays_leave_the_upper_layers_alone(stack, shorter):
    widths, channels = stack
    delay = max(0, copy_reach(widths, channels) - shorter)
    seen = assert_copies(copy_network(widths, channels, delay), widths, channels, delay)
    held = [int(np.count_nonzero(units)) - channels for units in seen]
    room = np.cumsum(np.array(widths) - channels)
    assert np.cumsum(held).tolist() == np.minimum(room, channels * delay).tolist()  # filled from below


def test_one_layer_is_a_plain_layer():
    model = copy_network((9,), 2, 3)
    assert model.architecture == RNN(2, 9, 2, activation="linear", bias=False)
    assert set(model.weights) == {"weight_ih", "weight_hh", "readout"}


@pytest.mark.parametrize(("widths", "channels", "delay"), [((7, 3, 8), 3, 3), ((2,), 2, 0), ((4, 5), 1, 4)])
def test_the_same_through_the_library(widths, channels, delay):
    x = np.random.default_rng(0).standard_normal((12, channels))
    _, y = states_and_outputs(copy_network(widths, channels, delay), x)
    np.testing.assert_array_equal(y, np.concatenate([np.zeros((delay, channels)), x])[:12])


def test_a_large_network_is_made():
    weights = copy_network((1500, 1500), 2, 1400).weights
    assert [int(w["weight_hh"].sum()) for w in weights] == [1498, 2 * 1400 - 1498]


def test_a_network_beyond_memory_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(copying, "shift_registers", None)
    with pytest.raises(ValueError, match=r"400,040,000 entries .* 3\.0 GiB.*; spread the delay over more layers"):
        copy_network((20_000,), 1, 19_999)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"infeasible: a width below the signal .*layer 2 has 1 .*at least 2 units"):
        copy_network((5, 1, 5), 2, 0)
    for widths, channels, delay in (((), 1, 0), ((3,), 0, 1), ((3,), 1, -1), ((3, 0), 1, 1)):
        with pytest.raises(ValueError, match="need"):
            copy_network(widths, channels, delay)
