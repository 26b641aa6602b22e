"""The mean-field theory against its action written anew, brute force, quadrature, random matrices and bad input."""

import itertools
import json
import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import integrate, optimize

from hitherto.cli import main
from hitherto.theory import mean_field_solver
from hitherto.theory.mean_field import Problem, preactivation_covariance, shift, shift_back
from hitherto.theory.mean_field_action import action
from hitherto.theory.mean_field_atlas import (
    incoherent_energy,
    landmarks,
    strong_signal_ratios,
    tricritical_noise,
)
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import coexistence_noise, feedforward_chain, gain
from hitherto.theory.mean_field_coherent import coherent_states
from hitherto.theory.mean_field_endpoint import endpoint, endpoint_of_inputs
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.theory.mean_field_prediction import at_test_points, slopes
from hitherto.theory.mean_field_prior import first_order, prior_kernel
from hitherto.theory.mean_field_schedule import next_step, schedule_error, schedule_errors
from hitherto.theory.mean_field_sequence import aliasing, reduction
from hitherto.theory.mean_field_solver import has_mirror, mirrored, solve
from hitherto.theory.mean_field_stability import critical_gain, crossed_determinant, lag_hessian, spinodal_signal
from hitherto.theory.mean_field_transition import cross_time_correlation, crossover, transition
from hitherto.theory.mean_field_weights import outliers
from hitherto.theory.mean_field_width import (
    correlation_fluctuations,
    kernel_moments,
    log_density_of_kernel,
    one_hidden_layer,
    prior_moments,
)
from hitherto.training.posterior import log_density, sample_posterior
from hitherto.training.posterior_chains import Sampling
from hitherto.training.posterior_weights import langevin_settings, sample_weights

pytestmark = pytest.mark.slow


# The action, written from the specification alone.


def moved(kernel: np.ndarray, patterns: int) -> np.ndarray:
    """Every block a step later in both times."""
    later = np.zeros_like(kernel)
    later[patterns:, patterns:] = kernel[:-patterns, :-patterns] if patterns < len(kernel) else 0
    return later


@dataclass
class Spec:
    """F, its gradient and what it predicts, of a problem's plain fields."""

    problem: Problem

    def __post_init__(self):
        p = self.problem
        self.patterns = len(p.kernel) // p.times
        ones = np.ones((self.patterns, self.patterns))
        same = np.eye(p.times, dtype=bool)
        shared = p.shared if isinstance(p.shared, np.ndarray) else (same | p.shared)
        self.mask = np.kron(shared, ones)  # of h: its row t is the W that makes h[t]
        inputs = np.kron(same | p.shared_inputs, ones)
        self.drive = p.input_variance * inputs * p.kernel + p.bias_variance * self.mask
        index = list(p.labelled)
        self.pick = np.ix_(index, index)
        times = np.array(index) // self.patterns
        self.read = np.ones((len(index),) * 2) if p.shared_readout else (times[:, None] == times).astype(float)
        self.all_read = np.ones((len(p.kernel),) * 2)
        if not p.shared_readout:
            self.all_read = np.kron(same, ones)

    def sigma(self, kernel):
        return self.problem.recurrent_variance * self.mask * moved(kernel, self.patterns) + self.drive

    def prior(self):
        kernel = np.zeros_like(self.drive)
        for _ in range(self.problem.times):
            kernel = self.sigma(kernel)
        return kernel

    def noisy(self, kernel):
        p = self.problem
        return p.readout_variance * self.read * kernel[self.pick] + p.noise * np.eye(len(self.read))

    def value(self, kernel):
        sigma, y = self.sigma(kernel), self.problem.labels
        data = np.sum(y * np.linalg.solve(self.noisy(kernel), y))
        logs = np.linalg.slogdet(sigma)[1] - np.linalg.slogdet(kernel)[1]
        return (np.trace(np.linalg.solve(sigma, kernel)) + logs - len(kernel) + data) / 2

    def slope(self, kernel):
        p, back = self.problem, np.linalg.inv(self.sigma(kernel))
        surplus = self.mask * (back @ kernel @ back - back)
        earlier = np.zeros_like(kernel)
        n = self.patterns
        earlier[:-n, :-n] = surplus[n:, n:]
        weights = np.linalg.solve(self.noisy(kernel), p.labels)
        pull = np.zeros_like(kernel)
        pull[self.pick] = self.read * (weights @ weights.T)
        return (back - np.linalg.inv(kernel) - p.recurrent_variance * earlier - p.readout_variance * pull) / 2

    def outputs(self, kernel):
        p = self.problem
        weights = np.linalg.solve(self.noisy(kernel), p.labels)
        return p.readout_variance * (self.all_read * kernel)[:, list(p.labelled)] @ weights


def starts(spec: Spec, seed: int):
    """The prior, networks that repeat or turn a pattern, and random ones; some of each much richer."""
    root, rng = np.linalg.cholesky(spec.prior()), np.random.default_rng(seed)
    size, times, n = len(root), spec.problem.times, spec.patterns
    lags = np.subtract.outer(np.arange(times), np.arange(times))
    yield root
    for turn in (0, np.pi / 4, np.pi / 2):
        tied = np.kron((0.8 ** abs(lags) * np.cos(turn * lags) + np.eye(times)) / 2, np.eye(n))
        for grown in (1.0, 2.0, 6.0):
            layers = np.kron(grown ** (np.arange(1, times + 1) / 2), np.ones(n))
            yield root @ np.linalg.cholesky(tied * np.outer(layers, layers))
    for _ in range(2):
        shaken = np.eye(size) + 0.4 * rng.normal(size=(size, size))
        yield np.linalg.cholesky(root @ shaken @ shaken.T @ root.T)


def brute(problem: Problem, seed: int = 0) -> tuple[float, np.ndarray]:
    """The lowest F over Cholesky factors with logarithmic diagonals, by quasi-Newton steps from many starts."""
    spec = Spec(problem)
    size = len(spec.drive)
    scale = np.sqrt(np.diag(spec.prior()))
    rows, columns = np.tril_indices(size)
    diagonal = rows == columns

    def factor(x):
        lower = np.zeros((size, size))
        lower[rows, columns] = np.where(diagonal, np.exp(np.where(diagonal, x, 0)), x)
        return scale[:, None] * lower

    def cost(x):
        lower = factor(x)
        kernel = lower @ lower.T
        slope = (scale[:, None] * (2 * spec.slope(kernel) @ lower))[rows, columns]
        return spec.value(kernel), np.where(diagonal, slope * np.exp(np.where(diagonal, x, 0)), slope)

    ends = []
    for start in starts(spec, seed):
        x = (start / scale[:, None])[rows, columns]
        x = np.where(diagonal, np.log(np.where(diagonal, x, 1)), x)
        for _ in range(2):  # begun again where the memory of curvature went stale
            found = optimize.minimize(cost, x, jac=True, method="L-BFGS-B", options=dict(maxiter=2000, ftol=1e-16))
            x = found.x
        ends.append((found.fun, factor(x) @ factor(x).T))
    return min(ends, key=lambda end: end[0])


def end(signal: float, times: int = 3, noise: float = 0.1, **settings) -> Problem:
    return Problem.pulse(np.array([[math.sqrt(signal)]]), (times - 1,), times, noise=noise, **settings)


def unequal(first, second, tolerance=1e-6) -> bool:
    return bool(np.max(np.abs(np.asarray(first) - second)) > tolerance)


def sine(steps, times=6, size=2.0, **settings) -> Problem:
    wave = size * np.sin(np.pi * (np.arange(times) + 0.5) / 4)
    return Problem.pulse(wave[None, list(steps)], tuple(steps), times, **(dict(noise=0.2) | settings))


def inputs_everywhere(seed=1, patterns=2, times=3, **settings) -> Problem:
    rng = np.random.default_rng(seed)
    labels = np.full((patterns, times), np.nan)
    labels[:, -1] = 2 * rng.normal(size=patterns)
    labels[0, 1] = 1.5
    return Problem.sequences(rng.normal(size=(patterns, times, 4)), labels, **(dict(noise=0.3) | settings))


def two_outputs() -> Problem:
    plain = Problem.pulse(np.array([[4.0], [0.0]]), (2,), 3, noise=0.2)
    return plain.with_(labels=np.array([[4.0, 0.5], [-1.0, 2.0]]))


HALVES = np.kron(np.eye(2, dtype=bool), np.ones((2, 2), bool))
PROBLEMS = {
    "coherent end": lambda: end(20.0),
    "strange scales": lambda: end(40.0, 4, 0.5, recurrent_variance=2.0, input_variance=0.5, readout_variance=3.0),
    "deep": lambda: end(3.0, 5, 0.01),
    "feedforward": lambda: end(6.0, 4, 0.3, shared=False),
    "large noise": lambda: end(3000.0, 3, 200.0),
    "sine": lambda: sine((0, 1, 3, 5)),
    "a readout a time": lambda: sine((0, 1, 3, 5), shared_readout=False),
    "inputs at every time": inputs_everywhere,
    "feedforward inputs": lambda: inputs_everywhere(2, shared=False),
    "V a time": lambda: inputs_everywhere(3, shared_inputs=False),
    "feedforward, V a time": lambda: inputs_everywhere(4, shared=False, shared_inputs=False),
    "bias": lambda: inputs_everywhere(5, bias_variance=0.7),
    "feedforward bias": lambda: end(6.0, 4, 0.3, shared=False, bias_variance=0.5),
    "W twice": lambda: sine((0, 1, 3), 4, 3.0, shared=HALVES),
    "two outputs": two_outputs,
    "two patterns": lambda: Problem.pulse(np.array([[3.0], [2.0]]), (2,), 3, noise=0.1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_solver_is_as_low_as_brute_force(name):
    problem = PROBLEMS[name]()
    spec, found = Spec(problem), solve(problem)
    lowest, kernel = brute(problem)
    best = found.best
    assert found.status == "solved"
    assert best.action == pytest.approx(lowest, abs=1e-8)
    assert spec.value(best.kernel) == pytest.approx(best.action, abs=1e-9)
    assert action(problem, best.kernel) == pytest.approx(best.action, abs=1e-9)
    root = np.linalg.cholesky(best.kernel)
    assert np.max(np.abs(root.T @ spec.slope(best.kernel) @ root)) < 1e-8
    np.testing.assert_allclose(np.diag(best.kernel), np.diag(kernel), rtol=2e-3)
    np.testing.assert_allclose(best.prediction.mean, spec.outputs(best.kernel), atol=1e-9)
    spread = problem.readout_variance * np.diag(best.kernel)
    tied = problem.readout_variance * (spec.all_read * best.kernel)[:, list(problem.labelled)]
    spread = spread - np.sum(tied.T * np.linalg.solve(spec.noisy(best.kernel), tied.T), axis=0)
    np.testing.assert_allclose(best.prediction.variance, spread, atol=1e-9)
    assert best.least_curvature > 0


@pytest.mark.parametrize("name", ["sine", "inputs at every time", "W twice", "bias", "two outputs"])
def test_the_action_of_any_kernel(name):
    problem, rng = PROBLEMS[name](), np.random.default_rng(3)
    spec = Spec(problem)
    shaken = np.linalg.cholesky(spec.prior()) @ (np.eye(problem.size) + 0.3 * rng.normal(size=(problem.size,) * 2))
    kernel = shaken @ shaken.T
    assert action(problem, kernel) == pytest.approx(spec.value(kernel), rel=1e-10)
    np.testing.assert_allclose(preactivation_covariance(problem, kernel), spec.sigma(kernel), atol=1e-13)
    np.testing.assert_allclose(prior_kernel(problem)[0], spec.prior(), atol=1e-12)


def test_shifts_are_adjoint():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 6))
    for patterns in (1, 2, 3, 6):
        assert np.sum(shift(a, patterns) * b) == pytest.approx(np.sum(a * shift_back(b, patterns)), abs=1e-13)
        np.testing.assert_array_equal(shift(a, patterns), moved(a, patterns))


