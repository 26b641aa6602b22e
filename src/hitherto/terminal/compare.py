"""`hitherto compare`: load or take up, profile what is not profiled yet, write, print."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hitherto import files
from hitherto.architectures.outside import Reading, choose, find
from hitherto.comparing import Comparison, checked_names, compare, saved_profile
from hitherto.core.model import Model
from hitherto.inputs import load_inputs
from hitherto.profiling import Profile, Settings
from hitherto.report.comparison import comparison_rows
from hitherto.terminal.profiles import facts_of, progress


@dataclass(frozen=True)
class Job:
    """One `hitherto compare`: what to read and where to write.

    Attributes:
        models: files of models, or of profiles that `hitherto profile --json` wrote.
        names: of the models, or None to call them by their files.
        layer: which recurrent layer of each file.
        inputs: a file of input sequences, or None for white noise.
        out, json: the page, and the file of numbers if wanted.
    """

    models: tuple[Path, ...]
    names: tuple[str, ...] | None
    layer: str | None
    inputs: Path | None
    out: Path
    json: Path | None


def compare_files(job: Job, settings: Settings) -> Comparison:
    """Compare files, write the page, print the verdict and the table.

    Raises:
        ValueError: if anything named cannot be read, does not fit, or cannot be written; outputs are checked before
            the work and written whole or not at all.
    """
    for output in filter(None, (job.out, job.json)):
        files.check_writable(output)
    names = checked_names(job.names or _told_apart(job.models), len(job.models))
    with progress() as note:
        found = [_found(path, job.layer) for path in job.models]
        models = [model for model, _ in found if isinstance(model, Model)]
        if job.inputs and not models:
            raise ValueError(
                f"--input {job.inputs} was given with saved profiles alone, which are not driven again; leave it out, "
                "or give the models"
            )
        inputs = load_inputs(job.inputs, models[0].architecture.input_size) if job.inputs else None
        provenances = [facts | dict(command=shlex.join(["hitherto", *sys.argv[1:]])) for _, facts in found]
        compared = [model for model, _ in found]
        result = compare(compared, inputs, names=names, settings=settings, provenances=provenances, note=note)
    result.to_html(job.out)
    if job.json:
        result.to_json(job.json)
    _show(result, job)
    return result


def _found(path: Path, layer: str | None) -> tuple[Model | Profile, dict[str, Any]]:
    """A model and its facts, or a profile, which brings its own."""
    if path.suffix == ".json":
        return saved_profile(path), {}
    one = choose(find(path, Reading()), layer, str(path))
    return one.model, facts_of(path, one)


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """The files' names without endings, or with as many folders as tell them apart."""
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _show(result: Comparison, job: Job) -> None:
    console = Console(highlight=False)
    first, *rest = result.verdict
    console.print(first, style="bold", markup=False)
    for sentence in rest:
        console.print(f"- {sentence}", markup=False)
    for finding in result.findings:
        console.print(f"! {finding}", markup=False, style="yellow")
    console.print(_table(result))
    console.print(f"Page: {job.out}" + (f", numbers: {job.json}" if job.json else ""), markup=False)


def _table(result: Comparison) -> Table:
    """The first and the last model beside each other, part by part."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("quantity")
    shown.add_column("at")
    for name in (Text(result.names[0]), Text(result.names[-1]), "diff."):
        shown.add_column(name, justify="right", overflow="fold")
    shown.add_column("95% interval", overflow="fold")
    shown.add_column("", no_wrap=True)
    previous = part = ""
    for row in comparison_rows(result.estimates, result.differences):
        if row.part != part:
            shown.add_row(Text(row.part, style="bold"))
            part, previous = row.part, ""
        name = "" if row.name == previous else row.name
        (then, _), *_, (now, _) = row.values
        cells = (name, row.place, then, now, row.difference, row.interval, row.status)
        shown.add_row(*map(Text, cells))  # texts come from files and are no markup
        previous = row.name
    return shown
