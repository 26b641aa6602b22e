"""What training did to weights and kernels, on synthetic weights whose structure is known."""

import numpy as np
import pytest

from hitherto.architectures.gated import GRU
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, build, states_and_outputs
from hitherto.measures.trained_kernel import trained_kernel

WIDTH, TIMES = 100, 4
PULSE = np.zeros((3, TIMES, 8))
PULSE[:, 0] = 8**0.5 * np.eye(8)[:3]


def network(learned=0.0, *, width=WIDTH, g=1.0, seed=0, activation="tanh", parametrisation="mean_field", channels=8):
    """A network whose weight_hh is Gaussian of variance g^2 / N with `learned` added."""
    layer = RNN(channels, width, 1, activation, bias=False, parametrisation=parametrisation)
    rng = np.random.default_rng(seed)
    weights = {
        "weight_hh": g * rng.standard_normal((width, width)) / width**0.5 + learned,
        "weight_ih": rng.standard_normal((width, channels)) / channels**0.5,
        "readout": rng.standard_normal((1, width)),
    }
    return Model(layer, weights)


def one_unit(seed):
    direction = np.random.default_rng(seed).standard_normal(WIDTH)
    return direction / np.linalg.norm(direction)


def first_state(model):
    h = np.tanh(PULSE[0, 0] @ model.weights["weight_ih"].T)
    return h / np.linalg.norm(h)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("g", [0.7, 1.3])
def test_gaussian_weights_are_lazy(seed, g):
    found = trained_kernel(network(g=g, seed=seed), PULSE)
    assert found.regime == "lazy"
    assert found.eigenvalues.value.size == found.singular_values.value.size == 0
    assert found.bulk.value == pytest.approx(g, abs=5 * found.bulk.standard_error)


def test_weights_that_keep_a_direction_are_coherent():
    before = network()
    direction = first_state(before)
    found = trained_kernel(network(1.8 * np.outer(direction, direction)), PULSE)
    assert found.regime == "coherent"
    assert found.coherence.value[0] > found.coherence.statistics["limit"][0]
    assert found.eigenvalues.value[0] == pytest.approx(1.8, abs=0.3)
    assert len(found.eigenvalues.value) == 1
    assert "correlate" in found.reason


def test_weights_that_lead_a_direction_to_another_are_rich_but_incoherent():
    before = network()
    found = trained_kernel(network(2.5 * np.outer(one_unit(7), first_state(before))), PULSE)
    assert found.regime == "rich but incoherent"
    assert found.eigenvalues.value.size == 0
    assert len(found.singular_values.value) == 1
    assert np.argmax(found.gain.value) == 0
    assert found.gain.value[0] == pytest.approx(1 + 2.5**2, rel=0.25)


def test_what_no_input_reaches_is_seen_in_the_singular_values():
    before = network(channels=8)
    silent = np.linalg.svd(np.concatenate([states_of(before, x) for x in PULSE]))[2][-1]
    found = trained_kernel(network(3.0 * np.outer(one_unit(7), silent)), PULSE)
    assert found.regime == "rich but incoherent"
    assert "1 singular value of weight_hh lies outside" in found.reason


def states_of(model, x):
    return np.asarray(states_and_outputs(model, x)[0].h)


def test_the_kernel_is_that_of_the_states():
    model = network()
    found = trained_kernel(model, PULSE).kernel
    states = np.stack([states_of(model, x) for x in PULSE])
    for a, t, b, s in ((0, 0, 0, 0), (1, 2, 1, 3), (2, 1, 0, 3)):
        assert found.value[t * 3 + a, s * 3 + b] == pytest.approx(states[a, t] @ states[b, s] / WIDTH, rel=1e-12)


def test_the_time_kernel_is_its_mean_over_patterns():
    found = trained_kernel(network(), PULSE)
    by_pattern = found.kernel.value.reshape(TIMES, 3, TIMES, 3)
    assert found.times.value == pytest.approx(by_pattern.diagonal(0, 1, 3).mean(-1), rel=1e-12)


def test_the_spectrum_is_that_of_the_weights_in_use():
    model = network(g=1.2)
    real, imaginary = trained_kernel(model, PULSE).spectrum.value
    values = real + 1j * imaginary
    assert values.sum() == pytest.approx(np.trace(model.weights["weight_hh"]))
    assert np.prod(values) == pytest.approx(np.linalg.det(model.weights["weight_hh"]))
    assert (np.diff(np.abs(values)) <= 1e-12).all()


def test_coherence_is_the_cosine_of_one_pattern():
    model = network()
    h = states_of(model, PULSE[0])
    found = trained_kernel(model, PULSE[:1]).coherence
    cosine = h[0] @ h[3] / np.linalg.norm(h[0]) / np.linalg.norm(h[3])
    assert found.value[2] == pytest.approx(abs(cosine), rel=1e-12)
    assert list(found.axes["lag"]) == [1, 2, 3]


def test_linear_coherence_by_chance_is_that_of_the_theory():
    """N <rho rho^T> at the prior is 1 and 2 for the pairs of three times: their mean over two pairs is 1.5 / N."""
    model = network(width=200, activation="linear")
    squares = [trained_kernel(model, PULSE[:, :3], seed=s).coherence.statistics["by_chance"][0] for s in range(3)]
    assert np.mean(squares) ** 2 * 200 == pytest.approx(1.5, rel=0.3)


def test_the_order_of_units_does_not_matter():
    model, order = network(), np.random.default_rng(1).permutation(WIDTH)
    w = model.weights
    turned = w | {"weight_hh": w["weight_hh"][order][:, order], "weight_ih": w["weight_ih"][order]}
    turned["readout"] = w["readout"][:, order]
    one, other = trained_kernel(model, PULSE), trained_kernel(Model(model.architecture, turned), PULSE)
    assert one.kernel.value == pytest.approx(other.kernel.value, rel=1e-10, abs=1e-12)
    assert one.coherence.value == pytest.approx(other.coherence.value, rel=1e-10)
    assert one.gain.value == pytest.approx(other.gain.value, rel=1e-10)
    assert one.bulk.value == pytest.approx(other.bulk.value, rel=1e-10)


def test_other_parametrisations_show_what_is_used():
    plain, scaled = network(), network(parametrisation="ntk")
    weights = {name: w * (1 if name == "readout" else w.shape[1] ** 0.5) for name, w in plain.weights.items()}
    one, other = trained_kernel(plain, PULSE), trained_kernel(Model(scaled.architecture, weights), PULSE)
    assert other.bulk.value == pytest.approx(one.bulk.value, rel=1e-9)


def test_relu_networks_are_compared_with_their_own_chance():
    found = trained_kernel(network(g=1.4, activation="relu"), PULSE)
    assert found.coherence.statistics["by_chance"].min() > 0.2  # what is positive correlates
    assert found.regime == "lazy"


def test_float32_models_are_measured_alike():
    single = build(RNN(8, 50, 1, bias=False), 0)
    assert trained_kernel(single, PULSE).kernel.value.dtype == np.float64


def test_estimates_have_sources_and_axes():
    found = trained_kernel(network(), PULSE)
    assert len(found.estimates) == 8
    assert all(e.source and e.to_dict() for e in found.estimates)


def test_what_has_no_such_kernel_is_refused():
    with pytest.raises(ValueError, match="give one RNN layer"):
        trained_kernel(build(GRU(8, 5), 0), PULSE)
    with pytest.raises(ValueError, match="at least 3 times"):
        trained_kernel(network(), PULSE[:, :2])
    with pytest.raises(ValueError, match=r"\(pattern, time, 8\)"):
        trained_kernel(network(), PULSE[..., :3])
