"""`hitherto reproduce`: claims and experiments of papers, and the site of what was found."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from hitherto.core.experiment import Failure, Work
from hitherto.core.store import Record
from hitherto.reproducing import chosen, reproduce, reproduced
from hitherto.terminal.experiments import FAILED, in_words, mapper, progress


def reproduce_papers(
    paper: str, size: str, folders: tuple[Path, Path], workers: int | None, scheduler: str | None
) -> int:
    """Run to the end, showing progress piece by piece; without workers or a scheduler on all cores, if Dask is there.

    Args:
        folders: of the records, and of the site.
    Returns:
        Exit status: 1 if a claim fails or a case could not be computed, now or when it was recorded.
    Raises:
        ValueError: for an unknown paper or size, or folders that cannot be used.
    """
    chosen(paper)  # before workers are started
    outcomes: Counter[str] = Counter()

    @contextmanager
    def watch(work: Work, cases: int, missing: int) -> Iterator[Callable[[Record | Failure], None]]:
        print(f"{work.id}, {size}: {cases} cases, {cases - missing} recorded, {missing} to do", flush=True)
        with progress(missing) as advance:

            def seen(result: Record | Failure) -> None:
                outcome = result.outcome if isinstance(result, Record) else "error"
                outcomes[outcome] += 1
                if outcome in ("fails", "error"):
                    print(f"! {in_words(result)}", flush=True)
                advance(in_words(result))

            yield seen

    if workers is None and scheduler is None and find_spec("distributed"):
        workers = os.cpu_count()
    results, out = folders
    with mapper(workers, scheduler) as map_jobs:
        index = reproduce(paper, out, results=results, size=size, map_jobs=map_jobs, watch=watch)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()) or "nothing to do")
    print(f"Site: {index}")
    return FAILED if any(_wanting(one, results) for one in chosen(paper)) else 0


def _wanting(paper: ModuleType, results: Path) -> bool:
    """Whether a case of a paper fails or is missing."""
    found = reproduced(paper, results)
    return found is None or any(part.wanting for part in (found.claims, *found.experiments))
