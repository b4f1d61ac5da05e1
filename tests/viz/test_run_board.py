"""The run board: its points, its finding, its links, in a page as well."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.evaluation.metric_names import lower_is_better
from macrec.viz.page import Page
from macrec.viz.views.run_board import pareto, run_board, run_table, two_of

METRICS = ["NDCG@10", "conflict_rate/text", "HR@10"]


@pytest.fixture
def table():
    """Six runs; the third lacks the conflict rate."""
    rows = [
        {"run": f"lambda={a:g},seed={b}", "lambda": a, "seed": b}
        for a, b in itertools.product([0.0, 0.001, 0.01], [1, 2])
    ]
    numbers = {
        "NDCG@10": [0.10, 0.11, 0.12, 0.13, 0.09, 0.08],
        "conflict_rate/text": [0.05, 0.05, None, 0.04, 0.02, 0.01],
        "HR@10": [0.2, 0.2, 0.3, 0.3, 0.1, 0.1],
    }
    return pl.DataFrame(rows).with_columns(**{name: pl.Series(values) for name, values in numbers.items()})


def dots(figure):
    return [trace for trace in figure.data if trace.mode == "markers"]


def test_every_run_is_one_point_of_every_panel_with_its_link(table):
    links = {run: f"{place}.html" for place, run in enumerate(table["run"])}
    figure, _ = run_board(table, ["lambda", "seed"], METRICS, links)
    panels = {}
    for trace in dots(figure):
        panels.setdefault(trace.yaxis, []).extend(trace.meta["macrec_links"])
        assert len(trace.x) == len(trace.y) == len(trace.meta["macrec_links"]) == len(trace.text)
    assert len(panels) == 5 and all(sorted(found) == sorted(links.values()) for found in panels.values())
    assert {trace.name: trace.marker.symbol for trace in dots(figure)} == {
        "0": "circle",
        "0.001": "square",
        "0.01": "diamond",
    }


def test_the_sentence_names_the_best_run_and_what_it_costs(table):
    _, sentence = run_board(table, ["lambda", "seed"], METRICS)
    assert sentence == (
        "lambda=0.001,seed=2 has the highest NDCG@10 (0.13) of 6 runs, with a conflict_rate/text of 0.04; the lowest "
        "conflict_rate/text is 0.01, of lambda=0.01,seed=2, whose NDCG@10 is 0.08. Lines join the means at each value "
        "of lambda and seed."
    )


def test_equals_are_not_called_the_winner(table):
    _, sentence = run_board(table, [], ["conflict_rate/text"])
    assert sentence == "lambda=0.01,seed=2 has the lowest conflict_rate/text (0.01) of 5 runs."
    _, sentence = run_board(table, [], ["HR@10", "conflict_rate/text"])
    assert sentence.startswith("2 of 6 runs share the highest HR@10 (0.3), among them lambda=0.001,seed=2, with a")


def test_the_second_metric_is_the_first_of_the_other_direction():
    assert two_of(["NDCG@10", "HR@10", "conflict_rate/text"]) == ["NDCG@10", "conflict_rate/text"]
    assert two_of(["NDCG@10", "HR@10"]) == ["NDCG@10", "HR@10"] and two_of(["loss"]) == ["loss"] and two_of([]) == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_the_front_is_what_no_run_beats(pairs):
    table = pl.DataFrame(pairs, schema=["NDCG@10", "loss"], orient="row")

    def beats(one, other):
        return one != other and one[0] >= other[0] and one[1] <= other[1]

    expected = [not any(beats(other, pair) for other in pairs) for pair in pairs]
    assert pareto(table, "NDCG@10", "loss").to_list() == expected


@pytest.mark.parametrize(
    ("varied", "metrics", "panels"),
    [(["lambda"], ["HR@10"], 1), (["lambda", "seed"], METRICS, 5), ([], METRICS, 1), ([], ["HR@10"], 1)],
)
def test_the_panels_are_those_of_what_there_is(table, varied, metrics, panels):
    figure, sentence = run_board(table, varied, metrics)
    assert len({trace.yaxis for trace in dots(figure)}) == panels and sentence.endswith(".")
    assert figure.layout.height >= 300


def test_without_numbers_the_board_says_so(table):
    nothing = table.with_columns(pl.lit(None, pl.Float64).alias("HR@10"))
    assert run_board(nothing, ["seed"], ["HR@10"])[1] == "There is nothing to compare: no run has any of the metrics."


def test_sixty_runs_of_ten_seeds_have_a_color_for_eight_and_muted_marks_for_the_rest():
    rng = np.random.default_rng(0)
    rows = [{"run": f"{a}-{b}", "seed": a, "x": b, "HR@10": rng.random()} for a in range(10) for b in range(6)]
    figure, _ = run_board(pl.DataFrame(rows), ["seed", "x"], ["HR@10"])
    marks = {(trace.marker.color, trace.marker.symbol) for trace in dots(figure)}
    assert len(marks) == 10 and sum(color == "#8A8A8A" for color, _ in marks) == 2


@pytest.mark.parametrize("name", ["conflict_rate/text", "text.reconstruction", "alignment.after.info_nce"])
def test_less_is_better_of_conflicts_and_errors(name):
    assert lower_is_better(name) and not lower_is_better("NDCG@10") and not lower_is_better("utilization/text/0")


def test_the_table_links_every_run_marks_the_best_and_escapes_names(table):
    table = table.with_columns(run=pl.Series(["a<b", *table["run"][1:]]))
    fragment = run_table(table, ["lambda"], METRICS, {"a<b": "x y&z.html"})
    assert '<a href="x y&amp;z.html">a&lt;b</a>' in fragment and "a<b" not in fragment
    assert fragment.count("★") == 5 and "0.1300 ★" in fragment and "0.0100 ★" in fragment  # one in the caption, one tie
    assert "<td" in fragment and "–" in fragment


@pytest.mark.browser
def test_a_click_on_a_point_and_enter_on_a_link_open_the_run(table, tmp_path, chromium):
    for place in range(len(table)):
        (tmp_path / f"{place}.html").write_text(f"<title>run {place}</title>")
    links = {run: f"{place}.html" for place, run in enumerate(table["run"])}
    page = Page("Runs")
    page.figure(*run_board(table, ["lambda", "seed"], METRICS, links))
    page.html(run_table(table, ["lambda", "seed"], METRICS, links))
    context = chromium.new_context()
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(page.write(tmp_path / "page.html").as_uri())
    tab.wait_for_function("document.querySelector('.js-plotly-plot')?.macrecLinked")
    point = tab.locator(".js-plotly-plot .scatterlayer .points path").nth(1).bounding_box()
    with context.expect_page() as opened:
        tab.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
        tab.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    assert opened.value.title() == "run 1" and not errors
    tab.bring_to_front()
    tab.locator("table a").nth(3).focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/3.html")
    assert tab.title() == "run 3"
