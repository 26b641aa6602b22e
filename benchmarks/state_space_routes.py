"""Which route through a linear state-space layer is fastest, and how it compares with PyTorch; prints two tables.

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1 python benchmarks/state_space_routes.py [--full]

A training step is the gradient of the mean square of the outputs in all weights, float32. Times on the CPU are CPU
times, so that a busy machine disturbs them little; give each library one thread as above. The first table is what
`AbstractStateSpace.chosen` goes by.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import jax
import torch

from hitherto.architectures.state_space import ROUTES, AbstractStateSpace, DiagonalStateSpace, StateSpace
from hitherto.core.model import Model, build

BATCH, RUNS = 32, 3
LENGTHS, WIDTHS, CHANNELS = (64, 1024, 16384), (16, 128, 512), (1, 4, 16, 128)
MOST_CONVOLVED = 16  # channels in and out; beyond, a convolution is far behind
ALL_LENGTHS = (64, 256, 1024, 4096, 16384, 65536)
MOST_NUMBERS = 2**28  # of the states of one batch: 1 GiB


def step_of(model: Model) -> Callable[[jax.Array], Any]:
    """The compiled gradient in all weights for a batch of inputs."""
    layer, start = model.architecture, model.architecture.start(model.weights)

    def loss(weights, x):
        return (jax.vmap(lambda x: layer.run(weights, start, x)[1])(x) ** 2).mean()

    compiled = jax.jit(jax.grad(loss))
    return lambda x: jax.block_until_ready(compiled(model.weights, x))


def best_times(actions: dict[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, tuple[float, float]]:
    """Shortest time of each action and the time of its first call, the actions taking turns."""
    first = {name: seconds(act) for name, act in actions.items()}
    turns = [{name: seconds(act) for name, act in actions.items()} for _ in range(runs)]
    return {name: (min(turn[name] for turn in turns), first[name]) for name in actions}


def seconds(action: Callable[[], Any]) -> float:
    """CPU time of one call, wall time on other devices."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    began = clock()
    action()
    return clock() - began


def cases(full: bool) -> Iterator[tuple[AbstractStateSpace, int]]:
    """Layers and lengths that fit into memory."""
    for length, width, channels in product(ALL_LENGTHS if full else LENGTHS, WIDTHS, CHANNELS):
        if BATCH * length * 2 * width <= MOST_NUMBERS:
            yield DiagonalStateSpace(channels, width, channels, r_max=0.999), length
            yield StateSpace(channels, width, channels), length


def routes_table(full: bool) -> None:
    """A row a case: milliseconds of each route, compile time in brackets."""
    print("| family | length | width | channels | scan | associative | convolution | fastest |\n" + "| --- " * 8 + "|")
    for layer, length in cases(full):
        x = jax.random.normal(jax.random.key(1), (BATCH, length, layer.input_size))
        routes = ROUTES[1:] if layer.input_size <= MOST_CONVOLVED else ROUTES[1:-1]
        steps = {r: step_of(Model(replace(layer, route=r), build(layer).weights)) for r in routes}
        times = best_times({r: partial(step, x) for r, step in steps.items()})
        told = [f"{1e3 * times[r][0]:.2f} ({1e3 * times[r][1]:.0f})" if r in times else "-" for r in ROUTES[1:]]
        fastest = min(times, key=lambda r: times[r][0])
        sizes = (type(layer).__name__, length, layer.width, layer.input_size)
        print("| " + " | ".join(map(str, (*sizes, *told, fastest))) + " |", flush=True)


def torch_loop(modes: torch.Tensor, b: torch.Tensor, c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The recurrence as usually written: one step after the other, products with B and C outside the loop."""
    state, states = torch.zeros(len(x), len(modes), dtype=torch.cfloat), []
    for drive in (x.to(torch.cfloat) @ b).unbind(1):
        state = modes * state + drive
        states.append(state)
    return (torch.stack(states, 1) @ c).real


def torch_fft(modes: torch.Tensor, b: torch.Tensor, c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The same by FFT: of the kernels between few channels, of every mode between many, which is cheaper there."""
    length = x.shape[1]
    powers = torch.exp(torch.log(modes) * torch.arange(length)[:, None])
    if x.shape[2] ** 2 <= len(modes):
        kernel = torch.einsum("tn,in,no->tio", powers, b, c).real
        spectrum = torch.fft.rfft(kernel, 2 * length, dim=0), torch.fft.rfft(x, 2 * length, dim=1)
        return torch.fft.irfft(torch.einsum("fio,bfi->bfo", *spectrum), 2 * length, dim=1)[:, :length]
    spectrum = torch.fft.fft(x.to(torch.cfloat) @ b, 2 * length, dim=1) * torch.fft.fft(powers, 2 * length, dim=0)
    return (torch.fft.ifft(spectrum, dim=1)[:, :length] @ c).real


def torch_step(forward: Callable[..., torch.Tensor], layer: DiagonalStateSpace, x: torch.Tensor) -> Callable[[], Any]:
    """The gradient of the mean square in modes, B and C."""
    modes = torch.polar(torch.rand(layer.width) ** 0.5 * 0.999, 6.28 * torch.rand(layer.width))
    b = torch.randn(layer.input_size, layer.width, dtype=torch.cfloat)
    c = torch.randn(layer.width, layer.output_size, dtype=torch.cfloat)
    weights = [w.requires_grad_() for w in (modes, b, c)]
    return lambda: torch.autograd.grad((forward(*weights, x) ** 2).mean(), weights)


def torch_table(length: int = 16384, width: int = 128) -> None:
    """Milliseconds of a training step of the same diagonal layer here and in PyTorch, taking turns."""
    torch.set_num_threads(1)
    print("\n| channels | here | PyTorch loop | PyTorch FFT | loop / here | FFT / here |\n" + "| --- " * 6 + "|")
    for channels in (1, 4, 128):
        layer = DiagonalStateSpace(channels, width, channels, r_max=0.999)
        x, step = jax.random.normal(jax.random.key(1), (BATCH, length, channels)), step_of(build(layer))
        same = torch.randn(BATCH, length, channels)
        ways = {"here": partial(step, x)}
        ways |= {name: torch_step(f, layer, same) for name, f in (("loop", torch_loop), ("fft", torch_fft))}
        times = best_times(ways, runs=2)
        here, loop, fft = (1e3 * times[way][0] for way in ("here", "loop", "fft"))
        ratios = f"{loop / here:.1f} | {fft / here:.1f}"
        print(f"| {channels} | {here:.1f} | {loop:.0f} | {fft:.1f} | {ratios} |", flush=True)


if __name__ == "__main__":
    print(f"{jax.default_backend()}, batch {BATCH}; milliseconds (first call with compiling)\n")
    routes_table("--full" in sys.argv)
    torch_table()
