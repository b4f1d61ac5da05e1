"""A replay shows the history, the true next item and every system's ranking of exactly the chosen users."""

import base64
import dataclasses
import html
import io
import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from macrec.data.curio import curio
from macrec.data.ranking import Ranking
from macrec.data.split import leave_one_out
from macrec.errors import DataError
from macrec.viz import Gallery
from macrec.viz.cards import Cards
from macrec.viz.page import Page
from macrec.viz.pictures import thumbnail
from macrec.viz.views.replay import LAST, MOST_USERS, replay


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def samples(data):
    return leave_one_out(data.histories, 1_000).test


@pytest.fixture(scope="module")
def gallery(data):
    return Gallery(data, np.arange(data.num_items), {"brand": data.items["brand"].to_list()})


def ranked(data, samples, place, depth=20, seed=0):
    """A ranking with every user's target at `place` (from 0), or nowhere for None, and other items at random."""
    rng = np.random.default_rng(seed)
    items = np.empty((len(samples), depth), np.int64)
    for row, target in enumerate(samples.targets.tolist()):
        others = rng.permutation(np.delete(np.arange(data.num_items), target))
        items[row] = others[:depth] if place is None else np.insert(others, place, target)[:depth]
    return Ranking(items, np.tile(-np.arange(depth, dtype=float), (len(samples), 1)))


def strips(page):
    """Of every user: of every strip its words and its items' names and marks."""
    users = []
    for section in page.split("<section")[1:]:
        found = {}
        for strip in section.split('<div class="strip">')[1:]:
            words = re.sub("<[^>]*>", "", strip.split("</div>")[0])
            cells = strip.split("<li")[1:]
            names = [html.unescape(re.search(r'role="img" aria-label="([^"]*)"', cell)[1]) for cell in cells]
            found[html.unescape(words)] = (names, [cell.startswith(" class=target") for cell in cells])
        users.append(found)
    return users


def titles(data, rows):
    return [data.items["title"][int(row)] for row in rows]


def test_strips_are_the_history_the_target_and_the_rankings(data, samples, gallery):
    rankings = {"first": ranked(data, samples, 2), "late": ranked(data, samples, 14, seed=1)}
    rankings["never"] = ranked(data, samples, None, seed=2)
    which = [int(samples.lengths.argmax()), 5, int(samples.lengths.argmin())]
    found = strips(replay(samples, which, rankings, gallery, k=8))
    assert len(found) == 3
    for sample, user in zip(which, found, strict=True):
        history, target = samples.history(sample), int(samples.targets[sample])
        (told, shown), (_, (truth, _)), *systems = user.items()
        assert told.startswith(f"history {len(history)} item") and shown[0] == titles(data, history[-LAST:])
        assert ("not shown" in told) == (len(history) > LAST) and truth == titles(data, [target])
        assert [words for words, _ in systems] == [
            "first target: rank 3", "late target: rank 15", "never target: not in the first 20"
        ]  # fmt: skip
        for (_, (names, marks)), ranking, place in zip(systems, rankings.values(), (2, None, None), strict=True):
            assert names == titles(data, ranking.items[sample, :8])
            assert marks == [place == rank for rank in range(8)]


def test_scores_stand_in_the_notes_and_padding_is_no_item(data, samples, gallery):
    one = samples.take(np.array([3]))
    short = Ranking(np.array([[4, 9, -1]]), np.array([[-0.25, -1.5, -np.inf]]))
    page = replay(one, [0], {"beam": short}, gallery)
    notes = [html.unescape(note) for note in re.findall(r'title="([^"]*)"', page)]
    assert any(note.startswith("beam: rank 1, score -0.25") for note in notes)
    assert any(note.startswith("beam: rank 2, score -1.5") for note in notes)
    assert not any("rank 3" in note for note in notes)
    nothing = Ranking(np.array([[-1]]), np.array([[-np.inf]]))
    assert "nothing" in replay(one, [0], {"beam": nothing}, gallery)


def test_users_are_named_with_the_groups_they_are_in(data, samples, gallery):
    mask = np.arange(len(samples)) == 6
    page = replay(samples, [6, 7], {"a": ranked(data, samples, 0)}, gallery, {"<cold>": mask, "tail": ~mask})
    labels = re.findall(r"<option[^>]*>(.*?)</option>", page)
    names = [data.user_ids[int(samples.user[sample])] for sample in (6, 7)]
    assert labels == [f"user {names[0]} (&lt;cold&gt;)", f"user {names[1]} (tail)"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7, 90])
def test_every_picture_is_cut_from_where_it_lies(data, count):
    rows = np.flatnonzero(data.images.present)[::-1][:count].tolist()
    lines = {"row": [f"<{row}>" for row in range(data.num_items)]}
    cards = Cards(Gallery(data, np.arange(data.num_items), lines), rows, pixels=count * 40**2)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(cards.uri().partition(",")[2]))).convert("RGB"), float)
    assert cards.size == 40 and sheet.shape[1] == cards.columns * 40 and sheet.shape[0] == cards.lines * 40
    own = np.stack([np.asarray(thumbnail(data, row, 40), float) for row in rows])
    for place, row in enumerate(rows):
        # In CSS 0% is the first tile and 100% the last one.
        x, y = (float(part) / 100 for part in re.findall(r"([\d.]+)%", cards.picture(row)))
        left, top = round(x * (sheet.shape[1] - 40)), round(y * (sheet.shape[0] - 40))
        distance = np.abs(sheet[top : top + 40, left : left + 40] - own).mean((1, 2, 3))
        assert distance.argmin() == place and distance[place] < 10  # of 255: what the compression costs
    assert cards._about() == {str(row): [f"row: <{row}>"] for row in sorted(rows)}


