"""Cases, claims and verdicts."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import toys

from hitherto.architectures.rnn import RNN
from hitherto.core.claim import Case, NotCovered, agree, check, predict
from hitherto.core.quantity import LINEAR_MEMORY_CAPACITY, Estimate
from hitherto.core.source import Paper, Source, cite


def estimate(value, error=None, **fields):
    return Estimate(LINEAR_MEMORY_CAPACITY, value, standard_error=error, **fields)


def test_a_case_gives_its_settings_by_name():
    case = Case(RNN(1, 4), length=8, inputs="one-hot")
    assert (case.architecture.width, case.length, case.inputs) == (4, 8, "one-hot")
    assert case == Case(RNN(1, 4), inputs="one-hot", length=8)
    assert hash(case) == hash(pickle.loads(pickle.dumps(case)))
    assert "length=8" in str(case)
    with pytest.raises(AttributeError, match=r"no setting 'depth'; it has inputs, length"):
        _ = case.depth


def test_a_theorem_outside_its_hypotheses_gives_the_reason_and_no_number():
    case = toys.case(2000)
    with pytest.raises(NotCovered, match="2000 is above 1000"):
        predict(toys.SQUARES, case)
    verdict = check(toys.SQUARES, case)
    assert (verdict.outcome, verdict.reason, verdict.measured) == ("not covered", "2000 is above 1000", None)


def test_verdicts():
    assert check(toys.SQUARES, toys.case(5)).outcome == "holds"
    wrong = replace(toys.SQUARES, predict=lambda case: toys.square(toys.case(case.n + 1)))
    verdict = check(wrong, toys.case(5))
    assert verdict.outcome == "fails"
    assert verdict.reason == "measured 25 is not == predicted 36"
    open_ = replace(toys.SQUARES, measure=lambda case: estimate(25, cannot_tell="too few samples"))
    assert check(open_, toys.case(5)).outcome == "cannot tell"
    assert check(open_, toys.case(5)).reason == "too few samples"


@pytest.mark.parametrize(
    ("relation", "predicted", "measured", "holds"),
    [
        ("==", 3, 3, True),
        ("==", 10**200, 10**200 + 1, False),  # floats could not tell
        ("<=", 10**200, 10**200 + 1, False),
        (">=", 10**200, 10**200 + 1, True),
        ("==", 1.0, 1.0 + 1e-12, False),
        ("<=", np.array([1.0, 2.0]), np.array([1.0, 1.5]), True),
        ("<=", np.array([1.0, 2.0]), np.array([1.0, 2.5]), False),
        ("==", np.array([1.0, np.nan]), np.array([1.0, np.nan]), False),
    ],
)
def test_relations(relation, predicted, measured, holds):
    def made(value):
        return Estimate(toys.SPREAD, value, axes={"lag": np.arange(2)}) if np.ndim(value) else estimate(value)

    assert agree(made(predicted), made(measured), relation) == holds


def test_slack_is_four_standard_errors_and_the_relative_tolerance():
    assert agree(estimate(1.0), estimate(1.39, 0.1), "==")
    assert not agree(estimate(1.0), estimate(1.41, 0.1), "==")
    assert agree(estimate(1.0, 0.1), estimate(1.55, 0.1), "==")
    assert agree(estimate(100.0), estimate(100.9), "==", rtol=0.01)
    assert not agree(estimate(100.0), estimate(101.1), "==", rtol=0.01)


def test_citations():
    first = Paper("a2020", "A title", ("Ada Lovelace", "Alan Turing"), 2020, arxiv="2001.00001")
    second = Paper("b2021", "Another", ("Emmy Noether",), 2021, venue="A Conference")
    text = cite([Source(first, "Theorem 1"), Source(second, "our derivation"), Source(first, "Theorem 2")])
    assert text.count("@misc{a2020,") == 1
    assert "author = {Ada Lovelace and Alan Turing}" in text
    assert "@inproceedings{b2021," in text
    assert str(Source(first, "Theorem 1")) == "Lovelace and Turing (2020), Theorem 1"
