"""Refusal of sizes that a task cannot have."""


def at_least(low: int, advice: str, **sizes: int) -> None:
    """Refuse the first of `sizes` that is below `low`.

    Raises:
        ValueError: naming it, its value and `advice`.
    """
    for name, size in sizes.items():
        if size < low:
            raise ValueError(f"{name} must be at least {low}, found {size}; {advice}")


def seen_within(delay: int, length: int) -> None:
    """Refuse a delay that no step of a sequence can be asked for.

    Raises:
        ValueError: if it is negative, or not below `length`.
    """
    at_least(0, "0 asks for the present input", delay=delay)
    if delay >= length:
        raise ValueError(
            f"a delay of {delay} needs sequences longer than {delay} steps, found length {length}; nothing would be "
            f"asked: give a length of at least {delay + 1}"
        )
