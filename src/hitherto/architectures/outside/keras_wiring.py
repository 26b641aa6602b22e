"""Which recurrent layers of a Keras model read one another, from its config or the order of its weights."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, groupby, pairwise, permutations
from typing import Any, NamedTuple

from hitherto.architectures.outside.found import Found
from hitherto.architectures.outside.keras_containers import Contents, StoredCell, by_number
from hitherto.architectures.outside.keras_layers import (
    Context,
    LayerConfig,
    inner,
    layer_config,
    read_layer,
    snake_case,
)
from hitherto.architectures.outside.plan import BETWEEN, joined

_MODELS = ("Sequential", "Functional", "Model")
_PASSING = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout")
_PASSING += ("ActivityRegularization", "Identity")  # layers that change nothing once training is over
_CONTAINERS = (
    "layers",
    "_layer_checkpoint_dependencies",
)  # groups whose members are named by class and number
_MOST_ORDERED = 6  # layers of several classes whose orders are all tried


class Use(NamedTuple):
    """A recurrent layer in its place.

    Attributes:
        name: path through nested models, then its own name.
        cells: those of the layer, in the order of the config.
        source: the name of the recurrent layer whose outputs it reads as they are, None for anything else.
        said: what the model does with it that a stack of layers does not show.
    """

    name: str
    layer: LayerConfig
    cells: tuple[StoredCell, ...]
    source: str | None = None
    said: tuple[str, ...] = ()


def chains(uses: Sequence[Use], context: Context) -> list[Found]:
    """Uses as models; those whose source feeds no other recurrent layer are stacked on it."""
    layers = {use.name: _read(use, context) for use in uses}
    fed = [use.source for use in uses]
    above = {use.source: use for use in uses if use.source and fed.count(use.source) == 1}
    starts = [use for use in uses if above.get(use.source) is not use]
    return [_stack([layers[use.name] for use in _upwards(start, above)]) for start in starts]


def _read(use: Use, context: Context) -> list[Found]:
    found = read_layer(use.name, use.layer, use.cells, context)
    return [replace(one, assumptions=(*one.assumptions, *use.said)) for one in found]


def _upwards(start: Use, above: Mapping[str | None, Use]) -> Iterator[Use]:
    use: Use | None = start
    while use is not None:
        yield use
        use = above.get(use.name)


def _stack(layers: Sequence[list[Found]], *lines: str) -> Found:
    found = [one for layer in layers for one in layer]
    return joined(" + ".join(one.name for one in found), found, *lines)


# With a config


def configured(contents: Contents) -> list[Use]:
    """The recurrent layers of the model that the config describes, in its order.

    Raises:
        ValueError: if the config is not one of a Sequential or Functional model, a layer of another class
            holds recurrent weights, or config and weights do not fit.
    """
    model = layer_config(contents.config)
    if model.class_name not in _MODELS or model.custom:
        raise ValueError(
            f"{contents.arrays.source}: the config is of the class {model.class_name}, which does not say "
            "how its layers are wired; save weights with save_weights('model.weights.h5') and read those"
        )
    uses, _ = _walk(model, _Weights(contents.cells, contents.numbered, top=True), None)
    claimed = {cell.fields["kernel"] for use in uses for cell in use.cells}
    left = [cell for cell in contents.cells if cell.fields["kernel"] not in claimed]
    if left:
        raise ValueError(f"{contents.arrays.source}: {_unread(left[0], model)}")
    return uses


def _unread(cell: StoredCell, model: LayerConfig) -> str:
    names = {re.sub(r"_\d+$", "", part) for part in cell.path} | set(cell.path)
    owners = [one for one in _below(model) if not one.recurrent and {one.name, snake_case(one.class_name)} & names]
    owner = f"{owners[-1].name}, a {owners[-1].class_name}," if owners else "no layer that the config lists"
    return (
        f"the recurrent weights {cell.fields['recurrent_kernel']} are held by {owner} and only LSTM, GRU, "
        "SimpleRNN and RNN of Keras itself are read; no class is ever imported: save a model of these"
    )


class _Call(NamedTuple):
    """What one call of a layer reads: outputs of other layers, each as (layer, call, output)."""

    reads: tuple[tuple[str, int, int], ...]


class _Entry(NamedTuple):
    """A layer in the list of a model's layers, with its calls where the model is not sequential."""

    layer: LayerConfig
    calls: tuple[_Call, ...]

    def source(self, leaving: Mapping[str, str | None]) -> str | None:
        """What the layer reads, if that is one sequence in one call."""
        if len(self.calls) != 1 or len(self.calls[0].reads) != 1:
            return None
        below, *which = self.calls[0].reads[0]
        return leaving.get(below) if which == [0, 0] else None

    def said(self) -> tuple[str, ...]:
        """What the model does with the layer beside giving it a sequence."""
        if len(self.calls) > 1:
            return (f"called {len(self.calls)} times in the model",)
        states = [below for call in self.calls for below, _, _ in call.reads[1:]]
        return (f"initial state assumed zeros; in the model it comes from {states[0]}",) if states else ()


