"""Whole models as orthogonal ones: exact vectors, equal outputs, silent extra units, stacks, and refusals in words."""

from fractions import Fraction

import numpy as np
import pytest
from conftest import oracle
from scipy.linalg import block_diag

from hitherto.architectures.gated import LSTM
from hitherto.architectures.outside import load
from hitherto.architectures.outside.torch_names import save
from hitherto.architectures.rnn import RNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.conversions.to_unitary import to_unitary
from hitherto.core.model import Model, build, states_and_outputs

CASES = {case["id"]: case for case in oracle("unitary")["cases"]}


def exact(values) -> np.ndarray:
    """Nested lists of p/q as fractions."""
    array = np.array(values, dtype=object)
    return np.array([Fraction(value) for value in array.ravel()], object).reshape(array.shape)


def given(name, **settings) -> Model:
    """The network of a case, in fractions."""
    names = {"W": "weight_hh", "F": "weight_ih", "b": "bias_ih", "C": "readout", "h_init": "initial_h"}
    weights = {ours: exact(CASES[name]["inputs"][theirs]) for theirs, ours in names.items()}
    weights["bias_hh"] = weights["bias_ih"] * 0
    sizes = weights["weight_ih"].shape[1], len(weights["weight_hh"]), len(weights["readout"])
    return Model(RNN(*sizes, settings.get("activation", "relu")), weights)


def random_layer(n, inputs=2, outputs=2, norm=0.9, activation="relu", seed=0, kind=RNN, **settings) -> Model:
    """A layer with this norm and biases of both signs."""
    model = build(kind(inputs, n, outputs, activation=activation, **settings), seed, np.float64)
    weights = {name: np.array(w) for name, w in model.weights.items()}
    weights["weight_hh"] *= norm / np.linalg.norm(weights["weight_hh"], 2)
    draw = np.random.default_rng(seed)
    for bias in ("bias_ih", "bias_hh"):
        if bias in weights:
            weights[bias] = 0.3 * draw.standard_normal(n)
    return Model(model.architecture, weights)


def sequence(steps=60, channels=2, size=1.0, seed=1) -> np.ndarray:
    """Inputs in the box [-size, size]."""
    return np.random.default_rng(seed).uniform(-size, size, (steps, channels))


def outputs(model, x) -> np.ndarray:
    return np.asarray(states_and_outputs(model, x)[1])


def gap(model, twin, x) -> float:
    """Largest difference relative to the largest output."""
    y, other = outputs(model, x), outputs(twin, x)
    assert y.shape == other.shape
    return np.abs(y - other).max() / max(np.abs(y).max(), 1e-300)


def orthogonality(weights) -> float:
    w = np.asarray(weights["weight_hh"])
    return np.abs(w.T @ w - np.eye(len(w))).max()


# ---------------------------------------------------------------- exact vectors


@pytest.mark.parametrize("name", ["O1_scalar", "O2_rational_n2", "O3_one_unit_sv"])
def test_fractions_give_literally_equal_outputs(name):
    model, case = given(name), CASES[name]
    inputs = exact(case["inputs"]["x"])
    found = to_unitary(model, input_bound=float(np.sqrt((inputs.astype(float) ** 2).sum(1).max())), horizon=len(inputs))
    w = found.model.weights["weight_hh"]
    assert (w.T @ w == np.eye(len(w), dtype=int)).all()
    assert found.certificate.states == case["expected"]["N"]
    assert found.certificate.gap == 0
    h, answers = found.model.weights.get("initial_h", w[0] * 0), []
    for x in inputs:
        h = np.maximum(w @ h + found.model.weights["weight_ih"] @ x + found.model.weights["bias_ih"], 0)
        answers.append(found.model.weights["readout"] @ h)
    assert (np.array(answers) == exact(case["expected"]["y"]).reshape(len(inputs), -1)).all()


@pytest.mark.parametrize(("name", "states"), [("O4_orthogonal", 2), ("O5_zero", 4)])
def test_states_by_the_rank(name, states):
    weights = {"weight_hh": exact(CASES[name]["inputs"]["W"]).astype(float), "weight_ih": np.eye(2)}
    found = to_unitary(Model(RNN(2, 2, activation="relu", bias=False), weights), input_bound=3.0, horizon=20)
    assert found.certificate.states == states
    assert found.certificate.gap <= 1e-14


