"""The health of codes as the named numbers of a training's events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from macrec.quantization.health import codebook_health
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import Usage


def measured_health(tables: Mapping[str, SemanticIds]) -> tuple[dict[str, float], Usage]:
    """Conflict rate, dead codes, and per level utilization and perplexity of every modality's IDs, as an event names
    them; and the items per code `[K]` of every level."""
    measured: dict[str, float] = {}
    usage: Usage = {}
    for name, ids in tables.items():
        health = codebook_health(ids)
        measured[f"conflict_rate/{name}"] = health.conflict_rate
        measured[f"dead_codes/{name}"] = float(sum(level.dead_codes for level in health.levels))
        for level, of_level in enumerate(health.levels):
            measured[f"utilization/{name}/{level}"] = of_level.utilization
            measured[f"perplexity/{name}/{level}"] = of_level.perplexity
        columns = zip(ids.codes.T, ids.sizes, strict=True)
        usage[name] = tuple(np.bincount(column, minlength=size) for column, size in columns)
    return measured, usage
