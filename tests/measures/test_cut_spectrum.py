"""The spectrum of a cut against exact values, slow loops, symmetries, and the truth behind random samples."""

import json
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import oracle
from models import covered, linear, named, no_interval, random_model

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, OneHot
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.outside.live import adapt
from hitherto.architectures.rnn import RNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Bidirectional, Deep, Untied
from hitherto.core.model import Model, build, states_and_outputs
from hitherto.inputs import one_hot
from hitherto.measures.cut_spectrum import cut_profile, matrix_spectrum, separation_spectrum

TRUTH = oracle("start_end")
NAMES = {
    "cut_spectrum": "singular_values_of_Y_over_sqrt_size",
    "cut_entropy": "entropy_nats",
    "cut_effective_rank": "effective_rank_exp_entropy",
    "cut_participation_ratio": "participation_ratio",
    "cut_stable_rank": "stable_rank",
    "distance_from_separable": "distance_from_separable",
    "interaction_share": "interaction_fraction",
}
SCALARS = tuple(NAMES)[1:]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_oracle(estimates, case):
    found = named(estimates)
    assert list(found) == list(NAMES)
    for name, key in NAMES.items():
        np.testing.assert_allclose(found[name].value, case[key], rtol=1e-10, atol=1e-12, err_msg=name)


def assert_same(estimates, others, but=(), rtol=1e-9):
    """Values and errors agree; the latter to the resolution of the Gram matrix they come from."""
    for one, other in zip(estimates, others, strict=True):
        if one.quantity.name not in but:
            scale = max(1e-12, np.abs(np.max(other.value)))
            np.testing.assert_allclose(one.value, other.value, rtol=rtol, atol=1e-12)
            np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=1e-5, atol=1e-7 * scale)


