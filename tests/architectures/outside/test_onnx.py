"""ONNX files: recurrent operators against exact vectors, real exports, another runtime; hostile graphs."""

import base64
import itertools
import json
import sys
import warnings
import zlib
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.onnx import read_onnx
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import Hidden, HiddenAndCell, states_and_outputs

read = partial(read_onnx, reading=Reading())

ORACLES = json.loads((Path(__file__).parents[2] / "oracles" / "formats_oracles.json").read_text())
EXPORTS = [f for f in ORACLES["files"] if f["name"].startswith("torch_export")]
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
STARTS, ENDS = ("initial_h", "initial_c"), ("Y_h", "Y_c")


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def tensor(name, values, dtype=np.float64):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def saved(path, nodes, tensors=(), inputs=("X",), outputs=("Y",), **model):
    """A model with float inputs of unknown shape."""
    typed = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in (*inputs, *outputs)]
    graph = helper.make_graph(list(nodes), "graph", typed[: len(inputs)], typed[len(inputs) :], list(tensors))
    path.write_bytes(helper.make_model(graph, **model).SerializeToString())
    return path


def recurrent(op, arrays, name="layer", x="X", y="Y", prefix="", **attributes):
    """A recurrent node with its arrays as initializers, in the given precision."""
    sources = [x, *(prefix + role if role in arrays else "" for role in INPUTS[1 : 8 if op == "LSTM" else 6])]
    tensors = [numpy_helper.from_array(np.asarray(a), prefix + role) for role, a in arrays.items()]
    outputs = [y, f"{name}_h", f"{name}_c"][: 3 if op == "LSTM" else 2]
    return helper.make_node(op, sources, outputs, name, **attributes), tensors


def drawn(op, inputs, width, directions=1, seed=0, dtype=np.float32, **more):
    rng = np.random.default_rng(seed)
    rows = {"RNN": 1, "GRU": 3, "LSTM": 4}[op] * width
    shapes = {
        "W": (directions, rows, inputs),
        "R": (directions, rows, width),
        "B": (directions, 2 * rows),
        **more,
    }
    return {role: rng.normal(0, 0.6, shape).astype(dtype) for role, shape in shapes.items()}


def cut(case):
    """For each sequence of a batch: number, inputs (time, input), start values, outputs and last states."""
    batch_first = case["attributes"].get("layout", 0)
    given = {role: np.array(v) for role, v in case["inputs"].items() if v is not None}
    given |= {role: np.array(case[role]) for role in ("Y", "Y_h", "Y_c") if case.get(role) is not None}
    if batch_first:
        given["Y"] = np.moveaxis(given["Y"], 0, 2)
        states = [role for role in given if role in ("X", "initial_h", "initial_c", "Y_h", "Y_c")]
        given |= {role: given[role].swapaxes(0, 1) for role in states}
    lengths = given.get("sequence_lens", [len(given["X"])] * given["X"].shape[1])
    for n, length in enumerate(lengths):
        starts, ends = ({r: given[r][:, n] for r in roles if r in given} for roles in (STARTS, ENDS))
        yield n, given["X"][:length, n], starts, given["Y"][:, :, n], ends


def start_state(op, starts, directions):
    kind = HiddenAndCell if op == "LSTM" else Hidden
    parts = tuple(kind(*(values[d] for values in starts.values())) for d in range(directions)) if starts else (None,)
    return parts if directions == 2 else parts[0]


def last_state(states, direction):
    """The states of each direction after its last step."""
    if direction == "bidirectional":
        return [type(s)(*(leaf[k] for leaf in s)) for s, k in zip(states, (-1, 0), strict=True)]
    return [type(states)(*(leaf[0 if direction == "reverse" else -1] for leaf in states))]


@by_name(ORACLES["onnx"])
def test_operators(case, tmp_path):
    arrays = {role: np.array(v) for role, v in case["inputs"].items() if v is not None and role != "X"}
    if "sequence_lens" in arrays:
        arrays["sequence_lens"] = arrays["sequence_lens"].astype(np.int32)
    node, tensors = recurrent(case["op"], arrays, **case["attributes"])
    (found,) = read(saved(tmp_path / "m.onnx", [node], tensors))
    assert found.model.dtype == np.float64
    direction, directions = case["attributes"].get("direction", "forward"), arrays["W"].shape[0]
    for n, x, starts, y, ends in cut(case):
        states, outputs = states_and_outputs(found.model, x, start_state(case["op"], starts, directions))
        np.testing.assert_allclose(outputs, y[: len(x)].reshape(len(x), -1), rtol=0, atol=1e-12)
        assert not y[len(x) :].any()
        for d, last in enumerate(last_state(states, direction)):
            np.testing.assert_allclose(last.h, ends["Y_h"][d], rtol=0, atol=1e-12)
            if case["op"] == "LSTM":
                np.testing.assert_allclose(last.c, ends["Y_c"][d], rtol=0, atol=1e-12)
        if n == 0:  # the start values of the first sequence are kept among the weights
            np.testing.assert_array_equal(states_and_outputs(found.model, x)[1], outputs)
    assert any("sequence_lens" in line for line in found.assumptions) == ("sequence_lens" in arrays)


