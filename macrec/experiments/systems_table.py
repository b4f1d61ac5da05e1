"""The registered systems as a table, and which of them a dataset will do for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from macrec.data.dataset import Dataset
from macrec.experiments.modalities import modalities_of
from macrec.systems.registry import FAMILIES, entries


def systems_table(data: Dataset | None = None) -> list[dict[str, Any]]:
    """One row per entry of the registry as plain values; "lacking": what `data` lacks for it, or nothing."""
    modalities = modalities_of(data) if data is not None else ()
    rows = []
    for entry in entries().values():
        row: dict[str, Any] = {
            "name": entry.name,
            "family": entry.family,
            "idea": entry.idea,
            "paper": entry.paper,
            "needs": [need.name for need in entry.needs],
            "terms": dict(entry.terms),
        }
        if data is not None:
            need = entry.unmet(data, modalities)
            row["lacking"] = need.name if need else ""
        rows.append(row)
    return rows


def systems_text(rows: Iterable[dict[str, Any]]) -> str:
    """The rows for a terminal, by family."""
    lines: list[str] = []
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            lines += ["", f"{family}: {FAMILIES[family]}"]
        about = {name: ", ".join(row[name]) for name in ("needs", "terms")} | {"paper": row["paper"]}
        if "lacking" in row:
            about["this dataset"] = f"lacks {row['lacking']}" if row["lacking"] else "will do"
        said = "; ".join(f"{name}: {value}" for name, value in about.items() if value)
        lines += [f"  {row['name']:18} {row['idea']}", *([f"{'':21}{said}"] if said else [])]
    return "\n".join(lines[1:])
