"""Every claim and every figure of the papers again: computed, recorded, and shown as a site."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hitherto import files
from hitherto.core.cluster import Mapper
from hitherto.core.experiment import SIZES, Checks, Failure, Work, jobs, run, where
from hitherto.core.names import known
from hitherto.core.store import Record, Store
from hitherto.papers import PAPERS
from hitherto.report.reading import duration
from hitherto.report.reproduction import Part, Reproduced, index_page, paper_page

ALL = "all"
LOG = "reproduction.{paper}.json"
Result = Record | Failure
Watch = Callable[[Work, int, int], AbstractContextManager[Callable[[Result], None]]]  # work, cases, missing


def stem(paper: ModuleType) -> str:
    """The short name of a paper."""
    return paper.__name__.rsplit(".", 1)[-1]


def chosen(paper: str) -> tuple[ModuleType, ...]:
    """One paper by its name, or `all`.

    Raises:
        ValueError: if there is none of this name.
    """
    known(paper, (*map(stem, PAPERS), ALL), "paper")
    return tuple(one for one in PAPERS if paper in (stem(one), ALL))


def works(paper: ModuleType) -> tuple[Work, ...]:
    """The claims of a paper, then its experiments."""
    return Checks(f"{stem(paper)}.claims", f"Claims of {paper.PAPER.title}", paper.CLAIMS), *paper.EXPERIMENTS


@contextmanager
def unwatched(work: Work, cases: int, missing: int) -> Iterator[Callable[[Result], None]]:
    """Says nothing."""
    yield lambda result: None


def reproduce(
    paper: str = ALL,
    out: str | Path = "reproduction",
    *,
    results: str | Path = "results",
    size: str = "paper",
    map_jobs: Mapper | None = None,
    watch: Watch = unwatched,
) -> Path:
    """Check the claims and run the experiments of a paper, and write a site of what was found.

    What is recorded in `results` for the same definition and the same code is not computed again, so that a run that
    was killed goes on where it stopped. The site is written anew after each paper.

    Args:
        paper: its name, or `all`.
        out: folder of the site: `index.html` and a page a paper, each self-contained.
        results: folder of the records, which `run` uses too.
        size: `ci` for a trial of a few minutes, `paper`, or `cluster`.
        map_jobs: as for `run`; one case after the other in this process if not given.
        watch: told of each piece of work, how many cases it has and how many of them are missing; gives what is to be
            called with each result.
    Returns:
        The index of the site.
    Raises:
        ValueError: for an unknown paper or size, or a folder that cannot be written.

    Cost: at size `paper` 73 minutes for all papers on two cores; 2 minutes if all is recorded.
    """
    papers, out, results = chosen(paper), Path(out), Path(results)
    known(size, SIZES, "size")
    for folder in (out, results):
        _make(folder)
    for one in papers:
        journal = Journal(results, stem(one), size)
        for work in works(one):
            for result in _watched(work, results, size, map_jobs, watch):
                journal.note(work, result)
        journal.save()
        write_site(results, out)
    return out / "index.html"


def _watched(
    work: Work, results: Path, size: str, map_jobs: Mapper | None, watch: Watch
) -> Iterator[Result | ImportError]:
    """The results of one piece of work as they come; or what it lacks, such as data that are not installed."""
    try:
        every = jobs(work, size)
    except ImportError as error:
        yield error
        return
    missing = sum(not Store(results / work.id).has(job.id, job.coordinates) for job in every)
    with watch(work, len(every), missing) as told:
        for result in run(work, results, size, map_jobs=map_jobs):
            told(result)
            yield result


def write_site(results: str | Path, out: str | Path) -> None:
    """The site of what stands in a folder of records: an index, and a page for each paper that was run.

    Raises:
        ValueError: if the records cannot be read, or the site cannot be written.
    """
    results, out = Path(results), Path(out)
    found = {stem(paper): reproduced(paper, results) for paper in PAPERS}
    shown = [one for one in found.values() if one]
    absent = {stem(paper): paper.PAPER for paper in PAPERS if not found[stem(paper)]}
    for one in shown:
        files.write(out / f"{one.stem}.html", paper_page(one).encode())
    files.write(out / "index.html", index_page(shown, absent).encode())


class Journal:
    """What runs of a paper take, kept up on disk as they go, so that a killed one is told of too."""

    def __init__(self, results: Path, paper: str, size: str) -> None:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
        self.path, self.started = results / LOG.format(paper=paper), time.perf_counter()
        self.run = dict(size=size, seconds=0.0, cases=0, machine=machine)
        self.log = _log(self.path) | {"size": size, "errors": {}}  # what raised is tried again

    def note(self, work: Work, result: Result | ImportError) -> None:
        """One more result."""
        if isinstance(result, ImportError):
            self._error(work, str(result))
            return
        if not self.run["cases"]:
            self.log["runs"].append(self.run)
        self.run |= dict(seconds=time.perf_counter() - self.started, cases=self.run["cases"] + 1)
        if isinstance(result, Failure):
            self._error(work, f"{result.ask} at {where(result)}: {result.error}")
        self.save()

    def save(self) -> None:
        """Write it."""
        files.write(self.path, json.dumps(self.log).encode())

    def _error(self, work: Work, told: str) -> None:
        self.log["errors"].setdefault(work.id, []).append(told)


def _log(path: Path) -> dict[str, Any]:
    """The journal so far; one that cannot be read is begun anew, as no record depends on it."""
    begun = {"size": "paper", "runs": [], "errors": {}}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return begun
    return found if isinstance(found, dict) and found.keys() == begun.keys() else begun


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror or error}; choose another") from error


def reproduced(paper: ModuleType, results: Path) -> Reproduced | None:
    """What is recorded of a paper at the size that was reproduced last; None if nothing was run."""
    log = _log(results / LOG.format(paper=stem(paper)))
    runs = [run for run in log["runs"] if run["size"] == log["size"]]
    parts = [_part(work, results, log["size"], log["errors"].get(work.id, ())) for work in works(paper)]
    claims, *experiments = parts
    if not claims.store:
        return None
    return Reproduced(stem(paper), paper.PAPER, claims, experiments, _facts(runs))


def _part(work: Work, results: Path, size: str, errors: Sequence[str]) -> Part:
    """What is recorded of one piece of work."""
    store = Store(results / work.id)
    if not (store.folder / "experiment.json").exists():
        return Part(work.id, None, frozenset(), 0, errors)
    try:
        every = jobs(work, size)
    except ImportError as error:  # recorded elsewhere, where its data are
        return Part(work.id, None, frozenset(), 0, [str(error)])
    missing = sum(not store.has(job.id, job.coordinates) for job in every)
    return Part(work.id, store, frozenset(job.id for job in every), missing, errors)


def _facts(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Wall time over all runs, as each may have done a part of the work, and where."""
    if not runs:
        return {}
    several = f" in {len(runs)} runs" if len(runs) > 1 else ""
    return {
        "size": runs[0]["size"],
        "wall time": f"{duration(sum(run['seconds'] for run in runs))}{several}",
        "machine": "; ".join(dict.fromkeys(run["machine"] for run in runs)),
    }
