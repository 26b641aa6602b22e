"""RNNs that training keeps contractive."""

from dataclasses import replace

import numpy as np
import pytest

from hitherto.architectures.as_json import from_json, to_json
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import build, precision
from hitherto.tasks.delay import DelayedCopy
from hitherto.training.fit import fit
from hitherto.training.settings import Training

LIMITED = RNN(1, 4, 1, activation="relu", initialisation="orthogonal", variance=4.0, norm_limit=1.0)
TRAINING = Training(learning_rate=0.1, steps=5, batch=4, validation=4)


def values(weights):
    return np.linalg.svd(weights["weight_hh"], compute_uv=False)


def test_singular_values_above_the_limit_are_clipped_and_others_stay():
    rng = np.random.default_rng(0)
    raw = 2 * rng.normal(size=(4, 4))
    left, sizes, right = np.linalg.svd(raw)
    with precision(np.float64):
        found = LIMITED.project({"weight_hh": raw, "weight_ih": np.ones((4, 1))})
        again = LIMITED.project(found)
    assert sizes[0] > 1 > sizes[-1]
    np.testing.assert_allclose(found["weight_hh"], left @ np.diag(np.minimum(sizes, 1)) @ right, rtol=0, atol=1e-14)
    np.testing.assert_allclose(again["weight_hh"], found["weight_hh"], rtol=0, atol=1e-14)
    assert (found["weight_ih"] == 1).all()


@pytest.mark.slow
def test_training_keeps_within_the_limit_and_leaves_it_without_one():
    task, norms = DelayedCopy(1, 1, 8), []
    for layer in (LIMITED, replace(LIMITED, norm_limit=None), Deep((LIMITED,))):
        found = fit(layer, task, TRAINING).last.weights
        norms.append(values(found[0] if isinstance(found, tuple) else found)[0])
    np.testing.assert_allclose(norms, [1, norms[1], 1], rtol=0, atol=1e-5)
    assert norms[1] > 1.5


def test_without_a_limit_weights_are_left_alone():
    free = replace(LIMITED, norm_limit=None)
    weights = build(free).weights
    assert free.project(weights) is weights


def test_the_limit_is_written_and_read():
    assert from_json(to_json(LIMITED)) == LIMITED


@pytest.mark.parametrize("limit", [0.0, -1.0, np.inf, np.nan])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(ValueError, match="give a number above 0, or None"):
        replace(LIMITED, norm_limit=limit)
