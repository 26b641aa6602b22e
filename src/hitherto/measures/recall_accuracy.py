"""Recall accuracy: how often a trained model gives the right class where it is asked."""

import jax
import jax.numpy as jnp
import numpy as np

from hitherto.core.model import Model, precision, states_and_outputs
from hitherto.core.quantity import RECALL_ACCURACY, Estimate
from hitherto.core.task import Sequences


def recall_accuracy(model: Model, sequences: Sequences, *, last: int | None = None, part: str = "") -> Estimate:
    """Share of asked steps whose largest output is the right class.

    Args:
        sequences: of a task with classes, not those it was trained on.
        last: count the last steps only, such as the word of a copying task without its silence.
    Returns:
        `RECALL_ACCURACY`, its standard error and interval from the sequences as independent units; with all right or
        all wrong the interval reaches to 3 / sequences from the end, where 95% of it would have shown something else.
    Raises:
        ValueError: if no step is asked, or the sizes do not fit.

    Cost: one forward run in the precision of the weights.
    Source: classical; the rule of three for the ends.
    """
    if sequences.targets.ndim != 2 or sequences.inputs.shape[-1] != model.architecture.input_size:
        raise ValueError(
            f"accuracy needs classes (sequence, time) and inputs of {model.architecture.input_size} channels, got "
            f"targets {sequences.targets.shape} and inputs {sequences.inputs.shape}; give a task with classes that fits"
        )
    asked = sequences.mask.copy()
    if last is not None:
        asked[:, : max(0, asked.shape[1] - last)] = False
    if not asked.any(1).all():
        raise ValueError("a sequence without an asked step has no accuracy; ask at least one step in each")
    with precision(model.dtype):
        run = jax.jit(jax.vmap(lambda x: states_and_outputs(model, x)[1]))
        chosen = np.asarray(run(jnp.asarray(sequences.inputs, model.dtype))).argmax(-1)
    right = ((chosen == sequences.targets) & asked).sum(1) / asked.sum(1)
    value, error = float(right.mean()), float(right.std(ddof=1) / len(right) ** 0.5) if len(right) > 1 else 0.0
    reach = max(1.96 * error, 3 / len(right) if value in (0.0, 1.0) else 0.0)
    return Estimate(
        RECALL_ACCURACY,
        value,
        standard_error=error,
        low=max(0.0, value - reach),
        high=min(1.0, value + reach),
        part=part,
        statistics={"sequences": len(right), "asked": int(asked.sum())},
        source="classical",
    )
