"""After how many steps may backpropagation be cut? python -m hitherto.examples.how_long_to_truncate [MODEL]

Without MODEL: the LSTM that ships with the package, on its own text; with it, your file on white noise. gradient
energy: share of the sum of E |dy[t]/dx[t-j]|^2 up to lag 64 that gradients cut after k steps still see. output lost:
share of the output's variance that the last k inputs do not decide: what a model that saw no more would lack.
"""

import sys

import numpy as np

import hitherto
from hitherto.measures.context import context
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.trajectory import drive

model, text = (hitherto.load(sys.argv[1]), None) if sys.argv[1:] else hitherto.embedded_model()
run = drive(model, None if text is None else text[:32, :300], sequences=32, steps=300)
energy = np.cumsum(lag_jacobian(run, max_lag=64)[2].value ** 2)
energy /= energy[-1]
lost = context(run, max_lag=64)[0].value ** 2
enough = int(np.argmax(energy >= 0.95)) + 1
print("steps  gradient energy  output lost")
for steps in sorted({1, 2, 4, 8, 16, 32, 64, enough}):
    print(f"{steps:5} {energy[steps - 1]:16.1%} {lost[steps]:12.1%}")
print(
    f"Cut after {enough} steps: gradients keep 95% of their energy, and {lost[enough]:.1%} of the output's variance "
    f"comes from older inputs; {2 * enough} steps leave {lost[min(2 * enough, 64)]:.1%}."
)
