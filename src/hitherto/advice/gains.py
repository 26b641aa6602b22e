"""What longer contexts add to a prediction, held out in time, and the context that is worth having.

Contexts of every length are fitted at once. With columns ordered by their oldest lag, a context is a leading block of
them, the Cholesky factor R^T R of the Gram matrix of all holds the factors of every leading block, and the columns of
X R^-1 are the same for all contexts that have them: the prediction of a longer one adds terms to that of a shorter one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

FOLDS = 10
SHUFFLES, FEWEST_SHUFFLES, SHUFFLED = 39, 19, 1_000_000  # runs, and numbers of all of them that are aimed at
STUDENT = 2.262  # 97.5% of Student's t with nine degrees of freedom
SHARE = 0.95  # of what can be gained at all
LEAST_GAIN = 0.01  # of R^2 or of entropy: less is no demand, however significant
MUCH = 1.25  # what the shortest context that is worth having leaves, in what the best leaves, to speak of
RIDGE = 1e-6  # of the mean square of the columns

Rows = Float[np.ndarray, "row column"]
Runs = Float[np.ndarray, "row run answer"]
Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]  # answers and their errors, (row, run x answer), to (run)


@dataclass(frozen=True)
class Interval:
    """A whole number with the ends of its interval."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Gain:
    """What a prediction gains on held-out blocks by context: R^2 of numbers, share of the entropy of symbols.

    Attributes:
        name: `linear`, `squares`, `products of n` or `contexts`.
        value, standard_error: for the lags 0..0, 0..1, ..., over blocks.
        chance: 95% of the shuffled runs gain no more at any context.
        shuffles: how many those are.
    """

    name: str
    value: Float[np.ndarray, " lag"]
    standard_error: Float[np.ndarray, " lag"]
    chance: float
    shuffles: int

    @property
    def last(self) -> int:
        """The oldest lag that was looked at."""
        return len(self.value) - 1

    @property
    def least(self) -> float:
        """What the best context leaves."""
        return 1 - float(self.value.max())

    def wanted(self, lag: Interval) -> int:
        """The lag, or its high end where the newest input has 95% of the gain and others leave much less."""
        return lag.value or (lag.high if self.improves(lag) else 0)

    def improves(self, lag: Interval) -> bool:
        """Whether contexts beyond 95% of the gain leave much less all the same."""
        shortest = 1 - float(self.value[lag.value])
        return lag.high > lag.value and shortest > max(MUCH * self.least, self.least + LEAST_GAIN)


@dataclass(frozen=True, eq=False)
class Fit:
    """A gain, and what is left of the variance or entropy by block and context.

    Attributes:
        trace: share of a gain that longer contexts add where nothing is to be gained, which is no demand.
    """

    gain: Gain
    left: Float[np.ndarray, "block lag"]
    trace: float = 0.0

    @property
    def best(self) -> int:
        """Context of the largest gain."""
        return int(np.argmax(self.gain.value))

    @property
    def top(self) -> float:
        """The largest gain."""
        return float(self.gain.value.max())

    @property
    def found(self) -> bool:
        """Whether there is more than chance gives, and enough to speak of."""
        return self.top > max(LEAST_GAIN, self.gain.chance)


def fit_of(name: str, left: Float[np.ndarray, "block lag run"], trace: float = 0.0) -> Fit:
    """From what the data, the first run, and the shuffled ones leave."""
    gains = 1 - left.mean(0)
    error = left[:, :, 0].std(0, ddof=1) / math.sqrt(FOLDS)
    return Fit(Gain(name, gains[:, 0], error, chance_of(gains[:, 1:].max(0)), gains.shape[1] - 1), left[:, :, 0], trace)


def chance_of(shuffled: Float[np.ndarray, " run"]) -> float:
    """What one run more exceeds with a chance of 5%, if all are alike: of 19 the largest, of 39 the second."""
    return float(np.quantile(shuffled, 0.95, method="weibull"))


def ago(x: np.ndarray, lag: int, reach: int) -> np.ndarray:
    """(sequence, time, ...) `lag` steps before each step from `reach` on, as rows."""
    found = x[:, reach - lag : x.shape[1] - lag]
    return found.reshape(-1, *x.shape[2:])


def lagged(x: Float[np.ndarray, "sequence time channel"], reach: int) -> Rows:
    """Inputs of the lags 0..reach, channel by channel within a lag."""
    return np.concatenate([ago(x, lag, reach) for lag in range(reach + 1)], 1)


