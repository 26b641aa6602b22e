"""Hostile use of linear memories: exact systems and long arithmetic of our own, edges, symmetries and bad input.

The truth is made here from the weights alone: the stack is collapsed in fractions, covariances are summed by doubling
in arithmetic of 1,600 bits (FLINT's balls, so its own error is known), and ranks and polynomials are exact.
"""

import json
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import permutations

import flint
import jax
import numpy as np
import pytest

import hitherto
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.multiplicative import SelectiveStateSpace
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Bidirectional, Deep, Untied
from hitherto.cli import main
from hitherto.core.model import Model, build, precision
from hitherto.measures.transfer_function import denominator, numerator

pytestmark = pytest.mark.slow  # minutes in all, beside the faster tests of the same things


BITS = 1600


# ---------------------------------------------------------------- exact systems


def exact(array) -> np.ndarray:
    """The same numbers as fractions."""
    array = np.asarray(array)
    held = np.empty(array.size, object)
    held[:] = [v if isinstance(v, Fraction) else Fraction(v) for v in array.ravel().tolist()]
    return held.reshape(array.shape)


def eye(size: int) -> np.ndarray:
    return exact(np.eye(size, dtype=int))


def zeros(*shape: int) -> np.ndarray:
    return exact(np.zeros(shape, int))


class System:
    """s[t] = A s[t-1] + B x[t], y[t] = C s[t] + D x[t]; noise n[t] of the layers enters as G n[t]."""

    def __init__(self, A, B, C, D=None, G=None, tops=None):
        self.A, self.B, self.C = exact(A), exact(B), exact(C)
        self.D = zeros(len(self.C), self.B.shape[1]) if D is None else exact(D)
        self.G = eye(len(self.A)) if G is None else exact(G)
        self.tops = len(self.A) if tops is None else tops

    def rows(self, read: str) -> list[int]:
        size = len(self.A)
        return list(range(size - self.tops if read == "top" else 0, size))

    def responses(self, lags: int) -> list[np.ndarray]:
        """A^k B."""
        out = [self.B]
        for _ in range(lags - 1):
            out.append(self.A.dot(out[-1]))
        return out

    def markov(self, lags: int) -> np.ndarray:
        g = [self.C.dot(v) for v in self.responses(lags)]
        g[0] = g[0] + self.D
        return np.array(g)


def above(lower: System, upper: System, skip: str) -> System:
    """`upper` on the outputs of `lower`; the input is read again or added as `skip` says."""
    into, direct = lower.C, lower.D
    if skip == "input":
        channels = lower.B.shape[1]
        into, direct = np.vstack([into, zeros(channels, len(lower.A))]), np.vstack([direct, eye(channels)])
    lift = upper.B.dot(into)  # of new states below
    A = np.block([[lower.A, zeros(len(lower.A), len(upper.A))], [lift.dot(lower.A), upper.A]])
    B = np.vstack([lower.B, lift.dot(lower.B) + upper.B.dot(direct)])
    G = np.block([[lower.G, zeros(len(lower.A), len(upper.A))], [lift.dot(lower.G), upper.G]])
    C, D = np.hstack([upper.D.dot(into), upper.C]), upper.D.dot(direct)
    if skip == "residual" and len(C) == len(into):
        C, D = C + np.hstack([into, zeros(len(into), len(upper.A))]), D + direct
    return System(A, B, C, D, G, len(upper.A))


def stacked(layers, skip="none") -> System:
    first = layers[0]
    if skip == "residual" and first.B.shape[1] == len(first.C):
        first = System(first.A, first.B, first.C, first.D + eye(len(first.C)), first.G, first.tops)
    whole = first
    for layer in layers[1:]:
        whole = above(whole, layer, skip)
    return whole


def single(W, U, V=None) -> System:
    return System(W, U, eye(len(W)) if V is None else V)


# ---------------------------------------------------------------- long arithmetic


def rational(matrix) -> flint.fmpq_mat:
    m = exact(matrix)
    return flint.fmpq_mat(*m.shape, [flint.fmpq(v.numerator, v.denominator) for v in m.ravel()])


def balls(matrix) -> flint.arb_mat:
    m = exact(matrix)
    return flint.arb_mat(*m.shape, [flint.arb(flint.fmpq(v.numerator, v.denominator)) for v in m.ravel()])


def number(ball) -> float:
    assert ball.rel_accuracy_bits() > 60 or abs(ball) < 1e-300, ball
    return float(ball.mid())


def rank(matrix) -> int:
    return rational(matrix).rank()


