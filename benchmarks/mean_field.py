"""Mean-field networks on one core: solvers, and sampling by hidden activity and by weights; prints its tables."""
# ruff: noqa: E402

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before BLAS and XLA make their threads

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from separation_rank import seconds, yes

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_action import Action
from hitherto.theory.mean_field_endpoint import endpoint_of_inputs
from hitherto.theory.mean_field_nonlinear import threshold
from hitherto.theory.mean_field_solver import solve
from hitherto.training.posterior import Posterior, sample_posterior
from hitherto.training.posterior_chains import BLOCK, Sampling
from hitherto.training.posterior_weights import sample_weights

WIDE, NARROW = 3000, 120
SQUARED_LABEL = 6.78020187581  # twice that at which the wide erf network becomes coherent
LIMIT = 0.55874773364  # |C| between the last two times at infinite width
ASKED_ERROR, ASKED_SECONDS, ASKED_TIMES = 0.01, 20, 20
SAMPLED: tuple[tuple[str, Any, int, Sampling], ...] = (  # each way as it is quickest
    ("hidden activity, `sample_posterior`", sample_posterior, WIDE, Sampling(draws=200, warm_up=150)),
    ("hidden activity, `sample_posterior`", sample_posterior, NARROW, Sampling(draws=2000, warm_up=75, chains=8)),
    ("weights, `sample_weights`", sample_weights, NARROW, Sampling(draws=1000, warm_up=150, chains=8)),
)
RUNS = 5
TIMES, PATTERNS, FEATURES = 12, 3000, 64

# ---------------------------------------------------------------- solvers


def solver_rows() -> Iterator[tuple[str, Callable[[], object], float]]:
    """What is solved, how, and the seconds that are asked."""
    chain = Problem.pulse(np.array([[60.0**0.5]]), (TIMES - 1,), TIMES)
    yield f"chain of {TIMES} times, `solve`, 16 starts", lambda: solve(chain), 0.5
    rng = np.random.default_rng(0)
    wide = Problem.pulse(rng.normal(size=(20, 3)), (3, 6, 9), 10)
    action = Action(wide)
    factor = np.linalg.cholesky(action.prior)
    yield "value and gradient of F, 200 entries", lambda: (action.of(factor).value, action.of(factor).gradient), 0.015
    inputs = rng.normal(size=(PATTERNS, PATTERNS))
    labels = np.sign(inputs[:, :FEATURES].sum(axis=1))
    yield f"adaptive ridge, {PATTERNS:,} patterns", lambda: endpoint_of_inputs(inputs, labels, 3, noise=0.1), 10
    networks = [
        Problem.pulse(np.ones((1, 1)), (times - 1,), times, activation=name, noise=0.1)
        for name in ("erf", "tanh")
        for times in range(3, 7)
    ]
    yield "thresholds, erf and tanh, 3 to 6 times", lambda: [threshold(network) for network in networks], 2


def solvers() -> Iterator[str]:
    """The first call, which loads and compiles what there is, and the median of later ones."""
    for name, action, asked in solver_rows():
        first, later = seconds(action), median(seconds(action) for _ in range(RUNS))
        yield f"| {name} | {first:.3f} | {later:.4f} | {asked}: {yes(later < asked)} |"


# ---------------------------------------------------------------- samplers


def endpoint(width: int) -> Problem:
    """The erf network with a label at the last of three times."""
    return Problem.pulse(np.array([[SQUARED_LABEL**0.5]]), (2,), 3, activation="erf", width=width)


def seconds_needed(draw: Callable[..., Posterior], width: int, sampling: Sampling) -> tuple[float, Posterior]:
    """Seconds to the asked error of |C|, warm-up included and compilation not, from the error that was reached."""
    problem = endpoint(width)
    few = replace(sampling, draws=BLOCK)
    draw(problem, few)  # compiles
    short, found = draw(problem, few), draw(problem, sampling)
    each = (found.seconds - short.seconds) / (sampling.draws - BLOCK)
    relative = found.kernel.error[1, 2] / found.kernel.value[1, 2]
    return short.seconds + each * (sampling.draws * (relative / ASKED_ERROR) ** 2 - BLOCK), found


def samplers() -> Iterator[str]:
    """The same error of the same kernel entry, by both ways."""
    needed = [seconds_needed(draw, width, sampling) for _, draw, width, sampling in SAMPLED]
    times = [needed[-1][0] / took for took, _ in needed]
    fast, times_faster = needed[0][0] < ASKED_SECONDS, times[1] > ASKED_TIMES
    asked = (f"{ASKED_SECONDS} s: {yes(fast)}", f"{ASKED_TIMES} times: {yes(times_faster)}", "")
    for (name, _, width, sampling), (took, found), ratio, told in zip(SAMPLED, needed, times, asked, strict=True):
        value, error = found.kernel.value[1, 2], found.kernel.error[1, 2]
        run = f"{width:,} | {sampling.chains} of {sampling.draws:,} | {value:.4f} ± {error:.4f}"
        yield f"| {name} | {run} | {found.kernel.r_hat.max():.3f} | {took:.2f} | {ratio:.1f} | {told} |"


def mean_field_tables() -> list[str]:
    """Markdown."""
    return [
        "| solved | first call, s | later, s | asked, s |",
        "| --- | --- | --- | --- |",
        *solvers(),
        "",
        "| sampled | units | chains | abs(C) between times 2 and 3 | r_hat | seconds to 1% | times faster | asked |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *samplers(),
        "",
        f"Posterior of an erf network, 3 times, one label at the end; {LIMIT:.4f} at infinite width. Hamiltonian Monte",
        "Carlo, float64; seconds with warm-up, without compilation. A faster erf, two-stage integration, and other",
        "numbers of chains and lengths of trajectories were each tried for the factor of 20; runs scatter: 13 to 19.",
        "It grows with the width: a gradient by weights costs the square of the units, one by activity the units.",
    ]


if __name__ == "__main__":
    print("\n".join(mean_field_tables()))
