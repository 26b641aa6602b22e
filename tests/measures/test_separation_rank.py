"""Generic separation ranks against exact vectors, and against rational arithmetic."""

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from flint import fmpq, fmpq_mat

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.wrappers import Deep
from hitherto.measures import separation_rank
from hitherto.measures.separation_rank import generic_start_end_rank

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
SMALL = [r for r in TRUTH["generic_ranks"] if r["Z"] in (None, r["M"]) and r["rank"] <= 150 and r["S"] + r["E"] <= 14]


def circuit(depth: int, width: int, symbols: int) -> ArithmeticCircuit | Deep:
    layers = (ArithmeticCircuit(symbols, width), *[ArithmeticCircuit(width, width)] * (depth - 1))
    return layers[0] if depth == 1 else Deep(layers)


@pytest.mark.parametrize("row", SMALL, ids=lambda r: f"{r['version']} L{r['L']} R{r['R']} M{r['M']} {r['S']}+{r['E']}")
def test_exact_ranks(row):
    made = circuit(row["L"], row["R"], row["M"])
    found = generic_start_end_rank(made, row["S"], row["E"], one_hot=row["version"] != "continuous")
    assert found.value == row["rank"]
    assert isinstance(found.value, int)
    assert not found.cannot_tell


def test_rational_arithmetic_gives_the_same_rank():
    """Y over Q with integer weights, step by step in fractions."""
    rng, symbols, width, half = np.random.default_rng(5), 2, 3, 3
    draw = lambda *shape: rng.integers(-9, 10, shape).tolist()  # noqa: E731
    layers = [(draw(width, symbols), draw(width, width)), (draw(width, width), draw(width, width))]
    readout = draw(width)

    def output(word):
        states = [None, None]
        for symbol in word:
            x = [Fraction(int(symbol == s)) for s in range(symbols)]
            for number, (weight_ih, weight_hh) in enumerate(layers):
                entering = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weight_ih]
                h = states[number]
                kept = [1] * width if h is None else [sum(w * v for w, v in zip(r, h, strict=True)) for r in weight_hh]
                x = states[number] = [a * b for a, b in zip(kept, entering, strict=True)]
        return sum(w * v for w, v in zip(readout, x, strict=True))

    words = list(product(range(symbols), repeat=half))
    matrix = fmpq_mat(len(words), len(words), [fmpq(output(s + e).numerator) for s in words for e in words])
    assert matrix.rank() == generic_start_end_rank(circuit(2, width, symbols), half, half, one_hot=True).value


def test_too_few_samples_say_at_least(monkeypatch):
    monkeypatch.setattr(separation_rank, "MOST_SAMPLES", 20)
    found = generic_start_end_rank(circuit(2, 3, 2), 4, 4)
    assert found.value == 20
    assert "at least 20" in found.cannot_tell


def test_seeds_do_not_matter_for_a_generic_rank():
    assert {generic_start_end_rank(circuit(2, 2, 2), 3, 3, seed=seed).value for seed in range(5)} == {8}


def test_a_cut_needs_two_sides():
    with pytest.raises(ValueError, match="got start 0 and end 3"):
        generic_start_end_rank(circuit(1, 2, 2), 0, 3)
