"""The profile of a model's memory: every measure on one driven run, and what they say."""

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Real

from hitherto import files
from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core import quantity as q
from hitherto.core.model import Model, precision
from hitherto.core.quantity import Estimate, Quantity, plain
from hitherto.inputs import as_sequences
from hitherto.measures.capacity import linear_memory, processing_capacity
from hitherto.measures.context import context
from hitherto.measures.cut_spectrum import cut_profile
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.lyapunov import lyapunov
from hitherto.measures.memory_prior import driven_prior
from hitherto.measures.state_use import state_use
from hitherto.measures.tangent_kernel import BLOCK, kernel_drift
from hitherto.measures.trained_kernel import TrainedKernel, trained_kernel
from hitherto.measures.trajectory import (
    SEQUENCES,
    STEPS,
    Trajectory,
    causal_parts,
    drive,
    entered,
    flat,
    run_from,
    starts,
    white_noise,
)
from hitherto.measures.weight_spectrum import weight_spectrum
from hitherto.report.verdict import BEFORE
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_width import trust_horizon
from hitherto.theory.mean_field_weights import outliers_of_states

SENSITIVITY = (0.1, 10.0)
DRIFT_SEQUENCES, DRIFT_STEPS = 8, 32  # of the tangent kernels before and after training
KERNEL_SEQUENCES, KERNEL_STEPS = 32, 32  # of trained kernels
MOST_SLOPES = 2**27  # numbers in a block of gradients
LAZY_SCALINGS = ("ntk", "ntk_unit")  # in others the kernel moves whatever the width
Note = Callable[[str], None]
Runner = Callable[..., Trajectory]  # drives one part; keywords of `drive` change the settings


@dataclass(frozen=True)
class Settings:
    """How a model is driven.

    Attributes:
        sequences, steps: of white noise; steps are counted after the burn-in.
        seed: of noise, probes and shuffles.
        precision: of the forward run; float32 judges a model as it is deployed. Measures are float64 in any case.
        step_seconds: how long a step lasts, to give lags in time as well.
    """

    sequences: int = SEQUENCES
    steps: int = STEPS
    seed: int = 0
    precision: Literal["float64", "float32"] = "float64"
    step_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.sequences < 2 or self.steps < 2:
            raise ValueError(
                f"a profile needs at least 2 sequences of 2 steps, got {self.sequences} of {self.steps}; "
                f"{SEQUENCES} of {STEPS} is the default"
            )
        if self.step_seconds is not None and not self.step_seconds > 0:
            raise ValueError(f"step_seconds must be positive, got {self.step_seconds}")


