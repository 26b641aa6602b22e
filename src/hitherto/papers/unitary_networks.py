"""What the claims about unitary twins share: the paper, drawn networks, twins around a matrix, and exact runs.

A run is exact in fractions where the units are piecewise linear, and has 60 digits for most others: that two maps are
equal, or are not, cannot be told from outputs in double precision.
"""

from collections.abc import Callable
from fractions import Fraction
from math import inf
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from hitherto.architectures.activations import activation
from hitherto.core.claim import Case
from hitherto.core.quantity import FUNCTION_GAP, TWIN_STATES, Estimate
from hitherto.core.source import Paper, Source
from hitherto.papers.depth_networks import exact
from hitherto.theory.unitary_digits import outputs_in_digits
from hitherto.theory.unitary_exact import as_fractions
from hitherto.theory.unitary_network import Inputs, Network, box

PAPER = Paper(
    key="emami2019unitary",
    title="Input-Output Equivalence of Unitary and Contractive RNNs",
    authors=("Melikasadat Emami", "Mojtaba Sahraee-Ardakan", "Sundeep Rangan", "Alyson K. Fletcher"),
    year=2019,
    arxiv="1910.13672",
    venue="Advances in Neural Information Processing Systems 32",
)
OURS = Source(PAPER, "our derivation beside it")
ROUNDED = 1e-13  # entries of W_u^T W_u - I that rounding may leave
SAME = 1e-9  # share of the outputs that rescaled units may leave by rounding

Numbers = Shaped[np.ndarray, "..."]  # floats, or fractions in arrays of objects
Units = Callable[[Numbers], Numbers]

# ---------------------------------------------------------------- networks


class Parts(NamedTuple):
    """W, F, b, C and h[-1], in floats or in fractions; `theory.unitary_network.Network` takes floats alone."""

    weight_hh: Numbers
    weight_ih: Numbers
    bias: Numbers
    readout: Numbers
    initial: Numbers

    @property
    def network(self) -> Network:
        """The same in floats."""
        return Network(*(part.astype(float) for part in self))

    @property
    def fractions(self) -> "Parts":
        """The same in fractions; floats are the binary fractions that they are."""
        return Parts(*map(as_fractions, self))


def parts_of(network: Network) -> Parts:
    """Its numbers as a tuple."""
    return Parts(network.weight_hh, network.weight_ih, network.bias, network.readout, network.initial)


def drawn(case: Case) -> Network:
    """Gaussian weights for two inputs and outputs, W of the norm of the case."""
    rng, n = np.random.default_rng(case.seed), case.width
    w, f, b, c, h = (rng.normal(size=shape) for shape in ((n, n), (n, 2), n, (2, n), n))
    return Network(case.norm * w / np.linalg.norm(w, 2), f, 0.3 * b, c, 0.5 * h)


def norm_below_1(case: Case) -> str | None:
    """The hypothesis that W is contractive."""
    return None if case.norm < 1 else f"the norm is {case.norm} and must be below 1"


def rotation(size: int, rng: np.random.Generator) -> Float[np.ndarray, "row column"]:
    """A random orthogonal matrix."""
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def rational(values: tuple[str, ...], seed: int) -> Parts:
    """A network of fractions for two inputs and outputs, whose W has these singular values, such as 3/5, 0 and 1."""
    rng, n = np.random.default_rng(seed), len(values)
    w = (rational_rotation(n, rng) * as_fractions(np.array(values, object))) @ rational_rotation(n, rng)
    rest = (rng.integers(-4, 5, shape) / 4 for shape in ((n, 2), n, (2, n), n))
    return Parts(w, *map(as_fractions, rest))


def rational_rotation(size: int, rng: np.random.Generator) -> Numbers:
    """A product of rotations of fractions, by Pythagorean triples, in all planes."""
    whole = as_fractions(np.eye(size))
    for i in range(size):
        for j in range(i):
            p, q, r = ((3, 4, 5), (5, 12, 13), (8, 15, 17))[rng.integers(3)]
            c, s = Fraction(p, r), Fraction(q, r)
            whole[:, [i, j]] = whole[:, [i, j]] @ np.array([[c, -s], [s, c]])
    return whole


