"""Up to which lag a network of finite width follows the wide limit: mean powers of a random matrix.

With A = W / sqrt(n), E tr(A^k A^kT) / n = m_k nu_W^k, where m_k -> 1 as n grows at a fixed lag k, but m_k grows as soon
as k passes sqrt(n). m_k multiplies the C- and F-parts of the mean lag weights. An orthogonal W has m_k = 1 throughout.
Every formula is our derivation; the scale sqrt(n) is also found by Bar et al., arXiv 2505.19827, and Seleznova, arXiv
2605.05113.
"""

import math

import numpy as np

from hitherto.core.names import known
from hitherto.theory.linear_bias import refuse_sizes

# numerators of m_k over n^(k+1) for real entries: coefficients of n^0, n^1, ..., by exact enumeration
REAL = {
    0: (0, 1),
    1: (0, 0, 1),
    2: (0, 2, 0, 1),
    3: (0, 4, 10, 0, 1),
    4: (0, 48, 28, 28, 0, 1),
    5: (0, 304, 468, 110, 62, 0, 1),
    6: (0, 3656, 3880, 2426, 314, 118, 0, 1),
}


def trust_horizon(width: int) -> float:
    """sqrt(n): m_k passes 1.1 at about 1.05 sqrt(n) for real entries, and explodes beyond; so do medians.

    Raises:
        ValueError: for no unit.
    """
    refuse_sizes(width=width)
    return math.sqrt(width)


def mean_factor(lag: int, width: int, entries: str = "real") -> float:
    """m_k = E tr(A^k A^kT) / (n nu_W^k) for independent Gaussian entries, exactly.

    Complex entries: [prod of (n + i) - prod of (n - i), i = 0..k+1] / ((k+1) (k+2) n^(k+1)). Real ones: polynomials in
    1/n, known up to lag 6.

    Args:
        lag: k.
        width: n.
        entries: `real` or circular `complex`.
    Returns:
        inf where it is too large for a float.
    Raises:
        ValueError: for real entries beyond lag 6, where `leading_factor` is an approximation.

    Cost: linear in the lag.
    Source: our derivation, by enumeration up to lag 6; the real ones agree with 8 units sampled to 1%.
    """
    refuse_sizes(width=width)
    refuse_sizes(0, lag=lag)
    if known(entries, ("real", "complex"), "kind of entries") == "complex":
        return _complex_factor(lag, width)
    if lag not in REAL:
        raise ValueError(
            f"the mean factor of real entries was asked for at lag {lag}, and is known up to lag {max(REAL)}; use "
            "`leading_factor`, or complex entries"
        )
    return math.fsum(coefficient * float(width) ** (power - lag - 1) for power, coefficient in enumerate(REAL[lag]))


def leading_factor(lag: int, width: int) -> float:
    """1 + k^4 / (12 n^2): m_k of real entries to leading order, for 1 << k < sqrt(n); beyond, far too small."""
    refuse_sizes(width=width)
    refuse_sizes(0, lag=lag)
    return 1 + lag**4 / (12 * width**2)


def _complex_factor(lag: int, width: int) -> float:
    """The larger product in logs, and what is left of it as expm1, which keeps its digits where both nearly agree."""
    share = np.arange(lag + 2) / width
    log_larger = np.log1p(share).sum()
    remains = 1.0  # the smaller product holds a factor 0 from lag n - 1 on
    if lag + 1 < width:
        remains = -np.expm1(np.log1p(-share).sum() - log_larger)
    with np.errstate(over="ignore"):
        return float(np.exp(log_larger) * remains * width / ((lag + 1) * (lag + 2)))