# Files written by PyTorch


def stored(case, folder):
    path = folder / f"{case['name']}{case['suffix']}"
    path.write_bytes(zlib.decompress(base64.b64decode(case["data"])))
    return path


def state_dict(model):
    """The weights under PyTorch's names."""
    layers, weights = model.architecture, model.weights
    stack = list(zip(layers.layers, weights, strict=True)) if isinstance(layers, Deep) else [(layers, weights)]
    named = {}
    for k, (layer, own) in enumerate(stack):
        pair = zip(("", "_reverse"), own, strict=True) if isinstance(layer, Bidirectional) else [("", own)]
        named |= {f"{role}_l{k}{suffix}": array for suffix, arrays in pair for role, array in arrays.items()}
    return named


def ran(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@by_name(EXPORTS)
def test_exports(case, tmp_path):
    path, x = stored(case, tmp_path), np.array(case["x"], np.float32)
    (found,) = read(path)
    own, written = state_dict(found.model), case["state_dict"]
    assert own.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(own[name], np.array(array, np.float32), err_msg=name)
    outputs = np.asarray(states_and_outputs(found.model, x)[1])
    np.testing.assert_allclose(outputs, case["y"], rtol=0, atol=case["tolerance"])
    np.testing.assert_allclose(outputs, ran(path, x[:, None])[:, 0], rtol=0, atol=case["tolerance"])
    assert found.assumptions == ()
    assert len(found.members) == (2 if case["settings"]["num_layers"] == 2 else 0)


def exported(module, x, path, dynamo):
    settings = {"external_data": False, "verbose": False} if dynamo else {"opset_version": 17}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), path, dynamo=dynamo, **settings)
    return path


class Separated(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.below, self.between, self.above = torch.nn.GRU(3, 4), torch.nn.Linear(4, 4), torch.nn.GRU(4, 5)

    def forward(self, x):
        return self.above(self.between(self.below(x)[0]))[0]


class Mixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.below = torch.nn.GRU(3, 4, batch_first=True)
        self.above = torch.nn.LSTM(4, 5, batch_first=True, bias=False, bidirectional=True)

    def forward(self, x):
        return self.above(self.below(x)[0])[0]


@pytest.mark.parametrize(
    ("module", "dynamo"),
    [
        (lambda: torch.nn.LSTM(3, 4, 2, bidirectional=True, dropout=0.2), True),
        (lambda: torch.nn.LSTM(3, 4, 2, bidirectional=True, dropout=0.2), False),
        (Mixed, False),
    ],
    ids=["lstm dynamo", "lstm legacy", "mixed legacy"],
)
def test_live_exports(module, dynamo, tmp_path):
    if dynamo:
        pytest.importorskip("onnx_ir", reason="the exporter needs onnxscript with its dependencies")
    torch.manual_seed(1)
    module, x = module(), torch.randn(1, 6, 3)
    path = exported(module, x, tmp_path / "m.onnx", dynamo)
    (found,) = read(path)
    assert len(found.members) == 2
    if isinstance(module, torch.nn.LSTM):
        for name, array in state_dict(found.model).items():
            np.testing.assert_array_equal(array, module.state_dict()[name].numpy(), err_msg=name)
        x = x.transpose(0, 1)
    with torch.no_grad():
        out = module(x)
    y = (out[0] if isinstance(out, tuple) else out).squeeze().numpy()
    np.testing.assert_allclose(states_and_outputs(found.model, x.squeeze().numpy())[1], y, rtol=0, atol=1e-6)


def test_layers_with_something_between_are_separate(tmp_path):
    path = exported(Separated(), torch.randn(5, 1, 3), tmp_path / "m.onnx", dynamo=False)
    below, above = read(path)
    assert (below.name, above.name) == ("/below/GRU", "/above/GRU")
    assert (below.model.architecture.width, above.model.architecture.width) == (4, 5)
    assert below.members == above.members == ()


def test_a_projected_export_is_refused(tmp_path):
    pytest.importorskip("onnx_ir", reason="the exporter needs onnxscript with its dependencies")
    path = exported(torch.nn.LSTM(3, 4, proj_size=2), torch.randn(5, 1, 3), tmp_path / "m.onnx", dynamo=True)
    with pytest.raises(ValueError, match=r"initial_c of shape \(1, 1, 4\), but hidden_size 2.*projection"):
        read(path)


def test_a_cell_written_out_is_read_by_name(tmp_path):
    cell = torch.nn.GRUCell(3, 4)

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self, x):
            return self.cell(x)

    path = exported(Step(), torch.randn(1, 3), tmp_path / "m.onnx", dynamo=False)
    (found,) = read(path)
    assert found.assumptions[0] == "read by name: the graph has no RNN, GRU or LSTM node"
    for name, array in cell.state_dict().items():
        np.testing.assert_array_equal(found.model.weights[name], array.numpy(), err_msg=name)


