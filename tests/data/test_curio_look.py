"""What the items of the built-in catalog look and read like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from macrec.data.curio import words
from macrec.data.curio.patterns import PAINTERS
from macrec.data.curio.pictures import COLORS, FLOOR, draw, silhouette
from macrec.data.curio.silhouettes import SILHOUETTES
from macrec.data.curio.vocabulary import (
    BRANDS,
    CATEGORIES,
    MATERIALS,
    MATERIALS_OF,
    PALETTES,
    PATTERNS,
    PURPOSES,
    SHAPES,
    VARIANTS,
)
from macrec.data.curio.words import choice, describe
from macrec.errors import DataError

PICTURE_WORDS = frozenset(
    re.findall(
        r"[a-z]+",
        """red green blue yellow orange purple violet pink brown black white gray grey gold golden
        silver cream ivory navy teal turquoise beige tan olive crimson scarlet lilac lavender maroon
        amber rose peach sand color colors colored colour hue shade pale dark bright tint

        oval circular rectangular rectangle circle slim slender narrow broad conical cylindrical
        curved fluted ribbed rounded squared cubic shape shaped

        pattern patterned print printed striped stripe dotted dot checked check gingham wavy wave
        banded band chevron speckled polka""",
    )
)

TEXT_FACTORS = {
    "category": CATEGORIES,
    "brand": BRANDS,
    "material": MATERIALS,
    "purpose": PURPOSES,
    "variant": VARIANTS,
}


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture, float)


def shop(size: int, seed: int = 0) -> pl.DataFrame:
    """A factor table in which every factor is drawn independently."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.integers(len(levels), size=size) for name, levels in TEXT_FACTORS.items()}
    return pl.DataFrame({**columns, "wording": rng.integers(-(2**62), 2**62, size=size)})


