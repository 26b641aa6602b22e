"""What RNN, LSTM and GRU share: sizes, laws of weights, and a scan that keeps little for the way back."""

import abc
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float

from hitherto.core.model import Recurrence, State, Weights

_COSTLY = ("dot_general", "tanh", "logistic", "exp", "erf", "log1p")


class AbstractCell(Recurrence):
    """A layer with `gates` blocks of `width` rows in weight_ih and weight_hh, and a state with an `h` that it shows.

    The attributes are what the laws of fresh weights read.
    """

    width: int
    readout_size: int | None
    bias: bool
    variance: float
    initialisation: str
    gates: ClassVar[int]
    parametrisation: str = "standard"
    input_variance: float = 1.0
    readout_variance: float = 1.0

    @property
    @abc.abstractmethod
    def visible_size(self) -> int:
        """Width of h."""

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.visible_size if self.readout_size is None else self.readout_size

    @abc.abstractmethod
    def advance(self, prepared: Weights, state: State, x: Float[Array, " input"]) -> State:
        """The next state, with prepared weights."""

    def output(self, prepared: Weights, h: Float[Array, "*time visible"]) -> Float[Array, "*time output"]:
        """What h gives, at one step or at all of them."""
        return read_out(prepared, h)

    def step(self, prepared: Weights, state: State, x: Float[Array, " input"]) -> tuple[State, Array]:
        """(state before, x) -> (state after, y)."""
        state = self.advance(prepared, state, x)
        return state, self.output(prepared, state.h)

    def run(self, weights: Weights, state: State, inputs: Float[Array, "time input"]) -> tuple[State, Array]:
        """`step` over time, the output of all steps in one product.

        Cost: for gradients, products and transcendental functions are kept, the rest is made again; on a CPU writing
        what is cheap to make takes longer than making it.
        """
        prepared = self.prepare(weights)
        advance = jax.checkpoint(
            lambda state, x: self.advance(prepared, state, x), policy=_is_costly, prevent_cse=False
        )

        def body(state: State, x: Array) -> tuple[State, State]:
            state = advance(state, x)
            return state, state

        states = jax.lax.scan(body, state, inputs)[1]
        return states, self.output(prepared, states.h)


def _is_costly(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in _COSTLY


def read_out(weights: Weights, h: Float[Array, "*time visible"]) -> Float[Array, "*time output"]:
    """The output that h gives, at one step or at all of them: readout h + readout_bias, or h itself."""
    if "readout" not in weights:
        return h
    y = h @ weights["readout"].T
    return y + weights["readout_bias"] if "readout_bias" in weights else y
