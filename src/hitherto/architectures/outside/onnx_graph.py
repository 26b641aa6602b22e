"""An ONNX graph as names to look up, with constants worked out backwards from them; it is never executed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message

from hitherto.architectures.outside.arrays import Arrays
from hitherto.architectures.outside.onnx_operators import OPERATORS, output_elements
from hitherto.architectures.outside.onnx_tensors import ELEMENT_BYTES, tensor_array, tensor_bytes

DEEPEST_SCOPE = 32
LONGEST_CHAIN = 64
MOST_NODES = 200_000
LARGEST_FILE = 2**31 - 1
OWN_DOMAINS = ("", "ai.onnx")

# the types of the attributes that are read, which are the same in all operators
_ATTRIBUTES = (
    dict.fromkeys(("hidden_size", "layout", "linear_before_reset", "input_forget"), "INT")
    | dict.fromkeys(("axis", "to", "allowzero", "start", "end", "value_int", "block_size"), "INT")
    | dict.fromkeys(("axes", "perm", "shape", "split", "starts", "ends", "value_ints"), "INTS")
    | dict.fromkeys(("activation_alpha", "activation_beta", "value_floats"), "FLOATS")
    | dict.fromkeys(("clip", "value_float"), "FLOAT")
    | {"direction": "STRING", "activations": "STRINGS", "value": "TENSOR"}
)


def parsed(path: Path) -> onnx.ModelProto:
    """The model in a file; tensors kept in other files are not touched.

    Raises:
        ValueError: if the file is empty, too long for its format, or something else.
    """
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise ValueError(
            f"{path.name} has {size} bytes; an ONNX file has 1 to {LARGEST_FILE}: "
            "store large weights in a file beside it"
        )
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(
            f"{path.name} is not an ONNX file, or is cut off ({error}); export or fetch it again"
        ) from error
    if wrong := next((text for text in _texts(model) if isinstance(text, bytes)), None):
        raise ValueError(f"{path.name} has the name {wrong[:40]!r}, which is not UTF-8: the file is damaged")
    return model


def _texts(message: Message) -> Iterator[str | bytes]:
    """All text of a message but that for people; protobuf hands out bytes where it is not UTF-8."""
    for described, value in message.ListFields():
        values = (value,) if isinstance(value, str | bytes | Message) else value
        if described.name in ("doc_string", "metadata_props"):
            continue
        if described.type == described.TYPE_STRING:
            yield from values
        elif described.type == described.TYPE_MESSAGE:
            for inner in values:
                yield from _texts(inner)


class NotConstant(ValueError):
    """A value that depends on the inputs of the graph; the message says through which operator or input.

    Attributes:
        width: the last dimension an input is declared with, if it is an input and declares one.
    """

    def __init__(self, through: str, width: int | None = None):
        super().__init__(through)
        self.width = width


@dataclass(eq=False)
class Scope:
    """One graph, branch, loop body or function body: what its names stand for.

    Attributes:
        path: display path with a trailing slash, "" for the main graph.
        nodes: in the order of the file.
        tensors: initializers by name.
        widths: the last dimension of each input of the graph, None where it is not declared.
        outer: the scope around a subgraph, whose names are visible inside.
        bound: for a function body, the caller's scope and name behind each input.
        settings: for a function body, its attribute values by name.
    """

    path: str
    nodes: tuple[onnx.NodeProto, ...]
    tensors: Mapping[str, onnx.TensorProto]
    widths: Mapping[str, int | None]
    outer: "Scope | None" = None
    bound: Mapping[str, tuple["Scope", str]] = field(default_factory=dict)
    settings: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    depth: int = 0

    @cached_property
    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node behind each computed name."""
        return {name: node for node in self.nodes for name in node.output if name}

    def stored(self) -> Iterator[tuple[str, onnx.TensorProto]]:
        """Names and tensors that stand in the file as they are."""
        yield from self.tensors.items()
        for node in self.nodes:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    yield from ((name, attribute.t) for name in node.output[:1])

    @cached_property
    def display(self) -> dict[int, str]:
        """What each node, by its `id`, is called: path and own name, or `op#index` where it has none."""
        taken, seen, names = Counter(node.name for node in self.nodes), Counter(), {}
        for node in self.nodes:
            own = node.name if node.name and taken[node.name] == 1 else f"{node.op_type}#{seen[node.op_type]}"
            names[id(node)] = self.path + own
            seen[node.op_type] += 1
        return names

    def attribute_protos(self, node: onnx.NodeProto) -> Iterator[tuple[str, onnx.AttributeProto]]:
        """The node's attributes by name, those of a function filled in from its call."""
        for attribute in node.attribute:
            value = self.settings.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
            if value is not None:
                yield attribute.name, value


