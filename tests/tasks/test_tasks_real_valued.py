"""Tasks on real numbers: answers by slow loops, reference losses by sampled strategies, ranks by sampled halves."""

import itertools

import numpy as np
import pytest
from strategies import agrees, oracle, squared

from hitherto.tasks.adding import AddingProblem
from hitherto.tasks.delay import DelayedCopy, DelayedPower, DelayedSine, WindowProduct
from hitherto.tasks.sequential import SequentialTargets, sinusoids
from hitherto.tasks.teacher import LinearTeacher, SlowTeacher, random_response

FLOORS = oracle("depth")["floors"]
FUNCTIONS = {
    DelayedCopy: lambda task, window: window[0],
    DelayedSine: lambda task, window: np.sin(task.frequency * window[0]),
    DelayedPower: lambda task, window: window[0] ** task.power,
    WindowProduct: lambda task, window: (
        np.prod(np.sign(window), axis=0) * np.abs(np.prod(window, axis=0)) ** (1 / (task.delay + 1))
    ),
}
DELAYED = [
    DelayedCopy(3, 2, 9),
    DelayedCopy(0, 1, 4),
    DelayedCopy(6, 2, 8),
    DelayedSine(2, 1, 7, frequency=1.5),
    DelayedPower(2, 2, 6, power=3),
    DelayedPower(0, 1, 6, power=2),
    WindowProduct(2, 2, 8),
    WindowProduct(0, 1, 5),
    WindowProduct(3, 1, 5),
]


def slow_answers(task, inputs):
    """Targets of one sequence, step by step; NaN where nothing is asked."""
    answers = np.full(inputs.shape, np.nan)
    for t in range(task.delay, len(inputs)):
        answers[t] = FUNCTIONS[type(task)](task, inputs[t - task.delay : t + 1])
    return answers


def sampled_rank(answer, task, channels, count=40, seed=0, draw=None):
    """Rank of answers in the second half over sampled first and second halves."""
    rng = np.random.default_rng(seed)
    half = task.length // 2
    draw = draw or (lambda steps: rng.standard_normal((steps, channels)))
    starts, ends = [draw(half) for _ in range(count)], [draw(task.length - half) for _ in range(count)]
    rows = [np.concatenate([answer(np.concatenate([a, b]))[half:].ravel() for b in ends]) for a in starts]
    matrix = np.array(rows)
    return np.linalg.matrix_rank(matrix[:, ~np.isnan(matrix[0])], tol=1e-9 * np.nanmax(np.abs(matrix)))


@pytest.mark.parametrize("task", DELAYED, ids=str)
def test_delayed_answers_and_demand(task):
    sequences = task.sample(4, seed=1)
    for inputs, targets, asked in zip(*sequences, strict=True):
        told = slow_answers(task, inputs)
        assert (~asked == np.isnan(told).any(axis=1)).all()
        assert targets[asked] == pytest.approx(told[asked], rel=1e-12)
        assert (targets[~asked] == 0).all()
    assert sampled_rank(lambda x: slow_answers(task, x), task, task.channels) == task.demand.rank
    assert task.demand.lag == task.delay


@pytest.mark.parametrize("task", DELAYED, ids=str)
def test_delayed_references_are_what_strategies_reach(task):
    sequences = task.sample(20_000, seed=2)
    x, y = sequences.inputs[..., :1], sequences.targets[..., :1]
    one = sequences._replace(targets=y)
    mean = y[sequences.mask].mean()
    assert agrees(squared(np.full(y.shape, mean), one), task.references["mean"], errors=5)
    shifted = np.zeros(y.shape)
    shifted[:, task.delay :] = x[:, : task.length - task.delay]
    slope = np.polyfit(shifted[sequences.mask].ravel(), y[sequences.mask].ravel(), 1)
    assert agrees(squared(np.polyval(slope, shifted), one), task.references["linear"], errors=5)
    assert task.references["memoryless"] == (task.references["mean"] if task.delay else 0)


