"""The memory that streams of symbols ask for, where it is known; and inputs of many channels."""

import json

import numpy as np
import pytest

from hitherto.advice.adviser import advised
from hitherto.advice.demand import memory_demand, request_of
from hitherto.advice.gains import places
from hitherto.advice.page import advice_page
from hitherto.advice.request import Request
from hitherto.advice.symbols import ALPHABET, BACK_OFF, by_contexts, codes_of, information

RNG = np.random.default_rng(0)
LETTERS = RNG.integers(0, 8, 4000)
BITS = RNG.integers(0, 2, 4000)


def chain(order, symbols=4, steps=6000, seed=0):
    """A Markov chain whose rows are drawn unevenly, so that the past tells much."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(symbols, 0.4), (symbols,) * order).cumsum(-1)
    x = [0] * order
    for u in rng.random(steps):
        x.append(min(int((rows[tuple(x[-order:])] < u).sum()), symbols - 1))
    return np.array(x[order:])


def test_an_order_2_chain_wants_two_symbols():
    found = memory_demand(chain(2), longest=30, symbols=True)
    assert found.lag.low <= 1 <= found.lag.high
    assert found.lag.value == 1
    assert found.nonlinear
    assert (found.channels, found.symbols) == (4, True)
    request = request_of(found)
    assert (request.lag, request.channels, request.rank) == (1, 4, None)


def test_an_order_1_chain_wants_no_recurrence():
    found = memory_demand(chain(1), longest=30, symbols=True)
    assert (found.lag.value, found.lag.high, found.nonlinear) == (0, 0, False)
    assert found.rank.value == 3  # one symbol is given by the others
    assert "The newest symbol alone" in found.sentence
    with pytest.raises(ValueError, match="want no recurrence"):
        request_of(found)


def test_a_copy_17_symbols_back_is_found_by_sums():
    found = memory_demand(LETTERS[17:], LETTERS[:-17], symbols=True)
    assert (found.lag.low, found.lag.value, found.lag.high) == (17, 17, 17)
    assert (found.kind, found.nonlinear, found.rank.value) == ("linear", False, 7 * 18)
    assert found.information.argmax() == found.told == 17


def test_independent_symbols_have_no_memory():
    for seed in range(3):
        found = memory_demand(np.random.default_rng(seed).integers(0, 8, 2000), symbols=True)
        assert (found.lag, found.kind, found.rank, found.wanted) == (None, None, None, 0)
        assert "no memory" in found.sentence


def test_exclusive_or_of_two_bits_is_no_sum():
    found = memory_demand(BITS, BITS ^ np.roll(BITS, 1), longest=30, symbols=True)
    assert found.lag.low <= found.lag.value == 1
    assert found.nonlinear
    assert found.gains[0].value.max() < 0.01
    assert found.gains[1].value[1] > 0.99
    assert found.told is None  # no single bit tells anything


def test_a_rank_that_noise_hides_is_not_told():
    phrase = np.unique(list("to be or not to be, that is the question: " * 20), return_inverse=True)[1]
    found = memory_demand(phrase, symbols=True)  # lags repeat each other, so that no filter is sure
    assert found.kind == "linear"
    assert found.rank is None
    assert "states" not in found.sentence


def test_names_of_symbols_do_not_matter():
    x = chain(2, steps=1500)
    names = np.array([200, 3, 17, 90])
    plain, named = (memory_demand(one, symbols=True) for one in (x, names[x]))
    np.testing.assert_allclose(named.gains[1].value, plain.gains[1].value, atol=1e-9)
    np.testing.assert_allclose(named.information, plain.information, atol=1e-12)


def test_sequences_of_symbols():
    x = LETTERS.reshape(40, 100)
    found = memory_demand(x, np.roll(x, 3, axis=1), longest=6, symbols=True)
    assert (found.lag.value, found.samples) == (3, 4000)


def test_back_off_against_counting_one_by_one():
    x, y = LETTERS[None, :300] % 3, LETTERS[None, 1:301] % 3
    fit = by_contexts(x, y, 2, np.random.default_rng(0))
    block = np.array_split(np.arange(298), 10)[4]
    x, y = x[0], y[0, 2:]
    far = [t for t in range(298) if t < block[0] - 2 or t > block[-1] + 2]

    def told(t, context):
        if context < 0:
            return 1 / 3
        same = [s for s in far if context == 0 or (x[s + 3 - context : s + 3] == x[t + 3 - context : t + 3]).all()]
        weight = BACK_OFF * len({y[s] for s in same})
        shorter = told(t, context - 1)
        return (sum(y[s] == y[t] for s in same) + weight * shorter) / (len(same) + weight) if same else shorter

    shares = np.bincount(y) / len(y)
    entropy = -(shares * np.log(shares)).sum()
    for lag in range(3):
        by_hand = -np.mean([np.log(told(t, lag + 1)) for t in block]) / entropy
        assert fit.left[4, lag] == pytest.approx(by_hand, rel=1e-12)


def test_information_of_a_noisy_copy():
    kept = np.random.default_rng(1).random(4000) < 0.5
    y = np.where(kept, np.roll(BITS, 2), 1 - BITS[::-1])  # the right bit in three of four
    found, error, chance = information(BITS[None], y[None], 20, np.random.default_rng(0))
    known = np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    assert abs(found[2] - known) < 4 * error[2]
    assert np.delete(found, 2).max() < 5 * chance < known


def test_runs_are_fewer_where_there_are_more_numbers():
    rng = np.random.default_rng(0)
    assert len(places(500, 1, 3, rng)) == 40
    assert len(places(20_000, 95, 3, rng)) == 20
    assert memory_demand(chain(1, steps=1000), symbols=True).gains[0].shuffles == 39


@pytest.mark.parametrize("rows", [500, 1003])
def test_every_shuffle_moves_every_step(rows):
    order, *shuffles = places(rows, 1, 3, np.random.default_rng(0))
    for one in shuffles:
        assert sorted(one) == list(order)
        assert (one != order).all()


def test_one_hot_of_95_channels_is_tried_by_what_fits():
    codes = np.random.default_rng(0).integers(0, 95, 4000)
    found = memory_demand(np.eye(95)[codes])
    assert [gain.name for gain in found.gains] == ["linear", "squares"]
    assert found.lag is None
    assert "Not tried: products of 2, products of 3, products of 8. 95 channels" in found.notes[0]
    assert "one-hot" in found.notes[1]


def test_squares_that_do_not_fit_leave_room_for_lags():
    found = memory_demand(np.random.default_rng(0).standard_normal((2000, 70)))
    assert [gain.name for gain in found.gains] == ["linear"]
    assert (found.reach, found.gains[0].last) == (2, 2)
    assert "squares" in found.notes[0]


def test_alphabets_too_large_for_sums():
    codes = np.random.default_rng(0).integers(0, 60, 400)
    found = memory_demand(codes, np.roll(codes, 1), symbols=True)
    assert [gain.name for gain in found.gains] == ["contexts"]
    assert (found.rank, found.nonlinear) == (None, False)
    assert "is not known" in found.notes[0]


def test_whole_numbers_are_amounts_unless_told():
    assert "Whole numbers of 8 values were taken as amounts" in memory_demand(LETTERS[:500]).notes[0]
    assert memory_demand(LETTERS[:500].astype(float)).notes == ()
    assert memory_demand(np.random.default_rng(0).integers(-3000, 3000, 500)).notes == ()


def test_a_smooth_series_wants_what_its_newest_value_leaves():
    steps = np.arange(2000)
    smooth = np.sin(steps / 8) + 0.05 * np.random.default_rng(0).standard_normal(2000)
    found = memory_demand(smooth)
    assert found.lag.value == 0
    assert found.wanted == found.lag.high > 1
    assert "The newest input alone has 95%" in found.sentence
    assert "older ones bring what is left of the variance from" in found.sentence
    assert request_of(found).lag == found.lag.high


def test_symbols_that_come_late_are_no_constants():
    x = chain(1, 2, 20_500)
    found = memory_demand(np.r_[x, x[:500] + 2], longest=4, symbols=True)
    assert [gain.name for gain in found.gains] == ["linear", "contexts"]
    found = memory_demand(np.r_[0 * x, x], longest=4, symbols=True)
    assert [gain.name for gain in found.gains] == ["contexts"]


def test_json_of_symbols():
    found = json.loads(json.dumps(memory_demand(BITS[:400], symbols=True).to_dict()))
    assert found["symbols"] is True
    assert found["gains"][1]["shuffles"] == 39


def test_more_channels_than_units_of_a_draw():
    assert "For 40 channels over 2 steps" in advised(Request(2, 40, families=("gru", "rnn")), 0).sentence


def test_page_of_symbols():
    found = memory_demand(chain(2, steps=3000), longest=20, symbols=True)
    page = advice_page(advised(request_of(found), 0), found)
    assert "left of the entropy" in page
    assert "mutual information (nats)" in page
    assert "mathdefault" not in page


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (np.array(list("text" * 100)), "number them by np.unique"),
        (LETTERS.astype(float), "must be symbols, whole numbers .* got float64"),
        (LETTERS - 1, "got -1; cut what marks padding"),
        (np.arange(1000) % (ALPHABET + 1), "256 different symbols or fewer, got 257; give one code"),
        (np.zeros(500, int), "single symbol"),
        (LETTERS[:100], "200 steps or more"),
        (np.zeros((2, 300, 3), int), r"shape \(time\) or \(sequence, time\)"),
    ],
)
def test_symbols_refused(inputs, told):
    with pytest.raises(ValueError, match=told):
        memory_demand(inputs, symbols=True)


def test_too_many_channels_are_refused():
    with pytest.raises(ValueError, match=r"300 channels over 4,096 steps, and two lags .* give 250 channels or fewer"):
        memory_demand(np.random.default_rng(0).standard_normal((4097, 300)))


def test_strings_are_told_of_symbols():
    with pytest.raises(ValueError, match="symbols=True"):
        memory_demand(np.array(list("text" * 100)))


def test_codes_skip_what_does_not_occur():
    assert codes_of("inputs", np.array([7, 2, 7, 9])).tolist() == [[1, 0, 1, 2]]
