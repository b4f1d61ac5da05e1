"""What a browser needs for the linked views: first paint, lasso to updated table, the tree of a million items.

Everything is timed inside an installed Chromium (software rendering), from the start of the navigation or the release
of the pointer to the second frame after the work was done, as a person would see it; pages are files and carry all they
need, so that the time includes reading them. Without Chromium and playwright this fails.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from benchmarks.measure import peak
from macrec.quantization.prefix_tree import prefix_tree
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.linked.linked import linked_items
from macrec.viz.linked.prefix_explorer import PrefixExplorer
from macrec.viz.page import Page

POINTS, CATALOG, CODEWORDS, LEVELS = 100_000, 1_000_000, 256, 4
ALL_NODES_OF = 1_500
"""Items whose whole tree plotly draws: of 5,000 it took over two minutes, of a million it would not end."""
REPEATS = 3

# Two frames after `work` is done the result has been painted.
PAINTED = """done => new Promise(seen => {
  const wait = () => done() ? requestAnimationFrame(() => requestAnimationFrame(() => seen(performance.now()))) :
    requestAnimationFrame(wait);
  wait();
})"""
RELEASED = """() => addEventListener("pointerup", () => {
  const begin = performance.now();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.released = performance.now() - begin; }));
}, true)"""
# plotly listens to mouse events and selects after some frames: wait for its event.
PLOTLY_RELEASED = """() => {
  let begin = 0;
  addEventListener("mouseup", () => { begin = performance.now(); }, true);
  document.querySelector(".js-plotly-plot").on("plotly_selected", () => requestAnimationFrame(() =>
    requestAnimationFrame(() => { window.released = performance.now() - begin; })));
}"""


def records() -> list[dict[str, Any]]:
    """The map, the lasso, the tree and going into it: ours against what one would take from plotly."""
    ours, theirs = peak("benchmarks.browser:our_map"), peak("benchmarks.browser:their_map")
    tree, icicle = peak("benchmarks.browser:our_tree"), peak("benchmarks.browser:their_tree")
    first, all_nodes = theirs.result["webgl_paint"], f"{icicle.result['nodes']:,} nodes of {ALL_NODES_OF:,} items"
    return [
        entry("map_first_paint", ours, theirs, "paint", f"goal 2,000 ms; page {ours.result['mb']:.1f} MB",
              f"{POINTS:,} points, tree and table included; theirs: plotly's SVG scatter, the map alone ({first:,} ms "
              "with WebGL)"),
        entry("lasso_to_table", ours, theirs, "lasso", "goal 200 ms",
              f"{POINTS:,} points: map, tree and table; theirs: plotly's WebGL lasso, which dims the other points"),
        entry("tree_first_paint", tree, icicle, "paint",
              f"goal 2,000 ms; {tree.result['seconds']:.1f} s in the kernel before",
              f"{CATALOG:,} items cut to {tree.result['nodes']:,} boxes; theirs: plotly's icicle of all {all_nodes}"),
        entry("drill_down", tree, icicle, "drill", f"of it {tree.result['kernel']} ms in the kernel",
              "the largest first code of a million items, cut anew and painted; theirs: a click in the icicle above"),
    ]  # fmt: skip


def entry(name: str, ours: Any, theirs: Any, what: str, limit: str, note: str) -> dict[str, Any]:
    """One record; milliseconds are medians of `REPEATS`."""
    mine, other = ours.result[what], theirs.result[what]
    return {
        "name": name,
        "ours": mine,
        "theirs": other,
        "ratio": round(other / mine, 1),
        "limit": limit,
        "unit": "ms",
        "peak_memory_mb": round(ours.peak_mb),
        "note": note,
    }


def catalog(items: int) -> tuple[SemanticIds, np.ndarray[Any, np.dtype[np.float32]]]:
    """Semantic IDs whose codes are as uneven as real ones, and positions in clusters by their first code."""
    rng = np.random.default_rng(0)
    weight = 1 / np.arange(1, CODEWORDS + 1) ** 0.6
    codes = np.stack([rng.choice(CODEWORDS, items, p=weight / weight.sum()) for _ in range(LEVELS)], 1)
    centers = rng.normal(size=(CODEWORDS, 2)) * 6
    positions = (centers[codes[:, 0]] + rng.normal(size=(items, 2))).astype(np.float32)
    return SemanticIds.from_codes(codes, sizes=(CODEWORDS,) * LEVELS), positions


@contextmanager
def chromium() -> Iterator[Any]:
    """An installed Chromium."""
    from playwright.sync_api import sync_playwright

    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-unsafe-swiftshader"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, content: str, done: str) -> Iterator[tuple[Any, float]]:
    """A page with `content`, and the milliseconds until `done`, a JavaScript function, held and was painted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(content, encoding="utf-8")
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(300_000)
        page.goto(file.as_uri(), wait_until="commit")
        yield page, page.evaluate(f"({PAINTED})({done})")
        page.close()


