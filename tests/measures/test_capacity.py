"""Linear memory and processing capacity against exact values, with simulated states."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from hitherto.measures import _regression
from hitherto.measures._regression import basis_of, sweep
from hitherto.measures._statistics import jackknife_error
from hitherto.measures._targets import legendre, predictor_of, whitened
from hitherto.measures.capacity import linear_memory, processing_capacity

ORACLES = Path(__file__).parents[1] / "oracles"
TRUTH = json.loads((ORACLES / "measures_oracles.json").read_text())
PEER = json.loads((ORACLES / "reservoirpy_memory.json").read_text())
EDGE = 3**0.5


def noise(seed, sequences=32, steps=500, lead=100, channels=1, edge=EDGE):
    return np.random.default_rng(seed).uniform(-edge, edge, (sequences, lead + steps, channels))


def driven(weight_hh, weight_ih, inputs, lead=100, activation=lambda a: a):
    h = np.zeros((len(inputs), len(weight_hh)))
    states = []
    for x in np.moveaxis(inputs, 1, 0):
        h = activation(h @ np.transpose(weight_hh) + x @ np.transpose(weight_ih))
        states.append(h)
    return np.stack(states, 1)[:, lead:]


def past(inputs, lag, lead=100):
    """x[t - lag] for the steps after the lead."""
    return inputs[:, lead - lag : inputs.shape[1] - lag]


def ring(units, gain):
    return gain * np.roll(np.eye(units), 1, 0), np.eye(units)[:, :1]


def ring_memory(units, gain, lags):
    return (1 - gain ** (2 * units)) * gain ** (2 * units * (np.arange(lags) // units))


def capacities(states, inputs, **options):
    return processing_capacity(states, inputs, low=-EDGE, high=EDGE, **options)


def within(estimate, truth, errors=4.0, slack=1e-9):
    return bool((np.abs(estimate.value - truth) <= errors * np.asarray(estimate.standard_error) + slack).all())


def covers(estimate, truth):
    return (estimate.low - 1e-9 <= truth) & (truth <= estimate.high + 1e-9)


# Exact values


@pytest.mark.parametrize("name", TRUTH["linear"])
def test_linear_networks_remember_what_theory_says(name):
    case = TRUTH["linear"][name]
    inputs = noise(1, lead=200, channels=len(case["B"][0]))
    by_lag, total, noisy = linear_memory(driven(case["W"], case["B"], inputs, lead=200), inputs)
    curve = np.array(case["mc"])
    assert (np.abs(by_lag.value[: len(curve)] - curve) <= 5 * by_lag.standard_error[: len(curve)] + 1e-9).all()
    assert within(total, case["mc_total"])
    assert total.statistics["rank"] == case["rank"]
    assert noisy.value == pytest.approx(total.value, abs=1e-3)


def test_delay_line_is_a_step():
    case = TRUTH["linear"]["delay_line_5"]
    inputs = noise(2)
    by_lag, total, _ = linear_memory(driven(case["W"], case["B"], inputs), inputs, max_lag=9)
    np.testing.assert_allclose(by_lag.value[:5], 1, atol=1e-10)
    np.testing.assert_allclose(by_lag.standard_error[:5], 0, atol=1e-9)
    assert np.abs(by_lag.value[5:]).max() < 0.002
    assert by_lag.axes["lag"].tolist() == list(range(10))
    assert total.statistics["raw_total"] > total.value


def test_copies_count_once():
    inputs = noise(3)
    unit = driven([[0.8]], [[1.0]], inputs)
    _, total, noisy = linear_memory(unit * np.array([1.0, -3.0, 1e-5, 7.0]), inputs)
    assert total.statistics["rank"] == 1
    assert total.statistics["bound"] == 4
    assert within(total, 1.0)
    assert within(noisy, 1.0)


def test_tiny_unit_counts_only_without_noise():
    inputs = noise(4)
    states = np.concatenate([past(inputs, 0), 1e-5 * past(inputs, 3)], 2)
    _, total, noisy = linear_memory(states, inputs, max_lag=5)
    assert total.value == pytest.approx(2, abs=0.01)
    assert noisy.value == pytest.approx(1, abs=0.01)


def test_noisy_capacity_is_that_of_noisy_states():
    inputs = noise(5)
    weight_hh, weight_ih = ring(6, 0.6)
    states = driven(weight_hh, weight_ih, inputs)
    noisy = basis_of(states, np.float64).with_noise(0.5)
    series = np.moveaxis(inputs, 2, 0)[None]
    fits = sweep(noisy, series, 1, 12)
    level = np.sqrt(0.5 * states.var((0, 1)).mean())
    rough = states + level * np.random.default_rng(6).standard_normal(states.shape)
    expected = sweep(basis_of(rough, np.float64), series, 1, 12)
    np.testing.assert_allclose(fits.capacity, expected.capacity, atol=0.02)


def test_one_hot_inputs_of_a_token_delay_line():
    tokens = np.random.default_rng(7).choice(5, (32, 600), p=[0.4, 0.3, 0.2, 0.06, 0.04])
    inputs = np.eye(5)[tokens]
    states = np.concatenate([past(inputs, lag) for lag in range(3)], 2)
    by_lag, total, _ = linear_memory(states, inputs, max_lag=6)
    np.testing.assert_allclose(by_lag.value[:3], 4, atol=1e-9)
    assert total.statistics["rank"] == 12
    assert total.statistics["directions"] == 4
    assert within(total, 12.0)


def test_all_channels_of_white_inputs_are_followed():
    inputs = noise(8, steps=300, lead=20, channels=70)
    by_lag, total, _ = linear_memory(inputs[:, 20:], inputs, max_lag=2)
    assert total.statistics["directions"] == 70
    np.testing.assert_allclose(by_lag.value, [70, 0, 0], atol=0.6)


def test_many_coloured_channels_are_followed_along_32_directions():
    inputs = noise(16, steps=300, lead=20, channels=70)
    _, total, _ = linear_memory(inputs[:, 20:], inputs, white=False, max_lag=2)
    assert total.statistics["directions"] == 32
    assert any("only the 32 of 70 input directions" in line for line in total.assumptions)


PRODUCTS = {
    "product": (lambda x, p: p(1) * p(2), [0, 1, 0]),
    "square": (lambda x, p: p(1) ** 2, [0, 1, 0]),
    "cube": (lambda x, p: p(1) ** 3, [TRUTH["ipc"]["cube"]["degree1"], 0, TRUTH["ipc"]["cube"]["degree3"]]),
    "product3": (lambda x, p: p(0) * p(2) * p(5), [0, 0, 1]),
    "sign": (lambda x, p: np.sign(p(1)), [0.75, 0, 0.109375]),
    "sign_product": (lambda x, p: np.sign(p(1) * p(2)), [0, 0.5625, 0]),
    "product_with_taps": (lambda x, p: np.concatenate([p(0), p(1), p(1) * p(2)], 2), [2, 1, 0]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_found_in_their_degree(name):
    make, truth = PRODUCTS[name]
    inputs = noise(9)
    whole, found, share = capacities(make(inputs, lambda lag: past(inputs, lag)), inputs)
    assert within(whole, np.array(truth), errors=4.5)
    np.testing.assert_allclose(found.value, truth, atol=0.02)
    assert share.value == pytest.approx(truth[0] / sum(truth), abs=0.05)


def test_strongest_product_is_named():
    inputs = noise(10, channels=2)
    states = inputs[:, 97:597, :1] ** 2 * inputs[:, 98:598, 1:] - inputs[:, 98:598, 1:]
    _, _, share = capacities(states, inputs)
    strongest = share.statistics["strongest"][0]
    assert strongest["lags"] == [3, 2]
    assert strongest["channels"] == [0, 1]
    assert strongest["degrees"] == [2, 1]
    assert strongest["r2"] == pytest.approx(1, abs=1e-9)


def test_other_input_range_is_mapped():
    inputs = noise(11, edge=0.2) + 3
    whole, _, share = processing_capacity((past(inputs, 1) - 3) ** 2, inputs, low=2.8, high=3.2)
    assert within(whole, np.array([0, 1, 0]))
    assert share.value == pytest.approx(0, abs=0.05)


def test_linear_network_has_no_products():
    case = TRUTH["linear"]["ring_4_r0.9"]
    inputs = noise(12)
    whole, found, share = capacities(driven(case["W"], case["B"], inputs), inputs)
    assert within(whole, np.array([4.0, 0, 0]), errors=4.5)
    np.testing.assert_allclose(found.value[1:], 0, atol=0.005)
    assert share.low < 1 < share.high


def leaky(inputs, lead=100):
    """Scalar GRU without recurrence in its candidate: h = (1 - z) tanh(w x) + z h."""
    gru = TRUTH["gru_leaky"]
    z, w = gru["z"], gru["w_n"]
    return driven([[z]], [[1.0]], (1 - z) * np.tanh(w * inputs / EDGE), lead)


def leaky_truth(fits_lags):
    z = TRUTH["gru_leaky"]["z"]
    shares = TRUTH["ipc"]["gru_leaky"]["share_by_degree"][:3]
    return np.array([s * (1 - z ** (2 * lags)) for s, lags in zip(shares, fits_lags, strict=True)])


def test_leaky_gru():
    inputs = noise(13, lead=200, steps=1000)
    whole, _, _ = capacities(leaky(inputs, 200), inputs, max_lag=29)
    assert whole.statistics["lags"] == [30, 30, 30]
    assert within(whole, leaky_truth([30, 30, 30]))
    by_lag, total, _ = linear_memory(leaky(inputs, 200), inputs, max_lag=60)
    single = np.array(TRUTH["ipc"]["gru_leaky"]["capacity_single_lag"]["degree1"])
    assert (np.abs(by_lag.value[:8] - single) < 4.5 * by_lag.standard_error[:8]).all()
    assert within(total, TRUTH["ipc"]["gru_leaky"]["total_degree1"])


@pytest.mark.parametrize("count", TRUTH["ipc"]["counts"])
def test_number_of_products(count):
    terms = [t for lag in range(count["variables"]) for t in _regression.terms_at(lag, count["degree"], 1)]
    assert len(set(terms)) == len(terms) == count["terms"]
    assert all(max(lag for lag, _ in t) == t[0][0] for t in terms)


def test_products_of_channels_are_complete():
    terms = [tuple(sorted(t)) for lag in range(2) for t in _regression.terms_at(lag, 3, 3)]
    assert len(set(terms)) == len(terms) == 56  # C(2 * 3 + 2, 3)


@pytest.mark.parametrize("pair", TRUTH["ipc"]["null_factor"])
def test_chance_is_larger_where_state_and_target_share_inputs(pair):
    state, target = (int(part[-1]) for part in pair.split(","))
    x = noise(14, sequences=40, steps=5000, lead=0, edge=1)
    series = np.stack([np.moveaxis(legendre(x, d), 2, 0) for d in range(1, target + 1)])
    fits = sweep(basis_of(legendre(x, state), np.float64), series, target, 1)
    # Of degree D the last product at lag 0 is the pure power.
    assert fits.null_excess[-1] == pytest.approx(TRUTH["ipc"]["null_factor"][pair], rel=0.02)


# Bias


def test_chance_does_not_add_up_to_memory():
    raw, adjusted = [], []
    for seed in range(25):
        inputs = noise([15, seed], steps=200)
        _, total, _ = linear_memory(driven(*ring(8, 0.9), inputs), inputs, max_lag=39)
        raw.append(total.statistics["raw_total"])
        adjusted.append(total.value)
    truth = ring_memory(8, 0.9, 40).sum()
    spread = np.std(adjusted, ddof=1) / 5
    assert abs(np.mean(adjusted) - truth) < 3.5 * spread
    # 40 lags of 8 / 6400, less where much is explained already
    assert np.mean(raw) - np.mean(adjusted) == pytest.approx(0.04, abs=0.006)


def test_chance_does_not_add_up_to_products():
    raw, adjusted = [], []
    for seed in range(40):
        inputs = noise([16, seed], steps=200, lead=20)
        states = np.concatenate([past(inputs, lag, 20) for lag in range(3)], 2)
        whole, _, _ = capacities(states, inputs, max_lag=5)
        adjusted.append(whole.value[2])
        raw.append(whole.statistics["raw_totals"][2])
    error = np.std(adjusted, ddof=1) / np.sqrt(40)
    unrelated = 3 / (whole.statistics["samples"] - 1) * whole.statistics["terms"][2]
    assert abs(np.mean(adjusted)) < 3 * error
    assert np.mean(raw) - unrelated > 4 * error


def autoregressive(rng, coefficient, shape):
    x = rng.standard_normal(shape)
    x[:, 0] /= np.sqrt(1 - coefficient**2)
    for t in range(1, shape[1]):
        x[:, t] += coefficient * x[:, t - 1]
    return x


def test_coloured_states_do_not_remember_an_unrelated_coloured_input():
    plain, clustered = [], []
    for seed in range(100):
        rng = np.random.default_rng([17, seed])
        basis = basis_of(autoregressive(rng, 0.9, (32, 200, 5)), np.float64)
        target = np.moveaxis(autoregressive(rng, 0.9, (32, 200, 1)), 2, 0)[None]
        plain.append(sweep(basis, target, 1, 1).capacity[0])
        clustered.append(sweep(basis, target, 1, 1, white=False).capacity[0])
    assert np.mean(plain) == pytest.approx(0.0062, abs=0.0015)
    assert abs(np.mean(clustered)) < 3 * np.std(clustered, ddof=1) / 10


def test_memoryless_state_of_a_coloured_input():
    x = autoregressive(np.random.default_rng(18), 0.8, (32, 600, 1))
    by_lag, total, _ = linear_memory(x[:, 100:], x, white=False, max_lag=8)
    lags = np.arange(9)
    assert within(by_lag, 0.36 * 0.64**lags, errors=4.5)
    assert total.value == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(by_lag.statistics["free_memory"], 0.64**lags, atol=0.03)


def test_innovations_of_mixed_channels():
    rng = np.random.default_rng(19)
    coefficients = np.array([[0.5, 0.3], [-0.4, 0.6]]), np.array([[0.0, 0.2], [-0.3, 0.0]])
    x = rng.standard_normal((20, 500, 2))
    driving = x.copy()
    for t in range(2, 500):
        x[:, t] += x[:, t - 1] @ coefficients[0].T + x[:, t - 2] @ coefficients[1].T
    mixed = whitened(x @ np.array([[1.0, 2.0], [0.0, 1e-3]]))
    predictor = predictor_of(mixed)
    found = predictor.innovations(mixed)
    assert predictor.order == 2
    shared = np.einsum("sti,stj->ij", found, driving[:, 2:]) / found[..., 0].size
    np.testing.assert_allclose(np.linalg.svd(shared)[1], 1, atol=0.02)


# Precision


def test_capacity_is_limited_by_precision_and_noisy_capacity_is_not():
    rng = np.random.default_rng(20)
    weight_hh = rng.standard_normal((60, 60))
    weight_hh *= 0.9 / np.abs(np.linalg.eigvals(weight_hh)).max()
    weight_ih = rng.standard_normal((60, 1))
    inputs = noise(21, sequences=20, steps=1000, lead=200)
    states = driven(weight_hh, weight_ih, inputs, 200)
    _, double, noisy_double = linear_memory(states, inputs, max_lag=149)
    _, single, noisy_single = linear_memory(states.astype(np.float32), inputs, max_lag=149)
    told = linear_memory(states.astype(np.float32).astype(float), inputs, state_precision="float32", max_lag=149)
    assert 24 < single.statistics["rank"] < 36 < double.statistics["rank"] < 60
    assert single.value == pytest.approx(single.statistics["rank"], rel=0.01)
    assert double.value == pytest.approx(double.statistics["rank"], rel=0.01)
    assert noisy_single.value == pytest.approx(noisy_double.value, rel=2e-3)
    assert noisy_double.value < 0.95 * single.value
    assert told[1].value == pytest.approx(single.value, rel=1e-6)


# Invariance


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(22)
    inputs = noise(23, sequences=12, steps=200, lead=40)
    weight_hh = 0.8 * np.linalg.qr(rng.standard_normal((6, 6)))[0]
    return driven(weight_hh, rng.standard_normal((6, 1)), inputs, 40, np.tanh), inputs


CHANGES = {
    "permuted units": lambda s, x: (s[..., ::-1], x),
    "an orthogonal basis": lambda s, x: (
        s @ np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0],
        x,
    ),
    "a unit that never changes": lambda s, x: (np.concatenate([s, np.full_like(s[..., :1], 0.3)], 2), x),
    "another order of sequences": lambda s, x: (s[::-1], x[::-1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_must_not_matter(change, network):
    changed = CHANGES[change](*network)
    pairs = zip(
        [*linear_memory(*network), *capacities(*network)],
        [*linear_memory(*changed), *capacities(*changed)],
        strict=True,
    )
    for before, after in pairs:
        np.testing.assert_allclose(after.value, before.value, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(after.standard_error, before.standard_error, rtol=1e-6, atol=1e-10)


def test_scale_of_the_states_does_not_matter(network):
    states, inputs = network
    scaled = linear_memory(states * np.logspace(-6, 6, 6) + 5, inputs)[1]
    assert scaled.value == pytest.approx(linear_memory(states, inputs)[1].value, rel=1e-8)


def test_mixing_the_inputs_does_not_matter():
    case = TRUTH["linear"]["two_inputs"]
    inputs = noise(24, channels=2)
    states = driven(case["W"], case["B"], inputs)
    mixed = inputs @ np.array([[1.0, 3.0], [-2.0, 0.5]])
    before, after = linear_memory(states, inputs)[0], linear_memory(states, mixed)[0]
    np.testing.assert_allclose(after.value, before.value, atol=0.002)


# The jackknife


def without_chance(basis):
    return replace(basis, leverage=np.zeros_like(basis.leverage))


def test_cheap_jackknife_equals_refitting(network):
    states, inputs = network
    series = np.stack([np.moveaxis(legendre(inputs / EDGE, d), 2, 0) for d in (1, 2)])
    basis = basis_of(states, np.float64)
    plain, corrected = sweep(without_chance(basis), series, 2, 8), sweep(basis, series, 2, 8)
    for left_out in range(len(states)):
        others = np.arange(len(states)) != left_out
        refitted = sweep(basis_of(states[others], np.float64), series[:, :, others], 2, 8)
        np.testing.assert_allclose(plain.without[left_out], refitted.raw, rtol=1e-9, atol=1e-12)
        chance = plain.without[left_out] - corrected.without[left_out]
        np.testing.assert_allclose(chance, refitted.raw - refitted.capacity, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize("white", [True, False])
def test_cheap_jackknife_counts_whitening_and_prediction_of_the_inputs(white):
    x = autoregressive(np.random.default_rng(39), 0.0 if white else 0.7, (16, 260, 2))
    x = x @ np.array([[1.0, 0.5], [0.0, 1.0]])
    states = driven(*ring(4, 0.8), x[..., :1], 60) + x[:, 60:, 1:]
    cheap = linear_memory(states, x, white=white, max_lag=8)
    others = [np.arange(16) != left_out for left_out in range(16)]
    refits = [linear_memory(states[o], x[o], white=white, max_lag=8) for o in others]
    for estimate, *refitted in zip(cheap, *refits, strict=True):
        ratio = estimate.standard_error / jackknife_error(np.array([np.atleast_1d(r.value) for r in refitted]))
        # To first order only: channels are whitened over all steps, lags see slightly fewer.
        assert (np.abs(ratio - 1) < 0.25).all()
        assert ratio.mean() == pytest.approx(1, abs=0.12)


def test_jackknife_counts_pairs_of_sequences_once():
    """sum over pairs x_i . x_j / B^2 has the variance B (B - 1) / 2 x dimensions / B^4, all of it from pairs."""
    rng, count, dimensions = np.random.default_rng(40), 24, 400
    plain, once = [], []
    for _ in range(60):
        x = rng.standard_normal((count, dimensions))
        sums = x.sum(0) - x
        without = ((sums**2).sum(1) - (x**2).sum() + (x**2).sum(1)) / 2 / (count - 1) ** 2
        plain.append(jackknife_error(without) ** 2)
        once.append(jackknife_error(without, x @ x.T / count**2) ** 2)
    variance = count * (count - 1) / 2 * dimensions / count**4
    assert np.mean(plain) / variance == pytest.approx(2, abs=0.35)
    assert np.mean(once) / variance == pytest.approx(1, abs=0.2)


def test_interaction_is_what_leaving_out_two_sequences_shows(network):
    states, inputs = network
    series = np.stack([np.moveaxis(legendre(inputs / EDGE, d), 2, 0) for d in (1, 2)])
    whole = sweep(basis_of(states, np.float64), series, 2, 8)

    def total(*left_out):
        others = ~np.isin(np.arange(len(states)), left_out)
        return sweep(basis_of(states[others], np.float64), series[:, :, others], 2, 8).raw.sum()

    shown, told = [], []
    for i, j in combinations(range(6), 2):
        shown.append(total() - total(i) - total(j) + total(i, j))
        told.append(whole.interaction[i, j])
    assert np.corrcoef(shown, told)[0, 1] > 0.9


def test_cheap_jackknife_of_noisy_states_equals_refitting(network):
    states, inputs = network
    series = np.moveaxis(inputs, 2, 0)[None]
    noisy = basis_of(states, np.float64).with_noise(0.1)
    plain = sweep(without_chance(noisy), series, 1, 10)
    level = 0.1 * noisy.variances.sum() / noisy.bound
    for left_out in range(len(states)):
        others = np.arange(len(states)) != left_out
        h = states[others].reshape(-1, 6)
        h = h - h.mean(0)
        for lag in range(10):
            z = past(inputs, lag, 40)[others].ravel()
            z = z - z.mean()
            explained = h.T @ z @ np.linalg.solve(h.T @ h + len(h) * level * np.eye(6), h.T @ z)
            assert plain.without[left_out, lag] == pytest.approx(explained / (z @ z), rel=1e-6, abs=1e-9)


def test_direction_that_lives_in_one_sequence():
    inputs = noise(25, sequences=10, steps=100, lead=20)
    states = np.concatenate([past(inputs, 0, 20), past(inputs, 1, 20)], 2)
    states[1:, :, 1] = 0
    by_lag, _, _ = linear_memory(states, inputs, max_lag=3)
    assert by_lag.value[0] == pytest.approx(1, abs=1e-9)
    assert np.isfinite(by_lag.standard_error).all()
    assert by_lag.standard_error[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("white", [True, False])
def test_token_that_occurs_in_one_sequence(white):
    tokens = np.random.default_rng(41).choice(3, (16, 120))
    tokens[5, 70] = 3
    inputs = np.eye(4)[tokens]
    states = np.concatenate([past(inputs, 0, 20), past(inputs, 1, 20)], 2)
    by_lag, total, _ = linear_memory(states, inputs, white=white, max_lag=4)
    assert by_lag.value[0] == pytest.approx(3, abs=0.01)
    assert (by_lag.standard_error < 1.5).all()
    assert total.value == pytest.approx(6, abs=0.3)


def test_residuals_of_every_few_steps_are_enough(network, monkeypatch):
    few = capacities(*network, max_lag=9)[0]
    monkeypatch.setattr(_regression, "RESIDUAL_SAMPLES", 600)
    fewer = capacities(*network, max_lag=9)[0]
    gap = np.abs(few.value - fewer.value)
    assert (gap > 0).all()
    assert (gap < 0.1 * few.standard_error).all()


# Lags


def test_more_lags_until_nothing_is_left():
    inputs = noise(26, sequences=16, steps=400, lead=400)
    by_lag, total, _ = linear_memory(driven([[0.98]], [[1.0]], inputs, 400), inputs)
    assert 75 <= len(by_lag.value) <= 400
    assert within(total, 1.0)
    assert total.statistics["tail_at_most"] == pytest.approx(1 - total.value)


def test_late_memory_is_not_missed():
    inputs = noise(27)
    by_lag, total, _ = linear_memory(past(inputs, 40), inputs)
    assert by_lag.value[40] == pytest.approx(1)
    assert within(total, 1.0)


def test_inputs_without_lead():
    case = TRUTH["linear"]["delay_line_5"]
    inputs = noise(28, steps=400, lead=0)
    by_lag, total, _ = linear_memory(driven(case["W"], case["B"], inputs, 0), inputs)
    assert total.statistics["samples"] == 32 * 300
    np.testing.assert_allclose(by_lag.value[:5], 1, atol=1e-9)


def test_products_of_many_channels_stay_few():
    inputs = noise(29, sequences=16, steps=60, lead=30, channels=40)
    whole, _, share = capacities(inputs[:, 29:89, :4] * inputs[:, 30:, :4], inputs)
    assert whole.statistics["channels"] == [40, 5, 2]
    assert all(terms <= 5050 for terms in whole.statistics["terms"])
    assert "5 (degree 2) and 2 (degree 3) of 40 channels" in share.cannot_tell


# What the data cannot decide


def test_too_few_sequences_give_a_number_without_interval(network):
    states, inputs = network
    for estimate in [*linear_memory(states[:7], inputs[:7]), *capacities(states[:7], inputs[:7])]:
        assert "fewer than 8 sequences" in estimate.cannot_tell
        assert estimate.low is None
        assert np.isfinite(estimate.value).all()


def test_single_sequence(network):
    states, inputs = network
    total = linear_memory(states[:1], inputs[:1])[1]
    assert total.standard_error is None
    assert 0 < total.value < 6.5


def test_too_few_samples_say_how_many_are_needed(network):
    states, inputs = network
    _, total, _ = linear_memory(states[:8, :12], inputs[:8, : 40 + 12], max_lag=4)
    assert total.cannot_tell == "96 samples for 6 directions of the state, 120 are needed"
    assert total.low is None


def test_coloured_inputs_need_more_sequences():
    x = autoregressive(np.random.default_rng(30), 0.8, (12, 300, 1))
    total = linear_memory(x[:, 50:], x, white=False, max_lag=3)[1]
    assert "16 sequences" in total.cannot_tell


def test_chaos_leaves_capacity_missing():
    inputs = noise(31, steps=200)
    states = np.concatenate([past(inputs, 0), np.random.default_rng(0).standard_normal((32, 200, 3))], 2)
    share = capacities(states, inputs, max_lag=9)[2]
    assert "beyond degree 3" in share.cannot_tell


# Refusals


@pytest.mark.parametrize(
    ("states", "inputs", "message"),
    [
        (np.ones((8, 50, 2)), noise(0, 8, 50, 0), "all 2 state variables are constant"),
        (noise(0, 8, 50, 0), np.ones((8, 50, 1)), "these are constant"),
        (noise(0, 8, 50, 0), noise(0, 8, 40, 0), "at least as long"),
        (noise(0, 8, 50, 0), noise(0, 7, 50, 0), "same sequences"),
        (noise(0, 2, 20, 0, channels=60), noise(0, 2, 20, 0), "more samples than directions"),
        (np.full((8, 50, 2), np.nan), noise(0, 8, 50, 0), "finite states"),
    ],
)
def test_refusals(states, inputs, message):
    with pytest.raises(ValueError, match=message):
        linear_memory(states, inputs)


def test_lags_longer_than_the_data_are_refused():
    inputs = noise(0, 8, 50, 10)
    with pytest.raises(ValueError, match="max_lag <= 35"):
        linear_memory(inputs[:, 10:], inputs, max_lag=40)


def test_coloured_inputs_called_white_are_refused():
    x = autoregressive(np.random.default_rng(0), 0.3, (16, 300, 1))
    with pytest.raises(ValueError, match="Pass white=False"):
        linear_memory(x, x)


def test_single_coloured_sequence_is_refused():
    x = autoregressive(np.random.default_rng(0), 0.3, (1, 300, 1))
    with pytest.raises(ValueError, match="cut it into 16 blocks"):
        linear_memory(x, x, white=False)


def test_predictable_inputs_are_refused():
    phases = np.random.default_rng(0).uniform(0, 6, (16, 1))
    x = np.sin(0.3 * np.arange(300) + phases)[:, :, None]
    with pytest.raises(ValueError, match="predictable from their own past"):
        linear_memory(x, x, white=False)


@pytest.mark.parametrize(
    "inputs",
    [
        np.random.default_rng(0).standard_normal((16, 200, 1)).clip(-EDGE, EDGE),
        np.random.default_rng(0).uniform(-1, 1, (16, 200, 1)),
        np.random.default_rng(0).uniform(-3, 3, (16, 200, 1)),
        np.repeat(noise(0, 16, 100, 0), 2, 1),
        np.repeat(noise(0, 16, 200, 0), 2, 2),
        np.random.default_rng(0).choice([-1.0, 1.0], (16, 200, 1)),
    ],
    ids=["normal", "too narrow", "too wide", "held", "equal channels", "binary"],
)
def test_products_need_white_noise_of_the_law_named(inputs):
    with pytest.raises(ValueError, match="needs white noise, uniform between"):
        capacities(inputs, inputs)


# A peer


def test_agrees_with_reservoirpy():
    inputs = noise(32, sequences=50, lead=200, steps=1000, edge=0.8)
    states = driven(PEER["weight_hh"], PEER["weight_ih"], inputs, 200, np.tanh)
    by_lag, _, _ = linear_memory(states, inputs, max_lag=PEER["settings"]["k_max"])
    # The peer counts lags from 1, and its squared correlations on test data are never negative.
    np.testing.assert_allclose(by_lag.value[1:], PEER["capacities"], atol=0.01)
    assert by_lag.value[1:].sum() == pytest.approx(PEER["total"], rel=0.01)


# Coverage of the intervals


def ring_coverage(seed):
    inputs = noise([33, seed], sequences=16, steps=200)
    by_lag, total, _ = linear_memory(driven(*ring(8, 0.9), inputs), inputs, max_lag=39)
    truth = ring_memory(8, 0.9, 40)
    return [covers(by_lag, truth).mean(), covers(total, truth.sum())]


def leaky_coverage(seed):
    inputs = noise([34, seed], sequences=16, steps=200)
    whole = capacities(leaky(inputs), inputs, max_lag=9)[0]
    return covers(whole, leaky_truth([10, 10, 10]))


def coloured_coverage(seed):
    x = autoregressive(np.random.default_rng([40, seed]), 0.8, (20, 250, 1))
    by_lag, total, _ = linear_memory(x[:, 50:], x, white=False, max_lag=12)
    return [covers(by_lag, 0.36 * 0.64 ** np.arange(13)).mean(), covers(total, 1 - 0.64**13)]


def tanh_coverage(truth, seed):
    _, total, _ = linear_memory(*tanh_network([36, seed], 16, 200), max_lag=39)
    return covers(total, truth)


def tanh_network(seed, sequences, steps):
    weight_hh = 0.9 * np.linalg.qr(np.random.default_rng(35).standard_normal((10, 10)))[0]
    inputs = noise(seed, sequences=sequences, steps=steps)
    return driven(weight_hh, 0.5 * np.ones((10, 1)), inputs, activation=np.tanh), inputs


def test_intervals_cover_most_of_the_time():
    assert 0.9 <= np.mean([ring_coverage(seed)[0] for seed in range(30)]) <= 0.99
    assert np.sum([ring_coverage(seed)[1] for seed in range(30)]) >= 26
    assert (np.sum([leaky_coverage(seed) for seed in range(30)], 0) >= 25).all()


@pytest.mark.slow
def test_intervals_cover_95_percent_of_the_time():
    covered = np.mean([ring_coverage(seed) for seed in range(100)], 0)
    assert (covered >= 0.9).all()
    assert (covered <= 0.99).all()
    assert (np.mean([coloured_coverage(seed) for seed in range(100)], 0) >= 0.9).all()
    covered = np.mean([leaky_coverage(seed) for seed in range(100)], 0)
    assert (covered >= 0.9).all()
    assert (covered <= 0.99).all()
    truth = linear_memory(*tanh_network(37, 200, 2000), max_lag=39)[1].value
    assert 0.9 <= np.mean([tanh_coverage(truth, seed) for seed in range(100)]) <= 0.99


def false_products(seed):
    """Significant products that a ring of four, three taps and the leaky unit do not have."""
    inputs = noise([38, seed], steps=200)
    taps = np.concatenate([past(inputs, lag) for lag in range(3)], 2)
    states = [driven(*ring(4, 0.9), inputs), taps, leaky(inputs)]
    found = [capacities(s, inputs, max_lag=7)[1].value for s in states]
    return [found[0][1:].any(), found[1][1:].any(), found[2][1] > 0]


def test_false_products_are_rare():
    assert (np.sum([false_products(seed) for seed in range(20)], 0) <= 4).all()


@pytest.mark.slow
def test_false_products_appear_in_5_percent_of_runs():
    assert (np.mean([false_products(seed) for seed in range(200)], 0) <= 0.1).all()
