"""The memory prior in a profile: the lag kernel averaged over channels, linearised where it must be, and refusals."""

import numpy as np
import pytest

import hitherto
from hitherto.architectures.convolution import Convolution
from hitherto.architectures.gated import LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, build
from hitherto.measures.linear_system import linear_system
from hitherto.measures.memory_prior import driven_prior, mean_kernel
from hitherto.measures.tangent_kernel import lag_kernel, memory_prior
from hitherto.measures.trajectory import drive
from hitherto.profiling import MEASURES
from hitherto.report.figure import panels
from hitherto.report.verdict import verdict
from hitherto.theory.linear_bias import Gaussian, lag_weights

LINEAR = RNN(2, 12, 3, "linear", bias=False, parametrisation="ntk_unit", variance=0.5, readout_variance=2.0)
ROW = next(row for row in MEASURES if row.name == "memory prior")


def driven(model):
    return drive(model, sequences=4, steps=20)


def asked(model):
    """What a profile is told, by name."""
    return {e.quantity.name: e for e in ROW.ask(driven(model), drive, 0, "")}


def test_it_is_the_lag_kernel_averaged_over_channels():
    model = build(LINEAR, 0, np.float64)
    squares = (0.5 / 12, 1.0, 2.0 / 12)
    expected = np.einsum("jlaapp->jl", lag_kernel(model, 20)) / 6
    np.testing.assert_allclose(mean_kernel(linear_system(model), 20, squares), expected, rtol=1e-10, atol=1e-14)


def test_a_linear_layer_is_told_as_it_is_trained():
    model = build(LINEAR, 0, np.float64)
    prior, mean, half = driven_prior(driven(model))
    truth = memory_prior(model, 128).value
    np.testing.assert_allclose(prior.value[:40], truth[:40], rtol=1e-9)
    assert mean.value == pytest.approx(np.arange(128) @ truth / truth.sum())
    assert truth[half.value] >= truth[0] / 2 > truth[half.value + 1 :].max()
    assert not prior.statistics["linearised"]
    assert prior.statistics["correlation"] > 0


def test_small_lags_keep_their_digits():
    """Beside ones that are 1e60 times as large, where a Fourier transform leaves noise alone."""
    layer = RNN(1, 1, 1, "linear", bias=False)
    model = Model(layer, {"weight_hh": np.full((1, 1), 3.0), "weight_ih": np.ones((1, 1)), "readout": np.ones((1, 1))})
    j = np.arange(128.0)
    found = np.diagonal(mean_kernel(linear_system(model), 128))
    np.testing.assert_allclose(found, 2 * 9.0**j + j**2 * 9.0 ** (j - 1), rtol=1e-12)


def test_the_wide_limit_stands_beside_it():
    found = asked(build(RNN(1, 300, 1, "linear", bias=False, parametrisation="ntk", variance=0.5), 0, np.float64))
    measured, wide = found["memory_prior"].value, found["wide_memory_prior"].value
    assert wide[0] == pytest.approx(measured[0])
    np.testing.assert_allclose(measured[:6], wide[:6], rtol=0.3)
    np.testing.assert_allclose(wide[:6], lag_weights(Gaussian("0.5"), 6), rtol=0.3)
    assert found["trust_horizon"].value == pytest.approx(300**0.5)


def test_a_convolution_has_the_prior_that_it_was_given():
    found = asked(build(Convolution(1, 1, (2.0, 1.0, 0.5)), 0))
    np.testing.assert_allclose(found["memory_prior"].value[:4], [2, 1, 0.5, 0], atol=1e-12)
    assert found["half_level"].value == 1
    assert set(found) == {"memory_prior", "prior_mean_lag", "half_level"}


def test_an_activation_is_linearised_and_said_to_be():
    """At rest tanh is linear: the prior is that of the layer without it, whose readout is not trained."""
    layer = RNN(1, 8, activation="tanh", bias=False, variance=0.3)
    model = build(layer, 0, np.float64)
    run = drive(model, np.zeros((2, 40, 1)))
    prior = driven_prior(run)[0]
    bare = RNN(1, 8, 8, "linear", bias=False)
    truth = memory_prior(Model(bare, model.weights | {"readout": np.eye(8)}), 30, ("weight_ih", "weight_hh"))
    np.testing.assert_allclose(prior.value[:30], truth.value, rtol=1e-9, atol=1e-20)
    assert prior.statistics["linearised"]
    assert any("mean state" in said for said in prior.assumptions)


