"""Polynomials that a model computes: their degree in the inputs, their growth, and their values in fractions.

The model's own step is done in another arithmetic: polynomials modulo a prime, numbers with error bounds, fractions.
"""

import random
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import numpy as np
from flint import arb, ctx, fmpq, fmpz, nmod_poly
from jaxtyping import Shaped

from hitherto.core.model import Model, precision
from hitherto.core.quantity import INPUT_DEGREE, LOG2_GROWTH, POLYNOMIAL_DEGREE, Estimate
from hitherto.measures._exact import Numbers, Objects, Step, exact, held, steps_of
from hitherto.measures._residues import Degrees

PRIMES = 2**60, 2**61
MOST_DEGREE = 10**5
FEWEST_BITS, MOST_BITS = 128, 2**16  # of numbers with bounds of their errors
SURE_BITS = 40  # of a number whose logarithm is told
SOURCE = "our derivation (polynomials modulo a random prime near 2^61 along a random line)"


def polynomial_degree(model: Model, steps: int, *, lagged: bool = False, seed: int = 0) -> tuple[Estimate, ...]:
    """Degree of every layer's state and of the output in the inputs, exactly, with the weights that the model has.

    The inputs run along a random line, x[s] = a_s + b_s z, and the step is done with polynomials in z modulo a random
    prime near 2^61. Weights are taken as the fractions that they are.

    Args:
        steps: how many.
        lagged: the degree in one input alone, x[t-j] for j = 0, 1, .., in place of that in x[1..t]; an input comes
            before it.
        seed: of the prime, a and b.
    Returns:
        `input_degree` by lag or `polynomial_degree` by step: one for each leaf of the state, with `part`
        `layer 0` and on in a stack, and the output's last. What is identically zero has the degree -inf, also at lags
        that have not come through yet.
    Raises:
        ValueError: if the model has no step forward or is no polynomial, a weight is not finite, or the degree may
            exceed 100,000: then ask the closed form in `theory.depth_degree`.

    Cost: some 10 microseconds an operation of the step, and the degree times as much where it is high.
    Does not tell: the degree can be too low, with a probability of about the degree / 2^60.
    Source: our derivation.
    """
    _refuse_steps(steps)
    draw, channels, lead = random.Random(seed), model.architecture.input_size, int(lagged)
    prime = _prime(draw)
    inputs = (_line(draw, prime, channels, moving=not lagged or t == lead) for t in range(steps + lead))
    with precision(np.float64):
        _refuse_degree(model, steps)
        parts = _parts(model)
        found = [_degrees(step) for step in steps_of(model, Numbers(partial(_residue, prime)), inputs)][lead:]
    quantity, axis = (INPUT_DEGREE, "lag") if lagged else (POLYNOMIAL_DEGREE, "step")
    along = np.arange(steps) + (not lagged)
    return tuple(
        Estimate(
            quantity,
            np.array(curve),
            np.zeros(steps),
            axes={axis: along},
            part=part,
            statistics={"prime": prime},
            source=SOURCE,
        )
        for part, curve in zip(parts, zip(*found, strict=True), strict=True)
    )


def log2_growth(model: Model, level: float | int, steps: int) -> Estimate:
    """log2 |y[t]|, largest channel, for the constant input `level` in every channel, t = 1..T.

    One layer that multiplies grows as 2^(c t), as any automaton with weights does; L layers as 2^(c t^L), which fewer
    layers cannot follow.

    Returns:
        `LOG2_GROWTH`, -inf where the output is 0. It cannot be told where 2^16 bits do not part the output from 0.
    Raises:
        ValueError: if the model has no step forward or is no polynomial, or a weight or the level is not finite.

    Cost: some 10 microseconds an operation; numbers of any size with bounds of their errors, whose bits are doubled
    until the output is known to 40 of them.
    Source: our derivation.
    """
    _refuse_steps(steps)
    bits = FEWEST_BITS
    while True:
        with ctx.workprec(bits):
            sizes = _sizes(model, level, steps)
            logs, unsure = [_log2(size) for size in sizes], [t for t in range(steps) if not _sure(sizes[t])]
        if not unsure or bits == MOST_BITS:
            break
        bits *= 2
    return Estimate(
        LOG2_GROWTH,
        np.array([value for value, _ in logs]),
        np.array([error for _, error in logs]),
        axes={"step": np.arange(1, steps + 1)},
        cannot_tell=f"{bits} bits do not part the output of step {unsure[0] + 1} from 0" if unsure else "",
        statistics={"bits": bits},
        source="our derivation",
    )


