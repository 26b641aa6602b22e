"""Training: `fit` and `sweep`, the only optimiser loop, and `Training`, its settings."""
