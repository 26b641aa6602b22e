"""Cases on other processes: nothing is lost and nothing is done twice, whoever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toys

from hitherto.core import cluster as cluster_module
from hitherto.core.cluster import scheduler, workers
from hitherto.core.experiment import Failure, run
from hitherto.core.store import Record, Store

pytest.importorskip("distributed")
HERE = Path(__file__).parent
MAIN = """
import sys
import toys
from hitherto.core.cluster import workers
from hitherto.core.experiment import run
if __name__ == "__main__":
    with workers(2) as map_jobs:
        experiment = toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 121))
        list(run(experiment, sys.argv[1], map_jobs=map_jobs))
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}


def started(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def told(record: Record) -> dict:
    """What must not depend on where a case was computed."""
    return {
        key: getattr(record, key) for key in ("id", "ask", "coordinates", "case", "outcome", "predicted", "measured")
    }


def serial(experiment, folder) -> dict[str, dict]:
    return {record.id: told(record) for record in run(experiment, folder)}


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler on loopback, and the processes: itself and its two workers."""
    file = tmp_path / "scheduler.json"
    of = ("--scheduler-file", str(file))
    processes = [started("distributed.cli.dask_scheduler", *of, "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        wait_for(file.exists)
        worker = (
            "distributed.cli.dask_worker",
            *of,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit",
            "0",
        )
        processes += [started(*worker), started(*worker)]
        yield json.loads(file.read_text())["address"], processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_killed_worker_loses_nothing(cluster, tmp_path):
    address, processes = cluster
    experiment = toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 81))
    with scheduler(address) as map_jobs:
        results = run(experiment, tmp_path / "out", map_jobs=map_jobs)
        found = [next(results) for _ in range(8)]
        processes[1].send_signal(signal.SIGKILL)
        found += list(results)
    assert not [r for r in found if isinstance(r, Failure)]
    assert sorted(r.coordinates["n"] for r in found) == list(range(1, 81))
    stored = Store(tmp_path / "out" / experiment.id).records()
    assert {r.id: told(r) for r in stored} == serial(experiment, tmp_path / "serial")


def test_a_case_that_kills_its_worker_is_found_and_the_others_are_done(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_MARK", str(tmp_path / "mark"))
    experiment = toys.experiment(toys.claim("deadly", toys.deadly_sum), n=range(1, 31))
    with workers(1) as map_jobs:
        found = list(run(experiment, tmp_path / "out", map_jobs=map_jobs))
    assert (tmp_path / "mark").exists()
    assert sorted(r.coordinates["n"] for r in found) == list(range(1, 31))
    assert not [r for r in found if isinstance(r, Failure)]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    out = tmp_path / "out"
    cases = out / "toy.squares" / "cases"
    process = subprocess.Popen([sys.executable, script, out], env=environment(), start_new_session=True)
    try:
        wait_for(lambda: cases.exists() and len(list(cases.glob("*.json"))) >= 10)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    experiment = toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 121))
    before = {r.id: r for r in Store(out / experiment.id).records()}
    assert 10 <= len(before) < 120
    missing = list(run(experiment, out))
    assert len(missing) == 120 - len(before)
    after = {r.id: r for r in Store(out / experiment.id).records()}
    assert all(after[id] == record for id, record in before.items())
    assert {id: told(r) for id, r in after.items()} == serial(experiment, tmp_path / "serial")


def test_an_error_in_a_case_comes_back_as_a_failure(tmp_path):
    experiment = toys.experiment(toys.claim("fragile", toys.fragile_sum), n=range(10, 16))
    with workers(1) as map_jobs:
        found = list(run(experiment, tmp_path, map_jobs=map_jobs))
    assert [r.coordinates["n"] for r in found if isinstance(r, Failure)] == [13]
    assert len(found) == 6


def test_a_scheduler_that_dies_is_told(cluster, tmp_path):
    address, processes = cluster
    experiment = toys.experiment(toys.claim("slow", toys.slow_sum), n=range(1, 200))
    with scheduler(address) as map_jobs:
        results = run(experiment, tmp_path / "out", map_jobs=map_jobs)
        done = [next(results) for _ in range(5)]
        processes[0].kill()
        with pytest.raises(ValueError, match="scheduler is gone; what was recorded is safe"):
            done += list(results)
    assert len(Store(tmp_path / "out" / experiment.id).records()) >= 5


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr(cluster_module, "PATIENCE", 1)
    with (
        pytest.raises(ValueError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9"),
        scheduler("tcp://127.0.0.1:9"),
    ):
        pass


def test_no_workers_asked():
    with pytest.raises(ValueError, match="at least one process, got 0"), workers(0):
        pass
