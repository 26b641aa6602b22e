"""Papers reproduced: what is computed, what is not computed again, and what the site says."""

import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from hitherto import reproducing
from hitherto.cli import main
from hitherto.core.claim import Case, Claim
from hitherto.core.experiment import Experiment, Plot, jobs, run
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Paper, Source
from hitherto.core.store import Store
from hitherto.papers import PAPERS, start_end
from hitherto.reproducing import reproduce, works
from hitherto.terminal import reproduce as command

SQUARE = Quantity("square", "n^2", "points")
ELEMENTS = Paper("euclid", "Elements", ("Euclid of Alexandria",), -300)
calls: list[int] = []


def square(case: Case) -> Estimate:
    """n^2 as a product."""
    return Estimate(SQUARE, case.n * case.n, standard_error=0.0)


def odd_sum(case: Case) -> Estimate:
    """n^2 as a sum of odd numbers; raises for 13."""
    calls.append(case.n)
    if case.n == 13:
        raise ArithmeticError("thirteen is not served")
    return Estimate(SQUARE, sum(range(1, 2 * case.n, 2)), standard_error=0.0)


def double(case: Case) -> Estimate:
    """Not n^2."""
    return Estimate(SQUARE, 2 * case.n, standard_error=0.0)


def claim(name: str, measure, where: str = "VII", **changes) -> Claim:
    given = dict(smallest=Case(n=3), larger=(Case(n=4), Case(n=5))) | changes
    return Claim(
        f"toy.{name}",
        "Odd numbers add up.",
        Source(ELEMENTS, where),
        SQUARE,
        "==",
        lambda c: None,
        square,
        measure,
        **given,
    )


SUMS = claim("sums", odd_sum)
OURS = claim("twice", double, "our derivation beside it", smallest=Case(n=2))


def experiment(n=(1, 2, 6), **changes) -> Experiment:
    given = dict(
        id="toy.squares",
        says="Squares of numbers",
        asks=(SUMS,),
        case=lambda n: Case(n=n),
        grid=dict(n=n),
        sizes=dict(ci={}, paper={}, cluster={}),
        plot=Plot("n", x_label="n (1)"),
    )
    return Experiment(**given | changes)


