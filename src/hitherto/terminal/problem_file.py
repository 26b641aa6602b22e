"""A problem of the mean-field theory from a TOML file: the attributes of `Problem` by their names."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from hitherto.core.names import known
from hitherto.inputs import load_array
from hitherto.theory.mean_field import Problem

OF_INPUTS = ("inputs", "labels", "steps", "times")
SETTINGS = tuple(field.name for field in fields(Problem) if field.name not in ("kernel", "times", "labelled", "labels"))


def read_problem(path: Path) -> Problem:
    """The problem that a file describes.

    Keys are `labels` (rows of numbers, one for each pattern, or the name of a .npy file), `inputs` (the name of a .npy
    file), `steps`, `times`, and the settings of `Problem` by their names. Inputs (pattern, time, feature) are given at
    every time, and labels that are nan are not given. Inputs (pattern, feature), or none for orthogonal patterns, are
    given at the first of `times` alone, and labels at the `steps`. Names of files start from the folder of the TOML.

    Raises:
        ValueError: if the file cannot be read, holds an unknown key, or lacks one.
    """
    given = _toml(path)
    for key in given:
        known(key, (*OF_INPUTS, *SETTINGS), f"key of a problem ({path})")
    if "labels" not in given:
        raise ValueError(f"{path} has no labels; give a row of numbers for each pattern, or the name of a .npy file")
    arrays = {name: _array(name, given[name], path) for name in ("inputs", "labels") if name in given}
    settings = {name: _setting(name, given[name], path) for name in SETTINGS if name in given}
    if arrays.get("inputs", np.zeros(0)).ndim == 3:
        return _sequences(path, given, arrays, settings)
    return _pulse(path, given, arrays, settings)


def _sequences(path: Path, given: dict, arrays: dict[str, np.ndarray], settings: dict) -> Problem:
    for key in ("steps", "times"):
        if key in given:
            raise ValueError(f"{path} gives {key} beside inputs at every time, whose labels say it; leave {key} out")
    return Problem.sequences(arrays["inputs"], arrays["labels"], **settings)


def _pulse(path: Path, given: dict, arrays: dict[str, np.ndarray], settings: dict) -> Problem:
    for key in ("steps", "times"):
        if key not in given:
            raise ValueError(f"{path} has no {key}; inputs at the first time alone need the labelled steps and times")
    if not isinstance(given["steps"], list):
        raise ValueError(f"{path} gives steps = {given['steps']!r}; give a list of times, counted from 0")
    times, steps = _whole("times", given["times"], path), tuple(_whole("steps", one, path) for one in given["steps"])
    return Problem.pulse(arrays["labels"], steps, times, inputs=arrays.get("inputs"), **settings)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name a TOML file of a problem") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML ({error}); write `key = value` lines") from error


def _array(name: str, given: object, path: Path) -> np.ndarray:
    if isinstance(given, str):
        array = load_array(path.parent / given)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{path} gives {name} in {given}, which holds {array.dtype}; save real numbers")
        return array.astype(float)
    try:
        rows = np.array(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} gives {name} that are no table of numbers; give rows of one length") from error
    if rows.ndim != 2:
        raise ValueError(f"{path} gives {name} of shape {rows.shape}; give a row of numbers for each pattern")
    return rows


def _setting(name: str, given: object, path: Path) -> Any:
    if name == "activation":
        return str(given)
    if name == "width":
        return _whole(name, given, path)
    if name == "shared" and isinstance(given, list):
        rows = [row if isinstance(row, list) else [row] for row in given]
        if not all(isinstance(one, bool) for row in rows for one in row) or len({*map(len, rows)}) > 1:
            raise ValueError(f"{path} gives shared = {given!r}; give true, false, or a row of them for each time")
        return np.array(rows)
    if name.startswith("shared"):
        if not isinstance(given, bool):
            raise ValueError(f"{path} gives {name} = {given!r}; give true or false")
        return given
    if isinstance(given, bool) or not isinstance(given, float | int):
        raise ValueError(f"{path} gives {name} = {given!r}; give a number")
    return given


def _whole(name: str, given: object, path: Path) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"{path} gives {name} = {given!r}; give a whole number")
    return given
