"""What a candidate can hold, however it is trained."""

from hitherto.advice.candidates import Candidate
from hitherto.advice.request import Number, Request
from hitherto.tasks.delay import DelayedCopy
from hitherto.theory.depth import copy_loss_floor, copy_reach
from hitherto.theory.start_end import cell_bound

DEPTH, START_END = "theory: depth", "theory: start_end"


def holding(candidate: Candidate, request: Request) -> tuple[Number, ...]:
    """Copy reach, certified loss floor, and separation ranks."""
    return _reach(candidate), _floor(candidate, request), _rank(candidate, request), _joint_rank(candidate)


def obstacles(candidate: Candidate, request: Request) -> tuple[str, ...]:
    """Why a candidate cannot do what is asked, whatever training finds; empty where nothing is known against it."""
    found = []
    if candidate.counted(request.cost) > request.budget:
        found.append(f"its smallest form has {candidate.counted(request.cost):,} parameters")
    if request.rank is not None and candidate.states < request.rank:
        found.append(f"{candidate.states:,} states, {request.rank:,} are needed")
    if request.rank is None and (reach := _steps(candidate)) < request.lag:
        found.append(f"cannot copy over more than {reach:,} steps" if reach >= 0 else "narrower than the signal")
    if request.nonlinear and candidate.linear:
        found.append("linear: answers are sums of functions of single inputs")
    return tuple(found)


def demanded_rank(request: Request) -> int:
    """Rank of the matching task across its middle, all answers taken together."""
    rank = DelayedCopy(request.lag, request.channels, request.length).demand.rank
    return rank if request.rank is None or rank is None else min(rank, request.rank + 1)  # type: ignore[return-value]


def _steps(candidate: Candidate) -> int:
    """Copy reach from the states of each layer; -1 where not even the present input passes."""
    reach = copy_reach([candidate.states // candidate.depth] * candidate.depth, candidate.channels)
    return -1 if reach is None else reach


def _reach(candidate: Candidate) -> Number:
    attained = candidate.family == "2rnn" or (candidate.linear and candidate.family == "rnn")
    condition = "attained by some weights" if attained else "an upper bound from the states alone"
    return Number("copy reach", _steps(candidate), "steps", DEPTH, condition)


def _floor(candidate: Candidate, request: Request) -> Number:
    name, unit = "loss floor", "of the target's variance"
    if not candidate.linear:
        return Number(name, None, unit, DEPTH, "not covered: the floor is that of linear models")
    if request.rank is not None:
        return Number(name, None, unit, DEPTH, "not covered: the floor is that of copying, and fewer states are asked")
    floor = copy_loss_floor(candidate.states, candidate.channels, request.lag, request.length)
    return Number(name, floor, unit, DEPTH, f"white inputs, sequences of {request.length:,} steps; for any training")


def _rank(candidate: Candidate, request: Request) -> Number:
    """Of one answer; a sum of a function of the start and one of the end has rank 2."""
    name = "separation rank of one answer"
    if candidate.linear or candidate.family == "2rnn":
        cell = "linear" if candidate.linear else "second-order"
        bound = cell_bound(cell, candidate.depth, candidate.width, request.lag)
        return Number(name, bound, "", START_END, "an upper bound for any weights; a delay needs 2")
    return Number(name, None, "", START_END, "not covered: the bounds are those of polynomial cells")


def _joint_rank(candidate: Candidate) -> Number:
    name = "separation rank of all answers"
    if candidate.depth == 1 and (candidate.linear or candidate.family == "2rnn"):
        return Number(name, candidate.states + 1, "", START_END, "an upper bound: the states at the cut, and 1")
    return Number(name, None, "", START_END, "not covered: no bound is known")
