"""Which state size and time steps for a state-space layer? python -m hitherto.examples.which_state_size [LAG]

For modes of S4D with time steps from a third to three times the one given: linear memory up to the lag, the sum of the
R^2 of x[t-k] for k up to it. theory: from the eigenvalues alone, without noise; measured: of the layer's states, with
noise of a millionth of the input's variance on each. What noise hides cannot be used.
"""

import sys

import numpy as np

import hitherto
from hitherto.theory.depth_memory import memory_curve

lag, noise = int(sys.argv[1]) if sys.argv[1:] else 20, 1e-6
held = {}
print(f"time step  modes  theory  measured, of {lag + 1} inputs")
for step in (1 / lag, 10 / lag):
    for modes in (4, 8, 16, 32):
        layer = hitherto.SampledStateSpace(1, modes, 1, dt_min=step / 3, dt_max=3 * step)
        model = hitherto.build(layer, 0, np.float64)
        theory = memory_curve(np.linalg.eigvals(hitherto.linear_system(model).A), lag + 1).sum()
        held[step, modes] = hitherto.noisy_memory_curve(model, noise, lags=lag + 1).statistics["total"]
        print(f"{step:9.3f} {modes:6} {theory:7.1f} {held[step, modes]:9.1f}")
step, most = max(held, key=held.get)
modes = min(n for s, n in held if s == step and held[s, n] >= 0.98 * held[step, most])
print(
    f"Take {modes} modes with time steps around {step:.3g}: they hold {held[step, modes]:.1f} of the last {lag + 1} "
    f"inputs, half as many hold {held.get((step, modes // 2), 0):.1f}."
)
