"""What can be asked of a model, and the one form in which it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Quantity:
    """Something that can be asked of a model.

    Attributes:
        name: as in code and in JSON.
        meaning: one sentence, formula included.
        unit: of the value, "" for pure numbers.
        axes: names of the axes of the value, in order; none for a single number.
    """

    name: str
    meaning: str
    unit: str = ""
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Estimate:
    """The answer to a quantity, predicted or measured.

    Attributes:
        quantity: what was asked.
        value: a number (a Python int is exact, however large), or an array with one axis for each of `quantity.axes`.
        standard_error: of the value, in its unit and shape; 0 where the value is exact, None where there is none.
        low, high: ends of the 95% interval, in the value's shape; None where no interval can be given.
        axes: coordinates along each axis, for example {"lag": [0, 1, 2]}.
        part: which part of the model, "" for all of it: "layer 0", "layer 1 backward".
        without: the value without each sequence (or pair of sequences), for jackknifes of what is made of several
            estimates of the same inputs; None where there is none. Not part of `to_dict`.
        cannot_tell: why the data do not decide the value; "" where they do. A value may still stand beside it.
        statistics: numbers about the estimate (sequences, probes, censored, rank, ...), for reports and JSON.
        assumptions: what must hold for the value to mean what the quantity says.
        source: where the estimator comes from.
    """

    quantity: Quantity
    value: int | float | Float[np.ndarray, "..."]
    standard_error: float | Float[np.ndarray, "..."] | None = None
    low: float | Float[np.ndarray, "..."] | None = None
    high: float | Float[np.ndarray, "..."] | None = None
    axes: Mapping[str, np.ndarray] = field(default_factory=dict)
    part: str = ""
    without: Float[np.ndarray, "left_out ..."] | None = None
    cannot_tell: str = ""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.value)
        if tuple(self.axes) != self.quantity.axes or tuple(map(len, self.axes.values())) != shape:
            raise ValueError(
                f"{self.quantity.name} has axes {self.quantity.axes}; got a value of shape {shape} with coordinates "
                f"{ ({k: len(v) for k, v in self.axes.items()}) }"
            )

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain JSON values; infinities and NaN become the strings "inf", "-inf" and "nan"."""
        return {
            "quantity": self.quantity.name,
            "meaning": self.quantity.meaning,
            "unit": self.quantity.unit,
            "part": self.part,
            "value": plain(self.value),
            "standard_error": plain(self.standard_error),
            "low": plain(self.low),
            "high": plain(self.high),
            "axes": {name: plain(c) for name, c in self.axes.items()},
            "cannot_tell": self.cannot_tell,
            "statistics": plain(dict(self.statistics)),
            "assumptions": list(self.assumptions),
            "source": self.source,
        }


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays as lists, non-finite floats as strings."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(float(value))
    return value


# Jacobian by lag: measures/lag_jacobian.py
STATE_JACOBIAN_RMS = Quantity("state_jacobian_rms", "(E |dh[t]/dx[t-k]|_F^2)^(1/2)", "state per input", ("lag",))
STATE_JACOBIAN_TYPICAL = Quantity("state_jacobian_typical", "exp E ln |dh[t]/dx[t-k]|_F", "state per input", ("lag",))
OUTPUT_JACOBIAN_RMS = Quantity("output_jacobian_rms", "(E |dy[t]/dx[t-k]|_F^2)^(1/2)", "output per input", ("lag",))
OUTPUT_JACOBIAN_TYPICAL = Quantity(
    "output_jacobian_typical", "exp E ln |dy[t]/dx[t-k]|_F", "output per input", ("lag",)
)
GRADIENT_HALF_LIFE = Quantity(
    "gradient_half_life", "steps from the peak of state_jacobian_typical until it stays below half of it", "steps"
)
GRADIENT_HORIZON = Quantity(
    "gradient_horizon", "lag from which state_jacobian_typical stays below 1% of its peak", "steps"
)
GRADIENT_GROWTH = Quantity(
    "gradient_growth", "slope of ln state_jacobian_rms over the last half of the lags", "per step"
)

