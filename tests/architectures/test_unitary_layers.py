"""Orthogonal and unitary recurrences: the maps, their laws, and orthogonality through training."""

from itertools import product

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import MODRELU, PARAMETRISATIONS, UnitaryRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Hidden, Model, build, states_and_outputs
from hitherto.measures.lag_jacobian import brute_force_jacobian, lag_jacobian
from hitherto.measures.trajectory import drive

KINDS = list(product(PARAMETRISATIONS, (False, True)))
every_kind = pytest.mark.parametrize(("parametrisation", "complex_units"), KINDS)
# Complex units differ from real ones in how W is filled, not in what is done with it.
MOST = [*KINDS[::2], ("householder", True)]
most_kinds = pytest.mark.parametrize(("parametrisation", "complex_units"), MOST)
some_kinds = pytest.mark.parametrize(  # the others run with the slow tests
    ("parametrisation", "complex_units"),
    [pytest.param(*kind, marks=[pytest.mark.slow] * (at % 2)) for at, kind in enumerate(MOST)],
)


def matrix(architecture, weights):
    """W in float64 as the layer uses it."""
    with jax.enable_x64(True):
        return np.asarray(jax.jit(architecture.recurrent_matrix)(weights))


def orthogonality_error(w):
    return np.abs(w.T @ w - np.eye(len(w))).max()


def complex_form(w):
    """The complex matrix that a real form stands for, after a check that it is one."""
    n = len(w) // 2
    np.testing.assert_allclose(w[:n, :n], w[n:, n:], rtol=0, atol=1e-14)
    np.testing.assert_allclose(w[:n, n:], -w[n:, :n], rtol=0, atol=1e-14)
    return w[:n, :n] + 1j * w[n:, :n]


def skew_of(width, weights):
    """A, entry by entry."""
    a = np.zeros((width, width), complex)
    for value, (i, j) in zip(weights["skew"], zip(*np.triu_indices(width, 1), strict=True), strict=True):
        a[i, j] += value
        a[j, i] -= value
    if "symmetric" in weights:
        for value, (i, j) in zip(weights["symmetric"], zip(*np.triu_indices(width), strict=True), strict=True):
            a[i, j] += 1j * value
            if i != j:
                a[j, i] += 1j * value
    return a


def slow_matrix(architecture, weights):
    """W by its definition, in complex NumPy."""
    n = architecture.width
    if architecture.parametrisation == "projection":
        w = weights["weight_hh"]
        return w[0] + 1j * w[1] if architecture.complex else w
    if architecture.parametrisation == "householder":
        w = np.eye(n, dtype=complex)
        for row in weights["reflectors"]:
            v = row[:n] + 1j * row[n:] if architecture.complex else row
            w = w @ (np.eye(n) - 2 * np.outer(v, v.conj()) / (v.conj() @ v))
        return w * np.exp(1j * weights["phase"]) if architecture.complex else w
    if architecture.parametrisation == "rotations":
        return turned(weights["angle"], weights.get("phase", np.zeros((len(weights["angle"]), n))))
    a = skew_of(n, weights)
    if architecture.parametrisation == "exponential":
        return scipy.linalg.expm(a)
    signs = np.where(np.arange(n) < round(architecture.flipped * n), -1, 1)
    return (np.eye(n) + a / 2) @ np.linalg.inv(np.eye(n) - a / 2) * signs


