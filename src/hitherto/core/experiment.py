"""Experiments as data: claims and measurements over a grid, run to records that resume."""

import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hitherto.core.claim import Case, Claim, Measurement, Verdict, check
from hitherto.core.identity import canonical, case_id, code_version
from hitherto.core.model import precision
from hitherto.core.names import known
from hitherto.core.quantity import Estimate
from hitherto.core.store import Record, Store

Ask = Claim | Measurement
SIZES = ("ci", "paper", "cluster")
AT = "at"  # coordinate of a claim's own cases


@dataclass(frozen=True)
class Plot:
    """How the records are drawn: theory as lines, measurement as points.

    Attributes:
        x: the coordinate along the axis.
        by: coordinates that tell one curve from another; those that are left are averaged over.
        x_label: with its unit.
        log_y: whether the value's axis is logarithmic.
    """

    x: str
    by: tuple[str, ...] = ()
    x_label: str = ""
    log_y: bool = False


@dataclass(frozen=True)
class Experiment:
    """Claims and measurements over a grid of cases.

    Attributes:
        id: `<paper>.<name>`.
        says: what it shows.
        asks: what is checked and measured at each point.
        case: coordinates -> case, or None where the grid has no point.
        grid: values by coordinate.
        sizes: changed values by size: `ci` takes seconds, `paper` minutes to hours, `cluster` more.
        plot: how to draw it.
        settings: whose they are, and where they differ from the paper's.

    Raises:
        ValueError: if the id could not be the name of a folder.
    """

    id: str
    says: str
    asks: tuple[Ask, ...]
    case: Callable[..., Case | None]
    grid: Mapping[str, Sequence[Any]]
    sizes: Mapping[str, Mapping[str, Sequence[Any]]]
    plot: Plot
    settings: str = "our settings"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.id):
            raise ValueError(
                f"an experiment is called by letters, digits, dots, dashes and underscores, got {self.id!r:.60}; its "
                "id is also the name of its folder"
            )


@dataclass(frozen=True)
class Checks:
    """Claims at their own cases, to be recorded as an experiment is.

    Attributes:
        id: `<paper>.claims`.
        says: what they are about.
        asks: the claims; `ci` asks each at its smallest case, other sizes at the larger ones too.
    """

    id: str
    says: str
    asks: tuple[Claim, ...]


Work = Experiment | Checks


class Job(NamedTuple):
    """One question at one point of the grid."""

    id: str
    ask: Ask
    coordinates: dict[str, Any]
    case: Case
    code: str


@dataclass(frozen=True)
class Failure:
    """A case that raised; nothing is recorded, so that the next run tries again."""

    ask: str
    coordinates: Mapping[str, Any]
    error: str


def jobs(work: Work, size: str = "ci") -> list[Job]:
    """Every question at every point of the grid; claims only where their hypotheses hold.

    Raises:
        ValueError: for an unknown size, a size that changes what the grid does not have, or an empty grid.
    """
    return [
        Job(case_id(ask, case), ask, canonical(point), case, code_version(ask, case))
        for point, case, ask in _questions(work, size)
    ]


def planned(work: Work, size: str = "ci") -> int:
    """How many `jobs` there are.

    Raises:
        ValueError: as for `jobs`.
    """
    return len(_questions(work, size))


def _questions(work: Work, size: str) -> list[tuple[dict[str, Any], Case, Ask]]:
    return _own_cases(work, size) if isinstance(work, Checks) else _on_grid(work, size)


def _own_cases(checks: Checks, size: str) -> list[tuple[dict[str, Any], Case, Ask]]:
    """Claims with their cases, which have numbers for the sake of their order."""
    known(size, SIZES, f"size of {checks.id}")
    return [
        ({"case": number, AT: str(case)}, case, claim)
        for claim in checks.asks
        for number, case in enumerate((claim.smallest, *(() if size == "ci" else claim.larger)))
    ]


def _on_grid(experiment: Experiment, size: str) -> list[tuple[dict[str, Any], Case, Ask]]:
    """Points of the grid with their case and what is asked there."""
    known(size, experiment.sizes, f"size of {experiment.id}")
    if len({ask.id for ask in experiment.asks}) < len(experiment.asks):
        raise ValueError(f"two questions of {experiment.id} have the same id; give each its own")
    changed = experiment.sizes[size]
    for name in changed:
        known(name, experiment.grid, f"coordinate of {experiment.id}")
    grid = {name: tuple(changed.get(name, values)) for name, values in experiment.grid.items()}
    if empty := [name for name, values in grid.items() if not values]:
        raise ValueError(f"the grid of {experiment.id} is empty: no values for {', '.join(empty)}; give one at least")
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    placed = [(point, case) for point in points if (case := experiment.case(**point)) is not None]
    return [(point, case, ask) for point, case in placed for ask in experiment.asks if _covered(ask, case)]


