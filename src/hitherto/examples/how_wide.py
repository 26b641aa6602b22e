"""How wide? Units that keep some numbers a step for some steps: python -m hitherto.examples.how_wide [CHANNELS LAG]

floor: the least loss of any linear model with so many states, by theory; trained: that of one linear layer, best of
four trainings. The loss is the mean squared error of copying, over the variance of the input, in the mean over all
inputs. Far above its floor it is a matter of training; at its floor more units alone mend it.
"""

import sys

import hitherto
from hitherto.tasks import PopulationCopy
from hitherto.theory.depth import closure_width, copy_loss_floor
from hitherto.theory.depth_planner import parameter_count

channels, lag = map(int, sys.argv[1:] or (1, 4))
task = PopulationCopy(lag, channels, length=2 * lag + 2)
sizes = dict(batch=channels, sequences=channels, validation=channels)
training = hitherto.Training(learning_rate=1e-2, steps=800, validate_every=400, dtype="float64", **sizes)
needed = closure_width(channels, lag, task.length)
print("units  weights    floor  trained")
enough = []
for width in range(max(channels, needed - 1), needed + 1):
    layer = hitherto.RNN(channels, width, channels, "linear", bias=False)
    trained = min(run.best_scores["loss"] for run in hitherto.sweep(layer, task, training, seeds=range(4)))
    floor = copy_loss_floor(width, channels, lag, task.length)
    weights = parameter_count("rnn", 1, width, channels, channels)
    print(f"{width:5} {weights:8,} {floor:8.4f} {trained:8.4f}")
    enough += [width] * (trained < 0.01)
told = f"training got there with {enough[0]}" if enough else f"training did not with up to {width}"
channel = f"{channels} channel{'s' * (channels > 1)}"
print(f"Take {enough[0] if enough else width + 1} units: {channel} over {lag} steps need {needed} by theory; {told}.")
