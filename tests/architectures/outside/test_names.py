import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.arrays import in_memory
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.names import find_layers, read_named
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import states_and_outputs

ORACLES = json.loads((Path(__file__).parents[2] / "oracles" / "formats_oracles.json").read_text())
DETECTION = ORACLES["detection"]

REFUSALS = {
    "gate count 2 refused": "2 gate blocks of 2 rows: not an RNN, GRU or LSTM",
    "recurrent width does not divide the rows": "7 rows are not a multiple of 2",
    "recurrent rows differ from input rows": "weight_ih_l0 has 8 rows, u.weight_hh_l0 has 6",
    "missing layer in a stack": "u: layer 1 is missing",
    "attention only": r"2 tensors, no recurrent layer: q_proj.weight \(4, 4\), k_proj.weight \(4, 4\)",
    "layer-norm LSTM": "c.layernorm_i.weight stands beside the cell c: normalisation",
}


def shapes_of(case):
    return {name: tuple(shape) for name, shape in case["tensors"].items()}


def summary(plan):
    architecture = plan.architecture
    layers = architecture.layers if isinstance(architecture, Deep) else (architecture,)
    both = isinstance(layers[0], Bidirectional)
    cell = layers[0].forward if both else layers[0]
    return {
        "name": plan.name,
        "kind": type(cell).__name__,
        "input": architecture.input_size,
        "hidden": cell.width,
        "layers": len(layers),
        "bidirectional": both,
        "bias": cell.bias,
        "proj": getattr(cell, "projection", None) or 0,
    }


def cell_arrays(gates=4, width=2, inputs=3, prefix="", key=0, **more):
    draw = np.random.default_rng(key).standard_normal
    arrays = {
        f"{prefix}weight_ih": draw((gates * width, inputs)),
        f"{prefix}weight_hh": draw((gates * width, width)),
        f"{prefix}bias_ih": draw(gates * width),
        f"{prefix}bias_hh": draw(gates * width),
    }
    return arrays | more


def outputs(found, length=5):
    x = np.random.default_rng(1).standard_normal((length, found.model.architecture.input_size))
    return states_and_outputs(found.model, x)[1]


def read(arrays, **settings):
    return read_named(in_memory("here", arrays), Reading(**settings))


@pytest.mark.parametrize("case", [c for c in DETECTION if isinstance(c["expect"], list)], ids=lambda c: c["name"])
def test_layers_are_found(case):
    plans = find_layers(shapes_of(case), Reading())
    for plan, expected in zip(plans, case["expect"], strict=True):
        assumed = expected.pop("assumed", None)
        assert summary(plan) == expected
        assert assumed is None or "activation assumed tanh" in plan.assumptions


@pytest.mark.parametrize("case", [c for c in DETECTION if isinstance(c["expect"], str)], ids=lambda c: c["name"])
def test_layers_are_refused(case):
    with pytest.raises(ValueError, match=REFUSALS[case["name"]]):
        find_layers(shapes_of(case), Reading())


