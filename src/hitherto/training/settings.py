"""How a model is trained, as data."""

import math
from dataclasses import dataclass
from typing import Literal

from hitherto.core.names import known
from hitherto.training import _optax
from hitherto.training._schedules import SHAPES

METRICS = {"accuracy": "cross_entropy", "sequence_accuracy": "cross_entropy", "explained": "squared"}


@dataclass(frozen=True)
class Training:
    """Settings of one training; plain values, so they compare, hash and can be written as JSON.

    Attributes:
        optimiser: the name of any Optax optimiser, `adam`, `sgd`, `adamw`, `lbfgs`, ...
        optimiser_settings: its own settings by Optax's names, such as `(("momentum", 0.9),)`.
        learning_rate: its rate, at the top of the schedule.
        schedule: `constant`; or `linear`, `cosine`, `exponential`, which fall to `final_factor` times the rate at the
            last step.
        warmup: steps over which the rate first rises linearly, rate (k + 1) / warmup at step k, counted from 0.
        clip: gradients whose global norm is above it are scaled down to it.
        weight_decay: in the optimiser's own meaning; an error for an optimiser that takes none.
        learning_rate_factors: (name, factor) for weights whose updates are scaled, 0 to freeze them. A name is that of
            a block (`weight_hh`), a path in a nested tree (`0/weight_hh`), or a pattern (`bias_*`); where several
            match, the last counts. Frozen weights stay bit-equal and do not count in the clipped norm.
        steps, batch: updates, and sequences for each.
        sequences: size of a fixed training set, visited in fresh random order each time round; None for fresh
            sequences at every step.
        data_seed: of the fixed training set and the validation set, which all runs share.
        validation: sequences held out.
        validate_every: steps between validations; there is one before the first step and one after the last too.
        patience: a run stops after so many validations without improvement; None to go on to the end.
        least_improvement: how far the validation loss must fall for `patience` to count anew.
        metrics: recorded beside the loss at each validation: `accuracy` of the asked steps (always recorded for
            `cross_entropy`), `sequence_accuracy` (share of sequences right at all asked steps), and for `squared`
            `explained`, 1 - loss / variance of the targets at asked steps.
        dtype: precision of weights and computation.

    Raises:
        ValueError: for a number out of range or an unknown name; the message lists the nearest names.
    """

    optimiser: str = "adam"
    optimiser_settings: tuple[tuple[str, float | int | bool | str], ...] = ()
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: int = 0
    final_factor: float = 0.01
    clip: float | None = None
    weight_decay: float | None = None
    learning_rate_factors: tuple[tuple[str, float], ...] = ()
    steps: int = 1000
    batch: int = 32
    sequences: int | None = None
    data_seed: int = 0
    validation: int = 256
    validate_every: int = 100
    patience: int | None = None
    least_improvement: float = 0.0
    metrics: tuple[str, ...] = ()
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        self._check_names()
        for name in ("steps", "batch", "validation", "validate_every"):
            check_whole(name, getattr(self, name), 1)
        for name in ("warmup", "data_seed"):
            check_whole(name, getattr(self, name), 0)
        for name in ("sequences", "patience"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        check_positive("learning_rate", self.learning_rate)
        check_positive("final_factor", self.final_factor)
        if self.clip is not None:
            check_positive("clip", self.clip)
        for name, value in self._from_zero():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value}; give 0 to switch it off")
        self._check_sizes()

    @property
    def steady(self) -> bool:
        """Whether the learning rate is the same at all steps."""
        return self.schedule == "constant" and not self.warmup

    def _from_zero(self) -> list[tuple[str, float]]:
        factors = [(f"the learning-rate factor of {name!r}", factor) for name, factor in self.learning_rate_factors]
        return [("weight_decay", self.weight_decay or 0.0), ("least_improvement", self.least_improvement), *factors]

    def _check_names(self) -> None:
        known(self.optimiser, _optax.OPTIMISERS, "Optax optimiser")
        known(self.schedule, SHAPES, "schedule")
        known(self.dtype, ("float32", "float64"), "precision")
        for name in self.metrics:
            known(name, METRICS, "metric")
        for name, _ in self.optimiser_settings:
            known(name, _optax.settings_of(self.optimiser), f"setting of {self.optimiser}")
        if self.weight_decay is not None and _optax.decay_of(self.optimiser) is None:
            taking = ", ".join(name for name in _optax.OPTIMISERS if _optax.decay_of(name))
            raise ValueError(
                f"weight_decay is {self.weight_decay}, but {self.optimiser} takes none; use one of {taking}, or None"
            )
        if not self.steady and not _optax.takes_schedule(self.optimiser):
            raise ValueError(
                f"{self.optimiser} takes one learning rate for all steps, got the schedule {self.schedule!r} with "
                f"{self.warmup} warm-up steps; use schedule='constant' and warmup=0"
            )

    def _check_sizes(self) -> None:
        if self.warmup > self.steps:
            raise ValueError(f"warmup takes {self.warmup} of only {self.steps} steps; make it at most {self.steps}")
        if self.sequences is not None and self.batch > self.sequences:
            raise ValueError(
                f"a batch of {self.batch} cannot come from a training set of {self.sequences} sequences; make the "
                f"batch at most {self.sequences}"
            )


def check_whole(name: str, value: int, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, got {value!r}; choose one from {least} up"
        )


def check_positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value}; choose a positive one")