@pytest.mark.parametrize("floor", FLOORS["sin"], ids=str)
def test_sine_floors(floor):
    references = DelayedSine(frequency=float(floor["omega"])).references
    name = {0: "mean", 1: "linear", 2: "linear"}.get(floor["max_degree"])
    if name:
        assert references[name] == pytest.approx(floor["mse"], abs=1e-12)
    assert references["linear"] >= floor["mse"] - 1e-12 or floor["max_degree"] == 0


@pytest.mark.parametrize("floor", [f for f in FLOORS["power"] if f["max_degree"] == 1], ids=str)
def test_power_floors(floor):
    assert DelayedPower(power=floor["m"]).references["linear"] == floor["mse"]


@pytest.mark.parametrize("moment", FLOORS["signed_geometric_mean_second_moment"], ids=str)
def test_product_moments(moment):
    task = WindowProduct(delay=moment["t"] - 1, length=20)
    assert task.references["mean"] == pytest.approx(moment["value"], rel=1e-12)


# Adding


@pytest.mark.parametrize("length", [2, 3, 10, 11])
def test_adding(length):
    task = AddingProblem(length)
    sequences = task.sample(3000, seed=3)
    values, marks = np.moveaxis(sequences.inputs, -1, 0)
    half = length // 2
    assert (marks[:, :half].sum(axis=1) == 1).all()
    assert (marks[:, half:].sum(axis=1) == 1).all()
    assert ((marks == 0) | (marks == 1)).all()
    assert marks.mean(axis=0)[:half] == pytest.approx(1 / half, abs=0.05)
    sums = [row[mark == 1].sum() for row, mark in zip(values, marks, strict=True)]
    assert sequences.targets[:, -1, 0] == pytest.approx(sums)
    assert sequences.mask.sum() == 3000
    assert sequences.mask[:, -1].all()


