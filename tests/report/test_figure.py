import io

import matplotlib as mpl
import numpy as np
import pytest
import sample
from sample import curve, number

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate
from hitherto.report.drawing import Scene
from hitherto.report.figure import PANELS, figure, figures, panels, summary
from hitherto.report.svg import svg

CURVES = tuple(e for e in q.QUANTITIES if len(e.axes) == 1 and e.axes != ("quantile",))
LONGEST = {q.PROCESSING_CAPACITY: 3, q.PROCESSING_CAPACITY_FOUND: 3}
SHAPES = {
    "one point": np.array([0.7]),
    "zeros": np.zeros(5),
    "some zeros": np.array([1.0, 0.0, 0.5, 0.0]),
    "growing": np.exp(np.arange(50.0)),
    "falling out of range": np.exp(-40.0 * np.arange(30.0)),
    "not numbers": np.full(4, np.nan),
    "minus infinity": np.array([-0.1, -np.inf, -np.inf]),
    "infinity": np.array([3.0, np.inf]),
    "2000 points": np.exp(-np.arange(2000) / 300.0),
}


def drawn(*estimates: Estimate, **provenance) -> list[str]:
    """All figures as SVG text."""
    made = figures(estimates, sample.provenance(**provenance))
    return [svg(shown, name) for name, shown, _ in made]


def of_shape(shape: str, spread: float | None, part: str = "") -> list[Estimate]:
    """All curves in one shape."""
    with np.errstate(invalid="ignore"):
        return [curve(k, SHAPES[shape][: LONGEST.get(k)], spread, start=1, part=part) for k in CURVES]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_curve_can_be_drawn(shape):
    assert len(drawn(*of_shape(shape, 0.1))) == 11


@pytest.mark.parametrize("spread", [None, 0.1])
def test_parts_of_every_shape_share_a_figure(spread):
    estimates = [e for shape in list(SHAPES)[:6] for e in of_shape(shape, spread, shape)]
    texts = drawn(*estimates)
    assert len(texts) == 11
    assert all("some zeros" in text for text in texts)


@pytest.mark.parametrize("units", [1, 1000])
def test_few_and_many_units(units):
    estimates = sample.estimates(units=units, lags=12)
    assert len(drawn(*estimates)) == len(PANELS)


def test_no_figure_without_its_quantity():
    assert figures((), {}) == []
    assert [p.id for p in panels([number(q.IDLE_UNITS, 3.0, 0.1)])] == ["units"]
    assert panels([number(q.SPECTRAL_RADIUS, 3.0, 0.0)]) == ()


@pytest.fixture(scope="module")
def shown():
    return figures(sample.estimates(), sample.provenance(step_seconds=0.031))


def test_titles_are_findings(shown):
    titles = {name: drawing.axes[0].get_title(loc="left") for name, drawing, _ in shown}
    assert titles["state-gradient"].startswith("Forgets half of an input within 7.4")
    assert titles["exponents"] == "Stable: the same input leads to the same state,\nwhatever the start"
    assert titles["output-gradient"] == "Gradient of the output by lag"


def test_open_questions_have_short_titles():
    unknown = curve(q.LYAPUNOV_SPECTRUM, [-0.1], None, cannot_tell="fewer than 8 sequences give no interval")
    assert figures([unknown], {})[0][1].axes[0].get_title(loc="left") == "Cannot tell whether the model is stable"


def test_axes_are_named_with_units(shown):
    for name, drawing, how_to_read in shown:
        axes = drawing.axes[0]
        assert axes.get_xlabel()
        assert axes.get_ylabel() or name == "units"
        assert how_to_read.endswith(".")
        if "lag" in axes.get_xlabel():
            assert axes.get_xlabel() == "lag (steps of 31 ms back)"


def test_values_without_a_place_are_said():
    gone = drawn(curve(q.LYAPUNOV_SPECTRUM, [-0.1, -np.inf], None, start=1))[0]
    assert "exactly −∞ at this point" in gone
    assert "exactly 0 at these 2 points" in drawn(curve(q.CONTEXT_REPLACED, [1.0, 0.0, 0.0]))[0]


def test_dotted_where_there_is_no_interval():
    def styles(spread):
        shown = figures([curve(q.CONTEXT_REPLACED, [1.0, 0.5, 0.2], spread)], {})[0][1]
        return [line.is_dashed() for line in shown.axes[0].lines if len(line.get_xdata()) == 3]

    assert styles(0.1) == [False]
    assert styles(None) == [True]


def test_more_parts_than_colours_are_announced():
    many = [curve(q.STATE_JACOBIAN_TYPICAL, [1.0, 0.5], part=f"layer {i}") for i in range(8)]
    text = drawn(*many)[0]
    assert "6 of 8 parts drawn" in text
    assert "layer 5" in text
    assert "layer 6" not in text


def test_names_are_text_and_not_formulas():
    assert (
        "$^a &lt;b&gt;"
        in drawn(*(curve(q.STATE_SPECTRUM, [0.6, 0.4], start=1, part=part) for part in ("$^a <b>", "other $ part")))[0]
    )


def test_svg_lives_in_a_page(shown):
    texts = [svg(drawing, name) for name, drawing, _ in shown]
    for text in texts:
        assert text.startswith("<svg ")
        assert "http" not in text
        assert "<style" not in text
        assert "var(--series-1)" in text
        assert "#0a6db5" not in text
    identifiers = [part.split('"')[0] for text in texts for part in text.split(' id="')[1:]]
    assert len(identifiers) == len(set(identifiers)) > 0


def test_global_settings_are_left_alone():
    before = dict(mpl.rcParams)
    summary(sample.estimates(), sample.provenance()).savefig(io.BytesIO())
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("estimates", [(), sample.estimates("layer 0") + sample.estimates("layer 1", units=8)])
def test_summary_has_a_panel_each(estimates):
    assert len(summary(estimates, sample.provenance()).axes) == len(panels(estimates))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_each_panel_stands_alone(panel):
    needed = {need.name for need in panel.needs}
    scene = Scene([e for e in sample.estimates() if e.quantity.name in needed], {})
    assert len(figure(panel, scene).axes) == 1


def test_eigenvalues_stand_in_their_disc_with_rings_around_what_is_expected():
    (axes,) = next(shown for name, shown, _ in figures(sample.estimates(), {}) if name == "recurrent-spectrum").axes
    eigenvalues, bulk, expected = axes.lines
    assert len(eigenvalues.get_xdata()) == 40
    assert np.hypot(*bulk.get_data()) == pytest.approx(np.full(200, 1.02))
    assert expected.get_xydata().tolist() == [[1.46, 0.0]]


def test_layers_have_a_disc_each():
    both = sample.estimates("layer 0") + sample.estimates("layer 1")
    (axes,) = next(shown for name, shown, _ in figures(both, {}) if name == "recurrent-spectrum").axes
    assert len(axes.lines) == 6
    assert axes.get_legend_handles_labels()[1] == ["layer 0", "layer 1"]


def test_likeness_of_times_has_a_colour_for_each_sign():
    scene = figures(sample.estimates(), {})
    (axes,) = next(shown for name, shown, _ in scene if name == "time-kernel").axes
    alike, opposite = (mesh.get_array() for mesh in axes.collections)
    assert alike.max() == pytest.approx(1)
    assert (alike.mask == ~opposite.mask).all()
    still = Estimate(q.TIME_KERNEL, np.zeros((3, 3)), axes={"time": np.arange(3), "other_time": np.arange(3)})
    assert drawn(still)
