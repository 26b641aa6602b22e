"""Numbers of the explorer are those of the theories, for every state of its controls."""

import shlex
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from html import unescape

import numpy as np
import pytest

from hitherto.cli import app, main
from hitherto.explorer import mean_field, unitary
from hitherto.explorer.controls import CONTROLS, INITIALISATIONS, RECURRENCES, Range, Settings, read
from hitherto.explorer.drawing import Figure, Line, log_ticks, svg, tick, ticks
from hitherto.explorer.page import THEORIES, page, redrawn
from hitherto.explorer.panel import percent, power_of_ten, short
from hitherto.theory.depth import copy_loss_floor, copy_reach
from hitherto.theory.depth_degree import start_end_bound
from hitherto.theory.depth_planner import plan_copy
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_transition import transition
from hitherto.theory.start_end import generic_rank

RANGES = [control for control in CONTROLS if isinstance(control, Range)]


def told(stem: str, settings: Settings) -> dict[str, str]:
    """Values of a panel by the names of its facts."""
    return {fact.id: fact.value for fact in THEORIES[stem](settings).facts}


def test_every_setting_has_a_control_that_holds_its_default():
    assert [control.name for control in CONTROLS] == [field.name for field in fields(Settings)]
    for control in CONTROLS:
        default = getattr(Settings(), control.name)
        assert control.read(str(default)) == default


@pytest.mark.parametrize(("initialisation", "kept"), [("gaussian", 0.95), ("gaussian", 1.0), ("modes", 0.98)])
def test_the_curve_peaks_at_the_quickest_lag(initialisation, kept):
    panel = THEORIES["linear_bias"](Settings(depth=1, initialisation=initialisation, kept=kept, lag=12))
    (line,) = panel.figure.lines
    quickest = next(fact.value for fact in panel.facts if fact.id == "quickest")
    assert str(np.argmax(line.y)) == quickest
    assert max(line.y) == 1


@pytest.mark.parametrize(
    ("initialisation", "kept", "gain", "kind"),
    [
        ("gaussian", 0.26, "1.02", "not contractive, some directions grow"),
        ("gaussian", 0.24, "0.980", "contractive"),
        ("modes", 1.0, "1.00", "lossless at best"),
        ("real-modes", 0.81, "0.900", "contractive"),
    ],
)
@pytest.mark.parametrize("width", [4, 512])
def test_the_gain_is_the_edge_of_the_law_at_every_width(initialisation, kept, gain, kind, width):
    panel = THEORIES["unitary"](Settings(initialisation=initialisation, kept=kept, width=width))
    found = next(fact for fact in panel.facts if fact.id == "gain")
    assert (found.value, found.note) == (gain, f"largest; {kind}")


KINDS = [("linear", one) for one in INITIALISATIONS] + [(one, "gaussian") for one in RECURRENCES if one != "linear"]


@pytest.mark.parametrize(("recurrence", "initialisation"), KINDS)
def test_corners_answer(recurrence, initialisation):
    """Warnings are errors here: no theory is asked where it overflows, divides by zero or has no answer."""
    lows, highs = ({control.name: getattr(control, end) for control in RANGES} for end in ("low", "high"))
    for corner in (lows, highs, highs | dict(kept=0.1), highs | dict(lag=1, kept=1.0)):
        found = sections(replace(Settings(recurrence=recurrence, initialisation=initialisation), **corner))
        assert list(found) == list(THEORIES)
        assert all(section.find("*[@class='decision']").text.strip() for section in found.values())


def sections(settings: Settings) -> dict[str, ElementTree.Element]:
    """Every panel, as well-formed XML."""
    drawn = redrawn({name: str(value) for name, value in vars(settings).items()})
    return {section.get("id"): section for section in ElementTree.fromstring(f"<div>{drawn}</div>").iter("section")}


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_the_commands_that_are_shown_are_commands(initialisation, capsys):
    settings = Settings(depth=1, initialisation=initialisation, lag=5)
    commands = {stem: shlex.split(panel(settings).command) for stem, panel in THEORIES.items()}
    for program, *arguments in commands.values():
        assert program == "hitherto"
        app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert not main(commands["linear_bias"][1:])
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.split()[0] == "5")
    assert told("linear_bias", settings)["cost"] == f"{short(float(row[2]))} times"


