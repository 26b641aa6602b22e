"""What makes two cases the same: their full definition and the code that answers them."""

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

COMPUTING = ("theory", "measures", "architectures", "conversions", "tasks", "training")
ENGINE = "hitherto.core."  # its dataclasses describe, they do not compute


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
    if isinstance(value, Fraction | PurePath):
        return {"kind": "Fraction" if isinstance(value, Fraction) else "Path", "value": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": _name(type(value))} | {f.name: canonical(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, FunctionType) and "<" not in value.__qualname__:
        return {"kind": "function", "name": _name(value), "code": _digest(_used_by(value))}
    if isinstance(value, Mapping):
        return {str(k): canonical(value[k]) for k in sorted(value, key=str)}
    if isinstance(value, set | frozenset):
        return [canonical(v) for v in sorted(value)]
    if isinstance(value, Sequence):
        return [canonical(v) for v in value]
    raise ValueError(
        f"a case is made of numbers, strings, tuples and frozen dataclasses, found {type(value).__name__}; "
        "give the seed or the settings that make it instead"
    )


def case_id(ask: Any, case: Any) -> str:
    """Name of the record of `ask` (a claim or a measurement) at `case`: 32 hexadecimal digits."""
    settings = ("id", "version", "quantity", "relation", "rtol", "conjecture")
    asked = {name: canonical(getattr(ask, name)) for name in settings if hasattr(ask, name)}
    return _digest([json.dumps([asked, code_version(ask, case), canonical(case)], sort_keys=True)])[:32]


def code_version(ask: Any, case: Any = None) -> str:
    """Digest of the code that answers `ask`, at `case` if given.

    That is: the functions of `ask` with what they carry (defaults, closures, partial arguments), what they use in their
    own file, the classes of what the case is made of, and every module of ours that computes and that these files
    reach by imports, those inside functions too. Comments, docstrings and layout do not count; neither do the
    engine, the reports and the command line.

    Raises:
        ValueError: if a function carries what has no canonical form.
    """
    kinds = frozenset(kind for value in (*vars(ask).values(), case) for kind in _kinds(value))
    return _code_version(ask, kinds)


@cache
def _code_version(ask: Any, kinds: frozenset[type]) -> str:
    functions = [f for f in vars(ask).values() if callable(f)]
    texts = [text for f in functions for text in _carried(f, ask.id)]
    texts += sorted(text for kind in kinds for text in _class(kind))
    paths = {path for thing in (*functions, *kinds) if (path := _path(thing))}
    modules = sorted({module for path in paths for module in _reached(path)})
    return _digest(texts + [_written(_tree(_file(module))) for module in modules])[:16]


def _kinds(value: Any) -> Iterator[type]:
    """Classes of the dataclasses that a value is made of, as far as they compute and stand in a file."""
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        if not kind.__module__.startswith(ENGINE) and kind.__name__ in _definitions(_path(kind)):
            yield kind
        for field in fields(value):
            yield from _kinds(getattr(value, field.name))
    elif isinstance(value, tuple | list | frozenset):
        for part in value:
            yield from _kinds(part)


def _carried(function: Any, owner: str) -> list[str]:
    """The code of a function and the values that it carries with it."""
    if isinstance(function, functools.partial):
        return [*_carried(function.func, owner), _told([function.args, function.keywords], owner)]
    if isinstance(function, MethodType):
        return [*_carried(function.__func__, owner), _told(function.__self__, owner)]
    function = inspect.unwrap(function)
    if not isinstance(function, FunctionType):
        return [_told(function, owner), *_class(type(function))]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *cells]
    inner = [text for value in held if callable(value) and value is not function for text in _carried(value, owner)]
    return [*_used_by(function), *inner, *(_told(value, owner) for value in held if not callable(value))]