def turned(angles, phases):
    """Rotations of units i and i + half, a riffle of the halves, and phases, layer by layer."""
    half = angles.shape[1]
    riffle = np.eye(2 * half)[[k // 2 + half * (k % 2) for k in range(2 * half)]]
    w = np.eye(2 * half, dtype=complex)
    for angle, phase in zip(angles, phases, strict=True):
        cos, sin = np.diag(np.cos(angle)), np.diag(np.sin(angle))
        w = np.exp(1j * phase)[:, None] * (riffle @ np.block([[cos, -sin], [sin, cos]]) @ w)
    return w


@every_kind
def test_matrix_is_its_definition(parametrisation, complex_units):
    architecture = UnitaryRNN(1, 6, parametrisation=parametrisation, complex=complex_units, flipped=0.4)
    model = build(architecture, 5, np.float64)
    w = matrix(architecture, model.weights)
    assert orthogonality_error(w) <= 4e-15
    given = jax.tree.map(np.asarray, model.weights)
    found = complex_form(w) if complex_units else w
    np.testing.assert_allclose(found, slow_matrix(architecture, given), rtol=0, atol=1e-13)


def test_two_by_two_maps():
    """The maps of [[0, -1], [1, 0]] and the reflections along (2, -1), (1, 0): rational but for exp."""
    turn = {"skew": np.array([-1.0]), "weight_ih": np.ones((2, 1))}
    exp = matrix(UnitaryRNN(1, 2), turn)
    np.testing.assert_allclose(exp, [[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]], rtol=0, atol=4e-16)
    cayley = matrix(UnitaryRNN(1, 2, parametrisation="cayley", flipped=0.0), turn)
    np.testing.assert_allclose(cayley, [[0.6, -0.8], [0.8, 0.6]], rtol=0, atol=4e-16)
    reflectors = {"reflectors": np.array([[2.0, -1.0], [1.0, 0.0]])}
    reflected = matrix(UnitaryRNN(1, 2, parametrisation="householder"), reflectors)
    np.testing.assert_allclose(reflected, [[0.6, 0.8], [-0.8, 0.6]], rtol=0, atol=4e-16)


@pytest.mark.parametrize(
    ("settings", "determinant"),
    [
        (dict(parametrisation="exponential"), 1),
        (dict(parametrisation="cayley", flipped=0.2), -1),
        (dict(parametrisation="cayley", flipped=0.4), 1),
        (dict(parametrisation="householder"), -1),
        (dict(parametrisation="householder", reflections=2), 1),
    ],
    ids=str,
)
def test_determinants(settings, determinant):
    architecture = UnitaryRNN(1, 5, **settings)
    w = matrix(architecture, build(architecture, 3, np.float64).weights)
    assert np.linalg.det(w) == pytest.approx(determinant, abs=1e-13)


@most_kinds
def test_fresh_matrices_have_no_preferred_direction(parametrisation, complex_units):
    """Means over draws: entries 0 and squares 1/width by invariance; the trace by the law of the eigenvalues."""
    architecture = UnitaryRNN(1, 4, parametrisation=parametrisation, complex=complex_units, flipped=0.0)
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(jax.vmap(lambda key: architecture.recurrent_matrix(architecture.init(key))))
    w = np.asarray(draw(keys))[:, :, :4]
    w = w[:, :4] + 1j * w[:, 4:] if complex_units else w
    mean = 2 / np.pi if parametrisation == "cayley" else 0.0  # mean of cos over [-pi/2, pi/2]
    error = 4 / np.sqrt(len(keys))
    np.testing.assert_allclose(w.mean(0), mean * np.eye(4), rtol=0, atol=error)
    if parametrisation in ("householder", "projection"):
        np.testing.assert_allclose((abs(w) ** 2).mean(0), np.full((4, 4), 0.25), rtol=0, atol=error)


def adam(architecture, steps, rate):
    """Weights after `steps` of Adam on |y - target|^2 over random sequences, new ones at every step."""
    optimiser = optax.adam(rate)

    def loss(weights, key):
        x = jax.random.normal(key, (4, 10, architecture.input_size), jnp.float64)
        target = jnp.concatenate([x[:, -1:], x[:, :-1]], 1)
        run = jax.vmap(lambda x: architecture.run(weights, architecture.start(weights), x)[1])
        return ((run(x) - target) ** 2).mean()

    def update(carry, key):
        weights, state = carry
        change, state = optimiser.update(jax.grad(loss)(weights, key), state)
        return (architecture.project(optax.apply_updates(weights, change)), state), None

    @jax.jit
    def trained(weights):
        keys = jax.random.split(jax.random.key(1), steps)
        return jax.lax.scan(update, (weights, optimiser.init(weights)), keys)[0][0]

    with jax.enable_x64(True):
        before = architecture.init(jax.random.key(0), jnp.float64)
        return before, jax.block_until_ready(trained(before))


def assert_orthogonal_after(parametrisation, complex_units, width, steps):
    activation = MODRELU if complex_units else "relu"
    architecture = UnitaryRNN(2, width, 2, parametrisation, activation, complex=complex_units)
    before, after = adam(architecture, steps, 1e-2)
    w = matrix(architecture, after)
    assert np.abs(w - matrix(architecture, before)).max() > 0.1
    assert np.isfinite(w).all()
    assert orthogonality_error(w) <= 1e-12


@some_kinds
def test_orthogonal_after_training(parametrisation, complex_units):
    assert_orthogonal_after(parametrisation, complex_units, 6, 200)


@pytest.mark.slow
@every_kind
def test_orthogonal_after_ten_thousand_steps(parametrisation, complex_units):
    assert_orthogonal_after(parametrisation, complex_units, 32, 10_000)


def slow_run(architecture, weights, inputs):
    """States and outputs step by step in complex NumPy."""
    n, w = architecture.width, slow_matrix(architecture, weights)

    def joined(v):
        return v[:n] + 1j * v[n:] if architecture.complex else v

    h, states = np.zeros(n, complex), []
    for x in inputs:
        a = w @ h + joined(weights["weight_ih"]) @ x
        if architecture.activation == MODRELU:
            modulus = np.abs(a)
            h = np.maximum(modulus + weights["modulus_bias"], 0) * np.where(modulus > 0, a / modulus, 0)
        else:
            a = a + joined(weights["bias_ih"])
            h = np.maximum(a.real, 0) + 1j * np.maximum(a.imag, 0)
        states.append(h)
    states = np.array(states)
    parts = np.concatenate([states.real, states.imag], 1) if architecture.complex else states.real
    return parts, parts @ weights["readout"].T


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
@pytest.mark.parametrize(
    ("complex_units", "activation", "width"),
    [(False, "relu", 4), (True, MODRELU, 3), (True, "relu", 1), (False, MODRELU, 1)],
)
def test_run_is_slow_run(parametrisation, complex_units, activation, width):
    width += width % 2 if parametrisation == "rotations" else 0
    architecture = UnitaryRNN(2, width, 3, parametrisation, activation, complex=complex_units)
    rng = np.random.default_rng(0)
    weights = jax.tree.map(np.asarray, build(architecture, 1, np.float64).weights)
    bias = "modulus_bias" if activation == MODRELU else "bias_ih"
    weights[bias] = rng.normal(size=weights[bias].shape) / 2
    inputs = rng.normal(size=(20, 2))
    states, outputs = states_and_outputs(Model(architecture, weights), inputs)
    slow_states, slow_outputs = slow_run(architecture, weights, inputs)
    np.testing.assert_allclose(states.h, slow_states, rtol=0, atol=1e-12)
    np.testing.assert_allclose(outputs, slow_outputs, rtol=0, atol=1e-12)
    for length in (0, 1) if width == 1 and activation == MODRELU else ():
        states, outputs = states_and_outputs(Model(architecture, weights), inputs[:length])
        assert states.h.shape == (length, architecture.units)
        np.testing.assert_allclose(outputs, slow_outputs[:length], rtol=0, atol=1e-12)


def test_linear_layer_keeps_the_norm():
    architecture = UnitaryRNN(1, 16, activation="linear", bias=False)
    model = build(architecture, 0, np.float64)
    start = Hidden(np.random.default_rng(0).normal(size=16))
    states, _ = states_and_outputs(model, np.zeros((1000, 1)), start)
    np.testing.assert_allclose(np.linalg.norm(states.h, axis=1), np.linalg.norm(start.h), rtol=1e-13)


def test_prepared_weights_are_those_of_an_rnn():
    architecture = UnitaryRNN(2, 5, 3, "cayley")
    model, inputs = build(architecture, 0, np.float64), np.random.default_rng(0).normal(size=(9, 2))
    with jax.enable_x64(True):
        plain = Model(RNN(2, 5, 3, "relu"), architecture.prepare(model.weights))
    expected, found = states_and_outputs(plain, inputs), states_and_outputs(model, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), expected, found)


@some_kinds
def test_gradients_are_finite_differences(parametrisation, complex_units):
    architecture = UnitaryRNN(2, 4, 2, parametrisation, MODRELU, complex=complex_units)
    with jax.enable_x64(True):
        inputs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2)))
        weights = architecture.init(jax.random.key(0), jnp.float64)
        flat, unravel = jax.flatten_util.ravel_pytree(weights)

        @jax.jit
        def loss(vector):
            w = unravel(vector)
            return (architecture.run(w, architecture.start(w), inputs)[1] ** 2).sum()

        gradient = jax.grad(loss)(flat)
        offsets = 1e-5 * np.eye(len(flat))
        central = (jax.vmap(loss)(flat + offsets) - jax.vmap(loss)(flat - offsets)) / 2e-5
    np.testing.assert_allclose(gradient, central, rtol=1e-6, atol=1e-7)