class TestMatrixSpectrum:
    @pytest.mark.parametrize("case", ["spectral_matrix", "spectral_additive", "spectral_rank1", "spectral_identity5"])
    def test_exact_values(self, case):
        assert_oracle(matrix_spectrum(np.array(TRUTH[case]["Y"], float)), TRUTH[case])

    def test_whole_numbers(self):
        case = TRUTH["spectral_additive"]
        assert_oracle(matrix_spectrum(np.array(case["Y"], int)), case)

    @pytest.mark.parametrize("scale", [-3.0, 1e-200, 1e200])
    def test_scaling_changes_the_spectrum_alone(self, scale):
        outputs = noise(30, 20) @ np.diag(0.5 ** np.arange(20.0)) @ noise(20, 25, seed=1)
        one, other = matrix_spectrum(outputs), matrix_spectrum(scale * outputs)
        assert_same(other, one, but=("cut_spectrum",))
        for field in ("value", "standard_error", "high"):
            found, truth = getattr(other[0], field) / abs(scale), getattr(one[0], field)
            np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-7)

    def test_order_of_starts_and_ends_does_not_matter(self):
        outputs, rng = noise(30, 25), np.random.default_rng(1)
        one, other = matrix_spectrum(outputs), matrix_spectrum(rng.permutation(rng.permutation(outputs, 0), 1))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=1e-10)

    def test_starts_and_ends_may_change_places(self):
        assert_same(matrix_spectrum(noise(40, 25).T), matrix_spectrum(noise(40, 25)))

    def test_long_sides_are_no_different(self):
        wide = noise(12, 400) * 0.3 ** np.arange(12.0)[:, None]
        truth = np.linalg.svd(wide, compute_uv=False) / np.sqrt(wide.size)
        for outputs in (wide, wide.T):
            np.testing.assert_allclose(matrix_spectrum(outputs)[0].value, truth, rtol=1e-9)

    def test_columns_of_several_outputs_are_pairs(self):
        outputs = noise(12, 9, 3)
        joint, flat = named(matrix_spectrum(outputs)), named(matrix_spectrum(outputs.reshape(12, 27)))
        for name in SCALARS[:-1]:
            assert joint[name].value == pytest.approx(flat[name].value, rel=1e-12)
        np.testing.assert_allclose(joint["cut_spectrum"].value, flat["cut_spectrum"].value * 3**0.5, rtol=1e-10)

    def test_sums_of_several_outputs_do_not_interact(self):
        found = named(matrix_spectrum(noise(12, 1, 3) + noise(1, 9, 3, seed=1)))["interaction_share"]
        assert found.value < 1e-12
        assert found.statistics["additive"]
        assert not named(matrix_spectrum(noise(12, 9)))["interaction_share"].statistics["additive"]

    def test_nearly_one_product_is_not_lost_in_rounding(self):
        one, other = np.outer(noise(20), noise(15, seed=1)), np.outer(noise(20, seed=2), noise(15, seed=3))
        distances = [named(matrix_spectrum(one + e * other))["distance_from_separable"].value for e in (1e-10, 1e-11)]
        assert distances[0] / distances[1] == pytest.approx(10, rel=1e-3)

    def test_errors_are_those_of_leaving_groups_out(self):
        """Variance and squared bias of a jackknife made of whole spectra, over starts and over ends."""
        outputs = np.einsum("ak,bck->abc", noise(23, 4), noise(17, 3, 4, seed=1) * 0.6 ** np.arange(4))
        square = 0.0
        value = lambda y: np.array([e.value for e in matrix_spectrum(y)[1:]])  # noqa: E731
        for axis, count in enumerate(outputs.shape[:2]):
            group = np.arange(count) * 10 // count
            without = np.array([value(np.compress(group != g, outputs, axis)) for g in range(10)])
            square = square + 0.9 * ((without - without.mean(0)) ** 2).sum(0)
            bias = 9 * (without.mean(0) - value(outputs)) + (bias if axis else 0.0)
        found = [e.standard_error for e in matrix_spectrum(outputs)[1:]]
        np.testing.assert_allclose(found, np.sqrt(square + bias**2), rtol=1e-7)

    def test_zero_function(self):
        estimates = matrix_spectrum(np.zeros((9, 8)))
        np.testing.assert_array_equal(estimates[0].value, np.zeros(8))
        for estimate in estimates[1:]:
            assert estimate.value == 0
            assert "zero function" in estimate.cannot_tell
            assert no_interval(estimate)
        assert "nan" not in json.dumps([e.to_dict() for e in estimates]).lower()

    def test_one_pair_that_is_not_zero(self):
        outputs = np.zeros((20, 20))
        outputs[0, 0] = 2.0
        found = named(matrix_spectrum(outputs))
        assert found["cut_entropy"].value == 0
        assert found["cut_spectrum"].value[0] == pytest.approx(0.1)
        assert "carry the mean square" in found["cut_entropy"].cannot_tell

    def test_few_starts_give_no_interval(self):
        for outputs in (noise(7, 40), noise(40, 7)):
            for estimate in matrix_spectrum(outputs):
                assert "fewer than 8" in estimate.cannot_tell
                assert no_interval(estimate)
        assert matrix_spectrum(np.outer(noise(8), noise(40)))[1].high is not None

    def test_rare_large_starts_are_seen(self):
        outputs = noise(60, 60)
        outputs[:3] *= 1e3
        for estimate in matrix_spectrum(outputs):
            assert "starts carry the mean square" in estimate.cannot_tell
            assert no_interval(estimate)

    def test_more_products_than_starts_are_seen(self):
        """Independent outputs have as many products as there are starts: 64 of them do not tell how many."""
        found = named(matrix_spectrum(noise(64, 64)))
        for name in ("cut_effective_rank", "cut_participation_ratio", "cut_stable_rank"):
            assert "too few starts and ends" in found[name].cannot_tell
            assert no_interval(found[name])
        assert found["cut_entropy"].high > np.log(64)
        assert found["interaction_share"].low > 0.85

    def test_intervals_stay_within_what_is_possible(self):
        """Rare large interactions, so that intervals would often leave the range."""
        limits = (
            dict.fromkeys(SCALARS[1:4], (1, np.inf)) | dict.fromkeys(SCALARS[4:], (0, 1)) | {SCALARS[0]: (0, np.inf)}
        )
        at_limit = set()
        for seed in range(10):
            x, z = noise(2, 100, seed=seed)
            found = named(matrix_spectrum(1 + 0.1 * np.outer(x**3, z**3)))
            for name, (least, most) in limits.items():
                if found[name].low is not None:
                    assert least <= found[name].low <= found[name].value <= found[name].high <= most
                    at_limit |= {name} if found[name].low == least else set()
        assert at_limit >= {"cut_stable_rank", "interaction_share"}

    @pytest.mark.parametrize(
        ("outputs", "said"),
        [
            (np.ones((1, 5)), "at least 2 starts"),
            (np.ones((5, 1)), "at least 2 starts"),
            (np.ones(5), r"shape \(5,\)"),
            (np.ones((5, 4, 0)), r"shape \(5, 4, 0\)"),
            (np.where(np.eye(4) > 0, np.nan, 1.0)[1:], r"3 NaN .* \(start, end\) = \(0, 1\)"),
            (np.full((2, 2, 2), np.inf), r"\(start, end, output\) = \(0, 0, 0\)"),
        ],
    )
    def test_bad_input(self, outputs, said):
        with pytest.raises(ValueError, match=said):
            matrix_spectrum(outputs)


