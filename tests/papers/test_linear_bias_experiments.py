"""Networks, recordings and experiments on wide linear RNNs: gradients, one exact step of training, data, readers."""

import importlib.metadata
import pickle
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import oracle

from hitherto.core.claim import Case, check
from hitherto.core.model import precision, states_and_outputs
from hitherto.measures.tangent_kernel import lag_kernel
from hitherto.papers.linear_bias_experiments import (
    AS_CONVOLUTION,
    AS_RNN,
    IN_THEORY,
    IN_TRAINING,
    STARTS,
    STUDENTS,
    answered,
    delayed,
    lag_error,
    lesson,
    recalled,
    sampled,
    started,
    taught,
)
from hitherto.papers.linear_bias_kernels import CLAIMS, channel_mean, network_kernel
from hitherto.papers.linear_bias_networks import Network, drawn, equations_of, loss_of, pulls_of, train_network
from hitherto.papers.linear_bias_recordings import (
    LEAST_SQUARES,
    TRAINED,
    Recording,
    decoded,
    decoding,
    neural_recording,
    recorded,
)
from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_equations import normal_equations
from hitherto.theory.linear_bias_kernels import Stacked

TRUTH = oracle("linear_bias")
STACK = Stacked((0.5, 0.8), 0.7, 0.6, 1.3)


def needs(package):
    """Skips a test where a package with data is not installed."""
    absent = not any(importlib.metadata.distributions(name=package))
    return pytest.mark.skipif(absent, reason=f"needs the package {package}")


# ---------------------------------------------------------------- networks


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    return rng.normal(size=(5, 6, 2)), rng.normal(size=(5, 6, 2))


def test_response_is_that_of_the_model():
    network, x = drawn(Gaussian(0.8), 7, 0, channels=2), np.random.default_rng(1).normal(size=(6, 2))
    _, y = states_and_outputs(network.model, x)
    taps = network.response(6)
    expected = [sum(taps[j] @ x[t - j] for j in range(t + 1)) for t in range(6)]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


def test_gradients_are_those_of_the_loss_on_the_data(data):
    network, equations = drawn(STACK, 5, 0, channels=2), normal_equations(*data)
    states = network.states(6)
    slopes = network.gradients(states, pulls_of(equations, network.response(6)))

    def loss(weights):
        first, second, entering, between, readout = weights
        lower = upper = jnp.zeros((5, 5))
        total = 0.0
        for t in range(6):
            lower = (lower @ first.T) / jnp.sqrt(5) + data[0][:, t] @ entering.T
            upper = (upper @ second.T + lower @ between.T) / jnp.sqrt(5)
            total += jnp.square(upper @ readout.T / jnp.sqrt(5) - data[1][:, t]).sum()
        return total / (2 * 5 * 6)

    weights = (*network.recurrent, *network.entering, network.readout)
    with precision(np.float64):
        value, truth = jax.value_and_grad(loss)(tuple(map(jnp.asarray, weights)))
        found = (*slopes.recurrent, *slopes.entering, slopes.readout)
        assert loss_of(equations, network.response(6)) == pytest.approx(float(value), rel=1e-12)
        for mine, theirs in zip(found, truth, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-14)


def test_kernel_of_gradients_is_the_measure():
    network = drawn(Gaussian(0.8, 0.6, 1.3), 9, 0)
    np.testing.assert_allclose(network_kernel(network, 6), channel_mean(lag_kernel(network.model, 6)), rtol=1e-10)


def test_one_exact_step_of_training():
    case = TRUTH["rnn_step"]["cases"]
    w, f, c, x, y = (np.array(case[name], float) for name in ("W", "F", "C", "x", "y"))
    network, equations = Network((w,), (f,), c, len(w) ** -0.5), normal_equations(x[None], y[None])
    assert loss_of(equations, network.response(3)) == pytest.approx(case["loss"], rel=1e-13)
    slopes = network.gradients(network.states(3), pulls_of(equations, network.response(3)))
    for mine, name in ((slopes.recurrent[0], "W"), (slopes.entering[0], "F"), (slopes.readout, "C")):
        np.testing.assert_allclose(mine, case[f"grad_{name}"], atol=1e-12)
    after = train_network(network, equations, float(Fraction(case["eta"])), 1).responses[-1]
    np.testing.assert_allclose(after.ravel(), np.ravel(case["impulse_response_after"]), atol=1e-12)


# ---------------------------------------------------------------- claims that could fail


