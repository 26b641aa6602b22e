"""How fast gradient descent moves each lag of a driven model: its memory prior, linearised where it is not linear."""

from functools import partial
from math import isqrt
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hitherto.architectures.initialisation import multipliers
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model
from hitherto.core.quantity import HALF_LEVEL, MEMORY_PRIOR, PRIOR_MEAN_LAG, Estimate
from hitherto.measures.linear_system import LinearSystem, is_linear, linearised
from hitherto.measures.tangent_kernel import response_kernel
from hitherto.measures.trajectory import Trajectory, layers_of

LAGS = 128
CHANNELS = 128  # of inputs and of outputs: beyond, as many evenly spread ones stand for all
FEWEST = 9  # lags that are shown where later ones grow without end, or up to sqrt(width)
ROWS = 1024  # gradients that are taken one by one
FALLEN = 0.01  # of its peak: a prior that ends above has not been seen whole
EXPLODED = 10  # times the earlier peak at the end: growth by more than what critical weights have, in proportion to lag
SOURCE = "tangent kernel of the impulse response; our derivation"
STARTS = "the memory prior says how fast plain gradient descent begins to move each lag, not that it goes on so"
BARE = "a layer without a readout is taken as its state, read by what is not trained"
GROWING = "linearised at its mean state the layer amplifies old inputs without end, which the layer itself may not do"
LINEARISED = (
    "the memory prior of a nonlinear layer is that of the linear network with its slopes at the mean state and input"
)

LagKernel = Float[np.ndarray, "lag other"]


class Prior(NamedTuple):
    """A lag kernel, mean over channels, whether over all of them, and where it comes from."""

    kernel: LagKernel
    statistics: dict
    whole: bool
    assumptions: tuple[str, ...]
    doubt: str = ""


def driven_prior(run: Trajectory, part: str = "") -> tuple[Estimate, ...]:
    """rho_j = Theta[j, j] of every linear layer and every `RNN`, from its input to what it gives upward, and its sums.

    Linear layers: of their weights as they are trained. An `RNN` with an activation: of the linear network with the
    slopes A, B and C of its step at the mean state and input, of which A and B, and C if it is a readout, are trained.
    Gates multiply, so that there is no such network for gated layers, and nothing is given.

    Returns:
        By layer `MEMORY_PRIOR` for up to 128 lags, or sqrt(n) where slopes grow without end; `PRIOR_MEAN_LAG` and
        `HALF_LEVEL`. The first has in `statistics` `linearised`; `correlation`, the share of |Theta|^2 that couples
        different lags; and for an `RNN` the squared multipliers as `learning_rates` of W, F and C and, as `variances`,
        |A|^2 / n, |B|^2 / inputs and |C|^2 / outputs. There are no errors where 128 channels stand for more.
    Raises:
        ValueError: if the kernel is 0 or too large for a float, or if a layer whose weights are no matrices has too
            many channels for gradients one by one.

    Cost: 128 n^2 (inputs + outputs) products, n the width: a second for 512 units and 64 channels.
    Does not tell whether training stays as it begins: see `kernel_drift`.
    """
    found: tuple[Estimate, ...] = ()
    for name, piece in layers_of(run):
        if isinstance(piece.model.architecture, RNN) or is_linear(piece.model):
            found += _estimates(_prior_of(piece), f"{part} {name}".strip())
    return found


def _prior_of(run: Trajectory) -> Prior:
    layer, linear = run.model.architecture, is_linear(run.model)
    if not isinstance(layer, RNN):
        return _by_gradients(run.model)
    means = jax.tree.map(lambda state: state.mean((0, 1)), run.before)
    system, rates = linearised(run.model, means, run.driving.mean((0, 1))), _learning_rates(layer)
    kernel = mean_kernel(system, LAGS, rates)
    about = dict(linearised=not linear, learning_rates=rates, variances=_variances(system), width=layer.width)
    whole = max(system.B.shape[1], len(system.C)) <= CHANNELS
    said = ((STARTS, True), (LINEARISED, not linear), (BARE, layer.readout_size is None))
    assumed = tuple(sentence for sentence, holds in said if holds)
    if linear or not _grows(np.diagonal(kernel)):
        return Prior(kernel, about, whole, assumed)
    kept = max(FEWEST, isqrt(layer.width) + 1)
    return Prior(kernel[:kept, :kept], about, whole, assumed, GROWING)