def around(own: Parts, weight_hh: Numbers, bias: Numbers, shift: Numbers | int = 0, start: float | int = 0) -> Parts:
    """The network of a larger matrix with corner W: extra units have a bias and an initial state, and are not read."""
    extra = len(weight_hh) - len(own.weight_hh)
    return Parts(
        weight_hh,
        np.vstack([own.weight_ih, np.zeros((extra, own.weight_ih.shape[1]), int)]),
        np.concatenate([own.bias + shift, bias]),
        np.hstack([own.readout, np.zeros((len(own.readout), extra), int)]),
        np.concatenate([own.initial, np.full(extra, start)]),
    )


# ---------------------------------------------------------------- inputs

CUBE: Inputs = box(-np.ones(2), np.ones(2))


def signals(length: int, seed: int) -> Float[np.ndarray, "time input"]:
    """Multiples of 1/4 from -1 to 1, corners among them, which are few digits in fractions."""
    return np.random.default_rng(seed).integers(-4, 5, (length, 2)) / 4


def unbounded(length: int, seed: int, factor: float) -> Float[np.ndarray, "time input"]:
    """The same, larger by the factor at every other step."""
    return signals(length, seed) * np.where(np.arange(length) % 2, factor, 1.0)[:, None]


# ---------------------------------------------------------------- runs

UNITS: dict[str, Units] = {  # in the numbers that they are given
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu(0.25)": lambda z: np.maximum(z, z / 4),
    "linear": lambda z: z,
    "abs": abs,
    "square": lambda z: z * z,
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "relu6": lambda z: np.clip(z, 0, 6),
    "hard_sigmoid(0.25,0.5)": lambda z: np.clip(z / 4 + Fraction(1, 2), 0, 1),
    "soft_shrink(8)": lambda z: z - np.clip(z, -8, 8),
    "group_sort": lambda z: -np.sort(-z.reshape(-1, 2), axis=1).ravel(),
}
IN_DIGITS = ("sigmoid", "tanh", "softplus", "elu")


def states(parts: Parts, inputs: Numbers, units: Units) -> Numbers:
    """h[0], h[1], ... in the numbers of the network."""
    h, found = parts.initial, []
    for x in inputs:
        h = units(parts.weight_hh @ h + parts.weight_ih @ x + parts.bias)
        found.append(h)
    return np.array(found)


def outputs(parts: Parts, inputs: Numbers, name: str) -> Numbers:
    """y[0], y[1], ... in fractions: exact, of 60 digits, or for other units in double precision."""
    own, x = parts.fractions, as_fractions(inputs)
    if name in IN_DIGITS:
        return as_fractions(outputs_in_digits(own, x, name))
    if name in UNITS:
        return states(own, x, UNITS[name]) @ own.readout.T
    return as_fractions(states_in_floats(parts, inputs, name)) @ own.readout.T


def states_in_floats(parts: Parts, inputs: Numbers, name: str) -> Float[np.ndarray, "time state"]:
    """h[0], h[1], ... in double precision."""
    units = activation(name)
    return states(parts_of(parts.network), inputs, lambda z: np.asarray(units(jnp.asarray(z))))


def largest(numbers: Numbers) -> float:
    """The largest size; above 0 for any fraction that is not 0."""
    most = np.abs(numbers).max(initial=0)
    return float(most) or float(most != 0)


def residual(weight_hh: Numbers) -> float:
    """The largest entry of |W^T W - I|, in the numbers of W; complex W have W^H for W^T."""
    return largest(weight_hh.conj().T @ weight_hh - np.eye(len(weight_hh), dtype=int))


def map_gap(own: Parts, other: Parts, inputs: Numbers, name: str = "relu") -> Estimate:
    """The largest difference of two networks' outputs."""
    return exact(FUNCTION_GAP, largest(outputs(own, inputs, name) - outputs(other, inputs, name)))


def twin_gap(own: Parts, twin: Parts, inputs: Numbers, name: str = "relu", rounded: float = ROUNDED) -> Estimate:
    """`map_gap`, infinite where the twin is not orthogonal."""
    if residual(twin.weight_hh) > rounded:
        return exact(FUNCTION_GAP, inf)
    return map_gap(own, twin, inputs, name)


def twin_states(own: Parts, twin: Parts, inputs: Numbers, name: str = "relu", same: float = SAME) -> Estimate:
    """States of a twin; infinitely many if it is not orthogonal, or its outputs differ by more than a share `same`."""
    differs = twin_gap(own, twin, inputs, name).value > same * largest(outputs(own, inputs, name))
    return exact(TWIN_STATES, inf if differs else len(twin.weight_hh))
