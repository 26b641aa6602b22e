"""Which initialisation? Recurrent weights for a lag: python -m hitherto.examples.which_initialisation [LAG]

gain: entries of weight_hh have variance gain^2 / width. fades: steps in which differences of a linear network's state
shrink by e, -1 / ln gain. exponent: the largest conditional Lyapunov exponent of a tanh network of 64 units under white
noise, measured; its distance to 0 is the margin to chaos. lag costs: how many times longer gradient descent takes to
learn the lag than the lag it learns first, by the theory of wide linear networks.
"""

import math
import sys

import numpy as np

import hitherto
from hitherto.report.reading import reading
from hitherto.theory.linear_bias import Gaussian, lag_weights
from hitherto.theory.linear_bias_delays import learning_cost
from hitherto.theory.linear_bias_design import AtMost, design
from hitherto.theory.linear_bias_width import trust_horizon

lag, width, length = int(sys.argv[1]) if sys.argv[1:] else 20, 64, 200
layer = hitherto.RNN(1, width, 1)
fresh = hitherto.build(layer, 0, np.float64).weights
advised = math.sqrt(design(AtMost(lag, 2, length), Gaussian(0.5)).initialisation.nu_W)
print(f"gain   fades   exponent of a driven tanh network   lag {lag} costs")
for gain in sorted((3**-0.5, 1.0, 1.5, 3.0, advised)):
    model = hitherto.Model(layer, fresh | {"weight_hh": gain * np.asarray(fresh["weight_hh"])})
    spectrum = hitherto.measure("lyapunov_spectrum", model, settings=hitherto.Settings(sequences=8, steps=200))
    cost = learning_cost(lag_weights(Gaussian(gain**2), length, log=True))[lag]
    fades = -1 / math.log(gain) if gain < 1 else math.inf
    print(f"{gain:.3f} {fades:6.1f}   {reading(spectrum, 0)!s:>33}   {cost:11.3g}")
law = "Gaussian" if lag <= trust_horizon(width) else "orthogonal"
print(f"Take {law} recurrent weights of gain {advised:.3f}: lag {lag} then takes twice the time of the easiest lag.")