def paper(*experiments: Experiment, claims=(SUMS,), name: str = "toy") -> ModuleType:
    made = ModuleType(f"toys.{name}")
    made.PAPER, made.CLAIMS, made.EXPERIMENTS = ELEMENTS, claims, experiments
    return made


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Reproduces made-up papers in a folder of their own, and gives the pages by name."""
    monkeypatch.chdir(tmp_path)
    calls.clear()

    def run(*papers: ModuleType, **settings) -> dict[str, str]:
        monkeypatch.setattr(reproducing, "PAPERS", papers)
        index = reproduce(**settings)
        return {path.stem: path.read_text() for path in index.parent.glob("*.html")}

    return run


class Reader(HTMLParser):
    """Attributes that fetch something, and the text."""

    def __init__(self, page: str):
        super().__init__()
        self.fetched, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "srcset", "data") or tag == "link"]

    def handle_data(self, data):
        self.text += data


def words(page: str) -> str:
    return " ".join(Reader(page).text.split())


def test_claims_are_asked_at_their_larger_cases_too(toys):
    pages = toys(paper(experiment()))
    assert sorted(calls) == [1, 2, 3, 4, 5, 6]
    assert set(pages) == {"index", "toy"}
    told = words(pages["toy"])
    assert "1 claim in 3 cases: 1 holds." in told
    assert "3 of 3 comparisons with theory hold in 1 experiment." in told
    assert "Nothing that was compared with theory." in told


def test_the_trial_asks_the_smallest_cases_alone(toys):
    toys(paper(experiment()), size="ci")
    assert sorted(calls) == [1, 2, 3, 6]


def test_nothing_is_computed_twice(toys):
    first = toys(paper(experiment()))
    calls.clear()
    again = toys(paper(experiment()))
    assert calls == []
    assert again["toy"] == first["toy"]


def test_a_changed_claim_is_computed_anew(toys):
    toys(paper(experiment()), size="ci")
    calls.clear()
    toys(paper(experiment(), claims=(claim("sums", odd_sum, version=2),)), size="ci")
    assert calls == [3]


def test_what_is_no_longer_asked_is_not_shown(toys):
    assert "3 of 3 comparisons" in words(toys(paper(experiment()))["toy"])
    assert "2 of 2 comparisons" in words(toys(paper(experiment(n=(1, 2))))["toy"])


def test_what_does_not_match_is_said_first(toys):
    pages = toys(paper(experiment(), claims=(SUMS, OURS)))
    told = words(pages["toy"])
    assert "2 claims in 6 cases: 1 holds, 1 fails." in told
    unmatched = told.index("toy.twice: 1 holds, 2 fail. Measured 8 is not == predicted 16.")
    assert unmatched < told.index("Stated in the paper: 1") < told.index("Derived beside it by us: 1")
    assert "1 did not match" in words(pages["index"])


def test_a_case_that_raises_is_missing_with_its_reason(toys):
    pages = toys(paper(experiment(n=(1, 13))))
    assert "1 of the cases are missing; the first is toy.sums at n=13: ArithmeticError: thirteen" in words(pages["toy"])
    toys(paper(experiment(n=(1, 13))))
    assert calls.count(13) == 2  # it is tried again


def test_what_lacks_its_data_is_said_and_the_rest_goes_on(toys):
    def absent(n: int) -> Case:
        raise ImportError("needs data; install them")

    pages = toys(paper(experiment(id="toy.lacking", case=absent), experiment()))
    told = words(pages["toy"])
    assert "toy.lacking was not run: needs data; install them." in told
    assert "3 of 3 comparisons" in told


def test_records_whose_data_are_gone_stop_nothing(toys):
    toys(paper(experiment(id="toy.lacking")))

    def absent(n: int) -> Case:
        raise ImportError("needs data; install them")

    told = words(toys(paper(experiment(id="toy.lacking", case=absent), experiment()))["toy"])
    assert "What is missing toy.lacking was not run: needs data; install them." in told
    assert "3 of 3 comparisons" in told


def test_code_that_was_changed_and_changed_back_is_shown(toys):
    before, after = experiment(asks=(claim("sums", odd_sum),)), experiment(asks=(claim("sums", odd_sum, version=2),))
    for one in (before, after, before):
        told = words(toys(paper(one))["toy"])
        assert "3 of 3 comparisons with theory hold" in told


def test_a_run_of_another_size_changes_no_page(toys):
    small = experiment(n=(1, 2, 6, 7), sizes=dict(ci=dict(n=(1,)), paper={}))
    toys(paper(small))
    list(run(small, "results", "ci"))
    assert "4 of 4 comparisons" in words(toys(paper(small), paper(name="other"), paper="other")["toy"])


def test_papers_keep_journals_of_their_own(toys):
    toys(paper(experiment()), paper(experiment(id="more.squares"), name="more"))
    assert {path.name for path in Path("results").glob("*.json")} == {
        "reproduction.toy.json",
        "reproduction.more.json",
    }


def test_papers_that_were_not_run_are_named(toys):
    pages = toys(paper(experiment()), paper(name="other"), paper="toy")
    assert set(pages) == {"index", "toy"}
    assert "hitherto reproduce other" in words(pages["index"])


def test_pages_need_no_network_and_hold_every_figure(toys):
    pages = toys(paper(experiment(), experiment(id="toy.more", settings="<b>our settings</b>")))
    for page in pages.values():
        assert Reader(page).fetched == []
        assert "<script" not in page
        assert "<b>" not in page
    assert pages["toy"].count("<svg") == 2
    assert "n (1)" in pages["toy"]
    assert "square (points)" in pages["toy"]


@pytest.mark.parametrize(("asked", "message"), [(dict(paper="tpy"), "no paper 'tpy'"), (dict(size="tiny"), "no size")])
def test_unknown_names_are_refused_before_any_work(toys, asked, message):
    with pytest.raises(ValueError, match=message):
        toys(paper(experiment()), **asked)
    assert calls == []
    assert not Path("results").exists()


def test_a_folder_that_cannot_be_made_is_refused(toys):
    Path("results").write_text("a file")
    with pytest.raises(ValueError, match="cannot make the folder results"):
        toys(paper(experiment()))


def test_a_spoilt_journal_costs_no_record(toys):
    toys(paper(experiment()))
    Path("results/reproduction.toy.json").write_text("{")
    calls.clear()
    assert "3 of 3 comparisons" in words(toys(paper(experiment()))["toy"])
    assert calls == []


CHILD = """
import time
from types import ModuleType
from hitherto import reproducing
from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.source import Paper

