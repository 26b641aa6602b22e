import numpy as np
import pytest
import sample
from rich.table import Table
from sample import censored, curve, number

from hitherto.core import quantity as q
from hitherto.report.table import rows, table, text


def test_one_row_for_a_number():
    (row,) = rows([number(q.GRADIENT_HALF_LIFE, 9.04, 0.45)])
    assert (row.name, row.place, row.value, row.interval) == ("gradient half-life", "", "9.0", "8.1 to 9.9")
    assert (row.unit, row.remark) == ("steps", "")


def test_a_curve_at_a_few_lags():
    long = rows([curve(q.CONTEXT_REPLACED, np.exp(-np.arange(250) / 20))])
    assert [row.place for row in long] == ["lag 0", "lag 1", "lag 10", "lag 100", "lag 249"]
    short = rows([curve(q.PROCESSING_CAPACITY, [3.0, 2.0, 1.0], start=1)])
    assert [row.place for row in short] == ["degree 1", "degree 2", "degree 3"]
    assert rows([curve(q.GATE_TIMES, [1.0, 2.0])]) == ()


def test_remarks():
    assert rows([number(q.SPECTRAL_RADIUS, 0.5, 0.0)])[0].remark == "exact"
    undecided = number(q.TRANSIENT_PEAK, 2.5, 0.0, cannot_tell="the spectral radius is at least 1")
    assert rows([undecided])[0].remark == "cannot tell: the spectral radius is at least 1"
    assert rows([number(q.START_FORGOTTEN, 1.0)])[0].remark == "no interval"
    why = rows([number(q.GRADIENT_HALF_LIFE, 9.0, cannot_tell="too few sequences")])[0]
    assert why.remark == "cannot tell: too few sequences"
    assert rows([censored(q.GRADIENT_HALF_LIFE, 500)])[0].value == "> 500"
    gone = rows([curve(q.LYAPUNOV_SPECTRUM, [-np.inf], None, start=1)])[0]
    assert (gone.value, gone.remark) == ("−∞", "")


@pytest.mark.parametrize("width", [80, 100])
def test_fits_a_terminal(width):
    estimates = sample.estimates("layer 1 backward") + sample.estimates()
    assert isinstance(table(estimates), Table)
    lines = text(estimates, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert any("2.718" in line and "exact" in line for line in lines)
    assert [line.strip() for line in lines].index("whole model") == 1
    assert "layer 1 backward" in [line.strip() for line in lines]


def test_names_are_not_markup():
    estimates = [number(q.GRADIENT_HALF_LIFE, 9.0, 0.5, part=part) for part in ("[bold]a[/bold]", "[/red]")]
    assert "[bold]a[/bold]" in text(estimates)
