"""Copies of units: the one way in which tanh and logistic networks have orthogonal twins, and one to rescale any units.

With Q the matrix that copies unit i m_i times and M = Q^T Q the diagonal of the m_i,

    W_u = Q (W - I) M^-1 Q^T + I,  F_u = Q F,  b_u = Q b,  C_u = C M^-1 Q^T,  h_u[-1] = Q h[-1]

satisfies W_u Q = Q W, so all copies of a unit stay equal and the map is the same for every activation. Its singular
values are those of M^(1/2) W M^(-1/2), and ones. Our derivation; for the uniqueness it rests on results of Sussmann
(1992) and of Albertini and Sontag (1993) on linearly independent sigmoids.
"""

from fractions import Fraction
from math import gcd, lcm

import numpy as np
from jaxtyping import Bool, Float, Inexact, Integer, Shaped
from scipy.sparse.csgraph import connected_components

from hitherto.theory.unitary_network import Network, square

DENOMINATORS = 64  # of the ratios of multiplicities
AGREES = 1e-10  # largest entry of W^T M W - M, relative to M


def copy_matrix(copies: Integer[np.ndarray, " state"]) -> Integer[np.ndarray, "all state"]:
    """Q, with m_i rows e_i one after the other.

    Raises:
        ValueError: for fewer than one copy of a unit.
    """
    if copies.min() < 1:
        raise ValueError(f"copies {copies.tolist()} of the units were asked for; give whole numbers from 1 on")
    return np.repeat(np.eye(len(copies), dtype=int), copies, axis=0)


def duplicated(
    weight_hh: Shaped[np.ndarray, "state state"], copies: Integer[np.ndarray, " state"]
) -> Shaped[np.ndarray, "all all"]:
    """W_u = Q (W - I) M^-1 Q^T + I; exact for a W of fractions.

    Raises:
        ValueError: as for `copy_matrix`.
    """
    q = copy_matrix(copies)
    one = np.eye(len(weight_hh), dtype=int)
    return q @ ((weight_hh - one) / copies) @ q.T + np.eye(len(q), dtype=int)


def duplicated_network(network: Network, copies: Integer[np.ndarray, " state"]) -> Network:
    """The network with m_i copies of unit i: the same map, whatever its activation.

    Raises:
        ValueError: as for `copy_matrix`.
    """
    q = copy_matrix(copies)
    return Network(
        duplicated(network.weight_hh, copies),
        q @ network.weight_ih,
        q @ network.bias,
        (network.readout / copies) @ q.T,
        q @ network.initial,
    )


def invariant_weights(weight_hh: Float[np.ndarray, "row column"]) -> Float[np.ndarray, " state"] | None:
    """m > 0 with W^T M W = M, the least entry of each strongly connected block 1; None if there is none.

    The diagonal says that m is the positive eigenvector of (W * W)^T, squares entry by entry, for the eigenvalue 1. A W
    that has an m falls into uncoupled blocks, each with its own scale.

    Args:
        weight_hh: W, real; W^T M W = M is asked up to 1e-10.
    Raises:
        ValueError: if W is not square and finite.

    Cost: eigenvectors, n^3.
    Source: our derivation.
    """
    w = square(weight_hh)
    count, label = connected_components(w != 0, connection="strong")
    m = np.ones(len(w))
    for block in (np.flatnonzero(label == one) for one in range(count)):
        m[block] = _perron(w[np.ix_(block, block)].T ** 2)
    with np.errstate(over="ignore", invalid="ignore"):
        agrees = np.abs(w.T @ (w * m[:, None]) - np.diag(m)).max() <= AGREES * m.max()
    return m if agrees else None


def orthogonal_copies(weight_hh: Shaped[np.ndarray, "row column"]) -> Integer[np.ndarray, " state"] | None:
    """The least whole m with W^T M W = M, for which `duplicated` is orthogonal; None if none is found.

    Ratios within a block are told by continued fractions with denominators up to 64; others may exist beyond.

    Args:
        weight_hh: W; of fractions W^T M W = M is asked exactly, of floats up to 1e-10.
    Raises:
        ValueError: as for `invariant_weights`.

    Source: our derivation.
    """
    m = invariant_weights(weight_hh.astype(np.float64))
    if m is None:
        return None
    _, label = connected_components(weight_hh != 0, connection="strong")
    copies = np.ones(len(m), dtype=int)
    for block in (np.flatnonzero(label == one) for one in range(label.max() + 1)):
        own = _whole(m[block])
        if own is None:
            return None
        copies[block] = own
    rest = weight_hh.T @ (weight_hh * copies[:, None]) - np.diag(copies)
    allowed = 0 if weight_hh.dtype == object else AGREES * copies.max()
    return copies if np.abs(rest).max() <= allowed else None


def identifiable(network: Network) -> str | None:
    """None if every orthogonal tanh or logistic twin of the network is made of copies of its units; else why not known.

    Then there is a twin if and only if W has `invariant_weights` in rational ratios, so none for |W| < 1.

    Args:
        network: without units that reach no output (`unread_units`).

    Source: our derivation, generic; it rests on the linear independence of shifted and scaled sigmoids.
    """
    if not network.readout.any(0).all():
        return "a column of readout is zero"
    rows = network.weight_ih
    if not rows.any(1).all():
        return "a row of weight_ih is zero"
    return "rows of weight_ih are equal up to sign" if _repeats(rows).any() else None


def _repeats(rows: Inexact[np.ndarray, "state input"]) -> Bool[np.ndarray, "state state"]:
    """Whether the rows i < j are equal up to sign."""
    same = (rows[:, None] == rows).all(-1) | (rows[:, None] == -rows).all(-1)
    return np.triu(same, 1)


def _perron(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """The positive eigenvector of a nonnegative irreducible matrix, its least entry 1."""
    values, vectors = np.linalg.eig(matrix)
    vector = np.abs(vectors[:, values.real.argmax()])
    return vector / max(vector.min(), np.finfo(float).tiny)


def _whole(ratios: Float[np.ndarray, " state"]) -> Integer[np.ndarray, " state"] | None:
    """The least whole numbers in these ratios; None if there are none of small denominators."""
    near = [Fraction(ratio).limit_denominator(DENOMINATORS) for ratio in ratios.tolist()]
    if any(abs(float(fraction) - ratio) > 1e-9 * ratio for fraction, ratio in zip(near, ratios, strict=True)):
        return None
    common = lcm(*(fraction.denominator for fraction in near))
    whole = [int(fraction * common) for fraction in near]
    if max(whole) > 2**31:
        return None
    return np.array(whole) // gcd(*whole)
