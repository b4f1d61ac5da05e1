"""The figures of the audit show the tables they were given, and their sentences the numbers."""

import polars as pl
import pytest

from macrec.viz import gradient_figure, positives_figure, resolver_figure
from macrec.viz.theme import FUSED, MUTED

PAIR = ("published", "corrected")


def by_form(form, values, name="gradient"):
    return [{"form": form, "level": level, name: value} for level, value in enumerate(values)]


def test_gradients_are_bars_level_by_level_in_two_colors():
    table = pl.DataFrame(by_form("published", (0.5, 0.0, 0.001)) + by_form("corrected", (0.5, 0.25, 0.125)))
    figure, sentence = gradient_figure(table)
    assert [(bar.name, list(bar.y)) for bar in figure.data] == [
        ("published", [0.5, 0.0, 0.001]),
        ("corrected", [0.5, 0.25, 0.125]),
    ]
    assert all(list(bar.x) == ["level 0", "level 1", "level 2"] for bar in figure.data)
    assert [bar.text for bar in figure.data] == [("0.5", "0", "0.001"), ("0.5", "0.25", "0.125")]
    assert [bar.marker.color for bar in figure.data] == [MUTED, FUSED]
    assert figure.data[0].marker.pattern.shape and not figure.data[1].marker.pattern.shape
    # Level 0 works in both forms: the sentence is about the others.
    assert "at most 0.001 in the published form and at least 0.125 in the corrected one" in sentence


@pytest.fixture
def tables():
    found = pl.DataFrame(
        [
            {"form": form, "modality": modality, "share": share}
            for form, shares in zip(PAIR, ((0.0, 0.0), (0.9, 0.5)), strict=True)
            for modality, share in zip(("text", "image"), shares, strict=True)
        ]
    )
    losses = pl.DataFrame(
        [{"form": "published", "labels": labels, "loss": 2.0} for labels in ("true", "shuffled", "shuffled")]
        + [{"form": "corrected", "labels": "true", "loss": 1.0}]
        + [{"form": "corrected", "labels": "shuffled", "loss": loss} for loss in (1.5, 2.0)]
    )
    return found, losses


def test_positives_show_shares_and_every_loss(tables):
    figure, sentence = positives_figure(*tables)
    published, corrected, shuffled, true = figure.data
    assert (published.name, list(published.y), list(published.x)) == ("published", [0, 0], ["text", "image"])
    assert (corrected.name, list(corrected.y), list(corrected.text)) == ("corrected", [0.9, 0.5], ["90%", "50%"])
    assert list(zip(true.x, true.y, strict=True)) == [("published", 2.0), ("corrected", 1.0)]
    assert list(shuffled.x) == ["published"] * 2 + ["corrected"] * 2
    assert list(shuffled.y) == [2.0, 2.0, 1.5, 2.0]
    assert shuffled.marker.symbol != true.marker.symbol
    assert "for 0% of the anchors, the corrected one for 70%" in sentence
    assert "changes the published loss by 0 and the corrected one by 0.75" in sentence


def test_resolvers_have_a_bar_for_what_is_left_and_one_for_what_it_cost():
    table = pl.DataFrame(
        {
            "form": ["published, NumPy 2", "published, as meant", "least distortion"],
            "left": [1234, 2, 0],
            "moved": [5, 6, 7],
            "added": [0.5, 0.25, 0.125],
        }
    )
    figure, sentence = resolver_figure(table)
    assert len(figure.data) == 6
    assert [bar.y[0] for bar in figure.data] == [1234, 0.5, 2, 0.25, 0, 0.125]
    assert [bar.text[0] for bar in figure.data] == ["1,234", "0.5", "2", "0.25", "0", "0.12"]
    assert {bar.xaxis for bar in figure.data[::2]} != {bar.xaxis for bar in figure.data[1::2]}
    # The two published forms share a color; hatching tells them apart, and least distortion has none.
    assert [bar.marker.pattern.shape for bar in figure.data[::2]] == ["/", "x", ""]
    assert sentence == (
        "published, NumPy 2: 1,234 items left in conflict, 0.5 added error; published, as meant: 2 items left in "
        "conflict, 0.25 added error; least distortion: 0 items left in conflict, 0.125 added error."
    )


def test_a_single_modality_leaves_the_contrastive_term_out_and_says_so():
    for figure, sentence in (gradient_figure(pl.DataFrame()), positives_figure(pl.DataFrame(), pl.DataFrame())):
        assert "one modality" in figure.layout.title.text and sentence.endswith("is left out.")
