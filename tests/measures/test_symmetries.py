"""What must not change an answer: order of sequences and units, the basis, units that do nothing."""

import numpy as np
import pytest
from models import linear_case, named, one_lstm, random_model, run_of, some_sequences

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import Model
from hitherto.measures.context import context
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.lyapunov import lyapunov
from hitherto.measures.state_use import state_use
from hitherto.measures.trajectory import drive
from hitherto.measures.weight_spectrum import weight_spectrum
from hitherto.profiling import Settings, measure, profile

ROUNDING = 1e-9
INPUTS = np.random.default_rng(9).normal(size=(16, 84, 2))


def answers(run):
    """Everything that has no random number tied to a unit, by quantity and part."""
    swaps = [e for e in context(run, max_lag=6) if "shuffled" not in e.quantity.name]
    return named((*lag_jacobian(run, max_lag=6), *swaps, *state_use(run)))


def same(one, two, skip=()):
    """Values and standard errors equal to rounding, of everything but the quantities to be skipped."""
    for key, estimate in one.items():
        name = key if isinstance(key, str) else key[0]
        if name in skip:
            continue
        np.testing.assert_allclose(two[key].value, estimate.value, rtol=ROUNDING, atol=1e-12, err_msg=str(key))
        if estimate.standard_error is not None:
            np.testing.assert_allclose(
                two[key].standard_error, estimate.standard_error, rtol=1e-6, atol=1e-9, err_msg=str(key)
            )


def permuted(model, order, gates):
    """The same model with its units in another order."""
    rows = np.concatenate([gate * len(order) + order for gate in range(gates)])
    weights = {name: w[rows] for name, w in model.weights.items() if name != "readout"}
    weights["weight_hh"] = weights["weight_hh"][:, order]
    weights["readout"] = model.weights["readout"][:, order]
    return Model(model.architecture, weights)


MODELS = {
    "rnn": (RNN(2, 4, readout_size=2), 1),
    "lstm": (LSTM(2, 3, readout_size=1), 4),
    "gru": (GRU(2, 3, readout_size=1), 3),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_order_of_units(name):
    architecture, gates = MODELS[name]
    model = random_model(architecture, 1, 0.5)
    order = np.random.default_rng(0).permutation(architecture.width)[::-1]
    moved = permuted(model, order, gates)
    run, other = run_of(model, INPUTS), run_of(moved, INPUTS)
    np.testing.assert_allclose(other.outputs, run.outputs, atol=1e-12)
    by_unit = ("gate_times",)
    same(answers(run), answers(other), by_unit)
    times = named(state_use(run)).get("gate_times")
    if times is not None:
        moved_times = named(state_use(other))["gate_times"]
        np.testing.assert_allclose(moved_times.value, times.value[order], rtol=ROUNDING)
    facts, others = named(weight_spectrum(model)), named(weight_spectrum(moved))
    for key, estimate in facts.items():
        np.testing.assert_allclose(others[key].value, estimate.value, rtol=1e-6, atol=1e-7, err_msg=str(key))


def test_order_of_sequences():
    run = run_of(random_model(MODELS["lstm"][0], 1, 0.5), INPUTS)
    same(answers(run), answers(some_sequences(run, slice(None, None, -1))))


def test_an_orthogonal_basis_of_a_linear_net():
    model, _ = linear_case("triangular_two_rates")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(2, 2)))[0]
    w = model.weights
    turned = Model(
        model.architecture,
        {
            "weight_hh": turn @ w["weight_hh"] @ turn.T,
            "weight_ih": turn @ w["weight_ih"],
            "readout": w["readout"] @ turn.T,
        },
    )
    inputs = INPUTS[..., :1]
    run, other = run_of(model, inputs), run_of(turned, inputs)
    tied_to_units = ("correlation_participation_ratio", "idle_units", "stuck_units", "switching_units")
    same(answers(run), answers(other), tied_to_units)
    exponents = [lyapunov(r)[0].value for r in (run, other)]
    np.testing.assert_allclose(exponents[0], exponents[1], atol=1e-6)
    invariant = (
        "spectral_radius",
        "largest_singular_value",
        "numerical_abscissa",
        "henrici_departure",
        "transient_peak",
    )
    facts, others = named(weight_spectrum(model)), named(weight_spectrum(turned))
    for fact in invariant:
        assert others[fact].value == pytest.approx(facts[fact].value, rel=1e-9)


