"""The matrices of a linear step over the rational numbers or modulo a prime, from one step on polynomials.

State and input together are numbers k = 0, 1, .., and the k-th is set to z^(k+1), weights being constants. As the step
is linear, what it makes of them are polynomials whose coefficients are rows of the matrices, with offsets at z^0.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

from hitherto.core.model import Model, precision
from hitherto.measures._exact import Numbers, Objects, exact_tree, fitting, held, prepared_exactly
from hitherto.measures._pairs import program
from hitherto.measures._residues import evaluate
from hitherto.measures.linear_system import linear_recurrence, refuse_old_state

FINE = 2**20  # floats that are whole multiples of 1 / FINE, up to FINE, are taken to be meant as they are

Polynomial = Callable[[Sequence[Fraction | int]], Any]  # of coefficients from z^0 on


class ExactSystem(NamedTuple):
    """s[t] = A s[t-1] + B x[t], y[t] = C s[t] + D x[t] in exact numbers.

    Attributes:
        rounded: whether some weights are floats that are no multiples of 2^-20, as training leaves them.
    """

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray
    rounded: bool


def exact_system(model: Model, polynomial: Polynomial) -> ExactSystem:
    """The matrices of a linear model.

    Args:
        model: its weights are arrays of integers, floats or `fractions.Fraction`, and taken as the numbers that they
            are. Where the step takes what is no polynomial of them, that is made in float64.
    Raises:
        ValueError: if the model is not linear, a weight is not finite, or the output reads the state from before the
            step.
        ZeroDivisionError: if `polynomial` has no number for a weight.

    Cost: width^2 products of polynomials for each layer.
    """
    architecture, numbers = linear_recurrence(model), Numbers(lambda value: polynomial([value]))
    with precision(np.float64):
        shapes = fitting(model)
        with jax.disable_jit():  # functions inside would hide the new state from the output
            functions = program(architecture, shapes)
        made, weights = prepared_exactly(model, shapes), exact_tree(model.weights, "weights")
        given = [numbers.of(leaf) for leaf in made or weights]
        prepared = given if made else evaluate(functions.prepare, given, numbers)
        matrices = _matrices(functions.step, prepared, numbers, polynomial)
    floats = [np.asarray(leaf).dtype.kind == "f" for leaf in jax.tree.leaves(model.weights)]
    drawn = made or [leaf for leaf, is_float in zip(weights, floats, strict=True) if is_float]
    return ExactSystem(*matrices, any(map(_rounded, drawn)))


def _rounded(leaf: np.ndarray) -> bool:
    return any(abs(value) > FINE or (value * FINE).denominator > 1 for value in leaf.flat)


def _matrices(step: Any, prepared: list[Any], numbers: Numbers, polynomial: Polynomial) -> tuple[np.ndarray, ...]:
    """A and B from the new state; C and D from the output where that new state is given in place of the old one."""
    shapes = [one.shape for one in step.in_avals[len(prepared) :]]
    sizes = [int(np.prod(shape)) for shape in shapes]
    size, every = sum(sizes[:-1]), iter([polynomial([0] * (k + 1) + [1]) for k in range(sum(sizes))])
    *state, x = (Objects(held(shape, [next(every) for _ in range(n)])) for shape, n in zip(shapes, sizes, strict=True))
    new = zip(step.jaxpr.outvars, state, strict=False)
    instead = {leaf: variables for leaf, variables in new if not isinstance(leaf, Literal)}
    nothing = [numbers.lift(np.zeros(shape)) for shape in shapes[:-1]]
    *after, y = (_rows(one, sum(sizes)) for one in evaluate(step, [*prepared, *state, x], numbers))
    read = _rows(evaluate(step, [*prepared, *nothing, x], numbers, instead)[-1], sum(sizes))
    (A, B), (C, D) = (np.split(rows, [size], 1) for rows in (np.vstack([y[:0], *after]), read))
    refuse_old_state((y != np.hstack([C @ A, C @ B + D])).any())
    return A, B, C, D


def _rows(value: Any, count: int) -> np.ndarray:
    """Coefficients of z, z^2, .. of each number of a value; those of a known one are 0."""
    if not isinstance(value, Objects):
        return np.zeros((value.size, count), int).astype(object)
    return held((value.array.size, count), (number[k + 1] for number in value.array.flat for k in range(count)))
