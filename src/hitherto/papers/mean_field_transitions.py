"""Where recurrent linear chains turn coherent: fold, Maxwell point, onset, order, outliers, and strong signals.

Predictions are closed forms and the branch of `theory.mean_field_branch`. They are held against descents over
all entries of the kernel that follow a state, and against the free energy at given correlations.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    CRITICAL_NOISE,
    CRITICAL_SIGNAL,
    SIGNAL_EXPONENT,
    VARIANCE_RATIO,
    Estimate,
)
from hitherto.papers.depth_networks import exact
from hitherto.papers.mean_field_networks import (
    OURS,
    chain,
    chain_of,
    minimum,
    minimum_from,
    slope,
)
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_atlas import landmarks, strong_signal_ratios, tricritical_noise
from hitherto.theory.mean_field_descent import Landing
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_stability import critical_gain, spinodal_signal
from hitherto.theory.mean_field_weights import outliers

Kernel = Float[np.ndarray, "entry entry"]


@cache
def followed(case: Case) -> "Followed":
    """The coherent state of a case, followed in the signal."""
    return Followed(case, {})


class Followed:
    """Coherent minima of one chain at signals asked for, each descended to from the last one."""

    def __init__(self, case: Case, found: dict[float, Landing]) -> None:
        self.case, self.found = case, found

    def at(self, signal: float) -> Landing:
        """The minimum below the coherent kernel of the nearest signal so far, the first one from many starts."""
        problem = chain_of(self.case, signal=signal)
        if not self.found:
            start = solve(chain_of(self.case, signal=self.case.start)).best.kernel
            self.found[self.case.start] = minimum_from(chain_of(self.case, signal=self.case.start), start)
        near = min(self.found, key=lambda known: abs(np.log(known / signal)))
        grown = (signal / near) ** (np.arange(1, self.case.times + 1) / (2 * self.case.times + 2))
        landing = minimum_from(problem, self.found[near].kernel * np.outer(grown, grown))
        self.found[signal] = landing
        return landing

    def outlier(self, signal: float) -> float:
        """The largest eigenvalue that training gives W, over g."""
        (found,) = outliers(chain_of(self.case, signal=signal), self.at(signal).kernel)
        return float(np.abs(found.eigenvalues[0]) / found.radius)


def fold_of(case: Case) -> Estimate:
    """Where the least curvature of the coherent state is 0; near it, the square of it is linear in the signal."""
    branch, signals = followed(case), [case.start, 0.97 * case.start]
    for _ in range(10):
        squares = [branch.at(signal).least_curvature ** 2 for signal in signals]
        zero = signals[1] - squares[1] * (signals[1] - signals[0]) / (squares[1] - squares[0])
        signals = [signals[1], zero + 0.2 * (signals[1] - zero)]
    return exact(CRITICAL_SIGNAL, float(zero))


def maxwell_of(case: Case) -> Estimate:
    """Where the coherent and the feedforward minimum have the same free energy."""
    branch = followed(case)

    def gap(signal: float) -> float:
        return branch.at(signal).value - minimum(chain_of(case, signal=signal, shared=False), 1).value

    low = case.start
    while gap(low) < 0:
        low *= 0.97
    return exact(CRITICAL_SIGNAL, float(brentq(gap, low, low / 0.97, xtol=1e-10)))


def predicted_visible(case: Case) -> Estimate:
    """Lambda = 4 m / (m - 1)^4 at m = (3 + sqrt 17) / 4, where g sqrt(2 m (2 - m) / (m - 1)) is g."""
    m = (3 + np.sqrt(17)) / 4
    return exact(CRITICAL_SIGNAL, float(4 * m / (m - 1) ** 4))


def visible_from(case: Case) -> Estimate:
    """Where the largest learned eigenvalue passes g."""
    branch = followed(case)
    return exact(CRITICAL_SIGNAL, float(brentq(lambda s: branch.outlier(s) - 1, *case.between, xtol=1e-8)))


DEEP = dict(times=6, noise=0.0, shared=True, start=0.98)
FOLD = Claim(
    id="mean_field.fold",
    says="From T = 5 on the coherent state appears by a jump, at a fold below the transition.",
    source=OURS,
    quantity=CRITICAL_SIGNAL,
    relation="==",
    hypotheses=lambda case: None if case.times > 4 else "up to T = 4 it grows from nothing",
    predict=lambda case: exact(CRITICAL_SIGNAL, landmarks(case.times).fold),
    measure=fold_of,
    smallest=Case(**DEEP),
    larger=(Case(**DEEP | dict(times=8, start=0.55)), Case(**DEEP | dict(times=10, start=0.31))),
    rtol=1e-6,
)
MAXWELL = Claim(
    id="mean_field.maxwell",
    says="From T = 5 on the coherent state wins from a Maxwell point on, before the incoherent one turns unstable.",
    source=OURS,
    quantity=CRITICAL_SIGNAL,
    relation="==",
    hypotheses=FOLD.hypotheses,
    predict=lambda case: exact(CRITICAL_SIGNAL, landmarks(case.times).maxwell),
    measure=maxwell_of,
    smallest=Case(**DEEP),
    larger=FOLD.larger,
    rtol=1e-7,
)
VISIBLE = Claim(
    id="mean_field.visible_outlier",
    says="For T = 3 times correlate from a signal of 8 on, but W has an eigenvalue outside its bulk only from 19.17.",
    source=OURS,
    quantity=CRITICAL_SIGNAL,
    relation="==",
    hypotheses=lambda case: None if case.times == 3 else "the closed form is for three times",
    predict=predicted_visible,
    measure=visible_from,
    smallest=Case(times=3, noise=0.0, shared=True, start=30.0, between=(12.0, 30.0)),
    rtol=1e-6,
)


def onset(case: Case) -> Estimate:
    """d ln rho / d ln (signal - critical) of the first two times."""
    found = []
    for beyond in case.beyond:
        kernel = followed(case).at(spinodal_signal(case.times) * (1 + beyond)).kernel
        found.append(float(abs(kernel[0, 1]) / np.sqrt(kernel[0, 0] * kernel[1, 1])))
    return slope(found, case.beyond)


def factor_at(entries: np.ndarray, rho: float, times: int) -> Kernel:
    """A lower triangular A, its diagonal given by logarithms, whose first two rows have the correlation rho."""
    factor = np.zeros((times, times))
    factor[np.tril_indices(times)] = np.insert(entries, 1, 0.0)
    np.fill_diagonal(factor, np.exp(np.diag(factor)))
    factor[1, :2] = factor[1, 1] * np.array([rho, np.sqrt(1 - rho**2)])
    return factor


def quartic(times: int, noise: float) -> float:
    """Coefficient of rho^4 in the lowest F at a correlation rho of the first two times, where that of rho^2 is 0."""
    critical = critical_gain(times)
    variance = critical**times
    action = Action(chain(times, (critical - 1) * (variance + noise) ** 2 / variance, noise))
    still = np.diag(np.arange(1, times + 1) * np.log(critical) / 2)
    start = np.delete(still[np.tril_indices(times)], 1)

    def lowest(rho: float) -> float:
        cost = lambda entries: action.of(factor_at(entries, rho, times)).value  # noqa: E731
        return float(minimize(cost, start, method="BFGS", options=dict(gtol=1e-8)).fun)

    near, far = ((lowest(rho) - lowest(0.0)) / rho**4 for rho in (0.02, 0.04))
    return (4 * near - far) / 3


def sign_changes(case: Case) -> Estimate:
    """The noise at which the coefficient changes its sign."""
    found = brentq(lambda noise: quartic(case.times, noise), *case.between, xtol=5e-3)
    return exact(CRITICAL_NOISE, float(found))


def end_variances(case: Case, signal: float) -> tuple[float, float]:
    """C at the label of the recurrent and the feedforward network, over all kernels."""
    feedforward = minimum(chain_of(case, signal=signal, shared=False), 1).kernel
    return float(followed(case).at(signal).kernel[-1, -1]), float(feedforward[-1, -1])


def ratio_at_strong_signals(case: Case) -> Estimate:
    """Their ratio at two signals, continued to infinite ones as signal^(-1 / (T + 1))."""
    power = -1 / (case.times + 1)
    for signal in np.geomspace(case.start, case.signals[0], 12):  # so that the state is followed
        followed(case).at(float(signal))
    ratios = [np.divide(*end_variances(case, signal)) for signal in case.signals]
    weights = np.array(case.signals) ** power
    slope_of = (ratios[1] - ratios[0]) / (weights[1] - weights[0])
    return exact(VARIANCE_RATIO, float(ratios[1] - slope_of * weights[1]))


ONSET = Claim(
    id="mean_field.onset",
    says="For T = 3 and 4 correlations grow from nothing, as the square root of the signal beyond the threshold.",
    source=OURS,
    quantity=SIGNAL_EXPONENT,
    relation="==",
    hypotheses=lambda case: None if case.times in (3, 4) else "beyond T = 4 they appear by a jump",
    predict=lambda case: exact(SIGNAL_EXPONENT, 0.5),
    measure=onset,
    smallest=Case(times=3, noise=0.0, shared=True, start=12.0, beyond=(1e-3, 2e-3)),
    larger=(Case(times=4, noise=0.0, shared=True, start=4.0, beyond=(1e-4, 2e-4)),),
    rtol=0.02,
)
TRICRITICAL = Claim(
    id="mean_field.tricritical",
    says="For T = 3 the transition is continuous up to noise 56/3 and by a jump beyond.",
    source=OURS,
    quantity=CRITICAL_NOISE,
    relation="==",
    hypotheses=lambda case: None if case.times in (3, 4) else "beyond T = 4 it is by a jump at any noise",
    predict=lambda case: exact(CRITICAL_NOISE, tricritical_noise(case.times)),
    measure=sign_changes,
    smallest=Case(times=3, between=(17.0, 21.0)),
    larger=(Case(times=4, between=(4.0, 6.0)),),
    rtol=1e-3,
)
STRONG = Claim(
    id="mean_field.strong_signal",
    says="At strong signals the recurrent kernel at the label exceeds the feedforward one by L^(L / (L + 2)).",
    source=OURS,
    quantity=VARIANCE_RATIO,
    relation="==",
    hypotheses=lambda case: None if case.times > 2 else "W is used once",
    predict=lambda case: exact(VARIANCE_RATIO, strong_signal_ratios(case.times)[0]),
    measure=ratio_at_strong_signals,
    smallest=Case(times=3, noise=0.0, shared=True, start=20.0, signals=(1e6, 1e8)),
    larger=(Case(times=4, noise=0.0, shared=True, start=20.0, signals=(1e7, 1e9)),),
    rtol=2e-3,
)
CLAIMS = (
    FOLD,
    MAXWELL,
    VISIBLE,
    ONSET,
    TRICRITICAL,
    STRONG,
)