def exact_outputs(model: Model, inputs: Shaped[np.ndarray, "time input"]) -> np.ndarray:
    """y[1..T] as fractions, for weights and inputs taken as the fractions that they are; (time, output) objects.

    Raises:
        ValueError: if the model has no step forward or is no polynomial, a number is not finite, or the inputs have
            another number of channels.

    Cost: some microseconds an operation; the fractions grow with the steps.
    """
    channels, outputs = model.architecture.input_size, model.architecture.output_size
    if inputs.ndim != 2 or inputs.shape[1] != channels:
        raise ValueError(
            f"the model takes {channels} input channels, got inputs {inputs.shape}; give (time, {channels})"
        )
    arithmetic = Numbers(lambda fraction: fraction)
    given = [arithmetic.of(row) for row in exact(inputs, "inputs")]
    with precision(np.float64):
        found = [step.output.array for step in steps_of(model, arithmetic, given)]
    return np.array(found, object).reshape(len(inputs), outputs)


def _refuse_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"polynomials were asked for over {steps} steps; give at least 1")


def _refuse_degree(model: Model, steps: int) -> None:
    """Refuse what is no polynomial, or may be of a degree that takes too long."""
    for step in steps_of(model, Degrees(), [1] * steps):
        if (bound := max(*step.state, step.output)) > MOST_DEGREE:
            raise ValueError(
                f"the degree after {steps} steps may be {bound}, and exact polynomials are made up to {MOST_DEGREE:,}; "
                "ask for fewer steps, or the closed form in theory.depth_degree"
            )


def _prime(draw: random.Random) -> int:
    while not fmpz(number := draw.randrange(*PRIMES)).is_prime():
        pass
    return number


def _residue(prime: int, fraction: Fraction) -> nmod_poly:
    return nmod_poly([fraction.numerator * pow(fraction.denominator, -1, prime) % prime], prime)


def _line(draw: random.Random, prime: int, channels: int, moving: bool) -> Objects:
    """a + b z in every channel, or a alone."""
    drawn = ([draw.randrange(1, prime) for _ in range(1 + moving)] for _ in range(channels))
    return Objects(held((channels,), (nmod_poly(coefficients, prime) for coefficients in drawn)))


def _degrees(step: Step) -> list[float]:
    return [max(map(_degree, value.array.ravel())) for value in (*step.state, step.output)]


def _degree(polynomial: nmod_poly) -> float:
    return float(polynomial.degree()) if polynomial else -np.inf


def _parts(model: Model) -> list[str]:
    """Names of the leaves of the state, `layer 0` and on for a stack, and of the output."""
    state = jax.eval_shape(model.architecture.start, model.weights)
    return [_part(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)] + ["output"]


def _part(path: tuple[Any, ...]) -> str:
    names = [f"layer {key.idx}" if hasattr(key, "idx") else str(key).strip(".") for key in path]
    return " ".join(name for name in names if name != "h") or "state"


def _sizes(model: Model, level: float | int, steps: int) -> list[arb]:
    """The largest |y[t]| of all channels, with bounds of their errors, in the working precision."""
    arithmetic = Numbers(lambda fraction: arb(fmpq(fraction.numerator, fraction.denominator)))
    given = arithmetic.of(exact(np.array([level] * model.architecture.input_size, object), "levels"))
    with precision(np.float64):
        outputs = [step.output.array for step in steps_of(model, arithmetic, [given] * steps)]
    return [max(map(abs, values), key=lambda size: float(size.abs_upper().log())) for values in outputs]


def _sure(size: arb) -> bool:
    """Whether it is 0 without error, or known to some digits."""
    return size.is_zero() or size.rel_accuracy_bits() >= SURE_BITS


def _log2(size: arb) -> tuple[float, float]:
    """With its error; of a number that may be 0 as far as it is known."""
    if size.is_zero():
        return -np.inf, 0.0
    log = (size if size > 0 else size.abs_upper()).log() / arb(2).log()
    return float(log.mid()), float(log.rad()) if size > 0 else np.inf
