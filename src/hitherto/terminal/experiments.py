"""`run`, `check`, `list`, `cite`: experiments and claims from the command line."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hitherto.core import cluster
from hitherto.core.claim import Case, Claim, Verdict, check, whole
from hitherto.core.experiment import Experiment, Failure, jobs, planned, run, told, where
from hitherto.core.names import known
from hitherto.core.quantity import Estimate
from hitherto.core.source import cite
from hitherto.core.store import Record, Store
from hitherto.papers import CLAIMS, EXPERIMENTS, PAPERS

PLAIN_EVERY = 20  # lines of progress in all, where there is no terminal
FAILED = 1
MARKS = {"holds": "[green]✓ holds[/]", "fails": "[red]✗ fails[/]", "refuted": "[yellow]✗ refuted[/]"}
SIGNS = {"==": "=", "<=": "≤", ">=": "≥"}


def run_experiment(name: str, out: Path, size: str, workers: int | None, scheduler: str | None) -> int:
    """Run an experiment to the end, showing progress; what is recorded already is not done again.

    Returns:
        Exit status: 1 if a claim fails or a case could not be computed, now or when it was recorded.
    Raises:
        ValueError: for an unknown name or size, a folder that cannot be used, or nobody at the scheduler's address.
    """
    experiment = next(e for e in EXPERIMENTS if e.id == known(name, [e.id for e in EXPERIMENTS], "experiment"))
    wanted = jobs(experiment, size)
    store = Store(out / experiment.id)
    missing = sum(not store.has(job.id, job.coordinates) for job in wanted)
    print(
        f"{experiment.id}, {size}: {len(wanted)} cases, {len(wanted) - missing} recorded, {missing} to do", flush=True
    )
    outcomes: Counter[str] = Counter()
    failures: list[Record | Failure] = []
    with mapper(workers, scheduler) as map_jobs, progress(missing) as advance:
        for result in run(experiment, out, size, map_jobs=map_jobs):
            outcomes[result.outcome if isinstance(result, Record) else "error"] += 1
            failures += [result] if isinstance(result, Failure) else []
            advance(in_words(result))
    failures += [record for record in store.records({job.id for job in wanted}) if record.outcome == "fails"]
    for failure in failures:
        print(f"! {in_words(failure)}")
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()) or "nothing to do")
    print(f"Results: {store.folder}; `hitherto report {out}` draws them")
    return FAILED if failures else 0


def check_claims(name: str | None, size: str, as_json: bool) -> int:
    """Check theorems against measurements and print a row a case.

    Args:
        name: a paper or a claim; None for all.
        size: `ci` for the smallest case of each claim, `paper` for the larger ones too.
    Returns:
        Exit status: 1 if one fails.
    """
    known(size, ("ci", "paper"), "size of a check")
    outcomes: Counter[str] = Counter()
    console, waiting = Console(highlight=False), Console(stderr=True)
    for claim in _claims(name):
        for case in (claim.smallest, *(claim.larger if size == "paper" else ())):
            with waiting.status(f"{claim.id}: {case}") if waiting.is_terminal else nullcontext():
                verdict = _checked(claim, case)
            outcomes[verdict.outcome] += 1
            if as_json:
                print(json.dumps(_plain(claim, case, verdict)), flush=True)
            else:
                console.print(_block(claim, case, verdict), soft_wrap=True)
    if not as_json:
        print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    return FAILED if outcomes["fails"] or outcomes["error"] else 0


def _checked(claim: Claim, case: Case) -> Verdict:
    """The verdict, or the error as one; what a measure prints goes to standard error."""
    try:
        with redirect_stdout(sys.stderr):
            return check(claim, case)
    except (Exception, SystemExit) as error:  # the other claims go on
        return Verdict("error", told(error))


def show_list() -> None:
    """Papers with their claims and experiments."""
    console = Console(highlight=False)
    for paper in PAPERS:
        console.print(f"[bold]{_stem(paper)}[/]  {paper.PAPER.title} ({paper.PAPER.year})")
        for claim in paper.CLAIMS:
            console.print(f"  claim       {claim.id:24} {claim.says}", soft_wrap=True)
        for experiment in paper.EXPERIMENTS:
            sizes = ", ".join(f"{size} {_cases(experiment, size)}" for size in experiment.sizes)
            console.print(f"  experiment  {experiment.id:24} {experiment.says} (cases: {sizes})", soft_wrap=True)


def _cases(experiment: Experiment, size: str) -> str:
    try:
        return f"{planned(experiment, size):,}"
    except ImportError:  # what there is to run depends on data of a package that is missing
        return "(data not installed)"


def show_citations(names: list[str]) -> None:
    """BibTeX for claims, or for all of them."""
    print(cite(claim.source for name in names or [None] for claim in _claims(name)))


def _claims(name: str | None) -> list[Claim]:
    papers = {_stem(paper): list(paper.CLAIMS) for paper in PAPERS}
    by_name = papers | {claim.id: [claim] for claim in CLAIMS}
    return list(CLAIMS) if name is None else by_name[known(name, by_name, "paper or claim")]


def _stem(paper: Any) -> str:
    return paper.__name__.rsplit(".", 1)[-1]


def mapper(workers: int | None, scheduler: str | None) -> AbstractContextManager[cluster.Mapper | None]:
    """Worker processes here, or those of a scheduler; None for neither."""
    if workers is not None and scheduler is not None:
        raise ValueError("--workers starts processes here and --scheduler uses others; give one of them")
    if scheduler is not None:
        return cluster.scheduler(scheduler)
    return nullcontext() if workers is None else cluster.workers(workers)


@contextmanager
def progress(total: int) -> Iterator[Any]:
    """A bar with the time left on a terminal, some twenty plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        done = iter(range(1, total + 2))
        step = max(1, total // PLAIN_EVERY)

        def plain(text: str) -> None:
            if (count := next(done)) % step == 0 or count == total:
                print(f"hitherto: {count} of {total}, {text}", file=sys.stderr, flush=True)

        yield plain
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as shown:
        bar = shown.add_task("", total=total)
        yield lambda text: shown.update(bar, advance=1, description=text)


def in_words(result: Record | Failure) -> str:
    """What was asked where, and what came of it."""
    said = f"{result.outcome} {result.reason}".strip() if isinstance(result, Record) else result.error
    return f"{result.ask} at {where(result)}: {said}"


def _plain(claim: Claim, case: Case, verdict: Verdict) -> dict[str, Any]:
    estimates = {"predicted": verdict.predicted, "measured": verdict.measured}
    return {
        "claim": claim.id,
        "case": str(case),
        "relation": claim.relation,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "source": str(claim.source),
    } | {role: estimate.to_dict() if estimate else None for role, estimate in estimates.items()}


def _block(claim: Claim, case: Case, verdict: Verdict) -> str:
    """Four lines a case: the verdict with both numbers, the theorem, the case, the source."""
    compared = f"measured {_short(verdict.measured)} {SIGNS[claim.relation]} predicted {_short(verdict.predicted)}"
    said = compared if verdict.outcome in ("holds", "fails") else verdict.reason
    mark = MARKS.get(verdict.outcome, f"? {verdict.outcome}")
    return f"{mark}  [bold]{claim.id}[/]  {escape(said)}\n    " + "\n    ".join(
        escape(line) for line in (claim.says, str(case), str(claim.source))
    )


def _short(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if isinstance(estimate.value, int):
        return whole(estimate.value)
    return f"{estimate.value:.4g}" if not hasattr(estimate.value, "shape") else f"curve of {len(estimate.value)}"
