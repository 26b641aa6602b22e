"""Separation ranks in closed form, against exact vectors."""

import json
import math
from pathlib import Path

import pytest

from hitherto.theory._combinatorics import multichoose
from hitherto.theory.start_end import (
    cell_bound,
    conjecture,
    generic_rank,
    input_degree,
    paper_lower_bound,
    partition_bound,
    partition_rank,
    saturation_length,
    shallow_rank,
    state_degrees,
    structured_rank,
    total_degree,
    weight_degrees,
)

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
RANKS = TRUTH["generic_ranks"]


def label(row: dict) -> str:
    return " ".join(f"{name}{value}" for name, value in row.items() if name not in ("rank", "cuts"))


def inputs_of(row: dict) -> str | int:
    return "continuous" if row["version"] == "continuous" else row["Z"]


@pytest.mark.parametrize("row", TRUTH["multichoose"], ids=label)
def test_multichoose(row):
    assert multichoose(row["n"], row["k"]) == row["value"]


@pytest.mark.parametrize("row", TRUTH["degrees"], ids=label)
def test_degrees(row):
    depth, length = row["L"], row["T"]
    assert [input_degree(depth, length - t) for t in range(length)] == row["x_degree"]
    assert weight_degrees(depth, length) == {"input": row["WI_degree"], "recurrent": row["WH_degree"]}
    assert total_degree(depth, length) == 1 + sum(row["WI_degree"] + row["WH_degree"] + row["x_degree"])


@pytest.mark.parametrize("row", TRUTH["state_degrees"], ids=label)
def test_state_degrees(row):
    assert state_degrees(row["L"], row["E"]) == row["deg_per_layer"]


@pytest.mark.parametrize("row", RANKS, ids=label)
def test_generic_ranks(row):
    found = generic_rank(row["L"], row["R"], row["M"], row["S"], row["E"], inputs_of(row))
    assert (found.start_count, found.end_count, found.state_count) == (row["A_start"], row["A_end"], row["B"])
    assert found.state_count_refined == row["B_refined"]
    assert found.value == found.upper_bound == row["rank"]
    assert found.exact or (row["S"] == 2 < row["E"])


@pytest.mark.parametrize("row", TRUTH["closed_form_exceptions_continuous"], ids=label)
def test_exceptions_are_bounds_or_known(row):
    found = generic_rank(row["L"], row["R"], row["M"], row["S"], row["E"])
    assert found.value == row["rank"] if found.exact else row["rank"] < found.value == row["min_formula"]


@pytest.mark.parametrize("row", [r for r in RANKS if r["paper_lower"] is not None], ids=label)
def test_the_papers_bounds(row):
    """The oracle's bound reads the conjecture with one-hot inputs as the paper does; it exceeds the rank at times."""
    sizes = (row["L"], row["R"], row["M"], row["S"])
    if row["L"] == 1:
        assert shallow_rank(row["R"], row["M"], row["S"], row["E"]) == paper_lower_bound(*sizes) == row["paper_lower"]
        return
    assert conjecture(*sizes) == row["paper_lower"]
    if row["L"] == 2:
        assert paper_lower_bound(*sizes) >= row["paper_lower"]


def test_the_conjecture_fails_where_it_is_known_to():
    assert generic_rank(3, 5, 6, 2, 2, "one-hot").value == 30 < conjecture(3, 5, 6, 2) == 35
    assert generic_rank(4, 3, 4, 2, 2, "one-hot").value == 12 < conjecture(4, 3, 4, 2) == 15


@pytest.mark.parametrize("row", TRUTH["cut_profiles"], ids=label)
def test_cut_profiles(row):
    for inputs, ranks in (("continuous", row["rank_continuous"]), ("one-hot", row["rank_onehot"])):
        for cut, rank in zip(row["cuts"], ranks, strict=True):
            found = generic_rank(row["L"], row["R"], row["M"], cut, row["T"] - cut, inputs)
            assert found.value == rank if found.exact else found.value >= rank


@pytest.mark.parametrize("row", TRUTH["widths_and_rank_deficient_WH"], ids=label)
def test_widths_and_deficient_recurrences(row):
    found = generic_rank(
        len(row["widths"]), row["widths"], row["M"], row["S"], row["E"], recurrence_ranks=row["rank_WH"]
    )
    assert found.state_count == row["upper_bound_B_with_rank_WH"]
    assert found.upper_bound == row["rank_continuous"]
    assert not found.exact


STRUCTURES = {"WH_diagonal_random": "diagonal", "WH_identity": "diagonal", "WH_rank_one": "rank-one"} | {
    "WH_cyclic_permutation": "permutation"
}


@pytest.mark.parametrize("row", [r for r in TRUTH["structured_weights"] if r["structure"] in STRUCTURES], ids=label)
def test_structured_recurrences(row):
    for inputs, rank in (("continuous", row["rank_continuous"]), ("one-hot", row["rank_onehot"])):
        found = structured_rank(STRUCTURES[row["structure"]], row["L"], row["R"], row["M"], row["S"], row["E"], inputs)
        assert found.value == rank if found.exact else found.value > rank
    assert found.exact or STRUCTURES[row["structure"]] == "permutation"


