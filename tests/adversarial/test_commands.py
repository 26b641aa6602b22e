"""Hostile use of claims, experiments and their commands: what a user must not lose, redo or misread."""

import contextlib
import functools
import importlib
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hitherto.cli import main
from hitherto.core import cluster as cluster_module
from hitherto.core.claim import Case, Claim, Measurement, agree, check
from hitherto.core.dataset import dataset, export, table
from hitherto.core.experiment import Experiment, Failure, Plot, run
from hitherto.core.identity import code_version
from hitherto.core.quantity import Estimate, Quantity
from hitherto.core.store import Store, stores
from hitherto.papers import EXPERIMENTS, start_end
from hitherto.report.experiments import experiments_page
from hitherto.terminal import experiments as commands

pytestmark = pytest.mark.slow

CORE = Path(__file__).parents[1] / "core"
sys.path.insert(0, str(CORE))
toys = importlib.import_module("toys")
NUMBER = Quantity("number", "a number")
CURVE = Quantity("curve", "a curve", "", ("lag",))


def number(value, **fields) -> Estimate:
    return Estimate(NUMBER, value, **(dict(standard_error=0.0) | fields))


def curve(values, lags=None) -> Estimate:
    values = np.asarray(values, float)
    return Estimate(CURVE, values, axes={"lag": np.arange(len(values)) if lags is None else np.asarray(lags)})


def point(a, seed=0) -> Case:
    return Case(None, a=a, seed=seed)


def one(case) -> Estimate:
    return number(1)


def everywhere(case) -> None:
    return None


def claim(**fields) -> Claim:
    plain = dict(
        id="t.c",
        says="says",
        source=toys.SQUARES.source,
        quantity=NUMBER,
        relation="==",
        hypotheses=everywhere,
        predict=one,
        measure=one,
        smallest=Case(None, a=1, seed=0),
    )
    return Claim(**(plain | fields))


def experiment(*asks, case=point, id="t.e", plot=None, **grid) -> Experiment:
    grid = grid or dict(a=(1, 2))
    return Experiment(id, "says", asks or (claim(),), case, grid, dict(ci={}), plot or Plot(next(iter(grid))))


def measuring(measure, name="t.m") -> Measurement:
    return Measurement(name, "says", measure)


def ran(what, out) -> list:
    return list(run(what, out))


def points(out, id="t.e", key="a") -> list:
    return [record.coordinates[key] for record in Store(out / id).records()]


# --- a run that is killed, stopped, doubled -------------------------------------------------------------------------

RUNNER = """
import signal
import sys
import toys
from hitherto.cli import main
from hitherto.terminal import experiments as commands
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job would ignore
    commands.EXPERIMENTS = (toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 61)),)
    sys.exit(main(["run", "toy.squares", "--out", sys.argv[1]]))
"""


@pytest.fixture
def started(tmp_path):
    """Start `hitherto run` of 60 cases of 20 ms each as a process of its own."""
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)
    processes = []

    def start() -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": str(CORE), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(script), str(tmp_path / "out")]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(subprocess.Popen(command, env=environment, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def recorded(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "toy.squares" / "cases").glob("*.json")}


def wait_until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_run_killed_again_and_again_ends_complete_and_keeps_what_it_had(started, tmp_path):
    out, before = tmp_path / "out", {}
    for seed in range(3):
        process = started()
        least = len(before) + random.Random(seed).randrange(1, 12)
        wait_until(lambda least=least: len(recorded(out)) >= least)
        process.kill()
        process.wait()
        now = recorded(out)
        assert before.items() <= now.items()
        before = now
    last = started()
    printed, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert f"60 cases, {len(before)} recorded, {60 - len(before)} to do" in printed
    assert before.items() <= recorded(out).items()
    assert points(out, "toy.squares", "n") == list(range(1, 61))
    assert not list(out.rglob("*.tmp"))


def test_control_c_stops_without_a_traceback_and_keeps_the_records(started, tmp_path):
    process = started()
    wait_until(lambda: len(recorded(tmp_path / "out")) >= 5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert len(Store(tmp_path / "out" / "toy.squares").records()) >= 5


def test_two_runs_at_once_do_no_harm(started, tmp_path):
    both = [started(), started()]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert points(tmp_path / "out", "toy.squares", "n") == list(range(1, 61))
    assert ran(toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 61)), tmp_path / "out") == []


