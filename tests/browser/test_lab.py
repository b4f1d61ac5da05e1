"""JupyterLab in a real browser: notebooks run, figures appear, and pointing at a dot shows the item."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.run import project_root
from macrec.workbench.runner import run_notebooks

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium_path) -> Iterator[str]:
    """The address of a JupyterLab on a copy of the notebooks, set to the smallest catalog."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(project_root() / "pyproject.toml", project)
    shutil.copytree(project_root() / "notebooks", project / "notebooks")
    for notebook in (project / "notebooks").glob("[0-9]*.ipynb"):
        text = notebook.read_text(encoding="utf-8")
        assert 'profile = \\"demo\\"' in text
        notebook.write_text(text.replace('profile = \\"demo\\"', 'profile = \\"smoke\\"'), encoding="utf-8")
    for notebook, name, epochs in (("03_codebooks", "codebook_epochs", 4000), ("06_generation", "epochs", 25)):
        text = (project / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
        assert f"{name} = 0 " in text
        long = project / "notebooks" / f"long_{notebook}.ipynb"
        long.write_text(text.replace(f"{name} = 0 ", f"{name} = {epochs} "), encoding="utf-8")
    run_notebooks(find_notebooks(["02"]), project / "runs" / "smoke", {"profile": "smoke"}, progress=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token="]
    with (project / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", "from macrec.cli import main; main()", "lab", *options],
            cwd=project,
            env={**os.environ, "JUPYTERLAB_WORKSPACES_DIR": str(project / "workspaces")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(lambda: answers(port), 60, lambda: (project / "lab.log").read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, seconds: float, explain=lambda: "") -> None:
    """Return when `condition` holds; fail with an explanation when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain: {explain()}")
        time.sleep(0.2)


@pytest.fixture
def page(chromium, lab):
    """A page of a fresh browser that notes errors and refuses everything outside this machine."""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))

    def local_only(route):
        if re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", route.request.url):
            route.continue_()
        else:
            page.problems.append(f"asked for {route.request.url}")
            route.abort()

    page.route("**/*", local_only)
    return page


def run_all(page, lab: str, notebook: str) -> None:
    """Open a notebook, run all its cells and wait for the last one."""
    open_notebook(page, lab, f"notebooks/{notebook}")
    page.wait_for_selector("text=| Idle", timeout=60_000)
    choose(page, "Run", "Run All Cells")
    wait_until_recorded(page)


def wait_until_recorded(page) -> None:
    page.wait_for_selector("css=.jp-OutputArea-output >> text=recorded in", timeout=180_000, state="attached")


def choose(page, menu: str, entry: str) -> None:
    """Click an entry of JupyterLab's menu bar."""
    page.click(f"css=.lm-MenuBar-itemLabel >> text={menu}")
    page.click(f"css=.lm-Menu-itemLabel >> text=/^{entry}/")


BOARD = ".jp-OutputArea-output svg[role=img]"


def photograph(page, board, path: Path) -> None:
    """A screenshot with a live board in view.

    A board is drawn anew at every step, so `scroll_into_view_if_needed` may wait in vain until it is still.
    """
    board.evaluate("svg => svg.scrollIntoView({block: 'nearest'})")
    page.screenshot(path=path)


def step_of(board) -> int:
    """The step that a live board says it shows."""
    return int(re.search(r"step ([\d,]+) of", board.text_content()).group(1).replace(",", ""))


def boards_while_training(page, count: int) -> list[tuple[int, str]]:
    """The step and the curves of the newest board, `count` times, each time that its step has changed."""
    seen: list[tuple[int, str]] = []

    def changed() -> bool:
        board = page.query_selector_all(BOARD)[-1]
        step = step_of(board)
        if not seen or step > seen[-1][0]:
            seen.append((step, "".join(path.get_attribute("d") or "" for path in board.query_selector_all("path"))))
        return len(seen) >= count

    page.wait_for_selector(BOARD, timeout=90_000)
    wait_for(changed, 150, lambda: f"the board showed the steps {[step for step, _ in seen]}")
    return seen


def open_notebook(page, lab: str, path: str) -> None:
    """Open a notebook in a workspace of its own."""
    page.goto(f"{lab}/lab/workspaces/{re.sub(r'[^a-z0-9]', '', path)}/tree/{path}")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)


def kept_figure(page):
    """The first figure of a notebook that was opened and not run: a still picture until the pointer is over it."""
    kept = page.wait_for_selector(".jp-RenderedPlotly", timeout=60_000, state="attached")
    kept.scroll_into_view_if_needed()
    kept.hover()
    return page.wait_for_selector(".js-plotly-plot[aria-label]", timeout=60_000)


def point_at_dots(page, plot) -> bool:
    """Move the pointer over a figure until the card of an item appears."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    for down in range(30, 75, 3):
        for right in range(4, 48, 2):
            page.mouse.move(box["x"] + box["width"] * right / 100, box["y"] + box["height"] * down / 100)
            if page.evaluate("document.querySelector('.macrec-card')?.matches(':popover-open')"):
                return True
    return False


def test_pointing_at_a_dot_of_the_map_shows_the_item(page, lab, tmp_path: Path):
    run_all(page, lab, "02_embeddings.ipynb")
    plots = page.query_selector_all(".js-plotly-plot")
    assert len(plots) == 3
    assert all((plot.get_attribute("aria-label") or "").endswith(".") for plot in plots)
    assert point_at_dots(page, plots[0])
    card = page.query_selector(".macrec-card")
    page.screenshot(path=tmp_path / "hover.png")
    assert "category: " in card.inner_text()
    titles = page.evaluate("Object.values(macrec.galleries)[0].titles")
    assert card.query_selector("b").inner_text() in titles

    # Saved and opened again, the figures and their pictures are still there without running anything.
    page.keyboard.press("Control+s")
    page.wait_for_selector(".jp-mod-current.jp-mod-dirty", state="detached")
    page.reload()
    assert point_at_dots(page, kept_figure(page))
    assert not page.query_selector("text=official Jupyter news")
    assert not page.problems


def test_a_notebook_that_ran_headless_shows_pictures_too(page, lab):
    open_notebook(page, lab, "runs/smoke/02_embeddings.ipynb")
    assert point_at_dots(page, kept_figure(page))
    assert not page.problems


def test_the_data_notebook_shows_pictures_and_figures(page, lab):
    run_all(page, lab, "01_data.ipynb")
    assert len(page.query_selector_all(".js-plotly-plot")) == 2
    pictures = page.query_selector_all(".jp-OutputArea-output img[src^='data:image/webp']")
    assert len(pictures) > 20 and all(picture.get_attribute("alt") for picture in pictures)
    assert all(picture.evaluate("p => p.complete && p.naturalWidth > 0") for picture in pictures)
    assert not page.problems


def test_the_board_moves_while_codebooks_learn_stops_at_an_interrupt_and_goes_on(page, lab, tmp_path: Path):
    open_notebook(page, lab, "notebooks/long_03_codebooks.ipynb")
    page.wait_for_selector("text=| Idle", timeout=60_000)
    choose(page, "Run", "Run All Cells")
    page.wait_for_selector(f"{BOARD} >> text=/conflict rate/", timeout=90_000)  # the codebooks have come in
    seen = boards_while_training(page, 4)
    photograph(page, page.locator(BOARD).first, tmp_path / "training.png")
    assert len({curves for _, curves in seen}) == len(seen)  # the lines grow, not only the words
    assert len(page.query_selector_all(BOARD)) == 1  # one output, updated in place

    choose(page, "Kernel", "Interrupt Kernel")
    wait_for(lambda: "ended early" in page.query_selector(BOARD).text_content(), 30)
    stopped = step_of(page.query_selector(BOARD))
    assert stopped >= seen[-1][0]
    photograph(page, page.locator(BOARD).first, tmp_path / "interrupted.png")

    # The interrupt ends one training, not the notebook: the cells below go on with what is there.
    page.wait_for_function(f"document.querySelectorAll('{BOARD}').length >= 2", timeout=60_000)
    choose(page, "Kernel", "Interrupt Kernel")
    page.wait_for_selector("css=.js-plotly-plot", timeout=60_000)
    assert not page.query_selector("css=.jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")

    # Run again, the cell goes on from there.
    choose(page, "Kernel", "Interrupt Kernel")
    page.wait_for_selector("text=| Idle", timeout=60_000)
    page.click(".jp-CodeCell:has-text('alone = open_tokenizer') .jp-InputArea-editor")
    page.keyboard.press("Control+Enter")
    wait_for(lambda: step_of(page.query_selector(BOARD)) > stopped, 60)
    photograph(page, page.locator(BOARD).first, tmp_path / "resumed.png")
    assert not page.problems


def test_the_generator_learns_before_ones_eyes_stops_at_an_interrupt_and_goes_on(page, lab, tmp_path: Path):
    open_notebook(page, lab, "notebooks/long_06_generation.ipynb")
    page.wait_for_selector("text=| Idle", timeout=60_000)
    choose(page, "Run", "Run All Cells")
    # The first board is that of the codebooks, soon finished; the second that of the generator.
    page.wait_for_function(f"document.querySelectorAll('{BOARD}').length >= 2", timeout=120_000)
    seen = boards_while_training(page, 4)
    assert len({curves for _, curves in seen}) == len(seen)
    cell = page.locator(".jp-CodeCell:has-text('trained = drain')")
    board = cell.locator("svg[role=img]")
    photograph(page, board, tmp_path / "generating.png")

    choose(page, "Kernel", "Interrupt Kernel")
    wait_until_recorded(page)  # the cells below ask the generator as far as it came
    stopped = step_of(board)
    assert stopped >= seen[-1][0]
    assert not page.query_selector("css=.jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")

    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    wait_for(lambda: board.count() == 1 and step_of(board) > stopped, 60)
    choose(page, "Kernel", "Interrupt Kernel")
    page.wait_for_selector("text=| Idle", timeout=60_000)
    assert not page.problems


def test_lab_opens_on_the_tour(page, lab):
    page.goto(lab)
    page.wait_for_selector("css=.jp-RenderedMarkdown h1 >> text=How can a model write the next item?", timeout=60_000)
    assert page.query_selector(".lm-TabBar-tab.jp-mod-current:has-text('00_tour.ipynb')")
    assert not page.problems


def say(page, below: str, code: str) -> str:
    """Run `code` in a new cell below the one that contains the text `below`, and return what it prints."""
    page.click(f".jp-CodeCell:has-text('{below}') .jp-InputArea-editor")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")
    said = page.locator(".jp-CodeCell.jp-mod-active .jp-OutputArea-output[data-mime-type$='stdout']")
    said.wait_for()
    return said.inner_text().strip()


def settled(part) -> dict[str, float]:
    """The bounding box of a part of a notebook in view, once the cells above have come to rest."""
    seen: list[dict[str, float]] = []

    def at_rest() -> bool:
        part.scroll_into_view_if_needed()
        seen.append(part.bounding_box())
        return len(seen) > 3 and all(box == seen[-1] for box in seen[-3:]) and 90 < seen[-1]["y"] < 870

    wait_for(at_rest, 30, lambda: str(seen[-3:]))
    return seen[-1]


def test_what_is_selected_in_the_explorers_is_a_table_in_the_kernel(page, lab, tmp_path: Path):
    run_all(page, lab, "04_codebook_explorer.ipynb")
    linked = page.locator(".macrec-linked:has(canvas[role=application])")
    chosen = "root => [...root.macrec.selected()]"
    before = linked.locator("tbody tr").count()

    # A lasso around the right half of the text map: tree, table and kernel follow.
    canvas = linked.locator("canvas[role=application]").first
    box = settled(canvas)
    for place, (x, y) in enumerate(((0.5, 0.01), (0.99, 0.01), (0.99, 0.99), (0.5, 0.99), (0.5, 0.5))):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if place == 0:
            page.mouse.down()
    page.mouse.up()
    selected = linked.evaluate(chosen)
    assert 0 < len(selected) < 160
    assert linked.locator(".told").inner_text().startswith(f"{len(selected)} of 160 items selected")
    assert linked.locator("h4").last.inner_text().startswith(f"Selected items: {len(selected)},")
    assert linked.locator("tbody tr").count() != before
    assert "% of them selected" in linked.locator(".node").first.get_attribute("aria-label")
    assert say(page, "view = LinkedItems", 'print(*view.selection["row"])') == " ".join(map(str, selected))
    linked.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "linked.png")

    # Pointing at a row shows the picture; what the kernel selects is selected on the screen.
    row = linked.locator("tbody tr:has(.pic)").first
    row.hover()
    card, pointed = page.locator(".macrec-card"), row.bounding_box()
    assert card.locator(".pic").count() == 1 and row.locator("td").nth(1).inner_text() in card.inner_text()
    assert abs(card.bounding_box()["x"] - (pointed["x"] + pointed["width"] / 2)) < 20  # beside the pointer
    page.screenshot(path=tmp_path / "pointed.png")
    assert say(page, "view = LinkedItems", "view.select(range(3)); print(view.selection.height)") == "3"
    wait_for(lambda: linked.evaluate(chosen) == [0, 1, 2], 10, lambda: str(linked.evaluate(chosen)))

    # The item explorer: another item, found by its name.
    name = say(page, "explorer = ItemExplorer", "print(explorer._names[7])")
    search = page.get_by_label("item", exact=True)
    search.fill(name)
    search.press("Enter")
    title = name.rpartition(" · ")[0]
    page.wait_for_selector(f'.jp-OutputArea-output [role=group][aria-label^="{title}: why"]')
    assert say(page, "explorer = ItemExplorer", 'print(explorer.selection["row"][0])') == "7"

    # The prefix explorer: a click goes in, and the kernel knows what lies below.
    tree = page.locator(".macrec-linked:not(:has(canvas))").last
    settled(tree)
    words = tree.locator(".node").first.get_attribute("aria-label")
    tree.locator(".node").first.click(position={"x": 5, "y": 5})
    items = int(re.search(r"([\d,]+) items?", words).group(1).replace(",", ""))
    page.wait_for_selector(f".jp-OutputArea-output .macrec-linked[aria-label^='Codes below {words.split(',')[0]}']")
    assert say(page, "tree = PrefixExplorer", "print(tree.selection.height)") == str(items)
    page.screenshot(path=tmp_path / "prefix.png")
    assert not page.problems
