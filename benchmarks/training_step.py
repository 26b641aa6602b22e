"""Times training steps against PyTorch on the same machine in the same run; prints one table.

A training step is the value and the gradient, in all weights, of a mean squared loss: batch 32, length 256, input and
width 128, float32, the batch outside by `jax.vmap`, both sides with time first. The actions take turns, and a row
tells the medians. Both sides use all cores; on a machine that is busy, or with one thread, ask for CPU time:

    OMP_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false python benchmarks/training_step.py --cpu-time
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from state_space_routes import torch_fft, torch_loop, torch_step

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, build

BATCH, LENGTH, WIDTH, LONG = 32, 256, 128, 16384
RUNS = 9
Step = Callable[[], Any]
CLOCK = time.process_time if "--cpu-time" in sys.argv else time.perf_counter


@dataclass(frozen=True)
class Race:
    """One of our steps and those it is held against, by name; each is made when the race begins.

    Attributes:
        target: how many times faster than each of them we mean to be.
    """

    name: str
    ours: Callable[[], Step]
    theirs: dict[str, Callable[[], Step]]
    target: dict[str, float]


def seconds(action: Step) -> float:
    """Time of one call."""
    began = CLOCK()
    action()
    return CLOCK() - began


def jax_step(architecture: Architecture, batch: int = BATCH, length: int = LENGTH) -> Step:
    """Our compiled training step."""
    weights = build(architecture).weights
    x, y = (jnp.asarray(a) for a in data(architecture, batch, length))

    def loss(weights, x, y):
        run = lambda s: architecture.run(weights, architecture.start(weights), s)[1]  # noqa: E731
        return ((jax.vmap(run, in_axes=1, out_axes=1)(x) - y) ** 2).mean()

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(compiled(weights, x, y))


def data(architecture: Architecture, batch: int = BATCH, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs and targets (time, sequence, channel)."""
    rng = np.random.default_rng(0)
    sizes = architecture.input_size, architecture.output_size
    x, y = (rng.standard_normal((length, batch, n)).astype(np.float32) for n in sizes)
    return x, y


def module_step(kind: str) -> Step:
    """PyTorch's own layers."""
    layer = getattr(torch.nn, kind)(WIDTH, WIDTH, num_layers=2)
    return backward(lambda x: layer(x)[0], list(layer.parameters()), RNN(WIDTH, WIDTH))


def loop_step(architecture: Architecture, advance: Callable[..., torch.Tensor], compiled: bool = False) -> Step:
    """A loop over time in PyTorch, with our weights; `compiled` compiles what is done at each step."""
    layers = architecture.layers if isinstance(architecture, Deep) else (architecture,)
    given = build(architecture).weights
    given = given if isinstance(architecture, Deep) else (given,)
    weights = [{k: torch.tensor(np.asarray(w), requires_grad=True) for k, w in each.items()} for each in given]
    advance = torch.compile(advance) if compiled else advance

    def forward(x):
        states, outputs = [None if advances_from_nothing(a) else x.new_zeros(BATCH, WIDTH) for a in layers], []
        for signal in x:
            for number, w in enumerate(weights):
                states[number] = signal = advance(w, states[number], signal)
            outputs.append(signal)
        return torch.stack(outputs)

    return backward(forward, [w for each in weights for w in each.values()], architecture)


def advances_from_nothing(architecture: Architecture) -> bool:
    """Whether the first step of a layer has no recurrent factor."""
    return isinstance(architecture, ArithmeticCircuit)


def backward(forward: Callable, weights: list[torch.Tensor], architecture: Architecture) -> Step:
    """The training step of a PyTorch function."""
    x, y = map(torch.tensor, data(architecture))
    return lambda: torch.autograd.grad(((forward(x) - y) ** 2).mean(), weights)