@pytest.mark.parametrize("row", TRUTH["partition_ranks"], ids=label)
def test_any_set_of_times(row):
    if row["L"] == 1:
        assert partition_rank(row["R"], row["M"], row["T"], row["A"]) == row["rank"]
    else:
        assert partition_bound(row["L"], row["R"], row["M"], row["T"], row["A"]) == row["rank"]


CELLS = {
    "linear": "linear",
    "second_order": "second-order",
    "mi": "multiplicative-integration",
    "selective": "selective",
}


@pytest.mark.parametrize("row", [r for r in TRUTH["other_cells"] if r["cell"] in CELLS], ids=label)
def test_other_cells(row):
    bound = cell_bound(CELLS[row["cell"]], row["L"], row["R"], row["E"])
    assert row["rank"] <= bound
    if row["cell"] == "linear":
        assert row["rank"] == bound


def test_some_other_cells_reach_their_bound():
    """A bound that is never reached would be a poor one."""
    for cell, name in CELLS.items():
        rows = [r for r in TRUTH["other_cells"] if r["cell"] == cell]
        assert any(cell_bound(name, r["L"], r["R"], r["E"]) == r["rank"] for r in rows)


@pytest.mark.parametrize(
    ("sizes", "length"), [((1, 4, 2), 3), ((2, 2, 2), 4), ((2, 8, 4), 8), ((3, 2, 2), 11), ((3, 3, 3), 13)]
)
def test_saturation_length(sizes, length):
    assert saturation_length(*sizes) == length


@pytest.mark.parametrize("sizes", [(2, 1, 4), (3, 4, 1)])
def test_one_unit_or_one_symbol_never_saturates(sizes):
    assert saturation_length(*sizes) is None


@pytest.mark.parametrize(
    ("sizes", "rank"),
    [
        ((2, 4, 4, 4, 12), 1820),
        ((2, 8, 8, 4, 4), 2640),
        ((3, 2, 2, 5, 14), 3176),
        ((3, 3, 3, 4, 4), 2844),
        ((3, 4, 4, 3, 3), 5920),
        ((2, 2, 2, 4, 200), 402),
        ((2, 5, 2, 3, 5), 504),
        ((4, 2, 2, 4, 3), 106),
    ],
)
def test_large_predictions_that_were_confirmed(sizes, rank):
    found = generic_rank(*sizes)
    assert found.exact
    assert found.value == rank


def test_features_on_a_curve_count_less():
    assert generic_rank(2, 3, 3, 2, 2).value == 18
    assert generic_rank(2, 3, 3, 2, 2, powers=2).value == 15
    assert generic_rank(2, 3, 2, 3, 3, powers=1).value == generic_rank(2, 3, 2, 3, 3).value  # (1, x): nothing is lost


def test_long_integers_are_exact():
    found = generic_rank(3, 40, 40, 400, 60)
    assert found.value > 10**100
    assert found.log10 == pytest.approx(math.log10(found.value), rel=1e-15)
    assert found.value % 40 == 0  # a float would have lost the last digits


def test_few_templates_are_few_features():
    assert generic_rank(2, 3, 3, 7, 7, 2).value == generic_rank(2, 3, 2, 7, 7, "one-hot").value == 105


class TestBadInput:
    @pytest.mark.parametrize("position", range(5))
    @pytest.mark.parametrize("wrong", [0, -1])
    def test_sizes_below_one(self, position, wrong):
        sizes = [2, 3, 3, 4, 4]
        sizes[position] = wrong
        with pytest.raises(ValueError, match=f">= 1, got {wrong}; give a positive"):
            generic_rank(*sizes)

    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (lambda: generic_rank(2, (3, 3, 3), 2, 2, 2), "depth 2 was asked for with 3 widths"),
            (lambda: generic_rank(2, 3, 2, 2, 2, "onehot"), "no kind of inputs 'onehot'.*one-hot"),
            (lambda: generic_rank(2, 3, 2, 2, 2, recurrence_ranks=(4, 3)), r"recurrence_ranks \(4, 3\) do not fit"),
            (lambda: generic_rank(2, 3, 2, 2, 2, powers=2), "powers=2 make 3 features, but input_size=2"),
            (lambda: paper_lower_bound(3, 3, 2, 2), "for 1 and 2 layers, depth=3 was"),
            (lambda: structured_rank("diag", 1, 2, 2, 2, 2), "no structure of a recurrent matrix 'diag'"),
            (lambda: cell_bound("lstm", 1, 2, 2), "no polynomial cell 'lstm'"),
            (lambda: partition_rank(2, 2, 4, {5}), r"\[5\] do not part the steps 1..4"),
            (lambda: partition_rank(2, 2, 2, {1, 2}), "do not part"),
            (lambda: partition_rank(2, 2, 2, set()), "do not part"),
        ],
    )
    def test_settings_that_do_not_fit(self, call, says):
        with pytest.raises(ValueError, match=says):
            call()
