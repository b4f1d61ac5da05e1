"""Batches by arithmetic equal those a person would write down, for every task, length and padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.histories import Histories
from macrec.data.split import leave_one_out
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.tasks import code_tasks
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS, PAD


def tables_of(items, seed=0, levels=(3, 2), joint=False):
    rng = np.random.default_rng(seed)
    ids = {
        name: SemanticIds.from_codes(
            rng.integers(0, 5, (items, depth)), tuple(f"{name}_{letter}" for letter in "abc"[:depth]), (5,) * depth
        )
        for name, depth in zip(("text", "image"), levels, strict=True)
    }
    return CodeTables(ids, code_tasks(("text", "image"), joint=joint))


def written(tables, task, history, target):
    """The source and target tokens of one sample, in plain Python."""
    vocabulary = tables.vocabulary
    source = list(vocabulary.prompt(task.name)) if task.prompt else []
    for item in history:
        for table in (tables.ids[name] for name in task.sources):
            for codebook, code in zip(table.codebooks, table.codes[item], strict=True):
                source.append(vocabulary.range(codebook).start + code)
    table = tables.ids[task.target]
    wanted = [
        vocabulary.range(name).start + code for name, code in zip(table.codebooks, table.codes[target], strict=True)
    ]
    return [*source, EOS], wanted


histories = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=60)
@given(histories, st.integers(1, 4), st.integers(1, 7), st.booleans())
def test_batches_equal_those_written_by_hand(sequences, longest, size, joint):
    tables = tables_of(9, joint=joint)
    train = leave_one_out(Histories.from_lists(sequences), longest).train
    samples = TaskSamples(tables, train)
    expected = []
    for task in tables.tasks:
        pairs = (
            [(train.history(row).tolist(), int(train.targets[row])) for row in range(len(train))]
            if task.kind == "sequence"
            else [([item], item) for item in range(9)]
        )
        expected += [(task, *written(tables, task, history, target)) for history, target in pairs]
    assert len(samples) == len(expected)
    seen = []
    for rows in samples.order(size, 3):
        batch = samples.batch(rows)
        for place, row in enumerate(rows):
            task, source, target = expected[row]
            assert batch.source[place][batch.mask[place]].tolist() == source
            assert (batch.source[place][~batch.mask[place]] == PAD).all()
            assert batch.mask[place][: len(source)].all()  # padding stands at the end
            assert batch.target[place][: len(target)].tolist() == target
            assert (batch.target[place][len(target) :] == PAD).all()
            assert tables.tasks[batch.task[place]] == task
            assert samples.lengths[row] == len(source)
        assert batch.source.shape[1] == max(samples.lengths[rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(expected)))


def test_six_tasks_for_two_modalities_and_counts_of_the_specification():
    tasks = code_tasks(("text", "image"))
    assert [task.name for task in tasks] == [
        "text→text, sequence",
        "image→image, sequence",
        "text→image, sequence",
        "image→text, sequence",
        "text→image, item",
        "image→text, item",
    ]
    assert [task.prompt for task in tasks] == [0, 0, 4, 4, 4, 4]
    assert len(code_tasks(("text",))) == 1
    assert len(code_tasks(("text", "image"), item_level=False)) == 4


def test_batches_of_an_epoch_pad_little():
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 50, rng.integers(3, 30)).tolist() for _ in range(400)]
    samples = TaskSamples(tables_of(50), leave_one_out(Histories.from_lists(sequences), 20).train)
    used = spent = 0
    for rows in samples.order(64, 1):
        used += samples.lengths[rows].sum()
        spent += samples.lengths[rows].max() * len(rows)
    assert used / spent > 0.9
    assert [rows.tolist() for rows in samples.order(64, 1)] == [rows.tolist() for rows in samples.order(64, 1)]


def test_tables_of_different_items_are_refused():
    one = SemanticIds.from_codes(np.zeros((3, 2), int))
    other = SemanticIds.from_codes(np.zeros((4, 2), int), ("c", "d"))
    with pytest.raises(ValueError, match="same items"):
        CodeTables({"text": one, "image": other}, code_tasks(("text", "image")))
