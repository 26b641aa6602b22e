"""`hitherto compare` as a user meets it."""

import json

import jax
import numpy as np
import pytest

import hitherto
from hitherto.cli import main

QUICK = ("--steps", 60, "--sequences", 8)


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A small model, the same with larger recurrent weights in another folder, and a saved profile of the first."""
    folder = tmp_path_factory.mktemp("checkpoints")
    model = hitherto.build(hitherto.RNN(1, 3), 0)
    larger = jax.tree.map(np.asarray, model.weights) | {"weight_hh": 2 * np.asarray(model.weights["weight_hh"])}
    paths = [folder / place / "model.safetensors" for place in ("before", "after")]
    for path, one in zip(paths, (model, hitherto.Model(model.architecture, larger)), strict=True):
        path.parent.mkdir()
        hitherto.save(one, path)
    saved = folder / "saved.json"
    hitherto.profile(model, settings=hitherto.Settings(sequences=8, steps=60)).to_json(saved)
    return *paths, saved


def test_files_are_compared_and_told_apart_by_their_folders(checkpoints, tmp_path, capsys):
    before, after, _ = checkpoints
    out, numbers = tmp_path / "c.html", tmp_path / "c.json"
    assert run("compare", before, after, *QUICK, "--out", out, "--json", numbers) == 0
    printed = capsys.readouterr().out
    assert "before/model" in printed
    assert f"Page:{out},numbers:{numbers}" in "".join(printed.split())  # however it was wrapped
    record = json.loads(numbers.read_text())
    assert list(record["profiles"]) == ["before/model", "after/model"]
    assert record["profiles"]["after/model"]["provenance"]["sha256"]
    (radius,) = [d for d in record["differences"] if d["quantity"] == "spectral_radius"]
    assert radius["real"]
    assert radius["p"] is None
    assert out.read_text().startswith("<!doctype html>")


def test_a_saved_profile_stands_for_its_model(checkpoints, tmp_path, capsys):
    before, _, saved = checkpoints
    assert run("compare", saved, before, *QUICK, "--names", "was", "is", "--out", tmp_path / "c.html") == 0
    assert capsys.readouterr().out.startswith("was and is agree in every number")


def test_what_cannot_be_compared_is_one_line_and_writes_nothing(checkpoints, tmp_path, capsys):
    before, after, saved = checkpoints
    out = tmp_path / "c.html"
    np.save(tmp_path / "x.npy", np.zeros((8, 60, 1)))
    cases = {
        (before,): "at least 2 models, got 1",
        (before, after, "--names", "one"): "2 models need 2 names that differ",
        (saved, saved, "--names", "a", "b", "--input", tmp_path / "x.npy"): "saved profiles alone",
        (before, tmp_path / "none.json"): "holds none",
        (before, tmp_path / "none.npz"): "there is no file",
    }
    for given, said in cases.items():
        assert run("compare", *given, "--out", out) == 2
        assert said in capsys.readouterr().err
    assert run("compare", before, after, "--out", tmp_path / "none" / "c.html") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert not out.exists()
