"""The kernel of a wide linear RNN times a vector, for long sequences: K(x, x')_ts = sum_j rho_j <x[t-j], x'[s-j]>.

K v is a correlation, a multiplication by rho and a causal convolution: three steps of FFTs, never a matrix. Where rho
grows a plain FFT destroys the early outputs, and both factors are tilted by the growth first. All outputs share K.
Every formula is our derivation.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real
from scipy import fft

from hitherto.theory.linear_bias import Gaussian
from hitherto.theory.linear_bias_equations import finite, refuse_unlike


def respond(
    response: Real[np.ndarray, "lag output input"], inputs: Real[np.ndarray, "time input"], growth: float | int = 1
) -> Float[np.ndarray, "time output"]:
    """y[t] = sum over j <= t of L_j x[t-j] = g^t sum (L_j g^-j) (x[t-j] g^(j-t)): the forward pass of any linear RNN.

    Args:
        response, inputs: L and x.
        growth: g, by which L grows with the lag; then each output keeps its digits, and not the largest alone. Leave it
            at 1 for a response that does not grow.
    Raises:
        ValueError: for other channels, or numbers that are not finite.

    Cost: T log T for each input, output and pair of them.
    """
    refuse_unlike("channels", response=response.shape[2], inputs=inputs.shape[1])
    taps, signal = finite("response", response)[: len(inputs)], finite("inputs", inputs)
    if growth == 1:
        return _convolved(taps, signal)
    falling = float(growth) ** -np.arange(float(len(taps)))
    early = _convolved(taps * falling[:, None, None], signal[: len(taps)] * falling[:, None]) / falling[:, None]
    if len(taps) == len(signal):
        return early
    return np.concatenate([early, _convolved(taps, signal)[len(taps) :]])  # which have all lags, and grow no more


def correlate(
    inputs: Real[np.ndarray, "time input"], errors: Real[np.ndarray, "time output"]
) -> Float[np.ndarray, "time output input"]:
    """u_j = sum over s of errors[s] x[s-j]^T: the transpose of `respond`, and with errors the gradient by L_j times M.

    Raises:
        ValueError: for other steps, or numbers that are not finite.

    Cost: T log T for each input, output and pair of them.
    """
    refuse_unlike("steps", inputs=len(inputs), errors=len(errors))
    steps = len(inputs)
    size = fft.next_fast_len(2 * steps - 1, real=True)
    signals = fft.rfft(finite("inputs", inputs), size, axis=0).conj()
    spectra = fft.rfft(finite("errors", errors), size, axis=0)
    return fft.irfft(spectra[:, :, None] * signals[:, None, :], size, axis=0)[:steps]


def kernel_product(
    weights: Float[np.ndarray, " lag"],
    inputs: Real[np.ndarray, "time input"],
    others: Real[np.ndarray, "step input"],
    vectors: Real[np.ndarray, "step column"],
) -> Float[np.ndarray, "time column"]:
    """K(x, x') v, by `correlate`, a product with rho and `respond`.

    Args:
        weights: rho for lags 0, 1, ..., at least as many as the shorter sequence has steps.
        inputs, others: x and x', which may differ in length.
        vectors: v, a column for each product.
    Raises:
        ValueError: for fewer weights than lags, other channels or steps, or numbers that are not finite.

    Cost: T log T for each input and column; a million steps in well under a second.
    """
    lags = min(len(inputs), len(others))
    if len(weights) < lags:
        raise ValueError(f"sequences of {lags} steps in common need as many lag weights, got {len(weights)}; give more")
    rho = finite("weights", weights[:lags])
    refuse_unlike("channels", inputs=inputs.shape[1], others=others.shape[1])
    refuse_unlike("steps", others=len(others), vectors=len(vectors))
    taps = rho[:, None, None] * correlate(others, vectors)[:lags]
    first = int(np.argmax(rho > 0))  # lag 0 has no weight where W alone is trained
    grows = 0 < rho[first] < rho[-1]
    return respond(taps, inputs, (rho[-1] / rho[first]) ** (1 / (lags - 1 - first)) if grows else 1)


def kernel_matrix(
    initialisation: Gaussian, inputs: Real[np.ndarray, "time input"], others: Real[np.ndarray, "step input"]
) -> Float[np.ndarray, "time step"]:
    """All of K(x, x'), down each diagonal by a recursion of two terms, K = a A + c B with G_ts = <x[t], x'[s]>:

    A_ts = G_ts + nu_W A_(t-1)(s-1),  B_ts = A_(t-1)(s-1) + nu_W B_(t-1)(s-1).

    Raises:
        ValueError: for other channels, numbers that are not finite, or entries too large for a float.

    Cost: T T' times inputs, in place of T T' times the lags.
    """
    refuse_unlike("channels", inputs=inputs.shape[1], others=others.shape[1])
    kernel = finite("inputs", inputs) @ finite("others", others).T
    a, c = map(float, initialisation.terms)
    nu = float(initialisation.nu)
    first, second = np.zeros(len(others)), np.zeros(len(others))
    for row in kernel:
        second[1:] = first[:-1] + nu * second[:-1]
        first[1:] = row[1:] + nu * first[:-1]
        first[0], second[0] = row[0], 0.0
        row[:] = a * first + c * second
    return finite("the kernel's entries", kernel)


def last_output_gram(
    weights: Float[np.ndarray, " lag"],
    inputs: Sequence[Real[np.ndarray, "_ input"]],
    others: Sequence[Real[np.ndarray, "_ input"]],
) -> Float[np.ndarray, "sequence other"]:
    """K between last outputs, sum over j of rho_j <x[T-1-j], x'[T'-1-j]>: one matrix product, sequences end together.

    Args:
        weights: rho, at least as many as the longest sequence of one side that the other reaches.
        inputs, others: sequences of any lengths.
    Raises:
        ValueError: for fewer weights than lags, no sequence, other channels, or numbers that are not finite.
    """
    if not len(inputs) or not len(others):
        raise ValueError("a Gram matrix was asked for of no sequences; give at least one on each side")
    lags = min(max(map(len, inputs)), max(map(len, others)))
    if len(weights) < lags:
        raise ValueError(f"sequences of {lags} steps in common need as many lag weights, got {len(weights)}; give more")
    if len(channels := {np.shape(one)[1] for one in (*inputs, *others)}) > 1:
        raise ValueError(f"a Gram matrix was asked for of {sorted(channels)} channels; give all sequences as many")
    scales = np.sqrt(finite("weights", weights[:lags]))
    left, right = (_from_the_end(one, scales) for one in (inputs, others))
    return left @ right.T


def _convolved(
    taps: Float[np.ndarray, "lag output input"], signal: Float[np.ndarray, "time input"]
) -> Float[np.ndarray, "time output"]:
    """The causal convolution by FFT, with errors of the size of its largest output."""
    size = fft.next_fast_len(len(signal) + len(taps) - 1, real=True)
    spectra, signals = fft.rfft(taps, size, axis=0), fft.rfft(signal, size, axis=0)
    return fft.irfft(np.einsum("foi,fi->fo", spectra, signals), size, axis=0)[: len(signal)]


def _from_the_end(sequences: Sequence[np.ndarray], scales: np.ndarray) -> np.ndarray:
    """Inputs by lag from the last step, scaled, zeros before the start; a row for each sequence."""
    rows = np.zeros((len(sequences), len(scales), np.shape(sequences[0])[1]))
    for row, sequence in zip(rows, sequences, strict=True):
        recent = finite("inputs", np.asarray(sequence))[::-1][: len(scales)]
        row[: len(recent)] = recent * scales[: len(recent), None]
    return rows.reshape(len(rows), -1)
