"""Tangent kernels of models as they stand: how fast gradient descent moves each lag, and whether it stays lazy.

The derivative of an output by the parameters, times that of another, says how much a gradient step that changes the
one changes the other. For a linear model it is a kernel over lags, Theta[j, l], of its impulse response, and that is
all that the data do not decide.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hitherto.architectures.initialisation import multipliers
from hitherto.architectures.rnn import RNN
from hitherto.core.model import Architecture, Model, Weights, precision
from hitherto.core.quantity import KERNEL_DRIFT, MEMORY_PRIOR, Estimate
from hitherto.measures.linear_system import linear_recurrence

TRAINED = ("readout", "weight_ih", "weight_hh")
BLOCK = 64  # rows of a Jacobian at once
LAZY, RICH = 0.1, 0.5  # kernel drifts below and above which training counts as one or the other

LagKernel = Float[np.ndarray, "lag lag output output input input"]


def lag_kernel(model: Model, lags: int, trained: tuple[str, ...] = TRAINED) -> LagKernel:
    """Theta[j, l, a, b, p, q], the product of the gradients of entry (a, p) of L_j and entry (b, q) of L_l.

    With P_j = C A^j, Q_j = A^j B and m the multipliers of the parametrisation, it is the sum of a readout, an input and
    a recurrent part,

        m_C^2 [a=b] (Q_j^T Q_l)_pq + m_F^2 [p=q] (P_j P_l^T)_ab
            + m_W^2 sum over k < j, m < l of (P_k P_m^T)_ab (Q_(j-1-k)^T Q_(l-1-m))_pq,

    where the last is a convolution in two dimensions, done by Fourier transforms. The Jacobian is never formed. P_k and
    Q_k are divided by g^k first, with g their mean growth a lag: errors of a transform are of the size of its largest
    output, and kernels that fall or grow keep the digits of all lags.

    Args:
        model: one linear `RNN` layer with a readout; for others see `response_kernel`.
        lags: T; j and l go from 0 to T - 1.
        trained: which of `readout`, `weight_ih`, `weight_hh` are; the parts of the others are left out.
    Raises:
        ValueError: for another model, for no lags, for names that are none of these, or a kernel too large for a float.

    Cost: T n^2 (inputs + outputs) + T^2 n products and T^2 log T for each pair of channels: 2,000 units and 200 lags
    take a second.
    Source: our derivation.
    """
    before, after, growth, factors = _factors(model, lags, trained)
    from_inputs = np.einsum("jnp,lnq->jlpq", before, before, optimize=True)
    to_outputs = np.einsum("jan,lbn->jlab", after, after, optimize=True)
    eye_out, eye_in = np.eye(after.shape[1]), np.eye(before.shape[2])
    found = factors["readout"] * np.einsum("jlpq,ab->jlabpq", from_inputs, eye_out)
    found += factors["weight_ih"] * np.einsum("jlab,pq->jlabpq", to_outputs, eye_in)
    if factors["weight_hh"] and lags > 1:
        factor = factors["weight_hh"] * np.exp2(-2 * growth)  # this part has two powers of A less
        found[1:, 1:] += factor * _convolved(to_outputs[:-1, :-1], from_inputs[:-1, :-1])
    j = np.arange(lags)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found *= np.exp2(growth * np.add.outer(j, j))[:, :, None, None, None, None]
    if not np.isfinite(found).all():
        raise ValueError(f"the kernel of {lags} lags has entries too large for a float; ask for fewer lags")
    return found


def memory_prior(model: Model, lags: int, trained: tuple[str, ...] = TRAINED) -> Estimate:
    """rho_j, the mean of Theta[j, j, a, a, p, p] over channels: how fast gradient descent starts to move lag j.

    The loss at lag d falls about max rho / rho_d times slower than that of the quickest lag, as long as training is
    lazy (`kernel_drift`).

    Args:
        model, lags, trained: as for `lag_kernel`.
    Returns:
        `MEMORY_PRIOR` by lag. In `statistics`: `correlation`, the share of |Theta|^2 that couples different lags or
        channels; `effective_lags`, (sum rho)^2 / sum rho^2.
    Raises:
        ValueError: as for `lag_kernel`.

    Source: our derivation.
    """
    kernel = lag_kernel(model, lags, trained)
    outputs, inputs = kernel.shape[2], kernel.shape[4]
    prior = np.einsum("jjaapp->j", kernel) / (outputs * inputs)
    whole = float((kernel**2).sum())
    diagonal = float(sum((np.einsum("jjaapp->jap", kernel) ** 2).ravel()))
    square = float((prior**2).sum())
    return Estimate(
        MEMORY_PRIOR,
        prior,
        standard_error=np.zeros(lags),
        axes={"lag": np.arange(lags)},
        statistics={
            "correlation": 1 - diagonal / whole if whole else 0.0,
            "effective_lags": float(prior.sum()) ** 2 / square if square else 0.0,
        },
        source="tangent kernel of the impulse response; our derivation",
    )


def response_kernel(model: Model, lags: int) -> LagKernel:
    """The same kernel for any linear model and all its weights, by differentiating the impulse response.

    Args:
        model: linear, see `is_linear`: a stack, a state space, a second-order layer without products.
        lags: T.
    Raises:
        ValueError: if the model is not linear, or for no lags.

    Cost: T x outputs x inputs gradients of T steps, `BLOCK` at once; memory of the kernel and a block of gradients.
    """
    architecture = linear_recurrence(model)
    _refuse_lags(lags)
    with precision(np.float64):
        weights = model.astype(np.float64).weights
        response = partial(_response, architecture, lags)
        shape = jax.eval_shape(response, weights).shape
        found = _gram(response, weights, int(np.prod(shape)))
    return found.reshape(*shape, *shape).transpose(0, 3, 1, 4, 2, 5)


def tangent_kernel(model: Model, inputs: Float[np.ndarray, "sequence time input"], last: bool = True) -> np.ndarray:
    """The tangent kernel of any model on sequences: (row, row) with rows (sequence, output), or with every step.

    Args:
        model: any; all its weights count as trained.
        inputs: sequences of equal length.
        last: whether the last step alone is an output; else rows are (sequence, time, output).
    Returns:
        A symmetric matrix.
    Raises:
        ValueError: if the inputs do not fit or are not finite.

    Cost: a gradient for every row, `BLOCK` at once; memory rows^2 + BLOCK x weights.
    """
    architecture = model.architecture
    if inputs.ndim != 3 or inputs.shape[-1] != architecture.input_size or not inputs.size:
        raise ValueError(
            f"inputs of a tangent kernel are (sequence, time, {architecture.input_size}), found {inputs.shape}; give "
            "that shape"
        )
    if not np.isfinite(inputs).all():
        raise ValueError("inputs of a tangent kernel hold NaN or inf; give finite numbers")
    with precision(model.dtype):
        given, weights = jnp.asarray(inputs, model.dtype), jax.tree.map(jnp.asarray, model.weights)
        outputs = partial(_outputs, architecture, given, last)
        rows = int(np.prod(jax.eval_shape(outputs, weights).shape))
        return _gram(outputs, weights, rows)


def kernel_drift(before: Model, after: Model, inputs: Float[np.ndarray, "sequence time input"]) -> Estimate:
    """|K_after - K_before|_F / |K_before|_F of `tangent_kernel` on the last step: 0 for training that is lazy.

    Args:
        before, after: the same architecture at the start and at the end of training.
        inputs: as for `tangent_kernel`.
    Returns:
        `KERNEL_DRIFT`. In the limit of great width in the `ntk` parametrisations it goes to 0 as 1 / width; with the
        initialisations of frameworks it does not, and laws of the kernel regime do not hold.
    Raises:
        ValueError: if the architectures differ, or the inputs do not fit or are not finite.
    """
    if before.architecture != after.architecture:
        raise ValueError(
            f"a kernel drift was asked for between {before.architecture} and {after.architecture}; give one "
            "architecture with the weights before and after"
        )
    first, last = tangent_kernel(before, inputs), tangent_kernel(after, inputs)
    drift = float(np.linalg.norm(last - first) / np.linalg.norm(first)) if first.any() else float("inf")
    told = "lazy" if drift < LAZY else "rich" if drift > RICH else "in between"
    return Estimate(
        KERNEL_DRIFT,
        drift,
        0.0,
        statistics={"training": told, "rows": len(first)},
        source="tangent kernels before and after",
    )


def _factors(
    model: Model, lags: int, trained: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, float, dict[str, float]]:
    """Q_j / g^j = A^j B / g^j (lag, state, input), P_j / g^j (lag, output, state), log2 g, and squared multipliers."""
    layer = model.architecture
    if not isinstance(layer, RNN) or layer.readout_size is None:
        raise ValueError(
            f"a lag kernel was asked of {layer}; give one linear RNN layer with a readout, or take `response_kernel`"
        )
    linear_recurrence(model)
    _refuse_lags(lags)
    if strange := set(trained) - set(TRAINED):
        raise ValueError(f"{sorted(strange)} were said to be trained; name some of {', '.join(TRAINED)}")
    multiplied = multipliers(layer)
    used = {name: value * np.asarray(model.weights[name], np.float64) for name, value in multiplied.items()}
    before, before_sizes = _orbit(used["weight_ih"], lambda Q: used["weight_hh"] @ Q, lags)
    after, after_sizes = _orbit(used["readout"], lambda P: P @ used["weight_hh"], lags)
    growth = _slope((before_sizes + after_sizes) / 2)
    for orbit, sizes in ((before, before_sizes), (after, after_sizes)):
        orbit *= np.exp2(sizes - growth * np.arange(lags))[:, None, None]
    factors = {name: value**2 if name in trained else 0.0 for name, value in multiplied.items()}
    return before, after, growth, factors


def _orbit(
    start: Float[np.ndarray, "row column"], step: Callable[[np.ndarray], np.ndarray], lags: int
) -> tuple[Float[np.ndarray, "lag row column"], Float[np.ndarray, " lag"]]:
    """start, step(start), ..., all over 2^size, their largest entry in [1/2, 1); 0 and size -inf from a zero on."""
    orbit, sizes, size = np.zeros((lags, *start.shape)), np.full(lags, -np.inf), 0
    for k in range(lags):
        largest = float(np.abs(start).max())
        if not largest:
            break
        exponent = math.frexp(largest)[1]
        size += exponent
        orbit[k], sizes[k] = np.ldexp(start, -exponent), size
        start = step(orbit[k])
    return orbit, sizes


def _slope(sizes: Float[np.ndarray, " lag"]) -> float:
    """The mean growth a lag of the sizes that are finite; 0 for fewer than two."""
    lags = np.flatnonzero(np.isfinite(sizes))
    if len(lags) < 2:
        return 0.0
    apart = lags - lags.mean()
    return float(apart @ sizes[lags] / (apart @ apart))


def _refuse_lags(lags: int) -> None:
    if isinstance(lags, bool) or not isinstance(lags, int) or lags < 1:
        raise ValueError(f"a lag kernel was asked for with lags={lags!r}; give a whole number from 1 on")


def _convolved(to_outputs: np.ndarray, from_inputs: np.ndarray) -> np.ndarray:
    """sum over k <= j, m <= l of G[k, m] H[j - k, l - m], for every pair of channels."""
    lags = len(to_outputs)
    size = (2 * lags, 2 * lags)
    left = np.fft.rfft2(to_outputs, size, (0, 1))
    right = np.fft.rfft2(from_inputs, size, (0, 1))
    found = np.empty((lags, lags, *to_outputs.shape[2:], *from_inputs.shape[2:]))
    for a, b in np.ndindex(*to_outputs.shape[2:]):
        product = left[:, :, a, b, None, None] * right
        found[:, :, a, b] = np.fft.irfft2(product, size, (0, 1))[:lags, :lags]
    steps = [np.count_nonzero(np.einsum("jjcc->j", grams)) for grams in (to_outputs, from_inputs)]
    found[sum(steps) - 1 :], found[:, sum(steps) - 1 :] = 0.0, 0.0  # powers of A that are 0 leave no rounding
    return found


def _response(architecture: Architecture, lags: int, weights: Weights) -> Float[Array, "lag output input"]:
    """L_0, L_1, ... as a function of the weights."""
    start = jax.tree.map(jnp.zeros_like, architecture.start(weights))
    channels = architecture.input_size

    def answers(x: Array) -> Array:
        return architecture.run(weights, start, x)[1]

    nothing = jnp.zeros((lags, channels))
    impulses = jnp.zeros((channels, lags, channels)).at[:, 0].set(jnp.eye(channels))
    _, response = jax.vmap(lambda impulse: jax.jvp(answers, (nothing,), (impulse,)), out_axes=(None, -1))(impulses)
    return response


def _outputs(
    architecture: Architecture, inputs: Float[Array, "sequence time input"], last: bool, weights: Weights
) -> Array:
    start = architecture.start(weights)
    y = jax.vmap(lambda x: architecture.run(weights, start, x)[1])(inputs)
    return y[:, -1] if last else y


def _gram(function: Any, weights: Weights, rows: int) -> np.ndarray:
    """J J^T of a function of the weights, rows of J in blocks, so that few are held at once."""
    _, back = jax.vjp(function, weights)
    shape = jax.eval_shape(function, weights).shape

    @jax.jit
    def block(ones: Array) -> list[Array]:
        slopes = jax.vmap(lambda one: back(one.reshape(shape))[0])(ones)
        return [leaf.reshape(len(ones), -1) for leaf in jax.tree.leaves(slopes)]

    found = np.zeros((rows, rows))
    for some, upper in _blocks(rows, block):
        for others, lower in _blocks(rows, block):
            if others.start > some.start:
                break
            found[some, others] = sum(np.asarray(a @ b.T) for a, b in zip(upper, lower, strict=True))
            found[others, some] = found[some, others].T
    return found


def _blocks(rows: int, block: Any) -> Iterator[tuple[slice, list[Array]]]:
    for begin in range(0, rows, BLOCK):
        which = slice(begin, min(begin + BLOCK, rows))
        yield which, block(jnp.eye(rows)[which])
