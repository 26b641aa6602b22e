"""Which lags gradient descent learns first from a fresh start, and how long the lag takes."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from hitherto.explorer.controls import RECURRENCES, Settings
from hitherto.explorer.drawing import Figure, Line
from hitherto.explorer.panel import OURS, Fact, Panel, as_of, percent, short
from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_delays import delay_r2, learning_cost
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    Orthogonal,
    RealModes,
    Stacked,
    correlation,
    lag_kernel,
    numerical_rank,
)
from hitherto.theory.linear_bias_width import trust_horizon

PAPER = "Emami and others (2021), Implicit Bias of Linear RNNs"
STEPS = 1000
LAW = f"{OURS}: rho_j = (nu_C + nu_F) nu^j + j nu_C nu_F nu^(j-1)"
TITLE = "Which lags training finds first"


def panel(settings: Settings) -> Panel:
    """Lag weights, cost of the lag, how far it can be learned in so many steps, and independent lags."""
    start = law(settings)
    length = 2 * settings.lag + 2
    weights, rank = _kernel(start, length)
    with np.errstate(divide="ignore"):
        costs = learning_cost(np.log(weights))
    facts = (
        *_learning(settings, float(costs[settings.lag])),
        Fact("quickest", "Quickest lag", f"{int(np.argmin(costs)):,}", _source(start), f"of 0 to {length - 1}"),
        Fact(
            "rank",
            "Lags learned apart",
            f"{rank:,} of {length:,}",
            f"{OURS}: rank of the lag kernel",
            "eigenvalues above 1e-6 of the largest",
        ),
        _trust(settings),
    )
    told = _decision(settings, float(costs[settings.lag]), rank / length)
    decision = told if settings.recurrence == "linear" else as_of("a linear layer", told)
    return Panel("linear_bias", TITLE, PAPER, facts, decision, _figure(settings, costs), _command(settings))


def law(settings: Settings) -> Any:
    """The initialisation of `theory.linear_bias_kernels` that is set; stacks are of Gaussian layers."""
    root = settings.kept**0.5
    if settings.depth > 1 and settings.initialisation in ("gaussian", "orthogonal"):
        return Stacked((settings.kept,) * settings.depth)
    makers = {
        "orthogonal": lambda: Orthogonal(root),
        "gaussian": lambda: Gaussian(settings.kept),
        "identity": lambda: Leaky(root),
        "modes": lambda: LRU(0.0, settings.kept),
        "real-modes": lambda: RealModes(0.0, root),
    }
    return makers[settings.initialisation]()


@lru_cache(maxsize=64)
def _kernel(start: Any, length: int) -> tuple[Float[np.ndarray, " lag"], int]:
    """Lag weights, and how many lags can be told apart, however slowly."""
    kernel = lag_kernel(start, length)
    return np.diagonal(kernel).copy(), numerical_rank(correlation(kernel))


def _learning(settings: Settings, cost: float) -> tuple[Fact, Fact]:
    told = "never" if np.isinf(cost) else f"{short(cost)} times"
    learned = float(delay_r2(cost, 1.0, STEPS))
    note = "the training of the quickest lag, for white inputs and great width"
    return (
        Fact("cost", f"Cost of lag {settings.lag}", told, _source(law(settings)), note),
        Fact("learned", f"Learned in {STEPS:,} steps", percent(learned), f"{OURS}: R² of the delay", _scope(settings)),
    )


def _scope(settings: Settings) -> str:
    """For what network the numbers hold, where that is not the one that is set."""
    if settings.recurrence == "tanh":
        return "linearised at rest: small states alone"
    if settings.recurrence != "linear":
        return f"of a linear layer; {RECURRENCES[settings.recurrence]} cells are not covered"
    if settings.depth > 1 and not isinstance(law(settings), Stacked):
        return "of one layer; stacks are known for Gaussian layers"
    stacked = settings.depth > 1 and settings.initialisation == "orthogonal"
    return "with Gaussian layers in place of orthogonal ones" if stacked else "gradient descent at 1 / max rho"


def _command(settings: Settings) -> str:
    """The start in the words of `hitherto predict memory-prior`."""
    root = f"{settings.kept**0.5:.6g}"
    told = {
        Gaussian: f"gaussian --nu-w {settings.kept:g}",
        Orthogonal: f"orthogonal --gain {root}",
        Stacked: f"stacked --nu-w {settings.kept:g} --layers {settings.depth}",
        Leaky: f"leaky --leak {root} --gain 0",
        LRU: f"lru --high {settings.kept:g}",
        RealModes: f"real-modes --high {root}",
    }
    return f"hitherto predict memory-prior --init {told[type(law(settings))]} --lags {2 * settings.lag + 2}"


def _source(start: Any) -> str:
    return LAW if isinstance(start, Gaussian | Orthogonal) else f"{OURS}: the lag kernel of {type(start).__name__}"


def _trust(settings: Settings) -> Fact:
    name, source = "Trusted up to lag", "our derivation; Bar and others, Seleznova (2026)"
    gaussian = settings.initialisation == "gaussian" or isinstance(law(settings), Stacked)
    if not gaussian:
        return Fact("trust", name, "any", OURS, "only Gaussian entries blow up beyond sqrt(width)")
    return Fact("trust", name, f"{trust_horizon(settings.width):.0f}", source, "for Gaussian entries: sqrt(width)")


def _decision(settings: Settings, cost: float, apart: float) -> str:
    if settings.kept > 1:
        return (
            "Above ν = 1 the network is unstable: the latest lags are learned first, gradients grow with the length; "
            "lower ν to 1, and take longer training for what comes late."
        )
    if apart < 0.5:
        return (
            "Neighbouring lags are learned together: this start finds smooth mixtures of the past, no single lag; "
            "take phases (complex modes, orthogonal matrices) for a delay."
        )
    if cost > STEPS:
        return (
            f"From this start gradient descent finds lag {settings.lag} too late to be waited for: bring ν nearer to "
            f"exp(-{settings.depth} / {settings.lag + 1}), where the lag is learned first."
        )
    return (
        f"Lag {settings.lag} is within reach of training from this start; the peak of the curve says which lags come "
        "before it."
    )


def _figure(settings: Settings, costs: Float[np.ndarray, " lag"]) -> Figure:
    lags = np.arange(len(costs))
    line = Line("speed of each lag", lags, 1 / costs)
    about = f"How fast gradient descent moves each lag in sequences of {len(costs):,} steps, the fastest being 1"
    return Figure(about, "lag (steps back)", "speed of learning (fastest is 1)", (line,), settings.lag, None, True)
