"""Separation rank of polynomial recurrent models across a cut in time, exact, by arithmetic modulo primes.

y(start, end) is evaluated for many starts and ends modulo a prime, and the matrix Y[i, j] = y(start i, end j)
eliminated. Its rank is never above the separation rank, for any prime and any samples, and equal to it for almost all.
"""

import random
import warnings
from collections.abc import Collection
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree, Shaped, UInt32

from hitherto.core.model import Architecture, Model, Recurrence, precision
from hitherto.core.names import known
from hitherto.core.quantity import START_END_RANK, START_END_RANKS, Estimate
from hitherto.measures._exact import (
    exact,
    exact_tree,
    fitting,
    fresh_shapes,
    goes_forward,
    paths,
    prepared_exactly,
    shapes_of,
)
from hitherto.measures._pairs import FIRST, Residues, outputs_of_pairs, program
from hitherto.measures._residues import LARGEST_PRIME, SMALLEST_PRIME, Degrees, NotPolynomial, evaluate

DRAWS = 2  # of primes, weights and inputs
MARGIN = 6  # samples beyond the rank
MOST_SAMPLES = 6000  # the list that is eliminated takes 36 bytes an entry
WEIGHTS = ("given", "random")
JOINT = "joint"

Inputs = str | int | Shaped[np.ndarray, "templates input"]


def start_end_rank(
    model: Model | Architecture,
    start: int,
    end: int,
    *,
    inputs: Inputs = "continuous",
    weights: str | None = None,
    output: int | str | None = None,
    bound: int | None = None,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
) -> Estimate:
    """The least K with y = sum over k <= K of g_k(start) g'_k(end), y the output after `start` + `end` steps.

    Args:
        model: any recurrent model whose step is a polynomial of state, input and weights: an `ArithmeticCircuit`, a
            `SecondOrderRNN` without activation, a linear layer, stacks of them, a step of your own by `adapt`. Its
            weights are taken as they are: a float is a whole number times a power of two, arrays of integers and
            of `fractions.Fraction` hold what they hold. For an architecture they are random.
        start, end: steps before and after the cut.
        inputs: what the inputs range over. `continuous`: all vectors; `one-hot`: unit vectors; a number Z: that many
            random templates; an array: the rows are the templates, exactly.
        weights: `random` replaces those of a model by random ones, shape by shape: the rank of almost every such model.
        output: which channel of y; `joint` for all of them together as one function of (end, channel). By default each.
        bound: a proven upper bound on the rank, such as `generic_rank(..).upper_bound`. A rank that reaches it needs
            no probability.
        seed: of primes, weights and inputs.
        most_samples: starts and ends at most.
    Returns:
        `START_END_RANK`, a Python integer, or `START_END_RANKS` for several outputs. In `statistics`: `status`
        (`certified`: proven; `exact with error probability <= ..`; `>= 12`: a lower bound, also told by `cannot_tell`;
        `zero function`), `error_probability`, `primes`, `samples` of starts and ends, `degree`, `bound`.
    Raises:
        ValueError: for lengths below 1, a step that is no polynomial, weights that are not finite real numbers,
            templates that do not fit, or a bound that is exceeded.

    A rank is too small only if an (rank + 1)-minor that is not zero vanishes at random points modulo the prime: with
    probability at most (rank + 1) degree / p in each of two independent draws (Schwartz and Zippel), p > 2^29, and if
    both primes divide what they must not, which random primes do with a negligible probability that is not counted.
    Cost: samples^2 x end steps, and an elimination, samples^3; 36 bytes an entry of Y.
    Source: our derivation; the rank is defined by Cohen and Shashua (2016), its use for recurrent circuits by Levine et
    al. (2017), arXiv 1710.09431.
    """
    _lengths(start=start, end=end)
    sides = (True,) * start + (False,) * end
    with precision(np.float64):
        return _rank(_circuit(model, weights, inputs), sides, output, bound, seed, most_samples)


