"""A site about reproduced papers, from their records: an index, and one self-contained page a paper."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hitherto.core.source import Paper
from hitherto.core.store import Record, Store
from hitherto.report.experiments import MARKS, RELATIONS, all_charts, section, told
from hitherto.report.page import template
from hitherto.report.reading import duration
from hitherto.report.results import TELLING, Results, outcome_of, plural, results_of
from hitherto.report.verdict import capitalised


@dataclass(frozen=True)
class Part:
    """What was recorded of an experiment, or of the claims of a paper.

    Attributes:
        store: None where nothing was run.
        wanted: ids of the cases that were asked for.
        missing: how many of them are not recorded.
        errors: of those that could not be computed, or why nothing was run.
    """

    name: str
    store: Store | None
    wanted: Container[str]
    missing: int
    errors: Sequence[str]

    @property
    def wanting(self) -> bool:
        """Whether a case fails or is missing."""
        return (
            not self.store or bool(self.missing) or any(r.outcome == "fails" for r in self.store.records(self.wanted))
        )


@dataclass(frozen=True)
class Reproduced:
    """A paper with all that was recorded for it.

    Attributes:
        stem: its name, also of its page.
        made: facts about the runs, by name.
    """

    stem: str
    paper: Paper
    claims: Part
    experiments: Sequence[Part]
    made: Mapping[str, str]


class Line(NamedTuple):
    """One claim in the table."""

    outcome: str
    mark: str
    says: str
    id: str
    source: str
    verdict: str
    numbers: str
    smallest: str
    reason: str


def paper_page(reproduced: Reproduced) -> str:
    """Everything about one paper: its verdict, what did not match, its claims, its figures, how they were made.

    Raises:
        ValueError: if a store cannot be read.
    """
    shown = _shown(reproduced)
    claims = shown.claims
    text = template("reproduction").render(
        paper=_cited(reproduced.paper),
        headline=_headline(shown),
        unmatched=_unmatched(shown),
        lost=_lost(reproduced),
        claims=[(name, [_line(claims, ask) for ask in asks]) for name, asks in _by_author(claims).items() if asks],
        experiments=[section(results, _anchor(results.name)) for results in shown.experiments],
        made=_made(reproduced, shown),
    )
    return text.encode(errors="replace").decode()  # half a character in a record is no text


def index_page(every: Sequence[Reproduced], absent: Mapping[str, Paper]) -> str:
    """The way in: each paper with its verdict; those that were not run yet below.

    Raises:
        ValueError: as for `paper_page`.
    """
    cards = [dict(stem=r.stem, made=r.made, **_card(r)) for r in every]
    rest = [(stem, _cited(paper)) for stem, paper in absent.items()]
    claims = sum((card["claims"] for card in cards), Counter())
    counted = ", ".join(f"{count} {plural(name, count)}" for name, count in claims.items())
    headline = (
        f"{claims.total()} claims of {len(cards)} papers: {counted}.",
        f"{sum(card['figures'] for card in cards)} figures from {sum(card['count'] for card in cards):,} cases.",
    )
    return template("reproduction_index").render(headline=headline, papers=cards, absent=rest)


class _Shown(NamedTuple):
    """The records that were asked for."""

    claims: Results
    experiments: list[Results]

    @property
    def records(self) -> list[Record]:
        return [record for results in (self.claims, *self.experiments) for record in results.records]


def _shown(reproduced: Reproduced) -> _Shown:
    claims = reproduced.claims
    return _Shown(
        results_of(claims.store, claims.wanted),
        [results_of(part.store, part.wanted) for part in reproduced.experiments if part.store],
    )


def _card(reproduced: Reproduced) -> dict[str, Any]:
    """A paper on the index."""
    shown = _shown(reproduced)
    return dict(
        paper=_cited(reproduced.paper),
        headline=_headline(shown),
        unmatched=_unmatched(shown),
        lost=_lost(reproduced),
        claims=_outcomes(shown.claims),
        figures=sum(len(all_charts(results)) for results in shown.experiments),
        count=len(shown.records),
    )


def _cited(paper: Paper) -> dict[str, str]:
    authors = list(paper.authors)
    named = ", ".join(authors[:-1]) + f" and {authors[-1]}" if len(authors) > 1 else authors[0]
    return dict(title=paper.title, authors=named, year=str(paper.year), arxiv=paper.arxiv)


def _headline(shown: _Shown) -> list[str]:
    """Of the claims, and of the experiments."""
    counted = ", ".join(f"{count} {plural(name, count)}" for name, count in _outcomes(shown.claims).items())
    compared = [[r for r in results.records if r.outcome != "measured"] for results in shown.experiments]
    checked = [record for records in compared for record in records]
    claims, cases = _several(len(shown.claims.asks), "claim"), _several(len(shown.claims.records), "case")
    said = [f"{claims} in {cases}: {counted}."]
    if checked:
        held = sum(record.outcome == "holds" for record in checked)
        experiments = _several(sum(map(bool, compared)), "experiment")
        said.append(f"{held:,} of {len(checked):,} comparisons with theory hold in {experiments}.")
    return said


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _outcomes(claims: Results) -> Counter[str]:
    """How many claims came out how, by the worst of their cases."""
    return Counter(_outcome(claims, ask) for ask in claims.asks)


def _by_author(claims: Results) -> dict[str, list[str]]:
    """Claims of the paper, and ours."""
    ours = [ask for ask, about in claims.asks.items() if about.get("ours")]
    return {"Stated in the paper": [ask for ask in claims.asks if ask not in ours], "Derived beside it by us": ours}


def _outcome(claims: Results, ask: str) -> str:
    """The worst outcome of a claim over its cases."""
    found = [record for record in claims.records if record.ask == ask]
    return _worst(found).outcome if found else "not run"


def _line(claims: Results, ask: str) -> Line:
    records = [record for record in claims.records if record.ask == ask]
    about, outcome = claims.asks[ask], _outcome(claims, ask)
    first = records[0] if records else None
    return Line(
        outcome=outcome,
        mark=MARKS.get(outcome, "?"),
        says=about["says"],
        id=ask,
        source=about["source"],
        verdict=_counted(records),
        numbers=_compared(first, about["relation"]) if first else "",
        smallest=first.coordinates.get("at", "") if first else "",
        reason=_worst(records).reason if records else "",
    )


def _worst(records: Sequence[Record]) -> Record:
    """The first record of the outcome that tells most."""
    return min(records, key=lambda r: TELLING.index(r.outcome) if r.outcome in TELLING else len(TELLING))


def _counted(records: Sequence[Record]) -> str:
    count = Counter(record.outcome for record in records)
    return ", ".join(f"{n} {plural(outcome, n)}" for outcome, n in count.items())


def _compared(record: Record, relation: str) -> str:
    """Both numbers of a case."""
    if not record.measured:
        return record.outcome
    sign = RELATIONS.get(relation, relation) if record.outcome == "holds" else "beside"
    return f"{told(record.measured[0])} {sign} {told(record.predicted)}"


def _unmatched(shown: _Shown) -> list[str]:
    """What does not agree with theory, in sentences."""
    said = []
    for results in (shown.claims, *shown.experiments):
        for ask in results.asks:
            records = [record for record in results.records if record.ask == ask]
            if any(record.outcome in TELLING for record in records):
                if results is shown.claims:
                    said.append(f"{ask}: {_counted(records)}. {capitalised(_worst(records).reason)}.")
                else:
                    said.append(f"{ask} in {results.name}: {outcome_of(records)}.")
    return said


def _lost(reproduced: Reproduced) -> list[str]:
    """What could not be computed, and why."""
    return [*filter(None, map(_lost_of, (reproduced.claims, *reproduced.experiments)))]


def _lost_of(part: Part) -> str:
    if not part.store:
        return f"{part.name} was not run: {part.errors[0] if part.errors else 'its turn has not come yet'}."
    if not part.missing:
        return ""
    why = f"the first is {part.errors[0]}" if part.errors else "the same command goes on with them"
    return f"{part.name}: {part.missing:,} of the cases are missing; {why}."


def _made(reproduced: Reproduced, shown: _Shown) -> list[tuple[str, str]]:
    """How long it took, when, and with what."""
    records, made = shown.records, [(capitalised(name), fact) for name, fact in reproduced.made.items()]
    if not records:
        return made
    days = sorted(record.finished[:10] for record in records)
    versions = dict.fromkeys(", ".join(f"{n} {v}" for n, v in r.versions.items()) for r in records)
    return [
        *made,
        ("Cases", f"{len(records):,}"),
        ("Work", f"{duration(sum(record.seconds for record in records))} of all cases together"),
        ("Finished", " to ".join(dict.fromkeys((days[0], days[-1])))),
        ("Versions", "; ".join(versions)),
    ]


def _anchor(name: str) -> str:
    return name.replace(".", "-")
