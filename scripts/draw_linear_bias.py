"""The pictures of docs/papers/linear_bias.md, from the CSV that `hitherto export` gave for the runs at size paper.

    python scripts/draw_linear_bias.py [FILE.csv]

keeps of the file what is drawn, in docs/images/linear_bias_trained.csv; without it that file is drawn again.
"""

import csv
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hitherto.papers.linear_bias_experiments import DELAYS, STARTS
from hitherto.papers.linear_bias_networks import train_convolution
from hitherto.papers.linear_bias_training import delay_data, rate_for
from hitherto.report.drawing import SERIES, SETTINGS, SOFT
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_delays import delay_r2, delay_steps, learning_cost
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    RealModes,
    Ring,
    Stacked,
    StepSizes,
    kernel_diagonal,
    lag_kernel,
)
from hitherto.theory.linear_bias_summary import summary
from hitherto.theory.linear_bias_training import movement_bound

IMAGES = Path(__file__).parents[1] / "docs" / "images"
KEPT = IMAGES / "linear_bias_trained.csv"
COLUMNS = (
    "experiment",
    "quantity",
    "student",
    "how",
    "start",
    "learner",
    "source",
    "nu_W",
    "delay",
    "horizon",
    "reach",
)
COLUMNS += ("width", "steps", "seed", "step", "value")
STEP = 10  # of which steps of a loss curve are kept


