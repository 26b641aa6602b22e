"""Plans of copying networks, against exact vectors and exhaustive search."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitherto.theory.depth import copy_feasible, effective_dimension
from hitherto.theory.depth_planner import parameter_count, plan_copy

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
RANKS = {"cprnn": (3,), "tt2rnn": (2, 3)}
PLANNED = ("rnn", "cprnn", "2rnn", "mirnn", "tt2rnn", "lstm", "gru")
channels, delays = st.integers(1, 6), st.integers(0, 25)
few = settings(deadline=None, max_examples=60)


def label(row: dict) -> str:
    return " ".join(f"{name}{value}" for name, value in row.items())


def settings_of(row: dict) -> dict:
    return {"biases": row["bias_per_layer"], "readout_bias": row["readout_bias"]}


def least_of_all(channels, delay, price, states=1):
    """Every depth with every width that holds the signal: the least price, and the least depth of that price."""
    deepest = max(1, channels * delay)
    sizes = [(depth, width) for depth in range(1, deepest + 1) for width in range(channels, channels * (delay + 1) + 1)]
    return min((price(*s), *s) for s in sizes if copy_feasible([states * s[1]] * s[0], channels, delay))


class TestParameterCount:
    @pytest.mark.parametrize("row", TRUTH["param_counts"], ids=label)
    def test_known(self, row):
        ranks = tuple(row[name] for name in ("R", "r1", "r2") if name in row)
        inputs = row["emb"] if "emb" in row else row["d"]
        found = parameter_count(
            row["model"],
            row["L"],
            row["n"],
            inputs,
            row["o"],
            ranks=ranks,
            biases=row.get("bias_per_layer", 0) if row["model"] == "rnn" else 0,
            readout_bias=row["readout_bias"],
            symbols=row.get("vocab", 0),
        )
        assert found == row["count"]

    @pytest.mark.parametrize(("family", "module"), [("rnn", "RNN"), ("lstm", "LSTM"), ("gru", "GRU")])
    def test_the_same_as_in_pytorch(self, family, module):
        nn = pytest.importorskip("torch").nn
        parts = getattr(nn, module)(5, 7, num_layers=3), nn.Linear(7, 2), nn.Embedding(11, 5)
        counted = sum(p.numel() for part in parts for p in part.parameters())
        biases = 2 if family == "rnn" else 0
        assert parameter_count(family, 3, 7, 5, 2, biases=biases, readout_bias=True, symbols=11) == counted

    def test_without_factors_the_second_order_is_gone(self):
        sizes = (3, 4, 2, 2)
        plain = parameter_count("rnn", *sizes, biases=1)
        assert parameter_count("cprnn", *sizes, ranks=(0,)) == parameter_count("tt2rnn", *sizes, ranks=(0, 0)) == plain

    def test_all_lower_terms_are_those_of_an_affine_layer(self):
        sizes = (3, 4, 2, 2)
        alone = parameter_count("birnn", *sizes) - 4 * 2
        assert parameter_count("2rnn", *sizes) == alone + parameter_count("rnn", *sizes, biases=1)


class TestPlan:
    @pytest.mark.parametrize("row", TRUTH["planner_min_params"], ids=label)
    def test_cheapest(self, row):
        found = plan_copy(row["d"], row["k"], **settings_of(row))
        assert (found.parameters, found.depth, found.width) == (row["params"], row["L"], row["n"])
        assert (found.shallow_width, found.shallow_parameters) == (row["shallow_n"], row["shallow_params"])

    @pytest.mark.parametrize("row", TRUTH["planner_max_delay"], ids=label)
    def test_longest(self, row):
        found = plan_copy(row["d"], parameters=row["budget"], **settings_of(row))
        assert (found.delay, found.parameters) == (row["k"], row["params"])
        assert (found.depth, found.width) == (row["L"], row["n"])

    @given(
        channels=st.integers(1, 4),
        delay=st.integers(0, 7),
        family=st.sampled_from(["rnn", "lstm", "gru", *RANKS, "2rnn"]),
    )
    @example(channels=3, delay=0, family="lstm")  # states enough, but too few units to pass the signal up
    @few
    def test_no_other_sizes_are_cheaper(self, channels, delay, family):
        found = plan_copy(channels, delay, family=family, ranks=RANKS.get(family, ()))
        price = lambda depth, width: parameter_count(  # noqa: E731
            family, depth, width, channels, channels, ranks=RANKS.get(family, ())
        )
        states = 2 if family == "lstm" else 1
        assert (found.parameters, found.depth, found.width) == least_of_all(channels, delay, price, states)
        assert found.shallow_parameters == price(1, found.shallow_width)
        assert found.attained == (family not in ("lstm", "gru"))

    @given(channels=channels, delay=delays, biases=st.integers(0, 2), readout_bias=st.booleans())
    def test_every_depth_is_looked_at(self, channels, delay, biases, readout_bias):
        found = plan_copy(channels, delay, biases=biases, readout_bias=readout_bias)
        prices = []
        for depth in range(1, max(1, channels * delay) + 1):
            n = channels + math.ceil(channels * delay / depth)
            dense = n * channels + n**2 + 2 * (depth - 1) * n**2 + channels * n + biases * n * depth
            prices.append((dense + channels * readout_bias, depth))
        assert (found.parameters, found.depth) == min(prices)

    @given(channels=channels, delay=delays)
    def test_effective_dimensions_are_cheapest_in_one_layer(self, channels, delay):
        found = plan_copy(channels, delay, cost="effective")
        assert (found.depth, found.parameters) == (1, 2 * channels**2 * (delay + 1))
        price = lambda depth, width: effective_dimension(depth, width, channels, channels)  # noqa: E731
        assert plan_copy(channels, delay, cost=price).parameters == found.parameters

    @given(channels=channels, parameters=st.integers(1, 20_000), cost=st.sampled_from(["dense", "effective"]))
    def test_the_budget_pays_for_no_step_more(self, channels, parameters, cost):
        found = plan_copy(channels, parameters=parameters, cost=cost)
        smallest = plan_copy(channels, 0, cost=cost).parameters
        if parameters < smallest:
            assert (found.delay, found.parameters) == (None, smallest)
            return
        assert found == plan_copy(channels, found.delay, cost=cost)
        assert found.parameters <= parameters < plan_copy(channels, found.delay + 1, cost=cost).parameters

    @given(channels=channels, delay=delays, family=st.sampled_from(["rnn", "lstm"]))
    def test_the_reach_is_that_of_the_sizes(self, channels, delay, family):
        found = plan_copy(channels, delay, family=family)
        states = found.width * (2 if family == "lstm" else 1)
        assert found.reach >= delay
        assert copy_feasible([states] * found.depth, channels, found.reach)
        assert not copy_feasible([states] * found.depth, channels, found.reach + 1)

    def test_depth_wins_from_four_steps_on(self):
        for d in range(1, 11):
            for k in range(1, 41):
                found, deep, shallow = plan_copy(d, k), 8 * k * d**2, d**2 * (k + 1) * (k + 3)
                assert found.shallow_parameters == shallow
                assert found.parameters <= min(deep, shallow)
                assert (deep < shallow, deep == shallow) == (k >= 4, k in (1, 3))
                if k >= 3:
                    assert deep <= 1.0113 * found.parameters
        assert plan_copy(5, 6).parameters == 1199

    def test_prices_of_ones_own(self):
        """Waiting for layers costs more than weights: then one layer is best."""
        assert plan_copy(2, 9, cost=lambda depth, width: 1000.0 * depth + width).depth == 1
        assert plan_copy(2, 9, cost=lambda depth, width: depth + 1000.0 * width).width == 3

    @pytest.mark.slow
    def test_large_plans_take_few_looks(self):
        assert plan_copy(1, 10**12).depth == 10**12
        assert plan_copy(1, parameters=10**12).delay == 10**12 // 8
        looks = []

        def price(depth, width):
            looks.append((depth, width))
            return parameter_count("rnn", depth, width, 10**6, 10**6)

        found = plan_copy(10**6, 10**6, cost=price)
        assert len(looks) < 20_000
        assert found == plan_copy(10**6, 10**6)
        assert found.parameters <= 8 * 10**18


class TestBadInput:
    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (lambda: plan_copy(0, 1), "need channels >= 1, got 0"),
            (lambda: plan_copy(1, -1), "need delay >= 0, got -1"),
            (lambda: plan_copy(1, True), "need delay >= 0, got True"),
            (lambda: plan_copy(1), "got delay=None, parameters=None; give one"),
            (lambda: plan_copy(1, 1, 1), "got delay=1, parameters=1; give one"),
            (lambda: plan_copy(1, parameters=0), "needs parameters above 0, got 0"),
            (lambda: plan_copy(1, parameters=math.nan), "needs parameters above 0, got nan"),
            (lambda: plan_copy(1, parameters=math.inf), "budget of inf was given"),
            (lambda: plan_copy(1, parameters=5, cost=lambda depth, width: 1), "or a cost that grows"),
            (lambda: plan_copy(1, 1, cost="flops"), "no cost 'flops'; there is dense, effective"),
            (lambda: plan_copy(1, 1, family="rnnn"), "no family of cells 'rnnn'; there is rnn, cprnn"),
            (lambda: plan_copy(1, 1, family="birnn"), "copies nothing; take '2rnn'"),
            (lambda: plan_copy(1, 1, family="gru", cost="effective"), "known for family 'rnn', got 'gru'"),
            (lambda: plan_copy(1, 1, biases=2, cost="effective"), "biases=2, .* cost='effective' does not count"),
            (lambda: parameter_count("rnn", 1, 0, 1, 1), "need width >= 1, got 0"),
            (lambda: parameter_count("rnn", 1, 1, 1, 1, biases=-1), "need biases >= 0, got -1"),
            (lambda: parameter_count("rnn", 1, 1, 1, 1, symbols=-1), "need symbols >= 0, got -1"),
            (lambda: parameter_count("cprnn", 1, 1, 1, 1, ranks=(-1,)), "need ranks >= 0, got -1"),
            (lambda: parameter_count("cprnn", 1, 1, 1, 1), r"'cprnn' has 1 ranks, got ranks=\(\)"),
            (lambda: parameter_count("rnn", 1, 1, 1, 1, ranks=(2,)), r"'rnn' has 0 ranks, got ranks=\(2,\)"),
            (lambda: parameter_count("lstm", 1, 1, 1, 1, biases=1), "'lstm' has its own biases, got biases=1"),
            (lambda: parameter_count("elman", 1, 1, 1, 1), "no family of cells 'elman'"),
        ],
    )
    def test_by_message(self, call, says):
        with pytest.raises(ValueError, match=says):
            call()
