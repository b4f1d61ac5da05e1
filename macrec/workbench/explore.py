"""`macrec explore`: one offline page with everything that can be seen in anybody's semantic IDs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.card import text_keys
from macrec.data.dataset import Dataset
from macrec.data.item_file import load_items
from macrec.encoders import Embeddings
from macrec.encoders.store import cache_folder
from macrec.errors import DataError
from macrec.quantization.health import codebook_health
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids
from macrec.viz.code_tree import code_tree_figure
from macrec.viz.codebook_figures import code_agreement, usage_heatmap
from macrec.viz.coded_items import item_rows, items_in
from macrec.viz.conflict_explorer import conflict_explorer, conflict_groups
from macrec.viz.layout import FEWEST, umap_layouts
from macrec.viz.linked import linked_items
from macrec.viz.page import Page, check_page
from macrec.viz.pictures import Gallery
from macrec.viz.prefix_gallery import prefix_gallery
from macrec.viz.stand_ins import first_code_fit, nearest_stand_ins
from macrec.viz.tables import table_html
from macrec.workbench.session import encode_modalities

MOST_ENCODED = 50_000
"""Items whose texts and pictures are encoded for the page, at most: the encoders take about a minute for so many."""

NODES, PICTURES = 1_600, 2_400
"""Prefixes of all trees, and of all galleries, of a page together, and different pictures of its galleries."""

MOST_TABLES = 4
"""Files in one page: with more, none is seen well and the page grows too large to be mailed."""


def explore(files: Sequence[Path], items: str | None, out: Path, size: int | None = None) -> Page:
    """Write the page about the semantic IDs in `files` to `out`, and return it.

    `items` names a dataset or a table of items (`load_items`); `size` is the number of codewords per level where the
    files do not say. Raises DataError for files that do not read, for items that the dataset does not have, for more
    than `MOST_TABLES` files, and where `out` is none of our pages.
    """
    if len(files) > MOST_TABLES:
        raise DataError(f"there are {len(files)} files of IDs", fix=f"explore at most {MOST_TABLES} at a time")
    check_page(out, [*files, *([Path(items)] if items is not None else [])])
    names = table_names(files)
    tables = {name: load_semantic_ids(file, size) for name, file in zip(names, files, strict=True)}
    data = load_items(items) if items is not None else None
    for name, file in zip(names, files, strict=True):
        check_items(tables[name], data, file)
    page = explorer_page(tables, data)
    page.write(out)
    return page


def table_names(files: Sequence[Path]) -> list[str]:
    """A short name per file: the words of its path that tell it from the others, such as "text" and "image".

    >>> table_names([Path("ids/beauty_text.parquet"), Path("ids/beauty_image.parquet")])
    ['text', 'image']
    """
    if len({file.resolve() for file in files}) < len(files):
        raise DataError("a file of IDs is named twice", fix="name each once")
    words = [re.findall(r"[^\W_]+", str(file.resolve().with_suffix(""))) for file in files]
    if len(files) > 1:
        shared = set.intersection(*map(set, words))
        words = [[word for word in found if word not in shared] for found in words]
        names = [" ".join(found) or file.stem for found, file in zip(words, files, strict=True)]
        if len(set(names)) == len(names):
            return names
        return [f"{file.stem} {number}" for number, file in enumerate(files, 1)]
    return [file.stem for file in files]


def check_items(ids: SemanticIds, data: Dataset | None, file: Path) -> None:
    """Raise DataError, naming the file, for an empty table, an item with two IDs, and items that `data` has not."""
    if (twice := ids.item_ids.is_duplicated()).any():
        row = f'item "{ids.item_ids.filter(twice)[0]}"'
        raise DataError("the item has two IDs", file=file, row=row, fix="keep one row per item")
    if data is None:
        return
    try:
        item_rows(ids, data)
    except DataError as error:
        raise DataError(error.what, file=file, field="item_id", fix=error.fix) from error


def explorer_page(tables: Mapping[str, SemanticIds], data: Dataset | None = None) -> Page:
    """The page, not yet written: health, usage, then for each table the tree, the inside of its prefixes, its conflicts
    and why items have their codes; at last what two tables agree on.

    Raises DataError for items that the dataset does not have.
    """
    page = Page(f"Semantic IDs: {', '.join(tables)}", lead(tables, data))
    health_section(page, tables)
    nodes, pictures = min(800, NODES // len(tables)), PICTURES // max(2, len(tables))
    trees = {name: code_tree_figure(ids, data, limit=nodes) for name, ids in tables.items()}
    usage = usage_heatmap(tables, data)
    gallery = None
    if data is not None:
        shown = [items_in(figure) for figure, _ in [*trees.values(), usage]]
        gallery = Gallery(data, np.unique(np.concatenate(shown)))
    page.heading("Which codes are used?")
    page.text("A few codes that hold most items tell little; dead codes, hatched, tell nothing.")
    page.figure(*usage, gallery)
    for name, ids in tables.items():
        of = f" ({name})" if len(tables) > 1 else ""
        page.heading(f"The tree of codes{of}")
        page.figure(*trees[name], gallery)
        page.heading(f"What is inside a prefix?{of}")
        page.html(prefix_gallery(ids, data, limit=nodes, pictures=pictures))
        page.heading(f"Which items share an ID?{of}")
        page.html(conflict_explorer(ids, data=data))
    for one, two in combinations(tables, 2):
        page.heading(f"Do {one} and {two} agree?")
        page.figure(*code_agreement({one: tables[one], two: tables[two]}))
    reasons_sections(page, tables, data)
    return page


def lead(tables: Mapping[str, SemanticIds], data: Dataset | None) -> str:
    """What the page is about, and what is known of the items."""
    about = "; ".join(f"{name}: {repr(ids).removeprefix('SemanticIds: ')}" for name, ids in tables.items())
    if data is None:
        return f"{about}. Nothing is known of the items but their IDs: with --items there would be titles and pictures."
    titles, pictures = int((data.items["title"] != "").sum()), int(data.images.present.sum())
    events = f" and {data.num_events:,} events of {data.num_users:,} users" if data.num_events else ""
    return f"{about}. The items are those of {data.name}: {titles:,} titles, {pictures:,} pictures{events}."


def health_section(page: Page, tables: Mapping[str, SemanticIds]) -> None:
    """How many IDs, how many conflicts, how evenly each level is used."""
    page.heading("The health of the IDs")
    for name, ids in tables.items():
        health = codebook_health(ids)
        levels = pl.DataFrame(
            [
                {
                    "level": number, "codebook": level.codebook, "used": f"{level.used:,}\u00a0of\u00a0{level.size:,}",
                    "utilization": f"{level.utilization:.1%}", "perplexity": f"{level.perplexity:.1f}",
                    "items of the busiest code": f"{level.max_load:,}", "prefixes that end here": f"{level.prefixes:,}",
                    "items of the fullest": f"{level.max_items:,}",
                }
                for number, level in enumerate(health.levels)
            ]
        )  # fmt: skip
        page.html(
            table_html(
                levels,
                f"{name}: {health.items:,} items, {health.distinct:,} different IDs; {health.conflict_items:.2%} "
                f"of the items share theirs, at most {health.largest_group} the same one (conflict rate "
                f"{health.conflict_rate:.2%}). Perplexity: so many codes, used evenly, would tell as much. Sizes that "
                "a file does not say are the fewest that hold its codes.",
            )
        )


def reasons_sections(page: Page, tables: Mapping[str, SemanticIds], data: Dataset | None) -> None:
    """Everything that needs vectors of the items: why an item has its codes, and the linked map, tree and table."""
    page.heading("Why does an item have its codes?")
    missing = why_not(data)
    if missing or data is None:
        page.text(missing)
        return
    vectors = encode_modalities(data, text="tfidf", image="hog-color")
    page.text(
        "IDs alone do not tell where the codewords lie. What stands in for a codeword here is the mean of the "
        "embeddings of the items that have the same codes before it and then this one, without the item itself. The "
        f"embeddings are computed for this page ({', '.join(found.encoder for found in vectors.values())}), not those "
        "that the IDs were made from: read what follows as a hint."
    )
    for name, ids in tables.items():
        rows = item_rows(ids, data)
        modality = name if name in vectors else next(iter(vectors))
        found = vectors[modality]
        present = found.present[rows]
        embedded = np.asarray(found.values[rows], np.float32)
        if present.sum() < FEWEST:
            page.text(f"{name}: only {present.sum()} of its items have {modality} embeddings.")
            continue
        page.heading(f"{name}, seen by {modality} embeddings", level=3)
        sentence, chosen = telling_items(ids, embedded, present)
        page.text(sentence)
        for what, item in chosen.items():
            page.text(what)
            page.html(nearest_stand_ins(item, ids, embedded, present, data))
    linked_section(page, tables, data, vectors)


def why_not(data: Dataset | None) -> str:
    """Why no stand-ins can be computed; "" where they can."""
    if data is None:
        return "That needs texts or pictures of the items: name them with --items."
    texts, pictures = text_keys(data.items).count(), int(data.images.present.sum())
    if max(texts, pictures) < FEWEST:
        what = f"{data.name} has {texts} items with a text and {pictures} with a picture"
        return f"That needs texts or pictures of the items, and {what}: all there is to see of an item is its ID."
    if data.num_items > MOST_ENCODED:
        return f"Left out: {data.name} has {data.num_items:,} items, and this page encodes at most {MOST_ENCODED:,}."
    return ""


def telling_items(
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
            f"The stand-in of its own first code is the nearest of {used:,} for {np.mean(own < other):.0%} of the "
            f"items (by chance about {1 / used:.1%}; {len(sample):,} items measured)."
        )
        chosen = {
            "An item at home in its first code: of all measured, its own is nearest compared with the next.": int(
                sample[np.argmin(own / np.maximum(other, 1e-12))]
            ),
            "The item that its first code fits least: here the codebook knew something else than these embeddings, or "
            "lost the item.": int(sample[np.argmax(own / np.maximum(other, 1e-12))]),
        }
    for group in conflict_groups(ids):
        if present[group].any():
            chosen["An item of the largest group that shares an ID."] = int(group[present[group]][0])
            break
    return sentence, chosen


def linked_section(
    page: Page, tables: Mapping[str, SemanticIds], data: Dataset, vectors: Mapping[str, Embeddings]
) -> None:
    """The map of the items, the tree of codes and the conflicts, linked: a choice in one is shown in the others."""
    layouts = umap_layouts(vectors, seed=0, cache=cache_folder() / "layouts" / data.fingerprint)
    for name, ids in tables.items():
        page.heading("Map, codes and conflicts, linked" + (f" ({name})" if len(tables) > 1 else ""))
        page.html(linked_items(ids, layouts, data))
