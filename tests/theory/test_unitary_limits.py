"""Near and parked twins, copies, what slopes forbid, and the verdict that puts them together."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unitary_cases import (
    CASES,
    drawn_network,
    exact_network,
    fractions,
    network,
    outputs,
    parts,
    rotation,
    states,
    twin,
)

from hitherto.theory.unitary import dilate
from hitherto.theory.unitary_activations import activation
from hitherto.theory.unitary_digits import outputs_in_digits
from hitherto.theory.unitary_exact import as_fractions, dilate_exactly
from hitherto.theory.unitary_limits import finite_witness, fixed_point, impulse_response, visible_modes
from hitherto.theory.unitary_network import Network, ball, scaled_matrix
from hitherto.theory.unitary_parking import parked_bias, state_limit
from hitherto.theory.unitary_scaling import copies_for
from hitherto.theory.unitary_twin import (
    copy_matrix,
    duplicated,
    duplicated_network,
    invariant_weights,
    orthogonal_copies,
)
from hitherto.theory.unitary_verdict import verdict

SEEDS = st.integers(0, 2**32 - 1)
SMOOTH = ["sigmoid", "tanh", "softplus", "elu", "elu(2)", "gelu", "silu"]
POINTWISE = [
    *SMOOTH,
    "relu",
    "leaky_relu(0.2)",
    "linear",
    "abs",
    "hard_tanh",
    "relu6",
    "hard_sigmoid",
    "soft_shrink(1)",
]
UNIT_BALL = ball(1, 1.0)


def small(weight_hh, weight_ih=None, readout=None, bias=None, initial=None) -> Network:
    """One input and one output unless said otherwise."""
    w = np.array(weight_hh, float)
    n = len(w)
    given = (weight_ih, np.ones((n, 1))), (bias, np.zeros(n)), (readout, np.ones((1, n))), (initial, np.zeros(n))
    return Network(w, *(default if value is None else np.array(value, float) for value, default in given))


@pytest.mark.parametrize("name", POINTWISE)
def test_facts_on_activations(name):
    phi, z = activation(name), np.linspace(-20, 20, 200_001)
    values = phi.apply(z)
    slopes = np.diff(values) / np.diff(z)
    assert np.abs(slopes).max() <= phi.lipschitz * (1 + 1e-9)
    assert np.abs(slopes).max() >= phi.lipschitz * 0.9999
    assert np.abs(slopes).min() >= phi.least_slope * (1 - 1e-9)
    between = (z[1:] + z[:-1]) / 2
    smooth = np.abs(np.diff(slopes, prepend=slopes[0], append=slopes[-1])[1:]) < 1e-3
    np.testing.assert_allclose(phi.slope(between)[smooth], slopes[smooth], atol=1e-3)
    assert np.abs(values).max() <= phi.limit
    if phi.homogeneous:
        np.testing.assert_allclose(phi.apply(3 * z), 3 * values)
    for far in (0.3, 1e-3, 1e-9) if phi.level else ():
        level = phi.level(far)
        below = level - np.concatenate([[0.0], np.geomspace(1e-9, 50, 2000)])
        assert np.abs(phi.apply(below) - phi.rest).max() <= far * (1 + 1e-6)
        if not phi.flat and level < -1.3:
            assert abs(phi.apply(np.array([level + 0.01]))[0] - phi.rest) > far
    assert phi.flat == (name in ("relu", "hard_tanh", "relu6", "hard_sigmoid"))


def test_levels_are_sharp_and_exact_where_tanh_rounds():
    assert activation("tanh").level(1e-30) == pytest.approx(-np.log(2e30) / 2)
    assert activation("sigmoid").level(1e-30) == pytest.approx(np.log(1e-30))
    assert activation("hard_sigmoid(0.16666666666666666,0.5)").level(0.0) == pytest.approx(-3)
    assert activation("hard_sigmoid").level(0.0) == -2.5
    for wrong in ("hard_sigmoid(1)", "leaky_relu(-1)", "tanh(2)"):
        with pytest.raises(ValueError, match="positive parameters"):
            activation(wrong)
    with pytest.raises(ValueError, match="there is no activation with known facts 'tan'; there is tanh"):
        activation("tan")


def test_hard_tanh_exactly():
    case = CASES["O20_hardtanh"]
    own = exact_network("O20_hardtanh")
    x, y = fractions(case["inputs"]["x"]), fractions(case["expected"]["y"])
    orthogonal = dilate_exactly(own[0])
    found = dilate(own[0].astype(float))
    phi = activation("hard_tanh")
    parked = parked_bias(found, phi, state_limit(network("O20_hardtanh"), phi))
    shift = orthogonal[:2, 2:].sum(1)
    bias = -1 - np.abs(orthogonal[2:, :2]).sum(1) + orthogonal[2:, 2:].sum(1)
    larger = twin(own, orthogonal, bias, shift, -1)

    def clipped(z):
        return np.minimum(np.maximum(z, -1), 1)

    assert (outputs(own, x, clipped) == y).all()
    assert (outputs(larger, x, clipped) == y).all()
    assert (states(larger, x, clipped)[:, 2:] == -1).all()
    assert parked.start == -1
    assert parked.spread == 0
    in_floats = twin(parts(network("O20_hardtanh")), found.weight_hh, parked.bias, parked.shift, parked.start)
    np.testing.assert_allclose(outputs(in_floats, x.astype(float), phi.apply), y.astype(float), atol=1e-13)
    choice = fractions(case["expected"]["W_u_one_valid_choice"])
    assert (choice[:2, 2:].sum(1) + own[2] == fractions(case["expected"]["b_u_one_valid_choice"])[:2]).all()


@pytest.mark.parametrize("name", ["hard_tanh", "relu6", "hard_sigmoid", "hard_sigmoid(0.16666666666666666,0.5)"])
def test_parked_units_leave_the_map(name):
    rng, phi = np.random.default_rng(5), activation(name)
    own = drawn_network(rng, 4, norm=0.95)
    own = Network(*parts(own)[:4], 10 * own.initial)
    dilation = dilate(own.weight_hh)
    parked = parked_bias(dilation, phi, state_limit(own, phi))
    larger = twin(parts(own), dilation.weight_hh, parked.bias, parked.shift, parked.start)
    x = 300 * rng.normal(size=(60, 2))
    np.testing.assert_allclose(states(larger, x, phi.apply)[:, 4:], phi.rest, atol=1e-15)
    np.testing.assert_allclose(outputs(larger, x, phi.apply), outputs(parts(own), x, phi.apply), atol=1e-12)
    raised = twin(parts(own), dilation.weight_hh, parked.bias + 30, parked.shift, parked.start)
    assert np.abs(outputs(raised, x, phi.apply) - outputs(parts(own), x, phi.apply)).max() > 1e-3


@pytest.mark.parametrize("epsilon", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("name", SMOOTH)
def test_near_twins_are_as_near_as_asked(name, epsilon):
    rng, phi = np.random.default_rng(6), activation(name)
    own = drawn_network(rng, 3, norm=0.85 / phi.lipschitz if phi.lipschitz > 1 else 0.9)
    x = rng.normal(size=(100, 2))
    x /= np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True))
    met = states(parts(own), x, phi.apply)
    limit = np.maximum(np.abs(met).max(0), np.abs(own.initial))
    known = state_limit(own, phi, ball(2, 1.0))
    assert (limit <= known).all()
    dilation, gaps = dilate(own.weight_hh), []
    for bound in (limit, known):
        parked = parked_bias(dilation, phi, bound, epsilon)
        larger = twin(parts(own), dilation.weight_hh, parked.bias, parked.shift, parked.start)
        found = states(larger, x, phi.apply)
        gaps.append(np.linalg.norm(found[:, :3] - met, axis=1).max())
        assert np.abs(found[:, 3:] - phi.rest).max() <= parked.spread * (1 + 1e-6)
    assert max(gaps) <= epsilon
    assert gaps[0] > 1e-4 * epsilon


def test_the_bias_of_near_twins_grows_as_the_logarithm():
    own, phi = network("O2_rational_n2"), activation("tanh")
    dilation, limit = dilate(own.weight_hh), state_limit(own, phi)
    steps = np.diff([parked_bias(dilation, phi, limit, 10.0**-power).bias for power in range(6, 12)], axis=0)
    np.testing.assert_allclose(steps, -np.log(10) / 2, rtol=1e-3)


def test_parking_is_refused():
    own, inputs = network("O2_rational_n2"), ball(2, 1.0)
    dilation = dilate(own.weight_hh)
    for name in ("leaky_relu(0.2)", "abs", "linear"):
        with pytest.raises(ValueError, match="cannot be parked"):
            parked_bias(dilation, activation(name), np.ones(2))
    with pytest.raises(ValueError, match="an exact twin was asked for"):
        parked_bias(dilation, activation("tanh"), np.ones(2))
    with pytest.raises(ValueError, match="nothing bounds the states of softplus units"):
        state_limit(own, activation("softplus"))
    gelu, near_1 = activation("gelu"), Network(0.95 * rotation(np.random.default_rng(0), 2), *parts(own)[1:])
    with pytest.raises(ValueError, match="needs slopes times norm below 1"):
        parked_bias(dilate(near_1.weight_hh), gelu, np.ones(2), 1e-3)
    with pytest.raises(ValueError, match="bounded for ever"):
        state_limit(near_1, gelu, inputs)
    assert np.isfinite(state_limit(near_1, gelu, inputs, 9)).all()
    orthogonal = dilate(rotation(np.random.default_rng(0), 2))
    assert parked_bias(orthogonal, activation("tanh"), np.ones(2)).bias.shape == (0,)


@pytest.mark.parametrize("name", ["logistic", "softplus", "relu"])
def test_errors_beyond_double_precision(name):
    case = CASES["O14_smooth_dilation_error"]
    own = tuple(fractions(case["inputs"][key]) for key in ("W", "F", "b", "C", "h_init"))
    x, expected = fractions(case["inputs"]["x"])[:, None], case["expected"][name]
    phi = {"logistic": "sigmoid"}.get(name, name)
    y = outputs_in_digits(own, x, phi)[:, 0]
    assert all(abs(found - Decimal(known)) < Decimal("1e-24") for found, known in zip(y, expected["y"], strict=True))
    for bias in (0, -5, -20, -40, -80):
        larger = twin(own, fractions(case["inputs"]["W_u"]), bias)
        error = max(abs(outputs_in_digits(larger, x, phi)[:, 0] - y))
        known = Decimal(expected[f"max_abs_error_bias_{bias}"])
        assert abs(error - known) <= Decimal("1e-18") * known
        in_floats = [
            outputs(tuple(p.astype(float) for p in one), x.astype(float), activation(phi).apply)
            for one in (own, larger)
        ]
        assert (bias > -40) or (in_floats[0] == in_floats[1]).all()  # and yet no twin


def test_other_functions_in_digits():
    rng = np.random.default_rng(0)
    own, x = drawn_network(rng, 3), rng.normal(size=(5, 2))
    for name in ("tanh", "elu"):
        found = outputs_in_digits(parts(own), x, name, 30).astype(float)
        np.testing.assert_allclose(found, outputs(parts(own), x, activation(name).apply), atol=1e-14)
    with pytest.raises(ValueError, match="activation in digits"):
        outputs_in_digits(parts(own), x, "gelu")


def test_copies_exactly():
    case = CASES["O13_tanh_equivalent"]
    w = fractions(case["inputs"]["W"])
    copies = orthogonal_copies(w)
    assert copies.tolist() == orthogonal_copies(w.astype(float)).tolist() == case["inputs"]["multiplicities"]
    found = duplicated(w, copies)
    assert (found == fractions(case["expected"]["W_u_one_valid_choice"])).all()
    assert (found.T @ found == np.eye(5, dtype=int)).all()
    q = copy_matrix(copies)
    assert (found @ q == q @ w).all()
    assert np.linalg.norm(w.astype(float), 2) == pytest.approx(case["expected"]["norm_W"])


@given(SEEDS, st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=30)
def test_copies_are_found_and_leave_the_map(seed, copies):
    rng, copies = np.random.default_rng(seed), np.array(copies)
    w = scaled_matrix(rotation(rng, len(copies)), copies**0.5)
    np.testing.assert_allclose(w.T @ np.diag(copies) @ w, np.diag(copies), atol=1e-12)
    found = orthogonal_copies(w)
    assert (found * copies[0] == copies * found[0]).all()
    own = Network(w, *parts(drawn_network(rng, len(copies)))[1:])
    larger, x = duplicated_network(own, found), rng.normal(size=(20, 2))
    np.testing.assert_allclose(larger.weight_hh.T @ larger.weight_hh, np.eye(len(larger.weight_hh)), atol=1e-12)
    for phi in (np.tanh, np.sin):
        np.testing.assert_allclose(outputs(parts(larger), x, phi), outputs(parts(own), x, phi), atol=1e-12)


def test_copies_of_blocks_have_their_own_scales():
    w = fractions(CASES["O13_tanh_equivalent"]["inputs"]["W"])
    both = np.block([[w, 0 * w], [0 * w, w[::-1, ::-1]]])
    assert orthogonal_copies(both).tolist() == [1, 4, 4, 1]
    coupled = both.copy()
    coupled[0, 3] = 1
    assert orthogonal_copies(coupled) is None
    irrational = scaled_matrix(rotation(np.random.default_rng(0), 2), np.array([1.0, 2**0.25]))
    np.testing.assert_allclose(invariant_weights(irrational), [1, 2**0.5])
    assert orthogonal_copies(irrational) is None
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        copy_matrix(np.array([1, 0]))


def test_copies_rescale_any_activation():
    w = np.array([[0.5, 2.0], [0.1, -0.4]])
    copies = copies_for(w, 20)
    own = Network(w, *parts(network("O2_rational_n2"))[1:])
    larger = duplicated_network(own, copies)
    values = np.linalg.svd(larger.weight_hh, compute_uv=False)
    np.testing.assert_allclose(np.sort(values)[: len(w)], np.sort(np.linalg.svd(scaled_matrix(w, copies**-0.5))[1]))
    np.testing.assert_allclose(np.sort(values)[len(w) :], 1)
    dilation = dilate(larger.weight_hh)
    assert len(dilation.weight_hh) == copies.sum() + 2 == verdict(own, "hard_tanh").states


def test_zero_mode_exactly():
    case = CASES["O15_zero_mode_certificate"]
    given, expected = case["inputs"], case["expected"]
    own = small(given["W"], given["F"], given["C"], given["b"])
    phi, x = activation("sigmoid"), np.array(given["x_bar"])
    h = fixed_point(own, phi, x)
    np.testing.assert_allclose(h, expected["fixed_point"], atol=1e-14)
    slopes = phi.jacobian(own.weight_hh @ h + own.weight_ih @ x + own.bias)
    np.testing.assert_allclose(np.diag(slopes), expected["slopes"], atol=1e-14)
    response = impulse_response(own, slopes, len(expected["markov"]))
    np.testing.assert_allclose(response.ravel(), expected["markov"], rtol=1e-12, atol=1e-17)
    modes = visible_modes(response)
    assert (modes.rank_now, modes.rank_next) == (expected["rank_H0"], expected["rank_H1"])
    assert modes.zero_mode
    for found, known in ((modes.now, expected["sv_H0"]), (modes.next, expected["sv_H1"])):
        large = np.array(known) > 1e-15
        np.testing.assert_allclose(found[large], np.array(known)[large], rtol=1e-10)
    assert verdict(own, "sigmoid", exact=True).outcome == "impossible"


@pytest.mark.parametrize("rank", range(4))
def test_ranks_follow_the_rank_of_the_matrix(rank):
    rng = np.random.default_rng(rank)
    w = rng.normal(size=(3, rank)) @ rng.normal(size=(rank, 3))
    own = small(w, rng.normal(size=(3, 1)), rng.normal(size=(1, 3)), rng.normal(size=3))
    modes = visible_modes(impulse_response(own, np.diag([0.2, 0.25, 0.15]), 6))
    assert (modes.rank_now, modes.rank_next) == (min(rank + 1, 3), rank)
    assert modes.zero_mode == (rank < 3)


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=40)
def test_visible_poles_are_eigenvalues(seed, width):
    rng = np.random.default_rng(seed)
    own = drawn_network(rng, width, inputs=1)
    modes = visible_modes(impulse_response(own, np.eye(width), 2 * width))
    truth = np.linalg.eigvals(own.weight_hh)
    assert not modes.zero_mode or np.abs(truth).min() < 1e-4 * np.abs(truth).max()
    if modes.rank_now == width and modes.clear:
        assert all(np.abs(truth - pole).min() < 1e-4 for pole in modes.poles)


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=40)
def test_poles_of_orthogonal_networks_lie_between_the_slopes(seed, width):
    rng = np.random.default_rng(seed)
    slopes = rng.choice([0.2, 1.0], width)
    size = np.abs(np.linalg.eigvals(np.diag(slopes) @ rotation(rng, width)))
    assert size.min() >= slopes.min() - 1e-12
    assert size.max() <= slopes.max() + 1e-12


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=60)
def test_finite_witness(seed, width):
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(0.05, 1, width)
    own = Network(rotation(rng, width), *parts(drawn_network(rng, width, inputs=1))[1:])
    own = Network(own.weight_hh, own.weight_ih, own.bias, own.readout[:1], own.initial)
    response = np.abs(impulse_response(own, np.diag(slopes), width + 1).ravel())
    bound = finite_witness(slopes, response[0])
    assert response[1:].max() >= bound * (1 - 1e-9)
    if width == 1:
        assert response[1] == pytest.approx(bound)


def test_witness_needs_slopes():
    with pytest.raises(ValueError, match="slopes above 0"):
        finite_witness(np.array([0.1, 0.0]), 1.0)
    with pytest.raises(ValueError, match="even number"):
        visible_modes(np.ones((3, 1, 1)))


def test_fixed_points():
    own = small([[0.5]])
    assert fixed_point(own, activation("linear"), np.array([1.0]))[0] == pytest.approx(2)
    assert fixed_point(small([[1.5]]), activation("relu"), np.array([1.0])) is None
    assert fixed_point(small([[-1.0]]), activation("relu"), np.array([0.5])) is None
    assert impulse_response(own, np.eye(1), 3).ravel().tolist() == [1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("case", "name", "theorem"),
    [
        ("O16_leaky_certificate", "leaky_relu(0.2)", "slope floor (generic)"),
        ("O17_abs_and_identity", "abs", "slope floor (generic)"),
        ("O17_abs_and_identity", "linear", "slope floor (generic)"),
        ("O17_abs_and_identity", "group_sort", "slope floor (generic)"),
    ],
)
def test_impossible(case, name, theorem):
    given = CASES[case]["inputs"]
    own = small(given["W"], given["F"], given["C"])
    for inputs in (None, UNIT_BALL):
        found = verdict(own, name, inputs)
        assert (found.outcome, found.theorem, found.states) == ("impossible", theorem, None)
        assert verdict(own, name, inputs, 5).outcome == ("exact" if name == "linear" else "undecided")
    poles = CASES[case]["expected"]
    shown = visible_modes(impulse_response(own, activation(name).jacobian(-np.ones(1)), 2))
    assert np.abs(shown.poles) == pytest.approx([poles.get("pole_all_negative_region", poles.get("visible_pole"))])


def test_linear_networks_over_finitely_many_steps():
    found = verdict(small([[0.5]]), "linear", horizon=5)
    assert (found.outcome, found.theorem, found.states) == ("exact", "power dilation", 6)
    assert verdict(small([[1.2]]), "linear").theorem == "slope ceiling"


@pytest.mark.parametrize(
    ("weight_hh", "outcome", "states"),
    [
        ([[0.5]], "exact", 2),
        ([[0.6, -0.8], [0.8, 0.6]], "exact", 2),
        ([[0.6, -0.3], [-0.2, 0.5]], "exact", 4),
        ([[0.45, 0.45], [0.45, 0.45]], "exact on bounded inputs", 4),
        ([[0.9, 5], [0, 0.9]], "exact on bounded inputs", 4),
        ([[0.5, 2.0], [0.1, -0.4]], "exact", 4),
        ([[0.6, 0.6], [-0.6, -0.6]], "undecided", None),
        ([[0, -1.1], [1.1, 0]], "impossible", None),
        ([[1.2]], "impossible", None),
    ],
)
def test_relu_verdicts(weight_hh, outcome, states):
    n = len(weight_hh)
    own = small(weight_hh, np.eye(n), np.eye(n))
    found = verdict(own, "relu", ball(n, 1.0))
    assert (found.outcome, found.states) == (outcome, states)
    without = verdict(own, "relu").outcome
    assert without == ("undecided" if outcome == "exact on bounded inputs" else outcome)
    if outcome == "impossible":
        assert verdict(own, "relu", ball(n, 1.0), horizon=9).outcome == "undecided"


def test_a_norm_of_1_needs_a_horizon():
    w = np.array([[1.0, 0.0, 0.0], [0.0, 0.45, 0.45], [0.0, 0.45, 0.45]])
    own = small(w, np.eye(3), np.eye(3))
    assert "horizon" in verdict(own, "relu", ball(3, 1.0)).reason
    found = verdict(own, "relu", ball(3, 1.0), 20)
    assert (found.outcome, found.states) == ("exact on bounded inputs", 5)


def test_growth_must_be_reached():
    """The growing mode lies where units are off, or inputs are too small to get there, or nobody reads it."""
    grows = [[0.5, 0.0], [0.0, 1.2]]
    drive, start = [[1], [-1]], [1, 1]
    assert verdict(small(grows, drive, [[1, 1]], None, start), "relu").outcome == "impossible"
    assert verdict(small(grows, drive, [[1, 1]], None, start), "relu", UNIT_BALL).outcome == "impossible"
    assert verdict(small(grows, drive, [[1, 0]], None, start), "relu").outcome == "exact"
    assert verdict(small(grows, [[1], [0]], [[1, 1]], [0, -1]), "relu").outcome == "undecided"
    assert verdict(small(grows, drive, [[1, 1]], [-3, -3], start), "relu", UNIT_BALL).outcome == "undecided"


def test_smooth_verdicts():
    own = network("O2_rational_n2")
    for name in ("tanh", "sigmoid"):
        assert (verdict(own, name).outcome, verdict(own, name).states) == ("epsilon", 4)
        assert verdict(own, name, exact=True).theorem == "identifiability (generic)"
        assert verdict(own, name, horizon=9, exact=True).outcome == "undecided"
    copied = small(fractions(CASES["O13_tanh_equivalent"]["inputs"]["W"]), [[1], [2]])
    for name in ("tanh", "sigmoid", "gelu", "relu"):
        assert (verdict(copied, name, exact=True).outcome, verdict(copied, name).states) == ("exact", 5)
    low_rank = small(np.outer([0.4, 0.3], [0.5, -0.2]), [[1], [2]])
    for name in SMOOTH[2:]:
        assert verdict(low_rank, name, exact=True).theorem == "zero mode"
        assert verdict(low_rank, name).outcome == "impossible"  # no bound on the inputs
        assert verdict(low_rank, name, UNIT_BALL).outcome == "epsilon"
        assert verdict(own, name, exact=True).outcome == "undecided"
    equal_rows = small([[0.3, 0.1], [0.2, 0.4]], [[1], [-1]])
    assert verdict(equal_rows, "tanh", exact=True).outcome == "undecided"
    irrational = scaled_matrix(rotation(np.random.default_rng(0), 2), np.array([1.0, 2**0.25]))
    assert "ratios" in verdict(small(irrational, [[1], [2]]), "tanh", exact=True).reason


def test_a_slope_ceiling():
    """A stable logistic fixed point with an eigenvalue of 0.6; orthogonal logistic networks have none above 1/4."""
    own = small([[3.0]])
    assert verdict(own, "sigmoid", exact=True).outcome == "impossible"
    equal_rows = small([[3.0, 0.0], [0.0, 2.9]], [[1], [1]])
    assert verdict(equal_rows, "sigmoid", exact=True).theorem == "slope ceiling"


def test_other_verdicts():
    own = network("O2_rational_n2")
    for name in ("hard_tanh", "relu6", "hard_sigmoid"):
        assert (verdict(own, name).outcome, verdict(own, name).states) == ("exact", 4)
    wide = Network(3 * own.weight_hh, *parts(own)[1:])
    assert verdict(wide, "hard_tanh").outcome == "undecided"
    assert verdict(wide, "soft_shrink(2)").outcome == "undecided"
    one = small([[0.5]])
    assert verdict(one, "soft_shrink(2)", UNIT_BALL).outcome == "exact on bounded inputs"
    assert verdict(one, "soft_shrink(1)", UNIT_BALL).outcome == "undecided"
    assert verdict(one, "modrelu", UNIT_BALL).outcome == "exact on bounded inputs"
    assert verdict(one, "modrelu").outcome == "undecided"
    assert verdict(small([[1.0]]), "modrelu").outcome == "exact"
    assert verdict(small([[2.0]]), "modrelu", UNIT_BALL).outcome == "undecided"
    unread = small([[1.7]], readout=[[0.0]])
    assert (verdict(unread, "tanh").outcome, verdict(unread, "tanh").states) == ("exact", 0)


def test_complex_weights_need_a_complex_activation():
    own = Network(np.eye(1) * 0.5j, np.ones((1, 1)) + 0j, np.zeros(1), np.ones((1, 1)) + 0j, np.zeros(1))
    assert verdict(own, "modrelu", UNIT_BALL).states == 2
    with pytest.raises(ValueError, match=r"weight_hh of the shape .* is complex"):
        verdict(own, "relu", UNIT_BALL)


def test_exact_fractions_of_floats():
    assert (as_fractions(np.array([0.5, 0.1])).astype(float) == [0.5, 0.1]).all()
