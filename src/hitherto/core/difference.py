"""How far two answers to one question are apart, and which of many such differences are real.

The error of a difference is a jackknife over what both runs share, sequence by sequence, since models that respond
alike err alike; where an answer does not tell what it is without each sequence, both errors in quadrature, and Welch's
t. Of many, Holm's correction calls so few real that the chance of one false call among them all is at most
5%, however they depend on each other: the numbers of one run always do.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity, plain

LEVEL = 0.05
PLACES = (0, 1, 10, 100)  # of a curve, counted along what both have of it; its last one is compared as well
FEWEST_SEQUENCES = 8  # with an interval; taken where an estimate does not tell how many it had
ROUNDING = 1e-12  # of the larger number: exact ones that differ by less are equal
WITHOUT_ORDER = ("unit",)  # axes along which places of two models have nothing in common
OF_PEAK = (q.STATE_JACOBIAN_RMS, q.STATE_JACOBIAN_TYPICAL, q.OUTPUT_JACOBIAN_RMS, q.OUTPUT_JACOBIAN_TYPICAL)
LOGARITHMIC = (*OF_PEAK, q.CONTEXT_REPLACED, q.CONTEXT_ZEROED, q.CONTEXT_SHUFFLED)
NO_ERROR = dict(  # of counts that no sequence changes: it is not known to be 0
    standard_error=math.nan,
    low=math.nan,
    high=math.nan,
    cannot_tell="no sequence changes the counts, so they have no error",
)


@dataclass(frozen=True)
class Difference:
    """One number of a model against that of another.

    Attributes:
        first, second: the models' names.
        axis, coordinate: where along the axis of the quantity, such as "lag" and 10; "" and None for a single number.
        logarithmic: whether `value` is ln second - ln first, for curves that span decades; else it is second - first.
            Gradients are taken as shares of their peak, since their units are those of each model's own state.
        value: the difference; NaN where there is none.
        standard_error: of the value; 0 where it is exact, NaN where unknown.
        low, high: ends of its own 95% interval, infinite where an answer is only known to lie beyond the longest lag.
        paired: whether the error is that of pairs of sequences, and not of two independent runs.
        p: two-sided, of this test alone; None where nothing was tested, since it is exact or not decided.
        p_corrected: after Holm's correction for all that was tested with it.
        real: whether it is not zero by the corrected test, or exact and not zero.
        cannot_tell: why the data do not decide it; "" where it was tested or is exact.
    """

    quantity: Quantity
    part: str
    first: str
    second: str
    axis: str = ""
    coordinate: float | None = None
    logarithmic: bool = False
    value: float = math.nan
    standard_error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    paired: bool = False
    p: float | None = None
    p_corrected: float | None = None
    real: bool = False
    cannot_tell: str = ""

    @property
    def place(self) -> str:
        """ "lag 10", or "" for a single number."""
        return "" if self.coordinate is None else f"{self.axis} {self.coordinate:g}"

    @property
    def exact(self) -> bool:
        """Whether no chance is in it."""
        return self.standard_error == 0

    @property
    def alone(self) -> bool:
        """Whether its own 95% interval leaves out no difference."""
        return self.p is not None and self.p < LEVEL

    @property
    def bounded(self) -> bool:
        """Whether only a bound on it is known."""
        return not self.exact and (math.isinf(self.low) or math.isinf(self.high))

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain JSON values, under the names of its fields."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain(named | dict(quantity=self.quantity.name, unit="" if self.logarithmic else self.quantity.unit))


def differences(
    first: Sequence[Estimate], second: Sequence[Estimate], names: tuple[str, str]
) -> tuple[Difference, ...]:
    """Every number that both have, curves at a few common places; `real` is left for `corrected`.

    Profiles that agree in every digit are of models that did the same on the same inputs: all is then exactly equal.
    """
    found = tuple(
        _at(a, b, place, names)
        for a in first
        for b in second
        if a.quantity == b.quantity and a.part == b.part
        for place in _places(a, b)
    )
    return tuple(map(_equal, found)) if identical(first, second) else found


def corrected(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """With p-values by Holm's correction over all that was tested; exact differences need none.

    Sorted p_1 <= ... <= p_m become max over i <= k of min(1, (m - i + 1) p_i).
    Source: Holm (1979).
    """
    every = list(found)
    tested = sorted((i for i, d in enumerate(every) if d.p is not None), key=lambda i: every[i].p)
    worst = 0.0
    for rank, i in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * every[i].p))
        every[i] = replace(every[i], p_corrected=worst, real=worst <= LEVEL)
    return tuple(replace(d, real=d.value != 0) if d.exact else d for d in every)


def identical(first: Sequence[Estimate], second: Sequence[Estimate]) -> bool:
    """Whether two profiles agree in every digit, standard errors included."""
    return len(first) == len(second) and all(map(_same, first, second))


class _Point(NamedTuple):
    """One number on the scale of its test; `beyond` says that it is a lower bound, `doubt` why there is no test."""

    value: float
    error: float
    sequences: int
    beyond: bool
    doubt: str
    without: Float[np.ndarray, " left_out"] | None  # each sequence


def _same(a: Estimate, b: Estimate) -> bool:
    named = (a.quantity, a.part) == (b.quantity, b.part)
    return named and all(_alike(getattr(a, f), getattr(b, f)) for f in ("value", "standard_error", "low", "high"))


def _alike(a: Any, b: Any) -> bool:
    return (
        a is b if a is None or b is None else np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True)
    )


def _places(a: Estimate, b: Estimate) -> Iterator[tuple[int, int] | tuple[()]]:
    """Indices into both, of the coordinates that both have."""
    if not a.quantity.axes:
        yield ()
        return
    if len(a.quantity.axes) > 1 or set(a.quantity.axes) & set(WITHOUT_ORDER):
        return
    (along,) = a.quantity.axes
    _, at_a, at_b = np.intersect1d(a.axes[along], b.axes[along], return_indices=True)
    count = len(at_a)
    for k in sorted({k for k in PLACES if k < count} | {count - 1} if count else set()):
        if a.quantity not in OF_PEAK or at_a[k] != np.argmax(a.value) or at_b[k] != np.argmax(b.value):
            yield int(at_a[k]), int(at_b[k])


def _at(a: Estimate, b: Estimate, place: tuple[int, int] | tuple[()], names: tuple[str, str]) -> Difference:
    at_a, at_b = place or ((), ())
    axis = next(iter(a.quantity.axes), "")
    found = Difference(
        a.quantity,
        a.part,
        *names,
        axis=axis,
        coordinate=float(a.axes[axis][at_a]) if axis else None,
        logarithmic=a.quantity in LOGARITHMIC,
    )
    found = _tested(found, _point(a, at_a), _point(b, at_b))
    sampled = a.quantity.unit == "units" and "sequences" in a.statistics
    return replace(found, **NO_ERROR) if found.exact and found.value and sampled else found


def _tested(found: Difference, a: _Point, b: _Point) -> Difference:
    doubt = _doubt(found, a, b)
    moved = _less(b.value, a.value)
    if doubt:
        return replace(found, value=moved, cannot_tell=doubt)
    error, freedom, paired = _error(a, b) if math.isfinite(moved) else (0.0, math.inf, False)
    if error == 0:
        return replace(found, standard_error=0.0, **dict.fromkeys(("value", "low", "high"), moved))
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    low, high = (-math.inf if a.beyond else moved - half), (math.inf if b.beyond else moved + half)
    return replace(
        found,
        value=moved,
        standard_error=error,
        low=low,
        high=high,
        paired=paired,
        p=float(2 * stats.t.sf(abs(moved) / error, freedom)),
    )


def _error(a: _Point, b: _Point) -> tuple[float, float | int, bool]:
    """Standard error of b - a, its degrees of freedom, and whether it is of pairs."""
    if a.without is not None and b.without is not None and len(a.without) == len(b.without):
        moved = b.without - a.without
        count, error = len(moved), math.sqrt((len(moved) - 1) * np.var(moved))
        if math.isfinite(error):
            return error, count - 1, True
    error = math.hypot(a.error, b.error)
    return error, error**4 / (sum(p.error**4 / (p.sequences - 1) for p in (a, b)) or 1.0), False


def _doubt(found: Difference, a: _Point, b: _Point) -> str:
    """Why two points are not tested; a bound is tested where the other point lies on its near side."""
    for name, point in ((found.first, a), (found.second, b)):
        if point.doubt:
            return f"{name}: {point.doubt}"
    if a.beyond and b.beyond:
        return "both lie beyond the longest lag that was measured"
    if (a.beyond and b.value >= a.value) or (b.beyond and a.value >= b.value):
        beyond, other = (found.first, found.second) if a.beyond else (found.second, found.first)
        return f"{beyond} lies beyond the longest lag that was measured, and so may {other}"
    return ""


def _less(b: float, a: float) -> float:
    """b - a; 0 for infinities that are equal, and for what rounding alone sets apart."""
    return 0.0 if a == b or abs(b - a) <= ROUNDING * max(abs(a), abs(b)) < math.inf else b - a


def _point(estimate: Estimate, index: int | tuple[()]) -> _Point:
    value, error, low, high = (
        math.nan if field is None else float(np.asarray(field, float)[index])
        for field in (estimate.value, estimate.standard_error, estimate.low, estimate.high)
    )
    beyond = bool(estimate.statistics.get("censored"))
    sequences = estimate.statistics.get("sequences", estimate.statistics.get("units", FEWEST_SEQUENCES))
    whole = estimate.cannot_tell if index == () and not beyond else ""
    exact = beyond or error == 0 or math.isinf(value)
    unsure = "" if exact or (error > 0 and low <= high) else estimate.cannot_tell or "it has no standard error"
    doubt = "it is no number" if math.isnan(value) else whole or unsure
    without = None if estimate.without is None or beyond else np.moveaxis(estimate.without, 0, -1)[index]
    if estimate.quantity in LOGARITHMIC and not doubt:
        return _logarithm(estimate, index, _Point(value, error, sequences, beyond, _unresolved(value, low), without))
    return _Point(value, 0.0 if exact else error, sequences, beyond, doubt, without)


def _unresolved(value: float, low: float) -> str:
    return "it is too small to be told from rounding" if low == 0 < value else ""


def _logarithm(estimate: Estimate, index: int | tuple[()], point: _Point) -> _Point:
    """The point on the logarithmic scale; of gradients as a share of the peak, whose error is added."""
    error = point.error / point.value if point.value else 0.0
    value = math.log(point.value) if point.value else -math.inf
    without = None if point.without is None else np.log(point.without)
    if estimate.quantity not in OF_PEAK:
        return point._replace(value=value, error=error, without=without)
    curve, errors = np.asarray(estimate.value, float), np.asarray(estimate.standard_error, float)
    top = int(np.argmax(curve))
    if not curve[top] > 0:
        return point._replace(doubt="the curve is zero everywhere")
    own = index == top
    return point._replace(
        value=value - math.log(curve[top]),
        error=0.0 if own else math.hypot(error, errors[top] / curve[top]),
        without=None if without is None else without - np.log(estimate.without[:, top]),
    )


def _equal(found: Difference) -> Difference:
    """Exactly no difference."""
    return replace(found, value=0.0, standard_error=0.0, low=0.0, high=0.0, p=None, cannot_tell="")
