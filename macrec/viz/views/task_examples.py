"""What a generator reads and writes: one sample of every task, its codes as small boxes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from macrec.data.dataset import Dataset
from macrec.viz.coded_items import level_names
from macrec.viz.labels import item_label
from macrec.viz.theme import FONT, INK, MUTED, modality_colors

if TYPE_CHECKING:  # torch comes with them, and drawing needs none
    from macrec.generation.backbones import GeneratorTask
    from macrec.generation.batches import CodeTables, TaskSamples
    from macrec.generation.tasks import CodeTask

LEFT = "text-align:left;padding:3px 8px"


def task_examples(training: GeneratorTask, dataset: Dataset, seed: int = 0, items: int = 3) -> str:
    """One random training sample per task as an HTML table: what is read and what is to be written.

    A generator with one place per token reads a row of boxes, the gray ones being the prompt and the end, and writes
    one ID. One with a place per item reads an item in every column, and writes below it the ID of the item after it.
    Samples with at most `items` items in the history are chosen where there are any. A box is a code, named by its
    level, in its modality's color; boxes of one item stand together, and pointing at them shows the item's title.
    """
    samples, by_item = training.samples, training.module.places == "item"
    tables = samples.tables
    rng = np.random.default_rng(seed)
    rows = []
    for number, task in enumerate(tables.tasks):
        chosen = sample_of(samples, number, items, rng)
        if chosen is None:
            continue
        cells = (places if by_item else tokens)(tables, task, *chosen, dataset)
        rows.append(f'<tr><th style="{LEFT}">{html.escape(task.name)}</th>{cells}</tr>')
    by_token = ("the encoder reads", "the decoder writes")
    names = ("at each place an item is read, and the ID of the next is written",) if by_item else by_token
    head = "".join(f'<th style="{LEFT}">{name}</th>' for name in ("task", *names))
    style = f"font:12px {html.escape(FONT, quote=True)};border-collapse:collapse;color:#222;background:#fff"
    label = f"One training sample of each of {len(rows)} tasks: the codes that are read and those to be written."
    return f'<table style="{style}" aria-label="{label}" class="tasks"><tr>{head}</tr>{"".join(rows)}</table>'


def sample_of(samples: TaskSamples, task: int, items: int, rng: np.random.Generator) -> tuple[list[int], int] | None:
    """The history and the target of a random sample of a task, short where there are short ones; None without any."""
    mine = np.flatnonzero((samples.task == task).cpu().numpy())
    if not len(mine):
        return None
    lengths = samples.length.cpu().numpy()[mine]
    short = mine[(lengths <= items) & (lengths >= min(2, int(lengths.max())))]
    chosen = rng.choice(short if len(short) else mine)
    start, length = int(samples.start[chosen]), int(samples.length[chosen])
    return samples.items[start : start + length].tolist(), int(samples.items[samples.target[chosen]])


def tokens(tables: CodeTables, task: CodeTask, history: Sequence[int], target: int, dataset: Dataset) -> str:
    """Two cells: the prompt, the IDs of the history and the end as they are read in a row, and the ID written."""
    prompt = "".join(box(f"p{at}", MUTED) for at in range(task.prompt))
    reads = "".join(id_boxes(tables, name, item, dataset) for item in history for name in task.sources)
    writes = id_boxes(tables, task.target, target, dataset)
    return f'<td style="{LEFT}">{prompt}{reads}{box("end", MUTED)}</td><td style="{LEFT}">{writes}</td>'


def places(tables: CodeTables, task: CodeTask, history: Sequence[int], target: int, dataset: Dataset) -> str:
    """A cell with a column per place: the codes of its item above, and below them the ID that is written there."""
    writes = [target] if task.kind == "item" else [*history[1:], target]
    columns = "".join(
        '<div style="display:inline-block;vertical-align:top;margin:2px 10px 4px 0">'
        f"<div>{''.join(id_boxes(tables, name, item, dataset) for name in task.sources)}</div>"
        f'<div style="color:{INK}">↓</div><div>{id_boxes(tables, task.target, after, dataset)}</div></div>'
        for item, after in zip(history, writes, strict=True)
    )
    return f'<td style="{LEFT}">{columns}</td>'


def id_boxes(tables: CodeTables, modality: str, item: int, dataset: Dataset) -> str:
    """The semantic ID of one item in one modality; of `ITEM` its number."""
    ids = tables.table(modality)
    color = modality_colors(tables.ids).get(modality, MUTED)
    codes = zip(level_names(ids), ids.codes[item].tolist(), strict=True)
    boxes = "".join(box(f"{level}{code}", color) for level, code in codes)
    title = html.escape(f"{modality} ID of {item_label(dataset, item)}", quote=True)
    return f'<span title="{title}" style="white-space:nowrap;margin-right:6px;display:inline-block">{boxes}</span>'


def box(words: str, color: str) -> str:
    """One token; its color is that of the frame, too pale for words as small as these."""
    style = f"border:1.5px solid {color};color:{INK};border-radius:3px;padding:0 3px;margin:1px;display:inline-block"
    return f'<span style="{style}">{html.escape(words)}</span>'
