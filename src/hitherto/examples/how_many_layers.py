"""How many layers? Depth at an equal number of weights: python -m hitherto.examples.how_many_layers [CHANNELS WEIGHTS]

copies: the longest delay over which linear layers can give back all channels, by theory and measured on the outputs of
weights that do it. off by 0.01: mean squared error at that delay, of inputs of variance 1, when every weight has an
error of that size; mean and standard error of 8 draws. rank: upper bound on the ways in which layers of these sizes
that multiply can bind 8 inputs to the 8 before them, as a power of ten.
"""

import sys

import numpy as np

import hitherto
from hitherto.theory.depth import copy_reach, population_copy_loss
from hitherto.theory.depth_planner import parameter_count
from hitherto.theory.start_end import generic_rank

channels, budget = map(int, sys.argv[1:] or (4, 2000))
reach, widths = {}, {}
print("layers  width  weights  copies: theory  measured  off by 0.01     rank")
for depth in (1, 4, 8, 16):
    costs = {n: parameter_count("rnn", depth, n, channels, channels) for n in range(channels, budget)}
    width = widths[depth] = max(n for n, cost in costs.items() if cost <= budget)
    delay = reach[depth] = copy_reach([width] * depth, channels)
    exact = hitherto.copy_network([width] * depth, channels, delay)
    start = hitherto.copy_start(exact.architecture, delay, noise=0.01)
    responses = [hitherto.markov_parameters(start(seed), 2 * delay + 2) for seed in range(8)]
    losses = np.array([population_copy_loss(response, delay, len(response)) for response in responses])
    ways = generic_rank(depth, width, channels, 8, 8).log10
    print(
        f"{depth:6} {width:6} {costs[width]:8,} {delay:15} {hitherto.copy_reach(exact, read='output').value:9}"
        f"  {losses.mean():.3f} ± {losses.std(ddof=1) / 8**0.5:.3f} {ways:8.1f}"
    )
best = max(reach, key=reach.get)
print(
    f"Take {best} layers of {widths[best]} units: they copy {channels} channels over {reach[best]} steps within "
    f"{budget:,} weights, one layer of {widths[1]} over {reach[1]}; more depth gains nothing."
)
