"""Polynomials that a model computes: their degree in the inputs, their growth, and their values in fractions.

The model's own step is done in another arithmetic: polynomials modulo a prime, numbers with error bounds, fractions.
"""

import random
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from flint import arb, ctx, fmpq, nmod_poly
from jaxtyping import Shaped

from hitherto.core.model import Model, precision
from hitherto.core.quantity import INPUT_DEGREE, LOG2_GROWTH, POLYNOMIAL_DEGREE, Estimate
from hitherto.measures._exact import Numbers, Objects, Step, exact, held, steps_of
from hitherto.measures._residues import Degrees

PRIME = 2**61 - 1
MOST_DEGREE = 10**5
BITS = 128  # of numbers with bounds of their errors
SOURCE = "our derivation (polynomials modulo 2^61 - 1 along a random line)"


def polynomial_degree(model: Model, steps: int, *, lagged: bool = False, seed: int = 0) -> tuple[Estimate, ...]:
    """Degree of every layer's state and of the output in the inputs, exactly, with the weights that the model has.

    The inputs run along a random line, x[s] = a_s + b_s z, and the step is done with polynomials in z modulo a prime.
    Weights are taken as the fractions that they are.

    Args:
        steps: how many.
        lagged: the degree in one input alone, x[t-j] for j = 0, 1, .., in place of that in x[1..t]; an input comes
            before it.
        seed: of a and b.
    Returns:
        `input_degree` by lag or `polynomial_degree` by step: one for each leaf of the state, with `part`
        `layer 0` and on in a stack, and the output's last. What is identically zero has the degree -inf.
    Raises:
        ValueError: if the model is no polynomial, a weight is not finite, or the degree may exceed 100,000: then ask
            the closed form in `theory.depth_degree`.

    Cost: some 10 microseconds an operation of the step, and the degree times as much where it is high.
    Does not tell: the degree can be too low, with a probability of about the degree / 2^61.
    Source: our derivation.
    """
    _refuse_steps(steps)
    draw, channels, lead = random.Random(seed), model.architecture.input_size, int(lagged)
    inputs = (_line(draw, channels, moving=not lagged or t == lead) for t in range(steps + lead))
    with precision(np.float64):
        _refuse_degree(model, steps)
        parts = _parts(model)
        found = [_degrees(step) for step in steps_of(model, Numbers(_number), inputs)][lead:]
    quantity, axis = (INPUT_DEGREE, "lag") if lagged else (POLYNOMIAL_DEGREE, "step")
    along = np.arange(steps) + (not lagged)
    return tuple(
        Estimate(
            quantity,
            np.array(curve),
            np.zeros(steps),
            axes={axis: along},
            part=part,
            statistics={"prime": PRIME},
            source=SOURCE,
        )
        for part, curve in zip(parts, zip(*found, strict=True), strict=True)
    )


def log2_growth(model: Model, level: float | int, steps: int) -> Estimate:
    """log2 |y[t]|, largest channel, for the constant input `level` in every channel, t = 1..T.

    One layer that multiplies grows as 2^(c t), as any automaton with weights does; L layers as 2^(c t^L), which fewer
    layers cannot follow.

    Raises:
        ValueError: if the model is no polynomial, or a weight or the level is not finite.

    Cost: some 10 microseconds an operation; numbers of any size, 128 bits with a bound of their error.
    Source: our derivation.
    """
    _refuse_steps(steps)
    arithmetic = Numbers(lambda fraction: arb(fmpq(fraction.numerator, fraction.denominator)))
    given = arithmetic.of(exact(np.full(model.architecture.input_size, float(level)), "the level"))
    before, ctx.prec = ctx.prec, BITS
    try:
        with precision(np.float64):
            logs = [_log2(step.output) for step in steps_of(model, arithmetic, [given] * steps)]
    finally:
        ctx.prec = before
    return Estimate(
        LOG2_GROWTH,
        np.array([value for value, _ in logs]),
        np.array([error for _, error in logs]),
        axes={"step": np.arange(1, steps + 1)},
        source="our derivation",
    )


def exact_outputs(model: Model, inputs: Shaped[np.ndarray, "time input"]) -> np.ndarray:
    """y[1..T] as fractions, for weights and inputs taken as the fractions that they are; (time, output) objects.

    Raises:
        ValueError: if the model is no polynomial, or a number is not finite.

    Cost: some microseconds an operation; the fractions grow with the steps.
    """
    arithmetic = Numbers(lambda fraction: fraction)
    given = [arithmetic.of(row) for row in exact(inputs, "inputs")]
    with precision(np.float64):
        return np.array([step.output.array for step in steps_of(model, arithmetic, given)], object)


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


def _number(fraction: Fraction) -> nmod_poly:
    return nmod_poly([fraction.numerator * pow(fraction.denominator, -1, PRIME) % PRIME], PRIME)


def _line(draw: random.Random, channels: int, moving: bool) -> Objects:
    """a + b z in every channel, or a alone."""
    drawn = ([draw.randrange(1, PRIME) for _ in range(1 + moving)] for _ in range(channels))
    return Objects(held((channels,), (nmod_poly(coefficients, PRIME) for coefficients in drawn)))


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


def _log2(output: Objects) -> tuple[float, float]:
    """Of the largest channel, with its error."""
    logs = [abs(value).log() / arb(2).log() for value in output.array if value != 0]
    largest = max(logs, key=lambda log: float(log.mid()), default=arb("-inf"))
    return float(largest.mid()), float(largest.rad())
