"""The driven run: burn-in, forgetting, layers, and bad input."""

import re

import numpy as np
import pytest
from models import linear, one_lstm, random_model, run_of, scalar, small_net, some_sequences

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import build
from hitherto.measures.trajectory import causal_parts, drive, entered, flat, layers_of, white_noise


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_final_state_and_order_of_flat_states(name):
    model, inputs, case = small_net(name)
    run = run_of(model, inputs[None])
    assert flat(run.states).shape == (1, 11, len(case["final_state"]))
    np.testing.assert_allclose(flat(run.states)[0, -1], case["final_state"], rtol=0, atol=1e-14)


def test_states_follow_the_inputs_step_by_step():
    model = random_model(RNN(2, 3), 4, 0.4)
    inputs = np.random.default_rng(0).normal(size=(5, 260, 2))
    run = drive(model, inputs)
    w = model.weights
    before, after = flat(run.before), flat(run.after)
    recomputed = np.tanh(run.driving @ w["weight_ih"].T + before @ w["weight_hh"].T + w["bias_ih"] + w["bias_hh"])
    np.testing.assert_allclose(after, recomputed, atol=1e-13)
    np.testing.assert_allclose(run.outputs, after, atol=1e-13)
    np.testing.assert_array_equal(run.inputs[:, -run.steps :], run.driving)
    np.testing.assert_array_equal(run.driving, inputs[:, -run.steps :])
    assert run.lead + run.steps <= 260
    assert run.lead >= 100


def test_lead_inputs_lead_to_the_first_state():
    """Measures ask for inputs before the first state, so the lead must be the inputs that made it."""
    run = drive(linear([[0.5]], [[1.0]]), sequences=3, steps=50)
    first = run.inputs[:, : run.lead, 0] @ 0.5 ** np.arange(run.lead - 1, -1, -1.0)
    np.testing.assert_allclose(flat(run.states)[:, 0, 0], first, atol=1e-12)


def test_white_noise_law_and_seed():
    noise = white_noise(2, 40, 500, seed=3)
    assert noise.shape == (40, 500, 2)
    assert np.abs(noise).max() <= 3**0.5
    assert abs(noise.mean()) < 4 / noise.size**0.5
    assert abs(noise.var() - 1) < 4 * (4 / 5 / noise.size) ** 0.5  # var of x^2 is 9/5 - 1
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 4 / noise.size**0.5
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < 4 / noise[..., 0].size ** 0.5
    np.testing.assert_array_equal(noise, white_noise(2, 40, 500, seed=3))
    assert not np.array_equal(noise, white_noise(2, 40, 500, seed=4))
    np.testing.assert_allclose(white_noise(2, 40, 500, seed=3, amplitude=1.0) * 3**0.5, noise)


def test_defaults_say_what_drove_the_model():
    run = drive(scalar(0.5), sequences=4, steps=120)
    assert (run.sequences, run.steps, run.white, run.blocks) == (4, 120, True, False)
    assert "uniform" in run.law
    assert not drive(scalar(0.5), np.zeros((4, 220, 1))).white


class TestBurnIn:
    def test_lasts_until_a_far_start_is_forgotten(self):
        run = drive(linear([[0.9]], [[1.0]]), sequences=8, steps=1000)
        assert run.forgotten.all()
        assert 130 <= run.lead <= 500  # 0.9^131 = 1e-6
        spread = flat(run.states).std()
        assert 5 * spread * 0.9**run.lead < 1e-5 * spread

    def test_is_at_least_a_hundred_steps(self):
        run = drive(linear([[0.1]], [[1.0]]), np.random.default_rng(0).normal(size=(8, 1000, 1)))
        assert (run.lead, run.steps) == (100, 900)

    def test_is_at_most_half_of_a_given_sequence(self):
        run = drive(linear([[0.999]], [[1.0]]), np.random.default_rng(0).normal(size=(8, 300, 1)))
        assert run.lead == 150
        assert run.steps == 150
        assert not run.forgotten.any()
        assert any("forget" in finding for finding in run.findings)

    def test_a_bistable_unit_does_not_forget(self):
        run = drive(scalar(2.0), sequences=16, steps=200, amplitude=0.05)
        assert not run.forgotten.all()
        assert any("forget" in finding for finding in run.findings)
        assert set(np.sign(flat(run.states)[:, 1:].mean((1, 2)))) == {-1.0, 1.0}

    def test_an_unstable_state_without_spread_is_not_called_forgotten(self):
        """w = 2 at h = 0 with no input: any other start goes to +-0.9575, though the driven run never moves."""
        run = drive(scalar(2.0), np.zeros((16, 300, 1)))
        assert not run.forgotten.all()

    def test_given_start_is_where_the_run_begins(self):
        model = linear([[1.0]], [[1.0]])
        model.weights["initial_h"] = np.array([7.0])
        run = drive(model, np.zeros((4, 200, 1)))
        np.testing.assert_allclose(flat(run.states), 7.0)


