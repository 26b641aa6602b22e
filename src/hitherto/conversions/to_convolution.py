"""Wide linear recurrent networks as weighted convolutions, which learn the same function at the same steps."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hitherto.architectures.convolution import Convolution
from hitherto.architectures.rnn import RNN
from hitherto.conversions._unitary_signal import refuse_weights
from hitherto.core.model import Model, precision
from hitherto.theory.linear_bias import Gaussian, cautions, lag_weights
from hitherto.theory.linear_bias_summary import refuse_silent
from hitherto.theory.linear_bias_width import trust_horizon

DOUBLINGS = 24  # 2^24 steps, after which powers that have not vanished count as lasting for ever
INDEPENDENT = 3  # in units of 1 / sqrt(width): coupling above this is not chance

Square = Float[np.ndarray, "unit unit"]
Entering = Float[np.ndarray, "unit input"]
Readout = Float[np.ndarray, "output unit"]


@dataclass(frozen=True, eq=False)
class ConvolutionCertificate:
    """What a convolution shares with the network it was made of, and what it leaves out.

    Attributes:
        initialisation: the variances that were measured, and the learning rates that the parametrisation gives them.
        rho: weights of the lags; gradient descent moves lag j at this speed.
        tail: sum of |L_j|_F^2 over the lags that were left out, to rounding: their part in the mean square of the
            outputs for white inputs of variance 1. It is no error for sequences of up to `lags` steps; inf where the
            powers of the recurrent matrix do not vanish.
        lost: the tail as a share of the sum over all lags.
        coupling: root mean square over j < l of the correlation of what units hold of inputs j and l steps back. About
            1 / sqrt(width) for independent entries; near 1 lags cannot be learned apart, and `rho` does not hold.
        horizon: sqrt(width), lags up to which the wide limit holds.
        cautions: where training will differ.
    """

    initialisation: Gaussian
    rho: Float[np.ndarray, " lag"]
    tail: float
    lost: float
    coupling: float
    horizon: float
    cautions: tuple[str, ...]

    @property
    def lags(self) -> int:
        """How many lags the convolution has."""
        return len(self.rho)


class ConvolutionConversion(NamedTuple):
    """The convolution, in float64, and its certificate."""

    model: Model
    certificate: ConvolutionCertificate


def to_convolution(model: Model, lags: int) -> ConvolutionConversion:
    """y[t] = sum over j < lags of sqrt(rho_j) theta_j x[t-j], with sqrt(rho_j) theta_j = L_j = C A^j B of the network.

    At first the two are the same function, to rounding, on sequences of up to `lags` steps. Trained by gradient descent
    with the same data, loss and learning rate, they stay the same up to a multiple of 1 / sqrt(width), as

        L_j <- L_j - rate rho_j dLoss/dL_j,  rho_j = a nu_W^j + c j nu_W^(j-1)

    is what a step makes of both: exactly of the convolution, which trains theta, and of the network, which trains all
    its weights, in the limit of great width. The learning rate goes over unchanged, as rho is per stored weight:

    | parametrisation | a | c | the same in training |
    | --- | --- | --- | --- |
    | `ntk` | nu_C + nu_F | nu_C nu_F | yes, rates of order 1 |
    | `ntk_unit` | 2 nu_C nu_F | nu_W nu_C nu_F | yes, rates of order 1 |
    | `standard` | nu_C + nu_F, n times the mean squares | nu_C nu_F | at the first step only |

    Plain and heavy-ball descent keep the equality, Adam does not. `fit` with `optimiser="sgd"` trains both.

    Args:
        model: one linear `RNN` layer with a readout, without biases, h before the first step 0. Its variances are those
            of its weights as they are, so it should be fresh: `gaussian`, `orthogonal` or `ring`.
        lags: T, the length of the sequences; beyond sqrt(width) the network departs from its limit.
    Returns:
        A `Convolution` in float64, with `taps` theta and `lag_weights` rho; and the certificate.
    Raises:
        ValueError: for another model; for no lags; or for lags whose rho is 0 or too large for a float.

    Cost: lags n^2 channels; for the tail about 3 log2(18 / (1 - spectral radius)) products of n x n matrices.
    Does not tell how far a given network departs in training: `memory_prior` has its own lag weights, `kernel_drift`
    whether they stay.
    Source: Emami and others (2021) for the equality in the limit; weights, rate and certificate are our derivation,
    checked on networks of 64 to 1,024 units.
    """
    layer = _checked(model, lags)
    with precision(np.float64):
        used = {name: np.asarray(w, np.float64) for name, w in layer.prepare(model.astype(np.float64).weights).items()}
    A, B, C = used["weight_hh"], used["weight_ih"], used["readout"]
    start = _measured(layer, A, B, C)
    rho = _lag_weights(start, lags)
    held = _held(A, B, lags)
    response = C @ held
    taps = response / np.sqrt(rho)[:, None, None]
    architecture = Convolution(layer.input_size, len(C), tuple(rho.tolist()))
    told = _certificate(start, rho, held, response, tail_energy(A, A @ held[-1], C))
    return ConvolutionConversion(Model(architecture, {"taps": taps}), told)


def tail_energy(A: Square, first: Entering, C: Readout) -> float:
    """Sum of |C A^k first|_F^2 over k = 0, 1, ...: inf where the powers of A do not vanish within 2^24 steps.

    X = sum of A^kT C^T C A^k, of which twice as many terms are X + A^T X A with the A of as many steps.
    """
    X = C.T @ C
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(DOUBLINGS):
            size = float(np.square(A).sum())
            if size < np.finfo(float).eps:
                return float(np.einsum("ni,nm,mi->", first, X, first, optimize=True))
            if not math.isfinite(size):
                break
            X = X + A.T @ X @ A
            A = A @ A
    return math.inf


def _checked(model: Model, lags: int) -> RNN:
    """The layer, if it is one that the theory covers."""
    layer = model.architecture
    if isinstance(lags, bool) or not isinstance(lags, int) or lags < 1:
        raise ValueError(f"a convolution was asked for with lags={lags!r}; give a whole number from 1 on")
    if not isinstance(layer, RNN):
        raise ValueError(
            f"a convolution was asked of {layer}, but the lag weights are known for one dense linear layer; give an "
            "RNN layer (between layers of a stack the theory wants B / sqrt(n), which no stack of RNN layers trains)"
        )
    refuse_weights(layer, model.weights)
    for wrong, found, wanted in _obstacles(layer, model):
        if wrong:
            raise ValueError(f"a convolution was asked of {layer}, but {found}; {wanted}")
    return layer


def _obstacles(layer: RNN, model: Model) -> tuple[tuple[bool, str, str], ...]:
    """What keeps a layer from being a wide linear network: whether it does, what was found, what to do."""
    nonlinear = [name for name in (layer.activation, layer.output_activation) if name != "linear"]
    biased = layer.bias or "readout_bias" in model.weights
    return (
        (bool(nonlinear), f"{', '.join(nonlinear)} is not linear", "give activation='linear'"),
        (layer.clip is not None, f"clip={layer.clip} is not linear", "give clip=None"),
        (layer.norm_limit is not None, "norm_limit clips what training does to it", "give norm_limit=None"),
        (layer.readout_size is None, "it has no readout to be trained", "give a readout_size"),
        (biased, "it has a bias", "give bias=False, and the bias as a further input that is always 1"),
        (bool(np.any(model.weights.get("initial_h", 0))), "its state does not start at 0", "leave initial_h out"),
        (
            layer.parametrisation == "mean_field",
            "in the mean-field parametrisation it leaves the kernel regime at any width",
            "take parametrisation='ntk'",
        ),
    )


def _measured(layer: RNN, A: Square, B: Entering, C: Readout) -> Gaussian:
    """Variances by the mean squares of the weights as they act, learning rates by the parametrisation."""
    rates = {
        "standard": ("framework", (1, 1, 1)),
        "ntk": ("entries", (1, 1, 1)),
        "ntk_unit": ("entries", (layer.variance, layer.input_variance, layer.readout_variance)),
    }
    n, plain = len(A), layer.parametrisation == "standard"
    nu_W, nu_F, nu_C = (float(np.square(matrix).mean()) for matrix in (A, B, C))
    return Gaussian(n * nu_W, n * nu_F if plain else nu_F, n * nu_C, *rates[layer.parametrisation])


def _lag_weights(start: Gaussian, lags: int) -> Float[np.ndarray, " lag"]:
    refuse_silent(start)
    rho = lag_weights(start, lags)
    if not rho.all():
        lag = int(np.argmin(rho > 0))
        raise ValueError(
            f"a convolution of {lags} lags was asked for, but at nu_W = {float(start.nu):.6g} the weight of lag {lag} "
            f"is 0 in float64, and its tap would be infinite; ask for at most {lag} lags"
        )
    return rho


def _held(A: Square, B: Entering, lags: int) -> Float[np.ndarray, "lag unit input"]:
    """A^j B, what the units hold of an input j steps back."""
    found = [B]
    for _ in range(lags - 1):
        found.append(A @ found[-1])
    return np.stack(found)


def _certificate(
    start: Gaussian,
    rho: Float[np.ndarray, " lag"],
    held: Float[np.ndarray, "lag unit input"],
    response: Float[np.ndarray, "lag output input"],
    tail: float,
) -> ConvolutionCertificate:
    width = held.shape[1]
    coupling = _coupling(held)
    coupled = (
        f"lags are coupled ({coupling:.2g}, where independent entries give about {width**-0.5:.2g}): they are not "
        "learned apart, as rho assumes"
    )
    told = cautions(start, len(rho) - 1, width) + ((coupled,) if coupling > INDEPENDENT * width**-0.5 else ())
    kept = float(np.square(response).sum())
    lost = tail / (kept + tail) if 0 < tail < math.inf else float(tail > 0)
    return ConvolutionCertificate(start, rho, tail, lost, coupling, trust_horizon(width), told)


def _coupling(held: Float[np.ndarray, "lag unit input"]) -> float:
    rows = held.reshape(len(held), -1)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, sizes, out=np.zeros_like(rows), where=sizes > 0)
    pairs = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return float(np.sqrt(np.mean(np.square(pairs)))) if len(pairs) else 0.0
