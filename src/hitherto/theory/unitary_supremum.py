"""The exact supremum of linear functions of the states of a ReLU network, by mixed-integer programs.

With preactivations a = W h + F x + b in [l, u], which `theory.unitary_intervals` gives, and z in {0, 1} for each unit
and step, h = relu(a) if and only if

    h >= a,  h >= 0,  h <= a - min(l, 0) (1 - z),  h <= max(u, 0) z.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import Bounds, LinearConstraint, milp

from hitherto.theory.unitary_intervals import boxes, preactivation_range
from hitherto.theory.unitary_network import Inputs, Network

NODES = 100_000  # of a program's search; where it ends there, what is proven by then is returned


@dataclass(frozen=True, eq=False)
class Supremum:
    """The largest values of rows h[k-1] for k = 0..T-1, and where they are taken.

    Attributes:
        bounds: the values, to the tolerance of the solver (1e-6), never below what it has proven.
        maximisers: for each row x[0], ..., x[k-1] that lead to h[k-1]; none where h[-1] is the maximiser.
    """

    bounds: Float[np.ndarray, " row"]
    maximisers: tuple[Float[np.ndarray, "_ input"], ...]


def exact_bound(network: Network, rows: Float[np.ndarray, "row state"], inputs: Inputs, horizon: int) -> Supremum:
    """max over k = 0..T-1 and all inputs in their box of rows h[k-1].

    Maximisers need not be corners of the box, so trying corners gives too little.

    Args:
        network, rows, inputs, horizon: as for `interval_bound`, over finitely many steps. Of inputs within a ball and a
            box the box alone counts, and the supremum is then one of more inputs.
    Raises:
        ValueError: as for `interval_bound`.

    Cost: one program of n k binary unknowns for each row and k < T; seconds up to n T = 25, and then ever more.
    Source: our derivation, with HiGHS as the solver.
    """
    reached = list(boxes(network, inputs, horizon))[:horizon]
    reached += reached[-1:] * (horizon - len(reached))  # a settled box holds for all steps that follow
    found = [_largest(network, row, inputs, reached) for row in rows]
    return Supremum(np.array([bound for bound, _ in found]), tuple(inputs for _, inputs in found))


def _largest(
    network: Network, row: Float[np.ndarray, " state"], inputs: Inputs, reached: list
) -> tuple[float, np.ndarray]:
    """The supremum over all k and its maximiser."""
    candidates = [(float(row @ network.initial), np.zeros((0, network.inputs)))]
    candidates += [_program(network, row, inputs, reached[:k]) for k in range(1, len(reached))]
    return max(candidates, key=lambda candidate: candidate[0])


def _program(
    network: Network, row: Float[np.ndarray, " state"], inputs: Inputs, reached: list
) -> tuple[float, np.ndarray]:
    """Largest row h after as many steps as there are boxes, each before its step."""
    steps, n = len(reached), network.states
    entering = steps * network.inputs
    ranges = [preactivation_range(network, inputs, *box) for box in reached]
    low, high = (np.concatenate(side) for side in zip(*ranges, strict=True))
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    objective = np.zeros(entering + 2 * steps * n)
    objective[entering + (steps - 1) * n :][:n] = -row
    least = np.concatenate([np.tile(inputs.low, steps), np.zeros(2 * steps * n)])
    most = np.concatenate([np.tile(inputs.high, steps), high, np.ones(steps * n)])
    found = milp(
        objective,
        integrality=np.arange(len(objective)) >= entering + steps * n,
        bounds=Bounds(least, most),
        constraints=_constraints(network, steps, low, high),
        options=dict(mip_rel_gap=0.0, node_limit=NODES),
    )
    if found.mip_dual_bound is None:
        return np.inf, np.zeros((0, network.inputs))
    if found.x is None:
        return -found.mip_dual_bound, np.zeros((0, network.inputs))
    return max(-found.mip_dual_bound, -found.fun), found.x[:entering].reshape(steps, network.inputs)


def _constraints(
    network: Network, steps: int, low: Float[np.ndarray, " unknown"], high: Float[np.ndarray, " unknown"]
) -> LinearConstraint:
    """a - h <= 0,  h - a - l z <= -l,  h - u z <= 0, with a = (recurrent + entering + constant) of all steps."""
    recurrent = np.kron(np.eye(steps, k=-1), network.weight_hh)
    entering = np.kron(np.eye(steps), network.weight_ih)
    constant = np.tile(network.bias, steps)
    constant[: network.states] += network.weight_hh @ network.initial
    one = np.eye(len(constant))
    rows = np.block(
        [
            [entering, recurrent - one, 0 * one],
            [-entering, one - recurrent, -np.diag(low)],
            [0 * entering, one, -np.diag(high)],
        ]
    )
    return LinearConstraint(rows, -np.inf, np.concatenate([-constant, constant - low, 0 * constant]))
