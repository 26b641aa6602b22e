"""Estimates made by hand, as a profile of a trained LSTM with 128 units would give them."""

from typing import Any

import numpy as np

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate, Quantity

SEQUENCES, STEPS = 32, 1000


def number(quantity: Quantity, value: float, error: float | None = None, **fields: Any) -> Estimate:
    """A single number with its interval; without an error, one without."""
    bars = {} if error is None else {"standard_error": error, "low": value - 2 * error, "high": value + 2 * error}
    return Estimate(quantity, value, **bars | fields)


def curve(quantity: Quantity, value: Any, spread: float | None = 0.1, start: int = 0, **fields: Any) -> Estimate:
    """A curve with an interval of a relative width; without a spread, one without."""
    value = np.asarray(value, float)
    (axis,) = quantity.axes
    fields.setdefault("axes", {axis: np.arange(start, start + len(value))})
    bars = {}
    if spread is not None:
        bars = {
            "standard_error": abs(value) * spread / 2,
            "low": value * (1 - spread),
            "high": value * (1 + spread),
        }
    return Estimate(quantity, value, **bars | fields)


def censored(quantity: Quantity, ceiling: int, **fields: Any) -> Estimate:
    """A crossing that was not reached by the largest lag."""
    statistics = {"censored": True, "ceiling": ceiling}
    return Estimate(quantity, float(ceiling), statistics=statistics, **fields)


def crossing(values: np.ndarray, level: float) -> float:
    """Lag at which a curve falls below a share of its peak for good, interpolated in its logarithm."""
    last = int(np.flatnonzero(values > level * values.max())[-1])
    if last + 1 == len(values):
        return float(last)
    above, below = np.log(values[last : last + 2] / (level * values.max()))
    return last + above / (above - below)


def estimates(part: str = "", units: int = 128, lags: int = 250, pace: float = 1.0) -> tuple[Estimate, ...]:
    """Everything a profile can hold, for one part; a larger pace forgets sooner."""
    about: dict[str, Any] = {"part": part}
    return tuple(
        e
        for group in (
            _gradients(lags, pace, about),
            _lyapunov(units, pace, about),
            _capacity(units, lags, pace, about),
            _context(lags, pace, about),
            _state_use(units, about),
            _weights(about),
            _memory_prior(about),
            _trained_kernel(about),
        )
        for e in group
    )


