"""Tables and figures of results say what their rows say."""

import numpy as np
import polars as pl
import pytest

from macrec.data.ranking import NOT_RANKED
from macrec.errors import DataError
from macrec.evaluation.evaluate import Evaluation
from macrec.evaluation.significance import Comparison, paired_bootstrap
from macrec.viz.figures.ablation import ablation_figure, ablation_table
from macrec.viz.figures.differences import differences_figure
from macrec.viz.figures.groups import groups_figure
from macrec.viz.figures.results import results_figure, results_table
from macrec.viz.figures.system_bars import system_bars
from macrec.viz.figures.system_rows import MARKS, system_looks
from macrec.viz.theme import CATEGORICAL, COLLABORATIVE, FUSED, IMAGE, MUTED, TEXT


@pytest.fixture
def rows():
    """Three seeds of two systems, one run of popularity, and the oracle, which has no coverage."""
    found = [("MACRec", seed, hr, 0.5, miss) for seed, (hr, miss) in enumerate(((0.10, 0.5), (0.12, 0.4), (0.14, 0.6)))]
    found += [("TIGER (text)", seed, hr, 0.75, 0.25) for seed, hr in enumerate((0.11, 0.11, 0.11))]
    found += [("popularity", 0, 0.05, 0.01, 0.9), ("oracle", 0, 0.4, None, 0.1)]
    return pl.DataFrame(found, schema=["system", "seed", "HR@10", "coverage@10", "missed@20"], orient="row")


def test_the_table_has_mean_and_deviation_and_a_star_at_the_best_learned_system(rows):
    table = results_table(rows, ["HR@10", "coverage@10", "missed@20"])
    assert table.columns == ["system", "HR@10", "coverage@10", "missed@20"]
    assert table.rows() == [
        ("MACRec", "0.1200 ± 0.0200 ★", "0.5000 ± 0.0000", "0.5000 ± 0.1000"),
        ("TIGER (text)", "0.1100 ± 0.0000", "0.7500 ± 0.0000 ★", "0.2500 ± 0.0000 ★"),  # to miss less is better
        ("popularity", "0.0500", "0.0100", "0.9000"),
        ("oracle", "0.4000", "–", "0.1000"),
    ]
    assert results_table(rows, ["HR@10"], marks=())["HR@10"][3] == "0.4000 ★"


def test_results_that_are_not_one_row_per_run_are_refused(rows):
    with pytest.raises(DataError, match="MACRec has seed 0 more than once"):
        results_table(pl.concat([rows, rows[:1]]), ["HR@10"])
    with pytest.raises(DataError, match='no metric "HR@7"; choose one of HR@10, coverage@10'):
        results_figure(rows, "HR@7")
    with pytest.raises(DataError, match='"seed"'):
        results_table(rows.drop("seed"), ["HR@10"])
    with pytest.raises(DataError, match='no system "MACRec 2"'):
        ablation_table(rows, "MACRec 2", ["HR@10"])


def dots_of(figure):
    """Values of the dots and of the tick in every row of a figure, by the row's label."""
    labels = figure.layout.yaxis.ticktext
    found = {}
    for trace in figure.data:
        (height,) = set(trace.y)
        tick = trace.marker.symbol == "line-ns-open"
        found.setdefault(labels[height], {})["mean" if tick else "dots"] = list(trace.x)
    return found


def test_the_figure_has_every_seed_and_the_mean_with_the_best_system_on_top(rows):
    figure, sentence = results_figure(rows, "HR@10")
    assert figure.layout.yaxis.ticktext == ("MACRec", "TIGER (text)", "popularity")
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # row 0 is on top
    found = dots_of(figure)
    assert found["MACRec"]["dots"] == [0.10, 0.12, 0.14] and found["MACRec"]["mean"] == [pytest.approx(0.12)]
    assert found["popularity"]["dots"] == found["popularity"]["mean"] == [0.05]
    assert "of 3 systems, 1 to 3 seeds each" in sentence and "to measure by: oracle 0.4000" in sentence
    assert results_figure(rows, "missed@20")[0].layout.yaxis.ticktext == ("TIGER (text)", "MACRec", "popularity")


def test_nobody_is_best_where_all_have_nothing_or_more_is_not_better():
    metrics = {"HR@10 cold": [0.0, 0.0], "exposure@10": [0.2, 0.1], "NDCG@10 cold": [0.0, 0.1]}
    table = results_table(pl.DataFrame({"system": ["a", "b"], "seed": [0, 0], **metrics}), list(metrics))
    stars = {name: ["★" in cell for cell in table[name]] for name in metrics}
    assert stars == {"HR@10 cold": [False, False], "exposure@10": [False, False], "NDCG@10 cold": [False, True]}


