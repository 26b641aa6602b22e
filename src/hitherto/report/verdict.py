"""Plain sentences from estimates: a sentence is said only if its 95% interval decides it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity
from hitherto.report.reading import (
    Reading,
    digits,
    find,
    find_all,
    parts,
    percent,
    reading,
    rounded_up,
    steps,
)

CHANGE = 0.01  # of the output's deviation: what counts as a change of the output
NEGLIGIBLE_UNITS = 0.02  # of all units: fewer idle or stuck ones are not worth a sentence
HALF_LIVES_TO_ONE_PERCENT = math.log(100) / math.log(2)
CANNOT_TELL = "cannot tell"
BEFORE = "at the start"  # what the parts are called whose estimates are of the weights before training
MEETING = math.log(1e6)  # two states count as one when their distance has shrunk a million times
SHARE_NAMES = ((0.8, "mostly linear"), (0.5, "mixed"), (0.0, "mostly nonlinear"))


@dataclass(frozen=True)
class Subject:
    """What a sentence is about: one estimate, its neighbours and the settings they were made under."""

    estimate: Estimate
    estimates: Sequence[Estimate]
    provenance: Mapping[str, Any]

    def find(self, quantity: Quantity) -> Estimate | None:
        """Another quantity of the same part, or else of the whole model."""
        return find(self.estimates, quantity, self.estimate.part) or find(self.estimates, quantity)

    @property
    def own_data(self) -> bool:
        """Whether the inputs are the user's, which may depend on their past."""
        return bool(self.provenance.get("own_data"))

    def largest_exponent(self) -> Reading:
        """Of this part or, where it has none, of all parts: the spectrum of a stack is their union."""
        own = self.find(q.LYAPUNOV_SPECTRUM)
        spectra = (own,) if own else find_all(self.estimates, q.LYAPUNOV_SPECTRUM)
        return max((reading(e, 0) for e in spectra), key=lambda r: r.value, default=Reading())


Rule = Callable[[Subject], str]


