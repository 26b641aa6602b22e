"""Conditional Lyapunov spectrum: how nearby states part or meet when the input is given."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from hitherto.core.model import precision
from hitherto.core.quantity import (
    KAPLAN_YORKE_DIMENSION,
    LYAPUNOV_SPECTRUM,
    START_FORGOTTEN,
    TIME_CONSTANTS,
    Estimate,
)
from hitherto.measures import _statistics as st
from hitherto.measures.trajectory import Trajectory, layers_of

MOST_EXPONENTS, FULL_UP_TO, FEWEST_STEPS = 32, 64, 10
RESOLVED_SPAN, LONGEST_INTERVAL, PILOT_STEPS = 20.0, 10, 32
SOURCE = "QR along the driven trajectory (classical; for RNNs Vogt et al., arXiv 2006.14123)"

Exponents = Float[np.ndarray, "sequence index"]


def lyapunov(
    trajectory: Trajectory, *, exponents: int | None = None, seed: int = 0, part: str = ""
) -> tuple[Estimate, ...]:
    """Exponents lim ln sigma_i(D_T ... D_1) / T of D_t = ds[t]/ds[t-1] along the run, largest first.

    The spectrum of a stack is the union of its layers' own spectra, so layers are measured apart. An exponent is
    -inf once a step is singular in its direction, and stays so.

    Args:
        exponents: how many of each layer, from the largest; by default all of a state of up to 64, else 32.
        seed: of the first directions.
    Raises:
        ValueError: with fewer than 10 steps, or no exponents asked for.
    Returns:
        The spectrum, the time constants -1/exponent, the Kaplan-Yorke dimension, and the share of sequences on
        which a far start was forgotten.

    Cost: about as many forward passes as exponents, and one QR a step or less.
    Does not tell: a negative largest exponent speaks of nearby states, several attractors may still coexist (see
    `start_forgotten`); nothing about what is stored or readable; a perfect memory cell has exponent 0.
    Source: classical; intervals from differences between sequences.
    """
    if trajectory.steps < FEWEST_STEPS:
        raise ValueError(f"the spectrum needs at least {FEWEST_STEPS} steps after the burn-in, got {trajectory.steps}")
    if exponents is not None and exponents < 1:
        raise ValueError(f"at least 1 of the exponents must be asked for, got exponents={exponents}")
    runs = [_layer_exponents(run, exponents, seed) for _, run in layers_of(trajectory)]
    names = [name for name, _ in layers_of(trajectory)]
    rates, layer = _union([r for r, _ in runs], [size for _, size in runs])
    mean, error = st.mean_and_error(rates)
    order = np.argsort(-mean, kind="stable")  # sorted after averaging, by mean, never sequence by sequence
    rates, mean, error = rates[:, order], mean[order], np.where(np.isfinite(mean[order]), error[order], 0.0)
    state = sum(size for _, size in runs)
    about = dict(
        sequences=len(rates),
        steps=trajectory.steps - _aligning(trajectory.steps),
        state=state,
        computed=len(mean),
        layer=[names[layer[i]] for i in order],
        floor=float(mean[0] - 30) if np.isfinite(mean[0]) else -np.inf,
    )
    index = {"index": np.arange(len(mean))}
    reason = st.TOO_FEW if len(rates) < st.FEWEST_SEQUENCES else ""
    fields = dict(part=part, cannot_tell=reason, statistics=about, source=SOURCE)
    bars = st.interval(mean, error, len(rates), st.leave_one_out(rates))
    return (
        Estimate(LYAPUNOV_SPECTRUM, mean, **bars, axes=index, **fields),
        Estimate(TIME_CONSTANTS, times(mean), **_time_bars(mean, bars), axes=index, **fields),
        _kaplan_yorke(rates, state, part),
        _start_forgotten(trajectory, part),
    )


def kaplan_yorke(exponents: Float[np.ndarray, " index"], state: int | None = None) -> float:
    """j + (l_1 + ... + l_j) / |l_{j+1}| with j the last index whose partial sum is not negative; 0 if there is none.

    Args:
        exponents: sorted, largest first; -inf allowed.
        state: size of the state, where fewer exponents are given. If all given sums are non-negative the answer is
            their number: the dimension is then at least that, and exactly that when all exponents are given.
    """
    sums = np.cumsum(exponents)
    positive = np.flatnonzero(sums >= -1e-12 * np.abs(np.where(np.isfinite(exponents), exponents, 0)).max())
    if len(positive) == 0:
        return 0.0
    j = int(positive[-1]) + 1
    if j == len(exponents) or not np.isfinite(exponents[j]):
        return float(j)
    return j + float(max(sums[j - 1], 0.0)) / abs(float(exponents[j]))


def times(exponents: np.ndarray) -> np.ndarray:
    """-1 / exponent in steps; infinite where nothing decays, 0 for -inf."""
    with np.errstate(divide="ignore"):
        return np.where(exponents < 0, -1 / np.minimum(exponents, 0.0), np.inf)


def qr_exponents(
    architecture, weights: PyTree, before: PyTree, x: Array, q: Array, interval: int
) -> tuple[Float[Array, "block index"], Float[Array, "index state"]]:
    """ln |diag R| of one sequence after every `interval` steps, and the last directions (one a row).

    A direction is -inf from the first step that is singular along it: a QR would refill the dead column with an
    arbitrary vector, and its later diagonal would look healthy.
    """
    _, unravel = ravel_pytree(jax.tree.map(lambda s: s[0], before))
    count, size = q.shape
    prepared = architecture.prepare(weights)

    def propagate(z, given):
        state, u = given
        _, push = jax.linearize(lambda s: ravel_pytree(architecture.step(prepared, s, u)[0])[0], state)
        return jax.vmap(lambda direction: push(unravel(direction)))(z), None

    def block(carry, given):
        q, dead = carry
        z = jax.lax.scan(propagate, q, given)[0]
        scale = jnp.sqrt((z**2).sum(1)).max()
        q, r = jnp.linalg.qr(z.T)
        diagonal = jnp.abs(jnp.diagonal(r))
        dead = dead | (diagonal <= 8 * size * jnp.finfo(z.dtype).eps * scale)
        return (q.T, dead), jnp.where(dead, -jnp.inf, jnp.log(diagonal))

    blocks = x.shape[0] // interval
    given = jax.tree.map(lambda s: s[: blocks * interval].reshape(blocks, interval, *s.shape[1:]), (before, x))
    (q, _), logs = jax.lax.scan(block, (q, jnp.zeros(count, bool)), given)
    return logs, q


_sweep = jax.jit(jax.vmap(qr_exponents, in_axes=(None, None, 0, 0, 0, None)), static_argnums=(0, 5))


def _layer_exponents(run: Trajectory, exponents: int | None, seed: int) -> tuple[Exponents, int]:
    """Mean exponents of each sequence for one layer, and the size of its state."""
    with precision(np.float64):
        state = ravel_pytree(jax.tree.map(lambda s: s[0, 0], run.states))[0].size
        count = min(state, exponents or (state if state <= FULL_UP_TO else MOST_EXPONENTS))
        first = np.random.default_rng([seed, 3]).standard_normal((state, count))
        q = np.broadcast_to(np.linalg.qr(first)[0].T, (run.sequences, count, state))
        arch, weights = run.model.architecture, run.model.weights

        def part(begin, end, q, interval):
            before = jax.tree.map(lambda s: s[:, begin:end], run.before)
            logs, q = _sweep(arch, weights, before, run.driving[:, begin:end], q, interval)
            return np.asarray(logs), q

        aligned, steps = _aligning(run.steps), run.steps
        logs, q = part(0, aligned, q, 1)
        dead = ~np.isfinite(logs).all(1)
        # Full spectra are of small states, whose QR is cheap, and their sum is exact with single steps.
        interval = 1 if count == state else _interval(logs[:, -PILOT_STEPS:], steps - aligned)
        start, (logs, _) = q, part(aligned, steps, q, interval)
        if interval > 1 and not _resolved(logs):
            logs, _ = part(aligned, steps, start, 1)  # only single steps tell a singular step from a late QR
    dead |= ~np.isfinite(logs).all(1)
    return np.where(dead, -np.inf, logs.sum(1) / (steps - aligned)), state


def _aligning(steps: int) -> int:
    """Steps that only turn the directions: a tenth, at least 50, at most half."""
    return max(1, min(max(50, steps // 10), steps // 2))


def _interval(logs: Float[np.ndarray, "sequence step index"], steps: int) -> int:
    """Steps between QRs, a divisor of `steps`: so few that the columns' spread stays resolved, r (l_1 - l_q) <= 20."""
    if not np.isfinite(logs).all():
        return 1  # singular steps must be seen one by one
    spread = float((logs.max(2) - logs.min(2)).max())  # of the worst single step seen
    longest = int(np.clip(RESOLVED_SPAN / max(spread, 1e-9), 1, LONGEST_INTERVAL))
    return max(r for r in range(1, longest + 1) if steps % r == 0)


