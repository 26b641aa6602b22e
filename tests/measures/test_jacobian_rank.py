"""Dimensions of responses against exact vectors; the block that a copying network must have."""

import json
from pathlib import Path

import numpy as np
import pytest

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, build
from hitherto.measures.jacobian_rank import copy_block_rank, response_dimension

ROWS = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())["effective_dimension"]


def stack(depth: int, width: int, channels: int, outputs: int, activation: str = "linear") -> Architecture:
    sizes = [channels, *[width] * depth]
    layers = [
        RNN(sizes[k], width, outputs if k == depth - 1 else None, activation=activation, bias=False)
        for k in range(depth)
    ]
    return Deep(tuple(layers))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"L{row['L']} n{row['n']} d{row['d']} o{row['o']}")
def test_dimensions(row):
    found = response_dimension(stack(row["L"], row["n"], row["d"], row["o"]))
    assert not found.cannot_tell
    assert found.value == row["rank"]


@pytest.mark.parametrize(
    ("depth", "width", "delay", "length", "singular"),
    [(1, 1, 1, 2, False), (1, 1, 1, 3, True), (2, 2, 2, 6, False), (2, 1, 1, 4, True), (1, 2, 2, 7, True)],
)
def test_tanh_stacks_obey_the_copy_law(depth, width, delay, length, singular):
    model = build(stack(depth, width, 1, 1, "tanh"), 1, np.float64)
    assert (copy_block_rank(model, delay, length).value < length - delay) == singular


def test_a_delay_line_copies():
    weights = dict(weight_hh=np.eye(3, k=-1), weight_ih=np.eye(3)[:, :1], readout=np.eye(3)[-1:])
    line = Model(RNN(1, 3, 1, activation="linear", bias=False), weights)
    assert copy_block_rank(line, 2, 7).value == 5
    assert copy_block_rank(line, 2, 7).statistics["smallest"] == pytest.approx(1)
    with pytest.raises(ValueError, match="delay < length"):
        copy_block_rank(line, 7, 7)
