"""The lag kernel of any diagonal state-space layer, by quadrature over the distribution its modes start from.

One mode responds with kappa_j = Re(c g lam^j b), with c and b independent, circular complex (real for real modes), of
variances nu_C and nu_F. Modes start independently, so that the kernel of infinitely many is the mean over one of the
products of its derivatives: no width and no sampling. Our derivation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Inexact

from hitherto.theory.linear_bias import Number, exact, refuse_overflow, refuse_sizes
from hitherto.theory.linear_bias_kernels import lag_kernel


@dataclass(frozen=True, eq=False)
class Modes:
    """Quadrature nodes over the start of one mode, c and b trained, and further real parameters if wanted.

    Attributes:
        values: lam at each node; a real array means real c and b as well.
        weights: of the nodes, which sum to 1.
        gains: g at each node.
        motions: d lam / d parameter, a row for each further trained parameter: 1 and i for Re lam and Im lam.
        gain_motions: d g / d parameter, likewise; None where no gain is trained.
        nu_F, nu_C: variances of b and c.
    """

    values: Inexact[np.ndarray, " node"]
    weights: Float[np.ndarray, " node"]
    gains: Inexact[np.ndarray, " node"]
    motions: Inexact[np.ndarray, "parameter node"]
    gain_motions: Inexact[np.ndarray, "parameter node"] | None = None
    nu_F: Number = 1
    nu_C: Number = 1


@lag_kernel.register
@np.errstate(over="ignore", invalid="ignore")
def _(initialisation: Modes, lags: int) -> np.ndarray:
    """a E |g|^2 Re lam^j conj(lam^l) + c h sum E Re z_j conj(z_l), z = d(g lam^j), h = 1/2, or 1 for real modes."""
    refuse_sizes(lags=lags)
    nu_F, nu_C = (float(exact(name, getattr(initialisation, name))) for name in ("nu_F", "nu_C"))
    j = np.arange(lags)
    powers = initialisation.values[:, None] ** j
    slopes = j * initialisation.values[:, None] ** np.maximum(j - 1, 0)
    kernel = (nu_F + nu_C) * _products(initialisation.gains[:, None] * powers, initialisation.weights)
    share = 0.5 if np.iscomplexobj(initialisation.values) else 1.0
    still = np.zeros_like(initialisation.motions)
    gain_motions = still if initialisation.gain_motions is None else initialisation.gain_motions
    for motion, gain_motion in zip(initialisation.motions, gain_motions, strict=True):
        moved = gain_motion[:, None] * powers + (initialisation.gains * motion)[:, None] * slopes
        kernel += nu_F * nu_C * share * _products(moved, initialisation.weights)
    return refuse_overflow(kernel)


def uniform_nodes(
    ranges: Sequence[tuple[float | int, float | int]], counts: Sequence[int]
) -> tuple[Float[np.ndarray, "parameter node"], Float[np.ndarray, " node"]]:
    """Nodes and weights of a mean over independent uniform parameters: Gauss-Legendre in each.

    Args:
        ranges: low and high of each parameter.
        counts: nodes in each; n of them are exact for polynomials of degree 2 n - 1, and phases up to lag j need more
            than about 4 j.
    Returns:
        The parameters at all combinations, and weights that sum to 1.
    Raises:
        ValueError: for no node, or another number of counts than of ranges.
    """
    axes, shares = [], []
    for (low, high), count in zip(ranges, counts, strict=True):
        refuse_sizes(counts=count)
        nodes, weights = np.polynomial.legendre.leggauss(count)
        axes.append(low + (high - low) * (nodes + 1) / 2)
        shares.append(weights / 2)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    return grid, np.prod([share.ravel() for share in np.meshgrid(*shares, indexing="ij")], axis=0)


def polar(moduli: Float[np.ndarray, " node"], phases: Float[np.ndarray, " node"]) -> Complex[np.ndarray, " node"]:
    """lam = modulus e^(i phase)."""
    return moduli * np.exp(1j * phases)


def _products(responses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """E Re z_j conj(z_l)."""
    return ((responses.conj() * weights[:, None]).T @ responses).real
