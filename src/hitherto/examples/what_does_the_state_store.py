"""What does the state store, and did training change it? python -m hitherto.examples.what_does_the_state_store [A B]

A and B are files of two models; without them a GRU before and after it has learned the square of its input 2 steps ago.
Capacity of the state by degree: how much of past inputs (P1), their squares (P2) and products can be read from it
linearly, all together at most one for each dimension. found: in products that chance does not explain, all tests
together at 5%. slowest: steps in which the slowest difference of states shrinks by e; thousands hardly move.
"""

import sys

import hitherto
from hitherto.measures.capacity import processing_capacity
from hitherto.measures.lyapunov import lyapunov
from hitherto.measures.trajectory import drive, flat
from hitherto.report.reading import reading
from hitherto.tasks import DelayedPower

models = [hitherto.load(path) for path in sys.argv[1:3]] or [hitherto.build(hitherto.GRU(1, 10, 1))]
if len(models) == 1:
    models.append(hitherto.fit(models[0], DelayedPower(2), hitherto.Training(learning_rate=2e-2, steps=400)).best)
profiles = []
print("        degree 1          degree 2          degree 3          found  of  slowest")
for name, model in zip(("before", "after"), models, strict=True):
    run = drive(model, sequences=10, steps=200)
    capacity = processing_capacity(flat(run.after), run.inputs, low=-run.amplitude, high=run.amplitude)
    profiles.append(hitherto.Profile((*capacity, *lyapunov(run))))
    degrees = " ".join(f"{reading(capacity[0], degree)!s:17}" for degree in range(3))
    facts, slowest = capacity[0].statistics, profiles[-1].estimate("time_constants").value[0]
    print(f"{name:7} {degrees} {capacity[1].value.sum():5.1f} {facts['rank']:3} {slowest:8.1f}")
    for term in facts["strongest"][:3]:
        factors = [f"P{degree}(x[t-{lag}])" for lag, degree in zip(term["lags"], term["degrees"], strict=True)]
        print(f"        {' '.join(factors)}: {term['r2']:.2f}")
print(hitherto.compare(profiles, names=("before", "after")).verdict[0])