def partition_rank(
    model: Model | Architecture,
    length: int,
    times: Collection[int],
    *,
    inputs: Inputs = "continuous",
    weights: str | None = None,
    output: int | str | None = None,
    bound: int | None = None,
    seed: int = 0,
    most_samples: int = MOST_SAMPLES,
) -> Estimate:
    """The rank between any group of times and all others; `start_end_rank` is that of the first steps.

    Args:
        length: steps in all.
        times: of the first group, from 1 to `length`; some, not all. The others are as for `start_end_rank`.
    Raises:
        ValueError: for times that do not part the sequence; and as for `start_end_rank`.

    Cost: samples^2 x steps from the first change of groups on.
    """
    _lengths(length=length)
    group = frozenset(times)
    if not group < frozenset(range(1, length + 1)) or not group:
        raise ValueError(f"the times {sorted(group)} do not part the steps 1..{length}; give some of them, not all")
    sides = tuple(t in group for t in range(1, length + 1))
    with precision(np.float64):
        return _rank(_circuit(model, weights, inputs), sides, output, bound, seed, most_samples)


class _Circuit(NamedTuple):
    """What is evaluated.

    Attributes:
        weights: exact numbers as fractions, or None in place of random ones, leaf by leaf.
        prepared: the same for what `step` takes, where that is no polynomial of the weights; None if it is.
        shapes: of the weights, in the tree of the architecture.
        templates: exact rows, their number for random ones, or None for continuous inputs.
        starts_at_zero: whether an `initial_h` is given that is zero.
    """

    architecture: Recurrence
    weights: list[Any]
    prepared: list[Any] | None
    shapes: PyTree
    templates: Any
    starts_at_zero: bool = False


class _Draw(NamedTuple):
    """What one prime told."""

    rank: int
    prime: int
    starts: int
    ends: int
    proven: bool  # no rank can be higher
    sure: bool  # up to the error probability


def _rank(
    circuit: _Circuit, sides: tuple[bool, ...], output: int | str | None, bound: int | None, seed: int, most: int
) -> Estimate:
    """The ranks of the outputs that were asked for."""
    _lengths(most_samples=most)
    degree, channels = _degree(circuit, len(sides)), circuit.architecture.output_size
    if isinstance(output, str):
        known(output, (JOINT,), "choice of outputs")
    elif output is not None and not 0 <= output < channels:
        raise ValueError(f"output {output} was asked for, there are 0..{channels - 1}; give one of them")
    asked = range(channels) if output is None else [output]
    found = [_one(circuit, sides, one, bound, degree, seed, most) for one in asked]
    if circuit.starts_at_zero and not any(estimate.value for estimate in found):
        warnings.warn("an initial_h of zeros makes the output zero for all inputs", stacklevel=3)
    return found[0] if len(found) == 1 else _together(found)


def _one(
    circuit: _Circuit, sides: tuple[bool, ...], output: int | str, bound: int | None, degree: int, seed: int, most: int
) -> Estimate:
    """The rank of one output, or of all jointly, from independent draws."""
    draws: list[_Draw] = []
    while len(draws) < DRAWS and not any(draw.proven for draw in draws):
        draws.append(_drawn(circuit, sides, output, bound, random.Random(f"{seed} {len(draws)}"), most))
    rank = max(draw.rank for draw in draws)
    if bound is not None and rank > bound:
        raise ValueError(f"the rank is at least {rank}, so {bound} is no upper bound on it; give a proven one")
    return _answer(rank, draws, degree, bound)


def _circuit(model: Model | Architecture, weights: str | None, inputs: Inputs) -> _Circuit:
    """The model as exact numbers, with everything about it checked."""
    architecture = model.architecture if isinstance(model, Model) else model
    if not goes_forward(architecture):
        raise ValueError(f"{architecture} has no step from state to state; give a model that goes forward in time")
    chosen = known(weights or ("given" if isinstance(model, Model) else "random"), WEIGHTS, "choice of weights")
    templates = _templates(inputs, architecture.input_size)
    if chosen == "random":
        shapes = shapes_of(model.weights if isinstance(model, Model) else fresh_shapes(architecture))
        return _Circuit(architecture, [None] * len(jax.tree.leaves(shapes)), None, shapes, templates)
    if not isinstance(model, Model):
        raise ValueError(f"the weights of {architecture} were asked for, but it has none; give a Model or 'random'")
    exact, shapes = exact_tree(model.weights, "weights"), fitting(model)
    named = zip(paths(shapes), exact, strict=True)
    zero = any("initial_h" in jax.tree_util.keystr(path) and not leaf.any() for (path, _), leaf in named)
    return _Circuit(architecture, exact, prepared_exactly(model, shapes), shapes, templates, zero)


