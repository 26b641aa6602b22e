"""Experiments on mean-field networks: one case of each kind, and what they are made of."""

import importlib.metadata

import numpy as np
import pytest

from hitherto.core.claim import check
from hitherto.core.experiment import planned
from hitherto.papers.mean_field_experiments import (
    EXPERIMENTS,
    LABELS,
    THEORY,
    atlas,
    classified,
    depth,
    oriented,
    pictured,
    representation,
    represented,
    scheduled,
    schedules,
    whole,
)
from hitherto.papers.mean_field_sampled import (
    CONTINUED,
    FIRST_PAIR,
    HIDDEN,
    INFINITE,
    NONLINEAR_PAIR,
    RADIUS,
    WEIGHTS,
    asked,
    away_from_threshold,
    by_theory,
    crossed,
    excited,
    foretold,
    predicted_largest,
    predicted_radius,
    told,
    trained,
    wide_answers,
)
from hitherto.theory.mean_field import Problem


def test_every_experiment_has_cases_at_every_size():
    for experiment in EXPERIMENTS:
        counts = [planned(experiment, size) for size in ("ci", "paper", "cluster")]
        assert 0 < counts[0] <= counts[1] <= counts[2], experiment.id


# ---------------------------------------------------------------- theory


@pytest.mark.parametrize(("factor", "shared", "least", "most"), [(0.5, "RNN", 0, 1e-6), (4.0, "DNN", 0, 1e-6)])
def test_times_do_not_correlate(factor, shared, least, most):
    kernel, between = representation(represented(shared, THEORY, factor, 128, 25, 0))
    assert least <= between.value < most
    assert kernel.value.shape == (16, 16)


def test_strong_labels_correlate_times_of_the_recurrent_network_along_the_labels():
    kernel, between = representation(represented("RNN", THEORY, 4.0, 128, 25, 0))
    assert between.value == pytest.approx(0.442, abs=1e-3)
    block = kernel.value[:4, 4:8]
    np.testing.assert_allclose(block, (LABELS @ block @ LABELS) * np.outer(LABELS, LABELS), atol=1e-6)
    assert LABELS @ block @ LABELS > 0.1


def test_mirror_images_are_turned_alike():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 5, 16, 16))
    kernels = root @ root.swapaxes(-1, -2)
    problem = Problem.pulse(LABELS[:, None], (3,), 4)
    signs = (-1.0) ** np.add.outer(problem.time_of, problem.time_of)
    np.testing.assert_array_equal(oriented(kernels, problem), oriented(signs * kernels, problem))


def test_correlations_and_their_errors():
    kernel = np.array([[4.0, 1.0], [1.0, 9.0]])
    error = np.array([[0.04, 0.01], [0.01, 0.09]])
    found = told(kernel, error, 3.0, "a test")
    (pair,) = found.correlations
    assert (pair.value, pair.part, found.variance.value) == (pytest.approx(1 / 6), "times 1 and 2", 3.0)
    assert pair.standard_error == pytest.approx(np.sqrt((0.01 / 6) ** 2 + (0.01 / 6) ** 2 / 2))


def test_wide_networks_cross_the_transition_as_closed_forms_say():
    for signal in (4.0, 20.0):
        verdict = check(FIRST_PAIR, crossed(signal, INFINITE, HIDDEN, 25, 0))
        assert verdict.outcome == "holds", verdict.reason
        assert (verdict.predicted.value > 0.1) == (signal > 8.2)
    assert crossed(4.0, INFINITE, WEIGHTS, 25, 0) is None
    assert crossed(4.0, 128, WEIGHTS, 25, 0) is None


def test_the_law_of_the_kernel_nears_the_wide_limit():
    limit, *finite = (foretold(crossed(30.0, width, HIDDEN, 25, 0)) for width in (INFINITE, 32, 512))
    gaps = [abs(f.correlations[1].value - limit.correlations[1].value) for f in finite]
    assert gaps[1] < gaps[0] / 8


def test_outliers_are_the_recurrent_network_s_alone():
    radius = {network: predicted_radius(trained(network, 60.0, 100, 0)).value for network in ("RNN", "DNN")}
    assert radius == {"RNN": pytest.approx(1.540170, abs=1e-6), "DNN": 1.0}
    assert predicted_radius(trained("RNN", 12.0, 100, 0)).value == 1.0  # hidden in the bulk
    assert predicted_largest(trained("RNN", 12.0, 100, 0)).value > 2


def test_nonlinear_networks_below_and_at_the_threshold():
    below, above = (by_theory(excited("erf", factor, 500, 25, 0)).correlations[1].value for factor in (0.25, 2.0))
    assert below == pytest.approx(0.06, abs=0.02)
    assert above == pytest.approx(0.8083, abs=2e-3)
    assert "fluctuate more" in away_from_threshold(excited("erf", 0.75, 60, 25, 0))
    assert "both states" in away_from_threshold(excited("erf", 1.0, 3000, 25, 0))
    assert away_from_threshold(excited("erf", 0.25, 500, 25, 0)) is None


def test_feedforward_networks_say_nothing_at_times_without_labels():
    assert not wide_answers(asked("tanh", "DNN", 100, 25, 0)).value.any()
    assert "no closed solution" in CONTINUED.hypotheses(asked("tanh", "RNN", 100, 25, 0))
    assert wide_answers(asked("identity", "RNN", 100, 25, 0)).value == pytest.approx([1.2466, -0.5579], abs=1e-3)


@pytest.mark.slow
def test_feedforward_networks_are_asked_at_both_ends_alone():
    assert scheduled("DNN", 1, 4) is None
    (mean, *_) = schedules(scheduled("DNN", 1, 7))
    assert mean.value == pytest.approx(1.0)


@pytest.mark.slow
def test_schedules_of_one_missing_label():
    mean, median, errors = schedules(scheduled("RNN", 1, 7))
    assert (mean.value, median.value) == (pytest.approx(0.086, abs=2e-3), pytest.approx(0.0064, abs=2e-4))
    assert len(errors.value) == 8
    assert (np.diff(errors.value) >= 0).all()


def test_landmarks_are_in_order():
    fold, maxwell, spinodal = (found.value for found in atlas(depth(6)))
    assert fold < maxwell < spinodal == pytest.approx(0.95367431640625)


@pytest.mark.skipif(
    not any(importlib.metadata.distributions(name="scikit-learn")), reason="needs the package scikit-learn"
)
def test_ridges_differ_from_the_transition_on():
    ridges = {
        (network, amplitude): classified(pictured(network, amplitude, 60, 4))[0].value
        for network in ("RNN", "DNN")
        for amplitude in (0.01, 1.0)
    }
    assert ridges["RNN", 0.01] == pytest.approx(ridges["DNN", 0.01], rel=1e-9)
    assert ridges["RNN", 1.0] < ridges["DNN", 1.0] < ridges["DNN", 0.01]
    assert classified(pictured("RNN", 1.0, 1437, 4))[1].value > 0.85


# ---------------------------------------------------------------- sampled networks


def test_draws_of_kernels_are_made_whole():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 5, 4, 4))
    kernels = root @ root.swapaxes(-1, -2)
    row, column = np.triu_indices(4)
    np.testing.assert_array_equal(whole(kernels[..., row, column], 4), kernels)


@pytest.mark.slow
@pytest.mark.parametrize("claim", [RADIUS, NONLINEAR_PAIR, CONTINUED], ids=lambda claim: claim.id)
def test_sampled_networks_are_as_foretold(claim):
    verdict = check(claim, claim.smallest)
    assert verdict.outcome == "holds", verdict.reason
