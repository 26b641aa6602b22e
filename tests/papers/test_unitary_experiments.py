"""Experiments on unitary twins: what they train, convert and count."""

import numpy as np
import pytest

from hitherto.core.claim import Case
from hitherto.core.model import precision
from hitherto.papers.unitary_demonstrations import (
    BOUNDS,
    bias_error,
    drive_bound,
    leaks,
    route,
    routes,
    share,
    zero_modes,
)
from hitherto.papers.unitary_experiments import (
    CONVERTED,
    LEARNERS,
    PICTURES,
    SETTINGS,
    explained,
    permuted,
    slow,
    started,
)

# ---------------------------------------------------------------- trained networks


def short(learner, width, **changes):
    """A case of few steps."""
    about = (
        dict(teachers="script, 20 dB", length=12, epsilon=0.05, settings="ours", epochs=1, starts=2, teacher=3)
        | changes
    )
    return slow(learner, width, **about)


def test_both_kinds_start_alike_and_orthogonal():
    start = {name: started(LEARNERS[name](2, 5, 2))(7) for name in ("RNN", "URNN", "URNN by exponentials")}
    for name in ("weight_hh", "weight_ih", "readout", "bias_ih"):
        assert (start["URNN"].weights[name] == start["RNN"].weights[name]).all()
    assert (start["URNN by exponentials"].weights["readout"] == start["RNN"].weights["readout"]).all()
    w = np.asarray(start["URNN"].weights["weight_hh"])
    np.testing.assert_allclose(w.T @ w, np.eye(5), atol=1e-5)


def test_the_converted_teacher_explains_what_the_teacher_does():
    case = short(CONVERTED, 8)
    with precision(np.float64):
        (found,) = explained(case)
    test = case.task.sample(300, 10**6 + 3)
    errors = case.task.weights.outputs(test.inputs) - test.targets
    assert found.value == pytest.approx(1 - (errors**2).mean() / (test.targets**2).mean(), rel=1e-12)
    assert found.value == pytest.approx(1 - case.task.noise_variance / (test.targets**2).mean(), abs=5e-4)
    assert found.statistics["states"] <= 8
    assert found.statistics["outcome"] == "exact on bounded inputs"
    assert found.statistics["optimum"] == pytest.approx(1 / 1.01)


@pytest.mark.slow
def test_the_best_of_several_starts_is_told_and_its_last_epoch():
    case = short("URNN", 4)
    with precision(np.float64):
        best, last = explained(case)
    assert [e.quantity.name for e in (best, last)] == ["explained_power", "explained_power_last"]
    assert 0.5 < last.value <= 1
    assert best.value in best.statistics["starts"]
    assert best.statistics["statuses"] == ["finished", "finished"]


def test_the_grid_leaves_out_what_the_paper_does():
    assert short("LSTM", 4, teachers="normalised, 15 dB") is None
    assert short(CONVERTED, 6) is None
    published = short("RNN", 4, settings="published", epochs=100).training
    assert (published.learning_rate, published.schedule, published.clip) == (0.01, "constant", None)
    assert (published.steps, published.batch, published.sequences) == (7000, 10, 700)
    assert set(SETTINGS) == {"ours", "published"}


def test_permuted_pictures_follow_the_published_settings():
    case = permuted("contractive RNN, 1e-3", 16, "digits", 2, 0)
    assert case.architecture.norm_limit == 1
    assert (case.training.optimiser, case.training.batch, case.training.steps) == ("rmsprop", 64, 2 * 19)
    assert permuted("RNN, 1e-4", 16, "clothes", 1, 0).training.learning_rate == 1e-4
    assert all(task.permuted for task, _ in PICTURES.values())


# ---------------------------------------------------------------- demonstrations


def error(units, bias, arithmetic="exact"):
    return bias_error(Case(units=units, bias=bias, arithmetic=arithmetic)).value


def test_relu_ends_smooth_units_do_not_and_leaky_ones_get_worse():
    assert error("relu", -0.75) > 0 == error("relu", -0.8) == error("relu", -40.0)  # the bound is 4/5 of h = 1
    for units, exponent in (("sigmoid", 1), ("softplus", 1), ("tanh", 2)):
        fall = error(units, -40.0) / error(units, -60.0)
        assert np.log(fall) == pytest.approx(20 * exponent, rel=1e-6)
    with precision(np.float64):
        assert error("sigmoid", -60.0, "double") == 0 < error("sigmoid", -60.0)
        assert error("softplus", -2.0, "double") == pytest.approx(error("softplus", -2.0), rel=1e-12)
    assert error("leaky_relu(0.25)", -20.0) > error("leaky_relu(0.25)", -2.0) > 0.1


def test_rescaling_saves_as_many_states_as_it_finds_lossless_directions():
    for width in (1, 2, 5):
        before, after = (leaks(Case(units=u, width=width, norm=0.9, seed=1)) for u in ("as given", "rescaled"))
        lossless = (after[0].value < 1e-12).sum()
        assert before[1].value == 2 * width
        assert after[1].value == 2 * width - lossless
        assert (lossless > 0) == (width > 1)


TURN = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)


@pytest.mark.parametrize(
    ("weight_hh", "expected"),
    [
        (0.5 * np.eye(2), "as it is"),
        (np.array([[0.5, 2.0], [0.1, -0.4]]), "Perron vectors"),
        (np.array([[0.9, 5.0], [0.0, 0.9]]), "Perron vectors"),
        (0.9 * TURN * [4, 1] / np.array([[4], [1]]), "best scaling"),
        (0.6 * np.array([[1.0, 1.0], [-1.0, -1.0]]), "refused"),
        (1.1 * TURN, "refused"),
    ],
)
def test_routes_to_a_contractive_network(weight_hh, expected):
    assert route(weight_hh) == expected


def test_shares_of_all_routes_add_up():
    about = dict(width=3, gain=0.7, density=0.5, draws=8, seed=0)
    found = [share(Case(route=one, **about)).value for one in dict.fromkeys(routes(*about.values()))]
    assert sum(found) == 1
    assert min(found) > 0


def test_the_exact_bound_is_the_smallest():
    about = dict(width=2, norm=0.9, length=4, seed=3)
    found = {bound: drive_bound(Case(bound=bound, **about)).value for bound in BOUNDS}
    assert all(found["exact"] <= value + 1e-6 for value in found.values())
    assert found["exact"] < found["norm"]


@pytest.mark.parametrize("rank", range(4))
def test_low_rank_shows_a_zero_mode_that_noise_hides(rank):
    for noise, expected in ((0.0, rank < 3), (1e-3, False)):
        found = zero_modes(Case(units="tanh", width=3, noise=noise, rank=rank, seed=0))
        assert (found.value == 1) == expected
        assert noise or not found.cannot_tell