def _covered(ask: Ask, case: Case) -> bool:
    try:
        return isinstance(ask, Measurement) or not ask.hypotheses(case)
    except Exception:  # told as a failure of this case when it is its turn
        return True


def run(
    work: Work,
    out: str | Path,
    size: str = "ci",
    *,
    map_jobs: Callable[[Iterator[Job]], Iterator[Record | Failure]] | None = None,
) -> Iterator[Record | Failure]:
    """Compute what is missing in the folder `out`, and yield each result once it is safe on disk.

    Cases that are recorded for the same definition and the same code are skipped. Whatever is killed, at most the
    cases in flight are lost.

    Args:
        map_jobs: jobs -> results in any order; one after the other in this process if not given. See
            `core.cluster` for worker processes.
    Raises:
        ValueError: for a grid that makes no sense, or a folder that cannot be written or is of a newer version.
    """
    wanted = jobs(work, size)
    coordinates = ["case", AT] if isinstance(work, Checks) else list(work.grid)
    plan = {"planned": {"size": size, "cases": len(wanted)}, "coordinates": coordinates}
    store = Store(Path(out).resolve() / work.id).open(described(work) | plan)
    recorded = store.ids()
    missing = (job for job in wanted if not _recorded(store, job, recorded))
    for result in (map_jobs or _one_by_one)(missing):
        if isinstance(result, Record):
            store.add(result)
            recorded.add(result.id)
        yield result


def _recorded(store: Store, job: Job, recorded: set[str]) -> bool:
    """Whether a case need not be computed; asked when it is its turn, as another run may share the folder."""
    if store.has(job.id, job.coordinates):
        return True
    return job.id in recorded and store.placed(job.id, job.coordinates) is not None


def answer(job: Job) -> Record | Failure:
    """Answer one question; whatever goes wrong is a `Failure`, so that one bad case does not end the others."""
    try:
        record = _answered(job)
        record.to_json()  # what cannot be written must not end the run later
    except (Exception, SystemExit) as error:
        return Failure(job.ask.id, job.coordinates, told(error))
    return record


def where(result: Record | Failure) -> str:
    """The point of the grid in words, or the case of a claim."""
    point = result.coordinates
    return point.get(AT) or ", ".join(f"{name}={value}" for name, value in point.items())


def told(error: BaseException) -> str:
    """An exception in words, even one that has none."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _answered(job: Job) -> Record:
    started = time.perf_counter()
    verdict, measured = _asked(job.ask, job.case)
    return Record(
        id=job.id,
        ask=job.ask.id,
        coordinates=job.coordinates,
        case=canonical(job.case),
        outcome=verdict.outcome if verdict else "measured",
        reason=verdict.reason if verdict else "",
        predicted=verdict.predicted.to_dict() if verdict and verdict.predicted else None,
        measured=tuple(estimate.to_dict() for estimate in measured),
        seconds=time.perf_counter() - started,
        code=job.code,
        versions=_versions(),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def described(work: Work) -> dict[str, Any]:
    """What a report must know of an experiment, as plain values."""
    drawn = {} if isinstance(work, Checks) else {"plot": canonical(work.plot), "settings": work.settings}
    return {"id": work.id, "says": work.says, "asks": {ask.id: _described(ask) for ask in work.asks}} | drawn


def _described(ask: Ask) -> dict[str, Any]:
    if isinstance(ask, Measurement):
        return {"says": ask.says}
    return {
        "says": ask.says,
        "source": str(ask.source),
        "ours": ask.source.ours,
        "relation": ask.relation,
        "quantity": ask.quantity.name,
    }


def _asked(ask: Ask, case: Case) -> tuple[Verdict | None, tuple[Estimate, ...]]:
    if isinstance(ask, Claim):
        verdict = check(ask, case)
        return verdict, (verdict.measured,) if verdict.measured else ()
    with precision(np.float64):
        found = ask.measure(case)
    estimates = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(estimate, Estimate) for estimate in estimates):
        raise TypeError(f"{ask.id} must give an Estimate or a tuple of them, and gave {found!r:.60}")
    return None, estimates


def _one_by_one(missing: Iterator[Job]) -> Iterator[Record | Failure]:
    return map(answer, missing)


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("hitherto", "jax", "numpy")} | {"python": platform.python_version()}
