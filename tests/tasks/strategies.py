"""What the tests of tasks measure: losses of given answers, and the matrix of first and second halves."""

import json
from pathlib import Path

import numpy as np

ORACLES = Path(__file__).parents[1] / "oracles"


def oracle(name):
    return json.loads((ORACLES / f"{name}_oracles.json").read_text())


def cross_entropy(probabilities, sequences):
    """Mean and standard error over sequences of -ln p(target) at the asked steps."""
    told = np.take_along_axis(probabilities, sequences.targets[..., None], axis=-1)[..., 0]
    return _mean_and_error(-np.log(told), sequences.mask)


def squared(answers, sequences):
    """Mean and standard error over sequences of (answer - target)^2 at the asked steps."""
    return _mean_and_error(((answers - sequences.targets) ** 2).mean(axis=-1), sequences.mask)


def _mean_and_error(losses, mask):
    each = np.where(mask, losses, 0).sum(axis=1) / mask.sum(axis=1)
    return each.mean(), each.std() / np.sqrt(len(each))


def agrees(measured, expected, errors=4.5):
    mean, error = measured
    return abs(mean - expected) <= errors * error + 1e-12


def halves(sequences):
    """0/1 matrix: first halves by (second half, asked step in it, class), from all sequences there are."""
    tokens = sequences.inputs.argmax(axis=-1)
    middle = tokens.shape[1] // 2
    answers = np.where(sequences.mask, sequences.targets, -1)[:, middle:]
    starts = sorted(set(map(tuple, tokens[:, :middle].tolist())))
    columns, entries = {}, set()
    for start, end, told in zip(
        tokens[:, :middle].tolist(), tokens[:, middle:].tolist(), answers.tolist(), strict=True
    ):
        for step, answer in enumerate(told):
            if answer >= 0:
                column = columns.setdefault((*end, step, answer), len(columns))
                entries.add((starts.index(tuple(start)), column))
    matrix = np.zeros((len(starts), len(columns)))
    matrix[tuple(np.array(sorted(entries)).T)] = 1
    return matrix
