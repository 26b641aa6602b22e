"""Effective context: how much the output changes when everything older than k steps is replaced."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from hitherto.core.model import Recurrence, precision
from hitherto.core.quantity import (
    CONTEXT_REPLACED,
    CONTEXT_SHUFFLED,
    CONTEXT_ZEROED,
    EFFECTIVE_CONTEXT,
    Estimate,
    Quantity,
)
from hitherto.measures import _statistics as st
from hitherto.measures.trajectory import Trajectory, run_from, starts

SWAP_POINTS, MOST_RUNS = 16, 512  # runs continued at once
LEVEL = 0.01
FEWEST_EFFECTIVE_UNITS = 15
SOURCE = "our derivation (states swapped between sequences)"

Inputs = Float[np.ndarray, "sequence time input"]
Squares = Float[np.ndarray, "unit lag"]
Past = Callable[[int], tuple[PyTree, np.ndarray]]  # swap point -> states and outputs that another past leads to


def context(
    trajectory: Trajectory, *, max_lag: int | None = None, seed: int = 0, part: str = ""
) -> tuple[Estimate, ...]:
    """Relative change (E|y - y'|^2 / E|y - y~|^2)^(1/2) of the output when inputs older than lags 0..k-1 change.

    y' shares the last k inputs with y, y~ shares none. For independent inputs the square is 1 - the best R^2 of any
    predictor of y from its last k inputs: between 0 and 1, 1 at k = 0, never rising. States are swapped between
    partner sequences and both go on with the same inputs; what is left of the difference after k steps is a sample
    for lag k. The old inputs are also replaced by zeros, which may exceed 1, and by themselves in shuffled order.

    Args:
        max_lag: largest k; by default a ninth of the steps, doubled while the change is above 1%.
        seed: of the shuffling.
    Returns:
        The three curves and the effective context: the k from which the first stays at or below 1%.
    Raises:
        ValueError: with fewer than 2 sequences or 4 steps, a `max_lag` that does not fit, or outputs that do not vary.

    Cost: for each of 16 swap points or more three runs of max_lag steps. Pairs of sequences are the unit of error.
    Does not tell: which old inputs matter, only how old; a small change of an output that hardly varies is 1% of
    something tiny. With dependent inputs the seam itself is unlike the data and the curve may exceed 1.
    Source: our derivation.
    """
    _refuse(trajectory, max_lag)
    lags = max_lag or max(1, trajectory.steps // 9 - 1)
    changed, unrelated = _swapped(trajectory, lags)
    if unrelated.mean() <= _resolution(trajectory) ** 2:
        raise ValueError("the output does not depend on the input: it never varies, so no change of it has a scale")
    while max_lag is None and lags < trajectory.steps - 2 and _ever_above(changed, unrelated):
        lags = min(2 * lags, trajectory.steps - 2)
        changed, unrelated = _swapped(trajectory, lags)
    replaced = _curve(CONTEXT_REPLACED, changed, unrelated, trajectory, part)
    variance = ((trajectory.outputs - trajectory.outputs.mean((0, 1))) ** 2).sum(-1).mean(1)
    zeroed = _curve(CONTEXT_ZEROED, _zeroed(trajectory, lags), variance, trajectory, part)
    shuffled = _curve(CONTEXT_SHUFFLED, _shuffled(trajectory, lags, seed), 2 * variance, trajectory, part)
    return replaced, zeroed, shuffled, _effective(replaced, changed, unrelated, part)


def _refuse(trajectory: Trajectory, max_lag: int | None) -> None:
    if trajectory.sequences < 2:
        raise ValueError("effective context swaps states between sequences and needs at least 2, got 1")
    if trajectory.steps < 4:
        raise ValueError(f"effective context needs at least 4 steps after the burn-in, got {trajectory.steps}")
    if max_lag is not None and not 1 <= max_lag <= trajectory.steps - 2:
        raise ValueError(
            f"max_lag must lie between 1 and {trajectory.steps - 2} for {trajectory.steps} steps, got {max_lag}"
        )


def _resolution(trajectory: Trajectory) -> float:
    """Differences of the output below this are rounding: eps |y| steps^(1/2)."""
    size = np.sqrt((trajectory.outputs**2).sum(-1).mean())
    return float(np.finfo(trajectory.outputs.dtype).eps * size * np.sqrt(trajectory.steps))


def _swap_points(trajectory: Trajectory, lags: int) -> list[int]:
    """Steps after which the past is replaced, evenly spread, with a run of `lags` after and a past before each.

    The runs may overlap: whatever they share lies within a sequence, and sequences are the unit of error.
    """
    last = trajectory.steps - lags
    first = max(1, min(lags + 1, last // 2))
    count = max(SWAP_POINTS, last // (lags + 1))
    return sorted({int(point) for point in np.linspace(first, last, count)})


def _changes(trajectory: Trajectory, lags: int, past: Past, every: int = 1) -> Float[np.ndarray, "sequence lag"]:
    """Mean over every so many swap points of |y - y'|^2 at lags 0..lags after the past was replaced."""
    arch, weights, points = (
        trajectory.model.architecture,
        trajectory.model.weights,
        _swap_points(trajectory, lags)[::every],
    )
    at_once = max(1, MOST_RUNS // trajectory.sequences)
    total = np.zeros((trajectory.sequences, lags + 1))
    with precision(trajectory.outputs.dtype):
        for group in (points[i : i + at_once] for i in range(0, len(points), at_once)):
            starts, others = zip(*map(past, group), strict=True)
            steps = [slice(point, point + lags) for point in group]
            x, own = (np.stack([a[:, s] for s in steps]) for a in (trajectory.driving, trajectory.outputs))
            total[:, 1:] += np.asarray(_gaps(arch, weights, jax.tree.map(lambda *s: np.stack(s), *starts), x, own)).sum(
                0
            )
            now = np.stack([trajectory.outputs[:, point - 1] for point in group])
            total[:, 0] += ((now - np.stack(others)) ** 2).sum((0, 2))
    return total / len(points)


@partial(jax.jit, static_argnums=0)
def _gaps(architecture: Recurrence, weights: PyTree, starts: PyTree, x: Array, own: Array) -> Array:
    """|y - y'|^2 of each (point, sequence) at every step; y' goes on from another state, y is the sequence's own."""
    prepared = architecture.prepare(weights)

    def one(state, x, own):
        def body(state, given):
            state, y = architecture.step(prepared, state, given[0])
            return state, ((y - given[1]) ** 2).sum()

        return jax.lax.scan(body, state, (x, own))[1]

    return jax.vmap(jax.vmap(one))(starts, x, own)


def _swapped(trajectory: Trajectory, lags: int) -> tuple[Squares, Float[np.ndarray, " pair"]]:
    """Per pair: squared change at each lag, and the squared distance of unrelated outputs at the same steps."""
    even = trajectory.first(trajectory.sequences // 2 * 2)
    partner = np.arange(even.sequences) ^ 1

    def past(point: int) -> tuple[PyTree, np.ndarray]:
        return jax.tree.map(lambda s: s[partner, point], even.states), even.outputs[partner, point - 1]

    changed = _changes(even, lags, past).reshape(-1, 2, lags + 1).mean(1)
    unrelated = ((even.outputs - even.outputs[partner]) ** 2).sum(-1).mean(1)[::2]
    return changed, unrelated


def _zeroed(trajectory: Trajectory, lags: int) -> Squares:
    """Squared change when the old inputs are zeros, as many as the burn-in had steps."""
    silence = np.zeros((1, max(trajectory.lead, lags, 1), trajectory.inputs.shape[-1]))
    states, outputs = _led_to(trajectory, silence)
    count = trajectory.sequences
    end = jax.tree.map(lambda s: np.repeat(s, count, 0), states)
    return _changes(trajectory, lags, lambda point: (end, np.repeat(outputs, count, 0)))


def _shuffled(trajectory: Trajectory, lags: int, seed: int) -> Squares:
    """Squared change when the old inputs come in random order: as many as the burn-in had steps, or all there are."""
    rng, most = np.random.default_rng([seed, 4]), max(trajectory.lead, lags + 1)

    def past(point: int) -> tuple[PyTree, np.ndarray]:
        before = point - most
        first = trajectory.lead + before if before >= 0 else 0
        old = trajectory.inputs[:, first : trajectory.lead + point]
        order = rng.permuted(np.tile(np.arange(old.shape[1]), (len(old), 1)), axis=1)
        kept = jax.tree.map(lambda s: s[:, before], trajectory.states) if before >= 0 else None
        return _led_to(trajectory, np.take_along_axis(old, order[..., None], 1), kept)

    return _changes(trajectory, lags, past, every=4)


def _led_to(trajectory: Trajectory, x: Inputs, begin: PyTree = None) -> tuple[PyTree, np.ndarray]:
    """State and output that inputs lead to from given states, or from the model's own start."""
    model = trajectory.model
    with precision(trajectory.outputs.dtype):
        begin = starts(model, len(x)) if begin is None else begin
        states, outputs = run_from(model.architecture, model.weights, begin, x)
    return jax.tree.map(lambda s: np.asarray(s)[:, -1], states), np.asarray(outputs)[:, -1]


def _log_ratio(changed: Squares, unit: Float[np.ndarray, " unit"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln of the ratio of means, its jackknife error, and the effective number of units, lag by lag."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(changed.mean(0) / unit.mean())
        without = np.log(st.leave_one_out(changed) / st.leave_one_out(unit)[:, None])
        error = np.where(np.isfinite(value), st.jackknife_error(without), 0.0)
    return value, error, st.effective_sequences(changed)


def _curve(
    quantity: Quantity, changed: Squares, unit: Float[np.ndarray, " unit"], trajectory: Trajectory, part: str
) -> Estimate:
    value, error, enough = _log_ratio(changed, unit)
    count, lags = changed.shape
    floor = _resolution(trajectory) / np.sqrt(unit.mean())
    dust = value / 2 <= np.log(floor)
    heavy = (enough < FEWEST_EFFECTIVE_UNITS) & ~dust
    fields = st.log_interval(value / 2, error / 2, count)
    if "low" in fields:  # below resolution all that is known is that
        low, high = (np.where(heavy, np.nan, fields[end]) for end in ("low", "high"))
        fields |= dict(low=np.where(dust, 0.0, low), high=np.where(dust, floor, high))
    reason = st.TOO_FEW if count < st.FEWEST_SEQUENCES else ""
    if not reason and heavy.any():
        first = int(np.argmax(heavy))
        reason = f"from lag {first} on fewer than {FEWEST_EFFECTIVE_UNITS} pairs of sequences carry the mean"
    return Estimate(
        quantity,
        **fields,
        without=np.sqrt(st.leave_one_out(changed) / st.leave_one_out(unit)[:, None]),
        axes={"lag": np.arange(lags)},
        part=part,
        cannot_tell=reason,
        statistics=dict(
            units=count,
            swap_points=len(_swap_points(trajectory, lags - 1)),
            effective_units=enough,
            resolution=floor,
            below_resolution=int(dust.sum()),
        ),
        assumptions=() if trajectory.white else ("inputs are dependent: the seam is unlike the data",),
        source=SOURCE,
    )


def _steps(log_squares: Float[np.ndarray, " lag"]) -> float:
    at = st.crossing(log_squares, 2 * np.log(LEVEL) + 1e-12)
    return np.inf if at is None else at


def _effective(curve: Estimate, changed: Squares, unit: Float[np.ndarray, " unit"], part: str) -> Estimate:
    """Lag from which the change stays at or below 1%, on the log curve, with a jackknife over pairs."""
    ceiling = changed.shape[1] - 1
    about = dict(units=len(changed), ceiling=ceiling, level=LEVEL)
    dust = 2 * np.log(curve.statistics["resolution"])

    def log(squares: np.ndarray) -> np.ndarray:  # what is below resolution counts as nothing, a step down
        return np.where(squares > dust, squares, -np.inf)

    with np.errstate(divide="ignore"):
        value = _steps(log(np.log(changed.mean(0) / unit.mean())))
        logs = np.log(st.leave_one_out(changed) / st.leave_one_out(unit)[:, None])
    fields = dict(part=part, source=SOURCE, assumptions=curve.assumptions)
    if not np.isfinite(value):
        left = float(np.asarray(curve.value)[-1])
        reason = f"replacing all older than {ceiling} steps still changes the output by {left:.2g} of its deviation"
        about |= dict(censored=True, left=left)
        return Estimate(EFFECTIVE_CONTEXT, float(ceiling), cannot_tell=reason, statistics=about, **fields)
    without = np.array([_steps(log(squares)) for squares in logs])
    about |= dict(censored=False, steps=int(np.ceil(value - 1e-9)), certain=_certain(curve))
    last = max(0, int(np.ceil(value)) - 1)  # the last lag above the level
    enough = float(curve.statistics["effective_units"][last])
    reason = _doubt(len(changed), enough, without)
    decided = not reason
    bars = st.interval(value, float(st.jackknife_error(without)), len(changed), without) if decided else {}
    return Estimate(EFFECTIVE_CONTEXT, value, **bars, cannot_tell=reason, statistics=about, **fields)


def _doubt(units: int, effective: float, without: Float[np.ndarray, " unit"]) -> str:
    if units < st.FEWEST_SEQUENCES:
        return st.TOO_FEW
    if 0 < effective < FEWEST_EFFECTIVE_UNITS:
        return f"only {effective:.1f} pairs of sequences carry the mean where it passes 1%"
    return "" if np.isfinite(without).all() else "without some pairs it never falls to 1%"


def _certain(curve: Estimate) -> int | None:
    """Smallest k from which the upper end of the interval stays at or below 1%; None if there is none."""
    if curve.high is None:
        return None
    above = np.flatnonzero(~(np.asarray(curve.high) <= LEVEL))
    last = int(above[-1]) + 1 if len(above) else 0
    return last if last < np.size(curve.value) else None


def _ever_above(changed: Squares, unit: Float[np.ndarray, " unit"]) -> bool:
    return bool(changed.mean(0)[-1] > LEVEL**2 * unit.mean())
