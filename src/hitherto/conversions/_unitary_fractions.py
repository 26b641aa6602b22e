"""A ReLU layer made orthogonal in fractions: the two maps are equal as they stand, with no rounding to argue about."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped

from hitherto.architectures.rnn import RNN
from hitherto.conversions._unitary_layer import LayerCertificate
from hitherto.core.model import Model
from hitherto.theory.unitary import states_needed
from hitherto.theory.unitary_bounds import extra_bias
from hitherto.theory.unitary_exact import Exact, as_fractions, dilate_exactly
from hitherto.theory.unitary_network import Inputs, Network


class ExactTwin(NamedTuple):
    """A model whose weights are fractions, and why it has the same map."""

    model: Model
    layer: LayerCertificate


def twin_in_fractions(model: Model, inputs: Inputs, horizon: int | None) -> ExactTwin:
    """The orthogonal twin of one ReLU layer whose matrix has a rational singular value decomposition.

    Raises:
        ValueError: for another model, or where there is no such decomposition.
    """
    layer = model.architecture
    if not isinstance(layer, RNN) or (layer.activation, layer.parametrisation, layer.clip, layer.output_activation) != (
        "relu",
        "standard",
        None,
        "linear",
    ):
        raise ValueError(f"an exact twin in fractions was asked of {layer}; give one plain RNN layer of relu units")
    weights = _complete(layer, model)
    network = Network(*(np.array(w, np.float64) for w in weights))
    matrix, n = dilate_exactly(weights[0]), layer.width
    bias = extra_bias(network, matrix[n:, :n].astype(np.float64), inputs, horizon)
    sign = np.concatenate([np.ones(n, int), bias.signs.astype(int)])
    extra = len(bias.bias)
    nothing = as_fractions(np.zeros((extra, max(layer.input_size, len(weights[3])))))
    made = {
        "weight_hh": matrix * sign * sign[:, None],
        "weight_ih": np.vstack([weights[1], nothing[:, : layer.input_size]]),
        "bias_ih": np.concatenate([weights[2], as_fractions(bias.bias)]),
        "bias_hh": as_fractions(np.zeros(n + extra)),
        "readout": np.hstack([weights[3], nothing[:, : len(weights[3])].T]),
    }
    if weights[4].any():
        made["initial_h"] = np.concatenate([weights[4], nothing[:, 0]])
    made |= {name: model.weights[name] for name in ("readout_bias",) if name in model.weights}
    count, norm = states_needed(network.weight_hh), float(np.linalg.norm(network.weight_hh, 2))
    certificate = LayerCertificate(
        outcome="exact on bounded inputs" if extra else "exact",
        reason=f"in fractions, {extra} extra units never fire",
        before=n,
        states=n + extra,
        fewest=count.lower,
        fewest_holds=count.lower_holds,
        norm=norm,
        scaled_norm=norm,
        pruned=0,
        bounds={name: float(bias.bounds.max()) for name in set(bias.routes)},
        used=tuple(sorted(set(bias.routes))),
        residual=0.0,
        rounding=0.0,
    )
    return ExactTwin(Model(RNN(layer.input_size, n + extra, len(weights[3]), "relu"), made), certificate)


def outputs_in_fractions(model: Model, inputs: Float[np.ndarray, "time input"]) -> Shaped[np.ndarray, " number"]:
    """All outputs of such a model, one after the other."""
    w, f, b, c, h = _complete(model.architecture, model)  # type: ignore[arg-type]
    shift = as_fractions(np.asarray(model.weights.get("readout_bias", np.zeros(len(c)))))
    outputs = []
    for x in as_fractions(inputs):
        h = np.maximum(w @ h + f @ x + b, 0)
        outputs.append(c @ h + shift)
    return np.concatenate(outputs)


def _complete(layer: RNN, model: Model) -> tuple[Exact, Exact, Exact, Exact, Exact]:
    """W, F, b, C and h[-1] in fractions."""
    given = jax.tree.map(as_fractions, dict(model.weights))
    zero = as_fractions(np.zeros(layer.width))
    return (
        given["weight_hh"],
        given["weight_ih"],
        given.get("bias_ih", zero) + given.get("bias_hh", zero),
        given.get("readout", as_fractions(np.eye(layer.width))),
        given.get("initial_h", zero),
    )
