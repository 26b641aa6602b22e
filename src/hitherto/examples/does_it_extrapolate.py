"""Does it extrapolate? python -m hitherto.examples.does_it_extrapolate [MODEL.safetensors TOKENS.npy TRAINED READOUT]

Without arguments: the character LSTM of the package, trained on stretches of 128; else your model, its tokens as whole
numbers (sequence, time), the length it was trained on and the name of its linear readout. loss: bits for the next
token, by how many were read since the zero state, with its standard error; norm: root mean square of the state.
"""

import sys
from dataclasses import replace
from importlib.resources import files

import numpy as np
from safetensors.numpy import load_file

import hitherto
from hitherto.core.task import Sequences
from hitherto.inputs import load_inputs
from hitherto.measures.task_loss import task_loss

embedded = files("hitherto.embedded") / "python_source_lstm.safetensors"
path, tokens, trained, linear = sys.argv[1:] or (embedded, None, 128, "readout")
layer, arrays = hitherto.load(path), load_file(path)
readout = {"readout": arrays[f"{linear}.weight"], "readout_bias": arrays[f"{linear}.bias"]}
model = hitherto.Model(replace(layer.architecture, readout_size=len(readout["readout"])), layer.weights | readout)
text = load_inputs(tokens, layer.architecture.input_size) if tokens else hitherto.embedded_model()[1][:32]
inputs, targets, read = text[:, :-1], text[:, 1:].argmax(-1), np.arange(text.shape[1] - 1)
states = [np.concatenate(hitherto.states_and_outputs(model, x)[0], axis=1) for x in inputs[:8]]
rows = []
print("tokens read     loss  error  norm")
for first in [0, *(2**k for k in range(20) if 2**k < len(read))]:
    among = (read >= first) & (read < max(1, 2 * first))
    loss = task_loss(model, Sequences(inputs, targets, np.tile(among, (len(inputs), 1))))
    bits, norm = np.array([loss.value, loss.standard_error]) / np.log(2), np.square(states)[:, among].mean() ** 0.5
    rows.append((first, *bits, norm))
    print("{:11} {:8.3f} {:6.3f} {:5.2f}".format(*rows[-1]))
at, least, error, norm = min(rows, key=lambda row: row[1])
worse = [t for t, loss, e, n in rows if t >= int(trained) and (loss - least > 2 * (error + e) or n > 2 * norm)]
end = f"fails from {worse[0]} on: reset it there" if worse else f"holds to {len(read)}: no reset is needed"
print(f"Saturates after {at} tokens: give it so many before you ask; trained on {trained}, it {end}.")
