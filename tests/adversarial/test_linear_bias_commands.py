"""Hostile use of `predict memory-prior`, `design` and `measure memory-prior`."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from hitherto import GRU, RNN, Deep, Model, build, save
from hitherto.cli import main

pytestmark = pytest.mark.slow


def told(capsys, *arguments: str) -> str:
    code = main(list(arguments))
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def strict(text: str):
    """JSON as the standard has it: one value, no NaN and no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def prior(capsys, *arguments: str):
    return strict(told(capsys, "predict", "memory-prior", *arguments, "--json"))


def refused(capsys, *arguments: str) -> str:
    try:
        code = main(list(arguments))
    except SystemExit as left:  # options that are none
        code = left.code
    said = capsys.readouterr()
    assert code not in (0, None), said.out
    assert not said.out.strip()
    assert "Traceback" not in said.err
    return said.err


def weights(found) -> dict[int, float]:
    return {row["lag"]: row["weight"] for row in found["lags"]}


def test_weights_and_costs_are_the_formula(capsys):
    found = prior(capsys, "--nu-w", "0.6", "--nu-f", "2", "--nu-c", "0.5", "--lags", "30")
    a, c, nu = Fraction(5, 2), Fraction(1), Fraction(3, 5)
    rho = [float(a * nu**j + (c * j * nu ** (j - 1) if j else 0)) for j in range(30)]
    assert weights(found) == pytest.approx({j: rho[j] for j in (0, 1, 2, 5, 10, 20)}, rel=1e-13)
    ease = [r * (30 - j) / 30 for j, r in enumerate(rho)]
    for row in found["lags"]:
        assert row["cost"] == pytest.approx(max(ease) / ease[row["lag"]], rel=1e-12)


def test_digits_of_a_decimal_survive(capsys):
    found = prior(capsys, "--nu-w", "0.999999999999")
    assert found["peak_lag"] == 10**12 - 2
    assert found["mean_lag"] == pytest.approx(2e12, rel=1e-11)


@pytest.mark.parametrize("nu", ["0", "1", "1.5", "1e-300"])
def test_the_ends_of_the_range(capsys, nu):
    found = prior(capsys, "--nu-w", nu, "--lags", "21")
    assert weights(found)[0] == 2
    assert found["lags"][-1]["lag"] == 20
    if nu in ("0", "1e-300"):
        assert found["lags"][-1]["cost"] is None
    else:
        assert found["mean_lag"] is None
        assert any("not below 1" in caution for caution in found["cautions"])
    printed = told(capsys, "predict", "memory-prior", "--nu-w", nu, "--lags", "21")
    assert "nan" not in printed
    assert ("never" in printed) == (nu in ("0", "1e-300"))


def test_one_lag(capsys):
    assert weights(prior(capsys, "--lags", "1")) == {0: 2.0}
    assert weights(prior(capsys, "--init", "lru", "--lags", "1"))[0] == pytest.approx((2 + 0.5) / 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["orthogonal", "--gain", "0.5"], [2, 2 * 0.25 + 1, 2 / 16 + 2 / 4]),
        (["identity"], [2, 3, 6]),
        (["leaky", "--leak", "0", "--gain", "0.5"], [2, 2 * 0.25 + 1, 2 / 16 + 2 / 4]),
        (["ring", "--low", "0.5", "--high", "0.5"], [2, 2, 2 / 4 + 4 / 2]),
        (["ring"], [2, 2 / 2 + 1, 2 / 3 + 4 / 2]),
        (["real-modes"], [2, 2 / 3 + 1, 2 / 5 + 4 / 3]),
        (["stacked", "--layers", "1", "--nu-w", "0.5"], [2, 2, 1.5]),
        (["stacked", "--layers", "2", "--nu-w", "0.5"], [3, 2 * 0.5 * 3 + 2, 3 * 0.25 * 3 + 6 * 0.5]),
        (["gaussian", "--parametrisation", "multipliers", "--nu-w", "0.5", "--nu-f", "3"], [6, 4.5, 3]),
        (["gaussian", "--parametrisation", "standard", "--nu-w", "0.5", "--nu-f", "3"], [3, 4.5, 3.75]),
    ],
    ids=str,
)
def test_every_start_by_hand(capsys, arguments, expected):
    found = weights(prior(capsys, "--init", *arguments, "--lags", "3"))
    assert [found[lag] for lag in range(3)] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nu-w", "-1"], "nu_W"),
        (["--nu-w", "nan"], "nu_W"),
        (["--nu-w", "lots"], "nu_W"),
        (["--nu-f", "-0.5"], "nu_F"),
        (["--nu-c", "inf"], "nu_C"),
        (["--nu-f", "0", "--nu-c", "0"], "0"),
        (["--lags", "0"], "lags"),
        (["--lags", "-5"], "lags"),
        (["--width", "0"], "width"),
        (["--width", "0", "--init", "ring"], "width"),
        (["--init", "glorot"], "glorot"),
        (["--parametrisation", "ntk"], "ntk"),
        (["--init", "ring", "--low", "0.9", "--high", "0.1"], "low"),
        (["--init", "ring", "--low", "nan"], "low"),
        (["--init", "step-sizes"], "low"),
        (["--init", "lru", "--high", "1.5"], "high"),
        (["--init", "lru", "--low", "1", "--high", "1"], "0"),
        (["--init", "stacked", "--layers", "0"], "layers"),
        (["--init", "orthogonal", "--gain", "-1"], "gain"),
        (["--init", "leaky", "--leak", "inf"], "leak"),
        (["--nu-w", "1e10"], "too large"),
        (["--init", "ring", "--lags", "5000"], "1000"),
        (["--nonsense"], "nonsense"),
    ],
    ids=str,
)
def test_bad_input_to_predict(capsys, arguments, said):
    assert said in refused(
        capsys, "predict", "memory-prior", *arguments, *([] if "--lags" in arguments else ["--lags", "40"])
    )


