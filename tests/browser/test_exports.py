"""The report of a real run in a real browser, offline: everything is drawn, nothing is asked of anybody."""

import shutil
from pathlib import Path

import pytest

from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.report import report_file, write_report
from macrec.workbench.runner import run_notebooks

pytestmark = [
    pytest.mark.browser,
    pytest.mark.notebook,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FIGURES = """() => [...document.querySelectorAll("[id^=macrec-figure]")].map(figure => {
  const drawn = figure.querySelector(".main-svg")?.getBoundingClientRect();
  return {
    id: figure.id,
    label: figure.getAttribute("aria-label"),
    area: drawn ? drawn.width * drawn.height : 0,
    marks: figure.querySelectorAll("path, image, canvas").length,
  };
})"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Notebooks 01, 03 and 04 on the smallest catalog."""
    parameters = {"profile": "smoke", "codewords": 8, "codebook_epochs": 4, "clusters": 16}
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    return run_notebooks(find_notebooks(["01", "03", "04"]), folder, parameters, progress=False).folder


@pytest.fixture
def tab(chromium):
    """A tab that notes every error and every request that is not for the page itself."""
    tab = chromium.new_page(viewport={"width": 1300, "height": 900})
    tab.problems = []
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.on("console", lambda said: tab.problems.append(said.text) if said.type == "error" else None)
    inside = ("file:", "data:", "blob:")
    tab.on("request", lambda asked: None if asked.url.startswith(inside) else tab.problems.append(asked.url))
    yield tab
    assert tab.problems == []


def all_drawn(tab) -> list[dict]:
    tab.wait_for_function(
        "() => [...document.querySelectorAll('[id^=macrec-figure]')].every(f => f.querySelector('.main-svg'))"
    )
    return tab.evaluate(FIGURES)


def test_every_figure_of_a_report_is_drawn_and_says_what_it_shows(run, tab):
    tab.goto(write_report([run], report_file([run])).as_uri())
    figures = all_drawn(tab)
    assert len(figures) >= 8 and len({figure["id"] for figure in figures}) == len(figures)
    for figure in figures:
        assert figure["area"] > 400 * 100 and figure["marks"] > 5, figure
        assert figure["label"].endswith(".") and len(figure["label"].split()) > 4, figure
    assert tab.evaluate("() => [...document.images].every(image => image.alt && image.naturalWidth > 0)")
    for width in (1300, 800):  # nothing sticks out of the page
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= width


def test_pointing_at_a_point_of_a_report_shows_the_item(run, tab):
    tab.goto(write_report([run], report_file([run])).as_uri())
    all_drawn(tab)
    usage = tab.locator("[id^=macrec-figure][aria-label^='Items per code']").first
    usage.scroll_into_view_if_needed()
    box, card = usage.locator(".nsewdrag").first.bounding_box(), tab.locator(".macrec-card")
    for step in range(200):  # plotly takes no hover in the first moments after a scroll
        tab.mouse.move(box["x"] + (0.2 + step / 1000) * box["width"], box["y"] + 0.12 * box["height"])
        if card.is_visible():
            break
    assert "for example" in card.inner_text()
    assert "data:image/webp" in card.locator(".pic").first.get_attribute("style")


def test_the_folded_notebooks_of_several_runs_are_drawn_when_opened(run, tab, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("01_data.ipynb", "run.json", "metrics.json"):
        shutil.copy(run / name, other)
    tab.goto(write_report([run, other], tmp_path / "report.html").as_uri())
    before = len(all_drawn(tab))
    tab.locator("summary", has_text="01 ·").nth(1).click()
    tab.wait_for_function(f"() => document.querySelectorAll('.js-plotly-plot').length > {before}")
    figures = all_drawn(tab)
    assert len(figures) == before + 2 and all(figure["area"] > 400 * 100 for figure in figures)
