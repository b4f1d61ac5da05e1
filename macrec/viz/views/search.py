"""The beam search of a comparison's generator as HTML, or a sentence if there is none."""

from __future__ import annotations

import html

from macrec.errors import NotApplicable
from macrec.experiments.results import Results
from macrec.viz.pictures import Gallery, labelled
from macrec.viz.views.beam_trace import beam_trace


def search_html(results: Results, gallery: Gallery) -> str:
    """How one user's recommendation was found, level by level; see `macrec.viz.views.beam_trace`."""
    try:
        search = results.traced()
    except NotApplicable as error:
        sentence = f"Left out: {error.what}."
        return f"<p {labelled(sentence)}>{html.escape(sentence)}</p>"
    return beam_trace(search.trace, search.trie, search.ids, 0, gallery, search.target, search.path)
