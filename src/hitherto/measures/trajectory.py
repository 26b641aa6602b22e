"""The driven run that all measures share: inputs, states and outputs of many sequences after a burn-in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, Real

from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import Architecture, Model, Recurrence, precision

SEQUENCES, STEPS, BLOCKS = 32, 1000, 20
FEWEST_BURN_IN_STEPS, FORGOTTEN = 100, 1e-6
LARGEST_STORE = 2**30


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A causal model driven along many input sequences.

    Attributes:
        model: what was driven, with weights in the precision of the run.
        inputs: (sequence, lead + time, input); the last `time` steps made `states[:, 1:]`, the `lead` steps before
            them are the burn-in, kept because measures ask for inputs before the first state.
        states: tree of (sequence, time + 1, ...); entry 0 is the state before the first measured step.
        outputs: (sequence, time, output).
        forgotten: per sequence, whether a run from a far random state met this one within the burn-in limit.
        white: whether inputs are independent over time and channels, uniform on [-amplitude, amplitude] each.
        law: the input law in words.
        computed_in: the precision of the forward run; what is kept is float64 in any case.
        blocks: whether the sequences are neighbouring blocks of one recording, so not quite independent.
        findings: what the reader of the results must know, one sentence each.
    """

    model: Model
    inputs: Float[np.ndarray, "sequence lead_and_time input"]
    states: PyTree
    outputs: Float[np.ndarray, "sequence time output"]
    forgotten: np.ndarray
    white: bool
    amplitude: float
    law: str
    computed_in: str = "float64"
    blocks: bool = False
    findings: tuple[str, ...] = ()

    @property
    def sequences(self) -> int:
        return self.outputs.shape[0]

    @property
    def steps(self) -> int:
        return self.outputs.shape[1]

    @property
    def lead(self) -> int:
        """Input steps kept from before the first measured step."""
        return self.inputs.shape[1] - self.steps

    @property
    def driving(self) -> Float[np.ndarray, "sequence time input"]:
        """The inputs of the measured steps alone."""
        return self.inputs[:, self.lead :]

    @property
    def before(self) -> PyTree:
        """States before each measured step, tree of (sequence, time, ...)."""
        return jax.tree.map(lambda s: s[:, :-1], self.states)

    @property
    def after(self) -> PyTree:
        """States after each measured step, tree of (sequence, time, ...)."""
        return jax.tree.map(lambda s: s[:, 1:], self.states)

    def first(self, sequences: int) -> "Trajectory":
        """The run of the first sequences alone."""
        cut = jax.tree.map(lambda s: s[:sequences], (self.inputs, self.states, self.outputs, self.forgotten))
        inputs, states, outputs, forgotten = cut
        return replace(self, inputs=inputs, states=states, outputs=outputs, forgotten=forgotten)

    def with_part(self, model: Model, states: PyTree, outputs: np.ndarray, inputs: np.ndarray) -> "Trajectory":
        """The run of one layer inside this one, with the inputs that reached it."""
        white = self.white and inputs is self.inputs
        return replace(self, model=model, inputs=inputs, states=states, outputs=outputs, white=white, findings=())


