"""The lag kernel of wide linear RNNs and state-space layers: what else moves when gradient descent moves one lag.

Gradient descent on all weights is L <- L - rate * Theta dLoss/dL, where Theta acts on the lags. Where Theta is diagonal
its entries are the lag weights rho of `theory.linear_bias`; where it is not, neighbouring lags are learnt together, and
its rank is the number of independent lags. Throughout a = nu_C + nu_F and c = nu_C nu_F, all weights are trained, and
the limit is that of many units. Every formula is our derivation, checked by sampling.
"""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from jaxtyping import Float
from scipy.linalg import hankel
from scipy.signal import lfilter

from hitherto.theory.linear_bias import Gaussian, Number, exact, lag_weights, refuse_overflow, refuse_sizes
from hitherto.theory.linear_bias_moments import (
    mean_over_radii,
    mean_over_steps,
    mean_power,
    mean_step_power,
    refuse_range,
)


@dataclass(frozen=True)
class Orthogonal:
    """W / sqrt(n) = gain Q with Q uniform over orthogonal matrices: the weights of Gaussian(gain^2), at any lag."""

    gain: Number = 1
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class Leaky:
    """W / sqrt(n) = leak I + gain G / sqrt(n), W dense and trained; `Leaky(1)` is the identity start of an IRNN.

    Stable where |leak| + gain < 1. At gain 0 the kernel has rank 2: only leak^j and j leak^(j-1) can be learnt.
    """

    leak: Number
    gain: Number = 0
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class Ring:
    """Complex modes, |lam|^2 uniform on [low, high], all phases; c, b circular; L_j = Re sum c lam^j b / sqrt(n)."""

    low: float | int
    high: float | int
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class RealModes:
    """Real modes uniform on [low, high], 0 <= low: L_j = sum c lam^j b / sqrt(n). A Hankel kernel of few lags."""

    low: float | int = 0
    high: float | int = 1
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class LRU:
    """The linear recurrent unit: as `Ring`, but lam = exp(-e^nu + i e^theta) and a gain sqrt(1 - |lam|^2) before b.

    nu, theta and the logarithm of the gain are trained in place of lam; phases are uniform on [0, 2 pi), high <= 1.
    """

    low: float | int
    high: float | int
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class StepSizes:
    """Real modes exp(-dt), dt log-uniform on [low, high] and log dt trained, as in S4 of real part -1.

    Memory is flat on a logarithmic axis between 1/high and 1/low. For a real part of -1/2 halve the step sizes.
    """

    low: float | int
    high: float | int
    nu_F: Number = 1
    nu_C: Number = 1


@dataclass(frozen=True)
class Stacked:
    """Linear layers, h^l[t] = A_l h^l[t-1] + B_l h^(l-1)[t] / sqrt(n): variances nus by layer, nu_B of each B_l."""

    nus: tuple[Number, ...]
    nu_B: Number = 1
    nu_F: Number = 1
    nu_C: Number = 1


@singledispatch
def lag_kernel(initialisation: object, lags: int) -> Float[np.ndarray, "lag other"]:
    """Theta_jl for j, l = 0..lags-1, symmetric and without negative eigenvalues; 0^0 = 1.

    `Gaussian`, `Orthogonal`, `Ring` and `Stacked`: diagonal, see `kernel_diagonal`.
    `Leaky`: a G_jl + c sum over k < j, m < l of G_km G_(j-1-k)(l-1-m), G_jl = sum C(j,k) C(l,k) leak^(j+l-2k) gain^2k.
    `RealModes`: a m_(j+l) + c j l m_(j+l-2), with m_k the mean of lam^k; on [0, 1] the first is a Hilbert matrix.
    `LRU`: mean of |lam|^(j+l) (1 - |lam|^2) cos((j-l) phi) [a + (c/2) (1 + j l (log^2 |lam| + phi^2))].
    `StepSizes`: a E e^(-(j+l) dt) + c j l E dt^2 e^(-(j+l) dt).
    `Modes` of `theory.linear_bias_modes`: any other diagonal layer.

    Args:
        initialisation: one of these.
        lags: how many.
    Returns:
        Response squared per weight squared, times n where the weights are scaled by 1/sqrt(n).
    Raises:
        ValueError: for no lag, an initialisation outside its range, or weights too large for a float.

    Cost: lags squared; `Leaky` lags cubed, in two matrix products.
    """
    refuse_sizes(lags=lags)
    return np.diag(kernel_diagonal(initialisation, lags))