def test_rescaling_saves_a_state():
    weights = {"weight_hh": np.array([[0.3, 0.5], [-0.2, 0.4]]), "weight_ih": np.eye(2), "readout": np.eye(2)}
    model = Model(RNN(2, 2, 2, "relu", bias=False), weights)
    assert to_unitary(model, input_bound=1.0).certificate.states == 4
    found = to_unitary(model, input_bound=1.0, states="minimal").certificate
    assert (found.states, found.layers[0].fewest) == (3, 3)
    assert found.gap <= 1e-14


def test_copies_of_tanh_units_are_exact():
    case = next(case for name, case in CASES.items() if name.startswith("O13"))
    w = exact(case["inputs"]["W"]).astype(float)
    weights = {"weight_hh": w, "weight_ih": np.array([[0.4], [-0.3]]), "readout": np.eye(2)}
    found = to_unitary(Model(RNN(1, 2, 2, bias=False), weights))
    assert (found.certificate.outcome, found.certificate.states) == ("exact", 5)
    assert found.certificate.gap <= 1e-14
    assert found.certificate.residual <= 1e-14


# ---------------------------------------------------------------- equal maps


@pytest.mark.parametrize(("n", "norm"), [(1, 0.5), (2, 1 - 1e-9), (5, 0.99), (17, 0.7), (64, 0.95)])
@pytest.mark.slow
def test_relu_layers_over_a_thousand_steps(n, norm):
    model = random_layer(n, norm=norm, seed=n)
    found = to_unitary(model, input_box=(-1.0, 1.0))
    x = sequence(1000)
    assert gap(model, found.model, x) <= 1e-12
    assert not np.asarray(states_and_outputs(found.model, x)[0].h)[:, n:].any()
    assert orthogonality(found.model.weights) <= 5e-15 * n**0.5
    np.testing.assert_array_equal(found.model.weights["weight_hh"][:n, :n], model.weights["weight_hh"])


def test_a_start_with_negative_entries():
    model = random_layer(6, seed=3)
    model = Model(model.architecture, model.weights | {"initial_h": np.array([2.0, -3.0, 1.0, -0.5, 0.0, 4.0])})
    found = to_unitary(model, input_box=(-1.0, 1.0))
    assert gap(model, found.model, sequence()) <= 1e-13


def test_the_box_may_be_lopsided_and_by_channel():
    model = random_layer(4)
    found = to_unitary(model, input_box=([0.0, -1.0], [2.0, 0.5]))
    x = np.array([0.0, -1.0]) + sequence(size=1.0) ** 2 * np.array([2.0, 1.5])
    assert gap(model, found.model, x) <= 1e-13
    assert found.certificate.inputs == "(0, -1) <= x[k] <= (2, 0.5)"


@pytest.mark.parametrize("states", ["dilation", "minimal"])
def test_norms_above_one_are_rescued_by_scaling(states):
    weights = random_layer(5).weights
    scale = np.array([1.0, 10.0, 0.1, 3.0, 1.0])
    model = Model(random_layer(5).architecture, weights | {"weight_hh": weights["weight_hh"] * scale / scale[:, None]})
    assert np.linalg.norm(model.weights["weight_hh"], 2) > 1
    found = to_unitary(model, input_bound=1.5, states=states)
    assert gap(model, found.model, sequence()) <= 1e-13
    assert found.certificate.layers[0].scaled_norm <= 1 + 1e-12
    assert found.certificate.residual <= 1e-13


def test_units_that_do_nothing_go_first():
    model = random_layer(4)
    weights = {name: w.copy() for name, w in model.weights.items()}
    weights["weight_hh"][:, 3], weights["readout"][:, 3] = 0, 0  # read by nobody
    weights["weight_ih"][2], weights["weight_hh"][2], weights["bias_ih"][2] = 0, 0, -5.0  # never on
    model = Model(model.architecture, weights)
    found = to_unitary(model, input_bound=1.0)
    assert (found.certificate.layers[0].pruned, found.certificate.states) == (2, 4)
    assert gap(model, found.model, sequence(size=0.7)) <= 1e-13


def test_nothing_may_be_left():
    model = random_layer(3)
    silent = Model(model.architecture, model.weights | {"readout": np.zeros((2, 3))})
    found = to_unitary(silent)
    assert found.certificate.outcome == "exact"
    assert not outputs(found.model, sequence()).any()


