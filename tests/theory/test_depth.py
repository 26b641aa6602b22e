"""Laws of depth, against exact vectors and against networks that are run: in integers, polynomials and fractions."""

import json
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import permutations, product
from pathlib import Path

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from hitherto.core.model import precision
from hitherto.theory.depth import (
    closure_width,
    copy_feasible,
    copy_loss_floor,
    copy_loss_weights,
    copy_obstacle,
    copy_reach,
    effective_dimension,
    least,
    population_copy_loss,
)
from hitherto.theory.depth_degree import (
    geometric_mean_moment,
    layers_for_degree,
    linear_floor,
    polynomial_degree,
    power_floor,
    sine_floor,
    start_end_bound,
)

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "depth_oracles.json").read_text())
FLOORS = TRUTH["floors"]
LINEAR = {
    "parity": "linear_parity",
    "geometric-mean": "linear_cumulative_geometric_mean",
    "running-mean": "linear_running_mean",
}
PRIME = 2**61 - 1
REFUSED = (ValueError, TypeError)  # the run-time check of annotations gives a TypeError before the library is asked
few = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def label(row: dict) -> str:
    return " ".join(f"{name}{value}" for name, value in row.items() if not isinstance(value, list | float))


def exact(matrix) -> np.ndarray:
    return np.array([[Fraction(entry) for entry in row] for row in matrix], object)


def impulse_response(weights_hh, weights_ih, readout, lags: int, late: bool = False) -> np.ndarray:
    """g_j, by running the stack on an impulse in each channel; `late` layers see the one below a step later."""
    states = [np.zeros((len(w), weights_ih[0].shape[1]), w.dtype) for w in weights_hh]
    answers = []
    for lag in range(lags):
        below, after = np.eye(weights_ih[0].shape[1], dtype=int) * (lag == 0), []
        for layer, (w, u, h) in enumerate(zip(weights_hh, weights_ih, states, strict=True)):
            seen = states[layer - 1] if late and layer else below
            below = w @ h + u @ seen
            after.append(below)
        states = after
        answers.append(readout @ below)
    return np.array(answers)


def registers(lengths, channels: int):
    """Shift registers one above the other, all channels alike: the delays of the layers add up."""
    one = np.eye(channels)
    weights_hh = [np.kron(np.eye(length + 1, k=-1), one) for length in lengths]
    last = [np.eye(channels)] + [np.kron(np.eye(length + 1)[-1:], one) for length in lengths]
    weights_ih = [np.kron(np.eye(n + 1)[:, :1], one) @ read for n, read in zip(lengths, last[:-1], strict=True)]
    return weights_hh, weights_ih, last[-1]


def determinant(entries):
    """Of a small matrix over any ring."""
    total = 0
    for order in permutations(range(len(entries))):
        odd = sum(a > b for k, b in enumerate(order) for a in order[:k]) % 2
        total += (-1) ** odd * math.prod(entries[row][column] for row, column in enumerate(order))
    return total


