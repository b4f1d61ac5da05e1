"""Read executed notebooks: text and outputs of their cells, as HTML for a page."""

from __future__ import annotations

import ast
import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrec.errors import LEFT_OUT, DataError
from macrec.viz.theme import CONFLICT, figure_html, inert
from macrec.workbench.foreign import executed_here, harmless
from macrec.workbench.parameters import HOW

PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
UNREADABLE = (ValueError, SyntaxError, KeyError, AttributeError, TypeError, MemoryError, RecursionError)
"""What nbformat and Python raise for files that are no notebooks, and for parameters that are no literals."""
BANNER = "papermill-error-cell-tag"
FOREIGN = (
    "This notebook was not executed on this machine. "
    "Its figures are drawn anew, and views that run scripts are left out."
)


@dataclass(frozen=True)
class Executed:
    """A notebook that ran to its end or, when `failed`, to a cell that raised.

    `given` are the parameters that the run set, `finished` is the ISO time of its end or "". `cells` are nbformat's,
    without papermill's banners. `foreign`: it was not executed on this machine, so nothing of it may run in a page.
    """

    file: Path
    name: str
    title: str
    failed: bool
    finished: str
    given: dict[str, Any]
    cells: list[Any]
    foreign: bool = False

    @property
    def heading(self) -> str:
        """Its number and question."""
        return f"{self.name[:2]} · {self.title}" + (" (failed)" if self.failed else "")

    @property
    def left_out(self) -> list[str]:
        """What it printed of what it went on without (`macrec.errors.say_left_out`), each line once."""
        printed = (output.text for cell in self.cells for output in cell.get("outputs", []) if "text" in output)
        lines = (line.strip() for text in printed for line in str(text).splitlines())
        return list(dict.fromkeys(line for line in lines if line.startswith(LEFT_OUT)))


def read_executed(file: Path) -> Executed:
    """Read a notebook of a run. Raises DataError for a file that is no notebook."""
    import nbformat

    try:
        notebook = nbformat.read(file, as_version=4)
        cells = [cell for cell in notebook.cells if BANNER not in tags(cell)]
        given = _assigned(cells, "injected-parameters")
    except (*UNREADABLE, nbformat.ValidationError) as error:
        raise DataError("this is no notebook that macrec has run", file=file, fix="remove it, or run it") from error
    first = next((cell.source for cell in cells if cell.cell_type == "markdown"), "")
    name = file.name.removesuffix(".ipynb")
    heading = re.match(r"\s*# +(.+)", first)
    return Executed(
        file=file,
        name=name.removesuffix(".failed"),
        title=heading[1].strip() if heading else name,
        failed=name.endswith(".failed"),
        finished=str(notebook.metadata.get("papermill", {}).get("end_time") or ""),
        given=given,
        cells=cells,
        foreign=not executed_here(notebook),
    )


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def _assigned(cells: list[Any], tag: str) -> dict[str, Any]:
    """The literals that the cells with this tag assign, but for those of `HOW`."""
    source = "\n".join(cell.source for cell in cells if tag in tags(cell))
    assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in assignments
        if isinstance(node.targets[0], ast.Name)
    }
    return {name: value for name, value in values.items() if name not in HOW}


def markdown_html(source: str, deeper: int = 0, foreign: bool = False) -> str:
    """Markdown as HTML; headings become `deeper` levels smaller and carry no id, which would be taken twice.

    Only what is `harmless` is left of `foreign` words.
    """
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    rendered = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(source)
    smaller = re.sub(r"<(/?)h([1-6])\b[^>]*>", lambda match: f"<{match[1]}h{min(6, int(match[2]) + deeper)}>", rendered)
    return f'<div class="markdown">{harmless(smaller) if foreign else smaller}</div>'


def code_html(source: str) -> str:
    """The code of a cell, folded."""
    return f'<details class="code"><summary>Code</summary><pre>{html.escape(source)}</pre></details>'


