"""How often the 95% intervals cover the truth, over many seeds, where the truth is known; writes docs/coverage.md.

Run by `make coverage` and by `pytest -m slow`. Truths are closed forms or quadratures, never our own measurements.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import hitherto
from hitherto.core import quantity as q
from hitherto.core.model import Model
from hitherto.core.quantity import Estimate, Quantity
from hitherto.files import write
from hitherto.measures.capacity import linear_memory, processing_capacity
from hitherto.measures.context import context
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.lyapunov import lyapunov
from hitherto.measures.state_use import state_use
from hitherto.measures.trajectory import drive, flat

RESULTS = Path(__file__).parents[1] / "docs" / "coverage.md"
SEEDS = 300  # 100 leave a scatter of two points
Truths = dict[Quantity, np.ndarray]


@dataclass(frozen=True)
class System:
    """A model, a way to measure it with a seed, and what must come out.

    Attributes:
        name: in words.
        measure: seed -> estimates.
        truths: exact values by quantity; where shorter than the estimate, of its first entries.
    """

    name: str
    measure: Callable[[int], tuple[Estimate, ...]]
    truths: Truths


@dataclass(frozen=True)
class Row:
    """Coverage of one quantity on one system.

    Attributes:
        covered, asked: intervals that hold the truth, and intervals given.
        silent: share of answers "cannot tell".
        exact: the estimate has no spread and equals the truth.
    """

    system: str
    quantity: str
    covered: int
    asked: int
    silent: float
    exact: bool

    @property
    def coverage(self) -> float:
        """Share of intervals that hold the truth."""
        return self.covered / self.asked if self.asked else float("nan")


def linear(w: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> Model:
    """A linear network h[t] = W h[t-1] + B x[t], y = C h."""
    layer = hitherto.RNN(b.shape[1], len(w), None if c is None else len(c), activation="linear", bias=False)
    weights = {"weight_hh": w, "weight_ih": b} | ({} if c is None else {"readout": c})
    return Model(layer, weights)


def scalar_tanh(w: float) -> Model:
    """h[t] = tanh(w h[t-1] + x[t])."""
    layer = hitherto.RNN(1, 1, bias=False)
    return Model(layer, {"weight_hh": np.array([[w]]), "weight_ih": np.array([[1.0]])})


def stationary_tanh(w: float, spread: float, points: int = 1500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid, stationary density weights and transition matrix of a = w tanh(a') + x, x normal: Nystrom quadrature."""
    edge = abs(w) + 8 * spread
    nodes, weights = np.polynomial.legendre.leggauss(points)
    a, da = edge * nodes, edge * weights
    kernel = np.exp(-((a[None] - w * np.tanh(a)[:, None]) ** 2) / (2 * spread**2)) / np.sqrt(2 * np.pi * spread**2) * da
    density = np.full(points, 1 / points)
    for _ in range(2000):
        density = density @ kernel
        density /= density.sum()
    return a, density, kernel


def tanh_system(w: float, spread: float, sequences: int, steps: int) -> System:
    """Jacobian and Lyapunov truths of a scalar tanh network under normal inputs, by quadrature."""
    a, density, kernel = stationary_tanh(w, spread)
    slope = 1 / np.cosh(a) ** 2
    exponent = float(density @ np.log(abs(w) * slope))
    lags = np.arange(31)
    typical = np.exp((lags + 1) * exponent - np.log(abs(w)))
    # E J_k^2 = E prod slope^2 w^(2k): carried backwards by the transition matrix
    mean_square, carried = [], slope**2
    for _ in lags:
        mean_square.append(float(density @ carried))
        carried = w**2 * slope**2 * (kernel @ carried)
    rms = np.sqrt(mean_square)
    truths: Truths = {
        q.STATE_JACOBIAN_TYPICAL: typical,
        q.STATE_JACOBIAN_RMS: rms,
        q.OUTPUT_JACOBIAN_TYPICAL: typical,
        q.OUTPUT_JACOBIAN_RMS: rms,
        q.GRADIENT_HALF_LIFE: np.array(np.log(0.5) / exponent),
        q.GRADIENT_HORIZON: np.array(np.log(0.01) / exponent),
        q.GRADIENT_GROWTH: np.array(np.polyfit(lags[15:], np.log(rms[15:]), 1)[0]),
        q.LYAPUNOV_SPECTRUM: np.array([exponent]),
        q.TIME_CONSTANTS: np.array([-1 / exponent]),
    }

    def measure(seed: int) -> tuple[Estimate, ...]:
        x = spread * np.random.default_rng(seed).standard_normal((sequences, 2 * steps, 1))
        run = drive(scalar_tanh(w), x, seed=seed)
        return (*lag_jacobian(run, max_lag=30), *lyapunov(run, seed=seed))

    return System(f"scalar tanh, w = {w}, inputs normal {spread}, {sequences} x {steps}", measure, truths)