# Symmetries.


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_patterns_have_no_order(order):
    x = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 1.0], [0.0, 1.0, 1.0]])
    y = np.array([[2.0, 1.0], [-1.0, 3.0], [0.5, 0.0]])
    first = solve(Problem.pulse(y, (1, 2), 3, inputs=x))
    order = list(order)
    second = solve(Problem.pulse(y[order], (1, 2), 3, inputs=x[order]))
    assert second.best.action == pytest.approx(first.best.action, abs=1e-9)
    moved_outputs = first.mean.reshape(3, 3)[:, order]
    np.testing.assert_allclose(second.mean.reshape(3, 3), moved_outputs, atol=1e-7)


@pytest.mark.parametrize("seed", [1])
def test_rotated_outputs_and_orthogonal_patterns(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    plain = two_outputs()
    first = solve(plain).best
    outputs = solve(plain.with_(labels=plain.labels @ turn)).best
    patterns = solve(plain.with_(labels=turn @ plain.labels)).best
    assert outputs.action == pytest.approx(first.action, abs=1e-9)
    assert patterns.action == pytest.approx(first.action, abs=1e-9)
    np.testing.assert_allclose(outputs.prediction.mean[4:], first.prediction.mean[4:] @ turn, atol=1e-7)
    np.testing.assert_allclose(patterns.prediction.mean[4:], turn @ first.prediction.mean[4:], atol=1e-7)


def test_labels_have_no_sign_and_no_order():
    plain = sine((0, 1, 3, 5))
    first, back = solve(plain), solve(plain.with_(labels=-plain.labels))
    turned = solve(plain.with_(labelled=plain.labelled[::-1], labels=plain.labels[::-1].copy()))
    assert back.best.action == pytest.approx(first.best.action, abs=1e-10)
    np.testing.assert_allclose(back.mean, -first.mean, atol=1e-7)
    np.testing.assert_allclose(turned.mean, first.mean, atol=1e-7)


def test_an_output_may_be_split_in_two():
    plain = sine((0, 1, 3, 5))
    first = solve(plain).best
    halves = solve(plain.with_(labels=np.repeat(plain.labels / math.sqrt(2), 2, axis=1))).best
    silent = solve(plain.with_(labels=np.hstack([plain.labels, 0 * plain.labels]))).best
    assert halves.action == pytest.approx(first.action, abs=1e-9)
    assert silent.action == pytest.approx(first.action, abs=1e-9)
    assert np.all(silent.prediction.mean[:, 1] == 0)


@pytest.mark.parametrize(("name", "richness"), [("sine", 7.0), ("strange scales", 0.1), ("inputs at every time", 3.0)])
def test_richness_is_readout_variance(name, richness):
    """f / gamma with kappa, against labels and noise scaled instead: one theory."""
    plain = PROBLEMS[name]()
    changed = plain.with_(readout_variance=plain.readout_variance / richness**2)
    scaled = plain.with_(labels=plain.labels * richness, noise=plain.noise * richness**2)
    one, two = solve(changed).best, solve(scaled).best
    assert one.action == pytest.approx(two.action, abs=1e-9)
    np.testing.assert_allclose(one.prediction.mean * richness, two.prediction.mean, atol=1e-6)


@pytest.mark.parametrize(
    ("which", "scale"), [("recurrent", 1e-8), ("recurrent", 1e8), ("input", 1e-8), ("input", 1e8), ("readout", 1e-8)]
)
def test_only_dimensionless_groups_count(scale, which):
    """Signal, noise and T fix a chain; weights of any scale give the same in units of the prior."""
    signal, noise, times = 3.0, 0.2, 4
    variances = {f"{name}_variance": scale if name == which else 1.0 for name in ("recurrent", "input", "readout")}
    unit = variances["readout_variance"] * variances["input_variance"] * variances["recurrent_variance"] ** (times - 1)
    found = solve(end(signal * unit, times, noise * unit, **variances))
    plain = solve(end(signal, times, noise))
    deviations = np.sqrt(variances["input_variance"] * variances["recurrent_variance"] ** np.arange(times))
    assert found.status == "solved"
    assert found.best.action == pytest.approx(plain.best.action, abs=1e-9)
    kernel = np.abs(found.best.kernel / np.outer(deviations, deviations))
    np.testing.assert_allclose(kernel, np.abs(plain.best.kernel), rtol=1e-6, atol=1e-7)
    verdict = transition(end(signal * unit, times, noise * unit, **variances))
    assert verdict.label_factor == pytest.approx(transition(end(signal, times, noise)).label_factor, rel=1e-9)


def test_inputs_and_their_weights_share_a_scale():
    x, y = np.random.default_rng(0).normal(size=(3, 3)), np.array([[1.0], [2.0], [-1.0]])
    first = solve(Problem.pulse(y, (2,), 3, inputs=x)).best
    second = solve(Problem.pulse(y, (2,), 3, inputs=1e5 * x, input_variance=1e-10)).best
    assert second.action == pytest.approx(first.action, abs=1e-9)
    np.testing.assert_allclose(second.prediction.mean[6:], first.prediction.mean[6:], atol=1e-7)


@pytest.mark.parametrize("steps", [(1, 3, 5), (2, 4), (5,)])
def test_mirrors_of_labels_of_one_parity(steps):
    problem = sine(steps, size=4.0)
    assert has_mirror(problem)
    assert aliasing(problem)
    found = solve(problem)
    assert found.notes
    signs = (-1.0) ** np.arange(6)
    for minimum in found.minima:
        np.testing.assert_allclose(mirrored(problem, minimum.kernel), minimum.kernel * np.outer(signs, signs))
        assert Spec(problem).value(mirrored(problem, minimum.kernel)) == pytest.approx(minimum.action, abs=1e-9)
        tied = unequal(minimum.kernel * np.outer(signs, signs), minimum.kernel, 1e-4)
        assert (minimum.mirror is not None) == tied
    other = [t for t in range(6) if t % 2 != steps[0] % 2]
    np.testing.assert_allclose(found.mean[other], 0, atol=1e-9)


@pytest.mark.parametrize("steps", [(0, 3), (1, 2, 5)])
def test_labels_of_both_parities_fix_signs(steps):
    problem = sine(steps, size=4.0)
    assert not has_mirror(problem)
    assert all(minimum.mirror is None for minimum in solve(problem).minima)
    spaced = math.gcd(*np.diff(steps).tolist()) > 1
    assert bool(aliasing(problem)) == spaced


@pytest.mark.parametrize(("times", "seed"), [(1, 0), (2, 1), (2, 2)])
def test_sharing_counts_from_three_times_on(times, seed):
    rng = np.random.default_rng(seed)
    inputs, labels = rng.normal(size=(2, times, 3)), 3 * rng.normal(size=(2, times))
    if times == 2:
        labels[0, 1] = np.nan
    tied = solve(Problem.sequences(inputs, labels))
    untied = solve(Problem.sequences(inputs, labels, shared=False))
    assert tied.best.action == pytest.approx(untied.best.action, abs=1e-9)
    np.testing.assert_allclose(tied.best.kernel, untied.best.kernel, rtol=1e-5, atol=1e-6)
    verdict = transition(Problem.pulse(np.array([[50.0]]), (times - 1,), times))
    assert verdict.phase == "incoherent"
    assert "no weight sharing in effect" in verdict.reason


@pytest.mark.parametrize("seed", range(2))
def test_sharing_is_never_dearer_with_labels_at_the_end(seed):
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=(3, 1)) * 10 ** rng.uniform(-1, 1.5)
    problem = Problem.pulse(labels, (3,), 4, noise=10 ** rng.uniform(-3, 1), recurrent_variance=rng.uniform(0.3, 3))
    tied, untied = solve(problem), solve(problem.with_(shared=False))
    assert tied.best.action <= untied.best.action + 1e-10
    if transition(problem).phase == "incoherent":
        np.testing.assert_allclose(tied.best.kernel, untied.best.kernel, rtol=1e-5, atol=1e-6)
    else:
        assert tied.best.action < untied.best.action


@pytest.mark.parametrize("name", ["sine", "two patterns"])
def test_patterns_without_labels_change_nothing(name):
    plain = PROBLEMS[name]()
    count = plain.patterns + 1
    kernel = np.zeros((plain.times * count,) * 2)
    kernel[:count, :count] = np.eye(count)
    labelled = tuple(entry // plain.patterns * count + entry % plain.patterns for entry in plain.labelled)
    more = plain.with_(kernel=kernel, labelled=labelled)
    first, second = solve(plain), solve(more)
    assert second.best.action == pytest.approx(first.best.action, abs=1e-9)
    outputs = second.mean.reshape(plain.times, count, -1)
    np.testing.assert_allclose(outputs[:, :-1].reshape(plain.size, -1), first.mean, atol=1e-7)
    np.testing.assert_allclose(outputs[:, -1], 0, atol=1e-9)
    assert Spec(more).value(second.best.kernel) == pytest.approx(first.best.action, abs=1e-9)


def test_times_after_the_last_label_change_nothing():
    short, long = solve(sine((0, 1, 3), 4)), solve(sine((0, 1, 3), 7))
    assert long.best.action == pytest.approx(short.best.action, abs=1e-9)
    np.testing.assert_allclose(long.mean[:4], short.mean, atol=1e-7)
    spec = Spec(sine((0, 1, 3), 7))
    root = np.linalg.cholesky(long.best.kernel)
    assert np.max(np.abs(root.T @ spec.slope(long.best.kernel) @ root)) < 1e-7
    assert endpoint(end(5.0, 4)).ridge == pytest.approx(
        endpoint(Problem.pulse(np.array([[math.sqrt(5.0)]]), (3,), 9)).ridge, rel=1e-9
    )


@pytest.mark.parametrize("shared", [True, False])
def test_test_points_are_patterns_without_labels(shared):
    whole = inputs_everywhere(7, 3, shared=shared)
    learned = [entry for entry in range(9) if entry % 3 != 2]
    new = [2, 5, 8]
    labelled = [entry for entry in whole.labelled if entry in learned]
    labels = whole.labels[[whole.labelled.index(entry) for entry in labelled]]
    unlabelled = whole.with_(labelled=tuple(labelled), labels=labels)
    part = whole.with_(
        kernel=whole.kernel[np.ix_(learned, learned)],
        labelled=tuple(learned.index(entry) for entry in labelled),
        labels=labels,
    )
    found, full = solve(part).best, solve(unlabelled).best
    told = at_test_points(part, found.kernel, whole.kernel[np.ix_(new, learned)], whole.kernel[np.ix_(new, new)])
    np.testing.assert_allclose(told.across, full.kernel[np.ix_(new, learned)], atol=1e-6)
    np.testing.assert_allclose(told.among, full.kernel[np.ix_(new, new)], atol=1e-6)
    np.testing.assert_allclose(told.prediction.mean, full.prediction.mean[new], atol=1e-6)
    np.testing.assert_allclose(told.prediction.variance, full.prediction.variance[new], atol=1e-6)


@pytest.mark.parametrize("name", ["coherent end", "bias", "V a time"])
def test_slopes_are_differences(name):
    problem = PROBLEMS[name]()
    told = slopes(problem, solve(problem).best.kernel)
    for field in ("recurrent_variance", "input_variance", "readout_variance", "noise"):
        value, step = getattr(problem, field), 1e-4 * getattr(problem, field)
        up, down = (solve(problem.with_(**{field: value + sign * step})).best.action for sign in (1, -1))
        assert told[field] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)