def verdict(estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """What the estimates say about a model's memory, most important first.

    The first sentence is the headline: half-life, effective context and dimensions of the whole model or,
    where there are only parts, of the last one. Every number stands with its 95% interval, "9.0 (8.1 to 9.9)
    steps". What the interval does not decide is passed over or begins with "Cannot tell".

    Args:
        estimates: of one or several parts of a model; any may be missing.
        provenance: `step_seconds` gives lags in time as well, `precision` must be "float64" for a verdict of
            chaos, `own_data` says that the inputs are the user's and not white noise.
    """
    leads = [lead for quantity, _ in HEADLINE if (lead := _lead(estimates, quantity))]
    seconds = [e for e in estimates if not any(e is lead for lead in leads)]
    scene = (estimates, provenance)
    headlines = [
        _headline(leads, *scene),
        *(_headline(_of_part(seconds, part), *scene) for part in parts(seconds)),
    ]
    found = [*_independence(estimates), *(text for texts in headlines for text in texts)]
    found += [text for quantity, rule in RULES for text in _by_part(quantity, rule, *scene)]
    return tuple(f"{capitalised(text)}." for text in found) or ("These measurements decide nothing about the memory.",)


def told(quantity: Quantity, estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> str:
    """The first sentence about a quantity: of the whole model, else of its last part that has one; or ""."""
    rules = [rule for about, rule in HEADLINE + RULES if about is quantity]
    last_first = find_all(estimates, quantity)[::-1]
    found = sorted(last_first, key=lambda e: e.part != "")
    said = (
        _with_parts(text, [e.part], estimates)
        for e in found
        for rule in rules
        if (text := _clause(rule, e, estimates, provenance))
    )
    return next(said, "")


def half_life(subject: Subject) -> str:
    """Says "forgets half of an input within 9.0 (8.1 to 9.9) steps"."""
    return _lasting(
        subject,
        told="forgets half of an input within {}",
        censored="keeps more than half of an input for more than {}",
        asked="how soon half of an input is forgotten",
    )


def horizon(subject: Subject) -> str:
    """Says "the gradient from more than 61 (58 to 64) steps ago is under 1% of its peak"."""
    return _lasting(
        subject,
        told="the gradient from more than {} ago is under 1% of its peak",
        censored="the gradient is above 1% of its peak for more than {}",
        asked="from which lag on the gradient is under 1% of its peak",
    )


def rare_growth(subject: Subject) -> str:
    """Says "rare inputs make gradients grow", where the rms grows and the typical gradient shrinks."""
    growth, exponent = reading(subject.estimate), subject.largest_exponent()
    if not exponent.high < 0 or not growth.value > 0:
        return ""
    if subject.estimate.cannot_tell or not growth.decided:
        return _open("whether rare inputs make gradients grow", subject.estimate)
    if growth.low <= 0:
        return ""
    return (
        f"rare inputs make gradients grow: their root mean square by {percent(growth)} per step, while "
        "those of a usual sequence shrink"
    )


def context(subject: Subject) -> str:
    """Says "nothing older than 61 steps changes the output by more than 1%", by the interval's upper end."""
    limit = context_limit(subject.estimate, falling=not subject.own_data)
    if limit is None:
        return _context_not_reached(subject.estimate, subject.provenance)
    bound = rounded_up(limit)
    replaced = " by this replacement" if subject.own_data else ""
    said = steps(f"{bound:,}", subject.provenance, bound)
    return f"nothing older than {said} changes the output by more than 1%{replaced}"


def context_limit(curve: Estimate, falling: bool = True) -> float | None:
    """Lag from which the upper end of a context curve's interval stays at or below 1%, or None.

    A curve that cannot rise (`falling`: inputs independent over time) is decided for all later lags by one
    interval; where later ones are missing, their values are enough. Exact zeros need none.
    """
    if curve.high is None:
        return None
    value, high = np.asarray(curve.value, float), np.asarray(curve.high, float)
    high = np.where(value == 0, 0.0, high)
    bound = np.where(np.isnan(high), value, high) if falling else high
    exceeds = np.flatnonzero(~(bound <= CHANGE))
    first = exceeds[-1] + 1 if exceeds.size else 0
    if first == len(value) or np.isnan(high[first]):
        return None
    return float(curve.axes["lag"][first])


def stability(subject: Subject) -> str:
    """Stable, chaotic or "cannot tell", by the interval of the largest Lyapunov exponent."""
    exponent = reading(subject.estimate, 0)
    said = f"largest Lyapunov exponent {exponent} per step"
    if subject.estimate.cannot_tell or not exponent.decided:
        return _open("whether the model is stable", subject.estimate)
    if exponent.high < 0:
        return _far_starts(subject, said)
    if _within_a_step(subject.estimate):
        return ""  # `perfect_cell` says it
    if exponent.low > 0:
        return _chaotic(subject, said)
    span = f"in {subject.estimate.statistics['steps']:,} steps" if "steps" in subject.estimate.statistics else ""
    return (
        f"{CANNOT_TELL} stable from chaotic {span}".rstrip()
        + f": {said}; half the interval takes about 4 times the steps"
    )


def perfect_cell(subject: Subject) -> str:
    """Says "a perfect or near-perfect memory cell", where the largest exponent is within 1/T of zero."""
    if not _within_a_step(subject.estimate):
        return ""
    count = subject.estimate.statistics["steps"]
    exponent = reading(subject.estimate, 0)
    return (
        f"a perfect or near-perfect memory cell: in {count:,} steps its slowest direction neither grows "
        f"nor decays (largest Lyapunov exponent {exponent} per step)"
    )


def dimensions(subject: Subject) -> str:
    """Says "128 units act as 23 (22 to 24)"."""
    estimate, ratio = subject.estimate, reading(subject.estimate)
    samples = estimate.statistics.get("samples", math.inf)
    if estimate.cannot_tell or not ratio.decided:
        return _open("how many dimensions the state uses", estimate)
    if ratio.value > samples / 5:
        return f"{CANNOT_TELL} how many dimensions the state uses: {samples:,} samples are too few for {ratio}"
    units = estimate.statistics.get("units")
    return (
        f"{units:,} {'unit acts' if units == 1 else 'units act'} as {ratio}"
        if units
        else f"the state acts as {ratio} units"
    )


def linear_trace(subject: Subject) -> str:
    """Says "remembers a linear trace of 23 (22 to 24) past inputs, of at most 256"."""
    estimate, capacity = subject.estimate, reading(subject.estimate)
    if estimate.cannot_tell or not capacity.decided:
        return _open("how many past inputs can be read linearly from the state", estimate)
    bound, rank = estimate.statistics.get("bound"), estimate.statistics.get("rank")
    most = f", of at most {bound:,}" if bound else ""
    precision = subject.provenance.get("precision", "the precision")
    limited = f" (limited by {precision} to {rank:,})" if bound and rank and rank < bound else ""
    return f"remembers a linear trace of {capacity} past inputs{most}{limited}"


def linearity(subject: Subject) -> str:
    """Mostly linear, mixed or mostly nonlinear, by the interval of the degree-1 share."""
    share = reading(subject.estimate)
    if _mostly_unseen(subject.find(q.PROCESSING_CAPACITY)):
        return (
            f"{CANNOT_TELL} whether the memory is mostly linear: most capacity lies beyond degree 3 or the "
            "lags tested, or is not driven by the input"
        )
    if subject.estimate.cannot_tell or not share.decided:
        return _open("whether the memory is mostly linear", subject.estimate)
    least, most = _band(share.low), _band(share.high)
    if least != most:
        return f"{CANNOT_TELL} whether the memory is {least} or {most}: its linear share is {percent(share)}"
    return f"the memory is {most}: the linear share is {percent(share)}"


def interaction(subject: Subject) -> str:
    """Says "1 step after a cut, 8.2% (7.6% to 8.8%) of the output is interaction of what came before and after it", of
    the shortest end, and of the longest where both are decided."""
    estimate = subject.estimate
    if "length" not in estimate.statistics:
        return ""
    after = estimate.statistics["length"] - np.asarray(estimate.axes["cut"])
    told = [(int(after[k]), reading(estimate, int(k))) for k in np.argsort(after)]
    told = [(count, share) for count, share in told if share.decided]
    if not told:
        return ""
    (near, share), (far, last) = told[0], told[-1]
    said = (
        f"{steps(str(near), subject.provenance, near)} after a cut, {percent(share)} of the output is interaction of "
    )
    also = f"; {far} steps after it, {percent(last)}" if far > near else ""
    return f"{said}what came before and after it{also}"


def learning_reach(subject: Subject) -> str:
    """Says "gradient descent from these weights moves lags up to 7 steps at least half as fast as the present input",
    or that there is no such lag."""
    prior, lag = subject.find(q.MEMORY_PRIOR), int(subject.estimate.value)
    if subject.estimate.cannot_tell or not reading(subject.estimate).decided:
        return ""
    which = "the weights before training" if subject.estimate.part.endswith(BEFORE) else "these weights"
    about = ", linearised at the mean state," if prior and prior.statistics.get("linearised") else ""
    begins = f"gradient descent from {which}{about} moves"
    if not lag:
        return f"{begins} every past input less than half as fast as the present one"
    more = "more than " if subject.estimate.statistics.get("censored") else ""
    far = steps(f"{lag:,}", subject.provenance, lag)
    return f"{begins} lags up to {more}{far} at least half as fast as the present input"


def training_kind(subject: Subject) -> str:
    """Lazy or rich, by how far the tangent kernel moved."""
    moved = f"the tangent kernel moved by {digits(100 * float(subject.estimate.value))}%"
    return {
        "lazy": f"training was lazy: {moved}; the memory prior at the start told which lags would be learned",
        "little so far": f"since the start {moved}; that is little so far, but no lazy scaling keeps it so",
        "in between": f"training was neither lazy nor rich: {moved}",
        "rich": f"training was rich: {moved}; the memory prior at the start says little of what was learned",
    }[subject.estimate.statistics["training"]]


def recurrent_regime(subject: Subject) -> str:
    """Says "on these inputs the recurrent weights are coherent: states 2 steps apart correlate with 0.9, ..."."""
    about = subject.estimate.statistics
    if "regime" not in about or subject.estimate.cannot_tell:
        return ""
    return f"on these inputs the recurrent weights are {about['regime']}: {about['reason']}"


def recurrent_outliers(subject: Subject) -> str:
    """Says "the recurrent weights have 1 eigenvalue (1.49) and no singular value outside of their bulk; from these
    states theory expects 1 eigenvalue (1.46) and no singular value"."""
    measured = subject.estimate, subject.find(q.SINGULAR_VALUE_OUTLIERS)
    expected = subject.find(q.EXPECTED_EIGENVALUES), subject.find(q.EXPECTED_SINGULAR_VALUES)
    if None in (*measured, *expected) or subject.estimate.cannot_tell:
        return ""
    said = f"the recurrent weights have {_outside(*measured)} outside of their bulk"
    return f"{said}; from these states theory expects {_outside(*expected)}"


def idle_units(subject: Subject) -> str:
    """Says "12 (11 to 13) of 128 units are idle"."""
    return _count(subject, "idle (they hardly move)")


def stuck_units(subject: Subject) -> str:
    """Says "12 (11 to 13) of 128 units are stuck at one end"."""
    return _count(subject, "stuck at one end of their range")


def switching_units(subject: Subject) -> str:
    """Says "12 (11 to 13) of 128 units switch"; a switching unit is a working bit, not a broken one."""
    return _count(subject, "switching between both ends (working bits)")


def dead_units(subject: Subject) -> str:
    """Says "12 of 128 units are dead"."""
    return _count(subject, "dead (never above zero)")


def gate_times(subject: Subject) -> str:
    """Says "gates by themselves hold for 4.2 (4.0 to 4.4) steps in the middle unit, 31 in the slowest "
    "tenth"."""
    levels = [round(float(level), 3) for level in subject.estimate.axes["quantile"]]
    if 0.5 not in levels or 0.9 not in levels:
        return ""
    middle, slow = (_hold(subject, levels.index(level)) for level in (0.5, 0.9))
    if subject.estimate.cannot_tell or not (middle and slow):
        return _open("how long the gates hold", subject.estimate)
    return f"gates by themselves hold for {middle} in the middle unit, {slow} in the slowest tenth"


def gate_cells(subject: Subject) -> str:
    """Says "3 of 128 units are perfect or near-perfect memory cells" of gates that outlast the data."""
    length, low = subject.estimate.statistics.get("steps", math.inf), subject.estimate.low
    held = 0 if low is None else int(np.sum(np.asarray(low) > length))
    if not held:
        return ""
    cells = "is a perfect or near-perfect memory cell" if held == 1 else "are perfect or near-perfect memory cells"
    return f"{held:,} of {np.size(low):,} units {cells}: the gate holds longer than the data ({length:,} steps)"


def guarantee(subject: Subject) -> str:
    """Says "the weights guarantee forgetting", where a certificate says so; silent otherwise."""
    bound = reading(subject.estimate)
    worst = bound.value if math.isnan(bound.high) else bound.high
    if subject.estimate.cannot_tell or not worst < 1:
        return ""
    return (
        "the weights guarantee forgetting: whatever the input, two states draw together by at least "
        f"{digits(100 * (1 - worst))}% per step in a suitable norm"
    )


def disagreement(subject: Subject) -> str:
    """Why half-life and context differ by far, where their intervals say that they do."""
    half, limit = reading(subject.estimate), reading(subject.find(q.EFFECTIVE_CONTEXT))
    curve = subject.find(q.CONTEXT_REPLACED)
    undecided = curve is not None and context_limit(curve, falling=not subject.own_data) is None
    if undecided or subject.estimate.statistics.get("censored") or subject.estimate.cannot_tell:
        return ""
    short, long = (steps(r, subject.provenance) for r in (half, limit))
    if limit.low > 2 * HALF_LIVES_TO_ONE_PERCENT * max(half.high, 1):
        return (
            f"two measures differ: the half-life is {short}, yet the context is {long}; most of an input "
            "fades fast and a small rest of it slowly"
        )
    if limit.high < half.low:
        return (
            f"two measures differ: the half-life is {short}, yet the context is {long}; the state keeps "
            "inputs longer than the output uses them"
        )
    return ""


HEADLINE: tuple[tuple[Quantity, Rule], ...] = (
    (q.GRADIENT_HALF_LIFE, half_life),
    (q.CONTEXT_REPLACED, context),
    (q.PARTICIPATION_RATIO, dimensions),
)
RULES: tuple[tuple[Quantity, Rule], ...] = (
    (q.GRADIENT_HALF_LIFE, disagreement),
    (q.LYAPUNOV_SPECTRUM, stability),
    (q.LYAPUNOV_SPECTRUM, perfect_cell),
    (q.CONTRACTION_BOUND, guarantee),
    (q.GRADIENT_HORIZON, horizon),
    (q.GRADIENT_GROWTH, rare_growth),
    (q.LINEAR_MEMORY_CAPACITY, linear_trace),
    (q.LINEAR_SHARE, linearity),
    (q.INTERACTION_PROFILE, interaction),
    (q.KERNEL_DRIFT, training_kind),
    (q.TEMPORAL_COHERENCE, recurrent_regime),
    (q.EIGENVALUE_OUTLIERS, recurrent_outliers),
    (q.HALF_LEVEL, learning_reach),
    (q.GATE_TIME_QUANTILES, gate_times),
    (q.GATE_TIMES, gate_cells),
    (q.IDLE_UNITS, idle_units),
    (q.STUCK_UNITS, stuck_units),
    (q.SWITCHING_UNITS, switching_units),
    (q.DEAD_UNITS, dead_units),
)


def _lead(estimates: Sequence[Estimate], quantity: Quantity) -> Estimate | None:
    """The estimate the headline uses: of the whole model, or of the last part, which the output reads."""
    every = find_all(estimates, quantity)
    return find(every, quantity) or (every[-1] if every else None)


def _of_part(estimates: Sequence[Estimate], part: str) -> list[Estimate]:
    return [e for e in estimates if e.part == part]


def _headline(subjects: Sequence[Estimate], estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> list[str]:
    """One sentence of all that is decided about the subjects, then one for each open question."""
    clauses = [
        (e.part, _clause(rule, e, estimates, provenance))
        for quantity, rule in HEADLINE
        for e in find_all(subjects, quantity)
    ]
    decided = [(part, text) for part, text in clauses if not text.startswith(CANNOT_TELL)]
    grouped = [
        _with_parts("; ".join(text for _, text in group), [part], estimates)
        for part, group in groupby(decided, key=lambda clause: clause[0])
    ]
    undecided = [_with_parts(text, [part], estimates) for part, text in clauses if text.startswith(CANNOT_TELL)]
    return ["; ".join(grouped), *undecided] if grouped else undecided


def _by_part(quantity: Quantity, rule: Rule, estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> list[str]:
    """What a rule says of every part; parts of which it says the same share a sentence."""
    named: dict[str, list[str]] = {}
    for estimate in find_all(estimates, quantity):
        text = _clause(rule, estimate, estimates, provenance)
        if text:
            named.setdefault(text, []).append(estimate.part)
    return [_with_parts(text, names, estimates) for text, names in named.items()]


def _clause(rule: Rule, estimate: Estimate, estimates: Sequence[Estimate], provenance: Mapping[str, Any]) -> str:
    return rule(Subject(estimate, estimates, provenance))


def _with_parts(text: str, names: Sequence[str], estimates: Sequence[Estimate]) -> str:
    """With the names of the parts in front, unless there is but one part or it is the whole."""
    shown = [name for name in names if name]
    return f"{', '.join(shown)}: {text}" if shown and len(parts(estimates)) > 1 else text


def _independence(estimates: Sequence[Estimate]) -> list[str]:
    """A flat zero curve says more than any number."""
    curves = (
        ("state", q.STATE_JACOBIAN_RMS),
        ("output", q.OUTPUT_JACOBIAN_RMS),
    )
    flat = [what for what, curve in curves for e in find_all(estimates, curve) if not np.any(e.value)]
    return [f"the {flat[0]} does not depend on the input"] if flat else []


def capitalised(text: str) -> str:
    """With a capital letter in front, unless it begins with the name of a symbol, "h: ..."."""
    return text if text[1:2] == ":" else f"{text[:1].upper()}{text[1:]}"


def _open(question: str, estimate: Estimate) -> str:
    """Says "cannot tell ... because ...", with the bare number beside it where there is one."""
    alone = reading(estimate).value if np.ndim(estimate.value) == 0 else math.nan
    beside = f" (the estimate alone is {digits(alone)})" if math.isfinite(alone) else ""
    return f"{CANNOT_TELL} {question} because {estimate.cannot_tell or 'there is no interval'}{beside}"


def _lasting(subject: Subject, told: str, censored: str, asked: str) -> str:
    estimate = subject.estimate
    if estimate.statistics.get("censored"):
        ceiling = estimate.statistics.get("ceiling", round(reading(estimate).value))
        return censored.format(steps(f"{ceiling:,}", subject.provenance, ceiling))
    lasting = reading(estimate)
    if estimate.cannot_tell or not lasting.decided:
        return _open(asked, estimate)
    return told.format(steps(lasting, subject.provenance))


def _context_not_reached(curve: Estimate, provenance: Mapping[str, Any]) -> str:
    """What is left at the largest lag, where the curve's interval never stays below 1%."""
    last, left = int(curve.axes["lag"][-1]), reading(curve, -1)
    span = steps(f"{last:,}", provenance, last)
    if left.low > CHANGE:
        return f"all that is older than {span} still changes the output by {percent(left)}"
    if curve.cannot_tell or not left.decided:
        return _context_at_least(curve, provenance) or _open("how far back the output depends on its inputs", curve)
    asked = f"whether all that is older than {span} changes the output by more than 1%"
    return f"{CANNOT_TELL} {asked}: it is {percent(left)}"


def _context_at_least(curve: Estimate, provenance: Mapping[str, Any]) -> str:
    """What is decided of a curve whose end is not: the last lag at which it is above 1% for certain."""
    above = np.flatnonzero(np.nan_to_num(np.asarray(curve.low if curve.low is not None else np.nan)) > CHANGE)
    if not above.size or curve.axes["lag"][above[-1]] == 0:
        return ""
    lag = int(curve.axes["lag"][above[-1]])
    span = steps(f"{lag:,}", provenance, lag)
    return (
        f"all that is older than {span} still changes the output by {percent(reading(curve, int(above[-1])))}, and how "
        "much older it may be these data do not tell"
    )


def _far_starts(subject: Subject, said: str) -> str:
    """Nearby states converge; whether far ones do is for the test with two far starts."""
    share, exponent = reading(subject.find(q.START_FORGOTTEN)).value, reading(subject.estimate, 0)
    if share >= 1:
        return f"stable: the same input leads to the same state, whatever the start ({said})"
    near = f"nearby states converge under the same input ({said})"
    if math.isnan(share):
        return f"{near}; whether far ones do was not tested"
    count = subject.estimate.statistics.get("steps", math.inf)
    if MEETING / -exponent.value > count:
        return f"{near}, too slowly for two far starts to meet within {count:,} steps"
    return (
        f"{near}, but two far starts ended in different states on {digits(100 * (1 - share))}% of sequences: "
        "the model may keep its start for good"
    )


def _chaotic(subject: Subject, said: str) -> str:
    precision = subject.provenance.get("precision", "float64")
    if precision != "float64":
        asked = f"{CANNOT_TELL} whether the model is chaotic because the run was in {precision}"
        return f"{asked}: {said}; repeat it in float64"
    return f"chaotic under this input: tiny differences of the state grow ({said})"


def _within_a_step(spectrum: Estimate) -> bool:
    """Whether the interval of the largest exponent lies within 1/T of zero."""
    exponent, count = reading(spectrum, 0), spectrum.statistics.get("steps")
    return bool(count) and not spectrum.cannot_tell and exponent.low >= -1 / count and exponent.high <= 1 / count


def _mostly_unseen(capacity: Estimate | None) -> bool:
    """Whether less than half of the possible capacity was found by the degrees and lags tested."""
    if capacity is None:
        return False
    most = capacity.statistics.get("rank") or capacity.statistics.get("bound")
    return bool(most) and float(np.sum(capacity.value)) < 0.5 * most


def _band(share: float) -> str:
    return next((name for least, name in SHARE_NAMES if share >= least), SHARE_NAMES[-1][1])


def _count(subject: Subject, what: str) -> str:
    """Says "12 (11 to 13) of 128 units are idle", silent where the interval admits fewer than 2%."""
    count, units = reading(subject.estimate), subject.estimate.statistics.get("units")
    if not units or subject.estimate.cannot_tell or not count.low >= NEGLIGIBLE_UNITS * units:
        return ""
    return f"{count} of {units:,} units {'is' if count.centre == '1' else 'are'} {what}"


def _outside(eigenvalues: Estimate, singular_values: Estimate) -> str:
    """Says "2 eigenvalues (up to 1.46) and no singular value"."""
    counts = []
    for name, estimate in (("eigenvalue", eigenvalues), ("singular value", singular_values)):
        sizes = np.linalg.norm(np.atleast_2d(estimate.value), axis=0)
        up_to = f" ({'up to ' * (len(sizes) > 1)}{digits(sizes[0], 3)})" if len(sizes) else ""
        counts.append(f"{len(sizes) or 'no'} {name}{'s' * (len(sizes) > 1)}{up_to}")
    return " and ".join(counts)


def _hold(subject: Subject, index: int) -> str:
    """One quantile of the gate times; "longer than the data" where it is."""
    hold, count = reading(subject.estimate, index), subject.estimate.statistics.get("steps", math.inf)
    if hold.value > count:
        return f"longer than the data ({count:,} steps)"
    return steps(hold, subject.provenance) if hold.decided else ""
