"""Effective context against exact curves, and its traps."""

import jax.numpy as jnp
import numpy as np
import pytest
from models import (
    TRUTH,
    calibration,
    covered,
    groups,
    linear,
    linear_case,
    named,
    no_interval,
    random_model,
    scalar,
    within_errors,
)

from hitherto.architectures.gated import LSTM
from hitherto.architectures.outside.live import adapt
from hitherto.measures.context import context
from hitherto.measures.trajectory import drive


def measured(run, **options):
    return named(context(run, **options))


def taps(function, length):
    """y[t] = function(x[t], x[t-1], ..., x[t-length])."""

    def step(state, x):
        state = jnp.concatenate([x, state[:-1]])
        return state, function(state)[None]

    return adapt(step, np.zeros(length + 1), 1)


def product(x):
    return x[1] * x[2]


def sum_plus_product(x):
    return x[0] + x[1] * x[2]


def square(x):
    return x[3] ** 2


NONLINEAR = {"product": product, "sum_plus_product": sum_plus_product, "square": square}


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_readouts_of_few_taps(name):
    truth = np.sqrt(TRUTH["context"][name]["D"])
    found = measured(drive(taps(NONLINEAR[name], 3), sequences=64, steps=320), max_lag=len(truth) - 1)
    curve = found["context_replaced"]
    assert within_errors(curve, truth)
    assert (np.abs(curve.value - truth) < 0.2).all()
    assert (curve.value[truth == 0] <= 10 * curve.statistics["resolution"]).all()
    ends = int(np.argmax(truth == 0))
    context_ = found["effective_context"]
    assert context_.statistics["steps"] == ends
    assert context_.value == ends
    assert context_.statistics["certain"] == ends


@pytest.mark.parametrize("name", TRUTH["linear"])
def test_linear_nets(name):
    model, case = linear_case(name)
    curve = measured(drive(model, sequences=64, steps=260), max_lag=12)["context_replaced"]
    truth = np.sqrt(case["context"])
    some = truth > 0
    np.testing.assert_allclose(curve.value[~some], 0, atol=1e-7)
    value, error = curve.value[some], curve.standard_error[some]
    assert (np.abs(np.log(value / truth[some])) < 4 * error / value).all()
    assert (error < 0.15 * value).all()


class TestScalarLinear:
    """A difference of states shrinks by w each step, so the curve is w^k times its first value exactly."""

    run = drive(linear([[0.8]], [[1.0]]), sequences=64, steps=520)

    def test_shape_is_exact(self):
        found = measured(self.run, max_lag=25)
        for name in ("context_replaced", "context_zeroed"):
            np.testing.assert_allclose(found[name].value / found[name].value[0], 0.8 ** np.arange(26), rtol=1e-9)

    def test_zeros_and_shuffles_cost_as_much_as_replacement(self):
        """Zero-mean inputs: Z = D; weights that differ from step to step: a shuffle is a replacement."""
        found = measured(self.run, max_lag=25)
        for name in ("context_replaced", "context_zeroed", "context_shuffled"):
            assert within_errors(found[name], 0.8 ** np.arange(26)), name

    @pytest.mark.parametrize("max_lag", [4, 60])
    def test_shuffled_curve_does_not_depend_on_the_largest_lag(self, max_lag):
        curve = measured(self.run, max_lag=max_lag)["context_shuffled"]
        assert within_errors(curve, 0.8 ** np.arange(max_lag + 1))

    def test_effective_context(self):
        found = measured(self.run)["effective_context"]
        truth = np.log(0.01) / np.log(0.8)  # 20.6
        assert abs(found.value - truth) < 4 * found.standard_error
        assert found.low < truth < found.high
        assert not found.statistics["censored"]
        assert truth < found.statistics["certain"] < truth + 3

    def test_rounding_at_long_lags_does_not_spoil_what_is_certain(self):
        """At lag 60 and later |y - y'| is dust or exactly 0: below 1% for sure."""
        run = drive(linear([[0.5]], [[1.0]]), sequences=64, steps=400)
        found = measured(run, max_lag=90)
        assert found["effective_context"].statistics["certain"] in (7, 8)

    def test_below_resolution_is_not_claimed_as_exact(self):
        run = drive(linear([[0.5]], [[1.0]]), sequences=64, steps=400)
        curve = measured(run, max_lag=90)["context_replaced"]
        floor = curve.statistics["resolution"]
        assert 1e-17 < floor < 1e-13
        assert (0.5 ** np.arange(91) <= curve.value + np.maximum(10 * floor, 0.5 * curve.value)).all()

    def test_mean_of_the_inputs_does_not_matter_for_replacement(self):
        inputs = self.run.inputs
        shifted = drive(self.run.model, inputs + 3.0)
        plain = drive(self.run.model, inputs)
        np.testing.assert_allclose(
            measured(shifted, max_lag=10)["context_replaced"].value,
            measured(plain, max_lag=10)["context_replaced"].value,
            rtol=1e-9,
        )


