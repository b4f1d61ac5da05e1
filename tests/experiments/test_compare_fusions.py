"""Which paths of a generator are fused with each other, and what the ranks of all ways to decode say by group."""

import numpy as np
import pytest

from macrec.evaluation.metrics import ndcg
from macrec.evaluation.significance import paired_bootstrap
from macrec.experiments.compare_fusions import DEFAULT, Fusions, groups_of_paths
from macrec.generation.tasks import code_tasks


def test_paths_that_read_everything_are_fused_apart_from_those_that_read_one_modality():
    groups = groups_of_paths([task for task in code_tasks(("text", "image"), joint=True) if task.kind == "sequence"])
    names = {group: [name.split(",")[0] for name in paths] for group, paths in groups.items()}
    assert names == {
        "text+image→text, text+image→image": ["text+image→text", "text+image→image"],
        "text→text, image→image": ["text→text", "image→image"],
        "4 paths from one": ["text→text", "image→image", "text→image", "image→text"],
    }


def test_every_group_has_several_paths_and_a_name_of_its_own():
    three = code_tasks(("text", "image", "acoustic"), item_level=False, joint=True)
    assert {name: len(paths) for name, paths in groups_of_paths(three).items()} == {
        "3 joint paths": 3,
        "3 paths within": 3,
        "9 paths from one": 9,
    }
    assert groups_of_paths(code_tasks(("text",))) == {}
    assert len(groups_of_paths(code_tasks(("text", "image"), sequence_level=False, item_level=False))) == 1


def made():
    """The image path finds nothing where there is no picture; the default does."""
    rng = np.random.default_rng(0)
    pictured = np.arange(100) < 70
    text, both = rng.integers(1, 9, 100), rng.integers(1, 4, 100)
    image = np.where(pictured, rng.integers(1, 4, 100), 0)
    ranks = {("text→text", ""): text, ("image→image", ""): image, ("both", "tuned"): both, ("both", "published"): text}
    return Fusions(ranks, {"with picture": pictured, "without picture": ~pictured})


def test_a_column_of_a_group_holds_what_its_users_see():
    fusions = made()
    for (paths, fusion), ranks in fusions.ranks.items():
        [row] = [row for row in fusions.table.to_dicts() if (row["paths"], row["fusion"]) == (paths, fusion)]
        assert row["NDCG@10"] == pytest.approx(ndcg(ranks, 10))
        for name, mask in fusions.groups.items():
            assert row[f"NDCG@10 {name}"] == pytest.approx(ndcg(ranks[mask], 10))
    shown = ["paths", "fusion", "HR@10", "NDCG@10", "with picture (70 users)", "without picture (30 users)"]
    assert fusions.shown.columns == shown and fusions.caption.startswith("100 test users.")


def test_the_default_is_compared_with_every_path_alone_in_every_group():
    fusions = made()
    assert list(fusions.by_group) == ["all", "with picture", "without picture"] == list(fusions.groups_record)
    for name, mask in {"all": np.ones(100, bool), **fusions.groups}.items():
        found = fusions.by_group[name]
        assert list(found.scores) == [DEFAULT, "text→text", "image→image"]
        for path, paired in found.differences.items():
            assert paired == paired_bootstrap(fusions.ranks[path, ""][mask], fusions.ranks["both", "tuned"][mask])
    without = fusions.in_words.split("\n")[-1]
    assert without.startswith("- without picture (30 users): ") and "clearly above" in without
    assert "image→image (+" in without.partition("clearly above")[2]


def test_one_path_is_fused_with_nothing():
    alone = Fusions({("text→text", ""): np.array([1, 2])}, {})
    assert alone.by_group == {} == alone.groups_record and alone.in_words.startswith("The default asks one path")
    assert "last columns" not in alone.caption and alone.shown.columns == ["paths", "fusion", "HR@10", "NDCG@10"]
