"""Loss and accuracy of a model on sequences that it was not trained on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hitherto.core.model import Architecture, Model, precision
from hitherto.core.quantity import ACCURACY_BY_LENGTH, PARAMETERS, TASK_LOSS, Estimate
from hitherto.core.task import Sequences

AT_ONCE = 2**22  # numbers of inputs and states in one call


def task_loss(model: Model, sequences: Sequences) -> Estimate:
    """Mean over asked steps of the squared error (mean over channels), or of -ln of the right class's probability.

    Classes are told by targets that are whole numbers. The standard error is over sequences, each weighted by the steps
    that are asked in it; a single one gives none.

    Raises:
        ValueError: if no step is asked, the sizes do not fit, or the loss is not finite.

    Cost: one forward pass.
    Does not tell: how the loss would change with another training; compare seeds.
    """
    _refuse_channels(model, sequences)
    errors = _errors(model, sequences)
    asked = np.asarray(sequences.mask, np.float64)
    if not asked.any():
        raise ValueError("a loss was asked for and no step of the sequences is; give a mask with asked steps")
    if not np.isfinite(errors[asked > 0]).all():
        raise ValueError("a loss was asked for and is not finite: the model has diverged; lower the rate, or clip")
    errors, total = np.where(asked > 0, errors, 0.0), asked.sum()
    loss = float((errors * asked).sum() / total)
    return Estimate(
        TASK_LOSS,
        loss,
        standard_error=_error(errors, asked, loss),
        statistics=dict(sequences=len(asked), asked=float(total)),
        source="a mean over sequences",
    )


def filter_loss(sequences: Sequences) -> Estimate:
    """Least squared error of any linear filter y[t] = sum over j of g_j x[t-j], inputs before the first being 0.

    Fitted to the very sequences, so that it is low by the share of coefficients in the answers.

    Args:
        sequences: of one output channel; g_j has a coefficient for every step and input.
    Raises:
        ValueError: if no step is asked.

    Cost: that of least squares with sequences x steps rows.
    """
    inputs, targets, mask = sequences
    asked = np.asarray(mask, bool)
    if not asked.any():
        raise ValueError("a loss was asked for and no step of the sequences is; give a mask with asked steps")
    length = inputs.shape[1]
    before = np.pad(inputs, ((0, 0), (length - 1, 0), (0, 0)))
    lagged = np.lib.stride_tricks.sliding_window_view(before, length, axis=1).reshape(*asked.shape, -1)
    rows, wanted = lagged[asked], targets[..., 0][asked]
    fitted = np.linalg.lstsq(rows.T @ rows, rows.T @ wanted, rcond=None)[0]
    errors = np.where(asked, np.square(lagged @ fitted - targets[..., 0]), 0.0)
    loss = float(errors.sum() / asked.sum())
    about = dict(sequences=len(inputs), coefficients=len(fitted))
    return Estimate(
        TASK_LOSS, loss, standard_error=_error(errors, asked, loss), statistics=about, source="least squares"
    )


def sign_accuracy(model: Model, sequences: dict[int, Sequences]) -> Estimate:
    """Share of sequences whose last output has the sign of the last target, by length.

    Args:
        sequences: by length; one output channel.
    Raises:
        ValueError: if there are none, or the sizes do not fit.
    """
    if not sequences or not all(len(some.inputs) for some in sequences.values()):
        raise ValueError("an accuracy by length was asked for without sequences; give some of each length")
    lengths = sorted(sequences)
    right = [_right_signs(model, sequences[length]) for length in lengths]
    shares = np.array([found.mean() for found in right])
    errors = np.array([np.sqrt(p * (1 - p) / len(found)) for p, found in zip(shares, right, strict=True)])
    return Estimate(
        ACCURACY_BY_LENGTH,
        shares,
        standard_error=errors,
        axes={"length": np.array(lengths)},
        statistics=dict(sequences=[len(found) for found in right]),
        source="shares of sequences",
    )


def parameters(architecture: Architecture) -> Estimate:
    """Numbers in fresh weights, the embedding included."""
    weights = jax.eval_shape(architecture.init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(weights))
    return Estimate(PARAMETERS, count, standard_error=0.0, source="counted")


def _error(errors: np.ndarray, asked: np.ndarray, loss: float) -> float | None:
    """Of the mean over asked steps, sequences being independent."""
    count = len(errors)
    if count < 2:
        return None
    spread = ((errors - loss) * asked).sum(1)
    return float(np.sqrt(np.square(spread).sum() * count / (count - 1)) / asked.sum())


def _refuse_channels(model: Model, sequences: Sequences) -> None:
    own, given = model.architecture.input_size, sequences.inputs.shape[-1]
    if own != given:
        raise ValueError(f"the model takes {own} input channels, the sequences have {given}; give a task that fits")


def _right_signs(model: Model, sequences: Sequences) -> np.ndarray:
    _refuse_channels(model, sequences)
    outputs = _outputs(model, sequences.inputs)
    return np.sign(outputs[:, -1, 0]) == np.sign(sequences.targets[:, -1, 0])


def _errors(model: Model, sequences: Sequences) -> Float[np.ndarray, "sequence time"]:
    outputs, targets = _outputs(model, sequences.inputs), sequences.targets
    if targets.ndim == 3:
        return np.square(outputs - targets).mean(-1)
    shifted = outputs - outputs.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, targets[..., None], -1)[..., 0]


def _outputs(
    model: Model, inputs: Float[np.ndarray, "sequence time input"]
) -> Float[np.ndarray, "sequence time output"]:
    """In float64, some sequences at a time."""
    size = inputs[0].size + inputs.shape[1] * model.architecture.output_size
    pieces = np.array_split(inputs, -(-len(inputs) * size // AT_ONCE))
    with precision(model.dtype):
        weights = jax.tree.map(jnp.asarray, model.weights)
        return np.concatenate(
            [np.asarray(_run(model.architecture, weights, jnp.asarray(x, model.dtype)), np.float64) for x in pieces]
        )


@partial(jax.jit, static_argnums=0)
def _run(architecture: Architecture, weights, inputs):
    return jax.vmap(lambda x: architecture.run(weights, architecture.start(weights), x)[1])(inputs)