# Conditional Lyapunov spectrum: measures/lyapunov.py
LYAPUNOV_SPECTRUM = Quantity(
    "lyapunov_spectrum", "lim ln sigma_i(ds[t]/ds[0]) / t with the input fixed, largest first", "per step", ("index",)
)
KAPLAN_YORKE_DIMENSION = Quantity(
    "kaplan_yorke_dimension", "j + (l_1 + ... + l_j) / |l_{j+1}|, j the last index with a sum that is not negative"
)
TIME_CONSTANTS = Quantity("time_constants", "-1 / l_i for the Lyapunov exponents l_i", "steps", ("index",))
START_FORGOTTEN = Quantity(
    "start_forgotten", "share of sequences on which two far starts end in the same state under the same input"
)

# Capacities: measures/capacity.py
LINEAR_MEMORY = Quantity(
    "linear_memory", "R^2 of the best affine readout of x[t-k] from the state, summed over channels", "", ("lag",)
)
LINEAR_MEMORY_CAPACITY = Quantity("linear_memory_capacity", "sum of linear_memory over lags; at most the state size")
LINEAR_MEMORY_CAPACITY_NOISY = Quantity(
    "linear_memory_capacity_noisy", "linear_memory_capacity when noise of 1e-6 of the mean state variance is added"
)
PROCESSING_CAPACITY = Quantity(
    "processing_capacity",
    "R^2 summed over products of Legendre polynomials of past inputs, by total degree",
    "",
    ("degree",),
)
PROCESSING_CAPACITY_FOUND = Quantity(
    "processing_capacity_found", "the part of processing_capacity in terms that are significant", "", ("degree",)
)
LINEAR_SHARE = Quantity("linear_share", "degree-1 share of the processing capacity found up to degree 3")

# Effective context: measures/context.py
CONTEXT_REPLACED = Quantity(
    "context_replaced",
    "relative change of the output when all older than the last k inputs is replaced: (E|y-y'|^2 / E|y-y~|^2)^(1/2)",
    "",
    ("lag",),
)
CONTEXT_ZEROED = Quantity(
    "context_zeroed", "the same with zeros for the old inputs: (E|y-y_0|^2 / tr Var y)^(1/2)", "", ("lag",)
)
CONTEXT_SHUFFLED = Quantity(
    "context_shuffled", "the same with the old inputs in shuffled order: (E|y-y_s|^2 / 2 tr Var y)^(1/2)", "", ("lag",)
)
EFFECTIVE_CONTEXT = Quantity(
    "effective_context", "lag from which context_replaced stays at or below 1% of the output's deviation", "steps"
)

# State use: measures/state_use.py
PARTICIPATION_RATIO = Quantity("participation_ratio", "(tr C)^2 / tr C^2 of the state covariance C", "dimensions")
CORRELATION_PARTICIPATION_RATIO = Quantity(
    "correlation_participation_ratio", "the participation ratio of the state correlation matrix", "dimensions"
)
EFFECTIVE_DIMENSION = Quantity("effective_dimension", "exp of the entropy of the eigenvalue shares of C", "dimensions")
COMPONENTS_99 = Quantity("components_99", "principal components that hold 99% of the variance", "components")
STATE_SPECTRUM = Quantity("state_spectrum", "eigenvalues of C as shares of its trace", "", ("component",))
IDLE_UNITS = Quantity("idle_units", "units whose deviation is below 1% of the layer's rms deviation", "units")
STUCK_UNITS = Quantity("stuck_units", "units saturated on one side more than 95% of the time", "units")
SWITCHING_UNITS = Quantity("switching_units", "units saturated more than 95% of the time, on both sides", "units")
DEAD_UNITS = Quantity("dead_units", "ReLU units never above zero", "units")
GATE_TIMES = Quantity(
    "gate_times", "-1 / E ln f, the hold time of each unit's forget or update gate", "steps", ("unit",)
)
GATE_TIME_QUANTILES = Quantity("gate_time_quantiles", "quantiles of gate_times over units", "steps", ("quantile",))

