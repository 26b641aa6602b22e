"""Depth, memory and polynomial degree of stacked linear and second-order RNNs: what layers add, and what they do not.

The stack has layers l = 1..L of widths n_l over d input channels, starts from zero, and layer l sees the one below at
the same step,

    h[t, l] = W_l h[t-1, l] + U_l h[t, l-1],  h[t, 0] = x[t],  y[t] = V h[t, L],

so that y[t] = sum over lags j of g_j x[t-j], with the Markov parameters g_j. A second-order layer adds the product
sum over j, m of A[i, j, m] h[t-1, l]_j h[t, l-1]_m. Only the top layer is read.

Paper: Lizaire, Rizvi-Martel, Dupuis, Rabusseau (2026), arXiv 2604.02201, of which the abstract and the experiments'
code were read: depth adds memory to linear RNNs and polynomial degree to second-order ones. Every formula here is our
derivation, stated for exact copying; where it says "checked", by exact arithmetic.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import special

from hitherto.core.names import known
from hitherto.theory.start_end import cell_bound

CELLS = ("affine", "no-input", "bilinear", "linear")
MOST_BITS = 10**6
MOST_FREQUENCY = 10**4


def copy_reach(widths: Sequence[int], channels: int, *, delayed_links: bool = False) -> int | None:
    """Largest delay k at which a stack can copy all channels exactly: floor(sum of (n_l - d) / d).

    One layer needs width d (k + 1); layers as wide as the signal, n = d, add nothing. For vanishing error, reading all
    layers, or links that skip one, can do better. Tokens with an argmax readout are one channel, whatever their number.

    Args:
        widths: n_l by layer, lowest first. For other cells states in place of units bound k, without a promise that it
            is attained: 2 n_l for an LSTM; for a layer whose input passes on beside its state, that input counts too.
        channels: d.
        delayed_links: layer l sees the one below a step late, which adds L - 1.
    Returns:
        Steps; None if a width is below the channels, when not even the present input passes.
    Raises:
        ValueError: if there is no layer, or a size is not a whole number from 1 on.

    Cost: linear in the depth.
    Source: our derivation: the zeros of det G at z = 0 by Cauchy-Binet and Jacobi, and shift registers that attain
    them, checked on 1,075 networks.
    """
    _refuse_stack(widths, channels)
    if min(widths) < channels:
        return None
    return _spare(widths, channels) // channels + _links(widths, delayed_links)


def copy_feasible(widths: Sequence[int], channels: int, delay: int, *, delayed_links: bool = False) -> bool:
    """Whether a stack can copy all channels exactly with this delay, over any length: no `copy_obstacle` is there.

    Raises:
        ValueError: as for `copy_obstacle`, which says why not.
    """
    return copy_obstacle(widths, channels, delay, delayed_links=delayed_links) is None


def copy_obstacle(widths: Sequence[int], channels: int, delay: int, *, delayed_links: bool = False) -> str | None:
    """Why a stack cannot copy its channels with this delay; None if it can: min n_l >= d and sum (n_l - d) >= k d.

    Args:
        widths, channels, delayed_links: as for `copy_reach`; L - 1 late links are a delay that must not exceed k.
        delay: k, in steps.
    Raises:
        ValueError: as for `copy_reach`, or if the delay is not a whole number from 0 on.

    Source: our derivation, as for `copy_reach`.
    """
    _refuse_stack(widths, channels)
    refuse(0, delay=delay)
    if min(widths) < channels:
        layer = next(number for number, width in enumerate(widths, 1) if width < channels)
        return (
            f"a width below the signal dimension cannot even pass it: layer {layer} has {widths[layer - 1]} units for "
            f"{channels} channels"
        )
    links = _links(widths, delayed_links)
    if delay < links:
        return f"the {links} late links between the layers alone delay by more than {delay} steps"
    needed, spare = (delay - links) * channels, _spare(widths, channels)
    return None if needed <= spare else f"spare units needed {needed}, available {spare}"


def effective_dimension(depth: int, width: int, input_size: int, output_size: int) -> int:
    """Dimension of the family of Markov parameters, whatever the number of weights: L (n (d + o) - d o) + d o.

    The rest is redundant, such as changes of the state basis of each layer. A delay line of one layer has
    2 d^2 (k + 1), the one of k layers of width 2 d has 3 k d^2 + d^2: depth saves dense weights, not these.

    Raises:
        ValueError: if a size is not a whole number from 1 on, or the width is below the larger of d and o.

    Source: our derivation for d = o = 1; the formula checked by ranks of Jacobians for 21 shapes.
    """
    refuse(depth=depth, width=width, input_size=input_size, output_size=output_size)
    if width < max(input_size, output_size):
        raise ValueError(
            f"the effective dimension of width {width} was asked for with {input_size} inputs and {output_size} "
            f"outputs; give a width of at least {max(input_size, output_size)}"
        )
    product = input_size * output_size
    return depth * (width * (input_size + output_size) - product) + product


def copy_loss_weights(delay: int, length: int) -> Float[np.ndarray, " lag"]:
    """How often an error of g_j counts in the mean over t = k+1..T: (T - max(j, k)) / (T - k), for j = 0..T-1.

    Args:
        delay, length: k < T, in steps.
    Raises:
        ValueError: if the delay is below 0 or not below the length.
    """
    _refuse_short(delay, length)
    return (length - np.maximum(np.arange(length), delay)) / (length - delay)


def population_copy_loss(
    markov_parameters: Float[np.ndarray, "lag output input"],
    delay: int,
    length: int,
    mean_outputs: Float[np.ndarray, "time output"] | None = None,
) -> float:
    """Mean squared error of copying x ~ N(0, I) with delay k, over t = k+1..T and the channels, without any data.

    sum over j = 0..T-1 of (T - max(j, k)) |g_j - [j = k] I|^2 / (d (T - k)), plus the mean square of what biases add.

    Args:
        markov_parameters: g_j for j = 0..T-1 or more, of which the first T count.
        delay, length: k < T, in steps.
        mean_outputs: outputs at t = 1..T for x = 0, where the network has biases.
    Returns:
        Squared signal, whose variance is 1: silence has loss 1.
    Raises:
        ValueError: for sizes that do not fit, or numbers that are not finite.

    Cost: T d^2; the Markov parameters are cheapest as the answers to d impulses.
    Source: our derivation; 400,000 sampled sequences agreed to 0.3%.
    """
    weights = copy_loss_weights(delay, length)
    shape = markov_parameters.shape
    if len(shape) != 3 or shape[0] < length or shape[1] != shape[2]:
        raise ValueError(
            f"copying over {length} steps needs {length} square Markov parameters, got the shape {shape}; give lags "
            f"0..{length - 1} of a network with as many outputs as inputs"
        )
    means = np.zeros((length, shape[2])) if mean_outputs is None else np.asarray(mean_outputs, np.float64)
    if means.shape != (length, shape[2]):
        raise ValueError(f"mean_outputs must be of the shape {(length, shape[2])}, got {means.shape}; give one a step")
    errors = np.array(markov_parameters[:length], np.float64)
    errors[delay] -= np.eye(shape[2])
    loss = weights @ np.square(errors).sum((1, 2)) / shape[2] + np.square(means[delay:]).mean()
    if not np.isfinite(loss):
        raise ValueError(f"a loss was asked for and is {loss}; look for NaN, inf or divergence in the network")
    return float(loss)


def closure_width(channels: int, delay: int, length: int) -> int:
    """Fewest units of one layer whose loss can come as near to 0 as one likes: d min(k + 1, T - k).

    Below d (k + 1) units it is not attained: the echo goes just past the end, with eigenvalues that grow without
    bound. Sequences of T >= 2 k + 1 steps leave no such room, and show the exact threshold. Deep stacks have such
    limits too, of which no rule is known; no continuous network copies with fewer states in all layers together.

    Raises:
        ValueError: if there are no channels, or the delay is below 0 or not below the length.

    Source: our derivation.
    """
    refuse(channels=channels)
    _refuse_short(delay, length)
    return channels * min(delay + 1, length - delay)


def copy_loss_floor(states: int, channels: int, delay: int, length: int) -> float:
    """Least loss of copying by any linear time-invariant model of so many states: max(0, 1 - N / (d min(k+1, T-k))).

    Valid, not tight, for a stack of any depth, read anywhere, trained or not.

    Args:
        states: N, the sum of the widths, or the Hankel rank where it is known.
        channels, delay, length: d, k and T; the loss is that of `population_copy_loss`.
    Raises:
        ValueError: if the states are below 0, and as for `closure_width`.

    Source: our derivation (Eckart-Young for the block Hankel matrix of the target, all of whose singular values are 1).
    """
    refuse(0, states=states)
    return max(0.0, 1 - states / closure_width(channels, delay, length))


def polynomial_degree(
    depth: int,
    *,
    step: int | None = None,
    lag: int | None = None,
    cell: str = "affine",
    start: str = "zero",
    activation_degree: int = 1,
) -> int | None:
    """Degree of the top layer of a second-order stack without activations, attained by generic weights of any width.

    Total degree in x[1..t]: C(t + L - 1, L). Degree in x[t-j] alone: C(j + L - 1, L - 1). So no depth squares the
    present input, and one layer is linear in each. On the constant input 2, L layers h[t, l] = h[t-1, l] h[t, l-1] of
    one unit that start from 1 reach 2 to the total degree, which no L - 1 layers can follow.

    Args:
        depth: L.
        step, lag: t >= 1 for the total degree at that step, or j >= 0 for that in one input; give one of them.
        cell: `affine` has the terms A, W, U and b; low-rank A and multiplicative integration count as such.
            `no-input` lacks U: from a zero start the first input never enters, and C(t + L - 2, L) is left.
            `bilinear` has A alone: from a zero start the state stays 0. `linear` has no A: degree 1.
        start: `zero`, or `nonzero` in every layer.
        activation_degree: q of a polynomial applied to what each linear layer passes up; the degree is then q^L.
    Returns:
        The exact degree; None for a state that is identically 0, which has none.
    Raises:
        ValueError: for sizes below 1 (lag: 0), unknown names, an activation on cells that multiply, or a degree of
            more than a million bits.

    Source: our derivation; 2,338 cases checked modulo 2^61 - 1. The paper says that the degree grows with depth.
    """
    refuse(depth=depth, activation_degree=activation_degree)
    known(cell, CELLS, "cell")
    known(start, ("zero", "nonzero"), "start")
    _refuse_times(step, lag)
    if cell == "linear":
        _refuse_bits("degree", depth * math.log2(activation_degree))
        return activation_degree**depth
    if activation_degree != 1:
        raise ValueError(
            f"the degree of {cell} cells was asked for with activations of degree {activation_degree}; the law is "
            f"known for cell='linear', give that or leave the activations out"
        )
    if cell == "bilinear" and start == "zero":
        return None
    if lag is not None:
        return _binomial(lag + depth - 1, depth - 1)
    silent = cell == "no-input" and start == "zero"
    return _binomial(step - silent + depth - 1, depth)


def layers_for_degree(degree: int, lag: int) -> int | None:
    """Fewest layers of second-order cells that reach a degree in the input `lag` steps back.

    Least L with C(j + L - 1, L - 1) >= D.

    Returns:
        None for the present input, in which every depth is of degree 1, and a degree above.
    Raises:
        ValueError: if the degree is below 1, the lag below 0, or a degree on the way has more than a million bits.

    Source: our derivation, from `polynomial_degree`.
    """
    refuse(degree=degree)
    refuse(0, lag=lag)
    if lag == 0:
        return 1 if degree == 1 else None
    return least(lambda depth: _binomial(lag + depth - 1, depth - 1) >= degree)


def sine_floor(frequency: float | int, degree: int) -> float:
    """Least mean squared error of sin(w x[t-p]) for x ~ N(0, 1) by anything of degree D in x[t-p].

    exp(-w^2) times the sum over odd m > D of w^(2m) / m!: what the Hermite expansion has left.

    Args:
        frequency: w, up to 10,000 in size.
        degree: D, 1 for linear RNNs of any depth, `polynomial_degree(depth, lag=p)` for second-order ones. Two of
            their layers of width p + 1 attain it; whether more layers do is not known.
    Raises:
        ValueError: for a degree below 0, or frequencies that are not finite or too large.

    Cost: some 40 w terms; the relative error is of the order 1e-16 w^2 log w.
    Source: our derivation, checked by quadrature.
    """
    refuse(0, degree=degree)
    if not abs(frequency) <= MOST_FREQUENCY:
        raise ValueError(
            f"the floor of a sine was asked for at {frequency=}; give one up to {MOST_FREQUENCY:,} in size"
        )
    mean = frequency**2
    if mean == 0 or degree > 2 * mean + 1000:  # beyond: below the smallest float
        return 0.0
    spread = 40 * (math.sqrt(mean) + 1)  # of the terms, a Poisson law; what lies further out is below rounding
    first = max(degree + 1, int(mean - spread)) | 1
    odd = np.arange(first, max(first, mean) + spread, 2)
    return float(np.exp(odd * math.log(mean) - special.gammaln(odd + 1) - mean).sum())


def power_floor(power: int, degree: int) -> int:
    """Least mean squared error of x[t-p]^m for x ~ N(0, 1) by anything of degree D in x[t-p], an exact integer.

    Sum over j with m - 2j > D of (m! / (2^j j! (m - 2j)!))^2 (m - 2j)!.

    Args:
        power: m >= 1.
        degree: D, as for `sine_floor`.
    Raises:
        ValueError: for a power below 1 or a degree below 0, or a result of about a million bits or more.

    Cost: m / 2 terms of m log m digits.
    Source: our derivation, checked by quadrature.
    """
    refuse(power=power)
    refuse(0, degree=degree)
    _refuse_bits("floor", power * math.log2(power))
    total, term = 0, math.factorial(power)
    for pairs, left in enumerate(range(power, degree, -2)):
        total += term
        term = term * left * (left - 1) // (4 * (pairs + 1) ** 2)
    return total


def geometric_mean_moment(count: int) -> float:
    """Mean square of the signed geometric mean of `count` standard normal numbers: (2^(1/t) G(1/t + 1/2) / sqrt(pi))^t.

    G is the Gamma function; the limit is exp(-gamma - ln 2) = 0.28073 with Euler's gamma.

    Raises:
        ValueError: if the count is below 1.

    Source: our derivation. The relative error is of the order 1e-16 t.
    """
    refuse(count=count)
    return float(_geometric_moments(np.array([count]))[0])


def linear_floor(target: str, length: int, lag: int | None = None) -> float:
    """Least mean squared error of a linear RNN of any depth and width on one channel x ~ N(0, 1), over t = 1..T.

        target                   y[t]                                        floor
        parity                   product of the signs of x[1..t], from them  1 - 1 / T^2
        cumulative-product       product of x[1..t]                          1 - 1 / T^2
        geometric-mean           its signed |.|^(1/t)                        (1 - 1/T + sum of moment(t), t = 2..T) / T
        lagged-geometric-mean    the same of x[t-k..t], over t = k+1..T      moment(k + 1); 0 for k = 0
        running-mean             mean of x[1..t]                             see below
        running-sum              sum of x[1..t]                              0, by one unit a channel

    with `geometric_mean_moment` as moment. The best answer to the running mean is g_j = mean of 1/t over t > j, which
    leaves (H_T - sum over j of (H_T - H_j)^2 / (T - j)) / T, where H_t is the sum of 1/s for s = 1..t.

    Args:
        target: one of these.
        length: T, in steps.
        lag: k < T, of lagged-geometric-mean alone.
    Raises:
        ValueError: for unknown targets, a length below 1, or a lag that is missing, too long or without meaning.

    Cost: linear in the length at most.
    Source: our derivation, for a zero start and weights that stay the same over time.
    """
    known(target, (*_LINEAR_FLOORS, "lagged-geometric-mean"), "target")
    refuse(length=length)
    if (lag is not None) != (target == "lagged-geometric-mean"):
        raise ValueError(f"the target {target} was asked for with lag={lag}; a lagged one needs it, others have none")
    if lag is None:
        return float(_LINEAR_FLOORS[target](length))
    _refuse_short(lag, length, "lag")
    return geometric_mean_moment(lag + 1) if lag else 0.0


def start_end_bound(depth: int, width: int, symbols: int, half: int) -> int:
    """Most start-end separation rank of second-order layers without affine terms over one-hot inputs, halves alike.

    min(M^S, product over i = 0..L-1 of mc(R, mc(S, i))), with multisets mc as in `theory.start_end`; random networks
    attain it in the cases checked. One layer has min(R, M^S), which does not grow with the length.

    Args:
        depth, width, symbols: L, R and M.
        half: S, steps before and after the cut.
    Raises:
        ValueError: if a size is below 1.

    Source: our derivation, after Levine et al. (2017), arXiv 1710.09431.
    """
    refuse(depth=depth, width=width, symbols=symbols, half=half)
    return min(symbols**half, cell_bound("second-order", depth, width, half))


def least(holds: Callable[[int], bool]) -> int:
    """The first whole number from 1 on for which a condition holds that then stays true; by doubling and halving."""
    high = 1
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def refuse(smallest: int = 1, **sizes: int) -> None:
    """Refuse what is not a whole number from `smallest` on.

    Raises:
        ValueError: naming the first such size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < smallest:
            raise ValueError(
                f"the laws of depth need {name} >= {smallest}, got {size!r}; give a whole number from {smallest} on"
            )


