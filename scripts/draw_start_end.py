"""The two pictures of docs/papers/start_end.md."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hitherto.measures.separation_rank import start_end_rank
from hitherto.papers.start_end import circuit
from hitherto.report.drawing import SERIES, SETTINGS
from hitherto.report.network_figure import network_figure
from hitherto.theory.start_end import generic_rank
from hitherto.theory.start_end_network import min_cut, tensor_network

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def network() -> Figure:
    """Two layers of four steps, cut in the middle."""
    drawn = tensor_network(depth=2, length=4, width=3, input_size=3)
    cut = min_cut(drawn, start=2)
    rank = generic_rank(depth=2, width=3, input_size=3, start=2, end=2)
    numbers = {"naive min-cut": cut.value, "symmetrised bound": rank.upper_bound, "exact rank": rank.value}
    return network_figure(drawn, cut.edges, numbers, "2 layers, 4 steps, width 3, 3 features, cut after 2")


def ranks() -> Figure:
    """Rank of two symbols at width 2 against length: lines are theory, dotted where it bounds, points measured."""
    figure = Figure((6, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel="length (steps)", ylabel="start-end rank", yscale="log")
    for depth, colour in zip((1, 2, 3, 4), SERIES, strict=False):
        above = dict(color=colour, zorder=6 - depth)
        found = {2 * half: generic_rank(depth, 2, 2, half, half, "one-hot") for half in range(1, 33)}
        exact = {length: rank.value for length, rank in found.items() if rank.exact}
        bound = list(found)[len(exact) - 1 :]
        axes.plot(bound, [found[length].value for length in bound], ":", **above)
        axes.plot(list(exact), list(exact.values()), label=f"{depth} layer{'s' * (depth > 1)}", **above)
        for half in range(1, 11):
            measured = start_end_rank(circuit(depth, 2, 2), half, half, inputs="one-hot")
            axes.plot(2 * half, measured.value, "o", **above)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda rank, _: f"{rank:,.0f}")
    figure.legend(loc="outside lower left", ncols=4)
    return figure


if __name__ == "__main__":
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "start_end"}):
        for name, figure in (("start_end_network", network()), ("start_end_ranks", ranks())):
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
