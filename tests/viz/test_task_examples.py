"""What a generator reads and writes: every task has a row, and its boxes are the codes of real items."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.split import leave_one_out
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.tasks import code_tasks
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import level_names
from macrec.viz.views.task_examples import task_examples


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def samples(data):
    """Tables of unequal depth, the second with a level that counts."""
    rng = np.random.default_rng(0)
    text = SemanticIds.from_codes(rng.integers(0, 9, (data.num_items, 3)), ("text_a", "text_b", "text_c"), (9, 9, 9))
    codes = rng.integers(0, 9, (data.num_items, 2))
    image = SemanticIds.from_codes(codes, ("image_a", "image_count"), (9, 9))
    tables = CodeTables({"text": text, "image": image}, code_tasks(("text", "image")))
    return TaskSamples(tables, leave_one_out(data.histories).train)


def test_every_task_shows_its_prompt_whole_ids_and_an_end(samples, data):
    tables = samples.tables
    rows = ElementTree.fromstring(task_examples(samples, data)).findall("tr")[1:]
    assert [row.find("th").text for row in rows] == [task.name for task in tables.tasks]
    for row, task in zip(rows, tables.tasks, strict=True):
        reads, writes = (["".join(box.itertext()) for box in cell] for cell in row.findall("td"))
        assert reads[: task.prompt] == [f"p{at}" for at in range(task.prompt)] and reads[-1] == "end"
        assert len(writes) == 1
        for ids, modality in ((reads[task.prompt : -1], task.source), (writes, task.target)):
            table = tables.ids[modality]
            spelled = {
                "".join(f"{level}{code}" for level, code in zip(level_names(table), codes, strict=True))
                for codes in table.codes.tolist()
            }
            assert ids and set(ids) <= spelled
        assert len(reads) - task.prompt - 1 == 1 or task.kind == "sequence"


def test_another_seed_shows_other_samples_and_every_id_tells_its_item(samples, data):
    first, same, other = (task_examples(samples, data, seed=seed) for seed in (0, 0, 1))
    assert first == same != other
    titles = set(re.findall(r'title="(?:text|image) ID of ([^"]+)"', first))
    assert titles and titles <= {title.replace("&", "&amp;") for title in data.items["title"].to_list()}
