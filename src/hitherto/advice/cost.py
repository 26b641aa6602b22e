"""What a candidate costs: counted from its sizes."""

from hitherto.advice.candidates import Candidate
from hitherto.advice.request import Number, Request

COUNTED = "counted"
BIASES = {"2rnn": 1, "lstm": 8, "gru": 6}  # numbers a unit


def cost(candidate: Candidate, request: Request) -> tuple[Number, ...]:
    """Parameters, effective dimensions where they are asked for, states, and products a step."""
    found = [
        Number("parameters", candidate.parameters, "", COUNTED),
        Number("states", candidate.states, "", COUNTED),
        Number("products", products(candidate), "a step", COUNTED, "of numbers, for one step of one sequence forward"),
    ]
    if request.cost == "dense":
        return tuple(found)
    known = candidate.family == "rnn" and candidate.linear
    told = "" if known else "not known for this family: all weights count"
    return (*found, Number("effective dimensions", candidate.counted("effective"), "", "theory: depth", told))


def products(candidate: Candidate) -> int:
    """Multiplications of a step forward: every weight but biases once; a complex mode takes four of its own."""
    if candidate.family == "lru":
        return 4 * candidate.width * (1 + candidate.channels)
    biases = 0 if candidate.linear else BIASES.get(candidate.family, 2)
    return candidate.parameters - biases * candidate.width * candidate.depth