# Closed forms.


def excess(times: int, signal: float) -> float:
    """r - 1 of r^T (r - 1) = signal."""
    target = math.log(signal)
    return math.exp(optimize.brentq(lambda u: times * math.log1p(math.exp(u)) + u - target, -60, 60, xtol=1e-14))


@pytest.mark.parametrize("times", [1, 3, 40])
def test_feedforward_chains_amplify_alike(times):
    for signal in [1e-4, 0.3, 50.0, 1e12]:
        (state,) = feedforward_chain(times, signal)
        r = excess(times, signal)
        assert state.order - 1 == pytest.approx(r, rel=1e-6, abs=1e-15)
        assert state.free_energy == pytest.approx(((times + 1) * r - times * math.log1p(r)) / 2, rel=1e-9)
        np.testing.assert_allclose(np.diag(state.kernel), np.exp(np.log1p(r) * np.arange(1, times + 1)), rtol=1e-9)
        assert gain(times, signal) == pytest.approx(1 + r, rel=1e-9)
        assert incoherent_energy(times, signal) == pytest.approx(state.free_energy, rel=1e-9)


WEAK = {
    "weak labels": lambda: end(1e-8),
    "weaker labels": lambda: end(1e-20, 5),
    "strong weights": lambda: end(1.0, 10, recurrent_variance=9.0),
    "many times": lambda: end(1.0, 16, recurrent_variance=4.0),
    "much noise": lambda: end(1.0, 3, 1e5),
    "feedforward": lambda: end(1e-9, 4, 0.0, shared=False),
}


@pytest.mark.parametrize("name", WEAK)
def test_weak_signals_have_a_state(name):
    """Lambda << 1 once all is in units of the prior: r - 1 = Lambda, and nothing near a threshold."""
    problem = WEAK[name]()
    signal, noise = problem.groups["signal"], problem.groups["noise"]
    state = endpoint(problem).ground
    assert not state.coherent
    assert state.order - 1 == pytest.approx(signal / (1 + noise) ** 2, rel=1e-3, abs=1e-15)
    assert state.free_energy == pytest.approx(signal / (1 + noise) / 2, rel=1e-3, abs=1e-15)
    verdict = transition(problem)
    assert verdict.phase == "incoherent"
    assert verdict.label_factor > 1


def test_every_signal_has_a_state():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cases = [(int(rng.integers(1, 12)), 10 ** rng.uniform(-7, 7), rng.choice([0, 0.1, 30])) for _ in range(60)]
        assert [case for case in cases if not feedforward_chain(*case)] == []


@pytest.mark.parametrize(("times", "noise"), [(3, 1000.0), (2, 100.0), (5, 60.0), (10, 30.0), (4, 10.0), (3, 1e-12)])
def test_all_feedforward_roots(times, noise):
    for factor in [0.3, 1.0, 3.0]:
        grid = np.linspace(-14, 6, 40_001)
        r = 1 + np.exp(grid)
        curve = 2 * times * np.log((r**times + noise) / r ** (times / 2)) / times + grid
        signal = factor * math.exp(np.median(curve[(r > 1.1) & (r < 6)]))
        crossings = np.flatnonzero(np.diff(np.sign(curve - math.log(signal))))
        states = feedforward_chain(times, signal, noise)
        assert len(states) == len(crossings)
        found = sorted(state.order for state in states)
        np.testing.assert_allclose(found, r[crossings], rtol=2e-3)
        gains = np.array([state.order for state in states])
        energies = (times / 2 * (gains - 1 - np.log(gains)) + signal / 2 / (gains**times + noise)).tolist()
        np.testing.assert_allclose([state.free_energy for state in states], energies, rtol=1e-9)
        assert energies[0] == min(energies)
        stable = [state.stable for state in sorted(states, key=lambda state: state.order)]
        assert stable == [index % 2 == 0 for index in range(len(states))]


def test_noise_above_which_states_coexist():
    for times in [1, 2, 3, 4, 5, 8, 10, 40]:
        if times == 1:
            assert coexistence_noise(1) == math.inf
            continue
        r = times / (times - 1) + np.geomspace(1e-6, 20, 2_000_001)
        lowest = np.min(r**times * (times * (r - 1) + r) / (times * (r - 1) - r))
        assert coexistence_noise(times) == pytest.approx(lowest, rel=1e-6)


def three(m: float) -> tuple[float, np.ndarray]:
    """Signal and kernel of the coherent state of three times."""
    c = np.array([m / (m - 1), 2 * m / (m - 1) ** 2, 4 * m / (m - 1) ** 3])
    r12, r23 = math.sqrt((2 - m) / m), math.sqrt(m * (2 - m))
    rho = np.array([[1, r12, 2 - m], [r12, 1, r23], [2 - m, r23, 1]])
    return 4 * m / (m - 1) ** 4, rho * np.sqrt(np.outer(c, c))


@pytest.mark.parametrize("m", [1.999, 1.5, 1.3, 1.0005])
def test_three_times(m):
    signal, kernel = three(m)
    state = recurrent_chain(3, signal)[0]
    assert state.coherent
    assert state.stable
    np.testing.assert_allclose(np.abs(state.kernel), kernel, rtol=1e-6)
    energy = (4 / (m - 1) - math.log(4 * m / (m - 1))) / 2
    assert state.free_energy == pytest.approx(energy, rel=1e-9)
    told = outliers(end(signal, 3, 1e-9), np.array(state.kernel))[0]
    largest = math.sqrt(2 * m * (2 - m) / (m - 1))
    assert abs(told.eigenvalues[0]) == pytest.approx(largest, rel=1e-6)
    assert bool(len(told.visible_eigenvalues)) == (m < (3 + math.sqrt(17)) / 4)


@pytest.mark.parametrize(("noise", "square"), [(0.5, 5.0), (0.5, 51.06), (200.0, 3000.0), (25.0, 136.0), (16.0, 200.0)])
def test_three_times_with_noise(noise, square):
    """All roots of both branches by a fine grid; the lowest F wins."""

    def energy_of(variance, noiseless):
        return noiseless + square / 2 / (variance + noise)

    r = 1 + np.exp(np.linspace(-12, 0, 200_001))
    m = 1 + np.exp(np.linspace(-6, 0, 200_001))[::-1]
    lazy = square * r**3 / (r**3 + noise) ** 2 - (r - 1)
    variance = 4 * m / (m - 1) ** 3
    rich = square / (variance + noise) ** 2 - (m - 1) ** 2 / (4 * m)
    energies = [energy_of(r[i] ** 3, 1.5 * (r[i] - 1 - math.log(r[i]))) for i in roots(lazy)]
    coherent = [energy_of(variance[i], (3 / (m[i] - 1) - math.log(4 * m[i] / (m[i] - 1))) / 2) for i in roots(rich)]
    states = recurrent_chain(3, square, noise)
    assert states[0].free_energy == pytest.approx(min(energies + coherent), rel=1e-4)
    assert states[0].coherent == (min(coherent, default=math.inf) < min(energies, default=math.inf))
    assert solve(end(square, 3, noise)).best.action == pytest.approx(states[0].free_energy, abs=1e-9)


def roots(values: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(np.sign(values)))


