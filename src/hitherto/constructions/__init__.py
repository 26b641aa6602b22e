"""Networks whose weights are known: what they compute is exact, before any training."""
