"""Tensor networks of circuits, against exact lists, a contraction in integers, and cuts found without flows."""

import json
from collections import Counter
from itertools import product
from math import prod
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from hitherto.theory._combinatorics import multichoose
from hitherto.theory.start_end import generic_rank
from hitherto.theory.start_end_network import chain_cut, min_cut, naive_cut_closed_form, tensor_network

TRUTH = json.loads((Path(__file__).parents[1] / "oracles" / "start_end_oracles.json").read_text())
SHAPES = [(1, 2), (1, 7), (2, 2), (2, 5), (3, 3), (3, 4), (4, 3)]
DIMENSIONS = [(1, 1), (1, 4), (4, 1), (2, 2), (3, 2), (2, 3), (5, 2), (10**15, 10**15 + 1)]


def random_weights(rng, depth, width, input_size):
    """Matrices of Python integers, by kind and layer."""
    shapes = {("WI", 1): (width, input_size), ("WO", depth + 1): (width,)}
    shapes |= {("WI", layer): (width, width) for layer in range(2, depth + 1)}
    shapes |= {("WH", layer): (width, width) for layer in range(1, depth + 1)}
    return {place: rng.integers(-3, 4, shape).astype(object) for place, shape in shapes.items()}


def output(weights, depth, inputs):
    """The recurrence itself, without the recurrent factor at the first step."""
    states = {}
    for time, x in enumerate(inputs):
        for layer in range(1, depth + 1):
            taken = weights["WI", layer] @ x
            x = states[layer] = weights["WH", layer] @ states[layer] * taken if time else taken
    return weights["WO", depth + 1] @ x


def tensor(network, name, weights, inputs):
    """The array of a node, and for each of its axes the neighbour that shares it."""
    node, shape = network.nodes[name], [bond["dim"] for bond in network[name].values()]
    if node["kind"] == "x":
        return inputs[node["time"] - 1], list(network[name])
    if node["kind"] == "start":
        return np.ones(shape, object), list(network[name])
    if node["kind"] == "delta":
        agree = np.zeros(shape, object)
        agree[(np.arange(shape[0]),) * len(shape)] = 1
        return agree, list(network[name])
    alike = {n for n in network[name] if all(network.nodes[n][k] == node[k] for k in ("layer", "time"))}
    return weights[node["kind"], node["layer"]], sorted(network[name], key=lambda n: n not in alike)


def contraction(network, weights, inputs):
    """Leaves summed into their neighbours, one after another, until one tensor is left."""
    tensors = {name: tensor(network, name, weights, inputs) for name in network}
    rest = network.copy()
    while len(rest) > 1:
        leaf = next(name for name in rest if rest.degree[name] == 1)
        (neighbour,) = rest[leaf]
        array, axes = tensors[neighbour]
        axis = axes.index(leaf)
        tensors[neighbour] = np.tensordot(array, tensors[leaf][0], (axis, 0)), axes[:axis] + axes[axis + 1 :]
        rest.remove_node(leaf)
    return tensors[next(iter(rest))][0]


def least_cut(network, start):
    """The least product over all ways to put the nodes on two sides, exact, from the leaves of the tree to its root."""
    never = prod(dim for *_, dim in network.edges(data="dim")) + 1
    cost = {}
    for name in nx.dfs_postorder_nodes(network, "O"):
        below = [(cost[n], bond["dim"]) for n, bond in network[name].items() if n in cost]
        cost[name] = [prod(min(own[side], dim * own[1 - side]) for own, dim in below) for side in (0, 1)]
        if network.nodes[name]["kind"] == "x":
            cost[name][network.nodes[name]["time"] <= start] = never
    return min(cost["O"])


@pytest.mark.parametrize("row", TRUTH["tensor_network_counts"], ids=str)
def test_counts_and_cuts(row):
    network = tensor_network(row["L"], row["T"], row["R"], row["M"])
    assert Counter(kind for _, kind in network.nodes(data="kind")) == row["node_counts"]
    assert network.number_of_edges() == row["edges"]
    assert min_cut(network, row["S"]).value == row["naive_min_cut"]


def test_names_and_dimensions():
    expected = TRUTH["tensor_network_L2_T3_R3_M2"]
    network = tensor_network(2, 3, 3, 2)
    assert {n: [d["kind"], d["layer"], d["time"]] for n, d in network.nodes(data=True)} == expected["nodes"]
    bonds = {(frozenset((one, other)), dim) for one, other, dim in network.edges(data="dim")}
    assert bonds == {(frozenset((one, other)), dim) for one, other, dim in expected["edges"]}
    assert network.nodes["X[3.2]"]["path"] == (3, 2)
    assert network.nodes["S1[3]"]["path"] == network.nodes["D1[3]2"]["path"] == (3,)


@pytest.mark.parametrize(("depth", "length"), [(1, 3), (2, 3), (3, 3), (2, 4)])
def test_contraction_is_the_recurrence(depth, length):
    rng = np.random.default_rng(depth + 10 * length)
    weights = random_weights(rng, depth, 3, 2)
    inputs = rng.integers(-3, 4, (length, 2)).astype(object)
    expected = output(weights, depth, inputs)
    assert expected != 0
    assert contraction(tensor_network(depth, length, 3, 2), weights, inputs) == expected


