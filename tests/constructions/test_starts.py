"""Starts: the copy network inside a given architecture, and orthogonal stacks by their singular values."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from hitherto.architectures.gated import LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.copying import copy_network
from hitherto.constructions.starts import copy_start, orthogonal_start
from hitherto.core.model import build, states_and_outputs


def linear(*widths, channels=2, bias=False, **settings):
    """A stack that `copy_start` takes."""
    below = (channels, *widths)
    layers = [RNN(m, n, activation="linear", bias=bias, **settings) for m, n in zip(below, widths, strict=False)]
    layers[-1] = replace(layers[-1], readout_size=channels)
    return Deep(tuple(layers)) if len(layers) > 1 else layers[0]


def differences(one, other):
    return [a - b for a, b in zip(jax.tree.leaves(one.weights), jax.tree.leaves(other.weights), strict=True)]


def assert_drawn_alike(start):
    """The same model for the same seed, another one for another, all NumPy float64 in the shapes of fresh weights."""
    one, again, other = start(0), start(0), start(1)
    assert not any(d.any() for d in differences(one, again))
    assert any(d.any() for d in differences(one, other))
    fresh = jax.eval_shape(lambda: one.architecture.init(jax.random.key(0)))
    assert jax.tree.map(np.shape, one.weights) == jax.tree.map(np.shape, fresh)
    assert all(type(w) is np.ndarray and w.dtype == np.float64 for w in jax.tree.leaves(one.weights))


class TestCopyStart:
    @pytest.mark.parametrize("widths", [(3, 4), (6,)])
    def test_without_noise_it_is_the_copy_network(self, widths):
        found, exact = copy_start(linear(*widths), 1)(7), copy_network(widths, 2, 1)
        assert found.architecture == exact.architecture
        assert not any(d.any() for d in differences(found, exact))

    def test_biases_start_at_zero(self):
        model = copy_start(linear(4, 4, bias=True, initialisation="pytorch"), 2)(0)
        x = np.random.default_rng(0).standard_normal((9, 2))
        np.testing.assert_array_equal(states_and_outputs(model, x)[1][2:], x[:-2])
        assert not any(w[name].any() for w in model.weights for name in ("bias_ih", "bias_hh"))

    def test_noise_is_normal_on_every_weight(self):
        architecture = linear(30, 40, bias=True)
        noise = differences(copy_start(architecture, 5, noise=0.1)(3), copy_start(architecture, 5)(3))
        assert all((d != 0).all() for d in noise)
        for d in noise:  # a standard deviation over N numbers scatters by 1 / sqrt(2 N)
            assert d.std() == pytest.approx(0.1, rel=4 / np.sqrt(2 * d.size))
        everything = np.concatenate([d.ravel() for d in noise])
        assert abs(everything.mean()) < 4 * 0.1 / np.sqrt(everything.size)

    @pytest.mark.parametrize("widths", [(3, 4), (6,)])
    def test_it_depends_on_the_seed_alone(self, widths):
        assert_drawn_alike(copy_start(linear(*widths, bias=True), 1, noise=0.01))

    def test_a_delay_out_of_reach_names_the_shortfall(self):
        with pytest.raises(ValueError, match=r"infeasible: spare units needed 4, available 3; .* at most 1$"):
            copy_start(linear(3, 4), 2)

    @pytest.mark.parametrize(
        "architecture",
        [
            linear(3, 4).layers[0],
            replace(linear(6), activation="tanh"),
            replace(linear(6), output_activation="relu"),
            replace(linear(6), clip=1.0),
            replace(linear(6), readout_size=3),
            Deep((linear(6), linear(6))),
            replace(linear(2, 2), skip="residual"),
        ],
        ids=str,
    )
    def test_what_has_no_room_for_it_is_refused(self, architecture):
        with pytest.raises(ValueError, match=r"a copy start was asked for .*; give linear .* readout_size=2 for"):
            copy_start(architecture, 1)

    @pytest.mark.parametrize("noise", [-0.1, np.inf, np.nan])
    def test_impossible_noise_is_refused(self, noise):
        with pytest.raises(ValueError, match=f"a start with noise={noise} was asked for; give a finite"):
            copy_start(linear(6), 1, noise=noise)


class TestOrthogonalStart:
    @pytest.mark.parametrize("widths", [(5, 3, 4), (5,)])
    def test_singular_values(self, widths):
        model = orthogonal_start(linear(*widths, bias=True), recurrent=0.8, between=0.5)(0)
        layers = model.weights if isinstance(model.weights, tuple) else (model.weights,)
        for number, weights in enumerate(layers):
            np.testing.assert_allclose(np.linalg.svd(weights["weight_hh"])[1], 0.8, rtol=1e-14)
            if number:
                np.testing.assert_allclose(np.linalg.svd(weights["weight_ih"])[1], 0.5, rtol=1e-14)

    @pytest.mark.parametrize("initialisation", ["gaussian", "pytorch"])
    def test_the_rest_is_as_build_draws_it(self, initialisation):
        architecture = linear(5, 3, bias=True, initialisation=initialisation)
        usual = build(architecture, 4, np.float64)
        for number, (mine, theirs) in enumerate(
            zip(orthogonal_start(architecture)(4).weights, usual.weights, strict=True)
        ):
            drawn_anew = {"weight_hh"} | ({"weight_ih"} if number else set())
            for name, weight in mine.items():
                assert np.array_equal(weight, theirs[name]) == (name not in drawn_anew)

    def test_layers_are_drawn_apart(self):
        first, second = orthogonal_start(linear(4, 4), between=0.9)(0).weights
        matrices = [first["weight_hh"], second["weight_hh"], second["weight_ih"]]
        assert len({matrix.tobytes() for matrix in matrices}) == 3

    def test_rows_and_columns_point_everywhere(self):
        start = orthogonal_start(linear(2), recurrent=1.0)
        entries = np.array([start(seed).weights["weight_hh"][0, 0] for seed in range(40)])
        assert abs(entries.mean()) < 4 * np.sqrt(0.5 / 40)  # the cosine of a uniform angle
        assert entries.var() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 8 / 40))

    @pytest.mark.parametrize("widths", [(3, 4), (6,)])
    def test_it_depends_on_the_seed_alone(self, widths):
        assert_drawn_alike(orthogonal_start(linear(*widths, bias=True)))

    def test_any_activation_will_do(self):
        architecture = Deep((RNN(2, 3), RNN(3, 2, activation="relu")))
        assert orthogonal_start(architecture)(0).architecture == architecture


@pytest.mark.parametrize(
    "architecture", [LSTM(2, 3), Deep((RNN(2, 3), LSTM(3, 3))), RNN(2, 3, parametrisation="ntk")], ids=str
)
@pytest.mark.parametrize("start", [orthogonal_start, lambda architecture: copy_start(architecture, 1)])
def test_other_layers_are_refused(start, architecture):
    with pytest.raises(ValueError, match=r"a start was asked for .*; give an RNN, or a Deep stack of them"):
        start(architecture)
