"""The mean-field theory of trained recurrent and feedforward networks: the problem, as data.

A network of N units reads inputs x in R^D for patterns a = 0..P-1 at times t = 0..T-1,

    h[0] = V x[0],  h[t] = W phi(h[t-1]) + V x[t] + b,  f[t] = (1/N) sum over units i of a_i phi(h_i[t]),

with prior variances g^2/N of W, g_v^2/D of V, s_a^2 of a and s_b^2 of b. Training is stationary Langevin dynamics: a
trained network is a draw from the posterior

    prior * exp(-(N / 2 kappa) * sum over labelled entries m of |y_m - f_m|^2).

Recurrent network: one W for all times. Feedforward network: one W a time. As N grows, all that matters are kernels
C = (1/N) sum_i phi(h_i) phi(h_i)^T over entries m = t P + a (time-major, M = T P of them); the two differ by a mask:

    Sigma(C) = g^2 S(mask * C) + g_v^2 mask_V * X + s_b^2 mask,  S the shift by one step, X = x x^T / D.

Paper: Bauer, Fischer, Helias, Palmigiano (2026), arXiv 2602.15593, of which the abstract and reading notes were read,
not the equations. Every formula here is our derivation, confirmed against sampled networks.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from jaxtyping import Bool, Float, Int

from hitherto.core.names import known

ACTIVATIONS = ("identity", "erf", "tanh", "relu")
ODD_ACTIVATIONS = ("identity", "erf", "tanh")
LARGEST = 5000  # entries of the kernel that may be solved for at once
BEYOND = 1e100  # squared labels and other numbers from which on products leave floating point

Entries = tuple[int, ...]
Mask = Bool[np.ndarray, "time time"]
Kernels = Float[np.ndarray, "*stack entry entry"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is learned, by which network: patterns, times, labels, prior variances, noise, and what is shared.

    Made by `pulse` (inputs at the first time alone), `sequences` (inputs at every time) or from a kernel.

    Attributes:
        kernel: X = x x^T / D over entries m = t * patterns + pattern, without unit.
        times: T; the network applies W T - 1 times.
        labelled: entries m that have labels, in the order of `labels`.
        labels: y, a column for each output; every output has a readout of its own.
        activation: phi: identity, erf, tanh or relu.
        recurrent_variance, input_variance, readout_variance, bias_variance: g^2, g_v^2, s_a^2, s_b^2.
        noise: kappa; labels are known up to a variance kappa / N.
        shared: one W for all times (recurrent), a W of its own for each (feedforward), or a T x T mask that is true
            where two times use the same W; its row t is the W that makes h[t].
        shared_inputs: one V for all times, or a V of its own for each.
        shared_readout: one readout for all labelled times, or one for each.
        width: N, for questions about finite networks.
    Raises:
        ValueError: for sizes that do not fit, numbers that are not real, not finite, too large or below 0, entries
            labelled twice or not there, and a kernel that no inputs have.
    """

    kernel: Float[np.ndarray, "entry entry"]
    times: int
    labelled: Entries
    labels: Float[np.ndarray, "label output"]
    activation: str = "identity"
    recurrent_variance: float | int = 1.0
    input_variance: float | int = 1.0
    readout_variance: float | int = 1.0
    bias_variance: float | int = 0.0
    noise: float | int = 0.1
    shared: bool | Mask = True
    shared_inputs: bool = True
    shared_readout: bool = True
    width: int | None = None

    def __post_init__(self) -> None:
        known(self.activation, ACTIVATIONS, "activation in the mean-field theory")
        _refuse_numbers(self)
        _refuse_sizes(self)
        _refuse_labels(self)
        object.__setattr__(self, "kernel", _positive(self.kernel))
        if not isinstance(self.shared, bool):
            refuse_form("shared", self.shared, 2, "b")
            _refuse_mask(self.shared, self.times)

    @classmethod
    def pulse(
        cls,
        labels: Float[np.ndarray, "pattern time"],
        steps: Entries,
        times: int,
        *,
        inputs: Float[np.ndarray, "pattern feature"] | None = None,
        **settings: object,
    ) -> "Problem":
        """Inputs at the first time alone, labels at the times `steps`.

        Args:
            labels: y, a row for each pattern, a column for each time of `steps`.
            steps: labelled times, counted from 0; `(times - 1,)` is a label at the end.
            times: T.
            inputs: x; without it, orthogonal patterns with x . x / D = 1.
            settings: the other attributes.
        """
        refuse_form("labels", labels, 2)
        _refuse_count("times", "steps", times)
        refuse_steps(steps, times)
        patterns = len(labels)
        first = np.eye(patterns) if inputs is None else _inputs(inputs, 2)
        _same("patterns of the labels", patterns, "rows of the inputs", len(first))
        _same("columns of the labels", labels.shape[1], "labelled steps", len(steps))
        kernel = np.zeros((times * patterns, times * patterns))
        kernel[:patterns, :patterns] = np.eye(patterns) if inputs is None else first @ first.T / first.shape[1]
        entries = tuple(step * patterns + pattern for step in steps for pattern in range(patterns))
        return cls(kernel, times, entries, labels.T.reshape(-1, 1), **settings)

    @classmethod
    def sequences(
        cls,
        inputs: Float[np.ndarray, "pattern time feature"],
        labels: Float[np.ndarray, "pattern time"],
        **settings: object,
    ) -> "Problem":
        """Inputs at every time; labels that are NaN are not given.

        Args:
            inputs: x.
            labels: y at every time, NaN where there is none.
            settings: the other attributes.
        """
        inputs = _inputs(inputs, 3)
        refuse_form("labels", labels, 2)
        patterns, times, features = inputs.shape
        _same("patterns and times of the labels", labels.shape, "those of the inputs", (patterns, times))
        flat = inputs.transpose(1, 0, 2).reshape(times * patterns, features)
        by_time = labels.T.ravel()
        entries = np.flatnonzero(~np.isnan(by_time))
        return cls(flat @ flat.T / features, times, tuple(map(int, entries)), by_time[entries, None], **settings)

    @property
    def patterns(self) -> int:
        """P."""
        return len(self.kernel) // self.times

    @property
    def size(self) -> int:
        """M = T P."""
        return len(self.kernel)

    @cached_property
    def index(self) -> Int[np.ndarray, " label"]:
        """Labelled entries as an array."""
        return np.array(self.labelled)

    @cached_property
    def time_of(self) -> Int[np.ndarray, " entry"]:
        """The time of each entry."""
        return np.arange(self.size) // self.patterns

    @cached_property
    def times_sharing(self) -> Mask:
        """Which times use the same W."""
        if isinstance(self.shared, bool):
            return np.full((self.times, self.times), self.shared) | np.eye(self.times, dtype=bool)
        return self.shared

    @cached_property
    def mask(self) -> Float[np.ndarray, "entry entry"]:
        """1 where W phi(h) at the two entries' next times is made by the same W, else 0; the last time has no next."""
        following = np.eye(self.times, dtype=bool)
        following[:-1, :-1] = self.times_sharing[1:, 1:]
        return np.kron(following, np.ones((self.patterns, self.patterns)))

    @cached_property
    def drive(self) -> Float[np.ndarray, "entry entry"]:
        """What reaches h beside W: g_v^2 mask_V * X + s_b^2 mask of h."""
        same = np.eye(self.times, dtype=bool)
        of_inputs = np.ones_like(same) if self.shared_inputs else same
        block = np.ones((self.patterns, self.patterns))
        by_input = self.input_variance * np.kron(of_inputs, block) * self.kernel
        return by_input + self.bias_variance * np.kron(self.times_sharing, block)

    @cached_property
    def readouts(self) -> Float[np.ndarray, "entry entry"]:
        """1 where two entries are read by the same readout."""
        same = np.eye(self.times, dtype=bool) | self.shared_readout
        return np.kron(same, np.ones((self.patterns, self.patterns)))

    @property
    def is_pulse(self) -> bool:
        """Inputs at the first time alone, and no bias."""
        return self.bias_variance == 0 and not self.kernel[self.patterns :].any()

    @property
    def is_odd(self) -> bool:
        """phi(-h) = -phi(h)."""
        return self.activation in ODD_ACTIVATIONS

    @property
    def groups(self) -> dict[str, float]:
        """The numbers without units that a linear network with a pulse and a label at the end depends on.

        `signal` |y|^2 / (s_a^2 c0), `noise` kappa / (s_a^2 c0) and `times`, c0 = g_v^2 g^(2 (T - 1)); signal and noise
        are infinite or NaN where a variance is 0, and nothing can be learned at the end.
        """
        scale = self.readout_variance * self.input_variance * self.recurrent_variance ** (self.times - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            signal, noise = np.array([np.sum(self.labels**2), self.noise]) / scale
        return {"signal": float(signal), "noise": float(noise), "times": float(self.times)}

    def with_(self, **changes: object) -> "Problem":
        """The same problem but for `changes`."""
        return replace(self, **changes)


def shift(kernel: Kernels, patterns: int) -> Kernels:
    """S: every block moves a step later in both times; 0 comes in at the first."""
    moved = np.zeros_like(kernel)
    moved[..., patterns:, patterns:] = kernel[..., :-patterns, :-patterns]
    return moved


def shift_back(kernel: Kernels, patterns: int) -> Kernels:
    """The adjoint of S: every block moves a step earlier; 0 comes in at the last."""
    moved = np.zeros_like(kernel)
    moved[..., :-patterns, :-patterns] = kernel[..., patterns:, patterns:]
    return moved


def preactivation_covariance(
    problem: Problem, kernel: Float[np.ndarray, "entry entry"]
) -> Float[np.ndarray, "entry entry"]:
    """Sigma(C) = g^2 S(mask * C) + g_v^2 mask_V * X + s_b^2 mask: the covariance of h, over the prior of weights."""
    return problem.recurrent_variance * shift(problem.mask * kernel, problem.patterns) + problem.drive


def refuse_form(name: str, value: object, axes: int, kinds: str = "fiu") -> None:
    """Raises ValueError for what is no array of so many axes and of these kinds of numbers, in NumPy's letters."""
    if isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.ndim == axes:
        return
    found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    kind = "truth values" if kinds == "b" else "real numbers"
    raise ValueError(f"{name} takes a NumPy array of {kind} with {axes} axes, got {found}; convert it with numpy.array")


def refuse_steps(steps: Entries, times: int) -> None:
    """Raises ValueError for labelled steps that are not there."""
    outside = [step for step in steps if not 0 <= step < times]
    if outside:
        raise ValueError(f"the problem labels the steps {outside}; there are 0 to {times - 1}")


def refuse_kernel(problem: Problem, kernel: np.ndarray) -> None:
    """Raises ValueError for what is no kernel over the entries of the problem."""
    refuse_form("kernel", kernel, 2)
    _same("shape of the kernel", kernel.shape, "entries of the problem by entries", problem.kernel.shape)
    if not np.isfinite(kernel).all():
        raise ValueError("kernel holds numbers that are not finite; give the kernel of a network")


def _refuse_numbers(problem: Problem) -> None:
    for name in ("recurrent_variance", "input_variance", "readout_variance", "bias_variance", "noise"):
        value = getattr(problem, name)
        if not (isinstance(value, Real) and 0 <= float(value) < BEYOND):
            raise ValueError(f"{name} is a variance, got {value}; give a finite number of 0 or more, below {BEYOND:g}")
    refuse_form("kernel", problem.kernel, 2)
    refuse_form("labels", problem.labels, 2)
    _refuse_beyond("kernel holds", problem.kernel, BEYOND)
    _refuse_beyond("labels holds", problem.labels, np.sqrt(BEYOND))


def _refuse_beyond(what: str, value: np.ndarray, limit: float) -> None:
    if not np.all(np.abs(np.asarray(value, float)) < limit):
        raise ValueError(
            f"{what} numbers that are not finite, or not below {limit:g}; leave those entries out, or take other units"
        )


def _refuse_sizes(problem: Problem) -> None:
    size = len(problem.kernel)
    _same("shape of the kernel", problem.kernel.shape, "entries by entries", (size, size))
    if problem.times < 1 or size == 0 or size % problem.times:
        raise ValueError(
            f"kernel has {size} entries for {problem.times} times; give times * patterns entries, time-major"
        )
    _refuse_count("times", "steps", problem.times)
    if problem.width is not None:
        _refuse_count("width", "units", problem.width)


def _refuse_count(name: str, counted: str, value: object) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} counts {counted}, got {value!r}; give 1 or more, a whole number")


