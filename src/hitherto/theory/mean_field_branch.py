"""The coherent states of recurrent chains of any length: one label at the end, one W for all times.

Conventions and units as in `mean_field_chain`. Beyond T = 3 the coherent branch has no closed form. In the basis that
orthogonalises the hidden states time by time, C = A A^T with A lower triangular, W and the input are a lower triangular
matrix U, whose rows make a_t = (0, a_(t-1)) U, the rows of A, from a_0 = (1, 0, ..., 0) U, and

    F = [|U|^2 - T] / 2 - sum of ln U_tt + Lambda / (2 |a_T|^2):

one small linear network, its weight decay, and what fresh directions cost. The branch may turn back in the signal, so
it is followed in rho, the correlation of the first two times, U_21 / sqrt(U_21^2 + U_22^2): grad F = 0 is solved for
(U, ln Lambda) at rho given. Nothing is swept, and nothing is lost at a fold. T = 3, 4 turn coherent continuously; from
T = 5 on the coherent state appears at a fold, wins from the Maxwell point on, and coexists until the incoherent state
is unstable.

Source: our derivation, checked against minimisation over all kernels.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicHermiteSpline

from hitherto.theory.mean_field_chain import (
    ChainState,
    CoherentOfThree,
    Curve,
    Incoherent,
    Numbers,
    correlation,
    end_label,
    refuse_chain,
    stationary_states,
)
from hitherto.theory.mean_field_stability import critical_gain, spinodal_signal

STEP = 0.2  # between solved points, in ln(rho / (1 - rho))
STRONGEST = 1e30  # signal up to which rho has digits left

Weights = Float[np.ndarray, "time time"]


@dataclass(frozen=True, eq=False)
class Node:
    """A solved point of the branch, and its slopes in the parameter ln(rho / (1 - rho)).

    Attributes:
        parameter: where.
        weights, log_signal: U and ln Lambda.
        weights_slope, log_signal_slope: their slopes.
    """

    parameter: float
    weights: Weights
    log_signal: float
    weights_slope: Weights
    log_signal_slope: float

    @cached_property
    def factor(self) -> Weights:
        """A, whose rows are a_t; C = A A^T."""
        return _inputs_and_states(self.weights)[1]

    @cached_property
    def logs(self) -> tuple[float, float, float, float]:
        """ln c_T and ln Lambda, each with its slope."""
        variance, gradient = _variance(self.weights)[:2]
        slope = float((gradient * self.weights_slope).sum() / variance)
        return float(np.log(variance)), slope, self.log_signal, self.log_signal_slope

    @property
    def energy(self) -> float:
        """F."""
        weights = self.weights
        spread = (weights**2).sum() - len(weights) - 2 * np.log(weights.diagonal()).sum()
        return float(spread + np.exp(self.log_signal - self.logs[0])) / 2


@dataclass(frozen=True)
class Coherent:
    """The coherent branch of T times; a `Curve` whose parameter is ln(rho / (1 - rho)). See `coherent_branch`.

    Attributes:
        times: T, from 3.
    """

    times: int
    _nodes: list[Node] = field(default_factory=list, compare=False, repr=False)

    def grid(self, low: float, high: float) -> Numbers:
        self.reach(np.log(high))
        ends = np.array([node.parameter for node in self._nodes])
        inner = np.linspace(0, 1, 8, endpoint=False)
        return np.append((ends[:-1, None] + inner * np.diff(ends)[:, None]).ravel(), ends[-1])

    def logs(self, parameters: Numbers) -> tuple[Numbers, Numbers]:
        """Solved for a single parameter, interpolated between solved points for many."""
        if len(parameters) == 1:
            log_variance, _, log_signal, _ = self.at(float(parameters[0])).logs
            return np.array([log_variance]), np.array([log_signal])
        x = [node.parameter for node in self._nodes]
        variance, variance_slope, signal, signal_slope = np.array([node.logs for node in self._nodes]).T
        return (
            CubicHermiteSpline(x, variance, variance_slope)(parameters),
            CubicHermiteSpline(x, signal, signal_slope)(parameters),
        )

    def state(self, parameter: float) -> ChainState:
        node = self.at(parameter)
        kernel = node.factor @ node.factor.T
        rho, signal = float(correlation(parameter)), float(np.exp(node.log_signal))
        return ChainState(True, rho, kernel, signal, node.energy, node.energy, node.log_signal_slope > 0)

    @property
    def first(self) -> Node:
        return self._nodes[0]

    @property
    def last(self) -> Node:
        return self._nodes[-1]

    def at(self, parameter: float) -> Node:
        """The solved point at a parameter, from the nearest known one."""
        self.reach(-np.inf)
        return solved(min(self._nodes, key=lambda node: abs(node.parameter - parameter)), parameter)

    def reach(self, log_signal: float) -> None:
        """Solves on, past the fold if there is one, until the signal is passed."""
        if log_signal > np.log(STRONGEST):
            raise ValueError(
                f"a signal of {np.exp(log_signal):.3g} was asked of {self.times} times, and the coherent branch is "
                f"followed up to {STRONGEST:g}; give smaller labels, or see strong_signal_ratios"
            )
        if not self._nodes:
            self._nodes.append(_first(self.times))
        while self._nodes[-1].log_signal < log_signal or self._nodes[-1].log_signal_slope < 0:
            self._nodes.append(solved(self._nodes[-1], self._nodes[-1].parameter + STEP))


@cache
def coherent_branch(times: int) -> Coherent:
    """The branch of T >= 3 times, with what was solved of it so far."""
    return Coherent(times)


def curves(times: int, shared: bool) -> tuple[Curve, ...]:
    """All curves of states of the chain: incoherent, and coherent if one W is used twice or more."""
    if not shared or times <= 2:
        return (Incoherent(times),)
    return (Incoherent(times, shared=True), CoherentOfThree() if times == 3 else coherent_branch(times))


def recurrent_chain(times: int, signal: float | int, noise: float | int = 0.0) -> tuple[ChainState, ...]:
    """All states of a recurrent network, of the incoherent branch and the coherent one; the ground state first.

    Closed forms for T = 3; up to T = 2 as `feedforward_chain`. At strong signals further coherent states exist, with
    complex outliers; they are never the lowest in what we checked, and are not listed.

    Args:
        times: T.
        signal, noise: |y|^2 and kappa, over s_a^2 c0 (`Problem.groups`).
    Raises:
        ValueError: for no time, a signal or noise below 0, or from T = 4 on a signal above 1e30.

    Cost: T^6 a solved point, some 30 of them once for each T: 0.2 s for T = 12, 5 s for T = 30.
    Source: our derivation.
    """
    refuse_chain(times, signal, noise)
    return stationary_states(curves(times, True), end_label(signal, noise))


def _first(times: int) -> Node:
    """Where the branch leaves the incoherent one: lag-1 correlations rho, 2 rho, ..., the null vector of M_n."""
    rho, root = 0.05 / times**2, np.sqrt(critical_gain(times))  # near enough for Newton from 4 to 30 times
    parameter = np.log(rho / (1 - rho))
    weights = root * (np.eye(times) + np.diag(rho * np.arange(1, times), -1))
    still = np.zeros_like(weights)
    return solved(Node(parameter, weights, np.log(spinodal_signal(times)), still, 0.0), parameter)


def solved(near: Node, parameter: float) -> Node:
    """Newton's method for grad F = 0 at rho given, from a point nearby; a way too long is halved.

    Raises:
        ArithmeticError: if no way is short enough.
    """
    ahead = parameter - near.parameter
    node = _newton(near, parameter) if abs(ahead) < 1.01 * STEP else None
    if node is not None:
        return node
    if abs(ahead) < 1e-4:
        raise ArithmeticError(
            f"the coherent branch of {len(near.weights)} times was lost at rho {correlation(parameter):.6f}"
        )
    return solved(solved(near, near.parameter + ahead / 2), parameter)


def _newton(near: Node, parameter: float) -> Node | None:
    ahead, rho = parameter - near.parameter, float(correlation(parameter))
    weights, log_signal = near.weights + near.weights_slope * ahead, near.log_signal + near.log_signal_slope * ahead
    for _ in range(10):
        matrix, residual = _linearised(weights, log_signal, rho)
        step = np.linalg.solve(matrix, -residual)
        weights, log_signal = weights + _lower(step[:-1], len(weights)), log_signal + step[-1]
        if not (np.abs(step).max() < 1 and weights.diagonal().min() > 0):
            return None
        if np.abs(step).max() < 1e-9 * np.abs(weights).max():
            break
    else:
        return None
    matrix, _ = _linearised(weights, log_signal, rho)
    slopes = np.linalg.solve(matrix, np.append(np.zeros(len(matrix) - 1), rho * (1 - rho)))
    return Node(parameter, weights, float(log_signal), _lower(slopes[:-1], len(weights)), float(slopes[-1]))


def _linearised(weights: Weights, log_signal: float, rho: float) -> tuple[np.ndarray, np.ndarray]:
    """Matrix of (grad F, rho) by (U, ln Lambda), and (grad F, rho - what it should be) itself."""
    rows, columns = np.tril_indices(len(weights))
    variance, slope, backs = _variance(weights)
    force = np.exp(log_signal) / variance**2 / 2
    pull = -force * slope
    inverse = np.diag(1 / weights.diagonal())
    hessian = -force * _bend(weights, backs, rows, columns)
    hessian += 2 * force / variance * slope[rows, columns][:, None, None] * slope
    hessian[np.arange(len(rows)), rows, columns] += 1 + (inverse**2)[rows, columns]
    gradient = weights - inverse + pull
    correlated = np.zeros_like(weights)
    size = np.hypot(*weights[1, :2])
    correlated[1, :2] = weights[1, 1] * np.array([weights[1, 1], -weights[1, 0]]) / size**3
    top = np.column_stack([hessian[:, rows, columns].T, pull[rows, columns]])
    matrix = np.vstack([top, np.append(correlated[rows, columns], 0)])
    return matrix, np.append(gradient[rows, columns], weights[1, 0] / size - rho)


def _variance(weights: Weights) -> tuple[float, Weights, Weights]:
    """c_T = |a_T|^2, its gradient by U, and its gradients by a_t as rows."""
    inputs, states = _inputs_and_states(weights)
    backs = [2 * states[-1]]
    for _ in inputs[1:]:
        backs.append(_earlier(weights @ backs[-1]))
    rows = np.array(backs[::-1])
    return float(states[-1] @ states[-1]), inputs.T @ rows, rows


def _bend(weights: Weights, backs: Weights, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How the gradient of c_T changes with each entry of U."""
    inputs, _ = _inputs_and_states(weights)
    each = np.arange(len(rows))
    tangents = [np.zeros((len(rows), len(weights)))]
    for x in inputs:
        moved = tangents[-1] @ weights
        moved[each, columns] += x[rows]
        tangents.append(_later(moved))
    back_tangents = [2 * moved]
    for back in backs[:0:-1]:
        changed = back_tangents[-1] @ weights.T
        changed[each, rows] += back[columns]
        back_tangents.append(_earlier(changed))
    of_inputs = np.tensordot(np.array(tangents[:-1]), backs, (0, 0))
    of_backs = np.tensordot(np.array(back_tangents[::-1]), inputs, (0, 0))
    return of_inputs + of_backs.transpose(0, 2, 1)


def _inputs_and_states(weights: Weights) -> tuple[Weights, Weights]:
    """Rows (0, a_(t-1)), and rows a_t."""
    inputs, states = [np.eye(len(weights))[0]], []
    for _ in weights:
        states.append(inputs[-1] @ weights)
        inputs.append(_later(states[-1]))
    return np.array(inputs[:-1]), np.array(states)


def _later(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(rows[..., :1]), rows[..., :-1]], -1)


def _earlier(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[..., 1:], np.zeros_like(rows[..., :1])], -1)


def _lower(entries: np.ndarray, times: int) -> Weights:
    out = np.zeros((times, times))
    out[np.tril_indices(times)] = entries
    return out