@pytest.mark.parametrize("times", [3, 4, 5, 6, 12])
def test_chain_states_are_stationary(times):
    """At zero noise the spec's slope vanishes at every state, and F falls off as 1 / (2 c_T) with the signal."""
    for factor in [0.5, 1.2, 30.0]:
        signal = factor * spinodal_signal(times)
        spec = Spec(end(signal, times, 0.0))
        states = recurrent_chain(times, signal)
        for state in states:
            root = np.linalg.cholesky(state.kernel)
            assert np.max(np.abs(root.T @ spec.slope(state.kernel) @ root)) < 1e-7
            assert spec.value(state.kernel) == pytest.approx(state.free_energy, rel=1e-9, abs=1e-12)
        assert states[0].coherent == (factor > 1)
        assert states[0].free_energy == min(state.free_energy for state in states)
        step = 1e-5 * signal
        up, down = (recurrent_chain(times, signal + sign * step)[0].free_energy for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(1 / (2 * states[0].variance), rel=1e-5)


TABLE = {
    5: (1.3935782, 1.3961932, 1.4046639, 0.06409, 3.3e-6),
    6: (0.8855281, 0.8995821, 0.9536743, 0.08148, 7.2e-5),
    8: (0.4447979, 0.4663586, 0.5720356, 0.06401, 2.9e-4),
    10: (0.2668419, 0.2872454, 0.4059151, 0.04667, 4.4e-4),
    12: (0.1780336, 0.1958026, 0.3138428, 0.03479, 5.1e-4),
}


@pytest.mark.parametrize("times", [5, 6, 10])
def test_landmarks_of_the_table(times):
    fold, maxwell, spinodal, correlation, barrier = TABLE[times]
    found = landmarks(times)
    assert not found.continuous
    assert (found.fold, found.maxwell, found.spinodal) == pytest.approx((fold, maxwell, spinodal), rel=2e-7)
    assert found.maxwell_correlation == pytest.approx(correlation, abs=1e-5)
    assert found.barrier == pytest.approx(barrier, rel=0.02)
    below, above = (recurrent_chain(times, found.maxwell * (1 + sign * 1e-5))[0] for sign in (-1, 1))
    assert not below.coherent
    assert above.coherent
    states = recurrent_chain(times, (found.fold + found.spinodal) / 2)
    assert sorted((state.coherent, state.stable) for state in states) == [(False, True), (True, False), (True, True)]
    assert [state.coherent for state in recurrent_chain(times, 0.999 * found.fold)] == [False]
    assert spinodal_signal(times) == pytest.approx(found.spinodal, rel=1e-12)


@pytest.mark.parametrize("times", [3, 6])
def test_strong_signals(times):
    uses = times - 1
    variance, energy = strong_signal_ratios(times)
    assert (variance, energy) == pytest.approx((uses ** (uses / (uses + 2)), uses ** (-uses / (uses + 2))))
    tied, untied = recurrent_chain(times, 1e13)[0], feedforward_chain(times, 1e13)[0]
    assert tied.variance / untied.variance == pytest.approx(variance, rel=2 / untied.order)
    assert tied.free_energy / untied.free_energy == pytest.approx(energy, rel=10 / untied.order)


@pytest.mark.parametrize(("times", "noise"), [(3, 56 / 3), (4, 5.0625)])
def test_tricritical_noise(times, noise):
    assert tricritical_noise(times) == pytest.approx(noise, rel=1e-5)
    orders = [transition(end(1.0, times, noise * factor)).order for factor in (0.9, 1.1)]
    assert orders == ["continuous", "first order"]


@pytest.mark.parametrize("pairs", [1, 2, 3, 7])
def test_stability_by_lag(pairs):
    for r in [1.0, 1.1, 1.4, 5.0]:
        found = lag_hessian(r, pairs)
        assert np.linalg.det(found) == pytest.approx(r ** (pairs - 1) * (pairs - (pairs - 1) * r), rel=1e-9, abs=1e-9)
        assert np.diag(found).tolist() == [2 * r] * (pairs - 1) + [1]
        assert crossed_determinant(r, r, pairs) == pytest.approx(np.linalg.det(found), rel=1e-9, abs=1e-9)
        other = 1 + 2 * (r - 1) + 0.3
        formula = (r**pairs * (1 - other) - other**pairs * (1 - r)) / (r - other)
        assert crossed_determinant(r, other, pairs) == pytest.approx(formula, rel=1e-9, abs=1e-9)
        stable = (pairs - 1) * r < pairs
        assert stable == (np.linalg.eigvalsh(found)[0] > 0)
        if stable:
            np.testing.assert_allclose(correlation_fluctuations(r, pairs, 50) @ found, np.eye(pairs) / 50, atol=1e-12)


# Limits and monotony.


@pytest.mark.parametrize("name", ["sine", "inputs at every time"])
@pytest.mark.parametrize("change", [dict(noise=1e9), dict(labels=0.0), dict(readout_variance=0.0)])
def test_nothing_to_learn_is_the_prior(name, change):
    problem = PROBLEMS[name]()
    if "labels" in change:
        change = dict(labels=0 * problem.labels)
    found = solve(problem.with_(**change))
    assert found.status == "solved"
    np.testing.assert_allclose(found.best.kernel, Spec(problem).prior(), atol=1e-6)
    np.testing.assert_allclose(found.mean, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["sine", "V a time", "two outputs"])
def test_first_order_leaves_the_fourth(name):
    rest = []
    for size in (1e-1, 1e-2):
        plain = PROBLEMS[name]()
        problem = plain.with_(labels=size * plain.labels)
        rest.append(np.max(np.abs(solve(problem).best.kernel - Spec(problem).prior() - first_order(problem))))
    assert rest[1] < 1e-3 * rest[0] + 1e-9


@pytest.mark.parametrize("noise", [1e-12, 1e-6])
def test_little_noise_fits_labels(noise):
    problem = sine((0, 1, 3, 5), noise=noise)
    found = solve(problem)
    assert found.status == "solved"
    np.testing.assert_allclose(found.mean[[0, 1, 3, 5]], problem.labels, atol=1e-4)
    bare = solve(problem.with_(noise=0.0)).best.action
    assert found.best.action == pytest.approx(bare, abs=10 * math.sqrt(noise))


def test_huge_labels():
    signal = 1e8
    found = solve(end(signal, 3, 0.1))
    assert found.status == "solved"
    assert found.best.action == pytest.approx(recurrent_chain(3, signal, 0.1)[0].free_energy, rel=1e-8)
    huge = endpoint(end(1e24, 3, 0.1))
    assert huge.fitted[0] == pytest.approx(1e12, rel=1e-6)


@pytest.mark.parametrize(("times", "shared"), [(40, False), (18, True)])
def test_many_times(times, shared):
    chain = recurrent_chain if shared else feedforward_chain
    problem = end(0.3, times, 0.01, shared=shared)
    state = endpoint(problem).ground
    assert state.coherent == shared
    assert state.free_energy == pytest.approx(chain(times, 0.3, 0.01)[0].free_energy, rel=1e-9)
    spec = Spec(problem)
    root = np.linalg.cholesky(state.kernel)
    assert np.max(np.abs(root.T @ spec.slope(state.kernel) @ root)) < 1e-6
    assert spec.value(state.kernel) == pytest.approx(state.free_energy, rel=1e-8)


@pytest.mark.parametrize("times", [3, 8])
def test_more_signal_more_of_all(times):
    states = [recurrent_chain(times, signal)[0] for signal in np.geomspace(1e-3, 1e5, 25)]
    energies, variances = ([getattr(state, name) for state in states] for name in ("free_energy", "variance"))
    assert np.all(np.diff(energies) > 0)
    assert np.all(np.diff(variances) > 0)
    slopes_ = np.diff(energies) / np.diff(np.geomspace(1e-3, 1e5, 25))
    assert np.all(np.diff(slopes_) < 0)  # F is concave in |y|^2, a minimum of functions linear in it


def test_more_noise_lower_action_and_worse_fit():
    found = [solve(sine((0, 1, 3, 5), noise=noise)) for noise in np.geomspace(1e-3, 1e2, 6)]
    assert np.all(np.diff([each.best.action for each in found]) < 0)
    fits = [np.sum((each.mean[[0, 1, 3, 5]] - each.problem.labels) ** 2) for each in found]
    assert np.all(np.diff(fits) > 0)


def test_one_time_is_one_number():
    """T = 1: c = r, |y|^2 c / (c + kappa)^2 = r - 1; W plays no part."""
    problem = end(7.0, 1, 0.3, recurrent_variance=123.0)
    r = optimize.brentq(lambda c: 7 * c / (c + 0.3) ** 2 - (c - 1), 1, 100)
    found = solve(problem)
    assert found.best.kernel[0, 0] == pytest.approx(r, rel=1e-9)
    assert found.mean[0, 0] == pytest.approx(math.sqrt(7) * r / (r + 0.3), rel=1e-9)
    assert endpoint(problem).ground.variance == pytest.approx(r, rel=1e-9)


def test_no_recurrent_weights():
    """g = 0: nothing gets past the first time."""
    silent = solve(sine((0, 1, 3), 4, recurrent_variance=0.0))
    alone = solve(sine((0,), 1))
    assert silent.status == "solved"
    assert silent.best.kernel[0, 0] == pytest.approx(alone.best.kernel[0, 0], rel=1e-8)
    np.testing.assert_allclose(silent.best.kernel[1:, 1:], 0, atol=1e-12)
    np.testing.assert_allclose(silent.mean[1:], 0, atol=1e-12)


# Endpoint: ridge regression with a ridge of its own.


def ridge_fixpoint(x, y, times, noise, shared):
    """The lowest F over fixed points of c_T on both branches, on a grid, without c0 (all variances 1)."""
    kernel = x @ x.T / x.shape[1]
    values, vectors = np.linalg.eigh(kernel)
    squares = (vectors.T @ y) ** 2
    branches = [(lambda p: (1 + p) ** times, lambda p: (1 + p) ** times * p, np.exp(np.linspace(-14, 6, 60_001)))]
    energies = [lambda p: ((times + 1) * p - times * np.log1p(p)) / 2]
    if shared and times == 3:
        grid = np.exp(np.linspace(-8, 0, 60_001))
        branches.append((lambda p: 4 * (1 + p) / p**3, lambda p: 4 * (1 + p) / p**4, grid))
        energies.append(lambda p: (4 / p - np.log(4 * (1 + p) / p)) / 2)
    found = []
    for (variance, signal, grid), energy in zip(branches, energies, strict=True):
        ridge = noise / variance(grid)
        omega = (squares[:, None] * values[:, None] / (values[:, None] + ridge) ** 2).sum(0)
        for i in roots(np.log(signal(grid)) - np.log(omega)):
            misfit = (squares * ridge[i] ** 2 / (values + ridge[i]) ** 2).sum() / (2 * noise)
            found.append((energy(grid[i]) + misfit, ridge[i]))
    best = min(found)
    return best[0], best[1], kernel @ np.linalg.solve(kernel + best[1] * np.eye(len(y)), y)


RIDGE = list(itertools.product([(6, 3), (4, 4)], [True, False], [0.01, 80.0]))


@pytest.mark.parametrize(("sizes", "shared", "noise"), RIDGE)
def test_ridge_by_itself(sizes, shared, noise):
    rng = np.random.default_rng(sum(sizes))
    x, y = rng.normal(size=sizes), 4 * rng.normal(size=sizes[0])
    energy, ridge, fitted = ridge_fixpoint(x, y, 3, noise, shared)
    problem = Problem.pulse(y[:, None], (2,), 3, inputs=x, noise=noise, shared=shared)
    found, large = endpoint(problem), endpoint_of_inputs(x, y, 3, noise=noise, shared=shared)
    for each in (found, large):
        assert each.ground.free_energy == pytest.approx(energy, rel=1e-3)
        assert each.ridge == pytest.approx(ridge, rel=2e-3)
        np.testing.assert_allclose(each.fitted, fitted, atol=2e-3)
    assert large.ridge == pytest.approx(found.ridge, rel=1e-9)
    kernel = x @ x.T / sizes[1]
    np.testing.assert_allclose(large.fitted, found.fitted, atol=1e-9)
    np.testing.assert_allclose(found.predict(kernel), found.fitted, atol=1e-9)
    if sizes[0] == 4:
        best = solve(problem).best
        assert best.action == pytest.approx(found.ground.free_energy, abs=1e-8)
        np.testing.assert_allclose(best.prediction.mean[-4:, 0], found.fitted, atol=1e-6)
        np.testing.assert_allclose(found.last_kernel(kernel), best.kernel[-4:, -4:], rtol=1e-5, atol=1e-6)


def test_labels_out_of_reach():
    """Two patterns with one input cannot be told apart: f is their mean, what differs stays noise."""
    x = np.ones((2, 1))
    told = Problem.pulse(np.array([[3.0], [1.0]]), (2,), 3, inputs=x)
    mean = Problem.pulse(np.array([[2.0], [2.0]]), (2,), 3, inputs=x)
    one, two = endpoint(told), endpoint(mean)
    np.testing.assert_allclose(one.fitted, two.fitted, rtol=1e-10)
    assert one.ground.free_energy == pytest.approx(two.ground.free_energy + (1 + 1) / (2 * 0.1), rel=1e-9)
    single = endpoint(Problem.pulse(np.array([[2.0]]), (2,), 3, noise=0.05, inputs=np.ones((1, 1))))
    assert one.fitted[0] == pytest.approx(single.fitted[0], rel=1e-9)
    best = solve(told).best
    assert best.action == pytest.approx(one.ground.free_energy, abs=1e-8)
    never = endpoint(Problem.pulse(np.array([[3.0], [-3.0]]), (2,), 3, inputs=x))
    assert never.ground.variance == pytest.approx(1.0, rel=1e-9)
    np.testing.assert_allclose(never.fitted, 0, atol=1e-12)
    with pytest.raises(ValueError, match="noise"):
        endpoint(told.with_(noise=0.0))


def test_sharing_lowers_the_ridge_alone():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(8, 20)), 5 * rng.normal(size=8)
    tied, untied = (endpoint_of_inputs(x, y, 5, noise=0.1, shared=shared) for shared in (True, False))
    assert tied.ground.coherent
    assert not untied.ground.coherent
    assert tied.ridge < untied.ridge
    for each in (tied, untied):
        kernel = x @ x.T / 20
        np.testing.assert_allclose(each.fitted, kernel @ np.linalg.solve(kernel + each.ridge * np.eye(8), y), atol=1e-9)


# Transitions.


@pytest.mark.parametrize(("times", "noise"), [(3, 0.0), (4, 1.0), (3, 10.0)])
def test_continuous_thresholds(times, noise):
    r = times - 1
    r = r / (r - 1)
    square = (r - 1) * (r**times + noise) ** 2 / r**times
    found = transition(end(2.0, times, noise))
    assert found.order == "continuous"
    assert found.label_factor == pytest.approx(math.sqrt(square / 2), rel=1e-6)
    assert found.stability_factor == pytest.approx(found.label_factor, rel=1e-6)
    assert critical_gain(times) == r
    assert not found.local


