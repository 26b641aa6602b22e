import math

import numpy as np
import pytest
import sample
from sample import censored, curve, number

from hitherto.core import quantity as q
from hitherto.core.quantity import Estimate
from hitherto.report.reading import Reading, digits, duration, percent, reading, rounded_up, steps
from hitherto.report.verdict import told, verdict

WHY = "fewer than 8 sequences give no interval"


def spectrum(value: float, error: float, **fields) -> Estimate:
    """Two exponents, the largest as given."""
    values, errors = np.array([value, value - 1]), np.array([error, error])
    axes = {"index": np.array([1, 2])}
    return Estimate(q.LYAPUNOV_SPECTRUM, values, errors, values - 2 * errors, values + 2 * errors, axes, **fields)


def said(*estimates: Estimate, **provenance) -> str:
    """All sentences in one text."""
    return " ".join(verdict(estimates, sample.provenance(**provenance)))


def silent(*estimates: Estimate, **provenance) -> bool:
    return said(*estimates, **provenance) == "These measurements decide nothing about the memory."


class TestNumbers:
    @pytest.mark.parametrize(
        ("shown", "text"),
        [
            (Reading(9.04, 8.1, 9.9, 0.45), "9.0 (8.1 to 9.9)"),
            (Reading(23.21, 22.1, 24.3, 0.55), "23 (22 to 24)"),
            (Reading(0.1234, 0.08, 0.17, 0.023), "0.12 (0.08 to 0.17)"),
            (Reading(123.4, 122.8, 124.0, 0.3), "123 (123 to 124)"),
            (Reading(123.4, 123.38, 123.42, 0.01), "123"),
            (Reading(1234.0, 1010.0, 1460.0, 110.0), "1,200 (1,000 to 1,500)"),
            (Reading(-0.1, -0.2, -0.0004, 0.05), "−0.10 (−0.20 to −0.0004)"),
            (Reading(3.4e-7, 3.1e-7, 3.7e-7, 1e-8), "3.4×10⁻⁷ (3.1×10⁻⁷ to 3.7×10⁻⁷)"),
            (Reading(1.2e-7, 0.0, 2.4e-7, 6e-8), "1.2×10⁻⁷ (0 to 2.4×10⁻⁷)"),
            (Reading(128.0, 128.0, 128.0, 0.0), "128"),
            (Reading(1.00371, 1.00371, 1.00371, 0.0), "1.004"),
            (Reading(-math.inf, -math.inf, -math.inf), "−∞"),
            (Reading(0.0, -0.02, 0.02, 0.01), "0.00 (−0.02 to 0.02)"),
            (Reading(7.0, 6.2, 7.8, 0.4, whole=True), "7 (6 to 8)"),
            (Reading(5.5), "5.5"),
            (Reading(), "cannot tell"),
        ],
    )
    def test_printed(self, shown: Reading, text: str):
        assert str(shown) == text

    def test_exact_values_are_their_own_interval(self):
        assert reading(number(q.SPECTRAL_RADIUS, 0.5, 0.0, low=None, high=None)).high == 0.5
        assert math.isnan(reading(number(q.SPECTRAL_RADIUS, 0.5)).high)

    def test_words(self):
        assert percent(Reading(0.042, 0.038, 0.046, 0.002)) == "4.2% (3.8 to 4.6%)"
        assert (duration(0.28), duration(61 * 0.031), duration(90.0), duration(7200.0)) == (
            "280 ms",
            "1.9 s",
            "1.5 min",
            "2.0 h",
        )
        assert steps("1", {}, 1) == "1 step"
        assert [rounded_up(x) for x in (60.2, 99.0, 134.0, 1201.0, 0.0)] == [61, 99, 140, 1300, 0]
        assert digits(0.0456) == "0.046"


