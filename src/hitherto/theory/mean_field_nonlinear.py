"""One pattern, one label at the end, nonlinear networks: the state without correlations between times, and its end.

Odd activations, a pulse of input. Every time has a law of its own, q_t(h) ~ N(h; 0, sigma_t) e^(c~_t phi(h)^2 / 2) with
sigma_1 = g_v^2 x.x/D, sigma_(t+1) = g^2 c_t, c_t = <phi^2>. What h gains by being useful later, d_t, is what pulls at
the time before: c~_t = g^2 d_(t+1), and at the end c~_T = s_a^2 y^2 / (s_a^2 c_T + kappa)^2. Without the last equation
the pulls lie on a curve, and y^2 is read off along it: so it is followed by its length in (ln c~_1, ..., ln c~_T), and
states that coexist are found together.

Source: our derivation, checked against sampled networks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_endpoint import is_shared, labelled_time
from hitherto.theory.mean_field_law import Law, tilted_law

WEAKEST, STRONGEST = 1e-4, 1e6  # c~_T sigma_T from which the curve is followed, and c~_t sigma_t up to which it is
STRIDE = 1.5  # between solved points of the curve

PerTime = Float[np.ndarray, " time"]


@dataclass(frozen=True, eq=False)
class Point:
    """Where the curve is: ln c~ by time, and its direction."""

    logs: PerTime
    direction: PerTime


@dataclass(frozen=True, eq=False)
class IncoherentState:
    """A state in which times do not correlate.

    Attributes:
        label_square: y^2 that it answers to.
        variances, pulls, passed, gained: c_t, c~_t, b_t and d_t by time.
        recurrent_variance: g^2.
        free_energy: F a unit.
    """

    label_square: float
    variances: PerTime
    pulls: PerTime
    passed: PerTime
    gained: PerTime
    recurrent_variance: float
    free_energy: float

    def lag_hessian(self, lag: int) -> Float[np.ndarray, "pair pair"]:
        """Second derivative of F by the correlations of the T - lag pairs of times at that lag.

        Lags decouple. Tridiagonal; N <rho rho^T> is its inverse. Linear networks: `mean_field_stability.lag_hessian`.
        """
        c, first, later = self.variances, slice(None, -lag), slice(lag, None)
        scale = c[first] * c[later]
        passed = self.recurrent_variance * self.passed[first] * self.passed[later]
        gained = self.recurrent_variance**2 * self.gained[first] * self.gained[later]
        diagonal = np.ones(len(scale))
        diagonal[:-1] += passed[1:] ** 2 * scale[:-1] / scale[1:] - gained[1:] * scale[:-1]
        beside = -passed[1:] * np.sqrt(scale[:-1] / scale[1:])
        return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)

    @property
    def least_curvature(self) -> float:
        """The least eigenvalue over all lags, above 0 where a network with one W stays incoherent. 1 for T <= 2."""
        lags = range(1, len(self.variances) - 1)
        return min((float(np.linalg.eigvalsh(self.lag_hessian(lag))[0]) for lag in lags), default=1.0)


def incoherent_states(problem: Problem) -> tuple[IncoherentState, ...]:
    """All states without correlations between times, the one of lowest free energy first.

    One for small noise; at large noise a nearly lazy and a rich one may coexist, with a saddle between.

    Raises:
        ValueError: for problems other than one pattern, one label at the end, a pulse, and erf or tanh.

    Cost: 401 nodes a time and more, some 20 points of the curve: 0.1 s for T = 6.
    Source: our derivation.
    """
    refuse_other_problems(problem)
    wanted = float(problem.labels[0, 0] ** 2)
    lazy = _state(problem, np.zeros(_times(problem)))
    if wanted == 0:
        return (lazy,)
    scale, noise = problem.readout_variance, problem.noise
    least = scale * wanted / (scale + noise) ** 2  # of the last pull, as c_T < 1

    def enough(state: IncoherentState) -> bool:
        """s_a^2 c~_T c_T^2, which is y^2 without noise, does not fall along the curve; noise adds to it, as c_T < 1."""
        without_noise = scale * state.pulls[-1] * state.variances[-1] ** 2
        return bool(without_noise * (1 + noise / scale) ** 2 > 10 * wanted)

    found = _found(
        problem,
        min(least / 2, _weakest(problem)),
        lambda state: float(np.log(state.label_square / wanted)),
        enough,
    )
    if not found:
        raise ValueError(f"no state was found for y^2 = {wanted:.4g}, beyond what can be followed; lower the labels")
    return tuple(sorted(found, key=lambda state: state.free_energy))


def threshold(problem: Problem) -> IncoherentState | None:
    """The state at which the one that grows out of the prior first loses its stability to correlations between times.

    Its `label_square` is y*^2; labels of the problem play no part. It is local: a coherent state may win before. None
    if the state stays stable as far as it can be followed, up to c~_t sigma_t of 1e6.

    Raises:
        ValueError: as `incoherent_states`; for networks that use no W twice.

    Cost: 0.05 s for T = 6.
    Source: our derivation; reduces to r* = L / (L - 1) for linear networks.
    """
    refuse_other_problems(problem)
    if not is_shared(problem, _times(problem)):
        raise ValueError(
            "no W is used twice before the label, so no times can turn coherent; share W over 3 times or more"
        )
    found = _found(
        problem,
        _weakest(problem),
        lambda state: state.least_curvature,
        lambda state: state.least_curvature < 0,
    )
    return found[0] if found else None


def refuse_other_problems(problem: Problem) -> None:
    """Raises ValueError for what is not one pattern, one label at one time, a pulse, and erf or tanh."""
    found = {
        f"the activation {problem.activation}": problem.activation not in ("erf", "tanh"),
        f"{problem.patterns} patterns": problem.patterns > 1,
        f"{problem.labels.size} labels": problem.labels.size > 1,
        "inputs or biases after the first time": not problem.is_pulse,
        "a variance of 0": 0 in (problem.input_variance, problem.readout_variance, problem.recurrent_variance),
    }
    wrong = ", ".join(name for name, holds in found.items() if holds)
    if wrong:
        raise ValueError(
            "the nonlinear theory in closed integrals takes one pattern, one label, a pulse of input, and erf or tanh; "
            f"here: {wrong}. Sample the trained network instead"
        )


def _times(problem: Problem) -> int:
    return labelled_time(problem) + 1


def _laws(problem: Problem, pulls: PerTime) -> list[Law]:
    covariance, laws = problem.input_variance * problem.kernel[0, 0], []
    for pull in pulls:
        laws.append(tilted_law(problem.activation, covariance, pull))
        covariance = problem.recurrent_variance * laws[-1].variance
    return laws


def _state(problem: Problem, pulls: PerTime) -> IncoherentState:
    laws = _laws(problem, pulls)
    kernel = problem.readout_variance * laws[-1].variance + problem.noise
    square = float(pulls[-1] * kernel**2 / problem.readout_variance)
    energy = sum(pull * law.variance / 2 - law.log_norm for pull, law in zip(pulls, laws, strict=True))
    moments = [np.array([getattr(law, name) for law in laws]) for name in ("variance", "passed", "gained")]
    return IncoherentState(
        square, moments[0], pulls, *moments[1:], float(problem.recurrent_variance), float(energy + square / kernel / 2)
    )


def _found(
    problem: Problem,
    weakest: float,
    measure: Callable[[IncoherentState], float],
    enough: Callable[[IncoherentState], bool],
) -> list[IncoherentState]:
    """States at which the measure is 0, looked for from the weakest last pull on until it is enough."""
    found: list[IncoherentState] = []
    point, stride = _first(problem, weakest), STRIDE
    value = measure(_state(problem, np.exp(point.logs)))
    while stride > 1e-3:
        further = _moved(problem, point, stride)
        if further is None:
            stride /= 2
            continue
        state = _state(problem, np.exp(further.logs))
        if value * measure(state) <= 0:
            found.append(_root(problem, point, stride, measure))
        if enough(state) or np.max(state.pulls * _covariances(problem, state)) > STRONGEST:
            break
        point, value, stride = further, measure(state), min(1.5 * stride, STRIDE)
    return found


def _weakest(problem: Problem) -> float:
    """A last pull so weak that nothing is learned, in the units of the problem."""
    return float(WEAKEST / _covariances(problem, _state(problem, np.zeros(_times(problem))))[-1])


def _covariances(problem: Problem, state: IncoherentState) -> PerTime:
    """sigma_t."""
    first = problem.input_variance * problem.kernel[0, 0]
    return np.append(first, problem.recurrent_variance * state.variances[:-1])


def _root(
    problem: Problem, point: Point, stride: float, measure: Callable[[IncoherentState], float]
) -> IncoherentState:
    def at(ahead: float) -> IncoherentState:
        return _state(problem, np.exp(_moved(problem, point, ahead).logs))

    return at(brentq(lambda ahead: measure(at(ahead)), 0, stride, xtol=1e-13, rtol=1e-14))


def _first(problem: Problem, weakest: float) -> Point:
    """Where pulls are so weak that each is a share of the next."""
    logs = [np.log(weakest)]
    for law in _laws(problem, np.full(_times(problem), 1e-12))[:0:-1]:
        logs.append(logs[-1] + np.log(problem.recurrent_variance * law.gained / 1e-12))
    start = Point(np.array(logs[::-1]), np.append(np.zeros(len(logs) - 1), 1.0))
    return _moved(problem, start, 0.0)


def _moved(problem: Problem, point: Point, ahead: float) -> Point | None:
    """The point of the curve so far ahead along its direction, by Newton's method; None if it is too far."""
    logs = point.logs + ahead * point.direction
    for _ in range(10):
        residual, matrix = _linearised(problem, logs)
        system = np.vstack([matrix, point.direction])
        step = np.linalg.solve(system, -np.append(residual, point.direction @ (logs - point.logs) - ahead))
        if not np.abs(step).max() < max(0.1, ahead / 3):  # the curve bends away
            return None
        logs = logs + step
        if np.abs(step).max() < 1e-12:
            direction = np.linalg.solve(system, np.append(np.zeros(len(residual)), 1.0))
            return Point(logs, direction / np.linalg.norm(direction))
    return None


def _linearised(problem: Problem, logs: PerTime) -> tuple[np.ndarray, np.ndarray]:
    """ln c~_t - ln g^2 d_(t+1) for all times but the last, and its slopes by ln c~."""
    laws = _laws(problem, np.exp(logs))
    unit = np.eye(len(logs))
    covariance = np.zeros(len(logs))  # slopes of ln sigma
    residual, matrix = [], []
    for t, law in enumerate(laws):
        if t:
            residual.append(logs[t - 1] - np.log(problem.recurrent_variance * law.gained))
            matrix.append(unit[t - 1] - law.gained_slopes[0] * covariance - law.gained_slopes[1] * unit[t])
        covariance = law.variance_slopes[0] * covariance + law.variance_slopes[1] * unit[t]
    return np.array(residual), np.array(matrix).reshape(-1, len(logs))
