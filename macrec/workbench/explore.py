"""`macrec explore`: one offline page that shows files of semantic IDs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl

from macrec.data.dataset import Dataset
from macrec.data.item_file import load_items
from macrec.errors import DataError
from macrec.quantization.health import about_sizes, codebook_health
from macrec.quantization.id_files import check_numbering
from macrec.quantization.id_matching import match_items
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids
from macrec.viz.coded_items import item_rows, items_in
from macrec.viz.figures.code_tree import code_tree_figure
from macrec.viz.figures.codebooks import code_agreement, usage_heatmap
from macrec.viz.page import Page, check_page
from macrec.viz.pictures import Gallery
from macrec.viz.tables import table_html
from macrec.viz.views.conflicts import conflict_explorer
from macrec.viz.views.prefix_gallery import prefix_gallery
from macrec.workbench.explore_reasons import attempt, made_of, reasons_sections, section

NODES, PICTURES = 1_600, 2_400
"""Prefixes of all trees, and of all galleries, of a page together, and different pictures of its galleries."""

MOST_TABLES = 4
"""Files in one page: with more, none is seen well and the page grows too large to be mailed."""


def explore(
    files: Sequence[Path],
    items: str | None,
    out: Path,
    size: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Page:
    """Write the page about the semantic IDs in `files` to `out`, and return it.

    `items` names a dataset or a table of items (`load_items`); `size` is the number of codewords per level where the
    files do not say; `say` is called with how IDs and items were matched. Raises DataError for unreadable files, for
    items that the dataset does not have, for more than `MOST_TABLES` files, and where `out` is none of our pages.
    """
    if len(files) > MOST_TABLES:
        raise DataError(f"there are {len(files)} files of IDs", fix=f"explore at most {MOST_TABLES} at a time")
    check_page(out, [*files, *([Path(items)] if items is not None else [])])
    names = table_names(files)
    tables = {name: load_semantic_ids(file, size) for name, file in zip(names, files, strict=True)}
    data = load_items(items) if items is not None else None
    matched: dict[str, str] = {}
    for name, file in zip(names, files, strict=True):
        if data is None:
            check_numbering(tables[name].item_ids, file)
            continue
        matched[name] = f"{name}: {match_items(tables[name].item_ids, data.items['item_id']).sentence}"
        tables[name] = of_dataset(tables[name], data, file)
        say(matched[name])
    page = explorer_page(tables, data, matched)
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
        words = [[word for word in distinct if word not in shared] for distinct in words]
        names = [" ".join(distinct) or file.stem for distinct, file in zip(words, files, strict=True)]
        if len(set(names)) == len(names):
            return names
        return [f"{file.stem} {number}" for number, file in enumerate(files, 1)]
    return [file.stem for file in files]


def of_dataset(ids: SemanticIds, data: Dataset, file: Path) -> SemanticIds:
    """The IDs with the dataset's names of their items, as `match_items` finds them.

    Raises DataError, naming the file, for an item that the dataset does not have.
    """
    try:
        return replace(ids, item_ids=data.items["item_id"].gather(item_rows(ids, data)))
    except DataError as error:
        raise DataError(error.what, file=file, field="item_id", fix=error.fix) from error


def explorer_page(
    tables: Mapping[str, SemanticIds], data: Dataset | None = None, matched: Mapping[str, str] | None = None
) -> Page:
    """The page, not yet written: health, usage, then for each table the tree, the inside of its prefixes, its conflicts
    and why items have their codes; at last what two tables agree on.

    `matched` says how IDs and items were matched. A section that cannot be made is replaced by the sentence that says
    why. Raises DataError for items that the dataset does not have.
    """
    page = Page(f"Semantic IDs: {', '.join(tables)}", lead(tables, data, matched or {}))
    with section(page, "The health of the IDs"):
        health_tables(page, tables)
    nodes, pictures = min(800, NODES // len(tables)), PICTURES // max(2, len(tables))
    trees = {name: attempt(lambda ids=ids: code_tree_figure(ids, data, limit=nodes)) for name, ids in tables.items()}  # type: ignore[misc]
    usage = attempt(lambda: usage_heatmap(tables, data))
    drawn = [made[0] for made in (*trees.values(), usage) if not isinstance(made, DataError)]
    gallery = attempt(lambda: picture_gallery(data, drawn))
    if isinstance(gallery, DataError):
        page.text(f"The pictures of points are left out: {gallery}")
    shown = None if isinstance(gallery, DataError) else gallery
    with section(page, "Which codes are used?"):
        page.text("Codes that hold most items carry little information; dead codes, hatched, carry none.")
        page.figure(*made_of(usage), shown)
    for name, ids in tables.items():
        of = f" ({name})" if len(tables) > 1 else ""
        with section(page, f"The tree of codes{of}"):
            page.figure(*made_of(trees[name]), shown)
        with section(page, f"What is inside a prefix?{of}"):
            page.html(prefix_gallery(ids, data, limit=nodes, pictures=pictures))
        with section(page, f"Which items share an ID?{of}"):
            page.html(conflict_explorer(ids, data=data))
    for one, two in combinations(tables, 2):
        with section(page, f"Do {one} and {two} agree?"):
            page.figure(*code_agreement({one: tables[one], two: tables[two]}))
    reasons_sections(page, tables, data)
    return page


def picture_gallery(data: Dataset | None, figures: Sequence[go.Figure]) -> Gallery | None:
    """The pictures of all items that the figures name; None without a dataset."""
    if data is None:
        return None
    rows = [items_in(figure) for figure in figures]
    return Gallery(data, np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64))


def lead(tables: Mapping[str, SemanticIds], data: Dataset | None, matched: Mapping[str, str]) -> str:
    """What the page is about, what is known of the items, and how they were matched."""
    about = "; ".join(f"{name}: {repr(ids).removeprefix('SemanticIds: ')}" for name, ids in tables.items())
    if data is None:
        return f"{about}. The items have no titles or pictures here: name them with --items."
    titles, pictures = int((data.items["title"] != "").sum()), int(data.images.present.sum())
    events = f" and {data.num_events:,} events of {data.num_users:,} users" if data.num_events else ""
    how = f" IDs and items, {'; '.join(matched.values())}." if matched else ""
    return f"{about}. The items are those of {data.name}: {titles:,} titles, {pictures:,} pictures{events}.{how}"


def health_tables(page: Page, tables: Mapping[str, SemanticIds]) -> None:
    """How many IDs, how many conflicts, how evenly each level is used."""
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
                f"{health.conflict_rate:.2%}). Perplexity: the number of evenly used codes with the same entropy. "
                f"{about_sizes(health.sizes_from)}",
            )
        )
