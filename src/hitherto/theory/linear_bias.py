"""How fast a wide linear RNN learns each lag: the memory prior rho of gradient descent.

The network has n hidden units, h[-1] = 0 and entries that are independent Gaussians of variances nu_W, nu_F, nu_C,

    h[t] = W h[t-1] / sqrt(n) + F x[t],  y[t] = C h[t] / sqrt(n),  L_j = C (W / sqrt(n))^j F / sqrt(n),

so that y[t] = sum over lags j of L_j x[t-j]. As n grows, gradient descent on W, F and C becomes gradient descent on the
impulse response L with the step for lag j multiplied by rho_j: a convolution whose taps are L_j = sqrt(rho_j) theta_j.

Paper: Emami, Sahraee-Ardakan, Pandit, Rangan, Fletcher (2021), arXiv 2101.07833, of which the abstract and summaries
were read, not the theorems. Every formula here is our derivation.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from hitherto.core.names import known

Number = float | int | str | Fraction | np.floating
PARAMETRISATIONS = ("entries", "multipliers", "standard", "framework")
LARGEST = Fraction(np.finfo(float).max)
NEAR_CRITICAL = Fraction(1, 10**6)  # |1 - nu_W| that float32 cannot tell from 0


@dataclass(frozen=True)
class Gaussian:
    """Entries of W, F and C independent Gaussians: rho_j = a nu_W^j + c j nu_W^(j-1).

    Numbers are taken exactly: "0.999999" is that decimal, and `1 - Fraction("1e-12")` keeps all digits of 1 - nu_W.

    Attributes:
        nu_W, nu_F, nu_C: variances of the entries, times n where the parametrisation says so. A bias is an input that
            is always 1, of its own nu_F; m trained bias vectors count with a learning rate of m for F, and a bias that
            starts at zero has nu_F = 0.
        parametrisation: what is trained.
            `entries`: the entries of variance nu, with 1/sqrt(n) before W and C: a = nu_C + nu_F, c = nu_C nu_F.
            `multipliers`: entries of variance 1 behind sqrt(nu): a = 2 nu_C nu_F, c = nu_W nu_C nu_F.
            `standard`: W and C of variances nu / n, F of variance nu_F, no multiplier; this is rho / n, for learning
            rates of order 1/n: a = nu_F, c = nu_C nu_F.
            `framework`: all entries of variance nu / n; as `entries`, but at the first step only: such networks leave
            the kernel regime whatever their width.
        learning_rates: multipliers of the learning rate of W, F and C; 0 freezes.
    """

    nu_W: Number
    nu_F: Number = 1
    nu_C: Number = 1
    parametrisation: str = "entries"
    learning_rates: tuple[Number, ...] = (1, 1, 1)

    def __post_init__(self) -> None:
        known(self.parametrisation, PARAMETRISATIONS, "parametrisation")
        if len(self.learning_rates) != 3:
            raise ValueError(f"learning_rates are those of W, F and C, got {self.learning_rates}; give three numbers")
        if max(self.nu, *self.terms) > LARGEST:
            raise ValueError(
                f"{self} has lag weights too large for a float; scale nu_F, nu_C or the learning rates down"
            )

    @classmethod
    def from_gap(cls, gap: Number, nu_F: Number = 1, nu_C: Number = 1) -> "Gaussian":
        """nu_W = 1 - gap without rounding; a gap below 0 is nu_W > 1."""
        return cls(1 - exact("gap", gap, signed=True), nu_F, nu_C)

    @property
    def nu(self) -> Fraction:
        """nu_W, exactly."""
        return exact("nu_W", self.nu_W)

    @property
    def gap(self) -> float:
        """e = 1 - nu_W."""
        return float(1 - self.nu)

    @property
    def log_nu(self) -> float:
        """log nu_W; -inf at 0."""
        return math.log1p(-self.gap) if abs(self.gap) <= 0.5 else log_or_minus_inf(self.nu)

    @property
    def terms(self) -> tuple[Fraction, Fraction]:
        """a and c, exactly."""
        nu_F, nu_C = exact("nu_F", self.nu_F), exact("nu_C", self.nu_C)
        by_W, by_F, by_C = (exact("learning_rates", rate) for rate in self.learning_rates)
        product = nu_C * nu_F
        if self.parametrisation == "multipliers":
            return (by_C + by_F) * product, by_W * product * self.nu
        if self.parametrisation == "standard":
            return by_C * nu_F, by_W * product
        return by_C * nu_F + by_F * nu_C, by_W * product


def lag_weights(initialisation: Gaussian, lags: int, *, log: bool = False) -> Float[np.ndarray, " lag"]:
    """rho_j = a nu_W^j + c j nu_W^(j-1) for j = 0..lags-1, the speed at which gradient descent moves lag j.

    Only ratios tell how hard a lag is. The weights can rise first, though nu_W < 1; and they hold for a fixed number of
    lags while n grows: beyond about sqrt(n) of them see `theory.linear_bias_width`.

    Args:
        lags: how many.
        log: natural logarithms, -inf where a weight is 0.
    Raises:
        ValueError: for no lag, or where a weight is too large for a float and log is False.

    Source: our derivation; widths of 125 to 2,000 differ by about 1.5 to 6 over sqrt(n).
    """
    refuse_sizes(lags=lags)
    if log:
        return log_lag_weight(initialisation, np.arange(lags))
    a, c = map(float, initialisation.terms)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        powers = _powers(initialisation, lags)
        weights = a * powers
        weights[1:] += c * (np.arange(1.0, lags) * powers[:-1])
    return refuse_overflow(weights)


def log_lag_weight(
    initialisation: Gaussian, lag: float | int | np.integer | np.ndarray
) -> Float[np.ndarray, "..."] | float:
    """log rho at any lags, also between whole ones; -inf where it is 0.

    Raises:
        ValueError: for a lag that is below 0 or not finite.
    """
    lag = np.asarray(lag, float)
    if not np.all(np.isfinite(lag) & (lag >= 0)):
        raise ValueError(f"lags are asked for from 0 on, got {lag.min() if lag.size else lag}; give steps back in time")
    log_a, log_c = map(log_or_minus_inf, initialisation.terms)
    with np.errstate(divide="ignore", invalid="ignore"):
        later = log_c + np.log(lag) + _times(lag - 1, initialisation.log_nu)
    return np.logaddexp(log_a + _times(lag, initialisation.log_nu), np.where(lag > 0, later, -np.inf))


def initial_variances(initialisation: Gaussian, lags: int) -> Float[np.ndarray, " lag"]:
    """Variance of the entries of L_j before training: nu_C nu_F nu_W^j, and 0 for `framework`, as n grows.

    They are independent Gaussians, so the initial function is a Gaussian process of kernel sum_j of these <x, x'>.

    Raises:
        ValueError: for no lag, or a variance too large for a float.
    """
    as_prior = replace(initialisation, parametrisation="multipliers", learning_rates=(0, 0, 1))
    return lag_weights(as_prior, lags) * (initialisation.parametrisation != "framework")


def cautions(initialisation: Gaussian, lag: float | int = 0, width: int | None = None) -> tuple[str, ...]:
    """Where the wide limit says less than it seems to.

    Args:
        lag: the longest that is used.
        width: n, where it is known.
    """
    nu = initialisation.nu
    single = isinstance(initialisation.nu_W, np.float32)
    remarks = (
        (nu >= 1, f"nu_W = {float(nu):g} is not below 1: the network is unstable, and gradients grow with the length"),
        (single and abs(1 - nu) < NEAR_CRITICAL, "nu_W is in float32, which has lost the digits of 1 - nu_W"),
        (
            initialisation.parametrisation == "framework",
            "the weights are speeds at the first step: networks of framework scaling leave the kernel regime",
        ),
        (
            width is not None and lag > math.sqrt(width),
            f"lag {lag:g} is beyond sqrt(width) = {math.sqrt(width or 0):.0f}, up to where the wide limit holds; an "
            "orthogonal recurrent matrix has the same weights without that limit",
        ),
    )
    return tuple(remark for holds, remark in remarks if holds)


def exact(name: str, value: Number, *, signed: bool = False) -> Fraction:
    """A number as it was given, without rounding.

    Raises:
        ValueError: naming it, if it is no finite number, or below 0 and not `signed`.
    """
    try:
        number = Fraction(value if isinstance(value, (str, int, Fraction)) else float(value))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"{name} needs a finite number, got {value!r}; give a float or a decimal string") from None
    if number < 0 and not signed:
        raise ValueError(f"{name} needs a number from 0 on, got {value}; variances and rates are not negative")
    return number


def refuse_sizes(smallest: int = 1, **sizes: int) -> None:
    """Refuse what is not a whole number from `smallest` on.

    Raises:
        ValueError: naming the first such size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < smallest:
            raise ValueError(f"{name} needs a whole number from {smallest} on, got {size!r}; give {smallest} or more")


