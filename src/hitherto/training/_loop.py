"""The compiled part of training: many runs, many steps, one program."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from hitherto.core.model import Architecture, Weights
from hitherto.core.task import Sequences
from hitherto.training._losses import Scores, batch_loss, scores
from hitherto.training._optimiser import divided, factors_of, optimiser
from hitherto.training.batches import Block
from hitherto.training.settings import Training

RUNNING, STOPPED, DIVERGED = 0, 1, 2


class Run(NamedTuple):
    """Where one run stands; many runs have a leading axis in every leaf.

    `steps` counts updates and `recorded` training losses, one more where the last loss ended the run. `mark` is the
    validation loss that patience counts from, `waited` how many validations did not improve on it.
    """

    weights: Weights
    memory: PyTree
    status: Any
    steps: Any
    recorded: Any
    best: Weights
    best_loss: Any
    best_step: Any
    mark: Any
    waited: Any


def compiled(training: Training) -> Training:
    """The settings with all that is no part of the compiled program at its default, so that grids share programs."""
    free = ("learning_rate", "sequences", "data_seed", "validation", "validate_every", "metrics")
    defaults = {name: getattr(Training(), name) for name in (*free, *(("steps",) if training.steady else ()))}
    return replace(training, **defaults)


@dataclass(frozen=True)
class Program:
    """What is fixed when the loop is compiled; `training` as `compiled` leaves it."""

    architecture: Architecture
    loss: Literal["squared", "cross_entropy"]
    training: Training

    def optimiser(self, weights: Weights, rate: Array) -> optax.GradientTransformationExtraArgs:
        """The optimiser of one run."""
        return optimiser(self.training, rate, factors_of(self.training, weights))


@partial(jax.jit, static_argnums=0)
def begin(program: Program, weights: Weights, rates: Float[Array, " run"]) -> Run:
    """Runs before their first step, from weights with a leading axis of runs."""
    return jax.vmap(partial(_begin, program))(weights, rates)


@partial(jax.jit, static_argnums=0)
def advance(
    program: Program, runs: Run, rates: Float[Array, " run"], block: Block, first: Array, last: Array
) -> tuple[Run, Float[Array, "step run"]]:
    """Steps `first` to `last` (not included) of a block, and the training losses; NaN where a run had ended."""
    step = jax.vmap(partial(_step, program), in_axes=(0, 0, None, 0))

    def going(carry):
        return (carry[0] < last) & jnp.any(carry[1].status == RUNNING)

    def body(carry):
        at, runs, losses = carry
        runs, loss = step(runs, rates, block.pool, block.index[at])
        return at + 1, runs, losses.at[at].set(loss)

    losses = jnp.full(block.index.shape[:2], jnp.nan, rates.dtype)
    return jax.lax.while_loop(going, body, (first, runs, losses))[1:]


@partial(jax.jit, static_argnums=0)
def evaluate(program: Program, runs: Run, held_out: Sequences) -> tuple[Run, Scores]:
    """Scores of all runs on the validation set, and the runs with their best weights and patience kept up."""
    return jax.vmap(partial(_evaluate, program), in_axes=(0, None))(runs, held_out)


def _begin(program: Program, weights: Weights, rate: Array) -> Run:
    trained, _ = divided(weights, factors_of(program.training, weights))
    memory = program.optimiser(weights, rate).init(trained)
    none, unknown = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, rate.dtype)
    return Run(weights, memory, none, none, none, weights, unknown, none, unknown, none)


def _step(program: Program, run: Run, rate: Array, pool: Sequences, index: Array) -> tuple[Run, Array]:
    batch = jax.tree.map(lambda leaf: leaf[index], pool)
    trained, fixed = divided(run.weights, factors_of(program.training, run.weights))

    def objective(trained):
        return batch_loss(program.architecture, program.loss, eqx.combine(trained, fixed), batch)

    loss, gradients = jax.value_and_grad(objective)(trained)
    gradients = jax.tree.map(jnp.conj, gradients)  # JAX's gradient of a complex weight points along its conjugate
    updates, memory = program.optimiser(run.weights, rate).update(
        gradients, run.memory, trained, value=loss, grad=gradients, value_fn=objective
    )
    weights = _projected(program, eqx.combine(optax.apply_updates(trained, updates), fixed))
    running = run.status == RUNNING
    sound = jnp.isfinite(loss) & _finite(gradients)
    moved = run._replace(weights=weights, memory=memory, steps=run.steps + 1)
    run = _where(running & sound, moved, run)
    status = jnp.where(running & ~sound, DIVERGED, run.status)
    return run._replace(status=status, recorded=run.recorded + running), jnp.where(running, loss, jnp.nan)


def _projected(program: Program, weights: Weights) -> Weights:
    """The weights that the family allows; frozen ones as they were, to the last bit."""
    factors = factors_of(program.training, weights)
    return eqx.combine(divided(program.architecture.project(weights), factors)[0], divided(weights, factors)[1])


def _evaluate(program: Program, run: Run, held_out: Sequences) -> tuple[Run, Scores]:
    training = program.training
    found = scores(program.architecture, program.loss, run.weights, held_out, min(training.batch, len(held_out.mask)))
    better, improved = found.loss < run.best_loss, found.loss < run.mark - training.least_improvement
    waited = jnp.where(improved, 0, run.waited + 1)
    after = run._replace(
        best=_where(better, run.weights, run.best),
        best_loss=jnp.where(better, found.loss, run.best_loss),
        best_step=jnp.where(better, run.steps, run.best_step),
        mark=jnp.where(improved, found.loss, run.mark),
        waited=waited,
        status=jnp.where(jnp.isfinite(found.loss), _patient(training, waited), DIVERGED),
    )
    return _where(run.status == RUNNING, after, run), found


def _patient(training: Training, waited: Array) -> Array:
    return (
        jnp.where(waited >= training.patience, STOPPED, RUNNING)
        if training.patience
        else jnp.full_like(waited, RUNNING)
    )


def _finite(tree: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _where(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