class TestHeadline:
    def test_three_clauses(self):
        estimates = sample.estimates()
        first = verdict(estimates, sample.provenance())[0]
        assert first == (
            "Forgets half of an input within 7.4 (6.5 to 8.3) steps; nothing older than 63 steps "
            "changes the output "
            "by more than 1%; 128 units act as 23 (22 to 24)."
        )

    def test_times(self):
        first = verdict(sample.estimates(), sample.provenance(step_seconds=0.031))[0]
        assert "(6.5 to 8.3) steps (230 ms)" in first
        assert "63 steps (2.0 s)" in first

    def test_whole_model_before_its_parts(self):
        whole, part = (
            number(q.GRADIENT_HALF_LIFE, 9.0, 0.5),
            number(q.GRADIENT_HALF_LIFE, 3.0, 0.2, part="layer 0"),
        )
        assert verdict([part, whole], {}) == (
            "Forgets half of an input within 9.0 (8.0 to 10.0) steps.",
            "Layer 0: forgets half of an input within 3.0 (2.6 to 3.4) steps.",
        )

    def test_last_part_where_there_is_no_whole(self):
        layers = [number(q.PARTICIPATION_RATIO, 9.0, 0.5, part=f"layer {i}", statistics={"units": 16}) for i in (0, 1)]
        assert verdict(layers, {})[0] == "Layer 1: 16 units act as 9.0 (8.0 to 10.0)."

    def test_symbols_keep_their_case(self):
        cell, state = (number(q.PARTICIPATION_RATIO, 9.0, 0.5, part=part) for part in ("cell", "h"))
        assert verdict([cell, state], {}) == (
            "h: the state acts as 9.0 (8.0 to 10.0) units.",
            "Cell: the state acts as 9.0 (8.0 to 10.0) units.",
        )

    def test_parts_that_agree_share_a_sentence(self):
        layers = [number(q.GRADIENT_HORIZON, 9.0, 0.5, part=f"layer {i}") for i in (0, 1)]
        assert len(verdict(layers, {})) == 1
        assert "Layer 0, layer 1: the gradient" in said(*layers)

    def test_titles_use_the_whole_model_or_the_last_part_that_speaks(self):
        counts = [
            number(q.IDLE_UNITS, value, 0.5, part=part, statistics={"units": 100})
            for part, value in (("layer 0", 12.0), ("layer 1", 0.0))
        ]
        assert told(q.IDLE_UNITS, counts, {}).startswith("layer 0: 12 (11 to 13) of 100 units are idle")
        assert told(q.STUCK_UNITS, counts, {}) == ""

    def test_a_single_part_is_not_named(self):
        assert said(number(q.GRADIENT_HALF_LIFE, 9.0, 0.5, part="layer 0")).startswith("Forgets half")

    def test_nothing_known(self):
        assert verdict((), {}) == ("These measurements decide nothing about the memory.",)

    def test_an_open_question_is_no_headline(self):
        first, second = verdict(
            [number(q.GRADIENT_HALF_LIFE, 9.0, cannot_tell=WHY), number(q.PARTICIPATION_RATIO, 3.0, 0.1)], {}
        )
        assert first == "The state acts as 3.0 (2.8 to 3.2) units."
        assert (
            second == f"Cannot tell how soon half of an input is forgotten because {WHY} (the estimate alone is 9.0)."
        )

    def test_independence_comes_first(self):
        flat = curve(q.OUTPUT_JACOBIAN_RMS, np.zeros(5))
        assert (
            verdict([number(q.GRADIENT_HALF_LIFE, 9.0, 0.5), flat], {})[0] == "The output does not depend on the input."
        )
        assert silent(curve(q.OUTPUT_JACOBIAN_RMS, [0.0, 1e-300, 0.0]))


class TestGradient:
    def test_half_life_censored(self):
        assert said(censored(q.GRADIENT_HALF_LIFE, 500)) == "Keeps more than half of an input for more than 500 steps."

    def test_horizon(self):
        decided = said(number(q.GRADIENT_HORIZON, 61.0, 1.5))
        assert decided == "The gradient from more than 61 (58 to 64) steps ago is under 1% of its peak."
        assert "above 1% of its peak for more than 500 steps" in said(censored(q.GRADIENT_HORIZON, 500))
        assert said(number(q.GRADIENT_HORIZON, 61.0)).startswith("Cannot tell from which lag")

    def test_rare_growth_needs_both_intervals(self):
        stable = spectrum(-0.5, 0.01)
        grows = number(q.GRADIENT_GROWTH, 0.11, 0.02)
        assert "Rare inputs make gradients grow: their root mean square by 11% (7 to 15%) per step" in said(
            grows, stable
        )
        assert silent(grows)
        assert "are inputs" not in said(grows, spectrum(-0.01, 0.01))
        assert "are inputs" not in said(number(q.GRADIENT_GROWTH, 0.01, 0.02), stable)
        heavy = number(q.GRADIENT_GROWTH, 0.11, cannot_tell="only 3.1 sequences carry the mean")
        assert "Cannot tell whether rare inputs make gradients grow because only 3.1" in said(heavy, stable)

    def test_rare_growth_uses_the_largest_exponent_of_all_layers(self):
        layers = spectrum(-0.5, 0.01, part="layer 0"), spectrum(0.2, 0.01, part="layer 1")
        assert "are inputs" not in said(number(q.GRADIENT_GROWTH, 0.11, 0.02), *layers)