def second_order_cp(w: dict, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One step of a 2RNN in CP form."""
    both = ((h @ w["factor_hidden"]) * (x @ w["factor_input"])) @ w["factor_out"].T
    return torch.tanh(both + h @ w["weight_hh"].T + x @ w["weight_ih"].T + w["bias"])


def second_order_full(w: dict, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One step of a 2RNN with the full tensor."""
    both = torch.einsum("ijm,bj,bm->bi", w["tensor"], h, x)
    return torch.tanh(both + h @ w["weight_hh"].T + x @ w["weight_ih"].T + w["bias"])


def circuit(w: dict, h: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """One step of an arithmetic circuit."""
    entering = x @ w["weight_ih"].T
    return entering if h is None else (h @ w["weight_hh"].T) * entering


def fused_layers() -> Iterator[Race]:
    """Two layers against PyTorch's fused ones."""
    for kind in (RNN, LSTM, GRU):
        ours = partial(jax_step, Deep((kind(WIDTH, WIDTH), kind(WIDTH, WIDTH))))
        fused = f"`torch.nn.{kind.__name__}`"
        yield Race(f"{kind.__name__}, 2 layers", ours, {fused: partial(module_step, kind.__name__)}, {fused: 1})


def multiplicative() -> Iterator[Race]:
    """Layers that PyTorch lacks, against the loop its users write."""
    rows = {
        "2RNN, CP rank 128": (SecondOrderRNN(WIDTH, WIDTH, cp_rank=128, activation="tanh"), second_order_cp),
        "2RNN, full tensor": (SecondOrderRNN(WIDTH, WIDTH, activation="tanh"), second_order_full),
        "RAC, 2 layers": (Deep((ArithmeticCircuit(WIDTH, WIDTH), ArithmeticCircuit(WIDTH, WIDTH))), circuit),
    }
    for name, (architecture, advance) in rows.items():
        loop = partial(loop_step, architecture, advance)
        theirs = {"eager loop": loop, "loop, step by `torch.compile`": partial(loop, compiled=True)}
        yield Race(name, partial(jax_step, architecture), theirs, dict(zip(theirs, (10, 2), strict=True)))


def long_sequences() -> Iterator[Race]:
    """A diagonal state space over a long sequence."""
    layer = DiagonalStateSpace(1, WIDTH, 1, r_max=0.999)
    same = torch.randn(BATCH, LONG, 1)
    theirs = {"eager loop": partial(torch_step, torch_loop, layer, same)}
    theirs |= {"FFT convolution": partial(torch_step, torch_fft, layer, same)}
    ours = partial(jax_step, layer, BATCH, LONG)
    yield Race(f"diagonal state space, length {LONG:,}", ours, theirs, {"eager loop": 20, "FFT convolution": 1})


def raced(race: Race) -> list[str]:
    """A row for each opponent: times, first calls, ratio and whether the target is met."""
    steps = {"ours": race.ours()} | {name: make() for name, make in race.theirs.items()}
    first = {name: taken for name, step in steps.items() if (taken := first_call(name, step)) is not None}
    runs = RUNS if max(first.values()) < 10 else 3
    turns = [{name: seconds(steps[name]) for name in first} for _ in range(runs)]
    usual = {name: median(turn[name] for turn in turns) for name in first}
    return [told(race, name, usual, first) for name in race.theirs]


def told(race: Race, name: str, usual: dict[str, float], first: dict[str, float]) -> str:
    """The row of one opponent."""
    ours = f"| {race.name} | {name} | {1e3 * usual['ours']:.1f} |"
    if name not in usual:
        return f"{ours} does not compile | | | {first['ours']:.1f} | |"
    ratio, target = usual[name] / usual["ours"], race.target[name]
    met = f"{target}: {'yes' if ratio >= target else 'no'}"
    return f"{ours} {1e3 * usual[name]:.1f} | {ratio:.2f} | {met} | {first['ours']:.1f} | {first[name]:.1f} |"


def first_call(name: str, step: Step) -> float | None:
    """Seconds of the first call, compilation included; None where PyTorch's compiler gives up."""
    try:
        return seconds(step)
    except Exception as error:  # whatever a compiler raises, the table goes on without it
        if name == "ours":
            raise
        print(f"{name}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
        return None


def limits() -> list[str]:
    """What bounds the ratios: how long the matrix products of a step take, at the speed of large ones."""
    size = 2048
    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(a, a))
    rate = 2 * size**3 / min(seconds(lambda: jax.block_until_ready(product(a, a))) for _ in range(RUNS))
    work = 2 * 2 * 3 * 2 * BATCH * LENGTH * WIDTH**2  # layers, products each, passes, multiply and add
    return [
        f"The matrix products of the RAC's step are {work / 1e9:.1f} GFLOP; at {rate / 1e9:.0f} GFLOP/s, the speed of",
        f"{size} x {size} products here, they take {1e3 * work / rate:.0f} ms, which bounds every implementation.",
        "For the LSTM, hoisting the input product out of the scan, one product for all weight gradients, a fused",
        "product of input and state, and unrolling were each tried and were not faster.",
    ]


def main() -> list[str]:
    """The table, as lines of Markdown."""
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    head = ("model", "against", "ours, ms", "theirs, ms", "ratio", "target", "our first call, s", "their first call, s")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for races in (fused_layers, multiplicative, long_sequences):
        for race in races():
            lines += (rows := raced(race))
            print(*rows, sep="\n", file=sys.stderr, flush=True)
    clock = "CPU time" if CLOCK is time.process_time else "wall time"
    about = f"Batch {BATCH}, length {LENGTH} if not told, input and width {WIDTH}, float32, {torch.get_num_threads()} "
    return [
        *lines,
        "",
        f"{about}threads; medians of {clock}, a ratio above 1 means that ours is faster.",
        "",
        *limits(),
    ]


if __name__ == "__main__":
    print("\n".join(main()))