@pytest.mark.parametrize("name", ["kernel_gaussian", "kernel_lru", "kernel_stacked", "part_W", "kernel_convergence"])
def test_claims_see_a_wrong_theory(name, monkeypatch):
    (claim,) = (claim for claim in CLAIMS if claim.id == f"linear_bias.{name}")
    wrong = claim.predict(claim.smallest)
    tampered = type(wrong)(wrong.quantity, wrong.value * 1.7, wrong.standard_error, axes=wrong.axes)
    object.__setattr__(
        changed := object.__new__(type(claim)), "__dict__", vars(claim) | {"predict": lambda _: tampered}
    )
    assert check(changed, claim.smallest).outcome == "fails"


# ---------------------------------------------------------------- experiments


def test_students_start_alike_and_the_scaled_convolution_follows_the_network():
    curves = {name: lesson(taught(name, 200, 50, 40, 0))[0].value for name in STUDENTS}
    assert {len(curve) for curve in curves.values()} == {41}
    gap = {name: np.abs(curves[name] - curves["RNN"]).max() for name in STUDENTS}
    assert 0 < gap["scaled convolution"] < 3 / np.sqrt(200)
    assert gap["convolution"] > 2 * gap["scaled convolution"]


def test_delays_are_learnt_up_to_the_edge():
    def found(student, nu_W, delay):
        return recalled(delayed(student, nu_W, delay, 100, 200, 0)).value

    published = {(0.3, 5): 0.978, (0.3, 10): 0.013, (0.6, 10): 0.999, (0.6, 15): 0.445, (0.6, 20): 0.039}
    for (nu_W, delay), value in published.items():
        assert found(AS_CONVOLUTION, nu_W, delay) == pytest.approx(value, abs=0.015)
    assert found(AS_RNN, 0.6, 5) > 0.99 > 0.1 > found(AS_RNN, 0.6, 22)
    assert delayed(AS_CONVOLUTION, 0.3, 5, 400, 200, 0) is None


@pytest.mark.parametrize("start", ["Gaussian", "identity", "ring", "2 layers"])
def test_theory_foretells_trained_starts(start):
    theory, trained = (answered(started(how, start, 6, 300, 40, 0)).value for how in (IN_THEORY, IN_TRAINING))
    assert trained == pytest.approx(theory, abs=0.03)
    assert (theory < 0.1) == (start == "identity")
    assert start in STARTS


def test_orthogonal_networks_stay_near_the_limit_where_gaussian_ones_leave_it():
    near, far = (
        {s: lag_error(sampled(s, 64, reach, 12)).value for s in ("Gaussian", "orthogonal")} for reach in (0.5, 3.0)
    )
    assert far["Gaussian"] > 4 * far["orthogonal"]
    assert far["orthogonal"] < 3 * near["orthogonal"]


# ---------------------------------------------------------------- recordings


@needs("nitime")
@pytest.mark.parametrize(
    "row", TRUTH["real_data"]["cases"]["grasshopper"]["rows"], ids=lambda row: f"{row['delay']} ms"
)
def test_grasshopper_is_as_published(row):
    names = {"0.3": "nu_W = 0.3", "0.6": "nu_W = 0.6", "0.9": "nu_W = 0.9", "unscaled": "convolution"}
    names["ols_R2"] = LEAST_SQUARES
    for name, learner in names.items():
        found = decoded(recorded(learner, "grasshopper 1", row["delay"], 100, 1, 0, 9))
        assert found.value == pytest.approx(row[name], abs=2e-4)


@needs("statsmodels")
def test_sunspots_are_as_published():
    (row,) = TRUTH["real_data"]["cases"]["sunspots"]
    for name in ("0.3", "0.6", "0.9", "unscaled"):
        learner = "convolution" if name == "unscaled" else f"nu_W = {name}"
        found = [decoded(recorded(learner, "sunspots", 1, steps, 1, 0, 9)).value for steps in (10, 100, 1000, 10_000)]
        np.testing.assert_allclose(found, row[name], atol=2e-4)


@needs("nitime")
def test_a_trained_network_decodes_as_the_limit_says():
    found = decoded(recorded(TRAINED, "grasshopper 1", 10, 100, 200, 0, 9)).value
    assert found == pytest.approx(0.2701, abs=0.005)


