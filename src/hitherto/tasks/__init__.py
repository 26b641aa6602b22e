"""Tasks: one file a close family, NumPy alone, no trainer.

Conventions. Halves meet at `length // 2`. The rank in a `Demand` is that of the matrix whose rows are first halves and
whose columns are second halves with the outputs asked in them (classes as one-hot vectors): the size of the smallest
state that a bilinear network needs there. Real data come as `part="train" | "validation" | "test"`, of which `sample`
draws different sequences without repetition; `size` says how many there are.
"""

from hitherto.tasks.adding import AddingProblem
from hitherto.tasks.copying import CopyingMemory
from hitherto.tasks.delay import DelayedCopy, DelayedPower, DelayedSine, WindowProduct
from hitherto.tasks.digits import Digits, FashionMNIST
from hitherto.tasks.forecast import Forecast
from hitherto.tasks.parity import Parity
from hitherto.tasks.population import PopulationCopy
from hitherto.tasks.recall import AssociativeRecall
from hitherto.tasks.sequential import SequentialTargets, sinusoids
from hitherto.tasks.spikes import GrasshopperSpikes
from hitherto.tasks.start_end import StartEndSimilarity
from hitherto.tasks.state_tracking import StateTracking
from hitherto.tasks.teacher import LinearTeacher, SlowTeacher, random_response
from hitherto.tasks.text import CharacterText

__all__ = [
    "AddingProblem",
    "AssociativeRecall",
    "CharacterText",
    "CopyingMemory",
    "DelayedCopy",
    "DelayedPower",
    "DelayedSine",
    "Digits",
    "FashionMNIST",
    "Forecast",
    "GrasshopperSpikes",
    "LinearTeacher",
    "Parity",
    "PopulationCopy",
    "SequentialTargets",
    "SlowTeacher",
    "StartEndSimilarity",
    "StateTracking",
    "WindowProduct",
    "random_response",
    "sinusoids",
]