def _grows(rho: Float[np.ndarray, " lag"]) -> bool:
    return bool(rho[-1] > EXPLODED * rho[: len(rho) // 2].max())


def mean_kernel(
    system: LinearSystem, lags: int, learning_rates: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> LagKernel:
    """Mean over outputs a and inputs p of Theta[j, l, a, a, p, p] of `lag_kernel`.

    With Q_j = A^j B, P_j = C A^j, q = Q_j . Q_l / inputs and p = P_j . P_l / outputs it is by_C q + by_F p + by_W times
    the sum over k < j, m < l of p_km q_(j-1-k)(l-1-m).

    Args:
        learning_rates: by_W, by_F and by_C, squares of what the matrices are multiplied by after they are stored.
    Raises:
        ValueError: if it is too large for a float.

    Cost: lags n^2 (inputs + outputs) + lags^4 / 8 products; unlike Fourier transforms the sums keep the digits of lags
    whose entries are small beside others.
    """
    by_W, by_F, by_C = learning_rates
    with np.errstate(over="ignore", invalid="ignore"):
        p = _products(system.A.T, _some(system.C).T, lags)
        q = _products(system.A, _some(system.B.T).T, lags)
        kernel = by_C * q + by_F * p
        for j, k in zip(*np.triu_indices(lags), strict=True):
            kernel[j, k] += by_W * np.vdot(p[:j, :k], q[:j, :k][::-1, ::-1])
    if np.isfinite(kernel).all():
        return np.triu(kernel) + np.triu(kernel, 1).T
    raise ValueError(
        f"the lag kernel was asked for over {lags} lags and is too large for a float, as the recurrent weights amplify "
        f"by up to {np.linalg.norm(system.A, 2):.3g} a step; call `lag_kernel` with fewer lags"
    )


def _products(A: np.ndarray, columns: np.ndarray, lags: int) -> LagKernel:
    """Mean over columns b of (A^j b) . (A^l b)."""
    found = [columns]
    for _ in range(lags - 1):
        found.append(A @ found[-1])
    rows = np.stack(found).reshape(lags, -1)
    return rows @ rows.T / columns.shape[1]


def _some(rows: np.ndarray) -> np.ndarray:
    """All rows, or as many as may be, evenly spread."""
    return rows if len(rows) <= CHANNELS else rows[np.linspace(0, len(rows) - 1, CHANNELS).astype(int)]


def _learning_rates(layer: RNN) -> tuple[float, float, float]:
    """Squared multipliers of W, F and C; a readout that is not there is not trained."""
    by_W, by_F, by_C = (multipliers(layer)[name] ** 2 for name in ("weight_hh", "weight_ih", "readout"))
    return by_W, by_F, 0.0 if layer.readout_size is None else by_C


def _variances(system: LinearSystem) -> tuple[float, float, float]:
    """|A|^2 / n, |B|^2 / inputs and |C|^2 / outputs."""
    squares = zip((system.A, system.B, system.C), (len(system.A), system.B.shape[1], len(system.C)), strict=True)
    return tuple(float(np.square(matrix).sum()) / count for matrix, count in squares)  # type: ignore[return-value]


def _by_gradients(model: Model) -> Prior:
    """Of a linear layer whose weights are not matrices, by differentiating its impulse response."""
    pairs = model.architecture.input_size * model.architecture.output_size
    lags = min(LAGS, ROWS // pairs)
    if lags < 2:
        raise ValueError(
            f"the memory prior of {model.architecture} takes a gradient for each of {pairs:,} pairs of channels and "
            f"each lag, more than the {ROWS:,} that a profile takes; call `response_kernel` with few lags"
        )
    kernel = np.einsum("jlaapp->jl", response_kernel(model, lags)) / pairs
    return Prior(kernel, dict(linearised=False), True, (STARTS,))


def _estimates(found: Prior, part: str) -> tuple[Estimate, ...]:
    rho, lags = np.diagonal(found.kernel).copy(), np.arange(len(found.kernel))
    total = float(rho.sum())
    if not total:
        raise ValueError("gradient descent moves no lag, as no weight reaches the outputs")
    make = partial(Estimate, part=part, assumptions=found.assumptions, source=SOURCE)
    exact = 0.0 if found.whole else None
    squares = float(np.square(rho).sum())
    about = found.statistics | dict(
        effective_lags=total**2 / squares, correlation=1 - squares / float(np.square(found.kernel).sum())
    )
    half = int(np.flatnonzero(rho >= rho[0] / 2)[-1])
    unseen = "" if rho[-1] < FALLEN * rho.max() else f"the prior does not fall to 1% of its peak within {len(rho)} lags"
    return (
        make(MEMORY_PRIOR, rho, None if exact is None else np.zeros(len(rho)), axes={"lag": lags}, statistics=about),
        make(PRIOR_MEAN_LAG, float(lags @ rho) / total, exact, cannot_tell=found.doubt or unseen),
        make(
            HALF_LEVEL, half, exact, cannot_tell=found.doubt, statistics=dict(censored=half == lags[-1], ceiling=half)
        ),
    )
