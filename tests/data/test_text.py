from __future__ import annotations

import html

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.text import LONGEST, clean_column, clean_lists, clean_text, split_categories

TEXTS = st.lists(
    st.sampled_from([*"ab .<>/&;\"\n\r'é[],\\\x00\xa0", "<b>", "</p>", "&amp;", "&lt;", "&#38;", "['", "']"]),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "."),
        (None, "."),
        ("Foo...", "Foo."),
        (".", ".."),
        ('A &amp; B <b>bold</b>\n"q"', "A & B boldq."),
        (["One.", "Two  "], "One. Two."),
        ("x" * 1999, ""),
        ("x" * 1998, "x" * 1998 + "."),
    ],
)
def test_compat_reproduces_the_official_cleaning(value, expected):
    assert clean_text(value, published=True) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        (None, ""),
        ([], ""),
        (["One.", "", "Two  "], "One. Two"),
        ('12" &amp; <B CLASS="x">bold</B>er', '12" & bolder'),
        ("one<br/>two<p>three", "one two three"),
        ("&lt;i&gt;x&lt;/i&gt;\t\n y", "x y"),
        ("a<script>if (1 < 2) { }</script>b", "a b"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("Foo...", "Foo..."),
        ("A &amp;amp;amp; B &#38;lt;i&#38;gt;c", "A & B c"),
        ("a\x00b\x07\x9dc\u2028d", "a b c d"),
        ("['One.', 'It\\'s \"two\".']", 'One. It\'s "two".'),
        ('["A", "B\\n"]', "A B"),
        ("[REC]", "[REC]"),
        ("[1, 2]", "[1, 2]"),
        ("[]", ""),
    ],
)
def test_default_cleaning(value, expected):
    assert clean_text(value) == expected


def test_long_text_is_cut_after_a_word():
    text = "word " * 1000
    cleaned = clean_text(text)
    assert LONGEST - 5 < len(cleaned) <= LONGEST
    assert cleaned.split() == ["word"] * len(cleaned.split())
    assert clean_text("words " * 400) == " ".join(["words"] * 333)  # the 334th would be cut in its middle
    assert clean_text("x" * 3000) == "x" * LONGEST
    assert clean_text("x" * LONGEST + " y") == "x" * LONGEST


@given(TEXTS)
def test_clean_text_has_tidy_whitespace_and_stays_as_it_is(text):
    cleaned = clean_text(text)
    assert cleaned == " ".join(cleaned.split())
    assert clean_text(cleaned) == cleaned
    assert clean_text(html.escape(cleaned)) == cleaned


def test_hostile_markup_is_cleaned_in_the_time_its_length_warrants():
    for text in (
        "<script" * 20_000,
        "<a" * 60_000,
        "&amp" * 40_000,
        "&#38;#38;" * 15_000,
        "[" * 99_999 + "]",
        "['" * 50_000,
    ):
        assert len(clean_text(text)) <= LONGEST


@given(st.lists(st.none() | TEXTS, max_size=6))
def test_column_and_single_value_agree(values):
    column = pl.Series("t", values, pl.String)
    assert clean_column(column).to_list() == [clean_text(value) for value in values]


@given(st.lists(st.none() | st.lists(TEXTS, max_size=3), max_size=5))
def test_column_of_lists_and_single_list_agree(values):
    column = pl.Series("t", values, pl.List(pl.String))
    assert clean_column(column).to_list() == [clean_text(value) for value in values]


def test_lists_are_cleaned_and_end_where_the_crawler_spilled():
    column = pl.Series("c", [["A &amp; B", " ", None, "<b>x</b>"], None, [], ["q", "z</span>", "k"]])
    assert clean_lists(column).to_list() == [["A & B", "x"], [], [], ["q"]]


def test_lists_written_as_text_are_taken_apart():
    column = pl.Series("c", [["['Beauty', \"Men's\"]", "x"], ["[[\"a\"], ['b']]"], ["[]"], ["[a]", "['[\"c\"]']"]])
    assert clean_lists(column).to_list() == [["Beauty", "Men's", "x"], ["a", "b"], [], ["[a]", "c"]]


def test_categories_in_one_text():
    column = pl.Series("c", ["A|B, c | D", "A,B, c,,D", "['A','B']", "", None])
    expected = [["A", "B, c", "D"], ["A", "B, c", "D"], ["['A','B']"], [], []]
    assert split_categories(column).to_list() == expected
    assert split_categories(column, bars=False).to_list() == [["A|B, c | D"], *expected[1:]]
