import math
from itertools import combinations

import matplotlib as mpl
import networkx as nx
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hitherto.report.drawing import COLOURS, SERIES
from hitherto.report.network_figure import network_figure
from hitherto.report.svg import svg
from hitherto.theory.start_end_network import MinCut, min_cut, tensor_network

START, CUT, END = SERIES[:3]
SHAPES = [(1, 2), (1, 6), (2, 2), (2, 4), (2, 6), (3, 4), (3, 6), (4, 3), (5, 3)]
NUMBERS = {"naive min-cut": 54, "symmetrised bound": 24, "exact rank": 24}
LONG = {"naive min-cut": 3**2000, "symmetrised bound": 3**1000, "exact rank": 10**19}


def cut_network(depth: int, length: int, width: int = 3, input_size: int = 2) -> tuple[nx.Graph, MinCut]:
    network = tensor_network(depth, length, width, input_size)
    return network, min_cut(network, length // 2)


def drawn(depth: int, length: int, numbers=NUMBERS, title="Two chains are cut, and a clone", **dims: int) -> Figure:
    network, cut = cut_network(depth, length, **dims)
    return network_figure(network, cut.edges, numbers, title)


def texts(figure: Figure) -> list:
    """All that is written."""
    (axes,) = figure.axes
    return [*axes.texts, *axes.get_legend().get_texts()]


def clones(figure: Figure) -> list[tuple[int, float, float, str, tuple]]:
    """Number, place, colour of the ring and of the inside of each input."""
    (axes,) = figure.axes
    rings = {tuple(line.get_xydata()[0]): line for line in axes.lines if line.get_markersize() > 12}
    numbers = {tuple(text.get_position()): int(text.get_text()) for text in axes.texts if text.get_text().isdigit()}
    return [
        (numbers[place], *place, to_hex(ring.get_markeredgecolor()), ring.get_markerfacecolor())
        for place, ring in rings.items()
    ]


def strokes(figure: Figure, colour: str) -> np.ndarray:
    """Ends of all straight lines in a colour."""
    patches = [patch for patch in figure.axes[0].patches if to_hex(patch.get_edgecolor()) == colour]
    return np.concatenate([patch.get_path().vertices.reshape(-1, 2, 2) for patch in patches])


@pytest.mark.parametrize(("numbers", "title"), [(NUMBERS, "Two layers"), (LONG, "A title of many words " * 9)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_is_written_over_anything_else(shape, numbers, title):
    figure = drawn(*shape, numbers, title, width=1000, input_size=1000)
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in texts(figure)]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    low, high = np.min([box.min for box in boxes], 0), np.max([box.max for box in boxes], 0)
    assert (low >= 0).all()
    assert (high <= figure.bbox.max).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bonds_are_straight_and_do_not_cross(shape):
    network, _ = cut_network(*shape)
    bonds = np.sort(strokes(drawn(*shape), "#5c6672"), axis=1).round(6)
    assert len(bonds) == network.number_of_edges()
    level, upright = (bonds[bonds[:, 0, axis] == bonds[:, 1, axis]] for axis in (1, 0))
    assert len(level) + len(upright) == len(bonds)
    for x, low, high in zip(upright[:, 0, 0], *upright[:, :, 1].T, strict=True):
        y, left, right = level[:, 0, 1], *level[:, :, 0].T
        assert not ((left < x) & (x < right) & (low < y) & (y < high)).any()
    for along in (level, upright):
        axis = int(along is upright)
        for one, other in combinations(along, 2):
            alike = one[0, 1 - axis] == other[0, 1 - axis]
            assert not alike or max(one[0, axis], other[0, axis]) >= min(one[1, axis], other[1, axis])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inputs_have_the_colour_of_their_side(shape):
    network, cut = cut_network(*shape)
    found = clones(drawn(*shape))
    expected = [
        (node["time"], name in cut.start_side) for name, node in network.nodes(data=True) if node["kind"] == "x"
    ]
    assert sorted((number, colour == START) for number, *_, colour, _ in found) == sorted(expected)
    assert {colour for *_, colour, _ in found} == {START, END}
    assert len({(number, inside) for number, *_, inside in found}) == shape[1]


def test_one_layer_is_a_chain_in_time():
    found = sorted(clones(drawn(1, 6)), key=lambda clone: clone[1])
    assert [number for number, *_ in found] == [1, 2, 3, 4, 5, 6]
    assert len({y for _, _, y, *_ in found}) == 1


def test_copies_of_two_layers_share_columns():
    found = clones(drawn(2, 6))
    assert len({(number, round(x, 6)) for number, x, *_ in found}) == 6
    assert len({round(y, 6) for _, _, y, *_ in found}) == 6


def test_cut_bonds_are_struck_with_their_dimension():
    _, cut = cut_network(2, 6)
    figure = drawn(2, 6)
    struck = [int(text.get_text()) for text in figure.axes[0].texts if text.get_color() == CUT]
    assert sorted(struck) == [2, 3, 3, 3]
    assert math.prod(struck) == cut.value == 54
    assert len(strokes(figure, CUT)) == len(cut.edges)


def test_start_side_is_tinted():
    network, cut = cut_network(2, 6)
    assert len(strokes(drawn(2, 6), START)) == network.subgraph(cut.start_side).number_of_edges()
    _, cut = cut_network(1, 2)
    assert cut.start_side == {"X[1]"}
    assert len(strokes(drawn(1, 2), START)) == 1


def test_the_chain_of_numbers_is_told():
    title, told = (text.get_text() for text in drawn(2, 6, title="A title").axes[0].texts[:2])
    assert title == "A title"
    assert told.replace("\xa0", " ") == "naive min-cut 54 ≥ symmetrised bound 24 ≥ exact rank 24"
    lines = drawn(1, 2, LONG).axes[0].texts[1].get_text().replace("\xa0", " ").splitlines()
    assert lines == ["naive min-cut 1.747e+954", "≥ symmetrised bound 1.322e+477", "≥ exact rank 10000000000000000000"]


def test_rising_numbers_are_refused():
    with pytest.raises(ValueError, match="must not rise, got bound 8 before rank 9; give bounds first"):
        drawn(1, 4, {"cut": 8, "bound": 8, "rank": 9})


def test_without_a_cut():
    figure = network_figure(tensor_network(2, 3, 3, 2), (), {}, "No cut")
    assert {colour for *_, colour, _ in clones(figure)} == {END}
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][-1] == "input, by its step"
    assert svg(figure, "a").startswith("<svg ")


def test_figures_grow_with_the_network():
    areas = [math.prod(drawn(*shape).get_size_inches()) for shape in ((1, 6), (2, 4), (2, 6), (3, 6))]
    assert areas == sorted(areas)
    assert svg(drawn(1, 100), "a").count("<text") > 100


def test_a_figure_lives_in_a_page():
    text = svg(drawn(2, 4), "network")
    assert "http" not in text
    assert all(f"var(--{name})" in text for name in ("ink", "soft", "series-1", "series-2", "series-3"))
    assert not any(colour in text for colour in COLOURS)


def test_global_settings_are_left_alone():
    before = dict(mpl.rcParams)
    drawn(2, 4)
    assert dict(mpl.rcParams) == before
