"""What the claims and experiments about depth share: the paper, stacks of one width, numbers without error."""

import numpy as np

from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, build
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Paper, Source

PAPER = Paper(
    key="lizaire2026depth",
    title="On the Role of Depth in the Expressivity of RNNs",
    authors=("Maude Lizaire", "Michael Rizvi-Martel", "Éric Dupuis", "Guillaume Rabusseau"),
    year=2026,
    arxiv="2604.02201",
)
OURS = Source(PAPER, "our derivation beside it")


def sizes(depth: int, width: int, channels: int, outputs: int) -> list[tuple[int, int | None]]:
    """For each layer, the channels that enter it and those that are read from it."""
    return [(width if k else channels, outputs if k == depth - 1 else None) for k in range(depth)]


def stacked(layers: list[RNN | SecondOrderRNN]) -> Architecture:
    """One layer by itself, or a stack."""
    return layers[0] if len(layers) == 1 else Deep(tuple(layers))


def linear_stack(depth: int, width: int, channels: int) -> Architecture:
    """Linear layers without biases, for as many outputs as inputs."""
    ends = sizes(depth, width, channels, channels)
    return stacked([RNN(below, width, out, activation="linear", bias=False) for below, out in ends])


def exact(quantity: Quantity, value: int | float) -> Estimate:
    """A number without error."""
    return Estimate(quantity, value, standard_error=0.0, source="theory")


def along(quantity: Quantity, values: np.ndarray, first: int = 0) -> Estimate:
    """A curve without error, along the one axis of its quantity."""
    coordinates = {quantity.axes[0]: np.arange(len(values)) + first}
    return Estimate(quantity, np.asarray(values, float), np.zeros(len(values)), axes=coordinates, source="theory")


def whole_numbers(architecture: Architecture, seed: int) -> Model:
    """Random weights from -4 to 4."""
    rng = np.random.default_rng(seed)
    fresh = build(architecture, seed, np.float64).weights
    draw = lambda layer: {name: rng.integers(-4, 5, w.shape).astype(float) for name, w in layer.items()}  # noqa: E731
    return Model(architecture, tuple(map(draw, fresh)) if isinstance(fresh, tuple) else draw(fresh))