class TestContext:
    def test_upper_end_decides(self):
        shown = curve(q.CONTEXT_REPLACED, [1.0, 0.5, 0.0099, 0.005, 0.002], 0.1)
        assert said(shown) == "Nothing older than 3 steps changes the output by more than 1%."
        assert "by this replacement" in said(shown, own_data=True)

    def test_a_curve_that_returns(self):
        assert "older than 4 steps" in said(curve(q.CONTEXT_REPLACED, [1.0, 0.001, 0.001, 0.5, 0.001]))

    def test_not_reached(self):
        left = said(curve(q.CONTEXT_REPLACED, [1.0, 0.5, 0.042], 0.1))
        assert left == "All that is older than 2 steps still changes the output by 4.2% (3.8 to 4.6%)."

    def test_cannot_tell(self):
        assert "Cannot tell whether all that is older" in said(curve(q.CONTEXT_REPLACED, [1.0, 0.01], 0.1))
        without = said(curve(q.CONTEXT_REPLACED, [1.0, 0.001], None, cannot_tell=WHY))
        assert without == f"Cannot tell how far back the output depends on its inputs because {WHY}."
        partly = curve(q.CONTEXT_REPLACED, [1.0, 0.001], 0.1)
        partly.high[-1] = np.nan
        assert said(partly).startswith("Cannot tell how far back")

    def test_a_falling_curve_is_decided_by_one_interval(self):
        tail = curve(q.CONTEXT_REPLACED, [1.0, 0.001, 0.0001, 0.0], 0.1)
        tail.high[2:] = np.nan
        assert "Nothing older than 1 step changes" in said(tail)
        assert said(tail, own_data=True).startswith("Nothing older than 3 steps changes")

    def test_a_bound_is_rounded_up(self):
        assert "older than 140 steps" in said(curve(q.CONTEXT_REPLACED, [1.0] * 134 + [0.001] * 10))


class TestStability:
    def test_stable_needs_the_far_starts(self):
        converging = spectrum(-0.12, 0.005)
        forgotten = number(q.START_FORGOTTEN, 1.0)
        assert said(converging, forgotten) == (
            "Stable: the same input leads to the same state, whatever the start (largest Lyapunov exponent "
            "−0.12 (−0.13 to −0.11) per step)."
        )
        assert "was not tested" in said(converging)
        assert "different states on 25% of sequences" in said(converging, number(q.START_FORGOTTEN, 0.75))
        slow = spectrum(-0.0025, 0.0003, statistics={"steps": 540})
        assert "too slowly for two far starts to meet within 540 steps" in said(slow, number(q.START_FORGOTTEN, 0.0))

    def test_all_gone(self):
        gone = curve(q.LYAPUNOV_SPECTRUM, [-np.inf, -np.inf], None)
        assert "Stable" in said(gone, number(q.START_FORGOTTEN, 1.0))
        assert "exponent −∞ per step" in said(gone)

    def test_chaotic(self):
        assert said(spectrum(0.28, 0.01)).startswith("Chaotic under this input")
        assert said(spectrum(0.28, 0.01), precision="float32").startswith("Cannot tell whether the model is chaotic")

    def test_cannot_tell(self):
        wide = spectrum(0.01, 0.01, statistics={"steps": 1000})
        assert said(wide) == (
            "Cannot tell stable from chaotic in 1,000 steps: largest Lyapunov exponent 0.01 (−0.01 to "
            "0.03) per step; "
            "half the interval takes about 4 times the steps."
        )
        none = curve(q.LYAPUNOV_SPECTRUM, [-0.1], None, cannot_tell=WHY)
        assert said(none) == f"Cannot tell whether the model is stable because {WHY}."

    def test_perfect_cell(self):
        cell = spectrum(0.0001, 0.0002, statistics={"steps": 1000})
        assert said(cell).startswith("A perfect or near-perfect memory cell: in 1,000 steps")
        assert "chaotic" not in said(cell)
        assert "perfect" not in said(spectrum(0.0001, 0.0002, statistics={"steps": 5000}))


