"""Linear stacks h_l[t] = W_l h_l[t-1] + U_l h_(l-1)[t], y[t] = V h_L[t], shared by the tests of their measures."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from hitherto.architectures.rnn import RNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Model

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())


def stack(recurrent, links, readout=None):
    """The model with W_l, U_l and V, in the types that they have; without V it shows the top layer's state."""
    weights = [{"weight_hh": np.asarray(w), "weight_ih": np.asarray(u)} for w, u in zip(recurrent, links, strict=True)]
    outputs = [None] * len(weights)
    if readout is not None:
        weights[-1]["readout"], outputs[-1] = np.asarray(readout), len(readout)
    sizes = [w["weight_ih"].shape for w in weights]
    kinds = [RNN(d, n, o, activation="linear", bias=False) for (n, d), o in zip(sizes, outputs, strict=True)]
    return Model(Deep(tuple(kinds)), tuple(weights))


def of_oracle(case):
    return stack(case["W"], case["U"], case.get("V"))


def random_stack(seed, depth, width, inputs=1, outputs=1, radius=0.9):
    """Normal weights, W_l with the spectral radius."""
    rng = np.random.default_rng(seed)
    recurrent = [scaled(rng.standard_normal((width, width)), radius) for _ in range(depth)]
    links = [rng.standard_normal((width, inputs if k == 0 else width)) / width**0.5 for k in range(depth)]
    return stack(recurrent, links, rng.standard_normal((outputs, width)))


def scaled(matrix, radius):
    return matrix * radius / np.abs(np.linalg.eigvals(matrix)).max()


def delay_line(units):
    """x[t], x[t-1], .. in its units; it shows the oldest."""
    return stack([np.diag(np.ones(units - 1), -1)], [np.eye(units)[:, :1]], np.eye(units)[-1:])


def collapsed(model):
    """A, B and the noise matrix of the stack by the block formulas, made apart from the code under test."""
    recurrent, links = ([w[name] for w in model.weights] for name in ("weight_hh", "weight_ih"))
    sizes = [len(w) for w in recurrent]
    ends = np.cumsum([0, *sizes])
    blocks = [slice(a, b) for a, b in pairwise(ends)]
    a, noise = np.zeros((2, ends[-1], ends[-1]))
    b = np.zeros((ends[-1], links[0].shape[1]))
    for j, w in enumerate(recurrent):
        through = np.eye(sizes[j])
        for i in range(j, len(blocks)):
            through = links[i] @ through if i > j else through
            a[blocks[i], blocks[j]], noise[blocks[i], blocks[j]] = through @ w, through
        b[blocks[j]] = links[0] if j == 0 else links[j] @ b[blocks[j - 1]]
    return a, b, noise, blocks


def powers(a, b, count):
    """A^k B for k = 0 .. count - 1."""
    found = [b]
    for _ in range(count - 1):
        found.append(a @ found[-1])
    return np.array(found)


def covariance(a, b, count=2000):
    """sum over j of A^j B B^T A^jT."""
    every = powers(a, b, count)
    return np.einsum("kic,kjc->ij", every, every)


def numbers(values):
    """Fractions as strings, and floats."""
    return np.array([float(Fraction(value)) for value in values])


def in_other_coordinates(model, changes):
    """The same stack with G_l h_l for h_l, where `changes` are pairs (G, G^-1)."""
    weights, below = [], None
    for own, (there, back) in zip(model.weights, changes, strict=True):
        link = there @ own["weight_ih"]
        changed = {"weight_hh": there @ own["weight_hh"] @ back, "weight_ih": link if below is None else link @ below}
        weights.append(changed | ({"readout": own["readout"] @ back} if "readout" in own else {}))
        below = back
    return Model(model.architecture, tuple(weights))


def with_identity_layer(model):
    """The stack with a layer W = 0, U = I above its lowest."""
    first, *rest = model.architecture.layers
    size = first.width
    passing = {"weight_hh": np.zeros((size, size), int), "weight_ih": np.eye(size, dtype=int)}
    layer = RNN(size, size, activation="linear", bias=False)
    return Model(Deep((first, layer, *rest)), (model.weights[0], passing, *model.weights[1:]))