def flat(states: PyTree, axes: int = 2) -> Float[np.ndarray, "*axes state"]:
    """A tree of states as one array, its leading `axes` kept; the order is h, then c, layer by layer."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(states)]
    return np.concatenate([leaf.reshape(*leaf.shape[:axes], -1) for leaf in leaves], -1)


def white_noise(
    channels: int, sequences: int, steps: int, seed: int, amplitude: float = 3**0.5
) -> Float[np.ndarray, "sequence time input"]:
    """Independent inputs, uniform on [-amplitude, amplitude]; the default amplitude has variance 1."""
    return np.random.default_rng(seed).uniform(-amplitude, amplitude, (sequences, steps, channels))


def drive(
    model: Model,
    inputs: Real[np.ndarray, "..."] | None = None,
    *,
    sequences: int = SEQUENCES,
    steps: int = STEPS,
    seed: int = 0,
    amplitude: float = 3**0.5,
    dtype: Any = np.float64,
) -> Trajectory:
    """Run a causal model along input sequences and keep everything after the burn-in.

    The burn-in ends when the run from the model's own start and one from a far random state (each unit at its mean
    plus two deviations times a normal number) differ by less than 1e-6 of the state's spread; at least 100 steps,
    at most half of the sequence. Not met by then, the run goes on and `forgotten` says so.

    Args:
        inputs: (time, input) or (sequence, time, input); None for white noise, uniform with variance 1. A single
            sequence is run once and then cut into 20 blocks.
        sequences, steps, seed, amplitude: of the white noise; `steps` are counted after the burn-in.
        dtype: precision of the forward run; float32 judges the model as it is deployed.
    Raises:
        ValueError: for a model that is not causal, inputs of a wrong shape or with NaN, or states that overflow.

    Cost: one and a half forward passes; memory sequences x steps x state.
    """
    if not model.architecture.causal:
        raise ValueError(
            f"{type(model.architecture).__name__} reads the future too and has no single state that goes forward; "
            "measure its directions apart, as hitherto.profile does"
        )
    white = inputs is None
    half = max(FEWEST_BURN_IN_STEPS, steps // 2)
    data = white_noise(model.architecture.input_size, sequences, half + steps, seed, amplitude) if white else inputs
    model, data = model.astype(dtype), _checked(model, data)
    with precision(dtype):
        data, findings = _fitting(data, model)
        limit = half if white else data.shape[1] // 2
        begin = starts(model, len(data))
        states, outputs = run_from(model.architecture, model.weights, begin, data.astype(dtype))
        _refuse_overflow(states, outputs)
        met, burn_in = _meeting(model, data[:, :limit].astype(dtype), states, seed)
    # White noise always gives `steps` measured steps; what the burn-in did not need is lead.
    burn_in = limit if white else max(burn_in, 1)
    states = jax.tree.map(lambda s: np.asarray(s, np.float64)[:, burn_in - 1 :], states)
    outputs = np.asarray(outputs, np.float64)[:, burn_in:]
    if not met.all():
        findings += (f"the state does not forget its start within {limit} steps",)
    law = f"white noise, uniform on [-{amplitude:.3g}, {amplitude:.3g}]" if white else "the user's inputs"
    whole = Trajectory(
        model.astype(np.float64),
        data.astype(np.float64),
        states,
        outputs,
        met,
        white,
        amplitude,
        law,
        np.dtype(dtype).name,
        findings=findings,
    )
    return _in_blocks(whole) if len(data) == 1 and not white else whole


def layers_of(trajectory: Trajectory) -> tuple[tuple[str, Trajectory], ...]:
    """The run of each layer of a stack under its name, with the inputs that reached it; one entry otherwise."""
    architecture = trajectory.model.architecture
    if not isinstance(architecture, Deep):
        return (("", trajectory),)
    runs, inputs = [], trajectory.inputs
    for number, (layer, weights) in enumerate(zip(architecture.layers, trajectory.model.weights, strict=True)):
        states = trajectory.states[number]
        model = Model(layer, weights)
        driving = inputs[:, -trajectory.steps :]
        with precision(trajectory.outputs.dtype):
            before = jax.tree.map(lambda s: s[:, :-1], states)
            outputs = np.asarray(_stepped_outputs(layer, weights, before, driving))
        runs.append((f"layer {number}", trajectory.with_part(model, states, outputs, inputs)))
        inputs = _passed_up(architecture, layer, driving, outputs, trajectory.driving)
    return tuple(runs)


def entered(
    model: Model, inputs: Float[np.ndarray, "sequence time input"]
) -> Iterator[tuple[str, Model, Float[np.ndarray, "sequence time channel"]]]:
    """Each layer of a stack under its name, with what enters it from the model's own start; one entry otherwise."""
    stack = model.architecture
    if not isinstance(stack, Deep):
        yield "", model, inputs
        return
    x = inputs
    for number, (layer, weights) in enumerate(zip(stack.layers, model.weights, strict=True)):
        if number:
            x = _passed_up(stack, below.architecture, x, _outputs(below, x), inputs)
        below = Model(layer, weights)
        yield f"layer {number}", below, x


