"""A table shows its frame and nothing else."""

import re
import xml.etree.ElementTree as ElementTree

import polars as pl
import pytest

from macrec.viz import table_html
from macrec.viz.tables import is_numeric

FRAME = pl.DataFrame(
    {
        "variant": ["<b>plain</b>", 'a & "b"'],
        "rate": ["1.2% ± 0.1%", "–"],
        "n": [1, None],
        "share": [0.25, -1.5],
        "gain": ["+0.5", "-3"],
    }
)


def cells(page, tag):
    """Texts and alignments of all cells of a kind, by an XML parser: the table is well-formed."""
    found = ElementTree.fromstring(page).iter(tag)
    return [(cell.text, re.search(r"text-align:(\w+)", cell.get("style"))[1]) for cell in found]


def test_every_value_is_shown_escaped_and_aligned_by_kind():
    page = table_html(FRAME, "caption")
    assert cells(page, "th") == [("variant", "left"), *((name, "right") for name in ("rate", "n", "share", "gain"))]
    assert cells(page, "td") == [
        ("<b>plain</b>", "left"), ("1.2% ± 0.1%", "right"), ("1", "right"), ("0.2500", "right"), ("+0.5", "right"),
        ('a & "b"', "left"), ("–", "right"), ("–", "right"), ("-1.5000", "right"), ("-3", "right"),
    ]  # fmt: skip
    assert "<b>" not in page and "&lt;b&gt;plain" in page


def test_the_caption_and_the_names_of_columns_are_escaped():
    page = table_html(pl.DataFrame({"<i>": [1]}), "a < b & <script>")
    root = ElementTree.fromstring(page)
    assert root.find(".//caption").text == "a < b & <script>"
    assert root.find(".//th").text == "<i>"
    assert "<script>" not in page and "<i>" not in page


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        ([1, 2], True),
        ([0.5, None], True),
        (["1.0%", "–", None], True),
        (["-0.3", "+4", "1,000"], True),
        (["1.0", "text"], False),
        (["", "1"], False),
        ([True, False], False),
        ([[1], [2]], False),
        (pl.Series([], dtype=pl.String), False),
    ],
)
def test_numbers_are_told_from_words(values, numeric):
    assert is_numeric(pl.Series("x", values)) == numeric


def test_a_table_without_rows_has_its_head():
    page = table_html(FRAME.clear(), "none")
    assert len(cells(page, "th")) == 5 and cells(page, "td") == []
