"""Settings that all tests share."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# two test processes share the cores; what runs for milliseconds need not be optimised for seconds
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0")

import hypothesis
import jax
import pytest

# compiled functions are kept for the next run and for the other process
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
hypothesis.settings.register_profile("tests", deadline=None)  # the first example of a test compiles
hypothesis.settings.load_profile("tests")
ORACLES = Path(__file__).parent / "oracles"


def oracle(name: str) -> Any:
    """The exact vectors of one specification."""
    return json.loads((ORACLES / f"{name}_oracles.json").read_text())


def thinned(cases: Iterable[Any], every: int) -> list[Any]:
    """One in so many cases in every run, the others marked slow: where each compiles for seconds."""
    return [pytest.param(case, marks=[pytest.mark.slow] * (at % every > 0)) for at, case in enumerate(cases)]


@pytest.fixture(scope="session")
def measures_oracle() -> Any:
    return oracle("measures")


@pytest.fixture(scope="session")
def formats_oracle() -> Any:
    return oracle("formats")


COMPILED = 250  # tests after which compiled functions are let go: thousands of them use up the mappings of a process
_ended = 0


def pytest_runtest_teardown() -> None:
    global _ended
    _ended += 1
    if _ended % COMPILED == 0:
        jax.clear_caches()
