"""Units of other sizes: the positive diagonal D for which |D^-1 W D| is least, and proofs that none is small enough.

ReLU, leaky ReLU, abs and the identity commute with positive diagonals, so that (D^-1 W D, D^-1 F, D^-1 b, C D,
D^-1 h[-1]) is the same map; it is contractive for some D if and only if P - W^T P W is positive definite for some
positive diagonal P = D^-2. log |D^-1 W D| is convex in t = log d, with the slope v_j^2 - u_j^2 for a simple largest
singular value with vectors u and v.

Our derivation; the condition is diagonal Schur stability of the textbooks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Inexact, Integer
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components

from hitherto.theory.unitary_network import EPS, refuse_complex, scaled_matrix, square

EXPONENTS = (8, 64, 512, 2048)  # of Schatten norms, which tend to the spectral norm
SEARCH = dict(maxiter=200, maxcor=30, ftol=1e-15, gtol=1e-9)  # of each exponent
SUPPORTS = (0.0, 1e-12, 1e-9, 1e-6, 1e-3)  # entries of a certificate below these, relatively, are tried as 0
REACHED = 1e-9  # a norm within this share of the infimum has attained it
NEAR = 1e-3  # how near to an infimum from 1 on a norm is brought, relatively
TRIED = 200  # numbers of copies
LOWER = 0.35  # steps of log d along chains of parts
WIDEST = 300.0  # largest |log d|


@dataclass(frozen=True, eq=False)
class Scaling:
    """What rescaling the units can make of the norm of W.

    Attributes:
        scale: d, the diagonal of D.
        norm: |D^-1 W D|, of the D returned.
        infimum: of the norm over all D, as far as the search came: never below the true one, above it by less than
            n^(1/2048) where the largest singular value is a multiple one.
        attained: whether D attains it. Where W falls into several strongly connected parts it need not exist, and D is
            one that is halfway between the infimum and 1.
        certificate: Z, positive semidefinite, which proves `proven` (`certified_norm`).
        proven: no D has a smaller norm; from 1 on, that is a refusal.
    """

    scale: Float[np.ndarray, " state"]
    norm: float
    infimum: float
    attained: bool
    certificate: Float[np.ndarray, "state state"]
    proven: float


def rescale(weight_hh: Inexact[np.ndarray, "row column"]) -> Scaling:
    """min over positive diagonals D of |D^-1 W D|, part by part of the graph of W.

    Each strongly connected part starts from d_i = sqrt(v_i / u_i), the right and left Perron vectors of |W|, for which
    the norm is at most the spectral radius of |W|, and goes down on Schatten norms of rising exponent. Between parts, d
    falls along the order of the graph until what links them no longer matters.

    Args:
        weight_hh: W, real.
    Raises:
        ValueError: if W is not square, finite and real.

    Cost: up to 800 eigenvalue decompositions of each part: 256 units take 3 to 8 seconds on one core.
    Source: our derivation.
    """
    refuse_complex(weight_hh=weight_hh)
    w = square(weight_hh)
    parts, place = _parts(w)
    found = [_least(w[np.ix_(part, part)]) for part in parts]
    t = np.zeros(len(w))
    for part, (own, _) in zip(parts, found, strict=True):
        t[part] = own
    norms = [_norm(w[np.ix_(part, part)], own) for part, (own, _) in zip(parts, found, strict=True)]
    infimum, worst = max(norms), int(np.argmax(norms))
    t = _apart(w, t, place, infimum)
    norm = _norm(w, t)
    certificate = np.zeros_like(w)
    certificate[np.ix_(parts[worst], parts[worst])] = found[worst][1]
    return Scaling(
        np.exp(t), norm, infimum, norm <= infimum * (1 + REACHED), certificate, _proven(w, parts, certificate)
    )


def certified_norm(weight_hh: Float[np.ndarray, "state state"], certificate: Float[np.ndarray, "state state"]) -> float:
    """The largest g with (W Z W^T)_ii >= g^2 Z_ii for all i, which no |D^-1 W D| falls below.

    If g^2 P - W^T P W were positive definite, so would be its product with Z != 0 in the trace, which is the sum over i
    of P_ii (g^2 Z_ii - (W Z W^T)_ii) <= 0. A vector v is Z = v v^T, with |(W v)_i| >= g |v_i|.

    Args:
        weight_hh: W.
        certificate: Z, positive semidefinite and not 0.
    Raises:
        ValueError: if Z is not.

    Source: our derivation, by duality.
    """
    eigenvalues = np.linalg.eigvalsh((certificate + certificate.T) / 2)
    if eigenvalues[0] < -1e-12 * eigenvalues[-1] or eigenvalues[-1] <= 0:
        raise ValueError(
            f"a certificate must be positive semidefinite and not 0, got eigenvalues from {eigenvalues[0]:.3g} to "
            f"{eigenvalues[-1]:.3g}; give a matrix such as v v^T"
        )
    before, after = np.diag(certificate), np.einsum("ij,jk,ik->i", weight_hh, certificate, weight_hh)
    held = before > 0
    with np.errstate(over="ignore"):
        return float(np.sqrt((after[held] / before[held]).min()))


def copies_for(weight_hh: Float[np.ndarray, "row column"], most: int) -> Integer[np.ndarray, " state"] | None:
    """Whole numbers m of copies of the units, few in all, for which |M^(1/2) W M^(-1/2)| < 1; None if none are found.

    Copying rescales units of any activation (`duplicated`), where ReLU could simply be scaled: M stands for D^-2.

    Args:
        weight_hh: as for `rescale`.
        most: largest number of units with all copies.
    Raises:
        ValueError: as for `rescale`.

    Source: our derivation.
    """
    shares = rescale(weight_hh).scale ** -2.0
    for factor in np.linspace(0, most / shares.sum(), TRIED):
        copies = np.maximum(np.rint(factor * shares), 1).astype(int)
        if copies.sum() <= most and np.linalg.norm(scaled_matrix(weight_hh, copies**-0.5), 2) < 1:
            return copies
    return None


def _parts(w: Float[np.ndarray, "state state"]) -> tuple[list[np.ndarray], Integer[np.ndarray, " state"]]:
    """Strongly connected parts, and for each unit how long a chain of other parts it drives."""
    count, label = connected_components(w != 0, connection="strong")
    parts = [np.flatnonzero(label == one) for one in range(count)]
    drives = np.zeros((count, count), bool)
    np.logical_or.at(drives, (label[:, None], label[None, :]), w != 0)
    np.fill_diagonal(drives, False)
    return parts, _chains(drives)[label]


def _chains(drives: Bool[np.ndarray, "part part"]) -> Integer[np.ndarray, " part"]:
    """Longest chain i <- j <- ... downwards from each part j; drives[i, j] says that j drives i."""
    length = np.zeros(len(drives), int)
    for _ in range(len(drives)):
        longer = np.max(drives * (length + 1)[:, None], axis=0, initial=0)
        if (longer == length).all():
            break
        length = longer
    return length


def _least(w: Float[np.ndarray, "state state"]) -> tuple[Float[np.ndarray, " state"], Float[np.ndarray, "state state"]]:
    """t = log d for the least norm of an irreducible W, and the certificate Z that goes with it."""
    if len(w) == 1:
        return np.zeros(1), np.ones((1, 1))
    t = best = _perron(w)
    for exponent in EXPONENTS:
        t = minimize(_schatten, t, (w, exponent), "L-BFGS-B", jac=True, options=SEARCH).x
        best = min(best, t, key=lambda t: _norm(w, t))
    return best - best.mean(), _certificate(w, t)


def _perron(w: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """log sqrt(v / u) with |W| v = r v and u |W| = r u."""
    vectors = []
    for matrix in (np.abs(w), np.abs(w).T):
        values, columns = np.linalg.eig(matrix)
        vectors.append(np.abs(columns[:, values.real.argmax()]))
    right, left = (np.maximum(vector, np.finfo(float).tiny) for vector in vectors)
    return np.clip(np.log(right / left) / 2, -WIDEST, WIDEST)


def _schatten(
    t: Float[np.ndarray, " state"], w: Float[np.ndarray, "state state"], exponent: int
) -> tuple[float, Float[np.ndarray, " state"]]:
    """log of the Schatten norm of A = e^-t W e^t, and its slope: the mean of v^2 - u^2 with weights s^p.

    Singular values are roots of eigenvalues of A^T A, less exact for the small ones, which do not count here.
    """
    a = _at(w, t)
    squares, right = np.linalg.eigh(a.T @ a)
    powers = np.maximum(squares / squares[-1], 0) ** (exponent / 2)
    counted = powers > EPS**2
    right = right[:, counted]
    slope = (right**2 - (a @ right) ** 2 / squares[counted]) @ (powers[counted] / powers.sum())
    return float(np.log(squares[-1]) / 2 + np.log(powers.sum()) / exponent), slope


def _certificate(
    w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"]
) -> Float[np.ndarray, "state state"]:
    """D (sum of s_i^(p-2) v_i v_i^T) D, which stationarity makes one, less what is too small to count."""
    _, values, right = np.linalg.svd(_at(w, t))
    factor = right * (values / values[0])[:, None] ** (EXPONENTS[-1] / 2 - 1)
    size = np.linalg.norm(factor, axis=0)
    trimmed = [factor * (size > support * size.max()) * np.exp(t - t.max()) for support in SUPPORTS]
    return max((f.T @ f for f in trimmed), key=lambda z: certified_norm(w, z))


def _proven(w: Float[np.ndarray, "state state"], parts: list[np.ndarray], certificate: np.ndarray) -> float:
    """The largest lower bound at hand: by the certificate, the spectral radius, and |det|^(1/n) of the parts."""
    blocks = [w[np.ix_(part, part)] for part in parts]
    radius = max(np.abs(np.linalg.eigvals(block)).max() for block in blocks)
    volume = max(np.exp(np.linalg.slogdet(block)[1] / len(block)) for block in blocks)
    return float(max(certified_norm(w, certificate), radius, volume))


def _apart(
    w: Float[np.ndarray, "state state"],
    t: Float[np.ndarray, " state"],
    place: Integer[np.ndarray, " state"],
    infimum: float,
) -> Float[np.ndarray, " state"]:
    """Lower t along the chains, step by step, until the norm is halfway between the infimum and 1."""
    target = (infimum + 1) / 2 if infimum < 1 else infimum * (1 + NEAR)
    best = t
    for lower in np.arange(0, WIDEST / max(int(place.max()), 1), LOWER):
        lowered = t - lower * place
        best = min(best, lowered, key=lambda t: _norm(w, t))
        if _norm(w, best) <= target or not place.any():
            break
    return best - best.mean()


def _at(w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"]) -> Float[np.ndarray, "state state"]:
    """e^-t W e^t, without overflow where W is 0."""
    return w * np.exp(np.where(w != 0, t[None, :] - t[:, None], 0))


def _norm(w: Float[np.ndarray, "state state"], t: Float[np.ndarray, " state"]) -> float:
    return float(np.linalg.norm(_at(w, t), 2))
