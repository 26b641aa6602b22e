"""Counting, in exact integers."""

from math import comb


def multichoose(kinds: int, count: int) -> int:
    """Multisets of `count` elements of `kinds` kinds: C(kinds + count - 1, count); of no kinds only the empty one."""
    return comb(kinds + count - 1, count) if kinds else int(count == 0)