@pytest.mark.slow
def test_pictures_come_once_and_a_full_page_stays_small(data, samples, gallery):
    rankings = {f"system {seed}": ranked(data, samples, seed, seed=seed) for seed in range(7)}
    page = replay(samples, range(MOST_USERS), rankings, gallery)
    assert page.count("data:image") == 1 and len(page.encode()) < 700_000
    assert "http" not in page and "src=" not in page


def test_titles_are_text_and_never_markup(data, samples):
    evil = dataclasses.replace(data, items=data.items.with_columns(title=pl.lit("</style><script>x</script>")))
    page = replay(samples, [0], {"<b>a": ranked(data, samples, 0)}, Gallery(evil, np.arange(3)))
    assert "<script>x" not in page and "<b>a" not in page and page.count("</script>") == 1


def test_what_does_not_fit_is_refused(data, samples, gallery):
    good = {"a": ranked(data, samples, 0)}
    with pytest.raises(DataError, match="13 users were chosen; choose 1 to 12"):
        replay(samples, range(13), good, gallery)
    with pytest.raises(DataError, match="0 users"):
        replay(samples, [], good, gallery)
    with pytest.raises(DataError, match=f"no row {len(samples)} among"):
        replay(samples, [len(samples)], good, gallery)
    with pytest.raises(DataError, match='"a" has 400 rows for 5 samples'):
        replay(samples.take(np.arange(5)), [0], good, gallery)
    with pytest.raises(DataError, match='"cold" has 3 rows'):
        replay(samples, [0], good, gallery, {"cold": np.ones(3, bool)})


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_keys_step_through_the_users_and_along_a_strip(chromium, data, samples, gallery):
    page = chromium.new_page(viewport={"width": 800, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content(replay(samples, [2, 4, 6], {"a": ranked(data, samples, 1)}, gallery))
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    visible = "section:not([hidden])"
    assert page.locator(visible).count() == 1 and page.inner_text(".menu span") == "1 of 3"
    page.focus("select")
    page.keyboard.press("ArrowRight")
    assert page.locator(visible).count() == 1 and page.inner_text(".menu span") == "2 of 3"
    assert str(data.user_ids[int(samples.user[4])]) in page.get_attribute(visible, "aria-label")
    page.click("text=next →")
    assert page.inner_text(".menu span") == "3 of 3" and page.locator("text=next →").is_disabled()
    page.focus(f"{visible} li")
    page.keyboard.press("ArrowRight")
    history = samples.history(6)[-LAST:]
    assert (
        page.evaluate("document.activeElement.querySelector('.pic').getAttribute('aria-label')")
        == (data.items["title"][int(history[1])])
    )
    page.locator(f"{visible} li.target").last.hover()
    card = page.inner_text(".macrec-card")
    assert "a: rank 2, score -1" in card and data.items["title"][int(samples.targets[6])] in card and not problems


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("width", "columns"), [(600, 2), (870, 5), (1400, 10)])
def test_ten_items_fill_the_width_in_equal_lines_also_on_a_page(
    chromium, data, samples, gallery, tmp_path, width, columns
):
    page = Page("A page")
    page.html(replay(samples, [2], {"a": ranked(data, samples, 1)}, gallery))
    tab = chromium.new_page(viewport={"width": width, "height": 900})
    tab.goto(page.write(tmp_path / "page.html").resolve().as_uri())
    boxes = [item.bounding_box() for item in tab.locator("section:not([hidden]) ol").last.locator("li").all()]
    lines = {round(box["y"]) for box in boxes}
    assert len(boxes) == 10 and len(lines) == 10 // columns
    strip = tab.locator("section:not([hidden]) .strip").last.bounding_box()
    assert max(box["x"] + box["width"] for box in boxes) == pytest.approx(strip["x"] + strip["width"], abs=2)


BROKEN = """() => [...document.querySelectorAll("section:not([hidden]) .words")].flatMap(words => {
  const text = words.firstChild, range = document.createRange();
  return [...text.data.matchAll(/[^\\s-]+/g)].filter(({0: word, index}) => {
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1;
  }).map(found => found[0]);
})"""


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("width", [420, 870, 1400])
def test_no_word_of_a_title_is_broken_however_long_and_other_scripts_wrap(chromium, data, samples, width):
    long = ["Counterrevolutionary", "A" * 60, "Weather-resistant uncharacteristically long planter"]
    titles = [long[row % 4 - 1] if row % 4 else title for row, title in enumerate(data.items["title"])]
    titled = dataclasses.replace(data, items=data.items.with_columns(title=pl.Series(titles)))
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.set_content(replay(samples, [2], {"a": ranked(data, samples, 1)}, Gallery(titled)))
    assert page.locator("section .words").count() > 10 and page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    chinese = dataclasses.replace(
        data, items=data.items.with_columns(title=pl.lit("手工制作的复古风格陶瓷茶壶配有竹制手柄"))
    )
    page.set_content(replay(samples, [2], {"a": ranked(data, samples, 1)}, Gallery(chinese)))
    assert page.evaluate(BROKEN)  # there is no space in it: its lines end between signs
