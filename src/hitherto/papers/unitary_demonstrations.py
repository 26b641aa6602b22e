"""What the theory of unitary twins looks like in numbers: errors and biases, leaks, rescues, bounds, zero modes."""

from functools import cache

import numpy as np

from hitherto.architectures.rnn import RNN
from hitherto.conversions.to_unitary import UnitaryConversion, to_unitary
from hitherto.core.claim import Case, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.model import Model
from hitherto.core.quantity import (
    CONTRACTIVE_SHARE,
    DRIVE_BOUND,
    FUNCTION_GAP,
    LEAK_SPECTRUM,
    TWIN_STATES,
    ZERO_MODES,
    Estimate,
)
from hitherto.papers.depth_networks import along, exact
from hitherto.papers.unitary_networks import CUBE, Numbers, drawn, largest, map_gap, rotation, states_in_floats
from hitherto.papers.unitary_other_units import ONE_INPUT, SCALAR, scalar_twin
from hitherto.tasks.teacher import SlowTeacher
from hitherto.theory.unitary import dilate, leak_spectrum
from hitherto.theory.unitary_activations import activation
from hitherto.theory.unitary_bounds import norm_bound, positive_part_bound
from hitherto.theory.unitary_intervals import interval_bound
from hitherto.theory.unitary_limits import fixed_point, impulse_response, visible_modes
from hitherto.theory.unitary_network import Network, scaled_matrix
from hitherto.theory.unitary_scaling import rescale
from hitherto.theory.unitary_supremum import exact_bound
from hitherto.theory.unitary_unit_norm import UNIT, to_unit_norm

# ---------------------------------------------------------------- a teacher as a unitary network


def converted_teacher(task: SlowTeacher, input_bound: float) -> UnitaryConversion:
    """The unitary twin of a slow teacher, for all inputs within the bound and sequences of the task's length.

    It stands here, not beside the trainings, whose records would else be of other code when the theory changes.
    """
    own = task.weights
    weights = {"weight_hh": own.weight_hh, "weight_ih": own.weight_ih, "readout": own.readout, "bias_ih": own.bias}
    weights |= {"bias_hh": np.zeros_like(own.bias)} | ({"readout_bias": own.readout_bias} if task.readout_bias else {})
    model = Model(RNN(task.inputs, task.width, task.outputs, "relu"), weights)
    return to_unitary(model, input_bound=input_bound, horizon=task.length)


# ---------------------------------------------------------------- errors against the extra bias

PARKED_AS = {"leaky_relu(0.25)": "relu"}  # it is flat nowhere, so its extra unit starts at 0


def bias_error(case: Case) -> Estimate:
    """Of the twin of h = phi(3 h / 5 + x) whose one extra unit has this bias."""
    twin = scalar_twin(PARKED_AS.get(case.units, case.units), case.bias)
    if case.arithmetic == "exact":
        return map_gap(SCALAR, twin, ONE_INPUT, case.units)
    seen = [states_in_floats(one, ONE_INPUT, case.units)[:, 0] for one in (SCALAR, twin)]
    return exact(FUNCTION_GAP, largest(seen[0] - seen[1]))


BIAS_ERROR = Experiment(
    id="unitary.bias_error",
    says="Error of a twin against the bias of its extra unit: ReLU ends, smooth units never do, leaky ones get worse",
    asks=(
        Measurement(
            id="unitary.error_at_bias",
            says="Largest difference of outputs, in fractions or 60 digits, and as double precision sees it",
            measure=bias_error,
        ),
    ),
    case=lambda arithmetic, units, bias: Case(units=units, bias=bias, arithmetic=arithmetic),
    grid=dict(
        arithmetic=("exact", "double"),
        units=("relu", "sigmoid", "tanh", "softplus", "leaky_relu(0.25)"),
        bias=(0.0, -0.5, -1.0, -2.0, -5.0, -10.0, -20.0, -40.0, -60.0),  # below, 60 digits show rounding for tanh
    ),
    sizes=dict(
        ci=dict(bias=(0.0, -5.0, -40.0)),
        paper=dict(bias=(0.0, -0.25, -0.5, -0.75, -1.0, -2.0, -3.0, *(-5.0 * k for k in range(1, 13)))),
        cluster=dict(bias=tuple(-0.25 * k for k in range(241))),
    ),
    plot=Plot(x="bias", by=("arithmetic", "units"), x_label="bias of the extra unit", log_y=True),
)

