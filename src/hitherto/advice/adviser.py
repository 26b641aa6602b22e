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
        price: its parameters, as the request counts them.
        numbers: by name; each names its theory or measurement and its conditions.
        obstacles: why it cannot do what is asked; none for options that may.
        trusted: whether its learning steps are a prediction; else they are a bound from a draw, or beyond the widths
            that the theory speaks of.
    """

    candidate: Candidate
    price: int
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
            self.price,
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
        """Feasible options that no other beats in both price and learning steps, cheapest first."""
        able = sorted((o for o in self.options if _comparable(o)), key=lambda o: (o.price, o.order))
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
    sentence = _refusal(options, request) if options[0].obstacles else _sentence(options[0], request)
    return Advice(request, options, sentence, _changes(options, request))


def assessed(candidate: Candidate, request: Request, seed: int = 0) -> Option:
    """All that is known of a candidate before it is trained."""
    drawn: Draw | None = None if candidate.linear else draw(candidate, request.lag, seed)
    numbers = [*cost(candidate, request), *holding(candidate, request), *learning(candidate, request, drawn)]
    numbers += stability(candidate, request, drawn)
    trusted = candidate.linear and not doubt(candidate, request)
    named = {number.name: number for number in numbers}
    return Option(candidate, candidate.counted(request.cost), named, obstacles(candidate, request), trusted)


def _comparable(option: Option) -> bool:
    return not option.obstacles and option.trusted and math.isfinite(option["learning steps"])


def _sentence(best: Option, request: Request) -> str:
    steps = best["learning steps"]
    learned = f"{'at least ' * (not best.trusted)}{steps:,.0f} step{'s' * (steps > 1)}"
    told = f"learned in {learned} of gradient descent" if math.isfinite(steps) else "which a fresh draw does not learn"
    if math.isnan(steps):
        told = "whose learning was not measured"
    return f"For {_wanted(request)} take {best.candidate.described}: {_priced(best.price, request)}, {told}."


def _refusal(options: Sequence[Option], request: Request) -> str:
    """That none can do it, and why not the one within the budget that reaches farthest."""
    fitting = [option for option in options if option.price <= request.budget] or options
    near = max(fitting, key=lambda o: (not (request.nonlinear and o.candidate.linear), o["copy reach"]))
    return (
        f"Nothing that was tried keeps {_wanted(request)} with {_priced(request.budget, request)}: "
        f"{near.candidate.name} comes nearest, but: {'; '.join(near.obstacles)}."
    )


def _wanted(request: Request) -> str:
    channels, lag = request.channels, request.lag
    return f"{channels:,} channel{'s' * (channels > 1)} over {lag:,} step{'s' * (lag > 1)}"


def _priced(price: int, request: Request) -> str:
    return f"{price:,} {'effective ' * (request.cost == 'effective')}parameters"


def _changes(options: tuple[Option, ...], request: Request) -> tuple[str, ...]:
    able = [option for option in options if not option.obstacles]
    if not able:
        return (f"The rank that is asked for is {demanded_rank(request):,}: a larger budget, or a shorter lag.",)
    best, found = able[0], []
    smallest = min(able, key=lambda option: option.price)
    if smallest is not best:
        found.append(f"Fewer than {_priced(best.price, request)}: {_brief(smallest, request)}.")
    if best["copy reach"] < 4 * request.lag and request.rank is None:
        found.append(f"A lag above {best['copy reach']:,.0f}: more states; these cannot copy over more steps.")
    if best.candidate.linear and (other := next((o for o in able if not o.candidate.linear), None)):
        found.append(f"Answers that are no sum of functions of single inputs: {_brief(other, request)}.")
    rivals = [o for o in able[1:] if o.trusted and o.candidate.start.law != best.candidate.start.law]
    if rivals:
        found.append(f"Training that does not get on, whatever the prediction: {_brief(rivals[0], request)}.")
    return tuple(found)


def _brief(option: Option, request: Request) -> str:
    return f"{option.candidate.name}, {_priced(option.price, request)}"


def _option_dict(option: Option) -> dict[str, Any]:
    candidate = option.candidate
    return {
        "name": candidate.name,
        "candidate": plain(vars(candidate) | {"start": vars(candidate.start)}),
        "price": option.price,
        "feasible": not option.obstacles,
        "obstacles": list(option.obstacles),
        "trusted": option.trusted,
        "numbers": [plain(vars(number)) for number in option.numbers.values()],
    }