class TestLayers:
    stack = Deep((LSTM(2, 3), GRU(3, 2)))

    def test_each_layer_reads_the_one_below(self):
        run = drive(random_model(self.stack, 1, 0.5), sequences=3, steps=30)
        parts = layers_of(run)
        assert [name for name, _ in parts] == ["layer 0", "layer 1"]
        lower, upper = parts[0][1], parts[1][1]
        np.testing.assert_allclose(upper.driving, lower.outputs, atol=1e-14)
        np.testing.assert_allclose(upper.outputs, run.outputs, atol=1e-14)
        assert flat(run.states).shape[-1] == 3 + 3 + 2
        joined = np.concatenate([flat(part.states) for _, part in parts], -1)
        np.testing.assert_array_equal(joined, flat(run.states))

    @pytest.mark.parametrize(
        "stack", [Deep((GRU(2, 2), LSTM(2, 3), GRU(3, 3)), "residual"), Deep((GRU(2, 3), LSTM(5, 3)), "input")], ids=str
    )
    def test_what_skips_a_layer_is_read_above_it(self, stack):
        model = random_model(stack, 1, 0.5)
        run = drive(model, np.random.default_rng(0).normal(size=(3, 130, 2)))
        *lower, (name, top) = layers_of(run)
        skipping = top.driving if stack.skip == "residual" else 0
        np.testing.assert_allclose(top.outputs + skipping, run.outputs, atol=1e-14)
        assert name == f"layer {len(lower)}"
        for (_, one), (_, layer, x) in zip(layers_of(run), entered(model, run.inputs), strict=True):
            assert layer.architecture == one.model.architecture
            np.testing.assert_allclose(x[:, -run.steps :], one.driving, atol=1e-12)

    def test_a_single_layer_is_its_own_only_layer(self):
        run = drive(scalar(0.5), sequences=3, steps=30)
        ((_, only),) = layers_of(run)
        np.testing.assert_array_equal(only.outputs, run.outputs)


class TestDirections:
    both = Bidirectional(RNN(2, 3), RNN(2, 2))

    @pytest.mark.parametrize("architecture", [both, Backward(RNN(1, 2)), Deep((RNN(2, 2), both))])
    def test_a_model_that_reads_the_future_is_refused(self, architecture):
        with pytest.raises(ValueError, match="future"):
            drive(build(architecture, 0))

    def test_parts_go_forward_each_in_its_own_time(self):
        inputs = np.random.default_rng(0).normal(size=(2, 20, 2))
        forward, backward = causal_parts(random_model(self.both, 0), inputs)
        np.testing.assert_array_equal(forward.inputs, inputs)
        np.testing.assert_array_equal(backward.inputs, inputs[:, ::-1])
        assert forward.model.architecture.causal
        assert backward.model.architecture.causal

    def test_a_layer_above_both_directions_reads_their_merged_outputs(self):
        from hitherto.core.model import states_and_outputs

        model = random_model(Deep((self.both, RNN(5, 2))), 0)
        inputs = np.random.default_rng(0).normal(size=(2, 20, 2))
        top = causal_parts(model, inputs)[-1]
        lower = type(model)(self.both, model.weights[0])
        merged = np.stack([states_and_outputs(lower, x)[1] for x in inputs])
        np.testing.assert_allclose(top.inputs, merged, atol=1e-12)

    def test_a_causal_model_is_one_part(self):
        inputs = np.zeros((2, 20, 1))
        (only,) = causal_parts(scalar(0.5), inputs)
        np.testing.assert_array_equal(only.inputs, inputs)


