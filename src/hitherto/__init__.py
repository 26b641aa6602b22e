"""hitherto: what a recurrent model can remember, before it is trained and after."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitherto.advice.adviser import Advice, advise
    from hitherto.advice.demand import MemoryDemand, memory_demand
    from hitherto.advice.verification import Verification, verify_advice
    from hitherto.architectures.arithmetic_circuit import ArithmeticCircuit, FeatureFunction, OneHot, Powers, Templates
    from hitherto.architectures.as_json import from_json, to_json
    from hitherto.architectures.convolution import Convolution
    from hitherto.architectures.gated import GRU, LSTM
    from hitherto.architectures.initialisation import entry_variances, learning_rates
    from hitherto.architectures.multiplicative import MultiplicativeIntegrationRNN, SelectiveStateSpace
    from hitherto.architectures.outside import load
    from hitherto.architectures.outside.live import adapt
    from hitherto.architectures.outside.torch_names import save
    from hitherto.architectures.rnn import RNN
    from hitherto.architectures.second_order import SecondOrderRNN
    from hitherto.architectures.state_space import DiagonalStateSpace, SampledStateSpace, StateSpace
    from hitherto.architectures.unitary import UnitaryRNN
    from hitherto.architectures.wrappers import Backward, Bidirectional, Deep, Untied
    from hitherto.comparing import Comparison, compare
    from hitherto.constructions.copying import copy_network
    from hitherto.constructions.polynomials import (
        cumulative_product_network,
        horner_network,
        ladder_network,
        parity_network,
        unary_stack,
        window_product_network,
    )
    from hitherto.constructions.starts import copy_start, orthogonal_start
    from hitherto.conversions.automaton import WeightedAutomaton, from_automaton, to_automaton
    from hitherto.conversions.second_order import (
        cp_to_full,
        cp_to_tt,
        full_to_cp,
        full_to_tt,
        multiplicative_to_cp,
        tt_to_full,
    )
    from hitherto.conversions.to_convolution import ConvolutionCertificate, ConvolutionConversion, to_convolution
    from hitherto.conversions.to_unitary import LayerCertificate, UnitaryCertificate, UnitaryConversion, to_unitary
    from hitherto.conversions.unitary_verdict import LayerVerdict, unitary_verdict
    from hitherto.core.claim import Case, Claim, Measurement, NotCovered, Verdict, check, predict
    from hitherto.core.experiment import Experiment, Plot, run
    from hitherto.core.model import Architecture, Model, build, states_and_outputs
    from hitherto.core.quantity import QUANTITIES, Estimate, Quantity
    from hitherto.core.source import Paper, Source, cite
    from hitherto.core.task import Demand, Sequences, Task
    from hitherto.embedded import embedded_model
    from hitherto.measures.cut_spectrum import cut_profile, separation_spectrum
    from hitherto.measures.linear_response import copy_reach, hankel_rank, hankel_singular_values, markov_parameters
    from hitherto.measures.linear_system import is_linear, linear_system, linearised
    from hitherto.measures.memory_curve import fisher_memory_curve, linear_memory_curve, noisy_memory_curve
    from hitherto.measures.polynomial_degree import exact_outputs, log2_growth, polynomial_degree
    from hitherto.measures.separation_rank import start_end_rank
    from hitherto.measures.tangent_kernel import (
        kernel_drift,
        lag_kernel,
        memory_prior,
        response_kernel,
        tangent_kernel,
    )
    from hitherto.profiling import Profile, Settings, measure, profile
    from hitherto.reproducing import reproduce
    from hitherto.training.fit import Fit, fit, sweep
    from hitherto.training.settings import Training
    from hitherto.training.wide_linear import WideLinearRNN

# Where each public name lives. They are imported on first use, so that `hitherto --help` does not wait for JAX.
_HOMES = {
    "advice.adviser": ("Advice", "advise"),
    "advice.demand": ("MemoryDemand", "memory_demand"),
    "advice.verification": ("Verification", "verify_advice"),
    "architectures.arithmetic_circuit": ("ArithmeticCircuit", "FeatureFunction", "OneHot", "Powers", "Templates"),
    "architectures.as_json": ("from_json", "to_json"),
    "architectures.convolution": ("Convolution",),
    "architectures.gated": ("GRU", "LSTM"),
    "architectures.initialisation": ("entry_variances", "learning_rates"),
    "architectures.multiplicative": ("MultiplicativeIntegrationRNN", "SelectiveStateSpace"),
    "architectures.outside": ("load",),
    "architectures.outside.live": ("adapt",),
    "architectures.outside.torch_names": ("save",),
    "architectures.rnn": ("RNN",),
    "architectures.second_order": ("SecondOrderRNN",),
    "architectures.state_space": ("DiagonalStateSpace", "SampledStateSpace", "StateSpace"),
    "architectures.unitary": ("UnitaryRNN",),
    "architectures.wrappers": ("Backward", "Bidirectional", "Deep", "Untied"),
    "comparing": ("Comparison", "compare"),
    "constructions.copying": ("copy_network",),
    "constructions.polynomials": (
        *("cumulative_product_network", "horner_network", "ladder_network", "parity_network", "unary_stack"),
        "window_product_network",
    ),
    "constructions.starts": ("copy_start", "orthogonal_start"),
    "conversions.automaton": ("WeightedAutomaton", "from_automaton", "to_automaton"),
    "conversions.to_convolution": ("ConvolutionCertificate", "ConvolutionConversion", "to_convolution"),
    "conversions.to_unitary": ("LayerCertificate", "UnitaryCertificate", "UnitaryConversion", "to_unitary"),
    "conversions.unitary_verdict": ("LayerVerdict", "unitary_verdict"),
    "conversions.second_order": (
        *("cp_to_full", "cp_to_tt", "full_to_cp", "full_to_tt", "multiplicative_to_cp", "tt_to_full"),
    ),
    "core.claim": ("Case", "Claim", "Measurement", "NotCovered", "Verdict", "check", "predict"),
    "core.experiment": ("Experiment", "Plot", "run"),
    "core.model": ("Architecture", "Model", "build", "states_and_outputs"),
    "core.quantity": ("QUANTITIES", "Estimate", "Quantity"),
    "core.source": ("Paper", "Source", "cite"),
    "core.task": ("Demand", "Sequences", "Task"),
    "embedded": ("embedded_model",),
    "measures.cut_spectrum": ("cut_profile", "separation_spectrum"),
    "measures.tangent_kernel": ("kernel_drift", "lag_kernel", "memory_prior", "response_kernel", "tangent_kernel"),
    "measures.linear_response": ("copy_reach", "hankel_rank", "hankel_singular_values", "markov_parameters"),
    "measures.linear_system": ("is_linear", "linear_system", "linearised"),
    "measures.memory_curve": ("fisher_memory_curve", "linear_memory_curve", "noisy_memory_curve"),
    "measures.polynomial_degree": ("exact_outputs", "log2_growth", "polynomial_degree"),
    "measures.separation_rank": ("start_end_rank",),
    "training.wide_linear": ("WideLinearRNN",),
    "training.fit": ("Fit", "fit", "sweep"),
    "training.settings": ("Training",),
    "profiling": ("Profile", "Settings", "measure", "profile"),
    "reproducing": ("reproduce",),
}
_HOME = {name: f"hitherto.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "GRU",
    "LSTM",
    "QUANTITIES",
    "RNN",
    "Advice",
    "Architecture",
    "ArithmeticCircuit",
    "Backward",
    "Bidirectional",
    "Case",
    "Claim",
    "Comparison",
    "Convolution",
    "ConvolutionCertificate",
    "ConvolutionConversion",
    "Deep",
    "Demand",
    "DiagonalStateSpace",
    "Estimate",
    "Experiment",
    "FeatureFunction",
    "Fit",
    "LayerCertificate",
    "LayerVerdict",
    "Measurement",
    "MemoryDemand",
    "Model",
    "MultiplicativeIntegrationRNN",
    "NotCovered",
    "OneHot",
    "Paper",
    "Plot",
    "Powers",
    "Profile",
    "Quantity",
    "SampledStateSpace",
    "SecondOrderRNN",
    "SelectiveStateSpace",
    "Sequences",
    "Settings",
    "Source",
    "StateSpace",
    "Task",
    "Templates",
    "Training",
    "UnitaryCertificate",
    "UnitaryConversion",
    "UnitaryRNN",
    "Untied",
    "Verdict",
    "Verification",
    "WeightedAutomaton",
    "WideLinearRNN",
    "adapt",
    "advise",
    "build",
    "check",
    "cite",
    "compare",
    "copy_network",
    "copy_reach",
    "copy_start",
    "cp_to_full",
    "cp_to_tt",
    "cumulative_product_network",
    "cut_profile",
    "embedded_model",
    "entry_variances",
    "exact_outputs",
    "fisher_memory_curve",
    "fit",
    "from_automaton",
    "from_json",
    "full_to_cp",
    "full_to_tt",
    "hankel_rank",
    "hankel_singular_values",
    "horner_network",
    "is_linear",
    "kernel_drift",
    "ladder_network",
    "lag_kernel",
    "learning_rates",
    "linear_memory_curve",
    "linear_system",
    "linearised",
    "load",
    "log2_growth",
    "markov_parameters",
    "measure",
    "memory_demand",
    "memory_prior",
    "multiplicative_to_cp",
    "noisy_memory_curve",
    "orthogonal_start",
    "parity_network",
    "polynomial_degree",
    "predict",
    "profile",
    "reproduce",
    "response_kernel",
    "run",
    "save",
    "separation_spectrum",
    "start_end_rank",
    "states_and_outputs",
    "sweep",
    "tangent_kernel",
    "to_automaton",
    "to_convolution",
    "to_json",
    "to_unitary",
    "tt_to_full",
    "unary_stack",
    "unitary_verdict",
    "verify_advice",
    "window_product_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hitherto' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
