"""The chain of kernels behind one label at the end: linear networks, a pulse of input, everything in closed form.

T times, W applied L = T - 1 times, c_t the kernel of a pattern with itself at time t. Units: c_t = 1 before learning,
that is c_t / (g_v^2 g^(2 t)) with t from 0; signals and noise over s_a^2 c0, c0 = g_v^2 g^(2 L). The free energy a unit
without noise,

    F(C) = [tr(Sigma^-1 C) - log det C + log det Sigma - T] / 2 + Lambda / (2 C_TT),  Sigma = 1 + S(C),

has curves of states, one for each way the times relate. Noise, and more patterns, only choose the point of a curve:
the one where the curve's Lambda is what ridge regression at its variance c_T hands on (`EndFit`).

- incoherent, as in a feedforward network: every layer amplifies by the same gain r, c_t = r^t (t from 1);
- coherent, of recurrent networks alone: times correlate; in closed form for T = 3, beyond in `mean_field_branch`.

Source: our derivation, checked against minimisation over all kernels and against sampled networks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar

from hitherto.theory.mean_field_stability import critical_gain

SCAN = 600  # points between which the roots of a curve are looked for

Numbers = Float[np.ndarray, " point"]


@dataclass(frozen=True, eq=False)
class ChainState:
    """A stationary state of the chain.

    Attributes:
        coherent: whether times correlate.
        order: the gain r if incoherent, the correlation of the first two times if coherent (its mirror image, with
            the sign of every odd lag changed, is a state as well).
        kernel: C in units of sqrt(c_t c_t') before learning, so `kernel[-1, -1]` is c_T / c0.
        signal: Lambda, the signal that reaches the chain through the noise.
        noiseless: free energy a unit at that signal without noise.
        free_energy: the same, with what noise leaves unfitted.
        stable: whether it is a local minimum. At a threshold itself, whether it was one below.
    """

    coherent: bool
    order: float
    kernel: Float[np.ndarray, "time time"]
    signal: float
    noiseless: float
    free_energy: float
    stable: bool

    @property
    def variance(self) -> float:
        """c_T / c0."""
        return float(self.kernel[-1, -1])


@runtime_checkable
class Curve(Protocol):
    """States of the chain without noise along a parameter, in rising order of c_T."""

    def grid(self, low: float, high: float) -> Numbers:
        """Parameters that enclose all states with a signal from `low` to `high`."""

    def logs(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        """ln c_T and ln Lambda."""

    def state(self, parameter: float) -> ChainState:
        """The state there."""


@dataclass(frozen=True)
class Incoherent:
    """Lambda = r^T (r - 1), F = [(T + 1)(r - 1) - T ln r] / 2; the parameter is ln(r - 1).

    Attributes:
        times: T.
        shared: whether one W serves all times, so that the state can turn coherent.
    """

    times: int
    shared: bool = False

    def grid(self, low: float, high: float) -> Numbers:
        first, last = (log_excess(self.times, float(np.log(signal))) for signal in (low, high))
        return np.linspace(first - 1e-9, last + 1e-9, SCAN)

    def logs(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        log_variance = self.times * np.log1p(np.exp(parameters))
        return log_variance, log_variance + parameters

    def state(self, parameter: float) -> ChainState:
        excess, times = float(np.exp(parameter)), self.times
        kernel = np.diag((1 + excess) ** np.arange(1.0, times + 1))
        energy = float((times + 1) * excess - times * np.log1p(excess)) / 2
        stable = not self.shared or 1 + excess <= critical_gain(times)
        return ChainState(False, 1 + excess, kernel, excess * float(kernel[-1, -1]), energy, energy, stable)


@dataclass(frozen=True)
class CoherentOfThree:
    """The coherent states of T = 3 in closed form; the parameter is ln(rho / (1 - rho)), rho that of the first times.

    With q = rho^2: C_11 = 2 / (1 - q), C_22 = 4 (1 + q) / (1 - q)^2, C_33 = 8 (1 + q)^2 / (1 - q)^3,
    rho_23 = 2 rho / (1 + q), rho_13 = rho rho_23, Lambda = 8 (1 + q)^3 / (1 - q)^4.
    """

    def grid(self, low: float, high: float) -> Numbers:
        top = max(3.0, np.log(high) / 4 + 1)  # where Lambda > 64 (1 - rho)^-4 / 16 passes `high`
        return np.linspace(-12, top, SCAN)

    def logs(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        up, down = map(np.log, self._apart(parameters))
        return np.log(8) + 2 * up - 3 * down, np.log(8) + 3 * up - 4 * down

    def state(self, parameter: float) -> ChainState:
        rho = float(correlation(parameter))
        up, down = map(float, self._apart(parameter))
        rho_23 = 2 * rho / up
        correlations = np.array([[1, rho, rho * rho_23], [rho, 1, rho_23], [rho * rho_23, rho_23, 1]])
        deviations = np.sqrt([2 / down, 4 * up / down**2, 8 * up**2 / down**3])
        energy = float(4 * up / down - np.log(8 / down)) / 2
        kernel = correlations * np.outer(deviations, deviations)
        return ChainState(True, rho, kernel, 8 * up**3 / down**4, energy, energy, True)

    @staticmethod
    def _apart(parameter: float | Numbers) -> tuple[float | Numbers, float | Numbers]:
        """1 + q and 1 - q, the second as (1 + rho)(1 - rho), as rho itself has no digits left for strong signals."""
        rho, rest = correlation(parameter), correlation(-np.asarray(parameter))
        return 1 + rho**2, (1 + rho) * rest


@dataclass(frozen=True, eq=False)
class EndFit:
    """Ridge regression on the inputs, as the chain meets it; the chain's c_T / c0 = v sets the ridge kappa / v.

    Attributes:
        spectrum: eigenvalues x_i of X = x x^T / D above 0.
        squares: squared labels along them, over s_a^2 c0.
        unseen: squared labels outside the range of X, over s_a^2 c0.
        noise: kappa / (s_a^2 c0).
    Raises:
        ValueError: for labels outside the range of X without noise.
    """

    spectrum: Float[np.ndarray, " direction"]
    squares: Float[np.ndarray, " direction"]
    unseen: float
    noise: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.squares.sum() + self.unseen + self.noise):
            raise ValueError(
                "squared labels or noise over s_a^2 c0 are beyond floating point, as next to nothing of the inputs "
                "reaches the output; give larger variances or fewer times"
            )
        if self.noise == 0 and self.unseen > 1e-10 * (self.squares.sum() + self.unseen):
            raise ValueError(
                f"noise is 0 and {self.unseen:.3g} of the squared labels is outside the range of the inputs, "
                "so nothing fits; give a noise above 0"
            )

    def signal(self, variance: float | Numbers) -> float | Numbers:
        """Lambda = sum of x_i y_i^2 / (x_i + kappa / v)^2, which rises with v."""
        return (self.spectrum * self.squares / (self.spectrum + self._ridge(variance)) ** 2).sum(-1)

    def misfit(self, variance: float) -> float:
        """|y - f|^2 / (2 kappa)."""
        if self.noise == 0:
            return 0.0
        ridge = self._ridge(variance)
        return float(((ridge / (self.spectrum + ridge)) ** 2 @ self.squares + self.unseen) / (2 * self.noise))

    def _ridge(self, variance: float | Numbers) -> np.ndarray:
        return self.noise / np.asarray(variance, float)[..., None]


def end_label(signal: float | int, noise: float | int) -> EndFit:
    """One pattern with x . x / D = 1: Lambda = signal (v / (v + noise))^2."""
    return EndFit(np.ones(1), np.array([float(signal)]), 0.0, float(noise))


def stationary_states(curves: Sequence[Curve], fit: EndFit) -> tuple[ChainState, ...]:
    """All states on the curves at which Lambda is what the fit hands on, the ground state first.

    Changes of sign are looked for at 600 points a curve, then refined; two roots closer than that are missed, which
    happens only where they appear, never at the ground state of a transition. A state is a minimum if the curve's
    Lambda overtakes the fit's there as c_T rises.

    Cost: 600 points times the number of eigenvalues for each curve.
    Source: our derivation.
    """
    low, high = float(fit.signal(1.0)), float(fit.signal(np.inf))
    if high == 0:
        still = next(curve for curve in curves if isinstance(curve, Incoherent)).state(-np.inf)
        return (replace(still, free_energy=fit.misfit(1.0)),)
    found = [state for curve in curves for state in _on_curve(curve, fit, low, high)]
    return tuple(sorted(found, key=lambda state: state.free_energy))


def _on_curve(curve: Curve, fit: EndFit, low: float, high: float) -> list[ChainState]:
    def ahead(parameters: Numbers) -> Numbers:
        log_variance, log_signal = curve.logs(parameters)
        return log_signal - np.log(fit.signal(np.exp(log_variance)))

    grid = curve.grid(low, high)
    values = ahead(grid)
    found = []
    for k in np.flatnonzero((values[:-1] < 0) != (values[1:] < 0)).tolist():
        root = _root(lambda u: float(ahead(np.array([u]))[0]), grid, k)
        if root is None:
            continue
        state = curve.state(root)
        energy = state.noiseless + fit.misfit(state.variance)
        found.append(replace(state, free_energy=energy, stable=bool(values[k] < 0 and state.stable)))
    return found


def _root(function: Callable[[float], float], grid: Numbers, k: int) -> float | None:
    """Between two points of the grid, or beside them, as what was interpolated is off in the fifth digit."""
    for first, last in ((k, k + 1), (max(k - 1, 0), min(k + 2, len(grid) - 1))):
        if function(grid[first]) * function(grid[last]) <= 0:
            return brentq(function, grid[first], grid[last], xtol=1e-13, rtol=1e-14)
    return None


def feedforward_chain(times: int, signal: float | int, noise: float | int = 0.0) -> tuple[ChainState, ...]:
    """All states of a network with a W of its own for each time: roots r of signal = (r - 1)(r^T + noise)^2 / r^T.

    One root up to the noise `coexistence_noise(times)`; beyond, a nearly lazy and a rich one may coexist, with a saddle
    between them. The ground state comes first.

    Args:
        times: T.
        signal, noise: |y|^2 and kappa, over s_a^2 c0 (`Problem.groups`).
    Raises:
        ValueError: for no time, or a signal or noise below 0.

    Source: our derivation.
    """
    refuse_chain(times, signal, noise)
    return stationary_states((Incoherent(times),), end_label(signal, noise))


def gain(times: int, signal: float | int) -> float:
    """r with r^T (r - 1) = signal: what every layer amplifies by, without noise."""
    return 1.0 if signal == 0 else 1 + float(np.exp(log_excess(times, float(np.log(signal)))))


def log_excess(times: int, log_signal: float) -> float:
    """ln(r - 1) with T ln r + ln(r - 1) = ln signal; r itself has no digits left for weak signals."""
    lowest = log_signal - times * np.logaddexp(0, log_signal)  # since r - 1 is below the signal
    ends = lowest - 1, log_signal + 1
    return float(brentq(lambda x: x + times * np.logaddexp(0, x) - log_signal, *ends, xtol=1e-13, rtol=1e-14))


def correlation(parameter: float | Numbers) -> np.ndarray:
    """rho with parameter = ln(rho / (1 - rho))."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(parameter, float))))


def coexistence_noise(times: int) -> float:
    """Noise above which two incoherent states can coexist: min over r > T / L of r^T (T (r-1) + r) / (T (r-1) - r).

    kappa / (s_a^2 c0); infinite for T = 1.

    Source: our derivation.
    """
    if times == 1:
        return np.inf

    def edge(x: float) -> float:
        r = times / (times - 1) + np.exp(x)
        return times * np.log(r) + np.log(times * (r - 1) + r) - np.log(times * (r - 1) - r)

    return float(np.exp(minimize_scalar(edge, bounds=(-10, 5), method="bounded", options={"xatol": 1e-10}).fun))


def refuse_chain(times: int, signal: float | int, noise: float | int) -> None:
    """Raises ValueError for sizes that no chain has."""
    if times < 1 or not (np.isfinite(signal) and signal >= 0 and np.isfinite(noise) and noise >= 0):
        raise ValueError(
            f"a chain has 1 time or more and a finite signal and noise of 0 or more, got times {times}, "
            f"signal {signal}, noise {noise}; `Problem.groups` gives all three"
        )