# Spectral facts of the weights: measures/weight_spectrum.py
SPECTRAL_RADIUS = Quantity("spectral_radius", "largest modulus of an eigenvalue of weight_hh")
LARGEST_SINGULAR_VALUE = Quantity("largest_singular_value", "largest singular value of weight_hh")
NUMERICAL_ABSCISSA = Quantity("numerical_abscissa", "largest eigenvalue of (W + W^T) / 2")
HENRICI_DEPARTURE = Quantity(
    "henrici_departure", "(|W|_F^2 - sum |eigenvalue|^2)^(1/2) / |W|_F: 0 for normal, 1 for nilpotent matrices"
)
TRANSIENT_PEAK = Quantity("transient_peak", "max over k of the spectral norm of W^k")
LEAK_SPECTRUM = Quantity(
    "leak_spectrum",
    "1 - s_i^2, share of |h|^2 that weight_hh loses a step along its i-th right singular direction; below 0 it grows",
    "",
    ("direction",),
)
LEAK_HALF_LIVES = Quantity(
    "leak_half_lives",
    "ln 2 / (-ln s_i): time to half the size, were a direction to come back to itself; inf where nothing leaks",
    "steps",
    ("direction",),
)
KREISS_BOUND = Quantity("kreiss_bound", "lower bound on a grid of the Kreiss constant sup (|z|-1) |(zI-W)^-1|, |z| > 1")
CONTRACTION_BOUND = Quantity(
    "contraction_bound", "smallest proven bound on the state map's Lipschitz constant in some norm; below 1 it forgets"
)

# Separation ranks: measures/separation_rank.py
START_END_RANK = Quantity(
    "start_end_rank", "least K with y = sum over k <= K of g_k(inputs before the cut) g'_k(inputs after it)"
)
START_END_RANKS = Quantity("start_end_ranks", "start_end_rank of each output", axes=("output",))

# Spectrum of a cut: measures/cut_spectrum.py. Y[i, j] = y(start i, end j), q = squared singular values over their sum.
CUT_SPECTRUM = Quantity(
    "cut_spectrum", "singular values of Y / sqrt(starts ends), largest first", "output", ("component",)
)
CUT_ENTROPY = Quantity("cut_entropy", "-sum q ln q: 0 where start and end do not interact beyond one product", "nats")
CUT_EFFECTIVE_RANK = Quantity("cut_effective_rank", "exp of cut_entropy", "products")
CUT_PARTICIPATION_RATIO = Quantity("cut_participation_ratio", "1 / sum q^2", "products")
CUT_STABLE_RANK = Quantity("cut_stable_rank", "1 / largest q", "products")
DISTANCE_FROM_SEPARABLE = Quantity(
    "distance_from_separable",
    "(sum of q but the largest)^(1/2): relative error of the best single product g(start) g'(end)",
)
INTERACTION_SHARE = Quantity(
    "interaction_share",
    "share of E y^2 that no sum g(start) + g'(end) explains: |Y - row - column means + mean|^2 / |Y|^2",
)
CUT_ENTROPY_PROFILE = Quantity("cut_entropy_profile", "cut_entropy of each cut", "nats", ("cut",))
INTERACTION_PROFILE = Quantity("interaction_profile", "interaction_share of each cut", "", ("cut",))

# After training: measures/recall_accuracy.py
RECALL_ACCURACY = Quantity("recall_accuracy", "share of asked steps at which the largest output is the right class")
ACCURACY_BY_LENGTH = Quantity(
    "accuracy_by_length", "share of sequences whose last output has the right sign, by length", axes=("length",)
)
SOLVED = Quantity("solved", "1 where recall_accuracy is at least 0.99, else 0; its mean over seeds is a share")

# After training: measures/task_loss.py
TASK_LOSS = Quantity("task_loss", "loss of the task, mean over asked steps: squared error, or nats")
BITS_PER_SYMBOL = Quantity("bits_per_symbol", "task_loss of a prediction of symbols over ln 2", "bits")
PARAMETERS = Quantity("parameters", "numbers that are trained")
EXPLAINED_POWER = Quantity("explained_power", "1 - E|y - target|^2 / E|target|^2, with the weights of the best epoch")
EXPLAINED_POWER_LAST = Quantity("explained_power_last", "explained_power with the weights after the last step")

# Theory beside trained networks: theory/start_end.py
SATURATION_LENGTH = Quantity(
    "saturation_length", "first end for which the state, not the number of ends, limits the start_end_rank", "steps"
)

