"""Spectral facts against exact values; proofs of contraction against what models really do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import TRUTH, jacobians, linear, named, random_model, run_of, step_matrices

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import Hidden, HiddenAndCell, Model, build, precision
from hitherto.measures.weight_spectrum import (
    henrici,
    kreiss_bound,
    leaks,
    matrix_facts,
    scaled_norm,
    spectral_radius,
    transient_peak,
    weight_spectrum,
)

SPECTRAL = TRUTH["spectral"]
matrices = pytest.mark.parametrize("name", SPECTRAL)


def matrix(name):
    return np.array(SPECTRAL[name]["W"], float)


@matrices
def test_facts(name):
    w, truth = matrix(name), SPECTRAL[name]
    facts = named(matrix_facts(w))
    for fact in ("spectral_radius", "largest_singular_value", "numerical_abscissa", "transient_peak"):
        assert facts[fact].value == pytest.approx(truth[fact], rel=1e-10, abs=1e-10)
    # the square root of a difference keeps half of the digits where the matrix is normal
    assert facts["henrici_departure"].value == pytest.approx(truth["henrici"], rel=1e-10, abs=3e-8)
    assert facts["transient_peak"].statistics["step"] == truth["transient_peak_step"]
    assert spectral_radius(w) == facts["spectral_radius"].value
    assert henrici(w) == facts["henrici_departure"].value
    assert transient_peak(w) == (facts["transient_peak"].value, truth["transient_peak_step"])


@matrices
def test_kreiss_bound(name):
    truth = SPECTRAL[name]
    bound = kreiss_bound(matrix(name))
    assert bound >= 1
    assert bound >= truth["kreiss_lower_bound_on_grid"] * (1 - 1e-3)
    assert bound <= truth["transient_peak"] * (1 + 1e-9)


@matrices
def test_scaled_norm(name):
    w, truth = matrix(name), SPECTRAL[name]
    norm = scaled_norm(w)
    assert norm == pytest.approx(truth["best_diagonal_scaled_norm"], rel=1e-4, abs=1e-4)
    assert norm >= truth["spectral_radius"] * (1 - 1e-9)
    assert norm <= truth["largest_singular_value"] * (1 + 1e-9)


@matrices
def test_bound_of_a_tanh_layer(name):
    w, truth = matrix(name), SPECTRAL[name]
    n = len(w)
    model = Model(RNN(1, n, bias=False), {"weight_hh": w, "weight_ih": np.ones((n, 1))})
    best = min(truth["radius_of_abs"], truth["best_diagonal_scaled_norm"])
    bound = named(weight_spectrum(model))["contraction_bound"]
    assert bound.value == pytest.approx(best, rel=1e-3, abs=1e-3)
    assert bool(bound.cannot_tell) == (best >= 1)


def test_radius_of_a_nilpotent_matrix_in_a_bent_basis_is_rounding():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    w = basis @ np.eye(6, k=-1) @ basis.T
    assert np.abs(np.linalg.eigvals(w)).max() > 1e-4  # what a plain answer would be
    assert spectral_radius(w) == 0
    assert henrici(w) == pytest.approx(1, abs=1e-6)


def test_a_small_true_radius_is_not_taken_for_rounding():
    assert spectral_radius(np.diag([1e-3, 5e-4])) == pytest.approx(1e-3)
    assert spectral_radius(np.array([[0.05, 10.0], [0.0, 0.05]])) == pytest.approx(0.05, rel=1e-6)


class TestEdges:
    def test_zero_matrix(self):
        zero = np.zeros((3, 3))
        assert spectral_radius(zero) == 0
        assert henrici(zero) == 0
        assert transient_peak(zero) == (1.0, 0)
        assert kreiss_bound(zero) == pytest.approx(1)
        assert scaled_norm(zero) == 0

    def test_a_radius_of_one_and_more_is_said(self):
        for w in (np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.1]])):
            peak = named(matrix_facts(w))["transient_peak"]
            assert peak.cannot_tell
            assert "horizon" in peak.statistics

    def test_late_peak_of_a_slow_matrix(self):
        w = np.array([[0.99, 1.0], [0.0, 0.99]])
        powers = [np.linalg.norm(np.linalg.matrix_power(w, k), 2) for k in range(400)]
        peak, step = transient_peak(w)
        assert peak == pytest.approx(max(powers), rel=1e-10)
        assert step == int(np.argmax(powers))

    def test_a_dip_before_the_peak_does_not_stop_the_search(self):
        """|W^k| falls below 1 and only then rises: a weak start of a long chain of gains."""
        w = np.zeros((8, 8))
        w[np.arange(1, 8), np.arange(7)] = [0.5, 0.5, 3.0, 3.0, 0.5, 0.5, 3.0]
        powers = [np.linalg.norm(np.linalg.matrix_power(w, k), 2) for k in range(9)]
        assert transient_peak(w)[0] == pytest.approx(max(powers))

    def test_a_return_above_one_after_falling_below(self):
        """Blocks: one decays at once, the other, tiny at first, swells to 2 ten steps later."""
        w = np.zeros((12, 12))
        w[np.arange(1, 12), np.arange(11)] = [0.1] * 3 + [4.0] * 8
        powers = [np.linalg.norm(np.linalg.matrix_power(w, k), 2) for k in range(13)]
        assert transient_peak(w)[0] == pytest.approx(max(powers))

    def test_blocks_of_a_gated_layer(self):
        rng = np.random.default_rng(0)
        weights = {
            "weight_hh": rng.normal(size=(12, 3)) * np.repeat([0.1, 0.2, 0.3, 0.4], 3)[:, None],
            "weight_ih": np.zeros((12, 1)),
            "bias_ih": np.zeros(12),
            "bias_hh": np.zeros(12),
        }
        facts = named(weight_spectrum(Model(LSTM(1, 3), weights)))
        for row, block in enumerate(("input gate", "forget gate", "candidate", "output gate")):
            w = weights["weight_hh"][3 * row : 3 * row + 3]
            assert facts["largest_singular_value", block].value == pytest.approx(np.linalg.norm(w, 2))
            assert facts["spectral_radius", block].value == pytest.approx(np.abs(np.linalg.eigvals(w)).max())


BOUNDED = {
    "tanh": RNN(2, 3),
    "sigmoid": RNN(2, 3, activation="sigmoid"),
    "relu": RNN(2, 3, activation="relu"),
    "leaky_relu(2.0)": RNN(2, 3, activation="leaky_relu(2.0)"),
    "gru after": GRU(2, 3),
    "gru before": GRU(2, 3, reset="before"),
    "gru with relu": GRU(2, 3, activation="relu"),
    "gru with hard gates": GRU(2, 3, gate_activation="hard_sigmoid"),
    "lstm": LSTM(2, 3),
    "lstm projected": LSTM(2, 3, projection=2),
    "lstm with peepholes": LSTM(2, 3, peephole=True),
    "lstm coupled": LSTM(2, 3, coupled=True),
    "lstm with relu": LSTM(2, 3, activation="relu", cell_activation="relu"),
    "lstm with hard gates": LSTM(2, 3, gate_activation="hard_sigmoid"),
}


def growth(run):
    """ln of the norm of the product of all step matrices, per step, of the worst sequence."""
    rates = []
    for matrices in step_matrices(run):
        product, log = np.eye(matrices.shape[-1]), 0.0
        for d in matrices:
            product = d @ product
            log += np.log(np.linalg.norm(product))
            product /= np.linalg.norm(product)
        rates.append(log / run.steps)
    return max(rates)


@pytest.mark.parametrize("name", BOUNDED)
def test_no_model_grows_faster_than_its_proven_bound(name):
    """A Lipschitz constant q in some norm: products of k Jacobians are at most (a constant) q^k."""
    inputs = np.sign(np.random.default_rng(1).normal(size=(2, 150, 2)))
    for seed, scale in ((0, 0.1), (1, 0.3), (2, 0.8)):
        model = random_model(BOUNDED[name], seed, scale)
        found = named(weight_spectrum(model, input_bound=np.ones(2))).get("contraction_bound")
        if found is not None:  # nothing is proven of many variants, and nothing must be claimed
            assert growth(run_of(model, inputs)) <= np.log(found.value) + 0.05
            assert bool(found.cannot_tell) == (found.value >= 1)


def some_jacobians(model, h, c, x):
    """ds'/ds at given states."""
    state = HiddenAndCell(h, c) if isinstance(model.architecture, LSTM) else Hidden(h)
    with precision(np.float64):
        weights, state, x = jax.tree.map(jnp.asarray, (model.weights, state, x))
        return np.asarray(jacobians(model.architecture, weights, state, x))


