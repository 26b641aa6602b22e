"""What Optax offers, by name."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import optax

# Optax marks its ready-made optimisers by nothing but their form: a rate first, and no part of another optimiser.
OPTIMISERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    name: function
    for name, function in sorted(vars(optax).items())
    if inspect.isfunction(function)
    and next(iter(inspect.signature(function).parameters), "") in ("learning_rate", "max_learning_rate")
    and not name.startswith(("_", "scale_by_"))
}
_DECAY = ("weight_decay", "weight_decay_rate")


def settings_of(optimiser: str) -> tuple[str, ...]:
    """The names of an optimiser's own settings, without its learning rate and weight decay."""
    return tuple(p for p in list(inspect.signature(OPTIMISERS[optimiser]).parameters)[1:] if p not in _DECAY)


def decay_of(optimiser: str) -> str | None:
    """What an optimiser calls its weight decay; None if it takes none."""
    return next((p for p in inspect.signature(OPTIMISERS[optimiser]).parameters if p in _DECAY), None)


def takes_schedule(optimiser: str) -> bool:
    """Whether an optimiser's learning rate may change with the step."""
    rate = next(iter(inspect.signature(OPTIMISERS[optimiser]).parameters.values())).annotation
    return any(typing.get_origin(kind) is Callable for kind in typing.get_args(rate))


def made(optimiser: str, rate: Any, settings: dict[str, Any], weight_decay: float | None) -> Any:
    """The optimiser with its settings; `rate` is a number or a function of the step."""
    decay = {} if weight_decay is None else {str(decay_of(optimiser)): weight_decay}
    return optax.with_extra_args_support(OPTIMISERS[optimiser](rate, **settings, **decay))