def _passed_up(
    stack: Deep, layer: Architecture, entering: np.ndarray, outputs: np.ndarray, inputs: np.ndarray
) -> np.ndarray:
    """What the layer above reads: the outputs, with what skips past the layer."""
    residual = stack.skip == "residual" and layer.input_size == layer.output_size
    signal = entering + outputs if residual else outputs
    return np.concatenate([signal, inputs], -1) if stack.skip == "input" else signal


def _outputs(model: Model, inputs: np.ndarray) -> np.ndarray:
    """Of every sequence, from the model's own start."""
    with precision(inputs.dtype):
        return np.asarray(run_from(model.architecture, model.weights, starts(model, len(inputs)), inputs)[1])


class Part(NamedTuple):
    """A part of a model that goes forward, with what it reads in the order it reads it."""

    name: str
    model: Model
    inputs: Float[np.ndarray, "sequence time input"]
    first: bool  # it reads the model's own inputs


def causal_parts(model: Model, inputs: Float[np.ndarray, "sequence time input"]) -> tuple[Part, ...]:
    """A model as parts that go forward.

    A causal model is one part. Of a model with backward layers every layer and direction is one, reading what the
    layers below give it; a backward layer's inputs are reversed in time, so that lags count the steps it has read
    since.
    """
    if model.architecture.causal:
        return (Part("", model, inputs, True),)
    stack, weights = model.architecture, model.weights
    if not isinstance(stack, Deep):
        stack, weights = Deep((stack,)), (weights,)
    parts = []
    for number, (name, layer, x) in enumerate(entered(Model(stack, weights), inputs)):
        prefix = f"{name} " if len(stack.layers) > 1 else ""
        for direction, part, read in _directions(layer.architecture, layer.weights, x):
            parts.append(Part((prefix + direction).strip(), part, read, number == 0))
    return tuple(parts)


def _directions(layer: Architecture, weights: PyTree, inputs: np.ndarray) -> list[tuple[str, Model, np.ndarray]]:
    if isinstance(layer, Bidirectional):
        forward, backward = Model(layer.forward, weights[0]), Model(layer.backward, weights[1])
        return [("forward", forward, inputs), ("backward", backward, inputs[:, ::-1])]
    if isinstance(layer, Backward):
        return [("backward", Model(layer.layer, weights), inputs[:, ::-1])]
    return [("", Model(layer, weights), inputs)]


@partial(jax.jit, static_argnums=0)
def run_from(architecture: Architecture, weights: PyTree, starts: PyTree, inputs: Array) -> tuple[PyTree, Array]:
    """States and outputs of many sequences from given states, all with a leading sequence axis."""
    return jax.vmap(lambda start, x: architecture.run(weights, start, x))(starts, inputs)


@partial(jax.jit, static_argnums=0)
def _stepped_outputs(layer: Recurrence, weights: PyTree, before: PyTree, inputs: Array) -> Array:
    # Outputs of a layer from states already known: every step on its own, no scan.
    prepared = layer.prepare(weights)
    return jax.vmap(jax.vmap(lambda s, x: layer.step(prepared, s, x)[1]))(before, inputs)


def starts(model: Model, sequences: int) -> PyTree:
    """The model's own start, once for each sequence."""
    start = model.architecture.start(model.weights)
    return jax.tree.map(lambda s: np.broadcast_to(np.asarray(s), (sequences, *np.shape(s))), start)


