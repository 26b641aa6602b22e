"""Bounds on what extra units receive: exact vectors, validity on random inputs, order; the exact one is sharp."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unitary_cases import CASES, drawn_network, fractions, network, outputs, parts, states, twin

from hitherto.theory.unitary import dilate
from hitherto.theory.unitary_bounds import (
    data_bound,
    extra_bias,
    modulus_bound,
    norm_bound,
    positive_part_bound,
    state_set,
)
from hitherto.theory.unitary_intervals import boxes, interval_bound
from hitherto.theory.unitary_network import Network, ball, box, scaled_matrix
from hitherto.theory.unitary_supremum import exact_bound
from hitherto.theory.unitary_unit_norm import UNIT, to_unit_norm

CASE = CASES["O2b_bias_bounds"]
ROWS = fractions(CASE["inputs"]["W21"]).astype(float)
CUBE = box(-np.ones(2), np.ones(2))
SEEDS = st.integers(0, 2**32 - 1)


def within(rng, inputs, length) -> np.ndarray:
    """Random inputs of the set, many of them on its border."""
    x = rng.uniform(-1.5, 1.5, (length, len(inputs.low))).clip(-1, 1)
    x = (inputs.low + inputs.high) / 2 + (inputs.high - inputs.low) / 2 * x
    size = np.linalg.norm(x, axis=1, keepdims=True)
    return x * np.minimum(1, inputs.radius / np.maximum(size, 1e-300))


def test_exact_vectors():
    own, disc, expected = network("O2_rational_n2"), ball(2, CASE["inputs"]["M"]), CASE["expected"]
    np.testing.assert_allclose(norm_bound(own, ROWS, disc), expected["coarse_norm"], rtol=1e-9)
    np.testing.assert_allclose(positive_part_bound(own, ROWS, disc), expected["positive_part_norm"], rtol=1e-9)
    interval = interval_bound(own, ROWS, CUBE, CASE["inputs"]["T_interval"])
    np.testing.assert_allclose(interval, expected["interval_T12"], rtol=1e-9)
    exact = exact_bound(own, ROWS, CUBE, CASE["inputs"]["T_exact"])
    np.testing.assert_allclose(exact.bounds, expected["exact_sup_T5"], rtol=1e-6)


@given(SEEDS, st.integers(1, 5), st.integers(1, 8), st.booleans())
@settings(max_examples=60)
def test_every_bound_holds(seed, width, horizon, round_set):
    rng = np.random.default_rng(seed)
    own = drawn_network(rng, width, norm=rng.uniform(0.1, 1.2))
    inputs = ball(2, rng.random()) if round_set else box(-rng.random(2), rng.random(2))
    rows = rng.normal(size=(3, width))
    met = np.vstack([own.initial, states(parts(own), within(rng, inputs, horizon))])[:horizon] @ rows.T
    for bound in (norm_bound, positive_part_bound, interval_bound):
        over_time = bound(own, rows, inputs, horizon)
        assert (met.max(0) <= over_time + 1e-12).all()
        for_ever = bound(own, rows, inputs)
        assert (over_time <= for_ever + 1e-9 * (1 + np.abs(for_ever))).all()
    reached = state_set(own, inputs, horizon)
    after = states(parts(own), within(rng, inputs, horizon))
    assert (after <= reached.high + 1e-12).all()
    assert (after >= reached.low - 1e-12).all()
    assert np.linalg.norm(after, axis=1).max() <= reached.radius + 1e-12


def test_bounds_of_long_runs_converge():
    rng = np.random.default_rng(0)
    own, rows = drawn_network(rng, 4, norm=0.5), rng.normal(size=(3, 4))
    for bound in (norm_bound, positive_part_bound, interval_bound):
        np.testing.assert_allclose(bound(own, rows, CUBE, 3000), bound(own, rows, CUBE), rtol=1e-9)
    assert (norm_bound(own, rows, CUBE, 2) < norm_bound(own, rows, CUBE)).all()


def test_without_settling_intervals_have_no_end():
    own = Network(np.array([[0.6, -0.6], [0.6, 0.6]]), np.eye(2), np.zeros(2), np.eye(2), np.zeros(2))
    assert np.isinf(interval_bound(own, np.eye(2), CUBE)).all()
    assert (interval_bound(own, -np.eye(2), CUBE) == 0).all()
    assert np.isfinite(interval_bound(own, np.eye(2), CUBE, 9)).all()
    assert state_set(own, CUBE).high.tolist() == [state_set(own, CUBE).radius] * 2
    own = Network(10 * own.weight_hh, np.eye(2), np.zeros(2), np.eye(2), np.zeros(2))
    assert np.isinf(interval_bound(own, np.eye(2), CUBE, 1000)).all()


def test_settled_boxes_hold_for_ever():
    rng = np.random.default_rng(4)
    own = drawn_network(rng, 3, norm=0.5)
    last = list(boxes(own, CUBE))[-1]
    later = states(parts(own), within(rng, CUBE, 2000))[100:]
    assert (later >= last[0]).all()
    assert (later <= last[1]).all()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_exact_bound_against_a_grid(width):
    rng = np.random.default_rng(width)
    own = drawn_network(rng, width, inputs=1)
    rows, inputs = rng.normal(size=(2, width)), box(np.array([-0.5]), np.array([0.7]))
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.7, 25)] * 2), -1).reshape(-1, 2, 1)
    met = np.array([np.vstack([own.initial, states(parts(own), x)]) @ rows.T for x in grid]).max((0, 1))
    found = exact_bound(own, rows, inputs, 3)
    assert (met <= found.bounds + 1e-6).all()
    np.testing.assert_allclose(met, found.bounds, atol=0.1)
    for row, bound, x in zip(rows, found.bounds, found.maximisers, strict=True):
        h = states(parts(own), x)[-1] if len(x) else own.initial
        assert row @ h == pytest.approx(bound, abs=1e-6)


def test_maximisers_are_not_always_corners():
    """relu(x) feeds relu(1 - 8 relu(-x)): large x is lost again by the second unit, so the best x lies inside."""
    own = Network(
        np.array([[0.0, 0, 0], [0, 0, 0], [0.5, -0.5, 0]]),
        np.array([[1.0], [2.0], [0.0]]),
        np.array([0.0, -0.5, 0.0]),
        np.eye(3),
        np.zeros(3),
    )
    inputs = box(np.array([-0.5]), np.array([0.5]))
    found = exact_bound(own, np.array([[0.0, 0.0, 1.0]]), inputs, 3)
    assert found.bounds[0] == pytest.approx(0.125, abs=1e-6)
    assert found.maximisers[0][0, 0] == pytest.approx(0.25, abs=1e-5)


@pytest.mark.slow
def test_the_exact_bias_is_sharp():
    """Raised by 1e-3 above the supremum, one extra bias alters the outputs at the maximiser; at it none do."""
    rng = np.random.default_rng(1)
    checked = 0
    for _ in range(50):
        width, horizon = int(rng.integers(1, 4)), 4
        own = drawn_network(rng, width, norm=rng.uniform(0.3, 0.95))
        own = Network(own.weight_hh, own.weight_ih, np.abs(own.bias) + 0.2, np.eye(width), own.initial)
        inputs = box(-rng.random(2), rng.random(2))
        dilation = dilate(own.weight_hh)
        found = exact_bound(own, dilation.into_extra, inputs, horizon)
        for unit, x in enumerate(found.maximisers):
            later = np.concatenate(
                [np.repeat(x[None], 20, 0), np.array([within(rng, inputs, 2) for _ in range(20)])], 1
            )
            at = twin(parts(own), dilation.weight_hh, -found.bounds - 1e-9)
            assert all(np.abs(outputs(at, y) - outputs(parts(own), y)).max() < 1e-13 for y in later[:, :horizon])
            others = np.where(np.arange(width) == unit, 1e-3, -100.0)  # the other extra units stay silent beyond T
            above = twin(parts(own), dilation.weight_hh, -found.bounds + others)
            gaps = [np.abs(outputs(above, y) - outputs(parts(own), y)).max() for y in later]
            assert max(gaps) > 1e-6
            checked += 1
    assert checked > 80


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=40)
def test_extra_bias_gives_the_same_map(seed, width):
    rng = np.random.default_rng(seed)
    own = drawn_network(rng, width, norm=rng.uniform(0.1, 0.99))
    inputs = ball(2, 1.0)
    dilation = dilate(own.weight_hh)
    bias = extra_bias(own, dilation.into_extra, inputs)
    larger = twin(parts(own), dilation.flipped(bias.signs).weight_hh, bias.bias)
    x = within(rng, inputs, 60)
    assert not states(larger, x)[:, width:].any()
    np.testing.assert_allclose(outputs(larger, x), outputs(parts(own), x), rtol=1e-12, atol=1e-13)


def test_the_sign_with_the_smaller_bound_is_taken():
    own, rows = network("O2_rational_n2"), ROWS
    found, negated = extra_bias(own, rows, CUBE, 5, exact=True), extra_bias(own, -rows, CUBE, 5, exact=True)
    np.testing.assert_allclose(found.bounds, negated.bounds, atol=1e-6)
    np.testing.assert_array_equal(found.signs, -negated.signs)
    assert set(found.routes) == {"exact"}
    assert (found.bounds <= extra_bias(own, rows, CUBE, 5).bounds + 1e-6).all()
    assert (found.bias < -found.bounds).all()
    one = Network(np.array([[0.6]]), np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1))
    assert extra_bias(one, dilate(one.weight_hh).into_extra, ball(1, 5.0)).bounds.tolist() == [0.0]


def test_norm_1_needs_a_horizon_or_the_network_before():
    rng = np.random.default_rng(5)
    own = drawn_network(rng, 4, norm=0.7)
    unit = to_unit_norm(own.weight_hh)
    scaled = own.scaled(unit.scale)
    dilation = dilate(scaled.weight_hh, UNIT)
    assert len(dilation.weight_hh) == unit.states < 8
    bias = extra_bias(own, dilation.into_extra / unit.scale, CUBE)
    larger = twin(parts(scaled), dilation.flipped(bias.signs).weight_hh, bias.bias)
    x = within(rng, CUBE, 400)
    assert not states(larger, x)[:, 4:].any()
    np.testing.assert_allclose(outputs(larger, x), outputs(parts(own), x), atol=1e-12)
    assert np.isfinite(positive_part_bound(scaled, dilation.into_extra, CUBE, 50)).all()


def test_a_stack_is_dilated_layer_by_layer():
    rng = np.random.default_rng(7)
    inputs, x = CUBE, within(rng, CUBE, 200)
    signal, larger_signal = x, x
    for width in (4, 3, 5):
        layer = drawn_network(rng, width, inputs=signal.shape[1])
        layer = Network(layer.weight_hh, layer.weight_ih, layer.bias, np.eye(width), layer.initial)
        dilation = dilate(layer.weight_hh)
        bias = extra_bias(layer, dilation.into_extra, inputs)
        larger = twin(parts(layer), dilation.flipped(bias.signs).weight_hh, bias.bias)
        inputs = state_set(layer, inputs)
        signal, larger_signal = outputs(parts(layer), signal), outputs(larger, larger_signal)
    np.testing.assert_allclose(larger_signal, signal, rtol=1e-12, atol=1e-13)


def test_modulus_bias_of_complex_units():
    rng = np.random.default_rng(8)

    def modrelu(bias):
        def phi(z):
            size = np.abs(z)
            return np.where(size > 0, np.maximum(size + bias, 0) / np.maximum(size, 1e-300), 0) * z

        return phi

    w = rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))
    w *= 0.9 / np.linalg.norm(w, 2)
    own = Network(w, rng.normal(size=(3, 2)) + 0j, np.array([0.2, -0.3, 0.1]), np.eye(3) + 0j, rng.normal(size=3) + 0j)
    dilation, inputs = dilate(w), ball(2, 1.0)
    bound = modulus_bound(own, dilation.into_extra, inputs)
    x = within(rng, inputs, 100)
    silent = (own.weight_hh, own.weight_ih, np.zeros(3), own.readout, own.initial)
    larger = twin(silent, dilation.weight_hh, 0.0)
    found = outputs(larger, x, modrelu(np.concatenate([own.bias, -bound])))
    np.testing.assert_allclose(found, outputs(silent, x, modrelu(own.bias)), atol=1e-14)
    with pytest.raises(ValueError, match=r"weight_hh of the shape .* is complex"):
        positive_part_bound(own, np.eye(3), inputs)


def test_data_bound():
    found = data_bound(np.array([[1.0, -1.0]]), np.array([[0.0, 2.0], [1.0, 3.0]]), margin=0.5)
    assert found.tolist() == [-1.0]


def test_bad_input():
    own = network("O2_rational_n2")
    with pytest.raises(ValueError, match="over 0 steps"):
        interval_bound(own, ROWS, CUBE, 0)
    with pytest.raises(ValueError, match="exact bound was asked for over an infinite horizon"):
        extra_bias(own, ROWS, CUBE, exact=True)
    turning = Network(scaled_matrix(np.eye(2), np.ones(2)), np.eye(2), np.ones(2), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="over an infinite horizon with a recurrent norm of 1"):
        extra_bias(turning, ROWS, CUBE)
    with pytest.raises(ValueError, match="give a horizon in steps"):
        state_set(turning, CUBE)
