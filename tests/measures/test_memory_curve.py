"""Memory curves of linear stacks against exact vectors, covariances that can still be inverted, and known totals."""

import numpy as np
import pytest
from linear_stacks import (
    TRUTH,
    collapsed,
    covariance,
    delay_line,
    in_other_coordinates,
    numbers,
    of_oracle,
    powers,
    random_stack,
    scaled,
    stack,
    with_identity_layer,
)

from hitherto.architectures.arithmetic_circuit import FeatureFunction
from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model
from hitherto.measures.linear_system import linear_system
from hitherto.measures.memory_curve import fisher_memory_curve, linear_memory_curve, noisy_memory_curve

CURVES = TRUTH["memory_curves"]
READ = ("all", "top")


def curve_and_total(model, *arguments, **named):
    curve, total = linear_memory_curve(model, *arguments, **named)
    return curve.value, total.value


def narrow_layers(case):
    """Layers of width 1 whose other weights are irrelevant but for being there."""
    return stack([[[w]] for w in numbers(case["w"])], [[[1.7]], [[-0.3]]])


def read_of(model, read):
    a, b, noise, blocks = collapsed(model)
    return a, b, noise, np.arange(len(a))[blocks[-1] if read == "top" else slice(None)]


def test_one_unit_of_the_oracle():
    case = CURVES["single_unit"][0]
    curve, total = linear_memory_curve(stack([[numbers([case["w"]])]], [[[3.0]]]), lags=6)
    np.testing.assert_allclose(curve.value, numbers(case["MC"]), rtol=1e-12)
    assert not curve.standard_error.any()
    assert total.cannot_tell == "0.0002441 of 1 lies at lags beyond 5"
    assert linear_memory_curve(stack([[[0.5]]], [[[3.0]]]))[1].value == pytest.approx(case["total"], abs=1e-11)


@pytest.mark.parametrize("read", READ)
def test_two_units_of_the_oracle(read):
    case = CURVES[f"two_layer_width1_{read}"]
    curve, total = linear_memory_curve(narrow_layers(case), read)
    np.testing.assert_allclose(curve.value[:6], numbers(case["MC"]), rtol=1e-12)
    assert total.value == pytest.approx(case["total"], abs=1e-11)
    assert curve.part == total.part == {"all": "all layers", "top": "top layer"}[read]


def test_fisher_memory_of_the_oracle():
    case = CURVES["fisher_delay_line"]
    found = fisher_memory_curve(delay_line(case["n"]), case["eps"])
    np.testing.assert_allclose(found.value[:6], numbers(case["J"]), atol=1e-14)
    assert found.statistics["total"] == pytest.approx(numbers([case["total"]])[0], rel=1e-12)