# Ranks of Jacobians: measures/jacobian_rank.py
RESPONSE_DIMENSION = Quantity("response_dimension", "dimension of the family of Markov parameters over all weights")
COPY_BLOCK_RANK = Quantity("copy_block_rank", "rank of d(y[k+1..T]) / d(x[1..T-k]), full where a network copies")

# Polynomials: measures/polynomial_degree.py
POLYNOMIAL_DEGREE = Quantity("polynomial_degree", "total degree in x[1..t]; -inf where identically 0", axes=("step",))
INPUT_DEGREE = Quantity("input_degree", "degree in x[t-j] alone; -inf where identically 0", axes=("lag",))
LOG2_GROWTH = Quantity("log2_growth", "log2 |y[t]| for a constant input, largest channel", axes=("step",))
FUNCTION_GAP = Quantity("function_gap", "largest |difference| of two functions on the same inputs", "output")
NUMERATOR_DEGREE = Quantity(
    "numerator_degree", "degree in z of det G(z) times all det(I - z W): zeros that can be placed at z = 0"
)
WORD_HANKEL_RANK = Quantity("word_hankel_rank", "rank of y(prefix suffix) over words: states of the least automaton")

# Linear stacks, s[t] = A s[t-1] + B x[t], y[t] = C s[t]: measures/linear_response.py, measures/memory_curve.py
STATE_ORDER = Quantity(
    "state_order", "rank of the Hankel matrix of C A^j B: the fewest states with the same outputs", "states"
)
HANKEL_SINGULAR_VALUES = Quantity(
    "hankel_singular_values",
    "singular values of the Hankel matrix of C A^j B without end, largest first",
    "output per input",
    ("component",),
)
COPY_REACH = Quantity(
    "copy_reach", "largest k at which all channels of x[t-k] are copied; -1 where not even x[t] is", "steps"
)
NOISY_MEMORY = Quantity(
    "noisy_memory", "R^2 of the best linear readout of x[t-k] from noisy states, summed over channels", "", ("lag",)
)
FISHER_MEMORY = Quantity(
    "fisher_memory",
    "Fisher information of noisy states on x[t-k], tr (A^k B)^T C_n^-1 A^k B, C_n the covariance by noise alone",
    "per squared input",
    ("lag",),
)

# Training in the kernel regime: measures/tangent_kernel.py, theory/linear_bias.py
MEMORY_PRIOR = Quantity(
    "memory_prior",
    "|dL_j / d weights|^2: how fast gradient descent moves lag j of the impulse response",
    "",
    ("lag",),
)
KERNEL_DRIFT = Quantity("kernel_drift", "|K_after - K_before| / |K_before| of the tangent kernel: 0 for lazy training")
WIDE_MEMORY_PRIOR = Quantity(
    "wide_memory_prior",
    "memory_prior of independent Gaussian weights of the same mean squares, as the width grows",
    "",
    ("lag",),
)
TRUST_HORIZON = Quantity("trust_horizon", "sqrt(width): lags up to which wide_memory_prior holds", "steps")

# Wide linear RNNs, L_j the response to the input j steps ago: papers/linear_bias_*.py
LAG_KERNEL = Quantity("lag_kernel", "Theta_jl = dL_j/dweights . dL_l/dweights", "", ("lag", "other_lag"))
TANGENT_KERNEL = Quantity(
    "tangent_kernel", "dy/dweights . dy'/dweights of the last outputs for two sequences", "", ("sequence", "other")
)
RESPONSE_VARIANCE = Quantity("response_variance", "variance of the entries of L_j before training", "", ("lag",))
MEAN_FACTOR = Quantity("mean_factor", "E |A^k|_F^2 / (n v^k) for n x n matrices of variance v / n", "", ("lag",))
LAG_ERROR = Quantity(
    "lag_error", "rms over draws of Theta_jj / rho_j - 1: how far the lags of a finite network are learnt otherwise"
)
WIDTH_EXPONENT = Quantity("width_exponent", "slope of the logarithm of an error against that of the width")
TRAINED_RESPONSE = Quantity("trained_response", "L_j after training", "output per input", ("lag", "output", "input"))
RESPONSE_MOVEMENT = Quantity("response_movement", "|L_j - L_j(0)|_F after training", "output per input", ("lag",))
LOSS_CURVE = Quantity("loss_curve", "training loss over that before the first step", "", ("step",))
TRAINING_GAP = Quantity(
    "training_gap", "largest difference of two training losses at the same step, over that before the first"
)
HELD_OUT_R2 = Quantity("held_out_r2", "1 - sum |y - target|^2 / sum |target - mean target|^2 on data held out")
PRIOR_MEAN_LAG = Quantity("prior_mean_lag", "sum j rho_j / sum rho_j", "steps")
PRIOR_TOTAL = Quantity("prior_total", "sum rho_j")
PRIOR_PEAK = Quantity("prior_peak", "the smallest lag of the largest rho_j", "steps")
HALF_LEVEL = Quantity("half_level", "the largest lag with rho_j at least rho_0 / 2", "steps")
LEARNING_COST = Quantity("learning_cost", "max_j rho_j c_j / (rho_d c_d): how much slower a lag is than the fastest")

