"""Exact separation ranks on one core, beside NumPy's int64 and the whole grid of outputs; prints its tables."""

import os
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before XLA makes its threads

from hitherto.core.model import precision  # noqa: E402
from hitherto.measures._pairs import outputs_of_pairs  # noqa: E402
from hitherto.measures.separation_rank import start_end_rank  # noqa: E402
from hitherto.papers.start_end import circuit  # noqa: E402
from hitherto.theory.start_end import generic_rank  # noqa: E402

PRIME = 1073741789  # the largest below 2^30
CASES = (  # depth, width, features, start, end; seconds asked
    ((2, 2, 2, 4, 200), 1),
    ((2, 3, 3, 4, 30), 4),
    ((3, 4, 4, 3, 3), 40),
)
KERNELS = ((2, 3, 3, 4, 30), (3, 4, 4, 3, 3))
SAMPLES, GRID, MEMORY = 512, (2, 3, 3, 6, 6), 16 * 2**30


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def rank_row(sizes: tuple[int, ...], asked: float) -> str:
    """First and later time of a certified rank, and the memory that it took."""
    bound = generic_rank(*sizes).upper_bound
    model, (start, end) = circuit(*sizes[:3]), sizes[3:]

    def run(seed: int) -> None:
        found = start_end_rank(model, start, end, bound=bound, seed=seed)
        assert (found.value, found.statistics["status"]) == (bound, "certified")

    first, later = seconds(lambda: run(0)), seconds(lambda: run(1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {told(sizes)} | {bound:,} | {first:.2f} | {later:.2f} | {asked}: {yes(later <= asked)} | {peak:,.0f} |"


def kernel_row(sizes: tuple[int, ...]) -> str:
    """Pair-steps a second of the compiled kernel and of NumPy's int64, on the same weights and samples."""
    depth, width, features, start, end = sizes
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.integers(PRIME, size=shape, dtype=np.uint64)  # noqa: E731
    starts, ends = draw(SAMPLES, start, features), draw(SAMPLES, end, features)
    layers = [
        {"weight_ih": draw(width, size), "weight_hh": draw(width, width)} for size in [features] + [width] * (depth - 1)
    ]
    layers[-1]["readout"] = draw(1, width)
    sides = (True,) * start + (False,) * end

    def ours() -> np.ndarray:
        with precision(np.float64):
            return outputs_of_pairs(circuit(depth, width, features), sides, tuple(layers), None, starts, ends, PRIME, 0)

    compiled, plain = ours()[..., 0], numpy_outputs(layers, starts, ends)
    assert np.array_equal(compiled.astype(np.uint64), (plain.astype(np.uint64) << np.uint64(32)) % np.uint64(PRIME))
    rates = [
        SAMPLES**2 * end / min(seconds(way) for _ in range(3))
        for way in (ours, lambda: numpy_outputs(layers, starts, ends))
    ]
    ratio = rates[0] / rates[1]
    return f"| {told(sizes)} | {rates[0] / 1e6:.1f} | {rates[1] / 1e6:.1f} | {ratio:.1f} | 3: {yes(ratio >= 3)} |"


def numpy_outputs(layers: list[dict[str, np.ndarray]], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The same algorithm in int64: starts once, their states against all ends, a remainder after every product."""
    layers = [{name: w.astype(np.int64) for name, w in layer.items()} for layer in layers]
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)

    def times(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
        total = matrix[:, 0, None] * columns[0] % PRIME
        for k in range(1, matrix.shape[1]):
            total += matrix[:, k, None] * columns[k] % PRIME
        return total % PRIME

    def step(states: list, x: np.ndarray) -> list:
        after = []
        for layer, h in zip(layers, states, strict=True):
            entering = times(layer["weight_ih"], x)
            x = entering if h is None else entering * times(layer["weight_hh"], h) % PRIME
            after.append(x)
        return after

    states: list = [None] * len(layers)
    for x in np.moveaxis(starts, 1, 0):
        states = step(states, x.T)
    states = [np.repeat(h, len(ends), 1) for h in states]
    for x in np.moveaxis(ends, 1, 0):
        states = step(states, np.tile(x.T, (1, len(starts))))
    return times(layers[-1]["readout"], states[-1]).reshape(len(starts), len(ends))


def grid_rows() -> list[str]:
    """The whole grid tensor: one entry a word, every word run from the first step."""
    depth, width, symbols, start, end = GRID
    length = start + end
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(2, width, symbols if k == 0 else width)) for k in range(depth)]
    recurrent = rng.normal(size=(depth, width, width))

    def whole() -> None:
        words = np.stack(np.unravel_index(np.arange(symbols**length), (symbols,) * length))
        states: list = [None] * depth
        for letters in words:
            x = np.eye(symbols)[:, letters]
            for k in range(depth):
                entering = layers[k][0] @ x
                x = states[k] = entering if states[k] is None else entering * (recurrent[k] @ states[k])

    took, most = seconds(whole), int(np.log(MEMORY / 8) / np.log(symbols))
    small = seconds(lambda: start_end_rank(circuit(depth, width, symbols), start, end, inputs="one-hot"))
    small = min(
        small, seconds(lambda: start_end_rank(circuit(depth, width, symbols), start, end, inputs="one-hot", seed=1))
    )
    return [
        f"| {length} | {symbols**length:,} | {took:.2f} | {small:.2f} |",
        f"| {most} | {symbols**most:,} | 16 GiB: the last that fits | |",
        f"| 34 | {symbols**34:.1e} | impossible | see above |",
    ]


def told(sizes: tuple[int, ...]) -> str:
    """Sizes in words."""
    return "depth {}, width {}, features {}, start {}, end {}".format(*sizes)


def yes(reached: bool) -> str:
    """Whether a target is reached."""
    return "yes" if reached else "no"


def main() -> list[str]:
    """The tables, as lines of Markdown."""
    return [
        "| circuit | certified rank | first call, s | later, s | target, s | peak MB so far |",
        "| --- | --- | --- | --- | --- | --- |",
        *(rank_row(*case) for case in CASES),
        "",
        "| circuit | ours, million pair-steps a second | NumPy int64 | ratio | target |",
        "| --- | --- | --- | --- | --- |",
        *map(kernel_row, KERNELS),
        "",
        "| length | entries of the whole grid tensor | filling it in floats, s | exact rank, s |",
        "| --- | --- | --- | --- |",
        *grid_rows(),
        "",
        "One core. A pair-step is one step of one start with one end. Most of the time of rank 5,920 is FLINT's",
        "elimination. The grid is that of two layers of width 3 over 3 symbols; filling it does not yet give its rank.",
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
    sys.exit()
