"""The seven weight files of the silero-vad package: which models they hold, weight by weight."""

import json
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from hitherto.architectures.gated import LSTM
from hitherto.architectures.outside.arrays import read_safetensors
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.names import read_named
from hitherto.architectures.outside.onnx import read_onnx

ORACLE = json.loads((Path(__file__).parents[2] / "oracles" / "formats_oracles.json").read_text())["silero_vad_6_2_3"]
ONNX_FILES = [name for name in ORACLE["files"] if name.endswith(".onnx")]


@pytest.fixture
def file():
    """The path of a file of the package, once its content is known to be the listed one."""
    try:
        found = version("silero-vad")
    except PackageNotFoundError:
        pytest.skip("silero-vad is not installed")
    if found != "6.2.3":
        pytest.skip(f"the hashes are those of silero-vad 6.2.3, installed is {found}")

    def checked(name):
        path = Path(find_spec("silero_vad").origin).parent / "data" / name
        assert sha256(path.read_bytes()).hexdigest() == ORACLE["files"][name]["sha256"]
        return path

    return checked


def hashes(found):
    weights = found.model.weights
    assert found.model.architecture == LSTM(128, 128)
    assert found.model.dtype == np.float32
    return {name: sha256(np.ascontiguousarray(array, "<f4")).hexdigest() for name, array in weights.items()}


@pytest.mark.parametrize("name", ONNX_FILES)
def test_onnx_variants(name, file):
    """Every place in the file, in any order, holds the weights of the group that is listed for it."""
    where, models = ORACLE["where"][name], read_onnx(file(name), Reading())
    assert len(models) == where["distinct_models"] == len(set(where["groups"]))
    places = [hashes(found) for found in models for _ in (found.name, *found.aliases)]
    listed = [ORACLE["groups"][group] for group in where["groups"]]
    for group in ORACLE["groups"].values():
        assert places.count(group) == listed.count(group)


@pytest.mark.parametrize(("branch", "group"), [("then_branch", "onnx_16k"), ("else_branch", "onnx_8k")])
def test_the_two_branches_of_one_rate_are_aliases(branch, group, file):
    outer = f"If_0.{branch}/If_0_{branch}__Inline_0__/decoder/If_1"
    models = read_onnx(file("silero_vad.onnx"), Reading())
    (found,) = (found for found in models if found.name.startswith(f"{outer}.then_branch/"))
    assert hashes(found) == ORACLE["groups"][group]
    (alias,) = found.aliases
    assert alias.startswith(f"{outer}.else_branch/")


def test_a_file_without_lstm_nodes_says_how_it_was_read(file):
    models = read_onnx(file("silero_vad_op18_ifless.onnx"), Reading())
    assert {found.name for found in models} == {"model.decoder.rnn", "model_8k.decoder.rnn"}
    assert all("read by name: the graph has no RNN, GRU or LSTM node" in found.assumptions for found in models)


def test_safetensors(file):
    (found,) = read_named(read_safetensors(file("silero_vad_16k.safetensors")), Reading())
    assert hashes(found) == ORACLE["groups"]["safetensors_16k"]
