"""Trained recurrent models in Keras files: .keras, .weights.h5 and legacy .h5."""

from pathlib import Path

from hitherto.architectures.outside.cells import check_gates
from hitherto.architectures.outside.found import Found, Reading


def read_keras(path: Path | str, reading: Reading = Reading()) -> list[Found]:  # noqa: B008
    """The recurrent models of a Keras file, in the order of the model.

    LSTM, GRU, SimpleRNN, their CuDNN forms, RNN of one or more such cells, and Bidirectional and
    TimeDistributed around them, are brought into PyTorch's form. The config, where there is one, tells
    activations, conventions and which layers read one another; those are one stack, with its layers as
    members. Where only weights were saved, layers are chained if order and widths leave no doubt, and the
    rest is assumed by the version of Keras.

    Models give the outputs of all steps, also where the layer hands on the last alone. What `reading` sets
    goes before what the file says.

    Args:
        path: of a .keras archive, or of an HDF5 file with a whole model or with weights alone.
    Raises:
        ValueError: if the file is damaged or hostile, holds no recurrent layer that can be read, or one of a
            class that is not Keras's own; the message says what was found.
        ImportError: if h5py is not installed. Keras is not needed.
    """
    try:
        from hitherto.architectures.outside import keras_containers, keras_layers, keras_wiring
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise ImportError('reading Keras files needs the h5py package: pip install "hitherto[keras]"') from error
    check_gates(reading)
    path = Path(path)
    contents = keras_containers.keras_contents(path, reading.max_bytes)
    context = keras_layers.Context(contents.arrays, contents.version, reading)
    try:
        if contents.config is None:
            found = keras_wiring.unconfigured(contents, context)
        else:
            found = keras_wiring.chains(keras_wiring.configured(contents), context)
    except RecursionError as error:
        raise ValueError(f"{path.name}: its config is nested too deeply; no Keras model is: refused") from error
    if not found:
        raise ValueError(
            f"{path.name} holds no recurrent layer that can be read; LSTM, GRU, SimpleRNN and RNN of them are"
        )
    return found
