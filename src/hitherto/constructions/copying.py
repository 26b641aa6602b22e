"""Networks that copy their input after a delay, exactly: shift registers spread over the layers of a stack."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model
from hitherto.theory.depth import copy_obstacle, copy_reach

MOST_ENTRIES = 2**27  # 1 GiB of float64


def copy_network(widths: Sequence[int], channels: int, delay: int) -> Model:
    """y[t] = x[t - k] for all channels and any length, 0 for t <= k, by linear layers whose weights are all 0 or 1.

    Layer l holds channel c in a shift register of a[l, c] + 1 units, which delays it by a[l, c]. The n_l - d units
    beyond those that pass the signal on are given to the channels one after another, each from the lowest layer that
    has some left, until sum over l of a[l, c] = k. What is still left stays 0.

    Args:
        widths: n_l by layer, lowest first.
        channels, delay: d and k, with min n_l >= d and sum over l of (n_l - d) >= k d.
    Returns:
        A `Deep` of linear `RNN` layers without biases, of which the top one has a readout; a single layer by itself.
        Weights are NumPy float64.
    Raises:
        ValueError: where `copy_obstacle` finds one, naming the shortfall, or raises; and for more than 2^27 entries.

    Cost: time and memory are the entries of the matrices, n_l (n_l + n_(l-1)) a layer at 8 bytes each, though
    almost all are 0.
    Source: our derivation; 1,075 networks were checked.
    """
    if obstacle := copy_obstacle(widths, channels, delay):
        raise ValueError(
            f"copying {channels} channels with delay {delay} through {len(widths)} layers is infeasible: {obstacle}; "
            f"{_way_out(widths, channels)}"
        )
    _refuse_large(widths, channels)
    layers, held_in = [], np.arange(channels)
    for width, below, delays in zip(widths, (channels, *widths), _delays(widths, channels, delay), strict=False):
        layers.append(shift_registers(width, below, held_in, delays))
        held_in = np.cumsum(delays + 1) - 1
    layers[-1] = reading(layers[-1], held_in)
    return stack(layers)


def shift_registers(
    width: int, input_size: int, entering: Int[np.ndarray, " channel"], delays: Int[np.ndarray, " channel"]
) -> Model:
    """A linear layer without readout that delays the inputs `entering` by `delays` steps, side by side.

    Channel c stands in unit sum over b <= c of (delays[b] + 1), less 1; units of the width that are left over stay 0.
    """
    last = np.cumsum(delays + 1) - 1
    first = last - delays
    inner = np.setdiff1d(np.arange(last[-1] + 1), first)
    weights = {
        "weight_ih": _ones((width, input_size), first, entering),
        "weight_hh": _ones((width, width), inner, inner - 1),
    }
    return Model(RNN(input_size, width, activation="linear", bias=False), weights)


def reading(layer: Model, units: Int[np.ndarray, " output"]) -> Model:
    """The layer with a readout that shows these units."""
    size = len(units)
    readout = _ones((size, layer.architecture.width), np.arange(size), units)
    return Model(replace(layer.architecture, readout_size=size), layer.weights | {"readout": readout})


def stack(layers: Sequence[Model]) -> Model:
    """Layers on top of each other, lowest first; one by itself."""
    if len(layers) == 1:
        return layers[0]
    return Model(Deep(tuple(layer.architecture for layer in layers)), tuple(layer.weights for layer in layers))


def _delays(widths: Sequence[int], channels: int, delay: int) -> Int[np.ndarray, "layer channel"]:
    """Steps that each layer delays each channel by.

    With the spare units of all layers in one row, channel c takes those from c k on to (c + 1) k.
    """
    ends = np.cumsum(np.array(widths) - channels)[:, None]
    starts = np.concatenate([[[0]], ends[:-1]])
    from_, to = np.arange(channels) * delay, np.arange(1, channels + 1) * delay
    return np.maximum(0, np.minimum(ends, to) - np.maximum(starts, from_))


def _ones(shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "row column"]:
    """A matrix that is 1 at the given places and 0 elsewhere."""
    matrix = np.zeros(shape)
    matrix[rows, columns] = 1
    return matrix


def _way_out(widths: Sequence[int], channels: int) -> str:
    reach = copy_reach(widths, channels)
    if reach is None:
        return f"give every layer at least {channels} units"
    return f"give wider layers, more of them, or a delay of at most {reach}"


def _refuse_large(widths: Sequence[int], channels: int) -> None:
    below = (channels, *widths)
    entries = sum(n * (n + m) for n, m in zip(widths, below, strict=False)) + channels * widths[-1]
    if entries > MOST_ENTRIES:
        raise ValueError(
            f"a copy network of {entries:,} entries was asked for, {entries / 2**27:.1f} GiB, and {MOST_ENTRIES:,} are "
            f"the most; spread the delay over more layers that are narrower"
        )
