"""Will a trained network correlate its times? The verdict for a problem, how far it is from turning, and how it turns.

A recurrent network with a pulse of input, an odd activation and a label at one time can learn as a feedforward one
does, without correlations between times, or reuse one direction of W at every step: it turns coherent at a sharp
threshold of the labels. Inputs or biases after the first time, activations that are not odd, and labels at several
times correlate times from the start; then only a crossover remains.

Source: our derivation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_atlas import Landmarks, landmarks
from hitherto.theory.mean_field_branch import STRONGEST, Coherent, curves
from hitherto.theory.mean_field_chain import ChainState, EndFit, Incoherent, stationary_states
from hitherto.theory.mean_field_endpoint import end_fit, is_shared, labelled_time, why_not_endpoint
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.theory.mean_field_sequence import aliasing
from hitherto.theory.mean_field_stability import critical_gain, lag_hessian, spinodal_signal

SAME = 1e-6  # thresholds whose labels differ by less, relatively, are one
ROUNDING = 1e-13  # of free energies
NO_SHARING = "no weight sharing in effect: no W is used twice before the last label, so recurrent and feedforward agree"
SILENT = "a variance of 0 keeps the inputs from the output, so nothing is learned that could correlate times"
SAMPLED = "for its curve sample the trained network with hitherto.training.posterior"


@dataclass(frozen=True, eq=False)
class Crossover:
    """How times correlate as the labels grow.

    Attributes:
        factors: what the labels are multiplied by.
        correlations: mean over pairs of times of |C_tt'| / sqrt(|C_tt| |C_t't'|), Frobenius norms of blocks over
            patterns; NaN where the solver came to no answer.
    """

    factors: Float[np.ndarray, " factor"]
    correlations: Float[np.ndarray, " factor"]


@dataclass(frozen=True, eq=False)
class Transition:
    """Where a problem stands.

    Attributes:
        phase: "incoherent", "coherent", or "crossover" where nothing is sharp.
        reason: why there is no sharp threshold; "" if there is one.
        warning: what the labels cannot tell apart (`mean_field_sequence.aliasing`); "" if nothing.
        local: whether `label_factor` is where the incoherent state loses its stability, and a coherent one may win
            before; False if it is where the ground state changes.
        label_factor: what all labels must be multiplied by to be at the threshold, above 1 in the incoherent phase.
        stability_factor: the same for the loss of stability of the incoherent state.
        order: "continuous" or "first order"; "" if that is not known, or there is nothing to learn.
        gain: r of the incoherent state; NaN for nonlinear networks.
        signal: Lambda that reaches the chain in the ground state; NaN for nonlinear networks.
        landmarks: fold, Maxwell point and spinodal of Lambda at this depth; None for nonlinear networks.
        susceptibility: N <rho rho^T> of neighbouring times in the incoherent state; None where it is unstable.
        crossover: for linear networks without a threshold.
    """

    phase: str
    reason: str = ""
    warning: str = ""
    local: bool = False
    label_factor: float = np.inf
    stability_factor: float = np.inf
    order: str = ""
    gain: float = np.nan
    signal: float = np.nan
    landmarks: Landmarks | None = None
    susceptibility: Float[np.ndarray, "pair pair"] | None = None
    crossover: Crossover | None = None


def transition(problem: Problem, *, factors: Sequence[float | int] = (0.25, 0.5, 1, 2, 4)) -> Transition:
    """Whether the trained network is coherent, and where in the labels it turns so.

    Args:
        problem: with one label direction at one time after a pulse; any number of patterns if linear, one otherwise.
            Others get a crossover curve and the reason.
        factors: of the labels, for the crossover curve alone.
    Raises:
        ValueError: for nonlinear networks of several patterns with a threshold: sample them instead.

    At widths where N times the barrier (`Landmarks.barrier`) is not well above 1, a first-order transition is rounded
    and shows no hysteresis.
    Cost: 0.3 s for ten times; an eigendecomposition of X; for a crossover, a solution of the general solver a factor.
    Source: our derivation.
    """
    last = int(problem.time_of[problem.index].max())
    if not np.any(np.triu(problem.times_sharing[1 : last + 1, 1 : last + 1], 1)):
        return Transition("incoherent", reason=NO_SHARING)
    if is_silent(problem):
        return Transition("incoherent", reason=SILENT)
    why = why_not_sharp(problem)
    warning = aliasing(problem)
    if why and problem.activation != "identity":
        return Transition("crossover", reason=f"{why}; {SAMPLED}", warning=warning)
    if why:
        return Transition("crossover", reason=why, warning=warning, crossover=crossover(problem, factors))
    found = _of_linear(problem) if problem.activation == "identity" else _of_nonlinear(problem)
    return replace(found, warning=warning)


def is_silent(problem: Problem) -> bool:
    """Whether a variance of 0 leaves a pulse without effect on later times, or an odd network without learning."""
    still = 0 in (problem.recurrent_variance, problem.input_variance)
    unread = problem.is_odd and problem.readout_variance == 0
    return problem.is_pulse and (still or unread)


def why_not_sharp(problem: Problem) -> str | None:
    """Why times correlate from the start, or why the threshold is not known; None where it is sharp and known."""
    if not problem.is_odd:
        return f"{problem.activation} is not odd, so times correlate at any signal; there is a crossover alone"
    if not problem.is_pulse:
        return "inputs or biases after the first time correlate times at any signal; there is a crossover alone"
    if labelled_time(problem) is None:
        return "labels at several times correlate them at any signal; there is a crossover alone"
    if problem.activation == "identity":
        why = why_not_endpoint(problem)
        return why and f"the threshold is known for one output and one W, but {why}"
    if not is_shared(problem, labelled_time(problem) + 1):
        return "the threshold is known for one W, but only some times share it"
    return None


def crossover(problem: Problem, factors: Sequence[float | int]) -> Crossover:
    """|Correlation| between times of a linear network against a factor on all its labels.

    Cost: a solution of the general solver for each factor.
    Source: our derivation.
    """
    from hitherto.theory.mean_field_solver import solve

    def correlation(factor: float | int) -> float:
        solution = solve(problem.with_(labels=problem.labels * factor))
        return cross_time_correlation(solution.best.kernel, problem.times) if solution.status == "solved" else np.nan

    return Crossover(np.array(factors, float), np.array([correlation(factor) for factor in factors]))


def cross_time_correlation(kernel: Float[np.ndarray, "entry entry"], times: int) -> float:
    """Mean over pairs of times of |C_tt'| / sqrt(|C_tt| |C_t't'|), Frobenius norms of blocks over patterns.

    States that are 0 correlate with nothing; NaN for one time.
    """
    patterns = len(kernel) // times
    norms = np.linalg.norm(kernel.reshape(times, patterns, times, patterns), axis=(1, 3))
    sizes = np.sqrt(np.outer(norms.diagonal(), norms.diagonal()))
    pairs = (norms / np.where(sizes > 0, sizes, 1.0))[np.triu_indices(times, 1)]
    return float(pairs.mean()) if len(pairs) else np.nan


def _of_linear(problem: Problem) -> Transition:
    times = labelled_time(problem) + 1
    fit = end_fit(problem)
    states = stationary_states(curves(times, True), fit)
    incoherent = next(state for state in states if not state.coherent)
    # beside the threshold the ground state is on a piece of the coherent branch too short to be listed
    coherent = states[0].coherent or not states[0].stable
    stability = _stability_factor(times, fit)
    sharp = _ground_factor(times, fit, stability)
    return Transition(
        phase="coherent" if coherent else "incoherent",
        label_factor=sharp,
        stability_factor=stability,
        order=_order(sharp, stability),
        gain=incoherent.order,
        signal=states[0].signal,
        landmarks=landmarks(times),
        susceptibility=_inverse(lag_hessian(incoherent.order, times - 1)),
    )


def _of_nonlinear(problem: Problem) -> Transition:
    edge = threshold(problem)
    state = incoherent_states(problem)[0]
    square = float(problem.labels[0, 0] ** 2)
    factor = float(np.sqrt(edge.label_square / square)) if edge and square else np.inf
    return Transition(
        phase="incoherent" if state.least_curvature > 0 else "coherent",
        local=True,
        label_factor=factor,
        stability_factor=factor,
        susceptibility=_inverse(state.lag_hessian(1)),
    )


def _order(sharp: float, stability: float) -> str:
    if not np.isfinite(stability):
        return ""
    return "continuous" if sharp > stability * (1 - SAME) else "first order"


def _stability_factor(times: int, fit: EndFit) -> float:
    """sqrt of Lambda* over what the fit hands on at c_T = r*^T."""
    reaching = float(fit.signal(critical_gain(times) ** times))
    return float(np.sqrt(spinodal_signal(times) / reaching)) if reaching else np.inf


def _ground_factor(times: int, fit: EndFit, stability: float) -> float:
    """Where the coherent state wins: along its curve every point says at what factor of the labels it is a state."""
    if not np.isfinite(stability):
        return np.inf
    coherent = curves(times, True)[1]
    strongest = STRONGEST if isinstance(coherent, Coherent) else np.inf
    grid = coherent.grid(landmarks(times).fold, min(float(fit.signal(np.inf)) * stability**2, strongest))
    points = np.append(grid[:-1:8], grid[-1])

    def behind(parameter: float) -> float:
        """F of the coherent state over that of the incoherent one."""
        state = coherent.state(parameter)
        scaled = _scaled(fit, _square(fit, state))
        return (
            state.noiseless
            + scaled.misfit(state.variance)
            - stationary_states((Incoherent(times),), scaled)[0].free_energy
        )

    gaps = np.array([behind(point) for point in points.tolist()])
    ends = np.flatnonzero((gaps[:-1] > ROUNDING) & (gaps[1:] <= ROUNDING))
    roots = [brentq(behind, points[k], points[k + 1], xtol=1e-12, rtol=1e-13) for k in ends.tolist()]
    factors = [float(np.sqrt(_square(fit, coherent.state(root)))) for root in roots]
    if not factors and gaps[-1] > ROUNDING and _square(fit, coherent.state(points[-1])) < stability**2:
        raise ValueError(
            f"the threshold at a noise of {fit.noise:.3g} s_a^2 c0 lies beyond a signal of {strongest:g}, up to which "
            "the coherent branch is followed; give less noise, larger variances or fewer times"
        )
    return min(factors, default=stability)


def _square(fit: EndFit, state: ChainState) -> float:
    """The factor of the squared labels at which a state of the curve is one of the fit's."""
    return state.signal / float(fit.signal(state.variance))


def _scaled(fit: EndFit, square: float) -> EndFit:
    return replace(fit, squares=fit.squares * square, unseen=fit.unseen * square)


def _inverse(hessian: Float[np.ndarray, "pair pair"]) -> Float[np.ndarray, "pair pair"] | None:
    return np.linalg.inv(hessian) if np.linalg.eigvalsh(hessian)[0] > 0 else None
