"""Every Python sample of the documentation runs, and what it names exists."""

import inspect
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import hitherto
from hitherto.cli import profile as profile_command

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("*/*.md"), ROOT / "README.md"])
SAMPLE = re.compile(r"^(?P<skipped><!-- not run: .+ -->\n+)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def samples(page: Path) -> str:
    """All the Python of one page as one program, every line where it stands in the page."""
    text, program = page.read_text(), ""
    for match in SAMPLE.finditer(text):
        if not match["skipped"]:
            program += "\n" * (text.count("\n", 0, match.start("code")) - program.count("\n")) + match["code"]
    return program


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the samples run: small models and inputs under the names that the pages use."""
    monkeypatch.chdir(tmp_path)
    hitherto.save(hitherto.build(hitherto.LSTM(2, 12), 0), "lstm.safetensors")
    hitherto.save(hitherto.build(hitherto.GRU(2, 12), 1), "gru.safetensors")
    np.save("inputs.npy", np.random.default_rng(0).standard_normal((16, 400, 2)))
    return tmp_path


COSTLY = (  # pages that profile, train or search; the README does so too and always runs
    *("profile-a-checkpoint", "train", "one-number-in-python", "measure-your-own-cell", "compare-models"),
    *("trust-the-numbers", "choose-inputs", "how-many-layers", "make-it-unitary", "linear_bias"),
)


RUN = [page for page in PAGES if page.exists() and samples(page)]
MARKED = [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in COSTLY), id=named(page)) for page in RUN]


@pytest.mark.parametrize("page", MARKED)
def test_samples_run(page, folder):
    program = folder / f"{page.stem}.py".replace("-", "_")
    program.write_text(samples(page))
    runpy.run_path(str(program), run_name="__main__")


def test_the_table_of_measures_has_every_quantity():
    table = (DOCS / "measures.md").read_text().split("\n\n## ")[0]
    assert set(re.findall(r"`([a-z_0-9]+)`", table)) >= {quantity.name for quantity in hitherto.QUANTITIES}
    assert set(re.findall(r"`([a-z_0-9]+)` ?[,|]", table)) <= {quantity.name for quantity in hitherto.QUANTITIES}


def test_the_command_line_page_has_every_option():
    parameters = set(inspect.signature(profile_command).parameters) - {"model"}
    page = (DOCS / "reference" / "command-line.md").read_text().split("\n## Claims")[0]
    assert set(re.findall(r"^\| `--([a-z-]+)", page, re.MULTILINE)) == {name.replace("_", "-") for name in parameters}


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)}


def test_everything_public_is_in_the_reference():
    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    assert set(re.findall(r"^(?:::: |`)hitherto\.(\w+)(?:`|$)", text, re.MULTILINE)) >= set(hitherto.__all__)
