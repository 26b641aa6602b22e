import os

import jax
import numpy as np
import pytest
import safetensors.numpy

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, OneHot, Templates
from hitherto.architectures.as_json import from_json, to_json
from hitherto.architectures.convolution import Convolution
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.outside.arrays import read_safetensors
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.live import adapt
from hitherto.architectures.outside.names import read_named
from hitherto.architectures.outside.torch_names import save, to_torch_names
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, StepFunction, Untied
from hitherto.core.model import Model

ARCHITECTURES = [
    RNN(3, 4, activation="leaky_relu(0.2)", readout_size=2),
    LSTM(3, 4, projection=2, peephole=True, clip=1.5, cell_activation="relu", readout_size=3),
    LSTM(3, 4, bias=False, coupled=True),
    GRU(3, 4, reset="before", gate_activation="hard_sigmoid"),
    Deep((LSTM(3, 4), GRU(4, 2), RNN(2, 5))),
    Bidirectional(GRU(3, 4), GRU(3, 4), merge="ave"),
    Deep((Bidirectional(LSTM(3, 2), LSTM(3, 2)), Backward(GRU(4, 3), order="reading"))),
    Bidirectional(Deep((RNN(3, 4), RNN(4, 2))), RNN(3, 2)),
    SecondOrderRNN(3, 4, readout_size=2),
    SecondOrderRNN(3, 4, cp_rank=2, first_order=False, activation="tanh"),
    SecondOrderRNN(3, 4, tt_ranks=(2, 3)),
    MultiplicativeIntegrationRNN(3, 4, activation="linear", variance=0.5),
    Deep((MultiplicativeIntegrationRNN(3, 4), SelectiveStateSpace(4, 2, 1, decay=0.5, gate_variance=0.1))),
    Deep((OneHot(3), ArithmeticCircuit(3, 4), ArithmeticCircuit(4, 2))),
    Deep((Templates(5, 3), ArithmeticCircuit(3, 4, readout_size=1))),
    Untied(RNN(3, 4, readout_size=1), length=3),
    Untied(Deep((RNN(3, 4), LSTM(4, 2))), length=2, share="ends"),
    UnitaryRNN(3, 4, activation="modrelu", complex=True, parametrisation="cayley"),
    UnitaryRNN(3, 4, parametrisation="householder", reflections=2),
    Deep((StateSpace(3, 4, 2), DiagonalStateSpace(2, 4, 2), SampledStateSpace(2, 4, 1))),
    RNN(3, 4, parametrisation="ntk", variance=0.5, readout_size=2),
    Deep((Convolution(3, 2, (1.0, 0.1, 1e-300)), Convolution(2, 1, (2.0,)))),
]


def filled(architecture, dtype=np.float32):
    """A model with random weights, made without compiling anything."""
    draw = np.random.default_rng(0).standard_normal
    shapes = jax.eval_shape(lambda: architecture.init(jax.random.key(0)))
    return Model(architecture, jax.tree.map(lambda w: draw(w.shape).astype(dtype), shapes))


def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def reopened(path):
    [found] = read_named(read_safetensors(path), Reading())
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_saved_comes_back(architecture, dtype, tmp_path):
    model = filled(architecture, dtype)
    save(model, tmp_path / "model.safetensors")
    found = reopened(tmp_path / "model.safetensors")
    assert found.model.architecture == architecture
    assert same(found.model.weights, model.weights)
    assert found.assumptions == ()
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: type(a).__name__)
def test_architectures_as_json(architecture):
    assert from_json(to_json(architecture)) == architecture


def test_the_start_of_a_state_is_kept(tmp_path):
    model = filled(Deep((LSTM(3, 4, projection=2), GRU(2, 2))))
    lstm, gru = model.weights
    lstm = lstm | {"initial_c": np.ones(4, np.float32), "initial_h": np.ones(2, np.float32)}
    model = Model(model.architecture, (lstm, gru))
    save(model, tmp_path / "a.safetensors")
    found = reopened(tmp_path / "a.safetensors")
    assert same(found.model.weights, model.weights)
    assert [member.name for member in found.members] == ["l0", "l1"]
    assert found.members[1].model.architecture == GRU(2, 2)


def test_names_are_those_of_the_framework(tmp_path):
    torch = pytest.importorskip("torch")
    for settings in ({"num_layers": 2, "bidirectional": True}, {"proj_size": 2}, {"bias": False}):
        module = torch.nn.LSTM(3, 4, **settings)
        arrays = {name: w.numpy() for name, w in module.state_dict().items()}
        safetensors.numpy.save_file(arrays, tmp_path / "theirs.safetensors")
        ours = to_torch_names(reopened(tmp_path / "theirs.safetensors").model)
        module.load_state_dict({name: torch.from_numpy(w) for name, w in ours.items()})
        assert ours.keys() == arrays.keys()
        assert all(np.array_equal(ours[name], arrays[name]) for name in arrays)


