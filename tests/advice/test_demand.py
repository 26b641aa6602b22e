"""The memory that data ask for, on series whose memory is known."""

import json

import numpy as np
import pytest

from hitherto.advice.demand import memory_demand, request_of

STEPS = 1500
RNG = np.random.default_rng(0)
WHITE = RNG.standard_normal((STEPS, 2))


def noise(scale, shape=STEPS, seed=5):
    return scale * np.random.default_rng(seed).standard_normal(shape)


def autoregression(coefficients, steps=STEPS, seed=1):
    x, shocks = np.zeros(steps + 300), np.random.default_rng(seed).standard_normal(steps + 300)
    for t in range(len(coefficients), len(x)):
        x[t] = sum(c * x[t - 1 - i] for i, c in enumerate(coefficients)) + shocks[t]
    return x[300:]


def narma(steps=3000, seed=2):
    """Inputs u[t], y[t] and answers y[t+1] = 0.3 y + 0.05 y (y[t-9] + ... + y[t]) + 1.5 u[t-9] u[t] + 0.1."""
    u, y = np.random.default_rng(seed).uniform(0, 0.5, steps + 300), np.zeros(steps + 301)
    for t in range(9, len(u)):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return u[300:], y[300:-1], y[301:]


@pytest.mark.parametrize(("delay", "scale"), [(0, 0.3), (3, 0.3), (17, 0.8)])
def test_pure_delays(delay, scale):
    found = memory_demand(WHITE[:, 0], np.roll(WHITE[:, 0], delay) + noise(scale))
    assert (found.lag.value, found.lag.low, found.lag.high) == (delay,) * 3
    assert found.rank.low <= delay + 1 == found.rank.value
    assert not found.nonlinear
    assert found.information.argmax() == delay
    assert found.information[delay] > found.information_chance


def test_exact_delays_need_no_noise():
    found = memory_demand(WHITE[:, 0], np.roll(WHITE[:, 0], 5))
    assert found.lag.value == found.lag.high == 5
    assert found.rank.value == found.rank.high == 6


def test_delays_of_two_channels():
    found = memory_demand(WHITE, np.roll(WHITE, 5, axis=0) + noise(0.3, (STEPS, 2)))
    assert (found.lag.low, found.lag.high) == (5, 5)
    assert found.rank.value == 12
    assert found.channels == 2


@pytest.mark.parametrize("coefficients", [(0.8,), (0.5, -0.6), (0.3, -0.2, 0.2, -0.5)])
def test_autoregressions_need_their_order(coefficients):
    found = memory_demand(autoregression(coefficients))
    order = len(coefficients)
    assert found.lag.low <= order - 1 <= found.lag.high
    assert found.lag.value == order - 1
    assert found.rank.low <= order <= found.rank.high
    assert not found.nonlinear


def test_narma_10_needs_ten_steps_of_inputs_and_outputs():
    u, y, answers = narma()
    found = memory_demand(np.stack([u, y], 1), answers)
    assert found.lag.low <= 9 <= found.lag.high
    assert found.nonlinear
    assert request_of(found).nonlinear


def test_narma_10_from_inputs_alone_echoes_longer_than_ten_steps():
    u, _, answers = narma()
    found = memory_demand(u, answers)
    assert 9 <= found.lag.value <= 15
    assert found.nonlinear
    assert found.gains[0].value.max() < found.gains[2].value.max() - 0.05


@pytest.mark.parametrize("window", [2, 3, 5])
def test_parity_has_no_linear_gain(window):
    bits = np.random.default_rng(3).choice([-1.0, 1.0], STEPS)
    found = memory_demand(bits, np.prod([np.roll(bits, i) for i in range(window)], 0))
    assert found.lag.low <= window - 1 <= found.lag.high
    assert found.nonlinear
    assert found.rank is None
    assert found.gains[0].value.max() < 0.01


def test_a_square_far_back():
    found = memory_demand(WHITE[:, 0], np.roll(WHITE[:, 0], 30) ** 2)
    assert found.lag.value == 30
    assert found.nonlinear
    assert found.information.argmax() == 30


