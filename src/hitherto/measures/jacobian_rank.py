"""Ranks of Jacobians: how many numbers the responses of a linear stack have, and whether a network can be copying."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from hitherto.core.model import Architecture, Model, build, precision
from hitherto.core.quantity import COPY_BLOCK_RANK, RESPONSE_DIMENSION, Estimate, Quantity
from hitherto.measures.linear_system import is_linear

LEAST_GAP = 1e3  # between the last singular value that counts and the first that does not
NOISE = 1e-9  # of the largest singular value: below it all is rounding


def response_dimension(architecture: Architecture, seed: int = 0) -> Estimate:
    """Dimension of the family of Markov parameters g_0, g_1, ...: rank of their derivative with respect to all weights.

    Biases do not enter: what the network answers to no input is taken off.

    Args:
        architecture: linear, such as a `Deep` of linear `RNN`.
        seed: of the weights at which it is taken; almost all have the same rank.
    Raises:
        ValueError: if the architecture is not linear.
    Returns:
        `response_dimension`; it cannot be told where no gap parts the singular values.

    Cost: as many forward runs of two lengths of the state as there are outputs; a singular value decomposition.
    Source: our derivation.
    """
    if not is_linear(architecture):
        raise ValueError(
            f"a response dimension was asked of {architecture}, which is not linear; give linear layers and activations"
        )
    with precision(np.float64):
        model = build(architecture, seed, np.float64)
        flat, unflatten = ravel_pytree(model.weights)
        lags = 2 * sum(leaf.size for leaf in jax.tree.leaves(architecture.start(model.weights))) + 1
        silence = jnp.zeros((architecture.input_size, lags, architecture.input_size))
        impulses = silence.at[:, 0].set(jnp.eye(architecture.input_size))

        def response(flat: jax.Array) -> jax.Array:
            weights = unflatten(flat)
            run = jax.vmap(lambda x: architecture.run(weights, architecture.start(weights), x)[1])
            return (run(impulses) - run(silence)).ravel()

        return _rank(RESPONSE_DIMENSION, np.asarray(jax.jacfwd(response)(flat)))


def copy_block_rank(model: Model, delay: int, length: int, seed: int = 0) -> Estimate:
    """Rank of d(y[k+1..T]) / d(x[1..T-k]) at random inputs, which a network that copies with delay k has in full.

    The block is the identity where a network copies, whatever its activations; where it is singular for all weights,
    none of that size can copy.

    Args:
        model: any differentiable recurrence.
        delay, length: k < T.
        seed: of the inputs, standard normal.
    Raises:
        ValueError: if the delay is not below the length.

    Cost: (T - k) d forward runs.
    Source: our derivation.
    """
    if not 0 <= delay < length:
        raise ValueError(f"a delay of {delay} was asked for over {length} steps; give 0 <= delay < length")
    architecture = model.architecture
    with precision(np.float64):
        weights = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), model.weights)
        inputs = jnp.asarray(np.random.default_rng(seed).standard_normal((length, architecture.input_size)))

        def later(early: jax.Array) -> jax.Array:
            all_inputs = jnp.concatenate([early, inputs[length - delay :]])
            return architecture.run(weights, architecture.start(weights), all_inputs)[1][delay:].ravel()

        block = np.asarray(jax.jacfwd(later)(inputs[: length - delay]))
    return _rank(COPY_BLOCK_RANK, block.reshape(len(block), -1))


def _rank(quantity: Quantity, jacobian: Float[np.ndarray, "row column"]) -> Estimate:
    """Singular values above the largest gap, if it is one."""
    values = np.linalg.svd(jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True).clip(1e-300), compute_uv=False)
    rank = int((values > NOISE * values[0]).sum())
    gap = values[rank - 1] / max(values[rank], 1e-300) if rank < len(values) else np.inf
    return Estimate(
        quantity,
        rank,
        standard_error=0.0,
        cannot_tell="" if gap > LEAST_GAP else f"no gap parts the singular values: it is {gap:.1f} fold at {rank}",
        statistics=dict(gap=float(gap), largest=float(values[0]), smallest=float(values[rank - 1])),
        source="our derivation (rank of a Jacobian)",
    )
