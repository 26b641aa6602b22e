"""LSTM and GRU layers, with the variants that PyTorch, Keras and ONNX files hold."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures._cell import AbstractCell
from hitherto.architectures.activations import activation
from hitherto.architectures.initialisation import check_layer, fresh
from hitherto.architectures.rnn import affine, initial, limited
from hitherto.core.model import Hidden, HiddenAndCell, Weights


@dataclass(frozen=True)
class LSTM(AbstractCell):
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
        variance: fresh recurrent entries have mean square `variance / visible`.
        initialisation: the law of fresh weights, see `initialisation`; by default normal entries, biases at 0 and
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
    initialisation: str = "gaussian"
    gates: ClassVar[int] = 4

    def __post_init__(self) -> None:
        check_layer(self)

    @property
    def visible_size(self) -> int:
        """Width of h: the projection's where there is one."""
        return self.width if self.projection is None else self.projection

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key, key_p, key_r = jax.random.split(key, 3)
        weights = fresh(self, key, dtype)
        if self.bias and self.initialisation != "pytorch":
            weights["bias_ih"] = weights["bias_ih"].at[self.width : 2 * self.width].set(1)
        if self.peephole:
            weights["peepholes"] = self._beside(key_p, (3, self.width), dtype)
        if self.projection is not None:
            weights["weight_hr"] = self._beside(key_r, (self.projection, self.width), dtype)
        return weights

    def _beside(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Array:
        if self.initialisation == "pytorch":
            return jax.random.uniform(key, shape, dtype, -(self.width**-0.5), self.width**-0.5)
        return jax.random.normal(key, shape, dtype) / self.width**0.5

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

    def advance(self, prepared: Weights, state: HiddenAndCell, x: Float[Array, " input"]) -> HiddenAndCell:
        """The next state."""
        before = self.preactivations(prepared, state, x)
        c = self._cell(before, state.c)
        h = activation(self.gate_activation)(before["output"]) * activation(self.cell_activation)(c)
        return HiddenAndCell(h @ prepared["weight_hr"].T if self.projection is not None else h, c)


@dataclass(frozen=True)
class GRU(AbstractCell):
    """h[t] = (1 - z) n + z h[t-1],  y[t] = readout h[t]; z weighs the old state.

    r, z = gate_activation(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh) for their blocks, and
    n = activation(W_in x[t] + b_in + r (W_hn h[t-1] + b_hn)) with `reset="after"` (PyTorch, Keras `reset_after`,
    ONNX `linear_before_reset`), or n = activation(W_in x[t] + b_in + W_hn (r h[t-1]) + b_hn) with
    `reset="before"` (the original form; Keras `reset_after=False`, the default of ONNX). The two are different
    functions of the same weights, so the convention is part of the architecture.

    Weights: `weight_ih` (3 width, input), `weight_hh` (3 width, width), with `bias` also `bias_ih` and `bias_hh`
    (3 width), blocks in PyTorch's order r, z, n; `readout` (readout_size, width) unless `readout_size` is None,
    when y = h; optionally `initial_h`. Fresh recurrent entries have mean square `variance / width`; `initialisation`
    names the law of fresh weights, see the module of that name.
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
    initialisation: str = "gaussian"
    gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        check_layer(self)

    @property
    def visible_size(self) -> int:
        """Width of h."""
        return self.width

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        return fresh(self, key, dtype)

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
        below_r, below_z, below_n = jnp.split(affine(weights, "ih", x), 3)
        gates, new = (weights, {}) if self.reset == "after" else self._parts(weights)
        past = jnp.split(affine(gates, "hh", state.h), len(gates["weight_hh"]) // self.width)
        r, z = limited(below_r + past[0], self.clip), limited(below_z + past[1], self.clip)
        opened = activation(self.gate_activation)(r)
        past_n = opened * past[2] if self.reset == "after" else affine(new, "hh", opened * state.h)
        return dict(reset=r, update=z, candidate=limited(below_n + past_n, self.clip))

    def _parts(self, weights: Weights) -> tuple[Weights, Weights]:
        """Recurrent rows of the two gates, and those of the candidate."""
        recurrent = {name: weights[name] for name in ("weight_hh", "bias_hh") if name in weights}
        rows = 2 * self.width
        return {name: w[:rows] for name, w in recurrent.items()}, {name: w[rows:] for name, w in recurrent.items()}

    def log_forget(self, weights: Weights, state: Hidden, x: Float[Array, " input"]) -> Float[Array, " width"]:
        """ln z, the factor that multiplies the old state; from the pre-activation, so it never rounds to ln 1."""
        return _log_gate(self.gate_activation, self.preactivations(weights, state, x)["update"])

    def advance(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> Hidden:
        """The next state."""
        a = self.preactivations(prepared, state, x)
        z = activation(self.gate_activation)(a["update"])
        return Hidden((1 - z) * activation(self.activation)(a["candidate"]) + z * state.h)


def _log_gate(name: str, a: Array, flip: bool = False) -> Array:
    if name == "sigmoid":  # ln sigmoid(a) = -softplus(-a) keeps its digits where the gate itself rounds to 1
        return -jax.nn.softplus(a if flip else -a)
    gate = activation(name)(a)
    return jnp.log1p(-gate) if flip else jnp.log(gate)
