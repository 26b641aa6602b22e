"""Problems of the mean-field theory from TOML files."""

import numpy as np
import pytest

from hitherto.terminal.problem_file import read_problem


def written(folder, text):
    path = folder / "problem.toml"
    path.write_text(text)
    return path


def test_pulse_with_orthogonal_patterns(tmp_path):
    text = "times = 3\nsteps = [0, 2]\nlabels = [[1.0, 2.0], [3, 4]]\nnoise = 0.2\nshared = false\n"
    problem = read_problem(written(tmp_path, text))
    assert (problem.patterns, problem.times, problem.labelled) == (2, 3, (0, 1, 4, 5))
    np.testing.assert_array_equal(problem.labels[:, 0], [1, 3, 2, 4])
    assert problem.noise == 0.2
    assert problem.shared is False


def test_inputs_at_every_time_with_missing_labels(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(2, 3, 2))
    text = 'inputs = "x.npy"\nlabels = [[1, nan, nan], [nan, nan, 2]]\nactivation = "erf"\nwidth = 50\n'
    problem = read_problem(written(tmp_path, text))
    assert (problem.times, problem.labelled, problem.width, problem.activation) == (3, (0, 5), 50, "erf")


def test_times_that_share_weights_as_a_table(tmp_path):
    text = "times = 2\nsteps = [1]\nlabels = [[1]]\nshared = [[true, false], [false, true]]\n"
    np.testing.assert_array_equal(read_problem(written(tmp_path, text)).times_sharing, np.eye(2, dtype=bool))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("times = ", "is not TOML"),
        ("times = 3\nsteps = [2]\n", "has no labels"),
        ("labels = [[1]]\ntimes = 3\n", "has no steps"),
        ("labels = [[1]]\nsteps = [0]\n", "has no times"),
        ("label = [[1]]\n", "there is no key of a problem"),
        ("labels = [1, 2]\n", "row of numbers for each pattern"),
        ("labels = [[1], [1, 2]]\n", "rows of one length"),
        ('labels = "none.npy"\n', "save an array with numpy.save"),
        ("labels = [[1]]\nsteps = [3]\ntimes = 3\n", r"labels the steps \[3\]"),
        ("labels = [[1]]\nsteps = 2\ntimes = 3\n", "give a list of times"),
        ("labels = [[1]]\nsteps = [2]\ntimes = 3.5\n", "give a whole number"),
        ("labels = [[1]]\nsteps = [2]\ntimes = 3\nnoise = true\n", "give a number"),
        ("labels = [[1]]\nsteps = [2]\ntimes = 3\nnoise = -1\n", "noise is a variance"),
        ("labels = [[1]]\nsteps = [2]\ntimes = 3\nshared = 1\n", "give true or false"),
        ('labels = [[1]]\nsteps = [2]\ntimes = 3\nactivation = "gelu"\n', "there is no activation"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, text, told):
    with pytest.raises(ValueError, match=told):
        read_problem(written(tmp_path, text))


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_problem(tmp_path / "none.toml")
