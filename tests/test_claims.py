"""Every claim of every paper on its smallest case, and every experiment at size ci."""

import pytest

from hitherto.core.claim import check
from hitherto.core.experiment import Failure, Record, run
from hitherto.papers import CLAIMS, EXPERIMENTS


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claim_holds_on_its_smallest_case(claim):
    """A conjecture is listed with a case that refutes it."""
    verdict = check(claim, claim.smallest)
    assert verdict.outcome == ("refuted" if claim.conjecture else "holds"), verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.id)
def test_experiment_at_size_ci(experiment, tmp_path):
    found = list(run(experiment, tmp_path))
    assert found
    missing = [r.error for r in found if isinstance(r, Failure) and r.error.startswith("ImportError")]
    if missing:
        pytest.skip(missing[0])
    for record in found:
        assert isinstance(record, Record), record
        assert record.outcome in ("holds", "measured", "cannot tell", "refuted"), record.reason


def test_ids_are_told_apart_and_carry_their_paper():
    for things in (CLAIMS, EXPERIMENTS):
        assert len({thing.id for thing in things}) == len(things)
