"""On unitary and contractive recurrent networks: when an orthogonal network has the same outputs, and what it takes."""

from hitherto.papers import (
    unitary_conversion,
    unitary_demonstrations,
    unitary_experiments,
    unitary_limits,
    unitary_other_units,
    unitary_scalings,
)
from hitherto.papers.unitary_networks import PAPER

__all__ = ["CLAIMS", "EXPERIMENTS", "PAPER"]

CLAIMS = (
    *unitary_conversion.CLAIMS,
    *unitary_scalings.CLAIMS,
    *unitary_other_units.CLAIMS,
    *unitary_limits.CLAIMS,
)
EXPERIMENTS = (*unitary_experiments.EXPERIMENTS, *unitary_demonstrations.EXPERIMENTS)
