"""Recurrent kernels against neural-tangents: one step, and one input that deep networks carry on for several."""

import json
from pathlib import Path

import numpy as np
import pytest

from hitherto.theory.linear_bias_nonlinear import Recurrent, RecurrentKernels, recurrent_kernels

PEER = json.loads((Path(__file__).parents[1] / "oracles" / "neural_tangents.json").read_text())
INPUTS = np.array(PEER["inputs"])
CASES = PEER["cases"]


def found_by_us(case: dict) -> RecurrentKernels:
    """As many steps as layers, of which the first alone has an input."""
    sequences = np.zeros((len(INPUTS), case["layers"], INPUTS.shape[1]))
    sequences[:, 0] = INPUTS
    return recurrent_kernels(Recurrent(case["activation"], *case["sizes"]), list(sequences))


def slack_of(case: dict) -> np.ndarray:
    """Rounding; without bias parallel inputs meet the kink of ReLU, at an angle known to the square root of it."""
    slack = np.full((len(INPUTS), len(INPUTS)), 1e-14)
    if case["activation"] == "relu" and case["sizes"][2] == 0:
        directions = INPUTS / np.linalg.norm(INPUTS, axis=1, keepdims=True)
        slack[np.abs(directions @ directions.T) > 1 - 1e-12] = case["layers"] * np.finfo(float).eps ** 0.5
    return slack


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['activation']} {case['layers']} {case['sizes'][0]}")
def test_kernels_agree(case, kernel):
    ours, theirs = getattr(found_by_us(case), kernel), np.array(case[kernel])
    scale = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
    assert (np.abs(ours - theirs) <= slack_of(case) * scale).all()