@singledispatch
def kernel_diagonal(initialisation: object, lags: int) -> Float[np.ndarray, " lag"]:
    """Theta_jj, all there is to know where the kernel is diagonal, at a cost linear in the lags.

    `Gaussian`: a nu_W^j + c j nu_W^(j-1), and `Orthogonal` with nu_W = gain^2.
    `Ring`: a m_j + c j^2 m_(j-1) with m_k the mean of |lam|^2k.
    `Stacked`: with S(z) the product of 1 / (1 - nu_l z), coefficients of z^j in nu_B^(L-1) a S + (L-1) c nu_B^(L-2) S
    + nu_B^(L-1) c z sum over l of S / (1 - nu_l z).
    Others: the diagonal of `lag_kernel`.

    Raises:
        ValueError: as for `lag_kernel`; TypeError for what is no initialisation.
    """
    if type(initialisation) not in lag_kernel.registry:
        raise TypeError(f"{initialisation!r} is no initialisation with a lag kernel; give one of this module")
    return np.diagonal(lag_kernel(initialisation, lags)).copy()


def numerical_rank(kernel: Float[np.ndarray, "lag lag"], tolerance: float = 1e-6) -> int:
    """How many lags can be learnt apart: eigenvalues above `tolerance` of the largest."""
    eigenvalues = np.linalg.eigvalsh(kernel)
    return int((eigenvalues > tolerance * eigenvalues[-1]).sum())


def correlation(kernel: Float[np.ndarray, "lag lag"]) -> Float[np.ndarray, "lag lag"]:
    """Theta_jl / sqrt(Theta_jj Theta_ll): how much of a step for lag j moves lag l too; 0 where one is not learnt."""
    sizes = np.sqrt(np.diagonal(kernel))
    scale = np.outer(sizes, sizes)
    return np.divide(kernel, scale, out=np.zeros_like(scale), where=scale > 0)


@kernel_diagonal.register
def _(initialisation: Gaussian, lags: int) -> np.ndarray:
    return lag_weights(initialisation, lags)


@kernel_diagonal.register
def _(initialisation: Orthogonal, lags: int) -> np.ndarray:
    nu_W = exact("gain", initialisation.gain) ** 2
    return lag_weights(Gaussian(nu_W, initialisation.nu_F, initialisation.nu_C), lags)


@kernel_diagonal.register
@np.errstate(over="ignore", invalid="ignore")
def _(initialisation: Ring, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags)
    low, high = refuse_range("|lam|^2", initialisation.low, initialisation.high)
    a, c = _terms(initialisation)
    means, j = mean_power(low, high, lags), np.arange(lags)
    return refuse_overflow(a * means + c * j**2 * np.append(0, means[:-1]))


@kernel_diagonal.register
@np.errstate(over="ignore", invalid="ignore")
def _(initialisation: Stacked, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags, layers=len(initialisation.nus))
    nus = [float(exact("nus", nu)) for nu in initialisation.nus]
    nu_B, above = float(exact("nu_B", initialisation.nu_B)), len(nus) - 1
    a, c = _terms(initialisation)
    paths = np.zeros(lags)
    paths[0] = 1.0
    for nu in nus:
        paths = _recursion(nu, paths)
    through_W = sum(np.append(0, _recursion(nu, paths)[:-1]) for nu in nus)
    through_B = above * c * nu_B ** (above - 1) if above else 0.0
    return refuse_overflow((nu_B**above * a + through_B) * paths + nu_B**above * c * through_W)


