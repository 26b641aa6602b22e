"""What is tried: recurrence, depth, width for the budget, initialisation and learning rates."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hitherto.advice.request import Request
from hitherto.theory.depth import effective_dimension, least
from hitherto.theory.depth_planner import parameter_count, plan_copy

if TYPE_CHECKING:
    from hitherto.core.model import Model
    from hitherto.training.settings import Training

DEEPEST = 32  # layers: beyond, a stack is no longer trained as it is
DEPTHS = (2, 4)
RATE = 1e-2  # of Adam
WIDE = 8  # units up to which the recurrent matrix is trained at the full rate


@dataclass(frozen=True)
class Start:
    """A law of fresh weights.

    Attributes:
        law: `orthogonal`, `gaussian`, `identity`, `ring`: of the recurrent matrix, all with entries of mean square
            `high / width`; `modes`: complex modes with squared moduli uniform on [low, high]; `pytorch`: the default of
            that framework; `gates`: the same, but the biases make the old state last `low` to `high` steps.
        low, high: see `law`.
        readout: variance of readout entries, times the states.
        entering: variance of input entries, times the channels.
    """

    law: str
    low: float = 0.0
    high: float = 1.0
    readout: float = 1.0
    entering: float = 1.0

    def __str__(self) -> str:
        """The law and its numbers."""
        if self.law in ("gates", "modes"):
            return f"{self.law} {self.low:.3g} to {self.high:.3g}"
        return "default" if self.law == "pytorch" else f"{self.law} {self.high:.3g}"

    @property
    def described(self) -> str:
        """In a clause."""
        told = {
            "gates": f"biases that hold the old state for {self.low:,.3g} to {self.high:,.3g} steps",
            "modes": f"|lambda|^2 uniform on {self.low:.6g} to {self.high:.6g}",
            "pytorch": "the default start of PyTorch",
        }
        return (
            told.get(self.law) or f"{self.law} recurrent weights that keep {self.high:.4g} of the squared state a step"
        )


@dataclass(frozen=True)
class Candidate:
    """One architecture with its start and its rates.

    Attributes:
        family: of `request.FAMILIES`.
        depth, width: layers, and units (complex modes of an lru) of each.
        channels: at the input and at the output.
        activation: of an rnn and a 2rnn; "" where the cell has its own.
        start: the law of fresh weights.
        learning_rate: of Adam.
        recurrent_rate: factor on it for `weight_hh`.
        naive: whether it is there to be compared with.
    """

    family: str
    depth: int
    width: int
    channels: int
    activation: str
    start: Start
    learning_rate: float = RATE
    recurrent_rate: float = 1.0
    naive: bool = False

    @property
    def linear(self) -> bool:
        """Whether outputs are a sum over lags of weights times inputs."""
        return self.family == "lru" or (self.family == "rnn" and self.activation == "linear")

    @property
    def states(self) -> int:
        """Numbers that are carried from step to step."""
        return self.depth * self.width * (2 if self.family in ("lstm", "lru") else 1)

    @property
    def parameters(self) -> int:
        """Numbers to train."""
        d = self.channels
        if self.family == "lru":
            return self.width * (3 + 4 * d)
        biases = 2 if self.family == "rnn" and not self.linear else 0
        return parameter_count(self.family, self.depth, self.width, d, d, biases=biases)

    @property
    def name(self) -> str:
        """In a few words, different for different candidates: depth x width of a cell, and its start."""
        return f"{'naive ' * self.naive}{self._cell} {self.depth}x{self.width}, {self.start}"

    @property
    def described(self) -> str:
        """In a sentence's part, with all that is needed to build and train it."""
        layers = f"{self.depth:,} layers of {self.width:,}" if self.depth > 1 else f"one layer of {self.width:,}"
        units = f"{layers} {'complex modes' if self.family == 'lru' else 'units'} ({self._cell})"
        readout = f", readout entries of variance {self.start.readout:.3g} / width" if self.start.readout != 1 else ""
        slowed = f", recurrent weights at {self.recurrent_rate:.2g} of it" if self.recurrent_rate != 1 else ""
        return f"{units} with {self.start.described}{readout}, Adam at {self.learning_rate:g}{slowed}"

    @property
    def _cell(self) -> str:
        return f"{self.activation} {self.family}".strip()

    def model(self, seed: int) -> "Model":
        """With fresh weights by its start, to be trained by `fit`."""
        from hitherto.advice.models import fresh  # advice itself needs no JAX

        return fresh(self, seed)

    def training(self, steps: int) -> "Training":
        """The settings of `fit` by which it is trained: Adam at its rates, on 32 sequences a step."""
        from hitherto.advice.models import training

        return training(self, steps)

    def counted(self, cost: str) -> int:
        """Its price: `parameters`, or for linear rnns without a change of basis, what is left."""
        if cost == "effective" and self.family == "rnn" and self.linear:
            return effective_dimension(self.depth, self.width, self.channels, self.channels)
        return self.parameters


