"""The wide linear RNN as an estimator: closed forms against steps, likelihoods against the whole Gaussian, memory."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_equations import normal_equations
from hitherto.theory.linear_bias_evidence import evidence
from hitherto.theory.linear_bias_kernels import Leaky, Orthogonal
from hitherto.training import wide_linear
from hitherto.training.wide_linear import WideLinearRNN


def data(sequences=12, length=9, inputs=2, outputs=2, decay=0.6, noise=0.1, seed=0):
    """Answers of a decaying filter."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((sequences, length, inputs))
    response = draw.standard_normal((length, outputs, inputs)) * decay ** np.arange(length)[:, None, None]
    y = np.zeros((sequences, length, outputs))
    for j in range(length):
        y[:, j:] += x[:, : length - j] @ response[j].T
    return x, y + noise * draw.standard_normal(y.shape)


def stepped(x, y, prior, rate, steps):
    """Gradient descent on the impulse response, lag by lag."""
    sequences, length, _ = x.shape
    response = np.zeros((length, y.shape[2], x.shape[2]))
    for _ in range(steps):
        errors = -y.copy()
        for j in range(length):
            errors[:, j:] += x[:, : length - j] @ response[j].T
        slopes = [np.einsum("nto,nti->oi", errors[:, j:], x[:, : length - j]) for j in range(length)]
        response = response - rate * prior[:, None, None] * np.array(slopes) / (sequences * length)
    return response


def largest(x, y, prior):
    h = normal_equations(x, y).hessian
    root = np.sqrt(np.repeat(prior, x.shape[2]))
    return np.linalg.eigvalsh(root[:, None] * h * root)[-1]


def test_descent_is_descent():
    x, y = data()
    prior = lag_weights(Gaussian(0.5), 9)
    found = WideLinearRNN(Gaussian(0.5), method="descent", steps=40, rate=0.7).fit(x, y)
    truth = stepped(x, y, prior, 0.7 / largest(x, y, prior), 40)
    np.testing.assert_allclose(found.impulse_response_, truth, rtol=1e-10, atol=1e-12)
    assert found.training_loss_ == pytest.approx(np.square(found.predict(x) - y).sum() / (2 * 12 * 9))
    assert found.time_ == 28


def test_steps_by_fourier_transforms_agree(monkeypatch):
    x, y = data()
    closed = WideLinearRNN(Gaussian(0.5), method="descent", steps=30, rate=0.5).fit(x, y)
    monkeypatch.setattr(wide_linear, "CLOSED", 5)
    rough = WideLinearRNN(Gaussian(0.5), method="descent", steps=30, rate=0.5).fit(x, y)
    assert rough.modes_ is None
    assert abs(rough.training_loss_ / closed.training_loss_ - 1) < 0.05
    monkeypatch.setattr(wide_linear, "_largest", lambda *_: largest(x, y, lag_weights(Gaussian(0.5), 9)))
    found = WideLinearRNN(Gaussian(0.5), method="descent", steps=30, rate=0.5).fit(x, y)
    np.testing.assert_allclose(found.impulse_response_, closed.impulse_response_, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="more than the 5"):
        WideLinearRNN(method="ridge").fit(x, y)


def test_trained_to_the_end_it_is_least_squares():
    x, y = data(sequences=40)
    found = WideLinearRNN(Gaussian(0.9), method="limit").fit(x, y)
    equations = normal_equations(x, y)
    truth = np.linalg.solve(equations.hessian, equations.moment)
    np.testing.assert_allclose(found.impulse_response_.transpose(0, 2, 1).reshape(18, 2), truth, rtol=1e-8)
    plain = WideLinearRNN(None, method="limit").fit(x, y)
    np.testing.assert_allclose(plain.impulse_response_, found.impulse_response_, rtol=1e-7)


def test_a_short_memory_does_not_see_long_delays():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((60, 30, 1))
    y = np.concatenate([np.zeros((60, 12, 1)), x[:, :-12]], 1)
    short, long = (WideLinearRNN(Gaussian(nu), time=100).fit(x, y).score(x, y) for nu in (0.3, 0.9))
    assert short < 0.05
    assert long > 0.95


