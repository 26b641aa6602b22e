"""Settings that cannot be are refused, with what to do instead."""

import json
from dataclasses import asdict

import pytest

from hitherto.training._optax import OPTIMISERS
from hitherto.training.settings import Training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(optimiser="adm"), "no Optax optimiser 'adm'; there is adam"),
        (dict(optimiser="_deprecated_dpsgd"), "no Optax optimiser"),
        (dict(optimiser="chain"), "no Optax optimiser"),
        (dict(optimiser_settings=(("beta1", 0.9),)), "no setting of adam 'beta1'.*b1"),
        (dict(optimiser="adamw", optimiser_settings=(("weight_decay", 0.1),)), "no setting of adamw"),
        (dict(schedule="cosin"), "no schedule 'cosin'; there is .*cosine"),
        (dict(schedule="warmup_cosine"), "no schedule 'warmup_cosine'"),
        (dict(metrics=("acuracy",)), "no metric 'acuracy'; there is accuracy"),
        (dict(steps=-1), "steps must be a whole number of at least 1, got -1"),
        (dict(batch=0), "batch must be a whole number of at least 1, got 0"),
        (dict(validation=0), "validation must be"),
        (dict(validate_every=0), "validate_every must be"),
        (dict(warmup=-1), "warmup must be a whole number of at least 0"),
        (dict(patience=0), "patience must be"),
        (dict(learning_rate=-0.1), "learning_rate must be a finite number above 0, got -0.1"),
        (dict(learning_rate=float("nan")), "learning_rate must be"),
        (dict(clip=0.0), "clip must be"),
        (dict(optimiser="adamw", weight_decay=-1.0), "weight_decay must be"),
        (dict(learning_rate_factors=(("readout", -1.0),)), "the learning-rate factor of 'readout' must be"),
        (dict(least_improvement=float("inf")), "least_improvement must be"),
        (dict(weight_decay=0.1), "adam takes none; use one of .*adamw"),
        (dict(optimiser="rprop", schedule="cosine"), "rprop takes one learning rate for all steps"),
        (dict(steps=10, warmup=11), "warmup takes 11 of only 10 steps"),
        (dict(sequences=10, batch=11), "a batch of 11 cannot come from a training set of 10"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)


def test_settings_are_plain_values():
    training = Training(learning_rate_factors=(("weight_hh", 0.1),), clip=1.0)
    told = json.loads(json.dumps(asdict(training)))
    told["learning_rate_factors"] = tuple(map(tuple, told["learning_rate_factors"]))
    told["optimiser_settings"], told["metrics"] = (), ()
    assert Training(**told) == training
    assert hash(Training(**told)) == hash(training)


def test_the_optimisers_are_optax_s():
    assert {"adam", "adamw", "sgd", "rmsprop", "lbfgs", "lion", "polyak_sgd"} <= OPTIMISERS.keys()