@pytest.mark.parametrize("case", ORACLES["jax_cells"], ids=lambda c: c["name"])
def test_jax_cells(case):
    [found] = read({name: np.array(w) for name, w in case["weights"].items()})
    _, y = states_and_outputs(found.model, np.array(case["x"]))
    np.testing.assert_allclose(y, case["y"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("names", "kind", "where"),
    [
        (("net/cell/w_ih", "net/cell/w_hh"), LSTM, "net/cell"),
        (("left_Wih", "left_Whh"), LSTM, "left"),
        (("enc.kernel.ih", "enc.kernel.hh"), LSTM, "enc"),
        (("rnn.weight_i2h_l0", "rnn.weight_h2h_l0"), LSTM, "rnn"),
        (("w_ih_3", "w_hh_3"), LSTM, "3"),
        (("a-W-IH", "a-W-HH"), LSTM, "a"),
    ],
)
def test_other_spellings(names, kind, where):
    [plan] = find_layers({names[0]: (8, 3), names[1]: (8, 2)}, Reading())
    assert (type(plan.architecture), plan.name) == (kind, where)


def test_no_field_is_seen_inside_words():
    with pytest.raises(ValueError, match="no recurrent layer: growth_ih"):
        find_layers({"growth_ih": (8, 3), "rowhh": (8, 2)}, Reading())


def test_a_gate_order_permutes_the_blocks():
    blocks = lambda w, order: np.concatenate([np.split(w, 4)["ifgo".index(letter)] for letter in order])  # noqa: E731
    arrays = cell_arrays()
    written = {name: blocks(w, "iofg") for name, w in arrays.items()}
    [expected], [found] = read(arrays), read(written, gates="IOFC")
    np.testing.assert_array_equal(outputs(found), outputs(expected))
    assert "gate order i, o, f, g as given" in found.assumptions
    assert "gate order assumed i, f, g, o (PyTorch)" in expected.assumptions


def test_a_gate_order_for_another_kind_leaves_a_layer_alone():
    [found] = read(cell_arrays(gates=3), gates="iofc")
    assert "gate order assumed r, z, n (PyTorch)" in found.assumptions
    with pytest.raises(ValueError, match="gates 'ifg' is no order"):
        read(cell_arrays(), gates="ifg")


def test_matrices_stored_sideways():
    arrays = cell_arrays()
    turned = {name.replace("weight", "w").replace("bias", "b"): w.T for name, w in arrays.items()}
    with pytest.raises(ValueError, match=r"w_hh is a LSTM stored \(in, out\) with shape \(2, 8\).*--gates"):
        read(turned)
    [expected], [found] = read(arrays), read(turned, gates="ifgo")
    np.testing.assert_array_equal(outputs(found), outputs(expected))


def test_keras_names_in_an_array_file():
    draw = np.random.default_rng(0).standard_normal
    keras = {"gru/kernel": draw((3, 6)), "gru/recurrent_kernel": draw((2, 6)), "gru/bias": draw((2, 6))}
    rows = [2, 3, 0, 1, 4, 5]
    [found] = read(keras)
    np.testing.assert_array_equal(found.model.weights["weight_ih"], keras["gru/kernel"].T[rows])
    np.testing.assert_array_equal(found.model.weights["bias_hh"], keras["gru/bias"][1][rows])
    assert found.model.architecture == GRU(3, 2)
    [found] = read({**keras, "gru/bias": draw(6)})
    assert found.model.architecture == GRU(3, 2, reset="before")
    [found] = read({"W": draw((3, 8)), "U": draw((2, 8)), "b": draw(8)})
    assert found.model.architecture == LSTM(3, 2)


def test_square_matrices_under_neutral_names_are_told():
    [plan] = find_layers({"w_ih": (4, 4), "w_hh": (4, 4)}, Reading())
    assert plan.assumptions == ("matrices assumed (out, in)", "activation assumed tanh")


def test_settings_that_files_cannot_tell():
    [found] = read(cell_arrays(gates=1), activation="relu")
    assert found.model.architecture == RNN(3, 2, activation="relu")
    [found] = read(cell_arrays(gates=3), reset="before", recurrent_activation="hard_sigmoid")
    assert found.model.architecture == GRU(3, 2, reset="before", gate_activation="hard_sigmoid")
    assert "reset convention before as given" in found.assumptions


def test_one_bias_is_the_input_bias():
    arrays = cell_arrays()
    single = {"weight_ih": arrays["weight_ih"], "weight_hh": arrays["weight_hh"], "bias": arrays["bias_ih"]}
    [found] = read(single)
    np.testing.assert_array_equal(found.model.weights["bias_ih"], arrays["bias_ih"])
    assert not found.model.weights["bias_hh"].any()


def test_peepholes_by_name():
    peepholes = {f"w_{gate}_diag": np.full(2, k) / 4 for k, gate in enumerate("ifo")}
    [found] = read(cell_arrays(**peepholes))
    assert found.model.architecture == replace(LSTM(3, 2), peephole=True)
    np.testing.assert_array_equal(found.model.weights["peepholes"], [[0, 0], [0.25, 0.25], [0.5, 0.5]])


def test_numbered_cells_chain_in_numerical_order():
    shapes = {f"cells.{k}.{name}": (8, 2) for k in (10, 9, 8) for name in ("weight_ih", "weight_hh")}
    [plan] = find_layers(shapes, Reading())
    assert [member.name for member in plan.members] == ["cells.8", "cells.9", "cells.10"]
    assert plan.assumptions[-1] == (
        "cells.8, cells.9, cells.10 chained by number and width (assumed); "
        "layers between recurrent layers cannot be seen in this file"
    )


def test_a_number_inside_the_name_chains_unless_something_stands_between():
    shapes = {f"layers.{k}.rnn.weight_{role}_l0": (8, 2) for k in (0, 1) for role in ("ih", "hh")}
    [plan] = find_layers(shapes, Reading())
    assert plan.name == "layers.*.rnn"
    apart = find_layers(shapes | {"layers.1.norm.weight": (2,)}, Reading())
    assert [plan.name for plan in apart] == ["layers.0.rnn", "layers.1.rnn"]


def test_a_far_layer_number_is_refused_at_once():
    shapes = {f"weight_{role}_l{10**12}": (8, 2) for role in ("ih", "hh")}
    with pytest.raises(ValueError, match="layer 0 is missing, there is a layer 1000000000000"):
        find_layers(shapes, Reading())


def test_gaps_and_words_do_not_chain():
    names = ("0", "2", "encoder", "decoder")
    shapes = {f"{name}.weight_{role}_l0": (8, 2) for name in names for role in ("ih", "hh")}
    assert [plan.name for plan in find_layers(shapes, Reading())] == list(names)


def test_members_of_a_stack_carry_its_weights():
    arrays = {f"rnn.weight_{role}_l{k}": np.full((8, 2), k + 1.0) for k in (0, 1) for role in ("ih", "hh")}
    [found] = read(arrays)
    assert [member.name for member in found.members] == ["rnn.l0", "rnn.l1"]
    np.testing.assert_array_equal(found.members[1].model.weights["weight_hh"], found.model.weights[1]["weight_hh"])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"u.weight_ih_l0": (8, 3)}, "u.l0 has u.weight_ih_l0 but no weight_hh"),
        ({"u.weight_ih": (8, 3), "u.weight_hh": (8,)}, r"u.weight_hh has the shape \(8,\).*IndRNN"),
        ({"u.weight_ih": (8, 3, 3, 3), "u.weight_hh": (8, 2, 3, 3)}, "ConvLSTM"),
        ({"u.weight_ih": (0, 3), "u.weight_hh": (0, 0)}, "empty"),
        (
            {"u.weight_ih": (8, 3), "u.weight_hh": (8, 2), "u.bias_ih": (7,)},
            r"u.bias_ih has the shape \(7,\), expected \(8,\)",
        ),
        ({"u.weight_ih": (8, 3), "u.weight_hh": (8, 2), "u.weight_hr": (3, 2)}, "u.weight_hr has the shape"),
        (
            {"u.weight_ih_l0": (8, 3), "u.weight_hh_l0_g": (8, 1), "u.weight_hh_l0_v": (8, 2)},
            "bake the parametrization",
        ),
        ({"u.parametrizations.weight_hh_l0.original0": (8, 2)}, "bake the parametrization"),
        (
            {"c.dense_i.kernel": (3, 8), "c.dense_h.kernel": (2, 8), "c.layer_norm.scale": (8,)},
            "c.layer_norm.scale stands beside the cell c",
        ),
        ({"rnn/basic_lstm_cell/kernel": (5, 8)}, r"\(5, 8\) is a combined kernel of TensorFlow 1"),
        (
            {"if.kernel": (3, 2), "in.kernel": (3, 2), "hf.kernel": (2, 2), "hn.kernel": (2, 2)},
            "minimal gated unit",
        ),
        (
            {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2), "weight_ih_l1": (8, 5), "weight_hh_l1": (8, 2)},
            "layer 0 gives 2 channels, layer 1 takes 5",
        ),
        (
            {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2), "weight_ih_l1": (6, 2), "weight_hh_l1": (6, 2)},
            "layers of one module need the same kind",
        ),
        (
            {
                "weight_ih_l0": (8, 3),
                "weight_hh_l0": (8, 2),
                "weight_ih_l0_reverse": (8, 3),
                "weight_hh_l0_reverse": (6, 2),
            },
            "weight_ih_l0_reverse has 8 rows, weight_hh_l0_reverse has 6",
        ),
        (
            {f"weight_{role}_{where}": (8, 2) for role in ("ih", "hh") for where in ("l0", "l1", "l1_reverse")},
            "not all of its 2 layers have both directions",
        ),
        ({"w_ih": (8, 3), "weight_ih": (8, 3), "w_hh": (8, 2)}, "both look like weight_ih"),
    ],
)
def test_refusals(shapes, message):
    with pytest.raises(ValueError, match=message):
        find_layers(shapes, Reading())


def test_norms_elsewhere_are_no_concern():
    shapes = {
        "rnn.weight_ih_l0": (8, 3),
        "rnn.weight_hh_l0": (8, 2),
        "norm.weight": (2,),
        "rnn_norm.weight": (2,),
    }
    [plan] = find_layers(shapes, Reading())
    assert plan.name == "rnn"


def test_half_precision_is_widened_exactly_and_told():
    arrays = {name: w.astype(np.float16) for name, w in cell_arrays().items()}
    [found] = read(arrays)
    assert found.model.dtype == np.float32
    np.testing.assert_array_equal(found.model.weights["weight_hh"], arrays["weight_hh"].astype(np.float32))
    assert "float16 weights widened to float32" in found.assumptions
    assert "initial state assumed zeros" in found.assumptions


def test_a_bias_of_something_else_is_left_alone():
    [found] = read(cell_arrays(bias=np.ones(5)))
    assert found.model.weights["bias_ih"].shape == (8,)