# Unitary twins, orthogonal networks with the outputs of a given one: theory/unitary.py, papers/unitary_networks.py
TWIN_STATES = Quantity("twin_states", "states of an orthogonal network with the same outputs", "states")
EXTRA_STATES = Quantity("extra_states", "largest |state| of the units that a twin adds", "state")
EXTRA_DRIVE = Quantity("extra_drive", "largest W21 h that a twin's extra units receive", "state", ("bound",))
DRIVE_BOUND = Quantity("drive_bound", "bound on the W21 h of any extra unit: its bias must lie as far below 0", "state")
CONTRACTIVE_SHARE = Quantity(
    "contractive_share", "share of drawn W for which this is the cheapest way to a norm below 1"
)
BIAS_PER_DECADE = Quantity("bias_per_decade", "fall of the extra bias of a near twin for a tenth of its error")
LEAST_SCALED_NORM = Quantity("least_scaled_norm", "inf over positive diagonals D of the norm |D^-1 W D|")
SCALED_NORM = Quantity("scaled_norm", "|D^-1 W D| for drawn W and D", "", ("draw",))
ORTHOGONALITY_DEFECT = Quantity("orthogonality_defect", "largest |s_i - 1| of the singular values of weight_hh")
RESPONSE_RANK = Quantity("response_rank", "rank of dy[t]/dx[t-1] in a network with dy[t]/dx[t] = I")
RESPONSE_NORM = Quantity("response_norm", "largest |dy[t]/dx[t-k]| met in runs", "output per input", ("lag",))
LATE_RESPONSE = Quantity("late_response", "max |dy[t]/dx[t-k]|, 1 <= k <= states", "output per input", ("draw",))
VISIBLE_MODULI = Quantity(
    "visible_moduli", "moduli of the eigenvalues that show in dy[t]/dx[t-k], largest first", "", ("index",)
)
ZERO_MODES = Quantity("zero_modes", "rank of (g_(i+j)) less that of (g_(i+j+1)), for g_k = dy[t]/dx[t-k]")

# Representations after training: measures/trained_kernel.py. h are states, N units, W is weight_hh.
HIDDEN_KERNEL = Quantity(
    "hidden_kernel",
    "(1/N) sum over units of h_i h_i', between all patterns and times, entry time * patterns + pattern",
    "squared state",
    ("entry", "other_entry"),
)
TEMPORAL_COHERENCE = Quantity(
    "temporal_coherence", "rms over patterns and times t of the cosine between h[t] and h[t+k]", "", ("lag",)
)
RECURRENT_GAIN = Quantity(
    "recurrent_gain",
    "largest |W h|^2 / (g^2 |h|^2) over combinations h of the patterns' states before the time; about 1 by chance",
    "",
    ("time",),
)
WEIGHT_BULK = Quantity(
    "weight_bulk", "g: most of W is Gaussian with variance g^2 / N; eigenvalues up to g, singular values up to 2 g"
)
EIGENVALUE_OUTLIERS = Quantity(
    "eigenvalue_outliers", "moduli of the eigenvalues of W outside of its bulk, largest first", "", ("index",)
)
SINGULAR_VALUE_OUTLIERS = Quantity(
    "singular_value_outliers", "singular values of W outside of its bulk, largest first", "", ("index",)
)
TIME_KERNEL = Quantity("time_kernel", "(1/N) h[t] . h[t'], mean over patterns", "squared state", ("time", "other_time"))
RECURRENT_EIGENVALUES = Quantity(
    "recurrent_eigenvalues", "eigenvalues of W in the complex plane, by falling modulus", "", ("plane", "index")
)
EXPECTED_EIGENVALUES = Quantity(
    "expected_eigenvalues",
    "eigenvalues outside of the bulk of a W that is Gaussian but for what it does to the states, by falling modulus",
    "",
    ("plane", "index"),
)
EXPECTED_SINGULAR_VALUES = Quantity(
    "expected_singular_values",
    "singular values outside of the bulk of a W that is Gaussian but for what it does to the states, largest first",
    "",
    ("index",),
)

