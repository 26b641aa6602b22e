"""Kernels and training of wide linear RNNs on one core, beside what people run instead; prints its tables.

Each way runs in a process of its own, so that its peak memory is its own: `python benchmarks/linear_bias.py "NAME"`.
"""
# ruff: noqa: E402

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before BLAS, XLA and PyTorch make their threads

import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import toeplitz
from separation_rank import seconds, yes

from hitherto.architectures.rnn import RNN
from hitherto.core.model import build, precision
from hitherto.measures.tangent_kernel import lag_kernel
from hitherto.papers.linear_bias_networks import drawn
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_nonlinear import Recurrent, recurrent_kernels
from hitherto.theory.linear_bias_products import kernel_product
from hitherto.training.wide_linear import WideLinearRNN

Action = Callable[[], np.ndarray]

RUNS, CORNER = 3, 64
FASTER, LEANER = 50, 20  # times, asked of the lag kernel beside its Jacobian
START, RELU = Gaussian(0.9), Recurrent("relu", 1.3, 0.8)
UNITS, LAGS, SOME_LAGS = 2000, 200, 8
FEWER_UNITS, FEWER_LAGS = 512, 100
LONG, SHORT, DELAY, SOME_STEPS = 100_000, 4000, 50, 1000
STEPS = 100  # of training, which is what `WideLinearRNN` takes
SEQUENCES, LENGTH, CHANNELS, PAIRS = 200, 100, 3, 100


# ---------------------------------------------------------------- the lag kernel of a network


def by_formula(width: int, lags: int) -> Action:
    """Ours, for one channel."""
    model = drawn(START, width, 0).model
    return lambda: lag_kernel(model, lags)[:, :, 0, 0, 0, 0]


