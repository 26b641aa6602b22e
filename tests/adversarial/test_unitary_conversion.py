"""Hostile use of the conversion to orthogonal networks, held against a simulator of our own in long numbers."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.special import erf

from hitherto import (
    GRU,
    RNN,
    Backward,
    Bidirectional,
    Deep,
    Model,
    UnitaryRNN,
    build,
    load,
    save,
    states_and_outputs,
    to_unitary,
    unitary_verdict,
)
from hitherto.cli import main
from hitherto.theory import unitary as dilations
from hitherto.theory.unitary_digits import outputs_in_digits
from hitherto.theory.unitary_network import Network, box
from hitherto.theory.unitary_scaling import certified_norm, rescale
from hitherto.theory.unitary_supremum import exact_bound

pytestmark = pytest.mark.slow  # minutes in all, beside the faster tests of the same things


EPS = np.finfo(float).eps
PHI = {
    "relu": lambda z: np.maximum(z, 0),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "hard_sigmoid": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "relu6": lambda z: np.clip(z, 0, 6),
    "soft_shrink": lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0),
    "linear": lambda z: z,
    "abs": np.abs,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: 0.5 * (1 + np.tanh(0.5 * z)),
    "softplus": lambda z: np.logaddexp(0, z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / math.sqrt(2))),
    "silu": lambda z: z * 0.5 * (1 + np.tanh(0.5 * z)),
}


def model(w, f, b, c, h=None, activation="relu", offset=None, dtype=np.float64) -> Model:
    """A layer from W, F, b, C and h[-1]; the bias is split in two parts."""
    weights = dict(weight_hh=w, weight_ih=f, bias_ih=0.25 * np.asarray(b), bias_hh=0.75 * np.asarray(b), readout=c)
    weights |= {} if h is None else dict(initial_h=h)
    weights |= {} if offset is None else dict(readout_bias=offset)
    weights = {name: np.asarray(array, dtype) for name, array in weights.items()}
    return Model(RNN(len(f[0]), len(w), len(c), activation), weights)


def of_norm(w, norm) -> np.ndarray:
    return w * (norm / np.linalg.norm(w, 2))


def random_model(rng, n, activation="relu", norm=0.8, w=None, inputs=2, outputs=2, **fields) -> Model:
    w = of_norm(rng.normal(size=(n, n)), norm) if w is None else np.asarray(w, float)
    f, b = rng.normal(size=(n, inputs)), 0.5 * rng.normal(size=n)
    return model(w, f, b, rng.normal(size=(outputs, n)), rng.normal(size=n), activation, **fields)


def with_singular_values(rng, sizes) -> np.ndarray:
    n = len(sizes)
    u, v = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return (u * sizes) @ v.T


def numbers(layer) -> tuple:
    """W, F, b, C, h[-1] and the offset of the outputs, of a layer of real units."""
    weights = {name: np.asarray(array) for name, array in layer.weights.items()}
    w = weights["weight_hh"]
    n = len(w)
    b = weights.get("bias_ih", 0) + weights.get("bias_hh", 0) + np.zeros(n, w.dtype)
    c = weights.get("readout", np.eye(n))
    h = weights.get("initial_h", np.zeros(n, w.dtype))
    return w, weights["weight_ih"], b, c, h, weights.get("readout_bias", np.zeros(len(c)))


def simulated(layer, x) -> tuple[np.ndarray, np.ndarray]:
    """States and outputs by a loop of our own, inputs (..., time, input)."""
    w, f, b, c, h, offset = numbers(layer)
    phi = PHI[layer.architecture.activation.split("(")[0]]
    h = np.broadcast_to(h, (*x.shape[:-2], len(w)))
    states = []
    for k in range(x.shape[-2]):
        h = phi(h @ w.T + x[..., k, :] @ f.T + b)
        states.append(h)
    states = np.stack(states, -2)
    return states, states @ c.T + offset


def run(network, x) -> np.ndarray:
    """Outputs of any nest of stacks and directions."""
    architecture, weights = network.architecture, network.weights
    if isinstance(architecture, Deep):
        below, first = x, x
        for i, (one, its) in enumerate(zip(architecture.layers, weights, strict=True)):
            reads = np.concatenate([below, first], -1) if architecture.skip == "input" and i else below
            above = run(Model(one, its), reads)
            same = architecture.skip == "residual" and above.shape == reads.shape
            below = reads + above if same else above
        return below
    if isinstance(architecture, Bidirectional):
        ahead = run(Model(architecture.forward, weights[0]), x)
        back = run(Model(architecture.backward, weights[1]), x[::-1])[::-1]
        both = dict(sum=np.add, mul=np.multiply, ave=lambda a, b: (a + b) / 2, concat=lambda a, b: np.hstack([a, b]))
        return both[architecture.merge](ahead, back)
    if isinstance(architecture, Backward):
        answers = run(Model(architecture.layer, weights), x[::-1])
        return answers[::-1] if architecture.order == "input" else answers
    return simulated(network, x)[1]


POINT = 500  # binary places of the long numbers


def long_integers(array) -> np.ndarray:
    """Numbers times 2^POINT as whole numbers; floats above 2^-448 go over exactly."""
    whole = [int(Fraction(float(value)) * 2**POINT) for value in np.asarray(array).ravel()]
    return np.array(whole, object).reshape(np.shape(array))


def long_states(layer, x) -> np.ndarray:
    """States of a ReLU layer in numbers of 500 binary places."""
    w, f, b, _, h, _ = numbers(layer)
    w, f, h, x = map(long_integers, (w, f, h, x))
    b = sum(long_integers(layer.weights[name]) for name in ("bias_ih", "bias_hh") if name in layer.weights)
    states = []
    for row in x:
        z = np.array([(z >> POINT) for z in w @ h + f @ row], object) + b
        h = np.array([max(value, 0) for value in z], object)
        states.append(h)
    return np.array(states)


def ball_inputs(rng, radius, steps=1000, channels=2) -> np.ndarray:
    """A third on the sphere, a third inside, a third in runs of one and the same vector of the sphere."""
    x = rng.normal(size=(steps, channels))
    x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
    third = steps // 3
    x[third : 2 * third] *= rng.uniform(size=(third, 1))
    x[2 * third :] = x[2 * third :: 50].repeat(50, axis=0)[: steps - 2 * third]
    return x * (1 - 4 * EPS)


def box_inputs(rng, low, high, steps=1000) -> np.ndarray:
    """Corners, edges and the inside."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    x = low + (high - low) * rng.uniform(size=(steps, len(low)))
    corner = np.where(rng.random(x.shape) < 0.5, low, high)
    return np.where(rng.random(x.shape) < rng.choice([0.0, 0.5, 1.0], (steps, 1)), corner, np.clip(x, low, high))


def gap(one, other) -> float:
    return float(np.abs(one - other).max(initial=0) / max(np.abs(one).max(initial=0), 1e-300))


def residual(layer) -> float:
    w = np.asarray(layer.weights["weight_hh"], float)
    return float(np.abs(w.T @ w - np.eye(len(w))).max(initial=0))


def check_twin(layer, conversion, x, tolerance=1e-12) -> None:
    """Everything that an exact ReLU dilation promises, on these inputs."""
    n = len(layer.weights["weight_hh"])
    twin, certificate = conversion.model, conversion.certificate
    mine, its = simulated(layer, x), simulated(twin, x)
    assert residual(twin) <= 5e-15
    assert certificate.residual == pytest.approx(residual(twin), abs=1e-15)
    assert len(twin.weights["weight_hh"]) == certificate.states
    assert np.all(its[0][..., n:] == 0), "an extra unit fired"
    assert gap(mine[1], its[1]) <= tolerance


def check_corner(layer, conversion) -> None:
    w = np.asarray(layer.weights["weight_hh"], float)
    corner = np.asarray(conversion.model.weights["weight_hh"])[: len(w), : len(w)]
    rounding = conversion.certificate.layers[0].rounding
    if rounding == 0:
        np.testing.assert_array_equal(corner, w)
    assert np.linalg.norm(corner - w, 2) <= rounding * (1 + 1e-6) + 1e-16 * len(w)


def refusal(network, **asked) -> str:
    with pytest.raises(ValueError, match=r"\w") as told:
        to_unitary(network, **asked)
    return str(told.value)