def _resolved(logs: Float[np.ndarray, "sequence block index"]) -> bool:
    """Whether no block spread its columns by more than a QR resolves."""
    return bool(np.isfinite(logs).all() and (logs.max(2) - logs.min(2)).max() <= RESOLVED_SPAN)


def _union(layers: list[np.ndarray], sizes: list[int]) -> tuple[Exponents, np.ndarray]:
    """The layers' exponents side by side, cut where a layer that was not computed in full might have more."""
    known = [rates.mean(0).min() for rates, size in zip(layers, sizes, strict=True) if rates.shape[1] < size]
    rates = np.concatenate(layers, 1)
    layer = np.repeat(np.arange(len(layers)), [r.shape[1] for r in layers])
    keep = np.concatenate([r.mean(0) for r in layers]) >= max(known, default=-np.inf)
    return rates[:, keep], layer[keep]


def _time_bars(mean: np.ndarray, bars: dict) -> dict:
    if "low" not in bars:
        return {}
    return dict(low=times(bars["low"]), high=times(bars["high"]))


def _kaplan_yorke(rates: Exponents, state: int, part: str) -> Estimate:
    def dimension(mean: np.ndarray) -> float:
        return kaplan_yorke(np.sort(mean)[::-1], state)

    with np.errstate(invalid="ignore"):
        without = np.array([dimension(mean) for mean in st.leave_one_out(rates)])
    value = dimension(rates.mean(0))
    at_least = rates.shape[1] < state and value >= rates.shape[1]
    reason = st.TOO_FEW if len(rates) < st.FEWEST_SEQUENCES else ""
    reason = "all computed sums are non-negative; ask for more exponents" if at_least else reason
    bars = {} if at_least else st.interval(value, float(st.jackknife_error(without)), len(rates), without)
    return Estimate(
        KAPLAN_YORKE_DIMENSION,
        value,
        **bars,
        part=part,
        cannot_tell=reason,
        statistics=dict(sequences=len(rates), state=state, computed=rates.shape[1], at_least=at_least),
        assumptions=("the dimension of the spread left when the input is known",),
        source="Kaplan and Yorke (classical)",
    )


def _start_forgotten(trajectory: Trajectory, part: str) -> Estimate:
    return Estimate(
        START_FORGOTTEN,
        float(trajectory.forgotten.mean()),
        part=part,
        statistics=dict(sequences=len(trajectory.forgotten)),
        source="our settings: a start two deviations from the mean, met within 1e-6 of the state's spread",
    )
