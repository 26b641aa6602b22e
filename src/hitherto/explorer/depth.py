"""How far back a stack can copy its input, and what that costs at the same number of parameters."""

import numpy as np

from hitherto.explorer.controls import Settings
from hitherto.explorer.drawing import Figure, Line
from hitherto.explorer.panel import OURS, Fact, Panel, short
from hitherto.theory.depth import copy_loss_floor, copy_reach, least
from hitherto.theory.depth_degree import polynomial_degree
from hitherto.theory.depth_planner import parameter_count, plan_copy
from hitherto.theory.start_end import input_degree

PAPER = "Lizaire and others (2026), On the Role of Depth in the Expressivity of RNNs"
STATES = {"lstm": 2}  # numbers a unit carries
FAMILIES = {"2rnn": "2rnn", "lstm": "lstm", "gru": "gru"}  # of the planner; all others count as rnn
DEPTHS = np.arange(1, 9)
TITLE = "What depth and width can copy"
PLANNED = "our derivation, from the law of copy reach"


def panel(settings: Settings) -> Panel:
    """Copy reach, parameters, the cheapest stack for the lag, loss floors and degree."""
    lag, reach = settings.lag, _reach(settings, settings.depth, settings.width)
    facts = (_reached(settings, reach), *_costs(settings), *_floors(settings), _degree(settings))
    asked = f"--channels {settings.alphabet} --delay {lag}"
    command = f"hitherto advise copy {asked} --family {_command_family(settings)} --biases {_biases(settings)}"
    return Panel("depth", TITLE, PAPER, facts, _decision(lag, reach), _figure(settings), command)


def _reached(settings: Settings, reach: int | None) -> Fact:
    attained = settings.recurrence in ("linear", "2rnn")
    channels = f"of {settings.alphabet:,} channel{'s' * (settings.alphabet > 1)}"
    note = f"{channels}; attained by some weights" if attained else f"{channels}; a bound, from the states carried"
    source = f"{OURS}: floor(sum of (n - d) / d)"
    told = "narrower than the signal" if reach is None else f"{reach:,} step{'s' * (reach != 1)}"
    return Fact("reach", "Longest delay", told, source, note)


def _costs(settings: Settings) -> tuple[Fact, Fact]:
    own = Fact("parameters", "Weights of this stack", f"{_parameters(settings, settings.depth):,}", "counted")
    name = "Fewest weights for the lag"
    if settings.recurrence == "circuit":
        return own, Fact("cheapest", name, "not covered", OURS, "plans are of cells with linear terms")
    plan = plan_copy(settings.alphabet, settings.lag, family=_family(settings), biases=_biases(settings))
    scope = ", if they are linear" if _biases(settings) else ""
    layers = f"{plan.depth:,} layer{'s' * (plan.depth > 1)} of {plan.width:,} units{scope}"
    note = f"{layers}; one layer takes {plan.shallow_parameters:,}"
    return own, Fact("cheapest", name, f"{plan.parameters:,}", PLANNED, note)


def _floors(settings: Settings) -> tuple[Fact, ...]:
    if settings.recurrence != "linear":
        note = "the floor is that of linear models"
        return (Fact("floor", "Loss floor", "not covered", OURS, note),)
    length, flat = 2 * settings.lag + 2, _fitting(settings, 1)
    deep = copy_loss_floor(settings.depth * settings.width, settings.alphabet, settings.lag, length)
    shallow = copy_loss_floor(flat, settings.alphabet, settings.lag, length)
    source = f"{OURS}: 1 - states / (d (k + 1)), by Eckart and Young"
    note = f"one layer of as many weights, {flat:,} units: {short(shallow)}"
    return (Fact("floor", "Loss that no training goes below", short(deep), source, note),)


def _degree(settings: Settings) -> Fact:
    name = "Degree in the input at the lag"
    if settings.recurrence == "circuit":
        degree = input_degree(settings.depth, settings.lag + 1)
        return Fact("degree", name, short(degree), f"{OURS}: multisets of L - 1 of k + 1 kinds")
    if settings.recurrence not in ("linear", "2rnn"):
        return Fact("degree", name, "not covered", OURS, "a degree is that of polynomial cells")
    if settings.recurrence == "linear":
        return Fact("degree", name, "1", OURS, "of linear layers at any depth")
    degree = polynomial_degree(settings.depth, lag=settings.lag)
    source = f"{OURS}: C(k + L - 1, L - 1); the paper says that it grows with depth"
    return Fact("degree", name, short(degree or 0), source, "one layer is linear in each input")


def _decision(lag: int, reach: int | None) -> str:
    if reach is None:
        return "Not even the present input passes: make every layer at least as wide as the alphabet."
    if reach < lag:
        return (
            f"Too small: no training makes this stack give back all channels after {lag} steps; add layers, which cost "
            "fewer weights than units do, or take the cheapest stack listed below."
        )
    return (
        f"Large enough: nothing here stands against {lag} steps, and what is beyond the cheapest stack is to spare. "
        "Whether training finds it, the lag weights tell."
    )


def _figure(settings: Settings) -> Figure:
    wide = [_reach(settings, depth, settings.width) for depth in DEPTHS.tolist()]
    equal = [_reach(settings, depth, _fitting(settings, depth)) for depth in DEPTHS.tolist()]
    lines = (_line("as wide", wide), _line("as many weights", equal))
    level = (settings.lag, f"lag {settings.lag}")
    return Figure("Copy reach by depth", "layers", "longest delay (steps)", lines, settings.depth, level)


def _line(name: str, reaches: list[int | None]) -> Line:
    return Line(name, DEPTHS, np.array([np.nan if reach is None else reach for reach in reaches], float))


def _reach(settings: Settings, depth: int, width: int) -> int | None:
    return copy_reach([STATES.get(settings.recurrence, 1) * width] * depth, settings.alphabet) if width else None


def _fitting(settings: Settings, depth: int) -> int:
    """The widest layers that take no more weights than the stack that is set; 0 where one unit a layer takes more."""
    budget = _parameters(settings, settings.depth)
    return least(lambda width: _parameters(settings, depth, width) > budget) - 1


def _parameters(settings: Settings, depth: int, width: int | None = None) -> int:
    channels, biases = settings.alphabet, _biases(settings)
    return parameter_count(_family(settings), depth, width or settings.width, channels, channels, biases=biases)


def _biases(settings: Settings) -> int:
    """Bias vectors a layer, as PyTorch has them where a bias matters."""
    return 2 if settings.recurrence in ("relu", "tanh") else 0


def _command_family(settings: Settings) -> str:
    return "linear" if _family(settings) == "rnn" else _family(settings)


def _family(settings: Settings) -> str:
    return FAMILIES.get(settings.recurrence, "rnn")
