"""Keras files against the oracles, Keras's documented equations in NumPy, and Keras itself."""

import base64
import io
import json
import os
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures import outside
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.arrays import in_memory
from hitherto.architectures.outside.found import Found, Reading
from hitherto.architectures.outside.keras import read_keras
from hitherto.architectures.outside.keras_containers import StoredCell
from hitherto.architectures.outside.keras_layers import (
    Context,
    LayerConfig,
    from_cudnn,
    layer_config,
    read_layer,
)
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import Model, states_and_outputs

ORACLES = json.loads((Path(__file__).parents[2] / "oracles" / "formats_oracles.json").read_text())
CASES = {case["name"]: case for case in ORACLES["keras"]}
FILES = {case["name"]: case for case in ORACLES["files"] if case["name"].startswith("keras_")}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def outputs(model: Model, x) -> np.ndarray:
    return np.asarray(states_and_outputs(model, np.asarray(x))[1])


NOTHING = Reading()


def layer(class_name: str, config: dict, *weights: np.ndarray, version=None, reading=NOTHING) -> Found:
    """A layer from its arrays in Keras's order; those of Bidirectional are forward, then backward."""
    roles = ("kernel", "recurrent_kernel", "bias")
    sides = ("forward_layer", "backward_layer") if class_name == "Bidirectional" else ("layer",)
    each = len(weights) // len(sides)
    arrays, cells = {}, []
    for number, side in enumerate(sides):
        fields = {role: f"{side}/{role}" for role in roles[:each]}
        arrays |= dict(zip(fields.values(), weights[number * each :], strict=False))
        cells.append(StoredCell((side, "cell"), fields))
    context = Context(in_memory("arrays", arrays), version, reading)
    (found,) = read_layer("layer", LayerConfig(class_name, config), cells, context)
    return found


# The oracles


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_oracle_layer(case):
    config, version = dict(case["config"]), "3.15.1"
    if case["name"] == "lstm_keras2_hard_sigmoid":  # the oracle says it in words
        config["recurrent_activation"], version = "hard_sigmoid", "2.2.4"
    found = layer(case["class_name"], config, *map(np.array, case["weights"]), version=version)
    y, expected = outputs(found.model, case["x"]), np.array(case["y"])
    if case["name"].endswith("last_step"):  # the backward layer's last output stands at the first step
        y = np.concatenate([y[-1, :2], y[0, 2:]])
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["cudnn_lstm", "cudnn_gru"])
def test_cudnn_arrays_become_plain_ones(name):
    case = CASES[name]
    kernel, recurrent_kernel, bias = from_cudnn(*map(np.array, case["weights"]))
    np.testing.assert_array_equal(kernel, case["plain"]["kernel"])
    np.testing.assert_array_equal(recurrent_kernel, case["plain"]["recurrent_kernel"])
    plain = np.array(case["plain"]["bias"])
    np.testing.assert_array_equal(bias.sum(0) if plain.ndim == 1 else bias, plain)


def oracle_file(folder: Path, name: str) -> Path:
    case = FILES[name]
    path = folder / f"{name}{case['suffix']}"
    path.write_bytes(zlib.decompress(base64.b64decode(case["data"])))
    return path


@pytest.mark.parametrize("name", ["keras_stack_keras", "keras_stack_h5"])
def test_whole_models_give_the_oracle_outputs(tmp_path, name):
    case = FILES[name]
    (stack,) = read_keras(oracle_file(tmp_path, name))
    assert [type(one.model.architecture) for one in stack.members] == [LSTM, Bidirectional, RNN]
    assert [one.name for one in stack.members] == ["memory", "both", "simple_rnn_2"]
    assert stack.assumptions == ()
    assert stack.members[0].model.weights is stack.model.weights[0]
    y = outputs(stack.model, np.array(case["x"], np.float32))
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=case["tolerance"])


