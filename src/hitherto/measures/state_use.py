"""State use: how many directions and units of the state really move, and how long the gates hold."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from hitherto.architectures.activations import activation
from hitherto.core.model import precision
from hitherto.core.quantity import (
    COMPONENTS_99,
    CORRELATION_PARTICIPATION_RATIO,
    DEAD_UNITS,
    EFFECTIVE_DIMENSION,
    GATE_TIME_QUANTILES,
    GATE_TIMES,
    IDLE_UNITS,
    PARTICIPATION_RATIO,
    STATE_SPECTRUM,
    STUCK_UNITS,
    SWITCHING_UNITS,
    Estimate,
    Quantity,
)
from hitherto.measures import _statistics as st
from hitherto.measures.trajectory import Trajectory, layers_of

CONSTANT_VARIANCE, IDLE_SHARE = 1e-12, 0.01
FLAT_SLOPE, MOSTLY = 0.1, 0.95
QUANTILES, LONGEST_TIME = (0.1, 0.5, 0.9), 1e150
PART_NAMES = {"hidden": "", "candidate": "candidate"}  # the others are gates
SOURCE = "classical; the correction by independent pairs is our derivation"

Series = Float[np.ndarray, "sequence time unit"]


def state_use(trajectory: Trajectory, *, part: str = "") -> tuple[Estimate, ...]:
    """Dimensions, idle, stuck, switching and dead units, and gate hold times, layer by layer.

    Returns:
        For c (part "cell") and h of each layer: participation ratio (products of different sequences only), that
        of the correlation matrix, effective dimension, components for 99%, eigenvalue shares, idle units. For each
        gate: stuck and switching units; dead units of a simple ReLU layer; hold times of forget and update gates.

    Cost: one pass over the stored states and one eigendecomposition a part.
    Assumes that the run is stationary after the burn-in.
    Does not tell: what moves, only how many directions do; the participation ratio is ruled by a few loud units;
    gates tell the direct path only, recurrent weights lengthen or shorten it (compare with the Lyapunov exponents).
    """
    found: list[Estimate] = []
    for layer, run in layers_of(trajectory):
        name = " ".join(filter(None, (part, layer)))
        for state_part, series in _parts(run.after):
            found += dimensions(series, part=" ".join(filter(None, (name, state_part))))
        if hasattr(run.model.architecture, "preactivations"):
            found += _units(run, name)
        if hasattr(run.model.architecture, "log_forget"):
            found += _gate_times(run, name)
    return tuple(found)


def dimensions(series: Series, part: str = "") -> tuple[Estimate, ...]:
    """The dimension estimates of one state part, from its values over time."""
    moving = series.var((0, 1)) > CONSTANT_VARIANCE
    idle = _count(IDLE_UNITS, series, _idle, part)
    if not moving.any():
        return (Estimate(PARTICIPATION_RATIO, 0.0, part=part, cannot_tell="the state never moves"), idle)
    centred = (series - series.mean((0, 1)))[..., moving]
    shares = _shares(centred)
    entropy = float(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))
    components = int(np.searchsorted(np.cumsum(shares), 0.99 - 1e-12) + 1)
    about = dict(sequences=len(series), units=series.shape[-1], constant=int((~moving).sum()))
    fields = dict(part=part, statistics=about, source=SOURCE)
    return (
        _participation(PARTICIPATION_RATIO, centred, part, series.shape[-1]),
        _participation(CORRELATION_PARTICIPATION_RATIO, centred, part, series.shape[-1]),
        Estimate(EFFECTIVE_DIMENSION, entropy, **fields),
        Estimate(COMPONENTS_99, float(components), **fields),
        Estimate(STATE_SPECTRUM, shares, axes={"component": np.arange(1, len(shares) + 1)}, **fields),
        idle,
    )


def participation_ratio(covariances: Float[np.ndarray, "sequence unit unit"]) -> float:
    """(tr C)^2 / tr C^2 from the covariances of independent sequences about their common mean.

    Only products of different sequences enter, sum_{i != j} tr C_i tr C_j / sum_{i != j} tr C_i C_j, which removes
    the bias of a finite sample; one sequence alone gives the plain ratio.
    """
    diagonals = np.diagonal(covariances, axis1=1, axis2=2)
    own = (covariances**2).sum(0) if len(covariances) > 1 else np.zeros_like(covariances[0])
    return _ratio(covariances.sum(0), own, diagonals, np.ones(diagonals.shape[1]))


def _ratio(total: np.ndarray, own: np.ndarray, diagonals: np.ndarray, scale: np.ndarray) -> float:
    """The ratio for C with rows and columns scaled by scale^(1/2): `own` sums the squares of each sequence's C."""
    traces = diagonals @ scale
    alone = (traces**2).sum() if own.any() else 0.0
    return float((traces.sum() ** 2 - alone) / (scale @ (total**2 - own) @ scale))


