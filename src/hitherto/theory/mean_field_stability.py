"""When the incoherent state of a linear recurrent network loses its stability to correlations between times.

Conventions as in `mean_field_chain`. The free energy to second order in the correlations rho_(t,t+k) decouples by lag
k; whatever the variances and the noise, only the gain r of the layers counts.

Source: our derivation, checked against numerical Hessians of the free energy.
"""

import numpy as np
from jaxtyping import Float


def critical_gain(times: int) -> float:
    """r* = L / (L - 1), at which the incoherent state of a recurrent network loses its stability, first at lag 1.

    For T = 3 that is 2: the learned variance equals that of random weights. Infinite for T <= 2, where W is used once.
    """
    return (times - 1) / (times - 2) if times > 2 else np.inf


def spinodal_signal(times: int) -> float:
    """Lambda* = r*^T (r* - 1), the signal at which the incoherent state loses its stability."""
    critical = critical_gain(times)
    return critical**times * (critical - 1)


def lag_hessian(gain: float | int, pairs: int) -> Float[np.ndarray, "pair pair"]:
    """M_n: second derivative of F by the correlations of the n = T - k pairs of times at lag k, incoherent state.

    Tridiagonal: 2r, ..., 2r, 1 on the diagonal and -r beside it; det M_n = r^(n-1) (n - (n-1) r). The least eigenvalue
    is the distance from instability, and N <rho rho^T> = M_n^-1 the fluctuations of a network of N units.

    Source: our derivation.
    """
    beside = np.full(pairs - 1, -float(gain))
    return np.diag(np.append(np.full(pairs - 1, 2.0 * gain), 1.0)) + np.diag(beside, 1) + np.diag(beside, -1)


def crossed_determinant(first: float | int, second: float | int, pairs: int) -> float:
    """det of M_n between two directions of labels with gains r1, r2; 0 where they turn coherent with each other.

    [r1^n (1 - r2) - r2^n (1 - r1)] / (r1 - r2), here without the division, so that r1 = r2 gives det M_n. For n = 2 it
    vanishes at 1/r1 + 1/r2 = 1. A direction without labels (r = 1) is stable with any other.

    Source: our derivation.
    """
    powers = [sum(first**j * second ** (n - 1 - j) for j in range(n)) for n in (pairs, pairs - 1)]
    return float(powers[0] - first * second * powers[1])
