"""Linear state-space layers: slow evaluations, exact rationals, routes that agree, laws of the initialisations."""

from dataclasses import replace
from fractions import Fraction
from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import (
    ROUTES,
    SHORTEST_SPLIT,
    DiagonalStateSpace,
    SampledStateSpace,
    StateSpace,
    impulse_response,
)
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Hidden, Model, build, states_and_outputs
from hitherto.measures.lag_jacobian import brute_force_jacobian, lag_jacobian
from hitherto.measures.trajectory import drive

WAYS = ROUTES[1:]
FAMILIES = {
    "dense": StateSpace(2, 3, 2, "leaky", 0.2, direct=True),
    "dense states": StateSpace(2, 3, variance=0.9),
    "ring": DiagonalStateSpace(2, 3, 2, direct=True),
    "ring plain": DiagonalStateSpace(2, 3, 2, parametrisation="plain", normalise=False),
    "uniform": DiagonalStateSpace(2, 3, 2, "uniform"),
    "uniform plain": DiagonalStateSpace(2, 3, None, "uniform", "plain", direct=True),
    "s4d_lin": SampledStateSpace(2, 3, 2, direct=True),
    "s4d_inv": SampledStateSpace(2, 3, None, "s4d_inv"),
    "s5": SampledStateSpace(2, 3, 2, "s5", dt_max=0.5),
    "leaky": SampledStateSpace(2, 3, 2, "leaky", dt_max=0.5),
}
every_family = pytest.mark.parametrize("layer", FAMILIES.values(), ids=FAMILIES)
every_route = pytest.mark.parametrize("route", WAYS)


def weights_of(layer, seed=0):
    return jax.tree.map(np.asarray, build(layer, seed, np.float64).weights)


def joined(parts, width):
    """Complex rows [Re, Im]; real ones as they are."""
    parts = np.asarray(parts)
    return parts[:width] + 1j * parts[width:] if len(parts) == 2 * width else parts


def slow_modes(layer, weights):
    """A as a matrix of modes, and B, from the definitions in complex NumPy."""
    n = layer.width
    b = joined(weights["weight_ih"], n)
    if isinstance(layer, StateSpace):
        return weights["weight_hh"], b
    if isinstance(layer, SampledStateSpace):
        a = -np.exp(weights["log_decay"]) + 1j * weights.get("frequency", 0)
        dt = np.exp(weights["log_step"])
        return np.diag(np.exp(a * dt)), ((np.exp(a * dt) - 1) / a)[:, None] * b
    if layer.parametrisation == "plain":
        modes = weights["multiplier"][0] + 1j * weights["multiplier"][1] if layer.complex else weights["multiplier"]
    else:
        phase = np.exp(weights["log_phase"]) if layer.complex else 0
        modes = np.exp(-np.exp(weights["log_decay"]) + 1j * phase)
    return np.diag(modes), np.exp(weights.get("log_gain", np.zeros(n)))[:, None] * b


def slow_run(layer, weights, start, inputs):
    """States and outputs, one step after the other."""
    a, b = slow_modes(layer, weights)
    s, states, outputs = joined(start, layer.width), [], []
    for x in inputs:
        s = a @ s + b @ x
        parts = np.concatenate([s.real, s.imag]) if layer.state_size == 2 * layer.width else s.real
        states.append(parts)
        y = weights["readout"] @ parts if "readout" in weights else parts
        outputs.append(y + weights["direct"] @ x if "direct" in weights else y)
    return np.array(states).reshape(-1, layer.state_size), np.array(outputs).reshape(-1, layer.output_size)


def example(layer, length, seed=0):
    """A start and inputs."""
    rng = np.random.default_rng(seed)
    return Hidden(rng.normal(size=layer.state_size)), rng.normal(size=(length, layer.input_size))


@every_family
def test_run_is_slow_run(layer):
    assert_slow_run(layer, "scan", 20)


@pytest.mark.parametrize("name", ["dense", "uniform plain", "ring"])  # one for each form of A
@pytest.mark.parametrize("route", ["associative", "convolution"])
def test_other_routes_are_the_slow_run(name, route):
    assert_slow_run(FAMILIES[name], route, 2 * SHORTEST_SPLIT + 3)


@every_route
@pytest.mark.parametrize("length", [0, 1, SHORTEST_SPLIT + 1])
def test_short_runs(route, length):
    assert_slow_run(FAMILIES["ring"], route, length)


