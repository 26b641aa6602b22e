"""On the role of depth in the expressivity of RNNs: what layers add to linear and second-order networks."""

from hitherto.papers import depth_copying, depth_experiments, depth_polynomials
from hitherto.papers.depth_networks import PAPER

__all__ = ["CLAIMS", "EXPERIMENTS", "PAPER"]

CLAIMS = (*depth_copying.CLAIMS, *depth_polynomials.CLAIMS, *depth_experiments.CLAIMS)
EXPERIMENTS = depth_experiments.EXPERIMENTS
