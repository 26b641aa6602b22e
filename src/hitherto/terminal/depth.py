"""`hitherto advise copy` and `hitherto measure memory`: depth and width for a delay, and what a linear model keeps."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from hitherto.architectures.outside import Reading, choose, find
from hitherto.architectures.outside.torch_names import save
from hitherto.constructions.copying import copy_network
from hitherto.core.names import known
from hitherto.measures.linear_response import copy_reach, hankel_rank
from hitherto.measures.memory_curve import fisher_memory_curve, linear_memory_curve, noisy_memory_curve
from hitherto.report.table import table
from hitherto.theory import depth_planner
from hitherto.theory.depth_planner import CopyPlan, plan_copy

LINEAR = "linear"  # the family that the planner calls rnn
FAMILIES = tuple(LINEAR if name == "rnn" else name for name in depth_planner.FAMILIES)
MEANING = (
    "Delay: the largest k with y[t] = x[t - k] exactly, in every channel, over any length, read from the top layer. "
    "Not Jaeger's memory capacity, which depth leaves at the width of the layer that is read."
)


class Request(NamedTuple):
    """What a plan is asked for."""

    channels: int
    delay: int | None
    parameters: int | None
    cost: str
    family: str
    ranks: tuple[int, ...]
    biases: int
    readout_bias: bool


def print_plan(request: Request, weights: Path | None, as_json: bool) -> None:
    """Print the plan, and write its weights if a file is named.

    Raises:
        ValueError: for sizes and names that cannot be; for weights that are not known.
    """
    known(request.family, FAMILIES, "family of cells")
    plan = _plan(request, request.delay, None if request.delay is not None else request.parameters)
    within = _plan(request, None, request.parameters) if _too_dear(plan, request) else None
    if weights is not None:
        _write(plan, request, weights)
    if as_json:
        print(json.dumps(asdict(plan) | {"within_budget": within and asdict(within)}))
        return
    _print(plan, request, within)
    if weights is not None:
        print(f"Weights: {weights}")


def print_memory(path: Path, layer: str | None, noise: float, as_json: bool) -> None:
    """Print copy reach, state order, linear, noisy and Fisher memory of a linear model.

    Raises:
        ValueError: if the model is not linear, or old inputs are not forgotten.
    """
    model = choose(find(path, Reading()), layer, str(path)).model
    found = [hankel_rank(model)]
    for read in ("top", "all"):
        found += [copy_reach(model, read), *linear_memory_curve(model, read)]
        found += [noisy_memory_curve(model, noise, read), fisher_memory_curve(model, noise, read)]
    if as_json:
        print(json.dumps([estimate.to_dict() for estimate in found]))
        return
    Console(highlight=False).print(table(found))


def _plan(request: Request, delay: int | None, parameters: int | None) -> CopyPlan:
    return plan_copy(
        request.channels,
        delay,
        parameters,
        cost=request.cost,
        family="rnn" if request.family == LINEAR else request.family,
        ranks=request.ranks,
        biases=request.biases,
        readout_bias=request.readout_bias,
    )


def _too_dear(plan: CopyPlan, request: Request) -> bool:
    """Whether a delay and a budget were asked for that do not go together."""
    return request.delay is not None and request.parameters is not None and plan.parameters > request.parameters


def _print(plan: CopyPlan, request: Request, within: CopyPlan | None) -> None:
    console = Console(highlight=False, markup=False)
    console.print(_sentence(plan, request))
    if within is not None:
        console.print(f"That is more than {request.parameters:,}. Within the budget: {_sentence(within, request)}")
    elif plan.delay is not None and plan.depth > 1:
        shallow = f"{plan.shallow_width:,} units, {plan.shallow_parameters:,} {_unit(request)}"
        console.print(f"One layer: {shallow}.")
    console.print(MEANING, style="dim")


def _sentence(plan: CopyPlan, request: Request) -> str:
    layers = f"{plan.depth:,} layer{'s' * (plan.depth > 1)} of {plan.width:,} units"
    size = f"{layers}, {plan.parameters:,} {_unit(request)}"
    channels = f"{plan.channels:,} channel{'s' * (plan.channels > 1)}"
    if plan.delay is None:
        return f"Too few for {channels}: the smallest network is {size}, and passes the present input on."
    task = f"{channels} over {plan.delay:,} steps"
    further = f" (up to {plan.reach:,})" if plan.reach > plan.delay else ""
    if not plan.attained:
        return f"{size}: no smaller {request.family} copies {task}{further}; no law says that this one can."
    return f"{size}: copies {task}{further}."


def _unit(request: Request) -> str:
    return "effective dimensions" if request.cost == "effective" else "parameters"


def _write(plan: CopyPlan, request: Request, path: Path) -> None:
    if request.family != LINEAR or plan.delay is None:
        raise ValueError(
            f"weights were asked for a plan of family {request.family!r} with delay {plan.delay}; they are known for "
            f"--family {LINEAR}, and for networks that copy"
        )
    save(copy_network((plan.width,) * plan.depth, plan.channels, plan.delay), path)