def assert_slow_run(layer, route, length):
    weights, (start, inputs) = weights_of(layer), example(layer, length)
    states, outputs = states_and_outputs(Model(replace(layer, route=route), weights), inputs, start)
    slow_states, slow_outputs = slow_run(layer, weights, start.h, inputs)
    np.testing.assert_allclose(states.h, slow_states, rtol=0, atol=1e-12)
    np.testing.assert_allclose(outputs, slow_outputs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "layer", [StateSpace(1, 1), DiagonalStateSpace(1, 1, 1), SampledStateSpace(1, 1, 1, "leaky")], ids=str
)
@every_route
def test_width_one(layer, route):
    weights, (start, inputs) = weights_of(layer), example(layer, 40)
    _, outputs = states_and_outputs(Model(replace(layer, route=route), weights), inputs, start)
    np.testing.assert_allclose(outputs, slow_run(layer, weights, start.h, inputs)[1], rtol=0, atol=1e-12)


def fractions(array, denominator):
    """Whole numbers over a power of two, as fractions and as floats, both exact."""
    exact = np.vectorize(lambda v: Fraction(int(v), denominator))(array)
    return exact, array / denominator


@every_route
def test_dense_is_exact_for_rationals(route):
    rng = np.random.default_rng(0)
    shapes = dict(weight_hh=(3, 3), weight_ih=(3, 2), readout=(2, 3), direct=(2, 2))
    pairs = {name: fractions(rng.integers(-3, 4, shape), 4) for name, shape in shapes.items()}
    a, b, c, d = (exact for exact, _ in pairs.values())
    inputs = rng.integers(-3, 4, (12, 2))
    s, expected = np.array([Fraction(0)] * 3), []
    for x in inputs:
        s = a @ s + b @ x
        expected.append(c @ s + d @ x)
    layer = StateSpace(2, 3, 2, direct=True, route=route)
    weights = {name: floats for name, (_, floats) in pairs.items()}
    _, found = states_and_outputs(Model(layer, weights), inputs.astype(float))
    slack = 1e-12 if route == "convolution" else 0  # FFT factors are not rational
    np.testing.assert_allclose(found, np.array(expected, float), rtol=0, atol=slack)


@every_route
def test_complex_modes_are_exact_for_rationals(route):
    """lambda = (1 + i)/2 and (3 - 2i)/4: Gaussian rationals, so that steps are exact."""
    modes, b = [(Fraction(1, 2), Fraction(1, 2)), (Fraction(3, 4), Fraction(-1, 2))], [(1, 2), (-1, 1)]
    s, expected = [(Fraction(0), Fraction(0))] * 2, []
    for x in range(1, 9):
        s = [(p * u - q * v + e * x, p * v + q * u + f * x) for (p, q), (u, v), (e, f) in zip(modes, s, b, strict=True)]
        expected.append(2 * s[0][0] - s[1][0] + 3 * s[0][1] + s[1][1])
    weights = dict(
        multiplier=np.array(modes, float).T,
        weight_ih=np.array(b, float).T.reshape(4, 1),
        readout=np.array([[2.0, -1.0, 3.0, 1.0]]),
    )
    layer = DiagonalStateSpace(1, 2, 1, parametrisation="plain", normalise=False, route=route)
    _, found = states_and_outputs(Model(layer, weights), np.arange(1.0, 9.0)[:, None])
    slack = 1e-12 if route == "convolution" else 0
    np.testing.assert_allclose(found[:, 0], np.array(expected, float), rtol=0, atol=slack)


LONG_MEMORIES = {
    "dense": StateSpace(1, 4, 1, variance=0.998),
    "ring": DiagonalStateSpace(1, 8, 1, r_min=0.99, r_max=0.9999),
    "s4d_lin": SampledStateSpace(1, 8, 1),
}


@pytest.mark.parametrize("name", ["dense", "ring"])
@pytest.mark.slow
def test_routes_agree(name):
    assert_routes_agree(LONG_MEMORIES[name], 500)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LONG_MEMORIES.values(), ids=LONG_MEMORIES)
def test_routes_agree_over_long_sequences(layer):
    assert_routes_agree(layer, 16384)


