"""Candidates ranked by what they can hold and can learn, and one recommendation with what would change it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hitherto.advice.candidates import Candidate, candidates
from hitherto.advice.cost import cost
from hitherto.advice.draws import Draw, draw
from hitherto.advice.holding import demanded_rank, holding, obstacles
from hitherto.advice.learning import doubt, learning
from hitherto.advice.request import FAMILIES, Number, Request
from hitherto.advice.stability import stability
from hitherto.core.quantity import plain


@dataclass(frozen=True)
class Option:
    """A candidate with all that is known of it before training.

    Attributes:
        candidate: what it is.
        numbers: by name; each names its theory or measurement and its conditions.
        obstacles: why it cannot do what is asked; none for options that may.
        trusted: whether its learning steps are a prediction; else they are a bound from a draw, or beyond the widths
            that the theory speaks of.
    """

    candidate: Candidate
    numbers: Mapping[str, Number]
    obstacles: tuple[str, ...]
    trusted: bool

    def __getitem__(self, name: str) -> float:
        """A number; NaN where it is not known."""
        value = self.numbers[name].value
        return math.nan if value is None else float(value)

    @property
    def order(self) -> tuple[bool, bool, float, int]:
        """What options are sorted by: feasible first, predictions before bounds, then learning steps and parameters."""
        steps = self["learning steps"]
        return (
            bool(self.obstacles),
            not self.trusted,
            math.inf if math.isnan(steps) else steps,
            self.candidate.parameters,
        )


@dataclass(frozen=True)
class Advice:
    """What to build.

    Attributes:
        request: what was asked.
        options: best first.
        sentence: the recommendation.
        changes: what would change it.
    """

    request: Request
    options: tuple[Option, ...]
    sentence: str
    changes: tuple[str, ...]

    @property
    def best(self) -> Option | None:
        """The first option; None if none can do it."""
        return None if self.options[0].obstacles else self.options[0]

    @cached_property
    def pareto(self) -> tuple[Option, ...]:
        """Feasible options that no other beats in both parameters and learning steps, smallest first."""
        able = sorted((o for o in self.options if _comparable(o)), key=lambda o: (o.candidate.parameters, o.order))
        front: list[Option] = []
        for option in able:
            if not front or option["learning steps"] < front[-1]["learning steps"]:
                front.append(option)
        return tuple(front)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "request": plain(vars(self.request)),
            "sentence": self.sentence,
            "changes": list(self.changes),
            "pareto": [option.candidate.name for option in self.pareto],
            "options": [_option_dict(option) for option in self.options],
        }


def advise(
    lag: int,
    channels: int = 1,
    *,
    rank: int | None = None,
    parameters: int | None = None,
    families: Sequence[str] = FAMILIES,
    cost: str = "dense",
    steps: int = 2000,
    nonlinear: bool = False,
    seed: int = 0,
) -> Advice:
    """Architectures, starts and learning rates for a memory, ranked before anything is trained.

    Feasible options first: those within the budget whose states can hold the lag. Among them those come first whose
    learning is predicted by theory, then by steps of gradient descent until a tenth of the squared error is left.
    Gated, tanh and second-order cells have no such theory: a small draw bounds their steps from below, and they come
    after.

    Args:
        lag: steps between the oldest input that an answer needs and the answer.
        channels: numbers a step that must be kept.
        rank, parameters, families, cost, steps, nonlinear: as for `Request`.
        seed: of the draws.
    Raises:
        ValueError: as for `Request`.

    Cost: about a second for lags of hundreds; no model is built or compiled.
    Does not tell: what Adam does in networks of finite width, which `verify_advice` measures; nor, for answers that are
    no sum of functions of single inputs, more than that linear models cannot give them.
    Source: our derivation from the theories named by each number.
    """
    return advised(Request(lag, channels, rank, parameters, tuple(families), cost, steps, nonlinear), seed)


def advised(request: Request, seed: int = 0) -> Advice:
    """`advise` for a request that is made already."""
    options = tuple(sorted((assessed(c, request, seed) for c in candidates(request)), key=lambda o: o.order))
    return Advice(request, options, _sentence(options[0], request), _changes(options, request))


def assessed(candidate: Candidate, request: Request, seed: int = 0) -> Option:
    """All that is known of a candidate before it is trained."""
    drawn: Draw | None = None if candidate.linear else draw(candidate, request.lag, seed)
    numbers = [*cost(candidate, request), *holding(candidate, request), *learning(candidate, request, drawn)]
    numbers += stability(candidate, request, drawn)
    trusted = candidate.linear and not doubt(candidate, request)
    return Option(candidate, {number.name: number for number in numbers}, obstacles(candidate, request), trusted)


def _comparable(option: Option) -> bool:
    return not option.obstacles and option.trusted and math.isfinite(option["learning steps"])


def _sentence(best: Option, request: Request) -> str:
    wanted = (
        f"{request.channels:,} channel{'s' * (request.channels > 1)} over {request.lag:,} step{'s' * (request.lag > 1)}"
    )
    if best.obstacles:
        return f"Nothing that was tried keeps {wanted} with {request.budget:,} parameters: {best.candidate.name} " + (
            f"comes nearest, but: {'; '.join(best.obstacles)}."
        )
    steps = best["learning steps"]
    learned = f"{'at least ' * (not best.trusted)}{steps:,.0f} step{'s' * (steps > 1)}"
    told = f"learned in {learned} of gradient descent" if math.isfinite(steps) else "which a fresh draw does not learn"
    return f"For {wanted} take {best.candidate.described}: {best.candidate.parameters:,} parameters, {told}."


def _changes(options: tuple[Option, ...], request: Request) -> tuple[str, ...]:
    able = [option for option in options if not option.obstacles]
    if not able:
        return (f"The rank that is asked for is {demanded_rank(request):,}: a larger budget, or a shorter lag.",)
    best, found = able[0], []
    smallest = min(able, key=lambda option: option.candidate.parameters)
    if smallest is not best:
        found.append(f"Fewer than {best.candidate.parameters:,} parameters: {_brief(smallest)}.")
    if best["copy reach"] < 4 * request.lag and request.rank is None:
        found.append(f"A lag above {best['copy reach']:,.0f}: more states; these cannot copy over more steps.")
    if best.candidate.linear and (other := next((o for o in able if not o.candidate.linear), None)):
        found.append(f"Answers that are no sum of functions of single inputs: {_brief(other)}.")
    rivals = [o for o in able[1:] if o.trusted and o.candidate.start.law != best.candidate.start.law]
    if rivals:
        found.append(f"Training that does not get on, whatever the prediction: {_brief(rivals[0])}.")
    return tuple(found)


def _brief(option: Option) -> str:
    return f"{option.candidate.name}, {option.candidate.parameters:,} parameters"


def _option_dict(option: Option) -> dict[str, Any]:
    candidate = option.candidate
    return {
        "name": candidate.name,
        "candidate": plain(vars(candidate) | {"start": vars(candidate.start)}),
        "feasible": not option.obstacles,
        "obstacles": list(option.obstacles),
        "trusted": option.trusted,
        "numbers": [plain(vars(number)) for number in option.numbers.values()],
    }