def test_marks_are_lines_whose_labels_do_not_overlap(rows):
    close = pl.DataFrame(
        [
            ("oracle", 0, 0.6),
            ("text-only oracle", 0, 0.300),
            ("image-only oracle", 0, 0.301),
            ("content-only oracle", 0, 0.5),
        ],
        ["system", "seed", "HR@10"],
        orient="row",
    )
    figure, _ = results_figure(pl.concat([rows.select(close.columns)[:7], close]), "HR@10")
    lines = {shape.x0: shape for shape in figure.layout.shapes}
    assert set(lines) == {0.6, 0.300, 0.301, 0.5} and all(line.x0 == line.x1 for line in lines.values())
    lanes = {label.text.rsplit(" ", 1)[0]: label.yshift for label in figure.layout.annotations}
    assert set(lanes) == set(MARKS)
    assert lanes["text-only oracle"] != lanes["image-only oracle"] and lanes["oracle"] == 0
    low, high = figure.layout.xaxis.range
    assert low <= 0.05 and high > 0.6


def test_without_any_system_the_figure_says_so(rows):
    figure, sentence = results_figure(rows.filter(pl.col("system") == "oracle"), "HR@10")
    assert not figure.data and sentence == "No system has a value of HR@10."


def test_differences_have_their_intervals_and_are_hollow_where_luck_explains_them():
    rng = np.random.default_rng(0)
    base = rng.integers(1, 30, 300)
    differences = {
        "better": paired_bootstrap(np.maximum(base - 3, 1), base),
        "worse": paired_bootstrap(base + 5, base),
        "same": Comparison("NDCG@10", 0.001, -0.002, 0.004, 0.6),
    }
    figure, sentence = differences_figure(differences, "MACRec")
    assert figure.layout.yaxis.ticktext == ("better", "same", "worse")
    for trace in figure.data:
        found = differences[trace.name]
        assert trace.x[0] == found.difference
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(found.high)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(found.low)
        assert trace.marker.symbol.endswith("-open") == (trace.name == "same")
        assert f"p = {found.p:.4f}" in trace.hovertemplate
    assert [shape.x0 for shape in figure.layout.shapes] == [0]
    assert sentence.endswith("better above; worse below; same not clearly different.")
    with pytest.raises(ValueError, match="one metric"):
        differences_figure(differences | {"other": Comparison("HR@10", 0, 0, 0, 1)}, "MACRec")


def test_an_ablation_is_the_difference_to_the_full_model_seed_by_seed(rows):
    shuffled = rows.sort("HR@10", descending=True)  # a system's seeds come in another order than the full model's
    table = ablation_table(shuffled, "MACRec", ["HR@10", "coverage@10"])
    assert table["system"].to_list() == ["MACRec", "oracle", "TIGER (text)", "popularity"]
    by_name = dict(zip(table["system"], table["HR@10"], strict=True))
    gains = np.array([0.11 - 0.10, 0.11 - 0.12, 0.11 - 0.14])
    assert by_name == {
        "MACRec": "0.1200 ± 0.0200",
        "oracle": "+0.3000",
        "TIGER (text)": f"{gains.mean():+.4f} ± {gains.std(ddof=1):.4f}",
        "popularity": "-0.0500",  # against seed 0 alone
    }
    assert table["coverage@10"][1] == "–"
    figure, sentence = ablation_figure(shuffled, "MACRec", "HR@10")
    found = dots_of(figure)
    assert set(found) == {"oracle", "TIGER (text)", "popularity"}
    assert sorted(found["TIGER (text)"]["dots"]) == pytest.approx(sorted(gains))
    assert found["TIGER (text)"]["mean"] == [pytest.approx(gains.mean())]
    assert "popularity -0.0500" in sentence and figure.layout.shapes[0].x0 == 0
    assert "interval" not in sentence
    paired = Comparison("HR@10", -0.01, -0.03, 0.02, 0.4)
    figure, sentence = ablation_figure(shuffled, "MACRec", "HR@10", {"TIGER (text)": paired})
    [whisker] = [trace for trace in figure.data if trace.error_x.array]
    assert figure.layout.yaxis.ticktext[whisker.y[0]] == "TIGER (text)"
    low, high = whisker.x[0] - whisker.error_x.arrayminus[0], whisker.x[0] + whisker.error_x.array[0]
    assert (low, high) == (pytest.approx(-0.03), pytest.approx(0.02))
    assert sentence.endswith("By the intervals MACRec is not clearly different from TIGER (text).")


