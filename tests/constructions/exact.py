"""Networks of linear and CP second-order layers run in exact fractions, straight from their definitions."""

from fractions import Fraction

import numpy as np

from hitherto.architectures.wrappers import Deep


def fractions(array):
    """Every number as the fraction that it is."""
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array).astype(object))


def exact_states(model, inputs):
    """States of every layer after every step: [step][layer], object arrays."""
    weights = model.weights if isinstance(model.architecture, Deep) else (model.weights,)
    layers = [{name: fractions(w) for name, w in layer.items()} for layer in weights]
    states = [_first(layer) for layer in layers]
    history = []
    for x in inputs:
        signal = fractions(x)
        for number, layer in enumerate(layers):
            signal = states[number] = _next(layer, states[number], signal)
        history.append(list(states))
    return history


def exact_outputs(model, inputs):
    """What the readout of the top layer shows, step by step, as lists of fractions."""
    weights = model.weights[-1] if isinstance(model.architecture, Deep) else model.weights
    readout = fractions(weights["readout"])
    constant = fractions(weights.get("readout_bias", np.zeros(len(readout))))
    return [(readout @ states[-1] + constant).tolist() for states in exact_states(model, inputs)]


def _first(layer):
    width = len(layer["weight_hh"] if "weight_hh" in layer else layer["factor_out"])
    return layer.get("initial_h", fractions(np.zeros(width)))


def _next(layer, h, x):
    new = sum(layer[name] for name in ("bias", "bias_ih", "bias_hh") if name in layer)
    if "weight_hh" in layer:
        new = new + layer["weight_hh"] @ h + layer["weight_ih"] @ x
    if "factor_out" in layer:
        new = new + layer["factor_out"] @ ((layer["factor_hidden"].T @ h) * (layer["factor_input"].T @ x))
    return new
