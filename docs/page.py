"""What the scripts that write pages share: tables in Markdown, and what a paired interval says."""

from collections.abc import Mapping

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