def assert_routes_agree(layer, length):
    """States, outputs and gradients to 1e-10 of their size."""
    weights, (start, inputs) = weights_of(layer), example(layer, length)
    with jax.enable_x64(True):

        def loss(weights, start, inputs, route):
            states, outputs = replace(layer, route=route).run(weights, start, inputs)
            return (outputs[1:] * outputs[:-1]).mean(), (states, outputs)

        asked = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True), static_argnums=3)
        found = [asked(weights, start, jnp.asarray(inputs), route) for route in WAYS]
    for other in found[1:]:
        jax.tree.map(
            lambda one, two: np.testing.assert_allclose(two, one, rtol=0, atol=1e-10 * np.abs(one).max()),
            found[0],
            other,
        )


@every_family
def test_gradients_are_finite_differences(layer):
    weights, (start, inputs) = weights_of(layer), example(layer, 7)
    with jax.enable_x64(True):
        flat, unravel = jax.flatten_util.ravel_pytree(weights)

        def loss(route, vector):
            return (replace(layer, route=route).run(unravel(vector), start, jnp.asarray(inputs))[1] ** 2).sum()

        offsets = 1e-5 * np.eye(len(flat))
        ahead = jax.jit(jax.vmap(partial(loss, "scan")))
        central = (ahead(flat + offsets) - ahead(flat - offsets)) / 2e-5
        for route in ("scan", "convolution") if layer is FAMILIES["ring"] else ("scan",):
            gradient = jax.jit(jax.grad(partial(loss, route)))(flat)
            np.testing.assert_allclose(gradient, central, rtol=1e-6, atol=1e-8 * np.abs(gradient).max())


@every_route
def test_step_jit_vmap_and_precision(route):
    layer = DiagonalStateSpace(2, 3, 2, direct=True, route=route)
    weights, inputs = build(layer).weights, jax.random.normal(jax.random.key(1), (3, 40, 2))

    def outputs(x):
        return layer.run(weights, layer.start(weights), x)[1]

    eager = outputs(inputs[0])
    together = jax.jit(jax.vmap(outputs))(inputs)
    assert eager.dtype == jnp.float32
    np.testing.assert_allclose(together, jnp.stack([jax.jit(outputs)(x) for x in inputs]), rtol=0, atol=2e-6)
    np.testing.assert_allclose(together[0], eager, rtol=0, atol=2e-6)
    prepared, state = layer.prepare(weights), layer.start(weights)
    for x, y in zip(inputs[0, :3], eager[:3], strict=True):
        state, found = layer.step(prepared, state, x)
        np.testing.assert_allclose(found, y, rtol=0, atol=2e-6)
    wide = states_and_outputs(Model(layer, weights).astype(np.float64), np.asarray(inputs[0], np.float64))[1]
    assert wide.dtype == np.float64
    np.testing.assert_allclose(eager, wide, rtol=0, atol=1e-5)


@every_family
def test_impulse_response_is_c_a_k_b(layer):
    """Of the prepared matrices, of the doubling, and of a pulse that is run."""
    weights = weights_of(layer)
    with jax.enable_x64(True):
        prepared = layer.prepare(weights)
        a, b = np.asarray(prepared["weight_hh"]), np.asarray(prepared["weight_ih"])
        c = np.asarray(prepared.get("readout", np.eye(len(a))))
        doubled = impulse_response(prepared["transition"], jnp.asarray(b), jnp.asarray(c), 37)
    expected = np.array([c @ np.linalg.matrix_power(a, k) @ b for k in range(37)])
    np.testing.assert_allclose(doubled, expected, rtol=0, atol=1e-13)
    pulse = np.zeros((37, 2))
    pulse[0, 1] = 1.0
    _, y = states_and_outputs(Model(layer, weights), pulse)
    expected[0] += weights.get("direct", np.zeros_like(expected[0]))
    np.testing.assert_allclose(y, expected[:, :, 1], rtol=0, atol=1e-13)


def assert_law(values, law):
    """A Kolmogorov-Smirnov test at a fixed seed."""
    assert scipy.stats.kstest(np.asarray(values), law.cdf).pvalue > 0.01


def modes_of(layer):
    return np.diag(slow_modes(layer, weights_of(layer))[0])


