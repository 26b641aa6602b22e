"""Forms of a second-order layer: full tensor, CP form, tensor train, and multiplicative integration as a CP form.

Each function takes one layer, or a stack, of which it converts the layers of the form that it takes and keeps the
others. New weights are computed in float64 and rounded once to the precision of the old ones; what is left as it was,
biases, readouts, `initial_h`, is kept.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model

_FORMS = {
    "full": "a SecondOrderRNN with neither cp_rank nor tt_ranks",
    "cp": "a SecondOrderRNN with cp_rank",
    "tt": "a SecondOrderRNN with tt_ranks",
    "integration": "a MultiplicativeIntegrationRNN",
}
_CP = ("factor_out", "factor_hidden", "factor_input")
_TRAIN = ("train_hidden", "train_input", "train_out")
_GAINS = ("gain", "gain_hh", "gain_ih")


def cp_to_full(model: Model) -> Model:
    """The same function with tensor[i, j, m] = sum over r of factor_out[i, r] factor_hidden[j, r] factor_input[m, r].

    Raises:
        ValueError: if there is no layer with `cp_rank`.

    Cost: width^2 input_size entries, cp_rank products each.
    """
    return _converted(model, "cp_to_full", "cp", _full_of_cp)


def full_to_cp(model: Model) -> Model:
    """The same function, exactly, with the tensor as a sum of its fibres: the slice-wise CP form.

    A fibre is what is left of the tensor when two of its indices are fixed; two factors of its term are unit vectors,
    the third is the fibre. Of the three directions the one with the fewest fibres that do not vanish is taken, so
    cp_rank is at most min(width^2, width input_size). Fewer terms may do, which this does not look for.

    Raises:
        ValueError: if there is no layer with the full tensor, or its entries are not finite.
    """
    return _converted(model, "full_to_cp", "full", _cp_of_full)


def tt_to_full(model: Model) -> Model:
    """The same function with tensor[i, j, m] = sum of train_hidden[j, r] train_input[r, m, s] train_out[s, i].

    Raises:
        ValueError: if there is no layer with `tt_ranks`.
    """
    return _converted(model, "tt_to_full", "tt", _full_of_train)


def full_to_tt(model: Model, tolerance: float | int = 0.0) -> Model:
    """The tensor as a train, order hidden, input, out, by two singular value decompositions.

    Args:
        tolerance: how far the new tensor may be from the old one in the Frobenius norm, relative to that of the old
            one. The ranks are the least that the decompositions allow; at 0 they are exact but for what is below the
            rounding of the weights.
    Raises:
        ValueError: if there is no layer with the full tensor, its entries are not finite, or the tolerance is not from
            0 to below 1.

    Cost: width^3 input_size products.
    Source: Oseledets (2011), Tensor-train decomposition.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"full_to_tt was asked with tolerance={tolerance}; give a relative error from 0 to below 1")
    return _converted(model, "full_to_tt", "full", lambda layer: _train_of_full(layer, tolerance))


def cp_to_tt(model: Model) -> Model:
    """The same function, exactly, with tt_ranks = (cp_rank, cp_rank): train_input is diagonal in r, s.

    Raises:
        ValueError: if there is no layer with `cp_rank`.
    """
    return _converted(model, "cp_to_tt", "cp", _train_of_cp)


def multiplicative_to_cp(model: Model) -> Model:
    """Multiplicative integration as a `SecondOrderRNN` with cp_rank = width.

    factor_out = diag(gain), factor_hidden = weight_hh^T, factor_input = weight_ih^T; the weights of first order are
    gain_hh * weight_hh and gain_ih * weight_ih, row by row.

    Raises:
        ValueError: if there is no `MultiplicativeIntegrationRNN`.

    Source: Lizaire et al. (2024), arXiv 2406.05045.
    """
    return _converted(model, "multiplicative_to_cp", "integration", _cp_of_integration)


def _converted(model: Model, name: str, form: str, change: Callable[[Model], Model]) -> Model:
    """The layer, or all layers of a stack that have the form, changed."""
    architecture = model.architecture
    if _form(architecture) == form:
        return change(model)
    layers = architecture.layers if isinstance(architecture, Deep) else ()
    if form not in map(_form, layers):
        raise ValueError(f"{name} takes {_FORMS[form]}, found {architecture}; give such a layer, or a stack with one")
    parts = [Model(layer, weights) for layer, weights in zip(layers, model.weights, strict=True)]
    changed = [change(part) if _form(part.architecture) == form else part for part in parts]
    stack = replace(architecture, layers=tuple(part.architecture for part in changed))
    return Model(stack, tuple(part.weights for part in changed))


