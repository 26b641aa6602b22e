"""Trainings that must succeed: copying memory by an orthogonal RNN and an LSTM, parity by a second-order RNN."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from hitherto.architectures.gated import LSTM
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, build
from hitherto.tasks.copying import CopyingMemory
from hitherto.tasks.state_tracking import StateTracking
from hitherto.training.fit import fit, sweep
from hitherto.training.settings import Training

PARITY = Training(learning_rate=0.01, clip=1.0, steps=300, batch=64, validation=512, validate_every=100)
COPYING = Training(clip=1.0, steps=1000, batch=32, validation=512, validate_every=100)


def orthogonal(task, width, parametrisation="projection"):
    sizes = dict(input_size=task.input_size, width=width, readout_size=task.output_size)
    return UnitaryRNN(**sizes, parametrisation=parametrisation, activation="linear")


def long_sighted(task, width, seed=0):
    """Two LSTM layers whose fresh gates hold the cell for 1 to `length` steps, as Tallec and Ollivier (2018) advise."""
    stack = Deep((LSTM(task.input_size, width), LSTM(width, width, task.output_size)))
    weights = jax.tree.map(np.array, build(stack, seed).weights)
    for layer in weights:
        hold = np.log(np.random.default_rng(seed).uniform(1, task.length, width))
        layer["bias_ih"][: 2 * width] = np.concatenate([-hold, hold])
    return Model(stack, weights)


@pytest.mark.slow
def test_parity_of_length_16_is_solved_by_a_second_order_network_without_activation():
    found = sweep(SecondOrderRNN(2, 4, 2), StateTracking("C2", 16), PARITY, (0, 1))
    assert [f.best_scores["accuracy"] for f in found] == [1, 1]


@pytest.mark.slow
def test_a_short_word_is_copied_over_20_steps_by_an_orthogonal_network():
    task = CopyingMemory(word=2, alphabet=4, delay=20)
    model = orthogonal(task, 32)
    found = fit(model, task, replace(COPYING, learning_rate=3e-3, steps=300))
    assert found.best_scores["accuracy"] == 1
    weight = np.asarray(found.last.weights["weight_hh"])
    np.testing.assert_allclose(weight @ weight.T, np.eye(32), atol=1e-5)


@pytest.mark.slow
def test_a_bit_is_copied_over_20_steps_by_two_lstm_layers():
    task = CopyingMemory(word=1, alphabet=2, delay=20)
    found = fit(long_sighted(task, 16), task, replace(COPYING, learning_rate=0.02, steps=300))
    assert found.best_scores["accuracy"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("parametrisation", ["projection", "cayley", "exponential", "householder"])
def test_copying_at_delay_20_is_solved_by_an_orthogonal_network(parametrisation):
    task = CopyingMemory(delay=20)
    found = fit(orthogonal(task, 128, parametrisation), task, replace(COPYING, learning_rate=3e-3, schedule="cosine"))
    assert found.best_scores["accuracy"] == 1


@pytest.mark.slow
def test_copying_at_delay_20_is_solved_by_two_lstm_layers():
    task = CopyingMemory(word=5, delay=20)
    training = replace(COPYING, learning_rate=0.01, schedule="linear", warmup=100, steps=6000, batch=64)
    assert fit(long_sighted(task, 64), task, training).best_scores["accuracy"] == 1