@pytest.mark.parametrize("length", [2, 3, 9, 10])
def test_adding_references_are_what_strategies_reach(length):
    task = AddingProblem(length)
    sequences = task.sample(20_000, seed=4)
    second = (sequences.inputs[:, length // 2 :].prod(axis=-1)).sum(axis=1)
    last, marked = np.moveaxis(sequences.inputs[:, -1], -1, 0)
    strategies = {"mean": np.ones(20_000), "second_value": 0.5 + second, "memoryless": 1 + marked * (last - 0.5)}
    for name, answers in strategies.items():
        measured = squared(np.broadcast_to(answers[:, None, None], sequences.targets.shape), sequences)
        assert agrees(measured, task.references[name]), name


def test_adding_demand():
    task, rng = AddingProblem(8), np.random.default_rng(5)

    def draw(steps):
        return np.stack([rng.random(steps), np.arange(steps) == rng.integers(steps)], axis=1)

    def answer(x):
        return np.array([np.nan] * 7 + [x.prod(axis=1).sum()])

    assert sampled_rank(answer, task, 2, draw=draw) == task.demand.rank
    assert task.demand.lag == 7


# Linear teacher


def slow_filter(task, inputs):
    response = task.impulse_response
    answers = np.zeros((len(inputs), task.output_size))
    for t, j in itertools.product(range(len(inputs)), range(len(response))):
        if t >= j:
            answers[t] += response[j] @ inputs[t - j]
    return answers


RESPONSE = random_response(9, seed=1, width=3, variance=0.8, input_size=2, output_size=3)
LINEAR = [
    LinearTeacher.from_response(RESPONSE, length=12),
    LinearTeacher.from_response(RESPONSE, length=5),
    LinearTeacher.from_response(np.eye(4)[3], length=10),
    LinearTeacher.from_response(np.eye(4)[3], length=4),
    LinearTeacher.from_response(np.array([2.0]), length=6),
    LinearTeacher.from_response(np.array([1.0, 0.5, 0.25]), length=1),
]


@pytest.mark.parametrize("task", LINEAR, ids=range(len(LINEAR)))
def test_linear_teacher_answers_and_demand(task):
    sequences = task.sample(3, seed=6)
    told = np.array([slow_filter(task, x) for x in sequences.inputs])
    assert sequences.targets == pytest.approx(told, rel=1e-12, abs=1e-12)
    assert sequences.mask.all()
    if task.length > 1:
        assert sampled_rank(lambda x: slow_filter(task, x), task, task.input_size, 60) == task.demand.rank
    lags = [j for j in range(min(task.length, len(task.response))) if np.any(task.impulse_response[j])]
    assert task.demand.lag == max(lags)


def test_a_small_network_asks_for_its_width():
    task = LinearTeacher.from_response(random_response(40, seed=2, width=4, variance=0.9), length=40)
    assert task.demand.rank == 4 + 1


def test_random_response_is_that_of_a_network():
    response = random_response(6, seed=3, width=400, variance=0.5)
    many = np.array([random_response(4, seed, width=30, variance=0.5)[:, 0, 0] for seed in range(4000)])
    assert response.shape == (6, 1, 1)
    assert (many**2).mean(axis=0)[:2] == pytest.approx([1.0, 0.5], rel=0.15)  # wide networks: variance^lag


def test_linear_references_are_what_filters_reach():
    task = LinearTeacher.from_response(RESPONSE, length=12, snr_db=10.0)
    sequences = task.sample(8000, seed=7)
    for lags, name in ((0, "mean"), (1, "memoryless"), (4, None), (12, "perfect")):
        answers = np.zeros(sequences.targets.shape)
        for j in range(min(lags, 9)):
            answers[:, j:] += sequences.inputs[:, : 12 - j] @ RESPONSE[j].T
        assert agrees(squared(answers, sequences), task.loss_with_lags(lags))
        assert name is None or task.references[name] == task.loss_with_lags(lags)
    signal = task.references["mean"] - task.noise_variance
    assert signal / task.noise_variance == pytest.approx(10)


# Slow teacher

SLOW = SlowTeacher(length=60, epsilon=0.05)


def test_slow_teacher_forgets_at_its_rate():
    values = np.linalg.svd(SLOW.weights.weight_hh, compute_uv=False)
    assert values.min() == pytest.approx(0.95, rel=1e-12)
    assert values.max() <= 1
    plain = SlowTeacher(length=10, normalised=False, epsilon=0.01, readout_bias=True)
    twin = SlowTeacher(length=10, epsilon=0.01)
    loss, normed = (np.eye(4) - task.weights.weight_hh for task in (plain, twin))
    assert loss / np.linalg.norm(loss, 2) == pytest.approx(normed / 0.01, rel=1e-9)
    assert plain.weights.readout_bias.any()
    assert not twin.weights.readout_bias.any()


def test_slow_teacher_answers_step_by_step():
    sequences = SlowTeacher(length=60, epsilon=0.05, snr_db=300.0).sample(3, seed=8)
    w = SLOW.weights
    for x, y in zip(sequences.inputs, sequences.targets, strict=True):
        h = np.zeros(4)
        for t in range(60):
            h = np.maximum(w.weight_hh @ h + w.weight_ih @ x[t] + w.bias, 0)
            assert y[t] == pytest.approx(w.readout @ h + w.readout_bias, rel=1e-9, abs=1e-9)


def test_slow_teacher_is_calibrated_and_noisy():
    fresh = np.random.default_rng(9).standard_normal((400, 60, 2))
    assert (SLOW.weights.states(fresh) > 1e-3).mean(axis=(0, 1)) == pytest.approx(0.6, abs=0.05)
    sequences = SLOW.sample(400, seed=10)
    assert agrees(squared(SLOW.weights.outputs(sequences.inputs), sequences), SLOW.references["perfect"])
    assert squared(0, sequences)[0] == pytest.approx(SLOW.references["zero"], rel=0.2)  # of 100 other sequences


def test_slow_teacher_optimum():
    truth = next(c for c in oracle("unitary")["cases"] if c["id"] == "O18_optimal_r2")
    found = []
    for decibels in (15.0, 20.0):
        references = SlowTeacher(length=20, snr_db=decibels).references
        found.append(1 - references["perfect"] / references["zero"])
    assert found == pytest.approx(truth["expected"]["optimal_r2"], abs=1e-12)


# Sequential targets


def test_sequential_targets_of_the_published_kind():
    task = SequentialTargets(asked=(0, 1, 2, 4, 5, 7))
    sequences = task.sample(2, seed=0)
    assert sequences.inputs[:, :, 0].tolist() == [[1.0] + [0.0] * 7] * 2
    assert sequences.targets[0, :, 0] == pytest.approx([3 * np.sin(np.pi * (t + 0.5) / 4) for t in range(8)])
    assert np.flatnonzero(sequences.mask[0]).tolist() == [0, 1, 2, 4, 5, 7]
    assert task.held_out.asked == (3, 6)
    assert task.held_out.references["zero"] == pytest.approx(4.5)  # what untied weights leave there
    assert squared(0, sequences)[0] == pytest.approx(task.references["zero"])


def test_two_patterns_are_two_orthogonal_pulses():
    task = SequentialTargets(sinusoids(8, patterns=2), asked=(1, 4, 6))
    sequences = task.sample(4, seed=1)
    pulses = sequences.inputs[:2, 0]
    assert pulses @ pulses.T / 2 == pytest.approx(np.eye(2))
    assert sequences.targets[1, :, 0] == pytest.approx([3 * np.cos(np.pi * (t + 0.5) / 4) for t in range(8)])
    assert (sequences.inputs[2:] == sequences.inputs[:2]).all()
    assert (task.demand.rank, task.demand.bits, task.demand.lag) == (2, 1.0, 6)
    assert SequentialTargets(sinusoids(8, patterns=2), asked=(1, 4)).demand.rank == 1
    assert SequentialTargets(asked=(1, 2)).demand.rank == 0
    assert np.linalg.matrix_rank(sequences.targets[:2, [4, 6], 0]) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayedCopy(delay=-1), "delay must be at least 0, found -1"),
        (lambda: DelayedCopy(delay=8, length=8), "delay of 8 .* found length 8; .* at least 9"),
        (lambda: DelayedCopy(channels=0), "channels must be at least 1"),
        (lambda: DelayedPower(power=0), "power must be at least 1"),
        (lambda: DelayedPower(delay=-2), "delay must be at least 0"),
        (lambda: DelayedSine(frequency=0.0), "frequency must be .* found 0.0"),
        (lambda: DelayedSine(delay=10), "delay of 10"),
        (lambda: AddingProblem(1), "length must be at least 2, found 1"),
        (lambda: LinearTeacher(()), "found shape"),
        (lambda: LinearTeacher((((1.0,),), ((1.0, 2.0),))), "all of one shape"),
        (lambda: LinearTeacher.from_response(np.array([1.0, np.nan])), "finite numbers"),
        (lambda: LinearTeacher.from_response(np.ones((2, 3))), r"found shape \(2, 3\)"),
        (lambda: LinearTeacher.from_response(np.ones(2), length=0), "length must be at least 1"),
        (lambda: LinearTeacher.from_response(np.ones(2), snr_db=float("inf")), "None is no noise"),
        (lambda: LinearTeacher.from_response(np.ones(2)).loss_with_lags(-1), "lags must be at least 0"),
        (lambda: random_response(0, 0), "lags must be at least 1"),
        (lambda: SlowTeacher(epsilon=1.0), "epsilon must be .* found 1.0"),
        (lambda: SlowTeacher(snr_db=float("nan")), "snr_db must be finite"),
        (lambda: SlowTeacher(width=0), "width must be at least 1"),
        (lambda: SequentialTargets(asked=(0, 8)), r"from 0 to 7.*steps \[8\] are outside"),
        (lambda: SequentialTargets(asked=()), "at least one"),
        (lambda: SequentialTargets(asked=(1, 1)), "name each step once"),
        (lambda: SequentialTargets(asked=tuple(range(8))).held_out, "at least one, found"),
        (lambda: SequentialTargets(targets=((1.0,), (1.0, 2.0))), r"same number of steps, found \[1, 2\]"),
        (lambda: sinusoids(patterns=3), "two patterns, found 3"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
