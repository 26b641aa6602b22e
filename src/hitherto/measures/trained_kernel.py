"""What training did to the representation of a recurrent network: kernels over times, and the spectrum of weight_hh.

All is told from the network itself. The entries of weight_hh that training left alone are taken as Gaussian, with a
variance g^2 / N that the bulk of the singular values tells; networks with fresh Gaussian weight_hh of that variance,
all other weights kept, give the level that each number has by chance at this width.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, precision
from hitherto.core.quantity import (
    EIGENVALUE_OUTLIERS,
    HIDDEN_KERNEL,
    RECURRENT_EIGENVALUES,
    RECURRENT_GAIN,
    SINGULAR_VALUE_OUTLIERS,
    TEMPORAL_COHERENCE,
    TIME_KERNEL,
    WEIGHT_BULK,
    Estimate,
    Quantity,
)
from hitherto.measures.trajectory import run_from, starts

TWINS = 20  # networks with fresh weight_hh
MARGIN = 5.0  # deviations among them
QUARTER_CIRCLE_MEDIAN = 0.8079455065985438  # of singular values over g
DISC_MARGIN, EDGE_MARGIN = 2.5, 3.5  # over sqrt(N) and N^(2/3): fewer than 1 in 1,000 Gaussian matrices go beyond
BULK_ERROR = 1.5  # g of an N x N Gaussian matrix is found to 1.5 / N
RANK = 1e-10  # of the largest eigenvalue: patterns below it are the same
SOURCE = "our derivation"

Matrix = Float[np.ndarray, "unit unit"]
States = Float[np.ndarray, "pattern time unit"]


@dataclass(frozen=True, eq=False)
class TrainedKernel:
    """What `trained_kernel` found.

    Attributes:
        kernel: `HIDDEN_KERNEL`, over entries time * patterns + pattern.
        times: `TIME_KERNEL`, the same pattern by pattern, mean over patterns.
        coherence: `TEMPORAL_COHERENCE` by lag.
        gain: `RECURRENT_GAIN` by time.
        bulk: `WEIGHT_BULK`, g.
        spectrum: `RECURRENT_EIGENVALUES`.
        eigenvalues, singular_values: `EIGENVALUE_OUTLIERS` and `SINGULAR_VALUE_OUTLIERS`, largest first.
        regime: "lazy", "rich but incoherent" or "coherent".
        reason: why, in one sentence.
    """

    kernel: Estimate
    times: Estimate
    coherence: Estimate
    gain: Estimate
    bulk: Estimate
    spectrum: Estimate
    eigenvalues: Estimate
    singular_values: Estimate
    regime: str
    reason: str

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """All that was measured."""
        of_states = self.kernel, self.times, self.coherence, self.gain
        return *of_states, self.bulk, self.spectrum, self.eigenvalues, self.singular_values


def trained_kernel(model: Model, inputs: Float[np.ndarray, "pattern time input"], *, seed: int = 0) -> TrainedKernel:
    """Kernels over patterns and times, cross-time coherence, and outliers of weight_hh; with a verdict.

    Over units i of states h, for pattern a at times t and t + k, coherence at lag k is the root mean square of

        C(t, t + k) / sqrt(C(t, t) C(t + k, t + k)),  C(t, t') = (1/N) sum_i h_i(a, t) h_i(a, t').

    The verdict compares with 20 twins that have a fresh Gaussian weight_hh of the bulk's variance:

    - coherent, where at some lag the coherence is more than 5 of the twins' deviations above their mean: one W ties
      different times together;
    - rich but incoherent, where it is not, but at some time the gain is that far above the twins', or a singular value
      lies outside of the bulk: weight_hh has learned directions, each for a time of its own;
    - lazy otherwise: what weight_hh has learned is below what chance does at this width.

    Args:
        model: one `RNN` layer, trained or drawn.
        inputs: the patterns it was trained on, from its own start on; at least 3 times, as at 2 weight_hh acts once.
        seed: of the twins.
    Raises:
        ValueError: for another architecture, or inputs that do not fit.

    Cost: 21 runs, one SVD and the eigenvalues of weight_hh; memory (times patterns)^2.
    Does not tell learning from a structured start: weights that began orthogonal or low-rank are no Gaussian bulk, so
    measure the network before training too. A verdict is about detection; sizes are in the estimates.
    Source: our derivation, for networks trained as in the mean-field theory.
    """
    _refuse(model, inputs)
    model = model.astype(np.float64)
    w, rng = np.asarray(model.weights["weight_hh"]), np.random.default_rng(seed)
    values = np.linalg.svd(w, compute_uv=False)
    g = float(np.median(values)) / QUARTER_CIRCLE_MEDIAN
    states = _states(model, inputs)
    found = _correlations(states), _gains(states, w, g)
    twins = [_of_twin(model, inputs, g, rng) for _ in range(TWINS)]
    lags, times = np.arange(1, states.shape[1]), np.arange(1, states.shape[1])
    coherence = _beside(TEMPORAL_COHERENCE, found[0], [twin[0] for twin in twins], {"lag": lags})
    gain = _beside(RECURRENT_GAIN, found[1], [twin[1] for twin in twins], {"time": times})
    scale = _scale(model)
    bulk = Estimate(WEIGHT_BULK, scale * g, scale * g * BULK_ERROR / len(w), source="median of the quarter-circle law")
    spectrum = _spectrum(scale * w)
    moduli = np.linalg.norm(spectrum.value, axis=0)
    eigenvalues = _outliers(EIGENVALUE_OUTLIERS, moduli, scale * g * (1 + DISC_MARGIN / len(w) ** 0.5))
    singular = _outliers(SINGULAR_VALUE_OUTLIERS, scale * values, scale * g * (2 + EDGE_MARGIN / len(w) ** (2 / 3)))
    of_states, of_weights = (_kernel(states), _times(states), coherence, gain), (bulk, spectrum, eigenvalues, singular)
    return TrainedKernel(*of_states, *of_weights, *_verdict(coherence, gain, eigenvalues, singular))


def _states(model: Model, inputs: Float[np.ndarray, "pattern time input"]) -> States:
    """h of every pattern at every time."""
    with precision(np.float64):
        begin = starts(model, len(inputs))
        states, _ = run_from(model.architecture, model.weights, begin, jnp.asarray(inputs, np.float64))
        return np.asarray(states.h)


def _of_twin(model: Model, inputs: np.ndarray, g: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coherence and gain with a fresh weight_hh."""
    stored = np.asarray(model.weights["weight_hh"])
    w = g / len(stored) ** 0.5 * rng.standard_normal(stored.shape)
    states = _states(Model(model.architecture, model.weights | {"weight_hh": w}), inputs)
    return _correlations(states), _gains(states, w, g)