def _told(value: Any, owner: str) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    if value is np._NoValue:  # a default of NumPy's reductions, such as np.sum
        return repr(value)
    if isinstance(value, np.ndarray):
        return _digest([value.dtype.str, str(value.shape), value.tobytes().hex()])
    try:
        return json.dumps(canonical(value), sort_keys=True)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"a function of {owner} carries a {type(value).__name__}, by which its results cannot be told from others; "
            "give it what makes the value, or put that into the case"
        ) from error


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _path(thing: Any) -> Path | None:
    """The file in which a function or a class stands; None for one that was typed in."""
    while isinstance(thing, functools.partial | MethodType):
        thing = thing.func if isinstance(thing, functools.partial) else thing.__func__
    thing = inspect.unwrap(thing)
    thing = thing if isinstance(thing, FunctionType | type) else type(thing)
    try:
        path = Path(inspect.getfile(thing))
    except (TypeError, OSError):
        return None
    return path if path.is_file() else None


def _used_by(function: FunctionType) -> list[str]:
    """A function and all that it names in its own file, without comments; its bytecode where there is no file."""
    path = _path(function)
    if path is None:
        return [_bytecode(function.__code__)]
    first = function.__code__.co_firstlineno
    return _used(path, [node for node in ast.walk(_tree(path)) if _first_line(node) == first])


def _class(kind: type) -> list[str]:
    """A class and all that it names in its own file."""
    return _used(_path(kind), _definitions(_path(kind)).get(kind.__name__, []))


def _bytecode(code: CodeType) -> str:
    inner = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"


def _used(path: Path | None, start: list[ast.AST]) -> list[str]:
    """Parts of a file, and what they name in it, and so on."""
    defined, todo, texts = _definitions(path), list(start), set()
    while todo:
        node = todo.pop()
        if (text := ast.unparse(node)) not in texts:
            texts.add(text)
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            todo += [statement for name in names & defined.keys() for statement in defined[name]]
    return sorted(texts)


def _definitions(path: Path | None) -> dict[str, list[ast.AST]]:
    return _defined_in(_tree(path)) if path else {}


@cache
def _defined_in(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Top-level statements by the names that they make or change."""
    found: dict[str, list[ast.AST]] = {}
    for statement in tree.body:
        for name in _changed(statement):
            found.setdefault(name, []).append(statement)
    return found


def _changed(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    names: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()) | ast.Expr(value=ast.Call()):
                names |= _base(node.value if isinstance(node, ast.Subscript | ast.Attribute) else node.value.func)
    return names


def _base(node: ast.AST) -> set[str]:
    """The name at the left end of `name.a[b].c`."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _first_line(node: ast.AST) -> int | None:
    if isinstance(node, ast.FunctionDef):
        return min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.lineno if isinstance(node, ast.Lambda) else None


def _reached(path: Path) -> set[str]:
    """Modules of ours that compute and that the file reaches through imports."""
    found: set[str] = set()
    todo = [path]
    while todo:
        new = _imports(_tree(todo.pop())) - found
        found |= new
        todo += [_file(module) for module in new]
    return found


@cache
def _imports(tree: ast.Module) -> frozenset[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hitherto."):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.ImportFrom) and node.module == "hitherto":
            names |= {f"hitherto.{alias.name}" for alias in node.names}
    return frozenset(n for n in names if n.split(".")[1] in COMPUTING and _file(n).suffix == ".py")


@cache
def _written(tree: ast.Module) -> str:
    return ast.unparse(tree)


@cache
def _file(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # a name inside a module
        return Path()
    return Path(spec.origin) if spec and spec.origin else Path()


def _tree(path: Path) -> ast.Module:
    """The parsed file without docstrings; read again when it has changed, as after an edit in a notebook."""
    status = path.stat()
    return _parsed(path, status.st_mtime_ns, status.st_size)


@cache
def _parsed(path: Path, modified: int, size: int) -> ast.Module:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.FunctionDef() | ast.ClassDef() if ast.get_docstring(node, clean=False) is not None:
                node.body[:1] = [] if len(node.body) > 1 else [ast.Pass(lineno=node.body[0].lineno)]
    return tree
