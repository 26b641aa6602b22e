"""The user's own input sequences, from a file into the form the model takes."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int


def load_inputs(path: str | Path, channels: int) -> Float[np.ndarray, "sequence time input"]:
    """Input sequences from a `.npy` file, or the one array of a `.npz` file.

    Args:
        path: floats (time, input) or (sequence, time, input); or integers (time) or (sequence, time), taken as
            tokens and turned into one-hot vectors of `channels`.
        channels: how many the model takes.
    Raises:
        ValueError: if the file is missing, not an array file, or does not fit the model.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no input file {path}: give a .npy array (time, {channels}) or (sequence, time, {channels})")
    return as_sequences(load_array(path), channels, str(path))


def load_array(path: Path) -> np.ndarray:
    """The array of a `.npy` file, or the one numeric array of a `.npz` file.

    Raises:
        ValueError: if the file is missing, no array file, or holds several arrays.
    """
    try:
        data = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError(f"no file {path}: save an array with numpy.save") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a NumPy array file ({error}); save one with numpy.save") from error
    if isinstance(data, np.ndarray):
        return data
    arrays = [name for name in data.files if data[name].dtype.kind in "iuf"]
    if len(arrays) != 1:
        raise ValueError(f"{path} holds {len(arrays)} numeric arrays ({', '.join(arrays)}); save the one to use")
    return data[arrays[0]]


def as_sequences(data: np.ndarray, channels: int, name: str = "inputs") -> Float[np.ndarray, "sequence time input"]:
    """Arrays as `load_inputs` takes them, in the one form that `profile` runs on."""
    if data.dtype.kind in "iu" and data.ndim <= 2 and not (data.ndim == 2 and data.shape[-1] == channels > 1):
        return one_hot(np.atleast_2d(data), channels, name)
    if data.dtype.kind not in "iufb":
        raise ValueError(f"{name} must hold real numbers, got dtype {data.dtype}")
    if data.ndim not in (2, 3) or data.shape[-1] != channels:
        tokens = data.dtype.kind == "f" and data.ndim <= 2 and np.array_equal(data, np.round(data))
        hint = "; these look like tokens: save them as integers" if tokens else ""
        raise ValueError(
            f"{name} must be (time, {channels}) or (sequence, time, {channels}) for this model, got shape "
            f"{data.shape}{hint}"
        )
    return (data if data.ndim == 3 else data[None]).astype(np.float64)


def one_hot(tokens: Int[np.ndarray, "sequence time"], channels: int, name: str = "inputs") -> np.ndarray:
    """Tokens as vectors with a single 1.

    Raises:
        ValueError: if a token is not in 0, ..., channels - 1.
    """
    if tokens.size and (tokens.min() < 0 or tokens.max() >= channels):
        raise ValueError(
            f"{name} holds integers from {tokens.min()} to {tokens.max()}; as tokens of a model with {channels} input "
            f"channels they must lie between 0 and {channels - 1}. Save measured values as floats"
        )
    return np.eye(channels)[tokens]