def by_jacobian(width: int, lags: int, rows: int) -> Action:
    """J J^T of the first rows of the impulse response, J from JAX in float64."""
    network = drawn(START, width, 0)

    def response(recurrent: jax.Array, entering: jax.Array, readout: jax.Array) -> jax.Array:
        def step(state: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            return network.scale * recurrent @ state, network.scale * readout @ state

        return jax.lax.scan(step, entering, length=lags)[1][:rows, 0, 0]

    @jax.jit
    def kernel(*weights: jax.Array) -> jax.Array:
        slopes = jax.jacrev(response, (0, 1, 2))(*weights)
        return sum(j.reshape(rows, -1) @ j.reshape(rows, -1).T for j in slopes)

    def action() -> np.ndarray:
        with precision(np.float64):
            return np.asarray(kernel(network.recurrent[0], network.entering[0], network.readout))

    return action


# ---------------------------------------------------------------- long sequences


def white(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """An input, and another of the same length."""
    return tuple(np.random.default_rng(0).normal(size=(2, steps, 1)))


def by_transforms(steps: int) -> Action:
    """Ours."""
    (x, v), weights = white(steps), lag_weights(Gaussian(0.99), steps)
    return lambda: kernel_product(weights, x, x, v)


def by_matrices(steps: int) -> Action:
    """X D X^T v with X in full; K itself is never formed."""
    (x, v), weights = white(steps), lag_weights(Gaussian(0.99), steps)

    def action() -> np.ndarray:
        design = toeplitz(x[:, 0], np.zeros(steps))
        return design @ (weights[:, None] * (design.T @ v))

    return action


def delayed(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """An input, and itself later."""
    x = white(steps)[0]
    return x, np.concatenate([np.zeros((DELAY, 1)), x[:-DELAY]])


def by_filter(steps: int) -> Action:
    """Ours: all lags, 100 times the time of the fastest mode."""
    x, y = delayed(steps)
    return lambda: WideLinearRNN(Gaussian(0.99), time=STEPS).fit(x, y).impulse_response_


def by_training(steps: int) -> Action:
    """One step of gradient descent of a linear RNN in PyTorch, float32."""
    import torch  # which the memory of the other ways must not hold

    torch.set_num_threads(1)
    network = drawn(Gaussian(0.99), FEWER_UNITS, 0)
    arrays = (network.recurrent[0], network.entering[0], network.readout)
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in arrays]
    x, y = (torch.tensor(part, dtype=torch.float32) for part in delayed(steps))

    def action() -> np.ndarray:
        recurrent, entering, readout = weights
        state, states = torch.zeros(FEWER_UNITS), []
        for driven in x @ entering.T:
            state = network.scale * (recurrent @ state) + driven
            states.append(state)
        loss = ((network.scale * torch.stack(states) @ readout.T - y) ** 2).mean() / 2
        return np.concatenate([slope.numpy().ravel() for slope in torch.autograd.grad(loss, weights)])

    return action


# ---------------------------------------------------------------- the recurrent tangent kernel


def sequences() -> np.ndarray:
    """Of three channels."""
    return np.random.default_rng(0).normal(size=(SEQUENCES, LENGTH, CHANNELS))


def by_diagonals() -> Action:
    """Ours, all pairs at once."""
    xs = list(sequences())
    return lambda: recurrent_kernels(RELU, xs).ntk


def by_pairs() -> Action:
    """The same recursion pair by pair, in plain Python."""
    xs = sequences()
    return lambda: np.array([relu_kernel(xs[0], other) for other in xs[:PAIRS]])


def relu_kernel(left: np.ndarray, right: np.ndarray) -> float:
    """Of one pair."""
    recurrent, entering = RELU.sigma_w**2, RELU.sigma_u**2 / CHANNELS
    own = theirs = value = slope = tangent = 0.0
    for x, y in zip(left, right, strict=True):
        own, theirs = (entering * (p @ p) + recurrent * v / 2 for p, v in ((x, own), (y, theirs)))
        covariance, size = entering * (x @ y) + recurrent * value, math.sqrt(own * theirs)
        tangent = covariance + recurrent * slope * tangent
        cosine = min(1.0, covariance / size)
        slope = (math.pi - math.acos(cosine)) / (2 * math.pi)
        value = size * math.sqrt(1 - cosine**2) / (2 * math.pi) + covariance * slope
    return value + slope * tangent


def by_sampling() -> Action:
    """J J^T of one network, a gradient of its last output for each sequence, by JAX in float64."""
    sizes = dict(variance=RELU.sigma_w**2, input_variance=RELU.sigma_u**2 / CHANNELS)
    layer = RNN(CHANNELS, FEWER_UNITS, 1, "relu", bias=False, parametrisation="ntk_unit", **sizes)
    model, xs = build(layer, 0, np.float64), sequences()

    @jax.jit
    def kernel(weights: dict[str, jax.Array], xs: jax.Array) -> jax.Array:
        start = layer.start(weights)
        slopes = jax.vmap(jax.grad(lambda w, x: layer.run(w, start, x)[1][-1, 0]), (None, 0))(weights, xs)
        return sum(j.reshape(SEQUENCES, -1) @ j.reshape(SEQUENCES, -1).T for j in jax.tree.leaves(slopes))

    def action() -> np.ndarray:
        with precision(np.float64):
            return np.asarray(kernel(jax.tree.map(jnp.asarray, model.weights), jnp.asarray(xs)))

    return action


# ---------------------------------------------------------------- each way alone, and the tables


class Way(NamedTuple):
    """A way to an answer, and what share of the work it is timed for."""

    make: Callable[[], Action]
    share: float = 1.0


class Found(NamedTuple):
    """Seconds of the first call and of later ones for all the work, MB that they added, and a corner of the answer."""

    first: float
    later: float
    added: float
    answer: list[list[float]]


WAYS = {
    "wide network": Way(partial(by_formula, UNITS, LAGS)),
    "its Jacobian": Way(partial(by_jacobian, UNITS, LAGS, SOME_LAGS), SOME_LAGS / LAGS),
    "network": Way(partial(by_formula, FEWER_UNITS, FEWER_LAGS)),
    "Jacobian": Way(partial(by_jacobian, FEWER_UNITS, FEWER_LAGS, FEWER_LAGS)),
    "long product": Way(partial(by_transforms, 10**6)),
    "short product": Way(partial(by_transforms, SHORT)),
    "matrices": Way(partial(by_matrices, SHORT)),
    "filter": Way(partial(by_filter, LONG)),
    "training": Way(partial(by_training, SOME_STEPS), SOME_STEPS / LONG / STEPS),
    "diagonals": Way(by_diagonals),
    "pairs": Way(by_pairs, PAIRS / (SEQUENCES * (SEQUENCES + 1) / 2)),
    "sampled network": Way(by_sampling),
}


def alone(name: str) -> Found:
    """One way, in this process."""
    make, share = WAYS[name]
    action = make()
    with precision(np.float64):
        jax.block_until_ready(jnp.zeros(1) + 1)  # what XLA takes in any case
    before = peak()
    first, later = seconds(action), median(seconds(action) for _ in range(RUNS))
    added, answer = peak() - before, action()
    return Found(first / share, later / share, added, answer.reshape(len(answer), -1)[:CORNER, :CORNER].tolist())


def peak() -> float:
    """Highest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(name: str) -> Found:
    """One way, in a process of its own."""
    ran = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return Found(*json.loads(ran.stdout))


def gap(ours: Found, theirs: Found) -> float:
    """Largest difference where both have answers, as a share of the largest."""
    first, second = np.array(ours.answer), np.array(theirs.answer)
    rows, columns = np.minimum(first.shape, second.shape)
    differences = first[:rows, :columns] - second[:rows, :columns]
    return float(np.abs(differences).max() / np.abs(first).max())


ASKED = (  # question, its way, seconds asked
    (f"lag kernel of {UNITS:,} units, {LAGS} lags", "wide network", 1.5),
    (f"lag kernel of {FEWER_UNITS} units, {FEWER_LAGS} lags", "network", None),
    ("K v for 1,000,000 steps", "long product", 0.6),
    (f"`WideLinearRNN` on {LONG:,} steps, as many lags", "filter", 10),
    (f"recurrent kernel of {SEQUENCES} sequences of {LENGTH} steps, ReLU", "diagonals", 5),
)
BESIDE = (  # question, ours, otherwise, its way
    (
        f"lag kernel, {UNITS:,} units",
        "wide network",
        f"gradients by `jax.jacrev`, from {SOME_LAGS} lags",
        "its Jacobian",
    ),
    (f"lag kernel, {FEWER_UNITS} units", "network", "`jax.jacrev`, then J J^T", "Jacobian"),
    (f"K v for {SHORT:,} steps", "short product", "Toeplitz matrix of the inputs", "matrices"),
    (
        "a wide linear RNN, trained",
        "filter",
        f"PyTorch, {STEPS} steps of {FEWER_UNITS} units, from one of {SOME_STEPS:,} time steps",
        "training",
    ),
    ("recurrent kernel", "diagonals", f"pair by pair in Python, from {PAIRS} pairs", "pairs"),
    ("recurrent kernel", "diagonals", f"`jax.grad`, one network of {FEWER_UNITS} units", "sampled network"),
)


def rows_of_ours(found: dict[str, Found]) -> Iterator[str]:
    """Seconds against those that were asked, and memory."""
    for question, name, asked in ASKED:
        first, later, added, _ = found[name]
        told = f"{asked:g}: {yes(later < asked)}" if asked else ""
        yield f"| {question} | {first:.3g} | {later:.3g} | {told} | {added:,.0f} |"


def rows_beside(found: dict[str, Found]) -> Iterator[str]:
    """What else can be done, how much longer it takes and how far its answer is from ours."""
    for question, ours, otherwise, theirs in BESIDE:
        own, other = found[ours], found[theirs]
        far = "" if theirs == "training" else f"{gap(own, other):.0e}"
        times = f"{other.later:.3g} | {other.later / own.later:,.1f}"
        yield f"| {question} | {otherwise} | {times} | {other.added:,.0f} | {far} |"


def linear_bias_tables() -> list[str]:
    """Markdown."""
    found = {name: apart(name) for name in WAYS}
    own, other = found["network"], found["Jacobian"]
    faster, leaner = other.later / own.later, other.added / own.added
    return [
        "| question | first call, s | later, s | asked | MB added |",
        "| --- | --- | --- | --- | --- |",
        *rows_of_ours(found),
        "",
        "| question | otherwise | s | times ours | MB added | gap |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows_beside(found),
        "",
        f"Beside the Jacobian of {FEWER_UNITS} units and {FEWER_LAGS} lags: {faster:.0f} times faster ({FASTER} asked: "
        f"{yes(faster >= FASTER)}), {leaner:.0f} times leaner ({LEANER} asked: {yes(leaner >= LEANER)}).",
        "One core, float64, each way in a process of its own; PyTorch in float32. MB are the peak above that of a",
        "process which has imported JAX and holds the inputs. Where less was run, seconds are scaled to the whole. A",
        "gap is a share of the largest entry; that of the sampled network is what one draw of so many units misses.",
    ]


if __name__ == "__main__":
    told = json.dumps(alone(sys.argv[1])) if len(sys.argv) > 1 else "\n".join(linear_bias_tables())
    print(told)
