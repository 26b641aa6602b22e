"""Theorems as data: what they assume, predict and mean by a measurement, and whether both agree."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Any, Literal

import numpy as np

from hitherto.core.model import Architecture, precision
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Source

Outcome = Literal["holds", "fails", "refuted", "cannot tell", "not covered", "error"]
SLACK = 4.0  # standard errors


class NotCovered(ValueError):
    """A theorem was asked outside its hypotheses; the message names the one that failed."""


@dataclass(frozen=True, init=False)
class Case:
    """One place at which something is asked: `Case(RNN(1, 4), length=8, seed=0)`; then `case.length` is 8.

    Attributes:
        architecture: the model's description, or None where the question is about none.
        settings: everything else by name, sorted: numbers, strings, tuples of them, frozen dataclasses.
    """

    architecture: Architecture | None
    settings: tuple[tuple[str, Any], ...]

    def __init__(self, architecture: Architecture | None = None, /, **settings: Any) -> None:
        object.__setattr__(self, "architecture", architecture)
        object.__setattr__(self, "settings", tuple(sorted(settings.items())))

    def __getattr__(self, name: str) -> Any:
        settings = dict(self.__dict__.get("settings", ()))  # empty while being unpickled
        if name not in settings:
            raise AttributeError(f"the case has no setting {name!r}; it has {', '.join(settings) or 'none'}")
        return settings[name]

    def __str__(self) -> str:
        told = [f"{name}={value}" for name, value in self.settings]
        return ", ".join([str(self.architecture), *told] if self.architecture else told)


@dataclass(frozen=True)
class Measurement:
    """Something to measure at every case of an experiment, without a theorem beside it.

    Attributes:
        id: `<paper>.<name>`.
        says: what it shows, one sentence.
        measure: case -> estimate, or several from the same work.
        version: raised when the same code means something else, such as new data behind the same name.
    """

    id: str
    says: str
    measure: Callable[[Case], Estimate | tuple[Estimate, ...]]
    version: int = 1


@dataclass(frozen=True)
class Claim:
    """One theorem: under its hypotheses, what is measured stands in `relation` to what is predicted.

    Attributes:
        id: `<paper>.<name>`.
        says: the theorem in one plain sentence.
        source: where it stands.
        quantity: what is predicted and measured.
        relation: `==`, `<=` or `>=`, read as "measured relation predicted".
        hypotheses: case -> None, or the reason why the theorem says nothing there.
        predict: case -> estimate, by theory alone.
        measure: case -> estimate, blind to the prediction.
        smallest: the case that tests run, seconds at most.
        larger: further cases, minutes.
        rtol: relative slack; 0 for exact numbers.
        conjecture: stated without proof; where the measurement contradicts it the outcome is `refuted`, a finding and
            not a failure.
        version: as for `Measurement`.
    """

    id: str
    says: str
    source: Source
    quantity: Quantity
    relation: Literal["==", "<=", ">="]
    hypotheses: Callable[[Case], str | None]
    predict: Callable[[Case], Estimate]
    measure: Callable[[Case], Estimate]
    smallest: Case
    larger: tuple[Case, ...] = ()
    rtol: float = 0.0
    conjecture: bool = False
    version: int = 1


@dataclass(frozen=True)
class Verdict:
    """What came of a claim at a case.

    Attributes:
        outcome: `holds`, `fails` (`refuted` for a conjecture), `cannot tell` (the measurement does not decide), `not
            covered`, or `error` where the command line met one; `check` itself raises it.
        reason: why, where it does not hold.
        predicted, measured: None where the claim is not covered.
    """

    outcome: Outcome
    reason: str = ""
    predicted: Estimate | None = None
    measured: Estimate | None = None


def predict(claim: Claim, case: Case) -> Estimate:
    """What the theorem predicts at the case.

    Raises:
        NotCovered: if one of its hypotheses fails there.
    """
    if reason := claim.hypotheses(case):
        raise NotCovered(f"{claim.id} says nothing about {case}: {reason}")
    with precision(np.float64):
        return claim.predict(case)


def check(claim: Claim, case: Case) -> Verdict:
    """Predict, measure, compare with slack `rtol |predicted| + 4 standard errors`.

    Cost: that of `claim.measure`; outside the hypotheses nothing is computed.
    Raises:
        TypeError: if a function of the claim does not give an Estimate.
    """
    if reason := claim.hypotheses(case):
        return Verdict("not covered", reason)
    with precision(np.float64):
        predicted, measured = (_estimate(claim, role, case) for role in ("predict", "measure"))
    if measured.cannot_tell or predicted.cannot_tell:
        return Verdict("cannot tell", measured.cannot_tell or predicted.cannot_tell, predicted, measured)
    if agree(predicted, measured, claim.relation, claim.rtol):
        return Verdict("holds", "", predicted, measured)
    reason = f"measured {_told(measured)} is not {claim.relation} predicted {_told(predicted)}"
    if claim.conjecture:
        return Verdict("refuted", f"refuted at {case}: {reason}", predicted, measured)
    return Verdict("fails", reason, predicted, measured)


def agree(predicted: Estimate, measured: Estimate, relation: str, rtol: float = 0.0) -> bool:
    """Whether `measured relation predicted` at every entry, within the slack; in exact arithmetic where it is finite.

    What differs in quantity, shape or coordinates does not agree.
    """
    shapes = [(e.quantity, np.shape(e.value), {k: list(v) for k, v in e.axes.items()}) for e in (predicted, measured)]
    if shapes[0] != shapes[1]:
        return False
    entries = [_entries(e.value) for e in (predicted, measured)]
    known = [0.0 if e.standard_error is None else e.standard_error for e in (predicted, measured)]
    errors = np.broadcast_to(np.hypot(*known), np.shape(predicted.value))
    return all(_related(p, m, relation, rtol, e) for p, m, e in zip(*entries, np.ravel(errors).tolist(), strict=True))


def _estimate(claim: Claim, role: str, case: Case) -> Estimate:
    found = getattr(claim, role)(case)
    if not isinstance(found, Estimate):
        raise TypeError(f"{claim.id}: {role} must give an Estimate, and gave {found!r:.60}; wrap the number in one")
    return found


def _entries(value: Any) -> list[int | float]:
    return [int(value)] if isinstance(value, Integral) else np.ravel(value).tolist()


def _related(predicted: int | float, measured: int | float, relation: str, rtol: float, error: float) -> bool:
    if not all(map(math.isfinite, map(_bounded, (predicted, measured, error)))):
        low = high = predicted
    else:
        slack = Fraction(rtol) * abs(Fraction(predicted)) + Fraction(SLACK * error)
        low, high = Fraction(predicted) - slack, Fraction(predicted) + slack
        measured = Fraction(measured)
    return (relation == "<=" or measured >= low) and (relation == ">=" or measured <= high)


def _bounded(number: int | float) -> float:
    return 0.0 if isinstance(number, int) else number  # an int is finite, but may not fit into a float


def _told(estimate: Estimate) -> str:
    value = estimate.value
    if np.ndim(value):
        return np.array2string(np.asarray(value), precision=4, threshold=6)
    told = whole(value) if isinstance(value, int) else f"{value:.6g}"
    return told if not estimate.standard_error else f"{told} +- {estimate.standard_error:.2g}"


def whole(number: int) -> str:
    """A whole number in full up to twenty digits, else by its power of ten."""
    if abs(number) < 10**20:
        return str(number)
    power = int((abs(number).bit_length() - 1) * math.log10(2))
    power += abs(number) >= 10 ** (power + 1)
    return f"{'-' * (number < 0)}{abs(number) // 10 ** (power - 3) / 1000:.3f}e+{power}"
