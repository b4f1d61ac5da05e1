"""Write docs/notebooks from a finished run, such as that of `make demo`: `python docs/make_pages.py RUN`.

A Markdown page per notebook, as GitHub shows it: words, folded code, printed text, tables, and every figure and view as
a picture that Chromium has taken (needs `pip install -e '.[browser]'` and an installed Chromium).
"""

import html
import io
import re
import shutil
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from page import markdown
from page_words import folded, foot, head, index, prose, shown
from PIL import Image
from playwright.sync_api import sync_playwright

from macrec.viz.page import Page
from macrec.workbench.executed import Executed, output_html, read_executed
from macrec.workbench.report import notebook_files
from macrec.workbench.run import Run

WIDTH = 1000
QUALITY = 80
CAPTION = re.compile(r"<p [^>]*>([^<]*)</p>(<script>.*</script>)?", re.DOTALL)
WORDS = re.compile(r'<pre class="printed">|(?!.*(?:<img|<svg|aria-label=)).*<table', re.DOTALL)
"""Outputs that Markdown can show; any other becomes a picture."""


def pages(run: Path, folder: Path, chromium: Any) -> None:
    """Write a page per notebook of `run`, their pictures and an index into `folder`."""
    notebooks = [read_executed(file) for file in notebook_files(run)]
    commit = Run(run).manifest()["environment"]["commit"]
    for place, notebook in enumerate(notebooks):
        parts = [head(notebook, commit), *cells(notebook, folder, chromium), foot(notebooks, place)]
        (folder / f"{notebook.name}.md").write_text("\n\n".join(parts), encoding="utf-8")
    (folder / "README.md").write_text(index(notebooks), encoding="utf-8")


def cells(notebook: Executed, folder: Path, chromium: Any) -> list[str]:
    """The cells of a notebook as Markdown; pictures go to `folder`/NAME."""
    parts: list[str] = []
    views: dict[str, str] = {}
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            own = prose(cell, notebook.title)
            section = (re.findall(r"(?m)^#+ (.+)", own) or [section])[-1]
            parts.append(own)
        elif shown(cell):
            parts.append(folded(cell))
            for output in cell.outputs:
                view = output_html(output)
                if not (WORDS.match(view) or CAPTION.fullmatch(view.strip())):
                    file = f"{notebook.name}/{len(views) + 1:02}-{cell.id}.webp"
                    views[file] = view
                    parts.append(f'<img src="{file}" alt="{described(view, section)}">')
                else:
                    parts.append(words(view))
    take(views, folder, chromium)
    return [part for part in parts if part]


def words(shown: str) -> str:
    """An output without pictures as Markdown: a caption, a table, or printed text."""
    caption = CAPTION.fullmatch(shown.strip())
    if caption:
        return f"<sub>{caption[1]}</sub>"
    reader = Reader()
    reader.feed(shown)
    if reader.rows:
        head, *body = [row for row in reader.rows if row != reader.types]
        table = markdown(pl.DataFrame(body, schema=head, orient="row"))
        return table + (f"\n\n<sub>{html.escape(reader.caption)}</sub>" if reader.caption else "")
    return f"```text\n{html.unescape(re.sub(r'<[^>]+>', '', shown)).strip()}\n```"


class Reader(HTMLParser):
    """Reads the cells and the caption of a table; `types` is the row in which polars names its columns' types."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.types: list[str] | None = None
        self.caption = ""
        self._in = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Begin a row or a cell."""
        self._in = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """End a cell; the second row of polars' heads holds <td> like no other."""
        self._in = ""
        if tag == "thead" and len(self.rows) == 2:
            self.types = self.rows[1]

    def handle_data(self, data: str) -> None:
        """Take the text of a cell, as one line."""
        if self._in in ("td", "th"):
            self.rows[-1][-1] += " ".join(data.split()).replace("|", "\\|").strip('"')
        elif self._in == "caption":
            self.caption += data


def described(shown: str, section: str) -> str:
    """The alternative text of a view: its own sentence, else the heading above it and the words in it."""
    own = re.search(r'(?:role="(?:figure|img|group)"[^>]*|<table[^>]*) aria-label="([^"]*)"', shown)
    if own and 'class="pic' not in own[0]:
        return own[1]
    seen = " ".join(re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", shown, flags=re.DOTALL).split())
    return html.escape(textwrap.shorten(f"{section}: {html.unescape(seen)}", 240, placeholder=" …"), quote=True)


def take(views: dict[str, str], folder: Path, chromium: Any) -> None:
    """Take a picture of every view, `WIDTH` pixels wide; file in `folder` → HTML."""
    page = Page("")
    page.html(*views.values())
    site = page.write(folder / "page.html")
    tab = chromium.new_page(viewport={"width": WIDTH + 40, "height": 1000})
    tab.goto(site.resolve().as_uri())
    for figure in tab.query_selector_all("[id^=macrec-figure]"):
        tab.wait_for_function("figure => figure.querySelector('.main-svg')", arg=figure)
    tab.wait_for_timeout(500)  # for what WebGL draws after plotly is done
    for view, file in zip(tab.query_selector_all("main > .view"), views, strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        taken = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
        taken.save(folder / file, "WEBP", quality=QUALITY, method=6)
    tab.close()
    site.unlink()


if __name__ == "__main__":
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    installed = next((path for name in names if (path := shutil.which(name))), None)
    folder = Path(__file__).with_name("notebooks")
    with sync_playwright() as driver, TemporaryDirectory() as made:
        options = ["--no-sandbox", "--enable-unsafe-swiftshader", "--hide-scrollbars"]
        pages(Path(sys.argv[1]), Path(made), driver.chromium.launch(executable_path=installed, args=options))
        shutil.rmtree(folder)  # git keeps what was there
        shutil.copytree(made, folder)
    print(f"{sum(file.stat().st_size for file in folder.rglob('*.*')) / 1e6:.2f} MB in docs/notebooks")
