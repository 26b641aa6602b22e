"""One number of an estimate with its interval, and how it is printed.

Estimates are printed with two significant digits and never finer than their standard error, exact numbers
with up to four. A third digit is given only where two would make the interval look like a point.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hitherto.core.quantity import Estimate, Quantity

NOT_A_NUMBER = "cannot tell"
FINEST = -5  # power of ten of the last digit of a number printed without an exponent
COUNTED = ("units", "components")  # units of whole numbers
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Reading:
    """A number with the ends of its 95% interval and its standard error; NaN for what is missing.

    `whole` numbers, such as counts, are printed without decimals.
    Comparisons with NaN are false, so a rule that asks `reading.high < 0` is silent without an interval.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    error: float = math.nan
    whole: bool = False

    @property
    def decided(self) -> bool:
        """Whether there is a value and an interval around it."""
        return not any(math.isnan(x) for x in (self.value, self.low, self.high))

    def __str__(self) -> str:
        interval = self.interval
        return f"{self.centre} ({interval})" if interval else self.centre

    @property
    def centre(self) -> str:
        """The value alone, with as many digits as its error allows."""
        return _exact(self.value) if self._is_exact else _fixed(self.value, self._place)

    @property
    def interval(self) -> str:
        """ "a to b", or "" where there is no interval or it is a point."""
        if not self.decided or self.low == self.high:
            return ""
        end = _fixed if self.whole else _end
        ends = end(self.low, self._place), end(self.high, self._place)
        return "" if ends == (self.centre, self.centre) else f"{ends[0]} to {ends[1]}"

    def times(self, factor: float | int) -> "Reading":
        """The same reading in another unit."""
        return Reading(self.value * factor, self.low * factor, self.high * factor, self.error * factor)

    @property
    def _is_exact(self) -> bool:
        return self.error == 0 or self.low == self.high

    @property
    def _place(self) -> int:
        """Power of ten of the last digit printed."""
        return max(self._finest, 0) if self.whole else self._finest

    @property
    def _finest(self) -> int:
        width = self.high - self.low if self.decided else math.nan
        error = self.error if self.error > 0 else width / 4
        two_digits = _magnitude(self.value) - 1
        if not 0 < error < math.inf:
            return two_digits
        if self.value == 0:
            return _magnitude(error)
        points = math.isfinite(width) and width < 10.0**two_digits
        return max(two_digits - points, _magnitude(error))


def reading(estimate: Estimate | None, index: int | tuple[int, ...] = ()) -> Reading:
    """The number of an estimate at an index along its axes; all NaN for None. An exact value is its own
    interval, and so is -inf, which no finite error reaches."""
    if estimate is None:
        return Reading()
    value, error = _pick(estimate.value, index), _pick(estimate.standard_error, index)
    low, high = _pick(estimate.low, index), _pick(estimate.high, index)
    if math.isnan(low) and (error == 0 or value == -math.inf):
        low = high = value
    return Reading(value, low, high, error, whole=estimate.quantity.unit in COUNTED)


def find(estimates: Iterable[Estimate], quantity: Quantity, part: str = "") -> Estimate | None:
    """The first estimate of a quantity for a part, or None."""
    return next((e for e in estimates if e.quantity.name == quantity.name and e.part == part), None)


def find_all(estimates: Iterable[Estimate], quantity: Quantity) -> tuple[Estimate, ...]:
    """All estimates of a quantity, one for each part that has it."""
    return tuple(e for e in estimates if e.quantity.name == quantity.name)


def parts(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """The parts that occur: the whole model, then the others in order of appearance."""
    return tuple(sorted(dict.fromkeys(e.part for e in estimates), key=lambda part: part != ""))


def steps(count: Reading | str, provenance: Mapping[str, Any], plain: float | int = math.nan) -> str:
    """A number of steps in words, with its time where the length of a step is known: "61 steps (1.9 s)".

    Args:
        count: a reading, or a text whose number is `plain`.
        provenance: `step_seconds` is used.
    """
    number = count.value if isinstance(count, Reading) else plain
    words = f"{count} step" if str(count) == "1" else f"{count} steps"
    seconds = provenance.get("step_seconds")
    return f"{words} ({duration(number * seconds)})" if seconds and math.isfinite(number) else words


def duration(seconds: float | int) -> str:
    """A time in its natural unit, two digits: "0.28 s", "12 min"."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= 0.995 * size:
            return f"{digits(seconds / size)} {unit}"
    return f"{digits(seconds * 1e6)} µs"


def digits(value: float | int, count: int = 2) -> str:
    """A number rounded to significant digits."""
    return _fixed(value, _magnitude(value) - count + 1)


def rounded_up(value: float | int) -> int:
    """The next whole number of two significant digits that is not below `value`: a bound must stay true."""
    unit = 10 ** max(_magnitude(value) - 1, 0)
    return math.ceil(value / unit) * unit


def percent(share: Reading) -> str:
    """A share as a percentage with its interval: "4.2% (3.8 to 4.6%)"."""
    scaled = share.times(100)
    return f"{scaled.centre}% ({scaled.interval}%)" if scaled.interval else f"{scaled.centre}%"


def _pick(array: Any, index: int | tuple[int, ...]) -> float:
    return math.nan if array is None else float(np.asarray(array, dtype=float)[index])


def _magnitude(value: float | int) -> int:
    """Power of ten of the first digit; 0 for zero and for what is not finite."""
    return int(f"{value:e}".split("e")[1]) if value and math.isfinite(value) else 0


def _exact(value: float) -> str:
    if not math.isfinite(value):
        return _fixed(value, 0)
    if float(value).is_integer() and abs(value) < 1e7:
        return _signed(f"{int(value):,}")
    return _fixed(value, _magnitude(value) - 3, strip=True)


def _end(value: float, place: int) -> str:
    """An end of an interval: nothing that is not zero is printed as zero, since its sign may decide."""
    vanishes = math.isfinite(value) and value != 0 and abs(value) < 0.5 * 10.0**place
    return digits(value, 1) if vanishes else _fixed(value, place)


def _fixed(value: float | int, place: int, strip: bool = False) -> str:
    """A number whose last digit is 10^place, in scientific form where that is shorter."""
    if math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if place < FINEST or abs(value) >= 1e7:
        return _scientific(value, place) if value else "0"
    text = f"{round(value, -place):,.{max(-place, 0)}f}"
    return _signed(text.rstrip("0").rstrip(".") if strip and "." in text else text)


def _scientific(value: float | int, place: int) -> str:
    mantissa, exponent = f"{value:.{max(_magnitude(value) - place, 0)}e}".split("e")
    return f"{_signed(mantissa)}×10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def _signed(text: str) -> str:
    """With a typographic minus sign, and none before zero."""
    return text.replace("-", "−") if text.strip("-0.,") else text.lstrip("-")


def listed(words: Iterable[object]) -> str:
    """ "a, b and c"."""
    *most, last = [*map(str, words)] or [""]
    return f"{', '.join(most)} and {last}" if most else last
