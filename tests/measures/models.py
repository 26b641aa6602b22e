"""Models and driven runs with known truths, shared by the tests of the measures."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, build, precision, states_and_outputs
from hitherto.measures.trajectory import Trajectory, flat

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


def run_of(model, inputs, starts=None):
    """The run over (sequence, time, input) from given starts with no burn-in, made apart from `drive`."""
    inputs = np.asarray(inputs, float)
    with precision(np.float64):
        own = jax.tree.map(np.asarray, model.architecture.start(jax.tree.map(jnp.asarray, model.weights)))
        starts = [own] * len(inputs) if starts is None else starts
        runs = [states_and_outputs(model, x, s) for x, s in zip(inputs, starts, strict=True)]
    stacked = [
        jax.tree.map(lambda s, after: np.concatenate([np.asarray(s)[None], np.asarray(after)]), start, run[0])
        for start, run in zip(starts, runs, strict=True)
    ]
    return Trajectory(
        model,
        inputs,
        jax.tree.map(lambda *parts: np.stack(parts), *stacked),
        np.stack([np.asarray(run[1], float) for run in runs]),
        np.ones(len(inputs), bool),
        white=False,
        amplitude=float(np.abs(inputs).max()),
        law="given",
    )


def step_matrices(trajectory, sequence=0):
    """D[t] = ds[t]/ds[t-1] of one sequence, (time, state, state), by differentiating single steps."""
    model = trajectory.model
    before = jax.tree.map(lambda part: part[sequence], trajectory.before)
    with precision(np.float64):
        weights = jax.tree.map(jnp.asarray, model.weights)
        example = jax.tree.map(lambda part: jnp.asarray(part[0]), before)
        _, rebuild = jax.flatten_util.ravel_pytree(example)

        def step(state, x):
            after, _ = model.architecture.step(weights, rebuild(state), x)
            return jax.flatten_util.ravel_pytree(after)[0]

        states = jnp.asarray(flat(before, 1))
        return np.asarray(jax.jit(jax.vmap(jax.jacfwd(step)))(states, jnp.asarray(trajectory.driving[sequence])))


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
    """Share of the intervals that hold the truth, for each entry; where none is given (NaN) there is no vote."""
    hits = [np.where(np.isnan(e.low), np.nan, (e.low <= truth) & (truth <= e.high)) for e in estimates]
    return np.nanmean(hits, axis=0)


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