# Against onnxruntime, with settings that no vector combines

COMBINATIONS = [
    ("RNN", 2, {"activations": ["Elu", "ThresholdedRelu"], "activation_alpha": [0.75, 0.25], "clip": 1.5}),
    ("RNN", 1, {"activations": ["HardSigmoid"], "activation_beta": [0.25], "direction": "reverse"}),
    ("GRU", 2, {"clip": 0.75, "activations": ["HardSigmoid", "Softsign"] * 2, "linear_before_reset": 1}),
    ("GRU", 1, {"clip": 0.75, "activations": ["Sigmoid", "LeakyRelu"], "direction": "reverse"}),
    (
        "LSTM",
        1,
        {
            "input_forget": 1,
            "clip": 0.5,
            "activations": ["Sigmoid", "Tanh", "Affine"],
            "activation_alpha": [0.5],
        },
    ),
    (
        "LSTM",
        2,
        {
            "activations": ["HardSigmoid", "ScaledTanh", "Softsign", "Sigmoid", "Elu", "ScaledTanh"],
            "activation_alpha": [0.25, 1.5, 0.75, 1.25],
            "activation_beta": [0.5, 0.5, 0.75],
        },
    ),
]


@pytest.mark.parametrize(("op", "directions", "settings"), COMBINATIONS)
@pytest.mark.parametrize("width", [1, 7])
def test_onnxruntime_agrees(op, directions, settings, width, tmp_path):
    more = {"initial_h": (directions, 1, width)}
    more |= {"initial_c": more["initial_h"], "P": (directions, 3 * width)} if op == "LSTM" else {}
    arrays = drawn(op, 3, width, directions, seed=width, **more)
    settings = {"direction": "bidirectional"} | settings if directions == 2 else settings
    node, tensors = recurrent(op, arrays, hidden_size=width, **settings)
    path = saved(tmp_path / "m.onnx", [node], tensors, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    x = np.random.default_rng(3).normal(size=(9, 1, 3)).astype(np.float32)
    (found,) = read(path)
    outputs = states_and_outputs(found.model.astype(np.float64), x[:, 0])[1]
    np.testing.assert_allclose(outputs, ran(path, x).reshape(9, -1), rtol=0, atol=2e-6)


# Where weights come from


def constant(name, values):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(values)))