class OnnxGraph:
    """The scopes of a model and the constants in them.

    Constants are worked out backwards, one array a name, within limits on the length of a chain, on the bytes
    of all arrays together and on the depth and number of nodes.

    Raises:
        ValueError: from every method, if the file is damaged or leaves the limits.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, max_bytes: int):
        self._functions = {(f.domain, f.name, getattr(f, "overload", "")): f for f in model.functions}
        self._folder, self._max_bytes = folder, max_bytes
        self._bytes = self._nodes = 0
        self._known: dict[tuple[int, str], np.ndarray] = {}
        self._open: list[tuple[int, str]] = []
        self.main = _subgraph("", model.graph, None, 0)
        self.scopes = tuple(self._scopes(self.main))

    def _scopes(self, scope: Scope) -> Iterator[Scope]:
        if scope.depth > DEEPEST_SCOPE:
            raise ValueError(
                f"graphs are nested more than {DEEPEST_SCOPE} deep at {scope.path[:80]}...; no exporter does "
                "that, the file is damaged or hostile"
            )
        yield scope
        for node in scope.nodes:
            self._nodes += 1
            if self._nodes > MOST_NODES:
                raise ValueError(f"the graph has more than {MOST_NODES} nodes, calls of functions counted; too many")
            for inner in self._inside(scope, node):
                yield from self._scopes(inner)

    def _inside(self, scope: Scope, node: onnx.NodeProto) -> Iterator[Scope]:
        path = scope.display[id(node)]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield _subgraph(f"{path}.{attribute.name}/", attribute.g, scope, scope.depth + 1)
            for number, graph in enumerate(attribute.graphs):
                yield _subgraph(f"{path}.{attribute.name}[{number}]/", graph, scope, scope.depth + 1)
        function = self._functions.get((node.domain, node.op_type, getattr(node, "overload", "")))
        if function is not None:
            yield _called(f"{path}/", function, node, scope)

    def attributes(self, scope: Scope, node: onnx.NodeProto) -> dict[str, Any]:
        """The node's attributes as Python values and NumPy arrays."""
        return {name: self._plain(name, attribute) for name, attribute in scope.attribute_protos(node)}

    def _plain(self, name: str, attribute: onnx.AttributeProto) -> Any:
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
        if _ATTRIBUTES.get(name, kind) != kind:
            raise ValueError(f"attribute {name} is of type {kind}, not {_ATTRIBUTES[name]}: the file is damaged")
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            return self.array(value)
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if attribute.type == onnx.AttributeProto.STRINGS:
            return [text.decode(errors="replace") for text in value]
        return value

    def operators(self) -> list[str]:
        """The operators that occur anywhere, in alphabetical order."""
        return sorted({node.op_type for scope in self.scopes for node in scope.nodes})

    def arrays(self, source: str) -> Arrays:
        """The stored tensors by name: initializers and constant nodes, the outermost of those of one name."""
        named: dict[str, onnx.TensorProto] = {}
        for scope in self.scopes:
            for name, tensor in scope.stored():
                if tensor.data_type in ELEMENT_BYTES:
                    named.setdefault(name, tensor)
        dtypes = {n: onnx.helper.tensor_dtype_to_np_dtype(t.data_type).name for n, t in named.items()}
        shapes = {name: tuple(tensor.dims) for name, tensor in named.items()}
        return Arrays(source, shapes, dtypes, lambda name: self.array(named[name]))

    def array(self, tensor: onnx.TensorProto) -> np.ndarray:
        """The values of a tensor."""
        self._spend(tensor_bytes(tensor), f"tensor {tensor.name!r}")
        return tensor_array(tensor, self._folder)

    def _spend(self, size: int, what: str) -> None:
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ValueError(
                f"{what} brings the weights to {self._bytes} bytes, the limit is {self._max_bytes}; "
                "raise max_bytes if the file is trusted"
            )

    def value(self, scope: Scope, name: str) -> np.ndarray:
        """The constant called `name` as seen from `scope`; cost: each name is worked out once.

        Raises:
            NotConstant: if it depends on the inputs of the graph.
        """
        home, name, source = resolve(scope, name)
        key = (id(home), name)
        if key not in self._known:
            with self._opened(key, f"{home.path}{name}"):
                stored = isinstance(source, onnx.TensorProto)
                self._known[key] = self.array(source) if stored else self._computed(home, name, source)
        return self._known[key]

    @contextmanager
    def _opened(self, key: tuple[int, str], display: str) -> Iterator[None]:
        if key in self._open:
            raise ValueError(f"{display} depends on itself: the file is damaged")
        if len(self._open) >= LONGEST_CHAIN:
            raise ValueError(f"{display} ends a chain of more than {LONGEST_CHAIN} operators; too long to follow")
        self._open.append(key)
        try:
            yield
        finally:
            self._open.pop()

    def _computed(self, home: Scope, name: str, node: onnx.NodeProto) -> np.ndarray:
        op = node.op_type
        if node.domain not in OWN_DOMAINS or op not in OPERATORS:
            raise NotConstant(f"op {op} of node {home.display[id(node)]}")
        inputs = [self.value(home, source) if source else None for source in node.input]
        attributes, blame = self.attributes(home, node), f"node {home.display[id(node)]} ({op})"
        with _blamed_on(blame, inputs):
            elements = output_elements(op, inputs, attributes)
        self._spend(8 * elements, blame)
        with _blamed_on(blame, inputs), np.errstate(all="ignore"):
            return OPERATORS[op](inputs, attributes, len(node.output))[list(node.output).index(name)]


