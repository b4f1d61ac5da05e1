"""The leaves of semantic IDs in one table: who is alone in his, how prefixes branch, and what unique IDs took.

A leaf is a whole ID before conflicts are resolved.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from macrec.quantization.conflicts import ConflictReport
from macrec.quantization.health import codebook_health
from macrec.quantization.semantic_ids import SemanticIds

ABOUT_LEAVES = (
    "IDs before conflicts are resolved: items with an ID of their own, items per ID, and level by level the distinct "
    "prefixes, the perplexity and the share of codewords in use. Moved: items whose codes were changed so that all IDs "
    "differ, and the squared error that this added per item."
)
"""The caption of `leaf_table`."""


def leaf_table(tables: Mapping[str, SemanticIds], reports: Mapping[str, ConflictReport]) -> pl.DataFrame:
    """One row per modality; `reports` say what it took to have an ID per item. Columns as in `ABOUT_LEAVES`."""
    rows = []
    for name, ids in tables.items():
        health, report = codebook_health(ids), reports[name]
        rows.append(
            {
                "modality": name,
                "items": health.items,
                "alone": f"{health.alone:.1%}",
                "items per ID, mean": f"{health.mean_group:.2f}",
                "items per ID, most": health.largest_group,
                "prefixes": " · ".join(f"{level.prefixes:,}" for level in health.levels),
                "perplexity": " · ".join(f"{level.perplexity:.0f}" for level in health.levels),
                "in use": " · ".join(f"{level.utilization:.0%}" for level in health.levels),
                "moved": report.moved,
                "added error": f"{report.added_distortion:.4f}",
            }
        )
    return pl.DataFrame(rows)


def leaf_table_of(leaves: Mapping[str, tuple[SemanticIds, ConflictReport]]) -> pl.DataFrame:
    """`leaf_table` of what `macrec.tokenizers.ids.Ids.leaves` gives."""
    ids = {name: found for name, (found, _) in leaves.items()}
    return leaf_table(ids, {name: report for name, (_, report) in leaves.items()})