def test_a_norm_of_one_takes_a_horizon():
    model = bare(np.diag([1.0, 0.5]), np.array([[1.0, 0.3], [-0.2, 1.0]]))
    found = to_unitary(model, input_bound=1.0, horizon=60)
    assert found.certificate.states == 3
    assert gap(model, found.model, sequence(size=0.7)) <= 1e-13


def test_a_diagonal_layer_needs_no_bound():
    model = Model(
        RNN(2, 3, activation="relu", bias=False),
        {"weight_hh": np.diag([0.9, 0.5, 0.1]), "weight_ih": np.array([[1.0, 2.0], [-1.0, 0.5], [0.3, 0.3]])},
    )
    found = to_unitary(model)
    assert (found.certificate.outcome, found.certificate.inputs) == ("exact", "all inputs")
    assert gap(model, found.model, sequence(size=1e6)) <= 1e-15


@pytest.mark.parametrize("activation", ["hard_tanh", "relu6", "hard_sigmoid", "hard_sigmoid(0.16666,0.5)"])
def test_saturating_layers_need_no_bound(activation):
    model = random_layer(5, activation=activation)
    found = to_unitary(model)
    assert found.certificate.outcome == "exact"
    assert gap(model, found.model, sequence(200, size=500.0)) <= 1e-13


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "elu", "gelu", "silu"])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-7])
def test_smooth_layers_come_within_epsilon(activation, epsilon):
    model = random_layer(4, norm=0.8, activation=activation, outputs=None)
    found = to_unitary(model, input_bound=1.5, mode="epsilon", epsilon=epsilon)
    assert found.certificate.outcome == "epsilon"
    x = sequence(150)
    assert np.linalg.norm(outputs(model, x) - outputs(found.model, x), axis=1).max() <= epsilon
    assert found.certificate.residual <= 1e-14


def test_linear_layers_over_a_horizon():
    model = random_layer(3, activation="linear")
    found = to_unitary(model, horizon=9)
    assert gap(model, found.model, sequence(9)) <= 1e-13
    assert gap(model, found.model, sequence(25)) > 1e-6  # what was delayed comes back


@pytest.mark.parametrize("complex_units", [False, True])
def test_modrelu_layers(complex_units):
    layer = UnitaryRNN(2, 3, 2, "projection", "modrelu", complex=complex_units)
    model = build(layer, 0, np.float64)
    draw = np.random.default_rng(0)
    weights = {name: np.array(w) for name, w in model.weights.items()}
    weights["weight_hh"] = 0.8 * weights["weight_hh"] @ np.diag([1.0, 0.9, 0.5])
    weights["modulus_bias"] = draw.uniform(-0.3, 0.2, 3)
    weights["initial_h"] = draw.standard_normal(layer.units)
    model = Model(layer, weights)
    found = to_unitary(model, input_bound=1.5)
    x = sequence(200)
    assert gap(model, found.model, x) <= 1e-12
    assert (found.certificate.states, found.model.architecture.width) == (6, 6)
    h = np.asarray(states_and_outputs(found.model, x)[0].h).reshape(200, -1, 6)
    assert not h[..., 3:].any()
    assert found.certificate.residual <= 1e-14


def test_orthogonal_layers_stay_as_they_are():
    model = build(UnitaryRNN(2, 5, 2, "projection"), 1, np.float64)
    found = to_unitary(model)
    assert (found.certificate.outcome, found.certificate.states) == ("exact", 5)
    assert gap(model, found.model, sequence()) <= 1e-13


def test_orthogonal_up_to_single_precision():
    model = build(UnitaryRNN(2, 6, 2, "projection"), 1, np.float32)
    found = to_unitary(model, input_bound=1.5, horizon=60)
    assert found.certificate.layers[0].rounding <= 1e-6
    assert gap(model.astype(np.float64), found.model, sequence()) <= 1e-4


def test_what_is_afforded_is_measured():
    model = random_layer(6, norm=0.99)
    exact_one = to_unitary(model, input_bound=1.5, states=12)
    cut = to_unitary(model, input_bound=1.5, states=8)
    assert (cut.certificate.outcome, cut.certificate.states) == ("truncated", 8)
    assert cut.certificate.residual <= 1e-14
    assert exact_one.certificate.gap <= 1e-13 < 1e-4 < cut.certificate.gap
    assert cut.certificate.layers[0].rounding > 1e-3


