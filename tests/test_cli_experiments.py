"""The commands about claims and experiments, as a user meets them."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from hitherto.cli import main
from hitherto.core.claim import Case
from hitherto.core.quantity import START_END_RANK, Estimate
from hitherto.papers import CLAIMS, EXPERIMENTS, start_end
from hitherto.terminal import experiments as commands


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def test_run_records_report_and_export(tmp_path, capsys):
    out = tmp_path / "results"
    assert run("run", "start_end.depth_gap", "--out", out) == 0
    assert "9 cases, 0 recorded, 9 to do" in capsys.readouterr().out
    assert run("run", "start_end.depth_gap", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "9 cases, 9 recorded, 0 to do" in printed
    assert "nothing to do" in printed
    assert run("report", out, "--out", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "Start-end rank against length" in page
    assert run("export", out, tmp_path / "all.csv") == 0
    assert (tmp_path / "all.csv").read_text().count("\n") == 19


def test_check_prints_every_claim_of_a_paper(capsys):
    assert run("check", "start_end") == 0
    printed = capsys.readouterr().out
    claims = start_end.CLAIMS
    for claim in claims:
        assert claim.id in printed
        assert str(claim.source) in printed
    assert f"{len(claims) - 1} holds, 1 refuted" in printed
    assert "✗ refuted  start_end.conjecture  refuted at " in printed


def test_check_as_json_is_one_object_a_line(capsys):
    assert run("check", "start_end.deep", "--json", "--size", "paper") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["outcome"] for row in found] == ["holds"] * 3
    assert found[0]["measured"]["value"] == 8
    assert found[0]["predicted"]["value"] == 4


def test_a_claim_that_fails_is_exit_status_one(monkeypatch, capsys):
    def wrong(case: Case) -> Estimate:
        return Estimate(START_END_RANK, 2, standard_error=0.0)

    failing = replace(start_end.SHALLOW, predict=wrong)
    monkeypatch.setattr(commands, "CLAIMS", (failing,))
    monkeypatch.setattr(commands, "PAPERS", ())
    assert run("check") == 1
    assert "✗ fails  start_end.shallow  measured 3 = predicted 2" in capsys.readouterr().out


def test_a_case_that_cannot_be_computed_is_exit_status_one(monkeypatch, tmp_path, capsys):
    def broken(case: Case) -> Estimate:
        raise MemoryError("too large")

    failing = replace(EXPERIMENTS[0], asks=(replace(start_end.SHALLOW, measure=broken),))
    monkeypatch.setattr(commands, "EXPERIMENTS", (failing,))
    assert run("run", failing.id, "--out", tmp_path) == 1
    printed = capsys.readouterr().out
    assert "MemoryError: too large" in printed
    assert "3 error" in printed


@pytest.mark.slow
def test_list_and_cite(capsys):
    assert run("list") == 0
    printed = capsys.readouterr().out
    for known in (*CLAIMS, *EXPERIMENTS):
        assert known.id in printed
    assert run("cite", "start_end.deep") == 0
    assert capsys.readouterr().out.startswith("@misc{levine2017longterm")


def test_list_goes_on_where_data_are_missing(monkeypatch, capsys):
    def missing(**point):
        raise ImportError("these data come with the package nowhere")

    without = replace(EXPERIMENTS[0], case=missing)
    monkeypatch.setattr(start_end, "EXPERIMENTS", (without, EXPERIMENTS[1]))
    assert run("list") == 0
    printed = capsys.readouterr().out
    assert "ci (data not installed), paper (data not installed)" in printed
    assert EXPERIMENTS[1].id in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "start_end.depht_gap"), "there is no experiment 'start_end.depht_gap'; there is start_end.depth_gap"),
        (("run", "start_end.depth_gap", "--size", "big"), "there is ci, paper, cluster"),
        (("run", "start_end.depth_gap", "--workers", "0"), "at least one process, got 0"),
        (("run", "start_end.depth_gap", "--workers", "1", "--scheduler", "tcp://a:1"), "give one of them"),
        (("check", "start_end.deap"), "start_end.deep"),
        (("check", "--size", "cluster"), "there is ci, paper"),
        (("cite", "nothing"), "there is no paper or claim 'nothing'"),
        (("report", "nowhere"), "holds no results"),
    ],
)
def test_what_cannot_be_is_told(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err


def test_report_does_not_import_jax(tmp_path):
    assert run("run", "start_end.depth_gap", "--out", tmp_path) == 0
    code = "import sys; from hitherto.cli import main\n"
    code += f"main(['report', '{tmp_path}', '--out', '{tmp_path}/p.html'])\n"
    code += "assert not {'jax', 'equinox'} & set(sys.modules), sorted(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