# exact twins of ReLU layers


@pytest.mark.parametrize("n", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("distance", [0.1, 1e-4, 1e-9])
def test_outputs_over_a_thousand_steps(n, distance):
    rng = np.random.default_rng(n)
    layer = random_model(rng, n, norm=1 - distance)
    conversion = to_unitary(layer, input_bound=1.5, horizon=1000 if n == 1 else None)
    assert conversion.certificate.outcome in ("exact on bounded inputs", "exact")
    check_twin(layer, conversion, ball_inputs(rng, 1.5), 1e-11)
    check_corner(layer, conversion)
    assert conversion.certificate.states <= 2 * n


@pytest.mark.parametrize("n", [1, 8, 64])
@pytest.mark.parametrize("distance", [1e-14, 2e-16, 0.0])
def test_norms_that_rounding_cannot_tell_from_one(n, distance):
    rng = np.random.default_rng(n)
    sizes = np.concatenate([[1 - distance], np.linspace(0.2, 0.9, n - 1)])
    layer = random_model(rng, n, w=with_singular_values(rng, sizes))
    conversion = to_unitary(layer, input_bound=1.5, horizon=1000)
    check_twin(layer, conversion, ball_inputs(rng, 1.5), 1e-11)
    assert conversion.certificate.states in (2 * n - 1, 2 * n)
    assert conversion.certificate.layers[0].rounding <= (n + 8) * EPS


def test_singular_values_spread_over_all_distances():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 64, w=with_singular_values(rng, 1 - 10 ** rng.uniform(-16, -1, 64)))
    conversion = to_unitary(layer, input_bound=1.0, horizon=1000)
    check_twin(layer, conversion, ball_inputs(rng, 1.0), 1e-11)
    assert 64 + 50 < conversion.certificate.states <= 128


@pytest.mark.parametrize("n", [2, 4])
def test_states_equal_in_long_arithmetic(n):
    rng = np.random.default_rng(n)
    for norm in (0.5, 1 - 1e-10):
        layer = random_model(rng, n, norm=norm)
        conversion = to_unitary(layer, input_bound=2.0)
        x = ball_inputs(rng, 2.0)
        mine, its = long_states(layer, x), long_states(conversion.model, x)
        assert np.all(its[:, n:] == 0)
        error = max(abs(a - b) for a, b in zip(mine.ravel(), its[:, :n].ravel(), strict=True)) / 2**POINT
        assert error <= 1e-13 * float(mine.max()) / 2**POINT


PYTHAGOREAN = np.array([[3, 4], [-4, 3]]) / 5
SPECIAL = {
    "zero": (np.zeros((4, 4)), 8, 8),
    "half of the identity": (0.5 * np.eye(4), 8, 8),
    "repeated": (0.5 * np.kron(np.eye(2), PYTHAGOREAN), 8, 4),
    "singular": (np.diag([0.5, 0.0, 0.0, 0.0]) + 0.25 * np.eye(4, k=1), 8, 4),
    "nilpotent": (0.75 * np.eye(4, k=1), 8, 4),
    "shift": (np.eye(4, k=1), 5, 4),
    "permutation": (np.eye(4)[[2, 0, 3, 1]], 4, 4),
    "signed permutation": (np.diag([1.0, -1, 1, -1]) @ np.eye(4)[[2, 0, 3, 1]], 4, 4),
    "Hadamard": (0.5 * np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]), 4, 4),
    "projection": (np.diag([1.0, 1, 0, 0]), 6, 4),
    "one lossless direction": (np.diag([1.0, 0.5, 0.5, -0.5]), 7, 4),
    "tiny": (1e-300 * np.eye(4), 8, 8),
    "subnormal": (5e-324 * np.ones((4, 4)), 8, 8),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_matrices(name):
    w, most, least = SPECIAL[name]
    rng = np.random.default_rng(1)
    layer = random_model(rng, 4, w=w)
    conversion = to_unitary(layer, input_box=(-1.0, 1.0), horizon=1000)
    check_twin(layer, conversion, box_inputs(rng, [-1, -1], [1, 1]))
    check_corner(layer, conversion)
    certificate = conversion.certificate.layers[0]
    assert least <= (certificate.fewest or 4) <= conversion.certificate.states
    assert conversion.certificate.states <= most


@pytest.mark.parametrize("rank", range(5))
def test_states_are_n_and_the_rank(rank):
    rng = np.random.default_rng(rank)
    w = with_singular_values(rng, [0.9, 0.3, 0.3, 0.0][:rank] + [1.0] * (4 - rank))
    conversion = to_unitary(random_model(rng, 4, w=w), input_bound=1.0, horizon=100)
    assert conversion.certificate.states == 4 + rank
    assert conversion.certificate.layers[0].rounding < 16 * EPS


def test_orthogonal_matrices_need_no_bound_and_no_state():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 8, w=np.linalg.qr(rng.normal(size=(8, 8)))[0])
    conversion = to_unitary(layer)
    assert (conversion.certificate.outcome, conversion.certificate.states) == ("exact", 8)
    assert conversion.certificate.horizon is None
    x = 1e6 * rng.normal(size=(1000, 2))
    check_twin(layer, conversion, x, 1e-11)


def test_single_precision_orthogonal_matrices():
    """Orthogonal up to float32, which is all that the precision of the model can say."""
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    layer = random_model(rng, 8, w=w, dtype=np.float32)
    assert np.linalg.norm(w.astype(float), 2) > 1
    conversion = to_unitary(layer, input_bound=1.0, horizon=50)
    assert conversion.certificate.states <= 16
    assert residual(conversion.model) < 1e-14
    assert gap(
        simulated(layer, ball_inputs(rng, 1.0, 50))[1], simulated(conversion.model, ball_inputs(rng, 1.0, 50))[1]
    )


# initial states, biases and inputs


@pytest.mark.parametrize("size", [1.0, 1e4, 1e8])
def test_initial_states_of_any_sign_and_size(size):
    rng = np.random.default_rng(int(size) % 97)
    for sign in (-1, 1, np.array([1, -1, 1, -1])):
        layer = random_model(rng, 4, norm=0.99)
        layer.weights["initial_h"] = sign * size * np.abs(rng.normal(size=4))
        conversion = to_unitary(layer, input_bound=1.0)
        check_twin(layer, conversion, ball_inputs(rng, 1.0))
        check_corner(layer, conversion)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0, 1e5])
def test_biases_of_any_sign(shift):
    rng = np.random.default_rng(3)
    layer = random_model(rng, 4)
    layer.weights["bias_ih"] = layer.weights["bias_ih"] + shift
    low, high = np.array([-1.0, 0.5]), np.array([0.25, 4.0])
    conversion = to_unitary(layer, input_box=(low, high))
    x = box_inputs(rng, low, high)
    mine, its = simulated(layer, x), simulated(conversion.model, x)
    assert gap(mine[1], its[1]) < 1e-12


BOXES = {
    "lopsided": ([-1e-3, 5.0], [100.0, 5.5]),
    "one point": ([0.5, -0.5], [0.5, -0.5]),
    "a segment": ([0.5, -0.5], [0.5, 3.0]),
    "huge": ([-1e12, -1e12], [1e12, 1e12]),
    "zero": ([0.0, 0.0], [0.0, 0.0]),
    "negative zero": ([-0.0, 0.0], [0.0, -0.0]),
    "away from zero": ([1e6, 1e6], [1e6 + 1, 1e6 + 1]),
    "tiny": ([-1e-300, -1e-300], [1e-300, 1e-300]),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes(name):
    low, high = map(np.array, BOXES[name])
    rng = np.random.default_rng(5)
    for _ in range(3):
        layer = random_model(rng, 4)
        conversion = to_unitary(layer, input_box=(low, high))
        x = box_inputs(rng, low, high)
        mine, its = simulated(layer, x), simulated(conversion.model, x)
        assert gap(mine[1], its[1]) < 1e-12
        assert residual(conversion.model) < 5e-15


def test_a_box_of_numbers_is_one_for_every_channel():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 4)
    one, other = to_unitary(layer, input_box=(-1, 2)), to_unitary(layer, input_box=([-1.0, -1.0], [2.0, 2.0]))
    np.testing.assert_array_equal(one.model.weights["bias_ih"], other.model.weights["bias_ih"])