def polynomials(x):
    """The first four Hermite polynomials, orthonormal for a normal x."""
    return np.stack([np.ones_like(x), x, (x**2 - 1) / 2**0.5, (x**3 - 3 * x) / 6**0.5], 1)


def true_numbers(weights):
    """Of y = f weights g for orthonormal features, the first of them constant."""
    q = np.linalg.svd(weights, compute_uv=False) ** 2
    q /= q.sum()
    entropy = -(q * np.log(q)).sum()
    share = (weights[1:, 1:] ** 2).sum() / (weights**2).sum()
    return [entropy, np.exp(entropy), 1 / (q**2).sum(), 1 / q[0], np.sqrt(1 - q[0]), share]


@pytest.mark.slow
class TestCoverage:
    """95% intervals over repeated draws of starts and ends."""

    def hits(self, draw, truth, repetitions):
        estimates = [named(matrix_spectrum(draw())) for _ in range(repetitions)]
        given = lambda name: [e[name] for e in estimates if e[name].low is not None]  # noqa: E731
        return {name: float(covered(given(name), t)) for name, t in zip(SCALARS, truth, strict=True)}

    def test_products_of_normal_features(self):
        weights, rng = np.diag(0.7 ** np.arange(12.0)), np.random.default_rng(5)
        draw = lambda: rng.standard_normal((64, 12)) @ weights @ rng.standard_normal((12, 64))  # noqa: E731
        found = self.hits(draw, [*true_numbers(weights)[:-1], 1.0 - 1e-12], 300)
        assert min(found.values()) > 0.9

    def test_polynomials_with_heavy_tails(self):
        weights = np.array([[1, 0.5, 0, 0.1], [0.7, 0.6, 0.2, 0], [0, 0.3, 0.3, 0], [0.2, 0, 0, 0.1]])
        rng = np.random.default_rng(6)
        draw = lambda: (  # noqa: E731
            polynomials(rng.standard_normal(256)) @ weights @ polynomials(rng.standard_normal(256)).T
        )
        assert min(self.hits(draw, true_numbers(weights), 300).values()) > 0.87


def remembering(function, size):
    """y[t] = function(x[t-1], x[t]), which must give one number."""
    step = lambda state, x: (x, jnp.atleast_1d(function(state, x)))  # noqa: E731
    return adapt(step, np.zeros(size), size)


FAMILIES = {
    "rnn": lambda: random_model(RNN(2, 5, 3)),
    "lstm": lambda: random_model(LSTM(2, 4)),
    "gru in float32": lambda: build(GRU(2, 4), 0),
    "initial state": lambda: Model(RNN(2, 3), random_model(RNN(2, 3)).weights | {"initial_h": np.ones(3)}),
    "stack": lambda: random_model(Deep((LSTM(2, 3), RNN(3, 4, 2)))),
    "unitary": lambda: random_model(UnitaryRNN(2, 4, 3)),
    "state space": lambda: build(DiagonalStateSpace(2, 4, 3), 0, np.float64),
    "step function": lambda: adapt(lambda s, x: (0.5 * s + x**2, jnp.sin(s) + x), np.full(2, 0.3), 2),
}


def slow_outputs(model, starts, ends):
    wide = model.astype(np.float64)
    last = lambda start, end: np.asarray(states_and_outputs(wide, np.concatenate([start, end]))[1])[-1]  # noqa: E731
    return np.array([[last(start, end) for end in ends] for start in starts], float)