def _participation(quantity: Quantity, centred: Series, part: str, units: int) -> Estimate:
    """Participation ratio of the covariance, or of the correlation matrix, with a jackknife over sequences."""
    covariances = np.einsum("bti,btj->bij", centred, centred, optimize=True) / centred.shape[1]
    count, diagonals = len(covariances), np.diagonal(covariances, axis1=1, axis2=2)
    correlation = quantity == CORRELATION_PARTICIPATION_RATIO

    def ratio(total: np.ndarray, own: np.ndarray, rows: np.ndarray) -> float:
        diagonal = np.maximum(np.diagonal(total), np.finfo(float).tiny)
        return _ratio(total, own, rows, 1 / diagonal if correlation else np.ones(len(diagonal)))

    total = covariances.sum(0)
    own = (covariances**2).sum(0)
    value = ratio(total, own if count > 1 else 0 * own, diagonals)
    kept = [np.delete(diagonals, i, 0) for i in range(count)] if count > 2 else []
    without = [ratio(total - c, own - c**2, rows) for c, rows in zip(covariances, kept, strict=False)]
    # 1/PR of the plain estimate is 1/PR + 1/samples: how many independent samples the plain one acts on.
    plain = ratio(total, 0 * own, diagonals)
    gap = 1 / plain - 1 / value
    samples = 1 / gap if gap > 0 else np.inf
    reason = st.TOO_FEW if count < st.FEWEST_SEQUENCES else ""
    if not reason and value > samples / 5:
        reason = f"{samples:.0f} effective samples are too few for a dimension of {value:.0f}"
    bars = st.interval(value, float(st.jackknife_error(np.array(without))), count, np.array(without)) if without else {}
    about = dict(sequences=count, units=units, plain=plain, samples=samples)
    return Estimate(quantity, value, **bars, part=part, cannot_tell=reason, statistics=about, source=SOURCE)


def _shares(centred: Series) -> Float[np.ndarray, " component"]:
    rows = centred.reshape(-1, centred.shape[-1])
    values = np.linalg.eigvalsh(rows.T @ rows)[::-1].clip(0)
    return values / values.sum()


def _parts(states: PyTree) -> list[tuple[str, Series]]:
    """The parts of one layer's state by name, the visible one last and without a name."""
    leaves = jax.tree_util.tree_leaves_with_path(states)
    named = {
        jax.tree_util.keystr(path, simple=True, separator=" "): leaf.reshape(*leaf.shape[:2], -1)
        for path, leaf in leaves
    }
    names = {"c": "cell", "h": ""} if "h" in named or len(named) > 1 else dict.fromkeys(named, "")
    return [(names.get(name, name), named[name]) for name in sorted(named, key=lambda name: name == "h")]


def _idle(series: Series) -> Bool[np.ndarray, " unit"]:
    deviation = series.std((0, 1))
    return deviation < IDLE_SHARE * np.sqrt((deviation**2).mean())


def _count(quantity: Quantity, series: Series, which: Callable[[Series], np.ndarray], part: str) -> Estimate:
    """A number of units, with a jackknife over sequences."""
    chosen = which(series)
    count = len(series)
    without = np.array([which(np.delete(series, i, 0)).sum() for i in range(count) if count > 1], float)
    bars = st.interval(float(chosen.sum()), float(st.jackknife_error(without)), count, without)
    if "low" in bars:
        bars |= dict(low=max(0.0, float(bars["low"])), high=min(float(len(chosen)), float(bars["high"])))
    about = dict(sequences=count, units=len(chosen), which=np.flatnonzero(chosen).tolist())
    reason = st.TOO_FEW if count < st.FEWEST_SEQUENCES else ""
    return Estimate(
        quantity, float(chosen.sum()), **bars, part=part, cannot_tell=reason, statistics=about, source=SOURCE
    )


def _over_run(run: Trajectory, ask: Callable) -> PyTree:
    """`ask(prepared weights, state before, x)` at every step of every sequence."""
    with precision(run.outputs.dtype):
        prepared = run.model.architecture.prepare(run.model.weights)  # type: ignore[attr-defined]
        return jax.tree.map(np.asarray, _each(ask, prepared, run.before, run.driving))


@partial(jax.jit, static_argnums=0)
def _each(ask: Callable, weights: PyTree, before: PyTree, inputs: Array) -> PyTree:
    return jax.vmap(jax.vmap(lambda s, x: ask(weights, s, x)))(before, inputs)


