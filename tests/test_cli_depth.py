"""`hitherto advise copy`: plans, budgets, weights, and what it says to impossible wishes."""

import json

import numpy as np
import pytest

from hitherto import load, states_and_outputs
from hitherto.cli import main


def advised(capsys, *arguments: str) -> str:
    assert main(["advise", "copy", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(capsys, *arguments: str) -> str:
    assert main(["advise", "copy", *arguments]) == 2
    return capsys.readouterr().err


def test_a_delay(capsys):
    told = advised(capsys, "--channels", "5", "--delay", "8")
    assert "8 layers of 10 units, 1,600 parameters: copies 5 channels over 8 steps" in told
    assert "One layer: 45 units, 2,475 parameters" in told
    assert "y[t] = x[t - k] exactly" in told
    assert "Jaeger" in told


def test_a_budget(capsys):
    told = advised(capsys, "--channels", "5", "--parameters", "2475")
    assert "12 layers of 10 units, 2,400 parameters: copies 5 channels over 12 steps" in told
    assert "smallest network is 1 layer of 5 units, 75" in advised(capsys, "--channels", "5", "--parameters", "10")


def test_both(capsys):
    told = advised(capsys, "--channels", "5", "--delay", "8", "--parameters", "1000")
    assert "That is more than 1,000. Within the budget: 5 layers of 10 units, 1,000 parameters" in told
    assert "That is" not in advised(capsys, "--channels", "5", "--delay", "8", "--parameters", "1600")


def test_effective_cost_and_other_families(capsys):
    told = advised(capsys, "--channels", "3", "--delay", "4", "--cost", "effective")
    assert "1 layer of 15 units, 90 effective dimensions" in told
    told = advised(capsys, "--channels", "5", "--delay", "8", "--family", "lstm")
    assert "no smaller lstm copies 5 channels over 8 steps" in told
    assert "no law says that this one can" in told


def test_millions_at_once(capsys):
    told = advised(capsys, "--channels", "1000000", "--delay", "1000000")
    assert "1,000,000 layers of 2,000,000 units, 8,000,000,000,000,000,000 parameters" in told


def test_json_and_weights(tmp_path, capsys):
    path = tmp_path / "copy.safetensors"
    found = json.loads(advised(capsys, "--channels", "2", "--delay", "3", "--weights", str(path), "--json"))
    assert (found["depth"], found["width"], found["parameters"]) == (2, 5, 95)
    inputs = np.random.default_rng(0).normal(size=(20, 2))
    outputs = states_and_outputs(load(path).astype(np.float64), inputs)[1]
    np.testing.assert_array_equal(outputs[3:], inputs[:-3])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--channels", "5"], "give one of them"),
        (["--channels", "0", "--delay", "3"], "channels >= 1"),
        (["--channels", "1", "--delay", "-1"], "delay >= 0"),
        (["--channels", "1", "--delay", "3", "--family", "nope"], "no family of cells 'nope'; there is linear"),
        (["--channels", "1", "--delay", "3", "--family", "birnn"], "copies nothing"),
        (["--channels", "1", "--delay", "3", "--family", "cprnn"], "1 ranks"),
        (["--channels", "1", "--delay", "3", "--family", "lstm", "--weights", "x.safetensors"], "known for --family"),
        (["--channels", "1", "--delay", "3", "--weights", "/nowhere/x.safetensors"], "nowhere"),
        (["--channels", "1", "--delay", "99999", "--cost", "effective", "--weights", "x.safetensors"], "entries"),
    ],
)
def test_refusals(capsys, arguments, told):
    assert told in refused(capsys, *arguments)
