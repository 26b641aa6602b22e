"""Profiles as a whole: what they hold, that they repeat, and that they cope with odd models and inputs."""

import json

import numpy as np
import pytest

import hitherto
from hitherto.comparing import saved_profile
from hitherto.core.quantity import QUANTITIES
from hitherto.profiling import MEASURES

QUICK = hitherto.Settings(sequences=16, steps=200)


@pytest.fixture(scope="module")
def gru():
    return hitherto.build(hitherto.GRU(2, 4), 0)


@pytest.fixture(scope="module")
def profile(gru):
    return hitherto.profile(gru, settings=QUICK)


def test_every_quantity_of_the_vocabulary_has_one_measure():
    measured = [quantity for row in MEASURES for quantity in row.quantities]
    assert len(set(measured)) == len(measured)
    weights = {"spectral_radius", "largest_singular_value", "numerical_abscissa", "henrici_departure"}
    weights |= {"transient_peak", "kreiss_bound", "contraction_bound", "leak_spectrum", "leak_half_lives"}
    elsewhere = {"start_end_rank", "start_end_ranks", "cut_spectrum", "cut_entropy", "cut_effective_rank"}
    elsewhere |= {"cut_participation_ratio", "cut_stable_rank", "distance_from_separable", "interaction_share"}
    elsewhere |= {"recall_accuracy", "solved", "saturation_length"}  # functions of their own, or theory
    elsewhere |= {"polynomial_degree", "input_degree", "log2_growth", "accuracy_by_length"}
    elsewhere |= {"state_order", "hankel_singular_values", "copy_reach", "noisy_memory", "fisher_memory"}
    elsewhere |= {"task_loss", "bits_per_symbol", "parameters", "function_gap", "copy_block_rank"}
    elsewhere |= {"response_dimension", "word_hankel_rank", "numerator_degree", "kernel_drift"}
    elsewhere |= {"twin_states", "extra_states", "extra_drive", "bias_per_decade", "least_scaled_norm", "scaled_norm"}
    elsewhere |= {"orthogonality_defect", "response_rank", "response_norm", "late_response", "visible_moduli"}
    elsewhere |= {"zero_modes", "drive_bound", "contractive_share", "explained_power", "explained_power_last"}
    elsewhere |= {"lag_kernel", "tangent_kernel", "response_variance", "mean_factor", "lag_error", "width_exponent"}
    elsewhere |= {"prior_total", "prior_peak", "learning_cost", "trained_response"}
    elsewhere |= {"response_movement", "loss_curve", "training_gap", "held_out_r2"}
    elsewhere |= {"hidden_kernel"}
    elsewhere |= {"mean_output", "output_variance", "held_out_error", "free_energy", "free_energies", "log_evidence"}
    elsewhere |= {"lag_curvature", "lag_determinant", "correlation_fluctuations", "critical_gain", "critical_signal"}
    elsewhere |= {"critical_noise", "realised_signal", "signal_exponent", "variance_ratio", "leading_angle"}
    elsewhere |= {"kernel_moments", "time_correlation", "last_variance", "held_out_errors", "ridge"}
    elsewhere |= {"weight_eigenvalues", "weight_singular_values"}
    assert {q.name for q in QUANTITIES} - {q.name for q in measured} == weights | elsewhere


def test_every_estimate_has_a_source_and_finite_or_honest_values(profile):
    names = {estimate.quantity.name for estimate in profile.estimates}
    assert {"gradient_half_life", "lyapunov_spectrum", "linear_memory_capacity", "effective_context"} <= names
    assert all(estimate.source for estimate in profile.estimates)
    assert not any(np.isnan(np.asarray(estimate.value, float)).any() for estimate in profile.estimates)


def test_json_holds_every_number_with_error_unit_and_name(profile):
    record = json.loads(profile.to_json())
    assert len(record["estimates"]) == len(profile.estimates)
    assert all({"quantity", "unit", "value", "standard_error", "low", "high"} <= set(e) for e in record["estimates"])
    assert record["verdict"] == list(profile.verdict)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(gru, profile):
    again = hitherto.measure("gradient_half_life", gru, settings=QUICK)
    assert again.value == profile.estimate("gradient_half_life").value
    other = hitherto.measure("gradient_half_life", gru, settings=hitherto.Settings(16, 200, seed=1))
    assert other.value != again.value


def test_page_and_plot_are_made(profile, tmp_path):
    page = profile.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == page
    assert len(page) < 2_000_000
    assert profile.plot().axes


def test_an_estimate_is_asked_by_name_and_part(profile):
    assert profile.estimate("spectral_radius", "update gate").part == "update gate"
    with pytest.raises(ValueError, match="it was measured for"):
        profile.estimate("spectral_radius", "nowhere")
    with pytest.raises(ValueError, match="no quantity is called 'memory'"):
        profile.estimate("memory")


def test_one_measure_alone_needs_its_part_only_where_there_are_several(gru):
    assert hitherto.measure("contraction_bound", gru).value > 0
    with pytest.raises(ValueError, match="name one with part="):
        hitherto.measure("spectral_radius", gru)


@pytest.mark.slow
def test_both_directions_are_profiled_apart():
    both = hitherto.Bidirectional(hitherto.GRU(2, 3), hitherto.GRU(2, 3))
    stack = hitherto.build(hitherto.Deep((both, hitherto.RNN(6, 2))), 1)
    found = hitherto.profile(stack, settings=QUICK)
    parts = {estimate.part for estimate in found.estimates if estimate.quantity.name == "gradient_half_life"}
    assert parts == {"layer 0 forward", "layer 0 backward", "layer 1"}
    assert any("layer 1 processing capacity not measured" in line for line in found.provenance["findings"])


