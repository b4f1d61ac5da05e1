"""The pictures of the alignment hold exactly the states and measures they were given."""

import numpy as np
import plotly.graph_objects as go
import pytest

from macrec.data.curio import curio
from macrec.evaluation.alignment import alignment_measures, pair_distances
from macrec.viz import Gallery, theme
from macrec.viz.figures.alignment import alignment_map, distance_figure, retrieval_figure
from macrec.viz.theme import IMAGE, TEXT


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def moments(data):
    """States that begin unrelated and end nearly equal."""
    rng = np.random.default_rng(0)
    text, image = rng.standard_normal((2, data.num_items, 6)).astype(np.float32)
    return {
        label: {"text": text, "image": share * text + (1 - share) * image}
        for label, share in (("before", 0.0), ("at 10%", 0.4), ("after", 0.95))
    }


@pytest.fixture
def flat_umap(monkeypatch):
    """UMAP replaced by the first two columns; yields the values of every call."""
    import umap

    calls = []

    class Flat:
        def __init__(self, **settings):
            assert settings["metric"] == "cosine"

        def fit_transform(self, values):
            calls.append(values)
            return values[:, :2]

    monkeypatch.setattr(umap, "UMAP", Flat)
    return calls


@pytest.mark.slow
def test_every_view_places_both_states_of_every_item_and_joins_them(data, moments, flat_umap, tmp_path):
    gallery = Gallery(data, np.arange(5, 95))
    figure, sentence = alignment_map(moments, gallery, sample=60, joined=20, cache=tmp_path / "umap")
    assert len(figure.data) == 3 * 3 and len(flat_umap) == 3
    for place, states in enumerate(moments.values()):
        line, text, image = figure.data[3 * place : 3 * place + 3]
        assert (text.name, image.name) == ("text", "image")
        assert (text.marker.color, image.marker.color) == (TEXT, IMAGE) and text.marker.symbol != image.marker.symbol
        rows = np.asarray(text.customdata)
        assert len(set(rows)) == 60 and set(rows) <= set(gallery.rows)
        np.testing.assert_array_equal(rows, image.customdata)
        both = np.concatenate([states["text"][rows], states["image"][rows]])
        np.testing.assert_array_equal(flat_umap[place], both)
        low = both[:, :2].min(0)
        scale = np.ptp(both[:, :2], axis=0).max() / 30_000
        for trace, found in ((text, states["text"]), (image, states["image"])):
            placed = np.stack([trace.x, trace.y], 1) * scale + low
            np.testing.assert_allclose(placed, found[rows, :2], atol=scale)
        ends = np.stack([line.x, line.y], 1).reshape(20, 3, 2)
        assert np.isnan(ends[:, 2]).all()
        dots = {(x, y, *end) for x, y, *end in zip(text.x, text.y, image.x, image.y, strict=True)}
        joined = {tuple(map(float, pair.ravel())) for pair in ends[:, :2]}
        assert len(joined) == 20 and joined <= {tuple(map(float, dot)) for dot in dots}
    assert [trace.showlegend for trace in figure.data] == [True] * 3 + [False] * 6
    assert "60 items" in sentence and "20 of them" in sentence
    alignment_map(moments, gallery, sample=60, joined=20, cache=tmp_path / "umap")
    assert len(flat_umap) == 3  # read again
    alignment_map(moments, gallery, sample=60, seed=1, cache=tmp_path / "umap")
    assert len(flat_umap) == 6


def test_titles_of_the_views_tell_the_distances(data, moments, flat_umap):
    figure, sentence = alignment_map(moments, Gallery(data, np.arange(30)))
    for note, (label, states) in zip(figure.layout.annotations, moments.items(), strict=True):
        measures = alignment_measures(states["text"], states["image"])
        same, other = measures["distance/same"], measures["distance/other"]
        assert note.text == f"<b>{label}</b><br>same item {same:.2f} apart, others {other:.2f}"
        assert f"{label} {same:.2f} and {other:.2f}" in sentence


