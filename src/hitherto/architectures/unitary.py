"""Recurrent layers whose recurrent matrix stays orthogonal, or unitary, through training."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.activations import activation
from hitherto.architectures.rnn import affine, initial, read_out
from hitherto.core.model import Hidden, Recurrence, Weights, check_sizes
from hitherto.core.names import known

PARAMETRISATIONS = ("exponential", "cayley", "householder", "rotations", "projection")
MODRELU = "modrelu"

Square = Float[Array, "unit unit"]


@dataclass(frozen=True)
class UnitaryRNN(Recurrence):
    """h[t] = activation(W h[t-1] + weight_ih x[t] + bias_ih),  y[t] = readout h[t],  W orthogonal or unitary.

    | parametrisation | W | trained | fresh W |
    | --- | --- | --- | --- |
    | `exponential` | exp(A), A skew | `skew`: width (width - 1) / 2 | P R P^T, angles of R uniform on [-pi, pi] |
    | `cayley` | (I - A/2)^-1 (I + A/2) D, A skew | `skew` | the same before D, angles on [-pi/2, pi/2] |
    | `householder` | H_1 ... H_r, H = I - 2 v v^T / |v|^2 | `reflectors`: (r, width), rows v | Haar if r = width |
    | `rotations` | (S R_q) ... (S R_1), R turns units i, i + width / 2 | `angle`: (q, width / 2) | angles uniform |
    | `projection` | `weight_hh` as it stands | `weight_hh`: (width, width) | Haar |

    P is Haar (uniform over all orthogonal or unitary matrices), R rotates width / 2 planes, or multiplies each
    complex unit by a phase. S riffles the two halves into each other, as a fast Fourier transform does: log2 width
    layers mix all units, and more reach more of the group. `projection` leaves the group in a training step; `project`
    brings it back. With r < width the first r columns of a fresh W are uniform. det W is 1, (-1)^flips, (-1)^r, fixed
    and free; exp(A) reaches every rotation, Cayley with D every orthogonal matrix but those for which W D has an
    eigenvalue -1.

    Complex units: W is unitary, and h, the rows of `weight_ih` and `bias_ih` and the columns of `readout` hold the
    real parts of all units first, then the imaginary parts: y = Re(C h) for C = readout[:, :width] - i
    readout[:, width:]. The prepared `weight_hh` is [[Re W, -Im W], [Im W, Re W]], orthogonal of size 2 width.
    `exponential` and `cayley` add the imaginary part `symmetric` of A, width (width + 1) / 2; reflectors are
    [Re v, Im v]; `householder` ends with trained phases `phase` (width), each layer of `rotations` with its own,
    `phase` (q, width); `projection` holds (2, width, width).

    Other weights: `weight_ih` (units, input), entries of variance 1 / input_size; `readout` (readout_size, units),
    variance 1 / units; with `bias` also `bias_ih` (units), 0 at first; optionally `initial_h` (units).

    Attributes:
        readout_size: None for y = h.
        activation: any pointwise name, which acts on real and imaginary parts alike; or `modrelu`, (|a| + b)_+ a / |a|
            with the trained `modulus_bias` b (width) in place of `bias_ih`, the identity without bias.
        reflections: r of `householder`, at most width, which is the default.
        rotations: q of `rotations`, twice log2 width by default; width must be even.
        flipped: share of the units whose sign D flips in `cayley`; D is fixed.
    Raises:
        ValueError: for sizes below 1, more reflections than units, an odd width with rotations, a share above 1, or
            names that do not exist.

    Cost: W is made once a sequence in O(width^3), with r reflections or q rotations in O(width^2 r) or O(width^2 q),
    whatever the length and, under `jax.vmap` over sequences, the batch.
    Source: exponential and Cayley maps, Householder products and projection are classical; modrelu is from Arjovsky,
    Shah and Bengio (arXiv 1511.06464), D from Helfrich, Willmott and Ye (arXiv 1707.09520), layers of rotations from
    Jing and others (arXiv 1612.05231), with our shuffle.
    """

    input_size: int
    width: int
    readout_size: int | None = None
    parametrisation: str = "exponential"
    activation: str = "relu"
    bias: bool = True
    complex: bool = False
    reflections: int | None = None
    flipped: float = 0.5
    rotations: int | None = None

    def __post_init__(self) -> None:
        known(self.parametrisation, PARAMETRISATIONS, "parametrisation of an orthogonal matrix")
        if self.activation != MODRELU:
            activation(self.activation)
        check_sizes(self, "input_size", "width", "readout_size", "reflections", "rotations")
        if self.parametrisation == "rotations" and self.width % 2:
            raise ValueError(f"rotations turn units in pairs, and {self.width} units are odd; give an even width")
        if self.reflections is not None and self.reflections > self.width:
            raise ValueError(
                f"{self.reflections} reflections are more than {self.width} units need; give at most width, or None"
            )
        if not 0 <= self.flipped <= 1:
            raise ValueError(f"flipped is a share of the units, between 0 and 1, got {self.flipped}")

    @property
    def units(self) -> int:
        """Entries of h: width, or twice that for complex units."""
        return 2 * self.width if self.complex else self.width

    @property
    def output_size(self) -> int:
        """Channels of y."""
        return self.units if self.readout_size is None else self.readout_size

    def init(self, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Weights:
        """Fresh weights by the law of the class."""
        key_w, key_in, key_out = jax.random.split(key, 3)
        weights = _fresh(self, key_w, dtype)
        weights["weight_ih"] = _normal(key_in, (self.units, self.input_size), dtype)
        if self.readout_size is not None:
            weights["readout"] = _normal(key_out, (self.readout_size, self.units), dtype)
        if self.bias and self.activation == MODRELU:
            weights["modulus_bias"] = jnp.zeros(self.width, dtype)
        elif self.bias:
            weights["bias_ih"] = jnp.zeros(self.units, dtype)
        return weights

    def start(self, weights: Weights) -> Hidden:
        """The state before the first input."""
        like = {"weight_hh": weights["weight_ih"]}  # most parametrisations have no weight_hh to take the precision of
        return Hidden(initial(weights | like, "initial_h", self.units))

    def recurrent_matrix(self, weights: Weights) -> Square:
        """The orthogonal W that the weights stand for, (units, units)."""
        weights = jax.tree.map(jnp.asarray, weights)
        if self.parametrisation == "projection":
            return _real_form(*weights["weight_hh"]) if self.complex else weights["weight_hh"]
        if self.parametrisation == "householder":
            return _reflected(weights)
        if self.parametrisation == "rotations":
            return _turned(weights)
        if self.parametrisation == "exponential":
            return _exponential(self._generator(weights))
        return _cayley(self._generator(weights)) * self._signs

    @property
    def _signs(self) -> Float[Array, " unit"]:
        """Diagonal of D."""
        flips = jnp.arange(self.width) < round(self.flipped * self.width)
        return jnp.tile(jnp.where(flips, -1.0, 1.0), self.units // self.width)

    def _generator(self, weights: Weights) -> Square:
        """The skew matrix that the vectors `skew` and `symmetric` fill."""
        above = jnp.triu_indices(self.width, 1)
        half = jnp.zeros((self.width, self.width), weights["skew"].dtype).at[above].set(weights["skew"])
        if not self.complex:
            return half - half.T
        half_imag = jnp.zeros_like(half).at[jnp.triu_indices(self.width)].set(weights["symmetric"])
        return _real_form(half - half.T, half_imag + jnp.triu(half_imag, 1).T)

    def prepare(self, weights: Weights) -> Weights:
        """The weights of an RNN: `weight_hh` made, and all that is not part of its parametrisation."""
        made_of = ("skew", "symmetric", "reflectors", "angle", "phase")
        rest = {name: jnp.asarray(w) for name, w in weights.items() if name not in made_of}
        return rest | {"weight_hh": self.recurrent_matrix(weights)}

    def project(self, weights: Weights) -> Weights:
        """For `projection` the orthogonal matrix nearest to `weight_hh` in the Frobenius norm; else the same."""
        if self.parametrisation != "projection":
            return weights
        nearest = _nearest_orthogonal(self.recurrent_matrix(weights))
        return weights | {"weight_hh": _parts(nearest) if self.complex else nearest}

    @property
    def nonlinearities(self) -> dict[str, str]:
        """Pointwise activation by gate; none for `modrelu`, which is not pointwise in the parts of a complex unit."""
        return {} if self.activation == MODRELU else {"hidden": self.activation}

    def preactivations(
        self, prepared: Weights, state: Hidden, x: Float[Array, " input"]
    ) -> dict[str, Float[Array, " unit"]]:
        """What enters the activations that `nonlinearities` names, with prepared weights."""
        return {gate: _entering(prepared, state, x) for gate in self.nonlinearities}

    def step(self, prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> tuple[Hidden, Array]:
        """(state before, x) -> (state after, y)."""
        a = _entering(prepared, state, x)
        if self.activation == MODRELU:
            h = _modrelu(a, prepared.get("modulus_bias", 0.0), self.width)
        else:
            h = activation(self.activation)(a)
        return Hidden(h), read_out(prepared, h)


def _entering(prepared: Weights, state: Hidden, x: Float[Array, " input"]) -> Float[Array, " unit"]:
    return affine(prepared, "ih", x) + affine(prepared, "hh", state.h)


def _modrelu(a: Float[Array, " unit"], bias: Float[Array, " width"] | float, width: int) -> Float[Array, " unit"]:
    """(|a| + bias)_+ a / |a|, and 0 at a = 0; for twice `width` units |a| is the modulus of complex numbers."""
    parts = a.reshape(-1, width)
    square = (parts**2).sum(0)
    modulus = jnp.sqrt(jnp.where(square > 0, square, 1))  # the slope of a root at 0 would be NaN times 0
    return (parts * jnp.where(square > 0, jax.nn.relu(modulus + bias) / modulus, 0)).reshape(-1)


def _exponential(skew: Square) -> Square:
    return _polished(jax.scipy.linalg.expm(skew))


def _cayley(skew: Square) -> Square:
    identity = jnp.eye(len(skew), dtype=skew.dtype)
    return _polished(jnp.linalg.solve(identity - skew / 2, identity + skew / 2))


def _polished(w: Square) -> Square:
    """One Newton-Schulz step: an orthogonality error e becomes e^2 and rounding; gradients along the group stay."""
    return 1.5 * w - 0.5 * w @ (w.T @ w)


def _reflected(weights: Weights) -> Square:
    """H_1 ... H_r = I - V^T T V with 1/T = (V V^T above its diagonal) + I / 2, for unit rows v of V."""
    v = weights["reflectors"]
    if "phase" in weights:  # I - 2 v v^H is in real form a reflection along v, and one along i v
        re, im = jnp.split(v, 2, -1)
        v = jnp.stack([v, jnp.concatenate([-im, re], -1)], 1).reshape(-1, v.shape[-1])
    v = v / jnp.linalg.norm(v, axis=-1, keepdims=True)
    inverse = jnp.triu(v @ v.T, 1) + jnp.eye(len(v), dtype=v.dtype) / 2
    w = jnp.eye(v.shape[-1], dtype=v.dtype) - v.T @ jax.scipy.linalg.solve_triangular(inverse, v)
    return w @ _rotation(weights["phase"]) if "phase" in weights else w


def _turned(weights: Weights) -> Square:
    """(S R_q) ... (S R_1), with the phases of complex units after each S."""
    angle = weights["angle"]
    n = 2 * angle.shape[1]
    cos, sin = jnp.cos(angle)[..., None], jnp.sin(angle)[..., None]
    w = jnp.eye(n, dtype=jnp.result_type(angle, jnp.complex64) if "phase" in weights else angle.dtype)
    for k in range(len(angle)):
        low, high = jnp.split(w, 2)
        turned = jnp.stack([cos[k] * low - sin[k] * high, sin[k] * low + cos[k] * high], 1)
        w = turned.reshape(n, n)  # unit i of the first half, then unit i of the second
        w = w * jnp.exp(1j * weights["phase"][k])[:, None] if "phase" in weights else w
    return _real_form(w.real, w.imag) if "phase" in weights else w


def _rotation(phase: Float[Array, " width"]) -> Square:
    """The phases exp(i phase) of complex units in real form."""
    return _real_form(jnp.diag(jnp.cos(phase)), jnp.diag(jnp.sin(phase)))


def _real_form(re: Float[Array, "width width"], im: Float[Array, "width width"]) -> Square:
    """re + i im as a real matrix that acts on [Re h, Im h]."""
    return jnp.block([[re, -im], [im, re]])


def _parts(w: Square) -> Float[Array, "2 width width"]:
    """Real and imaginary part of a matrix in real form."""
    n = len(w) // 2
    return jnp.stack([w[:n, :n], w[n:, :n]])


def _nearest_orthogonal(w: Square) -> Square:
    left, _, right = jnp.linalg.svd(w)
    return left @ right


def _normal(key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "row column"]:
    return jax.random.normal(key, shape, dtype) / jnp.sqrt(shape[1]).astype(dtype)


def _fresh(layer: UnitaryRNN, key: PRNGKeyArray, dtype: Any) -> Weights:
    """Weights of a random W by the law of the class."""
    if layer.parametrisation == "projection":
        haar = _haar(layer, key, dtype)
        return {"weight_hh": _parts(haar) if layer.complex else haar}
    if layer.parametrisation == "householder":
        return _haar_reflections(layer, key, dtype)
    if layer.parametrisation == "rotations":
        return _random_angles(layer, key, dtype)
    return _random_rotation(layer, key, dtype)


def _haar(layer: UnitaryRNN, key: PRNGKeyArray, dtype: Any) -> Square:
    """The orthogonal factor of a normal matrix."""
    n = layer.width
    if not layer.complex:
        return _nearest_orthogonal(jax.random.normal(key, (n, n), dtype))
    return _nearest_orthogonal(_real_form(*jax.random.normal(key, (2, n, n), dtype)))


def _random_rotation(layer: UnitaryRNN, key: PRNGKeyArray, dtype: Any) -> Weights:
    """The generator P B P^T of rotations by uniform angles in a Haar basis."""
    key_basis, key_angle = jax.random.split(key)
    planes, widest = layer.units // 2, jnp.pi if layer.parametrisation == "exponential" else jnp.pi / 2
    angle = jax.random.uniform(key_angle, planes, dtype, -widest, widest)
    angle = angle if layer.parametrisation == "exponential" else 2 * jnp.tan(angle / 2)
    quarter = (
        jnp.zeros((layer.units, layer.units), dtype).at[jnp.arange(planes), jnp.arange(planes) + planes].set(angle)
    )
    basis = _haar(layer, key_basis, dtype)
    generator = basis @ (quarter.T - quarter) @ basis.T
    n = layer.width
    weights = {"skew": generator[:n, :n][jnp.triu_indices(n, 1)]}
    return weights | ({"symmetric": generator[n:, :n][jnp.triu_indices(n)]} if layer.complex else {})


def _random_angles(layer: UnitaryRNN, key: PRNGKeyArray, dtype: Any) -> Weights:
    """Uniform angles, and phases for complex units."""
    key_angle, key_phase = jax.random.split(key)
    q = layer.rotations or 2 * max(1, (layer.width - 1).bit_length())
    weights = {"angle": jax.random.uniform(key_angle, (q, layer.width // 2), dtype, -jnp.pi, jnp.pi)}
    if layer.complex:
        weights["phase"] = jax.random.uniform(key_phase, (q, layer.width), dtype, -jnp.pi, jnp.pi)
    return weights


def _haar_reflections(layer: UnitaryRNN, key: PRNGKeyArray, dtype: Any) -> Weights:
    """Reflectors x_k + s_k |x_k| e_k, where x_k is normal from entry k on and s_k a sign, or minus the phase of x_kk.

    H_k then sends e_k to a uniform direction of entries k on (Stewart, SIAM J. Numer. Anal. 17, 1980); the last real
    one has no choice but to flip its entry.
    """
    key_x, key_s = jax.random.split(key)
    n, r = layer.width, layer.reflections or layer.width
    x = jnp.triu(jax.random.normal(key_x, (layer.units // n, r, n), dtype))
    length = jnp.sqrt((x**2).sum((0, 2)))
    k = jnp.arange(r)
    if layer.complex:
        corner = x[:, k, k]
        x = x.at[:, k, k].add(length * corner / jnp.linalg.norm(corner, axis=0))
        phase = jax.random.uniform(key_s, (n,), dtype, 0, 2 * jnp.pi)
        return {"reflectors": jnp.concatenate([x[0], x[1]], -1), "phase": phase}
    sign = jnp.where(k < n - 1, jax.random.rademacher(key_s, (r,), dtype), jnp.sign(x[0, k, k]))
    return {"reflectors": x[0].at[k, k].add(sign * length)}
