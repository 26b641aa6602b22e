"""Contractive networks inside orthogonal ones: the dilation, how many states it takes, and what a matrix leaks.

A W of norm at most 1 is the corner of an orthogonal matrix: with W^T W = V S^2 V^T, defects c_i = sqrt(1 - s_i^2) and
the k directions with c_i > 0 (marked +),

    W_u = [ W         W12 ]    F_u = [F; 0]   b_u = [b; extra bias]
          [ C+ V+^T   W22 ]    C_u = [C, 0]   h_u[-1] = [h[-1]; 0],

where [W12; W22] completes the orthonormal columns to the left of it. An extra bias so low that ReLU keeps the extra
units at 0 (`theory.unitary_bounds`) leaves the map as it was.

Paper: Emami, Sahraee-Ardakan, Rangan, Fletcher (2019), "Input-output equivalence of unitary and contractive RNNs",
arXiv 1910.13672, of which statements, poster and scripts were read; its Theorem 1 says at most 2 n states. Formulas and
proofs are our derivation unless a docstring says otherwise.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Inexact

from hitherto.theory.unitary_network import EPS, square

SAME = 1e-9  # eigenvalues this near to each other count as one, relative to max(1, |W|)


@dataclass(frozen=True, eq=False)
class Defects:
    """W^T W = V S^2 V^T, of which the directions with a singular value below 1 are kept; complex W have V^H for V^T.

    Attributes:
        corner: W, with the singular values of all other directions rounded to 1.
        directions: V+.
        sizes: c_i = sqrt(1 - s_i^2) of the kept directions, largest first.
        rounding: largest 1 - s_i that was rounded up; if it is 0 the corner is W to the last bit.
    """

    corner: Inexact[np.ndarray, "state state"]
    directions: Inexact[np.ndarray, "state extra"]
    sizes: Float[np.ndarray, " extra"]
    rounding: float


@dataclass(frozen=True, eq=False)
class Dilation:
    """An orthogonal matrix whose corner is a given one; unitary where that is complex.

    Attributes:
        weight_hh: [corner, into_states; into_extra, among_extra].
        states: n, rows of the corner; the rest are extra states.
        rounding: as for `Defects`.
    """

    weight_hh: Inexact[np.ndarray, "all all"]
    states: int
    rounding: float

    @property
    def corner(self) -> Inexact[np.ndarray, "state state"]:
        """W."""
        return self.weight_hh[: self.states, : self.states]

    @property
    def into_states(self) -> Inexact[np.ndarray, "state extra"]:
        """What extra states add to the first n."""
        return self.weight_hh[: self.states, self.states :]

    @property
    def into_extra(self) -> Inexact[np.ndarray, "extra state"]:
        """What the first n states add to the extra ones."""
        return self.weight_hh[self.states :, : self.states]

    @property
    def among_extra(self) -> Inexact[np.ndarray, "extra extra"]:
        """What extra states add to each other."""
        return self.weight_hh[self.states :, self.states :]

    @property
    def residual(self) -> float:
        """Largest entry of |W_u^T W_u - I|; its spectral norm is larger."""
        gram = self.weight_hh.conj().T @ self.weight_hh
        return float(np.abs(gram - np.eye(len(gram))).max())

    def flipped(self, signs: Float[np.ndarray, " extra"]) -> "Dilation":
        """The same with extra units of sign -1 negated, rows and columns alike: as orthogonal, with the same corner."""
        every = np.concatenate([np.ones(self.states), signs])
        return Dilation(self.weight_hh * every * every[:, None], self.states, self.rounding)


@dataclass(frozen=True)
class StateCount:
    """How many states orthogonal twins of a ReLU network need.

    Attributes:
        upper: n + k, which the dilation takes; another scaling of the units can lower it (`unitary_unit_norm`).
        lower: n + g.
        lower_holds: what the lower bound assumes.
    """

    upper: int
    lower: int
    lower_holds: str


@dataclass(frozen=True, eq=False)
class LeakSpectrum:
    """What is lost of the state per step without input, by right singular direction of W, most first.

    Attributes:
        leaks: c_i^2, the share of the energy; 0 is stored without loss.
        half_lives: ln 2 / (-ln s_i), steps until half of the amplitude is left if the direction came back to itself.
    """

    leaks: Float[np.ndarray, " state"]
    half_lives: Float[np.ndarray, " state"]


def defects(weight_hh: Inexact[np.ndarray, "row column"], tolerance: float | None = None) -> Defects:
    """c_i = sqrt(1 - s_i^2) and v_i, for the directions with 1 - s_i above the tolerance.

    The other directions count as lossless, and the corner takes them as such: W + sum of (1 - s_i) u_i v_i^T. Rank is
    told from 1 - s_i and not from c_i, its square root, whose rounding errors are of the size 1e-8.

    Args:
        weight_hh: W, of norm at most 1 up to rounding.
        tolerance: n + 8 units of rounding by default, about what s_i is known to.
    Raises:
        ValueError: if W is not square or not finite, or its norm is above 1.

    Cost: one eigenvalue decomposition, n^3.
    Source: our derivation.
    """
    w = square(weight_hh)
    squares, directions = _squares(w)
    gaps = (1 - squares) / (1 + np.sqrt(squares))
    return _rounded(w, squares, directions, gaps > (_noise(len(w)) if tolerance is None else tolerance))


def truncated(weight_hh: Inexact[np.ndarray, "row column"], extra: int) -> Defects:
    """`defects` with so few extra states as can be afforded: the n - r largest singular values are rounded up to 1.

    Its `rounding` is the norm of the change of W. How far outputs change is not told; measure it.

    Args:
        weight_hh: as for `defects`, and not singular in the directions that are rounded.
        extra: r, from 0 to n.
    Raises:
        ValueError: as for `defects`, or for another number of extra states.

    Source: our derivation.
    """
    w = square(weight_hh)
    if not 0 <= extra <= len(w):
        raise ValueError(f"{extra} extra states were asked for beside {len(w)}; give a number from 0 to {len(w)}")
    squares, directions = _squares(w)
    return _rounded(w, squares, directions, np.arange(len(w)) < extra)


def dilate(weight_hh: Inexact[np.ndarray, "row column"], tolerance: float | None = None) -> Dilation:
    """[W, W12; C+ V+^T, W22], orthogonal, with N = n + rank(I - W^T W) rows; N = n for orthogonal W.

    (Q W21, W12 R, Q W22 R) with any orthogonal Q and R is as good: of W21 = C+ V+^T only the Gram matrix
    W21^T W21 = I - W^T W is determined.

    Args:
        weight_hh, tolerance: as for `defects`; the corner is W to the last bit unless directions were rounded.
    Raises:
        ValueError: as for `defects`.

    Cost: an eigenvalue and a QR decomposition, n^3: 1,024 states take a second. A step then costs (1 + k / n)^2 of what
        it did.
    Source: our derivation, after Theorem 1 of the paper; Halmos (1950) for the idea.
    """
    found = defects(weight_hh, tolerance)
    return completed(found.corner, (found.directions * found.sizes).conj().T, found.rounding)


def completed(
    corner: Inexact[np.ndarray, "state state"], into_extra: Inexact[np.ndarray, "extra state"], rounding: float = 0.0
) -> Dilation:
    """[corner, W12; into_extra, W22], orthogonal, from orthonormal columns [corner; into_extra]."""
    columns = np.vstack([corner, into_extra])
    complement = np.linalg.qr(columns, mode="complete")[0][:, len(corner) :]
    return Dilation(np.hstack([columns, complement]), len(corner), rounding)


def power_dilation(weight_hh: Inexact[np.ndarray, "row column"], horizon: int) -> Dilation:
    """An orthogonal matrix whose powers 1..T have the powers of W as corners: a linear network's twin over T steps.

    What leaks into the extra states waits in k delay lines of T places and would come back after T steps, N = n + T k.
    Over an infinite horizon a stable linear network has no finite twin.

    Args:
        weight_hh: as for `defects`.
        horizon: T, steps from 1 on; if h[-1] = 0, horizon - 1 serves as well.
    Raises:
        ValueError: as for `defects`, or for no steps.

    Source: Egervary (1954), with k places for n in each block.
    """
    if horizon < 1:
        raise ValueError(f"a power dilation was asked for over {horizon} steps; give a horizon of at least 1")
    once = dilate(weight_hh)
    n, k = once.states, len(once.weight_hh) - once.states
    size = n + horizon * k
    ends = np.r_[0:n, size - k : size]
    all_states = np.zeros((size, size), once.weight_hh.dtype)
    all_states[np.ix_(np.arange(n + k), ends)] = once.weight_hh
    all_states[np.arange(n + k, size), np.arange(n, size - k)] = 1
    return Dilation(all_states, n, once.rounding)


def states_needed(weight_hh: Inexact[np.ndarray, "row column"], tolerance: float | None = None) -> StateCount:
    """n + g <= N <= n + k.

    k = rank(I - W^T W), and g is the largest geometric multiplicity of an eigenvalue inside the unit circle. The upper
    bound needs inputs for which an extra bias exists. The lower one reads dim ker(W - z I) with a relative tolerance of
    1e-9, so it misses eigenvalues that near to the circle, and is then too low, never too high by rounding.

    Args:
        weight_hh, tolerance: as for `defects`.
    Raises:
        ValueError: as for `defects`.

    Source: our derivation, the lower bound generic (W = 0 is the example of the paper's Theorem 2).
    """
    found = defects(weight_hh, tolerance)
    n = len(found.corner)
    if not found.corner.any():
        holds = "rigorous for two steps or more if weight_ih has rank n, readout has rank n and all units can be on"
    else:
        holds = "generic: a constant input holds all units on, and input and readout meet every mode"
    return StateCount(n + len(found.sizes), n + _multiplicity(found.corner), holds)


def leak_spectrum(weight_hh: Inexact[np.ndarray, "row column"]) -> LeakSpectrum:
    """c_i^2 = 1 - s_i^2 and the half-life ln 2 / (-ln s_i) of every direction; infinite where s_i = 1.

    Args:
        weight_hh: as for `defects`; singular values above 1 by rounding count as 1.
    Raises:
        ValueError: as for `defects`.

    Cost: eigenvalues, n^3.
    Source: our derivation.
    """
    squares = np.minimum(_squares(square(weight_hh))[0], 1)
    with np.errstate(divide="ignore"):
        return LeakSpectrum(1 - squares, np.log(4) / np.abs(np.log(squares)))


def _noise(size: int) -> float:
    """How far singular values near 1 are uncertain."""
    return (size + 8) * EPS


def _squares(
    w: Inexact[np.ndarray, "state state"],
) -> tuple[Float[np.ndarray, " state"], Inexact[np.ndarray, "state state"]]:
    """Squared singular values, smallest first, and right singular vectors, for a norm of at most 1.

    By eigenvalues of W^T W: 1 - s^2 is wanted to absolute precision, which they keep to a few units of rounding, where
    LAPACK's singular value decomposition stops at a hundred (and W12 = -U C would inherit it).
    """
    squares, directions = np.linalg.eigh(w.conj().T @ w)
    norm = np.sqrt(max(squares[-1], 0.0))
    if norm > 1 + _noise(len(w)) * max(1.0, norm):
        raise ValueError(
            f"an orthogonal matrix was asked for around one of norm {norm:.9g}, which must be at most 1; rescale the "
            "units (`rescale`), after `prune`, or scale the matrix down"
        )
    return np.maximum(squares, 0), directions


def _rounded(
    w: Inexact[np.ndarray, "state state"],
    squares: Float[np.ndarray, " state"],
    directions: Inexact[np.ndarray, "state state"],
    kept: Bool[np.ndarray, " state"],
) -> Defects:
    """The defects of the kept directions, with all others rounded to 1 in the corner."""
    lossless, values = directions[:, ~kept], np.sqrt(squares[~kept])
    sizes = np.sqrt(1 - squares[kept])
    if not (values != 1).any():
        return Defects(w, directions[:, kept], sizes, 0.0)
    corner = w + (w @ lossless * ((1 - values) / values)) @ lossless.conj().T
    return Defects(corner, directions[:, kept], sizes, float(max((1 - values).max(), 0.0)))


def _multiplicity(w: Inexact[np.ndarray, "state state"]) -> int:
    """Largest dim ker(W - z I) over eigenvalues z inside the unit circle; 0 if all lie on it."""
    tolerance = SAME * max(1.0, np.linalg.norm(w, 2))
    inside = np.linalg.eigvals(w)
    inside = inside[np.abs(inside) < 1 - tolerance]
    found = min(len(inside), 1)
    for z in inside:
        if (np.abs(z - inside) < tolerance).sum() > found:
            near = np.linalg.svd(w - z * np.eye(len(w)), compute_uv=False)
            found = max(found, int((near < tolerance).sum()))
    return found
