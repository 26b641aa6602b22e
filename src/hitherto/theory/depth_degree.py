"""Polynomial degree of second-order stacks, and the least error that a degree or a linear network leaves.

A second-order layer is h[t, l] = A(h[t-1, l], h[t, l-1]) + W_l h[t-1, l] + U_l h[t, l-1] + b_l with the bilinear
A(h, u)_i = sum over j, m of A[i, j, m] h_j u_m, without activation; the stack is that of `theory.depth`.

Paper: Lizaire, Rizvi-Martel, Dupuis, Rabusseau (2026), arXiv 2604.02201, of which the abstract and the experiments'
code were read: the degree grows with depth. Every formula here is our derivation.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from hitherto.core.names import known
from hitherto.theory._combinatorics import multichoose
from hitherto.theory.depth import least, refuse, refuse_short

CELLS = ("affine", "no-input", "bilinear", "linear")
MOST_BITS = 10**6
MOST_FREQUENCY = 10**4
MANY = 10**6  # factors of a geometric mean, beyond which differences of logarithms lose more digits than a series


def polynomial_degree(
    depth: int,
    *,
    step: int | None = None,
    lag: int | None = None,
    cell: str = "affine",
    start: str = "zero",
    activation_degree: int = 1,
) -> int | None:
    """Degree of the top layer of a second-order stack without activations, attained by generic weights of any width.

    Total degree in x[1..t]: C(t + L - 1, L). Degree in x[t-j] alone: C(j + L - 1, L - 1). So no depth squares the
    present input, and one layer is linear in each. On the constant input 2, L layers h[t, l] = h[t-1, l] h[t, l-1] of
    one unit that start from 1 reach 2 to the total degree, which no L - 1 layers can follow.

    Args:
        depth: L.
        step, lag: t >= 1 for the total degree at that step, or j >= 0 for that in one input; give one of them.
        cell: `affine` has the terms A, W, U and b; low-rank A and multiplicative integration count as such.
            `no-input` lacks U: from a zero start the first input never enters, and C(t + L - 2, L) is left.
            `bilinear` has A alone: from a zero start the state stays 0. `linear` has no A: degree 1.
        start: `zero`, or `nonzero` in every layer.
        activation_degree: q of a polynomial applied to what each linear layer passes up; the degree is then q^L.
    Returns:
        The exact degree; None for a state that is identically 0, which has none.
    Raises:
        ValueError: for sizes below 1 (lag: 0), unknown names, an activation on cells that multiply, or a degree of
            more than a million bits.

    Source: our derivation; 2,338 cases checked modulo 2^61 - 1. The paper says that the degree grows with depth.
    """
    refuse(depth=depth, activation_degree=activation_degree)
    known(cell, CELLS, "cell")
    known(start, ("zero", "nonzero"), "start")
    _refuse_times(step, lag)
    if cell == "linear":
        _refuse_bits("degree", depth * math.log2(activation_degree))
        return activation_degree**depth
    if activation_degree != 1:
        raise ValueError(
            f"the degree of {cell} cells was asked for with activations of degree {activation_degree}; the law is "
            f"known for cell='linear', give that or leave the activations out"
        )
    if cell == "bilinear" and start == "zero":
        return None
    if lag is not None:
        return _binomial(lag + depth - 1, depth - 1)
    silent = cell == "no-input" and start == "zero"
    return _binomial(step - silent + depth - 1, depth)


def layers_for_degree(degree: int, lag: int) -> int | None:
    """Fewest layers of second-order cells that reach a degree in the input `lag` steps back.

    Least L with C(j + L - 1, L - 1) >= D.

    Returns:
        None for the present input, in which every depth is of degree 1, and a degree above.
    Raises:
        ValueError: if the degree is below 1, the lag below 0, or a degree on the way has more than a million bits.

    Source: our derivation, from `polynomial_degree`.
    """
    refuse(degree=degree)
    refuse(0, lag=lag)
    if lag == 0:
        return 1 if degree == 1 else None
    return least(lambda depth: _binomial(lag + depth - 1, depth - 1) >= degree)


def sine_floor(frequency: float | int, degree: int) -> float:
    """Least mean squared error of sin(w x[t-p]) for x ~ N(0, 1) by anything of degree D in x[t-p].

    exp(-w^2) times the sum over odd m > D of w^(2m) / m!: what the Hermite expansion has left.

    Args:
        frequency: w, up to 10,000 in size.
        degree: D, 1 for linear RNNs of any depth, `polynomial_degree(depth, lag=p)` for second-order ones. Two of
            their layers of width p + 1 attain it; whether more layers do is not known.
    Raises:
        ValueError: for a degree below 0, or frequencies that are not finite or too large.

    Cost: some 40 w terms; the relative error is of the order 1e-16 w^2 log w.
    Source: our derivation, checked by quadrature.
    """
    refuse(0, degree=degree)
    if not abs(frequency) <= MOST_FREQUENCY:
        raise ValueError(
            f"the floor of a sine was asked for at {frequency=}; give one up to {MOST_FREQUENCY:,} in size"
        )
    mean = frequency**2
    if mean == 0 or degree > 2 * mean + 1000:  # beyond: below the smallest float
        return 0.0
    spread = 40 * (math.sqrt(mean) + 1)  # of the terms, a Poisson law; what lies further out is below rounding
    first = max(degree + 1, int(mean - spread)) | 1
    odd = np.arange(first, max(first, mean) + spread, 2)
    return float(np.exp(odd * math.log(mean) - special.gammaln(odd + 1) - mean).sum())


def power_floor(power: int, degree: int) -> int:
    """Least mean squared error of x[t-p]^m for x ~ N(0, 1) by anything of degree D in x[t-p], an exact integer.

    Sum over j with m - 2j > D of (m! / (2^j j! (m - 2j)!))^2 (m - 2j)!.

    Args:
        power: m >= 1.
        degree: D, as for `sine_floor`.
    Raises:
        ValueError: for a power below 1 or a degree below 0, or a result of about a million bits or more.

    Cost: m / 2 terms of m log m digits.
    Source: our derivation, checked by quadrature.
    """
    refuse(power=power)
    refuse(0, degree=degree)
    if degree >= power:
        return 0
    _refuse_bits("floor", power * math.log2(power))
    total, term = 0, math.factorial(power)
    for pairs, left in enumerate(range(power, degree, -2)):
        total += term
        term = term * left * (left - 1) // (4 * (pairs + 1) ** 2)
    return total


def geometric_mean_moment(count: int) -> float:
    """Mean square of the signed geometric mean of `count` standard normal numbers: (2^(1/t) G(1/t + 1/2) / sqrt(pi))^t.

    G is the Gamma function; the limit is exp(-gamma - ln 2) = 0.28073 with Euler's gamma.

    Raises:
        ValueError: if the count is below 1.

    Source: our derivation. The relative error is of the order 1e-16 t up to t = 10^6, and 1 / t^2 beyond.
    """
    refuse(count=count)
    return float(_geometric_moments(np.array([float(min(count, 10**300))]))[0])


def linear_floor(target: str, length: int, lag: int | None = None) -> float:
    """Least mean squared error of a linear RNN of any depth and width on one channel x ~ N(0, 1), over t = 1..T.

        target                   y[t]                                        floor
        parity                   product of the signs of x[1..t], from them  1 - 1 / T^2
        cumulative-product       product of x[1..t]                          1 - 1 / T^2
        geometric-mean           its signed |.|^(1/t)                        (1 - 1/T + sum of moment(t), t = 2..T) / T
        lagged-geometric-mean    the same of x[t-k..t], over t = k+1..T      moment(k + 1); 0 for k = 0
        running-mean             mean of x[1..t]                             see below
        running-sum              sum of x[1..t]                              0, by one unit a channel

    with `geometric_mean_moment` as moment. The best answer to the running mean is g_j = mean of 1/t over t > j, which
    leaves (H_T - sum over j of (H_T - H_j)^2 / (T - j)) / T, where H_t is the sum of 1/s for s = 1..t.

    Args:
        target: one of these.
        length: T, in steps.
        lag: k < T, of lagged-geometric-mean alone.
    Raises:
        ValueError: for unknown targets, a length below 1, or a lag that is missing, too long or without meaning.

    Cost: linear in the length at most.
    Source: our derivation, for a zero start and weights that stay the same over time.
    """
    known(target, (*_LINEAR_FLOORS, "lagged-geometric-mean"), "target")
    refuse(length=length)
    if (lag is not None) != (target == "lagged-geometric-mean"):
        raise ValueError(f"the target {target} was asked for with lag={lag}; a lagged one needs it, others have none")
    if lag is None:
        return float(_LINEAR_FLOORS[target](length))
    refuse_short(lag, length, "lag")
    return geometric_mean_moment(lag + 1) if lag else 0.0


def start_end_bound(depth: int, width: int, symbols: int, half: int) -> int:
    """Most start-end separation rank of second-order layers without affine terms over one-hot inputs, halves alike.

    min(M^S, product over i = 0..L-1 of mc(R, mc(S, i))), with multisets mc as in `theory.start_end`; random networks
    attain it in the cases checked. One layer has min(R, M^S), which does not grow with the length.

    Args:
        depth, width, symbols: L, R and M.
        half: S, steps before and after the cut.
    Raises:
        ValueError: if a size is below 1.

    Source: our derivation, after Levine et al. (2017), arXiv 1710.09431.
    """
    refuse(depth=depth, width=width, symbols=symbols, half=half)
    most, bound = half * math.log2(symbols), 1
    for layer in range(depth if width > 1 else 0):
        bound *= multichoose(width, multichoose(half, layer))
        if math.log2(bound) > most + 1:
            return symbols**half
    return bound if math.log2(bound) < most - 1 else min(symbols**half, bound)


def _binomial(total: int, chosen: int) -> int:
    """C(total, chosen), if it is of a size to be written down: C(n, k) < (e n / k)^k."""
    fewer = min(chosen, total - chosen)
    if fewer > 0:
        _refuse_bits("degree", fewer * (math.log2(total) - math.log2(fewer) + math.log2(math.e)))
    return math.comb(total, chosen)


def _geometric_moments(counts: np.ndarray) -> np.ndarray:
    gone = special.digamma(0.5) + special.polygamma(1, 0.5) / (2 * counts)  # two terms of the series in 1 / t
    exponents = counts * (special.gammaln(1 / counts + 0.5) - special.gammaln(0.5))
    return 2 * np.exp(np.where(counts > MANY, gone, exponents))


def _product_floor(length: int) -> float:
    return 1 - 1 / length**2


def _geometric_mean_floor(length: int) -> float:
    return (_geometric_moments(np.arange(2.0, length + 1)).sum() + 1 - 1 / length) / length


def _running_mean_floor(length: int) -> float:
    inverse = 1 / np.arange(1, length + 1)
    after = inverse[::-1].cumsum()[::-1]  # H_T - H_j
    return (inverse.sum() - (np.square(after) / np.arange(length, 0, -1)).sum()) / length


_LINEAR_FLOORS: dict[str, Callable[[int], float]] = {
    "parity": _product_floor,
    "cumulative-product": _product_floor,
    "geometric-mean": _geometric_mean_floor,
    "running-mean": _running_mean_floor,
    "running-sum": lambda length: 0.0,
}


def _refuse_times(step: int | None, lag: int | None) -> None:
    if (step is None) == (lag is None):
        raise ValueError(f"the degree at a step or in one input was asked for, got step={step}, lag={lag}; give one")
    if lag is None:
        refuse(step=step)
    else:
        refuse(0, lag=lag)


def _refuse_bits(name: str, bits: float) -> None:
    if bits > MOST_BITS:
        raise ValueError(
            f"the {name} must fit into {MOST_BITS:,} bits, and may have {bits:.2g}; ask for fewer layers or steps, or "
            f"a lower power"
        )
