"""Estimates and their JSON form."""

import json

import numpy as np
import pytest

from hitherto.core.quantity import LYAPUNOV_SPECTRUM, QUANTITIES, SPECTRAL_RADIUS, Estimate


def test_names_are_unique_and_every_quantity_has_a_meaning():
    names = [quantity.name for quantity in QUANTITIES]
    assert len(set(names)) == len(names)
    assert all(quantity.meaning for quantity in QUANTITIES)


def test_an_estimate_is_plain_json_even_where_it_is_infinite():
    value = np.array([-0.1, -np.inf])
    estimate = Estimate(LYAPUNOV_SPECTRUM, value, axes={"index": np.arange(2)}, statistics={"n": np.int64(3)})
    record = json.loads(json.dumps(estimate.to_dict(), allow_nan=False))
    assert record["value"] == [-0.1, "-inf"]
    assert record["unit"] == "per step"
    assert record["statistics"] == {"n": 3}


@pytest.mark.parametrize("axes", [{}, {"lag": np.arange(2)}, {"index": np.arange(3)}])
def test_a_value_whose_axes_do_not_fit_is_refused(axes):
    with pytest.raises(ValueError, match="lyapunov_spectrum has axes"):
        Estimate(LYAPUNOV_SPECTRUM, np.zeros(2), axes=axes)


def test_a_single_number_has_no_axes():
    assert Estimate(SPECTRAL_RADIUS, 0.5).to_dict()["axes"] == {}
