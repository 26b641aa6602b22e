"""ReLU and other networks as orthogonal ones: the same map with an orthogonal recurrent matrix, and the proof.

Every layer goes its own way (`_unitary_layer`); a stack hands the bound on the states of each layer to the next one as
the bound on its inputs.
"""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped
from scipy.linalg import block_diag

from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import MODRELU, UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.conversions._unitary_fractions import outputs_in_fractions, twin_in_fractions
from hitherto.conversions._unitary_layer import LayerCertificate, Wanted, modrelu_twin, twin
from hitherto.conversions._unitary_signal import Bound, Signal, leaving, network_of, refuse_layer, refuse_weights
from hitherto.core.model import Architecture, Model, Weights, precision
from hitherto.core.names import known
from hitherto.theory.unitary_network import Network

STEPS = 100  # of the measured check at most, where no data are given
EXACT_STEPS = 6  # of the check in fractions, whose digits grow
MODES = ("exact", "epsilon")
STATES = ("dilation", "minimal")
WORST = "exact", "exact on bounded inputs", "exact on this data", "epsilon", "truncated"  # from best to worst


@dataclass(frozen=True)
class UnitaryCertificate:
    """What is proven of a converted model, and what was measured.

    Attributes:
        outcome: the weakest of those of the layers, see `LayerCertificate`.
        inputs: the set of inputs on which the maps are equal, in words.
        horizon: over how many steps; None for ever.
        layers: one certificate a layer, lowest first, forward before backward.
        gap: largest difference of outputs, relative to the largest output, on inputs drawn from the set.
        steps: length of those runs.
    """

    outcome: str
    inputs: str
    horizon: int | None
    layers: tuple[LayerCertificate, ...]
    gap: float
    steps: int

    @property
    def before(self) -> int:
        """n, states of all layers."""
        return sum(layer.before for layer in self.layers)

    @property
    def states(self) -> int:
        """N, states of all layers of the twin."""
        return sum(layer.states for layer in self.layers)

    @property
    def residual(self) -> float:
        """Largest entry of |W^T W - I| of any layer."""
        return max(layer.residual for layer in self.layers)


class UnitaryConversion(NamedTuple):
    """The twin, in float64, and its certificate."""

    model: Model
    certificate: UnitaryCertificate


def to_unitary(
    model: Model,
    input_bound: float | int | None = None,
    input_box: tuple[Bound, Bound] | None = None,
    horizon: int | None = None,
    data: Float[np.ndarray, "... time input"] | None = None,
    mode: str = "exact",
    epsilon: float | int | None = None,
    states: str | int = "dilation",
    margin: float | int = 0.1,
) -> UnitaryConversion:
    """The same map with orthogonal recurrent matrices, and N = n + rank(I - W^T W) states a layer or fewer.

    | activation | twin |
    | --- | --- |
    | relu | exact on bounded inputs; for all inputs where I - W^T W has a nonnegative factor |
    | hard_tanh, hard_sigmoid, relu6 | exact for all inputs |
    | modrelu, soft_shrink | exact on bounded inputs, soft_shrink if they are small |
    | linear | exact over a horizon |
    | tanh, sigmoid, softplus, elu, gelu, silu | `mode="epsilon"`; exact if copies of the units make W orthogonal |

    The steps are: prune, rescale the units of a layer whose norm is 1 or above, dilate, bound what extra units receive.
    Stacks, both directions and backward layers are converted layer by layer. Layers come back as what they were, `RNN`
    or `UnitaryRNN`, so that PyTorch can run the weights of the first and `fit` keeps those of the second orthogonal.

    Args:
        model: `RNN` or `UnitaryRNN` layers, in stacks, backward or in both directions. Weights that are all
            `fractions.Fraction` in arrays of objects give a twin in exact fractions (one ReLU layer, norm at most 1).
        input_bound: M with |x[k]| <= M at every step.
        input_box: (low, high) of every input channel.
        horizon: T, the longest sequence; None for any length, when norms must be below 1.
        data: sequences on which the twin is to be exact, in place of a bound; that says nothing about others.
        mode: `exact`; or `epsilon`, for smooth activations.
        epsilon: how far the states of a layer may go astray in the Euclidean norm, given what enters it, for
            `mode="epsilon"`; in a stack the layers above add to it.
        states: `dilation`: units keep their size, and the corner of W_u is W to the last bit; `minimal`: they are
            rescaled so that more directions are lossless and need no extra state, N <= 2 n - 1 for ReLU; or the number
            of states that each layer can afford, which rounds singular values up to 1 and is no longer exact.
        margin: with `data`, the share by which other states may go beyond.
    Returns:
        The twin in float64, with biases low enough to run in the precision of `model` as well, and its certificate.
    Raises:
        ValueError: if there is no twin or none is known, with the theorem, norm or certificate that decides; or for
            arguments that do not fit each other.

    Cost: n^3 for each layer, n = 1,024 a few seconds; rescaling and `minimal` take hundreds of decompositions.
    Does not tell whether fewer states would do: see `fewest` of the certificate.
    Source: Emami, Sahraee-Ardakan, Rangan and Fletcher (2019), Theorem 1, for 2 n states; all else is our derivation.
    """
    _refuse_arguments(model, input_bound, input_box, data, mode, epsilon, states)
    refuse_horizon(horizon)
    if not 0 <= margin < np.inf:
        raise ValueError(f"a margin of {margin} was asked for; give a share of at least 0")
    size = model.architecture.input_size
    if _is_exact(model):
        return _in_fractions(model, Signal.of(size, input_bound, input_box, data), horizon)
    signal = Signal.of(size, input_bound, input_box, data)
    asked = Wanted(
        inputs=signal.inputs,
        data=signal.data,
        margin=margin,
        horizon=horizon,
        epsilon=epsilon or 0.0,
        states=states,
        eps=float(np.finfo(model.dtype).eps),
    )
    with precision(np.float64):
        part = _part(model.architecture, model.weights, signal, asked, shows=False)
    found = Model(part.architecture, part.weights)
    _warn_of_half_precision(model, found)
    gap, steps = _measured(model.astype(np.float64), found, signal, horizon)
    outcome = max((layer.outcome for layer in part.layers), key=WORST.index)
    return UnitaryConversion(found, UnitaryCertificate(outcome, signal.told, horizon, part.layers, gap, steps))


