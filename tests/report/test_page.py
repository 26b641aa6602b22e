from html.parser import HTMLParser

import pytest
import sample

from hitherto.report.page import page
from hitherto.report.verdict import verdict

VOID = {"meta", "br", "link", "img", "input", "hr"}
FETCHING = {"src", "srcset", "data", "action", "poster", "background"}


class Reader(HTMLParser):
    """Checks nesting; collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def made(estimates=None, **provenance) -> str:
    estimates = sample.estimates() if estimates is None else estimates
    settings = sample.provenance(**provenance)
    return page(estimates, settings, verdict(estimates, settings))


def parsed(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def text() -> str:
    return made()


@pytest.fixture(scope="module")
def layers() -> str:
    return made([e for i in range(4) for e in sample.estimates(f"layer {i}", units=512, lags=2000)])


def test_nothing_is_fetched(text):
    reader = parsed(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(reader.tags)
    for name, value in reader.attributes:
        assert name not in FETCHING
        assert not name.startswith("on")
        assert "http" not in (value or "")
        assert "href" not in name or value.startswith("#")
    assert "@import" not in text
    assert text.count("url(") == text.count("url(#")


def test_small_enough(layers):
    assert len(layers.encode()) < 2_000_000


def test_same_arguments_same_page(text):
    assert made() == text


def test_order_of_the_page(text):
    places = [
        text.index(part)
        for part in (
            "<h1>char_lstm.safetensors</h1>",
            "Forgets half of an input within 7.4",
            "Stable: the same input",
            "Noticed on the way",
            'id="state-gradient"',
            "All numbers",
            "What this does not tell",
            "How it was made",
        )
    ]
    assert places == sorted(places)


def test_everything_is_on_the_page(text):
    words = " ".join("".join(parsed(text).text).split())
    settings = sample.provenance()
    for key in ("sha256", "command", "input_law", "architecture"):
        assert settings[key] in words
    for sentence in verdict(sample.estimates(), settings)[1:]:
        assert sentence in words
    for part in ("jax 0.10.2", "24 s", "107,072", *settings["assumptions"], *settings["findings"]):
        assert part in words
    for estimate in sample.estimates():
        drawn_alone = estimate.quantity.axes == ("unit",) or len(estimate.quantity.axes) > 1
        assert estimate.quantity.meaning in words or drawn_alone


def test_texts_are_not_trusted():
    nasty = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }}"
    text = made(
        sample.estimates(part=nasty, lags=5) + sample.estimates("other", lags=5),
        file=nasty,
        layer=nasty,
        architecture=nasty,
        command=nasty,
        assumptions=(nasty,),
        findings=(nasty,),
        versions={nasty: nasty},
    )
    reader = parsed(text)
    assert "script" not in reader.tags
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert nasty in "".join(reader.text)


def test_figures_have_names_for_those_who_do_not_see_them(text):
    reader = parsed(text)
    assert reader.tags.count("svg") == reader.tags.count("figure") == reader.tags.count("figcaption")
    assert sum(name == "aria-labelledby" for name, _ in reader.attributes) == reader.tags.count("figure")


def test_identifiers_are_unique(layers):
    identifiers = [value for name, value in parsed(layers).attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers)) > 0


def test_a_page_about_nothing():
    text = page((), {}, ())
    assert "<h1>Recurrent model</h1>" in text
    parsed(text)


def test_parts_have_their_own_rows(layers):
    for place in range(4):
        assert f'<tr class="part"><th colspan="5" scope="rowgroup">layer {place}</th></tr>' in layers
