"""What linear stacks answer to an impulse: Markov parameters, how many states they need, and what they copy."""

import random
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hitherto.core.model import Model, Recurrence, Weights, precision
from hitherto.core.names import known
from hitherto.core.quantity import COPY_REACH, HANKEL_SINGULAR_VALUES, STATE_ORDER, Estimate
from hitherto.measures._all_pass import (
    all_pass,
    reached,
    reading,
    refuse_vanishing,
    scale_of,
    shares,
    whole,
    within_float64,
)
from hitherto.measures._exact_system import ExactSystem, exact_system
from hitherto.measures.linear_system import LinearSystem, linear_recurrence, linear_system
from hitherto.measures.memory_curve import PARTS, SOURCE, WHITE

DRAWS = 2  # of primes
FARTHEST = 10_000  # delays that are always looked at, as far as they can be reached
ROUNDING = 1e-12  # shares of variance
PRIMES = 2**60, 2**61


def markov_parameters(model: Model, lags: int) -> Float[np.ndarray, "lag output input"]:
    """g_k of y[t] = sum over k of g_k x[t-k] for k = 0 .. lags - 1: the outputs after an impulse in each channel.

    The stack is run; A^k of the collapsed matrix would cost as many times more as there are layers, and lose digits.
    Neither biases nor the first state enter: it is the derivative that is run.

    Args:
        model: a linear recurrence, see `is_linear`.
    Returns:
        Output per input, in float64.
    Raises:
        ValueError: if the model is not linear, `lags` is below 1, or the outputs grow beyond float64.

    Cost: lags x inputs runs of one step; memory of the answer. 10,000 lags of 16 layers of width 128 take seconds.
    """
    if isinstance(lags, bool) or not isinstance(lags, int) or lags < 1:
        raise ValueError(f"Markov parameters were asked for with lags={lags!r}; give a whole number from 1 on")
    architecture = linear_recurrence(model)
    with precision(np.float64):
        found = np.asarray(_impulses(architecture, model.astype(np.float64).weights, lags))
    if np.isfinite(found).all():
        return found
    lag = int(np.argmin(np.isfinite(found).all((1, 2))))
    raise ValueError(
        f"Markov parameters were asked for up to lag {lags - 1}, but they exceed float64 at lag {lag}, as the spectral "
        f"radius is {linear_system(model).radius:.6g}; ask for at most {lag} lags, or scale the recurrent weights"
    )


@partial(jax.jit, static_argnums=(0, 2))
def _impulses(architecture: Recurrence, weights: Weights, lags: int) -> Float[Array, "lag output input"]:
    nothing = jnp.zeros(architecture.input_size)
    state = jax.tree.map(jnp.zeros_like, architecture.start(weights))
    _, step = jax.linearize(partial(architecture.step, architecture.prepare(weights)), state, nothing)
    state, first = jax.vmap(lambda x: step(state, x))(jnp.eye(architecture.input_size))
    _, later = jax.lax.scan(lambda states, _: jax.vmap(lambda s: step(s, nothing))(states), state, length=lags - 1)
    return jnp.swapaxes(jnp.concatenate([first[None], later]), 1, 2)


def hankel_rank(model: Model, seed: int = 0) -> Estimate:
    """The rank of the Hankel matrix with blocks C A^(i+j) B: how few states give the same answers to all inputs.

    It is at most the number of states, and equal to it for almost all weights of a stack. The rank is that of
    (C; C A; ..) (B, A B, ..) modulo two random primes near 2^61: never above the true one, and below it only if both
    primes divide a minor that decides. What a skip connection passes at once, D, needs no state.

    Args:
        model: a linear recurrence. Its weights are taken as the exact numbers that they are: integers, floats, or
            `fractions.Fraction` in arrays of objects.
        seed: of the primes; one that divides a denominator is replaced.
    Returns:
        `STATE_ORDER`, an integer. Weights that are floats and no multiples of 2^-20 came out of rounding, which makes
        almost all ranks full: `cannot_tell` says so, and `hankel_singular_values` shows what counts.
    Raises:
        ValueError: if the model is not linear, or a weight is not finite.

    Cost: a rank of size state x channels in exact arithmetic: a second for 256 states and two channels.
    Source: elimination modulo primes; our derivation.
    """
    draw = random.Random(seed)
    ranks, primes, rounded = zip(*(_rank_modulo_prime(model, draw) for _ in range(DRAWS)), strict=True)
    told = "the weights are rounded, and rounding fills the rank; `hankel_singular_values` shows what counts"
    return Estimate(
        STATE_ORDER,
        max(ranks),
        standard_error=0.0,
        cannot_tell=told if any(rounded) else "",
        statistics={"primes": list(primes)},
        assumptions=("the primes, drawn at random, divide no minor that decides the rank",),
        source="elimination modulo random primes; our derivation",
    )