# ---------------------------------------------------------------- leaks


def leaks(case: Case) -> tuple[Estimate, ...]:
    """Of a drawn W, and of the same once as many of its singular values as can be found are scaled to 1."""
    w = drawn(case).weight_hh
    if case.units == "rescaled":
        w = scaled_matrix(w, to_unit_norm(w).scale)
    return along(LEAK_SPECTRUM, leak_spectrum(w).leaks), exact(TWIN_STATES, len(dilate(w, UNIT).weight_hh))


LEAKS = Experiment(
    id="unitary.leaks",
    says="Leaks of each direction, and states of the twin, before and after units are rescaled to norm 1",
    asks=(
        Measurement(
            id="unitary.leaks_and_states",
            says="Share of the energy that is lost a step, and states of the twin",
            measure=leaks,
        ),
    ),
    case=lambda units, width, norm, seed: Case(units=units, width=width, norm=norm, seed=seed),
    grid=dict(units=("as given", "rescaled"), width=(2, 4, 7, 11), norm=(0.9,), seed=(0,)),
    sizes=dict(
        ci=dict(width=(2, 4)),
        paper=dict(width=(2, 3, 4, 7, 11), seed=(0, 1, 2)),
        cluster=dict(width=(2, 3, 4, 7, 11, 16, 22), norm=(0.5, 0.9, 0.99), seed=tuple(range(10))),
    ),
    plot=Plot(x="width", by=("norm", "units"), x_label="units"),
)

# ---------------------------------------------------------------- rescues

ROUTES = ("as it is", "Perron vectors", "best scaling", "refused", "open")


def route(weight_hh: Numbers) -> str:
    """The cheapest way to make W contractive; `refused` if a certificate says that no scaling does, else `open`.

    Perron vectors of |W| do if its spectral radius is below 1.
    """
    if np.linalg.norm(weight_hh, 2) < 1:
        return "as it is"
    if np.abs(np.linalg.eigvals(np.abs(weight_hh))).max() < 1:
        return "Perron vectors"
    found = rescale(weight_hh)
    if found.norm < 1:
        return "best scaling"
    return "refused" if found.proven >= 1 else "open"


@cache
def routes(width: int, gain: float, density: float, draws: int, seed: int) -> tuple[str, ...]:
    """Of matrices with this share of entries other than 0, normal with variance gain^2 / (density width)."""
    rng = np.random.default_rng(seed)
    shape = (draws, width, width)
    drawn = rng.normal(size=shape) * (rng.random(shape) < density) * gain / np.sqrt(density * width)
    return tuple(map(route, drawn))


def share(case: Case) -> Estimate:
    """With the error of a count."""
    found = routes(case.width, case.gain, case.density, case.draws, case.seed)
    part = found.count(case.route) / case.draws
    error = float(np.sqrt(part * (1 - part) / case.draws))
    return Estimate(CONTRACTIVE_SHARE, part, error, statistics={"draws": case.draws}, source="a share of draws")


RESCUE = Experiment(
    id="unitary.rescue",
    says="Random W by what makes them contractive: nothing, Perron vectors, the best scaling of units, or no scaling",
    asks=(Measurement(id="unitary.route_share", says="Share of random matrices that take this way", measure=share),),
    case=lambda width, density, route, gain, draws, seed: Case(
        width=width, density=density, route=route, gain=gain, draws=draws, seed=seed
    ),
    grid=dict(
        width=(4, 16),
        density=(1.0, 0.2),
        route=ROUTES,
        gain=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2),
        draws=(60,),
        seed=(0,),
    ),
    sizes=dict(
        ci=dict(width=(4,), density=(1.0,), gain=(0.4, 0.7), draws=(10,)),
        paper=dict(width=(4, 8, 16), density=(1.0, 0.5, 0.2)),
        cluster=dict(width=(4, 16, 64), density=(1.0, 0.5, 0.2, 0.05), draws=(200,)),
    ),
    plot=Plot(x="gain", by=("width", "density", "route"), x_label="gain: W has spectral radius near it"),
)