def test_weights_alone_give_the_oracle_outputs_once_the_activation_is_given(tmp_path):
    case = FILES["keras_stack_weights_h5"]
    path = oracle_file(tmp_path, "keras_stack_weights_h5")
    (assumed,), (given,) = read_keras(path), read_keras(path, Reading(activation="relu"))
    assert any("chained by order and width" in line for line in assumed.assumptions)
    assert "merge of the two directions assumed concat" in assumed.members[1].assumptions
    assert assumed.members[2].assumptions == ("activation assumed tanh", "initial state assumed zeros")
    assert "activation relu as given" in given.members[2].assumptions
    layers = (*assumed.members[:2], given.members[2])
    y = np.array(case["x"], np.float32)
    for one in layers:
        y = outputs(one.model, y)
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=case["tolerance"])


# The documented equations, in Keras's own layout


def keras_lstm(x, kernel, recurrent_kernel, bias):
    units = len(recurrent_kernel)
    h, c, y = np.zeros(units), np.zeros(units), []
    for step in x:
        i, f, g, o = np.split(step @ kernel + h @ recurrent_kernel + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.array(y)


def keras_gru(x, kernel, recurrent_kernel, bias):
    units = len(recurrent_kernel)
    input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, 0 * bias)
    h, y = np.zeros(units), []
    for step in x:
        xz, xr, xh = np.split(step @ kernel + input_bias, 3)
        hz, hr, hh = np.split(h @ recurrent_kernel + recurrent_bias, 3)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        past = r * hh if bias.ndim == 2 else (r * h) @ recurrent_kernel[:, 2 * units :]
        h = z * h + (1 - z) * np.tanh(xh + past)
        y.append(h)
    return np.array(y)


def random_layer(rng, gates: int, rows: int = 1, inputs: int = 5, units: int = 5) -> list[np.ndarray]:
    bias = (gates * units,) if rows == 1 else (rows, gates * units)
    return [rng.normal(size=s) for s in ((inputs, gates * units), (units, gates * units), bias)]


