"""Records as labelled arrays and tables, for xarray, netCDF, Parquet and CSV."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hitherto.core.store import Record, Store, stores

try:
    from xarray.backends import BackendEntrypoint
except ImportError:  # xarray is an extra; without it nobody asks for the engine
    BackendEntrypoint = object  # type: ignore[assignment, misc]

FORMATS = (".nc", ".parquet", ".csv")


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
    grid = _grid(records)
    made = xarray.Dataset(coords=grid, attrs={"experiment": store.name, "says": store.about()["says"]})
    for ask in dict.fromkeys(record.ask for record in records):
        name, answers = ask.rsplit(".", 1)[-1], [r for r in records if r.ask == ask]
        for variable, cells in _variables(answers).items():
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
    if path.suffix not in FORMATS:
        raise ValueError(
            f"results can be written as {', '.join(FORMATS)}, got {path.name}; choose one of these suffixes"
        )
    found = stores(folder)
    if path.suffix == ".nc":
        _needed("h5netcdf")
        for number, store in enumerate(found):
            made, mode = dataset(store), "w" if number == 0 else "a"
            made.to_netcdf(path, mode=mode, group=store.name, engine="h5netcdf")
        return
    whole = _needed("pandas").concat([table(store).assign(experiment=store.name) for store in found])
    if path.suffix == ".csv":
        whole.to_csv(path, index=False)
    else:
        _needed("pyarrow")
        whole.to_parquet(path, index=False)


Cell = tuple[dict[str, Any], Any, dict[str, list]]  # coordinates, value, own axes


def _variables(records: Sequence[Record]) -> dict[str, list[Cell]]:
    """What is known at each point, by variable."""
    cells: dict[str, list[Cell]] = {}
    for record in records:
        at = dict(record.coordinates)
        cells.setdefault("outcome", []).append((at, record.outcome, {}))
        cells.setdefault("seconds", []).append((at, record.seconds, {}))
        if record.predicted:
            cells.setdefault("predicted", []).append((at, record.predicted["value"], record.predicted["axes"]))
        for estimate in record.measured:
            stem = f"{estimate['quantity']}." if len(record.measured) > 1 else ""
            for key in ("value", "standard_error", "low", "high"):
                entry = (at, estimate[key], estimate["axes"])
                cells.setdefault(f"{stem}{'measured' if key == 'value' else key}", []).append(entry)
    return {name: entries for name, entries in cells.items() if any(value is not None for _, value, _ in entries)}


def _array(xarray: Any, grid: dict[str, list], cells: Sequence[Cell]) -> Any:
    """Cells at their places in the grid, missing ones NaN or ""."""
    own: dict[str, list] = {}
    for _, _, axes in cells:
        own |= {name: along for name, along in axes.items() if len(along) > len(own.get(name, ()))}
    text = isinstance(cells[0][1], str) and not own and cells[0][1] not in ("inf", "-inf", "nan")
    shape = [len(v) for v in (*grid.values(), *own.values())]
    values = np.full(shape, "", dtype="U16") if text else np.full(shape, np.nan)
    for at, value, _ in cells:
        place = tuple(along.index(at[name]) for name, along in grid.items())
        given = np.asarray(value if text else _floats(value))
        values[(*place, *(slice(n) for n in given.shape))] = given
    return xarray.DataArray(values, dims=[*grid, *own], coords=grid | own)


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return np.nan if value is None else float(value)


def _grid(records: Sequence[Record]) -> dict[str, list]:
    names = records[0].coordinates
    return {name: list(dict.fromkeys(_label(record.coordinates[name]) for record in records)) for name in names}


def _label(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


def _rows(record: Record) -> Iterable[dict[str, Any]]:
    told = [("predicted", record.predicted)] if record.predicted else []
    for role, estimate in [*told, *(("measured", e) for e in record.measured)]:
        for index in np.ndindex(np.shape(estimate["value"])):
            own = {name: along[i] for (name, along), i in zip(estimate["axes"].items(), index, strict=True)}
            numbers = {key: _at(estimate[key], index) for key in ("value", "standard_error", "low", "high")}
            facts = dict(ask=record.ask, outcome=record.outcome, role=role, quantity=estimate["quantity"])
            yield dict(record.coordinates) | facts | own | numbers | {"seconds": record.seconds}


def _at(value: Any, index: tuple[int, ...]) -> float:
    for i in index:
        value = value[i] if value is not None else None
    return _floats(value)


def _needed(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError as error:
        raise ImportError(f"this needs {package}; install it with `pip install hitherto[export]`") from error