# ---------------------------------------------------------------- bounds on the extra bias

BOUNDS = {
    "norm": norm_bound,
    "positive part": positive_part_bound,
    "interval": interval_bound,
    "exact": lambda *given: exact_bound(*given).bounds,
}


def drive_bound(case: Case) -> Estimate:
    """The largest over the extra units, as they come, for inputs from -1 to 1."""
    own = drawn(case)
    rows = dilate(own.weight_hh).into_extra
    return exact(DRIVE_BOUND, float(BOUNDS[case.bound](own, rows, CUBE, case.length).max()))


DRIVES = Experiment(
    id="unitary.bounds",
    says="How far below 0 the extra bias must be, by four bounds: the exact one is a program, the others are cheap",
    asks=(Measurement(id="unitary.drive_bound", says="Bound on what any extra unit receives", measure=drive_bound),),
    case=lambda width, bound, norm, length, seed: Case(width=width, bound=bound, norm=norm, length=length, seed=seed),
    grid=dict(width=(3,), bound=tuple(BOUNDS), norm=(0.5, 0.7, 0.9, 0.99), length=(5,), seed=(0, 1, 2)),
    sizes=dict(
        ci=dict(width=(2,), norm=(0.5, 0.9), length=(4,), seed=(0,)),
        paper=dict(width=(2, 3, 4), seed=(0, 1, 2, 3, 4)),
        cluster=dict(width=(2, 4, 6), length=(4, 6), seed=tuple(range(10))),
    ),
    plot=Plot(x="norm", by=("width", "bound"), x_label="norm of W", log_y=True),
)

# ---------------------------------------------------------------- zero modes


def noisy_low_rank(case: Case) -> Network:
    """W with singular values 3/4, as many as its rank, and noise of this norm; one input and one output."""
    rng, n = np.random.default_rng(case.seed), case.width
    w = 0.75 * rotation(n, rng)[:, : case.rank] @ rotation(n, rng)[: case.rank] + case.noise * rotation(n, rng)
    return Network(w, *(rng.normal(size=shape) for shape in ((n, 1), n, (1, n), n)))


def zero_modes(case: Case) -> Estimate:
    """At the fixed point of a constant input; none where a singular value is too near the threshold to tell."""
    own, phi, x = noisy_low_rank(case), activation(case.units), np.full(1, 0.3)
    slopes = phi.jacobian(own.weight_hh @ fixed_point(own, phi, x) + own.weight_ih @ x + own.bias)
    modes = visible_modes(impulse_response(own, slopes, 2 * case.width))
    return Estimate(
        ZERO_MODES,
        (modes.rank_now - modes.rank_next) * int(modes.clear),
        standard_error=0.0,
        cannot_tell="" if modes.clear else "a singular value is near the threshold of the ranks",
        source="ranks of Hankel matrices",
    )


ZERO_MODE = Experiment(
    id="unitary.zero_mode_scan",
    says="Zero modes of networks of low rank, which no orthogonal network has, and the noise that hides them",
    asks=(Measurement(id="unitary.zero_modes_met", says="Ranks now less ranks a step later", measure=zero_modes),),
    case=lambda units, width, noise, rank, seed: Case(units=units, width=width, noise=noise, rank=rank, seed=seed),
    grid=dict(units=("tanh",), width=(3,), noise=(0.0, 1e-15, 1e-11, 1e-6, 1e-3), rank=(0, 1, 2, 3), seed=(0, 1, 2)),
    sizes=dict(
        ci=dict(noise=(0.0, 1e-3), seed=(0,)),
        paper=dict(seed=tuple(range(20))),
        cluster=dict(units=("tanh", "sigmoid", "softplus"), width=(3, 4), seed=tuple(range(100))),
    ),
    plot=Plot(x="rank", by=("units", "width", "noise"), x_label="rank of W without noise"),
)

EXPERIMENTS = (BIAS_ERROR, LEAKS, RESCUE, DRIVES, ZERO_MODE)