@pytest.mark.parametrize(
    ("class_name", "equations", "gates", "rows"),
    [("LSTM", keras_lstm, 4, 1), ("GRU", keras_gru, 3, 1), ("GRU", keras_gru, 3, 2)],
)
def test_random_layers_follow_the_equations(class_name, equations, gates, rows):
    rng = np.random.default_rng(gates + rows)
    weights, x = random_layer(rng, gates, rows), rng.normal(size=(30, 5))
    y = outputs(layer(class_name, {"units": 5}, *weights).model, x)
    np.testing.assert_allclose(y, equations(x, *weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("merge", "merged"), [("sum", np.add), ("mul", np.multiply)])
def test_bidirectional_merges(merge, merged):
    rng = np.random.default_rng(1)
    ahead, back, x = random_layer(rng, 4), random_layer(rng, 4), rng.normal(size=(8, 5))
    found = layer("Bidirectional", {"merge_mode": merge}, *ahead, *back)
    expected = merged(keras_lstm(x, *ahead), keras_lstm(x[::-1], *back)[::-1])
    np.testing.assert_allclose(outputs(found.model, x), expected, rtol=0, atol=1e-12)


def test_a_backward_stack_of_cells_reads_from_the_end():
    rng = np.random.default_rng(1)
    lower, upper, x = random_layer(rng, 4), random_layer(rng, 4), rng.normal(size=(8, 5))
    roles = ("kernel", "recurrent_kernel", "bias")
    arrays = {f"{k}/{role}": w for k, ws in enumerate((lower, upper)) for role, w in zip(roles, ws, strict=True)}
    cells = [StoredCell((str(k),), {role: f"{k}/{role}" for role in roles}) for k in (0, 1)]
    stack = entry("StackedRNNCells", "cells", cells=[entry("LSTMCell", "a"), entry("LSTMCell", "b")])
    config = LayerConfig("RNN", {"cell": stack, "go_backwards": True})
    (found,) = read_layer("layer", config, cells, Context(in_memory("arrays", arrays), None, NOTHING))
    expected = keras_lstm(keras_lstm(x[::-1], *lower), *upper)
    np.testing.assert_allclose(outputs(found.model, x), expected, rtol=0, atol=1e-12)
    assert found.members == ()


# Activations, conventions and what the user answers


@pytest.mark.parametrize(
    ("version", "gate", "said"),
    [
        (None, "sigmoid", "the file has no Keras version"),
        ("2.1.6", "hard_sigmoid(0.2,0.5)", "the default of Keras 2.1.6"),
        ("2.2.4", "hard_sigmoid(0.2,0.5)", "the default of Keras 2.2.4"),
        ("2.2.4-tf", "sigmoid", "it may be hard_sigmoid"),
        ("2.3.0", "sigmoid", "the default of Keras 2.3.0"),
        ("3.15.1", "sigmoid", "the default of Keras 3.15.1"),
    ],
)
def test_version_decides_the_gates_where_no_config_does(version, gate, said):
    found = layer("LSTM", {}, *random_layer(np.random.default_rng(0), 4), version=version)
    assert found.model.architecture.gate_activation == gate
    assert any(said in line for line in found.assumptions)


@pytest.mark.parametrize(
    ("version", "config", "reset"),
    [
        ("2.2.4", {}, "before"),
        ("2.2.4-tf", {}, "after"),
        ("2.4.0", {}, "after"),
        (None, {}, "after"),
        ("3.0.0", {"reset_after": False}, "before"),
        ("2.2.4", {"reset_after": True}, "after"),
    ],
)
def test_reset_convention_without_a_bias(version, config, reset):
    found = layer("GRU", config, *random_layer(np.random.default_rng(0), 3)[:2], version=version)
    assert found.model.architecture.reset == reset
    assert any("reset convention assumed" in line for line in found.assumptions) == (not config)


def test_the_user_goes_before_the_file():
    weights = random_layer(np.random.default_rng(0), 3)
    asked = Reading(activation="relu", recurrent_activation="hard_sigmoid", reset="after", gates="rzn")
    config = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    found = layer("GRU", config, *weights, reading=asked)
    expected = GRU(5, 5, reset="after", gate_activation="hard_sigmoid", activation="relu")
    assert found.model.architecture == expected
    np.testing.assert_array_equal(found.model.weights["weight_ih"], weights[0].T)
    assert found.assumptions == (
        "activation relu as given",
        "recurrent activation hard_sigmoid as given",
        "reset convention after as given",
        "gate order r, z, n as given",
    )


def test_activations_that_are_not_keras_s_own_are_refused():
    weights = random_layer(np.random.default_rng(0), 1)
    with pytest.raises(ValueError, match=r"its activation 'softmax' is not supported"):
        layer("SimpleRNN", {"activation": "softmax"}, *weights)
    own = {"class_name": "function", "config": "f", "registered_name": "mine>f"}
    with pytest.raises(ValueError, match=r"its activation is the object 'mine>f'"):
        layer("SimpleRNN", {"activation": own}, *weights)


def test_half_precision_is_widened_and_said():
    weights = [w.astype(np.float16) for w in random_layer(np.random.default_rng(0), 4)]
    found = layer("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid"}, *weights)
    assert found.model.dtype == np.float32
    assert found.assumptions == ("float16 weights widened to float32",)
    np.testing.assert_array_equal(found.model.weights["bias_ih"], weights[2].astype(np.float32))


def test_bfloat16_of_keras_3_is_widened_exactly(tmp_path):
    rounded = [np.asarray(jnp.asarray(w, jnp.bfloat16)) for w in lstm_weights(3, 2)]
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": [w.view("V2") for w in rounded]})
    with h5py.File(path, "a") as file:
        for number in "012":
            file[f"layers/lstm/cell/vars/{number}"].attrs["dtype"] = "bfloat16"
    (found,) = read_keras(path)
    assert "bfloat16 weights widened to float32" in found.assumptions
    np.testing.assert_array_equal(found.model.weights["weight_hh"], rounded[1].T.astype(np.float32))