# ---------------------------------------------------------------- arguments


def refuse_horizon(horizon: Any) -> None:
    """Refuses what is no number of steps.

    Raises:
        ValueError: for what is no whole number from 1 on, and not None.
    """
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1):
        raise ValueError(
            f"a unitary twin was asked for over {horizon} steps; give a whole number from 1 on as horizon, or None"
        )


def _refuse_arguments(
    model: Model, input_bound: Any, input_box: Any, data: Any, mode: str, epsilon: float | int | None, states: Any
) -> None:
    known(mode, MODES, "mode")
    if not isinstance(states, int) or isinstance(states, bool):
        known(states, STATES, "way to count states")
    elif states < 1:
        raise ValueError(f"{states} states were asked for; give a number from 1 on, or one of {', '.join(STATES)}")
    if sum(given is not None for given in (input_bound, input_box, data)) > 1:
        raise ValueError("input_bound, input_box and data say where inputs come from in three ways; give one of them")
    if (mode == "epsilon") != (epsilon is not None) or not (epsilon is None or 0 < epsilon < np.inf):
        raise ValueError(f'mode={mode!r} was asked for with epsilon={epsilon}; mode="epsilon" takes one above 0')


def _warn_of_half_precision(model: Model, found: Model) -> None:
    lowest = min((float(np.min(leaf, initial=0.0)) for leaf in jax.tree.leaves(found.weights)), default=0.0)
    if model.dtype == np.float16 and lowest < -float(np.finfo(np.float16).max):
        warnings.warn(
            f"a bias of {lowest:.4g} is -inf in float16: the unit stays off as it should, but keep the twin in float32",
            stacklevel=3,
        )


def _is_exact(model: Model) -> bool:
    """Whether all weights are fractions."""
    return all(np.asarray(leaf).dtype == object for leaf in jax.tree.leaves(model.weights))


def _in_fractions(model: Model, signal: Signal, horizon: int | None) -> UnitaryConversion:
    if signal.inputs is None:
        raise ValueError("an exact twin in fractions needs a bound on the inputs; give input_bound= or input_box=")
    found = twin_in_fractions(model, signal.inputs, horizon)
    runs = signal.drawn(model.architecture.input_size, EXACT_STEPS)
    gap = max(np.abs(outputs_in_fractions(model, x) - outputs_in_fractions(found.model, x)).max() for x in runs)
    told = UnitaryCertificate(found.layer.outcome, signal.told, horizon, (found.layer,), float(gap), EXACT_STEPS)
    return UnitaryConversion(found.model, told)


