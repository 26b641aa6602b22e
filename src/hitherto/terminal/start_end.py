"""`hitherto predict`, `measure` and `draw`: start-end ranks, cut profiles and tensor networks."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import flint
import numpy as np
from rich.console import Console

from hitherto import files
from hitherto.architectures.outside import Reading, choose, find
from hitherto.core.claim import whole
from hitherto.core.model import Architecture, Model
from hitherto.embedded import embedded_model
from hitherto.inputs import load_inputs
from hitherto.measures.cut_spectrum import cut_profile
from hitherto.measures.separation_rank import start_end_rank
from hitherto.papers.start_end import circuit, proven_bound
from hitherto.report.network_figure import network_figure
from hitherto.report.table import table
from hitherto.theory.start_end import GenericRank, generic_rank, saturation_length
from hitherto.theory.start_end_network import min_cut, tensor_network

PRINTED = 14_000  # bits of the longest number that Python prints
SUFFIXES = (".svg", ".png", ".pdf")


class Sizes(NamedTuple):
    """A circuit by numbers; `width` holds one width for all layers or one a layer."""

    depth: int
    width: tuple[int, ...]
    input_size: int

    @property
    def widths(self) -> tuple[int, ...]:
        """One width a layer.

        Raises:
            ValueError: if there are more or fewer.
        """
        if len(self.width) not in (1, self.depth):
            raise ValueError(
                f"{self.depth} layers were asked for with {len(self.width)} widths; give one, or one a layer"
            )
        return self.width * self.depth if len(self.width) == 1 else self.width


def predict_rank(sizes: Sizes, start: int, end: int, inputs: str, log10: bool, as_json: bool) -> None:
    """Print the closed form, its terms, and where one-hot ranks saturate."""
    found = generic_rank(sizes.depth, sizes.widths, sizes.input_size, start, end, _inputs(inputs))
    saturation = saturation_length(sizes.depth, sizes.widths, sizes.input_size)
    if as_json:
        print(json.dumps(_plain(found) | {"log10": found.log10, "saturation_length": saturation}))
        return
    show = (lambda n: f"10^{math.log10(n):.6f}") if log10 else _digits
    print(f"start-end rank {'=' if found.exact else '<='} {show(found.value)}")
    print(f"  {found.why} ({found.source})")
    rows = {
        "functions of the start, A_start": found.start_count,
        "functions of the end, A_end": found.end_count,
        "  without what cannot appear, A_end'": found.end_count_refined,
        "ways in which the state enters, B": found.state_count,
        "  without what cannot appear, B'": found.state_count_refined,
    }
    for name, value in rows.items():
        print(f"  {name:40} {'no closed form' if value is None else show(value)}")
    told = "never" if saturation is None else f"{saturation} steps"
    print(f"  {'saturation length (one-hot)':40} {told}")


def measure_rank(
    model: Path | Sizes, start: int, end: int, inputs: str, output: int | str | None, seed: int, as_json: bool
) -> None:
    """Print the exact rank of a saved model with its weights, or of random weights, and how sure it is."""
    asked: Model | Architecture = (
        _model(model, None) if isinstance(model, Path) else circuit(model.depth, model.widths, model.input_size)
    )
    architecture = asked.architecture if isinstance(asked, Model) else asked
    alone = output != "joint"  # the bound is for one output
    bound = proven_bound(architecture, start, end, _inputs(inputs)) if alone else None
    found = start_end_rank(asked, start, end, inputs=_inputs(inputs), output=output, bound=bound, seed=seed)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    ranks = [found.value] if isinstance(found.value, int) else np.asarray(found.value, int).tolist()
    print(f"start-end rank {', '.join(map(str, ranks))}: {found.statistics['status']}")
    if bound is not None:
        print(f"  proven upper bound {whole(bound)}")
    if found.cannot_tell:
        print(f"  {found.cannot_tell}")


def measure_cut_profile(
    model: Path | None, layer: str | None, inputs: Path | None, cuts: list[int] | None, seed: int, as_json: bool
) -> None:
    """Print entropy and interaction share of each cut over the user's sequences."""
    if model is None:
        loaded, sequences = embedded_model()
        sequences = load_inputs(inputs, loaded.architecture.input_size) if inputs else sequences
    elif inputs is None:
        raise ValueError("a cut profile recombines your own sequences: give --input data.npy")
    else:
        loaded = _model(model, layer)
        sequences = load_inputs(inputs, loaded.architecture.input_size)
    found = cut_profile(loaded, sequences, cuts=cuts, seed=seed)
    if as_json:
        print(json.dumps([estimate.to_dict() for estimate in found]))
        return
    Console(highlight=False).print(table(found))


def draw_network(sizes: Sizes, length: int, start: int, out: Path, as_json: bool) -> None:
    """Draw the tensor network with its minimum cut, and print the three numbers."""
    if out.suffix not in SUFFIXES:
        raise ValueError(f"cannot draw {out}: the suffix is {out.suffix!r}; give one of {', '.join(SUFFIXES)}")
    if len(set(sizes.widths)) > 1:
        raise ValueError(f"a tensor network is drawn for equal layers, found widths {sizes.widths}; give one width")
    files.check_writable(out)
    depth, width, input_size = sizes.depth, sizes.widths[0], sizes.input_size
    network = tensor_network(depth, length, width, input_size)
    cut = min_cut(network, start)
    bound = generic_rank(depth, width, input_size, start, length - start)
    rank = bound.value if bound.exact else _measured(sizes, start, length - start, bound.upper_bound)
    numbers = {"naive min-cut": cut.value, "symmetrised bound": bound.upper_bound, "exact rank": rank}
    title = f"{depth} layer{'s' * (depth > 1)}, {length} steps, width {width}, {input_size} features, cut after {start}"
    with files.replacing(out) as temporary:
        network_figure(network, cut.edges, numbers, title).savefig(temporary, format=out.suffix[1:], dpi=150)
    if as_json:
        print(json.dumps(numbers | {"edges": network.number_of_edges(), "cut": [list(edge) for edge in cut.edges]}))
        return
    print(" >= ".join(f"{name} {whole(value)}" for name, value in numbers.items()))
    print(f"Drawing: {out}")


def _measured(sizes: Sizes, start: int, end: int, bound: int) -> int:
    found = start_end_rank(circuit(sizes.depth, sizes.widths, sizes.input_size), start, end, bound=bound)
    return int(found.value)


def _model(path: Path, layer: str | None) -> Model:
    return choose(find(path, Reading()), layer, str(path)).model


def _inputs(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _digits(number: int) -> str:
    """All digits; Python's own printing stops at 4300 of them."""
    return flint.fmpz(number).str()


def _plain(found: GenericRank) -> dict[str, Any]:
    """Fields as JSON can hold them: numbers of more digits than Python prints become strings of digits."""
    fields = {name: getattr(found, name) for name in GenericRank.__dataclass_fields__}
    return {n: _digits(v) if type(v) is int and v.bit_length() > PRINTED else v for n, v in fields.items()}
