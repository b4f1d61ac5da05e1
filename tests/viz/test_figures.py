"""Every figure holds exactly the data it was given."""

import dataclasses
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.card import dataset_card
from macrec.data.curio import curio
from macrec.data.dataset import Dataset
from macrec.data.histories import Histories
from macrec.encoders import Embeddings
from macrec.encoders.layout import umap_layout
from macrec.encoders.neighbors import Agreement, agreement, neighborhoods
from macrec.evaluation.ceiling import ceiling
from macrec.viz import (
    agreement_figure,
    card_figure,
    ceiling_figure,
    factors_of,
    modality_map,
    purity_figure,
    purity_table,
    umap_layouts,
)
from macrec.viz.figures.data import popularity_curve
from macrec.viz.figures.embeddings import narrow, on_grid, top_levels


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def embeddings(data):
    """Text vectors that know only the purpose, image vectors that know only the palette; some items lack a picture."""
    rng = np.random.default_rng(0)

    def made(modality, factor, present):
        levels = data.items[factor].rank("dense").to_numpy() - 1
        values = np.eye(8, dtype=np.float32)[levels] + 0.1 * rng.standard_normal((data.num_items, 8), np.float32)
        return Embeddings.from_values(
            modality, "made", np.where(present[:, None], values, 0).astype(np.float32), present
        )

    return {
        "text": made("text", "purpose", np.ones(data.num_items, bool)),
        "image": made("image", "palette", data.images.present),
    }


def test_card_figure_counts_every_user_and_every_item(data):
    figure, sentence = card_figure(data, dataset_card(data))
    lengths, popularity, missing, duplicates = figure.data
    assert sum(lengths.y) == data.num_users and sum(x * y for x, y in zip(lengths.x, lengths.y, strict=True)) == (
        data.num_events
    )
    assert popularity.y[0] == data.histories.counts(data.num_items).max()
    assert len(missing.y) == 5 and len(duplicates.y) == 3
    assert f"{data.num_users:,} users" in sentence


@given(st.lists(st.integers(0, 50), min_size=1, max_size=400).filter(any))
def test_popularity_curve_falls_and_keeps_both_ends(counts):
    counts = np.array(counts)
    rank, popularity = popularity_curve(counts, points=20)
    assert (np.diff(popularity) <= 0).all() and len(rank) <= 20
    assert (rank[0], popularity[0]) == (1, counts.max())
    assert (rank[-1], popularity[-1]) == ((counts > 0).sum(), counts[counts > 0].min())


def test_ceiling_figure_names_the_oracle_only_where_it_is_known(data):
    rows = ceiling(data, max_users=50)
    figure, _ = ceiling_figure(rows)
    assert list(figure.data[0].y) == ["oracle", "text-only oracle", "image-only oracle", "popularity"]
    assert list(figure.data[0].x) == [row["HR@10"] for row in rows.values()]
    assert "Best reachable" in figure.layout.title.text
    figure, _ = ceiling_figure({"popularity": rows["popularity"]})
    assert "best reachable score is unknown" in figure.layout.title.text


@given(st.lists(st.sampled_from([*"abcdefghijkl", ""]), min_size=1, max_size=60))
def test_top_levels_keep_the_most_common(values):
    kept, level_of = top_levels(pl.Series(values))
    assert len(kept) <= 8 and "" not in kept
    for value, level in zip(values, level_of, strict=True):
        assert kept[level] == value if level < len(kept) else value not in kept
    counts = [values.count(level) for level in kept]
    rest = [values.count(value) for value in set(values) - set(kept) - {""}]
    assert counts == sorted(counts, reverse=True) and (not rest or max(rest) <= min(counts))


def test_map_shows_every_item_once_per_factor_and_modality(data, embeddings):
    layouts = {
        modality: (np.flatnonzero(found.present), np.random.default_rng(1).random((found.present.sum(), 2)))
        for modality, found in embeddings.items()
    }
    factors = factors_of(data)
    figure, _ = modality_map(layouts, factors)
    assert len({trace.name for trace in figure.data if trace.visible and trace.showlegend}) == 8
    for number, button in enumerate(figure.layout.updatemenus[0].buttons):
        visible = [trace for trace, on in zip(figure.data, button.args[0]["visible"], strict=True) if on]
        for axis, (rows, positions) in zip(("x", "x2"), layouts.values(), strict=True):
            traces = [trace for trace in visible if trace.xaxis == axis]
            shown = np.concatenate([trace.customdata for trace in traces])
            assert sorted(shown) == rows.tolist()
            x = np.concatenate([trace.x for trace in traces])
            x = x[np.argsort(shown)]
            scale = np.ptp(positions, axis=0).max() / 30_000  # one step of the grid
            np.testing.assert_allclose(x * scale, positions[:, 0] - positions[:, 0].min(), atol=scale)
        assert button.label == list(factors)[number]