def test_config_and_arrays_must_agree():
    weights = random_layer(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match=r"the config says kind 'LSTM'.*the arrays say kind 'GRU'"):
        layer("LSTM", {}, *weights)
    with pytest.raises(ValueError, match=r"units 7.*units 5"):
        layer("GRU", {"units": 7}, *weights)
    with pytest.raises(ValueError, match=r"kernel \(5, 4, 4, 15\).*convolutional"):
        layer("GRU", {}, np.zeros((5, 4, 4, 15)), *weights[1:])
    with pytest.raises(ValueError, match="class_name and config was expected"):
        layer_config({"class_name": "LSTM"})


# Files written here, in the layouts of older versions and with hostile contents

LSTM_CONFIG = {"activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": True}


def entry(class_name: str, name: str, **config) -> dict:
    return {"class_name": class_name, "config": {"name": name, **config}}


def write_legacy(path: Path, layers: dict[str, dict[str, np.ndarray]], config=None, version="2.2.4") -> Path:
    with h5py.File(path, "w") as file:
        group = file if config is None else file.create_group("model_weights")
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        group.attrs["keras_version"] = version
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            inside = group.create_group(name)
            inside.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, values in weights.items():
                inside[weight] = values
    return path


def legacy_arrays(prefix: str, weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{role}:0": w for role, w in zip(("kernel", "recurrent_kernel", "bias"), weights, strict=True)}


def write_numbered(path: Path, groups: dict[str, list[np.ndarray]], **settings) -> Path:
    with h5py.File(path, "w") as file:
        for group, weights in groups.items():
            for number, values in enumerate(weights):
                file.create_dataset(f"{group}/vars/{number}", data=values, **settings)
    return path


def lstm_weights(inputs: int, units: int, seed: int = 0) -> list[np.ndarray]:
    return random_layer(np.random.default_rng(seed), 4, 1, inputs, units)


def test_keras_2_weights_chain_in_the_order_of_the_layers(tmp_path):
    layers = {
        "input_1": {},
        "rnn_10": legacy_arrays("rnn_10", lstm_weights(3, 2)),
        "dropout_1": {},
        "rnn_11": legacy_arrays("rnn_11", lstm_weights(2, 2)),
        "dense_1": {"dense_1/kernel:0": np.zeros((2, 2)), "dense_1/bias:0": np.zeros(2)},
        "rnn_12": legacy_arrays("rnn_12", lstm_weights(2, 4)),
    }
    stack, last = read_keras(write_legacy(tmp_path / "m.h5", layers))
    assert [one.name for one in stack.members] == ["rnn_10", "rnn_11"]
    assert last.name == "rnn_12"
    assert stack.members[0].model.architecture == LSTM(3, 2, gate_activation="hard_sigmoid(0.2,0.5)")
    assert any("hard_sigmoid, the default of Keras 2.2.4" in line for line in stack.assumptions)


def test_branches_of_equal_width_are_not_chained(tmp_path):
    layers = {name: legacy_arrays(name, lstm_weights(4, 4)) for name in ("left", "right")}
    assert [one.name for one in read_keras(write_legacy(tmp_path / "m.h5", layers))] == ["left", "right"]


def test_layers_whose_order_cannot_be_seen_stay_apart(tmp_path):
    gru = random_layer(np.random.default_rng(0), 3, 2, 4, 3)
    groups = {"layers/lstm/cell": lstm_weights(3, 4), "layers/gru/cell": gru}
    found = read_keras(write_numbered(tmp_path / "m.weights.h5", groups))
    assert [one.name for one in found] == ["gru", "lstm"]
    assert "the order of the layers cannot be seen in this file" in found[0].assumptions


def test_numbers_order_layers_of_one_class(tmp_path):
    groups = {f"layers/lstm{(k and f'_{k}') or ''}/cell": lstm_weights(2, 2, k) for k in range(12)}
    (stack,) = read_keras(write_numbered(tmp_path / "m.weights.h5", groups))
    first = [one.model.weights["weight_ih"][0, 0] for one in stack.members]
    assert first == [groups[name][0][0, 0] for name in groups]


def test_keras_2_functional_config_with_nested_model(tmp_path):
    inside = [
        entry("InputLayer", "input_2") | {"name": "input_2", "inbound_nodes": []},
        entry("LSTM", "upper", units=2, **LSTM_CONFIG) | {"inbound_nodes": [[["input_2", 0, 0, {}]]]},
    ]
    nested = entry("Model", "block", layers=inside, output_layers=[["upper", 0, 0]])
    layers = [
        entry("InputLayer", "input_1") | {"inbound_nodes": []},
        entry("LSTM", "lower", units=2, **LSTM_CONFIG) | {"inbound_nodes": [[["input_1", 0, 0, {}]]]},
        nested | {"inbound_nodes": [[["lower", 0, 0, {}]]]},
        entry("LSTM", "beside", units=2, **LSTM_CONFIG) | {"inbound_nodes": [[["input_1", 0, 0, {}]]]},
    ]
    config = entry("Model", "model_1", layers=layers, output_layers=[["block", 0, 0], ["beside", 0, 0]])
    weights = {
        "input_1": {},
        "lower": legacy_arrays("lower", lstm_weights(3, 2)),
        "block": legacy_arrays("upper", lstm_weights(2, 2)),
        "beside": legacy_arrays("beside", lstm_weights(3, 2)),
    }
    stack, beside = read_keras(write_legacy(tmp_path / "m.h5", weights, config))
    assert (stack.name, beside.name) == ("lower + block/upper", "beside")


def test_keras_1_is_refused_with_advice(tmp_path):
    layers = {"lstm_1": {f"lstm_1_{part}_{gate}": np.zeros((2, 2)) for gate in "icfo" for part in "WUb"}}
    with pytest.raises(ValueError, match="as Keras 1 wrote it; re-save with Keras 2"):
        read_keras(write_legacy(tmp_path / "m.h5", layers, version="1.2.2"))


def test_normalised_cells_are_refused(tmp_path):
    weights = legacy_arrays("lstm/cell", lstm_weights(3, 2)) | {"lstm/cell/norm/gamma:0": np.ones(8)}
    with pytest.raises(ValueError, match=r"cell lstm/lstm/cell has lstm/lstm/cell/norm/gamma:0 beside it"):
        read_keras(write_legacy(tmp_path / "m.h5", {"lstm": weights}))


def test_files_without_recurrent_layers_say_so(tmp_path):
    path = write_legacy(tmp_path / "m.h5", {"dense": {"dense/kernel:0": np.zeros((2, 2))}})
    with pytest.raises(ValueError, match="no recurrent layer that can be read"):
        read_keras(path)


def test_nan_weights_are_refused_with_name_and_count(tmp_path):
    weights = lstm_weights(3, 2)
    weights[1][:, 0] = np.nan
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": weights})
    with pytest.raises(ValueError, match=r"layers/lstm/cell/vars/1 holds NaN or infinite values \(2 of 16\)"):
        read_keras(path)


def test_links_out_of_the_file_are_refused(tmp_path):
    write_numbered(tmp_path / "other.h5", {"cell": lstm_weights(3, 2)})
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)})
    with h5py.File(path, "a") as file:
        file["layers/gru"] = h5py.ExternalLink("other.h5", "/cell")
    with pytest.raises(ValueError, match=r"layers/gru is an external link to /cell in the file other\.h5"):
        read_keras(path)


