"""Spectrum of a cut in time: how far the last output is from one product g(start of the input) g'(end)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, Real

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, Recurrence, precision
from hitherto.core.quantity import (
    CUT_ENTROPY,
    CUT_ENTROPY_PROFILE,
    INTERACTION_PROFILE,
    INTERACTION_SHARE,
    Estimate,
    Quantity,
)
from hitherto.measures._cut_matrix import (
    SOURCE,
    Labels,
    Outputs,
    checked_outputs,
    effective_rank,
    refuse_not_finite,
    spectrum_of,
)

BLOCK_EDGE, BLOCK_NUMBERS = 64, 2**23  # starts and ends that meet in one compiled call, and doubles it may hold
FEWEST, MOST_PAIRS, SETTLED = 64, 128**2, 0.02
WINDOW, MOST_AFTER = 64, 32


def matrix_spectrum(outputs: Real[np.ndarray, "..."], *, part: str = "") -> tuple[Estimate, ...]:
    """Singular values of Y / (starts ends)^(1/2) for Y[i, j] = y(start i, end j), and what they say about the cut.

    With q = squared singular values over their sum: entropy H = -sum q ln q, effective rank exp H, participation
    ratio 1 / sum q^2, stable rank 1 / largest q, distance from separable (sum of q but the largest)^(1/2), which is 0
    where y is one product g(start) g'(end). Interaction share: |Y - row means - column means + mean|^2 / |Y|^2, which
    is 0 where y is a sum g(start) + g'(end); below 1e-12 it is rounding, and its statistic `additive` is true.

    Args:
        outputs: (starts, ends), or (starts, ends, output) for several outputs at once: columns are then pairs (end,
            output), and the means are each output's own.
    Returns:
        `CUT_SPECTRUM`, `CUT_ENTROPY`, `CUT_EFFECTIVE_RANK`, `CUT_PARTICIPATION_RATIO`, `CUT_STABLE_RANK`,
        `DISTANCE_FROM_SEPARABLE`, `INTERACTION_SHARE`. All are 0 with a reason in `cannot_tell` if Y = 0.
    Raises:
        ValueError: with fewer than 2 starts or ends, or NaN or infinite entries.

    Errors: starts and ends are both random draws. Each side is left out in 10 groups of neighbours, and the two
    variances are added; so is the square of the jackknife's bias (few starts and ends make ranks too low), and the
    standard error is that of the whole error. No interval is given where the mean square is carried by fewer than 15
    starts or ends (a quarter of them, below 60), and none of a rank where the bias of the effective rank is above 25%
    and above its deviation. The 95% intervals of the numbers held the truth in 0.90 to 1.00 of 200 to 300 repetitions
    for 4 to 60 products of normal features with 16 to 256 of each side. For cubic polynomials, which have heavy tails,
    in 0.75 to 0.88 with 20, 0.85 to 0.90 with 64, 0.90 to 0.96 with 128 and more. Single singular values: 0.85 to 1.00
    for products, 0.3 to 0.96 for the polynomials, the small ones worst, and no error (NaN) for components beyond those
    that hold all but 1e-4 of what the first leaves.
    Does not tell: the separation rank. The number of singular values above any small threshold grows with the sample
    for almost every model; `start_end_rank` is exact for arithmetic circuits.
    Cost: a QR of the longer side, and one SVD and 20 sets of eigenvalues of the shorter.
    Source: Levine, Sharir, Cohen, Shashua (2018), arXiv 1803.09780, for the entropy; errors are our derivation.
    """
    outputs = checked_outputs(outputs)
    return spectrum_of(outputs, *map(np.arange, outputs.shape[:2]), part)


def separation_spectrum(
    model: Model,
    starts: Real[np.ndarray, "..."],
    ends: Real[np.ndarray, "..."],
    *,
    output: int | None = None,
    part: str = "",
) -> tuple[Estimate, ...]:
    """`matrix_spectrum` of a model's last output y, when every start is followed by every end.

    Args:
        starts: (start, time, input), read from the model's initial state.
        ends: (end, time, input), read from the states that the starts lead to. Draw both from the law of interest:
            400 each settle the entropy to some percent.
        output: the channel of y that is asked for; None takes all of them jointly.
    Raises:
        ValueError: for a model that is not causal or has weights of its own at each step, inputs that do not fit, or
            outputs that overflow.
    Warns:
        UserWarning: if the model holds an `ArithmeticCircuit`: floats do not give its rank.

    Cost: the starts once, then starts x ends x steps after the cut, in float64, in blocks of about 64 MiB.
    Source: our derivation.
    """
    ready = _ready(model, output)
    starts = _checked_inputs("starts", starts, model)
    ends = _checked_inputs("ends", ends, model)
    with precision(np.float64):
        states = _after(ready.architecture, ready.prepared, ready.start, starts, starts.shape[1])
        outputs = _met(ready, states, ends, 0)
    return matrix_spectrum(outputs, part=part)


def cut_profile(
    model: Model,
    sequences: Real[np.ndarray, "..."],
    *,
    cuts: Sequence[int] | None = None,
    pairs: int = MOST_PAIRS,
    seed: int = 0,
    output: int | None = None,
    part: str = "",
) -> tuple[Estimate, Estimate]:
    """Entropy and interaction share of several cuts: the first `cut` steps of some sequences meet the rest of others.

    A random half of the sequences gives starts, the other half ends. At each cut 64 starts meet 64 ends; both are
    doubled until exp(entropy) differs by less than 2% from that of half as many, or `pairs` are reached.

    Args:
        sequences: (sequence, time, input), the user's own.
        cuts: steps before the cut. None: sequences longer than 64 steps are divided into windows of 64 (what is left
            over is dropped), each read from the model's initial state, and cuts are made 1, 2, 4, 8, 16 and 32 steps
            before the end. Give cuts to have sequences read whole.
        pairs: most pairs of a start and an end at one cut.
        seed: of the choice of sequences and windows.
        output: the channel of y that is asked for; None takes all of them jointly.
    Returns:
        `CUT_ENTROPY_PROFILE` and `INTERACTION_PROFILE`, axis `cut` in steps. Statistics give, cut by cut, the `starts`
        used (as many as ends), and the relative `change` of exp(entropy) from half as many. An interval with NaN
        for ends is none, and `cannot_tell` says why.
    Raises:
        ValueError: as `separation_spectrum`, for cuts that do not lie inside, or fewer than 2 starts and ends.

    Errors are those of `matrix_spectrum`, with windows of one sequence in one group; a single long sequence lends its
    windows as if they were sequences, which are not quite independent.
    Cost: pairs x steps after the cut, summed over cuts, in float64; by default for an LSTM of 128 units and 128
    inputs 16 384 pairs through 63 steps, 3 to 5 s on two cores.
    Source: our derivation.
    """
    ready, sequences = _ready(model, output), _checked_inputs("sequences", sequences, model, fewest=1)
    plan = _planned(sequences, cuts, pairs, seed)
    with precision(np.float64):
        found, sizes, changes = zip(*(_at_cut(ready, plan, cut, part) for cut in plan.cuts), strict=True)
    about = dict(starts=sizes, change=changes, length=plan.ends.shape[1])
    told = () if len(sequences) > 1 else ("windows of one sequence stand for sequences",)
    return tuple(  # type: ignore[return-value]
        _profile(over_cuts, plan.cuts, [at_cut[single] for at_cut in found], about, told)
        for over_cuts, single in ((CUT_ENTROPY_PROFILE, CUT_ENTROPY), (INTERACTION_PROFILE, INTERACTION_SHARE))
    )


# From a model to outputs


class _Ready(NamedTuple):
    """A model in float64 with its weights prepared for single steps."""

    architecture: Recurrence
    prepared: PyTree
    start: PyTree
    output: int | None


def _ready(model: Model, output: int | None) -> _Ready:
    """Raises ValueError, and warns, as `separation_spectrum` says."""
    _refuse(model.architecture, output)
    if _has_circuit(model.architecture):
        warnings.warn(
            "singular values in floats do not give the rank of an arithmetic circuit, whose outputs spread over too "
            "many decades: hitherto.measures.separation_rank.start_end_rank gives it exactly",
            UserWarning,
            stacklevel=3,
        )
    with precision(np.float64):
        weights = jax.tree.map(_wide, model.weights)
        start = model.architecture.start(weights)
        if not jax.tree.leaves(start):
            raise ValueError(
                f"nothing of a start reaches an end through {type(model.architecture).__name__}, which has no state: "
                "give a model with one"
            )
        return _Ready(model.architecture, _prepared(model.architecture, weights), start, output)  # type: ignore[arg-type]


def _refuse(architecture: Architecture, output: int | None) -> None:
    name = type(architecture).__name__
    if not architecture.causal:
        raise ValueError(
            f"a cut divides what was read from what comes; {name} reads the future too, so no state stands between "
            "them: give a causal model, or one of its directions"
        )
    for layer in _layers(architecture):
        if not isinstance(layer, Recurrence):
            raise ValueError(
                f"the ends go on from the states of the starts; {type(layer).__name__} has weights of its own at each "
                "step and cannot go on from a state: give a model that repeats one step"
            )
    if output is not None and not 0 <= output < architecture.output_size:
        raise ValueError(
            f"output {output} was asked for; {name} has outputs 0 to {architecture.output_size - 1}: give one of "
            "them, or None for all"
        )


def _layers(architecture: Architecture) -> list[Architecture]:
    """What a stack is made of, however nested."""
    if isinstance(architecture, Deep):
        return [found for layer in architecture.layers for found in _layers(layer)]
    return [architecture]


def _has_circuit(architecture: Architecture) -> bool:
    return any(isinstance(layer, ArithmeticCircuit) for layer in _layers(architecture))


def _wide(weight: Any) -> np.ndarray:
    """A weight in float64 or complex128; integers stay what they are."""
    weight = np.asarray(weight)
    inexact = np.issubdtype(weight.dtype, np.inexact)
    return weight.astype(np.result_type(weight, np.float64)) if inexact else weight


@partial(jax.jit, static_argnums=0)
def _prepared(architecture: Recurrence, weights: PyTree) -> PyTree:
    return architecture.prepare(weights)


def _advanced(
    architecture: Recurrence, prepared: PyTree, state: PyTree, x: Array, first: Any, last: Any
) -> tuple[PyTree, Array]:
    """State and output after steps first .. last - 1 of one sequence; nothing in between is kept.

    The bounds may be traced, so that one compilation serves every cut.
    """
    y = jax.eval_shape(lambda: architecture.step(prepared, state, x[0]))[1]
    step = lambda t, carried: architecture.step(prepared, carried[0], x[t])  # noqa: E731
    return jax.lax.fori_loop(first, last, step, (state, jnp.zeros(y.shape, y.dtype)))


@partial(jax.jit, static_argnums=0)
def _after(architecture: Recurrence, prepared: PyTree, start: PyTree, inputs: Array, steps: Any) -> PyTree:
    """States after the first steps of every sequence."""
    return jax.vmap(lambda x: _advanced(architecture, prepared, start, x, 0, steps)[0])(inputs)


@partial(jax.jit, static_argnums=0)
def _last_outputs(architecture: Recurrence, prepared: PyTree, states: PyTree, inputs: Array, first: Any) -> Array:
    """Last output (start, end, output) when every state meets every sequence from step `first` on."""

    def pair(state: PyTree, x: Array) -> Array:
        return _advanced(architecture, prepared, state, x, first, len(x))[1]

    return jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(states, inputs)


def _met(ready: _Ready, states: PyTree, inputs: np.ndarray, first: int) -> Outputs:
    """Outputs of every pair, block by block, so that memory is bounded and few shapes are compiled."""
    numbers = 4 * sum(np.size(s) for s in jax.tree.leaves(ready.start)) + ready.architecture.output_size
    edge = min(BLOCK_EDGE, max(1, isqrt(BLOCK_NUMBERS // numbers)))
    count = len(jax.tree.leaves(states)[0])
    rows = []
    for some in _blocks(count, edge):
        from_states = jax.tree.map(lambda s, some=some: s[some], states)
        row = [
            np.asarray(_last_outputs(ready.architecture, ready.prepared, from_states, inputs[others], first))
            for others in _blocks(len(inputs), edge)
        ]
        rows.append(np.concatenate(row, 1)[:, : len(inputs)])
    outputs = np.concatenate(rows)[:count]
    _refuse_overflow(outputs, ready)
    return outputs if ready.output is None else outputs[..., ready.output, None]


def _blocks(count: int, edge: int) -> Iterator[Int[np.ndarray, " sample"]]:
    """Indices in blocks of one size, at most `edge`; the last sample is repeated to fill the last."""
    blocks = -(-count // edge)
    size = -(-count // blocks)
    return iter(np.minimum(np.arange(blocks * size), count - 1).reshape(blocks, size))


def _refuse_overflow(outputs: Outputs, ready: _Ready) -> None:
    finite = np.isfinite(outputs).all(-1)
    if finite.all():
        return
    start, end = (int(i) for i in np.argwhere(~finite)[0])
    exact = ", or ask start_end_rank, which is exact" if _has_circuit(ready.architecture) else ", or check the weights"
    raise ValueError(
        f"the last output is finite for {finite.sum()} of {finite.size} pairs, the first where it is not is start "
        f"{start} with end {end}: the model leaves the range of floats. Scale the inputs down or shorten them{exact}"
    )


# Cuts of the user's sequences


class _Plan(NamedTuple):
    """Which sequences, or windows of them, meet at which cuts."""

    cuts: tuple[int, ...]
    starts: Float[np.ndarray, "start time input"]
    ends: Float[np.ndarray, "end time input"]
    start_of: Labels
    end_of: Labels


def _planned(sequences: np.ndarray, cuts: Sequence[int] | None, pairs: int, seed: int) -> _Plan:
    length = sequences.shape[1]
    window = length if cuts is not None else min(length, WINDOW)
    cuts = _checked_cuts(cuts, window)
    count, each = len(sequences), length // window
    if count == 1:  # its windows stand for sequences
        sequences = sequences[:, : each * window].reshape(each, window, -1)
        count, each = each, 1
    most = min(isqrt(max(pairs, 0)), count // 2 * each)
    if most < 2:
        raise ValueError(
            f"a cut needs at least 2 starts and 2 ends of different sequences; got {count} sequences or windows and "
            f"pairs={pairs}: give at least 4 sequences and pairs=4"
        )
    rng = np.random.default_rng([seed, 5])
    order, place = rng.permutation(count), rng.permutation(each)
    sides = [_chosen(sequences, half, place, most, window) for half in (order[: count // 2], order[count // 2 :])]
    (starts, start_of), (ends, end_of) = sides
    return _Plan(cuts, starts, ends, start_of, end_of)


def _chosen(
    sequences: np.ndarray,
    which: Int[np.ndarray, " sequence"],
    place: Int[np.ndarray, " window"],
    most: int,
    window: int,
) -> tuple[Float[np.ndarray, "sample time input"], Labels]:
    """Windows and the sequences they are from: one of every sequence before there are two of any."""
    rows = np.arange(most)
    labels, windows = which[rows % len(which)], place[rows // len(which)]
    return np.stack([sequences[s, w * window : (w + 1) * window] for s, w in zip(labels, windows, strict=True)]), labels


def _checked_cuts(cuts: Sequence[int] | None, length: int) -> tuple[int, ...]:
    if length < 2:
        raise ValueError(f"a cut needs a step on both sides, the sequences have {length}; give at least 2 steps")
    if cuts is None:
        after = [2**k for k in range(MOST_AFTER.bit_length()) if 2**k < length]
        return tuple(length - steps for steps in reversed(after))
    if not len(cuts) or not all(1 <= cut < length for cut in cuts):
        raise ValueError(
            f"cuts {list(cuts)} were asked for; they count the steps before the cut, of {length} in all: give one or "
            f"more between 1 and {length - 1}"
        )
    return tuple(int(cut) for cut in cuts)


def _at_cut(ready: _Ready, plan: _Plan, cut: int, part: str) -> tuple[dict[Quantity, Estimate], int, float]:
    """Estimates by quantity, how many starts and ends they took, and the last change of exp(entropy)."""
    states = _after(ready.architecture, ready.prepared, ready.start, plan.starts, cut)

    def meeting(some: slice, others: slice) -> Outputs:
        return _met(ready, jax.tree.map(lambda s: s[some], states), plan.ends[others], cut)

    outputs, change = _grown(meeting, len(plan.starts))
    size = len(outputs)
    estimates = spectrum_of(outputs, plan.start_of[:size], plan.end_of[:size], part)
    return {e.quantity: e for e in estimates}, size, change


def _grown(meeting: Callable[[slice, slice], Outputs], most: int) -> tuple[Outputs, float]:
    """Outputs of so many starts and ends that exp(entropy) settles, and its relative change from half as many."""
    size = min(FEWEST, most)
    outputs = meeting(slice(size), slice(size))
    while True:
        half = -(-size // 2)
        rank = effective_rank(outputs)
        change = abs(rank - effective_rank(outputs[:half, :half])) / max(rank, 1.0)
        if size == most or change < SETTLED:
            return outputs, change
        more = min(2 * size, most)
        right, below = meeting(slice(size), slice(size, more)), meeting(slice(size, more), slice(more))
        outputs, size = np.concatenate([np.concatenate([outputs, right], 1), below]), more


def _profile(
    quantity: Quantity, cuts: tuple[int, ...], found: list[Estimate], about: dict[str, Any], told: tuple[str, ...]
) -> Estimate:
    """Estimates of single cuts as one over cuts."""
    doubts = [f"cut {cut}: {e.cannot_tell}" for cut, e in zip(cuts, found, strict=True) if e.cannot_tell]
    bars = {name: _gathered(name, found) for name in ("standard_error", "low", "high")}
    return Estimate(
        quantity,
        np.array([e.value for e in found]),
        **bars,
        axes={"cut": np.array(cuts)},
        part=found[0].part,
        cannot_tell="; ".join(doubts),
        statistics=about | dict(bias=[e.statistics.get("bias") for e in found]),
        assumptions=told,
        source=SOURCE,
    )


def _gathered(name: str, estimates: list[Estimate]) -> Float[np.ndarray, " cut"] | None:
    """One field of all estimates, NaN where it is None; None where it is so in all."""
    values = np.array([getattr(e, name) for e in estimates], float)
    return None if np.isnan(values).all() else values


def _checked_inputs(
    name: str, data: np.ndarray, model: Model, fewest: int = 2
) -> Float[np.ndarray, "sample time input"]:
    channels, one = model.architecture.input_size, name.removesuffix("s")
    if data.ndim != 3 or data.shape[-1] != channels or len(data) < fewest or data.shape[1] < 1:
        raise ValueError(
            f"{name} must be ({one}, time, {channels}) for this model, with at least {fewest} {name} and 1 step; got "
            f"shape {data.shape}"
        )
    refuse_not_finite(name, data, (one, "step", "channel"))
    return data.astype(np.float64)
