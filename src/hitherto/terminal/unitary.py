"""`hitherto convert unitary` and `hitherto verdict unitary`: orthogonal recurrent weights with the same outputs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from hitherto.architectures.outside import Reading, choose, find
from hitherto.architectures.outside.torch_names import save
from hitherto.conversions.to_unitary import LayerCertificate, UnitaryCertificate, to_unitary
from hitherto.conversions.unitary_verdict import unitary_verdict
from hitherto.core.model import Model
from hitherto.inputs import load_inputs


class Asked(NamedTuple):
    """What both commands take; `data` and `epsilon` are for conversions."""

    input_bound: float | None
    box: tuple[float, float] | None
    data: Path | None
    horizon: int | None
    layer: str | None
    activation: str | None
    epsilon: float | None = None


def convert_file(path: Path, out: Path, asked: Asked, states: str, as_json: bool) -> None:
    """Write the twin and print its certificate.

    Raises:
        ValueError: if there is no twin or none is known, the files cannot be read or written, or options do not fit.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"the twin was to be written to {out}; name a .safetensors file")
    model = _model(path, asked)
    data = None if asked.data is None else load_inputs(asked.data, model.architecture.input_size)
    found = to_unitary(
        model,
        input_bound=asked.input_bound,
        input_box=asked.box,
        horizon=asked.horizon,
        data=None if data is None else data.astype(np.float64),
        mode="exact" if asked.epsilon is None else "epsilon",
        epsilon=asked.epsilon,
        states=int(states) if states.isdigit() else states,
    )
    save(found.model, out)
    certificate = found.certificate
    if as_json:
        totals = dict(before=certificate.before, states=certificate.states, residual=certificate.residual)
        print(json.dumps(asdict(certificate) | totals | dict(weights=str(out))))
        return
    _print(certificate, out)


def print_verdict(path: Path, asked: Asked, exact: bool, as_json: bool) -> None:
    """Print outcome, theorem and reason of every layer.

    Raises:
        ValueError: if the file cannot be read, or options do not fit.
    """
    found = unitary_verdict(_model(path, asked), asked.input_bound, asked.box, asked.horizon, exact=exact)
    if as_json:
        print(json.dumps([dict(layer=v.name, kind=v.kind, norm=v.norm) | asdict(v.verdict) for v in found]))
        return
    console = Console(highlight=False, markup=False)
    for layer in found:
        size = "" if layer.norm is None else f", norm {layer.norm:.6g}"
        console.print(f"{layer.name or 'one layer'} ({layer.kind}{size})", style="bold")
        answer = layer.verdict
        states = "" if answer.states is None else f", {answer.states:,} states"
        console.print(f"  {answer.outcome}{states}: {answer.reason}", soft_wrap=True)
        if answer.theorem != "none":
            console.print(f"  by {answer.theorem}")


def _model(path: Path, asked: Asked) -> Model:
    return choose(find(path, Reading(asked.activation)), asked.layer, str(path)).model


def _print(certificate: UnitaryCertificate, out: Path) -> None:
    console = Console(highlight=False, markup=False)
    steps = "any number of steps" if certificate.horizon is None else f"{certificate.horizon:,} steps"
    console.print(f"{certificate.outcome.capitalize()}: {certificate.inputs}, over {steps}.", style="bold")
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layer", "states", "at least", "norm", "rescaled", "|W^T W - I|"):
        shown.add_column(column, justify="right")
    for number, layer in enumerate(certificate.layers):
        shown.add_row(
            str(number),
            f"{layer.before:,} -> {layer.states:,}",
            "" if layer.fewest is None else f"{layer.fewest:,}",
            f"{layer.norm:.6g}",
            f"{layer.scaled_norm:.6g}",
            f"{layer.residual:.1e}",
        )
    console.print(shown)
    for number, layer in enumerate(certificate.layers):
        console.print(f"Layer {number}: {layer.reason}{_bounds(layer)}.", soft_wrap=True)
    console.print(f"Measured: outputs differ by {certificate.gap:.1e} of their size over {certificate.steps:,} steps.")
    console.print(f"Weights: {out}")


def _bounds(layer: LayerCertificate) -> str:
    """What extra units receive at most, by the bound that was used, and by the others."""
    told = [f"{layer.bounds[name]:.4g} by {name}" for name in layer.used if name in layer.bounds]
    others = [f"{value:.4g} by {name}" for name, value in layer.bounds.items() if name not in layer.used]
    if not told:
        return ""
    return f"; they receive at most {', '.join(told)}" + (f" ({', '.join(others)})" if others else "")
