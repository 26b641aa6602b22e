"""Orthonormal coordinates for the states of a stable linear recurrence under white input, and what can be read of them.

For s[t] = A s[t-1] + B x[t] the states are filters of the inputs, and their covariance is hopelessly conditioned for
random A of some tens of units. So none is solved for. With A upper triangular the last state is driven by the inputs
alone,

    phi[t] = l phi[t-1] + a v^H x[t],  l its eigenvalue, v = b^H / |b| of its row b of B, a = (1 - |l|^2)^(1/2),

has variance 1, and x'[t] = (I - (1 + conj l) v v^H) x[t] + a v phi[t-1] is white again and independent of it: an
all-pass filter. The other states are multiples of phi plus a recurrence of the same form driven by x', and so one
state after the other is taken off. What comes out is Hammarling's factor M of the covariance, s = M phi, to high
relative accuracy; for one input channel the filters are those of Takenaka and Malmquist and need eigenvalues alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import frexp, log
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Inexact
from scipy.linalg import block_diag, hessenberg, qr, schur, solve_triangular
from scipy.linalg.lapack import ztrexc
from scipy.signal import lfilter

from hitherto.measures.linear_system import LinearSystem, block_eigenvalues

TINY = 1e-75
HIDING = 14.0  # logarithm of a growth beside which less than a millionth is lost to rounding
REACHED = 1e-12  # couplings, relative to all of them, that are no rounding errors
INDEPENDENT = 1e-10  # singular values, of pieces of orthonormal rows, that are no rounding errors


class AllPass(NamedTuple):
    """The filters, in the order of the cascade, and the states as their combinations."""

    poles: Complex[np.ndarray, " filter"]
    directions: Complex[np.ndarray, "filter input"]
    states: Complex[np.ndarray, "state filter"]


def all_pass(
    A: Inexact[np.ndarray, "state state"],
    B: Inexact[np.ndarray, "state input"],
    layers: tuple[slice, ...],
) -> AllPass:
    """Orthonormal filters of white inputs, with states = M phi: the covariance of the states is M M^H.

    Args:
        A: block triangular.
        layers: the diagonal blocks, in an order in which each depends on those before it.
    Raises:
        ValueError: if an eigenvalue is not inside the unit circle.

    Cost: state^3 products.
    Source: our derivation; Hammarling (1982) for the factor, Takenaka and Malmquist for the filters.
    """
    forms = [schur(A[layer, layer], output="complex") for layer in reversed(layers)]
    order = np.concatenate([np.arange(len(A))[layer] for layer in reversed(layers)])
    basis = np.zeros(A.shape, complex)
    basis[order] = block_diag(*(vectors for _, vectors in forms))
    triangular, entering = np.triu(basis.conj().T @ A @ basis), basis.conj().T @ B
    _refuse_unstable(np.diag(triangular))
    factor, directions = np.zeros(A.shape, complex), np.zeros(B.shape, complex)
    for k, last in enumerate(reversed(range(len(A)))):
        upto = slice(last + 1)
        directions[k], factor[upto, k], entering = _taken_off(triangular[upto, upto], entering)
    return AllPass(np.diag(triangular)[::-1], directions, basis @ factor)


def _taken_off(
    A: Complex[np.ndarray, "state state"], B: Complex[np.ndarray, "state input"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Direction of the filter of the last state, all states as multiples of it, and what drives the others then."""
    pole, size = A[-1, -1], np.linalg.norm(B[-1])
    direction = B[-1].conj() / size if size else np.eye(1, B.shape[1])[0]
    gain, along, rest = _gain(pole), B[:-1] @ direction, A[:-1, :-1]
    driven = rest @ along - pole * along + A[:-1, -1] * size
    passed = solve_triangular(np.eye(len(rest)) - pole.conj() * rest, driven) if len(rest) else driven
    multiples = np.append(along + pole.conj() * passed, size) / gain
    return direction, multiples, B[:-1] + np.outer(passed - along, direction.conj())


def _refuse_unstable(poles: Complex[np.ndarray, " filter"]) -> None:
    radius = np.abs(poles).max(initial=0.0)
    if radius >= 1:
        raise ValueError(
            f"the state after inputs without beginning was asked for, but the spectral radius is {radius:.6g} and must "
            "be below 1; scale the recurrent weights, ask `linear_memory_curve` for a horizon=, the steps since the "
            "zero state, or take `hankel_rank`, which has no such bound"
        )


def _gain(pole: complex) -> float:
    return float(np.sqrt((1 - abs(pole)) * (1 + abs(pole))))


