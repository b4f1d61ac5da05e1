"""Figures in a page: a name for every one, and menus that a keyboard opens."""

import plotly.graph_objects as go
import pytest

from macrec.viz.page import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(chromium, tmp_path):
    """A page with a figure whose menu chooses between two lines."""
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": [name == "first", name == "second"]}]}
        for name in ("first", "second")
    ]
    figure = go.Figure([go.Scatter(y=[1, 2]), go.Scatter(y=[2, 1], visible=False)])
    figure.update_layout(updatemenus=[{"buttons": buttons}])
    site = Page("Toy")
    site.figure(figure, "Two lines to choose from.")
    page = chromium.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(site.write(tmp_path / "toy.html").as_uri())
    page.wait_for_selector(".updatemenu-header[tabindex]")
    return page


def shown(page):
    return page.evaluate("document.querySelector('.js-plotly-plot').data.map(line => line.visible !== false)")


def test_a_figure_without_pictures_has_its_sentence_too(opened):
    figure = opened.query_selector(".js-plotly-plot")
    assert (figure.get_attribute("role"), figure.get_attribute("aria-label")) == ("figure", "Two lines to choose from.")


def test_a_menu_is_opened_walked_and_left_by_keyboard(opened):
    header = opened.locator(".updatemenu-header")
    assert "first" in header.get_attribute("aria-label")
    for _ in range(20):  # the buttons of the mode bar come before it
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.classList.contains('updatemenu-header')"):
            break
    opened.keyboard.press("Enter")
    opened.wait_for_function("document.activeElement.classList.contains('updatemenu-dropdown-button')")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    opened.wait_for_function("document.activeElement.classList.contains('updatemenu-header')")
    assert shown(opened) == [False, True] and "second" in header.get_attribute("aria-label")

    opened.keyboard.press("Space")
    opened.wait_for_selector(".updatemenu-dropdown-button")
    opened.wait_for_function("document.activeElement.classList.contains('updatemenu-dropdown-button')")
    opened.keyboard.press("Escape")
    opened.wait_for_selector(".updatemenu-dropdown-button", state="detached")
    opened.wait_for_function("document.activeElement.classList.contains('updatemenu-header')")
    assert shown(opened) == [False, True] and not opened.problems
