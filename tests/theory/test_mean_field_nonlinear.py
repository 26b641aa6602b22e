"""Nonlinear chains, incoherent and coherent: exact vectors, linear networks as a limit, and what slopes must be."""

import numpy as np
import pytest
from conftest import oracle

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_chain import feedforward_chain
from hitherto.theory.mean_field_coherent import coherent_states
from hitherto.theory.mean_field_law import activate, tilted_law
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.theory.mean_field_stability import critical_gain, lag_hessian

VECTORS = oracle("mean_field")
THRESHOLDS, COHERENT = VECTORS["H_nonlinear_threshold"], VECTORS["H_nonlinear_rnn_T3"]
UPPER = np.triu_indices(3)


def one_pattern(times, label=1.0, **settings):
    return Problem.pulse(np.array([[float(label)]]), (times - 1,), times, **{"activation": "erf", **settings})


def problem_of(row, label=1.0):
    return one_pattern(
        row["T"],
        label,
        activation=row["phi"],
        recurrent_variance=row["g2"],
        input_variance=row.get("v2", row.get("gv2")),
        readout_variance=row["sa2"],
        noise=row["kappa"],
    )


@pytest.mark.parametrize("row", THRESHOLDS)
def test_thresholds_are_the_oracles(row):
    found = threshold(problem_of(row))
    assert found.label_square == pytest.approx(row["y2_star"], rel=1e-10)
    assert found.free_energy == pytest.approx(row["F"], rel=1e-10)
    np.testing.assert_allclose(found.variances, row["c"], rtol=1e-10)
    np.testing.assert_allclose(found.pulls, row["ct"], rtol=1e-10)
    assert found.least_curvature == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("row", THRESHOLDS[::5])
def test_the_state_at_the_threshold_is_found_from_its_label(row):
    (state,) = incoherent_states(problem_of(row, np.sqrt(row["y2_star"])))
    assert state.free_energy == pytest.approx(row["F"], rel=1e-10)
    np.testing.assert_allclose(state.pulls, row["ct"], rtol=1e-9)


def test_small_inputs_are_a_linear_network():
    times, small = 4, 1e-5
    given = dict(recurrent_variance=np.pi / 4, input_variance=small, noise=3 * small)
    variance = 4 / np.pi * small  # erf(h) is 2 h / sqrt(pi) there
    r = critical_gain(times)
    wanted = (r - 1) * (r**times + 3 * small / variance) ** 2 / r**times * variance
    found = threshold(one_pattern(times, **given))
    assert found.label_square == pytest.approx(wanted, rel=1e-3)
    np.testing.assert_allclose(found.lag_hessian(1), lag_hessian(r, times - 1), rtol=1e-3, atol=1e-3)
    (state,) = incoherent_states(one_pattern(times, np.sqrt(0.3 * wanted), **given))
    chain = feedforward_chain(times, 0.3 * wanted / variance, 3 * small / variance)[0]
    np.testing.assert_allclose(state.variances / variance, chain.kernel.diagonal(), rtol=1e-3)
    np.testing.assert_allclose(state.lag_hessian(2), lag_hessian(chain.order, times - 2), rtol=1e-3)


@pytest.mark.parametrize("activation", ["erf", "tanh"])
def test_free_energy_falls_with_the_label_as_the_fit_says(activation):
    given = dict(activation=activation, noise=0.3, readout_variance=1.4, recurrent_variance=1.3)
    square, step = 2.0, 1e-4
    energies = [
        incoherent_states(one_pattern(4, np.sqrt(square + side * step), **given))[0].free_energy for side in (1, -1)
    ]
    last = incoherent_states(one_pattern(4, np.sqrt(square), **given))[0].variances[-1]
    assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(0.5 / (1.4 * last + 0.3), rel=1e-7)


def test_states_coexist_at_large_noise():
    given = dict(activation="tanh", noise=10.0, input_variance=0.01, recurrent_variance=0.3)
    states = incoherent_states(one_pattern(3, 100, **given))
    assert [round(float(state.variances[-1]), 3) for state in states] == [0.818, 0.001, 0.023]
    for state in states:
        assert state.label_square == pytest.approx(1e4, rel=1e-9)


def test_without_labels_there_is_the_prior():
    (state,) = incoherent_states(one_pattern(3, 0, input_variance=0.7))
    first = 2 / np.pi * np.arcsin(2 * 0.7 / (1 + 2 * 0.7))
    second = 2 / np.pi * np.arcsin(2 * first / (1 + 2 * first))
    np.testing.assert_allclose(state.variances[:2], [first, second], rtol=1e-12)
    assert state.free_energy == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", ["erf", "tanh"])
