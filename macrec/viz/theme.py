"""Colors, the plotly template and the one way to show a figure.

Colors are Okabe and Ito's and a few of Tol's, safe for colorblind eyes, and mean the same thing in every notebook.
"""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from IPython.display import HTML, display

from macrec.viz.assets import script_tag
from macrec.viz.pictures import Gallery, script_json

HERE = Path(__file__).parent

TEXT = "#0072B2"  # blue
IMAGE = "#D55E00"  # vermillion
COLLABORATIVE = "#332288"  # indigo (Tol, 2021): what people do
FUSED = "#009E73"  # green: the modalities together, or what they share
CONFLICT = "#CC79A7"  # purple
REFERENCE = "#000000"  # ceilings, floors and baselines
INK = "#222222"  # words, axes and outlines
MUTED = "#8A8A8A"  # everything that is not the point
ORANGE, SKY, YELLOW = "#E69F00", "#56B4E9", "#F0E442"  # too pale for lines: fills and marks with an outline only

MODALITY = {"text": TEXT, "image": IMAGE, "collaborative": COLLABORATIVE, "fused": FUSED}
FURTHER = ("#882255", "#6B5B00")
"""Wine and olive (Tol, 2021), dark enough for lines and words: further modalities in their order."""
CATEGORICAL = (TEXT, IMAGE, FUSED, CONFLICT, ORANGE, SKY, YELLOW, REFERENCE)
"""Eight colors for levels without a fixed meaning; a ninth level is `MUTED`."""
OUTLINE = dict.fromkeys((ORANGE, SKY, YELLOW), 0.8)
"""Width of the dark outline that marks of the pale colors need to stand out from white."""
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "x")
"""One marker per color, so that no level is identified by its color alone."""
SYMBOL = dict(zip(CATEGORICAL, SYMBOLS, strict=True)) | {COLLABORATIVE: "pentagon"}
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_COLORS = {"text": TEXT, "image": IMAGE, "fused": FUSED, "conflict": CONFLICT, "ink": INK, "muted": MUTED}
VARIABLES = ":root{" + "".join(f"--{name}:{color};" for name, color in _COLORS.items()) + f"--font:{FONT}}}"
"""The theme as a rule of CSS, for the style sheets of views: `var(--ink)` and so on."""

_axis = {
    "showgrid": False,
    "zeroline": False,
    "showline": True,
    "linecolor": "#BBBBBB",
    "ticks": "outside",
    "tickcolor": "#BBBBBB",
    "title": {"standoff": 8},
    "automargin": True,
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "colorway": CATEGORICAL,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "title": {"x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12}, "font": {"size": 16}},
        "margin": {"l": 60, "r": 24, "t": 64, "b": 52},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"family": FONT, "size": 12, "color": INK}},
        "legend": {"bgcolor": "rgba(255,255,255,0.8)"},
        "xaxis": _axis,
        "yaxis": _axis | {"showgrid": True, "gridcolor": "#EEEEEE"},
    }
)

_numbers = itertools.count(1)


def modality_colors(names: Iterable[str]) -> dict[str, str]:
    """A color for each modality: `MODALITY`'s own, the next of `FURTHER` for every other one, then `MUTED`.

    The same names in the same order have the same colors everywhere.

    >>> modality_colors(["text", "acoustic"])
    {'text': '#0072B2', 'acoustic': '#882255'}
    """
    others = iter(FURTHER)
    return {name: MODALITY.get(name) or next(others, MUTED) for name in dict.fromkeys(names)}


def empty_figure(title: str) -> go.Figure:
    """The figure of a view that has nothing to show; its title and sentence say why."""
    hidden = {"visible": False}
    return go.Figure(layout={"height": 160, "title": title, "xaxis": hidden, "yaxis": hidden})


def show(figure: go.Figure, description: str, gallery: Gallery | None = None) -> None:
    """Display a final figure so that JupyterLab, VS Code, nbviewer and an exported page all show it.

    `description` is the one sentence that says what the figure shows: it stands under it and is its alternative text.
    With a `gallery`, points whose customdata is an item row show that item's picture and card under the pointer.
    Two outputs: the figure (plotly's own MIME type for front ends that support it, else HTML), then the caption.
    """
    number = numbered(figure, description, gallery)
    spec = inert(json.loads(figure.to_json()))
    bundle = {
        "application/vnd.plotly.v1+json": spec | {"config": CONFIG},
        "text/html": figure_html(spec, number),
        "text/plain": f"[figure: {description}]",
    }
    display(bundle, raw=True)
    display(HTML(caption_html(description, gallery)))


def numbered(figure: go.Figure, description: str, gallery: Gallery | None) -> int:
    """Dress a figure for a page: our template, its alternative text, its gallery, and a number of its own."""
    number = next(_numbers)
    about = {"macrec": number, "alt": description, "gallery": gallery.key if gallery else None}
    figure.update_layout(template=TEMPLATE, meta=about)
    return number


_LINK = re.compile(r"<(?=\s*/?\s*a\b)", re.IGNORECASE)


def inert(spec: Any) -> Any:
    """A figure's data without links in its texts: plotly turns text into links, and the texts come from data."""
    if isinstance(spec, str):
        return _LINK.sub("&lt;", spec)
    if isinstance(spec, dict):
        return {name: inert(value) for name, value in spec.items()}
    return [inert(value) for value in spec] if isinstance(spec, list) else spec


CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["autoScale2d"]}


def figure_html(spec: dict[str, Any], number: int) -> str:
    """A page fragment that draws a figure with the plotly.js of the page, else with the one plotly publishes."""
    height = spec["layout"].get("height", 420)
    alt = html.escape(spec["layout"]["meta"]["alt"], quote=True)
    name = f"macrec-figure-{number}"
    call = f'drawFigure("{name}", {script_json(spec)}, {script_json(CONFIG)}, "{PLOTLY_JS}");'
    return f"""<div id="{name}" role="figure" aria-label="{alt}" style="height:{height}px"></div>
{script_tag(call, HERE / "draw.js")}"""


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs_version

    return f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"


PLOTLY_JS = _plotly_js()


FIGURES_SCRIPT = script_tag("findFigures();", HERE / "figures.js")
"""Finds the figures of a page for the scripts that follow it, and gives them their names and a keyboard."""


def caption_html(description: str, gallery: Gallery | None) -> str:
    """The caption under a figure, carrying the pictures its points show."""
    style = f"margin:0 0 1em;padding:2px 0;color:#555;background:#fff;font:13px {html.escape(FONT)}"
    caption = f'<p style="{style}">{html.escape(description)}</p>'
    return caption + FIGURES_SCRIPT + (gallery.script() if gallery else "")


def show_html(*fragments: str) -> None:
    """Display HTML fragments (pictures, strips, tables) as one output."""
    display(HTML("".join(fragments)))