def _spare(widths: Sequence[int], channels: int) -> int:
    """Units beyond those that pass the signal on: each can hold one channel for one step."""
    return sum(widths) - len(widths) * channels


def _links(widths: Sequence[int], delayed: bool) -> int:
    return len(widths) - 1 if delayed else 0


def _binomial(total: int, chosen: int) -> int:
    """C(total, chosen), if it is of a size to be written down: C(n, k) < (e n / k)^k."""
    fewer = min(chosen, total - chosen)
    if fewer > 0:
        _refuse_bits("degree", fewer * (math.log2(total) - math.log2(fewer) + math.log2(math.e)))
    return math.comb(total, chosen)


def _geometric_moments(counts: np.ndarray) -> np.ndarray:
    return 2 * np.exp(counts * (special.gammaln(1 / counts + 0.5) - special.gammaln(0.5)))


def _product_floor(length: int) -> float:
    return 1 - 1 / length**2


def _geometric_mean_floor(length: int) -> float:
    return (_geometric_moments(np.arange(2, length + 1)).sum() + 1 - 1 / length) / length


def _running_mean_floor(length: int) -> float:
    inverse = 1 / np.arange(1, length + 1)
    after = inverse[::-1].cumsum()[::-1]  # H_T - H_j
    return (inverse.sum() - (np.square(after) / np.arange(length, 0, -1)).sum()) / length


