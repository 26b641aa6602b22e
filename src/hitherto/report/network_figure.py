"""Tensor networks of recurrent circuits, drawn so that one sees which copy feeds which step, and where they are cut.

Time runs from left to right, and below each step hangs the copy of the layer below that feeds it. Under a layer of even
number copies stand one below another and share their columns, so that a cut between two steps is an upright line;
elsewhere they stand side by side. No two bonds cross.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import matplotlib as mpl
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from hitherto.core.claim import whole
from hitherto.report.drawing import INK, SERIES, SETTINGS, SIZE, SOFT

START, CUT, END = SERIES[:3]
# Inches, as are the units of the axes: a network of any size is drawn at the same scale.
COLUMN, LEG = 0.76, 0.33  # from step to step, from tensor to tensor below
HANG, CHAIN = 2.2 * LEG, 3.1 * LEG  # from a chain to the first one below, from the lowest chains to the next
GAP = 0.3 * COLUMN  # between copies side by side
RADIUS, BAR = 0.095, 0.11  # of an input; of the bar across a cut bond, half its length
LABEL, PAD = 0.86, 0.2  # left of the first tensors, and elsewhere
LINE, KEY, LETTERS = 0.2, 2.1, 11  # height of a line, width of an entry of the key, letters of a title in an inch
READ = 9.0  # title and key grow with what is wider, since people see it reduced,
LARGEST = 2.5  # times at most
MARKS = {
    "delta": ("copy tensor", dict(marker="o", color=INK, markersize=5)),
    "WI": ("input weights", dict(marker="s", color=SOFT, markersize=7)),
    "WH": ("recurrent weights", dict(marker="D", color=INK, markersize=6.5)),
    "start": ("ones before the first step", dict(marker="<", color=SOFT, markersize=6)),
    "WO": ("readout", dict(marker=">", color=INK, markersize=9)),
}
TINT = 0.15  # strength of a pale colour
Place = tuple[float, float]
Steps = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A chain with all that hangs below it; its own steps are at height 0, the leftmost step of all at 0 across.

    Attributes:
        places: of each step, by the path of steps that leads down to it.
        width, height: room that it takes.
    """

    places: Mapping[Steps, Place]
    width: float
    height: float


def network_figure(
    network: nx.Graph, cut_edges: Sequence[tuple[str, str]], numbers: Mapping[str, int], title: str
) -> Figure:
    """A tensor network, where it is cut, and what the cut bounds.

    Args:
        network: nodes with `kind`, `layer`, `time` and `path`, edges with `dim`, as `tensor_network` makes them.
        cut_edges: names of their ends, the one on the start side first; without any no cut is drawn.
        numbers: what bounds what, by name, the largest first.
        title: stands above them.
    Returns:
        A figure as large as the network needs.
    Raises:
        ValueError: if a number is larger than the one before it, since the figure says that it is not.
    """
    _refuse_rising(numbers)
    places = _places(network)
    start_side = _start_side(network, cut_edges)
    with mpl.rc_context(SETTINGS):
        axes = _paper(places, title, numbers, _key(network, start_side))
        if cut_edges:
            _tint(axes, places, start_side)
        _bonds(axes, places, network)
        _tensors(axes, places, network)
        _inputs(axes, places, network, start_side)
        _cut(axes, places, network, cut_edges)
        _layers(axes, places, network)
    return axes.figure


def _refuse_rising(numbers: Mapping[str, int]) -> None:
    for (above, more), (below, less) in pairwise(numbers.items()):
        if less > more:
            raise ValueError(
                f"the numbers of a network figure must not rise, got {above} {whole(more)} before {below} "
                f"{whole(less)}; give bounds first, the loosest at the front"
            )


def _start_side(network: nx.Graph, cut_edges: Sequence[tuple[str, str]]) -> nx.Graph:
    """What hangs together with the first ends of the cut edges."""
    parts = network.copy()
    parts.remove_edges_from(cut_edges)
    found = {name for inner, _ in cut_edges for name in nx.node_connected_component(parts, inner)}
    return network.subgraph(found)


def _places(network: nx.Graph) -> dict[str, Place]:
    """Where each tensor stands."""
    readout = network.nodes["O"]
    steps = _steps(readout["layer"] - 1, readout["time"])
    return {name: _place(steps, **node) for name, node in network.nodes(data=True)}


