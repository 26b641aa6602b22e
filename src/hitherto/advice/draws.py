"""One draw of a small cell: how far it carries signals, and how fast gradients move each lag."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hitherto.advice.candidates import Candidate
from hitherto.advice.cells import Array, Cell, drawn

WIDTH, PAIRS, BURN, SHORTEST, LONGEST, ASKED = 32, 8, 32, 32, 256, 8
LEVEL = 0.01  # of the peak, where a horizon ends
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Draw:
    """What was measured.

    Attributes:
        lags: at which `speeds` are known.
        speeds: |d r_j / d weights|^2, where r_j is the mean response of one output to its input j steps ago: how fast
            gradient descent moves lag j, which for linear cells is the memory prior rho_j.
        horizon: lag from which |dh[t]/dx[t-k]| stays below 1% of its peak; None if not within `reach`.
        reach: the longest lag that was followed.
        lyapunov: the largest exponent, per step.
        norm: largest singular value of the recurrent matrix, where there is one; else None.
    """

    lags: Int[np.ndarray, " lag"]
    speeds: Float[np.ndarray, " lag"]
    horizon: int | None
    reach: int
    lyapunov: float
    norm: float | None


def draw(candidate: Candidate, lag: int, seed: int = 0) -> Draw:
    """Measure the law of a candidate at a width of at most 32, driven by white noise.

    Args:
        lag: that is wanted; it is followed twice as far, but from 32 up to 256 steps.
    Raises:
        ValueError: for a family without a cell.

    Cost: a few hundred steps forward, and backward for about ten lags.
    Source: our derivation; for a linear cell the speeds are those of `measures.tangent_kernel.memory_prior`.
    """
    rng = np.random.default_rng(seed)
    cell = drawn(candidate, min(candidate.width, WIDTH), rng)
    reach = min(max(2 * lag, SHORTEST), LONGEST)
    return measured(cell, np.append(np.geomspace(1, reach, ASKED).astype(int), [0, min(lag, reach), reach]), rng)


def measured(cell: Cell, lags: Int[np.ndarray, " any"], rng: np.random.Generator) -> Draw:
    """Measure a cell at some lags, up to the largest.

    One input is +1 in half of the sequences and -1 in the other, all else being equal: half of the difference is the
    response to it, free of noise from the other inputs however small it is.
    """
    lags, reach = np.unique(lags), int(max(lags))
    inputs = np.tile(rng.standard_normal((BURN + reach + 1, PAIRS, cell.entering.shape[1])), (1, 2, 1))
    inputs[BURN, :PAIRS, 0], inputs[BURN, PAIRS:, 0] = 1.0, -1.0
    run = _forward(cell, inputs)
    single = not cell.bilinear and len(cell.biases) == cell.width
    return Draw(
        lags=lags,
        speeds=_speeds(cell, run, lags),
        horizon=_horizon(cell, run),
        reach=reach,
        lyapunov=_lyapunov(cell, run, rng),
        norm=float(np.linalg.norm(cell.recurrent[0], 2)) if single else None,
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """Inputs, extended inputs, states before each step, h after it, and derivatives: time first, run last but one."""

    inputs: Array
    extended: Array
    states: Array
    hidden: Array
    by_blocks: Array
    by_states: Array


def _forward(cell: Cell, inputs: Array) -> _Run:
    state = np.zeros((cell.parts, inputs.shape[1], cell.width))
    ones = np.ones((*inputs.shape[:2], 1))
    extended = np.concatenate([ones, inputs], -1) if cell.bilinear else ones
    kept = []
    for x, u in zip(inputs, extended, strict=True):
        blocks = _meeting(cell, state[0], u) + x @ cell.entering.T + cell.biases
        new, by_blocks, by_states = cell.step(_cut(blocks, cell.width), state)
        kept.append((state, new[0], by_blocks, by_states))
        state = new
    return _Run(inputs, extended, *(np.stack(part) for part in zip(*kept, strict=True)))


def _meeting(cell: Cell, h: Array, u: Array) -> Array:
    """(sum over e of recurrent_e u_e) h, for h (..., run, unit)."""
    return sum((h @ matrix.T) * u[:, [e]] for e, matrix in enumerate(cell.recurrent))


def _returned(cell: Cell, blocks: Array, u: Array) -> Array:
    """The transpose of `_meeting`, for blocks (..., run, block unit)."""
    return sum((blocks @ matrix) * u[:, [e]] for e, matrix in enumerate(cell.recurrent))


def _cut(blocks: Array, width: int) -> Array:
    """(..., run, block unit) -> (..., block, run, unit)."""
    return np.moveaxis(blocks.reshape(*blocks.shape[:-1], -1, width), -2, -3)


def _pushed(cell: Cell, run: _Run, time: int, change: Array) -> Array:
    """A small change of the state (..., part, run, unit), one step on."""
    blocks = _cut(_meeting(cell, change[..., 0, :, :], run.extended[time]), cell.width)
    direct = np.einsum("pqbn,...qbn->...pbn", run.by_states[time], change)
    return np.einsum("pgbn,...gbn->...pbn", run.by_blocks[time], blocks) + direct


def _lyapunov(cell: Cell, run: _Run, rng: np.random.Generator) -> float:
    """Mean logarithmic growth of one direction a sequence."""
    direction, growth = rng.standard_normal(run.states.shape[1:]), 0.0
    direction /= _sizes(direction)
    for time in range(len(run.inputs)):
        direction = _pushed(cell, run, time, direction)
        size = _sizes(direction)
        direction, growth = direction / size, growth + float(np.log(size).mean())
    return growth / len(run.inputs)


def _sizes(direction: Array) -> Array:
    """Lengths by run, of all parts of a state together."""
    return np.sqrt(np.square(direction).sum((0, 2), keepdims=True)) + TINY


def _horizon(cell: Cell, run: _Run) -> int | None:
    """From the typical size of the gradient, exp of the mean logarithm."""
    runs = run.states.shape[2]
    entering = _cut(np.repeat(cell.entering.T[:, None], runs, 1), cell.width)
    change, curve = np.einsum("pgbn,...gbn->...pbn", run.by_blocks[BURN], entering), []
    for time in range(BURN + 1, len(run.inputs) + 1):
        curve.append(np.log(np.square(change[:, 0]).sum((0, -1)) + TINY).mean() / 2)
        if time < len(run.inputs):
            change = _pushed(cell, run, time, change)
    first = int(np.flatnonzero(np.array(curve) >= max(curve) + np.log(LEVEL))[-1]) + 1
    return first if first < len(curve) else None


def _speeds(cell: Cell, run: _Run, lags: Int[np.ndarray, " lag"]) -> Float[np.ndarray, " lag"]:
    """Squared gradients of the responses at all lags, by one sweep backward."""
    signs = np.repeat([1.0, -1.0], PAIRS) / (2 * PAIRS)
    blocks = _backward(cell, run, lags, signs)
    extended = run.extended[:, :, :, None] * run.states[:, 0, :, None]
    found = [np.einsum("b,mbn->mn", signs, run.hidden[BURN + lags])]
    for trained, entered in ((cell.meets, extended), (cell.enters, run.inputs)):
        rows = entered.reshape(-1, entered[0, 0].size)
        found.append((np.moveaxis(blocks, 1, -1) @ rows * trained[:, None]).reshape(len(lags), -1))
    vectors = (cell.meets,) if cell.bilinear else (cell.meets, cell.enters)  # of biases, each trained for itself
    found += [blocks.sum(1) * trained for trained in vectors]
    return sum(np.square(part).sum(1) for part in found)


def _backward(
    cell: Cell, run: _Run, lags: Int[np.ndarray, " lag"], signs: Float[np.ndarray, " run"]
) -> Float[np.ndarray, "lag time_and_run block_unit"]:
    """What changes of the pre-activations of every step and run do to the response at each lag."""
    back = np.zeros((len(lags), *run.states.shape[1:]))
    found = np.zeros((len(run.inputs), len(lags), len(signs), len(cell.biases)))
    for time in range(BURN + int(lags[-1]), -1, -1):
        back[lags + BURN == time, 0] += signs[:, None] * cell.readout[0]
        moved = np.einsum("pgbn,mpbn->mbgn", run.by_blocks[time], back)
        found[time] = moved.reshape(found[time].shape)
        back = np.einsum("pqbn,mpbn->mqbn", run.by_states[time], back)
        back[:, 0] += _returned(cell, found[time], run.extended[time])
    return np.moveaxis(found, 0, 1).reshape(len(lags), -1, len(cell.biases))
