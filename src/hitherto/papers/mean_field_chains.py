"""Linear networks with a pulse and a label at the end: the states of recurrent and feedforward chains, and transitions.

Predictions are closed forms and the branch of `theory.mean_field_branch`. They are held against descents over all
entries of the kernel, and against numerical second derivatives of the free energy.
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from hitherto.core.claim import Case, Claim
from hitherto.core.quantity import (
    FREE_ENERGY,
    HIDDEN_KERNEL,
    RECURRENT_GAIN,
    TEMPORAL_COHERENCE,
    Estimate,
)
from hitherto.papers.linear_bias_kernels import anywhere
from hitherto.papers.mean_field_networks import (
    LANDED,
    OURS,
    STATED,
    chain_of,
    curve,
    drawn_networks,
    energy,
    kernel_estimate,
    upright,
)
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_branch import recurrent_chain
from hitherto.theory.mean_field_chain import ChainState, feedforward_chain, gain
from hitherto.theory.mean_field_patterns import prior_variances
from hitherto.theory.mean_field_solver import solve
from hitherto.theory.mean_field_stability import critical_gain

Kernel = Float[np.ndarray, "entry entry"]

# ---------------------------------------------------------------- one state, two kinds of networks


def ground(case: Case) -> ChainState:
    """The state of lowest free energy, by closed forms."""
    groups = chain_of(case).groups
    states = recurrent_chain if case.shared else feedforward_chain
    return states(case.times, groups["signal"], groups["noise"])[0]


def in_units(problem: Problem, kernel: Kernel) -> Kernel:
    """C in units of the chain, of what it is before learning."""
    deviation = np.sqrt(prior_variances(problem))
    return kernel / np.outer(deviation, deviation)


@cache
def chain_minimum(case: Case) -> Kernel:
    """The lowest minimum over all kernels, in units of the chain, from many starts."""
    problem = chain_of(case)
    return upright(in_units(problem, solve(problem).best.kernel))


def below_transition(case: Case) -> str | None:
    """Where the incoherent state is stable, and the transition not by a jump."""
    if case.times > 4 or dict(case.settings).get("noise", 0.0) > 5:
        return "beyond T = 4, or at large noise, the coherent state can win before the incoherent one is unstable"
    reached = feedforward_chain(case.times, case.signal, case.noise)[0].order
    limit = critical_gain(case.times)
    return None if reached < limit else f"layers amplify by {reached:.3g}, and times correlate from {limit:.3g} on"


def above_transition(case: Case) -> str | None:
    """Where the incoherent state is unstable."""
    reached = feedforward_chain(case.times, case.signal, case.noise)[0].order
    limit = critical_gain(case.times)
    return (
        None
        if reached > limit
        else f"layers amplify by {reached:.3g}, and times are sure to correlate from {limit:.3g} on"
    )


def coherence(kernel: Kernel) -> Estimate:
    """Root mean square correlation by lag."""
    deviation = np.sqrt(np.diag(kernel))
    correlations = kernel / np.outer(deviation, deviation)
    lags = range(1, len(kernel))
    values = [np.sqrt(np.mean(np.diagonal(correlations, lag) ** 2)) for lag in lags]
    return curve(TEMPORAL_COHERENCE, np.array(values), 1e-6, first=1)


END = dict(times=3, signal=4.0, noise=0.1, shared=True)
ODD = (1.7, 0.6, 2.3)  # variances without meaning
SAME = Claim(
    id="mean_field.same_below",
    says="Below the transition a recurrent network learns the kernels of the feedforward one, all times independent.",
    source=STATED,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=below_transition,
    predict=lambda case: kernel_estimate(feedforward_chain(case.times, case.signal, case.noise)[0].kernel),
    measure=lambda case: kernel_estimate(np.abs(chain_minimum(case)), LANDED),
    smallest=Case(**END),
    larger=(Case(**END | dict(times=4, signal=2.0)), Case(**END | dict(signal=7.9, noise=0.0))),
    rtol=1e-7,
)
COHERENT = Claim(
    id="mean_field.coherent_above",
    says="Above the transition the times of the recurrent network correlate.",
    source=STATED,
    quantity=TEMPORAL_COHERENCE,
    relation="==",
    hypotheses=above_transition,
    predict=lambda case: coherence(ground(case).kernel),
    measure=lambda case: coherence(chain_minimum(case)),
    smallest=Case(**END | dict(signal=20.0)),
    larger=(Case(**END | dict(times=5, signal=4.0)), Case(**END | dict(times=8, signal=2.0))),
    rtol=1e-6,
)
FEEDFORWARD = Claim(
    id="mean_field.feedforward_incoherent",
    says="The times of a feedforward network do not correlate, however strong the signal.",
    source=STATED,
    quantity=TEMPORAL_COHERENCE,
    relation="==",
    hypotheses=lambda case: "it is about feedforward networks" if case.shared else None,
    predict=lambda case: curve(TEMPORAL_COHERENCE, np.zeros(case.times - 1), first=1),
    measure=lambda case: coherence(chain_minimum(case)),
    smallest=Case(**END | dict(signal=20.0, shared=False)),
    larger=(Case(**END | dict(times=6, signal=100.0, shared=False)),),
)
SCALES = Claim(
    id="mean_field.scale_groups",
    says="A linear chain depends on |y|^2 and kappa over s_a^2 c0 and on T alone, but for the scale of each time.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(ground(case).kernel),
    measure=lambda case: kernel_estimate(chain_minimum(case), LANDED),
    smallest=Case(**END | dict(signal=20.0), variances=ODD),
    larger=(Case(**END | dict(times=6, shared=False), variances=ODD), Case(**END | dict(times=6), variances=ODD)),
    rtol=1e-7,
)
BALANCE = Claim(
    id="mean_field.balance",
    says="All layers of a feedforward network amplify by one r, r^T (r - 1) = |y|^2 / (s_a^2 c0) without noise.",
    source=OURS,
    quantity=RECURRENT_GAIN,
    relation="==",
    hypotheses=lambda case: "it is about feedforward networks" if case.shared else None,
    predict=lambda case: curve(RECURRENT_GAIN, np.full(case.times - 1, gain(case.times, case.signal)), first=1),
    measure=lambda case: _amplified(chain_minimum(case)),
    smallest=Case(**END | dict(times=4, noise=0.0, shared=False)),
    larger=(Case(**END | dict(times=8, noise=0.0, shared=False), variances=ODD),),
    rtol=1e-7,
)
THREE = Claim(
    id="mean_field.three_times",
    says="For three times the coherent kernel of the recurrent network is known in closed form.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=lambda case: None if case.times == 3 else "beyond three times there is no closed form",
    predict=lambda case: kernel_estimate(ground(case).kernel),
    measure=lambda case: kernel_estimate(chain_minimum(case), LANDED),
    smallest=Case(**END | dict(signal=50.0, noise=0.0)),
    larger=(
        Case(**END | dict(signal=8.5, noise=0.0)),
        Case(**END | dict(signal=51.06, noise=0.5)),
        Case(**END | dict(signal=3000.0, noise=200.0)),
    ),
    rtol=1e-7,
)
DEEPER = Claim(
    id="mean_field.deeper_chains",
    says="For more times the coherent kernel lies on one branch, followed by the correlation of the first two times.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=anywhere,
    predict=lambda case: kernel_estimate(ground(case).kernel),
    measure=lambda case: kernel_estimate(chain_minimum(case), LANDED),
    smallest=Case(**END | dict(times=5, signal=3.0)),
    larger=(Case(**END | dict(times=6, signal=1.0)), Case(**END | dict(times=8, signal=1.0, noise=0.0))),
    rtol=1e-6,
)


def _amplified(kernel: Kernel) -> Estimate:
    """c_(t+1) / (g^2 c_t), in units of the chain."""
    variances = np.diag(kernel)
    return curve(RECURRENT_GAIN, variances[1:] / variances[:-1], first=1)


def lower_energy(case: Case) -> Estimate:
    """F of the recurrent network, over all kernels."""
    return energy(solve(chain_of(case)).best.action)


CHEAPER = Claim(
    id="mean_field.cheaper",
    says="With a pulse and a label at the end, sharing weights over time never costs free energy.",
    source=OURS,
    quantity=FREE_ENERGY,
    relation="<=",
    hypotheses=anywhere,
    predict=lambda case: energy(feedforward_chain(case.times, case.signal, case.noise)[0].free_energy),
    measure=lower_energy,
    smallest=Case(**END | dict(times=4, signal=10.0)),
    larger=tuple(Case(**END | dict(times=times, signal=signal)) for times in (3, 5, 6) for signal in (0.3, 3.0, 100.0)),
    rtol=1e-12,
)


def mirrored_network(case: Case) -> Estimate:
    """C of drawn weights in which the recurrent ones have their sign turned."""
    problem = chain_of(case)
    turned = drawn_networks(problem, 1, case.seed, turned=True)
    return kernel_estimate(turned.kernels[0], 1e-12)


def mirrored_kernel(case: Case) -> Estimate:
    """D C D of the same weights, D = (-1)^t."""
    signs = (-1.0) ** np.arange(case.times)
    kernel = drawn_networks(chain_of(case), 1, case.seed).kernels[0]
    return kernel_estimate(signs[:, None] * kernel * signs)


MIRROR = Claim(
    id="mean_field.mirror",
    says="W -> -W turns the sign of kernels between times an odd number of steps apart: coherent states come in pairs.",
    source=OURS,
    quantity=HIDDEN_KERNEL,
    relation="==",
    hypotheses=lambda case: "relu is not odd" if case.activation == "relu" else None,
    predict=mirrored_kernel,
    measure=mirrored_network,
    smallest=Case(times=4, signal=1.0, noise=0.1, activation="tanh", width=20, seed=0),
    larger=(Case(times=6, signal=1.0, noise=0.1, activation="erf", width=50, seed=1),),
    rtol=1e-12,
)
STATES = (SAME, COHERENT, FEEDFORWARD, SCALES, BALANCE, THREE, DEEPER, CHEAPER, MIRROR)

CLAIMS = STATES