@dataclass(frozen=True)
class Profile:
    """What a model remembers: estimates, the sentences they support, and how they were made.

    Attributes:
        estimates: all that was measured, of the whole model and of its parts.
        provenance: model, inputs, settings, versions, assumptions and findings.
    """

    estimates: tuple[Estimate, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> tuple[str, ...]:
        """Plain sentences, the most important first; each is said only if its 95% interval decides it."""
        from hitherto.report.verdict import verdict

        return verdict(self.estimates, self.provenance)

    def estimate(self, quantity: Quantity | str, part: str = "") -> Estimate:
        """One estimate by quantity and part.

        Raises:
            ValueError: if there is none; the message lists the parts that have it, or the quantities.
        """
        return _pick(self.estimates, _named(quantity), part)

    def to_html(self, path: str | Path | None = None) -> str:
        """The report as one self-contained page; also written to `path`, whole or not at all."""
        from hitherto.report.page import page

        text = page(self.estimates, self.provenance, self.verdict)
        if path is not None:
            files.write(path, text.encode())
        return text

    def to_json(self, path: str | Path | None = None) -> str:
        """Every number with its standard error, interval, unit and quantity name; also written to `path`."""
        record = {
            "verdict": list(self.verdict),
            "provenance": plain(dict(self.provenance)),
            "estimates": [estimate.to_dict() for estimate in self.estimates],
        }
        text = json.dumps(record, indent=1, allow_nan=False)
        if path is not None:
            files.write(path, text.encode())
        return text

    def plot(self) -> Any:
        """All figures in one `matplotlib.figure.Figure`."""
        from hitherto.report.figure import summary

        return summary(self.estimates, self.provenance)


@dataclass(frozen=True)
class Measure:
    """One row of what can be measured on a driven run.

    Attributes:
        name: for progress and for findings.
        quantities: what it answers.
        ask: (run, again, seed, part) -> estimates, where `again` makes another run of the same model.
    """

    name: str
    quantities: tuple[Quantity, ...]
    ask: Callable[[Trajectory, Runner, int, str], tuple[Estimate, ...]]


def _context(run: Trajectory, again: Runner, seed: int, part: str) -> tuple[Estimate, ...]:
    """On white noise first with many short sequences, since pairs of sequences are its unit of error."""
    if not run.white:
        return context(run, seed=seed, part=part)
    wide = again(sequences=4 * run.sequences, steps=max(2, run.steps // 4))
    found = context(wide, seed=seed, part=part)
    if wide.forgotten.all() and not found[-1].statistics["censored"]:
        return found
    return context(again(sequences=2 * run.sequences, steps=run.steps), seed=seed, part=part)


def _linear_memory(run: Trajectory, again: Runner, seed: int, part: str) -> tuple[Estimate, ...]:
    return linear_memory(
        flat(run.after), run.inputs, white=run.white, state_precision=np.dtype(run.computed_in), part=part
    )


def _processing_capacity(run: Trajectory, again: Runner, seed: int, part: str) -> tuple[Estimate, ...]:
    if not run.white:
        raise ValueError("it is defined for white noise of known law only: profile without inputs to get it")
    ends = dict(low=-run.amplitude, high=run.amplitude)
    return processing_capacity(
        flat(run.after), run.inputs, **ends, state_precision=np.dtype(run.computed_in), part=part
    )


def _memory_prior(run: Trajectory, again: Runner, seed: int, part: str) -> tuple[Estimate, ...]:
    """Measured, and beside it that of a wide network of the same variances."""
    found = driven_prior(run, part)
    return (*found, *(e for prior in found if "variances" in prior.statistics for e in _wide_limit(prior)))


def _wide_limit(prior: Estimate) -> tuple[Estimate, Estimate]:
    about, source = prior.statistics, "closed form of wide linear networks; our derivation"
    rho = lag_weights(Gaussian(*about["variances"], learning_rates=about["learning_rates"]), len(prior.value))
    wide = Estimate(q.WIDE_MEMORY_PRIOR, rho, np.zeros(len(rho)), axes=prior.axes, part=prior.part, source=source)
    return wide, Estimate(q.TRUST_HORIZON, trust_horizon(about["width"]), 0.0, part=prior.part, source=source)


class OtherModels(ValueError):
    """A measure is about models of another kind, which is no finding about this one."""


def _trained_kernels(run: Trajectory, again: Runner, seed: int, part: str) -> tuple[Estimate, ...]:
    """Of every simple layer from its own start, and beside the outliers of W those that its states let expect."""
    stack = run.model.architecture
    if not any(isinstance(layer, RNN) for layer in (stack.layers if isinstance(stack, Deep) else (stack,))):
        raise OtherModels("it is about the one matrix that makes all states of a simple RNN layer, and there is none")
    if run.white:
        raise ValueError("it needs the inputs of the training: profile with them to get it")
    found: list[Estimate] = []
    for name, model, x in entered(run.model, run.inputs[:KERNEL_SEQUENCES, :KERNEL_STEPS]):
        if not isinstance(model.architecture, RNN):
            continue
        kernel = trained_kernel(model, x, seed=seed)
        told = dict(kernel.coherence.statistics) | {"regime": kernel.regime, "reason": kernel.reason}
        kept = [e for e in kernel.estimates if e not in (kernel.kernel, kernel.coherence)]
        kept += [replace(kernel.coherence, statistics=told), *_expected(model, x, kernel)]
        found += [replace(e, part=f"{part} {name}".strip()) for e in kept]
    return tuple(found)


def _expected(model: Model, x: np.ndarray, found: TrainedKernel) -> tuple[Estimate, Estimate]:
    """Outliers by theory, as far out as those that are counted."""
    with precision(np.float64):
        h = np.asarray(run_from(model.architecture, model.weights, starts(model, len(x)), x)[0].h)[:, :-1]
        w = np.asarray(model.architecture.prepare(model.weights)["weight_hh"])
    theory = outliers_of_states(h, h @ w.T, float(found.bulk.value))
    values, moduli = theory.singular_values, np.abs(theory.eigenvalues)
    values = values[values > found.singular_values.statistics["limit"]]
    plane = theory.eigenvalues[moduli > found.eigenvalues.statistics["limit"]]
    axes = {"plane": np.array(["real", "imaginary"]), "index": np.arange(1, len(plane) + 1)}
    source = "mean-field theory of one network's states; our derivation"
    return (
        Estimate(q.EXPECTED_EIGENVALUES, np.stack([plane.real, plane.imag]), axes=axes, source=source),
        Estimate(q.EXPECTED_SINGULAR_VALUES, values, axes={"index": np.arange(1, len(values) + 1)}, source=source),
    )


MEASURES: tuple[Measure, ...] = (
    Measure(
        "gradients by lag",
        (
            q.STATE_JACOBIAN_RMS,
            q.STATE_JACOBIAN_TYPICAL,
            q.OUTPUT_JACOBIAN_RMS,
            q.OUTPUT_JACOBIAN_TYPICAL,
            q.GRADIENT_HALF_LIFE,
            q.GRADIENT_HORIZON,
            q.GRADIENT_GROWTH,
        ),
        lambda run, again, seed, part: lag_jacobian(run, seed=seed, part=part),
    ),
    Measure(
        "effective context",
        (q.CONTEXT_REPLACED, q.CONTEXT_ZEROED, q.CONTEXT_SHUFFLED, q.EFFECTIVE_CONTEXT),
        _context,
    ),
    Measure(
        "cut profile",
        (q.CUT_ENTROPY_PROFILE, q.INTERACTION_PROFILE),
        lambda run, again, seed, part: cut_profile(run.model, run.driving, seed=seed, part=part),
    ),
    Measure(
        "Lyapunov spectrum",
        (q.LYAPUNOV_SPECTRUM, q.TIME_CONSTANTS, q.KAPLAN_YORKE_DIMENSION, q.START_FORGOTTEN),
        lambda run, again, seed, part: lyapunov(run, seed=seed, part=part),
    ),
    Measure(
        "linear memory",
        (q.LINEAR_MEMORY, q.LINEAR_MEMORY_CAPACITY, q.LINEAR_MEMORY_CAPACITY_NOISY),
        _linear_memory,
    ),
    Measure(
        "processing capacity",
        (q.PROCESSING_CAPACITY, q.PROCESSING_CAPACITY_FOUND, q.LINEAR_SHARE),
        _processing_capacity,
    ),
    Measure(
        "state use",
        (
            q.PARTICIPATION_RATIO,
            q.CORRELATION_PARTICIPATION_RATIO,
            q.EFFECTIVE_DIMENSION,
            q.COMPONENTS_99,
            q.STATE_SPECTRUM,
            q.IDLE_UNITS,
            q.STUCK_UNITS,
            q.SWITCHING_UNITS,
            q.DEAD_UNITS,
            q.GATE_TIMES,
            q.GATE_TIME_QUANTILES,
        ),
        lambda run, again, seed, part: state_use(run, part=part),
    ),
    Measure(
        "memory prior",
        (q.MEMORY_PRIOR, q.PRIOR_MEAN_LAG, q.HALF_LEVEL, q.WIDE_MEMORY_PRIOR, q.TRUST_HORIZON),
        _memory_prior,
    ),
    Measure(
        "trained kernel",
        (
            q.TEMPORAL_COHERENCE,
            q.TIME_KERNEL,
            q.RECURRENT_GAIN,
            q.WEIGHT_BULK,
            q.RECURRENT_EIGENVALUES,
            q.EIGENVALUE_OUTLIERS,
            q.EXPECTED_EIGENVALUES,
            q.SINGULAR_VALUE_OUTLIERS,
            q.EXPECTED_SINGULAR_VALUES,
        ),
        _trained_kernels,
    ),
)


def profile(
    model: Model,
    inputs: Real[np.ndarray, "..."] | None = None,
    *,
    initial: Model | None = None,
    settings: Settings | None = None,
    provenance: Mapping[str, Any] | None = None,
    note: Note = lambda text: None,
) -> Profile:
    """Everything the measures tell of a model's memory.

    Args:
        inputs: (time, input) or (sequence, time, input), or integer tokens for one-hot inputs; None for white noise,
            uniform with variance 1 in every channel.
        initial: the model before training, to be told how lazy training was and with which memory prior it began.
        settings: how it is driven; see `Settings`.
        provenance: facts about the model to be kept with the result, for example its file.
        note: called with a line when a measure begins.
    Raises:
        ValueError: for inputs that do not fit, a model that overflows on them, or another architecture before
            training. A measure that cannot be made on
            these inputs is left out, and a finding says why.

    Cost: for an LSTM of 128 units and the default 32 sequences of 1000 steps about half a minute on two cores.
    """
    settings, began = settings or Settings(), time.perf_counter()
    _refuse_another(initial, model)
    data = None if inputs is None else as_sequences(np.asarray(inputs), model.architecture.input_size)
    note("weights")
    bound = 3**0.5 * np.ones(model.architecture.input_size) if data is None else np.abs(data).max((0, 1))
    estimates, findings, runs = list(weight_spectrum(model, input_bound=bound)), [], []
    for part, runner in _runners(model, data, settings):
        note(f"{part} driven run".strip())
        run = runner()
        runs.append(run)
        findings += run.findings
        for row in MEASURES:
            note(f"{part} {row.name}".strip())
            try:
                estimates += row.ask(run, runner, settings.seed, part)
            except OtherModels:
                continue
            except ValueError as error:
                findings.append(f"{part} {row.name} not measured: {error}".strip())
        findings += _sensitivity(runner, run, settings, part, note)
    if initial is not None:
        note("training")
        try:
            estimates += _since(initial, model, data, settings)
        except ValueError as error:
            findings.append(f"training not measured: {error}")
    facts = _facts(model, runs[0], settings) | dict(provenance or {})
    facts["findings"] = (*facts.get("findings", ()), *dict.fromkeys(findings))
    facts |= dict(seconds=round(time.perf_counter() - began, 1), own_data=data is not None)
    return Profile(tuple(estimates), facts)


def measure(
    quantity: Quantity | str,
    model: Model,
    inputs: Real[np.ndarray, "..."] | None = None,
    *,
    part: str = "",
    settings: Settings | None = None,
) -> Estimate:
    """One quantity of a model, measured alone; arguments as for `profile`.

    Args:
        quantity: for example `"gradient_half_life"`; see `hitherto.QUANTITIES`.
        part: which part's, where the quantity belongs to layers or directions; not needed if there is only one.
    Raises:
        ValueError: if there is no such quantity or part, or it cannot be measured on these inputs.
    """
    settings, wanted = settings or Settings(), _named(quantity)
    data = None if inputs is None else as_sequences(np.asarray(inputs), model.architecture.input_size)
    row = next((row for row in MEASURES if wanted in row.quantities), None)
    if row is None:
        bound = 3**0.5 * np.ones(model.architecture.input_size) if data is None else np.abs(data).max((0, 1))
        return _pick(weight_spectrum(model, input_bound=bound), wanted, part)
    estimates: list[Estimate] = []
    for name, runner in _runners(model, data, settings):
        estimates += row.ask(runner(), runner, settings.seed, name)
    return _pick(tuple(estimates), wanted, part)


def _runners(model: Model, data: np.ndarray | None, settings: Settings) -> list[tuple[str, Runner]]:
    """For each part that goes forward, its name and the function that drives it."""
    usual = dict(sequences=settings.sequences, steps=settings.steps, seed=settings.seed, dtype=settings.precision)
    if model.architecture.causal:
        parts = [("", model, data)]
    else:
        white = data is None
        length = settings.steps + max(100, settings.steps // 2)
        x = white_noise(model.architecture.input_size, settings.sequences, length, settings.seed) if white else data
        split = causal_parts(model.astype(settings.precision), x.astype(settings.precision))
        parts = [(p.name, p.model, None if white and p.first else p.inputs) for p in split]

    def runner(part: Model, x: np.ndarray | None) -> Runner:
        return lambda **changes: drive(part, x, **usual | changes)

    return [(name, runner(part, x)) for name, part, x in parts]


def _sensitivity(runner: Runner, run: Trajectory, settings: Settings, part: str, note: Note) -> list[str]:
    """How far the half-life hangs on the scale of the white noise, as a finding."""
    if not run.white:
        return []
    note(f"{part} input scale".strip())
    said = []
    for factor in SENSITIVITY:
        weak = runner(sequences=8, steps=max(2, settings.steps // 4), amplitude=factor * 3**0.5)
        half_life = _pick(lag_jacobian(weak, seed=settings.seed), q.GRADIENT_HALF_LIFE, "")
        more = "more than " if half_life.statistics["censored"] else ""
        steps = int(half_life.statistics.get("steps", half_life.value))
        said.append(f"{more}{steps} {'step' if steps == 1 else 'steps'} at {factor:g} times the input scale")
    return [f"{part} the half-life of the gradient is {said[0]} and {said[1]}".strip()]


def _refuse_another(initial: Model | None, model: Model) -> None:
    if initial is not None and initial.architecture != model.architecture:
        raise ValueError(
            f"the model before training is {initial.architecture}, the one to be profiled {model.architecture}; give "
            "two sets of weights of one architecture"
        )


def _since(initial: Model, model: Model, data: np.ndarray | None, settings: Settings) -> list[Estimate]:
    """The memory prior that training began with, and how far the tangent kernel has moved since."""
    found: list[Estimate] = []
    for part, runner in _runners(initial, data, settings):
        run = runner(sequences=8, steps=max(2, settings.steps // 4))
        found += _memory_prior(run, runner, settings.seed, f"{part} {BEFORE}".strip())
    return [*found, _drift(initial, model, data, settings.seed)]


def _drift(initial: Model, model: Model, data: np.ndarray | None, seed: int) -> Estimate:
    architecture = model.architecture
    weights = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(model.weights))
    if weights * BLOCK > MOST_SLOPES:
        raise ValueError(
            f"tangent kernels of {weights:,} weights take gradients of {BLOCK} outputs at once, which a profile does "
            "not; call `kernel_drift`"
        )
    few = min(max(BLOCK // architecture.output_size, 2), DRIFT_SEQUENCES)
    x = white_noise(architecture.input_size, few, DRIFT_STEPS, seed) if data is None else data[:few, :DRIFT_STEPS]
    drift = kernel_drift(initial.astype(np.float64), model.astype(np.float64), np.asarray(x, np.float64))
    if getattr(architecture, "parametrisation", "") in LAZY_SCALINGS or drift.statistics["training"] != "lazy":
        return drift
    return replace(drift, statistics=dict(drift.statistics) | {"training": "little so far"})


def _facts(model: Model, run: Trajectory, settings: Settings) -> dict[str, Any]:
    leaves = jax.tree.leaves(model.weights)
    return dict(
        architecture=str(model.architecture),
        parameters=sum(int(np.size(leaf)) for leaf in leaves),
        weights_precision=model.dtype.name,
        state_size=sum(int(np.prod(s.shape[2:])) for s in jax.tree.leaves(run.states)),
        input_law=run.law,
        sequences=run.sequences,
        steps=run.steps,
        burn_in=run.lead,
        seed=settings.seed,
        precision=settings.precision,
        step_seconds=settings.step_seconds,
        versions={name: version(name) for name in ("hitherto", "jax", "numpy")} | {"python": platform.python_version()},
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _named(quantity: Quantity | str) -> Quantity:
    if isinstance(quantity, Quantity):
        return quantity
    found = next((known for known in q.QUANTITIES if known.name == quantity), None)
    if found is None:
        raise ValueError(f"no quantity is called {quantity!r}; there are {', '.join(k.name for k in q.QUANTITIES)}")
    return found


def _pick(estimates: tuple[Estimate, ...], quantity: Quantity, part: str) -> Estimate:
    having = [e for e in estimates if e.quantity == quantity]
    chosen = [e for e in having if e.part == part] or (having if not part and len(having) == 1 else [])
    if not chosen:
        there = ", ".join(repr(e.part) for e in having)
        hint = f"it was measured for {there}: name one with part=..." if having else "this model does not have it"
        raise ValueError(f"no {quantity.name} for {f'part {part!r}' if part else 'the whole model'}; {hint}")
    return chosen[0]
