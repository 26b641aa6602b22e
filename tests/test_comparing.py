"""Comparisons: differences and their errors, which of many are real, and what is said of them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import hitherto
from hitherto.comparing import saved_profile
from hitherto.core import quantity as q
from hitherto.core.difference import corrected, differences
from hitherto.core.quantity import Estimate

QUICK = hitherto.Settings(sequences=8, steps=60)
ALIKE = dict(input_law="white noise", own_data=False, precision="float64", sequences=16, steps=100, seed=0)


def number(quantity, value, error, sequences=16, **more) -> Estimate:
    """A single number with its interval."""
    half = stats.t.ppf(0.975, sequences - 1) * error
    return Estimate(quantity, value, error, value - half, value + half, statistics=dict(sequences=sequences), **more)


def curve(quantity, value, relative_error=0.05) -> Estimate:
    """A curve by lag with its intervals."""
    value = np.asarray(value, float)
    error = relative_error * np.abs(value)
    lags = {"lag": np.arange(len(value))}
    return Estimate(quantity, value, error, value - 2 * error, value + 2 * error, lags, statistics=dict(sequences=16))


def beyond(ceiling) -> Estimate:
    """A half-life of which only a lower bound is known."""
    known = dict(censored=True, ceiling=int(ceiling), sequences=16)
    return Estimate(q.GRADIENT_HALF_LIFE, ceiling, cannot_tell="the curve is still above 50%", statistics=known)


def profiled(*estimates, **facts) -> hitherto.Profile:
    return hitherto.Profile(estimates, ALIKE | facts)


def between(first, second):
    """The one difference of two estimates, corrected alone."""
    (found,) = corrected(differences([first], [second], ("A", "B")))
    return found


@pytest.fixture(scope="module")
def small():
    return hitherto.build(hitherto.RNN(1, 3), 0)


@pytest.fixture(scope="module")
def twice(small):
    """A model beside itself, each driven by its own run."""
    return hitherto.compare([small, small], settings=QUICK)


def test_a_difference_has_welchs_error_and_p():
    found = between(number(q.GRADIENT_HALF_LIFE, 9.0, 0.3), number(q.GRADIENT_HALF_LIFE, 12.0, 0.4, 8))
    freedom = 0.25**2 / (0.3**4 / 15 + 0.4**4 / 7)
    assert (found.value, found.standard_error) == pytest.approx((3.0, 0.5))
    assert found.p == pytest.approx(2 * stats.t.sf(6.0, freedom))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * 0.5)


def test_welch_agrees_with_the_test_of_two_samples():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.0, 1.0, 16), rng.normal(0.7, 3.0, 9)
    made = [number(q.LINEAR_SHARE, x.mean(), x.std(ddof=1) / len(x) ** 0.5, len(x)) for x in (a, b)]
    assert between(*made).p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_numbers_of_the_same_sequences_are_compared_in_pairs():
    rng = np.random.default_rng(3)
    a = rng.normal(0.0, 1.0, 16)
    b = a + rng.normal(0.1, 0.1, 16)
    made = [number(q.LINEAR_SHARE, x.mean(), x.std(ddof=1) / 4, without=(x.sum() - x) / 15) for x in (a, b)]
    found = between(*made)
    assert found.paired
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.standard_error < between(*[replace(e, without=None) for e in made]).standard_error / 5


def test_exchanging_models_changes_the_sign_alone():
    a, b = curve(q.CONTEXT_REPLACED, [1.0, 0.4, 0.1]), curve(q.CONTEXT_REPLACED, [1.0, 0.6, 0.1], 0.1)
    there, back = differences([a], [b], ("A", "B")), differences([b], [a], ("B", "A"))
    assert [d.value for d in there] == pytest.approx([-d.value for d in back])
    assert [d.p for d in there] == pytest.approx([d.p for d in back])
    assert there[1].value == pytest.approx(np.log(1.5))


def test_holm_rejects_step_by_step():
    p = np.random.default_rng(1).uniform(0, 0.02, 12)
    errors = 1 / stats.t.isf(p / 2, 30)
    zero = [number(q.TASK_LOSS, 0.0, e / 2**0.5, part=str(i)) for i, e in enumerate(errors)]
    one = [number(q.TASK_LOSS, 1.0, e / 2**0.5, part=str(i)) for i, e in enumerate(errors)]
    found = corrected(differences(zero, one, ("A", "B")))
    assert [d.p for d in found] == pytest.approx(list(p))
    rejected = set()
    for rank, i in enumerate(np.argsort(p)):  # the textbook: stop at the first that is too large
        if p[i] > 0.05 / (12 - rank):
            break
        rejected.add(i)
    assert {i for i, d in enumerate(found) if d.real} == rejected
    assert 0 < len(rejected) < 12


def test_models_that_do_not_differ_are_called_different_in_few_runs():
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(100):
        a, b = ([number(q.TASK_LOSS, m, 1.0, part=str(i)) for i, m in enumerate(rng.normal(size=12))] for _ in "AB")
        wrong += any(d.real for d in corrected(differences(a, b, ("A", "B"))))
    assert wrong <= 11  # 5 are allowed; 46% of runs have one without the correction


def test_gradients_are_compared_as_shares_of_their_peak():
    values = np.array([2.0, 4.0, 1.0, 0.1])
    a, b = curve(q.STATE_JACOBIAN_TYPICAL, values), curve(q.STATE_JACOBIAN_TYPICAL, 7 * values)
    found = differences([a], [b], ("A", "B"))
    assert [d.coordinate for d in found] == [0.0, 3.0]  # at lag 1 both are at their peak
    assert [d.value for d in found] == [0.0, 0.0]
    assert found[0].standard_error == pytest.approx(0.05 * 4**0.5)


def test_what_lies_beyond_the_longest_lag_is_a_bound():
    short, far = number(q.GRADIENT_HALF_LIFE, 9.0, 0.3), beyond(500.0)
    grown, fallen = between(short, far), between(far, short)
    assert grown.real
    assert grown.bounded
    assert grown.high == np.inf
    assert grown.low > 490
    assert fallen.real
    assert fallen.low == -np.inf
    assert fallen.value == -491
    assert "both lie beyond" in between(far, beyond(400.0)).cannot_tell
    undecided = between(number(q.GRADIENT_HALF_LIFE, 600.0, 3.0), far)
    assert not undecided.real
    assert undecided.cannot_tell == "B lies beyond the longest lag that was measured, and so may A"


def test_exact_numbers_need_no_test_and_infinities_can_be_equal():
    exact = between(Estimate(q.SPECTRAL_RADIUS, 0.5, 0.0), Estimate(q.SPECTRAL_RADIUS, 0.75, 0.0))
    assert exact.real
    assert exact.p is None
    assert exact.value == 0.25
    dust = between(Estimate(q.SPECTRAL_RADIUS, 0.3, 0.0), Estimate(q.SPECTRAL_RADIUS, 0.1 + 0.2, 0.0))
    assert dust.exact
    assert not dust.real
    assert dust.value == 0.0
    gone = [
        Estimate(
            q.LYAPUNOV_SPECTRUM, np.array(v), np.array([0.1, 0.0]), np.array(v), np.array(v), {"index": np.arange(2)}
        )
        for v in ([-0.5, -np.inf], [-0.5, -np.inf], [-0.5, -1.0])
    ]
    _, same = differences(gone[:1], gone[1:2], ("A", "B"))
    _, other = corrected(differences(gone[:1], gone[2:], ("A", "B")))
    assert (same.value, same.exact) == (0.0, True)
    assert other.value == np.inf
    assert other.real


def test_numbers_without_errors_are_not_tested():
    bare = between(Estimate(q.EFFECTIVE_DIMENSION, 3.0), Estimate(q.EFFECTIVE_DIMENSION, 9.0))
    assert bare.p is None
    assert not bare.real
    assert "no standard error" in bare.cannot_tell
    doubtful = between(
        number(q.PARTICIPATION_RATIO, 3.0, 0.1), number(q.PARTICIPATION_RATIO, 9.0, 0.1, cannot_tell="too few samples")
    )
    assert doubtful.cannot_tell == "B: too few samples"
    counts = [number(q.STUCK_UNITS, value, 0.0) for value in (6.0, 12.0)]
    assert "no error" in between(*counts).cannot_tell


def test_a_model_beside_itself_differs_in_nothing(twice):
    assert len(twice.differences) > 30
    assert all(d.value == 0 and d.exact and not d.real for d in twice.differences)
    assert twice.verdict == (f"A and B agree in every number: all {len(twice.differences)} differences are exactly 0.",)


def test_a_profile_comes_back_from_its_file(twice, tmp_path):
    first = twice.profiles[0]
    first.to_json(tmp_path / "saved.json")
    read = saved_profile(tmp_path / "saved.json")
    assert [e.to_dict() for e in read.estimates] == [e.to_dict() for e in first.estimates]
    assert hitherto.compare([first, read]).verdict == twice.verdict
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no.json was given for a saved profile.*hitherto profile MODEL --json"):
        saved_profile(tmp_path / "no.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"estimates": [], "provenance": {}}',
        '{"estimates": [{"axes": []}], "provenance": {}}',
        "[]",
        '{"estimates": 3}',
    ],
)
def test_what_is_no_profile_is_refused(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match="holds none"):
        saved_profile(tmp_path / "other.json")


def test_models_of_different_input_sizes_share_no_inputs(small):
    wide = hitherto.build(hitherto.RNN(2, 3), 0)
    with pytest.raises(ValueError, match="the same inputs were asked for all models, and these take 1 and 2 channels"):
        hitherto.compare([small, wide], np.zeros((16, 60, 1)))


def test_what_cannot_be_compared_is_refused():
    half = number(q.GRADIENT_HALF_LIFE, 9.0, 0.3)
    one, other = profiled(half), profiled(half, input_law="the user's inputs")
    with pytest.raises(ValueError, match="the inputs' law is 'white noise' for A and \"the user's inputs\" for B"):
        hitherto.compare([one, other])
    with pytest.raises(ValueError, match="at least 2 models, got 1"):
        hitherto.compare([one])
    with pytest.raises(ValueError, match="2 models need 2 names that differ"):
        hitherto.compare([one, one], names=["same", "same"])
    again = hitherto.compare([one, profiled(half, seed=1)])
    assert again.findings == ("the models were not driven by the same inputs: seed 0 and 1",)


def test_sentences_follow_the_corrected_tests():
    before = profiled(number(q.GRADIENT_HALF_LIFE, 9.0, 0.3), number(q.LINEAR_SHARE, 0.50, 0.02))
    after = profiled(beyond(500.0), number(q.LINEAR_SHARE, 0.51, 0.02))
    first, *rest = hitherto.compare([before, after], names=["before", "after"]).verdict
    assert first.startswith(
        "The half-life of the gradient is longer in after than in before: more than 500 against 9.0 ("
    )
    assert rest[0].startswith("1 of 2 tested differences from before are real")
    assert rest[-1].startswith("Cannot tell after from before by the linear share of the memory (+0.01, ")
    back = hitherto.compare([before, before, profiled(number(q.GRADIENT_HALF_LIFE, 9.1, 0.3))])
    assert back.verdict[0] == "None of the main differences between A and C is certain."


def test_what_only_its_own_interval_decides_is_not_called_real():
    many = [number(q.TASK_LOSS, 0.0, 1.0, part=str(i)) for i in range(40)]
    before = profiled(number(q.LINEAR_SHARE, 0.5, 0.01), *many)
    after = profiled(number(q.LINEAR_SHARE, 0.5 + 0.01 * 2**0.5 * 2.3, 0.01), *many)
    found = hitherto.compare([before, after])
    (share,) = [d for d in found.differences if d.quantity == q.LINEAR_SHARE]
    assert share.alone
    assert not share.real
    assert any(s.startswith("Cannot tell of 1 more") for s in found.verdict)
    assert not any("linear share of the memory is" in s for s in found.verdict)


def test_a_series_names_first_and_last_and_since_when():
    values = (9.0, 9.1, 14.0, 20.0)
    found = hitherto.compare([profiled(number(q.GRADIENT_HALF_LIFE, v, 0.3)) for v in values], names=list("0123"))
    assert found.verdict[0].endswith("20 (19 to 21) against 9.0 (8.4 to 9.6) steps, and so from 2 on.")
    page = found.to_html()
    assert 'id="series-gradient_half_life"' in page
    assert ">20</td>" in page


def test_the_page_is_whole_and_trusts_no_name():
    estimates = [number(q.GRADIENT_HALF_LIFE, 9.0, 0.3), curve(q.LINEAR_MEMORY, [1.0, 0.5, 0.2])]
    other = [number(q.GRADIENT_HALF_LIFE, 12.0, 0.3), curve(q.LINEAR_MEMORY, [1.0, 0.7, 0.2])]
    found = hitherto.compare([profiled(*estimates), profiled(*other)], names=["<b>a</b>", "b"])
    page = found.to_html()
    assert page == found.to_html()
    assert "<b>a" not in page
    assert "&lt;b&gt;a" in page
    assert not re.search(r'(src|href)="(?!#)|@import|url\((?!#)', page)
    assert page.count("<figure") == page.count("<svg") == 2


def test_json_holds_every_difference(tmp_path):
    found = hitherto.compare(
        [profiled(number(q.GRADIENT_HALF_LIFE, 9.0, 0.3)), profiled(beyond(500.0))], names=["a", "b"]
    )
    found.to_json(tmp_path / "c.json")
    record = json.loads((tmp_path / "c.json").read_text())
    (one,) = record["differences"]
    assert (one["quantity"], one["first"], one["second"], one["high"]) == ("gradient_half_life", "a", "b", "inf")
    assert one["real"] is True
    assert one["value"] == 491.0
    assert list(record["profiles"]) == ["a", "b"]
    assert record["verdict"] == list(found.verdict)
