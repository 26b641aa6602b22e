"""`hitherto advise`: what to build for a lag, or for the memory that data ask for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from hitherto import files
from hitherto.advice.adviser import Advice, Option, advised
from hitherto.advice.request import Request

if TYPE_CHECKING:  # what these need takes seconds to import, and is not always wanted
    from hitherto.advice.demand import MemoryDemand
    from hitherto.advice.verification import Verification

COLUMNS = {
    "parameters": "weights",
    "copy reach": "copies",
    "learning steps": "learned",
    "predicted recall": "R^2",
    "gradient horizon": "horizon",
    "Lyapunov time": "fades",
    "recurrent norm": "norm",
}
MEANING = (
    "copies: the longest delay that so many states can hold (theory: depth). learned: steps of plain gradient descent "
    "until a tenth of the squared error is left; R^2: after the steps that there are (theory: linear_bias, great "
    "width). With > or <, a bound from the gradients of a small draw, no theorem; with ?, beyond the widths that the "
    "theory speaks of. horizon: lag where gradients fall below 1% of their peak; fades: Lyapunov time. All before "
    "training; --json and --out give every condition."
)


class Wishes(NamedTuple):
    """What `hitherto advise` is asked; `lag` and `channels`, or `data`."""

    lag: int | None
    channels: int | None
    data: Path | None
    targets: Path | None
    symbols: bool
    parameters: int | None
    families: tuple[str, ...]
    cost: str
    steps: int
    seed: int


class Checking(NamedTuple):
    """Whether and where to train."""

    verify: bool
    workers: int | None
    scheduler: str | None
    results: Path


def print_advice(wishes: Wishes, checking: Checking, as_json: bool, out: Path | None) -> None:
    """Print the advice, and write its page if a file is named.

    Raises:
        ValueError: if not one of a lag and data is given, for numbers and names that cannot be, data that ask for no
            memory, or files that cannot be read or written.
    """
    if out is not None:
        files.check_writable(out)
    if not checking.verify and (checking.workers is not None or checking.scheduler is not None):
        raise ValueError("--workers and --scheduler are for trainings; give --verify too, or leave them out")
    demand = _demand(wishes)
    advice = advised(_request(wishes, demand), wishes.seed)
    checked = _verified(advice, wishes.seed, checking) if checking.verify else None
    rows = () if checked is None else tuple(_trained(checked))
    if out is not None:
        from hitherto.advice.page import advice_page

        files.write(out, advice_page(advice, demand, rows).encode())
    if as_json:
        trained = checked and checked.to_dict()
        print(json.dumps(advice.to_dict() | dict(demand=demand and demand.to_dict(), trained=trained)))
        return
    _print(advice, demand)
    if checked is not None:
        _print_checked(checked, rows)
    if out is not None:
        print(f"Page: {out}")


def _demand(wishes: Wishes) -> "MemoryDemand | None":
    if (wishes.lag is None) == (wishes.data is None):
        raise ValueError("advice is for a lag or for data; give one of --lag and --data")
    if wishes.data is None:
        if wishes.targets is not None or wishes.symbols:
            raise ValueError("--targets and --symbols belong to --data; give it too, or leave them out")
        return None
    if wishes.channels is not None:
        raise ValueError("--channels belongs to --lag: data have their own; leave it out")
    from hitherto.advice.demand import memory_demand
    from hitherto.inputs import load_array

    targets = None if wishes.targets is None else load_array(wishes.targets)
    return memory_demand(load_array(wishes.data), targets, symbols=wishes.symbols, seed=wishes.seed)


def _request(wishes: Wishes, demand: "MemoryDemand | None") -> Request:
    shared: dict[str, Any] = dict(
        parameters=wishes.parameters, families=wishes.families, cost=wishes.cost, steps=wishes.steps
    )
    if demand is None:
        return Request(wishes.lag, 1 if wishes.channels is None else wishes.channels, **shared)  # type: ignore[arg-type]
    from hitherto.advice.demand import request_of

    return request_of(demand, **shared)


def _verified(advice: Advice, seed: int, checking: Checking) -> "Verification":
    from hitherto.advice.verification import verify_advice
    from hitherto.terminal.experiments import mapper

    with mapper(checking.workers, checking.scheduler) as map_jobs:
        return verify_advice(advice, checking.results, seed=seed, map_jobs=map_jobs)


def _print(advice: Advice, demand: "MemoryDemand | None") -> None:
    console = Console(highlight=False, markup=False)
    if demand is not None:
        console.print(f"The data: {' '.join([demand.sentence, *demand.notes])}")
    console.print(advice.sentence, style="bold")
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("option", overflow="fold", min_width=28)
    for name in COLUMNS.values():
        grid.add_column(name, justify="right")
    for option in advice.options:
        grid.add_row(*_cells(option), style="dim" if option.obstacles else None)
    console.print(grid)
    for change in advice.changes:
        console.print(f"- {change}")
    console.print(MEANING, style="dim")


def _cells(option: Option) -> Iterator[str]:
    yield option.candidate.name + "".join(f"; {obstacle}" for obstacle in option.obstacles)
    for name in COLUMNS:
        number = option.numbers[name]
        known = number.value is not None
        yield f"{_mark(option, name) if known else ''}{number}"


def _mark(option: Option, name: str) -> str:
    """What tells a bound, or a prediction beyond its range, from a prediction."""
    bounds = {"learning steps": ">", "predicted recall": "<"}
    if option.trusted or name not in bounds:
        return ""
    return "?" if option.candidate.linear else bounds[name]


def _trained(checked: "Verification") -> Iterator[dict[str, str]]:
    for row in checked.rows:
        measured = row.measured
        yield {
            "option": row.option.candidate.name,
            "lag": f"{row.lag:,}",
            "predicted R^2": str(row.option.numbers["predicted recall"]),
            "measured R^2": f"{float(measured.value):.3f}",
            "95% interval": f"{float(measured.low):.3f} to {float(measured.high):.3f}",  # type: ignore[arg-type]
            "reached": "yes" if row.reached else "no",
            "seconds": f"{row.seconds:.0f}",
        }


def _print_checked(checked: "Verification", rows: tuple[dict[str, str], ...]) -> None:
    console = Console(highlight=False, markup=False)
    grid = Table(box=None, pad_edge=False, header_style="bold", title="Trained with Adam, held-out sequences")
    for name in rows[0]:
        grid.add_column(name, justify="left" if name == "option" else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row.values())
    console.print(grid)
    contrary = checked.pairs - checked.agreeing - checked.tied
    told = "held" if checked.held else "did not hold" if contrary else "was not decided"
    counted = f"{checked.agreeing} of {checked.pairs} pairs recall in its order, {contrary} in the other"
    console.print(f"The ranking {told}: {counted}, {checked.tied} cannot be told apart.")