def provenance(**changes: Any) -> dict[str, Any]:
    """How the estimates would have been made."""
    return {
        "file": "char_lstm.safetensors",
        "sha256": "9f2c1d5e0a7b4c6f8e3d2b1a0c9f8e7d6c5b4a39281706f5e4d3c2b1a0f9e8d7",
        "layer": "lstm",
        "architecture": "LSTM(input_size=64, width=128), readout 128 to 64",
        "parameters": 107_072,
        "state_size": 256,
        "input_law": "independent, uniform on [−1.73, 1.73], unit variance",
        "sequences": SEQUENCES,
        "steps": STEPS,
        "burn_in": 140,
        "seed": 0,
        "precision": "float64",
        "versions": {"hitherto": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6"},
        "command": "hitherto profile char_lstm.safetensors --out profile.html",
        "assumptions": ("Inputs are white noise: what the model remembers of other inputs may differ.",),
        "findings": ("At input scale ×10 the half-life falls from 7 to 3 steps.",),
        "date": "2025-11-21",
        "seconds": 24.3,
        "step_seconds": None,
    } | changes


def _gradients(lags: int, pace: float, about: dict[str, Any]) -> list[Estimate]:
    k = pace * np.arange(lags)
    typical = 0.83 * (0.85 * np.exp(-k / 9.5) + 0.15 * np.exp(-k / 24.0)) + 0.02 * np.exp(-((k - 2) ** 2))
    rms = 0.95 * (0.8 * np.exp(-k / 11.0) + 0.2 * np.exp(-k / 34.0))
    heavy = k > 120
    spread = 0.06 + 0.004 * k
    bars = {
        "low": np.where(heavy, np.nan, rms / (1 + spread)),
        "high": np.where(heavy, np.nan, rms * (1 + spread)),
    }
    reason = "from lag 121 on fewer than 15 sequences carry the mean" if heavy.any() else ""
    lag = {"lag": np.arange(lags)}
    statistics = {"sequences": SEQUENCES}
    about = about | {"statistics": statistics}
    made: list[Estimate] = []
    for kind, scale in (("state", 1.0), ("output", 0.31)):
        fast = 1.0 if kind == "state" else np.exp(-k / 60.0)
        low, high = (end * scale * fast for end in bars.values())
        names = {
            "state": (q.STATE_JACOBIAN_RMS, q.STATE_JACOBIAN_TYPICAL),
            "output": (q.OUTPUT_JACOBIAN_RMS, q.OUTPUT_JACOBIAN_TYPICAL),
        }[kind]
        made += [
            Estimate(
                names[0],
                rms * scale * fast,
                rms * scale * fast * spread / 2,
                low,
                high,
                lag,
                cannot_tell=reason,
                **about,
            ),
            curve(names[1], typical * scale * fast, 0.05 + 0.0008 * k, **about),
        ]
    return [
        *made,
        number(q.GRADIENT_HALF_LIFE, crossing(typical, 0.5) - typical.argmax(), 0.44, **about),
        number(q.GRADIENT_HORIZON, crossing(typical, 0.01), 1.4, **about),
        number(q.GRADIENT_GROWTH, -0.027, 0.004, **about),
    ]


def _lyapunov(units: int, pace: float, about: dict[str, Any]) -> list[Estimate]:
    count = min(2 * units, 32)
    place = np.arange(count)
    value = -pace * (0.031 + 0.055 * place**0.85)
    error = 0.0011 + 0.0006 * place
    gone = place >= max(count - 4, 1)
    value[gone], error[gone] = -np.inf, 0.0
    with np.errstate(invalid="ignore"):
        low, high = value - 2 * error, value + 2 * error
        spectrum = Estimate(
            q.LYAPUNOV_SPECTRUM,
            value,
            error,
            low,
            high,
            {"index": place + 1},
            statistics={"steps": STEPS},
            **about,
        )
        times = Estimate(q.TIME_CONSTANTS, -1 / value, None, -1 / low, -1 / high, {"index": place + 1}, **about)
    return [
        spectrum,
        times,
        number(q.KAPLAN_YORKE_DIMENSION, 0.0, 0.0, **about),
        number(q.START_FORGOTTEN, 1.0, **about),
    ]


def _capacity(units: int, lags: int, pace: float, about: dict[str, Any]) -> list[Estimate]:
    k = np.arange(min(lags, 80))
    memory = 1 / (1 + np.exp((pace * k - 21) / 4.0))
    statistics = {"bound": 2 * units, "rank": 2 * units}
    capacity = Estimate(
        q.PROCESSING_CAPACITY,
        np.array([23.2, 61.5, 84.1]),
        np.array([0.4, 2.2, 9.0]),
        np.array([22.4, 57.0, 66.1]),
        np.array([24.0, 66.0, 102.1]),
        {"degree": np.arange(1, 4)},
        statistics=statistics,
        **about,
    )
    return [
        Estimate(q.LINEAR_MEMORY, memory, 0.01 + 0 * memory, memory - 0.02, memory + 0.02, {"lag": k}, **about),
        number(q.LINEAR_MEMORY_CAPACITY, 23.2, 0.4, statistics=statistics, **about),
        number(q.LINEAR_MEMORY_CAPACITY_NOISY, 21.7, 0.35, statistics=statistics, **about),
        capacity,
        curve(q.PROCESSING_CAPACITY_FOUND, [22.8, 41.0, 12.6], None, start=1, **about),
        number(q.LINEAR_SHARE, 0.137, 0.009, **about),
    ]


def _context(lags: int, pace: float, about: dict[str, Any]) -> list[Estimate]:
    k = pace * np.arange(lags)
    replaced = np.exp(-k / 13.2)
    spread = 0.02 + 0.0015 * k
    shuffled = np.minimum(0.72 * np.exp(-k / 12.0) * (1 - np.exp(-(k + 1) / 4.0)) * 2, 0.9)
    return [
        curve(q.CONTEXT_REPLACED, replaced, spread, **about),
        curve(q.CONTEXT_ZEROED, 0.8 * np.exp(-k / 13.5), spread, **about),
        curve(q.CONTEXT_SHUFFLED, shuffled, spread, **about),
        curve(
            q.INTERACTION_PROFILE,
            [0.008, 0.02, 0.033, 0.063, 0.1, 0.084],
            axes={"cut": np.array([32, 48, 56, 60, 62, 63])},
            statistics={"length": 64},
            **about,
        ),
        number(q.EFFECTIVE_CONTEXT, crossing(replaced, 0.01), 1.3, **about),
    ]


def _state_use(units: int, about: dict[str, Any]) -> list[Estimate]:
    place = np.arange(units)
    shares = np.exp(-place / 11.5)
    statistics = {"units": units, "samples": SEQUENCES * STEPS}
    gates = np.sort(np.exp(1.4 + 1.1 * np.sin(7.3 * place) + 0.02 * (place % 40)))[np.argsort(np.sin(place))]
    gates[-1:] = 1700.0
    levels = {"quantile": np.array([0.1, 0.5, 0.9])}
    quantiles = np.quantile(gates, levels["quantile"])
    counted = about | {"statistics": statistics}
    return [
        number(q.PARTICIPATION_RATIO, 22.9, 0.5, **counted),
        number(q.CORRELATION_PARTICIPATION_RATIO, 35.1, 0.8, **counted),
        number(q.EFFECTIVE_DIMENSION, 31.4, 0.6, **counted),
        number(q.COMPONENTS_99, 53.0, 0.7, **counted),
        curve(q.STATE_SPECTRUM, shares / shares.sum(), 0.05 + 0.002 * place, start=1, **about),
        number(q.IDLE_UNITS, 7.0, 0.4, **counted),
        number(q.STUCK_UNITS, 4.0, 0.5, **counted),
        number(q.SWITCHING_UNITS, 1.0, 0.3, **counted),
        curve(q.GATE_TIMES, gates, 0.06, statistics={"steps": STEPS}, **about),
        curve(q.GATE_TIME_QUANTILES, quantiles, 0.05, axes=levels, statistics={"steps": STEPS}, **about),
    ]


def _weights(about: dict[str, Any]) -> list[Estimate]:
    exact = (
        (q.SPECTRAL_RADIUS, 1.0437),
        (q.LARGEST_SINGULAR_VALUE, 2.7182),
        (q.NUMERICAL_ABSCISSA, 1.8113),
        (q.HENRICI_DEPARTURE, 0.6203),
        (q.CONTRACTION_BOUND, 3.3104),
    )
    leaks = curve(q.LEAK_SPECTRUM, [1.0, 0.81, 0.3, 0.02, 0.0, -0.4], None, start=1, **about)
    return [*(number(quantity, value, 0.0, **about) for quantity, value in exact), leaks]


def _memory_prior(about: dict[str, Any]) -> list[Estimate]:
    lags = np.arange(128)
    rho = 0.8**lags * (2 + lags / 0.8)
    return [
        curve(q.MEMORY_PRIOR, rho * (1 + 0.1 * np.sin(lags)), None, **about),
        curve(q.WIDE_MEMORY_PRIOR, rho, None, **about),
        number(q.PRIOR_MEAN_LAG, 7.1, 0.0, **about),
        number(q.HALF_LEVEL, 14, 0.0, statistics={"censored": False}, **about),
        number(q.TRUST_HORIZON, 11.3, 0.0, **about),
    ]


def _trained_kernel(about: dict[str, Any]) -> list[Estimate]:
    """Coherent weights with an eigenvalue and two singular values outside, of which theory expects one each."""
    steps, units = np.arange(8), 40
    kernel = np.cos(0.7 * (steps[:, None] - steps)) + 0.5 * np.eye(8)
    turns = np.exp(2j * np.pi * np.arange(units) * 0.618) * np.sqrt((np.arange(units)[::-1] + 1) / units)
    turns[0] = 1.49
    regime = {"regime": "coherent", "reason": "states 1 steps apart correlate with 0.9, by chance 0.2 +- 0.1"}
    plane = np.array(["real", "imaginary"])
    return [
        curve(q.TEMPORAL_COHERENCE, 0.9 ** np.arange(7), 0.1, 1, **about, statistics=regime),
        Estimate(q.TIME_KERNEL, kernel, axes={"time": steps, "other_time": steps}, **about),
        number(q.WEIGHT_BULK, 1.02, 0.01, **about),
        Estimate(
            q.RECURRENT_EIGENVALUES,
            np.array([turns.real, turns.imag]),
            axes={"plane": plane, "index": np.arange(1, units + 1)},
            **about,
        ),
        Estimate(q.EXPECTED_EIGENVALUES, np.array([[1.46], [0.0]]), axes={"plane": plane, "index": [1]}, **about),
        curve(q.EIGENVALUE_OUTLIERS, [1.49], None, 1, **about),
        curve(q.SINGULAR_VALUE_OUTLIERS, [2.9, 2.7], None, 1, **about),
        curve(q.EXPECTED_SINGULAR_VALUES, [2.8], None, 1, **about),
    ]
