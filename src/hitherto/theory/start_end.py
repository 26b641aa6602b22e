"""Start-end separation rank of recurrent arithmetic circuits: how jointly the end can depend on start and end.

The separation rank of y with respect to a cut is the least K with y = sum over k of g_k(start) g'_k(end). The circuit
has layers l = 1..L of widths R_l over M input features,

    h[t, l] = (W_l h[t-1, l]) * (U_l h[t, l-1]),  h[t, 0] = x[t],  y = readout h[T, L],  * elementwise,

without the recurrent factor at t = 1. Statements are for almost all weights unless they say "any". Every number is an
exact integer, however long. Paper: Levine, Sharir, Ziv, Shashua (2017), arXiv 1710.09431; its theorems are recalled,
not re-read. What it does not state is our derivation, checked by exact elimination.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from math import comb, prod

from hitherto.core.names import known
from hitherto.theory._combinatorics import multichoose

Inputs = str | int  # "continuous", "one-hot", or a number of templates
STRUCTURES = ("diagonal", "rank-one", "permutation")
CELLS = ("linear", "second-order", "multiplicative-integration", "selective")


@dataclass(frozen=True, repr=False)
class GenericRank:
    """The rank of almost every circuit of given sizes, or the best bound on it.

    Attributes:
        value: the rank where `exact`, else `upper_bound`.
        upper_bound: min(start_count, end_count_refined, state_count, state_count_refined), proven for any weights.
        exact: whether the bound is known to be attained by almost all weights.
        start_count, end_count: dimension of the functions of the start, and of the end, that the degrees allow:
            A_start = product of c_k over k = E+1..T, A_end = the same over k = 1..E, where c_k counts the forms of
            degree `input_degree(L, k)` in min(M, R_1) variables, for a grid of Z templates at most Z.
        end_count_refined: A_end' <= A_end, without forms that cannot appear.
        state_count: B, monomials in which the state at the cut can enter: product over layers of multisets of size
            `state_degrees` of R_l.
        state_count_refined: B' <= B, without monomials that cannot appear; None where no closed form is known.
        why: which count decides, and why there is only a bound where there is.
        source: where the closed form comes from.
    """

    value: int
    upper_bound: int
    exact: bool
    start_count: int
    end_count: int
    end_count_refined: int
    state_count: int
    state_count_refined: int | None
    why: str
    source: str

    def __repr__(self) -> str:
        """All fields, long numbers by their power of ten: Python prints no more than 4300 digits."""
        from hitherto.core.claim import whole  # brings JAX, which theory does without

        told = [(f.name, getattr(self, f.name)) for f in fields(self)]
        parts = [f"{n}={whole(v) if type(v) is int else repr(v)}" for n, v in told]
        return f"GenericRank({', '.join(parts)})"

    @property
    def log10(self) -> float:
        """Decimal logarithm of the value, also where it has too many digits for a float."""
        return math.log10(self.value)


def generic_rank(
    depth: int,
    width: int | Sequence[int],
    input_size: int,
    start: int,
    end: int,
    inputs: Inputs = "continuous",
    *,
    recurrence_ranks: Sequence[int] | None = None,
    powers: int | None = None,
) -> GenericRank:
    """Rank of almost every circuit across the cut between `start` and `end` steps.

    Args:
        depth: L, layers.
        width: R of every layer, or one width a layer, lowest first.
        input_size: M, features of an input.
        start, end: S and E, steps before and after the cut.
        inputs: `continuous`, any feature vector; `one-hot`, unit vectors; a number Z, that many generic templates.
        recurrence_ranks: rank of W_l by layer where it is below R_l; the answer is then a bound.
        powers: q, if the features are (1, x, .., x^q) of one number x; then M is q + 1 and a form of degree d in them
            has q d + 1 coefficients only; the answer is then a bound.
    Raises:
        ValueError: for sizes below 1 or settings that do not fit each other.

    Source: our derivation (counting dimensions, and ideals of linear forms for the refined counts); the upper bound is
    proven, attained in every case checked where `exact` says so.
    """
    widths = _widths(depth, width)
    refuse(input_size=input_size, start=start, end=end)
    templates = _templates(inputs, input_size)
    if powers is not None and input_size != powers + 1:
        raise ValueError(f"powers={powers} make {powers + 1} features, but input_size={input_size}; give them alike")
    ranks = _ranks(widths, recurrence_ranks)
    features = min(input_size, templates or input_size)
    sites = [_site(depth, k, min(features, widths[0]), templates, powers) for k in range(1, start + end + 1)]
    end_count, start_count = prod(sites[:end]), prod(sites[end:])
    end_refined = min(end_count, _end_refined(depth, widths, features, end, powers))
    state_count = _state_count(ranks, end)
    state_refined = _state_refined(widths, features, end)
    terms = {
        "functions of the start": start_count,
        "functions of the end": end_refined,
        "ways in which the state enters": min(state_count, state_refined or state_count),
    }
    bound = min(terms.values())
    doubt = _doubt(widths, features, start, end, templates, terms)
    if ranks != widths:
        doubt = "the recurrences are not of full rank"
    if powers is not None:
        doubt = "the features lie on a curve"
    binding = next(name for name, term in terms.items() if term == bound)
    return GenericRank(
        value=bound,
        upper_bound=bound,
        exact=not doubt,
        start_count=start_count,
        end_count=end_count,
        end_count_refined=end_refined,
        state_count=state_count,
        state_count_refined=state_refined,
        why=f"the {binding} decide" + (f"; only a bound, because {doubt}" if doubt else ""),
        source="our derivation, proven as a bound" + ("" if doubt else " and checked to be attained"),
    )


def _site(depth: int, steps: int, features: int, templates: int | None, powers: int | None) -> int:
    """c_k: what one input, k steps from the end, can contribute."""
    degree = input_degree(depth, steps)
    forms = multichoose(features, degree)
    if powers is not None:
        forms = min(forms, powers * degree + 1)
    return min(forms, templates) if templates else forms


def _end_refined(depth: int, widths: tuple[int, ...], features: int, end: int, powers: int | None) -> int | float:
    """A_end' for continuous inputs: at E = 3 the last two steps share variables, and pairs without any are missing."""
    width = widths[0]
    if end != 3 or depth < 3 or features < width or powers is not None:
        return math.inf
    whole = prod(multichoose(width, input_degree(depth, k)) for k in (1, 2, 3))
    return whole - width * _disjoint(width, input_degree(depth, 3), input_degree(depth, 2))