# ---------------------------------------------------------------- layer after layer


class _Part(NamedTuple):
    """A converted piece of the model.

    Attributes:
        leaving: what leaves the original.
        reading: y = reading times what leaves the converted piece; None where that is y.
    """

    architecture: Architecture
    weights: Weights
    layers: tuple[LayerCertificate, ...]
    leaving: Signal
    reading: Float[np.ndarray, "output all"] | None


def _part(architecture: Architecture, weights: Weights, signal: Signal, asked: Wanted, shows: bool) -> _Part:
    """One piece converted; if it `shows`, a layer without readout may give all its states, to be read by the next."""
    match architecture:
        case RNN() | UnitaryRNN():
            return _layer(architecture, weights, signal, asked, shows)
        case Backward():
            inner = _part(architecture.layer, weights, signal.reversed, asked, shows)
            leaving = inner.leaving if architecture.order == "reading" else inner.leaving.reversed
            return inner._replace(architecture=replace(architecture, layer=inner.architecture), leaving=leaving)
        case Bidirectional():
            return _both(architecture, weights, signal, asked, shows and architecture.merge == "concat")
        case Deep():
            return _stack(architecture, weights, signal, asked, shows)
    raise ValueError(
        f"a unitary twin of {architecture} was asked for, but conversion is for plain layers (RNN, UnitaryRNN), stacks "
        "and both directions of them: products in gates leave no room for the argument"
    )


def _stack(stack: Deep, weights: Weights, signal: Signal, asked: Wanted, shows: bool) -> _Part:
    first, layers, made, certificates, reading = signal, [], [], (), None
    for number, (layer, own) in enumerate(zip(stack.layers, weights, strict=True)):
        top = number == len(stack.layers) - 1
        entering = signal.merged(first, "concat") if stack.skip == "input" and number else signal
        part = _part(layer, own, entering, asked, stack.skip == "none" and (shows or not top))
        layers.append(part.architecture if reading is None else _reading(part.architecture, reading.shape[1]))
        made.append(part.weights if reading is None else _through(part.weights, reading))
        certificates += part.layers
        residual = stack.skip == "residual" and layer.input_size == layer.output_size
        signal = signal.merged(part.leaving, "sum") if residual else part.leaving
        reading = part.reading
    return _Part(Deep(tuple(layers), stack.skip), tuple(made), certificates, signal, reading)


def _both(pair: Bidirectional, weights: Weights, signal: Signal, asked: Wanted, shows: bool) -> _Part:
    ahead = _part(pair.forward, weights[0], signal, asked, shows)
    back = _part(Backward(pair.backward), weights[1], signal, asked, shows)
    reading = None
    if ahead.reading is not None or back.reading is not None:
        sizes = (pair.forward.output_size, pair.backward.output_size)
        each = zip((ahead, back), sizes, strict=True)
        reading = block_diag(*(np.eye(n) if part.reading is None else part.reading for part, n in each))
    architecture = Bidirectional(ahead.architecture, back.architecture.layer, pair.merge)  # type: ignore[attr-defined]
    leaving = ahead.leaving.merged(back.leaving, pair.merge)
    return _Part(architecture, (ahead.weights, back.weights), ahead.layers + back.layers, leaving, reading)


def _layer(layer: RNN | UnitaryRNN, weights: Weights, signal: Signal, asked: Wanted, shows: bool) -> _Part:
    refuse_weights(layer, weights)
    if isinstance(layer, UnitaryRNN) and layer.activation == MODRELU:
        return _modrelu_layer(layer, weights, signal, asked)
    refuse_layer(layer)
    network, offset = network_of(layer, weights)
    found, certificate = twin(network, layer.activation, replace(asked, inputs=signal.inputs, data=signal.data))
    bare = shows and layer.readout_size is None
    made = {"weight_hh": found.weight_hh, "weight_ih": found.weight_ih}
    if found.bias.any() or layer.bias:
        made["bias_ih"] = found.bias
        made |= {} if isinstance(layer, UnitaryRNN) else {"bias_hh": np.zeros(len(found.bias))}
    made |= {} if bare else {"readout": found.readout}
    made |= {"initial_h": found.initial} if found.initial.any() else {}
    made |= {} if offset is None else {"readout_bias": offset}
    outputs = None if bare else len(found.readout)
    after = leaving(layer, network, offset, signal, asked.horizon)
    reading = found.readout if bare else None
    return _Part(_widened(layer, found.states, outputs, "bias_ih" in made), made, (certificate,), after, reading)


