"""Names that a user gives, against those that exist."""

import difflib
from collections.abc import Iterable


def known(name: str, names: Iterable[str], kind: str) -> str:
    """`name`, if it is one of `names`.

    Args:
        kind: what it is a name of, for the message: "optimiser".
    Raises:
        ValueError: if it is not, with the nearest ones, or all where there are few.
    """
    names = list(names)
    if name in names:
        return name
    near = names if len(names) <= 8 else _near(str(name).strip().lower(), names)
    told = f"there is {', '.join(near)}" if near else "nothing is near it"
    raise ValueError(f"there is no {kind} {name!r}; {told}")


def _near(name: str, names: list[str]) -> list[str]:
    """Names that hold it, else those that are spelled alike; of an empty one the first few."""
    holding = [one for one in names if name in one.lower()]
    lowered = {one.lower(): one for one in names}
    alike = [lowered[one] for one in difflib.get_close_matches(name, lowered, n=3, cutoff=0.4)]
    return list(dict.fromkeys([*alike, *holding]))[:8]