def test_soft_links_are_refused(tmp_path):
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)})
    with h5py.File(path, "a") as file:
        file["layers/again"] = h5py.SoftLink("/layers")
    with pytest.raises(ValueError, match="layers/again is a soft link to /layers"):
        read_keras(path)


def test_virtual_and_external_datasets_are_refused(tmp_path):
    write_numbered(tmp_path / "other.h5", {"cell": lstm_weights(3, 2)})
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)[1:]})
    layout = h5py.VirtualLayout((3, 8), "f8")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "cell/vars/0", (3, 8))
    with h5py.File(path, "a") as file:
        vars = file["layers/lstm/cell/vars"]
        vars.move("1", "2")
        vars.move("0", "1")
        vars.create_virtual_dataset("0", layout)
    with pytest.raises(ValueError, match="layers/lstm/cell/vars/0 takes its values from other files"):
        read_keras(path)
    with h5py.File(path, "a") as file:
        vars = file["layers/lstm/cell/vars"]
        del vars["0"]
        vars.create_dataset("0", (3, 8), "f8", external=[(str(tmp_path / "other.h5"), 0, 192)])
    with pytest.raises(ValueError, match="layers/lstm/cell/vars/0 takes its values from other files"):
        read_keras(path)


def test_arrays_larger_than_the_file_are_refused(tmp_path):
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)[:2]})
    with h5py.File(path, "a") as file:
        file.create_dataset("layers/lstm/cell/vars/2", (10**9,), "f4", chunks=(1000,))
    with pytest.raises(ValueError, match=r"vars/2 declares 4000000000 bytes .* made to exhaust memory"):
        read_keras(path)


