"""Memory, degrees and training of stacks on one core, beside what people run instead; prints its tables."""
# ruff: noqa: E402

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before BLAS, XLA and PyTorch make their threads

from collections.abc import Callable
from functools import partial
from itertools import chain
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_discrete_lyapunov
from separation_rank import seconds, yes

from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.starts import orthogonal_start
from hitherto.core.model import Model, build
from hitherto.measures.linear_response import markov_parameters
from hitherto.measures.linear_system import LinearSystem, linear_system
from hitherto.measures.memory_curve import linear_memory_curve
from hitherto.measures.polynomial_degree import polynomial_degree
from hitherto.papers.depth_networks import linear_stack
from hitherto.tasks.population import PopulationCopy
from hitherto.theory import depth_degree
from hitherto.theory.depth_planner import plan_copy
from hitherto.training.fit import sweep
from hitherto.training.settings import Training

RUNS = 5
DEPTH, WIDTH, LAGS = 16, 128, 10_000
FEW_VECTORS, FEW_POWERS = 200, 4  # lags that the collapsed matrix is timed for
UNITS, RADIUS, TOLERANCE = 1000, 0.9, 1e-8
STEPS = {1: 100, 2: 40, 3: 20, 4: 13, 5: 10}  # of a run by layers; the last have degrees of 100 to 2,002
SHAPES = ((1, 1, 1), (2, 2, 2), (3, 4, 2), (4, 2, 3), (2, None, 1), (3, None, 2))  # width, rank, channels
MILLION, AT_ONCE = 10**6, 0.1  # seconds
LAYERS, HIDDEN, CHANNELS, DELAY, LENGTH, SEQUENCES = 2, 25, 5, 8, 16, 1000  # the authors' default, fresh sequences
RATE, FASTER, SEEDS = 1e-3, 20, 8
SHORT, OURS, THEIRS = 64, 3200, 50  # steps of a short run, and how many a long one of ours and of theirs adds

Rows = tuple[list[str], list[str]]  # of ours, and of what is held against it


def usual(action: Callable[[], Any]) -> float:
    """Median of the seconds of some calls."""
    return median(seconds(action) for _ in range(RUNS))


