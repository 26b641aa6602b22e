"""What an infinitely wide linear RNN learns, without training one: a filter with the memory prior of its start."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from hitherto.core.names import known
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_equations import NormalEquations, normal_equations, refuse_lags_beyond
from hitherto.theory.linear_bias_evidence import evidence, largest_eigenvalue
from hitherto.theory.linear_bias_kernels import lag_kernel
from hitherto.theory.linear_bias_products import correlate, respond
from hitherto.theory.linear_bias_training import TrainingModes, descent, flow, limit, ridge, training_modes

METHODS = ("flow", "descent", "ridge", "limit", "evidence")
CHOICES = ("likelihood", "held-out")
CLOSED = 2000  # lags times inputs up to which training is diagonalised; beyond, it is stepped by Fourier transforms
POWER_STEPS = 30  # of the estimate of lam_max where nothing is diagonalised
HELD_OUT = 0.2  # share of the steps, the last ones
GAPS = (1e-4, 1.0)  # 1 - nu_W between which the best is sought

Array = Float[np.ndarray, "..."]


@dataclass
class WideLinearRNN:
    """Linear regression on all lags, as a linear RNN of infinite width learns it by gradient descent on squared errors.

    In that limit training is gradient descent on the impulse response, every lag at the speed rho_j that the start
    gives it. So the start is a prior over memories, and early stopping, in closed form, its strength. Estimates follow
    scikit-learn's conventions: settings in the constructor, `fit` returns the estimator, what is learned ends in `_`.

    Attributes:
        initialisation: a start of `hitherto.theory.linear_bias` or `linear_bias_kernels`; None for a plain convolution.
        lags: how many; None for as many as there are steps.
        method: `flow`: gradient flow for the time; `descent`: `steps` steps at the rate; `ridge`: the penalised
            minimum that is nearest to stopping at the time; `limit`: trained to the end; `evidence`: ridge with the
            time of largest likelihood.
        time: of `flow` and `ridge`, in units of 1 / lam_max, the time in which the fastest mode is learned.
        steps, rate: of `descent`, the rate in the same units, below 2.

    Learned: `impulse_response_` (lag, output, input), `training_loss_`, `time_`, and `modes_`, the eigenbasis of
    training, None where lags times inputs are beyond 2,000 and training is stepped by Fourier transforms.

    Cost: (lags inputs)^3, or steps times T log T beyond 2,000, where `flow` is stepped as `descent`, lam_max is
    estimated to 5% and taken as that much larger, and `ridge`, `limit` and `evidence` are refused.
    Source: equivalence by Emami and others (2021); closed forms are our derivation.
    """

    initialisation: Any = Gaussian(0.9)  # noqa: RUF009
    lags: int | None = None
    method: str = "flow"
    time: float | int = 100.0
    steps: int = 100
    rate: float | int = 1.0

    def fit(self, X: Array, y: Array) -> "WideLinearRNN":
        """Learn the filter from inputs (sequence, time, input) and targets (sequence, time, output).

        One sequence may come without its first axis, one channel without its last.

        Raises:
            ValueError: for shapes that do not fit each other, numbers that are not finite, or settings that cannot be.
        """
        known(self.method, METHODS, "method")
        if not self.time >= 0 or self.steps < 0 or not 0 < self.rate < 2:
            raise ValueError(
                f"training was asked for with time={self.time}, steps={self.steps}, rate={self.rate}; give a time and "
                "steps of at least 0 and a rate between 0 and 2, in units of 1 / lam_max"
            )
        x, targets = _pair(X, y)
        self._flat = np.ndim(y) == 1
        lags = x.shape[1] if self.lags is None else self.lags
        if lags * x.shape[2] > CLOSED:
            return self._step_by_step(x, targets, lags)
        equations = normal_equations(x, targets, lags)
        self.modes_ = training_modes(equations, self._prior(lags))
        phi = self._filter(equations, self.modes_, x.shape[0] * x.shape[1])
        self.impulse_response_, self.training_loss_ = self.modes_.response(phi), self.modes_.loss(phi)
        return self

    def predict(self, X: Array) -> Array:
        """The filter's answers: (sequence, time, output), one sequence as X has it, one output as y had it in `fit`.

        Raises:
            ValueError: before `fit`, or for other channels than in `fit` or numbers that are not finite.
        """
        found = self._answers(_sequences("X", np.asarray(X, float)))
        found = found[0] if np.ndim(X) < 3 else found
        return found[..., 0] if self._flat else found

    def score(self, X: Array, y: Array) -> float:
        """R^2 = 1 - squared errors / squared deviations of the targets from their mean."""
        x, targets = _pair(X, y)
        errors = targets - self._answers(x)
        return float(1 - np.square(errors).sum() / np.square(targets - targets.mean((0, 1))).sum())

    def learning_curve(self, times: Sequence[float | int] | Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """Training losses after these times of gradient flow, in units of 1 / lam_max; in closed form.

        Raises:
            ValueError: before `fit`, or where training was stepped.
        """
        self._learned()
        if self.modes_ is None:
            raise ValueError(f"a learning curve in closed form needs at most {CLOSED} lags times inputs; set lags=")
        unit = largest_eigenvalue(self.modes_)
        return np.array([self.modes_.loss(flow(self.modes_, time / unit)) for time in times])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **settings: Any) -> "WideLinearRNN":
        """Change settings by name.

        Raises:
            ValueError: for a name that is none.
        """
        for name, value in settings.items():
            known(name, [field.name for field in fields(self)], "setting")
            setattr(self, name, value)
        return self

    def choose_memory(self, X: Array, y: Array, by: str = "likelihood") -> "WideLinearRNN":
        """A copy whose nu_W suits the data, fitted to them.

        Args:
            by: `likelihood`: marginal, of a Gaussian prior of variances proportional to rho and Gaussian noise, whose
                best time it takes as well; or `held-out`: errors on the last fifth of every sequence.
        Raises:
            ValueError: unless the initialisation is `Gaussian`; or as for `fit`.
        """
        known(by, CHOICES, "way to choose")
        if not isinstance(self.initialisation, Gaussian):
            raise ValueError(f"nu_W was to be chosen of {self.initialisation}, which has none; give a Gaussian start")
        x, targets = _pair(X, y)
        lags = x.shape[1] if self.lags is None else self.lags
        at = np.log(GAPS)
        if by == "likelihood":
            equations, rows = normal_equations(x, targets, lags), x.shape[0] * x.shape[1]
            found = minimize_scalar(
                lambda log_gap: -evidence(equations, self._with_gap(log_gap)._prior(lags), rows).log_likelihood,
                bounds=at,
                method="bounded",
            )
            return replace(self._with_gap(found.x), method="evidence").fit(X, y)
        cut = int(x.shape[1] * (1 - HELD_OUT))
        found = minimize_scalar(
            lambda log_gap: -self._held_out(log_gap, x, targets, cut),
            bounds=at,
            method="bounded",
            options=dict(xatol=0.02),
        )
        return self._with_gap(found.x).fit(X, y)

    def _with_gap(self, log_gap: float) -> "WideLinearRNN":
        start = self.initialisation
        return replace(self, initialisation=replace(start, nu_W=float(-np.expm1(log_gap))))

    def _held_out(self, log_gap: float, x: Array, y: Array, cut: int) -> float:
        """R^2 on the last steps after learning from the first ones."""
        shorter = replace(self._with_gap(log_gap), lags=min(self.lags or cut, cut)).fit(x[:, :cut], y[:, :cut])
        errors, late = (y - shorter._answers(x))[:, cut:], y[:, cut:]
        return 1 - float(np.square(errors).sum() / np.square(late - late.mean((0, 1))).sum())

    def _prior(self, lags: int) -> Float[np.ndarray, "..."]:
        if self.initialisation is None:
            return np.ones(lags)
        if isinstance(self.initialisation, Gaussian):
            return lag_weights(self.initialisation, lags)
        return lag_kernel(self.initialisation, lags)

    def _filter(self, equations: NormalEquations, modes: TrainingModes, rows: int) -> Float[np.ndarray, " mode"]:
        unit = largest_eigenvalue(modes)
        match self.method:
            case "descent":
                self.time_ = self.steps * self.rate
                return descent(modes, self.rate / unit, self.steps)
            case "limit":
                self.time_ = np.inf
                return limit(modes)
            case "evidence":
                best = evidence(equations, self._prior(equations.lags), rows).time
                self.time_ = best * unit
                return ridge(modes, best)
        self.time_ = float(self.time)
        return (flow if self.method == "flow" else ridge)(modes, self.time / unit)

    def _step_by_step(self, x: Array, y: Array, lags: int) -> "WideLinearRNN":
        """Gradient descent on the impulse response by Fourier transforms."""
        refuse_lags_beyond(x.shape[1], lags)
        prior = self._prior(lags)
        if self.method not in ("flow", "descent") or prior.ndim > 1:
            raise ValueError(
                f"{lags} lags of {x.shape[2]} inputs are more than the {CLOSED} that can be diagonalised, which "
                f"method={self.method!r} and this start need; set lags=, or take descent from a Gaussian start"
            )
        rows, weights = x.shape[0] * x.shape[1], prior[:, None, None]

        def gradient(errors: Array) -> Array:
            return sum(correlate(one, e)[:lags] for one, e in zip(x, errors, strict=True)) / rows

        unit = _largest(x, weights, gradient, lags)
        steps = self.steps if self.method == "descent" else int(np.ceil(self.time))
        rate = self.rate if self.method == "descent" else self.time / max(steps, 1)
        response, errors = np.zeros((lags, y.shape[2], x.shape[2])), -y
        for _ in range(steps):
            response = response - rate / unit * weights * gradient(errors)
            errors = np.stack([respond(response, one) for one in x]) - y
        self.modes_, self.time_ = None, steps * rate
        self.impulse_response_, self.training_loss_ = response, float(np.square(errors).sum() / (2 * rows))
        return self

    def _answers(self, x: Array) -> Array:
        return np.stack([respond(self._learned(), one) for one in x])

    def _learned(self) -> Array:
        if not hasattr(self, "impulse_response_"):
            raise ValueError("this WideLinearRNN has not learned anything yet; call fit(X, y)")
        return self.impulse_response_


def _largest(x: Array, weights: Array, gradient: Any, lags: int) -> float:
    """lam_max of D^(1/2) H D^(1/2), by the power method, a little enlarged, since that comes from below."""
    vector = np.random.default_rng(0).standard_normal((lags, 1, x.shape[2]))
    root, size = np.sqrt(weights), 1.0
    for _ in range(POWER_STEPS):
        vector /= np.linalg.norm(vector)
        vector = root * gradient(np.stack([respond(root * vector, one) for one in x]))
        size = float(np.linalg.norm(vector))
        if not size:
            return 1.0
    return 1.05 * size


def _sequences(name: str, array: Array) -> Float[np.ndarray, "sequence time channel"]:
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or not array.size:
        raise ValueError(f"{name} are (sequence, time, channel), (time, channel) or (time), found {array.shape}")
    return array


def _pair(X: Array, y: Array) -> tuple[Array, Array]:
    x, targets = _sequences("X", np.asarray(X, float)), _sequences("y", np.asarray(y, float))
    if x.shape[:2] != targets.shape[:2]:
        raise ValueError(
            f"inputs of {x.shape[0]} sequences of {x.shape[1]} steps came with targets of {targets.shape[0]} of "
            f"{targets.shape[1]}; give a target to every step"
        )
    return x, targets
