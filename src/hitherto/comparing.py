"""Profiles side by side: what differs between models, and which differences are real."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real

from hitherto import files
from hitherto.core import difference
from hitherto.core import quantity as q
from hitherto.core.difference import Difference
from hitherto.core.model import Model
from hitherto.core.quantity import Estimate, Quantity
from hitherto.profiling import Note, Profile, Settings, profile
from hitherto.report.reading import listed

ALIKE = {
    "input_law": "the inputs' law",
    "own_data": "whether the inputs are the user's own",
    "precision": "the precision of the run",
}
DRIVEN_ALIKE = ("sequences", "steps", "seed")
UNSEEN = "whether a profile that was made before read the same inputs as the others cannot be seen from it"


@dataclass(frozen=True)
class Comparison:
    """Profiles of several models, and how far each is from the first.

    Attributes:
        names: of the models, in the order given.
        profiles: one for each.
        findings: what the reader must know of how they were made, one sentence each.
    """

    names: tuple[str, ...]
    profiles: tuple[Profile, ...]
    findings: tuple[str, ...] = ()

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Every number that a model shares with the first one, second less first, with `real` by Holm's correction over
        all of them."""
        first = self.profiles[0].estimates
        return difference.corrected(
            found
            for name, other in zip(self.names[1:], self.profiles[1:], strict=True)
            for found in difference.differences(first, other.estimates, (self.names[0], name))
        )

    @property
    def verdict(self) -> tuple[str, ...]:
        """Plain sentences about the last model against the first, the most important first; each is said only if it
        survives the correction, or begins with "Cannot tell"."""
        from hitherto.report.comparison_verdict import comparison_verdict

        return comparison_verdict(self.estimates, self.differences)

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page; also written to `path`, whole or not at all."""
        from hitherto.report.comparison import comparison_page

        provenances = [p.provenance for p in self.profiles]
        text = comparison_page(self.estimates, self.differences, provenances, self.verdict, self.findings)
        if path is not None:
            files.write(path, text.encode())
        return text

    def to_json(self, path: str | Path | None = None) -> str:
        """Verdict, differences with errors, p-values and what is real, and every profile; also written to `path`."""
        record = {
            "verdict": list(self.verdict),
            "findings": list(self.findings),
            "differences": [found.to_dict() for found in self.differences],
            "profiles": {n: json.loads(p.to_json()) for n, p in zip(self.names, self.profiles, strict=True)},
        }
        text = json.dumps(record, indent=1, allow_nan=False)
        if path is not None:
            files.write(path, text.encode())
        return text

    @property
    def estimates(self) -> dict[str, tuple[Estimate, ...]]:
        """All that was measured of each model, by its name."""
        return {name: profile.estimates for name, profile in zip(self.names, self.profiles, strict=True)}


def compare(
    compared: Sequence[Model | Profile],
    inputs: Real[np.ndarray, "..."] | None = None,
    *,
    names: Sequence[str] | None = None,
    settings: Settings | None = None,
    provenances: Sequence[Mapping[str, Any]] | None = None,
    note: Note = lambda text: None,
) -> Comparison:
    """What differs between models, each profiled on the same inputs with the same seed.

    A difference is d = second - first, with a jackknife error over the sequences of both, and d / error is tested by
    Student's t; of numbers that are not kept sequence by sequence (rms gradients, cut profiles, saved profiles) the
    error is (se_1^2 + se_2^2)^(1/2), and the test Welch's. Curves that span decades are compared by the logarithm of
    their ratio, at lags 0, 1, 10, 100 and the last one of both. Over all tests of a comparison Holm's correction keeps
    the chance of any false "real" at 5%.

    Args:
        compared: two or more models, or profiles that were made before; in the order of training, if it is a series.
        inputs: as for `profile`, for models; None for white noise.
        names: one for each, to speak of them; A, B, C, ... if not given.
        settings: how models are driven, as for `profile`.
        provenances: facts about each, to be kept with its profile; for example its file.
        note: called with a line when a measure begins.
    Raises:
        ValueError: for fewer than two, names that do not fit, inputs for models of different input sizes, or profiles
            of different input laws or precisions, since every measure depends on its inputs.

    Cost: a profile for each model that is not one already.
    Does not tell: which model is better at its task.
    Source: Welch (1947) and Holm (1979); which numbers are compared is our choice.
    """
    names = checked_names(names, len(compared))
    sizes = _input_sizes(compared, inputs)
    profiles = tuple(
        one
        if isinstance(one, Profile)
        else profile(one, inputs, settings=settings, provenance=facts, note=_named_note(note, name))
        for name, one, facts in zip(names, compared, provenances or [{}] * len(names), strict=True)
    )
    _refuse_other_inputs(names, profiles)
    findings = _findings(names, profiles, sizes)
    if profiles[0].provenance.get("own_data") and any(isinstance(one, Profile) for one in compared):
        findings = (UNSEEN, *findings)
    return Comparison(names, profiles, findings)


def saved_profile(path: str | Path) -> Profile:
    """A profile from the file that `Profile.to_json` wrote.

    Raises:
        ValueError: if the file is missing or holds no profile.
    """
    try:
        record = json.loads(Path(path).read_text())
        estimates = tuple(map(_estimate, record["estimates"]))
        if not isinstance(record["provenance"], dict) or not estimates:
            raise ValueError("it has no estimates, or does not say how they were made")
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} was given for a saved profile and holds none ({error}); write one with "
            f"`hitherto profile MODEL --json {path}`"
        ) from error
    return Profile(estimates, record["provenance"])


def _estimate(record: Mapping[str, Any]) -> Estimate:
    """The inverse of `Estimate.to_dict`."""
    axes = {name: np.array(places) for name, places in record["axes"].items()}
    known = next((k for k in q.QUANTITIES if k.name == record["quantity"]), None)
    kept = {name: record[name] for name in ("part", "cannot_tell", "statistics", "source")}
    return Estimate(
        known or Quantity(record["quantity"], record["meaning"], record["unit"], tuple(axes)),
        **{name: _number(record[name]) for name in ("value", "standard_error", "low", "high")},
        axes=axes,
        assumptions=tuple(record["assumptions"]),
        **kept,
    )


def _number(value: Any) -> Any:
    """Numbers, or nested lists of them, whose infinities and NaN are strings."""
    if value is None:
        return None
    return np.array(value, dtype=float) if isinstance(value, list) else float(value)


def checked_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of so many models, A, B, C, ... if there are none.

    Raises:
        ValueError: for fewer than two models, or names that do not tell them apart.
    """
    if count < 2:
        raise ValueError(f"a comparison needs at least 2 models, got {count}; give those before and after, for example")
    chosen = [chr(ord("A") + i) if i < 26 else f"model {i + 1}" for i in range(count)] if names is None else list(names)
    if len(chosen) != count or len(set(chosen)) < count or not all(chosen):
        raise ValueError(f"{count} models need {count} names that differ, got {chosen}; give one for each")
    return tuple(chosen)


