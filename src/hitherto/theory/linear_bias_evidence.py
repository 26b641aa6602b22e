"""The memory that data want: the marginal likelihood of a lag prior, for filters L with Var L_j = tau rho_j and noise.

With M rows, noise of variance s^2 and the eigenvalues lam and forces f of `TrainingModes`, targets are Gaussian, with
variance s^2 (1 + g M lam_i) along mode i and s^2 across all modes, g = tau / s^2. For each g the best s^2 is in closed
form; the posterior mean is training by `ridge` for the time g M. Textbook Bayesian linear regression, in our modes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from hitherto.theory.linear_bias_equations import NormalEquations
from hitherto.theory.linear_bias_training import EPS, TrainingModes, training_modes

TIMES = (1e-6, 1e12)  # of training, in units of 1 / lam_max, between which the best is sought


@dataclass(frozen=True)
class Evidence:
    """How well a prior explains the data.

    Attributes:
        log_likelihood: of the targets, natural logarithm.
        noise: s^2.
        time: g M, of `ridge`, whose filter is the posterior mean.
    """

    log_likelihood: float
    noise: float
    time: float


def evidence(equations: NormalEquations, prior: Float[np.ndarray, "..."], rows: int) -> Evidence:
    """max over s^2 and tau of log p(targets).

    Args:
        equations, prior: as for `training_modes`.
        rows: M, rows behind the equations.
    Raises:
        ValueError: as for `training_modes`, or if a filter of fewer modes than rows explains the targets without any
            noise.

    Cost: that of `training_modes`.
    Source: MacKay (1992) for the principle.
    """
    modes = training_modes(equations, prior)
    outputs = equations.moment.shape[1]
    seen = modes.eigenvalues > 0
    lam, energy = modes.eigenvalues[seen], np.square(modes.force[seen]).sum(1) / modes.eigenvalues[seen]
    rest = max(equations.power - energy.sum(), 0.0)
    # a prior that can be anything on all rows has a finite likelihood without noise too
    if rest <= len(lam) * EPS * equations.power and (len(lam) < rows or not equations.power):
        raise ValueError(
            f"the filter of {equations.lags} lags explains {rows} targets without any noise, and their likelihood is "
            "infinite; take fewer lags or more data"
        )
    count = rows * outputs

    def loss(log_time: float) -> float:
        growth = 1 + np.exp(log_time) * lam
        noise = ((energy / growth).sum() + rest) / outputs
        return (count * np.log(2 * np.pi * np.e * noise) + outputs * np.log(growth).sum()) / 2

    low, high = np.log(np.array(TIMES) / lam[0]) if len(lam) else (0.0, 1.0)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options=dict(xatol=1e-6))
    growth = 1 + np.exp(found.x) * lam
    noise = float(((energy / growth).sum() + rest) / outputs)
    return Evidence(-float(found.fun), noise, float(np.exp(found.x)))


def largest_eigenvalue(modes: TrainingModes) -> float:
    """lam_max, the unit of training time; 1 for data that are 0."""
    return float(modes.eigenvalues.max(initial=0.0)) or 1.0
