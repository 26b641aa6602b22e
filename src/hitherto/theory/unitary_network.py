"""A recurrent network as numbers, and the set that its inputs come from: what the theory of unitary twins is about.

h[k] = phi(W h[k-1] + F x[k] + b),  y[k] = C h[k],  for k = 0, 1, ..., from h[-1].

Two networks are equivalent if their outputs agree for all inputs of the set; their states may differ.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Inexact, Integer, Shaped

EPS = float(np.finfo(np.float64).eps)
LARGEST = 1e150  # numbers whose squares are still far from the end of float64


@dataclass(frozen=True, eq=False)
class Network:
    """The numbers of a network; which activation it has is said beside it.

    Attributes:
        weight_hh, weight_ih, bias, readout, initial: W (state, state), F (state, input), b (state), C (output, state)
            and h[-1] (state); complex for units of complex states alone.
    Raises:
        ValueError: for no states, shapes that do not fit, or numbers that are not finite.
    """

    weight_hh: Inexact[np.ndarray, "..."]
    weight_ih: Inexact[np.ndarray, "..."]
    bias: Inexact[np.ndarray, "..."]
    readout: Inexact[np.ndarray, "..."]
    initial: Inexact[np.ndarray, "..."]

    def __post_init__(self) -> None:
        size = len(square(self.weight_hh))
        places = {"weight_ih": (0, 2), "bias": (0, 1), "readout": (1, 2), "initial": (0, 1)}
        for name, (axis, axes) in places.items():
            array = getattr(self, name)
            if array.ndim != axes or array.shape[axis] != size:
                raise ValueError(
                    f"a network with weight_hh of the shape {self.weight_hh.shape} was given {name} of the shape "
                    f"{array.shape}; give {size} entries along axis {axis} of {axes}"
                )
            refuse_not_finite(name, array)
        for name in ("weight_hh", *places):
            if (most := float(np.abs(getattr(self, name)).max(initial=0.0))) > LARGEST:
                raise ValueError(f"{name} holds a number of size {most:.3g}, whose square leaves float64; scale units")

    @property
    def states(self) -> int:
        """n, entries of h."""
        return len(self.weight_hh)

    @property
    def inputs(self) -> int:
        """Entries of x."""
        return self.weight_ih.shape[1]

    @cached_property
    def norm(self) -> float:
        """|W|, its largest singular value."""
        return float(np.linalg.norm(self.weight_hh, 2))

    def scaled(self, scale: Float[np.ndarray, " state"]) -> "Network":
        """(D^-1 W D, D^-1 F, D^-1 b, C D, D^-1 h[-1]): for positive D the same map if phi(d z) = d phi(z) for d > 0."""
        left = 1 / scale[:, None]
        return Network(
            scaled_matrix(self.weight_hh, scale),
            left * self.weight_ih,
            self.bias / scale,
            self.readout * scale,
            self.initial / scale,
        )

    def part(self, kept: Integer[np.ndarray, " kept"]) -> "Network":
        """The units of these numbers alone, without what the others send them."""
        return Network(
            self.weight_hh[np.ix_(kept, kept)],
            self.weight_ih[kept],
            self.bias[kept],
            self.readout[:, kept],
            self.initial[kept],
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """All x with low <= x <= high entry by entry and |x| <= radius; `ball` and `box` make the usual ones.

    Raises:
        ValueError: for bounds that are not finite or leave nothing.
    """

    low: Float[np.ndarray, " input"]
    high: Float[np.ndarray, " input"]
    radius: float | int

    def __post_init__(self) -> None:
        finite = max(*np.abs(self.low), *np.abs(self.high), abs(self.radius)) <= LARGEST
        if not finite or self.low.shape != self.high.shape or (self.low > self.high).any() or self.radius < 0:
            raise ValueError(
                f"a bound on the inputs was asked for with low {self.low}, high {self.high} and radius {self.radius}; "
                f"give numbers up to {LARGEST:g} with low <= high and a radius of at least 0, or do without: where "
                "I - W^T W has a nonnegative factor no bound is needed, and data= takes a data set in its place"
            )

    def range(
        self, weight: Float[np.ndarray, "row input"]
    ) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
        """Least and greatest weight x, row by row: attained for a ball or a box, bounds where both count."""
        middle, half = weight @ (self.low + self.high) / 2, np.abs(weight) @ (self.high - self.low) / 2
        most = self.radius * np.linalg.norm(weight, axis=1)
        return np.maximum(middle - half, -most), np.minimum(middle + half, most)


def ball(size: int, radius: float | int) -> Inputs:
    """|x| <= radius.

    Args:
        size: entries of x.
        radius: M; 0 for none but x = 0.
    Raises:
        ValueError: for a negative or infinite radius.
    """
    side = np.full(size, float(radius))
    return Inputs(-side, side, radius)


def box(low: Float[np.ndarray, " input"], high: Float[np.ndarray, " input"]) -> Inputs:
    """low <= x <= high, whose radius is that of its farthest corner.

    Raises:
        ValueError: as for `Inputs`.
    """
    with np.errstate(over="ignore"):  # what is too large is refused in words
        radius = float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high))))
    return Inputs(low, high, radius)


def scaled_matrix(
    weight_hh: Inexact[np.ndarray, "state state"], scale: Float[np.ndarray, " state"]
) -> Inexact[np.ndarray, "state state"]:
    """D^-1 W D."""
    return weight_hh * scale / scale[:, None]


def square(weight_hh: Shaped[np.ndarray, "..."]) -> Inexact[np.ndarray, "state state"]:
    """W in double precision.

    Raises:
        ValueError: if it is not a square matrix of finite numbers with at least one row.
    """
    if weight_hh.ndim != 2 or weight_hh.shape[0] != weight_hh.shape[1] or not len(weight_hh):
        raise ValueError(
            f"weight_hh must be a square matrix with at least one row, got the shape {weight_hh.shape}; give "
            "(states, states)"
        )
    refuse_not_finite("weight_hh", weight_hh)
    return weight_hh.astype(np.complex128 if np.iscomplexobj(weight_hh) else np.float64)


def refuse_not_finite(name: str, array: Shaped[np.ndarray, "..."]) -> None:
    """Refuse NaN and inf.

    Raises:
        ValueError: with the first place.
    """
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(f"{name} holds {array[place]} at {place}; give finite numbers")


def refuse_complex(**arrays: Shaped[np.ndarray, "..."]) -> None:
    """Refuse complex numbers where the activation is one of real numbers.

    Raises:
        ValueError: naming the first.
    """
    for name, array in arrays.items():
        if np.iscomplexobj(array):
            raise ValueError(
                f"{name} of the shape {array.shape} is complex, and the activation takes real numbers; give real "
                "weights, or take modReLU with `modulus_bound`"
            )