def test_a_unit_that_does_nothing():
    """Counts per unit and the exponents of the state see it; nothing else does."""
    model = random_model(RNN(2, 3, readout_size=2), 1, 0.5)
    w = model.weights
    wider = Model(
        RNN(2, 4, readout_size=2),
        {
            "weight_hh": np.pad(w["weight_hh"], ((0, 1), (0, 1))),
            "weight_ih": np.pad(w["weight_ih"], ((0, 1), (0, 0))),
            "bias_ih": np.pad(w["bias_ih"], (0, 1)),
            "bias_hh": np.pad(w["bias_hh"], (0, 1)),
            "readout": np.pad(w["readout"], ((0, 0), (0, 1))),
        },
    )
    run, other = run_of(model, INPUTS), run_of(wider, INPUTS)
    counts = ("idle_units", "state_spectrum")
    same(answers(run), answers(other), counts)
    before, after = named(state_use(run)), named(state_use(other))
    assert after["idle_units"].value == before["idle_units"].value + 1
    narrow, wide = lyapunov(run)[0].value, lyapunov(other)[0].value
    assert wide[-1] == -np.inf
    assert wide[:-1].sum() == pytest.approx(narrow.sum(), abs=1e-9)


def test_amplitude_of_what_nobody_reads_does_not_matter():
    """Output scale cancels in the context, and scales the output Jacobian."""
    model = random_model(MODELS["gru"][0], 1, 0.5)
    louder = Model(model.architecture, {**model.weights, "readout": 1e6 * model.weights["readout"]})
    one, two = answers(run_of(model, INPUTS)), answers(run_of(louder, INPUTS))
    same(one, two, ("output_jacobian_rms", "output_jacobian_typical"))
    np.testing.assert_allclose(two["output_jacobian_rms"].value, 1e6 * one["output_jacobian_rms"].value, rtol=ROUNDING)


def test_exponents_do_not_depend_on_the_order_of_units():
    """The first directions are random and tied to units; the sum of all exponents is not."""
    architecture, gates = MODELS["lstm"]
    model = random_model(architecture, 1, 0.5)
    run, other = run_of(model, INPUTS), run_of(permuted(model, np.array([2, 0, 1]), gates), INPUTS)
    assert lyapunov(other)[0].value.sum() == pytest.approx(lyapunov(run)[0].value.sum(), abs=1e-9)


class TestProfile:
    @pytest.mark.slow
    def test_both_directions_are_measured_apart(self):
        """Driving such a model is refused; its profile drives each direction in its own time."""
        model = random_model(Bidirectional(RNN(1, 2), RNN(1, 2)), 0, 0.4)
        with pytest.raises(ValueError, match="future"):
            drive(model)
        settings = Settings(sequences=8, steps=60)
        found = profile(model, settings=settings)
        parts = {e.part for e in found.estimates}
        assert any("forward" in part for part in parts)
        assert any("backward" in part for part in parts)
        for direction in ("forward", "backward"):
            assert np.isfinite(found.estimate("state_jacobian_typical", direction).value).all()
        with pytest.raises(ValueError, match="forward"):
            found.estimate("state_jacobian_typical", "sideways")

    def test_the_backward_layer_alone_is_the_forward_one(self):
        """One layer's curve does not depend on the direction in which it reads white noise."""
        layer = random_model(RNN(1, 2), 3, 0.4)
        twins = Model(Bidirectional(RNN(1, 2), RNN(1, 2)), (layer.weights, layer.weights))
        settings = Settings(sequences=16, steps=100)
        one, two = (
            measure("state_jacobian_typical", twins, part=part, settings=settings) for part in ("forward", "backward")
        )
        assert one.value[0] == pytest.approx(two.value[0], rel=0.2)

    @pytest.mark.parametrize("bad", [np.zeros((4, 50, 3)), np.full((4, 50, 1), np.nan), np.zeros((4, 1, 1))])
    def test_bad_input_is_refused_at_the_border(self, bad):
        with pytest.raises(ValueError, match="input"):
            measure("lyapunov_spectrum", one_lstm(), bad, settings=Settings(steps=20))

    def test_what_cannot_be_measured_is_left_out_with_its_reason(self):
        """Constant input: exponents and gradients are fine, context is undefined."""
        model = random_model(RNN(1, 2), 3, 0.4)
        found = profile(model, np.ones((8, 240, 1)))
        names = {e.quantity.name for e in found.estimates}
        assert "lyapunov_spectrum" in names
        assert "state_jacobian_typical" in names
        assert "context_replaced" not in names
        assert any("context" in str(finding) for finding in found.provenance["findings"])

    def test_one_deep_layer_is_itself(self):
        layer = random_model(GRU(2, 3), 1, 0.5)
        stack = Model(Deep((layer.architecture,)), (layer.weights,))
        one = {e.quantity.name: e for e in lag_jacobian(run_of(layer, INPUTS), max_lag=6)}
        two = {e.quantity.name: e for e in lag_jacobian(run_of(stack, INPUTS), max_lag=6)}
        for name, estimate in one.items():
            np.testing.assert_allclose(two[name].value, estimate.value, rtol=ROUNDING)
