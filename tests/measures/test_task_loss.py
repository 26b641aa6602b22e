"""Losses and accuracies of trained models against plain sums."""

import numpy as np
import pytest

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, build, states_and_outputs
from hitherto.core.task import Sequences
from hitherto.measures import task_loss as module
from hitherto.measures.task_loss import parameters, sign_accuracy, task_loss

RNG = np.random.default_rng(0)
INPUTS, MASK = RNG.normal(size=(9, 5, 2)), RNG.random((9, 5)) < 0.6
MODEL = build(RNN(2, 3, 4), 0, np.float64)
OUTPUTS = np.stack([states_and_outputs(MODEL, x)[1] for x in INPUTS])


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_squared(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    targets = RNG.normal(size=OUTPUTS.shape)
    found = task_loss(MODEL, Sequences(INPUTS, targets, MASK))
    assert found.value == pytest.approx(np.square(OUTPUTS - targets)[MASK].mean(), rel=1e-12)


def test_classes_and_their_error():
    targets = RNG.integers(4, size=(9, 5))
    found = task_loss(MODEL, Sequences(INPUTS, targets, np.ones((9, 5), bool)))
    shares = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(-1, keepdims=True)
    each = -np.log(np.take_along_axis(shares, targets[..., None], -1))[..., 0].mean(1)
    assert found.value == pytest.approx(each.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(each.std(ddof=1) / 3, rel=1e-12)


def test_signs():
    layer = RNN(1, 1, activation="linear", bias=False)
    adder = Model(layer, dict(weight_hh=np.ones((1, 1)), weight_ih=np.ones((1, 1))))
    inputs = np.array([[[1.0], [-2.0]], [[3.0], [-2.0]], [[-3.0], [-2.0]], [[3.0], [-2.0]]])
    targets = np.ones((4, 2, 1))
    found = sign_accuracy(adder, {2: Sequences(inputs, targets, np.ones((4, 2), bool))})
    assert found.value.tolist() == [0.5]
    assert found.standard_error.tolist() == [0.25]
    assert found.axes["length"].tolist() == [2]


def test_parameters():
    assert parameters(Deep((RNN(5, 25), RNN(25, 25, 5)))).value == 25 * (5 + 25 + 25 + 25 + 5) + 4 * 25


def test_refusals():
    with pytest.raises(ValueError, match="asked steps"):
        task_loss(MODEL, Sequences(INPUTS, np.zeros(OUTPUTS.shape), np.zeros((9, 5), bool)))
    with pytest.raises(ValueError, match="diverged"):
        task_loss(MODEL, Sequences(INPUTS, np.full(OUTPUTS.shape, np.inf), MASK))
