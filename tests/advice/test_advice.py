"""The adviser: draws against architectures and measures, learning against its definition, ranking and refusals."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

import hitherto
from hitherto.advice import verification
from hitherto.advice.adviser import advise, assessed
from hitherto.advice.candidates import Candidate, Start, candidates, naive, naive_gated
from hitherto.advice.cells import drawn, gate_biases
from hitherto.advice.draws import draw, measured
from hitherto.advice.learning import Course, law, response_variances
from hitherto.advice.models import architecture, fresh, training
from hitherto.advice.page import advice_page, pareto_figure
from hitherto.advice.request import Number, Request
from hitherto.advice.verification import recall, verify_advice
from hitherto.core.claim import Case
from hitherto.core.experiment import Measurement
from hitherto.core.model import Model, precision, states_and_outputs
from hitherto.core.quantity import HELD_OUT_R2, Estimate
from hitherto.measures.tangent_kernel import memory_prior
from hitherto.theory.linear_bias_delays import delay_steps
from hitherto.theory.linear_bias_kernels import kernel_diagonal

GATES = Start("gates", 3.0, 20.0)
CELLS = {
    "tanh": Candidate("rnn", 1, 5, 2, "tanh", Start("pytorch")),
    "lstm": Candidate("lstm", 1, 5, 2, "", GATES),
    "gru": Candidate("gru", 1, 5, 2, "", GATES),
    "2rnn": Candidate("2rnn", 1, 5, 2, "linear", Start("pytorch")),
}


def as_model(name, cell):
    """The architecture with the weights of a NumPy cell; all biases in the vector that meets the inputs."""
    built = architecture(CELLS[name])
    weights = {"weight_hh": cell.recurrent[0], "weight_ih": cell.entering, "readout": cell.readout}
    if name == "2rnn":
        tensor = np.moveaxis(cell.recurrent[1:], 0, -1)
        return Model(built, weights | {"tensor": tensor, "bias": cell.biases})
    enters, meets, bias = cell.enters, cell.meets, np.where(cell.enters, cell.biases, 0)
    weights = {"weight_hh": cell.recurrent[0][meets], "weight_ih": cell.entering[enters], "readout": cell.readout}
    return Model(built, weights | {"bias_ih": bias[enters], "bias_hh": np.where(enters, 0, cell.biases)[meets]})


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_those_of_the_architectures(name):
    cell = drawn(CELLS[name], 5, np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((12, 2))
    state, outputs = np.zeros((cell.parts, 1, 5)), []
    for x in inputs:
        u = np.append(1, x) if cell.bilinear else np.ones(1)
        a = np.einsum("eij,j,e->i", cell.recurrent, state[0, 0], u) + cell.entering @ x + cell.biases
        before, (state, by_blocks, by_states) = state, cell.step(a.reshape(-1, 1, 5), state)
        outputs.append(cell.readout @ state[0, 0])
    expected = states_and_outputs(as_model(name, cell), inputs)[1]
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-14)
    for block in range(len(a) // 5):  # derivatives, one block and one part at a time, by central differences
        shift = np.eye(len(a) // 5)[block][:, None, None]
        moved = [cell.step(a.reshape(-1, 1, 5) + s * shift, before)[0] for s in (1e-6, -1e-6)]
        np.testing.assert_allclose(by_blocks[:, block], (moved[0] - moved[1]) / 2e-6, atol=1e-8)
    for part in range(cell.parts):
        steps = [before + s * np.eye(cell.parts)[part][:, None, None] for s in (1e-6, -1e-6)]
        moved = [cell.step(a.reshape(-1, 1, 5), one)[0] for one in steps]
        np.testing.assert_allclose(by_states[:, part], (moved[0] - moved[1]) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_speeds_are_squared_gradients_of_the_response(name):
    cell = drawn(CELLS[name], 5, np.random.default_rng(0))
    lags = np.array([0, 2, 5])
    found = measured(cell, lags, np.random.default_rng(7))
    inputs = np.tile(np.random.default_rng(7).standard_normal((38, 8, 2)), (1, 2, 1))
    inputs[32, :8, 0], inputs[32, 8:, 0] = 1, -1
    model = as_model(name, cell)
    with precision(np.float64):

        def responses(weights):
            run = lambda x: model.architecture.run(weights, model.architecture.start(weights), x)[1][:, 0]  # noqa: E731
            y = jax.vmap(run)(np.swapaxes(inputs, 0, 1))[:, 32 + lags]
            return (y[:8].mean(0) - y[8:].mean(0)) / 2

        gradients = jax.jacrev(responses)(model.weights)
        expected = sum(np.square(np.asarray(g)).reshape(3, -1).sum(1) for g in gradients.values())
    np.testing.assert_allclose(found.speeds, expected, rtol=1e-9)


def test_speeds_of_a_linear_cell_are_its_memory_prior():
    layer = hitherto.RNN(1, 6, 1, "linear", bias=False)
    candidate = Candidate("rnn", 1, 6, 1, "linear", Start("orthogonal", 0.9, 0.9))
    cell = drawn(candidate, 6, np.random.default_rng(3))
    weights = {"weight_hh": cell.recurrent[0], "weight_ih": cell.entering, "readout": cell.readout}
    prior = memory_prior(Model(layer, weights), 6).value
    found = measured(cell, np.arange(6), np.random.default_rng(0))
    np.testing.assert_allclose(found.speeds, prior, rtol=1e-9)  # biases add the same to both runs of a pair
    assert found.lyapunov == pytest.approx(math.log(0.9) / 2)
    assert found.norm == pytest.approx(0.9**0.5)


def test_horizon_is_where_the_gradient_has_fallen_to_a_hundredth():
    keeps = Candidate("rnn", 1, 4, 1, "linear", Start("orthogonal", 0.5, 0.5))
    found = measured(drawn(keeps, 4, np.random.default_rng(0)), np.array([0, 40]), np.random.default_rng(0))
    assert found.horizon == math.floor(math.log(0.01) / (math.log(0.5) / 2)) + 1
    slow = drawn(Candidate("rnn", 1, 4, 1, "linear", Start("orthogonal", 0.99, 0.99)), 4, np.random.default_rng(0))
    assert measured(slow, np.array([0, 40]), np.random.default_rng(0)).horizon is None


def test_gates_hold_for_the_times_that_were_asked():
    biases = gate_biases("lstm", GATES, 3)
    kept = 1 / (1 + np.exp(-biases[1]))
    np.testing.assert_allclose(1 / (1 - kept), np.geomspace(3, 20, 3))
    np.testing.assert_allclose(1 / (1 + np.exp(-biases[0])), 1 - kept)
    added = fresh(CELLS["gru"], 0).weights["bias_ih"] - hitherto.build(architecture(CELLS["gru"]), 0).weights["bias_ih"]
    np.testing.assert_allclose(added[5:10], gate_biases("gru", GATES, 5)[1], rtol=1e-5)
    assert not added[:5].any()


def test_a_course_of_one_mode_is_that_of_a_delay():
    course = Course(np.array([0.25]), np.ones(1))
    assert course.steps() == math.ceil(float(delay_steps(4.0, 1.0, residual=math.sqrt(0.1))))
    assert course.loss(3) == pytest.approx(0.75**6)
    assert Course(np.array([1.0, 0.0]), np.array([1.0, 0.5])).steps() == math.inf


def test_variances_of_fresh_responses_are_those_of_networks():
    candidate = Candidate("lru", 1, 2000, 1, "", Start("modes", 0.6, 0.9))
    model = fresh(candidate, 0)
    states = states_and_outputs(model, np.eye(8)[:, :1].astype(np.float32))[0].h
    found = np.square(states).sum(1) * np.square(model.weights["readout"]).mean()  # over readouts alone
    expected = response_variances(law(candidate), 8)
    np.testing.assert_allclose(found, expected, rtol=0.1)  # of 2,000 modes
    np.testing.assert_allclose(expected[0], (1 - 0.75) / 2, rtol=1e-9)  # E (1 - |lambda|^2) Re(c b)^2
    assert law(CELLS["lstm"]) is None


def test_parameters_are_those_of_fresh_models():
    request = Request(4, 2, parameters=400)
    for candidate in (*candidates(request), naive_gated(request)):
        shapes = jax.eval_shape(architecture(candidate).init, jax.random.key(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == candidate.parameters, candidate
        assert candidate.counted(request.cost) <= 400


def test_learning_steps_of_a_diagonal_kernel_are_those_of_gradient_descent():
    request = Request(3, 1)
    option = assessed(candidates(request)[0], request)
    kernel, noise = kernel_diagonal(law(option.candidate), 8), response_variances(law(option.candidate), 8)
    counted = np.minimum(1, (8 - np.arange(8)) / 5)
    rate = 1 / (kernel * counted).max()
    errors, steps = noise + (np.arange(8) == 3), 0
    while counted @ errors > 0.1:
        errors, steps = errors * (1 - rate * kernel * counted) ** 2, steps + 1
    assert option["learning steps"] == steps


def test_what_cannot_hold_comes_last_and_says_why():
    advice = advise(30, 4, parameters=2000)
    assert advice.best.candidate.family == "lru"
    able = [not option.obstacles for option in advice.options]
    assert able == sorted(able, reverse=True)
    assert any("cannot copy over more than" in o for o in advice.options[-1].obstacles)
    for option in advice.options:
        assert option.candidate.parameters <= 2000
        floor, reach = option.numbers["loss floor"], option["copy reach"]
        assert floor.value is None or (floor.value > 0) == (option.candidate.states < 4 * 31)
        assert bool(option.obstacles) == (reach < 30)


def test_the_front_is_not_beaten():
    advice = advise(20, 1)
    able = [o for o in advice.options if o.trusted and not o.obstacles and math.isfinite(o["learning steps"])]
    for option in advice.pareto:
        better = [o for o in able if o.candidate.parameters <= option.candidate.parameters]
        assert all(o["learning steps"] >= option["learning steps"] for o in better)
    assert {o.candidate.family for o in advice.pareto} == {"rnn", "lru"}
    assert advice.best in advice.pareto
    assert "Fewer than" in advice.changes[0]


def test_wide_rings_of_few_modes_are_not_trusted():
    request = Request(20, 1)
    disc = Candidate("lru", 1, request.width, 1, "", Start("modes", 0.0, 1.0))
    option = assessed(disc, request)
    assert not option.trusted
    assert "states are expected to live at lag 20" in option.numbers["learning steps"].condition
    assert assessed(dataclasses.replace(disc, width=2000), request).trusted


def test_answers_that_are_no_sums_exclude_linear_models():
    advice = advise(6, nonlinear=True, families=("rnn", "gru", "lru"))
    assert not advice.best.candidate.linear
    assert "at least" in advice.sentence
    assert all(option.obstacles for option in advice.options if option.candidate.linear)


def test_a_rank_asks_for_fewer_states():
    few = advise(50, 1, rank=3, families=("rnn",))
    assert few.best.candidate.states < 10
    assert few.best.numbers["loss floor"].value is None


def test_effective_cost_counts_linear_rnns_without_changes_of_basis():
    advice = advise(10, 1, parameters=60, cost="effective")
    linear = next(o for o in advice.options if o.candidate.linear and o.candidate.family == "rnn")
    assert linear.candidate.parameters > 60 >= linear.numbers["effective dimensions"].value


def test_every_number_has_a_source_and_missing_ones_a_reason():
    for option in advise(12, 2).options:
        for number in option.numbers.values():
            assert number.source
            assert number.value is not None or number.condition or number.name == "Lyapunov time"


def test_gated_cells_quote_no_theorem_of_linear_ones():
    option = next(o for o in advise(12, 1).options if o.candidate.family == "lstm")
    assert option.numbers["learning steps"].source == "measured on a draw"
    assert option.numbers["recurrent norm"].value is None
    assert not option.trusted


def test_long_lags_are_scaled_and_beyond_draws_not_measured():
    advice = advise(900, 1, families=("lru", "gru"))
    assert math.isfinite(advice.best["learning steps"])
    assert "computed at lag 200" in advice.best.numbers["learning steps"].condition
    gated = next(o for o in advice.options if o.candidate.family == "gru")
    assert "not measured" in gated.numbers["learning steps"].condition


def test_json_holds_everything():
    found = json.loads(json.dumps(advise(5, 1).to_dict()))
    assert found["options"][0]["candidate"]["start"]["law"] == "orthogonal"
    assert found["request"]["lag"] == 5


def test_page_is_self_contained_and_the_same_again():
    advice = advise(5, 1)
    page = advice_page(advice)
    assert page == advice_page(advice)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert advice.sentence.split(":")[0] in page
    assert "steps of gradient descent to learn the lag" in page


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (math.inf, "never"), (3, "3"), (0.12345, "0.123"), (2.5e9, "2.5e+09")]
)
def test_numbers_as_printed(value, shown):
    assert str(Number("learning steps", value, "steps", "counted")) == shown


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (dict(lag=0), "lag=0"),
        (dict(lag=3, channels=-1), "channels=-1"),
        (dict(lag=3, families=("elman",)), "no family 'elman'"),
        (dict(lag=3, families=()), "about no family"),
        (dict(lag=3, cost="cheap"), "no cost 'cheap'"),
    ],
)
def test_refusals(wishes, told):
    with pytest.raises(ValueError, match=told):
        Request(**wishes)


def test_draws_of_covered_families_are_refused():
    with pytest.raises(ValueError, match="a draw of 'lru' was asked for"):
        draw(Candidate("lru", 1, 4, 1, "", Start("modes")), 3)


def test_deep_candidates_train_every_recurrent_matrix_slower():
    deep = Candidate("rnn", 3, 16, 1, "linear", Start("orthogonal", 0.9, 0.9), recurrent_rate=0.5)
    assert training(deep, 10).learning_rate_factors == (("*weight_hh", 0.5),)
    assert architecture(deep).layers[2].readout_size == 1


def test_the_recommendation_learns_a_short_lag():
    advice = advise(3, 1, families=("rnn",))
    found = recall(Case(candidate=advice.best.candidate, lag=3, steps=150, seed=0))
    assert found.value > 0.9
    assert found.low < found.value < found.high


def stub(case):
    """Recall as if it had been trained: naive rules forget."""
    value = 0.2 if case.candidate.naive else 1 - 0.001 * case.lag
    return Estimate(HELD_OUT_R2, value, 0.01, value - 0.02, value + 0.02)


def test_verification_sets_measured_recall_beside_predictions(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "RECALL", Measurement("advice.stub", "recall", stub))
    advice = advise(8, 1)
    found = verify_advice(advice, tmp_path)
    rules = {row.option.candidate for row in found.rows if row.option.candidate.naive}
    assert rules == {naive(advice.request), naive_gated(advice.request)}
    assert [row.lag for row in found.rows] == [2, 4, 8] * 4
    assert found.rows[0].option.candidate == advice.best.candidate
    assert all(row.reached != row.option.candidate.naive for row in found.rows)
    assert (found.pairs, found.agreeing, found.tied, found.held) == (6, 4, 2, True)
    again = verify_advice(advice, tmp_path, map_jobs=lambda jobs: iter([pytest.fail(str(job)) for job in jobs]))
    assert [row.measured.value for row in again.rows] == [row.measured.value for row in found.rows]


def test_a_ranking_that_does_not_hold_is_told(tmp_path, monkeypatch):
    upside_down = Measurement("advice.stub", "recall", lambda case: stub(case) if case.candidate.naive else _nothing())
    monkeypatch.setattr(verification, "RECALL", upside_down)
    found = verify_advice(advise(1, 1, families=("rnn",)), tmp_path)
    assert (found.pairs, found.agreeing, found.tied, found.held) == (6, 0, 2, False)


def test_a_ranking_without_differences_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "RECALL", Measurement("advice.stub", "recall", lambda case: _nothing()))
    found = verify_advice(advise(1, 1, families=("rnn",)), tmp_path)
    assert (found.pairs, found.agreeing, found.tied, found.held) == (6, 0, 6, False)


@pytest.mark.parametrize(("wishes", "needs"), [(dict(rank=3), "3 states"), (dict(nonlinear=True), "products")])
def test_no_delay_is_trained_where_other_memory_is_asked(wishes, needs, tmp_path):
    with pytest.raises(ValueError, match=f"answers that need {needs}, and it trains delays, which need 51 states"):
        verify_advice(advise(50, 1, **wishes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_recall_of_a_delay_is_not_promised_of_fewer_states():
    best = advise(50, 1, rank=3, families=("rnn",)).best
    assert best.numbers["predicted recall"].value is None
    assert best.numbers["learning steps"].condition.endswith("of the lag alone, as in a delay")


def test_what_was_not_measured_is_not_said_to_be_unlearnable():
    assert advise(300, 1, families=("lstm",)).sentence.endswith("whose learning was not measured.")


def test_of_what_falls_short_the_farthest_is_named():
    advice = advise(30, 4, parameters=500)
    within = [option["copy reach"] for option in advice.options if option.price <= 500]
    assert f"cannot copy over more than {max(within):.0f} steps" in advice.sentence


def test_effective_prices_stand_against_an_effective_budget():
    advice = advise(10, 1, parameters=60, cost="effective", families=("rnn",))
    assert all(option.price <= 60 for option in advice.options if not option.obstacles)
    assert any(option.candidate.parameters > 60 for option in advice.options if not option.obstacles)
    marked = pareto_figure(advice).axes[0].lines
    assert {float(line.get_xdata()[0]) for line in marked} >= {float(option.price) for option in advice.pareto}
    assert "effective parameters" in advice.sentence


def _nothing():
    return Estimate(HELD_OUT_R2, 0.0, 0.01, -0.02, 0.02)


def test_trainings_that_fail_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "RECALL", Measurement("advice.stub", "recall", lambda case: 1 / 0))
    with pytest.raises(ValueError, match="a training of the advice failed: ZeroDivisionError"):
        verify_advice(advise(1, 1, families=("rnn",)), tmp_path)
