"""What fresh recurrent weights lose a step, and whether an orthogonal matrix can take their place."""

import math

import numpy as np
from jaxtyping import Float

from hitherto.explorer.controls import RECURRENCES, Settings
from hitherto.explorer.drawing import Figure, Line
from hitherto.explorer.panel import OURS, Fact, Panel, as_of, percent, short
from hitherto.theory.unitary import defects, leak_spectrum

PAPER = "Emami and others (2019), Input-Output Equivalence of Unitary and Contractive RNNs"
DIRECTIONS = 64  # that stand for all of a wide layer
Directions = Float[np.ndarray, " direction"]
COVERED = ("linear", "relu", "tanh")
COMMAND = "hitherto verdict unitary MODEL --input-bound 1"
TITLE = "What leaks, and the orthogonal twin"


def panel(settings: Settings) -> Panel:
    """Gain, leak and half-life by direction of W, what is left after the lag, and the states of the twin."""
    values = singular_values(settings)
    facts = (_gain(settings), *_leaks(settings, values), _left(settings, values), _twin(settings, values))
    told = _decision(settings, values)
    decision = told if settings.recurrence == "linear" else as_of("a linear layer", told)
    return Panel("unitary", TITLE, PAPER, facts, decision, _figure(settings, values), COMMAND)


def norm(settings: Settings) -> float:
    """Largest singular value in the limit of great width: the edge of the law."""
    return (2 if settings.initialisation == "gaussian" else 1) * math.sqrt(settings.kept)


def singular_values(settings: Settings) -> Directions:
    """Of W / sqrt(n) in the limit of great width, at the middles of equal shares of directions, smallest first.

    Gaussian entries of variance nu / n: s = 2 sqrt(nu) sin t where a share (2 t + sin 2 t) / pi lies below, the
    quarter circle. Modes are those of `theory.linear_bias_kernels`: squared moduli, or real ones, spread evenly.

    Source: Marchenko and Pastur (1967) for Gaussian entries; the others are normal matrices.
    """
    number = min(settings.width, DIRECTIONS)
    shares, root = (np.arange(number) + 0.5) / number, math.sqrt(settings.kept)
    if settings.initialisation == "gaussian":
        angle = np.linspace(0, math.pi / 2, 2001)
        return 2 * root * np.interp(shares, (2 * angle + np.sin(2 * angle)) / math.pi, np.sin(angle))
    if settings.initialisation == "modes":
        return root * np.sqrt(shares)
    return root * shares if settings.initialisation == "real-modes" else np.full(number, root)


def _gain(settings: Settings) -> Fact:
    gain = norm(settings)
    kind = "contractive" if gain < 1 else "lossless at best" if gain == 1 else "not contractive, some directions grow"
    return Fact("gain", "Gain a step", short(gain), "the norm of W, in the limit of great width", f"largest; {kind}")


def _leaks(settings: Settings, values: Directions) -> tuple[Fact, ...]:
    if norm(settings) > 1:
        return (Fact("leak", "Energy that leaks a step", "not covered", OURS, "leaks are of a norm of at most 1"),)
    found, source = leak_spectrum(np.diag(values)), f"{OURS}: 1 - s^2 and ln 2 / (-ln s)"
    middle, edge = float(np.median(found.leaks)), norm(settings)
    longest = short(math.log(2) / -math.log(edge) if edge < 1 else math.inf)
    return (
        Fact("leak", "Energy that leaks a step", percent(middle), source, "of the median direction"),
        Fact("half-life", "Longest half-life", f"{longest} steps", source, "if the direction returns to itself"),
    )


def _left(settings: Settings, values: Directions) -> Fact:
    share = _steps(settings, values)[0] ** settings.lag
    told = percent(share) if share <= 1 else f"{short(share)} times"
    source = "independent entries: nu^(k/2)" if _scrambles(settings) else "normal matrices: s^k"
    whose = f"of the amplitude of {_whose(settings)}, in a linear layer"
    return Fact("left", f"Left after {settings.lag} steps", told, source, whose)


def _twin(settings: Settings, values: Directions) -> Fact:
    """States of an orthogonal network with the same map, or why there is none or none is known."""
    name, gain, width = "States of an orthogonal twin", norm(settings), settings.width
    if settings.recurrence not in COVERED:
        return Fact("twin", name, "not covered", "", f"{RECURRENCES[settings.recurrence]} cells are not of this kind")
    if gain > 1:
        return Fact("twin", name, "undecided", OURS, "norm above 1 as drawn; units might be rescaled")
    leaking = round(width * len(defects(np.diag(values)).sizes) / len(values))
    if not leaking:
        return Fact("twin", name, f"{width:,}", "it is one", "W is orthogonal")
    told, lag = f"{width + leaking:,}", settings.lag
    if settings.recurrence == "relu":
        return Fact(
            "twin", name, told, "Theorem 1: at most 2 n", f"in place of {width:,}, the same outputs on bounded inputs"
        )
    if settings.recurrence == "tanh":
        source = "Theorem 3 for sigmoids, and our derivation"
        return Fact("twin", name, told, source, f"in place of {width:,}, as near as one likes, never equal")
    linear = f"{width + lag * leaking:,}"
    return Fact(
        "twin", name, linear, "Egervary (1954): n + T k", f"in place of {width:,}, over {lag} steps; none for ever"
    )


def _decision(settings: Settings, values: Directions) -> str:
    left, lag = _steps(settings, values)[0] ** settings.lag, settings.lag
    if left > 1 + 1e-9:
        return (
            f"Fresh weights make states and gradients grow, {short(left)} times over {lag} steps: start orthogonal "
            "with ν of at most 1 before training over so many."
        )
    told = f"{percent(left)} of the amplitude of {_whose(settings)}"
    if left < 0.05:
        return f"After {lag} steps {told} is left, and so of gradients: raise ν, or keep the lag in gates or in layers."
    return (
        f"After {lag} steps {told} is left, enough to train on; to ask for an orthogonal W costs states, and for ReLU "
        "nothing else."
    )


def _figure(settings: Settings, values: Directions) -> Figure:
    lags = np.arange(max(2 * settings.lag, 10) + 1)
    names = ("a typical state",) if _scrambles(settings) else ("best direction", "median", "worst")
    steps = _steps(settings, values)
    if steps[0] == steps[-1] and not _scrambles(settings):
        names = ("every direction",)
    lines = tuple(Line(name, lags, step**lags) for name, step in zip(names, steps, strict=False))
    about = "Amplitude that is left after so many steps"
    log = bool(steps[0] > 1)
    return Figure(about, "steps", "share of the amplitude that is left", lines, settings.lag, None, log)


def _steps(settings: Settings, values: Directions) -> tuple[float, ...]:
    """What a step keeps of an amplitude: of a typical state where directions are mixed, else of best, median, worst."""
    if _scrambles(settings):
        return (settings.kept**0.5,)
    return norm(settings), float(np.median(values)), float(values.min())


def _scrambles(settings: Settings) -> bool:
    """Whether W sends every direction into all others, as matrices of independent entries do."""
    return settings.initialisation == "gaussian"


def _whose(settings: Settings) -> str:
    return "a typical state" if _scrambles(settings) else "the best direction"