def corners(rng, *shape):
    """Numbers in [-1, 1], most of them near the ends and 0, where slopes are largest or gates extreme."""
    return rng.choice([-1.0, 0.0, 1.0], shape) * rng.uniform(0.9, 1, shape)


@pytest.mark.parametrize("seed", range(8))
def test_gru_bound_holds_for_every_state_and_input(seed):
    """Row sums of |dh'/dh| over h and x in their ranges never pass the bound in the max norm."""
    rng = np.random.default_rng(seed)
    model = random_model(GRU(2, 3), seed, 0.1 + 0.1 * seed)
    bound = named(weight_spectrum(model, input_bound=np.array([1.0, 0.5])))["contraction_bound"].value
    x = rng.choice([-1.0, 1.0], (400, 2)) * [1.0, 0.5]
    worst = np.abs(some_jacobians(model, corners(rng, 400, 3), None, x)).sum(2).max()
    assert worst <= bound * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_lstm_bound_holds_for_every_state_and_input(seed):
    """No Jacobian at a reachable state has a larger spectral radius than a norm can allow."""
    rng = np.random.default_rng(seed)
    model = random_model(LSTM(2, 3), seed, 0.1 + 0.1 * seed)
    size, w = np.array([1.0, 0.5]), model.weights
    bound = named(weight_spectrum(model, input_bound=size))["contraction_bound"].value
    largest = np.abs(w["weight_ih"]) @ size + np.abs(w["weight_hh"]).sum(1) + w["bias_ih"] + w["bias_hh"]
    i, f = (1 / (1 + np.exp(-largest[rows])) for rows in (slice(0, 3), slice(3, 6)))
    x = rng.choice([-1.0, 1.0], (400, 2)) * size
    c = corners(rng, 400, 3) * i / (1 - f)
    found = some_jacobians(model, corners(rng, 400, 3), c, x)
    assert np.abs(np.linalg.eigvals(np.abs(found))).max() <= bound * (1 + 1e-9)


