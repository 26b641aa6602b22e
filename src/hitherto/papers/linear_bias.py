"""Implicit bias of linear RNNs: which lags gradient descent learns, and how soon."""

from hitherto.papers import linear_bias_experiments, linear_bias_kernels, linear_bias_recordings, linear_bias_training
from hitherto.papers.linear_bias_networks import PAPER

__all__ = ["CLAIMS", "EXPERIMENTS", "PAPER"]

CLAIMS = (*linear_bias_kernels.CLAIMS, *linear_bias_training.CLAIMS)
EXPERIMENTS = (*linear_bias_experiments.EXPERIMENTS, *linear_bias_recordings.EXPERIMENTS)
