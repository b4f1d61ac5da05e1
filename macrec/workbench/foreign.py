"""Notebooks that were not executed on this machine: what of their prose and outputs a page may show.

Jupyter signs what it has executed with a key that stays on the machine. Only outputs with that signature keep their
scripts; of all others a page shows words, tables, pictures and figures, and nothing that runs.
"""

from __future__ import annotations

from typing import Any

import nh3

ATTRIBUTES = nh3.ALLOWED_ATTRIBUTES | {"*": {"aria-label", "class", "role", "style", "title"}}
PICTURE = ("data:image/png;", "data:image/jpeg;", "data:image/webp;", "data:image/gif;")


def executed_here(notebook: Any) -> bool:
    """Whether Jupyter or `macrec run` on this machine has executed these very outputs."""
    from nbformat.sign import NotebookNotary

    return bool(NotebookNotary().check_signature(notebook))


def harmless(fragment: str) -> str:
    """HTML without scripts, handlers, forms and frames; links lead to http(s) or mail, pictures lie in the page."""
    return nh3.clean(
        fragment,
        clean_content_tags={"script", "style", "template"},
        attributes=ATTRIBUTES,
        attribute_filter=_allowed,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties={"color", "background-color", "text-align", "font-weight", "padding", "margin"},
    )


def _allowed(tag: str, name: str, value: str) -> str | None:
    pictured = value.startswith(PICTURE)
    if name == "src":
        return value if pictured else None  # the page fetches nothing
    if name == "href":
        return None if value.lstrip().lower().startswith("data:") else value
    return value