@pytest.mark.parametrize(("times", "noise"), [(4, 0.3), (5, 0.1), (6, 0.5), (3, 100.0)])
def test_brute_force_turns_where_told(times, noise):
    square = transition(end(1.0, times, noise)).label_factor ** 2
    for factor in (0.97, 1.03):
        lowest, kernel = brute(end(square * factor, times, noise))
        tied = abs(kernel[0, 1]) / math.sqrt(kernel[0, 0] * kernel[1, 1])
        assert (tied > 1e-2) == (factor > 1)
        verdict = transition(end(square * factor, times, noise))
        assert verdict.phase == ("coherent" if factor > 1 else "incoherent")
        assert verdict.label_factor == pytest.approx(factor**-0.5, rel=1e-6)
        assert recurrent_chain(times, square * factor, noise)[0].free_energy == pytest.approx(lowest, abs=1e-8)


def test_first_order_at_large_noise():
    """T = 3, noise 200: where the lowest F of the rich coherent root meets that of the lazy one."""

    def difference(square):
        states = recurrent_chain(3, square, 200.0)
        m = 1 + np.exp(np.linspace(-6, 0, 100_001))
        variance = 4 * m / (m - 1) ** 3
        rich = [
            (3 / (m[i] - 1) - math.log(4 * m[i] / (m[i] - 1))) / 2 + square / 2 / (variance[i] + 200)
            for i in roots(square / (variance + 200) ** 2 - (m - 1) ** 2 / (4 * m))
        ]
        return min(rich) - min(state.free_energy for state in states if not state.coherent)

    square = optimize.brentq(difference, 2700, 3300, xtol=1e-3)
    found = transition(end(1.0, 3, 200.0))
    assert found.order == "first order"
    assert found.label_factor**2 == pytest.approx(square, rel=1e-4)
    assert found.stability_factor > found.label_factor


@pytest.mark.parametrize("times", [3, 6])
def test_factors_are_relative_to_labels(times):
    for noise in [0.05, 2.0, 60.0]:
        rng = np.random.default_rng(times)
        labels, x = rng.normal(size=(4, 1)), rng.normal(size=(4, 6))
        plain = Problem.pulse(labels, (times - 1,), times, inputs=x, noise=noise)
        first = transition(plain)
        at = first.label_factor
        for scale in (0.5, 0.99, 1.01, 2.0):
            found = transition(plain.with_(labels=labels * at * scale))
            assert found.label_factor == pytest.approx(1 / scale, rel=1e-5)
            assert found.phase == ("coherent" if scale > 1 else "incoherent")
            assert endpoint(plain.with_(labels=labels * at * scale)).ground.coherent == (scale > 1)
        assert first.stability_factor >= at * (1 - 1e-9)


def test_thresholds_rise_with_noise():
    factors = [transition(end(1.0, 4, noise)).label_factor for noise in np.geomspace(1e-3, 1e3, 8)]
    assert np.all(np.diff(factors) > 0)


def test_susceptibility_below_the_threshold():
    found = transition(end(1.0, 4, 0.1))
    assert found.phase == "incoherent"
    np.testing.assert_allclose(found.susceptibility @ lag_hessian(found.gain, 3), np.eye(3), atol=1e-9)
    assert transition(end(1000.0, 4, 0.1)).susceptibility is None


@pytest.mark.parametrize("name", ["relu", "later inputs", "bias", "several times"])
def test_no_sharp_threshold(name):
    problem = {
        "relu": lambda: end(5.0, activation="relu"),
        "later inputs": inputs_everywhere,
        "bias": lambda: end(5.0, bias_variance=0.1),
        "several times": lambda: sine((0, 1, 3), 4),
    }[name]()
    found = transition(problem, factors=(0, 0.5, 2.0))
    assert found.phase == "crossover"
    assert found.reason
    assert found.label_factor == math.inf
    if name == "relu":
        return
    assert found.crossover.factors.tolist() == [0, 0.5, 2.0]
    silent = cross_time_correlation(Spec(problem).prior(), problem.times)
    assert found.crossover.correlations[0] == pytest.approx(silent, abs=1e-6)
    twice = solve(problem.with_(labels=2 * problem.labels)).best.kernel
    assert found.crossover.correlations[-1] == pytest.approx(cross_time_correlation(twice, problem.times), abs=1e-5)


def test_relu_gets_a_crossover_curve_too():
    """Section 11: refuse the sharp threshold, return the crossover curve and say why."""
    found = transition(end(5.0, activation="relu"))
    assert found.crossover is not None or "linear" in found.reason or "sample" in found.reason


def test_cross_time_correlation_by_hand():
    kernel = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, -0.5], [0.0, -0.5, 1.0]])
    assert cross_time_correlation(kernel, 3) == pytest.approx((1.0 + 0.0 + 0.5) / 3)
    problem = inputs_everywhere()
    assert crossover(problem, (1.0,)).correlations[0] == pytest.approx(
        cross_time_correlation(solve(problem).best.kernel, 3), abs=1e-6
    )


# Nonlinear chains.


@pytest.mark.parametrize(
    ("name", "times", "square"),
    [("erf", 3, 3.390101), ("erf", 4, 1.049856), ("erf", 6, 0.396641), ("tanh", 3, 1.863731), ("tanh", 5, 0.318167)],
)
def test_nonlinear_thresholds(name, times, square):
    assert threshold(end(1.0, times, 0.1, activation=name)).label_square == pytest.approx(square, abs=1e-6)
    found = transition(end(2.0, times, 0.1, activation=name))
    assert found.label_factor**2 * 2 == pytest.approx(square, abs=1e-6)
    assert found.phase == ("coherent" if square < 2 else "incoherent")
    assert found.local


@pytest.mark.parametrize(("name", "slope"), [("tanh", 1.0), ("erf", 4 / math.pi)])
def test_small_units_are_linear(name, slope):
    """phi(h) = slope^(1/2) h: the gains of W and a take the slope."""
    problem = end(1.0, 4, 1e-5, input_variance=1e-4, activation=name)
    linear = end(1.0, 4, 1e-5, input_variance=1e-4, recurrent_variance=slope, readout_variance=slope)
    square = threshold(problem).label_square
    assert square == pytest.approx(transition(linear).stability_factor ** 2, rel=1e-2)
    half = np.array([[math.sqrt(square) / 2]])
    state = incoherent_states(problem.with_(labels=half))[0]
    chain = endpoint(linear.with_(shared=False, labels=half))
    assert state.free_energy == pytest.approx(chain.ground.free_energy, rel=1e-2)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_thresholds_of_small_inputs(name):
    """Inputs of size 1e-4 leave units linear, and linear networks turn coherent at any scale of the inputs."""
    slope = 1.0 if name == "tanh" else 4 / math.pi
    linear = end(1.0, 4, 1e-9, input_variance=1e-8, recurrent_variance=slope, readout_variance=slope)
    weak = np.array([[1e-5]])
    found = transition(end(1.0, 4, 1e-9, input_variance=1e-8, activation=name).with_(labels=weak))
    assert found.label_factor == pytest.approx(transition(linear.with_(labels=weak)).stability_factor, rel=1e-3)


@pytest.mark.parametrize("name", ["erf", "tanh"])
def test_nonlinear_equations_by_quadrature(name):
    """Every time's law by adaptive quadrature, and the pulls that the later times exert."""
    from scipy.special import erf

    phi = erf if name == "erf" else np.tanh
    problem = end(2.0, 4, 0.2, activation=name, recurrent_variance=1.7, input_variance=0.6, readout_variance=1.3)
    state = incoherent_states(problem)[0]
    covariance, energy = 0.6, 0.0
    for t in range(4):
        deviation, pull = math.sqrt(covariance), state.pulls[t]

        def law(z, deviation=deviation, pull=pull):
            return math.exp(-z * z / 2 + pull * phi(deviation * z) ** 2 / 2) / math.sqrt(2 * math.pi)

        def mean(f, law=law):
            return integrate.quad(lambda z: f(z) * law(z), -14, 14, epsabs=1e-13, epsrel=1e-12, limit=400)[0]

        norm = mean(lambda z: 1.0)
        variance = mean(lambda z, d=deviation: phi(d * z) ** 2) / norm
        second = covariance * mean(lambda z: z * z) / norm
        assert state.variances[t] == pytest.approx(variance, rel=1e-8)
        if t > 0:
            gained = second / covariance**2 - 1 / covariance
            assert state.pulls[t - 1] == pytest.approx(1.7 * gained, rel=1e-7)
        energy += pull * variance / 2 - math.log(norm)
        covariance = 1.7 * variance
    assert state.pulls[3] == pytest.approx(1.3 * 2 / (1.3 * variance + 0.2) ** 2, rel=1e-7)
    assert state.free_energy == pytest.approx(energy + 1 / (1.3 * variance + 0.2), rel=1e-8)


def test_the_coherent_erf_state():
    (state,) = coherent_states(end(1.0, 3, 0.1, activation="erf"), [2 * 3.390101])
    expected = np.array([0.5414, 0.2831, 0.2614, 0.6053, 0.5587, 0.7897])
    np.testing.assert_allclose(np.abs(state.kernel[np.triu_indices(3)]), expected, atol=1e-4)
    last = state.kernel[2, 2]
    assert math.sqrt(2 * 3.390101) * last / (last + 0.1) == pytest.approx(2.3112, abs=1e-4)
    lazy = incoherent_states(end(2 * 3.390101, 3, 0.1, activation="erf"))[0]
    assert state.free_energy < lazy.free_energy


@pytest.mark.parametrize("name", ["erf", "tanh", "relu"])
def test_prior_kernels_by_quadrature(name):
    for shared in [True, False]:
        from scipy.special import erf

        phi = dict(erf=erf, tanh=np.tanh, relu=lambda h: np.maximum(h, 0))[name]
        problem = inputs_everywhere(11, shared=shared, activation=name, recurrent_variance=1.4)
        kernel, sigma = prior_kernel(problem)
        np.testing.assert_allclose(sigma, Spec(problem).sigma(kernel), atol=1e-12)
        nodes = np.linspace(-9, 9, 1201)
        weights = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi) * (nodes[1] - nodes[0])
        for i, j in [(0, 0), (1, 4), (2, 3), (3, 3), (2, 5), (4, 5)]:
            a = math.sqrt(sigma[i, i])
            b = sigma[i, j] / a
            c = math.sqrt(max(sigma[j, j] - b * b, 0))
            first, second = phi(a * nodes), phi(b * nodes[:, None] + c * nodes)
            assert kernel[i, j] == pytest.approx(
                weights * first @ second @ weights, abs=2e-4 if name == "relu" else 1e-9
            )


# Weights.


