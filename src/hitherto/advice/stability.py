"""Whether a fresh candidate keeps, loses or blows up what it carries."""

import math

import numpy as np

from hitherto.advice.candidates import Candidate
from hitherto.advice.draws import LEVEL, Draw
from hitherto.advice.learning import DRAWN, LINEAR_BIAS, doubt, law, response_variances, scaled
from hitherto.advice.request import Number, Request
from hitherto.theory.unitary import leak_spectrum

UNITARY = "theory: unitary"
EXACT_NORMS = ("orthogonal", "identity", "ring", "modes")


def stability(candidate: Candidate, request: Request, drawn: Draw | None) -> tuple[Number, ...]:
    """Recurrent norm and leak, gradient horizon, Lyapunov exponent and time, all before training."""
    norm = _norm(candidate, drawn)
    horizon, exponent = _carried(candidate, request) if drawn is None else _measured(drawn)
    time = None if exponent.value is None else math.inf if exponent.value >= 0 else -1 / exponent.value
    return (norm, _leak(norm), horizon, exponent, Number("Lyapunov time", time, "steps", exponent.source))


def _norm(candidate: Candidate, drawn: Draw | None) -> Number:
    """Below 1 the network is contractive, for activations of slope at most 1."""
    high = candidate.start.high
    if candidate.linear and candidate.start.law in EXACT_NORMS:
        return Number("recurrent norm", math.sqrt(high), "", UNITARY, "exact for the law of each layer")
    if candidate.linear:
        return Number("recurrent norm", 2 * math.sqrt(high), "", UNITARY, "of a Gaussian matrix of great width")
    if drawn is not None and drawn.norm is not None:
        return Number("recurrent norm", drawn.norm, "", DRAWN, "slopes of at most 1")
    return Number("recurrent norm", None, "", UNITARY, "not covered: no one matrix decides where inputs gate the state")


def _leak(norm: Number) -> Number:
    """Of the direction that loses least."""
    name, unit = "least leak", "of the energy a step"
    if norm.value is None or norm.value > 1:
        reason = norm.condition if norm.value is None else "none: the norm is above 1, and something grows"
        return Number(name, None, unit, UNITARY, reason)
    return Number(name, float(leak_spectrum(np.array([[norm.value]])).leaks[0]), unit, UNITARY, norm.condition)


def _carried(candidate: Candidate, request: Request) -> tuple[Number, Number]:
    """Of a linear cell: the size of C A^k B in the limit of great width, and ln |lambda| of its slowest mode."""
    told = "; ".join(filter(None, ("great width", doubt(candidate, request))))
    small, lag = scaled(law(candidate), request.lag)
    sizes = np.sqrt(response_variances(small, 2 * lag + 2))
    above = int(np.flatnonzero(sizes >= LEVEL * sizes.max())[-1]) + 1
    beyond = above == len(sizes)
    steps = round(above * request.lag / lag)
    if beyond:
        told = f"beyond {steps:,} steps; {told}"
    horizon = Number("gradient horizon", None if beyond else steps, "steps", LINEAR_BIAS, told)
    exponent = math.log(candidate.start.high) / 2
    return horizon, Number("Lyapunov exponent", exponent, "per step", "exact for the law", "the slowest mode")


def _measured(drawn: Draw) -> tuple[Number, Number]:
    told = f"white noise, up to 32 units, {drawn.reach} steps"
    beyond = f"beyond {drawn.reach} steps" if drawn.horizon is None else told
    horizon = Number("gradient horizon", drawn.horizon, "steps", DRAWN, beyond)
    return horizon, Number("Lyapunov exponent", drawn.lyapunov, "per step", DRAWN, told)
