"""Where a statement comes from, and how to cite it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A publication.

    Attributes:
        key: BibTeX key.
        title, authors, year: as printed; authors in order, "First Last".
        arxiv: identifier, for example "1710.09431"; "" if there is none.
        venue: journal or conference; "" for a preprint.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    arxiv: str = ""
    venue: str = ""

    def bibtex(self) -> str:
        """The BibTeX entry."""
        kind, place = ("inproceedings", {"booktitle": self.venue}) if self.venue else ("misc", {})
        eprint = {"eprint": self.arxiv, "archiveprefix": "arXiv"} if self.arxiv else {}
        entries = {"title": self.title, "author": " and ".join(self.authors), "year": str(self.year)} | place | eprint
        return f"@{kind}{{{self.key},\n" + "".join(f"  {k} = {{{v}}},\n" for k, v in entries.items()) + "}"


@dataclass(frozen=True)
class Source:
    """The place of a statement: in a paper, or our own derivation beside it.

    Attributes:
        paper: the publication it belongs to.
        where: "Theorem 1", "equation (4)", or "our derivation".
    """

    paper: Paper
    where: str

    @property
    def ours(self) -> bool:
        """Whether the statement is our own; where only its numbers or its proof are, `where` has that in brackets."""
        return "our derivation" in re.sub(r"\(.*?\)", "", self.where)

    def __str__(self) -> str:
        authors = [name.rsplit(" ", 1)[-1] for name in self.paper.authors]
        short = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
        return f"{short} ({self.paper.year}), {self.where}"


def cite(sources: Iterable[Source]) -> str:
    """BibTeX of every paper that the sources name, once each, in order of first use."""
    return "\n\n".join(paper.bibtex() for paper in dict.fromkeys(source.paper for source in sources))