def test_exact_on_data():
    model = random_layer(6)
    data = np.stack([sequence(50, seed=seed) for seed in range(4)])
    found = to_unitary(model, data=data)
    assert found.certificate.outcome == "exact on this data"
    for x in data:
        assert gap(model, found.model, x) <= 1e-13
    far = to_unitary(model, data=data, margin=10.0)
    assert (far.model.weights["bias_ih"][6:] <= found.model.weights["bias_ih"][6:]).all()


def test_twins_of_single_precision_models_run_in_it():
    model = random_layer(8).astype(np.float32)
    found = to_unitary(model, input_box=(-1.0, 1.0)).model.astype(np.float32)
    x = sequence(300).astype(np.float32)
    assert not np.asarray(states_and_outputs(found, x)[0].h)[:, 8:].any()
    assert gap(model, found, x) <= 1e-5


# ---------------------------------------------------------------- stacks


def stack(sizes, skip="none", seed=0, activation="relu") -> Model:
    """Bare layers of these widths over 2 channels."""
    layers = []
    for number, n in enumerate(sizes):
        below = 2 if not number else sizes[number - 1] + (2 if skip == "input" else 0)
        layers.append(random_layer(n, below, None, seed=seed + number, activation=activation))
    return Model(Deep(tuple(m.architecture for m in layers), skip), tuple(m.weights for m in layers))


@pytest.mark.slow
def test_three_layers():
    model = stack((4, 3, 5))
    found = to_unitary(model, input_bound=1.5)
    assert found.certificate.states == 24
    assert gap(model, found.model, sequence()) <= 1e-12
    assert [layer.width for layer in found.model.architecture.layers] == [8, 6, 10]


@pytest.mark.parametrize(("sizes", "skip"), [((2, 2, 2), "residual"), ((3, 4), "input")])
@pytest.mark.slow
def test_skips(sizes, skip):
    model = stack(sizes, skip)
    found = to_unitary(model, input_bound=1.5, states="minimal")
    assert gap(model, found.model, sequence()) <= 1e-12


@pytest.mark.parametrize("merge", ["concat", "mul"])
def test_both_directions_under_another_layer(merge):
    ahead, back = random_layer(3, outputs=None, seed=1), random_layer(3, outputs=None, seed=2)
    pair = Bidirectional(ahead.architecture, back.architecture, merge)
    top = random_layer(4, pair.output_size, seed=3)
    model = Model(Deep((pair, top.architecture)), ((ahead.weights, back.weights), top.weights))
    found = to_unitary(model, input_bound=1.5)
    assert gap(model, found.model, sequence()) <= 1e-12
    assert found.certificate.states == 20


@pytest.mark.parametrize("order", ["input", "reading"])
def test_backward_layers(order):
    layer = random_layer(3, outputs=None)
    top = random_layer(4, 3, seed=2)
    model = Model(Deep((Backward(layer.architecture, order), top.architecture)), (layer.weights, top.weights))
    for asked in (dict(input_bound=1.5), dict(data=sequence())):
        assert gap(model, to_unitary(model, **asked).model, sequence()) <= 1e-12


def test_stacks_of_both_directions_on_data():
    ahead, back = random_layer(3, outputs=None, seed=1), random_layer(2, outputs=None, seed=2)
    top = random_layer(4, 5, seed=3)
    pair = Bidirectional(ahead.architecture, back.architecture)
    model = Model(Deep((pair, top.architecture)), ((ahead.weights, back.weights), top.weights))
    data = sequence()
    assert gap(model, to_unitary(model, data=data).model, data) <= 1e-12


def test_a_saturating_layer_bounds_the_one_above():
    low, top = random_layer(3, outputs=None, activation="hard_tanh"), random_layer(4, 3)
    model = Model(Deep((low.architecture, top.architecture)), (low.weights, top.weights))
    found = to_unitary(model)
    assert found.certificate.outcome == "exact on bounded inputs"
    assert gap(model, found.model, sequence(size=100.0)) <= 1e-12


def test_readout_biases_pass_through():
    model = random_layer(3)
    shifted = Model(model.architecture, model.weights | {"readout_bias": np.array([1.0, -2.0])})
    assert gap(shifted, to_unitary(shifted, input_bound=1.5).model, sequence()) <= 1e-13


# ---------------------------------------------------------------- files


