"""Linear state-space layers, dense and diagonal, and three ways through a sequence that agree.

States are real: a complex mode is carried as two numbers, with the real parts of all modes first, then the imaginary
parts, so that measures of real states apply as they stand.
"""

import abc
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.fft import next_fast_len

from hitherto.architectures.rnn import initial, read_out
from hitherto.core.model import Hidden, Recurrence, Weights, check_sizes
from hitherto.core.names import known

ROUTES = ("auto", "scan", "associative", "convolution")
PAIRS_A_STATE = 2  # see `AbstractStateSpace.chosen`
SHORTEST_SPLIT = 32  # below this a scan costs less than more rounds, to run and above all to compile

States = Float[Array, "*rows state"]
Columns = Float[Array, "state column"]
Readout = Float[Array, "output state"]


class DenseTransition(NamedTuple):
    """s -> A s for rows of states."""

    matrix: Float[Array, "state state"]

    def apply(self, states: States) -> States:
        """A s for each row."""
        return states @ self.matrix.T

    def squared(self) -> "DenseTransition":
        """s -> A A s."""
        return DenseTransition(self.matrix @ self.matrix)

    def transposed(self) -> "DenseTransition":
        """s -> A^T s."""
        return DenseTransition(self.matrix.T)


class RealTransition(NamedTuple):
    """s -> lambda s, mode by mode."""

    multiplier: Float[Array, " mode"]

    @property
    def matrix(self) -> Float[Array, "state state"]:
        """diag(lambda)."""
        return jnp.diag(self.multiplier)

    def apply(self, states: States) -> States:
        """lambda s for each row."""
        return self.multiplier * states

    def squared(self) -> "RealTransition":
        """s -> lambda^2 s."""
        return RealTransition(self.multiplier**2)

    def transposed(self) -> "RealTransition":
        """The same: diagonal matrices are symmetric."""
        return self


class ComplexTransition(NamedTuple):
    """s -> lambda s, mode by mode, on states [Re s, Im s]."""

    real: Float[Array, " mode"]
    imag: Float[Array, " mode"]

    @property
    def matrix(self) -> Float[Array, "state state"]:
        """[[Re, -Im], [Im, Re]] of diag(lambda)."""
        re, im = jnp.diag(self.real), jnp.diag(self.imag)
        return jnp.block([[re, -im], [im, re]])

    def apply(self, states: States) -> States:
        """lambda s for each row."""
        re, im = jnp.split(states, 2, -1)
        return jnp.concatenate([self.real * re - self.imag * im, self.imag * re + self.real * im], -1)

    def squared(self) -> "ComplexTransition":
        """s -> lambda^2 s."""
        return ComplexTransition(self.real**2 - self.imag**2, 2 * self.real * self.imag)

    def transposed(self) -> "ComplexTransition":
        """The transpose of the real form multiplies by the conjugate."""
        return ComplexTransition(self.real, -self.imag)


Transition = DenseTransition | RealTransition | ComplexTransition


def scanned(
    transition: Transition, start: Float[Array, " state"], drive: Float[Array, "time state"]
) -> Float[Array, "time state"]:
    """s[t] = A s[t-1] + drive[t] with s[-1] = start, one step after the other."""

    def body(state, b):
        state = transition.apply(state) + b
        return state, state

    return jax.lax.scan(body, start, drive)[1]


def paired(
    transition: Transition, start: Float[Array, " state"], drive: Float[Array, "time state"]
) -> Float[Array, "time state"]:
    """s[t] = A s[t-1] + drive[t] with s[-1] = start, in log2(time) rounds that are parallel over time.

    Two steps of A are one of A^2: s[1], s[3], ... solve the same problem at half the length, and then
    s[2i] = A s[2i-1] + drive[2i]. This is the associative scan of (A, drive) by odd and even elements, without the
    products of A, which are the same at every place of a round.

    Cost: twice the arithmetic of the scan; memory 2 x time x state.
    """
    if len(drive) <= SHORTEST_SPLIT:
        return scanned(transition, start, drive)
    even, odd = drive[0::2], drive[1::2]
    at_odd = paired(transition.squared(), start, transition.apply(even[: len(odd)]) + odd)
    before = jnp.concatenate([start[None], at_odd])[: len(even)]
    at_even = transition.apply(before) + even
    both = jnp.stack([at_even[: len(odd)], at_odd], 1).reshape(-1, drive.shape[1])
    return jnp.concatenate([both, at_even[len(odd) :]])