def test_threads_share_a_folder(tmp_path):
    errors = []

    def work():
        try:
            ran(toys.experiment(n=range(1, 30)), tmp_path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert points(tmp_path, "toy.squares", "n") == list(range(1, 30))


def test_names_of_cases_do_not_depend_on_the_hash_seed():
    code = "import toys; from hitherto.core.identity import case_id, code_version as v\n"
    code += "from hitherto.papers.start_end import DEEP\nfrom hitherto.core.claim import Case\n"
    code += "strange = Case(None, a={'x': 1, 'y': (1, 2)}, b=frozenset({'p', 'q', 'r', 's'}))\n"
    code += "print(case_id(DEEP, DEEP.smallest), v(DEEP), case_id(toys.SQUARES, toys.case(3)), v(toys.SQUARES))\n"
    code += "print(case_id(toys.SQUARES, strange))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(CORE), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1


def test_lambdas_and_closures_go_to_worker_processes(tmp_path):
    pytest.importorskip("distributed")
    two = 2

    def doubled(case):
        return number(two * case.a)

    ask = claim(hypotheses=lambda case: None, predict=lambda case: number(case.a + case.a), measure=doubled)
    with cluster_module.workers(1) as map_jobs:
        found = list(run(experiment(ask, case=lambda a: Case(None, a=a)), tmp_path, map_jobs=map_jobs))
    assert [getattr(r, "outcome", r) for r in found] == ["holds", "holds"]


def test_a_measure_that_changes_the_folder_does_not_move_the_results(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def wandering(case):
        os.chdir(tmp_path / "there")
        return number(1)

    found = ran(experiment(measuring(wandering)), "results")
    assert len(found) == 2
    assert points(tmp_path / "here" / "results") == [1, 2]


# --- identity: what must be computed anew ---------------------------------------------------------------------------


@pytest.mark.parametrize("change", [dict(relation=">="), dict(rtol=0.5)], ids=str)
def test_a_corrected_claim_gets_a_new_verdict(tmp_path, change):
    wrong = claim(measure=lambda case: number(1.4))
    assert {r.outcome for r in ran(experiment(wrong), tmp_path)} == {"fails"}
    ran(experiment(replace(wrong, **change)), tmp_path)
    assert {r.outcome for r in Store(tmp_path / "t.e").records()} == {"holds"}


def times(case, factor):
    return number(factor * case.a)


def closed_over(factor):
    def measure(case):
        return number(factor * case.a)

    return measure


def with_default(factor):
    def measure(case, factor=factor):
        return number(factor * case.a)

    return measure


@dataclass(frozen=True)
class Times:
    factor: int

    def __call__(self, case):
        return number(self.factor * case.a)

    def method(self, case):
        return number(self.factor * case.a)


MAKERS = dict(
    closure=closed_over,
    default=with_default,
    partial=lambda factor: functools.partial(times, factor=factor),
    callable=Times,
    method=lambda factor: Times(factor).method,
)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_constants_a_measure_carries_are_part_of_it(tmp_path, kind):
    """Either the second is computed anew or such a measure is refused; the first one's numbers are wrong for it."""
    try:
        ran(experiment(measuring(MAKERS[kind](1))), tmp_path)
        ran(experiment(measuring(MAKERS[kind](10))), tmp_path)
    except ValueError:
        return
    assert [r.measured[0]["value"] for r in Store(tmp_path / "t.e").records()] == [10, 20]


HEAD = """
import functools
from dataclasses import dataclass
from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import LINEAR_MEMORY_CAPACITY, Estimate
from hitherto.core.source import Paper, Source
"""
TAIL = """
CLAIM = Claim("p.c", "says", Source(Paper("k", "t", ("A B",), 2000), "here"), LINEAR_MEMORY_CAPACITY, "==",
              lambda case: None, lambda case: None, measure, {case})
"""
PLANTED = itertools.count()
MEASURE = "def measure(case):\n    return Estimate(LINEAR_MEMORY_CAPACITY, float({}))\n"


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A claim in a file with this text."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(text, case="Case(None, n=1)"):
        name = f"adversarial_{next(PLANTED)}"
        (tmp_path / f"{name}.py").write_text(HEAD + text + TAIL.format(case=case))
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        return module.CLAIM

    return make


MATTERS = {
    "constants assigned together": "A, B = {}, 5\n" + MEASURE.format("A"),
    "annotated constant": "A: int = {}\n" + MEASURE.format("A"),
    "constant added to": "A = 1\nA += {}\n" + MEASURE.format("A"),
    "constant under if": "if True:\n    A = {}\n" + MEASURE.format("A"),
    "constant under try": "try:\n    A = {}\nexcept ImportError:\n    A = 0\n" + MEASURE.format("A"),
    "helper under try": "try:\n    def f():\n        return {}\nexcept ImportError:\n    f = None\n"
    + MEASURE.format("f()"),
    "table filled later": "T = dict()\nT['x'] = {}\n" + MEASURE.format("T['x']"),
    "class attribute": "class K:\n    a = {}\n" + MEASURE.format("K.a"),
    "base class": "class B:\n    def go(self):\n        return {}\nclass K(B):\n    pass\n"
    + MEASURE.format("K().go()"),
    "default of a helper": "D = {}\ndef f(k=D):\n    return k\n" + MEASURE.format("f()"),
    "decorator": "def deco(f):\n    return lambda: f() + {}\n@deco\ndef f():\n    return 1\n" + MEASURE.format("f()"),
    "cached measure": "@functools.cache\n" + MEASURE,
    "cached helper": "@functools.cache\ndef f():\n    return {}\n" + MEASURE.format("f()"),
}


@pytest.mark.parametrize("what", MATTERS)
def test_what_the_measure_uses_in_its_file_counts(planted, what):
    assert code_version(planted(MATTERS[what].format(1))) != code_version(planted(MATTERS[what].format(2)))


IN_THE_CASE = """
from hitherto.core.model import Hidden, Recurrence

@dataclass(frozen=True)
class Thing(Recurrence):
    input_size: int = 1

    @property
    def output_size(self):
        return 1

    def init(self, key, dtype=float):
        return dict()

    def start(self, weights):
        return Hidden(0)

    def step(self, prepared, state, x):
        return state, x

    def sample(self):
        return 0.5 * {}
"""


@pytest.mark.parametrize(
    ("case", "use"),
    [("Case(Thing())", "case.architecture.sample()"), ("Case(None, task=Thing())", "case.task.sample()")],
    ids=["architecture", "task"],
)
def test_the_users_own_architecture_and_task_count(planted, case, use):
    """docs/extending.md: all in one file; the measure meets the architecture only through the case."""
    text = IN_THE_CASE + MEASURE.format(use)
    assert code_version(planted(text.replace("{}", "1"), case)) != code_version(planted(text.replace("{}", "2"), case))


def test_a_docstring_that_is_added_does_not_count(planted):
    bare = "def f():\n    return 1\n" + MEASURE.format("f()")
    told = "def f():\n    '''One.'''\n    return 1\n" + MEASURE.format("f()")
    assert code_version(planted(bare)) == code_version(planted(told))


def test_a_reloaded_file_is_read_again(tmp_path, monkeypatch):
    """As a notebook does after an edit."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "adversarial_reloaded.py"
    text = HEAD + "def f():\n    return {}\n" + MEASURE.format("f()") + TAIL.format(case="Case(None, n=1)")
    path.write_text(text.replace("return {}", "return 1"))
    importlib.invalidate_caches()
    module = importlib.import_module("adversarial_reloaded")
    before = code_version(module.CLAIM)
    path.write_text(text.replace("return {}", "return 1 + 1"))
    module = importlib.reload(module)
    assert module.measure(None).value == 2
    assert code_version(module.CLAIM) != before


def test_a_measure_without_a_file_works_or_is_told(tmp_path):
    """As typed into `python` or given by `python -c`."""
    names = {"number": number}
    exec("def measure(case):\n    return number(1)", names)
    try:
        found = ran(experiment(measuring(names["measure"])), tmp_path)
    except ValueError:
        return
    assert len(found) == 2


def test_two_asks_of_one_name_are_not_taken_for_each_other(tmp_path):
    def first(case):
        return number(1)

    def second(case):
        return number(2)

    try:
        found = ran(experiment(measuring(first), measuring(second)), tmp_path)
    except ValueError:
        return
    assert sorted(r.measured[0]["value"] for r in found) == [1, 1, 2, 2]
    assert len(Store(tmp_path / "t.e").records()) == 4


# --- claims ----------------------------------------------------------------------------------------------------------


def test_outside_its_hypotheses_a_claim_computes_nothing(tmp_path):
    def never(case):
        raise AssertionError("was called")

    outside = claim(hypotheses=lambda case: "not here", predict=never, measure=never)
    assert check(outside, point(1)).outcome == "not covered"
    assert ran(experiment(outside), tmp_path) == []
    assert Store(tmp_path / "t.e").records() == []
    assert "says" in experiments_page(stores(tmp_path))


@pytest.mark.parametrize(
    ("relation", "predicted", "measured", "rtol", "holds"),
    [
        ("==", 1.0, 1.5, 0.5, True),  # exactly the slack
        ("==", 1.0, float(np.nextafter(1.5, 2)), 0.5, False),
        (">=", 1.0, 0.5, 0.5, True),
        ("<=", -2.0, -1.0, 0.5, True),
        ("<=", math.inf, 5.0, 0.0, True),  # an infinite bound bounds everything
        (">=", -math.inf, 5.0, 0.0, True),
        ("==", math.inf, math.inf, 0.0, True),
        ("==", math.inf, 5.0, 0.1, False),
        ("<=", 1.0, math.nan, 0.5, False),
        ("<=", 10**400, 1.0, 0.0, True),  # a Python int is exact, however large
        ("==", 10**400, 10**400 + 1, 1e-3, True),
        ("==", 10**400, 10**401, 1e-3, False),
    ],
)
def test_relations_at_the_edge(relation, predicted, measured, rtol, holds):
    assert agree(number(predicted), number(measured), relation, rtol) == holds


@pytest.mark.parametrize(
    ("predicted", "measured"),
    [
        (curve([1.0]), curve([1.0, 1.0, 1.0])),
        (curve([1.0, 1.0]), curve([])),
        (curve([1.0]), curve([])),
        (curve([1.0, 1.0], lags=(0, 1)), curve([1.0, 1.0], lags=(5, 6))),
        (number(1.0), curve([1.0, 1.0])),
        (number(1.0), Estimate(Quantity("other", "something else"), 1.0, standard_error=0.0)),
    ],
    ids=["one and three", "two and none", "one and none", "other lags", "number and curve", "other quantity"],
)
def test_what_cannot_be_compared_does_not_hold(predicted, measured):
    ask = claim(quantity=predicted.quantity, predict=lambda case: predicted, measure=lambda case: measured)
    try:
        verdict = check(ask, point(1))
    except ValueError:
        return
    assert verdict.outcome != "holds"


def test_an_estimate_has_one_axis_for_each_of_its_quantity():
    """docstring: "an array with one axis for each of quantity.axes"; one such record makes a store unreadable."""
    with pytest.raises(ValueError, match="axes"):
        Estimate(NUMBER, np.ones(2))


@pytest.mark.parametrize("digits", [400, 5000])
def test_huge_numbers_are_recorded_and_exported(tmp_path, digits):
    ask = claim(predict=lambda case: number(10**digits), measure=lambda case: number(10**digits))
    assert [getattr(r, "outcome", r) for r in ran(experiment(ask), tmp_path)] == ["holds"] * 2
    assert Store(tmp_path / "t.e").records()[0].measured[0]["value"] == 10**digits
    assert len(table(Store(tmp_path / "t.e"))) == 4
    assert dict(dataset(Store(tmp_path / "t.e")).sizes) == {"a": 2}


def test_huge_numbers_that_differ_are_a_verdict(tmp_path):
    ask = claim(measure=lambda case: number(10**5000))
    assert check(ask, point(1)).outcome == "fails"


# --- one bad case must not end the others ----------------------------------------------------------------------------


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def speechless():
    raise Speechless


BAD = {
    "None": lambda: None,
    "an int": lambda: 5,
    "a list of estimates": lambda: [number(1)],
    "a tuple with None": lambda: (number(1), None),
    "statistics with a set": lambda: number(1.0, statistics={"seen": {1, 2}}),
    "statistics with a complex": lambda: number(1.0, statistics={"pole": 1j}),
    "array without axes": lambda: number(np.array(1.0)),
    "error without words": speechless,
}


@pytest.mark.parametrize("what", BAD)
def test_a_measure_that_gives_nonsense_is_a_failure_of_its_case_only(tmp_path, what):
    found = ran(experiment(measuring(lambda case: BAD[what]() if case.a == 2 else number(1)), a=(1, 2, 3)), tmp_path)
    done = [r.coordinates["a"] for r in found if not isinstance(r, Failure)]
    assert [a for a in done if a != 2] == [1, 3]


UNCHECKED = """
import sys
import toys
from hitherto.core.claim import Measurement
from hitherto.core.experiment import run
NONSENSE = dict(none=None, int=5, list=[toys.square(toys.case(1))])
def measure(case):
    return NONSENSE[sys.argv[2]] if case.n == 2 else toys.square(case)
found = run(toys.experiment(Measurement("toy.m", "says", measure), n=(1, 2, 3)), sys.argv[1])
print([r.coordinates["n"] for r in found])
"""


@pytest.mark.parametrize("what", ["none", "list"])
def test_the_same_without_the_type_checks_that_only_tests_have(tmp_path, what):
    (tmp_path / "script.py").write_text(UNCHECKED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "out"), what],
        env=os.environ | {"PYTHONPATH": str(CORE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[1, 2, 3]", done.stderr[-300:]


@pytest.mark.parametrize("what", ["None", "an int", "a list of estimates"])
def test_a_claim_that_measures_nonsense_says_so(tmp_path, what):
    """Not "'NoneType' object has no attribute ...": the message must name what was expected."""
    (found,) = ran(experiment(claim(measure=lambda case: BAD[what]()), a=(1,)), tmp_path)
    assert isinstance(found, Failure)
    assert "Estimate" in found.error


def test_hypotheses_that_raise_are_a_failure_of_their_case_only(tmp_path):
    ask = claim(hypotheses=lambda case: None if 1 / (case.a - 2) else "zero")
    found = ran(experiment(ask, a=(1, 2, 3)), tmp_path)
    assert [r.coordinates["a"] for r in found if not isinstance(r, Failure)] == [1, 3]
    assert [r.coordinates["a"] for r in found if isinstance(r, Failure)] == [2]


def test_measures_may_print_and_change_precision(tmp_path):
    import jax

    def rude(case):
        print("noise")
        jax.config.update("jax_enable_x64", False)
        return number(1)

    def bits(case):
        return number(jax.numpy.ones(1).dtype.itemsize)

    before = jax.config.jax_enable_x64
    found = ran(experiment(measuring(rude, "t.rude"), measuring(bits, "t.bits"), a=(1, 2)), tmp_path)
    assert {r.measured[0]["value"] for r in found if r.ask == "t.bits"} == {8}
    assert jax.config.jax_enable_x64 == before


def test_nan_fails_and_is_kept(tmp_path):
    ran(experiment(claim(measure=lambda case: number(math.nan if case.a == 1 else math.inf))), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    assert made["c.outcome"].values.tolist() == ["fails", "fails"]
    np.testing.assert_array_equal(made["c.measured"], [np.nan, np.inf])
    assert experiments_page(stores(tmp_path))


# --- files that somebody else touched --------------------------------------------------------------------------------


@pytest.fixture
def five(tmp_path):
    """A store of five records and the file of one of them."""
    ran(toys.experiment(), tmp_path)
    return Store(tmp_path / "toy.squares"), min((tmp_path / "toy.squares" / "cases").iterdir())


def spoilt(path: Path, how: str) -> None:
    record = json.loads(path.read_text())
    texts = {
        "garbage": "hello",
        "garbage with a brace": "hello }",
        "empty": "",
        "zeros": "\0" * 300,
        "a list": "[1, 2]",
        "a number": "5",
        "a text": '"x"',
        "an empty object": "{}",
        "a field less": json.dumps({k: v for k, v in record.items() if k != "outcome"}),
        "a field more": json.dumps(record | {"colour": "red"}),
        "other types": json.dumps(record | {"measured": 5, "coordinates": None}),
    }
    path.unlink()
    if how == "a folder":
        path.mkdir()
    else:
        path.write_text(texts[how])


def unless_told(action, name, otherwise):
    """What the action gives, or `otherwise` if it refuses and names the file."""
    try:
        return action()
    except ValueError as error:
        message = str(error)
    assert name in message
    return otherwise


HOW = [
    *("garbage", "garbage with a brace", "empty", "zeros", "a list", "a number", "a text"),
    *("an empty object", "a field less", "a field more", "other types", "a folder"),
]


@pytest.mark.parametrize("how", HOW)
def test_a_spoilt_case_file_is_left_out_or_named(five, how):
    store, path = five
    spoilt(path, how)
    assert len(unless_told(store.records, path.stem, range(4))) in (4, 5)


@pytest.mark.parametrize("how", HOW)
def test_a_spoilt_case_is_computed_again_or_named(five, how):
    store, path = five
    spoilt(path, how)
    if unless_told(lambda: ran(toys.experiment(), store.folder.parent), path.stem, None) is not None:
        assert len(unless_told(store.records, path.stem, range(5))) == 5


def test_a_case_file_cut_behind_a_brace_is_computed_again(five):
    store, path = five
    text = path.read_text()
    path.write_text(text[: text.index("}") + 1])
    assert len(store.records()) == 4
    assert len(ran(toys.experiment(), store.folder.parent)) == 1
    assert len(store.records()) == 5


def test_other_files_among_the_cases_are_not_records(five):
    store, path = five
    (path.parent / "notes.txt").write_text("mine")
    (path.parent / "notes.json").write_text('{"mine": true}')
    (path.parent / ".DS_Store").write_bytes(b"\0\1")
    (path.parent / "old").mkdir()
    assert len(unless_told(store.records, "notes.json", range(5))) == 5


@pytest.mark.parametrize("text", ["hello", "[]", "5", '"x"', '{"format": "x"}', '{"format": null}'])
def test_a_spoilt_experiment_file_is_told(five, text):
    store, _ = five
    about = store.folder / "experiment.json"
    about.write_text(text)
    for action in (store.about, lambda: experiments_page(stores(store.folder.parent))):
        with pytest.raises(ValueError, match=r"experiment\.json"):
            action()
    unless_told(lambda: ran(toys.experiment(), store.folder.parent), "experiment.json", None)
    assert len(store.records()) == 5


@pytest.mark.parametrize("left", ["", "\0" * 100], ids=["empty", "zeros"])
def test_a_plug_pulled_while_the_experiment_file_was_written_does_not_end_the_study(five, left):
    """docs: "pull the plug: ... the same command computes exactly what is missing"."""
    store, _ = five
    (store.folder / "experiment.json").write_text(left)
    assert [r.coordinates["n"] for r in ran(toys.experiment(n=range(1, 7)), store.folder.parent)] == [6]


@pytest.mark.parametrize("id", ["../evil", "a/b", "", ".", "..", "a\0b", "x" * 300], ids=lambda id: repr(id[:8]))
def test_an_experiment_stays_in_its_folder_and_is_found_again(tmp_path, id):
    out = tmp_path / "out"
    out.mkdir()
    try:
        ran(experiment(id=id), out)
    except ValueError:
        pass
    else:
        assert [store.name for store in stores(out)] == [id]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_experiment_may_not_be_an_absolute_path(tmp_path):
    with contextlib.suppress(ValueError):
        ran(experiment(id=str(tmp_path / "elsewhere")), tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


# --- labelled results ------------------------------------------------------------------------------------------------


def value_of(case) -> Estimate:
    return number(float(case.k))


@pytest.mark.parametrize(
    "values",
    [
        ((1, 2), (3,)),
        (None, 1),
        (Fraction(1, 3), Fraction(1, 2)),
        (0.1 + 0.2, 0.3),
        (np.float32(0.1), np.float64(0.1)),
        (True, False),
        ("a/b", "../ü ☃", ""),
        ("1", 1),
        (1.0, math.inf),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["dataset", ".csv", ".parquet", ".nc", "report"])
def test_every_coordinate_that_runs_can_be_read(tmp_path, values, kind):
    listed = list(values)
    by_place = {repr(value): place for place, value in enumerate(listed)}
    what = experiment(measuring(value_of), case=lambda a: Case(None, k=by_place[repr(a)], of=a), a=values)
    assert [getattr(r, "outcome", r) for r in ran(what, tmp_path / "out")] == ["measured"] * len(listed)
    assert ran(what, tmp_path / "out") == []
    if kind == "dataset":
        made = dataset(Store(tmp_path / "out" / "t.e"))
        assert sorted(made["m.measured"].values.ravel().tolist()) == list(range(len(listed)))
        assert len(set(made["a"].values.tolist())) == len(listed)
    elif kind == "report":
        assert experiments_page(stores(tmp_path / "out"))
    else:
        export(tmp_path / "out", tmp_path / f"results{kind}")
        assert (tmp_path / f"results{kind}").stat().st_size


def test_numbers_beside_infinity_stay_numbers(tmp_path):
    ran(experiment(measuring(lambda case: number(2.0)), a=(1.0, math.inf)), tmp_path)
    assert float(dataset(Store(tmp_path / "t.e"))["m.measured"].sel(a=1.0)) == 2.0


def test_coordinates_that_compare_equal_are_all_shown(tmp_path):
    ran(experiment(measuring(lambda case: number(2.0 if case.a is True else 1.0)), a=(1, True)), tmp_path)
    assert len(Store(tmp_path / "t.e").records()) == 2
    try:
        made = dataset(Store(tmp_path / "t.e"))
    except ValueError:
        return
    assert sorted(made["m.measured"].values.tolist()) == [1.0, 2.0]


def test_two_points_that_are_one_case_are_both_in_the_results(tmp_path):
    """The case is computed once, rightly, but the grid has two points."""
    what = experiment(measuring(lambda case: number(float(case.a))), case=lambda a: Case(None, a=abs(a)), a=(-1, 1, 2))
    ran(what, tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    assert made["m.measured"].sel(a=-1) == 1
    assert 1 in made["a"].values.tolist()
    assert made["m.measured"].sel(a=1) == 1


def test_a_coordinate_added_later_keeps_the_old_results_in_the_grid(tmp_path):
    """The usual course of a study: one seed first, then more; the cases of seed 0 are the same."""
    ask = measuring(lambda case: number(float(10 * case.a + case.seed)))
    ran(experiment(ask, a=(1, 2)), tmp_path)
    ran(experiment(ask, a=(1, 2), seed=(0, 1)), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    assert dict(made.sizes) == {"a": 2, "seed": 2}
    np.testing.assert_array_equal(made["m.measured"].transpose("a", "seed"), [[10, 11], [20, 21]])


def test_a_coordinate_renamed_is_drawn_under_its_new_name(tmp_path):
    ask = claim(predict=lambda case: number(case.w), measure=lambda case: number(case.w))
    ran(experiment(ask, case=lambda a: Case(None, w=a), a=(1, 2, 3)), tmp_path)
    ran(experiment(ask, case=lambda width: Case(None, w=width), width=(1, 2, 3)), tmp_path)
    assert set(dataset(Store(tmp_path / "t.e")).sizes) == {"width"}


def layers(case):
    return number(1.0, part="layer 0"), number(2.0, part="layer 1")


def test_parts_of_a_model_are_all_in_the_labelled_results(tmp_path):
    ran(experiment(measuring(layers), a=(1,)), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    held = np.concatenate([np.ravel(v.values) for k, v in made.items() if "measured" in str(k)])
    assert {1.0, 2.0} <= set(held.tolist())


def test_parts_of_a_model_are_told_apart_in_tables(tmp_path):
    ran(experiment(measuring(layers), a=(1,)), tmp_path)
    rows = table(Store(tmp_path / "t.e")).drop(columns="value")
    assert len(rows) == 2
    assert not rows.astype(str).duplicated().any()


def test_each_case_keeps_its_own_axis(tmp_path):
    """Curves over lags that differ from case to case: a value stands at its own lag."""
    ask = measuring(lambda case: curve([10.0 * case.a, 10.0 * case.a + 1], lags=(case.a, 2 * case.a)))
    ran(experiment(ask, a=(1, 3)), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))["m.measured"]
    assert sorted(made["lag"].values.tolist()) == [1, 2, 3, 6]
    assert made.sel(a=3, lag=3) == 30
    assert made.sel(a=3, lag=6) == 31
    assert np.isnan(made.sel(a=3, lag=1))


def test_ragged_curves_and_empty_ones(tmp_path):
    ran(experiment(measuring(lambda case: curve(np.ones(case.a))), a=(0, 1, 3)), tmp_path / "out")
    made = dataset(Store(tmp_path / "out" / "t.e"))["m.measured"]
    assert np.isfinite(made.values).sum(1).tolist() == [0, 1, 3]
    for suffix in (".nc", ".csv", ".parquet"):
        export(tmp_path / "out", tmp_path / f"x{suffix}")


def test_an_axis_may_have_the_name_of_a_coordinate(tmp_path):
    """A grid over `lag` and a curve over `lag`."""
    ran(experiment(measuring(lambda case: curve([1.0, 2.0])), case=lambda lag: Case(None, a=lag), lag=(1, 2)), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    (values,) = [v for k, v in made.items() if str(k).endswith("measured")]
    assert sorted(values.values.ravel().tolist()) == [1.0, 1.0, 2.0, 2.0]


def test_claims_of_two_papers_with_one_short_name_are_kept_apart(tmp_path):
    asks = measuring(lambda case: number(1.0), "first.rank"), measuring(lambda case: number(2.0), "second.rank")
    ran(experiment(*asks, a=(1,)), tmp_path)
    made = dataset(Store(tmp_path / "t.e"))
    held = np.concatenate([np.ravel(v.values) for k, v in made.items() if "measured" in str(k)])
    assert sorted(held.tolist()) == [1.0, 2.0]


@pytest.mark.parametrize("name", ["value", "quantity", "role", "outcome", "seconds", "experiment"])
def test_tables_keep_a_coordinate_of_any_name(tmp_path, name):
    what = experiment(measuring(lambda case: number(1.0)), case=lambda **at: Case(None, a=at[name]), **{name: (70, 80)})
    try:
        ran(what, tmp_path / "out")
    except ValueError:
        return
    export(tmp_path / "out", tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert "70" in lines[1].split(",")
    assert "80" in lines[2].split(",")


@pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
def test_experiments_with_other_types_of_one_coordinate_export_together(tmp_path, suffix):
    ran(experiment(id="t.one", a=(1, 2)), tmp_path / "out")
    ran(experiment(id="t.two", a=("x", "y")), tmp_path / "out")
    export(tmp_path / "out", tmp_path / f"x{suffix}")
    if suffix == ".nc":
        xarray = pytest.importorskip("xarray")
        found = [xarray.load_dataset(tmp_path / "x.nc", group=id, engine="h5netcdf") for id in ("t.one", "t.two")]
        assert [made["a"].values.tolist() for made in found] == [[1, 2], ["x", "y"]]
        return
    pandas = pytest.importorskip("pandas")
    found = pandas.read_csv(tmp_path / "x.csv") if suffix == ".csv" else pandas.read_parquet(tmp_path / "x.parquet")
    assert set(found["a"].astype(str)) == {"1", "2", "x", "y"}


@pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
def test_an_experiment_without_records_does_not_block_the_others(tmp_path, suffix):
    ran(experiment(id="t.none", case=lambda a: None), tmp_path / "out")
    ran(experiment(id="t.some"), tmp_path / "out")
    export(tmp_path / "out", tmp_path / f"x{suffix}")
    assert "says" in experiments_page(stores(tmp_path / "out"))


@pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
def test_exports_into_places_that_cannot_be_written_are_told(tmp_path, suffix, capsys):
    """/proc refuses everybody, root too."""
    ran(experiment(), tmp_path / "out")
    places = [Path("/proc") / f"x{suffix}"] if Path("/proc").is_dir() else []
    for place in (*places, tmp_path / "no" / f"x{suffix}"):
        assert main(["export", str(tmp_path / "out"), str(place)]) == 2
        assert str(place) in capsys.readouterr().err


def test_a_report_into_a_place_that_cannot_be_written_is_told(tmp_path, capsys):
    if not Path("/proc").is_dir():
        pytest.skip("no /proc")
    ran(experiment(), tmp_path / "out")
    assert main(["report", str(tmp_path / "out"), "--out", "/proc/page.html"]) == 2
    assert "/proc" in capsys.readouterr().err


def test_an_export_replaces_a_file_only_when_it_is_whole(tmp_path, monkeypatch):
    import pandas

    ran(experiment(), tmp_path / "out")
    (tmp_path / "x.csv").write_text("precious")

    def cut_short(self, path, *args, **settings):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_csv", cut_short)
    with pytest.raises(Exception, match="No space left"):
        export(tmp_path / "out", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "precious"


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Start_End.deep", "START_END", " start_end.deep ", "start_end.", "deep", ""])
def test_names_that_are_nearly_right_are_told(name, capsys):
    assert main(["check", name]) == 2
    assert "start_end.deep" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["CI", " ci", "", "Paper"])
def test_sizes_that_are_nearly_right_are_told(size, capsys, tmp_path):
    assert main(["run", "start_end.depth_gap", "--size", size, "--out", str(tmp_path / "out")]) == 2
    assert "ci, paper, cluster" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", ["-1", "abc", ""])
def test_workers_that_cannot_be_are_told(count, capsys, tmp_path):
    try:
        status = main(["run", "start_end.depth_gap", "--workers", count, "--out", str(tmp_path / "out")])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert "--workers" in capsys.readouterr().err


WRONG_ADDRESSES = ("garbage", "http://127.0.0.1:1", "", "tcp://", "tcp://127.0.0.1:abc")
IN_ONE_SESSION = """
import sys
from hitherto.cli import main
from hitherto.core import cluster
if __name__ == "__main__":
    cluster.PATIENCE = 1
    out, *addresses = sys.argv[1:]
    main(["run", "start_end.depth_gap", "--out", out])
    found = [main(["run", "start_end.depth_gap", "--out", out + "2", "--scheduler", a]) for a in addresses]
    print("refused", found, flush=True)
    print("exported", main(["export", out, out + ".nc"]), flush=True)
"""


@pytest.fixture(scope="module")
def one_session(tmp_path_factory) -> tuple[str, str]:
    """What one process prints that is given wrong addresses and exports afterwards."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("session")
    (folder / "session.py").write_text(IN_ONE_SESSION)
    command = [sys.executable, str(folder / "session.py"), str(folder / "out"), *WRONG_ADDRESSES]
    with (folder / "said").open("w+") as said, (folder / "errors").open("w+") as errors:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, stdout=said, stderr=errors, timeout=60, check=False)
        said.seek(0)
        errors.seek(0)
        return said.read(), errors.read()


def test_schedulers_that_cannot_be_are_told(one_session):
    said, errors = one_session
    assert f"refused {[2] * len(WRONG_ADDRESSES)}" in said
    assert errors.count("no Dask scheduler answers at") == len(WRONG_ADDRESSES)


def test_after_schedulers_that_did_not_answer_results_can_be_exported(one_session):
    """One notebook: the address was wrong, twice; the export must not want a cluster."""
    said, errors = one_session
    assert "exported 0" in said, errors[-300:]


@pytest.mark.parametrize("spoil", ["[1]", "{}"])
@pytest.mark.parametrize("command", ["report", "export", "run"])
def test_commands_tell_of_spoilt_files(command, spoil, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", "start_end.depth_gap", "--out", str(out)]) == 0
    path = min((out / "start_end.depth_gap" / "cases").iterdir())
    path.write_text(spoil)
    arguments = {
        "report": ["report", str(out), "--out", str(tmp_path / "p.html")],
        "export": ["export", str(out), str(tmp_path / "x.csv")],
        "run": ["run", "start_end.depth_gap", "--out", str(out)],
    }
    status = main(arguments[command])
    assert status == 0 or path.stem in capsys.readouterr().err


def planted_claims(monkeypatch, *measures):
    claims = tuple(replace(start_end.SHALLOW, id=f"start_end.c{i}", measure=m) for i, m in enumerate(measures))
    monkeypatch.setattr(commands, "CLAIMS", claims)
    monkeypatch.setattr(commands, "PAPERS", ())


def broken(case):
    raise ArithmeticError("too large")


def loud(case):
    print("noise")
    return start_end.measured_rank(case)


def test_check_goes_on_after_a_claim_that_raises(monkeypatch, capsys):
    planted_claims(monkeypatch, broken, start_end.measured_rank)
    assert main(["check"]) == 1
    said = "".join(capsys.readouterr())
    assert "too large" in said
    assert "start_end.c1" in said


def test_check_as_json_stays_json_when_a_measure_prints(monkeypatch, capsys):
    planted_claims(monkeypatch, loud)
    assert main(["check", "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        json.loads(line)


def test_check_as_json_holds_a_claim_that_raises(monkeypatch, capsys):
    planted_claims(monkeypatch, broken, start_end.measured_rank)
    assert main(["check", "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "start_end.c1" in json.dumps(rows)


def test_a_run_with_a_failed_claim_is_told(monkeypatch, tmp_path, capsys):
    failing = replace(EXPERIMENTS[0], asks=(replace(start_end.SHALLOW, predict=lambda case: start_end.exact(99)),))
    monkeypatch.setattr(commands, "EXPERIMENTS", (failing,))
    main(["run", failing.id, "--out", str(tmp_path)])
    assert "3 fails" in capsys.readouterr().out
