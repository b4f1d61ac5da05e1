"""Comparing runs: what is read from their files, what is chosen, how it is shown."""

import json
import math

import nbformat
import polars as pl
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from macrec.errors import DataError
from macrec.workbench.compare_runs import choose_metrics, compare_runs, headings, varied_settings
from macrec.workbench.run_record import RunRecord, find_runs, flatten, path_names


@pytest.fixture
def run(tmp_path):
    """Write the folder of a run as the runner leaves it; returns its path."""

    def write(name, metrics, defaults="rate = 0.5\nseed = 0\nout = ''", **given):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        cell = new_code_cell(defaults, metadata={"tags": ["parameters"]})
        executed = new_notebook(cells=[cell], metadata={"papermill": {"parameters": {**given, "out": str(folder)}}})
        nbformat.write(executed, folder / "03_toy.ipynb")
        (folder / "run.json").write_text(json.dumps({"parameters": given, "seconds": {"03_toy": 1.5}}))
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return write


def record(name, metrics=None, reference="", **settings):
    return RunRecord(name, None, settings, metrics or {}, 0.0, reference=reference)


def test_records_become_dotted_numbers():
    recorded = {
        "nb": {
            "deep": {"a/b": 1, "flag": True, "word": "x", "none": None, "nan": math.nan},
            "settings": {"epochs": 3},
            "plain": [1, 2],
        }
    }
    assert flatten(recorded) == {"nb.deep.a/b": 1.0}


def test_rows_are_named_by_texts_and_level_and_averaged_over_seeds():
    rows = [
        {"system": "S", "fusion": "", "level": level, "seed": seed, "hit": 10 * level + seed}
        for level in (0, 1)
        for seed in (0, 2)
    ]
    assert flatten({"rows": rows}) == {"rows.S.0.hit": 1.0, "rows.S.1.hit": 11.0}


def test_the_variant_at_the_runs_own_weight_has_one_name_in_all_runs():
    def rows(*weights):
        return {"c": [{"variant": f"cross-modal λ={weight}", "error": weight} for weight in weights]}

    assert flatten(rows(0.003, 0.01), 0.01) == {"c.cross-modal λ=0.003.error": 0.003, "c.cross-modal λ.error": 0.01}


def test_defaults_count_as_settings_and_folders_do_not(run):
    first, second = run("a", {}), run("b", {}, rate=2.0)
    found = compare_runs([first, second])
    assert found.runs[0].settings == {"rate": 0.5, "seed": 0} and found.varied == ("rate",)
    assert found.table["rate"].to_list() == [0.5, 2.0] and found.runs[1].seconds == 1.5


def test_two_runs_are_shown_with_their_difference_and_what_one_lacks(run):
    first = run("a", {"03_codebooks": {"measured": {"conflict_rate/text": 0.25, "conflict_rate/image": 0.5}}})
    second = run("b", {"03_codebooks": {"measured": {"conflict_rate/text": 0.125}, "stopped": True}}, seed=1)
    found = compare_runs([first, second])
    lines = [line.split() for line in found.text().splitlines()]
    assert lines[0] == ["a", "b", "difference"] and lines[1] == ["seed", "0", "1"]
    assert lines[2] == ["conflict", "rate", "of", "text", "0.25", "0.125", "-0.125"]
    assert lines[3] == ["conflict", "rate", "of", "image", "0.5", "–"]
    assert found.notes == (
        "b lacks conflict rate of image.",
        "b: a training of 03_codebooks was interrupted.",
    )
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["runs"][1]["differences"] == {"03_codebooks.measured.conflict_rate/text": -0.125}
    assert plain["runs"][1]["missing"] == ["03_codebooks.measured.conflict_rate/image"]
    assert plain["varied"] == ["seed"] and plain["runs"][0]["parameters"] == {"seed": 0}


def test_many_runs_are_rows(run):
    folders = [run(f"r{seed}", {"x": {"y": seed / 2}}, seed=seed) for seed in range(5)]
    lines = compare_runs(folders).text().splitlines()
    assert lines[0].split() == ["run", "seed", "y"] and lines[-1].split() == ["r4", "4", "2"] and len(lines) == 6


def test_headings_of_columns_end_in_one_line():
    assert headings(["run", "conflict rate of text"]) == [["", "conflict rate of"], ["run", "text"]]
    assert headings(["run", "seed"]) == [["run", "seed"]]


def test_a_sweep_stands_for_its_points_in_their_order_and_names_what_is_unfinished(run, tmp_path):
    run("sweep/x=10", {"n": {"y": 1}}, seed=10)
    run("sweep/x=9", {"n": {"y": 2}}, seed=9)
    points = [
        {"name": "x=9", "state": "done", "error": None},
        {"name": "x=10", "state": "done", "error": None},
        {"name": "x=11", "state": "failed", "error": "no room"},
    ]
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"points": points}))
    runs, notes = find_runs([tmp_path / "sweep", tmp_path / "sweep" / "x=9"])
    assert [found.name for found in runs] == ["x=9", "x=10"]
    assert notes == ["x=11 is not finished: failed (no room)."]


