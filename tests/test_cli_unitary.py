"""`hitherto convert unitary` and `hitherto verdict unitary`, as a user meets them."""

import json

import numpy as np
import pytest

from hitherto import RNN, build, load, save, states_and_outputs
from hitherto.cli import main
from hitherto.core.model import Model


@pytest.fixture
def saved(tmp_path):
    """Save a layer of norm 0.8, or another, as a file."""

    def saving(activation="relu", norm=0.8) -> str:
        model = build(RNN(2, 4, 1, activation), 0, np.float64)
        w = np.asarray(model.weights["weight_hh"])
        scaled = Model(model.architecture, model.weights | {"weight_hh": w * norm / np.linalg.norm(w, 2)})
        save(scaled, tmp_path / "model.safetensors")
        return str(tmp_path / "model.safetensors")

    return saving


def told(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_file_becomes_another_with_the_same_outputs(capsys, saved, tmp_path):
    file, out = saved(), str(tmp_path / "twin.safetensors")
    printed = told(capsys, "convert", "unitary", file, out, "--input-bound", "2")
    assert "Exact on bounded inputs: |x[k]| <= 2, over any number of steps." in printed
    assert "4 -> 8" in printed
    assert "they receive at most" in printed
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    model, twin = load(file), load(out)
    assert twin.architecture.width == 8
    np.testing.assert_allclose(states_and_outputs(twin, x)[1], states_and_outputs(model, x)[1], atol=1e-13)


def test_numbers_as_json(capsys, saved, tmp_path):
    out = str(tmp_path / "twin.safetensors")
    arguments = ("convert", "unitary", saved(), out, "--box", "-1", "1", "--states", "minimal", "--json")
    found = json.loads(told(capsys, *arguments))
    assert (found["before"], found["states"] < 8, found["weights"]) == (4, True, out)
    assert found["layers"][0]["residual"] < 1e-14
    json.dumps(found, allow_nan=False)


def test_data_horizon_and_epsilon(capsys, saved, tmp_path):
    data, out = tmp_path / "data.npy", str(tmp_path / "twin.safetensors")
    np.save(data, np.random.default_rng(0).standard_normal((3, 20, 2)))
    assert "Exact on this data" in told(capsys, "convert", "unitary", saved(), out, "--data", str(data))
    printed = told(capsys, "convert", "unitary", saved("linear"), out, "--horizon", "5")
    assert "Exact: all inputs, over 5 steps." in printed
    assert "Epsilon" in told(capsys, "convert", "unitary", saved("tanh"), out, "--epsilon", "1e-4")


def test_verdicts(capsys, saved):
    printed = told(capsys, "verdict", "unitary", saved("tanh"), "--exact")
    assert "impossible" in printed
    assert "by identifiability (generic)" in printed
    found = json.loads(told(capsys, "verdict", "unitary", saved(), "--input-bound", "1", "--json"))
    assert [(one["outcome"], one["states"], one["theorem"]) for one in found] == [
        ("exact on bounded inputs", 8, "dilation")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input-bound", "-1"), "radius -1"),
        (("--input-bound", "1", "--box", "0", "1"), "give one of them"),
        (("--input-bound", "1", "--states", "few"), "there is no way to count states 'few'"),
        (("--data", "nowhere.npy"), "nowhere.npy"),
        (("--input-bound", "1", "--horizon", "0"), "over 0 steps"),
    ],
)
def test_what_cannot_be_is_told(capsys, saved, tmp_path, arguments, said):
    assert said in refused(capsys, "convert", "unitary", saved(), str(tmp_path / "twin.safetensors"), *arguments)
    assert not (tmp_path / "twin.safetensors").exists()


def test_a_norm_that_nothing_brings_below_one(capsys, saved, tmp_path):
    err = refused(
        capsys, "convert", "unitary", saved(norm=5.0), str(tmp_path / "twin.safetensors"), "--input-bound", "1"
    )
    assert "norm of weight_hh is 5" in err
    assert "at best once units are rescaled" in err


def test_the_twin_is_a_safetensors_file(capsys, saved, tmp_path):
    err = refused(capsys, "convert", "unitary", saved(), str(tmp_path / "twin.pt"), "--input-bound", "1")
    assert "name a .safetensors file" in err