def keep(path: Path) -> None:
    """The measured rows, and the columns that are drawn; of loss curves the first seed and every tenth step."""
    with path.open() as given, KEPT.open("w", newline="") as kept:
        writer = csv.DictWriter(kept, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in csv.DictReader(given):
            thinned = row["quantity"] == "loss_curve" and (float(row["seed"]) or float(row["step"]) % STEP)
            if row["role"] == "measured" and not thinned:
                writer.writerow({c: row.get(c, "") for c in COLUMNS})


def rows_of(experiment: str, quantity: str, **wanted: str | float) -> list[dict[str, str]]:
    """Rows of one experiment that have these coordinates."""
    rows = csv.DictReader(KEPT.open())
    found = [row for row in rows if row["experiment"] == f"linear_bias.{experiment}" and row["quantity"] == quantity]
    return [row for row in found if all(_same(row[name], value) for name, value in wanted.items())]


def _same(told: str, wanted: str | float) -> bool:
    return told == wanted if isinstance(wanted, str) else float(told) == wanted


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    """Its numbers."""
    return [float(row[name]) for row in rows]


def power(value: float, _: int) -> str:
    """A power of ten, or all digits of numbers near one."""
    return f"{value:,.0f}" if 1 <= value < 10**5 else f"{value:.2g}"


def priors() -> Figure:
    """rho by lag for families of nu_W, with the lag where each is last above half the first."""
    figure = Figure((5.6, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel="lag (steps)", ylabel="lag weight over that of lag 0", yscale="log")
    for nu, colour in zip((0.3, 0.6, 0.9, 0.97, 1.0), SERIES, strict=False):
        weights, half = lag_weights(Gaussian(nu), 81), summary(Gaussian(nu)).half_level_lag
        axes.plot(weights / weights[0], color=colour, label=f"nu_W = {nu:g}")
        if half is not None and half <= 80:
            axes.plot([half], [weights[half] / weights[0]], "o", color=colour, markersize=6)
    axes.axhline(0.5, color=SOFT, linestyle=":", linewidth=1)
    axes.set(ylim=(1e-6, 100))
    axes.yaxis.set_major_formatter(power)
    axes.set_title("Short memory is the rule, not for every variance")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def curves() -> Figure:
    """Training loss of networks, of the scaled convolution and of the plain one, a panel a width."""
    figure = Figure((7.4, 3.0), layout="constrained")
    widths = sorted(set(column(rows_of("same_curves", "loss_curve"), "width")))
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for axes, width in zip(panels, widths, strict=True):
        for student, colour, style in zip(
            ("RNN", "scaled convolution", "convolution"), SERIES, ("-", "--", "-"), strict=False
        ):
            rows = rows_of("same_curves", "loss_curve", width=width, student=student)
            axes.plot(column(rows, "step"), column(rows, "value"), style, color=colour, label=student)
        axes.set(xlabel="steps", yscale="log")
        axes.set_title(f"{width:.0f} units")
    panels[0].set_ylabel("training loss over the first")
    panels[0].yaxis.set_major_formatter(power)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def delays() -> Figure:
    """R^2 against delay: the white-input formula as lines, convolutions as circles, networks as small dots."""
    figure = Figure((5.6, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel="delay (steps)", ylabel="R^2 after 200 steps")
    length, lags = DELAYS["length"], np.arange(DELAYS["length"])
    for nu, colour in zip((0.3, 0.6, 0.9), SERIES, strict=False):
        costs = learning_cost(lag_weights(Gaussian(nu), length, log=True))
        axes.plot(lags, delay_r2(costs, DELAYS["share"], 200), color=colour, label=f"nu_W = {nu:g}")
        for student, size in (("scaled convolution", 6), ("RNN", 2.5)):
            rows = rows_of("delays", "held_out_r2", nu_W=nu, student=student)
            fill = colour if student == "RNN" else "none"
            axes.plot(
                column(rows, "delay"), column(rows, "value"), "o", color=colour, markersize=size, markerfacecolor=fill
            )
    axes.set_title("Delays learnt: theory (lines), convolution (circles), RNN (dots)")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def responses() -> Figure:
    """Movement of each lag in the wide limit, and its bound."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="lag (steps)", ylabel="movement of the response", yscale="log")
    lags = 20
    equations, weights = delay_data(6, lags, 200, 0, 0.1), lag_weights(Gaussian(0.6), lags)
    rate = rate_for(equations, weights, 0.5)
    course = train_convolution(weights, np.zeros((lags, 1, 1)), equations, rate, 200)
    for steps, colour in zip((2, 20, 200), SERIES, strict=False):
        bound = movement_bound(equations, weights, rate, steps, float(equations.power) / 2)
        axes.plot(np.abs(course.responses[steps]).ravel(), "o", color=colour, label=f"{steps} steps")
        axes.plot(bound, color=colour)
    axes.yaxis.set_major_formatter(power)
    axes.set_xticks(range(0, lags, 5))
    axes.set_title("A delay of 6, infinite width: no lag passes its bound (lines)")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def kernels() -> Figure:
    """Heat maps of |Theta| over its largest entry."""
    shown = {
        "Gaussian": Gaussian(0.6),
        "identity": Leaky(0.9),
        "leaky": Leaky(0.5, 0.4),
        "ring of modes": Ring(0.3, 0.8),
        "real modes": RealModes(0, 1),
        "LRU": LRU(0.3, 0.95),
        "step sizes": StepSizes(0.001, 0.1),
        "3 layers": Stacked((0.6, 0.6, 0.6)),
    }
    figure = Figure((7.4, 4.2), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    for axes, (name, start) in zip(panels.flat, shown.items(), strict=True):
        kernel = np.abs(lag_kernel(start, 24))
        drawn_map = axes.imshow(kernel / kernel.max() + 1e-12, norm=LogNorm(1e-4, 1), cmap="Blues")
        axes.grid(visible=False)
        axes.set_title(name, fontsize=8.5)
    for axes in panels[1]:
        axes.set_xlabel("lag")
    for axes in panels[:, 0]:
        axes.set_ylabel("lag")
    figure.colorbar(drawn_map, ax=panels, label="kernel over its largest entry", shrink=0.7, format=power)
    return figure


def steps_to_learn() -> Figure:
    """Steps until a delay misses 1% of its coefficient, by the diagonal of each kernel that is diagonal."""
    figure = Figure((5.6, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel="delay (steps)", ylabel="steps to learn it to 1%", yscale="log")
    length = 60
    shown = {f"nu_W = {nu:g}": Gaussian(nu) for nu in (0.3, 0.6, 0.9)}
    shown |= {"orthogonal": Gaussian(1), "3 layers of 0.6": Stacked((0.6,) * 3), "ring to 0.95": Ring(0, 0.95)}
    for (name, start), colour in zip(shown.items(), SERIES, strict=True):
        costs = learning_cost(np.log(kernel_diagonal(start, length)))
        axes.plot(delay_steps(costs, 0.5), color=colour, label=name)
    axes.set(ylim=(1, 1e9))
    axes.yaxis.set_major_formatter(power)
    axes.set_title("What each start asks for a delay of white inputs")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def starts() -> Figure:
    """R^2 against delay for each start: theory as lines, networks as dots."""
    figure = Figure((7.4, 3.8), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    for axes, name in zip(panels.flat, STARTS, strict=True):
        rows = [row for row in rows_of("starts", "held_out_r2") if row["start"] == name]
        for how, style in (("theory", "-"), ("trained", "o")):
            some = [row for row in rows if row["how"] == how]
            axes.plot(column(some, "delay"), column(some, "value"), style, color=SERIES[0], label=how)
        axes.set_title(name)
    for axes in panels[1]:
        axes.set_xlabel("delay (steps)")
    for axes in panels[:, 0]:
        axes.set_ylabel("R^2")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def widths() -> Figure:
    """rms error of a lag's weight against lag / sqrt(width), for both starts and all widths."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="lag / sqrt(width)", ylabel="rms error of the lag weight", yscale="log")
    for start, colour in zip(("Gaussian", "orthogonal"), SERIES, strict=False):
        rows = rows_of("widths", "lag_error", start=start)
        for width, mark in zip(sorted(set(column(rows, "width"))), "os^D", strict=False):
            some = [row for row in rows if float(row["width"]) == width]
            label = f"{start}, {width:.0f} units"
            axes.plot(column(some, "reach"), column(some, "value"), f"{mark}-", color=colour, linewidth=1, label=label)
    axes.yaxis.set_major_formatter(power)
    axes.set_title("Beyond sqrt(width) lags Gaussian networks differ")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def recordings() -> Figure:
    """R^2 on real spikes against the delay, and on sunspots against steps."""
    figure = Figure((7.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    learners = ("nu_W = 0.3", "nu_W = 0.6", "nu_W = 0.9", "convolution")
    for learner, colour in zip(learners, SERIES, strict=False):
        rows = rows_of("recordings", "held_out_r2", learner=learner, source="grasshopper 1")
        left.plot(column(rows, "horizon"), column(rows, "value"), "o-", color=colour, label=learner)
        rows = rows_of("recordings", "held_out_r2", learner=learner, source="sunspots", horizon=1.0)
        right.plot(column(rows, "steps"), column(rows, "value"), "o-", color=colour)
    rows = rows_of("recordings", "held_out_r2", learner="RNN, nu_W = 0.6", source="grasshopper 1")
    left.plot(column(rows, "horizon"), column(rows, "value"), ".", color=SERIES[4], label="RNN, nu_W = 0.6")
    left.set(xlabel="delay (ms)", ylabel="R^2 on held-out data")
    left.set_title("Sound from a grasshopper's spikes")
    right.set(xlabel="steps of training", xscale="log")
    right.xaxis.set_major_formatter(power)
    right.set_title("Sunspots a year ahead")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


FIGURES = (priors, curves, delays, responses, kernels, steps_to_learn, starts, widths, recordings)

if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "linear_bias"}):
        for draw in FIGURES:
            draw().savefig(IMAGES / f"linear_bias_{draw.__name__}.svg", metadata={"Date": None})