@pytest.mark.parametrize("inside", [[], ["metrics.json"]])
def test_a_folder_that_holds_no_run_is_refused(tmp_path, inside):
    for name in inside:
        (tmp_path / name).write_text("{}")
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError, match="this folder holds no run; name one that macrec"):
            compare_runs([folder])


def test_a_damaged_file_is_named(run):
    folder = run("a", {})
    for name in ("metrics.json", "run.json", "03_toy.ipynb"):
        before = (folder / name).read_text()
        (folder / name).write_text("[1")
        with pytest.raises(DataError, match=rf"{name}: the file holds no JSON object; remove it"):
            compare_runs([folder])
        (folder / name).write_text(before)
    (folder.parent / "sweep.json").write_text("")
    with pytest.raises(DataError, match=r"sweep\.json: the file holds no JSON object"):
        compare_runs([folder.parent])


def test_asked_for_metrics_are_found_by_part_and_exact_names_alone():
    runs = [record("a", {"n.HR@1": 0.1, "n.HR@10": 0.2, "n.NDCG@10": 0.3})]
    assert choose_metrics(runs, ["ndcg", "HR@1"]) == ["n.NDCG@10", "n.HR@1", "n.HR@10"]
    assert choose_metrics(runs, ["n.HR@1"]) == ["n.HR@1"]
    conflict = "03_codebooks.measured.conflict_rate/text"
    assert choose_metrics([record("a", {conflict: 0.1, "n.x": 1.0})], ["conflict rate of"]) == [conflict]
    with pytest.raises(DataError, match=r'(?i)no run has a metric "MRR"; choose from HR@1, HR@10, NDCG@10'):
        choose_metrics(runs, ["MRR"])


def test_main_metrics_come_first_and_others_only_when_there_are_none():
    conflict, accuracy = "03_codebooks.measured.conflict_rate/text", "08_evaluation.systems.MACRec.NDCG@10"
    assert choose_metrics([record("a", {"other": 1.0, conflict: 0.1}), record("b", {accuracy: 0.2})]) == [
        accuracy,
        conflict,
    ]
    runs = [record("a", {"x": 1.0, "y": 2.0}), record("b", {"x": 1.0, "y": 3.0})]
    assert choose_metrics(runs) == ["y"] == choose_metrics([*runs, record("failed", {})])
    assert choose_metrics([record("a", {"x": 1.0}), record("b", {"y": 3.0})]) == ["x", "y"]


def ndcg(**scores):
    return {f"08_evaluation.systems.{name}.NDCG@10": score for name, score in scores.items()}


def test_systems_are_compared_that_all_evaluated_runs_have_the_reference_first():
    one = record("a", ndcg(counts=0.1, SASRec=0.2, mine=0.3, other=0.4), reference="mine")
    two = record("b", ndcg(counts=0.1, SASRec=0.1, mine=0.3), reference="mine")
    assert choose_metrics([one, two, record("without an evaluation")]) == list(ndcg(mine=0, SASRec=0))
    assert choose_metrics([one]) == list(ndcg(mine=0))
    # Compared with different systems, no reference comes first; with no system in common, all are shown.
    assert choose_metrics([one, record("c", two.metrics, reference="SASRec")]) == list(ndcg(SASRec=0))
    assert choose_metrics([record("d", ndcg(x=0.1)), record("e", ndcg(y=0.2))]) == list(ndcg(x=0, y=0))


def test_a_parameter_that_only_some_runs_have_does_not_vary_unless_it_does():
    assert varied_settings([record("a", seed=0), record("b", seed=0, items=3)]) == []
    assert varied_settings([record("a", seed=0, items=2), record("b", seed=1), record("c", items=3)]) == [
        "seed",
        "items",
    ]


def test_runs_of_one_name_are_told_apart_by_their_parents(tmp_path):
    paths = [tmp_path / "one" / "seed=0", tmp_path / "two" / "seed=0"]
    assert path_names(paths) == ["one/seed=0", "two/seed=0"] and path_names(paths[:1]) == ["seed=0"]


def test_a_failed_notebook_is_named_and_what_it_was_given_is_shown(run):
    first, second = run("a", {"x": {"y": 1}}), run("b", {}, rate=2.0)
    (second / "03_toy.ipynb").rename(second / "03_toy.failed.ipynb")
    (second / "run.json").write_text(json.dumps({"parameters": {"rate": 2.0}, "seconds": {}}))
    found = compare_runs([first, second])
    assert found.notes == ("b lacks all of these metrics.", "b: 03_toy failed.")
    assert found.varied == ("rate",) and found.table["rate"].to_list() == [0.5, 2.0]


def test_a_single_run_is_not_said_to_have_the_parameters_of_others(run):
    assert "same parameters" not in compare_runs([run("a", {"x": {"y": 1}})]).text()
    assert "same parameters" in compare_runs([run("b", {}), run("c", {})]).text()


def test_values_of_different_types_become_text(run):
    found = compare_runs([run("a", {}), run("b", {}, rate=[1, 2])])
    assert found.table["rate"].to_list() == ["0.5", "[1, 2]"] and isinstance(found.table, pl.DataFrame)
