"""Labels at one time, any number of patterns, linear networks: ridge regression whose ridge the network sets itself.

With a pulse of inputs and X = x x^T / D the posterior mean is f = X (X + lambda)^-1 y, lambda = kappa / (s_a^2 c_T),
and c_T solves the chain of one pattern (`mean_field_chain`) at the signal Lambda = Omega / (s_a^2 c0),
Omega = y^T (X + lambda)^-1 X (X + lambda)^-1 y. Recurrent and feedforward networks predict along the same regression
path; they differ in lambda alone.

Source: our derivation, checked against the solution for all entries of the kernel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_branch import curves
from hitherto.theory.mean_field_chain import ChainState, EndFit, stationary_states


@dataclass(frozen=True, eq=False)
class Endpoint:
    """The mean-field solution for labels at one time.

    Attributes:
        states: of the chain, the ground state first; others are metastable or, if not `stable`, saddles between.
        variance: c_T, the kernel of a pattern at the labelled time with itself, by X, before the learned part.
        ridge: lambda.
        fitted: f at the labelled patterns.
        dual: sum over eigenvectors u_i of X of u_i (u_i . y) / (x_i + lambda), so that f = X dual.
        last_kernel_gain: c0 and (c_T - c0) / Omega: C at the labelled time is c0 X + the second times f f^T.
    """

    states: tuple[ChainState, ...]
    variance: float
    ridge: float
    fitted: Float[np.ndarray, " pattern"]
    dual: Float[np.ndarray, " pattern"]
    last_kernel_gain: tuple[float, float]

    @property
    def ground(self) -> ChainState:
        """The state of lowest free energy; its `signal` is Lambda, its `coherent` the phase."""
        return self.states[0]

    def predict(self, kernel: Float[np.ndarray, "test pattern"]) -> Float[np.ndarray, " test"]:
        """f at new patterns, from x_new x^T / D with the labelled ones."""
        return kernel @ self.dual

    def last_kernel(self, kernel: Float[np.ndarray, "pattern pattern"]) -> Float[np.ndarray, "pattern pattern"]:
        """C at the labelled time, from X: c0 X + (c_T - c0) f f^T / Omega."""
        at_rest, learned = self.last_kernel_gain
        return at_rest * kernel + learned * np.outer(self.fitted, self.fitted)


def endpoint(problem: Problem) -> Endpoint:
    """The solution of a linear problem with a pulse of inputs, one output, and labels at one time.

    Entries that are not labelled change nothing; their predictions are `Endpoint.predict` of their kernel rows.

    Raises:
        ValueError: for other problems, with what `why_not_endpoint` says; for labels that nothing fits without noise.

    Cost: one eigendecomposition of X among labelled patterns. A `Problem` holds T^2 P^2 numbers; beyond a thousand
    patterns take `endpoint_of_inputs`.
    Source: our derivation.
    """
    why = why_not_endpoint(problem)
    if why:
        raise ValueError(f"labels at one time are solved by ridge regression, but {why}; use the general solver")
    return _solve(_regression(*_of_kernel(problem), problem.labels[:, 0]), problem, labelled_time(problem) + 1)


def endpoint_of_inputs(
    inputs: Float[np.ndarray, "pattern feature"], labels: Float[np.ndarray, " pattern"], times: int, **settings: object
) -> Endpoint:
    """The same from the inputs themselves, for thousands of patterns: labels at the last of `times` times.

    Args:
        inputs: x; predictions are `predict(new @ inputs.T / D)`.
        labels: y.
        times: T.
        settings: variances, noise and `shared` of `Problem`.
    Raises:
        ValueError: as `Problem` and `endpoint`.

    Cost: an eigendecomposition of the smaller of x x^T and x^T x; 3,000 patterns of 3,000 features take seconds.
    Source: our derivation.
    """
    problem = Problem.pulse(labels[:1, None], (times - 1,), times, **settings)
    why = why_not_endpoint(problem)
    if why:
        raise ValueError(f"labels at one time are solved by ridge regression, but {why}; use the general solver")
    if len(inputs) != len(labels) or not (np.all(np.isfinite(inputs)) and np.all(np.isfinite(labels))):
        raise ValueError(
            f"inputs {inputs.shape} and labels {labels.shape} must be finite, a row for each pattern; leave others out"
        )
    return _solve(_regression(*_of_inputs(inputs), labels), problem, times)


def why_not_endpoint(problem: Problem) -> str | None:
    """What keeps a problem from being a chain with labels at one time; None if nothing does."""
    last = labelled_time(problem)
    if problem.activation != "identity":
        return f"the activation is {problem.activation}, not linear"
    if not problem.is_pulse:
        return "inputs or biases arrive after the first time"
    if last is None:
        return "labels are given at several times"
    if problem.labels.shape[1] > 1:
        return f"there are {problem.labels.shape[1]} outputs"
    sharing = problem.times_sharing[1 : last + 1, 1 : last + 1]
    if not (sharing.all() or np.array_equal(sharing, np.eye(last, dtype=bool))):
        return "only some times share W"
    if problem.readout_variance * _at_rest(problem, last + 1) == 0:
        return "a variance of 0 keeps the inputs from the output"
    return None


def labelled_time(problem: Problem) -> int | None:
    """The one time that has labels, from 0; None if several have. Later times change nothing."""
    steps = set(problem.time_of[problem.index].tolist())
    return steps.pop() if len(steps) == 1 else None


def is_shared(problem: Problem, times: int) -> bool:
    """Whether one W makes all of the first `times` times, and is used twice or more."""
    return times > 2 and bool(problem.times_sharing[1:times, 1:times].all())


def end_fit(problem: Problem) -> EndFit:
    """What a problem hands to the chain; a problem for which `why_not_endpoint` says nothing."""
    return _fit(_regression(*_of_kernel(problem), problem.labels[:, 0]), problem, labelled_time(problem) + 1)


@dataclass(frozen=True, eq=False)
class _Regression:
    """Eigenvalues of X above 0, their eigenvectors, the labels along them, and the squared labels along no others."""

    values: np.ndarray
    vectors: np.ndarray
    along: np.ndarray
    unseen: float


def _regression(values: np.ndarray, vectors: np.ndarray, labels: np.ndarray) -> _Regression:
    seen = values > values.max(initial=0) * 1e-13 * len(values)
    along, total = vectors[:, seen].T @ labels, float(labels @ labels)
    unseen = total - float(along @ along)
    return _Regression(values[seen], vectors[:, seen], along, unseen if unseen > 1e-13 * total else 0.0)


def _fit(regression: _Regression, problem: Problem, times: int) -> EndFit:
    scale = problem.readout_variance * _at_rest(problem, times)
    return EndFit(regression.values, regression.along**2 / scale, regression.unseen / scale, problem.noise / scale)


def _at_rest(problem: Problem, times: int) -> float:
    """c0."""
    return float(problem.input_variance * problem.recurrent_variance ** (times - 1))


def _solve(regression: _Regression, problem: Problem, times: int) -> Endpoint:
    states = stationary_states(curves(times, is_shared(problem, times)), _fit(regression, problem, times))
    at_rest = _at_rest(problem, times)
    variance, signal = at_rest * states[0].variance, problem.readout_variance * at_rest * states[0].signal
    ridge = float(problem.noise / (problem.readout_variance * variance))
    along = regression.along / (regression.values + ridge)
    fitted, dual = regression.vectors @ (regression.values * along), regression.vectors @ along
    return Endpoint(states, variance, ridge, fitted, dual, (at_rest, (variance - at_rest) / signal if signal else 0.0))


def _of_kernel(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    patterns = problem.index % problem.patterns
    return np.linalg.eigh(problem.kernel[np.ix_(patterns, patterns)])


def _of_inputs(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of x x^T / D, by the smaller of x x^T and x^T x."""
    patterns, features = inputs.shape
    if patterns <= features:
        return np.linalg.eigh(inputs @ inputs.T / features)
    values, rotations = np.linalg.eigh(inputs.T @ inputs / features)
    seen = values > values.max(initial=0) * 1e-13 * len(values)
    return values[seen], inputs @ rotations[:, seen] / np.sqrt(features * values[seen])