@pytest.mark.parametrize("read", READ)
def test_fisher_memory_of_two_layers_of_the_oracle(read):
    case = CURVES["fisher_two_layer_shift"]
    found = fisher_memory_curve(of_oracle(case), case["eps"], read, lags=5)
    np.testing.assert_allclose(found.value, case["J_top" if read == "top" else "J_all_layers"], atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_orthogonal_layers_have_the_totals_of_the_specification(depth):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        turns = [0.9 * np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(depth)]
        model = stack(turns, [rng.standard_normal((4, 1 if k == 0 else 4)) for k in range(depth)])
        assert curve_and_total(model)[1] == pytest.approx(4 * depth, abs=1e-9)
        assert curve_and_total(model, "top")[1] == pytest.approx(4, abs=1e-9)


@pytest.mark.parametrize("units", [60, 100])
def test_totals_that_a_covariance_loses(units):
    w = scaled(np.random.default_rng(0).standard_normal((units, units)), 0.9)
    model = stack([w], [np.random.default_rng(1).standard_normal((units, 1))])
    curve, total = linear_memory_curve(model)
    assert total.value == pytest.approx(units, abs=1e-8)
    assert not total.cannot_tell
    every = powers(w, model.weights[0]["weight_ih"], len(curve.value))[..., 0]
    lost = (every @ np.linalg.pinv(every.T @ every) * every).sum()
    assert lost < units - 5  # why it is not done that way


def test_a_pole_that_comes_sixteen_times_is_followed_to_its_end():
    model = stack([0.9 * np.eye(16) + 0.3 * np.eye(16, k=-1)], [np.eye(16)[:, :1]])
    curve, total = curve_and_total(model)
    assert total == pytest.approx(16, abs=1e-9)
    assert len(curve) > 175


def test_the_largest_eigenvalues_may_be_close_to_one():
    curve, total = curve_and_total(stack([np.diag([0.999, -0.999])], [np.ones((2, 1))]))
    assert total == pytest.approx(2, abs=1e-9)
    assert len(curve) > 10_000


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize(("depth", "width", "inputs"), [(1, 3, 1), (2, 3, 1), (3, 2, 2)])
def test_curves_are_those_of_the_covariance(depth, width, inputs, read):
    model = random_stack(2, depth, width, inputs, radius=0.6)
    a, b, noise, rows = read_of(model, read)
    every = powers(a, b, 40)[:, rows]
    c, c_noise = (covariance(a, entering, 300)[np.ix_(rows, rows)] for entering in (b, noise))
    curve = linear_memory_curve(model, read, lags=40)[0].value
    np.testing.assert_allclose(curve, np.einsum("kic,ij,kjc->k", every, np.linalg.inv(c), every), atol=1e-8)
    noisy = noisy_memory_curve(model, 0.1, read, lags=40)
    wanted = np.einsum("kic,ij,kjc->k", every, np.linalg.inv(0.1 * c_noise + c), every)
    np.testing.assert_allclose(noisy.value, wanted, rtol=1e-9, atol=1e-13)
    assert noisy.statistics["total"] == pytest.approx(wanted.sum(), rel=1e-8)
    fisher = fisher_memory_curve(model, 0.1, read, lags=40)
    wanted = np.einsum("kic,ij,kjc->k", every, np.linalg.inv(0.1 * c_noise), every)
    np.testing.assert_allclose(fisher.value, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("read", READ)
def test_little_noise_leaves_the_curve(read):
    model = random_stack(2, 2, 3, radius=0.6)
    clean, noisy = linear_memory_curve(model, read, lags=20)[0], noisy_memory_curve(model, 1e-16, read, lags=20)
    np.testing.assert_allclose(noisy.value, clean.value, atol=1e-8)


def test_noise_takes_from_every_lag_and_more_noise_more():
    model = random_stack(4, 2, 3, radius=0.6)
    curves = [noisy_memory_curve(model, noise, lags=12).value for noise in (1e-3, 1e-1, 10)]
    assert (curves[0] > curves[1]).all()
    assert (curves[1] > curves[2]).all()


def test_without_lags_given_the_noisy_curves_are_whole():
    model = random_stack(2, 2, 3, radius=0.6)
    for measure in (noisy_memory_curve, fisher_memory_curve):
        whole, cut = measure(model, 0.1), measure(model, 0.1, lags=300)
        assert whole.statistics["total"] == pytest.approx(cut.statistics["total"], rel=1e-11)


@pytest.mark.parametrize("inputs", [1, 2])
def test_coordinates_of_the_layers_do_not_matter(inputs):
    model = random_stack(6, 2, 3, inputs, radius=0.7)
    rng = np.random.default_rng(0)
    changes = [(g, np.linalg.inv(g)) for g in (np.eye(3) + 0.3 * rng.standard_normal((2, 3, 3)))]
    changed = in_other_coordinates(model, changes)
    for read in READ:
        both = [linear_memory_curve(one, read, lags=30)[0].value for one in (model, changed)]
        np.testing.assert_allclose(*both, atol=1e-10)


def test_with_one_channel_eigenvalues_alone_count():
    model, rng = random_stack(6, 2, 3, radius=0.7), np.random.default_rng(1)
    other = [w | {"weight_ih": rng.standard_normal(w["weight_ih"].shape)} for w in model.weights]
    order = [other[1] | {"weight_ih": other[0]["weight_ih"]}, other[0] | {"weight_ih": other[1]["weight_ih"]}]
    curves = [linear_memory_curve(Model(model.architecture, model.weights), lags=30)[0].value]
    for weights in (other, order):
        turned = stack([w["weight_hh"] for w in weights], [w["weight_ih"] for w in weights])
        curves.append(linear_memory_curve(turned, lags=30)[0].value)
    np.testing.assert_allclose(curves[1], curves[0], atol=1e-12)
    np.testing.assert_allclose(curves[2], curves[0], atol=1e-12)


def test_one_layer_in_a_stack_is_that_layer():
    model = random_stack(6, 1, 3, 2)
    plain = Model(model.architecture.layers[0], model.weights[0])
    for read in READ:
        np.testing.assert_array_equal(curve_and_total(plain, read)[0], curve_and_total(model)[0])


def test_states_that_repeat_others_add_nothing():
    layer = random_stack(6, 1, 3).weights[0]
    model = stack([layer["weight_hh"]], [layer["weight_ih"]])
    longer = with_identity_layer(model)  # its states are those of the layer below
    for read in READ:
        curve, total = linear_memory_curve(longer, read)
        assert total.statistics["rank"] == 3
        np.testing.assert_allclose(curve.value[:20], curve_and_total(model)[0][:20], atol=1e-12)


@pytest.mark.parametrize(
    ("w", "u", "rank"),
    [
        (0.5 * np.eye(3), [[1.0], [2.0], [3.0]], 1),
        (0.5 * np.eye(3), [[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]], 2),
        (np.diag([0.5, 0.4, 0.3]), [[1.0], [0.0], [1.0]], 2),
        (np.diag([0.5, 0.4, 0.3]), [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], 2),
        (np.diag([0.5, 0.4, 0.3]), [[0.0], [0.0], [0.0]], 0),
        (np.zeros((3, 3)), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], 2),
        (0.5 * np.eye(3) + np.eye(3, k=1), [[1.0], [1.0], [1.0]], 3),
        (np.diag([1.5, 0.4, 0.3]), [[0.0], [1.0], [1.0]], 2),  # what no input reaches may grow
    ],
)
def test_states_that_inputs_do_not_reach_do_not_count(w, u, rank):
    curve, total = linear_memory_curve(stack([w], [u]))
    assert curve.statistics["rank"] == rank
    assert total.value == pytest.approx(rank, abs=1e-9)
    assert linear_memory_curve(stack([w], [u]), horizon=40)[1].value == pytest.approx(rank, abs=1e-9)


def test_a_top_layer_without_input_remembers_nothing():
    model = stack([0.5 * np.eye(2), 0.5 * np.eye(2)], [np.ones((2, 1)), np.zeros((2, 2))])
    assert curve_and_total(model, "top")[1] == 0
    assert curve_and_total(model, "top", horizon=3)[1] == 0
    assert curve_and_total(model)[1] == pytest.approx(1)


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("radius", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("horizon", [1, 3, 4, 25])
def test_a_horizon_begins_at_the_zero_state(radius, horizon, read):
    model = random_stack(3, 2, 3, radius=radius)
    a, b, _, rows = read_of(model, read)
    every = powers(a, b, horizon)[:, rows, 0]
    spanned = np.linalg.svd(every.T, full_matrices=False)
    wanted = (spanned[2][spanned[1] > 1e-10 * spanned[1][0]] ** 2).sum(0)
    curve, total = linear_memory_curve(model, read, horizon=horizon)
    np.testing.assert_allclose(curve.value, wanted, atol=1e-9)
    assert total.value == pytest.approx(min(horizon, len(rows)), abs=1e-9)


def test_a_long_horizon_is_like_none():
    model = random_stack(3, 2, 3, 2, radius=0.7)
    for read in READ:
        both = [linear_memory_curve(model, read, lags=20, horizon=horizon)[0].value for horizon in (None, 200)]
        np.testing.assert_allclose(*both, atol=1e-12)


def test_lags_short_of_the_horizon_are_told():
    total = linear_memory_curve(delay_line(4), lags=3, horizon=8)[1]
    assert total.value == pytest.approx(3)
    assert "1 of 4 lies at lags beyond 2" in total.cannot_tell


def test_pairs_of_real_numbers_are_complex_modes():
    layer = DiagonalStateSpace(1, 2, parametrisation="plain", normalise=False)
    weights = {"multiplier": np.array([[0.5, 0.3], [0.6, -0.2]]), "weight_ih": np.array([[1.0], [1], [2], [3]])}
    model = Model(layer, weights)
    system = linear_system(model)
    plain = stack([system.A], [system.B])
    np.testing.assert_allclose(curve_and_total(model)[0], curve_and_total(plain)[0], atol=1e-14)
    assert curve_and_total(model)[1] == pytest.approx(4, abs=1e-9)


def test_biases_do_not_matter():
    bare = stack([np.diag([0.5, 0.2])], [np.ones((2, 1))])
    biases = {"bias_ih": np.ones(2), "bias_hh": np.full(2, 7.0)}
    biased = Model(RNN(1, 2, activation="linear"), bare.weights[0] | biases)
    np.testing.assert_array_equal(curve_and_total(biased)[0], curve_and_total(bare)[0])


@pytest.mark.parametrize(
    "measure", [linear_memory_curve, lambda m: noisy_memory_curve(m, 1), lambda m: fisher_memory_curve(m, 1)]
)
def test_a_model_that_does_not_forget_is_refused(measure):
    with pytest.raises(ValueError, match=r"spectral radius is 1\.5 and must be below 1.*horizon="):
        measure(stack([[[1.5]]], [[[1.0]]]))


@pytest.mark.parametrize("noise", [0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("measure", [noisy_memory_curve, fisher_memory_curve])
def test_noise_that_is_none_is_refused(measure, noise):
    with pytest.raises(ValueError, match="give one above 0, or take `linear_memory_curve`"):
        measure(delay_line(2), noise)


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(ValueError, match="no reading of the states 'output'; there is all, top"):
        linear_memory_curve(delay_line(2), "output")
    with pytest.raises(ValueError, match="lags=0; give a whole number from 1 on"):
        linear_memory_curve(delay_line(2), lags=0)
    with pytest.raises(ValueError, match="horizon=-2; give a whole number from 1 on"):
        linear_memory_curve(delay_line(2), horizon=-2)
    with pytest.raises(ValueError, match="its step uses `tanh`"):
        linear_memory_curve(Model(RNN(1, 4, bias=False), delay_line(4).weights[0]))
    line = delay_line(4)
    without = Model(Deep((line.architecture, FeatureFunction(lambda h: 2 * h, 1, 1))), (line.weights, {}))
    with pytest.raises(ValueError, match="states of top layers were to be read, but there are none"):
        linear_memory_curve(without, "top")