def worst_inputs(layer, rows, low, high, steps, rng, tries=40) -> np.ndarray:
    """For every row of rows h the inputs, by coordinate search from random corners, that make it largest."""
    best = []
    for row in rows:
        x = np.where(rng.random((tries, steps, len(low))) < 0.5, low, high)
        value = simulated(layer, x)[0][:, -1] @ row
        for _ in range(4):
            for k in range(steps):
                other = x.copy()
                other[:, k] = low + (high - low) * rng.choice([0, 0.25, 0.5, 0.75, 1], (tries, len(low)))
                new = simulated(layer, other)[0][:, -1] @ row
                x = np.where((new > value)[:, None, None], other, x)
                value = np.maximum(new, value)
        best.append(x[value.argmax()])
    return np.array(best)


def test_the_worst_inputs_that_a_search_finds():
    rng = np.random.default_rng(8)
    low, high = np.array([-1.0, -0.2]), np.array([0.5, 2.0])
    for _ in range(5):
        layer = random_model(rng, 4, norm=0.9)
        conversion = to_unitary(layer, input_box=(low, high), horizon=12)
        rows = conversion.model.weights["weight_hh"][4:, :4]
        x = worst_inputs(layer, rows, low, high, 8, rng)
        x = np.concatenate([x, np.broadcast_to(high, (len(x), 4, 2))], axis=1)
        check_twin(layer, conversion, x)


def test_attained_bounds():
    """W = w > 0, F = 1 and the input at its bound for ever: the state reaches M / (1 - w)."""
    for w in (0.6, 0.9, -0.6):
        layer = model([[w]], [[1.0, 0.0]], [0.25], [[1.0], [2.0]], [-3.0])
        conversion = to_unitary(layer, input_bound=2.0)
        x = np.zeros((1000, 2))
        x[:, 0] = 2.0
        check_twin(layer, conversion, x)
        check_twin(layer, conversion, -x)


@pytest.mark.parametrize("horizon", [1, 2, 3, 50])
def test_norm_one_over_a_horizon(horizon):
    rng = np.random.default_rng(horizon)
    for _ in range(4):
        layer = random_model(rng, 4, w=with_singular_values(rng, [1.0, 1.0, 0.7, 0.1]))
        conversion = to_unitary(layer, input_bound=1.0, horizon=horizon)
        assert conversion.certificate.horizon == horizon
        assert conversion.certificate.states == 6
        for _ in range(20):
            check_twin(layer, conversion, ball_inputs(rng, 1.0, 60)[:horizon], 1e-11)


def small_networks(count):
    rng = np.random.default_rng(77)
    for _ in range(count):
        n = int(rng.integers(1, 4))
        yield (
            rng,
            Network(
                of_norm(rng.normal(size=(n, n)), rng.uniform(0.5, 0.95)),
                rng.normal(size=(n, 1)),
                rng.normal(size=n) + 0.5,
                rng.normal(size=(2, n)),
                rng.normal(size=n),
            ),
        )


def as_layer(network, dilation, bias) -> Model:
    n, extra = network.states, len(bias)
    return model(
        dilation.weight_hh,
        np.vstack([network.weight_ih, np.zeros((extra, network.inputs))]),
        np.concatenate([network.bias, bias]),
        np.hstack([np.eye(n), np.zeros((n, extra))]),
        np.concatenate([network.initial, np.zeros(extra)]),
    )


def test_the_exact_bias_is_sharp():
    """Any higher, and a state one step after the maximiser differs, if the unit that it feeds is on."""
    seen = 0
    for rng, network in small_networks(50):
        n, horizon = network.states, 4
        dilation = dilations.dilate(network.weight_hh)
        rows, inputs = dilation.into_extra, box(np.array([-1.0]), np.array([1.0]))
        supremum = exact_bound(network, rows, inputs, horizon)
        plain = model(network.weight_hh, network.weight_ih, network.bias, np.eye(n), network.initial)
        safe = as_layer(network, dilation, -supremum.bounds - 1e-6)
        x = rng.uniform(-1, 1, (200, horizon, 1))
        assert np.abs(simulated(plain, x)[1] - simulated(safe, x)[1]).max() < 1e-12
        for i, at in enumerate(supremum.maximisers):
            before = np.concatenate([network.initial[None], simulated(plain, at[None])[0][0]]) if len(at) else None
            state = network.initial if before is None else before[-1]
            assert rows[i] @ state == pytest.approx(supremum.bounds[i], abs=2e-5)
            slack = np.where(np.arange(len(rows)) == i, 1e-3, -1e-6)
            leaky = as_layer(network, dilation, -supremum.bounds + slack)
            after = np.concatenate([at, rng.uniform(-1, 1, (2, 1))])
            after = np.stack(
                [after, np.concatenate([at, np.array([[1.0], [1.0]])]), np.concatenate([at, -np.ones((2, 1))])]
            )
            fired = simulated(leaky, after)[0][:, len(at), n + i]
            assert np.all(fired > 5e-4)
            seen += np.abs(simulated(plain, after)[1] - simulated(leaky, after)[1]).max() > 1e-7
    assert seen >= 50


def test_the_bias_of_the_conversion_is_below_every_supremum():
    for _, network in small_networks(6):
        layer = model(network.weight_hh, network.weight_ih, network.bias, network.readout, network.initial)
        twin = to_unitary(layer, input_box=(-1.0, 1.0), horizon=4).model.weights
        n = network.states
        rows = np.asarray(twin["weight_hh"])[n:, :n]
        bias = np.asarray(twin["bias_ih"])[n:] + np.asarray(twin.get("bias_hh", np.zeros(len(rows) + n)))[n:]
        found = exact_bound(network, rows, box(np.array([-1.0]), np.array([1.0])), 4).bounds
        assert np.all(bias <= -found + 2e-6)


# data


def test_data_mode():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 4)
    x = 3 * rng.normal(size=(20, 50, 2))
    conversion = to_unitary(layer, data=x)
    assert conversion.certificate.outcome == "exact on this data"
    check_twin(layer, conversion, x)
    check_corner(layer, conversion)
    alone = to_unitary(layer, data=x[0], margin=0.0)
    check_twin(layer, alone, x[0])


def test_data_of_norm_one_needs_no_horizon():
    rng = np.random.default_rng(1)
    layer = random_model(rng, 4, w=with_singular_values(rng, [1.0, 1.0, 0.7, 0.1]))
    x = rng.normal(size=(5, 200, 2))
    conversion = to_unitary(layer, data=x)
    check_twin(layer, conversion, x, 1e-11)


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((5, 3)),
        np.zeros((0, 2)),
        np.zeros((0, 5, 2)),
        np.zeros((5, 0, 2)),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
    ],
)
def test_data_of_wrong_shapes(data):
    assert "data" in refusal(random_model(np.random.default_rng(0), 4), data=data)


def test_data_and_a_bound_do_not_go_together():
    layer = random_model(np.random.default_rng(0), 4)
    told = refusal(layer, data=np.zeros((5, 2)), input_bound=1.0)
    assert "data" in told
    told = refusal(layer, input_bound=1.0, input_box=(-1, 1))
    assert "one of them" in told


@pytest.mark.parametrize("margin", [-0.1, -2.0, math.nan])
def test_a_margin_below_zero_is_refused(margin):
    """It puts the bias above what the data themselves send, and the twin would not be exact on them."""
    rng = np.random.default_rng(0)
    assert "margin" in refusal(random_model(rng, 4), data=rng.normal(size=(5, 50, 2)), margin=margin)


# rescaling, and refusals


def test_units_of_other_sizes_are_brought_back():
    rng = np.random.default_rng(0)
    for _ in range(4):
        d = 10 ** rng.uniform(-3, 3, 4)
        d[:2] = 1e-3, 1e3
        w = of_norm(rng.normal(size=(4, 4)), 0.9)
        layer = random_model(rng, 4, w=d[:, None] * w / d)
        assert np.linalg.norm(layer.weights["weight_hh"], 2) > 10
        conversion = to_unitary(layer, input_bound=1.0)
        assert conversion.certificate.layers[0].scaled_norm <= 0.9 * (1 + 1e-6)
        x = ball_inputs(rng, 1.0)
        check_twin(layer, conversion, x, 1e-10)


