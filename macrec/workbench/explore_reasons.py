"""The part of an explorer page that needs vectors of the items: centroids in place of codewords, and the linked map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings, EmbeddingStore
from macrec.encoders.layout import FEWEST, umap_layouts
from macrec.encoders.store import cache_folder
from macrec.errors import DataError
from macrec.experiments.modalities import contents_of, encoder_for
from macrec.quantization.code_centroids import first_code_fit
from macrec.quantization.health import conflict_groups
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import item_rows
from macrec.viz.linked.linked import linked_items
from macrec.viz.page import Page
from macrec.viz.views.code_centroids import nearest_code_centroids

Made = TypeVar("Made")

ENCODERS = {"text": "tfidf", "image": "hog-color"}
"""What encodes the items for the page."""

MOST_ENCODED = 50_000
"""Items whose texts and pictures are encoded for the page, at most: the encoders take about a minute for so many."""


@contextmanager
def section(page: Page, heading: str, level: int = 2) -> Iterator[None]:
    """A section of the page. Where it fails with a DataError, its sentence stands there, and the page goes on."""
    page.heading(heading, level)
    try:
        yield
    except DataError as error:
        page.text(f"This part is left out: {error}")


def attempt(make: Callable[[], Made]) -> Made | DataError:
    """What `make` gives, or the DataError that it ends with."""
    try:
        return make()
    except DataError as error:
        return error


def made_of(made: Made | DataError) -> Made:
    """The result of `attempt`; raises its DataError if there is one."""
    if isinstance(made, DataError):
        raise made
    return made


def reasons_sections(page: Page, tables: Mapping[str, SemanticIds], data: Dataset | None) -> None:
    """Everything that needs vectors of the items: why an item has its codes, and the linked map, tree and table."""
    page.heading("Why does an item have its codes?")
    missing = why_not(data)
    if missing or data is None:
        page.text(missing)
        return
    vectors = encoded(page, data)
    if not vectors:
        return
    page.text(
        "A file of IDs does not contain the codewords. Here a codeword is replaced by its centroid: the mean embedding "
        "of the items with the same codes up to this one, without the item itself. The embeddings are computed for "
        f"this page ({', '.join(table.encoder for table in vectors.values())}) and may differ from those of the "
        "IDs, so the following is an approximation."
    )
    for name, ids in tables.items():
        modality = name if name in vectors else next(iter(vectors))
        with section(page, f"{name}, by {modality} embeddings", level=3):
            reasons(page, name, ids, data, vectors[modality])
    layouts = attempt(lambda: umap_layouts(vectors, seed=0, cache=cache_folder() / "layouts" / data.fingerprint))
    for name, ids in tables.items():
        with section(page, "Map, codes and conflicts, linked" + (f" ({name})" if len(tables) > 1 else "")):
            page.html(linked_items(ids, made_of(layouts), data))


def encoded(page: Page, data: Dataset) -> dict[str, Embeddings]:
    """The embeddings of every modality that enough items have; the page says why one cannot be had."""
    having = contents_of(data)
    embeddings: dict[str, Embeddings] = {}
    for modality, spec in ENCODERS.items():
        if having[modality] >= FEWEST:
            made = attempt(
                lambda modality=modality, spec=spec: EmbeddingStore().get(data, encoder_for(spec, modality))  # type: ignore[misc]
            )
            if isinstance(made, DataError):
                page.text(f"The {modality} embeddings are left out: {made}")
            else:
                embeddings[modality] = made
    return embeddings


def reasons(page: Page, name: str, ids: SemanticIds, data: Dataset, embeddings: Embeddings) -> None:
    """How well the codes of one table fit the embeddings of its items, and a few items that show it."""
    rows = item_rows(ids, data)
    present = embeddings.present[rows]
    embedded = np.asarray(embeddings.values[rows], np.float32)
    if present.sum() < FEWEST:
        page.text(f"{name}: only {present.sum()} of its items have {embeddings.modality} embeddings.")
        return
    sentence, chosen = informative_items(ids, embedded, present)
    page.text(sentence)
    for what, item in chosen.items():
        page.text(what)
        page.html(nearest_code_centroids(item, ids, embedded, present, data))


def why_not(data: Dataset | None) -> str:
    """Why no centroids can be computed; "" where they can."""
    if data is None:
        return "That needs texts or pictures of the items: name them with --items."
    texts, pictures = contents_of(data).values()
    if max(texts, pictures) < FEWEST:
        what = f"{data.name} has {texts} items with a text and {pictures} with a picture"
        return f"That needs texts or pictures of the items, and {what}: only the IDs of the items can be shown."
    if data.num_items > MOST_ENCODED:
        return f"Left out: {data.name} has {data.num_items:,} items, and this page encodes at most {MOST_ENCODED:,}."
    return ""


def informative_items(
    ids: SemanticIds, vectors: NDArray[np.floating], present: NDArray[np.bool_]
) -> tuple[str, dict[str, int]]:
    """How well first codes fit the vectors, in a sentence, and a few items that show it: label → row of the IDs."""
    rows = np.flatnonzero(present)
    sample, own, other = first_code_fit(vectors[rows], ids.codes[rows, 0])
    known = np.isfinite(own) & np.isfinite(other)
    chosen: dict[str, int] = {}
    sentence = "No first code has several items, and another code beside it: nothing to compare."
    if known.any():
        sample, own, other = rows[sample[known]], own[known], other[known]
        used = len(np.unique(ids.codes[rows, 0]))
        sentence = (
            f"The centroid of its own first code is the nearest of {used:,} for {np.mean(own < other):.0%} of the "
            f"items (by chance about {1 / used:.1%}; {len(sample):,} items measured)."
        )
        chosen = {
            "The item that fits its first code best: its own centroid is nearest compared with the next.": int(
                sample[np.argmin(own / np.maximum(other, 1e-12))]
            ),
            "The item that fits its first code least: its codebook was learned from other embeddings, or represents it "
            "badly.": int(sample[np.argmax(own / np.maximum(other, 1e-12))]),
        }
    for group in conflict_groups(ids):
        if present[group].any():
            chosen["An item of the largest group that shares an ID."] = int(group[present[group]][0])
            break
    return sentence, chosen
