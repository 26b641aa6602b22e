"""On the long-term memory of deep recurrent networks: what depth buys recurrent arithmetic circuits."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, Powers
from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.unitary import UnitaryRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.claim import Case, Claim, Measurement
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.model import Architecture, Model, build
from hitherto.core.quantity import CUT_ENTROPY, INTERACTION_SHARE, SATURATION_LENGTH, SOLVED, START_END_RANK, Estimate
from hitherto.core.source import Paper, Source
from hitherto.core.task import Task
from hitherto.inputs import one_hot
from hitherto.measures.cut_spectrum import separation_spectrum
from hitherto.measures.recall_accuracy import recall_accuracy
from hitherto.measures.separation_rank import partition_rank, start_end_rank
from hitherto.tasks.copying import CopyingMemory
from hitherto.tasks.digits import Digits
from hitherto.tasks.start_end import StartEndSimilarity
from hitherto.theory import start_end as theory
from hitherto.theory.start_end_network import min_cut, tensor_network
from hitherto.training.fit import fit
from hitherto.training.settings import Training

PAPER = Paper(
    key="levine2017longterm",
    title="On the Long-Term Memory of Deep Recurrent Networks",
    authors=("Yoav Levine", "Or Sharir", "Alon Ziv", "Amnon Shashua"),
    year=2017,
    arxiv="1710.09431",
)
OURS = Source(PAPER, "our derivation beside it")

# ---------------------------------------------------------------- circuits


def circuit(depth: int, width: int | tuple[int, ...], input_size: int) -> ArithmeticCircuit | Deep:
    """A recurrent arithmetic circuit with one output; one width for all layers, or one a layer."""
    widths = (width,) * depth if isinstance(width, int) else width
    sizes = [input_size, *widths]
    layers = [ArithmeticCircuit(sizes[k], widths[k], 1 if k == depth - 1 else None) for k in range(depth)]
    return layers[0] if depth == 1 else Deep(tuple(layers))


def case(
    depth: int, width: int, input_size: int, length: int, cut: int | None = None, inputs: str = "one-hot", seed: int = 0
) -> Case:
    """A circuit and a sequence cut at `cut`, or in the middle."""
    return Case(
        circuit(depth, width, input_size),
        start=cut or length // 2,
        end=length - (cut or length // 2),
        inputs=inputs,
        seed=seed,
    )


def sizes_of(case: Case) -> tuple[int, int, int, int, int]:
    """Depth, width, input size, start and end, as the theory takes them."""
    layers = circuits_of(case)
    return len(layers), layers[0].width, layers[0].input_size, case.start, case.end


def circuits_of(case: Case) -> list[ArithmeticCircuit]:
    """The arithmetic circuits of a stack, or of a single layer, lowest first."""
    layers = case.architecture.layers if isinstance(case.architecture, Deep) else (case.architecture,)
    return [layer for layer in layers if isinstance(layer, ArithmeticCircuit)]


def measured_rank(case: Case) -> Estimate:
    """The rank of almost all weights, without knowing any bound."""
    return start_end_rank(case.architecture, case.start, case.end, inputs=case.inputs, seed=case.seed)


def exact(rank: int) -> Estimate:
    """A rank without error."""
    return Estimate(START_END_RANK, rank, standard_error=0.0, source="theory")


def proven_bound(architecture: Architecture, start: int, end: int, inputs: str | int = "continuous") -> int | None:
    """A proven upper bound on the rank of a stack of arithmetic circuits, whatever its weights; None for others."""
    layers = architecture.layers if isinstance(architecture, Deep) else (architecture,)
    skips = isinstance(architecture, Deep) and architecture.skip != "none"
    if skips or not all(isinstance(layer, ArithmeticCircuit) for layer in layers):
        return None
    widths = tuple(layer.width for layer in layers)  # type: ignore[attr-defined]
    return theory.generic_rank(len(layers), widths, layers[0].input_size, start, end, inputs).upper_bound


def equal_circuits(case: Case) -> str | None:
    """Every layer is an arithmetic circuit of the same width."""
    layers = circuits_of(case)
    count = len(case.architecture.layers) if isinstance(case.architecture, Deep) else 1
    if len(layers) < count:
        return "it is about arithmetic circuits"
    return None if len({layer.width for layer in layers}) == 1 else "all layers must have the same width"


def equal_halves(case: Case) -> str | None:
    """Arithmetic circuits, cut in the middle."""
    if case.start != case.end:
        return f"start and end must be equally long, they are {case.start} and {case.end}"
    return equal_circuits(case)


def of_depth(depth: int, case: Case) -> str | None:
    """So many layers, cut in the middle."""
    count = len(circuits_of(case))
    return equal_halves(case) if count == depth else f"it is about {depth} layers, here are {count}"


SHALLOW = Claim(
    id="start_end.shallow",
    says="One layer keeps min(width, symbols^(length/2)) ways to combine start and end, however long the sequence.",
    source=Source(PAPER, "one layer (wording recalled, derivation ours)"),
    quantity=START_END_RANK,
    relation="==",
    hypotheses=lambda case: of_depth(1, case),
    predict=lambda case: exact(theory.shallow_rank(*sizes_of(case)[1:])),
    measure=measured_rank,
    smallest=case(depth=1, width=3, input_size=2, length=6),
    larger=(case(1, 8, 3, 8), case(1, 5, 2, 4), case(1, 5, 2, 40, inputs="continuous")),
)
DEEP = Claim(
    id="start_end.deep",
    says="Two layers keep at least as many ways as there are multisets of length/2 symbols: more, the longer.",
    source=Source(PAPER, "two layers (wording recalled, derivation ours)"),
    quantity=START_END_RANK,
    relation=">=",
    hypotheses=lambda case: of_depth(2, case),
    predict=lambda case: exact(theory.paper_lower_bound(*sizes_of(case)[:4])),
    measure=measured_rank,
    smallest=case(depth=2, width=3, input_size=2, length=6),
    larger=(case(2, 3, 3, 10), case(2, 4, 2, 14)),
)
CONJECTURE = Claim(
    id="start_end.conjecture",
    says="Any depth keeps at least as many ways as there are multisets of mc(length/2, depth - 1) symbols, capped by "
    "symbols^(length/2).",
    source=Source(PAPER, "conjecture for any depth, as recalled"),
    quantity=START_END_RANK,
    relation=">=",
    hypotheses=equal_halves,
    predict=lambda case: exact(theory.conjecture(*sizes_of(case)[:4])),
    measure=measured_rank,
    smallest=case(depth=3, width=5, input_size=6, length=4),
    larger=(case(4, 3, 4, 4), case(3, 5, 6, 4, inputs="continuous"), case(3, 3, 3, 6)),
    conjecture=True,
)


# ---------------------------------------------------------------- exact ranks and bounds


def predicted_rank(case: Case) -> Estimate:
    """The closed form."""
    return exact(theory.generic_rank(*sizes_of(case), case.inputs).value)


def known_exactly(case: Case) -> str | None:
    """Arithmetic circuits for which the closed form is known to be attained."""
    found = equal_circuits(case)
    if found:
        return found
    rank = theory.generic_rank(*sizes_of(case), case.inputs)
    return None if rank.exact else rank.why


EXACT = Claim(
    id="start_end.exact",
    says="Almost all weights reach the smallest count of what the start, the state at the cut and the end can hold.",
    source=OURS,
    quantity=START_END_RANK,
    relation="==",
    hypotheses=known_exactly,
    predict=predicted_rank,
    measure=measured_rank,
    smallest=case(depth=2, width=3, input_size=2, length=8, inputs="continuous"),
    larger=(
        case(3, 3, 3, 6, inputs="continuous"),
        case(3, 2, 2, 13, 5, inputs="continuous"),
        case(4, 2, 2, 7, 4, inputs="continuous"),
        case(2, 3, 2, 18),
        case(3, 3, 2, 12),
        case(4, 4, 2, 14),
    ),
)


def reweighted(case: Case, change: Callable[[dict], dict]) -> Model:
    """A model whose fresh weights are changed layer by layer."""
    fresh = build(case.architecture, case.seed).weights
    return Model(case.architecture, tuple(map(change, fresh)) if isinstance(fresh, tuple) else change(fresh))


def sparse(case: Case) -> Model:
    """A model with small integer weights, a good part of them 0."""
    rng = np.random.default_rng(case.seed)
    draw = lambda w: rng.integers(-2, 3, w.shape) * (rng.random(w.shape) < 0.8)  # noqa: E731
    return reweighted(case, lambda layer: {name: draw(w) for name, w in layer.items()})


BOUND = Claim(
    id="start_end.bound",
    says="No weights at all exceed the smallest count of what the start, the state at the cut and the end can hold.",
    source=OURS,
    quantity=START_END_RANK,
    relation="<=",
    hypotheses=equal_circuits,
    predict=predicted_rank,
    measure=lambda case: start_end_rank(sparse(case), case.start, case.end, inputs=case.inputs, seed=case.seed),
    smallest=case(depth=2, width=4, input_size=3, length=6, inputs="continuous", seed=1),
    larger=tuple(case(3, 3, 3, 6, inputs="continuous", seed=seed) for seed in range(4)),
)
NAIVE_CUT = Claim(
    id="start_end.naive_cut",
    says="The rank is at most the minimum cut of the tensor network in which every use of an input is a copy.",
    source=Source(PAPER, "tensor networks (wording recalled, construction ours)"),
    quantity=START_END_RANK,
    relation="<=",
    hypotheses=equal_circuits,
    predict=lambda case: exact(naive_cut(case)),
    measure=measured_rank,
    smallest=case(depth=2, width=3, input_size=2, length=6, inputs="continuous"),
    larger=(case(1, 4, 3, 8), case(3, 2, 2, 6, inputs="continuous")),
)


def naive_cut(case: Case) -> int:
    """Minimum cut of the network with cloned inputs."""
    depth, width, input_size, start, end = sizes_of(case)
    return min_cut(tensor_network(depth, start + end, width, input_size), start).value


# ---------------------------------------------------------------- structures, times, features, cells


def structured(structure: str, depth: int, width: int, input_size: int, half: int) -> Case:
    """A circuit whose recurrent matrices have one structure."""
    return Case(
        circuit(depth, width, input_size), start=half, end=half, inputs="continuous", structure=structure, seed=0
    )


def with_structure(case: Case) -> Model:
    """Random integer weights, the recurrent ones of the structure."""
    rng = np.random.default_rng(case.seed)
    draw = lambda shape: rng.integers(1, 10**6, shape)  # noqa: E731
    recurrent = {
        "diagonal": lambda size: np.diag(draw(size)),
        "rank-one": lambda size: np.outer(draw(size), draw(size)),
        "permutation": lambda size: np.roll(np.eye(size, dtype=int), 1, 0),
    }[case.structure]
    weight = lambda name, w: recurrent(len(w)) if name == "weight_hh" else draw(w.shape)  # noqa: E731
    return reweighted(case, lambda layer: {name: weight(name, w) for name, w in layer.items()})


def structure_known(case: Case) -> str | None:
    """Structures for which the rank is known, not only bounded."""
    found = theory.structured_rank(case.structure, *sizes_of(case))
    return equal_circuits(case) or (None if found.exact else found.why)


STRUCTURED = Claim(
    id="start_end.structured",
    says="Diagonal recurrent matrices lose the factor of the width that full ones have; of rank one they keep one way.",
    source=OURS,
    quantity=START_END_RANK,
    relation="==",
    hypotheses=structure_known,
    predict=lambda case: exact(theory.structured_rank(case.structure, *sizes_of(case)).value),
    measure=lambda case: start_end_rank(with_structure(case), case.start, case.end, inputs=case.inputs, seed=case.seed),
    smallest=structured("diagonal", 2, 3, 3, 3),
    larger=(
        structured("rank-one", 2, 3, 3, 3),
        structured("permutation", 1, 5, 2, 3),
        structured("diagonal", 1, 5, 2, 3),
    ),
)


def parted(depth: int, width: int, input_size: int, length: int, times: tuple[int, ...]) -> Case:
    """A circuit and a group of times."""
    inputs = "one-hot" if depth == 1 else "continuous"
    return Case(circuit(depth, width, input_size), length=length, times=times, inputs=inputs, seed=0)


def predicted_partition(case: Case) -> Estimate:
    """The minimum cut of the chain, or what the inputs of one group can hold."""
    layers = circuits_of(case)
    sizes = (layers[0].width, layers[0].input_size, case.length, case.times)
    return exact(theory.partition_rank(*sizes) if len(layers) == 1 else theory.partition_bound(len(layers), *sizes))


def measured_partition(case: Case) -> Estimate:
    """The rank between any group of times and the others."""
    return partition_rank(case.architecture, case.length, case.times, inputs=case.inputs, seed=case.seed)


PARTITION = Claim(
    id="start_end.partition",
    says="For any group of times, one layer keeps the minimum cut of a chain: bonds width, legs min(symbols, width).",
    source=OURS,
    quantity=START_END_RANK,
    relation="==",
    hypotheses=lambda case: equal_circuits(case) or ("it is about one layer" if len(circuits_of(case)) > 1 else None),
    predict=predicted_partition,
    measure=measured_partition,
    smallest=parted(1, 3, 2, 6, (1, 3, 5)),
    larger=(parted(1, 5, 3, 6, (1, 2, 5)), parted(1, 4, 3, 6, (1, 6)), parted(1, 2, 2, 6, (1, 2, 5, 6))),
)
DEEP_PARTITION = Claim(
    id="start_end.deep_partition",
    says="For any group of times and any depth, the rank is at most what the inputs of either group can contribute.",
    source=OURS,
    quantity=START_END_RANK,
    relation="<=",
    hypotheses=equal_circuits,
    predict=predicted_partition,
    measure=measured_partition,
    smallest=parted(2, 2, 2, 4, (1, 3)),
    larger=(parted(2, 2, 2, 6, (1, 3, 5)), parted(2, 3, 3, 4, (1, 3))),
)


def curved(width: int, degree: int, half: int) -> Case:
    """Two circuits over the powers of one number."""
    layers = (Powers(degree), ArithmeticCircuit(degree + 1, width), ArithmeticCircuit(width, width, 1))
    return Case(Deep(layers), start=half, end=half, inputs="continuous", seed=0)


def powers_first(case: Case) -> str | None:
    """Arithmetic circuits over powers."""
    layers = case.architecture.layers if isinstance(case.architecture, Deep) else ()
    return None if layers and isinstance(layers[0], Powers) else "the features must be powers of one number"


CURVE = Claim(
    id="start_end.curve",
    says="Features (1, x, .., x^q) of one number lie on a curve, and give at most q d + 1 functions of degree d.",
    source=OURS,
    quantity=START_END_RANK,
    relation="<=",
    hypotheses=powers_first,
    predict=lambda case: exact(
        theory.generic_rank(*sizes_of(case), powers=case.architecture.layers[0].degree).value  # type: ignore[union-attr]
    ),
    measure=measured_rank,
    smallest=curved(width=3, degree=2, half=2),
    larger=(curved(2, 1, 3), curved(3, 2, 3)),
)


def cell(name: str, depth: int, width: int, end: int) -> Case:
    """A stack of polynomial cells over two channels, with one output."""
    sizes = [2, *[width] * depth]
    layers = [CELLS[name](sizes[k], width, 1 if k == depth - 1 else None) for k in range(depth)]
    stack = layers[0] if depth == 1 else Deep(tuple(layers))
    return Case(stack, cell=name, depth=depth, width=width, start=4, end=end, inputs="continuous", seed=0)


CELLS = {
    "linear": lambda size, width, out: RNN(size, width, out, activation="linear"),
    "second-order": lambda size, width, out: SecondOrderRNN(size, width, out, first_order=False, bias=False),
    "multiplicative-integration": lambda size, width, out: MultiplicativeIntegrationRNN(
        size, width, out, activation="linear"
    ),
    "selective": SelectiveStateSpace,
}


def measured_cell(case: Case) -> Estimate:
    """The rank with random weights and a random state before the first input."""
    model = reweighted(case, lambda layer: layer | {"initial_h": np.ones(case.width)})
    return start_end_rank(model, case.start, case.end, weights="random", inputs=case.inputs, seed=case.seed)


CELL = Claim(
    id="start_end.cells",
    says="Other polynomial cells keep at most as many ways as there are monomials in which the state can enter.",
    source=OURS,
    quantity=START_END_RANK,
    relation="<=",
    hypotheses=lambda case: None if dict(case.settings).get("cell") in CELLS else "it is about polynomial cells",
    predict=lambda case: exact(theory.cell_bound(case.cell, case.depth, case.width, case.end)),
    measure=measured_cell,
    smallest=cell("second-order", depth=2, width=2, end=3),
    larger=tuple(cell(name, depth, 2, 2) for name in CELLS for depth in (1, 2)),
)
LINEAR = Claim(
    id="start_end.linear",
    says="Linear recurrences of any depth add what they know of start and end: rank 2, whatever their size.",
    source=OURS,
    quantity=START_END_RANK,
    relation="==",
    hypotheses=lambda case: None if dict(case.settings).get("cell") == "linear" else "it is about linear cells",
    predict=lambda case: exact(theory.cell_bound("linear", case.depth, case.width, case.end)),
    measure=measured_cell,
    smallest=cell("linear", depth=2, width=3, end=3),
    larger=(cell("linear", 3, 4, 5),),
)

# ---------------------------------------------------------------- experiments on ranks

DEPTH_GAP = Experiment(
    id="start_end.depth_gap",
    says="Start-end rank against length, for one to four layers",
    asks=(EXACT,),
    case=lambda depth, width, input_size, length, inputs, seed: case(
        depth, width, input_size, length, inputs=inputs, seed=seed
    ),
    grid=dict(
        depth=(1, 2, 3, 4), width=(3,), input_size=(2,), length=(2, 4, 6, 8, 10, 12), inputs=("one-hot",), seed=(0,)
    ),
    sizes=dict(
        ci=dict(depth=(1, 2, 3), length=(2, 4, 6)),
        paper=dict(width=(2, 3, 4), length=tuple(range(2, 21, 2)), seed=(0, 1)),
        cluster=dict(
            width=(2, 3, 4, 5, 6), length=tuple(range(2, 25, 2)), inputs=("one-hot", "continuous"), seed=(0, 1)
        ),
    ),
    plot=Plot(x="length", by=("depth", "width"), x_label="length (steps)", log_y=True),
)
REFUTATION = Experiment(
    id="start_end.refutation",
    says="Where the conjectured lower bound holds, and where it does not",
    asks=(CONJECTURE,),
    case=lambda depth, width, input_size, half, inputs: case(depth, width, input_size, 2 * half, inputs=inputs),
    grid=dict(depth=(2, 3, 4), width=(2, 3, 5), input_size=(2, 3, 4, 6), half=(1, 2), inputs=("one-hot",)),
    sizes=dict(
        ci=dict(depth=(3,), width=(5,), input_size=(4, 6), half=(2,)),
        paper=dict(inputs=("one-hot", "continuous"), width=(2, 3, 4, 5), input_size=(2, 3, 4, 5, 6)),
        cluster=dict(width=(2, 3, 4, 5, 6), input_size=(2, 3, 4, 5, 6, 7), half=(1, 2, 3, 4)),
    ),
    plot=Plot(x="input_size", by=("depth", "width"), x_label="symbols", log_y=True),
)

# ---------------------------------------------------------------- cut spectra

SYMBOLS, PAIRS = 4, 200


def layers_of(depth: int, width: int, sizes: tuple[int, int], variance: float, initialisation: str) -> Architecture:
    """Tanh layers of one width. Our settings: input entries of variance 1/12 at the bottom, as uniform ones from -1/2
    to 1/2 have, and 1 / (3 width) above; readout entries of variance 1 / width."""
    channels = [sizes[0], *[width] * (depth - 1)]
    scale = [sizes[0] / 12, *[1 / 3] * (depth - 1)]
    layers = [
        RNN(
            channels[k],
            width,
            sizes[1] if k == depth - 1 else None,
            initialisation=initialisation,
            variance=variance,
            input_variance=scale[k],
        )
        for k in range(depth)
    ]
    return layers[0] if depth == 1 else Deep(tuple(layers))


def spectrum_at_start(case: Case) -> tuple[Estimate, ...]:
    """Spectrum of an untrained network over random symbols."""
    rng = np.random.default_rng(case.seed)
    starts, ends = (
        one_hot(rng.integers(SYMBOLS, size=(PAIRS, n)), SYMBOLS) for n in (case.cut, case.length - case.cut)
    )
    return shown(separation_spectrum(build(case.architecture, case.seed, np.float64), starts, ends))


def shown(spectrum: tuple[Estimate, ...]) -> tuple[Estimate, ...]:
    """Entropy and interaction share; the others tell much the same."""
    return tuple(found for found in spectrum if found.quantity in (CUT_ENTROPY, INTERACTION_SHARE))


AT_START = Measurement(
    id="start_end.spectrum_at_start",
    says="How much an untrained tanh network binds the start of a sequence to its end",
    measure=spectrum_at_start,
)
CUTS_AT_START = Experiment(
    id="start_end.cuts_at_start",
    says="Spectrum of every cut of untrained tanh networks of one to three layers",
    asks=(AT_START,),
    case=lambda depth, width, initialisation, length, cut, seed: Case(
        layers_of(depth, width, (SYMBOLS, 1), 2.25 if initialisation == "gaussian" else 1.0, initialisation),
        cut=cut,
        length=length,
        seed=seed,
    ),
    grid=dict(
        depth=(1, 2, 3),
        width=(16,),
        initialisation=("orthogonal", "gaussian"),
        length=(20,),
        cut=(2, 6, 10, 14, 18),
        seed=(0, 1, 2),
    ),
    sizes=dict(
        ci=dict(depth=(2,), initialisation=("orthogonal",), cut=(10,), seed=(0, 1)),
        paper=dict(cut=(1, 3, 6, 10, 14, 17, 19), seed=tuple(range(6))),
        cluster=dict(width=(16, 64, 256), length=(20,), cut=tuple(range(1, 20)), seed=tuple(range(50))),
    ),
    plot=Plot(x="cut", by=("initialisation", "depth"), x_label="cut (steps before it, of 20)"),
)

# ---------------------------------------------------------------- trained networks

WIDTHS = {1: 38, 2: 22, 3: 17}  # about 1500 recurrent weights: floor(sqrt(1500 / (2 depth - 1)))
SOLVES = 0.99
TRAINED_BY = "our settings: tanh networks of equal size; the authors' networks and settings are those of size cluster"


def ours(steps: int, rate: float = 2e-3) -> Training:
    """Our settings: minutes on two cores."""
    return Training(learning_rate=rate, schedule="cosine", clip=1.0, steps=steps, batch=64, validate_every=steps)


AUTHORS = Training(
    optimiser="rmsprop",
    optimiser_settings=(("decay", 0.9),),
    learning_rate=1e-3,
    learning_rate_factors=(("skew", 0.1),),
    steps=50_000,
    batch=128,
    validation=4992,
    validate_every=1000,
    patience=10,
    least_improvement=1e-3,
)  # asked for by a grid with steps=0, since these have steps of their own


def trained_case(task: Task, depth: int, seed: int, training: Training) -> Case:
    """A task, and a network of so many layers: tanh at equal budget, or the authors' orthogonal ones of width 64."""
    sizes = (task.input_size, task.output_size)
    if training != AUTHORS:
        return Case(layers_of(depth, WIDTHS[depth], sizes, 1.0, "orthogonal"), task=task, training=training, seed=seed)
    made = [
        UnitaryRNN(
            sizes[0] if k == 0 else 64,
            64,
            sizes[1] if k == depth - 1 else None,
            parametrisation="cayley",
            activation="modrelu",
            flipped=0.5,
        )
        for k in range(depth)
    ]
    return Case(made[0] if depth == 1 else Deep(tuple(made)), task=task, training=training, seed=seed)