@pytest.mark.parametrize("coupling", [5.0, 1e4, 1e8, -1e8])
def test_reducible_networks(coupling):
    rng = np.random.default_rng(1)
    blocks = [with_singular_values(rng, [0.9, 0.5]) for _ in range(2)]
    w = np.block([[blocks[0], coupling * rng.normal(size=(2, 2))], [np.zeros((2, 2)), blocks[1]]])
    layer = random_model(rng, 4, w=w)
    conversion = to_unitary(layer, input_bound=1.0)
    assert conversion.certificate.layers[0].scaled_norm < 1
    check_twin(layer, conversion, ball_inputs(rng, 1.0), 1e-10)


def test_scaled_networks_of_long_arithmetic():
    """The rescaled corner is rounded once, so states agree up to that and extra ones are exactly 0."""
    rng = np.random.default_rng(2)
    layer = random_model(rng, 2, w=[[0.9, 5.0], [0.0, 0.9]])
    conversion = to_unitary(layer, input_bound=1.0)
    x = ball_inputs(rng, 1.0, 300)
    assert np.all(long_states(conversion.model, x)[:, 2:] == 0)


REFUSED = {
    "nilpotent": ([[0.6, 0.6], [-0.6, -0.6]], "1.2"),
    "rotation": ((1.1 * PYTHAGOREAN).tolist(), "1.1"),
    "big": ([[3.0, 0.0], [0.0, 0.5]], "3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_come_with_proof(name):
    w, norm = REFUSED[name]
    layer = random_model(np.random.default_rng(0), 2, w=w)
    told = refusal(layer, input_bound=1.0)
    assert f"norm of weight_hh is {norm}" in told
    scaling = rescale(np.array(w))
    z = scaling.certificate
    assert np.linalg.eigvalsh(z).min() >= -1e-12 * np.trace(z)
    assert np.trace(z) > 0
    lifted = np.diag(np.array(w) @ z @ np.array(w).T)
    assert np.all(lifted >= (scaling.proven**2 - 1e-9) * np.diag(z))
    assert scaling.proven >= 1
    assert certified_norm(np.array(w), z) == pytest.approx(scaling.proven)
    (verdict,) = unitary_verdict(layer, input_bound=1.0)
    assert verdict.verdict.outcome in ("impossible", "undecided")


def test_a_growing_mode_is_impossible():
    """W > 0 with an eigenvalue above 1, in the open: answers to an impulse grow without bound."""
    layer = model([[1.2, 0.1], [0.1, 0.3]], np.ones((2, 1)), [0.1, 0.1], [[1.0, 1.0]])
    (found,) = unitary_verdict(layer, input_bound=1.0)
    assert found.verdict.outcome in ("impossible", "undecided")
    assert found.verdict.states is None


# no bound on the inputs


@pytest.mark.parametrize("negative", [False, True])
def test_diagonal_networks_for_all_inputs(negative):
    rng = np.random.default_rng(0)
    layer = random_model(rng, 4, w=np.diag([0.9, -0.5, 0.0, 1 - 1e-9]))
    layer.weights["initial_h"] = np.array([-1.0, -1e6, 3.0, -0.1]) if negative else np.abs(rng.normal(size=4))
    conversion = to_unitary(layer)
    assert (conversion.certificate.outcome, conversion.certificate.horizon) == ("exact", None)
    for size in (1e-6, 1.0, 1e6, 1e150):
        check_twin(layer, conversion, size * rng.normal(size=(1000, 2)))
    check_corner(layer, conversion)


def test_completely_positive_defects_for_all_inputs():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(20):
        w = of_norm(rng.normal(size=(2, 2)), 0.9)
        gram = np.eye(2) - w.T @ w
        if gram[0, 1] < 1e-6:
            continue
        found += 1
        layer = random_model(rng, 2, w=w)
        conversion = to_unitary(layer)
        assert conversion.certificate.outcome == "exact"
        check_twin(layer, conversion, 1e6 * rng.normal(size=(300, 2)))
    assert found > 3


def test_no_bound_where_one_is_needed():
    layer = random_model(np.random.default_rng(0), 2, w=[[0.5, 0.4], [0.4, 0.5]])
    told = refusal(layer)
    assert all(name in told for name in ("input_bound", "input_box", "data"))


# units that are off hold for the inputs asked for, not for all


def test_an_exact_twin_is_one_for_all_inputs():
    """Outcome `exact` says all inputs; units were pruned as never on only because inputs are small."""
    off = model(0.5 * np.eye(2), np.ones((2, 1)), [-10.0, -10.0], [[1.0, 1.0]])
    for layer in (off, model(np.diag([1.0, 0.5]), np.ones((2, 1)), [0.0, -10.0], [[1.0, 1.0]])):
        conversion = to_unitary(layer, input_bound=1.0)
        x = np.full((5, 1), 100.0)
        same = gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-9
        assert same or conversion.certificate.outcome == "exact on bounded inputs"
        (found,) = unitary_verdict(layer, input_bound=1.0)
        assert found.verdict.outcome in ("exact", "exact on bounded inputs")


# bounded activations with a flat end


@pytest.mark.parametrize("activation", ["hard_tanh", "hard_sigmoid", "relu6"])
def test_flat_ends_need_no_bound(activation):
    rng = np.random.default_rng(0)
    for trial in range(4):
        layer = random_model(rng, 4, activation, norm=[0.3, 0.99, 1 - 1e-12, 0.8][trial])
        layer.weights["initial_h"] = [0.1, 1.0, 50.0, 1e8][trial] * rng.normal(size=4)
        conversion = to_unitary(layer)
        assert conversion.certificate.outcome == "exact"
        for size in (0.1, 1.0, 1e3, 1e8):
            x = size * rng.normal(size=(300, 2))
            mine, its = simulated(layer, x), simulated(conversion.model, x)
            assert gap(mine[1], its[1]) < 1e-11
            assert len(np.unique(its[0][:, 4:])) == 1, "an extra unit moved"
        assert residual(conversion.model) < 5e-15


@pytest.mark.parametrize("activation", ["hard_tanh", "relu6"])
def test_flat_ends_of_norm_above_one(activation):
    """Copies of units are the only rescaling: either a twin that is one, or a refusal."""
    rng = np.random.default_rng(4)
    w = np.array([[0.5, 1.2], [0.1, 0.4]])
    layer = random_model(rng, 2, activation, w=w)
    conversion = to_unitary(layer)
    x = 3 * rng.normal(size=(500, 2))
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12
    assert residual(conversion.model) < 5e-15


def test_soft_shrink_for_small_states():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 3, "soft_shrink", norm=0.5)
    layer = replace(layer, weights=layer.weights | {"initial_h": np.zeros(3)})
    for name in ("weight_ih", "bias_ih", "bias_hh"):
        layer.weights[name] = layer.weights[name] * 0.2
    conversion = to_unitary(layer, input_bound=0.2)
    x = ball_inputs(rng, 0.2, 300)
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12
    assert "dead zone" in refusal(layer, input_bound=1e3)


# near twins


SMOOTH = {"tanh": 0.95, "sigmoid": 0.99, "softplus": 0.9, "elu": 0.9, "gelu": 0.8, "silu": 0.8}


@pytest.mark.parametrize("activation", SMOOTH)
def test_near_twins_stay_near(activation):
    rng = np.random.default_rng(len(activation))
    for epsilon in (1e-1, 1e-4, 1e-8, 1e-12):
        layer = random_model(rng, 4, activation, norm=SMOOTH[activation])
        conversion = to_unitary(layer, input_bound=2.0, mode="epsilon", epsilon=epsilon)
        assert conversion.certificate.outcome == "epsilon"
        rows = np.asarray(conversion.model.weights["weight_hh"])[4:, :4]
        for x in (ball_inputs(rng, 2.0), *(pushing(layer, row) for row in rows)):
            error = simulated(layer, x)[0] - simulated(conversion.model, x)[0][:, :4]
            assert np.linalg.norm(error, axis=1).max() <= epsilon * (1 + 1e-9) + 1e-13
        assert residual(conversion.model) < 5e-15
        check_corner(layer, conversion)


def pushing(layer, row) -> np.ndarray:
    """Inputs of length 2 that raise row h at every step."""
    x = row @ np.asarray(layer.weights["weight_ih"])
    return np.broadcast_to(2 * (1 - 4 * EPS) * x / np.linalg.norm(x), (1000, 2))


def test_near_twins_of_bounded_units_need_no_bound():
    rng = np.random.default_rng(3)
    for activation in ("tanh", "sigmoid"):
        layer = random_model(rng, 4, activation)
        layer.weights["initial_h"] = 30 * rng.normal(size=4)
        conversion = to_unitary(layer, mode="epsilon", epsilon=1e-7)
        for size in (1, 1e4):
            x = size * rng.normal(size=(500, 2))
            error = simulated(layer, x)[0] - simulated(conversion.model, x)[0][:, :4]
            assert np.linalg.norm(error, axis=1).max() <= 1e-7


def test_unbounded_smooth_units_need_a_bound():
    told = refusal(random_model(np.random.default_rng(0), 4, "softplus"), mode="epsilon", epsilon=1e-3)
    assert "input_bound" in told


def test_slopes_above_one_narrow_the_norms():
    told = refusal(
        random_model(np.random.default_rng(0), 4, "gelu", 0.95), input_bound=1.0, mode="epsilon", epsilon=0.1
    )
    assert "slope" in told or "1.12" in told


def test_what_looks_equal_is_not_called_exact():
    """y = sigmoid(x): a bias of -40 hides the extra unit from 64 bits, and 60 digits see it."""
    layer = model([[0.0]], [[1.0]], [0.0], [[1.0]], [0.0], "sigmoid")
    for exact in (False, True):
        (found,) = unitary_verdict(layer, input_bound=1.0, exact=exact)
        assert found.verdict.outcome == ("impossible" if exact else "epsilon")
    told = refusal(layer, input_bound=1.0)
    assert "impossible" in told
    assert "epsilon" in told
    conversion = to_unitary(layer, input_bound=1.0, mode="epsilon", epsilon=1e-17)
    assert conversion.certificate.outcome == "epsilon"
    x = np.array([[1.0], [-1.0], [0.5]])
    mine = outputs_in_digits(numbers(layer)[:5], x, "sigmoid")
    its = outputs_in_digits(numbers(conversion.model)[:5], x, "sigmoid")
    error = max(abs(a - b) for a, b in zip(mine.ravel(), its.ravel(), strict=True))
    assert 0 < error <= 1e-17


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "hard_tanh", "relu", "leaky_relu", "silu"])
def test_copies_make_an_exact_twin(activation):
    rng = np.random.default_rng(0)
    layer = random_model(rng, 2, activation, w=np.array([[3, -8], [2, 3]]) / 5)
    conversion = to_unitary(layer)
    assert (conversion.certificate.outcome, conversion.certificate.states) == (
        "exact",
        5 if activation != "relu" else 2,
    )
    x = rng.normal(size=(50, 2))
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12
    assert residual(conversion.model) < 1e-14


