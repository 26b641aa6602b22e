"""Sampling trained networks by their weights: the slow way, which checks the fast one, and Langevin training itself.

In whitened parameters theta (prior variance 1 each) the posterior of a mean-field problem is exp(-U),

    U = (N / 2 kappa) |y - f|^2 + |theta|^2 / 2,  with a curvature of up to 1 + Theta / kappa, Theta = N |df/dtheta|^2.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.sgmcmc import sgld
from jaxtyping import Array, Float, PRNGKeyArray

from hitherto.architectures.rnn import RNN
from hitherto.core.model import Model, precision
from hitherto.theory.mean_field import Problem
from hitherto.training import posterior
from hitherto.training.posterior import Posterior, identity, summary
from hitherto.training.posterior_chains import Chains, Kept, Keys, Move, Sampling, Target, begin, hmc_block, sample
from hitherto.training.progress import Show

# XLA would make our own erf anew for every row of a product with W
ACTIVATIONS = posterior.ACTIVATIONS | {"erf": jax.scipy.special.erf}
SHARE = 0.1  # of the step at which Langevin dynamics becomes unstable
STEPS = 20  # of Langevin dynamics between two draws

Features = Float[np.ndarray, "entry feature"]


class Weights(NamedTuple):
    """Weights of a network, an axis of groups first: a matrix for each group of times that share it.

    recurrent (group, unit, unit), entering (group, unit, feature), bias (group, unit), readout (group, output, unit).
    """

    recurrent: Any
    entering: Any
    bias: Any
    readout: Any


@dataclass(frozen=True)
class Layout:
    """Which group of weights each time uses, and how many of each there are; times count from 0.

    Attributes:
        recurrent: the group of W that makes h at time t + 1.
        entering, bias, readout: the group at time t.
        shapes: of `Weights`.
        deviations: of the prior, by kind of weight.
    """

    recurrent: tuple[int, ...]
    entering: tuple[int, ...]
    bias: tuple[int, ...]
    readout: tuple[int, ...]
    shapes: Weights
    deviations: Weights

    @cached_property
    def count(self) -> int:
        """Numbers in all."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def weights(self, whitened: Array) -> Weights:
        """From a flat array of whitened parameters."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        parts = zip(jnp.split(whitened, ends), self.shapes, self.deviations, strict=True)
        return Weights(*(deviation * part.reshape(shape) for part, shape, deviation in parts))


def layout(problem: Problem, features: int) -> Layout:
    """The weights of a problem with a width, for inputs of so many features."""
    n, times = problem.width, range(problem.times)
    if n is None:
        raise ValueError("weights were asked for without a width; give the problem `width=`")
    recurrent, bias = _groups(problem.times_sharing[1:, 1:]), _groups(problem.times_sharing)
    entering, readout = (tuple(t * (not shared) for t in times) for shared in _sharing(problem))
    shapes = Weights(
        (max(recurrent, default=-1) + 1, n, n),
        (max(entering) + 1, n, features),
        (max(bias) + 1 if problem.bias_variance else 0, n),
        (max(readout) + 1, problem.labels.shape[1], n),
    )
    variances = (
        problem.recurrent_variance / n,
        problem.input_variance / features,
        problem.bias_variance,
        problem.readout_variance,
    )
    return Layout(recurrent, entering, bias, readout, shapes, Weights(*map(float, np.sqrt(variances))))


def features_of(problem: Problem, inputs: Features | None) -> Features:
    """Inputs x with x x^T / D = X: those given, once checked, or the fewest features that have that kernel."""
    if inputs is None:
        values, vectors = np.linalg.eigh(problem.kernel)
        kept = values > 1e-12 * values[-1]
        kept[-1] = True  # a kernel of 0 still needs a feature
        return vectors[:, kept] * np.sqrt(np.clip(values[kept], 0, None) * kept.sum())
    gap = np.abs(inputs @ inputs.T / inputs.shape[1] - problem.kernel).max()
    if len(inputs) != problem.size or gap > 1e-8 * (1 + np.abs(problem.kernel).max()):
        raise ValueError(
            f"inputs of shape {inputs.shape} do not have the problem's kernel x x^T / D; give a row for each of its "
            f"{problem.size} entries, time-major"
        )
    return np.asarray(inputs, float)


def hidden_of(weights: Weights, form: Layout, features: Array, activation: str) -> Array:
    """Preactivations H (unit, entry) of the network."""
    steps = features.reshape(len(form.entering), -1, features.shape[-1])
    found: list[Array] = []
    for time, x in enumerate(steps):
        h = weights.entering[form.entering[time]] @ x.T
        if len(weights.bias):
            h = h + weights.bias[form.bias[time]][:, None]
        if time:
            h = h + weights.recurrent[form.recurrent[time - 1]] @ ACTIVATIONS[activation](found[-1])
        found.append(h)
    return jnp.concatenate(found, 1)


def outputs_of(weights: Weights, form: Layout, phi: Array) -> Array:
    """f (entry, output) from phi (unit, entry)."""
    units, entries = phi.shape
    by_time = phi.reshape(units, len(form.readout), -1)
    readouts = weights.readout[np.array(form.readout)]
    return jnp.einsum("tku,utp->tpk", readouts, by_time).reshape(entries, -1) / units


class Network(Target):
    """exp(-U) over whitened parameters; the frame stays."""

    features: Array
    index: Array
    labels: Array
    noise: Array
    form: Layout = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def log_density(self, position: Array, frame: Array) -> Array:
        fitted = jnp.sum((self.labels - self.answer(position)[1][self.index]) ** 2)
        return -self.form.shapes.recurrent[-1] / (2 * self.noise) * fitted - jnp.sum(position**2) / 2

    def answer(self, position: Array) -> tuple[Array, Array]:
        """phi(H) (unit, entry) and f (entry, output)."""
        weights = self.form.weights(position)
        phi = ACTIVATIONS[self.activation](hidden_of(weights, self.form, self.features, self.activation))
        return phi, outputs_of(weights, self.form, phi)

    def seen(self, position: Array, frame: Array) -> tuple[Array, Array]:
        phi, outputs = self.answer(position)
        return (phi.T @ phi / len(phi))[jnp.triu_indices(phi.shape[1])], outputs

    def misfit(self, outputs: Array) -> Array:
        return ((outputs[..., self.index, :] - self.labels) ** 2).mean()

    def curvature(self, position: Array) -> Array:
        """1 + Theta / kappa, Theta the largest eigenvalue of N df/dtheta df/dtheta^T on the labels."""
        slopes = jax.jacrev(lambda at: self.answer(at)[1][self.index].ravel())(position)
        return 1 + self.form.shapes.recurrent[-1] * jnp.linalg.eigvalsh(slopes @ slopes.T)[-1] / self.noise


def sample_weights(
    problem: Problem,
    sampling: Sampling | None = None,
    *,
    inputs: Features | None = None,
    checkpoint: Path | str | None = None,
    progress: Show | None = None,
) -> Posterior:
    """Draw trained networks by Hamiltonian Monte Carlo on their whitened weights.

    Args:
        problem: with `width`; any width will do.
        inputs: x by entry, time-major; None for the fewest features with the problem's kernel, which has the same law.
        sampling, checkpoint, progress: as in `sample_posterior`.
    Returns:
        Kernels and outputs of the drawn networks; `last` holds whitened parameters, flat.
    Raises:
        ValueError: without a width or with noise 0, or if inputs do not fit.

    Cost: T N^2 P a gradient, sqrt(1 + Theta / kappa) gradients and more a draw: for checks at small widths.
    """
    return _sampled(problem, sampling or Sampling(), inputs, hmc_block, "weights", checkpoint, progress)


def sample_langevin(
    problem: Problem,
    sampling: Sampling | None = None,
    *,
    inputs: Features | None = None,
    checkpoint: Path | str | None = None,
    progress: Show | None = None,
) -> Posterior:
    """Draw trained networks by unadjusted Langevin dynamics on whitened weights: theta -= e dU + sqrt(2 e) noise.

    The step is a tenth of 2 / (1 + Theta / kappa), beyond which it is unstable, with Theta as large as any chain has
    it in warm-up. Errors of the step stay: variances along the steepest directions come out a tenth too large.
    Arguments and result as of `sample_weights`; draws are 20 steps apart.
    """
    return _sampled(problem, sampling or Sampling(), inputs, langevin_block, "Langevin", checkpoint, progress)


def langevin_settings(problem: Problem, features: int) -> dict[str, float]:
    """What Langevin training on sum (y - f)^2 / 2 + sum lambda theta^2 / 2 needs to sample the problem's posterior.

    Args:
        problem: with `width`.
        features: D, of the inputs.
    Returns:
        `temperature` kappa / N, and the weight decays `lambda_W` kappa / g^2, `lambda_V` kappa D / (N g_v^2),
        `lambda_a` kappa / (N s_a^2), for f = a phi / N; with a bias `lambda_b` kappa / (N s_b^2).
    """
    if problem.width is None:
        raise ValueError("Langevin settings were asked for without a width; give the problem `width=`")
    noise, temperature = problem.noise, problem.noise / problem.width
    variances = {
        "lambda_W": (noise, problem.recurrent_variance),
        "lambda_V": (temperature * features, problem.input_variance),
        "lambda_a": (temperature, problem.readout_variance),
        "lambda_b": (temperature, problem.bias_variance),
    }
    return {"temperature": temperature} | {name: over / v for name, (over, v) in variances.items() if v}


@eqx.filter_jit
def langevin_block(target: Network, chains: Chains, keys: Keys, adapting: Array) -> tuple[Chains, Kept]:
    """A draw of all chains for each key, by Langevin dynamics; in warm-up the step follows the curvature."""
    steepest = jnp.where(adapting, jax.vmap(target.curvature)(chains.position).max(), 0.0)
    step = jnp.minimum(chains.step, SHARE * 2 / jnp.maximum(steepest, 1.0))
    slope = jax.grad(target.log_density)

    def one(key: PRNGKeyArray, position: Array, frame: Array, step: Array) -> Array:
        def move(position: Array, key: PRNGKeyArray) -> Any:
            return sgld.build_kernel()(key, position, lambda at, _: slope(at, frame), None, step), None

        return jax.lax.scan(move, position, jax.random.split(key, STEPS))[0]

    def body(positions: Array, key: PRNGKeyArray) -> Any:
        positions = jax.vmap(one)(jax.random.split(key, len(step)), positions, chains.frame, step)
        return positions, Kept(*jax.vmap(target.seen)(positions, chains.frame), jnp.full(len(step), jnp.nan))

    positions, kept = jax.lax.scan(body, chains.position, keys)
    moved = chains._replace(position=positions, met=chains.met + len(keys), step=step)
    return moved, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), kept)


def as_model(problem: Problem, weights: Weights) -> Model:
    """The recurrent network with these weights, as an `RNN` with the readout over its width; states are phi(h).

    Raises:
        ValueError: if times have weights of their own.
    """
    groups = tuple(map(len, weights))
    if groups != (1, 1, groups[2], 1) or groups[2] > 1:
        raise ValueError(
            f"an RNN uses the same weights at all times, these come in groups {Weights(*groups)}; make the problem "
            "with everything shared and at least 2 times"
        )
    outputs, units = weights.readout.shape[1:]
    architecture = RNN(
        weights.entering.shape[-1],
        units,
        outputs,
        {"identity": "linear"}.get(problem.activation, problem.activation),
        bias=bool(groups[2]),
        variance=float(problem.recurrent_variance),
        input_variance=float(problem.input_variance),
        readout_variance=float(problem.readout_variance),
        parametrisation="mean_field",
    )
    named = {"weight_hh": weights.recurrent[0], "weight_ih": weights.entering[0], "readout": weights.readout[0]}
    if groups[2]:
        named |= {"bias_ih": weights.bias[0], "bias_hh": np.zeros(units)}
    return Model(architecture, {name: np.asarray(w) for name, w in named.items()})


def _sampled(
    problem: Problem,
    sampling: Sampling,
    inputs: Features | None,
    move: Move,
    kind: str,
    checkpoint: Path | str | None,
    progress: Show | None,
) -> Posterior:
    if problem.noise == 0:
        raise ValueError("weights with noise 0 lie on a surface and have no density; give the problem a noise above 0")
    with precision(np.float64):
        target, rng = network(problem, inputs), np.random.default_rng(sampling.seed)
        positions = jnp.asarray(rng.standard_normal((sampling.chains, target.form.count)))
        chains = begin(target, positions, jnp.zeros(sampling.chains))
        if move is langevin_block:
            chains = chains._replace(step=jnp.full(sampling.chains, SHARE * 2))
        named = {"kind": kind, **identity(problem)}
        run = sample(target, chains, sampling, move=move, identity=named, checkpoint=checkpoint, progress=progress)
        return summary(problem, run, run.chains.position)


def network(problem: Problem, inputs: Features | None) -> Network:
    """The target of a problem."""
    features = features_of(problem, inputs)
    arrays = (features, problem.index, problem.labels, float(problem.noise))
    return Network(*map(jnp.asarray, arrays), layout(problem, features.shape[1]), problem.activation)


def _sharing(problem: Problem) -> tuple[bool, bool]:
    return problem.shared_inputs, problem.shared_readout


def _groups(sharing: Any) -> tuple[int, ...]:
    """Numbers of the groups, in the order of their first members."""
    first = [int(np.argmax(row)) for row in sharing]
    return tuple(sorted(set(first)).index(member) for member in first)
