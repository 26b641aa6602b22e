"""Separation rank of arithmetic circuits across a cut in time, by exact arithmetic modulo a prime."""

import random
from itertools import product

import numpy as np
from jaxtyping import Int

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.wrappers import Deep
from hitherto.core.quantity import START_END_RANK, Estimate

Residues = Int[np.ndarray, "..."]
SMALLEST_PRIME, LARGEST_PRIME = 2**30, 2**31  # products of two residues fit into 63 bits
DRAWS = 2  # of prime, weights and inputs; a rank modulo a prime is never too large
MARGIN = 6
MOST_SAMPLES = 3000


def generic_start_end_rank(
    circuit: ArithmeticCircuit | Deep, start: int, end: int, *, one_hot: bool = False, seed: int = 0
) -> Estimate:
    """Rank of Y[i, j] = y(start i, end j) for random weights: the separation rank of almost every circuit.

    Args:
        circuit: one layer, or a stack of layers.
        start, end: steps before and after the cut.
        one_hot: inputs are unit vectors; all pairs are tried if there are at most 3000 starts and ends. Else
            they are drawn from the whole field.
        seed: of primes, weights and inputs.
    Returns:
        `START_END_RANK` as a Python integer. Never too large; too small with probability below
        (rank + 1) degree / 2^30 in each of two independent draws. `cannot_tell` if 3000 samples are too few: the
        rank is then at least the value.
    Raises:
        ValueError: if a length is below 1.

    Cost: samples^2 x end x depth x width^2 multiplications, and the elimination, samples^3.
    Source: our derivation; the definition is Cohen and Shashua's (2016).
    """
    if min(start, end) < 1:
        raise ValueError(f"a cut needs a step on both sides, got start {start} and end {end}; give at least 1 each")
    layers = circuit.layers if isinstance(circuit, Deep) else (circuit,)
    draws = [_rank(layers, start, end, one_hot, random.Random(f"{seed} {k}")) for k in range(DRAWS)]
    rank, most = max(draws)
    complete = one_hot and layers[0].input_size ** max(start, end) <= MOST_SAMPLES
    return Estimate(
        START_END_RANK,
        rank,
        standard_error=0.0,
        cannot_tell="" if rank < most or complete else f"the rank is at least {rank}: {most} samples are too few",
        statistics={"samples": most, "draws": DRAWS},
        source="elimination modulo random primes; our derivation",
    )


def _rank(layers: tuple, start: int, end: int, one_hot: bool, draw: random.Random) -> tuple[int, int]:
    """Rank and samples; samples are doubled until they exceed the rank."""
    prime = _prime(draw)
    weights = [_weights(layer, prime, draw) for layer in layers]
    readout = _residues((1, layers[-1].width), prime, draw)
    size, count = layers[0].input_size, min(32, MOST_SAMPLES)
    while True:
        starts, ends = (_inputs(size, steps, count, one_hot, prime, draw) for steps in (start, end))
        outputs = _outputs(weights, readout, starts, ends, prime)
        rank, most = _eliminated(outputs, prime), min(outputs.shape)
        if rank + MARGIN <= most or most < count or count >= MOST_SAMPLES:
            return rank, most
        count = min(2 * count, MOST_SAMPLES)


def _outputs(weights: list, readout: Residues, starts: Residues, ends: Residues, prime: int) -> Residues:
    """y for every pair of a start and an end; starts are run once, their states meet every end."""
    states: list[Residues | None] = [None] * len(weights)
    for x in np.moveaxis(starts, 1, 0):
        states = _step(weights, states, x, prime)
    states = [np.repeat(h, len(ends), 0) for h in states]  # type: ignore[arg-type]
    for x in np.moveaxis(ends, 1, 0):
        states = _step(weights, states, np.tile(x, (len(starts), 1)), prime)
    return _times(states[-1], readout, prime).reshape(len(starts), len(ends))  # type: ignore[arg-type]


def _step(weights: list, states: list, x: Residues, prime: int) -> list:
    after = []
    for (weight_ih, weight_hh), h in zip(weights, states, strict=True):
        entering = _times(x, weight_ih, prime)
        x = entering if h is None else entering * _times(h, weight_hh, prime) % prime
        after.append(x)
    return after


def _times(x: Residues, weight: Residues, prime: int) -> Residues:
    """x weight^T; reduced after every product, as two do not fit."""
    total = np.zeros((len(x), len(weight)), np.int64)
    for column in range(weight.shape[1]):
        total += x[:, column, None] * weight[None, :, column] % prime
    return total % prime


def _eliminated(matrix: Residues, prime: int) -> int:
    from flint import nmod_mat

    return nmod_mat(*matrix.shape, matrix.ravel().tolist(), prime).rank()


def _weights(layer: ArithmeticCircuit, prime: int, draw: random.Random) -> tuple[Residues, Residues]:
    return tuple(_residues((layer.width, size), prime, draw) for size in (layer.input_size, layer.width))  # type: ignore[return-value]


def _inputs(size: int, steps: int, count: int, one_hot: bool, prime: int, draw: random.Random) -> Residues:
    if not one_hot:
        return _residues((count, steps, size), prime, draw)
    if size**steps <= MOST_SAMPLES:
        return np.eye(size, dtype=np.int64)[np.array(list(product(range(size), repeat=steps)))]
    return np.eye(size, dtype=np.int64)[np.random.default_rng(draw.getrandbits(64)).integers(size, size=(count, steps))]


def _residues(shape: tuple[int, ...], prime: int, draw: random.Random) -> Residues:
    return np.random.default_rng(draw.getrandbits(64)).integers(prime, size=shape)


def _prime(draw: random.Random) -> int:
    from flint import fmpz

    while not fmpz(candidate := draw.randrange(SMALLEST_PRIME, LARGEST_PRIME)).is_prime():
        pass
    return candidate
