"""The intervals cover the truth as often as they say; the table in docs/coverage.md is made by the same code."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "coverage.py"


def experiment():
    """The experiment as a module."""
    spec = importlib.util.spec_from_file_location("coverage_experiment", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("index", range(8))
def test_intervals_cover_the_truth(index):
    module = experiment()
    system = module.systems()[index]
    for row in module.rows(system, module.SEEDS):
        assert row.exact or not row.asked or 0.90 <= row.coverage <= 0.98, row
