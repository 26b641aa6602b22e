"""Weights to start a training from, as functions seed -> model: the exact copy network, and orthogonal stacks."""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from hitherto.architectures.initialisation import orthogonal
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.copying import copy_network
from hitherto.core.model import Architecture, Model, Weights, build, precision

_BEYOND_BIASES = 2  # what an RNN folds into its key for its two biases is below


def copy_start(architecture: Architecture, delay: int, noise: float | int = 0.0) -> Callable[[int], Model]:
    """Starts at the network that copies with this delay exactly, plus normal noise on every weight.

    Args:
        architecture: a linear `RNN` or a `Deep` stack of them without skips, in the standard parametrisation, read by
            the top layer alone into as many outputs as inputs. Biases start at 0, plus noise.
        delay: in steps, as `copy_network` takes it with the widths of the layers.
        noise: standard deviation, equal for all weights.
    Returns:
        seed -> `Model` of float64 NumPy arrays.
    Raises:
        ValueError: for another architecture, for noise that is negative or not finite, and as for `copy_network`, which
            names the shortfall of a delay that is out of reach.

    Source: our derivation.
    """
    if not 0 <= noise < math.inf:
        raise ValueError(f"a start with noise={noise} was asked for; give a finite standard deviation from 0 on")
    layers = _layers(architecture)
    _refuse_uncopying(architecture, layers)
    copying = copy_network([layer.width for layer in layers], architecture.input_size, delay).weights
    parts = zip(copying if isinstance(copying, tuple) else (copying,), layers, strict=True)
    exact = _model(architecture, [weights | _no_biases(layer) for weights, layer in parts])

    def start(seed: int) -> Model:
        draw = np.random.default_rng(seed)
        return jax.tree.map(lambda w: w + noise * draw.standard_normal(w.shape), exact)

    return start


def orthogonal_start(
    architecture: Architecture, recurrent: float | int = 0.9, between: float | int = 0.7
) -> Callable[[int], Model]:
    """Starts at weight_hh = recurrent Q in every layer and weight_ih = between Q above the first.

    Each Q has orthonormal rows or columns, uniform over all such matrices; other weights are as `build` draws them.
    Deep stacks of narrow linear layers explode over long sequences from most other starts.

    Args:
        architecture: an `RNN` or a `Deep` stack of them, in the standard parametrisation, with any activations.
        recurrent, between: singular values, all equal.
    Returns:
        seed -> `Model` of float64 NumPy arrays.
    Raises:
        ValueError: for another architecture, or singular values that are negative or not finite.

    Source: our experiments on delayed copying.
    """
    for name, factor in {"recurrent": recurrent, "between": between}.items():
        if not 0 <= factor < math.inf:
            raise ValueError(f"a start with {name}={factor} was asked for; give a finite singular value from 0 on")
    count = len(_layers(architecture))
    factors = [{"weight_hh": recurrent}, *[{"weight_hh": recurrent, "weight_ih": between}] * (count - 1)]

    def start(seed: int) -> Model:
        usual = build(architecture, seed, np.float64).weights
        with precision(np.float64):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), _BEYOND_BIASES), count)
            parts = zip(usual if isinstance(usual, tuple) else (usual,), keys, factors, strict=True)
            return _model(architecture, [_orthogonal(*part) for part in parts]).astype(np.float64)

    return start


def _orthogonal(weights: Weights, key: PRNGKeyArray, factors: dict[str, float | int]) -> Weights:
    """The weights with those that are named drawn anew, as a factor times a matrix with orthonormal rows or columns."""
    keys = jax.random.split(key, len(factors))
    return weights | {
        name: factor * orthogonal(k, *weights[name].shape, np.float64)
        for k, (name, factor) in zip(keys, factors.items(), strict=True)
    }


def _model(architecture: Architecture, parts: Sequence[Weights]) -> Model:
    """The model from the weights of its layers."""
    return Model(architecture, tuple(parts) if isinstance(architecture, Deep) else parts[0])


def _layers(architecture: Architecture) -> tuple[RNN, ...]:
    layers = architecture.layers if isinstance(architecture, Deep) else (architecture,)
    if not all(isinstance(layer, RNN) and layer.parametrisation == "standard" for layer in layers):
        raise ValueError(
            f"a start was asked for {architecture}; give an RNN, or a Deep stack of them, in the standard "
            "parametrisation"
        )
    return layers  # type: ignore[return-value]


def _refuse_uncopying(architecture: Architecture, layers: tuple[RNN, ...]) -> None:
    """Refuses what leaves no room for the copy network: activations, skips, readouts below, none or another on top."""
    linear = all(
        (layer.activation, layer.output_activation, layer.clip) == ("linear", "linear", None) for layer in layers
    )
    readouts = [layer.readout_size for layer in layers]
    wanted = [None] * (len(layers) - 1) + [architecture.input_size]
    if not linear or readouts != wanted or getattr(architecture, "skip", "none") != "none":
        raise ValueError(
            f"a copy start was asked for {architecture}; give linear layers without clip and skips, of which the top "
            f"one alone has a readout, readout_size={architecture.input_size} for as many inputs"
        )


def _no_biases(layer: RNN) -> Weights:
    return {name: np.zeros(layer.width) for name in ("bias_ih", "bias_hh") if layer.bias}