def test_shuffled_noise_and_unrelated_series_ask_for_nothing():
    shuffled = autoregression((0.9, -0.5))
    np.random.default_rng(0).shuffle(shuffled)
    slow = [autoregression((0.95,), seed=seed) for seed in (7, 8)]  # each predicts itself, none the other
    for found in (memory_demand(shuffled), memory_demand(*slow)):
        assert found.lag is None
        assert found.rank is None
        assert "no memory" in found.sentence
        with pytest.raises(ValueError, match="want no recurrence"):
            request_of(found)


@pytest.mark.parametrize(
    ("given", "wishes", "told"),
    [
        (np.zeros((500, 0)), {}, "got float64 of shape"),
        (WHITE, dict(longest=0), "longest=0"),
        (WHITE, dict(longest=-5), "longest=-5"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(given, wishes, told):
    with pytest.raises(ValueError, match=told):
        memory_demand(given, **wishes)


def test_false_alarms_are_rare():
    alarms = [memory_demand(noise(1.0, 400, seed)).lag is not None for seed in range(100)]
    assert sum(alarms) <= 8


def test_intervals_cover_the_delay():
    covered = []
    for seed in range(20):
        x = noise(1.0, 500, seed)
        lag = memory_demand(x, np.roll(x, 4) + noise(2.0, 500, 100 + seed)).lag
        covered.append(lag is not None and lag.low <= 4 <= lag.high)
    assert sum(covered) >= 18


def test_sequences_and_scales_do_not_matter():
    x = WHITE[:, 0]
    whole = memory_demand(x, np.roll(x, 3) + noise(0.3))
    scaled = memory_demand(100 * x + 7, -5 * (np.roll(x, 3) + noise(0.3)))
    np.testing.assert_allclose(scaled.gains[0].value, whole.gains[0].value, rtol=1e-9)
    several = memory_demand(x.reshape(10, 150, 1), (np.roll(x, 3) + noise(0.3)).reshape(10, 150, 1))
    assert several.lag.value == 3


def test_contexts_at_once_are_contexts_fitted_one_by_one():
    x = WHITE[:400, 0]
    y = np.roll(x, 2) + 0.5 * np.roll(x, 4) + noise(0.5, 400)
    found = memory_demand(x, y, longest=6).gains[0].value
    x, y = ((one - one.mean()) / one.std() for one in (x, y))
    lagged = np.stack([x[6 - lag : 400 - lag] for lag in range(7)], 1)
    lagged, y = lagged - lagged.mean(0), y[6:]
    for lag in (1, 4):
        losses = []
        for block in np.array_split(np.arange(394), 10):
            far = np.r_[: max(0, block[0] - 6), block[-1] + 7 : 394]
            weights = np.linalg.lstsq(lagged[far, : lag + 1], y[far])[0]
            losses.append(np.square(y[block] - lagged[block, : lag + 1] @ weights).mean())
        assert found[lag] == pytest.approx(1 - np.mean(losses) / y.var(), abs=1e-5)


def test_the_least_context_is_looked_at():
    assert memory_demand(WHITE[:, 0], np.roll(WHITE[:, 0], 3), longest=2).lag is None


def test_request_has_lag_and_rank_of_the_data():
    request = request_of(memory_demand(WHITE, np.roll(WHITE, 5, axis=0) + noise(0.3, (STEPS, 2))), parameters=500)
    assert (request.lag, request.channels, request.rank, request.budget) == (5, 2, 12, 500)


def test_json():
    found = json.loads(json.dumps(memory_demand(WHITE[:300, 0]).to_dict()))
    assert found["lag"] is None
    assert len(found["gains"]) == 5


@pytest.mark.parametrize(
    ("inputs", "targets", "told"),
    [
        (np.zeros(500), None, "constant"),
        (np.full(500, np.nan), None, "NaN"),
        (np.ones(100), None, "needs 200 steps or more"),
        (np.array(["a"] * 500), None, "must be real numbers"),
        (WHITE[:500], WHITE[:400], "align them"),
        (np.zeros((2, 2, 2, 200)), None, "must be real numbers"),
    ],
)
def test_refusals(inputs, targets, told):
    with pytest.raises(ValueError, match=told):
        memory_demand(inputs, targets)