def candidates(request: Request) -> tuple[Candidate, ...]:
    """All that is tried, those within the budget in the width they need, others as wide as it allows.

    The naive one, one tanh layer as wide as the budget allows from the default start, is always among them.
    """
    makers = {"rnn": _rnns, "lstm": _lstms, "gru": _grus, "lru": _lrus, "2rnn": _second_order}
    found = [candidate for family in request.families for candidate in makers[family](request)]
    return tuple(dict.fromkeys([*found, naive(request)]))


def naive(request: Request) -> Candidate:
    """One layer, as wide as the budget allows, from the framework's default start."""
    return _widest(request, lambda width: Candidate("rnn", 1, width, request.channels, "tanh", Start("pytorch")), True)


def naive_gated(request: Request) -> Candidate:
    """The same rule with an LSTM, the other usual choice."""
    return _widest(request, lambda width: Candidate("lstm", 1, width, request.channels, "", Start("pytorch")), True)


def time_constant(lag: int) -> float:
    """nu = exp(-1 / (lag + 1)): the share of squared state kept a step, for which j nu^j is largest at the lag."""
    return math.exp(-1 / (lag + 1))


def _rnns(request: Request) -> Iterator[Candidate]:
    nu = time_constant(request.lag)
    for law, high in (("orthogonal", nu), ("gaussian", nu), ("ring", nu), ("identity", 1.0)):
        yield _fitted(request, "rnn", request.width, "linear", Start(law, high, high, _quiet(high, 1, request)))
    for depth in _depths(request):
        high = math.exp(-depth / (request.lag + 1))
        start = Start("orthogonal", high, high, _quiet(high, depth, request))
        width = request.channels + -(-5 * max(request.states - request.channels, 0) // (4 * depth))
        yield _sized(request, lambda w, s=start, n=depth: _recurrent("rnn", n, w, request, "linear", s), width)
    small = Start("orthogonal", nu, nu, entering=_quiet(nu, 1, request))  # units stay where tanh is nearly linear
    yield _fitted(request, "rnn", request.width, "tanh", small)


def _lstms(request: Request) -> Iterator[Candidate]:
    for start in (_gates(request), Start("pytorch")):
        yield _fitted(request, "lstm", -(-request.width // 2), "", start)


def _grus(request: Request) -> Iterator[Candidate]:
    for start in (_gates(request), Start("pytorch")):
        yield _fitted(request, "gru", request.width, "", start)


def _lrus(request: Request) -> Iterator[Candidate]:
    """Modes whose memories reach from a quarter of the lag to beyond it, and the default of the unit disc.

    Twice the states that are needed: modes lie where chance puts them.
    """
    for low, high in ((math.exp(-4 / request.lag), math.exp(-0.5 / request.lag)), (0.0, 1.0)):
        yield _fitted(request, "lru", request.width, "", Start("modes", low, high))


def _second_order(request: Request) -> Iterator[Candidate]:
    yield _fitted(request, "2rnn", request.width, "linear", Start("pytorch"))


def _gates(request: Request) -> Start:
    return Start("gates", max(1.5, request.lag / 2), 2.0 * request.lag + 2)


def _depths(request: Request) -> tuple[int, ...]:
    """Two, four, and the depth that copies with fewest weights."""
    planned = plan_copy(request.channels, request.lag, cost=request.cost).depth
    return tuple(sorted({depth for depth in (*DEPTHS, planned) if 1 < depth <= min(DEEPEST, request.lag)}))


def _quiet(nu: float, depth: int, request: Request) -> float:
    """Readout variance for which a fresh network puts out as much as its target: the sum of response variances is 1."""
    paths, total = 1.0, 0.0
    for lag in range(request.length):
        total += paths
        paths *= nu * (lag + depth) / (lag + 1)
    return 1 / total


def _fitted(request: Request, family: str, width: int, activation: str, start: Start) -> Candidate:
    return _sized(request, lambda w: _recurrent(family, 1, w, request, activation, start), width)


def _recurrent(family: str, depth: int, width: int, request: Request, activation: str, start: Start) -> Candidate:
    slowed = min(1.0, WIDE / width) if family in ("rnn", "2rnn") else 1.0
    return Candidate(family, depth, width, request.channels, activation, start, RATE, slowed)


def _sized(request: Request, made: Callable[[int], Candidate], width: int) -> Candidate:
    """As wide as it needs, or as the budget allows."""
    wanted = made(width)
    return wanted if wanted.counted(request.cost) <= request.budget else _widest(request, made)


def _widest(request: Request, made: Callable[[int], Candidate], naive: bool = False) -> Candidate:
    """The widest within the budget, no narrower than the channels."""

    def too_dear(extra: int) -> bool:
        return made(request.channels + extra).counted(request.cost) > request.budget

    found = made(request.channels + least(too_dear) - 1)
    return Candidate(**{**vars(found), "naive": True}) if naive else found