def _widened(layer: RNN | UnitaryRNN, states: int, outputs: int | None, bias: bool) -> RNN | UnitaryRNN:
    if isinstance(layer, UnitaryRNN):
        return UnitaryRNN(
            layer.input_size, states, outputs, "projection", layer.activation, bias, complex=layer.complex
        )
    return RNN(layer.input_size, states, outputs, layer.activation, bias)


def modrelu_network(layer: UnitaryRNN, weights: Weights) -> Network:
    """The numbers of a layer of modReLU units, its bias being the modulus bias; complex for complex units."""
    prepared = {name: np.asarray(w, np.float64) for name, w in layer.prepare(weights).items()}
    n, units = layer.width, layer.units
    readout, initial = prepared.get("readout", np.eye(units)), prepared.get("initial_h", np.zeros(units))
    bias = prepared.get("modulus_bias", np.zeros(n))
    if not layer.complex:
        return Network(prepared["weight_hh"], prepared["weight_ih"], bias, readout, initial)
    return Network(
        _complex(prepared["weight_hh"][:, :n]),
        _complex(prepared["weight_ih"]),
        bias,
        _complex(readout.T).conj().T,
        _complex(initial),
    )


def _modrelu_layer(layer: UnitaryRNN, weights: Weights, signal: Signal, asked: Wanted) -> _Part:
    """Complex units are told in complex numbers, and stored in real and imaginary parts."""
    network = modrelu_network(layer, weights)
    found, certificate = modrelu_twin(network, replace(asked, inputs=signal.inputs, data=signal.data))
    real = _parts if layer.complex else np.asarray
    made = {
        "weight_hh": np.stack([found.weight_hh.real, found.weight_hh.imag]) if layer.complex else found.weight_hh,
        "weight_ih": real(found.weight_ih),
        "modulus_bias": found.bias.real,
        "readout": real(found.readout.conj().T).T,
    }
    made |= {"initial_h": real(found.initial)} if found.initial.any() else {}
    made |= {name: weights[name] for name in ("readout_bias",) if name in weights}
    return _Part(
        _widened(layer, found.states, len(network.readout), True), made, (certificate,), Signal(None, None), None
    )


def _complex(parts: Float[np.ndarray, "both *rest"]) -> Shaped[np.ndarray, "half *rest"]:
    half = len(parts) // 2
    return parts[:half] + 1j * parts[half:]


def _parts(array: Shaped[np.ndarray, "half *rest"]) -> Float[np.ndarray, "both *rest"]:
    return np.concatenate([array.real, array.imag])


def _reading(architecture: Architecture, size: int) -> Architecture:
    """The piece with as many input channels."""
    match architecture:
        case Backward():
            return replace(architecture, layer=_reading(architecture.layer, size))
        case Bidirectional():
            return replace(
                architecture,
                forward=_reading(architecture.forward, size),
                backward=_reading(architecture.backward, size),
            )
        case Deep():
            return replace(architecture, layers=(_reading(architecture.layers[0], size), *architecture.layers[1:]))
    return replace(architecture, input_size=size)  # type: ignore[call-arg]


def _through(weights: Weights, reading: Float[np.ndarray, "output all"]) -> Weights:
    """The weights of a piece that is given `all` in place of reading times it."""
    if isinstance(weights, dict):
        return weights | {"weight_ih": weights["weight_ih"] @ reading}
    return tuple(_through(own, reading) for own in weights)


def _measured(model: Model, found: Model, signal: Signal, horizon: int | None) -> tuple[float, int]:
    """Largest relative difference of the outputs, and steps."""
    runs = signal.drawn(model.architecture.input_size, min(horizon or STEPS, STEPS))
    y, other = _outputs(model, runs), _outputs(found, runs)
    largest, gap = float(np.abs(y).max()), float(np.abs(y - other).max())
    return gap / largest if largest else gap, runs.shape[1]


def _outputs(model: Model, runs: Float[np.ndarray, "sequence time input"]) -> Float[np.ndarray, "sequence time output"]:
    """All sequences at once."""
    with precision(np.float64):
        start = model.architecture.start(model.weights)
        one = partial(model.architecture.run, model.weights, start)
        return np.asarray(jax.jit(jax.vmap(lambda x: one(x)[1]))(runs))
