"""Which times of a sequence to label: what a linear mean-field network makes of the others.

Under a pulse, a feedforward network answers 0 at every time without labels, an error of 1. A recurrent one continues
the sequence, to its profit where a network with shared weights could have made it; a bad schedule can still do worse
than 0. Labels at times of one parity leave the sign of the others open (`mean_field_sequence.aliasing`).
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

from hitherto.theory.mean_field import Entries, Problem, refuse_form, refuse_steps
from hitherto.theory.mean_field_solver import solve

Targets = Float[np.ndarray, "member pattern time"]


def schedule_error(targets: Targets, steps: Entries, **settings: object) -> float:
    """Mean of (f - y)^2 over times without labels, by the mean of y^2 there, averaged over the family.

    f is the mean over a minimum and its mirror image.

    Args:
        targets: y, several sequences of all patterns that training may have to meet; each is learned by itself.
        steps: labelled times.
        settings: those of `Problem.pulse`: noise, inputs, shared and so on.
    Raises:
        ValueError: if all times are labelled or y vanishes at those that are not, and as for `solve`.

    Cost: a `solve` for each member. Does not tell how much single networks of finite width differ from it.
    Source: our derivation.
    """
    _refuse_targets(targets)
    return float(np.mean([_error(target, tuple(steps), settings) for target in targets]))


def schedule_errors(targets: Targets, count: int, **settings: object) -> dict[Entries, float]:
    """The error of every schedule of `count` labelled times, lowest first.

    Args:
        targets, settings: as for `schedule_error`.
        count: labelled times, at least 1, and fewer than there are.
    Raises:
        ValueError: as for `schedule_error`.

    Cost: a `solve` for each schedule and member; 70 schedules of 8 times in some 10 s.
    """
    _refuse_targets(targets)
    schedules = combinations(range(targets.shape[2]), count)
    errors = {steps: schedule_error(targets, steps, **settings) for steps in schedules}
    return dict(sorted(errors.items(), key=lambda item: item[1]))


def next_step(targets: Targets, steps: Entries, **settings: object) -> int:
    """The time whose label, beside those of `steps`, leaves the lowest error at the rest.

    Raises:
        ValueError: if fewer than two times are left, and as for `schedule_error`.
    """
    _refuse_targets(targets)
    left = [step for step in range(targets.shape[2]) if step not in steps]
    if len(left) < 2:
        raise ValueError(
            f"the next time to label was asked for, but {len(left)} of {targets.shape[2]} are without a label, so that "
            "none would be left to foretell; give fewer steps"
        )
    errors = {step: schedule_error(targets, tuple(sorted((*steps, step))), **settings) for step in left}
    return min(errors, key=errors.__getitem__)


def _refuse_targets(targets: Targets) -> None:
    refuse_form("targets", targets, 3)
    if not targets.size or not np.isfinite(targets).all():
        raise ValueError(f"targets of shape {targets.shape} are none, or not all finite; give finite numbers")


def _error(target: np.ndarray, steps: Entries, settings: dict[str, object]) -> float:
    patterns, times = target.shape
    refuse_steps(steps, times)
    left = np.setdiff1d(np.arange(times), steps)
    if not target[:, left].any():
        raise ValueError(
            f"{len(left)} of {times} times have no label, and the targets vanish there, so that an error has no unit; "
            "leave out a time at which they do not"
        )
    mean = solve(Problem.pulse(target[:, list(steps)], steps, times, **settings)).mean
    foretold = mean.reshape(times, patterns).T[:, left]
    return float(np.mean((foretold - target[:, left]) ** 2) / np.mean(target[:, left] ** 2))