def log_rho(nu, lag, a=2.0, c=1.0):
    return math.log(a * nu**lag + (c * lag * nu ** (lag - 1) if lag else 0))


def test_designs_meet_their_targets(capsys):
    found = strict(told(capsys, "design", "--half-life", "12.5", "--json"))
    assert log_rho(found["nu_W"], 12.5) == pytest.approx(0, abs=1e-12)
    assert found["gap"] == pytest.approx(1 - found["nu_W"])
    found = strict(told(capsys, "design", "--mean-lag", "20", "--nu-f", "3", "--json"))
    j = np.arange(4000)
    rho = 4 * found["nu_W"] ** j + 3 * j * found["nu_W"] ** np.maximum(j - 1.0, 0)
    assert (j * rho).sum() / rho.sum() == pytest.approx(20, rel=1e-9)
    found = strict(told(capsys, "design", "--lag", "30", "--ratio", "4", "--length", "100", "--json"))
    ease = [log_rho(found["nu_W"], lag) + math.log1p(-lag / 100) for lag in range(100)]
    assert max(ease) - ease[30] == pytest.approx(math.log(4), abs=1e-9)
    for other in found["alternatives"]:
        assert set(other) == {"change", "initialisation", "obstacle"}
        assert (other["initialisation"] is None) == bool(other["obstacle"])


def test_long_designs_keep_their_digits(capsys):
    found = strict(told(capsys, "design", "--half-life", "1e6", "--json"))
    assert found["gap"] == pytest.approx(1.381543094e-5, rel=1e-9)
    found = strict(told(capsys, "design", "--mean-lag", "1e15", "--json"))
    assert found["gap"] == pytest.approx(2e-15, rel=1e-9)
    assert "1 - nu_W = 2e-15" in told(capsys, "design", "--mean-lag", "1e15")


def test_designs_warn(capsys):
    assert strict(told(capsys, "design", "--half-life", "100", "--width", "400", "--json"))["cautions"]
    assert "sqrt(width)" in told(capsys, "design", "--half-life", "100", "--width", "400")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "0 targets"),
        (["--half-life", "3", "--mean-lag", "4"], "2 targets"),
        (["--half-life", "0.5"], "0.5"),
        (["--half-life", "nan"], "nan"),
        (["--half-life", "1", "--nu-f", "4", "--nu-c", "4"], "reach"),
        (["--mean-lag", "0.1"], "0.333"),
        (["--mean-lag", "-1"], "-1"),
        (["--mean-lag", "inf"], "inf"),
        (["--lag", "1000"], "999"),
        (["--lag", "-1"], "-1"),
        (["--lag", "5", "--ratio", "0.5"], "0.5"),
        (["--lag", "5", "--ratio", "inf"], "inf"),
        (["--lag", "5", "--length", "0"], "length"),
        (["--half-life", "5", "--nu-f", "0", "--nu-c", "0"], "0"),
        (["--half-life", "5", "--nu-w", "minus"], "nu_W"),
        (["--half-life", "5", "--width", "0"], "width"),
    ],
    ids=str,
)
def test_bad_input_to_design(capsys, arguments, said):
    assert said in refused(capsys, "design", *arguments)


