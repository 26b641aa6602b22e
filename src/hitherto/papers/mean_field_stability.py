"""Linear chains with a label at the end: when their states are stable, and when several exist at once.

Predictions are closed forms and the branch of `theory.mean_field_branch`. They are held against numerical second
derivatives of the free energy, and against descents over all entries of the kernel that follow a state.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    CRITICAL_GAIN,
    CRITICAL_NOISE,
    FREE_ENERGIES,
    LAG_CURVATURE,
    LAG_DETERMINANT,
    REALISED_SIGNAL,
    Estimate,
)
from hitherto.papers.depth_networks import exact
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import (
    OURS,
    RETOLD,
    chain_of,
    curve,
    minimum,
    square,
)
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import ChainState, coexistence_noise, feedforward_chain
from hitherto.theory.mean_field_descent import least_curvature
from hitherto.theory.mean_field_solver import Minimum, solve
from hitherto.theory.mean_field_stability import critical_gain, crossed_determinant, lag_hessian

Kernel = Float[np.ndarray, "entry entry"]
STEP = 3e-4  # of correlations in numerical derivatives

# ---------------------------------------------------------------- stability


def correlation_hessian(
    problem: Problem, kernel: Kernel, pairs: list[tuple[int, int]]
) -> Float[np.ndarray, "pair other"]:
    """Second differences of F by the correlations of pairs of entries."""
    deviation, action = np.sqrt(np.diag(kernel)), Action(problem)

    def value(correlations: np.ndarray) -> float:
        moved = kernel.copy()
        for (one, other), rho in zip(pairs, correlations, strict=True):
            moved[[one, other], [other, one]] += rho * deviation[one] * deviation[other]
        return action.at(moved).value

    units = STEP * np.eye(len(pairs))
    mixed = [[value(a + b) - value(a - b) - value(b - a) + value(-a - b) for b in units] for a in units]
    return np.array(mixed) / (4 * STEP**2)


def curvature_at_lag(case: Case) -> Estimate:
    """At the minimum of the feedforward network, in the recurrent one."""
    kernel = minimum(chain_of(case, shared=False), 1).kernel
    pairs = [(t, t + case.lag) for t in range(case.times - case.lag)]
    return square(LAG_CURVATURE, correlation_hessian(chain_of(case), kernel, pairs), 1e-5)


def predicted_curvature(case: Case) -> Estimate:
    """M_n at the gain of the feedforward network."""
    r = feedforward_chain(case.times, case.signal, case.noise)[0].order
    return square(LAG_CURVATURE, lag_hessian(r, case.times - case.lag))


def unstable_gain(case: Case) -> Estimate:
    """Amplification at which the feedforward state has a curvature of 0 in the recurrent network."""

    def kernel(log_signal: float) -> Kernel:
        return minimum(chain_of(case, signal=float(np.exp(log_signal)), shared=False), 1).kernel

    def least(log_signal: float) -> float:
        problem = chain_of(case, signal=float(np.exp(log_signal)))
        return least_curvature(Action(problem).at(kernel(log_signal)))[0]

    found = kernel(brentq(least, *np.log(case.between), xtol=1e-10))
    return exact(CRITICAL_GAIN, float(found[1, 1] / found[0, 0] / chain_of(case, signal=1.0).recurrent_variance))


def two_directions(case: Case) -> tuple[Problem, Kernel]:
    """Two patterns with a label each, on outputs of their own, and the feedforward state."""
    labels = np.sqrt(np.array(case.signals))
    problem = Problem.pulse(np.zeros((2, 1)), (case.times - 1,), case.times, noise=case.noise)
    problem = problem.with_(labels=np.diag(labels))
    return problem, minimum(problem.with_(shared=False), 1).kernel


def crossed_curvature(case: Case) -> Estimate:
    """Determinant of second differences of F by correlations of one pattern with the other a lag later."""
    problem, kernel = two_directions(case)
    pairs = [(2 * t, 2 * (t + case.lag) + 1) for t in range(case.times - case.lag)]
    value = float(np.linalg.det(correlation_hessian(problem, kernel, pairs)))
    return Estimate(LAG_DETERMINANT, value, 1e-5, source="second differences")


def predicted_determinant(case: Case) -> Estimate:
    """From the gains of two chains of one pattern."""
    gains = [feedforward_chain(case.times, signal, case.noise)[0].order for signal in case.signals]
    return exact(LAG_DETERMINANT, crossed_determinant(*gains, case.times - case.lag))


CURVATURE = Claim(
    id="mean_field.stability",
    says="Where times do not correlate, the second derivative of F by correlations is a matrix M_n of the gain alone.",
    source=OURS,
    quantity=LAG_CURVATURE,
    relation="==",
    hypotheses=lambda case: None if 0 < case.lag < case.times else "there are no times so far apart",
    predict=predicted_curvature,
    measure=curvature_at_lag,
    smallest=Case(times=5, signal=1.0, noise=0.2, variances=(1.7, 0.6, 2.3), lag=1),
    larger=tuple(Case(times=6, signal=2.0, noise=1.0, lag=lag) for lag in (1, 2, 3, 5)),
    rtol=1e-4,
)
CRITICAL = Claim(
    id="mean_field.critical_gain",
    says="Times correlate once layers amplify by L / (L - 1): for L = 2, once learning adds as much as random weights.",
    source=RETOLD,
    quantity=CRITICAL_GAIN,
    relation="==",
    hypotheses=lambda case: None if case.times > 2 else "W is used once",
    predict=lambda case: exact(CRITICAL_GAIN, critical_gain(case.times)),
    measure=unstable_gain,
    smallest=Case(times=3, noise=0.3, variances=(1.7, 0.6, 2.3), between=(2.0, 50.0)),
    larger=tuple(Case(times=times, noise=0.1, between=(0.1, 20.0)) for times in (3, 4, 5, 8)),
    rtol=1e-6,
)
DIRECTIONS = Claim(
    id="mean_field.label_directions",
    says="Labels in two directions with gains r1 and r2 correlate with each other by a determinant in both alone.",
    source=OURS,
    quantity=LAG_DETERMINANT,
    relation="==",
    hypotheses=anywhere,
    predict=predicted_determinant,
    measure=crossed_curvature,
    smallest=Case(times=4, signals=(1.0, 0.3), noise=0.2, lag=1),
    larger=tuple(Case(times=4, signals=(5.0, second), noise=0.2, lag=lag) for second in (0.0, 2.0) for lag in (1, 2)),
    rtol=1e-4,
)

# ---------------------------------------------------------------- several states at once


def minima_of(case: Case) -> tuple[Minimum, ...]:
    """All that descents over whole kernels end in, among them one from the prior."""
    return solve(chain_of(case)).minima[: case.minima]


def stable_states(case: Case) -> list[ChainState]:
    """Of the chain, by closed forms."""
    groups = chain_of(case).groups
    states = recurrent_chain if case.shared else feedforward_chain
    return [state for state in states(case.times, groups["signal"], groups["noise"]) if state.stable][: case.minima]


def double_root(case: Case) -> Estimate:
    """The least noise at which d ln signal / dr, signal = (r - 1)(r^T + noise)^2 / r^T, has roots above 1."""
    t = case.times

    def largest_share(log_noise: float) -> float:
        r = 1 + np.geomspace(1e-3, 1e3, 20001)
        rise = 1 / (r - 1) + 2 * t * r ** (t - 1) / (r**t + np.exp(log_noise)) - t / r
        return float((rise * (r - 1)).min())

    return exact(CRITICAL_NOISE, float(np.exp(brentq(largest_share, 0, 10, xtol=1e-9))))


def signals_let_through(case: Case) -> Estimate:
    """f^2 at the label, over s_a^2 c0, of each minimum."""
    scale = (chain_of(case).labels ** 2).sum() / chain_of(case).groups["signal"]
    found = [float(minimum.prediction.mean[-1, 0] ** 2 / scale) for minimum in minima_of(case)]
    return curve(REALISED_SIGNAL, np.array(found))


NOISY = dict(times=3, noise=1000.0, shared=False, minima=2)
COEXISTENCE = Claim(
    id="mean_field.coexistence",
    says="At large noise a nearly lazy and a rich state coexist, and the rich one can win far below the transition.",
    source=OURS,
    quantity=FREE_ENERGIES,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: curve(FREE_ENERGIES, np.array([state.free_energy for state in stable_states(case)])),
    measure=lambda case: curve(FREE_ENERGIES, np.array([found.action for found in minima_of(case)])),
    smallest=Case(**NOISY, signal=1e5),
    larger=(
        Case(**NOISY | dict(shared=True, noise=200.0), signal=3000.0),
        Case(**NOISY | dict(noise=200.0, minima=1), signal=3000.0),
    ),
    rtol=1e-8,
)
COEXISTENCE_NOISE = Claim(
    id="mean_field.coexistence_noise",
    says="Feedforward chains have one state for every signal up to a noise that depends on their length alone.",
    source=OURS,
    quantity=CRITICAL_NOISE,
    relation="==",
    hypotheses=lambda case: None if case.times > 1 else "one time has one state at any noise",
    predict=lambda case: exact(CRITICAL_NOISE, coexistence_noise(case.times)),
    measure=double_root,
    smallest=Case(times=3),
    larger=tuple(Case(times=times) for times in (2, 4, 5, 8, 10)),
    rtol=1e-5,
)
JUMP = Claim(
    id="mean_field.jump",
    says="With noise, the signal that reaches a deep chain jumps across the transition and never has its value.",
    source=OURS,
    quantity=REALISED_SIGNAL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: curve(REALISED_SIGNAL, np.array([state.signal for state in stable_states(case)])),
    measure=signals_let_through,
    smallest=Case(times=6, signal=1.15, noise=0.5, shared=True, minima=2),
    larger=(Case(times=8, signal=0.62, noise=0.3, shared=True, minima=2),),
    rtol=1e-6,
)

CLAIMS = (CURVATURE, CRITICAL, DIRECTIONS, COEXISTENCE, COEXISTENCE_NOISE, JUMP)