def test_purity_tells_which_modality_knows_which_factor(data, embeddings):
    lists = neighborhoods(embeddings)
    table = purity_table(data, lists)
    value = {(row["factor"], row["modality"]): row["purity"] - row["chance"] for row in table.iter_rows(named=True)}
    assert value["purpose", "text"] > 0.7 and value["palette", "image"] > 0.7
    assert abs(value["purpose", "image"]) < 0.1 and abs(value["palette", "text"]) < 0.1
    figure, sentence = purity_figure(table)
    assert [trace.name for trace in figure.data] == ["text", "image", "chance"] and "%" in sentence
    agreed = agreement(lists)
    figure, _ = agreement_figure(agreed)
    assert sum(figure.data[0].y) == pytest.approx(1) and len(agreed.overlap) == data.images.present.sum()


def test_views_of_nothing_say_so(embeddings):
    figure, sentence = agreement_figure(agreement(neighborhoods({"text": embeddings["text"]})))
    assert not figure.data and "no item has both" in sentence
    figure, sentence = ceiling_figure({})
    assert not figure.data and "No user has 3 events" in sentence


def test_a_level_that_only_one_map_shows_is_in_the_legend_for_every_factor():
    layouts = {"text": (np.arange(4), np.eye(4, 2)), "image": (np.arange(2, 6), np.eye(4, 2))}
    factors = {name: pl.Series(["p", "p", "p", "q", "r", "q"]) for name in ("one", "two")}
    figure, _ = modality_map(layouts, factors)
    entries = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(entries) == ["p", "p", "q", "q", "r", "r"]


def test_maps_of_all_modalities_show_the_same_sample(embeddings, flat_umap):
    layouts = umap_layouts(embeddings, 0, max_points=30)
    text, image = layouts["text"][0], layouts["image"][0]
    assert len(text) == 30 and image.tolist() == [row for row in text if embeddings["image"].present[row]]
    assert layouts["text"][1].shape == (30, 2)
    assert umap_layouts(embeddings, 1, max_points=30)["text"][0].tolist() != text.tolist()


def test_layouts_are_kept_and_computed_again_only_when_something_changed(embeddings, tmp_path, monkeypatch):
    import umap

    calls = []

    class Flat:
        def __init__(self, **settings):
            calls.append(settings)

        def fit_transform(self, values):
            return values[:, :2] * len(calls)

    monkeypatch.setattr(umap, "UMAP", Flat)
    first = umap_layouts(embeddings, 0, tmp_path / "umap")
    again = umap_layouts(embeddings, 0, tmp_path / "umap")
    assert len(calls) == 2 and (first["image"][1] == again["image"][1]).all()
    assert first["image"][0].tolist() == np.flatnonzero(embeddings["image"].present).tolist()
    umap_layouts(embeddings, 1, tmp_path / "umap")
    assert len(calls) == 4


def test_a_long_tail_of_history_lengths_gets_a_log_axis_and_loses_no_user(data):
    lengths = [3] * 40 + [5, 8, 13, 40, 41, 700]
    histories = Histories.from_lists([[0] * length for length in lengths])
    tailed = Dataset("tailed", data.items, histories, data.user_ids.head(len(lengths)), data.images, "made")
    figure, _ = card_figure(tailed, dataset_card(tailed))
    edges, heights = np.asarray(figure.data[0].x), np.asarray(figure.data[0].y)
    users = heights[:-1] * np.diff(edges)
    assert figure.layout.xaxis.type == "log" and heights[-1] == 0
    np.testing.assert_allclose(users, [sum(a < n < b for n in lengths) for a, b in pairwise(edges)])
    assert users.sum() == pytest.approx(len(lengths)) and edges[0] < 3 and edges[-1] > 700
    assert "40 users with 3 events" in figure.data[0].text
    short, _ = card_figure(data, dataset_card(data))
    assert short.layout.xaxis.type is None and short.data[0].type == "bar"