def _refuse_labels(problem: Problem) -> None:
    entries, size = problem.labelled, len(problem.kernel)
    if not problem.labels.shape[1]:
        raise ValueError("labels have no column, so that there is no output; give a column for each output")
    if not all(isinstance(entry, Integral) for entry in entries):
        raise ValueError(f"labelled counts entries, got {entries}; give whole numbers")
    if not len(entries):
        raise ValueError("labelled is empty, so there is nothing to learn; name at least one entry")
    if len(set(entries)) < len(entries):
        raise ValueError(f"labelled names an entry twice: {_repeated(entries)}; name each once")
    if min(entries) < 0 or max(entries) >= size:
        raise ValueError(f"labelled names entries {min(entries)} to {max(entries)}; there are 0 to {size - 1}")
    _same("labels", len(problem.labels), "labelled entries", len(entries))


def _refuse_mask(mask: Mask, times: int) -> None:
    _same("shape of the mask `shared`", mask.shape, "times by times", (times, times))
    groups = mask.astype(int)
    if not (mask.diagonal().all() and np.array_equal(mask, mask.T) and np.array_equal((groups @ groups) > 0, mask)):
        raise ValueError("shared is not a division of the times into groups; make it true within each group alone")


def _positive(kernel: Float[np.ndarray, "entry entry"]) -> Float[np.ndarray, "entry entry"]:
    """The kernel, without what rounding put below 0."""
    size = np.abs(kernel).max()
    if not np.allclose(kernel, kernel.T, rtol=1e-10, atol=1e-12 * (1 + size)):
        raise ValueError("kernel is not symmetric, so it is not x x^T / D of any inputs; give that product")
    symmetric, rounding = (kernel + kernel.T) / 2, 1e-14 * len(kernel)
    try:  # much quicker than eigenvalues
        np.linalg.cholesky(symmetric + max(rounding * size, 1e-300) * np.eye(len(kernel)))
    except np.linalg.LinAlgError:
        return _clipped(symmetric, rounding)
    return symmetric


def _clipped(kernel: Float[np.ndarray, "entry entry"], rounding: float) -> Float[np.ndarray, "entry entry"]:
    values, vectors = np.linalg.eigh(kernel)
    least, largest = values[0], max(values[-1], 0.0)
    if least >= -rounding * largest:
        return kernel
    if least < -1e-8 * largest:
        raise ValueError(
            f"kernel has the eigenvalue {least:.3g}, so it is not x x^T / D of any inputs; give that product"
        )
    warnings.warn(f"kernel has the eigenvalue {least:.1e}; what is below 0 was set to 0", stacklevel=5)
    return (vectors * np.clip(values, 0, None)) @ vectors.T


def _inputs(inputs: np.ndarray, axes: int) -> np.ndarray:
    refuse_form("inputs", inputs, axes)
    _refuse_beyond("inputs hold", inputs, np.sqrt(BEYOND))
    return inputs.astype(float)


def _same(what: str, found: object, other: str, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"{what}: {found}, but {other}: {wanted}; make them the same")


def _repeated(entries: Entries) -> list[int]:
    return sorted({entry for entry in entries if entries.count(entry) > 1})
