"""Which paths of a generator are fused with each other."""

from macrec.experiments.compare_fusions import groups_of_paths
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