@partial(jax.jit, static_argnums=0)
def _slope(name: str, a: Array) -> Array:
    """Derivative of a named activation."""
    return jax.vmap(jax.grad(activation(name)))(jnp.ravel(a)).reshape(a.shape)


def _units(run: Trajectory, part: str) -> list[Estimate]:
    layer = run.model.architecture
    found = []
    for gate, a in _over_run(run, layer.preactivations).items():
        if layer.nonlinearities[gate] == "linear":
            continue
        with precision(a.dtype):
            saturated = np.abs(np.asarray(_slope(layer.nonlinearities[gate], a))) < FLAT_SLOPE
        name = " ".join(filter(None, (part, PART_NAMES.get(gate, f"{gate} gate"))))
        sides = np.stack([saturated & (a < 0), saturated & (a >= 0)], -1).mean(1)  # (sequence, unit, side)
        found += [_stuck(STUCK_UNITS, sides, name, False), _stuck(SWITCHING_UNITS, sides, name, True)]
        if layer.nonlinearities[gate] == "relu":
            found.append(_dead(a, name))
    return found


def _stuck(quantity: Quantity, sides: Float[np.ndarray, "sequence unit side"], part: str, both: bool) -> Estimate:
    """Units saturated more than 95% of the time, on one side or on both, where the interval over sequences agrees."""

    def which(shares: np.ndarray) -> np.ndarray:
        mean, error = st.mean_and_error(shares.sum(-1))
        certain = mean - (st.student(len(shares)) * error if len(shares) > 1 else 0.0) > MOSTLY
        one_side = shares.mean(0).max(-1) > MOSTLY
        return certain & (~one_side if both else one_side)

    return _count(quantity, sides, which, part)


def _dead(a: Series, part: str) -> Estimate:
    dead = (a <= 0).all((0, 1))
    samples = a.shape[0] * a.shape[1]
    return Estimate(
        DEAD_UNITS,
        float(dead.sum()),
        standard_error=0.0,  # a count of what was seen
        part=part,
        statistics=dict(units=len(dead), which=np.flatnonzero(dead).tolist(), rate_below=3 / samples),
        assumptions=(f"a unit silent in {samples} steps fires in fewer than {3 / samples:.2g} of them",),
        source="our settings",
    )


def _gate_times(run: Trajectory, part: str) -> list[Estimate]:
    """-1 / E ln f for each unit: the product of k forget gates is exp(k E ln f)."""
    means = _over_run(run, run.model.architecture.log_forget).mean(1)  # (sequence, unit)
    count, units = means.shape
    mean, error = st.mean_and_error(means)
    times = gate_time(mean)
    with np.errstate(invalid="ignore"):
        bars = st.interval(mean, error, count)
    shut = np.isneginf(mean)  # at some step wholly, as hard sigmoids can: no error bar, and nothing is held
    ends = {k: gate_time(np.where(shut, mean, np.minimum(bars[k], -0.0))) for k in ("low", "high") if k in bars}
    about = dict(sequences=count, units=units, steps=run.steps, longer_than_data=int((times > run.steps).sum()))
    reason = st.TOO_FEW if count < st.FEWEST_SEQUENCES else ""
    fields = dict(part=part, cannot_tell=reason, statistics=about, source="our derivation")
    each = Estimate(
        GATE_TIMES,
        times,
        standard_error=np.where(np.isfinite(times), np.minimum(times, LONGEST_TIME), 0.0) ** 2 * np.nan_to_num(error),
        **ends,
        axes={"unit": np.arange(units)},
        **fields,
    )
    levels = _quantiles(times)
    without = np.array([_quantiles(gate_time(m)) for m in st.leave_one_out(means)]).reshape(-1, len(levels))
    with np.errstate(invalid="ignore"):  # a gate that never lets go has no error bar
        bars = st.interval(levels, st.jackknife_error(without), count, without)
    return [each, Estimate(GATE_TIME_QUANTILES, levels, **bars, axes={"quantile": np.array(QUANTILES)}, **fields)]


def _quantiles(times: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " quantile"]:
    levels = np.quantile(np.minimum(times, LONGEST_TIME), QUANTILES)  # infinities cannot be interpolated
    return np.where(levels > LONGEST_TIME / 2, np.inf, levels)


def gate_time(mean_log_gate: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """tau = -1 / E ln f in steps; infinite where the gate never lets go, 0 where it is always shut."""
    with np.errstate(divide="ignore"):
        return np.where(mean_log_gate < 0, -1 / np.minimum(mean_log_gate, -np.finfo(float).tiny), np.inf)
