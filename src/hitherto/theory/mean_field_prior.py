"""Mean-field networks that hardly learn: the kernels of the prior, and what labels change to first order.

At y = 0 the kernels are those of random wide networks, C = <phi phi^T> over h ~ N(0, Sigma(C)), made time by time. A
readout at one time is then the same for recurrent and feedforward networks, whose priors differ between times alone.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from hitherto.theory.mean_field import Problem, preactivation_covariance, shift, shift_back

Kernel = Float[np.ndarray, "entry entry"]
TAIL, STEP, SLOPE = (
    8.6,
    0.3,
    0.27,
)  # trapezoid: rounding lies beyond TAIL; poles of tanh at pi / 2 ask SLOPE / deviation
INDEPENDENT = 1e-12  # least eigenvalue of the labels' correlations that counts as above 0


def prior_kernel(problem: Problem) -> tuple[Kernel, Kernel]:
    """(C, Sigma) at y = 0: C = <phi phi^T>, h ~ N(0, Sigma(C)).

    identity C = Sigma; erf (2 / pi) asin(2 S12 / sqrt((1 + 2 S11)(1 + 2 S22))); relu
    sqrt(S11 S22) (sin a + (pi - a) cos a) / (2 pi), cos a = S12 / sqrt(S11 S22); tanh by quadrature, to about 1e-12.

    Cost: T maps of M x M entries; an entry of tanh takes 10^3 to 10^4 evaluations.
    Source: Williams (1997) for erf, Cho and Saul (2009) for relu; our derivation of the recursion.
    """
    covariance = problem.drive
    kernel = activation_kernel(covariance, problem.activation)
    for _ in range(problem.times - 1):  # an entry needs those one step earlier
        covariance = preactivation_covariance(problem, kernel)
        kernel = activation_kernel(covariance, problem.activation)
    return kernel, covariance


def activation_kernel(covariance: Kernel, activation: str) -> Kernel:
    """<phi phi^T> over h ~ N(0, covariance)."""
    return {"identity": np.copy, "erf": _erf, "relu": _relu, "tanh": _tanh}[activation](covariance)


def first_order(problem: Problem) -> Kernel:
    """dC, the change of a linear network's kernel by its labels, up to terms of fourth order in y.

    Ct <- D + g^2 S^T(mask * Ct), D = s_a^2 [Q^-1 y y^T Q^-1] on labelled entries, Q = s_a^2 C + kappa there;
    dC <- g^2 S(mask * dC) + C Ct C, with C of the prior; T sweeps each.

    Raises:
        ValueError: unless the network is linear, or without noise if the prior ties labels to each other.

    Cost: T M^2 + M^3. Does not tell when a kernel breaks the symmetry between times, which no power of y shows.
    Source: our derivation.
    """
    refuse_nonlinear(problem)
    kernel, _ = prior_kernel(problem)
    weights = label_weights(problem, kernel)
    pull = np.zeros_like(kernel)
    rows = np.ix_(problem.index, problem.index)
    pull[rows] = problem.readout_variance * problem.readouts[rows] * (weights @ weights.T)
    tilt = pull
    for _ in range(problem.times - 1):
        tilt = pull + problem.recurrent_variance * problem.mask * shift_back(tilt, problem.patterns)
    gained = kernel @ tilt @ kernel
    learned = gained
    for _ in range(problem.times - 1):
        learned = gained + problem.recurrent_variance * shift(problem.mask * learned, problem.patterns)
    return learned


def label_covariance(problem: Problem, kernel: Kernel) -> Float[np.ndarray, "label label"]:
    """Q = s_a^2 C + kappa on labelled entries, 0 between entries of different readouts; N times that of an output."""
    rows = np.ix_(problem.index, problem.index)
    read = problem.readout_variance * problem.readouts[rows] * kernel[rows]
    return read + problem.noise * np.eye(len(read))


def label_weights(problem: Problem, kernel: Kernel) -> Float[np.ndarray, "label output"]:
    """Q^-1 y; kappa times it is what the mean predictor misses of the labels, y - f.

    Raises:
        ValueError: without noise, if the kernel ties labels to each other.
    """
    covariance = label_covariance(problem, kernel)
    refuse_tied_labels(problem, covariance)
    return cho_solve(cho_factor(covariance), problem.labels)


def refuse_tied_labels(problem: Problem, covariance: Float[np.ndarray, "label label"]) -> None:
    """Refuses labels without noise that no network of the prior meets one by one.

    Raises:
        ValueError: if kappa = 0 and Q is singular.
    """
    if problem.noise > 0:
        return
    deviations = np.sqrt(np.diag(covariance))
    if deviations.all() and np.linalg.eigvalsh(covariance / np.outer(deviations, deviations))[0] > INDEPENDENT:
        return
    raise ValueError(
        "noise is 0, and the outputs at the labelled entries are tied to each other by the inputs, so that not every "
        "set of labels can be met; give some noise, or leave tied entries out"
    )


def refuse_nonlinear(problem: Problem) -> None:
    """Refuses what is solved for linear networks alone.

    Raises:
        ValueError: unless the activation is the identity.
    """
    if problem.activation != "identity":
        raise ValueError(
            f"this is solved for linear networks, and the activation is {problem.activation}; take 'identity', or "
            "sample the network"
        )


def _erf(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(1 + 2 * np.diag(covariance))
    return 2 / np.pi * np.arcsin(np.clip(2 * covariance / np.outer(scale, scale), -1, 1))


def _relu(covariance: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(np.diag(covariance))
    size = np.outer(deviation, deviation)
    cosine = np.clip(np.divide(covariance, size, out=np.zeros_like(size), where=size > 0), -1, 1)
    angle = np.arccos(cosine)
    return size * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)


def _tanh(covariance: np.ndarray) -> np.ndarray:
    """<tanh(s z) tanh(s' (c z + sqrt(1 - c^2) w))>: the trapezoid rule in z and w, where it converges exponentially."""
    deviation = np.sqrt(np.diag(covariance))
    spacing = min(STEP, SLOPE / max(deviation.max(), 1e-9))
    nodes = np.arange(-TAIL, TAIL + spacing, spacing)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    kernel = np.zeros_like(covariance)
    for one, other in zip(*np.triu_indices(len(covariance)), strict=True):
        if deviation[one] * deviation[other] == 0:
            continue
        cosine = np.clip(covariance[one, other] / (deviation[one] * deviation[other]), -1, 1)
        across = deviation[other] * np.add.outer(cosine * nodes, np.sqrt(1 - cosine**2) * nodes)
        kernel[one, other] = (weights * np.tanh(deviation[one] * nodes)) @ np.tanh(across) @ weights
    return kernel + np.triu(kernel, 1).T