@pytest.mark.parametrize("activation", ["leaky_relu", "abs", "linear", "tanh", "sigmoid"])
def test_there_is_no_exact_twin(activation):
    layer = random_model(np.random.default_rng(0), 3, activation)
    assert "impossible" in refusal(layer, input_bound=1.0)
    (found,) = unitary_verdict(layer, input_bound=1.0, exact=True)
    assert found.verdict.outcome == "impossible"


@pytest.mark.parametrize("activation", ["leaky_relu", "abs"])
def test_epsilon_does_not_help_what_has_no_rest(activation):
    told = refusal(random_model(np.random.default_rng(0), 3, activation), input_bound=1.0, mode="epsilon", epsilon=0.1)
    assert "impossible" in told or "limit" in told


@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_linear_networks_over_a_horizon(horizon):
    rng = np.random.default_rng(0)
    layer = random_model(rng, 2, "linear", w=np.diag([1.0, 0.5]))
    conversion = to_unitary(layer, horizon=horizon)
    assert conversion.certificate.outcome == "exact"
    x = 1e6 * rng.normal(size=(horizon, 2))
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12
    assert conversion.certificate.states == 2 + horizon


# what the verdict says and what the conversion does


@pytest.mark.parametrize("activation", ["relu", "hard_tanh", "tanh", "abs", "soft_shrink"])
def test_the_verdict_is_what_the_conversion_does(activation):
    rng = np.random.default_rng(9)
    for trial in range(6):
        layer = random_model(rng, 2, activation, norm=[0.3, 0.8, 0.999, 1.1, 1.5, 3.0][trial])
        (found,) = unitary_verdict(layer, input_bound=1.0, exact=True)
        if found.verdict.outcome.startswith("exact"):
            made = to_unitary(layer, input_bound=None if found.verdict.outcome == "exact" else 1.0).certificate
            assert made.outcome == found.verdict.outcome
            assert made.states <= found.verdict.states
        else:
            assert found.verdict.outcome in refusal(layer, input_bound=1.0)


# stacks and directions


def stack(rng, skip="none", sizes=(2, 2, 2), inputs=2) -> Model:
    layers, weights = [], []
    for i, n in enumerate(sizes):
        reads = inputs if i == 0 else sizes[i - 1] + (inputs if skip == "input" else 0)
        one = random_model(rng, n, norm=0.9, inputs=reads, outputs=n, offset=rng.normal(size=n))
        layers.append(one.architecture)
        weights.append(one.weights)
    return Model(Deep(tuple(layers), skip), tuple(weights))


@pytest.mark.parametrize("skip", ["none", "residual", "input"])
def test_stacks(skip):
    rng = np.random.default_rng(len(skip))
    network = stack(rng, skip)
    conversion = to_unitary(network, input_bound=1.5)
    assert conversion.certificate.states <= 12
    assert len(conversion.certificate.layers) == 3
    x = ball_inputs(rng, 1.5)
    assert gap(run(network, x), run(conversion.model, x)) < 1e-11
    np.testing.assert_allclose(
        np.asarray(states_and_outputs(conversion.model, x[:200])[1]), run(network, x[:200]), rtol=1e-9
    )


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
def test_both_directions(merge):
    rng = np.random.default_rng(len(merge))
    ahead, back, above = (random_model(rng, 2, norm=0.9) for _ in range(3))
    above = random_model(rng, 2, norm=0.9, inputs=4 if merge == "concat" else 2)
    both = Bidirectional(ahead.architecture, back.architecture, merge)
    network = Model(Deep((both, above.architecture)), ((ahead.weights, back.weights), above.weights))
    conversion = to_unitary(network, input_box=(-1.0, 1.5))
    x = box_inputs(rng, [-1, -1], [1.5, 1.5])
    assert gap(run(network, x), run(conversion.model, x)) < 1e-11
    assert len(conversion.certificate.layers) == 3


@pytest.mark.parametrize("order", ["input", "reading"])
def test_backward_layers(order):
    rng = np.random.default_rng(0)
    one = random_model(rng, 2, norm=0.9, offset=rng.normal(size=2))
    network = Model(Backward(one.architecture, order), one.weights)
    conversion = to_unitary(network, input_bound=1.0)
    x = ball_inputs(rng, 1.0)
    assert gap(run(network, x), run(conversion.model, x)) < 1e-11


def test_a_stack_on_data():
    rng = np.random.default_rng(6)
    network = stack(rng, "residual")
    x = 2 * rng.normal(size=(60, 2))
    conversion = to_unitary(network, data=x)
    assert conversion.certificate.outcome == "exact on this data"
    assert gap(run(network, x), run(conversion.model, x)) < 1e-12


def test_readout_biases_and_no_readout():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 2, offset=np.array([1e3, -7.0]))
    conversion = to_unitary(layer, input_bound=1.0)
    check_twin(layer, conversion, ball_inputs(rng, 1.0))
    bare = Model(
        replace(layer.architecture, readout_size=None), {k: v for k, v in layer.weights.items() if "readout" not in k}
    )
    twin = to_unitary(bare, input_bound=1.0).model
    x = ball_inputs(rng, 1.0)
    assert gap(simulated(bare, x)[1], simulated(twin, x)[1]) < 1e-12