def tokens(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


# --- Pictures --------------------------------------------------------------------------------------------------------


def test_every_level_has_its_look() -> None:
    assert [silhouette.__name__ for silhouette in SILHOUETTES] == list(CATEGORIES)
    assert list(COLORS) == list(PALETTES)
    assert list(PAINTERS) == list(PATTERNS)


@pytest.mark.parametrize("size", [64, 96, 192, 256])
def test_a_picture_is_rgb_of_the_asked_size(size: int) -> None:
    picture = draw(3, 1, 2, 4, seed=5, size=size)
    assert picture.mode == "RGB"
    assert picture.size == (size, size)


def test_equal_arguments_give_equal_bytes_and_another_seed_a_sibling() -> None:
    first, again, sibling = (draw(1, 5, 1, 2, seed=seed) for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != sibling.tobytes()
    # Siblings have the same colors: their mean differs far less than that of any other palette.
    mean = [pixels(draw(1, 5, palette, 2, seed=7)).mean((0, 1)) for palette in range(len(PALETTES))]
    change = np.abs(pixels(sibling).mean((0, 1)) - mean[1]).sum()
    assert change < min(np.abs(mean[1] - other).sum() for i, other in enumerate(mean) if i != 1) / 3


@pytest.mark.parametrize(
    ("factor", "count"), [(0, len(CATEGORIES)), (1, len(SHAPES)), (2, len(PALETTES)), (3, len(PATTERNS))]
)
def test_every_two_levels_of_a_factor_look_different_at_equal_others(factor: int, count: int) -> None:
    for others in ([1, 0, 1, 2], [8, 3, 7, 0], [10, 5, 3, 6]):
        pictures = []
        for level in range(count):
            category, shape, palette, pattern = (level if i == factor else other for i, other in enumerate(others))
            pictures.append(pixels(draw(category, shape, palette, pattern, seed=1)))
        for one, other in combinations(pictures, 2):
            assert (np.abs(one - other).max(2) > 24).mean() > 0.02  # clearly other colors on 2 % of the picture


def test_palettes_differ_more_than_patterns_in_a_color_histogram() -> None:
    def histogram(palette: int, pattern: int) -> NDArray[np.float64]:
        picture = pixels(draw(4, 5, palette, pattern, seed=0)).reshape(-1, 3)
        return np.histogramdd(picture, bins=4, range=[(0, 256)] * 3)[0].ravel() / len(picture)

    seen = np.array([[histogram(p, q) for q in range(len(PATTERNS))] for p in range(len(PALETTES))])
    flat = seen.reshape(-1, seen.shape[-1])
    palette = np.repeat(np.arange(len(PALETTES)), len(PATTERNS))
    distance = np.abs(flat[:, None] - flat[None]).sum(-1)
    np.fill_diagonal(distance, np.inf)
    assert (palette[distance.argmin(1)] == palette).mean() > 0.9


def test_grounds_of_palettes_differ_in_lightness_or_clearly_in_color() -> None:
    grounds = [np.array([int(COLORS[name][0][i : i + 2], 16) for i in (1, 3, 5)], float) for name in PALETTES]
    for one, other in combinations(grounds, 2):
        assert np.linalg.norm(one - other) > 40


@pytest.mark.parametrize("category", range(len(CATEGORIES)))
def test_the_object_lies_inside_the_frame_and_stands_on_the_floor(category: int) -> None:
    for shape in range(len(SHAPES)):
        for seed in range(12):
            mask = silhouette(category, shape, seed)
            left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
            assert min(left, top, 96 - right, 96 - bottom) >= 3
            assert abs(bottom / 96 - FLOOR) < 0.05
            assert 0.08 < (np.asarray(mask) > 127).mean() < 0.6


@pytest.mark.parametrize("category", range(len(CATEGORIES)))
def test_what_the_silhouette_covers_stands_out_from_the_background(category: int) -> None:
    for palette in range(len(PALETTES)):
        inside = np.asarray(silhouette(category, 2, 3)) > 250
        picture = pixels(draw(category, 2, palette, 0, seed=3))
        background = picture[:20].reshape(-1, 3).mean(0)
        assert np.abs(picture[inside] - background).max(1).mean() > 30


def test_a_larger_picture_shows_the_same() -> None:
    small, large = draw(6, 4, 5, 1, seed=2), draw(6, 4, 5, 1, seed=2, size=192)
    reduced = large.resize((96, 96), Image.Resampling.BOX)
    assert np.abs(pixels(small) - pixels(reduced)).mean() < 3


@pytest.mark.parametrize(
    ("levels", "name"),
    [((12, 0, 0, 0), "category"), ((0, -1, 0, 0), "shape"), ((0, 0, 8, 0), "palette"), ((0, 0, 0, -1), "pattern")],
)
def test_a_level_that_does_not_exist_is_refused(levels: tuple[int, int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be from 0 to"):
        draw(*levels, seed=0)


def test_a_picture_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        draw(0, 0, 0, 0, seed=0, size=8)


# --- Words -----------------------------------------------------------------------------------------------------------


def test_every_category_comes_in_four_to_six_materials() -> None:
    assert len(MATERIALS_OF) == len(CATEGORIES)
    for materials in MATERIALS_OF:
        assert 4 <= len(set(materials)) == len(materials) <= 6
    assert {material for materials in MATERIALS_OF for material in materials} == set(range(len(MATERIALS)))


def test_texts_come_in_the_order_and_with_the_columns_of_the_contract() -> None:
    table = shop(500)
    texts = describe(table)
    assert texts.schema == {
        "title": pl.String,
        "brand": pl.String,
        "categories": pl.List(pl.String),
        "description": pl.String,
    }
    assert texts["brand"].to_list() == [BRANDS[level] for level in table["brand"]]
    assert texts["categories"].to_list() == [list(words.PATHS[CATEGORIES[level]]) for level in table["category"]]
    assert describe(table.clear()).height == 0


def test_a_row_reads_the_same_in_any_order_and_company() -> None:
    table = shop(400)
    shuffled = np.random.default_rng(1).permutation(400)[:150]
    assert describe(table[shuffled]).equals(describe(table)[shuffled])


def test_a_variant_repeats_its_original_but_for_the_label() -> None:
    table = shop(300).with_columns(variant=pl.lit(0))
    originals = describe(table)
    for variant in range(1, len(VARIANTS)):
        texts = describe(table.with_columns(variant=pl.lit(variant)))
        assert texts.drop("title").equals(originals.drop("title"))
        assert texts["title"].to_list() == [f"{title}, {VARIANTS[variant]}" for title in originals["title"]]


def test_texts_name_every_factor_they_tell() -> None:
    table = shop(3_000)
    texts = describe(table)
    told = zip(
        *(texts[name] for name in ("title", "description")), *(table[name] for name in TEXT_FACTORS), strict=True
    )
    for title, description, category, brand, material, purpose, _ in told:
        assert title.startswith(BRANDS[brand] + " ")
        assert any(noun in title for noun in words.NOUNS[CATEGORIES[category]])
        assert any(noun.lower() in description for noun in words.NOUNS[CATEGORIES[category]])
        assert any(phrase in title for phrase in words.MATERIAL_TITLES[MATERIALS[material]])
        assert any(phrase in description for phrase in words.MATERIAL_PHRASES[MATERIALS[material]])
        assert any(phrase in description for phrase in words.PURPOSE_PHRASES[PURPOSES[purpose]])
        assert not re.search(r"[{}]|\s\s|\s$|\.\.", title + description)


def test_every_wording_and_template_is_used() -> None:
    texts = describe(shop(20_000))
    titles, descriptions = "\n".join(texts["title"]), "\n".join(texts["description"])
    for wordings in (words.MATERIAL_TITLES, words.NOUNS):
        assert all(f" {phrase}" in titles for phrases in wordings.values() for phrase in phrases)
    assert all(f" for {phrase}" in titles for phrases in words.PURPOSE_TITLES.values() for phrase in phrases)
    for wordings in (words.MATERIAL_PHRASES, words.PURPOSE_PHRASES):
        assert all(f" {phrase}" in descriptions for phrases in wordings.values() for phrase in phrases)
    for template in words.OPENINGS:
        assert re.search(re.sub(r"\\{\w+\\}", "[^.?:\n]+", re.escape(template)), descriptions)
    assert all(closing in descriptions for closing in words.CLOSINGS)


def test_about_half_of_the_titles_name_the_purpose() -> None:
    table = shop(4_000)
    named = [
        any(title.split(", ")[0].endswith(f"for {phrase}") for phrase in words.PURPOSE_TITLES[PURPOSES[purpose]])
        for title, purpose in zip(describe(table)["title"], table["purpose"], strict=True)
    ]
    assert 0.46 < np.mean(named) < 0.54


@pytest.mark.parametrize(
    ("levels", "wordings"),
    [
        (CATEGORIES, words.NOUNS),
        (MATERIALS, words.MATERIAL_TITLES),
        (MATERIALS, words.MATERIAL_PHRASES),
        (PURPOSES, words.PURPOSE_TITLES),
        (PURPOSES, words.PURPOSE_PHRASES),
    ],
)
def test_each_level_has_wordings_that_no_other_level_uses(
    levels: Sequence[str], wordings: Mapping[str, Sequence[str]]
) -> None:
    assert set(wordings) == set(levels)
    filler = {"the", "a", "an", "and", "on", "in", "at", "with", "to", "of", "from", "s"}
    for one, other in combinations(levels, 2):
        for phrase in wordings[one]:
            assert tokens(phrase) - filler
            for different in wordings[other]:
                assert not (tokens(phrase) & tokens(different)) - filler, (phrase, different)


def test_texts_hold_no_word_for_what_only_the_picture_shows() -> None:
    forbidden = {*PALETTES, *SHAPES, *PATTERNS, *PICTURE_WORDS}
    texts = describe(shop(20_000))
    seen: set[str] = set()
    for column in ("title", "brand", "description"):
        seen |= tokens(" ".join(texts[column].unique()))
    seen |= tokens(" ".join(texts["categories"].explode().unique()))
    assert len(seen) > 150
    assert not seen & forbidden


def test_templates_and_closings_say_nothing_about_factors() -> None:
    table = shop(20_000)
    texts = describe(table)
    for closing in words.CLOSINGS[1:]:
        has = texts["description"].str.ends_with(closing).to_numpy()
        for name in TEXT_FACTORS:
            share = [has[table[name].to_numpy() == level].mean() for level in range(len(TEXT_FACTORS[name]))]
            assert max(share) - min(share) < 0.08  # 1/8 on average; 800 rows of a brand have a deviation of 0.012


@settings(max_examples=50)
@given(st.integers(-(2**63), 2**63 - 200_000), st.integers(2, 9))
def test_choices_are_even_whatever_the_numbers_look_like(begin: int, count: int) -> None:
    chosen = choice(begin + np.arange(20_000, dtype=np.int64), "noun", count)
    assert np.abs(np.bincount(chosen, minlength=count) / 20_000 - 1 / count).max() < 0.02


def test_two_choices_for_the_same_row_are_independent() -> None:
    rows = np.arange(40_000, dtype=np.int64)
    pairs = choice(rows, "noun", 3) * 3 + choice(rows, "title noun", 3)
    assert np.abs(np.bincount(pairs, minlength=9) / 40_000 - 1 / 9).max() < 0.01


@pytest.mark.parametrize("name", list(TEXT_FACTORS))
@pytest.mark.parametrize("wrong", [-1, 99])
def test_a_level_without_words_is_named_in_the_error(name: str, wrong: int) -> None:
    column = shop(5)[name].to_list()
    column[3] = wrong
    with pytest.raises(DataError, match=rf'row 4, field "{name}": there is no level {wrong}'):
        describe(shop(5).with_columns(pl.Series(name, column)))


def test_a_missing_or_broken_column_is_named_in_the_error() -> None:
    with pytest.raises(DataError, match='field "wording": the column is missing'):
        describe(shop(5).drop("wording"))
    with pytest.raises(DataError, match='field "brand": the column holds'):
        describe(shop(5).with_columns(brand=pl.lit("Alvenor")))


def test_brands_are_told_apart_by_their_first_three_letters() -> None:
    assert len({brand[:3].lower() for brand in BRANDS}) == len(BRANDS) == 24