def test_modrelu_has_a_slope_at_zero():
    architecture = UnitaryRNN(1, 3, None, "cayley", MODRELU, complex=True)
    model = build(architecture)
    zeros = jnp.zeros((4, 1))
    loss = jax.jit(jax.grad(lambda w: (architecture.run(w, architecture.start(w), zeros)[1] ** 2).sum()))
    gradient = loss(model.weights)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("complex_units", [False, True])
def test_projection_is_the_nearest(complex_units):
    """Of a matrix U S V^H with S > 0 the nearest is U V^H."""
    architecture = UnitaryRNN(1, 4, parametrisation="projection", complex=complex_units)
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(2, 4, 4) if complex_units else (4, 4))
    given = raw[0] + 1j * raw[1] if complex_units else raw
    left, _, right = np.linalg.svd(given)
    with jax.enable_x64(True):
        projected = architecture.project({"weight_hh": raw, "weight_ih": np.ones((1, 1))})
        again = architecture.project(projected)
    found = np.asarray(projected["weight_hh"])
    found = found[0] + 1j * found[1] if complex_units else found
    np.testing.assert_allclose(found, left @ right, rtol=0, atol=1e-14)
    np.testing.assert_allclose(again["weight_hh"], projected["weight_hh"], rtol=0, atol=1e-14)


