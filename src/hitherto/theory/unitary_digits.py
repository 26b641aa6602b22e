"""Outputs of smooth networks in as many digits as one likes: near twins differ where double precision shows equality.

A logistic extra unit with bias -40 changes outputs by 1e-18, which 64 bits round away; it is not a twin for all that.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hitherto.core.names import known
from hitherto.theory.unitary_exact import as_fractions

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda z: z.max(z * 0),
    "sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "tanh": lambda z: z.tanh(),
    "softplus": lambda z: z.exp().log1p(),
    "elu": lambda z: z if z > 0 else z.expm1(),
}


def outputs_in_digits(
    parts: tuple[Shaped[np.ndarray, "..."], ...],
    inputs: Shaped[np.ndarray, "time input"],
    name: str,
    digits: int = 60,
) -> Shaped[np.ndarray, "time output"]:
    """y[k] = C h[k], h[k] = phi(W h[k-1] + F x[k] + b), in decimal numbers.

    Args:
        parts: (W, F, b, C, h[-1]), of fractions, or floats taken for the fractions that they are.
        inputs: x[0], x[1], ..., likewise.
        name: of phi: `relu`, `sigmoid`, `tanh`, `softplus` or `elu`.
        digits: of the arithmetic; rounding takes a few of them, more in long runs.
    Raises:
        ValueError: for another name.
    """
    from flint import ctx

    phi = _FUNCTIONS[known(name, _FUNCTIONS, "activation in digits")]
    with ctx.workdps(digits):
        w, f, b, c, h = (_balls(part) for part in parts)
        answers = []
        for x in _balls(inputs):
            h = np.array([phi(z) for z in w @ h + f @ x + b], object)
            answers.append([Decimal(y.mid().str(digits, radius=False)) for y in c @ h])
    return np.array(answers, object)


def _balls(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    from flint import arb, fmpq

    exact = as_fractions(array)
    return np.array([arb(fmpq(*x.as_integer_ratio())) for x in exact.ravel()], object).reshape(exact.shape)