def responses(
    poles: Complex[np.ndarray, " filter"], directions: Complex[np.ndarray, "filter input"], channels: int, lags: int
) -> Iterator[Complex[np.ndarray, "lag channel"]]:
    """Each filter's response to an impulse in each of the first `channels` inputs.

    Cost: filters x lags x inputs x channels products; memory of one filter.
    """
    inputs = directions.shape[1]
    signal = np.zeros((inputs, lags, channels), complex)
    signal[:, 0] = np.eye(inputs, channels)
    for pole, direction in zip(poles, directions, strict=True):
        along = np.tensordot(direction.conj(), signal, 1)
        response = lfilter([_gain(pole)], [1, -pole], along, axis=0)
        change = -(1 + pole.conj()) * along
        change[1:] += _gain(pole) * response[:-1]
        signal += np.multiply.outer(direction, change)
        yield response


class Part(NamedTuple):
    """A recurrence, and independent rows that read its states; None where all of them are read."""

    A: Inexact[np.ndarray, "state state"]
    B: Inexact[np.ndarray, "state input"]
    layers: tuple[slice, ...]
    seen: Inexact[np.ndarray, "row state"] | None

    @property
    def rank(self) -> int:
        """How many independent combinations of states are read."""
        return len(self.A) if self.seen is None else len(self.seen)


class Reading(NamedTuple):
    """Filters, and orthonormal combinations of them that can be read, one a column; None where all can be read."""

    poles: Complex[np.ndarray, " filter"]
    directions: Complex[np.ndarray, "filter input"]
    mix: Complex[np.ndarray, "filter combination"] | None


def scale_of(array: Float[np.ndarray, "row column"]) -> float:
    """A power of two near the largest entry, so that dividing by it rounds nothing; 1 where all are 0."""
    largest = float(np.abs(array).max(initial=0.0))
    return 2.0 ** (frexp(largest)[1] - 1) if largest else 1.0


@contextmanager
def within_float64(asked: str) -> Iterator[None]:
    """Refuses weights whose powers and products leave the numbers of float64.

    Raises:
        ValueError: in place of an overflow.
    """
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        try:
            yield
        except FloatingPointError as error:
            raise ValueError(
                f"{asked} was asked for, but products of the weights leave float64 ({error}); scale the weights, which "
                "changes no readout but its size"
            ) from error


def refuse_vanishing(A: Float[np.ndarray, "state state"]) -> None:
    """Refuses weights whose powers leave float64 at the lower end, which no overflow tells.

    Raises:
        ValueError: if even the largest is next to nothing.
    """
    if A.any() and scale_of(A) < TINY:
        raise ValueError(
            f"the largest of the weights from state to state has size {np.abs(A).max():.3g}, and its powers vanish in "
            f"float64; scale the states so that it lies above {TINY}"
        )


def whole(system: LinearSystem, read: str) -> Part:
    """All states, read in `all` layers or in the `top` one.

    Raises:
        ValueError: if there is none to read.
    """
    rows = np.arange(len(system.A))[slice(None) if read == "all" else system.layers[-1]]
    if not len(rows):
        raise ValueError(f"states of {read} layers were to be read, but there are none; give a model with states there")
    seen = None if len(rows) == len(system.A) else np.eye(len(system.A))[rows]
    return Part(system.A, system.B, tuple(layer for layer in system.layers if layer.start < layer.stop), seen)


def reached(part: Part) -> Part:
    """The same where inputs reach every state, else the part that they reach, with rows that are independent there."""
    part = part._replace(B=part.B / scale_of(part.B))  # what is reached and read depends on no scale
    basis = _reachable(part.A, part.B)
    if basis.shape[0] == basis.shape[1]:
        return part
    seen = None if part.seen is None else _independent(part.seen @ basis)
    if seen is not None and not len(seen):  # nothing to read
        basis, seen = basis[:, :0], None
    return Part(basis.T @ part.A @ basis, basis.T @ part.B, (slice(0, basis.shape[1]),), seen)


def _independent(rows: Inexact[np.ndarray, "row column"]) -> np.ndarray:
    """Orthonormal rows with the span of these, which are pieces of orthonormal ones."""
    _, sizes, spanning = np.linalg.svd(rows, full_matrices=False)
    return spanning[sizes > INDEPENDENT]