def _form(layer: Architecture) -> str:
    if isinstance(layer, MultiplicativeIntegrationRNN):
        return "integration"
    if not isinstance(layer, SecondOrderRNN):
        return "other"
    return "cp" if layer.cp_rank is not None else "tt" if layer.tt_ranks is not None else "full"


def _full_of_cp(model: Model) -> Model:
    tensor = np.einsum("ir,jr,mr->ijm", *_wide(model, *_CP), optimize=True)
    return _rebuilt(model, replace(model.architecture, cp_rank=None), _CP, {"tensor": tensor})


def _full_of_train(model: Model) -> Model:
    tensor = np.einsum("jr,rms,si->ijm", *_wide(model, *_TRAIN), optimize=True)
    return _rebuilt(model, replace(model.architecture, tt_ranks=None), _TRAIN, {"tensor": tensor})


def _cp_of_full(model: Model) -> Model:
    [tensor] = _finite(model)
    alive = [np.argwhere((tensor != 0).any(axis)) for axis in range(3)]  # the fibres along each axis
    axis = min(range(3), key=lambda axis: len(alive[axis]))
    places = alive[axis] if len(alive[axis]) else np.zeros((1, 2), int)  # a tensor that is 0 takes one term too
    factors = [np.eye(size)[:, place] for size, place in zip(np.delete(tensor.shape, axis), places.T, strict=True)]
    factors.insert(axis, np.moveaxis(tensor, axis, 0)[:, *places.T])
    layer = replace(model.architecture, cp_rank=len(places))
    return _rebuilt(model, layer, ("tensor",), dict(zip(_CP, factors, strict=True)))


def _train_of_full(model: Model, tolerance: float | int) -> Model:
    [tensor] = _finite(model)
    rounding = 4 * np.finfo(model.dtype).eps * sum(tensor.shape)  # of two decompositions, one after the other
    scale = np.abs(tensor).max() or 1.0  # squares of entries must neither overflow nor vanish
    slack = max(tolerance, rounding) * np.linalg.norm(tensor / scale) / 2**0.5  # the squares of both cuts add up
    units = len(tensor)
    hidden, rest = _cut(tensor.transpose(1, 2, 0).reshape(units, -1) / scale, slack)
    middle, out = _cut(rest.reshape(-1, units), slack)
    train = hidden, middle.reshape(hidden.shape[1], -1, len(out)), scale * out
    made = dict(zip(_TRAIN, train, strict=True))
    return _rebuilt(model, replace(model.architecture, tt_ranks=(hidden.shape[1], len(out))), ("tensor",), made)


def _finite(model: Model) -> list[Float[np.ndarray, "out hidden input"]]:
    found = _wide(model, "tensor")
    if not np.isfinite(found[0]).all():
        raise ValueError(
            "a tensor with entries that are not finite was to be converted; look for a training that diverged"
        )
    return found


def _cut(
    matrix: Float[np.ndarray, "row column"], slack: float
) -> tuple[Float[np.ndarray, "row rank"], Float[np.ndarray, "rank column"]]:
    """Two factors of the least rank whose product is within `slack` of the matrix, the left one orthonormal."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    lost = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1]  # if the values from here on are left out
    rank = max(1, int(np.count_nonzero(lost > slack)))
    return left[:, :rank], values[:rank, None] * right[:rank]


def _train_of_cp(model: Model) -> Model:
    out, hidden, entering = _wide(model, *_CP)
    rank = out.shape[1]
    made = {"train_hidden": hidden, "train_input": np.eye(rank)[:, None] * entering.T[:, :, None], "train_out": out.T}
    return _rebuilt(model, replace(model.architecture, cp_rank=None, tt_ranks=(rank, rank)), _CP, made)


def _cp_of_integration(model: Model) -> Model:
    layer = model.architecture
    recurrent, entering, *gains = _wide(model, "weight_hh", "weight_ih", *_GAINS)
    made = {
        "factor_out": np.diag(gains[0]),
        "factor_hidden": recurrent.T,
        "factor_input": entering.T,
        "weight_hh": gains[1][:, None] * recurrent,
        "weight_ih": gains[2][:, None] * entering,
    }
    sizes = layer.input_size, layer.width, layer.readout_size
    return _rebuilt(model, SecondOrderRNN(*sizes, cp_rank=layer.width, activation=layer.activation), _GAINS, made)


def _wide(model: Model, *names: str) -> list[Float[np.ndarray, "..."]]:
    return [np.asarray(model.weights[name], np.float64) for name in names]


def _rebuilt(
    model: Model, layer: SecondOrderRNN, gone: tuple[str, ...], made: dict[str, Float[np.ndarray, "..."]]
) -> Model:
    """The layer with some weights gone and others made."""
    kept = {name: weight for name, weight in model.weights.items() if name not in gone}
    return Model(layer, kept | {name: weight.astype(model.dtype) for name, weight in made.items()})
