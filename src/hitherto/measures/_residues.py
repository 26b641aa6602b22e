"""A recurrent step read as polynomials: evaluated modulo a prime, or for its degree, from the same JAX function.

Architectures are written once, in floating point. Their steps are traced to a jaxpr, and each of its operations is done
in another arithmetic. An operation that is no polynomial (tanh, exp, a comparison of values) is refused by name.

Residues modulo a prime p, 2^29 < p < 2^30, stand for x as x 2^32 mod p (Montgomery), in unsigned 32-bit integers;
products are 64-bit, four of them fit below 2^32 p, and one reduction a dot product brings them back:
T -> (T + (T q mod 2^32) p) / 2^32 with q = -1/p mod 2^32. Nothing can overflow: every sum is kept below 2^32 p.
"""

import abc
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import UInt32

BITS = 32
SMALLEST_PRIME, LARGEST_PRIME = 2**29, 2**30
TOGETHER = 4  # products of two residues that add up to less than 2^32 p
UNROLLED = 64  # terms of a dot product that are written out; more are a loop
INNER = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}
MOVES = {
    "broadcast_in_dim",
    "concatenate",
    "dynamic_slice",
    "expand_dims",
    "reshape",
    "rev",
    "slice",
    "split",
    "squeeze",
    "stack",
    "transpose",
}
SAME = {"convert_element_type", "copy", "stop_gradient", "optimization_barrier"}

Residues = UInt32[jax.Array, "..."]  # the last two axes are samples of two kinds, or 1 where all have the same


LATER: Any = object()  # stands for an argument that is not there yet


class NotPolynomial(ValueError):
    """An operation of the step is no polynomial of weights, state and inputs."""


class Arithmetic(abc.ABC):
    """What the operations of a polynomial step mean. Known numbers are NumPy arrays, all else is up to it."""

    @abc.abstractmethod
    def lift(self, known: np.ndarray) -> Any:
        """A known number as one of its values."""

    @abc.abstractmethod
    def add(self, x: Any, y: Any) -> Any:
        """x + y, elementwise."""

    @abc.abstractmethod
    def subtract(self, x: Any, y: Any) -> Any:
        """x - y, elementwise."""

    @abc.abstractmethod
    def multiply(self, x: Any, y: Any) -> Any:
        """x y, elementwise."""

    @abc.abstractmethod
    def dot(self, x: Any, y: Any, dimensions: Any) -> Any:
        """`lax.dot_general`."""

    @abc.abstractmethod
    def total(self, x: Any, axes: tuple[int, ...]) -> Any:
        """Sum over axes."""

    @abc.abstractmethod
    def move(self, operation: Callable[..., Any], operands: Sequence[Any], results: int) -> list[Any]:
        """An operation that only moves numbers about, and how many arrays come out."""


def evaluate(
    closed: ClosedJaxpr, arguments: Sequence[Any], arithmetic: Arithmetic, given: Mapping[Any, Any] | None = None
) -> list[Any]:
    """Outputs of a jaxpr; arguments and outputs are values of the arithmetic, or NumPy arrays of known numbers.

    Args:
        given: values of variables inside that are computed already, see `beforehand`.
    Raises:
        NotPolynomial: naming the operation that is none.
    """
    values = _values(closed.jaxpr, closed.consts, arguments, arithmetic, given or {})
    return [_read(atom, values) for atom in closed.jaxpr.outvars]


def beforehand(closed: ClosedJaxpr, arguments: Sequence[Any], arithmetic: Arithmetic) -> dict[Any, Any]:
    """Variables inside a jaxpr, with values, that do not hang on the arguments that are `LATER`."""
    values = _values(closed.jaxpr, closed.consts, arguments, arithmetic, {})
    made = [variable for equation in closed.jaxpr.eqns for variable in equation.outvars]
    return {one: values[one] for one in made if values[one] is not LATER and not _known(values[one])}