def worked_out():
    """An LSTM whose arrays come out of every operator that is worked out backwards, and these arrays."""
    a = drawn("LSTM", 3, 2)
    w, b = a["W"][0], a["B"]
    scale, zero = np.float32(0.5), np.int8(3)
    quantised = np.arange(-8, 8, dtype=np.int8).reshape(1, 8, 2)
    nodes = [
        constant("w_rows", np.roll(w, -2, 0).T.copy()),
        constant("k", np.array([0, 1])),
        helper.make_node("Constant", [], ["two"], value_int=2),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Constant", [], ["zero_one"], value_ints=[0]),
        helper.make_node("Transpose", ["w_rows"], ["w_t"], perm=[1, 0]),
        helper.make_node("Split", ["w_t", "w_sizes"], ["w_high", "w_low"], axis=0),
        helper.make_node("Concat", ["w_low", "w_high"], ["w_cat"], axis=0),
        helper.make_node("Unsqueeze", ["w_cat", "zero_one"], ["w_one"]),
        helper.make_node("Identity", ["w_one"], ["W"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["R"]),
        helper.make_node("Shape", ["b"], ["b_shape"]),
        helper.make_node("Gather", ["b_shape", "k"], ["b_target"]),
        helper.make_node("Cast", ["b_double"], ["b_single"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["b_single", "half"], ["b_more"]),
        helper.make_node("Sub", ["b_more", "half"], ["b_same"]),
        helper.make_node("Mul", ["b_same", "half"], ["b_half"]),
        helper.make_node("Div", ["b_half", "half"], ["b_flat"]),
        helper.make_node("Reshape", ["b_flat", "b_target"], ["B"]),
        helper.make_node(
            "ConstantOfShape", ["c_shape"], ["c_row"], value=numpy_helper.from_array(np.array([0.25], "f4"))
        ),
        helper.make_node("Expand", ["c_row", "c_full"], ["c_wide"]),
        helper.make_node("Slice", ["c_wide", "s0", "s1", "s2", "s3"], ["c_cut"]),
        helper.make_node("Squeeze", ["c_cut", "s2"], ["initial_c"]),
        helper.make_node("LSTM", ["X", "W", "R", "B", "", "", "initial_c"], ["Y"], "layer", hidden_size=2),
    ]
    tensors = [
        tensor("w_sizes", [6, 2], np.int64),
        tensor("q", quantised, np.int8),
        tensor("scale", scale, np.float32),
        tensor("zero_point", zero, np.int8),
        tensor("b", b, np.float32),
        tensor("b_double", b.ravel(), np.float64),
        *(tensor(n, v, np.int64) for n, v in {"c_shape": [2], "c_full": [4, 1, 1, 2], "s0": [3], "s1": [-9]}.items()),
        *(tensor(n, v, np.int64) for n, v in {"s2": [0], "s3": [-4]}.items()),
    ]
    expected = {"W": w[None], "R": (quantised.astype(np.float32) - zero) * scale, "B": b}
    return nodes, tensors, expected | {"initial_c": np.full((1, 1, 2), 0.25, np.float32)}


def test_weights_are_worked_out_backwards(tmp_path):
    nodes, tensors, expected = worked_out()
    (found,) = read(saved(tmp_path / "a.onnx", nodes, tensors))
    node, stored_tensors = recurrent("LSTM", expected, hidden_size=2)
    (plain,) = read(saved(tmp_path / "b.onnx", [node], stored_tensors))
    assert found.model.weights.keys() == plain.model.weights.keys()
    for role, array in plain.model.weights.items():
        np.testing.assert_allclose(found.model.weights[role], array, rtol=0, atol=1e-7, err_msg=role)


def test_old_operators_hold_axes_as_attributes(tmp_path):
    a = drawn("RNN", 3, 2)
    nodes = [
        helper.make_node("Slice", ["rows"], ["w2"], starts=[0], ends=[2], axes=[0]),
        helper.make_node("Unsqueeze", ["w2"], ["W"], axes=[0]),
        helper.make_node("Split", ["both"], ["R", "unused"], split=[1, 1], axis=0),
        helper.make_node("RNN", ["X", "W", "R"], ["Y"], "layer"),
    ]
    tensors = [
        tensor("rows", np.vstack([a["W"][0], a["W"][0]]), "f4"),
        tensor("both", np.vstack([a["R"]] * 2), "f4"),
    ]
    (found,) = read(saved(tmp_path / "m.onnx", nodes, tensors))
    np.testing.assert_array_equal(found.model.weights["weight_ih"], a["W"][0])
    np.testing.assert_array_equal(found.model.weights["weight_hh"], a["R"][0])


def test_half_precision_is_widened(tmp_path):
    node, tensors = recurrent("GRU", drawn("GRU", 3, 2, dtype=np.float16), hidden_size=2)
    (found,) = read(saved(tmp_path / "m.onnx", [node], tensors))
    assert found.model.dtype == np.float32
    assert found.assumptions == ("float16 weights widened to float32",)


def test_branches_see_the_names_around_them_and_repetitions_are_aliases(tmp_path):
    a = drawn("GRU", 3, 2)
    node, tensors = recurrent("GRU", a, name="", hidden_size=2)
    other = numpy_helper.from_array(a["R"] + 1, "R")
    y = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]
    branches = {
        "then_branch": helper.make_graph([node], "then", [], y),
        "else_branch": helper.make_graph([node], "else", [], y),
    }
    shadowed = dict(branches, else_branch=helper.make_graph([node], "else", [], y, [other]))
    one = helper.make_node("If", ["X"], ["Y1"], "choice", **branches)
    two = helper.make_node("If", ["X"], ["Y2"], **shadowed)
    found = read(saved(tmp_path / "m.onnx", [one, two], tensors))
    assert [f.name for f in found] == ["choice.else_branch/GRU#0", "If#1.else_branch/GRU#0"]
    assert found[0].aliases == ("choice.then_branch/GRU#0", "If#1.then_branch/GRU#0")
    np.testing.assert_array_equal(found[1].model.weights["weight_hh"][:2], a["R"][0, 2:4] + 1)


def test_a_function_called_twice_is_two_stacks(tmp_path):
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    body = [
        helper.make_node("RNN", ["x", "w", "r1"], ["y"], "low", hidden_size=2),
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("Squeeze", ["y", "axis"], ["x2"]),
        helper.make_node("RNN", ["x2", "w", "r2"], ["z"], "up", hidden_size=2),
    ]
    function = helper.make_function("own", "Layers", ["x", "w", "r1", "r2"], ["z"], body, opset)
    arrays = {f"R{k}": np.full((1, 2, 2), k, np.float32) for k in range(4)} | {"W": np.ones((1, 2, 2), np.float32)}
    calls = [
        helper.make_node("Layers", ["X", "W", f"R{k}", f"R{k + 1}"], [f"Y{k}"], f"call{k}", domain="own")
        for k in (0, 2)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    found = read(saved(tmp_path / "m.onnx", calls, tensors, functions=[function], opset_imports=opset))
    assert [f.name for f in found] == ["call0/low + call0/up", "call2/low + call2/up"]
    assert [[w["weight_hh"][0, 0] for w in f.model.weights] for f in found] == [[0, 1], [2, 3]]


def test_functions_take_weights_and_settings_from_their_calls(tmp_path):
    inner = helper.make_node("GRU", ["x", "w", "r"], ["y"], "cell")
    for name in ("hidden_size", "linear_before_reset"):
        inner.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=name, type=onnx.AttributeProto.INT))
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Layer", ["x", "w", "r"], ["y"], [inner], opset, ["hidden_size"])
    function.attribute_proto.append(helper.make_attribute("linear_before_reset", 1))
    a = drawn("GRU", 3, 2)
    call = helper.make_node("Layer", ["X", "W", "R"], ["Y"], "call", domain="own", hidden_size=2)
    tensors = [numpy_helper.from_array(a[role], role) for role in "WR"]
    (found,) = read(saved(tmp_path / "m.onnx", [call], tensors, functions=[function], opset_imports=opset))
    assert found.name == "call/cell"
    assert found.model.architecture == GRU(3, 2, bias=False, reset="after")
    np.testing.assert_array_equal(found.model.weights["weight_hh"][:2], a["R"][0, 2:4])


