"""A self-contained page: figures, views and text in one HTML file that opens offline and can be mailed."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from macrec.errors import DataError
from macrec.files import check_replaceable, replacing
from macrec.viz.assets import script_tag, style
from macrec.viz.pictures import Gallery
from macrec.viz.theme import FIGURES_SCRIPT, VARIABLES, caption_html, figure_html, inert, numbered

HERE = Path(__file__).parent
GENERATOR = '<meta name="generator" content="macrec">'
"""The mark of a page written by macrec."""

# Whatever the page holds, the browser lets nothing of it reach outside; plotly compiles its WebGL code with eval.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "img-src data: blob:; font-src data:; media-src data:; form-action 'none'; base-uri 'none'"
)

_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
_GALLERY_KEY = re.compile(r'showGallery\("([0-9a-f]+)", \{"uri": ')
_FIGURE_ID = re.compile(r"\bmacrec-figure-\d+\b")


class Page:
    """A page under construction: add headings, words, figures and HTML from top to bottom, then `write` it.

    Below its title stands the lead, a paragraph per line. Everything it needs is inside the file: plotly's script once,
    every gallery's pictures once. Headings of level 2 become its table of contents. Its policy makes the browser refuse
    every request from the page.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title, self.lead = title, lead
        self._body: list[str] = []
        self._contents: list[tuple[str, str]] = []
        self._galleries: dict[str, str] = {}
        self._figures = itertools.count(1)
        self._bytes = len(get_plotlyjs().encode()) + 5_000

    def heading(self, words: str, level: int = 2, anchor: str = "") -> None:
        """Begin a section (level 2), or a part of one (3 or 4), which links to `#anchor` reach."""
        if level == 2:
            anchor = anchor or f"section-{len(self._contents) + 1}"
            self._contents.append((anchor, words))
        name = f' id="{html.escape(anchor, quote=True)}"' if anchor else ""
        self._add(f"<h{level}{name}>{html.escape(words)}</h{level}>")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs of plain words."""
        for words in paragraphs:
            self._add(f"<p>{html.escape(words)}</p>")

    def points(self, *sentences: str) -> None:
        """Add a list of plain words."""
        self._add(f"<ul>{''.join(f'<li>{html.escape(words)}</li>' for words in sentences)}</ul>")

    def figure(self, figure: go.Figure, description: str, gallery: Gallery | None = None) -> None:
        """Add what `macrec.viz.show` would display: the figure, its sentence, the pictures its points show."""
        numbered(figure, description, gallery)
        spec = inert(json.loads(figure.to_json()))
        spec["layout"]["meta"]["macrec"] = number = next(self._figures)  # the same page, however many were made before
        if gallery is not None and gallery.key not in self._galleries:
            self._add_gallery(gallery.key, gallery.script())
        self._add(f'<div class="view">{figure_html(spec, number)}</div>')
        self._add(caption_html(description, None))

    def html(self, *fragments: str) -> None:
        """Add HTML fragments: what `macrec.viz.show_html` would display, or the outputs of notebook cells.

        Notebooks number their figures each from 1: here every figure gets a number of its own. A gallery that the page
        has already is left out.
        """
        for fragment in fragments:
            lean = _SCRIPT.sub(self._keep_gallery, fragment)
            new = {name: f"macrec-figure-{next(self._figures)}" for name in dict.fromkeys(_FIGURE_ID.findall(lean))}
            own = _FIGURE_ID.sub(lambda match, new=new: new[match[0]], lean)  # type: ignore[misc]
            self._add(f'<div class="view">{own}</div>')

    def raw(self, fragment: str) -> None:
        """Add HTML as it is: words with markup, lists, folded code."""
        self._add(fragment)

    @contextmanager
    def folded(self, summary: str) -> Iterator[None]:
        """What is added inside the `with` block is shown when a reader opens it; headings there are of level 3 or 4."""
        self._add(f"<details><summary>{html.escape(summary)}</summary><template>")
        yield
        self._add("</template></details>")

    def render(self) -> str:
        """The whole page."""
        entries = "".join(
            f'<li><a href="#{html.escape(anchor, quote=True)}">{html.escape(words)}</a></li>'
            for anchor, words in self._contents
        )
        contents = f'<nav aria-label="Contents"><ul>{entries}</ul></nav>' if len(self._contents) > 1 else ""
        lead = "".join(f"<p>{html.escape(words)}</p>" for words in self.lead.split("\n") if words)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}'
            f"<title>{html.escape(self.title)}</title>\n"
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">\n'
            f"<style>{VARIABLES}{style(HERE / 'page.css')}</style>\n<script>{get_plotlyjs()}</script>\n"
            f"{script_tag('', HERE / 'page.js')}</head>\n"
            f"<body>{FIGURES_SCRIPT}<h1>{html.escape(self.title)}</h1>{lead}{contents}\n<main>\n"
            + "\n".join([*self._body, *self._galleries.values()])
            + "\n</main></body></html>\n"
        )

    def size(self, *more: str) -> int:
        """Bytes of the page as it is, with `more` fragments in it."""
        new = [_SCRIPT.sub(lambda match: "" if _key(match[0]) in self._galleries else match[0], part) for part in more]
        return self._bytes + sum(len(part.replace(FIGURES_SCRIPT, "").encode()) for part in new)

    def write(self, path: Path) -> Path:
        """Write the page to a file, whole or not at all, and return its path; see `check_page`."""
        check_page(path)
        with replacing(path) as temporary:
            temporary.write_text(self.render(), encoding="utf-8")
        return path

    def _add(self, fragment: str) -> None:
        lean = fragment.replace(FIGURES_SCRIPT, "")  # the page has it once, at its beginning
        self._body.append(lean)
        self._bytes += len(lean.encode()) + 1

    def _add_gallery(self, key: str, script: str) -> None:
        if key not in self._galleries:
            self._galleries[key] = script
            self._bytes += len(script.encode()) + 1

    def _keep_gallery(self, script: re.Match[str]) -> str:
        """Take a gallery's script out of a fragment; the page carries it once, at its end."""
        key = _key(script[0])
        if not key:
            return script[0]
        self._add_gallery(key, script[0])
        return ""


def check_page(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise DataError unless a page may be written to `path`: all that may be there is an earlier page."""
    if path.is_dir():
        raise DataError("this is a folder", file=path, fix="name a file for the page")
    check_replaceable(path, inputs, is_page)


def is_page(file: Path) -> bool:
    """Whether a file is a page that was written here."""
    with file.open("rb") as stream:
        return GENERATOR.encode() in stream.read(1000)


def _key(script: str) -> str:
    """The key of the gallery that a script hands to its page, or nothing."""
    key = _GALLERY_KEY.search(script[:20_000])
    return key[1] if key else ""
