"""Whether the advice holds: its first options and two naive ones trained on the matching task, recall by lag."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hitherto.advice.adviser import Advice, Option, assessed
from hitherto.advice.candidates import Candidate, naive, naive_gated
from hitherto.advice.learning import LEARNED
from hitherto.advice.request import Request
from hitherto.core.claim import Case
from hitherto.core.experiment import Experiment, Failure, Job, Measurement, Plot, jobs, run
from hitherto.core.quantity import HELD_OUT_R2, Estimate, plain
from hitherto.core.store import Record, Store
from hitherto.measures.task_loss import task_loss
from hitherto.tasks.delay import DelayedCopy
from hitherto.training.fit import fit

FIRST = 2  # options that are trained beside the naive ones
HELD_OUT, HELD_OUT_SEED = 256, 10**6
SHARES = (4, 2, 1)  # of the lag
NORMAL_95 = 1.96
SAME = 0.01  # of R^2: less makes no order

Mapper = Callable[[Iterator[Job]], Iterator[Record | Failure]]


@dataclass(frozen=True)
class Trained:
    """One option after training for one lag.

    Attributes:
        option: with its predictions for this lag.
        lag: of the task.
        measured: R^2 on held-out sequences, with its interval.
        seconds: of training and measuring.
    """

    option: Option
    lag: int
    measured: Estimate
    seconds: float

    @property
    def reached(self) -> bool:
        """Whether no more than a tenth of the squared error is left."""
        return float(self.measured.value) >= 1 - LEARNED


@dataclass(frozen=True)
class Verification:
    """Measured recall beside the predictions.

    Attributes:
        rows: option by option, in the order of the advice, naive ones last; lags rising.
        pairs: of options at the lag that was asked for.
        agreeing: how many of them recall in the order of the advice.
        tied: how many differ by less than 0.01 or two standard errors.
    """

    rows: tuple[Trained, ...]
    pairs: int
    agreeing: int
    tied: int

    @property
    def held(self) -> bool:
        """Whether some pairs recall in the order of the advice, and none in the other."""
        return 0 < self.agreeing == self.pairs - self.tied

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        counted = dict(pairs=self.pairs, agreeing=self.agreeing, tied=self.tied, held=self.held)
        return counted | {"rows": [_row_dict(row) for row in self.rows]}


def verify_advice(
    advice: Advice, out: str | Path = "results", *, seed: int = 0, map_jobs: Mapper | None = None
) -> Verification:
    """Train the first two options and two naive ones at a quarter, half and all of the lag, and measure recall.

    Every training has the steps of the request, with Adam and the option's rates. Results are recorded in the folder
    and not computed again.

    Args:
        advice: what is checked.
        out: folder of the results.
        seed: of weights and batches.
        map_jobs: as for `core.experiment.run`, to train on worker processes or a Dask cluster.
    Raises:
        ValueError: if answers need products or fewer states than a delay, so that it is no matching task; if a training
            fails, or the folder cannot be used.

    Cost: steps x 32 sequences of 2 lag + 2 steps for each of some ten trainings: minutes.
    """
    _refuse_other_tasks(advice.request)
    experiment, options = _experiment(advice, seed)
    for result in run(experiment, out, map_jobs=map_jobs):
        if isinstance(result, Failure):
            raise ValueError(f"a training of the advice failed: {result.error}; train it by `fit` to see where")
    order = {option.candidate: place for place, option in enumerate(options)}
    planned = sorted(jobs(experiment), key=lambda job: (order[job.case.candidate], job.case.lag))
    found = Store(Path(out).resolve() / experiment.id).records({job.id for job in planned})
    records = {record.id: record for record in found}
    rows = tuple(_row(job, records[job.id], advice.request, seed) for job in planned)
    asked = [row for row in rows if row.lag == advice.request.lag]
    pairs = [(a, b) for i, a in enumerate(asked) for b in asked[i + 1 :]]
    orders = [_order(first, second) for first, second in pairs]
    return Verification(rows, len(pairs), orders.count(1), orders.count(0))


def recall(case: Case) -> Estimate:
    """R^2 of the delayed copy after training: 1 - loss, since targets have variance 1 and mean 0."""
    candidate, task = case.candidate, DelayedCopy(case.lag, case.candidate.channels, 2 * case.lag + 2)
    trained = fit(candidate.model, task, candidate.training(case.steps), case.seed)
    loss = task_loss(trained.best, task.sample(HELD_OUT, HELD_OUT_SEED))
    value, error = 1 - float(loss.value), float(loss.standard_error or 0.0)
    about = dict(status=trained.status, steps=trained.steps, best_step=trained.best_step)
    reach = NORMAL_95 * error
    return Estimate(HELD_OUT_R2, value, error, value - reach, value + reach, statistics=about, source="a mean")


RECALL = Measurement("advice.recall", "how much of an input some steps ago a trained network gives back", recall)


def _experiment(advice: Advice, seed: int) -> tuple[Experiment, tuple[Option, ...]]:
    request = advice.request
    rules = (naive(request), naive_gated(request))
    first = [option for option in advice.options if option.candidate not in rules][:FIRST]
    options = (*first, *(assessed(rule, request, seed) for rule in rules))
    lags = tuple(sorted({max(1, request.lag // share) for share in SHARES}))
    grid = dict(candidate=tuple(o.candidate for o in options), lag=lags, steps=(request.steps,), seed=(seed,))
    plot = Plot("lag", ("candidate",), "lag (steps back)")
    says = "Recall by lag of what was advised, and of naive rules"
    return Experiment("advice.verified", says, (RECALL,), _case, grid, {"ci": {}}, plot), options


def _case(candidate: Candidate, lag: int, steps: int, seed: int) -> Case:
    return Case(candidate=candidate, lag=lag, steps=steps, seed=seed)


def _row(job: Job, record: Record, request: Request, seed: int) -> Trained:
    measured = record.measured[0]
    names = ("value", "standard_error", "low", "high")
    value, error, low, high = (math.nan if measured[name] is None else float(measured[name]) for name in names)
    option = assessed(job.case.candidate, replace(request, lag=job.case.lag), seed)
    estimate = Estimate(HELD_OUT_R2, value, error, low, high, statistics=measured["statistics"], source="a mean")
    return Trained(option, job.case.lag, estimate, record.seconds)


def _order(first: Trained, second: Trained) -> int:
    """1 if the first recalls more, -1 if the second does, 0 if they cannot be told apart."""
    error = math.hypot(float(first.measured.standard_error or 0), float(second.measured.standard_error or 0))
    difference = float(first.measured.value) - float(second.measured.value)
    return 0 if abs(difference) <= max(SAME, 2 * error) else 1 if difference > 0 else -1


def _row_dict(row: Trained) -> dict[str, Any]:
    measured = row.measured
    return {
        "option": row.option.candidate.name,
        "lag": row.lag,
        "predicted": plain(vars(row.option.numbers["predicted recall"])),
        "measured": float(measured.value),
        "low": float(measured.low),  # type: ignore[arg-type]
        "high": float(measured.high),  # type: ignore[arg-type]
        "reached": row.reached,
        "seconds": row.seconds,
    }


def _refuse_other_tasks(request: Request) -> None:
    delayed = request.channels * (request.lag + 1)
    if request.nonlinear or request.states < delayed:
        needs = "products" if request.nonlinear else f"{request.states:,} states"
        raise ValueError(
            f"a verification was asked for of advice for answers that need {needs}, and it trains delays, which need "
            f"{delayed:,} states and no products; train an option on your own task instead: `option.candidate.model` "
            "and `.training(steps)` go into `hitherto.fit`"
        )