def test_the_grid_leaves_out_what_has_no_meaning():
    assert recorded("convolution", "sunspots", 10, 100, 1, 0, 9) is None
    assert recorded("convolution", "grasshopper 1", 10, 1000, 1, 0, 9) is None
    assert recorded("convolution", "grasshopper 1", 10, 100, 1, 0, 3) is None
    assert recorded("convolution", "s1.npz", 10, 100, 1, 0, 9) is None
    assert recorded("convolution", "sunspots", 1, 100, 1, 1, 9) is None
    assert recorded("convolution", "s1.npz", 0, 100, 1, 0, 3) is not None


@pytest.fixture
def spikes():
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (400, 3)).astype(float)
    counts[:, 2] = 0.0  # a silent neuron
    outputs = np.stack([np.roll(counts[:, 0], 2), np.roll(counts[:, 1], -3)], axis=1)
    return Recording(counts, outputs)


def test_a_recording_of_the_user_is_read_and_decoded(spikes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", spikes=spikes.spikes.astype(int), outputs=spikes.outputs)
    for read, given in zip(neural_recording("mine.npz"), spikes, strict=True):
        np.testing.assert_array_equal(read, given)
    for fold in (0, 9):
        cases = [recorded(name, "mine.npz", 0, 100, 1, 0, fold) for name in (LEAST_SQUARES, "convolution")]
        # means are taken away, not fitted
        assert [decoded(case).value for case in cases] == pytest.approx([1.0, 1.0], abs=5e-3)


def test_windows_hold_the_bins_around_the_output(spikes):
    train, test = decoding(spikes, before=4, after=5)
    assert (train.inputs, train.rows.shape[1], test.rows.shape[1]) == (3, 30, 30)
    assert (len(train.rows), len(test.rows)) == (320 - 9, 40 - 9)
    scaled = (spikes.spikes[:, 0] - spikes.spikes[:320, 0].mean()) / spikes.spikes[:320, 0].std()
    np.testing.assert_allclose(test.rows[0, ::3], scaled[360:370][::-1])
    np.testing.assert_allclose(test.targets[0], spikes.outputs[364] - spikes.outputs[:320].mean(axis=0))
    assert (train.rows[:, 2::3] == 0).all()
    equations = equations_of(*train)
    assert equations.lags == 10


def test_ten_folds_test_every_tenth_once_and_share_no_bin(spikes):
    marked = spikes._replace(spikes=np.arange(400.0)[:, None])  # each bin is known by its count
    tested = []
    for fold in range(10):
        learning = np.setdiff1d(np.arange(400), [*range(40 * fold, 40 * fold + 40), *_tenth_before(fold)])
        train, test = (
            np.rint(part.rows * learning.std() + learning.mean()) for part in decoding(marked, fold, before=2, after=1)
        )
        assert np.isin(train, learning).all()
        assert np.isin(test, range(40 * fold, 40 * fold + 40)).all()
        assert len(train) == 320 - 3 * (1 if fold in (0, 1, 9) else 2)
        tested += list(test[:, 1])
    assert len(set(tested)) == len(tested) == 10 * 37


def _tenth_before(fold):
    return range(40 * ((fold - 1) % 10), 40 * ((fold - 1) % 10) + 40)


class Trap:
    """An object whose pickle would run code when it is opened."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_other_files_are_refused_and_pickles_never_opened(tmp_path):
    pickled = tmp_path / "s1.pickle"
    pickled.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"s1.pickle, which is no .npz file; pickles can run code"):
        neural_recording(pickled)
    np.savez(tmp_path / "objects.npz", spikes=np.array([[Trap()]], object), outputs=np.ones((1, 1)))
    with pytest.raises(ValueError, match="holds objects, not numbers"):
        neural_recording(tmp_path / "objects.npz")
    np.savez(tmp_path / "names.npz", neurons=np.ones((2, 2)), outputs=np.ones((2, 1)))
    with pytest.raises(ValueError, match="spikes"):
        neural_recording(tmp_path / "names.npz")
    np.savez(tmp_path / "shapes.npz", spikes=np.ones((3, 2)), outputs=np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(2, 1\) in shapes.npz"):
        neural_recording(tmp_path / "shapes.npz")
    np.savez(tmp_path / "nan.npz", spikes=np.full((2, 2), np.nan), outputs=np.ones((2, 1)))
    with pytest.raises(ValueError, match="spikes hold nan"):
        neural_recording(tmp_path / "nan.npz")


def test_larger_cases_are_cases():
    assert all(isinstance(case, Case) for claim in CLAIMS for case in claim.larger)