def slowly(case):
    with open("calls", "a") as calls:
        calls.write(f"{case.n}\\n")
    time.sleep(0.05)
    return Estimate(Quantity("same", "n"), case.n, standard_error=0.0)

GRID = Experiment("toy.same", "Numbers", (Measurement("toy.same", "n", slowly),), lambda n: Case(n=n),
                  dict(n=tuple(range(30))), dict(ci={}), Plot("n"))
paper = ModuleType("toy")
paper.PAPER, paper.CLAIMS, paper.EXPERIMENTS = Paper("a", "A paper", ("A. Author",), 2000), (), (GRID,)
reproducing.PAPERS = (paper,)
print(reproducing.reproduce(size="ci"))
"""


def test_killed_and_restarted_it_repeats_no_finished_case(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    finished = tmp_path / "results" / "toy.same" / "cases"
    child = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    while len(list(finished.glob("[!.]*.json"))) < 8:
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = {path.name: path.stat().st_mtime_ns for path in finished.glob("[!.]*.json")}
    assert 8 <= len(before) < 30
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    assert len(Store(finished.parent).records()) == 30
    assert all((finished / name).stat().st_mtime_ns == time for name, time in before.items())
    repeated = len((tmp_path / "calls").read_text().split()) - 30
    assert repeated <= 1  # the one in flight
    assert "30" in words((tmp_path / "reproduction" / "toy.html").read_text())


@pytest.mark.slow
def test_claims_and_a_figure_of_a_real_paper(toys):
    real = ModuleType("hitherto.papers.start_end")
    real.PAPER, real.CLAIMS, real.EXPERIMENTS = start_end.PAPER, (start_end.SHALLOW,), (start_end.DEPTH_GAP,)
    told = toys(real, paper="start_end", size="ci")
    assert "1 claim in 1 case: 1 holds. 9 of 9 comparisons with theory hold" in words(told["start_end"])
    assert "length (steps)" in told["start_end"]
    assert "Yoav Levine, Or Sharir, Alon Ziv and Amnon Shashua, 2017, arXiv 1710.09431" in words(told["start_end"])


@pytest.fixture
def asked(toys, monkeypatch):
    """Exit status of the command, without Dask, in this process."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)

    def status(one: ModuleType, size: str) -> int:
        monkeypatch.setattr(reproducing, "PAPERS", (one,))
        return main(["reproduce", "toy", "--size", size])

    return status


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (paper(experiment()), 0),
        (paper(experiment(), claims=(SUMS, OURS)), 1),
        (paper(experiment(n=(1, 13))), 1),
    ],
    ids=["all hold", "a claim fails", "a case raises"],
)
def test_the_exit_status_is_of_what_stands_recorded(asked, one, status):
    assert [asked(one, "paper") for _ in range(2)] == [status, status]


def test_the_command_tells_of_every_piece_of_work(asked, capsys):
    assert asked(paper(experiment(), claims=(SUMS, OURS)), "ci") == 0
    printed = capsys.readouterr().out
    assert "toy.claims, ci: 2 cases, 0 recorded, 2 to do" in printed
    assert "toy.squares, ci: 3 cases, 0 recorded, 3 to do" in printed
    assert "Site: reproduction/index.html" in printed


def test_every_paper_has_pieces_of_work_with_names_of_their_own():
    names = [work.id for one in PAPERS for work in works(one)]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_every_claim_can_be_recorded():
    for one in PAPERS:
        wanted = jobs(works(one)[0], "paper")
        assert {job.ask.id for job in wanted} == {claim.id for claim in one.CLAIMS}
        assert len({(job.id, job.coordinates["case"]) for job in wanted}) == len(wanted)


def test_every_experiment_has_the_sizes_of_the_command():
    assert all(set(work.sizes) >= {"ci", "paper"} for one in PAPERS for work in works(one)[1:])
