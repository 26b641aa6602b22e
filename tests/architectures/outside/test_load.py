"""Loading by path or object, and choosing among several layers."""

import numpy as np
import pytest

import hitherto
from hitherto.architectures.outside import Found, Reading, choose, described, find, with_initial_state


@pytest.fixture
def stack(tmp_path):
    """A two-layer LSTM in PyTorch's names, without this library's metadata."""
    from hitherto.architectures.outside.torch_names import to_torch_names

    path = tmp_path / "stack.npz"
    model = hitherto.build(hitherto.Deep((hitherto.LSTM(3, 4), hitherto.LSTM(4, 4))), 0)
    np.savez(path, **{f"rnn.{name}": array for name, array in to_torch_names(model).items()})
    return path


def test_a_stack_is_one_model_and_its_layers_can_be_picked(stack):
    whole = hitherto.load(stack)
    assert isinstance(whole.architecture, hitherto.Deep)
    (found,) = find(stack, Reading())
    assert described(found) == "rnn (2 layers, LSTM 3->4)"
    first, second = (hitherto.load(stack, member.name) for member in found.members)
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    _, below = hitherto.states_and_outputs(first, x)
    _, above = hitherto.states_and_outputs(second, np.asarray(below))
    np.testing.assert_allclose(above, hitherto.states_and_outputs(whole, x)[1], atol=1e-6)


def test_an_unknown_layer_is_refused_with_the_known_ones(stack):
    with pytest.raises(ValueError, match="no recurrent layer 'top'; it has rnn"):
        hitherto.load(stack, "top")


def test_an_alias_names_the_same_model():
    model = hitherto.build(hitherto.RNN(2, 2), 0)
    found = [Found("a", model, aliases=("b",)), Found("c", model)]
    assert choose(found, "b", "file") is found[0]
    with pytest.raises(ValueError, match=r"2 recurrent layers that do not chain: a .RNN 2->2., c .RNN 2->2."):
        choose(found, None, "file")


def test_suffix_and_content_must_agree(stack, tmp_path):
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(stack.read_bytes())
    with pytest.raises(ValueError, match="onnx"):
        hitherto.load(wrong)


def test_an_initial_state_changes_the_first_steps():
    model = hitherto.build(hitherto.GRU(2, 3), 0)
    started = with_initial_state(model, {"initial_h": np.ones(3)})
    x = np.zeros((4, 2), np.float32)
    given = hitherto.states_and_outputs(model, x, type(model.architecture.start(model.weights))(np.ones(3, np.float32)))
    np.testing.assert_allclose(hitherto.states_and_outputs(started, x)[1], given[1], atol=1e-6)
    with pytest.raises(ValueError, match="the initial state must be"):
        with_initial_state(model, {"initial_h": np.ones(4)})
    with pytest.raises(ValueError, match="the initial state must be"):
        with_initial_state(model, {"initial_c": np.ones(3)})