def drawn_weights(problem: Problem, kernel: np.ndarray, width: int, seed: int) -> np.ndarray:
    """W given hidden states of exactly that kernel: what they force, and fresh noise beside it."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.normal(size=(width, problem.size)))[0]
    hidden = math.sqrt(width) * frame @ np.linalg.cholesky(kernel).T
    n = problem.patterns
    before, after = hidden[:, :-n], hidden[:, n:]
    fresh = rng.normal(size=(width, width)) * math.sqrt(problem.recurrent_variance / width)
    back = np.linalg.pinv(before)
    return after @ back + fresh - (fresh @ before) @ back


@pytest.mark.parametrize(
    "make",
    [
        lambda: end(642.0, 3, 0.01),
        lambda: end(8.0, 6, 0.01, recurrent_variance=2.25, readout_variance=1 / 57.6),
        lambda: sine((0, 1, 2, 3, 4, 5), size=12.0, noise=0.05),
        lambda: end(30.0, 3, 0.01, input_variance=0.1),
    ],
)
def test_outliers_are_those_of_a_random_matrix(make):
    problem = make()
    kernel, width = solve(problem).best.kernel, 500
    (told,) = outliers(problem, kernel)
    matrix = drawn_weights(problem, kernel, width, 1)
    values = np.linalg.eigvals(matrix)
    radius = math.sqrt(problem.recurrent_variance)
    assert told.radius == pytest.approx(radius)
    far = [value for value in told.eigenvalues if abs(value) > 1.25 * radius]
    for value in far:
        assert np.min(np.abs(values - value)) < 0.12 * abs(value)
    assert np.sum(np.abs(values) > 1.15 * radius) <= len(told.visible_eigenvalues)
    assert np.sum(np.abs(values) > 1.25 * radius * 1.1) >= len([v for v in far if abs(v) > 1.6 * radius])
    sizes = np.linalg.svd(matrix, compute_uv=False)
    seen = told.singular_values
    clear = seen[seen > 2.2 * radius]
    np.testing.assert_allclose(sizes[: len(clear)], clear, rtol=0.05)
    assert sizes[len(seen)] < 2.12 * radius


@pytest.mark.parametrize("signal", [3.0, 60.0])
def test_outliers_of_feedforward_layers(signal):
    problem = end(signal, 3, 0.01, shared=False)
    kernel = solve(problem).best.kernel
    r = feedforward_chain(3, signal, 0.01)[0].order
    for layer in outliers(problem, kernel):
        assert len(layer.visible_eigenvalues) == 0
        expected = [r / math.sqrt(r - 1)] if r > 2 else []
        np.testing.assert_allclose(layer.singular_values, expected, rtol=1e-6)


def test_incoherent_networks_have_no_eigenvalue_outside():
    (told,) = outliers(end(5.0, 3, 0.0), feedforward_chain(3, 5.0)[0].kernel)
    assert len(told.visible_eigenvalues) == 0
    np.testing.assert_allclose(told.eigenvalues, 0, atol=1e-6)


def test_eigenvalues_are_a_companion_matrix():
    kernel = solve(sine(range(6), size=3.0, noise=0.05)).best.kernel
    b = np.linalg.solve(kernel[:-1, :-1], kernel[:-1, -1])
    expected = np.roots(np.concatenate([[1.0], -b[::-1]]))
    (told,) = outliers(sine(range(6), size=3.0, noise=0.05), kernel)
    for value in expected:
        assert np.min(np.abs(told.eigenvalues - value)) < 1e-6


# Schedules.


WAVES = np.array([[[math.sin(2.0 * t / 3 + 0.3) for t in range(4)]], [[1.5 * 0.8**t for t in range(4)]]]) * 2


def own_error(sequence, steps):
    rest = [t for t in range(sequence.shape[1]) if t not in steps]
    found = solve(Problem.pulse(sequence[:, list(steps)], tuple(steps), sequence.shape[1], noise=0.05))
    outputs = found.mean.reshape(sequence.shape[1], -1).T
    return np.mean((outputs - sequence)[:, rest] ** 2) / np.mean(sequence[:, rest] ** 2)


def test_schedules_are_compared_in_full():
    told = schedule_errors(WAVES, 2, noise=0.05)
    assert sorted(told) == sorted(itertools.combinations(range(4), 2))
    assert list(told.values()) == sorted(told.values())
    for steps in ((0, 1), (1, 3)):
        assert told[steps] == pytest.approx(np.mean([own_error(wave, steps) for wave in WAVES]), rel=1e-4, abs=1e-6)
    best = next_step(WAVES, (1,), noise=0.05)
    errors = {step: told[tuple(sorted((1, step)))] for step in (0, 2, 3)}
    assert errors[best] == pytest.approx(min(errors.values()), abs=1e-9)


def test_feedforward_networks_answer_nothing_at_other_times():
    told = schedule_errors(WAVES[:1], 2, noise=0.05, shared=False)
    np.testing.assert_allclose(list(told.values()), 1.0, rtol=1e-9)
    assert schedule_error(-WAVES, (0, 1, 2), noise=0.05) == pytest.approx(
        schedule_error(WAVES, (2, 1, 0), noise=0.05), rel=1e-6
    )


def test_the_step_that_breaks_aliasing():
    wave = 3 * np.sin(np.pi * (np.arange(5) + 0.5) / 4)[None, None]
    assert schedule_error(wave, (0, 2, 4), noise=0.05) == pytest.approx(1.0, abs=1e-6)
    best = next_step(wave, (0, 2, 4), noise=0.05)
    assert best in (1, 3)
    assert schedule_error(wave, (0, 2, 4, best), noise=0.05) < 0.5


@pytest.mark.parametrize("seed", [0])
def test_reductions_are_exact(seed):
    """Rank-one labels on three orthogonal patterns, some of whose times come after the last label."""
    rng = np.random.default_rng(seed)
    labels = np.outer(rng.normal(size=3), [2.0, -1.0])
    problem = Problem.pulse(labels, (0, 2), 4, noise=0.2)
    small = reduction(problem)
    assert small.problem.size == 3
    lowest, kernel = brute(small.problem)
    assert solve(problem).best.action == pytest.approx(lowest, abs=1e-8)
    assert Spec(problem).value(small.lifted(kernel)) == pytest.approx(lowest, abs=1e-6)
    root = np.linalg.cholesky(small.lifted(solve(small.problem).best.kernel))
    slope = Spec(problem).slope(root @ root.T)
    assert np.max(np.abs(root.T @ slope @ root)) < 1e-7


# Finite width.


@pytest.mark.parametrize(("width", "square", "outputs"), [(1, 9.0, 1), (2, 4.0, 2), (50, 4.0, 1)])
def test_one_hidden_layer_by_quadrature(width, square, outputs):
    y = math.sqrt(square / outputs)
    problem = Problem.pulse(np.array([[y]]), (0,), 1, noise=0.5, input_variance=0.8, readout_variance=1.3, width=width)
    problem = problem.with_(labels=np.full((1, outputs), y))

    def log_law(u):
        c = math.exp(u)
        q = 1.3 * c + 0.5
        return (width / 2) * u - width * c / 1.6 - outputs / 2 * math.log(q) - width * square / (2 * q)

    top = max(log_law(u) for u in np.linspace(-20, 5, 2001))

    def mean(f):
        pieces = np.linspace(-60, 8, 69)
        return sum(
            integrate.quad(lambda u: f(math.exp(u)) * math.exp(log_law(u) - top), a, b, epsabs=1e-14)[0]
            for a, b in itertools.pairwise(pieces)
        )

    norm = mean(lambda c: 1.0)
    kernel, share = one_hidden_layer(problem)
    assert kernel == pytest.approx(mean(lambda c: c) / norm, rel=1e-7)
    assert share == pytest.approx(mean(lambda c: 1.3 * c / (1.3 * c + 0.5)) / norm, rel=1e-7)


@pytest.mark.parametrize("name", ["sine", "inputs at every time", "two outputs"])
def test_the_law_of_the_kernel(name):
    problem = PROBLEMS[name]().with_(width=9)
    spec, rng = Spec(problem), np.random.default_rng(2)
    size, logs, formula = problem.size, [], []
    for _ in range(3):
        shaken = np.linalg.cholesky(spec.prior()) @ (np.eye(size) + 0.2 * rng.normal(size=(size, size)))
        kernel = shaken @ shaken.T
        y, q = problem.labels, spec.noisy(kernel)
        sigma = spec.sigma(kernel)
        data = np.sum(y * np.linalg.solve(q, y))
        value = (9 - size - 1) / 2 * np.linalg.slogdet(kernel)[1] - y.shape[1] / 2 * np.linalg.slogdet(q)[1]
        tied = np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, kernel)) + data
        formula.append(value - 4.5 * tied)
        logs.append(log_density_of_kernel(problem, kernel))
    np.testing.assert_allclose(np.diff(logs), np.diff(formula), rtol=1e-9)
    assert log_density_of_kernel(problem, -np.eye(size)) == -math.inf


def test_moments_of_the_law_tend_to_the_theory():
    theory = solve(end(3.0, 2, 0.3)).best
    rest = []
    for width in (50, 400):
        found = kernel_moments(end(3.0, 2, 0.3, width=width), draws=40_000)
        assert found.effective > 0.05
        rest.append(abs(found.kernel[1, 1] - theory.kernel[1, 1]))
        assert found.outputs[1, 0] == pytest.approx(theory.prediction.mean[1, 0], abs=0.5 / math.sqrt(width))
    assert rest[1] < 0.02
    one = kernel_moments(end(3.0, 1, 0.3, width=3), draws=40_000)
    kernel, share = one_hidden_layer(end(3.0, 1, 0.3, width=3))
    assert abs(one.kernel[0, 0] - kernel) < 5 * one.kernel_error[0, 0]
    assert abs(one.outputs[0, 0] - share * math.sqrt(3)) < 5 * one.outputs_error[0, 0] + 1e-9


@pytest.mark.parametrize("width", [1, 5])
def test_prior_moments_by_sampling(width):
    rng = np.random.default_rng(width)
    draws, g2, v2 = 200_000, 1.3, 0.7
    w = rng.normal(size=(draws, width, width)) * math.sqrt(g2 / width)
    first = rng.normal(size=(draws, width, 1)) * math.sqrt(v2)
    second = w @ first
    third = w @ second
    told = prior_moments(width, g2, v2)
    for name, sample in (
        ("C33", (third**2).mean((1, 2))),
        ("C12_squared", (first * second).mean((1, 2)) ** 2),
    ):
        assert abs(told[name] - sample.mean()) < 5 * sample.std() / math.sqrt(draws)


# Sampling, at tiny sizes.


def own_log_density(problem: Problem, hidden: np.ndarray, phi, limit: bool) -> float:
    spec, width = Spec(problem), len(hidden)
    active = phi(hidden)
    sigma, q = spec.sigma(active.T @ active / width), spec.noisy(active.T @ active / width)
    y = problem.labels
    value = np.linalg.slogdet(2 * np.pi * sigma)[1] + np.trace(np.linalg.solve(sigma, hidden.T @ hidden / width))
    value = -width / 2 * (value + np.sum(y * np.linalg.solve(q, y)))
    extra = 0 if limit else y.shape[1] / 2 * np.linalg.slogdet(2 * np.pi * q / width)[1]
    return value - extra


@pytest.mark.parametrize(("shared", "limit"), [(True, False), (False, True)])
def test_the_law_of_hidden_activity(shared, limit):
    problem = inputs_everywhere(9, activation="tanh", shared=shared, width=8)
    problem = problem.with_(labels=np.hstack([problem.labels, 1 - problem.labels]))
    hidden = np.random.default_rng(0).normal(size=(8, 6))
    value, gradient = log_density(problem, hidden, limit)
    assert value == pytest.approx(own_log_density(problem, hidden, np.tanh, limit), rel=1e-9)
    for i, j in ((0, 0), (3, 2), (7, 5)):
        nudge = np.zeros_like(hidden)
        nudge[i, j] = 1e-5
        up, down = (own_log_density(problem, hidden + sign * nudge, np.tanh, limit) for sign in (1, -1))
        assert gradient[i, j] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6)


def test_the_sampler_at_two_units():
    """T = 1, two tanh units: the law of (h1, h2) on a grid."""
    problem = Problem.pulse(np.array([[1.2]]), (0,), 1, noise=0.3, activation="tanh", width=2, input_variance=1.5)
    grid = np.linspace(-7, 7, 401)
    active = np.tanh(grid) ** 2
    kernel = (active[:, None] + active) / 2
    q = kernel + 0.3
    logs = -(grid[:, None] ** 2 + grid**2) / 3 - 1.44 / q - np.log(q) / 2
    law = np.exp(logs - logs.max())
    law /= law.sum()
    found = sample_posterior(problem, Sampling(draws=1500, warm_up=300, chains=4, seed=3))
    assert found.settled
    expected = (law * kernel).sum()
    assert abs(found.kernel.value[0, 0] - expected) < 5 * found.kernel.error[0, 0]
    outputs = (law * 1.2 * kernel / q).sum()
    assert abs(found.outputs.value[0, 0] - outputs) < 5 * found.outputs.error[0, 0]
    weights = sample_weights(problem, Sampling(draws=1500, warm_up=300, chains=4, seed=4))
    assert abs(weights.kernel.value[0, 0] - expected) < 5 * weights.kernel.error[0, 0]


def test_langevin_settings():
    problem = end(1.0, 3, 0.1, recurrent_variance=2.0, input_variance=0.5, readout_variance=4.0, width=100)
    found = langevin_settings(problem, 10)
    expected = dict(temperature=1e-3, lambda_W=0.05, lambda_V=0.1 * 10 / 50, lambda_a=0.1 / 400)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


# Bad input, without type checks, as users meet it.

BAD = {
    "given(noise=-1.0)": "noise",
    "given(noise=nan)": "noise",
    "given(noise=inf)": "noise",
    "given(recurrent_variance=-1e-30)": "recurrent_variance",
    "given(input_variance=-1)": "input_variance",
    "given(readout_variance=nan)": "readout_variance",
    "given(bias_variance=-inf)": "bias_variance",
    "given(labels=np.array([[nan]]))": "labels",
    "given(labels=np.array([[inf]]))": "labels",
    "given(kernel=np.diag([1.0, nan, 0]))": "kernel",
    "given(kernel=np.diag([1.0, -0.1, 0]))": "kernel",
    "given(kernel=np.triu(np.ones((3, 3))))": "symmetric",
    "given(kernel=np.ones((3, 2)))": "kernel",
    "given(kernel=np.ones((4, 4)))": "times",
    "given(kernel=np.zeros((0, 0)))": "",
    "given(labelled=())": "labelled",
    "given(labelled=(3,))": "labelled",
    "given(labelled=(-1,))": "labelled",
    "given(labelled=(2, 2), labels=np.ones((2, 1)))": "twice",
    "given(labelled=(1, 2))": "label",
    "given(labels=np.zeros((1, 0)))": "labels",
    "given(times=0)": "times",
    "given(times=-3)": "times",
    "given(activation='sigmoid')": "sigmoid",
    "given(width=0)": "width",
    "given(width=-4)": "width",
    "given(shared=np.ones((2, 2), bool))": "shared",
    "given(shared=np.triu(np.ones((3, 3), bool)))": "shared",
    "given(shared=np.zeros((3, 3), bool))": "shared",
    "given(kernel=np.diag([1e308, 1e308, 1e308]), recurrent_variance=1e308)": "",
    "Problem.pulse(np.ones((2, 2)), (1,), 3)": "labels",
    "Problem.pulse(np.ones((2, 1)), (5,), 3)": "",
    "Problem.pulse(np.ones((2, 1)), (-1,), 3)": "",
    "Problem.pulse(np.ones((2, 0)), (), 3)": "labelled",
    "Problem.pulse(np.ones((0, 1)), (2,), 3)": "",
    "Problem.pulse(np.ones((2, 1)), (2,), 3, inputs=np.ones((3, 2)))": "inputs",
    "Problem.pulse(np.ones((2, 1)), (2,), 3, inputs=np.ones((2, 0)))": "",
    "Problem.pulse(np.ones((2, 1)), (2,), 3, inputs=np.full((2, 2), nan))": "",
    "Problem.pulse(np.ones((2, 2)), (1, 1), 3)": "twice",
    "Problem.sequences(np.ones((2, 3, 1)), np.full((2, 3), nan))": "labelled",
    "Problem.sequences(np.ones((2, 3, 1)), np.ones((2, 4)))": "",
    "Problem.sequences(np.ones((2, 3, 0)), np.ones((2, 3)))": "",
    "Problem.sequences(np.ones((2, 3, 1)), np.full((2, 3), inf))": "labels",
    "solve(twins.with_(noise=0))": "noise",
    "solve(given(activation='erf'))": "erf",
    "action(given(), np.zeros((3, 3)))": "positive definite",
    "action(given(), -np.eye(3))": "positive definite",
    "action(given(), np.eye(4))": "3",
    "action(given(), np.full((3, 3), nan))": "",
    "predict(given(), np.eye(4))": "3",
    "predict(given(), np.full((3, 3), nan))": "finite",
    "outliers(given(), np.eye(2))": "3",
    "outliers(given(), np.full((3, 3), nan))": "finite",
    "outliers(given(activation='tanh'), np.eye(3))": "tanh",
    "first_order(given(activation='relu'))": "relu",
    "slopes(given(activation='relu'), np.eye(3))": "relu",
    "at_test_points(given(), np.eye(3), np.ones((4, 3)), np.eye(4))": "",
    "endpoint(given(activation='erf'))": "erf",
    "endpoint(given(labelled=(1, 2), labels=np.ones((2, 1))))": "",
    "endpoint(given(bias_variance=1))": "",
    "endpoint_of_inputs(np.ones((3, 2)), np.ones(4), 3)": "",
    "endpoint_of_inputs(np.ones((3, 2)), np.full(3, nan), 3)": "",
    "endpoint_of_inputs(np.ones((3, 2)), np.ones(3), 0)": "",
    "endpoint_of_inputs(np.ones((3, 2)), np.ones(3), 3, noise=-1)": "noise",
    "endpoint_of_inputs(np.ones((3, 2)), np.arange(3.0), 3, noise=0)": "noise",
    "feedforward_chain(0, 1.0)": "time",
    "feedforward_chain(3, -1.0)": "signal",
    "recurrent_chain(3, nan)": "signal",
    "recurrent_chain(3, 1.0, -1)": "noise",
    "landmarks(2)": "3 or more",
    "threshold(given())": "identity",
    "threshold(given(activation='erf', shared=False))": "W",
    "threshold(two.with_(activation='erf'))": "one pattern",
    "incoherent_states(given(activation='relu'))": "relu",
    "coherent_states(given(activation='erf'), [1.0])": "threshold",
    "coherent_states(given(activation='erf'), [9.0, 8.0])": "sort",
    "coherent_states(given(activation='erf'), [9.0], nodes=7)": "nodes",
    "transition(two.with_(activation='tanh'))": "ample",
    "schedule_error(np.ones((1, 1, 3)), (0, 1, 2))": "",
    "schedule_error(np.zeros((1, 1, 3)), (0, 1))": "",
    "schedule_error(np.ones((1, 1, 3)), (0, 7))": "7",
    "schedule_error(np.full((1, 1, 3), nan), (0,))": "",
    "schedule_error(np.ones((1, 3)), (0, 1))": "",
    "schedule_error(np.ones((0, 1, 3)), (0, 1))": "",
    "schedule_errors(np.ones((1, 1, 3)), 0)": "",
    "schedule_errors(np.ones((1, 1, 3)), 3)": "",
    "next_step(np.ones((1, 1, 3)), (0, 1))": "",
    "one_hidden_layer(given(width=3))": "",
    "one_hidden_layer(single)": "width",
    "kernel_moments(given(width=2))": "3",
    "kernel_moments(given())": "width",
    "kernel_moments(given(width=9, activation='erf'))": "erf",
    "log_density_of_kernel(given(width=2), np.eye(3))": "3",
    "prior_moments(0, 1.0, 1.0)": "width",
    "correlation_fluctuations(2.0, 2, 10)": "gain",
    "sample_posterior(given())": "width",
    "sample_posterior(given(width=1))": "2",
    "sample_posterior(two.with_(width=1, shared=False))": "2",
    "sample_weights(given(width=4, noise=0))": "noise",
    "sample_weights(given())": "width",
    "Sampling(draws=0)": "draws",
    "Sampling(draws=30)": "25",
    "Sampling(chains=1)": "chains",
    "langevin_settings(given(), 3)": "width",
}

SCRIPT = """
import json, sys, warnings
import numpy as np
from numpy import inf, nan
warnings.simplefilter("error")
np.seterr(all="ignore")
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import action
from hitherto.theory.mean_field_atlas import landmarks
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import feedforward_chain
from hitherto.theory.mean_field_coherent import coherent_states
from hitherto.theory.mean_field_endpoint import endpoint, endpoint_of_inputs
from hitherto.theory.mean_field_nonlinear import incoherent_states, threshold
from hitherto.theory.mean_field_prediction import at_test_points, predict, slopes
from hitherto.theory.mean_field_prior import first_order
from hitherto.theory.mean_field_schedule import next_step, schedule_error, schedule_errors
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_transition import transition
from hitherto.theory.mean_field_weights import outliers
from hitherto.theory.mean_field_width import (correlation_fluctuations, kernel_moments, log_density_of_kernel,
    one_hidden_layer, prior_moments)
