"""Laws of fresh weights by name, with their variances, and parametrisations with their learning rates.

Laws of the recurrent matrix, each gate's block by itself, all with mean square entry `variance / visible`:

- `gaussian`: independent normal entries.
- `orthogonal`: sqrt(variance) times an orthogonal matrix, uniform over all (orthonormal rows or columns if not square).
- `identity`: sqrt(variance) times the identity.
- `ring`: rotations by independent uniform angles in planes of two units, times sqrt(variance): a normal matrix whose
  eigenvalues have modulus sqrt(variance).

With these, input entries are normal with variance `input_variance / input_size`, those of the readout with
`readout_variance / visible`, and biases start at 0, the forget gate's at 1. Two laws fix everything instead:

- `pytorch`: every entry, biases too, uniform with variance 1 / (3 width); the readout 1 / (3 visible).
- `keras`: recurrent matrix of all gates together orthogonal, input and readout Glorot-uniform, variance
  2 / (rows + columns); biases at 0, the forget gate's at 1.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures._cell import AbstractCell
from hitherto.core.model import Weights, check_sizes
from hitherto.core.names import known

LAWS = ("gaussian", "orthogonal", "identity", "ring", "pytorch", "keras")
FRAMEWORKS = ("pytorch", "keras")
PARAMETRISATIONS = ("standard", "ntk", "ntk_unit", "mean_field")
OPTIMISERS = ("sgd", "adam")


def check_layer(layer: AbstractCell) -> None:
    """Refuses sizes, variances and names that no layer can have.

    Raises:
        ValueError: if a size is below 1, a variance is negative or not finite, a law or parametrisation is unknown,
            or they exclude each other.
    """
    kind = type(layer).__name__
    check_sizes(layer, "input_size", "width", "readout_size", "visible_size")
    for name in ("variance", "input_variance", "readout_variance"):
        if not 0 <= (value := getattr(layer, name)) < math.inf:
            raise ValueError(f"{kind} was asked with {name}={value}; a variance is finite and not negative, give one")
    known(layer.initialisation, LAWS, "initialisation")
    known(layer.parametrisation, PARAMETRISATIONS, "parametrisation")
    _check_together(layer, kind)


def _check_together(layer: AbstractCell, kind: str) -> None:
    changed = (layer.variance, layer.input_variance, layer.readout_variance, layer.parametrisation)
    if layer.initialisation in FRAMEWORKS and changed != (1.0, 1.0, 1.0, "standard"):
        raise ValueError(
            f"the initialisation {layer.initialisation!r} fixes all variances in the standard parametrisation, but "
            f"{kind} has (variance, input_variance, readout_variance, parametrisation) = {changed}; leave them at "
            "their defaults or take another initialisation"
        )
    if layer.initialisation == "ring" and layer.visible_size != layer.width:
        raise ValueError(
            f"the initialisation 'ring' needs square blocks, but {kind} has {layer.width} units and shows "
            f"{layer.visible_size}; take 'orthogonal', or no projection"
        )
    if layer.parametrisation == "mean_field" and layer.readout_size is None:
        raise ValueError(
            f"the parametrisation 'mean_field' divides the readout by the width, but {kind} has no readout "
            "(readout_size=None); give a readout_size"
        )


def multipliers(layer: AbstractCell) -> dict[str, float]:
    """What each stored block is multiplied by before it enters the step; 1 for blocks that are not named.

    `ntk`: h[t] = W h[t-1] / sqrt(n) + F x[t], y = C h / sqrt(n), with stored entries of variance `variance`,
    `input_variance`, `readout_variance`. `ntk_unit`: the same function of the inputs at the start, but stored entries
    have variance 1 and the multipliers carry the deviations, so that gradients do too. `mean_field`: y = C h / n.

    Source: linear networks in the kernel regime; mean-field networks (muP).
    """
    n = layer.width
    deviations = [math.sqrt(v) for v in (layer.variance / n, layer.input_variance, layer.readout_variance / n)]
    tables = {
        "standard": (1.0, 1.0, 1.0),
        "ntk": (n**-0.5, 1.0, n**-0.5),
        "ntk_unit": tuple(deviations),
        "mean_field": (1.0, 1.0, 1 / n),
    }
    return dict(zip(("weight_hh", "weight_ih", "readout"), tables[layer.parametrisation], strict=True))


def entry_variances(layer: AbstractCell) -> dict[str, float]:
    """Mean square of fresh entries, by block, as they enter the step: the stored ones times `multipliers` squared.

    Biases at constants (0, and 1 for the forget gate) count as 0. For `identity` and `ring` the mean is over the
    entries of the block.
    """
    factors = multipliers(layer)
    return {name: v * factors.get(name, 1.0) ** 2 for name, v in stored_variances(layer).items()}


def stored_variances(layer: AbstractCell) -> dict[str, float]:
    """Mean square of fresh entries, by block, as they are stored and trained."""
    rows, n = layer.gates * layer.width, layer.visible_size
    laws = {
        "pytorch": (1 / (3 * layer.width), 1 / (3 * layer.width), 1 / (3 * n)),
        "keras": (1 / max(rows, n), 2 / (layer.input_size + rows), 2 / (n + (layer.readout_size or 1))),
    }
    hh, ih, out = laws.get(layer.initialisation) or _free_variances(layer)
    found = {"weight_ih": ih, "weight_hh": hh}
    if layer.bias:
        found |= dict.fromkeys(("bias_ih", "bias_hh"), ih if layer.initialisation == "pytorch" else 0.0)
    return found if layer.readout_size is None else found | {"readout": out}


def _free_variances(layer: AbstractCell) -> tuple[float, float, float]:
    recurrent, entering, leaving = layer.variance, layer.input_variance, layer.readout_variance
    n = layer.visible_size
    tables = {
        "standard": (recurrent / n, entering / layer.input_size, leaving / n),
        "ntk": (recurrent, entering, leaving),
        "ntk_unit": (1.0, 1.0, 1.0),
        "mean_field": (recurrent / n, entering / layer.input_size, leaving),
    }
    return tables[layer.parametrisation]


def learning_rates(layer: AbstractCell, optimiser: str = "sgd") -> dict[str, float]:
    """Factors on a learning rate that suits every width, by block.

    In `mean_field` each block must move the activations by the same amount at every width: with `sgd` the gradients
    of C, F and biases are of order 1 / n and get the factor n, those of W are as large as the moves it needs; with
    `adam`, whose moves do not depend on the size of gradients, W gets 1 / n. Otherwise all factors are 1: `ntk` is
    made so that gradient descent needs none, `standard` needs what its user finds.

    Raises:
        ValueError: if the optimiser is neither `sgd` nor `adam`, or it is `adam` with `ntk` or `ntk_unit`.
    """
    known(optimiser, OPTIMISERS, "optimiser")
    blocks, n = stored_variances(layer), layer.width
    if layer.parametrisation == "mean_field":
        entering, recurrent = (float(n), 1.0) if optimiser == "sgd" else (1.0, 1 / n)
        return {name: recurrent if name == "weight_hh" else entering for name in blocks}
    if optimiser == "adam" and layer.parametrisation != "standard":
        raise ValueError(
            f"learning rates for adam were asked of the parametrisation {layer.parametrisation!r}, which is made for "
            "gradient descent and has none; take 'mean_field', or sgd"
        )
    return dict.fromkeys(blocks, 1.0)


def fresh(layer: AbstractCell, key: PRNGKeyArray, dtype: Any) -> dict[str, Array]:
    """Input, recurrent, bias and readout weights of a layer by its law, as they are stored."""
    keys = dict(zip(("weight_ih", "weight_hh", "readout"), jax.random.split(key, 3), strict=True))
    keys |= {name: jax.random.fold_in(key, i) for i, name in enumerate(("bias_ih", "bias_hh"))}
    rows = layer.gates * layer.width
    shapes = dict(weight_ih=(rows, layer.input_size), weight_hh=(rows, layer.visible_size), bias_ih=(rows,))
    shapes |= dict(bias_hh=(rows,), readout=(layer.readout_size, layer.visible_size))
    draw = _uniform if layer.initialisation in FRAMEWORKS else _normal
    variances = stored_variances(layer)
    weights = {name: draw(keys[name], shapes[name], dtype, v) for name, v in variances.items()}
    if layer.initialisation not in ("gaussian", "pytorch"):
        weights["weight_hh"] = _structured(layer, keys["weight_hh"], dtype, variances["weight_hh"])
    return weights


def scaled(layer: AbstractCell, weights: Weights) -> Weights:
    """Stored weights as they enter the step."""
    factors = multipliers(layer)
    return {name: w * jnp.asarray(factors.get(name, 1.0), w.dtype) for name, w in weights.items()}


def _normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any, variance: float) -> Array:
    return jax.random.normal(key, shape, dtype) * jnp.asarray(math.sqrt(variance), dtype)


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any, variance: float) -> Array:
    bound = math.sqrt(3 * variance)
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _structured(layer: AbstractCell, key: PRNGKeyArray, dtype: Any, variance: float) -> Float[Array, "rows visible"]:
    """The recurrent matrix of the laws whose entries depend on each other, with mean square entry `variance`."""
    rows, columns = layer.width, layer.visible_size
    if layer.initialisation == "keras":
        return orthogonal(key, layer.gates * rows, columns, dtype)
    blocks = {"orthogonal": orthogonal, "identity": _identity, "ring": _rotations}
    made = [blocks[layer.initialisation](k, rows, columns, dtype) for k in jax.random.split(key, layer.gates)]
    scale = math.sqrt(variance * rows * columns / min(rows, columns))  # all have min(rows, columns) unit vectors
    return jnp.concatenate(made) * jnp.asarray(scale, dtype)


def orthogonal(key: PRNGKeyArray, rows: int, columns: int, dtype: Any) -> Float[Array, "rows columns"]:
    """A matrix with orthonormal rows or columns, uniform over all."""
    tall = jax.random.normal(key, (max(rows, columns), min(rows, columns)), dtype)
    q, r = jnp.linalg.qr(tall)
    q = q * jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(dtype)  # makes the law uniform
    return q if rows >= columns else q.T


def _identity(_: PRNGKeyArray, rows: int, columns: int, dtype: Any) -> Float[Array, "rows columns"]:
    return jnp.eye(rows, columns, dtype=dtype)


def _rotations(key: PRNGKeyArray, rows: int, _: int, dtype: Any) -> Float[Array, "rows rows"]:
    angles = jax.random.uniform(key, ((rows + 1) // 2,), dtype, 0, 2 * math.pi)
    c, s = jnp.cos(angles), jnp.sin(angles)
    if rows % 2:  # the unit that is left over has a real eigenvalue
        c, s = c.at[-1].set(jnp.sign(c[-1])), s.at[-1].set(0)
    across = jnp.zeros(rows, dtype).at[::2].set(s)[:-1]
    return jnp.diag(jnp.repeat(c, 2)[:rows]) - jnp.diag(across, 1) + jnp.diag(across, -1)