def _named_note(note: Note, name: str) -> Note:
    return lambda text: note(f"{name}: {text}")


def _input_sizes(compared: Sequence[Model | Profile], inputs: np.ndarray | None) -> list[int]:
    """How many channels the models take, each size once.

    Raises:
        ValueError: if they differ and there are inputs for all.
    """
    sizes = sorted({one.architecture.input_size for one in compared if isinstance(one, Model)})
    if inputs is not None and len(sizes) > 1:
        raise ValueError(
            f"the same inputs were asked for all models, and these take {listed(sizes)} channels; leave the inputs "
            "out, so that each is driven by white noise of its own, or compare models of one input size"
        )
    return sizes


def _refuse_other_inputs(names: Sequence[str], profiles: Sequence[Profile]) -> None:
    """Refuse profiles under conditions that every measure depends on."""
    first = profiles[0].provenance
    for key, what in ALIKE.items():
        for name, other in zip(names[1:], profiles[1:], strict=True):
            if first.get(key) != other.provenance.get(key):
                raise ValueError(
                    f"profiles are compared under the same conditions, and {what} is {first.get(key)!r} for {names[0]} "
                    f"and {other.provenance.get(key)!r} for {name}; profile one of them again as the other was"
                )


def _findings(names: Sequence[str], profiles: Sequence[Profile], sizes: list[int]) -> tuple[str, ...]:
    found = []
    if len(sizes) > 1:
        found.append(
            f"the models take {listed(sizes)} input channels: each was driven by white noise of its own, so their "
            "inputs are not the same"
        )
    facts = [p.provenance for p in profiles]
    for key in DRIVEN_ALIKE:
        given = [fact.get(key) for fact in facts]
        if len(set(given)) > 1:
            found.append(f"the models were not driven by the same inputs: {key} {listed(given)}")
    own = [fact.get("findings", ()) for fact in facts]
    shared = [text for text in own[0] if all(text in other for other in own[1:])]
    apart = [f"{n}: {text}" for n, texts in zip(names, own, strict=True) for text in texts if text not in shared]
    return tuple(dict.fromkeys((*found, *shared, *apart)))
