"""Spikes of a grasshopper's auditory receptor: which sound was there a while ago?"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from hitherto.core.task import Demand
from hitherto.tasks._checks import at_least
from hitherto.tasks._data import Recording, data_file

BINS, TEST_FROM = 10_000, 8_000  # of one millisecond


@dataclass(frozen=True)
class GrasshopperSpikes(Recording):
    """y[t] = sound amplitude `delay` ms before t, x[t] = spikes of millisecond t; both standardised by bins 0 to 7999.

    10 s in bins of 1 ms; the amplitude of a bin is the mean of its 20 samples. Bins from `memory` to 7999 are to learn
    from, their last `validation` share for validation; bins 8000 to 9999 are the test. Targets before the start are 0.

    Attributes:
        recording: 1 or 2.
        delay: how far back the sound lies, in ms.
        length, memory: bins of a window, of which those from bin `memory` on are asked.
        part, validation: which part; share of the bins to learn from that is kept for validation.

    The data ship with nitime: 929 and 868 spikes of real receptors under noise with a 200 Hz cut-off.
    """

    recording: int = 1
    delay: int = 10
    length: int = 128
    memory: int = 64
    part: str = "train"
    validation: float = 0.1

    def __post_init__(self) -> None:
        if self.recording not in (1, 2):
            raise ValueError(f"there are recordings 1 and 2, found {self.recording}; take one of them")
        at_least(0, "0 asks for the present sound", delay=self.delay)
        Recording.__post_init__(self)

    @property
    def series(self) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
        """Spike counts and the delayed sound, standardised."""
        spikes, sound = _standardised(self.recording)
        delayed = np.zeros(BINS)
        delayed[self.delay :] = sound[: max(BINS - self.delay, 0)]
        return spikes, delayed

    @property
    def steps(self) -> tuple[range, range]:
        """Bins 64 to 7999 (for a memory of 64), and 8000 to 9999."""
        return range(min(self.memory, TEST_FROM), TEST_FROM), range(TEST_FROM, BINS)

    @property
    def demand(self) -> Demand:
        """As far back as the sound."""
        return Demand(
            lag=self.delay, reason="the sound drives spikes after it, none before: nothing older answers to it"
        )


@cache
def _standardised(recording: int) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    folder = "nitime/data/grasshopper_"
    microseconds = np.loadtxt(data_file("nitime", f"{folder}spike_times{recording}.txt"), comments="#")
    amplitude = np.loadtxt(data_file("nitime", f"{folder}stimulus{recording}.txt"), usecols=1)
    counts = np.bincount((microseconds // 1000).astype(int), minlength=BINS)[:BINS]
    return _scaled(counts), _scaled(amplitude.reshape(BINS, -1).mean(axis=1))


def _scaled(values: np.ndarray) -> Float[np.ndarray, " time"]:
    return (values - values[:TEST_FROM].mean()) / values[:TEST_FROM].std()
