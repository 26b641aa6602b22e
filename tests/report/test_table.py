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
    assert rows([number(q.START_FORGOTTEN, 1.0)])[0].remark == "no interval"
    why = rows([number(q.GRADIENT_HALF_LIFE, 9.0, cannot_tell="too few sequences")])[0]
    assert why.remark == "cannot tell: too few sequences"
    assert rows([censored(q.GRADIENT_HALF_LIFE, 500)])[0].value == "> 500"
    gone = rows([curve(q.LYAPUNOV_SPECTRUM, [-np.inf], None, start=1)])[0]
    assert (gone.value, gone.remark) == ("−∞", "")


@pytest.mark.parametrize("part", ["", "layer 1 backward"])
def test_fits_a_terminal(part):
    estimates = sample.estimates(part) + (sample.estimates("layer 0") if part else ())
    assert isinstance(table(estimates), Table)
    lines = text(estimates).splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in "".join(lines)
    assert any("largest" in line and "2.718" in line and "exact" in line for line in lines)
    assert all(word in "".join(lines) for word in part.split())


def test_names_are_not_markup():
    estimates = [number(q.GRADIENT_HALF_LIFE, 9.0, 0.5, part=part) for part in ("[bold]a[/bold]", "[/red]")]
    assert "[bold]a[/bold]" in text(estimates)
