"""Whether a wide trained network reuses one matrix over the lag, or learns as a network with a matrix a step does."""

import numpy as np

from hitherto.explorer.controls import RECURRENCES, Settings
from hitherto.explorer.drawing import Figure, Line
from hitherto.explorer.panel import OURS, Fact, Panel, short
from hitherto.theory.mean_field_atlas import strong_signal_ratios
from hitherto.theory.mean_field_chain import end_label, feedforward_chain
from hitherto.theory.mean_field_stability import critical_gain, spinodal_signal

PAPER = "Bauer, Fischer, Helias and Palmigiano (2026), A unified theory of feature learning in RNNs and DNNs"
NOISE, LABEL = 0.1, 1.0  # kappa and y, those of `hitherto predict transition`
TITLE = "When training reuses one matrix"
REASONS = {
    "relu": "ReLU is not odd: times correlate at any label, and there is a crossover alone",
    "tanh": "one-dimensional integrals that take seconds; ask `hitherto predict transition --activation tanh`",
}
LAGS = np.arange(2, 101)


def panel(settings: Settings) -> Panel:
    """The label at which a recurrent network turns coherent, and the gain of an untied one at labels of size 1."""
    lag, kept = settings.lag, settings.kept
    if settings.recurrence != "linear":
        scope = REASONS.get(settings.recurrence, f"{RECURRENCES[settings.recurrence]} cells are not covered")
    else:
        scope = f"one linear layer, noise {NOISE}, a label {lag} steps after the input"
    threshold = label_at_threshold(lag, kept)
    facts = (
        Fact("threshold", "Label threshold", _told(threshold), f"{OURS}: r*^T (r* - 1)", scope),
        Fact(
            "gain",
            "Gain of a layer there",
            _told(critical_gain(lag + 1)),
            f"{OURS}: L / (L - 1)",
            "critical gain r*, for L uses of W",
        ),
        *_untied(lag, kept),
        _saving(lag),
    )
    problem = f"--times {lag + 1} --label {LABEL:g} --noise {NOISE} --recurrent-variance {kept:g}"
    command = f"hitherto predict transition {problem}"
    return Panel("mean_field", TITLE, PAPER, facts, _decision(settings, threshold), _figure(settings), command)


def label_at_threshold(lag: int, kept: float) -> float:
    """y* at which the state without correlations between times loses its stability, at the latest.

    Lambda* = (y^2 / c0) (v / (v + kappa / c0))^2 with c0 = nu^lag, v = r*^T and T = lag + 1. From T = 5 on the
    coherent state wins a little before.

    Returns:
        inf for a lag of 1, where W is used once and cannot be reused.
    Source: our derivation, from `theory.mean_field_stability`.
    """
    times, at_rest = lag + 1, kept**lag
    if times < 3:
        return np.inf
    handed_on = end_label(1 / at_rest, NOISE / at_rest).signal(critical_gain(times) ** times)
    return float(np.sqrt(spinodal_signal(times) / handed_on))


def _untied(lag: int, kept: float) -> tuple[Fact, ...]:
    """What a network with a W of its own a step makes of a label of size 1."""
    at_rest = kept**lag
    state = feedforward_chain(lag + 1, LABEL**2 / at_rest, NOISE / at_rest)[0]
    source, note = f"{OURS}: r^T, r = {state.order:.3f}", f"label {LABEL:g}, over random weights: 1 is lazy"
    return (Fact("rich", "Learned variance, untied", short(state.variance), source, note),)


def _saving(lag: int) -> Fact:
    name, source = "Free energy, shared over untied", f"{OURS}: L^(-L / (L + 2))"
    return Fact("saving", name, short(strong_signal_ratios(lag + 1)[1]), source, "strong labels; below 1 is cheaper")


def _decision(settings: Settings, threshold: float) -> str:
    if settings.lag == 1:
        return "Over one step W is used once: recurrent and feedforward networks learn the same."
    if settings.recurrence != "linear":
        return (
            "The numbers are those of a linear layer, the theory's closed form: take them as where to look, and "
            "measure trained kernels."
        )
    if threshold <= LABEL:
        return (
            f"Share weights: at labels of size {LABEL:g} one direction of W is reused at every step, which is cheaper "
            "and also answers at the steps between, which have no label."
        )
    return (
        f"Expect no gain from sharing: at labels of size {LABEL:g} the recurrent network learns as an untied one would "
        "and answers 0 at the steps between, unless a jump comes before the threshold (from 5 times on)."
    )


def _figure(settings: Settings) -> Figure:
    thresholds = np.array([label_at_threshold(lag, settings.kept) for lag in LAGS.tolist()])
    line = Line("threshold", LAGS, thresholds)
    about = "Size of the label from which a recurrent network reuses its matrix, by lag"
    level = (LABEL, f"labels of size {LABEL:g}")
    return Figure(about, "lag (steps)", "size of the label", (line,), settings.lag, level, True)


def _told(number: float) -> str:
    return "none" if np.isinf(number) else short(number)
