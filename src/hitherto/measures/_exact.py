"""Models as exact numbers, and their steps in any arithmetic of Python objects: fractions, polynomials, balls."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from hitherto.architectures.wrappers import StepFunction
from hitherto.core.model import Architecture, Model, Recurrence
from hitherto.measures._pairs import program
from hitherto.measures._residues import LATER, Arithmetic, Degrees, NotPolynomial, beforehand, evaluate


class Objects(NamedTuple):
    """Numbers of one kind, as an array of Python objects; wrapped, since bare arrays are known numbers."""

    array: Any


def held(shape: tuple[int, ...], values: Iterable[Any]) -> np.ndarray:
    """An array of objects into which NumPy does not look, though polynomials are sequences."""
    array = np.empty(math.prod(shape), object)
    for place, value in enumerate(values):
        array[place] = value
    return array.reshape(shape)


class Numbers(Arithmetic):
    """Arithmetic of one kind of numbers, which add and multiply with each other by Python's operators."""

    def __init__(self, number: Callable[[Fraction], Any]) -> None:
        self.number = number

    def lift(self, known: np.ndarray) -> Objects:
        """Known numbers, by way of the fractions that they are."""
        return self.of(exact(known, "the step's constants"))

    def of(self, fractions: np.ndarray) -> Objects:
        """Fractions as numbers of the kind."""
        return Objects(held(np.shape(fractions), map(self.number, fractions.flat)))

    def add(self, x: Objects, y: Objects) -> Objects:
        """x + y."""
        return Objects(x.array + y.array)

    def subtract(self, x: Objects, y: Objects) -> Objects:
        """x - y."""
        return Objects(x.array - y.array)

    def multiply(self, x: Objects, y: Objects) -> Objects:
        """x y."""
        return Objects(x.array * y.array)

    def dot(self, x: Objects, y: Objects, dimensions: Any) -> Objects:
        """`lax.dot_general`."""
        along, (batch_x, batch_y) = dimensions
        if batch_x or batch_y:
            raise NotPolynomial("its step multiplies matrices in batches, which exact numbers are not made for")
        product = np.tensordot(x.array, y.array, along)
        return Objects(product if isinstance(product, np.ndarray) else held((), [product]))

    def total(self, x: Objects, axes: tuple[int, ...]) -> Objects:
        """Sum over axes."""
        return Objects(x.array.sum(axes, keepdims=True).squeeze(axes))

    def move(self, operation: Callable[..., Any], operands: Sequence[Any], results: int) -> list[Objects]:
        """The operation on the places of the numbers, then the numbers at those places."""
        arrays = [x.array for x in operands if isinstance(x, Objects)]
        pool = np.concatenate([array.ravel() for array in arrays])
        firsts = iter(np.cumsum([0, *(array.size for array in arrays)]))
        places = [
            jnp.asarray(next(firsts) + np.arange(x.array.size).reshape(x.array.shape), jnp.int32)
            if isinstance(x, Objects)
            else x
            for x in operands
        ]
        moved = operation(*places)
        return [Objects(pool[np.ravel(where)].reshape(where.shape)) for where in (moved if results > 1 else [moved])]


def goes_forward(architecture: Architecture) -> bool:
    """Whether it has a step from state to state in all its layers."""
    layers = getattr(architecture, "layers", ())
    return isinstance(architecture, Recurrence) and architecture.causal and all(map(goes_forward, layers))


def fitting(model: Model) -> PyTree:
    """The shapes of the weights, which must be those that the architecture takes."""
    given = shapes_of(model.weights)
    if isinstance(model.architecture, StepFunction):
        return given
    fresh = fresh_shapes(model.architecture)
    if isinstance(model.weights, tuple) and len(model.weights) != len(fresh):
        raise ValueError(
            f"there are weights of {len(model.weights)} layers, and {len(fresh)} layers; give each its own"
        )
    taken = {jax.tree_util.keystr(path): leaf.shape for path, leaf in paths(fresh)}
    if missing := taken.keys() - {jax.tree_util.keystr(path) for path, _ in paths(given)}:
        raise ValueError(f"weights{min(missing)} are missing; give them in shape {taken[min(missing)]}")
    for path, leaf in paths(given):
        name = jax.tree_util.keystr(path)
        if leaf.shape != taken.get(name, leaf.shape):
            raise ValueError(f"weights{name} have shape {leaf.shape}, the layer takes {taken[name]}; give that shape")
    states = (paths(jax.eval_shape(model.architecture.start, tree)) for tree in (given, fresh))
    for (path, made), (_, wanted) in zip(*states, strict=True):
        if made.shape != wanted.shape:
            raise ValueError(
                f"the initial_h of state{jax.tree_util.keystr(path)} has shape {made.shape}, the layer takes "
                f"{wanted.shape}; give that shape"
            )
    return given


