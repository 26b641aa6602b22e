"""What no orthogonal twin can do: slopes at fixed points, and the eigenvalues that show in the outputs.

At a constant input with fixed point h, and slopes D = phi'(W h + F x + b) there, small changes of the inputs are
answered by g_j = C (D W)^j D F. Equal maps have equal g_j, so the eigenvalues that show in them, those of the minimal
realisation, are eigenvalues of the twin's D_u W_u as well, whose moduli lie between its least and its largest slope.

Our derivation; the paper's Theorem 3 says that for some sigmoid network there is no twin.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from hitherto.theory.unitary_activations import Activation
from hitherto.theory.unitary_network import Network, refuse_complex

RANK = 1e-10  # singular values of a Hankel matrix below this, relative to the largest, count as 0
DOUBT = (1e-3, 1e2)  # those between these multiples of it leave the rank open
SLACK = 1e-6  # by which a modulus must pass a slope
STEPS = 10_000  # towards a fixed point
FAR = 1e100  # states beyond this do not come back


@dataclass(frozen=True, eq=False)
class VisibleModes:
    """What the answers g_0, g_1, ... say of the eigenvalues behind them.

    Attributes:
        poles: of a minimal realisation, largest first; those that are 0 or unclear against the largest may be missing.
        rank_now, rank_next: ranks of the Hankel matrices (g_(i+j)) and (g_(i+j+1)).
        clear: whether no singular value is near the threshold of these ranks.
        now, next: the singular values.
    """

    poles: Complex[np.ndarray, " pole"]
    rank_now: int
    rank_next: int
    clear: bool
    now: Float[np.ndarray, " number"]
    next: Float[np.ndarray, " number"]

    @property
    def zero_mode(self) -> bool:
        """Whether 0 is a visible eigenvalue: rank_next < rank_now, and clearly so.

        Then no orthogonal network whose activation has slopes other than 0 has these answers, of any size: its D_u W_u
        is invertible. Eigenvalues below about 1e-5 of the largest are taken for 0.
        """
        return self.clear and self.rank_next < self.rank_now

    @property
    def radius(self) -> float:
        """Largest modulus of a visible eigenvalue; 0 if nothing shows."""
        return float(np.abs(self.poles).max(initial=0.0))

    def below(self, least_slope: float) -> bool:
        """Whether something shows, and all of it is below the least slope: no orthogonal twin, of any size."""
        return self.rank_now > 0 and self.radius < least_slope - SLACK

    def above(self, lipschitz: float) -> bool:
        """Whether a visible eigenvalue is above the largest slope: no orthogonal twin, of any size."""
        return self.radius > lipschitz + SLACK


def fixed_point(
    network: Network, phi: Activation, x: Float[np.ndarray, " input"]
) -> Float[np.ndarray, " state"] | None:
    """h = phi(W h + F x + b), which the network reaches from h[-1] under the constant input x; None if it does not.

    Raises:
        ValueError: for complex weights.

    Cost: n^2 for each of up to 10,000 steps.
    """
    refuse_complex(weight_hh=network.weight_hh, weight_ih=network.weight_ih, bias=network.bias, initial=network.initial)
    driven, h = network.weight_ih @ x + network.bias, network.initial
    for _ in range(STEPS):
        before, h = h, phi.apply(network.weight_hh @ h + driven)
        if np.abs(h).max() > FAR:
            return None
        if np.abs(h - before).max() <= 1e-15 * (1 + np.abs(h).max()):
            return h
    return h if np.abs(h - before).max() <= 1e-13 * (1 + np.abs(h).max()) else None


def impulse_response(
    network: Network, slopes: Float[np.ndarray, "state state"], lags: int
) -> Float[np.ndarray, "lag output input"]:
    """g_j = C (D W)^j D F for j = 0..lags-1.

    Args:
        network: of which W, F and C count.
        slopes: D, a diagonal matrix for pointwise activations (`Activation.jacobian`).
        lags: how many.
    """
    moved, answers = slopes @ network.weight_ih, []
    for _ in range(lags):
        answers.append(network.readout @ moved)
        moved = slopes @ (network.weight_hh @ moved)
    return np.stack(answers)


def visible_modes(response: Float[np.ndarray, "lag output input"]) -> VisibleModes:
    """Ranks of H_0 = (g_(i+j)) and H_1 = (g_(i+j+1)), i, j = 0..q-1, and the poles of the realisation they give.

    Singular values below 1e-10 of the largest of H_0 count as 0, and leave the rank open from 1e-13 to 1e-8.

    Args:
        response: g_0, ..., g_(2q-1), with q the number of states.
    Raises:
        ValueError: for an odd number of lags, or none.

    Cost: singular values of matrices of q times as many rows as outputs.
    Source: Ho and Kalman (1966) for the realisation; what follows from it is our derivation.
    """
    lags = len(response)
    if not lags or lags % 2:
        raise ValueError(f"visible modes are told from g_0, ..., g_(2q-1), got {lags} of them; give an even number")
    now, later = _hankel(response[:-1]), _hankel(response[1:])
    left, values, right = np.linalg.svd(now, full_matrices=False)
    following = np.linalg.svd(later, compute_uv=False)
    scale = values[0] if values[0] > 0 else 1.0
    rank_now, rank_next = (int((one > RANK * scale).sum()) for one in (values, following))
    every = np.concatenate([values, following]) / scale
    clear = not ((every > RANK * DOUBT[0]) & (every < RANK * DOUBT[1])).any()
    root = np.sqrt(values[:rank_now])
    shift = left[:, :rank_now].T @ later @ right[:rank_now].T / root / root[:, None]
    poles = np.linalg.eigvals(shift).astype(complex)
    return VisibleModes(poles[np.argsort(-np.abs(poles))], rank_now, rank_next, clear, values, following)


def finite_witness(slopes: Float[np.ndarray, " state"], first: float | int) -> float:
    """The least that max over j = 1..N of |g_j| can be in an orthogonal network of N states with slopes d:

    (product of d) |g_0| / ((1 + max d)^N - product of d). A network with g_j = 0 for j >= 1 differs by that much.

    Args:
        slopes: d_i > 0, at the fixed point of the given N-state network.
        first: |g_0|.
    Raises:
        ValueError: without a slope, or for one that is not above 0.

    Source: our derivation, by the theorem of Cayley and Hamilton; equality for N = 1.
    """
    if not len(slopes) or slopes.min() <= 0:
        raise ValueError(f"a witness needs slopes above 0, got {slopes}; at slopes of 0 modes can hide")
    product = float(np.prod(slopes))
    return product * abs(first) / float((1 + slopes.max()) ** len(slopes) - product)


def _hankel(response: Float[np.ndarray, "lag output input"]) -> Float[np.ndarray, "row column"]:
    """(g_(i+j)) for i, j = 0..q-1, of 2 q - 1 lags."""
    q = (len(response) + 1) // 2
    return np.concatenate([np.concatenate(list(response[i : i + q]), 1) for i in range(q)])