def ring_system(units: int = 8, radius: float = 0.9) -> System:
    """Linear memory of a ring: (1 - r^2N) r^(2N floor(k/N)), total N; no higher degrees."""
    lags = np.arange(40)
    curve = (1 - radius ** (2 * units)) * radius ** (2 * units * (lags // units))
    model = linear(radius * np.roll(np.eye(units), 1, 0), np.eye(units)[:, :1])

    def measure(seed: int) -> tuple[Estimate, ...]:
        run = drive(model, sequences=32, steps=200, seed=seed)
        return linear_memory(flat(run.after), run.inputs, max_lag=39)[:2]

    truths: Truths = {q.LINEAR_MEMORY: curve, q.LINEAR_MEMORY_CAPACITY: np.array(curve.sum())}
    return System(f"ring of {units} linear units, radius {radius}, 32 x 200", measure, truths)


def noisy_system(noise: float = 1e-6) -> System:
    """Linear memory with noise: sum over k of B^T A^k^T (C + eps I)^-1 A^k B for a random linear network."""
    model, w, b = random_linear(10)
    covariance = lyapunov_equation(w, b)
    inverse = np.linalg.inv(covariance + noise * np.trace(covariance) / len(w) * np.eye(len(w)))
    powers = [b]
    for _ in range(59):
        powers.append(w @ powers[-1])
    total = sum(float(np.trace(p.T @ inverse @ p)) for p in powers)

    def measure(seed: int) -> tuple[Estimate, ...]:
        run = drive(model, sequences=32, steps=200, seed=seed)
        return linear_memory(flat(run.after), run.inputs, max_lag=59)[2:]

    return System(
        "random linear network of 10 units, 32 x 200", measure, {q.LINEAR_MEMORY_CAPACITY_NOISY: np.array(total)}
    )


def gru_system() -> System:
    """Capacities by degree of a leaky unit h = (1 - z) tanh(w x) + z h: (1 - z^2) z^2k times tanh's Legendre shares."""
    weights = {
        "weight_ih": np.array([[0.0], [0.0], [1.2]]),
        "weight_hh": np.zeros((3, 1)),
        "bias_ih": np.array([0.0, 2.0, 0.0]),
        "bias_hh": np.zeros(3),
    }
    model, z, lags = Model(hitherto.GRU(1, 1), weights), 1 / (1 + np.exp(-2.0)), 60
    nodes, mass = np.polynomial.legendre.leggauss(200)
    value = np.tanh(1.2 * nodes)
    shares = []
    for degree in (1, 2, 3):
        p = np.polynomial.legendre.Legendre.basis(degree)(nodes) * np.sqrt(2 * degree + 1)
        shares.append((mass @ (value * p) / 2) ** 2 / (mass @ value**2 / 2))
    kept = {1: 1 - z ** (2 * lags), 2: 1.0, 3: 1 - z ** (2 * 30)}
    truth = np.array([share * kept[degree] for degree, share in zip((1, 2, 3), shares, strict=True)])

    def measure(seed: int) -> tuple[Estimate, ...]:
        run = drive(model, sequences=32, steps=200, seed=seed, amplitude=1.0)
        found = processing_capacity(flat(run.after), run.inputs, low=-1.0, high=1.0, max_lag=lags - 1)
        return found[0], found[2]

    truths: Truths = {q.PROCESSING_CAPACITY: truth, q.LINEAR_SHARE: np.array(truth[0] / truth.sum())}
    return System("leaky GRU unit, inputs uniform, 32 x 200", measure, truths)


def context_system() -> System:
    """D(k) of a scalar linear network, w^2k; zeroed alike; shuffled by the variance of a permuted sum."""
    w, lags, steps, lead = 0.8, 26, 250, 125
    k = np.arange(lags + 1)
    points = np.linspace(lags + 1, steps - lags, 16).astype(int)[::4]
    lengths = np.where(points >= lead, lead, lead + points)  # of the past that is shuffled
    shuffled = np.mean([(w ** (2 * np.arange(n))).sum() - (w ** np.arange(n)).sum() ** 2 / n for n in lengths])
    truths: Truths = {
        q.CONTEXT_REPLACED: w**k,
        q.CONTEXT_ZEROED: w**k,
        q.CONTEXT_SHUFFLED: w**k * np.sqrt(shuffled * (1 - w**2)),
        q.EFFECTIVE_CONTEXT: np.array(np.log(0.01) / np.log(w)),
    }
    model = linear(np.array([[w]]), np.array([[1.0]]))

    def measure(seed: int) -> tuple[Estimate, ...]:
        return context(drive(model, sequences=64, steps=steps, seed=seed), max_lag=lags, seed=seed)

    return System("scalar linear network, w = 0.8, 64 x 250", measure, truths)


def dimension_system() -> System:
    """Participation ratios of a random linear network from the Lyapunov equation."""
    model, w, b = random_linear(20)
    c = lyapunov_equation(w, b)
    scale = np.sqrt(np.diag(c))
    ratio = lambda m: np.trace(m) ** 2 / (m**2).sum()  # noqa: E731
    truths: Truths = {
        q.PARTICIPATION_RATIO: np.array(ratio(c)),
        q.CORRELATION_PARTICIPATION_RATIO: np.array(ratio(c / np.outer(scale, scale))),
        q.IDLE_UNITS: np.array(0.0),
    }
    return System(
        "random linear network of 20 units, 16 x 100",
        lambda seed: state_use(drive(model, sequences=16, steps=100, seed=seed)),
        truths,
    )


def gate_system() -> System:
    """Gate times of LSTM units whose forget gate sees the input alone, E ln f by quadrature."""
    gains, biases = np.array([0.5, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    n = len(gains)
    weights = {"weight_ih": np.zeros((4 * n, 1)), "weight_hh": np.zeros((4 * n, n))}
    weights["weight_ih"][n : 2 * n, 0], bias = gains, np.zeros(4 * n)
    weights["weight_ih"][2 * n : 3 * n] = 1.0
    bias[n : 2 * n] = biases
    model = Model(hitherto.LSTM(1, n), weights | {"bias_ih": bias, "bias_hh": np.zeros(4 * n)})
    nodes, mass = np.polynomial.legendre.leggauss(100)
    a = biases[:, None] + gains[:, None] * np.sqrt(3) * nodes
    times = -1 / (-np.logaddexp(0, -a) @ (mass / 2))
    truths: Truths = {q.GATE_TIMES: times, q.GATE_TIME_QUANTILES: np.quantile(times, (0.1, 0.5, 0.9))}
    return System(
        "LSTM units with a forget gate of the input, 32 x 100",
        lambda seed: state_use(drive(model, sequences=32, steps=100, seed=seed)),
        truths,
    )


def random_linear(units: int) -> tuple[Model, np.ndarray, np.ndarray]:
    """A fixed random linear network of spectral radius 0.8 with two inputs."""
    rng = np.random.default_rng(7)
    w = rng.standard_normal((units, units))
    w *= 0.8 / np.abs(np.linalg.eigvals(w)).max()
    b = rng.standard_normal((units, 2))
    return linear(w, b), w, b


def lyapunov_equation(w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C = W C W^T + B B^T."""
    n = len(w)
    return np.linalg.solve(np.eye(n * n) - np.kron(w, w), (b @ b.T).ravel()).reshape(n, n)


def systems() -> tuple[System, ...]:
    """All of them."""
    return (
        tanh_system(0.9, 0.3, 32, 124),
        tanh_system(0.9, 0.3, 8, 124),
        ring_system(),
        noisy_system(),
        gru_system(),
        context_system(),
        dimension_system(),
        gate_system(),
    )


def rows(system: System, seeds: int) -> Iterator[Row]:
    """Coverage of every quantity of a system, over all its entries."""
    counts = {quantity: [0, 0, 0, 0] for quantity in system.truths}
    exact = dict.fromkeys(system.truths, True)
    for seed in range(seeds):
        found = {e.quantity: e for e in reversed(system.measure(seed))}
        for quantity, truth in system.truths.items():
            estimate = found[quantity]
            value = np.atleast_1d(estimate.value)[: np.size(truth)]
            truth = np.atleast_1d(truth)[: len(value)]
            low, high = (
                np.full(len(value), np.nan) if e is None else np.atleast_1d(e)[: len(value)]
                for e in (estimate.low, estimate.high)
            )
            given = np.isfinite(low) & np.isfinite(high)
            inside = given & (low <= truth) & (truth <= high)
            counts[quantity][0] += int(inside.sum())
            counts[quantity][1] += int(given.sum())
            counts[quantity][2] += int((~given).sum())
            counts[quantity][3] += len(value)
            exact[quantity] &= bool(np.allclose(value, truth, rtol=1e-9) and np.allclose(low, high))
    for quantity, (covered, asked, silent, total) in counts.items():
        yield Row(system.name, quantity.name, covered, asked, silent / total, exact[quantity])


def table(found: list[Row], seeds: int) -> str:
    """The page of the docs."""
    lines = [
        "# Coverage of the intervals",
        "",
        f"Share of 95% intervals that hold the truth, over {seeds} seeds and all entries of a curve, where the truth "
        'is a closed form or a quadrature. *Silent* is the share of entries that answer "cannot tell". Made by '
        f"`make coverage`, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| system | quantity | coverage | intervals | silent |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found:
        said = "exact" if row.exact else "-" if not row.asked else f"{row.coverage:.3f}"
        lines.append(f"| {row.system} | `{row.quantity}` | {said} | {row.asked} | {row.silent:.0%} |")
    return "\n".join(lines) + "\n"


def main(seeds: int = SEEDS) -> list[Row]:
    """Measure everything, write the page."""
    found = []
    for system in systems():
        print(system.name, flush=True)
        for row in rows(system, seeds):
            print(f"  {row.quantity}: {row.coverage:.3f} of {row.asked}, silent {row.silent:.0%}", flush=True)
            found.append(row)
    write(RESULTS, table(found, seeds).encode())
    return found


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