@contextmanager
def _blamed_on(node: str, inputs: Sequence[np.ndarray | None]) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        shapes = [None if x is None else x.shape for x in inputs]
        raise ValueError(f"{node} does not fit inputs of shapes {shapes}: {error}; the file is damaged") from error


def resolve(scope: Scope, name: str) -> tuple[Scope, str, onnx.TensorProto | onnx.NodeProto]:
    """Where `name` is defined, what it is called there and what defines it, looked up outwards from `scope`.

    Raises:
        NotConstant: if it is an input of the graph.
        ValueError: if nothing in sight has that name.
    """
    while scope is not None:
        if name in scope.tensors:
            return scope, name, scope.tensors[name]
        if name in scope.makers:
            return scope, name, scope.makers[name]
        if name in scope.bound:
            scope, name = scope.bound[name]
            continue
        if name in scope.widths:
            raise NotConstant(f"input {name} of the graph", scope.widths[name])
        scope = scope.outer
    raise ValueError(f"nothing in the graph is called {name!r}: the file is damaged, or holds sparse tensors")


def _subgraph(path: str, graph: onnx.GraphProto, outer: Scope | None, depth: int) -> Scope:
    widths = {i.name: _width(i) for i in graph.input}
    settings = {} if outer is None else outer.settings
    tensors = {t.name: t for t in graph.initializer}
    return Scope(path, tuple(graph.node), tensors, widths, outer, settings=settings, depth=depth)


def _width(value: onnx.ValueInfoProto) -> int | None:
    dims = value.type.tensor_type.shape.dim
    return dims[-1].dim_value if dims and dims[-1].HasField("dim_value") else None


def _called(path: str, function: onnx.FunctionProto, call: onnx.NodeProto, scope: Scope) -> Scope:
    given = zip(function.input, call.input, strict=False)
    bound = {formal: (scope, actual) for formal, actual in given if actual}
    defaults = {a.name: a for a in getattr(function, "attribute_proto", ())}
    settings = defaults | dict(scope.attribute_protos(call))
    widths = dict.fromkeys(function.input)
    return Scope(path, tuple(function.node), {}, widths, None, bound, settings, scope.depth + 1)
