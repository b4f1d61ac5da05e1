"""A page that stands alone: everything once, nothing from outside, whole or not at all."""

import re

import numpy as np
import plotly.graph_objects as go
import pytest

from macrec.data.curio import curio
from macrec.viz import Gallery
from macrec.viz.page import Page
from macrec.viz.theme import caption_html, figure_html


def scatter() -> go.Figure:
    return go.Figure(go.Scatter(x=[1], y=[1], customdata=[3]))


def drawn(number: int) -> str:
    """A figure as an executed notebook carries it."""
    return figure_html({"data": [], "layout": {"meta": {"alt": "A figure."}}}, number)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(curio("tiny"), np.arange(5))


def test_pictures_and_the_script_of_plotly_are_in_the_page_once(gallery):
    page = Page("Title")
    page.figure(scatter(), "One dot.", gallery)
    page.figure(scatter(), "The same dot.", gallery)
    page.html(caption_html("As a notebook has it.", gallery))
    written = page.render()
    assert written.count("data:image/webp") == 1
    assert len(re.findall(r"\* plotly\.js v", written)) == 1
    assert all(words in written for words in ("One dot.", "The same dot.", "As a notebook has it."))
    # The same figures with other pictures bring theirs.
    page.figure(scatter(), "Another dot.", Gallery(curio("tiny"), np.arange(6)))
    assert page.render().count("data:image/webp") == 2


def test_figures_that_every_notebook_numbers_from_1_get_numbers_of_their_own():
    page = Page("Title")
    page.html(drawn(1), drawn(2))
    page.html(drawn(1))
    page.figure(scatter(), "A dot.")
    written = page.render()
    ids = re.findall(r'<div id="(macrec-figure-\d+)"', written)
    assert len(ids) == len(set(ids)) == 4
    for name in ids:  # each is drawn where it stands
        assert len(re.findall(rf'drawFigure\("{name}"', written)) == 1


def test_the_contents_lead_to_every_section():
    page = Page("Title", "Lead.")
    page.heading("First & foremost")
    page.heading("A part", 3, anchor="part")
    page.heading("Second")
    written = page.render()
    contents = re.search(r"<nav.*?</nav>", written)[0]
    targets = re.findall(r'href="#([^"]+)"', contents)
    assert len(targets) == 2 and all(written.count(f'id="{target}"') == 1 for target in targets)
    assert "First &amp; foremost" in contents and "A part" not in contents and '<h3 id="part">' in written


def test_words_are_escaped():
    page = Page("<b>", "<b>")
    page.heading("<b>")
    page.text("<b>")
    with page.folded("<b>"):
        page.text("<b>")
    assert "<b>" not in page.render()


def test_the_size_is_known_before_the_page_is_written(gallery):
    page = Page("Title")
    page.text("Words – and more.")
    page.figure(scatter(), "A dot.", gallery)
    fragments = [drawn(1), caption_html("The same pictures.", gallery), "<p>λ</p>"]
    before = page.size(*fragments)
    page.html(*fragments)
    assert abs(before - page.size()) < 200  # what surrounds a fragment
    assert abs(page.size() - len(page.render().encode())) < 5_000
    assert before < page.size() + len(gallery.script())  # pictures that are there already do not count


def test_a_page_that_fails_leaves_the_last_one(tmp_path, monkeypatch):
    page = Page("Title")
    page.text("first")
    file = page.write(tmp_path / "new" / "page.html")
    monkeypatch.setattr(Page, "render", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.write(file)
    assert "first" in file.read_text(encoding="utf-8") and list(file.parent.iterdir()) == [file]


@pytest.mark.browser
def test_nothing_in_a_page_reaches_outside(chromium, tmp_path):
    page = Page("Title")
    page.html(
        '<img src="http://outside.example/a.png"><script src="http://outside.example/b.js"></script>'
        '<link rel="stylesheet" href="http://outside.example/c.css">'
        '<script>fetch("http://outside.example/d").catch(() => {})</script><b id="end">end</b>'
    )
    tab = chromium.new_page()
    asked = []
    tab.route("http://**", lambda route: (asked.append(route.request.url), route.abort()))
    tab.goto(page.write(tmp_path / "page.html").as_uri())
    assert tab.inner_text("#end") == "end" and asked == []


@pytest.mark.browser
def test_what_is_folded_is_drawn_when_it_is_opened(chromium, tmp_path):
    page = Page("Title")
    with page.folded("More"):
        page.figure(scatter(), "A dot.")
    tab = chromium.new_page(viewport={"width": 1000, "height": 800})
    tab.goto(page.write(tmp_path / "page.html").as_uri())
    assert tab.query_selector(".js-plotly-plot") is None
    tab.focus("summary")
    tab.keyboard.press("Enter")
    box = tab.wait_for_selector(".js-plotly-plot .main-svg").bounding_box()
    assert box["width"] > 900 and box["height"] > 300
