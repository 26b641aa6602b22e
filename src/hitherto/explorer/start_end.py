"""How jointly the answer can depend on the start and the end of a sequence of twice the lag."""

import math
from functools import lru_cache

import numpy as np

from hitherto.explorer.controls import RECURRENCES, Settings
from hitherto.explorer.drawing import Figure, Line
from hitherto.explorer.panel import OURS, Fact, Panel, as_of, power_of_ten
from hitherto.theory.depth_degree import start_end_bound
from hitherto.theory.start_end import GenericRank, cell_bound, generic_rank

PAPER = "Levine, Sharir, Ziv and Shashua (2017), On the Long-Term Memory of Deep Recurrent Networks"
TITLE = "How start and end are bound together"
DEPTHS = np.arange(1, 9)


def panel(settings: Settings) -> Panel:
    """Separation rank of this recurrence, of arithmetic circuits of the same sizes, and the most there is to tell."""
    most = settings.lag * math.log10(settings.alphabet)
    facts = (
        _own(settings),
        _of_circuit(settings),
        Fact("most", f"All starts of {settings.lag} symbols", power_of_ten(most), "counted", "no rank is above"),
    )
    sizes = f"--depth {settings.depth} --width {settings.width} --input-size {settings.alphabet}"
    command = f"hitherto predict start-end-rank {sizes} --start {settings.lag} --end {settings.lag} --inputs one-hot"
    return Panel("start_end", TITLE, PAPER, facts, _decision(settings, most), _figure(settings), command)


def _own(settings: Settings) -> Fact:
    """The first fact: the rank of the recurrence that is set, or why none is known."""
    value, source, note = "not covered", "", "ranks are known for polynomial cells; measure it with a cut profile"
    if settings.recurrence == "circuit":
        found = _circuit(settings, settings.depth)
        value, source, note = power_of_ten(found.log10), found.source, found.why
    if settings.recurrence == "2rnn":
        value = power_of_ten(_second_order(settings, settings.depth))
        source, note = f"{OURS}, after Levine and others", "of second-order layers, a bound for any weights"
    if settings.recurrence == "linear":
        value = str(cell_bound("linear", settings.depth, settings.width, settings.lag))
        source, note = OURS, "of linear layers at any depth and width: start and end are added"
    return Fact("rank", "Separation rank", value, source, note)


def _of_circuit(settings: Settings) -> Fact:
    one, found = _circuit(settings, 1).log10, _circuit(settings, settings.depth)
    note = f"one layer: {power_of_ten(one)}; depth beyond two is the paper's conjecture and our bound"
    return Fact("circuit", "Arithmetic circuit of these sizes", power_of_ten(found.log10), found.source, note)


def _decision(settings: Settings, most: float) -> str:
    if settings.recurrence == "linear":
        return (
            "A linear network adds what it makes of the start to what it makes of the end: a task in which the end "
            "decides what the start means needs products, gates or an activation."
        )
    if settings.recurrence == "2rnn":
        return _sized(settings, *(_second_order(settings, depth) for depth in (1, settings.depth)), most)
    told = _sized(settings, *(_circuit(settings, depth).log10 for depth in (1, settings.depth)), most)
    return told if settings.recurrence == "circuit" else as_of("an arithmetic circuit", told)


def _sized(settings: Settings, shallow: float, deep: float, most: float) -> str:
    """From the ranks of one layer and of all, and the most there is to tell apart, as powers of ten."""
    if deep >= most - 1e-9:
        return (
            f"Sizes set no limit here: their bound leaves room to tell all starts of {settings.lag} symbols apart for "
            "every end."
        )
    if settings.depth == 1:
        return (
            "One layer cannot bind more than its width, however long the sequence: where start and end must be read "
            "together, a second layer gives more than a wider one."
        )
    return (
        f"Depth binds up to {power_of_ten(deep - shallow)} times as many starts to their ends as one layer; what is "
        "missing to all starts needs width or depth."
    )


def _figure(settings: Settings) -> Figure:
    circuit = np.array([_circuit(settings, depth).log10 for depth in DEPTHS.tolist()])
    second = np.array([_second_order(settings, depth) for depth in DEPTHS.tolist()])
    linear = np.full(len(DEPTHS), math.log10(cell_bound("linear", 1, 1, 1)))
    lines = [Line("arithmetic circuit", DEPTHS, circuit), Line("second-order", DEPTHS, second)]
    lines.append(Line("linear", DEPTHS, linear))
    lines.sort(key=lambda line: line.name != RECURRENCES[settings.recurrence])
    level = (settings.lag * math.log10(settings.alphabet), "all starts")
    about = "Separation rank by depth, as a power of ten"
    return Figure(about, "layers", "separation rank (power of ten)", tuple(lines), settings.depth, level)


def _circuit(settings: Settings, depth: int) -> GenericRank:
    return _generic_rank(depth, settings.width, settings.alphabet, settings.lag)


@lru_cache(maxsize=1024)
def _generic_rank(depth: int, width: int, symbols: int, half: int) -> GenericRank:
    return generic_rank(depth, width, symbols, half, half, "one-hot")


def _second_order(settings: Settings, depth: int) -> float:
    return math.log10(start_end_bound(depth, settings.width, settings.alphabet, settings.lag))