@pytest.mark.parametrize(("depth", "length"), [*SHAPES, (1, 1), (5, 1), (5, 3)])
def test_a_tree_of_known_size(depth, length):
    network = tensor_network(depth, length, 3, 2)
    assert nx.is_tree(network)
    assert network.number_of_edges() == 3 * (multichoose(length + 1, depth) - 1) + multichoose(length, depth)
    assert all(network.degree[name] == 3 for name, kind in network.nodes(data="kind") if kind == "delta")


@pytest.mark.parametrize(("depth", "length"), SHAPES)
@pytest.mark.parametrize(("width", "input_size"), DIMENSIONS)
def test_cuts_are_least_and_cut(depth, length, width, input_size):
    network = tensor_network(depth, length, width, input_size)
    for start in range(1, length):
        cut = min_cut(network, start)
        assert cut.value == least_cut(network, start) == prod(network.edges[edge]["dim"] for edge in cut.edges)
        crossing = {frozenset(e) for e in network.edges if (e[0] in cut.start_side) != (e[1] in cut.start_side)}
        assert {frozenset(edge) for edge in cut.edges} == crossing
        assert all(inner in cut.start_side for inner, _ in cut.edges)
        clones = {n: d["time"] for n, d in network.nodes(data=True) if d["kind"] == "x"}
        assert {n for n in clones if n in cut.start_side} == {n for n, time in clones.items() if time <= start}


def test_chains_are_cut_right_after_the_start_where_that_is_least():
    expected = {("D2[]3", "H2[]4"), ("D1[4]3", "H1[4]4"), ("D1[5]3", "H1[5]4"), ("D1[6]3", "H1[6]4")}
    assert set(min_cut(tensor_network(2, 6, 3, 3), 3).edges) == expected


@pytest.mark.parametrize(("depth", "length"), SHAPES)
@pytest.mark.parametrize(("width", "input_size"), [(2, 2), (3, 2), (2, 3)])
def test_cuts_bound_the_rank(depth, length, width, input_size):
    for start in range(1, length):
        bound = generic_rank(depth, width, input_size, start, length - start).upper_bound
        assert bound <= min_cut(tensor_network(depth, length, width, input_size), start).value


@pytest.mark.parametrize("row", TRUTH["mincut_closed"], ids=str)
def test_closed_form(row):
    assert naive_cut_closed_form(row["R"], row["M"], row["E"], row["E"]) == row["naive"]


@pytest.mark.parametrize(("width", "input_size"), list(product((1, 2, 3, 5, 8), (1, 2, 3, 9))))
def test_closed_form_is_the_least_cut(width, input_size):
    for start, end in product((1, 2, 3, 4), repeat=2):
        if start < end and min(width, input_size) ** start < width:
            with pytest.raises(ValueError, match=f"got start={start}, end={end} and width={width}; use min_cut"):
                naive_cut_closed_form(width, input_size, start, end)
            continue
        network = tensor_network(2, start + end, width, input_size)
        assert naive_cut_closed_form(width, input_size, start, end) == min_cut(network, start).value


def test_closed_form_fails_where_it_is_refused():
    assert min_cut(tensor_network(2, 4, 3, 2), 1).value == 16  # and the form would say 54


def test_closed_form_of_long_sequences():
    assert naive_cut_closed_form(8, 2, 10**9, 3000) == 8 * 2 * 4 * 8**2998
    assert naive_cut_closed_form(8, 1, 10**9, 3000) == 1


@pytest.mark.parametrize(("depth", "start", "end"), [(1, 2, 3), (2, 3, 2), (2, 1, 4), (3, 2, 2), (4, 1, 2)])
def test_chain_cut_cuts_every_chain(depth, start, end):
    nodes = dict(tensor_network(depth, start + end, 3, 2).nodes(data=True))
    chains = sum(node["kind"] == "WH" and node["time"] == start + 1 for node in nodes.values())
    assert chain_cut(depth, 3, end) == 3**chains


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="width >= 1, got 0"):
        tensor_network(2, 3, 0, 2)
    with pytest.raises(ValueError, match="end >= 1, got 0"):
        chain_cut(2, 3, 0)
    with pytest.raises(ValueError, match="input_size >= 1, got -1"):
        naive_cut_closed_form(3, -1, 2, 2)
    for start in (0, 4, -1):
        with pytest.raises(ValueError, match=f"got start={start} of 4 in all"):
            min_cut(tensor_network(1, 4, 2, 2), start)


def test_what_is_too_large_is_refused_beforehand():
    assert tensor_network(1, 500, 2, 2).number_of_edges() == 2000
    with pytest.raises(ValueError, match="may have 2,000 edges, and depth=1, length=501 take 2004 or more"):
        tensor_network(1, 501, 2, 2)
    with pytest.raises(ValueError, match=r"take 3\.000e\+24 or more; take fewer steps"):
        tensor_network(10**12, 10**12, 2, 2)
    with pytest.raises(ValueError, match="got the 500500th power of 5"):
        chain_cut(3, 5, 999)
    with pytest.raises(ValueError, match="got the 1000001th power of 3"):
        naive_cut_closed_form(3, 2, 10**6, 10**6)
