"""What the tests of orthogonal twins share: the exact vectors, random networks, and how a network runs."""

from fractions import Fraction

import numpy as np
from conftest import oracle

from hitherto.theory.unitary_network import Network

CASES = {case["id"]: case for case in oracle("unitary")["cases"]}
NAMES = ("W", "F", "b", "C", "h_init")


def fractions(values) -> np.ndarray:
    """Nested lists of p/q as fractions."""
    array = np.array(values, dtype=object)
    return np.array([Fraction(value) for value in array.ravel()], object).reshape(array.shape)


def exact_network(name) -> tuple:
    """W, F, b, C and h[-1] of a case, in fractions."""
    return tuple(fractions(CASES[name]["inputs"][key]) for key in NAMES)


def network(name) -> Network:
    return Network(*(array.astype(float) for array in exact_network(name)))


def relu(z):
    return np.maximum(z, 0)


def outputs(parts, inputs, phi=relu) -> np.ndarray:
    """y[0], y[1], ... of (W, F, b, C, h[-1]), in whatever numbers these are."""
    w, f, b, c, h = parts
    answers = []
    for x in inputs:
        h = phi(w @ h + f @ x + b)
        answers.append(c @ h)
    return np.array(answers)


def states(parts, inputs, phi=relu) -> np.ndarray:
    """h[0], h[1], ..."""
    w, f, b, _, h = parts
    return outputs((w, f, b, np.eye(len(w)), h), inputs, phi)


def parts(network) -> tuple:
    return network.weight_hh, network.weight_ih, network.bias, network.readout, network.initial


def twin(parts, weight_hh, bias, shift=0, start=0) -> tuple:
    """The network of an orthogonal matrix around W: extra units have a bias and an initial state, and are not read."""
    w, f, b, c, h = parts
    extra = len(weight_hh) - len(w)
    return (
        weight_hh,
        np.vstack([f, np.zeros((extra, f.shape[1]), dtype=int)]),
        np.concatenate([b + shift, np.broadcast_to(bias, extra)]),
        np.hstack([c, np.zeros((len(c), extra), dtype=int)]),
        np.concatenate([h, np.broadcast_to(start, extra)]),
    )


def drawn_network(rng, width, inputs=2, norm=0.8) -> Network:
    """Gaussian weights, W of this norm."""
    w = rng.normal(size=(width, width))
    w *= norm / np.linalg.norm(w, 2)
    return Network(
        w,
        rng.normal(size=(width, inputs)),
        0.3 * rng.normal(size=width),
        rng.normal(size=(2, width)),
        0.5 * rng.normal(size=width),
    )


def rotation(rng, size) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(rng.normal(size=(size, size)))[0]
