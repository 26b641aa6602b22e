"""One recurrent layer as Keras configures it, and the arrays of its cells, as a model in PyTorch's form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hitherto.architectures.activations import activation
from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.cells import KINDS, cell_plan
from hitherto.architectures.outside.found import Found, Reading
from hitherto.architectures.outside.keras_containers import StoredCell
from hitherto.architectures.outside.plan import joined, once
from hitherto.architectures.wrappers import MERGES, Backward, Bidirectional
from hitherto.core.model import Model

_KIND_OF = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN", "CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
_KIND_OF |= {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "RNN"}
_LAYERS = {"LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN"}
_STORED = "any stored kind"  # the class of a layer that no config tells


@dataclass(frozen=True, eq=False)
class LayerConfig:
    """What a config says of a layer or cell; where there is no config, nothing.

    Attributes:
        custom: the class is not Keras's own.
    """

    class_name: str = _STORED
    config: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = False

    @property
    def name(self) -> str:
        """The name that the user or Keras gave."""
        return str(self.config.get("name", self.class_name))

    @property
    def recurrent(self) -> bool:
        """Whether it is a recurrent layer that can be read, perhaps wrapped."""
        if self.class_name in ("Bidirectional", "TimeDistributed"):
            return not self.custom and inner(self, "layer").recurrent
        return not self.custom and self.class_name in _LAYERS


def layer_config(value: Any) -> LayerConfig:
    """The entry of a layer in a config.

    Raises:
        ValueError: if it has no class name and config.
    """
    if isinstance(value, dict):
        class_name, config = value.get("class_name"), value.get("config")
        custom = "module" in value and not re.match(r"(tf_)?keras\b", str(value["module"]))
        if isinstance(class_name, str) and isinstance(config, dict):
            return LayerConfig(class_name, config, custom)
        if isinstance(class_name, str) and isinstance(config, list):  # a Sequential model before Keras 2.2.3
            return LayerConfig(class_name, {"layers": config}, custom)
    raise ValueError(
        f"the config has {value!r:.80} where a layer with class_name and config was expected; save the model again"
    )


def inner(layer: LayerConfig, *keys: str) -> LayerConfig:
    """The layer or cell inside another, under the first of these keys that is there."""
    return layer_config(next((layer.config[key] for key in keys if layer.config.get(key)), None))


class Context(NamedTuple):
    """What is common to all layers of a file."""

    arrays: Arrays
    version: str | None
    reading: Reading


def read_layer(name: str, layer: LayerConfig, cells: Sequence[StoredCell], context: Context) -> list[Found]:
    """A recurrent layer as models: one, or one for each cell of a forward stack of cells, lowest first.

    Args:
        layer: LSTM, GRU, SimpleRNN, their CuDNN forms, RNN of cells, Bidirectional or TimeDistributed around
            one of these; the default LayerConfig where there is no config and the shapes decide.
        cells: those of the layer, in the order of the config; of Bidirectional, both directions.
    Raises:
        ValueError: if config and arrays do not fit, or the class or an activation is not supported.
    """
    if layer.class_name == "TimeDistributed":
        found = read_layer(name, inner(layer, "layer"), cells, context)
        return [_noted(one, "applied by TimeDistributed to every slice of its input") for one in found]
    backward = [cell for cell in cells if _is_backward(cell)]
    forward = [cell for cell in cells if not _is_backward(cell)]
    if layer.class_name == "Bidirectional" or (layer.class_name == _STORED and forward and backward):
        return [_bidirectional(name, layer, _Pair(forward, backward), context)]
    found = _one_direction(name, layer, cells, context)
    if not layer.config.get("go_backwards"):
        return found
    together = joined(name, found)
    backwards = Model(Backward(together.model.architecture, "reading"), together.model.weights)
    return [replace(together, model=backwards, members=())]


def _noted(found: Found, line: str) -> Found:
    return replace(found, assumptions=(*found.assumptions, line))


def _is_backward(cell: StoredCell) -> bool:
    sides = [part for part in cell.path if part.startswith(("forward_", "backward_"))]
    return bool(sides) and sides[-1].startswith("backward_")


class _Pair(NamedTuple):
    forward: Sequence[StoredCell]
    backward: Sequence[StoredCell]


def _bidirectional(name: str, layer: LayerConfig, cells: _Pair, context: Context) -> Found:
    ahead, back, merge, lines = layer, layer, "concat", ("merge of the two directions assumed concat",)
    if layer.class_name == "Bidirectional":
        ahead = inner(layer, "layer") if "layer" in layer.config else LayerConfig()
        back = inner(layer, "backward_layer", "layer") if "layer" in layer.config else LayerConfig()
        merge, lines = _merge(name, layer)
    if ahead.config.get("go_backwards"):
        raise ValueError(f"{name}: the forward layer of this Bidirectional goes backwards; that is not supported")
    found = [joined(name, _one_direction(name, c, s, context)) for c, s in zip((ahead, back), cells, strict=True)]
    architecture = Bidirectional(*(one.model.architecture for one in found), merge=merge)  # type: ignore[arg-type]
    weights = tuple(one.model.weights for one in found)
    assumptions = once((*(line for one in found for line in one.assumptions), *lines))
    return Found(name, Model(architecture, weights), assumptions)


def _merge(name: str, layer: LayerConfig) -> tuple[str, tuple[str, ...]]:
    merge = layer.config.get("merge_mode", "concat")
    if merge is None:
        return "concat", ("merge_mode None: the outputs of the two directions are set side by side",)
    if merge not in MERGES:
        raise ValueError(f"{name}: merge_mode {merge!r} is none of {', '.join(MERGES)}; save the model again")
    return merge, ()


# The cells of one direction


def _one_direction(name: str, layer: LayerConfig, cells: Sequence[StoredCell], context: Context) -> list[Found]:
    configs = _cell_configs(layer, len(cells))
    pairs = _matched(name, configs, cells)
    names = [name] if len(pairs) == 1 else [f"{name}/{number}" for number in range(len(pairs))]
    return [_read_cell(n, config, cell, context) for n, (config, cell) in zip(names, pairs, strict=True)]


def _cell_configs(layer: LayerConfig, stored: int) -> list[LayerConfig]:
    if layer.class_name == _STORED:
        return [layer] * stored
    if layer.class_name != "RNN":
        return [layer]
    cell = inner(layer, "cell")
    return [layer_config(c) for c in cell.config.get("cells", ())] if cell.class_name == "StackedRNNCells" else [cell]


def _matched(
    name: str, configs: Sequence[LayerConfig], cells: Sequence[StoredCell]
) -> list[tuple[LayerConfig, StoredCell]]:
    """Each config with its cell: in order, or in order of its class where the file names cells by class."""
    if len(configs) != len(cells) or not cells:
        raise ValueError(f"{name}: the config has {len(configs)} cells, the file {len(cells)}; save the model again")
    kinds = sorted({cell.kind for cell in cells})
    if configs[0].class_name == _STORED and len(kinds) > 1:
        raise ValueError(
            f"{name}: the order of its cells ({', '.join(kinds)}) cannot be seen in a file of weights; save "
            "the whole model as .keras"
        )
    left, pairs = list(cells), []
    for config in configs:
        fitting = [cell for cell in left if cell.kind in ("", snake_case(config.class_name))]
        if not fitting or config.class_name not in (*_KIND_OF, _STORED) or config.custom:
            raise ValueError(
                f"{name} is made of {config.class_name} cells; only LSTM, GRU and SimpleRNN of Keras itself "
                "are read, and no class is ever imported: save a model of these"
            )
        left.remove(fitting[0])
        pairs.append((config, fitting[0]))
    return pairs


def snake_case(class_name: str) -> str:
    """The name of a class as Keras 3 names its group: `SimpleRNN` is `simple_rnn`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", class_name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


