"""Plain sentences from differences: one is said only if the corrected test decides it.

What is not decided is passed over or begins with "Cannot tell".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hitherto.core import quantity as q
from hitherto.core.difference import LEVEL, OF_PEAK, Difference
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.drawing import peak
from hitherto.report.reading import Reading, find, listed, reading
from hitherto.report.table import in_words
from hitherto.report.verdict import capitalised

Models = Mapping[str, Sequence[Estimate]]  # by name, in the order given
HEADLINE = 3  # real differences that are said first
NAMED = 6  # of a list in a sentence


class Subject(NamedTuple):
    """A number worth a sentence: how it is called when it is larger and smaller, and where along its axis it is."""

    quantity: Quantity
    name: str
    more: str
    less: str
    coordinate: float | None = None


SUBJECTS = (
    Subject(q.GRADIENT_HALF_LIFE, "the half-life of the gradient", "longer", "shorter"),
    Subject(q.EFFECTIVE_CONTEXT, "the effective context", "longer", "shorter"),
    Subject(q.PARTICIPATION_RATIO, "the number of dimensions in use", "larger", "smaller"),
    Subject(q.LYAPUNOV_SPECTRUM, "the largest Lyapunov exponent", "higher", "lower", 0.0),
    Subject(q.LINEAR_MEMORY_CAPACITY_NOISY, "the linear memory capacity with noise", "larger", "smaller"),
    Subject(q.GRADIENT_HORIZON, "the horizon of the gradient", "longer", "shorter"),
    Subject(q.LINEAR_SHARE, "the linear share of the memory", "larger", "smaller"),
    Subject(q.GATE_TIME_QUANTILES, "the hold time of the middle gate", "longer", "shorter", 0.5),
    Subject(q.IDLE_UNITS, "the number of idle units", "larger", "smaller"),
    Subject(q.STUCK_UNITS, "the number of stuck units", "larger", "smaller"),
)


def comparison_verdict(models: Models, differences: Sequence[Difference]) -> tuple[str, ...]:
    """What is known of the last model against the first, most important first.

    Args:
        models: the estimates of each, by name.
        differences: from the first model, corrected together.
    """
    if not differences:
        return ("Nothing that was measured is in two of the models.",)
    first, last = ends(models)
    mine = [d for d in differences if d.second == last]
    if all(d.exact and not d.real for d in differences):
        return (f"{listed(list(models))} agree in every number: all {len(differences):,} differences are exactly 0.",)
    told = sorted(((s, d) for s in SUBJECTS for d in mine if about(s, d)), key=lambda pair: pair[1].part != "")
    said = [_real(s, d, models, differences) for s, d in told if d.real]
    headline = (
        ["; ".join(said[:HEADLINE])]
        if said
        else [f"none of the main differences between {first} and {last} is certain"]
    )
    found = [*headline, *_counted(differences, mine, first), *said[HEADLINE:], *_alone(mine), *_open(told, first, last)]
    return tuple(f"{capitalised(text)}." for text in found)


def status(found: Difference) -> str:
    """One of `STATUSES`."""
    if found.cannot_tell:
        return "cannot tell"
    if found.exact:
        return "exact" if found.real else "equal"
    return "real" if found.real else "alone" if found.alone else "open"


def written(found: Difference) -> tuple[str, str]:
    """A difference and its interval as printed: "+3.0" and "1.8 to 4.2", "×1.8", "> +480"; "" where there is none."""
    if found.cannot_tell:
        return "", ""
    bound = "> " if found.high == math.inf else "< "
    shown = _shown(found)
    sign = "×" if found.logarithmic else "+" if found.value > 0 and shown.centre.strip("0.") else ""
    return f"{bound * found.bounded}{sign}{shown.centre}", shown.interval


def _shown(found: Difference) -> Reading:
    """On the scale of the numbers: logarithms of ratios as ratios."""
    if not found.logarithmic:
        return Reading(found.value, found.low, found.high, found.standard_error)
    with np.errstate(over="ignore"):
        value, low, high = (float(np.exp(end)) for end in (found.value, found.low, found.high))
    return Reading(value, low, high, found.standard_error * value)


def ends(models: Models) -> tuple[str, str]:
    """The first and the last name."""
    first, *_, last = models
    return first, last


def key(found: Difference) -> tuple[Quantity, str, float | None]:
    """What a difference is of, whichever the models."""
    return found.quantity, found.part, found.coordinate


def about(subject: Subject, found: Difference) -> bool:
    """Whether a difference is of a subject."""
    return found.quantity == subject.quantity and found.coordinate == subject.coordinate


def _named(subject: Subject, found: Difference) -> str:
    return f"{subject.name} ({found.part})" if found.part else subject.name


def _direction(subject: Subject, found: Difference) -> str:
    return subject.more if found.value > 0 else subject.less


def _number(models: Models, name: str, found: Difference) -> Reading | None:
    """What a model answers where a difference was taken, gradients as shares of their peak; None where it has no such
    number."""
    estimate = find(models[name], found.quantity, found.part)
    if estimate is None or found.coordinate is None:
        return reading(estimate) if estimate else None
    (at,) = np.nonzero(np.asarray(estimate.axes[found.axis]) == found.coordinate)
    if not at.size:
        return None
    number = reading(estimate, int(at[0]))
    return number.times(1 / peak(estimate.value)) if found.quantity in OF_PEAK else number


def _beyond(models: Models, name: str, found: Difference) -> bool:
    estimate = find(models[name], found.quantity, found.part)
    return bool(estimate and estimate.statistics.get("censored"))


def value_of(models: Models, name: str, found: Difference, show: Callable[[Reading], str]) -> str:
    """A model's own number where a difference was taken, "more than 500" where it is censored."""
    number = _number(models, name, found)
    if number is None:
        return ""
    return f"more than {number.centre}" if _beyond(models, name, found) else show(number)


