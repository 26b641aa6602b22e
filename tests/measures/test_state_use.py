"""Participation ratios, units and gate times against exact values, and their traps."""

import numpy as np
import pytest
from models import (
    TRUTH,
    calibration,
    covered,
    linear_case,
    named,
    no_interval,
    numbers,
    one_unit,
    random_model,
    run_of,
    scalar,
)

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model
from hitherto.measures.state_use import dimensions, gate_time, participation_ratio, state_use
from hitherto.measures.trajectory import drive

PARTICIPATION = {case["case"]: case for case in TRUTH["participation_ratio"]}


def use(run):
    return named(state_use(run))


def ratio_of(series):
    return dimensions(series)[0]


class TestParticipationRatio:
    @pytest.mark.parametrize(
        ("variances", "case"),
        [
            (np.ones(10), "N equal uncorrelated units"),
            (0.9 ** (2 * np.arange(8)), "variances r^(2i), i<N, uncorrelated"),
            (np.array([1.0, 0.25]), "two variances 1 and 0.25"),
        ],
    )
    def test_from_exact_covariances(self, variances, case):
        exact = np.repeat(np.diag(variances)[None], 5, 0)
        assert participation_ratio(exact) == pytest.approx(PARTICIPATION[case]["value"], rel=1e-10)
        assert participation_ratio(exact[:1]) == pytest.approx(PARTICIPATION[case]["value"], rel=1e-10)

    def test_copies_of_one_unit_are_one_dimension(self):
        one = np.random.default_rng(0).normal(size=(12, 40, 1))
        found = dimensions(np.repeat(one, 7, 2) * np.arange(1, 8))
        by_name = named(found)
        for name in ("participation_ratio", "correlation_participation_ratio", "effective_dimension"):
            assert by_name[name].value == pytest.approx(1, abs=1e-9)
        assert by_name["components_99"].value == 1

    def test_only_products_of_different_sequences_enter(self):
        covariances = np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), np.diag([1.0, 1.0])])
        traces = np.trace(covariances, axis1=1, axis2=2)
        pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
        truth = sum(traces[i] * traces[j] for i, j in pairs) / sum(
            np.trace(covariances[i] @ covariances[j]) for i, j in pairs
        )
        assert participation_ratio(covariances) == pytest.approx(truth, rel=1e-12)

    @pytest.mark.parametrize("name", TRUTH["linear"])
    def test_linear_nets(self, name):
        model, case = linear_case(name)
        found = use(drive(model, sequences=32, steps=300))["participation_ratio"]
        assert abs(found.value - case["participation_ratio"]) <= 4 * found.standard_error + 1e-9
        assert found.standard_error < 0.1 * found.value

    def test_slow_differences_between_sequences_count(self):
        """Centring every sequence apart would remove the one direction that varies only between them."""
        rng = np.random.default_rng(0)
        series = np.concatenate([np.repeat(rng.normal(size=(200, 1, 1)), 50, 1), rng.normal(size=(200, 50, 1))], axis=2)
        assert ratio_of(series).value == pytest.approx(2, abs=0.1)

    def test_constant_units_drop_out(self):
        rng = np.random.default_rng(0)
        series = np.concatenate([rng.normal(size=(16, 100, 3)), np.full((16, 100, 2), 7.0)], axis=2)
        found, alone = named(dimensions(series)), named(dimensions(series[..., :3]))
        for name in ("participation_ratio", "correlation_participation_ratio", "effective_dimension"):
            assert found[name].value == pytest.approx(alone[name].value, rel=1e-12)
        assert found["effective_dimension"].statistics["constant"] == 2

    def test_scale_and_offset_do_not_matter(self):
        series = np.random.default_rng(0).normal(size=(16, 100, 3)) * [1, 2, 3]
        other = dimensions(1e-3 * series + 5)
        for one, two in zip(dimensions(series), other, strict=True):
            np.testing.assert_allclose(two.value, one.value, rtol=1e-6)

    @staticmethod
    def series(repetitions, sequences=16, steps=25, units=20):
        rng = np.random.default_rng(3)
        mixing = rng.normal(size=(units, units)) / units**0.5
        noise = rng.normal(size=(repetitions, sequences, steps, units))
        c = mixing @ mixing.T
        return noise @ mixing.T, np.trace(c) ** 2 / np.trace(c @ c)

    def test_intervals_cover_and_the_bias_is_gone(self):
        """25 runs of coverage 0.95: fewer than 20 hits has a chance of 0.0012."""
        series, truth = self.series(25)
        estimates = [ratio_of(one) for one in series]
        assert covered(estimates, truth) >= 0.8
        assert abs(np.log(calibration(estimates))) < 0.6
        values = np.array([e.value for e in estimates])
        assert abs(values.mean() - truth) < 4 * values.std() / 5
        plain = np.mean([e.statistics["plain"] for e in estimates])
        assert plain < truth - 4 * values.std() / 5

    @pytest.mark.slow
    def test_intervals_cover_over_hundred_runs(self):
        series, truth = self.series(100)
        assert 0.90 <= covered([ratio_of(one) for one in series], truth) <= 0.99

    @pytest.mark.parametrize("sequences", [1, 7])
    def test_few_sequences_give_no_interval(self, sequences):
        series = np.random.default_rng(0).normal(size=(sequences, 50, 3))
        for estimate in dimensions(series):
            assert np.isfinite(estimate.value).all()
            assert no_interval(estimate)
        assert ratio_of(series).cannot_tell

    def test_a_state_that_never_moves(self):
        found = ratio_of(np.full((16, 50, 3), 2.0))
        assert found.cannot_tell
        assert no_interval(found)


