"""Closed memory curves and the filters of a stack, against exact vectors, covariances and stacks in rationals."""

import json
from fractions import Fraction
from pathlib import Path

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_lyapunov

from hitherto.theory.depth_memory import delay_line_fisher, filter_obstacle, memory_curve, top_memory_curve

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())["memory_curves"]
WHOLE = st.integers(-3, 3)


def numbers(values) -> np.ndarray:
    return np.array([float(Fraction(v)) for v in values])


def test_one_unit():
    for row in TRUTH["single_unit"]:
        w = float(Fraction(row["w"]))
        np.testing.assert_allclose(memory_curve([w], len(row["MC"])), numbers(row["MC"]), rtol=1e-12)
        assert memory_curve([w], 200).sum() == pytest.approx(row["total"], rel=1e-12)


def test_two_units_all_read_and_top():
    both, top = TRUTH["two_layer_width1_all"], TRUTH["two_layer_width1_top"]
    weights = numbers(both["w"])
    np.testing.assert_allclose(memory_curve(weights, len(both["MC"])), numbers(both["MC"]), rtol=1e-9)
    np.testing.assert_allclose(top_memory_curve(*weights, len(top["MC"])), numbers(top["MC"]), rtol=1e-12)
    assert top_memory_curve(*weights, 200).sum() == pytest.approx(top["total"], rel=1e-12)


def test_delay_line():
    row = TRUTH["fisher_delay_line"]
    np.testing.assert_allclose(delay_line_fisher(row["n"], row["eps"]), numbers(row["J"])[: row["n"]], rtol=1e-12)
    assert delay_line_fisher(row["n"]).sum() == pytest.approx(float(Fraction(row["total"])), rel=1e-10)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_curve_is_that_of_the_covariance(width, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(width, width)), rng.normal(size=(width, 1))
    a *= 0.7 / np.abs(np.linalg.eigvals(a)).max()
    covariance = solve_discrete_lyapunov(a, b @ b.T)
    if np.linalg.cond(covariance) > 1e6:
        return
    answers = [b]
    for _ in range(9):
        answers.append(a @ answers[-1])
    truth = [float((x.T @ np.linalg.solve(covariance, x))[0, 0]) for x in answers]
    np.testing.assert_allclose(memory_curve(np.linalg.eigvals(a), 10), truth, atol=1e-8)


def rational(depth: int, width: int, rng) -> tuple[list[Fraction], list[Fraction]]:
    """Transfer function of a stack of whole-number weights: numerator and denominator, lowest first."""
    numerator, denominator = None, flint.fmpq_poly([1])
    z, one = flint.fmpq_poly([0, 1]), flint.fmpq_poly([1])
    for layer in range(depth):
        w = rng.integers(-2, 3, (width, width))
        u = rng.integers(-2, 3, (width, 1 if layer == 0 else width))
        resolvent = [[one * int(i == j) - z * int(w[i, j]) for j in range(width)] for i in range(width)]
        inverse, q = adjugate(resolvent)
        below = u if numerator is None else product(u, numerator)
        numerator, denominator = product(inverse, below), denominator * q
    top = sum((int(v) * row[0] for v, row in zip(rng.integers(-2, 3, width), numerator, strict=True)), 0 * one)
    return coefficients(top), coefficients(denominator)


def coefficients(polynomial) -> list[Fraction]:
    return [Fraction(int(c.p), int(c.q)) for c in polynomial.coeffs()] or [Fraction(0)]


def product(a, b) -> list[list]:
    right = [[x if isinstance(x, flint.fmpq_poly) else int(x) for x in row] for row in b]
    left = [[x if isinstance(x, flint.fmpq_poly) else int(x) for x in row] for row in a]
    zero = flint.fmpq_poly([0])
    return [
        [sum((x * y for x, y in zip(row, column, strict=True)), zero) for column in zip(*right, strict=True)]
        for row in left
    ]


def minor(m, i, j) -> list[list]:
    return [[x for c, x in enumerate(row) if c != j] for r, row in enumerate(m) if r != i]


def determinant(m):
    if not m:
        return flint.fmpq_poly([1])
    terms = [(-1) ** j * m[0][j] * determinant(minor(m, 0, j)) for j in range(len(m))]
    return sum(terms[1:], terms[0])


def adjugate(m) -> tuple[list[list], flint.fmpq_poly]:
    size = range(len(m))
    return [[(-1) ** (i + j) * determinant(minor(m, j, i)) for j in size] for i in size], determinant(m)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_every_stack_is_in_its_own_class(depth, width, seed):
    numerator, denominator = rational(depth, width, np.random.default_rng(seed))
    assert filter_obstacle(numerator, denominator, depth, width) is None


@pytest.mark.parametrize(("depth", "width"), [(1, 4), (2, 3), (5, 2)])
def test_taps(depth, width):
    taps = depth * (width - 1) + 1
    assert filter_obstacle([1] * taps, [1], depth, width) is None
    assert f"degree {taps}" in filter_obstacle([1] * (taps + 1), [1], depth, width)


def test_poles_must_fit_the_layers():
    pair = [1, 0, 1]
    assert filter_obstacle([1], pair, 1, 2) is None
    assert "pairs of complex roots" in filter_obstacle([1], pair, 2, 1)
    three_pairs = np.polynomial.polynomial.polymul(np.polynomial.polynomial.polymul(pair, [1, 0, 2]), [1, 0, 3])
    assert "hold 2" in filter_obstacle([1], [int(c) for c in three_pairs], 2, 3)
    assert "have 2 states" in filter_obstacle([1], [1, -6, 11, -6], 2, 1)  # roots 1, 1/2, 1/3
    assert filter_obstacle([1], [1, -6, 11, -6], 3, 1) is None


def test_common_factors_do_not_count():
    assert filter_obstacle([1, 1], [1, 1], 1, 1) is None
    assert filter_obstacle([1, 0, 1], [1, 0, 1], 1, 1) is None


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: memory_curve([1.0], 3), "modulus below 1"),
        (lambda: memory_curve([0.5], 0), "lags >= 1"),
        (lambda: top_memory_curve(0.5, 1.0, 3), "size below 1"),
        (lambda: delay_line_fisher(0), "units >= 1"),
        (lambda: delay_line_fisher(3, 0.0), "noise above 0"),
        (lambda: filter_obstacle([1], [0], 1, 1), "denominator 0"),
        (lambda: filter_obstacle([], [1], 1, 1), "numerator >= 1"),
    ],
)
def test_refusals(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_answers_before_they_are_asked():
    assert "before it is asked" in filter_obstacle([1], [0, 1], 3, 3)