def test_gates_have_none_and_layers_have_their_own():
    assert driven_prior(driven(build(LSTM(1, 3), 0))) == ()
    stack = build(Deep((RNN(1, 4, variance=0.2), LSTM(4, 3), RNN(3, 2, 1, "linear", variance=0.2))), 0)
    parts = {e.part for e in driven_prior(driven(stack), "forward")}
    assert parts == {"forward layer 0", "forward layer 2"}


def test_slopes_that_grow_leave_it_open():
    grown = build(RNN(1, 8, variance=0.3, bias=False), 0, np.float64)
    grown = Model(grown.architecture, grown.weights | {"weight_hh": 1.2 * np.eye(8)})
    found = driven_prior(drive(grown, np.zeros((2, 40, 1))))
    assert len(found[0].value) == 9
    assert all("amplifies old inputs without end" in e.cannot_tell for e in found[1:])
    assert verdict(found, {}) == ("These measurements decide nothing about the memory.",)


def test_what_has_no_prior_is_refused():
    silent = build(RNN(1, 8, 1, "linear", bias=False, variance=0.3), 0, np.float64)
    silent = Model(silent.architecture, {name: np.zeros_like(w) for name, w in silent.weights.items()})
    with pytest.raises(ValueError, match="moves no lag"):
        driven_prior(driven(silent))
    with pytest.raises(ValueError, match="call `response_kernel`"):
        driven_prior(driven(build(DiagonalStateSpace(1, 300), 0)))


# ---------------------------------------------------------------- before and after training

QUICK = hitherto.Settings(sequences=4, steps=20)


def moved(model, share):
    weights = {name: (1 + share) * np.asarray(w) for name, w in model.weights.items()}
    return Model(model.architecture, weights)


@pytest.fixture(scope="module", autouse=True)
def alone():
    """Profiles of the memory prior alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hitherto.profiling.MEASURES", (ROW,))
        patch.setattr("hitherto.profiling._sensitivity", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def trained():
    """A profile for each way to begin, of weights that moved a little and a lot."""
    lazy = build(RNN(1, 6, 1, "linear", bias=False, parametrisation="ntk", variance=0.3), 0)
    usual = build(RNN(1, 6, 1, variance=0.3), 0)
    pairs = {"lazy": (lazy, 0.005), "rich": (lazy, 0.5), "usual": (usual, 0.005)}
    return {
        name: hitherto.profile(moved(first, share), initial=first, settings=QUICK)
        for name, (first, share) in pairs.items()
    }


@pytest.mark.slow
def test_laziness_is_told_with_the_weights_before_training(trained):
    said = {name: " ".join(found.verdict) for name, found in trained.items()}
    assert "Training was lazy: the tangent kernel moved by" in said["lazy"]
    assert "Training was rich" in said["rich"]
    assert "little so far" in said["usual"]
    assert "lazy:" not in said["usual"]


def test_the_prior_at_the_start_stands_beside_that_of_now(trained):
    found = trained["rich"]
    before, now = (found.estimate("memory_prior", part).value for part in ("at the start", ""))
    assert now[0] == pytest.approx(1.5**2 * before[0], rel=1e-5)
    assert "before training" in " ".join(found.verdict)
    assert [panel.id for panel in panels(found.estimates)][-1] == "memory-prior"


def test_another_architecture_before_training_is_refused():
    with pytest.raises(ValueError, match="weights of one architecture"):
        hitherto.profile(build(RNN(1, 3)), initial=build(RNN(1, 4)))


def test_kernels_of_too_many_weights_are_a_finding(monkeypatch):
    monkeypatch.setattr("hitherto.profiling.MOST_SLOPES", 100)
    model = build(LSTM(1, 2), 0)
    found = hitherto.profile(model, initial=model, settings=QUICK)
    assert any("training not measured: tangent kernels" in line for line in found.provenance["findings"])