def _reachable(
    A: Float[np.ndarray, "state state"], B: Float[np.ndarray, "state input"]
) -> Float[np.ndarray, "state reached"]:
    """An orthonormal basis of the span of B, A B, A^2 B, ...

    A Hessenberg form that begins with B shows it for one channel: it ends where an entry below the diagonal is zero. To
    several channels random feedback, A + B F from B g, gives the same span almost surely (Heymann's lemma).
    """
    columns = B[:, B.any(0)] / np.linalg.norm(B[:, B.any(0)], axis=0)
    size, channels = columns.shape
    scale, draw = float(np.linalg.norm(A)) or 1.0, np.random.default_rng(0)
    bordered = np.zeros((size + 1, size + 1))
    bordered[1:, :1] = scale * columns @ draw.standard_normal((channels, 1))
    bordered[1:, 1:] = A + scale / max(size, 1) * columns @ draw.standard_normal((channels, size))
    form, basis = hessenberg(bordered, calc_q=True)
    ended = np.abs(np.diag(form, -1)) <= REACHED * np.linalg.norm(bordered)
    return basis[1:, 1 : 1 + (int(np.argmax(ended)) if ended.any() else size)]


def reading(part: Part) -> Reading:
    """The filters behind the states that are read; of one input channel and all states, by eigenvalues alone.

    Raises:
        ValueError: if an eigenvalue is not inside the unit circle.
    """
    if part.seen is None and (part.B.shape[1] == 1 or not len(part.A)):
        poles = block_eigenvalues(part.A, part.layers)
        poles = poles[np.argsort(np.abs(poles))]
        _refuse_unstable(poles)
        return Reading(poles, np.ones((len(poles), 1), complex), None)
    poles, directions, states = all_pass(*part[:3])
    mix = None if part.seen is None else orthonormal((part.seen @ states).conj().T)
    return Reading(poles, directions, mix)


def shares(read: Reading, channels: int, lags: int) -> Float[np.ndarray, "lag channel"]:
    """R^2 of the best linear readout of each channel of x[t-k]; white inputs without beginning.

    Cost: filters x lags x inputs x channels products, with a mix also memory filters x lags x channels.
    """
    if read.mix is not None:
        return (np.abs(_mixed(read, channels, lags)) ** 2).sum(0)
    found = responses(read.poles, read.directions, channels, lags)
    return sum((np.abs(response) ** 2 for response in found), np.zeros((lags, channels)))


def _mixed(read: Reading, channels: int, lags: int) -> Complex[np.ndarray, "combination lag channel"]:
    found = np.stack([*responses(read.poles, read.directions, channels, lags)])
    return found if read.mix is None else np.tensordot(read.mix.conj().T, found, 1)


def shares_from_zero(part: Part, radius: float, horizon: int) -> Float[np.ndarray, "lag channel"]:
    """`shares` for white inputs that begin `horizon` steps before the state is read, from the zero state.

    The rows of (B, A B, ..., A^(T-1) B) are spanned by the filters, cut short, of A / g, times g^k at lag k. So any A
    is allowed, with g just above its spectral radius where that is not below 1. What grows hides what does not, and so
    the filters of smaller poles come first: those after them have no part in the former.
    """
    growth, channels = max(1.0, radius * (1 + 1 / horizon)), part.B.shape[1]
    if not part.rank:
        return np.zeros((horizon, channels))
    slowed = part._replace(A=part.A / growth)
    read = reading(_graded(slowed) if horizon * log(growth) > HIDING else slowed)
    rows = _mixed(read, channels, horizon).reshape(part.rank, horizon * channels)
    if horizon < len(part.A):  # fewer steps than states may leave rows that depend on each other
        rows = _independent(rows)
    weights = np.repeat(growth ** (np.arange(horizon) - horizon + 1.0), channels)
    columns = (rows * weights).conj().T
    sizes = np.linalg.norm(columns, axis=0)
    spanning = orthonormal(columns[::-1] / np.where(sizes > 0, sizes, 1))[::-1]
    return (np.abs(spanning) ** 2).sum(1).reshape(horizon, channels)


def _graded(part: Part) -> Part:
    """In coordinates in which A is upper triangular, the larger eigenvalues first and so the last in the cascade."""
    triangular, basis = schur(part.A, output="complex")
    for place in range(len(triangular)):
        largest = place + int(np.argmax(np.abs(np.diag(triangular)[place:])))
        triangular, basis, _ = ztrexc(triangular, basis, largest + 1, place + 1)
    seen = None if part.seen is None else part.seen @ basis
    return Part(triangular, basis.conj().T @ part.B, (slice(0, len(triangular)),), seen)


def orthonormal(columns: Complex[np.ndarray, "row column"]) -> Complex[np.ndarray, "row column"]:
    """An orthonormal basis of the span of independent columns; largest rows first, it is precise in each row."""
    return qr(columns, mode="economic", pivoting=True)[0]