def test_likelihood_is_that_of_the_gaussian():
    x, y = data(sequences=3, length=5, inputs=1, outputs=1)
    prior = lag_weights(Gaussian(0.6), 5)
    found = evidence(normal_equations(x, y), prior, 15)
    design = np.zeros((15, 5))
    for n in range(3):
        for t in range(5):
            design[5 * n + t, : t + 1] = x[n, t::-1, 0]
    spread = found.noise * found.time / 15
    covariance = found.noise * np.eye(15) + spread * design * prior @ design.T
    direct = multivariate_normal(np.zeros(15), covariance).logpdf(y.ravel())
    assert found.log_likelihood == pytest.approx(direct, abs=1e-9)
    for noise, other in ((1.1, 1.0), (1.0, 1.3), (0.9, 0.8)):  # no better elsewhere
        moved = noise * found.noise * np.eye(15) + other * spread * design * prior @ design.T
        assert multivariate_normal(np.zeros(15), moved).logpdf(y.ravel()) <= direct + 1e-9


def test_the_memory_that_data_want():
    for decay, low, high in ((0.3, 0.0, 0.35), (0.9, 0.6, 0.99)):
        x, y = data(sequences=60, length=20, inputs=1, outputs=1, decay=decay)
        for by in ("likelihood", "held-out"):
            found = WideLinearRNN().choose_memory(x, y, by)
            if by == "likelihood":
                assert low <= found.initialisation.nu_W <= high
            assert 0 < found.initialisation.nu_W < 1
            assert found.score(x, y) > 0.9


@pytest.mark.parametrize("start", [Orthogonal(0.9), Leaky(0.5, 0.3)])
def test_other_starts(start):
    x, y = data()
    assert WideLinearRNN(start).fit(x, y).score(x, y) > 0.5


def test_learning_curves_fall():
    x, y = data()
    found = WideLinearRNN(time=50).fit(x, y)
    curve = found.learning_curve([0, 1, 10, 50])
    assert (np.diff(curve) < 0).all()
    assert curve[0] == pytest.approx(np.square(y).sum() / (2 * y.shape[0] * y.shape[1]))
    assert curve[-1] == pytest.approx(found.training_loss_)


def test_one_sequence_of_one_channel():
    x = np.random.default_rng(0).standard_normal(200)
    y = np.convolve(x, [1.0, 0.5])[:200]
    found = WideLinearRNN(lags=4).fit(x, y)
    assert found.predict(x).shape == (200,)
    assert WideLinearRNN(lags=4).fit(x, y[:, None]).predict(x).shape == (200, 1)
    np.testing.assert_allclose(found.impulse_response_[:, 0, 0], [1, 0.5, 0, 0], atol=1e-6)


def test_conventions_of_estimators():
    base = pytest.importorskip("sklearn.base")
    estimator = WideLinearRNN(Gaussian(0.5), lags=3)
    twin = base.clone(estimator)
    assert twin.get_params() == estimator.get_params()
    assert twin.set_params(lags=5).lags == 5


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda x, y: WideLinearRNN(method="newton").fit(x, y), "there is no method 'newton'"),
        (lambda x, y: WideLinearRNN(rate=2).fit(x, y), "rate between 0 and 2"),
        (lambda x, y: WideLinearRNN(time=-1).fit(x, y), "time=-1"),
        (lambda x, y: WideLinearRNN().fit(x, y[:, :-1]), "a target to every step"),
        (lambda x, y: WideLinearRNN().fit(np.where(x > 2, np.nan, x), y), "nan"),
        (lambda x, y: WideLinearRNN().predict(x), "call fit"),
        (lambda x, y: WideLinearRNN(lags=20).fit(x, y), "lags=20"),
        (lambda x, y: WideLinearRNN(None).choose_memory(x, y), "give a Gaussian start"),
        (lambda x, y: WideLinearRNN().choose_memory(x, y, "eye"), "way to choose"),
        (lambda x, y: WideLinearRNN().set_params(lag=3), "setting 'lag'"),
        (lambda x, y: WideLinearRNN(Gaussian(0.5), lags=2, method="evidence").fit(x, x), "without any noise"),
    ],
)
def test_refusals(ask, said):
    with pytest.raises(ValueError, match=said):
        ask(*data())
