"""Layers as networks, and what enters them: a set of inputs that is promised, or the sequences of data."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.conversions._unitary_layer import states_on
from hitherto.core.model import Weights
from hitherto.theory.unitary_activations import activation
from hitherto.theory.unitary_bounds import state_set
from hitherto.theory.unitary_network import Inputs, Network, ball, box, refuse_not_finite
from hitherto.theory.unitary_parking import state_limit

RUNS = 4  # sequences that are drawn

Bound = Float[np.ndarray, " input"] | Sequence[float] | float | int


class Signal(NamedTuple):
    """Inputs of a layer: the set they come from, None for anywhere; and the sequences of the data, if there are any."""

    inputs: Inputs | None
    data: Float[np.ndarray, "sequence time input"] | None

    @classmethod
    def of(
        cls,
        size: int,
        bound: float | int | None,
        sides: tuple[Bound, Bound] | None,
        data: Float[np.ndarray, "... time input"] | None,
    ) -> "Signal":
        """That of a model with `size` input channels.

        Raises:
            ValueError: for bounds or data that cannot be.
        """
        if data is not None:
            return cls(None, _sequences(np.asarray(data, np.float64), size))
        if bound is not None:
            return cls(ball(size, bound), None)
        if sides is None:
            return cls(None, None)
        return cls(_box(size, sides), None)

    @property
    def told(self) -> str:
        """The set in words."""
        if self.data is not None:
            return f"{len(self.data):,} sequences of {self.data.shape[1]:,} steps, and nothing beyond them"
        if self.inputs is None:
            return "all inputs"
        low, high, radius = self.inputs.low, self.inputs.high, self.inputs.radius
        if np.allclose(-low, radius) and np.allclose(high, radius):
            return f"|x[k]| <= {radius:.6g}"
        return f"{_numbers(low)} <= x[k] <= {_numbers(high)}"

    @property
    def reversed(self) -> "Signal":
        """The last step first."""
        return self._replace(data=None if self.data is None else self.data[:, ::-1].copy())

    def merged(self, other: "Signal", merge: str) -> "Signal":
        """What `Bidirectional` makes of two outputs; `sum` and `concat` also serve stacks with skips."""
        data = None
        if self.data is not None and other.data is not None:
            data = _merge(self.data, other.data, merge)
        if self.inputs is None or other.inputs is None:
            return Signal(None, data)
        sides = [(inputs.low, inputs.high) for inputs in (self.inputs, other.inputs)]
        corners = [_merge(a, b, merge) for a, b in product(*sides)]
        return Signal(box(np.min(corners, 0), np.max(corners, 0)), data)

    def drawn(self, size: int, steps: int) -> Float[np.ndarray, "sequence time input"]:
        """Sequences of the data, or inputs from the set, its edge included; without a bound, of sizes up to 1,000."""
        if self.data is not None:
            return self.data[:RUNS]
        draw = np.random.default_rng(0)
        if self.inputs is None:
            return draw.standard_normal((RUNS, steps, size)) * 10.0 ** np.arange(RUNS)[:, None, None]
        x = draw.uniform(self.inputs.low, self.inputs.high, (RUNS, steps, size))
        far = draw.uniform(size=x.shape[:2]) < 0.5
        x[far] = np.where(draw.uniform(size=x[far].shape) < 0.5, self.inputs.low, self.inputs.high)
        lengths = np.linalg.norm(x, axis=-1, keepdims=True)
        return x * np.minimum(1, self.inputs.radius / np.where(lengths > 0, lengths, 1))


def _box(size: int, sides: tuple[Bound, Bound]) -> Inputs:
    shapes = [np.shape(side) for side in sides]
    if len(shapes) != 2 or not set(shapes) <= {(), (size,)}:
        raise ValueError(
            f"input_box was asked for with sides of shapes {shapes}; give (low, high), each a number or {size} of them"
        )
    low, high = (np.broadcast_to(np.asarray(side, float), (size,)) + 0.0 for side in sides)  # no negative zeros
    return box(low, high)


def refuse_weights(layer: RNN | UnitaryRNN, weights: Weights) -> None:
    """Refuses weights of a layer that are missing, complex, or of another shape; biases may be missing.

    Raises:
        ValueError: naming the first, with what the layer takes.
    """
    taken = {name: leaf.shape for name, leaf in jax.eval_shape(lambda: layer.init(jax.random.key(0))).items()}
    taken |= {"initial_h": (getattr(layer, "units", layer.width),), "readout_bias": (layer.output_size,)}
    optional = {"bias_ih", "bias_hh", "modulus_bias", "initial_h", "readout_bias"}
    for name, shape in taken.items():
        if name not in weights and name not in optional:
            raise ValueError(f"the weights of {layer} lack {name}; give it in shape {shape}")
    for name, array in weights.items():
        found = np.shape(array)
        if name not in taken or found != taken[name]:
            told = f"{taken[name]}" if name in taken else "no such weight"
            raise ValueError(f"{name} of {layer} has shape {found}, and the layer takes {told}; give that")
        if np.iscomplexobj(array):
            raise ValueError(
                f"{name} of {layer} is complex; give real numbers, complex units as real and imaginary parts"
            )
        refuse_not_finite(name, np.asarray(array, np.float64))


def refuse_layer(layer: RNN | UnitaryRNN) -> None:
    """Raises ValueError for layers of which no twin is made, with what stands against it."""
    clip, outward = getattr(layer, "clip", None), getattr(layer, "output_activation", "linear")
    if clip is not None or outward != "linear":
        raise ValueError(
            f"a unitary twin of {layer} was asked for, but it has clip={clip} and output_activation={outward!r}; give "
            "layers with neither"
        )
    if isinstance(layer, UnitaryRNN) and layer.complex:
        raise ValueError(
            f"a unitary twin of {layer} was asked for, but {layer.activation} acts on the parts of complex units, for "
            "which no argument is known; take modrelu, or real units"
        )


def network_of(layer: RNN | UnitaryRNN, weights: Weights) -> tuple[Network, Float[np.ndarray, " output"] | None]:
    """The numbers of a layer, and the bias of its readout."""
    prepared = {name: np.asarray(w, np.float64) for name, w in layer.prepare(weights).items()}
    width = len(prepared["weight_hh"])
    network = Network(
        prepared["weight_hh"],
        prepared["weight_ih"],
        prepared.get("bias_ih", np.zeros(width)) + prepared.get("bias_hh", np.zeros(width)),
        prepared.get("readout", np.eye(width)),
        prepared.get("initial_h", np.zeros(width)),
    )
    return network, prepared.get("readout_bias")


def leaving(
    layer: RNN | UnitaryRNN,
    network: Network,
    offset: Float[np.ndarray, " output"] | None,
    signal: Signal,
    horizon: int | None,
) -> Signal:
    """What the outputs of the original can be, and those on the data."""
    shift = np.zeros(len(network.readout)) if offset is None else offset
    data = None
    if signal.data is not None:
        data = states_on(network, layer.activation, signal.data) @ network.readout.T + shift
    reach = _state_box(layer.activation, network, signal.inputs, horizon)
    if reach is None:
        return Signal(None, data)
    low, high = reach.range(network.readout)
    found = box(low + shift, high + shift)
    bare = layer.readout_size is None
    return Signal(Inputs(found.low, found.high, min(found.radius, reach.radius)) if bare else found, data)


def _state_box(name: str, network: Network, inputs: Inputs | None, horizon: int | None) -> Inputs | None:
    """Where h[0], h[1], ... can be, as far as that is known."""
    phi = activation(name)
    if inputs is None and not np.isfinite(phi.limit):
        return None
    try:
        if phi.homogeneous and phi.flat:
            return state_set(network, inputs, horizon)  # type: ignore[arg-type]
        limit = state_limit(network, phi, inputs, horizon)
    except ValueError:  # nothing bounds them; a layer above that needs a bound says so
        return None
    return box(-limit, limit)


def _sequences(data: Float[np.ndarray, "... time input"], size: int) -> Float[np.ndarray, "sequence time input"]:
    if data.ndim not in (2, 3) or data.shape[-1] != size or not data.size or not np.isfinite(data).all():
        raise ValueError(
            f"data for a twin must be finite numbers (sequence, time, {size}), found shape {data.shape}; give at "
            "least one sequence without NaN"
        )
    return data.reshape(-1, *data.shape[-2:])


def _numbers(values: Float[np.ndarray, " input"]) -> str:
    return f"{values[0]:.6g}" if np.ptp(values) == 0 else "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _merge(a: np.ndarray, b: np.ndarray, merge: str) -> np.ndarray:
    """What `Bidirectional` does with its two outputs, in NumPy."""
    if merge == "concat":
        return np.concatenate([a, b], -1)
    return {"sum": np.add, "mul": np.multiply, "ave": lambda f, g: (f + g) / 2}[merge](a, b)