def _real(subject: Subject, found: Difference, models: Models, differences: Sequence[Difference]) -> str:
    """Says "the half-life of the gradient is longer in B than in A: 12 (11 to 13) against 9.0 (8.1 to 9.9) steps"."""
    now, then = (value_of(models, name, found, str) for name in (found.second, found.first))
    than = f"is {_direction(subject, found)} in {found.second} than in {found.first}"
    unit = "" if found.quantity.unit in subject.name else f" {found.quantity.unit}"
    said = f"{_named(subject, found)} {than}: {now} against {then}{unit}"
    return f"{said}{_since(found, list(models), differences)}"


def _since(found: Difference, names: Sequence[str], differences: Sequence[Difference]) -> str:
    """From which model of a series on all differ for certain, and to the same side."""
    same = {d.second for d in differences if key(d) == key(found) and d.real and d.value * found.value > 0}
    since = next(i for i in range(1, len(names)) if same >= set(names[i:]))
    return f", and so from {names[since]} on" if since < len(names) - 1 else ""


def _counted(every: Sequence[Difference], mine: Sequence[Difference], first: str) -> list[str]:
    """How many differences were tested and are real, and how many exact ones there are."""
    tested = [d for d in every if d.p is not None]
    real, exact = sum(d.real for d in tested), [d for d in mine if d.exact and d.real]
    chance = f"with so many tests the chance that any of them is called real by accident is at most {LEVEL:.0%}"
    said = f"{real:,} of {len(tested):,} tested differences from {first} are real (Holm's correction: {chance})"
    exactly = f"{len(exact):,} exact {'number differs' if len(exact) == 1 else 'numbers differ'} ({_kinds(exact)})"
    return [said] * bool(tested) + [exactly] * bool(exact)


def _alone(mine: Sequence[Difference]) -> list[str]:
    """Those that only their own interval decides."""
    found = [d for d in mine if d.alone and not d.real]
    each = "each differs by its own 95% interval, but not once all tests are allowed for"
    return [f"cannot tell of {len(found):,} more: {each} ({_kinds(found)})"] if found else []


def _kinds(found: Sequence[Difference]) -> str:
    """The first few quantities, in words."""
    kinds = list(dict.fromkeys(in_words(d.quantity.name) for d in found))
    more = [f"{len(kinds) - NAMED} more"] if len(kinds) > NAMED else []
    return listed([*kinds[:NAMED], *more])


def _open(told: Sequence[tuple[Subject, Difference]], first: str, last: str) -> list[str]:
    """Main numbers that are not decided, by interval or for want of one."""
    held = [(s, d) for s, d in told if status(d) == "open"]
    apart = listed([f"{_named(s, d)} ({_with_interval(d)})" for s, d in held])
    undecided = [f"cannot tell {last} from {first} by {apart}"] if held else []
    untold = [f"cannot tell whether {_named(s, d)} differs: {d.cannot_tell}" for s, d in told if d.cannot_tell]
    return [*undecided, *untold]


def _with_interval(found: Difference) -> str:
    """Says "−0.2, −0.9 to 0.5 steps"."""
    value, interval = written(found)
    return f"{value}, {interval} {found.quantity.unit}".rstrip()


def title(subject: Subject, differences: Sequence[Difference], last: str) -> str:
    """What is real of a subject, without its numbers; "" where nothing is."""
    real = [d for d in differences if d.second == last and about(subject, d) and d.real and not d.part]
    if not real:
        return ""
    return capitalised(f"{subject.name} is {_direction(subject, real[0])} in {last} than in {real[0].first}")
