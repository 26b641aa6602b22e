"""Records as labelled arrays and tables, for xarray, netCDF, Parquet and CSV."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hitherto.core.store import Record, Store, stores
from hitherto.files import replacing

try:
    from xarray.backends import BackendEntrypoint
except ImportError:  # xarray is an extra; without it nobody asks for the engine
    BackendEntrypoint = object  # type: ignore[assignment, misc]

NUMBERS = ("value", "standard_error", "low", "high")
TAKEN = ("ask", "outcome", "role", "quantity", "part", "seconds", "experiment", *NUMBERS)  # columns of a table


class HithertoBackend(BackendEntrypoint):
    """`xarray.open_dataset(DIR / EXPERIMENT, engine="hitherto")`; a store is recognised without naming the engine."""

    description = "Results of hitherto experiments"

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None) -> Any:
        """The records of one experiment, see `dataset`."""
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return dataset(Store(Path(filename_or_obj))).drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is the folder of an experiment."""
        return isinstance(filename_or_obj, str | os.PathLike) and (Path(filename_or_obj) / "experiment.json").exists()


def dataset(store: Store) -> Any:
    """The records of an experiment as an `xarray.Dataset` over the coordinates of its grid.

    For every claim and measurement: `<name>.predicted`, `<name>.measured`, `.standard_error`, `.low`, `.high` (with the
    quantity's name where one measurement gives several), `.outcome` and `.seconds`. Values with axes of their own
    get a dimension for each, padded with NaN; whole numbers beyond 2^53 are rounded to floats.

    Raises:
        ValueError: if there is no record yet.
        ImportError: without xarray.
    """
    xarray = _needed("xarray")
    records = store.records()
    if not records:
        raise ValueError(f"{store.folder} has no finished case yet; run the experiment first")
    grid = Grid(records)
    made = xarray.Dataset(coords=grid.labels, attrs={"experiment": store.name, "says": store.about()["says"]})
    asks = list(dict.fromkeys(record.ask for record in records))
    short = [ask.rsplit(".", 1)[-1] for ask in asks]
    for ask, last in zip(asks, short, strict=True):
        name = last if short.count(last) == 1 else ask
        for variable, cells in _variables([r for r in records if r.ask == ask]).items():
            made[f"{name}.{variable}"] = _array(xarray, grid, cells)
    return made


def table(store: Store) -> Any:
    """One row a number, as a `pandas.DataFrame`: coordinates, ask, role, quantity, its own axes, value and its doubt.

    Raises:
        ImportError: without pandas.
    """
    return _needed("pandas").DataFrame([row for record in store.records() for row in _rows(record)])


def export(folder: str | Path, path: str | Path) -> None:
    """Write the results in `folder` to `path`: netCDF (`.nc`, one group an experiment), Parquet or CSV (long tables).

    Raises:
        ValueError: for another suffix, or a folder without results.
        ImportError: without the package that writes the format.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(
            f"results can be written as {', '.join(WRITERS)}, got {path.name}; choose one of these suffixes"
        )
    found = [store for store in stores(folder) if store.records()]
    if not found:
        raise ValueError(f"{folder} has no finished case yet; run an experiment first")
    with replacing(path) as temporary:
        WRITERS[path.suffix](found, temporary)


def _export_arrays(found: Sequence[Store], path: Path) -> None:
    _needed("h5netcdf")
    for number, store in enumerate(found):
        dataset(store).to_netcdf(path, mode="a" if number else "w", group=store.name, engine="h5netcdf")


def _export_csv(found: Sequence[Store], path: Path) -> None:
    _whole(found).to_csv(path, index=False)


def _export_parquet(found: Sequence[Store], path: Path) -> None:
    _needed("pyarrow")
    whole = _whole(found)
    mixed = [name for name, column in whole.items() if len({type(v) for v in column.dropna()}) > 1]
    whole.astype(dict.fromkeys(mixed, str)).to_parquet(path, index=False)


def _whole(found: Sequence[Store]) -> Any:
    return _needed("pandas").concat([table(store).assign(experiment=store.name) for store in found])


WRITERS = {".nc": _export_arrays, ".parquet": _export_parquet, ".csv": _export_csv}


class Grid:
    """The points of an experiment as labelled axes.

    Attributes:
        labels: values along each coordinate: numbers or texts as they are, anything else as JSON.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._keys = {
            name: list(dict.fromkeys(json.dumps(r.coordinates[name]) for r in records))
            for name in records[0].coordinates
        }
        self.labels = {name: labels([json.loads(key) for key in keys]) for name, keys in self._keys.items()}

    def place(self, coordinates: Mapping[str, Any]) -> tuple[int, ...]:
        """Where a point stands along each axis."""
        return tuple(keys.index(json.dumps(coordinates[name])) for name, keys in self._keys.items())