def test_start_values_given_at_run_time_are_zeros_and_said(tmp_path):
    node, tensors = recurrent("RNN", drawn("RNN", 3, 2), hidden_size=2)
    node.input[:] = ["X", "W", "R", "B", "", "start"]
    (found,) = read(saved(tmp_path / "m.onnx", [node], tensors, inputs=("X", "start")))
    assert found.assumptions == ("initial_h is given at run time, assumed zeros",)
    assert "initial_h" not in found.model.weights


# Stacks


def stacked(path, *between, directions=1):
    """Two layers with operators between Y and X of the next."""
    names = ["Y", *(f"t{k}" for k in range(1, len(between))), "X2"]  # of the tensors along the way
    direction = "bidirectional" if directions == 2 else "forward"
    lower, t1 = recurrent("GRU", drawn("GRU", 4, 4, directions), "low", hidden_size=4, direction=direction)
    upper, t2 = recurrent("GRU", drawn("GRU", 4 * directions, 4, seed=1), "up", "X2", "Z", "up_", hidden_size=4)
    steps = [
        helper.make_node(op, [source, *more], [result], **attributes)
        for (op, more, attributes), source, result in zip(between, names[:-1], names[1:], strict=True)
    ]
    axes = [tensor("one", [1], np.int64), tensor("two", [2], np.int64), tensor("shape", [0, 0, -1], np.int64)]
    return saved(path, [lower, *steps, upper], [*t1, *t2, *axes], outputs=("Z",))


SQUEEZE = ("Squeeze", ["one"], {})
CHAINING = {
    "squeeze": [SQUEEZE],
    "reshape": [("Reshape", ["shape"], {})],
    "there and back": [
        SQUEEZE,
        ("Transpose", [], {"perm": [1, 0, 2]}),
        ("Transpose", [], {"perm": [1, 0, 2]}),
    ],
    "nothing done": [SQUEEZE, ("Dropout", [], {}), ("Cast", [], {"to": 1}), ("Identity", [], {})],
}
BREAKING = {
    "activation": [SQUEEZE, ("Relu", [], {})],
    "wrong axis": [("Squeeze", ["two"], {})],
    "axes exchanged": [SQUEEZE, ("Transpose", [], {"perm": [2, 1, 0]})],
    "time and batch exchanged": [SQUEEZE, ("Transpose", [], {"perm": [1, 0, 2]})],
    "shape at run time": [("Reshape", ["X"], {})],
    "nothing": [("Identity", [], {})],
}


@pytest.mark.parametrize("between", CHAINING.values(), ids=CHAINING)
def test_nodes_that_read_each_other_are_a_stack(between, tmp_path):
    (found,) = read(stacked(tmp_path / "m.onnx", *between))
    assert found.model.architecture == Deep((GRU(4, 4, reset="before"), GRU(4, 4, reset="before")))
    assert found.name == "low + up"
    assert [member.name for member in found.members] == ["low", "up"]
    assert all(a is b for a, b in zip(found.model.weights, (m.model.weights for m in found.members), strict=True))


@pytest.mark.parametrize("between", BREAKING.values(), ids=BREAKING)
def test_nodes_with_something_between_are_no_stack(between, tmp_path):
    found = read(stacked(tmp_path / "m.onnx", *between))
    assert [f.name for f in found] == ["low", "up"]


