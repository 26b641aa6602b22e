"""Outputs and states equal to PyTorch's own, read through a state dict."""

import json
from itertools import product
from pathlib import Path

import jax
import numpy as np
import pytest

from hitherto.architectures.outside.arrays import from_state_dict, in_memory
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.names import read_named
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import Hidden, HiddenAndCell, states_and_outputs

ORACLES = json.loads((Path(__file__).parents[1] / "oracles" / "formats_oracles.json").read_text())


def start_of(architecture, h, c, rows):
    """The state of an architecture from PyTorch's h0 and c0, ordered (layer, direction)."""
    if isinstance(architecture, Deep):
        return tuple(start_of(layer, h, c, rows) for layer in architecture.layers)
    if isinstance(architecture, Bidirectional):
        return start_of(architecture.forward, h, c, rows), start_of(architecture.backward, h, c, rows)
    row = next(rows)
    return Hidden(h[row]) if c is None else HiddenAndCell(h[row], c[row])


def last_of(architecture, states, part):
    """h_n or c_n in PyTorch's order: a backward direction ends at the first step."""
    if isinstance(architecture, Deep):
        parts = zip(architecture.layers, states, strict=True)
        return np.concatenate([last_of(layer, state, part) for layer, state in parts])
    if isinstance(architecture, Bidirectional):
        return np.stack([getattr(states[0], part)[-1], getattr(states[1], part)[0]])
    return getattr(states, part)[-1][None]


@pytest.mark.parametrize("case", ORACLES["torch"], ids=lambda c: c["name"])
def test_layers(case):
    arrays = in_memory("case", {name: np.array(w) for name, w in case["weights"].items()})
    [found] = read_named(arrays, Reading(activation=case["nonlinearity"]))
    architecture = found.model.architecture
    h, c = np.array(case["h0"]), None if case["c0"] is None else np.array(case["c0"])
    start = start_of(architecture, h, c, iter(range(len(h))))
    states, y = states_and_outputs(found.model, np.array(case["x"]), start)
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=1e-12)
    for part in ("h", "c") if c is not None else ("h",):
        np.testing.assert_allclose(last_of(architecture, states, part), case[f"{part}_n"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", ORACLES["torch_cells"], ids=lambda c: c["name"])
def test_cells(case):
    arrays = in_memory("case", {name: np.array(w) for name, w in case["weights"].items()})
    [found] = read_named(arrays, Reading(activation=case["nonlinearity"]))
    h, c = np.array(case["h0"]), None if case["c0"] is None else np.array(case["c0"])
    start = Hidden(h) if c is None else HiddenAndCell(h, c)
    _, y = states_and_outputs(found.model, np.array(case["x"]), start)
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=1e-12)


SETTINGS = [
    ("RNN", {"nonlinearity": "tanh"}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("RNN", {"nonlinearity": "tanh", "num_layers": 3, "bias": False}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 3, "bidirectional": True}),
    ("LSTM", {"num_layers": 2, "proj_size": 3, "bias": False}),
    ("LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True}),
    ("GRU", {"bias": False}),
    ("GRU", {"num_layers": 2}),
    ("GRU", {"num_layers": 3, "bidirectional": True}),
]


def assert_parity(kind, settings, dtype, lengths, tolerance):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(4, 5, **settings, dtype=getattr(torch, dtype))
    reading = Reading(activation=settings.get("nonlinearity"))
    [found] = read_named(from_state_dict(kind, module.state_dict()), reading)
    for length in lengths:
        x = torch.randn(length, 4, dtype=getattr(torch, dtype))
        with torch.no_grad():
            expected, last = module(x)
        states, y = states_and_outputs(found.model, x.numpy())
        assert (y.dtype, found.model.dtype) == (dtype, dtype)
        np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=tolerance)
        ours = last_of(found.model.architecture, states, "h")
        np.testing.assert_allclose(ours, (last[0] if kind == "LSTM" else last).numpy(), rtol=0, atol=tolerance)


PRECISIONS = {"float64": 1e-12, "float32": 1e-5}
LENGTHS = (1, 2, 1000)
GRID = [
    (kind, settings | {"num_layers": layers, "bias": bias, "bidirectional": both})
    for kind, settings in (
        ("RNN", {"nonlinearity": "tanh"}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 3}),
        ("GRU", {}),
    )
    for layers, bias, both in product((1, 2, 3), (True, False), (True, False))
]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=[f"{k}-{s}" for k, s in SETTINGS])
def test_outputs_and_last_state(kind, settings, precision):
    assert_parity(kind, settings, precision, LENGTHS, PRECISIONS[precision])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("kind", "settings"), GRID, ids=[f"{k}-{s}" for k, s in GRID])
def test_every_combination(kind, settings, precision):
    assert_parity(kind, settings, precision, LENGTHS, PRECISIONS[precision])


def test_a_backward_layer_is_the_backward_direction():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 4, bidirectional=True, dtype=torch.float64)
    [found] = read_named(from_state_dict("GRU", module.state_dict()), Reading())
    both = found.model.architecture
    x = np.random.default_rng(0).standard_normal((7, 3))
    backward = type(found.model)(Backward(both.backward), found.model.weights[1])
    expected = module(torch.from_numpy(x))[0].detach().numpy()[:, 4:]
    np.testing.assert_allclose(states_and_outputs(backward, x)[1], expected, rtol=0, atol=1e-12)
    assert jax.tree.leaves(backward.weights)[0].dtype == np.float64