# Mean-field networks. N units, f outputs, y labels, F = -(1/N) ln probability, c0 the prior's C_TT.
MEAN_OUTPUT = Quantity(
    "mean_output", "mean over trained networks of f, entry time * patterns + pattern", "output", ("entry",)
)
OUTPUT_VARIANCE = Quantity(
    "output_variance", "N times the variance of f over trained networks of one kernel", "squared output", ("entry",)
)
HELD_OUT_ERROR = Quantity("held_out_error", "mean of (f - y)^2 over that of y^2 at times without labels")
FREE_ENERGY = Quantity("free_energy", "F of the kernel of wide trained networks", "nats per unit")
FREE_ENERGIES = Quantity("free_energies", "F of all minima, lowest first", "nats per unit", ("minimum",))
LOG_EVIDENCE = Quantity("log_evidence", "ln of the density of the labels over networks of the prior", "nats")
LAG_CURVATURE = Quantity(
    "lag_curvature",
    "second derivative of F by the correlations of times that lie as far apart",
    "",
    ("pair", "other_pair"),
)
LAG_DETERMINANT = Quantity("lag_determinant", "determinant of lag_curvature: 0 where correlations begin to grow")
CORRELATION_FLUCTUATIONS = Quantity(
    "correlation_fluctuations",
    "N times the mean of rho rho^T, rho the correlations of states of times that lie as far apart",
    "",
    ("pair", "other_pair"),
)
CRITICAL_GAIN = Quantity("critical_gain", "recurrent_gain from which states of different times correlate")
CRITICAL_SIGNAL = Quantity("critical_signal", "|y|^2 / (s_a^2 c0) from which trained networks are of another kind")
CRITICAL_NOISE = Quantity("critical_noise", "kappa / (s_a^2 c0) from which states or transitions are of another kind")
REALISED_SIGNAL = Quantity(
    "realised_signal", "f^2 / (s_a^2 c0) at the label: the signal that noise lets through", "", ("minimum",)
)
SIGNAL_EXPONENT = Quantity("signal_exponent", "slope of the logarithm of a change against that of what makes it")
VARIANCE_RATIO = Quantity("variance_ratio", "C at the label of a recurrent network over that of a feedforward one")
LEADING_ANGLE = Quantity("leading_angle", "angle of the largest eigenvalue that training gives W", "radians")
KERNEL_MOMENTS = Quantity(
    "kernel_moments", "mean of C of the last time with itself, and of C^2 of the first two", "", ("moment",)
)

TIME_CORRELATION = Quantity(
    "time_correlation",
    "mean of |C(t,t')| over trained networks, by (C(t,t) C(t',t'))^(1/2); norms of blocks over patterns",
)
LAST_VARIANCE = Quantity("last_variance", "C of the labelled time with itself over that of the prior")
HELD_OUT_ERRORS = Quantity("held_out_errors", "held_out_error of all schedules, lowest first", "", ("schedule",))
WEIGHT_EIGENVALUES = Quantity("weight_eigenvalues", "eigenvalues of weight_hh, largest first", "", ("index",))
WEIGHT_SINGULAR_VALUES = Quantity(
    "weight_singular_values", "singular values of weight_hh, largest first", "", ("index",)
)
RIDGE = Quantity("ridge", "kappa / (s_a^2 c_T): the ridge of the regression that a network does at the end")

QUANTITIES: tuple[Quantity, ...] = tuple(v for v in globals().values() if isinstance(v, Quantity))