def trained(case: Case) -> Model:
    """The last weights of the training, or fresh ones where no steps are asked."""
    return fit(case.architecture, case.task, case.training, case.seed).last


def recalled(case: Case) -> tuple[Estimate, ...]:
    """Accuracy where memory is asked, on 1000 fresh sequences or all test pictures, and whether the task is solved."""
    last = case.task.word if isinstance(case.task, CopyingMemory) else None
    test, count = case.task, 1000
    if isinstance(test, Digits):
        test = replace(test, part="test")
        count = test.size
    accuracy = recall_accuracy(trained(case), test.sample(count, seed=10**6 + case.seed), last=last)
    return accuracy, Estimate(SOLVED, float(accuracy.value >= SOLVES), source=f"accuracy of at least {SOLVES}")


def theory_beside(case: Case) -> tuple[Estimate, ...]:
    """What the theory says of arithmetic circuits of these sizes: rank across the middle, and where it saturates."""
    layers = case.architecture.layers if isinstance(case.architecture, Deep) else (case.architecture,)
    width, symbols, half = layers[0].width, case.task.input_size, case.task.length // 2  # type: ignore[union-attr]
    rank = theory.generic_rank(len(layers), width, symbols, half, half, "one-hot")
    length = theory.saturation_length(len(layers), width, symbols)
    return exact(rank.value), Estimate(SATURATION_LENGTH, float(length or np.inf), standard_error=0.0, source="theory")