# pruning


def test_units_that_go():
    rng = np.random.default_rng(0)
    w = of_norm(rng.normal(size=(4, 4)), 0.5)
    w[:3, 3], w[3, :] = 1e3, 0  # unit 3 is constant and pushes hard; the norm is 1e3
    layer = random_model(rng, 4, w=w)
    layer.weights["weight_ih"][3] = 0
    layer.weights["readout"][:, 3] = 0
    layer.weights["initial_h"][3] = max(layer.weights["bias_ih"][3] + layer.weights["bias_hh"][3], 0)
    conversion = to_unitary(layer, input_bound=1.0)
    assert conversion.certificate.layers[0].pruned == 1
    x = ball_inputs(rng, 1.0)
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12


@pytest.mark.parametrize("start", [0.0, 5.0, -5.0])
def test_a_unit_that_is_off_but_starts_on(start):
    """It acts once, at k = 0, if its initial state is not 0."""
    w = np.array([[0.5, 0.6], [0.0, 0.2]])
    layer = model(w, [[1.0, 0.0], [0.1, 0.0]], [0.5, -50.0], [[1.0, 0.0], [0.5, 1.0]], [0.3, start])
    conversion = to_unitary(layer, input_bound=1.0)
    x = ball_inputs(np.random.default_rng(0), 1.0)
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12


def test_a_constant_unit_that_starts_elsewhere():
    layer = model([[0.5, 0.6], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], [0.1, 0.7], [[1.0, 0.0]], [0.3, -2.0])
    conversion = to_unitary(layer, input_bound=1.0)
    x = ball_inputs(np.random.default_rng(0), 1.0)
    assert gap(simulated(layer, x)[1], simulated(conversion.model, x)[1]) < 1e-12


@pytest.mark.parametrize("offset", [None, np.array([2.0, -1.0])])
def test_everything_pruned(offset):
    rng = np.random.default_rng(0)
    unread = random_model(rng, 3, norm=5.0, offset=offset)
    unread.weights["readout"] = np.zeros((2, 3))
    conversion = to_unitary(unread, input_bound=1.0)
    x = ball_inputs(rng, 1.0, 20)
    np.testing.assert_array_equal(simulated(conversion.model, x)[1], simulated(unread, x)[1])
    assert conversion.certificate.layers[0].pruned == 3
    assert np.asarray(states_and_outputs(conversion.model, x)[1]).shape == (20, 2)


# other numbers of states


@pytest.mark.parametrize("n", [2, 3, 4])
def test_minimal_states(n):
    rng = np.random.default_rng(n)
    layer = random_model(rng, n, norm=0.9)
    conversion = to_unitary(layer, input_bound=1.0, states="minimal")
    assert conversion.certificate.states <= 2 * n - 1
    assert conversion.certificate.states >= (conversion.certificate.layers[0].fewest or 0)
    x = ball_inputs(rng, 1.0)
    mine, its = simulated(layer, x), simulated(conversion.model, x)
    assert gap(mine[1], its[1]) < 1e-10
    assert np.all(its[0][:, n:] == 0)
    assert residual(conversion.model) < 5e-15


def test_minimal_states_cannot_help_a_diagonal():
    layer = random_model(np.random.default_rng(0), 4, w=np.diag([0.9, 0.5, -0.3, 0.0]))
    assert to_unitary(layer, input_bound=1.0, states="minimal").certificate.states == 8


@pytest.mark.parametrize("states", [4, 5, 6])
def test_states_that_can_be_afforded(states):
    rng = np.random.default_rng(0)
    sizes = np.array([0.99, 0.9, 0.5, 0.2])
    layer = random_model(rng, 4, w=with_singular_values(rng, sizes))
    conversion = to_unitary(layer, input_bound=1.0, states=states)
    certificate = conversion.certificate
    assert (certificate.outcome, certificate.states) == ("truncated", states)
    assert certificate.layers[0].rounding == pytest.approx(1 - sizes[: 8 - states].min())
    corner = np.asarray(conversion.model.weights["weight_hh"])[:4, :4]
    change = np.linalg.norm(corner - np.asarray(layer.weights["weight_hh"]), 2)
    assert change == pytest.approx(certificate.layers[0].rounding)
    assert residual(conversion.model) < 5e-15
    x = ball_inputs(rng, 1.0, 300)
    its = simulated(conversion.model, x)
    assert np.isfinite(its[1]).all()


def test_states_enough_for_all_leave_an_exact_twin():
    rng = np.random.default_rng(0)
    layer = random_model(rng, 4)
    for states in (8, 20):
        conversion = to_unitary(layer, input_bound=1.0, states=states)
        check_twin(layer, conversion, ball_inputs(rng, 1.0))
        assert conversion.certificate.layers[0].rounding == 0
        assert conversion.certificate.outcome == "exact on bounded inputs"


def test_fewer_states_than_units_cannot_be_promised():
    layer = random_model(np.random.default_rng(0), 4)
    assert "states" in refusal(layer, input_bound=1.0, states=3)


# precision


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float16, 0.1)])
def test_twins_run_in_the_precision_of_the_model(dtype, tolerance):
    rng = np.random.default_rng(0)
    for trial in range(4):
        layer = random_model(rng, 4, norm=[0.5, 0.9][trial % 2], dtype=dtype)
        conversion = to_unitary(layer, input_box=(-1.0, 1.0))
        x = box_inputs(rng, [-1, -1], [1, 1], 300).astype(dtype)
        its = simulated(conversion.model.astype(dtype), x)
        assert its[0].dtype == dtype
        assert np.all(its[0][:, 4:] == 0), "an extra unit fired"
        assert gap(simulated(layer, x)[1].astype(float), its[1].astype(float)) < tolerance


def test_attained_bounds_in_single_precision():
    """Where the bound is reached in the limit, rounding must not lift a unit above it."""
    rng = np.random.default_rng(1)
    for _ in range(6):
        w = of_norm(np.abs(rng.normal(size=(3, 3))) * np.array([1, 1, -1]), 0.9)
        layer = random_model(rng, 3, w=w, dtype=np.float32)
        conversion = to_unitary(layer, input_box=(-1.0, 1.0))
        rows = np.asarray(conversion.model.weights["weight_hh"])[3:, :3]
        for row in rows:
            x = np.where(row @ np.asarray(layer.weights["weight_ih"]) > 0, 1, -1)
            x = np.broadcast_to(x, (400, 2)).astype(np.float32)
            assert np.all(simulated(conversion.model.astype(np.float32), x)[0][:, 3:] == 0)


def test_half_precision_is_warned_of():
    layer = random_model(np.random.default_rng(0), 4, norm=0.9, dtype=np.float16)
    with pytest.warns(Warning, match="65504|float16|half"):
        to_unitary(layer, input_bound=1e6)


def test_inputs_are_left_as_they_were():
    layer = random_model(np.random.default_rng(0), 4, norm=0.9)
    before = {name: array.copy() for name, array in layer.weights.items()}
    to_unitary(layer, input_bound=1.0, states="minimal")
    for name, array in before.items():
        np.testing.assert_array_equal(layer.weights[name], array)


