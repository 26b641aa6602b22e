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
    near = names if len(names) <= 8 else difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    told = f"there is {', '.join(near)}" if near else "nothing is near it"
    raise ValueError(f"there is no {kind} {name!r}; {told}")
