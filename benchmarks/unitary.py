"""Twins, scalings and orthogonal training on one core, beside what people run instead; prints its tables."""
# ruff: noqa: E402

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before BLAS, XLA and PyTorch make their threads

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from scipy.linalg import matrix_balance
from separation_rank import seconds, yes
from torch.nn.utils.parametrizations import orthogonal

from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.conversions.to_unitary import to_unitary
from hitherto.core.model import Model, build, precision
from hitherto.theory.unitary import dilate
from hitherto.theory.unitary_scaling import rescale

RUNS = 3
GAPS = (1e-2, 1e-6, 1e-10, 1e-14, 0.0)  # 1 - s of half of the singular values
WIDTH, LENGTH, BATCH, CHANNELS = 128, 100, 32, 16
STEPS = 1000
LAYERS = {
    "`projection`, by SVD after each step": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "projection"),
    "`cayley`": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "cayley"),
    "`exponential`": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "exponential"),
    "`householder`, 16 reflections": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "householder", reflections=16),
    "`householder`, all reflections": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "householder"),
    "`rotations`, 2 log2(width) layers": UnitaryRNN(CHANNELS, WIDTH, CHANNELS, "rotations"),
}


def usual(action: Callable[[], Any]) -> float:
    """Median of the seconds of some calls."""
    return median(seconds(action) for _ in range(RUNS))


