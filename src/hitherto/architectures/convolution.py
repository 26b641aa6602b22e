"""A causal convolution with a weight for every lag: what a linear recurrent network becomes when it is wide."""

from dataclasses import dataclass
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.state_space import convolved
from hitherto.core.model import Hidden, Recurrence, Weights, check_sizes


@dataclass(frozen=True)
class Convolution(Recurrence):
    """y[t] = sum over lags j of L_j x[t-j], L_j = sqrt(lag_weights[j]) taps[j], of which the taps are trained.

    So gradient descent moves L_j at a speed of `lag_weights[j]`: L_j <- L_j - rate lag_weights[j] dLoss/dL_j. Weights
    of 1 are a plain convolution; `to_convolution` gives those of a wide linear network.

    Weights: `taps` (lag, output, input); optionally `initial_h` (lags * input). Fresh taps are independent normal
    numbers of one variance, such that outputs have variance 1 for white inputs of variance 1.
    State: h (lags * input), the last inputs, this one first.

    Attributes:
        readout_size: channels of y.
        lag_weights: rho_0, rho_1, ..., one for each lag; 0 for a lag that is never learned.
    Raises:
        ValueError: for sizes below 1, and weights that are missing, negative, not finite, or all 0.
    """

    input_size: int
    readout_size: int
    lag_weights: tuple[float, ...]

    def __post_init__(self) -> None:
        check_sizes(self, "input_size", "readout_size")
        if not all(0 <= weight < inf for weight in self.lag_weights) or not 0 < sum(self.lag_weights) < inf:
            raise ValueError(
                f"a Convolution was asked for with {len(self.lag_weights)} lag weights from "
                f"{min(self.lag_weights, default=0)} to {max(self.lag_weights, default=0)}; give finite numbers from 0 "
                "on, one of them above it and their sum finite"
            )

    @property
    def lags(self) -> int:
        """How many inputs an output is made of, the present one included."""
        return len(self.lag_weights)

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh taps by the law of the class."""
        taps = jax.random.normal(key, (self.lags, self.readout_size, self.input_size), dtype)
        return {"taps": taps / jnp.asarray((self.input_size * sum(self.lag_weights)) ** 0.5, dtype)}

    def start(self, weights: Weights) -> Hidden:
        """The inputs before the first, 0 unless `initial_h` says otherwise."""
        nothing = jnp.zeros(self.lags * self.input_size, weights["taps"].dtype)
        return Hidden(jnp.asarray(weights.get("initial_h", nothing)))

    def prepare(self, weights: Weights) -> Weights:
        """`response`, the L_j."""
        taps = jnp.asarray(weights["taps"])
        return {"response": jnp.asarray(np.sqrt(self.lag_weights), taps.dtype)[:, None, None] * taps}

    def step(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        h = jnp.concatenate([x, state.h[: -self.input_size]])
        return Hidden(h), jnp.einsum("joi,ji->o", prepared["response"], h.reshape(self.lags, self.input_size))

    def run(self, weights: Weights, state: Hidden, inputs: Float[Array, "time input"]) -> tuple[Hidden, Array]:
        """States and outputs of a whole sequence by FFT; under `jit`, states not used cost nothing.

        Outputs carry a few rounding errors of the largest one, at every step.

        Cost: (time + lags) log(time + lags) for each input, output and pair of them; states time x lags x input.
        """
        response, before = self.prepare(weights)["response"], self.lags - 1
        past = jnp.asarray(state.h).reshape(self.lags, self.input_size)[:before]
        signal = jnp.concatenate([past[::-1], inputs])
        at = before + np.arange(len(inputs))[:, None] - np.arange(self.lags)
        as_long = jnp.zeros((len(signal), *response.shape[1:]), response.dtype)
        as_long = as_long.at[: self.lags].set(response[: len(signal)])
        return Hidden(signal[at].reshape(len(inputs), self.lags * self.input_size)), convolved(as_long, signal)[before:]