def test_limits_and_filters(tmp_path):
    path = write_numbered(tmp_path / "a.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)}, compression="gzip")
    (found,) = read_keras(path)
    np.testing.assert_array_equal(found.model.weights["weight_ih"], lstm_weights(3, 2)[0].T)
    with pytest.raises(ValueError, match="take 384 bytes, more than the limit of 100"):
        read_keras(path, Reading(max_bytes=100))
    path = write_numbered(tmp_path / "b.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)}, compression="lzf")
    with pytest.raises(ValueError, match=r"packed by the HDF5 filters .*; only gzip is read"):
        read_keras(path)


def test_deep_nesting_and_cycles_of_hard_links_are_refused(tmp_path):
    path = write_numbered(tmp_path / "m.weights.h5", {"layers/lstm/cell": lstm_weights(3, 2)})
    with h5py.File(path, "a") as file:
        file["layers/lstm/again"] = file["layers"]
    with pytest.raises(ValueError, match="nested deeper than 32"):
        read_keras(path)


@pytest.mark.parametrize("name", ["keras_stack_keras", "keras_stack_h5"])
def test_truncated_files_are_refused(tmp_path, name):
    path = oracle_file(tmp_path, name)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=r"cannot be (read|opened).*get (it|the file) again"):
        read_keras(path)


# The .keras archive


def members(tmp_path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(oracle_file(tmp_path, "keras_stack_keras")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_archive(path: Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def test_a_missing_member_is_refused(tmp_path):
    contents = members(tmp_path)
    del contents["config.json"]
    with pytest.raises(ValueError, match=r"has no member config\.json, only metadata\.json, model\.weights\.h5"):
        read_keras(write_archive(tmp_path / "m.keras", contents))


def test_two_members_of_one_name_are_refused(tmp_path):
    path = write_archive(tmp_path / "m.keras", members(tmp_path))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", b"{}")
    with pytest.raises(ValueError, match="two members of one name"):
        read_keras(path)


def test_a_zip_bomb_is_refused(tmp_path):
    contents = members(tmp_path) | {"config.json": bytes(10**7)}
    path = write_archive(tmp_path / "m.keras", contents, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"config\.json would grow from \d+ to 10000000 bytes"):
        read_keras(path)


def test_a_huge_config_is_refused(tmp_path):
    contents = members(tmp_path) | {"config.json": bytes(2**24 + 1)}
    with pytest.raises(ValueError, match=r"config\.json takes 16777217 bytes, more than the limit of 16777216"):
        read_keras(write_archive(tmp_path / "m.keras", contents))


def test_encrypted_members_are_refused(tmp_path):
    path = write_archive(tmp_path / "m.keras", members(tmp_path))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the directory entry of the last member
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.weights\.h5 is encrypted"):
        read_keras(path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is list, not a JSON object"),
        (b"{}", "layer with class_name and config was expected"),
        (b'{"class_name": "Sequential", "config": {}}', "has no list of layers"),
        (b'{"class_name": "Mine", "module": null, "config": {}}', "class Mine, which does not say how"),
    ],
)
def test_broken_configs_are_refused(tmp_path, config, said):
    path = write_archive(tmp_path / "m.keras", members(tmp_path) | {"config.json": config})
    with pytest.raises(ValueError, match=said):
        read_keras(path)


def changed_config(tmp_path: Path, change) -> Path:
    contents = members(tmp_path)
    config = json.loads(contents["config.json"])
    change(config["config"]["layers"])
    return write_archive(tmp_path / "m.keras", contents | {"config.json": json.dumps(config).encode()})


def changed_weights(tmp_path: Path, change) -> bytes:
    weights = io.BytesIO(members(tmp_path)["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        change(file)
    return weights.getvalue()


def test_the_group_names_of_keras_2_13_are_read(tmp_path):
    weights = changed_weights(tmp_path, lambda file: file.move("layers", "_layer_checkpoint_dependencies"))
    (stack,) = read_keras(write_archive(tmp_path / "m.keras", members(tmp_path) | {"model.weights.h5": weights}))
    case = FILES["keras_stack_keras"]
    y = outputs(stack.model, np.array(case["x"], np.float32))
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=case["tolerance"])


def test_own_classes_are_refused_by_name(tmp_path):
    def own(layers):
        layers[1] |= {"module": None, "class_name": "LSTM", "registered_name": "mine>LSTM"}

    with pytest.raises(ValueError, match=r"held by memory, a LSTM, and only .* no class is ever imported"):
        read_keras(changed_config(tmp_path, own))


def test_own_cells_are_refused_by_name(tmp_path):
    def own(layers):
        cell = {"module": None, "class_name": "MyCell", "config": {}}
        layers[1] |= {"class_name": "RNN", "config": {"name": "memory", "cell": cell}}

    with zipfile.ZipFile(changed_config(tmp_path, own)) as archive:
        config = archive.read("config.json")
    weights = changed_weights(tmp_path, lambda file: file.move("layers/lstm", "layers/rnn"))
    replaced = members(tmp_path) | {"config.json": config, "model.weights.h5": weights}
    with pytest.raises(ValueError, match="memory is made of MyCell cells"):
        read_keras(write_archive(tmp_path / "n.keras", replaced))


def test_a_lambda_layer_is_never_decoded_and_ends_the_stack(tmp_path):
    def between(layers):
        code = {"class_name": "__lambda__", "config": {"code": "gASVmarshal"}}
        layers.insert(2, {"module": "keras.layers"} | entry("Lambda", "code", function=code))

    found = read_keras(changed_config(tmp_path, between))
    assert [one.name for one in found] == ["memory", "both + simple_rnn_2"]


def test_suffix_and_content_must_agree(tmp_path):
    path = oracle_file(tmp_path, "keras_stack_h5")
    with pytest.raises(ValueError, match="the suffix says keras, the first bytes say an HDF5 file"):
        read_keras(path.rename(tmp_path / "m.keras"))


def test_without_h5py_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "hitherto.architectures.outside.keras_containers")
    monkeypatch.delattr(outside, "keras_containers")
    with pytest.raises(ImportError, match=r'pip install "hitherto\[keras\]"'):
        read_keras(oracle_file(tmp_path, "keras_stack_keras"))


# Keras itself

of_keras = pytest.mark.filterwarnings("ignore:::keras")  # its own use of NumPy and h5py


@pytest.fixture(scope="module")
def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras", exc_type=ImportError)


ZEROS = {
    "kernel_initializer": "zeros",
    "recurrent_initializer": "zeros",
}  # Keras's own take seconds to compile


def stacked_model(keras):
    layers, every = keras.layers, ZEROS | {"return_sequences": True}
    cells = [
        layers.GRUCell(2, reset_after=False, **ZEROS),
        layers.LSTMCell(3, dropout=0.1, **ZEROS),
        layers.GRUCell(4, **ZEROS),
    ]
    return keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.LSTM(4, dropout=0.2, recurrent_activation="hard_sigmoid", **every),
            layers.Dropout(0.5),
            layers.Bidirectional(layers.GRU(2, **every), merge_mode="ave"),
            keras.Sequential([layers.RNN(cells, return_sequences=True), layers.LSTM(5, **every)]),
            layers.SimpleRNN(3, activation="leaky_relu", go_backwards=True, use_bias=False, **every),
            layers.LSTM(2, activation="gelu", **every),
        ]
    )


def functional_model(keras):
    layers, every = keras.layers, ZEROS | {"return_sequences": True}
    late = layers.LSTM(2, name="late", **every)
    x, inside = keras.Input((5, 3)), keras.Input((5, 2))
    h = layers.LSTM(2, name="early", **every)(x)
    nested = keras.Model(inside, layers.GRU(2, name="inner", **every)(inside), name="block")
    return keras.Model(x, late(nested(layers.Dropout(0.1)(h))))


def randomised(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) * 0.7 for w in model.weights])
    return model


