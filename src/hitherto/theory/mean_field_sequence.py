"""Sequences of labels in linear mean-field networks: what need not be solved for, and which labels leave doubt.

Patterns without labels, and times after the last label, follow from the rest (`mean_field_prediction.continued`). Under
a pulse of orthogonal patterns, all that is learned happens in the span of the labels of each time, as many patterns as
there are labelled times; the rest stays at the prior. For other inputs of a pulse see `mean_field_patterns`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_prediction import continued
from hitherto.theory.mean_field_prior import Kernel, prior_kernel

INDEPENDENT = 1e-12  # singular values of the labels up to this share of the largest are 0


@dataclass(frozen=True, eq=False)
class Reduction:
    """A smaller problem with the same action at its minima.

    Attributes:
        problem: the smaller one.
        lifted: the kernel of the whole problem, given that of the smaller one.
    """

    problem: Problem
    lifted: Callable[[Kernel], Kernel]


def reduction(problem: Problem) -> Reduction:
    """The smallest problem from which that of a linear network follows without further minimisation.

    Source: our derivation, checked against minimisation over all entries.
    """
    tilted = _labelled_alone(problem)
    rotated = _rotated(tilted.problem)
    return Reduction(rotated.problem, lambda kernel: tilted.lifted(rotated.lifted(kernel)))


def aliasing(problem: Problem) -> str:
    """Which times the labels of a recurrent network cannot tell apart; "" if they can.

    Under a pulse and an odd activation, W -> -W only changes the signs of kernels between times an odd number of steps
    apart. So labels at times of one parity leave outputs at the other with either sign; labels at times k > 2 apart
    bind W^k alone, and other roots of it compete.
    """
    steps = np.unique(problem.time_of[problem.index])
    used = problem.times_sharing[1 : steps[-1] + 1, 1 : steps[-1] + 1]
    if not (problem.is_pulse and problem.is_odd) or used.sum() == len(used):
        return ""
    spacing = math.gcd(*np.diff(steps).tolist())
    if spacing % 2 == 0:  # one step alone included
        return (
            "all labels are at times of one parity: outputs at the other are found with either sign, and are 0 on "
            "average; label a step of the other parity"
        )
    if spacing == 1:
        return ""
    return (
        f"all labels are {spacing} steps apart: they bind {spacing} steps of the network together, and different ways "
        f"to divide these compete; label a step that is no multiple of {spacing} from the others"
    )


def _labelled_alone(problem: Problem) -> Reduction:
    """Without patterns that have no label, and without times after the last one."""
    times = int(problem.time_of[problem.index].max()) + 1
    patterns = np.unique(problem.index % problem.patterns)
    kept = np.add.outer(np.arange(times) * problem.patterns, patterns).ravel()
    if len(kept) == problem.size:
        return Reduction(problem, lambda kernel: kernel)
    smaller = problem.with_(
        kernel=problem.kernel[np.ix_(kept, kept)],
        times=times,
        labelled=tuple(map(int, np.searchsorted(kept, problem.index))),
        shared=problem.shared if isinstance(problem.shared, bool) else problem.shared[:times, :times],
    )
    return Reduction(smaller, lambda kernel: continued(problem, kept, kernel))


def _rotated(problem: Problem) -> Reduction:
    """Orthogonal patterns, rotated so that labels need few of them."""
    patterns, same = problem.patterns, Reduction(problem, lambda kernel: kernel)
    first = problem.kernel[:patterns, :patterns]
    steps = np.unique(problem.time_of[problem.index])
    complete = len(problem.labelled) == len(steps) * patterns
    if not (problem.is_pulse and complete and np.allclose(first, first[0, 0] * np.eye(patterns), atol=1e-14)):
        return same
    order = np.argsort(problem.index)
    labels = problem.labels[order].reshape(len(steps), patterns, -1)
    left, values, _ = np.linalg.svd(labels.transpose(1, 0, 2).reshape(patterns, -1), full_matrices=False)
    basis = left[:, : max(1, int(np.sum(values > INDEPENDENT * values[0])))]
    count = basis.shape[1]
    if count == patterns:
        return same
    smaller = problem.with_(
        kernel=np.kron(problem.kernel[::patterns, ::patterns], np.eye(count)),
        labelled=tuple(map(int, np.add.outer(steps * count, np.arange(count)).ravel())),
        labels=np.einsum("ap,sak->spk", basis, labels).reshape(-1, labels.shape[2]),
    )
    turned = np.kron(np.eye(problem.times), basis)
    rest = np.kron(np.eye(problem.times), np.eye(patterns) - basis @ basis.T) @ prior_kernel(problem)[0]
    return Reduction(smaller, lambda kernel: turned @ kernel @ turned.T + rest)