class TestCopying:
    @pytest.mark.parametrize("row", TRUTH["copy_feasibility"], ids=lambda r: f"{len(r['widths'])}x{label(r)}")
    def test_reach(self, row):
        widths, channels = row["widths"], row["d"]
        assert copy_reach(widths, channels) == row["max_delay"]
        assert copy_feasible(widths, channels, row["k"]) == row["feasible"]
        assert (copy_obstacle(widths, channels, row["k"]) is None) == row["feasible"]

    @given(widths=st.lists(st.integers(1, 12), min_size=1, max_size=8), channels=st.integers(1, 4), late=st.booleans())
    def test_the_reach_is_feasible_and_a_step_more_is_not(self, widths, channels, late):
        reach = copy_reach(widths, channels, delayed_links=late)
        if reach is None:
            assert "cannot even pass it" in copy_obstacle(widths, channels, 0, delayed_links=late)
            return
        assert copy_feasible(widths, channels, reach, delayed_links=late)
        assert not copy_feasible(widths, channels, reach + 1, delayed_links=late)

    @given(
        lengths=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        channels=st.integers(1, 2),
        late=st.booleans(),
    )
    @few
    def test_registers_reach_it(self, lengths, channels, late):
        reach = copy_reach([channels * (length + 1) for length in lengths], channels, delayed_links=late)
        steps = reach + 3
        response = impulse_response(*registers(lengths, channels), lags=steps, late=late)
        assert population_copy_loss(response, reach, steps) == 0

    @given(
        widths=st.lists(st.integers(2, 4), min_size=1, max_size=3),
        channels=st.integers(1, 2),
        seed=seeds,
    )
    @few
    def test_a_stack_owns_as_many_zeros_as_it_has_units_to_spare(self, widths, channels, seed):
        """det G is a polynomial of that degree over the product of det(I - z W): what copying d k steps must vanish."""
        rng = np.random.default_rng(seed)
        draw = lambda *shape: rng.integers(-99, 100, shape).astype(object)  # noqa: E731
        below = [channels, *widths[:-1]]
        weights_hh = [draw(n, n) for n in widths]
        weights_ih = [draw(n, m) for n, m in zip(widths, below, strict=True)]
        order = sum(widths) + 3
        response = impulse_response(weights_hh, weights_ih, draw(channels, widths[-1]), order)
        entries = [
            [flint.fmpz_poly(list(map(int, response[:, i, j]))) for j in range(channels)] for i in range(channels)
        ]
        poles = [list(flint.fmpz_mat(w.tolist()).charpoly())[::-1] for w in weights_hh]
        numerator = determinant(entries) * math.prod(map(flint.fmpz_poly, poles))
        degree = max(power for power, entry in enumerate(list(numerator)[:order]) if entry)
        assert degree == sum(widths) - channels * len(widths)
        assert copy_reach(widths, channels) == degree // channels

    def test_late_links_delay_by_themselves(self):
        assert copy_reach([2, 2, 2], 2, delayed_links=True) == 2
        assert not copy_feasible([9, 9, 9], 2, 1, delayed_links=True)
        assert "2 late links" in copy_obstacle([9, 9, 9], 2, 1, delayed_links=True)

    def test_what_is_missing_is_said(self):
        assert copy_obstacle([24, 24], 5, 8) == "spare units needed 40, available 38"
        assert "layer 2 has 1 units for 2 channels" in copy_obstacle([5, 1, 5], 2, 0)


class TestEffectiveDimension:
    @pytest.mark.parametrize("row", TRUTH["effective_dimension"], ids=label)
    def test_known(self, row):
        assert effective_dimension(row["L"], row["n"], row["d"], row["o"]) == row["rank"]

    @pytest.mark.parametrize("sizes", [(2, 3, 2, 2), (3, 2, 1, 2), (2, 4, 3, 1)])
    def test_it_is_the_rank_of_the_jacobian(self, sizes):
        depth, width, inputs, outputs = sizes
        shapes = [(width, width)] * depth + [(width, inputs)] + [(width, width)] * (depth - 1) + [(outputs, width)]
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=shape) / math.sqrt(width) for shape in shapes]

        def response(weights):
            states, answers = [jnp.zeros((width, inputs))] * depth, []
            for lag in range(2 * depth * width + 1):
                below, after = jnp.eye(inputs) * (lag == 0), []
                for w, u, h in zip(weights[:depth], weights[depth:-1], states, strict=True):
                    below = w @ h + u @ below
                    after.append(below)
                states = after
                answers.append(weights[-1] @ below)
            return jnp.stack(answers).ravel()

        with precision(np.float64):
            parts = jax.jacobian(response)([jnp.asarray(w) for w in weights])
            jacobian = np.concatenate([np.asarray(p).reshape(p.shape[0], -1) for p in parts], axis=1)
        assert np.linalg.matrix_rank(jacobian, rtol=1e-11) == effective_dimension(*sizes)

    def test_depth_saves_dense_weights_not_these(self):
        for channels, delay in product(range(1, 5), range(1, 9)):
            deep = effective_dimension(delay, 2 * channels, channels, channels)
            shallow = effective_dimension(1, channels * (delay + 1), channels, channels)
            assert (deep, shallow) == ((3 * delay + 1) * channels**2, 2 * channels**2 * (delay + 1))