def _disjoint(width: int, first: int, second: int) -> int:
    """Pairs of monomials of degrees `first` and `second` in `width` variables that share no variable."""
    return sum(comb(width, j) * comb(first - 1, j - 1) * multichoose(width - j, second) for j in range(1, width))


def _state_count(widths: tuple[int, ...], end: int) -> int:
    return prod(multichoose(r, degree) for r, degree in zip(widths, state_degrees(len(widths), end), strict=True))


def _state_refined(widths: tuple[int, ...], features: int, end: int) -> int | None:
    """B' by depth; None where there is no closed form."""
    depth, width = len(widths), widths[0]
    if depth == 1:
        return width
    if depth == 2:
        return widths[1] * (multichoose(width, end) - multichoose(max(width - features, 0), end))
    if depth == 3 and len(set(widths)) == 1 and features >= width:
        pairs = multichoose(end, 2)
        missing = sum(comb(width, j) * comb(pairs - 1, j - 1) * multichoose(width - j, end) for j in range(1, width))
        return width * (multichoose(width, end) * multichoose(width, pairs) - missing)
    return None


def _doubt(
    widths: tuple[int, ...], features: int, start: int, end: int, templates: int | None, terms: dict[str, int]
) -> str:
    """Why the bound may not be attained by full recurrences and free features; "" where it is known to be."""
    depth = len(widths)
    if depth > 1 and len(set(widths)) > 1:
        return "the layers differ in width"
    if start == 2 and end >= 3 and depth > 1:
        return "a start of two steps before a longer end can fall short of it"
    if depth <= 2 or (depth == 3 and features >= widths[0]) or (depth > 2 and end < 3):
        return ""
    *counts, state = terms.values()
    every_form = templates is None or templates >= multichoose(
        min(features, widths[0]), input_degree(depth, start + end)
    )
    if 2 * min(counts) <= state and (not every_form or end <= 3):  # far from B, of which B' may fall short
        return ""
    return f"no closed form is known for {depth} layers of width {widths[0]} over {features} features and this end"


