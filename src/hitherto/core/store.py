"""Results on disk: one file a case, written whole or not at all, readable without JAX.

    DIR/<experiment>/experiment.json           what was asked last, and how to draw it
    DIR/<experiment>/cases/<id>.<point>.json   one record: identity of the case, digest of its point in the grid

Stores of the same experiment are merged by copying their files together.
"""

import hashlib
import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hitherto.files import write

FORMAT = 1
CASE = re.compile(r"([0-9a-f]{32})\.[0-9a-f]{8}\.json")
LONG = 2**4096  # whole numbers from here on are written in hexadecimal: Python reads no longer decimals


@dataclass(frozen=True)
class Record:
    """One finished case: plain values only, so that it reads the same everywhere.

    Attributes:
        id: identity of the case, see `core.identity`.
        ask: id of the claim or measurement.
        coordinates: the point of the grid, by name.
        case: the full definition, canonical.
        outcome, reason: the verdict of a claim, "measured" for a measurement.
        predicted: the predicted estimate as a dictionary, or None.
        measured: the measured estimates.
        seconds: of the work itself.
        code: digest of the code that answered.
        versions: of hitherto, jax, numpy and Python.
        finished: UTC, ISO 8601.
        format: of the record.
    """

    id: str
    ask: str
    coordinates: Mapping[str, Any]
    case: Any
    outcome: str
    reason: str
    predicted: Mapping[str, Any] | None
    measured: tuple[Mapping[str, Any], ...]
    seconds: float
    code: str
    versions: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""
    format: int = FORMAT

    def to_json(self) -> str:
        """The record as text.

        Raises:
            TypeError: if a value is not plain.
        """
        return json.dumps(_hexed(asdict(self)))


@dataclass(frozen=True)
class Store:
    """The records of one experiment in a folder; several processes may use it at once."""

    folder: Path

    @property
    def name(self) -> str:
        """Id of the experiment."""
        return self.folder.name

    def open(self, about: Mapping[str, Any]) -> "Store":
        """Make the folder, or check that it can be used; `about` says what the experiment is.

        Raises:
            ValueError: if it cannot be written, or was written by a newer version.
        """
        _refuse_newer(self.folder, _read(self.folder / "experiment.json"))
        _safely(lambda: (self.folder / "cases").mkdir(parents=True, exist_ok=True), self.folder)
        _safely(lambda: write(self.folder / "experiment.json", json.dumps(dict(about) | {"format": FORMAT}).encode()))
        return self

    def about(self) -> dict[str, Any]:
        """What the experiment is.

        Raises:
            ValueError: if this is not a store, or one of a newer version.
        """
        about = _read(self.folder / "experiment.json")
        if not isinstance(about, dict) or not isinstance(about.get("format"), int):
            raise ValueError(
                f"{self.folder / 'experiment.json'} cannot be read; `hitherto run` writes it anew and keeps the cases"
            )
        _refuse_newer(self.folder, about)
        return about

    def has(self, id: str, coordinates: Mapping[str, Any]) -> bool:
        """Whether the case is recorded at this point."""
        return _record(self._path(id, coordinates)) is not None

    def ids(self) -> set[str]:
        """Cases that are recorded at some point."""
        return {match[1] for path in (self.folder / "cases").glob("*.json") if (match := CASE.fullmatch(path.name))}

    def placed(self, id: str, coordinates: Mapping[str, Any]) -> Record | None:
        """Record a finished case at one more point, for a grid that names its points anew; None if it is not there."""
        twins = filter(None, map(_record, (self.folder / "cases").glob(f"{id}.*.json")))
        twin = next(twins, None)
        if twin is not None:
            twin = replace(twin, coordinates=coordinates)
            self.add(twin)
        return twin

    def add(self, record: Record) -> None:
        """Write a record; the same one twice does no harm.

        Raises:
            ValueError: if there is no room or no permission; what was written before stays.
        """
        _safely(lambda: write(self._path(record.id, record.coordinates), record.to_json().encode()))

    def records(self, only: Container[str] | None = None) -> list[Record]:
        """The newest record of every question at every point, in the order of the grid's values.

        Points whose coordinates have other names than the last run's are left out, as are files that are no records,
        such as one that a power failure cut short; the case is computed again by the next run.

        Args:
            only: ids of the cases that count, if not all: the newest of a point may be of other code.
        """
        found = sorted(filter(None, map(_record, (self.folder / "cases").glob("*.json"))), key=lambda r: r.finished)
        try:
            names = self.about().get("coordinates")
        except ValueError:
            names = None
        asked = [r for r in found if only is None or r.id in only]
        shown = [r for r in asked if names is None or sorted(r.coordinates) == sorted(names)]
        newest = {(record.ask, json.dumps(dict(record.coordinates), sort_keys=True)): record for record in shown}
        return sorted(newest.values(), key=lambda r: (r.ask, [_order(v) for v in r.coordinates.values()]))

    def _path(self, id: str, coordinates: Mapping[str, Any]) -> Path:
        point = hashlib.sha256(json.dumps(dict(coordinates), sort_keys=True).encode()).hexdigest()[:8]
        return self.folder / "cases" / f"{id}.{point}.json"


def stores(folder: str | Path) -> list[Store]:
    """Every experiment's store in a folder, or the store that the folder is.

    Raises:
        ValueError: if there is none.
    """
    folder = Path(folder)
    if (folder / "experiment.json").exists():
        return [Store(folder)]
    found = [Store(path.parent) for path in sorted(folder.glob("*/experiment.json"))]
    if not found:
        raise ValueError(f"{folder} holds no results; `hitherto run EXPERIMENT --out {folder}` makes some")
    return found


def _read(path: Path) -> Any:
    """A JSON file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text(), object_hook=_unhexed)
    except (OSError, ValueError, RecursionError):
        return None


def _record(path: Path) -> Record | None:
    given = _read(path) if CASE.fullmatch(path.name) else None
    if not isinstance(given, dict):
        return None
    _refuse_newer(path, given)
    if given.keys() != {f.name for f in fields(Record)} or not _plausible(given):
        return None
    return Record(**given | {"measured": tuple(given["measured"])})


def _plausible(given: Mapping[str, Any]) -> bool:
    estimates = [given["predicted"] or {}, *(given["measured"] if isinstance(given["measured"], list) else [None])]
    texts = [given[name] for name in ("id", "ask", "outcome", "reason", "code", "finished")]
    return (
        all(isinstance(value, dict) for value in (given["coordinates"], given["versions"], *estimates))
        and all(isinstance(text, str) for text in texts)
        and isinstance(given["seconds"], int | float)
    )


def _refuse_newer(path: Path, given: Any) -> None:
    form = given.get("format") if isinstance(given, dict) else None
    if isinstance(form, int) and form > FORMAT:
        raise ValueError(
            f"{path} was written by a newer hitherto (format {form}, this one reads {FORMAT}); use that version, or "
            "another folder"
        )


def _hexed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _hexed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_hexed(v) for v in value]
    return {"hexadecimal": hex(value)} if isinstance(value, int) and abs(value) >= LONG else value


def _unhexed(given: dict[str, Any]) -> Any:
    return int(given["hexadecimal"], 16) if given.keys() == {"hexadecimal"} else given


def _order(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))


def _safely(action: Callable[[], Any], path: Path | None = None) -> None:
    try:
        action()
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    except ValueError as error:
        raise ValueError(f"{error}; what was recorded before is safe, and the same run goes on from there") from error
