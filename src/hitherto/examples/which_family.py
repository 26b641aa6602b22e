"""Which family? The best cell of each for one budget: python -m hitherto.examples.which_family [LAG CHANNELS WEIGHTS]

products: of numbers, for one step. predicted: steps of gradient descent until a tenth of the squared error is left, by
theory; > where it is but a bound from the gradients of a small draw. recall: share of the variance of what is asked
that is explained on fresh sequences after 200 steps of Adam, for the first cell that theory speaks of and the first
that it does not. The task asks for single past inputs; where products are asked, linear cells are out.
"""

import sys

import hitherto
from hitherto.tasks import DelayedCopy

lag, channels, weights = map(int, sys.argv[1:] or (8, 1, 500))
task = DelayedCopy(lag, channels, length=2 * lag + 2)
advice = hitherto.advise(lag, channels, parameters=weights, families=("rnn", "lru", "gru", "lstm"), steps=200)
recall = {True: None, False: None}
print("cell                               weights  products  predicted  recall")
for family in dict.fromkeys(option.candidate.family for option in advice.options):
    option = next(option for option in advice.options if option.candidate.family == family)
    cell, covered = option.candidate, option.trusted
    steps = f"{'' if covered else '> '}{option.numbers['learning steps']}"
    print(f"{cell.name:34} {cell.parameters:7,} {option.numbers['products']!s:>9} {steps:>10}", end="")
    if recall[covered] is None:
        fit = hitherto.fit(cell.model, task, cell.training(200))
        recall[covered] = 1 - fit.best_scores["loss"], cell.name
    print(f" {recall[covered][0]:7.2f}" if recall[covered][1] == cell.name else "")
ranked = sorted(filter(None, recall.values()), reverse=True)
told = "; ".join(f"{name} recalls {share:.0%}" for share, name in ranked)
print(f"Take {ranked[0][1]}, for what came {lag} steps ago. After as many steps of training: {told}.")