@pytest.mark.parametrize(("covariance", "pull"), [(0.01, 5), (1, 0.3), (2, 40), (1e-3, 4000), (1, 1e5)])
def test_laws_agree_with_plain_sums_and_differences(name, covariance, pull):
    h = np.linspace(-1, 1, 200_001) * (20 * np.sqrt(covariance) + 6)
    exponent = pull * activate(name, h)[0] ** 2 / 2 - h**2 / (2 * covariance)
    weights = np.exp(exponent - exponent.max())
    second, variance = (np.average(moment, weights=weights) for moment in (h**2, activate(name, h)[0] ** 2))
    law = tilted_law(name, covariance, pull)
    assert law.variance == pytest.approx(variance, rel=1e-11)
    assert law.gained == pytest.approx(second / covariance**2 - 1 / covariance, rel=1e-8)
    for k, moved in enumerate([(1e-5, 0), (0, 1e-5)]):
        up, down = (
            tilted_law(name, covariance * np.exp(side * moved[0]), pull * np.exp(side * moved[1])) for side in (1, -1)
        )
        assert np.log(up.variance / down.variance) / 2e-5 == pytest.approx(law.variance_slopes[k], rel=1e-6, abs=1e-7)
        assert np.log(up.gained / down.gained) / 2e-5 == pytest.approx(law.gained_slopes[k], rel=1e-6, abs=1e-7)


def test_activations_have_their_slopes():
    h = np.linspace(-2, 2, 9)
    for name in ("erf", "tanh"):
        _, slope, bend = activate(name, h)
        up, down = activate(name, h + 1e-5), activate(name, h - 1e-5)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-5, slope, atol=1e-9)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, bend, atol=1e-9)


def test_the_coherent_branch_is_the_oracles():
    rows = COHERENT[::2]
    states = coherent_states(problem_of(rows[0]), [row["y2"] for row in rows], nodes=56)
    for state, row in zip(states, rows, strict=True):
        np.testing.assert_allclose(state.kernel[UPPER], row["C_upper"], atol=1e-6)
        np.testing.assert_allclose(state.tilt[UPPER], row["Ctilde_upper"], atol=1e-5)
        assert state.free_energy == pytest.approx(row["F"], abs=1e-7)
        incoherent = incoherent_states(problem_of(row, np.sqrt(row["y2"])))[0]
        assert incoherent.least_curvature < 0
        assert state.free_energy < incoherent.free_energy


def test_the_coherent_branch_refuses():
    problem = one_pattern(3, activation="tanh")
    least = threshold(problem).label_square
    with pytest.raises(ValueError, match="followed upwards"):
        coherent_states(problem, [0.9 * least])
    with pytest.raises(ValueError, match="even number"):
        coherent_states(problem, [2 * least], nodes=21)
    with pytest.raises(ValueError, match="leave out the times after"):
        coherent_states(Problem.pulse(np.ones((1, 1)), (2,), 4, activation="tanh"), [2 * least])


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (one_pattern(3, activation="identity"), "the activation identity"),
        (one_pattern(3, bias_variance=0.1), "inputs or biases"),
        (Problem.pulse(np.ones((2, 1)), (2,), 3, activation="erf"), "2 patterns, 2 labels"),
        (one_pattern(3, recurrent_variance=0), "a variance of 0"),
    ],
)
def test_other_problems_are_refused(problem, reason):
    for function in (incoherent_states, threshold):
        with pytest.raises(ValueError, match=reason):
            function(problem)


def test_networks_without_sharing_have_no_threshold():
    for problem in (one_pattern(2), one_pattern(4, shared=False)):
        with pytest.raises(ValueError, match="no W is used twice"):
            threshold(problem)
    assert threshold(one_pattern(4, recurrent_variance=30, input_variance=30)) is None


@pytest.mark.parametrize("scale", [1e-6, 1e-2])
def test_thresholds_of_linear_units_scale_with_their_inputs(scale):
    """Inputs, labels and the root of the noise in one unit: y* is in it as well."""
    squares = [threshold(one_pattern(4, input_variance=v, noise=0.1 * v)).label_square / v for v in (scale, 1e-8)]
    assert squares[0] == pytest.approx(squares[1], rel=20 * scale)
