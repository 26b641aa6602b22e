"""What the claims and experiments on wide linear RNNs share: the paper, finite networks, their training, their data.

Networks of finite width are trained by plain gradient descent on all their weights. What the data say to a linear
network are the matrices H and b of its normal equations, so that a step costs nothing for each sequence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial, singledispatch

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, precision
from hitherto.core.quantity import HELD_OUT_R2, Estimate
from hitherto.core.source import Paper, Source
from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_equations import NormalEquations
from hitherto.theory.linear_bias_kernels import LRU, Leaky, Orthogonal, RealModes, Ring, Stacked, StepSizes

PAPER = Paper(
    key="emami2021implicit",
    title="Implicit Bias of Linear RNNs",
    authors=(
        "Melikasadat Emami",
        "Mojtaba Sahraee-Ardakan",
        "Parthe Pandit",
        "Sundeep Rangan",
        "Alyson K. Fletcher",
    ),
    year=2021,
    arxiv="2101.07833",
    venue="Proceedings of the 38th International Conference on Machine Learning",
)
OURS = Source(PAPER, "our derivation beside it")

Response = Float[np.ndarray, "lag output input"]
Dense = Gaussian | Orthogonal | Leaky | Stacked
Diagonal = Ring | RealModes | LRU | StepSizes

# ---------------------------------------------------------------- dense networks


@dataclass(frozen=True, eq=False)
class Network:
    """h^l[t] = s W_l h^l[t-1] + s B_l h^(l-1)[t], where s B_1 h^0 is F x[t], and y = s C h^L.

    Attributes:
        recurrent: W_1, W_2, ... of n x n.
        entering: F, B_2, B_3, ...
        readout: C.
        scale: s, 1 / sqrt(n) in the scaling of the paper, 1 in that of frameworks.
    """

    recurrent: tuple[Float[np.ndarray, "unit before"], ...]
    entering: tuple[Float[np.ndarray, "unit _"], ...]
    readout: Float[np.ndarray, "output unit"]
    scale: float

    @property
    def model(self) -> Model:
        """A single layer as a model."""
        width, inputs = self.entering[0].shape
        kind = "standard" if self.scale == 1 else "ntk"
        layer = RNN(inputs, width, len(self.readout), "linear", bias=False, parametrisation=kind)
        weights = {"weight_hh": self.recurrent[0], "weight_ih": self.entering[0], "readout": self.readout}
        return Model(layer, weights)

    def states(self, lags: int) -> list[Float[np.ndarray, "lag unit input"]]:
        """How the units of each layer answer to an impulse."""
        found = []
        for weights, entering in zip(self.recurrent, self.entering, strict=True):
            if found:
                driven = self.scale * _times(entering, found[-1])
            else:
                driven = np.zeros((lags, *entering.shape))
                driven[0] = entering
            for lag in range(1, lags):
                driven[lag] += self.scale * (weights @ driven[lag - 1])
            found.append(driven)
        return found

    def response(self, lags: int) -> Response:
        """L_0, L_1, ..."""
        return self.scale * (self.readout @ self.states(lags)[-1])

    def gradients(self, states: list[np.ndarray], pulls: Response) -> "Network":
        """d loss / d weights from d loss / dL_j, layer by layer from the readout down."""
        by_readout = self.scale * np.einsum("loi,lni->on", pulls, states[-1], optimize=True)
        errors = self.scale * (self.readout.T @ pulls)
        by_recurrent, by_entering = [], []
        for layer in range(len(states) - 1, -1, -1):
            errors = errors.copy()
            for lag in range(len(pulls) - 2, -1, -1):
                errors[lag] += self.scale * (self.recurrent[layer].T @ errors[lag + 1])
            by_recurrent.append(self.scale * _outer(errors[1:], states[layer][:-1]))
            by_entering.append(self.scale * _outer(errors, states[layer - 1]) if layer else errors[0])
            errors = self.scale * _times(self.entering[layer].T, errors) if layer else errors
        return Network(tuple(by_recurrent[::-1]), tuple(by_entering[::-1]), by_readout, self.scale)

    def moved(self, slopes: "Network", rate: float) -> "Network":
        """One step down the gradient."""
        return replace(
            self,
            recurrent=tuple(w - rate * d for w, d in zip(self.recurrent, slopes.recurrent, strict=True)),
            entering=tuple(w - rate * d for w, d in zip(self.entering, slopes.entering, strict=True)),
            readout=self.readout - rate * slopes.readout,
        )

    @property
    def weights(self) -> Float[np.ndarray, " weight"]:
        """All in one row."""
        return np.concatenate([w.ravel() for w in (*self.recurrent, *self.entering, self.readout)])


def _times(matrix: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """The matrix times the signal of every lag, in one product."""
    return np.tensordot(matrix, signals, axes=(1, 1)).transpose(1, 0, 2)


def _outer(errors: np.ndarray, states: np.ndarray) -> np.ndarray:
    return np.tensordot(errors, states, axes=((0, 2), (0, 2)))


def drawn(start: Dense, width: int, seed: int, channels: int = 1) -> Network:
    """A network with this start, as many outputs as inputs."""
    rng = np.random.default_rng(seed)
    recurrent = recurrent_weights(start, width, rng)
    nu_F, nu_C = float(start.nu_F), float(start.nu_C)
    nu_B = float(start.nu_B) if isinstance(start, Stacked) else 0.0
    between = [_normal(rng, nu_B, width, width) for _ in recurrent[1:]]
    entering = (_normal(rng, nu_F, width, channels), *between)
    return Network(recurrent, entering, _normal(rng, nu_C, channels, width), width**-0.5)


def framework_start(width: int, seed: int) -> Network:
    """Entries of F, W and C uniform in +- 1 / sqrt(n) and no multiplier, as frameworks have them."""
    rng, reach = np.random.default_rng(seed), width**-0.5
    w, f, c = (rng.uniform(-reach, reach, shape) for shape in ((width, width), (width, 1), (1, width)))
    return Network((w,), (f,), c, 1.0)


@singledispatch
def recurrent_weights(start: object, width: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """W of each layer, where W / sqrt(n) is what a step multiplies by."""
    raise TypeError(f"{start!r} has no dense recurrent weights; take one of {Dense}")


@recurrent_weights.register
def _(start: Gaussian, width: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return (_normal(rng, float(start.nu), width, width),)


@recurrent_weights.register
def _(start: Orthogonal, width: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return (np.sqrt(width) * float(start.gain) * q * np.sign(np.diagonal(r)),)  # the signs make Q uniform


@recurrent_weights.register
def _(start: Leaky, width: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return (np.sqrt(width) * float(start.leak) * np.eye(width) + _normal(rng, float(start.gain) ** 2, width, width),)


@recurrent_weights.register
def _(start: Stacked, width: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return tuple(_normal(rng, float(nu), width, width) for nu in start.nus)


def _normal(rng: np.random.Generator, variance: float, *shape: int) -> np.ndarray:
    return np.sqrt(variance) * rng.normal(size=shape)


# ---------------------------------------------------------------- diagonal networks

Parameters = Float[Array, " parameter"]


def ring_mode(p: Parameters, lags: int) -> Float[Array, " lag"]:
    """Re c lam^j b, with lam, c and b by their real and imaginary parts."""
    return _mode(p[0] + 1j * p[1], p[2:], lags)


def real_mode(p: Parameters, lags: int) -> Float[Array, " lag"]:
    """c lam^j b."""
    return p[1] * p[2] * _powers(p[0], lags)


def lru_mode(p: Parameters, lags: int) -> Float[Array, " lag"]:
    """Re c lam^j e^g b with lam = exp(-e^nu + i e^theta)."""
    return jnp.exp(p[2]) * _mode(jnp.exp(-jnp.exp(p[0]) + 1j * jnp.exp(p[1])), p[3:], lags)


def step_size_mode(p: Parameters, lags: int) -> Float[Array, " lag"]:
    """c lam^j b with lam = exp(-dt), of which log dt is trained."""
    return p[1] * p[2] * _powers(jnp.exp(-jnp.exp(p[0])), lags)


def _mode(value: Array, ends: Array, lags: int) -> Array:
    return jnp.real((ends[0] + 1j * ends[1]) * _powers(value, lags) * (ends[2] + 1j * ends[3]))


def _powers(value: Array, lags: int) -> Array:
    ones = jnp.ones(lags, value.dtype)
    return jnp.cumprod(ones.at[1:].set(value))


MODES: dict[type, Callable[[Array, int], Array]] = {
    Ring: ring_mode,
    RealModes: real_mode,
    LRU: lru_mode,
    StepSizes: step_size_mode,
}


def drawn_modes(start: Diagonal, count: int, seed: int) -> Float[np.ndarray, "mode parameter"]:
    """The parameters of independent modes, a row each."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(size=count)
    if isinstance(start, RealModes | StepSizes):
        logs = np.log(start.low) + at * np.log(start.high / start.low) if isinstance(start, StepSizes) else None
        first = start.low + at * (start.high - start.low) if logs is None else logs
        ends = rng.normal(size=(2, count)) * np.sqrt([[float(start.nu_C)], [float(start.nu_F)]])
        return np.stack([first, *ends], axis=1)
    square, phase = start.low + at * (start.high - start.low), rng.uniform(0, 2 * np.pi, count)
    ends = rng.normal(size=(4, count)) * np.sqrt([[float(v) / 2] for v in (start.nu_C,) * 2 + (start.nu_F,) * 2])
    if isinstance(start, Ring):
        return np.stack([np.sqrt(square) * np.cos(phase), np.sqrt(square) * np.sin(phase), *ends], axis=1)
    return np.stack([np.log(-np.log(square) / 2), np.log(phase), np.log1p(-square) / 2, *ends], axis=1)


