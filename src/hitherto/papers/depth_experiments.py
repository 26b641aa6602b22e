"""Trained networks beside the laws of depth: copying, a delayed sine, parity, characters."""

from collections.abc import Callable
from functools import cache
from math import log

from hitherto.architectures.arithmetic_circuit import Embedding
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.constructions.starts import orthogonal_start
from hitherto.core.claim import Case, Claim, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.model import Architecture, Model
from hitherto.core.quantity import BITS_PER_SYMBOL, TASK_LOSS, Estimate
from hitherto.measures.linear_system import is_linear
from hitherto.measures.task_loss import parameters, sign_accuracy, task_loss
from hitherto.papers.depth_networks import OURS, linear_stack, sizes, stacked
from hitherto.tasks.delay import DelayedSine
from hitherto.tasks.parity import Parity
from hitherto.tasks.population import PopulationCopy
from hitherto.tasks.text import CharacterText
from hitherto.theory.depth import copy_loss_floor, least
from hitherto.theory.depth_degree import polynomial_degree, sine_floor
from hitherto.training.fit import fit
from hitherto.training.settings import Training

# ---------------------------------------------------------------- networks

Cell = Callable[[int, int, int | None, int | None], RNN | SecondOrderRNN]  # inputs, width, outputs, rank -> layer
CELLS: dict[str, Cell] = {  # after "depth" stands what acts on what passes upward alone
    "second-order": lambda below, width, out, rank: SecondOrderRNN(below, width, out, cp_rank=rank),
    "second-order tanh": lambda below, width, out, rank: SecondOrderRNN(
        below, width, out, cp_rank=rank, activation="tanh"
    ),
    "linear": lambda below, width, out, _: RNN(below, width, out, activation="linear"),
    "tanh": lambda below, width, out, _: RNN(below, width, out, initialisation="pytorch"),
    "depth-tanh": lambda below, width, out, _: RNN(below, width, out, activation="linear", output_activation="tanh"),
    "depth-relu": lambda below, width, out, _: RNN(below, width, out, activation="linear", output_activation="relu"),
}


def network(cell: str, depth: int, width: int, channels: int, outputs: int, rank: int | None = None) -> Architecture:
    """Layers of one kind and width."""
    return stacked([CELLS[cell](below, width, out, rank) for below, out in sizes(depth, width, channels, outputs)])


def xavier_stack(depth: int, width: int, channels: int) -> Architecture:
    """The same with the variances of the authors' code, 2 / (rows + columns), and 1 / (3 width) for the readout; their
    entries are uniform, ours normal."""
    layers = [
        RNN(
            below,
            width,
            out,
            activation="linear",
            bias=False,
            input_variance=2 * below / (below + width),
            readout_variance=1 / 3,
        )
        for below, out in sizes(depth, width, channels, channels)
    ]
    return stacked(layers)


def states_of(architecture: Architecture) -> int:
    """Units of all layers."""
    layers = architecture.layers if isinstance(architecture, Deep) else (architecture,)
    return sum(layer.width for layer in layers)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- copying

SEEDS = (0, 1, 2)


