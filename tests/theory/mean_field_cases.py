"""Problems of the mean-field vectors, that several files of tests share."""

import numpy as np
from conftest import oracle

from hitherto.theory.mean_field import Problem

VECTORS = oracle("mean_field")


def linear_case(case, scale=1.0):
    """One of D_linear, its labels times `scale`."""
    settings = dict(
        shared=case["shared"],
        shared_inputs=case.get("shared_V", True),
        recurrent_variance=case["g2"],
        input_variance=case["gv2"],
        readout_variance=case["sa2"],
        noise=case["kappa"],
    )
    if case["case"] == "sine6":
        return Problem.pulse(scale * np.array([case["y"]]), tuple(time for time, _ in case["S"]), 6, **settings)
    inputs = np.array(case["x_TPD"]).transpose(1, 0, 2)
    labels = np.full(inputs.shape[:2], np.nan)
    for (time, pattern), y in zip(case["S"], case["y"], strict=True):
        labels[pattern, time] = scale * y
    return Problem.sequences(inputs, labels, **settings)


def chain(times, signal, **settings):
    """One pattern as a pulse, one label at the end, of squared norm `signal`."""
    return Problem.pulse(np.array([[signal**0.5]]), (times - 1,), times, **{"noise": 0, **settings})


def every_kind(seed=0):
    """Problems that differ in what is shared, with inputs at every time and labels at some entries."""
    rng = np.random.default_rng(seed)
    inputs, labels = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3))
    labels[0, 0] = np.nan
    given = dict(recurrent_variance=0.8, input_variance=1.3, readout_variance=0.7, noise=0.2)
    groups = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    kinds = (
        {},
        dict(shared=False),
        dict(shared_inputs=False, shared_readout=False, bias_variance=0.3),
        dict(shared=groups, bias_variance=0.1),
    )
    return [Problem.sequences(inputs, labels, **given, **kind) for kind in kinds]