def shallow_rank(width: int, input_size: int, start: int, end: int) -> int:
    """Rank of one layer: min(R, m^S, m^E) with m = min(M, R), for continuous and one-hot inputs alike.

    Raises:
        ValueError: if a size is below 1.

    Source: the paper's result for one layer and equal halves, as recalled; our derivation for any cut.
    """
    refuse(width=width, input_size=input_size, start=start, end=end)
    kinds = min(input_size, width)
    return min(width, kinds**start, kinds**end)


def paper_lower_bound(depth: int, width: int, input_size: int, half: int) -> int:
    """What the paper proves for equal halves: one layer, equality, min(R, M^half); two, at least as many as there are
    multisets of `half` of min(M, R) kinds.

    Raises:
        ValueError: for sizes below 1, or more than two layers, of which the paper has a conjecture only.

    Source: the paper, as recalled.
    """
    refuse(depth=depth, width=width, input_size=input_size, half=half)
    if depth > 2:
        raise ValueError(
            f"the paper proves its bound for 1 and 2 layers, depth={depth} was asked for; see `conjecture`"
        )
    if depth == 1:
        return shallow_rank(width, input_size, half, half)
    return multichoose(min(input_size, width), half)


def conjecture(depth: int, width: int, input_size: int, half: int) -> int:
    """The authors' conjectured lower bound, as we recall it: min(mc(min(M, R), mc(half, L-1)), M^half).

    mc(n, k) counts multisets of k of n kinds. It is false for one-hot inputs: depth 3, width 5, 6 symbols and halves
    of 2 steps have rank 30, not 35 (our finding); with M > R there are fewer functions of the end than M^half. For
    continuous inputs no violation was found.

    Raises:
        ValueError: if a size is below 1.
    """
    refuse(depth=depth, width=width, input_size=input_size, half=half)
    return min(multichoose(min(input_size, width), multichoose(half, depth - 1)), input_size**half)


def input_degree(depth: int, steps_to_end: int) -> int:
    """Degree of y in the input `steps_to_end` steps from the end (1: the last): mc(k, L-1). Our derivation."""
    refuse(depth=depth, steps_to_end=steps_to_end)
    return multichoose(steps_to_end, depth - 1)


def weight_degrees(depth: int, length: int, h0: str = "ones") -> dict[str, list[int]]:
    """Degree of y in U_l (`input`) and in W_l (`recurrent`), lowest layer first: mc(T, L-l+1) and mc(T-1, L-l+1).

    Args:
        h0: `ones`: the recurrent factor is left out at t = 1; `given`: W_l acts on a first state too, and has U_l's.
    """
    refuse(depth=depth, length=length)
    known(h0, ("ones", "given"), "first state")
    above = range(depth, 0, -1)
    return {
        "input": [multichoose(length, k) for k in above],
        "recurrent": [multichoose(length - (h0 == "ones"), k) for k in above],
    }


def state_degrees(depth: int, end: int) -> list[int]:
    """Degree of y in the state of each layer, lowest first, `end` steps before the last output: mc(E, L-l)."""
    refuse(depth=depth, end=end)
    return [multichoose(end, above) for above in range(depth - 1, -1, -1)]