@pytest.mark.parametrize("parametrisation", ["exponential", "plain"])
def test_ring_is_uniform_over_its_area(parametrisation):
    layer = DiagonalStateSpace(1, 2000, 1, "ring", parametrisation, 0.5, 0.9, 2.0, normalise=False)
    modes = modes_of(layer)
    assert 0.5 <= np.abs(modes).min() <= np.abs(modes).max() <= 0.9
    assert_law(np.abs(modes) ** 2, scipy.stats.uniform(0.25, 0.56))
    assert_law(np.angle(modes), scipy.stats.uniform(0, 2.0))


@pytest.mark.parametrize("parametrisation", ["exponential", "plain"])
def test_uniform_is_uniform(parametrisation):
    modes = modes_of(DiagonalStateSpace(1, 2000, 1, "uniform", parametrisation, 0.25, normalise=False))
    assert_law(modes.real, scipy.stats.uniform(0.25, 0.75))


@pytest.mark.parametrize("layer", [DiagonalStateSpace(1, 50, r_max=0.99), DiagonalStateSpace(1, 50, None, "uniform")])
def test_gain_gives_every_mode_the_same_variance(layer):
    weights = weights_of(layer)
    a, b = slow_modes(layer, weights)
    raw = joined(weights["weight_ih"], layer.width)[:, 0]
    stationary = np.abs(b[:, 0]) ** 2 / (1 - np.abs(np.diag(a)) ** 2)  # of white input with variance 1
    np.testing.assert_allclose(stationary, np.abs(raw) ** 2, rtol=1e-10)


def hippo_normal_part(size):
    """The HiPPO-LegS matrix plus its rank-one term: -1/2 on the diagonal, +-sqrt((2n+1)(2k+1))/2 off it."""
    n = np.arange(size)
    root = np.sqrt(2 * n + 1)
    legs = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    return legs + np.outer(root, root) / 2


def test_continuous_poles_and_steps():
    n, width = np.arange(6), 6
    poles = {name: weights_of(SampledStateSpace(1, width, 1, name)) for name in ("s4d_lin", "s4d_inv", "s5", "leaky")}
    assert all(np.allclose(np.exp(poles[name]["log_decay"]), 0.5) for name in ("s4d_lin", "s4d_inv", "s5"))
    np.testing.assert_allclose(np.exp(poles["leaky"]["log_decay"]), 1.0)
    np.testing.assert_allclose(poles["s4d_lin"]["frequency"], np.pi * n, rtol=1e-14)
    np.testing.assert_allclose(poles["s4d_inv"]["frequency"], 12 / np.pi * (12 / (2 * n + 1) - 1), rtol=1e-14)
    eigenvalues = np.linalg.eigvals(hippo_normal_part(2 * width))
    np.testing.assert_allclose(eigenvalues.real, -0.5, rtol=0, atol=1e-12)
    expected = np.sort(eigenvalues.imag[eigenvalues.imag > 0])
    np.testing.assert_allclose(poles["s5"]["frequency"], expected, rtol=1e-12)
    steps = weights_of(SampledStateSpace(1, 2000, 1, dt_min=0.01, dt_max=0.5))["log_step"]
    assert_law(np.exp(steps), scipy.stats.loguniform(0.01, 0.5))


@pytest.mark.parametrize("name", ["s4d_inv", "leaky"])
def test_zero_order_hold(name):
    """exp of [[a, b], [0, 0]] dt holds e^(a dt) and the response to a constant input."""
    layer = SampledStateSpace(1, 4, 1, name, dt_min=1e-5)
    weights = weights_of(layer)
    with jax.enable_x64(True):
        prepared = layer.prepare(weights)
    transition, columns = jax.tree.map(np.asarray, (prepared["transition"], prepared["weight_ih"]))
    found, b = joined(columns, 4)[:, 0], joined(weights["weight_ih"], 4)[:, 0]
    for n, (decay, dt) in enumerate(zip(np.exp(weights["log_decay"]), np.exp(weights["log_step"]), strict=True)):
        pole = -decay + 1j * weights["frequency"][n] if layer.complex else -decay
        held = scipy.linalg.expm(np.array([[pole, b[n]], [0, 0]]) * dt)
        kept = transition.real[n] + 1j * transition.imag[n] if layer.complex else transition.multiplier[n]
        np.testing.assert_allclose([kept, found[n]], held[0], rtol=1e-13)