def output_html(output: Any, foreign: bool = False) -> str:
    """One output of a cell: its HTML, else a figure or picture, else words. Nothing is left out without a word.

    Of a `foreign` notebook, figures are drawn anew from their data, and only what is `harmless` is left of HTML.
    """
    if output.output_type == "stream":
        return _words(output.text)
    if output.output_type == "error":
        return _error(output)
    data = output.data
    if PLOTLY in data and (foreign or "text/html" not in data):
        return _figure(data[PLOTLY])
    if "text/html" in data:
        return _harmless_output(data) if foreign else str(data["text/html"])
    if "image/svg+xml" in data:
        drawn = str(data["image/svg+xml"])
        return _picture("image/svg+xml", base64.b64encode(drawn.encode()).decode(), data) if foreign else drawn
    for kind in PICTURES:
        if kind in data:
            return _picture(kind, "".join(data[kind].split()), data)
    if "text/markdown" in data:
        return markdown_html(data["text/markdown"], 2, foreign)
    if WIDGET in data:
        return _words("[a widget, which needs a running notebook]")
    return _words(data.get("text/plain", f"[an output of a kind that pages cannot show: {', '.join(data)}]"))


def _picture(kind: str, encoded: str, data: Any) -> str:
    """A picture, in which no script runs; its words are what the output says without pictures."""
    alt = html.escape(data.get("text/plain", "picture"), quote=True)
    return f'<img src="data:{kind};base64,{html.escape(encoded)}" alt="{alt}" style="max-width:100%">'


def _harmless_output(data: Any) -> str:
    """What is harmless of an HTML output, or a sentence where that is nothing."""
    left = harmless(str(data["text/html"]))
    return left if left.strip() else _words("[a view that runs scripts: run the notebook here to see it]")


def _words(text: str) -> str:
    """Printed text, without the codes that color a terminal."""
    from nbconvert.filters import strip_ansi

    return f'<pre class="printed">{html.escape(strip_ansi(text).rstrip())}</pre>'


def _error(output: Any) -> str:
    """What a cell raised, its sentence open and its traceback folded."""
    said = f"<b>{html.escape(output.ename)}</b>: {html.escape(output.evalue)}"
    trace = _words("\n".join(output.traceback))
    return (
        f'<div role="alert" style="border-left:4px solid {CONFLICT};padding:2px 12px"><p>This cell failed. {said}</p>'
        f"<details><summary>Traceback</summary>{trace}</details></div>"
    )


def _figure(spec: dict[str, Any]) -> str:
    """A plotly figure as plain data; its own alternative text or its title describes it."""
    layout = dict(spec.get("layout", {}))
    title = layout.get("title") or {}
    words = title.get("text", "") if isinstance(title, dict) else str(title)
    about = layout.get("meta")
    words = about["alt"] if isinstance(about, dict) and isinstance(about.get("alt"), str) else words
    traces = [{name: value for name, value in trace.items() if name != "meta"} for trace in spec["data"]]
    return figure_html(inert({"data": traces, "layout": layout | {"meta": {"alt": words or "A figure."}}}), 1)


def cell_pieces(one: Executed, deeper: int) -> Iterator[tuple[bool, str]]:
    """The cells of a notebook as HTML, each piece with whether it is an output.

    Text and outputs are unfolded, code is folded. Its title and injected parameters are left to the caller's headings.
    What comes after a failing cell, or after one with which the kernel died, was not run, and is not shown.
    """
    if one.given:
        given = ", ".join(
            f"<code>{html.escape(f'{name} = {spelled(value)}')}</code>" for name, value in one.given.items()
        )
        yield False, f"<p>Parameters set by the run: {given}.</p>"
    if one.foreign:
        yield False, f"<p>{FOREIGN}</p>"
    titled = False
    raised = any(output.output_type == "error" for cell in one.cells for output in cell.get("outputs", []))
    for place, cell in enumerate(one.cells):
        if cell.cell_type == "markdown":
            lines = cell.source.strip().split("\n")
            if not titled and lines[0].lstrip("# ").strip() == one.title:
                titled, lines = True, lines[1:]
            yield False, markdown_html("\n".join(lines), deeper, one.foreign)
        if cell.cell_type != "code" or "injected-parameters" in tags(cell):
            continue
        yield False, code_html(cell.source)
        yield from ((True, output_html(output, one.foreign)) for output in cell.outputs)
        died = one.failed and not raised and cell.execution_count is None and cell.source.strip()
        if died:
            yield False, markdown_html("**The kernel died in this cell, most often for want of memory.**")
        if died or any(output.output_type == "error" for output in cell.outputs):
            rest = sum(later.cell_type == "code" for later in one.cells[place + 1 :])
            yield False, markdown_html(f"Code cells after it that were not run: {rest}." if rest else "")
            return


def spelled(value: Any) -> str:
    """A parameter's value as one writes it in a notebook."""
    return "–" if value is None else repr(value)