def test_a_variant_without_a_common_seed_has_no_difference(rows):
    apart = rows.filter((pl.col("system") != "popularity") | (pl.col("seed") == 9))
    other = pl.concat([apart, rows[6:7].with_columns(seed=pl.lit(9, pl.Int64))])
    assert ablation_table(other, "MACRec", ["HR@10"])["HR@10"][3] == "–"
    assert "popularity" not in dots_of(ablation_figure(other, "MACRec", "HR@10")[0])


def evaluation(ranks):
    groups = {"head": np.array([True, True, False]), "cold": np.zeros(3, bool), "tail": np.array([False, False, True])}
    return Evaluation("x", np.array(ranks), np.ones(4, int), np.ones(4, int), (1, 10), 20, False, groups).by_group()


def test_groups_show_every_system_in_every_group_that_has_users():
    tables = {"MACRec": evaluation([1, 3, NOT_RANKED]), "popularity": evaluation([NOT_RANKED, 2, 12])}
    figure, sentence = groups_figure(tables, "NDCG@10")
    assert [label.split("<br>")[0] for label in figure.layout.yaxis.ticktext] == ["all", "head", "cold", "tail"]
    assert "2 users" in figure.layout.yaxis.ticktext[1] and "1 user<" in figure.layout.yaxis.ticktext[3]
    for trace in figure.data:
        np.testing.assert_array_equal(trace.x, tables[trace.name]["NDCG@10"].to_numpy())
        assert np.isnan(trace.x).tolist() == [False, False, True, False]
        assert [round(y) for y in trace.y] == [0, 1, 2, 3]
    assert not set(figure.data[0].y) & set(figure.data[1].y)
    assert "head: MACRec 0.7500" in sentence and "tail: none above 0" in sentence and "cold" not in sentence
    with pytest.raises(ValueError, match="groups of b"):
        groups_figure({"a": tables["MACRec"], "b": tables["popularity"][:2]})
    with pytest.raises(DataError, match='no metric "HR@3"'):
        groups_figure(tables, "HR@3")


def test_what_reads_one_modality_has_its_color():
    looks = system_looks(["text + image", "collaborative", "image", "text"])
    assert [looks[name]["color"] for name in ("text", "image", "collaborative")] == [TEXT, IMAGE, COLLABORATIVE]
    assert looks["text + image"]["color"] not in (TEXT, IMAGE, COLLABORATIVE)


def test_a_system_looks_the_same_in_any_company_and_unlike_the_others():
    names = [
        "TIGER (image)",
        "SASRec",
        "MACRec",
        "item-kNN",
        "TIGER (text)",
        "popularity",
        "Markov-1",
        "MQL4GRec",
    ]
    together = system_looks(names)
    assert {together[name]["color"] for name in names} == set(CATEGORICAL)
    assert (together["MACRec"]["color"], together["TIGER (text)"]["color"]) == (FUSED, TEXT)
    assert together["TIGER (image)"]["color"] == IMAGE
    for name in names:
        assert system_looks([name])[name] == together[name] == system_looks(names[::-1])[name]
    more = system_looks([*names, "MACRec b", "mine", "oracle"], marks=MARKS)
    assert "oracle" not in more and more["mine"]["color"] == MUTED
    assert len({(look["color"], look["symbol"]) for look in more.values()}) == len(names) + 2


def test_bars_end_at_the_scores_and_whiskers_reach_the_line_where_nothing_is_clear():
    scores = {"SASRec": (0.3, 0.35), "MACRec": (0.2, 0.25), "popularity": (0.1, None), "oracle": (0.5, 0.5)}
    systems = {name: {"NDCG@10": one, "NDCG@10 masked": other} for name, (one, other) in scores.items()}
    differences = {
        "unmasked": {
            "SASRec": Comparison("NDCG@10", 0.1, -0.01, 0.2, 0.1),
            "popularity": Comparison("NDCG@10", -0.1, -0.2, -0.05, 0),
        }
    }
    figure, sentence = system_bars(systems, differences, "MACRec")
    unmasked, masked = (trace for trace in figure.data if trace.y and trace.y[0] is not None)
    assert list(unmasked.x) == [0.3, 0.2, 0.1] and list(masked.x) == [0.35, 0.25] and list(masked.y) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["SASRec", "MACRec", "popularity"]
    low, high = (
        np.array(unmasked.x) + sign * np.array(reach)
        for sign, reach in ((-1, unmasked.error_x.arrayminus), (1, unmasked.error_x.array))
    )
    assert low[0] <= 0.2 <= high[0] and high[2] < 0.2  # the line of MACRec is at .2
    assert unmasked.marker.color[1] == FUSED and "difference from MACRec on the same users" in sentence
    assert "Whiskers" not in system_bars(systems, {}, "MACRec")[1]
    assert system_bars({}, {}, "MACRec")[1] == "No system has a value of NDCG@10."
