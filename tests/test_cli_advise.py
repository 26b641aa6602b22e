"""`hitherto advise`: a lag, data, verification, files, and what it says to impossible wishes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from hitherto.advice import verification
from hitherto.cli import main
from hitherto.core.experiment import Measurement
from hitherto.core.quantity import HELD_OUT_R2, Estimate


def advised(capsys, *arguments: str) -> str:
    assert main(["advise", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(capsys, *arguments: str) -> str:
    assert main(["advise", *arguments]) == 2
    return capsys.readouterr().err


def test_a_lag(capsys):
    told = advised(capsys, "--lag", "20", "--channels", "2", "--parameters", "1500", "--family", "rnn,lru")
    assert "For 2 channels over 20 steps take one layer of" in told
    assert "complex modes (lru)" in told
    assert "cannot copy over more than" in told
    assert "naive tanh rnn" in told
    assert "lstm" not in told


def test_json(capsys):
    found = json.loads(advised(capsys, "--lag", "5", "--json", "--steps", "100", "--cell-cost", "effective"))
    assert found["request"]["channels"] == 1
    assert found["request"]["cost"] == "effective"
    assert found["demand"] is None
    assert found["trained"] is None
    assert {number["name"] for number in found["options"][0]["numbers"]} >= {"learning steps", "gradient horizon"}


def test_data_and_page(tmp_path, capsys):
    x = np.random.default_rng(0).standard_normal(1200)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.roll(x, 6))
    page = tmp_path / "advice.html"
    given = ("--data", str(tmp_path / "x.npy"), "--targets", str(tmp_path / "y.npy"), "--out", str(page))
    told = advised(capsys, *given)
    assert "The data: Inputs up to 6 steps before the newest are worth having (6 to 6)" in told
    assert "For 1 channel over 6 steps" in told
    text = page.read_text()
    assert "Inputs up to 6 steps" in text
    assert "What longer contexts add" in text


def test_symbols(tmp_path, capsys):
    bits = np.random.default_rng(0).integers(0, 2, 1000)
    np.save(tmp_path / "x.npy", bits)
    np.save(tmp_path / "y.npy", bits ^ np.roll(bits, 1))
    given = ("--data", str(tmp_path / "x.npy"), "--targets", str(tmp_path / "y.npy"))
    told = advised(capsys, *given, "--symbols")
    assert "The data: Symbols up to 1 step before the newest" in told
    assert "For 2 channels over 1 step" in told
    assert "ask with symbols=True (--symbols)" in advised(capsys, *given)


def test_data_without_memory_are_refused(tmp_path, capsys):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).standard_normal(600))
    assert "want no recurrence" in refused(capsys, "--data", str(tmp_path / "noise.npy"))


def test_verification(tmp_path, capsys, monkeypatch):
    def stub(case):
        value = 0.5 if case.candidate.naive else 0.95
        return Estimate(HELD_OUT_R2, value, 0.01, value - 0.02, value + 0.02)

    monkeypatch.setattr(verification, "RECALL", Measurement("advice.stub", "recall", stub))
    page = tmp_path / "advice.html"
    given = ("--lag", "4", "--family", "rnn", "--verify", "--results", str(tmp_path / "results"), "--out", str(page))
    told = advised(capsys, *given)
    assert "The ranking held: 4 of 6 pairs recall in its order, 0 in the other, 2 cannot be told apart." in told
    assert "0.950" in told
    assert "0.930 to 0.970" in page.read_text()
    found = json.loads(advised(capsys, *given, "--json"))["trained"]
    assert (found["held"], found["pairs"], len(found["rows"])) == (True, 6, 12)
    assert found["rows"][0]["measured"] == 0.95


def test_copy_is_still_there(capsys):
    assert "8 layers of 10 units" in advised(capsys, "copy", "--channels", "5", "--delay", "8")


def test_it_answers_without_jax(tmp_path):
    program = (
        "import sys; from hitherto.cli import main; status = main(['advise', '--lag', '10', '--parameters', '900']); "
        "sys.exit(status or ('jax' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give one of --lag and --data"),
        (["--lag", "3", "--data", "x.npy"], "give one of --lag and --data"),
        (["--lag", "0"], "lag=0"),
        (["--lag", "3", "--targets", "y.npy"], "belong to --data"),
        (["--lag", "3", "--symbols"], "belong to --data"),
        (["--data", "x.npy", "--channels", "2"], "data have their own"),
        (["--data", "/nowhere/x.npy"], "no file /nowhere/x.npy"),
        (["--lag", "3", "--family", "elman"], "no family 'elman'"),
        (["--lag", "3", "--out", "/nowhere/a.html"], "there is no folder"),
    ],
)
def test_refusals(capsys, arguments, told):
    assert told in refused(capsys, *arguments)
