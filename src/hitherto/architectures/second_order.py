"""Second-order recurrent layers (2RNN): input and hidden vector multiply, through a tensor in full or factorised."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.activations import activation
from hitherto.architectures.rnn import read_out
from hitherto.core.model import Hidden, Recurrence, Weights, check_sizes

PIECE = 16  # steps whose matrices `tensor x[t]` are held at once: enough for one good matmul, small beside the tensor
KEPT = 2**22  # entries of such matrices that one sequence may keep for its gradient; with more they are made again


@dataclass(frozen=True)
class SecondOrderRNN(Recurrence):
    """h[t] = activation(A(h[t-1], x[t]) + weight_hh h[t-1] + weight_ih x[t] + bias),
    y[t] = readout output_activation(h[t]).

    A(h, x)_i = sum over j, m of tensor[i, j, m] h_j x_m. With `cp_rank` (CPRNN) it is
    factor_out ((factor_hidden^T h) * (factor_input^T x)), * elementwise. With `tt_ranks` = (r, s) (tensor train) it is
    train_out^T G(x)^T train_hidden^T h, where G(x)[a, b] = sum over m of train_input[a, m, b] x_m. In neither is the
    tensor formed.

    Weights: `tensor` (width, width, input) in the order out, hidden, input; or `factor_out` (width, cp_rank),
    `factor_hidden` (width, cp_rank) and `factor_input` (input, cp_rank); or `train_hidden` (width, r), `train_input`
    (r, input, s) and `train_out` (s, width); with `first_order` also `weight_hh` (width, width) and `weight_ih` (width,
    input); with `bias` also `bias` (width); `readout` (readout_size, width) unless `readout_size` is None, when
    y = output_activation(h); optionally `initial_h` (width), else h[0] = 0, and `readout_bias` (readout_size), added
    to y.

    Attributes:
        cp_rank: terms of the CP form, if it is that; 0 leaves a plain RNN. It is smaller than the full tensor where
            cp_rank (2 width + input_size) < width^2 input_size, and reaches every tensor from
            min(width^2, width input_size) on.
        tt_ranks: r and s of the tensor train, if it is that; it reaches every tensor from (width, width) on.
        first_order: whether there are terms linear in h and in x; without them and without bias, h[0] = 0 stays 0.
        activation: applied to the new state.
        output_activation: applied to what leaves, the recurrence keeps h as it is.
        variance: fresh weights are uniform on (-b, b) with b^2 / 3 = variance / width, the tensor's entries with
            b^2 / 3 = variance / (width input_size); 1/3 is the authors' law U(-1/sqrt(width), 1/sqrt(width)), of
            which they have no form for the full tensor and the tensor train.

    Raises:
        ValueError: if a size is below 1, an activation is unknown, or both cp_rank and tt_ranks are given.

    Cost of a step: width^2 input_size products with the full tensor, (2 width + input_size) cp_rank in the CP form,
    width (r + s) + r s (input_size + 1) with the tensor train, besides those of first order.
    Source: Lizaire et al. (2024), arXiv 2406.05045 (CPRNN); Lizaire et al. (2026), arXiv 2604.02201 (stacks).
    """

    input_size: int
    width: int
    readout_size: int | None = None
    cp_rank: int | None = None
    tt_ranks: tuple[int, int] | None = None
    first_order: bool = True
    bias: bool = True
    activation: str = "linear"
    output_activation: str = "linear"
    variance: float = 1 / 3

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "width", "readout_size")
        if self.cp_rank is not None and self.cp_rank < 0:
            raise ValueError(
                f"a SecondOrderRNN was asked for with cp_rank={self.cp_rank}; give at least 0, a plain RNN"
            )
        for name in (self.activation, self.output_activation):
            activation(name)
        if self.tt_ranks is not None:
            self._check_train(self.tt_ranks)

    def _check_train(self, ranks: tuple[int, ...]) -> None:
        if self.cp_rank is not None:
            raise ValueError(
                f"a SecondOrderRNN was asked for with cp_rank={self.cp_rank} and tt_ranks={ranks}, but its tensor has "
                "one form; give one of them"
            )
        if len(ranks) != 2 or min(ranks) < 1:
            raise ValueError(f"a SecondOrderRNN was asked for with tt_ranks={ranks}; give two numbers from 1 on")

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.width if self.readout_size is None else self.readout_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by name, `initial_h` left out."""
        n, m, r = self.width, self.input_size, self.cp_rank
        shapes: dict[str, tuple[int, ...]] = {"tensor": (n, n, m)}
        if r is not None:
            shapes = {"factor_out": (n, r), "factor_hidden": (n, r), "factor_input": (m, r)}
        elif self.tt_ranks is not None:
            first, second = self.tt_ranks
            shapes = {"train_hidden": (n, first), "train_input": (first, m, second), "train_out": (second, n)}
        if self.first_order:
            shapes |= {"weight_hh": (n, n), "weight_ih": (n, m)}
        if self.bias:
            shapes |= {"bias": (n,)}
        return shapes if self.readout_size is None else shapes | {"readout": (self.readout_size, n)}

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        shapes = self.shapes()
        keys = jax.random.split(key, len(shapes))
        return {name: self._fresh(k, name, shapes[name], dtype) for k, name in zip(keys, shapes, strict=True)}

    def _fresh(self, key: PRNGKeyArray, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        fan_in = self.width * (self.input_size if name == "tensor" else 1)
        bound = (3 * self.variance / fan_in) ** 0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        if "initial_h" in weights:
            return Hidden(jnp.asarray(weights["initial_h"]))
        return Hidden(jnp.zeros(self.width, jnp.result_type(*weights.values())))

    def step(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        h = self._advance(prepared, state.h, self._from_inputs(prepared, x))
        return Hidden(h), self._leave(prepared, h)

    def run(self, weights: Weights, state: Hidden, inputs: Float[Array, "time input"]) -> tuple[Hidden, Array]:
        """States and outputs of a whole sequence; all that the inputs decide alone is computed outside the scan.

        The full tensor, or the middle of the train, meets the inputs `PIECE` steps at a time, so that it and its
        gradient are touched once a piece by one matmul.

        Cost: for gradients of the full tensor, length width^2 entries are kept a sequence if that is at most `KEPT`;
        else PIECE width^2, and half as many products again. For the train the same with r s in place of width^2.
        """
        along = self._through if self.cp_rank is not None else self._piecewise
        h = along(weights, state.h, inputs)
        return Hidden(h), self._leave(weights, h)

    def _piecewise(self, weights: Weights, h: Array, inputs: Array) -> Array:
        if len(inputs) <= PIECE:
            return self._through(weights, h, inputs)
        piece = partial(self._through, weights)
        if len(inputs) * math.prod(self.tt_ranks or (self.width, self.width)) > KEPT:
            piece = jax.checkpoint(piece)

        def body(h, xs):
            states = piece(h, xs)
            return states[-1], states

        count = (len(inputs) - 1) // PIECE  # whole pieces; the last, whole or not, goes alone
        cut = count * PIECE
        h, states = jax.lax.scan(body, h, inputs[:cut].reshape(count, PIECE, self.input_size))
        return jnp.concatenate([states.reshape(cut, self.width), piece(h, inputs[cut:])])

    def _through(self, weights: Weights, h: Array, inputs: Array) -> Array:
        def body(h, part):
            h = self._advance(weights, h, part)
            return h, h

        return jax.lax.scan(body, h, self._from_inputs(weights, inputs))[1]

    def _from_inputs(self, weights: Weights, x: Float[Array, "*time input"]) -> tuple[Array, Array]:
        """What the inputs decide alone: what meets h (a CP gate, G(x), or all that multiplies h), and what is added."""
        added = jnp.zeros((*x.shape[:-1], self.width), x.dtype)
        if self.first_order:
            added = added + x @ weights["weight_ih"].T
        if self.bias:
            added = added + weights["bias"]
        if self.cp_rank is not None:
            return x @ weights["factor_input"], added
        if self.tt_ranks is not None:
            return jnp.tensordot(x, weights["train_input"], (-1, 1)), added
        matrix = jnp.tensordot(x, weights["tensor"], (-1, 2))
        return matrix + weights["weight_hh"] if self.first_order else matrix, added

    def _advance(self, weights: Weights, h: Float[Array, " width"], part: tuple[Array, Array]) -> Array:
        meets, added = part
        if self.cp_rank is not None:
            product = weights["factor_out"] @ ((h @ weights["factor_hidden"]) * meets)
        elif self.tt_ranks is not None:
            product = h @ weights["train_hidden"] @ meets @ weights["train_out"]
        else:
            return activation(self.activation)(meets @ h + added)
        if self.first_order:
            product = product + weights["weight_hh"] @ h
        return activation(self.activation)(product + added)

    def _leave(self, weights: Weights, h: Float[Array, "*time width"]) -> Float[Array, "*time output"]:
        return read_out(weights, activation(self.output_activation)(h))
