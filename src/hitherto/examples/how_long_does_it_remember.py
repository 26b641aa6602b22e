"""How long does this model remember? python -m hitherto.examples.how_long_does_it_remember [MODEL]

Without MODEL: the LSTM that ships with the package, on its own text; with it, your file on white noise. Three answers,
each with its 95% interval: from which lag on other inputs change the output by less than 1% (memory horizon), how old
the inputs are that can be read linearly from the state, and where gradients fall below 1% of their peak. They differ:
what is stored need not be used, and what is used need not have a gradient.
"""

import sys

import numpy as np

import hitherto
from hitherto.measures.capacity import linear_memory
from hitherto.measures.context import context
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.trajectory import drive, flat
from hitherto.report.reading import reading

model, text = (hitherto.load(sys.argv[1]), None) if sys.argv[1:] else hitherto.embedded_model()
run = drive(model, None if text is None else text[:36, :300], sequences=64, steps=200)
replaced, _, _, horizon = context(run, max_lag=run.steps // 2)
_, jacobian, _, _, _, gradient, _ = lag_jacobian(run, max_lag=run.steps // 2 - 1)
memory, capacity, _ = linear_memory(flat(run.after), run.inputs, white=run.white, max_lag=40)
print("lag  output changed by older inputs  gradient  linear memory")
for lag in (0, 1, 2, 5, 10, 20, 40, 70):
    shares = (replaced.value, jacobian.value / jacobian.value.max(), memory.value)
    values = [f"{share[lag]:.3f}" if lag < len(share) else "" for share in shares]
    print(f"{lag:3} {values[0]:>28} {values[1]:>9} {values[2]:>14}")
most = np.argmax(np.cumsum(memory.value) >= 0.9 * memory.value.sum())
end = f"{'more than ' if horizon.statistics['censored'] else ''}{reading(horizon)}"
print(f"memory horizon {end} steps; 90% of the linear capacity of {reading(capacity)} within {most};", end=" ")
print(f"gradient horizon {reading(gradient)}")
doubt = f" ({horizon.cannot_tell})" if horizon.cannot_tell else ""
print(f"Start it {np.ceil(horizon.value):.0f} steps or more before you need its answers{doubt}.")
