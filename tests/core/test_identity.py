"""The identity of a case: its definition and the code behind it, nothing else."""

import importlib
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import toys

from hitherto.architectures.rnn import RNN
from hitherto.core import identity
from hitherto.core.claim import Case
from hitherto.core.identity import canonical, case_id, code_version

CLAIM = '''
from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import LINEAR_MEMORY_CAPACITY, Estimate
from hitherto.core.source import Paper, Source
from hitherto.measures import capacity

FACTOR = 2{factor_change}


def helper(case):
    """{docstring}"""
    return FACTOR * case.n{helper_change}


def measure(case):  # {comment}
    return Estimate(LINEAR_MEMORY_CAPACITY, float(helper(case)))


def unrelated():
    return 1{unrelated_change}


CLAIM = Claim("p.c", "says", Source(Paper("k", "t", ("A B",), 2000), "here"), LINEAR_MEMORY_CAPACITY, "==",
              lambda case: None, lambda case: measure(case){lambda_change}, measure, Case(None, n=1))
'''
CHANGES = ("factor_change", "helper_change", "lambda_change", "unrelated_change", "docstring", "comment")


@pytest.fixture
def version_of(tmp_path, monkeypatch):
    """The code version of a claim in a file with some of its text changed."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def made(**changes):
        name = f"planted_{next(count)}"
        (tmp_path / f"{name}.py").write_text(CLAIM.format(**dict.fromkeys(CHANGES, "") | changes))
        importlib.invalidate_caches()
        version = code_version(importlib.import_module(name).CLAIM)
        del sys.modules[name]
        return version

    return made


@pytest.mark.parametrize(
    "change", [{"factor_change": "+ 1"}, {"helper_change": " + 0"}, {"lambda_change": " or None"}], ids=str
)
def test_code_that_matters_changes_the_version(version_of, change):
    assert version_of(**change) != version_of()


@pytest.mark.parametrize("change", [{"docstring": "x"}, {"comment": "x"}, {"unrelated_change": " + 1"}, {}], ids=str)
def test_code_that_does_not_matter_does_not(version_of, change):
    assert version_of(**change) == version_of()


def test_modules_behind_a_claim_count():
    reached = identity._reached(Path(importlib.import_module("hitherto.papers.start_end").__file__))
    behind = {"measures.separation_rank", "theory.start_end", "theory._combinatorics", "architectures.wrappers"}
    assert {f"hitherto.{module}" for module in behind} <= reached
    assert not [m for m in reached if m.startswith(("hitherto.core", "hitherto.report"))]


def test_equal_definitions_have_one_identity():
    a = Case(RNN(1, 4), length=8, rate=0.1)
    assert case_id(toys.SQUARES, a) == case_id(toys.SQUARES, Case(RNN(1, 4), rate=np.float64(0.1), length=np.int64(8)))
    others = [
        Case(RNN(1, 5), length=8, rate=0.1),
        Case(RNN(1, 4, bias=False), length=8, rate=0.1),
        Case(RNN(1, 4), length=9, rate=0.1),
        Case(RNN(1, 4), length="8", rate=0.1),
        Case(None, length=8, rate=0.1),
    ]
    assert len({case_id(toys.SQUARES, case) for case in (a, *others)}) == 6
    assert case_id(replace(toys.SQUARES, version=2), a) != case_id(toys.SQUARES, a)
    assert case_id(replace(toys.SQUARES, id="toy.other"), a) != case_id(toys.SQUARES, a)


def test_canonical_values():
    assert canonical((1, 2.5, "a", None, True, Fraction(1, 3))) == [1, 2.5, "a", None, True, canonical(Fraction(1, 3))]
    assert canonical(float("inf")) == "inf"
    assert canonical({"b": 1, "a": range(2)}) == {"a": [0, 1], "b": 1}
    assert canonical(toys.odd_sum)["name"].endswith("toys.odd_sum")
    for value in (np.zeros(3), object(), lambda: None):
        with pytest.raises(ValueError, match="made of numbers, strings"):
            canonical(value)
