"""The pictures of docs/papers/mean_field.md, from the CSV that `hitherto export` gave for experiments at size paper.

    python scripts/draw_mean_field.py [FILE.csv]

keeps of the file what is drawn, in docs/images/mean_field_trained.csv; without it that file is drawn again.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from hitherto.papers.mean_field_networks import sine
from hitherto.papers.mean_field_sampled import LABELLED, TIMES, wide_kernel
from hitherto.report.drawing import GRID, INK, SERIES, SETTINGS, SOFT
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_stability import critical_gain

IMAGES = Path(__file__).parents[1] / "docs" / "images"
KEPT = IMAGES / "mean_field_trained.csv"
COORDINATES = ("network", "how", "factor", "signal", "width", "by", "activation", "phases", "labels", "times")
COORDINATES += ("amplitude", "pictures", "entry", "other_entry", "schedule", "index")
COLUMNS = ("experiment", "quantity", "part", "role", "outcome", *COORDINATES, "value", "standard_error")
SPECTRA = (("RNN", 12.0), ("RNN", 60.0), ("DNN", 60.0))  # network and signal of those that are drawn, at 400 units
NORMAL_95 = 1.96
Row = dict[str, str]


def keep(path: Path) -> None:
    """The columns and rows that are drawn, to six digits."""
    with path.open() as given, KEPT.open("w", newline="") as kept:
        writer = csv.DictWriter(kept, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in csv.DictReader(given):
            if row["experiment"].startswith("mean_field.") and not _undrawn(row):
                shorter = {c: _short(row.get(c, "")) for c in ("value", "standard_error")}
                writer.writerow({c: row.get(c, "") for c in COLUMNS} | shorter)


def _undrawn(row: Row) -> bool:
    if not row["quantity"].startswith("weight_"):
        return False
    return float(row["width"]) != 400 or (row["network"], float(row["signal"])) not in SPECTRA


def _short(number: str) -> str:
    return f"{float(number):.6g}" if number else ""


def rows_of(experiment: str, quantity: str, role: str = "measured", **where: str | float) -> list[Row]:
    """Rows of one experiment at these coordinates."""
    with KEPT.open() as kept:
        wanted = (f"mean_field.{experiment}", quantity, role)
        rows = [row for row in csv.DictReader(kept) if (row["experiment"], row["quantity"], row["role"]) == wanted]
    return [row for row in rows if all(_same(row[name], value) for name, value in where.items())]


def _same(found: str, wanted: str | float) -> bool:
    return found == wanted if isinstance(wanted, str) else _number(found) == wanted


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """Its numbers."""
    return np.array([_number(row[name]) for row in rows])


def values(rows: Sequence[Row], name: str) -> list[str]:
    """Different values of a column, in their order."""
    return list(dict.fromkeys(row[name] for row in rows))


def points(axes: Axes, rows: Sequence[Row], along: str, colour: str, label: str, mark: str = "o") -> None:
    """Sampled values with their 95% intervals."""
    errors = NORMAL_95 * np.nan_to_num(column(rows, "standard_error"))
    axes.errorbar(
        column(rows, along), column(rows, "value"), errors, fmt=mark, color=colour, elinewidth=1, capsize=2, label=label
    )


def verdict(experiments: Sequence[str]) -> str:
    """How many of what was held against theory holds."""
    with KEPT.open() as kept:
        rows = [row for row in csv.DictReader(kept) if row["experiment"].split(".")[1] in experiments]
    outcomes = [row["outcome"] for row in rows if row["role"] == "predicted"]
    return f"{outcomes.count('holds')} of {len(outcomes)} comparisons hold"


def plain(axes: Axes, ticks: Sequence[float], name: str = "x") -> None:
    """A logarithmic axis with these numbers."""
    axis = getattr(axes, f"{name}axis")
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")


# ---------------------------------------------------------------- kernels


def kernels() -> Figure:
    """Kernels of both networks, weak and strong, theory beside sampled networks."""
    figure = Figure((7.4, 4.3), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    kinds = [(network, how) for network in ("RNN", "DNN") for how in ("theory", "sampled")]
    for row, (factor, name) in zip(panels, ((0.5, "weak labels"), (4.0, "strong labels")), strict=True):
        found = [_kernel(network, how, factor) for network, how in kinds]
        top = max(np.abs(kernel).max() for kernel in found)
        for axes, kernel, (network, how) in zip(row, found, kinds, strict=True):
            image = axes.imshow(kernel, cmap="RdBu_r", vmin=-top, vmax=top)
            axes.set_title(f"{network}, {how if how == 'theory' else '128 units'}", fontsize=8.5)
            _grid_of_times(axes)
        row[0].set_ylabel(f"{name}\ntime")
        figure.colorbar(image, ax=row, shrink=0.85, label="C")
    for axes in panels[1]:
        axes.set_xlabel("time")
    figure.suptitle("Strong labels tie the times of the recurrent network alone", x=0.01, ha="left", **TITLE)
    return figure


TITLE = dict(fontsize=9.5, fontweight="bold")


def _kernel(network: str, how: str, factor: float) -> np.ndarray:
    rows = rows_of("kernels", "hidden_kernel", network=network, how=how, factor=factor)
    size = int(column(rows, "entry").max()) + 1
    kernel = np.zeros((size, size))
    kernel[column(rows, "entry").astype(int), column(rows, "other_entry").astype(int)] = column(rows, "value")
    return kernel


def _grid_of_times(axes: Axes) -> None:
    axes.grid(visible=False)
    for place in (3.5, 7.5, 11.5):
        axes.axhline(place, color=GRID, linewidth=0.6)
        axes.axvline(place, color=GRID, linewidth=0.6)
    axes.set_xticks([1.5, 5.5, 9.5, 13.5], ["1", "2", "3", "4"])
    axes.set_yticks([1.5, 5.5, 9.5, 13.5], ["1", "2", "3", "4"])


# ---------------------------------------------------------------- the transition


def transition() -> Figure:
    """Correlations and variance against the signal: the wide limit, the law at finite width, sampled networks."""
    shown = {
        "time_correlation, times 1 and 2": "correlation of times 1 and 2",
        "time_correlation, times 2 and 3": "correlation of times 2 and 3",
        "last_variance, ": "variance of time 3, over the prior's",
    }
    figure = Figure((7.4, 3.5), layout="constrained")
    for axes, (what, label) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        quantity, part = what.split(", ")
        _transition_panel(axes, quantity, part)
        axes.set(xscale="log", xlabel="signal", ylabel=label)
        plain(axes, (2, 5, 10, 20, 50))
    figure.axes[-1].set_yscale("log")
    plain(figure.axes[-1], (2, 5, 10, 20), "y")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    told = verdict(("transition", "transition_of_weights"))
    figure.suptitle(f"Three times correlate from a signal of 8.2 on: {told}", x=0.01, ha="left", **TITLE)
    return figure


def _transition_panel(axes: Axes, quantity: str, part: str) -> None:
    signals = np.geomspace(2, 50, 160)
    kernels = [recurrent_chain(3, float(signal), 0.1)[0].kernel for signal in signals]
    axes.plot(signals, [_of_kernel(kernel, part) for kernel in kernels], color=INK, label="infinite width, theory")
    critical = critical_gain(3)
    spinodal = (critical - 1) * (critical**3 + 0.1) ** 2 / critical**3
    axes.axvline(spinodal, color=SOFT, linestyle=":", linewidth=1, label="spinodal")
    for width, colour in zip((32, 128, 512), SERIES, strict=False):
        law = rows_of("transition", quantity, "predicted", part=part, width=float(width))
        axes.plot(column(law, "signal"), column(law, "value"), color=colour, linewidth=1)
        points(
            axes,
            rows_of("transition", quantity, part=part, width=float(width)),
            "signal",
            colour,
            f"{width} units: law (line), samples",
        )
    points(
        axes, rows_of("transition_of_weights", quantity, part=part), "signal", SERIES[3], "64 units, by weights", "s"
    )
    law = rows_of("transition_of_weights", quantity, "predicted", part=part)
    axes.plot(column(law, "signal"), column(law, "value"), color=SERIES[3], linewidth=1)


def _of_kernel(kernel: np.ndarray, part: str) -> float:
    if not part:
        return float(kernel[-1, -1])
    first = 0 if part == "times 1 and 2" else 1
    return float(kernel[first, first + 1] / np.sqrt(kernel[first, first] * kernel[first + 1, first + 1]))


# ---------------------------------------------------------------- spectra


def spectrum() -> Figure:
    """Eigenvalues in the plane, and singular values, with what theory has outside of the bulk."""
    figure = Figure((7.4, 5.2), layout="constrained")
    panels = figure.subplots(2, len(SPECTRA), sharex="row", sharey="row", height_ratios=(1.35, 1))
    for (above, below), (network, signal) in zip(panels.T, SPECTRA, strict=True):
        where = dict(network=network, signal=signal, width=400.0)
        _eigenvalues(above, where)
        _singular_values(below, where)
        above.set_title(f"{network}, signal {signal:.0f}")
        below.set_xlabel("singular value")
        above.set_xlabel("real part")
    panels[0, 0].set_ylabel("imaginary part")
    panels[1, 0].set_ylabel("density")
    labels = [axes.get_legend_handles_labels() for axes in (panels[0, 1], panels[1, 1])]
    figure.legend(labels[0][0] + labels[1][0], labels[0][1] + labels[1][1], loc="outside lower left", ncols=4)
    figure.suptitle(f"Outliers of W, one network of 400 units: {verdict(('spectrum',))}", x=0.01, ha="left", **TITLE)
    return figure


def _eigenvalues(axes: Axes, where: dict[str, str | float]) -> None:
    real, imaginary = (
        column(rows_of("spectrum", "weight_eigenvalues", part=part, **where), "value")
        for part in ("real part", "imaginary part")
    )
    axes.plot(real, imaginary, ".", color=SERIES[0], markersize=2, label="eigenvalues")
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=SOFT, linewidth=1, label="bulk")
    (outlier,) = column(rows_of("spectrum", "spectral_radius", "predicted", **where), "value")
    if outlier > 1:
        axes.plot(
            [-outlier, outlier],
            [0, 0],
            "o",
            color=SERIES[1],
            markersize=9,
            fillstyle="none",
            linestyle="",
            label="predicted, either sign",
        )
    axes.set(aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.2, 1.2))


def _singular_values(axes: Axes, where: dict[str, str | float]) -> None:
    found = column(rows_of("spectrum", "weight_singular_values", **where), "value")
    axes.hist(found, bins=np.linspace(0, 2.6, 53), density=True, color=SERIES[0], alpha=0.6)
    grid = np.linspace(0, 2, 200)
    axes.plot(grid, np.sqrt(4 - grid**2) / np.pi, color=SOFT, linewidth=1)
    (outlier,) = column(rows_of("spectrum", "largest_singular_value", "predicted", **where), "value")
    axes.plot([outlier], [0.05], "v", color=SERIES[1], markersize=7, label="predicted singular value")


# ---------------------------------------------------------------- nonlinear units


def nonlinear() -> Figure:
    """Correlation of the last two times against y^2 over that of the threshold."""
    figure = Figure((7.4, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    factors = np.array([1.05, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0])
    for axes, activation in zip(panels, ("erf", "tanh"), strict=True):
        kernels = [wide_kernel(activation, float(factor)) for factor in factors]
        wide = [0.0, 0.0, *(_of_kernel(kernel, "times 2 and 3") for kernel in kernels)]
        axes.plot([0.2, 1.0, *factors], wide, color=INK, label="infinite width, theory")
        axes.axvline(1, color=SOFT, linestyle=":", linewidth=1, label="threshold")
        for width, colour in zip((60.0, 500.0, 3000.0), SERIES, strict=False):
            where = dict(activation=activation, width=width)
            below = [row for row in rows_of("nonlinear", "time_correlation", "predicted", **where) if _below(row)]
            axes.plot(column(below, "factor"), column(below, "value"), color=colour, linewidth=1)
            points(axes, rows_of("nonlinear", "time_correlation", **where), "factor", colour, f"{width:.0f} units")
        axes.set(xlabel="y² over that of the threshold", ylim=(0, None))
        axes.set_title(activation)
    panels[0].set_ylabel("correlation of times 2 and 3")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    told = verdict(("nonlinear",))
    figure.suptitle(f"Nonlinear networks turn coherent at their thresholds: {told}", x=0.01, ha="left", **TITLE)
    return figure


def _below(row: Row) -> bool:
    return _number(row["factor"]) < 1


# ---------------------------------------------------------------- sequences


def schedules() -> Figure:
    """Errors at times without labels: every schedule, means and medians."""
    figure = Figure((7.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, phases, title in zip(panels, (1.0, 2.0), ("a sine", "a sine and a cosine"), strict=True):
        where = dict(network="RNN", phases=phases)
        every = rows_of("schedules", "held_out_errors", **where)
        labels, shares = column(every, "labels"), column(every, "schedule")
        spread = np.array([(s - 1) / max(np.sum(labels == n) - 1, 1) for n, s in zip(labels, shares, strict=True)])
        axes.plot(labels + 0.5 * (spread - 0.5), column(every, "value") + FLOOR, ".", color=SERIES[0], markersize=3)
        for part, style in (("mean", "-"), ("median", "--")):
            rows = rows_of("schedules", "held_out_error", part=f"{part} over schedules", **where)
            axes.plot(
                column(rows, "labels"), column(rows, "value"), style, color=SERIES[0], label=f"RNN, {part} of schedules"
            )
        axes.axhline(1, color=SERIES[1], label="DNN, every schedule")
        axes.set(yscale="log", xlabel="labelled times of eight", ylim=(FLOOR, 30))
        plain(axes, (1e-4, 1e-3, 1e-2, 0.1, 1, 10), "y")
        axes.set_title(title)
    panels[0].set_ylabel("error at the other times")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


FLOOR = 1e-5  # of errors that are drawn


def sequence() -> Figure:
    """Outputs of sampled networks over time, beside the sine."""
    figure = Figure((7.4, 3.3), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, activation in zip(panels, ("identity", "erf", "tanh"), strict=True):
        grid = np.linspace(0, TIMES - 1, 100)
        axes.plot(grid + 1, 2 * np.sin(2 * np.pi * (grid + 0.5) / 8), color=SOFT, linewidth=1, label="target")
        given = np.array(LABELLED)
        axes.plot(given + 1, sine(2.0, TIMES)[given], "o", color=INK, markersize=8, fillstyle="none", label="labels")
        for network, colour in zip(("RNN", "DNN"), SERIES, strict=False):
            rows = rows_of("nonlinear_sequence", "mean_output", activation=activation, network=network)
            rows = [row for row in rows if row["outcome"] == "measured"]
            rows = [row | {"entry": str(float(row["entry"]) + 1)} for row in rows]
            points(axes, rows, "entry", colour, f"{network}, 500 units", "o-")
        axes.set(xlabel="time", xticks=range(1, TIMES + 1))
        axes.set_title({"identity": "linear"}.get(activation, activation))
    panels[0].set_ylabel("output")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


# ---------------------------------------------------------------- depth


def depth() -> Figure:
    """Fold, Maxwell point and spinodal by the number of times, and over the spinodal."""
    figure = Figure((7.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = {
        part: rows_of("depth_atlas", "critical_signal", part=part) for part in ("spinodal", "Maxwell point", "fold")
    }
    spinodal = column(found["spinodal"], "value")
    for (part, rows), colour in zip(found.items(), SERIES, strict=False):
        times, signals = column(rows, "times"), column(rows, "value")
        left.plot(times, signals, "o-", color=colour, label=part)
        right.plot(times, signals / spinodal, "o-", color=colour)
    left.set(yscale="log", xlabel="times", ylabel="signal")
    plain(left, (0.1, 0.2, 0.5, 1, 2, 5), "y")
    left.set_title("Deep chains turn coherent at weak signals")
    right.set(xlabel="times", ylabel="signal over the spinodal", ylim=(0, 1.05))
    for axes in (left, right):
        axes.set_xticks(range(4, 21, 4))
    right.set_title("From five times on they jump before")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


# ---------------------------------------------------------------- pictures


def digits() -> Figure:
    """Ridge and accuracy against the size of the labels."""
    figure = Figure((7.4, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for pictures, style in ((60.0, "--"), (1437.0, "-")):
        for network, colour in zip(("RNN", "DNN"), SERIES, strict=False):
            where, label = dict(network=network, pictures=pictures), f"{network}, {pictures:.0f} pictures"
            rows = rows_of("digits", "ridge", **where)
            left.plot(column(rows, "amplitude"), column(rows, "value"), style, color=colour, label=label)
            rows = rows_of("digits", "recall_accuracy", **where)
            right.plot(column(rows, "amplitude"), column(rows, "value"), style, color=colour)
    left.set(xscale="log", yscale="log", xlabel="size of the labels", ylabel="ridge")
    right.set(xscale="log", xlabel="size of the labels", ylabel="test pictures named right", ylim=(0.5, 1))
    for axes in (left, right):
        plain(axes, (0.01, 0.1, 1, 10))
    plain(left, (0.001, 0.01, 0.1, 1), "y")
    left.set_title("Coherence lowers the ridge further")
    right.set_title("Even or odd is told as well")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


FIGURES = (kernels, transition, spectrum, nonlinear, schedules, sequence, depth, digits)

if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "mean_field"}):
        for draw in FIGURES:
            draw().savefig(IMAGES / f"mean_field_{draw.__name__}.svg", metadata={"Date": None})