def places(rows: int, width: int, gap: int, rng: np.random.Generator) -> Int[np.ndarray, "run row"]:
    """The order in time, then orders in which blocks of time have changed places and none stays where it was.

    Args:
        width: numbers a row; many of them make the runs fewer.
        gap: lags, four times as many of which are a block.
    """
    blocks = np.array_split(np.arange(rows), max(FOLDS, min(40, rows // (4 * (gap + 1)))))
    orders = [np.arange(rows)]
    for _ in range(SHUFFLES if rows * width * SHUFFLES <= SHUFFLED else FEWEST_SHUFFLES):
        cycle = rng.permutation(len(blocks))
        follower = dict(zip(cycle, np.roll(cycle, 1), strict=True))
        orders.append(np.concatenate([blocks[follower[place]] for place in range(len(blocks))]))
    return np.stack(orders)


def shuffled(answers: Rows, gap: int, rng: np.random.Generator) -> Runs:
    """The answers, then those of other blocks of time in their place."""
    return np.stack([answers[order] for order in places(*answers.shape, gap, rng)], 1)


def least_squares(name: str, features: Rows, ends: tuple[int, ...], runs: Runs, gap: int, loss: Loss) -> Fit:
    """Gains of sums of features, of which a context has the first `ends`, of the data and of the shuffled runs."""
    features = features - features.mean(0)
    flat = runs.reshape(len(runs), -1)
    whole = features.T @ features, features.T @ flat
    blocks = np.array_split(np.arange(len(flat)), FOLDS)
    left = np.stack([_losses(features, flat, whole, ends, block, gap, loss) for block in blocks])
    return fit_of(name, left)


def _losses(
    features: Rows,
    answers: Float[np.ndarray, "row flat"],
    whole: tuple[np.ndarray, np.ndarray],
    ends: tuple[int, ...],
    block: Int[np.ndarray, " tested"],
    gap: int,
    loss: Loss,
) -> Float[np.ndarray, "lag run"]:
    """Losses on a block, by context, of fits to all that is not within `gap` rows of it."""
    near = slice(max(0, block[0] - gap), block[-1] + gap + 1)
    gram, moment = whole[0] - features[near].T @ features[near], whole[1] - features[near].T @ answers[near]
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    factor = np.linalg.cholesky(gram)
    weights = solve_triangular(factor, moment, lower=True)
    tested = solve_triangular(factor, features[block].T, lower=True)
    rest, found, start = answers[block].copy(), [], 0
    for end in ends:
        rest -= tested[start:end].T @ weights[start:end]
        found.append(loss(answers[block], rest))
        start = end
    return np.array(found)


def chosen(linear: Fit, others: list[Fit]) -> Fit | None:
    """The kind that the lag is read from: another one only if it is clearly better than the linear one."""
    best = max((fit for fit in others if fit.found), key=lambda fit: fit.top, default=None)
    if best is not None and best.top > linear.top + LEAST_GAIN and _better(best, linear):
        return best
    return linear if linear.found else None


def lag_of(fit: Fit, linear: Fit | None) -> Interval:
    """The context that is worth having; no shorter at its high end than what the linear part may want."""
    lag = _interval(fit)
    if linear is None or not linear.found:
        return lag
    return Interval(lag.value, lag.low, max(lag.high, _interval(linear).high))


def _better(fit: Fit, other: Fit) -> bool:
    """Whether a fit leaves less, block by block."""
    return bool(_surely_positive(other.left[:, [other.best]] - fit.left[:, [fit.best]])[0])


def _interval(fit: Fit) -> Interval:
    gains, most = 1 - fit.left, 1 - fit.left[:, [fit.best]]
    value = int(np.argmax(fit.gain.value >= SHARE * fit.top))
    low = int(np.argmax(~_surely_positive(SHARE * most - gains)))
    high = int(np.argmax(~_surely_positive((1 - fit.trace) * most - gains)))
    return Interval(value, min(low, value), max(high, value))


def _surely_positive(differences: Float[np.ndarray, "block case"]) -> Bool[np.ndarray, " case"]:
    mean, error = differences.mean(0), differences.std(0, ddof=1) / math.sqrt(FOLDS)
    return mean > STUDENT * error + np.finfo(float).eps
