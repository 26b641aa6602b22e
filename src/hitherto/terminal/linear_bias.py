"""`predict memory-prior`, `design` and `measure memory-prior`: which lags gradient descent learns first."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from hitherto.architectures.outside import Reading, choose, find
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, precision
from hitherto.core.names import known
from hitherto.measures.linear_system import linearised
from hitherto.measures.tangent_kernel import memory_prior
from hitherto.report.table import table
from hitherto.theory.linear_bias import Gaussian, cautions, lag_weights
from hitherto.theory.linear_bias_delays import learning_cost
from hitherto.theory.linear_bias_design import AtMost, Design, HalfLife, MeanLag, Target, design
from hitherto.theory.linear_bias_kernels import (
    LRU,
    Leaky,
    Orthogonal,
    RealModes,
    Ring,
    Stacked,
    StepSizes,
    correlation,
    lag_kernel,
    numerical_rank,
)
from hitherto.theory.linear_bias_summary import summary
from hitherto.theory.linear_bias_width import trust_horizon

SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)
WHOLE = 1000  # lags up to which starts other than Gaussian are computed as a whole kernel


class Start(NamedTuple):
    """What describes an initialisation on the command line; what a kind does not use is left alone."""

    kind: str
    nu_w: str
    nu_f: str
    nu_c: str
    parametrisation: str
    gain: float
    leak: float
    low: float
    high: float
    layers: int


def _ends(start: Start) -> dict[str, str]:
    return dict(nu_F=start.nu_f, nu_C=start.nu_c)


STARTS: dict[str, Callable[[Start], Any]] = {
    "gaussian": lambda s: Gaussian(s.nu_w, parametrisation=s.parametrisation, **_ends(s)),
    "orthogonal": lambda s: Orthogonal(s.gain, **_ends(s)),
    "identity": lambda s: Leaky(1.0, 0.0, **_ends(s)),
    "leaky": lambda s: Leaky(s.leak, s.gain, **_ends(s)),
    "ring": lambda s: Ring(s.low, s.high, **_ends(s)),
    "real-modes": lambda s: RealModes(s.low, s.high, **_ends(s)),
    "lru": lambda s: LRU(s.low, s.high, **_ends(s)),
    "step-sizes": lambda s: StepSizes(s.low, s.high, **_ends(s)),
    "stacked": lambda s: Stacked((s.nu_w,) * s.layers, **_ends(s)),
}


def print_prior(start: Start, lags: int, width: int | None, as_json: bool) -> None:
    """Print the weight and the cost of some lags, and what sums them up.

    Raises:
        ValueError: for an unknown kind, or numbers that cannot be.
    """
    made = STARTS[known(start.kind, STARTS, "initialisation")](start)
    gaussian = isinstance(made, Gaussian)
    if not gaussian and lags > WHOLE:
        raise ValueError(f"{lags} lags were asked of {start.kind}, whose lags are correlated; ask for at most {WHOLE}")
    kernel = None if gaussian else lag_kernel(made, lags)
    weights = lag_weights(made, lags) if kernel is None else np.diag(kernel).copy()
    with np.errstate(divide="ignore"):
        costs = learning_cost(np.log(weights) if kernel is not None else lag_weights(made, lags, log=True))
    facts = _facts(made, kernel, width, lags)
    shown = [lag for lag in SHOWN if lag < lags]
    rows = [dict(lag=lag, weight=float(weights[lag]), cost=_finite(costs[lag])) for lag in shown]
    if as_json:
        print(json.dumps(dict(initialisation=str(made), lags=rows, **facts)))
        return
    console = Console(highlight=False, markup=False)
    console.print(str(made), style="bold", soft_wrap=True)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("lag", "weight", "steps to learn it, against the quickest"):
        grid.add_column(column, justify="right")
    for row in rows:
        grid.add_row(
            f"{row['lag']:,}", f"{row['weight']:.4g}", "never" if row["cost"] is None else f"{row['cost']:.4g}"
        )
    console.print(grid)
    if kernel is not None and numerical_rank(kernel) < lags:
        console.print("Lags are coupled: no filter outside the span of the kernel is learned, whatever its cost here.")
    for name, value in facts.items():
        for one in value if isinstance(value, list | tuple) else [f"{name.replace('_', ' ')}: {_told(value)}"]:
            console.print(one, soft_wrap=True)


def print_design(target: Target, present: Gaussian, width: int | None, as_json: bool) -> None:
    """Print the nu_W that meets a target, and the alternatives.

    Raises:
        ValueError: if nothing does, with what is within reach.
    """
    found = design(target, present, width=width)
    if as_json:
        print(json.dumps(_as_json(found)))
        return
    console = Console(highlight=False, markup=False)
    start = found.initialisation
    console.print(f"nu_W = {float(start.nu):.15g}, 1 - nu_W = {start.gap:.9g}", style="bold")
    for other in found.alternatives:
        told = other.obstacle if other.initialisation is None else str(other.initialisation)
        console.print(f"or {other.change}: {told}", soft_wrap=True)
    for caution in found.cautions:
        console.print(caution, soft_wrap=True)


def target_of(half_life: float | None, mean_lag: float | None, lag: int | None, ratio: float, length: int) -> Target:
    """The one target that was asked for.

    Raises:
        ValueError: for none, or several.
    """
    given = [half_life is not None, mean_lag is not None, lag is not None]
    if sum(given) != 1:
        raise ValueError(f"{sum(given)} targets were given; give one of --half-life, --mean-lag and --lag")
    if half_life is not None:
        return HalfLife(half_life)
    return MeanLag(mean_lag) if mean_lag is not None else AtMost(lag, ratio, length)  # type: ignore[arg-type]


def measure_prior(path: Path, layer: str | None, lags: int, at_rest: bool, as_json: bool) -> None:
    """Print the memory prior of a trained or fresh linear layer, or of another linearised at rest.

    Raises:
        ValueError: if the file holds no such layer.
    """
    model = choose(find(path, Reading()), layer, str(path)).model
    found = memory_prior(_at_rest(model) if at_rest else model, lags)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    console = Console(highlight=False)
    console.print(table([found]))
    told = found.statistics
    console.print(f"effective lags {told['effective_lags']:.4g}; coupled between lags {told['correlation']:.0%}")
    console.print("This holds at the weights as they are, for gradient descent; see `kernel_drift` for how long.")


def _at_rest(model: Model) -> Model:
    """A layer as the linear one that it is to first order at rest, without inputs."""
    layer = model.architecture
    if not isinstance(layer, RNN):
        raise ValueError(f"{layer} was to be linearised at rest; that is done for one RNN layer")
    with precision(np.float64):
        state = layer.start(model.astype(np.float64).weights)
    system = linearised(model, type(state)(np.zeros(layer.width)), np.zeros(layer.input_size))
    plain = replace(layer, activation="linear", bias=False, parametrisation="standard", initialisation="gaussian")
    return Model(plain, {"weight_hh": system.A, "weight_ih": system.B, "readout": system.C})


def _facts(made: Any, kernel: np.ndarray | None, width: int | None, lags: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if isinstance(made, Gaussian):
        told = summary(made)
        facts = dict(
            peak_lag=told.peak_lag,
            half_level_lag=told.half_level_lag,
            horizon_at_1_percent=told.horizon,
            mean_lag=_finite(told.mean_lag),
            effective_lags=_finite(told.effective_lags),
            cautions=list(cautions(made, lags - 1, width)),
        )
    if kernel is not None:
        off = correlation(kernel) - np.eye(len(kernel))
        facts |= dict(rank=numerical_rank(kernel), largest_correlation=float(np.abs(off).max(initial=0.0)))
    return facts if width is None else facts | dict(trusted_up_to_lag=trust_horizon(width))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _told(value: float | int | None) -> str:
    return "without end" if value is None else f"{value:,.6g}"


def _as_json(found: Design) -> dict[str, Any]:
    start = found.initialisation
    return dict(
        nu_W=float(start.nu),
        gap=start.gap,
        initialisation=str(start),
        alternatives=[
            dict(change=a.change, initialisation=a.initialisation and str(a.initialisation), obstacle=a.obstacle)
            for a in found.alternatives
        ],
        cautions=list(found.cautions),
    )