def first_and_later(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first call, and of later ones."""
    return seconds(action), usual(action)


def told(question: str, times: tuple[float, float], asked: float, outcome: str) -> str:
    """A row of ours."""
    first, later = times
    return f"| {question} | {first:.3g} | {later:.3g} | {asked:g}: {yes(later < asked)} | {outcome} |"


def markov() -> Rows:
    """Answers of a deep stack to an impulse, beside products with its collapsed matrix."""
    model = orthogonal_start(linear_stack(DEPTH, WIDTH, 1), RADIUS, RADIUS)(0)
    times = first_and_later(lambda: markov_parameters(model, LAGS))
    system, found = linear_system(model), markov_parameters(model, LAGS)
    theirs = []
    for name, way, lags in (("vectors A^k B", by_vectors, FEW_VECTORS), ("powers A^k", by_powers, FEW_POWERS)):
        gap = np.abs(way(system, lags) - found[:lags]).max() / np.abs(found[:lags]).max()
        assert gap < 1e-9, gap
        took = usual(partial(way, system, lags)) * LAGS / lags
        about = f"{name} of the {len(system.A):,} collapsed states, from {lags} lags"
        theirs.append(f"| Markov parameters | {about} | {took:,.0f} | {took / times[1]:,.0f} | the same to {gap:.0e} |")
    question = f"Markov parameters, {DEPTH} layers of width {WIDTH}, {LAGS:,} lags"
    return [told(question, times, 5, "as below")], theirs


def by_vectors(system: LinearSystem, lags: int) -> np.ndarray:
    """C A^k B, from A^k B to the next by one product."""
    answers, state = [], system.B
    for _ in range(lags):
        answers.append(system.C @ state)
        state = system.A @ state
    return np.array(answers)


def by_powers(system: LinearSystem, lags: int) -> np.ndarray:
    """C A^k B, from A^k to the next."""
    answers, power = [], np.eye(len(system.A))
    for _ in range(lags):
        answers.append(system.C @ power @ system.B)
        power = power @ system.A
    return np.array(answers)


def memory() -> Rows:
    """Memory capacity of one random layer, which is the number of its units, beside the covariance of its states."""
    model = random_layer()
    times = first_and_later(lambda: linear_memory_curve(model))
    curve, total = linear_memory_curve(model)
    assert abs(total.value - UNITS) < TOLERANCE, total
    system, lags = linear_system(model), len(curve.value)
    took = usual(lambda: capacity_by_covariance(system, lags))
    theirs = f"| memory capacity | `solve_discrete_lyapunov` and `pinv` | {took:.3g} | {took / times[1]:.1f} |"
    question = f"memory capacity, {UNITS:,} random units of spectral radius {RADIUS}"
    return (
        [told(question, times, 2, f"{UNITS:,} to {abs(total.value - UNITS):.0e}")],
        [f"{theirs} {capacity_by_covariance(system, lags):.0f} of {UNITS:,} |"],
    )


def random_layer() -> Model:
    """Normal entries, scaled to the spectral radius."""
    rng = np.random.default_rng(0)
    recurrent = rng.standard_normal((UNITS, UNITS))
    recurrent *= RADIUS / np.abs(np.linalg.eigvals(recurrent)).max()
    weights = {"weight_ih": rng.standard_normal((UNITS, 1)), "weight_hh": recurrent}
    return Model(RNN(1, UNITS, activation="linear", bias=False), weights)


def capacity_by_covariance(system: LinearSystem, lags: int) -> float:
    """The sum over k of (A^k B)^T C^+ A^k B, with C the solution of C = A C A^T + B B^T."""
    inverse = np.linalg.pinv(solve_discrete_lyapunov(system.A, system.B @ system.B.T))
    total, state = 0.0, system.B[:, 0]
    for _ in range(lags):
        total += state @ inverse @ state
        state = system.A @ state
    return total


def degrees() -> Rows:
    """Exact degrees of random second-order stacks, each layer and step a check of the closed form."""
    runs = [(build(second_order(depth, *shape), 0, np.float64), STEPS[depth]) for depth in STEPS for shape in SHAPES]
    times = first_and_later(lambda: [check_degrees(*run) for run in runs])
    checks = len(SHAPES) * sum(depth * steps for depth, steps in STEPS.items())
    question = f"{checks:,} exact degrees, {min(STEPS)} to {max(STEPS)} layers, {len(SHAPES)} shapes"
    return [told(question, times, 2, "all as predicted")], []


def second_order(depth: int, width: int, rank: int | None, channels: int) -> Deep:
    """A stack of linear 2RNNs."""
    return Deep(tuple(SecondOrderRNN(width if k else channels, width, cp_rank=rank) for k in range(depth)))


def check_degrees(model: Model, steps: int) -> None:
    """Compare every layer's degrees with the closed form."""
    *layers, _ = polynomial_degree(model, steps)
    for depth, found in enumerate(layers, 1):
        predicted = [depth_degree.polynomial_degree(depth, step=t) for t in range(1, steps + 1)]
        assert found.value.tolist() == predicted, (model.architecture, depth)


def plan() -> Rows:
    """The cheapest stack for very many channels and a very long delay."""
    times = first_and_later(lambda: plan_copy(MILLION, MILLION))
    found = plan_copy(MILLION, MILLION)
    assert found.reach >= MILLION
    outcome = f"{found.depth:,} layers of {found.width:,}"
    return [told(f"cheapest stack for {MILLION:,} channels and as long a delay", times, AT_ONCE, outcome)], []


def our_training(seeds: int) -> Callable[[int], None]:
    """Steps on the expected loss: no sequences, an impulse a channel. `fit` is a sweep with one seed."""
    start, task = orthogonal_start(linear_stack(LAYERS, HIDDEN, CHANNELS)), PopulationCopy(DELAY, CHANNELS, LENGTH)
    sizes = dict(batch=CHANNELS, sequences=CHANNELS, validation=CHANNELS)

    def train(steps: int) -> None:
        training = Training(learning_rate=RATE, steps=steps, validate_every=steps, **sizes)
        assert all(found.status == "finished" for found in sweep(start, task, training, range(seeds)))

    return train


class LinearLayer(torch.nn.Module):
    """h[t] = W h[t-1] + U x[t], time first."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.entering = torch.nn.Linear(channels, width, bias=False)
        self.recurrent = torch.nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All states."""
        h, states = x.new_zeros(x.shape[1], self.recurrent.in_features), []
        for entering in self.entering(x):
            h = entering + self.recurrent(h)
            states.append(h)
        return torch.stack(states)


class NativeLayers(torch.nn.RNN):
    """PyTorch's own, without its last state."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All states of the top layer."""
        return super().forward(x)[0]


def their_training(*layers: torch.nn.Module) -> Callable[[int], None]:
    """Steps on fresh sequences."""
    network = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN, CHANNELS, bias=False))
    adam = torch.optim.Adam(network.parameters(), lr=RATE)

    def train(steps: int) -> None:
        for _ in range(steps):
            x = torch.randn(LENGTH, SEQUENCES, CHANNELS)
            loss = ((network(x)[DELAY:] - x[:-DELAY]) ** 2).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    return train