def copying(depth: int, width: int, channels: int, delay: int, length: int, start: str, steps: int, seed: int) -> Case:
    """A linear stack that is trained on the expected loss of copying. Our settings, but for the authors' start."""
    training = Training(
        learning_rate=2e-3 if start == "orthogonal" else 1e-3,
        schedule="cosine" if start == "orthogonal" else "constant",
        clip=1.0 if start == "orthogonal" else None,
        steps=steps,
        batch=channels,
        sequences=channels,
        validation=channels,
        validate_every=max(1, steps // 20),
        dtype="float64",
    )
    stack = linear_stack if start == "orthogonal" else xavier_stack
    task = PopulationCopy(delay, channels, length)
    return Case(stack(depth, width, channels), task=task, start=start, training=training, seed=seed)


def trained_on_copying(case: Case) -> Estimate:
    """The least loss on the way; exact, since nothing is sampled."""
    start = orthogonal_start(case.architecture) if case.start == "orthogonal" else case.architecture
    found = fit(start, case.task, case.training, case.seed)
    return Estimate(
        TASK_LOSS,
        found.best_scores["loss"],
        standard_error=0.0,
        statistics=dict(status=found.status, steps=found.steps),
    )


def linear_copying(case: Case) -> str | None:
    """Linear networks without biases on the expected loss of copying."""
    if not isinstance(dict(case.settings).get("task"), PopulationCopy):
        return "it is about copying without samples"
    return None if linear(case.architecture) else "it is about linear networks"


linear = cache(is_linear)  # asked for every case of a grid


FLOOR = Claim(
    id="depth.copy_loss_floor",
    says="No linear network of N states copies d channels over k of T steps with a loss below "
    "1 - N / (d min(k+1, T-k)).",
    source=OURS,
    quantity=TASK_LOSS,
    relation=">=",
    hypotheses=linear_copying,
    predict=lambda case: Estimate(
        TASK_LOSS,
        copy_loss_floor(states_of(case.architecture), case.task.channels, case.task.delay, case.task.length),
        standard_error=0.0,
    ),
    measure=trained_on_copying,
    smallest=copying(1, 3, 1, 4, 16, "orthogonal", 400, 0),
    larger=(copying(1, 4, 1, 4, 16, "orthogonal", 4000, 0), copying(2, 2, 1, 5, 16, "orthogonal", 4000, 0)),
)
SIZE = Measurement(id="depth.size", says="Numbers that are trained", measure=lambda case: parameters(case.architecture))
THRESHOLD = Experiment(
    id="depth.copy_threshold",
    says="Loss of copying around the least width of the law: 45, 25 and 15 units for 1, 2 and 4 layers",
    asks=(FLOOR,),
    case=lambda depth, width, channels, delay, length, steps, seed: (
        copying(depth, width, channels, delay, length, "orthogonal", steps, seed)
        if width in WIDTHS.get((channels, delay, depth), ())
        else None
    ),
    grid=dict(
        depth=(1, 2, 4),
        width=(14, 15, 18, 20, 23, 24, 25, 27, 30, 40, 44, 45),
        channels=(5,),
        delay=(8,),
        length=(32,),
        steps=(10_000,),
        seed=SEEDS,
    ),
    sizes=dict(
        ci=dict(depth=(2,), width=(5,), channels=(2,), delay=(3,), length=(10,), steps=(1500,), seed=(0,)),
        paper=dict(seed=SEEDS),
        cluster=dict(length=(32, 64), steps=(10_000, 40_000), seed=tuple(range(10))),
    ),
    plot=Plot(x="width", by=("depth", "seed"), x_label="width (units a layer)", log_y=True),
)
WIDTHS = {
    (5, 8, 1): (30, 40, 44, 45),
    (5, 8, 2): (20, 23, 24, 25, 27),
    (5, 8, 4): (14, 15, 18),
    (2, 3, 1): (8,),
    (2, 3, 2): (4, 5),
}
BLURRED = Experiment(
    id="depth.blurred_threshold",
    says="The same where sequences are twice the delay, as in the authors' settings: the threshold blurs",
    asks=(FLOOR,),
    case=lambda size, channels, delay, length, steps, seed: copying(
        *size, channels, delay, length, "xavier", steps, seed
    ),
    grid=dict(
        size=((1, 44), (1, 45), (2, 24), (2, 25), (4, 15), (8, 10)),
        channels=(5,),
        delay=(8,),
        length=(16,),
        steps=(20_000,),
        seed=SEEDS,
    ),
    sizes=dict(
        ci=dict(size=((1, 6),), channels=(2,), delay=(3,), length=(6,), steps=(500,), seed=(0,)),
        paper=dict(seed=SEEDS),
        cluster=dict(seed=tuple(range(10))),
    ),
    plot=Plot(x="size", by=("seed",), x_label="layers and width", log_y=True),
    settings="the authors' length and start; the rest is ours",
)
BUDGET = Experiment(
    id="depth.budget",
    says="Networks that all can copy 5 channels over 8 steps: deeper ones are smaller, and harder to train",
    asks=(FLOOR, SIZE),
    case=lambda depth, channels, delay, length, steps, seed: copying(
        depth, channels - (-channels * delay // depth), channels, delay, length, "orthogonal", steps, seed
    ),
    grid=dict(depth=(1, 2, 4, 8), channels=(5,), delay=(8,), length=(32,), steps=(10_000,), seed=SEEDS),
    sizes=dict(
        ci=dict(depth=(2,), channels=(1,), delay=(2,), length=(8,), steps=(100,), seed=(0,)),
        paper=dict(seed=SEEDS),
        cluster=dict(steps=(10_000, 100_000), seed=tuple(range(10))),
    ),
    plot=Plot(x="depth", by=("seed",), x_label="layers", log_y=True),
)

# ---------------------------------------------------------------- a delayed sine


def sine(cell: str, depth: int, steps: int, seed: int) -> Case:
    """Eight units a layer, CP rank 4, two steps of delay. Our settings."""
    training = Training(
        learning_rate=3e-3, schedule="cosine", clip=1.0, steps=steps, batch=128, validate_every=max(1, steps // 10)
    )
    return Case(network(cell, depth, 8, 1, 1, 4), cell=cell, task=DelayedSine(2, 1, 10), training=training, seed=seed)


def trained_loss(case: Case) -> Estimate:
    """Loss of the weights of lowest validation loss, on 200,000 fresh sequences: few of them carry the tails."""
    return task_loss(trained(case), case.task.sample(200_000, seed=10**6 + case.seed))


def trained(case: Case) -> Model:
    """The weights of lowest validation loss."""
    return fit(case.architecture, case.task, case.training, case.seed).best


def degree_known(case: Case) -> str | None:
    """Cells whose degree in one input is known, on a delayed sine."""
    known = {"second-order", "linear"} & {dict(case.settings).get("cell")}
    return None if known and isinstance(case.task, DelayedSine) else "no degree is known of activations"


def predicted_sine(case: Case) -> Estimate:
    """What the Hermite expansion has left beyond the degree at that lag."""
    depth = len(case.architecture.layers) if isinstance(case.architecture, Deep) else 1
    cell = "affine" if case.cell == "second-order" else "linear"
    degree = polynomial_degree(depth, lag=case.task.delay, cell=cell) or 0
    return Estimate(TASK_LOSS, sine_floor(case.task.frequency, degree), standard_error=0.0, source="theory")


SINE = Claim(
    id="depth.sine_floor",
    says="On sin(x) of p steps ago L second-order layers leave what lies beyond the degree C(p+L-1, L-1), whatever the "
    "width; linear ones beyond degree 1.",
    source=OURS,
    quantity=TASK_LOSS,
    relation=">=",
    hypotheses=degree_known,
    predict=predicted_sine,
    measure=trained_loss,
    smallest=sine("second-order", 1, 100, 0),
    larger=tuple(sine("second-order", depth, 3000, 0) for depth in (1, 2, 3)),
)
SINE_LOSS = Measurement(
    id="depth.sine_loss", says="The same task with activations between the layers", measure=trained_loss
)
DELAYED_SINE = Experiment(
    id="depth.delayed_sine",
    says="Error on the sine of the input two steps ago: second-order layers against the floors of their degrees",
    asks=(SINE,),
    case=sine,
    grid=dict(cell=("second-order", "linear"), depth=(1, 2, 3), steps=(3000,), seed=SEEDS),
    sizes=dict(
        ci=dict(cell=("second-order",), depth=(2,), steps=(200,), seed=(0,)),
        paper=dict(seed=SEEDS),
        cluster=dict(steps=(30_000,), seed=tuple(range(10))),
    ),
    plot=Plot(x="depth", by=("cell",), x_label="layers", log_y=True),
)
SINE_ACTIVATIONS = Experiment(
    id="depth.sine_with_activations",
    says="The same with tanh between linear layers, for which no floor is known",
    asks=(SINE_LOSS,),
    case=sine,
    grid=dict(cell=("depth-tanh",), depth=(1, 2, 3), steps=(3000,), seed=SEEDS),
    sizes=dict(ci=dict(depth=(1,), steps=(100,), seed=(0,)), paper=dict(seed=SEEDS), cluster=dict(steps=(30_000,))),
    plot=Plot(x="depth", by=("cell",), x_label="layers", log_y=True),
)

# ---------------------------------------------------------------- parity

LENGTHS = (16, 32, 64, 256)
PARITY_NETWORKS = {  # cell, layers, width, rank
    "second-order": ("second-order", 1, 2, 1),
    "tanh": ("tanh", 1, 16, None),
    "depth-relu, 2 layers": ("depth-relu", 2, 16, None),
    "depth-relu, 4 layers": ("depth-relu", 4, 16, None),
    "linear": ("linear", 1, 16, None),
}


def parity(model: str, steps: int, seed: int) -> Case:
    """Signs of sixteen steps, longer ones to be answered afterwards. Our settings."""
    cell, depth, width, rank = PARITY_NETWORKS[model]
    training = Training(learning_rate=2e-3, clip=1.0, steps=steps, batch=128, validate_every=max(1, steps // 10))
    return Case(network(cell, depth, width, 1, 1, rank), task=Parity(16), training=training, seed=seed)


def signs_by_length(case: Case) -> Estimate:
    """Accuracy at the last step of longer sequences, 1000 of each."""
    seed = 10**6 + case.seed
    return sign_accuracy(trained(case), {length: Parity(length).sample(1000, seed) for length in LENGTHS})


PARITY_LENGTHS = Measurement(
    id="depth.parity_by_length",
    says="Share of right signs at the last step, trained on 16 steps",
    measure=signs_by_length,
)
PARITY = Experiment(
    id="depth.parity",
    says="Parity learned over 16 steps and asked over up to 256: multiplication generalises, layerwise ReLU does not",
    asks=(PARITY_LENGTHS,),
    case=parity,
    grid=dict(model=tuple(PARITY_NETWORKS), steps=(4000,), seed=SEEDS),
    sizes=dict(
        ci=dict(model=("second-order",), steps=(100,), seed=(0,)),
        paper=dict(seed=SEEDS),
        cluster=dict(steps=(40_000,), seed=tuple(range(10))),
    ),
    plot=Plot(x="length", by=("model",), x_label="length (steps)"),
)

# ---------------------------------------------------------------- characters

EMBEDDED, BUDGETED = 32, 15_000
TEXT_NETWORKS = {  # cell, layers, rank
    "linear, 1 layer": ("linear", 1, None),
    "linear, 3 layers": ("linear", 3, None),
    "second-order rank 8, 1 layer": ("second-order", 1, 8),
    "second-order rank 8, 2 layers": ("second-order", 2, 8),
    "second-order rank 32, 1 layer": ("second-order", 1, 32),
    "tanh, 1 layer": ("tanh", 1, None),
    "depth-tanh, 2 layers": ("depth-tanh", 2, None),
    "second-order tanh rank 8, 2 layers": ("second-order tanh", 2, 8),
}


def characters(model: str, source: str, budget: int, steps: int, seed: int) -> Case:
    """A network over embedded characters, as wide as the budget of parameters allows. Our settings."""
    cell, depth, rank = TEXT_NETWORKS[model]
    task = CharacterText(source)
    training = Training(
        learning_rate=2e-3, clip=1.0, steps=steps, batch=64, validation=64, validate_every=max(1, steps // 4)
    )
    return Case(widest(cell, depth, rank, task.input_size, budget), task=task, training=training, seed=seed)


@cache
def widest(cell: str, depth: int, rank: int | None, symbols: int, budget: int) -> Deep:
    """Embedding and layers, as wide as the budget allows."""
    too_wide = least(lambda width: parameters(embedded(cell, depth, width, rank, symbols)).value > budget)
    return embedded(cell, depth, max(1, too_wide - 1), rank, symbols)


def embedded(cell: str, depth: int, width: int, rank: int | None, symbols: int) -> Deep:
    """The embedding as the lowest layer."""
    layers = [CELLS[cell](below, width, out, rank) for below, out in sizes(depth, width, EMBEDDED, symbols)]
    return Deep((Embedding(symbols, EMBEDDED), *layers))


def bits(case: Case) -> tuple[Estimate, ...]:
    """Bits a character on all chunks held out, after the last step, and the size."""
    held_out = CharacterText(case.task.source, part="validation")
    found = fit(case.architecture, case.task, case.training, case.seed)
    loss = task_loss(found.last, held_out.sample(min(held_out.size, 2000), seed=0))
    per_symbol = Estimate(
        BITS_PER_SYMBOL,
        loss.value / log(2),
        standard_error=loss.standard_error / log(2),
        source=loss.source,  # type: ignore[operator]
    )
    return per_symbol, parameters(case.architecture)


BITS = Measurement(id="depth.bits", says="Bits a character on held-out text, and the size of the network", measure=bits)
CHARACTERS = Experiment(
    id="depth.characters",
    says="Characters of a text at equal numbers of parameters: depth helps second-order layers, not linear ones",
    asks=(BITS,),
    case=characters,
    grid=dict(model=tuple(TEXT_NETWORKS), source=("python",), budget=(BUDGETED,), steps=(1200,), seed=SEEDS),
    sizes=dict(
        ci=dict(model=("linear, 1 layer",), budget=(6000,), steps=(10,), seed=(0,)),
        paper=dict(source=("shakespeare",)),
        cluster=dict(source=("shakespeare",), budget=(15_000, 150_000), steps=(1200, 12_000), seed=tuple(range(10))),
    ),
    plot=Plot(x="model", by=("source",), x_label="network"),
)

CLAIMS = (FLOOR, SINE)
EXPERIMENTS = (THRESHOLD, BLURRED, BUDGET, DELAYED_SINE, SINE_ACTIVATIONS, PARITY, CHARACTERS)
