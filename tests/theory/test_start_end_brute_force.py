"""The closed form, the exact measure and the whole grid of outputs agree, at sizes drawn at random."""

import numpy as np
import pytest
from flint import nmod_mat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitherto.theory._combinatorics import multichoose
from hitherto.theory.start_end import generic_rank, input_degree

PRIME = 2**31 - 1
MOST_ROWS = 4000


def layer_products(rng, depth, width, input_size):
    """Random residues: input and recurrent matrices of each layer, and the readout."""
    sizes = [input_size] + [width] * (depth - 1)
    draw = lambda *shape: rng.integers(1, PRIME, shape, dtype=np.int64)  # noqa: E731
    return [(draw(width, size), draw(width, width)) for size in sizes], draw(width)


def times(matrix, columns):
    """matrix columns mod p, one product at a time: two do not fit into 63 bits."""
    total = np.zeros((len(matrix), columns.shape[1]), np.int64)
    for k in range(matrix.shape[1]):
        total = (total + matrix[:, k, None] * columns[None, k] % PRIME) % PRIME
    return total


def stepped(layers, states, x):
    """One step of all layers, for many sequences at once; a state of None has not begun."""
    after = []
    for (weight_ih, weight_hh), h in zip(layers, states, strict=True):
        x = times(weight_ih, x) if h is None else times(weight_ih, x) * times(weight_hh, h) % PRIME
        after.append(x)
    return after


def grid_rank(depth, width, input_size, start, end, templates, seed):
    """Rank of y over all starts and all ends of a grid of templates."""
    rng = np.random.default_rng(seed)
    layers, readout = layer_products(rng, depth, width, input_size)
    if templates is None:
        symbols = np.eye(input_size, dtype=np.int64)
    else:
        symbols = rng.integers(1, PRIME, (templates, input_size), dtype=np.int64)
    starts, ends = (words(len(symbols), steps) for steps in (start, end))
    states = [None] * depth
    for t in range(start):
        states = stepped(layers, states, symbols[starts[:, t]].T)
    rows = []
    for word in ends:
        inside = list(states)
        for symbol in word:
            inside = stepped(layers, inside, np.repeat(symbols[symbol][:, None], len(starts), 1))
        rows += times(readout[None], inside[-1])[0].tolist()
    return nmod_mat(len(ends), len(starts), rows, PRIME).rank()


def words(kinds, steps):
    """All words of so many letters."""
    return np.stack(np.meshgrid(*[np.arange(kinds)] * steps, indexing="ij"), -1).reshape(-1, steps)


def cases(most_rows):
    """Sizes, inputs and a seed, with at most so many rows and columns, and products that stay small."""
    sizes = st.tuples(*[st.integers(1, top) for top in (4, 5, 5, 6, 6)])
    return st.tuples(sizes, st.sampled_from(["continuous", "one-hot"]), st.integers(0, 10**6)).filter(
        lambda drawn: rows_of(*drawn[:2]) <= most_rows
    )


def rows_of(sizes, inputs):
    """Starts, or ends if there are more, of the grid that tells the rank."""
    _, _, input_size, start, end = sizes
    return (input_size if inputs == "one-hot" else templates_of(sizes)) ** max(start, end)


def templates_of(sizes):
    """So many templates are as good as all vectors: as many as the forms of the highest degree."""
    depth, width, input_size, start, end = sizes
    return multichoose(min(input_size, width), input_degree(depth, start + end))


def agree(drawn):
    sizes, inputs, seed = drawn
    found = generic_rank(*sizes, inputs)
    rank = grid_rank(*sizes, None if inputs == "one-hot" else templates_of(sizes), seed)
    assert rank == found.value if found.exact else rank <= found.value


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(cases(400))
def test_closed_form_against_whole_grids(drawn):
    agree(drawn)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(MOST_ROWS))
def test_closed_form_against_large_whole_grids(drawn):
    agree(drawn)
