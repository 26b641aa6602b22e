"""`hitherto predict transition`, `solve mean-field` and `design schedule`, as a user meets them."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hitherto.cli import main
from hitherto.terminal import mean_field
from hitherto.theory.mean_field_schedule import schedule_error
from hitherto.theory.mean_field_solver import Solution
from hitherto.theory.mean_field_transition import Crossover, Transition

DOCUMENTED = (Path(__file__).parents[1] / "docs" / "reference" / "command-line.md").read_text()
PULSE = "times = 3\nsteps = [2]\nlabels = [[{label}]]\nnoise = 0.1\n"
SINE = 3 * np.sin(2 * np.pi * (np.arange(4) + 0.5) / 8)[None]


def told(capsys, *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def refused(capsys, *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hitherto: ")
    assert printed.err.count("\n") == 1
    return printed.err


def no_number(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def numbers(printed: str):
    """What is printed as JSON, in which NaN and Infinity have no place; all its names are documented."""
    found = json.loads(printed, parse_constant=no_number)
    names = set().union(*found) if isinstance(found, list) else set(found)
    assert all(f"`{name}`" in DOCUMENTED for name in names)
    return found


@pytest.fixture
def problem(tmp_path):
    """Write the text of a problem to a file."""

    def writing(text: str) -> Path:
        path = tmp_path / "problem.toml"
        path.write_text(text)
        return path

    return writing


@pytest.fixture
def targets(tmp_path):
    """Write an array to a file."""

    def writing(array: np.ndarray) -> Path:
        np.save(tmp_path / "targets.npy", array)
        return tmp_path / "targets.npy"

    return writing


class TestTransition:
    def test_weak_labels_are_told_how_far_they_are(self, capsys):
        printed = told(capsys, "predict", "transition", "--label", "1")
        for said in (
            "recurrent network, identity; patterns: 1, times: 3, labels: 1",
            "signal 1, noise 0.1 (in units of",
            "phase: incoherent",
            "is no longer the ground state at labels 2.86378 times as large",
            "the transition is continuous",
            "spinodal 8",
        ):
            assert said in printed

    def test_a_file_says_the_same_as_its_options(self, capsys, problem):
        of_file = told(capsys, "predict", "transition", problem(PULSE.format(label=3.0)))
        assert of_file == told(capsys, "predict", "transition", "--label", "3")
        assert "phase: coherent" in of_file

    def test_numbers_are_those_of_the_transition(self, capsys):
        found = numbers(told(capsys, "predict", "transition", "--json"))
        assert set(found) == {field.name for field in fields(Transition)} | {"groups"}
        assert (found["phase"], found["order"], found["crossover"]) == ("incoherent", "continuous", None)
        assert found["label_factor"] == pytest.approx((8.1**2 / 8) ** 0.5, rel=1e-9)
        assert found["landmarks"]["spinodal"] == pytest.approx(8)
        assert found["groups"] == {"signal": 1.0, "noise": 0.1, "times": 3.0}

    def test_what_is_not_known_is_null(self, capsys):
        found = numbers(told(capsys, "predict", "transition", "--times", "2", "--json"))
        assert (found["phase"], found["label_factor"], found["gain"], found["landmarks"]) == ("incoherent", *[None] * 3)
        assert "no weight sharing" in found["reason"]
        assert numbers(told(capsys, "predict", "transition", "--label", "0", "--json"))["label_factor"] is None

    @pytest.mark.parametrize("activation", ["erf", "tanh"])
    def test_thresholds_of_nonlinear_networks_are_local(self, capsys, activation):
        arguments = ("predict", "transition", "--activation", activation, "--label", "1")
        assert "loses its stability (a coherent one may win before)" in told(capsys, *arguments)
        found = numbers(told(capsys, *arguments, "--json"))
        wanted = {"erf": 3.390101, "tanh": 1.863731}[activation] ** 0.5
        assert (found["local"], found["label_factor"]) == (True, pytest.approx(wanted, rel=1e-6))

    @pytest.mark.parametrize("name", ["recurrent", "input"])
    def test_a_variance_of_0_is_told_as_the_reason(self, capsys, name):
        found = numbers(told(capsys, "predict", "transition", f"--{name}-variance", "0", "--json"))
        assert "a variance of 0 keeps the inputs from the output" in found["reason"]
        assert found["groups"] == {"signal": None, "noise": None, "times": 3.0}

    def test_where_nothing_is_sharp_there_is_a_crossover(self, capsys, problem):
        assert "relu is not odd" in told(capsys, "predict", "transition", "--activation", "relu")
        path = problem("times = 3\nsteps = [0, 2]\nlabels = [[1.0, 2.0]]\n")
        found = numbers(told(capsys, "predict", "transition", path, "--json"))
        assert found["phase"] == "crossover"
        assert found["crossover"]["factors"] == [0.25, 0.5, 1, 2, 4]
        assert found["crossover"]["correlations"] == sorted(found["crossover"]["correlations"])

    def test_a_crossover_in_words(self, capsys, monkeypatch):
        curve = Crossover(np.array([0.5, 2]), np.array([0.25, 1 / 3]))
        monkeypatch.setattr(mean_field, "transition", lambda problem: Transition("crossover", crossover=curve))
        printed = told(capsys, "predict", "transition")
        assert "between times by factor on the labels: 0.250 at 0.5, 0.333 at 2" in printed


class TestSolve:
    def test_minima_and_outputs(self, capsys, problem):
        printed = told(capsys, "solve", "mean-field", problem(PULSE.format(label=8.0) + "width = 100\n"))
        for said in ("solved: ", "ground state (one of a mirror pair)", "outliers of W", "spread at 100 units"):
            assert said in printed
        weak = told(capsys, "solve", "mean-field", problem(PULSE.format(label=1.0)))
        assert "none beyond 1" in weak
        assert "spread at" not in weak

    def test_numbers_fit_the_label(self, capsys, problem):
        found = numbers(told(capsys, "solve", "mean-field", problem(PULSE.format(label=8.0)), "--seed", "1", "--json"))
        best = found["minima"][0]
        inner = "action", "least_curvature", "has_mirror", "correlation", "kernel", "output", "variance", "outliers"
        assert set(best) == set(inner)
        assert all(f"`{name}`" in DOCUMENTED for name in inner)
        assert (found["status"], best["has_mirror"]) == ("solved", True)
        assert np.shape(best["kernel"]) == (3, 3)
        assert np.shape(best["outliers"]) == (2, 2)
        assert np.hypot(*best["outliers"][0]) > 1
        assert found["output"][2][0] == pytest.approx(8.0, abs=0.1)
        assert found["output"][1][0] == pytest.approx(0.0, abs=1e-9)  # a mirror pair answers nothing there

    def test_many_entries_are_cut_on_the_terminal_alone(self, capsys, problem):
        text = "times = 1\nsteps = [0]\nnoise = 1.0\nlabels = " + str([[1.0]] * 41)
        assert "the first 40 of 41 entries" in told(capsys, "solve", "mean-field", problem(text))
        assert len(numbers(told(capsys, "solve", "mean-field", problem(text), "--json"))["output"]) == 41

    def test_what_is_not_solved_has_its_own_exit_status(self, capsys, problem, monkeypatch):
        monkeypatch.setattr(mean_field, "solve", lambda given, seed: Solution(given, (), "not solved", 3, 3, ()))
        path = problem(PULSE.format(label=1.0))
        assert main(["solve", "mean-field", str(path)]) == 1
        assert "not solved: 3 starts, 3 of them lost" in capsys.readouterr().out
        assert main(["solve", "mean-field", str(path), "--json"]) == 1
        found = numbers(capsys.readouterr().out)
        assert (found["minima"], "output" in found) == ([], False)


class TestSchedule:
    """Values are those of the theory in the first test; the others stand on a law that is quick to compute."""

    @pytest.fixture
    def quick(self, monkeypatch):
        def error(members, steps, **settings) -> float:
            return float(np.mean(members)) + settings["noise"] + sum(0.1**step for step in steps)

        monkeypatch.setattr("hitherto.theory.mean_field_schedule.schedule_error", error)
        monkeypatch.setattr(mean_field, "schedule_error", error)

    def test_every_schedule_by_theory(self, capsys, targets):
        found = numbers(told(capsys, "design", "schedule", targets(SINE[:, :3]), "--count", "2", "--json"))
        assert sorted(tuple(one["steps"]) for one in found) == [(0, 1), (0, 2), (1, 2)]
        for one in found[:2]:
            wanted = schedule_error(SINE[None, :, :3], tuple(one["steps"]), noise=0.05)
            assert one["error"] == pytest.approx(wanted, rel=1e-6)

    def test_every_schedule_in_words(self, capsys, targets, quick):
        printed = told(capsys, "design", "schedule", targets(np.ones((1, 4))), "--count", "3", "--noise", "0.5")
        rows = [" ".join(line.split()) for line in printed.splitlines()[1:5]]
        assert rows == ["1 2 3 1.611", "0 2 3 2.511", "0 1 3 2.601", "0 1 2 2.61"]
        assert "mean 2.333; a feedforward network has 1, as it answers 0 there" in printed

    def test_long_lists_show_their_ends(self, capsys, targets, quick):
        printed = told(capsys, "design", "schedule", targets(np.ones((1, 13))), "--count", "1")
        assert "... 3 between" in printed
        assert [line.split()[0] for line in printed.splitlines()[1:-1]] == ["12", "11", "10", "9", "8", "...", *"43210"]

    def test_the_best_next_step(self, capsys, targets, quick):
        arguments = ("design", "schedule", targets(np.ones((1, 4))), "--steps", "2", "0")
        printed = told(capsys, *arguments)
        assert "labels at 0 2: error 2.06 at the other steps, of y^2; label step 3 next: 2.061" in printed
        found = numbers(told(capsys, *arguments, "--json"))
        assert (found["steps"], found["next_step"]) == ([0, 2], 3)
        assert (found["error"], found["error_with_it"]) == (pytest.approx(2.06), pytest.approx(2.061))

    def test_the_best_first_step(self, capsys, targets, quick):
        path = targets(np.ones((1, 4)))
        assert "no labels: error 1 at the other steps, of y^2; label step 3 next: 1.051" in told(
            capsys, "design", "schedule", path
        )
        found = numbers(told(capsys, "design", "schedule", path, "--json"))
        assert (found["steps"], found["error"]) == ([], 1.0)

    def test_families_of_targets_are_taken_together(self, capsys, targets, quick):
        family = np.stack([np.ones((2, 3)), 4 * np.ones((2, 3))])
        found = numbers(told(capsys, "design", "schedule", targets(family), "--count", "1", "--noise", "0", "--json"))
        assert found[0] == {"steps": [2], "error": pytest.approx(2.51)}


@pytest.mark.parametrize(
    ("arguments", "asked", "to_do"),
    [
        (("--times", "0"), "times counts steps, got 0", "give 1 or more"),
        (("--label", "nan"), "labels holds numbers that are not finite", "leave those entries out"),
        (("--noise", "-1"), "noise is a variance, got -1", "give a finite number of 0 or more"),
        (("--recurrent-variance", "inf"), "recurrent_variance is a variance, got inf", "give a finite number"),
        (("--activation", "gelu"), "there is no activation in the mean-field theory 'gelu'", "identity"),
        (("nowhere.toml",), "nowhere.toml cannot be read", "name a TOML file of a problem"),
        (("any.toml", "--times", "5"), "any.toml says all, and --times beside it", "give no file"),
    ],
)
def test_bad_transitions_are_refused(capsys, arguments, asked, to_do):
    said = refused(capsys, "predict", "transition", *arguments)
    assert asked in said
    assert to_do in said


@pytest.mark.parametrize(
    ("text", "found", "to_do"),
    [
        ("times =", "is not TOML", "write `key = value` lines"),
        ("lables = [[1]]", "there is no key of a problem", "labels"),
        ("times = 3\nsteps = [2]\n", "has no labels", "give a row of numbers for each pattern"),
        (PULSE.format(label=1.0).replace("[2]", "[3]"), "labels the steps [3]", "there are 0 to 2"),
        (PULSE.format(label=1.0) + 'activation = "erf"\n', "erf", "sample"),
        (PULSE.format(label=1.0).replace("noise = 0.1", 'noise = "much"'), "gives noise = 'much'", "give a number"),
    ],
)
def test_bad_problems_are_refused(capsys, problem, text, found, to_do):
    said = refused(capsys, "solve", "mean-field", problem(text))
    assert found in said
    assert to_do in said


@pytest.mark.parametrize(
    ("array", "arguments", "found", "to_do"),
    [
        (SINE, ("--count", "4"), "4 labelled times were asked of 4", "ask for 1 to 3"),
        (SINE, ("--count", "2", "--steps", "1"), "--count 2 compares all schedules, and --steps 1", "give either"),
        (SINE, ("--count", "0"), "0 labelled times were asked of 4", "ask for 1 to 3"),
        (SINE, ("--steps", "4"), "labelled steps [4] of 4 times", "name each once, from 0 to 3"),
        (SINE, ("--steps", "1", "1"), "labelled steps [1, 1]", "name each once"),
        (SINE, ("--steps", "0", "1", "2"), "1 of 4 are without a label", "give fewer steps"),
        (SINE[0], (), "has the shape (4,)", "give (pattern, time)"),
        (np.where(SINE > 2, np.nan, SINE), ("--count", "2"), "found float64 not all finite", "give finite numbers"),
        (SINE.astype(str), (), "is to hold targets", "give finite numbers"),
        (np.zeros((1, 4)), ("--count", "2"), "the targets vanish there", "leave out a time"),
        (SINE, ("--noise", "-1"), "noise is a variance, got -1", "give a finite number"),
    ],
)
def test_bad_targets_are_refused(capsys, targets, array, arguments, found, to_do):
    said = refused(capsys, "design", "schedule", targets(array), *arguments)
    assert found in said
    assert to_do in said


def test_files_that_are_no_arrays_are_refused(capsys, tmp_path):
    assert "save an array with numpy.save" in refused(capsys, "design", "schedule", tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    assert "is not a NumPy array file" in refused(capsys, "design", "schedule", tmp_path / "text.npy")