def test_gated_cells_with_small_weights_are_proven_to_forget():
    for architecture in (GRU(1, 3), LSTM(1, 3)):
        small = random_model(architecture, 0, 0.05)
        bound = named(weight_spectrum(small, input_bound=np.ones(1)))["contraction_bound"]
        assert bound.value < 1
        assert not bound.cannot_tell


def test_larger_inputs_never_make_a_bound_smaller():
    for architecture in (GRU(1, 3), LSTM(1, 3)):
        model = random_model(architecture, 1, 0.3)
        bounds = [
            named(weight_spectrum(model, input_bound=np.array([size])))["contraction_bound"].value
            for size in (0.0, 1.0, 10.0)
        ]
        assert bounds == sorted(bounds)


def test_layers_and_directions_apart():
    stack = random_model(Deep((RNN(1, 2), Bidirectional(RNN(2, 2), RNN(2, 3)))), 0)
    parts = {e.part for e in weight_spectrum(stack) if e.quantity.name == "spectral_radius"}
    assert len(parts) == 3


def test_exact_facts_say_so():
    for estimate in weight_spectrum(linear([[0.5]], [[1.0]])):
        if estimate.quantity.name in ("spectral_radius", "largest_singular_value", "henrici_departure"):
            assert estimate.standard_error == 0


def test_leaks_of_known_singular_values():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    found, half_lives = leaks(turn @ np.diag([0.5, 1.0]) @ turn)
    np.testing.assert_allclose(found.value, [0.75, 0.0], atol=1e-15)
    np.testing.assert_allclose(half_lives.value, [1.0, np.inf])
    assert leaks(np.array([[2.0]]))[0].value == [-3.0]


def test_leaks_of_plain_layers_alone():
    names = [{e.quantity.name for e in weight_spectrum(build(layer))} for layer in (RNN(1, 3), GRU(1, 3))]
    assert "leak_spectrum" in names[0]
    assert "leak_spectrum" not in names[1]