def test_four_moments_stand_two_by_two(data, moments, flat_umap):
    four = {"before": moments["before"], "at 5%": moments["before"]} | moments
    figure, _ = alignment_map(four, Gallery(data, np.arange(30)))
    assert len(figure.data) == 12
    tops = [figure.layout[f"yaxis{place or ''}"].domain[1] for place in ("", 2, 3, 4)]
    assert tops[0] == tops[1] > tops[2] == tops[3]


def test_distances_are_drawn_as_their_quantiles(moments):
    figure, sentence = distance_figure(moments, seed=3)
    for number, kind in enumerate(("same item", "random items")):
        thin, thick, mark = figure.data[3 * number : 3 * number + 3]
        assert mark.name == kind and list(mark.text) == list(moments)
        for place, states in enumerate(moments.values()):
            found = pair_distances(states["text"], states["image"], 3)[number]
            for bar, share in ((thin, 0.9), (thick, 0.5)):
                low, high = np.quantile(found, [0.5 - share / 2, 0.5 + share / 2])
                assert bar.x[place] - bar.error_x.arrayminus[place] == pytest.approx(low, abs=2e-5)
                assert bar.x[place] + bar.error_x.array[place] == pytest.approx(high, abs=2e-5)
            assert mark.x[place] == pytest.approx(np.median(found), abs=1e-5)
            assert f"{np.median(found):.2f}" in sentence
    assert (figure.data[2].y < figure.data[5].y).all()


def test_retrieval_shows_every_recall_beside_chance_and_the_reference(moments):
    measures = {label: alignment_measures(*states.values()) for label, states in moments.items()}
    plain = alignment_measures(*moments["before"].values())
    reference = {"before": plain, "at 10%": plain, "at 50%": plain, "after": plain}
    figure, sentence = retrieval_figure(measures, reference)
    order = list(figure.layout.xaxis.ticktext)
    assert order == ["before", "at 10%", "at 50%", "after"]
    items = len(moments["before"]["text"])
    for axis, k in (("x", 1), ("x2", 10)):
        traces = {trace.name: trace for trace in figure.data if trace.xaxis == axis}
        assert len(traces) == 5
        assert set(traces["chance"].y) == {k / items}
        for direction in ("text→image", "image→text"):
            for suffix, found in (("", measures), (", without alignment", reference)):
                trace = traces[direction + suffix]
                assert [order[x] for x in trace.x] == list(found) == list(trace.text)
                assert list(trace.y) == [values[f"recall@{k}/{direction}"] for values in found.values()]
                assert trace.line.dash == ("dash" if suffix else "solid")
            assert f"{direction} {measures['after'][f'recall@1/{direction}']:.1%}" in sentence
    assert "After, without alignment" in sentence
    assert len(retrieval_figure(measures)[0].data) == 2 * 3


def test_what_was_not_kept_is_not_drawn_and_one_modality_is_refused(data, moments):
    gallery = Gallery(data, np.arange(30))
    for figure, sentence in (alignment_map({}, gallery), distance_figure({}), retrieval_figure({})):
        assert not figure.data and "nothing to show" in sentence
    with pytest.raises(ValueError, match="two modalities"):
        distance_figure({"before": {"text": np.ones((3, 2))}})
    with pytest.raises(ValueError, match="two modalities"):
        alignment_map(moments | {"after": {"image": np.ones((90, 2)), "text": np.ones((90, 2))}}, gallery)


def test_shown_figures_carry_alternative_text_and_pictures_under_the_pointer(data, moments, flat_umap, monkeypatch):
    gallery = Gallery(data, np.arange(40))
    measures = {label: alignment_measures(*states.values()) for label, states in moments.items()}
    for made in (alignment_map(moments, gallery), distance_figure(moments), retrieval_figure(measures)):
        shown = []
        monkeypatch.setattr(theme, "display", lambda output, raw=False, shown=shown: shown.append(output))
        theme.show(*made, gallery)
        assert isinstance(made[0], go.Figure)
        assert 'role="figure" aria-label="' in shown[0]["text/html"]
        assert shown[0]["application/vnd.plotly.v1+json"]["layout"]["meta"] == {
            "macrec": made[0].layout.meta["macrec"], "alt": made[1], "gallery": gallery.key,
        }  # fmt: skip
        assert data.items["title"][0] in shown[1].data