@cache
def mode_slopes(kind: type, lags: int) -> Callable[[np.ndarray], tuple[Array, Array]]:
    """Parameters of all modes -> their responses (mode, lag), and the derivatives (mode, lag, parameter)."""
    one = partial(MODES[kind], lags=lags)
    return jax.jit(lambda p: (jax.vmap(one)(p), jax.vmap(jax.jacfwd(one))(p)))


# ---------------------------------------------------------------- data


def pulls_of(equations: NormalEquations, response: Response) -> Response:
    """d loss / dL_j."""
    lags, outputs, inputs = response.shape
    slopes = equations.hessian @ _rows(response) - equations.moment
    return slopes.reshape(lags, inputs, outputs).transpose(0, 2, 1)


def loss_of(equations: NormalEquations, response: Response) -> float:
    """|Y - Phi L|^2 / (2 M)."""
    rows = _rows(response)
    return float(equations.power / 2 + (rows * (equations.hessian @ rows / 2 - equations.moment)).sum())


def r2_of(equations: NormalEquations, response: Response, variance: float) -> Estimate:
    """R^2 on the data of the equations, whose targets have this variance."""
    value = 1 - 2 * loss_of(equations, response) / variance
    return Estimate(HELD_OUT_R2, value, standard_error=0.0, source="sums over the data held out")