def _below(model: LayerConfig) -> Iterator[LayerConfig]:
    """All layers of a model, those of nested models after each."""
    for value in _list(model, "layers"):
        layer = layer_config(value)
        yield layer
        if layer.class_name in _MODELS:
            yield from _below(layer)


def _list(model: LayerConfig, key: str) -> list[Any]:
    value = model.config.get(key)
    if not isinstance(value, list):
        raise ValueError(f"the config of {model.name} has no list of {key}; save the model again")
    return value


def _entries(model: LayerConfig) -> list[_Entry]:
    entries = []
    for value in _list(model, "layers"):
        layer, nodes = layer_config(value), value.get("inbound_nodes", [])
        calls = [_Call(tuple(_reads(node))) for node in nodes] if isinstance(nodes, list) else []
        entries.append(_Entry(layer, tuple(call for call in calls if call.reads)))
    return entries


def _reads(node: Any) -> Iterator[tuple[str, int, int]]:
    """The outputs that a node of the graph names: as `keras_history` in Keras 3, in a bare list before."""
    if isinstance(node, dict):
        node = [node["keras_history"]] if "keras_history" in node else list(node.values())
    if isinstance(node, list) and len(node) > 2 and [type(part) for part in node[:3]] == [str, int, int]:
        yield node[0], node[1], node[2]
        node = node[3:]
    for part in node if isinstance(node, list) else ():
        yield from _reads(part)


def _walk(model: LayerConfig, weights: "_Weights", signal: str | None, path: str = "") -> tuple[list[Use], str | None]:
    """The uses in a model that reads `signal`, and what leaves the model.

    A signal is the name of the recurrent layer whose outputs arrive as they are, or None for anything else.
    """
    entries, sequential = _entries(model), model.class_name == "Sequential"
    inputs = [entry for entry in entries if entry.layer.class_name == "InputLayer"]
    uses, last = [], signal
    leaving: dict[str, str | None] = {entry.layer.name: signal if len(inputs) == 1 else None for entry in inputs}
    ranks: Counter[str] = Counter()
    for entry in entries:
        layer = entry.layer
        if layer.class_name == "InputLayer":
            continue
        reads = last if sequential else entry.source(leaving)
        if _holds(layer):
            found, last = _enter(entry, weights.of(layer, ranks[layer.class_name]), reads, path)
            ranks[layer.class_name] += 1
            uses += found
        else:
            last = reads if layer.class_name in _PASSING and not layer.custom else None
        leaving[layer.name] = last
    return uses, last if sequential else _output(model, leaving)


def _holds(layer: LayerConfig) -> bool:
    """Whether there is a layer that can be read in this one, or this is one."""
    nested = layer.class_name in _MODELS and not layer.custom
    return layer.recurrent or (nested and any(one.recurrent for one in _below(layer)))


def _enter(entry: _Entry, weights: "_Weights", reads: str | None, path: str) -> tuple[list[Use], str | None]:
    layer, name = entry.layer, f"{path}{entry.layer.name}"
    if not layer.recurrent:
        return _walk(layer, weights, reads, f"{name}/")
    if layer.class_name == "TimeDistributed":
        return [Use(name, layer, weights.cells, None, entry.said())], None
    config = (inner(layer, "layer") if layer.class_name == "Bidirectional" else layer).config
    passes_all = config.get("return_sequences") and layer.config.get("merge_mode", "") is not None
    return [Use(name, layer, weights.cells, reads, entry.said())], name if passes_all else None


def _output(model: LayerConfig, leaving: Mapping[str, str | None]) -> str | None:
    outputs = list(_reads(model.config.get("output_layers")))
    return _Entry(model, (_Call(tuple(outputs)),)).source(leaving)


@dataclass(frozen=True, eq=False)
class _Weights:
    """Cells of some model or layer, their paths from there on."""

    cells: tuple[StoredCell, ...]
    numbered: bool
    top: bool = False

    def of(self, layer: LayerConfig, rank: int) -> "_Weights":
        """Those of a layer, the one number `rank` of its class among those with recurrent weights.

        In the legacy layout the top groups have the names of the layers. Deeper, these names are somewhere in
        the paths, but those of nested models may have left no trace.
        """
        if self.numbered:
            groups = sorted(self._groups(layer), key=by_number)[rank : rank + 1]
            below = [c._replace(path=c.path[2:]) for c in self.cells if c.path[1:2] == tuple(groups)]
        elif self.top:
            below = [c._replace(path=c.path[1:]) for c in self.cells if c.path[0] == layer.name]
        else:
            named = [c for c in self.cells if layer.name in c.path]
            below = [c._replace(path=c.path[c.path.index(layer.name) + 1 :]) for c in named]
            below = below or (list(self.cells) if layer.class_name in _MODELS else [])
        return _Weights(tuple(below), self.numbered)

    def _groups(self, layer: LayerConfig) -> set[str]:
        pattern = rf"{re.escape(snake_case(layer.class_name))}(_\d+)?"
        return {c.path[1] for c in self.cells if c.path[0] in _CONTAINERS and re.fullmatch(pattern, c.path[1])}


