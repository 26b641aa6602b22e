"""What makes two cases the same: their full definition and the code that answers them."""

import ast
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

COMPUTING = ("theory", "measures", "architectures", "conversions", "tasks", "training")


def canonical(value: Any) -> Any:
    """A value as JSON that is the same for equal values: dataclasses with their kind, mappings sorted.

    Raises:
        ValueError: for what has no such form: arrays, open objects, functions without a name of their own.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, np.generic):
        return canonical(value.item())
    if isinstance(value, Fraction):
        return {"kind": "Fraction", "value": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": _name(type(value))} | {f.name: canonical(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, FunctionType) and "<" not in value.__qualname__:
        return {"kind": "function", "name": _name(value), "code": _digest(_used(value))}
    if isinstance(value, Mapping):
        return {str(k): canonical(value[k]) for k in sorted(value, key=str)}
    if isinstance(value, Sequence | set | frozenset):
        return [canonical(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    raise ValueError(
        f"a case is made of numbers, strings, tuples and frozen dataclasses, found {type(value).__name__}; "
        "give the seed or the settings that make it instead"
    )


def case_id(ask: Any, case: Any) -> str:
    """Name of the record of `ask` (a claim or a measurement) at `case`: 32 hexadecimal digits."""
    definition = {"ask": ask.id, "version": ask.version, "code": code_version(ask), "case": canonical(case)}
    return _digest([json.dumps(definition, sort_keys=True)])[:32]


@cache
def code_version(ask: Any) -> str:
    """Digest of the code that answers: the functions of `ask`, what they use in their own file, and every module of
    ours that computes and that this file reaches by imports, those inside functions too.

    Comments, docstrings and layout do not count; neither do the engine, the reports and the command line.
    """
    functions = [f for f in vars(ask).values() if isinstance(f, FunctionType)]
    own = [text for f in functions for text in _used(f)]
    paths = {Path(inspect.getfile(f)) for f in functions}
    modules = sorted({module for path in paths for module in _reached(path)})
    return _digest(own + [_text(_tree(Path(_file(m)))) for m in modules])[:16]


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _used(function: FunctionType) -> list[str]:
    """A function and all that it names in its own file, as text without comments."""
    body = _tree(Path(inspect.getfile(function))).body
    defined = {name: node for node in body for name in _defines(node)}
    todo = [n for statement in body for n in ast.walk(statement) if _first_line(n) == function.__code__.co_firstlineno]
    texts: dict[str, None] = {}
    while todo:
        node = todo.pop()
        if _text(node) not in texts:
            texts[_text(node)] = None
            todo += [defined[n.id] for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in defined]
    return sorted(texts)


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [t.id for t in targets if isinstance(t, ast.Name)]


def _first_line(node: ast.AST) -> int | None:
    if isinstance(node, ast.FunctionDef):
        return min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.lineno if isinstance(node, ast.Lambda) else None


def _reached(path: Path) -> set[str]:
    """Modules of ours that compute and that the file reaches through imports."""
    found: set[str] = set()
    todo = [path]
    while todo:
        new = _imports(todo.pop()) - found
        found |= new
        todo += [Path(_file(module)) for module in new]
    return found


@cache
def _imports(path: Path) -> frozenset[str]:
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hitherto."):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.ImportFrom) and node.module == "hitherto":
            names |= {f"hitherto.{alias.name}" for alias in node.names}
    return frozenset(n for n in names if n.split(".")[1] in COMPUTING and _file(n).endswith(".py"))


@cache
def _file(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # a name inside a module
        return ""
    return (spec.origin or "") if spec else ""


@cache
def _tree(path: Path) -> ast.Module:
    """The parsed file without docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.FunctionDef() | ast.ClassDef() if ast.get_docstring(node, clean=False) is not None:
                node.body[0] = ast.Pass(lineno=node.body[0].lineno)
    return tree


def _text(node: ast.AST) -> str:
    return ast.unparse(node)
