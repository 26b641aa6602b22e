"""Dilations that need no bound on the inputs: extra units that never receive anything positive.

With W21 = -B^T for a nonnegative B with B B^T = I - W^T W, extra preactivations are at most 0 for all nonnegative
states, so ReLU keeps the extra units at 0 with bias 0, whatever the inputs and for ever. Such a B exists if and only if
I - W^T W is completely positive, and its columns are the extra states.

Our derivation; the facts on completely positive matrices are from Berman and Shaked-Monderer (2003).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Inexact
from scipy.optimize import least_squares, linprog

from hitherto.theory.unitary import Dilation, completed
from hitherto.theory.unitary_network import EPS, refuse_complex, square

RESIDUAL = 1e-12  # largest entry of B B^T - G that passes
STARTS = 20  # of the search for a factor
SEARCHED = 12  # rows, beyond which it would take minutes


@dataclass(frozen=True, eq=False)
class CompletePositivity:
    """Whether G = B B^T for some nonnegative B.

    Attributes:
        answer: `yes`, `no`, or `not found`, which decides nothing: there are completely positive matrices whose factor
            no search here finds.
        factor: B where one was found.
        reason: how it is known.
    """

    answer: Literal["yes", "no", "not found"]
    factor: Float[np.ndarray, "state extra"] | None
    reason: str


def completely_positive(gram: Inexact[np.ndarray, "row column"]) -> CompletePositivity:
    """Whether G = B B^T with B >= 0, and B where it is found.

    Necessary: no negative entry, no negative eigenvalue; up to 4 rows that is enough. Two rows: B is the Cholesky
    factor. E G E diagonally dominant for a positive diagonal E, which a linear program tells: `dominant_factor`. Else a
    search by least squares for B = X * X entry by entry, with up to n (n + 1) / 2 columns, for up to 12 rows.

    Args:
        gram: G, symmetric; entries and eigenvalues above -4 n eps |G| count as 0.
    Raises:
        ValueError: if G is not square, finite and symmetric.

    Cost: that of least squares with n columns of n unknowns, and more where it fails.
    Source: textbook facts; the constructions are our derivation.
    """
    refuse_complex(gram=gram)
    g, n = square(gram), len(gram)
    slack = 4 * n * EPS * max(1.0, np.abs(g).max())
    if np.abs(g - g.T).max() > slack:
        raise ValueError("complete positivity was asked of a matrix that is not symmetric; give G with G = G^T")
    if g.min() < -slack:
        return CompletePositivity("no", None, f"an entry is {g.min():.3g}, below 0")
    if np.linalg.eigvalsh(g)[0] < -slack:
        return CompletePositivity("no", None, f"an eigenvalue is {np.linalg.eigvalsh(g)[0]:.3g}, below 0")
    g = np.where(g > slack, g, 0)
    size = np.sqrt(np.diag(g)) + (np.diag(g) == 0)  # rows with 0 on the diagonal are 0
    factor, reason = _factor(g / size / size[:, None])
    factor = factor if factor is None else factor * size[:, None]
    if factor is None and n > 4:
        return CompletePositivity("not found", None, reason)
    return CompletePositivity("yes", factor, "up to four rows, no negative entry or eigenvalue" if n <= 4 else reason)


def dominant_factor(gram: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state extra"]:
    """Columns sqrt(G_ij) (e_i + e_j) for i < j and sqrt(G_ii - sum over j of G_ij) e_i, those of 0 left out.

    Args:
        gram: G >= 0 with G_ii at least the sum of the other entries of its row.
    """
    rest = np.maximum(2 * np.diag(gram) - gram.sum(1), 0)
    above, beside = np.nonzero(np.triu(gram, 1))
    columns = np.zeros((len(gram), len(above)))
    columns[above, np.arange(len(above))] = columns[beside, np.arange(len(above))] = np.sqrt(gram[above, beside])
    return np.hstack([columns, np.diag(np.sqrt(rest))[:, rest > 0]])


def bound_free(weight_hh: Inexact[np.ndarray, "row column"]) -> Dilation | None:
    """The orthogonal matrix with corner W whose W21 has no positive entry; None if no factor of I - W^T W is found.

    The extra bias is -(W21 h[-1])+, which is 0 for nonnegative h[-1]. In floating point lower it, where it is not 0, by
    the margin of `ExtraBias`.

    Args:
        weight_hh: W, real, of norm at most 1.
    Raises:
        ValueError: if W is not square, finite and real.

    Cost: that of `completely_positive`, and one QR decomposition.
    Source: our derivation.
    """
    refuse_complex(weight_hh=weight_hh)
    w = square(weight_hh)
    factor = completely_positive(np.eye(len(w)) - w.T @ w).factor
    if factor is None:
        return None
    return completed(w, -factor.T)


def bound_free_scale(weight_hh: Inexact[np.ndarray, "row column"]) -> Float[np.ndarray, " state"] | None:
    """d with P - W^T P W nonnegative and diagonally dominant for P = D^-2, so that D^-1 W D is `bound_free`; or None.

    A linear program in P. It misses scalings for which the matrix is completely positive and not dominant.

    Args:
        weight_hh: W, real.
    Raises:
        ValueError: if W is not square, finite and real.

    Source: our derivation.
    """
    refuse_complex(weight_hh=weight_hh)
    w = square(weight_hh)
    rows, columns = np.triu_indices(len(w), 1)
    apart = w[:, rows] * w[:, columns]  # the entry (i, j) is -(sum over k of p_k w_ki w_kj)
    sums = w * w.sum(1, keepdims=True) - 2 * w**2  # row by row, others less the diagonal, for each p_k
    dominated = -(sums.T + np.eye(len(w)))
    found = linprog(np.ones(len(w)), np.vstack([apart.T, dominated]), np.zeros(len(rows) + len(w)), bounds=(1, None))
    return found.x**-0.5 if found.status == 0 else None


def _factor(g: Float[np.ndarray, "state state"]) -> tuple[Float[np.ndarray, "state extra"] | None, str]:
    """B of as few columns as are easily had, and how it was found; for diagonals of ones."""
    if len(g) == 2:
        return _cholesky(g), "the Cholesky factor"
    factor = _scaled_dominant(g)
    if factor is not None:
        return factor, "diagonally dominant after scaling"
    if len(g) > SEARCHED:
        return None, f"of more than {SEARCHED} rows, and not diagonally dominant after scaling"
    factor = _searched(g)
    return factor, f"no nonnegative factor in {STARTS} searches" if factor is None else "a nonnegative factor"


def _scaled_dominant(g: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state extra"] | None:
    """E^-1 times the factor of E G E, where that is dominant: G_ii e_i is at least the sum of the other G_ij e_j."""
    beyond = g - 2 * np.diag(np.diag(g))
    e = np.ones(len(g))
    if (beyond @ e > 0).any():
        found = linprog(e, beyond, np.zeros(len(g)), bounds=(1, None))
        e = found.x if found.status == 0 else e
    factor = dominant_factor(g * e * e[:, None]) / e[:, None]
    return factor if np.abs(factor @ factor.T - g).max(initial=0) <= RESIDUAL else None


def _cholesky(g: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 extra"]:
    """[[sqrt a, 0], [b / sqrt a, sqrt(c - b^2 / a)]], from the larger diagonal entry on."""
    first, second = (0, 1) if g[0, 0] >= g[1, 1] else (1, 0)
    root = np.sqrt(g[first, first])
    factor = np.zeros((2, 2))
    factor[first, 0] = root
    factor[second, 0] = g[0, 1] / root if root > 0 else 0.0
    factor[second, 1] = np.sqrt(max(g[second, second] - factor[second, 0] ** 2, 0.0))
    return factor[:, factor.any(0)]


def _searched(g: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state extra"] | None:
    """B = X * X with B B^T = G to within `RESIDUAL`, of few columns first."""
    rng, n = np.random.default_rng(0), len(g)
    upper = np.triu_indices(n)
    for attempt in range(STARTS):
        columns = n + attempt * (n * (n + 1) // 2 - n) // (STARTS - 1)
        start = np.sqrt(rng.random((n, columns)) * np.sqrt(np.diag(g) / columns)[:, None]).ravel()
        found = least_squares(_excess, start, _slope, args=(g, upper), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=300)
        if np.abs(found.fun).max() <= RESIDUAL:
            return found.x.reshape(n, -1) ** 2
    return None


def _excess(
    x: Float[np.ndarray, " unknown"], g: Float[np.ndarray, "state state"], upper: tuple
) -> Float[np.ndarray, " entry"]:
    b = x.reshape(len(g), -1) ** 2
    return (b @ b.T - g)[upper]


def _slope(
    x: Float[np.ndarray, " unknown"], g: Float[np.ndarray, "state state"], upper: tuple
) -> Float[np.ndarray, "entry unknown"]:
    """Of the entries (i, j) by X_mc: 2 X_mc ([m = i] B_jc + [m = j] B_ic)."""
    roots = x.reshape(len(g), -1)
    b, (rows, columns) = roots**2, upper
    slope = np.zeros((len(rows), *b.shape))
    entry = np.arange(len(rows))
    slope[entry, rows] += b[columns]
    slope[entry, columns] += b[rows]
    return (2 * roots * slope).reshape(len(rows), -1)
