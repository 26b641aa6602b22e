"""The pictures of docs/papers/depth.md, from the CSV that `hitherto export` gave for the experiments at size paper.

    python scripts/draw_depth.py [FILE.csv]

keeps of the file what is drawn, in docs/images/depth_trained.csv; without it that file is drawn again.
"""

import csv
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.starts import orthogonal_start
from hitherto.measures.memory_curve import linear_memory_curve
from hitherto.report.drawing import SERIES, SETTINGS, SOFT
from hitherto.theory.depth import copy_loss_floor
from hitherto.theory.depth_degree import polynomial_degree, sine_floor
from hitherto.theory.depth_planner import plan_copy

IMAGES = Path(__file__).parents[1] / "docs" / "images"
KEPT = IMAGES / "depth_trained.csv"
COLUMNS = ("experiment", "role", "quantity", "depth", "width", "seed", "cell", "model", "length", "size", "value")


def keep(path: Path) -> None:
    """The measured rows, and the columns that are drawn."""
    with path.open() as given, KEPT.open("w", newline="") as kept:
        rows = [row for row in csv.DictReader(given) if row["role"] == "measured"]
        writer = csv.DictWriter(kept, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({c: row.get(c, "") for c in COLUMNS} for row in rows)


def rows_of(experiment: str, quantity: str = "task_loss") -> list[dict[str, str]]:
    """Rows of one experiment."""
    rows = csv.DictReader(KEPT.open())
    return [row for row in rows if row["experiment"] == f"depth.{experiment}" and row["quantity"] == quantity]


def power(value: float, _: int) -> str:
    """A power of ten, or all digits of numbers near one."""
    return f"{value:,.0f}" if 1 <= value < 10**7 else f"{value:.2g}"


def layers(depth: int) -> str:
    """One layer, two layers."""
    return f"{depth} layer{'s' * (depth > 1)}"


def copy_threshold() -> Figure:
    """Loss against width for one, two and four layers: all seeds, floors below, the law's width as a line."""
    figure = Figure((7.4, 3.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (depth, needed), colour in zip(panels, ((1, 45), (2, 25), (4, 15)), SERIES, strict=False):
        rows = [row for row in rows_of("copy_threshold") if int(float(row["depth"])) == depth]
        widths = sorted({int(float(row["width"])) for row in rows})
        losses = {w: [max(float(r["value"]), 1e-16) for r in rows if int(float(r["width"])) == w] for w in widths}
        below = np.array([w for w in range(widths[0] - 1, needed) if copy_loss_floor(depth * w, 5, 8, 32) > 0])
        floors = [copy_loss_floor(depth * int(w), 5, 8, 32) for w in below]
        axes.plot(below, floors, color=colour, label="floor (theory)")
        axes.axvline(needed, color=SOFT, linestyle=":", label="least width of the law")
        for width, found in losses.items():
            axes.plot([width] * len(found), found, "o", color=colour, markersize=4)
        axes.plot([], [], "o", color=colour, markersize=4, label="trained, each seed")
        axes.set_title(f"{layers(depth)}: falls at {needed} units")
        axes.set(yscale="log", xlabel="width (units a layer)", ylim=(3e-17, 3))
    panels[0].set_ylabel("loss (share of the signal)")
    panels[0].yaxis.set_major_formatter(power)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3, labelcolor=SOFT)
    return figure


def delayed_sine() -> Figure:
    """Loss on the sine of two steps ago against depth, all seeds, over the floors of the degree."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="layers", ylabel="mean squared error", yscale="log")
    named = {"second-order": 0, "linear": 1, "depth-tanh": 2}
    for cell, at in named.items():
        rows = [r for e in ("delayed_sine", "sine_with_activations") for r in rows_of(e) if r["cell"] == cell]
        places = [int(float(r["depth"])) + 0.06 * (at - 1) for r in rows]
        axes.plot(places, [float(r["value"]) for r in rows], "o", color=SERIES[at], label=cell)
        if cell != "depth-tanh":
            law = "affine" if cell == "second-order" else "linear"
            floors = [sine_floor(1.0, polynomial_degree(depth, lag=2, cell=law) or 0) for depth in (1, 2, 3)]
            axes.plot([1, 2, 3], floors, color=SERIES[at], zorder=1)
    axes.set_xticks([1, 2, 3])
    axes.yaxis.set_major_formatter(power)
    axes.set_title("Second-order layers fall to their floors")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def parity() -> Figure:
    """Share of right signs against length, every seed; curves are drawn a little below each other."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="length (steps)", ylabel="share of right signs at the last step", xscale="log")
    rows = rows_of("parity", "accuracy_by_length")
    models = ["second-order", "tanh", "depth-relu, 2 layers", "depth-relu, 4 layers", "linear"]
    for shift, (model, colour) in enumerate(zip(models, SERIES, strict=False)):
        for seed in dict.fromkeys(r["seed"] for r in rows):
            some = [r for r in rows if r["model"] == model and r["seed"] == seed]
            lengths, values = [int(float(r["length"])) for r in some], [float(r["value"]) - 0.004 * shift for r in some]
            axes.plot(
                lengths, values, "o-", color=colour, linewidth=1, label=model if seed == rows[0]["seed"] else None
            )
    axes.set_xticks([16, 32, 64, 256], ["16", "32", "64", "256"])
    axes.minorticks_off()
    axes.axvline(16, color=SOFT, linestyle=":")
    axes.set_title("Multiplication keeps parity beyond 16 steps")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def characters() -> Figure:
    """Bits a character by network, every seed."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="bits a character, held out")
    rows = rows_of("characters", "bits_per_symbol")
    models = list(dict.fromkeys(r["model"] for r in rows))[::-1]
    for place, model in enumerate(models):
        colour = SERIES[0] if model.startswith("second-order r") else SERIES[1] if "linear" in model else SERIES[2]
        values = [float(r["value"]) for r in rows if r["model"] == model]
        axes.plot(values, [place] * len(values), "o", color=colour)
    axes.set_yticks(range(len(models)), models)
    axes.set_title("Depth helps second-order layers")
    return figure


def plans_and_curves() -> Figure:
    """Parameters of plans against delay; linear memory of a top layer against lag by depth."""
    figure = Figure((7.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    delays = np.unique(np.geomspace(1, 300, 40).astype(int))
    for channels, colour in ((1, SERIES[0]), (5, SERIES[1])):
        plans = [plan_copy(channels, int(delay)) for delay in delays]
        left.plot(
            delays, [p.parameters for p in plans], color=colour, label=f"{channels} channel{'s' * (channels > 1)}"
        )
        left.plot(delays, [p.shallow_parameters for p in plans], "--", color=colour)
    left.set(xscale="log", yscale="log", xlabel="delay (steps)", ylabel="parameters")
    left.set_title("Copying: planned, one layer dashed")
    left.xaxis.set_major_formatter(power)
    left.yaxis.set_major_formatter(power)
    left.legend(loc="upper left")
    for depth, colour in zip((1, 2, 4), SERIES, strict=False):
        stack = [RNN(1 if k == 0 else 4, 4, activation="linear", bias=False) for k in range(depth)]
        model = orthogonal_start(Deep(tuple(stack)))(0)
        curve, total = linear_memory_curve(model, read="top", lags=40)
        label = f"{layers(depth)}, total {total.statistics['rank']}"
        right.plot(range(40), np.asarray(curve.value), color=colour, label=label)
    right.set(xlabel="lag (steps)", ylabel="linear memory, top layer read")
    right.set_title("Memory of the top layer moves")
    right.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "depth"}):
        for name, figure in (
            ("depth_copying", copy_threshold()),
            ("depth_sine", delayed_sine()),
            ("depth_parity", parity()),
            ("depth_characters", characters()),
            ("depth_plans", plans_and_curves()),
        ):
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
