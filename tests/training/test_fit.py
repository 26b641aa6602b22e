"""The loop against one written by hand, and freezing, stopping, diverging, many runs at once."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import Copying, Delayed, Parity

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Hidden, Recurrence, build, states_and_outputs
from hitherto.core.task import Sequences
from hitherto.training.batches import batch_seed, order, training_set, validation_set
from hitherto.training.fit import fit, sweep
from hitherto.training.settings import Training

COPYING, DELAYED = Copying(delay=2, items=1, symbols=2), Delayed()
SMALL, LINEAR = RNN(1, 3, 1), RNN(1, 3, 1, activation="linear")
SHORT = Training(learning_rate=0.01, steps=12, batch=4, validation=8, validate_every=5, dtype="float64")
PLAIN = replace(SHORT, optimiser="sgd")


def by_hand(architecture, task, training, optimiser, batches):
    """Weights and losses of the plain loop that fit replaces, for a squared loss."""

    def loss(weights, batch):
        outputs = jax.vmap(lambda x: architecture.run(weights, architecture.start(weights), x)[1])(batch.inputs)
        errors = jnp.where(batch.mask[..., None], outputs - jnp.nan_to_num(batch.targets), 0)
        return (errors**2).sum() / batch.mask.sum()

    @jax.jit
    def step(weights, memory, batch):
        value, gradients = jax.value_and_grad(loss)(weights, batch)
        updates, memory = optimiser.update(gradients, memory, weights)
        return optax.apply_updates(weights, updates), memory, value

    weights = build(architecture, 3, "float64").weights
    memory, losses = optimiser.init(weights), []
    for batch in batches:
        weights, memory, value = step(weights, memory, batch)
        losses.append(float(value))
    return weights, losses


SGD = replace(PLAIN, optimiser_settings=(("momentum", 0.9),), schedule="cosine", warmup=3, clip=0.5)
FACTORS = np.append([1 / 3, 2 / 3, 1], 0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2)


@pytest.mark.parametrize(
    ("training", "optimiser"),
    [
        (SHORT, optax.adam(0.01)),
        (
            SGD,
            optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(lambda step: 0.01 * jnp.asarray(FACTORS)[step], 0.9)),
        ),
        (replace(SHORT, optimiser="adamw", weight_decay=0.3), optax.adamw(0.01, weight_decay=0.3)),
    ],
    ids=["adam", "sgd", "adamw"],
)
def test_the_loop_is_the_one_written_by_hand(training, optimiser):
    found = fit(SMALL, DELAYED, training, seed=3)
    with jax.enable_x64(True):
        batches = [DELAYED.sample(4, batch_seed(3, step)) for step in range(12)]
        weights, losses = by_hand(SMALL, DELAYED, training, optimiser, batches)
    np.testing.assert_allclose(found.train_loss, losses, rtol=1e-12)
    for name, weight in weights.items():
        np.testing.assert_allclose(found.last.weights[name], weight, rtol=1e-10, atol=1e-14)
    assert found.last.dtype == np.float64


def test_a_fixed_training_set_is_visited_in_a_fresh_order_each_time_round():
    training = replace(SHORT, sequences=10, data_seed=5)
    found = fit(SMALL, DELAYED, training, seed=3)
    with jax.enable_x64(True):
        visits = np.concatenate([order(training, 3, time_round) for time_round in range(5)])
        whole = training_set(DELAYED, training)
        batches = [whole.take(visits[4 * step : 4 * step + 4]) for step in range(12)]
        losses = by_hand(SMALL, DELAYED, training, optax.adam(0.01), batches)[1]
    np.testing.assert_allclose(found.train_loss, losses, rtol=1e-12)
    assert sorted(order(training, 3, 0)) == list(range(10))
    assert list(order(training, 3, 0)) != list(order(training, 3, 1))


def test_scores_are_of_the_validation_set_before_during_and_after():
    training = replace(SHORT, metrics=("explained",))
    found = fit(SMALL, DELAYED, training)
    assert list(found.evaluated_at) == [0, 5, 10, 12]
    inputs, targets, mask = validation_set(DELAYED, training)
    outputs = [states_and_outputs(found.last, x)[1] for x in inputs]
    loss = ((np.stack(outputs) - targets)[mask] ** 2).mean()
    np.testing.assert_allclose(found.scores["loss"][-1], loss, rtol=1e-12)
    np.testing.assert_allclose(found.scores["explained"][-1], 1 - loss / targets[mask].var(), rtol=1e-10)
    assert found.best_scores["loss"] == found.scores["loss"].min()
    assert found.best_step == found.evaluated_at[found.scores["loss"].argmin()]


def test_classes_are_scored_by_accuracy_without_asking():
    training = replace(SHORT, metrics=("sequence_accuracy",))
    found = fit(RNN(4, 3, 2), COPYING, training)
    assert list(found.scores) == ["loss", "accuracy", "sequence_accuracy"]
    np.testing.assert_array_equal(found.scores["accuracy"], found.scores["sequence_accuracy"])  # one step is asked


def test_many_runs_at_once_are_the_runs_one_by_one():
    together = sweep(SMALL, DELAYED, SHORT, (0, 3), (0.01, 0.1))
    assert [(f.seed, f.learning_rate) for f in together] == [(0, 0.01), (0, 0.1), (3, 0.01), (3, 0.1)]
    for found in together:
        alone = fit(SMALL, DELAYED, replace(SHORT, learning_rate=found.learning_rate), found.seed)
        np.testing.assert_allclose(found.train_loss, alone.train_loss, rtol=1e-11)
        for name, weight in alone.last.weights.items():
            np.testing.assert_allclose(found.last.weights[name], weight, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("sequences", [None, 10])
def test_how_steps_are_cut_into_blocks_changes_nothing(monkeypatch, sequences):
    training = replace(SHORT, sequences=sequences)
    whole = fit(SMALL, DELAYED, training)
    monkeypatch.setattr("hitherto.training.batches.STEPS", 7)
    cut = fit(SMALL, DELAYED, training)
    np.testing.assert_array_equal(whole.train_loss, cut.train_loss)


def test_a_diverged_run_is_a_result_and_leaves_its_neighbours_alone():
    training = replace(PLAIN, steps=40)
    calm, wild = sweep(LINEAR, DELAYED, training, (0,), (0.01, 1e4))
    assert (calm.status, calm.steps, len(calm.train_loss)) == ("finished", 40, 40)
    assert wild.status == "diverged"
    assert 0 < wild.steps < 40
    assert len(wild.train_loss) == wild.steps + 1
    assert np.isfinite(wild.train_loss[: wild.steps]).all()
    assert all(np.isfinite(w).all() for w in wild.last.weights.values())
    np.testing.assert_array_equal(calm.train_loss, sweep(LINEAR, DELAYED, training, (0,), (0.01, 0.02))[0].train_loss)


def test_training_ends_when_all_runs_have_diverged():
    seen = []
    training = replace(PLAIN, steps=4000, validate_every=4000)
    found = sweep(LINEAR, DELAYED, training, (0,), (1e4, 1e5), progress=seen.append)
    assert [f.status for f in found] == ["diverged", "diverged"]
    assert list(found[0].evaluated_at) == [0]
    assert seen[-1].step < 100
    assert seen[-1].running == 0


def test_early_stopping_is_for_each_run():
    training = replace(PLAIN, steps=40, patience=2, least_improvement=1e-3)
    stopped, going = sweep(SMALL, DELAYED, training, (0,), (1e-7, 0.1))
    assert (stopped.status, stopped.steps) == ("stopped", 10)
    assert list(stopped.evaluated_at) == [0, 5, 10]
    assert len(stopped.train_loss) == 10
    assert (going.status, going.steps) == ("finished", 40)
    then, _ = sweep(SMALL, DELAYED, replace(training, steps=10), (0,), (1e-7, 0.1))
    jax.tree.map(np.testing.assert_array_equal, stopped.last.weights, then.last.weights)


def test_the_best_weights_are_those_of_the_lowest_validation_loss():
    training = replace(PLAIN, steps=30, validate_every=3, learning_rate=0.3)
    found = fit(SMALL, DELAYED, training, seed=1)
    assert found.best_step not in (0, 30)
    again = fit(SMALL, DELAYED, replace(training, steps=found.best_step), seed=1)
    np.testing.assert_allclose(found.best.weights["weight_hh"], again.last.weights["weight_hh"], rtol=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    training = replace(PLAIN, learning_rate=1.0, steps=1, clip=1e-3)
    found = fit(SMALL, DELAYED, training)
    moved = jax.tree.map(np.subtract, found.last.weights, build(SMALL, 0, "float64").weights)
    np.testing.assert_allclose(optax.tree.norm(moved), 1e-3, rtol=1e-6)


def test_frozen_weights_stay_and_do_not_count_in_the_norm():
    training = replace(PLAIN, learning_rate=1.0, steps=1, clip=1e-3)
    training = replace(training, learning_rate_factors=(("*", 0.0), ("readout", 0.5)))
    stack = Deep((RNN(1, 3), RNN(3, 3, 1)))
    found, start = fit(stack, DELAYED, training).last.weights, build(stack, 0, "float64").astype("float64").weights
    np.testing.assert_allclose(np.linalg.norm(found[1]["readout"] - start[1]["readout"]), 0.5e-3, rtol=1e-6)
    for layer in (0, 1):
        np.testing.assert_array_equal(found[layer]["weight_hh"], start[layer]["weight_hh"])


@dataclass(frozen=True)
class Rotation(Recurrence):
    """h[t] = exp(i angle) h[t-1] + x[t], y[t] = Re(conj(readout) h[t]); |readout| is held at 1."""

    input_size: int = 1

    @property
    def output_size(self):
        return 1

    def init(self, key, dtype=jnp.float32):
        return dict(angle=jnp.ones(1, dtype), readout=jnp.exp(1j * jnp.ones(1, dtype)), unused=jnp.arange(2))

    def start(self, weights):
        return Hidden(jnp.zeros_like(weights["readout"]))

    def prepare(self, weights):
        return weights | dict(turn=jnp.exp(1j * weights["angle"]))

    def step(self, prepared, state, x):
        h = prepared["turn"] * state.h + x
        return Hidden(h), (jnp.conj(prepared["readout"]) * h).real

    def project(self, weights):
        return weights | dict(readout=weights["readout"] / abs(weights["readout"]), angle=weights["angle"] % 6.5)


@dataclass(frozen=True)
class Turned(Delayed):
    """What a rotation by 0.5 with the readout exp(0.3 i) answers."""

    def sample(self, count, seed):
        inputs, _, mask = super().sample(count, seed)
        turns = np.exp(1j * (0.5 * np.subtract.outer(np.arange(self.length), np.arange(self.length)) - 0.3))
        return Sequences(inputs, np.einsum("ts,nsi->nti", np.tril(turns).real, inputs), mask | True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_complex_and_constrained_weights(dtype):
    training = Training(learning_rate=0.02, steps=300, batch=8, validation=16, validate_every=50, dtype=dtype)
    found = fit(Rotation(), Turned(), training)
    assert found.scores["loss"][-1] < 1e-3 * found.scores["loss"][0]
    np.testing.assert_allclose(found.last.weights["readout"], np.exp(0.3j), atol=0.02)
    np.testing.assert_allclose(abs(found.last.weights["readout"]), 1, rtol=1e-6)
    np.testing.assert_array_equal(found.last.weights["unused"], [0, 1])
    assert found.last.weights["readout"].dtype == np.result_type(dtype, np.complex64)


def test_frozen_weights_are_not_projected():
    training = replace(SHORT, learning_rate_factors=(("angle", 0.0),))
    start = replace_weights(build(Rotation(), 0), angle=np.full(1, 7.0))
    np.testing.assert_array_equal(fit(start, Turned(), training).last.weights["angle"], [7.0])


def replace_weights(model, **weights):
    return type(model)(model.architecture, model.weights | weights)


def test_a_model_is_where_all_runs_start():
    model = build(SMALL, 7)
    one, other = sweep(model, DELAYED, SHORT, (0, 1))
    assert one.scores["loss"][0] == other.scores["loss"][0]
    assert one.train_loss[0] != other.train_loss[0]
    assert one.last.dtype == np.float64


@pytest.mark.parametrize(
    ("start", "task", "message"),
    [
        (RNN(2, 3, 1), DELAYED, "the task has 1 input channels, .* has 2"),
        (RNN(1, 3, 2), DELAYED, "the task has 1 output channels, .* has 2"),
        (RNN(2, 3, 2), Parity(loss="squared"), "should give inputs .* and targets \\(8, 16, 2\\), got"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(start: Architecture, task, message):
    with pytest.raises(ValueError, match=message):
        fit(start, task, SHORT)


@dataclass(frozen=True)
class OneBased(Parity):
    """Classes counted from 1."""

    def sample(self, count, seed):
        inputs, targets, mask = super().sample(count, seed)
        return Sequences(inputs, targets + 1, mask)


def test_classes_out_of_range_are_refused():
    with pytest.raises(ValueError, match="classes 0 to 1, got 8 asked steps and classes \\[1 2\\]"):
        fit(RNN(2, 3, 2), OneBased(), SHORT)


def test_metrics_of_another_loss_are_refused():
    with pytest.raises(ValueError, match="accuracy is a metric of cross_entropy tasks"):
        fit(SMALL, DELAYED, replace(SHORT, metrics=("accuracy",)))


@pytest.mark.parametrize(
    ("seeds", "rates", "message"),
    [
        ((), None, "at least one seed and each once, got \\[\\]"),
        ((1, 1), None, "at least one seed and each once"),
        ((-1,), None, "seed must be a whole number of at least 0"),
        ((0,), (), "at least one learning rate"),
        ((0,), (0.1, -0.1), "learning_rate must be a finite number above 0"),
    ],
)
def test_impossible_runs_are_refused(seeds, rates, message):
    with pytest.raises(ValueError, match=message):
        sweep(SMALL, DELAYED, SHORT, seeds, rates)