def _kernel(states: States) -> Estimate:
    flat = states.transpose(1, 0, 2).reshape(-1, states.shape[-1])
    entries = np.arange(len(flat))
    about = {"patterns": states.shape[0], "times": states.shape[1], "width": states.shape[2]}
    axes = {"entry": entries, "other_entry": entries}
    return Estimate(HIDDEN_KERNEL, flat @ flat.T / flat.shape[1], axes=axes, statistics=about, source=SOURCE)


def _times(states: States) -> Estimate:
    value = np.einsum("atu,asu->ts", states, states) / states[:, 0].size
    axes = {"time": np.arange(len(value)), "other_time": np.arange(len(value))}
    return Estimate(TIME_KERNEL, value, axes=axes, statistics={"patterns": len(states)}, source=SOURCE)


def _spectrum(w: Matrix) -> Estimate:
    values = np.linalg.eigvals(w)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    axes = {"plane": np.array(["real", "imaginary"]), "index": np.arange(1, len(w) + 1)}
    value = np.stack([values.real, values.imag])
    return Estimate(RECURRENT_EIGENVALUES, value, np.zeros_like(value), axes=axes, source=SOURCE)


def _correlations(states: States) -> Float[np.ndarray, " lag"]:
    """Root mean square correlation of a pattern's states, by lag; states that are 0 correlate with nothing."""
    size = np.linalg.norm(states, axis=-1, keepdims=True)
    unit = states / np.where(size > 0, size, 1.0)
    between = np.einsum("atu,asu->ats", unit, unit)
    return np.array([np.sqrt(np.mean(np.diagonal(between, lag, 1, 2) ** 2)) for lag in range(1, states.shape[1])])