class TestSeparationSpectrum:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_agrees_with_running_every_pair(self, family):
        model = FAMILIES[family]()
        starts, ends = noise(5, 3, 2), noise(4, 4, 2, seed=1)
        outputs = slow_outputs(model, starts, ends)
        assert_same(separation_spectrum(model, starts, ends), matrix_spectrum(outputs))
        one = separation_spectrum(model, starts, ends, output=1)
        assert_same(one, matrix_spectrum(outputs[..., 1]))

    def test_complex_states(self):
        """z[t] = z[t-1] i^x[t], s[t] = s[t-1] + x[t], y = Re z + 0.1 s^2."""

        def step(state, x):
            z, total = state
            z, total = z * jnp.exp(0.5j * jnp.pi * x.real[0]), total + x.real[0]
            return (z, total), jnp.atleast_1d(z.real + 0.1 * total**2)

        model = adapt(step, (np.array(1.0 + 0j), np.array(0.0)), 1)
        starts, ends = noise(10, 3, 1), noise(9, 2, 1, seed=1)
        total = starts.sum((1, 2))[:, None] + ends.sum((1, 2))
        truth = matrix_spectrum(np.cos(np.pi / 2 * total) + 0.1 * total**2)
        assert_same(separation_spectrum(model, starts, ends), truth)

    def test_more_pairs_than_one_block(self):
        starts, ends = noise(67, 2, 1), noise(130, 1, 1, seed=1)
        model = remembering(lambda old, x: jnp.sin(3 * old[0] * x[0]), 1)
        truth = matrix_spectrum(np.sin(3 * np.outer(starts[:, -1], ends)))
        assert_same(separation_spectrum(model, starts, ends), truth)

    def test_tanh_stack_of_the_oracle(self):
        case = TRUTH["tanh_rnn"]
        weights = [
            {"weight_hh": w, "weight_ih": u, "bias_ih": b, "bias_hh": [0.0, 0.0]}
            for w, u, b in zip(*(case["weights"][k] for k in "WUb"), strict=True)
        ]
        weights[1]["readout"] = [case["weights"]["O"]]
        model = Model(
            Deep((RNN(1, 2), RNN(2, 2, 1))), tuple({k: np.array(v, float) for k, v in w.items()} for w in weights)
        )
        sequences = np.array(case["starts"], float)[..., None]
        assert_oracle(separation_spectrum(model, sequences, np.array(case["ends"], float)[..., None]), case)

    def test_linear_models_add_start_and_end(self):
        model = linear(noise(6, 6) / 3, noise(6, 2, seed=1), noise(3, 6, seed=2))
        for output in (None, 0):
            found = named(separation_spectrum(model, noise(40, 5, 2), noise(40, 4, 2, seed=3), output=output))
            assert found["interaction_share"].value < 1e-12
            assert found["interaction_share"].statistics["additive"]
        # one output that is a sum of two functions has two products
        np.testing.assert_allclose(found["cut_spectrum"].value[2:], 0, atol=1e-12)
        assert found["cut_entropy"].value > 0.01

    def test_a_circuit_of_one_layer_is_shown_and_warned_about(self):
        model = random_model(Deep((OneHot(3), ArithmeticCircuit(3, 4, 1))))
        symbols = np.random.default_rng(0).integers(3, size=(2, 5, 3, 1)).astype(float)
        with pytest.warns(UserWarning, match="start_end_rank gives it exactly"):
            found = separation_spectrum(model, *symbols)
        assert_same(found, matrix_spectrum(slow_outputs(model, *symbols)))

    def test_a_circuit_out_of_range(self):
        model = random_model(Deep((ArithmeticCircuit(2, 4), ArithmeticCircuit(4, 4, 1))), scale=50.0)
        with (
            pytest.warns(UserWarning, match="circuit"),
            pytest.raises(ValueError, match=r"finite for \d+ of 81 .* start_end_rank"),
        ):
            separation_spectrum(model, noise(9, 20, 2), noise(9, 20, 2, seed=1))

    @pytest.mark.parametrize(
        ("architecture", "said"),
        [
            (Bidirectional(RNN(2, 3), RNN(2, 3)), "Bidirectional reads the future"),
            (Untied(RNN(2, 3), 9), "Untied has weights of its own at each step"),
            (Deep((Untied(RNN(2, 3), 9), RNN(3, 3))), "Untied has weights of its own at each step"),
        ],
    )
    def test_models_without_a_state_at_the_cut(self, architecture, said):
        with pytest.raises(ValueError, match=said):
            separation_spectrum(build(architecture, 0), noise(5, 3, 2), noise(5, 3, 2))

    def test_a_model_without_any_state(self):
        with pytest.raises(ValueError, match="no state"):
            separation_spectrum(build(OneHot(3)), np.ones((5, 3, 1)), np.ones((5, 3, 1)))

    @pytest.mark.parametrize(
        ("starts", "ends", "said"),
        [
            (noise(5, 3), noise(5, 3, 2), r"starts must be \(start, time, 2\)"),
            (noise(5, 3, 2), noise(5, 3, 1), r"ends must be \(end, time, 2\) .* got shape \(5, 3, 1\)"),
            (noise(1, 3, 2), noise(5, 3, 2), "at least 2 starts"),
            (noise(5, 3, 2), noise(5, 0, 2), "1 step"),
            (noise(5, 3, 2), np.full((5, 3, 2), np.nan), r"ends hold 30 NaN .* \(end, step, channel\) = \(0, 0, 0\)"),
        ],
    )
    def test_bad_inputs(self, starts, ends, said):
        with pytest.raises(ValueError, match=said):
            separation_spectrum(random_model(RNN(2, 3)), starts, ends)

    @pytest.mark.parametrize("output", [-1, 3])
    def test_an_output_that_there_is_not(self, output):
        with pytest.raises(ValueError, match="outputs 0 to 2"):
            separation_spectrum(random_model(RNN(2, 3)), noise(5, 3, 2), noise(5, 3, 2), output=output)

    def test_depth_shows_before_training(self):
        """Random tanh nets of 16 units a layer on four symbols: more layers mix start and end more, on average."""
        symbols = np.random.default_rng(0).integers(4, size=(2, 60, 10))
        starts, ends = (one_hot(s, 4) for s in symbols)
        means = []
        for depth in (1, 2, 3):
            layers = [RNN(16 if k else 4, 16, 1 if k == depth - 1 else None, variance=2.25) for k in range(depth)]
            runs = [named(separation_spectrum(build(Deep(tuple(layers)), seed), starts, ends)) for seed in range(20)]
            means.append([np.mean([r[name].value for r in runs]) for name in ("cut_entropy", "interaction_share")])
        assert (np.diff(means, axis=0) > 0).all()


