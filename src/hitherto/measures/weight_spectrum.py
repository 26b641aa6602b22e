"""Spectral facts of the recurrent weights: what they prove, and what they only describe."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from hitherto.architectures.activations import activation
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import AbstractStateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Backward, Bidirectional, Deep
from hitherto.core.model import Model, precision
from hitherto.core.quantity import (
    CONTRACTION_BOUND,
    HENRICI_DEPARTURE,
    KREISS_BOUND,
    LARGEST_SINGULAR_VALUE,
    LEAK_HALF_LIVES,
    LEAK_SPECTRUM,
    NUMERICAL_ABSCISSA,
    SPECTRAL_RADIUS,
    TRANSIENT_PEAK,
    Estimate,
)

LONGEST_POWER, GROWTH_HORIZON = 10_000, 100
LARGEST_LOG_SCALE, SCHATTEN = 100.0, (32.0, 512.0, 8192.0)
FEW_UNITS = 64
ADDITIVE = (RNN, LSTM, GRU, UnitaryRNN, AbstractStateSpace)
UNGATED = (RNN, UnitaryRNN, AbstractStateSpace)  # all that is kept goes through weight_hh
SOURCE = "linear algebra of the weights"

Matrix = Float[np.ndarray, "unit unit"]


def weight_spectrum(
    model: Model, *, input_bound: Float[np.ndarray, " input"] | None = None, part: str = ""
) -> tuple[Estimate, ...]:
    """Facts of weight_hh for each layer, and for each gate block of LSTM and GRU layers; exact but for rounding.

    Args:
        input_bound: largest |x| of each channel, which the contraction bounds of gated cells need; 0 inputs only if
            not given. For layers above the first |h| <= 1 is used.
    Returns:
        By block: spectral radius, largest singular value, numerical abscissa, Henrici departure, transient peak, up
        to 64 units a bound on the Kreiss constant; by layer a contraction bound where one can be proven, and without
        gates the leak spectrum with its half-lives.

    Cost: O(n^3) a block. Assumes nothing. Does not tell anything of inputs, depth or readout: a nilpotent W has
    radius 0 and holds n steps perfectly; a single radius of an LSTM block decides nothing.
    """
    found: list[Estimate] = []
    bound = np.zeros(model.architecture.input_size) if input_bound is None else np.asarray(input_bound, float)
    with precision(np.float64):
        layers = tuple(_layers(model))
    for name, layer, weights in layers:
        title = " ".join(filter(None, (part, name)))
        w = {k: np.asarray(v, float) for k, v in weights.items()}
        for block, matrix in _blocks(layer, w):
            found += matrix_facts(matrix, " ".join(filter(None, (title, block))))
        if isinstance(layer, UNGATED):
            found += leaks(w["weight_hh"], title)
        bound = bound if len(bound) == layer.input_size else np.ones(layer.input_size)
        found += _contraction(layer, w, bound, title)
        bound = np.ones(layer.output_size)
    return tuple(found)


def matrix_facts(w: Matrix, part: str = "") -> tuple[Estimate, ...]:
    """The facts of one square matrix."""
    facts = {
        SPECTRAL_RADIUS: spectral_radius(w),
        LARGEST_SINGULAR_VALUE: float(np.linalg.norm(w, 2)),
        NUMERICAL_ABSCISSA: float(np.linalg.eigvalsh((w + w.T) / 2)[-1]),
        HENRICI_DEPARTURE: henrici(w),
    }
    found = [Estimate(q, v, 0.0, part=part, source=SOURCE) for q, v in facts.items()]
    peak, step = transient_peak(w)
    growing = facts[SPECTRAL_RADIUS] >= 1
    why = "the spectral radius is at least 1: powers need not stay bounded" if growing else ""
    about = dict(step=step, horizon=_horizon(facts[SPECTRAL_RADIUS]))
    found.append(Estimate(TRANSIENT_PEAK, peak, 0.0, part=part, cannot_tell=why, statistics=about, source=SOURCE))
    if len(w) <= FEW_UNITS and not growing:
        found.append(Estimate(KREISS_BOUND, kreiss_bound(w), part=part, source=SOURCE))
    return tuple(found)


def leaks(w: Matrix, part: str = "") -> tuple[Estimate, Estimate]:
    """Leak spectrum and half-lives of one matrix, by direction, most leaking first.

    Does not tell where a direction goes in the step: a rotation from a lossless direction into a leaking one loses it.
    Source: our derivation; the spectrum of I - W^T W, whose rank is the number of states an orthogonal twin adds.
    """
    s = np.linalg.svd(w, compute_uv=False)[::-1]
    s = np.where(np.abs(s - 1) <= (len(w) + 8) * np.finfo(float).eps, 1.0, s)
    with np.errstate(divide="ignore"):
        half_lives = np.where(s < 1, np.log(2) / np.abs(np.log(s)), np.inf)
    about = dict(axes={"direction": np.arange(1, len(w) + 1)}, part=part, source="singular values; our derivation")
    exact = np.zeros(len(w))
    return Estimate(LEAK_SPECTRUM, (1 - s) * (1 + s), exact, **about), Estimate(
        LEAK_HALF_LIVES, half_lives, exact, **about
    )


def spectral_radius(w: Matrix) -> float:
    """Largest |eigenvalue|; 0 for a matrix that is nilpotent but for rounding.

    The eigenvalues of a Jordan block of size n carry an error of eps^(1/n), so they are not asked: W is nilpotent if
    W^n is within the rounding error of the products it is made of.
    """
    powers = [np.eye(len(w))]
    for _ in range(len(w) if len(w) <= FEW_UNITS else 0):
        powers.append(powers[-1] @ w)
    sizes = np.array([np.linalg.norm(p) for p in powers])
    rounding = 8 * len(w) * np.finfo(float).eps * (sizes * sizes[::-1])[1:-1].max(initial=0.0)
    if len(powers) > 1 and sizes[-1] <= rounding:
        return 0.0
    if not (np.triu(w).any() and np.tril(w).any()):  # strictly triangular, of any size
        return 0.0
    return float(np.abs(np.linalg.eigvals(w)).max())


def henrici(w: Matrix) -> float:
    """(|W|_F^2 - sum |eigenvalue|^2)^(1/2) / |W|_F, between 0 (normal) and 1 (nilpotent); 0 for W = 0."""
    square = float((w**2).sum())
    if square == 0:
        return 0.0
    if spectral_radius(w) == 0:
        return 1.0
    departure = 1 - float((np.abs(np.linalg.eigvals(w)) ** 2).sum()) / square
    return float(np.sqrt(departure)) if departure > 8 * len(w) * np.finfo(float).eps else 0.0


def transient_peak(w: Matrix) -> tuple[float, int]:
    """max over k >= 0 of |W^k|_2, and the k where it stands first.

    Powers go on to 10 / (1 - radius), at most 10 000, and stop once the norm is below 1 and falling; a radius of 1 or
    more grows without end, and the largest over 100 steps is returned.
    """
    power, peak, at, before = np.eye(len(w)), 1.0, 0, 1.0
    for k in range(1, _horizon(spectral_radius(w)) + 1):
        power = power @ w
        norm = _spectral_norm(power)
        if norm > peak * (1 + 1e-12):
            peak, at = norm, k
        if (norm < 1 and norm < before) or not np.isfinite(norm):
            break
        before = norm
    return peak, at


def _spectral_norm(w: Matrix) -> float:
    # The largest eigenvalue of W^T W: squaring costs the small singular values their digits, not the largest.
    scale = float(np.abs(w).max())
    if not 0 < scale < np.inf:
        return scale
    return scale * float(np.sqrt(np.linalg.eigvalsh((w / scale).T @ (w / scale))[-1]))


def kreiss_bound(w: Matrix, radii: int = 60, angles: int = 64) -> float:
    """max of (|z| - 1) |(zI - W)^-1|_2 over a grid outside the unit circle, and of 1: bounds the Kreiss constant below.

    max_k |W^k|_2 lies between the Kreiss constant and e n times it (classical); |z| -> infinity gives the 1.
    """
    z = (1 + np.logspace(-3, 2, radii))[:, None] * np.exp(1j * np.linspace(0, np.pi, angles))
    shifted = z[..., None, None] * np.eye(len(w)) - w
    smallest = np.linalg.svd(shifted, compute_uv=False)[..., -1]
    return max(1.0, float(((np.abs(z) - 1) / smallest).max()))


def scaled_norm(w: Matrix) -> float:
    """Smallest |D W D^-1|_2 found over positive diagonal D, by descent from the Perron scaling of |W|."""
    start = _perron_scaling(np.abs(w))

    if not w.any():
        return 0.0

    def norms(log_d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = np.exp(log_d - log_d.mean())
        return np.linalg.svd(d[:, None] * w / d)

    def smooth(log_d: np.ndarray, p: float) -> tuple[float, np.ndarray]:
        # ln of a Schatten norm: the largest singular value has kinks where two meet, and descent stalls there
        u, s, vt = norms(log_d)
        powers = (s / max(s[0], 1e-300)) ** p
        share = powers / powers.sum()
        value = np.log(max(s[0], 1e-300)) + np.log(powers.sum()) / p
        return float(value), (u**2 @ share) - (share @ vt**2)

    bounds = [(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)] * len(w)
    settings = {"maxfun": 500 if len(w) <= FEW_UNITS else 15}  # an SVD each
    tried = [np.zeros(len(w)), start]
    for p in SCHATTEN:
        found = minimize(smooth, tried[-1], (p,), jac=True, method="L-BFGS-B", bounds=bounds, options=settings)
        tried.append(found.x)
    return min(float(norms(log_d)[1][0]) for log_d in tried)


def _perron_scaling(a: Matrix) -> np.ndarray:
    # Left and right Perron vectors balance rows and columns; a little of everything keeps them positive.
    positive = a + 1e-6 * max(a.max(), 1e-300)
    values, right = np.linalg.eig(positive)
    r = np.abs(right[:, np.argmax(values.real)])
    values, left = np.linalg.eig(positive.T)
    left_vector = np.abs(left[:, np.argmax(values.real)])
    return np.log(np.maximum(left_vector, 1e-30) / np.maximum(r, 1e-30)) / 2


def _horizon(radius: float) -> int:
    return GROWTH_HORIZON if radius >= 1 else int(min(LONGEST_POWER, max(100, 10 / (1 - radius))))


def _layers(model: Model) -> Iterator[tuple[str, object, dict]]:
    """Every single layer in which weight_hh acts on the state additively, with its name and prepared weights."""

    def walk(architecture, weights, name):
        if isinstance(architecture, Deep):
            for number, (layer, w) in enumerate(zip(architecture.layers, weights, strict=True)):
                yield from walk(layer, w, f"{name} layer {number}".strip())
        elif isinstance(architecture, Bidirectional):
            yield from walk(architecture.forward, weights[0], f"{name} forward".strip())
            yield from walk(architecture.backward, weights[1], f"{name} backward".strip())
        elif isinstance(architecture, Backward):
            yield from walk(architecture.layer, weights, f"{name} backward".strip())
        elif isinstance(architecture, ADDITIVE):
            yield name, architecture, architecture.prepare(weights)

    return walk(model.architecture, model.weights, "")


_BLOCK_NAMES = {
    LSTM: ("input gate", "forget gate", "candidate", "output gate"),
    GRU: ("reset gate", "update gate", "candidate"),
}


def _blocks(layer: object, weights: dict[str, np.ndarray]) -> list[tuple[str, Matrix]]:
    """The square recurrent matrices of a layer, by gate; a projection is multiplied in."""
    full = weights["weight_hh"] @ weights["weight_hr"] if "weight_hr" in weights else weights["weight_hh"]
    names = _BLOCK_NAMES.get(type(layer), ("",))
    return list(zip(names, np.split(full, len(names)), strict=True))


def _contraction(layer, weights: dict[str, np.ndarray], bound: np.ndarray, part: str) -> list[Estimate]:
    if isinstance(layer, RNN):
        value, how = _rnn_bound(layer, weights["weight_hh"])
    elif isinstance(layer, GRU) and _plain(layer):
        value, how = _gru_bound(layer, weights, bound), "row sums in the max norm"
    elif isinstance(layer, LSTM) and _plain(layer):
        value, how = _lstm_bound(layer, weights, bound), "spectral radius of the bound on |d(c, h)/d(c, h)|"
    else:
        return []
    why = "" if value < 1 else "the weights alone do not decide"
    about = dict(how=how, input_bound=float(bound.max(initial=0.0)))
    return [
        Estimate(CONTRACTION_BOUND, float(value), part=part, cannot_tell=why, statistics=about, source="our derivation")
    ]


def _plain(layer) -> bool:
    """Whether the derived bounds of gated cells apply: sigmoid gates, tanh, no variant."""
    names = {layer.gate_activation, layer.activation, getattr(layer, "cell_activation", "tanh")}
    variant = any(getattr(layer, f, None) for f in ("projection", "peephole", "coupled"))
    return (
        names == {"sigmoid", "tanh"}
        and not variant
        and layer.clip is None
        and getattr(layer, "reset", "after") == "after"
    )


def _rnn_bound(layer: RNN, w: Matrix) -> tuple[float, str]:
    """Slopes in [0, s] are diagonal and commute with a diagonal change of norm; a linear layer needs its radius."""
    if layer.activation == "linear" and layer.clip is None:
        return spectral_radius(w), "spectral radius of a linear layer"
    slope = activation(layer.activation).slope
    ways = {
        "largest singular value": float(np.linalg.norm(w, 2)),
        "spectral radius of |W|": spectral_radius(np.abs(w)),
    }
    if slope * min(ways.values()) >= 1 > slope * spectral_radius(w):  # no scaling goes below the radius
        ways["largest singular value after diagonal scaling"] = scaled_norm(w)
    best = min(ways, key=ways.__getitem__)
    return slope * ways[best], best


def _gate_top(weights: dict[str, np.ndarray], block: int, blocks: int, bound: np.ndarray) -> np.ndarray:
    """Largest value of a sigmoid gate over |h| <= 1 and |x| <= bound."""
    ih, hh = (np.split(np.abs(weights[k]), blocks)[block] for k in ("weight_ih", "weight_hh"))
    bias = sum(np.split(weights[k], blocks)[block] for k in ("bias_ih", "bias_hh") if k in weights)
    return 1 / (1 + np.exp(-(ih @ bound + hh.sum(1) + bias)))


def _gru_bound(layer: GRU, weights: dict[str, np.ndarray], bound: np.ndarray) -> float:
    """max over rows of z + (1 - z) q, q = 2 z |U_z| + r |U_n| + (|U_n| + |b_hn|) |U_r| / 4 in row sums."""
    u_r, u_z, u_n = (np.abs(b).sum(1) for b in np.split(weights["weight_hh"], 3))
    b_hn = np.abs(np.split(weights["bias_hh"], 3)[2]) if "bias_hh" in weights else np.zeros(layer.width)
    r, z = (_gate_top(weights, block, 3, bound) for block in (0, 1))
    rows_r = np.abs(np.split(weights["weight_hh"], 3)[2]) @ u_r
    q = 2 * z * u_z + r * u_n + 0.25 * (rows_r + b_hn * u_r)
    return float(np.where(q < 1, z + (1 - z) * q, q).max())


def _lstm_bound(layer: LSTM, weights: dict[str, np.ndarray], bound: np.ndarray) -> float:
    """Spectral radius of M = [[diag f, B], [diag(o f), U_o/4 + o B]], B = c U_f/4 + U_i/4 + i U_g, c = i/(1 - f)."""
    u_i, u_f, u_g, u_o = (np.abs(b) for b in np.split(weights["weight_hh"], 4))
    i, f, o = (_gate_top(weights, block, 4, bound)[:, None] for block in (0, 1, 3))
    if (f >= 1).any():
        return np.inf
    beta = i / (1 - f) * u_f / 4 + u_i / 4 + i * u_g
    m = np.block([[np.diag(f[:, 0]), beta], [np.diag((o * f)[:, 0]), u_o / 4 + o * beta]])
    return spectral_radius(m)