def _place(steps: Mapping[Steps, Place], kind: str, layer: int, time: int, path: Steps) -> Place:
    """A copy tensor stands at its step, the others around it."""
    x, y = steps[path if kind == "x" else (*path, max(time, 1))]
    if kind == "WH":
        return (x + steps[*path, time - 1][0]) / 2, y
    right, down = {"start": (-0.5, 0), "WO": (0.5, 0), "WI": (0, 1), "x": (0, 2)}.get(kind, (0, 0))
    return x + right * COLUMN, y - down * LEG


def _steps(depth: int, length: int) -> Mapping[Steps, Place]:
    """Where the steps of every copy stand, found from the lowest layer up, for chains of each length."""
    blocks = [Block({}, COLUMN, CHAIN)] * length  # inputs, each in a column
    for layer in range(1, depth + 1):
        blocks = [_chain(layer, blocks[:steps]) for steps in range(1, length + 1)]
    return blocks[-1].places


def _chain(layer: int, feeding: Sequence[Block]) -> Block:
    """A chain over the blocks that feed its steps; the last step of each is right below the step it feeds."""
    places: dict[Steps, Place] = {}
    left, low = 0.0, HANG if layer > 1 else 0.0
    for time, block in enumerate(feeding, 1):
        places[time,] = (left + block.width - COLUMN, 0.0)
        places |= {(time, *path): (left + x, y - low) for path, (x, y) in block.places.items()}
        if layer % 2:
            left += block.width + (GAP if layer > 1 else 0)
        else:
            low += block.height
    width = places[len(feeding),][0] + COLUMN
    return Block(places, width, low + feeding[-1].height if layer % 2 else low)


def _paper(places: Mapping[str, Place], title: str, numbers: Mapping[str, int], key: Sequence[Line2D]) -> Axes:
    """Axes around the network, title and numbers above it, the key below it or beside one that is higher than wide."""
    (left, right), (low, top) = ((min(along), max(along)) for along in zip(*places.values(), strict=True))
    left, right, low, tall = left - LABEL, right + 1.5 * PAD, low - 1.5 * PAD, top - low > right - left
    size = min(max((right - left) / READ, 1.0), LARGEST)
    right = max(right + tall * KEY, left + SIZE[0])
    columns = 1 if tall else int((right - left) / (size * KEY))
    low -= (not tall) * (PAD + size * LINE * math.ceil(len(key) / columns))
    above = _wrapped(title, numbers, letters=int((right - left - 2 * PAD) * LETTERS / size))
    heights = [size * LINE * (text.count("\n") + 1) for text in above]
    edge = top + 2.5 * PAD + sum(heights)
    axes = Figure(figsize=(right - left, edge - low)).add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, edge))
    axes.set_axis_off()
    axes.text(left + PAD, edge - PAD, above[0], fontsize=11 * size, fontweight="bold", va="top")
    axes.text(left + PAD, edge - 1.2 * PAD - heights[0], above[1], fontsize=10 * size, va="top")
    place, corner = ("upper right", (right, top + 1.5 * PAD)) if tall else ("lower left", (left, low))
    look = dict(ncols=columns, fontsize=9 * size, markerscale=size, labelcolor=SOFT)
    axes.legend(handles=key, loc=place, bbox_to_anchor=corner, bbox_transform=axes.transData, **look)
    return axes


def _wrapped(title: str, numbers: Mapping[str, int], letters: int) -> list[str]:
    """Title, and the numbers as a chain that breaks before its signs alone."""
    told = " ≥\xa0".join(f"{name} {whole(number)}".replace(" ", "\xa0") for name, number in numbers.items())
    return [textwrap.fill(text, letters) for text in (title, told)]


def _key(network: nx.Graph, start_side: nx.Graph) -> list[Line2D]:
    """A handle for every mark that is drawn."""
    kinds = {kind for _, kind in network.nodes(data="kind")}
    tensors = [_handle(label, **look) for kind, (label, look) in MARKS.items() if kind in kinds]
    if not start_side:
        return [*tensors, _handle("input, by its step", **_ring(END, 0.3))]
    return [
        *tensors,
        _handle("start input, by its step", **_ring(START, 0.3)),
        _handle("end input, by its step", **_ring(END, 0.3)),
        _handle("cut, with its dimension", marker="|", color=CUT, markersize=9, markeredgewidth=2.6),
        Line2D([], [], label="start side of the cut", color=START, alpha=TINT, linewidth=9, solid_capstyle="round"),
    ]


