"""The page about experiments, from records alone."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_page import FETCHING, parsed

from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.store import Record, Store, stores
from hitherto.report.experiments import experiment_figures, experiments_page

SQUARE = Quantity("square", "n^2", "points")
SPREAD = Quantity("spread", "n over a lag", "", ("lag",))
CLAIM = {"says": "Odd numbers add up.", "source": "Euclid (-300), VII", "relation": "==", "quantity": "square"}
NASTY = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }} $^a \ud800"


def number(value, error=0.0, **fields) -> Estimate:
    return Estimate(SQUARE, value, error, **fields)


def curve(*value) -> Estimate:
    return Estimate(SPREAD, np.array(value, float), axes={"lag": np.arange(len(value))})


def record(predicted=None, *measured, outcome="holds", ask="toy.squares", reason="", code="c0de", **at) -> Record:
    """A record as the engine writes it; a measurement where nothing is predicted."""
    return Record(
        id="0" * 32,
        ask=ask,
        coordinates=at,
        case=None,
        outcome=outcome if predicted else "measured",
        reason=reason,
        predicted=predicted and predicted.to_dict(),
        measured=tuple(estimate.to_dict() for estimate in measured),
        seconds=0.25,
        code=code,
        versions={"hitherto": "0.1.0"},
        finished="2025-11-21T14:34:05.580+00:00",
    )


def stored(folder, *records, x="n", by=(), log_y=False, says="Squares of numbers", **asks) -> Store:
    """A store with these records; what is said of `squares` by default is the claim."""
    about = {f"toy.{name}": given for name, given in (asks or {"squares": CLAIM}).items()}
    plot = {"x": x, "by": by, "x_label": "n (1)", "log_y": log_y}
    store = Store(folder / "toy").open({"id": "toy", "says": says, "plot": plot, "asks": about})
    for i, given in enumerate(records):
        store.add(replace(given, id=f"{i:032x}"))
    return store


def squares(count: int, **changes) -> list[Record]:
    return [record(number(n * n), number(n * n), n=n, **changes) for n in range(1, count + 1)]


def failing(n: int, **at) -> Record:
    reason = f"measured {n} is not == predicted {n * n}"
    return record(number(n * n), number(n), outcome="fails", reason=reason, n=n, **at)


def words(text: str) -> str:
    return " ".join("".join(parsed(text).text).split())


def mixture() -> list[Record]:
    """A case of every outcome."""
    unsure = record(number(25), number(np.nan), outcome="cannot tell", reason="not converged", n=5)
    return [*squares(2), failing(3), unsure]


def test_nothing_is_fetched(tmp_path):
    text = experiments_page([stored(tmp_path, *mixture())] * 2)
    reader = parsed(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(reader.tags)
    for name, value in reader.attributes:
        assert name not in FETCHING
        assert not name.startswith("on")
        assert "http" not in (value or "")
        assert "href" not in name or value.startswith("#")
    assert "@import" not in text
    assert text.count("url(") == text.count("url(#")


def test_identifiers_are_unique_and_figures_named(tmp_path):
    reader = parsed(experiments_page([stored(tmp_path, *mixture())] * 2))
    identifiers = [value for name, value in reader.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers)) > 0
    named = [value for name, value in reader.attributes if name == "aria-labelledby"]
    assert reader.tags.count("figure") == reader.tags.count("svg") == 2
    assert set(named) <= set(identifiers)


def test_the_verdict_is_a_sentence(tmp_path):
    def headline(*records) -> str:
        (tmp_path / str(len(list(tmp_path.iterdir())))).mkdir()
        folder = max(tmp_path.iterdir(), key=lambda path: int(path.name))
        text = words(experiments_page([stored(folder, *records)]))
        return text.split("Experiments toy ")[1].split(" Squares of numbers")[0]

    assert headline() == "No finished case yet."
    assert headline(*squares(1)) == "1 of 1 case holds."
    assert headline(*squares(120)) == "120 of 120 cases hold."
    assert headline(*mixture()) == "1 of 4 cases fails, first: toy.squares at n 3; 2 hold; 1 cannot tell."
    assert headline(record(None, number(4), n=2)) == "1 case measured."


def test_claims_are_cited_and_cases_shown_in_full(tmp_path):
    text = experiments_page([stored(tmp_path, *mixture())])
    for part in (
        "Odd numbers add up.",
        "toy.squares: Euclid (-300), VII.",
        "✗fails measured 3 is not == predicted 9",
        "?cannot tell not converged",
        "not a number",
        "hitherto 0.1.0",
        "2025-11-21 14:34 UTC",
        "c0de",
        "1.0 s in all",
    ):
        assert part in words(text.replace('<span class="reason">', " <span>"))
    assert "come from" not in text


@pytest.mark.parametrize(
    ("value", "error", "printed"),
    [
        (12345678901234567890, 0.0, "12,345,678,901,234,567,890"),
        (-(10**20), 0.0, "−1.000e+20"),
        (1234 * 10**157, 0.0, "1.234e+160"),
        (10**400, 0.0, "1.000e+400"),
        (0.5, 0.0031, "0.5000 ± 0.0031"),
        (1234.5, 12.0, "1,234 ± 12"),
        (0.0, 0.1, "0.00 ± 0.10"),
        (-123456.0, 1234.0, "−123,500 ± 1,200"),
        (6.02e23, 1.5e20, "6.02e+23 ± 1.5e+20"),
        (0.125, None, "0.125"),
        (np.inf, 0.0, "∞"),
        (-np.inf, None, "−∞"),
        (np.nan, 0.1, "not a number"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
@pytest.mark.parametrize("log_y", [False, True], ids=["linear", "logarithmic"])
def test_every_number_has_its_form_and_no_number_breaks_a_figure(tmp_path, value, error, printed, log_y):
    records = [record(number(value), number(value, error), n=2), *squares(1)]
    text = experiments_page([stored(tmp_path, *records, log_y=log_y)])
    assert f">{printed}</td>" in text
    held = -1e250 < value < 1e250 and (value > 0 or not log_y)
    assert ("no place on these axes" in text) == (not held)


def test_without_a_place_nothing_is_drawn(tmp_path):
    store = stored(tmp_path, record(number(np.nan), number(np.nan), outcome="cannot tell", n=1))
    assert experiment_figures(store) == []
    assert "Not drawn, for want of one axis to draw along or of a finite value: square (points)." in words(
        experiments_page([store])
    )


def test_long_tables_show_what_fails_first(tmp_path):
    records = [*squares(299), failing(300)]
    text = experiments_page([stored(tmp_path, *records)])
    alone, every = text.split('<details class="cases">')
    assert alone.count('<td class="outcome') == alone.count('<td class="outcome fails"') == 1
    assert every.count('<td class="outcome') == 200
    assert every.index('class="outcome fails"') < every.index('class="outcome"')
    assert "Left out here: 100 hold;" in text
    assert len(text) < 300_000


def test_lines_are_theory_points_are_measured_and_failures_have_their_mark(tmp_path):
    ((_, figure, how_to_read),) = experiment_figures(stored(tmp_path, *mixture()))
    axes = figure.axes[0]
    drawn = {line.get_marker(): line for line in axes.lines}
    np.testing.assert_array_equal(drawn["o"].get_xdata(), [5])  # the last of its kind: cannot tell, not a number
    np.testing.assert_array_equal(drawn["X"].get_xydata(), [[3, 3]])
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 1], [2, 4], [3, 9], [5, 25]])
    assert axes.get_xlabel() == "n (1)"
    assert axes.get_ylabel() == "square (points)"
    assert axes.get_title(loc="left").startswith("1 of 4 cases fails, first: n 3")
    assert how_to_read == "Square: n^2. 1 value has no place on these axes."
    assert [t.get_text() for t in figure.legends[0].texts] == ["theory", "measured, 95%", "fails", "cannot tell"]


def whiskers(store: Store) -> np.ndarray:
    ((_, figure, _),) = experiment_figures(store)
    return np.array([path.vertices[:, 1] for path in figure.axes[0].collections[0].get_paths()])


def test_bars_are_the_interval_or_1_96_standard_errors(tmp_path):
    given = number(4.0, 1.0, low=3.5, high=5.5)
    store = stored(tmp_path, record(number(4.0), given, n=1), record(number(4.0), number(4.0, 1.0), n=2))
    np.testing.assert_allclose(whiskers(store), [[3.5, 5.5], [2.04, 5.96]])


@pytest.mark.parametrize(("relation", "words", "side"), [(">=", "at least", 1), ("<=", "at most", 0)])
def test_bounds_show_the_allowed_side(tmp_path, relation, words, side):
    store = stored(tmp_path, *squares(4), squares=CLAIM | {"relation": relation})
    ((_, figure, _),) = experiment_figures(store)
    assert figure.legends[0].texts[0].get_text() == f"theory: {words}"
    area = figure.axes[0].collections[-1].get_paths()[0].vertices[:, 1]
    assert figure.axes[0].get_ylim()[side] in area


def test_other_coordinates_are_averaged_with_all_points_shown(tmp_path):
    records = [record(number(10), number(10 + s), n=n, seed=s) for n in (1, 2) for s in (0, 1, 5)]
    ((_, figure, how_to_read),) = experiment_figures(stored(tmp_path, *records))
    drawn = {line.get_marker(): line for line in figure.axes[0].lines if len(line.get_xdata())}
    np.testing.assert_array_equal(drawn["o"].get_ydata(), [10, 11, 15] * 2)
    np.testing.assert_array_equal(drawn["_"].get_xydata(), [[1, 12], [2, 12]])
    assert "means over seed." in how_to_read


def test_more_curves_than_colours_become_several_figures(tmp_path):
    def at(a, b):
        return [record(number(n), number(n), n=n, a=a, b=b) for n in (1, 2)]

    few = [r for a in (0, 1) for b in range(3) for r in at(a, b)]
    ((_, figure, _),) = experiment_figures(stored(tmp_path, *few, by=("a", "b")))
    assert figure.legends[0].texts[0].get_text() == "a 0, b 0"
    many = [r for a in (0, 1) for b in range(4) for r in at(a, b)]
    drawn = experiment_figures(stored(tmp_path, *many, by=("a", "b")))
    assert [f.legends[0].texts[3].get_text() for _, f, _ in drawn] == ["b 3", "b 3"]
    assert len({f.axes[0].get_ylim() for _, f, _ in drawn}) == 1
    most = [r for a in range(15) for b in range(7) for r in at(a, b)]
    drawn = experiment_figures(stored(tmp_path, *most, by=("a", "b")))
    assert len(drawn) == 12
    assert drawn[0][2].endswith("93 more charts like this are left out.")


def test_questions_about_the_same_cases_have_figures_of_their_own(tmp_path):
    records = [*squares(3), *squares(3, ask="toy.bound")]
    store = stored(tmp_path, *records, squares=CLAIM, bound=CLAIM | {"relation": "<="})
    assert len(experiment_figures(store)) == 2
    text = words(experiments_page([store]))
    assert "square (points) · toy.squares" in text
    assert "square (points) · toy.bound" in text


def test_places_without_numbers_stand_side_by_side(tmp_path):
    rnn = {"kind": "hitherto.architectures.rnn.RNN", "width": 4}
    kinds = ("tanh", None, [1, "a"], {"kind": "fractions.Fraction", "value": "1/3"}, rnn)
    store = stored(tmp_path, *(record(number(4), number(4), n=kind) for kind in kinds))
    ((_, figure, _),) = experiment_figures(store)
    ticks = {t.get_text() for t in figure.axes[0].get_xticklabels()}
    assert ticks == {"tanh", "none", "(1, a)", "1/3", "RNN(width=4)"}


def test_curves_are_drawn_case_by_case_six_at_most(tmp_path):
    cases = [record(None, curve(*range(4)), number(n), n=n, seed=0) for n in range(20)]
    drawn = experiment_figures(stored(tmp_path, *cases, squares={"says": "a curve"}))
    assert [f.axes[0].get_xlabel() for _, f, _ in drawn] == ["lag", "n (1)"]
    texts = [t.get_text() for t in drawn[0][1].legends[0].texts]
    assert texts == ["n 0", "n 4", "n 8", "n 11", "n 15", "n 19"]
    text = words(experiments_page(stores(tmp_path)))
    assert "spread · 6 of 20 cases" in text
    assert "toy.squares: a measurement without theory." in text
    assert "4 values, 0 to 3" in text


def test_a_failing_curve_is_among_those_drawn(tmp_path):
    cases = [record(curve(1, 2), curve(1, 2), n=n, outcome="fails" if n == 7 else "holds") for n in range(30)]
    ((_, figure, _),) = experiment_figures(stored(tmp_path, *cases))
    assert "n 7, fails" in [t.get_text() for t in figure.legends[0].texts]


@pytest.mark.parametrize("points", [1, 30, 200])
def test_curves_of_any_length(tmp_path, points):
    both = curve(*np.exp(-np.arange(points) / 9.0))
    ((_, figure, _),) = experiment_figures(stored(tmp_path, record(both, both, n=1), x="lag", log_y=True))
    assert figure.axes[0].get_xlabel() == "n (1)"
    assert len(figure.axes[0].lines[0].get_xdata()) == points


def table(*shape: int) -> Estimate:
    names = ("i", "j", "k")[: len(shape)]
    axes = {name: np.arange(size) for name, size in zip(names, shape, strict=True)}
    return Estimate(Quantity("gram", "", "", names), np.arange(np.prod(shape)).reshape(shape) * 1.0, axes=axes)


def test_values_with_two_axes_are_maps_with_one_panel_a_case(tmp_path):
    store = stored(tmp_path, *(record(None, table(2, 3), n=n) for n in range(1, 16)))
    ((_, figure, how_to_read),) = experiment_figures(store)
    panels = [axes for axes in figure.axes if axes.get_title("left")]
    assert [axes.get_title("left") for axes in panels] == [f"n {n}" for n in range(1, 13)]
    assert "3 more cases are left out." in how_to_read
    page = experiments_page([store])
    assert "Not drawn" not in page
    assert "6 values, 0 to 5" in words(page)


def complex_values(*values: complex) -> list[Estimate]:
    eigenvalues, index = Quantity("eigenvalues", "", "", ("index",)), {"index": np.arange(len(values))}
    parts = {"real part": np.array(values, complex).real, "imaginary part": np.array(values, complex).imag}
    return [Estimate(eigenvalues, value, axes=index, part=part) for part, value in parts.items()]


def test_zeros_have_no_place_on_a_logarithmic_axis(tmp_path):
    cases = [record(number(n), number(n), n=n) for n in range(3)]
    ((_, _, how_to_read),) = experiment_figures(stored(tmp_path, *cases, log_y=True))
    assert how_to_read.endswith("2 values of 0 have no place on these axes.")


def test_complex_values_lie_in_one_plane_with_one_panel_a_case(tmp_path):
    every = [record(None, *complex_values(n, 1j), n=n) for n in (1, 2)]
    store = stored(tmp_path, *every)
    ((_, figure, how_to_read),) = experiment_figures(store)
    assert [axes.get_title("left") for axes in figure.axes] == ["n 1", "n 2"]
    assert [axes.lines[0].get_xydata().tolist() for axes in figure.axes] == [[[n, 0], [0, 1]] for n in (1, 2)]
    assert how_to_read.endswith("the circle has radius 1.")
    assert "Not drawn" not in experiments_page([store])


def test_what_has_no_place_in_the_plane_is_left_out(tmp_path):
    cases = [record(None, *complex_values(1, np.nan, 2j, np.inf, 1e300), n=1)]
    ((_, figure, _),) = experiment_figures(stored(tmp_path / "some", *cases))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 0], [0, 2]]


def test_parts_without_each_other_are_only_told(tmp_path):
    real, imaginary = complex_values(1, 2j)
    alone = [record(None, real, n=1), record(None, imaginary, n=2), record(None, real, complex_values(1)[1], n=3)]
    store = stored(tmp_path, *alone)
    assert experiment_figures(store) == []
    assert "eigenvalues, real part" in words(experiments_page([store]))


def test_values_with_more_axes_are_only_told(tmp_path):
    text = words(experiments_page([stored(tmp_path, record(None, table(2, 2, 2), n=1))]))
    assert "finite value: gram." in text
    assert "8 values, 0 to 7" in text


def test_numbers_beside_curves_have_an_axis_of_their_own(tmp_path):
    both = [record(None, curve(1, 2, n), number(n), n=n, m=m) for n in (1, 2) for m in (3, 4)]
    (_, over_lag, _), (_, over_n, _) = experiment_figures(stored(tmp_path, *both, x="lag", by=("n",)))
    assert over_lag.axes[0].get_xlabel() == "n (1)"
    assert over_n.axes[0].get_xlabel() == "n"


def test_curves_and_values_are_named_in_the_order_of_their_numbers(tmp_path):
    every = [record(number(1), number(1), n=n, width=w) for n in (1, 2) for w in (500, 3000, None, 60)]
    store = stored(tmp_path, *every, by=("width",))
    ((_, figure, _),) = experiment_figures(store)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[:4] == ["width 60", "width 500", "width 3000", "width none"]
    assert "width 60, 500, 3000, none" in words(experiments_page([store]))


def test_words_name_curves_without_their_coordinate(tmp_path):
    every = [
        record(number(1), number(1), n=n, cell=cell, depth=d)
        for n in (1, 2)
        for cell in ("RNN", "LSTM")
        for d in (1, 2)
    ]
    ((_, figure, _),) = experiment_figures(stored(tmp_path, *every, by=("cell", "depth")))
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[:4] == ["LSTM, depth 1", "LSTM, depth 2", "RNN, depth 1", "RNN, depth 2"]


def test_curves_show_one_seed_for_each_that_is_told_apart(tmp_path):
    every = [record(None, curve(1, n, m), n=n, m=m, seed=s) for n in range(3) for m in range(4) for s in (0, 1)]
    drawn = experiment_figures(stored(tmp_path, *every, x="lag", by=("n", "m")))
    assert len(drawn) == 3
    assert [text.get_text() for text in drawn[0][1].legends[0].get_texts()] == ["m 0", "m 1", "m 2", "m 3"]


def test_other_code_and_versions_are_said(tmp_path):
    old = record(number(1), number(1), n=9, code="01d")
    old.versions["hitherto"] = "0.0.1"
    text = words(experiments_page([stored(tmp_path, *squares(2), old)]))
    assert "The cases of toy.squares come from 2 versions of its code: 2 from c0de, 1 from 01d." in text
    assert "2 sets of versions: 2 with hitherto 0.1.0; 1 with hitherto 0.0.1." in text


def test_cases_of_other_kinds_have_other_code(tmp_path):
    cells = {"a.RNN": "c0de", "a.LSTM": "01d"}
    cases = [
        replace(record(number(1), number(1), n=n, code=code), case={"layers": [{"kind": kind, "width": n}]})
        for n, (kind, code) in enumerate(cells.items())
    ]
    assert "versions of its code" not in experiments_page([stored(tmp_path / "one", *cases)])
    again = replace(cases[0], code="older", coordinates={"n": 2})
    assert "2 versions of its code: 1 from c0de, 1 from older." in words(
        experiments_page([stored(tmp_path / "more", *cases, again)])
    )


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_record(tmp_path, count):
    text = experiments_page([stored(tmp_path, *squares(count))])
    assert parsed(text).tags.count("svg") == parsed(text).tags.count("table") == count


def test_a_question_that_only_records_name(tmp_path):
    text = words(experiments_page([stored(tmp_path, *squares(2, ask="toy.gone"))]))
    assert "toy.gone" in text
    assert "2 of 2 cases hold" in text


def test_texts_are_not_trusted(tmp_path):
    estimate = Estimate(Quantity(NASTY, NASTY, NASTY), 3.0, 0.1, part=NASTY)
    at = {NASTY: NASTY, "n": NASTY}
    nasty = [
        record(estimate, estimate, outcome=outcome, ask=f"toy.{NASTY}", reason=NASTY, code=NASTY, b=i, **at)
        for i, outcome in enumerate(("fails", "holds", NASTY))
    ]
    nasty[0].versions[NASTY] = NASTY
    about = dict.fromkeys(CLAIM, NASTY)
    text = experiments_page([stored(tmp_path, *nasty, by=("b", NASTY), says=NASTY, **{NASTY: about})])
    reader = parsed(text)
    assert "script" not in reader.tags
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert NASTY.replace("\ud800", "?") in "".join(reader.text)
    assert text.encode()


def test_same_records_same_page(tmp_path):
    store = stored(tmp_path, *mixture())
    assert experiments_page([store]) == experiments_page([store])


def test_a_page_needs_no_jax(tmp_path):
    stored(tmp_path, *mixture())
    code = (
        "import sys; from hitherto.core.store import stores; from hitherto.report.experiments import experiments_page; "
        f"assert len(experiments_page(stores({str(tmp_path)!r}))) > 10_000; assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
