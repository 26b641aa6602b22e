"""Jacobian by lag: how strongly the state and the output now depend on the input k steps ago.

All lags come from one reverse sweep (our derivation): with E v v^T = I, E |v^T J_k|^2 = |J_k|_F^2, and v^T J_k for
k = 0, 1, ... are the input gradients met while v is carried back step by step.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from hitherto.core.model import precision, visible
from hitherto.core.quantity import (
    GRADIENT_GROWTH,
    GRADIENT_HALF_LIFE,
    GRADIENT_HORIZON,
    OUTPUT_JACOBIAN_RMS,
    OUTPUT_JACOBIAN_TYPICAL,
    STATE_JACOBIAN_RMS,
    STATE_JACOBIAN_TYPICAL,
    Estimate,
    Quantity,
)
from hitherto.measures import _statistics as st
from hitherto.measures.trajectory import Trajectory

MOST_EXACT_PROBES, PROBES = 64, 16
WINDOWS, FEWEST_LAGS = 16, 8
FEWEST_EFFECTIVE_SEQUENCES = 15
CHUNK_NUMBERS = 2**24
SOURCE = "our derivation (reverse sweep with probes)"

LogCurves = Float[np.ndarray, "sequence window lag"]


def lag_jacobian(
    trajectory: Trajectory, *, max_lag: int | None = None, seed: int = 0, part: str = ""
) -> tuple[Estimate, ...]:
    """Norms of dh[t]/dx[t-k] and dy[t]/dx[t-k] for k = 0, 1, ..., with half-life, horizon and growth.

    Two curves each: `rms`, (E|J_k|_F^2)^(1/2), is what the gradients of a random loss see and is ruled by rare
    sequences; `typical`, exp E ln|J_k|_F, is what a usual sequence sees. Up to 64 visible units every unit is a
    probe and nothing is random; beyond, 16 Rademacher probes a window, whose `typical` may be low by a factor of at
    most exp(-1/32).

    Args:
        max_lag: largest lag; by default a 16th of the steps, for the sake of 16 windows a sequence, doubled while the
            typical curve ends above 1% of its peak.
        seed: of the probes.
    Raises:
        ValueError: if `max_lag` is negative or not below the number of steps.
    Returns:
        Curves of state and output, then half-life, horizon and growth of the state's.

    Cost: 1 + 2 P forward passes for P probes, whatever the number of lags; memory linear in the steps.
    Does not tell: the derivative is infinitesimal, so a saturated unit may hold a bit with no gradient; a large norm
    need not be readable; norms scale with the units of x and h, so compare ratios to the peak between models.
    Source: our derivation.
    """
    longest = trajectory.steps - 1
    if max_lag is not None and not 0 <= max_lag <= longest:
        raise ValueError(
            f"max_lag must lie between 0 and {longest} for a run of {trajectory.steps} steps, got {max_lag}"
        )
    lags = min(max(FEWEST_LAGS, trajectory.steps // WINDOWS - 1) if max_lag is None else max_lag, longest)
    logs = _log_norms(trajectory, lags, seed, "state")
    while max_lag is None and lags < longest and _typical_crossing(logs, 0.01) is None:
        lags = min(2 * lags + 1, longest)
        logs = _log_norms(trajectory, lags, seed, "state")
    same = _output_is_state(trajectory)
    outputs = logs if same else _log_norms(trajectory, lags, seed, "output")
    exact = _probe_count(trajectory, "state") is None
    return (
        *_curves(logs, STATE_JACOBIAN_RMS, STATE_JACOBIAN_TYPICAL, part, exact),
        *_curves(outputs, OUTPUT_JACOBIAN_RMS, OUTPUT_JACOBIAN_TYPICAL, part, exact),
        _crossing_estimate(GRADIENT_HALF_LIFE, logs, 0.5, part),
        _crossing_estimate(GRADIENT_HORIZON, logs, 0.01, part),
        _growth(logs, part),
    )


def brute_force_jacobian(trajectory: Trajectory, sequence: int, lags: int) -> Float[np.ndarray, "lag visible input"]:
    """dh[T]/dx[T-k] for the last step of one sequence by forward differentiation of the whole run.

    Cost: `lags` times `input` forward passes; the truth that tests hold the sweep against.
    """
    arch, weights = trajectory.model.architecture, trajectory.model.weights
    first = trajectory.steps - lags
    start = jax.tree.map(lambda s: s[sequence, first], trajectory.states)
    with precision(trajectory.outputs.dtype):

        def last(x):
            states = arch.run(weights, start, x)[0]
            return jnp.concatenate([jnp.ravel(h[-1]) for h in visible(states)])

        jacobian = jax.jacfwd(last)(jnp.asarray(trajectory.driving[sequence, first:]))
    return np.moveaxis(np.asarray(jacobian), 1, 0)[::-1]


def _log_norms(trajectory: Trajectory, lags: int, seed: int, of: str) -> LogCurves:
    """ln |J_k|_F for every sequence, window and lag; windows of lags + 1 steps, ends apart, aligned at the end."""
    span = lags + 1
    windows = trajectory.steps // span
    first = trajectory.steps - windows * span

    def cut(
        a: np.ndarray,
    ) -> np.ndarray:  # (sequence, time, ...) -> (window step, sequence x window, ...), last step first
        a = a[:, first:].reshape(-1, span, *a.shape[2:])
        return np.ascontiguousarray(np.swapaxes(a, 0, 1)[::-1])

    with precision(trajectory.outputs.dtype):
        before, x = jax.tree.map(cut, trajectory.before), cut(trajectory.driving)
        count = x.shape[1]
        probes = _probes(trajectory, of, count, seed)
        chunk = max(1, CHUNK_NUMBERS // (jax.tree.leaves(probes)[0].shape[1] * _width(trajectory)))
        logs = [
            np.asarray(
                _sweep(
                    trajectory.model.architecture,
                    trajectory.model.weights,
                    jax.tree.map(lambda s, at=at: s[:, at], before),
                    x[:, at],
                    jax.tree.map(lambda p, at=at: p[at], probes),
                )
            )
            for at in (slice(b, b + chunk) for b in range(0, count, chunk))
        ]
    return np.concatenate(logs, 1).T.reshape(trajectory.sequences, windows, span)


@partial(jax.jit, static_argnums=0)
def _sweep(architecture, weights, before: PyTree, x: Array, probes: PyTree) -> Float[Array, "lag run"]:
    """ln of the root mean square over probes of |v^T J_k|, scaled so that exact probes give |J_k|_F."""
    prepared = architecture.prepare(weights)

    def one(state, x, cotangent):  # one run, all its probes
        _, pull = jax.vjp(lambda s, u: architecture.step(prepared, s, u), state, x)
        return jax.vmap(pull)(cotangent)

    def back(carry, given):
        cotangent, log_scale = carry
        state, x = given
        earlier, gradient = jax.vmap(one)(state, x, cotangent)
        norm = jnp.sqrt((gradient**2).sum(-1))
        log_square = 2 * (jnp.log(norm) + log_scale)
        # Carried as (direction, ln length), so that a norm of 1e-400 keeps its digits.
        length = jnp.sqrt(sum((leaf.reshape(*norm.shape, -1) ** 2).sum(-1) for leaf in jax.tree.leaves(earlier)))
        safe = jnp.where(length > 0, length, 1)
        earlier = jax.tree.map(lambda leaf: leaf / safe.reshape(*norm.shape, *[1] * (leaf.ndim - 2)), earlier)
        nothing = jax.tree.map(jnp.zeros_like, cotangent[1])
        return ((earlier, nothing), log_scale + jnp.log(length)), jax.nn.logsumexp(log_square, -1) / 2

    log_scale = jnp.zeros(jax.tree.leaves(probes)[0].shape[:2], x.dtype)
    return jax.lax.scan(back, (probes, log_scale), (before, x))[1]


def _probes(trajectory: Trajectory, of: str, count: int, seed: int) -> PyTree:
    """Cotangents (state, output) of the last step of each window: (run, probe, ...), sum over probes E v v^T = I."""
    state = jax.tree.map(lambda s: s[0, 0], trajectory.states)
    seen = [leaf.size for leaf in visible(state)] if of == "state" else [trajectory.outputs.shape[-1]]
    size, number = sum(seen), _probe_count(trajectory, of)
    dtype = trajectory.outputs.dtype
    if number is None:
        v = np.broadcast_to(np.eye(size, dtype=dtype), (count, size, size))
    else:
        signs = np.random.default_rng([seed, 2]).integers(0, 2, (count, number, size))
        v = ((2 * signs - 1) / np.sqrt(number)).astype(dtype)
    runs = v.shape[:2]
    nowhere = jax.tree.map(lambda s: np.zeros((*runs, *s.shape), dtype), state)
    if of == "output":
        return nowhere, v
    pieces = iter(np.split(v, np.cumsum(seen)[:-1], -1))
    targets = {id(leaf) for leaf in visible(nowhere)}
    placed = jax.tree.map(lambda z: next(pieces).reshape(z.shape) if id(z) in targets else z, nowhere)
    return placed, np.zeros((*runs, trajectory.outputs.shape[-1]), dtype)


def _probe_count(trajectory: Trajectory, of: str) -> int | None:
    """Number of random probes, or None where every coordinate is a probe."""
    state = jax.tree.map(lambda s: s[0, 0], trajectory.states)
    size = sum(leaf.size for leaf in visible(state)) if of == "state" else trajectory.outputs.shape[-1]
    return None if size <= MOST_EXACT_PROBES else PROBES


def _width(trajectory: Trajectory) -> int:
    return sum(leaf[0, 0].size for leaf in jax.tree.leaves(trajectory.states)) + trajectory.inputs.shape[-1]


def _output_is_state(trajectory: Trajectory) -> bool:
    seen = visible(trajectory.after)
    return len(seen) == 1 and seen[0].shape == trajectory.outputs.shape and np.array_equal(seen[0], trajectory.outputs)


def _curves(logs: LogCurves, rms: Quantity, typical: Quantity, part: str, exact: bool) -> tuple[Estimate, Estimate]:
    return _rms(logs, rms, part, exact), _typical(logs, typical, part, exact)


def _rms(logs: LogCurves, quantity: Quantity, part: str, exact: bool) -> Estimate:
    squares = st.logmeanexp(np.moveaxis(2 * logs, 1, 0))  # ln of a sequence's mean square, (sequence, lag)
    sequences, lags = squares.shape
    top = squares.max(0)
    scaled = np.exp(squares - np.where(np.isfinite(top), top, 0.0))
    mean, error = st.mean_and_error(scaled)
    enough = st.effective_sequences(scaled) if sequences > 1 else np.full(lags, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        fields = st.log_interval(st.logmeanexp(squares) / 2, np.where(mean > 0, error / (2 * mean), 0.0), sequences)
    heavy = (enough < FEWEST_EFFECTIVE_SEQUENCES) & (mean > 0)
    if "low" in fields:
        fields["low"] = np.where(heavy, np.nan, fields["low"])
        fields["high"] = np.where(heavy, np.nan, fields["high"])
    return Estimate(
        quantity,
        **fields,
        axes={"lag": np.arange(lags)},
        part=part,
        cannot_tell=_too_heavy(sequences, heavy),
        statistics=_about(logs, exact)
        | dict(effective_sequences=enough, log10=st.logmeanexp(squares) / 2 / np.log(10)),
        assumptions=("windows of one sequence are averaged first; sequences are independent",),
        source=SOURCE,
    )


def _too_heavy(sequences: int, heavy: np.ndarray) -> str:
    if sequences < st.FEWEST_SEQUENCES:
        return st.TOO_FEW
    if not heavy.any():
        return ""
    return f"from lag {int(np.argmax(heavy))} on fewer than {FEWEST_EFFECTIVE_SEQUENCES} sequences carry the mean"


def _typical(logs: LogCurves, quantity: Quantity, part: str, exact: bool) -> Estimate:
    mean, error = st.mean_and_error(logs.mean(1))
    zero = ~np.isfinite(logs)
    with np.errstate(invalid="ignore"):
        alive = np.where(zero, np.nan, logs)
        rest = np.nanmean(np.where(zero.all((0, 1)), 0.0, alive), (0, 1))
    return Estimate(
        quantity,
        **st.log_interval(mean, error, len(logs)),
        without=np.exp(st.leave_one_out(logs.mean(1))),
        axes={"lag": np.arange(logs.shape[-1])},
        part=part,
        cannot_tell=st.TOO_FEW if len(logs) < st.FEWEST_SEQUENCES else "",
        statistics=_about(logs, exact)
        | dict(
            log10=mean / np.log(10),
            zero_share=zero.mean((0, 1)),
            typical_where_not_zero=np.where(zero.all((0, 1)), 0.0, np.exp(rest)),
        ),
        assumptions=()
        if exact
        else (f"{PROBES} random probes: E ln |J| may be low by at most {1 / (2 * PROBES):.3f}",),
        source=SOURCE,
    )


def _about(logs: LogCurves, exact: bool) -> dict:
    return dict(sequences=len(logs), windows=logs.shape[1], probes="every coordinate" if exact else PROBES)


def _typical_crossing(logs: LogCurves, level: float) -> float | None:
    mean = logs.mean((0, 1))
    return st.crossing(mean, mean.max() + np.log(level)) if np.isfinite(mean).any() else 0.0


def _crossing_estimate(quantity: Quantity, logs: LogCurves, level: float, part: str) -> Estimate:
    """Half-life (counted from the peak) or horizon (counted from lag 0) of the typical curve."""
    per_sequence, ceiling = logs.mean(1), logs.shape[-1] - 1

    def steps(log_curve: np.ndarray) -> float:
        if not np.isfinite(log_curve).any():
            return 0.0
        peak = int(np.argmax(log_curve))
        at = st.crossing(log_curve, log_curve[peak] + np.log(level), peak)
        return np.inf if at is None else at - (peak if level == 0.5 else 0)

    value = steps(per_sequence.mean(0))
    without = np.array([steps(curve) for curve in st.leave_one_out(per_sequence)]) if len(logs) > 1 else np.array([])
    about = dict(sequences=len(logs), ceiling=ceiling, level=level)
    if not np.isfinite(value):
        reason = f"the curve is still above {level:.0%} of its peak at lag {ceiling}"
        return Estimate(
            quantity,
            float(ceiling),
            part=part,
            cannot_tell=reason,
            statistics=about | dict(censored=True),
            source=SOURCE,
        )
    about |= dict(censored=False, steps=int(np.ceil(value - 1e-9)))
    decided = len(logs) >= st.FEWEST_SEQUENCES and np.isfinite(without).all()
    reason = (
        "" if decided else st.TOO_FEW if len(logs) < st.FEWEST_SEQUENCES else "some sequences never reach the level"
    )
    bars = st.interval(value, float(st.jackknife_error(without)), len(logs), without) if decided else {}
    return Estimate(
        quantity, value, **_not_negative(bars), part=part, cannot_tell=reason, statistics=about, source=SOURCE
    )


def _not_negative(bars: dict) -> dict:
    return bars | ({"low": max(0.0, float(bars["low"])), "high": float(bars["high"])} if "low" in bars else {})


def _growth(logs: LogCurves, part: str) -> Estimate:
    """Slope of ln rms over the last half of the lags; positive where rare inputs blow gradients up."""
    squares = st.logmeanexp(np.moveaxis(2 * logs, 1, 0))
    first = logs.shape[-1] // 2

    def slope(log_squares: np.ndarray) -> float:
        curve = st.logmeanexp(log_squares)[first:] / 2
        if len(curve) < 2 or not np.isfinite(curve).all():
            return -np.inf
        return float(np.polyfit(np.arange(len(curve)), curve, 1)[0])

    value = slope(squares)
    without = (
        np.array([slope(np.delete(squares, i, 0)) for i in range(len(squares))]) if len(logs) > 1 else np.array([])
    )
    enough = float(st.effective_sequences(np.exp(squares - squares.max(0)))[-1]) if np.isfinite(value) else 0.0
    heavy = enough < FEWEST_EFFECTIVE_SEQUENCES
    reason = f"only {enough:.1f} sequences carry the mean at the longest lag" if heavy else ""
    bars = {} if heavy else st.interval(value, float(st.jackknife_error(without)), len(logs), without)
    return Estimate(
        GRADIENT_GROWTH,
        value,
        **bars,
        part=part,
        cannot_tell=reason,
        statistics=dict(sequences=len(logs), effective_sequences=enough, lags=(first, logs.shape[-1] - 1)),
        source=SOURCE,
    )