def rotation(size: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


# ---------------------------------------------------------------- twins


def layer(width: int) -> Model:
    """A ReLU layer of norm 0.95."""
    model = build(RNN(CHANNELS, width, CHANNELS, "relu"), 0, np.float64)
    w = np.random.default_rng(width).standard_normal((width, width))
    return Model(model.architecture, model.weights | {"weight_hh": 0.95 * w / np.linalg.norm(w, 2)})


def twins() -> Iterator[str]:
    """Whole conversions, certificate and measured check included."""
    for width, asked in ((256, None), (1024, 5)):
        model = layer(width)
        convert = partial(to_unitary, model, input_bound=1.0)
        first, later = seconds(convert), usual(convert)
        found = convert().certificate
        told = "" if asked is None else f"{asked}: {yes(later < asked)}"
        outcome = f"{found.states:,} states, outputs to {found.gap:.0e}, orthogonal to {found.residual:.0e}"
        yield f"| `to_unitary`, {width:,} units | {first:.2f} | {later:.2f} | {told} | {outcome} |"


def scalings() -> Iterator[str]:
    """Rescaling, beside the balancing that numerical libraries have."""
    for name, w in (("Gaussian", gaussian(256)), ("3 entries a row", sparse(256))):
        took, found = seconds(lambda w=w: rescale(w)), rescale(w)
        balanced = matrix_balance(w, permute=False)[0]
        outcome = (
            f"norm {np.linalg.norm(w, 2):.4f} to {found.norm:.4f}, none below {found.proven:.4f}; "
            f"`matrix_balance` gets to {np.linalg.norm(balanced, 2):.4f}"
        )
        yield f"| `rescale`, 256 units, {name} | {took:.2f} | {took:.2f} | 10: {yes(took < 10)} | {outcome} |"


def gaussian(size: int) -> np.ndarray:
    """Rows and columns of many sizes."""
    rng = np.random.default_rng(0)
    scale = np.exp(rng.normal(size=size))
    return 0.4 * rng.standard_normal((size, size)) / np.sqrt(size) * scale / scale[:, None]


def sparse(size: int) -> np.ndarray:
    """Few entries in each row."""
    rng = np.random.default_rng(1)
    return np.where(rng.random((size, size)) < 3 / size, rng.standard_normal((size, size)) / 3, 0.0)


def by_square_roots(w: np.ndarray) -> np.ndarray:
    """The dilation as textbooks write it, [W, -(I - W W^T)^1/2; (I - W^T W)^1/2, W^T]."""
    left, right = (root(np.eye(len(w)) - gram) for gram in (w @ w.T, w.T @ w))
    return np.block([[w, -left], [right, w.T]])


def root(square: np.ndarray) -> np.ndarray:
    """The positive square root."""
    values, vectors = np.linalg.eigh(square)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def orthogonality() -> Iterator[str]:
    """Largest entry of |W_u^T W_u - I| against how near to 1 singular values are."""
    size = 64
    for gap in GAPS:
        s = np.where(np.arange(size) % 2, 1 - gap, np.linspace(0.1, 0.9, size))
        w = rotation(size, 1) * s @ rotation(size, 2)
        w /= max(1.0, np.linalg.norm(w, 2))
        textbook = by_square_roots(w)
        theirs = np.abs(textbook.T @ textbook - np.eye(2 * size)).max()
        yield f"| {gap:g} | {theirs:.0e} | {dilate(w).residual:.0e} | {len(dilate(w).weight_hh)} |"


# ---------------------------------------------------------------- training


def our_step(architecture: Any) -> Callable[[], Any]:
    """A step of Adam, projection included."""
    model, optimiser = build(architecture, 0), optax.adam(1e-3)
    x, y = (
        np.random.default_rng(seed).standard_normal((BATCH, LENGTH, CHANNELS)).astype(np.float32) for seed in (0, 1)
    )

    def loss(weights: Any) -> jax.Array:
        start = architecture.start(weights)
        outputs = jax.vmap(lambda sequence: architecture.run(weights, start, sequence)[1])(x)
        return jnp.mean((outputs - y) ** 2)

    @jax.jit
    def step(weights: Any, state: Any) -> Any:
        updates, state = optimiser.update(jax.grad(loss)(weights), state, weights)
        return architecture.project(optax.apply_updates(weights, updates)), state

    held = [model.weights, optimiser.init(model.weights)]

    def once() -> None:
        held[:] = jax.block_until_ready(step(*held))

    return once


def their_step(kind: str) -> Callable[[], Any]:
    """The same with PyTorch's parametrisation and its fused layer."""
    torch.manual_seed(0)
    made = orthogonal(torch.nn.Linear(WIDTH, WIDTH, bias=False), orthogonal_map=kind)
    entering, out = torch.nn.Linear(CHANNELS, WIDTH), torch.nn.Linear(WIDTH, CHANNELS, bias=False)
    weights = [*made.parameters(), *entering.parameters(), *out.parameters()]
    optimiser = torch.optim.Adam(weights, 1e-3)
    x, y, start = (
        torch.randn(BATCH, LENGTH, CHANNELS),
        torch.randn(BATCH, LENGTH, CHANNELS),
        torch.zeros(1, BATCH, WIDTH),
    )
    nothing = torch.zeros(WIDTH)

    def once() -> None:
        optimiser.zero_grad()
        flat = [entering.weight, made.weight, entering.bias, nothing]
        h = torch.rnn_relu(x, start, flat, True, 1, 0.0, True, False, True)[0]
        ((out(h) - y) ** 2).mean().backward()
        optimiser.step()

    return once


def training() -> Iterator[str]:
    """Milliseconds of a step, ours and theirs."""
    theirs = {kind: usual_step(their_step(kind)) for kind in ("matrix_exp", "cayley", "householder")}
    same = {"exponential": "matrix_exp", "cayley": "cayley", "householder": "householder"}
    best = min(theirs.values())
    for name, architecture in LAYERS.items():
        took = usual_step(our_step(architecture))
        other = same.get(architecture.parametrisation)
        like = f"{theirs[other] / took:.2f}" if other else ""
        yield f"| ours, {name} | {1e3 * took:.1f} | {like} | {best / took:.2f} |"
    for kind, took in theirs.items():
        yield f'| PyTorch, `orthogonal(orthogonal_map="{kind}")` | {1e3 * took:.1f} | | {best / took:.2f} |'


def usual_step(once: Callable[[], Any], count: int = 20) -> float:
    """Median seconds of a step, after some."""
    for _ in range(3):
        once()
    return median(seconds(once) for _ in range(count))


def parametrisations() -> Iterator[str]:
    """Numbers trained, milliseconds to make W with its gradient by width, and the drift from orthogonality."""
    for name, architecture in LAYERS.items():
        sizes = [replace(architecture, width=n, reflections=architecture.reflections) for n in (32, 128, 512)]
        times = " | ".join(f"{1e3 * making(one):.2f}" for one in sizes)
        trained = sum(np.size(w) for key, w in build(architecture).weights.items() if key in MADE_OF)
        drifts = " | ".join(f"{drift(architecture, dtype):.0e}" for dtype in (np.float32, np.float64))
        yield f"| {name} | {trained:,} | {times} | {drifts} |"


MADE_OF = ("weight_hh", "skew", "reflectors", "angle")


def making(architecture: UnitaryRNN) -> float:
    """Seconds to make W and to lead a gradient back, with the projection where there is one."""
    weights = build(architecture).weights
    toward = np.random.default_rng(0).standard_normal((architecture.width,) * 2).astype(np.float32)

    @jax.jit
    def act(weights: Any) -> Any:
        slope = jax.grad(lambda given: jnp.sum(architecture.recurrent_matrix(given) * toward))(weights)
        return architecture.project(jax.tree.map(lambda w, g: w - 1e-3 * g, weights, slope))

    return usual_step(lambda: jax.block_until_ready(act(weights)))


def drift(architecture: UnitaryRNN, dtype: Any) -> float:
    """Largest entry of |W^T W - I| after steps of Adam toward a random matrix."""
    small = replace(architecture, width=32)
    with precision(dtype):
        weights, optimiser = build(small, 0, dtype).weights, optax.adam(1e-2)
        toward = jnp.asarray(np.random.default_rng(0).standard_normal((32, 32)), dtype)

        def loss(weights: Any) -> jax.Array:
            return jnp.sum((small.recurrent_matrix(weights) - toward) ** 2)

        def step(held: Any, _: None) -> Any:
            weights, state = held
            updates, state = optimiser.update(jax.grad(loss)(weights), state, weights)
            return (small.project(optax.apply_updates(weights, updates)), state), None

        (weights, _), _ = jax.jit(lambda held: jax.lax.scan(step, held, length=STEPS))(
            (weights, optimiser.init(weights))
        )
        w = small.recurrent_matrix(weights)
        return float(jnp.abs(w.T @ w - jnp.eye(32, dtype=dtype)).max())


def unitary_tables() -> list[str]:
    """Markdown."""
    return [
        "| what | first call, s | later, s | asked | outcome |",
        "| --- | --- | --- | --- | --- |",
        *twins(),
        *scalings(),
        "",
        "| 1 - s of half of the singular values | square roots of I - W^T W | `dilate` | its states |",
        "| --- | --- | --- | --- |",
        *orthogonality(),
        "",
        "Largest entry of |W_u^T W_u - I|, 64 units.",
        "",
        "| training step | ms | times faster than PyTorch's same map | than its fastest |",
        "| --- | --- | --- | --- |",
        *training(),
        "",
        f"Adam, {WIDTH} units, batch {BATCH}, length {LENGTH}, {CHANNELS} channels, float32.",
        "",
        f"| parametrisation | numbers for W, {WIDTH} units | ms, 32 units | 128 | 512 | drift, float32 | float64 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *parametrisations(),
        "",
        "Milliseconds to make W, lead a gradient back and project; largest entry of |W^T W - I| after",
        f"{STEPS:,} steps of Adam at rate 0.01 with 32 units.",
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(unitary_tables()))
