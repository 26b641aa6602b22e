"""Which models are linear, and the matrices of their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_stacks import collapsed, random_stack, stack
from models import random_model

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, FeatureFunction, OneHot, Powers
from hitherto.architectures.convolution import Convolution
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.outside.live import adapt
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, StepFunction, Untied
from hitherto.core.model import Hidden, HiddenAndCell, Model, precision, states_and_outputs
from hitherto.measures.linear_system import is_linear, linear_system, linearised

PLAIN = RNN(2, 3, activation="linear")
LINEAR = (
    PLAIN,
    RNN(2, 3, 2, activation="affine(0.5,1)", output_activation="affine(2,1)", bias=False),
    RNN(2, 3, activation="linear", parametrisation="ntk"),
    StateSpace(2, 3, readout_size=2, direct=True),
    DiagonalStateSpace(2, 3, readout_size=1),
    DiagonalStateSpace(2, 3, initialisation="uniform", r_max=0.9),
    SampledStateSpace(2, 3),
    UnitaryRNN(2, 3, activation="linear"),
    Convolution(2, 3, (1.0, 0.5)),
    Deep((PLAIN, StateSpace(3, 3, 3, direct=True)), skip="residual"),
    Deep((PLAIN, RNN(5, 2, 1, activation="linear")), skip="input"),
    Deep((Deep((PLAIN, RNN(3, 2, activation="linear"))), DiagonalStateSpace(2, 1))),
)
NONLINEAR = (
    RNN(2, 3),
    RNN(2, 3, activation="linear", output_activation="tanh"),
    RNN(2, 3, activation="tanh", output_activation="linear"),
    RNN(2, 3, activation="relu"),
    RNN(2, 3, activation="linear", clip=1.0),
    RNN(2, 3, activation="square"),
    LSTM(2, 3),
    GRU(2, 3),
    SecondOrderRNN(2, 3),
    SecondOrderRNN(2, 3, cp_rank=2),
    MultiplicativeIntegrationRNN(2, 3, activation="linear"),
    SelectiveStateSpace(2, 3),
    ArithmeticCircuit(2, 3),
    UnitaryRNN(2, 3),
    OneHot(3),
    Powers(2),
    Deep((PLAIN, RNN(3, 2, output_activation="tanh"))),
)


@pytest.mark.parametrize("architecture", LINEAR, ids=str)
def test_linear_steps_are_told(architecture):
    assert is_linear(architecture)


@pytest.mark.parametrize("architecture", NONLINEAR, ids=str)
def test_nonlinear_steps_are_told(architecture):
    assert not is_linear(architecture)


def test_weights_do_not_make_a_product_linear():
    layer = SecondOrderRNN(1, 2, first_order=False, bias=False)
    assert not is_linear(Model(layer, {"tensor": np.zeros((2, 2, 1))}))


def test_steps_of_ones_own_are_told():
    move = lambda s, x: (jnp.concatenate([x, s[:-1]]), s[-1:] + 2 * x)  # noqa: E731
    assert is_linear(adapt(move, np.zeros(3), 1))
    assert not is_linear(adapt(lambda s, x: (s * x, s), np.zeros(1), 1))


@pytest.mark.parametrize(
    "architecture",
    [Bidirectional(PLAIN, PLAIN), Backward(PLAIN), Untied(PLAIN, 2), Deep((PLAIN, Backward(RNN(3, 2))))],
    ids=str,
)
def test_what_has_no_step_forward_is_refused(architecture):
    with pytest.raises(ValueError, match="is no causal recurrence"):
        is_linear(architecture)


def test_complex_states_are_refused():
    model = Model(StepFunction(lambda s, x: (1j * s, x), 1, 1), {"start": np.zeros(2, complex)})
    for asked in (is_linear, linear_system):
        with pytest.raises(ValueError, match="pairs of real numbers"):
            asked(model)


@pytest.mark.parametrize("architecture", LINEAR, ids=str)
def test_the_matrices_run_like_the_model(architecture):
    model = random_model(architecture, 1, 0.4)
    system, inputs = linear_system(model), np.random.default_rng(0).standard_normal((6, 2))
    state, outputs = np.zeros(len(system.A)), []
    for x in inputs:
        state = system.A @ state + system.B @ x + system.state_offset
        outputs.append(system.C @ state + system.D @ x + system.output_offset)
    wanted = states_and_outputs(model, inputs)[1]
    np.testing.assert_allclose(outputs, wanted, rtol=1e-9, atol=1e-11)


def test_a_stack_collapses_to_blocks():
    model = random_stack(0, 3, 4, inputs=2)
    system, (a, b, noise, blocks) = linear_system(model), collapsed(model)
    np.testing.assert_allclose(system.A, a, atol=1e-14)
    np.testing.assert_allclose(system.B, b, atol=1e-14)
    np.testing.assert_allclose(system.spread, noise, atol=1e-14)
    assert system.layers == tuple(blocks)
    assert not system.D.any()
    assert not system.C[:, :8].any()
    np.testing.assert_array_equal(system.C[:, 8:], model.weights[-1]["readout"])
    assert system.radius == pytest.approx(0.9)


def test_one_layer_in_a_stack_is_that_layer():
    model = random_stack(1, 1, 3)
    plain = Model(model.architecture.layers[0], model.weights[0])
    for name in "ABCD":
        np.testing.assert_array_equal(getattr(linear_system(model), name), getattr(linear_system(plain), name))
    np.testing.assert_array_equal(linear_system(plain).spread, np.eye(3))


def test_layers_of_nested_stacks_are_listed_one_by_one():
    assert linear_system(random_model(LINEAR[-1])).layers == (slice(0, 3), slice(3, 5), slice(5, 7))


@pytest.mark.parametrize("architecture", [RNN(2, 3, 1), Deep((LSTM(2, 2), RNN(2, 2)))], ids=str)
def test_linearised_is_the_derivative(architecture):
    model, rng = random_model(architecture, 3, 0.5), np.random.default_rng(1)
    with precision(np.float64):
        state = jax.tree.map(lambda s: rng.standard_normal(s.shape), architecture.start(model.weights))
        x = rng.standard_normal(2)
        flat, rebuild = jax.flatten_util.ravel_pytree(state)
        step = jax.jit(lambda s, u: architecture.step(model.weights, rebuild(s), u))
        system = linearised(model, state, x)
        moved, y = (np.asarray(jax.flatten_util.ravel_pytree(part)[0]) for part in step(flat, x))
        np.testing.assert_allclose(system.A @ flat + system.B @ x + system.state_offset, moved, atol=1e-13)
        np.testing.assert_allclose(system.C @ moved + system.D @ x + system.output_offset, y, atol=1e-13)
        for k, row in enumerate(1e-5 * np.eye(len(flat))):
            ahead, back = step(flat + row, x), step(flat - row, x)
            slopes = [
                np.asarray(jax.flatten_util.ravel_pytree(f)[0] - jax.flatten_util.ravel_pytree(b)[0]) / 2e-5
                for f, b in zip(ahead, back, strict=True)
            ]
            np.testing.assert_allclose(system.A[:, k], slopes[0], atol=1e-8)
            np.testing.assert_allclose((system.C @ system.A)[:, k], slopes[1], atol=1e-8)


def test_noise_within_a_layer_stays_where_it_is():
    model = random_model(Deep((LSTM(1, 2), RNN(2, 1))), 0)
    state = (HiddenAndCell(np.ones(2), np.ones(2)), Hidden(np.ones(1)))
    spread = linearised(model, state, np.ones(1)).spread
    np.testing.assert_array_equal(spread[:4, :4], np.eye(4))
    assert spread[4, :2].all()
    assert not spread[4, 2:4].any()  # the cell of an LSTM is not shown to the layer above


def test_a_nonlinear_model_is_refused_by_its_operation():
    with pytest.raises(ValueError, match=r"its step uses `tanh`.*`linearised`"):
        linear_system(random_model(RNN(1, 2)))
    with pytest.raises(ValueError, match="multiplies state and inputs, up to degree 2"):
        linear_system(random_model(SecondOrderRNN(1, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match=r"weights\[1\]\['weight_hh'\] hold (nan|inf) at \(0, 0\)"):
        linear_system(stack([np.eye(1), [[value]]], [np.eye(1), np.eye(1)]))


def test_weights_of_another_shape_are_refused_by_layer():
    model = random_stack(0, 2, 3)
    wrong = model.weights[1] | {"weight_ih": np.zeros((3, 2))}
    with pytest.raises(ValueError, match=r"weights\[1\]\['weight_ih'\] have shape \(3, 2\), the layer takes \(3, 3\)"):
        linear_system(Model(model.architecture, (model.weights[0], wrong)))


def test_states_of_another_form_are_refused():
    with pytest.raises(ValueError, match="the state has the form"):
        linearised(random_model(PLAIN), Hidden(np.zeros(4)), np.zeros(2))
    with pytest.raises(ValueError, match="state and x"):
        linearised(random_model(PLAIN), Hidden(np.full(3, np.nan)), np.zeros(2))


def test_an_output_that_reads_the_old_state_is_refused():
    with pytest.raises(ValueError, match="reads the state from before the step"):
        linear_system(adapt(lambda s, x: (0.5 * s + x, s), np.zeros(1), 1))


def test_where_the_step_has_no_slope_there_are_no_matrices():
    root = Model(FeatureFunction(jnp.sqrt, 1, 1), {})
    with pytest.raises(ValueError, match="slopes"):
        linearised(root, (), np.zeros(1))
