"""A readout may have a bias among the weights: it is added to every output, in every family, and it is saved."""

import jax
import numpy as np
import pytest

import hitherto
from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Untied
from hitherto.core.model import Model, states_and_outputs

LAYERS = (
    RNN(2, 3, 2, parametrisation="mean_field"),
    LSTM(2, 3, readout_size=2),
    GRU(2, 3, readout_size=2),
    SecondOrderRNN(2, 3, 2),
    MultiplicativeIntegrationRNN(2, 3, 2),
    SelectiveStateSpace(2, 3, 2),
    UnitaryRNN(2, 3, 2),
    ArithmeticCircuit(2, 3, 2),
    StateSpace(2, 3, 2, route="scan"),
    DiagonalStateSpace(2, 3, 2, route="convolution"),
    Untied(RNN(2, 3, 2), length=5, share="ends"),
)
BIAS = np.array([0.5, -2.0])


def with_and_without(layer):
    model = hitherto.build(layer).astype(np.float64)
    return model, Model(layer, model.weights | {"readout_bias": BIAS})


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_it_is_added_to_every_output(layer):
    plain, biased = with_and_without(layer)
    x = np.random.default_rng(0).standard_normal((5, 2))
    (states, outputs), (same, moved) = (states_and_outputs(model, x) for model in (plain, biased))
    np.testing.assert_allclose(moved, outputs + BIAS, rtol=1e-12, atol=1e-14)
    jax.tree.map(np.testing.assert_array_equal, states, same)


@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[-1]], ids=lambda layer: type(layer).__name__)
def test_it_is_saved_and_loaded(layer, tmp_path):
    _, biased = with_and_without(layer)
    hitherto.save(biased, tmp_path / "model.safetensors")
    found = hitherto.load(tmp_path / "model.safetensors")
    assert found.weights.keys() == biased.weights.keys()
    np.testing.assert_array_equal(found.weights["readout_bias"], BIAS)
