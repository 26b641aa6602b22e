"""`predict memory-prior`, `design` and `measure memory-prior`, as a user meets them."""

import json

import numpy as np
import pytest

from hitherto import RNN, build, lag_kernel, save
from hitherto.cli import main


def told(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_the_prior_of_a_gaussian_start(capsys):
    printed = told(capsys, "predict", "memory-prior", "--nu-w", "0.9", "--width", "400")
    for said in (
        "peak lag: 8",
        "half level lag: 35",
        "mean lag: 17.3333",
        "trusted up to lag: 20",
        "lag 100 is beyond",
    ):
        assert said in printed
    found = json.loads(told(capsys, "predict", "memory-prior", "--nu-w", "0.3", "--lags", "6", "--json"))
    assert found["lags"][:3] == [
        dict(lag=0, weight=2.0, cost=1.0),
        dict(lag=1, weight=1.6, cost=pytest.approx(2 / 1.6 * 6 / 5)),
        dict(lag=2, weight=pytest.approx(0.78), cost=pytest.approx(2 / 0.78 * 6 / 4)),
    ]


@pytest.mark.parametrize("kind", ["orthogonal", "identity", "leaky", "ring", "real-modes", "lru", "stacked"])
def test_other_starts(capsys, kind):
    found = json.loads(told(capsys, "predict", "memory-prior", "--init", kind, "--lags", "20", "--json"))
    assert found["rank"] >= 2
    assert found["lags"][0]["weight"] > 0


def test_step_sizes(capsys):
    arguments = ("--init", "step-sizes", "--low", "0.001", "--high", "0.1", "--lags", "20")
    assert "rank:" in told(capsys, "predict", "memory-prior", *arguments)


def test_coupled_lags_are_told(capsys):
    printed = told(capsys, "predict", "memory-prior", "--init", "identity", "--lags", "20")
    assert "Lags are coupled" in printed
    assert "rank: 2" in printed


def test_designs(capsys):
    printed = told(capsys, "design", "--half-life", "100", "--width", "1000")
    assert "1 - nu_W = 0.0456338297" in printed
    assert "or an orthogonal recurrent matrix" in printed
    assert json.loads(told(capsys, "design", "--mean-lag", "20", "--json"))["nu_W"] == pytest.approx(0.913, abs=0.02)
    assert json.loads(told(capsys, "design", "--lag", "50", "--json"))["alternatives"]


def test_measured_priors(capsys, tmp_path):
    model = build(RNN(1, 30, 1, "linear", bias=False), 0, np.float64)
    save(model, tmp_path / "model.safetensors")
    found = json.loads(told(capsys, "measure", "memory-prior", str(tmp_path / "model.safetensors"), "--json"))
    kernel = lag_kernel(model, 101)[..., 0, 0, 0, 0]
    np.testing.assert_allclose(found["value"], np.diag(kernel), rtol=1e-12)


def test_layers_with_an_activation_at_rest(capsys, tmp_path):
    save(build(RNN(1, 10, 1, "tanh"), 0, np.float64), tmp_path / "model.safetensors")
    arguments = ("measure", "memory-prior", str(tmp_path / "model.safetensors"), "--lags", "12")
    assert "not linear" in refused(capsys, *arguments)
    assert "effective lags" in told(capsys, *arguments, "--at-rest")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "memory-prior", "--init", "glorot"), "there is no initialisation 'glorot'"),
        (("predict", "memory-prior", "--nu-w", "-1"), "nu_W"),
        (("predict", "memory-prior", "--lags", "0"), "lags"),
        (("predict", "memory-prior", "--init", "ring", "--lags", "2000"), "at most 1000"),
        (("design",), "0 targets were given"),
        (("design", "--half-life", "10", "--mean-lag", "3"), "2 targets were given"),
        (("design", "--mean-lag", "0.1"), "MeanLag"),
        (("measure", "memory-prior", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_is_told(capsys, arguments, said):
    assert said in refused(capsys, *arguments)
