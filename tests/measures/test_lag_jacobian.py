"""Jacobian by lag against exact curves, brute force, and its traps."""

from functools import partial

import jax
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
    one_lstm,
    one_unit,
    random_model,
    run_of,
    scalar,
    small_net,
    within_errors,
)

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.live import adapt
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import HiddenAndCell, Model, precision, visible
from hitherto.measures.lag_jacobian import brute_force_jacobian, lag_jacobian
from hitherto.measures.trajectory import drive

CURVES = ("state_jacobian_rms", "state_jacobian_typical", "output_jacobian_rms", "output_jacobian_typical")


def curves(run, **options):
    return named(lag_jacobian(run, **options))


@partial(jax.jit, static_argnums=0)
def norms_by_lag(architecture, weights, start, inputs):
    """|dh[T]/dx[T-k]|_F and |dy[T]/dx[T-k]|_F for the last step T of each of a batch of pieces."""

    def last(inputs, start):
        states, outputs = architecture.run(weights, start, inputs)
        return jnp.concatenate([h[-1] for h in visible(states)]), outputs[-1]

    def norms(inputs, start):
        return [jnp.sqrt((j**2).sum((0, 2)))[::-1] for j in jax.jacfwd(last)(inputs, start)]

    return jax.vmap(norms)(inputs, start)


