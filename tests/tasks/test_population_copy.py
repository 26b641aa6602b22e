"""The loss of copying without samples is the expected one; parity is asked of signs alone."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, build, precision
from hitherto.tasks.parity import Parity
from hitherto.tasks.population import PopulationCopy
from hitherto.theory.depth import copy_loss_weights
from hitherto.training._losses import batch_loss
from hitherto.training.fit import sweep
from hitherto.training.settings import Training

ROWS = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())["population_mse"]


def loss_of(model: Model, task: PopulationCopy) -> float:
    with precision(np.float64):
        batch = jax.tree.map(jnp.asarray, task.sample(task.channels, 0))
        return float(batch_loss(model.architecture, "squared", jax.tree.map(jnp.asarray, model.weights), batch))


def stack(row: dict) -> Model:
    exact = {name: [np.array([[float(Fraction(v)) for v in r] for r in w]) for w in row[name]] for name in "WU"}
    layers = [
        RNN(u.shape[1], len(w), activation="linear", bias=False) for w, u in zip(exact["W"], exact["U"], strict=True)
    ]
    layers[-1] = RNN(exact["U"][-1].shape[1], row["widths"][-1], row["d"], activation="linear", bias=False)
    weights = [{"weight_hh": w, "weight_ih": u} for w, u in zip(exact["W"], exact["U"], strict=True)]
    weights[-1]["readout"] = np.array(row["V"], float)
    return Model(layers[0], weights[0]) if len(layers) == 1 else Model(Deep(tuple(layers)), tuple(weights))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['widths']}")
def test_loss_is_the_oracle(row):
    assert loss_of(stack(row), PopulationCopy(row["k"], row["d"], row["T"])) == pytest.approx(
        float(Fraction(row["value"])), rel=1e-10
    )


def test_steps_count_as_often_as_their_lag():
    for delay, length in ((0, 1), (0, 4), (3, 4), (2, 9)):
        mask = PopulationCopy(delay, 2, length).sample(2, 0).mask
        np.testing.assert_array_equal(mask, np.tile(copy_loss_weights(delay, length), (2, 1)))


def test_silence_has_loss_one_and_rounds_do_not_matter():
    layer = RNN(3, 4, 3, activation="linear", bias=False)
    silent = Model(layer, {name: np.zeros_like(w) for name, w in build(layer, 0, np.float64).weights.items()})
    assert loss_of(silent, PopulationCopy(2, 3, 7)) == pytest.approx(1.0, rel=1e-14)
    with pytest.raises(ValueError, match="multiple of 3"):
        PopulationCopy(2, 3, 7).sample(4, 0)
    with pytest.raises(ValueError, match="at least 8"):
        PopulationCopy(7, 3, 7)


def test_training_reaches_the_floor_of_its_sizes():
    task, layer = PopulationCopy(1, 1, 6), RNN(1, 2, 1, activation="linear", bias=False)
    training = Training(learning_rate=1e-2, steps=600, batch=1, sequences=1, validation=1, dtype="float64")
    best = min(sweep(layer, task, training, seeds=(0, 1, 2)), key=lambda fit: fit.best_scores["loss"])
    assert best.best_scores["loss"] < 1e-6


def test_starts_by_seed():
    layer, task = RNN(1, 2, 1, activation="linear", bias=False), PopulationCopy(1, 1, 4)
    training = Training(steps=1, batch=1, sequences=1, validation=1)
    drawn, given = (sweep(start, task, training, seeds=(3, 4)) for start in (layer, lambda seed: build(layer, seed)))
    for one, other in zip(drawn, given, strict=True):
        np.testing.assert_array_equal(one.last.weights["weight_hh"], other.last.weights["weight_hh"])
    with pytest.raises(ValueError, match="share one architecture"):
        sweep(lambda seed: build(RNN(1, 2 + seed, 1), seed), task, training, seeds=(0, 1))


def test_parity_takes_signs_alone():
    signs = np.array([[1.0, -1.0, -1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]])
    np.testing.assert_array_equal(Parity(4).sequences(signs).targets[..., 0], [[1, -1, 1, 1], [-1, 1, -1, 1]])
    with pytest.raises(ValueError, match=r"\+1 and -1, found 0"):
        Parity(4).sequences(np.zeros((1, 4)))
