"""Cleaning item text: markup out, whitespace tidy, length bounded; `item_table` does it to the texts of all readers."""

from __future__ import annotations

import html
import re

import polars as pl

LONGEST = 2000
"""Characters kept of one field."""

LONGEST_RAW = 50 * LONGEST
"""Characters read of one field."""

_TAG = re.compile(r"</?\w+[^<>]*>")
_SCRIPT = re.compile(r"<(script|style)\b(?:(?!<(?:script|style)\b).)*?</\1\s*>", re.DOTALL | re.IGNORECASE)
# These stand inside a word or a sentence; every other tag (br, p, li, ...) also separates what is around it.
_INLINE_TAG = re.compile(r"</?(?:a|b|big|em|font|i|mark|s|small|span|strong|sub|sup|u)(?:\s[^<>]*)?>", re.IGNORECASE)
_AMPERSANDS = re.compile(r"&(?:amp;|#0*38;|#[xX]0*26;)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_STRING = re.compile(_QUOTED, re.DOTALL)
_LIST = re.compile(rf"\[(?:[\[\],\s]|{_QUOTED})*\]", re.DOTALL)
_MAY_CHANGE = r"[<&\x00-\x1f\x7f-\x9f]|\s\s|^\s|\s$|[\s--\x20]|^\[.*\]$"
"""What `clean_text` looks for, for polars: texts without it stay as they are."""


def clean_text(value: str | list[str] | None, published: bool = False) -> str:
    """Plain text of one field; a list is joined with spaces and None counts as absent.

    HTML entities are resolved (also repeated ones), tags (and scripts) removed, control characters and whitespace
    become single spaces; a list that was written as text ("['One.', 'Two']") is joined, "" stays "", and text longer
    than `LONGEST` characters is cut after a word. Clean text stays as it is. `published=True` is the cleaning that
    LC-Rec, MQL4GRec and MACRec share (specification 1.5, T16): it deletes quotes and line breaks, ends every text (an
    absent one, too) with one full stop and blanks text of `LONGEST` characters and more.

    >>> clean_text("A &amp; B <b>bold</b><br>new  line")
    'A & B bold new line'
    >>> clean_text("", published=True)
    '.'
    """
    parts = [value] if isinstance(value, str) else [part for part in value or [] if part]
    if published:
        return _official(parts)
    text, cut = " ".join(parts)[:LONGEST_RAW], ""
    while text != cut:
        while (plain := " ".join(_plain(text).split())) != text:
            text = plain
        text, cut = _shorten(text), text
    return text


def clean_column(column: pl.Series) -> pl.Series:
    """`clean_text` for a column of strings `[N]`, or of string lists `[N]` whose parts are joined; nulls become ""."""
    if column.dtype == pl.List(pl.String):
        column = column.list.eval(pl.element().filter(pl.element() != "")).list.join(" ", ignore_nulls=True)
    column = column.fill_null("")
    changed = column.str.contains(_MAY_CHANGE) | (column.str.len_chars() > LONGEST)
    if not changed.any():
        return column
    values = column.filter(changed).unique()
    cleaned = pl.Series(values.name, [clean_text(value) for value in values], pl.String)
    return column.replace(values, cleaned)


def clean_lists(column: pl.Series) -> pl.Series:
    """Clean every string of a column of string lists `[N]` on its own (categories); empty ones are dropped.

    A list that was written as one text ("['Beauty', 'Makeup']") is taken apart. A list ends before its first element
    that contains `</span>`: there the crawler of Amazon 2018 ran past the category line.
    """
    rows = pl.DataFrame({"row": pl.int_range(len(column), eager=True), "text": column})
    flat = rows.explode("text").drop_nulls()
    spilled = pl.col("text").str.contains("</span>", literal=True).cum_sum().over("row") > 0
    flat = flat.filter(~spilled)
    while (written := flat["text"].str.contains(r"^\s*\[") & flat["text"].str.contains(r"\]\s*$")).any():
        parts = [written_list(text) if listed else [text] for text, listed in zip(flat["text"], written, strict=True)]
        if all(len(part) == 1 and part[0] == text for part, text in zip(parts, flat["text"], strict=True)):
            break
        flat = flat.with_columns(pl.Series("text", parts, pl.List(pl.String))).explode("text").drop_nulls()
    flat = flat.with_columns(pl.col("text").map_batches(clean_column)).filter(pl.col("text") != "")
    lists = rows.select("row").join(flat.group_by("row", maintain_order=True).all(), on="row", how="left")
    return lists.sort("row")["text"].fill_null([]).alias(column.name)


def split_categories(column: pl.Series, bars: bool = True) -> pl.Series:
    """Categories that stand in one text `[N]` as lists: cut at "|" (with `bars`), else at commas no space follows.

    A comma followed by a space is part of a category ("Arts, Crafts & Sewing"); a list written as text stays whole, for
    `clean_lists`.
    """
    text = pl.col(column.name)
    cut = text.str.replace_all(r",+([^\s,])", "\x1f$1").str.split("\x1f")
    lists = (
        pl.when(text.str.contains(r"^\s*\[.*\]\s*$")).then(pl.concat_list(text))
        .when(text.str.contains("|", literal=True) & bars).then(text.str.split("|"))
        .otherwise(cut)
    )  # fmt: skip
    tidy = lists.list.eval(pl.element().str.strip_chars().filter(pl.element() != ""))
    return column.to_frame().select(tidy.fill_null([])).to_series()


def written_list(text: str) -> list[str]:
    """The texts of a list that Python or JSON wrote as text; any other text alone.

    >>> written_list("['Beauty', \\"Men's\\"]"), written_list("[REC]")
    (['Beauty', "Men's"], ['[REC]'])
    """
    tidy = text.strip()
    if not _LIST.fullmatch(tidy):
        return [text]
    return [re.sub(r"\\(.)", _unescaped, part[1:-1], flags=re.DOTALL) for part in _STRING.findall(tidy)]


def _unescaped(match: re.Match[str]) -> str:
    return " " if match[1] in "nrt" else match[1]


def _plain(text: str) -> str:
    """Take one layer of packing off: a list written as text, entities, markup."""
    if text.startswith("[") and text.endswith("]"):
        text = " ".join(written_list(text))
    if "&" in text:
        text = html.unescape(_AMPERSANDS.sub("&", text))
    if "<" in text:
        text = _TAG.sub(" ", _INLINE_TAG.sub("", _SCRIPT.sub(" ", text)))
    return _CONTROL.sub(" ", text)


def _shorten(text: str) -> str:
    """At most `LONGEST` characters, cut after a whole word where there is one."""
    if len(text) <= LONGEST:
        return text
    kept = text[: LONGEST + 1].rpartition(" ")[0]
    return kept.rstrip() if kept else text[:LONGEST]


def _official(parts: list[str]) -> str:
    """The cleaning of the published code, quirks included: its search for dots skips the first character."""
    text = " ".join(re.sub(r'["\n\r]', "", re.sub(r"</?\w+[^>]*>", "", html.unescape(part))).strip() for part in parts)
    text = text[:1] + text[1:].rstrip(".") + "."
    return text if len(text) < LONGEST else ""
