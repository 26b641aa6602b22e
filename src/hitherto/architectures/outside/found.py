"""What a reader finds in a file, and the settings it takes from the user where the file is silent."""

from dataclasses import dataclass, field
from typing import Literal

from hitherto.core.model import Model


@dataclass(frozen=True)
class Reading:
    """Answers to what a file cannot tell; None leaves the reader's own assumption, which it reports.

    Attributes:
        activation: of the candidate, or of a simple RNN, by name (see `architectures.activations`).
        recurrent_activation: of the gates.
        gates: order of the gate blocks in the file, one letter each: `ifgo`, `icfo`, `iofc`, `rzn`, `zrn`, ...
            (c and g both mean the candidate of an LSTM, n and h that of a GRU).
        reset: reset convention of a GRU.
        max_bytes: refuse files whose arrays would take more.
    """

    activation: str | None = None
    recurrent_activation: str | None = None
    gates: str | None = None
    reset: Literal["after", "before"] | None = None
    max_bytes: int = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Found:
    """A recurrent model found in a file: one layer, or a stack that the file says chains.

    Attributes:
        name: what `--layer` takes.
        model: its weights as NumPy arrays in the file's precision (half precisions widened to float32).
        assumptions: one line for each thing the file did not say.
        members: the layers of a stack, each selectable by its own name; empty for a single layer.
        aliases: other places in the file that hold the same weights.
    """

    name: str
    model: Model
    assumptions: tuple[str, ...] = ()
    members: tuple["Found", ...] = field(default=())
    aliases: tuple[str, ...] = ()
