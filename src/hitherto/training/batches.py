"""Which sequences a training sees, and when."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from hitherto.core.task import Sequences, Task
from hitherto.training.settings import Training

STEPS, BYTES = 32, 2**26  # of training data in one block: what one call of the compiled loop may take


def batch_seed(seed: int, step: int) -> int:
    """The seed of the fresh batch of one step: `task.sample(batch, batch_seed(seed, step))`, steps counted from 0."""
    return _mixed(0, step, seed)


def order(training: Training, seed: int, time_round: int) -> Int[np.ndarray, " sequences"]:
    """The order in which a run visits a fixed training set, anew each time round; batches are cut from it in turn."""
    return np.random.default_rng(_mixed(1, time_round, seed)).permutation(training.sequences)


def training_set(task: Task, training: Training) -> Sequences:
    """The fixed training set."""
    return task.sample(training.sequences, _mixed(2, 0, training.data_seed))


def validation_set(task: Task, training: Training) -> Sequences:
    """The validation set."""
    return task.sample(training.validation, _mixed(3, 0, training.data_seed))


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Block(NamedTuple):
    """Data of consecutive steps: a pool of sequences on the device, and which of them each step and run takes."""

    pool: Sequences
    index: Int[Array, "step run batch"]


class Batches:
    """The training data of all runs, block by block.

    What a run sees at a step depends on its seed and the step alone, never on how steps are cut into blocks or where
    a training was interrupted.
    """

    def __init__(self, task: Task, training: Training, seeds: Sequence[int], size: int) -> None:
        """`seeds` holds one entry a run, `size` is that of one sequence in bytes."""
        self.task, self.training, self.seeds = task, training, seeds
        self.distinct = sorted(set(seeds))
        fits = BYTES // max(size * training.batch * len(self.distinct), 1)
        self.steps = STEPS if training.sequences else max(1, min(STEPS, fits))
        self.pool = on_device(training_set(task, training), training.dtype) if training.sequences else None

    def block(self, number: int) -> Block:
        """Steps `number * self.steps` and on, `self.steps` of them."""
        steps = range(number * self.steps, (number + 1) * self.steps)
        return self._visits(steps) if self.pool is not None else self._fresh(steps)

    def _fresh(self, steps: range) -> Block:
        batch = self.training.batch
        drawn = [self.task.sample(batch, batch_seed(seed, step)) for step in steps for seed in self.distinct]
        pool = Sequences(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))
        first = np.arange(len(steps))[:, None] * len(self.distinct) + [self.distinct.index(s) for s in self.seeds]
        index = first[:, :, None] * batch + np.arange(batch)
        return Block(on_device(pool, self.training.dtype), jnp.asarray(index, jnp.int32))

    def _visits(self, steps: range) -> Block:
        batch, count = self.training.batch, self.training.sequences
        first, last = steps[0] * batch, (steps[-1] + 1) * batch
        rounds = range(first // count, -(-last // count))
        cut = slice(first - rounds[0] * count, last - rounds[0] * count)
        visits = {s: np.concatenate([order(self.training, s, r) for r in rounds])[cut] for s in self.distinct}
        index = np.stack([visits[s].reshape(len(steps), batch) for s in self.seeds], axis=1)
        return Block(self.pool, jnp.asarray(index, jnp.int32))


def on_device(sequences: Sequences, dtype: str) -> Sequences:
    """Sequences as JAX arrays: real numbers in `dtype`, classes as int32."""
    kinds = {"f": dtype, "i": np.int32, "b": bool}
    return Sequences(*(jnp.asarray(part.astype(kinds[part.dtype.kind])) for part in sequences))