@lag_kernel.register
@np.errstate(over="ignore", invalid="ignore")
def _(initialisation: Leaky, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags)
    leak = float(exact("leak", initialisation.leak, signed=True))
    gain = float(exact("gain", initialisation.gain))
    a, c = _terms(initialisation)
    powers = _binomial_powers(abs(leak), gain, lags)
    # the square of G's generating function: C(j+1, k+1) leak^(j-k) gain^k, which is positive again, with weights k + 1
    paths = lfilter([1.0], [1.0, -abs(leak)], powers, axis=0)[:-1] * np.sqrt(np.arange(1, lags + 1))
    signs = np.sign(leak or 1.0) ** np.arange(lags)
    kernel = a * np.outer(signs, signs) * (powers @ powers.T)
    kernel[1:, 1:] += c * np.outer(signs, signs)[1:, 1:] * (paths @ paths.T)
    return refuse_overflow(kernel)


@lag_kernel.register
@np.errstate(over="ignore", invalid="ignore")
def _(initialisation: RealModes, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags)
    low, high = refuse_range("lam", initialisation.low, initialisation.high)
    means = mean_power(low, high, 2 * lags - 1)
    return refuse_overflow(_hankel_kernel(initialisation, means, np.append([0, 0], means)[: 2 * lags - 1]))


@lag_kernel.register
def _(initialisation: StepSizes, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags)
    low, high = refuse_range("dt", initialisation.low, initialisation.high, above_zero=True)
    means = mean_step_power(low, high, 2 * lags - 1)
    return _hankel_kernel(initialisation, means, mean_over_steps(low, high, np.arange(2 * lags - 1), 1))


@lag_kernel.register
def _(initialisation: LRU, lags: int) -> np.ndarray:
    refuse_sizes(lags=lags)
    low, high = refuse_range("|lam|^2", initialisation.low, initialisation.high)
    if high > 1:
        raise ValueError(f"the gain sqrt(1 - |lam|^2) needs |lam| <= 1, got high={high}; give a high of at most 1")
    a, c = _terms(initialisation)
    j = np.arange(lags)
    gains = mean_over_radii(low, high, np.arange(2 * lags - 1) / 2, lambda s: -np.expm1(-s))
    drifts = mean_over_radii(low, high, j.astype(float), lambda s: -np.expm1(-s) * np.square(s / 2))
    apart = np.square(j[:, None] - j) + np.eye(lags)
    kernel = c * np.outer(j, j) / apart * gains[j[:, None] + j]
    kernel[j, j] = (a + c / 2 * (1 + j**2 * 4 * np.pi**2 / 3)) * gains[::2] + c / 2 * j**2 * drifts
    return kernel


def _terms(initialisation: object) -> tuple[float, float]:
    """a = nu_C + nu_F and c = nu_C nu_F."""
    nu_F, nu_C = exact("nu_F", initialisation.nu_F), exact("nu_C", initialisation.nu_C)
    return float(nu_C + nu_F), float(nu_C * nu_F)


def _hankel_kernel(initialisation: object, means: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """a means_(j+l) + c j l moved_(j+l)."""
    a, c = _terms(initialisation)
    j = np.arange((len(means) + 1) // 2)
    first, second = (hankel(values[: len(j)], values[len(j) - 1 :]) for values in (means, moved))
    return a * first + c * np.outer(j, j) * second


def _recursion(pole: float, signal: np.ndarray) -> np.ndarray:
    """y[t] = pole y[t-1] + signal[t]."""
    return lfilter([1.0], [1.0, -pole], signal)


def _binomial_powers(leak: float, gain: float, lags: int) -> np.ndarray:
    """C(j, k) leak^(j-k) gain^k by Pascal's rule, all of one sign, so that no digit is lost."""
    rows = np.zeros((lags, lags))
    rows[0, 0] = 1.0
    for j in range(1, lags):
        rows[j] = leak * rows[j - 1]
        rows[j, 1:] += gain * rows[j - 1, :-1]
    return rows
