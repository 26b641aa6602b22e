"""Start-end separation rank of recurrent arithmetic circuits: how jointly the end can depend on start and end.

The separation rank of y with respect to a cut is the least K with y = sum over k of g_k(start) g'_k(end). Statements
are for almost all weights. Paper: Levine, Sharir, Ziv, Shashua (2017), arXiv 1710.09431.
"""

from hitherto.theory._combinatorics import multichoose


def shallow_rank(width: int, input_size: int, start: int, end: int) -> int:
    """Start-end rank of one layer: min(width, m^start, m^end) with m = min(input_size, width).

    Args:
        width, input_size: units of the layer, features of an input.
        start, end: steps before and after the cut, at least 1 each.
    Returns:
        The generic rank, exact, for continuous and one-hot inputs alike.
    Raises:
        ValueError: if a size is below 1.

    Source: the paper's result for one layer and equal halves, as recalled; our derivation for any cut.
    """
    _refuse(width=width, input_size=input_size, start=start, end=end)
    kinds = min(input_size, width)
    return min(width, kinds**start, kinds**end)


def deep_lower_bound(width: int, input_size: int, half: int) -> int:
    """Lower bound on the rank of two layers with equal halves: multisets of `half` of min(input_size, width).

    It grows without limit with `half`, while one layer stays at its width.

    Args:
        width, input_size: units of each layer, features of an input.
        half: steps before and after the cut, at least 1.
    Raises:
        ValueError: if a size is below 1.

    Source: the paper's result for two layers, as recalled; our derivation.
    """
    _refuse(width=width, input_size=input_size, half=half)
    return multichoose(min(input_size, width), half)


def _refuse(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"the start-end rank needs {name} >= 1, got {size}; give a positive whole number")