def saved(model, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    return path


def evaluated(model, x: np.ndarray) -> np.ndarray:
    """The outputs of a model for one sequence, compiled as a whole, which is faster than layer by layer."""
    variables = [[v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)]
    return np.asarray(jax.jit(model.stateless_call)(*variables, x[None])[0])[0]


@of_keras
@pytest.mark.parametrize("make", [stacked_model, functional_model])
def test_whole_models_of_keras_give_its_outputs(keras, tmp_path, make):
    model = randomised(make(keras))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    y = evaluated(model, x)
    for suffix in (".keras", ".h5"):
        (stack,) = read_keras(saved(model, tmp_path, suffix))
        np.testing.assert_allclose(outputs(stack.model, x), y, rtol=0, atol=2e-6)


@of_keras
def test_weights_of_keras_give_its_outputs(keras, tmp_path):
    layers = keras.layers
    first, second = (layers.LSTM(u, return_sequences=True, **ZEROS) for u in (2, 4))
    model = randomised(keras.Sequential([keras.Input((5, 3)), first, second, layers.GRU(5, **ZEROS)]))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    (stack,) = read_keras(saved(model, tmp_path, ".weights.h5"))
    assert isinstance(stack.model.architecture, Deep)
    np.testing.assert_allclose(outputs(stack.model, x)[-1], evaluated(model, x), rtol=0, atol=2e-6)


@of_keras
def test_branches_and_given_states_of_keras_are_listed_apart(keras, tmp_path):
    layers = keras.layers
    x = keras.Input((5, 3))
    h, *states = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder", **ZEROS)(x)
    decoded = layers.LSTM(3, return_sequences=True, name="decoder", **ZEROS)(h, initial_state=states)
    beside = layers.TimeDistributed(layers.Dense(3))(x)
    beside = layers.GRU(3, return_sequences=True, name="beside", **ZEROS)(beside)
    model = keras.Model(x, [decoded, beside])
    for suffix in (".keras", ".h5"):
        found = {one.name: one for one in read_keras(saved(model, tmp_path, suffix))}
        assert set(found) == {"encoder", "decoder", "beside"}
        assert found["decoder"].assumptions == ("initial state assumed zeros; in the model it comes from encoder",)


@of_keras
def test_time_distributed_and_backward_layers_of_keras(keras, tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 5, 3)),
            layers.TimeDistributed(layers.LSTM(2, **ZEROS), name="slices"),
            layers.SimpleRNN(2, go_backwards=True, name="back", **ZEROS),
        ]
    )
    slices, back = read_keras(saved(model, tmp_path, ".keras"))
    assert slices.assumptions == ("applied by TimeDistributed to every slice of its input",)
    assert back.model.architecture == Backward(RNN(2, 2), "reading")
