"""Mean-field theory of feature learning: what wide recurrent and feedforward networks become, and when they differ."""

from hitherto.papers import (
    mean_field_chains,
    mean_field_experiments,
    mean_field_laws,
    mean_field_limits,
    mean_field_nonlinear,
    mean_field_sequences,
    mean_field_stability,
    mean_field_transitions,
    mean_field_weights,
    mean_field_width,
)
from hitherto.papers.mean_field_networks import PAPER

__all__ = ["CLAIMS", "EXPERIMENTS", "PAPER"]

CLAIMS = (
    *mean_field_laws.CLAIMS,
    *mean_field_limits.CLAIMS,
    *mean_field_chains.CLAIMS,
    *mean_field_stability.CLAIMS,
    *mean_field_transitions.CLAIMS,
    *mean_field_sequences.CLAIMS,
    *mean_field_nonlinear.CLAIMS,
    *mean_field_width.CLAIMS,
    *mean_field_weights.CLAIMS,
)
EXPERIMENTS = mean_field_experiments.EXPERIMENTS
