"""Inputs made into targets for capacities: whitened, freed of their own past, or as orthonormal polynomials."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from hitherto.measures._statistics import FEWEST_SEQUENCES

MOST_DIRECTIONS, PROJECTED_DIRECTIONS = {False: 64, True: 256}, {False: 32, True: 256}  # by whether inputs are white
LONGEST_PREDICTOR, MOST_REGRESSORS = 20, 256
RIDGE = 1e-10  # inputs that repeat themselves without error must not break the fit
NO_ACCIDENT = 6.0  # standard errors

Inputs = Float[np.ndarray, "sequence time input"]


def whitened(x: Inputs, white: bool = False) -> Float[np.ndarray, "sequence time direction"]:
    """Centred, uncorrelated channels of variance 1.

    Only directions whose variance is above rounding are kept, largest first; of more than 64 the 32 with the largest
    variance, of white inputs the first 256. One-hot vectors lose the direction in which they are constant.

    Raises:
        ValueError: if no direction is left.
    """
    x = x - x.mean((0, 1))
    flat = x.reshape(-1, x.shape[-1])
    axes = _whitening(flat.T @ flat / len(flat))
    few = axes.shape[1] <= MOST_DIRECTIONS[white]
    return x @ (axes if few else axes[:, : PROJECTED_DIRECTIONS[white]])


@dataclass(frozen=True, eq=False)
class Predictor:
    """Autoregression of whitened inputs, x[t] = sum_k x[t-k] A_k + rest, and how to whiten the rest.

    Attributes:
        coefficients: A_1, A_2, ...; none if the inputs are taken as they are.
        whitening: makes the rest uncorrelated, with variance 1; directions without rest are left out.
        coefficients_without: A fitted without each sequence.
        correlations_without: of the rest, whitened as on all sequences, without each sequence.
    """

    coefficients: Float[np.ndarray, "order input input"]
    whitening: Float[np.ndarray, "input direction"]
    coefficients_without: Float[np.ndarray, "sequence order input input"]
    correlations_without: Float[np.ndarray, "sequence direction direction"]

    @property
    def order(self) -> int:
        return len(self.coefficients)

    def innovations(self, x: Inputs) -> Float[np.ndarray, "sequence later direction"]:
        """What the predictor does not know of x[t], whitened; the first `order` steps are lost."""
        rest = x[:, self.order :].copy()
        for k, coefficient in enumerate(self.coefficients, 1):
            rest -= x[:, self.order - k : x.shape[1] - k] @ coefficient
        return (rest - rest.mean((0, 1))) @ self.whitening


def predictor_of(x: Inputs, white: bool = False) -> Predictor:
    """Fit an autoregression to whitened inputs, of an order chosen by AIC; of order 0 if they are white.

    Orders up to 20, and up to 256 regressors, are tried.

    Raises:
        ValueError: if they are predictable without error.

    Cost: 3 samples x (order x channels)^2 products.
    """
    sequences, steps, channels = x.shape
    known = min(LONGEST_PREDICTOR, MOST_REGRESSORS // channels, steps // 4, sequences * steps // (20 * channels))
    longest = 0 if white else max(1, known)
    order = _order(sum(_gram(s, longest) for s in x), channels, sequences * (steps - longest))
    whole = sum(_gram(s, order) for s in x)
    coefficients, rest = _fitted(whole, channels)
    whitening = _whitening(rest / (sequences * (steps - order)), floor=1e-8)
    without = [_fitted(whole - _gram(s, order), channels) for s in x] if sequences > 1 else []
    correlations = [_correlation(whitening.T @ r @ whitening) for _, r in without]
    return Predictor(
        coefficients,
        whitening,
        np.array([c for c, _ in without]).reshape(len(without), *coefficients.shape),
        np.array(correlations).reshape(len(without), *[whitening.shape[1]] * 2),
    )


def legendre(x: Float[np.ndarray, "*axes"], degree: int) -> Float[np.ndarray, "*axes"]:
    """Legendre polynomial scaled to mean square 1 for x uniform on [-1, 1]."""
    return np.sqrt(2 * degree + 1) * special.eval_legendre(degree, x)


def refuse_coloured(x: Inputs) -> None:
    """Refuse whitened inputs that depend on the step before.

    A t test over the sequences, which stands the heavy tails of rare tokens; no test below 8 sequences.
    """
    sequences, _, channels = x.shape
    if sequences < FEWEST_SEQUENCES:
        return
    products = (x[:, 1:] * x[:, :-1]).mean(1)
    value, variance = products.mean(0), products.var(0, ddof=1)
    limit = stats.t.isf(1e-7 / channels, sequences - 1)
    if (value**2 > limit**2 * variance / sequences).any():
        raise ValueError(
            "white=True needs inputs that are independent over time; neighbouring steps correlate by "
            f"{value[np.argmax(np.abs(value))]:.3f}. Pass white=False, or drive the model with white noise"
        )


def refuse_another_law(x: Inputs) -> None:
    """Refuse inputs that are not independent over time and channels and uniform on [-1, 1].

    Means of orthonormal polynomials, of neighbouring steps and of pairs of channels must vanish within six
    standard errors.
    """
    polynomials = np.concatenate([legendre(x, degree) for degree in range(1, 5)], -1)
    first = polynomials[:, :, : x.shape[-1]]
    samples = x.shape[0] * x.shape[1]
    pairs = np.einsum("stc,std->cd", first, first, optimize=True) / samples
    means = [
        polynomials.mean((0, 1)),
        (first[:, 1:] * first[:, :-1]).mean((0, 1)),
        pairs[np.triu_indices(len(pairs), 1)],
    ]
    off = np.abs(np.concatenate(means)).max() * np.sqrt(samples)
    if np.abs(x).max() > 1 + 1e-6 or off > NO_ACCIDENT:
        raise ValueError(
            "processing capacity needs white noise, uniform between `low` and `high`; these inputs, with `low` and "
            f"`high` mapped to -1 and 1, reach from {x.min():.4g} to {x.max():.4g} and have a moment {off:.0f} "
            "standard errors off. Drive the model with such noise, or use linear_memory"
        )


def _gram(x: Float[np.ndarray, "time input"], order: int) -> Float[np.ndarray, "row row"]:
    """Products of (x[t-1], ..., x[t-order], x[t]), summed over time."""
    rows = np.concatenate([x[order - k : len(x) - k] for k in [*range(1, order + 1), 0]], 1)
    return rows.T @ rows


def _order(gram: Float[np.ndarray, "row row"], channels: int, samples: int) -> int:
    # The leading blocks of one Cholesky factor are the factors of all shorter autoregressions.
    past = len(gram) - channels
    longest = past // channels
    factor = np.linalg.cholesky(gram + RIDGE * samples * np.eye(len(gram)))
    shares = factor[past:, :past].reshape(channels, longest, channels).swapaxes(0, 1)
    explained = np.cumsum(shares @ shares.swapaxes(1, 2), 0)
    rest = gram[past:, past:] - np.concatenate([np.zeros((1, channels, channels)), explained])
    spread = np.linalg.slogdet(rest / samples + 10 * RIDGE * np.eye(channels))[1]
    return int(np.argmin(samples * spread + 2 * channels**2 * np.arange(longest + 1)))


def _fitted(
    gram: Float[np.ndarray, "row row"], channels: int
) -> tuple[Float[np.ndarray, "order input input"], Float[np.ndarray, "input input"]]:
    """Coefficients of an autoregression and the Gram matrix of what it leaves."""
    past = len(gram) - channels
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(past)
    coefficients = np.linalg.solve(gram[:past, :past] + ridge, gram[:past, past:])
    rest = gram[past:, past:] - gram[past:, :past] @ coefficients
    return coefficients.reshape(-1, channels, channels), (rest + rest.T) / 2


def _correlation(covariance: Float[np.ndarray, "row row"]) -> Float[np.ndarray, "row row"]:
    deviations = np.sqrt(np.maximum(np.diag(covariance), RIDGE))
    return covariance / deviations / deviations[:, None]


def _whitening(
    covariance: Float[np.ndarray, "input input"], floor: float = 0.0
) -> Float[np.ndarray, "input direction"]:
    variances, axes = np.linalg.eigh(covariance)
    kept = np.flatnonzero(variances > max(floor, 1e-13 * variances[-1]))
    if variances[-1] <= 0 or len(kept) == 0:
        raise ValueError(
            "linear memory needs inputs with something to remember; these are "
            + ("predictable from their own past without error" if floor else "constant")
            + ". Drive the model with white noise instead"
        )
    return (axes[:, kept] / np.sqrt(variances[kept]))[:, ::-1]