def _checked(model: Model, inputs: Any) -> np.ndarray:
    data, channels = np.asarray(inputs), model.architecture.input_size
    if data.ndim == 2:
        data = data[None]
    if data.ndim != 3 or data.shape[-1] != channels:
        raise ValueError(
            f"inputs must be (time, {channels}) or (sequence, time, {channels}) for this model, "
            f"got shape {np.shape(inputs)}"
        )
    if len(data) < 1:
        raise ValueError(f"inputs must hold at least 1 sequence, got shape {np.shape(inputs)}")
    if data.shape[1] < 2:
        raise ValueError(f"inputs must have at least 2 steps, got {data.shape[1]} (shape {np.shape(inputs)})")
    if not np.issubdtype(data.dtype, np.number) or np.issubdtype(data.dtype, np.complexfloating):
        raise ValueError(f"inputs must be real numbers, got dtype {data.dtype}")
    bad = np.argwhere(~np.isfinite(data))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"inputs hold {len(bad)} NaN or infinite values, the first at (sequence, step, channel) = {where}; "
            "remove or fill them first"
        )
    return data


def _fitting(data: np.ndarray, model: Model) -> tuple[np.ndarray, tuple[str, ...]]:
    # States and outputs are kept, so the store is bounded; what is left out is said.
    state = sum(np.size(s) for s in jax.tree.leaves(model.architecture.start(model.weights)))
    per_step = 8 * (state + model.architecture.output_size + model.architecture.input_size)
    steps = max(2, LARGEST_STORE // (per_step * len(data)))
    if data.shape[1] <= steps:
        return data, ()
    said = f"only the first {steps} of {data.shape[1]} steps of each sequence were used, to bound memory"
    return data[:, :steps], (said,)


def _refuse_overflow(states: PyTree, outputs: Array) -> None:
    for leaf in [*jax.tree.leaves(states), outputs]:
        finite = np.isfinite(np.asarray(leaf)).reshape(*leaf.shape[:2], -1).all(-1)
        if not finite.all():
            sequence, step = np.argwhere(~finite)[0]
            raise ValueError(
                f"the state overflows at step {step} of sequence {sequence}: the model diverges on these inputs. "
                "Scale the inputs down, or check the weights and the activation"
            )


def _meeting(model: Model, data: np.ndarray, states: PyTree, seed: int) -> tuple[np.ndarray, int]:
    """Per sequence whether a run from a far state met the run kept, and the step at which all had."""
    mean = jax.tree.map(lambda s: np.asarray(s).mean((0, 1)), states)
    spread = jax.tree.map(lambda s: np.asarray(s).std((0, 1)), states)
    scale = float(np.sqrt((flat(spread, 0) ** 2).mean()))
    if scale < FORGOTTEN:  # a run that hardly moves may sit on an unstable point
        scale, spread = 1.0, jax.tree.map(np.ones_like, spread)
    rng = np.random.default_rng([seed, 1])
    far = jax.tree.map(lambda m, s: m + 2 * s * rng.standard_normal((len(data), *np.shape(m))), mean, spread)
    far = jax.tree.map(lambda s: s.astype(data.dtype), far)
    others, _ = run_from(model.architecture, model.weights, far, data)
    gap = flat(others) - flat(jax.tree.map(lambda s: s[:, : data.shape[1]], states))
    apart = np.abs(gap).max(-1) > FORGOTTEN * scale
    last = np.where(apart.any(1), data.shape[1] - np.argmax(apart[:, ::-1], 1), 0)
    return last < data.shape[1], int(np.clip(last.max(), min(FEWEST_BURN_IN_STEPS, data.shape[1]), data.shape[1]))


def _in_blocks(whole: Trajectory) -> Trajectory:
    length = whole.steps // BLOCKS
    if length < 2:
        return whole
    burn_in = whole.lead
    starts = [burn_in + whole.steps - (BLOCKS - b) * length for b in range(BLOCKS)]
    lead = min(starts[0], length)
    offset = [s - burn_in for s in starts]

    def cut(a: np.ndarray, begin: list[int], size: int) -> np.ndarray:
        return np.stack([a[0, b : b + size] for b in begin])

    return replace(
        whole,
        inputs=cut(whole.inputs, [s - lead for s in starts], lead + length),
        states=jax.tree.map(lambda s: cut(s, offset, length + 1), whole.states),
        outputs=cut(whole.outputs, offset, length),
        blocks=True,
        findings=(*whole.findings, f"one sequence was cut into {BLOCKS} blocks, which are not quite independent"),
    )