def forward_jacobians(run, lags):
    """Norms at the end of every whole window, each (sequence, window, lag): of the state, of the output."""
    pieces = (run.sequences, run.steps // lags)
    with precision(np.float64):
        weights = jax.tree.map(jnp.asarray, run.model.weights)
        inputs = jnp.asarray(run.driving.reshape(-1, lags, run.driving.shape[2]))
        start = jax.tree.map(lambda s: jnp.asarray(s[:, ::lags].reshape(-1, *s.shape[2:])), run.before)
        found = norms_by_lag(run.model.architecture, weights, start, inputs)
        return [np.asarray(norms).reshape(*pieces, lags) for norms in found]


NETS = {
    "tanh": RNN(2, 3, readout_size=2),
    "lstm": LSTM(2, 4, projection=2, peephole=True),
    "gru before": GRU(2, 3, reset="before"),
    "stack": Deep((RNN(2, 6, activation="relu", readout_size=2), GRU(2, 2), LSTM(2, 2, coupled=True))),
}


def short_run(name):
    return run_of(random_model(NETS[name], 5, 0.7), np.random.default_rng(6).normal(size=(3, 15, 2)))


@pytest.mark.parametrize("name", NETS)
def test_reverse_sweep_equals_forward_differentiation(name):
    run = short_run(name)
    measured = curves(run, max_lag=4)
    for part, norms in zip(("state", "output"), forward_jacobians(run, 5), strict=True):
        with np.errstate(divide="ignore"):
            typical = np.exp(np.log(norms).mean((0, 1)))
        rms = np.sqrt((norms**2).mean((0, 1)))
        np.testing.assert_allclose(measured[f"{part}_jacobian_rms"].value, rms, rtol=1e-10)
        np.testing.assert_allclose(measured[f"{part}_jacobian_typical"].value, typical, rtol=1e-10)


def test_brute_force_helper_agrees_with_own_differentiation():
    run = short_run("stack")
    theirs = brute_force_jacobian(run, 1, 5)
    own = forward_jacobians(run, 5)[0][1, -1]
    np.testing.assert_allclose(np.sqrt((theirs**2).sum((1, 2))), own, rtol=1e-10)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_small_nets(name):
    model, inputs, case = small_net(name)
    measured = curves(run_of(model, inputs[None]), max_lag=9)
    np.testing.assert_allclose(measured["state_jacobian_rms"].value, case["jac_h"], rtol=1e-10)
    np.testing.assert_allclose(measured["state_jacobian_typical"].value, case["jac_h"], rtol=1e-10)


@pytest.mark.parametrize("name", TRUTH["linear"])
def test_linear_nets_are_exact(name):
    model, case = linear_case(name)
    measured = curves(drive(model, sequences=16, steps=130), max_lag=12)
    for part, curve in (("state", case["jac_h"]), ("output", case["jac_y"])):
        for kind in ("rms", "typical"):
            estimate = measured[f"{part}_jacobian_{kind}"]
            np.testing.assert_allclose(estimate.value, curve, rtol=1e-10, atol=1e-14)
            np.testing.assert_allclose(estimate.standard_error, 0, atol=1e-12)
            assert not estimate.cannot_tell


def test_leaky_cells_at_zero_input():
    lstm, gru = TRUTH["lstm_leaky"], TRUTH["gru_leaky"]
    cells = (
        (one_lstm(bias_ih={0: lstm["b_i"], 1: lstm["b_f"], 3: lstm["b_o"]}, weight_ih={2: lstm["w_g"]}), lstm),
        (one_unit(GRU(1, 1), 3, {"bias_ih": {1: gru["b_z"]}, "weight_ih": {2: gru["w_n"]}}), gru),
    )
    for model, case in cells:
        truth = case["jac_h_at_zero_input"]
        measured = curves(drive(model, np.zeros((8, 222, 1))), max_lag=len(truth) - 1)
        np.testing.assert_allclose(measured["state_jacobian_rms"].value, truth, rtol=1e-10)
        np.testing.assert_allclose(measured["state_jacobian_typical"].value, truth, rtol=1e-10)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_recurrent_gru_at_zero(reset):
    case = TRUTH["gru_recurrent_at_zero"]
    model = one_unit(
        GRU(1, 1, reset=reset),
        3,
        {
            "bias_ih": {0: case["b_r"], 1: case["b_z"]},
            "weight_hh": {2: case["u_n"]},
            "weight_ih": {2: case["w_n"]},
        },
    )
    curve = curves(drive(model, np.zeros((8, 222, 1))), max_lag=10)["state_jacobian_rms"].value
    np.testing.assert_allclose(curve[1:] / curve[:-1], case["slope"], rtol=1e-10)


class TestDrivenScalar:
    """h[t] = tanh(w h[t-1] + x[t]): E J_k^2 by quadrature; E ln|J_k| = (k+1) lambda - ln w exactly."""

    @staticmethod
    def run(name, sequences, steps, seed=0):
        case = TRUTH["scalar_tanh"][name]
        noise = np.random.default_rng(seed).normal(size=(sequences, 100 + steps, 1))
        return drive(scalar(case["w"]), case["input_std"] * noise), case

    @staticmethod
    def typical(case, lags):
        return np.exp((np.arange(lags) + 1) * case["lyapunov"]) / case["w"]

    def test_curves(self):
        run, case = self.run("w0.9_s0.3", 64, 310)
        measured = curves(run, max_lag=30)
        rms = measured["state_jacobian_rms"]
        known = np.isfinite(rms.low)
        assert known[:10].all()
        errors = (rms.value**2 - case["mean_sq_jac"]) / (2 * rms.value * rms.standard_error)
        assert np.abs(errors[known]).max() < 4
        assert within_errors(measured["state_jacobian_typical"], self.typical(case, 31))

    def test_rare_inputs_blow_up_what_is_usually_forgotten(self):
        run, case = self.run("w1.5_s0.5", 512, 180, seed=1)
        measured = curves(run, max_lag=8)
        rms, typical = measured["state_jacobian_rms"], measured["state_jacobian_typical"]
        assert np.abs((rms.value**2 - case["mean_sq_jac"][:9]) / (2 * rms.value * rms.standard_error)).max() < 4
        assert within_errors(typical, self.typical(case, 9))
        growth = measured["gradient_growth"]
        assert growth.low > 0
        truth = np.polyfit(np.arange(4, 9), np.log(case["mean_sq_jac"][4:9]) / 2, 1)[0]
        assert abs(growth.value - truth) < 4 * growth.standard_error
        assert typical.value[-1] < 0.1 * typical.value[0]

    def test_no_interval_where_few_sequences_carry_the_mean(self):
        run, _ = self.run("w1.5_s0.5", 32, 124)
        measured = curves(run, max_lag=30)
        rms = measured["state_jacobian_rms"]
        few = rms.statistics["effective_sequences"] < 15
        assert few.any()
        assert np.array_equal(np.isnan(rms.low), few)
        assert np.array_equal(np.isnan(rms.high), few)
        assert rms.cannot_tell
        assert measured["gradient_growth"].cannot_tell
        assert no_interval(measured["gradient_growth"])
        typical = measured["state_jacobian_typical"]
        assert np.isfinite(typical.low).all()
        assert not typical.cannot_tell

    def test_effective_sequences_are_counted_by_sequence(self):
        """Sixteen windows of one wild sequence are still one sequence."""
        x = np.full((32, 64, 1), 3.0)
        x[0] = 0.0  # only here is the slope not almost zero
        rms = curves(run_of(scalar(0.5), x), max_lag=3)["state_jacobian_rms"]
        assert rms.statistics["effective_sequences"][0] == pytest.approx(1, abs=1e-3)
        assert np.isnan(rms.low).all()

    def coverage(self, repetitions):
        run, case = self.run("w0.9_s0.3", 32 * repetitions, 124, seed=12)
        measured = [curves(part, max_lag=30) for part in groups(run, 32)]
        truth = TRUTH["statistics"]["jacobian"]["half_life_truth_typical"]
        return (
            [m["state_jacobian_rms"] for m in measured],
            np.sqrt(case["mean_sq_jac"]),
            [m["state_jacobian_typical"] for m in measured],
            self.typical(case, 31),
            [m["gradient_half_life"] for m in measured],
            truth,
        )

    def test_intervals_cover(self):
        """25 runs of coverage 0.95: fewer than 20 hits has a chance of 0.0012 at a lag."""
        rms, rms_truth, typical, typical_truth, half_life, half_life_truth = self.coverage(25)
        lags = [0, 5, 15]
        assert (covered(rms, rms_truth)[lags] >= 0.8).all()
        assert (covered(typical, typical_truth)[[0, 5, 15, 30]] >= 0.8).all()
        assert covered(half_life, half_life_truth) >= 0.8
        for estimates in (typical, half_life):  # deviation of 25 values is known to 14%
            assert (np.abs(np.log(calibration(estimates))) < 0.6).all()

    @pytest.mark.slow
    def test_intervals_cover_over_hundred_runs(self):
        rms, rms_truth, typical, typical_truth, half_life, half_life_truth = self.coverage(100)
        shares = np.concatenate(
            [
                covered(rms, rms_truth)[[0, 5, 15]],
                covered(typical, typical_truth)[[0, 5, 15, 30]],
                [covered(half_life, half_life_truth)],
            ]
        )
        assert (shares >= 0.90).all()
        assert shares.mean() <= 0.99


class TestHorizon:
    def test_exact_exponential(self):
        truth = TRUTH["horizon"][0]
        measured = curves(drive(linear([[0.9]], [[1.0]]), sequences=8, steps=130), max_lag=64)
        half, far = measured["gradient_half_life"], measured["gradient_horizon"]
        assert half.value == pytest.approx(truth["half_life_interpolated"], rel=1e-10)
        assert far.value == pytest.approx(truth["horizon_interpolated"], rel=1e-10)
        assert half.statistics["steps"] == truth["half_life_steps"]
        assert far.statistics["steps"] == truth["horizon_1pct_steps"]

    def test_delay_line_read_at_its_last_tap(self):
        truth = TRUTH["horizon"][1]

        def step(state, x):
            taps = jnp.concatenate([x, state.c[:-1]])
            return HiddenAndCell(h=taps[-1:], c=taps), taps[-1:]

        model = adapt(step, HiddenAndCell(h=np.zeros(1), c=np.zeros(5)), 1)
        measured = curves(drive(model, sequences=8, steps=70), max_lag=6)
        np.testing.assert_allclose(measured["state_jacobian_rms"].value, [0, 0, 0, 0, 1, 0, 0])
        assert measured["gradient_half_life"].statistics["steps"] == truth["half_life_steps"]
        assert measured["gradient_half_life"].value == 1
        assert measured["gradient_horizon"].statistics["steps"] == truth["horizon_1pct_steps"]
        assert measured["gradient_horizon"].value == 5

    def test_a_dip_is_not_the_end(self):
        """|W^k B| is 0.9^k at even lags and half of that at odd ones: below half at lag 1, back above at 2."""
        w = 0.9 * np.array([[0.0, 2.0], [0.5, 0.0]])
        half = curves(drive(linear(w, [[1.0], [0.0]]), sequences=8, steps=130), max_lag=64)["gradient_half_life"]
        assert half.statistics["steps"] == 7
        assert 6 < half.value <= 7

    def test_rising_curve_is_counted_from_its_peak(self):
        model, case = linear_case("triangular_jordan")  # 1, 1.118, 1.031, 0.760, 0.504, ...
        measured = curves(drive(model, sequences=8, steps=130), max_lag=20)
        curve = np.array(case["jac_h"])
        peak = curve.argmax()
        assert peak == 1
        first_below = int(np.argmax(curve <= curve.max() / 2))
        assert measured["gradient_half_life"].statistics["steps"] == first_below - peak

    def test_not_reached_is_censored(self):
        measured = curves(drive(linear([[0.999]], [[1.0]]), sequences=8, steps=64), max_lag=31)
        for name in ("gradient_half_life", "gradient_horizon"):
            estimate = measured[name]
            assert estimate.statistics["censored"]
            assert estimate.value == 31
            assert estimate.cannot_tell
            assert no_interval(estimate)

    def test_default_lags_grow_until_the_curve_has_ended(self):
        measured = curves(drive(linear([[0.9]], [[1.0]]), sequences=8, steps=400))
        assert not measured["gradient_horizon"].statistics["censored"]
        assert measured["gradient_horizon"].value == pytest.approx(43.708690653565675)


class TestUnderflow:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_a_curve_falls_below_the_smallest_float(self, dtype):
        truth = TRUTH["horizon"][2]
        run = drive(linear([[0.1]], [[1.0]]), sequences=8, steps=401, dtype=dtype)
        measured = curves(run, max_lag=400)
        for name in CURVES:
            log10 = measured[name].statistics["log10"]
            rounding = 1e-6 if dtype == np.float32 else 1e-10  # 0.1 itself is rounded
            assert log10[100] == pytest.approx(truth["log10_jacobian"], abs=100 * rounding)
            assert log10[400] == pytest.approx(-400, abs=400 * rounding)
        assert measured["gradient_half_life"].value == pytest.approx(np.log10(2), rel=1e-5)

    def test_growth_beyond_the_largest_float_is_kept_as_logarithm(self):
        """1e308 is passed at lag 400, where the state is still finite: h = 0 without input."""
        run = run_of(linear([[7.0]], [[1.0]]), np.zeros((8, 401, 1)))
        with np.errstate(over="ignore"):
            typical = curves(run, max_lag=400)["state_jacobian_typical"]
        assert typical.statistics["log10"][400] == pytest.approx(400 * np.log10(7), rel=1e-12)


class TestExactZeros:
    def test_share_of_zeros_and_typical_over_the_rest(self):
        """A ReLU unit: J_k = 0.5^k if it was on at all steps since, else exactly 0."""
        lags = 4
        run = run_of(scalar(0.5, "relu"), np.random.default_rng(0).normal(0.3, 1, (16, 15 * lags, 1)))
        on = (run.outputs[..., 0] > 0).reshape(16, 15, lags)[:, :, ::-1]
        alive = np.cumprod(on, -1)
        measured = curves(run, max_lag=lags - 1)
        rms, typical = measured["state_jacobian_rms"], measured["state_jacobian_typical"]
        decay = 0.5 ** np.arange(lags)
        np.testing.assert_allclose(rms.value, decay * np.sqrt(alive.mean((0, 1))), rtol=1e-10)
        np.testing.assert_array_equal(typical.value, 0)
        np.testing.assert_allclose(typical.statistics["zero_share"], 1 - alive.mean((0, 1)), atol=1e-12)
        np.testing.assert_allclose(typical.statistics["typical_where_not_zero"], decay, rtol=1e-10)

    def test_zeros_make_no_warning_and_no_nan(self):
        run = drive(linear_case("memoryless_2")[0], sequences=16, steps=100)
        measured = curves(run, max_lag=5)
        for name in CURVES:
            assert np.isfinite(measured[name].value).all()
        assert measured["gradient_horizon"].value == 1
        assert measured["gradient_half_life"].value == 1

    def test_a_state_that_ignores_its_input(self):
        measured = curves(drive(linear([[0.5]], [[0.0]]), sequences=8, steps=100), max_lag=5)
        np.testing.assert_array_equal(measured["state_jacobian_rms"].value, 0)
        assert not np.isfinite(measured["gradient_horizon"].value) or measured["gradient_horizon"].value == 0


class TestProbes:
    @staticmethod
    def wide(readout):
        rng = np.random.default_rng(0)
        w = 0.9 * np.linalg.qr(rng.normal(size=(80, 80)))[0]
        b, c = rng.normal(size=(80, 2)), rng.normal(size=(readout, 80))
        truth = [np.linalg.norm(np.linalg.matrix_power(w, k) @ b) for k in range(4)]
        output = [np.linalg.norm(c @ np.linalg.matrix_power(w, k) @ b) for k in range(4)]
        return linear(w, b, c), np.array(truth), np.array(output)

    def test_random_probes_are_unbiased_and_nearly_typical(self):
        model, truth, output = self.wide(1)
        measured = curves(drive(model, sequences=16, steps=64), max_lag=3)
        rms, typical = measured["state_jacobian_rms"], measured["state_jacobian_typical"]
        assert (np.asarray(rms.standard_error) > 0).all()
        assert within_errors(rms, truth)
        low = np.exp(-1 / 16) * truth - 4 * typical.standard_error
        assert (typical.value >= low).all()
        assert (typical.value <= truth + 4 * typical.standard_error).all()
        np.testing.assert_allclose(measured["output_jacobian_rms"].value, output, rtol=1e-10)
        np.testing.assert_allclose(measured["output_jacobian_typical"].value, output, rtol=1e-10)

    def test_probes_follow_the_seed(self):
        run = drive(self.wide(1)[0], sequences=8, steps=64)
        first, again, other = (curves(run, max_lag=3, seed=seed)["state_jacobian_rms"].value for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_up_to_64_units_nothing_is_random(self):
        w = 0.9 * np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]
        run = drive(linear(w, np.eye(64)[:, :1]), sequences=8, steps=32)
        np.testing.assert_allclose(
            curves(run, max_lag=3)["state_jacobian_typical"].value, 0.9 ** np.arange(4), rtol=1e-10
        )


class TestFewSequences:
    @pytest.mark.parametrize("sequences", [1, 7])
    def test_fewer_than_eight_give_numbers_without_interval(self, sequences):
        run = drive(scalar(0.7), sequences=sequences, steps=100)
        for estimate in lag_jacobian(run, max_lag=9):
            assert np.isfinite(estimate.value).all()
            assert no_interval(estimate)
            assert estimate.cannot_tell

    def test_eight_are_enough_for_the_typical_curve_alone(self):
        """Fewer than 15 sequences cannot carry a mean of squares."""
        measured = curves(drive(scalar(0.7), sequences=8, steps=100), max_lag=9)
        assert np.isfinite(measured["state_jacobian_typical"].low).all()
        assert np.isfinite(measured["gradient_half_life"].low)
        assert np.isnan(measured["state_jacobian_rms"].low).all()


class TestBadLags:
    run = drive(scalar(0.7), sequences=8, steps=40)

    @pytest.mark.parametrize("max_lag", [-1, 1000])
    def test_lags_that_the_run_cannot_give(self, max_lag):
        with pytest.raises(ValueError, match="lag"):
            lag_jacobian(self.run, max_lag=max_lag)

    def test_more_lags_than_half_of_the_run(self):
        curve = curves(self.run, max_lag=30)["state_jacobian_rms"]
        assert len(curve.value) == 31
        np.testing.assert_array_equal(curve.axes["lag"], np.arange(31))


def test_input_scale_scales_the_curve():
    model = random_model(RNN(2, 3), 1, 0.5)
    run = run_of(model, np.random.default_rng(0).normal(size=(8, 40, 2)))
    stretched = Model(model.architecture, {**model.weights, "weight_ih": model.weights["weight_ih"] / 5})
    other = run_of(stretched, 5 * run.inputs)
    for name in CURVES:
        np.testing.assert_allclose(
            curves(other, max_lag=4)[name].value, curves(run, max_lag=4)[name].value / 5, rtol=1e-10
        )