def test_two_conversions_are_the_same():
    layer = random_model(np.random.default_rng(0), 4, norm=0.9)
    one, other = (to_unitary(layer, input_bound=1.0, states="minimal").model.weights for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


# fractions


def test_twins_in_fractions():
    third = Fraction(3, 5), Fraction(4, 5)
    turn = np.array([[third[0], third[1]], [-third[1], third[0]]], object)
    w = turn @ np.diag(np.array([Fraction(3, 5), Fraction(5, 13)], object)) @ turn.T
    weights = dict(
        weight_hh=w,
        weight_ih=np.array([[Fraction(1), Fraction(-1, 3)], [Fraction(1, 2), Fraction(2)]], object),
        bias_ih=np.array([Fraction(1, 7), Fraction(-1, 3)], object),
        bias_hh=np.array([Fraction(0), Fraction(0)], object),
        readout=np.array([[Fraction(1), Fraction(2)]], object),
        initial_h=np.array([Fraction(-5, 3), Fraction(1, 9)], object),
    )
    layer = Model(RNN(2, 2, 1, "relu"), weights)
    twin = to_unitary(layer, input_box=(-1.0, 1.0)).model
    u = twin.weights["weight_hh"]
    assert np.array_equal(u.T @ u, np.array([[Fraction(int(i == j)) for j in range(4)] for i in range(4)], object))
    assert np.array_equal(u[:2, :2], w)
    rng = np.random.default_rng(0)
    x = np.array([[Fraction(int(value), 8) for value in row] for row in rng.integers(-8, 9, (40, 2))], object)
    h, g = weights["initial_h"], twin.weights["initial_h"]
    bias = twin.weights["bias_ih"] + twin.weights.get("bias_hh", 0)
    for row in x:
        h = np.maximum(w @ h + weights["weight_ih"] @ row + weights["bias_ih"], 0)
        g = np.maximum(u @ g + twin.weights["weight_ih"] @ row + bias, 0)
        assert np.array_equal(h, g[:2])
        assert not g[2:].any()
        assert twin.weights["readout"] @ g == weights["readout"] @ h


# complex units


def test_modrelu_networks():
    rng = np.random.default_rng(0)
    n = 3
    u = UnitaryRNN(2, n, 2, "projection", "modrelu", complex=True)
    w = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    w *= 0.8 / np.linalg.norm(w, 2)
    weights = dict(
        weight_hh=np.stack([w.real, w.imag]),
        weight_ih=rng.normal(size=(2 * n, 2)),
        modulus_bias=np.array([0.2, -0.3, 0.0]),
        readout=rng.normal(size=(2, 2 * n)),
        initial_h=rng.normal(size=2 * n),
    )
    layer = Model(u, weights)
    conversion = to_unitary(layer, input_bound=1.0)
    x = ball_inputs(rng, 1.0, 200)
    answers = [modrelu_outputs(one, x) for one in (layer, conversion.model)]
    assert gap(*answers) < 1e-12
    pair = np.asarray(conversion.model.weights["weight_hh"])
    full = pair[0] + 1j * pair[1]
    assert np.abs(full.conj().T @ full - np.eye(len(full))).max() < 5e-15


def modrelu_outputs(layer, x) -> np.ndarray:
    def one(array):
        half = len(array) // 2
        return array[:half] + 1j * array[half:]

    w = np.asarray(layer.weights["weight_hh"])
    w = w[0] + 1j * w[1]
    f, h = one(np.asarray(layer.weights["weight_ih"])), one(np.asarray(layer.weights["initial_h"]))
    b, c = np.asarray(layer.weights["modulus_bias"]), np.asarray(layer.weights["readout"])
    answers = []
    for row in x:
        a = w @ h + f @ row
        size = np.abs(a)
        h = np.maximum(size + b, 0) * a / np.where(size > 0, size, 1)
        answers.append(c @ np.concatenate([h.real, h.imag]))
    return np.array(answers)


# what cannot be


GOOD = random_model(np.random.default_rng(0), 4)


def changed(**weights) -> Model:
    return Model(GOOD.architecture, {k: v for k, v in (GOOD.weights | weights).items() if v is not None})


SHAPES = {
    "weight_hh": [np.zeros((4, 3)), np.zeros((3, 3)), np.zeros(4), np.zeros((0, 0)), np.zeros((1, 4, 4))],
    "weight_ih": [np.zeros((3, 2)), np.zeros((4, 3)), np.zeros(4), np.zeros((4, 1))],
    "bias_ih": [np.zeros(3), np.zeros((4, 1)), np.zeros(1), np.zeros(())],
    "bias_hh": [np.zeros(3), np.zeros((4, 1)), np.zeros(1)],
    "readout": [np.zeros((2, 3)), np.zeros(4), np.zeros((3, 4))],
    "initial_h": [np.zeros(3), np.zeros((1, 4)), np.zeros(1)],
    "readout_bias": [np.zeros(3), np.zeros(1), np.zeros((2, 1))],
}


@pytest.mark.parametrize(("name", "array"), [(name, array) for name, arrays in SHAPES.items() for array in arrays])
def test_wrong_shapes_are_named(name, array):
    told = refusal(changed(**{name: array}), input_bound=1.0)
    assert {"initial_h": "initial", "bias_ih": "bias", "bias_hh": "bias"}.get(name, name) in told
    assert "shape" in told


@pytest.mark.parametrize("name", ["weight_hh", "weight_ih", "readout"])
def test_missing_weights_are_named(name):
    assert name in refusal(changed(**{name: None}), input_bound=1.0)


@pytest.mark.parametrize(
    "name", ["weight_hh", "weight_ih", "bias_ih", "bias_hh", "readout", "initial_h", "readout_bias"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_named(name, value):
    array = np.array(GOOD.weights.get(name, np.zeros(2)))
    array.flat[1] = value
    told = refusal(changed(**{name: array}), input_bound=1.0)
    stem = {"bias_ih": "bias", "bias_hh": "bias", "initial_h": "initial"}.get(name, name)
    assert stem in told
    assert "finite" in told


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("name", ["weight_hh", "weight_ih", "bias_ih", "readout"])
def test_complex_weights_are_not_made_real(name):
    array = np.asarray(GOOD.weights[name]) * (1 + 1j)
    assert "complex" in refusal(changed(**{name: array}), input_bound=1.0)


@pytest.mark.parametrize("bound", [-1.0, -1e-300, math.inf, -math.inf, math.nan])
def test_bounds_that_cannot_be(bound):
    told = refusal(GOOD, input_bound=bound)
    assert "bound" in told
    assert "data" in told
    with pytest.raises(ValueError, match="bound"):
        unitary_verdict(GOOD, input_bound=bound)


@pytest.mark.parametrize(
    "limits",
    [
        (1, -1),
        (math.nan, 1),
        (-math.inf, math.inf),
        ([0.0, 2.0], [1.0, 1.0]),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        ([0.0, 0.0], [1.0, 1.0, 1.0]),
        ([], []),
    ],
)
def test_boxes_that_cannot_be(limits):
    told = refusal(GOOD, input_box=limits)
    assert "input_box" in told or "bound on the inputs" in told
    assert "broadcast" not in told


@pytest.mark.parametrize("horizon", [0, -1, -(10**20), True, False])
def test_horizons_that_cannot_be(horizon):
    assert "horizon" in refusal(GOOD, input_bound=1.0, horizon=horizon)


@pytest.mark.parametrize("horizon", [0, -1])
def test_verdicts_over_horizons_that_cannot_be(horizon):
    with pytest.raises(ValueError, match=r"horizon|steps"):
        unitary_verdict(GOOD, input_bound=1.0, horizon=horizon)


def test_horizons_of_any_length():
    for horizon in (10**9, 10**20):
        assert to_unitary(GOOD, input_bound=1.0, horizon=horizon).certificate.states == 8


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (dict(mode="near"), "mode"),
        (dict(mode="epsilon"), "epsilon"),
        (dict(epsilon=1e-3), "epsilon"),
        (dict(mode="epsilon", epsilon=0.0), "epsilon"),
        (dict(mode="epsilon", epsilon=-1.0), "epsilon"),
        (dict(mode="epsilon", epsilon=math.nan), "epsilon"),
        (dict(mode="epsilon", epsilon=math.inf), "epsilon"),
        (dict(states="few"), "states"),
        (dict(states=0), "states"),
        (dict(states=-5), "states"),
    ],
)
def test_arguments_that_do_not_fit(asked, said):
    assert said in refusal(random_model(np.random.default_rng(0), 4, "tanh"), input_bound=1.0, **asked)


def test_norm_one_for_ever_asks_for_a_horizon():
    w = np.zeros((4, 4))
    w[:2, :2], w[2:, 2:] = PYTHAGOREAN, [[0.5, 0.4], [0.4, 0.5]]
    layer = random_model(np.random.default_rng(0), 4, w=w)
    assert "horizon" in refusal(layer, input_bound=1.0)
    to_unitary(layer, input_bound=1.0, horizon=10)


def test_a_bound_does_no_harm():
    """What has a twin for all inputs has one for those within a bound, and needs no horizon for it."""
    layer = random_model(np.random.default_rng(0), 2, w=np.diag([1.0, 0.5]))
    assert to_unitary(layer).certificate.outcome == "exact"
    assert to_unitary(layer, input_bound=1.0).certificate.states == 3


def test_gates_are_outside():
    network = build(GRU(2, 3, 2), 0, np.float64)
    assert "gates" in refusal(network, input_bound=1.0)
    (found,) = unitary_verdict(network, input_bound=1.0)
    assert found.verdict.outcome == "undecided"


@pytest.mark.parametrize("activation", ["softsign", "nonsense"])
def test_activations_without_facts(activation):
    assert activation in refusal(random_model(np.random.default_rng(0), 2, activation), input_bound=1.0)


def test_no_steps_give_no_outputs():
    twin = to_unitary(GOOD, input_bound=1.0).model
    assert np.asarray(states_and_outputs(twin, np.zeros((0, 2)))[1]).shape == (0, 2)


def test_huge_and_tiny_numbers_do_not_warn():
    """Numbers near the ends of float64: a twin that is one, or a refusal; never a twin with infinite biases."""
    rng = np.random.default_rng(0)
    for size in (1e-320, 1e-200, 1e200, 1e307):
        layer = random_model(rng, 4)
        layer.weights["weight_ih"] = layer.weights["weight_ih"] * size
        try:
            twin = to_unitary(layer, input_bound=1.0).model
        except ValueError:
            continue
        assert all(np.isfinite(np.asarray(array)).all() for array in twin.weights.values())
        assert gap(simulated(layer, ball_inputs(rng, 1.0, 50))[1], simulated(twin, ball_inputs(rng, 1.0, 50))[1]) < 2


# the command line


CONVERT = ("convert", "unitary")


def told(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as left:
        code = left.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def file(tmp_path):
    save(GOOD, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input-bound", "nan"),
        ("--input-bound", "inf"),
        ("--input-bound", "abc"),
        ("--input-bound", "-1"),
        ("--box", "1"),
        ("--box", "1", "-1"),
        ("--horizon", "0", "--input-bound", "1"),
        ("--horizon", "2.5", "--input-bound", "1"),
        ("--horizon", "-3", "--input-bound", "1"),
        ("--states", "0", "--input-bound", "1"),
        ("--states", "3", "--input-bound", "1"),
        ("--states", "2.5", "--input-bound", "1"),
        ("--states", "", "--input-bound", "1"),
        ("--epsilon", "nan", "--input-bound", "1"),
        ("--epsilon", "0", "--input-bound", "1"),
        ("--data", "nowhere.npy"),
        ("--data", "broken.npy"),
        ("--data", "pickled.npy"),
        ("--data", "wide.npy"),
        ("--data", "nan.npy"),
        ("--data", "wide.npy", "--input-bound", "1"),
        ("--layer", "none such", "--input-bound", "1"),
        ("--nonsense", "1"),
        (),
    ],
)
def test_a_refused_command_leaves_the_existing_file(capsys, file, monkeypatch, arguments):
    monkeypatch.chdir(file.parent)
    out = file.parent / "twin.safetensors"
    out.write_bytes(b"precious")
    (file.parent / "broken.npy").write_bytes(b"no array")
    np.save("pickled.npy", np.array([{}], object))
    np.save("wide.npy", np.zeros((5, 3)))
    np.save("nan.npy", np.full((5, 2), np.nan))
    code, printed, err = told(capsys, *CONVERT, file, out, *arguments)
    assert code not in (0, None)
    assert not printed.strip()
    assert err.strip()
    assert "Traceback" not in err
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in file.parent.iterdir()) == sorted(
        ["model.safetensors", "twin.safetensors", "broken.npy", "pickled.npy", "wide.npy", "nan.npy"]
    )


