"""Cells that no theory of learning covers, in NumPy: step and derivative, with weights drawn by the law of a candidate.

An answer in seconds has no time to compile, so these cells stand here once more beside `architectures`; tests hold
them to those. Entering a step are pre-activations a = (sum over e of recurrent_e u_e) h + entering x + biases, in
blocks, with u = (1, x) for second-order cells and u = (1) for others. From there on all is elementwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from hitherto.advice.candidates import Candidate, Start

Array = Float[np.ndarray, "..."]
# blocks (block, run, unit) and state (part, run, unit) -> new state, its derivatives (part, block, run, unit) by the
# blocks and (part, part, run, unit) by the old state
Step = Callable[[Array, Array], tuple[Array, Array, Array]]
BLOCKS = {"rnn": 1, "2rnn": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True, eq=False)
class Cell:
    """Weights of a cell, and what it does with its pre-activations.

    Attributes:
        recurrent: (extended input, block unit, unit); the extended input is 1, and x where inputs multiply h.
        entering: (block unit, input).
        biases: (block unit), the sum of all bias vectors.
        readout: (output, unit).
        meets, enters: whether the weights of a block unit from h and from x are trained; those that are not are zero.
        parts: of the state; the first is h.
        step: what follows.
    """

    recurrent: Array
    entering: Array
    biases: Array
    readout: Array
    meets: np.ndarray
    enters: np.ndarray
    parts: int
    step: Step

    @property
    def width(self) -> int:
        """Units."""
        return self.recurrent.shape[-1]

    @property
    def bilinear(self) -> bool:
        """Whether inputs multiply h."""
        return len(self.recurrent) > 1


def drawn(candidate: Candidate, width: int, rng: np.random.Generator) -> Cell:
    """A cell by the law of a candidate, of another width.

    Raises:
        ValueError: for an lru, which theory covers.
    """
    if candidate.family not in BLOCKS:
        raise ValueError(f"a draw of {candidate.family!r} was asked for; there is {', '.join(BLOCKS)}")
    if candidate.start.law not in ("pytorch", "gates"):
        return _normal(candidate, width, rng)
    d, rows, bound = candidate.channels, BLOCKS[candidate.family] * width, width**-0.5

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape)

    biases = uniform(rows) if candidate.family == "2rnn" else uniform(rows) + uniform(rows)
    if candidate.start.law == "gates":
        for block, added in gate_biases(candidate.family, candidate.start, width).items():
            biases[block * width : (block + 1) * width] += added
    cell = _cell(candidate, uniform(1, rows, width), uniform(rows, d), biases, uniform(d, width))
    if candidate.family != "2rnn":
        return cell
    return replace(cell, recurrent=np.concatenate([cell.recurrent, uniform(d, rows, width) / d**0.5]))


def gate_biases(family: str, start: Start, width: int) -> dict[int, Float[np.ndarray, " unit"]]:
    """What is added to biases, by block: a gate sigmoid(ln(tau - 1)) keeps 1 - 1/tau of the old state.

    The times tau are spread evenly on a logarithmic axis; the input gate of an LSTM lets in the share that is lost.
    """
    kept = np.log(np.geomspace(start.low, start.high, width) - 1)
    return {1: kept, 0: -kept} if family == "lstm" else {1: kept}


def _normal(candidate: Candidate, width: int, rng: np.random.Generator) -> Cell:
    """A plain cell with an orthogonal recurrent matrix, normal input and readout weights, and no biases."""
    d, start = candidate.channels, candidate.start
    q, r = np.linalg.qr(rng.standard_normal((width, width)))
    recurrent = start.high**0.5 * q * np.sign(np.diagonal(r))
    entering = (start.entering / d) ** 0.5 * rng.standard_normal((width, d))
    readout = (start.readout / width) ** 0.5 * rng.standard_normal((d, width))
    return _cell(candidate, recurrent[None], entering, np.zeros(width), readout)


def _cell(candidate: Candidate, recurrent: Array, entering: Array, biases: Array, readout: Array) -> Cell:
    trained = np.ones(len(biases), bool)
    if candidate.family == "gru":
        return _gru(recurrent, entering, biases, readout)
    parts = 2 if candidate.family == "lstm" else 1
    steps = {"lstm": _lstm_step, "tanh": _tanh_step, "linear": _linear_step}
    return Cell(recurrent, entering, biases, readout, trained, trained, parts, steps[candidate.activation or "lstm"])


def _gru(recurrent: Array, entering: Array, biases: Array, readout: Array) -> Cell:
    """The candidate's block in two: what comes from x, and what comes from h and meets the reset gate."""
    width = recurrent.shape[-1]
    both = np.ones(2 * width, bool)
    one, none = np.ones(width, bool), np.zeros(width, bool)
    return Cell(
        recurrent=np.concatenate([recurrent[0, : 2 * width], np.zeros((width, width)), recurrent[0, 2 * width :]])[
            None
        ],
        entering=np.concatenate([entering, np.zeros((width, entering.shape[1]))]),
        biases=np.concatenate([biases, biases[2 * width :]]) * np.repeat([1, 1, 0.5**0.5, 0.5**0.5], width),
        readout=readout,
        meets=np.concatenate([both, none, one]),
        enters=np.concatenate([both, one, none]),
        parts=1,
        step=_gru_step,
    )


def _linear_step(a: Array, state: Array) -> tuple[Array, Array, Array]:
    return a, np.ones_like(a)[None], np.zeros_like(state)[None]


def _tanh_step(a: Array, state: Array) -> tuple[Array, Array, Array]:
    h = np.tanh(a)
    return h, 1 - h[None] ** 2, np.zeros_like(state)[None]


def _lstm_step(a: Array, state: Array) -> tuple[Array, Array, Array]:
    """State (h, c), blocks i, f, g, o."""
    i, f, o = (_sigmoid(a[block]) for block in (0, 1, 3))
    g, old = np.tanh(a[2]), state[1]
    c = f * old + i * g
    seen = np.tanh(c)
    cell_by_blocks = np.stack([i * (1 - i) * g, f * (1 - f) * old, i * (1 - g**2), np.zeros_like(c)])
    shown = o * (1 - seen**2)
    hidden_by_blocks = shown * cell_by_blocks
    hidden_by_blocks[3] = o * (1 - o) * seen
    by_states = np.zeros((2, *state.shape))
    by_states[0, 1], by_states[1, 1] = shown * f, f
    return np.stack([o * seen, c]), np.stack([hidden_by_blocks, cell_by_blocks]), by_states


def _gru_step(a: Array, state: Array) -> tuple[Array, Array, Array]:
    """State h, blocks r, z, and the candidate's from x and from h."""
    r, z = _sigmoid(a[0]), _sigmoid(a[1])
    n = np.tanh(a[2] + r * a[3])
    let_in = (1 - z) * (1 - n**2)
    by_blocks = np.stack([let_in * a[3] * r * (1 - r), z * (1 - z) * (state[0] - n), let_in, let_in * r])
    return ((1 - z) * n + z * state[0])[None], by_blocks[None], z[None, None]


def _sigmoid(a: Array) -> Array:
    return 0.5 * (1 + np.tanh(a / 2))
