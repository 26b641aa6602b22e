"""Weights of trained networks from sampled hidden activity, without sampling weights.

Preactivations are linear in the whitened weights theta of a unit: H = theta A, rows of A being what enters, and the
prior covariance of H is A^T A = Sigma. So theta given H is a fresh draw theta0 with its error taken back,

    theta = theta0 + (H - theta0 A) Sigma^-1 A^T;  for a pulse, W = H_+ Phi_-^+ + W0 (I - Phi_- Phi_-^+).

Source: our derivation.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from hitherto.core.model import precision
from hitherto.theory.mean_field import Problem, preactivation_covariance
from hitherto.training.posterior import ACTIVATIONS
from hitherto.training.posterior_weights import Features, Layout, Weights, features_of, layout

Activity = Float[np.ndarray, "unit entry"]


def draw_weights(problem: Problem, hidden: Activity, seed: int = 0, *, inputs: Features | None = None) -> Weights:
    """Weights of a trained network with this hidden activity, drawn from their exact law given it and the labels.

    Args:
        problem: with the width of `hidden`, the number of its rows.
        hidden: preactivations H, such as one of `Posterior.last`.
        inputs: x by entry, time-major; None for the fewest features with the problem's kernel.
    Returns:
        Weights of a network whose preactivations are `hidden` but for rounding; `as_model` makes it a model.
    Raises:
        ValueError: if shapes do not fit.

    Cost: N^2 normal numbers and N^2 M for each W that is not shared.
    """
    if hidden.shape != (problem.width, problem.size):
        raise ValueError(
            f"hidden activity has the shape {hidden.shape}; give width and entries, {(problem.width, problem.size)}"
        )
    features, rng = features_of(problem, inputs), np.random.default_rng(seed)
    form = layout(problem, features.shape[1])
    prior = Weights(*(s * rng.standard_normal(shape) for s, shape in zip(form.deviations, form.shapes, strict=True)))
    with precision(np.float64):
        phi = np.asarray(ACTIVATIONS[problem.activation](jnp.asarray(hidden)))
    covariance = cho_factor(preactivation_covariance(problem, phi.T @ phi / len(phi)), lower=True)
    error = cho_solve(covariance, (hidden - _entering(prior, form, features, phi)).T)
    recurrent, entering, bias = _corrected(prior, form, error, features, phi)
    return Weights(recurrent, entering, bias, _readout(problem, prior.readout, form, phi, rng))


def _entering(weights: Weights, form: Layout, features: Features, phi: Activity) -> Activity:
    """theta A: what the weights make of given activity."""
    made = np.zeros_like(phi)
    for time, (now, before) in enumerate(_times(form, phi)):
        made[:, now] = weights.entering[form.entering[time]] @ features[now].T
        if len(weights.bias):
            made[:, now] += weights.bias[form.bias[time]][:, None]
        if time:
            made[:, now] += weights.recurrent[form.recurrent[time - 1]] @ phi[:, before]
    return made


def _corrected(
    weights: Weights, form: Layout, error: Float[np.ndarray, "entry unit"], features: Features, phi: Activity
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, V and b with the error, times Sigma^-1, taken back."""
    recurrent, entering, bias = (w.copy() for w in weights[:3])
    of_recurrent, of_entering, of_bias, _ = (deviation**2 for deviation in form.deviations)
    for time, (now, before) in enumerate(_times(form, phi)):
        back = error[now].T
        entering[form.entering[time]] += of_entering * back @ features[now]
        if len(bias):
            bias[form.bias[time]] += of_bias * back.sum(1)
        if time:
            recurrent[form.recurrent[time - 1]] += of_recurrent * back @ phi[:, before].T
    return recurrent, entering, bias


def _readout(
    problem: Problem,
    prior: Float[np.ndarray, "group output unit"],
    form: Layout,
    phi: Activity,
    rng: np.random.Generator,
) -> Float[np.ndarray, "group output unit"]:
    """a given H and y: a0 + s_a^2 phi_S Q^-1 (y - f0 - noise), each group from the labels that it reads."""
    units, index = len(phi), problem.index
    labelled, group = phi[:, index], np.array(form.readout)[problem.time_of[index]]
    kernel = problem.readouts[np.ix_(index, index)] * (labelled.T @ labelled) / units
    q = problem.readout_variance * kernel + problem.noise * np.eye(len(index))
    made = np.einsum("lku,ul->lk", prior[group], labelled) / units
    error = problem.labels - made - np.sqrt(problem.noise / units) * rng.standard_normal(made.shape)
    readout = prior.copy()
    solved = np.linalg.solve(q, error)
    for one in range(len(readout)):
        mine = group == one
        readout[one] += problem.readout_variance * (labelled[:, mine] @ solved[mine]).T
    return readout


def _times(form: Layout, phi: Activity) -> list[tuple[slice, slice]]:
    """The entries of each time, and of the time before."""
    patterns = phi.shape[1] // len(form.entering)
    starts = range(0, phi.shape[1], patterns)
    return [(slice(s, s + patterns), slice(s - patterns, s)) for s in starts]