def test_depth_is_that_of_the_theory():
    settings = Settings(depth=3, width=20, lag=8, alphabet=5)
    found = told("depth", settings)
    assert found["reach"] == f"{copy_reach([20] * 3, 5)} steps"
    assert found["cheapest"] == f"{plan_copy(5, 8).parameters:,}"
    assert found["parameters"] == "2,200"  # 3 of 20 x 20, 2 of 20 x 20 between, and 2 of 5 x 20 at the ends
    assert told("depth", replace(settings, width=6))["floor"] == f"{copy_loss_floor(18, 5, 8, 18):.3f}"
    assert told("depth", replace(settings, width=4))["reach"] == "narrower than the signal"
    assert told("depth", replace(settings, recurrence="2rnn"))["degree"] == "45"  # C(10, 2)


def test_an_lstm_carries_two_numbers_a_unit():
    assert told("depth", Settings(depth=1, width=10, alphabet=4, recurrence="lstm"))["reach"] == "4 steps"


def test_ranks_are_those_of_the_theory():
    settings = Settings(depth=2, width=5, alphabet=3, lag=3, recurrence="circuit")
    assert told("start_end", settings)["rank"] == f"{generic_rank(2, 5, 3, 3, 3, 'one-hot').value:,}"
    second = replace(settings, recurrence="2rnn", lag=9)
    assert told("start_end", second)["rank"] == f"{start_end_bound(2, 5, 3, 9):,}"
    assert told("start_end", replace(settings, recurrence="linear"))["rank"] == "2"
    assert told("start_end", replace(settings, recurrence="lstm"))["rank"] == "not covered"


def test_gaussian_singular_values_are_those_of_a_drawn_matrix():
    settings = Settings(initialisation="gaussian", kept=0.8, width=64)
    drawn = np.sqrt(0.8 / 640) * np.random.default_rng(0).standard_normal((640, 640))
    shares = (np.arange(64) + 0.5) / 64
    sampled = np.quantile(np.linalg.svd(drawn, compute_uv=False), shares)
    np.testing.assert_allclose(unitary.singular_values(settings), sampled, atol=0.02)


def test_a_typical_state_shrinks_by_the_root_of_the_variance():
    """Though single directions grow: Gaussian entries, 400 units, 10 steps."""
    drawn = np.sqrt(0.7 / 400) * np.random.default_rng(0).standard_normal((400, 400))
    state = np.linalg.matrix_power(drawn, 10) @ np.random.default_rng(1).standard_normal((400, 20)) / 20
    found = told("unitary", Settings(initialisation="gaussian", kept=0.7, lag=10))
    assert found["left"] == percent(0.7**5) == "16.8%"
    assert np.linalg.norm(state) / np.sqrt(20) == pytest.approx(0.7**5, rel=0.1)
    assert told("unitary", Settings(initialisation="orthogonal", kept=1.1, lag=10))["left"] == "1.61 times"


def test_twins_take_the_states_of_the_theorems():
    settings = Settings(depth=1, width=10, recurrence="relu", kept=0.9)
    assert told("unitary", settings)["twin"] == "20"
    assert told("unitary", replace(settings, kept=1.0))["twin"] == "10"
    assert told("unitary", replace(settings, kept=1.1))["twin"] == "undecided"
    assert told("unitary", replace(settings, recurrence="linear", lag=3))["twin"] == "40"
    assert told("unitary", replace(settings, recurrence="gru"))["twin"] == "not covered"


