"""What the engine costs: busy cores, overhead per case and memory of the main process, over 2,000 small cases."""

import math
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext

import psutil

from hitherto.core.claim import Case, Measurement
from hitherto.core.cluster import workers
from hitherto.core.experiment import Experiment, Plot, Record, run
from hitherto.core.quantity import Estimate, Quantity

CASES, SECONDS, WORKERS = 2000, 0.02, 2
SETTLED = 100  # cases after which the pools are warm
WORK = Quantity("work", "square roots taken in the time given")


def work(case: Case) -> Estimate:
    """`SECONDS` of processor time."""
    end, count = time.process_time() + case.seconds, 0
    while time.process_time() < end:
        math.sqrt(case.n)
        count += 1
    return Estimate(WORK, float(count), standard_error=0.0)


def case(n: int, seconds: float) -> Case:
    """One of many."""
    return Case(None, n=n, seconds=seconds)


def experiment(seconds: float) -> Experiment:
    """As many cases as are asked, each as long."""
    grid = dict(n=tuple(range(CASES)), seconds=(seconds,))
    return Experiment(
        "bench.work", "work", (Measurement("bench.work", "work", work),), case, grid, dict(ci={}), Plot("n")
    )


def measured(seconds: float, count: int) -> dict[str, float]:
    """One run of all cases on `count` worker processes; 0 for this process alone."""
    with tempfile.TemporaryDirectory() as out, workers(count) if count else nullcontext() as map_jobs:
        results = run(experiment(seconds), out, map_jobs=map_jobs)
        warm = [next(results) for _ in range(SETTLED)]
        main, children = psutil.Process(), psutil.Process().children(recursive=True)
        before, memory, used = time.perf_counter(), main.memory_info().rss, main.cpu_times()
        worked = sum(result.seconds for result in _records(results))
        wall, now = time.perf_counter() - before, main.cpu_times()
        done = CASES - len(warm)
        overhead = (now.user + now.system - used.user - used.system) / done
        return {
            "wall": wall,
            "busy": worked / wall / max(1, count),
            "overhead_ms": 1e3 * (overhead if count else wall / done - seconds),
            "memory_mb": main.memory_info().rss / 1e6,
            "grown_mb": (main.memory_info().rss - memory) / 1e6,
            "children": len(children),
        }


def _records(results: Iterator) -> Iterator[Record]:
    for result in results:
        assert isinstance(result, Record), result
        yield result


def engine_table() -> list[str]:
    """Rows for benchmarks/results.md."""
    lines = [
        "| cases | where | wall s | workers busy | main process, ms a case | main process, MB (grown) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for seconds, count in ((SECONDS, WORKERS), (0.0, WORKERS), (0.0, 0)):
        found = measured(seconds, count)
        where = f"{count} worker processes" if count else "this process"
        busy = f"{found['busy']:.0%}" if seconds else "-"
        lines.append(
            f"| {CASES:,} of {1e3 * seconds:.0f} ms | {where} | {found['wall']:.1f} | {busy} | "
            f"{found['overhead_ms']:.2f} | {found['memory_mb']:.0f} ({found['grown_mb']:+.0f}) |"
        )
    return [*lines, "", f"After {SETTLED} cases. Highest memory of this process: {_peak():.0f} MB."]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    print("\n".join(engine_table()))
