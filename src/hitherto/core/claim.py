"""Theorems as data: what they assume, predict and mean by a measurement, and whether both agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hitherto.core.model import Architecture, precision
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Source

Outcome = Literal["holds", "fails", "cannot tell", "not covered"]
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
    version: int = 1


@dataclass(frozen=True)
class Verdict:
    """What came of a claim at a case.

    Attributes:
        outcome: `holds`, `fails`, `cannot tell` (the measurement does not decide), `not covered`.
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
    """
    if reason := claim.hypotheses(case):
        return Verdict("not covered", reason)
    with precision(np.float64):
        predicted, measured = claim.predict(case), claim.measure(case)
    if measured.cannot_tell or predicted.cannot_tell:
        return Verdict("cannot tell", measured.cannot_tell or predicted.cannot_tell, predicted, measured)
    if agree(predicted, measured, claim.relation, claim.rtol):
        return Verdict("holds", "", predicted, measured)
    reason = f"measured {_told(measured)} is not {claim.relation} predicted {_told(predicted)}"
    return Verdict("fails", reason, predicted, measured)


def agree(predicted: Estimate, measured: Estimate, relation: str, rtol: float = 0.0) -> bool:
    """Whether `measured relation predicted` at every entry, within the slack; exactly for whole numbers."""
    p, m = predicted.value, measured.value
    if isinstance(p, int) and isinstance(m, int) and rtol == 0:
        return (p == m) if relation == "==" else (m <= p) if relation == "<=" else (m >= p)
    error = np.hypot(*(0.0 if e.standard_error is None else e.standard_error for e in (predicted, measured)))
    p, m = np.asarray(p, float), np.asarray(m, float)
    slack = rtol * np.abs(p) + SLACK * error
    above, below = m <= p + slack, m >= p - slack  # NaN is neither
    return bool(np.all({"==": above & below, "<=": above, ">=": below}[relation]))


def _told(estimate: Estimate) -> str:
    value = estimate.value
    if np.ndim(value):
        return np.array2string(np.asarray(value), precision=4, threshold=6)
    told = str(value) if isinstance(value, int) else f"{value:.6g}"
    return told if not estimate.standard_error else f"{told} +- {estimate.standard_error:.2g}"