def labels(values: Sequence[Any]) -> list[Any]:
    """Values of one coordinate as an index can hold them, all of one type."""
    numbers = [float(v) if v in ("inf", "-inf", "nan") else v for v in values]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        return numbers
    simple = len({type(v) for v in values}) == 1 and isinstance(values[0], str | bool)
    return list(values) if simple else [_text(v) for v in values]


def _text(value: Any) -> str:
    return value["value"] if isinstance(value, dict) and value.get("kind") == "Fraction" else json.dumps(value)


Cell = tuple[Mapping[str, Any], Any, Mapping[str, list]]  # coordinates, value, own axes


def _variables(records: Sequence[Record]) -> dict[str, list[Cell]]:
    """What is known at each point, by variable."""
    cells: dict[str, list[Cell]] = {}
    for record in records:
        at = record.coordinates
        cells.setdefault("outcome", []).append((at, record.outcome, {}))
        cells.setdefault("seconds", []).append((at, record.seconds, {}))
        if record.predicted:
            cells.setdefault("predicted", []).append((at, record.predicted["value"], record.predicted["axes"]))
        several = len({e["quantity"] for e in record.measured}) > 1
        for estimate in record.measured:
            stem = f"{estimate['quantity']}." * several + f"{estimate['part']}." * bool(estimate["part"])
            for key in NUMBERS:
                entry = (at, estimate[key], estimate["axes"])
                cells.setdefault(f"{stem}{'measured' if key == 'value' else key}", []).append(entry)
    return {name: entries for name, entries in cells.items() if any(value is not None for _, value, _ in entries)}


def _array(xarray: Any, grid: Grid, cells: Sequence[Cell]) -> Any:
    """Cells at their places in the grid and along their own axes; NaN or "" where there is none."""
    names = list(dict.fromkeys(name for _, _, axes in cells for name in axes))
    own = {name: sorted({c for _, _, axes in cells for c in axes.get(name, ())}) for name in names}
    text = isinstance(cells[0][1], str) and cells[0][1] not in ("inf", "-inf", "nan")
    shape = [len(v) for v in (*grid.labels.values(), *own.values())]
    values = np.full(shape, "", dtype="U16") if text else np.full(shape, np.nan)
    for at, value, axes in cells:
        place = grid.place(at)
        if names:
            values[place][np.ix_(*([own[name].index(c) for c in axes[name]] for name in names))] = _floats(value)
        else:
            values[place] = value if text else _floats(value)
    beside = {_beside(name, grid.labels): along for name, along in own.items()}
    return xarray.DataArray(values, dims=[*grid.labels, *beside], coords=grid.labels | beside)


def _beside(name: str, taken: Iterable[str]) -> str:
    """A name that no coordinate of the grid has."""
    return f"{name}_" if name in taken else name


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(v) for v in value]
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _rows(record: Record) -> Iterable[dict[str, Any]]:
    told = [("predicted", record.predicted)] if record.predicted else []
    for role, estimate in [*told, *(("measured", e) for e in record.measured)]:
        facts = dict(ask=record.ask, outcome=record.outcome, role=role)
        facts |= {key: estimate[key] for key in ("quantity", "part")} | {"seconds": record.seconds}
        at = {_beside(name, TAKEN): _label(value) for name, value in record.coordinates.items()}
        for index in np.ndindex(np.shape(estimate["value"])):
            places = zip(estimate["axes"].items(), index, strict=True)
            own = {_beside(name, (*TAKEN, *at)): along[i] for (name, along), i in places}
            yield at | facts | own | {key: _at(estimate[key], index) for key in NUMBERS}


def _label(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else _text(value)


def _at(value: Any, index: tuple[int, ...]) -> float:
    for i in index:
        value = value[i] if value is not None else None
    return _floats(value)


def _needed(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError as error:
        raise ImportError(f"this needs {package}; install it with `pip install hitherto[export]`") from error
