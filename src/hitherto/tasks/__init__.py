"""Tasks: one file a close family, NumPy alone, no trainer.

Conventions. Halves meet at `length // 2`. The rank in a `Demand` is that of the matrix whose rows are first halves and
whose columns are second halves with the outputs asked in them (classes as one-hot vectors): the size of the smallest
state that a bilinear network needs there. Real data come as `part="train" | "validation" | "test"`, of which `sample`
draws different sequences without repetition; `size` says how many there are.
"""
