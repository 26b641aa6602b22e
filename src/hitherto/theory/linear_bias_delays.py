"""How long a wide linear RNN trains to recall a delay, for white inputs: one number a lag.

For the target x[t-d] and inputs of variance s, the coefficient of lag d misses its goal by (1 - rate rho_d c_d)^k after
k steps, with c_d = s (T - d) / T where every step has a target and c_d = s where only the last has; other lags stay 0.
Rates are given as a fraction of 1 / max rho_j c_j, of which 2 is where training diverges. Then all depends on the
learning cost max_j rho_j c_j / (rho_d c_d), at least 1. Every formula is our derivation; for coloured inputs use
`theory.linear_bias_training`.
"""

import math

import numpy as np
from jaxtyping import Float


def learning_cost(
    log_weights: Float[np.ndarray, " lag"], *, last_output: bool = False, log: bool = False
) -> Float[np.ndarray, " lag"]:
    """max_j (rho_j c_j) / (rho_d c_d) for d = 0..T-1: how many times slower than the fastest lag each is learnt.

    Args:
        log_weights: log rho over the length T of the sequences, which `lag_weights` gives without underflow.
        last_output: the target is that of the last step alone, c_j = s.
        log: natural logarithms of the costs.
    Returns:
        1 at the fastest lag, inf at lags that are not learnt or too costly for a float.
    Raises:
        ValueError: if no lag is learnt, or for weights of NaN or inf.
    """
    speeds = _log_speeds(log_weights, last_output)
    costs = speeds.max() - speeds
    with np.errstate(over="ignore"):
        return costs if log else np.exp(costs)


def white_rate(
    log_weights: Float[np.ndarray, " lag"],
    fraction: float | int,
    *,
    variance: float | int = 1,
    last_output: bool = False,
) -> float:
    """fraction / max_j rho_j c_j: a learning rate, stable below a fraction of 2.

    Args:
        log_weights, last_output: as for `learning_cost`.
        fraction: in (0, 2).
        variance: s of the inputs.
    Raises:
        ValueError: for a fraction or variance outside its range, and as for `learning_cost`.
    """
    _refuse_fraction(fraction)
    if not 0 < variance < math.inf:
        raise ValueError(f"a rate was asked for at the input variance {variance}; give one above 0")
    return fraction / variance * math.exp(-_log_speeds(log_weights, last_output).max())


def delay_r2(
    cost: float | int | Float[np.ndarray, "..."], fraction: float | int, steps: float | int
) -> float | Float[np.ndarray, "..."]:
    """R^2 of a delay after so many steps, noise aside: 1 - (1 - fraction / cost)^(2 steps).

    Args:
        cost: of its lag, or of several.
        fraction: of the rate, in (0, 2).
        steps: k.
    Raises:
        ValueError: for a cost below 1, a fraction outside its range, or steps below 0.

    Source: our derivation; 200 sequences of 30 steps gave 0.445 where it says 0.450.
    """
    if not 0 <= steps < math.inf:
        raise ValueError(f"R^2 was asked for after {steps} steps; give 0 or more")
    logs = _log_residual(cost, fraction)
    return -np.expm1(2 * steps * logs) if steps else np.zeros_like(logs)


def delay_steps(
    cost: float | int | Float[np.ndarray, "..."], fraction: float | int, residual: float = 0.01
) -> float | Float[np.ndarray, "..."]:
    """Steps until the coefficient misses its goal by a share `residual`: log(residual) / log|1 - fraction / cost|.

    Returns:
        A real number; 0 where one step hits the goal, inf where the lag is not learnt.
    Raises:
        ValueError: for a residual outside (0, 1), and as for `delay_r2`.
    """
    if not 0 < residual < 1:
        raise ValueError(f"steps were asked for until a share of {residual} is left; give one in (0, 1)")
    with np.errstate(divide="ignore"):
        return math.log(residual) / _log_residual(cost, fraction) + 0.0


def _log_speeds(log_weights: np.ndarray, last_output: bool) -> np.ndarray:
    """log rho_j c_j, without the variance."""
    length = len(log_weights)
    if not length or np.isnan(log_weights).any() or not -np.inf < log_weights.max() < np.inf:
        raise ValueError(
            "a learning cost needs finite lag weights, some of them above 0: all are 0, or one is NaN or inf; give "
            "`lag_weights(..., log=True)`"
        )
    counted = 0.0 if last_output else np.log1p(-np.arange(length) / length)
    return log_weights + counted


def _log_residual(cost: float | int | np.ndarray, fraction: float | int) -> np.ndarray:
    """log |1 - fraction / cost|."""
    _refuse_fraction(fraction)
    cost = np.asarray(cost, float)
    if not (cost >= 1).all():
        raise ValueError(f"a learning cost is at least 1, got {cost.min()}; give one of `learning_cost`")
    share = fraction / cost
    with np.errstate(divide="ignore"):
        return np.where(share < 1, np.log1p(-np.minimum(share, 1)), np.log(np.abs(share - 1)))


def _refuse_fraction(fraction: float | int) -> None:
    if not 0 < fraction < 2:
        raise ValueError(f"training at {fraction} of 1 / max rho c was asked for, and diverges from 2 on; give (0, 2)")
