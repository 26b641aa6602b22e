"""Where recurrent chains of each length turn coherent: fold, Maxwell point, spinodal, and what is found there.

Conventions and units as in `mean_field_chain`; the branch of `mean_field_branch` is searched along the correlation rho
of the first two times.

Source: our derivation.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq

from hitherto.theory.mean_field_branch import Coherent, Node, coherent_branch
from hitherto.theory.mean_field_chain import Incoherent, correlation, gain, log_excess
from hitherto.theory.mean_field_stability import critical_gain, spinodal_signal


@dataclass(frozen=True)
class Landmarks:
    """The transition of T times without noise; with noise, for the signal that reaches the chain, which jumps across.

    Attributes:
        times: T.
        continuous: whether coherence grows from 0; then fold, Maxwell point and spinodal are one.
        critical_gain: r* = L / (L - 1).
        spinodal: Lambda*, up to which the incoherent state is a minimum.
        fold: Lambda from which the coherent state exists.
        maxwell: Lambda from which the coherent state is the ground state.
        fold_correlation, maxwell_correlation: of the first two times in the coherent state there.
        variance: c_T / c0 of the coherent state at the Maxwell point.
        gain: r of the incoherent state at the Maxwell point.
        outlier: largest eigenvalue of W, over g, in the coherent state at the Maxwell point; seen if above 1.
        barrier: free energy a unit of the saddle between the two states at the Maxwell point, over theirs. A network
            of N units hops across unless N times it is well above 1.
    """

    times: int
    continuous: bool
    critical_gain: float
    spinodal: float
    fold: float
    maxwell: float
    fold_correlation: float
    maxwell_correlation: float
    variance: float
    gain: float
    outlier: float
    barrier: float


@cache
def landmarks(times: int) -> Landmarks:
    """Fold, Maxwell point and spinodal of T >= 3 times.

    Raises:
        ValueError: for T below 3, where W is used once and nothing can turn coherent.

    Cost: 0.2 s for T = 12, 5 s for T = 30, once.
    Source: our derivation, checked against minimisation over all kernels.
    """
    if times < 3:
        raise ValueError(
            f"a network of {times} times uses W {max(times - 1, 0)} times, so none can turn coherent; take 3 or more"
        )
    critical, spinodal = critical_gain(times), spinodal_signal(times)
    branch = coherent_branch(times)
    branch.reach(-np.inf)
    if branch.first.log_signal_slope > 0:
        at = (spinodal, spinodal, spinodal, 0.0, 0.0, critical**times, critical, 0.0, 0.0)
        return Landmarks(times, True, critical, *at)
    fold = _fold(branch)
    maxwell = _maxwell(branch, fold)
    signal = float(np.exp(maxwell.log_signal))
    beside = gain(times, signal)
    low = branch.first.parameter
    saddle = branch.at(brentq(lambda u: branch.at(u).log_signal - maxwell.log_signal, low, fold.parameter, xtol=1e-12))
    return Landmarks(
        times=times,
        continuous=False,
        critical_gain=critical,
        spinodal=spinodal,
        fold=float(np.exp(fold.log_signal)),
        maxwell=signal,
        fold_correlation=float(correlation(fold.parameter)),
        maxwell_correlation=float(correlation(maxwell.parameter)),
        variance=float(np.exp(maxwell.logs[0])),
        gain=beside,
        outlier=float(np.abs(np.linalg.eigvals(maxwell.weights[1:, :-1])).max()),
        barrier=saddle.energy - maxwell.energy,
    )


def tricritical_noise(times: int) -> float:
    """kappa / (s_a^2 c0) above which the transition is by a jump in the labels: 56/3 for T = 3, 0 from T = 5 on.

    a c* / (2 - a), with c* = r*^T and a the slope of ln Lambda against ln c_T where the coherent branch begins.
    Infinite for T <= 2, where there is no transition.

    Source: our derivation.
    """
    if times <= 2:
        return np.inf
    branch = coherent_branch(times)
    branch.reach(-np.inf)
    ends = [branch.first, branch.at(branch.first.parameter - np.log(2))]
    if ends[0].log_signal_slope < 0:
        return 0.0
    squares = [float(correlation(node.parameter)) ** 2 for node in ends]
    slopes = [node.logs[3] / node.logs[1] for node in ends]
    slope = slopes[1] - squares[1] * (slopes[0] - slopes[1]) / (squares[0] - squares[1])
    return float(slope * critical_gain(times) ** times / (2 - slope))


def strong_signal_ratios(times: int) -> tuple[float, float]:
    """Recurrent over feedforward as the signal grows: of c_T, L^(L / (L + 2)), and of F, its inverse.

    One direction of W used L times is cheaper than L spikes of their own.

    Args:
        times: T = L + 1, from 2.

    Source: our derivation.
    """
    uses = times - 1
    ratio = float(uses ** (uses / (uses + 2)))
    return ratio, 1 / ratio


def _fold(branch: Coherent) -> Node:
    """Where Lambda turns back."""
    low, high = branch.first.parameter, branch.last.parameter
    return branch.at(brentq(lambda u: branch.at(u).log_signal_slope, low, high, xtol=1e-12))


def _maxwell(branch: Coherent, fold: Node) -> Node:
    """Where the coherent and the incoherent state have the same free energy."""

    def gap(parameter: float) -> float:
        node = branch.at(parameter)
        return node.energy - incoherent_energy(branch.times, float(np.exp(node.log_signal)))

    branch.reach(np.log(spinodal_signal(branch.times)))
    return branch.at(brentq(gap, fold.parameter, branch.last.parameter, xtol=1e-12))


def incoherent_energy(times: int, signal: float) -> float:
    """F of the incoherent state without noise."""
    return Incoherent(times).state(log_excess(times, float(np.log(signal)))).noiseless