# measure


@pytest.fixture
def decaying(tmp_path):
    """Three units of known rates, read out together."""
    rates = np.diag([0.5, 0.1, -0.2])
    layer = RNN(1, 3, 1, "linear", bias=False)
    model = Model(layer, dict(weight_hh=rates, weight_ih=np.ones((3, 1)), readout=np.array([[1.0, 2.0, 3.0]])))
    save(model, tmp_path / "decaying.safetensors")
    return model, tmp_path / "decaying.safetensors"


def by_hand(model, lags):
    A, B, C = (np.asarray(model.weights[name], float) for name in ("weight_hh", "weight_ih", "readout"))
    P, Q = [C[0]], [B[:, 0]]
    for _ in range(lags):
        P.append(P[-1] @ A)
        Q.append(A @ Q[-1])
    rho = []
    for j in range(lags):
        by_A = sum((np.outer(P[k], Q[j - 1 - k]) for k in range(j)), np.zeros_like(A))
        rho.append(Q[j] @ Q[j] + P[j] @ P[j] + (by_A**2).sum())
    return rho


def test_a_measured_prior_keeps_its_digits_down_to_the_last_lag(capsys, decaying):
    model, path = decaying
    found = strict(told(capsys, "measure", "memory-prior", str(path), "--json"))
    assert len(found["value"]) == 101
    np.testing.assert_allclose(found["value"], by_hand(model, 101), rtol=1e-9)
    assert min(found["value"]) > 0
    printed = told(capsys, "measure", "memory-prior", str(path), "--lags", "3")
    assert "effective lags" in printed


def test_a_layer_at_rest(capsys, tmp_path):
    """tanh has slope 1 at 0: without biases it is the linear layer."""
    model = build(RNN(2, 4, 1, "tanh", bias=False), 0, np.float64)
    save(model, tmp_path / "tanh.safetensors")
    save(Model(RNN(2, 4, 1, "linear", bias=False), model.weights), tmp_path / "linear.safetensors")
    path = str(tmp_path / "tanh.safetensors")
    assert refused(capsys, "measure", "memory-prior", path)
    at_rest = strict(told(capsys, "measure", "memory-prior", path, "--at-rest", "--lags", "6", "--json"))
    linear = strict(
        told(capsys, "measure", "memory-prior", str(tmp_path / "linear.safetensors"), "--lags", "6", "--json")
    )
    np.testing.assert_allclose(at_rest["value"], linear["value"], rtol=1e-9)


@pytest.mark.parametrize(
    ("layer", "options", "said"),
    [
        (GRU(1, 3, 1), [], "linear"),
        (GRU(1, 3, 1), ["--at-rest"], "RNN"),
        (RNN(1, 3, None, "linear"), [], "readout"),
        (RNN(1, 3, None, "tanh"), ["--at-rest"], "readout"),
        (RNN(1, 3, 1, "linear"), ["--lags", "0"], "lags"),
        (RNN(1, 3, 1, "linear", variance=1e9), ["--lags", "100"], "too large"),
        (Deep((RNN(1, 3, 2, "linear"), RNN(2, 3, 1, "linear"))), [], "linear RNN layer"),
        (RNN(1, 3, 1, "linear"), ["--layer", "encoder"], "encoder"),
    ],
    ids=str,
)
def test_files_without_a_prior(capsys, tmp_path, layer, options, said):
    save(build(layer, 0, np.float64), tmp_path / "model.safetensors")
    assert said in refused(capsys, "measure", "memory-prior", str(tmp_path / "model.safetensors"), *options)


def test_files_that_are_none(capsys, tmp_path):
    assert "nothing.npz" in refused(capsys, "measure", "memory-prior", str(tmp_path / "nothing.npz"))
    (tmp_path / "text.safetensors").write_text("no weights")
    assert refused(capsys, "measure", "memory-prior", str(tmp_path / "text.safetensors"))


def test_weights_that_are_not_numbers(capsys, tmp_path):
    layer = RNN(1, 2, 1, "linear", bias=False)
    broken = dict(weight_hh=np.full((2, 2), math.nan), weight_ih=np.ones((2, 1)), readout=np.ones((1, 2)))
    save(Model(layer, broken), tmp_path / "nan.safetensors")
    assert "nan" in refused(capsys, "measure", "memory-prior", str(tmp_path / "nan.safetensors")).lower()
