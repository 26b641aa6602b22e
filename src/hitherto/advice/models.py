"""Candidates as architectures with fresh weights."""

import math

import numpy as np

from hitherto.advice.candidates import Candidate
from hitherto.advice.cells import gate_biases
from hitherto.architectures.gated import GRU, LSTM
from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.state_space import DiagonalStateSpace
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model, build
from hitherto.training.settings import Training


def architecture(candidate: Candidate) -> Architecture:
    """What a candidate describes."""
    d, n = candidate.channels, candidate.width
    if candidate.family == "rnn":
        layers = tuple(_rnn(candidate, level) for level in range(candidate.depth))
        return layers[0] if candidate.depth == 1 else Deep(layers)
    if candidate.family == "lru":
        low, high = (math.sqrt(end) for end in (candidate.start.low, candidate.start.high))
        return DiagonalStateSpace(d, n, d, r_min=low, r_max=high)
    if candidate.family == "2rnn":
        return SecondOrderRNN(d, n, d, activation=candidate.activation)
    return {"lstm": LSTM, "gru": GRU}[candidate.family](d, n, d, initialisation="pytorch")


def fresh(candidate: Candidate, seed: int) -> Model:
    """A candidate with fresh weights by its start."""
    model = build(architecture(candidate), seed)
    if candidate.start.law != "gates":
        return model
    biases = np.array(model.weights["bias_ih"])
    for block, added in gate_biases(candidate.family, candidate.start, candidate.width).items():
        biases[block * candidate.width : (block + 1) * candidate.width] += added
    return Model(model.architecture, model.weights | {"bias_ih": biases})


def training(candidate: Candidate, steps: int) -> Training:
    """How a candidate is trained."""
    named = "*weight_hh" if candidate.depth > 1 else "weight_hh"
    slowed = ((named, candidate.recurrent_rate),) if candidate.recurrent_rate != 1 else ()
    return Training(
        learning_rate=candidate.learning_rate,
        schedule="cosine",
        clip=1.0,
        learning_rate_factors=slowed,
        steps=steps,
        batch=32,
        validate_every=max(1, steps // 4),
        validation=256,
    )


def _rnn(candidate: Candidate, level: int) -> RNN:
    """A layer of a stack; the lowest meets the inputs, the highest has the readout."""
    d, n, start = candidate.channels, candidate.width, candidate.start
    top = d if level == candidate.depth - 1 else None
    entering = d if level == 0 else n
    if start.law == "pytorch":
        return RNN(entering, n, top, candidate.activation, initialisation="pytorch")
    return RNN(
        entering,
        n,
        top,
        candidate.activation,
        bias=candidate.activation != "linear",
        variance=start.high,
        initialisation=start.law,
        input_variance=start.entering if level == 0 else 1.0,
        readout_variance=start.readout,
    )
