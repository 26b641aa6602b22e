"""`hitherto profile`: load, profile, write, print."""

import hashlib
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hitherto import files
from hitherto.architectures.outside import Found, Reading, choose, find, with_initial_state
from hitherto.core.model import Model
from hitherto.embedded import embedded_model
from hitherto.inputs import load_inputs
from hitherto.profiling import Note, Profile, Settings, profile
from hitherto.report.table import table


@dataclass(frozen=True)
class Job:
    """One `hitherto profile`: what to read and where to write.

    Attributes:
        model: a file, or None for the embedded LSTM and its text.
        layer: which recurrent layer of the file.
        inputs: a file of input sequences, or None for white noise.
        initial: a file with the same model before training, or None.
        initial_state: a `.npz` of `initial_h` and `initial_c`, or None for the file's own start.
        out, json: the report, and the file of numbers if wanted.
    """

    model: Path | None
    layer: str | None
    inputs: Path | None
    initial: Path | None
    initial_state: Path | None
    out: Path
    json: Path | None


def profile_file(job: Job, reading: Reading, settings: Settings) -> Profile:
    """Profile a file, write the report, print the verdict and the table.

    Raises:
        ValueError: if anything named cannot be read, does not fit, or cannot be written; outputs are checked before
            the work and written whole or not at all.
    """
    for output in filter(None, (job.out, job.json)):
        files.check_writable(output)
    model, provenance = _model(job, reading)
    inputs = load_inputs(job.inputs, model.architecture.input_size) if job.inputs else None
    if job.model is None and job.inputs is None:
        inputs = embedded_model()[1]
    provenance["command"] = shlex.join(["hitherto", *sys.argv[1:]])
    initial = choose(find(job.initial, reading), job.layer, str(job.initial)).model if job.initial else None
    if job.initial:
        provenance["initial"] = job.initial.name
    with progress() as note:
        result = profile(model, inputs, initial=initial, settings=settings, provenance=provenance, note=note)
    result.to_html(job.out)
    if job.json:
        result.to_json(job.json)
    _show(result, job)
    return result


def _model(job: Job, reading: Reading) -> tuple[Model, dict[str, Any]]:
    if job.model is None:
        return embedded_model()[0], dict(file="the embedded LSTM, trained on Python source text")
    found = choose(find(job.model, reading), job.layer, str(job.model))
    model = found.model
    if job.initial_state:
        model = with_initial_state(model, _initial_state(job.initial_state))
    return model, facts_of(job.model, found)


def facts_of(path: Path, found: Found) -> dict[str, Any]:
    """Where a model was found, for the provenance of its profile."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    also = (f"the same weights also stand at {', '.join(found.aliases)}",) if found.aliases else ()
    return dict(file=path.name, sha256=digest, layer=found.name or "unnamed", assumptions=(*found.assumptions, *also))


def _initial_state(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot read the initial state {path}: give a .npz with initial_h (and initial_c)") from error


@contextmanager
def progress() -> Iterator[Note]:
    """A spinner with the running measure on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: print(f"hitherto: {text}", file=sys.stderr, flush=True)
        return
    with console.status("starting") as status:
        yield status.update


def _show(result: Profile, job: Job) -> None:
    console = Console(highlight=False)
    first, *rest = result.verdict or ("Nothing could be decided on these inputs.",)
    console.print(first, style="bold", markup=False)
    for sentence in rest:
        console.print(f"- {sentence}", markup=False)
    for finding in result.provenance.get("findings", ()):
        console.print(f"! {finding}", markup=False, style="yellow")
    console.print(table(result.estimates))
    console.print(f"Report: {job.out}" + (f", numbers: {job.json}" if job.json else ""), markup=False)