def test_dense_laws():
    orthogonal = weights_of(StateSpace(1, 40, variance=0.81))["weight_hh"]
    np.testing.assert_allclose(orthogonal.T @ orthogonal, 0.81 * np.eye(40), rtol=0, atol=1e-14)
    gaussian = weights_of(StateSpace(1, 60, None, "gaussian", 2.0))["weight_hh"]
    assert_law(gaussian.ravel(), scipy.stats.norm(0, (2 / 60) ** 0.5))
    leaky = weights_of(StateSpace(1, 60, None, "leaky", 2.0, 0.7))["weight_hh"]
    np.testing.assert_allclose(leaky - gaussian, 0.7 * np.eye(60), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(weights_of(StateSpace(1, 4, None, "identity"))["weight_hh"], 0.5 * np.eye(4))


@pytest.mark.parametrize("layer", [StateSpace(50, 60, 40, direct=True), DiagonalStateSpace(50, 60, 40, direct=True)])
def test_laws_of_the_other_matrices(layer):
    weights = weights_of(layer)
    parts = layer.state_size // layer.width
    assert_law(weights["weight_ih"].ravel(), scipy.stats.norm(0, (1 / (parts * 50)) ** 0.5))
    assert_law(weights["readout"].ravel(), scipy.stats.norm(0, (1 / (parts * 60)) ** 0.5))
    assert_law(weights["direct"].ravel(), scipy.stats.norm(0, (1 / 50) ** 0.5))


@pytest.mark.parametrize("name", ["ring", "uniform plain"])
@pytest.mark.slow
def test_measured_inside_a_stack(name):
    """The Jacobian by lag of a linear layer is A^k B whatever the run, complex modes counted as two units."""
    layer = FAMILIES[name]
    stack = build(Deep((layer, RNN(layer.output_size, 3))), 0, np.float64)
    assert drive(stack, sequences=3, steps=40).outputs.shape == (3, 40, 3)
    run = drive(Model(layer, stack.weights[0]), sequences=3, steps=40)
    with jax.enable_x64(True):
        prepared = layer.prepare(stack.weights[0])
    a, b = np.asarray(prepared["weight_hh"]), np.asarray(prepared["weight_ih"])
    expected = np.array([np.linalg.matrix_power(a, k) @ b for k in range(6)])
    np.testing.assert_allclose(lag_jacobian(run, max_lag=5)[0].value, np.linalg.norm(expected, axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(brute_force_jacobian(run, 0, 6), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StateSpace(1, 0), "a StateSpace was asked for with width=0; give at least 1"),
        (lambda: DiagonalStateSpace(0, 1), "input_size=0; give at least 1"),
        (lambda: SampledStateSpace(1, 1, 0), "readout_size=0; give at least 1"),
        (lambda: StateSpace(1, 1, initialisation="ortogonal"), "no initialisation 'ortogonal'.*orthogonal"),
        (lambda: SampledStateSpace(1, 1, initialisation="s4d"), "no initialisation 's4d'.*s4d_lin"),
        (lambda: DiagonalStateSpace(1, 1, parametrisation="exp"), "no parametrisation of a diagonal.*exponential"),
        (lambda: StateSpace(1, 1, route="fft"), "no route 'fft'.*convolution"),
        (lambda: DiagonalStateSpace(1, 1, r_min=0.9, r_max=0.5), "got r_min=0.9, r_max=0.5"),
        (lambda: DiagonalStateSpace(1, 1, r_max=1.5), r"within \[0, 1\]"),
        (lambda: DiagonalStateSpace(1, 1, r_min=1.0), "lower r_min, or set normalise=False"),
        (lambda: SampledStateSpace(1, 1, dt_min=0.0), "got dt_min=0, dt_max=0.1"),
        (lambda: SampledStateSpace(1, 1, dt_min=1.0, dt_max=0.1), "got dt_min=1, dt_max=0.1"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_auto_takes_the_route_of_the_table():
    assert DiagonalStateSpace(1, 16, 1).chosen(64) == "convolution"
    assert DiagonalStateSpace(16, 16, 16).chosen(1024) == "scan"
    assert DiagonalStateSpace(16, 128, 16).chosen(1024) == "convolution"
    assert StateSpace(1, 512, 1).chosen(64) == "scan"
    assert StateSpace(1, 512, 1).chosen(1024) == "convolution"
    assert StateSpace(1, 512, 1, route="associative").chosen(64) == "associative"