def refuse_overflow(weights: np.ndarray) -> np.ndarray:
    """The weights, if all are finite.

    Raises:
        ValueError: if one has become too large.
    """
    finite = np.isfinite(weights)
    if not finite.all():
        raise ValueError(
            f"the weight of lag {int(np.argmin(finite.reshape(len(weights), -1).all(1)))} was asked for and is too "
            "large for a float; give fewer lags, or ask `lag_weights` for log=True"
        )
    return weights


def log_or_minus_inf(number: Fraction | float) -> float:
    """ln of a number from 0 on; of 0 it is -inf."""
    value = float(number)
    return math.log(value) if value > 0 else -math.inf


def _powers(initialisation: Gaussian, count: int) -> np.ndarray:
    """nu_W^k to the last digits: of the nearest float, times what its rounding left out."""
    k = np.arange(float(count))
    nu = float(initialisation.nu)
    if nu == 0:
        return (k == 0).astype(float)
    rounding = float(initialisation.nu / Fraction(nu) - 1)
    powers = np.power(nu, k)
    return powers * np.exp(rounding * k) if rounding else powers


def _times(factor: np.ndarray | np.floating, logarithm: float) -> np.ndarray:
    """Exponent times log, where 0 times -inf is 0: 0^0 = 1."""
    return np.multiply(factor, logarithm, out=np.zeros_like(factor), where=factor != 0)
