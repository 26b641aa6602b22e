"""`hitherto predict`, `measure` and `draw` as a user types them."""

import json

import numpy as np
import pytest

import hitherto
from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.gated import LSTM
from hitherto.cli import main
from hitherto.core.model import Model, build

SIZES = ("--depth", "2", "--width", "3", "--input-size", "3")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


class TestPredict:
    def test_terms_and_value(self, capsys):
        assert run("predict", "start-end-rank", *SIZES, "--start", 4, "--end", 30) == 0
        text = capsys.readouterr().out
        assert "start-end rank = 1488" in text
        assert "saturation length (one-hot)              4 steps" in text

    def test_json_holds_every_digit(self, capsys):
        sizes = ("--depth", "3", "--width", "40", "--input-size", "40", "--start", 400, "--end", 60)
        assert run("predict", "start-end-rank", *sizes, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["value"] > 10**100
        assert found["value"] % 40 == 0
        assert found["exact"] is True

    def test_numbers_that_python_does_not_print(self, capsys):
        sizes = ("--depth", "3", "--width", "60", "--input-size", "60", "--start", 100, "--end", 100)
        assert run("predict", "start-end-rank", *sizes) == 0
        assert run("predict", "start-end-rank", *sizes, "--log10") == 0
        assert "10^" in capsys.readouterr().out
        assert run("predict", "start-end-rank", *sizes, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found["start_count"], str)
        assert len(found["start_count"]) > 4300

    def test_one_width_a_layer_and_templates(self, capsys):
        asked = ("--depth", 2, "--width", 2, 4, "--input-size", 2, "--start", 4, "--end", 4, "--inputs", 2)
        assert run("predict", "start-end-rank", *asked) == 0
        assert "start-end rank <= 16" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--depth", 0, "--width", 3, "--input-size", 3), "needs depth >= 1, got 0"),
            (("--depth", 2, "--width", 3, 3, 3, "--input-size", 3), "2 layers were asked for with 3 widths"),
            ((*SIZES, "--inputs", "onehot"), "no kind of inputs 'onehot'"),
        ],
    )
    def test_what_makes_no_sense(self, arguments, says, capsys):
        assert run("predict", "start-end-rank", *arguments, "--start", 2, "--end", 2) == 2
        assert says in capsys.readouterr().err


class TestMeasureRank:
    def test_random_weights_are_certified(self, capsys):
        assert run("measure", "start-end-rank", *SIZES, "--start", 3, "--end", 3) == 0
        assert capsys.readouterr().out == "start-end rank 30: certified\n  proven upper bound 30\n"

    def test_a_saved_model_with_its_weights(self, tmp_path, capsys):
        layer = ArithmeticCircuit(2, 4, 2)
        weights = {"weight_hh": np.outer(np.arange(1.0, 5), np.ones(4)), "weight_ih": np.ones((4, 2)) + np.eye(4, 2)}
        hitherto.save(Model(layer, weights | {"readout": np.eye(2, 4)}), tmp_path / "circuit.safetensors")
        asked = ("measure", "start-end-rank", tmp_path / "circuit.safetensors", "--start", 3, "--end", 3)
        assert run(*asked, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["quantity"], found["value"]) == ("start_end_ranks", [1.0, 1.0])
        assert run(*asked, "--output", 1, "--inputs", "one-hot") == 0
        assert "start-end rank 1: exact" in capsys.readouterr().out
        assert run(*asked, "--output", "joint") == 0

    def test_what_has_no_rank_is_told(self, tmp_path, capsys):
        hitherto.save(build(LSTM(2, 3)), tmp_path / "lstm.safetensors")
        assert run("measure", "start-end-rank", tmp_path / "lstm.safetensors", "--start", 1, "--end", 1) == 2
        assert "uses `logistic`" in capsys.readouterr().err
        assert run("measure", "start-end-rank", "--start", 1, "--end", 1) == 2
        assert "neither a model nor a circuit" in capsys.readouterr().err


class TestMeasureCuts:
    def test_own_sequences(self, tmp_path, capsys):
        hitherto.save(build(LSTM(2, 3)), tmp_path / "lstm.safetensors")
        np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(40, 8, 2)))
        asked = ("measure", "cut-profile", tmp_path / "lstm.safetensors")
        assert run(*asked, "--input", tmp_path / "data.npy", "--cuts", 2, 6, "--json") == 0
        entropy, interaction = json.loads(capsys.readouterr().out)
        assert entropy["axes"] == {"cut": [2, 6]}
        assert 0 < interaction["value"][0] < interaction["value"][1] < 1
        assert run(*asked, "--input", tmp_path / "data.npy") == 0
        assert "cut entropy profile" in capsys.readouterr().out
        assert run(*asked) == 2
        assert "give --input" in capsys.readouterr().err


class TestDraw:
    @pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
    def test_a_picture_and_three_numbers(self, tmp_path, capsys, suffix):
        out = tmp_path / f"network{suffix}"
        assert run("draw", "tensor-network", *SIZES, "--length", 6, "--out", out) == 0
        assert "naive min-cut 81 >= symmetrised bound 30 >= exact rank 30" in capsys.readouterr().out
        assert out.stat().st_size > 5000

    def test_numbers_and_cut_as_json(self, tmp_path, capsys):
        asked = (
            "--depth",
            2,
            "--width",
            3,
            "--input-size",
            2,
            "--length",
            5,
            "--start",
            2,
            "--out",
            tmp_path / "a.svg",
        )
        assert run("draw", "tensor-network", *asked, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["naive min-cut"] >= found["symmetrised bound"] >= found["exact rank"]
        assert all(len(edge) == 2 for edge in found["cut"])

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--length", 60, "--out", "a.svg"), "2,000 edges"),
            (("--length", 4, "--out", "a.gif"), "give one of .svg, .png, .pdf"),
            (("--length", 4, "--start", 4, "--out", "a.svg"), "start"),
            (("--length", 4, "--out", "absent/a.svg"), "there is no folder"),
        ],
    )
    def test_what_cannot_be_drawn(self, tmp_path, monkeypatch, capsys, arguments, says):
        monkeypatch.chdir(tmp_path)
        assert run("draw", "tensor-network", *SIZES, *arguments) == 2
        assert says in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
