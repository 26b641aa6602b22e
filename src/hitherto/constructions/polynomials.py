"""Second-order networks that compute a given polynomial of their inputs exactly: powers, products, parity.

All start from zero unless said, and inputs before the first count as 0. Weights are NumPy float64; they compute the
polynomial in exact arithmetic, and in float64 up to rounding, exactly as long as all numbers on the way are whole and
below 2^53.

Source: our derivation, checked symbolically. The paper (Lizaire, Rizvi-Martel, Dupuis, Rabusseau, 2026, arXiv
2604.02201) says that the degree grows with depth.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Int

from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.constructions.copying import reading, shift_registers, stack
from hitherto.core.model import Model
from hitherto.theory.depth import refuse


def ladder_network(depth: int, lag: int) -> Model:
    """y[t] = x[t - j]^C(j + L - 1, L - 1): the largest degree that L layers can have in one input.

    Layer 1 is the shift register h[t, 1]_i = x[t - i], the layers above are h[t, l]_0 = h[t, l-1]_0 and
    h[t, l]_i = h[t-1, l]_(i-1) h[t, l-1]_i, for i = 1..j.

    Args:
        depth: L.
        lag: j >= 1; the present input has degree 1 at every depth.
    Returns:
        A stack of a linear `RNN` and L - 1 `SecondOrderRNN` layers of cp_rank j, all of width j + 1; for L = 1 the
        shift register alone.
    Raises:
        ValueError: if the depth or the lag is below 1.
    """
    refuse(depth=depth, lag=lag)
    layers = [_register(lag), *[_products(lag + 1, np.arange(1, lag + 1))] * (depth - 1)]
    return stack([*layers[:-1], reading(layers[-1], np.array([lag]))])


def horner_network(coefficients: Sequence[int | float | Fraction]) -> Model:
    """y[t] = c_0 + c_1 x[t-p] + ... + c_(p+1) x[t-p]^(p+1): any polynomial of degree p + 1 in the input p steps back.

    Two layers, by Horner's scheme along a delay line: h_0 = c_(p+1) x[t] + c_p and
    h_i = h[t-1]_(i-1) x[t-i] + c_(p-i) for i = 1..p.

    Args:
        coefficients: c_0 first, p + 2 of them, at least 3; leading ones may be 0, to look further back. Each is rounded
            once to float64.
    Returns:
        A stack of a linear `RNN` and a `SecondOrderRNN` of cp_rank p, both of width p + 1. Up to step p it gives c_0.
    Raises:
        ValueError: for fewer coefficients, or numbers that are not finite in float64.
    """
    rounded = np.array([_rounded(c) for c in coefficients])
    lag = len(rounded) - 2
    if lag < 1:
        raise ValueError(
            f"a Horner network was asked for with {len(rounded)} coefficients; give at least 3, 0 among them if need "
            "be: what is affine in the present input needs no second layer"
        )
    top = _products(lag + 1, np.arange(1, lag + 1), leading=float(rounded[-1]), bias=rounded[-2::-1])
    return stack([_register(lag), reading(top, np.array([lag]))])


def window_product_network(delay: int) -> Model:
    """y[t] = x[t-k] ... x[t-1] x[t], the product of the last k + 1 inputs, by one layer of width k + 1 and cp_rank k.

    h_0 = x[t] and h_i = h[t-1]_(i-1) x[t] for i = 1..k.

    Args:
        delay: k >= 1; one factor alone is a copy.
    Raises:
        ValueError: if the delay is below 1.
    """
    refuse(delay=delay)
    return reading(_products(1, np.zeros(delay, int)), np.array([delay]))


def cumulative_product_network(channels: int = 1) -> Model:
    """y[t] = x[1] x[2] ... x[t], channel by channel, by one layer of as many units: h = h[t-1] x + x - 1, y = h + 1.

    A product of rank `channels` that starts from zero, because h is the product less 1. So float64 knows the product
    to 1e-16 of 1, not of itself, where it is smaller than 1.

    Args:
        channels: d.
    Raises:
        ValueError: if there are no channels.
    """
    refuse(channels=channels)
    one = np.eye(channels)
    weights = dict.fromkeys(("factor_out", "factor_hidden", "factor_input", "weight_ih", "readout"), one)
    weights |= {"weight_hh": 0 * one, "bias": -np.ones(channels), "readout_bias": np.ones(channels)}
    return Model(SecondOrderRNN(channels, channels, channels, cp_rank=channels), weights)


def parity_network() -> Model:
    """y[t] = +1 or -1, whether the signs x[1..t] hold an even or odd number of -1: their product, by one unit.

    The `cumulative_product_network` of one channel, exact in float64 at every length.
    """
    return cumulative_product_network()


def unary_stack(depth: int) -> Model:
    """h[t, l] = h[t-1, l] h[t, l-1] from h[0, l] = 1: on the constant input x it gives x^C(t + L - 1, L).

    One unit a layer. With x = 2, L layers grow faster than L - 1 of any width can follow.

    Args:
        depth: L.
    Returns:
        `SecondOrderRNN` layers with `initial_h` 1, no terms of first order and no readout. Powers of 2 are exact up to
        2^1023, and inf beyond.
    Raises:
        ValueError: if the depth is below 1.
    """
    refuse(depth=depth)
    weights = dict.fromkeys(("factor_out", "factor_hidden", "factor_input"), np.ones((1, 1))) | {
        "initial_h": np.ones(1)
    }
    return stack([Model(SecondOrderRNN(1, 1, cp_rank=1, first_order=False, bias=False), weights)] * depth)


def _register(lag: int) -> Model:
    """h_i = x[t - i] for i = 0..lag."""
    return shift_registers(lag + 1, 1, np.zeros(1, int), np.array([lag]))


def _products(
    input_size: int,
    entering: Int[np.ndarray, " rank"],
    leading: float = 1.0,
    bias: Float[np.ndarray, " unit"] | None = None,
) -> Model:
    """h_0 = leading x_0 + bias_0 and h_i = h[t-1]_(i-1) x_m + bias_i, m = entering[i - 1]."""
    width = len(entering) + 1
    units = np.eye(width)
    weights = {
        "factor_out": units[:, 1:],
        "factor_hidden": units[:, :-1],
        "factor_input": np.eye(input_size)[:, entering],
        "weight_hh": np.zeros((width, width)),
        "weight_ih": np.pad([[leading]], ((0, width - 1), (0, input_size - 1))),
    }
    layer = SecondOrderRNN(input_size, width, cp_rank=width - 1, bias=bias is not None)
    return Model(layer, weights if bias is None else weights | {"bias": bias})


def _rounded(number: int | float | Fraction) -> float:
    try:
        rounded = float(number)
    except OverflowError:
        rounded = math.inf
    if not math.isfinite(rounded):
        raise ValueError(f"the coefficient {number} was given; give numbers that are finite in float64")
    return rounded
