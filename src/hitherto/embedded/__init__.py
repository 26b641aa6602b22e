"""The trained model that ships with the package: an LSTM that reads Python source text, one character a step."""

from importlib.resources import as_file, files

import numpy as np
from jaxtyping import Float

from hitherto.architectures.outside import load
from hitherto.core.model import Model
from hitherto.inputs import one_hot

MODEL, TEXT = "python_source_lstm.safetensors", "python_source.npz"


def embedded_model() -> tuple[Model, Float[np.ndarray, "sequence time input"]]:
    """The embedded LSTM and sequences of the held-out text it was made to predict."""
    folder = files("hitherto.embedded")
    with as_file(folder / MODEL) as path:
        model = load(path)
    with as_file(folder / TEXT) as path, np.load(path, allow_pickle=False) as data:
        tokens = data["tokens"].astype(int)
    return model, one_hot(tokens, model.architecture.input_size)
