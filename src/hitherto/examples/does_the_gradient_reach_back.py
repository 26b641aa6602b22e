"""Does the gradient reach the past? python -m hitherto.examples.does_the_gradient_reach_back [CHECKPOINT ...]

Each row is a checkpoint, each column a lag, from the present input on: how strongly the state depends on the input so
many steps ago, dark for much, a shade for a factor of 10^(1/2). horizon: lag from which gradients stay below 1% of the
peak. Without arguments a GRU learns to repeat its input of 10 steps ago; the rows are 0, 100 and 200 updates.
"""

import sys

import numpy as np

import hitherto
from hitherto.measures.lag_jacobian import lag_jacobian
from hitherto.measures.trajectory import drive
from hitherto.report.reading import reading
from hitherto.tasks import DelayedCopy

LAGS, SHADES = 40, " .:-=+*#%@"
models = [hitherto.load(path) for path in sys.argv[1:]] or [hitherto.build(hitherto.GRU(1, 16, 1))]
training = hitherto.Training(learning_rate=1e-2, steps=100)
while not sys.argv[1:] and len(models) < 3:
    models.append(hitherto.fit(models[-1], DelayedCopy(10, length=32), training, seed=len(models)).last)
reach = []
for number, model in enumerate(models):
    found = lag_jacobian(drive(model, sequences=8, steps=10 * LAGS), max_lag=LAGS - 1)
    curve, horizon, growth = found[1].value, found[5], found[6]
    shades = np.clip(9 + 2 * np.log10(curve / curve.max()), 0, 9).astype(int)
    grows = "  grows: clip it" if growth.low is not None and growth.low > 0 else ""
    reach.append(f"{'more than ' if horizon.statistics['censored'] else ''}{reading(horizon)}")
    print(f"{number}  {''.join(SHADES[shade] for shade in shades)}  horizon {reach[-1]}{grows}")
print(
    f"Gradients reach {', then '.join(reach)} steps back. Nothing older is learned from: bring it nearer, or begin "
    "with gates that hold longer."
)
