"""The ten scripts of `hitherto.examples`: they run as they are shipped, and their advice follows from their numbers."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import hitherto

FOLDER = Path(hitherto.__file__).parent / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")
PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "ten-decisions.md").read_text()


@pytest.fixture
def run(capsys, monkeypatch):
    """What a script prints, line by line."""

    def printed(name: str, *arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_module(f"hitherto.examples.{name}", run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return printed


def numbers(line: str) -> list[float]:
    return [float(word.replace(",", "").rstrip("%")) for word in re.findall(r"-?[\d,]+\.?\d*(?:e[+-]?\d+)?%?", line)]


def test_there_are_ten_of_under_forty_lines():
    assert len(SCRIPTS) == 10
    assert max(len(path.read_text().splitlines()) for path in SCRIPTS) < 40


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_page_shows_its_command(path):
    assert f"python -m hitherto.examples.{path.stem}\n" in PAGE
    assert f"python -m hitherto.examples.{path.stem}" in path.read_text().splitlines()[0]


def test_how_many_layers(run):
    *rows, advice = run("how_many_layers", 2, 200)[1:]
    theory, measured = ([numbers(row)[column] for row in rows] for column in (3, 4))
    assert theory == measured  # of weights that attain it
    assert f"over {max(theory):.0f} steps" in advice
    assert f"one layer of {numbers(rows[0])[1]:.0f} over {theory[0]:.0f}" in advice


def test_how_wide(run):
    *rows, advice = run("how_wide", 1, 2)[1:]
    table = np.array([numbers(row) for row in rows])
    assert (table[:, 3] >= table[:, 2] - 1e-4).all()  # no training beats the floor
    assert table[0, 2] == pytest.approx(1 / 3, abs=1e-4)
    assert advice.startswith("Take 3 units")
    assert advice.endswith("training got there with 3.")


@pytest.fixture
def fading(tmp_path):
    """Files of one linear unit that keeps a given share of its state a step, whose memory is known."""

    def file(kept: float) -> Path:
        weights = {"weight_hh": kept * np.eye(1), "weight_ih": np.ones((1, 1))}
        path = tmp_path / f"{kept}.safetensors"
        hitherto.save(hitherto.Model(hitherto.RNN(1, 1, activation="linear", bias=False), weights), path)
        return path

    return file


def test_how_long_does_it_remember(run, fading):
    *_, line, advice = run("how_long_does_it_remember", fading(0.8))
    low, high = map(float, re.search(r"memory horizon [\d.]+ \(([\d.]+) to ([\d.]+)\)", line).groups())
    assert low <= np.log(0.01) / np.log(0.8) <= high
    assert "gradient horizon 20.6" in line
    assert advice.startswith("Start it 21 steps")


def test_how_long_the_embedded_model_remembers(run):
    *_, line, advice = run("how_long_does_it_remember")
    longest = numbers(line)[0]
    assert f"memory horizon more than {longest:.0f} steps" in line
    assert f"Start it {longest:.0f} steps or more" in advice


def test_which_initialisation(run):
    *rows, advice = run("which_initialisation")[1:]
    gain = numbers(advice)[0]
    costs = {float(row.split()[0]): float(row.split()[-1]) for row in rows}
    assert costs[gain] == pytest.approx(2)  # what was asked of the design
    assert f"gain {gain:.3f}" in advice
    exponents = [float(row.split()[2].replace("−", "-")) for row in rows]
    assert exponents == sorted(exponents)
    assert exponents[-1] > 0 > exponents[0]


def test_does_the_gradient_reach_back(run, fading):
    *rows, advice = run("does_the_gradient_reach_back", fading(0.1), fading(0.9))
    assert [row.count("@") for row in rows] == [1, 1]
    assert "horizon 2" in rows[0]  # 0.1^2 is 1%
    assert advice.startswith("Gradients reach 2")
    assert "then more than 39 steps back" in advice


def test_how_long_to_truncate(run, fading):
    *rows, advice = run("how_long_to_truncate", fading(0.5))[1:]
    shares = {int(row.split()[0]): numbers(row)[1] for row in rows}
    assert shares[1] == pytest.approx(75, abs=0.1)  # 1 - 0.5^2
    assert advice.startswith("Cut after 3 steps")  # 1 - 0.5^6 is the first above 95%


def test_which_family(run):
    *rows, advice = run("which_family", 4, 1, 150)[1:]
    trained = {row.split("  ")[0]: float(row.split()[-1]) for row in rows if re.search(r" [01]\.\d\d$", row)}
    assert len(trained) == 2
    best = max(trained, key=trained.get)
    assert advice.startswith(f"Take {best}, ")
    assert trained[best] > 0.9


def test_which_state_size(run):
    *rows, advice = run("which_state_size", 10)[1:]
    table = np.array([numbers(row) for row in rows])
    assert (table[:, 3] <= table[:, 2] + 0.051).all()  # noise takes some, and both are rounded
    assert f"{table[:, 3].max():.1f} of the last 11 inputs" in advice


def test_does_it_extrapolate(run):
    *rows, advice = run("does_it_extrapolate")[1:]
    table = np.array([numbers(row) for row in rows])
    assert table[0, 1] > 3 > 2 > table[-1, 1]  # bits; 1.92 on all of the text
    assert advice.startswith(f"Saturates after {table[table[:, 1].argmin(), 0]:.0f} tokens")
    assert "no reset is needed" in advice


def test_what_does_the_state_store(run):
    lines = run("what_does_the_state_store")
    after = next(place for place, line in enumerate(lines) if line.startswith("after"))
    assert lines[after + 1].strip().startswith("P2(x[t-2])")  # what it was trained for
    assert "in after than in before" in lines[-1]