class TestStateUse:
    def test_dimensions(self):
        about = {"units": 128, "samples": 32000}
        assert said(number(q.PARTICIPATION_RATIO, 23.0, 0.5, statistics=about)) == "128 units act as 23 (22 to 24)."
        few = number(q.PARTICIPATION_RATIO, 23.0, 0.5, statistics=about | {"samples": 100})
        assert said(few).startswith("Cannot tell how many dimensions the state uses: 100 samples are too few")
        assert said(number(q.PARTICIPATION_RATIO, 23.0)).startswith("Cannot tell how many dimensions")

    @pytest.mark.parametrize("quantity", [q.IDLE_UNITS, q.STUCK_UNITS, q.SWITCHING_UNITS, q.DEAD_UNITS])
    def test_counts_from_two_percent_on(self, quantity):
        about = {"statistics": {"units": 100}}
        assert said(number(quantity, 12.0, 0.5, **about)).startswith("12 (11 to 13) of 100 units are ")
        assert said(number(quantity, 2.0, 0.0, **about)).startswith("2 of 100 units are ")
        assert silent(number(quantity, 1.0, 0.0, **about))
        assert silent(number(quantity, 3.0, 1.0, **about))
        assert silent(number(quantity, 12.0, **about))

    def test_gate_times(self):
        axes = {"quantile": np.array([0.1, 0.5, 0.9])}

        def hold(*times, spread=0.05):
            return curve(q.GATE_TIME_QUANTILES, times, spread, axes=axes, statistics={"steps": 1000})

        assert said(hold(2.0, 4.2, 31.0)) == (
            "Gates by themselves hold for 4.2 (4.0 to 4.4) steps in the middle unit, 31 (29 to 33) "
            "steps in the "
            "slowest tenth."
        )
        assert "longer than the data (1,000 steps) in the slowest tenth" in said(hold(2.0, 4.2, 2.4e17))
        assert said(hold(2.0, 4.2, 31.0, spread=None)).startswith("Cannot tell how long the gates hold")

    def test_gates_as_memory_cells(self):
        times = curve(q.GATE_TIMES, [3.0, 1010.0, 2e5, 4e17], 0.05, statistics={"steps": 1000})
        assert said(times).startswith("2 of 4 units are perfect or near-perfect memory cells")
        assert silent(curve(q.GATE_TIMES, [3.0, 1010.0], 0.05, statistics={"steps": 1000}))


class TestCapacity:
    def test_linear_trace(self):
        about = {"bound": 256, "rank": 256}
        assert said(number(q.LINEAR_MEMORY_CAPACITY, 23.0, 0.5, statistics=about)) == (
            "Remembers a linear trace of 23 (22 to 24) past inputs, of at most 256."
        )
        limited = number(q.LINEAR_MEMORY_CAPACITY, 23.0, 0.5, statistics=about | {"rank": 30})
        assert "of at most 256 (limited by float32 to 30)" in said(limited, precision="float32")
        few = number(q.LINEAR_MEMORY_CAPACITY, 23.0, cannot_tell="5,120 steps are needed")
        assert said(few).startswith(
            "Cannot tell how many past inputs can be read linearly from the state because 5,120"
        )

    @pytest.mark.parametrize(("share", "name"), [(0.9, "mostly linear"), (0.65, "mixed"), (0.2, "mostly nonlinear")])
    def test_linearity(self, share, name):
        assert f"The memory is {name}: the linear share is {100 * share:.0f}%" in said(
            number(q.LINEAR_SHARE, share, 0.01)
        )

    def test_linearity_open(self):
        assert said(number(q.LINEAR_SHARE, 0.79, 0.02)).startswith(
            "Cannot tell whether the memory is mixed or mostly linear: its linear share is 79% (75 to 83%)"
        )
        unseen = curve(q.PROCESSING_CAPACITY, [5.0, 2.0, 1.0], start=1, statistics={"rank": 17})
        assert "most capacity lies beyond degree 3" in said(number(q.LINEAR_SHARE, 0.9, 0.01), unseen)
        seen = curve(q.PROCESSING_CAPACITY, [5.0, 2.0, 1.0], start=1, statistics={"rank": 16})
        assert "mostly linear: the linear share" in said(number(q.LINEAR_SHARE, 0.9, 0.01), seen)


