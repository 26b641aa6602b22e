"""LSTM and GRU layers, with the variants that PyTorch, Keras and ONNX files hold."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.activations import activation
from hitherto.architectures.rnn import affine, gate_weights, initial, limited, read_out
from hitherto.core.model import Hidden, HiddenAndCell, Recurrence, Weights


@dataclass(frozen=True)
class LSTM(Recurrence):
    """c[t] = f c[t-1] + i g,  h[t] = weight_hr (o cell_activation(c[t])),  y[t] = readout h[t].

    i, f, o = gate_activation(.) and g = activation(.) of weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh,
    cut into four blocks in PyTorch's order i, f, g, o.

    Weights: `weight_ih` (4 width, input), `weight_hh` (4 width, visible), with `bias` also `bias_ih` and
    `bias_hh` (4 width); `weight_hr` (projection, width) with a projection, then visible = projection, else
    visible = width; `peepholes` (3, width) in the order i, f, o with `peephole`; `readout`
    (readout_size, visible) unless `readout_size` is None, when y = h; optionally `initial_h`, `initial_c`.

    Attributes:
        peephole: i and f also see peepholes[0] c[t-1] and peepholes[1] c[t-1], o sees peepholes[2] c[t].
        coupled: f = 1 - i, the forget block is ignored (ONNX `input_forget`).
        clip: pre-activations of gates and candidate are limited to [-clip, clip] if given.
        variance: fresh recurrent entries are normal with variance `variance / visible`; biases start at 0,
            the forget gate's at 1.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    bias: bool = True
    projection: int | None = None
    peephole: bool = False
    coupled: bool = False
    clip: float | None = None
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    cell_activation: str = "tanh"
    variance: float = 1.0

    @property
    def visible_size(self) -> int:
        """Width of h: the projection's where there is one."""
        return self.width if self.projection is None else self.projection

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.visible_size if self.readout_size is None else self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key, key_p, key_r = jax.random.split(key, 3)
        weights = gate_weights(self, 4, self.visible_size, key, dtype, self.variance)
        if self.bias:
            weights["bias_ih"] = weights["bias_ih"].at[self.width : 2 * self.width].set(1)
        if self.peephole:
            weights["peepholes"] = jax.random.normal(key_p, (3, self.width), dtype) / self.width**0.5
        if self.projection is not None:
            weights["weight_hr"] = jax.random.normal(key_r, (self.projection, self.width), dtype) / self.width**0.5
        return weights

    def start(self, weights: Weights) -> HiddenAndCell:
        """The state before the first input."""
        return HiddenAndCell(
            initial(weights, "initial_h", self.visible_size), initial(weights, "initial_c", self.width)
        )

    @property
    def nonlinearities(self) -> dict[str, str]:
        """Activation of each gate, by gate."""
        gates = dict.fromkeys(("input", "forget", "output"), self.gate_activation)
        return gates | {"candidate": self.activation}

    def preactivations(
        self, weights: Weights, state: HiddenAndCell, x: Float[Array, " input"]
    ) -> dict[str, Float[Array, " width"]]:
        """What enters the activation of each gate: input, forget, candidate, output."""
        i, f, g, o = jnp.split(affine(weights, "ih", x) + affine(weights, "hh", state.h), 4)
        if self.peephole:
            i, f = i + weights["peepholes"][0] * state.c, f + weights["peepholes"][1] * state.c
        before = dict(input=limited(i, self.clip), forget=limited(f, self.clip), candidate=limited(g, self.clip))
        if self.peephole:  # the output gate sees the new cell
            o = o + weights["peepholes"][2] * self._cell(before, state.c)
        return before | dict(output=limited(o, self.clip))

    def _cell(self, before: dict[str, Array], c: Array) -> Array:
        gate = activation(self.gate_activation)
        i = gate(before["input"])
        f = 1 - i if self.coupled else gate(before["forget"])
        return f * c + i * activation(self.activation)(before["candidate"])

    def log_forget(self, weights: Weights, state: HiddenAndCell, x: Float[Array, " input"]) -> Float[Array, " width"]:
        """ln of the factor that multiplies the old cell; from the pre-activation, so it never rounds to ln 1."""
        before = self.preactivations(weights, state, x)
        if self.coupled:
            return _log_gate(self.gate_activation, before["input"], flip=True)
        return _log_gate(self.gate_activation, before["forget"])

    def step(self, weights: Weights, state: HiddenAndCell, x: Float[Array, " input"]) -> tuple[HiddenAndCell, Array]:
        """(state before, x) -> (state after, y)."""
        before = self.preactivations(weights, state, x)
        c = self._cell(before, state.c)
        h = activation(self.gate_activation)(before["output"]) * activation(self.cell_activation)(c)
        h = weights["weight_hr"] @ h if self.projection is not None else h
        return HiddenAndCell(h, c), read_out(weights, h)


