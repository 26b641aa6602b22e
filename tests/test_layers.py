"""Imports point one way: core, then architectures, then measures; report knows core alone; the rest joins them."""

import ast
from pathlib import Path

import pytest

import hitherto

ROOT = Path(hitherto.__file__).parent
MAY_IMPORT = {
    "core": {"files"},
    "theory": {"core"},
    "files": set(),
    "inputs": set(),
    "architectures": {"core", "files"},
    "measures": {"core", "architectures"},
    "constructions": {"core", "theory", "architectures"},
    "conversions": {"core", "theory", "architectures"},
    "tasks": {"core", "inputs"},
    "training": {"core", "theory", "architectures", "tasks", "files"},
    "papers": {"core", "theory", "architectures", "measures", "tasks", "training", "inputs"}
    | {"constructions", "conversions"},
    "report": {"core"},
    "embedded": {"core", "architectures", "inputs"},
    "profiling": {"core", "theory", "architectures", "measures", "report", "files", "inputs"},
    "comparing": {"core", "files", "profiling", "report"},
    "reproducing": {"core", "papers", "report", "files"},
    "advice": {"core", "theory", "architectures", "measures", "tasks", "training", "report"},
    "explorer": {"core", "theory", "report"},
    "terminal": {"core", "theory", "architectures", "measures", "report", "embedded", "files"}
    | {"inputs", "papers", "profiling", "comparing", "reproducing", "advice", "constructions", "conversions"}
    | {"explorer"},
    "cli": {"terminal"},
    "examples": {"core", "theory", "measures", "tasks", "report", "inputs", "advice"},
    "__init__": {"core", "architectures", "embedded", "measures", "profiling", "training"}
    | {"advice", "comparing", "constructions", "conversions", "reproducing"},
}


def imported(path: Path) -> set[str]:
    """First folder or module of ours that each import names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "hitherto":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hitherto."):
            names.add(node.module.split(".")[1])
    return names


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert imported(path) <= MAY_IMPORT[own] | {own}


def test_a_planted_breach_is_seen(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from hitherto.measures.lyapunov import lyapunov\n")
    assert not imported(planted) <= MAY_IMPORT["report"]