def total_degree(depth: int, length: int) -> int:
    """Degree of y in all weights and inputs together; with a prime it bounds the error of a sampled rank."""
    return 1 + sum(map(sum, weight_degrees(depth, length).values())) + multichoose(length, depth)


def saturation_length(depth: int, width: int | Sequence[int], input_size: int) -> int | None:
    """The first end for which the state, not the number of one-hot ends, limits the rank: B' < A_end.

    Up to it the rank multiplies with every step; beyond it, it grows as a power of the length at most, and a longer
    memory needs more width or depth. Where B' has no closed form B takes its place, and the true length may be smaller.

    Returns:
        None if it is never reached: with one symbol or a first layer of width 1 nothing grows.
    Source: our derivation.
    """
    widths = _widths(depth, width)
    refuse(input_size=input_size)
    features = min(input_size, widths[0])
    if features == 1:
        return None

    def limited_by_state(end: int) -> bool:
        ways = _state_refined(widths, features, end) or _state_count(widths, end)
        return ways < _one_hot_ends(depth, features, input_size, end)

    longest = 1
    while not limited_by_state(longest):
        longest *= 2
    return bisect_left(range(longest), True, lo=1, key=limited_by_state)


def _one_hot_ends(depth: int, features: int, symbols: int, end: int) -> int:
    """A_end for one-hot inputs: from some step on every site holds all symbols, or always `features` of them."""
    ends = 1
    for k in range(1, end + 1):
        site = _site(depth, k, features, symbols, None)
        if site == symbols or depth == 1:
            return ends * site ** (end - k + 1)
        ends *= site
    return ends


def structured_rank(
    structure: str, depth: int, width: int, input_size: int, start: int, end: int, inputs: Inputs = "continuous"
) -> GenericRank:
    """Rank for recurrent matrices W_l of one structure, everything else generic.

    Args:
        structure: `diagonal` (the identity as well): with one layer min(R, mc(m, S), mc(m, E)), with two and M >= R
            exactly mc(R, E), which is where a full W_l gains its factor R; `rank-one`: 1; `permutation` (one cycle):
            as generic for one layer, only bounded for more.
    Raises:
        ValueError: for an unknown structure or sizes below 1.

    Source: our derivation, checked by exact elimination.
    """
    known(structure, STRUCTURES, "structure of a recurrent matrix")
    free = generic_rank(depth, width, input_size, start, end, inputs)
    features = min(input_size, width, _templates(inputs, input_size) or input_size)
    if structure == "rank-one":
        return _limited(free, 1, True, "every state is a multiple of one vector")
    if structure == "permutation":
        return _limited(free, free.value, free.exact and depth == 1, "a cycle mixes less than a full matrix")
    if depth == 1:
        commuting = min(multichoose(features, start), multichoose(features, end))
        return _limited(free, commuting, free.exact, "the order of the inputs does not matter")
    if depth == 2:
        kept = multichoose(width, end) - multichoose(width - features, end)
        return _limited(free, kept, features == width and start > end - 1, "each unit keeps to itself")
    return _limited(free, free.value, False, "no closed form is known for more than two layers")


def _limited(free: GenericRank, most: int, exact: bool, why: str) -> GenericRank:
    value = min(free.upper_bound, most)
    return GenericRank(
        value,
        value,
        exact,
        free.start_count,
        free.end_count,
        free.end_count_refined,
        free.state_count,
        free.state_count_refined,
        why,
        free.source,
    )


