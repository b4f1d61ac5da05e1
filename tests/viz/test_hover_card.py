"""Pointing at a figure in a browser shows the card of an item, and the note of a point that carries one."""

import numpy as np
import plotly.graph_objects as go
import plotly.offline
import pytest

from macrec.data.curio import curio
from macrec.viz import Gallery, theme

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_card_shows_note_and_item_of_a_box_of_an_icicle(tmp_path, monkeypatch, chromium):
    data = curio("tiny")
    shown = []
    monkeypatch.setattr(theme, "display", lambda output, raw=False: shown.append(output))
    points = [[0, "all items<br>10 items"], [1, "a <b> & more"], [-1, "only a note"]]
    figure = go.Figure(
        go.Icicle(ids=["0", "1", "2"], parents=["", "0", "0"], labels=["", "", ""], values=[10, 6, 4],
                  branchvalues="total", customdata=points, hoverinfo="none", tiling={"orientation": "h"})
    )  # fmt: skip
    figure.update_layout(height=400, width=600, margin={"t": 0, "b": 0, "l": 0, "r": 0})
    theme.show(figure, "A tree.", Gallery(data, np.array([0, 1])))
    page_file = tmp_path / "page.html"
    page_file.write_text(
        f"<!doctype html><meta charset=utf-8><body style='margin:0'><script>{plotly.offline.get_plotlyjs()}</script>"
        f"{shown[0]['text/html']}{shown[1].data}",
        encoding="utf-8",
    )
    page = chromium.new_page(viewport={"width": 900, "height": 700})
    page.goto(page_file.as_uri())
    page.wait_for_selector(".js-plotly-plot[aria-label] path.surface")
    seen = []
    for x, y in ((100, 200), (450, 60), (450, 350)):
        page.mouse.move(x, y)
        page.wait_for_function("n => document.querySelector('.macrec-card').innerText !== n", arg=(seen or [""])[-1])
        seen.append(page.locator(".macrec-card").inner_text())
    titles = data.items["title"]
    assert seen[0].split("\n")[:4] == ["all items", "10 items", "for example", titles[0]]
    assert seen[1].split("\n")[:3] == ["a <b> & more", "for example", titles[1]]
    assert seen[2] == "only a note"
