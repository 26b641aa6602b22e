"""What training a linear RNN by its squared loss knows of the data: the normal equations of a causal filter.

With lags j = 0, 1, ..., design rows [x[t], x[t-1], ...] and x = 0 before the start: H = Phi^T Phi / M, b = Phi^T Y / M.
Textbook least squares.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from hitherto.theory.linear_bias import refuse_sizes


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """What training knows of the data.

    Attributes:
        hessian: H; row j * inputs + p is input p at lag j.
        moment: b, likewise.
        power: |Y|^2 / M.
        inputs: channels of x.
    """

    hessian: Float[np.ndarray, "weight weight"]
    moment: Float[np.ndarray, "weight output"]
    power: float
    inputs: int

    @property
    def lags(self) -> int:
        return len(self.hessian) // self.inputs


def normal_equations(
    inputs: Real[np.ndarray, "sequence time input"],
    targets: Real[np.ndarray, "sequence time output"],
    lags: int | None = None,
    *,
    last_output: bool = False,
) -> NormalEquations:
    """H, b and |Y|^2 / M of the causal design matrix, which is never built: sequences start from silence.

    Args:
        inputs, targets: x and y.
        lags: how many the network has, up to the length; None for all.
        last_output: only the last target of a sequence counts, M = N; else all do, M = N T.
    Raises:
        ValueError: for more lags than steps, no sequence, targets of other sequences or steps, or numbers that are not
            finite.

    Cost: lags times N T inputs (inputs + outputs), and lags squared times inputs squared.
    """
    sequences, length, channels = inputs.shape
    refuse_sizes(sequences=sequences, length=length, inputs=channels)
    lags = length if lags is None else lags
    refuse_sizes(lags=lags)
    refuse_unlike("sequences", inputs=sequences, targets=len(targets))
    refuse_unlike("steps", inputs=length, targets=targets.shape[1])
    refuse_lags_beyond(length, lags)
    x, y = finite("inputs", inputs), finite("targets", targets)
    ends = x[:, ::-1][:, :lags].reshape(sequences, -1)
    hessian = ends.T @ ends
    if last_output:
        moment = ends.T @ y[:, -1]
        return NormalEquations(
            hessian / sequences, moment / sequences, float(np.square(y[:, -1]).sum() / sequences), channels
        )
    hessian = _summed_along_diagonals(hessian, x, lags)
    moment = np.concatenate([np.einsum("nti,nto->io", x[:, : length - j], y[:, j:]) for j in range(lags)])
    rows = sequences * length
    return NormalEquations(hessian / rows, moment / rows, float(np.square(y).sum() / rows), channels)


def _summed_along_diagonals(ends: np.ndarray, x: np.ndarray, lags: int) -> np.ndarray:
    """H M from the sums of its last lag and H_jl = H_(j+1)(l+1) + what the last steps add: only sums, no difference."""
    channels, length = x.shape[2], x.shape[1]
    last = x[:, : length - lags + 1]
    border = [np.einsum("nti,ntk->ik", x[:, lags - 1 - j : length - j], last) for j in range(lags)]
    hessian = ends.reshape(lags, channels, lags, channels).copy()
    hessian[:, :, -1] = border
    hessian[-1] = hessian[:, :, -1].transpose(2, 0, 1)
    for j in range(lags - 2, -1, -1):
        hessian[j, :, :-1] += hessian[j + 1, :, 1:]
    return hessian.reshape(lags * channels, lags * channels)


def refuse_lags_beyond(length: int, lags: int) -> None:
    """Refuse lags that no sequence is long enough to show.

    Raises:
        ValueError: for more lags than steps.
    """
    if lags > length:
        raise ValueError(f"lags={lags} were asked for of {length} steps; lags beyond {length - 1} never show")


def refuse_unlike(what: str, **counts: int) -> None:
    """Refuse arrays that belong together and differ in size, which would be stretched to each other if one is 1.

    Raises:
        ValueError: naming them.
    """
    if len(set(counts.values())) > 1:
        found = " and ".join(f"{count} in {name}" for name, count in counts.items())
        raise ValueError(f"as many {what} are needed in {' as in '.join(counts)}, got {found}; give as many to both")


def finite(name: str, numbers: Real[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The numbers in float64.

    Raises:
        ValueError: at the first that is NaN or infinite.
    """
    numbers = np.asarray(numbers, float)
    if not np.isfinite(numbers).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise ValueError(f"{name} hold {numbers[place]} at {place}; training needs finite numbers")
    return numbers
