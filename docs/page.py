"""A table in Markdown, for the scripts that write pages."""

import polars as pl


def markdown(table: pl.DataFrame) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