def test_both_directions_are_merged_between_layers(tmp_path):
    merge = [("Transpose", [], {"perm": [0, 2, 1, 3]}), ("Reshape", ["shape"], {})]
    (found,) = read(stacked(tmp_path / "m.onnx", *merge, directions=2))
    assert [type(layer) for layer in found.model.architecture.layers] == [Bidirectional, GRU]
    unmerged = read(stacked(tmp_path / "m.onnx", ("Reshape", ["shape"], {}), directions=2))
    assert [f.name for f in unmerged] == ["low", "up"]


def test_steps_joined_in_pairs_are_no_stack(tmp_path):
    lower, t1 = recurrent("GRU", drawn("GRU", 3, 2), "low", hidden_size=2)
    upper, t2 = recurrent("GRU", drawn("GRU", 4, 2), "up", "X2", "Z", "up_", hidden_size=2)
    pairs = helper.make_node("Reshape", ["Y", "pairs"], ["X2"])
    tensors = [*t1, *t2, tensor("pairs", [-1, 1, 4], np.int64)]
    assert len(read(saved(tmp_path / "m.onnx", [lower, pairs, upper], tensors, outputs=("Z",)))) == 2


def test_batch_first_layers_are_a_stack(tmp_path):
    lower, t1 = recurrent("RNN", drawn("RNN", 3, 2), "low", hidden_size=2, layout=1)
    upper, t2 = recurrent("RNN", drawn("RNN", 2, 2), "up", "X2", "Z", "up_", hidden_size=2, layout=1)
    squeeze = helper.make_node("Squeeze", ["Y", "two"], ["X2"])
    tensors = [*t1, *t2, tensor("two", [-2], np.int64)]
    (found,) = read(saved(tmp_path / "m.onnx", [lower, squeeze, upper], tensors, outputs=("Z",)))
    assert found.model.architecture == Deep((RNN(3, 2), RNN(2, 2)))


def test_layers_in_a_circle_are_refused(tmp_path):
    lower, t1 = recurrent("RNN", drawn("RNN", 2, 2), "low", "X1", "Y", hidden_size=2)
    upper, t2 = recurrent("RNN", drawn("RNN", 2, 2), "up", "X2", "Z", "up_", hidden_size=2)
    nodes = [helper.make_node("Squeeze", [y, "one"], [x]) for y, x in (("Y", "X2"), ("Z", "X1"))]
    with pytest.raises(ValueError, match="feed one another in a circle"):
        read(saved(tmp_path / "m.onnx", [lower, upper, *nodes], [*t1, *t2, tensor("one", [1], np.int64)]))


def test_a_layer_that_feeds_two_others_is_in_no_stack(tmp_path):
    nodes, tensors = zip(
        recurrent("RNN", drawn("RNN", 2, 2), "low", hidden_size=2),
        recurrent("RNN", drawn("RNN", 2, 2, seed=1), "left", "X2", "Z1", "l_", hidden_size=2),
        recurrent("RNN", drawn("RNN", 2, 2, seed=2), "right", "X2", "Z2", "r_", hidden_size=2),
        strict=True,
    )
    squeeze = helper.make_node("Squeeze", ["Y", "one"], ["X2"])
    tensors = [*chain(*tensors), tensor("one", [1], np.int64)]
    found = read(saved(tmp_path / "m.onnx", [nodes[0], squeeze, *nodes[1:]], tensors, outputs=("Z1", "Z2")))
    assert [f.name for f in found] == ["low", "left", "right"]


# Refusals


def changed(op="LSTM", attributes=None, **arrays):
    drawn_arrays = drawn(op, 3, 2) | arrays
    kept = {role: a for role, a in drawn_arrays.items() if a is not None}
    return recurrent(op, kept, **{"hidden_size": 2} | (attributes or {}))


