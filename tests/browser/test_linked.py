"""The linked view in an offline page, by mouse and by keyboard: one selection, shown by all three panels."""

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import PrefixExplorer, linked_items

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATA = curio("tiny")
NUM = DATA.num_items
CODES = np.stack((np.arange(NUM) % 4, np.arange(NUM) // 4 % 3, np.arange(NUM) // 12 % 5), 1)
IDS = SemanticIds.from_codes(CODES, item_ids=DATA.items["item_id"])
# Items stand on two squares: those with an even first code on the left, the others on the right.
SPOT = np.random.default_rng(0).uniform(0, 1, (NUM, 2)).astype(np.float32)
POSITIONS = SPOT + np.array([3, 0], np.float32) * (CODES[:, :1] % 2)
LEFT = np.flatnonzero(CODES[:, 0] % 2 == 0).tolist()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    view = linked_items(IDS, {"text": (np.arange(NUM), POSITIONS)}, DATA, pictures=40)
    file = tmp_path_factory.mktemp("linked") / "page.html"
    file.write_text(f'<!doctype html><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">{view}')
    return file


@pytest.fixture(scope="module")
def browser(chromium_path):
    """One browser for all these tests: starting it takes longer than any of them."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-unsafe-swiftshader"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, file):
    """The page, offline, noting whatever goes wrong; nothing may have when the test is done."""
    context = browser.new_context(viewport={"width": 1300, "height": 1100}, offline=True)
    page, problems = context.new_page(), []
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
    )
    page.goto(file.as_uri())
    page.wait_for_selector(".node")
    yield page
    context.close()
    assert not problems


def selected(page) -> list[int]:
    return page.evaluate("[...document.querySelector('.macrec-linked').macrec.selected()]")


def listed(page) -> list[int]:
    """All rows of the table, whatever it takes to see them."""
    while page.is_visible(".more"):
        page.click(".more")
    return page.evaluate("[...document.querySelectorAll('tbody tr')].map(row => +row.dataset.item)")


def shares(page) -> dict[str, str]:
    """What every first code of the tree says about itself."""
    told = page.evaluate("[...document.querySelectorAll('.node[aria-level=\"1\"]')].map(box => box.ariaLabel)")
    return {words.split(", ")[0]: words.split(", ")[-1] for words in told}


def lively(page) -> tuple[int, int]:
    """Colored pixels in the left and the right half of the map; dots that are not selected are gray."""
    return tuple(
        page.evaluate("""() => {
          const canvas = document.querySelector(".canvas canvas"), {width, height} = canvas;
          const {data} = canvas.getContext("2d").getImageData(0, 0, width, height), found = [0, 0];
          for (let i = 0; i < data.length; i += 4) {
            const colors = data.slice(i, i + 3), strong = Math.max(...colors) - Math.min(...colors);
            if (data[i + 3] > 128 && strong > 60) found[+(i / 4 % width >= width / 2)]++;
          }
          return found;
        }""")
    )


def drag_around_the_left(page) -> None:
    box = page.locator(".canvas").bounding_box()
    corners = ((0.01, 0.03), (0.5, 0.03), (0.5, 0.97), (0.01, 0.97))
    for step, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if step == 0:
            page.mouse.down()
    page.mouse.up()


@pytest.mark.parametrize("tool", ["lasso", "box"])
def test_dragging_around_dots_selects_them_in_tree_and_table(page, tool):
    before = lively(page)
    page.select_option("label:has-text('drag to') select", tool)
    if tool == "lasso":
        drag_around_the_left(page)
    else:
        box = page.locator(".canvas").bounding_box()
        page.mouse.move(box["x"] + 4, box["y"] + 8)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 8, steps=4)
        page.mouse.up()
    assert selected(page) == LEFT
    assert shares(page) == {
        "a_0": "100% of them selected", "a_1": "0% of them selected",
        "a_2": "100% of them selected", "a_3": "0% of them selected",
    }  # fmt: skip
    assert sorted(listed(page)) == LEFT
    assert min(before) > 200
    assert lively(page)[0] > 200 and lively(page)[1] == 0
    said = page.inner_text(".told")
    assert said.startswith(f"{len(LEFT)} of {NUM} items selected (50%), under 2 first codes: a_0 50%, a_2 50%")
    page.click("text=clear selection")
    assert selected(page) == [] and lively(page) == before


def test_items_that_share_an_id_come_first_in_the_table(page):
    same = (CODES[:, None] == CODES[None]).all(2).sum(1)
    shown = page.locator("tbody tr")
    assert sorted(listed(page)) == np.flatnonzero(same > 1).tolist()
    assert int(shown.first.locator("td").last.inner_text()) == same.max()
    drag_around_the_left(page)
    alone = [int(same[item] == 1) for item in listed(page)]
    assert alone == sorted(alone)


def test_clicking_a_code_shows_its_items_on_the_map_and_in_the_table(page):
    page.click(".node:has-text('a_3')", position={"x": 5, "y": 5})
    wanted = np.flatnonzero(CODES[:, 0] == 3).tolist()
    assert selected(page) == wanted and sorted(listed(page)) == wanted
    assert lively(page)[0] == 0 and lively(page)[1] > 200
    page.click(".node:has-text('a_1')", position={"x": 5, "y": 5}, modifiers=["Shift"])
    assert selected(page) == np.flatnonzero(CODES[:, 0] % 2 == 1).tolist()

    # A second click goes in, the path comes back.
    page.click(".node:has-text('a_1')", position={"x": 5, "y": 5})
    page.click(".node[aria-selected=true]:has-text('a_1')", position={"x": 5, "y": 5})
    assert page.inner_text(".path").split() == ["all", "items", "›", "a_1"]
    page.click(".node:has-text('b_2')", position={"x": 5, "y": 5})
    assert selected(page) == np.flatnonzero((CODES[:, 0] == 1) & (CODES[:, 1] == 2)).tolist()
    page.click(".path button:has-text('all items')")
    assert set(shares(page)) == {"a_0", "a_1", "a_2", "a_3"}


def test_the_keyboard_alone_reaches_the_same_selections(page):
    drag_around_the_left(page)
    by_mouse = selected(page)
    page.click("text=clear selection")

    # By code: walk the tree, Enter selects, Shift and Enter adds.
    page.locator(".node[tabindex='0']").focus()
    page.keyboard.press("Home")
    names = [page.evaluate("document.activeElement.ariaLabel.split(',')[0]")]
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        names.append(page.evaluate("document.activeElement.ariaLabel.split(',')[0]"))
        if names[-1] == "a_2":
            page.keyboard.press("Shift+Enter")
    assert sorted(names) == ["a_0", "a_1", "a_2", "a_3"] and names[0] == "a_0"
    assert selected(page) == by_mouse
    page.keyboard.press("Enter")  # the last code alone
    assert selected(page) == np.flatnonzero(CODES[:, 0] == int(names[-1][2:])).tolist()
    page.keyboard.press("Enter")  # and into it
    assert page.evaluate("document.activeElement.ariaLabel").startswith("b_")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("a_")

    # On the map: a box that the arrow keys move and plus and minus size.
    page.locator("canvas[role=application]").focus()
    page.keyboard.press("Escape")
    assert selected(page) == []
    for _ in range(6):
        page.keyboard.press("+")
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    left = selected(page)
    assert left and set(left) <= set(by_mouse)
    assert page.inner_text(".told").startswith(f"{len(left)} of {NUM} items selected")

    # In the table: the arrow keys walk, Enter marks.
    page.locator("tbody tr[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    marked = page.evaluate("document.querySelector('.macrec-linked').macrec.marked()")
    assert marked == listed(page)[1]
    assert page.get_attribute("tbody tr[aria-current=true]", "data-item") == str(marked)


def test_a_click_on_a_row_marks_the_item_on_the_map_and_its_way_through_the_tree(page):
    overlay = "document.querySelectorAll('.canvas canvas')[1].getContext('2d')"
    rings = f"{overlay}.getImageData(0, 0, 2000, 2000).data.some(value => value)"
    assert not page.evaluate(rings)
    page.click("tbody tr:nth-child(3)")
    item = listed(page)[2]
    marked = page.evaluate("[...document.querySelectorAll('.node.marked')].map(box => box.ariaLabel.split(',')[0])")
    assert marked == [f"{name}_{code}" for name, code in zip("abc", CODES[item], strict=True)][: len(marked)] and marked
    assert page.evaluate(rings)
    page.click("tbody tr:nth-child(3)")
    assert not page.evaluate(rings) and not page.query_selector(".node.marked")


def test_pointing_shows_title_id_and_picture(page):
    page.hover("tbody tr:has(.pic)")
    item = int(page.get_attribute("tbody tr:has(.pic)", "data-item"))
    card = page.locator(".macrec-card")
    assert card.is_visible() and card.locator(".pic").count() == 1
    lines = card.inner_text().split("\n")
    assert lines[0].rstrip("…") in DATA.items["title"][item]
    assert lines[1] == " ".join(f"{name}_{code}" for name, code in zip("abc", CODES[item], strict=True))
    page.hover(".node:has-text('a_2')")
    assert card.inner_text().startswith("a_2\n")


def test_the_keyboard_shows_what_the_pointer_shows(page):
    card = page.locator(".macrec-card")
    for place, box in ((".node[tabindex='0']", page.locator(".node:focus")), ("tbody tr[tabindex='0']", None)):
        page.hover(place)
        pointed = card.inner_text()
        page.mouse.move(2, 2)
        assert card.is_hidden()
        page.locator(place).focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        assert card.inner_text() == pointed
        if box:
            name = box.get_attribute("aria-label")
            assert " share their ID, " in name and all(line in name for line in pointed.split("\n")[:4])
        page.evaluate("document.activeElement.blur()")
        assert card.is_hidden()


@pytest.mark.parametrize("file_of", [linked_items, lambda ids, _: PrefixExplorer(ids).figure()])
def test_words_in_the_tree_can_be_read_and_colors_are_told(browser, tmp_path, file_of):
    codes = np.concatenate([np.full(5 * share, share) for share in range(1, 9)])
    last = np.concatenate([np.minimum(np.arange(5 * share), share * 5 - share) for share in range(1, 9)])
    file = tmp_path / "tree.html"
    view = file_of(SemanticIds.from_codes(np.stack((codes, last), 1)), {})
    file.write_text(f'<!doctype html><meta charset="utf-8">{view}')
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.goto(file.as_uri())
    contrasts = page.evaluate("""() => [...document.querySelectorAll(".node:not(:empty)")].map(box => {
      const light = color => color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0.05);
      const style = getComputedStyle(box), pair = [light(style.color), light(style.backgroundColor)];
      return Math.max(...pair) / Math.min(...pair);
    })""")
    assert len(contrasts) >= 8 and min(contrasts) >= 4.5
    if file_of is linked_items:
        assert page.inner_text(".legend").split("\n") == ["alone under its ID", "shares its ID"]
    else:
        page.locator(".node[tabindex='0']").focus()
        page.keyboard.press("ArrowDown")
        assert page.inner_text(".pointed") == page.locator(".node:focus").get_attribute("aria-label")
    page.close()


def test_colors_change_in_map_legend_and_tree(page):
    color = page.evaluate("document.querySelector('.node').style.background")
    page.select_option("label:has-text('colors') select", "conflict")
    assert page.inner_text(".legend").split("\n") == ["alone under its ID", "shares its ID"]
    assert page.evaluate("document.querySelector('.node').style.background") != color


def test_the_prefix_explorers_twin_goes_in_and_comes_back(browser, tmp_path):
    file = tmp_path / "tree.html"
    file.write_text(f'<!doctype html><meta charset="utf-8">{PrefixExplorer(IDS, DATA).figure()}')
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.goto(file.as_uri())
    page.click(".node:has-text('a_1')", position={"x": 5, "y": 5})
    assert page.inner_text(".path").split() == ["all", "items", "›", "a_1"]
    page.locator(".node[tabindex='0']").focus()
    page.keyboard.press("Escape")
    assert page.inner_text(".path").split() == ["all", "items"]
    page.close()
