"""The optimiser that settings describe: schedules as in Optax, every rule, factors by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import Delayed

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.training._loop import Program, begin
from hitherto.training._optax import OPTIMISERS
from hitherto.training._optimiser import factors_of, rate_factor
from hitherto.training.settings import Training

WEIGHTS = Deep((RNN(1, 2), RNN(2, 2, 1))).init(jax.random.key(0))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", optax.constant_schedule(1.0)),
        ("linear", optax.linear_schedule(1.0, 0.01, 19)),
        ("cosine", optax.cosine_decay_schedule(1.0, 19, 0.01)),
        ("exponential", optax.exponential_decay(1.0, 19, 0.01)),
    ],
)
def test_schedules_are_those_of_optax(schedule, expected):
    steps = np.arange(20)
    ours = jax.vmap(lambda k: rate_factor(Training(schedule=schedule, steps=20), k))(steps)
    np.testing.assert_allclose(ours, jax.vmap(expected)(steps) * np.ones(20), rtol=1e-5)


def test_a_schedule_begins_after_the_warm_up_and_ends_at_the_last_step():
    training = Training(schedule="cosine", warmup=4, steps=20, final_factor=0.1)
    rates = jax.vmap(lambda k: rate_factor(training, k))(np.arange(20))
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(rates[-1], 0.1, rtol=1e-6)
    assert (np.diff(rates[4:]) < 0).all()


@pytest.mark.filterwarnings("ignore:.optimistic_adam. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_takes_a_step_of_the_same_form(name):
    settings = (("key", 0),) if name == "noisy_sgd" else ()
    program = Program(RNN(1, 2, 1), "squared", Training(optimiser=name, optimiser_settings=settings))

    def loss(weights):
        return sum(jnp.sum(w**2) for w in weights.values())

    def step(weights, rate):
        optimiser = program.optimiser(weights, rate)
        value, gradients = jax.value_and_grad(loss)(weights)
        options = dict(value=value, grad=gradients, value_fn=loss)
        before = optimiser.init(weights)
        updates, after = optimiser.update(gradients, before, weights, **options)
        return before, after, weights, updates

    weights = jax.eval_shape(program.architecture.init, jax.random.key(0))
    before, after, weights, updates = jax.eval_shape(step, weights, jax.ShapeDtypeStruct((), jnp.float32))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), before) == jax.tree.map(lambda a: (a.shape, a.dtype), after)
    assert weights == updates


def test_factors_go_by_name_and_the_last_match_counts():
    training = Training(learning_rate_factors=(("weight_hh", 0.1), ("1/*", 0.5), ("bias_*", 0.0)))
    below, above = factors_of(training, WEIGHTS)
    assert below == dict(weight_ih=1.0, weight_hh=0.1, bias_ih=None, bias_hh=None)
    assert above == dict(weight_ih=0.5, weight_hh=0.5, bias_ih=None, bias_hh=None, readout=0.5)


def test_factors_of_unknown_weights_are_refused():
    with pytest.raises(ValueError, match=r"no weight 'weight_h'; .*weight_hh"):
        factors_of(Training(learning_rate_factors=(("weight_h", 0.1),)), WEIGHTS)


def test_something_must_be_left_to_train():
    with pytest.raises(ValueError, match="every weight is frozen"):
        factors_of(Training(learning_rate_factors=(("*", 0.0),)), WEIGHTS)


def test_whole_numbers_among_the_weights_are_not_trained():
    assert factors_of(Training(), dict(order=np.arange(3), scale=np.ones(3))) == dict(order=None, scale=1.0)


def test_optimiser_memories_are_strongly_typed():
    # a weakly typed one would come back from a checkpoint as another type, and compile another program
    program = Program(RNN(1, 2, 1), Delayed().loss, Training())
    weights = jax.tree.map(lambda w: w[None], program.architecture.init(jax.random.key(0)))
    run = begin(program, weights, jnp.ones(1))
    assert not [leaf for leaf in jax.tree.leaves(run) if leaf.weak_type]
