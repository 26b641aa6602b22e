"""Recall accuracy of models whose answers are known."""

import numpy as np
import pytest

from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model
from hitherto.core.task import Sequences
from hitherto.measures.recall_accuracy import recall_accuracy

ECHO = Model(
    RNN(3, 3, activation="linear", bias=False), {"weight_hh": np.zeros((3, 3)), "weight_ih": np.eye(3)}
)  # y[t] = x[t]: says the class it reads


def sequences(wrong: int) -> Sequences:
    """Ten sequences of four steps, of which the last is wrong in some."""
    shown = np.random.default_rng(0).integers(3, size=(10, 4))
    targets = shown.copy()
    targets[:wrong, -1] = (targets[:wrong, -1] + 1) % 3
    return Sequences(np.eye(3)[shown], targets, np.ones(shown.shape, bool))


def test_share_of_right_answers():
    found = recall_accuracy(ECHO, sequences(5))
    assert found.value == pytest.approx(1 - 5 / 40, abs=1e-15)
    assert found.standard_error == pytest.approx(np.std([0.75] * 5 + [1] * 5, ddof=1) / 10**0.5, rel=1e-12)
    assert found.low < found.value < found.high


def test_only_the_last_steps_count():
    assert recall_accuracy(ECHO, sequences(5), last=1).value == 0.5


def test_all_right_is_not_certain():
    found = recall_accuracy(ECHO, sequences(0))
    assert (found.value, found.standard_error, found.low, found.high) == (1.0, 0.0, 0.7, 1.0)


def test_steps_that_are_not_asked_do_not_count():
    made = sequences(5)
    made.mask[:, -1] = False
    assert recall_accuracy(ECHO, made).value == 1.0


def test_what_does_not_fit():
    made = sequences(0)
    with pytest.raises(ValueError, match="without an asked step"):
        recall_accuracy(ECHO, made._replace(mask=np.zeros_like(made.mask)))
    with pytest.raises(ValueError, match="inputs of 3 channels, got"):
        recall_accuracy(ECHO, made._replace(inputs=made.inputs[..., :2]))
