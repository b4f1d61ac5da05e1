"""Executed notebooks for people who do not see them or use no mouse: everything has a name and can be reached."""

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from macrec.viz.theme import caption_html
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.report import write_report

pytestmark = [
    pytest.mark.notebook,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
each = pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)

PLOTLY = "application/vnd.plotly.v1+json"
EMPTY = {"img", "br", "hr", "input", "meta", "link", "col", "wbr"}
NAMED = {"figure", "group", "img", "region", "table"}


class Elements(HTMLParser):
    """The elements of a piece of HTML: (depth, tag, attributes) in order, scripts and styles left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[int, str, dict[str, Any]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        if tag not in ("script", "style"):
            self.found.append((len(self._open), tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((len(self._open), tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def outputs(run, path) -> list[Any]:
    notebook = nbformat.read(run.folder / path.name, as_version=4)
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@each
def test_the_sentence_under_every_figure_is_its_alternative_text(run, path):
    found = [output.data for output in outputs(run, path) if "data" in output]
    figures = [(data, after) for data, after in pairwise(found) if PLOTLY in data]
    assert len(figures) == sum(PLOTLY in data for data in found) > 0
    for data, after in figures:
        sentence = data[PLOTLY]["layout"]["meta"]["alt"]
        assert sentence.endswith(".") and len(sentence.split()) > 4
        [(_, _, attributes)] = Elements(data["text/html"]).found
        assert (attributes["role"], attributes["aria-label"]) == ("figure", sentence)
        assert after["text/html"].startswith(caption_html(sentence, None))


@each
def test_every_view_says_what_it_is(run, path):
    # By a label of its own, by that of the one board or table in it, or by the table's caption.
    for output in outputs(run, path):
        found = Elements(output.get("data", {}).get("text/html", "")).found
        if not found or found[0][1] == "p" or any(about.get("class") == "dataframe" for _, _, about in found):
            continue  # nothing, a figure's caption, or a table that polars has drawn: its columns have names
        inside = [about for _, tag, about in found if tag == "table" or about.get("role") == "img"]
        labels = [about.get("aria-label") for about in inside] if len(inside) == 1 else []
        labels += [tag for _, tag, _ in found if tag == "caption"]
        own = [
            about.get("aria-label") for depth, tag, about in found if depth == 0 and {tag, about.get("role")} & NAMED
        ]
        assert any(own) or any(labels), found[:3]


@each
def test_every_picture_has_words_and_the_keyboard_follows_the_page(run, path):
    for output in outputs(run, path):
        for _, tag, attributes in Elements(output.get("data", {}).get("text/html", "")).found:
            if tag == "img":
                assert attributes.get("alt"), attributes
            assert int(attributes.get("tabindex", 0)) <= 0, attributes
            assert not [name for name in attributes if name.startswith("on")], attributes


AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
"""A script that tells what of a page some people could not use: kinds of trouble, each with its places."""


@pytest.fixture
def page(run, chromium, tmp_path):
    """The report of the run, every fold open, every figure drawn."""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.goto(write_report([run.folder], tmp_path / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.wait_for_function("document.querySelectorAll('[id^=macrec-figure]:not(.js-plotly-plot)').length === 0")
    return page


@pytest.mark.browser
def test_everything_that_can_be_used_has_a_name_takes_the_keyboard_and_can_be_read(page):
    found = page.evaluate(AUDIT)
    seen, pairs = set(found.pop("seen")), found.pop("pairs")
    assert {"button", "select", "summary", "canvas", "tr", "a"} <= seen and pairs > 10  # it has looked at something
    assert not {trouble: places for trouble, places in found.items() if places}


@pytest.mark.browser
def test_the_audit_notices_what_is_wrong(chromium):
    page = chromium.new_page()
    page.set_content("""
      <button></button> <label>named <select><option>one</option></select></label> <select><option>two</option></select>
      <p tabindex="3" style="cursor: pointer; color: #999">late</p> <b style="cursor: pointer">go</b> <img>
      <i style="background: #0072B2; color: #222">dark</i> <svg><text fill="#aaa">pale</text></svg>
      <div class="js-plotly-plot" id="bare"></div>
    """)
    found = page.evaluate(AUDIT)
    counts = {trouble: len(places) for trouble, places in found.items() if isinstance(places, list)} | {"seen": 0}
    assert counts == {
        "nameless": 2, "outOfOrder": 1, "mouseOnly": 1, "unseen": 1, "unlabelled": 1, "faint": 3, "seen": 0
    }  # fmt: skip
    assert {words.rsplit(": ")[-1] for words in found["faint"]} == {"late", "dark", "pale"}
