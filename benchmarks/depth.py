"""Memory, degrees and training of stacks on one core, beside what people run instead; prints its tables."""
# ruff: noqa: E402

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before BLAS, XLA and PyTorch make their threads

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

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
STEPS = {1: 100, 2: 36, 3: 18, 4: 13, 5: 10}  # of a run by layers; the last steps have degrees of 100 to 2,002
SHAPES = ((1, 1, 1), (2, 1, 1), (2, 2, 2), (3, 4, 2), (4, 2, 3), (2, None, 1), (3, None, 2))  # width, rank, channels
MILLION, AT_ONCE = 10**6, 0.1  # seconds
LAYERS, HIDDEN, CHANNELS, DELAY, LENGTH, SEQUENCES = 2, 25, 5, 8, 16, 1000  # the authors' default, fresh sequences
RATE, FASTER, SEEDS = 1e-3, 20, 8
SHORT, OURS, THEIRS = 64, 3200, 50  # steps of a short run, and how many a long one of ours and of theirs adds

Rows = tuple[list[str], list[str]]  # of ours, and of what is held against it


def first_and_later(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first call and the median of later ones."""
    return seconds(action), median(seconds(action) for _ in range(RUNS))


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
        took = median(seconds(partial(way, system, lags)) for _ in range(RUNS)) * LAGS / lags
        about = f"{name} of the {len(system.A):,} collapsed states, from {lags} lags"
        theirs.append(f"| Markov parameters | {about} | {took:,.0f} | {took / times[1]:,.0f} | the same |")
    question = f"Markov parameters, {DEPTH} layers of width {WIDTH}, {LAGS:,} lags"
    return [told(question, times, 5, "")], theirs


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
    took = median(seconds(lambda: capacity_by_covariance(system, lags)) for _ in range(3))
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


def our_training(seeds: int) -> Callable[[int], Any]:
    """Steps on the expected loss: no sequences, an impulse a channel."""
    start, task = orthogonal_start(linear_stack(LAYERS, HIDDEN, CHANNELS)), PopulationCopy(DELAY, CHANNELS, LENGTH)
    sizes = dict(batch=CHANNELS, sequences=CHANNELS, validation=CHANNELS)

    def train(steps: int) -> Any:
        training = Training(learning_rate=RATE, steps=steps, validate_every=steps, **sizes)
        return sweep(start, task, training, range(seeds))

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


def their_training(*layers: torch.nn.Module) -> Callable[[int], Any]:
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


def step_of(train: Callable[[int], Any], steps: int) -> float:
    """Milliseconds: what a run takes that is so many steps longer, which takes off compiling and setting up."""
    short = seconds(lambda: train(SHORT))
    return 1e3 * (seconds(lambda: train(SHORT + steps)) - short) / steps


def training_table() -> list[str]:
    """A step of Adam on copying; all ways take turns."""
    ways = {
        "one": (our_training(1), OURS),
        "several": (our_training(SEEDS), OURS),
        "loop": (their_training(LinearLayer(CHANNELS, HIDDEN), LinearLayer(HIDDEN, HIDDEN)), THEIRS),
        "native": (their_training(NativeLayers(CHANNELS, HIDDEN, LAYERS, bias=False)), THEIRS),
    }
    for train, _ in ways.values():
        train(SHORT)
    turns = [{name: step_of(*way) for name, way in ways.items()} for _ in range(RUNS)]
    usual = {name: median(turn[name] for turn in turns) for name in ways}
    met = f"{FASTER}: {yes(usual['loop'] / usual['one'] >= FASTER)}"
    names = {
        "one": (f"`fit`, expected loss | {met}", 1),
        "several": (f"`sweep` of {SEEDS} seeds, expected loss |", SEEDS),
        "loop": (f"PyTorch, loop over time, {SEQUENCES:,} fresh sequences |", 1),
        "native": (f"`torch.nn.RNN`, tanh, {SEQUENCES:,} fresh sequences |", 1),
    }
    return [
        "| way | target | a step, ms | of one network, ms | faster than the loop | than `torch.nn.RNN` |",
        "| --- | --- | --- | --- | --- | --- |",
        *(step_row(names[name][0], usual[name], names[name][1], usual) for name in ways),
    ]


def step_row(name: str, step: float, networks: int, usual: dict[str, float]) -> str:
    """A way to train."""
    own = step / networks
    return f"| {name} | {step:.3g} | {own:.3g} | {usual['loop'] / own:.1f} | {usual['native'] / own:.1f} |"


def main() -> list[str]:
    """The tables, as lines of Markdown."""
    ours, theirs = zip(*(topic() for topic in (markov, memory, degrees, plan)), strict=True)
    return [
        "| question | first call, s | later, s | target, s | outcome |",
        "| --- | --- | --- | --- | --- |",
        *sum(ours, []),
        "",
        "| question | otherwise | s | times ours | outcome |",
        "| --- | --- | --- | --- | --- |",
        *sum(theirs, []),
        "",
        *training_table(),
        "",
        f"One core; medians. Products with the collapsed matrix are timed for some lags, and taken as often for {LAGS:,}.",
        f"A step of Adam: linear RNN of {LAYERS} layers of {HIDDEN} units without biases, {CHANNELS} channels, delay",
        f"{DELAY}, length {LENGTH}, float32; ours without noise, theirs with that of {SEQUENCES:,} sequences.",
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