def partition_rank(width: int, input_size: int, length: int, times: Collection[int]) -> int:
    """Rank of one layer when the first group of inputs is any set of times, and the second is the others.

    It is the minimum cut of a chain: every time is given to one of the groups; a time given to the wrong one costs the
    factor min(M, R), two neighbours in different groups the factor R; the cheapest choice counts.

    Args:
        times: of the first group, from 1 to `length`.
    Raises:
        ValueError: for sizes below 1, or times that are not in the sequence or leave a group empty.

    Cost: linear in the length.
    Source: our derivation (bound), equality checked in every case of up to 6 steps with one-hot inputs.
    """
    refuse(width=width, input_size=input_size)
    first = _group(length, times)
    leg = min(input_size, width)
    cost = {True: 1, False: 1}
    for t in range(1, length + 1):
        before = cost if t == 1 else {side: min(cost[side], cost[not side] * width) for side in (True, False)}
        cost = {side: before[side] * (1 if side == (t in first) else leg) for side in (True, False)}
    return min(cost.values())


def partition_bound(depth: int, width: int, input_size: int, length: int, times: Collection[int]) -> int:
    """Upper bound for any set of times and any depth: what the inputs of the smaller group can contribute.

    Raises:
        ValueError: as for `partition_rank`.

    Source: our derivation.
    """
    refuse(depth=depth, width=width, input_size=input_size)
    first = _group(length, times)
    sites = {t: _site(depth, length - t + 1, min(input_size, width), None, None) for t in range(1, length + 1)}
    return min(prod(sites[t] for t in sites if (t in first) is side) for side in (True, False))


def cell_bound(cell: str, depth: int, width: int, end: int) -> int:
    """Upper bound from the state alone for other polynomial cells, stacked `depth` times, for any weights and start.

    Args:
        cell: `linear` (also linear state-space layers): 2, whatever the depth; `second-order`: the product over layers
            of mc(R, d), d = mc(E, L-l) being the state's degree; `multiplicative-integration` and `selective`
            (input-gated diagonal): the product of mc(R + 1, d), since lower degrees appear too.
    Raises:
        ValueError: for an unknown cell or sizes below 1.

    Source: our derivation.
    """
    known(cell, CELLS, "polynomial cell")
    refuse(depth=depth, width=width, end=end)
    if cell == "linear":
        return 2
    kinds = width if cell == "second-order" else width + 1
    return prod(multichoose(kinds, degree) for degree in state_degrees(depth, end))


def refuse(**sizes: int) -> None:
    """Refuse what is not a whole number from 1 on.

    Raises:
        ValueError: naming the first such size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"the start-end rank needs {name} >= 1, got {size!r}; give a positive whole number")


def _widths(depth: int, width: int | Sequence[int]) -> tuple[int, ...]:
    refuse(depth=depth)
    widths = (width,) * depth if isinstance(width, int) else tuple(width)
    if len(widths) != depth:
        raise ValueError(f"depth {depth} was asked for with {len(widths)} widths {widths}; give one a layer")
    for one in widths:
        refuse(width=one)
    return widths


def _ranks(widths: tuple[int, ...], ranks: Sequence[int] | None) -> tuple[int, ...]:
    if ranks is None:
        return widths
    for rank in ranks:
        refuse(recurrence_ranks=rank)
    if len(ranks) != len(widths) or not all(r <= width for r, width in zip(ranks, widths, strict=True)):
        raise ValueError(f"recurrence_ranks {tuple(ranks)} do not fit widths {widths}; give 1..width for each layer")
    return tuple(ranks)


def _templates(inputs: Inputs, input_size: int) -> int | None:
    """Z, or None for continuous inputs."""
    if isinstance(inputs, int):
        refuse(inputs=inputs)
        return inputs
    known(inputs, ("continuous", "one-hot"), "kind of inputs")
    return input_size if inputs == "one-hot" else None


def _group(length: int, times: Collection[int]) -> frozenset[int]:
    refuse(length=length)
    group = frozenset(times)
    for t in group:
        refuse(times=t)
    if not group or max(group) > length or len(group) == length:
        raise ValueError(f"the times {sorted(group)} do not part the steps 1..{length}; give some of them, but not all")
    return group