class TestDimensions:
    def test_entropy_components_and_shares(self):
        """Orthogonal square waves have an exactly diagonal covariance, here of shares 0.9, 0.09 and 0.01."""
        time = np.arange(64)
        waves = np.stack([np.where(time // period % 2, 1.0, -1.0) for period in (1, 2, 4)], -1)
        shares = np.array([0.9, 0.09, 0.01])
        found = named(dimensions(np.repeat((waves * np.sqrt(shares))[None], 8, 0)))
        np.testing.assert_allclose(found["state_spectrum"].value, shares, atol=1e-12)
        entropy = -(shares * np.log(shares)).sum()
        assert found["effective_dimension"].value == pytest.approx(np.exp(entropy), rel=1e-10)
        assert found["participation_ratio"].value == pytest.approx(1 / (shares**2).sum(), rel=1e-10)
        assert found["correlation_participation_ratio"].value == pytest.approx(3, rel=1e-10)
        assert found["components_99"].value in (2, 3)  # 0.9 + 0.09 is 0.99 but for rounding

    def test_every_part_of_the_state_apart(self):
        model = random_model(Deep((LSTM(1, 3), GRU(3, 2))), 1, 0.5)
        parts = {
            e.part for e in state_use(drive(model, sequences=8, steps=60)) if e.quantity.name == "participation_ratio"
        }
        assert parts == {"layer 0", "layer 0 cell", "layer 1"}


class TestUnits:
    @staticmethod
    def driven(inputs, activation="tanh"):
        """h = activation(x), channel by channel."""
        n = inputs.shape[-1]
        model = Model(
            RNN(n, n, activation=activation, bias=False),
            {"weight_hh": np.zeros((n, n)), "weight_ih": np.eye(n)},
        )
        return use(run_of(model, inputs))

    def test_stuck_switching_and_moving(self):
        rng = np.random.default_rng(0)
        sign = rng.choice([-1.0, 1.0], size=(16, 200))
        inputs = np.stack([np.full((16, 200), 3.0), 3 * sign, 0.5 * sign, np.full((16, 200), -3.0)], -1)
        found = self.driven(inputs)
        assert found["stuck_units"].value == 2
        assert sorted(found["stuck_units"].statistics["which"]) == [0, 3]
        assert found["switching_units"].value == 1
        assert found["switching_units"].statistics["which"] == [1]

    def test_the_border_of_saturation_is_a_slope_of_a_tenth(self):
        """tanh' = 0.1 at |h| = 0.9487."""
        sign = np.random.default_rng(0).choice([-1.0, 1.0], size=(16, 200))
        inputs = np.stack([np.arctanh(0.9485) * sign, np.arctanh(0.9489) * sign], -1)
        assert self.driven(inputs)["switching_units"].statistics["which"] == [1]

    def test_ninety_percent_of_the_time_is_not_enough(self):
        inputs = np.full((16, 200, 1), 3.0)
        inputs[:, ::10] = 0.0
        found = self.driven(inputs)
        assert found["stuck_units"].value + found["switching_units"].value == 0

    def test_idle_is_relative_to_the_layer(self):
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(16, 200, 3)) * [0.1, 0.1, 0.0005]
        found = self.driven(inputs)["idle_units"]
        assert found.value == 1
        assert found.statistics["which"] == [2]
        quiet = self.driven(inputs * 1e-3)["idle_units"]
        assert quiet.statistics["which"] == [2]

    def test_dead_relu(self):
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(16, 200, 3)) + np.array([0.0, -50.0, 0.0])
        found = self.driven(inputs, "relu")["dead_units"]
        assert found.value == 1
        assert found.statistics["which"] == [1]

    def test_one_event_is_not_dead(self):
        inputs = np.full((16, 200, 1), -1.0)
        inputs[11, 77] = 1.0
        assert self.driven(inputs, "relu")["dead_units"].value == 0


class TestGateTimes:
    cases = TRUTH["gate_time"]["cases"]

    def test_from_the_mean_logarithm(self):
        logs = np.array([case["log_f"] for case in self.cases])
        np.testing.assert_allclose(gate_time(logs), [case["tau"] for case in self.cases], rtol=1e-10)
        np.testing.assert_array_equal(gate_time(np.array([0.0, -np.inf])), [np.inf, 0.0])

    @pytest.mark.parametrize("family", [LSTM, GRU])
    def test_forget_and_update_gates_that_never_move(self, family):
        """Up to b = 40, where the gate itself rounds to 1; z of a GRU is the weight of the old state."""
        bias, n = np.array([case["b"] for case in self.cases]), len(self.cases)
        gates = 4 if family is LSTM else 3
        weights = {
            "weight_ih": np.zeros((gates * n, 1)),
            "weight_hh": np.zeros((gates * n, n)),
            "bias_ih": np.zeros(gates * n),
            "bias_hh": np.zeros(gates * n),
        }
        weights["bias_ih"][n : 2 * n] = bias / 2
        weights["bias_hh"][n : 2 * n] = bias / 2
        weights["weight_ih"][2 * n : 3 * n] = 1.0
        found = use(run_of(Model(family(1, n), weights), np.random.default_rng(0).normal(size=(8, 60, 1))))
        times = found["gate_times"]
        np.testing.assert_allclose(times.value, [case["tau"] for case in self.cases], rtol=1e-10)
        np.testing.assert_array_equal(times.axes["unit"], np.arange(n))
        assert times.statistics["longer_than_data"] == 2

    @staticmethod
    def alternating(family):
        """A gate of 0.5 and 0.9 at odd and even steps, driven by an input of -1 and 1."""
        logit = np.log(9.0) / 2
        entries = {"weight_ih": {1: logit}, "bias_ih": {1: logit}}
        model = one_unit(family(1, 1), 4 if family is LSTM else 3, entries)
        inputs = np.tile(np.array([-1.0, 1.0])[:, None], (8, 50, 1))
        return use(run_of(model, inputs))["gate_times"]

    @pytest.mark.parametrize("family", [LSTM, GRU])
    def test_the_mean_is_that_of_the_logarithm(self, family):
        found, truth = self.alternating(family).value[0], TRUTH["gate_time"]
        assert found == pytest.approx(truth["tau_mean_log"], rel=1e-10)
        assert abs(found - truth["tau_from_mean_f"]) > 0.2
        assert abs(found - truth["mean_of_taus"]) > 2

    def test_a_gate_that_shuts_wholly_holds_for_no_time(self):
        model = one_unit(GRU(1, 1, gate_activation="hard_sigmoid(0.2,0.5)"), 3, {"weight_ih": {1: 5.0}})
        inputs = np.random.default_rng(0).normal(size=(12, 80, 1))
        found = use(run_of(model, inputs))["gate_times"]
        assert (found.value[0], found.low[0], found.high[0]) == (0.0, 0.0, 0.0)

    def test_interval_is_that_of_the_mean_logarithm_inverted(self):
        model = one_unit(LSTM(1, 1), 4, {"weight_ih": {1: 2.0}, "bias_ih": {1: 1.0}})
        inputs = np.random.default_rng(0).normal(size=(12, 80, 1))
        found = use(run_of(model, inputs))["gate_times"]
        logs = -np.log1p(np.exp(-(2 * inputs[..., 0] + 1))).mean(1)
        half = 2.2009851600916384 * logs.std(ddof=1) / 12**0.5  # Student, 11 degrees of freedom
        assert found.value[0] == pytest.approx(-1 / logs.mean(), rel=1e-10)
        assert found.low[0] == pytest.approx(-1 / (logs.mean() - half), rel=1e-6)
        assert found.high[0] == pytest.approx(-1 / (logs.mean() + half), rel=1e-6)

    def test_the_factor_that_really_multiplies_the_old_cell(self):
        """Coupled: f = 1 - i; peepholes: f sees the cell before the step."""
        for architecture in (LSTM(1, 2, coupled=True), LSTM(1, 2, peephole=True), LSTM(1, 2, clip=0.4)):
            model = random_model(architecture, 4)
            run = run_of(model, np.random.default_rng(0).normal(size=(8, 40, 1)))
            w, h, c = model.weights, run.before.h, run.before.c
            a = run.driving @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias_ih"] + w["bias_hh"]
            i, f = a[..., :2], a[..., 2:4]
            if architecture.peephole:
                i, f = i + w["peepholes"][0] * c, f + w["peepholes"][1] * c
            if architecture.clip:
                f = np.clip(f, -0.4, 0.4)
            factor = 1 / (1 + np.exp(i)) if architecture.coupled else 1 / (1 + np.exp(-f))
            truth = -1 / np.log(factor).mean((0, 1))
            np.testing.assert_allclose(use(run)["gate_times"].value, truth, rtol=1e-10)

    def test_quantiles_over_units(self):
        n = 11
        weights = {
            "weight_ih": np.zeros((4 * n, 1)),
            "weight_hh": np.zeros((4 * n, n)),
            "bias_ih": np.r_[np.zeros(n), np.linspace(-1, 4, n), np.zeros(2 * n)],
            "bias_hh": np.zeros(4 * n),
        }
        found = use(run_of(Model(LSTM(1, n), weights), np.zeros((8, 20, 1))))
        taus = 1 / np.log1p(np.exp(-np.linspace(-1, 4, n)))
        np.testing.assert_allclose(found["gate_time_quantiles"].value, np.quantile(taus, [0.1, 0.5, 0.9]), rtol=1e-6)

    def test_gates_that_are_exactly_open_or_shut(self):
        bias = np.array([5.0, -5.0])  # hard_sigmoid is exactly 1 and 0 there
        weights = {
            "weight_ih": np.zeros((8, 1)),
            "weight_hh": np.zeros((8, 2)),
            "bias_ih": np.r_[0, 0, bias, 0, 0, 0, 0],
            "bias_hh": np.zeros(8),
        }
        run = run_of(Model(LSTM(1, 2, gate_activation="hard_sigmoid"), weights), np.zeros((8, 20, 1)))
        np.testing.assert_array_equal(use(run)["gate_times"].value, numbers(["inf", "0"]))


def test_too_short_runs_do_not_break():
    for sequences, steps in ((8, 1), (1, 1), (1, 5)):
        run = run_of(scalar(0.5), np.random.default_rng(0).normal(size=(sequences, steps, 1)))
        assert "participation_ratio" in use(run)
