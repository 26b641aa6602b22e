"""Outputs of a polynomial recurrence for every pair of two groups of inputs, modulo a prime.

The starts of sequences run once; what they leave behind meets every end. All of it is one compiled function over a
block of pairs, small enough for the cache. Callers have switched on wide integers.
"""

from functools import partial
from itertools import groupby, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, UInt32, UInt64

from hitherto.core.model import Recurrence
from hitherto.measures._residues import BITS, LATER, Degrees, ModuloPrime, Prime, beforehand, evaluate

FIRST, SECOND = 128, 256  # samples of each group in a block

Residues = UInt64[np.ndarray, "..."]


class Program(NamedTuple):
    """The functions of an architecture as jaxprs over flat lists of arrays; the step gives (*state, y)."""

    prepare: Any
    start: Any
    step: Any


def program(architecture: Recurrence, shapes: PyTree) -> Program:
    """The program for weights of these shapes.

    Raises:
        ValueError: if the state is complex.
    """
    prepare, prepared = jax.make_jaxpr(architecture.prepare, return_shape=True)(shapes)
    start, state = jax.make_jaxpr(architecture.start, return_shape=True)(shapes)
    x = jax.ShapeDtypeStruct((architecture.input_size,), np.float64)
    if any(np.issubdtype(leaf.dtype, np.complexfloating) for leaf in jax.tree.leaves((prepared, state))):
        raise ValueError(f"{architecture} has a complex state; residues modulo a prime stand for real numbers only")
    return Program(prepare, start, jax.make_jaxpr(architecture.step)(prepared, state, x))


def outputs_of_pairs(
    architecture: Recurrence,
    sides: tuple[bool, ...],
    weights: PyTree,
    prepared: list[Residues] | None,
    first: UInt64[np.ndarray, "first step_first input"],
    second: UInt64[np.ndarray, "second step_second input"],
    prime: int,
    output: int | None,
) -> UInt32[np.ndarray, "first second output"]:
    """y after the last step, times 2^32 modulo the prime, for every pair; a factor that all have changes no rank.

    Args:
        sides: for each step, whether its input comes from the first group.
        weights: residues, in the tree of the architecture.
        prepared: what the step takes, where it is not computed from the weights.
        output: a channel, or None for all.
    """
    blocks = _in_blocks(first, FIRST, prime), _in_blocks(second, SECOND, prime)
    weights, prepared = jax.tree.map(lambda w: _montgomery(w, prime), (weights, prepared))
    channels = architecture.output_size if output is None else 1
    found = np.empty((len(blocks[0]) * FIRST, len(blocks[1]) * SECOND, channels), np.uint32)
    which = np.arange(channels) if output is None else np.array([output])
    for i, j in product(*map(range, map(len, blocks))):
        y = _block(architecture, sides, weights, prepared, blocks[0][i], blocks[1][j], Prime.of(prime), which)
        found[i * FIRST : (i + 1) * FIRST, j * SECOND : (j + 1) * SECOND] = np.moveaxis(y, 0, -1)
    return found[: len(first), : len(second)]


def _in_blocks(samples: Residues, size: int, prime: int) -> list[UInt32[np.ndarray, "step input sample"]]:
    """Blocks of one size, the last filled up with samples that are there already."""
    repeated = np.resize(np.arange(len(samples)), -(-len(samples) // size) * size)
    return [_montgomery(np.moveaxis(samples[some], 0, -1), prime) for some in repeated.reshape(-1, size)]


def _montgomery(residues: Residues, prime: int) -> UInt32[np.ndarray, "..."]:
    return ((residues << np.uint64(BITS)) % np.uint64(prime)).astype(np.uint32)


@partial(jax.jit, static_argnames=("architecture", "sides"))
def _block(
    architecture: Recurrence,
    sides: tuple[bool, ...],
    weights: PyTree,
    prepared: list[Any] | None,
    first: UInt32[Any, "step_first input first"],
    second: UInt32[Any, "step_second input second"],
    prime: Prime,
    which: Any,
) -> UInt32[Any, "output first second"]:
    """Some channels of y for all pairs of a block, step by step in the order of time."""
    functions = program(architecture, jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, np.float64), weights))
    field = ModuloPrime(prime)
    alike = [w[..., None, None] for w in jax.tree.leaves(weights)]
    state = evaluate(functions.start, alike, field)
    made = evaluate(functions.prepare, alike, field) if prepared is None else [w[..., None, None] for w in prepared]
    of_side = {True: first[:, :, :, None], False: second[:, :, None, :]}
    samples: dict[bool, tuple[int, int]] = {True: (first.shape[-1], 1), False: (1, second.shape[-1])}
    reached, begun = (1, 1), {True: 0, False: 0}
    for side, steps in groupby(sides):
        count, reached = len(list(steps)), jnp.broadcast_shapes(reached, samples[side])
        xs = of_side[side][begun[side] : begun[side] + count]
        begun[side] += count
        state = [leaf if _known(leaf) else jnp.broadcast_to(leaf, (*leaf.shape[:-2], *reached)) for leaf in state]
        last = sum(begun.values()) == len(sides)
        state, y = _advanced(functions.step, made, state, xs, field, last)
    y = field.lift(y) if _known(y) else y
    return jnp.broadcast_to(y, (*y.shape[:1], first.shape[-1], second.shape[-1]))[which]


def _advanced(
    step: Any, prepared: list[Any], state: list[Any], xs: Any, field: ModuloPrime, last: bool
) -> tuple[list[Any], Any]:
    """The state after some steps of one group, and y if they are the last ones: steps are written out until known
    parts of the state change no more (a flag that the first input came), and the last one for y; the others are a loop.
    """
    inside: list[Any] = []  # variables that hang on the inputs alone: for every sample once, not for every pair

    def of_inputs(x):
        found = beforehand(step, [*prepared, *[LATER] * len(state), x], field)
        inside[:] = found
        return list(found.values())

    def stepped(state, entering):
        x, made = entering
        *state, y = evaluate(step, [*prepared, *state, x], field, dict(zip(inside, made, strict=True)))
        return state, y

    entering, end, k = (xs, jax.vmap(of_inputs)(xs)), len(xs) - last, 0
    while k < end and not _settled(step, prepared, state):
        state, k = stepped(state, _at(entering, k))[0], k + 1
    moving = [place for place, leaf in enumerate(state) if not _known(leaf)]

    def whole(residues):
        full = list(state)
        for place, leaf in zip(moving, residues, strict=True):
            full[place] = leaf
        return full

    def body(residues, entering):
        after = stepped(whole(residues), entering)[0]
        return [after[place] for place in moving], None

    if k < end:
        state = whole(jax.lax.scan(body, [state[place] for place in moving], _at(entering, slice(k, end)))[0])
    return stepped(state, _at(entering, -1)) if last else (state, None)


def _settled(step: Any, prepared: list[Any], state: list[Any]) -> bool:
    """Whether one more step leaves the known parts of the state as they are, and no others known."""
    known_or_not = [leaf if _known(leaf) else 1 for leaf in state]
    after = evaluate(step, [*[1] * len(prepared), *known_or_not, 1], Degrees())[:-1]
    return all(
        np.array_equal(new, old) if _known(old) and _known(new) else _known(old) == _known(new)
        for old, new in zip(state, after, strict=True)
    )


def _known(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray)


def _at(tree: Any, place: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[place], tree)
