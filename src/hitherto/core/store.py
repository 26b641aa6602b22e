"""Results on disk: one file a case, written whole or not at all, readable without JAX.

    DIR/<experiment>/experiment.json     what was asked, and how to draw it
    DIR/<experiment>/cases/<id>.json     one record; its name is the identity of the case

Stores of the same experiment are merged by copying their files together.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hitherto.files import write

FORMAT = 1


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
        if (self.folder / "experiment.json").exists():
            self.about()
        _making(lambda: (self.folder / "cases").mkdir(parents=True, exist_ok=True), self.folder)
        _writing(self.folder / "experiment.json", dict(about) | {"format": FORMAT})
        return self

    def about(self) -> dict[str, Any]:
        """What the experiment is.

        Raises:
            ValueError: if this is not a store, or one of a newer version.
        """
        path = self.folder / "experiment.json"
        try:
            about = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.folder} holds no results: {path.name} cannot be read ({error})") from error
        if about.get("format", 0) > FORMAT:
            raise ValueError(
                f"{self.folder} was written by a newer hitherto (format {about['format']}, this one reads {FORMAT}); "
                "use that version, or another folder"
            )
        return about

    def has(self, id: str) -> bool:
        """Whether the case is recorded."""
        return _whole(self.folder / "cases" / f"{id}.json")

    def add(self, record: Record) -> None:
        """Write a record; the same one twice does no harm.

        Raises:
            ValueError: if there is no room or no permission; what was written before stays.
        """
        _writing(self.folder / "cases" / f"{record.id}.json", asdict(record))

    def records(self) -> list[Record]:
        """The newest record of every question at every point, in the order of the grid's values.

        A file that a power failure cut short is left out; its case will be computed again.
        """
        found = sorted(filter(None, map(_record, (self.folder / "cases").glob("*.json"))), key=lambda r: r.finished)
        newest = {(record.ask, json.dumps(dict(record.coordinates))): record for record in found}
        return sorted(newest.values(), key=lambda r: (r.ask, [_order(v) for v in r.coordinates.values()]))


def stores(folder: str | Path) -> list[Store]:
    """Every experiment's store in a folder.

    Raises:
        ValueError: if there is none.
    """
    found = [Store(path.parent) for path in sorted(Path(folder).glob("*/experiment.json"))]
    if not found:
        raise ValueError(f"{folder} holds no results; `hitherto run EXPERIMENT --out {folder}` makes some")
    return found


def _whole(path: Path) -> bool:
    """Whether a file ends as a record does: renaming is atomic, but a power failure may leave less than was renamed."""
    try:
        with path.open("rb") as file:
            file.seek(-1, 2)
            return file.read() == b"}"
    except OSError:
        return False


def _record(path: Path) -> Record | None:
    try:
        given = json.loads(path.read_text())
    except ValueError:
        return None
    if given.get("format", 0) > FORMAT:
        raise ValueError(f"{path} was written by a newer hitherto; use that version")
    return Record(**given | {"measured": tuple(given["measured"])})


def _order(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))


def _writing(path: Path, value: Mapping[str, Any]) -> None:
    _making(lambda: write(path, json.dumps(value).encode()), path)


def _making(action: Callable[[], Any], path: Path) -> None:
    try:
        action()
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror or error}; what was recorded before is safe, "
            "run again when there is room and permission"
        ) from error
