"""Sampling hidden activity: its density against vectors, its means against vectors and brute force, and its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import oracle
from scipy import special

from hitherto.core.model import precision
from hitherto.theory.mean_field import Problem
from hitherto.training import posterior_chains
from hitherto.training._error_function import erf
from hitherto.training.posterior import averaged, is_folded, log_density, prior_hidden, sample_posterior
from hitherto.training.posterior_chains import Sampling

ORACLE = oracle("mean_field")
COLLAPSED = ORACLE["K_collapsed"]
UPPER = np.triu_indices(3)
SHORT = Sampling(draws=50, warm_up=50, chains=2)


def of_vectors(case):
    names = {"lin": "identity"}
    variances = {"recurrent_variance": COLLAPSED["g2"], "input_variance": COLLAPSED["gv2"]}
    variances |= {"readout_variance": COLLAPSED["sa2"], "noise": COLLAPSED["kappa"]}
    activation = names.get(case["phi"], case["phi"])
    labels = np.array([COLLAPSED["y"]])
    return Problem.pulse(labels, tuple(COLLAPSED["S"]), COLLAPSED["T"], activation=activation, width=5, **variances)


def endpoint(case, **changes):
    settings = {"noise": case["kappa"], "width": case["N"], **changes}
    return Problem.pulse(np.array([[case["y2"] ** 0.5]]), (2,), 3, **settings)


def small(**changes):
    return Problem.pulse(np.array([[1.0]]), (2,), 3, **{"width": 8, **changes})


@pytest.mark.parametrize("case", COLLAPSED["cases"], ids=lambda c: c["phi"])
def test_density_and_gradient_are_those_of_the_vectors(case):
    value, slope = log_density(of_vectors(case), np.array(COLLAPSED["H"]))
    assert value == pytest.approx(case["logp"], abs=1e-9)
    assert np.abs(slope - case["grad"]).max() < 1e-9


def test_the_gradient_is_that_of_finite_differences_whatever_is_shared():
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3))
    labels[0, 1] = np.nan
    settings = dict(shared=False, shared_inputs=False, shared_readout=False, bias_variance=0.4, activation="tanh")
    problem = Problem.sequences(inputs, labels, **settings, width=7)
    problem = problem.with_(labels=rng.standard_normal((5, 2)))
    hidden, along = rng.standard_normal((2, 7, 6))
    for limit in (False, True):
        slope = log_density(problem, hidden, limit)[1]
        ahead, back = (log_density(problem, hidden + step * along, limit)[0] for step in (1e-5, -1e-5))
        assert np.sum(slope * along) == pytest.approx((ahead - back) / 2e-5, rel=1e-7)


def test_our_error_function_is_scipys():
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.0, 1e-300, 30.0, -1e6]])
    with precision(np.float64):
        value, back = jax.vjp(erf, jnp.asarray(x))
        slope = np.asarray(back(jnp.ones_like(value))[0])
    assert np.abs(np.asarray(value) - special.erf(x)).max() < 3e-14
    assert slope == pytest.approx(2 / np.pi**0.5 * np.exp(-(x**2)), rel=1e-13)


def test_the_limit_leaves_out_the_term_of_order_1():
    problem, hidden = of_vectors(COLLAPSED["cases"][0]), np.array(COLLAPSED["H"])
    kernel = hidden.T @ hidden / 5
    q = COLLAPSED["sa2"] * kernel[1:, 1:] + COLLAPSED["kappa"] * np.eye(2)
    gap = log_density(problem, hidden)[0] - log_density(problem, hidden, limit=True)[0]
    assert gap == pytest.approx(-0.5 * np.linalg.slogdet(2 * np.pi * q / 5)[1], rel=1e-12)


def test_the_density_is_mirror_symmetric():
    problem = small(activation="erf")
    hidden = np.random.default_rng(1).standard_normal((8, 3))
    there, back = (log_density(problem, hidden * signs)[0] for signs in (1.0, np.array([1.0, -1, 1])))
    assert there == pytest.approx(back, rel=1e-12)


def test_prior_activity_has_the_moments_of_drawn_weights():
    drawn = prior_hidden(small(activation="tanh"), 4000, 0)
    rng = np.random.default_rng(1)
    h = [rng.standard_normal((4000, 8))]
    w = rng.standard_normal((4000, 8, 8)) / 8**0.5
    for _ in range(2):
        h.append(np.einsum("dij,dj->di", w, np.tanh(h[-1])))
    by_weights = np.stack(h, -1)
    ours, theirs = (np.einsum("dui,duj->dij", a, a) ** 2 for a in (drawn, by_weights))
    error = np.hypot(ours.std(0), theirs.std(0)) / 4000**0.5
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * error).all()


@pytest.mark.parametrize("case", ORACLE["J_finiteN_T3_mcmc"][:3], ids=lambda c: f"N={c['N']}, y2={c['y2']:.3g}")
def test_sampled_kernels_have_the_moments_of_the_vectors(case):
    found = sample_posterior(endpoint(case), Sampling(draws=400, warm_up=150))
    mean, error = found.kernel.value[UPPER], found.kernel.error[UPPER]
    y = case["y2"] ** 0.5
    mean, error = np.append(mean, found.outputs.value[2] / y), np.append(error, found.outputs.error[2] / y)
    assert found.settled
    assert found.folded
    assert (np.abs(mean - case["mean"]) < 5 * np.hypot(error, case["se"])).all()


@pytest.mark.slow
def test_the_wide_limit_is_that_of_the_nonlinear_theory():
    case = next(c for c in ORACLE["H_nonlinear_rnn_T3"] if c["phi"] == "erf" and 6 < c["y2"] < 7)
    problem = endpoint(case | {"N": 300}, activation="erf")
    found = sample_posterior(problem, Sampling(draws=150, warm_up=150), limit=True)
    width_error = 3 / 300  # kernels differ from their limit by 1 / N times numbers of order 1
    gap = np.abs(found.kernel.value[UPPER] - case["C_upper"])
    assert (gap < 5 * found.kernel.error[UPPER] + width_error).all()


@pytest.mark.slow
def test_a_width_of_3000_is_at_the_limit():
    case = next(c for c in ORACLE["H_nonlinear_rnn_T3"] if c["phi"] == "erf" and 6 < c["y2"] < 7)
    found = sample_posterior(endpoint(case | {"N": 3000}, activation="erf"), Sampling(draws=200, warm_up=150))
    assert found.kernel.error[1, 2] < 0.01 * found.kernel.value[1, 2]
    assert (np.abs(found.kernel.value[UPPER] - case["C_upper"]) < 5 * found.kernel.error[UPPER] + 1 / 3000).all()


@pytest.mark.slow
def test_relu_and_later_inputs_are_sampled_and_not_folded():
    rng = np.random.default_rng(0)
    problem = Problem.sequences(
        rng.standard_normal((2, 2, 5)), np.array([[np.nan, 1], [np.nan, -1]]), activation="relu", width=30
    )
    found = sample_posterior(problem, SHORT)
    assert not found.folded
    assert np.isfinite(found.kernel.error).all()
    assert np.sign(found.outputs.value[2:, 0]).tolist() == [1, -1]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(posterior_chains, "SAVED_EVERY", 0.0)
    whole, path, calls = sample_posterior(small(), SHORT), tmp_path / "chains.safetensors", []

    def killed(progress):
        calls.append(progress.step)
        if progress.step == 75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_posterior(small(), SHORT, checkpoint=path, progress=killed)
    again = sample_posterior(small(), SHORT, checkpoint=path, progress=killed)
    assert calls == [25, 50, 75, 100]
    assert np.array_equal(again.pairs, whole.pairs)
    assert np.array_equal(again.last, whole.last)
    sample_posterior(small(), SHORT, checkpoint=path, progress=killed)
    assert calls == [25, 50, 75, 100]


def test_more_draws_are_added_to_a_checkpoint(tmp_path):
    path = tmp_path / "chains.safetensors"
    first = sample_posterior(small(), SHORT, checkpoint=path)
    more = sample_posterior(small(), Sampling(draws=75, warm_up=50, chains=2), checkpoint=path)
    assert more.pairs.shape[1] == 75
    assert np.array_equal(more.pairs[:, :50], first.pairs)


def test_another_problem_does_not_go_on_from_a_checkpoint(tmp_path):
    path = tmp_path / "chains.safetensors"
    sample_posterior(small(), SHORT, checkpoint=path)
    with pytest.raises(ValueError, match=r"noise was 0\.1, now 0\.2"):
        sample_posterior(small(noise=0.2), SHORT, checkpoint=path)
    with pytest.raises(ValueError, match="labels was"):
        sample_posterior(small().with_(labels=np.array([[2.0]])), SHORT, checkpoint=path)


def test_a_run_starts_where_another_ended():
    found = sample_posterior(small(), SHORT)
    after = sample_posterior(small(noise=0.2), SHORT, start=found.last)
    assert after.last.shape == found.last.shape == (2, 8, 3)
    with pytest.raises(ValueError, match="give chains, width and entries"):
        sample_posterior(small(), SHORT, start=found.last[:1])


def test_widths_without_a_density_are_refused():
    with pytest.raises(ValueError, match="from width 2 on"):
        sample_posterior(small(width=1), SHORT)
    feedforward = Problem.pulse(np.ones((3, 1)), (2,), 3, width=2, shared=False)
    with pytest.raises(ValueError, match="from width 3 on"):
        sample_posterior(feedforward, SHORT)
    with pytest.raises(ValueError, match="from width 6 on"):
        sample_posterior(feedforward.with_(shared=True, width=5), SHORT)
    with pytest.raises(ValueError, match="without its width"):
        sample_posterior(small(width=None), SHORT)
    with pytest.raises(ValueError, match="covariance of preactivations is singular"):
        sample_posterior(small(recurrent_variance=0.0), SHORT)


def test_small_widths_are_sampled_where_inputs_keep_the_covariance_regular():
    inputs, labels = np.random.default_rng(0).standard_normal((1, 3, 4)), np.array([[np.nan, np.nan, 1.0]])
    found = sample_posterior(Problem.sequences(inputs, labels, width=1), SHORT)
    assert np.isfinite(found.pairs).all()


@pytest.mark.parametrize("changes", [{"draws": 30}, {"warm_up": 10}, {"draws": 0}, {"chains": 1}])
def test_odd_settings_are_refused(changes):
    with pytest.raises(ValueError, match="was asked for; give"):
        Sampling(**changes)


def test_signs_are_free_only_where_no_label_and_no_input_fixes_them():
    assert is_folded(small())
    assert not is_folded(small(activation="relu"))
    assert not is_folded(small(shared=False))
    assert not is_folded(small(bias_variance=0.1))
    assert not is_folded(Problem.pulse(np.ones((1, 2)), (1, 2), 3))
    assert is_folded(Problem.pulse(np.ones((1, 2)), (0, 2), 3))


def test_averages_know_correlated_draws_and_chains_apart():
    rng = np.random.default_rng(0)
    white = rng.standard_normal((4, 1000, 2))
    found = averaged(white)
    assert found.error == pytest.approx(1 / 4000**0.5, rel=0.2)
    slow = np.repeat(white[:, :100], 10, axis=1)
    assert averaged(slow).error == pytest.approx(1 / 400**0.5, rel=0.4)
    apart = averaged(white + np.arange(4)[:, None, None])
    assert (apart.r_hat > 1.4).all()
    assert averaged(np.ones((2, 50, 1))).error == 0
