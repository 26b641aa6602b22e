"""The cheapest stack that copies: depth and width for a delay, or the longest delay for a number of parameters.

The law is that of `theory.depth`: L layers of n units hold d channels for k steps if and only if n >= d and
k d <= L (n - d). Parameters are counted from sizes alone.
Paper: Lizaire, Rizvi-Martel, Dupuis, Rabusseau (2026), arXiv 2604.02201, says that deep and narrow beats shallow and
wide at equal numbers of parameters. The plans are our derivation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import isqrt

from hitherto.core.names import known
from hitherto.theory.depth import effective_dimension, least, refuse

Cost = str | Callable[[int, int], float | int]  # "dense", "effective", or depth, width -> number
MOST_DELAY = 10**18


def _affine(units: int, below: int, biases: int) -> int:
    return units * below + units**2 + biases * units


def _tensor_train(n: int, m: int, first: int, second: int) -> int:
    return n * first + first * m * second + second * n + _affine(n, m, 1)


# weights of a layer of n units over m inputs, by family; then the family's own sizes
_LAYERS: dict[str, Callable[..., int]] = {
    "rnn": _affine,
    "cprnn": lambda n, m, rank: rank * (2 * n + m) + _affine(n, m, 1),
    "2rnn": lambda n, m: n * (n + 1) * (m + 1),
    "mirnn": lambda n, m: _affine(n, m, 4),
    "birnn": lambda n, m: n**2 * m,
    "tt2rnn": _tensor_train,
    "lstm": lambda n, m: 4 * _affine(n, m, 2),
    "gru": lambda n, m: 3 * _affine(n, m, 2),
}
FAMILIES = tuple(_LAYERS)
_RANKS = {"cprnn": 1, "tt2rnn": 2}  # how many they have
_GATED = {"lstm": 2, "gru": 1}  # states a unit


@dataclass(frozen=True)
class CopyPlan:
    """Sizes of a stack that copies.

    Attributes:
        channels: d.
        delay: steps to copy over; None if the budget does not pay for the smallest network, which is then given.
        depth, width: L layers of n units each.
        parameters: what it costs: numbers to train, unless another cost was asked for.
        reach: the longest delay of these sizes, which can be above the one asked for.
        shallow_width, shallow_parameters: one layer for the same delay.
        attained: whether weights that copy exactly are known to exist. If not, the plan is the least that a copying
            network of the family must have.
    """

    channels: int
    delay: int | None
    depth: int
    width: int
    parameters: float | int
    reach: int
    shallow_width: int
    shallow_parameters: float | int
    attained: bool


def parameter_count(
    family: str,
    depth: int,
    width: int,
    input_size: int,
    output_size: int,
    *,
    ranks: tuple[int, ...] = (),
    biases: int = 0,
    readout_bias: bool = False,
    symbols: int = 0,
) -> int:
    """Numbers to train in a stack of L layers of n units over m inputs each, where m = n above the first layer.

        family   weights of a layer
        rnn      n m + n^2 + biases n
        cprnn    R (2 n + m) + n m + n^2 + n          second-order, by factors of R columns; R = 0 is a plain RNN
        2rnn     n (n + 1) (m + 1)                    second-order with all lower terms
        mirnn    n m + n^2 + 4 n                      multiplicative integration
        birnn    n^2 m                                second-order alone
        tt2rnn   n r + r m s + s n + n m + n^2 + n    second-order, as a tensor train
        lstm     4 (n m + n^2 + 2 n)
        gru      3 (n m + n^2 + 2 n)

    plus the readout o n, or o (n + 1) with a bias, plus an embedding of `symbols` vectors of the input size.

    Args:
        ranks: (R,) of a cprnn, (r, s) of a tt2rnn, empty for others.
        biases: bias vectors a layer of an rnn: 2 in PyTorch and in the authors' code, 0 in the theory. Other families
            have those of the table.
    Raises:
        ValueError: for unknown families, sizes below 1, or ranks and biases that the family has not.

    Source: counted from the cells; the authors' code for rnn and cprnn.
    """
    known(family, FAMILIES, "family of cells")
    refuse(depth=depth, width=width, input_size=input_size, output_size=output_size)
    refuse(0, biases=biases, symbols=symbols)
    sizes = _own_sizes(family, ranks, biases)
    layer = _LAYERS[family]
    layers = layer(width, input_size, *sizes) + (depth - 1) * layer(width, width, *sizes)
    return layers + output_size * (width + readout_bias) + symbols * input_size


def plan_copy(
    channels: int,
    delay: int | None = None,
    parameters: float | int | None = None,
    *,
    cost: Cost = "dense",
    family: str = "rnn",
    ranks: tuple[int, ...] = (),
    biases: int = 0,
    readout_bias: bool = False,
) -> CopyPlan:
    """The cheapest stack of equal widths that copies with a delay, or with the longest delay that a budget pays for.

    n = d + ceil(k d / L) at every depth L = 1..max(1, k d); of equal costs the shallowest. Dense weights of an rnn
    without biases cost at most 8 k d^2 (n = 2 d, L = k) against d^2 (k + 1) (k + 3) of one layer: depth wins for every
    k >= 4. In effective dimensions one layer is always cheapest, with 2 d^2 (k + 1).

    Args:
        channels: d, at the input and at the output.
        delay, parameters: k in steps, or a budget in units of the cost; give one of them.
        cost: `dense` counts by `parameter_count`, `effective` by `effective_dimension`; or depth, width -> number,
            which must fall with neither.
        family: which cells. All but gated ones include linear layers, hence attain the law. An lstm holds two states a
            unit, and no law says that gated cells attain theirs.
        ranks, biases, readout_bias: as for `parameter_count`, for the dense cost alone.
    Raises:
        ValueError: if not one of delay and budget is given, for bad sizes and names, cells that cannot copy, or
            settings that the cost does not look at.

    Cost: a hundred evaluations for small plans, 15,000 for delays and channels of a million each; a budget takes ten
    times as many.
    Source: our derivation; equal to exhaustive search wherever that was run.
    """
    refuse(channels=channels)
    _refuse_request(delay, parameters)
    _refuse_cells(family, cost)
    price = _price(channels, cost, family, ranks, biases, readout_bias)
    states = _GATED.get(family, 1)

    def cheapest(delay: int) -> tuple[float | int, int]:
        deepest = 1 if cost == "effective" else max(1, delay * channels)
        return _cheapest(price, lambda depth: _width(channels, delay, depth, states), deepest)

    def affordable(delay: int) -> bool:
        deepest = 1 if cost == "effective" else max(1, delay * channels)
        return _affordable(price, lambda depth: _width(channels, delay, depth, states), deepest, parameters)

    if delay is None:
        delay = _longest(affordable, parameters)
    count, depth = cheapest(delay or 0)
    width, shallow = (_width(channels, delay or 0, layers, states) for layers in (depth, 1))
    return CopyPlan(
        channels=channels,
        delay=delay,
        depth=depth,
        width=width,
        parameters=count,
        reach=depth * (states * width - channels) // channels,
        shallow_width=shallow,
        shallow_parameters=price(1, shallow),
        attained=family not in _GATED,
    )


def _width(channels: int, delay: int, depth: int, states: int) -> int:
    """The least width: enough states for the signal and its share of the delay, and enough units to pass it up."""
    needed = channels - (-channels * delay // depth)
    return max(channels, -(-needed // states))


def _cheapest(
    price: Callable[[int, int], float | int], width_at: Callable[[int], int], deepest: int
) -> tuple[float | int, int]:
    """Least (price, depth) over the depths 1..`deepest`.

    Over the depths low..high no price is below that of low layers of the width at high. The range that promises most
    is halved, until one is left whose depths all have the same width: then its shallowest is what it promises.
    """
    ranges = [(price(1, width_at(deepest)), 1, deepest)]
    while True:
        promised, low, high = heappop(ranges)
        if width_at(low) == width_at(high):
            return promised, low
        middle = isqrt(low * high)
        for first, last in ((low, middle), (middle + 1, high)):
            heappush(ranges, (price(first, width_at(last)), first, last))


def _affordable(
    price: Callable[[int, int], float | int], width_at: Callable[[int], int], deepest: int, budget: float | int
) -> bool:
    """Whether some depth 1..`deepest` costs no more than the budget; as `_cheapest`, but done at the first one."""
    ranges = [(price(1, width_at(deepest)), 1, deepest)]
    while ranges and ranges[0][0] <= budget:
        _, low, high = heappop(ranges)
        if min(price(low, width_at(low)), price(high, width_at(high))) <= budget:
            return True
        middle = isqrt(low * high)
        for first, last in ((low, middle), (middle + 1, high)) if low < high else ():
            heappush(ranges, (price(first, width_at(last)), first, last))
    return False


def _longest(affordable: Callable[[int], bool], budget: float | int) -> int | None:
    """The longest delay whose cheapest price is within the budget: prices never fall with the delay."""
    if not affordable(0):
        return None

    def too_dear(delay: int) -> bool:
        if delay > MOST_DELAY:
            raise ValueError(
                f"a budget of {budget} was given, and pays for delays beyond {MOST_DELAY:.0e}; give a smaller one, or "
                f"a cost that grows with depth and width"
            )
        return not affordable(delay)

    return least(too_dear) - 1


def _price(
    channels: int, cost: Cost, family: str, ranks: tuple[int, ...], biases: int, readout_bias: bool
) -> Callable[[int, int], float | int]:
    """depth, width -> what is to be least."""
    if cost == "dense":
        return lambda depth, width: parameter_count(
            family, depth, width, channels, channels, ranks=ranks, biases=biases, readout_bias=readout_bias
        )
    if ranks or biases or readout_bias:
        raise ValueError(
            f"ranks={ranks}, biases={biases}, readout_bias={readout_bias} were given, which cost={cost!r} does not "
            f"count; leave them out or take cost='dense'"
        )
    if cost == "effective":
        return lambda depth, width: effective_dimension(depth, width, channels, channels)
    return lambda depth, width: _number(cost(depth, width), depth, width)


def _number(price: float | int, depth: int, width: int) -> float | int:
    if price != price:
        raise ValueError(f"the cost of {depth} layers of {width} units is {price}; give a function that gives numbers")
    return price


def _own_sizes(family: str, ranks: tuple[int, ...], biases: int) -> tuple[int, ...]:
    for rank in ranks:
        refuse(0, ranks=rank)
    if len(ranks) != _RANKS.get(family, 0):
        raise ValueError(f"family {family!r} has {_RANKS.get(family, 0)} ranks, got ranks={ranks}; give that many")
    if biases and family != "rnn":
        raise ValueError(f"family {family!r} has its own biases, got biases={biases}; leave them out")
    return (biases,) if family == "rnn" else ranks


def _refuse_request(delay: int | None, parameters: float | int | None) -> None:
    if (delay is None) == (parameters is None):
        raise ValueError(f"a plan is for a delay or for a budget, got {delay=}, {parameters=}; give one of them")
    if delay is not None:
        refuse(0, delay=delay)
    elif not parameters > 0:
        raise ValueError(f"a plan needs parameters above 0, got {parameters}; give a larger budget")


def _refuse_cells(family: str, cost: Cost) -> None:
    known(family, FAMILIES, "family of cells")
    if isinstance(cost, str):
        known(cost, ("dense", "effective"), "cost")
    if family == "birnn":
        raise ValueError(
            "a plan for family 'birnn' was asked for, whose states are all multiplied with the newest input, so that "
            "it copies nothing; take '2rnn', which has lower terms"
        )
    if cost == "effective" and family != "rnn":
        raise ValueError(f"effective dimensions are known for family 'rnn', got {family!r}; take cost='dense'")