RECALL = Measurement(
    id="start_end.recall", says="Accuracy of trained networks where memory is asked, one point a seed", measure=recalled
)
BESIDE = Measurement(
    id="start_end.theory_beside",
    says="Predicted rank and saturation length of arithmetic circuits with as many layers and units",
    measure=theory_beside,
)
COPYING = Experiment(
    id="start_end.copying",
    says="Copying memory at equal budget, one to three layers",
    asks=(RECALL, BESIDE),
    case=lambda depth, word, alphabet, delay, steps, seed: trained_case(
        CopyingMemory(word, alphabet, delay),
        depth,
        seed,
        ours(steps, 5e-3 if steps < 1000 else 2e-3) if steps else AUTHORS,
    ),
    grid=dict(depth=(1, 2, 3), word=(8,), alphabet=(4,), delay=(10,), steps=(4000,), seed=(0, 1, 2, 3, 4)),
    sizes=dict(
        ci=dict(depth=(1,), word=(3,), alphabet=(3,), delay=(3,), steps=(100,), seed=(0,)),
        paper=dict(steps=(4000, 12_000)),
        cluster=dict(word=(30,), alphabet=(32,), delay=(10, 30, 100, 300), steps=(0,), seed=(0, 1, 2)),
    ),
    plot=Plot(x="depth", by=("delay", "steps"), x_label="layers"),
    settings=TRAINED_BY,
)
SIMILARITY = Experiment(
    id="start_end.similarity",
    says="Start-end similarity at equal budget, one to three layers",
    asks=(RECALL, BESIDE),
    case=lambda depth, length, word, alphabet, steps, seed: trained_case(
        StartEndSimilarity(length, word or length // 2, alphabet), depth, seed, ours(steps) if steps else AUTHORS
    ),
    grid=dict(depth=(1, 2, 3), length=(24,), word=(0,), alphabet=(4,), steps=(4000,), seed=(0, 1, 2, 3, 4)),
    sizes=dict(
        ci=dict(depth=(2,), length=(8,), steps=(50,), seed=(0,)),
        paper=dict(steps=(4000, 12_000)),
        cluster=dict(length=(60, 80, 120, 200), word=(30,), alphabet=(32,), steps=(0,), seed=(0, 1, 2)),
    ),
    plot=Plot(x="depth", by=("length", "steps"), x_label="layers"),
    settings=TRAINED_BY,
)
PERMUTED = Experiment(
    id="start_end.permuted_digits",
    says="Permuted digits at equal budget, one to three layers",
    asks=(RECALL,),
    case=lambda depth, steps, seed: trained_case(Digits(permuted=True), depth, seed, ours(steps) if steps else AUTHORS),
    grid=dict(depth=(1, 2, 3), steps=(2000,), seed=(0, 1, 2, 3, 4)),
    sizes=dict(ci=dict(depth=(1,), steps=(20,), seed=(0,)), paper=dict(seed=(0, 1, 2)), cluster=dict(steps=(0,))),
    plot=Plot(x="depth", x_label="layers"),
    settings=TRAINED_BY,
)


def spectrum_while_trained(case: Case) -> tuple[Estimate, ...]:
    """Spectrum across the middle, over the task's own starts and ends."""
    model = trained(case) if case.steps else build(case.architecture, case.seed)
    drawn = case.task.sample(2 * PAIRS, seed=10**6 + case.seed).inputs
    cut = case.task.length // 2
    return shown(separation_spectrum(model, drawn[:PAIRS, :cut], drawn[PAIRS:, cut:]))


WHILE_TRAINED = Measurement(
    id="start_end.spectrum_while_trained",
    says="How much a network binds the first half of a sequence to the second, as it learns",
    measure=spectrum_while_trained,
)


def after_steps(depth: int, length: int, steps: int, seed: int) -> Case:
    """Start-end similarity after some steps of training."""
    training = replace(ours(max(steps, 1)), schedule="constant")  # so that longer trainings begin as shorter ones do
    made = trained_case(StartEndSimilarity(length, length // 2, SYMBOLS), depth, seed, training)
    return Case(made.architecture, **dict(made.settings), steps=steps)


CUTS_WHILE_TRAINED = Experiment(
    id="start_end.cuts_while_trained",
    says="Spectrum of the middle cut through the training on start-end similarity",
    asks=(WHILE_TRAINED,),
    case=after_steps,
    grid=dict(depth=(1, 2, 3), length=(16,), steps=(0, 100, 300, 1000, 3000), seed=(0, 1, 2)),
    sizes=dict(
        ci=dict(depth=(1,), length=(8,), steps=(0, 50), seed=(0,)),
        paper=dict(seed=(0, 1, 2)),
        cluster=dict(length=(16, 24, 32), steps=(0, 100, 300, 1000, 3000, 10_000), seed=tuple(range(10))),
    ),
    plot=Plot(x="steps", by=("depth",), x_label="training (steps)"),
)

CLAIMS = (
    SHALLOW,
    DEEP,
    CONJECTURE,
    EXACT,
    BOUND,
    NAIVE_CUT,
    STRUCTURED,
    PARTITION,
    DEEP_PARTITION,
    CURVE,
    CELL,
    LINEAR,
)
EXPERIMENTS = (
    DEPTH_GAP,
    REFUTATION,
    CUTS_AT_START,
    CUTS_WHILE_TRAINED,
    COPYING,
    SIMILARITY,
    PERMUTED,
)