def _templates(inputs: Inputs, size: int) -> Any:
    """Exact rows, a number of random ones, or None for continuous inputs."""
    if isinstance(inputs, np.ndarray):
        if inputs.ndim != 2 or inputs.shape[1] != size or not len(inputs):
            raise ValueError(f"templates of shape {inputs.shape} were given; give rows of {size} features")
        return exact(inputs, "templates")
    if isinstance(inputs, int):
        _lengths(inputs=inputs)
        return inputs
    known(inputs, ("continuous", "one-hot"), "kind of inputs")
    return exact(np.eye(size), "templates") if inputs == "one-hot" else None


def _degree(circuit: _Circuit, length: int) -> int:
    """Degree of y in all that is drawn at random."""
    functions, degrees = program(circuit.architecture, circuit.shapes), Degrees()
    weights = [int(leaf is None) for leaf in circuit.weights]
    x = int(circuit.templates is None or isinstance(circuit.templates, int))
    try:
        state = evaluate(functions.start, weights, degrees)
        given = circuit.prepared is not None
        prepared = [0] * len(circuit.prepared or ()) if given else evaluate(functions.prepare, weights, degrees)
        for _ in range(length):
            *state, y = evaluate(functions.step, [*prepared, *state, x], degrees)
    except NotPolynomial as error:
        raise ValueError(
            f"{circuit.architecture} has no exact separation rank: {error}; `separation_spectrum` measures any model"
        ) from error
    return y if isinstance(y, int) else 0


class _Residues(NamedTuple):
    """A circuit modulo one prime; templates are None for continuous inputs."""

    weights: PyTree
    prepared: list[Residues] | None
    templates: Residues | None


def _drawn(
    circuit: _Circuit, sides: tuple[bool, ...], output: int | str, bound: int | None, draw: random.Random, most: int
) -> _Draw:
    """The rank at one prime; samples are doubled until they exceed the rank, or nothing is left to try."""
    prime = _prime(circuit, draw)
    residues = _modulo_prime(circuit, prime, draw)
    if output == JOINT:
        most = max(1, int(most / circuit.architecture.output_size**0.5))  # the columns are (end, output)
    count = min(FIRST if bound is None or bound + MARGIN > most else bound + MARGIN, most)
    while True:
        starts, ends = (
            _samples(circuit, residues, sides.count(side), count, most, prime, draw) for side in (True, False)
        )
        outputs = outputs_of_pairs(
            circuit.architecture,
            sides,
            residues.weights,
            residues.prepared,
            starts.values,
            ends.values,
            prime,
            None if output == JOINT else output,
        )
        matrix = outputs.reshape(len(outputs), -1)
        rank, whole = _eliminated(matrix, prime), starts.whole and ends.whole
        limits = [size for size, all_there in zip(matrix.shape, (starts.whole, ends.whole), strict=True) if all_there]
        proven = rank >= min(limits + [bound] * (bound is not None), default=rank + 1)
        # parts of a grid are not generic points: there a rank that stays is no more than a lower bound
        part = circuit.templates is not None and not whole
        enough = count >= (2 * rank + 32 if part else rank + MARGIN)
        if proven or whole or enough or count >= most:
            return _Draw(rank, prime, len(starts.values), len(ends.values), proven, whole or (enough and not part))
        count = min(2 * count, most)


def _prime(circuit: _Circuit, draw: random.Random) -> int:
    """A random prime that divides no number but 0, above or below the line."""
    from flint import fmpz

    leaves = (*circuit.weights, *(circuit.prepared or ()), circuit.templates)
    exact = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
    numbers = {part for leaf in exact for value in leaf.flat for part in value.as_integer_ratio()} - {0}
    while True:
        prime = draw.randrange(SMALLEST_PRIME, LARGEST_PRIME)
        if fmpz(prime).is_prime() and all(number % prime for number in numbers):
            return prime


