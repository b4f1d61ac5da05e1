"""Frames of the demo page for views that bring a script of their own."""

from __future__ import annotations

import html
from pathlib import Path

from macrec.viz.assets import script_tag


def framed(view: str, title: str) -> str:
    """A view with a script in a frame: a widget's HTML runs no scripts, a frame does."""
    body = f'<body style="margin:0">{view}{script_tag("", Path(__file__).with_suffix(".js"))}</body>'
    page = f'<!doctype html><html lang="en">{body}</html>'
    source, name = html.escape(page, quote=True), html.escape(title, quote=True)
    return f'<iframe class="macrec-frame" title="{name}" srcdoc="{source}"></iframe>'
