"""The dilation in exact rational arithmetic, for matrices whose singular value decomposition is rational.

Products of Pythagorean rotations and singular values such as 3/5 or 5/13 have one; then twins are literally identical.
"""

from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
from jaxtyping import Shaped

Exact = Shaped[np.ndarray, "..."]  # of fractions


def dilate_exactly(weight_hh: Shaped[np.ndarray, "row column"]) -> Shaped[np.ndarray, "all all"]:
    """[W, -U+ C+; C+ V+^T, S+] in fractions, with W the corner, and W_u^T W_u = I exactly.

    The singular values are square roots of the eigenvalues of W^T W, the directions bases of its eigenspaces made
    orthogonal one after the other. Within an eigenspace of several dimensions this may miss a rational orthonormal
    basis that exists.

    Args:
        weight_hh: W, of fractions or whole numbers.
    Returns:
        Fractions; rows n.. are the extra states.
    Raises:
        ValueError: if W is not square, its norm is above 1, or no rational decomposition is found.

    Cost: eliminations in fractions, n^3 operations for each eigenvalue; meant for a few states.
    Source: our derivation.
    """
    if weight_hh.ndim != 2 or weight_hh.shape[0] != weight_hh.shape[1] or not len(weight_hh):
        raise ValueError(f"weight_hh must be a square matrix with at least one row, got the shape {weight_hh.shape}")
    w = as_fractions(weight_hh)
    right, values = _right_factors(w)
    below = [i for i, s in enumerate(values) if s != 1]
    right, values = right[:, below], [values[i] for i in below]
    sizes = [_root(1 - s * s, "the defect 1 - s^2") for s in values]
    left = _left_factor(w, right, values)
    if not below:
        return w
    return np.block([[w, -left * sizes], [(right * sizes).T, np.diag(np.array(values, object))]]) + Fraction(0)


def as_fractions(matrix: Shaped[np.ndarray, "..."]) -> Exact:
    """The same numbers as fractions; floats are taken for the binary fractions that they are."""
    return np.array([Fraction(x) for x in matrix.ravel().tolist()], object).reshape(matrix.shape)


def _right_factors(w: Exact) -> tuple[Exact, list[Fraction]]:
    """An orthonormal rational basis of eigenvectors of W^T W, as columns, and their singular values."""
    gram = w.T @ w
    columns, values = [], []
    for square, multiplicity in _rational_eigenvalues(gram):
        if square > 1:
            raise ValueError(f"an exact dilation needs a norm of at most 1, got the root of {square}; rescale first")
        basis = _orthonormal(_kernel(gram - square * _identity(len(w))))
        columns += basis
        values += [_root(square, "the square of a singular value")] * multiplicity
    if len(columns) < len(w):
        raise ValueError(
            f"an exact dilation needs rational singular values, and only {len(columns)} of {len(w)} are; build W from "
            "rational factors, or take `dilate`"
        )
    return np.array(columns, object).T, values


def _left_factor(w: Exact, right: Exact, values: list[Fraction]) -> Exact:
    """u = W v / s, and for s = 0 a basis of the kernel of W^T."""
    spare = iter(_orthonormal(_kernel(w.T)) if 0 in values else [])
    columns = [w @ v / s if s else next(spare) for v, s in zip(right.T, values, strict=True)]
    return np.array(columns, object).reshape(len(values), len(w)).T


def _rational_eigenvalues(matrix: Exact) -> list[tuple[Fraction, int]]:
    factors = _flint(matrix).charpoly().numer().factor()[1]
    linear = [(factor, power) for factor, power in factors if factor.degree() == 1]
    return [(Fraction(int(-factor[0]), int(factor[1])), power) for factor, power in linear]


def _kernel(matrix: Exact) -> list[Exact]:
    """A basis of {x: matrix x = 0}, read off the reduced echelon form."""
    reduced, rank = _flint(matrix).rref()
    rows = np.array([[_fraction(x) for x in row] for row in reduced.tolist()], object)
    pivots = [int(np.flatnonzero(row)[0]) for row in rows[:rank]]
    basis = []
    for free in set(range(rows.shape[1])) - set(pivots):
        vector = np.array([Fraction(0)] * rows.shape[1], object)
        vector[free] = Fraction(1)
        vector[pivots] = -rows[:rank, free]
        basis.append(vector)
    return basis


def _orthonormal(basis: list[Exact]) -> list[Exact]:
    """Gram and Schmidt in fractions, where all lengths are rational."""
    found: list[Exact] = []
    for vector in basis:
        rest = vector - sum((u * (u @ vector) for u in found), vector * 0)
        found.append(rest / _root(rest @ rest, "the squared length of a singular vector"))
    return found


def _root(value: Fraction, what: str) -> Fraction:
    """The rational square root.

    Raises:
        ValueError: if there is none.
    """
    top, bottom = (isqrt(part) for part in value.as_integer_ratio())
    if Fraction(top, bottom) ** 2 != value:
        raise ValueError(
            f"an exact dilation needs rational factors, and {what}, {value}, has no rational root; build W from "
            "Pythagorean rotations and such singular values as 3/5, or take `dilate`"
        )
    return Fraction(top, bottom)


def _identity(size: int) -> Exact:
    return as_fractions(np.eye(size, dtype=int).astype(object))


def _flint(matrix: Exact) -> Any:
    from flint import fmpq, fmpq_mat

    return fmpq_mat([[fmpq(*x.as_integer_ratio()) for x in row] for row in matrix])


def _fraction(number: Any) -> Fraction:
    return Fraction(int(number.p), int(number.q))