class TestCutProfile:
    def test_only_the_last_cut_sees_what_is_one_step_old(self):
        entropy, interaction = cut_profile(remembering(lambda old, x: old[0] * x[0], 1), np.sign(noise(40, 20, 1)))
        np.testing.assert_array_equal(entropy.axes["cut"], [4, 12, 16, 18, 19])
        assert entropy.quantity.name == "cut_entropy_profile"
        assert interaction.quantity.name == "interaction_profile"
        np.testing.assert_allclose(entropy.value, 0, atol=1e-12)  # one product, or none
        np.testing.assert_allclose(interaction.value[:-1], 0, atol=1e-12)
        assert interaction.value[-1] > 0.5
        assert entropy.cannot_tell == ""
        assert (interaction.low <= interaction.value).all()
        assert (interaction.value <= interaction.high).all()

    def test_what_is_said_of_one_cut_is_what_the_spectrum_says(self):
        """All sequences are one of two, so that any choice of starts and ends with equal counts gives the same."""
        model, two = random_model(RNN(2, 4, 2)), noise(2, 7, 2)
        for seed in range(20):  # a seed that puts two of each on both sides
            order = np.random.default_rng([seed, 5]).permutation(8) % 2
            if order[:4].sum() == 2:
                break
        profile = cut_profile(model, np.tile(two, (4, 1, 1)), cuts=[3, 5], seed=seed, output=1)
        for place, cut in enumerate((3, 5)):
            starts, ends = (np.repeat(part, 2, 0) for part in (two[:, :cut], two[:, cut:]))
            found = named(separation_spectrum(model, starts, ends, output=1))
            assert profile[0].value[place] == pytest.approx(found["cut_entropy"].value, rel=1e-9)
            assert profile[1].value[place] == pytest.approx(found["interaction_share"].value, rel=1e-9)

    def test_no_sequence_meets_itself(self):
        """The input is the number of its sequence, and y tells whether old and new are the same."""
        numbers = np.tile(np.arange(30.0)[:, None, None], (1, 200, 1))
        for estimate in cut_profile(remembering(lambda old, x: (old == x)[0] * 1.0, 1), numbers):
            assert estimate.cannot_tell.startswith("cut 63: zero function")
            assert np.isnan(estimate.high[-1])
            assert np.isfinite(estimate.high[:-1]).all()

    def test_windows_of_long_sequences(self):
        """The input is the number of its step: windows begin at multiples of 64, the 22 steps left over stay out."""
        steps = np.tile(np.arange(150.0)[:, None], (30, 1, 1))
        seen = remembering(lambda old, x: ((x[0] >= 128) | (x[0] % 64 == 0) & (old[0] != 0)) * 1.0, 1)
        entropy, _ = cut_profile(seen, steps)
        np.testing.assert_array_equal(entropy.axes["cut"], [32, 48, 56, 60, 62, 63])
        assert entropy.cannot_tell.count("zero function") == 6
        whole, _ = cut_profile(seen, steps, cuts=[10, 149])
        assert whole.cannot_tell == ""

    def test_windows_of_one_sequence_are_one_piece_of_evidence(self):
        """Every window twice in its sequence: twice the starts and ends, and not a smaller error."""
        model, windows = random_model(RNN(2, 4, 1)), noise(40, 64, 2)
        once, twice = cut_profile(model, windows), cut_profile(model, np.concatenate([windows, windows], 1))
        for one, other in zip(once, twice, strict=True):
            assert (one.statistics["starts"][0], other.statistics["starts"][0]) == (20, 40)
            np.testing.assert_allclose(one.value, other.value, rtol=1e-9)
            np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=1e-5, atol=1e-12)

    def test_few_windows_come_from_many_sequences(self):
        """20 starts from 20 sequences have an interval; had they come from two, they would have none."""
        entropy, _ = cut_profile(random_model(RNN(1, 3, 1)), noise(40, 640, 1), pairs=20**2)
        assert entropy.statistics["starts"] == (20,) * 6
        assert np.isfinite(entropy.high).all()

    def test_one_long_sequence_lends_its_windows(self):
        entropy, _ = cut_profile(random_model(RNN(1, 3, 1)), noise(1, 64 * 21, 1))
        assert entropy.statistics["starts"] == (10,) * 6
        assert "windows of one sequence" in entropy.assumptions[0]
        assert entropy.high is not None

    def test_starts_are_added_until_the_entropy_settles(self):
        sequences = noise(600, 3, 1)
        settled, _ = cut_profile(remembering(lambda old, x: old[0] * x[0], 1), sequences)
        assert settled.statistics["starts"] == (64, 64)
        rich = remembering(lambda old, x: jnp.sin(40 * old[0] * x[0]), 1)
        for pairs, most in ((2**14, 128), (50**2, 50)):
            entropy, _ = cut_profile(rich, sequences, pairs=pairs)
            assert entropy.statistics["starts"] == (min(64, most), most)
            assert entropy.statistics["change"][1] > 0.02

    def test_growing_changes_no_number(self):
        """256 starts and ends in pieces, for a model that tells all pairs apart, and at once."""
        model, sequences = random_model(RNN(1, 3, 1), scale=3.0), noise(512, 2, 1)
        entropy, interaction = cut_profile(model, sequences, pairs=2**16, seed=3)
        assert entropy.statistics["starts"] == (256,)
        order = np.random.default_rng([3, 5]).permutation(512)
        starts, ends = sequences[order[:256], :1], sequences[order[256:], 1:]
        found = named(separation_spectrum(model, starts, ends))
        for profile, name in ((entropy, "cut_entropy"), (interaction, "interaction_share")):
            assert profile.value[0] == pytest.approx(found[name].value, rel=1e-9)

    def test_one_seed_one_answer(self):
        model, sequences = random_model(RNN(1, 3, 1)), noise(30, 8, 1)
        first, again, other = (cut_profile(model, sequences, seed=seed)[0].value for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize(
        ("sequences", "options", "said"),
        [
            (noise(8, 5, 1), dict(cuts=[5]), "between 1 and 4"),
            (noise(8, 5, 1), dict(cuts=[0, 2]), "between 1 and 4"),
            (noise(8, 5, 1), dict(cuts=[]), "between 1 and 4"),
            (noise(8, 1, 1), {}, "at least 2 steps"),
            (noise(3, 5, 1), {}, "got 3 sequences"),
            (noise(1, 130, 1), {}, "got 2 sequences or windows"),
            (noise(8, 5, 1), dict(pairs=3), "pairs=3"),
            (noise(5, 1), {}, r"\(sequence, time, 1\)"),
            (np.full((8, 5, 1), np.inf), {}, r"\(sequence, step, channel\) = \(0, 0, 0\)"),
        ],
    )
    def test_bad_input(self, sequences, options, said):
        with pytest.raises(ValueError, match=said):
            cut_profile(random_model(RNN(1, 3)), sequences, **options)

    def test_circuits_are_warned_about_and_others_not(self):
        with pytest.warns(UserWarning, match="start_end_rank"):
            cut_profile(random_model(ArithmeticCircuit(1, 3)), noise(20, 5, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cut_profile(random_model(RNN(1, 3)), noise(20, 5, 1))
