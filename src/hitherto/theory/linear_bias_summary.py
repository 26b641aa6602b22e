"""How long the memory prior of a wide linear RNN reaches: its sums over all lags, its peak, and where it falls.

Symbols as in `theory.linear_bias`, e = 1 - nu_W. From nu_W = 1 on the sums are infinite and the weights never fall.
Every formula is our derivation.
"""

import math
from dataclasses import dataclass

from hitherto.theory.linear_bias import LARGEST, Gaussian, cautions, log_lag_weight, log_or_minus_inf, refuse_sizes

HIT = 1e-12  # relative slack within which a lag's weight counts as the level itself


@dataclass(frozen=True)
class Summary:
    """The memory prior in a few numbers.

    Attributes:
        total: sum of rho_j; inf from nu_W = 1 on, unless all are 0.
        mean_lag: sum of j rho_j over the total; inf likewise.
        effective_lags: (sum rho)^2 / sum rho^2; from nu_W = 1 on what it tends to as lags are added.
        peak: the real lag where rho is largest, -1 / log nu_W - a nu_W / c, below 0 where it only falls.
        peak_lag: the whole one, the smaller on a tie; None where rho rises for ever.
        half_level: the largest real lag where rho_j = rho_0 / 2; inf where there is none.
        half_level_lag: the largest whole one with rho_j >= rho_0 / 2; None where it is infinite.
        horizon: the largest lag with rho_j >= level max rho; None where it is infinite.
        cautions: where the numbers say less than they seem to.
    """

    total: float
    mean_lag: float
    effective_lags: float
    peak: float
    peak_lag: int | None
    half_level: float
    half_level_lag: int | None
    horizon: int | None
    cautions: tuple[str, ...]


def summary(initialisation: Gaussian, level: float | int = 0.01) -> Summary:
    """The memory prior over all lags 0, 1, ... in closed form.

    Args:
        level: of the horizon, relative to the largest weight, in (0, 1].
    Raises:
        ValueError: if all weights are 0, or for another level.
    """
    refuse_silent(initialisation)
    if not 0 < level <= 1:
        raise ValueError(f"the horizon was asked for at the level {level}; give a share of the peak, in (0, 1]")
    half = log_lag_weight(initialisation, 0) - math.log(2)
    top = peak_lag(initialisation)
    horizon = None if top is None else level_lag(initialisation, log_lag_weight(initialisation, top) + math.log(level))
    return Summary(
        total=tail_sum(initialisation, 0),
        mean_lag=mean_lag(initialisation),
        effective_lags=effective_lags(initialisation),
        peak=peak(initialisation),
        peak_lag=top,
        half_level=level_crossing(initialisation, half),
        half_level_lag=level_lag(initialisation, half),
        horizon=horizon,
        cautions=cautions(initialisation),
    )


def tail_sum(initialisation: Gaussian, lag: int) -> float:
    """Sum of rho_j over j >= J: rho_J / e + c nu^J / e^2; inf from nu_W = 1 on.

    Raises:
        ValueError: for a lag below 0.
    """
    refuse_sizes(0, lag=lag)
    a, c = map(float, initialisation.terms)
    e = initialisation.gap
    if a == c == 0:
        return 0.0
    if e <= 0:
        return math.inf
    nu_to_lag = math.exp(lag * initialisation.log_nu) if lag else 1.0
    return math.exp(log_lag_weight(initialisation, lag)) / e + c * nu_to_lag / e / e


def mean_lag(initialisation: Gaussian) -> float:
    """(a nu e + c (1 + nu)) / (e (a e + c)); about 2 / e near nu_W = 1, inf from there on.

    Raises:
        ValueError: if all weights are 0.
    """
    refuse_silent(initialisation)
    a, c = _scaled(initialisation)
    e = initialisation.gap
    if e <= 0:
        return math.inf
    nu = float(initialisation.nu)
    return (a * nu * e + c * (1 + nu)) / (a * e + c) / e