def _modulo_prime(circuit: _Circuit, prime: int, draw: random.Random) -> _Residues:
    shapes = [leaf.shape for leaf in jax.tree.leaves(circuit.shapes)]
    leaves = [
        _uniform(shape, prime, draw) if leaf is None else _modulo(leaf, prime)
        for leaf, shape in zip(circuit.weights, shapes, strict=True)
    ]
    templates = circuit.templates
    if isinstance(templates, int):
        templates = _uniform((templates, circuit.architecture.input_size), prime, draw)
    elif templates is not None:
        templates = _modulo(templates, prime)
    prepared = None if circuit.prepared is None else [_modulo(leaf, prime) for leaf in circuit.prepared]
    return _Residues(jax.tree.unflatten(jax.tree.structure(circuit.shapes), leaves), prepared, templates)


def _uniform(shape: tuple[int, ...], prime: int, draw: random.Random) -> Residues:
    return np.random.default_rng(draw.getrandbits(64)).integers(prime, size=shape, dtype=np.uint64)


def _modulo(exact: np.ndarray, prime: int) -> Residues:
    """n / d mod p, entry by entry."""
    flat = [value.numerator * pow(value.denominator, -1, prime) % prime for value in exact.flat]
    return np.array(flat, np.uint64).reshape(exact.shape)


class _Samples(NamedTuple):
    """Sequences of one group of times, and whether they are all there are."""

    values: Residues  # (sample, step, input)
    whole: bool


def _samples(
    circuit: _Circuit, residues: _Residues, steps: int, count: int, most: int, prime: int, draw: random.Random
) -> _Samples:
    if residues.templates is None:
        return _Samples(_uniform((count, steps, circuit.architecture.input_size), prime, draw), False)
    kinds = len(residues.templates)
    if kinds**steps <= most:
        return _Samples(residues.templates[np.array(list(product(range(kinds), repeat=steps)))], True)
    chosen: set[int] = set()
    while len(chosen) < count:
        chosen.add(draw.randrange(kinds**steps))
    digits = [[one // kinds**k % kinds for k in range(steps)] for one in sorted(chosen)]
    return _Samples(residues.templates[np.array(digits)], False)


def _eliminated(matrix: UInt32[np.ndarray, "row column"], prime: int) -> int:
    from flint import nmod_mat

    return int(nmod_mat(*matrix.shape, matrix.ravel().tolist(), prime).rank())


def _answer(rank: int, draws: list[_Draw], degree: int, bound: int | None) -> Estimate:
    proven, sure = any(draw.proven for draw in draws), any(draw.sure for draw in draws)
    chances = [min(1.0, (rank + 1) * degree / draw.prime) for draw in draws]
    probability = 0.0 if proven else float(np.prod(chances))
    status = f"exact with error probability <= {probability:.1g}" if sure else f">= {rank}"
    if rank == 0:
        status = "zero function"
    elif proven:
        status = "certified"
    last = draws[-1]
    short = f"the rank is at least {rank}: {last.starts} starts and {last.ends} ends do not decide it"
    return Estimate(
        START_END_RANK,
        rank,
        standard_error=0.0,
        cannot_tell="" if proven or sure else short,
        statistics={
            "status": status,
            "error_probability": probability,
            "primes": [draw.prime for draw in draws],
            "samples": [last.starts, last.ends],
            "degree": degree,
            "bound": bound,
        },
        assumptions=() if proven else ("the primes, drawn at random, divide no minor that decides the rank",),
        source="elimination modulo random primes; our derivation",
    )


def _together(found: list[Estimate]) -> Estimate:
    """The estimates of several outputs as one."""
    each = [e.statistics for e in found]
    states = [one["status"] for one in each]
    statistics = {
        "status": states[0] if len(set(states)) == 1 else "; ".join(f"{k}: {state}" for k, state in enumerate(states)),
        "error_probability": max(one["error_probability"] for one in each),
        "primes": each[0]["primes"],
        "samples": np.max([one["samples"] for one in each], 0).tolist(),
        "degree": each[0]["degree"],
        "bound": each[0]["bound"],
    }
    return Estimate(
        START_END_RANKS,
        np.array([e.value for e in found], float),
        standard_error=np.zeros(len(found)),
        axes={"output": np.arange(len(found))},
        cannot_tell="; ".join(f"output {k}: {e.cannot_tell}" for k, e in enumerate(found) if e.cannot_tell),
        statistics=statistics,
        assumptions=tuple(dict.fromkeys(one for e in found for one in e.assumptions)),
        source=found[0].source,
    )


def _lengths(**lengths: int) -> None:
    for name, length in lengths.items():
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"a separation rank was asked for with {name}={length!r}; give a whole number from 1 on")
