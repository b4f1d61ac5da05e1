"""What `macrec append` prints: how new items got their IDs, which old items they are like, and where they rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.split import PADDING
from macrec.quantization.appended import nearest_by_codes, shared_prefixes
from macrec.workbench.append import Appended

SHOWN, NEAR, PLACES = 3, 3, 50
"""New items whose neighbors are listed, neighbors of each, and places of a ranking that are looked at."""


def append_report(appended: Appended, users: int = 3) -> str:
    """The lines of the report, with the rankings of so many users."""
    known, new = appended.data.num_items - appended.new, appended.new
    version = appended.catalog.manifest.newest
    if not new:
        return f"No new items: {appended.folder} stays at version {version.number}."
    count = "1 new item" if new == 1 else f"{new:,} new items"
    lines = [f"{count} behind {known:,}, version {version.number} in {appended.folder}", ""]
    return "\n".join([*lines, *ids_lines(appended), "", *neighbor_lines(appended), "", *user_lines(appended, users),
                      *file_lines(appended)])  # fmt: skip


def ids_lines(appended: Appended) -> list[str]:
    """By system and modality: who has it, who moved, and how many first codes are those of an old item."""
    lines = []
    for system, moved in (appended.moved or {}).items():
        for name, away in moved.items():
            table, books = appended.catalog.tables[system][name], codebooks(appended, system)
            present = appended.catalog.vectors[name].present[-appended.new :]
            shared = shared_prefixes(table, appended.new, len(books[name]))
            absent = int((~present).sum())
            here, gone = int((~away).sum()), int(away.sum())
            said = f"{system}, {name}: {here:,} have the codes nearest to them, {gone:,} moved to free ones; "
            said += f"{shared.mean():.1f} of {len(books[name])} codes shared with an old item on average"
            lines.append(said + (f"; {absent:,} have no {name}: their ID says nothing" if absent else ""))
    return lines


def neighbor_lines(appended: Appended) -> list[str]:
    """The old items with the nearest codes, for the first new items, by the first system."""
    system = next(iter(appended.systems))
    first = appended.data.num_items - appended.new
    shown = min(SHOWN, appended.new)
    tables = {
        name: replace(table, codes=table.codes[: first + shown], item_ids=table.item_ids[: first + shown])
        for name, table in appended.catalog.tables[system].items()
    }
    present = {name: appended.catalog.vectors[name].present[-appended.new :][:shown] for name in tables}
    near, shared = nearest_by_codes(tables, codebooks(appended, system), present, min(NEAR, first))
    lines = [f"Nearest old items by the codes of {system} (codes shared):"]
    for row in range(shown):
        others = ", ".join(
            f"{title(appended.data, int(item))} ({same})" for item, same in zip(near[row], shared[row], strict=True)
        )
        lines.append(f"  {title(appended.data, first + row)}: {others}")
    if appended.new > SHOWN:
        lines.append(f"  … and {appended.new - SHOWN:,} more")
    return lines


def user_lines(appended: Appended, users: int) -> list[str]:
    """Where new items stand in the rankings of a few users with a test target, drawn at random."""
    test, known = appended.split.test, appended.data.num_items - appended.new
    if not users or not len(test):
        return []
    rows = np.sort(np.random.default_rng(0).permutation(len(test))[:users])
    samples, lines = test.take(rows), [f"New items among the first {PLACES} places:"]
    for name, system in appended.systems.items():
        ranking = system.recommend(samples, PLACES, mask_seen=True)
        for user, items in zip(samples.user, ranking.items, strict=True):
            places = np.flatnonzero(items >= known)
            said = f"{len(places)} of {int((items != PADDING).sum())}"
            if len(places):
                said += f", the first at place {places[0] + 1}: {title(appended.data, int(items[places[0]]))}"
            lines.append(f"  {name}, user {appended.data.user_ids[int(user)]}: {said}")
    return [*lines, ""]


def file_lines(appended: Appended) -> list[str]:
    """What lies where."""
    version = appended.catalog.manifest.newest
    return ["Files:", *(f"  {appended.folder / name}" for name in ("manifest.json", *version.files))]


def codebooks(appended: Appended, system: str) -> dict[str, list[NDArray[np.float32]]]:
    """The codebooks of a system by modality."""
    return {name: one.codebooks()[name] for name, one in appended.trained.tokenizers[system].items()}


def title(data: Dataset, row: int) -> str:
    """An item by its title, or its id."""
    return data.items["title"][row][:60] or str(data.items["item_id"][row])