def powers(transition: Transition, rows: Float[Array, "row state"], count: int) -> Float[Array, "count row state"]:
    """A^k s for k = 0 .. count - 1 and each row s, by doubling."""
    found = rows[None]
    while len(found) < count:
        found = jnp.concatenate([found, transition.apply(found)])
        transition = transition.squared()
    return found[:count]


def impulse_response(
    transition: Transition, columns: Columns, readout: Readout, lags: int
) -> Float[Array, "lags output column"]:
    """C A^k B for k = 0 .. lags - 1, with B the columns and C the readout.

    Lag k = i m + j with m about sqrt(lags): C A^(i m) and A^j B are made apart and multiplied, so that no more than
    2 sqrt(lags) powers are taken.
    """
    doublings = math.ceil(math.log2(max(lags, 1)) / 2)
    fine = powers(transition, columns.T, 2**doublings)
    for _ in range(doublings):
        transition = transition.squared()
    coarse = powers(transition.transposed(), readout, math.ceil(lags / 2**doublings))
    response = jnp.einsum("ios,jps->ijop", coarse, fine)
    return response.reshape(coarse.shape[0] * fine.shape[0], len(readout), columns.shape[1])[:lags]


def convolved(
    response: Float[Array, "time output input"], inputs: Float[Array, "time input"]
) -> Float[Array, "time output"]:
    """sum over j of response[j] inputs[t - j], by FFT."""
    length = next_fast_len(max(2 * len(inputs) - 1, 1), real=True)
    response, spectrum = (jnp.fft.rfft(signal, length, axis=0) for signal in (response, inputs))
    return jnp.fft.irfft(jnp.einsum("foi,fi->fo", response, spectrum), length, axis=0)[: len(inputs)]


