"""Trained recurrent models that other packages carry, read and run against their documented equations."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.arrays import in_memory
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.names import read_named
from hitherto.architectures.outside.onnx import read_onnx
from hitherto.architectures.wrappers import Bidirectional
from hitherto.core.model import states_and_outputs


def package_file(package, *parts):
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None:
        pytest.skip(f"the package {package} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru(weights, inputs):
    """h' = (1 - z) n + z h with n = tanh(W_in x + b_in + r (W_hn h + b_hn)); blocks r, z, n."""
    h, outputs = np.zeros(weights["weight_hh"].shape[1]), []
    for x in inputs:
        x_r, x_z, x_n = np.split(weights["weight_ih"] @ x + weights["bias_ih"], 3)
        h_r, h_z, h_n = np.split(weights["weight_hh"] @ h + weights["bias_hh"], 3)
        z = sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
        outputs.append(h)
    return np.array(outputs)


def lstm(weights, inputs):
    """c' = f c + i g and h' = o tanh(c'); the arrays are an ONNX node's, blocks i, o, f, c."""
    w, r, (b_w, b_r) = weights["W"], weights["R"], np.split(weights["B"], 2)
    h = c = np.zeros(r.shape[1])
    outputs = []
    for x in inputs:
        i, o, f, g = np.split(w @ x + b_w + r @ h + b_r, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def random_inputs(channels):
    return np.random.default_rng(0).normal(size=(40, channels))


def outputs_of(found, inputs):
    outputs = states_and_outputs(found.model.astype(np.float64), inputs)[1]
    assert np.isfinite(outputs).all()
    return outputs


def stored_in_the_graph(path):
    """The arrays of the only LSTM node, straight from the initializers of the file."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path).graph
    (node,) = (node for node in graph.node if node.op_type == "LSTM")
    named = {tensor.name: tensor for tensor in graph.initializer}
    arrays = zip("WRB", node.input[1:4], strict=True)
    return {role: onnx.numpy_helper.to_array(named[name]).astype(np.float64) for role, name in arrays}


def test_english_spelling_to_sound():
    """g2p-en: encoder and decoder GRU of a speller, in NumPy arrays called enc_w_ih, dec_w_hh, ..."""
    with np.load(package_file("g2p_en", "checkpoint20.npz"), allow_pickle=False) as file:
        arrays = dict(file)
    models = read_named(in_memory("checkpoint20.npz", arrays), Reading())
    assert {found.name for found in models} == {"enc", "dec"}
    for found in models:
        assert found.model.architecture == GRU(256, 256)
        roles = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
        stored = {role: arrays[f"{found.name}_{short}"].astype(np.float64) for role, short in roles.items()}
        inputs = random_inputs(256)
        np.testing.assert_allclose(outputs_of(found, inputs), gru(stored, inputs), rtol=0, atol=1e-10)


def test_thai_romanisation_encoder():
    """pythainlp: a bidirectional LSTM over characters; sequences are cut to their lengths at run time."""
    path = package_file("pythainlp", "corpus", "thai2rom_encoder.onnx")
    (found,) = read_onnx(path, Reading())
    assert found.model.architecture == Bidirectional(LSTM(128, 128), LSTM(128, 128))
    assert "sequence_lens is given at run time: inputs are read to their end" in found.assumptions
    stored, inputs = stored_in_the_graph(path), random_inputs(128)
    ahead, back = ({role: array[d] for role, array in stored.items()} for d in (0, 1))
    expected = np.hstack([lstm(ahead, inputs), lstm(back, inputs[::-1])[::-1]])
    np.testing.assert_allclose(outputs_of(found, inputs), expected, rtol=0, atol=1e-10)


def test_thai_romanisation_decoder():
    """pythainlp: the LSTM that writes letters; it reads the last letter and a context from the encoder."""
    path = package_file("pythainlp", "corpus", "thai2rom_decoder.onnx")
    (found,) = read_onnx(path, Reading())
    assert found.model.architecture == LSTM(384, 256)
    stored, inputs = stored_in_the_graph(path), random_inputs(384)
    expected = lstm({role: array[0] for role, array in stored.items()}, inputs)
    np.testing.assert_allclose(outputs_of(found, inputs), expected, rtol=0, atol=1e-10)