def _rank_modulo_prime(model: Model, draw: random.Random) -> tuple[int, int, bool]:
    """The rank, the prime, and whether weights are rounded."""
    while True:
        prime = _random_prime(draw)
        try:
            system = exact_system(model, partial(_polynomial, prime))
        except ZeroDivisionError:
            continue
        return _rank_of(system, prime), prime, system.rounded


def _polynomial(prime: int, coefficients: Sequence[Fraction | int]) -> Any:
    from flint import nmod, nmod_poly

    return nmod_poly([nmod(c.numerator, prime) / c.denominator for c in coefficients], prime)


def _random_prime(draw: random.Random) -> int:
    from flint import fmpz

    while not fmpz(number := draw.randrange(*PRIMES)).is_prime():
        pass
    return number


def _rank_of(system: ExactSystem, prime: int) -> int:
    """Rank of observability times reachability matrix; both stop at as many powers as there are states."""
    past, future = _krylov(system.A, system.B, prime), _krylov(system.A.T, system.C.T, prime)
    return int((future.transpose() * past).rank()) if len(system.A) else 0


def _krylov(A: np.ndarray, B: np.ndarray, prime: int) -> Any:
    """(B, A B, A^2 B, ..) modulo the prime."""
    from flint import nmod_mat

    def matrix(entries: np.ndarray) -> Any:
        return nmod_mat(*entries.shape, [int(value) for value in entries.flat], prime)

    step, columns = matrix(A), [matrix(B)]
    for _ in range(len(A) - 1):
        columns.append(step * columns[-1])
    return matrix(np.hstack([np.array(one.table(), object).reshape(B.shape) for one in columns]))


def hankel_singular_values(model: Model) -> Estimate:
    """Singular values of the Hankel matrix with blocks C A^(i+j) B without end, for a spectral radius below 1.

    They are those of R^H S, where S S^H is the covariance of the states under white inputs of variance 1, R R^H =
    sum over j of A^jT C^T C A^j, and neither is formed. Small ones belong to states that past inputs hardly reach or
    future outputs hardly show: the balanced model without them differs by at most twice their sum in gain.

    Returns:
        `HANKEL_SINGULAR_VALUES`, largest first. In `statistics`: `noise_floor`, below which they may be rounding;
        `gap_ratio`, the largest ratio of one to the next, or of the last to the floor, none of them taken below it;
        `gap_index`, how many lie above that gap: the number of states that count, if the ratio is large.
    Raises:
        ValueError: if the model is not linear, or its spectral radius is not below 1.

    Cost: state^3 products.
    Source: Moore (1981); the factors are our derivation.
    """
    system = linear_system(model)
    with within_float64("the Hankel matrix"):
        A, B, layers, _ = whole(system, "all")
        refuse_vanishing(A)
        entering, leaving = scale_of(B), scale_of(system.C)
        past = all_pass(A, B / entering, layers).states
        future = all_pass(A.T, system.C.T / leaving, layers[::-1]).states
        scale = np.multiply(entering, leaving)
        values = np.linalg.svd(future.conj().T @ past, compute_uv=False) * scale
        sizes = [np.linalg.norm(factor) for factor in (past, future)]
        floor = float(len(values) * np.finfo(float).eps * np.prod(sizes) * scale)
    above = np.maximum(values, floor)
    ratios = above / np.append(above[1:], floor) if floor else np.ones(len(values))
    index = int(np.argmax(ratios)) + 1 if floor else 0
    return Estimate(
        HANKEL_SINGULAR_VALUES,
        values,
        standard_error=np.zeros(len(values)),
        axes={"component": np.arange(len(values))},
        statistics={"noise_floor": floor, "gap_ratio": float(ratios.max()), "gap_index": index},
        source="factors of both Gramians by all-pass filters; our derivation",
    )


