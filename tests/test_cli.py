"""The command line as a user meets it."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import hitherto
from hitherto.cli import main


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small GRU on disk."""
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    hitherto.save(hitherto.build(hitherto.GRU(2, 4), 0), path)
    return path


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def test_help_does_not_import_jax():
    code = "import sys; from hitherto.cli import main; main(['--help']); main(['profile', '--help'])\n"
    code += "assert not {'jax', 'matplotlib', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--step-seconds" in done.stdout


def test_a_closed_pipe_is_no_traceback():
    code = "from hitherto.cli import main; import sys; sys.exit(main(['cite']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_profile_writes_report_and_numbers(small, tmp_path, capsys):
    out, numbers = tmp_path / "r.html", tmp_path / "n.json"
    code = run(
        "profile", small, "--steps", 120, "--sequences", 16, "--out", out, "--json", numbers, "--step-seconds", 0.5
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "orgets half of an input" in printed
    assert "Report: " in printed
    assert "alf-life" in printed or "half" in printed.split("Report: ")[0]
    page = out.read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    record = json.loads(numbers.read_text())
    first = record["estimates"][0]
    assert {"quantity", "value", "standard_error", "unit"} <= set(first)
    assert record["provenance"]["sha256"]
    assert record["provenance"]["seed"] == 0
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_profile_takes_own_inputs(small, tmp_path):
    inputs = tmp_path / "x.npy"
    np.save(inputs, np.random.default_rng(0).standard_normal((16, 200, 2)))
    numbers = tmp_path / "n.json"
    assert run("profile", small, "--input", inputs, "--out", tmp_path / "r.html", "--json", numbers) == 0
    record = json.loads(numbers.read_text())
    assert record["provenance"]["own_data"] is True
    assert any("processing capacity" in finding for finding in record["provenance"]["findings"])


BAD = {
    "missing file": (lambda p: None, "there is no file"),
    "empty file": (lambda p: p.write_bytes(b""), "empty"),
    "truncated": (lambda p: p.write_bytes(b"\x80\x00\x00\x00\x00\x00\x00\x00{"), "header"),
    "pickle renamed": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "pickle"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_models_are_refused_and_nothing_is_written(case, tmp_path, capsys):
    make, said = BAD[case]
    path, out = tmp_path / "m.safetensors", tmp_path / "r.html"
    make(path)
    assert run("profile", path, "--out", out) == 2
    assert said in capsys.readouterr().err.lower()
    assert not out.exists()


def test_bad_inputs_are_refused(small, tmp_path, capsys):
    rng = np.random.default_rng(0)
    cases = {
        "wrong": (rng.standard_normal((50, 3)), "(time, 2)"),
        "short": (rng.standard_normal((1, 2)), "at least 2 steps"),
        "nan": (np.full((50, 2), np.nan), "NaN"),
        "tokens": (np.zeros(50), "tokens"),
    }
    for name, (data, said) in cases.items():
        np.save(tmp_path / f"{name}.npy", data)
        assert run("profile", small, "--input", tmp_path / f"{name}.npy", "--out", tmp_path / "r.html") == 2
        assert said in capsys.readouterr().err
    assert run("profile", small, "--input", tmp_path / "none.npy", "--out", tmp_path / "r.html") == 2
    assert "no input file" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(small, tmp_path, capsys):
    assert run("profile", small, "--out", tmp_path / "none" / "r.html") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert run("profile", small, "--out", tmp_path) == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(small, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run("profile", small, "--out", tmp_path / "r.html") == 2
    assert "no permission" in capsys.readouterr().err


def test_an_unknown_layer_is_refused_with_the_known_ones(tmp_path, capsys):
    weights = {}
    for side in ("left", "right"):
        weights |= {
            f"{side}.weight_ih": np.ones((12, 4), np.float32),
            f"{side}.weight_hh": np.ones((12, 4), np.float32),
        }
    np.savez(tmp_path / "two.npz", **weights)
    assert run("profile", tmp_path / "two.npz", "--out", tmp_path / "r.html") == 2
    said = capsys.readouterr().err
    assert "2 recurrent layers that do not chain" in said
    assert "left (GRU 4->4)" in said
    assert "--layer" in said
    assert run("profile", tmp_path / "two.npz", "--layer", "middle", "--out", tmp_path / "r.html") == 2
    assert "no recurrent layer 'middle'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_initial_state_is_taken_or_refused(small, tmp_path, capsys):
    np.savez(tmp_path / "good.npz", initial_h=np.ones(4))
    np.savez(tmp_path / "bad.npz", initial_h=np.ones(5))
    quick = ("--steps", 60, "--sequences", 8, "--out", tmp_path / "r.html")
    assert run("profile", small, "--initial-state", tmp_path / "bad.npz", *quick) == 2
    assert "the initial state must be" in capsys.readouterr().err
    assert run("profile", small, "--initial-state", tmp_path / "none.npz", *quick) == 2
    assert "cannot read the initial state" in capsys.readouterr().err
    assert run("profile", small, "--initial-state", tmp_path / "good.npz", *quick) == 0
