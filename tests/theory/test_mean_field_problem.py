"""Mean-field problems as data: what they hold, and what is refused by name."""

import numpy as np
import pytest
from mean_field_cases import chain

from hitherto.theory.mean_field import Problem, preactivation_covariance, shift, shift_back

ONE = np.ones((1, 1))


def test_entries_are_time_major():
    labels = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    problem = Problem.pulse(labels, (1, 3), 4)
    assert problem.labelled == (3, 4, 5, 9, 10, 11)
    assert problem.labels.ravel().tolist() == [1, 3, 5, 2, 4, 6]
    assert (problem.patterns, problem.times, problem.size) == (3, 4, 12)
    assert problem.time_of.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_sequences_take_the_labels_that_are_given():
    labels = np.array([[np.nan, 2.0], [3.0, np.nan]])
    problem = Problem.sequences(np.ones((2, 2, 5)), labels)
    assert problem.labelled == (1, 2)
    assert problem.labels.ravel().tolist() == [3, 2]
    np.testing.assert_allclose(problem.kernel, 1)


def test_shift_and_its_adjoint():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 6))
    assert np.sum(shift(one, 2) * other) == pytest.approx(np.sum(one * shift_back(other, 2)))
    assert not shift(one, 6).any()
    stack = np.stack([one, other])
    np.testing.assert_array_equal(shift(stack, 2)[1], shift(other, 2))
    np.testing.assert_array_equal(shift_back(stack, 2)[0], shift_back(one, 2))


@pytest.mark.parametrize("shared", [True, False])
def test_covariance_by_hand(shared):
    problem = Problem.sequences(
        np.arange(3.0).reshape(1, 3, 1), np.ones((1, 3)), shared=shared, recurrent_variance=2, bias_variance=0.5
    )
    kernel = np.array([[1.0, 4, 5], [4, 2, 6], [5, 6, 3]])
    between = 1.0 if shared else 0.0
    wanted = np.outer(np.arange(3), np.arange(3)) + 0.5 * np.where(np.eye(3), 1, between)
    wanted[1:, 1:] += 2 * np.where(np.eye(2), 1, between) * kernel[:2, :2]
    np.testing.assert_allclose(preactivation_covariance(problem, kernel), wanted)


def test_groups_of_times_share_one_matrix():
    groups = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)  # W of h[1] and h[2] is the same
    made = preactivation_covariance(chain(4, 1.0, shared=groups), np.ones((4, 4)))
    assert made[1, 2] == 1
    assert made[2, 3] == made[1, 3] == 0


def test_groups_without_units():
    groups = chain(3, 6.0, recurrent_variance=2, readout_variance=3, input_variance=0.5, noise=12).groups
    assert groups == pytest.approx({"signal": 1.0, "noise": 2.0, "times": 3.0})


BAD = {
    "noise is a variance": lambda: chain(2, 1.0, noise=-1),
    "recurrent_variance is a variance": lambda: chain(2, 1.0, recurrent_variance=-0.1),
    "readout_variance is a variance": lambda: chain(2, 1.0, readout_variance=np.inf),
    "labels holds numbers that are not finite": lambda: Problem.pulse(np.nan * ONE, (0,), 1),
    "inputs hold numbers that are not finite": lambda: Problem.pulse(ONE, (0,), 1, inputs=np.inf * ONE),
    "kernel holds numbers that are not finite": lambda: Problem(np.nan * ONE, 1, (0,), ONE),
    "labels holds numbers that are not finite, or not below 1e.50": lambda: Problem(ONE, 1, (0,), 1e50 * ONE),
    "labels have no column": lambda: Problem(ONE, 1, (0,), np.ones((1, 0))),
    "times counts steps, got -3": lambda: Problem.pulse(ONE, (0,), -3),
    r"labels the steps \[5\]; there are 0 to 2": lambda: Problem.pulse(ONE, (5,), 3),
    "labelled is empty": lambda: Problem(ONE, 1, (), np.ones((0, 1))),
    "labelled names entries 0 to 5": lambda: Problem(ONE, 1, (0, 5), np.ones((2, 1))),
    "labelled names entries -1": lambda: Problem(ONE, 1, (-1,), ONE),
    "labelled names an entry twice": lambda: Problem(ONE, 1, (0, 0), np.ones((2, 1))),
    "kernel has 3 entries for 2 times": lambda: Problem(np.eye(3), 2, (0,), ONE),
    "kernel has 1 entries for 0 times": lambda: Problem(ONE, 0, (0,), ONE),
    "kernel is not symmetric": lambda: Problem(np.array([[1.0, 0.5], [0.0, 1.0]]), 2, (0,), ONE),
    "kernel has the eigenvalue -1": lambda: Problem(np.diag([1.0, -1.0]), 2, (0,), ONE),
    "width counts units": lambda: chain(2, 1.0, width=0),
    "there is no activation": lambda: chain(2, 1.0, activation="sine"),
    "shape of the mask": lambda: chain(3, 1.0, shared=np.eye(2, dtype=bool)),
    "not a division of the times": lambda: chain(
        3, 1.0, shared=np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)
    ),
    "columns of the labels": lambda: Problem.pulse(ONE, (0, 1), 2),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_what_rounding_put_below_zero_is_cut_with_a_warning():
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    with pytest.warns(UserWarning, match="was set to 0"):
        problem = Problem(rotation @ np.diag([1.0, -1e-10]) @ rotation.T, 2, (0,), ONE)
    assert np.linalg.eigvalsh(problem.kernel)[0] > -1e-15