_LINEAR_FLOORS: dict[str, Callable[[int], float]] = {
    "parity": _product_floor,
    "cumulative-product": _product_floor,
    "geometric-mean": _geometric_mean_floor,
    "running-mean": _running_mean_floor,
    "running-sum": lambda length: 0.0,
}


def _refuse_stack(widths: Sequence[int], channels: int) -> None:
    refuse(channels=channels, depth=len(widths))
    for width in widths:
        refuse(widths=width)


def _refuse_short(delay: int, length: int, name: str = "delay") -> None:
    refuse(length=length)
    refuse(0, **{name: delay})
    if delay >= length:
        raise ValueError(
            f"{name}={delay} was asked for over length={length} steps, of which none would count; give a length of at "
            f"least {delay + 1}"
        )


def _refuse_times(step: int | None, lag: int | None) -> None:
    if (step is None) == (lag is None):
        raise ValueError(f"the degree at a step or in one input was asked for, got step={step}, lag={lag}; give one")
    if lag is None:
        refuse(step=step)
    else:
        refuse(0, lag=lag)


def _refuse_bits(name: str, bits: float) -> None:
    if bits > MOST_BITS:
        raise ValueError(
            f"the {name} must fit into {MOST_BITS:,} bits, and may have {bits:.2g}; ask for fewer layers or steps"
        )