def effective_lags(initialisation: Gaussian) -> float:
    """(sum rho)^2 / sum rho^2, with sum rho^2 = a^2 / d + 2 a c nu / d^2 + c^2 (1 + nu^2) / d^3 and d = 1 - nu^2.

    Above nu_W = 1 both sums are infinite and their ratio over T lags tends to (nu + 1) / (nu - 1).

    Raises:
        ValueError: if all weights are 0.
    """
    refuse_silent(initialisation)
    a, c = _scaled(initialisation)
    e, nu = initialisation.gap, float(initialisation.nu)
    if e <= 0:
        return (1 + nu) / -e if e else math.inf
    step = e * (1 + nu)
    squares = (a * step) ** 2 + 2 * a * c * nu * step + c**2 * (1 + nu**2)
    return (a * e + c) ** 2 * (1 + nu) ** 3 / squares / e


def peak(initialisation: Gaussian) -> float:
    """-1 / log nu_W - a nu_W / c, where d rho / dj = 0; -inf for c = 0 or nu_W = 0, inf where rho rises for ever."""
    a, c = initialisation.terms
    nu = initialisation.nu
    if nu > 1 or (nu == 1 and c):
        return math.inf
    if c == 0 or nu == 0:
        return -math.inf
    shift = a * nu / c
    return -1 / initialisation.log_nu - float(shift) if shift <= LARGEST else -math.inf


def peak_lag(initialisation: Gaussian) -> int | None:
    """The smallest whole lag of the largest weight: max(0, ceil(nu (1/e - a/c))); None where rho rises for ever.

    rho rises from lag j to j + 1 exactly where j < nu (1/e - a/c); ties are exact, as all numbers are.
    """
    a, c = initialisation.terms
    nu = initialisation.nu
    if nu > 1 or (nu == 1 and c):
        return None
    if nu == 0:
        return int(c > a)
    return max(0, math.ceil(nu * (1 / (1 - nu) - a / c))) if c else 0


def level_crossing(initialisation: Gaussian, log_level: float) -> float | None:
    """The largest real lag at which log rho is `log_level`; inf where rho never falls below it, None where it is above.

    At nu_W = 0 the weights are those of lags 0 and 1 alone, and a whole lag is given.
    """
    a, c = initialisation.terms
    nu = initialisation.nu
    top = peak(initialisation)
    if math.isinf(log_level) or top == math.inf or (nu == 1 and log_level <= log_or_minus_inf(a)):
        return math.inf if log_level < math.inf else None
    if nu == 0:
        return max((float(j) for j in (0, 1) if _reaches(initialisation, j, log_level)), default=None)
    if log_level > log_lag_weight(initialisation, max(top, 0.0)) + HIT:
        return None
    return _falling_root(initialisation, log_level, max(top, 0.0), float(a * nu), float(c))


def level_lag(initialisation: Gaussian, log_level: float) -> int | None:
    """The largest whole lag with log rho >= `log_level`, hit within 1e-12; None where there is none or no largest."""
    crossing = level_crossing(initialisation, log_level)
    if crossing is None or math.isinf(crossing):
        return None
    near = math.floor(crossing)
    return max(
        (j for j in (near - 1, near, near + 1) if j >= 0 and _reaches(initialisation, j, log_level)), default=None
    )


def refuse_silent(initialisation: Gaussian) -> None:
    """Refuse an initialisation whose weights are all 0.

    Raises:
        ValueError: saying which variances make it so.
    """
    if not any(initialisation.terms):
        raise ValueError(f"{initialisation} learns no lag: all weights are 0; give nu_F or nu_C and a rate above 0")


def _falling_root(initialisation: Gaussian, log_level: float, top: float, first: float, slope: float) -> float:
    """Newton's method from the right: log rho is concave, so that it falls on the root without passing it."""

    def log_weight(lag: float) -> float:
        return float(log_lag_weight(initialisation, lag))

    lag = top + 1.0
    while log_weight(lag) > log_level:
        lag *= 2
    for _ in range(200):
        derivative = initialisation.log_nu + slope / (first + slope * lag)
        nearer = lag + (log_level - log_weight(lag)) / derivative
        if not top <= nearer < lag:
            break
        lag = nearer
    return float(lag)


def _reaches(initialisation: Gaussian, lag: int, log_level: float) -> bool:
    return bool(log_lag_weight(initialisation, lag) >= log_level - HIT)


def _scaled(initialisation: Gaussian) -> tuple[float, float]:
    """a and c, the larger of them 1: ratios of sums do not depend on it, and squares stay in range."""
    a, c = initialisation.terms
    return float(a / max(a, c)), float(c / max(a, c))
