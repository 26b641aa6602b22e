"""Separation ranks in closed form, against exact vectors."""

import json
from pathlib import Path

import pytest

from hitherto.theory._combinatorics import multichoose
from hitherto.theory.start_end import deep_lower_bound, shallow_rank

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
EXACT = TRUTH["generic_ranks"]


@pytest.mark.parametrize("row", TRUTH["multichoose"], ids=str)
def test_multichoose(row):
    assert multichoose(row["n"], row["k"]) == row["value"]


@pytest.mark.parametrize("row", [r for r in EXACT if r["L"] == 1 and r["Z"] in (None, r["M"])], ids=str)
def test_one_layer(row):
    assert shallow_rank(row["R"], row["M"], row["S"], row["E"]) == row["rank"]


@pytest.mark.parametrize("row", [r for r in EXACT if r["L"] == 2 and r["S"] == r["E"]], ids=str)
def test_two_layers_reach_the_bound(row):
    bound = deep_lower_bound(row["R"], min(row["M"], row["Z"] or row["M"]), row["S"])
    assert bound <= row["rank"]


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="needs width >= 1, got 0"):
        shallow_rank(0, 2, 3, 3)
    with pytest.raises(ValueError, match="needs half >= 1, got -1"):
        deep_lower_bound(2, 2, -1)