from hitherto.training.posterior import sample_posterior
from hitherto.training.posterior_chains import Sampling
from hitherto.training.posterior_weights import langevin_settings, sample_weights

def given(**changes):
    plain = dict(kernel=np.diag([1.0, 0, 0]), times=3, labelled=(2,), labels=np.array([[1.0]]))
    return Problem(**(plain | changes))

single = Problem.pulse(np.array([[1.0]]), (0,), 1)
two = Problem.pulse(np.array([[1.0], [2.0]]), (2,), 3)
twins = Problem.pulse(np.array([[1.0], [2.0]]), (2,), 3, inputs=np.ones((2, 1)))
told = {}
for call in json.load(sys.stdin):
    try:
        told[call] = ["nothing", repr(eval(call))[:80]]
    except Exception as error:
        told[call] = [type(error).__name__, str(error)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def refusals():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(BAD)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


GROUPS = {
    "problems": ("given(", "Problem."),
    "kernels": ("solve", "action", "predict", "outliers", "first_order", "slopes", "at_test_points"),
    "ends and chains": ("endpoint", "feedforward", "recurrent", "landmarks"),
    "nonlinear chains": ("threshold", "incoherent", "coherent", "transition"),
    "schedules": ("schedule", "next_step"),
    "widths": ("one_hidden", "kernel_moments", "log_density", "prior_moments", "correlation"),
    "samplers": ("sample", "Sampling", "langevin"),
}


def test_no_bad_input_is_left_out():
    assert all(sum(call.startswith(starts) for starts in GROUPS.values()) == 1 for call in BAD)


@pytest.mark.parametrize("group", GROUPS)
def test_bad_input_is_refused_by_name(refusals, group):
    """Every message names what was asked and says what to do."""
    calls = [call for call in BAD if call.startswith(GROUPS[group])]
    helps = ("; ", ". ", ", or")
    told = {call: refusals[call] for call in calls}
    wrong = {
        call: [kind, message]
        for call, (kind, message) in told.items()
        if kind != "ValueError" or BAD[call] not in message or not any(mark in message for mark in helps)
    }
    assert not wrong, json.dumps(wrong, indent=1)


def test_kernels_below_zero_by_rounding_are_clipped():
    with pytest.warns(UserWarning, match="eigenvalue"):
        found = Problem(kernel=np.diag([1.0, -1e-10, 0]), times=3, labelled=(2,), labels=np.array([[1.0]]))
    assert found.kernel[1, 1] == 0


def test_integers_are_numbers():
    whole = Problem(
        kernel=np.diag([1.0, 0, 0]),
        times=3,
        labelled=(2,),
        labels=np.array([[5.0]]),
        recurrent_variance=2,
        input_variance=1,
        readout_variance=3,
        noise=1,
    )
    real = whole.with_(recurrent_variance=2.0, readout_variance=3.0, noise=1.0)
    assert solve(whole).best.action == pytest.approx(solve(real).best.action, abs=1e-12)
    assert transition(whole).label_factor == pytest.approx(transition(real).label_factor, rel=1e-12)
    assert recurrent_chain(3, 20)[0].free_energy == recurrent_chain(3, 20.0)[0].free_energy


def test_too_many_entries_are_refused(monkeypatch):
    assert mean_field_solver.LARGEST == 5000
    monkeypatch.setattr(mean_field_solver, "LARGEST", 5)
    with pytest.raises(ValueError, match="6"):
        solve(inputs_everywhere())
    assert solve(Problem.pulse(np.ones((9, 1)), (2,), 3)).status == "solved"  # 27 entries, 3 once reduced


# The command line.


def told(capsys, *arguments: str):
    code = main([*arguments, "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(said.out, parse_constant=refuse)


def refused(capsys, *arguments: str) -> str:
    try:
        code = main(list(arguments))
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    assert code not in (0, None), said.out
    assert "Traceback" not in said.err
    return said.err + said.out


GOOD = "times = 3\nsteps = [2]\nlabels = [[3.0]]\nnoise = 0.1\n"
FILES = {
    "no labels": ("times = 3\nsteps = [2]\n", "labels"),
    "no steps": ("times = 3\nlabels = [[1.0]]\n", "steps"),
    "no times": ("steps = [2]\nlabels = [[1.0]]\n", "times"),
    "unknown key": (GOOD + "gain = 3\n", "gain"),
    "close key": (GOOD + "recurrent_varianse = 3\n", "recurrent_variance"),
    "no TOML": ("times = = 3\n", "TOML"),
    "empty": ("", "labels"),
    "no UTF-8": (b"\xff\xfe\x00", "TOML"),
    "negative noise": (GOOD.replace("0.1", "-0.1"), "noise"),
    "noise in words": (GOOD.replace("0.1", '"little"'), "noise"),
    "noise nan": (GOOD.replace("0.1", "nan"), "noise"),
    "noise true": (GOOD.replace("0.1", "true"), "noise"),
    "noise list": (GOOD.replace("0.1", "[0.1]"), "noise"),
    "times in halves": (GOOD.replace("times = 3", "times = 3.5"), "times"),
    "times true": (GOOD.replace("times = 3", "times = true"), "times"),
    "times below 0": (GOOD.replace("times = 3", "times = -3"), "times"),
    "times 0": (GOOD.replace("times = 3", "times = 0"), ""),
    "steps no list": (GOOD.replace("[2]", "2"), "steps"),
    "steps in halves": (GOOD.replace("[2]", "[1.5]"), "steps"),
    "steps true": (GOOD.replace("[2]", "[true]"), "steps"),
    "steps outside": (GOOD.replace("[2]", "[3]"), "3"),
    "steps below 0": (GOOD.replace("[2]", "[-1]"), "-1"),
    "steps twice": ("times = 3\nsteps = [2, 2]\nlabels = [[1.0, 1.0]]\n", "twice"),
    "no step": ("times = 3\nsteps = []\nlabels = [[]]\n", ""),
    "labels flat": (GOOD.replace("[[3.0]]", "[3.0]"), "labels"),
    "labels ragged": ("times = 3\nsteps = [1, 2]\nlabels = [[3.0, 1.0], [2.0]]\n", "labels"),
    "labels in words": (GOOD.replace("[[3.0]]", '[["a"]]'), "labels"),
    "labels inf": (GOOD.replace("3.0", "inf"), "labels"),
    "labels too many": (GOOD.replace("[[3.0]]", "[[3.0, 1.0]]"), "labels"),
    "labels no file": (GOOD.replace("[[3.0]]", '"nowhere.npy"'), "nowhere.npy"),
    "inputs no file": (GOOD + 'inputs = "nowhere.npy"\n', "nowhere.npy"),
    "shared in words": (GOOD + 'shared = "yes"\n', "shared"),
    "shared a number": (GOOD + "shared = 2\n", "shared"),
    "shared_inputs a number": (GOOD + "shared_inputs = 3\n", "shared_inputs"),
    "activation": (GOOD + 'activation = "sigmoid"\n', "sigmoid"),
    "activation a number": (GOOD + "activation = 3\n", "activation"),
    "width 0": (GOOD + "width = 0\n", "width"),
    "width in halves": (GOOD + "width = 2.5\n", "width"),
}


KINDS = ("no", "unknown", "close", "empty", "noise", "negative", "times", "steps", "labels", "inputs", "shared",
    "activation", "width")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_refused_by_name(capsys, tmp_path, kind):
    path = tmp_path / "problem.toml"
    for name, (text, expected) in FILES.items():
        if name.split()[0] != kind:
            continue
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for command in (("solve", "mean-field"), ("predict", "transition")):
            message = refused(capsys, *command, str(path)).replace("\n", " ")
            assert expected in message.replace(str(path), ""), name


def test_solving_is_for_linear_networks(capsys, tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text(GOOD + 'activation = "erf"\n')
    assert "erf" in refused(capsys, "solve", "mean-field", str(path))


def test_files_that_are_not_there(capsys, tmp_path):
    assert "nowhere" in refused(capsys, "solve", "mean-field", str(tmp_path / "nowhere.toml"))
    assert "nowhere" in refused(capsys, "design", "schedule", str(tmp_path / "nowhere.npy"), "--count", "2")
    refused(capsys, "solve", "mean-field", str(tmp_path))
    refused(capsys, "solve", "mean-field")


def test_bad_options_of_the_transition(capsys):
    bad = [
        ("--noise", "-1"),
        ("--noise", "nan"),
        ("--label", "inf"),
        ("--label", "nan"),
        ("--times", "0"),
        ("--times", "-2"),
        ("--activation", "sigmoid"),
        ("--recurrent-variance", "-1"),
        ("--input-variance", "inf"),
        ("--readout-variance", "-0.5"),
        ("--times", "three"),
    ]
    for options in bad:
        assert refused(capsys, "predict", "transition", *options)


@pytest.mark.parametrize("options", [(), ("--times", "6", "--label", "1.07", "--noise", "0.5"), ("--label", "0"),
    ("--times", "1"), ("--activation", "erf"), ("--activation", "relu"), ("--noise", "0"),
    ("--recurrent-variance", "0"), ("--noise", "1000", "--label", "300")])  # fmt: skip
def test_transitions_are_json(capsys, options):
    found = told(capsys, "predict", "transition", *options)
    assert found["phase"] in ("incoherent", "coherent", "crossover")
    settings = dict(zip(options[::2], options[1::2], strict=True))
    if "--activation" in settings or settings.get("--recurrent-variance") == "0":
        return
    times, label, noise = (float(settings.get(*p)) for p in (("--times", 3), ("--label", 1), ("--noise", 0.1)))
    assert found["phase"] == ("coherent" if recurrent_chain(int(times), label**2, noise)[0].coherent else "incoherent")


def test_no_recurrent_weights_are_incoherent():
    """g = 0: no time after the first has variance, so nothing can correlate and nothing crosses over."""
    assert transition(end(5.0, recurrent_variance=0.0)).phase == "incoherent"


def test_solutions_are_json(capsys, tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text(GOOD + "width = 100\n")
    found = told(capsys, "solve", "mean-field", str(path))
    lowest = recurrent_chain(3, 9.0, 0.1)[0]
    assert found["minima"][0]["action"] == pytest.approx(lowest.free_energy, abs=1e-9)
    np.testing.assert_allclose(np.abs(found["minima"][0]["kernel"]), np.abs(lowest.kernel), rtol=1e-5)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 3, 2)))
    np.save(tmp_path / "y.npy", np.array([[np.nan, 1.0, 2.0], [1, np.nan, -1]]))
    path.write_text('inputs = "x.npy"\nlabels = "y.npy"\nshared = false\nbias_variance = 1\n')
    found = told(capsys, "solve", "mean-field", str(path), "--seed", "3")
    problem = Problem.sequences(
        np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy"), shared=False, bias_variance=1.0
    )
    assert found["minima"][0]["action"] == pytest.approx(brute(problem)[0], abs=1e-8)


def test_schedules_are_json(capsys, tmp_path):
    path = str(tmp_path / "targets.npy")
    np.save(path, WAVES[:1])
    rows = told(capsys, "design", "schedule", path, "--count", "2")
    expected = schedule_errors(WAVES[:1], 2, noise=0.05)
    assert [tuple(row["steps"]) for row in rows] == list(expected)
    found = told(capsys, "design", "schedule", path, "--steps", "1")
    assert found["next_step"] == next_step(WAVES[:1], (1,), noise=0.05)
    assert found["error_with_it"] == pytest.approx(expected[tuple(sorted((1, found["next_step"])))], rel=1e-6)
    np.save(path, WAVES[0])
    assert told(capsys, "design", "schedule", path, "--steps", "0")["next_step"] in (1, 2, 3)


TARGETS = [
    (WAVES[0], ("--count", "0")),
    (WAVES[0], ("--count", "4")),
    (WAVES[0], ("--count", "-1")),
    (WAVES[0], ("--steps", "9")),
    (WAVES[0], ("--steps", "-1")),
    (WAVES[0], ("--steps", "1", "--steps", "1")),
    (WAVES[0], ("--count", "2", "--noise", "-1")),
    (np.zeros((1, 5)), ("--count", "2")),
    (np.full((1, 5), np.nan), ("--count", "2")),
    (np.ones(5), ("--count", "2")),
    (np.ones((1, 1, 1, 5)), ("--count", "2")),
    (np.ones((0, 5)), ("--count", "2")),
    (np.ones((1, 1)), ("--steps", "0")),
    (np.array([["a", "b", "c"]]), ("--count", "2")),
]


def test_complex_targets_are_refused(capsys, tmp_path):
    """Sequences of real networks are real; no imaginary part may be dropped unsaid."""
    path = str(tmp_path / "targets.npy")
    np.save(path, 1j * WAVES[0])
    assert refused(capsys, "design", "schedule", path, "--count", "2")


def test_bad_targets_are_refused(capsys, tmp_path):
    path = str(tmp_path / "targets.npy")
    for array, options in TARGETS:
        np.save(path, array)
        assert refused(capsys, "design", "schedule", path, *options)