def altered(tmp_path, metadata=None, **arrays):
    model = filled(LSTM(3, 4))
    tensors = {k: w for k, w in (to_torch_names(model) | arrays).items() if w is not None}
    path = tmp_path / "altered.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, {"hitherto": metadata or to_json(model.architecture)}))
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"weight_hh_l0": np.ones((16, 3), np.float32)},
            r"weight_hh_l0 should be \(16, 4\) .*, found \(16, 3\)",
        ),
        ({"bias_hh_l0": None}, r"bias_hh_l0 should be \(16,\) .*, found nothing"),
        ({"more": np.ones(2, np.float32)}, r"more should be nothing .*, found \(2,\)"),
        ({"initial_c_l0": np.ones(2, np.float32)}, r"initial_c_l0 should be \(4,\)"),
    ],
)
def test_shapes_are_held_against_the_architecture(arrays, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        reopened(altered(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "kind is one of RNN, LSTM"),
        ('{"kind": "Module"}', "kind is one of RNN, LSTM"),
        ('{"kind": ["RNN"]}', "kind is one of RNN, LSTM"),
        ('{"kind": "RNN", "input_size": 3}', "RNN lacks a field"),
        ('{"kind": "RNN", "input_size": 3, "width": 2, "gates": 4}', "RNN has no field gates"),
        ('{"kind": "RNN", "input_size": 3, "width": true}', "RNN.width cannot be True; expected int"),
        ('{"kind": "RNN", "input_size": 3, "width": 0}', "RNN.width cannot be 0"),
        (f'{{"kind": "RNN", "input_size": 3, "width": {10**30}}}', "RNN.width cannot be 1000"),
        (
            '{"kind": "RNN", "input_size": 3, "width": 2, "clip": NaN}',
            "RNN.clip cannot be nan; expected float",
        ),
        ('{"kind": "RNN", "input_size": 3, "width": 2, "bias": 1}', "RNN.bias cannot be 1; expected bool"),
        (
            '{"kind": "RNN", "input_size": 3, "width": 2, "activation": "swish"}',
            "no activation 'swish'",
        ),
        ('{"kind": "GRU", "input_size": 3, "width": 2, "reset": "never"}', "GRU.reset cannot be 'never'"),
        ('{"kind": "Deep", "layers": []}', "at least one layer"),
        ('{"kind": "Deep", "layers": 3}', "Deep.layers cannot be 3"),
        ('{"kind": "Backward", "layer": ' * 50000, "nested too deeply|not JSON"),
    ],
)
def test_json_that_is_no_architecture(text, message):
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_a_backward_direction_must_be_a_recurrence():
    inner = to_json(Bidirectional(RNN(3, 2), RNN(3, 2)))
    with pytest.raises(ValueError, match=r"Backward.layer cannot be .*; expected Recurrence"):
        from_json(f'{{"kind": "Backward", "layer": {inner}}}')


def test_an_architecture_too_large_for_its_file(tmp_path):
    text = to_json(Deep((RNN(1, 1),) * 100))
    with pytest.raises(ValueError, match="4 arrays are too few for the architecture"):
        reopened(altered(tmp_path, metadata=text))


def test_bad_metadata_names_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"altered.safetensors: the architecture is not JSON"):
        reopened(altered(tmp_path, metadata="LSTM"))


def test_a_step_function_is_not_saved(tmp_path):
    model = adapt(lambda h, x: (h + x, h), np.zeros(2, np.float32), 2)
    with pytest.raises(ValueError, match="StepFunction cannot be written"):
        save(model, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="StepFunction is code and cannot be saved"):
        to_torch_names(Model(Deep((StepFunction(lambda h, x: (h, h), 2, 2),)), (model.weights,)))
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path):
    model = filled(RNN(2, 3))
    with pytest.raises(ValueError, match=r"cannot write .*absent/a.safetensors: there is no folder .*absent; make it"):
        save(model, tmp_path / "absent" / "a.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match=r"cannot write .*taken: it is a folder"):
        save(model, tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save(filled(RNN(2, 3)), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ValueError, match="No space left on device"):
        save(filled(RNN(3, 2)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_half_precision_is_saved_as_it_is(tmp_path):
    model = filled(RNN(2, 3)).astype(np.float16)
    save(model, tmp_path / "a.safetensors")
    found = reopened(tmp_path / "a.safetensors")
    assert found.assumptions == ("float16 weights widened to float32",)
    assert same(found.model.weights, model.astype(np.float32).weights)