def _gains(states: States, w: Matrix, g: float) -> Float[np.ndarray, " step"]:
    """Largest |W h|^2 / (g^2 |h|^2) over combinations h of the patterns' states, by time."""
    return np.array([_gain(now, w) for now in states.transpose(1, 0, 2)[:-1]]) / g**2


def _gain(states: Float[np.ndarray, "pattern unit"], w: Matrix) -> float:
    values, vectors = np.linalg.eigh(states @ states.T)
    kept = values > RANK * values[-1]
    if not kept.any():
        return 0.0
    directions = (vectors[:, kept] / np.sqrt(values[kept])).T @ states
    return float(np.linalg.norm(directions @ w.T, 2) ** 2)


def _beside(quantity: Quantity, value: np.ndarray, twins: list[np.ndarray], axes: dict[str, np.ndarray]) -> Estimate:
    """A measured curve with what the twins have; the error is their deviation."""
    mean, deviation = np.mean(twins, 0), np.std(twins, 0, ddof=1)
    about = {"by_chance": mean, "deviation": deviation, "limit": mean + MARGIN * deviation, "twins": len(twins)}
    return Estimate(quantity, value, deviation, axes=axes, statistics=about, source=SOURCE)


def _outliers(quantity: Quantity, values: np.ndarray, limit: float) -> Estimate:
    beyond = values[values > limit]
    about = {"limit": limit, "largest": float(values[0])}
    axes = {"index": np.arange(1, len(beyond) + 1)}
    return Estimate(quantity, beyond, np.zeros(len(beyond)), axes=axes, statistics=about, source=SOURCE)


def _verdict(coherence: Estimate, gain: Estimate, eigenvalues: Estimate, singular: Estimate) -> tuple[str, str]:
    tied, lag, level = _furthest(coherence, "lag")
    if tied:
        apart = f"{lag} step{'s' * (lag > 1)} apart"
        return "coherent", f"states {apart} correlate with {level}; {_counted(eigenvalues, 'eigenvalue')}"
    learned, time, level = _furthest(gain, "time")
    if learned:
        return "rich but incoherent", f"weight_hh amplifies states at time {time} by {level}; times do not correlate"
    if len(singular.value):
        return "rich but incoherent", (
            f"{_counted(singular, 'singular value')}, up to {singular.value[0]:.3g} against "
            f"{singular.statistics['limit']:.3g}; times do not correlate"
        )
    return "lazy", "neither coherence, gain nor singular values are above what a Gaussian weight_hh has by chance"


def _counted(outliers: Estimate, name: str) -> str:
    count = len(outliers.value)
    named = f"{name}s of weight_hh lie" if count > 1 else f"{name} of weight_hh lies"
    return f"{count or 'no'} {named} outside of the bulk"


def _furthest(found: Estimate, axis: str) -> tuple[bool, int, str]:
    """Whether the limit is passed, where by the most deviations, and the numbers in words."""
    mean, deviation = found.statistics["by_chance"], found.statistics["deviation"]
    scores = (found.value - mean) / np.maximum(deviation, 1e-12)
    at = int(np.argmax(scores))
    words = f"{found.value[at]:.3g}, by chance {mean[at]:.3g} +- {deviation[at]:.2g}"
    return bool(scores[at] > MARGIN), int(found.axes[axis][at]), words


def _scale(model: Model) -> float:
    """What the parametrisation multiplies the stored weight_hh by."""
    stored = np.asarray(model.weights["weight_hh"])
    with precision(np.float64):
        used = np.asarray(model.architecture.prepare(model.weights)["weight_hh"])
    return float(np.linalg.norm(used) / max(np.linalg.norm(stored), 1e-300))


def _refuse(model: Model, inputs: np.ndarray) -> None:
    layer = model.architecture
    if not isinstance(layer, RNN):
        raise ValueError(f"a trained kernel was asked of {layer}; give one RNN layer, whose states one weight_hh makes")
    if inputs.ndim != 3 or inputs.shape[-1] != layer.input_size or inputs.shape[1] < 3 or not len(inputs):
        raise ValueError(
            f"inputs of a trained kernel are (pattern, time, {layer.input_size}) with at least 3 times, found "
            f"{inputs.shape}; give that shape"
        )