def test_bars_of_the_card_figure_are_the_shares_of_the_card(data):
    card = dataset_card(data)
    figure, _ = card_figure(data, card)
    _, _, missing, duplicates = figure.data
    assert dict(zip(missing.y, missing.x, strict=True)) == card.missing
    named = dict(zip(duplicates.y, duplicates.x, strict=True))
    shares = (card.duplicate_texts, card.duplicate_images, card.near_duplicate_titles)
    assert tuple(named[name] for name in ("same text", "same picture", "near-same title")) == shares


def test_the_two_kinds_of_duplicates_are_not_mixed_up(data):
    card = dataclasses.replace(dataset_card(data), duplicate_texts=0.1, duplicate_images=0.2, near_duplicate_titles=0.3)
    duplicates = card_figure(data, card)[0].data[3]
    assert dict(zip(duplicates.y, duplicates.x, strict=True)) == {
        "same text": 0.1,
        "same picture": 0.2,
        "near-same title": 0.3,
    }


def test_purity_figure_draws_the_table_and_names_the_factor_furthest_above_chance():
    table = pl.DataFrame(
        {
            "factor": ["brand", "brand", "palette", "palette"],
            "modality": ["text", "image", "text", "image"],
            "purity": [0.5, 0.1, 0.12, 0.45],
            "chance": [0.3, 0.3, 0.1, 0.1],
        }
    )
    figure, sentence = purity_figure(table)
    text, image, chance = figure.data
    assert (list(text.y), list(text.x)) == (["brand", "palette"], [0.5, 0.12])
    assert (list(image.y), list(image.x)) == (["brand", "palette"], [0.1, 0.45])
    assert (list(chance.y), list(chance.x)) == (["brand", "palette"], [0.3, 0.1])
    assert "palette among image neighbors, 45% against 10%" in sentence


def test_agreement_figure_draws_shares_and_their_mean():
    figure, sentence = agreement_figure(Agreement(np.array([0, 0, 1, 3]), 0.25, 4))
    assert list(figure.data[0].x) == [0, 1, 2, 3, 4] and list(figure.data[0].y) == [0.5, 0.25, 0, 0.25, 0]
    assert "agree on 1.0 of 4" in figure.layout.title.text
    assert figure.layout.shapes[0].x0 == 0.25
    assert "1.00 are also" in sentence and "would share 0.25" in sentence


def test_row_numbers_keep_their_value_when_they_become_smaller():
    for rows in (np.array([0, 2**15 - 1]), np.array([0, 2**15]), np.array([999_999])):
        assert narrow(rows).tolist() == rows.tolist()
    assert narrow(np.array([5])).itemsize == 2


def test_the_grid_keeps_the_proportions_of_a_map():
    points = np.array([[-1, 5], [3, 5.5], [1, 6]], np.float32)
    assert on_grid(points).tolist() == [[0, 0], [30_000, 3_750], [15_000, 7_500]]
    assert on_grid(np.full((2, 2), 7, np.float32)).tolist() == [[0, 0], [0, 0]]


@pytest.fixture
def flat_umap(monkeypatch):
    """UMAP replaced by the first two columns; yields the settings and the number of rows of every call."""
    import umap

    calls = []

    class Flat:
        def __init__(self, **settings):
            self.settings = settings

        def fit_transform(self, values):
            calls.append((self.settings, len(values)))
            return values[:, :2] + len(calls)

    monkeypatch.setattr(umap, "UMAP", Flat)
    return calls


def test_a_layout_is_computed_again_when_a_value_or_the_number_of_points_changed(flat_umap, tmp_path):
    values = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    file = tmp_path / "umap.npz"
    umap_layout(values, 0, file)
    umap_layout(values, 0, file)
    assert len(flat_umap) == 1
    changed = values.copy()
    changed[7, 2] += 1
    umap_layout(changed, 0, file)
    umap_layout(changed[:30], 0, file)
    assert len(flat_umap) == 3 and [path.name for path in tmp_path.iterdir()] == ["umap.npz"]


def test_a_layout_is_by_cosine_and_repeatable(flat_umap):
    umap_layout(np.eye(20, 4, dtype=np.float32), 5)
    umap_layout(np.eye(9, 4, dtype=np.float32), 5)
    settings = [settings for settings, _ in flat_umap]
    assert [s["metric"] for s in settings] == ["cosine"] * 2 and [s["random_state"] for s in settings] == [5, 5]
    assert [s["n_neighbors"] for s in settings] == [15, 8]


def test_too_few_items_make_no_map():
    with pytest.raises(ValueError, match="at least 8 items, got 7"):
        umap_layout(np.eye(7, dtype=np.float32), 0)
