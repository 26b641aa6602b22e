"""Memory curves of linear stacks in closed form, and which filters a stack of so many layers can be.

Stacks and symbols as in `theory.depth`. Jaeger's memory of lag k is R^2 of the best linear readout of x[t-k] from the
states that are read, for one channel of white inputs; White's and Ganguli's curves count noise in the states as well.

Paper: Lizaire, Rizvi-Martel, Dupuis, Rabusseau (2026), arXiv 2604.02201, whose own definition of memory was not read.
Every formula here is our derivation, or classical where it says so.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Inexact

from hitherto.theory.depth import refuse


def memory_curve(
    eigenvalues: Inexact[np.ndarray, " state"] | Sequence[complex | float | int], lags: int
) -> Float[np.ndarray, " lag"]:
    """Jaeger's memory of lags 0, 1, ..., all states read: sum over i of |phi_i[k]|^2.

    phi_i(z) = sqrt(1 - |a_i|^2) / (1 - a_i z) times the product over m < i of (z - conj(a_m)) / (1 - a_m z), the
    Takenaka-Malmquist filters of the eigenvalues a_i of all recurrent matrices together. Input weights, and what links
    the layers, do not matter as long as every state is reached from the input. The curve sums to the number of states.

    Args:
        eigenvalues: of modulus below 1; for a stack, those of all layers.
        lags: how many.
    Raises:
        ValueError: for eigenvalues on or outside the unit circle, or no lag.

    Cost: states times lags.
    Source: our derivation, checked against the covariance of small networks.
    """
    refuse(lags=lags)
    signal = np.zeros(lags, complex)
    signal[0] = 1.0
    curve = np.zeros(lags)
    for a in np.asarray(eigenvalues, complex):
        if not abs(a) < 1:
            raise ValueError(f"a memory curve needs eigenvalues of modulus below 1, got {a}; rescale the network")
        filtered = _recursion(a, signal)
        curve += (1 - abs(a) ** 2) * np.abs(filtered) ** 2
        signal = np.concatenate([[0], filtered[:-1]]) - np.conj(a) * filtered
    return curve


def top_memory_curve(first: float | int, second: float | int, lags: int) -> Float[np.ndarray, " lag"]:
    """Jaeger's memory of two layers of one unit each, the upper one read: g_k^2 / sum g^2.

    g_k is the sum over i + j = k of w_1^i w_2^j, and the sum of its squares (1 + w_1 w_2) / ((1 - w_1 w_2) (1 - w_1^2)
    (1 - w_2^2)). It sums to 1 whatever the depth, where all layers together have 2.

    Args:
        first, second: the recurrent weights, of size below 1.
        lags: how many.
    Raises:
        ValueError: for weights of size 1 or above, or no lag.

    Source: our derivation.
    """
    refuse(lags=lags)
    if not max(abs(first), abs(second)) < 1:
        raise ValueError(f"a memory curve needs weights of size below 1, got {first} and {second}; make them smaller")
    response = _recursion(second, float(first) ** np.arange(lags)).real
    both = first * second
    return response**2 * (1 - both) * (1 - first**2) * (1 - second**2) / (1 + both)


def delay_line_fisher(units: int, noise: float | int = 1.0) -> Float[np.ndarray, " lag"]:
    """Fisher memory of a delay line of gain 1: 1 / (noise (k + 1)) for lags k below its length, 0 beyond.

    The signal at lag k has met k + 1 units of noise, so long lines pay; the sum grows as the logarithm of the length.

    Args:
        units: of the line, which are as many lags.
        noise: variance added to every unit at every step.
    Raises:
        ValueError: without units, or for a noise of 0 or below.

    Source: Ganguli, Huh, Sompolinsky (2008), the classical case.
    """
    refuse(units=units)
    if not noise > 0:
        raise ValueError(f"Fisher memory needs noise above 0, got {noise}; without noise it is infinite")
    return 1 / (noise * np.arange(1, units + 1))


def filter_obstacle(
    numerator: Sequence[int | Fraction], denominator: Sequence[int | Fraction], depth: int, width: int
) -> str | None:
    """Why no stack of L layers of n units has the transfer function N(z) / q(z); None if one has it.

    With N and q freed of common factors, one has it if and only if q(0) is not 0, deg N <= L (n - 1), deg q <= L n, and
    the pairs of complex roots of q fit into the layers, floor(n / 2) each: a layer's own denominator is real. So L
    layers of n units hold a filter of L (n - 1) + 1 free taps, and contain one layer of m units if and only if
    m <= L (n - 1) + 1.

    Args:
        numerator, denominator: exact coefficients, of z^0 first; z is the delay by one step.
        depth, width: L and n.
    Raises:
        ValueError: for sizes below 1, no coefficient, or a denominator of 0.

    Source: our derivation, for one channel; checked for L = 2 with n = 2, 3, 5 and L = 3, 4 with n = 2.
    """
    refuse(depth=depth, width=width, numerator=len(numerator), denominator=len(denominator))
    top, bottom = _reduced(numerator, denominator)
    if bottom[0] == 0:
        return "it answers before it is asked: the denominator vanishes at z = 0"
    zeros, poles = max(top.degree(), 0), bottom.degree()
    if zeros > depth * (width - 1):
        return f"the numerator has degree {zeros}, and {depth} layers of {width} units have {depth * (width - 1)} zeros"
    if poles > depth * width:
        return f"the denominator has degree {poles}, and {depth} layers of {width} units have {depth * width} states"
    pairs = (poles - _real_roots(bottom)) // 2
    room = depth * (width // 2)
    return None if pairs <= room else f"the denominator has {pairs} pairs of complex roots, and the layers hold {room}"


def _recursion(pole: complex | float, signal: np.ndarray) -> np.ndarray:
    """y[t] = pole y[t-1] + signal[t]."""
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -complex(pole)], signal)


def _reduced(numerator: Sequence[int | Fraction], denominator: Sequence[int | Fraction]):
    from flint import fmpq, fmpq_poly

    top, bottom = (
        fmpq_poly([fmpq(*Fraction(c).as_integer_ratio()) for c in coefficients])
        for coefficients in (numerator, denominator)
    )
    if bottom == 0:
        raise ValueError("a transfer function was given with the denominator 0; give N and q of N / q")
    common = top.gcd(bottom)
    return top // common, bottom // common


def _real_roots(polynomial) -> int:
    """Real roots with their multiplicities."""
    roots = polynomial.numer().complex_roots()
    return sum(count for root, count in roots if root.imag == 0)