def _handle(label: str, **look: Any) -> Line2D:
    return Line2D([], [], linestyle="", label=label, **look)


def _ring(colour: str, strength: float) -> dict[str, Any]:
    return dict(marker="o", markersize=10, markeredgecolor=colour, markerfacecolor=(colour, strength))


def _strokes(axes: Axes, ends: Iterable[tuple[Place, Place]], **look: Any) -> None:
    """Straight lines as one path, so that a pale colour is not darker where they meet."""
    points = list(chain.from_iterable(ends))
    codes = [Path.MOVETO, Path.LINETO] * (len(points) // 2)
    axes.add_patch(PathPatch(Path(points, codes), facecolor="none", capstyle="round", snap=False, **look))


def _tint(axes: Axes, places: Mapping[str, Place], start_side: nx.Graph) -> None:
    """A broad pale stroke along the start side; a tensor alone is a dot, which no stroke without length would be."""
    ends = [(places[one], places[other]) for one, other in start_side.edges]
    ends += [((x, y), (x, y + 0.01)) for x, y in map(places.__getitem__, nx.isolates(start_side))]
    _strokes(axes, ends, edgecolor=START, alpha=TINT, linewidth=19)


def _bonds(axes: Axes, places: Mapping[str, Place], network: nx.Graph) -> None:
    """Lines between tensors; those of inputs end at their rings."""
    rims = {name: (x, y + RADIUS * (network.nodes[name]["kind"] == "x")) for name, (x, y) in places.items()}
    _strokes(axes, [(rims[one], rims[other]) for one, other in network.edges], edgecolor=SOFT, linewidth=1.1)


def _tensors(axes: Axes, places: Mapping[str, Place], network: nx.Graph) -> None:
    for kind, (_, look) in MARKS.items():
        found = [places[name] for name, other in network.nodes(data="kind") if other == kind]
        axes.plot([x for x, _ in found], [y for _, y in found], linestyle="", **look)


def _inputs(axes: Axes, places: Mapping[str, Place], network: nx.Graph, start_side: nx.Graph) -> None:
    """Rings around the number of the step; clones of one input look the same, later ones are darker."""
    length = network.nodes["O"]["time"]
    for name, node in network.nodes(data=True):
        if node["kind"] != "x":
            continue
        colour = START if name in start_side else END
        axes.plot(*places[name], **_ring(colour, 0.1 + 0.5 * node["time"] / length) | dict(markersize=144 * RADIUS))
        axes.text(*places[name], str(node["time"]), fontsize=8, ha="center", va="center_baseline")


def _cut(axes: Axes, places: Mapping[str, Place], network: nx.Graph, cut_edges: Sequence[tuple[str, str]]) -> None:
    """A bar across each cut bond, and its dimension."""
    for edge in cut_edges:
        (x, y), (right, up) = (places[name] for name in edge)
        upright = abs(right - x) < abs(up - y)
        x, y, across, along = (x + right) / 2, (y + up) / 2, BAR * upright, BAR * (not upright)
        _strokes(axes, [((x - across, y - along), (x + across, y + along))], edgecolor=CUT, linewidth=2.6)
        at = (x + 1.5 * BAR, y) if upright else (x - 0.4 * BAR, y - 1.3 * BAR)
        dim = whole(network.edges[edge]["dim"])
        axes.text(*at, dim, color=CUT, fontweight="bold", va="center_baseline" if upright else "top")


def _layers(axes: Axes, places: Mapping[str, Place], network: nx.Graph) -> None:
    """The number of a layer left of its highest chain, and again below another layer's."""
    left = min(x for x, _ in places.values()) - PAD
    copies = [(node["layer"], places[name][1]) for name, node in network.nodes(data=True) if node["kind"] == "delta"]
    rows = sorted({(-y, layer) for layer, y in copies})
    for (_, before), (down, layer) in pairwise([(0, 0), *rows]):
        if layer != before:
            axes.text(left, -down, f"layer {layer}", color=SOFT, ha="right", va="center_baseline")
