"""The pictures of docs/papers/start_end.md.

That of trained networks is drawn from docs/images/start_end_trained.csv, accuracies that `hitherto export` gave for
`start_end.copying` and `start_end.similarity` at size paper; similarity with 12,000 steps and 2 or 3 layers was run by
the same functions, `trained_case` and `recalled`, one call a seed.
"""

import csv
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hitherto.measures.separation_rank import start_end_rank
from hitherto.papers.start_end import circuit
from hitherto.report.drawing import SERIES, SETTINGS
from hitherto.report.network_figure import network_figure
from hitherto.theory.start_end import generic_rank, saturation_length
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


def trained() -> Figure:
    """Accuracy of every seed by depth, after few and many steps; predicted rank and saturation length below."""
    rows = list(csv.DictReader((IMAGES / "start_end_trained.csv").open()))
    widths, sizes = {1: 38, 2: 22, 3: 17}, {"copying": (6, 26), "similarity": (4, 24)}
    figure = Figure((7.4, 3.6), layout="constrained")
    for axes, (task, (symbols, length)) in zip(figure.subplots(1, 2, sharey=True), sizes.items(), strict=True):
        for shift, steps, colour in ((-0.12, "4000", SERIES[0]), (0.12, "12000", SERIES[1])):
            some = [r for r in rows if r["task"] == task and r["steps"] == steps]
            places = [int(r["depth"]) + shift + 0.015 * (int(r["seed"]) - 2) for r in some]
            axes.plot(places, [float(r["accuracy"]) for r in some], "o", color=colour, label=f"{int(steps):,} steps")
        below = []
        for depth, width in widths.items():
            rank = generic_rank(depth, width, symbols, length // 2, length // 2, "one-hot").value
            below.append(f"{depth}\nrank {rank:.2g}\nsaturates at {saturation_length(depth, width, symbols)}")
        axes.set_xticks(list(widths), below)
        axes.set_xlim(0.6, 3.4)
        axes.set_title("Copying over 10 steps" if task == "copying" else "Similarity of two halves of 12 steps")
    figure.supxlabel("layers, with predicted start-end rank and saturation length (steps)", fontsize=9)
    figure.axes[0].set_ylabel("accuracy where memory is asked")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


if __name__ == "__main__":
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "start_end"}):
        for name, figure in (
            ("start_end_network", network()),
            ("start_end_ranks", ranks()),
            ("start_end_trained", trained()),
        ):
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