# One cell


class _Cell(NamedTuple):
    """A cell with its arrays in Keras's layout."""

    name: str
    config: LayerConfig
    arrays: Mapping[str, np.ndarray]
    context: Context

    @property
    def cudnn(self) -> bool:
        """Whether the bias is flat and of twice the length: an input bias, then a recurrent bias."""
        return "bias" in self.arrays and self.arrays["bias"].shape == (2 * self.arrays["recurrent_kernel"].shape[1],)


def _read_cell(name: str, config: LayerConfig, stored: StoredCell, context: Context) -> Found:
    """One cell: matrices transposed, gate blocks in PyTorch's order, its activations and conventions."""
    cell = _Cell(name, config, {role: context.arrays.read(a) for role, a in stored.fields.items()}, context)
    _check_arrays(cell)
    upright = {f"{name} {role}": array for role, array in _by_torch_role(cell).items()}
    plan = cell_plan(
        name,
        {array.removeprefix(f"{name} "): array for array in upright},
        {array: values.shape for array, values in upright.items()},
        Reading(gates=context.reading.gates),
        "Keras",
    )
    settings, lines = _settings(cell, type(plan.architecture).__name__)
    model = Model(replace(plan.architecture, **settings), plan.weights(upright.__getitem__))
    return Found(name, model, (*lines, *_stored_said(config, stored, context)))