REFUSED = {
    "hidden size": (
        changed(attributes={"hidden_size": 3}),
        r"R of shape \(1, 8, 2\); with hidden_size 3.*\(1, 12, 3\)",
    ),
    "directions": (
        changed(attributes={"direction": "bidirectional"}),
        r"R of shape \(1, 8, 2\).*\(2, 8, 2\)",
    ),
    "type of a setting": (changed(attributes={"hidden_size": "2"}), "hidden_size is of type STRING, not INT"),
    "direction": (changed(attributes={"direction": "sideways"}), r"direction 'sideways'"),
    "bias": (changed(B=np.zeros((1, 8), np.float32)), r"B of shape \(1, 8\).*\(1, 16\)"),
    "rank": (changed(W=np.zeros((8, 3), np.float32)), r"W of shape \(8, 3\).*\(1, 8, 3\)"),
    "no inputs": (changed(W=np.zeros((1, 8, 0), np.float32)), r"W of shape \(1, 8, 0\)"),
    "scalar": (changed(R=np.float32(1), attributes={"hidden_size": 0}), "R of shape"),
    "initial cell": (
        changed(initial_c=np.ones((1, 1, 4), np.float32)),
        r"initial_c of shape \(1, 1, 4\).*projection",
    ),
    "not finite": (changed(R=np.full((1, 8, 2), np.nan, np.float32)), "R holds NaN or infinite values"),
    "integers": (changed(R=np.ones((1, 8, 2), np.int64)), "R holds int64"),
    "activation": (changed(attributes={"activations": ["Swish"] * 3}), "activation 'Swish'"),
    "activations": (changed(attributes={"activations": ["Tanh"] * 2}), "2 activations"),
    "parameters": (
        changed("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [2.0]}),
        "needs activation_beta",
    ),
    "clip": (changed(attributes={"clip": -1.0}), "clip -1.0"),
    "no weights": (changed(W=None), "nothing in the graph is called ''"),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_layers(layer, message, tmp_path):
    node, tensors = layer
    with pytest.raises(ValueError, match=message):
        read(saved(tmp_path / "m.onnx", [node], tensors))


def with_weight(*makers, inputs=("X",), tensors=()):
    """A graph whose W is made by the given nodes."""
    node, stored_tensors = changed("RNN", W=None)
    node.input[1] = "W"
    return [*makers, node], [*stored_tensors, *tensors], inputs


def long_chain(length):
    names = ["start", *(f"n{k}" for k in range(length - 1)), "W"]
    steps = [helper.make_node("Identity", [a], [b]) for a, b in itertools.pairwise(names)]
    return with_weight(*steps, tensors=[tensor("start", np.ones((1, 2, 3)), np.float32)])


def growing():
    names = [f"n{k}" for k in range(40)]
    steps = [helper.make_node("Concat", [a] * 8, [b], axis=0) for a, b in zip(names, [*names[1:], "W"], strict=True)]
    return with_weight(*steps, tensors=[tensor("n0", np.ones((1, 2, 3)), np.float32)])


def claiming(dims, held=24):
    return onnx.TensorProto(name="W", dims=dims, data_type=TensorProto.FLOAT, raw_data=bytes(held))


HUGE = tensor("size", [2**40, 2**40], np.int64)
ONES = tensor("ones", np.ones((1, 2, 3)), np.float32)
HOSTILE = {
    "run time": (
        with_weight(helper.make_node("Relu", ["X"], ["W"])),
        "computed at run time: W comes from op Relu",
    ),
    "graph input": (with_weight(inputs=("X", "W")), "computed at run time: W comes from input W"),
    "itself": (with_weight(helper.make_node("Identity", ["W"], ["W"])), "depends on itself"),
    "circle": (
        with_weight(helper.make_node("Identity", ["V"], ["W"]), helper.make_node("Identity", ["W"], ["V"])),
        "depends on itself",
    ),
    "long chain": (long_chain(80), "more than 64 operators"),
    "constant of shape": (
        with_weight(helper.make_node("ConstantOfShape", ["size"], ["W"]), tensors=[HUGE]),
        "the limit is",
    ),
    "expand": (
        with_weight(helper.make_node("Expand", ["ones", "size"], ["W"]), tensors=[HUGE, ONES]),
        "the limit is",
    ),
    "growing": (growing(), "the limit is"),
    "declared": (with_weight(tensors=[claiming([2**40, 2**40])]), "the limit is"),
    "too short": (with_weight(tensors=[claiming([1, 2, 30])]), "needs 240 bytes, the file holds 24"),
    "negative": (with_weight(tensors=[claiming([-1, 2, 3])]), "declares the shape"),
    "rank": (with_weight(tensors=[claiming([1] * 9)]), "declares the shape"),
    "text": (with_weight(tensors=[helper.make_tensor("W", TensorProto.STRING, [1], [b"a"])]), "STRING"),
    "reshape": (
        with_weight(
            helper.make_node("Reshape", ["ones", "five"], ["W"]),
            tensors=[ONES, tensor("five", [5], np.int64)],
        ),
        r"does not fit inputs of shapes \[\(1, 2, 3\), \(1,\)\]",
    ),
    "no inputs": (with_weight(helper.make_node("Transpose", [], ["W"])), "does not fit inputs"),
    "unknown name": (
        with_weight(helper.make_node("Identity", ["nowhere"], ["W"])),
        "nothing in the graph is called 'nowhere'",
    ),
}


@pytest.mark.parametrize(("parts", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_graphs(parts, message, tmp_path):
    nodes, tensors, inputs = parts
    path = saved(tmp_path / "m.onnx", nodes, tensors, inputs)
    with pytest.raises(ValueError, match=message):
        read(path, reading=Reading(max_bytes=2**20))


def test_names_that_are_no_text(tmp_path):
    node, tensors = changed()
    path = saved(tmp_path / "m.onnx", [node], tensors)
    path.write_bytes(path.read_bytes().replace(b"layer", b"lay\xffr"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read(path)


def test_the_limit_is_the_readers(tmp_path):
    node, tensors = changed()
    path = saved(tmp_path / "m.onnx", [node], tensors)
    with pytest.raises(ValueError, match="the limit is 100; raise max_bytes"):
        read(path, reading=Reading(max_bytes=100))


def test_deep_nesting_and_calls_without_end(tmp_path):
    y = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([], "inside", [], y)
    for _ in range(28):
        graph = helper.make_graph([helper.make_node("If", ["X"], ["Y"], then_branch=graph)], "g", [], y)
    with pytest.raises(ValueError, match="only the operators If"):
        read(saved(tmp_path / "a.onnx", graph.node))
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    calls = [helper.make_node("F", ["x"], [f"y{k}"], domain="own") for k in range(2)]
    function = helper.make_function("own", "F", ["x"], ["y0"], calls, opset)
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        read(saved(tmp_path / "b.onnx", calls, functions=[function], opset_imports=opset))


def test_many_calls_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("hitherto.architectures.outside.onnx_graph.MOST_NODES", 2000)
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]

    def level(k):
        inner = [helper.make_node(f"F{k + 1}", ["x"], [f"y{i}"], domain="own") for i in range(30)]
        return helper.make_function("own", f"F{k}", ["x"], ["y0"], inner, opset)

    call = helper.make_node("F0", ["X"], ["Y"], domain="own")
    path = saved(tmp_path / "m.onnx", [call], functions=[level(k) for k in range(8)], opset_imports=opset)
    with pytest.raises(ValueError, match="more than 2000 nodes"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", bytes(64)])
def test_other_content(content, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.onnx"):
        read(path)


def test_a_graph_without_recurrence_names_its_operators(tmp_path):
    node = helper.make_node("MatMul", ["X", "V"], ["Y"])
    with pytest.raises(ValueError, match="no RNN, GRU or LSTM node, only the operators MatMul"):
        read(saved(tmp_path / "m.onnx", [node], [tensor("V", np.ones((2, 2)))]))


# Data in files beside the model


def outside(folder, location, **entries):
    """A layer whose W is in another file."""
    node, tensors = changed("RNN")
    kept = tensors[0].raw_data
    tensors[0].ClearField("raw_data")
    tensors[0].data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensors[0].external_data.add(key=key, value=value)
    return saved(folder / "m.onnx", [node], tensors), kept


def test_external_weights_beside_the_model(tmp_path):
    path, kept = outside(tmp_path, "data/w.bin", offset="5", length="24")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"12345" + kept + b"rest")
    (found,) = read(path)
    np.testing.assert_array_equal(found.model.weights["weight_ih"], np.frombuffer(kept, "<f4").reshape(2, 3))


OUTSIDE = {
    "parent": (("../w.bin", {}), "leaves the folder"),
    "absolute": (("/etc/hostname", {}), "leaves the folder"),
    "link": (("link.bin", {}), "leaves the folder"),
    "none": (("", {}), "leaves the folder"),
    "missing": (("gone.bin", {}), "not there"),
    "short": (("w.bin", {"offset": "8"}), "bytes 8 to 24 of w.bin"),
    "beyond": (("w.bin", {"offset": "8", "length": "24"}), "bytes 8 to 32 of w.bin"),
    "offset": (("w.bin", {"offset": "-4"}), "offset '-4'"),
}


@pytest.mark.parametrize(("where", "message"), OUTSIDE.values(), ids=OUTSIDE)
def test_external_weights_elsewhere(where, message, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path, kept = outside(folder, where[0], **where[1])
    for place in (tmp_path, folder):
        (place / "w.bin").write_bytes(kept)
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ValueError, match=message):
        read(path)


def test_external_tensors_that_are_not_weights_are_not_touched(tmp_path):
    node, tensors = changed("RNN")
    other = onnx.TensorProto(name="other", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    other.external_data.add(key="location", value="/nowhere")
    (found,) = read(saved(tmp_path / "m.onnx", [node], [*tensors, other]))
    assert found.model.architecture == RNN(3, 2)


def test_reverse_and_settings_reach_the_architecture(tmp_path):
    node, tensors = changed(attributes={"direction": "reverse", "input_forget": 1, "clip": 0.5})
    (found,) = read(saved(tmp_path / "m.onnx", [node], tensors))
    assert found.model.architecture == Backward(LSTM(3, 2, coupled=True, clip=0.5))


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    import hitherto.architectures.outside as package

    for part in ("onnx_chains", "onnx_graph", "onnx_nodes", "onnx_operators", "onnx_tensors"):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{part}")
        monkeypatch.delattr(package, part)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "hitherto\[onnx\]"'):
        read(tmp_path / "m.onnx")


def test_damaged_files_are_read_or_refused(tmp_path):
    nodes, tensors, _ = worked_out()
    path = saved(tmp_path / "m.onnx", nodes, tensors)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            read(path, reading=Reading(max_bytes=2**20))
        except ValueError:
            refused += 1
    assert 0 < refused < 300
