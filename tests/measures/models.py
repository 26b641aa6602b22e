"""Models and driven runs with known truths, shared by the tests of the measures."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Hidden, Model, build, precision
from hitherto.measures.trajectory import Trajectory

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "measures_oracles.json").read_text())
CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def numbers(values):
    """A list of an oracle, where infinities are strings, as an array."""
    return np.array([float(v) for v in values])


def linear(w, b, c=None):
    """h[t] = W h[t-1] + B x[t], y = C h."""
    w, b = np.asarray(w, float), np.asarray(b, float)
    weights = {"weight_hh": w, "weight_ih": b}
    if c is not None:
        weights["readout"] = np.asarray(c, float)
    architecture = RNN(
        b.shape[1], len(w), None if c is None else len(weights["readout"]), activation="linear", bias=False
    )
    return Model(architecture, weights)


def linear_case(name):
    case = TRUTH["linear"][name]
    return linear(case["W"], case["B"], case["C"]), case


def scalar(w, activation="tanh"):
    """h[t] = activation(w h[t-1] + x[t])."""
    return Model(
        RNN(1, 1, activation=activation, bias=False),
        {"weight_hh": np.array([[float(w)]]), "weight_ih": np.ones((1, 1))},
    )


def small_net(name):
    """A model of three units from the oracles, and its run over ten steps from the zero state."""
    case = TRUTH["small_nets"][name]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {key: np.array(case[key], float) for key in names}
    return Model(CELLS[name](2, 3), weights), np.array(case["inputs"]), case


def one_lstm(**entries):
    """One LSTM unit, all weights zero except those given, by (name, row)."""
    return one_unit(LSTM(1, 1), 4, entries)


def one_unit(architecture, gates, entries):
    shapes = {"weight_ih": (gates, 1), "weight_hh": (gates, 1), "bias_ih": (gates,), "bias_hh": (gates,)}
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name, rows in entries.items():
        for row, value in rows.items():
            weights[name][row] = value
    return Model(architecture, weights)


def random_model(architecture, seed=0, scale=1.0):
    """Fresh float64 weights, every one of them (biases and peepholes too) normal with deviation `scale`."""
    rng = np.random.default_rng(seed)
    weights = build(architecture, seed, jnp.float32).weights
    fill = lambda leaf: scale * rng.standard_normal(np.shape(leaf))  # noqa: E731
    return Model(architecture, jax.tree.map(fill, weights))


@partial(jax.jit, static_argnums=0)
def forward(architecture, weights, start, inputs):
    """States and outputs of a batch of sequences, all from one start."""
    return jax.vmap(lambda x: architecture.run(weights, start, x))(inputs)


def run_of(model, inputs):
    """The run over (sequence, time, input) from the model's own start with no burn-in, made apart from `drive`."""
    inputs = np.asarray(inputs, float)
    with precision(np.float64):
        weights = jax.tree.map(jnp.asarray, model.weights)
        start = model.architecture.start(weights)
        after, outputs = forward(model.architecture, weights, start, jnp.asarray(inputs))
    with_start = lambda s, a: np.concatenate([np.broadcast_to(s, a[:, :1].shape), a], 1)  # noqa: E731
    return assembled(model, inputs, jax.tree.map(with_start, start, after), outputs)


def at_rest(model, sequences=8, steps=200):
    """A linear model without input at state 0: enough where only its constant Jacobian matters."""
    zeros = lambda width, extra=0: np.zeros((sequences, steps + extra, width))  # noqa: E731
    states = Hidden(zeros(model.architecture.width, 1))
    return assembled(model, zeros(model.architecture.input_size), states, zeros(model.architecture.output_size))


def assembled(model, inputs, states, outputs):
    forgotten = np.ones(len(inputs), bool)
    outputs = np.asarray(outputs, float)
    return Trajectory(model, inputs, states, outputs, forgotten, white=False, amplitude=1.0, law="given")


@partial(jax.jit, static_argnums=0)
def jacobians(architecture, weights, state, x):
    """ds[t]/ds[t-1] for a batch of states and inputs, in the order of `flat`."""

    def one(state, x):
        vector, rebuild = jax.flatten_util.ravel_pytree(state)
        step = lambda v: jax.flatten_util.ravel_pytree(architecture.step(weights, rebuild(v), x)[0])[0]  # noqa: E731
        return jax.jacfwd(step)(vector)

    return jax.vmap(one)(state, x)


def step_matrices(run):
    """D[t] = ds[t]/ds[t-1] along a run, (sequence, time, state, state), by differentiating single steps."""
    with precision(np.float64):
        merged = jax.tree.map(lambda a: jnp.asarray(a.reshape(-1, *a.shape[2:])), (run.before, run.driving))
        weights = jax.tree.map(jnp.asarray, run.model.weights)
        found = np.asarray(jacobians(run.model.architecture, weights, *merged))
    return found.reshape(run.sequences, run.steps, *found.shape[1:])


def mean_log_determinant(run, steps):
    """Mean ln|det D| over the last steps of every sequence."""
    return np.linalg.slogdet(step_matrices(run)[:, -steps:])[1].mean()


def named(estimates):
    """Estimates by quantity name, and by (name, part) where they have a part."""
    return {(e.quantity.name, e.part) if e.part else e.quantity.name: e for e in estimates}


def some_sequences(trajectory, chosen):
    """The run of the chosen sequences (a slice or a list of indices) alone."""
    pick = lambda part: part[chosen]  # noqa: E731
    return replace(
        trajectory,
        inputs=trajectory.inputs[chosen],
        states=jax.tree.map(pick, trajectory.states),
        outputs=trajectory.outputs[chosen],
        forgotten=trajectory.forgotten[chosen],
    )


def groups(trajectory, size):
    """Independent repetitions of an experiment: the sequences of one run, `size` at a time."""
    return [
        some_sequences(trajectory, slice(first, first + size))
        for first in range(0, trajectory.sequences - size + 1, size)
    ]


def covered(estimates, truth):
    """Share of the intervals that hold the truth, for each entry; those not given (NaN) have no vote."""
    low, high = (np.array([getattr(e, end) for e in estimates]) for end in ("low", "high"))
    votes = np.isfinite(low).sum(0)
    return np.where(votes, ((low <= truth) & (truth <= high)).sum(0) / np.maximum(votes, 1), np.nan)


def calibration(estimates):
    """Mean standard error over the deviation that repetitions really show; 1 when the errors are honest."""
    deviation = np.std([e.value for e in estimates], axis=0, ddof=1)
    return np.mean([e.standard_error for e in estimates], axis=0) / deviation


def within_errors(estimate, truth, errors=4.0):
    """Whether every value is within so many standard errors of the truth."""
    slack = errors * np.asarray(estimate.standard_error) + 1e-12
    return bool((np.abs(np.asarray(estimate.value) - truth) <= slack).all())


def no_interval(estimate):
    return estimate.low is None and estimate.high is None