def _check_arrays(cell: _Cell) -> None:
    kernel, recurrent = cell.arrays["kernel"].shape, cell.arrays["recurrent_kernel"].shape
    if len(kernel) != 2 or len(recurrent) != 2 or kernel[1] != recurrent[1] or not 0 < recurrent[0] <= recurrent[1]:
        raise ValueError(
            f"{cell.name}: kernel {kernel} and recurrent_kernel {recurrent} are not (input, gates * units) "
            "and (units, gates * units); a convolutional or own recurrent layer is not supported"
        )
    biased = "bias" in cell.arrays
    found = {"kind": KINDS.get(recurrent[1] / recurrent[0]), "units": recurrent[0], "bias": biased}
    expected = {
        "kind": _KIND_OF.get(cell.config.class_name, found["kind"]),
        "units": cell.config.config.get("units", recurrent[0]),
        "bias": cell.config.config.get("use_bias", biased),
    }
    if expected != found:
        raise ValueError(
            f"{cell.name}: the config says {_told(expected)}, the arrays say {_told(found)}; save the model again"
        )


def _told(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{what} {value!r:.20}" for what, value in facts.items())


def _by_torch_role(cell: _Cell) -> dict[str, np.ndarray]:
    """The arrays by PyTorch's names, CuDNN's turned into Keras's plain form."""
    kernel, recurrent, bias = (cell.arrays.get(role) for role in ("kernel", "recurrent_kernel", "bias"))
    if cell.cudnn:
        kernel, recurrent, bias = from_cudnn(kernel, recurrent, bias)
    named = {"weight_ih": kernel, "weight_hh": recurrent}
    if bias is None:
        return named
    return named | ({"bias": bias} if bias.ndim == 1 else {"bias_ih": bias[0], "bias_hh": bias[1]})


def from_cudnn(
    kernel: Float[np.ndarray, "input gates"],
    recurrent_kernel: Float[np.ndarray, "units gates"],
    bias: Float[np.ndarray, " both"],
) -> tuple[Float[np.ndarray, "input gates"], Float[np.ndarray, "units gates"], Float[np.ndarray, "2 gates"]]:
    """Arrays of a CuDNN layer in the layout of a plain one, with a bias of two rows.

    The input block of each gate is the run of a (units, input) matrix, the recurrent block is transposed. The
    first half of the bias belongs to the input, the second to the recurrence.
    """
    units = len(recurrent_kernel)
    gates = recurrent_kernel.shape[1] // units
    blocks = [block.reshape(units, -1).T for block in np.split(kernel, gates, axis=1)]
    recurrent = [block.T for block in np.split(recurrent_kernel, gates, axis=1)]
    return np.hstack(blocks), np.hstack(recurrent), bias.reshape(2, -1)


def _stored_said(config: LayerConfig, stored: StoredCell, context: Context) -> tuple[str, ...]:
    kinds = dict.fromkeys(context.arrays.dtypes[name] for name in stored.fields.values())
    lines = [f"{kind} weights widened to float32" for kind in kinds if kind in ("float16", "bfloat16")]
    known = config.class_name != _STORED and not config.config.get("stateful")
    return (*lines, *(() if known else ("initial state assumed zeros",)))


# Activations and conventions, by config or by version

Said = tuple[str, ...]


def _settings(cell: _Cell, kind: str) -> tuple[dict[str, Any], Said]:
    """Fields of the architecture that the shapes do not give, and what had to be assumed for them."""
    reading = cell.context.reading
    candidate, lines = _activation(cell, "activation", reading.activation)
    settings: dict[str, Any] = {"activation": candidate}
    if kind == "RNN":
        return settings, lines
    settings["gate_activation"], said = _activation(cell, "recurrent_activation", reading.recurrent_activation)
    lines += said
    if kind == "LSTM":
        settings["cell_activation"] = candidate
    else:
        settings["reset"], said = _reset(cell)
        lines += said
    if reading.gates and len(reading.gates) == {"LSTM": 4, "GRU": 3}[kind]:
        lines += (f"gate order {', '.join(reading.gates)} as given",)
    return settings, lines


def _activation(cell: _Cell, role: str, asked: str | None) -> tuple[str, Said]:
    if asked:
        return activation(asked).name, (f"{role.replace('_', ' ')} {asked} as given",)
    if cell.cudnn:
        return ("tanh" if role == "activation" else "sigmoid"), ()
    if role in cell.config.config:
        return _named(cell, cell.config.config[role])
    if role == "activation":
        return "tanh", ("activation assumed tanh",)
    return _default_gate(cell.context.version)


def _named(cell: _Cell, stated: Any) -> tuple[str, Said]:
    """Our name of an activation that a config states, which may depend on the version that wrote it."""
    if stated is None:
        return "linear", ()
    if not isinstance(stated, str):
        told = stated.get("registered_name") or stated.get("class_name") if isinstance(stated, dict) else stated
        raise ValueError(
            f"{cell.name}: its activation is the object {told!r:.60}, and only Keras's own activations are "
            "read; train with one of them, by name"
        )
    if stated == "hard_sigmoid":
        return _hard_sigmoid(cell.context.version)
    ours = {"swish": "silu", "leaky_relu": "leaky_relu(0.2)"}.get(stated, stated)
    try:
        return activation(ours).name, ()
    except ValueError as error:
        raise ValueError(f"{cell.name}: its activation {stated!r} is not supported: {error}") from error


def _hard_sigmoid(version: str | None) -> tuple[str, Said]:
    if version is None:
        return "hard_sigmoid(0.2,0.5)", ("hard_sigmoid assumed to be that of Keras 2: the file has no version",)
    return f"hard_sigmoid({1 / 6 if _release(version) >= (3,) else 0.2},0.5)", ()


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _default_gate(version: str | None) -> tuple[str, Said]:
    if version is None:
        return "sigmoid", ("recurrent activation assumed sigmoid: the file has no Keras version",)
    if _release(version) >= (2, 3):
        return "sigmoid", (f"recurrent activation assumed sigmoid, the default of Keras {version}",)
    if version.endswith("-tf"):
        return "sigmoid", (f"recurrent activation assumed sigmoid: with Keras {version} it may be hard_sigmoid",)
    return "hard_sigmoid(0.2,0.5)", (f"recurrent activation assumed hard_sigmoid, the default of Keras {version}",)


def _reset(cell: _Cell) -> tuple[str, Said]:
    asked, version = cell.context.reading.reset, cell.context.version
    if asked:
        return asked, (f"reset convention {asked} as given",)
    if "bias" in cell.arrays:
        return ("after" if cell.cudnn or cell.arrays["bias"].ndim == 2 else "before"), ()
    if "reset_after" in cell.config.config:
        return ("after" if cell.config.config["reset_after"] else "before"), ()
    alone = version is not None and not version.endswith("-tf") and _release(version) < (2, 4)
    convention = "before" if alone else "after"
    written = f"Keras {version}" if version else "no Keras version"
    return convention, (f"reset convention assumed {convention}: no bias and no config tell it ({written})",)