def test_a_torch_checkpoint_there_and_back(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.RNN(3, 6, num_layers=2, nonlinearity="relu", batch_first=True)
    for name, w in theirs.named_parameters():
        if name.startswith("weight_hh"):
            w.data *= 0.9 / torch.linalg.matrix_norm(w.data, 2)
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    model = load(tmp_path / "model.pt", activation="relu")
    found = to_unitary(model, input_bound=2.0)
    save(found.model, tmp_path / "twin.safetensors")
    again = load(tmp_path / "twin.safetensors")
    widths = [layer.width for layer in again.architecture.layers]
    assert widths == [12, 12]
    from safetensors.torch import load_file

    arrays = load_file(tmp_path / "twin.safetensors")
    readout = arrays.pop("readout_l1")
    each = [torch.nn.RNN(3 if not k else 12, 12, nonlinearity="relu", batch_first=True).double() for k in range(2)]
    for k, layer in enumerate(each):
        layer.load_state_dict({name.replace(f"_l{k}", "_l0"): w for name, w in arrays.items() if f"_l{k}" in name})
    x = torch.from_numpy(sequence(100, 3)).double()[None]
    y = each[1](each[0](x)[0])[0] @ readout.T
    np.testing.assert_allclose(y.detach()[0], theirs.double()(x)[0].detach()[0], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        (random_layer(3, norm=4.0), dict(input_bound=1.0), r"norm of weight_hh is 4.*at best.*certificate"),
        (random_layer(6), {}, r"for all inputs.*input_bound= or input_box=, or data="),
        (
            random_layer(3, activation="tanh"),
            {},
            r"impossible \(identifiability.*takes 6 states and biases",
        ),
        (random_layer(3, activation="linear"), {}, "impossible .*slope floor"),
        (random_layer(3), dict(input_bound=-1.0), "radius -1"),
        (random_layer(3), dict(input_bound=float("inf")), "radius inf"),
        (random_layer(3), dict(input_bound=1.0, input_box=(0, 1)), "give one of them"),
        (random_layer(3), dict(input_bound=1.0, mode="near"), "there is no mode 'near'"),
        (random_layer(3), dict(input_bound=1.0, mode="epsilon"), "takes one above 0"),
        (random_layer(3), dict(input_bound=1.0, epsilon=0.1), "takes one above 0"),
        (random_layer(3), dict(input_bound=1.0, states="few"), "there is no way to count states 'few'"),
        (random_layer(3), dict(input_bound=1.0, states=0), "0 states"),
        (random_layer(3), dict(input_bound=1.0, horizon=0), "over 0 steps"),
        (random_layer(3), dict(data=np.zeros((2, 5, 3))), r"\(sequence, time, 2\), found shape \(2, 5, 3\)"),
        (random_layer(3), dict(data=np.full((1, 5, 2), np.nan)), "without NaN"),
        (random_layer(3, clip=1.0), dict(input_bound=1.0), "clip=1.0"),
        (build(LSTM(2, 3), 0, np.float64), dict(input_bound=1.0), "products in gates"),
        (build(UnitaryRNN(2, 3, complex=True), 0, np.float64), dict(input_bound=1.0), "parts of complex units"),
    ],
)
def test_refusals_say_why(model, asked, said):
    with pytest.raises(ValueError, match=said):
        to_unitary(model, **asked)


def bare(w, f) -> Model:
    """A ReLU layer without biases."""
    return Model(RNN(f.shape[1], len(w), activation="relu", bias=False), {"weight_hh": w, "weight_ih": f})


def test_a_norm_of_one_without_a_horizon():
    assert to_unitary(bare(np.eye(1), np.eye(1)), input_bound=1.0).certificate.states == 1  # nothing to bound
    assert to_unitary(bare(np.diag([1.0, 0.5]), np.ones((2, 1))), input_bound=1.0).certificate.outcome == "exact"
    turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    with pytest.raises(ValueError, match="horizon"):
        to_unitary(bare(block_diag(turn, [[0.5, 0.4], [0.4, 0.5]]), np.ones((4, 1))), input_bound=1.0)
    turned = np.array([[np.cos(1), -0.5 * np.sin(1)], [np.sin(1), 0.5 * np.cos(1)]])
    rescued = to_unitary(bare(turned, np.ones((2, 1))), input_bound=1.0).certificate.layers[0]
    assert rescued.scaled_norm < rescued.norm