def test_lag_weights_have_their_closed_form():
    settings = Settings(depth=1, initialisation="gaussian", kept=0.9, lag=30)
    j = np.arange(62)
    speeds = (2 * 0.9**j + j * 0.9 ** np.maximum(j - 1.0, 0)) * (62 - j)
    assert told("linear_bias", settings)["cost"] == f"{short(speeds.max() / speeds[30])} times"
    assert told("linear_bias", settings)["quickest"] == str(speeds.argmax())


def test_the_identity_learns_two_directions():
    assert told("linear_bias", Settings(initialisation="identity", kept=1.0))["rank"] == "2 of 26"


def test_modes_beyond_the_circle_are_refused_in_words():
    section = sections(Settings(initialisation="modes", kept=1.1))["linear_bias"]
    assert "Not covered: the gain" in "".join(section.itertext())


def test_the_threshold_is_that_of_the_solved_transition():
    """T = 4 turns coherent continuously, so that stability is the whole story."""
    problem = Problem.pulse(np.array([[1.0]]), (3,), 4, noise=mean_field.NOISE, recurrent_variance=0.7)
    found = transition(problem)
    assert mean_field.label_at_threshold(3, 0.7) == pytest.approx(found.label_factor, rel=1e-9)


def test_one_use_of_the_matrix_is_no_reuse():
    assert told("mean_field", Settings(lag=1))["threshold"] == "none"


@pytest.mark.parametrize(
    ("query", "kept", "words"),
    [
        (dict(width="many"), dict(width=32), "'many' is no whole number"),
        (dict(width="2.5"), dict(width=32), "'2.5' is no whole number"),
        (dict(width="100000"), dict(width=512), "beyond what is shown here"),
        (dict(depth="-3"), dict(depth=1), "Shown is 1."),
        (dict(kept="nan"), dict(kept=0.95), "give a number from 0.1 to 1.2"),
        (dict(kept="inf"), dict(kept=1.2), "Shown is 1.2."),
        (dict(recurrence="lstn"), dict(recurrence="linear"), "there is no recurrence 'lstn'"),
    ],
)
def test_what_does_not_fit_is_replaced_and_said(query, kept, words):
    settings, complaints = read(query)
    assert settings == replace(Settings(), **kept)
    assert len(complaints) == 1
    assert words in complaints[0]
    assert complaints[0] in unescape(redrawn(query))


def test_what_a_query_says_is_escaped():
    assert "<script>alert" not in page(dict(width="<script>alert(1)</script>", initialisation="<script>alert(1)"))


def test_a_figure_leaves_out_what_an_axis_cannot_hold():
    x = np.arange(5)
    lines = (Line("<one>", x, np.array([1.0, np.nan, 0.0, 10.0, 1e-30])), Line("none", x, np.full(5, np.nan)))
    drawn = ElementTree.fromstring(svg(Figure('"about"', "x", "y", lines, 3, (2.0, "level"), True)))
    paths = {part.get("class"): part.get("d") for part in drawn.iter("path")}
    assert paths["line s1"].count("M") == 2
    assert "L" not in paths["line s1"]
    assert paths["line s2"] == ""
    assert len(list(drawn.iter("circle"))) == 1
    assert drawn.get("aria-label") == '"about"'


def test_ticks_are_round():
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.3, 1.1) == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert ticks(1, 3, whole=True) == [1, 2, 3]
    assert log_ticks(0.5, 2e6) == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    assert [tick(x) for x in (0, 0.25, -1000, 1e7, 3e7)] == ["0", "0.25", "−1,000", "10⁷", "3e+07"]


def test_numbers_are_short():
    assert [short(x) for x in (0, 0.0, 12, 1234567, 0.95123, 2.1e9, np.inf)] == [
        "0", "0", "12", "1,234,567", "0.951", "2.10×10⁹", "∞"
    ]  # fmt: skip
    assert [power_of_ten(x) for x in (0.0, 2.0, 12.0415)] == ["1", "100", "1.10×10¹²"]
    assert [percent(x) for x in (1.0, 0.0512, 1e-9)] == ["100%", "5.12%", "below 0.01%"]
