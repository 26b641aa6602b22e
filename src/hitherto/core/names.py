"""Names that a user gives, against those that exist."""

import difflib
from collections.abc import Iterable

FEW, MANY = 8, 16  # names that are all shown; those that are shown at the most


def known(name: str, names: Iterable[str], kind: str) -> str:
    """`name`, if it is one of `names`.

    Args:
        kind: what it is a name of, for the message: "optimiser".
    Raises:
        ValueError: if it is not, with the nearest ones, or all where there are few or none is near.
    """
    names = list(names)
    if name in names:
        return name
    near = [] if len(names) <= FEW else _near(str(name).strip().lower(), names)
    shown = near or names[:MANY] + ["..."] * (len(names) > MANY)
    raise ValueError(f"there is no {kind} {name!r}; there is {', '.join(shown) or 'none'}")


def _near(name: str, names: list[str]) -> list[str]:
    """Names that hold it, else those that are spelled alike; of an empty one the first few."""
    holding = [one for one in names if name in one.lower()]
    lowered = {one.lower(): one for one in names}
    alike = [lowered[one] for one in difflib.get_close_matches(name, lowered, n=3, cutoff=0.4)]
    return list(dict.fromkeys([*alike, *holding]))[:8]