def test_outputs_that_cannot_be_written(capsys, file):
    folder = file.parent / "folder.safetensors"
    folder.mkdir()
    for out in (file.parent / "none" / "twin.safetensors", folder, file.parent / "twin.pt", file / "twin.safetensors"):
        code, printed, err = told(capsys, *CONVERT, file, out, "--input-bound", "1")
        assert code == 2
        assert err.strip()
        assert "Traceback" not in err
        assert not printed.strip()
    for model_file in ("nowhere.safetensors", folder):
        code, _, err = told(capsys, *CONVERT, model_file, file.parent / "twin.safetensors", "--input-bound", "1")
        assert code == 2
        assert err.strip()
    assert not (file.parent / "twin.safetensors").exists()


def test_a_file_may_be_replaced_by_its_twin(capsys, file):
    code, _, _ = told(capsys, *CONVERT, file, file, "--input-bound", "1")
    assert code == 0
    assert load(file).architecture.width == 8


def test_json_is_strict(capsys, file):
    rng = np.random.default_rng(0)
    out = file.parent / "twin.safetensors"
    layers = {
        "orthogonal": (random_model(rng, 4, w=np.eye(4)), ()),
        "nothing": (model(0.5 * np.eye(2), np.ones((2, 1)), [-9.0, -9.0], [[1.0, 1.0]]), ("--input-bound", "1")),
        "near": (random_model(rng, 4, "tanh"), ("--epsilon", "1e-6")),
        "norm one": (
            random_model(rng, 4, w=with_singular_values(rng, [1.0, 1.0, 0.7, 0.1])),
            ("--input-bound", "1", "--horizon", "20"),
        ),
        "huge": (random_model(rng, 4), ("--box", "-1e100", "1e100")),
    }
    for layer, arguments in layers.values():
        save(layer, file)
        code, printed, err = told(capsys, *CONVERT, file, out, *arguments, "--json")
        assert code == 0, err
        found = strict(printed)
        assert found["states"] == load(out).architecture.width
        code, printed, _ = told(capsys, "verdict", "unitary", file, "--json")
        assert code == 0
        assert len(strict(printed)) == 1
    save(random_model(rng, 4, norm=3.0), file)
    code, printed, _ = told(capsys, "verdict", "unitary", file, "--input-bound", "1", "--json")
    assert code == 0
    assert strict(printed)[0]["states"] is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_keep_the_twin(capsys, file, dtype):
    save(GOOD.astype(dtype), file)
    out = file.parent / "twin.safetensors"
    assert told(capsys, *CONVERT, file, out, "--input-bound", "1")[0] == 0
    twin = load(out)
    x = ball_inputs(np.random.default_rng(0), 1.0)
    assert gap(simulated(GOOD.astype(dtype), x)[1].astype(float), simulated(twin, x)[1]) < (
        1e-12 if dtype == np.float64 else 1e-4
    )
    assert np.all(simulated(twin, x)[0][:, 4:] == 0)


def test_a_trained_network_of_pytorch_goes_there_and_back(capsys, tmp_path):
    torch.manual_seed(0)
    cell = torch.nn.RNN(2, 4, nonlinearity="relu", batch_first=True)
    head = torch.nn.Linear(4, 2)
    optimiser = torch.optim.Adam([*cell.parameters(), *head.parameters()], 1e-2)
    x = torch.rand(8, 30, 2) * 2 - 1
    for _ in range(5):
        optimiser.zero_grad()
        loss = (head(cell(x)[0]) - x.cumsum(1).roll(1, 1)).square().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        w = cell.weight_hh_l0
        w *= 0.9 / torch.linalg.matrix_norm(w, 2)
    torch.save(cell.state_dict(), tmp_path / "cell.pt")
    out = tmp_path / "twin.safetensors"
    arguments = ("--activation", "relu", "--box", "-1", "1")
    code, _, err = told(capsys, *CONVERT, tmp_path / "cell.pt", out, *arguments)
    assert code == 0, err
    twin = load(out)
    width = twin.architecture.width
    bigger = torch.nn.RNN(2, width, nonlinearity="relu", batch_first=True)
    state = {
        f"{name}_l0": torch.tensor(np.asarray(twin.weights[name]), dtype=torch.float32)
        for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
    }
    bigger.load_state_dict(state)
    with torch.no_grad():
        mine, its = cell(x)[0], bigger(x)[0]
        readout = (
            torch.tensor(np.asarray(twin.weights["readout"]), dtype=torch.float32)
            if "readout" in twin.weights
            else torch.eye(width)[:4]
        )
        assert torch.all(its[..., 4:] == 0)
        assert torch.allclose(its @ readout.T, mine, atol=1e-5)
