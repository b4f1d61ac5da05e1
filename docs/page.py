"""What the scripts that write pages share: tables in Markdown, what a paired interval says, what a run recorded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl


def markdown(table: pl.DataFrame) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(found: Mapping[str, float]) -> str:
    """Above, below, or neither, by the 95 % interval of a difference."""
    return "above" if found["low"] > 0 else "below" if found["high"] < 0 else "not clearly different"


def interval(found: Mapping[str, float]) -> str:
    """A difference and its interval: "+0.0210 [+0.0100, +0.0320]"."""
    return f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def recorded_in(folder: Path) -> tuple[dict[str, Any], str]:
    """What notebook 08 recorded in a run, and the commit that it ran at."""
    run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    made = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return run["08_evaluation"], made["environment"].get("commit", "")[:7] or "an unknown commit"