@pytest.mark.slow
def test_the_backward_direction_of_a_mirrored_model_is_the_forward_one():
    model = hitherto.build(hitherto.Bidirectional(hitherto.RNN(2, 3), hitherto.RNN(2, 3)), 1)
    mirrored = hitherto.Model(model.architecture, (model.weights[0], model.weights[0]))
    found = hitherto.profile(mirrored, settings=QUICK)
    ahead, back = (found.estimate("gradient_half_life", part) for part in ("forward", "backward"))
    assert ahead.value == back.value


@pytest.mark.slow
def test_own_inputs_may_be_one_sequence_or_tokens(gru):
    rng = np.random.default_rng(0)
    single = hitherto.profile(gru, rng.standard_normal((3000, 2)))
    assert any("cut into 20 blocks" in line for line in single.provenance["findings"])
    tokens = hitherto.profile(gru, rng.integers(0, 2, (16, 200)))
    assert tokens.provenance["own_data"]


def test_what_cannot_be_measured_is_a_finding_not_an_end(gru):
    short = hitherto.profile(gru, np.random.default_rng(0).standard_normal((2, 6, 2)))
    assert short.provenance["findings"]
    assert any(e.cannot_tell for e in short.estimates)
    constant = hitherto.profile(gru, np.zeros((16, 200, 2)))
    assert any("linear memory not measured" in line for line in constant.provenance["findings"])
    assert constant.to_html()


def test_a_model_that_ignores_its_input_is_said_to():
    layer = hitherto.RNN(1, 2)
    weights = {
        "weight_ih": np.zeros((2, 1)),
        "weight_hh": 0.5 * np.eye(2),
        "bias_ih": np.zeros(2),
        "bias_hh": np.zeros(2),
    }
    found = hitherto.profile(hitherto.Model(layer, weights), settings=QUICK)
    assert "does not depend on the input" in found.verdict[0]


@pytest.fixture(scope="module")
def coherent():
    """A network whose W keeps the direction of its first state, and the pulses it was made for."""
    rng, layer = np.random.default_rng(0), hitherto.RNN(4, 64, 1, bias=False)
    pulses = np.zeros((16, 12, 4))
    pulses[:, 0] = rng.choice([-2.0, 2.0], (16, 1)) * np.eye(4)[0]
    weights = {name: np.asarray(w, float) for name, w in hitherto.build(layer, 0).weights.items()}
    first = np.tanh(2 * weights["weight_ih"][:, 0])
    weights["weight_hh"] = weights["weight_hh"] + 2 * np.outer(first, first) / (first @ first)
    return hitherto.Model(layer, weights), pulses


def test_what_training_made_of_recurrent_weights_is_told_from_the_inputs(coherent, tmp_path):
    model, pulses = coherent
    found = hitherto.profile(model, pulses)
    assert any("the recurrent weights are coherent: states" in sentence for sentence in found.verdict)
    assert any("theory expects 1 eigenvalue (" in sentence for sentence in found.verdict)
    assert not any("trained kernel" in line for line in found.provenance["findings"])
    (measured,) = found.estimate("eigenvalue_outliers").value
    expected = found.estimate("expected_eigenvalues").value
    assert np.hypot(*expected[:, 0]) == pytest.approx(measured, abs=0.1)
    page = found.to_html()
    assert 'id="recurrent-spectrum"' in page
    assert 'id="time-kernel"' in page
    found.to_json(tmp_path / "numbers.json")
    again = saved_profile(tmp_path / "numbers.json")
    assert again.estimate("expected_singular_values").value == pytest.approx(
        found.estimate("expected_singular_values").value
    )
    assert again.verdict == found.verdict


def test_every_simple_layer_of_a_stack_has_its_trained_kernel(coherent):
    stack = hitherto.build(hitherto.Deep((hitherto.GRU(4, 3), hitherto.RNN(3, 16))), 0)
    found = hitherto.measure("temporal_coherence", stack, coherent[1])
    assert (found.part, found.statistics["regime"]) == ("layer 1", "lazy")


def test_why_there_is_no_trained_kernel_is_said(gru, coherent):
    with pytest.raises(ValueError, match="needs the inputs of the training: profile with them"):
        hitherto.measure("temporal_coherence", coherent[0], settings=QUICK)
    with pytest.raises(ValueError, match="the one matrix that makes all states of a simple RNN layer"):
        hitherto.measure("recurrent_gain", gru, np.zeros((16, 50, 2)))


def test_what_is_about_other_models_is_no_finding(profile):
    assert not any("trained kernel" in line for line in profile.provenance["findings"])


def test_float32_runs_are_told_apart(gru):
    deployed = hitherto.profile(gru, settings=hitherto.Settings(16, 200, precision="float32"))
    assert deployed.provenance["precision"] == "float32"
    wide = hitherto.measure("gradient_half_life", gru, settings=QUICK)
    assert deployed.estimate("gradient_half_life").value == pytest.approx(wide.value, rel=1e-3)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="at least 2 sequences of 2 steps"):
        hitherto.Settings(sequences=1)
    with pytest.raises(ValueError, match="step_seconds must be positive"):
        hitherto.Settings(step_seconds=0.0)


def test_the_embedded_model_is_real_and_small():
    model, inputs = hitherto.embedded_model()
    assert (model.architecture.input_size, model.architecture.output_size) == (64, 128)
    assert inputs.shape == (64, 1200, 64)
    assert (inputs.sum(-1) == 1).all()
    _, outputs = hitherto.states_and_outputs(model, inputs[0, :50])
    assert np.abs(outputs).max() <= 1
