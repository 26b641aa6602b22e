"""Sampling weights, and weights from sampled activity: against vectors, each other, and the networks they make."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import oracle
from scipy.special import erf

from hitherto.core.model import precision, states_and_outputs
from hitherto.measures.trained_kernel import trained_kernel
from hitherto.theory.mean_field import Problem
from hitherto.training.posterior import prior_hidden, sample_posterior
from hitherto.training.posterior_chains import Sampling
from hitherto.training.posterior_draws import draw_weights
from hitherto.training.posterior_weights import (
    as_model,
    features_of,
    hidden_of,
    langevin_settings,
    layout,
    network,
    outputs_of,
    sample_langevin,
    sample_weights,
)

ORACLE = oracle("mean_field")
CASE = ORACLE["J_finiteN_T3_mcmc"][0]
UPPER = np.triu_indices(3)
INPUTS = np.random.default_rng(3).standard_normal((2, 3, 4))
FLAT = INPUTS.transpose(1, 0, 2).reshape(6, 4)
SEPARATE = {"shared": False, "shared_inputs": False, "shared_readout": False}


def endpoint():
    return Problem.pulse(np.array([[CASE["y2"] ** 0.5]]), (2,), 3, noise=CASE["kappa"], width=CASE["N"])


def sequences(**changes):
    labels = np.array([[0.5, np.nan, -1], [1.0, 0.3, 2]])
    settings = {"width": 20, "activation": "tanh", "bias_variance": 0.3, **changes}
    return Problem.sequences(INPUTS, labels, **settings)


def agrees(found, case, **slack):
    y = case["y2"] ** 0.5
    mean = np.append(found.kernel.value[UPPER], found.outputs.value[2] / y)
    error = np.append(found.kernel.error[UPPER], found.outputs.error[2] / y)
    return (np.abs(mean - case["mean"]) < 5 * np.hypot(error, case["se"]) + slack.get("bias", 0) * np.abs(mean)).all()


def test_sampled_weights_have_the_moments_of_the_vectors():
    found = sample_weights(endpoint(), Sampling(draws=300, warm_up=150))
    assert found.settled
    assert agrees(found, CASE)


@pytest.mark.slow
def test_langevin_dynamics_has_the_moments_of_the_vectors_but_for_its_step():
    found = sample_langevin(endpoint(), Sampling(draws=1000, warm_up=150))
    assert np.isnan(found.acceptance)
    assert agrees(found, CASE, bias=0.02)


def test_the_curvature_that_sets_langevin_steps_is_that_of_the_density():
    """Where the network fits, the largest eigenvalue of the Hessian of U is 1 + Theta / kappa."""
    problem = Problem.pulse(np.array([[0.0]]), (1,), 2, width=3, noise=0.05, activation="tanh")
    with precision(np.float64):
        target = network(problem, None)
        position = jnp.asarray(np.random.default_rng(0).standard_normal(target.form.count))
        fitted = eqx.filter_jit(target.answer)(position)[1][1:]
        target = network(problem.with_(labels=np.asarray(fitted)), None)
        slope = jax.jit(lambda at: jax.grad(target.log_density)(at, jnp.zeros(())))
        steps = 1e-5 * np.eye(len(position))
        hessian = np.array([slope(position + step) - slope(position - step) for step in steps]) / 2e-5
        assert float(eqx.filter_jit(target.curvature)(position)) == pytest.approx(
            -np.linalg.eigvalsh(hessian)[0], rel=1e-6
        )


def test_settings_of_langevin_training_are_those_of_the_vectors():
    case = ORACLE["L_sgld"]
    problem = Problem.pulse(np.ones((1, 1)), (1,), 2, width=case["N"], noise=case["kappa"])
    found = langevin_settings(problem, case["D"])
    assert found == {name: case[name] for name in found}
    assert set(found) == {"temperature", "lambda_W", "lambda_V", "lambda_a"}
    with_bias = langevin_settings(problem.with_(bias_variance=0.5), case["D"])
    assert with_bias["lambda_b"] == pytest.approx(2 * case["temperature"])


@pytest.mark.parametrize("sharing", [{}, SEPARATE, {"shared": np.kron(np.eye(3), [[1.0]]) > 0}], ids=str)
def test_drawn_weights_make_the_activity_they_were_drawn_for(sharing):
    problem = sequences(**sharing)
    hidden = prior_hidden(problem, 1, 0)[0]
    weights = draw_weights(problem, hidden, 1, inputs=FLAT)
    with precision(np.float64):
        made = np.asarray(hidden_of(weights, layout(problem, 4), jnp.asarray(FLAT), "tanh"))
    assert np.abs(made - hidden).max() < 1e-12


def test_weights_of_a_pulse_are_those_of_the_pseudo_inverse():
    """W = H_+ Phi_-^+ on the span of what entered, whatever the draw."""
    problem = endpoint()
    hidden = prior_hidden(problem, 1, 0)[0]
    one, other = (draw_weights(problem, hidden, seed).recurrent[0] for seed in (0, 1))
    entered = hidden[:, :2]
    assert np.abs((one - other) @ entered).max() < 1e-12
    fixed = hidden[:, 1:] @ np.linalg.pinv(entered)
    assert np.abs(one @ entered @ np.linalg.pinv(entered) - fixed).max() < 1e-12
    rest = (one - fixed) @ (np.eye(20) - entered @ np.linalg.pinv(entered))
    assert np.abs(rest - (one - fixed)).max() < 1e-12
    assert rest.std() == pytest.approx((18 / 20 / 20) ** 0.5, rel=0.2)


def test_outputs_of_drawn_weights_have_the_mean_of_the_theory():
    problem = sequences(**SEPARATE)
    hidden = prior_hidden(problem, 1, 0)[0]
    form, phi = layout(problem, 4), np.tanh(hidden)
    with precision(np.float64):
        weights = [draw_weights(problem, hidden, seed, inputs=FLAT) for seed in range(300)]
        outputs = np.array([np.asarray(outputs_of(w, form, jnp.asarray(phi)))[:, 0] for w in weights])
    kernel = problem.readouts * (phi.T @ phi / 20)
    q = kernel[np.ix_(problem.index, problem.index)] + 0.1 * np.eye(5)
    wanted = kernel[:, problem.index] @ np.linalg.solve(q, problem.labels)[:, 0]
    error = outputs.std(0) / len(outputs) ** 0.5
    assert (np.abs(outputs.mean(0) - wanted) < 5 * error).all()
    explained = np.sum(kernel[:, problem.index] * np.linalg.solve(q, kernel[problem.index]).T, 1)
    variance = (np.diagonal(kernel) - explained) / 20
    assert outputs.var(0) == pytest.approx(variance, rel=0.5)


PHI = {"identity": np.copy, "tanh": np.tanh, "erf": erf, "relu": lambda h: np.maximum(h, 0)}


@pytest.mark.parametrize(("activation", "bias"), [("tanh", 0.0), *((name, 0.3) for name in PHI)])
def test_a_model_of_drawn_weights_runs_through_the_activity(activation, bias):
    problem = sequences(activation=activation, bias_variance=bias)
    hidden = prior_hidden(problem, 1, 0)[0]
    weights = draw_weights(problem, hidden, 1, inputs=FLAT)
    states, outputs = states_and_outputs(as_model(problem, weights), INPUTS[1])
    phi = PHI[activation](hidden[:, 1::2].T)
    assert np.abs(states.h - phi).max() < 1e-12
    assert outputs[:, 0] == pytest.approx(phi @ weights.readout[0, 0] / 20, rel=1e-12)


@pytest.mark.slow
def test_weights_of_sampled_activity_fit_the_labels_and_are_found_coherent():
    problem = endpoint().with_(labels=np.array([[8.0]]), width=60)
    found = sample_posterior(problem, Sampling(draws=50, warm_up=150, chains=2))
    model = as_model(problem, draw_weights(problem, found.last[0], 0))
    pulse = np.zeros((1, 3, 1))
    pulse[0, 0] = features_of(problem, None)[0, 0]
    assert states_and_outputs(model, pulse[0])[1][2, 0] == pytest.approx(8.0, abs=0.5)
    assert trained_kernel(model, pulse).regime == "coherent"
    before = as_model(problem, draw_weights(problem, prior_hidden(problem, 1, 0)[0], 0))
    assert trained_kernel(before, pulse).regime == "lazy"


def test_what_is_no_recurrent_network_is_no_model():
    problem = sequences(shared=False)
    weights = draw_weights(problem, prior_hidden(problem, 1, 0)[0], inputs=FLAT)
    with pytest.raises(ValueError, match="come in groups"):
        as_model(problem, weights)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not have the problem's kernel"):
        sample_weights(sequences(), inputs=2 * FLAT)
    with pytest.raises(ValueError, match="give width and entries"):
        draw_weights(endpoint(), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="without a width"):
        sample_weights(endpoint().with_(width=None))
    with pytest.raises(ValueError, match="noise above 0"):
        sample_weights(endpoint().with_(noise=0.0))


def test_features_that_are_not_given_have_the_kernel():
    features = features_of(sequences(), None)
    assert features @ features.T / features.shape[1] == pytest.approx(FLAT @ FLAT.T / 4, abs=1e-12)
