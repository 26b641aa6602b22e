"""Linear recurrences: whether a model is one, and its matrices, in one form for all families and stacks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, Inexact, PyTree
from scipy.linalg import solve_triangular

from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, Recurrence, State, Weights, precision
from hitherto.measures._exact import fitting, fresh_shapes, goes_forward, paths
from hitherto.measures._residues import Degrees, NotPolynomial, evaluate


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """s[t] = A s[t-1] + B x[t] + state_offset,  y[t] = C s[t] + D x[t] + output_offset.

    s is the flat state, layer after layer; complex modes are pairs of real numbers.

    Attributes:
        A, B, C, D: for a stack h[t, l] = W_l h[t-1, l] + U_l h[t, l-1] with readout V of the top, the blocks of A are
            A_ij = U_i ... U_(j+1) W_j for i >= j, those of B are U_i ... U_1; C = (0, ..., 0, V) and D = 0.
        spread: what noise on the new state of each layer adds to the state of the same step: the identity for one
            layer, blocks U_i ... U_(j+1) for i >= j in a stack.
        state_offset, output_offset: what biases add.
        layers: which part of s each layer owns, lowest first.
    """

    A: Float[np.ndarray, "state state"]
    B: Float[np.ndarray, "state input"]
    C: Float[np.ndarray, "output state"]
    D: Float[np.ndarray, "output input"]
    spread: Float[np.ndarray, "state state"]
    state_offset: Float[np.ndarray, " state"]
    output_offset: Float[np.ndarray, " output"]
    layers: tuple[slice, ...]

    @property
    def eigenvalues(self) -> Complex[np.ndarray, " state"]:
        """Those of A, layer by layer, since no layer sees those above it."""
        return block_eigenvalues(self.A, self.layers)

    @property
    def radius(self) -> float:
        """The largest modulus of an eigenvalue; below 1 old inputs are forgotten."""
        return float(np.abs(self.eigenvalues).max(initial=0.0))


def block_eigenvalues(
    A: Inexact[np.ndarray, "state state"], layers: tuple[slice, ...]
) -> Complex[np.ndarray, " state"]:
    """Eigenvalues of a block triangular matrix, block by block."""
    found = [np.linalg.eigvals(A[layer, layer]) for layer in layers]
    return np.concatenate(found).astype(complex)


def is_linear(model: Model | Architecture) -> bool:
    """Whether the step is affine in state and input jointly, told from its operations, whatever the weights.

    So activations of the state and of the output count alike, and a product of state and input stays one where its
    weights are zero. Nothing is run. False may also mean an operation that is not recognised, such as a division in a
    step of your own; `linear_system` names it.

    Raises:
        ValueError: if the model has no step from state to state, as with two directions, or a complex state.
    """
    return not _nonlinearity(_recurrence(model), _shapes(model))


def linear_system(model: Model) -> LinearSystem:
    """The matrices of a linear model, by differentiating its step at zero.

    Args:
        model: any recurrence that `is_linear`; its weights are taken in float64.
    Raises:
        ValueError: as for `linearised`, or if the step is not linear, naming the operation.

    Cost: state^3 products, memory state^2.
    Source: differentiation; the form of a stack is our derivation.
    """
    architecture = linear_recurrence(model)
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape), jax.eval_shape(architecture.start, _shapes(model)))
    return linearised(model, state, np.zeros(architecture.input_size))


def linear_recurrence(model: Model) -> Recurrence:
    """The architecture of a linear model with finite weights.

    Raises:
        ValueError: if the model is none, naming the operation or the weight.
    """
    architecture, given = _recurrence(model), _shapes(model)
    _refuse_not_finite(model.weights, "weights")
    if reason := _nonlinearity(architecture, given):
        raise ValueError(
            f"a linear model was asked for, but {architecture} is not linear: {reason}; take a linear one, or "
            "`linearised` for its matrices at an operating point"
        )
    return architecture


def linearised(model: Model, state: State, x: Float[np.ndarray, " input"]) -> LinearSystem:
    """The matrices of the step at an operating point: right to first order in the distances from it.

    Args:
        model: any recurrence; its weights are taken in float64.
        state, x: s[t-1], in the form of the architecture's own states, and x[t].
    Raises:
        ValueError: if the model has no step from state to state, if weights, state, input or slopes are not finite, if
            shapes do not fit, or if the output reads the state from before the step.

    Cost: as for `linear_system`. Does not tell how far from the point it holds.
    """
    architecture, given = _recurrence(model), _shapes(model)
    _refuse_not_finite(model.weights, "weights")
    _refuse_not_finite((state, x), "state and x")
    _refuse_another_form(jax.eval_shape(architecture.start, given), state)
    if np.shape(x) != (architecture.input_size,):
        raise ValueError(
            f"x has shape {np.shape(x)}, an input of the model has ({architecture.input_size},); give that"
        )
    with precision(np.float64):
        point = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (model.weights, state, x))
        values, slopes = jax.tree.map(np.asarray, _derivatives(architecture, *point))
    _refuse_not_finite(slopes, "slopes")
    return _collapsed(values, slopes, _slices(architecture, state), _flat(state), x)


def _recurrence(model: Model | Architecture) -> Recurrence:
    architecture = model.architecture if isinstance(model, Model) else model
    if not goes_forward(architecture):
        raise ValueError(
            f"{architecture} is no causal recurrence: it has no step from state to state; give a model that goes "
            "forward in time, of two directions the forward one"
        )
    return architecture  # type: ignore[return-value]


def _shapes(model: Model | Architecture) -> PyTree:
    """The shapes of the weights, which must be real and those that the architecture takes."""
    if isinstance(model, Model) and any(map(np.iscomplexobj, jax.tree.leaves(model.weights))):
        raise ValueError(f"{model.architecture} has complex weights or states; carry them as pairs of real numbers")
    with precision(np.float64):
        return fitting(model) if isinstance(model, Model) else fresh_shapes(model)


def _refuse_not_finite(tree: PyTree, name: str) -> None:
    for path, leaf in paths(tree):
        wrong = np.argwhere(~np.isfinite(np.asarray(leaf, float)))
        if len(wrong):
            found, place = np.asarray(leaf)[tuple(wrong[0])], tuple(wrong[0].tolist())
            raise ValueError(f"{name}{jax.tree_util.keystr(path)} hold {found} at {place}; give finite numbers")


def _nonlinearity(architecture: Recurrence, given: PyTree) -> str:
    """Why the step is not linear; "" if it is."""
    with precision(np.float64):
        prepared, state = jax.eval_shape(architecture.prepare, given), jax.eval_shape(architecture.start, given)
        x = jax.ShapeDtypeStruct((architecture.input_size,), np.float64)
        step = jax.make_jaxpr(architecture.step)(prepared, state, x)
        degrees = [0] * len(jax.tree.leaves(prepared)) + [1] * len(jax.tree.leaves((state, x)))
        try:
            found = evaluate(step, degrees, Degrees())
        except NotPolynomial as error:
            return str(error)
    degree = max((one for one in found if isinstance(one, int)), default=0)
    return f"its step multiplies state and inputs, up to degree {degree}" if degree > 1 else ""


def _refuse_another_form(wanted: PyTree, state: State) -> None:
    forms = [jax.tree.map(np.shape, tree) for tree in (wanted, state)]
    if jax.tree.structure(wanted) != jax.tree.structure(state) or forms[0] != forms[1]:
        raise ValueError(f"the state has the form {forms[1]}, the model's has {forms[0]}; give that form")


@partial(jax.jit, static_argnums=0)
def _derivatives(architecture: Recurrence, weights: Weights, state: State, x: Array) -> tuple[Any, Any]:
    """(new state, y), both flat, and the derivatives of the two together by old state, x, and new state.

    By the new state: of y, and of what layers make of the new states below them, each of these taken as given.
    """
    prepared = architecture.prepare(weights)
    after, y = architecture.step(prepared, state, x)
    flat, rebuild = ravel_pytree(state)
    step = _parted(architecture, prepared, state, x)

    def parted(old: Array, x: Array, new: Array) -> Array:
        return ravel_pytree(step(*jax.tree.leaves((prepared, rebuild(old), x, rebuild(new)))))[0]

    new = ravel_pytree(after)[0]
    return (new, y), jax.jacfwd(parted, (0, 1, 2))(flat, x, new)


def _parted(architecture: Recurrence, prepared: PyTree, state: State, x: Array) -> Callable[..., list[Array]]:
    """The step as (*prepared, *state, x, *new) -> (*state, y), where whatever reads the state it makes reads `new`."""
    with jax.disable_jit():
        traced = jax.make_jaxpr(lambda prepared, state, x, new: architecture.step(prepared, state, x))
        step = traced(prepared, state, x, state)
    leaves = len(jax.tree.leaves(state))
    made, y = step.jaxpr.outvars[:leaves], step.jaxpr.outvars[leaves:]
    new = step.jaxpr.invars[len(step.jaxpr.invars) - leaves :]
    instead = {leaf: given for leaf, given in zip(made, new, strict=True) if not isinstance(leaf, Literal)}

    def renamed(atoms: Iterable[Any]) -> list[Any]:
        return [atom if isinstance(atom, Literal) else instead.get(atom, atom) for atom in atoms]

    equations = [equation.replace(invars=renamed(equation.invars)) for equation in step.jaxpr.eqns]
    jaxpr = step.jaxpr.replace(eqns=equations, outvars=[*made, *renamed(y)])
    return jaxpr_as_fun(ClosedJaxpr(jaxpr, step.consts))


def _collapsed(
    values: tuple[np.ndarray, np.ndarray],
    slopes: tuple[np.ndarray, ...],
    layers: tuple[slice, ...],
    state: Float[np.ndarray, " state"],
    x: Float[np.ndarray, " input"],
) -> LinearSystem:
    """The system of s = recurrent s[t-1] + entering x + between s, solved for s layer by layer."""
    (after, y), size = values, len(state)
    (recurrent, before), (entering, direct), (between, readout) = (np.split(slope, [size]) for slope in slopes)
    refuse_old_state(before.any())
    within = np.zeros_like(between)
    for layer in layers:
        within[layer, layer] = between[layer, layer]
    rows = np.hstack([between - within, recurrent, entering])
    if within.any():  # cells whose state has parts that read each other
        rows = np.linalg.solve(np.eye(size) - within, rows)
    links, driven = rows[:, :size], np.hstack([rows[:, size:], np.eye(size)])
    collapsed = solve_triangular(np.eye(size) - links, driven, lower=True, unit_diagonal=True)
    A, B, spread = np.split(collapsed, [size, size + len(x)], 1)
    offsets = after - A @ state - B @ x, y - readout @ after - direct @ x
    return LinearSystem(A, B, readout, direct, spread, *offsets, layers)


def refuse_old_state(read: bool | np.bool_) -> None:
    """Refuses an output that reads the state from before the step.

    Raises:
        ValueError: if it is read.
    """
    if read:
        raise ValueError(
            "y[t] = C s[t] + D x[t] was asked for, but the output reads the state from before the step; let it read "
            "the new state, or keep the old one in that"
        )


def _slices(architecture: Recurrence, state: State) -> tuple[slice, ...]:
    ends = np.cumsum([0, *_sizes(architecture, state)]).tolist()
    return tuple(slice(*both) for both in pairwise(ends))


def _sizes(architecture: Architecture, state: State) -> list[int]:
    """Numbers in the state of each layer, lowest first."""
    if not isinstance(architecture, Deep):
        return [len(_flat(state))]
    return [size for layer, own in zip(architecture.layers, state, strict=True) for size in _sizes(layer, own)]


def _flat(state: State) -> Float[np.ndarray, " state"]:
    return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(state))])
