"""Whether the advice holds: its first options and two naive ones trained on the matching task, recall by lag."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hitherto.advice.adviser import Advice, Option, assessed
from hitherto.advice.candidates import Candidate, naive, naive_gated
from hitherto.advice.learning import LEARNED
from hitherto.advice.request import Request
from hitherto.core.claim import Case
from hitherto.core.experiment import Experiment, Failure, Job, Measurement, Plot, jobs, run
from hitherto.core.quantity import HELD_OUT_R2, Estimate
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
        agreeing, pairs: at the lag that was asked for, how many pairs recall in the order of the advice, or differ in
            the other by less than 0.01 or two standard errors.
    """

    rows: tuple[Trained, ...]
    agreeing: int
    pairs: int

    @property
    def held(self) -> bool:
        """Whether the whole ranking held."""
        return self.agreeing == self.pairs


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
        ValueError: if a training fails, or the folder cannot be used.

    Cost: steps x 32 sequences of 2 lag + 2 steps for each of some ten trainings: minutes.
    """
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
    return Verification(rows, sum(_in_order(a, b) for a, b in pairs), len(pairs))


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


def _in_order(first: Trained, second: Trained) -> bool:
    error = math.hypot(float(first.measured.standard_error or 0), float(second.measured.standard_error or 0))
    return float(first.measured.value) >= float(second.measured.value) - max(SAME, 2 * error)