class TestKinds:
    def test_order_blind_sum_of_all_the_past(self):
        """h counts everything: shuffling the past changes nothing, replacing it does."""
        found = measured(drive(linear([[1.0]], [[1.0]]), sequences=32, steps=200), max_lag=10)
        np.testing.assert_allclose(found["context_shuffled"].value, 0, atol=1e-12)
        assert found["context_replaced"].value[-1] > 0.5

    def test_zeros_may_cost_more_than_replacement(self):
        """y = |x[t-1]| is large for every input but 0."""
        inputs = np.random.default_rng(0).choice([-1.0, -0.9, 0.9, 1.0], (64, 400, 1))
        found = measured(drive(taps(lambda x: x[1] ** 2, 1), inputs), max_lag=4)
        assert found["context_zeroed"].value[1] > 2
        np.testing.assert_allclose(found["context_zeroed"].value[2:], 0, atol=1e-12)
        assert found["context_replaced"].value[1] == pytest.approx(1, abs=0.2)


class TestNeverForgets:
    def test_two_attractors(self):
        found = measured(drive(scalar(2.0), sequences=64, steps=200, amplitude=0.05))
        curve = found["context_replaced"].value
        assert (np.abs(curve - 1) < 0.35).all()
        assert np.ptp(curve[20:]) < 1e-2
        context_ = found["effective_context"]
        assert context_.statistics["censored"]
        assert context_.cannot_tell
        assert no_interval(context_)
        assert context_.value == context_.statistics["ceiling"]


class TestCurve:
    def test_bounded_and_falling_for_independent_inputs(self):
        run = drive(random_model(LSTM(1, 4), 2, 0.7), sequences=64, steps=300)
        curve = measured(run, max_lag=20)["context_replaced"]
        assert (curve.value <= 1 + 4 * curve.standard_error).all()
        assert (np.diff(curve.value) <= 4 * curve.standard_error[1:]).all()
        known = ~np.isnan(curve.low)
        assert (curve.low[known] <= curve.value[known]).all()
        assert (curve.value[known] <= curve.high[known]).all()

    def coverage(self, repetitions):
        model, case = linear_case("triangular_two_rates")
        run = drive(model, sequences=64 * repetitions, steps=260)
        return [measured(part, max_lag=12)["context_replaced"] for part in groups(run, 64)], np.sqrt(case["context"])

    def test_intervals_cover(self):
        """25 runs of coverage 0.95: fewer than 20 hits has a chance of 0.0012 at a lag."""
        estimates, truth = self.coverage(25)
        assert (covered(estimates, truth)[[0, 1, 3, 6, 12]] >= 0.8).all()
        assert (np.abs(np.log(calibration(estimates))) < 0.6).all()

    @pytest.mark.slow
    def test_intervals_cover_over_hundred_runs(self):
        estimates, truth = self.coverage(100)
        shares = covered(estimates, truth)[[0, 1, 3, 6, 12]]
        assert (shares >= 0.90).all()
        assert shares.mean() <= 0.99

    @pytest.mark.slow
    def test_effective_context_covers_over_hundred_runs(self):
        run = drive(linear([[0.8]], [[1.0]]), sequences=6400, steps=200)
        estimates = [measured(part, max_lag=40)["effective_context"] for part in groups(run, 64)]
        assert 0.90 <= covered(estimates, np.log(0.01) / np.log(0.8)) <= 0.99


class TestIntervals:
    @pytest.mark.parametrize("sequences", [2, 3, 15])
    def test_fewer_than_eight_pairs_give_none(self, sequences):
        found = measured(drive(scalar(0.7), sequences=sequences, steps=120), max_lag=9)
        curve = found["context_replaced"]
        assert np.isfinite(curve.value).all()
        assert no_interval(curve)
        assert curve.cannot_tell
        assert curve.statistics["units"] == sequences // 2

    @pytest.mark.parametrize(("sequences", "enough"), [(24, False), (64, True)])
    def test_an_interval_needs_fifteen_effective_pairs(self, sequences, enough):
        run = drive(linear([[0.5]], [[1.0]]), sequences=sequences, steps=400)
        curve = measured(run, max_lag=6)["context_replaced"]
        assert ((curve.statistics["effective_units"] >= 15) == enough).all()
        assert (np.isfinite(curve.low) == enough).all()
        assert (np.isfinite(curve.high) == enough).all()
        assert bool(curve.cannot_tell) != enough

    def test_nothing_is_certain_where_no_interval_is(self):
        found = measured(drive(linear([[0.8]], [[1.0]]), sequences=16, steps=400), max_lag=40)
        assert (found["context_replaced"].statistics["effective_units"] < 15).all()
        assert found["effective_context"].statistics["certain"] is None


class TestRefused:
    @pytest.mark.parametrize("inputs", [0.0, 1.0])
    def test_constant_input(self, inputs):
        run = drive(linear([[0.9]], [[1.0]]), np.full((16, 300, 1), inputs))
        with pytest.raises(ValueError, match=r"vary|varies"):
            context(run)

    def test_constant_output(self):
        with pytest.raises(ValueError, match=r"vary|varies"):
            context(drive(linear([[0.5]], [[0.0]]), sequences=16, steps=100))

    def test_one_sequence(self):
        with pytest.raises(ValueError, match="at least 2"):
            context(drive(scalar(0.7), sequences=1, steps=100))

    def test_one_step(self):
        with pytest.raises(ValueError, match="step"):
            context(drive(scalar(0.7), sequences=8, steps=1))

    @pytest.mark.parametrize("max_lag", [-1, 1000])
    def test_lags_that_the_run_cannot_give(self, max_lag):
        with pytest.raises(ValueError, match="lag"):
            context(drive(scalar(0.7), sequences=8, steps=100), max_lag=max_lag)
