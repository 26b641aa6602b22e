"""Fresh weights against the variances that are told, and parametrisations against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.initialisation import (
    LAWS,
    check_layer,
    entry_variances,
    learning_rates,
    multipliers,
    stored_variances,
)
from hitherto.architectures.rnn import RNN
from hitherto.core.model import build

INSTANCES = 20


def drawn(layer, seed=0):
    """Float64 weights as they are stored and as they enter the step."""
    with jax.enable_x64(True):
        weights = layer.init(jax.random.key(seed), np.float64)
        return jax.tree.map(np.asarray, (weights, layer.prepare(weights)))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_entries_have_the_told_mean_square(kind, law):
    layer = kind(5, 12, 3, initialisation=law, **({} if law in ("pytorch", "keras") else {"variance": 1.7}))
    samples = [drawn(layer, seed)[1] for seed in range(INSTANCES)]
    for name, variance in entry_variances(layer).items():
        squares = np.array([w[name] for w in samples]) ** 2
        if name == "bias_ih" and kind is LSTM and law != "pytorch":
            squares = np.delete(squares, np.s_[12:24], 1)  # the forget gate starts at 1
        error = 4 * squares.std() / np.sqrt(squares.size)
        assert abs(squares.mean() - variance) <= error + 1e-12, name


class TestRecurrentMatrix:
    @pytest.mark.parametrize("width", [1, 2, 5, 8])
    @pytest.mark.parametrize("law", ["orthogonal", "identity", "ring"])
    def test_blocks_are_scaled_orthogonal(self, law, width):
        weight = drawn(LSTM(2, width, initialisation=law, variance=0.49))[0]["weight_hh"]
        for block in np.split(weight, 4):
            np.testing.assert_allclose(block @ block.T, 0.49 * np.eye(width), rtol=0, atol=1e-12)

    def test_identity(self):
        weight = drawn(RNN(2, 3, initialisation="identity", variance=4.0))[0]["weight_hh"]
        np.testing.assert_allclose(weight, 2 * np.eye(3), rtol=0, atol=1e-14)

    def test_ring_has_its_eigenvalues_on_a_ring_with_free_phases(self):
        weight = drawn(RNN(2, 200, initialisation="ring", variance=0.81))[0]["weight_hh"]
        values = np.linalg.eigvals(weight)
        np.testing.assert_allclose(np.abs(values), 0.9, rtol=0, atol=1e-12)
        np.testing.assert_allclose(weight @ weight.T, weight.T @ weight, rtol=0, atol=1e-12)
        upper = np.sort(np.angle(values[values.imag > 0])) / np.pi  # 100 phases, uniform in (0, 1)
        assert np.abs(upper - (np.arange(100) + 0.5) / 100).max() < 1.63 / 10  # Kolmogorov-Smirnov, 1%

    @pytest.mark.parametrize(("width", "projection"), [(5, 2), (2, 5)])
    def test_projections_get_orthonormal_rows_or_columns(self, width, projection):
        layer = LSTM(3, width, projection=projection, initialisation="orthogonal")
        for block in np.split(drawn(layer)[0]["weight_hh"], 4):
            gram = block @ block.T if width < projection else block.T @ block
            np.testing.assert_allclose(gram, gram[0, 0] * np.eye(min(width, projection)), rtol=0, atol=1e-12)
            assert np.isclose((block**2).mean(), 1 / projection)

    def test_orthogonal_is_uniform_over_both_determinants(self):
        signs = [np.linalg.det(drawn(RNN(1, 3, initialisation="orthogonal"), s)[0]["weight_hh"]) for s in range(40)]
        assert 8 < sum(s > 0 for s in signs) < 32  # 20 expected, standard deviation 3.2


class TestFrameworks:
    def test_pytorch(self):
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        ours = drawn(LSTM(7, 9, projection=4, initialisation="pytorch"))[0]
        theirs = torch.nn.LSTM(7, 9, proj_size=4)
        for name, tensor in theirs.named_parameters():
            mine, yours = ours[name.removesuffix("_l0")], tensor.detach().numpy()
            assert mine.shape == yours.shape
            for sample in (mine, yours):  # both uniform on [-1/3, 1/3]
                assert np.abs(sample).max() <= 1 / 3
                assert abs((sample**2).mean() - 1 / 27) < 4 * np.sqrt(4 / 45) / 9 / np.sqrt(sample.size)

    def test_keras(self):
        weights = drawn(LSTM(7, 9, 2, initialisation="keras"))[0]
        np.testing.assert_allclose(weights["weight_hh"].T @ weights["weight_hh"], np.eye(9), rtol=0, atol=1e-12)
        assert np.abs(weights["weight_ih"]).max() <= np.sqrt(6 / (7 + 36))
        assert np.abs(weights["readout"]).max() <= np.sqrt(6 / (9 + 2))
        np.testing.assert_array_equal(weights["bias_ih"], np.repeat([0, 1, 0, 0], 9))

    def test_same_bounds_as_keras_itself(self):
        for kind, rows in ((RNN, 9), (LSTM, 36), (GRU, 27)):
            told = stored_variances(kind(7, 9, initialisation="keras"))
            assert np.isclose(told["weight_ih"], 2 / (7 + rows))
            assert np.isclose(told["weight_hh"], 1 / rows)


def impulse_variance(layer, lag):
    """Variance of entries of C A^lag F at the start, measured over instances."""
    entries = []
    for seed in range(60):
        w = drawn(layer, seed)[1]
        entries.append(w["readout"] @ np.linalg.matrix_power(w["weight_hh"], lag) @ w["weight_ih"])
    squares = np.mean(np.square(entries), (1, 2))
    return squares.mean(), squares.std() / np.sqrt(len(squares))


NTK = dict(activation="linear", bias=False, variance=0.8, input_variance=1.5, readout_variance=0.6)


# Var of an entry of L_j = C A^j F at the start, with n = 60 and D = 3 inputs.
PREDICTED = {
    "standard": lambda j, n, d: 0.6 * 0.8**j * 1.5 / d,
    "ntk": lambda j, n, d: 0.6 * 0.8**j * 1.5,
    "ntk_unit": lambda j, n, d: 0.6 * 0.8**j * 1.5,
    "mean_field": lambda j, n, d: 0.6 * 0.8**j * 1.5 / (d * n),
}


class TestParametrisations:
    @pytest.mark.parametrize("lag", [0, 1, 3])
    @pytest.mark.parametrize("name", list(PREDICTED))
    def test_variance_of_the_impulse_response(self, name, lag):
        measured, error = impulse_variance(RNN(3, 60, 4, parametrisation=name, **NTK), lag)
        predicted = PREDICTED[name](lag, 60, 3)
        # A^3 at finite width differs from the limit by a few times lag^2 / n
        assert abs(measured - predicted) < 4 * error + predicted * lag**2 / 60

    @pytest.mark.parametrize("name", ["ntk", "ntk_unit", "mean_field"])
    def test_one_gradient_step_is_the_standard_one_with_rescaled_learning_rates(self, name):
        layer, plain = RNN(3, 8, 2, parametrisation=name, variance=0.8), RNN(3, 8, 2)
        factors = multipliers(layer)
        x = np.random.default_rng(0).standard_normal((6, 3))

        def loss(layer, weights):
            return (layer.run(weights, layer.start(weights), jnp.asarray(x))[1] ** 2).mean()

        with jax.enable_x64(True):
            stored = layer.init(jax.random.key(0), np.float64)
            gradient = jax.grad(lambda w: loss(layer, w))(stored)
            moved = layer.prepare({k: w - 0.1 * gradient[k] for k, w in stored.items()})
            used = layer.prepare(stored)
            plain_gradient = jax.grad(lambda w: loss(plain, w))(used)
            for k, w in used.items():
                expected = w - 0.1 * factors.get(k, 1.0) ** 2 * plain_gradient[k]
                np.testing.assert_allclose(moved[k], expected, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("optimiser", ["sgd", "adam"])
    @pytest.mark.slow
    def test_mean_field_rates_move_outputs_alike_at_every_width(self, optimiser):
        """Ten steps towards 1: moves of activations and outputs neither grow nor vanish with the width."""
        moves = [np.mean([moved(width, optimiser, seed) for seed in range(4)], 0) for width in (64, 512)]
        np.testing.assert_allclose(moves[0], moves[1], rtol=0.35)
        assert min(moves[0]) > 0.02

    def test_rates_are_told_by_block(self):
        layer = RNN(3, 8, 2, parametrisation="mean_field")
        entering = dict.fromkeys(("weight_ih", "bias_ih", "bias_hh", "readout"), 8.0)
        assert learning_rates(layer) == entering | {"weight_hh": 1.0}
        assert learning_rates(layer, "adam") == dict.fromkeys(entering, 1.0) | {"weight_hh": 1 / 8}
        assert set(learning_rates(RNN(3, 8, 2, parametrisation="ntk")).values()) == {1.0}
        with pytest.raises(ValueError, match=r"adam were asked of .*'ntk'.*take 'mean_field', or sgd"):
            learning_rates(RNN(3, 8, 2, parametrisation="ntk"), "adam")
        with pytest.raises(ValueError, match="there is no optimiser 'sdg'"):
            learning_rates(layer, "sdg")


def moved(width, optimiser, seed):
    """Root mean square move of h and of y after ten steps at the told learning rates."""
    layer = RNN(2, width, 1, parametrisation="mean_field", bias=False)
    rates, weights = learning_rates(layer, optimiser), layer.init(jax.random.key(seed))
    x = jnp.asarray(np.random.default_rng(seed).standard_normal((5, 2)), jnp.float32)
    run = lambda w: layer.run(w, layer.start(w), x)  # noqa: E731
    gradient = jax.jit(jax.grad(lambda w: ((run(w)[1][-1] - 1) ** 2).sum()))
    before, base = run(weights), 0.05 if optimiser == "sgd" else 0.01
    for _ in range(10):
        change = jax.tree.map(jnp.sign, gradient(weights)) if optimiser == "adam" else gradient(weights)
        weights = {k: w - base * rates[k] * change[k] for k, w in weights.items()}
    moves = jax.tree.map(lambda a, b: float(jnp.sqrt(((a - b) ** 2).mean())), before, run(weights))
    return jax.tree.leaves(moves)


class TestBadInput:
    @pytest.mark.parametrize(("make", "says"), [
        (lambda: RNN(0, 4), "input_size=0; give at least 1"),
        (lambda: LSTM(3, 4, projection=0), "visible_size=0; give at least 1"),
        (lambda: GRU(3, 4, variance=-1.0), r"variance=-1.0; a variance is finite and not negative, give"),
        (lambda: RNN(3, 4, input_variance=float("nan")), r"input_variance=nan; a variance is finite"),
        (lambda: RNN(3, 4, initialisation="ortogonal"), r"no initialisation 'ortogonal'; .*orthogonal"),
        (lambda: RNN(3, 4, 1, parametrisation="meanfield"), r"no parametrisation 'meanfield'; .*mean_field"),
        (lambda: RNN(3, 4, 1, initialisation="keras", variance=2.0), r"'keras' fixes all variances .*\(2.0.*; leave"),
        (lambda: RNN(3, 4, 1, initialisation="pytorch", parametrisation="ntk"), r"'pytorch' fixes .*'ntk'"),
        (lambda: LSTM(3, 4, projection=2, initialisation="ring"), r"'ring' needs square blocks, .*4 units .*2; take"),
        (lambda: RNN(3, 4, parametrisation="mean_field"), r"divides the readout by the width, .*; give a readout_size"),
    ])  # fmt: skip
    def test_is_refused(self, make, says):
        with pytest.raises(ValueError, match=says):
            make()

    def test_a_good_layer_passes(self):
        assert check_layer(RNN(1, 1)) is None


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_and_width_one(law, dtype):
    weights = build(GRU(1, 1, 1, initialisation=law), 0, dtype).weights
    assert {np.asarray(w).dtype for w in weights.values()} == {np.dtype(dtype)}
    assert all(np.isfinite(w).all() for w in weights.values())