def equations_of(
    rows: Float[np.ndarray, "row weight"], targets: Float[np.ndarray, "row output"], inputs: int = 1
) -> NormalEquations:
    """Of a regression whose rows are given: x[t], x[t-1], ..., all inputs of one step beside each other."""
    count = len(rows)
    return NormalEquations(
        rows.T @ rows / count, rows.T @ targets / count, float(np.square(targets).sum() / count), inputs
    )


def _rows(response: Response) -> np.ndarray:
    """Row j * inputs + p, column output, as in `NormalEquations`."""
    return response.transpose(0, 2, 1).reshape(-1, response.shape[1])


# ---------------------------------------------------------------- training


@dataclass(frozen=True, eq=False)
class Course:
    """What came of a training.

    Attributes:
        responses: L before every step and after the last.
        network: after the last step, where a dense one was trained.
    """

    responses: Float[np.ndarray, "step lag output input"]
    network: Network | None = None

    def losses(self, equations: NormalEquations) -> Float[np.ndarray, " step"]:
        """Before every step, and after the last."""
        return np.array([loss_of(equations, response) for response in self.responses])


def train_network(
    network: Network, equations: NormalEquations, rate: float, steps: int, centred: bool = False, momentum: float = 0.0
) -> Course:
    """All weights of a dense network; `centred` subtracts the initial function from what it answers."""
    shift = network.response(equations.lags) if centred else 0.0
    responses, push = [], None
    for _ in range(steps):
        states = network.states(equations.lags)
        responses.append(network.scale * (network.readout @ states[-1]) - shift)
        slopes = network.gradients(states, pulls_of(equations, responses[-1]))
        push = slopes.moved(push, -momentum) if momentum and push else slopes  # heavy ball: slopes + momentum * push
        network = network.moved(push, rate)
    return Course(np.array([*responses, network.response(equations.lags) - shift]), network)


def train_modes(start: Diagonal, width: int, seed: int, equations: NormalEquations, rate: float, steps: int) -> Course:
    """All parameters of a diagonal layer of one channel, L_j = sum over modes / sqrt(n), its initial function taken
    away."""
    parameters, slopes_of = drawn_modes(start, width, seed), mode_slopes(type(start), equations.lags)
    responses = []
    for _ in range(steps + 1):
        with precision(np.float64):
            parts, slopes = map(np.asarray, slopes_of(parameters))
        responses.append(parts.sum(0)[:, None, None] / np.sqrt(width))
        pulls = pulls_of(equations, responses[-1] - responses[0])[:, 0, 0]
        parameters = parameters - rate / np.sqrt(width) * np.einsum("l,mlp->mp", pulls, slopes)
    return Course(np.array(responses) - responses[0])


def train_convolution(
    weights: Float[np.ndarray, " lag"],
    start: Response,
    equations: NormalEquations,
    rate: float,
    steps: int,
    momentum: float = 0.0,
) -> Course:
    """The convolution of taps L_j = sqrt(rho_j) theta_j, of which theta is trained."""
    scales = np.sqrt(weights)[:, None, None]
    theta, push, responses = start / scales, np.zeros_like(start), [start]
    for _ in range(steps):
        push = scales * pulls_of(equations, responses[-1]) + momentum * push
        theta = theta - rate * push
        responses.append(scales * theta)
    return Course(np.array(responses))
