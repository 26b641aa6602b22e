"""Tangent kernels against exact vectors, the whole Jacobian, and one step of gradient descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import oracle

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model, build, precision
from hitherto.measures.linear_response import markov_parameters
from hitherto.measures.tangent_kernel import kernel_drift, lag_kernel, memory_prior, response_kernel, tangent_kernel

TRUTH = oracle("linear_bias")
CASES = TRUTH["finite_width"]["cases"]


def network(w, f, c) -> Model:
    """h[t] = W h / sqrt n + F x, y = C h / sqrt n."""
    layer = RNN(f.shape[1], len(w), len(c), "linear", bias=False, parametrisation="ntk")
    return Model(layer, {"weight_hh": w, "weight_ih": f, "readout": c})


def given(case) -> Model:
    return network(*(np.array(case[name], float) for name in ("W", "F", "C")))


def flat(kernel) -> np.ndarray:
    """(lag, output, input) in one index."""
    lags, _, outputs, _, inputs, _ = kernel.shape
    return kernel.transpose(0, 2, 4, 1, 3, 5).reshape(lags * outputs * inputs, -1)


def stack() -> Model:
    layers = (RNN(2, 3, activation="linear", bias=False), RNN(3, 2, 1, activation="linear", bias=False))
    return build(Deep(layers), 0, np.float64)


@pytest.mark.parametrize("case", CASES)
def test_networks_of_whole_numbers(case):
    model, lags = given(case), case["T"]
    np.testing.assert_allclose(markov_parameters(model, lags), case["impulse_response"], rtol=1e-13, atol=1e-13)
    truth = np.array(case["lag_kernel"], float)
    for kernel in (lag_kernel(model, lags), response_kernel(model, lags)):
        np.testing.assert_allclose(flat(kernel), truth, rtol=0, atol=1e-12 * np.abs(truth).max())


def test_one_unit_in_closed_form():
    w, f, c = 3.0, 2.0, 5.0
    kernel = lag_kernel(network(*(np.array([[value]]) for value in (w, f, c))), 4)[..., 0, 0, 0, 0]
    j, k = np.mgrid[:4, :4].astype(float)
    mixed = np.where(j * k > 0, j * k * w ** (j + k - 2), 0)
    np.testing.assert_allclose(kernel, (f**2 + c**2) * w ** (j + k) + c**2 * f**2 * mixed, rtol=1e-13)
    assert (kernel[0, 0], round(kernel[1, 1])) == (29, 361)


def test_parts_add_up_and_frozen_weights_drop_out():
    model = build(RNN(2, 5, 3, "linear", bias=False, parametrisation="ntk_unit"), 1, np.float64)
    parts = [lag_kernel(model, 6, (name,)) for name in ("readout", "weight_ih", "weight_hh")]
    np.testing.assert_allclose(sum(parts), lag_kernel(model, 6), rtol=1e-13)
    assert not parts[2][0].any()


@pytest.mark.parametrize("parametrisation", ["standard", "ntk", "ntk_unit", "mean_field"])
def test_two_ways_agree(parametrisation):
    model = build(RNN(2, 4, 2, "linear", bias=False, parametrisation=parametrisation), 2, np.float64)
    np.testing.assert_allclose(lag_kernel(model, 5), response_kernel(model, 5), rtol=1e-11, atol=1e-13)


def test_kernels_are_symmetric_and_positive():
    found = np.linalg.eigvalsh(flat(response_kernel(stack(), 4)))
    assert found[0] >= -1e-12 * found[-1]


def test_stacks_by_the_jacobian():
    model = stack()
    with precision(np.float64):
        weights = jax.tree.map(jnp.asarray, model.weights)
        slopes = jax.jacrev(lambda w: _responses(model.architecture, w, 4))(weights)
        rows = np.concatenate([np.asarray(leaf).reshape(8, -1) for leaf in jax.tree.leaves(slopes)], 1)
    np.testing.assert_allclose(flat(response_kernel(model, 4)), rows @ rows.T, rtol=1e-11, atol=1e-13)


def _responses(architecture, weights, lags):
    """Answers to an impulse, written once more."""
    zero = jax.tree.map(jnp.zeros_like, architecture.start(weights))
    answers = [architecture.run(weights, zero, jnp.zeros((lags, 2)).at[0, k].set(1.0))[1] for k in range(2)]
    return jnp.stack(answers, -1)


def test_the_prior_is_the_diagonal():
    model = build(RNN(2, 30, 3, "linear", bias=False, parametrisation="ntk"), 0, np.float64)
    kernel, prior = lag_kernel(model, 7), memory_prior(model, 7)
    expected = [np.mean([kernel[j, j, a, a, p, p] for a in range(3) for p in range(2)]) for j in range(7)]
    np.testing.assert_allclose(prior.value, expected, rtol=1e-13)
    assert 0 < prior.statistics["correlation"] < 1
    assert 1 < prior.statistics["effective_lags"] <= 7


def test_wide_networks_have_the_prior_of_their_variances():
    """rho_j = 2 v^j + j v^(j-1), up to a few percent for 2,000 units."""
    model = build(RNN(1, 2000, 1, "linear", bias=False, parametrisation="ntk", variance=0.5), 0, np.float64)
    j = np.arange(6)
    rho = 2 * 0.5**j + j * 0.5 ** np.maximum(j - 1.0, 0)
    np.testing.assert_allclose(memory_prior(model, 6).value, rho, rtol=0.15)


def test_tangent_kernel_of_a_linear_model_follows_from_its_lags():
    model = build(RNN(1, 6, 1, "linear", bias=False, parametrisation="ntk"), 3, np.float64)
    x = np.random.default_rng(0).standard_normal((3, 5, 1))
    theta = lag_kernel(model, 5)[..., 0, 0, 0, 0]
    lagged = x[:, ::-1, 0]
    np.testing.assert_allclose(tangent_kernel(model, x), lagged @ theta @ lagged.T, rtol=1e-11)
    everything = tangent_kernel(model, x, last=False)
    np.testing.assert_allclose(everything[4::5, 4::5], lagged @ theta @ lagged.T, rtol=1e-11)


def test_blocks_do_not_show(monkeypatch):
    model, x = build(RNN(1, 4, 2), 0, np.float64), np.random.default_rng(0).standard_normal((5, 3, 1))
    whole = tangent_kernel(model, x, last=False)
    monkeypatch.setattr("hitherto.measures.tangent_kernel.BLOCK", 7)
    np.testing.assert_allclose(tangent_kernel(model, x, last=False), whole, rtol=1e-12)
    np.testing.assert_array_equal(whole, whole.T)


def test_drift():
    model, x = build(RNN(1, 4, 1), 0, np.float64), np.random.default_rng(0).standard_normal((4, 3, 1))
    assert kernel_drift(model, model, x).value == 0
    assert kernel_drift(model, model, x).statistics["training"] == "lazy"
    moved = Model(model.architecture, jax.tree.map(lambda w: 3 * np.asarray(w), model.weights))
    assert kernel_drift(model, moved, x).statistics["training"] == "rich"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: lag_kernel(build(RNN(1, 2, 1)), 3), "not linear"),
        (lambda: lag_kernel(build(RNN(1, 2, activation="linear")), 3), "with a readout"),
        (lambda: lag_kernel(stack(), 3), "response_kernel"),
        (lambda: lag_kernel(given(CASES[0]), 0), "lags=0"),
        (lambda: lag_kernel(given(CASES[0]), 2, ("bias_ih",)), "bias_ih"),
        (lambda: tangent_kernel(stack(), np.zeros((2, 3, 1))), r"\(sequence, time, 2\), found \(2, 3, 1\)"),
        (lambda: kernel_drift(stack(), given(CASES[0]), np.zeros((2, 3, 2))), "one architecture"),
    ],
)
def test_refusals(ask, said):
    with pytest.raises(ValueError, match=said):
        ask()
