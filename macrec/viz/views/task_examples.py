"""What a generator reads and writes: one sample of every task, its tokens as small boxes."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from macrec.data.dataset import Dataset
from macrec.viz.coded_items import level_names
from macrec.viz.labels import item_label
from macrec.viz.theme import FONT, INK, MUTED, modality_colors

if TYPE_CHECKING:  # torch comes with them, and drawing needs none
    from macrec.generation.batches import CodeTables, TaskSamples


def task_examples(samples: TaskSamples, dataset: Dataset, seed: int = 0, items: int = 3) -> str:
    """One random training sample per task as an HTML table: what is read and what is to be written, token by token.

    Gray boxes are the prompt and the end. Samples with at most `items` items in the history are chosen where there are
    any. A box is a code, named by its level, in its modality's color; boxes of one item stand together, and pointing at
    them tells the item.
    """
    tables = samples.tables
    rng = np.random.default_rng(seed)
    end = box("end", MUTED)
    rows = []
    for number, task in enumerate(tables.tasks):
        mine = np.flatnonzero((samples.task == number).cpu().numpy())
        if not len(mine):
            continue
        lengths = samples.length.cpu().numpy()[mine]
        short = mine[(lengths <= items) & (lengths >= min(2, int(lengths.max())))]
        chosen = rng.choice(short if len(short) else mine)
        start, length = int(samples.start[chosen]), int(samples.length[chosen])
        history = samples.items[start : start + length].tolist()
        target = int(samples.items[samples.target[chosen]])
        prompt = "".join(box(f"p{at}", MUTED) for at in range(task.prompt))
        reads = "".join(id_boxes(tables, name, item, dataset) for item in history for name in task.sources)
        rows.append(
            f"<tr><th>{html.escape(task.name)}</th><td>{prompt}{reads}{end}</td>"
            f"<td>{id_boxes(tables, task.target, target, dataset)}</td></tr>"
        )
    head = "<tr><th>task</th><th>the encoder reads</th><th>the decoder writes</th></tr>"
    style = f"font:12px {html.escape(FONT, quote=True)};border-collapse:collapse;color:#222;background:#fff"
    label = f"One training sample of each of {len(rows)} tasks: the tokens that are read and those to be written."
    return f'<table style="{style}" aria-label="{label}" class="tasks">{head}{"".join(rows)}</table>'


def id_boxes(tables: CodeTables, modality: str, item: int, dataset: Dataset) -> str:
    """The semantic ID of one item in one modality."""
    ids = tables.ids[modality]
    color = modality_colors(tables.ids)[modality]
    codes = zip(level_names(ids), ids.codes[item].tolist(), strict=True)
    boxes = "".join(box(f"{level}{code}", color) for level, code in codes)
    title = html.escape(f"{modality} ID of {item_label(dataset, item)}", quote=True)
    return f'<span title="{title}" style="white-space:nowrap;margin-right:6px;display:inline-block">{boxes}</span>'


def box(words: str, color: str) -> str:
    """One token; its color is that of the frame, too pale for words as small as these."""
    style = f"border:1.5px solid {color};color:{INK};border-radius:3px;padding:0 3px;margin:1px;display:inline-block"
    return f'<span style="{style}">{html.escape(words)}</span>'
