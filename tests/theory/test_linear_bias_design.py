"""From a memory to an initialisation: exact vectors, and what each answer's own kernel says."""

import math
import re

import numpy as np
import pytest
from linear_bias_networks import cases

from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_delays import learning_cost
from hitherto.theory.linear_bias_design import AtMost, HalfLife, MeanLag, design
from hitherto.theory.linear_bias_kernels import kernel_diagonal

START = Gaussian(0.9, 0.7, 1.2)


@pytest.mark.parametrize("case", cases("inverse_design")["half_life"], ids=lambda case: str(case["lag"]))
def test_half_lives_are_exact(case):
    found = design(HalfLife(case["lag"]), Gaussian(0.5, case["nu_F"], case["nu_C"])).initialisation
    assert found.gap == pytest.approx(case["one_minus_nu_W"], rel=1e-13)


@pytest.mark.parametrize("case", cases("inverse_design")["mean_lag"], ids=lambda case: str(case["mean_lag"]))
def test_mean_lags_are_exact(case):
    found = design(MeanLag(case["mean_lag"]), Gaussian(0.5, case["nu_F"], case["nu_C"])).initialisation
    assert found.gap == pytest.approx(case["one_minus_nu_W"], rel=1e-13)


@pytest.mark.parametrize(("nu_F", "lag"), [(0.01, 1e9), (30, 12), (0.01, 12)])
def test_mean_lags_solve_the_quadratic(nu_F, lag):
    a, c = nu_F + 2, 2 * nu_F
    middle = c * lag - a + c
    truth = 4 * c / (middle + math.sqrt(middle**2 + 8 * a * c * (lag + 1)))
    assert design(MeanLag(lag), Gaussian(0.5, nu_F, 2)).initialisation.gap == pytest.approx(truth, rel=1e-12)


def reached(target, start):
    weights = kernel_diagonal(start, target.length if isinstance(target, AtMost) else 3000)
    if isinstance(target, MeanLag):
        return weights @ np.arange(3000) / weights.sum() / target.lag
    if isinstance(target, HalfLife):
        return 2 * weights[target.lag] / weights[0]
    return learning_cost(np.log(weights), last_output=target.last_output)[target.lag] / target.ratio


@pytest.mark.parametrize(
    ("target", "alternatives"),
    [
        (MeanLag(14), 6),
        (MeanLag(20), 5),  # beyond any learning rate of W at nu_W = 0.9
        (HalfLife(12), 6),
        (AtMost(15, 50, 30), 6),
        (AtMost(15, 1.5, 30), 5),
        (AtMost(15, 50, 30, last_output=True), 6),
        (AtMost(29, 5, 30), 5),  # by nu_W above 1
    ],
    ids=str,
)
def test_every_alternative_has_the_memory(target, alternatives):
    found = design(target, START)
    able = [other for other in found.alternatives if other.initialisation is not None]
    assert len(able) == alternatives
    assert all(other.obstacle for other in found.alternatives if other not in able)
    assert reached(target, found.initialisation) == pytest.approx(1, rel=1e-9)
    assert bool(found.cautions) == (found.initialisation.nu_W >= 1)
    for other in able:
        met = reached(target, other.initialisation)
        assert met == pytest.approx(1, rel=1e-9) or (isinstance(target, AtMost) and met < 1)


def test_least_nu_is_chosen_and_short_lags_need_none():
    easy = design(AtMost(0, 5, 30), START).initialisation
    assert easy.nu_W < 1e-100
    nearer = Gaussian(design(AtMost(15, 50, 30), START).initialisation.nu_W * 0.999, 0.7, 1.2)
    assert reached(AtMost(15, 50, 30), nearer) > 1


def test_a_lag_can_be_made_the_cheapest():
    found = design(AtMost(20, 1, 30), Gaussian(0.5, 1, 0)).initialisation
    assert found.nu_W == pytest.approx(1.1, rel=1e-12)
    growing = design(AtMost(3, 1.5, 30, last_output=True), Gaussian(2.0)).alternatives[0]
    assert growing.initialisation is None
    assert "a later one is cheaper by a factor of" in growing.obstacle


def test_half_life_without_training_of_the_recurrence():
    found = design(HalfLife(2.5), Gaussian(0.5, 1, 0)).initialisation
    assert found.nu_W == pytest.approx(2 ** (-1 / 2.5), rel=1e-13)
    found = design(HalfLife(1), Gaussian(0.5, 4, 0.25)).initialisation
    assert found.nu_W == pytest.approx((4.25 / 2 - 1) / 4.25, rel=1e-13)


def test_other_parametrisations_offer_the_learning_rate_alone():
    found = design(MeanLag(14), Gaussian(0.9, parametrisation="multipliers"))
    assert reached(MeanLag(14), found.initialisation) == pytest.approx(1, rel=1e-9)
    (rate,) = found.alternatives
    assert reached(MeanLag(14), rate.initialisation) == pytest.approx(1, rel=1e-9)


def test_cautions_come_along():
    assert "sqrt(width) = 10" in design(MeanLag(20), START, width=100).cautions[0]
    assert not design(MeanLag(20), START, width=1000).cautions


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: design(MeanLag(0.1), Gaussian(0.5)), "within reach are mean lags from 0.333333"),
        (lambda: design(HalfLife(1), Gaussian(0.5, 2, 2)), "above half the first at this lag already"),
        (lambda: design(HalfLife(0.5), START), "a finite one from 1 on"),
        (lambda: design(MeanLag(math.inf), START), "a finite one from 0 on"),
        (lambda: design(AtMost(30, 5, 30), START), "beyond 29"),
        (lambda: design(AtMost(3, 0.5, 30), START), "give 1 or more"),
        (lambda: design(AtMost(3, 2, 0), START), "length needs"),
        (lambda: design(MeanLag(3), Gaussian(0.5, 0, 0)), "learns no lag"),
        (lambda: design(MeanLag(3), START, width=0), "width needs"),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ask()
