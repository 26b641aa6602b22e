"""Kernels of wide trained linear networks: all minima of the action that many starts find, the lowest first.

The prior alone is no good start: between times it has exactly no slope, and at large noise a nearly lazy minimum hides
rich ones. So starts are the prior, layers that amplify alike, networks that repeat, turn or alternate a pattern over
time, and random ones.

Source: our derivation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from hitherto.theory.mean_field import LARGEST, Problem
from hitherto.theory.mean_field_action import Action, Point, dense
from hitherto.theory.mean_field_descent import Landing, descend
from hitherto.theory.mean_field_patterns import Patterns, is_of_many_patterns
from hitherto.theory.mean_field_prediction import Prediction, predict
from hitherto.theory.mean_field_prior import Kernel, prior_kernel
from hitherto.theory.mean_field_sequence import aliasing, reduction

TURNS, FADING = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4, np.pi), 0.8  # a step's angle and share in coherent starts
SPREAD, WELL = 0.4, 1e7  # of random starts; condition up to which a start is one
BROKEN = 1e-4  # correlation between odd and even times from which a kernel differs from its mirror image
EQUAL, CLOSE = 1e-9, 1e-2  # values and correlations of kernels that differ by less are those of one minimum


@dataclass(frozen=True, eq=False)
class Minimum:
    """One minimum of the action, a state that training can settle in.

    Attributes:
        kernel: C.
        action: F; of two minima the one with the lower F is exp(N difference) times as probable.
        least_curvature: the smallest eigenvalue of the second derivative of F along orthonormal symmetric S,
            C = A e^S A^T, in the reduced problem: 0 at a transition.
        prediction: outputs at all entries.
        mirror: C with opposite signs between times an odd number of steps apart, where that is another minimum with
            the same F (W -> -W); None where there is none.
    """

    kernel: Kernel
    action: float
    least_curvature: float
    prediction: Prediction
    mirror: Kernel | None


@dataclass(frozen=True, eq=False)
class Solution:
    """What was found of the trained network.

    Attributes:
        problem: what was asked.
        minima: by their action, lowest first; those after the first are metastable.
        status: "solved"; "unfinished" if a start went lower than all minima but did not come to rest; "not solved" if
            no start ended in a minimum.
        starts: descents made.
        lost: how many of them did not end in a minimum.
        notes: what to know of the problem, in words.
    """

    problem: Problem
    minima: tuple[Minimum, ...]
    status: str
    starts: int
    lost: int
    notes: tuple[str, ...]

    @property
    def best(self) -> Minimum:
        """The minimum of lowest action, the prediction for wide networks.

        Raises:
            ValueError: unless the status is "solved".
        """
        if self.status != "solved":
            raise ValueError(
                f"the lowest minimum was asked for, but the status is '{self.status}': {self.lost} of {self.starts} "
                "descents did not end in a minimum; give more starts, or more noise"
            )
        return self.minima[0]

    @property
    def gap(self) -> float:
        """Action of the second minimum less that of the first; infinite for one minimum."""
        return self.minima[1].action - self.best.action if len(self.minima) > 1 else np.inf

    @cached_property
    def mean(self) -> Float[np.ndarray, "entry output"]:
        """f of the best minimum, averaged with that of its mirror image, which training reaches as often."""
        best = self.best
        if best.mirror is None:
            return best.prediction.mean
        return (best.prediction.mean + predict(self.problem, best.mirror).mean) / 2


def solve(problem: Problem, *, random_starts: int = 4, seed: int = 0) -> Solution:
    """All minima of F that the starts find, each with its prediction.

    Args:
        problem: a linear one.
        random_starts: starts beside the 2 to 12 fixed ones.
        seed: of the random ones.
    Raises:
        ValueError: if the network is not linear, if there is no noise and the prior ties labels to each other, or for
            more than `LARGEST` entries after reduction.

    Cost: some 10^2 gradients of M^3 a start, M the entries after reduction: 12 in 0.03 s, 200 in some 10 s.
    Does not tell that no lower minimum exists; ask with more starts.
    """
    reduced = reduction(problem)
    _refuse_large(reduced.problem)
    landings = sorted(_landings(reduced.problem, random_starts, seed), key=lambda landing: landing.value)
    resting = [landing for landing in landings if landing.is_minimum]
    minima = [_minimum(problem, landing, reduced.lifted) for landing in _distinct(reduced.problem, resting)]
    lowest = resting[0].value if resting else np.inf
    unfinished = landings[0].value < lowest - EQUAL * (1 + abs(lowest))
    status = "not solved" if not minima else "unfinished" if unfinished else "solved"
    return Solution(problem, tuple(minima), status, len(landings), len(landings) - len(resting), _notes(problem))


def mirrored(problem: Problem, kernel: Kernel) -> Kernel:
    """D C D, D = (-1)^t: the kernel after W -> -W."""
    signs = (-1.0) ** problem.time_of
    return signs[:, None] * kernel * signs


def has_mirror(problem: Problem) -> bool:
    """Whether W -> -W leaves the action as it is: if neither inputs nor readouts tie even times to odd ones."""
    rows = np.ix_(problem.index, problem.index)
    odd = np.add.outer(problem.time_of, problem.time_of) % 2 == 1
    return not (problem.drive[odd].any() or problem.readouts[rows][odd[rows]].any())


def rich_gain(problem: Problem) -> float:
    """By how much layers amplify in the richest state: the largest root r of s (r - 1)(r^T + k)^2 = |y|^2 r^T.

    s = s_a^2 c0 and k = kappa / s, c0 the prior's variance at the last label; |y|^2 a labelled time. A coherent network
    can be rich where no such root is: then the output's variance is as large as the noise, r^T = 1 + k. To within 1%.
    """
    steps = problem.time_of[problem.index]
    times = int(steps.max()) + 1
    last = np.diag(prior_kernel(problem)[0])[problem.time_of == times - 1].mean()
    scale = problem.readout_variance * last
    signal = np.sum(problem.labels**2) / len(np.unique(steps))
    if scale == 0 or signal == 0:
        return 1.0
    noise = problem.noise / scale
    excess = np.geomspace(1e-4, 1e6, 2500)
    amplified = times * np.log1p(excess)
    needed = np.log(excess) + 2 * np.logaddexp(amplified, np.log(max(noise, 1e-300))) - amplified
    root = 1 + excess[needed <= np.log(signal / scale)].max(initial=0)
    return float(max(root, (1 + noise) ** (1 / times)))


def _landings(problem: Problem, random_starts: int, seed: int) -> list[Landing]:
    gain = rich_gain(problem)
    if is_of_many_patterns(problem):
        patterns = Patterns(problem)
        return [patterns.descend(start) for start in _starts(patterns.action(), gain, random_starts, seed)]
    return [descend(start) for start in _starts(Action(problem), gain, random_starts, seed)]


def _starts(action: Action, gain: float, count: int, seed: int) -> Iterator[Point]:
    """The prior, networks that amplify, repeat, turn or alternate patterns, and random ones."""
    prior, rng = np.linalg.cholesky(action.prior), np.random.default_rng(seed)
    yield action.of(prior)
    times = np.arange(action.problem.times)
    lag = np.abs(np.subtract.outer(times, times))
    turning = [np.cos(angle * lag) * FADING**lag for angle in TURNS]
    mixings = [np.linalg.cholesky((turn + np.eye(len(times))) / 2) for turn in turning if len(times) > 1]
    growth = np.diag(gain ** ((times + 1) / 2))
    for mixing in (growth, *mixings, *(growth @ mixing for mixing in mixings)):
        start = _mixed(action, mixing) @ prior
        if action.modes and np.linalg.cond(start) < WELL:
            yield action.of(start)
    for _ in range(count):
        yield action.of(prior @ (np.eye(action.modes) + SPREAD * rng.normal(size=prior.shape)))


def _mixed(action: Action, mixing: np.ndarray) -> np.ndarray:
    """The same mixing of times for each pattern, between entries of variance 1, in modes."""
    deviation = np.sqrt(np.diag(prior_kernel(action.problem)[0]))
    over = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    entries = deviation[:, None] * np.kron(mixing, np.eye(action.problem.patterns)) * over
    return dense(action.inverse) @ entries @ dense(action.root)


def _distinct(problem: Problem, landings: list[Landing]) -> list[Landing]:
    """One landing of each minimum and of its mirror image, lowest first."""
    found: list[Landing] = []
    for landing in landings:
        if not any(_same(problem, landing, other) for other in found):
            found.append(landing)
    return found


def _same(problem: Problem, one: Landing, other: Landing) -> bool:
    if abs(one.value - other.value) > EQUAL * (1 + abs(other.value)):
        return False
    images = [other.kernel, mirrored(problem, other.kernel)] if has_mirror(problem) else [other.kernel]
    return any(_apart(one.kernel, image) < CLOSE for image in images)


def _apart(one: Kernel, other: Kernel) -> float:
    """The largest difference of entries, in units of their deviations."""
    deviation = np.sqrt(np.diag(other))
    scale = np.outer(deviation, deviation)
    return float(np.max(np.abs(one - other) / np.where(scale > 0, scale, 1), initial=0))


def _minimum(problem: Problem, landing: Landing, lifted: Callable[[Kernel], Kernel]) -> Minimum:
    kernel = lifted(landing.kernel)
    image = mirrored(problem, kernel)
    mirror = image if has_mirror(problem) and _apart(image, kernel) > BROKEN else None
    return Minimum(kernel, landing.value, landing.least_curvature, predict(problem, kernel), mirror)


def _notes(problem: Problem) -> tuple[str, ...]:
    unshared = "W is used at most once up to the last label, so that sharing it has no effect there"
    last = problem.time_of[problem.index].max()
    return tuple(note for note in (unshared if last < 2 else "", aliasing(problem)) if note)


def _refuse_large(problem: Problem) -> None:
    if problem.size > LARGEST:
        raise ValueError(
            f"{problem.size} entries would be solved for at once, and {LARGEST} are the most; label all patterns of a "
            "pulse at the same times, which needs no more patterns than labelled times, or give fewer patterns"
        )