class Way(NamedTuple):
    """A way to train so many networks at once, and by how many steps a run is lengthened to time one."""

    name: str
    train: Callable[[int], None]
    steps: int
    networks: int = 1
    target: float = 0.0

    def step(self) -> float:
        """Seconds, by the difference of two runs: compiling and setting up drop out."""
        short = seconds(lambda: self.train(SHORT))
        return (seconds(lambda: self.train(SHORT + self.steps)) - short) / self.steps

    def told(self, own: float, loop: float, native: float) -> str:
        """Its row, from seconds for a step of one network."""
        met = f"{self.target:g}: {yes(loop / own >= self.target)}" if self.target else ""
        times = f"{1e3 * self.networks * own:.3g} | {1e3 * own:.3g}"
        return f"| {self.name} | {times} | {loop / own:.1f} | {met} | {native / own:.1f} |"


def training_table() -> list[str]:
    """A step of Adam on copying; all ways take turns."""
    torch.manual_seed(0)
    fresh = f"{SEQUENCES:,} fresh sequences"
    layers = LinearLayer(CHANNELS, HIDDEN), LinearLayer(HIDDEN, HIDDEN)
    ways = (
        Way("`fit`, expected loss", our_training(1), OURS, target=FASTER),
        Way(f"`sweep` of {SEEDS} seeds, expected loss", our_training(SEEDS), OURS, SEEDS, FASTER),
        Way(f"PyTorch, loop over time, {fresh}", their_training(*layers), THEIRS),
        Way(
            f"`torch.nn.RNN` with tanh, {fresh}",
            their_training(NativeLayers(CHANNELS, HIDDEN, LAYERS, bias=False)),
            THEIRS,
        ),
    )
    for way in ways:
        way.train(SHORT)
    turns = [[way.step() / way.networks for way in ways] for _ in range(RUNS)]
    own = [median(times) for times in zip(*turns, strict=True)]
    return [
        "| way | a step, ms | of one network, ms | times faster than the loop | target | than `torch.nn.RNN` |",
        "| --- | --- | --- | --- | --- | --- |",
        *(way.told(time, *own[2:]) for way, time in zip(ways, own, strict=True)),
    ]


def main() -> list[str]:
    """The tables, as lines of Markdown."""
    ours, theirs = zip(*(topic() for topic in (markov, memory, degrees, plan)), strict=True)
    return [
        "| question | first call, s | later, s | target, s | outcome |",
        "| --- | --- | --- | --- | --- |",
        *chain(*ours),
        "",
        "| question | otherwise | s | times ours | outcome |",
        "| --- | --- | --- | --- | --- |",
        *chain(*theirs),
        "",
        *training_table(),
        "",
        "One core; medians. Products with the collapsed matrix are timed for some lags and taken in proportion. A step",
        f"of Adam: linear RNN of {LAYERS} layers of {HIDDEN} units without biases, {CHANNELS} channels, delay {DELAY}, "
        f"length {LENGTH}, float32;",
        f"ours knows the loss exactly, theirs has the noise of {SEQUENCES:,} sequences.",
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