def prepared_exactly(model: Model, shapes: PyTree) -> list[Any] | None:
    """What the step takes, in float64 and from there on exact, where it is no polynomial of the weights."""
    prepare = program(model.architecture, shapes).prepare  # type: ignore[arg-type]
    try:
        evaluate(prepare, [1] * len(prepare.in_avals), Degrees())
    except NotPolynomial:
        weights = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), model.weights)
        return exact_tree(model.architecture.prepare(weights), "prepared weights")  # type: ignore[attr-defined]
    return None


def exact_tree(tree: PyTree, name: str) -> list[np.ndarray]:
    """All arrays of a tree as fractions, in the order of its leaves."""
    return [exact(leaf, f"{name}{jax.tree_util.keystr(path)}") for path, leaf in paths(tree)]


def exact(array: Any, name: str) -> np.ndarray:
    """Numbers as fractions; a float is one."""
    array = np.asarray(array)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} are complex; residues modulo a prime stand for real numbers, give a real model")
    found = np.empty(array.shape, object)
    for place, value in np.ndenumerate(array):
        try:
            found[place] = Fraction(value.item() if isinstance(value, np.generic) else value)
        except (ValueError, OverflowError, TypeError) as error:
            raise ValueError(f"{name} hold {value} at {place}; exact arithmetic needs finite numbers") from error
    return found


def paths(tree: PyTree) -> list[tuple[Any, Any]]:
    """Leaves with where they are, to speak of them."""
    return jax.tree_util.tree_leaves_with_path(tree)


def fresh_shapes(architecture: Architecture) -> PyTree:
    """Shapes of fresh weights in float64; none is drawn."""
    return jax.eval_shape(lambda: architecture.init(jax.random.key(0), jnp.float64))


def shapes_of(weights: PyTree) -> PyTree:
    """Shapes of given weights, as if in float64."""
    return jax.tree.map(lambda w: jax.ShapeDtypeStruct(np.shape(w), np.float64), weights)


class Step(NamedTuple):
    """Numbers after a step: the leaves of the state in the order of its tree, and the outputs."""

    state: list[Any]
    output: Any


def steps_of(model: Model, arithmetic: Numbers | Degrees, inputs: Iterable[Any]) -> Iterator[Step]:
    """The model's steps over inputs that are values of the arithmetic, as long as there are any.

    Raises:
        ValueError: if the step is no polynomial, by the operation that is none; or a weight is not finite.
    """
    if not goes_forward(model.architecture):
        raise ValueError(
            f"{model.architecture} has no step from state to state; give a model that goes forward in time"
        )
    shapes = fitting(model)
    functions = program(model.architecture, shapes)  # type: ignore[arg-type]
    made = prepared_exactly(model, shapes)
    weights = [arithmetic.of(leaf) for leaf in exact_tree(model.weights, "weights")]
    try:
        state = evaluate(functions.start, weights, arithmetic)
        given = made and [arithmetic.of(leaf) for leaf in made]
        prepared = given or evaluate(functions.prepare, weights, arithmetic)
        ready = beforehand(functions.step, [*prepared, *[LATER] * (len(state) + 1)], arithmetic)
        for x in inputs:
            *state, y = evaluate(functions.step, [*prepared, *state, x], arithmetic, ready)
            yield Step([_lifted(value, arithmetic) for value in state], _lifted(y, arithmetic))
    except NotPolynomial as error:
        told = f"exact numbers were asked of {model.architecture}, but {error}; give a polynomial cell"
        raise ValueError(told) from error


def _lifted(value: Any, arithmetic: Arithmetic) -> Any:
    return arithmetic.lift(value) if isinstance(value, np.ndarray) else value