class TestWeightsAndDisagreement:
    def test_certificate_or_silence(self):
        assert "guarantee forgetting" in said(number(q.CONTRACTION_BOUND, 0.9, 0.0))
        assert "at least 0.0040% per step" in said(number(q.CONTRACTION_BOUND, 0.99996, 0.0))
        assert silent(number(q.CONTRACTION_BOUND, 1.0, 0.0))
        assert silent(number(q.CONTRACTION_BOUND, 0.9, 0.0, cannot_tell="no bound on the input"))

    def test_fast_decay_with_a_slow_tail(self):
        half = number(q.GRADIENT_HALF_LIFE, 9.0, 0.5)
        text = said(half, number(q.EFFECTIVE_CONTEXT, 300.0, 10.0))
        assert "Two measures differ: the half-life is 9.0 (8.0 to 10.0) steps, yet the context is 300" in text
        assert "differ" not in said(half, number(q.EFFECTIVE_CONTEXT, 60.0, 2.0))
        assert "differ" not in said(half, number(q.EFFECTIVE_CONTEXT, 150.0, 20.0))
        assert "longer than the output uses them" in said(half, number(q.EFFECTIVE_CONTEXT, 3.0, 0.5))
        heavy = curve(q.CONTEXT_REPLACED, [1.0, 0.5, 0.001], None)
        assert "differ" not in said(half, number(q.EFFECTIVE_CONTEXT, 300.0, 10.0), heavy)
        assert "differ" not in said(censored(q.GRADIENT_HALF_LIFE, 500), number(q.EFFECTIVE_CONTEXT, 3.0, 0.5))


def test_every_rule_copes_with_any_single_estimate():
    for estimate in sample.estimates():
        assert all(s.endswith(".") for s in verdict([estimate], {}))
        assert isinstance(told(estimate.quantity, [estimate], {}), str)


def test_intervals_without_numbers():
    bare = [
        Estimate(e.quantity, e.value, axes=e.axes, cannot_tell=WHY, statistics=e.statistics) for e in sample.estimates()
    ]
    decided = [s for s in verdict(bare, sample.provenance()) if not s.startswith("Cannot tell")]
    assert decided == []


class TestTrainedKernels:
    def test_regime_and_outliers(self):
        text = said(*sample.estimates())
        assert "On these inputs the recurrent weights are coherent: states 1 steps apart correlate with 0.9" in text
        assert "The recurrent weights have 1 eigenvalue (1.49) and 2 singular values (up to 2.90) outside" in text
        assert "from these states theory expects 1 eigenvalue (1.46) and 1 singular value (2.80)." in text

    def test_nothing_outside(self):
        empty = {"plane": np.array(["real", "imaginary"]), "index": np.arange(0)}
        nothing = [
            Estimate(q.EXPECTED_EIGENVALUES, np.zeros((2, 0)), axes=empty),
            *(
                curve(k, [], None)
                for k in (q.EIGENVALUE_OUTLIERS, q.SINGULAR_VALUE_OUTLIERS, q.EXPECTED_SINGULAR_VALUES)
            ),
        ]
        wanted = "have no eigenvalue and no singular value outside of their bulk; from these states theory expects no"
        assert wanted in said(*nothing)

    def test_layers_are_told_apart(self):
        text = said(*sample.estimates("layer 0"), *sample.estimates("layer 1"))
        assert "layer 0, layer 1: on these inputs the recurrent weights are coherent" in text.replace("Layer", "layer")

    def test_silent_without_a_regime_or_what_is_expected(self):
        assert silent(curve(q.TEMPORAL_COHERENCE, [0.5, 0.4]))
        assert silent(curve(q.EIGENVALUE_OUTLIERS, [1.5], None))
