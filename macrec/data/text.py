"""Cleaning item text: markup out, whitespace tidy, length bounded."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import polars as pl

LONGEST = 2000
"""Characters kept of one field."""

_TAG = re.compile(r"</?\w+[^>]*>")
_SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
# These stand inside a word or a sentence; every other tag (br, p, li, ...) also separates what is around it.
_INLINE_TAG = re.compile(r"</?(?:a|b|big|em|font|i|mark|s|small|span|strong|sub|sup|u)(?:\s[^>]*)?>", re.IGNORECASE)


def clean_text(value: str | list[str] | None, compat: bool = False) -> str:
    """Plain text of one field; a list is joined with spaces and None counts as absent.

    HTML entities are resolved, tags (and scripts) removed, whitespace collapsed; "" stays "", and text longer than
    `LONGEST` characters is cut after a word. `compat=True` is the cleaning that LC-Rec, MQL4GRec and MACRec
    share (specification 1.5, T16): it deletes quotes and line breaks without a trace, ends every text (an absent one,
    too) with one full stop and blanks text of `LONGEST` characters and more.

    >>> clean_text("A &amp; B <b>bold</b><br>new  line")
    'A & B bold new line'
    >>> clean_text("", compat=True)
    '.'
    """
    parts = [value] if isinstance(value, str) else [part for part in value or [] if part]
    return _official(parts) if compat else _shorten(" ".join(_plain(" ".join(parts)).split()))


def clean_column(column: pl.Series) -> pl.Series:
    """`clean_text` for a column of strings `[N]`, or of string lists `[N]` whose parts are joined; nulls become ""."""
    if column.dtype == pl.List(pl.String):
        column = column.list.join(" ", ignore_nulls=True)
    return _of_each(column.fill_null(""), clean_text)


def clean_lists(column: pl.Series) -> pl.Series:
    """Clean every string of a column of string lists `[N]` on its own (categories); empty ones are dropped.

    A list ends before its first element that contains `</span>`: there the crawler of Amazon 2018 ran past the
    category line.
    """
    rows = pl.DataFrame({"row": pl.int_range(len(column), eager=True), "text": column})
    flat = rows.explode("text").drop_nulls()
    spilled = pl.col("text").str.contains("</span>", literal=True).cum_sum().over("row") > 0
    flat = flat.filter(~spilled).with_columns(pl.col("text").map_batches(clean_column)).filter(pl.col("text") != "")
    lists = rows.select("row").join(flat.group_by("row", maintain_order=True).all(), on="row", how="left")
    return lists.sort("row")["text"].fill_null([]).alias(column.name)


def _of_each(column: pl.Series, function: Callable[[str], str]) -> pl.Series:
    """Apply a function of one string to a column, once per distinct value."""
    values = column.unique()
    cleaned = pl.Series(values.name, [function(value) for value in values], pl.String)
    return column.replace_strict(values, cleaned, return_dtype=pl.String)


def _plain(text: str) -> str:
    """Resolve entities and take markup out."""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", _INLINE_TAG.sub("", _SCRIPT.sub(" ", text)))
    return text


def _shorten(text: str) -> str:
    """At most `LONGEST` characters, cut after a whole word where there is one."""
    if len(text) <= LONGEST:
        return text
    kept = text[: LONGEST + 1].rpartition(" ")[0]
    return kept.rstrip() if kept else text[:LONGEST]


def _official(parts: list[str]) -> str:
    """The cleaning of the official code, quirks included: its search for dots never looks at the first character."""
    text = " ".join(re.sub(r'["\n\r]', "", _TAG.sub("", html.unescape(part))).strip() for part in parts)
    text = text[:1] + text[1:].rstrip(".") + "."
    return text if len(text) < LONGEST else ""
