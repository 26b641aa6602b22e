"""Recurrent arithmetic circuits as tensor networks, and the least cut between the inputs of the start and of the end.

A layer uses the one below at every step, and a tensor network cannot copy: all that lies below is there once for each
use. So the network is a tree, and multilinear in the clones of its inputs.
Paper: Levine, Sharir, Ziv, Shashua (2017), arXiv 1710.09431.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations_with_replacement

import networkx as nx

from hitherto.core.claim import whole
from hitherto.theory._combinatorics import multichoose
from hitherto.theory.start_end import refuse

MOST_EDGES = 2000
MOST_BITS = 10**6
SCALE = 10**24  # makes logarithms whole numbers: rounding in a flow would leave full edges just below full


@dataclass(frozen=True)
class MinCut:
    """The least cut that parts the clones of the start's inputs from those of the end's.

    Attributes:
        value: product of the dimensions of the cut edges.
        edges: names of their two ends, the one on the start side first.
        start_side: names of all nodes on that side; the smallest such side where several cuts are least, so that
            chains are cut right after the start where that is least.
    """

    value: int
    edges: tuple[tuple[str, str], ...]
    start_side: frozenset[str]


def tensor_network(depth: int, length: int, width: int, input_size: int) -> nx.Graph:
    """The tensor network whose contraction is the output after `length` steps from h0 = "ones".

    A path (t[depth], ..., t[layer + 1]) of steps that never rise names a copy of a layer: the one that feeds step
    t[layer + 1] of the copy above, and ends there. The last layer is there once, with an empty path.

        name                  kind    tensor
        D{layer}[{path}]{t}   delta   1 where its three indices agree: multiplies entry by entry
        I{layer}[{path}]{t}   WI      input weights
        H{layer}[{path}]{t}   WH      recurrent weights, from step 2 on
        S{layer}[{path}]      start   ones, which stand for them at step 1; time 0
        X[{path}]             x       clone of the input of step t[1], under a path down to t[1]; layer 0
        O                     WO      readout; layer depth + 1, time `length`

    Args:
        depth, length: layers and steps.
        width, input_size: units of each layer, features of an input.
    Returns:
        Nodes with `kind`, `layer`, `time` and `path`, edges with their dimension `dim`. One layer is a matrix product
        state.
    Raises:
        ValueError: if a size is below 1, or if there would be more than 2,000 edges.

    Cost: 3 (mc(length + 1, depth) - 1) + mc(length, depth) edges, where mc(n, k) counts multisets of k of n kinds.
    Source: the paper's construction, as recalled; our derivation of paths and counts.
    """
    refuse(depth=depth, length=length, width=width, input_size=input_size)
    _refuse_many_edges(depth, length)
    network = nx.Graph()
    for layer in range(depth, 0, -1):
        for path in combinations_with_replacement(range(length, 0, -1), depth - layer):
            for time in range(1, path[-1] + 1 if path else length + 1):
                _add_step(network, layer, path, time, width)
                _add_source(network, layer, (*path, time), width if layer > 1 else input_size)
    network.add_node("O", kind="WO", layer=depth + 1, time=length, path=())
    network.add_edge(_name("D", depth, (), length), "O", dim=width)
    return network


def min_cut(network: nx.Graph, start: int) -> MinCut:
    """The least product of dimensions over the cuts between the first `start` inputs and the others, clones and all.

    It bounds the start-end rank, as if clones were inputs of their own; they are not, so deep circuits have less.

    Args:
        network: from `tensor_network`.
        start: steps before the cut.
    Raises:
        ValueError: if there are no steps before or after the cut.

    Cost: one maximal flow of logarithms of dimensions.
    Source: the paper's min-cut argument, as recalled.
    """
    _refuse_empty_side(start, network.nodes["O"]["time"])
    capacities = nx.Graph()
    for one, other, dim in network.edges(data="dim"):
        capacities.add_edge(one, other, capacity=int(Decimal(dim).ln() * SCALE))
    for name, node in network.nodes(data=True):
        if node["kind"] == "x":
            capacities.add_edge("start" if node["time"] <= start else "end", name)  # without capacity: never cut
    start_side = frozenset(nx.minimum_cut(capacities, "end", "start")[1][1]) - {"start"}
    edges = tuple(sorted(nx.edge_boundary(network, start_side)))
    return MinCut(math.prod(network.edges[edge]["dim"] for edge in edges), edges, start_side)


def naive_cut_closed_form(width: int, input_size: int, start: int, end: int) -> int:
    """Least cut of two layers: min(width prod over e = 1..end of min(width, m^e), m^(end (end + 1) / 2)).

    m = min(input_size, width), and end (end + 1) / 2 clones carry the inputs of the end.

    Args:
        width, input_size: units of each layer, features of an input.
        start, end: steps before and after the cut.
    Raises:
        ValueError: if a size is below 1, where the form does not hold (start < end and m^start < width), or if the
            cut could have more than a million bits.

    Source: our derivation.
    """
    refuse(width=width, input_size=input_size, start=start, end=end)
    _refuse_many_bits(width, end + 1)
    bits = width.bit_length()  # m^bits exceeds the width, if m is not 1: no need of higher powers
    kinds = min(input_size, width)
    if start < end and kinds ** min(start, bits) < width:
        raise ValueError(
            f"the closed form needs start >= end or {kinds}^start >= width, got start={start}, end={end} and "
            f"width={width}; use min_cut of the tensor_network"
        )
    chains = width * math.prod(min(width, kinds ** min(step, bits)) for step in range(1, end + 1))
    return min(chains, kinds ** min(multichoose(end, 2), chains.bit_length()))


def chain_cut(depth: int, width: int, end: int) -> int:
    """Product of dimensions where every chain is cut between start and end: width^mc(end + 1, depth - 1).

    mc(n, k) counts multisets of k of n kinds: as many chains of all layers reach into the end.

    Args:
        depth, width: layers and units of each.
        end: steps after the cut.
    Raises:
        ValueError: if a size is below 1, or if the cut has more than a million bits.

    Source: our derivation.
    """
    refuse(depth=depth, width=width, end=end)
    chains = multichoose(end + 1, depth - 1)
    _refuse_many_bits(width, chains)
    return width**chains


def _add_step(network: nx.Graph, layer: int, path: tuple[int, ...], time: int, width: int) -> None:
    """The three tensors of a step, joined to each other and to the step before."""
    delta, weights = _name("D", layer, path, time), _name("I", layer, path, time)
    network.add_node(delta, kind="delta", layer=layer, time=time, path=path)
    network.add_node(weights, kind="WI", layer=layer, time=time, path=path)
    network.add_edge(weights, delta, dim=width)
    if time == 1:
        ones = _name("S", layer, path)
        network.add_node(ones, kind="start", layer=layer, time=0, path=path)
        network.add_edge(ones, delta, dim=width)
        return
    recurrent = _name("H", layer, path, time)
    network.add_node(recurrent, kind="WH", layer=layer, time=time, path=path)
    network.add_edge(recurrent, delta, dim=width)
    network.add_edge(_name("D", layer, path, time - 1), recurrent, dim=width)


def _add_source(network: nx.Graph, layer: int, path: tuple[int, ...], dim: int) -> None:
    """What a step takes in: the last step of the copy below, which is its own, or a clone of an input."""
    *above, time = path
    source = _name("D", layer - 1, path, time) if layer > 1 else _name("X", "", path)
    if layer == 1:
        network.add_node(source, kind="x", layer=0, time=time, path=path)
    network.add_edge(source, _name("I", layer, above, time), dim=dim)


def _name(letter: str, layer: int | str, path: Iterable[int], time: int | str = "") -> str:
    return f"{letter}{layer}[{'.'.join(map(str, path))}]{time}"


def _refuse_many_edges(depth: int, length: int) -> None:
    edges = 3 * depth * length  # at the least, and enough to say no before a count of a thousand digits
    if edges <= MOST_EDGES:
        edges = 3 * (multichoose(length + 1, depth) - 1) + multichoose(length, depth)
    if edges > MOST_EDGES:
        raise ValueError(
            f"the tensor network may have {MOST_EDGES:,} edges, and depth={depth}, length={length} take "
            f"{whole(edges)} or more; take fewer steps or layers, or the closed forms"
        )


def _refuse_empty_side(start: int, length: int) -> None:
    if not 1 <= start < length:
        raise ValueError(
            f"a cut needs a step on each side, got start={start} of {length} in all; "
            f"take start >= 1 and a longer network than that"
        )


def _refuse_many_bits(base: int, exponent: int) -> None:
    if exponent * (base - 1).bit_length() > MOST_BITS:
        raise ValueError(
            f"the cut must fit into {MOST_BITS:,} bits, got the {whole(exponent)}th power of {whole(base)}; "
            f"take a shorter end or fewer layers"
        )
