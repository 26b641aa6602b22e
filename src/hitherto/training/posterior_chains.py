"""Chains that sample a posterior, in blocks of draws: adapted in warm-up, kept in a file, continued after a kill."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import hmc, metrics
from jaxtyping import Array, Float, Key, PRNGKeyArray

from hitherto.training import _checkpoint
from hitherto.training.progress import Progress, Show

BLOCK = 25  # draws made at once
SAVED_EVERY = 2.0  # seconds between two checkpoints, at least
REFRAMED = (1 / 6, 1 / 3, 7 / 12)  # shares of the warm-up after which frames are made of what was met
ACCEPTANCE = 0.7  # the step size aims at it
PATH = 2.4  # length of a trajectory in deviations: beyond a quarter turn, since sums over units, kernels, move slower
LONGEST = 256  # steps of a trajectory
FIRST_STEP = 0.1
JITTER = 0.2  # each step is drawn within this share, against orbits that close


class Target(eqx.Module):
    """What is sampled: the density of an array, the position, in a frame that makes it nearly white.

    `framed` says whether warm-up makes frames of what it meets, by `spread` and `reframed`.
    """

    framed: ClassVar[bool] = False

    @abstractmethod
    def log_density(self, position: Array, frame: Array) -> Array:
        """Up to a constant."""

    @abstractmethod
    def seen(self, position: Array, frame: Array) -> tuple[Array, Array]:
        """What is kept of a draw: C as the entries on and above its diagonal, and outputs (entry, output)."""

    @abstractmethod
    def misfit(self, outputs: Array) -> Array:
        """Mean squared error on the labels, of outputs (..., entry, output)."""

    def spread(self, slope: Array) -> Array:
        """What frames are made of, from the gradient of the density by the position; nothing where the frame stays."""
        return jnp.zeros(())

    def reframed(self, position: Array, frame: Array, spread: Array) -> tuple[Array, Array]:
        """The same point in the frame that a mean spread makes."""
        return position, frame


@dataclass(frozen=True)
class Sampling:
    """How chains are run.

    Attributes:
        draws: kept, of each chain; `draws` and `warm_up` are multiples of 25.
        warm_up: draws before them, in which steps and frames are adapted.
        chains: independent ones, at least 2, side by side.
        seed: of all randomness.
    Raises:
        ValueError: for other numbers.
    """

    draws: int = 1000
    warm_up: int = 300
    chains: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("draws", BLOCK), ("warm_up", 0)):
            value = getattr(self, name)
            if value < least or value % BLOCK:
                raise ValueError(f"{name}={value} was asked for; give a multiple of {BLOCK} from {least} on")
        if self.chains < 2:
            raise ValueError(f"chains={self.chains} was asked for; give at least 2 to compare")


class Chains(NamedTuple):
    """Where chains stand, an axis of chains first: position, frame, sum of `met` spreads, state of the step."""

    position: Any
    frame: Any
    spread: Any
    met: Any
    step: Any


class Kept(NamedTuple):
    """What is kept of draws: (chain, draw, ...)."""

    pairs: Any
    outputs: Any
    accepted: Any


@dataclass(frozen=True, eq=False)
class Run:
    """Chains, what was kept of the draws after warm-up, and the seconds all of it took."""

    chains: Chains
    kept: Kept
    blocks: int = 0
    seconds: float = 0.0


# unit masses; blackjax's own flatten the position at every step, which takes as long as a gradient of few units
WHITE = metrics.Metric(
    lambda key, position: jax.random.normal(key, position.shape, position.dtype),
    lambda momentum, position=None: jnp.sum(momentum**2) / 2,
    check_turning=None,
    scale=None,
)
Keys = Key[Array, " draw"]
Move = Callable[[Target, Chains, Keys, Array], tuple[Chains, Kept]]


def begin(target: Target, position: Float[Array, "chain ..."], frame: Float[Array, "chain ..."]) -> Chains:
    """Chains before their first draw."""
    nothing = jnp.zeros_like(jax.vmap(target.spread)(position))
    none = jnp.zeros(len(position))
    return Chains(position, frame, nothing, none, _step(none + FIRST_STEP))


def sample(
    target: Target,
    chains: Chains,
    sampling: Sampling,
    *,
    move: Move,
    identity: Mapping[str, Any],
    checkpoint: Path | str | None = None,
    progress: Show | None = None,
) -> Run:
    """Warm-up and draws, from a start or from where the checkpoint of the same work stands.

    Args:
        move: makes a block of draws.
        identity: what must be the same for a checkpoint to be continued; `draws` may grow.
        checkpoint: a file, written every few seconds and at the end.
    Raises:
        ValueError: if the checkpoint is damaged or of other work.
    """
    about = {**identity, **{name: getattr(sampling, name) for name in ("warm_up", "chains", "seed")}}
    run, path = Run(chains, _nothing(target, chains)), None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        run = _loaded(path, about, run)
    warm, began, saved = sampling.warm_up // BLOCK, time.monotonic() - run.seconds, time.monotonic()
    last = warm + sampling.draws // BLOCK
    while run.blocks < last:
        run = _advanced(target, run, sampling, move)
        run = replace(run, seconds=time.monotonic() - began)
        if path is not None and (time.monotonic() - saved > SAVED_EVERY or run.blocks == last):
            _checkpoint.save(path, about, _arrays(run))
            saved = time.monotonic()
        if progress is not None:
            progress(_progress(target, run, last))
    return replace(run, kept=jax.tree.map(lambda leaf: leaf[:, : sampling.draws], run.kept))


def _advanced(target: Target, run: Run, sampling: Sampling, move: Move) -> Run:
    warm = sampling.warm_up // BLOCK
    keys = jax.random.split(jax.random.fold_in(jax.random.key(sampling.seed), run.blocks), BLOCK)
    chains, kept = move(target, run.chains, keys, jnp.asarray(run.blocks < warm))
    if target.framed and run.blocks + 1 in {round(share * warm) for share in REFRAMED}:
        chains = _reframed(target, chains)
    kept = jax.tree.map(np.asarray, kept)
    if run.blocks >= warm:
        kept = jax.tree.map(lambda old, new: np.concatenate([old, new], 1), run.kept, kept)
    else:
        kept = run.kept
    return replace(run, chains=chains, kept=kept, blocks=run.blocks + 1)


@eqx.filter_jit
def hmc_block(target: Target, chains: Chains, keys: Keys, adapting: Array) -> tuple[Chains, Kept]:
    """A draw of all chains for each key by Hamiltonian Monte Carlo; steps are adapted on the way, or stay."""
    usual = jnp.exp(chains.step.log_step_size_avg)
    count = jnp.clip(jnp.round(PATH / usual.mean()), 1, LONGEST).astype(int)
    begun = jax.vmap(lambda position, frame: hmc.init(position, partial(target.log_density, frame=frame)))

    def one(key: PRNGKeyArray, state: Any, frame: Array, step: Array) -> tuple[Any, Array]:
        ahead, jitter = jax.random.split(key)
        step = step * jax.random.uniform(jitter, minval=1 - JITTER, maxval=1 + JITTER)
        density = partial(target.log_density, frame=frame)
        state, about = hmc.build_kernel()(ahead, state, density, step, WHITE, count)
        return state, about.acceptance_rate

    def body(held: Any, key: PRNGKeyArray) -> Any:
        states, adaptation, spread = held
        step = jnp.where(adapting, jnp.exp(adaptation.log_step_size), usual)
        states, rates = jax.vmap(one)(jax.random.split(key, len(step)), states, chains.frame, step)
        better = dual_averaging_adaptation(ACCEPTANCE)[1](adaptation, rates)
        adaptation = jax.tree.map(partial(jnp.where, adapting), better, adaptation)
        spread = spread + jax.vmap(target.spread)(states.logdensity_grad)
        return (states, adaptation, spread), Kept(*jax.vmap(target.seen)(states.position, chains.frame), rates)

    held = (begun(chains.position, chains.frame), chains.step, chains.spread)
    (states, adaptation, spread), kept = jax.lax.scan(body, held, keys)
    moved = Chains(states.position, chains.frame, spread, chains.met + len(keys), adaptation)
    return moved, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), kept)


@eqx.filter_jit
def _reframed(target: Target, chains: Chains) -> Chains:
    mean = chains.spread / chains.met.reshape(-1, *[1] * (chains.spread.ndim - 1))
    position, frame = jax.vmap(target.reframed)(chains.position, chains.frame, mean)
    step = _step(jnp.exp(chains.step.log_step_size_avg))
    return Chains(position, frame, jnp.zeros_like(mean), jnp.zeros_like(chains.met), step)


def _step(size: Array) -> Any:
    """The adaptation of the step before its first draw; all in one type, so that blocks are compiled once."""
    begun = dual_averaging_adaptation(ACCEPTANCE)[0](size)._replace(log_step_size_avg=jnp.log(size))
    return jax.tree.map(lambda leaf: jnp.zeros_like(size) + leaf, begun)


def _nothing(target: Target, chains: Chains) -> Kept:
    """No draws yet."""
    pairs, outputs = jax.eval_shape(jax.vmap(target.seen), chains.position, chains.frame)
    shapes = (pairs.shape, outputs.shape, pairs.shape[:1])
    return Kept(*(np.zeros((shape[0], 0, *shape[1:])) for shape in shapes))


def _arrays(run: Run) -> _checkpoint.Arrays:
    kept = {f"kept/{name}": leaf for name, leaf in run.kept._asdict().items()}
    return {**_checkpoint.packed(run.chains), **kept, "clock": np.array([run.blocks, run.seconds])}


def _loaded(path: Path, identity: Mapping[str, Any], like: Run) -> Run:
    arrays = _checkpoint.load(path, identity, set(_arrays(like)))
    kept = Kept(*(arrays[f"kept/{name}"] for name in Kept._fields))
    blocks, seconds = arrays["clock"]
    return Run(_checkpoint.unpacked(like.chains, arrays, path), kept, int(blocks), float(seconds))


def _progress(target: Target, run: Run, last: int) -> Progress:
    newest = jnp.asarray(run.kept.outputs[:, -1:])
    loss = float(target.misfit(newest)) if newest.size else math.nan
    count = len(run.chains.met)
    return Progress(run.blocks * BLOCK, last * BLOCK, count, count, loss, run.blocks * BLOCK / run.seconds)