def linked_page(fragment: str) -> str:
    """A page of one view, as small as can be: our views need nothing of plotly."""
    return f'<!doctype html><meta charset="utf-8"><body>{fragment}</body>'


def plotly_page(figure: go.Figure) -> str:
    """A page of one plotly figure with its script."""
    page = Page("plotly")
    page.figure(figure, "A figure.")
    return page.render()


def our_map() -> dict[str, Any]:
    """First paint of the linked view, and from the end of a lasso to the updated panels."""
    ids, positions = catalog(POINTS)
    content = linked_page(linked_items(ids, {"text": (np.arange(POINTS), positions)}))
    paints, lassos = [], []
    with chromium() as browser:
        for _ in range(REPEATS):
            with opened(browser, content, "() => document.querySelector('.macrec-linked tbody tr')") as (page, paint):
                paints.append(paint)
                lassos.append(lasso(page, page.locator(".canvas").bounding_box(), RELEASED))
                assert "items selected" in page.locator(".told").inner_text()
    return {"paint": median(paints), "lasso": median(lassos), "mb": len(content) / 1e6}


def their_map() -> dict[str, Any]:
    """The same points by plotly express: SVG for the first paint, WebGL for the lasso as well."""
    _, positions = catalog(POINTS)
    drawn = "() => window.Plotly && document.querySelector('.js-plotly-plot .nsewdrag')"
    result: dict[str, Any] = {}
    with chromium() as browser:
        for mode, name in (("svg", "paint"), ("webgl", "webgl_paint")):
            trace = go.Scatter if mode == "svg" else go.Scattergl  # what plotly express makes in either mode
            figure = go.Figure(trace(x=positions[:, 0], y=positions[:, 1], mode="markers"))
            figure.update_layout(height=420, dragmode="lasso")
            with opened(browser, plotly_page(figure), drawn) as (page, paint):
                result[name] = round(paint)
                if mode == "webgl":
                    result["lasso"] = round(
                        lasso(page, page.locator(".nsewdrag").first.bounding_box(), PLOTLY_RELEASED)
                    )
    return result


def lasso(page: Any, box: dict[str, float], listen: str) -> float:
    """Draw around the left half of a map; the milliseconds from letting go to the second frame after."""
    page.evaluate(listen)
    corners = ((0.02, 0.02), (0.5, 0.02), (0.5, 0.98), (0.02, 0.98))
    for step, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if step == 0 else 8)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_function("window.released")
    return float(page.evaluate("window.released"))


def our_tree() -> dict[str, Any]:
    """The tree of a million items: seconds to cut it, first paint, and going into its largest first code."""
    ids, _ = catalog(CATALOG)
    begin = time.perf_counter()
    explorer = PrefixExplorer(ids)
    content = linked_page(explorer.figure())
    seconds = time.perf_counter() - begin
    nodes = len(explorer.about()["tree"]["parents"])
    first = int(np.bincount(ids.codes[:, 0]).argmax())
    begin = time.perf_counter()
    explorer.go((first,))
    below = explorer.about()
    kernel = 1000 * (time.perf_counter() - begin)
    paints, drills = [], []
    with chromium() as browser:
        for _ in range(REPEATS):
            with opened(browser, content, "() => document.querySelector('.macrec-linked .node')") as (_, paint):
                paints.append(paint)
            with opened(browser, linked_page(explorer.figure()), "() => document.querySelector('.node')") as (_, paint):
                drills.append(kernel + paint)
    assert below["tree"]["counts"][0] == int((ids.codes[:, 0] == first).sum())
    return {
        "paint": median(paints),
        "drill": median(drills),
        "kernel": round(kernel),
        "seconds": seconds,
        "nodes": nodes,
    }


def their_tree() -> dict[str, Any]:
    """plotly's icicle of every prefix of a small catalog, and a click into its largest first code."""
    ids, _ = catalog(ALL_NODES_OF)
    tree = prefix_tree(ids, limit=10**6, depth=LEVELS)
    figure = go.Figure(
        go.Icicle(
            ids=[str(node) for node in range(len(tree))],
            parents=["", *map(str, tree.parents[1:].tolist())],
            labels=[str(node) for node in range(len(tree))],
            values=tree.counts,
            branchvalues="total",
            tiling={"orientation": "h"},
        ),
        layout={"height": 720},
    )
    with (
        chromium() as browser,
        opened(browser, plotly_page(figure), "() => document.querySelector('.iciclelayer .slice')") as (page, paint),
    ):
        box = page.locator(".iciclelayer .slice").nth(1).bounding_box()
        page.evaluate(
            """() => { document.querySelector(".js-plotly-plot").on("plotly_animated", () => requestAnimationFrame(() =>
            { window.released = performance.now() - window.begun; }));
            addEventListener("mouseup", () => { window.begun = performance.now(); }, true); }"""
        )
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_function("window.released")
        return {"paint": round(paint), "drill": round(page.evaluate("window.released")), "nodes": len(tree)}


def median(values: list[float]) -> int:
    """The middle value, in whole milliseconds."""
    return round(float(np.median(values)))
