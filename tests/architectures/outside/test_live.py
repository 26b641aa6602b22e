import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.found import Reading
from hitherto.architectures.outside.live import adapt, from_object
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Bidirectional, Deep
from hitherto.core.model import states_and_outputs

X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def assert_outputs(found, expected):
    np.testing.assert_allclose(states_and_outputs(found.model, X)[1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_torch_layers_and_cells(kind):
    torch = pytest.importorskip("torch")
    relu = {"nonlinearity": "relu"} if kind == "RNN" else {}
    layer = getattr(torch.nn, kind)(3, 4, bidirectional=True, num_layers=2, **relu)
    [found] = from_object(layer)
    assert (found.name, found.assumptions) == ("", ("initial state assumed zeros",))
    assert_outputs(found, layer(torch.from_numpy(X))[0].detach().numpy())
    cell = getattr(torch.nn, f"{kind}Cell")(3, 4, **relu)
    [found] = from_object(cell)
    assert (
        found.model.architecture
        == {
            "RNN": RNN(3, 4, activation="relu"),
            "LSTM": LSTM(3, 4),
            "GRU": GRU(3, 4),
        }[kind]
    )


def test_a_module_that_contains_layers():
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    module.embed = torch.nn.Linear(3, 3)
    module.cells = torch.nn.ModuleList([torch.nn.RNNCell(3, 4, nonlinearity="relu"), torch.nn.RNNCell(4, 4)])
    module.other = torch.nn.GRU(3, 2)
    stack, other = from_object(module)
    assert (stack.name, other.name) == ("cells", "other")
    assert stack.model.architecture == Deep((RNN(3, 4, activation="relu"), RNN(4, 4)))
    assert stack.assumptions[0].startswith("cells.0, cells.1 chained by number")


def test_layers_that_compute_something_else():
    torch = pytest.importorskip("torch")
    weight_norm = torch.nn.utils.parametrizations.weight_norm
    with pytest.raises(ValueError, match="bake the parametrization"):
        from_object(weight_norm(torch.nn.LSTM(3, 2), "weight_hh_l0"))

    class Own(torch.nn.RNN):
        pass

    [found] = from_object(Own(3, 2, nonlinearity="relu"))
    assert "activation assumed tanh" in found.assumptions


def test_a_module_without_recurrent_layers():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"2 tensors, no recurrent layer: weight \(2, 3\), bias \(2,\)"):
        from_object(torch.nn.Linear(3, 2))


def test_state_dicts():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(3, 2, dtype=torch.bfloat16)
    [found] = from_object(dict(module.state_dict()))
    assert found.model.dtype == np.float32
    assert "bfloat16 weights widened to float32" in found.assumptions


def stepped(cell, state, seen=lambda state: state):
    rows = []
    step = jax.jit(cell.__call__)
    for x in X:
        state = step(x, state)
        rows.append(seen(state))
    return np.stack(rows)


def test_equinox_cells():
    gru = eqx.nn.GRUCell(3, 4, key=jax.random.key(0))
    [found] = from_object(gru)
    assert (found.model.architecture, found.assumptions) == (GRU(3, 4), ("initial state assumed zeros",))
    assert_outputs(found, stepped(gru, jnp.zeros(4)))
    lstm = eqx.nn.LSTMCell(3, 4, use_bias=False, key=jax.random.key(0))
    [found] = from_object({"a": {"cell": lstm}, "head": jnp.ones((2, 4))})
    assert (found.name, found.model.architecture) == ("a.cell", LSTM(3, 4, bias=False))
    assert_outputs(found, stepped(lstm, (jnp.zeros(4), jnp.zeros(4)), lambda state: state[0]))


@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"])
def test_flax_linen_parameters(kind):
    linen = pytest.importorskip("flax.linen")
    layer = linen.RNN(getattr(linen, kind)(4))
    variables = layer.init(jax.random.key(1), X)
    variables = jax.tree.map(lambda w: w + 0.1, variables)
    [found] = from_object(variables)
    assert found.name == "params.cell"
    assert_outputs(found, layer.apply(variables, X))


@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"])
def test_flax_nnx_modules(kind):
    nnx = pytest.importorskip("flax.nnx")
    layer = nnx.RNN(getattr(nnx, kind)(3, 4, rngs=nnx.Rngs(0)))
    nnx.update(layer, jax.tree.map(lambda w: w + 0.1, nnx.state(layer, nnx.Param)))
    [found] = from_object(layer)
    assert found.name == "cell"
    assert_outputs(found, layer(X))


def test_dicts_of_arrays():
    haiku = {"lstm/linear": {"w": np.ones((5, 8)), "b": np.zeros(8)}}
    [found] = from_object(haiku)
    assert (found.name, found.model.architecture) == ("lstm", LSTM(3, 2))
    np.testing.assert_array_equal(found.model.weights["bias_ih"], [0, 0, 1, 1, 0, 0, 0, 0])
    plain = {f"rnn.weight_{role}_l0{where}": np.ones((2, 2)) for role in ("ih", "hh") for where in ("", "_reverse")}
    [found] = from_object(plain, Reading(activation="relu"))
    assert isinstance(found.model.architecture, Bidirectional)


@pytest.mark.parametrize("obj", [len, 3, {}, {"a": "text"}])
def test_objects_without_arrays(obj):
    with pytest.raises(ValueError, match=f"a {type(obj).__name__} object holds no arrays.*hitherto.adapt"):
        from_object(obj)


def test_frameworks_are_never_imported():
    code = (
        "import sys, numpy as np; from hitherto.architectures.outside.live import from_object; "
        "from_object({'weight_ih': np.ones((8, 3)), 'weight_hh': np.ones((8, 2))}); "
        "assert not {'torch', 'flax', 'onnx', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_any_step_function_is_a_model():
    weight = np.random.default_rng(0).standard_normal((2, 3))

    def step(state, x):
        after = {"a": 0.5 * state["a"] + weight @ x}
        return after, jnp.concatenate([after["a"], x])

    model = adapt(step, {"a": np.ones(2)}, 3)
    assert (model.architecture.input_size, model.architecture.output_size, model.dtype) == (3, 5, np.float64)
    states, y = states_and_outputs(model, X.astype(np.float64))
    np.testing.assert_allclose(states["a"][0], 0.5 + weight @ X[0], rtol=1e-12)
    assert y.shape == (6, 5)


@pytest.mark.parametrize(
    ("step", "start", "message"),
    [
        (lambda h, x: h + x, np.zeros(2), "step returns a .*, expected the pair"),
        (lambda h, x: (h, x, x), np.zeros(2), "step returns a tuple.*, expected the pair"),
        (lambda h, x: (h[:1], x), np.zeros(2), r"from float64\[2\] to float64\[1\]"),
        (lambda h, x: ((h, h), x), np.zeros(2), "changes the form of the state"),
        (lambda h, x: (h.astype(np.float32), x), np.zeros(2), r"from float64\[2\] to float32\[2\]"),
        (lambda h, x: (h, x.sum()), np.zeros(2), r"returns y as float64\[\], expected one axis"),
        (lambda h, x: (h, x), np.zeros(2, int), "no floating point array"),
        (lambda h, x: (h, x), {}, "no floating point array"),
    ],
)
def test_step_functions_that_are_no_model(step, start, message):
    with pytest.raises(ValueError, match=message):
        adapt(step, start, 2)
