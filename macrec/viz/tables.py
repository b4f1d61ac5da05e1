"""Small result tables that read well in a notebook and on an exported page."""

from __future__ import annotations

import html
import re

import polars as pl

from macrec.viz.theme import FONT, INK


def table_html(frame: pl.DataFrame, caption: str) -> str:
    """`frame` as an HTML table: numbers right-aligned, words left-aligned, everything escaped.

    Floats are written with four decimals; numbers that are formatted already (such as "1.2% ± 0.1%") stay as they are.
    """
    numeric = {name: is_numeric(frame[name]) for name in frame.columns}
    cell = "padding:3px 12px;border-bottom:1px solid #e5e5e5"

    def aligned(name: str) -> str:
        return f"{cell};text-align:{'right' if numeric[name] else 'left'}"

    head = "".join(
        f'<th scope="col" style="{aligned(name)};vertical-align:bottom">{html.escape(name)}</th>'
        for name in frame.columns
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{aligned(name)}">{html.escape(written(value))}</td>' for name, value in row.items())
        + "</tr>"
        for row in frame.iter_rows(named=True)
    )
    return (
        '<div style="overflow-x:auto">'
        f'<table style="border-collapse:collapse;background:#fff;color:{INK};font:13px {html.escape(FONT)};'
        f'font-variant-numeric:tabular-nums"><caption style="caption-side:bottom;text-align:left;padding:6px 0;'
        f'color:#555">{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def written(value: object) -> str:
    """One cell."""
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def is_numeric(column: pl.Series) -> bool:
    """Whether a column holds numbers, or texts that each begin like one ("0.35 ± 0.02", "+3 %", a dash)."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String or not column.len():
        return False
    number = re.compile(r"(–$|[-+]?[\d,]+(\.\d+)?(e[-+]?\d+)?\s*(%|±|★|$))")
    return all(number.match(text) for text in column.drop_nulls())