def _values(
    jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any], arithmetic: Arithmetic, given: Mapping[Any, Any]
) -> dict[Any, Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    values |= dict(zip(jaxpr.invars, arguments, strict=True)) | dict(given)
    for equation in jaxpr.eqns:
        if all(variable in values for variable in equation.outvars):
            continue
        operands = [_read(atom, values) for atom in equation.invars]
        later = any(operand is LATER for operand in operands)
        found = [LATER] * len(equation.outvars) if later else _operation(equation, operands, arithmetic)
        values |= {one: _known_if_empty(one, value) for one, value in zip(equation.outvars, found, strict=True)}
    return values


def _known_if_empty(variable: Any, value: Any) -> Any:
    """An array without numbers is known, so that sums over it are 0 and hang on nothing."""
    return value if variable.aval.size else np.zeros(variable.aval.shape)


def _read(atom: Any, values: Mapping[Any, Any]) -> Any:
    return np.asarray(atom.val) if isinstance(atom, Literal) else values[atom]


def _operation(equation: Any, operands: list[Any], arithmetic: Arithmetic) -> list[Any]:
    """Outputs of one operation; of known numbers alone it is done as it stands."""
    name, settings = equation.primitive.name, equation.params
    if name in INNER:
        inner = settings.get("jaxpr") or settings.get("call_jaxpr")
        jaxpr, consts = (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        values = _values(jaxpr, consts, operands, arithmetic, {})
        return [_read(atom, values) for atom in jaxpr.outvars]
    bound = partial(equation.primitive.bind, **settings)
    if all(map(_known, operands)):
        with jax.ensure_compile_time_eval():
            found = bound(*map(jnp.asarray, operands))
        return [np.asarray(f) for f in found] if equation.primitive.multiple_results else [np.asarray(found)]
    if name in SAME and np.issubdtype(settings.get("new_dtype", np.float64), np.floating):
        return operands
    if name == "select_n" and _known(operands[0]):
        return [_selected(operands, arithmetic)]
    if name in MOVES:
        return arithmetic.move(bound, _movable(name, operands, arithmetic), len(equation.outvars))
    lifted = [arithmetic.lift(x) if _known(x) else x for x in operands]
    if name in ("cumprod", "reduce_prod"):
        products = _running_products if name == "cumprod" else _products
        return [products(lifted[0], equation.invars[0].aval.shape, settings, arithmetic)]
    return [_polynomial(name, settings, lifted, operands, arithmetic)]


def _polynomial(name: str, settings: Any, lifted: list[Any], operands: list[Any], arithmetic: Arithmetic) -> Any:
    match name:
        case "add" | "add_any":
            return arithmetic.add(*lifted)
        case "sub":
            return arithmetic.subtract(*lifted)
        case "neg":
            return arithmetic.subtract(arithmetic.lift(np.zeros(())), *lifted)
        case "mul":
            return arithmetic.multiply(*lifted)
        case "square":
            return arithmetic.multiply(*lifted, *lifted)
        case "integer_pow" if settings["y"] > 0:
            return reduce(arithmetic.multiply, lifted * settings["y"])
        case "div" if _known(operands[1]) and _powers_of_two(operands[1]):
            return arithmetic.multiply(lifted[0], arithmetic.lift(np.asarray(1 / operands[1])))
        case "dot_general":
            return arithmetic.dot(*lifted, settings["dimension_numbers"])
        case "reduce_sum":
            return arithmetic.total(lifted[0], tuple(settings["axes"]))
        case _:
            raise NotPolynomial(f"its step uses `{name}`, which is no polynomial of weights, state and inputs")


def _powers_of_two(divisor: np.ndarray) -> bool:
    return bool(np.all(np.abs(np.frexp(np.asarray(divisor, np.float64))[0]) == 0.5))


def _pieces(x: Any, axis: int, count: int, arithmetic: Arithmetic, keepdims: bool) -> list[Any]:
    cut = partial(jax.lax.index_in_dim, axis=axis, keepdims=keepdims)
    return [arithmetic.move(partial(cut, index=k), [x], 1)[0] for k in range(count)]


def _products(x: Any, shape: tuple[int, ...], settings: Any, arithmetic: Arithmetic) -> Any:
    for axis in sorted(settings["axes"], reverse=True):
        pieces = _pieces(x, axis, shape[axis], arithmetic, keepdims=False)
        x = reduce(arithmetic.multiply, pieces or [arithmetic.lift(np.ones(shape[:axis] + shape[axis + 1 :]))])
    return x


def _running_products(x: Any, shape: tuple[int, ...], settings: Any, arithmetic: Arithmetic) -> Any:
    axis = settings["axis"]
    pieces = _pieces(x, axis, shape[axis], arithmetic, keepdims=True)
    order = range(len(pieces))[:: -1 if settings["reverse"] else 1]
    for before, k in pairwise(order):
        pieces[k] = arithmetic.multiply(pieces[before], pieces[k])
    return arithmetic.move(lambda *parts: jnp.concatenate(parts, axis), pieces, 1)[0]


def _movable(name: str, operands: list[Any], arithmetic: Arithmetic) -> list[Any]:
    """Known operands of a move are numbers too, but for the places that tell where from."""
    places = {"dynamic_slice": 1}.get(name, len(operands))
    return [arithmetic.lift(x) if _known(x) and k < places else x for k, x in enumerate(operands)]


def _selected(operands: list[Any], arithmetic: Arithmetic) -> Any:
    which, *cases = operands
    if np.ptp(which.astype(int)) == 0:  # one case everywhere
        return cases[int(which.flat[0])]
    lifted = [arithmetic.lift(np.broadcast_to(x, which.shape)) if _known(x) else x for x in cases]
    return arithmetic.move(lambda *x: jax.lax.select_n(jnp.asarray(which), *x), lifted, 1)[0]


def _known(x: Any) -> bool:
    return isinstance(x, np.ndarray)


class Prime(NamedTuple):
    """A prime and q = -1/p mod 2^32; arrays, so that one compiled function serves all primes."""

    p: Any
    q: Any

    @classmethod
    def of(cls, p: int) -> "Prime":
        """The constants of a prime between 2^29 and 2^30.

        Raises:
            ValueError: if it is no such prime; sums would overflow, or inverses be missing.
        """
        from flint import fmpz

        if not SMALLEST_PRIME < p < LARGEST_PRIME or not fmpz(p).is_prime():
            raise ValueError(f"residues need a prime between 2^29 and 2^30, got {p}; give one")
        return cls(np.uint32(p), np.uint32(-pow(p, -1, 2**BITS) % 2**BITS))


class ModuloPrime(Arithmetic):
    """Arithmetic on `Residues`, inside compiled code."""

    def __init__(self, prime: Prime) -> None:
        self.p, self.q = prime
        self.wide = jnp.asarray(self.p).astype(jnp.uint64)

    def lift(self, known: np.ndarray) -> Residues:
        """Known numbers, exactly: a float is a whole number of 53 bits times a power of two."""
        mantissa, exponent = np.frexp(np.asarray(known, np.float64))
        whole = (mantissa * 2.0**53).astype(np.int64)
        exponents, where = np.unique(exponent - 53, return_inverse=True)
        powers = jnp.stack([self._power_of_two(int(e)) for e in exponents] or [jnp.zeros((), jnp.uint32)])
        size = jnp.asarray(np.abs(whole).astype(np.uint64)) % self.wide
        residues = self._reduced(size * powers[where.reshape(known.shape)])
        signed = self.subtract(jnp.zeros((), jnp.uint32), residues)
        return jnp.where(jnp.asarray(whole < 0), signed, residues)[..., None, None]

    def _power_of_two(self, exponent: int) -> jax.Array:
        """2^exponent 2^64 mod p: the second factor 2^32 is taken off by the reduction in `lift`."""
        two, half = jnp.uint64(2), (self.wide + 1) // 2
        base, result = (two if exponent >= 0 else half), jnp.uint64(1)
        for bit in bin(abs(exponent))[2:]:
            result = result * result % self.wide
            result = result * base % self.wide if bit == "1" else result
        for _ in range(2):
            result = (result << jnp.uint64(BITS)) % self.wide
        return result

    def _reduced(self, total: jax.Array) -> Residues:
        """T / 2^32 mod p of T < 2^32 p."""
        factor = _wide(total.astype(jnp.uint32) * self.q)
        return self._once((total + factor * _wide(self.p) >> jnp.uint64(BITS)).astype(jnp.uint32))

    def _once(self, x: jax.Array) -> Residues:
        """x mod p of x < 2 p: below p, x - p wraps around to something larger than x."""
        return jnp.minimum(x, x - self.p)

    def add(self, x: Residues, y: Residues) -> Residues:
        """x + y mod p."""
        return self._once(x + y)

    def subtract(self, x: Residues, y: Residues) -> Residues:
        """x - y mod p."""
        difference = x - y
        return jnp.minimum(difference, difference + self.p)

    def multiply(self, x: Residues, y: Residues) -> Residues:
        """x y mod p."""
        return self._reduced(_wide(x) * _wide(y))

    def total(self, x: Residues, axes: tuple[int, ...]) -> Residues:
        """Sum over axes; as wide integers, of which 2^34 residues fit."""
        return (x.astype(jnp.uint64).sum(axes) % self.wide).astype(jnp.uint32)

    def dot(self, x: Residues, y: Residues, dimensions: Any) -> Residues:
        """`lax.dot_general` over the logical axes."""
        (along_x, along_y), (batch_x, batch_y) = dimensions
        x, batch, free_x = _arranged(x, batch_x, along_x)
        y, _, free_y = _arranged(y, batch_y, along_y)
        total = self._sum_of_products(x[:, :, None], y[:, None])
        return total.reshape(*batch, *free_x, *free_y, *total.shape[-2:])

    def _sum_of_products(self, x: jax.Array, y: jax.Array) -> Residues:
        """Sum over the third axis from the end; x and y broadcast against each other elsewhere."""
        terms = x.shape[-3]
        if terms == 0:
            shape = jnp.broadcast_shapes(x.shape[:-3] + x.shape[-2:], y.shape[:-3] + y.shape[-2:])
            return jnp.zeros(shape, jnp.uint32)
        if terms > UNROLLED:
            return self._long_sum(jnp.moveaxis(x, -3, 0), jnp.moveaxis(y, -3, 0))
        products = [_wide(x[..., k, :, :]) * _wide(y[..., k, :, :]) for k in range(terms)]
        groups = [reduce(operator.add, products[k : k + TOGETHER]) for k in range(0, terms, TOGETHER)]
        return self._reduced(reduce(lambda total, group: self._below(total + group), groups))

    def _long_sum(self, x: jax.Array, y: jax.Array) -> Residues:
        def body(total, pair):
            return self._below(total + _wide(pair[0]) * _wide(pair[1])), None

        shape = jnp.broadcast_shapes(x.shape[1:], y.shape[1:])
        return self._reduced(jax.lax.scan(body, jnp.zeros(shape, jnp.uint64), (x, y))[0])

    def _below(self, total: jax.Array) -> jax.Array:
        """A sum of two numbers below 2^32 p, brought below 2^32 p again."""
        limit = self.wide << jnp.uint64(BITS)
        return jnp.where(total >= limit, total - limit, total)

    def move(self, operation: Callable[..., Any], operands: Sequence[Any], results: int) -> list[Residues]:
        """The operation on the logical axes, for every sample."""
        samples = jnp.broadcast_shapes(*(x.shape[-2:] for x in operands if not _known(x)))
        full = [x if _known(x) else jnp.broadcast_to(x, (*x.shape[:-2], *samples)) for x in operands]
        axes = [None if _known(x) else -1 for x in full]
        moved = jax.vmap(jax.vmap(operation, axes, -1), axes, -1)(*full)
        return list(moved) if results > 1 else [moved]


def _wide(x: Residues) -> jax.Array:
    """As 64-bit integers; widened in the place of use, so that the compiler knows the upper halves to be zero."""
    return x.astype(jnp.uint64)


def _arranged(x: Residues, batch: Sequence[int], along: Sequence[int]) -> tuple[Residues, tuple, tuple]:
    """x as (batch, free, along, first, second), each group flat; and the shapes of batch and free."""
    logical = x.shape[:-2]
    free = [axis for axis in range(len(logical)) if axis not in (*batch, *along)]
    groups = [tuple(logical[axis] for axis in group) for group in (batch, free, along)]
    order = [*batch, *free, *along, len(logical), len(logical) + 1]
    sizes = [int(np.prod(group)) for group in groups]
    return x.transpose(order).reshape(*sizes, *x.shape[-2:]), groups[0], groups[1]


class Degrees(Arithmetic):
    """Arithmetic on degrees in what is random, whole numbers: of an array, the largest of its entries."""

    def lift(self, known: np.ndarray) -> int:
        """Known numbers have degree 0.

        Raises:
            NotPolynomial: if they are no numbers.
        """
        if not np.isfinite(known).all():
            raise NotPolynomial(f"its step holds {known[~np.isfinite(known)][0]}, which is no number")
        return 0

    def of(self, fractions: np.ndarray) -> int:
        """Weights have degree 0."""
        return 0

    def add(self, x: int, y: int) -> int:
        """A sum has the larger."""
        return max(x, y)

    subtract = add

    def multiply(self, x: int, y: int) -> int:
        """Products add them."""
        return x + y

    def dot(self, x: int, y: int, dimensions: Any) -> int:
        """A sum of products."""
        return x + y

    def total(self, x: int, axes: tuple[int, ...]) -> int:
        """A sum."""
        return x

    def move(self, operation: Callable[..., Any], operands: Sequence[Any], results: int) -> list[int]:
        """The largest of what is moved."""
        return [max(x for x in operands if not _known(x))] * results