class TestCopyLoss:
    @pytest.mark.parametrize("row", TRUTH["population_mse"], ids=label)
    def test_known(self, row):
        weights = [[exact(matrix) for matrix in row[name]] for name in ("W", "U")]
        response = impulse_response(*weights, exact(row["V"]), row["T"])
        found = population_copy_loss(response.astype(float), row["k"], row["T"])
        assert found == pytest.approx(float(Fraction(row["value"])), rel=1e-14)

    def test_the_known_network_copies(self):
        row = TRUTH["copy_construction"][0]
        weights = [[np.array(matrix, float) for matrix in row[name]] for name in ("W", "U")]
        response = impulse_response(*weights, np.array(row["V"], float), 9)
        assert np.array_equal(response[:5], row["markov"])
        assert population_copy_loss(response, 1, 9) == 0
        assert copy_reach(row["widths"], row["d"]) == row["k"]

    @given(channels=st.integers(1, 3), delay=st.integers(0, 4), more=st.integers(1, 4), seed=seeds)
    @few
    def test_it_is_the_distance_of_two_linear_maps(self, channels, delay, more, seed):
        """Both maps of a whole sequence, as matrices: the loss is the mean square of the difference of their rows."""
        length = delay + more
        rng = np.random.default_rng(seed)
        response, means = rng.normal(size=(length + 2, channels, channels)), rng.normal(size=(length, channels))
        network, copy = np.zeros((2, length, channels, length, channels))
        for t, s in product(range(length), repeat=2):
            network[t, :, s] = response[t - s] if t >= s else 0
            copy[t, :, s] = np.eye(channels) * (t - s == delay)
        square = np.square(network - copy).sum((2, 3)) + means**2
        assert population_copy_loss(response, delay, length, means) == pytest.approx(square[delay:].mean(), rel=1e-12)

    def test_silence_has_loss_one(self):
        assert population_copy_loss(np.zeros((7, 3, 3)), 2, 7) == pytest.approx(1)
        assert copy_loss_weights(0, 4).tolist() == [1, 0.75, 0.5, 0.25]

    @pytest.mark.parametrize("row", TRUTH["copy_mse_floor"], ids=label)
    def test_floor(self, row):
        found = copy_loss_floor(row["total_state"], row["d"], row["k"], row["T"])
        assert found == pytest.approx(row["floor"], abs=1e-12)

    @given(channels=st.integers(1, 6), copied=st.integers(0, 6), delay=st.integers(0, 5), more=st.integers(0, 5))
    def test_floor_is_met_by_copying_some_channels(self, channels, copied, delay, more):
        copied, length = min(copied, channels), 2 * delay + 1 + more
        response = np.zeros((length, channels, channels))
        response[delay, :copied, :copied] = np.eye(copied)
        floor = copy_loss_floor(copied * (delay + 1), channels, delay, length)
        assert population_copy_loss(response, delay, length) == pytest.approx(floor, abs=1e-12)

    @pytest.mark.parametrize(("delay", "length"), [(1, 2), (1, 8), (2, 4), (3, 5), (4, 16)])
    def test_one_state_stays_above_its_floor(self, delay, length):
        """g_j = c a^j, with the best c for each a."""
        weights, poles = copy_loss_weights(delay, length), np.linspace(-6, 6, 2401)
        response = poles[:, None] ** np.arange(length)
        losses = 1 - response[:, delay] ** 2 / (response**2 @ weights)
        assert copy_loss_floor(1, 1, delay, length) <= losses.min() < 1

    @given(delay=st.integers(1, 6), after=st.integers(1, 6), small=st.sampled_from([1e-2, 1e-3]))
    def test_an_echo_beyond_the_end_needs_the_closure_width_alone(self, delay, after, small):
        """g[j + r] = -g[j] / small, a recurrence of r states, is 1 at the delay and small before it."""
        after = min(after, delay)
        length = delay + after
        response = np.zeros((length, 1, 1))
        response[delay::-after, 0, 0] = (-small) ** np.arange(delay // after + 1)
        assert closure_width(1, delay, length) == after < delay + 1
        assert population_copy_loss(response, delay, length) < length * small**2
        assert copy_loss_floor(after, 1, delay, length) == 0 < copy_loss_floor(after - 1, 1, delay, length)

    def test_long_sequences_leave_no_room_for_echoes(self):
        assert closure_width(5, 8, 17) == 45
        assert closure_width(5, 8, 16) == 40


class TestDegree:
    @pytest.mark.parametrize("row", TRUTH["degree_total"], ids=label)
    def test_total(self, row):
        assert polynomial_degree(row["L"], step=row["t"]) == row["degree"]

    @pytest.mark.parametrize("row", TRUTH["degree_in_one_input"], ids=label)
    def test_in_one_input(self, row):
        assert polynomial_degree(row["L"], lag=row["lag"]) == row["degree"]

    @pytest.mark.parametrize("row", TRUTH["ladder"], ids=label)
    def test_the_ladder_climbs_to_it(self, row):
        assert polynomial_degree(row["L"], lag=row["lag"]) == row["exponent"]

    @pytest.mark.parametrize("row", TRUTH["unary_growth"], ids=label)
    def test_growth_on_a_constant_input(self, row):
        states = [1] * row["L"]
        for _ in range(row["t"]):
            below = 2
            for layer in range(row["L"]):
                below = states[layer] = states[layer] * below
        assert below == 2 ** row["log2_value"]
        assert polynomial_degree(row["L"], step=row["t"]) == row["log2_value"]

    @given(
        depth=st.integers(1, 3),
        step=st.integers(1, 4),
        width=st.integers(1, 2),
        cell=st.sampled_from(["affine", "no-input", "bilinear", "linear"]),
        start=st.sampled_from(["zero", "nonzero"]),
        power=st.integers(1, 3),
        seed=seeds,
    )
    @settings(deadline=None, max_examples=120)
    def test_networks_run_on_polynomials_have_it(self, depth, step, width, cell, start, power, seed):
        """All inputs along a line, and one of them alone, in a random network modulo a prime."""
        power = power if cell == "linear" else 1
        sizes = {"depth": depth, "cell": cell, "start": start, "activation_degree": power}
        free = RandomStack(depth, width, cell, start, power, seed)
        assert free.degree(step, range(step)) == polynomial_degree(step=step, **sizes)
        for lag in range(step):
            expected = polynomial_degree(lag=lag, **sizes)
            silent = cell == "no-input" and start == "zero" and lag == step - 1
            assert free.degree(step, [step - 1 - lag]) == (0 if silent else expected)

    @given(degree=st.integers(1, 10**9), lag=st.integers(1, 40))
    def test_fewest_layers(self, degree, lag):
        depth = layers_for_degree(degree, lag)
        assert polynomial_degree(depth, lag=lag) >= degree
        assert depth == 1 or polynomial_degree(depth - 1, lag=lag) < degree

    def test_no_depth_squares_the_present_input(self):
        assert layers_for_degree(1, 0) == 1
        assert layers_for_degree(2, 0) is None
        assert {polynomial_degree(depth, lag=0) for depth in range(1, 50)} == {1}

    def test_long_degrees_are_exact_and_longer_ones_refused(self):
        assert polynomial_degree(12, step=100) == math.comb(111, 12)
        assert polynomial_degree(3, step=1000) == math.comb(1002, 3)
        assert layers_for_degree(10**40, 1) == 10**40
        for ask in ({"step": 10**9}, {"lag": 10**9}, {"lag": 2, "cell": "linear", "activation_degree": 3}):
            with pytest.raises(ValueError, match=r"must fit into 1,000,000 bits, and may have \d"):
                polynomial_degree(10**9 if "step" in ask or "cell" not in ask else 10**7, **ask)

    @pytest.mark.parametrize("answer", [1, 2, 3, 7, 8, 9, 1000])
    def test_least(self, answer):
        assert least(lambda number: number >= answer) == answer


class RandomStack:
    """A second-order network of numbers modulo a prime, run on inputs that are polynomials of one variable."""

    def __init__(self, depth, width, cell, start, power, seed):
        rng = np.random.default_rng(seed)
        self.draw = lambda *shape: rng.integers(1, PRIME, shape).astype(object)
        below = [2] + [width] * (depth - 1)
        kept = {"affine": "AWUb", "no-input": "AWb", "bilinear": "A", "linear": "WUb"}[cell]
        shapes = [{"A": (width, width, m), "W": (width, width), "U": (width, m), "b": (width,)} for m in below]
        self.layers = [{name: self.draw(*s) * (name in kept) for name, s in layer.items()} for layer in shapes]
        self.first = [self.draw(width) * (start == "nonzero") for _ in below]
        self.lower = self.draw(power)

    def degree(self, step, moving):
        """Degree of the first unit on top in the inputs at the times `moving`; None if it vanishes."""
        states = [[polynomial(number) for number in h] for h in self.first]
        for t in range(step):
            below = [polynomial(*self.draw(2 if t in moving else 1)) for _ in range(2)]
            for layer, weights in enumerate(self.layers):
                states[layer] = stepped(weights, states[layer], below)
                below = [self.passed(h) for h in states[layer]]
        degree = int(below[0].degree())
        return None if degree < 0 else degree

    def passed(self, h):
        """A monic polynomial of a unit; the unit itself for the power 1."""
        power = len(self.lower)
        return h if power == 1 else h**power + sum(int(c) * h**k for k, c in enumerate(self.lower))


def polynomial(*numbers):
    return flint.nmod_poly([int(number) % PRIME for number in numbers], PRIME)


def stepped(weights, h, x):
    """b + W h + U x + A h x, unit by unit."""
    terms = {"b": [polynomial(1)], "W": h, "U": x, "A": [one * other for one, other in product(h, x)]}
    flat = {name: weights[name].reshape(len(h), -1) for name in terms}
    return [
        sum(int(w) * z for name, seen in terms.items() for w, z in zip(flat[name][unit], seen, strict=True))
        for unit in range(len(h))
    ]


class TestFloors:
    @pytest.mark.parametrize("row", FLOORS["sin"], ids=str)
    def test_sine(self, row):
        assert sine_floor(row["omega"], row["max_degree"]) == pytest.approx(row["mse"], rel=1e-12)

    @pytest.mark.parametrize("row", FLOORS["power"], ids=str)
    def test_power(self, row):
        assert power_floor(row["m"], row["max_degree"]) == row["mse"]

    @given(frequency=st.floats(0.01, 8), degree=st.integers(0, 30))
    def test_sine_in_many_digits(self, frequency, degree):
        with localcontext(prec=60):
            square, term, total = Decimal(frequency) ** 2, Decimal(1), Decimal(0)
            for m in range(1, 600):
                term = term * square / m
                total += term * (m > degree and m % 2)
            assert sine_floor(frequency, degree) == pytest.approx(float(total * (-square).exp()), rel=1e-12)

    @given(frequency=st.floats(-2, 2), degree=st.integers(0, 8))
    def test_sine_by_quadrature(self, frequency, degree):
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        weights, target = weights / math.sqrt(2 * math.pi), np.sin(frequency * nodes)
        basis = np.polynomial.hermite_e.hermevander(nodes, degree)
        kept = (weights * target) @ basis / np.sqrt([float(math.factorial(m)) for m in range(degree + 1)])
        left = weights @ target**2 - kept @ kept
        assert sine_floor(frequency, degree) == pytest.approx(left, abs=1e-13)

    def test_sines_far_out(self):
        assert sine_floor(1000, 1) == pytest.approx(0.5, rel=1e-8)
        assert sine_floor(0, 0) == sine_floor(1, 10**400) == sine_floor(1e-200, 1) == 0
        assert 0 < sine_floor(100, 10_000) < 0.5

    @given(power=st.integers(1, 12), degree=st.integers(0, 12))
    def test_power_by_another_basis(self, power, degree):
        kept = np.polynomial.hermite_e.poly2herme([0] * power + [1])
        left = sum(round(c) ** 2 * math.factorial(m) for m, c in enumerate(kept) if m > degree)
        assert power_floor(power, degree) == left

    @pytest.mark.parametrize("row", FLOORS["signed_geometric_mean_second_moment"], ids=str)
    def test_geometric_mean_moment(self, row):
        assert geometric_mean_moment(row["t"]) == pytest.approx(row["value"], rel=1e-12)

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_geometric_mean_moment_by_quadrature(self, count):
        one = integrate.quad(lambda x: 2 * x ** (2 / count) * math.exp(-x * x / 2) / math.sqrt(2 * math.pi), 0, np.inf)
        assert geometric_mean_moment(count) == pytest.approx(one[0] ** count, rel=1e-8)

    def test_geometric_mean_moment_far_out(self):
        assert geometric_mean_moment(10**6) == pytest.approx(math.exp(-np.euler_gamma - math.log(2)), rel=1e-5)

    @pytest.mark.parametrize(
        ("target", "row"),
        [
            (name, row)
            for name in ("parity", "cumulative_geometric_mean", "running_mean")
            for row in FLOORS[f"linear_{name}"]
        ],
        ids=str,
    )
    def test_linear(self, target, row):
        name = {"cumulative_geometric_mean": "geometric-mean"}.get(target, target.replace("_", "-"))
        assert linear_floor(name, row["T"]) == pytest.approx(row["mse"], rel=1e-12)

    @pytest.mark.parametrize("length", [1, 2, 3, 5])
    def test_parity_by_least_squares(self, length):
        """The best response to all sequences of signs at once."""
        words = np.array(list(product([1.0, -1.0], repeat=length)))
        past = np.stack([np.pad(words[:, : t + 1][:, ::-1], ((0, 0), (0, length - t - 1))) for t in range(length)], 1)
        seen, target = past.reshape(-1, length), words.cumprod(1).ravel()
        response = np.linalg.lstsq(seen, target)[0]
        left = np.square(target - seen @ response).mean()
        assert linear_floor("parity", length) == linear_floor("cumulative-product", length) == pytest.approx(left)

    @pytest.mark.parametrize("length", [1, 2, 3, 9])
    @pytest.mark.parametrize("target", ["running-mean", "running-sum"])
    def test_running_targets_by_least_squares(self, target, length):
        """What an input at s adds at t, by the lag t - s."""
        pairs = [(t, s) for t in range(1, length + 1) for s in range(1, t + 1)]
        seen = np.array([np.eye(length)[t - s] for t, s in pairs])
        wanted = np.array([1 / t if target == "running-mean" else 1 for t, _ in pairs])
        left = np.square(wanted - seen @ np.linalg.lstsq(seen, wanted)[0]).sum() / length
        assert linear_floor(target, length) == pytest.approx(left, abs=1e-13)

    def test_lagged_geometric_mean(self):
        assert linear_floor("lagged-geometric-mean", 9, 0) == 0
        assert linear_floor("lagged-geometric-mean", 9, 3) == geometric_mean_moment(4)


@pytest.mark.parametrize("row", TRUTH["start_end_rank"], ids=label)
def test_start_end_rank_is_attained(row):
    assert start_end_bound(row["L"], row["n"], row["d"], row["T"] // 2) == row["rank"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("call", "name"),
        [
            (lambda bad: copy_reach([3, bad], 1), "widths"),
            (lambda bad: copy_reach([3], bad), "channels"),
            (lambda bad: copy_loss_floor(1, bad, 1, 4), "channels"),
            (lambda bad: closure_width(1, 0, bad), "length"),
            (lambda bad: effective_dimension(bad, 3, 1, 1), "depth"),
            (lambda bad: effective_dimension(1, bad, 1, 1), "width"),
            (lambda bad: polynomial_degree(bad, step=3), "depth"),
            (lambda bad: polynomial_degree(2, step=bad), "step"),
            (lambda bad: polynomial_degree(2, lag=1, cell="linear", activation_degree=bad), "activation_degree"),
            (lambda bad: layers_for_degree(bad, 1), "degree"),
            (lambda bad: power_floor(bad, 1), "power"),
            (lambda bad: geometric_mean_moment(bad), "count"),
            (lambda bad: linear_floor("parity", bad), "length"),
            (lambda bad: start_end_bound(1, 2, bad, 2), "symbols"),
        ],
    )
    @pytest.mark.parametrize("bad", [0, -1, True])
    def test_sizes_from_one_on(self, call, name, bad):
        with pytest.raises(ValueError, match=f"need {name} >= 1, got {bad}; give a whole number from 1 on"):
            call(bad)

    @pytest.mark.parametrize(
        ("call", "name"),
        [
            (lambda bad: copy_feasible([3], 1, bad), "delay"),
            (lambda bad: copy_loss_weights(bad, 4), "delay"),
            (lambda bad: copy_loss_floor(bad, 1, 1, 4), "states"),
            (lambda bad: polynomial_degree(2, lag=bad), "lag"),
            (lambda bad: layers_for_degree(2, bad), "lag"),
            (lambda bad: sine_floor(1.0, bad), "degree"),
            (lambda bad: power_floor(2, bad), "degree"),
            (lambda bad: linear_floor("lagged-geometric-mean", 4, bad), "lag"),
        ],
    )
    def test_sizes_from_zero_on(self, call, name):
        with pytest.raises(ValueError, match=f"need {name} >= 0, got -1; give a whole number from 0 on"):
            call(-1)

    @pytest.mark.parametrize(
        "call",
        [
            lambda: copy_reach([2.0], 1),
            lambda: copy_feasible([2], 1, 0.5),
            lambda: polynomial_degree(1, step=2.0),
            lambda: closure_width(1, 1, 2.5),
        ],
    )
    def test_fractions_are_refused(self, call):
        with pytest.raises(REFUSED):
            call()

    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (lambda: copy_reach([], 1), "need depth >= 1, got 0"),
            (lambda: effective_dimension(2, 2, 3, 1), "width 2 was asked for with 3 inputs .* at least 3"),
            (lambda: copy_loss_weights(4, 4), "delay=4 was asked for over length=4 steps.* at least 5"),
            (lambda: closure_width(1, 5, 4), "delay=5 was asked for over length=4 steps"),
            (lambda: population_copy_loss(np.zeros((3, 1, 1)), 1, 4), r"needs 4 square .* shape \(3, 1, 1\)"),
            (lambda: population_copy_loss(np.zeros((4, 1, 2)), 1, 4), r"needs 4 square .* shape \(4, 1, 2\)"),
            (lambda: population_copy_loss(np.full((4, 1, 1), np.nan), 1, 4), "a loss was asked for and is nan"),
            (lambda: population_copy_loss(np.full((4, 1, 1), np.inf), 1, 4), "a loss was asked for and is inf"),
            (
                lambda: population_copy_loss(np.zeros((4, 1, 1)), 1, 4, np.zeros((3, 1))),
                r"of the shape \(4, 1\), got \(3, 1\)",
            ),
            (lambda: polynomial_degree(2), "got step=None, lag=None; give one"),
            (lambda: polynomial_degree(2, step=2, lag=1), "got step=2, lag=1; give one"),
            (lambda: polynomial_degree(2, step=2, cell="gated"), "no cell 'gated'; there is affine, no-input"),
            (lambda: polynomial_degree(2, step=2, start="ones"), "no start 'ones'; there is zero, nonzero"),
            (lambda: polynomial_degree(2, step=2, activation_degree=2), "affine cells .* of degree 2; .*'linear'"),
            (lambda: sine_floor(math.nan, 1), "frequency=nan; give one up to 10,000"),
            (lambda: sine_floor(1e5, 1), "frequency=100000.0; give one up to 10,000"),
            (lambda: power_floor(10**9, 1), "the floor must fit into 1,000,000 bits"),
            (lambda: linear_floor("product", 4), "no target 'product'; there is parity, cumulative-product"),
            (lambda: linear_floor("parity", 4, 1), "parity was asked for with lag=1; a lagged one needs it"),
            (lambda: linear_floor("lagged-geometric-mean", 4), "with lag=None; a lagged one needs it"),
            (lambda: linear_floor("lagged-geometric-mean", 4, 4), "lag=4 was asked for over length=4"),
        ],
    )
    def test_settings_that_do_not_fit(self, call, says):
        with pytest.raises(ValueError, match=says):
            call()
