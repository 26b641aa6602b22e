"""The transfer function of a linear stack as exact polynomials in the delay z: det G = numerator / denominator.

G(z) = sum over lags of g_j z^j = C (I - z A)^-1 B + D, with as many outputs as inputs.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hitherto.core.model import Model
from hitherto.measures._exact_system import ExactSystem, exact_system


def denominator(model: Model) -> tuple[Fraction, ...]:
    """det(I - z A) = product over layers of det(I - z W_l), not reduced, coefficients from z^0 on.

    Args:
        model: any linear recurrence; weights are taken as the numbers that they are, see `hankel_rank`.
    Returns:
        Without zeros at the end.
    Raises:
        ValueError: if the model is not linear, or a weight is not finite.

    Cost: state^4 for weights of a few digits; meant for tens of units.
    Source: the characteristic polynomial, by exact arithmetic.
    """
    return _polynomial(_matrix(_rational(model).A).charpoly().coeffs()[::-1])


def numerator(model: Model) -> tuple[Fraction, ...]:
    """det G(z) det(I - z A), not reduced, coefficients from z^0 on; nothing where det G is zero.

    A stack of layers of widths n_l over d channels has a degree of at most sum of (n_l - d): so many zeros it can
    place, and copying with delay k takes k d of them at z = 0.

    Args:
        model: as for `denominator`, with as many outputs as inputs.
    Raises:
        ValueError: as for `denominator`, or if inputs and outputs differ in number.

    Cost: state + 1 determinants, so state^5 for weights of a few digits.
    Source: our derivation: the determinant of ((I - z A, B), (-C, D)), interpolated.
    """
    from flint import fmpq_mat

    architecture = model.architecture
    if architecture.input_size != architecture.output_size:
        raise ValueError(
            f"the numerator of det G was asked for, but G has {architecture.output_size} outputs for "
            f"{architecture.input_size} inputs; give a model with as many outputs as inputs"
        )
    system = _rational(model)
    identity, points = np.eye(len(system.A), dtype=int).astype(object), range(len(system.A) + 1)
    bordered = [np.block([[identity - z * system.A, system.B], [-system.C, system.D]]) for z in points]
    values = fmpq_mat(len(points), 1, [_matrix(one).det() for one in bordered])
    powers = fmpq_mat(len(points), len(points), [z**k for z in points for k in points])
    return _polynomial(powers.solve(values).entries())


def _rational(model: Model) -> ExactSystem:
    from flint import fmpq, fmpq_poly

    return exact_system(model, lambda series: fmpq_poly([fmpq(c.numerator, c.denominator) for c in series]))


def _matrix(entries: np.ndarray) -> Any:
    from flint import fmpq_mat

    return fmpq_mat(*entries.shape, entries.ravel().tolist())


def _polynomial(coefficients: Sequence[Any]) -> tuple[Fraction, ...]:
    """Without zeros at the end."""
    exact = [Fraction(int(value.p), int(value.q)) for value in coefficients]
    while exact and not exact[-1]:
        exact.pop()
    return tuple(exact)
