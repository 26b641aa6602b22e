"""Networks of finite width in plain loops: the slow truth beside the wide limit."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "linear_bias_oracles.json").read_text())


def cases(block: str) -> Any:
    return TRUTH[block]["cases"]


def number(text: str | float) -> float:
    return float(Fraction(text))


def array(rows: Any) -> np.ndarray:
    return np.array(rows, float)


def stacked(response: np.ndarray) -> np.ndarray:
    """[lag output input] as the oracles have it: row j * inputs + p, column output."""
    return response.transpose(0, 2, 1).reshape(-1, response.shape[1])


def sides(recurrent: np.ndarray, readin: np.ndarray, readout: np.ndarray, lags: int) -> tuple[list, list]:
    """P_j = C A^j / sqrt(n) and Q_j = A^j F for A = W / sqrt(n)."""
    width = len(recurrent)
    left, right = [readout / np.sqrt(width)], [readin]
    for _ in range(lags - 1):
        left.append(left[-1] @ recurrent / np.sqrt(width))
        right.append(recurrent @ right[-1] / np.sqrt(width))
    return left, right


def finite_kernel(recurrent: np.ndarray, readin: np.ndarray, readout: np.ndarray, lags: int) -> np.ndarray:
    """Gram matrix of the Jacobian of the impulse response, [lag output input, lag output input] in that order."""
    width, inputs, outputs = len(recurrent), readin.shape[1], len(readout)
    left, right = sides(recurrent, readin, readout, lags)
    gram_left = np.array([[p @ q.T for q in left] for p in left])
    gram_right = np.array([[p.T @ q / width for q in right] for p in right])
    kernel = np.einsum("ab,jlpq->japlbq", np.eye(outputs), gram_right)
    kernel += np.einsum("jlab,pq->japlbq", gram_left, np.eye(inputs))
    for j in range(lags):
        for other in range(lags):
            for k in range(j):
                for m in range(other):
                    product = np.multiply.outer(gram_left[k, m], gram_right[j - 1 - k, other - 1 - m])
                    kernel[j, :, :, other] += product.transpose(0, 2, 1, 3)
    return kernel.reshape(lags * outputs * inputs, -1)


def weight_gradients(recurrent, readin, readout, pulls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dLoss / d (W, F, C) from dLoss / dL_j, [lag output input]."""
    root, (_, right) = np.sqrt(len(recurrent)), sides(recurrent, readin, readout, len(pulls))
    by_readout = sum(pull @ q.T for pull, q in zip(pulls, right, strict=True)) / root
    carried, by_recurrent = np.zeros_like(readin), np.zeros_like(recurrent)
    for j in range(len(pulls) - 1, -1, -1):
        carried = readout.T @ pulls[j] / root + recurrent.T @ carried / root
        by_recurrent += carried @ right[j - 1].T / root if j else 0.0
    return by_recurrent, carried, by_readout


def impulse_response(recurrent, readin, readout, lags: int) -> np.ndarray:
    left, _ = sides(recurrent, readin, readout, lags)
    return np.array([p @ readin for p in left])
