"""On the long-term memory of deep recurrent networks: what depth buys recurrent arithmetic circuits."""

from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit
from hitherto.architectures.wrappers import Deep
from hitherto.core.claim import Case, Claim
from hitherto.core.experiment import Experiment, Plot
from hitherto.core.quantity import START_END_RANK, Estimate
from hitherto.core.source import Paper, Source
from hitherto.measures.separation_rank import generic_start_end_rank
from hitherto.theory import start_end as theory

PAPER = Paper(
    key="levine2017longterm",
    title="On the Long-Term Memory of Deep Recurrent Networks",
    authors=("Yoav Levine", "Or Sharir", "Alon Ziv", "Amnon Shashua"),
    year=2017,
    arxiv="1710.09431",
)


def circuit(depth: int, width: int, input_size: int) -> ArithmeticCircuit | Deep:
    """A recurrent arithmetic circuit of equal layers."""
    layers = (ArithmeticCircuit(input_size, width), *[ArithmeticCircuit(width, width)] * (depth - 1))
    return layers[0] if depth == 1 else Deep(layers)


def case(depth: int, width: int, input_size: int, length: int, seed: int = 0) -> Case:
    """A circuit cut in the middle of a sequence."""
    return Case(circuit(depth, width, input_size), length=length, seed=seed)


def measured_rank(case: Case) -> Estimate:
    """The generic rank across the middle, over one-hot inputs."""
    half = case.length // 2
    return generic_start_end_rank(case.architecture, half, half, one_hot=True, seed=case.seed)


def predicted_rank(case: Case) -> Estimate:
    """The rank of one layer."""
    layer, half = case.architecture, case.length // 2
    return exact(theory.shallow_rank(layer.width, layer.input_size, half, half))


def predicted_bound(case: Case) -> Estimate:
    """The lower bound for two layers or more."""
    layer = case.architecture.layers[0]
    return exact(theory.deep_lower_bound(layer.width, layer.input_size, case.length // 2))


def exact(rank: int) -> Estimate:
    """A rank without error."""
    return Estimate(START_END_RANK, rank, standard_error=0.0, source="theory")


def one_layer(case: Case) -> str | None:
    """Hypotheses of the shallow claim."""
    if not isinstance(case.architecture, ArithmeticCircuit):
        return "it is about one layer of an arithmetic circuit"
    return even(case)


def two_layers(case: Case) -> str | None:
    """Hypotheses of the deep claim."""
    layers = case.architecture.layers if isinstance(case.architecture, Deep) else ()
    if len(layers) != 2 or not all(isinstance(layer, ArithmeticCircuit) for layer in layers):
        return "it is about two layers of an arithmetic circuit"
    if len({layer.width for layer in layers}) > 1:
        return "both layers must have the same width"
    return even(case)


def even(case: Case) -> str | None:
    """A middle needs an even length."""
    if case.length >= 2 and case.length % 2 == 0:
        return None
    return f"start and end must be equally long, length is {case.length}"


SHALLOW = Claim(
    id="start_end.shallow",
    says="One layer keeps min(width, symbols^(length/2)) ways to combine start and end, however long the sequence.",
    source=Source(PAPER, "one layer (wording recalled, derivation ours)"),
    quantity=START_END_RANK,
    relation="==",
    hypotheses=one_layer,
    predict=predicted_rank,
    measure=measured_rank,
    smallest=case(depth=1, width=3, input_size=2, length=6),
    larger=(case(1, 8, 3, 8), case(1, 5, 2, 4)),
)
DEEP = Claim(
    id="start_end.deep",
    says="Two layers keep at least as many ways as there are multisets of length/2 symbols: more, the longer.",
    source=Source(PAPER, "two layers (wording recalled, derivation ours)"),
    quantity=START_END_RANK,
    relation=">=",
    hypotheses=two_layers,
    predict=predicted_bound,
    measure=measured_rank,
    smallest=case(depth=2, width=3, input_size=2, length=6),
    larger=(case(2, 3, 3, 10), case(2, 4, 2, 14)),
)
DEPTH_GAP = Experiment(
    id="start_end.depth_gap",
    says="Start-end rank against length, for one layer and for two",
    asks=(SHALLOW, DEEP),
    case=case,
    grid=dict(depth=(1, 2), width=(3,), input_size=(2,), length=(2, 4, 6, 8, 10, 12), seed=(0,)),
    sizes=dict(
        ci=dict(length=(2, 4, 6)),
        paper=dict(width=(2, 3, 4), length=(2, 4, 6, 8, 10, 12, 14, 16), seed=(0, 1)),
        cluster=dict(width=(2, 3, 4, 5, 6), input_size=(2, 3), length=tuple(range(2, 20, 2)), seed=(0, 1)),
    ),
    plot=Plot(x="length", by=("depth", "width"), x_label="length (steps)", log_y=True),
)
CLAIMS = (SHALLOW, DEEP)
EXPERIMENTS = (DEPTH_GAP,)