def test_rotations_take_pairs():
    with pytest.raises(ValueError, match="5 units are odd; give an even width"):
        UnitaryRNN(1, 5, parametrisation="rotations")


def test_project_leaves_maps_alone():
    for parametrisation in PARAMETRISATIONS[:3]:
        weights = build(UnitaryRNN(1, 3, parametrisation=parametrisation)).weights
        assert UnitaryRNN(1, 3, parametrisation=parametrisation).project(weights) is weights


@some_kinds
def test_jit_vmap_and_precision(parametrisation, complex_units):
    architecture = UnitaryRNN(2, 4, 2, parametrisation, complex=complex_units)
    weights, inputs = build(architecture).weights, jax.random.normal(jax.random.key(1), (4, 7, 2))

    def outputs(x):
        return architecture.run(weights, architecture.start(weights), x)[1]

    one = jax.jit(outputs)
    each = jnp.stack([one(x) for x in inputs])
    assert each.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(jax.vmap(outputs))(inputs), each, rtol=0, atol=1e-6)
    np.testing.assert_allclose(outputs(inputs[0]), each[0], rtol=0, atol=1e-6)
    wide = states_and_outputs(Model(architecture, weights).astype(np.float64), np.asarray(inputs[0], np.float64))[1]
    assert wide.dtype == np.float64
    np.testing.assert_allclose(each[0], wide, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_measured_inside_a_stack():
    """The Jacobian by lag of the first layer of a stack is the one that forward differentiation of the run gives."""
    layer = UnitaryRNN(1, 3, 2, activation=MODRELU, complex=True)
    stack = build(Deep((layer, RNN(2, 3))), 0, np.float64)
    assert drive(stack, sequences=3, steps=40).outputs.shape == (3, 40, 3)
    run = drive(Model(layer, stack.weights[0]), sequences=3, steps=40)
    curve = lag_jacobian(run, max_lag=4)[0]
    assert curve.value.shape == (5,)
    lags = brute_force_jacobian(run, 0, 5)
    np.testing.assert_allclose(np.linalg.norm(lags[0]), np.linalg.norm(stack.weights[0]["weight_ih"]), rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(parametrisation="cayly"), "no parametrisation of an orthogonal matrix 'cayly'.*cayley"),
        (dict(activation="modrelus"), "modrelus"),
        (dict(width=0), "width=0; give at least 1"),
        (dict(readout_size=0), "readout_size"),
        (dict(reflections=4), "4 reflections are more than 3 units need"),
        (dict(flipped=1.5), "between 0 and 1, got 1.5"),
    ],
    ids=str,
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        UnitaryRNN(**(dict(input_size=2, width=3) | settings))