class AbstractStateSpace(Recurrence):
    """s[t] = A s[t-1] + B x[t],  y[t] = C s[t] + D x[t]; subclasses say what A and B are made of.

    Prepared weights hold `weight_hh` (A as a matrix), `weight_ih` (B), with a readout `readout` (C), with `direct`
    `direct` (D), and `transition`, A in the form that is fastest to apply: C A^k B can be read off for every family.
    """

    width: int
    readout_size: int | None
    direct: bool
    route: str

    @property
    def state_size(self) -> int:
        """Numbers in the state: width, or twice that for complex modes."""
        return self.width

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.state_size if self.readout_size is None else self.readout_size

    @abc.abstractmethod
    def discrete(self, weights: Weights) -> tuple[Transition, Columns]:
        """A and B of the recurrence that the weights stand for."""

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        like = {"weight_hh": weights["weight_ih"]}  # diagonal families have no weight_hh to take the precision of
        return Hidden(initial(weights | like, "initial_h", self.state_size))

    def prepare(self, weights: Weights) -> Weights:
        """A, B, C and D."""
        weights = jax.tree.map(jnp.asarray, weights)
        transition, columns = self.discrete(weights)
        rest = {name: weights[name] for name in ("readout", "readout_bias", "direct") if name in weights}
        return rest | {"transition": transition, "weight_hh": transition.matrix, "weight_ih": columns}

    def step(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        h = prepared["transition"].apply(state.h) + prepared["weight_ih"] @ x
        return Hidden(h), _outputs(prepared, h, x)

    def run(self, weights: Weights, state: Hidden, inputs: Float[Array, "time input"]) -> tuple[Hidden, Array]:
        """States and outputs of a whole sequence by the route of the layer; under `jit`, states not used cost nothing.

        `convolution` makes the outputs alone by FFT, and the states as `auto` would without it. Its errors are a few
        rounding errors of the largest output, at every step: take another route where outputs grow without bound.
        """
        prepared, route = self.prepare(weights), self.chosen(len(inputs))
        solve = paired if route == "associative" or (route == "convolution" and not _on_cpu()) else scanned
        h = solve(prepared["transition"], jnp.asarray(state.h), inputs @ prepared["weight_ih"].T)
        if route == "convolution":
            return Hidden(h), self._responding(prepared, state, inputs)
        return Hidden(h), _outputs(prepared, h, inputs)

    def _responding(self, prepared: Weights, state: Hidden, inputs: Float[Array, "time input"]) -> Array:
        """Outputs as the response to the inputs and to the first state, which acts like an input A s at time 0."""
        transition, columns = prepared["transition"], prepared["weight_ih"]
        readout = prepared.get("readout", jnp.eye(self.state_size, dtype=columns.dtype))
        response = impulse_response(transition, columns, readout, len(inputs))
        ringing = impulse_response(transition, transition.apply(jnp.asarray(state.h))[:, None], readout, len(inputs))[
            ..., 0
        ]
        y = convolved(response, inputs) + ringing + prepared.get("readout_bias", 0)
        return y + inputs @ prepared["direct"].T if "direct" in prepared else y

    def chosen(self, length: int) -> str:
        """The route for sequences of a length: the layer's own, or the fastest known where that is `auto`.

        A convolution handles each pair of an input and an output channel, the other routes each number of the state.
        Times of a training step of the complex diagonal layer at batch 32, float32, on one core (ms), from
        `benchmarks/state_space_routes.md` (-: not measured, far behind at fewer pairs):

        | length | width | channels in and out | scan | associative | convolution |
        | --- | --- | --- | --- | --- | --- |
        | 64 | 128 | 1 | 3.0 | 6.7 | 0.6 |
        | 1024 | 16 | 4 | 8.9 | 22 | 4.1 |
        | 1024 | 16 | 16 | 11 | 25 | 21 |
        | 1024 | 128 | 16 | 161 | 434 | 36 |
        | 1024 | 128 | 128 | 283 | 555 | - |
        | 16384 | 128 | 1 | 2291 | 6425 | 25 |

        So `convolution` is taken with up to 2 channel pairs a state number, for dense layers from length width / 2 on
        (the powers of A cost width^3); else `scan` on a CPU. On other devices `associative` replaces the scan, because
        sequential steps leave them idle: reasoned, not measured.
        """
        if self.route != "auto":
            return self.route
        few_pairs = self.input_size * self.output_size <= PAIRS_A_STATE * self.state_size
        if few_pairs and length >= self.fewest_convolved:
            return "convolution"
        return "scan" if _on_cpu() else "associative"

    @property
    def fewest_convolved(self) -> int:
        """Steps from which on the powers of A pay for themselves."""
        return 1


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _outputs(prepared: Weights, h: States, x: Float[Array, "*rows input"]) -> Float[Array, "*rows output"]:
    y = read_out(prepared, h)
    return y + x @ prepared["direct"].T if "direct" in prepared else y


def _checked(layer: AbstractStateSpace, names: tuple[str, ...]) -> None:
    """Refuses sizes and names that no layer has."""
    known(layer.initialisation, names, "initialisation")  # type: ignore[attr-defined]
    known(layer.route, ROUTES, "route")
    check_sizes(layer, "input_size", "width", "readout_size")


def _ordered(layer: AbstractStateSpace, low: str, high: str, least: float, most: float) -> None:
    """Refuses a range that is empty or leaves [least, most]."""
    bounds = getattr(layer, low), getattr(layer, high)
    if not least <= bounds[0] <= bounds[1] <= most:
        raise ValueError(
            f"{low} and {high} are a range within [{least:g}, {most:g}], got {low}={bounds[0]:g}, {high}={bounds[1]:g}"
        )


def _normal(key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "row column"]:
    """Normal entries of variance 1 / columns."""
    return jax.random.normal(key, shape, dtype) / jnp.sqrt(shape[1]).astype(dtype)


def _around(layer: AbstractStateSpace, key: PRNGKeyArray, dtype: Any, parts: int = 1) -> Weights:
    """Fresh B, C and D; entries of B have variance 1 / (parts x input_size)."""
    keys = jax.random.split(key, 3)
    columns = _normal(keys[0], (layer.state_size, layer.input_size), dtype)
    weights = {"weight_ih": columns / jnp.sqrt(parts).astype(dtype)}
    if layer.readout_size is not None:
        weights["readout"] = _normal(keys[1], (layer.readout_size, layer.state_size), dtype)
    if layer.direct:
        weights["direct"] = _normal(keys[2], (layer.output_size, layer.input_size), dtype)
    return weights


@dataclass(frozen=True)
class StateSpace(AbstractStateSpace):
    """s[t] = weight_hh s[t-1] + weight_ih x[t],  y[t] = readout s[t] + direct x[t], all matrices trained as they are.

    Weights: `weight_hh` (width, width), `weight_ih` (width, input), `readout` (readout_size, width) unless that is
    None, when y = s + direct x; with `direct` also `direct` (output, input); optionally `initial_h` (width).

    | initialisation | fresh weight_hh |
    | --- | --- |
    | `orthogonal` | sqrt(variance) Q, Q uniform over orthogonal matrices |
    | `gaussian` | independent normal entries of variance `variance / width` |
    | `leaky` | decay I + gaussian; in the wide limit stable while decay + sqrt(variance) < 1 |
    | `identity` | decay I |

    Entries of fresh weight_ih and direct have variance 1 / input_size, those of the readout 1 / width.

    Attributes:
        route: `scan` goes step by step, `associative` in log2(time) rounds, `convolution` by FFT with the impulse
            response; `auto` takes the fastest, see `chosen`.
    Raises:
        ValueError: for sizes below 1 and names that do not exist.

    Cost: a step is width^2 + width (input + output) products for `scan`, twice that for `associative`.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    initialisation: str = "orthogonal"
    variance: float = 1.0
    decay: float = 0.5
    direct: bool = False
    route: str = "auto"

    def __post_init__(self) -> None:
        _checked(self, ("orthogonal", "gaussian", "leaky", "identity"))

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_hh, key_rest = jax.random.split(key)
        return {"weight_hh": self._fresh(key_hh, dtype)} | _around(self, key_rest, dtype)

    def _fresh(self, key: PRNGKeyArray, dtype: Any) -> Float[Array, "width width"]:
        scale = jnp.sqrt(self.variance).astype(dtype)
        if self.initialisation == "orthogonal":
            return scale * jax.random.orthogonal(key, self.width, dtype=dtype)
        normal = scale * _normal(key, (self.width, self.width), dtype)
        if self.initialisation == "gaussian":
            return normal
        held = self.decay * jnp.eye(self.width, dtype=dtype)
        return held + normal if self.initialisation == "leaky" else held

    @property
    def fewest_convolved(self) -> int:
        """Steps from which on the powers of A pay for themselves."""
        return self.width // 2

    def discrete(self, weights: Weights) -> tuple[DenseTransition, Columns]:
        """The weights as they are."""
        return DenseTransition(weights["weight_hh"]), weights["weight_ih"]


@dataclass(frozen=True)
class DiagonalStateSpace(AbstractStateSpace):
    """s[t] = lambda s[t-1] + gain weight_ih x[t],  y[t] = readout [Re s[t], Im s[t]] + direct x[t], mode by mode.

    So y = Re(C s) + D x with C = readout[:, :width] - i readout[:, width:], without a factor 2 for conjugate modes.

    | initialisation | law of lambda |
    | --- | --- |
    | `ring` | complex: |lambda|^2 uniform on [r_min^2, r_max^2], phase uniform on [0, max_phase): uniform over a ring |
    | `uniform` | real: uniform on [r_min, r_max] |

    | parametrisation | lambda | trained, (width) each |
    | --- | --- | --- |
    | `exponential` | exp(-e^log_decay + i e^log_phase), inside the unit circle | `log_decay`, `log_phase` if complex |
    | `plain` | multiplier | `multiplier`: (2, width) real and imaginary parts, (width) if real |

    Other weights: `weight_ih` (modes, input) with the real parts of all modes first, then the imaginary parts;
    `readout` (readout_size, modes), `direct` and `initial_h` as in `StateSpace`; with `normalise` `log_gain` (width),
    gain = e^log_gain, at first sqrt(1 - |lambda|^2), which gives every mode the same stationary variance; else gain 1.
    Fresh B and C: |entry|^2 has mean 1 / input_size and 1 / width; entries of D have variance 1 / input_size.

    Attributes:
        max_phase: in radians; small values hold slow modes only.
        route: see `StateSpace`.
    Raises:
        ValueError: for sizes below 1, names that do not exist, a range outside [0, 1], `normalise` where all
            |lambda| are 1.

    Source: Orvieto et al. (arXiv 2303.06349), the linear recurrent unit, for `ring`, `exponential` and the gain.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    initialisation: str = "ring"
    parametrisation: str = "exponential"
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi
    normalise: bool = True
    direct: bool = False
    route: str = "auto"

    def __post_init__(self) -> None:
        _checked(self, ("ring", "uniform"))
        known(self.parametrisation, ("exponential", "plain"), "parametrisation of a diagonal recurrence")
        _ordered(self, "r_min", "r_max", 0.0, 1.0)
        if self.normalise and self.r_min == 1:
            raise ValueError("the gain sqrt(1 - |lambda|^2) is 0 for r_min = 1: lower r_min, or set normalise=False")

    @property
    def complex(self) -> bool:
        """Whether modes are complex."""
        return self.initialisation == "ring"

    @property
    def state_size(self) -> int:
        """Numbers in the state: width, or twice that for complex modes."""
        return 2 * self.width if self.complex else self.width

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_r, key_phase, key_rest = jax.random.split(key, 3)
        power = 2 if self.complex else 1
        least = max(self.r_min**power, float(jnp.finfo(dtype).tiny))  # the logarithm of a modulus 0 has no slope
        modulus = jax.random.uniform(key_r, (self.width,), dtype, least, self.r_max**power) ** (1 / power)
        phase = jax.random.uniform(key_phase, (self.width,), dtype, 0, self.max_phase) if self.complex else None
        weights = self._modes(modulus, phase) | _around(self, key_rest, dtype, 2 if self.complex else 1)
        return weights | ({"log_gain": jnp.log1p(-(modulus**2)) / 2} if self.normalise else {})

    def _modes(self, modulus: Float[Array, " mode"], phase: Float[Array, " mode"] | None) -> Weights:
        """The weights of given lambda."""
        if self.parametrisation == "exponential":
            decay = {"log_decay": jnp.log(-jnp.log(modulus))}
            return decay if phase is None else decay | {"log_phase": jnp.log(phase)}
        if phase is None:
            return {"multiplier": modulus}
        return {"multiplier": modulus * jnp.stack([jnp.cos(phase), jnp.sin(phase)])}

    def discrete(self, weights: Weights) -> tuple[Transition, Columns]:
        """lambda, and B with its gain."""
        columns = weights["weight_ih"]
        if self.normalise:
            columns = columns * jnp.tile(jnp.exp(weights["log_gain"]), self.state_size // self.width)[:, None]
        return self._transition(weights), columns

    def _transition(self, weights: Weights) -> Transition:
        if self.parametrisation == "plain":
            multiplier = weights["multiplier"]
            return ComplexTransition(*multiplier) if self.complex else RealTransition(multiplier)
        modulus = jnp.exp(-jnp.exp(weights["log_decay"]))
        if not self.complex:
            return RealTransition(modulus)
        phase = jnp.exp(weights["log_phase"])
        return ComplexTransition(modulus * jnp.cos(phase), modulus * jnp.sin(phase))


@dataclass(frozen=True)
class SampledStateSpace(AbstractStateSpace):
    """ds/dt = a s + weight_ih x held constant for a step dt: s[t] = e^(a dt) s[t-1] + (e^(a dt) - 1)/a weight_ih x[t].

    y[t] = readout [Re s[t], Im s[t]] + direct x[t] as in `DiagonalStateSpace`. Each mode has its own step, log-uniform
    on [dt_min, dt_max] at first; a = -e^log_decay + i frequency.

    | initialisation | a of mode n = 0, 1, .. |
    | --- | --- |
    | `s4d_lin` | -1/2 + i pi n |
    | `s4d_inv` | -1/2 + i (N/pi) (N/(2n + 1) - 1), N = 2 width |
    | `s5` | -1/2 + i w_n, where +-i w are the eigenvalues of the skew part of the HiPPO-LegS matrix of size 2 width |
    | `leaky` | -1, real: leaky integrators s + (1 - e^-dt)(x - s), e^-dt log-flat in its time constants |

    Weights: `log_decay`, `log_step` and, if complex, `frequency` (width); `weight_ih`, `readout`, `direct` and
    `initial_h` as in `DiagonalStateSpace`.

    Attributes:
        dt_min, dt_max: steps in units of the time of `a`; memory reaches from about 1 / dt_max to 1 / dt_min steps.
        route: see `StateSpace`.
    Raises:
        ValueError: for sizes below 1, names that do not exist, steps that are not positive or out of order.

    Source: Gu et al. (arXiv 2206.11893) for S4D; Smith et al. (arXiv 2208.04933) for S5, whose structured start of B
    and C is not used here.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    initialisation: str = "s4d_lin"
    dt_min: float = 0.001
    dt_max: float = 0.1
    direct: bool = False
    route: str = "auto"

    def __post_init__(self) -> None:
        _checked(self, ("s4d_lin", "s4d_inv", "s5", "leaky"))
        _ordered(self, "dt_min", "dt_max", float(np.finfo(np.float32).tiny), math.inf)

    @property
    def complex(self) -> bool:
        """Whether modes are complex."""
        return self.initialisation != "leaky"

    @property
    def state_size(self) -> int:
        """Numbers in the state: width, or twice that for complex modes."""
        return 2 * self.width if self.complex else self.width

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_step, key_rest = jax.random.split(key)
        low, high = math.log(self.dt_min), math.log(self.dt_max)
        step = {"log_step": jax.random.uniform(key_step, (self.width,), dtype, low, high)}
        poles = {"log_decay": jnp.full(self.width, math.log(0.5) if self.complex else 0.0, dtype)}
        if self.complex:
            poles["frequency"] = jnp.asarray(self._frequencies(), dtype)
        return poles | step | _around(self, key_rest, dtype, 2 if self.complex else 1)

    def _frequencies(self) -> Float[np.ndarray, " mode"]:
        """Imaginary parts of fresh poles."""
        n, size = np.arange(self.width), 2 * self.width
        if self.initialisation == "s4d_lin":
            return np.pi * n
        if self.initialisation == "s4d_inv":
            return size / np.pi * (size / (2 * n + 1) - 1)
        root = np.sqrt(np.arange(size) + 0.5)
        skew = np.tril(np.outer(root, root), -1)
        return np.linalg.eigvalsh(1j * (skew - skew.T))[self.width :]

    def discrete(self, weights: Weights) -> tuple[Transition, Columns]:
        """e^(a dt) and (e^(a dt) - 1)/a weight_ih; e^(a dt) - 1 is made without cancellation for small steps."""
        decay, step, columns = jnp.exp(weights["log_decay"]), jnp.exp(weights["log_step"]), weights["weight_ih"]
        shrunk = jnp.expm1(-decay * step)
        if not self.complex:
            return RealTransition(jnp.exp(-decay * step)), (-shrunk / decay)[:, None] * columns
        frequency, modulus = weights["frequency"], jnp.exp(-decay * step)
        sine, half = jnp.sin(frequency * step), jnp.sin(frequency * step / 2)
        change = ComplexTransition(shrunk - 2 * modulus * half**2, modulus * sine)
        square = decay**2 + frequency**2  # dividing by a is multiplying by its conjugate over |a|^2
        held = ComplexTransition(-decay / square, -frequency / square)
        transition = ComplexTransition(modulus * jnp.cos(frequency * step), modulus * sine)
        return transition, held.apply(change.apply(columns.T)).T