def summed(A: flint.arb_mat, Q: flint.arb_mat) -> flint.arb_mat:
    """sum over j of A^j Q A^jT, by doubling."""
    total = Q
    while max(abs(v) for v in A.entries()) > flint.arb(2) ** -(BITS // 4):
        total, A = total + A * total * A.transpose(), A * A
    return total


def independent_rows(matrix) -> list[int]:
    """The first rows that are a basis of all."""
    reduced, found = rational(np.asarray(matrix).T).rref()
    table = np.array(reduced.tolist(), object).reshape(-1, len(matrix))
    return [int(np.flatnonzero([v != 0 for v in table[i]])[0]) for i in range(found)]


@cache
def covariance(system: System, noise: bool, horizon=None) -> flint.arb_mat:
    enter = balls(system.G if noise else system.B)
    if horizon is None:
        return summed(balls(system.A), enter * enter.transpose())
    A, total, step = balls(system.A), enter * enter.transpose(), enter
    for _ in range(horizon - 1):
        step = A * step
        total = total + step * step.transpose()
    return total


def part(matrix: flint.arb_mat, rows: list[int]) -> flint.arb_mat:
    return flint.arb_mat([[matrix[i, j] for j in rows] for i in rows])


def energies(system: System, cov, rows: list[int], lags: int) -> np.ndarray:
    """tr (A^k B)^T cov^-1 A^k B over these rows."""
    inverse = part(cov, rows).inv()
    step, A, out = balls(system.B), balls(system.A), []
    for _ in range(lags):
        v = flint.arb_mat([[step[i, c] for c in range(step.ncols())] for i in rows])
        out.append(number((v.transpose() * inverse * v).trace()) if rows else 0.0)
        step = A * step
    return np.array(out)


def reached(system: System, horizon=None) -> np.ndarray:
    return np.hstack(system.responses(min(len(system.A), horizon or len(system.A))))


def true_memory(system, read="all", lags=8, horizon=None) -> np.ndarray:
    with flint.ctx.workprec(BITS):
        rows = system.rows(read)
        kept = [rows[i] for i in independent_rows(reached(system, horizon)[rows])]
        if not kept:
            return np.zeros(lags)
        return energies(system, covariance(system, False, horizon), kept, lags)


def true_noisy(system, noise, read="all", lags=8, fisher=False) -> np.ndarray:
    with flint.ctx.workprec(BITS):
        cov = covariance(system, True) * flint.arb(flint.fmpq(*Fraction(noise).as_integer_ratio()))
        return energies(system, cov if fisher else cov + covariance(system, False), system.rows(read), lags)


def true_hankel(system: System) -> np.ndarray:
    """Singular values, largest first: roots of the eigenvalues of the product of both Gramians."""
    with flint.ctx.workprec(BITS):
        out = balls(system.C)
        watched = summed(balls(system.A).transpose(), out.transpose() * out)
        eig = flint.acb_mat(covariance(system, False) * watched).eig()
        return np.sort([float(abs(v.real.mid())) ** 0.5 for v in eig])[::-1]


def hankel_matrix(system: System) -> np.ndarray:
    n = len(system.A)
    g = [system.C.dot(v) for v in system.responses(2 * n - 1)]
    return np.block([[g[i + j] for j in range(n)] for i in range(n)])


# ---------------------------------------------------------------- polynomials


def times(a, b) -> list[Fraction]:
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            out[i + j] += p * q
    return out


def trimmed(a) -> tuple[Fraction, ...]:
    a = list(a)
    while a and a[-1] == 0:
        a.pop()
    return tuple(a)


def polynomial_det(rows) -> list[Fraction]:
    """Leibniz; entries are lists of coefficients."""
    n, total = len(rows), [Fraction(0)]
    for p in permutations(range(n)):
        sign = (-1) ** sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        term = [Fraction(sign)]
        for i in range(n):
            term = times(term, rows[i][p[i]])
        size = max(len(total), len(term))
        total = [(total[k] if k < len(total) else 0) + (term[k] if k < len(term) else 0) for k in range(size)]
    return total


def true_denominator(system: System) -> tuple[Fraction, ...]:
    n = len(system.A)
    return trimmed(polynomial_det([[[Fraction(int(i == j)), -system.A[i, j]] for j in range(n)] for i in range(n)]))


def true_numerator(system: System) -> tuple[Fraction, ...]:
    """det G det(I - z A), which is a polynomial of no higher degree than states, from the series of G."""
    n = len(system.A)
    g = system.markov(n + 1)
    det = polynomial_det([[list(g[:, i, j]) for j in range(g.shape[2])] for i in range(g.shape[1])])
    return trimmed(times(det, true_denominator(system))[: n + 1])


# ---------------------------------------------------------------- models


def rnn(W, U, V=None, **settings) -> Model:
    W, U = np.asarray(W), np.asarray(U)
    weights = dict(weight_hh=W, weight_ih=U) | ({} if V is None else dict(readout=np.asarray(V)))
    outputs = None if V is None else len(V)
    return Model(RNN(U.shape[1], len(W), outputs, **dict(activation="linear", bias=False) | settings), weights)


def state_space(W, U, V, D) -> Model:
    return Model(
        StateSpace(U.shape[1], len(W), len(V), direct=True), dict(weight_hh=W, weight_ih=U, readout=V, direct=D)
    )


def deep(*models: Model, skip: str = "none") -> Model:
    return Model(Deep(tuple(m.architecture for m in models), skip), tuple(m.weights for m in models))


def random(seed: int, *shape: int, radius: float = 0.8) -> np.ndarray:
    """Square ones are scaled to a spectral radius."""
    x = np.random.default_rng(seed).normal(size=shape)
    return x * radius / max(abs(np.linalg.eigvals(x))) if shape[0] == shape[1] else x


def unimodular(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random integer matrix with its integer inverse."""
    rng, S, inverse = np.random.default_rng(seed), np.eye(n, dtype=int), np.eye(n, dtype=int)
    for _ in range(3 * n):
        i, j = rng.choice(n, 2, replace=False)
        step = np.eye(n, dtype=int)
        step[i, j] = c = rng.integers(-2, 3)
        back = np.eye(n, dtype=int)
        back[i, j] = -c
        S, inverse = step @ S, inverse @ back
    return S, inverse


def line(n: int, gain: float = 1.0, enter: float = 1.0) -> Model:
    """A delay line read at its end."""
    return rnn(gain * np.eye(n, k=-1), enter * np.eye(n)[:, :1], np.eye(n)[-1:])


def ones(n: int) -> np.ndarray:
    return np.ones((n, 1))


def first(n: int) -> np.ndarray:
    return np.eye(n)[:, :1]


def small() -> Model:
    return rnn([[0.5]], [[1.0]], [[1.0]])


def close(found, true, rtol=1e-9, atol=1e-13) -> None:
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(true, float), rtol=rtol, atol=atol)


def agrees(model: Model, system: System, lags: int = 7) -> None:
    """All matrices, the response, and all three curves read both ways, against long arithmetic."""
    found = hitherto.linear_system(model)
    for mine, theirs in zip("ABCDG", ("A", "B", "C", "D", "spread"), strict=True):
        close(getattr(found, theirs), getattr(system, mine), 1e-12)
    close(hitherto.markov_parameters(model, lags), system.markov(lags), 1e-12)
    for read in ("all", "top") if system.tops < len(system.A) else ("top",):
        curves(model, system, read, lags)


def curves(model, system, read="all", lags=7, noise=0.3, rtol=1e-9) -> None:
    curve, total = hitherto.linear_memory_curve(model, read, lags=lags)
    close(curve.value, true_memory(system, read, lags), rtol)
    assert total.statistics["rank"] == rank(reached(system)[system.rows(read)])
    close(hitherto.noisy_memory_curve(model, noise, read, lags).value, true_noisy(system, noise, read, lags), rtol)
    fisher = true_noisy(system, noise, read, lags, fisher=True)
    close(hitherto.fisher_memory_curve(model, noise, read, lags).value, fisher, rtol, 1e-11 * fisher.max())


# ---------------------------------------------------------------- stacks of all kinds


@pytest.mark.parametrize("skip", ["residual", "input"])
def test_mixed_stacks_with_links(skip):
    """Widths 3, 2, 1, two channels, a direct term in the lowest layer; the top layer's sizes do not agree."""
    W1, U1, V1, D1 = random(0, 3, 3), random(1, 3, 2), random(2, 2, 3), random(3, 2, 2)
    W2, U2, V2 = random(4, 2, 2), random(5, 2, 4 if skip == "input" else 2), random(6, 2, 2)
    W3, U3, V3 = random(7, 1, 1), random(8, 1, 4 if skip == "input" else 2), random(9, 1, 1)
    model = deep(state_space(W1, U1, V1, D1), rnn(W2, U2, V2), rnn(W3, U3, V3), skip=skip)
    system = stacked([System(W1, U1, V1, D1), single(W2, U2, V2), single(W3, U3, V3)], skip)
    agrees(model, system)
    assert hitherto.hankel_rank(model).value == rank(hankel_matrix(system))
    close(hitherto.hankel_singular_values(model).value, true_hankel(system), 1e-6)


def parts_of_a_stack() -> tuple[list[Model], System]:
    shapes = [(3, 1), (1, 3), (2, 1)]
    weights = [(random(i, n, n), random(9 + i, n, m)) for i, (n, m) in enumerate(shapes)]
    V = random(20, 2, 2)
    models = [rnn(W, U, V if i == 2 else None) for i, (W, U) in enumerate(weights)]
    return models, stacked([single(W, U, V if i == 2 else None) for i, (W, U) in enumerate(weights)])


def test_nested_stacks_are_flat():
    models, system = parts_of_a_stack()
    (a, b, c), whole = models, deep(*models)
    for nested in (deep(deep(a, b), c), deep(a, deep(deep(b, c)))):
        assert hitherto.linear_system(nested).layers == (slice(0, 3), slice(3, 4), slice(4, 6))
        close(hitherto.linear_system(nested).A, hitherto.linear_system(whole).A, 0, 0)
        close(hitherto.linear_memory_curve(nested, "top", lags=5)[0].value, true_memory(system, "top", 5))


def test_a_narrow_layer_at_the_bottom():
    """One unit below five, and two channels that cannot pass it."""
    W1, U1, W2, U2 = [[0.5]], [[1.0, -2.0]], random(1, 5, 5), random(2, 5, 1)
    agrees(deep(rnn(W1, U1), rnn(W2, U2)), stacked([single(W1, U1), single(W2, U2)]))
    assert hitherto.copy_reach(deep(rnn(W1, U1), rnn(W2, U2))).value == -1


def test_identity_layers_change_nothing_but_the_noise():
    models, _ = parts_of_a_stack()
    plain, longer = deep(*models), deep(models[0], rnn(np.zeros((3, 3)), np.eye(3)), *models[1:])
    close(hitherto.markov_parameters(longer, 9), hitherto.markov_parameters(plain, 9), 1e-13)
    for read in ("all", "top"):
        close(
            hitherto.linear_memory_curve(longer, read, lags=9)[0].value,
            hitherto.linear_memory_curve(plain, read, lags=9)[0].value,
            1e-10,
        )
    assert hitherto.hankel_rank(longer).value == hitherto.hankel_rank(plain).value
    before, after = (hitherto.fisher_memory_curve(m, 0.5, "top", 3).value for m in (plain, longer))
    assert (after < before).all()


def test_biases_and_starts_do_not_matter():
    models, system = parts_of_a_stack()
    architectures = (RNN(1, 3, activation="linear"), RNN(3, 1, activation="linear"), RNN(1, 2, 2, activation="linear"))
    extra = [dict(bias_ih=np.full(n, 7.0), bias_hh=np.full(n, -3.0), initial_h=np.full(n, 1e6)) for n in (3, 1, 2)]
    extra[2]["readout_bias"] = np.array([5.0, 6.0])
    model = Model(Deep(architectures), tuple(m.weights | e for m, e in zip(models, extra, strict=True)))
    curves(model, system)
    found = hitherto.linear_system(model)
    s, x = np.zeros(6), np.zeros(1)
    _, y = hitherto.states_and_outputs(model, np.zeros((3, 1)), jax.tree.map(np.zeros_like, states_of(model)))
    for t in range(3):
        s = found.A @ s + found.B @ x + found.state_offset
        close(found.C @ s + found.D @ x + found.output_offset, y[t])
    assert denominator(model) == denominator(deep(*models))


def states_of(model: Model):
    with precision(np.float64):
        return jax.tree.map(np.asarray, model.architecture.start(model.weights))


@pytest.mark.parametrize(
    ("settings", "recurrent", "entering", "leaving"),
    [
        (dict(parametrisation="ntk"), 2, 1, 2),
        (dict(parametrisation="mean_field"), 1, 1, 4),
        (dict(parametrisation="ntk_unit", variance=0.25, input_variance=9.0, readout_variance=4.0), 4, 1 / 3, 1),
    ],
    ids=["ntk", "mean field", "ntk unit"],
)
def test_parametrisations(settings, recurrent, entering, leaving):
    """Divisors at width 4: all are exact."""
    W, U, V = random(0, 4, 4, radius=0.9), random(1, 4, 1), random(2, 1, 4)
    model, system = rnn(W, U, V, **settings), single(W / recurrent, U / entering, V / leaving)
    agrees(model, system)
    assert hitherto.hankel_rank(model).value == 4
    if recurrent * leaving != 1 and entering == 1:
        assert denominator(model) == true_denominator(system)
        assert numerator(model) == true_numerator(system)


@pytest.mark.parametrize(
    ("law", "settings"),
    [("ring", dict(parametrisation="plain", normalise=False)), ("uniform", {})],
    ids=["complex", "real"],
)
def test_diagonal_state_spaces(law, settings):
    architecture = DiagonalStateSpace(1, 3, 1, initialisation=law, r_min=0.3, r_max=0.9, direct=True, **settings)
    model = build(architecture)
    weights = {k: np.asarray(v, float) for k, v in model.weights.items()}
    agrees(model, modes(diagonal_poles(weights), weights["weight_ih"], weights))


def diagonal_poles(w) -> np.ndarray:
    if "multiplier" in w:
        return w["multiplier"] if w["multiplier"].ndim == 1 else w["multiplier"][0] + 1j * w["multiplier"][1]
    phase = 1j * np.exp(w["log_phase"]) if "log_phase" in w else 0
    return np.exp(-np.exp(w["log_decay"]) + phase)


def modes(poles, B, w) -> System:
    if "log_gain" in w:
        B = B * np.tile(np.exp(w["log_gain"]), len(B) // len(poles))[:, None]
    turn = np.diag(poles.real)
    if np.iscomplexobj(poles):
        turn = np.block([[np.diag(poles.real), -np.diag(poles.imag)], [np.diag(poles.imag), np.diag(poles.real)]])
    return System(turn, B, w["readout"], w.get("direct"))


@pytest.mark.parametrize("law", ["s4d_inv", "leaky"])
def test_sampled_state_spaces(law):
    model = build(SampledStateSpace(1, 2, 1, initialisation=law, dt_min=0.1, dt_max=1.0))
    w = {k: np.asarray(v, float) for k, v in model.weights.items()}
    a, step = -np.exp(w["log_decay"]) + 1j * w.get("frequency", 0), np.exp(w["log_step"])
    poles, gain = np.exp(a * step), (np.exp(a * step) - 1) / a
    if law == "leaky":
        return agrees(model, modes(poles.real, gain.real[:, None] * w["weight_ih"], w))
    B = gain[:, None] * (w["weight_ih"][:2] + 1j * w["weight_ih"][2:])
    agrees(model, modes(poles, np.vstack([B.real, B.imag]), w))


@pytest.mark.parametrize("dtype", [np.float16, np.int64, object])
def test_weights_of_any_kind_are_the_numbers_they_are(dtype):
    rows = [[[0, 1], [0, 0]], [[1], [3]], [[2, 1]]]
    if dtype == np.float16:
        rows = [[[0.1, 0.7], [-0.3, 0.2]], [[0.3], [1.1]], [[0.9, 0.2]]]
    if dtype is object:
        rows = [
            [[Fraction(1, 3), Fraction(1, 7)], [0, Fraction(-2, 5)]],
            [[1], [Fraction(1, 9)]],
            [[Fraction(1, 11), 2]],
        ]
    W, U, V = (np.array(r, dtype) for r in rows)
    model, system = rnn(W, U, V), single(W, U, V)
    agrees(model, system)
    assert denominator(model) == true_denominator(system)
    assert numerator(model) == true_numerator(system)
    assert hitherto.hankel_rank(model).value == rank(hankel_matrix(system))


def test_layers_in_float32_and_float64():
    W = random(0, 2, 2).astype(np.float32)
    W2, U2 = random(1, 2, 2), random(2, 2, 2)
    agrees(deep(rnn(W, ones(2).astype(np.float32)), rnn(W2, U2)), stacked([single(W, ones(2)), single(W2, U2)]))


# ---------------------------------------------------------------- curves of awkward systems


def jordan(pole: float, n: int, link: float = 1.0) -> np.ndarray:
    return pole * np.eye(n) + link * np.eye(n, k=-1)


TURN = np.array([[0.6, -0.6], [0.6, 0.6]])
STEEP = np.triu(random(3, 6, 5) @ random(4, 5, 6) * 20, 1) + np.diag([0.9, -0.8, 0.5, 0.0, 0.5, -0.3])
AWKWARD = {
    "Jordan block": (jordan(0.9, 6), first(6)),
    "Jordan block near 1": (jordan(0.99, 6, 0.01), first(6)),
    "Jordan block, steep": (jordan(0.5, 8, 10.0), first(8)),
    "Jordan block entered at its end": (jordan(0.5, 4), np.eye(4)[:, 3:]),
    "one pole three times, apart": (0.5 * np.eye(3), ones(3)),
    "one pole three times, two channels": (0.5 * np.eye(3), np.array([[1.0, 1], [1, 2], [1, 4]])),
    "complex pair": (TURN, first(2)),
    "complex Jordan block": (np.block([[TURN, np.zeros((2, 2))], [np.eye(2), TURN]]), first(4)),
    "negative": (np.array([[-0.9]]), np.array([[2.0]])),
    "no recurrence": (np.zeros((3, 3)), random(0, 3, 2)),
    "more channels than units": (random(0, 3, 3), random(1, 3, 5)),
    "a channel that does not enter": (random(0, 3, 3), np.hstack([ones(3), 0 * ones(3)])),
    "two equal channels": (np.diag([0.5, 0.3]), np.ones((2, 2))),
    "poles 1e-9 apart": (np.diag([0.5, 0.5 + 1e-9]), ones(2)),
    "a state reached by 1e-10": (np.diag([0.5, 0.3]), np.array([[1.0], [1e-10]])),
    "steep triangle": (STEEP, ones(6)),
    "units in other sizes": (
        np.diag([1, 2.0**12, 2.0**-12]) @ random(5, 3, 3) @ np.diag([1, 2.0**-12, 2.0**12]),
        np.diag([1, 2.0**12, 2.0**-12]) @ random(6, 3, 1),
    ),
    "near 1": (np.array([[1 - 1e-9]]), np.array([[1.0]])),
    "near 1 and not": (np.diag([1 - 1e-9, 0.5]), ones(2)),
    "near -1 in pairs": ((1 - 1e-9) * np.array([[-0.6, -0.8], [0.8, -0.6]]), first(2)),
    "the last number below 1": (np.array([[1 - 2.0**-53]]), np.array([[1.0]])),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_systems(name):
    W, U = AWKWARD[name]
    near = "near" in name or "last" in name  # a rounding of the weights alone moves 1 - radius by 1e-7 of it
    curves(rnn(W, U), single(W, U), lags=12, rtol=1e-6 if near or name == "units in other sizes" else 1e-9)


@pytest.mark.parametrize("noise", [1e-300, 1e-16, 1e-6, 1.0, 1e12, 1e300])
def test_noise_of_any_size(noise):
    W, U = random(0, 3, 3), random(1, 3, 2)
    model, system = rnn(W, U), single(W, U)
    noisy, fisher = (f(model, noise, lags=8).value for f in (hitherto.noisy_memory_curve, hitherto.fisher_memory_curve))
    close(noisy, true_noisy(system, noise, lags=8), 1e-9, 0)
    close(fisher, true_noisy(system, noise, lags=8, fisher=True), 1e-9, 0)
    if noise <= 1e-16:
        close(noisy, hitherto.linear_memory_curve(model, lags=8)[0].value, 1e-9)
    if noise >= 1e12:
        close(noisy, fisher, 1e-9, 0)


def test_noise_takes_memory_and_channels_share_it():
    W, U = random(0, 4, 4), random(1, 4, 2)
    model = rnn(W, U)
    linear = hitherto.linear_memory_curve(model, lags=20)[0].value
    by_noise = np.array([hitherto.noisy_memory_curve(model, e, lags=20).value for e in (0.01, 0.1, 1.0, 10.0)])
    assert (np.diff(by_noise, axis=0) < 0).all()
    assert (by_noise < linear).all()
    fisher = np.array([hitherto.fisher_memory_curve(model, e, lags=20).value * e for e in (0.01, 0.1, 1.0, 10.0)])
    close(fisher, np.tile(fisher[0], (4, 1)), 1e-12)
    single_channel = sum(hitherto.fisher_memory_curve(rnn(W, U[:, [c]]), 0.01, lags=20).value for c in range(2))
    close(single_channel * 0.01, fisher[0], 1e-9)


def all_pass_truth(poles, lags: int) -> np.ndarray:
    """T16 in long complex numbers: sum over filters of |phi_i[k]|^2."""
    signal = np.zeros(lags, np.clongdouble)
    signal[0], total = 1, np.zeros(lags)
    for pole in np.asarray(poles, np.clongdouble):
        state, out = np.clongdouble(0), np.zeros(lags, np.clongdouble)
        for t in range(lags):
            state, before = pole * state + signal[t], state
            out[t] = before - np.conj(pole) * state
            total[t] += float(abs(state) ** 2 * (1 - abs(pole) ** 2))
        signal = out
    return total


def test_200_units_depend_on_eigenvalues_alone():
    W = random(0, 200, 200, radius=0.97)
    curve, total = hitherto.linear_memory_curve(rnn(W, random(1, 200, 1)), lags=500)
    close(curve.value, all_pass_truth(np.linalg.eigvals(W), 500), 1e-7, 1e-9)
    assert total.statistics["rank"] == 200
    whole = hitherto.linear_memory_curve(rnn(W, random(2, 200, 1)))[1]
    assert abs(whole.value - 200) < 1e-8
    top = deep(rnn(np.diag(np.linspace(0.1, 0.9, 9)), ones(9)), rnn(W[:40, :40], random(3, 40, 9)))
    assert abs(hitherto.linear_memory_curve(top, "top")[1].value - 40) < 1e-8
    assert abs(hitherto.linear_memory_curve(top)[1].value - 49) < 1e-8


def test_scaled_orthogonal_layers():
    """M3: 0.9 Q, four units: 4 a layer read everywhere, 4 read at the top."""
    layers = [rnn(0.9 * np.linalg.qr(random(i, 4, 4))[0], random(9 + i, 4, 4 if i else 1)) for i in range(4)]
    for depth in (1, 2, 4):
        model = deep(*layers[:depth])
        for read, expected in (("all", 4 * depth), ("top", 4)):
            curve, total = hitherto.linear_memory_curve(model, read)
            assert abs(total.value - expected) < 1e-11 * expected
            assert (curve.value > -1e-12).all()
            assert (curve.value < 1 + 1e-12).all()


@pytest.mark.parametrize(("pole", "units"), [(0.5, 20), (0.9, 12), (0.9, 24), (0.9, 32)])
def test_chains_of_one_pole(pole, units):
    """Noise that enters where x does hides it: no state can tell more of x than 1 / noise."""
    W, U = jordan(pole, units), first(units)
    fits_a_chain(rnn(W, U), single(W, U), units)


def fits_a_chain(model: Model, system: System, units: int) -> None:
    curve, total = hitherto.linear_memory_curve(model)
    close(curve.value[:8], true_memory(system, lags=8), 1e-9)
    assert abs(total.value - units) < 1e-11 * units
    close(hitherto.noisy_memory_curve(model, 0.1, lags=8).value, true_noisy(system, 0.1, lags=8), 1e-5, 1e-9)
    fisher = hitherto.fisher_memory_curve(model, 0.1, lags=8).value
    assert (fisher <= 10 * (1 + 1e-6)).all()
    close(fisher, true_noisy(system, 0.1, lags=8, fisher=True), 1e-5, 1e-9)


def test_24_layers_of_one_unit():
    fits_a_chain(deep(*[rnn([[0.9]], [[1.0]])] * 24), stacked([single([[0.9]], [[1]])] * 24), 24)


def test_numbers_of_the_specification():
    halves, thirds = rnn([[0.5]], [[1.0]]), rnn([[1 / 3]], [[1.0]])
    close(hitherto.linear_memory_curve(halves, lags=9)[0].value, 0.75 * 4.0 ** -np.arange(9), 1e-13, 0)
    both = deep(halves, thirds)
    assert abs(hitherto.linear_memory_curve(both, "top", lags=1)[0].value[0] - 10 / 21) < 1e-12
    assert abs(hitherto.linear_memory_curve(both, lags=1)[0].value[0] - 35 / 36) < 1e-12
    swapped = deep(rnn([[1 / 3]], [[-7.0]]), rnn([[0.5]], [[1e-4]]))
    close(*(hitherto.linear_memory_curve(m, lags=20)[0].value for m in (both, swapped)), 1e-10)
    fisher = hitherto.fisher_memory_curve(line(5), 1)
    close(fisher.value[:5], 1 / np.arange(1, 6), 1e-13, 0)
    assert abs(fisher.statistics["total"] - 137 / 60) < 1e-10


def test_delay_lines_in_other_coordinates():
    """Radius 0: turned by an orthogonal matrix, or by integers exactly."""
    n = 12
    Q = np.linalg.qr(random(0, n, n))[0]
    S, inverse = unimodular(6, 4)
    turned = rnn(Q @ np.eye(n, k=-1) @ Q.T, Q @ first(n), np.eye(n)[-1:] @ Q.T)
    whole = rnn(S @ np.eye(6, k=-1, dtype=int) @ inverse, S[:, :1], inverse[-1:])
    assert denominator(whole) == (1,)
    assert numerator(whole) == (0,) * 5 + (1,)
    for model, size in ((turned, n), (whole, 6)):
        curve, total = hitherto.linear_memory_curve(model, lags=size + 3)
        close(curve.value, [1] * size + [0] * 3, 1e-7, 1e-7)
        assert abs(total.value - size) < 1e-7
        assert hitherto.copy_reach(model, tolerance=1e-6).value == size - 1
        assert hitherto.copy_reach(model, "output", tolerance=1e-6).value == size - 1
        close(hitherto.hankel_singular_values(model).value, [1] * size, 1e-6)


@pytest.mark.parametrize(("radius", "horizon"), [(1.0, 200), (1.5, 1), (1.5, 2), (1.5, 3), (1.5, 30), (0.9, 5)])
def test_horizons(radius, horizon):
    W, U = random(1, 3, 3, radius=radius), random(2, 3, 1)
    curve, total = hitherto.linear_memory_curve(rnn(W, U), horizon=horizon)
    assert len(curve.value) == horizon
    close(curve.value, true_memory(single(W, U), lags=horizon, horizon=horizon), 1e-8, 1e-10)
    assert abs(total.value - min(3, horizon)) < 1e-9


@pytest.mark.parametrize(("radius", "horizon"), [(1.5, 200), (1.05, 1000)])
def test_horizons_long_enough_to_explode(radius, horizon):
    """Old and new inputs differ by 1e35 and 1e21 in the state; its exact span still holds three inputs."""
    W, U = random(1, 3, 3, radius=radius), random(2, 3, 1)
    curve, total = hitherto.linear_memory_curve(rnn(W, U), horizon=horizon)
    true = true_memory(single(W, U), lags=horizon, horizon=horizon)
    assert total.cannot_tell or np.abs(curve.value - true).max() < 1e-6


def test_horizons_of_stacks():
    models, system = parts_of_a_stack()
    for read in ("all", "top"):
        for horizon in (1, 2, 4, 60):
            curve, total = hitherto.linear_memory_curve(deep(*models), read, horizon=horizon)
            close(curve.value, true_memory(system, read, horizon, horizon), 1e-8, 1e-10)
            assert abs(total.value - rank(reached(system, horizon)[system.rows(read)])) < 1e-9
    long, endless = (hitherto.linear_memory_curve(small(), lags=5, horizon=h)[0].value for h in (10**5, None))
    close(long, endless, 1e-12)


def true_totals(system: System, noise: float, read: str) -> tuple[float, float]:
    """Sums over all lags: tr C (noise C_n + C)^-1 and tr C (noise C_n)^-1."""
    with flint.ctx.workprec(BITS):
        rows = system.rows(read)
        signal, floor = (part(covariance(system, n), rows) for n in (False, True))
        floor = floor * flint.arb(flint.fmpq(*noise.as_integer_ratio()))
        return number((signal * (floor + signal).inv()).trace()), number((signal * floor.inv()).trace())


def test_default_lags_hold_the_total():
    models, system = parts_of_a_stack()
    for read in ("all", "top"):
        noisy, fisher = true_totals(system, 0.3, read)
        found = hitherto.noisy_memory_curve(deep(*models), 0.3, read)
        assert abs(found.statistics["total"] - noisy) < 4e-12 * noisy
        assert abs(found.value.sum() - noisy) < 4e-12 * noisy
        assert abs(hitherto.fisher_memory_curve(deep(*models), 0.3, read).statistics["total"] / fisher - 1) < 4e-12
        curve, total = hitherto.linear_memory_curve(deep(*models), read)
        assert abs(total.value - total.statistics["rank"]) < 2e-12 * total.value
        assert list(curve.axes["lag"]) == list(range(len(curve.value)))


def test_lags_cut_a_curve_and_say_so():
    model = rnn(random(0, 3, 3), random(1, 3, 1))
    whole = hitherto.linear_memory_curve(model)[0].value
    for lags in (1, 2, 7, len(whole) + 50):
        curve, total = hitherto.linear_memory_curve(model, lags=lags)
        assert curve.value.shape == (lags,)
        shared = min(lags, len(whole))
        close(curve.value[:shared], whole[:shared], 1e-12, 1e-15)
        assert abs(total.value - curve.value.sum()) < 1e-12
        assert bool(total.cannot_tell) == (lags < 20)


# ---------------------------------------------------------------- symmetries


def test_coordinates_do_not_matter():
    """Integers over a power of two in integer coordinates: all stays exact."""
    S, inverse = unimodular(4, 1)
    rng = np.random.default_rng(0)
    W = np.triu(rng.integers(-9, 10, (4, 4)), 1) / 4 + np.diag([0.5, -0.25, 0.75, 0.0])
    U, V = rng.integers(-4, 5, (4, 2)).astype(float), rng.integers(-4, 5, (2, 4)).astype(float)
    plain, turned = rnn(W, U, V), rnn(S @ W @ inverse, S @ U, V @ inverse)
    assert denominator(plain) == denominator(turned)
    assert numerator(plain) == numerator(turned)
    assert hitherto.hankel_rank(plain).value == hitherto.hankel_rank(turned).value
    close(hitherto.markov_parameters(plain, 20), hitherto.markov_parameters(turned, 20), 1e-9)
    close(*(hitherto.linear_memory_curve(m, lags=20)[0].value for m in (plain, turned)), 1e-7, 1e-9)
    close(*(hitherto.hankel_singular_values(m).value for m in (plain, turned)), 1e-8, 1e-9)
    assert hitherto.copy_reach(plain).value == hitherto.copy_reach(turned).value
    assert hitherto.copy_reach(plain, "output").value == hitherto.copy_reach(turned, "output").value


def test_order_of_units_and_signs_do_not_matter():
    W, U = random(0, 5, 5), random(1, 5, 2)
    order, signs = np.random.default_rng(0).permutation(5), np.diag([1.0, -1, 1, -1, -1])
    P = signs[order]
    plain, moved = rnn(W, U), rnn(P @ W @ P.T, P @ U)
    for f in (hitherto.noisy_memory_curve, hitherto.fisher_memory_curve):
        close(f(plain, 0.2, lags=15).value, f(moved, 0.2, lags=15).value, 1e-10)
    close(*(hitherto.linear_memory_curve(m, lags=15)[0].value for m in (plain, moved)), 1e-10)


def test_sizes_of_inputs_do_not_matter_to_memory_without_noise():
    W, U = random(0, 3, 3), random(1, 3, 2)
    scaled = U * np.array([1e-6, 1e4])
    # channels keep their own total only, so scale both alike for the curve and apart for the capacity
    close(*(hitherto.linear_memory_curve(rnn(W, u), lags=9)[0].value for u in (U, 1e-9 * U)), 1e-10)
    assert abs(hitherto.linear_memory_curve(rnn(W, scaled))[1].value - 3) < 1e-10
    close(
        hitherto.noisy_memory_curve(rnn(W, U), 0.3, lags=9).value,
        hitherto.noisy_memory_curve(rnn(W, 1e-9 * U), 0.3e-18, lags=9).value,
        1e-9,
    )


# ---------------------------------------------------------------- exact algebra


def square_cases():
    rng = np.random.default_rng(5)
    for widths, d in [((2, 3), 1), ((3, 2), 2), ((2, 2), 2)]:
        for _ in range(2):
            layers, m = [], d
            for n in widths:
                layers.append((rng.integers(-4, 5, (n, n)) / 2.0, rng.integers(-2, 3, (n, m)).astype(float)))
                m = n
            yield d, layers, rng.integers(-2, 3, (d, m)).astype(float)


def test_determinants_and_ranks_are_exact():
    degrees = Counter()
    for d, layers, V in square_cases():
        last = len(layers) - 1
        model = deep(*[rnn(W, U, V if i == last else None) for i, (W, U) in enumerate(layers)])
        system = stacked([single(W, U, V if i == last else None) for i, (W, U) in enumerate(layers)])
        found = numerator(model)
        assert found == true_numerator(system)
        assert denominator(model) == true_denominator(system)
        assert all(isinstance(v, Fraction) for v in found + denominator(model))
        assert hitherto.hankel_rank(model).value == rank(hankel_matrix(system))
        spare = sum(len(W) - d for W, _ in layers)
        assert len(found) <= spare + 1
        degrees[len(found) == spare + 1] += 1
    assert degrees[True] > 1


def test_direct_terms_count_in_the_numerator_and_not_in_the_order():
    W, U, V, D = random(0, 2, 2), random(1, 2, 2), random(2, 2, 2), random(3, 2, 2)
    W, U, V, D = (np.round(m * 8) / 8 for m in (W, U, V, D))
    model, system = state_space(W, U, V, D), System(W, U, V, D)
    assert numerator(model) == true_numerator(system)
    through = state_space(W, U, 0 * V, D)
    assert hitherto.hankel_rank(through).value == 0
    assert hitherto.hankel_rank(through).cannot_tell == ""
    assert numerator(through)[: len(true_denominator(system))] == numerator(through)
    close(hitherto.hankel_singular_values(through).value, [0, 0], 0, 0)


def test_silent_outputs_and_deaf_states():
    silent = rnn(random(0, 2, 2), random(1, 2, 1), np.zeros((1, 2)))
    assert numerator(silent) == ()
    assert hitherto.hankel_rank(silent).value == 0
    assert (hitherto.hankel_singular_values(silent).value == 0).all()
    assert hitherto.hankel_singular_values(silent).statistics["gap_index"] == 0
    assert hitherto.copy_reach(silent, "output").value == -1
    assert abs(hitherto.linear_memory_curve(silent)[1].value - 2) < 1e-11
    deaf = rnn(random(0, 2, 2), np.zeros((2, 1)), np.ones((1, 2)))
    curve, total = hitherto.linear_memory_curve(deaf)
    assert len(curve.value) >= 1
    assert (curve.value == 0).all()
    assert (total.value, total.statistics["rank"], total.cannot_tell) == (0, 0, "")
    assert (hitherto.noisy_memory_curve(deaf, 0.1).value == 0).all()
    assert (hitherto.fisher_memory_curve(deaf, 0.1).value == 0).all()
    assert hitherto.copy_reach(deaf).value == -1
    assert hitherto.hankel_rank(deaf).value == 0
    assert numerator(deaf) == ()


def test_rounded_weights_are_told_from_whole_ones():
    grid = rnn(np.array([[0.5, 2.0**-20], [0.0, 0.25]]), ones(2), np.ones((1, 2)))
    assert hitherto.hankel_rank(grid).cannot_tell == ""
    assert "rounded" in hitherto.hankel_rank(rnn([[0.1]], [[1.0]], [[1.0]])).cannot_tell
    fractions = rnn(np.array([[Fraction(1, 10)]]), np.array([[1]]), np.array([[1]]))
    assert hitherto.hankel_rank(fractions).cannot_tell == ""


@pytest.mark.parametrize("prime", [2**61 - 1, 2**31 - 1, 3])
def test_any_denominator_and_any_size_of_integer(prime):
    W = np.array([[Fraction(1, prime), 0], [1, prime**5]], object)
    model = rnn(W, np.array([[1], [0]], object), np.array([[0, 1]], object))
    for seed in range(3):
        assert hitherto.hankel_rank(model, seed=seed).value == 2
    assert denominator(model) == true_denominator(single(W, [[1], [0]]))


def test_multiples_of_many_primes_do_not_lower_the_rank():
    product = int(np.prod([np.int64(p) for p in (3, 5, 7, 11, 13, 65537)])) * (2**61 - 1) * (2**31 - 1)
    model = rnn(np.array([[0, 0], [product, 0]], object), np.array([[1], [0]], object), np.array([[0, 1]], object))
    assert hitherto.hankel_rank(model).value == 2


# ---------------------------------------------------------------- singular values


@pytest.mark.parametrize(
    ("W", "U", "V"),
    [
        ([[-0.9]], [[2.0]], [[3.0]]),
        ([[1 - 1e-9]], [[1.0]], [[1.0]]),
        (jordan(0.9, 4), first(4), np.ones((1, 4))),
        (random(0, 5, 5), random(1, 5, 2), random(2, 3, 5)),
        (np.diag([0.9, 0.5, -0.5, 0.1]), ones(4), np.array([[1, 1e-3, 1e-6, 1e-9]])),
    ],
    ids=["one", "near 1", "Jordan", "rectangular", "graded"],
)
def test_hankel_singular_values(W, U, V):
    model = rnn(W, U, V)
    found, true = hitherto.hankel_singular_values(model), true_hankel(single(W, U, V))
    floor = found.statistics["noise_floor"]
    assert (np.diff(found.value) <= 0).all()
    close(found.value, true, 1e-12, 4 * floor)
    assert floor < 1e-10 * true[0]


def test_the_gap_counts_states():
    """Two states that are not reached and one that is not shown, in integer coordinates."""
    S, inverse = unimodular(6, 2)
    W = np.diag([0.5, -0.5, 0.75, 0.25, 0.875, 0.125])
    W[0, 1] = W[1, 2] = 1.0
    U, V = np.array([[1.0], [-3], [2], [0], [0], [1]]), np.array([[2.0, 1, 5, 1, 1, 0]])
    W[3, 4] = 1.0
    model = rnn(S @ W @ inverse, S @ U, V @ inverse)
    found = hitherto.hankel_singular_values(model)
    assert hitherto.hankel_rank(model).value == rank(hankel_matrix(single(W, U, V))) == 3
    assert found.statistics["gap_index"] == 3
    assert found.statistics["gap_ratio"] > 1e3
    close(found.value[:3], true_hankel(single(W[:3, :3], U[:3], V[:, :3])), 1e-6)


def test_all_pass_outputs_have_equal_values():
    found = hitherto.hankel_singular_values(line(30))
    close(found.value, [1] * 30, 1e-12)
    assert found.statistics["gap_index"] == 30


# ---------------------------------------------------------------- copying


def copy_layers(widths, d: int, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """T1: channels fill the spare units of the layers greedily with delays."""
    delays, spare = np.zeros((len(widths), d), int), [n - d for n in widths]
    for c in range(d):
        left = k
        for i in range(len(widths)):
            take = min(left, spare[i])
            delays[i, c], spare[i], left = take, spare[i] - take, left - take
    layers, ends, m = [], list(range(d)), d
    for n, row in zip(widths, delays, strict=True):
        W, U, at, new = np.zeros((n, n)), np.zeros((n, m)), 0, []
        for c in range(d):
            U[at, ends[c]] = 1
            for _ in range(row[c]):
                W[at + 1, at] = 1
                at += 1
            new.append(at)
            at += 1
        layers, ends, m = [*layers, (W, U)], new, n
    return [*layers, np.eye(m)[ends]]


@pytest.mark.parametrize(("widths", "d", "k"), [((4,), 1, 3), ((3, 3), 2, 1), ((2, 4, 1), 1, 4), ((2, 2), 2, 0)])
def test_copy_networks_reach_what_the_law_allows(widths, d, k):
    assert k == sum(n - d for n in widths) // d
    *layers, V = copy_layers(widths, d, k)
    last = len(widths) - 1
    model = deep(*[rnn(W, U, V if i == last else None) for i, (W, U) in enumerate(layers)])
    response = np.zeros((k + 3, d, d))
    response[k] = np.eye(d)
    close(hitherto.markov_parameters(model, k + 3), response, 0, 0)
    for read in ("top", "output"):
        found = hitherto.copy_reach(model, read)
        assert found.value == k
        assert abs(found.statistics["left"]) < 1e-14
    assert hitherto.copy_reach(model, "all").value >= k
    wanted = [Fraction(0)] * (k * d) + [Fraction(1)]
    assert [abs(v) for v in numerator(model)] == wanted


@pytest.mark.parametrize(("widths", "d", "k"), [((3, 3), 2, 1), ((7, 4), 3, 1)])
def test_exact_copies_reach_as_far_with_no_tolerance(widths, d, k):
    """Weights 0 and 1, so nothing is missing; a tolerance of 0 is allowed."""
    *layers, _ = copy_layers(widths, d, k)
    model = deep(*[rnn(W, U) for W, U in layers])
    assert hitherto.copy_reach(model, "top", 0).value == k


def true_reach(system: System, tolerance: float, lags: int) -> int:
    """All states read: R^2 channel by channel in long arithmetic."""
    with flint.ctx.workprec(BITS):
        kept = independent_rows(reached(system))
        inverse, step, A = part(covariance(system, False), kept).inv(), balls(system.B), balls(system.A)
        best = -1
        for k in range(lags):
            v = flint.arb_mat([[step[i, c] for c in range(step.ncols())] for i in kept])
            shares = (v.transpose() * inverse * v).tolist()
            if all(float(shares[c][c].mid()) >= 1 - tolerance for c in range(len(shares))):
                best = k
            step = A * step
        return best


@pytest.mark.parametrize("tolerance", [1e-9, 1e-3, 0.3, 0.9, 0.999])
def test_reach_of_all_states(tolerance):
    for seed, (n, d) in enumerate([(4, 1), (6, 2), (3, 3)]):
        W, U = random(seed, n, n, radius=0.6), random(9 + seed, n, d)
        lags = int((n + d) / (d * (1 - tolerance))) + 2
        found = hitherto.copy_reach(rnn(W, U), tolerance=tolerance).value
        assert found == true_reach(single(W, U), tolerance, min(lags, 60))


def test_reach_of_the_output_counts_every_error():
    """y = x[t-2] + 0.1 x[t]: an error of 0.01."""
    V = np.array([[0.1, 0.0, 1.0]])
    model = rnn(np.eye(3, k=-1), first(3), V)
    assert hitherto.copy_reach(model, "output", 0.0101).value == 2
    assert hitherto.copy_reach(model, "output", 0.0099).value == -1
    assert hitherto.copy_reach(model, "top", 0).value == 2
    mixed = rnn(np.zeros((2, 2)), np.eye(2), np.array([[1.0, 0.0], [0.2, 1.0]]))
    assert hitherto.copy_reach(mixed, "output", 0.0401).value == 0
    assert hitherto.copy_reach(mixed, "output", 0.0399).value == -1
    passed = Model(Deep((mixed.architecture,), "residual"), (mixed.weights | dict(weight_ih=0 * np.eye(2)),))
    assert hitherto.copy_reach(passed, "output").value == 0
    assert hitherto.copy_reach(passed, "all").value == -1


def test_nearly_delayed_by_all_layers():
    """T3(b): poles near 0 bring the reach of all units close to their number less one; the error is their square."""
    for size, reach in ((1e-6, 1), (1e-3, 0)):
        model = deep(rnn([[size]], [[1.0]]), rnn([[-2 * size]], [[1.0]]))
        assert hitherto.copy_reach(model).value == reach
        assert hitherto.copy_reach(model, "top").value == (0 if size < 1e-5 else -1)


@pytest.mark.parametrize("read", ["all", "output"])
def test_tolerances_next_to_one_are_allowed(read):
    """A share "from 0 to below 1": 0.75 / 4^k is left, or all of it, of a pole at 1/2."""
    assert hitherto.copy_reach(small(), read, 1 - 1e-6).value >= 0
    found = hitherto.copy_reach(small(), read, 1 - 2.0**-53)
    assert found.value >= 0


# ---------------------------------------------------------------- what is linear


def test_what_is_linear():
    linear = [
        RNN(1, 2, 1, "linear"),
        RNN(1, 2, 1, "linear", parametrisation="ntk"),
        StateSpace(1, 2, 1, direct=True),
        DiagonalStateSpace(1, 2, 1),
        SampledStateSpace(1, 2, 1),
        UnitaryRNN(1, 2, 1, "householder", "linear", complex=True),
        Deep((RNN(1, 2, 1, "linear"), DiagonalStateSpace(2, 2, 1)), "input"),
    ]
    bent = [
        RNN(1, 2, 1, "tanh"),
        RNN(1, 2, 1, "tanh", output_activation="linear"),
        RNN(1, 2, 1, "linear", output_activation="tanh"),
        RNN(1, 2, 1, "linear", clip=1e30),
        Deep((RNN(1, 2, 1, "linear"), RNN(1, 2, 1, "relu"), RNN(1, 2, 1, "linear"))),
        Deep((RNN(1, 2, 1, "linear"), Deep((RNN(1, 2, 1, "linear", output_activation="relu"),)))),
        LSTM(1, 2, 1, gate_activation="linear", activation="linear", cell_activation="linear"),
        GRU(1, 2, 1),
        SecondOrderRNN(1, 2, 1),
        SelectiveStateSpace(1, 2, 1),
    ]
    assert [hitherto.is_linear(a) for a in linear] == [True] * len(linear)
    assert [hitherto.is_linear(a) for a in bent] == [False] * len(bent)
    silent = build(SecondOrderRNN(1, 2, 1))
    zero = Model(silent.architecture, {k: np.zeros(v.shape) for k, v in silent.weights.items()})
    assert not hitherto.is_linear(zero)


def test_a_second_order_layer_without_products_is_a_plain_one():
    """Specification 9: R = 0 is a plain RNN. It is affine whatever the weights."""
    architecture = SecondOrderRNN(1, 2, 1, cp_rank=0)
    assert hitherto.is_linear(architecture)
    plain = rnn(random(0, 2, 2), random(1, 2, 1), random(2, 1, 2))
    weights = build(architecture).weights | plain.weights
    close(hitherto.markov_parameters(Model(architecture, weights), 5), hitherto.markov_parameters(plain, 5))


@pytest.mark.parametrize(
    "architecture",
    [
        RNN(1, 2, 1, "tanh"),
        RNN(1, 2, 1, "linear", output_activation="tanh"),
        RNN(1, 2, 1, "linear", clip=1e30),
        SecondOrderRNN(1, 2, 1),
    ],
    ids=["recurrent", "output", "clip", "product"],
)
def test_bent_models_are_refused_by_their_operation(architecture):
    model = build(architecture)
    for ask in measures():
        with pytest.raises(ValueError, match=r"not linear: .*(`tanh`|`max`|`min`|multiplies).*`linearised`"):
            ask(model)


def measures():
    return (
        hitherto.linear_system,
        lambda m: hitherto.markov_parameters(m, 3),
        hitherto.hankel_rank,
        hitherto.hankel_singular_values,
        hitherto.copy_reach,
        hitherto.linear_memory_curve,
        lambda m: hitherto.noisy_memory_curve(m, 0.1),
        lambda m: hitherto.fisher_memory_curve(m, 0.1),
        numerator,
        denominator,
    )


def test_models_without_a_step():
    layer = RNN(1, 2, 1, "linear")
    for architecture in (Bidirectional(layer, layer), Untied(layer, 3)):
        with pytest.raises(ValueError, match="no step from state to state"):
            hitherto.is_linear(architecture)
        with pytest.raises(ValueError, match="no step from state to state"):
            hitherto.linear_memory_curve(build(architecture))


# ---------------------------------------------------------------- operating points

POINTS = {
    "output tanh": RNN(2, 3, 1, "linear", output_activation="tanh"),
    "LSTM": LSTM(2, 2, 1),
    "stack": Deep((RNN(2, 2), GRU(4, 2, 2)), "input"),
}


@pytest.mark.parametrize("name", POINTS)
def test_linearised_at_a_point(name):
    """Against central differences of the step, and the affine parts exactly."""
    architecture, rng = POINTS[name], np.random.default_rng(2)
    model = build(architecture, 1).astype(np.float64)
    leaves, tree = jax.tree.flatten(states_of(model))
    sizes = np.cumsum([leaf.size for leaf in leaves])[:-1]
    s, x = rng.normal(size=sum(leaf.size for leaf in leaves)) * 0.3, rng.normal(size=2)

    def step(s, x):
        state = jax.tree.unflatten(tree, np.split(s, sizes))
        after, y = hitherto.states_and_outputs(model, x[None], state)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(after)] + [np.ravel(y)])

    found = hitherto.linearised(model, jax.tree.unflatten(tree, np.split(s, sizes)), x)
    n, e = len(s), 1e-5
    by_state = np.stack([(step(s + e * d, x) - step(s - e * d, x)) / (2 * e) for d in np.eye(n)], 1)
    by_input = np.stack([(step(s, x + e * d) - step(s, x - e * d)) / (2 * e) for d in np.eye(2)], 1)
    close(np.vstack([found.A, found.C @ found.A]), by_state, 1e-7, 1e-9)
    close(np.vstack([found.B, found.C @ found.B + found.D]), by_input, 1e-7, 1e-9)
    after = step(s, x)
    close(found.A @ s + found.B @ x + found.state_offset, after[:n], 1e-12)
    close(found.C @ after[:n] + found.D @ x + found.output_offset, after[n:], 1e-12)
    close(np.triu(found.spread, 1), np.zeros((n, n)), 0, 0)
    close(np.diag(found.spread), np.ones(n), 0, 0)


def test_a_linear_model_is_its_own_linearisation():
    models, _ = parts_of_a_stack()
    model = deep(*models)
    far = jax.tree.map(lambda leaf: leaf + 1e3, states_of(model))
    found, whole = hitherto.linearised(model, far, np.array([-7.0])), hitherto.linear_system(model)
    for name in ("A", "B", "C", "D", "spread"):
        close(getattr(found, name), getattr(whole, name), 0, 0)
    assert (found.eigenvalues == whole.eigenvalues).all()


def test_operating_points_that_do_not_fit():
    model = build(RNN(2, 3, 1)).astype(np.float64)
    start = states_of(model)
    with pytest.raises(ValueError, match="form"):
        hitherto.linearised(model, jax.tree.map(lambda leaf: np.zeros(4), start), np.zeros(2))
    with pytest.raises(ValueError, match="nan"):
        hitherto.linearised(model, start, np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="inf"):
        hitherto.linearised(model, jax.tree.map(lambda leaf: leaf + np.inf, start), np.zeros(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_input_of_the_wrong_size_is_refused_in_words(channels):
    """ "ValueError if shapes do not fit"."""
    model = build(RNN(2, 3, 1)).astype(np.float64)
    with pytest.raises(ValueError, match=r"x|input"):
        hitherto.linearised(model, states_of(model), np.zeros(channels))


# ---------------------------------------------------------------- tiny and huge weights


def right_or_refused(ask, true, rtol=1e-9) -> None:
    """The right numbers; else, as exceeding float64, a refusal that speaks of it in the library's own words."""
    try:
        found = ask()
    except ValueError as refusal:
        if any(word in str(refusal) for word in ("weights", "float64", "scale")):
            return
        raise
    close(found, true, rtol, 0)


ENTER = [1e-200, 1e-150, 1e-100, 1e100, 1e150, 1e200]


@pytest.mark.parametrize("enter", ENTER)
def test_memory_does_not_depend_on_the_size_of_input_weights(enter):
    right_or_refused(lambda: hitherto.linear_memory_curve(line(3, enter=enter), lags=4)[0].value, [1, 1, 1, 0])
    right_or_refused(lambda: hitherto.copy_reach(line(3, enter=enter)).value, 2)


@pytest.mark.parametrize("enter", ENTER)
def test_singular_values_of_any_size(enter):
    found = [enter] * 3
    right_or_refused(lambda: hitherto.hankel_singular_values(line(3, enter=enter)).value, found)


@pytest.mark.parametrize(("enter", "noise"), [(1e-150, 1e-300), (1e-200, 1e-300), (1e150, 1e300), (1e200, 1e300)])
def test_noise_and_signal_of_any_size(enter, noise):
    share = (enter / noise**0.5) ** 2
    right_or_refused(
        lambda: hitherto.fisher_memory_curve(line(3, enter=enter), noise, lags=4).value,
        np.array([1, 1 / 2, 1 / 3, 0]) * share,
    )
    right_or_refused(
        lambda: hitherto.noisy_memory_curve(line(3, enter=enter), noise, lags=4).value,
        [*(1 / (1 + np.arange(1, 4) / share)), 0],
    )


@pytest.mark.parametrize("link", [1e-200, 1e-100, 1e-13, 1e13, 1e70, 1e100, 1e150])
def test_links_of_any_size(link):
    """A delay line of three whose links grow or shrink what they carry: as good as one of links 1."""
    model, system = line(3, link), single(link * np.eye(3, k=-1), first(3))
    right_or_refused(lambda: hitherto.linear_memory_curve(model, lags=4)[0].value, [1, 1, 1, 0])
    right_or_refused(lambda: hitherto.copy_reach(model).value, 2)
    right_or_refused(lambda: hitherto.hankel_singular_values(model).value, [link * link] * 3)
    right_or_refused(lambda: hitherto.noisy_memory_curve(model, 1, lags=4).value, true_noisy(system, 1, lags=4), 1e-6)
    right_or_refused(
        lambda: hitherto.fisher_memory_curve(model, 1, lags=4).value, true_noisy(system, 1, lags=4, fisher=True), 1e-6
    )
    left = hitherto.copy_reach(model, "output").statistics["left"]
    assert not np.isnan(left)


def test_exact_measures_do_not_mind_sizes():
    for link in (1e-200, 1e150):
        model = rnn(link * np.eye(2, k=-1) + 0.5 * np.eye(2), first(2), np.ones((1, 2)))
        assert hitherto.hankel_rank(model).value == 2
        assert denominator(model) == (1, -1, Fraction(1, 4))
        assert numerator(model) == (1, Fraction(link) - Fraction(1, 2))


def test_responses_up_to_the_edge_of_float64():
    grows = rnn([[1e150]], [[1.0]], [[1.0]])
    close(hitherto.markov_parameters(grows, 3).ravel(), [1, 1e150, 1e300], 1e-12)
    with pytest.raises(ValueError, match=r"exceed float64 at lag 3.* at most 3 lags"):
        hitherto.markov_parameters(grows, 5)
    close(hitherto.markov_parameters(rnn([[1e-200]], [[1.0]], [[1.0]]), 3).ravel(), [1, 1e-200, 0], 1e-12, 0)
    curve = hitherto.linear_memory_curve(grows, horizon=3)[0].value
    close(curve, [0, 1e-300, 1], 1e-9, 1e-299)


def test_a_silent_output_of_an_exploding_state_is_zero_or_refused():
    hidden = rnn(np.array([[1e200, 0.0], [0.0, 0.5]]), ones(2), np.array([[0.0, 1.0]]))
    right_or_refused(lambda: hitherto.markov_parameters(hidden, 4).ravel(), [1, 0.5, 0.25, 0.125])


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(("part_of", "bad"), [("weight_hh", np.nan), ("weight_ih", np.inf), ("readout", -np.inf)])
def test_weights_that_are_no_numbers(part_of, bad):
    model = deep(small(), small())
    weights = dict(model.weights[1]) | {part_of: np.array([[bad]])}
    broken = Model(model.architecture, (model.weights[0], weights))
    for ask in measures():
        with pytest.raises(ValueError, match=rf"1.*{part_of}.*(nan|inf).*finite"):
            ask(broken)


@pytest.mark.parametrize("radius", [1.0, 1.25, -1.0])
def test_unstable_models_are_told_their_radius(radius):
    model = rnn(np.diag([radius, 0.5]), ones(2), np.ones((1, 2)))
    asks = [
        hitherto.linear_memory_curve,
        lambda m: hitherto.noisy_memory_curve(m, 0.1),
        lambda m: hitherto.fisher_memory_curve(m, 0.1, lags=3),
        hitherto.hankel_singular_values,
        hitherto.copy_reach,
        lambda m: hitherto.copy_reach(m, "output"),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match=rf"radius is {abs(radius):g} .*below 1; .*horizon"):
            ask(model)
    assert hitherto.hankel_rank(model).value == 2
    assert hitherto.markov_parameters(model, 3).shape == (3, 1, 1)
    assert len(hitherto.linear_memory_curve(model, horizon=4)[0].value) == 4


def test_an_unstable_state_that_inputs_do_not_reach_is_refused_or_left_out():
    model = rnn(np.diag([0.5, 2.0]), np.array([[1.0], [0.0]]))
    right_or_refused(lambda: hitherto.linear_memory_curve(model, lags=3)[0].value, 0.75 * 4.0 ** -np.arange(3))


WHOLE = "whole number from 1 on"


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: hitherto.markov_parameters(m, 0), f"lags=0.*{WHOLE}"),
        (lambda m: hitherto.markov_parameters(m, -1), f"lags=-1.*{WHOLE}"),
        (lambda m: hitherto.linear_memory_curve(m, lags=-2), f"lags=-2.*{WHOLE}"),
        (lambda m: hitherto.linear_memory_curve(m, horizon=0), f"horizon=0.*{WHOLE}"),
        (lambda m: hitherto.noisy_memory_curve(m, 0.1, lags=0), f"lags=0.*{WHOLE}"),
        (lambda m: hitherto.fisher_memory_curve(m, 0.1, lags=0), f"lags=0.*{WHOLE}"),
        (lambda m: hitherto.linear_memory_curve(m, "bottom"), "'bottom'; there is all, top"),
        (lambda m: hitherto.noisy_memory_curve(m, 0.1, "output"), "'output'; there is all, top"),
        (lambda m: hitherto.fisher_memory_curve(m, 0.1, ""), "''; there is all, top"),
        (lambda m: hitherto.copy_reach(m, "bottom"), "'bottom'; there is all, top, output"),
        (lambda m: hitherto.copy_reach(m, tolerance=1), "tolerance=1;.*from 0 to below 1"),
        (lambda m: hitherto.copy_reach(m, tolerance=-1e-9), "tolerance=-1e-09;.*from 0 to below 1"),
        (lambda m: hitherto.copy_reach(m, tolerance=float("nan")), "tolerance=nan"),
        (lambda m: hitherto.noisy_memory_curve(m, 0), "variance 0 .*above 0.*linear_memory_curve"),
        (lambda m: hitherto.noisy_memory_curve(m, -1.0), "variance -1.0 .*above 0"),
        (lambda m: hitherto.fisher_memory_curve(m, float("nan")), "variance nan .*above 0"),
        (lambda m: hitherto.fisher_memory_curve(m, float("inf")), "variance inf "),
    ],
)
def test_arguments_that_cannot_be(ask, words):
    with pytest.raises(ValueError, match=words):
        ask(small())


def test_outputs_that_do_not_pair_with_inputs():
    two = rnn([[0.5]], [[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="2 outputs for 1 input"):
        hitherto.copy_reach(two, "output")
    with pytest.raises(ValueError, match="2 outputs for 1 input"):
        numerator(two)
    assert denominator(two) == (1, Fraction(-1, 2))


@pytest.mark.parametrize(
    ("layer", "name", "shape"),
    [(0, "weight_hh", (2, 2)), (1, "weight_ih", (1, 2)), (1, "weight_hh", (1,)), (2, "readout", (2, 3))],
)
def test_shapes_that_do_not_fit_name_the_layer(layer, name, shape):
    models = [
        rnn(np.zeros((n, n)), np.zeros((n, m)), v) for n, m, v in ((3, 1, None), (1, 3, None), (2, 1, [[1.0, 1.0]]))
    ]
    whole = deep(*models)
    weights = [dict(m.weights) for m in models]
    weights[layer][name] = np.zeros(shape)
    for ask in measures():
        with pytest.raises(ValueError, match=rf"{layer}\D*{name}.*shape"):
            ask(Model(whole.architecture, tuple(weights)))


def test_weights_that_are_not_there_are_named():
    models, _ = parts_of_a_stack()
    whole = deep(*models)
    without = {k: v for k, v in models[1].weights.items() if k != "weight_ih"}
    with pytest.raises(ValueError, match="weight_ih"):
        hitherto.linear_memory_curve(Model(whole.architecture, (models[0].weights, without, models[2].weights)))


def test_weights_of_too_few_layers_are_counted():
    models, _ = parts_of_a_stack()
    with pytest.raises(ValueError, match=r"3 layers|layer"):
        hitherto.linear_memory_curve(Model(deep(*models).architecture, (models[0].weights, models[1].weights)))


# ---------------------------------------------------------------- the command


def command(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture
def saved(tmp_path):
    def save(model: Model):
        path = tmp_path / "model.safetensors"
        hitherto.save(model, path)
        return path

    return save


def test_the_command_gives_the_numbers_of_the_functions(capsys, saved):
    models, _ = parts_of_a_stack()
    model = deep(*models)
    status, out, err = command(capsys, "measure", "memory", saved(model), "--json", "--noise", "0.25")
    assert (status, err) == (0, "")
    found = {(e["quantity"], e["part"]): e["value"] for e in json.loads(out)}
    assert found["state_order", ""] == hitherto.hankel_rank(model).value
    for read, name in (("all", "all layers"), ("top", "top layer")):
        curve, total = hitherto.linear_memory_curve(model, read)
        close(found["linear_memory", name], curve.value, 0, 0)
        close(found["linear_memory_capacity", name], total.value, 0, 0)
        close(found["noisy_memory", name], hitherto.noisy_memory_curve(model, 0.25, read).value, 0, 0)
        close(found["fisher_memory", name], hitherto.fisher_memory_curve(model, 0.25, read).value, 0, 0)
        assert found["copy_reach", name] == hitherto.copy_reach(model, read).value


def test_the_command_prints_a_table(capsys, saved):
    status, out, err = command(capsys, "measure", "memory", saved(line(4)))
    assert (status, err) == (0, "")
    for words in ("state order", "copy reach", "linear memory", "noisy memory", "fisher memory", "top layer"):
        assert words in out
    assert "nan" not in out.lower()


def test_the_command_takes_state_spaces(capsys, saved):
    model = build(Deep((DiagonalStateSpace(1, 2, 1, r_max=0.9), StateSpace(2, 1, 1, variance=0.5)), "input"))
    status, out, err = command(capsys, "measure", "memory", saved(model), "--json")
    assert (status, err) == (0, "")
    by_name = {(e["quantity"], e["part"]): e["value"] for e in json.loads(out)}
    close(by_name["linear_memory", "all layers"], hitherto.linear_memory_curve(model)[0].value, 1e-9)


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        (rnn([[2.0]], [[1.0]]), (), "radius is 2 "),
        (build(RNN(1, 2, 1)), (), "not linear"),
        (rnn([[np.nan]], [[1.0]]), (), "NaN|nan"),
        (small(), ("--noise", "0"), "noise"),
        (small(), ("--noise", "-1"), "noise"),
        (small(), ("--noise", "nan"), "noise"),
        (small(), ("--layer", "nowhere"), "nowhere"),
    ],
    ids=["unstable", "bent", "nan", "no noise", "negative noise", "nan noise", "layer"],
)
def test_the_command_refuses_in_one_line(capsys, saved, model, arguments, words):
    status, out, err = command(capsys, "measure", "memory", saved(model), *arguments)
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert words.split("|")[0] in err or words.split("|")[-1] in err


def test_the_command_lists_layers_by_names_that_can_be_seen(capsys, saved):
    models, _ = parts_of_a_stack()
    _, _, err = command(capsys, "measure", "memory", saved(deep(*models)), "--layer", "nowhere")
    assert "it has ," not in err


def test_the_command_measures_one_layer(capsys, saved):
    models, _ = parts_of_a_stack()
    status, out, err = command(capsys, "measure", "memory", saved(deep(*models)), "--layer", "l1", "--json")
    assert (status, err) == (0, "")
    curve = next(e["value"] for e in json.loads(out) if e["quantity"] == "linear_memory" and e["part"] == "all layers")
    close(curve, hitherto.linear_memory_curve(models[1])[0].value, 1e-9)


def test_a_missing_file(capsys, tmp_path):
    status, out, err = command(capsys, "measure", "memory", tmp_path / "none.safetensors")
    assert (status, out) == (2, "")
    assert "no file" in err