# With weights alone

Layer = list[Found]  # more than one where its cells are a stack


def unconfigured(contents: Contents, context: Context) -> list[Found]:
    """The recurrent layers of a file of weights, chained where order and widths leave no doubt.

    In the legacy layout the order of all layers is known, and any other layer between two keeps them apart.
    In the layout of Keras 3 it is known for the layers of one class; for several, their widths must leave one
    order. Equal widths prove nothing: layers that keep the width are chained only if their names differ in a
    number alone.
    """
    places = _places(contents)
    layers = {
        place: read_layer(_name(contents, places, place), LayerConfig(), cells, context)
        for place, cells in places.items()
    }
    if contents.numbered:
        containers = groupby(sorted(layers, key=lambda place: place[:-1]), key=lambda place: place[:-1])
        runs = [run for _, within in containers for run in _numbered_runs(list(within), layers)]
        return [stack for run in runs for stack in _stacks(run, BETWEEN)]
    return [stack for run in _legacy_runs(contents, layers) for stack in _stacks(run)]


Place = tuple[str, ...]  # the path of a layer


def _place(cell: StoredCell, numbered: bool) -> Place:
    """The path of the layer that a cell belongs to."""
    path = cell.path
    if numbered:
        path = path[:-1] if path[-1] == "cell" else path[:-3]
        return path[:-1] if path[-1] in ("forward_layer", "backward_layer") else path
    inside = re.compile("forward_|backward_|stacked_rnn_cells")
    within = [k for k, part in enumerate(path) if k and inside.match(part)]
    if within:
        return path[: within[0]]
    return path[:-1] if len(path) > 2 and re.fullmatch(r".*_cell(_\d+)?", path[-1]) else path


def _places(contents: Contents) -> dict[Place, list[StoredCell]]:
    """Every layer with its cells."""
    places: dict[Place, list[StoredCell]] = {}
    for cell in contents.cells:
        places.setdefault(_place(cell, contents.numbered), []).append(cell)
    return places


def _name(contents: Contents, places: Iterable[Place], place: Place) -> str:
    """The name that a layer was given, after those of the models around it."""
    if contents.numbered:
        given = [contents.labels.get("/".join(place[: k + 1])) or part for k, part in enumerate(place)]
        named = [part not in (*_CONTAINERS, "layer") for part in place]
        return "/".join(compress(given, named))
    alone = sum(other[0] == place[0] for other in places) == 1
    return place[0] if alone else f"{place[0]}/{place[-1]}"


def _numbered_runs(places: list[Place], layers: Mapping[Place, Layer]) -> list[list[Layer]]:
    if len({_stem(place[-1]) for place in places}) == 1:
        return [[layers[place] for place in places]]
    few = len(places) <= _MOST_ORDERED and places[0][-2:-1] != () and places[0][-2] in _CONTAINERS
    orders = [order for order in permutations(places) if _fit(order, layers)] if few else []
    if len(orders) == 1:
        return [[layers[place] for place in orders[0]]]
    line = "the order of the layers cannot be seen in this file"
    return [[[replace(one, assumptions=(*one.assumptions, line)) for one in layers[place]]] for place in places]


def _fit(order: Sequence[Place], layers: Mapping[Place, Layer]) -> bool:
    return all(_fits(layers[below], layers[above]) for below, above in pairwise(order))


def _legacy_runs(contents: Contents, layers: Mapping[Place, Layer]) -> list[list[Layer]]:
    runs: list[list[Layer]] = [[]]
    for name in contents.layer_names:
        here = [layer for place, layer in layers.items() if place[0] == name]
        runs[-1] += here
        if not here and not name.startswith(("dropout", "input")):
            runs.append([])
    return runs


def _stacks(run: Sequence[Layer], *lines: str) -> list[Found]:
    """The layers of a run whose widths fit as stacks, cut where they do not."""
    parts: list[list[Layer]] = []
    for layer in run:
        if parts and _fits(parts[-1][-1], layer):
            parts[-1].append(layer)
        else:
            parts.append([layer])
    said = ("; ".join(("layers chained by order and width (assumed)", *lines)),)
    return [_stack(part, *(said if len(part) > 1 else ())) for part in parts]


def _fits(below: Layer, above: Layer) -> bool:
    given, taken = below[-1].model.architecture.output_size, above[0].model.architecture.input_size
    widened = below[0].model.architecture.input_size != taken
    return given == taken and (widened or _stem(below[0].name) == _stem(above[0].name))


def _stem(name: str) -> str:
    return re.sub(r"(_\d+)?(/\d+)?$", "", name)