def copy_reach(model: Model, read: str = "all", tolerance: float | int = 1e-9) -> Estimate:
    """The largest delay k at which x[t-k] is there in every channel, up to `tolerance` of its variance.

    Of what is read by the best linear readout, the R^2 of `linear_memory_curve` channel by channel; of the model's own
    output, y[t] = x[t-k] itself. No stack of widths n_l over d channels has an exact reach of its top layer beyond
    sum of (n_l - d) / d. White inputs of variance 1.

    Args:
        model: a linear recurrence with a spectral radius below 1; a delay line has 0.
        read: states of `all` layers or of the `top` one, or the `output`, of as many channels as the input.
        tolerance: share of the variance of each channel that may be missing or wrong, from 0 to below 1. What rounding
            may leave, 1e-12, does not count.
    Returns:
        `COPY_REACH`, an integer; -1 where not even x[t] is there. `statistics["left"]` is the largest share at it.
    Raises:
        ValueError: if the model is not linear, the spectral radius is not below 1, or an argument is not as above.

    Cost: that of `linear_memory_curve`. Does not tell how large a readout is, nor whether smaller delays are there too.
    Source: our derivation. Beyond (state + input) / (input (1 - tolerance)) no delay can be reached; where that lies
    beyond 10,000 and four times the states, `cannot_tell` says how far was looked.
    """
    known(read, (*PARTS, "output"), "reading")
    if not 0 <= tolerance < 1:
        raise ValueError(f"a copy reach was asked for with tolerance={tolerance}; give a share from 0 to below 1")
    system = linear_system(model)
    channels = system.B.shape[1]
    furthest = (len(system.A) + channels) / (channels * (1 - tolerance))
    lags = int(min(furthest, max(FARTHEST, 4 * len(system.A)))) + 1
    left = _output_left(model, system, lags) if read == "output" else 1 - _readable(system, read, lags)
    reaches = np.flatnonzero((left <= tolerance + ROUNDING).all(1))
    reach = int(reaches[-1]) if len(reaches) else -1
    cut = f"delays were looked at up to {lags - 1}, and a share of {1 - tolerance:.3g} may be there beyond"
    return Estimate(
        COPY_REACH,
        reach,
        standard_error=0.0,
        cannot_tell=cut if furthest > lags else "",
        part=PARTS.get(read, read),
        statistics={"tolerance": tolerance, "left": float(left[max(reach, 0)].max()), "lags": lags},
        assumptions=(WHITE,),
        source=SOURCE,
    )


def _readable(system: LinearSystem, read: str, lags: int) -> Float[np.ndarray, "lag channel"]:
    refuse_vanishing(system.A)
    with within_float64("the copy reach"):
        return shares(reading(reached(whole(system, read))), system.B.shape[1], lags)


def _output_left(model: Model, system: LinearSystem, lags: int) -> Float[np.ndarray, "lag channel"]:
    """E (y[t] - x[t-k])^2 of each channel."""
    outputs, channels = system.D.shape
    if outputs != channels:
        raise ValueError(
            f"the copy reach of the output was asked for, but there are {outputs} outputs for {channels} inputs; give "
            "as many, or read='top'"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # an output beyond float64 is no copy
        through = system.C @ all_pass(*whole(system, "all")[:3]).states
        at_once = system.D @ (2 * system.C @ system.B + system.D).T
        energy = (np.abs(through) ** 2).sum(1) + np.diag(at_once)
    energy[np.isnan(energy)] = np.inf
    own = np.diagonal(markov_parameters(model, lags), axis1=1, axis2=2)
    return energy - 2 * own + 1
