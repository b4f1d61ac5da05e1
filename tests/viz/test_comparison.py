"""A comparison says what its rows say: means, deviations, and no more than they support."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.viz import comparison_figure, comparison_table, verdict, verdicts
from macrec.viz.figures.comparison import CODEBOOK_MEASURES, spread, ticks, wrapped


def row(variant, seed, modality, conflict_rate, information=0.5, reconstruction=0.25):
    return {
        "variant": variant, "seed": seed, "modality": modality, "conflict_rate": conflict_rate, "utilization": 0.5,
        "perplexity": 12.34, "information": information, "reconstruction": reconstruction,
    }  # fmt: skip


@pytest.fixture
def rows():
    """Three seeds: text conflicts are lower with B every time, image conflicts in two of three."""
    a = [row("A", seed, "text", rate) for seed, rate in enumerate((0.10, 0.12, 0.14))]
    a += [row("A", seed, "image", rate) for seed, rate in enumerate((0.20, 0.20, 0.20))]
    b = [row("B", seed, "text", rate, 0.7, 0.3) for seed, rate in enumerate((0.09, 0.11, 0.13))]
    b += [row("B", seed, "image", rate, 0.7, 0.2) for seed, rate in enumerate((0.19, 0.21, 0.18))]
    return pl.DataFrame(a + b)


def test_the_table_has_mean_and_sample_deviation_of_every_variant_and_modality(rows):
    table = comparison_table(rows)
    assert table.select("variant", "modality").rows() == [("A", "text"), ("A", "image"), ("B", "text"), ("B", "image")]
    assert table.columns == ["variant", "modality", *(measure.title for measure in CODEBOOK_MEASURES)]
    assert table["conflict rate"].to_list() == [
        "12.00% ± 2.00%",
        "20.00% ± 0.00%",
        "11.00% ± 2.00%",
        f"{np.mean([0.19, 0.21, 0.18]):.2%} ± {np.std([0.19, 0.21, 0.18], ddof=1):.2%}",
    ]
    assert table["perplexity"][0] == "12.3 ± 0.0" and table["utilization"][0] == "50.0% ± 0.0%"


def test_one_seed_has_no_deviation_and_one_modality_no_information():
    alone = pl.DataFrame([row("A", 0, "text", 0.125, float("nan"))])
    assert comparison_table(alone).rows() == [("A", "text", "12.50%", "50.0%", "12.3", "0.250")]
    some = pl.DataFrame([row("A", 0, "text", 0.125), row("B", 0, "text", 0.125, float("nan"))])
    assert comparison_table(some).rows()[1] == ("B", "text", "12.50%", "50.0%", "12.3", "–", "0.250")
    assert spread(pl.Series([None, 0.5, float("nan")], dtype=pl.Float64), ".2f") == "0.50"
    assert spread(pl.Series([None, None]), ".2f") == "–"
    assert spread(pl.Series([-1e-16]), ".2f") == "0.00" and spread(pl.Series([-1e-16] * 2), ".2f") == "0.00 ± 0.00"


@settings(max_examples=200)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=5, unique=True), st.sampled_from([".2%", ".1f"]))
def test_an_axis_has_two_or_three_labels_that_tell_where_they_stand(values, form):
    places, labels = ticks(pl.Series(values), form)
    low, high = min(values), max(values)
    if high - low < 1e-6 * high:  # alike to six digits: the labels would be long
        return
    assert 2 <= len(places) <= 3 and len(set(labels)) == len(labels)
    room = 0.051 * (high - low)
    assert all(low - room <= place <= high + room for place in places)
    said = [float(label.removesuffix("%")) / (100 if form == ".2%" else 1) for label in labels]
    np.testing.assert_allclose(said, places, rtol=1e-6, atol=1e-9 * (high - low))


def test_axes_of_one_value_or_of_none_have_as_many_labels(rows):
    assert ticks(pl.Series([0.5, 0.5, float("nan")]), ".1%") == ([0.5], ["50.0%"])
    assert ticks(pl.Series([None, float("nan")], dtype=pl.Float64), ".1%") == ([], [])
    assert ticks(pl.Series([0.0004, 0.2]), ".2%") == ([0.0, 0.2], ["0%", "20%"])
    axes = list(comparison_figure(rows)[0].select_xaxes())
    assert axes[1].ticktext == ("50.0%",) and axes[4].ticktext == ("0.2", "0.3")


@pytest.mark.parametrize("single", [False, True])
def test_the_figure_has_a_dot_per_row_and_a_tick_at_every_mean(rows, single):
    if single:
        rows = rows.filter(pl.col("modality") == "text").with_columns(information=pl.lit(float("nan")))
    figure, sentence = comparison_figure(rows)
    names, modalities = ["A", "B"], rows["modality"].unique(maintain_order=True).to_list()
    measures = [measure for measure in CODEBOOK_MEASURES if not single or measure.column != "information"]
    assert len(figure.data) == len(measures) * len(modalities) * 2
    assert figure.layout.yaxis.ticktext == ("A", "B")
    heights = set()
    traces = iter(figure.data)
    for measure in measures:
        for modality in modalities:
            dots, ticks = next(traces), next(traces)
            part = rows.filter(pl.col("modality") == modality)
            np.testing.assert_array_equal(dots.x, part[measure.column])
            assert [tuple(about) for about in dots.customdata] == part.select("variant", "seed").rows()
            # A dot stands in the row of its variant, and the mean where its dots are.
            assert [names[round(y)] for y in dots.y] == part["variant"].to_list()
            means = [part.filter(pl.col("variant") == name)[measure.column].mean() for name in names]
            np.testing.assert_allclose(ticks.x, means)
            assert set(ticks.y) == set(dots.y)
            heights |= set(ticks.y)
    assert len(heights) == 2 * len(modalities)
    assert [trace.name for trace in figure.data if trace.showlegend] == modalities
    assert ("information" in sentence) is not single
    assert sentence.startswith("2 ways to train codebooks, 3 seeds each (dots; ticks are means), compared by conflict")


def test_the_sentence_of_one_seed_speaks_of_one(rows):
    assert "2 ways to train codebooks, 1 seed each" in comparison_figure(rows.filter(pl.col("seed") == 0))[1]


def test_the_verdict_is_lower_only_where_every_seed_is(rows):
    assert verdict(rows, "B", "A") == (
        "Conflict rate of B compared with A. text: lower from all 3 seeds, 11.00% against 12.00%; "
        "image: no clear difference (lower in 2, higher in 1 of 3 seeds), 19.33% against 20.00%."
    )
    assert "text: higher from all 3 seeds, 12.00% against 11.00%" in verdict(rows, "A", "B")
    assert "text: the same from all 3 seeds" in verdict(rows, "A", "A")


def test_the_verdict_pairs_seeds_whatever_their_order(rows):
    shuffled = rows.filter(pl.col("variant") == "A").reverse()
    again = pl.concat([rows.filter(pl.col("variant") == "B"), shuffled])
    assert verdict(again, "B", "A") == verdict(rows, "B", "A")


def test_the_verdict_writes_a_measure_as_the_table_does(rows):
    assert verdict(rows, "B", "A", "reconstruction") == (
        "Reconstruction error of B compared with A. text: higher from all 3 seeds, 0.300 against 0.250; "
        "image: lower from all 3 seeds, 0.200 against 0.250."
    )


def test_the_verdict_of_what_was_not_measured_says_so(rows):
    nothing = "{} and A cannot be compared: they were not both measured."
    assert verdict(rows, "C", "A") == nothing.format("C")
    assert verdicts(rows, ["C", "B"], "A") == verdict(rows, "B", "A")
    assert verdicts(rows, ["B", "A"], "A").splitlines() == [verdict(rows, "B", "A"), verdict(rows, "A", "A")]
    assert verdicts(rows, ["C"], "A") == verdict(rows, "C", "A")
    unknown = rows.with_columns(information=pl.lit(float("nan")))
    assert verdict(unknown, "B", "A", "information") == nothing.format("B")
    interrupted = rows.filter((pl.col("variant") == "A") | (pl.col("seed") == 0))
    assert "text: lower from this one seed, 9.00% against 10.00%" in verdict(interrupted, "B", "A")


def test_titles_are_wrapped_between_words():
    title = "information on the other modality (nats)"
    assert wrapped(title).replace("<br>", " ") == title
    assert max(map(len, wrapped(title).split("<br>"))) <= 20
    assert wrapped("perplexity") == "perplexity"
