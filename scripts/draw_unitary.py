"""The pictures of docs/papers/unitary.md, from the CSV that `hitherto export` gave for the experiments at size paper.

    python scripts/draw_unitary.py [FILE.csv]

keeps of the file what is drawn, in docs/images/unitary_trained.csv; without it that file is drawn again.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hitherto.report.drawing import INK, SERIES, SETTINGS, SOFT

IMAGES = Path(__file__).parents[1] / "docs" / "images"
KEPT = IMAGES / "unitary_trained.csv"
COORDINATES = ("learner", "teachers", "teacher", "model", "pictures", "arithmetic", "units", "bias", "bound")
COORDINATES += ("norm", "width", "density", "route", "gain", "noise", "rank", "seed", "direction")
COLUMNS = ("experiment", "quantity", *COORDINATES, "value", "standard_error")
LEARNERS = dict(zip(("RNN", "URNN", "URNN by exponentials", "LSTM"), SERIES, strict=False))
CONVERTED = "converted teacher"
OPTIMUM = {"20 dB": 1 / (1 + 10**-2.0), "15 dB": 1 / (1 + 10**-1.5)}
POSTER = {  # test R^2 by hidden units, read off the figures of the paper's poster to about .001
    "20 dB": {
        "RNN": {
            2: 0.915,
            3: 0.969,
            4: 0.977,
            5: 0.9825,
            6: 0.985,
            7: 0.988,
            8: 0.988,
            10: 0.9885,
            12: 0.9885,
            14: 0.989,
        },
        "URNN": {2: 0.853, 3: 0.938, 4: 0.955, 6: 0.971, 7: 0.979, 8: 0.982, 9: 0.981, 10: 0.982, 12: 0.985, 14: 0.985},
        "LSTM": {2: 0.912, 3: 0.941, 4: 0.956, 6: 0.972, 7: 0.976, 8: 0.979, 10: 0.982, 12: 0.984, 14: 0.984},
    },
    "15 dB": {
        "RNN": {2: 0.925, 3: 0.926, 4: 0.943, 5: 0.944, 6: 0.957, 7: 0.956, 8: 0.953, 10: 0.96, 12: 0.96, 14: 0.96},
        "URNN": {2: 0.867, 3: 0.907, 4: 0.92, 6: 0.939, 7: 0.94, 8: 0.933, 9: 0.947, 10: 0.944, 12: 0.949, 14: 0.952},
    },
}
Row = dict[str, str]


def keep(path: Path) -> None:
    """The measured rows, and the columns that are drawn."""
    with path.open() as given, KEPT.open("w", newline="") as kept:
        rows = [row for row in csv.DictReader(given) if row["role"] == "measured"]
        writer = csv.DictWriter(kept, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({c: row.get(c, "") for c in COLUMNS} for row in rows)


def rows_of(experiment: str, quantity: str, **where: str | float) -> list[Row]:
    """Rows of one experiment at these coordinates."""
    with KEPT.open() as kept:
        rows = [
            r for r in csv.DictReader(kept) if (r["experiment"], r["quantity"]) == (f"unitary.{experiment}", quantity)
        ]
    return [row for row in rows if all(_same(row[name], value) for name, value in where.items())]


def _same(found: str, wanted: str | float) -> bool:
    return found == wanted if isinstance(wanted, str) else found != "" and float(found) == wanted


def means(rows: Iterable[Row], along: str, average: Callable = np.mean) -> tuple[np.ndarray, np.ndarray]:
    """Places, and the means, or medians, of the values there."""
    found: dict[float, list[float]] = {}
    for row in rows:
        found.setdefault(float(row[along]), []).append(float(row["value"]))
    places = sorted(found)
    return np.array(places), np.array([average(found[x]) for x in places])


def curve(axes: Axes, rows: Sequence[Row], along: str, colour: str, label: str, scale: float = 1.0) -> None:
    """Every value as a point, and a line through the medians, which a single failed training does not move."""
    places = [scale * float(row[along]) for row in rows]
    axes.plot(places, [float(row["value"]) for row in rows], "o", color=colour, markersize=2.5, alpha=0.6)
    at, median = means(rows, along, np.median)
    axes.plot(scale * at, median, color=colour, label=label)


def values(rows: Iterable[Row], name: str) -> list[str]:
    """Different values of a column, in their order."""
    return list(dict.fromkeys(row[name] for row in rows))


# ---------------------------------------------------------------- trained networks


def slow_systems() -> Figure:
    """R^2 against hidden units, and the same with the units of orthogonal networks counted half."""
    named = {
        "script, 20 dB": "20 dB, as the script draws",
        "normalised, 20 dB": "20 dB, normalised",
        "normalised, 15 dB": "15 dB, normalised",
    }
    figure = Figure((7.4, 8.2), layout="constrained")
    panels = figure.subplots(len(named), 2, sharex="col")
    for (teachers, title), (plain, adjusted) in zip(named.items(), panels, strict=True):
        for axes, halved in ((plain, False), (adjusted, True)):
            _slow_panel(axes, teachers, halved)
        low = 0.84 if "15" in teachers else 0.86
        plain.set(ylabel="R² on fresh sequences", ylim=(low, 1))
        adjusted.set(ylim=(low, 1))
        plain.set_title(title)
        adjusted.set_title("URNN units counted half")
    panels[-1][0].set_xlabel("hidden units")
    panels[-1][1].set_xlabel("adjusted units")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=3, labelcolor=SOFT)
    return figure


def _slow_panel(axes: Axes, teachers: str, halved: bool) -> None:
    snr = teachers.split(", ")[1]
    for learner, colour in LEARNERS.items():
        rows = rows_of("slow_systems", "explained_power", teachers=teachers, learner=learner)
        if not rows or (halved and learner == "LSTM"):
            continue
        scale = 0.5 if halved and learner.startswith("URNN") else 1.0
        curve(axes, rows, "width", colour, f"{learner}, ours", scale)
        if poster := POSTER[snr].get(learner):
            places = scale * np.array(list(poster))
            axes.plot(places, list(poster.values()), ":", color=colour, label=f"{learner}, digitised from the poster")
    axes.axhline(OPTIMUM[snr], color=INK, linewidth=0.8, label="optimum")
    twin = rows_of("slow_systems", "explained_power", teachers=teachers, learner=CONVERTED)
    width, mean = means(twin, "width")
    axes.plot((0.5 if halved else 1) * width, mean, "D", color=INK, markersize=5, label="teacher converted to a URNN")


def permuted() -> Figure:
    """Accuracy against hidden units."""
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="hidden units", ylabel="share of test pictures named right")
    every = rows_of("permuted_digits", "recall_accuracy")
    for model, colour in zip(values(every, "model"), SERIES, strict=False):
        curve(axes, [row for row in every if row["model"] == model], "width", colour, model)
    axes.set_title("Permuted pictures of clothes, 784 steps: orderings only")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


# ---------------------------------------------------------------- demonstrations


def power(value: float, _: object) -> str:
    """As 1e-07; mathematical text is off."""
    return f"{value:g}"


def bias_error() -> Figure:
    """Error against the bias of the extra unit, exact beside double precision."""
    figure = Figure((7.4, 3.2), layout="constrained")
    for axes, arithmetic in zip(figure.subplots(1, 2, sharey=True), ("exact", "double"), strict=True):
        every = rows_of("bias_error", "function_gap", arithmetic=arithmetic)
        for units, colour in zip(values(every, "units"), SERIES, strict=False):
            bias, error = means([row for row in every if row["units"] == units], "bias")
            axes.plot(bias[error > 0], error[error > 0], "o-", color=colour, label=units, markersize=3)
        axes.set(yscale="log", xlabel="bias of the extra unit", xlim=(2, -62))
        axes.yaxis.set_major_formatter(power)
    figure.axes[0].set(ylabel="largest error of the outputs", ylim=(1e-55, 1e3))
    figure.axes[0].set_title("In fractions, or 60 digits")
    figure.axes[1].set_title("In double precision, but for zeros")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
    return figure


def leaks() -> Figure:
    """Leak of every direction, and the states of the twins, before and after units are rescaled."""
    figure = Figure((7.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for units, colour in zip(("as given", "rescaled"), SERIES, strict=False):
        for seed in (0, 1, 2):
            rows = rows_of("leaks", "leak_spectrum", units=units, width=11, seed=seed)
            spectrum = sorted((float(row["value"]) for row in rows), reverse=True)
            places = np.arange(1, len(spectrum) + 1)
            left.plot(places, spectrum, "o-", color=colour, linewidth=0.8, label=units if seed == 0 else None)
        width, states = means(rows_of("leaks", "twin_states", units=units), "width")
        right.plot(width, states, "o-", color=colour, label=units)
    left.set(xlabel="direction", ylabel="share of the energy lost a step")
    left.set_title("Rescaled units leave some directions lossless")
    right.set(xlabel="units", ylabel="states of the twin (mean)")
    right.set_title("One state less for each")
    right.legend(loc="upper left")
    return figure


def rescue() -> Figure:
    """Shares of random matrices by the cheapest way to make them contractive, stacked."""
    every = rows_of("rescue", "contractive_share")
    widths, densities, routes = (values(every, name) for name in ("width", "density", "route"))
    figure = Figure((7.4, 6.0), layout="constrained")
    panels = figure.subplots(len(densities), len(widths), sharex=True, sharey=True, squeeze=False)
    for row, density in zip(panels, densities, strict=True):
        for axes, width in zip(row, widths, strict=True):
            here = rows_of("rescue", "contractive_share", density=float(density), width=float(width))
            shares = [means([r for r in here if r["route"] == route], "gain") for route in routes]
            axes.stackplot(shares[0][0], [share[1] for share in shares], colors=SERIES, labels=routes, alpha=0.85)
            axes.set_title(f"{float(width):.0f} units, {float(density):.0%} of entries")
            axes.set(ylim=(0, 1), xlim=(shares[0][0][0], shares[0][0][-1]))
    for axes in panels[-1]:
        axes.set_xlabel("gain")
    for axes in panels[:, 0]:
        axes.set_ylabel("share of draws")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=5, labelcolor=SOFT)
    return figure


def bounds() -> Figure:
    """Bounds on what extra units receive, every draw and medians."""
    every = rows_of("bounds", "drive_bound")
    widths = values(every, "width")
    figure = Figure((7.4, 3.2), layout="constrained")
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for axes, width in zip(panels, widths, strict=True):
        for bound, colour in zip(values(every, "bound"), SERIES, strict=False):
            rows = rows_of("bounds", "drive_bound", bound=bound, width=float(width))
            norms = sorted({float(row["norm"]) for row in rows})
            found = [np.median([float(r["value"]) for r in rows if float(r["norm"]) == norm]) for norm in norms]
            axes.plot(norms, found, "o-", color=colour, label=bound)
        axes.set(yscale="symlog", xlabel="norm of W", ylim=(0, None))
        axes.yaxis.set_major_formatter(power)
        axes.set_title(f"{float(width):.0f} units")
    panels[0].set_ylabel("largest bound (median of draws)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def zero_modes() -> Figure:
    """Share of networks in which a zero mode is told, by rank and noise."""
    every = rows_of("zero_mode_scan", "zero_modes")
    figure = Figure((5.6, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="rank of W without noise (of 3)", ylabel="share with a zero mode told")
    for at, (noise, colour) in enumerate(zip(values(every, "noise"), SERIES, strict=False)):
        rank, share = means([row for row in every if row["noise"] == noise], "rank")
        name = "no noise" if float(noise) == 0 else f"noise {float(noise):g}"
        axes.plot(rank + 0.03 * at, share, "o-", color=colour, label=name)
    axes.set_xticks(range(4))
    axes.set_title("Low rank shows, until noise hides it")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def drawn() -> Sequence[tuple[str, Figure]]:
    """All pictures by name."""
    demonstrations = (bias_error, leaks, rescue, bounds, zero_modes)
    return [(f"unitary_{draw.__name__}", draw()) for draw in (slow_systems, permuted, *demonstrations)]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    with mpl.rc_context(SETTINGS | {"svg.fonttype": "path", "svg.hashsalt": "unitary"}):
        for name, figure in drawn():
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
