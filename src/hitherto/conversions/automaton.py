"""Linear second-order networks as weighted automata, and back; the smallest automaton, in exact arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hitherto.architectures.rnn import RNN
from hitherto.architectures.second_order import SecondOrderRNN
from hitherto.architectures.wrappers import Deep
from hitherto.core.model import Architecture, Model

Rational = int | Fraction
Row = tuple[Rational, ...]
Exact = Shaped[np.ndarray, "..."]  # of fractions


@dataclass(frozen=True)
class WeightedAutomaton:
    """A function of words: value(a b ... z) = start M_a M_b ... M_z end, all numbers rational and exact.

    Attributes:
        start: a row, one entry a state.
        transitions: for each letter 0, 1, ... of the alphabet its matrix M, row by row.
        end: a column.

    Raises:
        ValueError: if there is no letter, or sizes disagree.
    """

    start: Row
    transitions: tuple[tuple[Row, ...], ...]
    end: Row

    def __post_init__(self) -> None:
        n = self.states
        square = all(len(m) == n and all(len(row) == n for row in m) for m in self.transitions)
        if not self.transitions or not square or len(self.end) != n:
            sizes = [sorted({len(m), *map(len, m)}) for m in self.transitions]
            raise ValueError(
                f"an automaton was asked for with {n} entries at the start, {len(self.end)} at the end, and matrices "
                f"of sizes {sizes}; give as many to all, and a square matrix to each of one or more letters"
            )

    @property
    def states(self) -> int:
        """Entries of `start`."""
        return len(self.start)

    def value(self, word: Sequence[int]) -> Fraction:
        """The value of a word of letters 0, 1, ...; that of the empty word is start end.

        Raises:
            ValueError: for a letter outside the alphabet.
        """
        if strange := set(word) - set(range(len(self.transitions))):
            raise ValueError(
                f"a word with the letters {sorted(strange)} was given; the alphabet is 0..{len(self.transitions) - 1}"
            )
        row, matrices = _matrix([self.start]), {letter: _matrix(self.transitions[letter]) for letter in set(word)}
        for letter in word:
            row = row * matrices[letter]
        return _fraction((row * _matrix([self.end]).transpose())[0, 0])

    def reversed(self) -> "WeightedAutomaton":
        """The automaton that reads words from their last letter to their first."""
        return WeightedAutomaton(self.end, tuple(tuple(zip(*m, strict=True)) for m in self.transitions), self.start)

    def minimised(self) -> "WeightedAutomaton":
        """The same function with the fewest states: the rank of its Hankel matrix value(u v) over all words u, v.

        First the span of all rows start M_u, then, from the other end, that of all columns M_v end, is taken for the
        states. The zero function keeps none.

        Cost: eliminations of at most letters x states more rows than states, one for each length of words that still
        adds a dimension; entries become fractions of many digits.
        Source: Schuetzenberger (1961); a textbook result.
        """
        return self._reachable().reversed()._reachable().reversed()

    def _reachable(self) -> "WeightedAutomaton":
        """Restricted to the span of the rows start M_u, in its basis of reduced echelon form."""
        matrices, start = [_matrix(m) for m in self.transitions], _matrix([self.start])
        basis = _row_space([start])
        while (grown := _row_space([basis, *(basis * m for m in matrices)])).nrows() > basis.nrows():
            basis = grown
        pivots = [next(place for place, entry in enumerate(row) if entry) for row in basis.tolist()]

        def coordinates(rows: Any) -> tuple[Row, ...]:  # what such a basis takes to make them
            return tuple(tuple(_fraction(row[place]) for place in pivots) for row in rows.tolist())

        end = (basis * _matrix([self.end]).transpose()).entries()
        transitions = tuple(coordinates(basis * m) for m in matrices)
        return WeightedAutomaton(coordinates(start)[0], transitions, tuple(map(_fraction, end)))


def to_automaton(model: Model, output: int = 0) -> WeightedAutomaton:
    """A linear layer over one-hot inputs as an automaton of width + 1 states: y after a word is the value of the word.

    M_a^T = [[A_a + weight_hh, weight_ih e_a + bias], [0, 1]] with the slice A_a = tensor[:, :, a] and the unit vector
    e_a, start = (initial_h, 1), end = (readout, readout_bias).

    Args:
        model: a `SecondOrderRNN` in any form or an `RNN`, without activations. Its weights are taken as the rational
            numbers that they are.
        output: which channel of y.
    Raises:
        ValueError: for stacks of two layers or more, which are no automata: two second-order layers of one unit reach
            2^(t (t + 1) / 2) after t steps, an automaton c^t at most; for other layers, activations, numbers that are
            not finite, or a channel that is not there.

    Cost: letters x (width + 1)^2 fractions.
    Source: our derivation; the equivalence is Rabusseau, Li, Precup (2019), arXiv 1807.01406.
    """
    layer = _linear_layer(model.architecture)
    if not 0 <= output < layer.output_size:
        raise ValueError(f"output {output} was asked for, there are 0..{layer.output_size - 1}; give one of them")
    weights = {name: _exact(weight, name) for name, weight in model.weights.items()}
    multiplies, added = _affine_maps(layer, weights)
    transitions = tuple(_bordered(multiplies[..., letter], added[:, letter]) for letter in range(layer.input_size))
    start = weights.get("initial_h", np.zeros(layer.width, int))
    column = weights["readout"][output] if "readout" in weights else np.eye(layer.width, dtype=int)[output]
    constant = weights["readout_bias"][output] if "readout_bias" in weights else 0
    return WeightedAutomaton((*start.tolist(), 1), transitions, (*column.tolist(), constant))


def from_automaton(automaton: WeightedAutomaton) -> Model:
    """A one-layer linear network over one-hot inputs whose output after a word is its value, from a zero start.

    h is the row of the automaton less its start, so that h = 0 before the first letter: tensor[i, j, a] = M_a[j, i],
    weight_ih[:, a] = (M_a^T - 1) start^T, readout = end^T, readout_bias = start end.

    Returns:
        A `SecondOrderRNN` with the full tensor, as many units as states, one output, float64: what is no binary
        fraction of at most 53 bits is rounded once.
    Raises:
        ValueError: for an automaton without states, or numbers beyond float64.

    Source: our derivation.
    """
    n = automaton.states
    if n == 0:
        raise ValueError(
            "an automaton without states was given to from_automaton, the function that is 0 on every word; a network "
            "has at least one unit: give the automaton with one state, start (0,)"
        )
    layer = SecondOrderRNN(len(automaton.transitions), n, 1, bias=False)
    matrices = np.array(automaton.transitions, object).reshape(-1, n, n)
    start, end = np.array(automaton.start, object), np.array(automaton.end, object)
    weights = {
        "tensor": matrices.T,
        "weight_hh": np.zeros((n, n)),
        "weight_ih": (start @ matrices - start).T,
        "readout": end[None],
        "readout_bias": np.array([automaton.value(())]),
    }
    try:
        return Model(layer, {name: weight.astype(np.float64) for name, weight in weights.items()})
    except OverflowError as error:
        raise ValueError(
            "an automaton with numbers beyond float64 was given to from_automaton; scale it down"
        ) from error


def _linear_layer(architecture: Architecture) -> SecondOrderRNN | RNN:
    if isinstance(architecture, Deep) and len(architecture.layers) > 1:
        raise ValueError(
            f"to_automaton takes one layer, found a stack of {len(architecture.layers)}, in general no such automaton: "
            "two second-order layers reach 2^(t (t + 1) / 2) after t steps, automata no more than c^t; give one layer"
        )
    plain = isinstance(architecture, SecondOrderRNN) or (
        isinstance(architecture, RNN) and architecture.clip is None and architecture.parametrisation == "standard"
    )
    if not plain or (architecture.activation, architecture.output_activation) != ("linear", "linear"):
        raise ValueError(
            f"to_automaton takes a SecondOrderRNN or RNN without activations, clip or parametrisation, found "
            f"{architecture}; give such a layer"
        )
    return architecture


def _affine_maps(layer: SecondOrderRNN | RNN, weights: dict[str, Exact]) -> tuple[Exact, Exact]:
    """What multiplies h, and what is added, for each letter on the last axis."""
    recurrent = weights.get("weight_hh", np.zeros((layer.width, layer.width), int))
    added = weights.get("weight_ih", np.zeros((layer.width, layer.input_size), int))
    for bias in ("bias", "bias_ih", "bias_hh"):
        if bias in weights:
            added = added + weights[bias][:, None]
    return _tensor(layer, weights) + recurrent[..., None], added


def _tensor(layer: SecondOrderRNN | RNN, weights: dict[str, Exact]) -> Exact:
    if isinstance(layer, RNN):
        return np.zeros((layer.width, layer.width, layer.input_size), int)
    if layer.cp_rank is not None:
        return np.einsum("ir,jr,mr->ijm", *(weights[f"factor_{role}"] for role in ("out", "hidden", "input")))
    if layer.tt_ranks is not None:
        return np.einsum("jr,rms,si->ijm", *(weights[f"train_{role}"] for role in ("hidden", "input", "out")))
    return weights["tensor"]


def _bordered(matrix: Exact, column: Exact) -> tuple[Row, ...]:
    """[[matrix, column], [0, 1]], transposed."""
    rows = [(*row, 0) for row in matrix.T.tolist()]
    return (*rows, (*column.tolist(), 1))


def _exact(weight: Any, name: str) -> Exact:
    """A float as the fraction that it is."""
    try:
        return np.vectorize(Fraction, otypes=[object])(np.asarray(weight).astype(object))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"to_automaton was given a {name} that is not finite; give rational numbers") from error


def _matrix(rows: Sequence[Row]) -> Any:
    from flint import fmpq, fmpq_mat

    entries = [fmpq(*entry.as_integer_ratio()) for row in rows for entry in row]
    return fmpq_mat(len(rows), len(rows[0]) if rows else 0, entries)


def _row_space(stacked: Sequence[Any]) -> Any:
    """The basis of reduced echelon form of the rows of all matrices."""
    from flint import fmpq_mat

    columns = stacked[0].ncols()
    entries = [entry for matrix in stacked for entry in matrix.entries()]
    reduced, rank = fmpq_mat(sum(matrix.nrows() for matrix in stacked), columns, entries).rref()
    return fmpq_mat(rank, columns, reduced.entries()[: rank * columns])


def _fraction(number: Any) -> Fraction:
    return Fraction(int(number.p), int(number.q))
