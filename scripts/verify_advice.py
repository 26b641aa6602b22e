"""Train what `hitherto.advise` recommends and the naive rule on ten delay tasks, and write the table.

    python scripts/verify_advice.py results/advice docs/images/advice_verified.csv [--cases 0 1 ...] [--workers 2]

The naive rule is one tanh layer, as wide as the budget allows, from PyTorch's default start. Both have the same number
of steps of Adam. A lag is reached where R^2 on held-out sequences is 0.9 or more. Finished cases are not done again.
"""

import argparse
import csv
from contextlib import nullcontext
from pathlib import Path

from hitherto.advice.adviser import Advice, advise
from hitherto.advice.verification import RECALL
from hitherto.core import cluster
from hitherto.core.claim import Case
from hitherto.core.experiment import Experiment, Failure, Plot, jobs, run
from hitherto.core.store import Store

STEPS, REACHED = 1000, 0.9
CASES = (  # lag, channels, budget
    *((10, 1, None), (10, 4, None), (30, 1, None), (30, 4, 20_000), (100, 1, None), (100, 4, 40_000)),
    *((30, 1, 400), (30, 4, 3_000), (100, 1, 1_500), (100, 4, 10_000)),
)
RULES = ("advised", "naive")


def advice_of(number: int) -> Advice:
    """For one of the cases."""
    lag, channels, budget = CASES[number]
    return advise(lag, channels, parameters=budget, steps=STEPS)


def case(number: int, rule: str) -> Case:
    """What is trained."""
    advice = advice_of(number)
    chosen = advice.options[0] if rule == "advised" else next(o for o in advice.options if o.candidate.naive)
    return Case(candidate=chosen.candidate, lag=advice.request.lag, steps=STEPS, seed=0)


def experiment(numbers: list[int]) -> Experiment:
    """Both rules at some of the cases."""
    grid = dict(number=tuple(numbers), rule=RULES)
    says = "Recall of what was advised and of the naive rule"
    return Experiment("advice.cases", says, (RECALL,), case, grid, {"ci": {}}, Plot("number", ("rule",)))


def rows(found: Experiment, store: Store) -> list[dict[str, str]]:
    """A row a case."""
    records = {record.id: record for record in store.records({job.id for job in jobs(found)})}
    trained = {(job.coordinates["number"], job.coordinates["rule"]): records[job.id] for job in jobs(found)}
    return [_row(number, *(trained[number, rule] for rule in RULES)) for number in found.grid["number"]]


def _row(number: int, advised, naive) -> dict[str, str]:
    advice = advice_of(number)
    (first,), (second,) = advised.measured, naive.measured
    best = advice.options[0]
    rule = next(option for option in advice.options if option.candidate.naive)
    return {
        "lag": str(advice.request.lag),
        "channels": str(advice.request.channels),
        "budget": str(advice.request.budget),
        "advised": best.candidate.name,
        "parameters": str(best.candidate.parameters),
        "predicted R^2": str(best.numbers["predicted recall"]),
        "measured R^2": f"{float(first['value']):.4f}",
        "95% interval": f"{float(first['low']):.4f} to {float(first['high']):.4f}",
        "reached": "yes" if float(first["value"]) >= REACHED else "no",
        "naive": rule.candidate.name,
        "naive R^2": f"{float(second['value']):.4f}",
        "naive interval": f"{float(second['low']):.4f} to {float(second['high']):.4f}",
        "better": "yes" if float(first["low"]) > float(second["high"]) else "no",
        "seconds": f"{advised.seconds:.0f} and {naive.seconds:.0f}",
    }


def main() -> None:
    """Train, write, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    chosen = experiment(given.cases)
    with nullcontext() if given.workers is None else cluster.workers(given.workers) as map_jobs:
        for result in run(chosen, given.results, map_jobs=map_jobs):
            failed = isinstance(result, Failure)
            print(result.coordinates, result.error if failed else f"{result.seconds:.0f} s", flush=True)
    found = rows(chosen, Store(given.results.resolve() / chosen.id))
    with given.table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    reached, better = (sum(row[name] == "yes" for row in found) for name in ("reached", "better"))
    print(f"Reached: {reached} of {len(found)}. Better than the naive rule: {better} of {len(found)}.")


if __name__ == "__main__":
    main()