class TestPrecision:
    def test_float32_forward_is_kept_as_float64(self):
        model = random_model(LSTM(1, 3), 2)
        deployed = drive(model, sequences=4, steps=50, dtype=np.float32)
        exact = drive(model, sequences=4, steps=50)
        assert deployed.computed_in == "float32"
        assert exact.computed_in == "float64"
        kept = flat(deployed.states)
        assert kept.dtype == np.float64
        np.testing.assert_array_equal(kept, kept.astype(np.float32))
        assert not np.array_equal(kept, flat(exact.states))
        np.testing.assert_allclose(kept, flat(exact.states), atol=1e-4)

    def test_float32_weights_are_run_in_float64_by_default(self):
        run = drive(build(RNN(1, 3), 0), sequences=2, steps=20)
        states = flat(run.states)
        assert not np.array_equal(states, states.astype(np.float32))

    def test_a_perfect_cell_counts_in_float64(self):
        """f rounds to 1 in float32 already at a = 17, in float64 at 37: the run must keep the difference."""
        model = one_lstm(bias_ih={1: 20.0}, weight_ih={2: 1.0})
        model.weights["initial_c"] = np.array([1.0])
        run = drive(model, np.zeros((2, 2200, 1)))
        cells = flat(run.states)[0, :, 1]
        np.testing.assert_allclose(np.log(cells[-1] / cells[0]) / run.steps, -np.exp(-20.0), rtol=1e-3)


def test_a_single_sequence_becomes_twenty_blocks():
    inputs = np.random.default_rng(0).normal(size=(2100, 1))
    run = drive(scalar(0.5), inputs)
    assert run.blocks
    assert run.sequences == 20
    assert any("20 blocks" in finding for finding in run.findings)
    states = flat(run.states)
    np.testing.assert_allclose(states[1:, 0], states[:-1, -1], atol=1e-12)  # blocks are neighbours


def test_first_sequences():
    run = drive(scalar(0.5), sequences=5, steps=20)
    part = run.first(2)
    assert part.sequences == 2
    np.testing.assert_array_equal(part.outputs, some_sequences(run, slice(2)).outputs)


class TestBadInput:
    model = linear([[0.9]], [[1.0]])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_numbers_that_are_not_finite_are_located(self, bad):
        inputs = np.zeros((4, 50, 1))
        inputs[2, 7, 0] = bad
        with pytest.raises(ValueError, match=re.escape("(2, 7, 0)")):
            drive(self.model, inputs)

    @pytest.mark.parametrize("shape", [(4, 50, 2), (50,), (1, 4, 50, 1)])
    def test_wrong_shapes_name_what_was_found(self, shape):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            drive(self.model, np.zeros(shape))

    @pytest.mark.parametrize("shape", [(4, 1, 1), (4, 0, 1), (1, 1), (0, 50, 1)])
    def test_too_little_input(self, shape):
        with pytest.raises(ValueError, match="inputs"):
            drive(self.model, np.zeros(shape))

    def test_overflow_names_step_and_sequence(self):
        inputs = np.zeros((9, 300, 1))
        inputs[6, 250:252] = 1e308
        with pytest.raises(ValueError, match=r"step 251 of sequence 6"):
            drive(linear([[1.0]], [[1.0]]), inputs)

    def test_overflow_of_a_diverging_model(self):
        with pytest.raises(ValueError, match="overflow"):
            drive(linear([[1e3]], [[1.0]]), sequences=9, steps=200)

    def test_overflow_of_float32_alone(self):
        inputs = np.zeros((2, 200, 1))
        inputs[1, 3] = 1e38
        model = linear([[1.0]], [[9.0]])
        assert np.isfinite(drive(model, inputs).outputs).all()
        with pytest.raises(ValueError, match="step 3 of sequence 1"):
            drive(model, inputs, dtype=np.float32)

    def test_constant_input_is_no_obstacle(self):
        run = drive(scalar(0.5), np.ones((8, 300, 1)))
        assert run.forgotten.all()
        fixed = flat(run.states)[0, 0, 0]
        assert fixed == pytest.approx(np.tanh(0.5 * fixed + 1))