@dataclass(frozen=True)
class GRU(Recurrence):
    """h[t] = (1 - z) n + z h[t-1],  y[t] = readout h[t]; z weighs the old state.

    r, z = gate_activation(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh) for their blocks, and
    n = activation(W_in x[t] + b_in + r (W_hn h[t-1] + b_hn)) with `reset="after"` (PyTorch, Keras `reset_after`,
    ONNX `linear_before_reset`), or n = activation(W_in x[t] + b_in + W_hn (r h[t-1]) + b_hn) with
    `reset="before"` (the original form; Keras `reset_after=False`, the default of ONNX). The two are different
    functions of the same weights, so the convention is part of the architecture.

    Weights: `weight_ih` (3 width, input), `weight_hh` (3 width, width), with `bias` also `bias_ih` and `bias_hh`
    (3 width), blocks in PyTorch's order r, z, n; `readout` (readout_size, width) unless `readout_size` is None,
    when y = h; optionally `initial_h`. Fresh recurrent entries have variance `variance / width`.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    bias: bool = True
    reset: Literal["after", "before"] = "after"
    clip: float | None = None
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    variance: float = 1.0

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.width if self.readout_size is None else self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        return gate_weights(self, 3, self.width, key, dtype, self.variance)

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        return Hidden(initial(weights, "initial_h", self.width))

    @property
    def nonlinearities(self) -> dict[str, str]:
        """Activation of each gate, by gate."""
        return {"reset": self.gate_activation, "update": self.gate_activation, "candidate": self.activation}

    def preactivations(
        self, weights: Weights, state: Hidden, x: Float[Array, " input"]
    ) -> dict[str, Float[Array, " width"]]:
        """What enters the activation of each gate: reset, update, candidate."""
        n = self.width
        below = affine(weights, "ih", x)
        gate_rows = {k: w[: 2 * n] for k, w in weights.items() if k in ("weight_hh", "bias_hh")}
        new_rows = {k: w[2 * n :] for k, w in weights.items() if k in ("weight_hh", "bias_hh")}
        r, z = jnp.split(limited(below[: 2 * n] + affine(gate_rows, "hh", state.h), self.clip), 2)
        opened = activation(self.gate_activation)(r)
        if self.reset == "after":
            past = opened * affine(new_rows, "hh", state.h)
        else:
            past = affine(new_rows, "hh", opened * state.h)
        return dict(reset=r, update=z, candidate=limited(below[2 * n :] + past, self.clip))

    def log_forget(self, weights: Weights, state: Hidden, x: Float[Array, " input"]) -> Float[Array, " width"]:
        """ln z, the factor that multiplies the old state; from the pre-activation, so it never rounds to ln 1."""
        return _log_gate(self.gate_activation, self.preactivations(weights, state, x)["update"])

    def step(self, weights: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        a = self.preactivations(weights, state, x)
        z = activation(self.gate_activation)(a["update"])
        h = (1 - z) * activation(self.activation)(a["candidate"]) + z * state.h
        return Hidden(h), read_out(weights, h)


def _log_gate(name: str, a: Array, flip: bool = False) -> Array:
    if name == "sigmoid":  # ln sigmoid(a) = -softplus(-a) keeps its digits where the gate itself rounds to 1
        return -jax.nn.softplus(a if flip else -a)
    gate = activation(name)(a)
    return jnp.log1p(-gate) if flip else jnp.log(gate)
