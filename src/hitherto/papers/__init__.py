"""What each paper says, as data: its claims and its experiments."""

from types import ModuleType

from hitherto.core.claim import Claim
from hitherto.core.experiment import Experiment
from hitherto.papers import depth, linear_bias, mean_field, start_end, unitary

PAPERS: tuple[ModuleType, ...] = (start_end, depth, unitary, linear_bias, mean_field)
CLAIMS: tuple[Claim, ...] = tuple(claim for paper in PAPERS for claim in paper.CLAIMS)
EXPERIMENTS: tuple[Experiment, ...] = tuple(experiment for paper in PAPERS for experiment in paper.EXPERIMENTS)
